//! Streams that conflate: what is conflated, bounds, and subscribers that keep up or are slow.

use std::collections::BTreeMap;

use almanac::proto::{
    change::Detail, feed_service_client::FeedServiceClient, subscribe_request::Start,
    subscribe_response::Body as Message, *,
};
use tonic::{Code, transport::Endpoint};

use super::hot;
use crate::support::{
    Clients, DEADLINE, assert_refused,
    fixture::*,
    oracle::{self, CommitLog, KEYS_MAX, check_conflating, plain_copy},
    subscriptions::*,
    watch::{Recording, Watch},
};

const CONFLATING_MAX: usize = 1_000;

#[tokio::test]
async fn two_hundred_commits_of_one_figure_are_one_message_to_a_late_subscriber() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    for round in 0..200 {
        clients.ingest(released("2024-01-01"), hot(round, 1)).await.unwrap();
    }
    let filters = vec![of_kinds(&[ChangeKind::Value])];
    let mut watch = Watch::conflating(clients, range(2, 0), filters.clone()).await.unwrap();
    watch.until_covers(201).await;
    let recording = watch.leave().await;
    let log = CommitLog::read(clients).await;
    let steps = check_conflating(&log, &recording, 0);
    assert_eq!((steps.len(), steps[0].conflated_from, steps[0].revision), (1, 2, 201));
    let [change] = steps[0].changes.as_slice() else { panic!("one figure, one change") };
    let Some(Detail::Value(value)) = &change.detail else { panic!("{change:?}") };
    assert_eq!((value.r#move(), &value.before), (ValueMove::Added, &None));
    assert_eq!(crate::support::text(value.after.as_ref().unwrap().value.as_ref().unwrap()), "199.5");
    assert_eq!((change.scope(), change.revision, change.index), (ChangeScope::Entered, 201, 0));

    // A figure that changes and changes back is a new version: a copy of whole rows needs it.
    let token = recording.tokens().last().unwrap().1.clone();
    for round in [1, 2, 199] {
        clients.ingest(released("2024-01-01"), hot(round, 1)).await.unwrap();
    }
    let mut watch = Watch::conflating(clients, Start::ResumeToken(token), filters).await.unwrap();
    watch.until_covers(204).await;
    clients.ingest(released("2024-01-01"), hot(7, 1)).await.unwrap();
    watch.until_covers(205).await;
    let recording = watch.leave().await;
    let steps = check_conflating(&CommitLog::read(clients).await, &recording, 201);
    let outline: Vec<_> = steps.iter().map(|step| (step.revision, step.previous, step.conflated_from)).collect();
    assert_eq!(outline, [(204, 201, 202), (205, 204, 0)]);
    server.end().await;
}

#[tokio::test]
async fn a_subscriber_that_keeps_up_gets_every_commit() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut watch = Watch::conflating(clients, range(1, 0), Vec::new()).await.unwrap();
    for round in 0..20 {
        clients.ingest(released("2024-01-01"), hot(round, 3)).await.unwrap();
        watch.until_covers(round as u64 + 2).await;
    }
    // A commit that changes nothing is sent too.
    clients.ingest(released("2024-01-01"), hot(19, 3)).await.unwrap();
    watch.until_covers(22).await;
    let recording = watch.leave().await;
    let log = CommitLog::read(clients).await;
    oracle::check_recorded(&log, &recording, 0);
    assert!(recording.pages().iter().all(|page| page.conflated_from == 0));
    assert_eq!(recording.commits().len(), 22);
    server.end().await;
}

#[tokio::test]
async fn a_slow_subscriber_gets_fewer_messages_and_the_right_figures() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    // A client with small windows: messages that it does not read stay in the server.
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address())).unwrap();
    let small = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let mut feed = FeedServiceClient::new(small.connect().await.unwrap());
    let request = SubscribeRequest { start: Some(range(2, 0)), conflate: true, ..Default::default() };
    let mut unread = feed.subscribe(request).await.unwrap().into_inner();
    let rounds = 80;
    for round in 0..rounds {
        clients.ingest(released("2024-01-01"), hot(round, 400)).await.unwrap();
    }
    let head = clients.head().await;
    let mut messages = Vec::new();
    while crate::support::watch::covered(&messages) < head {
        let message = tokio::time::timeout(DEADLINE, unread.message()).await.expect("goes on").unwrap().unwrap();
        messages.extend(message.body);
    }
    let recording = Recording { start: range(2, 0), filters: Vec::new(), messages };
    let log = CommitLog::read(clients).await;
    let steps = check_conflating(&log, &recording, 0);
    let mut copy = plain_copy(&log, &[], 1);
    steps.iter().flat_map(|step| &step.changes).for_each(|change| copy.apply(change));
    assert_eq!(copy, plain_copy(&log, &[], head));
    println!("{rounds} commits came in {} steps", steps.len());
    assert!(steps.len() < rounds / 2, "{rounds} commits came in {} steps", steps.len());
    assert!(steps.iter().any(|step| step.conflated_from > 0));
    server.end().await;
}

#[tokio::test]
async fn conflations_are_bounded_and_a_long_commit_is_not_conflated() {
    use prost::Message as _;
    let server = server_with_catalog().await;
    let clients = &server.clients;
    // Small commits, one too long to be conflated, small ones; then more keys than a conflation has.
    for (round, figures) in [(0, 2), (1, 3), (2, KEYS_MAX + 1), (3, 2), (4, 3)] {
        clients.ingest(released("2024-01-01"), hot(round, figures)).await.unwrap();
    }
    for (round, entity) in ECONOMIES[1..].iter().enumerate() {
        // With long remarks a conflation takes several pages, and is bounded by 512 KiB.
        for value in [round, round + 1] {
            let mut sent = hot(value, 200);
            sent[0].entity = (*entity).into();
            for point in &mut sent[0].points {
                point.value.as_mut().unwrap().comment = "x".repeat(400);
            }
            clients.ingest(released("2024-01-01"), sent).await.unwrap();
        }
    }
    let head = clients.head().await;
    let mut watch = Watch::conflating(clients, range(2, 0), Vec::new()).await.unwrap();
    watch.until_covers(head).await;
    let recording = watch.leave().await;
    let steps = check_conflating(&CommitLog::read(clients).await, &recording, 0);
    let outline: Vec<(u64, u64, usize)> =
        steps.iter().map(|step| (step.conflated_from, step.revision, step.changes.len())).collect();
    let expected = [(2, 3, 3), (0, 4, KEYS_MAX + 1), (5, 9, 403), (10, 12, 400), (13, 15, 400), (0, 16, 200)];
    assert_eq!(outline, expected);
    let mut pages_of_conflations = 0;
    for page in recording.pages() {
        pages_of_conflations += usize::from(page.conflated_from > 0);
        let bytes = SubscribeResponse { body: Some(Message::CommitPage(page)) }.encoded_len();
        assert!(bytes < 256 << 10, "{bytes} bytes");
    }
    assert!(pages_of_conflations > steps.iter().filter(|step| step.conflated_from > 0).count());
    server.end().await;
}

#[tokio::test]
async fn progress_covers_commits_left_out_before_a_long_commit() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    // Two commits that change nothing, and one that is too long to be conflated.
    for (round, figures) in [(0, 1), (0, 1), (0, 1), (1, KEYS_MAX + 1)] {
        clients.ingest(released("2024-01-01"), hot(round, figures)).await.unwrap();
    }
    let mut watch = Watch::conflating(clients, range(3, 0), Vec::new()).await.unwrap();
    watch.until("a commit", |messages| messages.iter().any(|one| matches!(one, Message::CommitPage(_)))).await;
    let recording = watch.leave().await;
    let before: Vec<&Message> =
        recording.messages.iter().take_while(|one| !matches!(one, Message::CommitPage(_))).collect();
    let Some(Message::Progress(progress)) = before.last() else { panic!("{before:?}") };
    assert_eq!((progress.revision, recording.pages()[0].revision), (4, 5));
    // The token of the progress resumes before the long commit, also in a plain stream.
    let start = Start::ResumeToken(progress.resume_token.clone());
    let mut plain = Watch::open(clients, start, Vec::new()).await.unwrap();
    plain.until_covers(5).await;
    assert_eq!(plain.leave().await.pages()[0].revision, 5);
    server.end().await;
}

#[tokio::test]
async fn a_rank_window_is_conflated_by_the_rows_before_and_after() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.publish(edition("2025"), entries(&[1, 2, 3, 4])).await.unwrap();
    // 3 enters the top two and leaves again, 4 enters and stays, 1 leaves, 2 moves within.
    clients.publish(correction(edition("2025")), entries(&[3, 1, 2, 4])).await.unwrap();
    clients.publish(correction(edition("2025")), entries(&[2, 4, 3, 1])).await.unwrap();
    let filters = vec![with_name("two", within_rank(2)), with_name("one", within_rank(1))];
    let watch = Watch::conflating(clients, range(3, 4), filters).await.unwrap();
    let recording = watch.ended().await.unwrap();
    let steps = check_conflating(&CommitLog::read(clients).await, &recording, 0);
    assert_eq!(steps.len(), 1);
    let seen: BTreeMap<String, (ChangeScope, Movement, Vec<String>)> = steps[0]
        .changes
        .iter()
        .map(|change| {
            let Some(Detail::Entry(entry)) = &change.detail else { panic!("{change:?}") };
            (entry.entity.clone(), (change.scope(), entry.movement(), change.matched_filters.clone()))
        })
        .collect();
    let expected = [
        (cluster(1), (ChangeScope::Left, Movement::Down, ids(&["two", "one"]))),
        (cluster(2), (ChangeScope::Changed, Movement::Up, ids(&["two", "one"]))),
        (cluster(4), (ChangeScope::Entered, Movement::Up, ids(&["two"]))),
    ];
    assert_eq!(seen, BTreeMap::from(expected));
    server.end().await;
}

#[tokio::test]
async fn conflating_subscriptions_are_bounded() {
    let server = server_with_catalog().await;
    let mut open = Vec::new();
    let mut clients = Clients::connect(server.address()).await;
    for number in 0..CONFLATING_MAX {
        // A connection carries 256 streams.
        if number % 250 == 249 {
            clients = Clients::connect(server.address()).await;
        }
        let request = SubscribeRequest { start: Some(now()), conflate: true, ..Default::default() };
        open.push(clients.feed.clone().subscribe(request).await.unwrap().into_inner());
    }
    let refused = Watch::conflating(&server.clients, range(1, 0), Vec::new()).await.map(|_| ());
    assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_CONFLATING");
    Watch::open(&server.clients, range(1, 0), Vec::new()).await.unwrap().until_covers(1).await;
    // A subscription that ends makes room.
    drop(open.pop());
    let came = async {
        while Watch::conflating(&server.clients, range(1, 0), Vec::new()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, came).await.expect("there is room again");
    drop(open);
    server.end().await;
}
