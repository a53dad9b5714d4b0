//! Which commits were taken back, and from which revision on.
//!
//! A revert names commits. It can be taken back itself: then what it named counts again, unless another revert names it too.
//!
//! Invariant: what counted at a revision never changes afterwards; a later revert only says what counts from its own on.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::id::Revision;

/// Every revert, and what follows from them.
#[derive(Debug, Clone, Default)]
pub struct Reverts {
    /// What each revert names.
    named: BTreeMap<Revision, BTreeSet<Revision>>,
    /// For each commit that any revert names: from which revision on it counts or not, in order.
    switches: BTreeMap<Revision, Vec<Switch>>,
}

#[derive(Debug, Clone, Copy)]
struct Switch {
    from: Revision,
    reverted: bool,
}

impl Reverts {
    /// Adds a revert, newer than all before. Adding one again changes nothing.
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
                let switch = Switch { from: revert, reverted: is_reverted };
                self.switches.entry(commit).or_default().push(switch);
            }
        }
    }

    /// Only a newer commit can take one back, so from the newest on each is settled before what it names.
    fn reverted_now(&self) -> BTreeSet<Revision> {
        let mut reverted = BTreeSet::new();
        for (revert, named) in self.named.iter().rev() {
            if !reverted.contains(revert) {
                reverted.extend(named);
            }
        }
        reverted
    }

    /// Whether a commit counts as taken back at a revision.
    pub fn is_reverted(&self, commit: Revision, at: Revision) -> bool {
        let switches = self.switches.get(&commit);
        let last = switches.and_then(|switches| switches.iter().rev().find(|switch| switch.from <= at));
        last.is_some_and(|switch| switch.reverted)
    }

    /// Whether a commit is a revert.
    pub fn is_revert(&self, commit: Revision) -> bool {
        self.named.contains_key(&commit)
    }

    /// What counts otherwise because of a revert: reverts and other commits, each with whether it is taken back.
    pub fn changed_by(&self, revert: Revision) -> BTreeMap<Revision, bool> {
        let mut switched = BTreeMap::new();
        for (commit, switches) in &self.switches {
            if let Some(switch) = switches.iter().find(|switch| switch.from == revert) {
                switched.insert(*commit, switch.reverted);
            }
        }
        switched
    }

    /// The reverts that name a commit, in order.
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
    fn a_commit_counts_again_when_its_revert_is_taken_back_unless_another_names_it() {
        let mut reverts = Reverts::default();
        reverts.add(Revision(3), revisions(&[1, 2]));
        reverts.add(Revision(4), revisions(&[2]));
        reverts.add(Revision(5), revisions(&[3]));
        let reverted = |commit| (1..=5).filter(|at| reverts.is_reverted(Revision(commit), Revision(*at))).collect();
        let reverted: [Vec<u64>; 3] = [1, 2, 3].map(reverted);
        assert_eq!(reverted, [vec![3, 4], vec![3, 4, 5], vec![5]]);
        assert_eq!(reverts.changed_by(Revision(5)), BTreeMap::from([(Revision(1), false), (Revision(3), true)]));
        assert!(reverts.changed_by(Revision(4)).is_empty());
    }
}
