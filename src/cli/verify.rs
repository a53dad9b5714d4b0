//! `almanac verify`: checks a data folder, without a server.

use std::path::PathBuf;

use super::error::CliError;
use crate::ledger::verify::{VerifyReport, verify};

/// Check a data folder that no server has open: every checksum, every commit, the view against the ledger
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyArgs {
    /// Data folder
    #[arg(long, value_name = "DIR", default_value = "almanac-data", env = "ALMANAC_DATA")]
    pub data: PathBuf,
    /// Rebuild the view from the ledger if it is damaged; the old database is kept beside the new one
    #[arg(long)]
    pub repair: bool,
}

/// Fails if there is damage that was not repaired.
pub async fn run(args: VerifyArgs, json: bool) -> Result<(), CliError> {
    let data = args.data.clone();
    let checked = tokio::task::spawn_blocking(move || verify(&data, args.repair)).await;
    let report =
        checked.map_err(|error| std::io::Error::other(error.to_string()))?.map_err(crate::server::ServeError::from)?;
    if json {
        println!("{}", to_json(&report));
    } else {
        print(&report);
    }
    match (&report.set_aside, report.problem_count) {
        (_, 0) | (Some(_), _) => Ok(()),
        (None, count) => {
            let way_out = if report.compacted.is_some() {
                "the ledger was compacted and the view cannot be rebuilt from it: put back a copy of the folder"
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
    for problem in &report.problems {
        println!("damage: {problem}");
    }
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

fn to_json(report: &VerifyReport) -> serde_json::Value {
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
