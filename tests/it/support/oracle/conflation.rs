//! Judges streams that conflate. A conflation has, for each key, the row before its first matching change and the row after
//! its last, and nothing else.
//!
//! The expected rows are worked out from the plain list of commits, change by change.

use std::collections::{BTreeMap, BTreeSet};

use almanac::proto::{change::Detail, *};

use super::{
    commit_log::{CommitLog, scope_of},
    stream::{atomic, bookmarkable},
};
use crate::support::{
    replica::{Key, Replica, key_of, sides},
    watch::Recording,
};

/// Keys in a conflation at the most, as the contract says.
pub(crate) const KEYS_MAX: usize = 500;

/// A commit or a conflation, with its pages joined.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) revision: u64,
    /// The first revision of a conflation; 0: one commit.
    pub(crate) conflated_from: u64,
    pub(crate) previous: u64,
    pub(crate) changes: Vec<Change>,
    commit: Commit,
}

/// The copy of a client that applies every commit up to a revision.
pub(crate) fn plain_copy(log: &CommitLog, filters: &[Filter], until: u64) -> Replica {
    let mut copy = Replica::default();
    for commit in log.expected(filters, 0, until) {
        copy.apply_commit(&commit);
    }
    copy
}

/// Checks Ordered, Unique, Chained and Bookmarkable, and every conflation; returns the steps of the stream.
///
/// `last_match` is the matching revision that the client applied before the stream began.
pub(crate) fn check_conflating(log: &CommitLog, recording: &Recording, last_match: u64) -> Vec<Step> {
    bookmarkable(recording);
    let steps = steps(recording);
    let mut position = recording.opened().start_revision;
    let mut previous = last_match;
    for step in &steps {
        assert!(step.revision > position, "{} after {position}", step.revision);
        assert_eq!(step.previous, previous, "each step names the step before it");
        let commit = &log.commit(step.revision).unwrap().commit;
        assert_eq!((&step.commit, step.commit.revision), (commit, step.revision));
        if step.conflated_from > 0 {
            assert!(step.conflated_from > position && step.conflated_from < step.revision);
            check_conflation(log, &recording.filters, step);
        } else {
            assert!(step.changes.iter().all(|change| change.revision == 0));
        }
        position = step.revision;
        previous = step.revision;
    }
    steps
}

fn steps(recording: &Recording) -> Vec<Step> {
    atomic(recording);
    let mut steps: Vec<Step> = Vec::new();
    for page in recording.pages() {
        if let Some(commit) = page.commit {
            steps.push(Step {
                revision: page.revision,
                conflated_from: page.conflated_from,
                previous: page.prev_matching_revision,
                changes: Vec::new(),
                commit,
            });
        }
        let step = steps.last_mut().unwrap();
        assert_eq!((page.revision, page.conflated_from), (step.revision, step.conflated_from));
        step.changes.extend(page.changes);
    }
    steps
}

/// The matching changes that a conflation stands for.
#[derive(Debug, Default)]
struct Sources {
    /// By key, in the order of commits, each with its revision.
    changes: BTreeMap<Key, Vec<(u64, Change)>>,
    /// Editions that are withdrawn at the end: ranking and id.
    withdrawn: BTreeSet<Key>,
}

impl Sources {
    fn of(log: &CommitLog, filters: &[Filter], step: &Step) -> Self {
        let mut sources = Self::default();
        for commit in log.expected(filters, step.conflated_from - 1, step.revision) {
            for change in commit.changes {
                sources.add(commit.commit.revision, change);
            }
        }
        sources
    }

    fn add(&mut self, revision: u64, change: Change) {
        let key = key_of(&change);
        let withdraws = match change.detail.as_ref().unwrap() {
            // The current figure did not change in any field.
            Detail::Value(value) if value.r#move() == ValueMove::Backfilled && value.before == value.after => return,
            Detail::Entry(entry) => Some(entry.movement() == Movement::Withdrawn),
            Detail::Edition(edition) => Some(edition.after.as_ref().unwrap().status() == EditionStatus::Withdrawn),
            Detail::Value(_) | Detail::Definition(_) => None,
        };
        match withdraws {
            Some(true) => {
                self.withdrawn.insert(edition_of(&key));
            }
            Some(false) => {
                self.withdrawn.remove(&edition_of(&key));
            }
            None => {}
        }
        self.changes.entry(key).or_default().push((revision, change));
    }
}

/// Ranking and id, from the key of an edition or of an entry.
fn edition_of(key: &Key) -> Key {
    key[1..3].to_vec()
}

fn check_conflation(log: &CommitLog, filters: &[Filter], step: &Step) {
    let mut conflated: BTreeMap<Key, &Change> = step.changes.iter().map(|change| (key_of(change), change)).collect();
    assert!(!conflated.is_empty() && conflated.len() <= KEYS_MAX, "{} keys", conflated.len());
    assert_eq!(conflated.len(), step.changes.len(), "each key once");
    let sources = Sources::of(log, filters, step);
    for (key, all) in &sources.changes {
        let (first_revision, first) = &all[0];
        let (last_revision, last) = &all[all.len() - 1];
        let was = matches!(first.scope(), ChangeScope::Changed | ChangeScope::Left);
        let is = matches!(last.scope(), ChangeScope::Entered | ChangeScope::Changed);
        let first_commit = &log.commit(*first_revision).unwrap().commit;
        let beside = log.matches_beside(filters, first, first_commit).then_some(ChangeScope::Outside);
        let scope = scope_of(was, is).or(beside);
        let Some(change) = conflated.remove(key) else {
            let as_it_was = all.len() > 1 && compares_with_itself(first) && sides(first).0 == sides(last).1;
            let came_and_went =
                key[0] == "E" && !compares_with_itself(first) && sources.withdrawn.contains(&edition_of(key));
            assert!(scope.is_none() || as_it_was || came_and_went, "{key:?} is left out of {all:?}");
            continue;
        };
        assert_eq!(
            (change.revision, change.index, Some(change.scope())),
            (*last_revision, last.index, scope),
            "{key:?}"
        );
        assert_eq!(change.matched_filters, names_of_either(filters, first, last));
        assert_eq!(sides(change), (sides(first).0, sides(last).1), "{key:?}");
        match change.detail.as_ref().unwrap() {
            Detail::Value(value) => check_value(value, all),
            Detail::Entry(entry) => check_entry(entry, first, sources.withdrawn.contains(&edition_of(key))),
            Detail::Edition(_) | Detail::Definition(_) => {}
        }
    }
    assert!(conflated.is_empty(), "did not change: {conflated:?}");
}

/// Whether a change compares a row with itself before. An entry may be compared with another edition instead.
fn compares_with_itself(change: &Change) -> bool {
    !matches!(&change.detail, Some(Detail::Entry(change)) if change.compared_with != change.edition)
}

/// The names of the filters that the first or the last change matches, in the order of the filters.
fn names_of_either(filters: &[Filter], first: &Change, last: &Change) -> Vec<String> {
    let mut names: Vec<String> = filters.iter().map(|filter| filter.name.clone()).collect();
    names.retain(|name| first.matched_filters.contains(name) || last.matched_filters.contains(name));
    names
}

fn check_value(value: &ValueChange, all: &[(u64, Change)]) {
    let expected = match (&value.before, &value.after) {
        (Some(_), Some(_)) if all.len() == 1 => {
            // The only change of its key stays as it is.
            let Some(Detail::Value(alone)) = &all[0].1.detail else { panic!("{all:?}") };
            alone.r#move()
        }
        (None, _) => ValueMove::Added,
        (_, None) => ValueMove::Withdrawn,
        _ => ValueMove::Revised,
    };
    assert_eq!(value.r#move(), expected);
}

/// An entry keeps the comparison of its first change; `withdrawn`: its edition is withdrawn at the end.
fn check_entry(entry: &EntryChange, first: &Change, withdrawn: bool) {
    let Some(Detail::Entry(was)) = &first.detail else { panic!("{first:?}") };
    assert_eq!((&entry.compared_with, entry.compared_entry_count), (&was.compared_with, was.compared_entry_count));
    assert_eq!((&entry.compared, entry.comparable), (&was.compared, was.comparable));
    let earlier = if compares_with_itself(first) { &entry.before } else { &entry.compared };
    let later = &entry.after;
    let from = earlier.as_ref().and_then(|entry| entry.rank);
    let to = later.as_ref().and_then(|entry| entry.rank);
    assert_eq!(entry.places, from.zip(to).map(|(from, to)| from as i32 - to as i32));
    match entry.movement() {
        Movement::Up => assert!(to.is_some() && from.is_none_or(|from| Some(from) > to)),
        Movement::Down => assert!(from.is_some() && to.is_none_or(|to| Some(to) > from)),
        Movement::Tied | Movement::Unchanged => assert!(from.is_some() && from == to),
        Movement::Entered => assert!(earlier.is_none() && later.is_some()),
        Movement::Left => assert!(earlier.is_some() && later.is_none()),
        Movement::Withdrawn => assert!(withdrawn, "the edition of {entry:?} is published again"),
        Movement::Unknown => assert!(from.is_none() || to.is_none()),
        Movement::Unspecified => panic!("{entry:?}"),
    }
}
