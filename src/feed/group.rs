//! Subscribers with equal filters are one group: what matches is found, and encoded, once for all of them, and they are woken
//! together, only when something matches.
//!
//! Invariant: a commit that matches a group is noted before head moves to it, and the group's bell is rung after. So who
//! sees head, and then finds nothing noted up to it, has missed nothing, and may pass over what lies between.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, Weak},
};

use tokio::sync::watch;

use super::{filter::Filters, index::Index};
use crate::{model::id::Revision, store::lock::lock};

/// Matching commits that a group remembers. Who is further behind walks through all commits.
const REMEMBERED_MATCHES_MAX: usize = 64;

/// Subscribers with the same filters.
#[derive(Debug)]
pub struct Group {
    /// Its number; grows with every new group.
    pub id: u64,
    /// The filters.
    pub filters: Filters,
    matches: Mutex<Matches>,
    bell: watch::Sender<()>,
}

/// The newest commits that matched a group.
#[derive(Debug, Default)]
struct Matches {
    /// Every matching commit above this one is remembered. `None`: no commit was looked at since the group was founded.
    all_above: Option<Revision>,
    /// Oldest first.
    revisions: VecDeque<Revision>,
}

/// What lies ahead of a place in the stream of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    /// The group does not remember so far back.
    Unknown,
    /// No match up to head.
    Nothing,
    /// The next match, and whether there is another behind it.
    Match(Revision, bool),
}

impl Group {
    /// Rings when there is something to look at.
    pub(super) fn bell(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// What lies ahead of a place. To be asked after head was read.
    pub(super) fn ahead(&self, place: Revision) -> Ahead {
        let matches = self.matches();
        if matches.all_above.is_none_or(|all_above| place < all_above) {
            return Ahead::Unknown;
        }
        let next = matches.revisions.partition_point(|revision| *revision <= place);
        match matches.revisions.get(next) {
            Some(revision) => Ahead::Match(*revision, next + 1 < matches.revisions.len()),
            None => Ahead::Nothing,
        }
    }

    /// A commit matches.
    fn note(&self, revision: Revision) {
        let mut matches = self.matches();
        if matches.revisions.len() == REMEMBERED_MATCHES_MAX {
            matches.all_above = matches.revisions.pop_front();
        }
        matches.revisions.push_back(revision);
    }

    fn ring(&self) {
        self.bell.send_replace(());
    }

    fn matches(&self) -> MutexGuard<'_, Matches> {
        lock(&self.matches)
    }
}

/// All groups that have members.
#[derive(Debug, Default)]
pub(super) struct Groups {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_digest: BTreeMap<[u8; 32], Weak<Group>>,
    newest: u64,
    /// Of all groups up to the newest; made again when a group came.
    index: Option<Arc<Index>>,
    /// Commits are noted for all groups up to this one.
    noted_to: u64,
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
        let (matches, bell) = (Mutex::default(), watch::Sender::new(()));
        let group = Arc::new(Group { id: known.newest, filters, matches, bell });
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

    /// Notes which groups of an index a commit matches, before head moves to it. In revision order.
    pub(super) fn note<'a>(
        &self,
        index: &Index,
        revision: Revision,
        matching: impl IntoIterator<Item = &'a Arc<Group>>,
    ) {
        let noted_to = std::mem::replace(&mut self.known().noted_to, index.newest_group());
        if noted_to < index.newest_group() {
            let before = Revision(revision.0.saturating_sub(1));
            for group in index.groups().iter().filter(|group| group.id > noted_to) {
                group.matches().all_above = Some(before);
            }
        }
        matching.into_iter().for_each(|group| group.note(revision));
    }

    /// Rings the bells of matching groups, and of those that came since the index was made, after head moved.
    pub(super) fn ring<'a>(&self, index: &Index, matching: impl IntoIterator<Item = &'a Arc<Group>>) {
        matching.into_iter().for_each(|group| group.ring());
        self.ring_those_above(index.newest_group());
    }

    /// Rings all bells.
    pub(super) fn ring_all(&self) {
        self.ring_those_above(0);
    }

    fn ring_those_above(&self, id: u64) {
        let known = self.known();
        if known.newest > id {
            let groups = known.by_digest.values().filter_map(Weak::upgrade);
            groups.filter(|group| group.id > id).for_each(|group| group.ring());
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_says_what_lies_ahead_only_as_far_back_as_it_remembers() {
        let groups = Groups::default();
        let group = groups.join(Filters::new(Vec::new()));
        assert_eq!(group.ahead(Revision(9)), Ahead::Unknown, "no commit was looked at with it");
        groups.note(&groups.index(), Revision(10), []);
        assert_eq!(group.ahead(Revision(8)), Ahead::Unknown);
        assert_eq!(group.ahead(Revision(9)), Ahead::Nothing);
        let matching: Vec<u64> = (0..REMEMBERED_MATCHES_MAX as u64).map(|at| 11 + 2 * at).collect();
        for revision in &matching {
            groups.note(&groups.index(), Revision(*revision), [&group]);
        }
        assert_eq!(group.ahead(Revision(9)), Ahead::Match(Revision(11), true));
        assert_eq!(group.ahead(Revision(11)), Ahead::Match(Revision(13), true));
        let last = matching[matching.len() - 1];
        assert_eq!(group.ahead(Revision(last - 1)), Ahead::Match(Revision(last), false));
        assert_eq!(group.ahead(Revision(last)), Ahead::Nothing);
        groups.note(&groups.index(), Revision(last + 1), [&group]);
        assert_eq!(group.ahead(Revision(10)), Ahead::Unknown, "the oldest match is forgotten");
        assert_eq!(group.ahead(Revision(11)), Ahead::Match(Revision(13), true));
    }

    #[test]
    fn a_group_that_came_after_the_look_is_rung_and_knows_nothing_yet() {
        let groups = Groups::default();
        let early = groups.join(Filters::new(Vec::new()));
        let index = groups.index();
        let late = groups.join(Filters::new(vec![crate::feed::filter::Filter::default()]));
        let (early_bell, late_bell) = (early.bell(), late.bell());
        groups.note(&index, Revision(1), []);
        groups.ring(&index, []);
        assert!(!early_bell.has_changed().unwrap());
        assert!(late_bell.has_changed().unwrap());
        assert_eq!((early.ahead(Revision(0)), late.ahead(Revision(0))), (Ahead::Nothing, Ahead::Unknown));
    }
}
