//! Migration: a folder of format 2 becomes a new folder of format 3. Its commits are replayed one after the other.
//!
//! Revisions, recorded times, authors, notes, request ids and receipts stay, and so do the history and its secret. What is
//! current stays current, at head and at every revision. These things change:
//!
//! - Commits get the content and chain hashes that format 2 lacks.
//! - Changes of figures and entries get the whole rows before and after, from the view of the new folder. A correction that
//!   names another source changes all rows of its edition.
//! - The methodologies of a ranking become definitions of their own, with the id `RANKING:TEXT`; a character that no id may
//!   hold becomes `-`. A ranking in which nothing else changed is not defined anew. Commits count definitions apart.
//! - An edition that names no source gets that of its ranking at that revision.
//! - Versions of editions get an effective day where their release date alone would place them wrongly. A withdrawal takes
//!   effect on the day it was recorded, and its commit is released on that day: format 2 does not know when the producer
//!   withdrew. No version takes effect before the one that it followed. Almanac 0.1 made a correction with an older release
//!   date current; loaded today it would be backfilled. A migration must not change what is current, so such a
//!   correction answers from the day on which its predecessor did.
//! - Stored cursors are left out: their tokens are outdated.
//!
//! Only [`format2`] decodes format 2. The old folder is opened to be read, which lets sled tidy its own files; nothing in it
//! is changed.
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
    translation::{CommitSummary, MethodologyIds, Translation},
};
use super::{
    backup::is_occupied,
    bundle,
    log::{self, Draft, Receipt, keys},
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
    /// Compaction dropped the changes of commits that would have to be replayed.
    #[error(
        "{folder} was compacted: the changes of the commits before revision {floor} are gone, so they cannot be replayed. Keep the folder, with the version that wrote it, to answer about the past; for this version start an empty folder and load your files again"
    )]
    Compacted {
        /// The old folder.
        folder: PathBuf,
        /// The oldest revision whose changes are there.
        floor: Revision,
    },
    /// A commit cannot be read.
    #[error(
        "revision {revision} of {folder} cannot be read ({detail}); nothing was made. `almanac verify` of the version that wrote the folder says more"
    )]
    Damaged {
        /// The old folder.
        folder: PathBuf,
        revision: Revision,
        detail: String,
    },
    /// A folder cannot be opened or made, or one is in the way.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The old folder cannot be read, or the new one not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of a migration.
#[derive(Debug, Clone, Copy)]
pub struct MigrationReport {
    /// Head of the new folder.
    pub revision: Revision,
}

/// Makes the folder `new` from the folder `old`. `new` must be empty or not there.
pub fn migrate(old: &Path, new: &Path) -> std::result::Result<MigrationReport, MigrateError> {
    if is_occupied(new) {
        return Err(OpenError::Occupied { folder: new.to_owned() }.into());
    }
    if !old.is_dir() {
        return Err(OpenError::NotPreviousFormat { folder: old.to_owned() }.into());
    }
    let engine = Engine::open_previous(old)?;
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
    let built = build(&engine, old, &building).and_then(|report| {
        fs::rename(&building, new).map_err(StoreError::from)?;
        Ok(report)
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
    let header = read_header(old, revision)?;
    let receipt = read_receipt(old, &header)?;
    let mut translation = Translation::new(rebuild.view(), methodology_ids, rebuild.sink());
    let mut pages = 0;
    let prefix = [&[keys::PAGES][..], &revision.0.to_be_bytes()].concat();
    for item in chunks::scan(old, &prefix) {
        for bytes in bundle::unpack(&item?.1)? {
            for record in read_page(&bytes)? {
                translation.add(record)?;
            }
            pages += 1;
        }
    }
    if pages != header.pages {
        return Err(page::corrupt(format!("{pages} pages, and its header says {}", header.pages)));
    }
    let summary = translation.finish()?;
    let commit = commit_of(header.commit, &summary, receipt.as_ref());
    let receipt = receipt.map(|receipt| receipt_of(receipt, &summary, rebuild.view())).transpose()?;
    rebuild.added(summary.pages);
    let draft = Draft { commit, pages: summary.pages, changes: summary.changes, totals: header.totals };
    rebuild.seal_draft(&draft, receipt.as_ref())?;
    Ok(())
}

fn read_header(old: &Engine, revision: Revision) -> Result<OldHeader> {
    let header = chunks::get(old, &keys::header_key(revision))?.ok_or_else(|| page::corrupt("no header"))?;
    let header: OldHeader = unpack(&header)?;
    if header.commit.revision != revision {
        return Err(page::corrupt(format!("its header is that of revision {}", header.commit.revision)));
    }
    Ok(header)
}

fn read_receipt(old: &Engine, header: &OldHeader) -> Result<Option<OldReceipt>> {
    let Some(request) = &header.commit.request_id else { return Ok(None) };
    chunks::get(old, &keys::receipt_key(request))?.map(|bytes| unpack(&bytes)).transpose()
}

fn commit_of(old: OldCommit, summary: &CommitSummary, receipt: Option<&OldReceipt>) -> Commit {
    let withdrawal = summary.edition.as_ref().filter(|edition| !edition.stands());
    Commit {
        revision: old.revision,
        recorded: old.recorded,
        author: old.author,
        cause: old.cause,
        note: old.note,
        // A withdrawal is released on its own day, not with the version that it withdraws.
        released: withdrawal.map_or(old.released, |edition| Some(edition.effective_day())),
        document_sha256: old.document_sha256,
        counts: counts_of(&old.counts, old.released, summary, receipt),
        request_id: old.request_id,
    }
}

/// Definitions are counted apart. A commit of format 2 has definitions or data, never both.
fn counts_of(old: &OldCounts, released: Option<Date>, summary: &CommitSummary, receipt: Option<&OldReceipt>) -> Counts {
    // A commit without records has definitions, or is a correction that changes nothing. The receipt of such a correction has
    // an edition; without a receipt the two look alike.
    let answers_edition = receipt.is_some_and(|receipt| receipt.edition.is_some());
    if summary.has_data || released.is_some() || answers_edition {
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
        definitions_added: summary.definitions_added,
        definitions_revised: summary.definitions_revised,
        definitions_unchanged: old.unchanged + summary.definitions_unchanged,
        ..Counts::default()
    }
}

/// The edition of the new receipt is the version that the commit brought. If the commit changed nothing, it is the version
/// that stood.
fn receipt_of(old: OldReceipt, summary: &CommitSummary, view: &View) -> Result<Receipt> {
    let edition = match (&old.edition, &summary.edition) {
        (None, _) => None,
        (Some(_), Some(brought)) => Some(brought.clone()),
        (Some(stood), None) => {
            let catalog = view.catalog();
            let now = Horizon::at(view.applied());
            match catalog.edition(&stood.ranking, &stood.edition, now) {
                Some(found) if found.revision == stood.revision => Some(found.as_ref().clone()),
                _ => return Err(page::corrupt("its receipt answers an edition that did not stand")),
            }
        }
    };
    Ok(Receipt { revision: old.revision, content: old.content, findings: old.findings, edition })
}

#[cfg(test)]
mod tests;
