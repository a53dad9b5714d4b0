//! Copies made by scopes alone, against what the filters accept of the state.
//!
//! A copy adds what enters, replaces what changes and removes what leaves. It forgives nothing: what enters must not be
//! there, what changes or leaves must be there as it was said to be before.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use proptest::prelude::*;

use super::{
    change::NumberedChange,
    conflate::{Conflation, Key},
    filter::{ChangeScope, Filter, Filters, Kind},
    fixture::{corrected, entry, published, table, withdrawn},
};
use crate::{
    ledger::log::{CHAIN_START, Draft, Header, Totals},
    model::{
        change::{Cause, Change, Commit, Counts},
        edition::{CoverageKind, Edition, Entry, Table},
        id::{Revision, SourceId},
        time::Instant,
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

/// What a subscriber keeps.
#[derive(Debug, Default, PartialEq)]
struct Copy {
    rows: HashMap<Key, Row>,
}

impl Copy {
    fn apply(&mut self, change: &Change, scope: ChangeScope) -> Result<(), TestCaseError> {
        let key = Key::of(change);
        let (before, after) = match change {
            Change::Edition { before, after, .. } => {
                (before.clone().map(Row::Edition), Some(Row::Edition(after.clone())))
            }
            Change::Entry(change) => (change.before.clone().map(Row::Entry), change.after.clone().map(Row::Entry)),
            Change::Value(_) | Change::Definition(..) => return Err(TestCaseError::fail("only tables change")),
        };
        match scope {
            ChangeScope::Entered => {
                prop_assert_eq!(self.rows.insert(key, after.unwrap()), None, "{:?} entered", change)
            }
            ChangeScope::Changed => {
                prop_assert_eq!(self.rows.insert(key, after.unwrap()), before, "{:?} changed", change)
            }
            ChangeScope::Left => prop_assert_eq!(self.rows.remove(&key), before, "{:?} left", change),
            ChangeScope::Outside => {}
        }
        Ok(())
    }
}

/// The tables that stand, by ranking and edition.
#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<(usize, usize), Table>,
    revision: u64,
}

/// Rank, economies as bits, and whether there is a remark.
type RowCase = (Option<u32>, usize, bool);

/// What the author of a commit does.
#[derive(Debug, Clone)]
struct Step {
    ranking: usize,
    edition: usize,
    withdraw: bool,
    kind: CoverageKind,
    source: usize,
    /// By entity; `None`: not in the table.
    rows: Vec<Option<RowCase>>,
}

impl State {
    /// Does the step and tells its changes.
    fn take(&mut self, step: &Step) -> Vec<Change> {
        self.revision += 1;
        let place = (step.ranking, step.edition);
        let standing = self.tables.remove(&place);
        if let Some(standing) = standing.as_ref().filter(|_| step.withdraw) {
            return withdrawn(standing);
        }
        let mut after = table(RANKINGS[step.ranking], EDITIONS[step.edition], step.kind, step.entries());
        after.edition.source = Some(SourceId::new(SOURCES[step.source]).unwrap());
        after.edition.revision = Revision(self.revision);
        let changes = match &standing {
            Some(standing) => corrected(standing, &after),
            None => {
                let earlier = self.tables.range((step.ranking, 0)..place);
                published(earlier.last().map(|(_, earlier)| earlier), &after)
            }
        };
        self.tables.insert(place, after);
        changes
    }

    /// The rows that filters accept.
    fn accepted(&self, filters: &Filters) -> Copy {
        let mut copy = Copy::default();
        for table in self.tables.values() {
            let edition = Arc::new(table.edition.clone());
            if filters.match_state(&StateRow::Edition(edition.clone())).is_some() {
                let key = Key::Edition(edition.ranking.clone(), edition.edition.clone());
                copy.rows.insert(key, Row::Edition(Box::new(table.edition.clone())));
            }
            for entry in &table.entries {
                let entry = Box::new(entry.clone());
                if filters.match_state(&StateRow::Entry(edition.clone(), entry.clone())).is_some() {
                    let key = Key::Entry(edition.ranking.clone(), edition.edition.clone(), entry.entity.clone());
                    copy.rows.insert(key, Row::Entry(entry));
                }
            }
        }
        copy
    }
}

impl Step {
    fn entries(&self) -> Vec<Entry> {
        let rows = ENTITIES.iter().zip(&self.rows);
        let entry = |(entity, row): (&&str, &Option<RowCase>)| {
            let (rank, bits, remark) = (*row)?;
            let economies: Vec<&str> =
                ECONOMIES.iter().enumerate().filter(|(at, _)| bits & (1 << at) > 0).map(|(_, id)| *id).collect();
            let note = if remark { "revised".to_owned() } else { String::new() };
            Some(Entry { note, ..entry(entity, &economies, rank) })
        };
        rows.filter_map(entry).collect()
    }
}

fn step() -> impl Strategy<Value = Step> {
    let kind = proptest::sample::select(&[CoverageKind::All, CoverageKind::Top, CoverageKind::Partial][..]);
    let row = (proptest::option::weighted(0.9, 1..6_u32), 0..8_usize, any::<bool>());
    let rows = proptest::collection::vec(proptest::option::weighted(0.7, row), ENTITIES.len());
    let place = (0..RANKINGS.len(), 0..EDITIONS.len());
    (place, proptest::bool::weighted(0.2), kind, 0..SOURCES.len(), rows).prop_map(
        |((ranking, edition), withdraw, kind, source, rows)| Step { ranking, edition, withdraw, kind, source, rows },
    )
}

fn filter() -> impl Strategy<Value = Filter> {
    let ids = |of: &'static [&'static str]| {
        proptest::collection::btree_set(proptest::sample::select(of).prop_map(str::to_owned), 0..3)
    };
    let kinds = proptest::collection::btree_set(proptest::sample::select(&[Kind::Edition, Kind::Entry][..]), 0..2);
    let entities = ids(&["AAA", "BBB", "CCC", "c1", "c2"]);
    (kinds, ids(&RANKINGS), entities, ids(&SOURCES), 0..5_u32).prop_map(
        |(kinds, rankings, entities, sources, rank_at_most)| Filter {
            kinds,
            rankings,
            entities,
            sources,
            rank_at_most,
            ..Filter::default()
        },
    )
}

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_copy_by_scopes_alone_is_the_state_that_the_filters_accept(
        steps in proptest::collection::vec(step(), 1..12),
        filters in proptest::collection::vec(filter(), 0..4),
    ) {
        let filters = Filters::new(filters);
        let (mut state, mut copy) = (State::default(), Copy::default());
        for step in &steps {
            for change in state.take(step) {
                if let Some(found) = filters.match_change(&change, Cause::FirstRelease) {
                    copy.apply(&change, found.scope)?;
                }
            }
            prop_assert_eq!(&copy, &state.accepted(&filters));
        }
    }

    #[test]
    fn a_copy_of_conflated_commits_is_the_same(
        steps in proptest::collection::vec(proptest::collection::vec(step(), 1..5), 1..5),
        filters in proptest::collection::vec(filter(), 0..4),
    ) {
        let filters = Filters::new(filters);
        let (mut state, mut copy) = (State::default(), Copy::default());
        for steps in &steps {
            let mut fold = Conflation::default();
            for step in steps {
                for (number, change) in (0..).zip(state.take(step)) {
                    let Some(found) = filters.match_change(&change, Cause::FirstRelease) else { continue };
                    let numbered = Arc::new(NumberedChange::new(number, change, Arc::default()));
                    prop_assert!(fold.take(Revision(state.revision), &numbered, &found));
                }
                prop_assert!(fold.close_commit(&header(state.revision)));
            }
            for net in fold.pages(Revision::ZERO).into_iter().flat_map(|page| page.changes) {
                copy.apply(net.change(), net.found.scope)?;
            }
            prop_assert_eq!(&copy, &state.accepted(&filters));
        }
    }
}

fn only(field: impl FnOnce(&mut Filter)) -> Filters {
    let mut filter = Filter { kinds: BTreeSet::from([Kind::Entry]), ..Filter::default() };
    field(&mut filter);
    Filters::new(vec![filter])
}

/// The scopes of the entries of a commit, by entity.
fn scopes(changes: &[Change], filters: &Filters) -> Vec<(String, ChangeScope)> {
    let scope = |change: &Change| {
        let Change::Entry(entry) = change else { return None };
        let found = filters.match_change(change, Cause::FirstRelease)?;
        Some((entry.entity.to_string(), found.scope))
    };
    changes.iter().filter_map(scope).collect()
}

fn one(id: &str, economies: &[&str], rank: u32) -> Table {
    table("r", id, CoverageKind::Partial, vec![entry("c1", economies, Some(rank))])
}

#[test]
fn a_row_that_moves_to_another_economy_leaves_the_one_and_enters_the_other() {
    let changes = corrected(&one("2025", &["AAA"], 1), &one("2025", &["BBB"], 1));
    for (economy, scope) in [("AAA", ChangeScope::Left), ("BBB", ChangeScope::Entered)] {
        let filters = only(|filter| filter.entities = [economy.to_owned()].into());
        assert_eq!(scopes(&changes, &filters), [("c1".to_owned(), scope)], "{economy}");
    }
    let both = only(|filter| filter.entities = ["AAA".to_owned(), "BBB".to_owned()].into());
    assert_eq!(scopes(&changes, &both), [("c1".to_owned(), ChangeScope::Changed)]);
    let neither = only(|filter| filter.entities = ["CCC".to_owned()].into());
    assert_eq!(scopes(&changes, &neither), []);
}

#[test]
fn a_rank_window_is_about_the_rows_of_the_edition() {
    let top_three = only(|filter| filter.rank_at_most = 3);
    let of_new_edition = |earlier: u32, later: u32| {
        scopes(&published(Some(&one("2024", &[], earlier)), &one("2025", &[], later)), &top_three)
    };
    let of_correction =
        |before: u32, after: u32| scopes(&corrected(&one("2025", &[], before), &one("2025", &[], after)), &top_three);
    let scope = |scope: ChangeScope| vec![("c1".to_owned(), scope)];
    assert_eq!(of_new_edition(3, 7), scope(ChangeScope::Outside), "the row of 2025 was never in the window");
    assert_eq!(of_new_edition(7, 3), scope(ChangeScope::Entered));
    assert_eq!(of_new_edition(3, 2), scope(ChangeScope::Entered), "the row of 2024 stays");
    assert_eq!(of_new_edition(7, 8), []);
    assert_eq!(of_correction(3, 7), scope(ChangeScope::Left));
    assert_eq!(of_correction(7, 3), scope(ChangeScope::Entered));
    assert_eq!(of_correction(3, 2), scope(ChangeScope::Changed));
    assert_eq!(of_correction(7, 8), []);
}

#[test]
fn who_left_the_table_is_told_outside() {
    let earlier = table("r", "2024", CoverageKind::All, vec![entry("c1", &["AAA"], Some(1))]);
    let later = table("r", "2025", CoverageKind::All, vec![entry("c2", &["BBB"], Some(1))]);
    let changes = published(Some(&earlier), &later);
    let of_economy = only(|filter| filter.entities = ["AAA".to_owned()].into());
    assert_eq!(scopes(&changes, &of_economy), [("c1".to_owned(), ChangeScope::Outside)]);
    let all = [("c2".to_owned(), ChangeScope::Entered), ("c1".to_owned(), ChangeScope::Outside)];
    assert_eq!(scopes(&changes, &Filters::new(Vec::new())), all);
    assert_eq!(scopes(&withdrawn(&later), &Filters::new(Vec::new())), [("c2".to_owned(), ChangeScope::Left)]);
}

#[test]
fn entries_are_of_their_editions_source() {
    let of_source = |id: &str| only(|filter| filter.sources = [id.to_owned()].into());
    let before = one("2025", &[], 1);
    let mut after = before.clone();
    after.edition.source = Some(SourceId::new("t").unwrap());
    let changes = corrected(&before, &after);
    assert_eq!(scopes(&changes, &of_source("s")), [("c1".to_owned(), ChangeScope::Left)]);
    assert_eq!(scopes(&changes, &of_source("t")), [("c1".to_owned(), ChangeScope::Entered)]);
    let mut next = one("2026", &[], 1);
    next.edition.source = Some(SourceId::new("t").unwrap());
    let changes = published(Some(&before), &next);
    assert_eq!(scopes(&changes, &of_source("s")), [("c1".to_owned(), ChangeScope::Outside)]);
    assert_eq!(scopes(&changes, &of_source("t")), [("c1".to_owned(), ChangeScope::Entered)]);
}
