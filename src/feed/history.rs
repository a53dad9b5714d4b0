//! Commits as filters see them: what a stream sends and what a page of the list holds.

use std::sync::Arc;

use super::{FeedError, group::Group, hub::Hub, page::Matched, token::Place};
use crate::{ledger::log::Header, model::id::Revision, store::StoreError};

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
    /// What matches; `None` in a commit that changed nothing.
    pub changes: Option<Matched>,
    /// The ledger's page that it is of.
    ledger_page: u32,
}

/// Walks through one commit, part by part.
#[derive(Debug)]
pub struct CommitWalk {
    header: Arc<Header>,
    prev_match: Revision,
    next_page: u32,
    parts: u32,
    /// A part is held back until it is known whether it is the last.
    held: Option<(u32, Matched)>,
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
    pub async fn next(&mut self, hub: &Hub, group: &Group) -> Result<Option<CommitPart>, FeedError> {
        while self.next_page < self.header.pages {
            let page = self.next_page;
            let matched = hub.matched(&self.header, page, group).await?;
            self.next_page += 1;
            let Some(matched) = matched else { continue };
            if let Some(held) = self.held.replace((page, matched)) {
                return Ok(Some(self.part(Some(held), false)));
            }
        }
        if self.done {
            return Ok(None);
        }
        self.done = true;
        let nothing_changed = self.header.changes == 0 && group.filters.wants_empty(self.header.commit.cause);
        let held = self.held.take();
        Ok((held.is_some() || nothing_changed).then(|| self.part(held, true)))
    }

    fn part(&mut self, of: Option<(u32, Matched)>, last: bool) -> CommitPart {
        let page = self.parts;
        self.parts += 1;
        let (ledger_page, changes) = of.map_or((0, None), |(page, changes)| (page, Some(changes)));
        CommitPart { header: self.header.clone(), prev_match: self.prev_match, page, last, changes, ledger_page }
    }
}

/// What earlier pages of a list gave of a commit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given {
    /// Parts.
    pub parts: u32,
    /// The ledger's page that the list goes on in: what is before it is not read again, so a long commit costs what it is
    /// long, and not its square.
    pub ledger_page: u32,
    /// Changes given of that one.
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
    group: &Group,
    from: Place,
    given: Given,
    changes_max: usize,
) -> Result<CommitList, FeedError> {
    let (head, floor) = (hub.reader().head(), hub.reader().ledger().floor());
    if from.revision.next() < floor {
        return Err(FeedError::BelowFloor { asked: from.revision.next(), floor });
    }
    let mut list = CommitList { parts: Vec::new(), place: from, given, more: false, head };
    let (mut changes, mut looked_at) = (0, 0);
    while list.place.revision < head {
        let mut walk = CommitWalk::after(hub, list.place).await?;
        walk.next_page = list.given.ledger_page;
        let mut to_skip = list.given.changes;
        while let Some(mut part) = walk.next(hub, group).await? {
            let mut held = 0;
            if let Some(matched) = &mut part.changes {
                let skipped = to_skip.min(matched.len());
                to_skip -= skipped;
                matched.drop_first(skipped);
                if matched.is_empty() {
                    continue;
                }
                // A part that does not fit is cut: the list's parts need not be those of the stream.
                let room = changes_max.saturating_sub(changes);
                let fits = matched.len() <= room;
                part.last &= fits;
                matched.keep_first(room);
                held = matched.len();
                (list.given.ledger_page, list.given.changes) =
                    if fits { (part.ledger_page + 1, 0) } else { (part.ledger_page, skipped + held) };
            }
            part.page = list.given.parts;
            changes += held;
            list.given.parts += 1;
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
