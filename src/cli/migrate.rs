//! `almanac migrate`: from a data folder of the previous format to one of this format, without a server.

use std::{io, path::PathBuf};

use super::error::CliError;
use crate::ledger::migrate::migrate;

/// Make a data folder for this version from a folder of Almanac 0.1, which stays as it is
///
/// Stop the server first. Every commit is replayed: revisions, times, notes, request ids and the id of the history
/// stay. Each methodology of a ranking becomes a definition with the id RANKING:NAME. Stored cursors are left out and
/// resume tokens of 0.1 are refused: subscribers begin again with the state. A folder that was compacted cannot be
/// migrated. The new folder takes the place of the old one with `almanac serve --data NEW`; check it with `almanac
/// verify`.
#[derive(Debug, Clone, clap::Args)]
pub struct MigrateArgs {
    /// Data folder that Almanac 0.1 wrote
    pub old: PathBuf,
    /// Folder to make; it must be empty or not exist
    pub new: PathBuf,
}

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
