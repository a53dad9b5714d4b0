//! Commits as filters see them: what a stream sends and what a page of the list holds.

use std::sync::Arc;

use super::{
    FeedError,
    conflate::{ConflatedPage, Conflation},
    group::Group,
    hub::Hub,
    page_changes::{GroupMatches, PageChanges},
    token::Position,
};
use crate::{ledger::log::Header, model::id::Revision, store::StoreError};

/// Part of a commit, as a subscriber gets it.
#[derive(Debug, Clone)]
pub struct CommitPage {
    /// About the commit.
    pub header: Arc<Header>,
    /// The matching commit before it.
    pub prev_match: Revision,
    /// Number of the part.
    pub page: u32,
    /// The commit is complete.
    pub last: bool,
    /// What matches; `None` in a commit that changed nothing.
    pub changes: Option<PageChanges>,
    /// The ledger's page to go on with, if this is the last part of one.
    next_page: Option<u32>,
}

/// What matches of a page, and how much of it was taken.
#[derive(Debug)]
struct OpenPage {
    parts: GroupMatches,
    taken: usize,
}

/// How a walk through a commit goes on.
#[derive(Debug)]
pub enum WalkStep {
    /// There is more to read.
    Reading,
    /// The next part.
    Part(CommitPage),
    /// The walk is over, and what did not match was passed over.
    Over,
}

/// Walks through one commit, part by part.
#[derive(Debug)]
pub struct CommitWalk {
    header: Arc<Header>,
    prev_match: Revision,
    next_page: u32,
    open: Option<OpenPage>,
    parts: u32,
    /// A part is held back until it is known whether it is the last.
    held: Option<(PageChanges, Option<u32>)>,
    done: bool,
}

impl CommitWalk {
    /// Walks through the commit after a place.
    pub async fn after(hub: &Hub, place: Position) -> Result<Self, StoreError> {
        let header = hub.header(place.revision.next()).await?;
        Ok(Self { header, prev_match: place.last_match, next_page: 0, open: None, parts: 0, held: None, done: false })
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
    pub async fn next(&mut self, hub: &Hub, group: &Group) -> Result<Option<CommitPage>, FeedError> {
        loop {
            match self.step(hub, group).await? {
                WalkStep::Reading => {}
                WalkStep::Part(part) => return Ok(Some(part)),
                WalkStep::Over => return Ok(None),
            }
        }
    }

    /// Goes on by at most one page of the ledger.
    pub async fn step(&mut self, hub: &Hub, group: &Group) -> Result<WalkStep, FeedError> {
        if let Some(open) = &mut self.open {
            if let Some(matched) = open.parts.get(open.taken) {
                open.taken += 1;
                let next_page = open.parts.get(open.taken).is_none().then_some(self.next_page);
                let held = self.held.replace((matched, next_page));
                return Ok(held.map_or(WalkStep::Reading, |held| WalkStep::Part(self.part(Some(held), false))));
            }
            self.open = None;
        }
        if self.next_page < self.header.pages {
            let (parts, next_page) = hub.matched(&self.header, self.next_page, group).await?;
            self.next_page = next_page;
            self.open = parts.map(|parts| OpenPage { parts, taken: 0 });
            return Ok(WalkStep::Reading);
        }
        if self.done {
            return Ok(WalkStep::Over);
        }
        self.done = true;
        let nothing_changed = self.header.changes == 0 && group.filters.wants_empty(self.header.commit.cause);
        let held = self.held.take();
        let last = (held.is_some() || nothing_changed).then(|| self.part(held, true));
        Ok(last.map_or(WalkStep::Over, WalkStep::Part))
    }

    fn part(&mut self, of: Option<(PageChanges, Option<u32>)>, last: bool) -> CommitPage {
        let page = self.parts;
        self.parts += 1;
        let (changes, next_page) = of.map_or((None, None), |(changes, next_page)| (Some(changes), next_page));
        CommitPage { header: self.header.clone(), prev_match: self.prev_match, page, last, changes, next_page }
    }
}

/// Commits looked at for one fold, so that it ends and the stream hears how far it came.
pub const CONFLATED_COMMITS_MAX: u64 = 1_000;

/// Walks through commits and folds them, a page at a time.
#[derive(Debug)]
pub struct ConflationWalk {
    prev_match: Revision,
    /// The commit to look at.
    next: Revision,
    /// The last one to look at.
    end: Revision,
    header: Option<Arc<Header>>,
    next_page: u32,
    fold: Conflation,
}

/// How a fold goes on.
#[derive(Debug)]
pub enum ConflationStep {
    /// There is more to read.
    Reading,
    /// Up to this revision nothing changed in the end.
    Nothing(Revision),
    /// The commit after this revision is to be sent as it is: it is the only one, or too long.
    Plain(Revision),
    /// The net of all commits up to this revision.
    Folded(Revision, Vec<ConflatedPage>),
}

impl ConflationWalk {
    /// Folds the commits after a place, at most to this revision.
    pub fn after(place: Position, end: Revision) -> Self {
        Self {
            prev_match: place.last_match,
            next: place.revision.next(),
            end: end.min(Revision(place.revision.0.saturating_add(CONFLATED_COMMITS_MAX))),
            header: None,
            next_page: 0,
            fold: Conflation::default(),
        }
    }

    /// Reads on.
    pub async fn step(&mut self, hub: &Hub, group: &Group) -> Result<ConflationStep, FeedError> {
        // What lies in the ring is read without waiting: others get their turn all the same.
        tokio::task::consume_budget().await;
        if self.next > self.end {
            return Ok(self.finish());
        }
        let header = match self.header.take() {
            Some(header) => header,
            None => hub.header(self.next).await?,
        };
        if self.next_page < header.pages {
            let (parts, next_page) = hub.matched(&header, self.next_page, group).await?;
            self.next_page = next_page;
            for matched in parts.iter().flat_map(GroupMatches::iter) {
                if !matched.iter().all(|(numbered, found)| self.fold.take(self.next, numbered, found)) {
                    return Ok(self.finish());
                }
            }
            self.header = Some(header);
        } else if self.fold.close_commit(&header) {
            self.next = self.next.next();
            self.next_page = 0;
        } else {
            return Ok(self.finish());
        }
        Ok(ConflationStep::Reading)
    }

    /// With the commits before the one that was read last.
    fn finish(&mut self) -> ConflationStep {
        let before = |revision: Revision| Revision(revision.0.saturating_sub(1));
        let read = before(self.next);
        let fold = std::mem::take(&mut self.fold);
        match fold.commits() {
            0 if self.next <= self.end => ConflationStep::Plain(read),
            0 => ConflationStep::Nothing(read),
            1 => ConflationStep::Plain(before(fold.first())),
            _ => {
                let pages = fold.pages(self.prev_match);
                if pages.is_empty() { ConflationStep::Nothing(read) } else { ConflationStep::Folded(read, pages) }
            }
        }
    }
}

/// What earlier pages of a list gave of a commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    pub parts: Vec<CommitPage>,
    /// How far whole commits were looked at.
    pub place: Position,
    /// Where the next page goes on inside the commit after `place`.
    pub given: Given,
    /// There is more up to head.
    pub more: bool,
    /// The newest revision.
    pub head: Revision,
}

/// Commits looked at for one page of the list, so that a filter that matches nothing still ends.
const LOOKED_AT_MAX: u64 = 1_000;

/// Parts on one page of the list, and about how many bytes: an answer stays near 1 MiB.
const PARTS_MAX: usize = 64;
const LIST_WEIGHT_MAX: usize = 1 << 20;

/// Lists matching commits after a place, until so many changes are there. The place may come from a client: it is refused if
/// no earlier page can have named it.
pub async fn list(
    hub: &Hub,
    group: &Group,
    from: Position,
    given: Given,
    changes_max: usize,
) -> Result<CommitList, FeedError> {
    let (head, floor) = (hub.reader().head(), hub.reader().ledger().floor());
    if from.revision.next() < floor {
        return Err(FeedError::BelowFloor { asked: from.revision.next(), floor });
    }
    if from.last_match > from.revision || (given != Given::default() && from.revision >= head) {
        return Err(FeedError::NoSuchPosition);
    }
    let mut list = CommitList { parts: Vec::new(), place: from, given, more: false, head };
    let (mut changes, mut looked_at, mut weight) = (0, 0, 0);
    while list.place.revision < head {
        let mut walk = CommitWalk::after(hub, list.place).await?;
        if list.given != Given::default() && list.given.ledger_page >= walk.header.pages {
            return Err(FeedError::NoSuchPosition);
        }
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
                weight += matched.weight();
                // What was skipped is counted already.
                list.given.changes = list.given.changes.saturating_add(held);
                if let Some(next_page) = part.next_page.filter(|_| fits) {
                    (list.given.ledger_page, list.given.changes) = (next_page, 0);
                }
            }
            part.page = list.given.parts;
            changes += held;
            list.given.parts = list.given.parts.saturating_add(1);
            let last = part.last;
            list.parts.push(part);
            if !last && (changes >= changes_max || weight >= LIST_WEIGHT_MAX || list.parts.len() >= PARTS_MAX) {
                list.more = true;
                return Ok(list);
            }
        }
        if to_skip > 0 {
            return Err(FeedError::NoSuchPosition);
        }
        let revision = walk.revision();
        let last_match = if walk.parts() > 0 { revision } else { list.place.last_match };
        list.place = Position { revision, last_match };
        list.given = Given::default();
        looked_at += 1;
        if changes >= changes_max
            || weight >= LIST_WEIGHT_MAX
            || list.parts.len() >= PARTS_MAX
            || looked_at >= LOOKED_AT_MAX
        {
            list.more = revision < head;
            return Ok(list);
        }
    }
    Ok(list)
}
