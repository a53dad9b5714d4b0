//! Tokens of commits that the server does not have, and the most streams of a connection.

use std::time::{Duration, Instant as StdInstant};

use almanac::{
    model::time::{Clock, Instant},
    proto::*,
};
use tonic::Code;

use super::{FILTERS, filters, token_at, write};
use crate::support::{
    Clients, DEADLINE, Dice, TestServer, assert_refused, author::Author, fixture::*, process::copy_folder,
    subscriptions::*, watch::Watch,
};

/// The answer of each call that takes a token.
async fn use_token(clients: &Clients, kind: &str, kept: &str) -> Vec<Result<(), tonic::Status>> {
    let after = ListCommitsRequest { resume_token: kept.to_owned(), filters: filters(kind), ..Default::default() };
    let cursor = PutCursorRequest { name: "cursor".into(), resume_token: kept.to_owned(), allow_rewind: true };
    let mut listing = clients.feed.clone();
    let mut putting = clients.feed.clone();
    let (subscribed, listed, put) = tokio::join!(
        Watch::open(clients, token(kept), filters(kind)),
        listing.list_commits(after),
        putting.put_cursor(cursor),
    );
    vec![subscribed.map(|_| ()), listed.map(|_| ()), put.map(|_| ())]
}

/// Checks that a token above head is refused as ahead, with head and a wait.
fn check_ahead(refused: Result<(), tonic::Status>, head: u64) {
    let status = assert_refused(refused, Code::Unavailable, "TOKEN_AHEAD");
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert_eq!(details.error_info().unwrap().metadata["head"], head.to_string());
    assert!(details.retry_info().is_some_and(|retry| retry.retry_delay > Some(Duration::ZERO)));
}

/// A test server after somebody has put an older copy of its folder back. Commits were lost, but the history's id is the
/// same, because this is no restore.
struct OlderFolder {
    server: TestServer,
    head: u64,
    /// Kind of filter, revision and token, around and above head.
    tokens: Vec<(&'static str, u64, String)>,
}

impl OlderFolder {
    async fn new() -> Self {
        let mut server = server_with_catalog().await;
        let mut author = Author::new(Dice::new("a folder put back"), "steward", 4);
        write(&server.clients, &mut author, 3).await;
        let head = server.clients.head().await;
        server.stop().await;
        let older = tempfile::tempdir().unwrap();
        copy_folder(&server.data(), older.path());
        server.restart().await;
        write(&server.clients, &mut author, 2).await;
        let mut tokens = Vec::new();
        for kind in FILTERS {
            for at in head - 1..=head + 2 {
                tokens.push((kind, at, token_at(&server.clients, kind, at).await));
            }
        }
        server.stop().await;
        std::fs::remove_dir_all(server.data()).unwrap();
        copy_folder(older.path(), &server.data());
        server.restart().await;
        Self { server, head, tokens }
    }
}

#[tokio::test]
async fn a_token_of_a_commit_that_the_folder_lacks_is_ahead_and_then_of_another_history() {
    let OlderFolder { server, head, tokens } = OlderFolder::new().await;
    let clients = server.clients.clone();
    let begun = StdInstant::now();
    let mut asking = Vec::new();
    for (kind, at, token) in tokens.clone() {
        let clients = clients.clone();
        asking.push(tokio::spawn(async move { (at, use_token(&clients, kind, &token).await) }));
    }
    for asked in asking {
        let (at, answers) = asked.await.unwrap();
        for answer in answers {
            if at <= head {
                answer.unwrap();
            } else {
                check_ahead(answer, head);
            }
        }
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "the server waits: another server may be ahead of it");

    // Other commits get the revisions of those that were lost; the answer to a waiting call says so.
    let (_, _, ahead) = tokens.iter().find(|(kind, at, _)| *at == head + 1 && *kind == "none").unwrap().clone();
    let waiting = {
        let clients = clients.clone();
        tokio::spawn(async move { use_token(&clients, "none", &ahead).await })
    };
    for value in ["1", "2", "3"] {
        let figures = vec![batch(RD, "CHN", "bank", &[("1900", value)])];
        clients.ingest(released("2024-01-01"), figures).await.unwrap();
    }
    for refused in waiting.await.unwrap() {
        assert_refused(refused, Code::FailedPrecondition, "TOKEN_OTHER_HISTORY");
    }
    for (kind, at, token) in tokens {
        for answer in use_token(&clients, kind, &token).await {
            if at <= head {
                answer.unwrap();
            } else {
                assert_refused(answer, Code::FailedPrecondition, "TOKEN_OTHER_HISTORY");
            }
        }
    }
    server.end().await;
}

/// A server may be a moment behind another server of the same history: it accepts the token once it has caught up.
#[tokio::test]
async fn a_token_that_is_ahead_is_accepted_once_the_server_has_caught_up() {
    let mut server = server_with_catalog().await;
    let header = IngestHeader { options: Some(request("write-1")), ..released("2024-01-01") };
    let figures = vec![batch(RD, "CHN", "bank", &[("1900", "1")])];
    server.stop().await;
    let older = tempfile::tempdir().unwrap();
    copy_folder(&server.data(), older.path());
    server.restart_with(|config| config.clock = still()).await;
    let head = server.clients.ingest(header.clone(), figures.clone()).await.unwrap().revision;
    let kept = token_at(&server.clients, "none", head).await;
    server.stop().await;
    std::fs::remove_dir_all(server.data()).unwrap();
    copy_folder(older.path(), &server.data());
    server.restart().await;
    let clients = server.clients.clone();
    let waiting = {
        let clients = clients.clone();
        tokio::spawn(async move { use_token(&clients, "none", &kept).await })
    };
    // The same commit at the same instant.
    assert_eq!(clients.ingest(header, figures).await.unwrap().revision, head);
    for taken in waiting.await.unwrap() {
        taken.unwrap();
    }
    server.end().await;
}

/// A clock that stands still.
fn still() -> Clock {
    Clock::from_fn(|| Instant(4_102_444_800_000_000))
}

#[tokio::test]
async fn a_stream_above_those_of_a_connection_waits_for_one_to_end() {
    const STREAMS: usize = 256;
    let server = server_with_catalog().await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address())).unwrap();
    let clients = Clients::on(endpoint.connect().await.unwrap());
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let request = SubscribeRequest { start: Some(now()), ..Default::default() };
        streams.push(clients.feed.clone().subscribe(request).await.unwrap());
    }
    let one_more = tokio::spawn(async move { clients.head().await });
    // Other connections go on.
    server.clients.define(WriteOptions::default(), vec![indicator("new", "New")]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!one_more.is_finished(), "it waits, without an error");
    streams.pop();
    let head = tokio::time::timeout(DEADLINE, one_more).await.expect("it goes on when another ended").unwrap();
    assert_eq!(head, 2);
    drop(streams);
    server.end().await;
}
