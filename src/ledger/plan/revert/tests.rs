//! Random histories, and what is left of them when commits are taken back.
//!
//! The model of a revert is the same history without the commits that do not count: it is written again, commit by commit,
//! into a second store, and both must answer alike at every release date.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    ledger::{
        Ledger, apply,
        log::{Draft, Totals},
        page::LedgerPage,
        plan::{Outcome, Sink, WriteRequest},
        upload::{Mode, Upload},
    },
    model::{
        catalog::{
            Definition, Direction, Entity, EntityKind, EntityRelation, Frequency, Indicator, Ranking, Redistribution,
            RelationKind, Source, Timing,
        },
        change::{Cause, Change, Commit},
        edition::{Basis, Coverage, CoverageKind, Edition, EditionStatus, Entry, Table},
        id::{EditionId, EntityId, IndicatorId, RankingId, SourceId},
        period::Period,
        series::{Dimensions, FigureVersion, Horizon, SeriesKey, by_period, newest_at, state_at},
        time::{Date, Instant},
        value::{Number, Value},
    },
    store::{Engine, memory::MemoryDisk, series::SeriesScope, view::View},
};

const DAYS: i32 = 5;
const PERIODS: [&str; 2] = ["2019", "2020"];
const INDICATORS: [&str; 2] = ["I", "J"];
/// The last two are defined by no commit but those that a history draws.
const ENTITIES: [&str; 4] = ["E", "F", "G", "H"];
/// Of the ranking; figures are of the first.
const SOURCES: [&str; 2] = ["s", "t"];
const EDITIONS: [&str; 2] = ["1", "2"];

fn day(number: i32) -> Date {
    Date::from_days(20_000 + number).unwrap()
}

fn indicator(id: &str) -> Definition {
    Definition::Indicator(Indicator {
        id: IndicatorId::new(id).unwrap(),
        name: id.into(),
        unit: String::new(),
        direction: Direction::NotStated,
        default_decimals: 0,
        definition: String::new(),
        frequency: Frequency::Annual,
        licence: String::new(),
        timing: Timing::Flow,
    })
}

fn entity(id: &str, kind: EntityKind, name: &str, related: Option<&str>) -> Definition {
    let relation = |id: &str| EntityRelation {
        kind: RelationKind::LiesIn,
        entity: EntityId::new(id).unwrap(),
        valid_from: None,
        valid_to: None,
    };
    Definition::Entity(Entity {
        id: EntityId::new(id).unwrap(),
        kind,
        name: name.into(),
        codes: Vec::new(),
        names: Vec::new(),
        relations: related.map(relation).into_iter().collect(),
    })
}

fn source(id: &str) -> Definition {
    Definition::Source(Source {
        id: SourceId::new(id).unwrap(),
        producer: id.into(),
        title: String::new(),
        published: None,
        url: String::new(),
        licence: String::new(),
        redistribution: Redistribution::Allowed,
        precedence: 0,
    })
}

fn ranking(source: &str) -> Definition {
    Definition::Ranking(Ranking {
        id: RankingId::new("R").unwrap(),
        name: "R".into(),
        subject: EntityKind::Economy,
        source: SourceId::new(source).unwrap(),
        description: String::new(),
    })
}

fn base() -> Vec<Definition> {
    vec![
        source(SOURCES[0]),
        source(SOURCES[1]),
        entity(ENTITIES[0], EntityKind::Economy, "e", None),
        entity(ENTITIES[1], EntityKind::Economy, "f", None),
        indicator(INDICATORS[0]),
        indicator(INDICATORS[1]),
        ranking(SOURCES[0]),
    ]
}

/// A write of a history. Numbers stand for what the constants above list.
#[derive(Debug, Clone)]
enum Write {
    Define { entity: usize, kind: EntityKind, name: u8, related: Option<usize> },
    Rank { source: usize },
    Upload { day: i32, whole: bool, indicator: usize, figures: BTreeMap<(usize, usize), u8> },
    Publish { edition: usize, day: i32, entities: BTreeSet<usize>, lie_in: Option<usize> },
    Withdraw { edition: usize, day: i32 },
    Revert(BTreeSet<usize>),
}

fn any_write() -> impl Strategy<Value = Write> {
    let figures = proptest::collection::btree_map((0..ENTITIES.len(), 0..PERIODS.len()), 0u8..3, 1..4);
    let upload = (0..DAYS, proptest::bool::weighted(0.4), 0..INDICATORS.len(), figures)
        .prop_map(|(day, whole, indicator, figures)| Write::Upload { day, whole, indicator, figures });
    let entities = proptest::collection::btree_set(0..ENTITIES.len(), 1..4);
    let lie_in = proptest::option::weighted(0.3, 0..ENTITIES.len());
    let publish = (0..EDITIONS.len(), 0..DAYS, entities, lie_in)
        .prop_map(|(edition, day, entities, lie_in)| Write::Publish { edition, day, entities, lie_in });
    let withdraw = (0..EDITIONS.len(), 0..DAYS).prop_map(|(edition, day)| Write::Withdraw { edition, day });
    let related = proptest::option::weighted(0.3, 0..ENTITIES.len());
    let kind = prop_oneof![3 => Just(EntityKind::Economy), 1 => Just(EntityKind::Cluster)];
    let define = (1..ENTITIES.len(), kind, 0u8..2, related).prop_map(|(entity, kind, name, related)| Write::Define {
        entity,
        kind,
        name,
        related,
    });
    let rank = (0..SOURCES.len()).prop_map(|source| Write::Rank { source });
    let revert = proptest::collection::btree_set(0usize..12, 1..4).prop_map(Write::Revert);
    prop_oneof![2 => define, 1 => rank, 6 => upload, 3 => publish, 1 => withdraw, 4 => revert]
}

fn value(figure: u8) -> Option<Value> {
    (figure > 0).then(|| Value::number(Number::parse(&figure.to_string()).unwrap()))
}

fn key(indicator: usize, entity: usize) -> SeriesKey {
    SeriesKey {
        indicator: IndicatorId::new(INDICATORS[indicator]).unwrap(),
        entity: EntityId::new(ENTITIES[entity]).unwrap(),
        source: SourceId::new("s").unwrap(),
        dimensions: Dimensions::default(),
    }
}

fn edition_id(edition: usize) -> (RankingId, EditionId) {
    (RankingId::new("R").unwrap(), EditionId::new(EDITIONS[edition]).unwrap())
}

/// The state as a copy keeps it: by key, whole rows.
type State = BTreeMap<String, String>;

struct Store {
    engine: Arc<Engine>,
    ledger: Ledger,
    view: View,
    totals: Totals,
}

impl Store {
    fn new() -> Self {
        let engine = Arc::new(Engine::in_memory(MemoryDisk::default()));
        let ledger = Ledger::open(engine.clone()).unwrap();
        let view = View::open(engine.clone()).unwrap();
        let mut store = Self { engine, ledger, view, totals: Totals::default() };
        store.write(WriteRequest::Define(base())).unwrap();
        store
    }

    /// Makes a commit, unless the write is refused.
    fn write(&mut self, act: WriteRequest) -> Result<Outcome, PlanError> {
        let sink = Sink::to_ledger(&self.ledger);
        let planned =
            Planner::new(&self.ledger, &self.view, Instant(20_010 * 86_400_000_000), self.totals, sink).run(act);
        let (outcome, sink) = match planned {
            Ok((outcome, sink)) if !outcome.findings.refuse() => (outcome, sink),
            Ok((outcome, _)) => {
                self.ledger.abandon().unwrap();
                return Ok(outcome);
            }
            Err(error) => {
                self.ledger.abandon().unwrap();
                return Err(error);
            }
        };
        let commit = Commit {
            revision: self.ledger.head().next(),
            recorded: Instant(0),
            author: String::new(),
            cause: Cause::FirstRelease,
            note: String::new(),
            released: outcome.released,
            document_sha256: String::new(),
            counts: outcome.counts,
            request_id: None,
        };
        let draft = Draft { commit, pages: sink.pages, changes: sink.changes, totals: outcome.totals };
        let header = self.ledger.seal(&draft, None).unwrap();
        apply::apply(&self.ledger, &self.view, &header).unwrap();
        self.totals = outcome.totals;
        Ok(outcome)
    }

    fn act(&self, write: &Write) -> WriteRequest {
        match write {
            Write::Define { entity: at, kind, name, related } => {
                let related = related.filter(|related| related != at).map(|related| ENTITIES[related]);
                WriteRequest::Define(vec![entity(ENTITIES[*at], *kind, &name.to_string(), related)])
            }
            Write::Rank { source } => WriteRequest::Define(vec![ranking(SOURCES[*source])]),
            Write::Upload { day: released, whole, indicator, figures } => {
                let of = key(*indicator, 0);
                let replaced = whole.then(|| (of.indicator, of.source)).into_iter().collect();
                let mode = if *whole { Mode::Replace } else { Mode::Merge };
                let mut upload = Upload::new(day(*released), mode, replaced, &std::env::temp_dir());
                for ((entity, period), figure) in figures {
                    let point = (Period::parse(PERIODS[*period]).unwrap(), value(*figure));
                    upload.add(key(*indicator, *entity), vec![point]).unwrap();
                }
                WriteRequest::Ingest { upload, definitions: Vec::new() }
            }
            Write::Publish { edition, day: released, entities, lie_in } => {
                let (ranking, id) = edition_id(*edition);
                let standing = self.view.catalog().edition(&ranking, &id, Horizon::at(self.ledger.head())).cloned();
                let entry = |(rank, entity): (u32, &usize)| Entry {
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
                };
                let edition = Edition {
                    ranking,
                    edition: id,
                    title: String::new(),
                    status: EditionStatus::Published,
                    basis: Basis::AsPublished,
                    about: String::new(),
                    coverage: Coverage { kind: CoverageKind::All, listed: 0, universe: 0 },
                    methodology: String::new(),
                    released: day(*released),
                    effective: None,
                    source: None,
                    note: String::new(),
                    entry_count: 0,
                    complete_to: 0,
                    revision: Revision::ZERO,
                    recorded: Instant(0),
                    compared_with: None,
                };
                let correction = standing.is_some_and(|standing| standing.stands());
                let table = Table { edition, entries: (1..).zip(entities).map(entry).collect() };
                WriteRequest::Publish { table, correction, definitions: Vec::new() }
            }
            Write::Withdraw { edition, day: released } => {
                let (ranking, edition) = edition_id(*edition);
                WriteRequest::Withdraw { ranking, edition, released: Some(day(*released)) }
            }
            Write::Revert(_) => unreachable!("reverts are drawn against a head"),
        }
    }

    /// What a write says that is not held yet; the rest adds nothing.
    fn news(&self, write: &Write) -> Write {
        let Write::Upload { day: released, whole, indicator, figures } = write else { return write.clone() };
        let mut news = figures.clone();
        if *whole {
            // What a whole release withdraws is what it does not name.
            news.retain(|_, figure| *figure > 0);
            return Write::Upload { day: *released, whole: true, indicator: *indicator, figures: news };
        }
        news.retain(|(entity, period), figure| {
            let period = Period::parse(PERIODS[*period]).unwrap();
            let ids = self.view.series_ids(&key(*indicator, *entity));
            let rows = ids.map_or_else(Vec::new, |ids| self.view.versions_of_period(ids, period).unwrap());
            let released = day(*released);
            let held = newest_at(&rows, Horizon { revision: Revision::MAX, released });
            held.is_none_or(|held| held.released != released || held.value() != value(*figure).as_ref())
        });
        Write::Upload { day: *released, whole: false, indicator: *indicator, figures: news }
    }

    fn rows(&self) -> Vec<(SeriesKey, Vec<FigureVersion>)> {
        let found = self.view.scan_series(SeriesScope::All, None).map(Result::unwrap);
        found.map(|(ids, rows)| (self.view.series_key(ids).unwrap(), rows)).collect()
    }

    /// What the state of a copy is at head.
    fn state(&self) -> State {
        let mut state = State::new();
        let head = self.ledger.head();
        for (key, rows) in self.rows() {
            for row in by_period(&rows).filter_map(|rows| state_at(rows, Horizon::at(head))) {
                state.insert(format!("figure {key:?} {}", row.period), format!("{row:?}"));
            }
        }
        let catalog = self.view.catalog();
        for kind in crate::model::catalog::DefinitionKind::ALL {
            for definition in catalog.definitions(kind, "", head) {
                state.insert(format!("definition {kind:?} {}", definition.id()), format!("{definition:?}"));
            }
        }
        for edition in catalog.all_editions(Horizon::at(head)).filter(|edition| edition.stands()) {
            state.insert(format!("edition {}", edition.edition), format!("{edition:?}"));
            for entry in &self.view.table(edition).unwrap().entries {
                state.insert(format!("entry {} {}", edition.edition, entry.entity), format!("{entry:?}"));
            }
        }
        state
    }

    /// What answers at a release date: without the revisions that brought it.
    fn answers(&self, released: Date) -> State {
        let mut answers = State::new();
        let horizon = Horizon { revision: self.ledger.head(), released };
        for (key, rows) in self.rows() {
            for row in by_period(&rows).filter_map(|rows| state_at(rows, horizon)) {
                let said = format!("{:?} {:?}", row.released, row.statement);
                answers.insert(format!("figure {key:?} {}", row.period), said);
            }
        }
        let catalog = self.view.catalog();
        for edition in catalog.all_editions(horizon) {
            let table = self.view.table(edition).unwrap();
            let source = edition.source.as_ref().filter(|_| edition.stands());
            let said = format!("{:?} {:?} {source:?} {:?}", edition.stands(), edition.effective_day(), table.entries);
            answers.insert(format!("edition {}", edition.edition), said);
        }
        for indicator in INDICATORS {
            let numbers = self.view.number(crate::store::view::NameKind::Indicator, indicator);
            let source = self.view.number(crate::store::view::NameKind::Source, "s");
            if let Some(numbers) = numbers.zip(source) {
                let whole = self.view.newest_full_release(numbers, horizon).unwrap();
                answers.extend(whole.map(|whole| (format!("whole release {indicator}"), format!("{whole:?}"))));
            }
        }
        answers
    }

    /// What those editions are compared with that correct no other version.
    fn comparisons(&self, released: Date) -> BTreeMap<EditionId, Option<EditionId>> {
        let (catalog, horizon) = (self.view.catalog(), Horizon { revision: self.ledger.head(), released });
        let published = catalog.all_editions(horizon).filter(|edition| edition.status == EditionStatus::Published);
        published.map(|edition| (edition.edition.clone(), edition.compared_with.clone())).collect()
    }

    fn definitions(&self) -> Vec<Definition> {
        let (catalog, head) = (self.view.catalog(), self.ledger.head());
        let kinds = crate::model::catalog::DefinitionKind::ALL.into_iter();
        kinds
            .flat_map(|kind| {
                catalog.definitions(kind, "", head).map(|found| found.as_ref().clone()).collect::<Vec<_>>()
            })
            .collect()
    }

    fn changes(&self, revision: Revision) -> Vec<Change> {
        let pages = self.ledger.header(revision).unwrap().unwrap().pages;
        let page = |number| LedgerPage::decode(&self.ledger.read(revision, number).unwrap().unwrap()).unwrap();
        (0..pages).flat_map(|number| page(number).changes()).map(|(_, change)| change).collect()
    }
}

fn put(state: &mut State, key: String, before: Option<String>, after: Option<String>) -> Result<(), TestCaseError> {
    prop_assert_eq!(state.get(&key), before.as_ref(), "before {}", key);
    match after {
        Some(after) => state.insert(key, after),
        None => state.remove(&key),
    };
    Ok(())
}

/// Brings a copy up to a commit; what is before each change must be what the copy has.
fn follow(state: &mut State, changes: &[Change]) -> Result<(), TestCaseError> {
    fn text<T: std::fmt::Debug>(row: &Option<T>) -> Option<String> {
        row.as_ref().map(|row| format!("{row:?}"))
    }
    for change in changes {
        match change {
            Change::Figure(change) => {
                let key = format!("figure {:?} {}", change.series, change.period);
                put(state, key, text(&change.before), text(&change.after))?;
            }
            Change::Definition(change) => {
                let (kind, id) = change.name().unwrap();
                put(state, format!("definition {kind:?} {id}"), text(&change.before), text(&change.after))?;
            }
            Change::Edition { before, after, .. } => {
                let standing = Some(after).filter(|after| after.stands());
                put(state, format!("edition {}", after.edition), text(before), text(&standing))?;
            }
            Change::Entry(change) => {
                let key = format!("entry {} {}", change.edition, change.entity);
                put(state, key, text(&change.before), text(&change.after))?;
            }
        }
    }
    Ok(())
}

/// The history without what does not count, in a store of its own.
fn without(history: &BTreeMap<Revision, Write>, catalog: &Catalog) -> Result<Store, TestCaseError> {
    let mut plain = Store::new();
    for (revision, write) in history {
        if catalog.reverts().is_reverted(*revision, Revision::MAX) {
            continue;
        }
        if matches!(write, Write::Upload { whole: false, figures, .. } if figures.is_empty()) {
            continue;
        }
        let mut outcome = plain.write(plain.act(write));
        // A definition that was replaced since does not keep what it referred to.
        if let (Write::Define { entity, kind, name, .. }, Ok(Outcome { findings, .. })) = (write, &outcome)
            && findings.refuse()
        {
            let (entity, kind, name) = (*entity, *kind, *name);
            outcome = plain.write(plain.act(&Write::Define { entity, kind, name, related: None }));
        }
        // What counts again may use a definition that came back later than it.
        if matches!(&outcome, Ok(outcome) if outcome.findings.refuse()) {
            let missing = ENTITIES.into_iter().filter(|id| {
                catalog.entity(id, Revision::MAX).is_some()
                    && plain.view.catalog().entity(id, plain.ledger.head()).is_none()
            });
            let later = |id| entity(id, EntityKind::Economy, "defined later", None);
            plain.write(WriteRequest::Define(missing.map(later).collect())).unwrap();
            outcome = plain.write(plain.act(write));
        }
        let outcome = outcome.map_err(|error| TestCaseError::fail(format!("{revision}: {error}")))?;
        prop_assert!(!outcome.findings.refuse(), "{}: {:?}", revision, outcome.findings);
    }
    Ok(plain)
}

fn check(writes: Vec<Write>) -> Result<(), TestCaseError> {
    let mut store = Store::new();
    let mut copy = store.state();
    let mut history: BTreeMap<Revision, Write> = BTreeMap::new();
    for write in writes {
        let head = store.ledger.head();
        let (act, write) = match &write {
            Write::Revert(numbers) => {
                // Never the base.
                let revisions = numbers.iter().map(|at| Revision(2 + *at as u64)).filter(|revision| *revision <= head);
                let revisions: BTreeSet<Revision> = revisions.collect();
                if revisions.is_empty() {
                    continue;
                }
                (WriteRequest::Revert(revisions), None)
            }
            write => (store.act(write), Some(store.news(write))),
        };
        let result = store.write(act);
        match (&result, &write) {
            (Err(PlanError::RevertConflict { revisions }), None) => {
                prop_assert!(!revisions.is_empty());
                prop_assert!(revisions.iter().all(|revision| *revision <= head));
            }
            (Err(error), None) => return Err(TestCaseError::fail(error.to_string())),
            _ => {}
        }
        if store.ledger.head() == head {
            prop_assert_eq!(&store.state(), &copy);
            continue;
        }
        follow(&mut copy, &store.changes(store.ledger.head()))?;
        prop_assert_eq!(&store.state(), &copy);
        let figures = copy.keys().filter(|key| key.starts_with("figure")).count();
        prop_assert_eq!(store.totals.current, figures as u64);
        match write {
            // What is held already is not said by who repeats it.
            Some(Write::Define { .. } | Write::Rank { .. } | Write::Publish { .. })
                if store.changes(store.ledger.head()).is_empty() => {}
            Some(write) => drop(history.insert(store.ledger.head(), write)),
            None => {
                let plain = without(&history, &store.view.catalog())?;
                prop_assert_eq!(store.definitions(), plain.definitions());
                for number in -1..=DAYS {
                    prop_assert_eq!(store.answers(day(number)), plain.answers(day(number)), "day {}", number);
                    let expected = plain.comparisons(day(number));
                    for (edition, compared) in store.comparisons(day(number)) {
                        prop_assert_eq!(Some(&compared), expected.get(&edition), "{} on day {}", edition, number);
                    }
                }
            }
        }
    }
    // What is opened again, and what is made again from the ledger, is the same.
    let again = View::open(store.engine.clone()).unwrap();
    store.view = again;
    prop_assert_eq!(&store.state(), &copy);
    let engine = Arc::new(Engine::in_memory(MemoryDisk::default()));
    let view = View::open(engine).unwrap();
    apply::catch_up(&store.ledger, &view).unwrap();
    store.view = view;
    prop_assert_eq!(&store.state(), &copy);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn what_is_not_refused_leaves_the_history_without_what_was_taken_back(
        writes in proptest::collection::vec(any_write(), 1..20),
    ) {
        check(writes)?;
    }
}

fn upload(released: i32, whole: bool, figure: u8) -> Write {
    Write::Upload { day: released, whole, indicator: 0, figures: BTreeMap::from([((0, 0), figure)]) }
}

fn publish(released: i32, entities: &[usize]) -> Write {
    Write::Publish { edition: 0, day: released, entities: entities.iter().copied().collect(), lie_in: None }
}

/// Writes these after the base, which is revision 1.
fn store_of(writes: &[Write]) -> Store {
    let mut store = Store::new();
    for write in writes {
        let outcome = store.write(store.act(write)).unwrap();
        assert!(!outcome.findings.refuse(), "{:?}", outcome.findings);
    }
    store
}

fn revisions(numbers: &[u64]) -> BTreeSet<Revision> {
    numbers.iter().copied().map(Revision).collect()
}

fn conflicts(store: &mut Store, numbers: &[u64]) -> Vec<u64> {
    match store.write(WriteRequest::Revert(revisions(numbers))) {
        Err(PlanError::RevertConflict { revisions }) => revisions.into_iter().map(|revision| revision.0).collect(),
        Ok(_) => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_figure_of_a_mistyped_release_date_goes_and_the_right_one_is_current() {
    let mut store = store_of(&[upload(4, false, 1), upload(2, false, 2)]);
    assert!(conflicts(&mut store, &[2]).is_empty());
    let plain = store_of(&[upload(2, false, 2)]);
    for number in -1..=DAYS {
        assert_eq!(store.answers(day(number)), plain.answers(day(number)), "day {number}");
    }
    let head = store.ledger.head();
    let [Change::Figure(change)] = &store.changes(head)[..] else { panic!("one figure changes") };
    assert_eq!(change.before.as_ref().map(|row| row.revision), Some(Revision(2)));
    assert_eq!(change.after.as_ref().map(|row| row.revision), Some(Revision(3)));
    assert!(change.recorded.is_retraction());
}

#[test]
fn an_edition_of_a_mistyped_release_date_goes_and_the_right_one_stands() {
    let mut store = store_of(&[publish(1, &[0]), publish(4, &[1]), publish(2, &[0, 1])]);
    assert!(conflicts(&mut store, &[3]).is_empty());
    let plain = store_of(&[publish(1, &[0]), publish(2, &[0, 1])]);
    for number in -1..=DAYS {
        assert_eq!(store.answers(day(number)), plain.answers(day(number)), "day {number}");
    }
}

#[test]
fn who_builds_on_a_commit_is_named_until_it_is_taken_back_too() {
    let cases = [
        ("said otherwise for the same day", vec![upload(1, false, 1), upload(1, false, 2)]),
        ("confirmed by a whole release", vec![upload(1, false, 1), upload(2, true, 1)]),
        ("corrected", vec![publish(1, &[0]), publish(2, &[1])]),
    ];
    for (case, writes) in cases {
        let mut store = store_of(&writes);
        assert_eq!(conflicts(&mut store, &[2]), [3], "{case}");
        assert!(conflicts(&mut store, &[3]).is_empty(), "{case}");
        assert!(conflicts(&mut store, &[2]).is_empty(), "{case}");
        assert!(store.answers(day(DAYS)).is_empty(), "{case}");
    }
}

/// One commit alone is refused, and together with those that are named it is taken back.
fn assert_in_the_way(writes: &[Write], taken_back: u64, named: &[u64]) {
    let mut store = store_of(writes);
    assert_eq!(conflicts(&mut store, &[taken_back]), named);
    let all = [&[taken_back], named].concat();
    assert!(conflicts(&mut store, &all).is_empty());
}

fn edition(number: usize, released: i32) -> Write {
    Write::Publish { edition: number, day: released, entities: BTreeSet::from([0, 1]), lie_in: None }
}

#[test]
fn an_edition_stays_while_another_is_compared_with_it() {
    assert_in_the_way(&[edition(0, 1), edition(1, 2)], 2, &[3]);
    // Not one that was there before, nor another version of it.
    let mut store = store_of(&[edition(0, 1), edition(1, 2), publish(3, &[0])]);
    assert!(conflicts(&mut store, &[4]).is_empty());
    assert!(conflicts(&mut store, &[3]).is_empty());
    // One that comes back would have been compared with.
    let mut store = store_of(&[edition(0, 1)]);
    assert!(conflicts(&mut store, &[2]).is_empty());
    store.write(store.act(&edition(1, 2))).unwrap();
    assert_eq!(conflicts(&mut store, &[3]), [4]);
    assert!(conflicts(&mut store, &[3, 4]).is_empty());
}

#[test]
fn a_source_of_a_ranking_stays_while_an_edition_has_it_from_there() {
    assert_in_the_way(&[Write::Rank { source: 1 }, edition(0, 1)], 2, &[3]);
    let mut store = store_of(&[edition(0, 1), Write::Rank { source: 1 }]);
    assert!(conflicts(&mut store, &[3]).is_empty());
}

#[test]
fn an_economy_stays_one_while_an_entry_lies_in_it() {
    let define = |kind| Write::Define { entity: 2, kind, name: 0, related: None };
    let (other, economy) = (define(EntityKind::Cluster), define(EntityKind::Economy));
    let lying = Write::Publish { edition: 0, day: 1, entities: BTreeSet::from([0]), lie_in: Some(2) };
    assert_in_the_way(&[other.clone(), economy.clone(), lying.clone()], 3, &[4]);
    // Made another kind later, it was one when the edition was published.
    assert_in_the_way(&[other, economy, lying, define(EntityKind::World)], 3, &[4, 5]);
}

#[test]
fn a_definition_stays_while_something_uses_it() {
    let define = Write::Define { entity: 2, kind: EntityKind::Economy, name: 0, related: None };
    let figure = Write::Upload { day: 1, whole: false, indicator: 0, figures: BTreeMap::from([((2, 0), 1)]) };
    let refers = Write::Define { entity: 3, kind: EntityKind::Economy, name: 0, related: Some(2) };
    let edition = publish(1, &[2]);
    let mut store = store_of(&[define.clone(), figure, refers, edition]);
    assert_eq!(conflicts(&mut store, &[2]), [3, 4, 5]);
    let outcome = store.write(WriteRequest::Revert(revisions(&[2, 3, 4, 5]))).unwrap();
    assert_eq!(outcome.counts.definitions_removed, 2);
    assert_eq!(store.definitions(), store_of(&[]).definitions());
    // Defined anew it is there again.
    let outcome = store.write(store.act(&define)).unwrap();
    assert_eq!(outcome.counts.definitions_added, 1);
}

#[test]
fn taking_back_again_changes_nothing_and_a_revert_can_be_taken_back() {
    let mut store = store_of(&[upload(1, false, 1), upload(2, false, 2)]);
    let before = store.answers(day(DAYS));
    store.write(WriteRequest::Revert(revisions(&[3]))).unwrap();
    let outcome = store.write(WriteRequest::Revert(revisions(&[3]))).unwrap();
    assert!(!outcome.counts.any_change());
    assert!(store.changes(store.ledger.head()).is_empty());
    store.write(WriteRequest::Revert(revisions(&[4, 5]))).unwrap();
    assert_eq!(store.answers(day(DAYS)), before);
}

#[test]
fn only_revisions_that_are_there_can_be_taken_back() {
    let mut store = store_of(&[upload(1, false, 1)]);
    let above = store.write(WriteRequest::Revert(revisions(&[2, 3])));
    assert!(matches!(above, Err(PlanError::AboveHead { asked: Revision(3), head: Revision(2) })), "{above:?}");
    store.ledger.raise_floor(Revision(2)).unwrap();
    let below = store.write(WriteRequest::Revert(revisions(&[1])));
    assert!(matches!(below, Err(PlanError::BelowFloor { asked: Revision(1), floor: Revision(2) })), "{below:?}");
}
