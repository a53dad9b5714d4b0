//! Changes and causes of such writes, definitions that travel in a write, and contradictions that are refused.

use std::collections::BTreeSet;

use almanac::{
    ledger::{
        WriteAnswer, WriteError,
        plan::WriteRequest,
        upload::{Mode, Upload},
    },
    model::{
        catalog::{self, Definition, DefinitionKind},
        change::{Cause, Change},
        edition::{Coverage, CoverageKind, Entry, Table},
        id::{EntityId, IndicatorId, MethodologyId, Revision, SourceId},
        period::Period,
        series::{Dimensions, SeriesKey},
        value::{Number, Value},
    },
};

use super::{Store, TODAY, coded, correct, day, entity, publish, ranking, table, withdraw};
use crate::support::ledger_catalog;

fn older_correction() -> WriteRequest {
    correct(table("r", "1", 1, "first"))
}

#[test]
fn an_older_release_changes_nothing_that_is_current_and_says_so() {
    let store = Store::new();
    store.write(WriteRequest::Define(vec![ranking("r")])).unwrap();
    store.write(publish(table("r", "1", 2, "second"))).unwrap();
    let checked = store.validate(older_correction());
    let [(0, Change::Edition { before, after, backfilled })] = &checked.difference[..] else {
        panic!("{:?}", checked.difference)
    };
    assert_eq!(before.as_ref(), Some(after));
    assert_eq!(after.released, day(2));
    assert_eq!(backfilled.as_ref().unwrap().released, day(1));
    let written = store.write(older_correction()).unwrap();
    assert_eq!((written.changes, written.counts), (checked.changes, checked.counts));
    assert_eq!((written.changes, written.counts.backfilled), (1, 1));
    assert_eq!(written.edition.as_ref().unwrap().released, day(2));
    assert_eq!(written.findings[0].code, "OLDER_RELEASE");
    assert_eq!(store.cause(&written), Cause::Correction);
    let again = store.write(older_correction()).unwrap();
    assert_eq!((again.changes, again.counts.unchanged), (0, 1));
    assert_eq!(store.cause(&again), Cause::ReloadUnchanged);
}

#[test]
fn a_correction_of_the_title_or_the_date_alone_is_a_correction() {
    let store = Store::new();
    store.write(WriteRequest::Define(vec![ranking("r")])).unwrap();
    store.write(publish(table("r", "1", 1, ""))).unwrap();
    let mut titled = table("r", "1", 1, "");
    titled.edition.title = "A title".into();
    let mut dated = titled.clone();
    dated.edition.released = day(2);
    for corrected in [titled, dated.clone()] {
        let written = store.write(correct(corrected)).unwrap();
        assert_eq!(store.cause(&written), Cause::Correction);
        assert_eq!((written.changes, written.counts.unchanged), (1, 1));
    }
    dated.edition.source = Some(SourceId::new("s").unwrap());
    let again = store.write(correct(dated)).unwrap();
    assert_eq!((again.changes, store.cause(&again)), (0, Cause::ReloadUnchanged), "the source is the ranking's own");
    assert_eq!(again.edition.unwrap().source, Some(SourceId::new("s").unwrap()));
}

fn needed_definitions() -> Vec<Definition> {
    vec![ranking("r"), methodology("first"), entity("CCC")]
}

fn publication_of(entity: &str) -> WriteRequest {
    let mut table = table("r", "1", 1, "");
    table.entries[0].entity = EntityId::new(entity).unwrap();
    table.edition.methodology = "m".into();
    WriteRequest::Publish { table, correction: false, definitions: needed_definitions() }
}

#[test]
fn definitions_travel_in_the_write_and_a_refused_one_leaves_none() {
    let store = Store::new();
    let head = store.reader.head();
    assert!(matches!(store.write(publication_of("DDD")), Err(WriteError::Refused { .. })));
    assert_eq!(store.reader.head(), head);
    assert_eq!(store.reader.view().catalog().count(DefinitionKind::Ranking, Revision::MAX), 0);
    let checked = store.validate(publication_of("CCC"));
    let written = store.write(publication_of("CCC")).unwrap();
    assert_eq!((written.revision, written.counts, written.changes), (head.next(), checked.counts, checked.changes));
    assert_eq!((written.counts.definitions_added, written.counts.added, written.changes), (3, 1, 5));
    assert_eq!(store.cause(&written), Cause::FirstRelease);
    assert!(matches!(checked.difference[0].1, Change::Definition(..)));
    let mut again = table("r", "1", 1, "");
    again.entries[0].entity = EntityId::new("CCC").unwrap();
    again.edition.methodology = "m".into();
    let again = WriteRequest::Publish { table: again, correction: true, definitions: vec![methodology("second")] };
    let again = store.write(again).unwrap();
    assert_eq!((again.counts.definitions_revised, again.counts.unchanged), (1, 1));
    assert_eq!(store.cause(&again), Cause::Definition);
    assert_eq!(again.findings[0].code, "METHODOLOGY_IN_USE");
}

#[test]
fn figures_bring_their_definitions_along() {
    let store = Store::new();
    let indicator = IndicatorId::new("i").unwrap();
    let key = SeriesKey {
        indicator: indicator.clone(),
        entity: EntityId::new("AAA").unwrap(),
        source: SourceId::new("s").unwrap(),
        dimensions: Dimensions::default(),
    };
    let folder = tempfile::tempdir().unwrap();
    let mut upload = Upload::new(day(1), Mode::Merge, BTreeSet::new(), folder.path());
    let value = Value::number(Number::parse("1").unwrap());
    upload.add(key, &[(Period::year(2020).unwrap(), Some(value))]).unwrap();
    let definition = Definition::Indicator(ledger_catalog::indicator("i"));
    let written = store.write(WriteRequest::Ingest { upload, definitions: vec![definition] }).unwrap();
    assert_eq!((written.counts.definitions_added, written.counts.added, written.changes), (1, 1, 2));
}

/// A table with a fault, and the code of its finding.
type Contradiction = (&'static str, fn(&mut Table));

const CONTRADICTIONS: [Contradiction; 11] = [
    ("RANK_ABOVE_LISTED", |table| {
        table.edition.coverage = Coverage { kind: CoverageKind::Partial, listed: 10, universe: 0 };
        table.entries[0].rank = Some(50);
    }),
    ("COVERAGE_MISMATCH", |table| {
        table.edition.coverage = Coverage { kind: CoverageKind::Partial, listed: 10, universe: 9 };
    }),
    ("COVERAGE_MISMATCH", |table| {
        table.edition.coverage.universe = 1;
        let second = Entry { entity: EntityId::new("BBB").unwrap(), rank: Some(2), ..table.entries[0].clone() };
        table.entries.push(second);
    }),
    ("BAD_RANK", |table| table.entries[0].previous.push(claim())),
    ("BAD_RANK", |table| table.entries[0].disputed.push(claim())),
    ("BAD_RANK", |table| table.entries[0].components.push(component(Some(0)))),
    ("DUPLICATE_COMPONENT", |table| table.entries[0].components = vec![component(None), component(None)]),
    ("DUPLICATE_ECONOMY", |table| {
        table.entries[0].economies = vec![EntityId::new("AAA").unwrap(), EntityId::new("AAA").unwrap()];
    }),
    ("NOT_AN_ECONOMY", |table| table.entries[0].economies = vec![EntityId::new("city").unwrap()]),
    ("FUTURE_RELEASE", |table| table.edition.released = day(TODAY + 2)),
    ("UNKNOWN_METHODOLOGY", |table| table.edition.methodology = "none".into()),
];

fn claim() -> almanac::model::edition::RankClaim {
    almanac::model::edition::RankClaim { rank: 0, edition: "0".into(), claimed_by: String::new() }
}

fn component(rank: Option<u32>) -> almanac::model::edition::EntryComponent {
    almanac::model::edition::EntryComponent { id: "c".into(), raw: None, score: None, rank, data_year: String::new() }
}

fn refused_for(result: Result<WriteAnswer, WriteError>) -> Vec<String> {
    match result {
        Err(WriteError::Refused { findings, .. }) => findings.into_iter().map(|finding| finding.code).collect(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn contradictions_within_an_edition_are_refused() {
    let store = Store::new();
    store.write(WriteRequest::Define(vec![ranking("r"), coded("city", catalog::EntityKind::Cluster, &[])])).unwrap();
    for (code, spoil) in CONTRADICTIONS {
        let mut table = table("r", "1", 1, "");
        spoil(&mut table);
        assert_eq!(refused_for(store.write(publish(table))), [code]);
    }
    store.write(publish(table("r", "1", TODAY + 1, ""))).unwrap();
    assert_eq!(refused_for(store.write(withdraw("r", "1", Some(TODAY)))), ["WITHDRAWN_BEFORE_RELEASE"]);
    assert_eq!(refused_for(store.write(withdraw("r", "1", Some(TODAY + 2)))), ["FUTURE_RELEASE"]);
}

fn coded_economy(id: &str, code: &str) -> Definition {
    coded(id, catalog::EntityKind::Economy, &[("iso", code)])
}

#[test]
fn a_code_names_one_entity() {
    let store = Store::new();
    store.write(WriteRequest::Define(vec![coded_economy("AAA", "A"), coded_economy("BBB", "B")])).unwrap();
    let twice = coded("CCC", catalog::EntityKind::Economy, &[("iso", "C"), ("iso", "C")]);
    for definitions in
        [vec![coded_economy("CCC", "A")], vec![coded_economy("CCC", "C"), coded_economy("DDD", "C")], vec![twice]]
    {
        assert_eq!(refused_for(store.write(WriteRequest::Define(definitions))), ["DUPLICATE_CODE"]);
    }
    store.write(WriteRequest::Define(vec![coded_economy("AAA", "B"), coded_economy("BBB", "A")])).unwrap();
}

fn methodology(description: &str) -> Definition {
    Definition::Methodology(catalog::Methodology {
        id: MethodologyId::new("m").unwrap(),
        description: description.into(),
        components: Vec::new(),
        aggregation: catalog::Aggregation::NotPublished,
    })
}
