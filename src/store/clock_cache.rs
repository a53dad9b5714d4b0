//! A map of bounded size that forgets what nobody asked for lately: the cache behind reads that must not wait for the disk.
//!
//! Each entry has a weight in bytes. When a shard is full, a hand goes around its entries: one that was asked for since the
//! hand came by last stays for another round, the others go.
//!
//! Invariant: the weights of all entries, with what an entry takes beside its content, stay within the limit.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use super::lock::lock;

/// Parts with a lock each, so that readers on several cores rarely wait for each other.
const SHARDS: usize = 8;

/// How a cache is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheUse {
    /// Bytes that the entries take.
    pub bytes: u64,
    /// Most bytes that they may take.
    pub limit: u64,
    /// How often an entry was found.
    pub hits: u64,
    /// How often a value was not there and was read from the disk.
    pub misses: u64,
}

#[derive(Debug)]
pub(crate) struct ClockCache<K, V> {
    shards: [Mutex<Shard<K, V>>; SHARDS],
    hasher: RandomState,
    shard_bytes_max: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl<K: Copy + Eq + Hash, V: Clone> ClockCache<K, V> {
    /// An empty cache of at most `bytes_max` bytes. With 0 it keeps nothing.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(Shard::default())),
            hasher: RandomState::new(),
            shard_bytes_max: bytes_max / SHARDS,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The value of a key, if it is there.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let value = self.shard(key).get(key)?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(value)
    }

    /// Counts a read from the disk.
    pub(crate) fn count_miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps a value of `bytes` bytes if `still_right` says so. It is asked while the shard is locked: a removal of the key
    /// comes either before it, or after the value is in. A value above the limit of a shard is not kept.
    pub(crate) fn put_if(&self, key: K, value: V, bytes: usize, still_right: impl FnOnce() -> bool) {
        let bytes = bytes + Shard::<K, V>::ENTRY_BYTES;
        if bytes > self.shard_bytes_max {
            return;
        }
        let mut shard = self.shard(&key);
        if still_right() {
            shard.remove(&key);
            shard.make_room(self.shard_bytes_max - bytes);
            shard.add(key, value, bytes);
        }
    }

    pub(crate) fn remove(&self, key: &K) {
        self.shard(key).remove(key);
    }

    /// Removes every entry.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *lock(shard) = Shard::default();
        }
    }

    pub(crate) fn usage(&self) -> CacheUse {
        CacheUse {
            bytes: self.shards.iter().map(|shard| lock(shard).bytes as u64).sum(),
            limit: (self.shard_bytes_max * SHARDS) as u64,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        // The map of the shard uses the low bits.
        let hash = (self.hasher.hash_one(key) >> 32) as usize;
        lock(&self.shards[hash % SHARDS])
    }
}

#[derive(Debug)]
struct Shard<K, V> {
    /// Where in `entries` each key is.
    positions: HashMap<K, usize>,
    entries: Vec<Entry<K, V>>,
    /// Where the hand is.
    hand: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    bytes: usize,
    /// Whether it was asked for since the hand came by.
    used: bool,
}

impl<K, V> Default for Shard<K, V> {
    fn default() -> Self {
        Self { positions: HashMap::new(), entries: Vec::new(), hand: 0, bytes: 0 }
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Shard<K, V> {
    /// What an entry takes beside its content. The vector and the table grow by doubling; on average a quarter of the one
    /// and a third of the other are empty.
    const ENTRY_BYTES: usize = (size_of::<Entry<K, V>>() * 4).div_ceil(3) + (size_of::<(K, usize)>() + 1) * 3 / 2;

    fn get(&mut self, key: &K) -> Option<V> {
        let entry = &mut self.entries[*self.positions.get(key)?];
        entry.used = true;
        Some(entry.value.clone())
    }

    fn add(&mut self, key: K, value: V, bytes: usize) {
        self.positions.insert(key, self.entries.len());
        self.entries.push(Entry { key, value, bytes, used: false });
        self.bytes += bytes;
    }

    fn remove(&mut self, key: &K) {
        let Some(position) = self.positions.remove(key) else { return };
        let removed = self.entries.swap_remove(position);
        self.bytes -= removed.bytes;
        if let Some(moved) = self.entries.get(position) {
            self.positions.insert(moved.key, position);
        }
    }

    /// Removes entries until their weight is at most `bytes_max`.
    fn make_room(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && !self.entries.is_empty() {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            let entry = &mut self.entries[self.hand];
            if std::mem::take(&mut entry.used) {
                self.hand += 1;
            } else {
                let key = entry.key;
                self.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY_BYTES: usize = Shard::<u32, u64>::ENTRY_BYTES;

    #[test]
    fn what_is_asked_for_stays_and_the_weight_stays_within_the_limit() {
        let cache: ClockCache<u32, u64> = ClockCache::new(SHARDS * 20 * (ENTRY_BYTES + 100));
        for key in 0..10_000 {
            cache.put_if(key, u64::from(key), 100, || true);
            assert!(cache.get(&0).is_some(), "key 0 is asked for all the time, after {key}");
            let usage = cache.usage();
            assert!(usage.bytes <= usage.limit);
        }
        let kept: Vec<u32> = (0..10_000).filter(|key| cache.get(key) == Some(u64::from(*key))).collect();
        assert!((SHARDS * 15..=SHARDS * 20).contains(&kept.len()), "{} are kept", kept.len());
    }

    #[test]
    fn a_value_that_is_replaced_removed_or_not_right_any_more_is_not_found() {
        let cache: ClockCache<u32, u64> = ClockCache::new(1 << 20);
        cache.put_if(1, 10, 0, || true);
        cache.put_if(1, 11, 0, || true);
        cache.put_if(2, 20, 0, || false);
        cache.put_if(3, 30, 1 << 20, || true);
        assert_eq!([1, 2, 3].map(|key| cache.get(&key)), [Some(11), None, None]);
        assert_eq!(cache.usage().bytes, ENTRY_BYTES as u64);
        cache.remove(&1);
        assert_eq!((cache.get(&1), cache.usage().bytes), (None, 0));
        cache.put_if(4, 40, 0, || true);
        cache.clear();
        assert_eq!((cache.get(&4), cache.usage().bytes), (None, 0));
        cache.count_miss();
        assert_eq!((cache.usage().hits, cache.usage().misses), (1, 1));
    }
}
