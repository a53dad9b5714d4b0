//! Applies sealed commits to the view.
//!
//! Invariant: applying is idempotent. A commit that a crash left half applied is applied again from its first page.

use std::{collections::BTreeMap, sync::Arc};

use super::{Ledger, log::Header, page::LedgerPage, record::Record};
use crate::{
    model::{
        edition::{Edition, Entry, Table, sort_entries},
        id::{EntityId, Revision},
        series::{FigureVersion, SeriesKey},
    },
    store::{
        StoreError,
        engine::Batch,
        faults::{CrashPoint, crash_at},
        view::{View, ViewWriter},
    },
};

/// Applies every commit that is sealed and not in the view yet. Returns how many.
pub fn catch_up(ledger: &Ledger, view: &View) -> Result<u64, StoreError> {
    let mut count = 0;
    while view.applied() < ledger.head() {
        let revision = view.applied().next();
        let header = ledger.header(revision)?.ok_or_else(|| missing(revision, "its header"))?;
        apply(ledger, view, &header)?;
        view.show(revision);
        count += 1;
    }
    Ok(count)
}

/// Applies the next commit. Readers see it after [`View::show`].
pub fn apply(ledger: &Ledger, view: &View, header: &Header) -> Result<(), StoreError> {
    apply_in(view.engine().batch(), ledger, view, header)
}

/// Applies the next commit by a batch that may have its seal already, and writes the batch.
pub(super) fn apply_in(batch: Batch<'_>, ledger: &Ledger, view: &View, header: &Header) -> Result<(), StoreError> {
    let revision = header.commit.revision;
    let writer = view.write_in(batch);
    let mut application = Application { view, header, writer, series: None, table: CurrentTable::None };
    for number in 0..header.pages {
        let bytes = ledger.read(revision, number)?.ok_or_else(|| missing(revision, &format!("page {number}")))?;
        for record in LedgerPage::decode(&bytes)?.records {
            application.record(record)?;
        }
        crash_at(CrashPoint::PageApplied);
    }
    application.finish()
}

fn missing(revision: Revision, what: &str) -> StoreError {
    StoreError::corrupt(format!("commit {revision} lacks {what}"))
}

/// A commit that is being applied.
struct Application<'a> {
    view: &'a View,
    header: &'a Header,
    writer: ViewWriter<'a>,
    /// The series whose rows may go on in the next record.
    series: Option<(SeriesKey, Vec<FigureVersion>)>,
    table: CurrentTable,
}

/// The edition whose entries may come next.
enum CurrentTable {
    None,
    /// A version that this commit brings, with its entries so far.
    New {
        edition: Box<Edition>,
        entries: BTreeMap<EntityId, Entry>,
    },
    /// A version that the view has already, because a revert made it stand again.
    InView,
}

impl Application<'_> {
    fn record(&mut self, record: Record) -> Result<(), StoreError> {
        match record {
            Record::Series(key, rows) => {
                let rows = rows.into_iter().map(|recorded| recorded.version);
                match &mut self.series {
                    Some((current, earlier)) if *current == key => earlier.extend(rows),
                    _ => {
                        self.close_series()?;
                        self.series = Some((key, rows.collect()));
                    }
                }
            }
            Record::FullRelease(indicator, source) => {
                let released = self.header.commit.released;
                let released = released.ok_or_else(|| missing(self.header.commit.revision, "its release date"))?;
                self.writer.full_release(&indicator, &source, released, self.header.commit.revision)?;
            }
            Record::Definition { after, .. } => self.writer.definition(self.header.commit.revision, &after)?,
            Record::Edition { before, after } => {
                self.close_table()?;
                let entries = match before {
                    Some(before) if before.stands() && after.stands() => self.entries_of(*before)?,
                    _ => BTreeMap::new(),
                };
                self.table = CurrentTable::New { edition: after, entries };
            }
            Record::OlderEdition { older, .. } => {
                self.close_table()?;
                self.table = CurrentTable::New { edition: older, entries: BTreeMap::new() };
            }
            Record::OlderEntry(entry) => {
                let CurrentTable::New { entries, .. } = &mut self.table else {
                    return Err(missing(self.header.commit.revision, "the edition of its entries"));
                };
                entries.insert(entry.entity.clone(), *entry);
            }
            Record::Entry(change) => {
                let entries = match &mut self.table {
                    CurrentTable::New { entries, .. } => entries,
                    CurrentTable::InView => return Ok(()),
                    CurrentTable::None => {
                        return Err(missing(self.header.commit.revision, "the edition of its entries"));
                    }
                };
                match change.after {
                    Some(entry) => entries.insert(change.entity, *entry),
                    None => entries.remove(&change.entity),
                };
            }
            Record::Reverted(revisions) => self.writer.revert(self.header.commit.revision, revisions)?,
            Record::RevertedDefinition(_) => {}
            Record::RevertedEdition { .. } => {
                self.close_table()?;
                self.table = CurrentTable::InView;
            }
        }
        Ok(())
    }

    fn entries_of(&self, edition: Edition) -> Result<BTreeMap<EntityId, Entry>, StoreError> {
        let table = self.view.table(&Arc::new(edition))?;
        Ok(table.entries.iter().map(|entry| (entry.entity.clone(), entry.clone())).collect())
    }

    fn close_series(&mut self) -> Result<(), StoreError> {
        match self.series.take() {
            Some((key, rows)) => self.writer.series(&key, rows),
            None => Ok(()),
        }
    }

    fn close_table(&mut self) -> Result<(), StoreError> {
        let CurrentTable::New { edition, entries } = std::mem::replace(&mut self.table, CurrentTable::None) else {
            return Ok(());
        };
        let mut entries: Vec<Entry> = entries.into_values().collect();
        sort_entries(&mut entries);
        self.writer.table(&Table { edition: *edition, entries })
    }

    fn finish(mut self) -> Result<(), StoreError> {
        self.close_series()?;
        self.close_table()?;
        crash_at(CrashPoint::AppliedUnmarked);
        self.writer.finish(self.header.commit.revision)
    }
}
