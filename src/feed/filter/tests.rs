use super::*;
use crate::{
    feed::fixture,
    model::{
        change::{FigureChange, FigureMovement},
        id::EditionId,
    },
    proto,
};

/// A correction of an entry's rank; `None`: it is not listed.
fn entry(before: Option<u32>, after: Option<u32>) -> Change {
    let row = |rank: Option<u32>| Some(Box::new(fixture::entry("cluster:tokyo-yokohama", &["JPN"], Some(rank?))));
    Change::Entry(Box::new(EntryChange {
        ranking: RankingId::new("gii-clusters").unwrap(),
        edition: EditionId::new("2025").unwrap(),
        source: None,
        entity: EntityId::new("cluster:tokyo-yokohama").unwrap(),
        before: row(before),
        after: row(after),
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
fn a_rank_window_says_what_enters_and_what_leaves() {
    let top_ten = || Filter { rank_at_most: 10, ..Filter::default() };
    assert_eq!(scope_of(top_ten(), &entry(Some(12), Some(9))), Some(ChangeScope::Entered));
    assert_eq!(scope_of(top_ten(), &entry(Some(9), Some(12))), Some(ChangeScope::Left));
    assert_eq!(scope_of(top_ten(), &entry(Some(9), Some(8))), Some(ChangeScope::Changed));
    assert_eq!(scope_of(top_ten(), &entry(Some(19), Some(18))), None);
    assert_eq!(scope_of(top_ten(), &entry(Some(9), None)), Some(ChangeScope::Left));
}

#[test]
fn fields_narrow_and_values_widen() {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<String>>();
    let change = entry(Some(2), Some(1));
    assert!(scope_of(Filter { entities: ids(&["JPN", "CHN"]), ..Filter::default() }, &change).is_some());
    assert!(scope_of(Filter { entities: ids(&["CHN"]), ..Filter::default() }, &change).is_none());
    assert!(scope_of(Filter { indicators: ids(&["GB.*"]), ..Filter::default() }, &change).is_none());
    assert!(scope_of(Filter { min_places: 2, ..Filter::default() }, &change).is_none());
    let either = Filters::new(vec![
        Filter { name: "chinese".into(), entities: ids(&["CHN"]), ..Filter::default() },
        Filter { name: "first".into(), rank_at_most: 1, ..Filter::default() },
    ]);
    let found = either.match_change(&change, Cause::FirstRelease).unwrap();
    assert_eq!((found.scope, found.filters), (ChangeScope::Entered, vec![1]));
    assert!(either.match_change(&entry(Some(3), Some(2)), Cause::FirstRelease).is_none());
}

#[test]
fn a_figure_filled_in_behind_no_figure_is_outside() {
    let change = |movement: FigureMovement, before: bool, after: bool| {
        Change::Figure(Box::new(FigureChange { movement, ..fixture::figure("", before, after) }))
    };
    const CASES: [(FigureMovement, bool, bool, ChangeScope); 5] = [
        (FigureMovement::Added, false, true, ChangeScope::Entered),
        (FigureMovement::Revised, true, true, ChangeScope::Changed),
        (FigureMovement::Withdrawn, true, false, ChangeScope::Left),
        (FigureMovement::Backfilled, true, true, ChangeScope::Changed),
        (FigureMovement::Backfilled, false, false, ChangeScope::Outside),
    ];
    for (movement, before, after, expected) in CASES {
        let change = change(movement, before, after);
        assert_eq!(scope_of(Filter::default(), &change), Some(expected), "{movement:?}");
        let all = Filters::new(Vec::new()).match_change(&change, Cause::FirstRelease).unwrap();
        assert_eq!(all.scope, expected, "{movement:?}");
        let of_others = Filter { sources: ["T".to_owned()].into(), ..Filter::default() };
        assert_eq!(scope_of(of_others, &change), None, "{movement:?}");
    }
}

#[test]
fn a_filter_by_dimensions_takes_one_code_of_each_and_figures_only() {
    let of = |pairs: &[(&str, &str)]| {
        let dimensions = pairs.iter().map(|(id, code)| ((*id).to_owned(), (*code).to_owned())).collect();
        Filter { dimensions, ..Filter::default() }
    };
    let change = |dimensions: &str| Change::Figure(Box::new(fixture::figure(dimensions, true, true)));
    let women = of(&[("SEX", "F")]);
    assert!(scope_of(women.clone(), &change("AGE=Y15;SEX=F")).is_some());
    assert!(scope_of(women.clone(), &change("SEX=M")).is_none());
    assert!(scope_of(women.clone(), &change("")).is_none());
    assert!(scope_of(women.clone(), &entry(Some(2), Some(1))).is_none());
    assert!(!Filters::new(vec![women]).wants_empty(Cause::ReloadUnchanged));
    let either = of(&[("SEX", "F"), ("SEX", "M"), ("AGE", "Y15")]);
    assert!(scope_of(either.clone(), &change("AGE=Y15;SEX=M")).is_some());
    assert!(scope_of(either, &change("SEX=M")).is_none());
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

#[test]
fn the_order_of_ids_does_not_matter_to_the_hash_and_the_order_of_filters_does() {
    let of = |ids: &[&str]| Filter { entities: texts(ids), ..Filter::default() };
    assert_eq!(hash(&[of(&["A", "B"])]), hash(&[of(&["B", "A"])]));
    assert_ne!(hash(&[of(&["A", "B"])]), hash(&[of(&["A", "C"])]));
    assert_ne!(hash(&[of(&["A"]), of(&["B"])]), hash(&[of(&["B"]), of(&["A"])]));
    assert_ne!(hash(&[of(&["A"]), of(&["B"])]), hash(&[of(&["A", "B"])]));
    let causes = |causes: &[Cause]| Filter { causes: causes.iter().copied().collect(), ..Filter::default() };
    let (first, second) = (Cause::Correction, Cause::Withdrawal);
    assert_eq!(hash(&[causes(&[first, second])]), hash(&[causes(&[second, first])]));
    let dimensions = |codes: &[&str]| Filter {
        dimensions: codes.iter().map(|code| ("SEX".to_owned(), (*code).to_owned())).collect(),
        ..Filter::default()
    };
    assert_eq!(hash(&[dimensions(&["F", "M"])]), hash(&[dimensions(&["M", "F"])]));
}

/// Clients keep tokens for years: this number never changes.
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
fn every_field_that_is_set_makes_another_hash() {
    let mut filters = one_field_each();
    filters.push(Filter::default());
    let hashes: BTreeSet<u64> = filters.iter().map(|filter| hash(std::slice::from_ref(filter))).collect();
    assert_eq!(hashes.len(), filters.len());
    assert_ne!(hash(&[]), hash(&[Filter::default()]));
    let left_out = Filters::without(vec![Filter::default()], texts(&["closed"]));
    assert_eq!(left_out.hash(), hash(&[Filter::default()]), "what is left out is no part of what is asked for");
    assert_ne!(left_out.digest(), Filters::new(vec![Filter::default()]).digest());
}

/// A field that is not set is not hashed, so one that a later version adds changes no hash that clients hold in tokens. The
/// bytes of one filter are spelt out: whoever changes them makes every token of every client worthless.
#[test]
fn a_field_that_is_not_set_is_no_part_of_the_hash() {
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
