//! What a ledger answers, as text by key, and a copy of the state that follows changes.

use std::{collections::BTreeMap, fmt::Debug};

use proptest::prelude::*;

use super::history::{INDICATORS, SOURCES};
use crate::{
    ledger::testing::TestLedger,
    model::{
        catalog::{Definition, DefinitionKind},
        change::Change,
        edition::EditionStatus,
        id::EditionId,
        series::{FigureVersion, Horizon, SeriesKey, by_period, state_at},
        time::Date,
    },
    store::{
        series::SeriesScope,
        view::{Access, NameKind},
    },
};

/// Rows as text, by key.
type State = BTreeMap<String, String>;

fn all_rows(test: &TestLedger) -> Vec<(SeriesKey, Vec<FigureVersion>)> {
    let mut all = Vec::new();
    for series in test.view.scan_series(SeriesScope::All, None) {
        let (ids, rows) = series.unwrap();
        all.push((test.view.series_key(ids).unwrap(), rows));
    }
    all
}

/// The state at head: whole rows, as a subscriber's copy has them.
pub(super) fn state(test: &TestLedger) -> State {
    let mut state = State::new();
    let head = test.head();
    for (key, rows) in all_rows(test) {
        for row in by_period(&rows).filter_map(|rows| state_at(rows, Horizon::at(head))) {
            state.insert(format!("figure {key:?} {}", row.period), format!("{row:?}"));
        }
    }
    for definition in definitions(test) {
        let key = format!("definition {:?} {}", definition.kind(), definition.id());
        state.insert(key, format!("{definition:?}"));
    }
    let catalog = test.view.catalog();
    for edition in catalog.all_editions(Horizon::at(head)).filter(|edition| edition.stands()) {
        state.insert(format!("edition {}", edition.edition), format!("{edition:?}"));
        for entry in &test.view.table(edition).unwrap().entries {
            state.insert(format!("entry {} {}", edition.edition, entry.entity), format!("{entry:?}"));
        }
    }
    state
}

/// The answers on a release date, without the revisions that brought them.
pub(super) fn answers(test: &TestLedger, released: Date) -> State {
    let mut answers = State::new();
    let horizon = Horizon { revision: test.head(), released };
    for (key, rows) in all_rows(test) {
        for row in by_period(&rows).filter_map(|rows| state_at(rows, horizon)) {
            let answer = format!("{:?} {:?}", row.released, row.statement);
            answers.insert(format!("figure {key:?} {}", row.period), answer);
        }
    }
    for edition in test.view.catalog().all_editions(horizon) {
        let table = test.view.table(edition).unwrap();
        let source = edition.source.as_ref().filter(|_| edition.stands());
        let answer = format!("{:?} {:?} {source:?} {:?}", edition.stands(), edition.effective_day(), table.entries);
        answers.insert(format!("edition {}", edition.edition), answer);
    }
    for indicator in INDICATORS {
        let Some(number) = test.view.number(NameKind::Indicator, indicator) else { continue };
        let Some(source) = test.view.number(NameKind::Source, SOURCES[0]) else { continue };
        if let Some(release) = test.view.newest_full_release((number, source), horizon, Access::Disk).unwrap() {
            answers.insert(format!("whole release {indicator}"), format!("{release:?}"));
        }
    }
    answers
}

/// The edition that each edition is compared with; corrections apart.
pub(super) fn comparisons(test: &TestLedger, released: Date) -> BTreeMap<EditionId, Option<EditionId>> {
    let mut comparisons = BTreeMap::new();
    for edition in test.view.catalog().all_editions(Horizon { revision: test.head(), released }) {
        if edition.status == EditionStatus::Published {
            comparisons.insert(edition.edition.clone(), edition.compared_with.clone());
        }
    }
    comparisons
}

pub(super) fn definitions(test: &TestLedger) -> Vec<Definition> {
    let catalog = test.view.catalog();
    let mut definitions = Vec::new();
    for kind in DefinitionKind::ALL {
        definitions.extend(catalog.definitions(kind, "", test.head()).map(|definition| definition.as_ref().clone()));
    }
    definitions
}

/// Brings a copy up to a commit. The copy must have what each change says was there before.
pub(super) fn follow(copy: &mut State, changes: &[Change]) -> Result<(), TestCaseError> {
    for change in changes {
        match change {
            Change::Figure(change) => {
                let key = format!("figure {:?} {}", change.series, change.period);
                put(copy, key, text(change.before.as_ref()), text(change.after.as_ref()))?;
            }
            Change::Definition(change) => {
                let (kind, id) = change.name().unwrap();
                let key = format!("definition {kind:?} {id}");
                put(copy, key, text(change.before.as_ref()), text(change.after.as_ref()))?;
            }
            Change::Edition { before, after, .. } => {
                let standing = Some(after).filter(|after| after.stands());
                put(copy, format!("edition {}", after.edition), text(before.as_ref()), text(standing))?;
            }
            Change::Entry(change) => {
                let key = format!("entry {} {}", change.edition, change.entity);
                put(copy, key, text(change.before.as_ref()), text(change.after.as_ref()))?;
            }
        }
    }
    Ok(())
}

fn text<T: Debug>(row: Option<&T>) -> Option<String> {
    row.map(|row| format!("{row:?}"))
}

fn put(copy: &mut State, key: String, before: Option<String>, after: Option<String>) -> Result<(), TestCaseError> {
    prop_assert_eq!(copy.get(&key), before.as_ref(), "before {}", key);
    match after {
        Some(after) => copy.insert(key, after),
        None => copy.remove(&key),
    };
    Ok(())
}
