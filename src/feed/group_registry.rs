//! All groups that have subscribers, and the index over their filters.
//!
//! Invariant: a commit is noted in the groups that it matches before head moves to it, and they are woken after. So a
//! subscriber that wakes finds its note.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
};

use super::{filter::Filters, group::Group, index::Index};
use crate::{model::id::Revision, store::lock::lock};

/// All groups that have subscribers.
#[derive(Debug, Default)]
pub(super) struct GroupRegistry {
    table: Mutex<GroupTable>,
}

#[derive(Debug, Default)]
struct GroupTable {
    by_digest: BTreeMap<[u8; 32], Weak<Group>>,
    newest_id: u64,
    /// Covers all groups up to the newest. A new group drops it; the next caller builds it again.
    index: Option<Arc<Index>>,
    /// Matching commits are noted for all groups up to this id.
    noted_to: u64,
}

impl GroupRegistry {
    /// The group of these filters. Creates it if there is none.
    pub(super) fn join(&self, filters: Filters) -> Arc<Group> {
        let mut table = lock(&self.table);
        let digest = *filters.digest();
        if let Some(group) = table.by_digest.get(&digest).and_then(Weak::upgrade) {
            return group;
        }
        table.newest_id += 1;
        let group = Arc::new(Group::new(table.newest_id, filters));
        table.by_digest.insert(digest, Arc::downgrade(&group));
        table.index = None;
        group
    }

    /// The index over all groups.
    pub(super) fn index(&self) -> Arc<Index> {
        let mut table = lock(&self.table);
        if let Some(index) = &table.index {
            return index.clone();
        }
        table.by_digest.retain(|_, group| group.strong_count() > 0);
        let groups = table.by_digest.values().filter_map(Weak::upgrade).collect();
        table.index.insert(Arc::new(Index::new(groups))).clone()
    }

    /// Notes a commit in the groups of an index that it matches. The publisher calls it in revision order, before head
    /// moves to the commit.
    pub(super) fn note(&self, index: &Index, revision: Revision, matching: &[&Arc<Group>]) {
        let noted_to = std::mem::replace(&mut lock(&self.table).noted_to, index.newest_group());
        if noted_to < index.newest_group() {
            let before = Revision(revision.0.saturating_sub(1));
            for group in index.groups().iter().filter(|group| group.id > noted_to) {
                group.begin_notes(before);
            }
        }
        for group in matching {
            group.note(revision);
        }
    }

    /// Wakes the matching groups, and those that were created after the index was built: nobody matched the commit for
    /// them. The publisher calls it after head moved.
    pub(super) fn wake(&self, index: &Index, matching: &[Arc<Group>]) {
        for group in matching {
            group.wake();
        }
        self.wake_above(index.newest_group());
    }

    pub(super) fn wake_all(&self) {
        self.wake_above(0);
    }

    fn wake_above(&self, id: u64) {
        let table = lock(&self.table);
        if table.newest_id <= id {
            return;
        }
        for group in table.by_digest.values().filter_map(Weak::upgrade) {
            if group.id > id {
                group.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{
        filter::Filter,
        group::{NextMatch, REMEMBERED_MATCHES_MAX},
    };

    #[test]
    fn a_group_knows_the_next_match_only_as_far_back_as_it_remembers() {
        let groups = GroupRegistry::default();
        let group = groups.join(Filters::new(Vec::new()));
        assert_eq!(group.next_match(Revision(9)), NextMatch::Unknown, "no commit was matched for it");
        groups.note(&groups.index(), Revision(10), &[]);
        assert_eq!(group.next_match(Revision(8)), NextMatch::Unknown);
        assert_eq!(group.next_match(Revision(9)), NextMatch::Nothing);
        let matching: Vec<u64> = (0..REMEMBERED_MATCHES_MAX as u64).map(|at| 11 + 2 * at).collect();
        for revision in &matching {
            groups.note(&groups.index(), Revision(*revision), &[&group]);
        }
        let second = NextMatch::Commit { revision: Revision(13), more_follow: true };
        assert_eq!(group.next_match(Revision(9)), NextMatch::Commit { revision: Revision(11), more_follow: true });
        assert_eq!(group.next_match(Revision(11)), second);
        let last = Revision(matching[matching.len() - 1]);
        assert_eq!(group.next_match(Revision(last.0 - 1)), NextMatch::Commit { revision: last, more_follow: false });
        assert_eq!(group.next_match(last), NextMatch::Nothing);
        groups.note(&groups.index(), last.next(), &[&group]);
        assert_eq!(group.next_match(Revision(10)), NextMatch::Unknown, "the group forgot its oldest match");
        assert_eq!(group.next_match(Revision(11)), second);
    }

    #[test]
    fn a_group_founded_after_the_index_is_woken_and_knows_no_match() {
        let groups = GroupRegistry::default();
        let early = groups.join(Filters::new(Vec::new()));
        let index = groups.index();
        let late = groups.join(Filters::new(vec![Filter::default()]));
        let early_wakeups = early.wakeups();
        let late_wakeups = late.wakeups();
        groups.note(&index, Revision(1), &[]);
        groups.wake(&index, &[]);
        assert!(!early_wakeups.has_changed().unwrap());
        assert!(late_wakeups.has_changed().unwrap());
        assert_eq!(early.next_match(Revision(0)), NextMatch::Nothing);
        assert_eq!(late.next_match(Revision(0)), NextMatch::Unknown);
    }
}
