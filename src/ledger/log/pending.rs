//! The commit after head, while its pages come in.
//!
//! Pages wait in memory, so that a small commit is one batch and one sync. A long commit does not fit: its pages go to the
//! store early, where nothing refers to them until the header seals the commit.
//!
//! Invariant: memory is bounded by [`PENDING_BYTES_MAX`] and one page.

use super::{ContentHash, cache::PageRun, keys::page_key};
use crate::{
    ledger::bundle,
    model::id::Revision,
    store::{StoreError, chunks, engine::Batch, error::Result},
};

/// Most bytes of pages that wait in memory for the seal.
const PENDING_BYTES_MAX: usize = 128 * 1024;

#[derive(Debug, Default)]
pub(super) struct PendingCommit {
    /// Number of the first page in memory.
    first: u32,
    pages: Vec<Vec<u8>>,
    bytes: usize,
    /// Some pages of this commit are in the store already.
    pub(super) in_store: bool,
    /// Hash of all pages so far.
    content: ContentHash,
}

impl PendingCommit {
    /// Adds the next page, which must have this number.
    pub(super) fn add(&mut self, number: u32, page: Vec<u8>) -> Result<()> {
        if number as usize != self.first as usize + self.pages.len() {
            return Err(StoreError::corrupt(format!("page {number} does not follow the one before")));
        }
        self.bytes += page.len();
        self.content.add(&page);
        self.pages.push(page);
        Ok(())
    }

    /// Whether the pages must go to the store before more come.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > PENDING_BYTES_MAX
    }

    /// Hash of all pages so far.
    pub(super) fn content(&self) -> [u8; 32] {
        self.content.clone().finish()
    }

    /// A copy of the pages in memory.
    pub(super) fn run(&self, revision: Revision) -> PageRun {
        PageRun { revision, first: self.first, pages: self.pages.clone() }
    }

    /// Moves the pages in memory into a batch, as bundles.
    pub(super) fn put_into(&mut self, batch: &mut Batch<'_>, revision: Revision) -> Result<()> {
        let mut rest = self.pages.as_slice();
        while !rest.is_empty() {
            let (pages, others) = rest.split_at(pages_of_bundle(rest));
            chunks::put(batch, &page_key(revision, self.first), &bundle::pack(pages)?)?;
            self.first += pages.len() as u32;
            rest = others;
        }
        self.pages.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// How many of these pages go into one bundle. The page that makes the bundle long enough is its last.
fn pages_of_bundle(pages: &[Vec<u8>]) -> usize {
    let mut bytes = 0;
    for (at, page) in pages.iter().enumerate() {
        bytes += page.len();
        if bytes > bundle::BUNDLE_BYTES {
            return at + 1;
        }
    }
    pages.len()
}
