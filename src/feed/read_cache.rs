//! What subscribers behind the ring read from the ledger a moment ago. Many come back at once after an outage, and then
//! read the same commits.
//!
//! Invariant: at most [`READ_HEADERS_MAX`] headers and [`READ_PAGES_MAX`] ledger pages.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use super::shared_changes::SharedChanges;
use crate::{ledger::log::Header, model::id::Revision, store::lock::lock};

/// Most ledger pages.
const READ_PAGES_MAX: usize = 256;
/// Most headers.
const READ_HEADERS_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct ReadCache {
    headers: Mutex<BTreeMap<Revision, Arc<Header>>>,
    /// Oldest first.
    pages: Mutex<VecDeque<ReadPage>>,
}

#[derive(Debug)]
struct ReadPage {
    revision: Revision,
    ledger_page: u32,
    changes: Arc<SharedChanges>,
}

impl ReadCache {
    pub(super) fn header(&self, revision: Revision) -> Option<Arc<Header>> {
        lock(&self.headers).get(&revision).cloned()
    }

    pub(super) fn put_header(&self, header: Arc<Header>) {
        let mut headers = lock(&self.headers);
        // Subscribers read upwards, so the lowest revision is the least likely to be read again.
        if headers.len() >= READ_HEADERS_MAX {
            headers.pop_first();
        }
        headers.insert(header.commit.revision, header);
    }

    /// The changes of a ledger page of a commit.
    pub(super) fn page(&self, revision: Revision, ledger_page: u32) -> Option<Arc<SharedChanges>> {
        let pages = lock(&self.pages);
        let page = pages.iter().rev().find(|page| page.revision == revision && page.ledger_page == ledger_page);
        page.map(|page| page.changes.clone())
    }

    pub(super) fn put_page(&self, revision: Revision, ledger_page: u32, changes: Arc<SharedChanges>) {
        let mut pages = lock(&self.pages);
        if pages.len() == READ_PAGES_MAX {
            pages.pop_front();
        }
        pages.push_back(ReadPage { revision, ledger_page, changes });
    }
}
