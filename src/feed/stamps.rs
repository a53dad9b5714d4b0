//! When and why the commits were made that the rows of changes come from.
//!
//! A change carries whole rows, and a row names its commit by revision only. What a reader is shown of that commit is looked up
//! once a page, off the async threads, so that encoding never waits.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::{
    model::{
        change::{Cause, Change},
        id::Revision,
        series::FigureVersion,
        time::Instant,
    },
    query::Reader,
    store::StoreError,
};

/// When and why a commit was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CommitStamp {
    pub recorded: Instant,
    pub cause: Cause,
}

/// The commits of the rows in some changes.
#[derive(Debug, Clone, Default)]
pub struct CommitStamps(BTreeMap<Revision, CommitStamp>);

impl CommitStamps {
    /// Looks up the commits of all rows in these changes, but for those above head: a commit that is only checked is none.
    pub fn read<'a>(
        changes: impl IntoIterator<Item = &'a Change>,
        reader: &Reader,
        head: Revision,
    ) -> Result<Self, StoreError> {
        let mut stamps = Self::default();
        for row in changes.into_iter().flat_map(rows).filter(|row| row.revision <= head) {
            if let Entry::Vacant(vacant) = stamps.0.entry(row.revision) {
                let commit = reader.commit(row.revision)?;
                vacant.insert(CommitStamp { recorded: commit.recorded, cause: commit.cause });
            }
        }
        Ok(stamps)
    }

    /// Adds those of other changes.
    pub fn extend(&mut self, others: &Self) {
        self.0.extend(&others.0);
    }

    /// The commit with this revision, if a row comes from it.
    pub fn get(&self, revision: Revision) -> Option<CommitStamp> {
        self.0.get(&revision).copied()
    }
}

fn rows(change: &Change) -> impl Iterator<Item = &FigureVersion> {
    let rows = match change {
        Change::Figure(change) => [change.before.as_ref(), change.after.as_ref(), Some(&change.recorded)],
        _ => [None; 3],
    };
    rows.into_iter().flatten()
}
