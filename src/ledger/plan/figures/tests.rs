//! What commits say about figures, against the view before and after each of them.

use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    ledger::{
        Ledger, apply,
        log::{Draft, Totals},
        page::LedgerPage,
        plan::{Sink, WriteRequest},
    },
    model::{
        catalog::{Definition, Entity, EntityKind, Frequency, Indicator, Source},
        change::{Cause, Commit, Counts},
        id::{EntityId, IndicatorId, SourceId},
        series::{Dimensions, state_at},
        time::Instant,
        value::Number,
    },
    store::{Engine, memory::MemoryDisk, view::View},
};

/// After all days that figures are released on: 2026-01-01.
const NOW: Instant = Instant(1_767_225_600_000_000);
const PERIODS: [&str; 3] = ["2019", "2020", "2020-Q2"];

fn series() -> SeriesKey {
    SeriesKey {
        indicator: IndicatorId::new("I").unwrap(),
        entity: EntityId::new("E").unwrap(),
        source: SourceId::new("s").unwrap(),
        dimensions: Dimensions::default(),
    }
}

fn definitions() -> Vec<Definition> {
    let key = series();
    vec![
        Definition::Source(Source {
            id: key.source,
            producer: "s".into(),
            title: String::new(),
            published: None,
            url: String::new(),
            licence: String::new(),
            redistribution: crate::model::catalog::Redistribution::Allowed,
            precedence: 0,
        }),
        Definition::Entity(Entity {
            id: key.entity,
            kind: EntityKind::Economy,
            name: "E".into(),
            codes: Vec::new(),
            names: Vec::new(),
            relations: Vec::new(),
        }),
        Definition::Indicator(Indicator {
            id: key.indicator,
            name: "I".into(),
            unit: String::new(),
            direction: crate::model::catalog::Direction::NotStated,
            default_decimals: 0,
            definition: String::new(),
            frequency: Frequency::Annual,
            licence: String::new(),
            timing: crate::model::catalog::Timing::Flow,
        }),
    ]
}

fn day(number: i32) -> Date {
    Date::from_days(20_000 + number).unwrap()
}

/// A ledger and its view in memory.
struct Store {
    ledger: Ledger,
    view: View,
}

impl Store {
    fn new() -> Self {
        let engine = Arc::new(Engine::in_memory(MemoryDisk::default()));
        let store = Self { ledger: Ledger::open(engine.clone()).unwrap(), view: View::open(engine).unwrap() };
        store.write(WriteRequest::Define(definitions()));
        store
    }

    fn rows(&self) -> Vec<FigureVersion> {
        self.view.series_ids(&series()).map_or_else(Vec::new, |ids| self.view.rows(ids).unwrap())
    }

    fn write(&self, act: WriteRequest) {
        let sink = Sink::to_ledger(&self.ledger);
        let planner = Planner::new(&self.ledger, &self.view, NOW, Totals::default(), sink);
        let (outcome, sink) = planner.run(act).unwrap();
        assert!(!outcome.findings.refuse(), "{:?}", outcome.findings);
        self.seal(sink, outcome.released);
    }

    /// Takes back what was said for a period and a release date, as undoing a commit does.
    fn retract(&self, of: &FigureVersion) {
        let row = FigureVersion { revision: self.ledger.head().next(), statement: Statement::Retracted, ..of.clone() };
        let known: Vec<FigureVersion> = self.rows().into_iter().filter(|known| known.period == row.period).collect();
        let with: Vec<FigureVersion> = known.iter().cloned().chain([row.clone()]).collect();
        let recorded = RecordedRow::visible(row, &known, &with);
        let mut sink = Sink::to_ledger(&self.ledger);
        sink.add(Record::Series(series(), vec![recorded])).unwrap();
        sink.finish().unwrap();
        self.seal(sink, None);
    }

    fn seal(&self, sink: Sink<'_>, released: Option<Date>) {
        let commit = Commit {
            revision: self.ledger.head().next(),
            recorded: Instant(0),
            author: String::new(),
            cause: Cause::FirstRelease,
            note: String::new(),
            released,
            document_sha256: String::new(),
            counts: Counts::default(),
            request_id: None,
        };
        let draft = Draft { commit, pages: sink.pages, changes: sink.changes, totals: Totals::default() };
        let header = self.ledger.seal(&draft, None).unwrap();
        apply::apply(&self.ledger, &self.view, &header).unwrap();
    }

    /// The rows of the newest commit.
    fn recorded(&self) -> Vec<RecordedRow> {
        let head = self.ledger.head();
        let pages = self.ledger.header(head).unwrap().unwrap().pages;
        let pages = (0..pages).map(|page| LedgerPage::decode(&self.ledger.read(head, page).unwrap().unwrap()).unwrap());
        let records = pages.flat_map(|page| page.records).filter_map(|record| match record {
            Record::Series(_, rows) => Some(rows),
            _ => None,
        });
        records.flatten().collect()
    }
}

/// An upload of so many figures, or the retraction of a row.
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
    let point = |(period, figure): &(usize, u8)| {
        let value = (*figure > 0).then(|| Value::number(Number::parse(&figure.to_string()).unwrap()));
        (Period::parse(PERIODS[*period]).unwrap(), value)
    };
    upload.add(key, figures.iter().map(point).collect()).unwrap();
    WriteRequest::Ingest { upload, definitions: Vec::new() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// A copy of the state that is made of the changes alone is the state, and only a change moves it.
    #[test]
    fn changes_carry_the_answers_before_and_after_and_nothing_else_moves_them(
        writes in proptest::collection::vec(any_write(), 1..14),
    ) {
        let store = Store::new();
        for write in writes {
            let known = store.rows();
            match &write {
                Write::Upload { day, whole, figures } => store.write(upload(*day, *whole, figures)),
                Write::Retraction(at) if known.is_empty() || known[at % known.len()].is_retraction() => continue,
                Write::Retraction(at) => store.retract(&known[at % known.len()]),
            }
            let head = store.ledger.head();
            let now = store.rows();
            let recorded = store.recorded();
            for period in PERIODS.map(|text| Period::parse(text).unwrap()) {
                let of = |rows: &[FigureVersion]| rows.iter().filter(|row| row.period == period).cloned().collect::<Vec<_>>();
                let before = state_at(&of(&known), Horizon::at(Revision(head.0 - 1))).cloned();
                let after = state_at(&of(&now), Horizon::at(head)).cloned();
                let told: Vec<&RecordedRow> =
                    recorded.iter().filter(|row| row.row.period == period && row.movement.is_some()).collect();
                match &told[..] {
                    [] => prop_assert_eq!(before, after, "{:?}", write),
                    [told] => prop_assert_eq!((&told.before, &told.after), (&before, &after), "{:?}", write),
                    more => prop_assert!(false, "{} changes of one figure", more.len()),
                }
            }
        }
    }
}
