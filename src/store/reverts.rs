//! Which commits are reverted, and from which revision on.
//!
//! A revert is a commit that names earlier ones. It can be reverted itself; then the commits that it named count again,
//! unless another revert names them too.
//!
//! Invariant: whether a commit counts at a revision never changes. A later revert decides only from its own revision on.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::id::Revision;

/// All reverts, and what follows from them.
#[derive(Debug, Clone, Default)]
pub struct Reverts {
    /// The commits that each revert names.
    named: BTreeMap<Revision, BTreeSet<Revision>>,
    /// When each commit that a revert names stopped or began to count, in order. Before the first entry it counts.
    transitions: BTreeMap<Revision, Vec<Transition>>,
}

/// A commit stops or begins to count.
#[derive(Debug, Clone, Copy)]
struct Transition {
    from: Revision,
    reverted: bool,
}

impl Reverts {
    /// Adds a revert, which must be newer than all before. Adding one again changes nothing.
    pub fn add(&mut self, revert: Revision, revisions: BTreeSet<Revision>) {
        if self.named.contains_key(&revert) {
            return;
        }
        self.named.insert(revert, revisions);
        let reverted = self.reverted_now();
        let named: BTreeSet<Revision> = self.named.values().flatten().copied().collect();
        for commit in named {
            let is_reverted = reverted.contains(&commit);
            if self.is_reverted(commit, Revision::MAX) != is_reverted {
                let transition = Transition { from: revert, reverted: is_reverted };
                self.transitions.entry(commit).or_default().push(transition);
            }
        }
    }

    /// The commits that do not count after the newest revert. Only a newer commit can revert one; so from the newest revert
    /// back it is known whether a revert counts before the commits that it names are looked at.
    fn reverted_now(&self) -> BTreeSet<Revision> {
        let mut reverted = BTreeSet::new();
        for (revert, named) in self.named.iter().rev() {
            if !reverted.contains(revert) {
                reverted.extend(named);
            }
        }
        reverted
    }

    /// Whether a commit is reverted at a revision.
    pub fn is_reverted(&self, commit: Revision, at: Revision) -> bool {
        let Some(transitions) = self.transitions.get(&commit) else { return false };
        let last = transitions.iter().rev().find(|transition| transition.from <= at);
        last.is_some_and(|transition| transition.reverted)
    }

    /// Whether a commit is a revert.
    pub fn is_revert(&self, commit: Revision) -> bool {
        self.named.contains_key(&commit)
    }

    /// The commits that begin or stop to count at a revert, each with whether it is reverted from then on.
    pub fn changed_by(&self, revert: Revision) -> BTreeMap<Revision, bool> {
        let mut changed = BTreeMap::new();
        for (commit, transitions) in &self.transitions {
            if let Some(transition) = transitions.iter().find(|transition| transition.from == revert) {
                changed.insert(*commit, transition.reverted);
            }
        }
        changed
    }

    /// The reverts that name a commit, oldest first, whether they count or not.
    pub fn naming(&self, commit: Revision) -> impl Iterator<Item = Revision> {
        self.named.iter().filter(move |(_, named)| named.contains(&commit)).map(|(revert, _)| *revert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revisions(numbers: &[u64]) -> BTreeSet<Revision> {
        numbers.iter().copied().map(Revision).collect()
    }

    #[test]
    fn a_commit_counts_again_when_its_revert_is_reverted_unless_another_names_it() {
        const REVERTED_AT: [(u64, &[u64]); 3] = [(1, &[3, 4]), (2, &[3, 4, 5]), (3, &[5])];
        let mut reverts = Reverts::default();
        reverts.add(Revision(3), revisions(&[1, 2]));
        reverts.add(Revision(4), revisions(&[2]));
        reverts.add(Revision(5), revisions(&[3]));
        for (commit, expected) in REVERTED_AT {
            let at: Vec<u64> = (1..=5).filter(|at| reverts.is_reverted(Revision(commit), Revision(*at))).collect();
            assert_eq!(at, expected, "commit {commit}");
        }
        assert_eq!(reverts.changed_by(Revision(5)), BTreeMap::from([(Revision(1), false), (Revision(3), true)]));
        assert!(reverts.changed_by(Revision(4)).is_empty());
    }
}
