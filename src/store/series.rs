//! Series blocks: all versions of all periods of a series, in blocks of at most 4 KiB.
//!
//! The key of a block is its series and the name of its first version. The first block of a series has an empty name, so
//! that versions before it belong to it too. A version belongs to the last block whose key is not above the version's own
//! key. Numbers in keys sort as they count, and small ones are short. A block that grows too long is split in two; so adding
//! a version costs as much as a block, not as much as its series.
//!
//! Invariant: no version is ever missing, though readers run beside the writer, and a crash or a failed write may come
//! between the two halves of a split. The right half is written first. Until the left one is written too, both blocks have
//! versions of the right half; of these, the later block counts.

pub mod blocks;
pub mod figure;

use self::blocks::{SeriesBlocks, whole_periods};
use super::{
    bytes::{FRAME_HEAD_BYTES, Reader, corrupt, frame, frame_of, unframe},
    engine::{Batch, Engine},
    error::Result,
    versions::{OpenVersions, decode_versions, encode_versions},
};
use crate::model::{id::Revision, period::Period, series::FigureVersion, time::Date};

const TABLE: u8 = b'S';
const VERSION: u8 = 2;
/// A longer block is split. With its frame a block stays below [`super::engine::VALUE_BYTES_MAX`].
const BLOCK_BYTES_MAX: usize = 4_000;

/// A series, by the numbers that the view gives to names. Sorts as the keys of blocks do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesIds {
    pub indicator: u32,
    pub entity: u32,
    pub source: u32,
    pub dimensions: u32,
}

impl SeriesIds {
    /// The key of the first block, and what the keys of all blocks start with.
    pub(super) fn key(self) -> Vec<u8> {
        let mut key = vec![TABLE];
        for number in [self.indicator, self.entity, self.source, self.dimensions] {
            put_ordered(&mut key, number);
        }
        key
    }

    /// The series of a block's key.
    fn of_key(key: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(key);
        reader.byte()?;
        Ok(Self {
            indicator: read_ordered(&mut reader)?,
            entity: read_ordered(&mut reader)?,
            source: read_ordered(&mut reader)?,
            dimensions: read_ordered(&mut reader)?,
        })
    }
}

/// A number up to this one is its own byte. Above, the first byte is this plus the number of bytes that follow.
const ONE_BYTE_MAX: u32 = 0xc0;

/// Appends a number so that bytes sort as numbers do, and no code is the start of another.
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

/// Which series a scan visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesScope {
    All,
    /// Those of an indicator.
    Indicator(u32),
    /// Those of an indicator and an entity.
    Figure(u32, u32),
}

impl SeriesScope {
    /// What the keys of all blocks of the scope start with.
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

fn version_key(ids: SeriesIds, version: &FigureVersion) -> Vec<u8> {
    name_key(ids, version.name())
}

/// The key of a version with this [`FigureVersion::name`].
fn name_key(ids: SeriesIds, (period, revision, released): (Period, Revision, Date)) -> Vec<u8> {
    let mut key = ids.key();
    key.extend_from_slice(&period.sort_key());
    key.extend_from_slice(&revision.0.to_be_bytes());
    key.extend_from_slice(&released.sort_key());
    key
}

/// All versions of a series, sorted; none if there is no such series.
pub fn read(engine: &Engine, ids: SeriesIds) -> Result<Vec<FigureVersion>> {
    let mut versions = Vec::new();
    for item in engine.scan(&ids.key(), None) {
        merge(&mut versions, decode(&item?.1)?);
    }
    Ok(versions)
}

/// All versions of a series with periods from `first` to `last`, sorted. It reads the blocks that hold some, and at most one
/// more.
pub fn read_between(engine: &Engine, ids: SeriesIds, first: Period, last: Period) -> Result<Vec<FigureVersion>> {
    let series = ids.key();
    let before_first = [&series[..], &first.sort_key()].concat();
    let start = engine.last_at_or_before(&before_first)?.filter(|(key, _)| key.starts_with(&series));
    let Some((start, _)) = start else { return Ok(Vec::new()) };
    let end = name_key(ids, (last, Revision::MAX, Date::MAX));
    let mut versions = Vec::new();
    for item in engine.scan(&series, Some(&start)) {
        let (key, block) = item?;
        if key.as_ref() > end.as_slice() {
            break;
        }
        merge(&mut versions, decode(&block)?);
    }
    versions.retain(|version| (first..=last).contains(&version.period));
    Ok(versions)
}

/// Whether a series has versions.
pub fn exists(engine: &Engine, ids: SeriesIds) -> Result<bool> {
    let key = ids.key();
    // The first block of a series has the key of the series.
    engine.get(&key).map(|block| block.is_some())
}

/// All versions of one period of a series, sorted. It reads one block, unless the period's versions fill several.
pub fn read_period(engine: &Engine, ids: SeriesIds, period: Period) -> Result<Vec<FigureVersion>> {
    let mut blocks = Vec::new();
    let mut upper = name_key(ids, (period, Revision::MAX, Date::MAX));
    while let Some((key, block)) = engine.last_at_or_before(&upper)? {
        if !key.starts_with(&ids.key()) {
            break;
        }
        let block = decode(&block)?;
        let starts_within_period = block.first().is_none_or(|version| version.period == period);
        blocks.push(block);
        match key_before(&key) {
            Some(key) if starts_within_period => upper = key,
            _ => break,
        }
    }
    let mut versions = Vec::new();
    for block in blocks.into_iter().rev() {
        merge(&mut versions, block);
    }
    versions.retain(|version| version.period == period);
    Ok(versions)
}

/// The largest key of the same length below another; `None` if there is none.
fn key_before(key: &[u8]) -> Option<Vec<u8>> {
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

/// The first series of a scope, or the first after another one; `None` if there is none. It reads no versions.
pub fn next_series(engine: &Engine, scope: SeriesScope, after: Option<SeriesIds>) -> Result<Option<SeriesIds>> {
    let prefix = scope.prefix();
    let next = match after {
        Some(ids) => engine.first_after(&name_key_max(ids))?,
        None => engine.scan(&prefix, None).next().transpose()?,
    };
    match next {
        Some((key, _)) if key.starts_with(&prefix) => SeriesIds::of_key(&key).map(Some),
        _ => Ok(None),
    }
}

/// A key that is not below that of any block of a series, and below those of all later series.
fn name_key_max(ids: SeriesIds) -> Vec<u8> {
    let mut key = ids.key();
    key.extend_from_slice(&[u8::MAX; 20]);
    key
}

/// Every series of a scope with all its versions, sorted, in key order; from a series on, which is included. After an error
/// in a block the rest of its series may follow as if it were all of it: do not go on after an error.
pub fn scan(
    engine: &Engine,
    scope: SeriesScope,
    from: Option<SeriesIds>,
) -> impl Iterator<Item = Result<(SeriesIds, Vec<FigureVersion>)>> + use<> {
    scan_blocks(engine, scope, from).map(|series| {
        let series = series?;
        Ok((series.ids, series.versions()?))
    })
}

/// Like [`scan`], with blocks that are not decoded yet.
pub fn scan_blocks(
    engine: &Engine,
    scope: SeriesScope,
    from: Option<SeriesIds>,
) -> impl Iterator<Item = Result<SeriesBlocks>> + use<> {
    let mut items = engine.scan(&scope.prefix(), from.map(SeriesIds::key).as_deref()).peekable();
    std::iter::from_fn(move || {
        let (ids, first) = match items.next()?.and_then(|(key, block)| Ok((SeriesIds::of_key(&key)?, block))) {
            Ok(first) => first,
            Err(error) => return Some(Err(error)),
        };
        let series = ids.key();
        let mut blocks = vec![first];
        // An error belongs to the series too: without it the series would seem to end early.
        while let Some(item) = items.next_if(|item| item.as_ref().map_or(true, |(key, _)| key.starts_with(&series))) {
            match item {
                Ok((_, block)) => blocks.push(block),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(SeriesBlocks { ids, blocks }))
    })
}

/// The versions of a series from a period on; `None`: from the first one. Each item has whole periods, sorted. It reads
/// block by block.
pub fn read_from(
    engine: &Engine,
    ids: SeriesIds,
    from: Option<Period>,
) -> Result<impl Iterator<Item = Result<Vec<FigureVersion>>> + use<>> {
    let series = ids.key();
    let mut start = None;
    if let Some(from) = from {
        let (period, before_any) = (from.sort_key(), [0; 12]);
        let found = engine.last_at_or_before(&[&series[..], &period, &before_any].concat())?;
        start = found.map(|(key, _)| key).filter(|key| key.starts_with(&series));
    }
    let blocks = engine.scan(&series, start.as_deref()).map(|item| decode(&item?.1));
    Ok(whole_periods(blocks).map(move |versions| Ok(without_earlier(versions?, from))))
}

/// Drops versions of periods before another one.
fn without_earlier(mut versions: Vec<FigureVersion>, from: Option<Period>) -> Vec<FigureVersion> {
    if let Some(from) = from {
        versions.drain(..versions.partition_point(|version| version.period < from));
    }
    versions
}

/// Adds versions, sorted by name, to a series. A version with the name of one that is there replaces it; so an insert that
/// is repeated changes nothing.
///
/// The batch must hold nothing else of this series.
pub fn insert(engine: &Engine, batch: &mut Batch<'_>, ids: SeriesIds, mut versions: Vec<FigureVersion>) -> Result<()> {
    // From the last version back, so that blocks to the right are written first.
    while let Some(last) = versions.last() {
        let (key, mut block) = block_of(engine, ids, last)?;
        let first_of_block = versions.partition_point(|version| version_key(ids, version) < key);
        for version in versions.split_off(first_of_block) {
            match block.binary_search_by_key(&version.name(), FigureVersion::name) {
                Ok(position) => block[position] = version,
                Err(position) => block.insert(position, version),
            }
        }
        put_block(batch, ids, &key, &block)?;
    }
    Ok(())
}

/// The first block of a series that has none yet, as it goes to the disk.
#[derive(Debug)]
pub struct NewBlock(Vec<u8>);

impl NewBlock {
    /// A block of versions of one commit and release; `None` if they are too long for one block.
    pub fn of(versions: &OpenVersions<'_>, revision: Revision, released: Date) -> Option<Self> {
        let block = frame_of(VERSION, versions.len_max(), |out| versions.close(out, revision, released));
        (block.len() <= BLOCK_BYTES_MAX + FRAME_HEAD_BYTES).then_some(Self(block))
    }

    /// The versions, as [`encode_versions`] encodes them.
    pub fn versions(&self) -> &[u8] {
        &self.0[FRAME_HEAD_BYTES..]
    }

    /// What goes to the disk.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The key and the versions of the block that a version belongs to; an empty first block if the series has none.
fn block_of(engine: &Engine, ids: SeriesIds, version: &FigureVersion) -> Result<(Vec<u8>, Vec<FigureVersion>)> {
    let series = ids.key();
    let found = engine.last_at_or_before(&version_key(ids, version))?;
    let Some((key, block)) = found.filter(|(key, _)| key.starts_with(&series)) else {
        return Ok((series, Vec::new()));
    };
    let mut block = decode(&block)?;
    // A split that was not finished left versions here that the next block has too; there they may have been replaced.
    if let Some((next, _)) = engine.first_after(&key)?.filter(|(next, _)| next.starts_with(&series)) {
        block.truncate(block.partition_point(|version| version_key(ids, version)[..] < next[..]));
    }
    Ok((key.to_vec(), block))
}

fn put_block(batch: &mut Batch<'_>, ids: SeriesIds, key: &[u8], versions: &[FigureVersion]) -> Result<()> {
    let mut body = Vec::new();
    encode_versions(&mut body, versions);
    if body.len() <= BLOCK_BYTES_MAX {
        return batch.put(key, &frame(VERSION, &body));
    }
    let (left, right) = versions.split_at(versions.len() / 2);
    let first = right.first().ok_or_else(|| corrupt("one version longer than a block"))?;
    put_block(batch, ids, &version_key(ids, first), right)?;
    // Without a barrier a batch that fails could leave the left half visible and the right one not.
    batch.barrier()?;
    put_block(batch, ids, key, left)
}

/// Fails if a block does not have the form that [`insert`] writes.
pub fn check(block: &[u8]) -> Result<()> {
    decode(block).map(|_| ())
}

fn decode(block: &[u8]) -> Result<Vec<FigureVersion>> {
    let mut reader = Reader::new(unframe(VERSION, block)?);
    let versions = decode_versions(&mut reader)?;
    if reader.is_empty() { Ok(versions) } else { Err(corrupt("bytes after the last version")) }
}

/// Appends the versions of a later block. From its first version on, the later block counts.
fn merge(versions: &mut Vec<FigureVersion>, later: Vec<FigureVersion>) {
    if let Some(first) = later.first().map(FigureVersion::name) {
        versions.truncate(versions.partition_point(|version| version.name() < first));
    }
    versions.extend(later);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{
        super::{engine::VALUE_BYTES_MAX, versions::tests::any_version},
        *,
    };
    use crate::model::{
        series::Statement,
        value::{Number, Value},
    };

    const IDS: SeriesIds = SeriesIds { indicator: 1, entity: 2, source: 3, dimensions: 0 };

    fn insert_all(engine: &Engine, ids: SeriesIds, mut versions: Vec<FigureVersion>) {
        versions.sort_by_key(FigureVersion::name);
        versions.dedup_by_key(|version| version.name());
        let mut batch = engine.batch();
        insert(engine, &mut batch, ids, versions).unwrap();
        batch.write().unwrap();
    }

    fn version(period: Period, revision: u64, mantissa: i64, decimals: u8) -> FigureVersion {
        FigureVersion {
            period,
            revision: Revision(revision),
            released: Date::from_days(20_000 + revision as i32).unwrap(),
            statement: Statement::Figure(Value::number(Number::Decimal { mantissa, decimals })),
        }
    }

    /// The month of this number from January 1820 on.
    fn month(number: i64) -> Period {
        Period::parse(&format!("{:04}-{:02}", 1820 + number / 12, number % 12 + 1)).unwrap()
    }

    /// A figure whose digits have no pattern, so that blocks fill up.
    fn monthly(number: i64, revision: u64) -> FigureVersion {
        let mantissa = (number * 7_919 * 1_000_003) % 1_000_000_007 + revision as i64 * 1_000_000_000;
        version(month(number), revision, mantissa, 9)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        /// Model: a sorted map by the names of versions. Uploads come in any order and with repeats.
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
                for version in upload {
                    once.entry(version.name()).or_insert_with(|| version.clone());
                }
                insert_all(&engine, IDS, once.values().cloned().collect());
                model.extend(once);
                prop_assert_eq!(read(&engine, IDS).unwrap(), model.values().cloned().collect::<Vec<_>>());
            }
            for version in model.values() {
                let expected: Vec<FigureVersion> = model.values().filter(|other| other.period == version.period).cloned().collect();
                prop_assert_eq!(read_period(&engine, IDS, version.period).unwrap(), expected);
            }
            for (first, last) in model.values().zip(model.values().skip(3).step_by(5)) {
                let (first, last) = (first.period.min(last.period), first.period.max(last.period));
                let expected: Vec<FigureVersion> = model.values().filter(|other| (first..=last).contains(&other.period)).cloned().collect();
                prop_assert_eq!(read_between(&engine, IDS, first, last).unwrap(), expected);
            }
            let all: Vec<SeriesIds> = scan(&engine, SeriesScope::All, None).map(|series| series.unwrap().0).collect();
            prop_assert_eq!(all, vec![neighbours[0], IDS, neighbours[1]]);
            prop_assert_eq!(next_series(&engine, SeriesScope::Figure(1, 2), Some(IDS)).unwrap(), Some(neighbours[1]));
            prop_assert_eq!(next_series(&engine, SeriesScope::Indicator(7), None).unwrap(), None);
        }
    }

    #[test]
    fn two_thousand_versions_of_one_figure_fill_several_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path()).unwrap();
        let year = Period::year(2024).unwrap();
        for revision in 1..=2_000 {
            insert_all(&engine, IDS, vec![version(year, revision, revision as i64 * 7919, 3)]);
        }
        let blocks: Vec<_> = engine.scan(&IDS.key(), None).map(|item| item.unwrap().1).collect();
        assert!(blocks.len() > 3);
        assert!(blocks.iter().all(|block| block.len() <= VALUE_BYTES_MAX));
        let versions = read_period(&engine, IDS, year).unwrap();
        assert_eq!(versions.len(), 2_000);
        assert_eq!(versions.last().unwrap().revision, Revision(2_000));
    }

    #[test]
    fn a_long_series_of_several_versions_comes_back_whole() {
        const MONTHS: i64 = 2_400;
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path()).unwrap();
        for revision in 1..4 {
            insert_all(&engine, IDS, (0..MONTHS).map(|number| monthly(number, revision)).collect());
            let mut expected = Vec::new();
            for number in 0..MONTHS {
                expected.extend((1..=revision).map(|revision| monthly(number, revision)));
            }
            assert_eq!(read(&engine, IDS).unwrap(), expected);
            for number in 0..MONTHS {
                let versions = read_period(&engine, IDS, month(number)).unwrap();
                assert_eq!(versions.len() as u64, revision, "month {number}");
            }
        }
    }

    #[test]
    fn a_split_that_a_crash_left_half_done_is_finished_by_the_same_insert() {
        const MONTHS: i64 = 600;
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path()).unwrap();
        insert_all(&engine, IDS, (0..MONTHS).map(|number| monthly(number, 1)).collect());
        let before: Vec<_> = engine.scan(&IDS.key(), None).map(Result::unwrap).collect();
        let second: Vec<FigureVersion> = (0..MONTHS).map(|number| monthly(number, 2)).collect();
        insert_all(&engine, IDS, second.clone());
        let expected = read(&engine, IDS).unwrap();
        assert_eq!(expected.len() as i64, 2 * MONTHS);
        // As if only the right halves had been written: every block of before is as it was.
        let mut batch = engine.batch();
        for (key, block) in &before {
            batch.put(key, block).unwrap();
        }
        batch.write().unwrap();
        for number in 0..MONTHS {
            let versions = read_period(&engine, IDS, month(number)).unwrap();
            assert!(versions.contains(&monthly(number, 1)), "the first version of month {number} is missing");
        }
        insert_all(&engine, IDS, second);
        assert_eq!(read(&engine, IDS).unwrap(), expected);
        for number in 0..MONTHS {
            let versions = read_period(&engine, IDS, month(number)).unwrap();
            assert_eq!(versions, [monthly(number, 1), monthly(number, 2)]);
        }
    }
}
