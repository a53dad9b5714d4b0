//! `almanac backup`: what the server streams, kept in a file. `almanac restore`: a folder made from such a file.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use super::{error::CliError, session::Session};
use crate::{ledger::backup::restore, proto};

/// Writes all commits up to a revision to a file, while the server goes on.
#[derive(Debug, Clone, clap::Args)]
pub struct BackupArgs {
    /// File to write; it must not be there
    pub file: PathBuf,
    /// Last revision to keep; without it the newest
    #[arg(long)]
    pub revision: Option<u64>,
}

/// Makes a data folder from a backup; it gets a new history, so that tokens of the old one are refused.
#[derive(Debug, Clone, clap::Args)]
pub struct RestoreArgs {
    /// File that `almanac backup` wrote
    pub file: PathBuf,
    /// Folder to make; it must be empty or not there
    #[arg(long, default_value = "almanac-data", env = "ALMANAC_DATA")]
    pub data: PathBuf,
}

/// Keeps the stream under another name until it is whole and on disk.
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

async fn write(partial: &PathBuf, revision: Option<u64>, session: &Session) -> Result<(u64, u64), CliError> {
    let request = proto::BackupRequest { revision };
    let mut parts = session.admin().backup(request).await?.into_inner();
    let mut file = io::BufWriter::new(fs::File::create(partial)?);
    let (mut bytes, mut last) = (0, 0);
    while let Some(part) = parts.message().await? {
        file.write_all(&part.data)?;
        bytes += part.data.len() as u64;
        last = part.last_revision;
    }
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok((bytes, last))
}

/// Works on a file and a folder, without a server.
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
