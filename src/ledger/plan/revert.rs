//! Reverts: from the new revision on, commits count as never made, on every axis of time.
//!
//! Definitions, editions and whole releases carry the commit that brought them. One record that names the reverted commits is
//! enough for them: what was there before counts again ([`crate::store::reverts`]). Figures are taken back by versions: each
//! release date for which a reverted commit has a version gets a version with the value of the remaining commits, or a retraction.
//! A revert can be reverted by the same rules: the commits that it named count again.
//!
//! Later commits were planned against the reverted ones. If one of them would have been planned otherwise, the planner refuses
//! the revert and names that commit. Only records count: an upload that repeats a stored figure for the same release date
//! records nothing, so it does not keep that figure from being taken back.
//!
//! Invariant: a revert that is not refused leaves, at every release date, the answers that the remaining commits alone would
//! have made.

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

/// The commits whose status a revert changes: those that it takes back, and those that count again because it takes back
/// the revert that named them. With each the revision from which on later commits may have built on its old status.
#[derive(Debug)]
struct RevertEffect(BTreeMap<Revision, Revision>);

impl RevertEffect {
    fn of(revert: Revision, catalog: &Catalog) -> Self {
        let switched = catalog.reverts().changed_by(revert);
        let mut effect = BTreeMap::new();
        for (commit, is_reverted) in &switched {
            // A commit that counts again has not counted since the revert that is taken back now.
            let old_revert = match is_reverted {
                true => None,
                false => catalog.reverts().naming(*commit).find(|naming| switched.get(naming) == Some(&true)),
            };
            effect.insert(*commit, old_revert.unwrap_or(*commit));
        }
        Self(effect)
    }

    /// Whether the revert changes the status of a commit.
    fn has(&self, commit: Revision) -> bool {
        self.0.contains_key(&commit)
    }

    fn commits(&self) -> impl Iterator<Item = Revision> {
        self.0.keys().copied()
    }

    /// From which revision on later commits may have built on the old status of a commit.
    fn since(&self, commit: Revision) -> Option<Revision> {
        self.0.get(&commit).copied()
    }

    /// From which revision on later commits may have built on the old status of one of these.
    fn earliest(&self, commits: impl Iterator<Item = Revision>) -> Option<Revision> {
        commits.filter_map(|commit| self.since(commit)).min()
    }
}

/// A revert that is being planned.
#[derive(Debug)]
struct Revert {
    effect: RevertEffect,
    /// Later commits that build on the commits to take back.
    conflicts: BTreeSet<Revision>,
}

impl Planner<'_> {
    pub(super) fn revert(&mut self, revisions: BTreeSet<Revision>) -> Result<(), PlanError> {
        for asked in revisions.iter().copied() {
            if asked > self.head {
                return Err(PlanError::AboveHead { asked, head: self.head });
            }
            self.require_pages(asked)?;
        }
        self.outcome.reverts = true;
        Arc::make_mut(&mut self.catalog).revert(self.revision, revisions.clone());
        self.emit(Record::Reverted(revisions))?;
        let effect = RevertEffect::of(self.revision, &self.catalog);
        for commit in effect.commits() {
            self.require_pages(commit)?;
        }
        let mut revert = Revert { effect, conflicts: BTreeSet::new() };
        // Subscribers get a definition before what uses it, and see it go after what used it.
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

    /// Refuses a commit whose pages compaction dropped.
    fn require_pages(&self, asked: Revision) -> Result<(), PlanError> {
        let floor = self.ledger.floor();
        if asked < floor { Err(PlanError::BelowFloor { asked, floor }) } else { Ok(()) }
    }

    /// Whether a commit counts after the revert.
    fn counts(&self, commit: Revision) -> bool {
        !self.catalog.reverts().is_reverted(commit, self.revision)
    }

    /// The damage of a commit without one of its parts.
    fn lacking(commit: Revision, what: &str) -> StoreError {
        StoreError::corrupt(format!("commit {commit} lacks {what}"))
    }
}

#[cfg(test)]
mod tests;
