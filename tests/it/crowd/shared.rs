//! Work that subscribers share, and the end of a range.

use almanac::{
    proto::{subscribe_response::Body as Message, *},
    server,
};
use tokio::sync::oneshot;
use tonic::Streaming;

use super::{commit, next, subscribe_to};
use crate::support::{Clients, DEADLINE, TestServer, fixture::*, subscriptions::*};

/// Reads the next commit, and returns its revision and how many changes came.
async fn next_commit(stream: &mut Streaming<SubscribeResponse>) -> (u64, usize) {
    let reading = async {
        let mut changes = 0;
        loop {
            if let Some(Message::CommitPage(page)) = next(stream).await {
                changes += page.changes.len();
                if page.last_page {
                    return (page.revision, changes);
                }
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("a commit comes")
}

/// A change is matched once and encoded once for all subscribers with the same filters, also for those that come later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_matched_once_and_encoded_once_for_all_subscribers() {
    let scratch = tempfile::tempdir().unwrap();
    let config = server::Config::new(scratch.path().join("data"));
    let almanac = tokio::task::spawn_blocking(move || server::open(&config)).await.unwrap().unwrap();
    let hub = almanac.hub().clone();
    let listener = server::listen("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server::serve(almanac, listener, async move {
        let _ = stopped.await;
    }));
    let clients = Clients::connect(address).await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();

    // A filter for each economy, and none, which sees all: every change matches two groups.
    let mut filters: Vec<Vec<Filter>> = ECONOMIES.iter().map(|id| vec![of_entities(&[id])]).collect();
    filters.push(Vec::new());
    let figures = 120;
    let mut streams = Vec::new();
    for round in 0..3 {
        for filters in filters.iter().flat_map(|filters| std::iter::repeat_n(filters, 1 + 4 * round)) {
            let all = if filters.is_empty() { figures } else { figures / ECONOMIES.len() };
            let mut stream = subscribe_to(&clients, now(), filters.clone()).await.unwrap();
            assert!(matches!(next(&mut stream).await, Some(Message::Opened(_))));
            streams.push((stream, all));
        }
        let before = (hub.cache().changes_matched(), hub.cache().changes_encoded());
        let revision = commit(&clients, round).await;
        for (stream, all) in &mut streams {
            assert_eq!(next_commit(stream).await, (revision, *all));
        }
        let once = (before.0 + figures as u64, before.1 + figures as u64);
        let after = (hub.cache().changes_matched(), hub.cache().changes_encoded());
        assert_eq!(after, once, "with {} subscribers", streams.len());
        // A later subscriber with the same filters reads the same.
        let from = range(revision, revision);
        let mut late = subscribe_to(&clients, from, vec![of_entities(&[ECONOMIES[0]])]).await.unwrap();
        assert_eq!(next_commit(&mut late).await, (revision, figures / ECONOMIES.len()));
        assert_eq!((hub.cache().changes_matched(), hub.cache().changes_encoded()), once);
    }
    drop(streams);
    let _ = stop.send(());
    serving.await.unwrap().unwrap();
}

/// No commit wakes a stream that it does not match, but the end of a range does.
#[tokio::test]
async fn a_range_ends_with_its_last_revision_whether_that_matches_or_not() {
    let server = TestServer::empty().await;
    let clients = &server.clients;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    let request = SubscribeRequest {
        start: Some(range(2, 4)),
        filters: vec![of_entities(&["nobody"])],
        progress_interval: Some(prost_types::Duration { seconds: 20, nanos: 0 }),
        ..Default::default()
    };
    let mut stream = clients.feed.clone().subscribe(request).await.unwrap().into_inner();
    assert!(matches!(next(&mut stream).await, Some(Message::Opened(_))));
    for number in 0..3 {
        commit(clients, number).await;
    }
    let ended = async {
        loop {
            if let Some(Message::Goodbye(goodbye)) = next(&mut stream).await {
                return goodbye;
            }
        }
    };
    let goodbye = tokio::time::timeout(DEADLINE, ended).await.expect("the range ends");
    assert_eq!(goodbye.reason(), GoodbyeReason::RangeComplete);
    drop(stream);
    server.end().await;
}
