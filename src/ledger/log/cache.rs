//! The bundles that were read last, unpacked: a reader asks for their pages one after the other.
//!
//! Invariant: the cache holds pages of sealed commits, and of the one that is being sealed and applied in one batch; and at
//! most [`BUNDLES_MAX`] bundles.

use std::collections::VecDeque;

use crate::model::id::Revision;

/// Most bundles in the cache.
const BUNDLES_MAX: usize = 16;

/// A bundle of pages of one commit, unpacked.
#[derive(Debug)]
pub(super) struct PageRun {
    pub(super) revision: Revision,
    /// Number of the first page.
    pub(super) first: u32,
    pub(super) pages: Vec<Vec<u8>>,
}

impl PageRun {
    pub(super) fn page(&self, revision: Revision, page: u32) -> Option<&Vec<u8>> {
        if self.revision != revision {
            return None;
        }
        self.pages.get(page.checked_sub(self.first)? as usize)
    }
}

/// The bundles that were read last, newest first.
#[derive(Debug, Default)]
pub(super) struct BundleCache(VecDeque<PageRun>);

impl BundleCache {
    pub(super) fn page(&self, revision: Revision, page: u32) -> Option<Vec<u8>> {
        self.0.iter().find_map(|run| run.page(revision, page)).cloned()
    }

    pub(super) fn add(&mut self, run: PageRun) {
        self.0.truncate(BUNDLES_MAX - 1);
        self.0.push_front(run);
    }
}
