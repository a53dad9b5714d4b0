//! Taking commits back: from the new revision on they count as never made, on every axis of time.
//!
//! Definitions, editions and whole releases know the commit that brought them, so one record that names the commits is
//! enough: what was there before counts again ([`crate::store::reverts`]). Figures are taken back by rows: each release date
//! that a commit spoke for gets a row with what the remaining commits say for it, or a retraction. A revert that is itself
//! taken back makes what it named count again, by the same rules.
//!
//! Later commits were planned against what is taken back. Where one of them would have been planned otherwise, the revert
//! is refused and names it. What a commit did not record does not count as said by it: an upload that repeats, for the same
//! release date, what is held already adds nothing, and keeps nothing from being taken back.
//!
//! Invariant: what is not refused leaves, at every release date, what the remaining commits alone would have made.

mod definitions;
mod derived;
mod editions;
mod figures;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{PlanError, Planner};
use crate::{
    ledger::record::Record,
    model::id::Revision,
    store::{StoreError, catalog::Catalog},
};

/// The commits that count otherwise because of a revert: those that it takes back, and those that a revert among them had
/// taken back and that count again. For each the revision from which on others may have built on how it counted.
#[derive(Debug)]
struct Switched(BTreeMap<Revision, Revision>);

impl Switched {
    fn by(revert: Revision, catalog: &Catalog) -> Self {
        let switched = catalog.reverts().changed_by(revert);
        let since = |commit: Revision, reverted: bool| match reverted {
            true => commit,
            // It counts again because a revert is taken back: that one made it not count.
            false => {
                let mut undone = catalog.reverts().naming(commit).filter(|naming| switched.get(naming) == Some(&true));
                undone.next().unwrap_or(commit)
            }
        };
        Self(switched.iter().map(|(commit, reverted)| (*commit, since(*commit, *reverted))).collect())
    }

    fn has(&self, commit: Revision) -> bool {
        self.0.contains_key(&commit)
    }

    /// The earliest revision after which a commit may have built on one of these.
    fn earliest(&self, commits: impl Iterator<Item = Revision>) -> Option<Revision> {
        commits.filter_map(|commit| self.0.get(&commit).copied()).min()
    }
}

/// A revert being planned.
#[derive(Debug)]
struct Revert {
    switched: Switched,
    /// Later commits that build on what is taken back.
    conflicts: BTreeSet<Revision>,
}

impl Planner<'_> {
    pub(super) fn revert(&mut self, revisions: BTreeSet<Revision>) -> Result<(), PlanError> {
        for asked in revisions.iter().copied() {
            if asked > self.head {
                return Err(PlanError::AboveHead { asked, head: self.head });
            }
            self.check_kept(asked)?;
        }
        self.outcome.reverts = true;
        Arc::make_mut(&mut self.catalog).revert(self.revision, revisions.clone());
        self.emit(Record::Reverted(revisions))?;
        let switched = Switched::by(self.revision, &self.catalog);
        for commit in switched.0.keys() {
            self.check_kept(*commit)?;
        }
        let mut revert = Revert { switched, conflicts: BTreeSet::new() };
        // What is referred to comes before what refers to it, and goes after it.
        let removed = self.restore_definitions(&mut revert)?;
        self.find_derived(&mut revert)?;
        self.revert_editions(&mut revert)?;
        self.revert_figures(&mut revert)?;
        self.remove_definitions(removed, &mut revert)?;
        match revert.conflicts.is_empty() {
            true => Ok(()),
            false => Err(PlanError::RevertConflict { revisions: revert.conflicts }),
        }
    }

    fn check_kept(&self, asked: Revision) -> Result<(), PlanError> {
        let floor = self.ledger.floor();
        if asked < floor { Err(PlanError::BelowFloor { asked, floor }) } else { Ok(()) }
    }

    /// Whether a commit counts after the revert.
    fn counts(&self, commit: Revision) -> bool {
        !self.catalog.reverts().is_reverted(commit, self.revision)
    }

    /// A commit whose header must be there.
    fn lacking(commit: Revision, what: &str) -> StoreError {
        StoreError::corrupt(format!("commit {commit} lacks {what}"))
    }
}

#[cfg(test)]
mod tests;
