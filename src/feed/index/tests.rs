//! The index against the filters one by one.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    feed::{filter::Filters, fixture},
    model::{
        change::{Change, EntryChange, FigureChange, FigureMovement, Movement},
        edition::Entry,
        id::{EditionId, EntityId, IndicatorId, RankingId, Revision, SourceId},
        period::Period,
        series::{Dimensions, FigureVersion, SeriesKey, Statement},
        time::Date,
        value::{Number, Value},
    },
};

const IDS: [&str; 4] = ["A.1", "A.2", "B.1", "B"];
const PATTERNS: [&str; 6] = ["A.1", "A.2", "B.1", "B", "A.*", "*"];
const DIMENSIONS: [(&str, &str); 3] = [("SEX", "F"), ("SEX", "M"), ("AGE", "Y15")];

fn id() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&IDS[..])
}

fn patterns() -> impl Strategy<Value = BTreeSet<String>> {
    proptest::collection::btree_set(proptest::sample::select(&PATTERNS[..]).prop_map(str::to_owned), 0..3)
}

prop_compose! {
    fn filter()(
        kinds in proptest::collection::btree_set(proptest::sample::select(&[Kind::Value, Kind::Entry][..]), 0..2),
        rankings in patterns(),
        indicators in patterns(),
        entities in patterns(),
        sources in patterns(),
        causes in proptest::collection::btree_set(
            proptest::sample::select(&[Cause::FirstRelease, Cause::Correction][..]),
            0..2,
        ),
        rank_at_most in 0..4_u32,
        min_places in 0..3_u32,
        dimensions in proptest::collection::vec(proptest::sample::select(&DIMENSIONS[..]), 0..3),
    ) -> Filter {
        let dimensions = dimensions.into_iter().map(|(id, code)| (id.to_owned(), code.to_owned())).collect();
        Filter {
            name: String::new(),
            kinds,
            rankings,
            indicators,
            entities,
            sources,
            causes,
            rank_at_most,
            min_places,
            dimensions,
        }
    }
}

prop_compose! {
    fn value_change()(
        indicator in id(),
        entity in id(),
        source in id(),
        before in any::<bool>(),
        after in any::<bool>(),
    ) -> Change {
        let recorded = FigureVersion {
            period: Period::parse("2020").unwrap(),
            revision: Revision(1),
            released: Date::parse("2020-01-01").unwrap(),
            statement: Statement::Figure(Value::number(Number::parse("1.5").unwrap())),
        };
        Change::Figure(Box::new(FigureChange {
            series: SeriesKey {
                indicator: IndicatorId::new(indicator).unwrap(),
                entity: EntityId::new(entity).unwrap(),
                source: SourceId::new(source).unwrap(),
                dimensions: Dimensions::default(),
            },
            period: recorded.period,
            movement: FigureMovement::Revised,
            before: before.then(|| recorded.clone()),
            after: after.then(|| recorded.clone()),
            recorded,
        }))
    }
}

/// An economy and a rank.
type RowCase = Option<(&'static str, u32)>;

fn row() -> impl Strategy<Value = RowCase> {
    proptest::option::of((id(), 1..6_u32))
}

fn entry(entity: &str, row: RowCase) -> Option<Box<Entry>> {
    let (economy, rank) = row?;
    Some(Box::new(fixture::entry(entity, &[economy], Some(rank))))
}

fn movement(compared: RowCase, after: RowCase) -> Movement {
    match (compared, after) {
        (None, _) => Movement::Entered,
        (_, None) => Movement::Left,
        (Some((_, from)), Some((_, to))) if from > to => Movement::Up,
        _ => Movement::Down,
    }
}

prop_compose! {
    fn entry_change()(
        ranking in id(),
        entity in id(),
        source in proptest::option::of(id()),
        earlier_source in proptest::option::of(id()),
        before in row(),
        after in row(),
        compared in row(),
    ) -> Change {
        Change::Entry(Box::new(EntryChange {
            ranking: RankingId::new(ranking).unwrap(),
            edition: EditionId::new("2025").unwrap(),
            source: source.map(|id| SourceId::new(id).unwrap()),
            entity: EntityId::new(entity).unwrap(),
            before: entry(entity, before),
            after: entry(entity, after),
            compared_with: compared.map(|_| EditionId::new("2024").unwrap()),
            compared: entry(entity, compared),
            earlier_source: earlier_source.map(|id| SourceId::new(id).unwrap()),
            movement: movement(compared, after),
            earlier_absence: None,
            later_absence: None,
            entries_before: 1,
            entries_after: 1,
            comparable: true,
        }))
    }
}

/// The changes that a group matches, found without the index.
fn one_by_one(group: &Group, changes: &[Arc<NumberedChange>]) -> Vec<(usize, Match)> {
    let mut found = Vec::new();
    for (at, numbered) in changes.iter().enumerate() {
        if let Some(of_change) = group.filters.match_change(&numbered.change, Cause::FirstRelease) {
            found.push((at, of_change));
        }
    }
    found
}

proptest! {
    #[test]
    fn the_index_finds_what_each_filter_finds(
        groups in proptest::collection::vec(proptest::collection::vec(filter(), 0..4), 1..90),
        changes in proptest::collection::vec(prop_oneof![value_change(), entry_change()], 0..20),
    ) {
        let groups: Vec<Arc<Group>> =
            (1..).zip(groups).map(|(id, filters)| Arc::new(Group::new(id, Filters::new(filters)))).collect();
        let changes: Vec<Arc<NumberedChange>> = (0..)
            .zip(changes)
            .map(|(number, change)| Arc::new(NumberedChange::new(number, change, Arc::default())))
            .collect();
        let index = Index::new(groups.clone());
        let found = index.matches(&changes, Cause::FirstRelease);
        for group in &groups {
            prop_assert!(index.covers(group));
            let of_group = found.get(&group.id).cloned().unwrap_or_default();
            prop_assert_eq!(of_group, one_by_one(group, &changes));
        }
    }
}
