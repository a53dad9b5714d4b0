//! `almanac verify`: the one command beside `serve` and `restore` that works on a folder, not on a server.

use std::path::PathBuf;

use super::error::CliError;
use crate::ledger::verify::{VerifyReport, verify};

/// Checks a data folder that no server has open: every checksum, every commit, the view against the ledger.
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyArgs {
    /// Folder of the data
    #[arg(long, default_value = "almanac-data", env = "ALMANAC_DATA")]
    pub data: PathBuf,
    /// Make the view again from the ledger if it is not what the ledger says; the old database is kept beside
    #[arg(long)]
    pub repair: bool,
}

/// Checks, says what was found, and fails if it is damage.
pub async fn run(args: VerifyArgs, json: bool) -> Result<(), CliError> {
    let (data, repair) = (args.data.clone(), args.repair);
    let checked = tokio::task::spawn_blocking(move || verify(&data, repair)).await;
    let report =
        checked.map_err(|error| std::io::Error::other(error.to_string()))?.map_err(crate::server::ServeError::from)?;
    if json {
        println!("{}", as_json(&report));
    } else {
        print(&report);
    }
    match (&report.set_aside, report.problem_count) {
        (_, 0) | (Some(_), _) => Ok(()),
        (None, count) => {
            let way_out = if report.compacted.is_some() {
                "the ledger was compacted and the view cannot be made again from it: put back a copy of the folder"
            } else if report.ledger_damaged {
                "the ledger is damaged: restore a backup with `almanac restore`"
            } else {
                "the ledger is whole: `almanac verify --repair` makes the rest again"
            };
            Err(CliError::Refused(format!("{}: {count} problem(s); {way_out}", args.data.display())))
        }
    }
}

fn print(report: &VerifyReport) {
    let values: u64 = report.values.values().sum();
    println!("{} commits with {} changes decoded", report.commits, report.changes);
    println!("{values} values, {:.1} MB, checksums checked", report.bytes as f64 / 1e6);
    match report.compacted {
        None => println!("{} series, and all else, compared with what the ledger says", report.series),
        Some(floor) => {
            println!("the ledger was compacted and begins at revision {floor}: what is older was not compared with it");
            println!("{} parts of series in the commits since compared with what the ledger says", report.series);
        }
    }
    report.problems.iter().for_each(|problem| println!("damage: {problem}"));
    let more = report.problem_count - report.problems.len() as u64;
    if more > 0 {
        println!("damage: and {more} more");
    }
    match &report.set_aside {
        Some(aside) => println!("repaired from the ledger; the damaged database is kept in {}", aside.display()),
        None if report.problem_count == 0 => println!("no damage found"),
        None => {}
    }
}

fn as_json(report: &VerifyReport) -> serde_json::Value {
    serde_json::json!({
        "commits": report.commits,
        "changes": report.changes,
        "values": report.values.values().sum::<u64>(),
        "bytes": report.bytes,
        "series": report.series,
        "problems": report.problems,
        "problemCount": report.problem_count,
        "floor": report.compacted.map_or(1, |floor| floor.0),
        "ledgerDamaged": report.ledger_damaged,
        "setAside": report.set_aside.as_ref().map(|aside| aside.display().to_string()),
    })
}
