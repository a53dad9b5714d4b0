//! The store against a plain model: random uploads in any order of release, restarts, and every answer at every point of
//! both axes of knowing.
//!
//! The model is a list of uploads. What is known at (revision, release date) is what comes of doing those that both admit,
//! in order of release: a merge sets what it names, a whole release sets everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use almanac::{
    ledger::{
        WriteOptions, Writer,
        apply::catch_up,
        log::StoreLedger,
        plan::Act,
        upload::{Mode, Upload},
    },
    model::{
        catalog::{self, Definition},
        id::{EntityId, IndicatorId, Revision, SourceId},
        period::Period,
        series::{Dimensions, Horizon, SeriesKey},
        time::Date,
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

fn open(folder: &Path) -> Open {
    let engine = Arc::new(Engine::open(folder).unwrap());
    let ledger = Arc::new(StoreLedger::open(engine.clone()).unwrap());
    let view = Arc::new(View::open(engine).unwrap());
    catch_up(ledger.as_ref(), &view).unwrap();
    let reader = Reader::new(ledger.clone(), view.clone());
    Open { writer: Writer::start(ledger, view, |_| {}).unwrap(), reader }
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
    let cases = if std::env::var("ALMANAC_TEST_LONG").is_ok() { 5_000 } else { 600 };
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    runtime.block_on(store.writer.write(WriteOptions::default(), Act::Define(definitions(cases)))).unwrap();
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
            let replaced = match whole {
                true => BTreeSet::from([(indicator(case), SourceId::new("s").unwrap())]),
                false => BTreeSet::new(),
            };
            let mut upload = Upload::new(day(number), mode, replaced, folder.path());
            for ((entity, year), value) in &figures {
                let value = value.map(|value| Value::number(Number::parse(&value.to_string()).unwrap()));
                upload.add(series(case, *entity), vec![(Period::year(*year).unwrap(), value)]).unwrap();
            }
            let written = runtime.block_on(store.writer.write(WriteOptions::default(), Act::Ingest(upload))).unwrap();
            sent.push(Sent { revision: written.revision.0, day: number, whole, figures });
            if random(40) == 0 {
                store.writer.stop();
                drop(store);
                store = open(folder.path());
            }
        }
        for revision in sent.iter().map(|sent| sent.revision) {
            for number in 0..DAYS as i32 {
                let horizon = Horizon { revision: Revision(revision), released: day(number) };
                let snapshot = store.reader.at(AsOf::Pinned(horizon)).unwrap();
                let mut found = BTreeMap::new();
                for entity in 0..ENTITIES.len() {
                    let Some(ids) = snapshot.view().series_ids(&series(case, entity)) else { continue };
                    for row in snapshot.current(&snapshot.view().rows(ids).unwrap()) {
                        let year = row.period.start().ymd().0;
                        let number = match row.value.unwrap().figure {
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
}
