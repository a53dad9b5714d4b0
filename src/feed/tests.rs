//! Copies that only follow the scopes of changes, against the rows of the state that the filters accept.
//!
//! A copy adds a row that enters, replaces a row that changes and removes a row that leaves. It is strict: a row that
//! enters must not be there; a row that changes or leaves must be there, and equal the change's `before`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use proptest::prelude::*;

use super::{
    change::NumberedChange,
    conflate::{ChangeKey, Conflation},
    filter::{ChangeScope, Filter, Filters, Kind},
    fixture::{corrected, entry, header, published, table, withdrawn},
};
use crate::{
    model::{
        change::{Cause, Change},
        edition::{CoverageKind, Edition, Entry, Table},
        id::{Revision, SourceId},
    },
    query::state::StateRow,
};

const RANKINGS: [&str; 2] = ["q", "r"];
const EDITIONS: [&str; 3] = ["2023", "2024", "2025"];
const ENTITIES: [&str; 5] = ["c1", "c2", "c3", "c4", "c5"];
const ECONOMIES: [&str; 3] = ["AAA", "BBB", "CCC"];
const SOURCES: [&str; 2] = ["s", "t"];

/// A row of a copy.
#[derive(Debug, Clone, PartialEq)]
enum Row {
    Edition(Box<Edition>),
    Entry(Box<Entry>),
}

/// A subscriber's copy of the state.
#[derive(Debug, Default, PartialEq)]
struct Replica {
    rows: HashMap<ChangeKey, Row>,
}

impl Replica {
    fn apply(&mut self, change: &Change, scope: ChangeScope) -> Result<(), TestCaseError> {
        let key = ChangeKey::of(change);
        let before = row_before(change);
        match scope {
            ChangeScope::Entered => {
                let there = self.rows.insert(key, row_after(change).unwrap());
                prop_assert_eq!(there, None, "{:?} entered", change);
            }
            ChangeScope::Changed => {
                let there = self.rows.insert(key, row_after(change).unwrap());
                prop_assert_eq!(there, before, "{:?} changed", change);
            }
            ChangeScope::Left => prop_assert_eq!(self.rows.remove(&key), before, "{:?} left", change),
            ChangeScope::Outside => {}
        }
        Ok(())
    }
}

fn row_before(change: &Change) -> Option<Row> {
    match change {
        Change::Edition { before, .. } => before.clone().map(Row::Edition),
        Change::Entry(change) => change.before.clone().map(Row::Entry),
        Change::Figure(_) | Change::Definition(_) => None,
    }
}

fn row_after(change: &Change) -> Option<Row> {
    match change {
        Change::Edition { after, .. } => Some(Row::Edition(after.clone())),
        Change::Entry(change) => change.after.clone().map(Row::Entry),
        Change::Figure(_) | Change::Definition(_) => None,
    }
}

/// The tables that stand, by ranking and edition.
#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<(usize, usize), Table>,
    revision: u64,
}

/// Rank, economies as bits of their places in `ECONOMIES`, and whether the entry has a note.
type RowCase = (Option<u32>, usize, bool);

/// One commit.
#[derive(Debug, Clone)]
struct Step {
    ranking: usize,
    edition: usize,
    withdraw: bool,
    kind: CoverageKind,
    source: usize,
    /// By place in `ENTITIES`; `None`: not in the table.
    rows: Vec<Option<RowCase>>,
}

impl State {
    /// Commits a step and returns its changes.
    fn commit(&mut self, step: &Step) -> Vec<Change> {
        self.revision += 1;
        let key = (step.ranking, step.edition);
        let standing = self.tables.remove(&key);
        if let Some(standing) = standing.as_ref().filter(|_| step.withdraw) {
            return withdrawn(standing);
        }
        let mut after = table(RANKINGS[step.ranking], EDITIONS[step.edition], step.kind, step.entries());
        after.edition.source = Some(SourceId::new(SOURCES[step.source]).unwrap());
        after.edition.revision = Revision(self.revision);
        let changes = match &standing {
            Some(standing) => corrected(standing, &after),
            None => {
                let earlier = self.tables.range((step.ranking, 0)..key);
                published(earlier.last().map(|(_, earlier)| earlier), &after)
            }
        };
        self.tables.insert(key, after);
        changes
    }

    /// The rows that filters accept.
    fn accepted(&self, filters: &Filters) -> Replica {
        let mut replica = Replica::default();
        for table in self.tables.values() {
            let edition = Arc::new(table.edition.clone());
            if filters.match_state(&StateRow::Edition(edition.clone())).is_some() {
                let key = ChangeKey::Edition(edition.ranking.clone(), edition.edition.clone());
                replica.rows.insert(key, Row::Edition(Box::new(table.edition.clone())));
            }
            for entry in &table.entries {
                let entry = Box::new(entry.clone());
                if filters.match_state(&StateRow::Entry(edition.clone(), entry.clone())).is_some() {
                    let key = ChangeKey::Entry(edition.ranking.clone(), edition.edition.clone(), entry.entity.clone());
                    replica.rows.insert(key, Row::Entry(entry));
                }
            }
        }
        replica
    }
}

impl Step {
    fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (entity, row) in ENTITIES.iter().zip(&self.rows) {
            let Some((rank, bits, has_note)) = *row else { continue };
            let economies = (0..ECONOMIES.len()).filter(|at| bits & (1 << at) > 0).map(|at| ECONOMIES[at]);
            let note = if has_note { "revised".to_owned() } else { String::new() };
            entries.push(Entry { note, ..entry(entity, &economies.collect::<Vec<&str>>(), rank) });
        }
        entries
    }
}

fn row() -> impl Strategy<Value = Option<RowCase>> {
    let case = (proptest::option::weighted(0.9, 1..6_u32), 0..8_usize, any::<bool>());
    proptest::option::weighted(0.7, case)
}

prop_compose! {
    fn step()(
        ranking in 0..RANKINGS.len(),
        edition in 0..EDITIONS.len(),
        withdraw in proptest::bool::weighted(0.2),
        kind in proptest::sample::select(&[CoverageKind::All, CoverageKind::Top, CoverageKind::Partial][..]),
        source in 0..SOURCES.len(),
        rows in proptest::collection::vec(row(), ENTITIES.len()),
    ) -> Step {
        Step { ranking, edition, withdraw, kind, source, rows }
    }
}

fn ids(of: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    proptest::collection::btree_set(proptest::sample::select(of).prop_map(str::to_owned), 0..3)
}

prop_compose! {
    fn filter()(
        kinds in proptest::collection::btree_set(
            proptest::sample::select(&[Kind::Edition, Kind::Entry][..]),
            0..2,
        ),
        rankings in ids(&RANKINGS),
        entities in ids(&["AAA", "BBB", "CCC", "c1", "c2"]),
        sources in ids(&SOURCES),
        rank_at_most in 0..5_u32,
    ) -> Filter {
        Filter { kinds, rankings, entities, sources, rank_at_most, ..Filter::default() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_copy_by_scopes_alone_is_the_state_that_the_filters_accept(
        steps in proptest::collection::vec(step(), 1..12),
        filters in proptest::collection::vec(filter(), 0..4),
    ) {
        let filters = Filters::new(filters);
        let mut state = State::default();
        let mut replica = Replica::default();
        for step in &steps {
            for change in state.commit(step) {
                if let Some(found) = filters.match_change(&change, Cause::FirstRelease) {
                    replica.apply(&change, found.scope)?;
                }
            }
            prop_assert_eq!(&replica, &state.accepted(&filters));
        }
    }

    #[test]
    fn a_copy_of_conflated_commits_is_the_same(
        batches in proptest::collection::vec(proptest::collection::vec(step(), 1..5), 1..5),
        filters in proptest::collection::vec(filter(), 0..4),
    ) {
        let filters = Filters::new(filters);
        let mut state = State::default();
        let mut replica = Replica::default();
        for batch in &batches {
            let mut conflation = Conflation::default();
            for step in batch {
                for (number, change) in (0..).zip(state.commit(step)) {
                    let Some(found) = filters.match_change(&change, Cause::FirstRelease) else { continue };
                    let numbered = Arc::new(NumberedChange::new(number, change, Arc::default()));
                    prop_assert!(conflation.take(Revision(state.revision), &numbered, &found));
                }
                prop_assert!(conflation.close_commit(&header(state.revision)));
            }
            for net in conflation.pages(Revision::ZERO).into_iter().flat_map(|page| page.changes) {
                replica.apply(net.change(), net.filter_match.scope)?;
            }
            prop_assert_eq!(&replica, &state.accepted(&filters));
        }
    }
}

/// A filter of entries of these economies.
fn of_economies(ids: &[&str]) -> Filters {
    entries_where(Filter { entities: ids.iter().map(|id| (*id).to_owned()).collect(), ..Filter::default() })
}

fn of_source(id: &str) -> Filters {
    entries_where(Filter { sources: [id.to_owned()].into(), ..Filter::default() })
}

fn entries_where(filter: Filter) -> Filters {
    Filters::new(vec![Filter { kinds: [Kind::Entry].into(), ..filter }])
}

/// The scopes of the entries in a commit's changes, by entity.
fn scopes(changes: &[Change], filters: &Filters) -> Vec<(String, ChangeScope)> {
    let mut scopes = Vec::new();
    for change in changes {
        if let Change::Entry(entry) = change
            && let Some(found) = filters.match_change(change, Cause::FirstRelease)
        {
            scopes.push((entry.entity.to_string(), found.scope));
        }
    }
    scopes
}

/// A partial table with one entry.
fn one(id: &str, economies: &[&str], rank: u32) -> Table {
    table("r", id, CoverageKind::Partial, vec![entry("c1", economies, Some(rank))])
}

/// The scope of the entry of [`one`].
fn of_c1(scope: ChangeScope) -> Vec<(String, ChangeScope)> {
    vec![("c1".to_owned(), scope)]
}

#[test]
fn an_entry_that_moves_to_another_economy_leaves_the_first_and_enters_the_second() {
    let changes = corrected(&one("2025", &["AAA"], 1), &one("2025", &["BBB"], 1));
    assert_eq!(scopes(&changes, &of_economies(&["AAA"])), of_c1(ChangeScope::Left));
    assert_eq!(scopes(&changes, &of_economies(&["BBB"])), of_c1(ChangeScope::Entered));
    assert_eq!(scopes(&changes, &of_economies(&["AAA", "BBB"])), of_c1(ChangeScope::Changed));
    assert_eq!(scopes(&changes, &of_economies(&["CCC"])), []);
}

#[test]
fn a_rank_window_looks_at_the_entries_of_the_edition_itself() {
    // Earlier rank, later rank, scope in a new edition, scope in a correction of one edition.
    const CASES: [(u32, u32, Option<ChangeScope>, Option<ChangeScope>); 4] = [
        // The entry of 2025 was never in the window.
        (3, 7, Some(ChangeScope::Outside), Some(ChangeScope::Left)),
        (7, 3, Some(ChangeScope::Entered), Some(ChangeScope::Entered)),
        // The entry of 2024 stays.
        (3, 2, Some(ChangeScope::Entered), Some(ChangeScope::Changed)),
        (7, 8, None, None),
    ];
    let top_three = entries_where(Filter { rank_at_most: 3, ..Filter::default() });
    for (earlier, later, in_new_edition, in_correction) in CASES {
        let changes = published(Some(&one("2024", &[], earlier)), &one("2025", &[], later));
        assert_eq!(scopes(&changes, &top_three), in_new_edition.map_or(Vec::new(), of_c1), "{earlier} → {later}");
        let changes = corrected(&one("2025", &[], earlier), &one("2025", &[], later));
        assert_eq!(scopes(&changes, &top_three), in_correction.map_or(Vec::new(), of_c1), "{earlier} → {later}");
    }
}

#[test]
fn an_entity_that_left_the_table_is_outside() {
    let earlier = table("r", "2024", CoverageKind::All, vec![entry("c1", &["AAA"], Some(1))]);
    let later = table("r", "2025", CoverageKind::All, vec![entry("c2", &["BBB"], Some(1))]);
    let changes = published(Some(&earlier), &later);
    assert_eq!(scopes(&changes, &of_economies(&["AAA"])), of_c1(ChangeScope::Outside));
    let everything = Filters::new(Vec::new());
    let all = [("c2".to_owned(), ChangeScope::Entered), ("c1".to_owned(), ChangeScope::Outside)];
    assert_eq!(scopes(&changes, &everything), all);
    assert_eq!(scopes(&withdrawn(&later), &everything), [("c2".to_owned(), ChangeScope::Left)]);
}

#[test]
fn an_entry_has_the_source_of_its_edition() {
    let before = one("2025", &[], 1);
    let mut after = before.clone();
    after.edition.source = Some(SourceId::new("t").unwrap());
    let changes = corrected(&before, &after);
    assert_eq!(scopes(&changes, &of_source("s")), of_c1(ChangeScope::Left));
    assert_eq!(scopes(&changes, &of_source("t")), of_c1(ChangeScope::Entered));
    let mut next = one("2026", &[], 1);
    next.edition.source = Some(SourceId::new("t").unwrap());
    let changes = published(Some(&before), &next);
    assert_eq!(scopes(&changes, &of_source("s")), of_c1(ChangeScope::Outside));
    assert_eq!(scopes(&changes, &of_source("t")), of_c1(ChangeScope::Entered));
}
