//! Random histories against a model: the same history without the commits that do not count, written again commit by
//! commit into a second ledger. Both must answer alike at every release date.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::{
    super::*,
    answers::{answers, comparisons, definitions, follow, state},
    history::{DAYS, ENTITIES, EntityDraw, UploadDraw, Write, any_write, base, entity, new_part, request},
};
use crate::{
    ledger::{
        apply,
        plan::{Outcome, WriteRequest},
        testing::{TestLedger, day},
    },
    model::catalog::EntityKind,
    store::{Engine, memory::MemoryDisk, view::View},
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_revert_that_is_not_refused_leaves_the_history_without_the_reverted_commits(
        writes in proptest::collection::vec(any_write(), 1..20),
    ) {
        check(writes)?;
    }
}

fn check(writes: Vec<Write>) -> Result<(), TestCaseError> {
    let mut test = TestLedger::with(base());
    let mut copy = state(&test);
    let mut history: BTreeMap<Revision, Write> = BTreeMap::new();
    for write in writes {
        let head = test.head();
        let request = request(&test, &write);
        if matches!(&request, WriteRequest::Revert(revisions) if revisions.is_empty()) {
            continue;
        }
        let new = new_part(&test, &write);
        let result = test.write(request);
        if matches!(write, Write::Revert(_)) {
            check_refusal(&result, head)?;
        }
        if test.head() == head {
            prop_assert_eq!(&state(&test), &copy);
            continue;
        }
        let changes = test.changes(test.head());
        follow(&mut copy, &changes)?;
        prop_assert_eq!(&state(&test), &copy);
        let figures = copy.keys().filter(|key| key.starts_with("figure")).count();
        prop_assert_eq!(test.totals.current, figures as u64);
        match write {
            Write::Revert(_) => check_against_model(&test, &history)?,
            // Who repeats a definition or an edition adds nothing.
            Write::Define(_) | Write::Rank { .. } | Write::Publish { .. } if changes.is_empty() => {}
            _ => drop(history.insert(test.head(), new)),
        }
    }
    check_rebuilt(&mut test, &copy)
}

/// A revert is refused only for commits that are there.
fn check_refusal(result: &Result<Outcome, PlanError>, head: Revision) -> Result<(), TestCaseError> {
    match result {
        Err(PlanError::RevertConflict { revisions }) => {
            prop_assert!(!revisions.is_empty());
            prop_assert!(revisions.iter().all(|revision| *revision <= head));
        }
        Err(error) => return Err(TestCaseError::fail(error.to_string())),
        Ok(_) => {}
    }
    Ok(())
}

fn check_against_model(test: &TestLedger, history: &BTreeMap<Revision, Write>) -> Result<(), TestCaseError> {
    let model = without_reverted(history, &test.view.catalog())?;
    prop_assert_eq!(definitions(test), definitions(&model));
    for number in -1..=DAYS {
        prop_assert_eq!(answers(test, day(number)), answers(&model, day(number)), "day {}", number);
        let expected = comparisons(&model, day(number));
        for (edition, compared) in comparisons(test, day(number)) {
            prop_assert_eq!(Some(&compared), expected.get(&edition), "{} on day {}", edition, number);
        }
    }
    Ok(())
}

/// The view has the same state when it is opened again, and when it is made again from the ledger.
fn check_rebuilt(test: &mut TestLedger, copy: &BTreeMap<String, String>) -> Result<(), TestCaseError> {
    test.view = View::open(test.engine.clone()).unwrap();
    prop_assert_eq!(&state(test), copy);
    test.view = View::open(Arc::new(Engine::in_memory(MemoryDisk::default()))).unwrap();
    apply::catch_up(&test.ledger, &test.view).unwrap();
    prop_assert_eq!(&state(test), copy);
    Ok(())
}

/// The history without the commits that do not count, in a ledger of its own.
fn without_reverted(history: &BTreeMap<Revision, Write>, catalog: &Catalog) -> Result<TestLedger, TestCaseError> {
    let mut model = TestLedger::with(base());
    for (revision, write) in history {
        let is_empty = matches!(write, Write::Upload(UploadDraw { whole: false, figures, .. }) if figures.is_empty());
        if is_empty || catalog.reverts().is_reverted(*revision, Revision::MAX) {
            continue;
        }
        let outcome = write_to_model(&mut model, write, catalog);
        let outcome = outcome.map_err(|error| TestCaseError::fail(format!("{revision}: {error}")))?;
        prop_assert!(!outcome.findings.refuse(), "{}: {:?}", revision, outcome.findings);
    }
    Ok(model)
}

/// Writes to the model. In the real history a commit could use definitions that the model does not have, in two ways.
fn write_to_model(model: &mut TestLedger, write: &Write, catalog: &Catalog) -> Result<Outcome, PlanError> {
    let mut outcome = model.write(request(model, write))?;
    // A definition that was replaced later may have referred to an entity that is taken back now.
    if let Write::Define(draw) = write
        && outcome.findings.refuse()
    {
        let without_reference = Write::Define(EntityDraw { lies_in: None, ..draw.clone() });
        outcome = model.write(request(model, &without_reference))?;
    }
    // A commit that counts again may use an entity that was defined again after it.
    if outcome.findings.refuse() {
        let mut defined_later = Vec::new();
        for id in ENTITIES {
            let is_missing = model.view.catalog().entity(id, model.head()).is_none();
            if is_missing && catalog.entity(id, Revision::MAX).is_some() {
                defined_later.push(entity(id, EntityKind::Economy, "defined later", None));
            }
        }
        model.write_whole(WriteRequest::Define(defined_later));
        outcome = model.write(request(model, write))?;
    }
    Ok(outcome)
}
