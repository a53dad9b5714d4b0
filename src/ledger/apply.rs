//! Applies a sealed commit to the view. Doing it twice is doing it once.

use super::{Ledger, log::Header, page::LedgerPage, record::Record};
use crate::{
    model::{
        edition::{EditionStatus, Entry, Table, sort_entries},
        id::{EntityId, Revision},
        series::{FigureVersion, SeriesKey},
    },
    store::{
        StoreError,
        faults::{CrashPoint, crash_at},
        view::{View, ViewWriter},
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// Applies what is sealed and not applied yet. Says how many commits that were.
pub fn catch_up(ledger: &Ledger, view: &View) -> Result<u64, StoreError> {
    let mut count = 0;
    while view.applied() < ledger.head() {
        let revision = view.applied().next();
        let header = ledger.header(revision)?.ok_or_else(|| missing(revision, "its header"))?;
        apply(ledger, view, &header)?;
        count += 1;
    }
    Ok(count)
}

/// Applies one commit, the next one.
pub fn apply(ledger: &Ledger, view: &View, header: &Header) -> Result<(), StoreError> {
    let revision = header.commit.revision;
    let mut application = Application { view, header, writer: view.write(), series: None, table: Open::No };
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

/// A commit half applied: the series and the edition whose records may go on.
struct Application<'a> {
    view: &'a View,
    header: &'a Header,
    writer: ViewWriter<'a>,
    series: Option<(SeriesKey, Vec<FigureVersion>)>,
    table: Open,
}

/// The edition whose entries may come.
enum Open {
    No,
    /// A version that this commit brings.
    New(Box<Table>, BTreeMap<EntityId, Entry>),
    /// A version that was there before. Its entries are known.
    Known,
}

impl Application<'_> {
    fn record(&mut self, record: Record) -> Result<(), StoreError> {
        match record {
            Record::Series(key, rows) => {
                let rows = rows.into_iter().map(|recorded| recorded.row);
                match &mut self.series {
                    Some((open, known)) if *open == key => known.extend(rows),
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
            Record::Definition(_, after) => self.writer.definition(self.header.commit.revision, &after)?,
            Record::Edition(before, after) => {
                self.close_table()?;
                let goes_on = after.status != EditionStatus::Withdrawn;
                let known = match before.filter(|before| goes_on && before.status != EditionStatus::Withdrawn) {
                    Some(before) => self.view.table(&Arc::new(*before))?.entries.clone(),
                    None => Vec::new(),
                };
                let known = known.into_iter().map(|entry| (entry.entity.clone(), entry)).collect();
                self.table = Open::New(Box::new(Table { edition: *after, entries: Vec::new() }), known);
            }
            Record::OlderEdition { older, .. } => {
                self.close_table()?;
                self.table = Open::New(Box::new(Table { edition: *older, entries: Vec::new() }), BTreeMap::new());
            }
            Record::OlderEntry(entry) => {
                let Open::New(_, entries) = &mut self.table else {
                    return Err(missing(self.header.commit.revision, "the edition of its entries"));
                };
                entries.insert(entry.entity.clone(), *entry);
            }
            Record::Entry(change) => {
                let entries = match &mut self.table {
                    Open::New(_, entries) => entries,
                    Open::Known => return Ok(()),
                    Open::No => return Err(missing(self.header.commit.revision, "the edition of its entries")),
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
                self.table = Open::Known;
            }
        }
        Ok(())
    }

    fn close_series(&mut self) -> Result<(), StoreError> {
        match self.series.take() {
            Some((key, rows)) => self.writer.series(&key, rows),
            None => Ok(()),
        }
    }

    fn close_table(&mut self) -> Result<(), StoreError> {
        let Open::New(mut table, entries) = std::mem::replace(&mut self.table, Open::No) else { return Ok(()) };
        table.entries = entries.into_values().collect();
        sort_entries(&mut table.entries);
        self.writer.table(&table)
    }

    fn finish(mut self) -> Result<(), StoreError> {
        self.close_series()?;
        self.close_table()?;
        crash_at(CrashPoint::AppliedUnmarked);
        self.writer.finish(self.header.commit.revision)
    }
}
