//! Series blocks: every version of every period of a series, in blocks of at most 4 KiB.
//!
//! The key of a block is its series and the name of its first row; the first block of a series has an empty name, so that
//! earlier rows find it. Numbers in keys are written so that they sort as they count and small ones are short. A row belongs to the last block whose key is not above the row's name. A block that grows too
//! long is cut in two: appending a version costs by the block, not by the series.
//!
//! Invariant: readers may run beside the one writer, and a crash or a failed write may come between the parts of a cut. Its
//! right part is written first, so a row may be there twice but is never missing; what a later block says stands.

use super::{
    bytes::{Reader, corrupt, frame, unframe},
    engine::{Batch, Engine},
    error::Result,
    versions::{decode_versions, encode_versions},
};
use crate::model::{period::Period, series::FigureVersion};

const TABLE: u8 = b'S';
const VERSION: u8 = 2;
/// A block is cut above this; with its head it stays below [`super::engine::VALUE_BYTES_MAX`].
const BLOCK_BYTES_MAX: usize = 4_000;

/// A series by its numbers in the dictionary. Sorts as its keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesIds {
    pub indicator: u32,
    pub entity: u32,
    pub source: u32,
    pub dimensions: u32,
}

impl SeriesIds {
    fn key(self) -> Vec<u8> {
        let mut key = vec![TABLE];
        [self.indicator, self.entity, self.source, self.dimensions]
            .iter()
            .for_each(|part| put_ordered(&mut key, *part));
        key
    }

    fn of_key(key: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(key);
        reader.byte()?;
        let mut part = || read_ordered(&mut reader);
        Ok(Self { indicator: part()?, entity: part()?, source: part()?, dimensions: part()? })
    }
}

/// Up to here one byte says it all; above, its high bits say how many bytes follow.
const ONE_BYTE_MAX: u32 = 0xc0;

/// Appends a number such that byte order is number order and no code is the start of another.
fn put_ordered(key: &mut Vec<u8>, number: u32) {
    let bytes = number.to_be_bytes();
    match number {
        0..=ONE_BYTE_MAX => key.push(bytes[3]),
        _ => {
            let length = 4 - number.leading_zeros() as usize / 8;
            key.push(ONE_BYTE_MAX as u8 + length as u8);
            key.extend_from_slice(&bytes[4 - length..]);
        }
    }
}

fn read_ordered(reader: &mut Reader<'_>) -> Result<u32> {
    match u32::from(reader.byte()?) {
        number @ 0..=ONE_BYTE_MAX => Ok(number),
        first => {
            let length = (first - ONE_BYTE_MAX) as usize;
            if length > 4 {
                return Err(corrupt("a series key that is none"));
            }
            Ok(reader.take(length)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
        }
    }
}

/// Which series a scan visits: all, those of an indicator, or those of an indicator and entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesScope {
    All,
    Indicator(u32),
    Figure(u32, u32),
}

impl SeriesScope {
    fn prefix(self) -> Vec<u8> {
        let mut prefix = vec![TABLE];
        match self {
            Self::All => {}
            Self::Indicator(indicator) => put_ordered(&mut prefix, indicator),
            Self::Figure(indicator, entity) => {
                put_ordered(&mut prefix, indicator);
                put_ordered(&mut prefix, entity);
            }
        }
        prefix
    }
}

fn row_key(ids: SeriesIds, row: &FigureVersion) -> Vec<u8> {
    name_key(ids, row.period, row.revision.0, row.released.days())
}

fn name_key(ids: SeriesIds, period: Period, revision: u64, released: i32) -> Vec<u8> {
    let mut key = ids.key();
    key.extend_from_slice(&period.sort_key());
    key.extend_from_slice(&revision.to_be_bytes());
    key.extend_from_slice(&(released as u32 ^ 0x8000_0000).to_be_bytes());
    key
}

/// All rows of a series, sorted.
pub fn read(engine: &Engine, ids: SeriesIds) -> Result<Vec<FigureVersion>> {
    let mut rows = Vec::new();
    for item in engine.scan(&ids.key(), None) {
        merge(&mut rows, decode(&item?.1)?);
    }
    Ok(rows)
}

/// All rows of one period of a series.
pub fn read_period(engine: &Engine, ids: SeriesIds, period: Period) -> Result<Vec<FigureVersion>> {
    let mut blocks = Vec::new();
    let mut at = name_key(ids, period, u64::MAX, i32::MAX);
    // One block, unless the period has so many versions that they fill several.
    while let Some((key, block)) = engine.last_at_or_before(&at)? {
        if !key.starts_with(&ids.key()) {
            break;
        }
        let rows = decode(&block)?;
        let goes_on = rows.first().is_none_or(|row| row.period == period);
        blocks.push(rows);
        match before(&key) {
            Some(key) if goes_on => at = key,
            _ => break,
        }
    }
    let mut rows = Vec::new();
    blocks.into_iter().rev().for_each(|block| merge(&mut rows, block));
    rows.retain(|row| row.period == period);
    Ok(rows)
}

/// The largest key below another of the same length.
fn before(key: &[u8]) -> Option<Vec<u8>> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        let (less, borrow) = byte.overflowing_sub(1);
        *byte = less;
        if !borrow {
            return Some(key);
        }
    }
    None
}

/// The first series of a scope after another, without its rows.
pub fn next_series(engine: &Engine, scope: SeriesScope, after: Option<SeriesIds>) -> Result<Option<SeriesIds>> {
    let prefix = scope.prefix();
    let found = match after {
        Some(ids) => engine.first_after(&name_key_max(ids))?,
        None => engine.scan(&prefix, None).next().transpose()?,
    };
    found.filter(|(key, _)| key.starts_with(&prefix)).map(|(key, _)| SeriesIds::of_key(&key)).transpose()
}

fn name_key_max(ids: SeriesIds) -> Vec<u8> {
    let mut key = ids.key();
    key.extend_from_slice(&[u8::MAX; 20]);
    key
}

/// Visits every series of a scope from one on (itself included), in key order.
pub fn scan(
    engine: &Engine,
    scope: SeriesScope,
    from: Option<SeriesIds>,
) -> impl Iterator<Item = Result<(SeriesIds, Vec<FigureVersion>)>> + use<> {
    let mut blocks = engine.scan(&scope.prefix(), from.map(SeriesIds::key).as_deref()).peekable();
    std::iter::from_fn(move || {
        let (key, block) = match blocks.next()? {
            Ok(item) => item,
            Err(error) => return Some(Err(error)),
        };
        let series = SeriesIds::of_key(&key).and_then(|ids| Ok((ids, decode(&block)?)));
        let (ids, mut rows) = match series {
            Ok(series) => series,
            Err(error) => return Some(Err(error)),
        };
        // A block that cannot be read must not end its series early.
        while let Some(item) = blocks.next_if(|item| item.as_ref().map_or(true, |(key, _)| key.starts_with(&ids.key())))
        {
            match item.and_then(|(_, block)| decode(&block)) {
                Ok(more) => merge(&mut rows, more),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok((ids, rows)))
    })
}

/// Adds rows, sorted by name, to a series. A row that is there already is replaced: doing it twice is doing it once.
///
/// Nothing else may be pending in the batch for this series.
pub fn insert(engine: &Engine, batch: &mut Batch<'_>, ids: SeriesIds, mut rows: Vec<FigureVersion>) -> Result<()> {
    // From the last row back, so that blocks to the right are written first.
    while let Some(last) = rows.last() {
        let found = engine.last_at_or_before(&row_key(ids, last))?.filter(|(key, _)| key.starts_with(&ids.key()));
        let (key, mut block) = match found {
            Some((key, block)) => {
                let mut block = decode(&block)?;
                // A cut that was not finished left rows here that the next block has too, and may have newer ones beside.
                if let Some((next, _)) = engine.first_after(&key)?.filter(|(next, _)| next.starts_with(&ids.key())) {
                    block.truncate(block.partition_point(|row| row_key(ids, row)[..] < next[..]));
                }
                (key.to_vec(), block)
            }
            None => (ids.key(), Vec::new()),
        };
        let belongs = rows.partition_point(|row| row_key(ids, row) < key);
        for row in rows.split_off(belongs) {
            match block.binary_search_by_key(&row.name(), FigureVersion::name) {
                Ok(at) => block[at] = row,
                Err(at) => block.insert(at, row),
            }
        }
        put_block(batch, ids, &key, &block)?;
    }
    Ok(())
}

fn put_block(batch: &mut Batch<'_>, ids: SeriesIds, key: &[u8], rows: &[FigureVersion]) -> Result<()> {
    let mut body = Vec::new();
    encode_versions(&mut body, rows);
    if body.len() <= BLOCK_BYTES_MAX {
        return batch.put(key, &frame(VERSION, &body));
    }
    let (left, right) = rows.split_at(rows.len() / 2);
    let first = right.first().ok_or_else(|| corrupt("one row longer than a block"))?;
    put_block(batch, ids, &row_key(ids, first), right)?;
    // A batch that fails may be visible in part, and in any order.
    batch.barrier()?;
    put_block(batch, ids, key, left)
}

/// Checks the form of a block.
pub fn check(block: &[u8]) -> Result<()> {
    decode(block).map(|_| ())
}

fn decode(block: &[u8]) -> Result<Vec<FigureVersion>> {
    let mut reader = Reader::new(unframe(VERSION, block)?);
    let rows = decode_versions(&mut reader)?;
    if reader.is_empty() { Ok(rows) } else { Err(corrupt("bytes after the last row")) }
}

/// Appends the rows of a later block. Of its part of the series it knows best.
fn merge(rows: &mut Vec<FigureVersion>, later: Vec<FigureVersion>) {
    if let Some(first) = later.first().map(FigureVersion::name) {
        rows.truncate(rows.partition_point(|row| row.name() < first));
    }
    rows.extend(later);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{super::versions::tests::any_version, *};
    use crate::model::{id::Revision, series::Statement};

    const IDS: SeriesIds = SeriesIds { indicator: 1, entity: 2, source: 3, dimensions: 0 };

    fn insert_all(engine: &Engine, ids: SeriesIds, mut rows: Vec<FigureVersion>) {
        rows.sort_by_key(FigureVersion::name);
        rows.dedup_by_key(|row| row.name());
        let mut batch = engine.batch();
        insert(engine, &mut batch, ids, rows).unwrap();
        batch.write().unwrap();
    }

    fn count_blocks(engine: &Engine) -> usize {
        engine.scan(&IDS.key(), None).count()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        /// Model: a sorted map by row name. Uploads in any order and with repeats; neighbours stay as they are.
        #[test]
        fn blocks_hold_what_a_sorted_map_holds(uploads in proptest::collection::vec(proptest::collection::vec(any_version(), 1..300), 1..6)) {
            let folder = tempfile::tempdir().unwrap();
            let engine = Engine::open(folder.path()).unwrap();
            let neighbours = [SeriesIds { source: 2, ..IDS }, SeriesIds { source: 4, ..IDS }];
            for ids in neighbours {
                insert_all(&engine, ids, uploads[0].clone());
            }
            let mut model = BTreeMap::new();
            for upload in &uploads {
                let mut once = BTreeMap::new();
                upload.iter().for_each(|row| { once.entry(row.name()).or_insert_with(|| row.clone()); });
                insert_all(&engine, IDS, once.values().cloned().collect());
                model.extend(once);
                prop_assert_eq!(read(&engine, IDS).unwrap(), model.values().cloned().collect::<Vec<_>>());
            }
            for row in model.values() {
                let expected: Vec<FigureVersion> = model.values().filter(|other| other.period == row.period).cloned().collect();
                prop_assert_eq!(read_period(&engine, IDS, row.period).unwrap(), expected);
            }
            let all: Vec<SeriesIds> = scan(&engine, SeriesScope::All, None).map(|series| series.unwrap().0).collect();
            prop_assert_eq!(all, vec![neighbours[0], IDS, neighbours[1]]);
            prop_assert_eq!(next_series(&engine, SeriesScope::Figure(1, 2), Some(IDS)).unwrap(), Some(neighbours[1]));
            prop_assert_eq!(next_series(&engine, SeriesScope::Indicator(7), None).unwrap(), None);
        }
    }

    #[test]
    fn one_figure_revised_for_ever_touches_one_block_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path()).unwrap();
        let row = |revision: u64| FigureVersion {
            period: Period::year(2024).unwrap(),
            revision: Revision(revision),
            released: crate::model::time::Date::from_days(20_000 + revision as i32).unwrap(),
            statement: Statement::Figure(crate::model::value::Value::number(crate::model::value::Number::Decimal {
                mantissa: revision as i64 * 7919,
                decimals: 3,
            })),
        };
        for revision in 1..=2_000 {
            insert_all(&engine, IDS, vec![row(revision)]);
        }
        assert!(count_blocks(&engine) > 3);
        let rows = read_period(&engine, IDS, Period::year(2024).unwrap()).unwrap();
        assert_eq!(rows.len(), 2_000);
        assert_eq!(rows.last().unwrap().revision, Revision(2_000));
        assert!(
            engine.scan(&IDS.key(), None).all(|item| item.unwrap().1.len() <= super::super::engine::VALUE_BYTES_MAX)
        );
    }

    #[test]
    fn a_long_series_of_several_versions_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path()).unwrap();
        let month = |month: i64| Period::parse(&format!("{:04}-{:02}", 1820 + month / 12, month % 12 + 1)).unwrap();
        let row = |at: i64, revision: u64| FigureVersion {
            period: month(at),
            revision: Revision(revision),
            released: crate::model::time::Date::from_days(20_000 + revision as i32).unwrap(),
            statement: Statement::Figure(crate::model::value::Value::number(crate::model::value::Number::Decimal {
                mantissa: (at * 7_919 * 1_000_003) % 1_000_000_007 + revision as i64 * 1_000_000_000,
                decimals: 9,
            })),
        };
        for revision in 1..4 {
            insert_all(&engine, IDS, (0..2_400).map(|at| row(at, revision)).collect());
            let expected: Vec<FigureVersion> = (0..2_400)
                .flat_map(|at| (1..=revision).map(move |revision| (at, revision)))
                .map(|(at, revision)| row(at, revision))
                .collect();
            assert_eq!(read(&engine, IDS).unwrap(), expected);
            for at in 0..2_400 {
                assert_eq!(read_period(&engine, IDS, month(at)).unwrap().len() as u64, revision, "month {at}");
            }
        }
    }

    #[test]
    fn a_cut_that_a_crash_left_half_done_is_finished_by_doing_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path()).unwrap();
        let row = |month: i64, revision: u64| FigureVersion {
            period: Period::parse(&format!("{:04}-{:02}", 1820 + month / 12, month % 12 + 1)).unwrap(),
            revision: Revision(revision),
            released: crate::model::time::Date::from_days(20_000 + revision as i32).unwrap(),
            statement: Statement::Figure(crate::model::value::Value::number(crate::model::value::Number::Decimal {
                mantissa: (month * 7_919 * 1_000_003) % 1_000_000_007,
                decimals: 9,
            })),
        };
        let first: Vec<FigureVersion> = (0..600).map(|month| row(month, 1)).collect();
        let second: Vec<FigureVersion> = (0..600).map(|month| row(month, 2)).collect();
        insert_all(&engine, IDS, first.clone());
        let before: Vec<_> = engine.scan(&IDS.key(), None).map(Result::unwrap).collect();
        insert_all(&engine, IDS, second.clone());
        let expected = read(&engine, IDS).unwrap();
        assert_eq!(expected.len(), 1_200);
        // As if only the right parts had been written: every block that was there is as it was.
        let mut batch = engine.batch();
        before.iter().for_each(|(key, block)| batch.put(key, block).unwrap());
        batch.write().unwrap();
        for month in 0..600 {
            let found = read_period(&engine, IDS, row(month, 1).period).unwrap();
            assert!(found.contains(&row(month, 1)), "a row that was there went missing");
        }
        insert_all(&engine, IDS, second);
        assert_eq!(read(&engine, IDS).unwrap(), expected);
        for month in 0..600 {
            assert_eq!(read_period(&engine, IDS, row(month, 1).period).unwrap(), [row(month, 1), row(month, 2)]);
        }
    }
}
