//! Subscribers with equal filters are one group: the server matches and encodes a commit once for all of them, and
//! wakes them together, only when something matches.
//!
//! Invariant: the publisher notes a matching commit in its groups before head moves to it, and wakes them after. So a
//! subscriber that reads head, and then finds no match noted up to it, missed nothing and may skip to head.

use std::{collections::VecDeque, sync::Mutex};

use tokio::sync::watch;

use super::filter::Filters;
use crate::{model::id::Revision, store::lock::lock};

/// Matching commits that a group remembers. A subscriber that is further behind walks through all commits.
pub(super) const REMEMBERED_MATCHES_MAX: usize = 64;

/// Subscribers with the same filters.
#[derive(Debug)]
pub struct Group {
    /// Grows with every new group.
    pub id: u64,
    pub filters: Filters,
    recent: Mutex<RecentMatches>,
    wakeup: watch::Sender<()>,
}

/// The newest commits that match a group.
#[derive(Debug, Default)]
struct RecentMatches {
    /// `revisions` has every matching commit above this one. `None`: no commit was matched since the group was created.
    complete_above: Option<Revision>,
    /// Oldest first.
    revisions: VecDeque<Revision>,
}

/// The next commit that a group's subscribers get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextMatch {
    /// The group does not remember so far back.
    Unknown,
    /// No commit matches up to head.
    Nothing,
    /// `more_follow`: another commit matches after it.
    Commit { revision: Revision, more_follow: bool },
}

impl Group {
    pub(super) fn new(id: u64, filters: Filters) -> Self {
        Self { id, filters, recent: Mutex::default(), wakeup: watch::Sender::new(()) }
    }

    /// Changes when the group may have something to read.
    pub(super) fn wakeups(&self) -> watch::Receiver<()> {
        self.wakeup.subscribe()
    }

    /// The next matching commit after a revision. The caller must have read head before.
    pub(super) fn next_match(&self, after: Revision) -> NextMatch {
        let recent = lock(&self.recent);
        if recent.complete_above.is_none_or(|complete_above| after < complete_above) {
            return NextMatch::Unknown;
        }
        let next = recent.revisions.partition_point(|revision| *revision <= after);
        match recent.revisions.get(next) {
            Some(revision) => NextMatch::Commit { revision: *revision, more_follow: next + 1 < recent.revisions.len() },
            None => NextMatch::Nothing,
        }
    }

    /// From now on every matching commit above this revision is noted.
    pub(super) fn begin_notes(&self, above: Revision) {
        lock(&self.recent).complete_above = Some(above);
    }

    /// Notes that a commit matches.
    pub(super) fn note(&self, revision: Revision) {
        let mut recent = lock(&self.recent);
        if recent.revisions.len() == REMEMBERED_MATCHES_MAX {
            recent.complete_above = recent.revisions.pop_front();
        }
        recent.revisions.push_back(revision);
    }

    pub(super) fn wake(&self) {
        self.wakeup.send_replace(());
    }
}
