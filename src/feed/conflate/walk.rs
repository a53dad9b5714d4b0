//! Reads commits and conflates them, one ledger page at a time.

use std::sync::Arc;

use super::Conflation;
use crate::{
    feed::{
        FeedError,
        group::Group,
        hub::{Hub, LedgerMatches},
        page::ConflatedPage,
        page_changes::GroupMatches,
        token::Position,
    },
    ledger::log::Header,
    model::id::Revision,
};

/// Most commits that one conflation looks at, so that it ends and the stream reports progress.
const CONFLATED_COMMITS_MAX: u64 = 1_000;

/// A walk through commits that conflates them.
#[derive(Debug)]
pub(in crate::feed) struct ConflationWalk {
    prev_match: Revision,
    /// The commit that is being read.
    next: Revision,
    /// The last commit to read.
    end: Revision,
    /// Header of the commit that is being read, once its first page was read.
    header: Option<Arc<Header>>,
    next_ledger_page: u32,
    conflation: Conflation,
}

/// One step of such a walk.
#[derive(Debug)]
pub(in crate::feed) enum ConflationStep {
    /// The walk read something and goes on.
    Reading,
    /// The state at `through` is the one that the walk began with, for the subscriber.
    Nothing { through: Revision },
    /// The commit after `before` is to be sent as it is: it is the only one that matches, or it is too long.
    Plain { before: Revision },
    /// The net of all commits up to `through`, at least one page.
    Conflated { through: Revision, pages: Vec<ConflatedPage> },
}

impl ConflationWalk {
    /// Begins after a position. The walk reads no commit above `end`.
    pub(in crate::feed) fn after(position: Position, end: Revision) -> Self {
        Self {
            prev_match: position.last_match,
            next: position.revision.next(),
            end: end.min(Revision(position.revision.0.saturating_add(CONFLATED_COMMITS_MAX))),
            header: None,
            next_ledger_page: 0,
            conflation: Conflation::default(),
        }
    }

    /// Goes on by at most one ledger page.
    pub(in crate::feed) async fn step(&mut self, hub: &Hub, group: &Group) -> Result<ConflationStep, FeedError> {
        // A commit in the ring is read without waiting. Other tasks must run all the same.
        tokio::task::consume_budget().await;
        if self.next > self.end {
            return Ok(self.finish());
        }
        let header = match self.header.take() {
            Some(header) => header,
            None => hub.header(self.next).await?,
        };
        if self.next_ledger_page < header.pages {
            let read: LedgerMatches = hub.matches(&header, self.next_ledger_page, group).await?;
            self.next_ledger_page = read.next_ledger_page;
            if !self.take(read.matches.as_ref()) {
                return Ok(self.finish());
            }
            self.header = Some(header);
        } else if self.conflation.close_commit(&header) {
            self.next = self.next.next();
            self.next_ledger_page = 0;
        } else {
            return Ok(self.finish());
        }
        Ok(ConflationStep::Reading)
    }

    /// Takes the changes of a ledger page. `false`: the commit is too long to be conflated.
    fn take(&mut self, matches: Option<&GroupMatches>) -> bool {
        for page in matches.into_iter().flat_map(GroupMatches::iter) {
            for (numbered, found) in page.iter() {
                if !self.conflation.take(self.next, numbered, found) {
                    return false;
                }
            }
        }
        true
    }

    /// Ends with the commits before `next`.
    fn finish(&mut self) -> ConflationStep {
        let through = before(self.next);
        let conflation = std::mem::take(&mut self.conflation);
        match conflation.commits() {
            0 if self.next <= self.end => ConflationStep::Plain { before: through },
            0 => ConflationStep::Nothing { through },
            1 => ConflationStep::Plain { before: before(conflation.first()) },
            _ => {
                let pages = conflation.pages(self.prev_match);
                if pages.is_empty() {
                    ConflationStep::Nothing { through }
                } else {
                    ConflationStep::Conflated { through, pages }
                }
            }
        }
    }
}

fn before(revision: Revision) -> Revision {
    Revision(revision.0.saturating_sub(1))
}
