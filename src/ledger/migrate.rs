//! A folder of format 2 becomes one of format 3: its commits are replayed, one after the other, into a new folder.
//!
//! Revisions, recorded times, authors, notes, request ids and receipts stay, and so do the history and its secret. What is
//! current stays current, at head and at every revision. What changes:
//!
//! - Commits get the content and chain hashes that format 2 lacks.
//! - Changes of figures and entries get the whole rows before and after, looked up in the view of the new folder. A
//!   correction that names another source changes all rows of its edition.
//! - The methodologies of a ranking become definitions of their own, with the id `RANKING:TEXT`; a character that no id may
//!   hold becomes `-`. A ranking in which nothing else changed is not defined anew. Commits count definitions apart.
//! - An edition that names no source gets that of its ranking at that revision.
//! - Versions of editions get an effective day where their release date alone would place them wrongly. A withdrawal takes
//!   effect on the day it was recorded, and its commit is released on that day: format 2 does not know when the producer
//!   withdrew. No version takes effect before the one that it followed. Almanac 0.1 made a correction with an older release
//!   date current; loaded today it would be filled in behind, but a migration must not change what is current, so such a
//!   correction answers from the day on which its predecessor did.
//! - Stored cursors are left out: the tokens in them are outdated.
//!
//! Format 2 is decoded in [`format2`] and nowhere else. The old folder is opened to be read, which lets sled tidy its own
//! files, and nothing in it is changed.
//!
//! Invariant: the new folder appears under its name whole, or not at all.

mod format2;
mod translation;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::{
    format2::{OldCommit, OldCounts, OldHeader, OldReceipt, read_page},
    translation::{MethodologyIds, Translated, Translation},
};
use super::{
    bundle,
    log::{self, Draft, Receipt},
    page,
    rebuild::Rebuild,
};
use crate::{
    model::{
        change::{Commit, Counts},
        id::Revision,
        series::Horizon,
        time::Date,
    },
    store::{Engine, OpenError, StoreError, chunks, error::Result, records::unpack, view::View},
};

/// Why a folder was not migrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// Commits are gone that would have to be replayed.
    #[error(
        "{folder} was compacted: the changes of the commits before revision {floor} are gone, so they cannot be replayed. Keep the folder, with the version that wrote it, to answer about the past; for this version start an empty folder and load your files again"
    )]
    Compacted {
        /// The old folder.
        folder: PathBuf,
        /// The oldest revision that still has its changes.
        floor: Revision,
    },
    /// A commit cannot be read.
    #[error(
        "revision {revision} of {folder} cannot be read ({detail}); nothing was made. `almanac verify` of the version that wrote the folder says more"
    )]
    Damaged {
        /// The old folder.
        folder: PathBuf,
        /// The commit.
        revision: Revision,
        /// What is wrong.
        detail: String,
    },
    /// A folder cannot be opened or made, or one is in the way.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The old folder cannot be read, or the new one not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was brought over.
#[derive(Debug, Clone, Copy)]
pub struct MigrationReport {
    /// The newest revision.
    pub revision: Revision,
}

/// Makes the folder `new` from the folder `old`. `new` must be empty or not there.
pub fn migrate(old: &Path, new: &Path) -> std::result::Result<MigrationReport, MigrateError> {
    let occupied = fs::read_dir(new).is_ok_and(|mut items| items.next().is_some()) || new.is_file();
    if occupied {
        return Err(OpenError::Occupied { folder: new.to_owned() }.into());
    }
    if !old.is_dir() {
        return Err(OpenError::NotBefore { folder: old.to_owned() }.into());
    }
    let engine = Engine::open_before(old)?;
    let floor = log::read_floor(&engine)?;
    if floor > Revision(1) {
        return Err(MigrateError::Compacted { folder: old.to_owned(), floor });
    }
    let mut name = new.file_name().unwrap_or_default().to_owned();
    name.push(".migrating");
    let building = new.with_file_name(name);
    if building.exists() {
        fs::remove_dir_all(&building).map_err(StoreError::from)?;
    }
    let built = build(&engine, old, &building).and_then(|migrated| {
        fs::rename(&building, new).map_err(StoreError::from)?;
        Ok(migrated)
    });
    if built.is_err() {
        let _ = fs::remove_dir_all(&building);
    }
    built
}

fn build(old: &Engine, folder: &Path, building: &Path) -> std::result::Result<MigrationReport, MigrateError> {
    let mut rebuild = Rebuild::start(building, log::read_identity(old)?)?;
    let head = log::newest_revision(old)?;
    let mut methodology_ids = MethodologyIds::default();
    while rebuild.head() < head {
        let revision = rebuild.head().next();
        migrate_commit(old, revision, &mut rebuild, &mut methodology_ids).map_err(|error| match error {
            StoreError::Corrupt { detail } => MigrateError::Damaged { folder: folder.to_owned(), revision, detail },
            error => error.into(),
        })?;
    }
    rebuild.finish()?;
    Ok(MigrationReport { revision: head })
}

/// Replays one commit: its pages, its receipt, its seal.
fn migrate_commit(
    old: &Engine,
    revision: Revision,
    rebuild: &mut Rebuild,
    methodology_ids: &mut MethodologyIds,
) -> Result<()> {
    let header = chunks::get(old, &log::keys::header_key(revision))?.ok_or_else(|| page::corrupt("no header"))?;
    let header: OldHeader = unpack(&header)?;
    if header.commit.revision != revision {
        return Err(page::corrupt(format!("its header is that of revision {}", header.commit.revision)));
    }
    let receipt = match &header.commit.request_id {
        Some(request) => chunks::get(old, &log::keys::receipt_key(request))?,
        None => None,
    };
    let receipt: Option<OldReceipt> = receipt.map(|bytes| unpack(&bytes)).transpose()?;
    let mut translation = Translation::new(rebuild.view(), methodology_ids, rebuild.sink());
    let mut pages = 0;
    let prefix = [&[log::keys::PAGES][..], &revision.0.to_be_bytes()].concat();
    for item in chunks::scan(old, &prefix) {
        for bytes in bundle::unpack(&item?.1)? {
            read_page(&bytes)?.into_iter().try_for_each(|record| translation.add(record))?;
            pages += 1;
        }
    }
    if pages != header.pages {
        return Err(page::corrupt(format!("{pages} pages, and its header says {}", header.pages)));
    }
    let translated = translation.finish()?;
    let commit = commit_of(header.commit, &translated, receipt.as_ref());
    let receipt = receipt.map(|receipt| receipt_of(receipt, &translated, rebuild.view())).transpose()?;
    rebuild.added(translated.pages);
    let draft = Draft { commit, pages: translated.pages, changes: translated.changes, totals: header.totals };
    rebuild.seal_draft(&draft, receipt.as_ref())?;
    Ok(())
}

fn commit_of(old: OldCommit, translated: &Translated, receipt: Option<&OldReceipt>) -> Commit {
    let withdrawal = translated.edition.as_ref().filter(|edition| !edition.stands());
    Commit {
        revision: old.revision,
        recorded: old.recorded,
        author: old.author,
        cause: old.cause,
        note: old.note,
        // What a withdrawal brings is released on the day of the withdrawal, not with the version withdrawn.
        released: withdrawal.map_or(old.released, |edition| Some(edition.effective_day())),
        document_sha256: old.document_sha256,
        counts: counts_of(&old.counts, old.released, translated, receipt),
        request_id: old.request_id,
    }
}

/// Definitions are counted apart. A commit of format 2 has definitions or data, never both.
fn counts_of(old: &OldCounts, released: Option<Date>, translated: &Translated, receipt: Option<&OldReceipt>) -> Counts {
    // Without any record it may also be a correction that changes nothing. Its receipt has an edition; without a receipt
    // nothing tells the two apart.
    let answers_edition = receipt.is_some_and(|receipt| receipt.edition.is_some());
    if translated.has_data || released.is_some() || answers_edition {
        return Counts {
            added: old.added,
            revised: old.revised,
            unchanged: old.unchanged,
            withdrawn: old.withdrawn,
            backfilled: old.backfilled,
            ..Counts::default()
        };
    }
    Counts {
        definitions_added: translated.definitions_added,
        definitions_revised: translated.definitions_revised,
        definitions_unchanged: old.unchanged + translated.definitions_unchanged,
        ..Counts::default()
    }
}

/// The edition that it answers is the version that the commit brought; if it changed nothing, the one that stood.
fn receipt_of(old: OldReceipt, translated: &Translated, view: &View) -> Result<Receipt> {
    let edition = match (&old.edition, &translated.edition) {
        (None, _) => None,
        (Some(_), Some(brought)) => Some(brought.clone()),
        (Some(stood), None) => {
            let catalog = view.catalog();
            let found = catalog.edition(&stood.ranking, &stood.edition, Horizon::at(view.applied()));
            let found = found.filter(|found| found.revision == stood.revision);
            Some(
                found
                    .ok_or_else(|| page::corrupt("its receipt answers an edition that did not stand"))?
                    .as_ref()
                    .clone(),
            )
        }
    };
    Ok(Receipt { revision: old.revision, content: old.content, findings: old.findings, edition })
}

#[cfg(test)]
mod tests;
