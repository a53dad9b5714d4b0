//! A store with a group, some series, and random uploads.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use almanac::{
    ledger::{
        WriteOptions, Writer,
        log::Ledger,
        plan::WriteRequest,
        upload::{Mode, Upload},
        writer::Setup,
    },
    model::{
        catalog::{Definition, EntityKind, EntityRelation, RelationKind},
        id::EntityId,
        period::Period,
        series::SeriesKey,
        value::{Number, Value},
    },
    query::Reader,
    store::{Engine, view::View},
};

use super::{
    DAYS, ENTITIES, GROUP, INDICATORS, PERIODS, RandomUpload, SOURCES, day, indicator, known_at, member_until, period,
    series, source,
};
use crate::support::Dice;
use crate::support::ledger_catalog;

pub(super) fn definitions() -> Vec<Definition> {
    let mut all = Vec::new();
    for (at, id) in SOURCES.iter().enumerate() {
        all.push(Definition::Source(ledger_catalog::source(id, [5, 1, 9, 0][at])));
    }
    for id in INDICATORS {
        all.push(Definition::Indicator(ledger_catalog::indicator(id)));
    }
    all.push(Definition::Entity(ledger_catalog::entity(GROUP, EntityKind::Economy)));
    for (at, id) in ENTITIES.iter().enumerate() {
        let mut entity = ledger_catalog::entity(id, EntityKind::Economy);
        entity.relations.extend(member_until(at).map(|last| EntityRelation {
            kind: RelationKind::MemberOf,
            entity: EntityId::new(GROUP).unwrap(),
            valid_from: None,
            valid_to: (last < DAYS).then(|| day(last)),
        }));
        all.push(Definition::Entity(entity));
    }
    all
}

pub(super) struct Store {
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Store {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Arc::new(Engine::open(folder.path()).unwrap());
        let ledger = Arc::new(Ledger::open(engine.clone()).unwrap());
        let view = Arc::new(View::open(engine).unwrap());
        let reader = Reader::new(ledger.clone(), view.clone());
        let writer = Writer::start(ledger, view, Setup::default(), |_| {}).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { writer, reader, folder, runtime }
    }

    pub(super) fn write(&self, request: WriteRequest) -> u64 {
        self.runtime.block_on(self.writer.write(WriteOptions::default(), request)).unwrap().revision.0
    }

    /// Writes a random upload after others. A whole release often repeats their figures.
    pub(super) fn upload(&self, dice: &mut Dice, before: &[RandomUpload]) -> RandomUpload {
        let number = dice.below(DAYS);
        let mut figures = BTreeMap::new();
        let pair = (dice.below(2), dice.below(3));
        let whole = dice.once_in(3).then_some(pair);
        if let Some(pair) = whole {
            for (key, (value, _)) in known_at(before, u64::MAX, number) {
                if (key.0, key.2) == pair && !dice.once_in(4) {
                    figures.insert(key, Some(value));
                }
            }
        }
        // A merge often repeats figures: the newest release of a figure need not be the newest that changed it.
        if whole.is_none() && dice.once_in(2) {
            for (key, (value, _)) in known_at(before, u64::MAX, number) {
                if key.2 == pair.1 && dice.once_in(2) {
                    figures.insert(key, Some(value));
                }
            }
        }
        // Few keys come often, so that periods overlap within a series.
        let often = |dice: &mut Dice, below| if dice.once_in(2) { 0 } else { dice.below(below) };
        for _ in 0..1 + dice.below(16) {
            let (indicator, source) = whole.unwrap_or((often(dice, 2), dice.below(3)));
            let key = (indicator, often(dice, 3), source, often(dice, 4), dice.below(PERIODS.len()));
            figures.insert(key, (!dice.once_in(6)).then(|| 1 + dice.below(2) as u32));
        }
        let replaced: BTreeSet<_> = whole.iter().map(|pair| (indicator(pair.0), source(pair.1))).collect();
        let mode = if whole.is_some() { Mode::Replace } else { Mode::Merge };
        let mut upload = Upload::new(day(number), mode, replaced, self.folder.path());
        let mut batches: BTreeMap<SeriesKey, Vec<(Period, Option<Value>)>> = BTreeMap::new();
        for (key, value) in &figures {
            let value = value.map(|value| Value::number(Number::parse(&value.to_string()).unwrap()));
            batches.entry(series(*key)).or_default().push((period(key.4), value));
        }
        for (key, mut points) in batches {
            points.sort_by_key(|(period, _)| *period);
            upload.add(key, &points).unwrap();
        }
        let revision = self.write(WriteRequest::Ingest { upload, definitions: Vec::new() });
        let figures = figures.into_iter().map(|(key, value)| (key, value.map(|value: u32| (value, number)))).collect();
        RandomUpload { revision, day: number as i32, replaces: whole, figures }
    }
}
