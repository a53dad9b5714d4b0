//! A folder of format 2 becomes one of format 3: its commits are replayed, one after the other, into a new folder.
//!
//! Revisions, recorded times, authors, notes, request ids and receipts stay, and so do the history and its secret. Commits
//! get the content and chain hashes that format 2 lacks; changes of figures get the whole versions that answered before and
//! after, looked up in the view of the new folder. Stored cursors are dropped: the tokens in them are outdated.
//!
//! Format 2 is decoded here and nowhere else. The old folder is opened to be read, which lets sled tidy its own files, and
//! nothing in it is changed.
//!
//! Invariant: the new folder appears under its name whole, or not at all.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    bundle,
    log::{self, Draft, Receipt, Totals},
    page::{self, DEFINITION, EDITION, ENTRY, FULL_RELEASE, PAGE_CHANGES_MAX, SERIES},
    plan::Sink,
    rebuild::{Identity, Rebuild},
    record::{Record, RecordedRow},
};
use crate::{
    model::{
        change::{Cause, Commit, Counts, ValueMove},
        id::{HistoryId, RequestId, Revision},
        series::{Row, SeriesKey},
        time::{Date, Instant},
        value::Value,
    },
    store::{
        Engine, StoreError, bytes::Reader, chunks, engine::Result, records::unpack, rows::decode_rows_up_to, view::View,
    },
};

/// Version of the pages of format 2.
const PAGE_VERSION: u8 = 2;

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
    /// A folder is in the way or cannot be opened, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was brought over.
#[derive(Debug, Clone, Copy)]
pub struct Migrated {
    /// The newest revision.
    pub revision: Revision,
}

/// Makes the folder `new` from the folder `old`. `new` must be empty or not there.
pub fn migrate(old: &Path, new: &Path) -> std::result::Result<Migrated, MigrateError> {
    let occupied = fs::read_dir(new).is_ok_and(|mut items| items.next().is_some()) || new.is_file();
    if occupied {
        return Err(StoreError::Occupied { folder: new.to_owned() }.into());
    }
    if !old.is_dir() {
        return Err(StoreError::NotBefore { folder: old.to_owned() }.into());
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
        fs::remove_dir_all(&building).map_err(StoreError::Io)?;
    }
    let built = build(&engine, old, &building).and_then(|migrated| {
        fs::rename(&building, new).map_err(StoreError::Io)?;
        Ok(migrated)
    });
    if built.is_err() {
        let _ = fs::remove_dir_all(&building);
    }
    built
}

fn build(old: &Engine, folder: &Path, building: &Path) -> std::result::Result<Migrated, MigrateError> {
    let history = chunks::get(old, log::HISTORY_KEY)?;
    let identity: Option<([u8; 16], [u8; 32])> = history.map(|bytes| unpack(&bytes)).transpose()?;
    let identity = identity.map(|(history, secret)| Identity { history: HistoryId(history), secret });
    let mut rebuild = Rebuild::start(building, identity)?;
    let head = match old.last_at_or_before(&[log::HEADERS; 16])? {
        Some((key, _)) if key.first() == Some(&log::HEADERS) => log::revision_of(&key)?,
        _ => Revision::ZERO,
    };
    while rebuild.head() < head {
        let revision = rebuild.head().next();
        migrate_commit(old, revision, &mut rebuild).map_err(|error| match error {
            StoreError::Corrupt(detail) => MigrateError::Damaged { folder: folder.to_owned(), revision, detail },
            error => error.into(),
        })?;
    }
    rebuild.finish()?;
    Ok(Migrated { revision: head })
}

/// Replays one commit: its pages, its receipt, its seal.
fn migrate_commit(old: &Engine, revision: Revision, rebuild: &mut Rebuild) -> Result<()> {
    let header = chunks::get(old, &log::header_key(revision))?.ok_or_else(|| page::corrupt("no header"))?;
    let header: OldHeader = unpack(&header)?;
    let receipt = match &header.commit.request_id {
        Some(request) => chunks::get(old, &log::receipt_key(request))?,
        None => None,
    };
    let receipt: Option<Receipt> = receipt.map(|bytes| unpack(&bytes)).transpose()?;
    let mut translation = Translation { view: rebuild.view(), sink: rebuild.sink(), series: None };
    let mut pages = 0;
    let prefix = [&[log::PAGES][..], &revision.0.to_be_bytes()].concat();
    for item in chunks::scan(old, &prefix) {
        for bytes in bundle::unpack(&item?.1)? {
            read_page(&bytes)?.into_iter().try_for_each(|record| translation.add(record))?;
            pages += 1;
        }
    }
    if pages != header.pages {
        return Err(page::corrupt(format!("{pages} pages, and its header says {}", header.pages)));
    }
    let (pages, changes) = translation.finish()?;
    rebuild.added(pages);
    let commit = header.commit.into_commit(revision)?;
    let draft = Draft { commit, pages, changes, totals: header.totals };
    rebuild.seal_draft(&draft, receipt.as_ref())?;
    Ok(())
}

/// Turns the records of one commit into those of format 3.
struct Translation<'a> {
    /// As it was before the commit.
    view: &'a View,
    sink: Sink<'a>,
    /// The series whose rows may go on in the next record.
    series: Option<(SeriesKey, Vec<OldRow>)>,
}

impl Translation<'_> {
    fn add(&mut self, record: OldRecord) -> Result<()> {
        match record {
            OldRecord::Series(key, rows) => match &mut self.series {
                Some((open, known)) if *open == key => known.extend(rows),
                _ => {
                    self.close_series()?;
                    self.series = Some((key, rows));
                }
            },
            OldRecord::Other(record) => {
                self.close_series()?;
                self.sink.add(record)?;
            }
        }
        Ok(())
    }

    fn close_series(&mut self) -> Result<()> {
        let Some((key, rows)) = self.series.take() else { return Ok(()) };
        let known = self.view.series_ids(&key).map_or(Ok(Vec::new()), |ids| self.view.rows(ids))?;
        let mut recorded = Vec::with_capacity(rows.len());
        for of_period in rows.chunk_by(|a, b| a.row.period == b.row.period) {
            let period = of_period[0].row.period;
            let known: Vec<Row> = known.iter().filter(|row| row.period == period).cloned().collect();
            let added = of_period.iter().map(|old| old.row.clone());
            let with: Vec<Row> = known.iter().cloned().chain(added).collect();
            for old in of_period {
                recorded.push(answered(old, &known, &with)?);
            }
        }
        self.sink.add(Record::Series(key, recorded))
    }

    /// How many pages and changes the commit has.
    fn finish(mut self) -> Result<(u32, u64)> {
        self.close_series()?;
        self.sink.finish()?;
        Ok((self.sink.pages, self.sink.changes))
    }
}

/// A row with the versions that answer before and after. What format 2 says of them must agree.
fn answered(old: &OldRow, known: &[Row], with: &[Row]) -> Result<RecordedRow> {
    let Some(movement) = old.movement else { return Ok(RecordedRow::silent(old.row.clone())) };
    let told = RecordedRow::told(old.row.clone(), known, with);
    let same_before = movement == ValueMove::Added || told.before.as_ref().and_then(Row::value) == old.before.as_ref();
    match told.movement == Some(movement) && same_before {
        true => Ok(told),
        false => Err(page::corrupt(format!("the figure of {} was not what the commit says it was", old.row.period))),
    }
}

/// A part of a commit in format 2.
enum OldRecord {
    Series(SeriesKey, Vec<OldRow>),
    /// What format 3 keeps as it is.
    Other(Record),
}

/// A version of a figure in format 2: of what was before, only the value.
struct OldRow {
    row: Row,
    movement: Option<ValueMove>,
    before: Option<Value>,
}

fn read_page(bytes: &[u8]) -> Result<Vec<OldRecord>> {
    let mut reader = Reader::new(bytes);
    let version = reader.byte()?;
    if version != PAGE_VERSION {
        return Err(page::corrupt(format!("version {version}")));
    }
    let _first_change = reader.varint()?;
    let mut names = Vec::new();
    let mut records = Vec::new();
    while !reader.is_empty() {
        records.push(read_record(&mut reader, &mut names)?);
    }
    Ok(records)
}

fn read_record<'a>(reader: &mut Reader<'a>, names: &mut Vec<&'a str>) -> Result<OldRecord> {
    let record = match reader.byte()? {
        SERIES => {
            let key = page::read_key(reader, names)?;
            return Ok(OldRecord::Series(key, read_rows(reader)?));
        }
        FULL_RELEASE => {
            let (indicator, source) = page::read_release(reader, names)?;
            Record::FullRelease(indicator, source)
        }
        DEFINITION => {
            let (before, after) = unpack(reader.bytes()?)?;
            Record::Definition(before, after)
        }
        EDITION => {
            let (before, after) = unpack(reader.bytes()?)?;
            Record::Edition(before, after)
        }
        ENTRY => {
            return Err(page::corrupt("entries are not migrated yet"));
        }
        kind => return Err(page::corrupt(format!("a record of unknown kind {kind}"))),
    };
    Ok(OldRecord::Other(record))
}

fn read_rows(reader: &mut Reader<'_>) -> Result<Vec<OldRow>> {
    let rows = decode_rows_up_to(reader, PAGE_CHANGES_MAX)?;
    let movements = reader.runs(rows.len(), |reader| page::movement_of(reader.byte()?))?;
    let mut befores = decode_rows_up_to(reader, rows.len())?.into_iter();
    let mut old = Vec::with_capacity(rows.len());
    for (row, movement) in rows.into_iter().zip(movements) {
        let before = match movement {
            None | Some(ValueMove::Added) => None,
            Some(_) => {
                befores.next().ok_or_else(|| page::corrupt("a change without its before-value"))?.value().cloned()
            }
        };
        old.push(OldRow { row, movement, before });
    }
    Ok(old)
}

/// A header of format 2.
#[derive(Debug, Deserialize)]
struct OldHeader {
    commit: OldCommit,
    pages: u32,
    totals: Totals,
}

#[derive(Debug, Deserialize)]
struct OldCommit {
    revision: Revision,
    recorded: Instant,
    author: String,
    cause: Cause,
    note: String,
    released: Option<Date>,
    document_sha256: String,
    counts: OldCounts,
    request_id: Option<RequestId>,
}

#[derive(Debug, Deserialize)]
struct OldCounts {
    added: u64,
    revised: u64,
    unchanged: u64,
    withdrawn: u64,
    backfilled: u64,
}

impl OldCommit {
    fn into_commit(self, revision: Revision) -> Result<Commit> {
        if self.revision != revision {
            return Err(page::corrupt(format!("its header is that of revision {}", self.revision)));
        }
        Ok(Commit {
            revision,
            recorded: self.recorded,
            author: self.author,
            cause: self.cause,
            note: self.note,
            released: self.released,
            document_sha256: self.document_sha256,
            counts: Counts {
                added: self.counts.added,
                revised: self.counts.revised,
                unchanged: self.counts.unchanged,
                withdrawn: self.counts.withdrawn,
                backfilled: self.counts.backfilled,
                ..Counts::default()
            },
            request_id: self.request_id,
        })
    }
}

#[cfg(test)]
mod tests;
