//! Applies sealed commits to the view.
//!
//! A commit that was just made is applied from its staged pages. Only what was not staged is read from the ledger: the rest
//! of a very long commit, and after a crash all of it.
//!
//! Invariants: a commit is applied only after its seal is durable. Applying is idempotent: a commit that a crash left half
//! applied is applied again from its first page.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Ledger,
    log::Header,
    page::LedgerPage,
    record::Record,
    staged::{StagedPages, StagedRecord},
};
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
        apply(ledger, view, &header, StagedPages::default())?;
        view.show(revision);
        count += 1;
    }
    Ok(count)
}

/// Applies the next commit. `staged` are its first pages, or none. Readers see it after [`View::show`].
pub fn apply(ledger: &Ledger, view: &View, header: &Header, staged: StagedPages) -> Result<(), StoreError> {
    apply_in(view.engine().batch(), ledger, view, header, staged)
}

/// Applies the next commit by a batch that may have its seal already, and writes the batch.
pub(super) fn apply_in(
    batch: Batch<'_>,
    ledger: &Ledger,
    view: &View,
    header: &Header,
    staged: StagedPages,
) -> Result<(), StoreError> {
    let revision = header.commit.revision;
    let writer = view.write_in(batch);
    let mut application = Application { view, header, writer, series: None, table: CurrentTable::None };
    let mut from_ledger = 0..header.pages;
    for (page, _number) in staged.into_pages().into_iter().zip(from_ledger.by_ref()) {
        for record in page {
            application.staged(record)?;
        }
        crash_at(CrashPoint::PageApplied);
    }
    for number in from_ledger {
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
    fn staged(&mut self, staged: StagedRecord) -> Result<(), StoreError> {
        match staged {
            StagedRecord::Record(record) => self.record(record),
            StagedRecord::NewSeries(key, block) => {
                self.close_series()?;
                self.writer.new_series(&key, block)
            }
        }
    }

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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::{
        ledger::{
            plan::WriteRequest,
            testing::{TestLedger, day, entity, indicator, source},
            upload::{Mode, Point, Upload},
        },
        model::{
            catalog::{Definition, EntityKind},
            id::{IndicatorId, SourceId},
            period::Period,
            series::Dimensions,
            value::{Number, Value},
        },
    };

    /// Figures of `series` series from a year on, of which some have no value.
    fn upload(released: i32, mode: Mode, series: usize, years: std::ops::Range<i16>) -> WriteRequest {
        let mut upload = Upload::new(day(released), mode, BTreeSet::new(), &std::env::temp_dir());
        for number in 0..series {
            let code = number.to_string();
            let key = SeriesKey {
                indicator: IndicatorId::new("I").unwrap(),
                entity: EntityId::new("E").unwrap(),
                source: SourceId::new("s").unwrap(),
                dimensions: Dimensions::new([("PART", code.as_str())]).unwrap(),
            };
            let point = |year: i16| -> Point {
                let mantissa = i64::from(year) * number as i64 + i64::from(released);
                let value = Value::number(Number::Decimal { mantissa, decimals: 2 });
                (Period::year(year).unwrap(), (number % 7 > 0 || year % 2 > 0).then_some(value))
            };
            upload.add(key, &years.clone().map(point).collect::<Vec<_>>()).unwrap();
        }
        WriteRequest::Ingest { upload, definitions: Vec::new() }
    }

    /// What the store holds, but for the ids of its history, after commits of which so many bytes are staged.
    fn contents(staged_bytes_max: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let entity = Definition::Entity(entity("E", EntityKind::Economy, "E"));
        let mut test = TestLedger::with(vec![indicator("I"), source("s"), entity]);
        test.staged_bytes_max = Some(staged_bytes_max);
        test.write_whole(upload(3, Mode::Merge, 60, 1960..2010));
        test.write_whole(upload(1, Mode::Replace, 300, 1990..2000));
        test.write_whole(upload(5, Mode::Replace, 250, 1995..2015));
        let items = test.engine.scan(&[], None).map(|item| item.unwrap());
        let items = items.map(|(key, value)| (key.to_vec(), value.to_vec()));
        // Keys of the history begin with `M`, and `Mapplied` is the only other one.
        items.filter(|(key, _)| key[0] != b'M' || key == b"Mapplied").collect()
    }

    #[test]
    fn staged_pages_and_those_of_the_ledger_make_the_same_view() {
        let from_ledger = contents(0);
        assert!(from_ledger.len() > 300);
        for staged_bytes_max in [3_000, 30_000, usize::MAX] {
            assert!(contents(staged_bytes_max) == from_ledger, "{staged_bytes_max}");
        }
    }
}
