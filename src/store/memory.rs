//! A disk in memory, for simulations. A test can cut its power, which loses batches that were not synced, and can make
//! writes and syncs fail.
//!
//! The disk keeps two maps: what readers see, and what survives a power cut. Like sled's log, it loses from the end:
//! batches are atomic, and of the batches that were not synced the first ones survive.
//!
//! It counts its operations, so that what a write costs is an exact test.
//!
//! Invariant: the same calls give the same contents, whatever the machine does meanwhile.

use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard},
};

use sled::IVec;

use super::{
    disk::{Disk, Item, Items, Op},
    error::Result,
    lock::lock,
};

type Contents = BTreeMap<IVec, IVec>;

/// The disk. A clone is a handle on the same disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    live: Contents,
    synced: Contents,
    /// Batches since the last sync.
    unsynced: Vec<Vec<Op>>,
    /// How many more batches and syncs succeed; `None`: no limit.
    left: Option<u32>,
    counts: OperationCounts,
}

/// How often each operation was done since the disk was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperationCounts {
    /// Keys that were asked for.
    pub gets: u64,
    /// Searches in the order of keys: the starts of ranges, and neighbours.
    pub seeks: u64,
    /// Items that were read from ranges.
    pub items: u64,
    /// Keys that were set or removed, in batches.
    pub puts: u64,
    pub syncs: u64,
}

impl MemoryDisk {
    /// Cuts the power. What was synced survives, and the first `kept` batches since then. Failures end.
    pub fn cut_power(&self, kept: usize) {
        let mut state = self.state();
        let mut contents = std::mem::take(&mut state.synced);
        let unsynced = std::mem::take(&mut state.unsynced);
        unsynced.into_iter().take(kept).for_each(|ops| apply(&mut contents, ops));
        let counts = state.counts;
        *state = State { live: contents.clone(), synced: contents, counts, ..State::default() };
    }

    /// The operations so far. A power cut does not change them.
    pub fn counts(&self) -> OperationCounts {
        self.state().counts
    }

    /// How many batches a power cut can lose.
    pub fn unsynced(&self) -> usize {
        self.state().unsynced.len()
    }

    /// Lets this many more batches and syncs succeed; then all fail until a power cut.
    pub fn fail_after(&self, operations: u32) {
        self.state().left = Some(operations);
    }

    /// Whether batches and syncs fail now.
    pub fn fails(&self) -> bool {
        self.state().left == Some(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl Disk for MemoryDisk {
    fn get(&self, key: &[u8]) -> Result<Option<IVec>> {
        let mut state = self.state();
        state.counts.gets += 1;
        Ok(state.live.get(key).cloned())
    }

    fn last_at_or_before(&self, key: &[u8]) -> Result<Option<Item>> {
        let mut state = self.state();
        state.counts.seeks += 1;
        let last = state.live.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        Ok(last.map(|(key, value)| (key.clone(), value.clone())))
    }

    fn first_after(&self, key: &[u8]) -> Result<Option<Item>> {
        let mut state = self.state();
        state.counts.seeks += 1;
        let first = state.live.range::<[u8], _>((Bound::Excluded(key), Bound::Unbounded)).next();
        Ok(first.map(|(key, value)| (key.clone(), value.clone())))
    }

    /// What is there at the time of the call.
    fn range(&self, start: Vec<u8>, end: Option<Vec<u8>>) -> Items {
        let mut state = self.state();
        state.counts.seeks += 1;
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = state.live.range::<[u8], _>((Bound::Included(start.as_slice()), end));
        let items: Vec<Item> = range.map(|(key, value)| (key.clone(), value.clone())).collect();
        let disk = self.clone();
        Box::new(items.into_iter().map(move |item| {
            disk.state().counts.items += 1;
            Ok(item)
        }))
    }

    fn apply(&self, ops: Vec<Op>) -> Result<()> {
        let mut state = self.state();
        state.take_one()?;
        state.counts.puts += ops.len() as u64;
        apply(&mut state.live, ops.clone());
        state.unsynced.push(ops);
        Ok(())
    }

    fn threads(&self) -> usize {
        1
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.apply(vec![(key.into(), Some(value.into()))])
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.state();
        state.take_one()?;
        state.counts.syncs += 1;
        let unsynced = std::mem::take(&mut state.unsynced);
        unsynced.into_iter().for_each(|ops| apply(&mut state.synced, ops));
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.state().live.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}

impl State {
    fn take_one(&mut self) -> io::Result<()> {
        match &mut self.left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the disk fails on purpose")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

fn apply(contents: &mut Contents, ops: Vec<Op>) {
    for (key, value) in ops {
        match value {
            Some(value) => contents.insert(key, value),
            None => contents.remove(&key),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Engine;

    fn put(engine: &Engine, key: &[u8], value: &[u8]) -> Result<()> {
        let mut batch = engine.batch();
        batch.put(key, value)?;
        batch.write()
    }

    #[test]
    fn a_power_cut_takes_what_was_not_synced_from_the_end() {
        let disk = MemoryDisk::default();
        let engine = Engine::in_memory(disk.clone());
        put(&engine, b"a", b"1").unwrap();
        engine.sync().unwrap();
        put(&engine, b"a", b"2").unwrap();
        put(&engine, b"b", b"3").unwrap();
        assert_eq!(disk.unsynced(), 2);
        disk.cut_power(1);
        assert_eq!((engine.get(b"a").unwrap().unwrap().as_ref(), engine.get(b"b").unwrap()), (&b"2"[..], None));
        disk.cut_power(0);
        assert_eq!(engine.get(b"a").unwrap().unwrap().as_ref(), b"2", "what survived once is on disk");
    }

    #[test]
    fn it_fails_when_told_to_until_a_power_cut() {
        let disk = MemoryDisk::default();
        let engine = Engine::in_memory(disk.clone());
        disk.fail_after(1);
        put(&engine, b"a", b"1").unwrap();
        assert!(engine.sync().is_err() && put(&engine, b"b", b"2").is_err());
        disk.cut_power(0);
        assert!(engine.get(b"a").unwrap().is_none());
        put(&engine, b"b", b"2").unwrap();
        engine.sync().unwrap();
    }

    /// The two maps answer alike.
    #[test]
    fn it_reads_as_the_map_on_disk_does() {
        let folder = tempfile::tempdir().unwrap();
        let engines = [Engine::open(folder.path()).unwrap(), Engine::in_memory(MemoryDisk::default())];
        for engine in &engines {
            for key in [&b"a"[..], b"ab", b"b", b"ba", b"\xff", b"\xff\xff"] {
                put(engine, key, key).unwrap();
            }
            let mut batch = engine.batch();
            batch.remove(b"ab").unwrap();
            batch.write().unwrap();
        }
        let keys = |items: Vec<Item>| items.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        for probe in [&b""[..], b"a", b"ab", b"ac", b"b", b"bb", b"\xff", b"\xff\xff\xff"] {
            let read = engines.each_ref().map(|engine| {
                let scanned = |from| engine.scan(probe, from).collect::<Result<Vec<_>>>().map(keys).unwrap();
                let backwards = engine.scan(probe, None).rev().collect::<Result<Vec<_>>>().map(keys).unwrap();
                let neighbours = (engine.last_at_or_before(probe).unwrap(), engine.first_after(probe).unwrap());
                let from = [probe, b"a"].concat();
                (engine.get(probe).unwrap(), neighbours, scanned(None), scanned(Some(&from)), backwards)
            });
            assert_eq!(read[0], read[1], "{probe:?}");
        }
    }
}
