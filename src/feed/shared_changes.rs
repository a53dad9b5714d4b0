//! The changes of a recent commit, or of one ledger page, as all subscribers share them.
//!
//! The publisher matches a recent commit against the filters of all groups at once. A page that was read from the
//! ledger is matched when the first subscriber asks for it.
//!
//! Invariant: changes are matched once against the index, and once more only for a group that the index did not cover.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{
    cache::{Evict, PageCache},
    change::NumberedChange,
    filter::Match,
    group::Group,
    group_registry::GroupRegistry,
    index::Index,
    matches::{self, GroupPages},
    stamps::CommitStamps,
};
use crate::{
    model::change::{Cause, Change},
    store::lock::lock,
};

/// Some changes of a commit, in order.
#[derive(Debug)]
pub(super) struct SharedChanges {
    /// Each in an `Arc` of its own, so that a conflation can keep some without the others.
    changes: Vec<Arc<NumberedChange>>,
    matches: Mutex<MatchTable>,
}

/// What the groups match of some changes.
#[derive(Debug, Default)]
struct MatchTable {
    /// All groups up to this id were matched together: those without an entry in `by_group` match nothing.
    matched_to: u64,
    /// `None`: the group was matched alone, and matches nothing.
    by_group: HashMap<u64, Option<GroupPages>>,
}

impl MatchTable {
    /// What a group matches, `Some(None)` if that is nothing. `None`: it was not matched.
    fn pages(&self, group: u64) -> Option<Option<GroupPages>> {
        match self.by_group.get(&group) {
            Some(pages) => Some(pages.clone()),
            None => (group <= self.matched_to).then_some(None),
        }
    }
}

impl SharedChanges {
    /// The changes of one or several ledger pages, with their numbers in the commit.
    pub(super) fn new(changes: Vec<(u64, Change)>, stamps: CommitStamps) -> Self {
        let stamps = Arc::new(stamps);
        let mut numbered = Vec::with_capacity(changes.len());
        for (number, change) in changes {
            numbered.push(Arc::new(NumberedChange::new(number, change, stamps.clone())));
        }
        Self { changes: numbered, matches: Mutex::default() }
    }

    pub(super) fn changes(&self) -> &[Arc<NumberedChange>] {
        &self.changes
    }

    /// Matches the changes against all groups of an index. The ids of the groups that match anything, sorted.
    pub(super) fn match_all(self: &Arc<Self>, index: &Index, cause: Cause, cache: &PageCache) -> Vec<u64> {
        let mut table = lock(&self.matches);
        let bytes = self.match_index(&mut table, index, cause, cache);
        let mut groups: Vec<u64> = table.by_group.keys().copied().collect();
        drop(table);
        cache.add(self, bytes);
        groups.sort_unstable();
        groups
    }

    /// What a group matches. `None`: nothing.
    pub(super) fn pages_of(
        self: &Arc<Self>,
        group: &Group,
        cause: Cause,
        groups: &GroupRegistry,
        cache: &PageCache,
    ) -> Option<GroupPages> {
        // The lock stays held while the changes are matched, so that no two subscribers match the same.
        let mut table = lock(&self.matches);
        if let Some(pages) = table.pages(group.id) {
            return pages;
        }
        let index = (table.matched_to == 0).then(|| groups.index()).filter(|index| index.covers(group));
        let bytes = match index {
            Some(index) => self.match_index(&mut table, &index, cause, cache),
            None => self.match_group(&mut table, group, cause, cache),
        };
        let pages = table.pages(group.id).flatten();
        drop(table);
        cache.add(self, bytes);
        pages
    }

    /// Matches against all groups of an index. Returns the bytes that the table takes for it.
    fn match_index(&self, table: &mut MatchTable, index: &Index, cause: Cause, cache: &PageCache) -> usize {
        cache.count_matched(self.changes.len());
        let mut bytes = 0;
        for (group, matches) in index.matches(&self.changes, cause) {
            let pages = matches::cut(matches, &self.changes);
            bytes += matches::bytes_of(&pages);
            table.by_group.insert(group, Some(pages));
        }
        table.matched_to = index.newest_group();
        bytes
    }

    /// The same for one group, which was created after the others were matched.
    fn match_group(&self, table: &mut MatchTable, group: &Group, cause: Cause, cache: &PageCache) -> usize {
        cache.count_matched(self.changes.len());
        let mut found: Vec<(usize, Match)> = Vec::new();
        for (at, numbered) in self.changes.iter().enumerate() {
            if let Some(of_change) = group.filters.match_change(&numbered.change, cause) {
                found.push((at, of_change));
            }
        }
        let pages = (!found.is_empty()).then(|| matches::cut(found, &self.changes));
        let bytes = pages.as_ref().map_or(0, matches::bytes_of);
        table.by_group.insert(group.id, pages);
        bytes
    }

    #[cfg(test)]
    pub(super) fn is_evicted(&self) -> bool {
        lock(&self.matches).by_group.is_empty()
    }
}

impl Evict for SharedChanges {
    fn evict(&self) {
        *lock(&self.matches) = MatchTable::default();
    }
}
