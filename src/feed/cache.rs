//! What the feed keeps so that subscribers can share it: matches, and encoded or compressed pages.
//!
//! Invariant: the cache counts at most [`SHARED_BYTES_MAX`] bytes. Above that it evicts, oldest first; evicted matches
//! and bytes are rebuilt on demand.

use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::store::lock::lock;

/// Most bytes of matches and encoded pages that are kept for sharing.
pub const SHARED_BYTES_MAX: usize = 32 << 20;

/// The owner of shared matches and bytes.
pub(super) trait Evict: Debug + Send + Sync {
    /// Drops all of them.
    fn evict(&self);
}

/// Counts the shared bytes, and how often changes were encoded and matched.
#[derive(Debug, Default)]
pub struct PageCache {
    entries: Mutex<CacheEntries>,
    changes_encoded: AtomicU64,
    changes_matched: AtomicU64,
}

#[derive(Debug, Default)]
struct CacheEntries {
    oldest_first: VecDeque<CacheEntry>,
    bytes: usize,
}

#[derive(Debug)]
struct CacheEntry {
    owner: Weak<dyn Evict>,
    bytes: usize,
}

impl PageCache {
    /// Changes encoded since the start: each once, however many subscribers see it.
    pub fn changes_encoded(&self) -> u64 {
        self.changes_encoded.load(Ordering::Relaxed)
    }

    /// Changes matched since the start: once against the filters of all groups together, and once for each group that
    /// was created later. The number of subscribers does not matter.
    pub fn changes_matched(&self) -> u64 {
        self.changes_matched.load(Ordering::Relaxed)
    }

    pub(super) fn count_encoded(&self) {
        self.changes_encoded.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_matched(&self, changes: usize) {
        self.changes_matched.fetch_add(changes as u64, Ordering::Relaxed);
    }

    /// Counts bytes that the owner keeps from now on, and evicts the oldest while they are too many. The caller must
    /// not hold a lock that an owner needs to evict.
    pub(super) fn add<O: Evict + 'static>(&self, owner: &Arc<O>, bytes: usize) {
        let owner: Weak<O> = Arc::downgrade(owner);
        let mut entries = lock(&self.entries);
        entries.oldest_first.push_back(CacheEntry { owner, bytes });
        entries.bytes += bytes;
        while entries.bytes > SHARED_BYTES_MAX {
            let Some(oldest) = entries.oldest_first.pop_front() else { return };
            entries.bytes -= oldest.bytes;
            if let Some(owner) = oldest.owner.upgrade() {
                owner.evict();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        lock(&self.entries).bytes
    }
}
