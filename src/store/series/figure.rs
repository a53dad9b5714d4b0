//! Reads of the series of one indicator and entity: from blocks in memory, or block by block from the disk.
//!
//! Invariant: both give the same versions. A read of one period decodes only that period, and a read of the latest periods
//! only the blocks that may hold them.

use std::sync::Arc;

use super::{
    super::{
        bytes::{Reader, put_bytes, put_varint, unframe},
        engine::Engine,
        error::Result,
        versions::{decode_period, decode_versions},
    },
    SeriesIds, SeriesScope, VERSION,
    blocks::{Recency, SeriesBlocks, read_latest, whole_periods},
    merge, next_series, read, read_from, read_period, scan_blocks, without_earlier,
};
use crate::model::{period::Period, series::FigureVersion};

/// Most bytes of blocks of one indicator and entity that are kept in memory. More are read from the disk, block by block.
const FIGURE_BYTES_MAX: usize = 64 * 1024;

/// All blocks of the series of one indicator and entity, without their frames, in the order of their keys.
///
/// Each block is: source, dimensions, name of its first version as in its key, versions.
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

impl FigureBlocks {
    /// Reads the blocks of an indicator and an entity. `None`: they are too long for the memory.
    pub fn read(engine: &Engine, indicator: u32, entity: u32) -> Result<Option<Self>> {
        let mut blocks = Vec::new();
        for item in engine.scan(&SeriesScope::Figure(indicator, entity).prefix(), None) {
            let (key, block) = item?;
            let ids = SeriesIds::of_key(&key)?;
            put_varint(&mut blocks, ids.source.into());
            put_varint(&mut blocks, ids.dimensions.into());
            put_bytes(&mut blocks, &key[ids.key().len()..]);
            put_bytes(&mut blocks, unframe(VERSION, &block)?);
            if blocks.len() > FIGURE_BYTES_MAX {
                return Ok(None);
            }
        }
        Ok(Some(Self(blocks.into())))
    }

    /// Bytes that they take in memory.
    pub fn bytes(&self) -> usize {
        // The two counters in front of shared bytes, and what the allocator adds.
        self.0.len() + 4 * size_of::<usize>()
    }

    fn blocks(&self) -> impl Iterator<Item = Result<Block<'_>>> {
        let mut reader = Reader::new(&self.0);
        std::iter::from_fn(move || (!reader.is_empty()).then(|| Block::read(&mut reader)))
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
}

impl<'a> Block<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self> {
        Ok(Self {
            source: u32::try_from(reader.varint()?).unwrap_or(u32::MAX),
            dimensions: u32::try_from(reader.varint()?).unwrap_or(u32::MAX),
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
