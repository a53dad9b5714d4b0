//! Requests that are refused for their shape, their length or their end.

use std::time::Duration;

use almanac::proto::*;
use tonic::Code;

use super::UntouchedServer;
use crate::support::{Clients, DEADLINE, assert_refused, fields, fixture::*, long, upload};

fn some_figures() -> Vec<SeriesBatch> {
    vec![batch(RD, "CHN", "bank", &[("2022", "1")])]
}

fn figures_part() -> IngestObservationsRequest {
    figures_message(some_figures())
}

fn header_part() -> IngestObservationsRequest {
    header_message(released("2024-01-01"))
}

fn whole_upload(batches: &[SeriesBatch]) -> Vec<IngestObservationsRequest> {
    upload(released("2024-01-01"), Vec::new(), batches)
}

#[tokio::test]
async fn uploads_of_the_wrong_shape_are_refused() {
    let untouched = UntouchedServer::new().await;
    let clients = untouched.clients();
    let shapes = [
        ("no header", vec![figures_part()], "FIELD", "header"),
        ("a header late", vec![figures_part(), header_part()], "FIELD", "header"),
        ("two headers", vec![header_part(), figures_part(), header_part()], "FIELD", "header"),
        ("no figure", whole_upload(&[]), "FINDINGS", "observations"),
        ("empty series", whole_upload(&[batch(RD, "CHN", "bank", &[])]), "FINDINGS", "observations"),
    ];
    for (what, messages, why, field) in shapes {
        let result = clients.ingest_messages(messages).await;
        untouched.refused(what, result, Code::InvalidArgument, why, field).await;
    }
    let bad_points = [
        ("withdrawn with a value", IngestPoint { withdrawn: true, ..point("2022", "1") }, "withdrawn"),
        ("no value", IngestPoint { period: "2022".into(), value: None, withdrawn: false }, "value"),
    ];
    for (what, point, field) in bad_points {
        let mut sent = some_figures();
        sent[0].points.push(point);
        let result = clients.ingest(released("2024-01-01"), sent).await;
        let field = format!("series[0].points[1].{field}");
        untouched.refused(what, result, Code::InvalidArgument, "FIELD", &field).await;
    }
    let options = [
        ("a long request id", request(&"x".repeat(129)), "options.request_id"),
        ("a request id with a blank", request("a b"), "options.request_id"),
        ("a long note", WriteOptions { note: "x".repeat(1_001), ..Default::default() }, "options.note"),
        ("a digest", WriteOptions { document_sha256: "abc".into(), ..Default::default() }, "options.document_sha256"),
        ("a cause", WriteOptions { cause: 99, ..Default::default() }, "options.cause"),
    ];
    for (what, options, field) in options {
        let header = IngestHeader { options: Some(options.clone()), ..released("2024-01-01") };
        let result = clients.ingest(header, some_figures()).await;
        untouched.refused(what, result, Code::InvalidArgument, "FIELD", field).await;
        let result = clients.define(options.clone(), vec![economy("FRA", "France")]).await;
        untouched.refused(what, result, Code::InvalidArgument, "FIELD", field).await;
        let header = PublishHeader { options: Some(options.clone()), ..edition("2023") };
        let result = clients.publish(header, entries(&[1])).await;
        untouched.refused(what, result, Code::InvalidArgument, "FIELD", field).await;
        let result = clients.withdraw(options, RANKING, "2022").await;
        untouched.refused(what, result, Code::InvalidArgument, "FIELD", field).await;
    }
    let mode = IngestHeader { mode: 99, ..released("2024-01-01") };
    untouched
        .refused("mode", clients.ingest(mode, some_figures()).await, Code::InvalidArgument, "FIELD", "header.mode")
        .await;
    untouched.end().await;
}

#[tokio::test]
async fn one_error_among_many_figures_refuses_all_and_many_errors_are_counted() {
    let untouched = UntouchedServer::new().await;
    let years: Vec<String> = (1000..3000).map(|year| year.to_string()).collect();
    let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), "1.5")).collect();
    let mut sent: Vec<SeriesBatch> = ECONOMIES.iter().map(|entity| batch(PATENTS, entity, "bank", &points)).collect();
    sent.push(batch(VENTURE, "CHN", "bank", &[("2022", "1"), ("2022", "2")]));
    let result = untouched.clients().ingest(released("2024-01-01"), sent).await;
    untouched.refused("the last figure", result, Code::InvalidArgument, "FINDINGS", "").await;

    let unknown = (0..3_000).map(|number| batch(RD, &format!("nowhere-{number}"), "bank", &[("2022", "1")])).collect();
    let result = untouched.clients().ingest(released("2024-01-01"), unknown).await;
    let status = untouched.refused("3000 errors", result, Code::NotFound, "UNKNOWN_ENTITY", "").await;
    assert!(status.message().contains("2999 more"), "{}", status.message());
    assert!(fields(&status).len() <= 20 && status.details().len() < 8_000);
    untouched.end().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_and_the_server_lives_on() {
    let untouched = UntouchedServer::new().await;
    let mut sent = batch(RD, "CHN", "bank", &[("2022", "1")]);
    sent.points[0].value.as_mut().unwrap().comment = "x".repeat(100 << 20);
    let result = untouched.clients().ingest(released("2024-01-01"), vec![sent]).await;
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{}", status.message());
    untouched.check("100 MiB").await;
    let result = untouched.clients().define(WriteOptions::default(), vec![economy("FRA", &"x".repeat(5 << 20))]).await;
    assert_eq!(result.unwrap_err().code(), Code::OutOfRange);
    untouched.check("5 MiB").await;
    untouched.end().await;
}

/// Messages without an end: the call stays open until it is dropped.
fn endless(
    messages: tokio::sync::mpsc::Receiver<IngestObservationsRequest>,
) -> tokio_stream::wrappers::ReceiverStream<IngestObservationsRequest> {
    tokio_stream::wrappers::ReceiverStream::new(messages)
}

#[tokio::test]
async fn an_upload_that_is_dropped_half_way_leaves_nothing() {
    let mut untouched = UntouchedServer::new().await;
    for round in 0..if long() { 50 } else { 5 } {
        let clients = Clients::connect(untouched.server.address()).await;
        let (sender, messages) = tokio::sync::mpsc::channel(1);
        let call =
            tokio::spawn(async move { clients.admin.clone().ingest_observations(endless(messages)).await.map(|_| ()) });
        let header = IngestHeader { options: Some(request(&format!("dropped-{round}"))), ..released("2024-01-01") };
        sender.send(header_message(header)).await.unwrap();
        let years: Vec<String> = (1000..4000).map(|year| year.to_string()).collect();
        let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), "1.5")).collect();
        // Much more than the windows of HTTP/2: once all is sent, the server has read most of it.
        for number in 0..40 {
            let mut sent = batch(PATENTS, ECONOMIES[number % 6], "bank", &points);
            sent.dimensions = vec![Dimension { id: "N".into(), value: number.to_string() }];
            let message = figures_message(vec![sent]);
            tokio::time::timeout(DEADLINE, sender.send(message)).await.expect("the server reads").unwrap();
        }
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        untouched.check("dropped").await;
    }
    // When the server has ended, so has every call.
    untouched.server.restart().await;
    untouched.check("dropped, after a restart").await;
    untouched.end().await;
}

#[tokio::test]
async fn a_silent_upload_does_not_keep_the_server_from_stopping() {
    let mut server = server_with_catalog().await;
    let (sender, messages) = tokio::sync::mpsc::channel(1);
    let clients = server.clients.clone();
    let call =
        tokio::spawn(async move { clients.admin.clone().ingest_observations(endless(messages)).await.map(|_| ()) });
    sender.send(header_message(released("2024-01-01"))).await.unwrap();
    tokio::time::timeout(DEADLINE, server.stop()).await.expect("stops by itself");
    tokio::time::timeout(Duration::from_secs(10), call).await.expect("the call ends").unwrap().unwrap_err();
    server.restart().await;
    assert_eq!(server.clients.head().await, 1);
    server.end().await;
}

#[tokio::test]
async fn reads_of_the_wrong_shape_are_refused() {
    let untouched = UntouchedServer::new().await;
    let clients = untouched.clients();
    let figure = GetFigureRequest { indicator: RD.into(), entity: "CHN".into(), ..Default::default() };
    let bad = GetFigureRequest { period: "2020-Q9".into(), ..figure.clone() };
    assert_refused(clients.statistics.clone().get_figure(bad).await, Code::InvalidArgument, "FIELD");
    let bad = GetFigureRequest { indicator: String::new(), ..figure };
    assert_refused(clients.statistics.clone().get_figure(bad).await, Code::InvalidArgument, "FIELD");
    let bad = CompareEditionsRequest { ranking: RANKING.into(), earlier_edition: "2022".into(), ..Default::default() };
    assert_refused(clients.rankings.clone().compare_editions(bad).await, Code::InvalidArgument, "FIELD");
    let bad = StreamSeriesRequest::default();
    assert_refused(clients.statistics.clone().stream_series(bad).await.map(|_| ()), Code::InvalidArgument, "FIELD");
    for bad in [-1, i32::MIN] {
        let bad = ListCommitsRequest { page_size: bad, ..Default::default() };
        assert_refused(clients.feed.clone().list_commits(bad).await, Code::InvalidArgument, "FIELD");
    }
    let bad = ListCommitsRequest { after_revision: 99, ..Default::default() };
    assert_refused(clients.feed.clone().list_commits(bad).await, Code::OutOfRange, "ABOVE_HEAD");
    let nonsense = prost_types::Timestamp { seconds: i64::MAX, nanos: -5 };
    let bad =
        ResolveRevisionRequest { at: Some(resolve_revision_request::At::Recorded(nonsense)), ..Default::default() };
    assert_refused(clients.feed.clone().resolve_revision(bad).await, Code::InvalidArgument, "FIELD");
    untouched.check("reads").await;
    untouched.end().await;
}

fn header_message(header: IngestHeader) -> IngestObservationsRequest {
    IngestObservationsRequest { part: Some(ingest_observations_request::Part::Header(header)) }
}

fn figures_message(series: Vec<SeriesBatch>) -> IngestObservationsRequest {
    let part = ingest_observations_request::Part::Observations(ObservationBatch { series });
    IngestObservationsRequest { part: Some(part) }
}
