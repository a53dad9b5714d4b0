//! The commit after head, while its pages come in.
//!
//! Pages wait in memory, so that a small commit is one batch and one sync. A long commit does not fit: its pages go to the
//! store early, where nothing refers to them until the header seals the commit. See [`super::early`].
//!
//! Invariant: memory is bounded by [`PENDING_BYTES_MAX`], one page, and what `early` holds.

use std::sync::Arc;

use super::{ContentHash, early::EarlyPages, keys::page_key};
use crate::{
    ledger::bundle,
    model::id::Revision,
    store::{Engine, StoreError, chunks, engine::Batch, error::Result},
};

/// Most bytes of pages that wait in memory for the seal.
const PENDING_BYTES_MAX: usize = 128 * 1024;

#[derive(Debug, Default)]
pub(super) struct PendingCommit {
    waiting: Pages,
    bytes: usize,
    /// The pages before those that wait, if this is a long commit.
    early: Option<EarlyPages>,
    /// Hash of all pages so far.
    content: ContentHash,
}

/// Pages of a commit that follow each other.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Number of the first one.
    first: u32,
    pages: Vec<Vec<u8>>,
}

impl PendingCommit {
    /// Adds the next page, which must have this number.
    pub(super) fn add(&mut self, number: u32, page: Vec<u8>) -> Result<()> {
        if number as usize != self.waiting.first as usize + self.waiting.pages.len() {
            return Err(StoreError::corrupt(format!("page {number} does not follow the one before")));
        }
        self.bytes += page.len();
        self.content.add(&page);
        self.waiting.pages.push(page);
        Ok(())
    }

    /// Whether the pages must go to the store before more come.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > PENDING_BYTES_MAX
    }

    /// Whether pages have gone to the store.
    pub(super) fn is_long(&self) -> bool {
        self.early.is_some()
    }

    /// Hash of all pages so far.
    pub(super) fn content(&self) -> [u8; 32] {
        self.content.clone().finish()
    }

    /// Lets the pages in memory go to the store, as pages of this commit. They are there after [`PendingCommit::finish_early`].
    pub(super) fn write_early(&mut self, engine: &Arc<Engine>, revision: Revision) -> Result<()> {
        let early = match self.early.take() {
            Some(early) => early,
            None => EarlyPages::start(engine, revision)?,
        };
        let pages = self.take_waiting();
        self.early.insert(early).add(pages)
    }

    /// Waits until the pages that went to the store are there. An error: some are not.
    pub(super) fn finish_early(&mut self) -> Result<()> {
        match self.early.take() {
            Some(early) => early.finish(),
            None => Ok(()),
        }
    }

    /// Moves the pages in memory into a batch, as bundles.
    pub(super) fn put_into(&mut self, batch: &mut Batch<'_>, revision: Revision) -> Result<()> {
        self.take_waiting().put_into(batch, revision)
    }

    fn take_waiting(&mut self) -> Pages {
        self.bytes = 0;
        let pages = std::mem::take(&mut self.waiting.pages);
        let first = self.waiting.first;
        self.waiting.first += pages.len() as u32;
        Pages { first, pages }
    }
}

impl Pages {
    /// Puts them into a batch, as bundles.
    pub(super) fn put_into(&self, batch: &mut Batch<'_>, revision: Revision) -> Result<()> {
        let mut first = self.first;
        let mut rest = self.pages.as_slice();
        while !rest.is_empty() {
            let (pages, others) = rest.split_at(pages_of_bundle(rest));
            chunks::put(batch, &page_key(revision, first), &bundle::pack(pages)?)?;
            first += pages.len() as u32;
            rest = others;
        }
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
