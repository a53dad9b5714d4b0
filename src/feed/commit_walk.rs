//! Reads one commit as a group of subscribers sees it, page by page.
//!
//! Invariant: a page is returned only when it is known whether another one follows, so that the last page says so.

use std::sync::Arc;

use super::{
    FeedError,
    group::Group,
    hub::{Hub, LedgerMatches},
    page::CommitPage,
    page_changes::{GroupMatches, PageChanges},
    token::Position,
};
use crate::{ledger::log::Header, model::id::Revision, store::StoreError};

/// One step of a walk through a commit.
#[derive(Debug)]
pub(super) enum WalkStep {
    /// The walk read something and goes on.
    Reading,
    Page(CommitPage),
    /// The walk is over; it skipped the changes that do not match.
    End,
}

/// A walk through one commit.
#[derive(Debug)]
pub(super) struct CommitWalk {
    header: Arc<Header>,
    prev_match: Revision,
    /// Number of the ledger page to read next.
    next_ledger_page: u32,
    open: Option<OpenMatches>,
    /// Pages that the walk returned.
    pages: u32,
    /// A page is held back until the walk knows whether it is the last.
    pending: Option<PendingPage>,
    ended: bool,
}

/// What matches of the ledger page that was read last.
#[derive(Debug)]
struct OpenMatches {
    matches: GroupMatches,
    /// Pages taken of it.
    taken: usize,
}

#[derive(Debug)]
struct PendingPage {
    changes: PageChanges,
    /// See [`CommitPage`].
    next_ledger_page: Option<u32>,
}

impl CommitWalk {
    /// Begins the commit after a position.
    pub(super) async fn after(hub: &Hub, position: Position) -> Result<Self, StoreError> {
        Self::from_ledger_page(hub, position, 0).await
    }

    /// Begins the commit after a position at a later ledger page.
    pub(super) async fn from_ledger_page(
        hub: &Hub,
        position: Position,
        next_ledger_page: u32,
    ) -> Result<Self, StoreError> {
        let header = hub.header(position.revision.next()).await?;
        let prev_match = position.last_match;
        Ok(Self { header, prev_match, next_ledger_page, open: None, pages: 0, pending: None, ended: false })
    }

    pub(super) fn revision(&self) -> Revision {
        self.header.commit.revision
    }

    /// How many ledger pages the commit has.
    pub(super) fn ledger_pages(&self) -> u32 {
        self.header.pages
    }

    /// How many pages the walk returned.
    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// The next page. `None`: the walk is over.
    pub(super) async fn next(&mut self, hub: &Hub, group: &Group) -> Result<Option<CommitPage>, FeedError> {
        loop {
            match self.step(hub, group).await? {
                WalkStep::Reading => {}
                WalkStep::Page(page) => return Ok(Some(page)),
                WalkStep::End => return Ok(None),
            }
        }
    }

    /// Goes on by at most one ledger page.
    pub(super) async fn step(&mut self, hub: &Hub, group: &Group) -> Result<WalkStep, FeedError> {
        if let Some(step) = self.take_open() {
            return Ok(step);
        }
        if self.next_ledger_page < self.header.pages {
            let read: LedgerMatches = hub.matches(&self.header, self.next_ledger_page, group).await?;
            self.next_ledger_page = read.next_ledger_page;
            self.open = read.matches.map(|matches| OpenMatches { matches, taken: 0 });
            return Ok(WalkStep::Reading);
        }
        if self.ended {
            return Ok(WalkStep::End);
        }
        self.ended = true;
        let pending = self.pending.take();
        let is_empty = self.header.changes == 0 && group.filters.wants_empty(self.header.commit.cause);
        if pending.is_none() && !is_empty {
            return Ok(WalkStep::End);
        }
        Ok(WalkStep::Page(self.page(pending, true)))
    }

    /// Takes the next page of the ledger page that was read last. `None`: there is none.
    fn take_open(&mut self) -> Option<WalkStep> {
        let open = self.open.as_mut()?;
        let Some(changes) = open.matches.get(open.taken) else {
            self.open = None;
            return None;
        };
        open.taken += 1;
        let is_last_of_ledger_page = open.matches.get(open.taken).is_none();
        let next_ledger_page = is_last_of_ledger_page.then_some(self.next_ledger_page);
        match self.pending.replace(PendingPage { changes, next_ledger_page }) {
            Some(earlier) => Some(WalkStep::Page(self.page(Some(earlier), false))),
            None => Some(WalkStep::Reading),
        }
    }

    fn page(&mut self, pending: Option<PendingPage>, last: bool) -> CommitPage {
        let page = self.pages;
        self.pages += 1;
        let next_ledger_page = pending.as_ref().and_then(|pending| pending.next_ledger_page);
        CommitPage {
            header: self.header.clone(),
            prev_match: self.prev_match,
            page,
            last,
            changes: pending.map(|pending| pending.changes),
            next_ledger_page,
        }
    }
}
