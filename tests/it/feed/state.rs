//! Streams that begin with the state.

use almanac::proto::{state_row::Item, subscribe_request::Start, subscribe_response::Body as Message, *};
use tonic::Code;

use super::{all_filters, copy_of, write_values};
use crate::support::{
    Dice, assert_refused, at_recorded, at_released, at_revision,
    fixture::*,
    long,
    oracle::{self},
    replica::{self},
    steward::Steward,
    subscriptions::*,
    text,
    watch::{Recording, Watch},
};

#[tokio::test]
async fn a_copy_kept_from_any_state_equals_the_state_at_head() {
    let dice = Dice::new("a_copy");
    let server = server_with_catalog().await;
    let clients = server.clients.clone();
    let mut author = Steward::new(dice, "steward", 1_500).with_reverts();
    for _ in 0..12 {
        author.next(clients.head().await).send_or_refused(&clients).await;
    }
    // Subscribers come while writes go on, so that commits fall into the reading of the state.
    let writing = {
        let clients = clients.clone();
        tokio::spawn(async move {
            for _ in 0..if long() { 200 } else { 30 } {
                author.next(clients.head().await).send_or_refused(&clients).await;
            }
        })
    };
    let mut watches = Vec::new();
    while !writing.is_finished() && watches.len() < 40 {
        let mut watch = Watch::open(&clients, state(), Vec::new()).await.unwrap();
        watch.until("the state", |messages| messages.iter().any(|one| matches!(one, Message::SnapshotEnd(_)))).await;
        watches.push(watch);
        // The next one begins at another revision.
        let head = clients.head().await;
        while clients.head().await == head && !writing.is_finished() {
            tokio::task::yield_now().await;
        }
    }
    writing.await.unwrap();
    // Whatever the steward reverted, there is something in the end.
    let years: Vec<String> = (1000..1150).map(|year| year.to_string()).collect();
    let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), "1.5")).collect();
    clients.ingest(released("2015-01-01"), vec![batch(RD, "CHN", "bank", &points)]).await.unwrap();
    clients.publish(edition("2001"), entries(&[1, 2, 3])).await.unwrap();
    let head = clients.head().await;
    let mut fresh = Watch::open(&clients, state(), Vec::new()).await.unwrap();
    fresh.until_covers(head).await;
    let fresh = fresh.leave().await;
    let expected = copy_of(&fresh);
    let end = fresh.snapshot_end().unwrap();
    assert_eq!(end.digest, expected.digest());
    assert!(expected.rows().values().filter(|row| matches!(row, Item::Figure(_))).count() > 100);
    assert!(expected.rows().values().any(|row| matches!(row, Item::Entry(_))));
    let mut starts = Vec::new();
    for mut watch in watches {
        watch.until_covers(head).await;
        let recording = watch.leave().await;
        copy_of(&recording).assert_same(&expected, &format!("from {}", recording.opened().start_revision));
        starts.push(recording.opened().start_revision);
    }
    starts.dedup();
    assert!(starts.len() > 1, "the states were of different revisions: {starts:?}");
    server.end().await;
}

#[tokio::test]
async fn the_state_as_known_at_a_point_goes_on_with_every_later_commit() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    write_values(clients, &["1", "2", "3"]).await;
    let recorded = clients.commits(2, Vec::new()).await[0].commit.recorded.unwrap();
    for (at, revision) in [(at_revision(3), 3), (at_revision(0), 0), (at_recorded(recorded), 3)] {
        let mut watch = Watch::open(clients, Start::AsKnownAt(at.unwrap()), Vec::new()).await.unwrap();
        watch.until_covers(4).await;
        let recording = watch.leave().await;
        let start = recording.opened().start_revision;
        assert!(start == revision || start == 4, "commits of one instant count as one: {start}");
        assert_eq!(recording.snapshot_end().unwrap().revision, start);
        assert_eq!(recording.commits().len() as u64, 4 - start);
        let copy = copy_of(&recording);
        let figures = copy.rows().values().filter_map(|row| match row {
            Item::Figure(figure) => figure.value.as_ref(),
            _ => None,
        });
        assert_eq!(figures.map(text).collect::<Vec<_>>(), ["3"]);
    }
    let above = Watch::open(clients, Start::AsKnownAt(at_revision(9).unwrap()), Vec::new()).await;
    assert_refused(above.map(|_| ()), Code::OutOfRange, "ABOVE_HEAD");
    server.end().await;
}

#[tokio::test]
async fn the_state_as_known_at_a_release_date_is_that_of_the_revision_it_resolves_to() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    // The last one is an older release, loaded after a newer one.
    for (day, value) in [("2024-01-01", "1"), ("2023-06-01", "4"), ("2024-06-01", "2"), ("2025-01-01", "3")] {
        let period = if value == "4" { "2019" } else { "2020" };
        clients.ingest(released(day), vec![batch(RD, "CHN", "bank", &[(period, value)])]).await.unwrap();
    }
    let head = clients.head().await;
    let mut starts = Vec::new();
    for day in ["2023-05-31", "2023-06-01", "2024-05-31", "2024-06-01", "2030-01-01"] {
        let resolved = ResolveRevisionRequest {
            at: Some(resolve_revision_request::At::Released(day.into())),
            ..Default::default()
        };
        let revision = clients.feed.clone().resolve_revision(resolved).await.unwrap().into_inner().revision;
        let of_day = Start::AsKnownAt(at_released(day).unwrap());
        let of_revision = Start::AsKnownAt(at_revision(revision).unwrap());
        let mut recordings = Vec::new();
        for start in [of_day, of_revision] {
            let mut watch = Watch::open(clients, start, Vec::new()).await.unwrap();
            watch.until_covers(head).await;
            recordings.push(watch.leave().await);
        }
        assert_eq!(recordings[0].snapshot_end().unwrap().revision, revision, "{day}");
        assert_eq!(recordings[0].snapshot_end(), recordings[1].snapshot_end(), "{day}");
        assert_eq!(recordings[0].commits(), recordings[1].commits(), "{day}");
        assert_eq!(recordings[0].commits().len() as u64, head - revision, "{day}");
        starts.push(revision);
    }
    assert_eq!(starts, [0, 3, 3, 4, 5]);
    server.end().await;
}

#[tokio::test]
async fn a_filter_narrows_the_state_as_it_narrows_changes() {
    let dice = Dice::new("filtered state");
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut author = Steward::new(dice, "steward", 200).with_reverts();
    for _ in 0..25 {
        author.next(clients.head().await).send_or_refused(clients).await;
    }
    let head = clients.head().await;
    for filters in all_filters() {
        // The state now must equal a copy of all changes.
        let mut watch = Watch::open(clients, state(), filters.clone()).await.unwrap();
        watch.until_covers(head).await;
        let state = watch.leave().await;
        oracle::state_is_complete(clients, &state).await;
        if !replica::keep_state(&filters) {
            continue;
        }
        let mut watch = Watch::open(clients, range(1, 0), filters.clone()).await.unwrap();
        watch.until_covers(head).await;
        let replayed = copy_of(&watch.leave().await);
        copy_of(&state).assert_same(&replayed, &format!("{filters:?}"));
        assert_eq!(state.snapshot_end().unwrap().digest, replayed.digest());
    }
    let places = vec![Filter { min_places: 2, ..Default::default() }];
    let mut watch = Watch::open(clients, state(), places).await.unwrap();
    watch.until_covers(head).await;
    for message in watch.leave().await.messages {
        if let Message::SnapshotPage(page) = message {
            for row in page.rows {
                assert!(matches!(row.item, Some(Item::Entry(_))), "only entries move, so the state has only entries");
            }
        }
    }
    server.end().await;
}

#[tokio::test]
async fn the_digest_is_of_the_version_that_was_asked_for() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.ingest(released("2024-01-01"), one_figure("1")).await.unwrap();
    clients.publish(edition("2024"), entries(&[1, 2, 3])).await.unwrap();
    let mut digests = Vec::new();
    for (asked, answered) in [(0, 2), (1, 1), (2, 2)] {
        let request = SubscribeRequest { start: Some(state()), digest_version: asked, ..Default::default() };
        let mut stream = clients.feed.clone().subscribe(request).await.unwrap().into_inner();
        let mut messages = Vec::new();
        while !matches!(messages.last(), Some(Message::SnapshotEnd(_))) {
            messages.extend(stream.message().await.unwrap().unwrap().body);
        }
        let recording = Recording { start: state(), filters: Vec::new(), messages };
        let end = recording.snapshot_end().unwrap();
        assert_eq!(end.digest_version, answered, "asked for {asked}");
        oracle::state_is_complete(clients, &recording).await;
        digests.push(end.digest);
    }
    assert_eq!(digests[0], digests[2]);
    assert_ne!(digests[0], digests[1]);
    for asked in [3, u32::MAX] {
        let request = SubscribeRequest { start: Some(state()), digest_version: asked, ..Default::default() };
        let refused = clients.feed.clone().subscribe(request).await.map(|_| ());
        let status = assert_refused(refused, Code::InvalidArgument, "DIGEST_VERSION");
        let details = tonic_types::StatusExt::get_error_details(&status);
        assert_eq!(details.error_info().unwrap().metadata["versions"], "1 2");
    }
    server.end().await;
}
