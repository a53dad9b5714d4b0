use sha2::{Digest, Sha256};

use super::{digest::cause_number, *};
use crate::{
    feed::fixture,
    model::{
        change::{EntryChange, FigureChange, FigureMovement},
        edition::Entry,
        id::{EditionId, EntityId, RankingId},
    },
    proto,
};

const TOP_TEN: u32 = 10;

fn row(rank: u32) -> Box<Entry> {
    Box::new(fixture::entry("cluster:tokyo-yokohama", &["JPN"], Some(rank)))
}

/// A correction of an entry's rank; `None`: it is not listed.
fn entry(before: Option<u32>, after: Option<u32>) -> Change {
    Change::Entry(Box::new(EntryChange {
        ranking: RankingId::new("gii-clusters").unwrap(),
        edition: EditionId::new("2025").unwrap(),
        source: None,
        entity: EntityId::new("cluster:tokyo-yokohama").unwrap(),
        before: before.map(row),
        after: after.map(row),
        compared_with: Some(EditionId::new("2025").unwrap()),
        compared: None,
        earlier_source: None,
        movement: Movement::Up,
        earlier_absence: None,
        later_absence: None,
        entries_before: 1,
        entries_after: 1,
        comparable: true,
    }))
}

fn scope_of(filter: Filter, change: &Change) -> Option<ChangeScope> {
    Filters::new(vec![filter]).match_change(change, Cause::FirstRelease).map(|found| found.scope)
}

#[test]
fn a_rank_window_tells_what_enters_and_what_leaves() {
    const CASES: [(Option<u32>, Option<u32>, Option<ChangeScope>); 5] = [
        (Some(12), Some(9), Some(ChangeScope::Entered)),
        (Some(9), Some(12), Some(ChangeScope::Left)),
        (Some(9), Some(8), Some(ChangeScope::Changed)),
        (Some(19), Some(18), None),
        (Some(9), None, Some(ChangeScope::Left)),
    ];
    for (before, after, expected) in CASES {
        let filter = Filter { rank_at_most: TOP_TEN, ..Filter::default() };
        assert_eq!(scope_of(filter, &entry(before, after)), expected, "{before:?} → {after:?}");
    }
}

#[test]
fn all_fields_must_accept_and_one_value_of_each_is_enough() {
    let change = entry(Some(2), Some(1));
    assert!(scope_of(Filter { entities: texts(&["JPN", "CHN"]), ..Filter::default() }, &change).is_some());
    assert!(scope_of(Filter { entities: texts(&["CHN"]), ..Filter::default() }, &change).is_none());
    assert!(scope_of(Filter { indicators: texts(&["GB.*"]), ..Filter::default() }, &change).is_none());
    assert!(scope_of(Filter { min_places: 2, ..Filter::default() }, &change).is_none());
    let either = Filters::new(vec![
        Filter { name: "chinese".into(), entities: texts(&["CHN"]), ..Filter::default() },
        Filter { name: "first".into(), rank_at_most: 1, ..Filter::default() },
    ]);
    let found = either.match_change(&change, Cause::FirstRelease).unwrap();
    assert_eq!((found.scope, found.filters), (ChangeScope::Entered, vec![1]));
    assert!(either.match_change(&entry(Some(3), Some(2)), Cause::FirstRelease).is_none());
}

#[test]
fn a_figure_filled_in_behind_no_figure_is_outside() {
    const CASES: [(FigureMovement, bool, bool, ChangeScope); 5] = [
        (FigureMovement::Added, false, true, ChangeScope::Entered),
        (FigureMovement::Revised, true, true, ChangeScope::Changed),
        (FigureMovement::Withdrawn, true, false, ChangeScope::Left),
        (FigureMovement::Backfilled, true, true, ChangeScope::Changed),
        (FigureMovement::Backfilled, false, false, ChangeScope::Outside),
    ];
    for (movement, before, after, expected) in CASES {
        let change = Change::Figure(Box::new(FigureChange { movement, ..fixture::figure("", before, after) }));
        assert_eq!(scope_of(Filter::default(), &change), Some(expected), "{movement:?}");
        let all = Filters::new(Vec::new()).match_change(&change, Cause::FirstRelease).unwrap();
        assert_eq!(all.scope, expected, "{movement:?}");
        let of_others = Filter { sources: ["T".to_owned()].into(), ..Filter::default() };
        assert_eq!(scope_of(of_others, &change), None, "{movement:?}");
    }
}

fn by_dimensions(pairs: &[(&str, &str)]) -> Filter {
    let dimensions = pairs.iter().map(|(id, code)| ((*id).to_owned(), (*code).to_owned())).collect();
    Filter { dimensions, ..Filter::default() }
}

#[test]
fn a_filter_by_dimensions_takes_one_code_of_each_and_figures_only() {
    let women = || by_dimensions(&[("SEX", "F")]);
    assert!(scope_of(women(), &figure("AGE=Y15;SEX=F")).is_some());
    assert!(scope_of(women(), &figure("SEX=M")).is_none());
    assert!(scope_of(women(), &figure("")).is_none());
    assert!(scope_of(women(), &entry(Some(2), Some(1))).is_none());
    assert!(!Filters::new(vec![women()]).wants_empty(Cause::ReloadUnchanged));
    let either = || by_dimensions(&[("SEX", "F"), ("SEX", "M"), ("AGE", "Y15")]);
    assert!(scope_of(either(), &figure("AGE=Y15;SEX=M")).is_some());
    assert!(scope_of(either(), &figure("SEX=M")).is_none());
}

fn figure(dimensions: &str) -> Change {
    Change::Figure(Box::new(fixture::figure(dimensions, true, true)))
}

fn hash(filters: &[Filter]) -> u64 {
    Filters::new(filters.to_vec()).hash()
}

fn texts(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Filters of which each sets one field.
fn one_field_each() -> Vec<Filter> {
    let plain = Filter::default();
    vec![
        Filter { name: "A".into(), ..plain.clone() },
        Filter { kinds: [Kind::Value].into(), ..plain.clone() },
        Filter { rankings: texts(&["A"]), ..plain.clone() },
        Filter { indicators: texts(&["A"]), ..plain.clone() },
        Filter { entities: texts(&["A"]), ..plain.clone() },
        Filter { sources: texts(&["A"]), ..plain.clone() },
        Filter { causes: BTreeSet::from([Cause::Correction]), ..plain.clone() },
        Filter { rank_at_most: 1, ..plain.clone() },
        Filter { min_places: 1, ..plain.clone() },
        Filter { dimensions: vec![("A".into(), "B".into())], ..plain },
    ]
}

fn by_entities(ids: &[&str]) -> Filter {
    Filter { entities: texts(ids), ..Filter::default() }
}

#[test]
fn the_hash_ignores_the_order_of_values() {
    assert_eq!(hash(&[by_entities(&["A", "B"])]), hash(&[by_entities(&["B", "A"])]));
    let men_and_women = by_dimensions(&[("SEX", "M"), ("SEX", "F")]);
    assert_eq!(hash(&[by_dimensions(&[("SEX", "F"), ("SEX", "M")])]), hash(&[men_and_women]));
}

#[test]
fn the_hash_tells_values_filters_and_their_order_apart() {
    assert_ne!(hash(&[by_entities(&["A", "B"])]), hash(&[by_entities(&["A", "C"])]));
    assert_ne!(hash(&[by_entities(&["A"]), by_entities(&["B"])]), hash(&[by_entities(&["B"]), by_entities(&["A"])]));
    assert_ne!(hash(&[by_entities(&["A"]), by_entities(&["B"])]), hash(&[by_entities(&["A", "B"])]));
}

/// Clients keep tokens for years, so this number must never change.
#[test]
fn the_hash_of_a_filter_is_fixed() {
    let filter = Filter {
        kinds: [Kind::Edition, Kind::Value].into(),
        rankings: texts(&["R"]),
        causes: [Cause::Withdrawal, Cause::Correction].into(),
        ..Filter::default()
    };
    assert_eq!(hash(&[filter]), 0xbe60_7a79_e28b_34b7);
}

#[test]
fn kinds_and_causes_are_hashed_by_their_numbers_in_the_contract() {
    for (kind, number) in [
        (Kind::Value, proto::ChangeKind::Value),
        (Kind::Entry, proto::ChangeKind::Entry),
        (Kind::Edition, proto::ChangeKind::Edition),
        (Kind::Definition, proto::ChangeKind::Definition),
    ] {
        assert_eq!(i64::from(kind.number()), i64::from(number as i32));
    }
    for (cause, number) in [
        (Cause::FirstRelease, proto::Cause::FirstRelease),
        (Cause::ScheduledRevision, proto::Cause::ScheduledRevision),
        (Cause::Correction, proto::Cause::Correction),
        (Cause::MethodChange, proto::Cause::MethodChange),
        (Cause::Withdrawal, proto::Cause::Withdrawal),
        (Cause::ReloadUnchanged, proto::Cause::ReloadUnchanged),
        (Cause::Definition, proto::Cause::Definition),
    ] {
        assert_eq!(i64::from(cause_number(cause)), i64::from(number as i32));
    }
}

#[test]
fn every_field_that_is_set_changes_the_hash() {
    let mut filters = one_field_each();
    filters.push(Filter::default());
    let hashes: BTreeSet<u64> = filters.iter().map(|filter| hash(std::slice::from_ref(filter))).collect();
    assert_eq!(hashes.len(), filters.len());
    assert_ne!(hash(&[]), hash(&[Filter::default()]));
    let left_out = Filters::without(vec![Filter::default()], texts(&["closed"]));
    assert_eq!(
        left_out.hash(),
        hash(&[Filter::default()]),
        "sources that are left out are no part of what is asked for"
    );
    assert_ne!(left_out.digest(), Filters::new(vec![Filter::default()]).digest());
}

/// A field that is not set is not hashed, so a field that a later version adds changes no hash in a client's token. The
/// test spells out the bytes of one filter: a change of them makes every token of every client invalid.
#[test]
fn a_field_that_is_not_set_is_not_hashed() {
    let mut digest = Sha256::new();
    digest.update([5]);
    digest.update(2_u64.to_le_bytes());
    for id in ["CHN", "DEU"] {
        digest.update((id.len() as u64).to_le_bytes());
        digest.update(id);
    }
    digest.update([8]);
    digest.update(1_u64.to_le_bytes());
    digest.update(2_u64.to_le_bytes());
    digest.update("10");
    digest.update([0]);
    let expected = u64::from_le_bytes(*digest.finalize().first_chunk().unwrap());
    let filter = Filter { entities: texts(&["DEU", "CHN"]), rank_at_most: 10, ..Filter::default() };
    assert_eq!(hash(&[filter]), expected);
}
