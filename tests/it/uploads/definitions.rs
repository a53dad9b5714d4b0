//! Definitions that travel in an upload.

use almanac::proto::{ingest_observations_request::Part as IngestPart, *};
use tonic::Code;

fn kind(change: &Change) -> &'static str {
    match change.detail.as_ref().unwrap() {
        change::Detail::Value(_) => "figure",
        change::Detail::Entry(_) => "entry",
        change::Detail::Edition(_) => "edition",
        change::Detail::Definition(_) => "definition",
    }
}

use super::{france, holds};
use crate::support::{assert_refused, fixture::*, publication, upload};

fn kinds(changes: &[Change]) -> Vec<&'static str> {
    changes.iter().map(kind).collect()
}

fn dry(options: &mut Option<WriteOptions>) {
    *options = Some(validate());
}

fn needed_definitions() -> Vec<Definition> {
    vec![france(), source("insee", 30)]
}

fn upload_of(day: &str, definitions: Vec<Definition>) -> Vec<IngestObservationsRequest> {
    upload(released(day), definitions, &[batch(RD, "FRA", "insee", &[("2020", "2.3"), ("2021", "2.2")])])
}

#[tokio::test]
async fn definitions_and_figures_are_one_commit_one_dry_run_and_one_refusal() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let before = holds(clients).await;

    let refused = clients.ingest_messages(upload_of("2024-01-01", vec![france()])).await;
    assert_refused(refused, Code::NotFound, "UNKNOWN_SOURCE");
    let refused = clients.ingest_messages(upload_of("2999-01-01", needed_definitions())).await;
    assert_refused(refused, Code::InvalidArgument, "FINDINGS");
    assert_eq!(holds(clients).await, before, "a refusal leaves nothing in the catalog");

    let mut header = released("2024-01-01");
    dry(&mut header.options);
    let mut messages = upload_of("2024-01-01", needed_definitions());
    messages[0].part = Some(IngestPart::Header(header));
    let checked = clients.ingest_messages(messages).await.unwrap();
    assert_eq!(kinds(&checked.difference), ["definition", "definition", "figure", "figure"]);
    assert_eq!(holds(clients).await, before, "a dry run writes nothing");

    let written = clients.ingest_messages(upload_of("2024-01-01", needed_definitions())).await.unwrap();
    assert_eq!((written.revision, written.counts), (2, checked.counts));
    let counts = written.counts.unwrap();
    assert_eq!((counts.added, counts.definitions_added), (2, 2));
    let commits = clients.commits(1, Vec::new()).await;
    assert_eq!(commits.len(), 1, "nothing of what was refused is in the feed");
    assert_eq!(kinds(&commits[0].changes), ["definition", "definition", "figure", "figure"]);
    server.end().await;
}

fn new_definitions() -> Vec<Definition> {
    vec![methodology("four", &["pct", "pub", "vc", "tm"]), france()]
}

fn two_entries() -> Vec<Entry> {
    let mut rows = entries(&[1, 2]);
    rows[0].economies = vec!["FRA".into()];
    rows
}

fn header_of_2023() -> PublishHeader {
    let mut header = edition("2023");
    header.edition.as_mut().unwrap().methodology = "four".into();
    header
}

#[tokio::test]
async fn definitions_and_an_edition_are_one_commit_one_dry_run_and_one_refusal() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let before = holds(clients).await;

    let refused = clients.publish_messages(publication(header_of_2023(), vec![france()], &two_entries())).await;
    assert_refused(refused, Code::NotFound, "UNKNOWN_METHODOLOGY");
    let mut twice = two_entries();
    twice[1] = twice[0].clone();
    let refused = clients.publish_messages(publication(header_of_2023(), new_definitions(), &twice)).await;
    assert_refused(refused, Code::InvalidArgument, "FINDINGS");
    assert_eq!(holds(clients).await, before, "a refusal leaves nothing in the catalog");

    let mut checked = header_of_2023();
    dry(&mut checked.options);
    let checked = clients
        .publish_messages(publication(checked, new_definitions(), &two_entries()))
        .await
        .unwrap()
        .result
        .unwrap();
    let expected = ["definition", "definition", "edition", "entry", "entry"];
    assert_eq!(kinds(&checked.difference), expected);
    assert_eq!(holds(clients).await, before, "a dry run writes nothing");

    let written = clients
        .publish_messages(publication(header_of_2023(), new_definitions(), &two_entries()))
        .await
        .unwrap()
        .result
        .unwrap();
    assert_eq!((written.revision, written.counts), (2, checked.counts));
    let counts = written.counts.unwrap();
    assert_eq!((counts.added, counts.definitions_added), (2, 2));
    let commits = clients.commits(1, Vec::new()).await;
    assert_eq!(commits.len(), 1, "nothing of what was refused is in the feed");
    assert_eq!(kinds(&commits[0].changes), expected);
    server.end().await;
}
