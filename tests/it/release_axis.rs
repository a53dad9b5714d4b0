//! Editions on both axes of knowing, against a plain model: editions in any order and with any ids, corrections with any
//! release dates, withdrawals, publications after them. Then the changes and causes of such writes, and definitions that
//! travel in a write.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use almanac::{
    ledger::{
        Ledger, WriteAnswer, WriteError, WriteOptions, Writer,
        apply::catch_up,
        plan::WriteRequest,
        upload::{Mode, Upload},
        writer::Setup,
    },
    model::{
        catalog::{self, Definition, DefinitionKind},
        change::{Cause, Change},
        edition::{Basis, Coverage, CoverageKind, Edition, EditionStatus, Entry, Table},
        id::{EditionId, EntityId, IndicatorId, MethodologyId, RankingId, Revision, SourceId},
        period::Period,
        series::{Dimensions, Horizon, SeriesKey},
        time::{Clock, Date, Instant},
        value::{Number, Value},
    },
    query::{AsOf, Reader},
    store::{Engine, view::View},
};
use proptest::{prelude::*, test_runner::TestRunner};

/// In ascending natural order, which is not that of text.
const IDS: [&str; 4] = ["9", "10", "a2", "a10"];
const DAYS: i32 = 6;
/// The clock stands at this day: a withdrawal without a day is of this one.
const TODAY: i32 = 4;
const WRITES_MAX: usize = 9;

fn day(number: i32) -> Date {
    Date::from_days(20_000 + number).unwrap()
}

struct Store {
    _folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    writer: Writer,
    reader: Reader,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Arc::new(Engine::open(folder.path()).unwrap());
        let ledger = Arc::new(Ledger::open(engine.clone()).unwrap());
        let view = Arc::new(View::open(engine).unwrap());
        catch_up(ledger.as_ref(), &view).unwrap();
        let reader = Reader::new(ledger.clone(), view.clone());
        let clock = Clock::from_fn(|| Instant(i64::from(20_000 + TODAY) * 86_400_000_000 + 7));
        let setup = Setup { clock, ..Setup::default() };
        let writer = Writer::start(ledger, view, setup, |_| {}).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = Self { _folder: folder, runtime, writer, reader };
        store.write(WriteRequest::Define(vec![source("s"), source("t"), entity("AAA"), entity("BBB")])).unwrap();
        store
    }

    fn write(&self, act: WriteRequest) -> Result<WriteAnswer, WriteError> {
        self.runtime.block_on(self.writer.write(WriteOptions::default(), act))
    }

    fn validate(&self, act: WriteRequest) -> WriteAnswer {
        let options = WriteOptions { validate_only: true, ..WriteOptions::default() };
        self.runtime.block_on(self.writer.write(options, act)).unwrap()
    }

    fn cause(&self, written: &WriteAnswer) -> Cause {
        self.reader.commit(written.revision).unwrap().cause
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.writer.stop();
    }
}

fn source(id: &str) -> Definition {
    Definition::Source(catalog::Source {
        id: SourceId::new(id).unwrap(),
        producer: id.into(),
        title: String::new(),
        published: None,
        url: String::new(),
        licence: String::new(),
        redistribution: catalog::Redistribution::Allowed,
        precedence: 0,
    })
}

fn entity(id: &str) -> Definition {
    coded(id, catalog::EntityKind::Economy, &[])
}

fn coded(id: &str, kind: catalog::EntityKind, codes: &[(&str, &str)]) -> Definition {
    Definition::Entity(catalog::Entity {
        id: EntityId::new(id).unwrap(),
        kind,
        name: id.into(),
        codes: codes.iter().map(|(scheme, code)| ((*scheme).to_owned(), (*code).to_owned())).collect(),
        names: Vec::new(),
        relations: Vec::new(),
    })
}

fn ranking(id: &str) -> Definition {
    Definition::Ranking(catalog::Ranking {
        id: RankingId::new(id).unwrap(),
        name: id.into(),
        subject: catalog::EntityKind::Economy,
        source: SourceId::new("s").unwrap(),
        description: String::new(),
    })
}

fn methodology(description: &str) -> Definition {
    Definition::Methodology(catalog::Methodology {
        id: MethodologyId::new("m").unwrap(),
        description: description.into(),
        components: Vec::new(),
        aggregation: catalog::Aggregation::NotPublished,
    })
}

/// One entry, of which the note tells versions apart.
fn table(ranking: &str, id: &str, released: i32, note: &str) -> Table {
    let edition = Edition {
        ranking: RankingId::new(ranking).unwrap(),
        edition: EditionId::new(id).unwrap(),
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
    let entry = Entry {
        entity: EntityId::new("AAA").unwrap(),
        published_name: "A".into(),
        economies: Vec::new(),
        rank: Some(1),
        tied: false,
        score: None,
        components: Vec::new(),
        previous: Vec::new(),
        disputed: Vec::new(),
        note: note.into(),
    };
    Table { edition, entries: vec![entry] }
}

fn publish(table: Table) -> WriteRequest {
    WriteRequest::Publish { table, correction: false, definitions: Vec::new() }
}

fn correct(table: Table) -> WriteRequest {
    WriteRequest::Publish { table, correction: true, definitions: Vec::new() }
}

fn withdraw(ranking: &str, id: &str, released: Option<i32>) -> WriteRequest {
    let (ranking, edition) = (RankingId::new(ranking).unwrap(), EditionId::new(id).unwrap());
    WriteRequest::Withdraw { ranking, edition, released: released.map(day) }
}

/// A write of the model: an edition is published if it does not stand, else corrected or withdrawn.
#[derive(Debug, Clone)]
struct Step {
    id: usize,
    day: i32,
    withdraws: bool,
    names_day: bool,
    /// What a correction changes.
    corrects: Corrects,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Corrects {
    Entry,
    Title,
    Source,
    /// The date alone, where it is a later one; else the title.
    Date,
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let corrects = prop::sample::select(&[Corrects::Entry, Corrects::Title, Corrects::Source, Corrects::Date][..]);
    let step = (0..IDS.len(), 0..DAYS, prop::bool::weighted(0.3), any::<bool>(), corrects);
    let step =
        step.prop_map(|(id, day, withdraws, names_day, corrects)| Step { id, day, withdraws, names_day, corrects });
    prop::collection::vec(step, 1..=WRITES_MAX)
}

/// A version of an edition, as the model keeps it.
#[derive(Debug, Clone)]
struct Version {
    id: usize,
    revision: u64,
    /// As the producer said.
    released: i32,
    /// From which day on it answers.
    from: i32,
    withdrawn: bool,
    title: String,
    source: &'static str,
    /// Of its entry.
    note: String,
}

fn admitted(versions: &[Version], id: usize, revision: u64, day: i32) -> Vec<&Version> {
    let mut known: Vec<&Version> = versions
        .iter()
        .filter(|version| version.id == id && version.revision <= revision && version.from <= day)
        .collect();
    known.sort_by_key(|version| (version.from, version.revision));
    known
}

fn answers(versions: &[Version], id: usize, revision: u64, day: i32) -> Option<&Version> {
    admitted(versions, id, revision, day).pop()
}

/// When the edition that stands was first released, after it was last withdrawn.
fn first_released(versions: &[Version], id: usize, revision: u64, day: i32) -> Option<i32> {
    let known = admitted(versions, id, revision, day);
    known.iter().rev().take_while(|version| !version.withdrawn).map(|version| version.released).min()
}

fn newest(versions: &[Version], revision: u64, day: i32) -> Vec<usize> {
    let released = |id| first_released(versions, id, revision, day);
    let mut standing: Vec<(i32, usize)> = (0..IDS.len()).filter_map(|id| Some((released(id)?, id))).collect();
    standing.sort_unstable();
    standing.into_iter().map(|(_, id)| id).collect()
}

#[test]
fn editions_loaded_in_any_order_answer_as_a_plain_list_of_their_versions_does() {
    let store = Store::new();
    let cases = Cell::new(0);
    // What the dice must not leave out.
    let reached = RefCell::new(std::collections::BTreeMap::<&str, usize>::new());
    let reach = |what| *reached.borrow_mut().entry(what).or_default() += 1;
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    TestRunner::new(config)
        .run(&any_steps(), |steps| {
            cases.set(cases.get() + 1);
            let name = format!("r{}", cases.get());
            store.write(WriteRequest::Define(vec![ranking(&name)])).unwrap();
            let mut versions: Vec<Version> = Vec::new();
            for (number, step) in steps.iter().enumerate() {
                let id = IDS[step.id];
                let last = answers(&versions, step.id, u64::MAX, i32::MAX).cloned();
                let standing = last.as_ref().filter(|last| !last.withdrawn);
                let (mut title, mut source, mut note) = (String::new(), "s", format!("write {number}"));
                if let Some(standing) = standing.filter(|_| step.corrects != Corrects::Entry) {
                    (title, source, note) = (standing.title.clone(), standing.source, standing.note.clone());
                    match step.corrects {
                        Corrects::Source => source = if source == "s" { "t" } else { "s" },
                        Corrects::Date if step.day > standing.released => {}
                        _ => title = format!("write {number}"),
                    }
                    // An older one must differ from those filled in before it.
                    if step.day < standing.released {
                        title = format!("write {number}");
                    }
                }
                let mut table = table(&name, id, step.day, &note);
                table.edition.title.clone_from(&title);
                table.edition.source = Some(SourceId::new(source).unwrap());
                let (from, withdrawn, written) = match (standing, step.withdraws) {
                    (Some(standing), true) => {
                        let named = step.names_day.then_some(step.day.max(standing.from));
                        reach("withdrawn");
                        let written = store.write(withdraw(&name, id, named)).unwrap();
                        (named.unwrap_or(TODAY).max(standing.from), true, written)
                    }
                    (None, true) => continue,
                    (Some(standing), false) => {
                        let written = store.write(correct(table)).unwrap();
                        prop_assert_eq!(store.cause(&written), Cause::Correction, "{:?} after {:?}", step, standing);
                        if note == standing.note {
                            reach("corrected but for its entries");
                        }
                        if step.day < standing.released {
                            reach("filled in behind");
                            prop_assert_eq!(written.counts.backfilled, 1);
                            (step.day, false, written)
                        } else {
                            (step.day.max(standing.from), false, written)
                        }
                    }
                    (None, false) => {
                        let compared = newest(&versions, u64::MAX, i32::MAX)
                            .into_iter()
                            .rfind(|other| {
                                let released = first_released(&versions, *other, u64::MAX, i32::MAX).unwrap();
                                (released, *other) < (step.day, step.id)
                            })
                            .map(|other| EditionId::new(IDS[other]).unwrap());
                        let written = store.write(publish(table)).unwrap();
                        prop_assert_eq!(&written.edition.as_ref().unwrap().compared_with, &compared);
                        let from = last.as_ref().map_or(step.day, |withdrawal| step.day.max(withdrawal.from));
                        if last.is_some() {
                            reach("published again");
                        }
                        (from, false, written)
                    }
                };
                let released = if withdrawn { standing.unwrap().released } else { step.day };
                if withdrawn {
                    (title, source) = standing.map(|standing| (standing.title.clone(), standing.source)).unwrap();
                }
                let revision = written.revision.0;
                let id = step.id;
                versions.push(Version { id, revision, released, from, withdrawn, title, source, note });
            }
            for revision in versions.iter().map(|version| version.revision) {
                for number in (0..DAYS).chain([1_000]) {
                    let horizon = Horizon { revision: Revision(revision), released: day(number) };
                    let snapshot = store.reader.at(AsOf::Pinned(horizon)).unwrap();
                    let ranking = RankingId::new(&name).unwrap();
                    for (id, text) in IDS.iter().enumerate() {
                        let edition = EditionId::new(text).unwrap();
                        let found = snapshot.catalog.edition(&ranking, &edition, horizon);
                        let expected = answers(&versions, id, revision, number);
                        prop_assert_eq!(
                            found.map(|found| {
                                let source = found.source.as_ref().map_or("", SourceId::as_str);
                                (found.revision.0, !found.stands(), found.title.as_str(), source)
                            }),
                            expected.map(|version| {
                                (version.revision, version.withdrawn, version.title.as_str(), version.source)
                            }),
                            "{} at revision {} and day {} of {:#?}",
                            text,
                            revision,
                            number,
                            versions
                        );
                        if let Some(found) = found {
                            let table = snapshot.view().table(found).unwrap();
                            prop_assert_eq!(table.entries.len(), usize::from(found.stands()));
                            let expected = expected.filter(|version| !version.withdrawn).map(|version| &version.note);
                            prop_assert_eq!(table.entries.first().map(|entry| &entry.note), expected);
                        }
                    }
                    let order = newest(&versions, revision, number);
                    let found = snapshot.catalog.newest_edition(&ranking, horizon);
                    prop_assert_eq!(
                        found.map(|edition| edition.edition.to_string()),
                        order.last().map(|id| IDS[*id].to_owned()),
                        "newest at revision {} and day {} of {:#?}",
                        revision,
                        number,
                        versions
                    );
                    let listed = snapshot.catalog.editions(&ranking, horizon).into_iter();
                    let listed: Vec<String> =
                        listed.filter(|edition| edition.stands()).map(|edition| edition.edition.to_string()).collect();
                    prop_assert_eq!(listed, order.iter().map(|id| IDS[*id].to_owned()).collect::<Vec<_>>());
                }
            }
            Ok(())
        })
        .unwrap();
    println!("{} cases: {reached:?}", cases.get());
    assert_eq!(reached.borrow().len(), 4, "the dice left something out");
}

#[test]
fn an_older_release_changes_nothing_that_is_current_and_says_so() {
    let store = Store::new();
    store.write(WriteRequest::Define(vec![ranking("r")])).unwrap();
    store.write(publish(table("r", "1", 2, "second"))).unwrap();
    let older = || correct(table("r", "1", 1, "first"));
    let checked = store.validate(older());
    let [(0, Change::Edition { before, after, backfilled })] = &checked.difference[..] else {
        panic!("{:?}", checked.difference)
    };
    assert_eq!(before.as_ref(), Some(after));
    assert_eq!(after.released, day(2));
    assert_eq!(backfilled.as_ref().unwrap().released, day(1));
    let written = store.write(older()).unwrap();
    assert_eq!((written.changes, written.counts), (checked.changes, checked.counts));
    assert_eq!((written.changes, written.counts.backfilled), (1, 1));
    assert_eq!(written.edition.as_ref().unwrap().released, day(2));
    assert_eq!(written.findings[0].code, "OLDER_RELEASE");
    assert_eq!(store.cause(&written), Cause::Correction);
    let again = store.write(older()).unwrap();
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

#[test]
fn definitions_travel_in_the_write_and_a_refused_one_leaves_none() {
    let store = Store::new();
    let needed = || vec![ranking("r"), methodology("first"), entity("CCC")];
    let act = |entity: &str| {
        let mut table = table("r", "1", 1, "");
        table.entries[0].entity = EntityId::new(entity).unwrap();
        table.edition.methodology = "m".into();
        WriteRequest::Publish { table, correction: false, definitions: needed() }
    };
    let head = store.reader.head();
    assert!(matches!(store.write(act("DDD")), Err(WriteError::Refused { .. })));
    assert_eq!(store.reader.head(), head);
    assert_eq!(store.reader.view().catalog().count(DefinitionKind::Ranking, Revision::MAX), 0);
    let checked = store.validate(act("CCC"));
    let written = store.write(act("CCC")).unwrap();
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
    let mut upload = Upload::new(day(1), Mode::Merge, std::collections::BTreeSet::new(), folder.path());
    let value = Value::number(Number::parse("1").unwrap());
    upload.add(key, vec![(Period::year(2020).unwrap(), Some(value))]).unwrap();
    let definition = Definition::Indicator(catalog::Indicator {
        id: indicator,
        name: "i".into(),
        unit: String::new(),
        direction: catalog::Direction::NotStated,
        default_decimals: 0,
        definition: String::new(),
        frequency: catalog::Frequency::Annual,
        licence: String::new(),
        timing: catalog::Timing::Flow,
    });
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

#[test]
fn a_code_names_one_entity() {
    let economy = |id, code| coded(id, catalog::EntityKind::Economy, &[("iso", code)]);
    let store = Store::new();
    store.write(WriteRequest::Define(vec![economy("AAA", "A"), economy("BBB", "B")])).unwrap();
    let twice = coded("CCC", catalog::EntityKind::Economy, &[("iso", "C"), ("iso", "C")]);
    for definitions in [vec![economy("CCC", "A")], vec![economy("CCC", "C"), economy("DDD", "C")], vec![twice]] {
        assert_eq!(refused_for(store.write(WriteRequest::Define(definitions))), ["DUPLICATE_CODE"]);
    }
    store.write(WriteRequest::Define(vec![economy("AAA", "B"), economy("BBB", "A")])).unwrap();
}
