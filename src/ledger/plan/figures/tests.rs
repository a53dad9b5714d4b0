//! The changes of figures, against the answers of the view before and after each commit.

use proptest::prelude::*;

use super::*;
use crate::{
    ledger::{
        plan::WriteRequest,
        testing::{TestLedger, day, entity, indicator, source},
    },
    model::{
        catalog::{Definition, EntityKind},
        id::{EntityId, IndicatorId, SourceId},
        series::{Dimensions, state_at},
        value::Number,
    },
};

const PERIODS: [&str; 3] = ["2019", "2020", "2020-Q2"];

fn series() -> SeriesKey {
    SeriesKey {
        indicator: IndicatorId::new("I").unwrap(),
        entity: EntityId::new("E").unwrap(),
        source: SourceId::new("s").unwrap(),
        dimensions: Dimensions::default(),
    }
}

fn new_ledger() -> TestLedger {
    let entity = Definition::Entity(entity("E", EntityKind::Economy, "E"));
    TestLedger::with(vec![source("s"), entity, indicator("I")])
}

/// An upload of some figures, or the retraction of a version. Numbers stand for periods and versions; a figure of zero is none.
#[derive(Debug, Clone)]
enum Write {
    Upload { day: i32, whole: bool, figures: Vec<(usize, u8)> },
    Retraction(usize),
}

fn any_write() -> impl Strategy<Value = Write> {
    let figures = proptest::collection::btree_map(0..PERIODS.len(), 0u8..4, 1..4);
    let upload = (0i32..5, proptest::bool::weighted(0.3), figures).prop_map(|(day, whole, figures)| Write::Upload {
        day,
        whole,
        figures: figures.into_iter().collect(),
    });
    prop_oneof![4 => upload, 1 => (0usize..40).prop_map(Write::Retraction)]
}

fn upload(number: i32, whole: bool, figures: &[(usize, u8)]) -> WriteRequest {
    let key = series();
    let mode = if whole { Mode::Replace } else { Mode::Merge };
    let replaced = if whole { BTreeSet::from([(key.indicator.clone(), key.source.clone())]) } else { BTreeSet::new() };
    let mut upload = Upload::new(day(number), mode, replaced, &std::env::temp_dir());
    let mut points = Vec::new();
    for (period, figure) in figures {
        let value = (*figure > 0).then(|| Value::number(Number::parse(&figure.to_string()).unwrap()));
        points.push((Period::parse(PERIODS[*period]).unwrap(), value));
    }
    upload.add(key, &points).unwrap();
    WriteRequest::Ingest { upload, definitions: Vec::new() }
}

/// Takes a version back, as a revert does.
fn retract(test: &mut TestLedger, version: &FigureVersion) {
    let version = FigureVersion { revision: test.head().next(), statement: Statement::Retracted, ..version.clone() };
    let old_versions = of_period(&test.versions(&series()), version.period);
    let mut new_versions = old_versions.clone();
    new_versions.push(version.clone());
    let recorded = RecordedVersion::visible(version, &old_versions, &new_versions);
    test.write_record(Record::Series(series(), vec![recorded]));
}

fn of_period(versions: &[FigureVersion], period: Period) -> Vec<FigureVersion> {
    versions.iter().filter(|version| version.period == period).cloned().collect()
}

/// The versions of a period that subscribers see in a commit.
fn visible_rows(test: &TestLedger, revision: Revision, period: Period) -> Vec<RecordedVersion> {
    let mut visible = Vec::new();
    for record in test.records(revision) {
        if let Record::Series(_, versions) = record {
            visible.extend(
                versions.into_iter().filter(|version| version.version.period == period && version.movement.is_some()),
            );
        }
    }
    visible
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// A copy of the state that is made of the changes alone is the state, and only a change moves it.
    #[test]
    fn changes_carry_the_answers_before_and_after_and_nothing_else_moves_them(
        writes in proptest::collection::vec(any_write(), 1..14),
    ) {
        let mut test = new_ledger();
        for write in writes {
            let old_versions = test.versions(&series());
            match &write {
                Write::Upload { day, whole, figures } => drop(test.write_whole(upload(*day, *whole, figures))),
                Write::Retraction(_) if old_versions.is_empty() => continue,
                Write::Retraction(at) => {
                    let version = &old_versions[at % old_versions.len()];
                    if version.is_retraction() {
                        continue;
                    }
                    retract(&mut test, version);
                }
            }
            let head = test.head();
            let new_versions = test.versions(&series());
            for period in PERIODS.map(|text| Period::parse(text).unwrap()) {
                let before = state_at(&of_period(&old_versions, period), Horizon::at(Revision(head.0 - 1))).cloned();
                let after = state_at(&of_period(&new_versions, period), Horizon::at(head)).cloned();
                match &visible_rows(&test, head, period)[..] {
                    [] => prop_assert_eq!(before, after, "{:?}", write),
                    [change] => prop_assert_eq!((&change.before, &change.after), (&before, &after), "{:?}", write),
                    more => prop_assert!(false, "{} changes of one figure", more.len()),
                }
            }
        }
    }
}
