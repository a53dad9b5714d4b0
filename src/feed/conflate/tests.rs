//! Conflations against plain models: the last state of figures, and tables compared directly.

use std::{collections::BTreeMap, ops::Range};

use proptest::prelude::*;

use super::*;
use crate::{
    feed::{
        filter::{Filters, Matching},
        fixture::{self, corrected, header, published, withdrawn},
        page::NetChange,
    },
    model::{
        change::{Cause, EntryChange, FigureChange, FigureMovement, Movement},
        edition::{CoverageKind, Entry, Table},
        id::{IndicatorId, SourceId},
        series::{Dimensions, FigureVersion},
        time::Date,
        value::{Number, Value},
    },
};

/// Conflates commits from revision 1 on, as a subscriber without filters gets them.
fn conflate(commits: Vec<Vec<Change>>) -> Vec<NetChange> {
    let mut conflation = Conflation::default();
    for (revision, changes) in (1..).zip(commits) {
        assert!(add_commit(&mut conflation, revision, changes), "commit {revision} fits");
    }
    conflation.pages(Revision::ZERO).into_iter().flat_map(|page| page.changes).collect()
}

/// Adds a commit. `false`: it does not fit.
fn add_commit(conflation: &mut Conflation, revision: u64, changes: Vec<Change>) -> bool {
    let filters = Filters::new(Vec::new());
    for (number, change) in (0..).zip(changes) {
        let Some(found) = filters.match_change(&change, Cause::FirstRelease) else { continue };
        let numbered = Arc::new(NumberedChange::new(number, change, Arc::default()));
        if !conflation.take(Revision(revision), &numbered, &found) {
            return false;
        }
    }
    conflation.close_commit(&header(revision))
}

fn figure(key: usize, movement: FigureMovement, before: Option<u8>, after: Option<u8>) -> Change {
    let period = Period::parse(&(2000 + key).to_string()).unwrap();
    Change::Figure(Box::new(FigureChange {
        series: SeriesKey {
            indicator: IndicatorId::new("I").unwrap(),
            entity: EntityId::new("E").unwrap(),
            source: SourceId::new("S").unwrap(),
            dimensions: Dimensions::default(),
        },
        period,
        movement,
        before: before.map(|value| version(period, Some(value))),
        after: after.map(|value| version(period, Some(value))),
        recorded: version(period, after),
    }))
}

/// A version of a figure; `None` withdraws it.
fn version(period: Period, value: Option<u8>) -> FigureVersion {
    let value = value.map(|value| Value::number(Number::parse(&value.to_string()).unwrap()));
    FigureVersion { period, revision: Revision(1), released: Date::EPOCH, statement: value.into() }
}

#[test]
fn a_backfill_counts_if_another_version_answers() {
    let Change::Figure(plain) = figure(0, FigureMovement::Backfilled, Some(1), Some(1)) else { unreachable!() };
    let mut earlier = plain.clone();
    if let Some(after) = &mut earlier.after {
        after.released = Date::from_days(-1).unwrap();
    }
    assert!(conflate(vec![vec![Change::Figure(plain)]]).is_empty());
    let net = conflate(vec![vec![Change::Figure(earlier.clone())]]);
    assert_eq!(net.iter().map(NetChange::change).collect::<Vec<_>>(), [&Change::Figure(earlier)]);
}

fn movement_of(before: Option<u8>, after: Option<u8>) -> Option<FigureMovement> {
    match (before, after) {
        (before, after) if before == after => None,
        (None, _) => Some(FigureMovement::Added),
        (_, None) => Some(FigureMovement::Withdrawn),
        _ => Some(FigureMovement::Revised),
    }
}

fn table(id: &str, whole: bool, ranks: &[Option<u32>]) -> Table {
    let listed = ranks.iter().enumerate().filter(|(_, rank)| rank.is_some());
    let entries = listed.map(|(number, rank)| Entry {
        tied: ranks.iter().filter(|other| *other == rank).count() > 1,
        ..fixture::entry(&format!("e{number}"), &[], *rank)
    });
    fixture::table("r", id, if whole { CoverageKind::Top } else { CoverageKind::Partial }, entries.collect())
}

/// The commit that replaces a table by another, as a correction if it is the same edition.
fn replaced(before: &Table, after: &Table) -> Vec<Change> {
    if before.edition.edition == after.edition.edition {
        corrected(before, after)
    } else {
        published(Some(before), after)
    }
}

/// The changes of entries, by entity.
fn entries<'a>(changes: impl IntoIterator<Item = &'a Change>) -> BTreeMap<&'a str, &'a EntryChange> {
    let mut entries = BTreeMap::new();
    for change in changes {
        if let Change::Entry(change) = change {
            entries.insert(change.entity.as_str(), &**change);
        }
    }
    entries
}

/// How each entity moved.
fn movements(net: &[NetChange]) -> Vec<(&str, Movement)> {
    entries(net.iter().map(NetChange::change)).into_iter().map(|(entity, change)| (entity, change.movement)).collect()
}

/// The figures that a commit changes, by key; `None` withdraws one.
fn figures() -> impl Strategy<Value = BTreeMap<usize, Option<u8>>> {
    proptest::collection::btree_map(0..6_usize, proptest::option::of(0..3_u8), 0..6)
}

proptest! {
    #[test]
    fn a_conflation_of_figures_is_the_difference_of_first_and_last_state(
        commits in proptest::collection::vec(figures(), 1..12),
        began in proptest::collection::vec(proptest::option::of(0..3_u8), 6),
    ) {
        let mut now = began.clone();
        let mut commits_of_changes = Vec::new();
        for commit in commits {
            let mut changes = Vec::new();
            for (key, after) in commit {
                let before = std::mem::replace(&mut now[key], after);
                let movement = movement_of(before, after).unwrap_or(FigureMovement::Backfilled);
                changes.push(figure(key, movement, before, after));
            }
            commits_of_changes.push(changes);
        }
        let net = conflate(commits_of_changes);
        let found: Vec<Change> = net.iter().map(|net| net.change().clone()).collect();
        let mut expected: Vec<Change> = (0..6)
            .filter_map(|key| Some(figure(key, movement_of(began[key], now[key])?, began[key], now[key])))
            .collect();
        prop_assert_eq!(found.len(), expected.len());
        expected.retain(|change| !found.contains(change));
        prop_assert_eq!(expected, Vec::new());
        for net in &net {
            let Change::Figure(change) = net.change() else { unreachable!() };
            let own = Matching { before: change.before.is_some(), after: change.after.is_some(), beside: false };
            prop_assert_eq!(Some(net.filter_match.scope), own.scope());
        }
    }

    /// Whole tables, corrected again and again: every entry moved as between the first and the last of them.
    #[test]
    fn conflated_entries_move_as_between_the_first_table_and_the_last(
        tables in proptest::collection::vec(proptest::collection::vec(proptest::option::of(1..5_u32), 5), 2..6),
        published in any::<bool>(),
    ) {
        let first_id = if published { "2024" } else { "2025" };
        let tables: Vec<Table> = tables
            .iter()
            .enumerate()
            .map(|(at, ranks)| table(if at == 0 { first_id } else { "2025" }, true, ranks))
            .collect();
        let net = conflate(tables.windows(2).map(|pair| replaced(&pair[0], &pair[1])).collect());
        let found = entries(net.iter().map(NetChange::change));
        let direct = replaced(&tables[0], &tables[tables.len() - 1]);
        let direct = entries(&direct);
        for (entity, expected) in &direct {
            let change = found.get(entity);
            prop_assert!(change.is_some(), "{} is left out", entity);
            let moved = change.unwrap();
            prop_assert_eq!(moved.movement, expected.movement, "{}", entity);
            prop_assert_eq!(moved.earlier(), expected.earlier());
            prop_assert_eq!((&moved.before, &moved.after), (&expected.before, &expected.after));
            prop_assert_eq!(moved.places(), expected.places());
            // An entity that was in no table before the edition stood is compared with the edition itself.
            if expected.earlier().is_some() {
                prop_assert_eq!(&moved.compared_with, &expected.compared_with);
            }
        }
        for (entity, change) in found {
            // An unmoved entry may be sent where only one of several commits touched it.
            let expected = direct.contains_key(entity) || change.earlier() == change.after.as_deref();
            prop_assert!(expected, "{} did not change", entity);
        }
    }
}

#[test]
fn a_partial_table_never_says_entered_or_left() {
    let tables = [
        table("2025", false, &[Some(1), Some(2), None]),
        table("2025", false, &[Some(2), None, Some(1)]),
        table("2025", false, &[None, Some(1), Some(40)]),
    ];
    let net = conflate(tables.windows(2).map(|pair| replaced(&pair[0], &pair[1])).collect());
    // e0 was first, and another is first now. e2 was not listed while ranks 1 and 2 were known, and is 40th now.
    assert_eq!(movements(&net), [("e0", Movement::Down), ("e1", Movement::Up), ("e2", Movement::Unknown)]);
}

#[test]
fn an_edition_that_was_published_and_withdrawn_leaves_no_trace() {
    let old = table("2024", true, &[Some(1), Some(2)]);
    let new = table("2025", true, &[Some(1), None, Some(2)]);
    assert!(conflate(vec![replaced(&old, &new), withdrawn(&new)]).is_empty());
}

#[test]
fn an_entry_left_if_its_edition_was_published_again_without_it() {
    let old = table("2024", true, &[None, None, Some(1)]);
    let withdrawn_table = table("2025", true, &[Some(1), Some(2)]);
    let again = table("2025", true, &[None, Some(1)]);
    let net = conflate(vec![withdrawn(&withdrawn_table), replaced(&old, &again)]);
    assert_eq!(movements(&net), [("e0", Movement::Left), ("e1", Movement::Up), ("e2", Movement::Left)]);
    let net = conflate(vec![withdrawn(&withdrawn_table)]);
    assert_eq!(movements(&net), [("e0", Movement::Withdrawn), ("e1", Movement::Withdrawn)]);
}

/// New figures, one for each key.
fn new_figures(keys: Range<usize>) -> Vec<Change> {
    keys.map(|key| figure(key, FigureMovement::Added, None, Some(1))).collect()
}

#[test]
fn a_conflation_is_bounded_and_leaves_the_rest_to_the_next_one() {
    let mut conflation = Conflation::default();
    assert!(add_commit(&mut conflation, 1, new_figures(0..300)));
    assert!(add_commit(&mut conflation, 2, new_figures(100..CONFLATED_CHANGES_MAX)));
    assert!(add_commit(&mut conflation, 3, new_figures(0..1)));
    assert!(!add_commit(&mut conflation, 4, new_figures(CONFLATED_CHANGES_MAX..CONFLATED_CHANGES_MAX + 1)));
    assert_eq!((conflation.commits(), conflation.first()), (3, Revision(1)));
    let pages = conflation.pages(Revision::ZERO);
    assert_eq!(pages.iter().map(|page| page.changes.len()).sum::<usize>(), CONFLATED_CHANGES_MAX);
    let (last, others) = pages.split_last().unwrap();
    assert!(last.last);
    assert!(!others.is_empty() && others.iter().all(|page| !page.last));
}

#[test]
fn a_commit_with_too_many_keys_is_not_conflated() {
    assert!(!add_commit(&mut Conflation::default(), 1, new_figures(0..CONFLATED_CHANGES_MAX + 1)));
}
