//! Safe retries, dry runs and optimistic locks.

use almanac::proto::*;
use tonic::Code;

use super::counts;
use crate::support::{assert_refused, fixture::*};

fn many_figures() -> Vec<SeriesBatch> {
    one_figure("2.40")
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_and_other_content_is_refused_across_a_restart_too() {
    let mut server = server_with_catalog().await;
    let header = |id: &str| with(request(id), released("2023-03-01"));
    let upload = |id: &str| PublishHeader { options: Some(request(id)), ..edition("2022") };
    // Tied with nobody: a warning, which the retry must get too.
    let mut table = entries(&[1, 2, 3]);
    table[2].tied = true;

    let clients = server.clients.clone();
    let defined = clients.define(request("define-1"), vec![economy("FRA", "France")]).await.unwrap();
    let ingested = clients.ingest(header("ingest-1"), many_figures()).await.unwrap();
    let published = clients.publish(upload("publish-1"), table.clone()).await.unwrap();
    assert_eq!(published.result.as_ref().unwrap().findings[0].code, "LONELY_TIE");
    let withdrawn = clients.withdraw(request("withdraw-1"), RANKING, "2022").await.unwrap();
    // Later commits do not change the answers to earlier requests.
    clients.ingest(released("2023-04-01"), one_figure("9")).await.unwrap();

    for restarted in [false, true] {
        if restarted {
            server.restart().await;
        }
        let clients = server.clients.clone();
        let head = clients.head().await;
        let again = clients.define(request("define-1"), vec![economy("FRA", "France")]).await.unwrap();
        assert_eq!(as_first(again), defined);
        assert_eq!(as_first(clients.ingest(header("ingest-1"), many_figures()).await.unwrap()), ingested);
        let again = clients.publish(upload("publish-1"), table.clone()).await.unwrap();
        assert_eq!(as_first(again.result.unwrap()), published.result.clone().unwrap());
        assert_eq!(again.edition, published.edition, "the edition as it stood then");
        let again = clients.withdraw(request("withdraw-1"), RANKING, "2022").await.unwrap();
        assert_eq!(as_first(again.result.unwrap()), withdrawn.result.clone().unwrap());
        assert_eq!(again.edition, withdrawn.edition);

        let other = one_figure("2.41");
        let refused = clients.ingest(header("ingest-1"), other).await;
        assert_refused(refused, Code::AlreadyExists, "REQUEST_REUSED");
        let later = clients.ingest(with(request("ingest-1"), released("2023-03-02")), many_figures()).await;
        assert_refused(later, Code::AlreadyExists, "REQUEST_REUSED");
        let other_call = clients.define(request("ingest-1"), vec![economy("FRA", "France")]).await;
        assert_refused(other_call, Code::AlreadyExists, "REQUEST_REUSED");
        let other = clients.publish(upload("publish-1"), entries(&[1, 2])).await;
        assert_refused(other, Code::AlreadyExists, "REQUEST_REUSED");
        let other = clients.withdraw(request("withdraw-1"), RANKING, "2023").await;
        assert_refused(other, Code::AlreadyExists, "REQUEST_REUSED");
        assert_eq!(clients.head().await, head, "retries and refusals add no revision");
    }
    server.end().await;
}

#[tokio::test]
async fn a_refused_request_may_come_again_with_the_same_id() {
    let server = server_with_catalog().await;
    let header = || with(request("again"), released("2023-03-01"));
    let unknown = vec![batch(RD, "ATL", "bank", &[("2020", "1")])];
    assert_refused(server.clients.ingest(header(), unknown).await, Code::NotFound, "UNKNOWN_ENTITY");
    let good = one_figure("1");
    assert!(!server.clients.ingest(header(), good).await.unwrap().replayed);
    server.end().await;
}

#[tokio::test]
async fn retries_at_the_same_time_make_one_commit() {
    let server = server_with_catalog().await;
    let calls = (0..8).map(|_| {
        let clients = server.clients.clone();
        tokio::spawn(async move {
            let header = with(request("once"), released("2023-03-01"));
            clients.ingest(header, one_figure("2.40")).await.unwrap()
        })
    });
    let mut answers = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        answers.push(call.await.unwrap());
    }
    assert!(answers.iter().all(|answer| answer.revision == 2));
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(server.clients.head().await, 2);
    server.end().await;
}

fn publish_2023(options: WriteOptions) -> PublishHeader {
    PublishHeader { options: Some(options), ..edition("2023") }
}

#[tokio::test]
async fn validate_only_reports_the_whole_difference_and_writes_nothing() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients
        .ingest(released("2023-03-01"), vec![batch(RD, "CHN", "bank", &[("2020", "2.40"), ("2021", "2.44")])])
        .await
        .unwrap();
    clients.publish(edition("2022"), entries(&[1, 2, 3, 4])).await.unwrap();
    let status = clients.status().await;
    let options = || WriteOptions { request_id: "dry".into(), ..validate() };

    let figures = || {
        let mut all = vec![batch(RD, "CHN", "bank", &[("2020", "2.41"), ("2021", "2.44"), ("2022", "2.5")])];
        // Several pages of changes, so that indexes continue from page to page.
        for entity in ECONOMIES {
            let years: Vec<String> = (1800..2000).map(|year| year.to_string()).collect();
            let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), "1.5")).collect();
            all.push(batch(PATENTS, entity, "bank", &points));
        }
        all
    };
    let dry = clients.ingest(with(options(), released("2024-03-01")), figures()).await.unwrap();
    assert_eq!((dry.revision, counts(&dry)), (3, (1201, 1, 1, 0, 0)));
    assert_eq!((dry.difference.len(), dry.difference_left_out), (1202, 0));

    let dry_edition = clients.publish(publish_2023(validate()), entries(&[2, 1, 5])).await.unwrap();
    let dry_definition = clients.define(validate(), vec![economy("FRA", "France")]).await.unwrap();
    assert_eq!(dry_definition.difference.len(), 1);
    let dry_withdrawal = clients.withdraw(validate(), RANKING, "2022").await.unwrap();
    assert_eq!(dry_withdrawal.result.unwrap().difference.len(), 5, "the edition and its entries");
    assert_eq!(clients.status().await, status, "nothing was written");
    assert_refused(figure(clients, RD, "CHN", "2022", None).await, Code::NotFound, "NO_FIGURE");

    // The write then does what the dry run said. A dry run does not use up the request id.
    let plain = |changes: &[Change]| -> Vec<(u64, change::Detail)> {
        changes.iter().map(|change| (change.index, change.detail.clone().unwrap())).collect()
    };
    let wet = clients.ingest(with(request("dry"), released("2024-03-01")), figures()).await.unwrap();
    assert!(!wet.replayed);
    assert_eq!(counts(&wet), counts(&dry));
    let commit = &clients.commits(wet.revision - 1, Vec::new()).await[0];
    let unmade = |changes: &[Change]| -> Vec<(u64, change::Detail)> {
        plain(changes).into_iter().map(|(index, detail)| (index, without_commit(detail, wet.revision))).collect()
    };
    assert_eq!(unmade(&commit.changes), plain(&dry.difference));
    let wet =
        clients.publish(publish_2023(WriteOptions::default()), entries(&[2, 1, 5])).await.unwrap().result.unwrap();
    let commit = &clients.commits(wet.revision - 1, Vec::new()).await[0];
    let entries_only = |changes: &[Change]| -> Vec<(u64, change::Detail)> {
        let all = plain(changes);
        all.into_iter().filter(|(_, what)| matches!(what, change::Detail::Entry(_))).collect()
    };
    assert_eq!(entries_only(&commit.changes), entries_only(&dry_edition.result.unwrap().difference));
    server.end().await;
}

#[tokio::test]
async fn validate_only_reports_every_error() {
    let server = server_with_catalog().await;
    let header = with(validate(), released("2023-03-01"));
    let bad = vec![
        batch(RD, "CHN", "bank", &[("2020", "1"), ("2020", "2")]),
        batch("IP.PAT.RESF", "CHN", "bank", &[("2020", "1")]),
        batch(RD, "Germny", "bank", &[("2020", "1")]),
    ];
    let answer = server.clients.ingest(header, bad).await.unwrap();
    let mut codes: Vec<&str> = answer.findings.iter().map(|finding| finding.code.as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["DUPLICATE_KEY", "UNKNOWN_ENTITY", "UNKNOWN_INDICATOR"]);
    let germany = answer.findings.iter().find(|finding| finding.code == "UNKNOWN_ENTITY").unwrap();
    assert_eq!((germany.suggestions[0].as_str(), germany.severity()), ("DEU", FindingSeverity::Error));
    assert_eq!(germany.location, "series[2].entity", "the batch as it was sent");
    server.end().await;
}

#[tokio::test]
async fn an_expected_head_that_moved_aborts() {
    let server = server_with_catalog().await;
    let options = |head| WriteOptions { expected_head: Some(head), ..Default::default() };
    server.clients.ingest(with(options(1), released("2023-03-01")), one_figure("1")).await.unwrap();
    for stale in [0, 1, 3] {
        let refused = server.clients.ingest(with(options(stale), released("2023-03-01")), one_figure("2")).await;
        let status = assert_refused(refused, Code::Aborted, "HEAD_MOVED");
        assert!(status.message().contains('2'));
    }
    assert_eq!(server.clients.head().await, 2);
    server.clients.ingest(with(options(2), released("2023-03-01")), one_figure("2")).await.unwrap();
    server.end().await;
}

/// A change as a dry run reports it: figures of a commit that is not made have neither an instant nor a cause.
fn without_commit(mut detail: change::Detail, revision: u64) -> change::Detail {
    if let change::Detail::Value(change) = &mut detail {
        for figure in [&mut change.before, &mut change.after, &mut change.recorded_version].into_iter().flatten() {
            if figure.revision == revision {
                (figure.recorded, figure.cause) = (None, Cause::Unspecified.into());
            }
        }
    }
    detail
}

/// The answer to a retry without its mark, to compare it with the first answer.
fn as_first(result: WriteResult) -> WriteResult {
    assert!(result.replayed);
    WriteResult { replayed: false, ..result }
}

pub(super) fn with(options: WriteOptions, header: IngestHeader) -> IngestHeader {
    IngestHeader { options: Some(options), ..header }
}

/// Definitions added, revised and unchanged.
pub(super) fn definition_counts(result: &WriteResult) -> (u64, u64, u64) {
    let counts = result.counts.as_ref().unwrap();
    (counts.definitions_added, counts.definitions_revised, counts.definitions_unchanged)
}
