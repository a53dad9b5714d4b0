//! When and why the commits were made that the versions of changes come from.
//!
//! A change carries whole versions, and a version names its commit by revision only. Readers see more of the commit. It is
//! looked up once for each ledger page, off the async threads, so that encoding never waits for the disk.

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
pub struct CommitStamp {
    pub recorded: Instant,
    pub cause: Cause,
}

/// The commits that the versions of some changes come from.
#[derive(Debug, Clone, Default)]
pub struct CommitStamps(BTreeMap<Revision, CommitStamp>);

impl CommitStamps {
    /// Looks up the commits of all versions in these changes. Versions above head have none: their commit was only validated.
    pub fn read<'a>(
        changes: impl IntoIterator<Item = &'a Change>,
        reader: &Reader,
        head: Revision,
    ) -> Result<Self, StoreError> {
        let mut stamps = Self::default();
        for version in changes.into_iter().flat_map(versions).filter(|version| version.revision <= head) {
            if let Entry::Vacant(vacant) = stamps.0.entry(version.revision) {
                let commit = reader.commit(version.revision)?;
                vacant.insert(CommitStamp { recorded: commit.recorded, cause: commit.cause });
            }
        }
        Ok(stamps)
    }

    /// Adds the commits of other changes.
    pub fn extend(&mut self, others: &Self) {
        self.0.extend(&others.0);
    }

    pub fn get(&self, revision: Revision) -> Option<CommitStamp> {
        self.0.get(&revision).copied()
    }
}

/// The versions of figures in a change.
fn versions(change: &Change) -> impl Iterator<Item = &FigureVersion> {
    let versions = match change {
        Change::Figure(change) => [change.before.as_ref(), change.after.as_ref(), Some(&change.recorded)],
        Change::Entry(_) | Change::Edition { .. } | Change::Definition(_) => [None; 3],
    };
    versions.into_iter().flatten()
}
