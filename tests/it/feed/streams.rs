//! The messages of a stream: progress, ranges, goodbyes, long commits, slow readers.

use std::time::Duration;

use almanac::proto::{subscribe_request::Start, subscribe_response::Body as Message, *};
use tonic::Code;

use super::write_values;
use crate::support::{
    Clients, DEADLINE, TestServer, assert_refused,
    fixture::*,
    join,
    oracle::{self, CommitLog},
    replica::Replica,
    subscriptions::*,
    watch::{Watch, covered},
};

fn progress_count(messages: &[Message]) -> usize {
    messages.iter().filter(|one| matches!(one, Message::Progress(_))).count()
}

#[tokio::test]
async fn a_filter_without_matches_still_gets_progress() {
    let mut server = server_with_catalog().await;
    let clients = server.clients.clone();
    let nobody = vec![of_entities(&["nobody"])];
    let mut watch = Watch::open(&clients, now(), nobody.clone()).await.unwrap();
    write_values(&clients, &["1", "2", "3"]).await;
    watch.until_covers(4).await;
    // Progress comes again, although nothing happens.
    watch.until("more progress", |messages| progress_count(messages) >= 5).await;
    let recording = watch.leave().await;
    assert!(recording.commits().is_empty());
    oracle::bookmarkable(&recording);
    let (revision, token) = recording.tokens().last().unwrap().clone();
    assert_eq!(revision, 4);
    server.restart().await;
    let resumed = Watch::open(&server.clients, Start::ResumeToken(token), nobody).await.unwrap().leave().await;
    assert!(resumed.messages.len() <= 1 || resumed.opened().start_revision == 4);

    for (bad, seconds, nanos) in
        [("too often", 0, 99_999_999), ("too seldom", 20, 1), ("negative", -1, 0), ("nanoseconds", 1, -5)]
    {
        let request = SubscribeRequest {
            start: Some(now()),
            progress_interval: Some(prost_types::Duration { seconds, nanos }),
            ..Default::default()
        };
        let refused = server.clients.feed.clone().subscribe(request).await.map(|_| bad);
        assert_refused(refused, Code::InvalidArgument, "FIELD");
    }
    server.end().await;
}

/// Whether a goodbye has a wait; zero would look like unset.
fn waits(goodbye: &Goodbye) -> bool {
    goodbye.reconnect_after.is_some_and(|after| after.seconds > 0 || after.nanos > 0)
}

#[tokio::test]
async fn a_range_is_replayed_and_ends_with_a_token() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    write_values(clients, &["1", "2", "3"]).await;
    let recording = Watch::open(clients, range(2, 3), Vec::new()).await.unwrap().ended().await.unwrap();
    let revisions: Vec<u64> = recording.commits().iter().map(|one| one.commit.revision).collect();
    assert_eq!(revisions, [2, 3]);
    let goodbye = recording.goodbye().unwrap();
    assert_eq!(goodbye.reason(), GoodbyeReason::RangeComplete);
    assert!(waits(goodbye));
    let start = Start::ResumeToken(goodbye.resume_token.clone());
    let mut rest = Watch::open(clients, start, Vec::new()).await.unwrap();
    rest.until_covers(4).await;
    let rest = rest.leave().await.commits();
    assert_eq!((rest.len(), rest[0].commit.revision, rest[0].previous), (1, 4, 3));

    // A range may end in the future, and begin with the next commit.
    let waiting = Watch::open(clients, range(5, 6), Vec::new()).await.unwrap();
    write_values(clients, &["4", "5", "6"]).await;
    let waited = waiting.ended().await.unwrap();
    assert_eq!(waited.commits().len(), 2);
    assert_eq!(waited.goodbye().unwrap().reason(), GoodbyeReason::RangeComplete);

    let cases = [
        (range(9, 0), Code::OutOfRange, "ABOVE_HEAD"),
        (range(0, 0), Code::InvalidArgument, "FIELD"),
        (range(5, 4), Code::InvalidArgument, "FIELD"),
    ];
    for (start, code, why) in cases {
        assert_refused(Watch::open(clients, start, Vec::new()).await.map(|_| ()), code, why);
    }
    let nowhere = clients.feed.clone().subscribe(SubscribeRequest::default()).await.map(|_| ());
    assert_refused(nowhere, Code::InvalidArgument, "FIELD");
    server.end().await;
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye_and_its_token_goes_on_after_the_restart() {
    let mut server = server_with_catalog().await;
    let mut watches = Vec::new();
    for start in [now(), range(1, 0), state()] {
        let mut watch = Watch::open(&server.clients, start, Vec::new()).await.unwrap();
        watch.until_covers(1).await;
        watches.push(watch);
    }
    let stopping = std::time::Instant::now();
    server.stop().await;
    let took = stopping.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    let mut tokens = Vec::new();
    for watch in watches {
        let recording = watch.ended().await.unwrap();
        let goodbye = recording.goodbye().expect("a goodbye comes last").clone();
        assert_eq!(goodbye.reason(), GoodbyeReason::Shutdown);
        assert!(waits(&goodbye));
        assert!(goodbye.reconnect_after.unwrap().seconds <= 10);
        tokens.push(goodbye.resume_token);
    }
    server.restart().await;
    let clients = &server.clients;
    clients.ingest(released("2024-01-01"), one_figure("1")).await.unwrap();
    for token in tokens {
        let mut watch = Watch::open(clients, Start::ResumeToken(token), Vec::new()).await.unwrap();
        watch.until_covers(2).await;
        let commits = watch.leave().await.commits();
        assert_eq!(commits.iter().map(|one| one.commit.revision).collect::<Vec<_>>(), [2]);
    }
    server.end().await;
}

#[tokio::test]
async fn a_goodbye_resumes_at_the_last_revision_that_the_stream_covered() {
    let mut server = server_with_catalog().await;
    let clients = server.clients.clone();
    let nobody = vec![of_entities(&["nobody"])];
    let seldom = Some(prost_types::Duration { seconds: 20, nanos: 0 });
    let request = SubscribeRequest {
        start: Some(now()),
        filters: nobody.clone(),
        progress_interval: seldom,
        ..Default::default()
    };
    let mut stream = clients.feed.clone().subscribe(request).await.unwrap().into_inner();
    // Commits that do not match, so that nothing is sent.
    write_values(&clients, &["1", "2", "3", "4", "5"]).await;
    server.stop().await;
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        messages.extend(message.body);
    }
    let Some(Message::Goodbye(goodbye)) = messages.last() else { panic!("a goodbye comes last") };
    server.restart().await;
    let start = Start::ResumeToken(goodbye.resume_token.clone());
    let mut resumed = Watch::open(&server.clients, start, nobody).await.unwrap();
    resumed.until("the first message", |messages| !messages.is_empty()).await;
    assert_eq!(resumed.leave().await.opened().start_revision, covered(&messages));
    server.end().await;
}

#[tokio::test]
async fn an_old_stream_ends_with_a_token_and_loses_nothing() {
    let server = TestServer::with(|config| config.subscription_max_age = Duration::from_millis(300)).await;
    let clients = &server.clients;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    let mut start = range(1, 0);
    let mut got = Vec::new();
    for value in 1..=4 {
        let watch = Watch::open(clients, start, Vec::new()).await.unwrap();
        let figures = one_figure(&value.to_string());
        clients.ingest(released("2024-01-01"), figures).await.unwrap();
        let recording = watch.ended().await.unwrap();
        let goodbye = recording.goodbye().unwrap();
        assert_eq!(goodbye.reason(), GoodbyeReason::MaxAge);
        assert!(waits(goodbye));
        start = Start::ResumeToken(goodbye.resume_token.clone());
        got.extend(recording.commits());
    }
    assert_eq!(got, CommitLog::read(clients).await.expected(&[], 0, u64::MAX));
    server.end().await;
}

#[tokio::test]
async fn a_commit_too_long_for_the_ring_comes_whole_to_live_and_late_subscribers() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut live = Watch::open(clients, now(), Vec::new()).await.unwrap();
    let years: Vec<String> = (1000..9000).map(|year| year.to_string()).collect();
    let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), "1.5")).collect();
    let mut series = Vec::new();
    for number in 0..9 {
        let dimensions = vec![Dimension { id: "N".into(), value: number.to_string() }];
        series.push(SeriesBatch { dimensions, ..batch(PATENTS, "CHN", "bank", &points) });
    }
    let result = clients.ingest(released("2024-01-01"), series).await.unwrap();
    assert_eq!(result.counts.unwrap().added, 72_000);
    let mut late = Watch::open(clients, range(2, 0), Vec::new()).await.unwrap();
    let log = CommitLog::read(clients).await;
    assert_eq!(log.commits[1].changes.len(), 72_000);
    for watch in [&mut live, &mut late] {
        watch.until_covers(2).await;
    }
    for recording in [live.leave().await, late.leave().await] {
        oracle::check_recorded(&log, &recording, 1);
    }
    let mut whole = Watch::open(clients, state(), Vec::new()).await.unwrap();
    whole.until_covers(2).await;
    let whole = whole.leave().await;
    let end = whole.snapshot_end().unwrap();
    assert_eq!(end.row_count, 72_000 + catalog().len() as u64);
    assert_eq!(Replica::of_state(&whole.messages).digest(), end.digest);
    server.end().await;
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_delays_no_other_and_gets_everything() {
    let server = server_with_catalog().await;
    let lazy = Clients::connect(server.address()).await;
    let request = SubscribeRequest { start: Some(range(1, 0)), ..Default::default() };
    let mut unread = lazy.feed.clone().subscribe(request).await.unwrap().into_inner();
    let clients = &server.clients;
    let mut quick = Watch::open(clients, range(1, 0), Vec::new()).await.unwrap();
    let years: Vec<String> = (1000..3000).map(|year| year.to_string()).collect();
    for round in 0..12 {
        let value = format!("{round}.5");
        let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), value.as_str())).collect();
        clients.ingest(released("2024-01-01"), vec![batch(PATENTS, "CHN", "bank", &points)]).await.unwrap();
    }
    let head = clients.head().await;
    quick.until_covers(head).await;
    let mut pages = Vec::new();
    while pages.last().is_none_or(|page: &CommitPage| page.revision < head || !page.last_page) {
        let message = tokio::time::timeout(DEADLINE, unread.message()).await.expect("goes on").unwrap().unwrap();
        if let Some(Message::CommitPage(page)) = message.body {
            pages.push(page);
        }
    }
    assert_eq!(join(&pages), CommitLog::read(clients).await.commits);
    assert_eq!(quick.leave().await.commits(), join(&pages));
    server.end().await;
}
