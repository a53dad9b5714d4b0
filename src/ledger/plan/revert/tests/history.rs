//! Writes of a random history, in numbers, and the requests they stand for.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{
    ledger::{
        plan::WriteRequest,
        testing::{self, TestLedger, day, indicator, source},
        upload::{Mode, Upload},
    },
    model::{
        catalog::{Definition, EntityKind, EntityRelation, RelationKind},
        edition::{Basis, Coverage, CoverageKind, Edition, EditionStatus, Entry, Table},
        id::{EditionId, EntityId, IndicatorId, RankingId, Revision, SourceId},
        period::Period,
        series::{Dimensions, Horizon, SeriesKey, newest_at},
        time::Instant,
        value::{Number, Value},
    },
};

/// Release dates are days from zero to below this.
pub(super) const DAYS: i32 = 5;
const PERIODS: [&str; 2] = ["2019", "2020"];
pub(super) const INDICATORS: [&str; 2] = ["I", "J"];
/// The base defines the first two. Only drawn writes define the others.
pub(super) const ENTITIES: [&str; 4] = ["E", "F", "G", "H"];
/// Sources of the ranking. All figures have the first.
pub(super) const SOURCES: [&str; 2] = ["s", "t"];
const EDITIONS: [&str; 2] = ["1", "2"];

/// The definitions of revision 1.
pub(super) fn base() -> Vec<Definition> {
    vec![
        source(SOURCES[0]),
        source(SOURCES[1]),
        entity(ENTITIES[0], EntityKind::Economy, "e", None),
        entity(ENTITIES[1], EntityKind::Economy, "f", None),
        indicator(INDICATORS[0]),
        indicator(INDICATORS[1]),
        ranking(0),
    ]
}

pub(super) fn entity(id: &str, kind: EntityKind, name: &str, lies_in: Option<&str>) -> Definition {
    let mut entity = testing::entity(id, kind, name);
    if let Some(other) = lies_in {
        entity.relations.push(EntityRelation {
            kind: RelationKind::LiesIn,
            entity: EntityId::new(other).unwrap(),
            valid_from: None,
            valid_to: None,
        });
    }
    Definition::Entity(entity)
}

fn ranking(source: usize) -> Definition {
    testing::ranking("R", SOURCES[source])
}

/// A write of a history. Numbers stand for items of the constants above.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Define(EntityDraw),
    /// Gives the ranking another source.
    Rank {
        source: usize,
    },
    Upload(UploadDraw),
    Publish {
        edition: usize,
        day: i32,
        entities: BTreeSet<usize>,
        lie_in: Option<usize>,
    },
    Withdraw {
        edition: usize,
        day: i32,
    },
    /// Takes commits back, counted from revision 2.
    Revert(BTreeSet<usize>),
}

#[derive(Debug, Clone)]
pub(super) struct EntityDraw {
    pub(super) entity: usize,
    pub(super) kind: EntityKind,
    pub(super) name: u8,
    pub(super) lies_in: Option<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct UploadDraw {
    pub(super) day: i32,
    pub(super) whole: bool,
    pub(super) indicator: usize,
    /// By entity and period. Zero: there is no figure.
    pub(super) figures: BTreeMap<(usize, usize), u8>,
}

pub(super) fn any_write() -> impl Strategy<Value = Write> {
    let figures = proptest::collection::btree_map((0..ENTITIES.len(), 0..PERIODS.len()), 0u8..3, 1..4);
    let upload = (0..DAYS, proptest::bool::weighted(0.4), 0..INDICATORS.len(), figures)
        .prop_map(|(day, whole, indicator, figures)| Write::Upload(UploadDraw { day, whole, indicator, figures }));
    let entities = proptest::collection::btree_set(0..ENTITIES.len(), 1..4);
    let lie_in = proptest::option::weighted(0.3, 0..ENTITIES.len());
    let publish = (0..EDITIONS.len(), 0..DAYS, entities, lie_in)
        .prop_map(|(edition, day, entities, lie_in)| Write::Publish { edition, day, entities, lie_in });
    let withdraw = (0..EDITIONS.len(), 0..DAYS).prop_map(|(edition, day)| Write::Withdraw { edition, day });
    let lies_in = proptest::option::weighted(0.3, 0..ENTITIES.len());
    let kind = prop_oneof![3 => Just(EntityKind::Economy), 1 => Just(EntityKind::Cluster)];
    let define = (1..ENTITIES.len(), kind, 0u8..2, lies_in)
        .prop_map(|(entity, kind, name, lies_in)| Write::Define(EntityDraw { entity, kind, name, lies_in }));
    let rank = (0..SOURCES.len()).prop_map(|source| Write::Rank { source });
    let revert = proptest::collection::btree_set(0usize..12, 1..4).prop_map(Write::Revert);
    prop_oneof![2 => define, 1 => rank, 6 => upload, 3 => publish, 1 => withdraw, 4 => revert]
}

pub(super) fn upload(day: i32, whole: bool, figure: u8) -> Write {
    Write::Upload(UploadDraw { day, whole, indicator: 0, figures: BTreeMap::from([((0, 0), figure)]) })
}

/// The first edition with these entities.
pub(super) fn publish(day: i32, entities: &[usize]) -> Write {
    Write::Publish { edition: 0, day, entities: entities.iter().copied().collect(), lie_in: None }
}

/// An edition with the entities of the base.
pub(super) fn edition(edition: usize, day: i32) -> Write {
    Write::Publish { edition, day, entities: BTreeSet::from([0, 1]), lie_in: None }
}

/// The third entity, of this kind.
pub(super) fn define(kind: EntityKind) -> Write {
    Write::Define(EntityDraw { entity: 2, kind, name: 0, lies_in: None })
}

fn value(figure: u8) -> Option<Value> {
    (figure > 0).then(|| Value::number(Number::parse(&figure.to_string()).unwrap()))
}

fn key(indicator: usize, entity: usize) -> SeriesKey {
    SeriesKey {
        indicator: IndicatorId::new(INDICATORS[indicator]).unwrap(),
        entity: EntityId::new(ENTITIES[entity]).unwrap(),
        source: SourceId::new(SOURCES[0]).unwrap(),
        dimensions: Dimensions::default(),
    }
}

fn period(number: usize) -> Period {
    Period::parse(PERIODS[number]).unwrap()
}

fn edition_id(edition: usize) -> EditionId {
    EditionId::new(EDITIONS[edition]).unwrap()
}

fn ranking_id() -> RankingId {
    RankingId::new("R").unwrap()
}

/// The request of a write. A revert counts its revisions from the second, as the first is the base.
pub(super) fn request(test: &TestLedger, write: &Write) -> WriteRequest {
    match write {
        Write::Define(draw) => WriteRequest::Define(vec![drawn_entity(draw)]),
        Write::Rank { source } => WriteRequest::Define(vec![ranking(*source)]),
        Write::Upload(draw) => WriteRequest::Ingest { upload: drawn_upload(draw), definitions: Vec::new() },
        Write::Publish { edition, day, entities, lie_in } => {
            let known =
                test.view.catalog().edition(&ranking_id(), &edition_id(*edition), Horizon::at(test.head())).cloned();
            let correction = known.is_some_and(|known| known.stands());
            let table = drawn_table(*edition, *day, entities, *lie_in);
            WriteRequest::Publish { table, correction, definitions: Vec::new() }
        }
        Write::Withdraw { edition, day: released } => WriteRequest::Withdraw {
            ranking: ranking_id(),
            edition: edition_id(*edition),
            released: Some(day(*released)),
        },
        Write::Revert(numbers) => {
            let revisions = numbers.iter().map(|at| Revision(2 + *at as u64));
            WriteRequest::Revert(revisions.filter(|revision| *revision <= test.head()).collect())
        }
    }
}

fn drawn_entity(draw: &EntityDraw) -> Definition {
    let lies_in = draw.lies_in.filter(|other| *other != draw.entity).map(|other| ENTITIES[other]);
    entity(ENTITIES[draw.entity], draw.kind, &draw.name.to_string(), lies_in)
}

fn drawn_upload(draw: &UploadDraw) -> Upload {
    let mut mode = Mode::Merge;
    let mut replaced = BTreeSet::new();
    if draw.whole {
        let SeriesKey { indicator, source, .. } = key(draw.indicator, 0);
        mode = Mode::Replace;
        replaced.insert((indicator, source));
    }
    let mut upload = Upload::new(day(draw.day), mode, replaced, &std::env::temp_dir());
    for ((entity, number), figure) in &draw.figures {
        upload.add(key(draw.indicator, *entity), &[(period(*number), value(*figure))]).unwrap();
    }
    upload
}

fn drawn_table(edition: usize, released: i32, entities: &BTreeSet<usize>, lie_in: Option<usize>) -> Table {
    let edition = Edition {
        ranking: ranking_id(),
        edition: edition_id(edition),
        title: String::new(),
        status: EditionStatus::Published,
        basis: Basis::AsPublished,
        about: String::new(),
        coverage: Coverage { kind: CoverageKind::All, listed: 0, universe: 0 },
        methodology: String::new(),
        released: day(released),
        effective: None,
        source: None,
        note: String::new(),
        entry_count: 0,
        complete_to: 0,
        revision: Revision::ZERO,
        recorded: Instant(0),
        compared_with: None,
    };
    let mut entries = Vec::new();
    for (rank, entity) in (1..).zip(entities) {
        entries.push(Entry {
            entity: EntityId::new(ENTITIES[*entity]).unwrap(),
            published_name: String::new(),
            economies: lie_in.map(|at| EntityId::new(ENTITIES[at]).unwrap()).into_iter().collect(),
            rank: Some(rank),
            tied: false,
            score: None,
            components: Vec::new(),
            previous: Vec::new(),
            disputed: Vec::new(),
            note: String::new(),
        });
    }
    Table { edition, entries }
}

/// The part of a write that adds something. An upload that repeats a stored figure adds nothing for it.
pub(super) fn new_part(test: &TestLedger, write: &Write) -> Write {
    let Write::Upload(draw) = write else { return write.clone() };
    let mut new = draw.clone();
    if draw.whole {
        // A whole release withdraws the figures that it does not name.
        new.figures.retain(|_, figure| *figure > 0);
    } else {
        new.figures.retain(|(entity, number), figure| !is_stored(test, draw, *entity, *number, *figure));
    }
    Write::Upload(new)
}

fn is_stored(test: &TestLedger, draw: &UploadDraw, entity: usize, number: usize, figure: u8) -> bool {
    let released = day(draw.day);
    let mut rows = test.versions(&key(draw.indicator, entity));
    rows.retain(|row| row.period == period(number));
    let newest = newest_at(&rows, Horizon { revision: Revision::MAX, released });
    newest.is_some_and(|newest| newest.released == released && newest.value() == value(figure).as_ref())
}
