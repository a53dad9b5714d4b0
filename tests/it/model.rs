//! The store against a plain model: random uploads in any order of release, restarts, crashes before and after the seal of
//! a commit, compaction; then every answer at every revision and release date.
//!
//! The model is a plain list of uploads ([`crate::support::uploads`]).

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
        catalog::{Definition, EntityKind},
        change::Commit,
        id::{EntityId, IndicatorId, Revision, SourceId},
        period::Period,
        series::{Dimensions, Horizon, SeriesKey},
        time::{Date, now},
        value::{Figure, Number, Value},
    },
    query::{AsOf, Reader},
    store::{Engine, view::View},
};

use crate::support::{
    Dice, ledger_catalog, long,
    uploads::{ListedUpload, known_at},
};

const ENTITIES: [&str; 2] = ["AAA", "BBB"];
const PERIODS: i16 = 4;
const DAYS: u64 = 5;
const COMMITS_MAX: u64 = 9;

/// A figure of the model: (entity, year).
type Key = (usize, i16);

type RandomUpload = ListedUpload<Key, u64>;

/// An open store.
struct OpenStore {
    writer: Writer,
    reader: Reader,
}

impl OpenStore {
    /// Stops the writer and leaves what a crash leaves of a write: a commit that was planned and not sealed, or one that was
    /// sealed and not applied. Returns its revision if it was sealed.
    fn crash_within(self, request: WriteRequest, sealed: bool) -> Option<u64> {
        self.writer.stop();
        let ledger = self.reader.ledger();
        let head = self.reader.head();
        let before = ledger.header(head).unwrap().unwrap();
        let sink = Sink::to_ledger(ledger.as_ref());
        let planned =
            Planner::new(self.reader.ledger().as_ref(), self.reader.view(), now(), before.totals, sink).run(request);
        let (outcome, sink) = planned.unwrap();
        let revision = head.next();
        let commit = Commit {
            revision,
            recorded: now(),
            counts: outcome.counts,
            released: outcome.released,
            request_id: None,
            ..before.commit
        };
        let draft = Draft { commit, pages: sink.pages, changes: sink.changes, totals: outcome.totals };
        sealed.then(|| ledger.seal(&draft, None).unwrap()).map(|_| revision.0)
    }
}

fn open(folder: &Path, keep: u64) -> OpenStore {
    let engine = Arc::new(Engine::open(folder).unwrap());
    let ledger = Arc::new(Ledger::open(engine.clone()).unwrap());
    let view = Arc::new(View::open(engine).unwrap());
    catch_up(ledger.as_ref(), &view).unwrap();
    let reader = Reader::new(ledger.clone(), view.clone());
    let keep = Retention { revisions: NonZeroU64::new(keep), days: None };
    let setup = Setup { retention: keep, ..Setup::default() };
    OpenStore { writer: Writer::start(ledger, view, setup, |_| {}).unwrap(), reader }
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
    let mut all = vec![Definition::Source(ledger_catalog::source("s", 0))];
    for id in ENTITIES {
        all.push(Definition::Entity(ledger_catalog::entity(id, EntityKind::Economy)));
    }
    for case in 0..cases {
        all.push(Definition::Indicator(ledger_catalog::indicator(indicator(case).as_str())));
    }
    all
}

/// Random numbers by a seed (xorshift).
struct Random(Dice);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound as usize) as u64
    }

    /// Draws an upload whose revision is not known yet.
    fn upload(&mut self) -> RandomUpload {
        let day = self.below(DAYS) as i32;
        let replaces = (self.below(3) == 0).then_some(());
        let mut figures = BTreeMap::new();
        for _ in 0..1 + self.below(5) {
            let key = (self.below(ENTITIES.len() as u64) as usize, 2_000 + self.below(PERIODS as u64) as i16);
            figures.insert(key, (self.below(6) > 0).then(|| 1 + self.below(3)));
        }
        RandomUpload { revision: 0, day, replaces, figures }
    }

    /// How many revisions a store keeps; 0: all.
    fn keep(&mut self) -> u64 {
        [0, 3, 50][self.below(3) as usize]
    }
}

fn request(case: usize, sent: &RandomUpload, folder: &Path) -> WriteRequest {
    let pair = (indicator(case), SourceId::new("s").unwrap());
    let replaced: BTreeSet<_> = sent.replaces.iter().map(|()| pair.clone()).collect();
    let mode = if sent.replaces.is_some() { Mode::Replace } else { Mode::Merge };
    let mut upload = Upload::new(day(sent.day), mode, replaced, folder);
    for ((entity, year), value) in &sent.figures {
        let value = value.map(|value| Value::number(Number::parse(&value.to_string()).unwrap()));
        upload.add(series(case, *entity), &[(Period::year(*year).unwrap(), value)]).unwrap();
    }
    WriteRequest::Ingest { upload, definitions: Vec::new() }
}

/// What the store answers of a case at a revision and a release date.
fn answers(reader: &Reader, case: usize, revision: u64, number: i32) -> BTreeMap<Key, u64> {
    let horizon = Horizon { revision: Revision(revision), released: day(number) };
    let snapshot = reader.at(AsOf::Pinned(horizon)).unwrap();
    let mut found = BTreeMap::new();
    for entity in 0..ENTITIES.len() {
        let Some(ids) = snapshot.view().series_ids(&series(case, entity)) else { continue };
        for row in snapshot.current_versions(&snapshot.view().versions(ids).unwrap()) {
            let year = row.period.start().ymd().0;
            let Figure::Number(number) = row.value().cloned().unwrap().figure else { panic!("{row:?}") };
            found.insert((entity, year), number.text().parse().unwrap());
        }
    }
    found
}

#[test]
fn any_uploads_in_any_order_answer_as_a_plain_list_of_them_does() {
    let mut random = Random(Dice::new("uploads in any order"));
    let cases = if long() { 10_000 } else { 400 };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), 0);
    let mut crashes = 0;
    let mut restarts = 0;
    runtime.block_on(store.writer.write(WriteOptions::default(), WriteRequest::Define(definitions(cases)))).unwrap();
    for case in 0..cases {
        let mut uploads: Vec<RandomUpload> = Vec::new();
        for _ in 0..1 + random.below(COMMITS_MAX) {
            let mut sent = random.upload();
            // Sometimes the server crashes during the write or restarts; then it keeps more or less of the ledger.
            match random.below(60) {
                0 => {
                    let sealed = random.below(2) == 0;
                    let revision = store.crash_within(request(case, &sent, folder.path()), sealed);
                    store = open(folder.path(), random.keep());
                    crashes += 1;
                    // Recovery applies a sealed commit.
                    if let Some(revision) = revision {
                        sent.revision = revision;
                        uploads.push(sent);
                        continue;
                    }
                }
                1 => {
                    store.writer.stop();
                    drop(store);
                    store = open(folder.path(), random.keep());
                    restarts += 1;
                }
                _ => {}
            }
            let request = request(case, &sent, folder.path());
            let written = runtime.block_on(store.writer.write(WriteOptions::default(), request)).unwrap();
            sent.revision = written.revision.0;
            uploads.push(sent);
        }
        for revision in uploads.iter().map(|sent| sent.revision) {
            for day in 0..DAYS as i32 {
                let found = answers(&store.reader, case, revision, day);
                let expected = known_at(&uploads, revision, day, |(), _| true);
                assert_eq!(found, expected, "case {case}, revision {revision}, day {day}, of {uploads:#?}");
            }
        }
    }
    store.writer.stop();
    let floor = store.reader.ledger().floor();
    println!("{cases} cases, {crashes} crashes, {restarts} restarts, floor {floor} of {}", store.reader.head());
    assert!(crashes > 0 && restarts > 0 && floor > Revision(1), "the dice left something out");
}
