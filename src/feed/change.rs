//! A change of a commit, encoded at most once.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{cache::PageCache, stamps::CommitStamps};
use crate::model::change::Change;

/// A change with its number in the commit and its encoded form.
#[derive(Debug)]
pub struct NumberedChange {
    /// From 0, within the commit.
    pub number: u64,
    pub change: Change,
    /// The commits that the change's rows come from.
    pub stamps: Arc<CommitStamps>,
    encoded: OnceLock<Bytes>,
}

impl NumberedChange {
    pub fn new(number: u64, change: Change, stamps: Arc<CommitStamps>) -> Self {
        Self { number, change, stamps, encoded: OnceLock::new() }
    }

    /// The encoded form. The first caller makes it; all others share it.
    pub fn encoded(&self, cache: &PageCache, encode: impl FnOnce(&Change, &CommitStamps) -> Vec<u8>) -> &Bytes {
        self.encoded.get_or_init(|| {
            cache.count_encoded();
            encode(&self.change, &self.stamps).into()
        })
    }
}
