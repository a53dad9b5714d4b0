//! Editions and their entries that are refused.

use almanac::proto::*;
use tonic::Code;

use super::{UntouchedServer, double};
use crate::support::{fixture::*, publication};

/// A table of four entries that is wrong in one thing.
struct TableCase {
    /// A part of the message.
    message: &'static str,
    change: fn(&mut Vec<Entry>),
    reason: &'static str,
    field: &'static str,
}

const TABLE_CASES: [TableCase; 12] = [
    TableCase { message: "EMPTY_EDITION", change: |all| all.clear(), reason: "FINDINGS", field: "entries" },
    TableCase {
        message: "DUPLICATE_RANK",
        change: |all| all[2].rank = Some(2),
        reason: "FINDINGS",
        field: "entries[cluster:02].rank",
    },
    TableCase {
        message: "DUPLICATE_RANK",
        change: |all| {
            all[2].rank = Some(2);
            all[2].tied = true;
        },
        reason: "FINDINGS",
        field: "entries[cluster:02].rank",
    },
    TableCase {
        message: "RANK_GAP",
        change: |all| all[3].rank = Some(5),
        reason: "FINDINGS",
        field: "entries[cluster:04].rank",
    },
    TableCase {
        message: "RANK_GAP",
        change: |all| drop(all.remove(0)),
        reason: "FINDINGS",
        field: "entries[cluster:02].rank",
    },
    TableCase {
        message: "MISSING_RANK",
        change: |all| all[3].rank = None,
        reason: "FINDINGS",
        field: "entries[cluster:04].rank",
    },
    TableCase {
        message: "BAD_RANK",
        change: |all| all[0].rank = Some(0),
        reason: "FINDINGS",
        field: "entries[cluster:01].rank",
    },
    TableCase {
        message: "DUPLICATE_ENTITY",
        change: |all| all[3].entity = cluster(1),
        reason: "FINDINGS",
        field: "entries[cluster:01]",
    },
    TableCase {
        message: "not a finite number",
        change: |all| all[1].score = Some(double(f64::NAN)),
        reason: "FIELD",
        field: "entries[1].score.number",
    },
    TableCase {
        message: "longer than",
        change: |all| all[1].note = "x".repeat(501),
        reason: "FIELD",
        field: "entries[1].note",
    },
    TableCase {
        message: "more than",
        change: |all| all[1].components = vec![EntryComponent::default(); 301],
        reason: "FIELD",
        field: "entries[1].components",
    },
    TableCase {
        message: "not an id",
        change: |all| all[1].entity.clear(),
        reason: "FIELD",
        field: "entries[1].entity",
    },
];

#[tokio::test]
async fn tables_that_make_no_sense_are_refused() {
    let untouched = UntouchedServer::new().await;
    for case in &TABLE_CASES {
        let mut table = entries(&[1, 2, 3, 4]);
        (case.change)(&mut table);
        let result = untouched.clients().publish(edition("2023"), table).await;
        let status = untouched.refused(case.message, result, Code::InvalidArgument, case.reason, case.field).await;
        assert!(status.message().contains(case.message), "{}", status.message());
    }
    untouched.end().await;
}

/// A name, a change of an edition that makes it wrong, the reason and the field.
type EditionCase = (&'static str, fn(&mut Edition), &'static str, &'static str);

const EDITION_CASES: [EditionCase; 8] = [
    ("listed", |edition| edition.coverage.as_mut().unwrap().listed = 100, "FINDINGS", "header.edition.coverage"),
    ("about", |edition| edition.basis = EditionBasis::Restated.into(), "FINDINGS", "header.edition.about"),
    ("revision", |edition| edition.revision = 7, "FIELD", "header.edition"),
    (
        "complete_to",
        |edition| edition.coverage.as_mut().unwrap().complete_to = 7,
        "FIELD",
        "header.edition.coverage.complete_to",
    ),
    ("status", |edition| edition.status = EditionStatus::Corrected.into(), "FIELD", "header.edition.status"),
    ("withdrawn", |edition| edition.status = EditionStatus::Withdrawn.into(), "FIELD", "header.edition.status"),
    ("basis", |edition| edition.basis = 99, "FIELD", "header.edition.basis"),
    ("id", |edition| edition.id = "a b".into(), "FIELD", "header.edition.id"),
];

#[tokio::test]
async fn editions_that_make_no_sense_are_refused() {
    let untouched = UntouchedServer::new().await;
    for (what, change, why, field) in EDITION_CASES {
        let mut header = edition("2023");
        change(header.edition.as_mut().unwrap());
        let result = untouched.clients().publish(header, entries(&[1, 2])).await;
        untouched.refused(what, result, Code::InvalidArgument, why, field).await;
    }
    let exists = untouched.clients().publish(edition("2022"), entries(&[3, 2, 1])).await;
    untouched.refused("exists", exists, Code::AlreadyExists, "EDITION_EXISTS", "").await;
    let absent = untouched.clients().publish(correction(edition("2023")), entries(&[1])).await;
    untouched.refused("absent", absent, Code::NotFound, "NO_EDITION", "").await;
    untouched.end().await;
}

#[tokio::test]
async fn publications_of_the_wrong_shape_are_refused() {
    let untouched = UntouchedServer::new().await;
    let header = PublishHeader { edition: None, ..edition("2023") };
    let result = untouched.clients().publish(header, entries(&[1])).await;
    untouched.refused("no edition", result, Code::InvalidArgument, "FIELD", "header.edition").await;
    let mut twice = publication(edition("2023"), Vec::new(), &entries(&[1]));
    twice.insert(1, twice[0].clone());
    let result = untouched.clients().publish_messages(twice).await;
    untouched.refused("two headers", result, Code::InvalidArgument, "FIELD", "header").await;
    let headless = publication(edition("2023"), Vec::new(), &entries(&[1])).split_off(1);
    let result = untouched.clients().publish_messages(headless).await;
    untouched.refused("no header", result, Code::InvalidArgument, "FIELD", "header").await;
    untouched.end().await;
}

#[tokio::test]
async fn ties_and_gaps_are_accepted_where_they_are_declared() {
    let server = server_with_catalog().await;
    let mut tied = entries(&[1, 2, 3, 4]);
    tied[1].tied = true;
    tied[2].tied = true;
    tied[2].rank = Some(2);
    server.clients.publish(edition("2022"), tied.clone()).await.unwrap();
    // After a tie the next rank may also go on by one.
    tied[3].rank = Some(3);
    server.clients.publish(edition("2023"), tied).await.unwrap();
    let some = vec![entry(1, 3), entry(2, 17), Entry { rank: None, ..entry(5, 1) }];
    let answer = server.clients.publish(partial(edition("2024")), some).await.unwrap();
    assert_eq!(answer.edition.unwrap().coverage.unwrap().complete_to, 0);
    server.end().await;
}
