//! Pages: a commit is written, read and sent in pages.
//!
//! A page holds whole records, in order, and the number of its first change. It writes each name once and packs versions as
//! the series blocks do. Each page is decoded on its own: a reader of the last page does not need the first.
//!
//! Invariant: a page has at most [`PAGE_CHANGES_MAX`] changes, and the memory to decode it is bounded by its length.

use super::record::{Record, RecordedVersion};
use crate::{
    model::{
        change::{Change, DefinitionChange, FigureMovement},
        id::{EntityId, IndicatorId, SourceId},
        period::Period,
        series::{Dimensions, FigureVersion, SeriesKey},
    },
    store::{
        StoreError,
        bytes::{Reader, put_bytes, put_runs, put_varint},
        error::Result,
        records::{pack, unpack},
        versions::{decode_versions_up_to, encode_versions},
    },
};

/// Most versions or changes of a page. As messages they take about 40 KiB.
pub const PAGE_CHANGES_MAX: usize = 256;
/// The encoder closes a page that has so many bytes.
pub const PAGE_BYTES: usize = 12 * 1024;
const VERSION: u8 = 3;

pub(super) const SERIES: u8 = 1;
pub(super) const FULL_RELEASE: u8 = 2;
pub(super) const DEFINITION: u8 = 3;
pub(super) const EDITION: u8 = 4;
pub(super) const ENTRY: u8 = 5;
const OLDER_EDITION: u8 = 6;
const OLDER_ENTRY: u8 = 7;
const REVERTED: u8 = 8;
const REVERTED_DEFINITION: u8 = 9;
const REVERTED_EDITION: u8 = 10;

#[derive(Debug, Clone, PartialEq)]
pub struct LedgerPage {
    /// Number of its first change in the commit.
    pub first_change: u64,
    pub records: Vec<Record>,
}

/// Encodes records into pages.
#[derive(Debug, Default)]
pub struct PageEncoder {
    first_change: u64,
    changes: u64,
    /// Versions and other records so far.
    weight: usize,
    /// Names in this page, in order: later uses refer to the number.
    names: Vec<String>,
    body: Vec<u8>,
}

impl PageEncoder {
    /// Whether the page has no record yet.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Whether the page must be closed before the next record.
    pub fn is_full(&self) -> bool {
        self.weight >= PAGE_CHANGES_MAX || self.body.len() >= PAGE_BYTES
    }

    /// How many versions of a series still fit.
    pub fn room(&self) -> usize {
        PAGE_CHANGES_MAX.saturating_sub(self.weight)
    }

    /// Bytes of the page so far.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    pub fn add(&mut self, record: &Record) -> Result<()> {
        self.changes += record.change_count();
        self.weight += weight(record);
        match record {
            Record::Series(key, versions) => self.add_series(key, versions),
            Record::FullRelease(indicator, source) => {
                self.body.push(FULL_RELEASE);
                self.name(indicator.as_str());
                self.name(source.as_str());
            }
            Record::Definition { before, after } => self.packed(DEFINITION, &pack(&(before, after))?),
            Record::Edition { before, after } => self.packed(EDITION, &pack(&(before, after))?),
            Record::OlderEdition { standing, older } => self.packed(OLDER_EDITION, &pack(&(standing, older))?),
            Record::OlderEntry(entry) => self.packed(OLDER_ENTRY, &pack(entry)?),
            Record::Entry(change) => self.packed(ENTRY, &pack(change)?),
            Record::Reverted(revisions) => self.packed(REVERTED, &pack(revisions)?),
            Record::RevertedDefinition(change) => {
                self.packed(REVERTED_DEFINITION, &pack(&(&change.before, &change.after))?);
            }
            Record::RevertedEdition { before, after } => self.packed(REVERTED_EDITION, &pack(&(before, after))?),
        }
        Ok(())
    }

    /// Closes the page and starts the next one. Returns the bytes.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put_varint(&mut bytes, self.first_change);
        bytes.append(&mut self.body);
        self.first_change += self.changes;
        self.changes = 0;
        self.weight = 0;
        self.names.clear();
        bytes
    }

    /// Adds all versions of a new series, which subscribers see as added: at most [`PAGE_CHANGES_MAX`], one a period, each
    /// with a value. It is [`PageEncoder::add`] of their record, without decoding `versions`.
    pub fn add_new_series(&mut self, key: &SeriesKey, versions: &[u8], count: usize) {
        self.changes += count as u64;
        self.weight += count;
        self.start_series(key);
        self.body.extend_from_slice(versions);
        for code in [ADDED, AFTER_RECORDED] {
            self.body.push(code);
            put_varint(&mut self.body, count as u64);
        }
        for _before_and_after in 0..2 {
            encode_versions(&mut self.body, &[]);
        }
    }

    /// The page that has one new series and nothing else: see [`PageEncoder::add_new_series`].
    pub fn of_new_series(key: &SeriesKey, versions: &[u8], count: usize) -> Vec<u8> {
        let mut encoder = Self::default();
        encoder.add_new_series(key, versions, count);
        encoder.finish()
    }

    fn start_series(&mut self, key: &SeriesKey) {
        self.body.push(SERIES);
        self.name(key.indicator.as_str());
        self.name(key.entity.as_str());
        self.name(key.source.as_str());
        self.name(key.dimensions.as_str());
    }

    fn add_series(&mut self, key: &SeriesKey, recorded: &[RecordedVersion]) {
        self.start_series(key);
        let versions: Vec<FigureVersion> = recorded.iter().map(|recorded| recorded.version.clone()).collect();
        encode_versions(&mut self.body, &versions);
        let movements: Vec<u8> = recorded.iter().map(movement_code).collect();
        put_runs(&mut self.body, &movements, |out, code| out.push(code));
        let answers: Vec<u8> = recorded.iter().map(answers_code).collect();
        put_runs(&mut self.body, &answers, |out, code| out.push(code));
        let mut befores = Vec::new();
        let mut afters = Vec::new();
        for (recorded, answers) in recorded.iter().zip(answers) {
            befores.extend(recorded.before.clone());
            if answers & AFTER_BITS == AFTER_APART {
                afters.extend(recorded.after.clone());
            }
        }
        encode_versions(&mut self.body, &befores);
        encode_versions(&mut self.body, &afters);
    }

    fn packed(&mut self, kind: u8, bytes: &[u8]) {
        self.body.push(kind);
        put_bytes(&mut self.body, bytes);
    }

    /// Adds a name: its number if this page has it, else 0 and the name.
    fn name(&mut self, name: &str) {
        // From the end: most names were written a moment ago.
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

impl LedgerPage {
    /// Decodes bytes that [`PageEncoder::finish`] made.
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
            room = room.checked_sub(weight(&record)).ok_or_else(|| corrupt("more than a page may hold"))?;
            records.push(record);
        }
        Ok(Self { first_change, records })
    }

    /// The changes that subscribers see, with their numbers.
    pub fn changes(&self) -> Vec<(u64, Change)> {
        (self.first_change..).zip(self.records.iter().flat_map(Record::changes)).collect()
    }
}

/// How much of the room of a page a record takes, in versions.
fn weight(record: &Record) -> usize {
    if let Record::Series(_, versions) = record { versions.len() } else { 1 }
}

/// Reads a record with at most `room` versions.
fn read_record<'a>(reader: &mut Reader<'a>, names: &mut Vec<&'a str>, room: usize) -> Result<Record> {
    Ok(match reader.byte()? {
        SERIES => {
            let key = read_key(reader, names)?;
            Record::Series(key, read_rows(reader, room)?)
        }
        FULL_RELEASE => {
            let (indicator, source) = read_release(reader, names)?;
            Record::FullRelease(indicator, source)
        }
        DEFINITION => {
            let (before, after) = unpack(reader.bytes()?)?;
            Record::Definition { before, after }
        }
        EDITION => {
            let (before, after) = unpack(reader.bytes()?)?;
            Record::Edition { before, after }
        }
        OLDER_EDITION => {
            let (standing, older) = unpack(reader.bytes()?)?;
            Record::OlderEdition { standing, older }
        }
        OLDER_ENTRY => Record::OlderEntry(unpack(reader.bytes()?)?),
        ENTRY => Record::Entry(Box::new(unpack(reader.bytes()?)?)),
        REVERTED => Record::Reverted(unpack(reader.bytes()?)?),
        REVERTED_DEFINITION => {
            let (before, after) = unpack(reader.bytes()?)?;
            Record::RevertedDefinition(DefinitionChange { before, after })
        }
        REVERTED_EDITION => {
            let (before, after) = unpack(reader.bytes()?)?;
            Record::RevertedEdition { before, after }
        }
        kind => return Err(corrupt(format!("a record of unknown kind {kind}"))),
    })
}

pub(super) fn read_key<'a>(reader: &mut Reader<'a>, names: &mut Vec<&'a str>) -> Result<SeriesKey> {
    Ok(SeriesKey {
        indicator: IndicatorId::new(read_name(reader, names)?).map_err(corrupt)?,
        entity: EntityId::new(read_name(reader, names)?).map_err(corrupt)?,
        source: SourceId::new(read_name(reader, names)?).map_err(corrupt)?,
        dimensions: Dimensions::from_stored(read_name(reader, names)?.to_owned()),
    })
}

pub(super) fn read_release<'a>(reader: &mut Reader<'a>, names: &mut Vec<&'a str>) -> Result<(IndicatorId, SourceId)> {
    let indicator = IndicatorId::new(read_name(reader, names)?).map_err(corrupt)?;
    let source = SourceId::new(read_name(reader, names)?).map_err(corrupt)?;
    Ok((indicator, source))
}

fn read_name<'a>(reader: &mut Reader<'a>, names: &mut Vec<&'a str>) -> Result<&'a str> {
    match usize::try_from(reader.varint()?) {
        Ok(0) => {
            let name = reader.text()?;
            names.push(name);
            Ok(name)
        }
        Ok(number) => names.get(number - 1).copied().ok_or_else(|| corrupt("a name that is not in the page")),
        Err(_) => Err(corrupt("a name number above the address space")),
    }
}

fn read_rows(reader: &mut Reader<'_>, room: usize) -> Result<Vec<RecordedVersion>> {
    let versions = decode_versions_up_to(reader, room)?;
    let movements = reader.runs(versions.len(), |reader| movement_of(reader.byte()?))?;
    let answers = reader.runs(versions.len(), Reader::byte)?;
    let mut befores = decode_versions_up_to(reader, versions.len())?.into_iter();
    let mut afters = decode_versions_up_to(reader, versions.len())?.into_iter();
    let mut recorded = Vec::with_capacity(versions.len());
    for ((version, movement), answers) in versions.into_iter().zip(movements).zip(answers) {
        if answers & !(WITH_BEFORE | AFTER_BITS) != 0 || (answers != 0 && movement.is_none()) {
            return Err(corrupt("answers of an unknown kind"));
        }
        let before = if answers & WITH_BEFORE == 0 { None } else { Some(next_answer(&mut befores, version.period)?) };
        let after = match answers & AFTER_BITS {
            AFTER_NONE => None,
            AFTER_RECORDED => Some(version.clone()),
            AFTER_AS_BEFORE => before.clone(),
            _ => Some(next_answer(&mut afters, version.period)?),
        };
        recorded.push(RecordedVersion { version, movement, before, after });
    }
    match (befores.next(), afters.next()) {
        (None, None) => Ok(recorded),
        _ => Err(corrupt("more answers than changes")),
    }
}

fn next_answer(answers: &mut impl Iterator<Item = FigureVersion>, period: Period) -> Result<FigureVersion> {
    match answers.next() {
        Some(version) if version.period == period => Ok(version),
        _ => Err(corrupt("a change without the version that answers")),
    }
}

// One byte says which versions answer before and after the commit of a version: a bit for the version before, and two bits for
// the version after.

const WITH_BEFORE: u8 = 1;
const AFTER_BITS: u8 = 6;
const AFTER_NONE: u8 = 0;
/// The version itself answers after its commit.
const AFTER_RECORDED: u8 = 2;
/// The version that answers before also answers after.
const AFTER_AS_BEFORE: u8 = 4;
/// Another version answers after; the page holds it apart.
const AFTER_APART: u8 = 6;

fn answers_code(recorded: &RecordedVersion) -> u8 {
    let before = if recorded.before.is_some() { WITH_BEFORE } else { 0 };
    let after = match &recorded.after {
        None => AFTER_NONE,
        Some(after) if *after == recorded.version => AFTER_RECORDED,
        after if *after == recorded.before => AFTER_AS_BEFORE,
        Some(_) => AFTER_APART,
    };
    before | after
}

const ADDED: u8 = 1;

fn movement_code(recorded: &RecordedVersion) -> u8 {
    match recorded.movement {
        None => 0,
        Some(FigureMovement::Added) => ADDED,
        Some(FigureMovement::Revised) => 2,
        Some(FigureMovement::Withdrawn) => 3,
        Some(FigureMovement::Backfilled) => 4,
    }
}

pub(super) fn movement_of(code: u8) -> Result<Option<FigureMovement>> {
    Ok(match code {
        0 => None,
        ADDED => Some(FigureMovement::Added),
        2 => Some(FigureMovement::Revised),
        3 => Some(FigureMovement::Withdrawn),
        4 => Some(FigureMovement::Backfilled),
        _ => return Err(corrupt("an unknown movement")),
    })
}

pub(super) fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::corrupt(format!("ledger page: {what}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::{id::Revision, time::Date},
        store::versions::{
            OpenVersions,
            tests::{any_period, any_value, any_version},
        },
    };

    fn series() -> SeriesKey {
        SeriesKey {
            indicator: IndicatorId::new("A.X").unwrap(),
            entity: EntityId::new("ABC").unwrap(),
            source: SourceId::new("s").unwrap(),
            dimensions: Dimensions::default(),
        }
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let movement = prop_oneof![
            Just(None),
            Just(Some(FigureMovement::Added)),
            Just(Some(FigureMovement::Revised)),
            Just(Some(FigureMovement::Withdrawn)),
            Just(Some(FigureMovement::Backfilled)),
        ];
        let answers = (proptest::option::of(any_version()), 0u8..4, any_version());
        let recorded = (any_version(), movement, answers).prop_map(|(version, movement, (before, kind, other))| {
            if movement.is_none() {
                return RecordedVersion::silent(version);
            }
            let before = before.map(|before| FigureVersion { period: version.period, ..before });
            let after = match kind {
                0 => None,
                1 => Some(version.clone()),
                2 => before.clone(),
                _ => Some(FigureVersion { period: version.period, ..other }),
            };
            RecordedVersion { version, movement, before, after }
        });
        ("[A-C]\\.X", "[A-D]{3}", proptest::collection::vec(recorded, 0..40)).prop_map(
            |(indicator, entity, versions)| {
                let key = SeriesKey {
                    indicator: IndicatorId::new(&indicator).unwrap(),
                    entity: EntityId::new(&entity).unwrap(),
                    source: SourceId::new("s").unwrap(),
                    dimensions: Dimensions::default(),
                };
                Record::Series(key, versions)
            },
        )
    }

    proptest! {
        #[test]
        fn decoding_gives_the_records_that_were_encoded_and_numbers_changes_through_the_commit(commit in proptest::collection::vec(proptest::collection::vec(any_record(), 0..5), 1..4)) {
            let mut encoder = PageEncoder::default();
            let mut expected = 0;
            for records in commit {
                for record in &records {
                    encoder.add(record).unwrap();
                }
                let page = LedgerPage::decode(&encoder.finish()).unwrap();
                prop_assert_eq!(page.first_change, expected);
                expected += page.changes().len() as u64;
                prop_assert_eq!(page.records, records);
            }
        }

        #[test]
        fn a_new_series_is_encoded_as_its_record_is(points in proptest::collection::vec((any_period(), any_value()), 1..40)) {
            let points: BTreeMap<_, _> = points.into_iter().map(|(period, value)| (period, Some(value))).collect();
            let points: Vec<_> = points.into_iter().collect();
            let (revision, released) = (Revision(7), Date::from_days(20_000).unwrap());
            let key = series();
            let mut encoded = Vec::new();
            OpenVersions::encode(&mut encoded, &points);
            let mut versions = Vec::new();
            OpenVersions::read(&mut Reader::new(&encoded)).unwrap().close(&mut versions, revision, released);
            let straight = PageEncoder::of_new_series(&key, &versions, points.len());
            let recorded = points.into_iter().map(|(period, value)| {
                let version = FigureVersion { period, revision, released, statement: value.into() };
                RecordedVersion::visible(version.clone(), &[], &[version])
            });
            let mut encoder = PageEncoder::default();
            encoder.add(&Record::Series(key, recorded.collect())).unwrap();
            let changes = encoder.changes;
            prop_assert_eq!(straight, encoder.finish());
            prop_assert_eq!(encoder.first_change, changes);
        }

        #[test]
        fn damaged_pages_are_refused_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            bytes.insert(0, VERSION);
            let _ = LedgerPage::decode(&bytes);
        }
    }
}
