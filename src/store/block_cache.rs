//! Blocks of series and days of full releases in memory, so that a point read need not wait for the disk.
//!
//! It caches what is stored, never an answer: versions carry their revision, so one entry serves readers at any revision up
//! to the applied one.
//!
//! Invariant: an entry holds every version up to the applied revision. A commit removes the entries of what it changed after
//! its last batch is written and before its revision is applied. What was read from the disk meanwhile is not kept: it may
//! lack the commit. A reader that sees an applied revision therefore never finds an entry from before it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    clock_cache::{CacheUse, ClockCache},
    series::{SeriesIds, figure::FigureBlocks},
};
use crate::model::{id::Revision, time::Date};

/// Bytes that the cache takes unless the operator says otherwise.
pub const CACHE_BYTES_DEFAULT: usize = 64 << 20;
/// Most full releases of one indicator by one source in an entry. If there are more, they are read from the disk.
pub(super) const FULL_RELEASES_MAX: usize = 1_024;
/// Most changed figures that a commit lists. One that changes more empties the cache.
const CHANGED_FIGURES_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum CacheKey {
    /// The series of an indicator and an entity.
    Figure { indicator: u32, entity: u32 },
    /// The full releases of an indicator by a source.
    FullReleases { indicator: u32, source: u32 },
}

/// The full releases of an indicator by a source, from the oldest day to the newest.
pub(super) type FullReleaseDays = Arc<[(Date, Revision)]>;

#[derive(Debug, Clone)]
pub(super) enum CacheEntry {
    /// `None`: the blocks are too long for an entry.
    Figure(Option<FigureBlocks>),
    /// `None`: there are too many for an entry.
    FullReleases(Option<FullReleaseDays>),
}

impl CacheEntry {
    /// The full releases of a list; too many are not kept.
    pub(super) fn full_releases(days: Vec<(Date, Revision)>) -> Self {
        Self::FullReleases((days.len() <= FULL_RELEASES_MAX).then(|| days.into()))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Figure(Some(blocks)) => blocks.bytes(),
            Self::FullReleases(Some(days)) => size_of_val(&**days) + 4 * size_of::<usize>(),
            Self::Figure(None) | Self::FullReleases(None) => 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct BlockCache {
    entries: ClockCache<CacheKey, CacheEntry>,
    /// How many commits removed what they changed.
    commits: AtomicU64,
}

/// When a read from the disk began.
#[derive(Debug, Clone, Copy)]
pub(super) struct FillStart(u64);

impl BlockCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { entries: ClockCache::new(bytes_max), commits: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, key: CacheKey) -> Option<CacheEntry> {
        self.entries.get(&key)
    }

    /// To be called before an entry is read from the disk.
    pub(super) fn start_fill(&self) -> FillStart {
        self.entries.count_miss();
        FillStart(self.commits.load(Ordering::SeqCst))
    }

    /// Keeps what was read from the disk, unless a commit was applied meanwhile.
    pub(super) fn fill(&self, key: CacheKey, entry: CacheEntry, start: FillStart) {
        let bytes = entry.bytes();
        self.entries.put_if(key, entry, bytes, || self.commits.load(Ordering::SeqCst) == start.0);
    }

    /// Whether entries that nobody asked for yet can be kept without another one having to go.
    pub(super) fn has_room(&self) -> bool {
        let CacheUse { bytes, limit, .. } = self.entries.usage();
        bytes < limit - limit / 8
    }

    /// Removes what a commit changed. Its batches are written, and its revision is not applied yet.
    pub(super) fn forget(&self, changed: &ChangedFigures) {
        // First this, so that an entry whose read began before is either refused or removed below.
        self.commits.fetch_add(1, Ordering::SeqCst);
        match &changed.0 {
            Some(keys) => keys.iter().for_each(|key| self.entries.remove(key)),
            None => self.entries.clear(),
        }
    }

    pub(super) fn usage(&self) -> CacheUse {
        self.entries.usage()
    }
}

/// What a commit changed. `None`: more than it can list.
#[derive(Debug)]
pub(super) struct ChangedFigures(Option<BTreeSet<CacheKey>>);

impl Default for ChangedFigures {
    fn default() -> Self {
        Self(Some(BTreeSet::new()))
    }
}

impl ChangedFigures {
    pub(super) fn series(&mut self, ids: SeriesIds) {
        self.add(CacheKey::Figure { indicator: ids.indicator, entity: ids.entity });
    }

    pub(super) fn full_release(&mut self, indicator: u32, source: u32) {
        self.add(CacheKey::FullReleases { indicator, source });
    }

    fn add(&mut self, key: CacheKey) {
        if let Some(keys) = &mut self.0 {
            keys.insert(key);
            if keys.len() > CHANGED_FIGURES_MAX {
                self.0 = None;
            }
        }
    }
}

#[cfg(test)]
mod model_tests;

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: SeriesIds = SeriesIds { indicator: 1, entity: 2, source: 3, dimensions: 4 };
    const KEY: CacheKey = CacheKey::Figure { indicator: 1, entity: 2 };

    fn changed(series: &[SeriesIds]) -> ChangedFigures {
        let mut changed = ChangedFigures::default();
        series.iter().for_each(|ids| changed.series(*ids));
        changed
    }

    #[test]
    fn a_fill_that_raced_with_a_commit_is_not_kept_whatever_the_commit_changed() {
        let cache = BlockCache::new(CACHE_BYTES_DEFAULT);
        let before = cache.start_fill();
        cache.forget(&changed(&[IDS]));
        cache.fill(KEY, CacheEntry::Figure(None), before);
        assert!(cache.get(KEY).is_none());
        let after = cache.start_fill();
        cache.fill(KEY, CacheEntry::Figure(None), after);
        assert!(cache.get(KEY).is_some());
    }

    #[test]
    fn a_commit_removes_what_it_changed_and_a_very_large_one_everything() {
        let cache = BlockCache::new(CACHE_BYTES_DEFAULT);
        cache.fill(KEY, CacheEntry::Figure(None), cache.start_fill());
        cache.forget(&changed(&[SeriesIds { entity: 7, ..IDS }]));
        assert!(cache.get(KEY).is_some());
        cache.forget(&changed(&[IDS]));
        assert!(cache.get(KEY).is_none());
        cache.fill(KEY, CacheEntry::Figure(None), cache.start_fill());
        let many: Vec<SeriesIds> =
            (0..=CHANGED_FIGURES_MAX as u32).map(|indicator| SeriesIds { indicator, entity: 9, ..IDS }).collect();
        cache.forget(&changed(&many));
        assert!(cache.get(KEY).is_none());
    }
}
