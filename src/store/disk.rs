//! The ordered map that [`super::Engine`] keeps its rules over: sled's files, or a map in memory for simulations.
//!
//! Invariant: both answer alike; the tests of the disk in memory compare them.

use std::{
    fmt, fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::error::{Result, StoreError};

/// A key with its value.
pub(super) type Item = (sled::IVec, sled::IVec);

/// The value that a key gets, or `None` to remove the key.
pub(super) type Op = (sled::IVec, Option<sled::IVec>);

/// Items of a range of keys, in order.
pub(super) type Items = Box<dyn DoubleEndedIterator<Item = Result<Item>> + Send>;

/// What an engine asks of the map below it.
pub(super) trait Disk: fmt::Debug + Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>>;

    fn last_at_or_before(&self, key: &[u8]) -> Result<Option<Item>>;

    fn first_after(&self, key: &[u8]) -> Result<Option<Item>>;

    /// Items from `start` on, up to `end`, which is not included; `None`: to the last key.
    fn range(&self, start: Vec<u8>, end: Option<Vec<u8>>) -> Items;

    /// Applies a batch: all of it is visible, or nothing.
    fn apply(&self, ops: Vec<Op>) -> Result<()>;

    /// How many threads may set keys at one time to be faster than one.
    fn threads(&self) -> usize;

    /// Sets one key.
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Makes all applied batches durable.
    fn sync(&self) -> Result<()>;

    /// The space taken, in bytes.
    fn bytes(&self) -> u64;
}

/// sled's files.
#[derive(Debug)]
pub(super) struct SledDisk {
    pub(super) db: sled::Db,
    /// An own handle on sled's log, only to sync it.
    pub(super) log: fs::File,
}

impl Disk for SledDisk {
    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>> {
        Ok(self.db.get(key)?)
    }

    fn last_at_or_before(&self, key: &[u8]) -> Result<Option<Item>> {
        Ok(self.db.range(..=key).next_back().transpose()?)
    }

    fn first_after(&self, key: &[u8]) -> Result<Option<Item>> {
        Ok(self.db.get_gt(key)?)
    }

    fn range(&self, start: Vec<u8>, end: Option<Vec<u8>>) -> Items {
        let items = match end {
            Some(end) => self.db.range(start..end),
            None => self.db.range(start..),
        };
        Box::new(items.map(|item| item.map_err(Into::into)))
    }

    fn apply(&self, ops: Vec<Op>) -> Result<()> {
        let mut batch = sled::Batch::default();
        for (key, value) in ops {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        Ok(self.db.apply_batch(batch)?)
    }

    fn threads(&self) -> usize {
        2
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.db.insert(key, value)?;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let flushed = catch_unwind(AssertUnwindSafe(|| self.db.flush()));
        flushed.map_err(|_| StoreError::corrupt("sled panicked while flushing"))??;
        Ok(self.log.sync_data()?)
    }

    fn bytes(&self) -> u64 {
        self.db.size_on_disk().unwrap_or(0)
    }
}
