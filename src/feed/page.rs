//! The pages that a subscriber gets: of the state, of a commit, of several commits conflated into one.

use std::sync::Arc;

use super::{change::NumberedChange, filter::Match, page_changes::PageChanges, stamps::CommitStamps};
use crate::{
    ledger::log::Header,
    model::{change::Change, id::Revision},
    query::state::StateRow,
};

/// A page that a subscriber gets.
#[derive(Debug)]
pub enum FeedPage {
    Snapshot(SnapshotPage),
    Commit {
        page: CommitPage,
        /// Resumes after the commit; only with its last page.
        token: Option<String>,
    },
    Conflated {
        page: ConflatedPage,
        /// Resumes after the last of the conflated commits; only with the last page.
        token: Option<String>,
    },
}

/// Part of the state.
#[derive(Debug)]
pub struct SnapshotPage {
    /// The page is part of the state at this revision.
    pub revision: Revision,
    /// From 0.
    pub page: u32,
    pub rows: Vec<SnapshotRow>,
}

/// A row of the state.
#[derive(Debug)]
pub struct SnapshotRow {
    pub row: StateRow,
    /// Numbers of the subscription's filters that the row matches.
    pub filters: Vec<usize>,
}

/// Part of a commit.
#[derive(Debug, Clone)]
pub struct CommitPage {
    pub header: Arc<Header>,
    /// The matching commit before this one; zero if there is none.
    pub prev_match: Revision,
    /// From 0.
    pub page: u32,
    /// The commit is complete with this page.
    pub last: bool,
    /// `None` in a commit that changed nothing.
    pub changes: Option<PageChanges>,
    /// Number of the ledger page to read next; only with the last page of a ledger page.
    pub(super) next_ledger_page: Option<u32>,
}

/// Part of several commits conflated into one.
#[derive(Debug)]
pub struct ConflatedPage {
    /// Header of the last of the commits.
    pub header: Arc<Header>,
    /// The first of the commits.
    pub conflated_from: Revision,
    /// The matching commit before `conflated_from`; zero if there is none.
    pub prev_match: Revision,
    /// From 0.
    pub page: u32,
    /// The conflation is complete with this page.
    pub last: bool,
    pub changes: Vec<NetChange>,
}

/// The net change of one key (a figure, an entry, an edition, a definition) over several commits.
#[derive(Debug)]
pub struct NetChange {
    /// The last commit that changed the key.
    pub revision: Revision,
    /// The number of the change in that commit.
    pub number: u64,
    /// How it matches: the row before the first change, and the row after the last.
    pub filter_match: Match,
    pub content: NetContent,
}

#[derive(Debug)]
pub enum NetContent {
    /// The only change of its key, in the encoded form that all subscribers share.
    Single(Arc<NumberedChange>),
    /// Several changes of its key in one.
    Merged { change: Box<Change>, stamps: CommitStamps },
}

impl NetChange {
    pub fn change(&self) -> &Change {
        match &self.content {
            NetContent::Single(numbered) => &numbered.change,
            NetContent::Merged { change, .. } => change,
        }
    }
}
