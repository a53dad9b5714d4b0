//! Editions in any order and with any ids, corrections with any release dates, withdrawals, publications after them, against a
//! plain list of versions.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use almanac::{
    ledger::plan::WriteRequest,
    model::{
        change::Cause,
        edition::Table,
        id::{EditionId, RankingId, Revision, SourceId},
        series::Horizon,
    },
    query::AsOf,
};
use proptest::{prelude::*, test_runner::TestRunner};

use super::{Store, TODAY, correct, day, publish, ranking, table, withdraw};

/// In ascending natural order, which is not that of text.
const IDS: [&str; 4] = ["9", "10", "a2", "a10"];

const DAYS: i32 = 6;

const WRITES_MAX: usize = 9;

/// A write of the model: publishes an edition that is not published, else corrects or withdraws it.
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

/// A version of an edition in the plain list.
#[derive(Debug, Clone)]
struct Version {
    id: usize,
    revision: u64,
    /// The release day that the producer gave.
    released: i32,
    /// The first day on which it answers.
    from: i32,
    withdrawn: bool,
    title: String,
    source: &'static str,
    /// The note of its entry.
    note: String,
}

impl Version {
    fn of(step: &Step, revision: Revision, from: i32, text: Text) -> Self {
        let Text { title, source, note } = text;
        Self { id: step.id, revision: revision.0, released: step.day, from, withdrawn: false, title, source, note }
    }
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

/// When the published edition was first released since its last withdrawal.
fn first_released(versions: &[Version], id: usize, revision: u64, day: i32) -> Option<i32> {
    let known = admitted(versions, id, revision, day);
    known.iter().rev().take_while(|version| !version.withdrawn).map(|version| version.released).min()
}

/// The editions that are published, by the order of their first release.
fn in_order(versions: &[Version], revision: u64, day: i32) -> Vec<usize> {
    let mut published = Vec::new();
    for id in 0..IDS.len() {
        if let Some(released) = first_released(versions, id, revision, day) {
            published.push((released, id));
        }
    }
    published.sort_unstable();
    published.into_iter().map(|(_, id)| id).collect()
}

/// A ranking in the store, and the plain list of the versions of its editions.
struct ModelRanking<'a> {
    store: &'a Store,
    name: String,
    versions: Vec<Version>,
    /// How often each kind of write happened, in all rankings.
    reached: &'a mut BTreeMap<&'static str, usize>,
}

/// What a step writes, before the store answers.
struct Text {
    title: String,
    source: &'static str,
    note: String,
}

impl Text {
    /// The text of a new table, or of one that changes the published version in one thing.
    fn of(number: usize, step: &Step, published: Option<&Version>) -> Self {
        let new = format!("write {number}");
        let Some(published) = published.filter(|_| step.corrects != Corrects::Entry) else {
            return Self { title: String::new(), source: "s", note: new };
        };
        let mut text = Self { title: published.title.clone(), source: published.source, note: published.note.clone() };
        match step.corrects {
            Corrects::Source => text.source = if published.source == "s" { "t" } else { "s" },
            Corrects::Date if step.day > published.released => {}
            _ => text.title.clone_from(&new),
        }
        // A version of an older day must differ from the others of that day.
        if step.day < published.released {
            text.title = new;
        }
        text
    }
}

impl ModelRanking<'_> {
    fn reach(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }

    /// Writes a step to the store and to the list.
    fn write(&mut self, number: usize, step: &Step) -> Result<(), TestCaseError> {
        let last = answers(&self.versions, step.id, u64::MAX, i32::MAX).cloned();
        let published = last.clone().filter(|last| !last.withdrawn);
        let text = Text::of(number, step, published.as_ref());
        let version = match (published, step.withdraws) {
            (Some(published), true) => self.withdraw(step, published, text),
            (None, true) => return Ok(()),
            (Some(published), false) => self.correct(step, &published, text)?,
            (None, false) => self.publish(step, last.as_ref(), text)?,
        };
        self.versions.push(version);
        Ok(())
    }

    fn table(&self, step: &Step, text: &Text) -> Table {
        let mut table = table(&self.name, IDS[step.id], step.day, &text.note);
        table.edition.title.clone_from(&text.title);
        table.edition.source = Some(SourceId::new(text.source).unwrap());
        table
    }

    fn withdraw(&mut self, step: &Step, published: Version, text: Text) -> Version {
        let day = step.names_day.then_some(step.day.max(published.from));
        self.reach("withdrawn");
        let written = self.store.write(withdraw(&self.name, IDS[step.id], day)).unwrap();
        Version {
            revision: written.revision.0,
            from: day.unwrap_or(TODAY).max(published.from),
            withdrawn: true,
            note: text.note,
            ..published
        }
    }

    fn correct(&mut self, step: &Step, published: &Version, text: Text) -> Result<Version, TestCaseError> {
        let written = self.store.write(correct(self.table(step, &text))).unwrap();
        prop_assert_eq!(self.store.cause(&written), Cause::Correction, "{:?} after {:?}", step, published);
        if text.note == published.note {
            self.reach("corrected but for its entries");
        }
        let mut from = step.day.max(published.from);
        if step.day < published.released {
            self.reach("filled in behind");
            prop_assert_eq!(written.counts.backfilled, 1);
            from = step.day;
        }
        Ok(Version::of(step, written.revision, from, text))
    }

    fn publish(&mut self, step: &Step, last: Option<&Version>, text: Text) -> Result<Version, TestCaseError> {
        let mut compared = None;
        for other in in_order(&self.versions, u64::MAX, i32::MAX) {
            let released = first_released(&self.versions, other, u64::MAX, i32::MAX).unwrap();
            if (released, other) < (step.day, step.id) {
                compared = Some(EditionId::new(IDS[other]).unwrap());
            }
        }
        let written = self.store.write(publish(self.table(step, &text))).unwrap();
        prop_assert_eq!(&written.edition.as_ref().unwrap().compared_with, &compared);
        let from = last.map_or(step.day, |withdrawal| step.day.max(withdrawal.from));
        if last.is_some() {
            self.reach("published again");
        }
        Ok(Version::of(step, written.revision, from, text))
    }

    /// Compares what the store answers with the list.
    fn check(&self, revision: u64, number: i32) -> Result<(), TestCaseError> {
        let horizon = Horizon { revision: Revision(revision), released: day(number) };
        let snapshot = self.store.reader.at(AsOf::Pinned(horizon)).unwrap();
        let ranking = RankingId::new(&self.name).unwrap();
        let point = format!("revision {revision} and day {number} of {:#?}", self.versions);
        for (id, text) in IDS.iter().enumerate() {
            let found = snapshot.catalog.edition(&ranking, &EditionId::new(text).unwrap(), horizon);
            let expected = answers(&self.versions, id, revision, number);
            prop_assert_eq!(
                found.map(|found| {
                    let source = found.source.as_ref().map_or("", SourceId::as_str);
                    (found.revision.0, !found.stands(), found.title.as_str(), source)
                }),
                expected.map(|version| (version.revision, version.withdrawn, version.title.as_str(), version.source)),
                "{} at {}",
                text,
                point
            );
            if let Some(found) = found {
                let table = snapshot.view().table(found).unwrap();
                prop_assert_eq!(table.entries.len(), usize::from(found.stands()));
                let expected = expected.filter(|version| !version.withdrawn).map(|version| &version.note);
                prop_assert_eq!(table.entries.first().map(|entry| &entry.note), expected);
            }
        }
        let order: Vec<String> =
            in_order(&self.versions, revision, number).into_iter().map(|id| IDS[id].to_owned()).collect();
        let newest = snapshot.catalog.newest_edition(&ranking, horizon);
        prop_assert_eq!(newest.map(|edition| edition.edition.to_string()), order.last().cloned(), "at {}", point);
        let listed = snapshot.catalog.editions(&ranking, horizon).into_iter();
        let listed: Vec<String> =
            listed.filter(|edition| edition.stands()).map(|edition| edition.edition.to_string()).collect();
        prop_assert_eq!(listed, order);
        Ok(())
    }
}

#[test]
fn editions_loaded_in_any_order_answer_as_a_plain_list_of_their_versions_does() {
    let store = Store::new();
    let cases = Cell::new(0);
    let reached = RefCell::new(BTreeMap::new());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    TestRunner::new(config)
        .run(&any_steps(), |steps| {
            cases.set(cases.get() + 1);
            let name = format!("r{}", cases.get());
            store.write(WriteRequest::Define(vec![ranking(&name)])).unwrap();
            let mut reached = reached.borrow_mut();
            let mut model = ModelRanking { store: &store, name, versions: Vec::new(), reached: &mut reached };
            for (number, step) in steps.iter().enumerate() {
                model.write(number, step)?;
            }
            for version in &model.versions {
                for day in (0..DAYS).chain([1_000]) {
                    model.check(version.revision, day)?;
                }
            }
            Ok(())
        })
        .unwrap();
    println!("{} cases: {reached:?}", cases.get());
    assert_eq!(reached.borrow().len(), 4, "the dice left something out");
}
