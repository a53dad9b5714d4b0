//! Sources whose licence closes or opens while subscribers listen.

use std::time::Duration;

use almanac::{
    client::{FollowEvent, FollowStart, Follower},
    proto::{state_row::Item, subscribe_request::Start, *},
};

use crate::support::{Clients, DEADLINE, fixture::*, subscriptions::range, watch::Watch};

/// Allows or forbids the redistribution of `press`.
async fn close(clients: &Clients, redistribution: Redistribution) {
    let mut press = source("press", 500);
    if let Some(definition::Item::Source(of)) = &mut press.item {
        of.redistribution = redistribution.into();
    }
    clients.define(WriteOptions::default(), vec![press]).await.unwrap();
}

fn figures_of_press(value: &str) -> Vec<SeriesBatch> {
    vec![batch(RD, "CHN", "press", &[("2020", value)])]
}

#[tokio::test]
async fn a_source_that_closes_ends_the_streams_that_include_it() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.ingest(released("2024-01-01"), figures_of_press("1")).await.unwrap();
    let mut before = Watch::open(clients, range(1, 0), Vec::new()).await.unwrap();
    before.until_covers(2).await;
    close(clients, Redistribution::Forbidden).await;
    clients.ingest(released("2024-01-01"), figures_of_press("2")).await.unwrap();
    let before = before.ended().await.unwrap();
    assert_eq!(before.opened().left_out_sources, ["closed"]);
    let goodbye = before.goodbye().unwrap();
    assert_eq!(goodbye.reason(), GoodbyeReason::LicencesChanged);
    assert!(before.commits().iter().all(|one| one.commit.revision < 4), "a figure of the closed source is in a commit");
    let token = goodbye.resume_token.clone();
    let mut since = Watch::open(clients, Start::ResumeToken(token), Vec::new()).await.unwrap();
    since.until_covers(4).await;
    let since = since.leave().await;
    assert_eq!(since.opened().left_out_sources, ["closed", "press"]);
    let outline: Vec<(u64, u64)> = since.commits().iter().map(|one| (one.commit.revision, one.previous)).collect();
    assert_eq!(outline, [(3, 2)]);
    server.end().await;
}

fn has_press(rows: &[StateRow]) -> bool {
    rows.iter().any(|row| matches!(&row.item, Some(Item::Figure(figure)) if figure.source == "press"))
}

/// Rows of a source that closes leave, and come back when it opens: each time the state begins anew.
#[tokio::test]
async fn a_follower_begins_its_state_again_when_a_source_closes_or_opens() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.ingest(released("2024-01-01"), vec![batch(RD, "CHN", "press", &[("2020", "1")])]).await.unwrap();
    let mut follower = Follower::new(clients.feed.clone(), FollowStart::State, Vec::new())
        .progress_every(Duration::from_millis(100))
        .jitter(|| 0.0);
    assert!(has_press(&state(&mut follower, None).await));
    close(clients, Redistribution::Forbidden).await;
    assert!(!has_press(&state(&mut follower, Some(&["closed", "press"])).await));
    close(clients, Redistribution::Allowed).await;
    assert!(has_press(&state(&mut follower, Some(&["closed"])).await));
    server.end().await;
}

/// The rows of the next state, which begins after the follower has reported these sources as left out.
async fn state(follower: &mut Follower<tonic::transport::Channel>, left_out: Option<&[&str]>) -> Vec<StateRow> {
    let mut rows = Vec::new();
    let mut reported = left_out.is_none();
    loop {
        let event = tokio::time::timeout(DEADLINE, follower.next()).await.expect("an event").unwrap().unwrap();
        match event {
            FollowEvent::LicencesChanged { left_out: sources } => {
                assert_eq!(Some(&sources.iter().map(String::as_str).collect::<Vec<_>>()[..]), left_out);
                reported = true;
            }
            FollowEvent::Rows(page) if reported => rows.extend(page),
            FollowEvent::StateComplete(end) if reported => {
                assert_eq!(end.row_count, rows.len() as u64);
                return rows;
            }
            FollowEvent::Changes(_) => assert!(!reported, "a change before the state"),
            _ => {}
        }
    }
}
