//! `almanac backup`: keeps what the server streams in a file. `almanac restore`: makes a data folder from such a file,
//! without a server.
//!
//! Invariant: a file with the name of a backup is whole and on the disk; until then it ends in `.partial`.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use super::{error::CliError, session::Session};
use crate::{ledger::backup::restore, proto};

/// Write all commits to a backup file, while the server runs
#[derive(Debug, Clone, clap::Args)]
pub struct BackupArgs {
    /// File to write; it must not exist
    pub file: PathBuf,
    /// Last revision in the backup, for example 120 [default: the newest]
    #[arg(long, value_name = "N")]
    pub revision: Option<u64>,
}

/// Make a data folder from a backup file
///
/// The new folder has a history id of its own, so that the server refuses the resume tokens of the old one.
#[derive(Debug, Clone, clap::Args)]
pub struct RestoreArgs {
    /// File that `almanac backup` wrote
    pub file: PathBuf,
    /// Folder to make; it must be empty or not exist
    #[arg(long, value_name = "DIR", default_value = "almanac-data", env = "ALMANAC_DATA")]
    pub data: PathBuf,
}

pub async fn run(args: BackupArgs, session: &Session) -> Result<(), CliError> {
    if args.file.exists() {
        return Err(CliError::Refused(format!("{} is there already", args.file.display())));
    }
    let mut name = args.file.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = args.file.with_file_name(name);
    let written = write(&partial, args.revision, session).await;
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    let (bytes, revision) = written?;
    fs::rename(&partial, &args.file)?;
    if session.json {
        println!("{}", serde_json::json!({ "revision": revision, "bytes": bytes }));
    } else {
        println!("{}: revision {revision}, {:.1} MB", args.file.display(), bytes as f64 / 1e6);
    }
    Ok(())
}

/// Returns the bytes and the last revision of the backup.
async fn write(partial: &PathBuf, revision: Option<u64>, session: &Session) -> Result<(u64, u64), CliError> {
    let request = proto::BackupRequest { revision };
    let mut parts = session.admin().backup(request).await?.into_inner();
    let mut file = io::BufWriter::new(fs::File::create(partial)?);
    let mut bytes = 0;
    let mut last = 0;
    while let Some(part) = parts.message().await? {
        file.write_all(&part.data)?;
        bytes += part.data.len() as u64;
        last = part.last_revision;
    }
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok((bytes, last))
}

pub async fn run_restore(args: RestoreArgs, json: bool) -> Result<(), CliError> {
    let data = args.data.clone();
    let restored = tokio::task::spawn_blocking(move || restore(&args.file, &data)).await;
    let restored = restored
        .map_err(|error| io::Error::other(error.to_string()))?
        .map_err(|error| CliError::Refused(error.to_string()))?;
    if json {
        println!("{}", serde_json::json!({ "revision": restored.revision.0 }));
    } else {
        println!("{} holds revision {}; it is a new history", args.data.display(), restored.revision);
    }
    Ok(())
}
