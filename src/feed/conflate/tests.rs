//! Folds against plain models: the last state of figures, and tables compared directly.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    feed::{
        filter::Filters,
        fixture::{self, corrected, published, withdrawn},
    },
    ledger::log::{CHAIN_START, Draft, Totals},
    model::{
        change::{Cause, Commit, Counts},
        edition::{Entry, Table},
        id::{IndicatorId, SourceId},
        series::{Dimensions, FigureVersion},
        time::{Date, Instant},
        value::{Number, Value},
    },
};

fn header(revision: u64) -> Arc<Header> {
    let commit = Commit {
        revision: Revision(revision),
        recorded: Instant(0),
        author: String::new(),
        cause: Cause::FirstRelease,
        note: String::new(),
        released: None,
        document_sha256: String::new(),
        counts: Counts::default(),
        request_id: None,
    };
    let draft = Draft { commit, pages: 1, changes: 0, totals: Totals::default() };
    Arc::new(draft.sealed(CHAIN_START, [0; 32]).unwrap())
}

/// Folds commits from revision 1 on, as a subscriber without filters gets them.
fn fold(commits: Vec<Vec<Change>>) -> Vec<NetChange> {
    let (filters, mut fold) = (Filters::new(Vec::new()), Conflation::default());
    for (revision, changes) in (1..).zip(commits) {
        for (number, change) in (0..).zip(changes) {
            let Some(found) = filters.match_change(&change, Cause::FirstRelease) else { continue };
            let numbered = Arc::new(NumberedChange::new(number, change, Arc::default()));
            assert!(fold.take(Revision(revision), &numbered, &found));
        }
        assert!(fold.close_commit(&header(revision)));
    }
    fold.pages(Revision::ZERO).into_iter().flat_map(|page| page.changes).collect()
}

fn figure(key: usize, movement: ValueMove, before: Option<u8>, after: Option<u8>) -> Change {
    let period = Period::parse(&(2000 + key).to_string()).unwrap();
    let row = |value: Option<u8>| {
        let value = value.map(|value| Value::number(Number::parse(&value.to_string()).unwrap()));
        FigureVersion { period, revision: Revision(1), released: Date::EPOCH, statement: value.into() }
    };
    let answer = |value: Option<u8>| value.is_some().then(|| row(value));
    Change::Value(Box::new(ValueChange {
        series: SeriesKey {
            indicator: IndicatorId::new("I").unwrap(),
            entity: EntityId::new("E").unwrap(),
            source: SourceId::new("S").unwrap(),
            dimensions: Dimensions::default(),
        },
        period,
        movement,
        before: answer(before),
        after: answer(after),
        recorded: row(after),
    }))
}

#[test]
fn a_backfill_counts_if_another_version_answers() {
    let Change::Value(plain) = figure(0, ValueMove::Backfilled, Some(1), Some(1)) else { unreachable!() };
    let mut earlier = plain.clone();
    if let Some(after) = &mut earlier.after {
        after.released = Date::from_days(-1).unwrap();
    }
    assert!(fold(vec![vec![Change::Value(plain)]]).is_empty());
    let net = fold(vec![vec![Change::Value(earlier.clone())]]);
    assert_eq!(net.iter().map(NetChange::change).collect::<Vec<_>>(), [&Change::Value(earlier)]);
}

fn movement_of(before: Option<u8>, after: Option<u8>) -> Option<ValueMove> {
    match (before, after) {
        (before, after) if before == after => None,
        (None, _) => Some(ValueMove::Added),
        (_, None) => Some(ValueMove::Withdrawn),
        _ => Some(ValueMove::Revised),
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

fn entries(net: &[NetChange]) -> BTreeMap<&str, &EntryChange> {
    let mut found = BTreeMap::new();
    for net in net {
        if let Change::Entry(change) = net.change() {
            found.insert(change.entity.as_str(), &**change);
        }
    }
    found
}

proptest! {
    #[test]
    fn a_fold_of_figures_is_what_changed_in_the_end(
        commits in proptest::collection::vec(proptest::collection::btree_map(0..6_usize, proptest::option::of(0..3_u8), 0..6), 1..12),
        began in proptest::collection::vec(proptest::option::of(0..3_u8), 6),
    ) {
        let mut now = began.clone();
        let mut told = Vec::new();
        for commit in commits {
            let mut changes = Vec::new();
            for (key, after) in commit {
                let before = std::mem::replace(&mut now[key], after);
                let movement = movement_of(before, after).unwrap_or(ValueMove::Backfilled);
                changes.push(figure(key, movement, before, after));
            }
            told.push(changes);
        }
        let net = fold(told);
        let found: Vec<Change> = net.iter().map(|net| net.change().clone()).collect();
        let mut expected: Vec<Change> = (0..6)
            .filter_map(|key| Some(figure(key, movement_of(began[key], now[key])?, began[key], now[key])))
            .collect();
        prop_assert_eq!(found.len(), expected.len());
        expected.retain(|change| !found.contains(change));
        prop_assert_eq!(expected, Vec::new());
        for net in &net {
            let Change::Value(change) = net.change() else { unreachable!() };
            let own = Matching { before: change.before.is_some(), after: change.after.is_some(), beside: false };
            prop_assert_eq!(Some(net.found.scope), own.scope());
        }
    }

    /// Whole tables, corrected again and again: every row moved as between the first and the last of them.
    #[test]
    fn a_fold_of_entries_moves_as_between_the_first_table_and_the_last(
        tables in proptest::collection::vec(proptest::collection::vec(proptest::option::of(1..5_u32), 5), 2..6),
        published in any::<bool>(),
    ) {
        let id = |at: usize| if published && at == 0 { "2024" } else { "2025" };
        let tables: Vec<Table> =
            tables.iter().enumerate().map(|(at, ranks)| table(id(at), true, ranks)).collect();
        let net = fold(tables.windows(2).map(|pair| replaced(&pair[0], &pair[1])).collect());
        let found = entries(&net);
        let (first, last) = (&tables[0], &tables[tables.len() - 1]);
        let direct = replaced(first, last);
        let direct = direct.iter().filter_map(|change| if let Change::Entry(change) = change { Some(change) } else { None });
        let direct: BTreeMap<&str, &EntryChange> = direct.map(|change| (change.entity.as_str(), &**change)).collect();
        for (entity, expected) in &direct {
            let change = found.get(entity);
            prop_assert!(change.is_some(), "{} is left out", entity);
            let moved = change.unwrap();
            prop_assert_eq!(moved.movement, expected.movement, "{}", entity);
            prop_assert_eq!(moved.earlier(), expected.earlier());
            prop_assert_eq!((&moved.before, &moved.after), (&expected.before, &expected.after));
            prop_assert_eq!(moved.places(), expected.places());
            // Who was in no table before the edition stood is compared with the edition itself.
            if expected.earlier().is_some() {
                prop_assert_eq!(&moved.compared_with, &expected.compared_with);
            }
        }
        for (entity, change) in found {
            // A row that says the same may be told, where only one of several commits touched it.
            let told = direct.contains_key(entity) || change.earlier() == change.after.as_deref();
            prop_assert!(told, "{} did not change", entity);
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
    let net = fold(tables.windows(2).map(|pair| replaced(&pair[0], &pair[1])).collect());
    let moves: Vec<(&str, Movement)> =
        entries(&net).into_iter().map(|(entity, change)| (entity, change.movement)).collect();
    // e0 was first, and first is another now; e2 was not listed while ranks 1 and 2 were known, and is 40th.
    assert_eq!(moves, [("e0", Movement::Down), ("e1", Movement::Up), ("e2", Movement::Unknown)]);
}

#[test]
fn an_edition_that_came_and_went_leaves_no_trace() {
    let (old, new) = (table("2024", true, &[Some(1), Some(2)]), table("2025", true, &[Some(1), None, Some(2)]));
    assert!(fold(vec![replaced(&old, &new), withdrawn(&new)]).is_empty());
}

#[test]
fn a_row_that_an_edition_published_again_does_not_have_left_it() {
    let (old, stood) = (table("2024", true, &[None, None, Some(1)]), table("2025", true, &[Some(1), Some(2)]));
    let again = table("2025", true, &[None, Some(1)]);
    let net = fold(vec![withdrawn(&stood), replaced(&old, &again)]);
    let moves: Vec<_> = entries(&net).into_iter().map(|(entity, change)| (entity, change.movement)).collect();
    assert_eq!(moves, [("e0", Movement::Left), ("e1", Movement::Up), ("e2", Movement::Left)]);
    // And without the second commit they were withdrawn.
    let net = fold(vec![withdrawn(&stood)]);
    assert!(entries(&net).values().all(|change| change.movement == Movement::Withdrawn));
}

#[test]
fn a_fold_is_bounded_and_leaves_what_does_not_fit_to_the_next() {
    let (filters, mut fold) = (Filters::new(Vec::new()), Conflation::default());
    let commit = |fold: &mut Conflation, revision: u64, keys: std::ops::Range<usize>| {
        keys.fold(true, |_, key| {
            let change = figure(key, ValueMove::Added, None, Some(1));
            let found = filters.match_change(&change, Cause::FirstRelease).unwrap();
            fold.take(Revision(revision), &Arc::new(NumberedChange::new(key as u64, change, Arc::default())), &found)
        }) && fold.close_commit(&header(revision))
    };
    assert!(commit(&mut fold, 1, 0..300));
    assert!(commit(&mut fold, 2, 100..CONFLATED_CHANGES_MAX));
    assert!(commit(&mut fold, 3, 0..1));
    assert!(!commit(&mut fold, 4, CONFLATED_CHANGES_MAX..CONFLATED_CHANGES_MAX + 1));
    assert_eq!((fold.commits(), fold.first()), (3, Revision(1)));
    let pages = fold.pages(Revision::ZERO);
    assert_eq!(pages.iter().map(|page| page.changes.len()).sum::<usize>(), CONFLATED_CHANGES_MAX);
    assert!(pages.len() > 1 && pages.iter().rev().skip(1).all(|page| !page.last) && pages[pages.len() - 1].last);
    assert!(!commit(&mut Conflation::default(), 1, 0..CONFLATED_CHANGES_MAX + 1), "too long alone");
}
