//! The blocks of one series, decoded as far as a reader needs them.
//!
//! Invariant: what is decoded is whole periods. A period may go on from one block into the next, and after a split that was
//! not finished two blocks have the same versions, of which the later block's count.

use super::{
    super::{
        bytes::{Reader, unframe},
        error::Result,
        versions::{decode_versions, latest_period},
    },
    SeriesIds, VERSION, merge,
};
use crate::model::{series::FigureVersion, time::Date};

/// The last day and the first day of a period. The latest period has the greatest.
pub type Recency = (Date, Date);

/// The blocks of one series as they are on disk, in order.
#[derive(Debug)]
pub struct SeriesBlocks {
    pub ids: SeriesIds,
    pub(super) blocks: Vec<sled::IVec>,
}

impl SeriesBlocks {
    /// All versions, sorted.
    pub fn versions(&self) -> Result<Vec<FigureVersion>> {
        let mut versions = Vec::new();
        for body in self.bodies()? {
            merge(&mut versions, decode_versions(&mut Reader::new(body))?);
        }
        Ok(versions)
    }

    /// Reads from the last block back: see [`read_latest`].
    pub fn read_latest(&self, offer: impl FnMut(&[FigureVersion]) -> Result<Option<Recency>>) -> Result<()> {
        read_latest(&self.bodies()?, offer)
    }

    fn bodies(&self) -> Result<Vec<&[u8]>> {
        self.blocks.iter().map(|block| unframe(VERSION, block)).collect()
    }
}

/// Reads the blocks of a series from the last one back. `offer` gets versions of whole periods, sorted, and may answer with
/// the recency of a period: from then on only later periods are needed, and blocks without one are not decoded. It may still
/// get versions of periods that are not needed, and not all of them.
///
/// Blocks are in the order of first days, and a long period may end late, so each block tells how late its periods are.
pub(super) fn read_latest(
    blocks: &[&[u8]],
    mut offer: impl FnMut(&[FigureVersion]) -> Result<Option<Recency>>,
) -> Result<()> {
    let mut needed_after: Option<Recency> = None;
    // The first period of the block that was read before. It may begin in an earlier block.
    let mut open: Vec<FigureVersion> = Vec::new();
    for (number, body) in blocks.iter().enumerate().rev() {
        if needed_after.is_some() && latest_period(&mut Reader::new(body))? <= needed_after {
            continue;
        }
        let mut versions = decode_versions(&mut Reader::new(body))?;
        merge(&mut versions, std::mem::take(&mut open));
        if let Some(first) = versions.first().map(|version| version.period).filter(|_| number > 0) {
            open = versions;
            versions = open.split_off(open.partition_point(|version| version.period == first));
        }
        if !versions.is_empty() {
            needed_after = offer(&versions)?;
        }
    }
    if !open.is_empty() {
        offer(&open)?;
    }
    Ok(())
}

/// Joins the blocks of a series, in order, to versions of whole periods.
pub(super) fn whole_periods(
    mut blocks: impl Iterator<Item = Result<Vec<FigureVersion>>>,
) -> impl Iterator<Item = Result<Vec<FigureVersion>>> {
    // The last block, whose last period may go on in the next.
    let mut open: Vec<FigureVersion> = Vec::new();
    let mut ended = false;
    std::iter::from_fn(move || {
        while !ended {
            let block = match blocks.next() {
                None => break,
                Some(Ok(block)) => block,
                Some(Err(error)) => {
                    ended = true;
                    return Some(Err(error));
                }
            };
            let Some(first) = block.first().map(|version| version.period) else { continue };
            merge(&mut open, block);
            let goes_on = open.split_off(open.partition_point(|version| version.period < first));
            let whole = std::mem::replace(&mut open, goes_on);
            if !whole.is_empty() {
                return Some(Ok(whole));
            }
        }
        ended = true;
        (!open.is_empty()).then(|| Ok(std::mem::take(&mut open)))
    })
}
