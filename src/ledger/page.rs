//! Pages: the unit in which a commit is written, read, and sent.
//!
//! A page holds whole records, in order, and says the number of its first change. Names are spelled once a page, rows are
//! packed as in the series blocks. A page is decoded on its own: reading the last page of a commit does not need the first.
//!
//! Invariant: a page has at most [`PAGE_CHANGES_MAX`] changes, and what it decodes to is bounded by its length.

use super::record::{Record, RecordedRow};
use crate::{
    model::{
        change::ValueMove,
        id::{EntityId, IndicatorId, Revision, SourceId},
        series::{Dimensions, Row, SeriesKey},
        time::Date,
    },
    store::{
        StoreError,
        bytes::{Reader, put_bytes, put_runs, put_varint},
        engine::Result,
        records::{pack, unpack},
        rows::{decode_rows_up_to, encode_rows},
    },
};

/// Most rows or changes in a page: about 40 KiB of them as sent.
pub const PAGE_CHANGES_MAX: usize = 256;
/// A page is closed when it is this long.
pub const PAGE_BYTES: usize = 12 * 1024;
const VERSION: u8 = 3;

const SERIES: u8 = 1;
const FULL_RELEASE: u8 = 2;
const DEFINITION: u8 = 3;
const EDITION: u8 = 4;
const ENTRY: u8 = 5;

/// A decoded page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Number of its first change in the commit.
    pub first_change: u64,
    /// Its records.
    pub records: Vec<Record>,
}

/// Builds a page.
#[derive(Debug, Default)]
pub struct PageEncoder {
    first_change: u64,
    changes: u64,
    weight: usize,
    names: Vec<String>,
    body: Vec<u8>,
}

impl PageEncoder {
    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Whether it should be closed before more is added.
    pub fn is_full(&self) -> bool {
        self.weight >= PAGE_CHANGES_MAX || self.body.len() >= PAGE_BYTES
    }

    /// Rows of a series that still fit.
    pub fn room(&self) -> usize {
        PAGE_CHANGES_MAX.saturating_sub(self.weight)
    }

    /// Adds a record.
    pub fn add(&mut self, record: &Record) -> Result<()> {
        self.changes += record.change_count();
        self.weight += weight(record);
        match record {
            Record::Series(key, rows) => self.add_series(key, rows),
            Record::FullRelease(indicator, source) => {
                self.body.push(FULL_RELEASE);
                self.name(indicator.as_str());
                self.name(source.as_str());
            }
            Record::Definition(before, after) => self.packed(DEFINITION, &pack(&(before, after))?),
            Record::Edition(before, after) => self.packed(EDITION, &pack(&(before, after))?),
            Record::Entry(change) => self.packed(ENTRY, &pack(change)?),
        }
        Ok(())
    }

    /// The page as bytes; the encoder goes on with the next page.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put_varint(&mut bytes, self.first_change);
        bytes.append(&mut self.body);
        self.first_change += self.changes;
        (self.changes, self.weight) = (0, 0);
        self.names.clear();
        bytes
    }

    fn add_series(&mut self, key: &SeriesKey, recorded: &[RecordedRow]) {
        self.body.push(SERIES);
        self.name(key.indicator.as_str());
        self.name(key.entity.as_str());
        self.name(key.source.as_str());
        self.name(key.dimensions.as_str());
        let rows: Vec<Row> = recorded.iter().map(|recorded| recorded.row.clone()).collect();
        encode_rows(&mut self.body, &rows);
        let movements: Vec<u8> = recorded.iter().map(movement_code).collect();
        put_runs(&mut self.body, &movements, |out, code| out.push(code));
        // Before-values as rows without a time of their own; only what changed from something has one.
        let befores: Vec<Row> = recorded
            .iter()
            .filter(|recorded| has_before(recorded.movement))
            .map(|recorded| Row {
                revision: Revision::ZERO,
                released: Date::EPOCH,
                value: recorded.before.clone(),
                ..recorded.row
            })
            .collect();
        encode_rows(&mut self.body, &befores);
    }

    fn packed(&mut self, kind: u8, bytes: &[u8]) {
        self.body.push(kind);
        put_bytes(&mut self.body, bytes);
    }

    /// A name: its number if this page spelled it before, else 0 and the name.
    fn name(&mut self, name: &str) {
        // Newest first: entities follow each other, indicators stay.
        match self.names.iter().rposition(|known| known == name) {
            Some(at) => put_varint(&mut self.body, at as u64 + 1),
            None => {
                put_varint(&mut self.body, 0);
                put_bytes(&mut self.body, name.as_bytes());
                self.names.push(name.to_owned());
            }
        }
    }
}

impl Page {
    /// Decodes what [`PageEncoder::finish`] gave.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(corrupt(format!("ledger page version {version}")));
        }
        let first_change = reader.varint()?;
        let mut names = Vec::new();
        let mut records = Vec::new();
        let mut room = PAGE_CHANGES_MAX;
        while !reader.is_empty() {
            let record = read_record(&mut reader, &mut names, room)?;
            let left = room.checked_sub(weight(&record));
            room = left.ok_or_else(|| corrupt("more than a page may hold"))?;
            records.push(record);
        }
        Ok(Self { first_change, records })
    }

    /// The changes that subscribers see, with their numbers.
    pub fn changes(&self) -> Vec<(u64, crate::model::change::Change)> {
        let changes = self.records.iter().flat_map(Record::changes);
        changes.enumerate().map(|(at, change)| (self.first_change + at as u64, change)).collect()
    }
}

/// How much of a page's room a record takes.
fn weight(record: &Record) -> usize {
    if let Record::Series(_, rows) = record { rows.len() } else { 1 }
}

/// Reads a record with at most so many rows.
fn read_record<'a>(reader: &mut Reader<'a>, names: &mut Vec<&'a str>, room: usize) -> Result<Record> {
    Ok(match reader.byte()? {
        SERIES => {
            let key = SeriesKey {
                indicator: IndicatorId::new(read_name(reader, names)?).map_err(corrupt)?,
                entity: EntityId::new(read_name(reader, names)?).map_err(corrupt)?,
                source: SourceId::new(read_name(reader, names)?).map_err(corrupt)?,
                dimensions: Dimensions::from_stored(read_name(reader, names)?.to_owned()),
            };
            Record::Series(key, read_rows(reader, room)?)
        }
        FULL_RELEASE => Record::FullRelease(
            IndicatorId::new(read_name(reader, names)?).map_err(corrupt)?,
            SourceId::new(read_name(reader, names)?).map_err(corrupt)?,
        ),
        DEFINITION => {
            let (before, after) = unpack(reader.bytes()?)?;
            Record::Definition(before, after)
        }
        EDITION => {
            let (before, after) = unpack(reader.bytes()?)?;
            Record::Edition(before, after)
        }
        ENTRY => Record::Entry(Box::new(unpack(reader.bytes()?)?)),
        kind => return Err(corrupt(format!("a record of unknown kind {kind}"))),
    })
}

fn read_name<'a>(reader: &mut Reader<'a>, names: &mut Vec<&'a str>) -> Result<&'a str> {
    match usize::try_from(reader.varint()?) {
        Ok(0) => {
            let name = reader.text()?;
            names.push(name);
            Ok(name)
        }
        Ok(number) => names.get(number - 1).copied().ok_or_else(|| corrupt("a name that was not spelled")),
        Err(_) => Err(corrupt("a name number above the address space")),
    }
}

fn read_rows(reader: &mut Reader<'_>, room: usize) -> Result<Vec<RecordedRow>> {
    let rows = decode_rows_up_to(reader, room)?;
    let movements = reader.runs(rows.len(), |reader| movement_of(reader.byte()?))?;
    let mut befores = decode_rows_up_to(reader, rows.len())?.into_iter();
    rows.into_iter()
        .zip(movements)
        .map(|(row, movement)| {
            let before = match has_before(movement) {
                true => befores.next().ok_or_else(|| corrupt("a change without its before-value"))?.value,
                false => None,
            };
            Ok(RecordedRow { row, movement, before })
        })
        .collect()
}

fn has_before(movement: Option<ValueMove>) -> bool {
    !matches!(movement, None | Some(ValueMove::Added))
}

fn movement_code(recorded: &RecordedRow) -> u8 {
    match recorded.movement {
        None => 0,
        Some(ValueMove::Added) => 1,
        Some(ValueMove::Revised) => 2,
        Some(ValueMove::Withdrawn) => 3,
        Some(ValueMove::Backfilled) => 4,
    }
}

fn movement_of(code: u8) -> Result<Option<ValueMove>> {
    Ok(match code {
        0 => None,
        1 => Some(ValueMove::Added),
        2 => Some(ValueMove::Revised),
        3 => Some(ValueMove::Withdrawn),
        4 => Some(ValueMove::Backfilled),
        _ => return Err(corrupt("an unknown movement")),
    })
}

fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("ledger page: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::rows::tests::{any_row, any_value};

    fn any_record() -> impl Strategy<Value = Record> {
        let movement = prop_oneof![
            Just(None),
            Just(Some(ValueMove::Added)),
            Just(Some(ValueMove::Revised)),
            Just(Some(ValueMove::Withdrawn)),
            Just(Some(ValueMove::Backfilled)),
        ];
        let recorded = (any_row(), movement, any_value()).prop_map(|(row, movement, before)| RecordedRow {
            before: has_before(movement).then_some(before),
            row,
            movement,
        });
        ("[A-C]\\.X", "[A-D]{3}", proptest::collection::vec(recorded, 0..40)).prop_map(|(indicator, entity, rows)| {
            let key = SeriesKey {
                indicator: IndicatorId::new(&indicator).unwrap(),
                entity: EntityId::new(&entity).unwrap(),
                source: SourceId::new("s").unwrap(),
                dimensions: Dimensions::default(),
            };
            Record::Series(key, rows)
        })
    }

    proptest! {
        #[test]
        fn pages_come_back_and_changes_are_numbered_through(commit in proptest::collection::vec(proptest::collection::vec(any_record(), 0..5), 1..4)) {
            let mut encoder = PageEncoder::default();
            let mut expected = 0;
            for records in commit {
                records.iter().for_each(|record| encoder.add(record).unwrap());
                let page = Page::decode(&encoder.finish()).unwrap();
                prop_assert_eq!(page.first_change, expected);
                expected += page.changes().len() as u64;
                prop_assert_eq!(page.records, records);
            }
        }

        #[test]
        fn damaged_pages_are_refused_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            bytes.insert(0, VERSION);
            let _ = Page::decode(&bytes);
        }
    }
}
