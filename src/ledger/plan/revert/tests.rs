//! Reverts of small histories. `model` checks random ones.

mod answers;
mod history;
mod model;

use super::*;
use crate::{
    ledger::{
        plan::WriteRequest,
        testing::{TestLedger, day},
    },
    model::{catalog::EntityKind, change::Change},
};
use answers::{answers, definitions};
use history::{DAYS, EntityDraw, UploadDraw, Write, base, define, edition, publish, request, upload};

/// The base, which is revision 1, and then these writes.
fn ledger_of(writes: &[Write]) -> TestLedger {
    let mut test = TestLedger::with(base());
    for write in writes {
        test.write_whole(request(&test, write));
    }
    test
}

fn revert(numbers: &[u64]) -> WriteRequest {
    WriteRequest::Revert(numbers.iter().copied().map(Revision).collect())
}

/// Reverts commits. Returns the conflicts; none if the revert is done.
fn conflicts(test: &mut TestLedger, numbers: &[u64]) -> Vec<u64> {
    match test.write(revert(numbers)) {
        Err(PlanError::RevertConflict { revisions }) => revisions.into_iter().map(|revision| revision.0).collect(),
        Ok(_) => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

fn assert_reverts(test: &mut TestLedger, numbers: &[u64]) {
    assert_eq!(conflicts(test, numbers), [0; 0]);
}

fn assert_same_answers(test: &TestLedger, other: &TestLedger) {
    for number in -1..=DAYS {
        assert_eq!(answers(test, day(number)), answers(other, day(number)), "day {number}");
    }
}

/// Alone a commit conflicts with these, and together with them it can be taken back.
fn assert_conflicts(writes: &[Write], reverted: u64, expected: &[u64]) {
    let mut test = ledger_of(writes);
    assert_eq!(conflicts(&mut test, &[reverted]), expected);
    let all = [&[reverted], expected].concat();
    assert_reverts(&mut test, &all);
}

#[test]
fn a_figure_with_a_mistyped_release_date_goes_and_the_right_one_is_current() {
    let mut test = ledger_of(&[upload(4, false, 1), upload(2, false, 2)]);
    assert_reverts(&mut test, &[2]);
    assert_same_answers(&test, &ledger_of(&[upload(2, false, 2)]));
    let [Change::Figure(change)] = &test.changes(test.head())[..] else { panic!("one figure changes") };
    assert_eq!(change.before.as_ref().map(|row| row.revision), Some(Revision(2)));
    assert_eq!(change.after.as_ref().map(|row| row.revision), Some(Revision(3)));
    assert!(change.recorded.is_retraction());
}

#[test]
fn an_edition_with_a_mistyped_release_date_goes_and_the_right_one_stands() {
    let mut test = ledger_of(&[publish(1, &[0]), publish(4, &[1]), publish(2, &[0, 1])]);
    assert_reverts(&mut test, &[3]);
    assert_same_answers(&test, &ledger_of(&[publish(1, &[0]), publish(2, &[0, 1])]));
}

#[test]
fn a_commit_conflicts_with_a_later_one_that_builds_on_it_until_that_is_taken_back() {
    let cases = [
        ("another figure for the same day", vec![upload(1, false, 1), upload(1, false, 2)]),
        ("confirmed by a whole release", vec![upload(1, false, 1), upload(2, true, 1)]),
        ("a correction", vec![publish(1, &[0]), publish(2, &[1])]),
    ];
    for (case, writes) in cases {
        let mut test = ledger_of(&writes);
        assert_eq!(conflicts(&mut test, &[2]), [3], "{case}");
        assert!(conflicts(&mut test, &[3]).is_empty(), "{case}");
        assert!(conflicts(&mut test, &[2]).is_empty(), "{case}");
        assert!(answers(&test, day(DAYS)).is_empty(), "{case}");
    }
}

#[test]
fn an_edition_conflicts_with_one_that_is_compared_with_it() {
    assert_conflicts(&[edition(0, 1), edition(1, 2)], 2, &[3]);
}

#[test]
fn a_later_version_of_an_edition_conflicts_with_nothing_that_was_compared_before() {
    let mut test = ledger_of(&[edition(0, 1), edition(1, 2), publish(3, &[0])]);
    assert_reverts(&mut test, &[4]);
    assert_reverts(&mut test, &[3]);
}

#[test]
fn an_edition_that_comes_back_conflicts_with_one_that_would_have_been_compared_with_it() {
    let mut test = ledger_of(&[edition(0, 1)]);
    assert_reverts(&mut test, &[2]);
    test.write_whole(request(&test, &edition(1, 2)));
    assert_eq!(conflicts(&mut test, &[3]), [4]);
    assert_reverts(&mut test, &[3, 4]);
}

#[test]
fn the_source_of_a_ranking_conflicts_with_an_edition_that_took_it() {
    assert_conflicts(&[Write::Rank { source: 1 }, edition(0, 1)], 2, &[3]);
    let mut test = ledger_of(&[edition(0, 1), Write::Rank { source: 1 }]);
    assert_reverts(&mut test, &[3]);
}

#[test]
fn an_economy_conflicts_with_an_entry_that_lies_in_it() {
    let cluster = define(EntityKind::Cluster);
    let economy = define(EntityKind::Economy);
    let lying = Write::Publish { edition: 0, day: 1, entities: BTreeSet::from([0]), lie_in: Some(2) };
    assert_conflicts(&[cluster.clone(), economy.clone(), lying.clone()], 3, &[4]);
    // It was an economy when the edition was published, and became another kind later.
    assert_conflicts(&[cluster, economy, lying, define(EntityKind::World)], 3, &[4, 5]);
}

#[test]
fn a_definition_conflicts_with_all_that_uses_it() {
    let define = define(EntityKind::Economy);
    let figures = BTreeMap::from([((2, 0), 1)]);
    let figure = Write::Upload(UploadDraw { day: 1, whole: false, indicator: 0, figures });
    let refers = Write::Define(EntityDraw { entity: 3, kind: EntityKind::Economy, name: 0, lies_in: Some(2) });
    let mut test = ledger_of(&[define.clone(), figure, refers, publish(1, &[2])]);
    assert_eq!(conflicts(&mut test, &[2]), [3, 4, 5]);
    let outcome = test.write(revert(&[2, 3, 4, 5])).unwrap();
    assert_eq!(outcome.counts.definitions_removed, 2);
    assert_eq!(definitions(&test), definitions(&ledger_of(&[])));
    // Defined again it is there again.
    let outcome = test.write_whole(request(&test, &define));
    assert_eq!(outcome.counts.definitions_added, 1);
}

#[test]
fn a_second_revert_of_a_commit_changes_nothing() {
    let mut test = ledger_of(&[upload(1, false, 1), upload(2, false, 2)]);
    test.write_whole(revert(&[3]));
    let outcome = test.write_whole(revert(&[3]));
    assert!(!outcome.counts.any_change());
    assert!(test.changes(test.head()).is_empty());
}

#[test]
fn a_commit_counts_again_when_all_reverts_of_it_are_taken_back() {
    let mut test = ledger_of(&[upload(1, false, 1), upload(2, false, 2)]);
    let before = answers(&test, day(DAYS));
    test.write_whole(revert(&[3]));
    test.write_whole(revert(&[3]));
    test.write_whole(revert(&[4, 5]));
    assert_eq!(answers(&test, day(DAYS)), before);
}

#[test]
fn only_revisions_between_floor_and_head_can_be_taken_back() {
    let mut test = ledger_of(&[upload(1, false, 1)]);
    let above = test.write(revert(&[2, 3]));
    assert!(matches!(above, Err(PlanError::AboveHead { asked: Revision(3), head: Revision(2) })), "{above:?}");
    test.ledger.raise_floor(Revision(2)).unwrap();
    let below = test.write(revert(&[1]));
    assert!(matches!(below, Err(PlanError::BelowFloor { asked: Revision(1), floor: Revision(2) })), "{below:?}");
}
