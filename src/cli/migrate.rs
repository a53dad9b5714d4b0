//! `almanac migrate`: a folder of the format before becomes one of this format, without a server.

use std::{io, path::PathBuf};

use super::error::CliError;
use crate::ledger::migrate::migrate;

/// Makes a data folder of this version's format from one of Almanac 0.1, which stays as it is
///
/// Every commit is replayed: revisions, times, notes, request ids and the history's id stay. Stored cursors and resume
/// tokens of 0.1 do not hold any more: subscribers begin again from the state. No server may have either folder open.
#[derive(Debug, Clone, clap::Args)]
pub struct MigrateArgs {
    /// Data folder that Almanac 0.1 wrote
    pub old: PathBuf,
    /// Folder to make; it must be empty or not there
    pub new: PathBuf,
}

/// Works on two folders, without a server.
pub async fn run(args: MigrateArgs, json: bool) -> Result<(), CliError> {
    let new = args.new.clone();
    let migrated = tokio::task::spawn_blocking(move || migrate(&args.old, &args.new)).await;
    let migrated = migrated
        .map_err(|error| io::Error::other(error.to_string()))?
        .map_err(|error| CliError::Refused(error.to_string()))?;
    if json {
        println!("{}", serde_json::json!({ "revision": migrated.revision.0 }));
    } else {
        println!("{} holds revision {}; stored cursors were left out", new.display(), migrated.revision);
    }
    Ok(())
}
