//! The store against a plain model: random uploads in any order of release, restarts, crashes before and after the seal of
//! a commit, compaction, and every answer at every point of both axes of knowing.
//!
//! The model is a list of uploads. What is known at (revision, release date) is what comes of doing those that both admit,
//! in order of release: a merge sets what it names, a whole release sets everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    path::Path,
    sync::Arc,
};

use almanac::{
    ledger::{
        Ledger, WriteOptions, Writer,
        apply::catch_up,
        compact::Retention,
        log::Draft,
        plan::{Planner, Sink, WriteRequest},
        upload::{Mode, Upload},
        writer::Setup,
    },
    model::{
        catalog::{self, Definition},
        change::Commit,
        id::{EntityId, IndicatorId, Revision, SourceId},
        period::Period,
        series::{Dimensions, Horizon, SeriesKey},
        time::{Date, now},
        value::{Number, Value},
    },
    query::{AsOf, Reader},
    store::{Engine, view::View},
};

const ENTITIES: [&str; 2] = ["AAA", "BBB"];
const PERIODS: i16 = 4;
const DAYS: u64 = 5;
const COMMITS_MAX: u64 = 9;

/// A figure of the model: (entity, year).
type Key = (usize, i16);

/// An upload as the model keeps it.
#[derive(Debug, Clone)]
struct Sent {
    revision: u64,
    day: i32,
    whole: bool,
    figures: BTreeMap<Key, Option<u64>>,
}

fn known_at(sent: &[Sent], revision: u64, day: i32) -> BTreeMap<Key, u64> {
    let mut admitted: Vec<&Sent> = sent.iter().filter(|sent| sent.revision <= revision && sent.day <= day).collect();
    admitted.sort_by_key(|sent| (sent.day, sent.revision));
    let mut known = BTreeMap::new();
    for sent in admitted {
        if sent.whole {
            known.clear();
        }
        for (key, value) in &sent.figures {
            match value {
                Some(value) => known.insert(*key, *value),
                None => known.remove(key),
            };
        }
    }
    known
}

/// The store, open.
struct Open {
    writer: Writer,
    reader: Reader,
}

impl Open {
    /// Stops the writer and leaves behind what a crash leaves of a write: a commit that was planned and never sealed, or one
    /// that was sealed and not applied. Says its revision if it was sealed.
    fn crash_within(self, act: WriteRequest, sealed: bool) -> Option<u64> {
        self.writer.stop();
        let ledger = self.reader.ledger();
        let head = self.reader.head();
        let before = ledger.header(head).unwrap().unwrap();
        let sink = Sink::to_ledger(ledger.as_ref());
        let planned =
            Planner::new(self.reader.ledger().as_ref(), self.reader.view(), now(), before.totals, sink).run(act);
        let (outcome, sink) = planned.unwrap();
        let revision = head.next();
        let (counts, released) = (outcome.counts, outcome.released);
        let commit = Commit { revision, recorded: now(), counts, released, request_id: None, ..before.commit };
        let draft = Draft { commit, pages: sink.pages, changes: sink.changes, totals: outcome.totals };
        sealed.then(|| ledger.seal(&draft, None).unwrap()).map(|_| revision.0)
    }
}

fn open(folder: &Path, keep: u64) -> Open {
    let engine = Arc::new(Engine::open(folder).unwrap());
    let ledger = Arc::new(Ledger::open(engine.clone()).unwrap());
    let view = Arc::new(View::open(engine).unwrap());
    catch_up(ledger.as_ref(), &view).unwrap();
    let reader = Reader::new(ledger.clone(), view.clone());
    let keep = Retention { revisions: NonZeroU64::new(keep), days: None };
    let setup = Setup { retention: keep, ..Setup::default() };
    Open { writer: Writer::start(ledger, view, setup, |_| {}).unwrap(), reader }
}

fn indicator(case: usize) -> IndicatorId {
    IndicatorId::new(&format!("CASE.{case}")).unwrap()
}

fn day(number: i32) -> Date {
    Date::from_days(20_000 + number).unwrap()
}

fn series(case: usize, entity: usize) -> SeriesKey {
    SeriesKey {
        indicator: indicator(case),
        entity: EntityId::new(ENTITIES[entity]).unwrap(),
        source: SourceId::new("s").unwrap(),
        dimensions: Dimensions::default(),
    }
}

fn definitions(cases: usize) -> Vec<Definition> {
    let source = catalog::Source {
        id: SourceId::new("s").unwrap(),
        producer: "s".into(),
        title: String::new(),
        published: None,
        url: String::new(),
        licence: String::new(),
        redistribution: catalog::Redistribution::Allowed,
        precedence: 0,
    };
    let entity = |id: &str| {
        Definition::Entity(catalog::Entity {
            id: EntityId::new(id).unwrap(),
            kind: catalog::EntityKind::Economy,
            name: id.into(),
            codes: Vec::new(),
            names: Vec::new(),
            relations: Vec::new(),
        })
    };
    let measure = |case: usize| {
        Definition::Indicator(catalog::Indicator {
            id: indicator(case),
            name: format!("case {case}"),
            unit: String::new(),
            direction: catalog::Direction::NotStated,
            default_decimals: 0,
            definition: String::new(),
            frequency: catalog::Frequency::Annual,
            licence: String::new(),
            timing: catalog::Timing::Flow,
        })
    };
    let mut all = vec![Definition::Source(source)];
    all.extend(ENTITIES.iter().map(|id| entity(id)));
    all.extend((0..cases).map(measure));
    all
}

#[test]
fn any_uploads_in_any_order_answer_as_a_plain_list_of_them_does() {
    let seed = std::env::var("ALMANAC_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4_711u64);
    println!("ALMANAC_TEST_SEED={seed}");
    let cases = if std::env::var("ALMANAC_TEST_LONG").is_ok() { 10_000 } else { 2_000 };
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), 0);
    let (mut crashes, mut restarts) = (0, 0);
    runtime.block_on(store.writer.write(WriteOptions::default(), WriteRequest::Define(definitions(cases)))).unwrap();
    for case in 0..cases {
        let mut sent: Vec<Sent> = Vec::new();
        for _ in 0..1 + random(COMMITS_MAX) {
            let (number, whole) = (random(DAYS) as i32, random(3) == 0);
            let mode = if whole { Mode::Replace } else { Mode::Merge };
            let mut figures = BTreeMap::new();
            for _ in 0..1 + random(5) {
                let key = (random(ENTITIES.len() as u64) as usize, 2_000 + random(PERIODS as u64) as i16);
                figures.insert(key, (random(6) > 0).then(|| 1 + random(3)));
            }
            let act = || {
                let replaced = match whole {
                    true => BTreeSet::from([(indicator(case), SourceId::new("s").unwrap())]),
                    false => BTreeSet::new(),
                };
                let mut upload = Upload::new(day(number), mode, replaced, folder.path());
                for ((entity, year), value) in &figures {
                    let value = value.map(|value| Value::number(Number::parse(&value.to_string()).unwrap()));
                    upload.add(series(case, *entity), vec![(Period::year(*year).unwrap(), value)]).unwrap();
                }
                WriteRequest::Ingest { upload, definitions: Vec::new() }
            };
            // Now and then the server dies under the write, or is restarted; from then on it keeps more or less of the ledger.
            match random(60) {
                0 => {
                    let revision = store.crash_within(act(), random(2) == 0);
                    store = open(folder.path(), [0, 3, 50][random(3) as usize]);
                    crashes += 1;
                    // Sealed is done: recovery applied it.
                    if let Some(revision) = revision {
                        sent.push(Sent { revision, day: number, whole, figures });
                        continue;
                    }
                }
                1 => {
                    store.writer.stop();
                    drop(store);
                    store = open(folder.path(), [0, 3, 50][random(3) as usize]);
                    restarts += 1;
                }
                _ => {}
            }
            let written = runtime.block_on(store.writer.write(WriteOptions::default(), act())).unwrap();
            sent.push(Sent { revision: written.revision.0, day: number, whole, figures });
        }
        for revision in sent.iter().map(|sent| sent.revision) {
            for number in 0..DAYS as i32 {
                let horizon = Horizon { revision: Revision(revision), released: day(number) };
                let snapshot = store.reader.at(AsOf::Pinned(horizon)).unwrap();
                let mut found = BTreeMap::new();
                for entity in 0..ENTITIES.len() {
                    let Some(ids) = snapshot.view().series_ids(&series(case, entity)) else { continue };
                    for row in snapshot.current_versions(&snapshot.view().versions(ids).unwrap()) {
                        let year = row.period.start().ymd().0;
                        let number = match row.value().cloned().unwrap().figure {
                            almanac::model::value::Figure::Number(number) => number.text().parse().unwrap(),
                            other => panic!("{other:?}"),
                        };
                        found.insert((entity, year), number);
                    }
                }
                let expected: BTreeMap<Key, u64> = known_at(&sent, revision, number);
                assert_eq!(found, expected, "case {case}, revision {revision}, day {number}, of {sent:#?}");
            }
        }
    }
    store.writer.stop();
    let floor = store.reader.ledger().floor();
    println!("{cases} cases, {crashes} crashes, {restarts} restarts, floor {floor} of {}", store.reader.head());
    assert!(crashes > 0 && restarts > 0 && floor > Revision(1), "the dice left something out");
}
