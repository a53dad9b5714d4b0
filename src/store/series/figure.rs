//! Reads of the series of one indicator and entity: from blocks in memory, or block by block from the disk.
//!
//! Invariant: both give the same versions. A read of one period decodes only that period, and a read of the latest periods
//! only the blocks that may hold them. What answers now of a figure with many versions is in memory beside its blocks, so
//! that it costs no more than one with a single version.

use std::{collections::BTreeSet, iter::Peekable, sync::Arc};

use super::{
    super::{
        bytes::{Reader, put_bytes, put_signed, put_varint, unframe},
        engine::Engine,
        error::Result,
        versions::{decode_period, decode_versions, encode_versions, latest_period, repeated_periods},
    },
    SeriesIds, SeriesScope, VERSION,
    blocks::{Recency, SeriesBlocks, read_latest, whole_periods},
    merge, next_series, read, read_from, read_period, scan_blocks, without_earlier,
};
use crate::model::{
    id::Revision,
    period::Period,
    series::{FigureVersion, Horizon, newest_at, state_at},
    time::Date,
};

/// Most bytes of blocks of one indicator and entity that are kept in memory. More are read from the disk, block by block.
const FIGURE_BYTES_MAX: usize = 64 * 1024;

/// A period of a series has a tail in memory if so many of its versions follow the first one in a block.
const TAIL_VERSIONS_MIN: usize = 16;

/// All blocks of the series of one indicator and entity, without their frames, in the order of their keys.
///
/// First come the tails, as bytes with their length; see [`Tail`]. Each block is: source, dimensions, name of its first
/// version as in its key, versions.
#[derive(Debug, Clone)]
pub struct FigureBlocks(Arc<[u8]>);

/// A block in memory.
struct Block<'a> {
    source: u32,
    dimensions: u32,
    /// Empty for the first block of a series.
    name: &'a [u8],
    versions: &'a [u8],
}

/// What answers of a period with many versions after all of them: at most two versions.
struct Tail<'a> {
    source: u32,
    dimensions: u32,
    period: [u8; 8],
    /// Admits all versions of the period, as does every horizon beyond it.
    horizon: Horizon,
    versions: &'a [u8],
}

impl FigureBlocks {
    /// Reads the blocks of an indicator and an entity, and then of the entities that follow. `None`: they are too long for
    /// the memory, and none follow.
    pub fn read_from(
        engine: &Engine,
        indicator: u32,
        entity: u32,
    ) -> impl Iterator<Item = Result<(u32, Option<Self>)>> + use<> {
        let from = SeriesScope::Figure(indicator, entity).prefix();
        let mut items = engine.scan(&SeriesScope::Indicator(indicator).prefix(), Some(&from)).peekable();
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let found = Self::read_next(&mut items).transpose()?;
            ended = !matches!(found, Ok((_, Some(_))));
            Some(found)
        })
    }

    /// Reads the blocks of the next entity.
    fn read_next(
        items: &mut Peekable<impl Iterator<Item = Result<(sled::IVec, sled::IVec)>>>,
    ) -> Result<Option<(u32, Option<Self>)>> {
        let mut entity = None;
        let mut blocks = Vec::new();
        let mut long_periods: BTreeSet<(SeriesIds, Period)> = BTreeSet::new();
        while let Some(item) = items.peek() {
            // An error belongs to this entity: without it its series would seem to end early.
            if let Ok((key, _)) = item
                && entity.is_some_and(|entity| SeriesIds::of_key(key).is_ok_and(|ids| ids.entity != entity))
            {
                break;
            }
            let Some(item) = items.next() else { break };
            let (key, block) = item?;
            let ids = SeriesIds::of_key(&key)?;
            entity = Some(ids.entity);
            let versions = unframe(VERSION, &block)?;
            put_varint(&mut blocks, ids.source.into());
            put_varint(&mut blocks, ids.dimensions.into());
            put_bytes(&mut blocks, &key[ids.key().len()..]);
            put_bytes(&mut blocks, versions);
            if blocks.len() > FIGURE_BYTES_MAX {
                return Ok(Some((ids.entity, None)));
            }
            let long = repeated_periods(&mut Reader::new(versions), TAIL_VERSIONS_MIN)?;
            long_periods.extend(long.into_iter().map(|period| (ids, period)));
        }
        let Some(entity) = entity else { return Ok(None) };
        let without_tails = Self::of(&[], &blocks);
        let mut tails = Vec::new();
        for (ids, period) in long_periods {
            put_tail(&mut tails, ids, period, &without_tails.versions_of_period(ids, period)?);
        }
        let figure = if tails.is_empty() { without_tails } else { Self::of(&tails, &blocks) };
        Ok(Some((entity, Some(figure))))
    }

    /// No blocks at all.
    pub fn none() -> Self {
        Self::of(&[], &[])
    }

    fn of(tails: &[u8], blocks: &[u8]) -> Self {
        let mut all = Vec::with_capacity(tails.len() + blocks.len() + 4);
        put_bytes(&mut all, tails);
        all.extend_from_slice(blocks);
        Self(all.into())
    }

    /// Bytes that they take in memory.
    pub fn bytes(&self) -> usize {
        // The two counters in front of shared bytes, and what the allocator adds.
        self.0.len() + 4 * size_of::<usize>()
    }

    fn tails(&self) -> Result<impl Iterator<Item = Result<Tail<'_>>>> {
        let mut reader = Reader::new(Reader::new(&self.0).bytes()?);
        Ok(std::iter::from_fn(move || (!reader.is_empty()).then(|| Tail::read(&mut reader))))
    }

    fn blocks(&self) -> impl Iterator<Item = Result<Block<'_>>> {
        let mut reader = Reader::new(&self.0);
        // A length that cannot be read ends the blocks with an error.
        let mut tails = Some(reader.bytes().map(drop));
        std::iter::from_fn(move || match tails.take() {
            Some(Err(error)) => Some(Err(error)),
            _ => (!reader.is_empty()).then(|| Block::read(&mut reader)),
        })
    }

    /// The blocks of a series, in order.
    fn of_series(&self, ids: SeriesIds) -> Result<Vec<Block<'_>>> {
        let mut blocks = Vec::new();
        for block in self.blocks() {
            let block = block?;
            if (block.source, block.dimensions) == (ids.source, ids.dimensions) {
                blocks.push(block);
            } else if !blocks.is_empty() {
                break;
            }
        }
        Ok(blocks)
    }

    fn versions(&self, ids: SeriesIds) -> Result<Vec<FigureVersion>> {
        let mut versions = Vec::new();
        for block in self.of_series(ids)? {
            merge(&mut versions, decode_versions(&mut Reader::new(block.versions))?);
        }
        Ok(versions)
    }

    /// As [`read_period`] does on the disk.
    fn versions_of_period(&self, ids: SeriesIds, period: Period) -> Result<Vec<FigureVersion>> {
        let first_days = period.sort_key();
        let mut versions = Vec::new();
        let mut within: Option<Block<'_>> = None;
        for block in self.blocks() {
            let block = block?;
            if (block.source, block.dimensions) != (ids.source, ids.dimensions) {
                if within.is_some() {
                    break;
                }
                continue;
            }
            if block.name.starts_with(&first_days) {
                // The period goes on in this block.
                if let Some(before) = within.replace(block) {
                    merge(&mut versions, decode_period(&mut Reader::new(before.versions), period)?);
                }
            } else if block.name < &first_days[..] {
                within = Some(block);
            } else {
                break;
            }
        }
        if let Some(last) = within {
            merge(&mut versions, decode_period(&mut Reader::new(last.versions), period)?);
        }
        Ok(versions)
    }

    /// See [`FigureReader::answering`].
    fn answering(&self, ids: SeriesIds, period: Period, horizon: Horizon) -> Result<Vec<FigureVersion>> {
        for tail in self.tails()? {
            let tail = tail?;
            let is_of_period =
                (tail.source, tail.dimensions, tail.period) == (ids.source, ids.dimensions, period.sort_key());
            if is_of_period && tail.answers_at(horizon) {
                return decode_versions(&mut Reader::new(tail.versions));
            }
        }
        self.versions_of_period(ids, period)
    }

    /// See [`FigureReader::latest_period`].
    fn latest_period(&self, ids: SeriesIds) -> Result<Option<Recency>> {
        let mut latest = None;
        for block in self.of_series(ids)? {
            latest = latest.max(latest_period(&mut Reader::new(block.versions))?);
        }
        Ok(latest)
    }
}

/// Appends the tail of a period, of which these are the versions.
fn put_tail(tails: &mut Vec<u8>, ids: SeriesIds, period: Period, versions: &[FigureVersion]) {
    let revision = versions.iter().map(|version| version.revision).max().unwrap_or(Revision::ZERO);
    let released = versions.iter().map(|version| version.released).max().unwrap_or(Date::EPOCH);
    let horizon = Horizon { revision, released };
    let mut answering: Vec<FigureVersion> =
        [state_at(versions, horizon), newest_at(versions, horizon)].into_iter().flatten().cloned().collect();
    answering.sort_by_key(FigureVersion::name);
    answering.dedup();
    put_varint(tails, ids.source.into());
    put_varint(tails, ids.dimensions.into());
    tails.extend_from_slice(&period.sort_key());
    put_varint(tails, revision.0);
    put_signed(tails, released.days().into());
    let mut encoded = Vec::new();
    encode_versions(&mut encoded, &answering);
    put_bytes(tails, &encoded);
}

impl<'a> Tail<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self> {
        let source = number(reader)?;
        let dimensions = number(reader)?;
        let mut period = [0; 8];
        for byte in &mut period {
            *byte = reader.byte()?;
        }
        let revision = Revision(reader.varint()?);
        let released = i32::try_from(reader.signed()?).ok().and_then(Date::from_days).unwrap_or(Date::MAX);
        let versions = reader.bytes()?;
        Ok(Self { source, dimensions, period, horizon: Horizon { revision, released }, versions })
    }

    fn answers_at(&self, horizon: Horizon) -> bool {
        horizon.revision >= self.horizon.revision && horizon.released >= self.horizon.released
    }
}

/// Reads the number of a name.
fn number(reader: &mut Reader<'_>) -> Result<u32> {
    Ok(u32::try_from(reader.varint()?).unwrap_or(u32::MAX))
}

impl<'a> Block<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self> {
        Ok(Self {
            source: number(reader)?,
            dimensions: number(reader)?,
            name: reader.bytes()?,
            versions: reader.bytes()?,
        })
    }
}

/// Reads the series of one indicator and entity.
#[derive(Debug)]
pub struct FigureReader<'a> {
    engine: &'a Engine,
    indicator: u32,
    entity: u32,
    /// `None`: the blocks are too long for the memory, and are read from the disk.
    blocks: Option<FigureBlocks>,
}

impl<'a> FigureReader<'a> {
    pub(in crate::store) fn new(engine: &'a Engine, indicator: u32, entity: u32, blocks: Option<FigureBlocks>) -> Self {
        Self { engine, indicator, entity, blocks }
    }

    /// All series of the indicator and the entity, in order.
    pub fn series(&self) -> Result<Vec<SeriesIds>> {
        let mut series: Vec<SeriesIds> = Vec::new();
        if let Some(blocks) = &self.blocks {
            for block in blocks.blocks() {
                let Block { source, dimensions, .. } = block?;
                let ids = SeriesIds { indicator: self.indicator, entity: self.entity, source, dimensions };
                if series.last() != Some(&ids) {
                    series.push(ids);
                }
            }
            return Ok(series);
        }
        let scope = SeriesScope::Figure(self.indicator, self.entity);
        while let Some(ids) = next_series(self.engine, scope, series.last().copied())? {
            series.push(ids);
        }
        Ok(series)
    }

    /// All versions of a series, sorted.
    pub fn versions(&self, ids: SeriesIds) -> Result<Vec<FigureVersion>> {
        match &self.blocks {
            Some(blocks) => blocks.versions(ids),
            None => read(self.engine, ids),
        }
    }

    /// All versions of one period of a series, sorted.
    pub fn versions_of_period(&self, ids: SeriesIds, period: Period) -> Result<Vec<FigureVersion>> {
        match &self.blocks {
            Some(blocks) => blocks.versions_of_period(ids, period),
            None => read_period(self.engine, ids, period),
        }
    }

    /// Versions of a period of which [`state_at`] and [`newest_at`] give at a horizon what they give of all, sorted.
    pub fn answering(&self, ids: SeriesIds, period: Period, horizon: Horizon) -> Result<Vec<FigureVersion>> {
        match &self.blocks {
            Some(blocks) => blocks.answering(ids, period, horizon),
            None => read_period(self.engine, ids, period),
        }
    }

    /// The latest period of which a series has versions, if its blocks are in memory.
    pub fn latest_period(&self, ids: SeriesIds) -> Result<Option<Recency>> {
        self.blocks.as_ref().map_or(Ok(None), |blocks| blocks.latest_period(ids))
    }

    /// The versions of a series from a period on, as [`read_from`] reads them from the disk.
    pub fn versions_from(
        &self,
        ids: SeriesIds,
        from: Option<Period>,
    ) -> Result<Box<dyn Iterator<Item = Result<Vec<FigureVersion>>> + '_>> {
        let Some(blocks) = &self.blocks else { return Ok(Box::new(read_from(self.engine, ids, from)?)) };
        let mut blocks = blocks.of_series(ids)?;
        if let Some(from) = from {
            let before = blocks.partition_point(|block| block.name < &from.sort_key()[..]);
            blocks.drain(..before.saturating_sub(1));
        }
        let blocks = blocks.into_iter().map(|block| decode_versions(&mut Reader::new(block.versions)));
        Ok(Box::new(whole_periods(blocks).map(move |versions| Ok(without_earlier(versions?, from)))))
    }

    /// Reads a series from its last block back: see [`read_latest`].
    pub fn read_latest(
        &self,
        ids: SeriesIds,
        offer: impl FnMut(&[FigureVersion]) -> Result<Option<Recency>>,
    ) -> Result<()> {
        if let Some(blocks) = &self.blocks {
            let blocks: Vec<&[u8]> = blocks.of_series(ids)?.into_iter().map(|block| block.versions).collect();
            return read_latest(&blocks, offer);
        }
        let scope = SeriesScope::Figure(self.indicator, self.entity);
        match scan_blocks(self.engine, scope, Some(ids)).next().transpose()? {
            Some(series) if series.ids == ids => SeriesBlocks::read_latest(&series, offer),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
