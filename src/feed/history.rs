//! Commits as filters see them: what a stream sends and what a page of the list holds.

use std::sync::Arc;

use super::{
    FeedError,
    filter::{Filters, Match},
    hub::{Changes, Hub},
    token::Place,
};
use crate::{
    ledger::log::Header,
    model::{change::Change, id::Revision},
    store::StoreError,
};

/// The matching changes of one ledger page.
#[derive(Debug, Clone)]
pub struct MatchedChanges {
    changes: Changes,
    matched: Vec<(usize, Match)>,
}

impl MatchedChanges {
    /// No changes.
    pub fn none() -> Self {
        Self { changes: Changes::default(), matched: Vec::new() }
    }

    /// The changes with their numbers in the commit.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Change, &Match)> {
        self.matched
            .iter()
            .filter_map(|(at, found)| self.changes.get(*at).map(|(number, change)| (*number, change, found)))
    }

    /// Leaves out the first ones.
    fn drop_first(&mut self, count: usize) {
        self.matched.drain(..count.min(self.matched.len()));
    }

    /// Leaves out all but the first ones.
    fn keep_first(&mut self, count: usize) {
        self.matched.truncate(count);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.matched.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.matched.is_empty()
    }
}

/// Part of a commit, as a subscriber gets it.
#[derive(Debug, Clone)]
pub struct CommitPart {
    /// About the commit.
    pub header: Arc<Header>,
    /// The matching commit before it.
    pub prev_match: Revision,
    /// Number of the part.
    pub page: u32,
    /// The commit is complete.
    pub last: bool,
    /// What matches.
    pub changes: MatchedChanges,
}

/// Walks through one commit, part by part.
#[derive(Debug)]
pub struct CommitWalk {
    header: Arc<Header>,
    prev_match: Revision,
    next_page: u32,
    parts: u32,
    /// A part is held back until it is known whether it is the last.
    held: Option<MatchedChanges>,
    done: bool,
}

impl CommitWalk {
    /// Walks through the commit after a place.
    pub async fn after(hub: &Hub, place: Place) -> Result<Self, StoreError> {
        let header = hub.header(place.revision.next()).await?;
        Ok(Self { header, prev_match: place.last_match, next_page: 0, parts: 0, held: None, done: false })
    }

    /// The commit.
    pub fn revision(&self) -> Revision {
        self.header.commit.revision
    }

    /// How many parts it gave.
    pub fn parts(&self) -> u32 {
        self.parts
    }

    /// The next part. `None`: the walk is over, and what did not match was passed over.
    pub async fn next(&mut self, hub: &Hub, filters: &Filters) -> Result<Option<CommitPart>, StoreError> {
        let cause = self.header.commit.cause;
        while self.next_page < self.header.pages {
            let changes = hub.page(self.revision(), self.next_page).await?;
            self.next_page += 1;
            let numbered = changes.iter().enumerate();
            let matched: Vec<(usize, Match)> =
                numbered.filter_map(|(at, (_, change))| Some((at, filters.match_change(change, cause)?))).collect();
            if matched.is_empty() {
                continue;
            }
            if let Some(held) = self.held.replace(MatchedChanges { changes, matched }) {
                return Ok(Some(self.part(held, false)));
            }
        }
        if self.done {
            return Ok(None);
        }
        self.done = true;
        let nothing_changed = self.header.changes == 0 && filters.wants_empty(cause);
        let last = self.held.take().or_else(|| nothing_changed.then(MatchedChanges::none));
        Ok(last.map(|changes| self.part(changes, true)))
    }

    fn part(&mut self, changes: MatchedChanges, last: bool) -> CommitPart {
        let page = self.parts;
        self.parts += 1;
        CommitPart { header: self.header.clone(), prev_match: self.prev_match, page, last, changes }
    }
}

/// What earlier pages of a list gave of a commit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given {
    /// Parts.
    pub parts: u32,
    /// Changes in them.
    pub changes: usize,
}

/// A page of the list of commits.
#[derive(Debug)]
pub struct CommitList {
    /// Parts of commits, in order.
    pub parts: Vec<CommitPart>,
    /// How far whole commits were looked at.
    pub place: Place,
    /// Where the next page goes on inside the commit after `place`.
    pub given: Given,
    /// There is more up to head.
    pub more: bool,
    /// The newest revision.
    pub head: Revision,
}

/// Commits looked at for one page of the list, so that a filter that matches nothing still ends.
const LOOKED_AT_MAX: u64 = 1_000;

/// Parts on one page of the list: a part is about as long as a page of the ledger, so an answer stays near 1 MiB.
const PARTS_MAX: usize = 64;

/// Lists matching commits after a place, until so many changes are there.
pub async fn list(
    hub: &Hub,
    filters: &Filters,
    from: Place,
    given: Given,
    changes_max: usize,
) -> Result<CommitList, FeedError> {
    let head = hub.reader().head();
    let mut list = CommitList { parts: Vec::new(), place: from, given, more: false, head };
    let (mut changes, mut looked_at) = (0, 0);
    while list.place.revision < head {
        let mut walk = CommitWalk::after(hub, list.place).await?;
        let mut to_skip = list.given.changes;
        while let Some(mut part) = walk.next(hub, filters).await? {
            let skipped = to_skip.min(part.changes.len());
            to_skip -= skipped;
            part.changes.drop_first(skipped);
            if skipped > 0 && part.changes.is_empty() {
                continue;
            }
            // A part that does not fit is cut: the list's parts need not be those of the stream.
            let room = changes_max.saturating_sub(changes);
            if part.changes.len() > room {
                part.changes.keep_first(room);
                part.last = false;
            }
            part.page = list.given.parts;
            changes += part.changes.len();
            list.given.parts += 1;
            list.given.changes += part.changes.len();
            let last = part.last;
            list.parts.push(part);
            if !last && (changes >= changes_max || list.parts.len() >= PARTS_MAX) {
                list.more = true;
                return Ok(list);
            }
        }
        let revision = walk.revision();
        let last_match = if walk.parts() > 0 { revision } else { list.place.last_match };
        list.place = Place { revision, last_match };
        list.given = Given::default();
        looked_at += 1;
        if changes >= changes_max || list.parts.len() >= PARTS_MAX || looked_at >= LOOKED_AT_MAX {
            list.more = revision < head;
            return Ok(list);
        }
    }
    Ok(list)
}
