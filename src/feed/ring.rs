//! The recent commits, in memory, for the subscribers that keep up.
//!
//! Invariant: at most [`RING_COMMITS_MAX`] commits, and at most [`RING_CHANGES_MAX`] changes unless the newest commit
//! alone has more. The oldest leave first.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::shared_changes::SharedChanges;
use crate::{ledger::log::Header, model::id::Revision};

/// Most commits in the ring.
pub(super) const RING_COMMITS_MAX: usize = 4_096;
/// Most changes in the ring; each takes about 300 bytes, and as much again encoded.
pub(super) const RING_CHANGES_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Ring {
    commits: BTreeMap<Revision, RingCommit>,
    oldest_first: VecDeque<Revision>,
    changes: usize,
}

/// A commit of the ring.
#[derive(Debug, Clone)]
pub(super) struct RingCommit {
    pub(super) header: Arc<Header>,
    /// All its changes. `None`: the commit is too long for the ring.
    pub(super) changes: Option<Arc<SharedChanges>>,
}

impl RingCommit {
    fn len(&self) -> usize {
        self.changes.as_ref().map_or(0, |shared| shared.changes().len())
    }
}

impl Ring {
    pub(super) fn get(&self, revision: Revision) -> Option<&RingCommit> {
        self.commits.get(&revision)
    }

    pub(super) fn put(&mut self, revision: Revision, commit: RingCommit) {
        self.changes += commit.len();
        self.oldest_first.push_back(revision);
        self.commits.insert(revision, commit);
        while self.commits.len() > RING_COMMITS_MAX || (self.changes > RING_CHANGES_MAX && self.commits.len() > 1) {
            let Some(oldest) = self.oldest_first.pop_front() else { return };
            self.changes -= self.commits.remove(&oldest).map_or(0, |commit| commit.len());
        }
    }
}
