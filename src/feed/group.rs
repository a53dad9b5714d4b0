//! Subscribers with equal filters are one group: what matches is found, and encoded, once for all of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::{filter::Filters, index::Index};

/// Subscribers with the same filters.
#[derive(Debug)]
pub struct Group {
    /// Its number; grows with every new group.
    pub id: u64,
    /// The filters.
    pub filters: Filters,
}

/// All groups that have members.
#[derive(Debug, Default)]
pub(super) struct Groups {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_digest: HashMap<[u8; 32], Weak<Group>>,
    newest: u64,
    /// Of all groups up to the newest; made again when a group came.
    index: Option<Arc<Index>>,
}

impl Groups {
    /// Joins the group of these filters, or founds it.
    pub(super) fn join(&self, filters: Filters) -> Arc<Group> {
        let mut known = self.known();
        let digest = *filters.digest();
        if let Some(group) = known.by_digest.get(&digest).and_then(Weak::upgrade) {
            return group;
        }
        known.newest += 1;
        let group = Arc::new(Group { id: known.newest, filters });
        known.by_digest.insert(digest, Arc::downgrade(&group));
        known.index = None;
        group
    }

    /// The index of all groups.
    pub(super) fn index(&self) -> Arc<Index> {
        let mut known = self.known();
        if let Some(index) = &known.index {
            return index.clone();
        }
        known.by_digest.retain(|_, group| group.strong_count() > 0);
        let groups = known.by_digest.values().filter_map(Weak::upgrade).collect();
        known.index.insert(Arc::new(Index::new(groups))).clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
