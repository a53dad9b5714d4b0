//! The feed: every promise over every kind of subscription, its starts, its filters, its tokens and its ends.

use std::time::Duration;

use almanac::proto::{
    change::Detail, state_row::Item, subscribe_request::Start, subscribe_response::Body as Message, *,
};
use tonic::Code;

use crate::support::{
    Clients, DEADLINE, Dice, TestServer, WholeCommit, assert_refused, at_recorded, at_released, at_revision,
    author::Author,
    fixture::*,
    long,
    oracle::{self, CommitLog},
    replica::{self, Replica},
    steward::Steward,
    watch::{Recording, Watch, covered},
};

fn state() -> Start {
    Start::State(StartState {})
}

fn now() -> Start {
    Start::Now(StartNow {})
}

fn range(from: u64, until: u64) -> Start {
    Start::Range(StartRange { first_revision: from, last_revision: until })
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn sex(code: &str) -> Dimension {
    Dimension { id: "SEX".into(), value: code.into() }
}

/// One filter of every kind, and some together.
fn all_filters() -> Vec<Vec<Filter>> {
    let one = |filter: Filter| vec![filter];
    vec![
        Vec::new(),
        one(Filter { kinds: vec![ChangeKind::Value.into()], ..Default::default() }),
        one(Filter { kinds: vec![ChangeKind::Entry.into(), ChangeKind::Edition.into()], ..Default::default() }),
        one(Filter { kinds: vec![ChangeKind::Definition.into()], ..Default::default() }),
        one(Filter { rankings: ids(&[RANKING]), ..Default::default() }),
        one(Filter { indicators: ids(&["GB.*"]), ..Default::default() }),
        one(Filter { indicators: ids(&[PATENTS, VENTURE]), entities: ids(&["CHN"]), ..Default::default() }),
        one(Filter { entities: ids(&["CHN"]), ..Default::default() }),
        one(Filter { sources: ids(&["press"]), ..Default::default() }),
        one(Filter { causes: vec![Cause::FirstRelease.into(), Cause::ReloadUnchanged.into()], ..Default::default() }),
        one(Filter { rank_at_most: 3, ..Default::default() }),
        one(Filter { min_places: 3, ..Default::default() }),
        one(Filter { entities: ids(&["nobody"]), ..Default::default() }),
        one(Filter { dimensions: vec![sex("F")], ..Default::default() }),
        one(Filter { dimensions: vec![sex("F"), sex("M")], entities: ids(&["CHN"]), ..Default::default() }),
        one(Filter { sources: ids(&["office"]), ..Default::default() }),
        one(Filter { sources: ids(&["closed"]), kinds: vec![ChangeKind::Definition.into()], ..Default::default() }),
        vec![
            Filter { name: "chinese".into(), entities: ids(&["CHN"]), ..Default::default() },
            Filter { name: "first".into(), rank_at_most: 1, ..Default::default() },
            Filter { name: "venture".into(), indicators: ids(&["VC.*"]), ..Default::default() },
        ],
    ]
}

/// Subscribers come while a steward writes; at the end every promise is checked on what each saw, before and after a
/// restart.
#[tokio::test]
async fn every_promise_holds_for_every_filter_and_start_while_writes_go_on() {
    let mut dice = Dice::new("every_promise");
    let mut server = server_with_catalog().await;
    let clients = server.clients.clone();
    let mut author = Steward::new(dice.clone(), "steward", 900).with_reverts();
    let filters = all_filters();
    // Something for every filter, whatever the dice say.
    let figures = INDICATORS.iter().flat_map(|indicator| {
        let plain = batch(indicator, "CHN", "press", &[("2014", "1")]);
        ["F", "M"].map(|code| SeriesBatch { dimensions: vec![sex(code)], ..plain.clone() }).into_iter().chain([plain])
    });
    clients.ingest(released("2015-01-01"), figures.collect()).await.unwrap();
    clients.publish(edition("2016"), entries(&[1, 2, 3, 4, 5, 6])).await.unwrap();
    clients.publish(edition("2017"), entries(&[6, 5, 4, 3, 2, 1])).await.unwrap();
    let (writes, every) = if long() { (400, 5) } else { (36, 3) };
    let mut watches: Vec<Watch> = Vec::new();
    for number in 0..writes {
        author.next(clients.head().await).send_or_refused(&clients).await;
        if number % every != 0 {
            continue;
        }
        let head = clients.head().await;
        let start = match dice.below(5) {
            0 => now(),
            1 => state(),
            2 => Start::AsKnownAt(at_revision(1 + dice.below(head as usize) as u64).unwrap()),
            _ => range(1 + dice.below(head as usize + 1) as u64, 0),
        };
        // Every filter gets its turn, most of them from the beginning of history.
        let which = number / every % filters.len();
        watches.push(Watch::open(&clients, start, filters[which].clone()).await.unwrap());
    }
    for filter in &filters {
        watches.push(Watch::open(&clients, range(1, 0), filter.clone()).await.unwrap());
    }
    watches.push(Watch::open(&clients, state(), Vec::new()).await.unwrap());
    let head = clients.head().await;
    let mut recordings = Vec::new();
    for mut watch in watches {
        watch.until_covers(head).await;
        recordings.push(watch.leave().await);
    }
    let log = CommitLog::read(&clients).await;
    for recording in &recordings {
        oracle::check(&clients, &log, recording, recording.opened().start_revision).await;
    }
    // The filters are worth something: each but one saw something, and none but the first saw everything.
    let from_start: Vec<usize> =
        recordings.iter().filter(|one| one.start == range(1, 0)).map(|one| count(&one.commits())).collect();
    let whole = count(&log.commits);
    let seen = &from_start[from_start.len() - filters.len()..];
    for (seen, filter) in seen.iter().zip(&filters) {
        let nobody = filter.iter().any(|filter| filter.entities == ["nobody"]);
        assert_eq!(*seen == 0, nobody, "{filter:?}");
        assert!(*seen < whole || filter.is_empty(), "{filter:?}");
    }

    server.restart().await;
    let after = CommitLog::read(&server.clients).await;
    assert_eq!(after.commits, log.commits);
    for recording in &recordings {
        oracle::durable(&after, recording, recording.opened().start_revision);
        oracle::resumable(&server.clients, &after, recording, recording.opened().start_revision).await;
    }
    server.end().await;
}

fn count(commits: &[WholeCommit]) -> usize {
    commits.iter().map(|commit| commit.changes.len()).sum()
}

/// The copy of who kept it from a state, or from nothing, by every commit since.
fn copy_of(recording: &Recording) -> Replica {
    let mut copy = Replica::of_state(&recording.messages);
    recording.commits().iter().for_each(|commit| copy.apply_commit(commit));
    copy
}

#[tokio::test]
async fn a_copy_kept_from_the_state_is_the_state_without_a_seam() {
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
        // The next one begins elsewhere.
        let head = clients.head().await;
        while clients.head().await == head && !writing.is_finished() {
            tokio::task::yield_now().await;
        }
    }
    writing.await.unwrap();
    // Whatever the steward took back, there is something in the end.
    let years: Vec<String> = (1000..1150).map(|year| year.to_string()).collect();
    let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), "1.5")).collect();
    clients.ingest(released("2015-01-01"), vec![batch(RD, "CHN", "bank", &points)]).await.unwrap();
    clients.publish(edition("2001"), entries(&[1, 2, 3])).await.unwrap();
    let head = clients.head().await;
    let mut fresh = Watch::open(&clients, state(), Vec::new()).await.unwrap();
    fresh.until_covers(head).await;
    let fresh = fresh.leave().await;
    let (expected, end) = (copy_of(&fresh), fresh.snapshot_end().unwrap());
    assert_eq!(end.digest, expected.digest());
    let kinds = |wanted: fn(&Item) -> bool| expected.rows().values().filter(|row| wanted(row)).count();
    assert!(kinds(|row| matches!(row, Item::Figure(_))) > 100 && kinds(|row| matches!(row, Item::Entry(_))) > 0);
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
    let figures = |value: &str| vec![batch(RD, "CHN", "bank", &[("2020", value)])];
    for value in ["1", "2", "3"] {
        clients.ingest(released("2024-01-01"), figures(value)).await.unwrap();
    }
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
        assert_eq!(figures.map(crate::support::text).collect::<Vec<_>>(), ["3"]);
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
        // What changes would be told from the start, and what the state says now.
        let mut watch = Watch::open(clients, state(), filters.clone()).await.unwrap();
        watch.until_covers(head).await;
        let told = watch.leave().await;
        oracle::state_is_complete(clients, &told).await;
        if !replica::keep_state(&filters) {
            continue;
        }
        let mut watch = Watch::open(clients, range(1, 0), filters.clone()).await.unwrap();
        watch.until_covers(head).await;
        let replayed = copy_of(&watch.leave().await);
        copy_of(&told).assert_same(&replayed, &format!("{filters:?}"));
        assert_eq!(told.snapshot_end().unwrap().digest, replayed.digest());
    }
    let places = vec![Filter { min_places: 2, ..Default::default() }];
    let mut watch = Watch::open(clients, state(), places).await.unwrap();
    watch.until_covers(head).await;
    for message in &watch.leave().await.messages {
        if let Message::SnapshotPage(page) = message {
            let entry = |row: &StateRow| matches!(row.item, Some(Item::Entry(_)));
            assert!(page.rows.iter().all(entry), "only entries move, so only entries are in its state");
        }
    }
    server.end().await;
}

#[tokio::test]
async fn a_quiet_filter_still_hears_how_far_the_stream_came() {
    let mut server = server_with_catalog().await;
    let clients = server.clients.clone();
    let nobody = vec![Filter { entities: ids(&["nobody"]), ..Default::default() }];
    let mut watch = Watch::open(&clients, now(), nobody.clone()).await.unwrap();
    for value in ["1", "2", "3"] {
        clients.ingest(released("2024-01-01"), vec![batch(RD, "CHN", "bank", &[("2020", value)])]).await.unwrap();
    }
    watch.until_covers(4).await;
    // And again, although nothing happens.
    let progress = |messages: &[Message]| messages.iter().filter(|one| matches!(one, Message::Progress(_))).count();
    watch.until("more progress", |messages| progress(messages) >= 5).await;
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

/// Whether a goodbye names a wait: zero looks like unset.
fn waits(goodbye: &Goodbye) -> bool {
    goodbye.reconnect_after.is_some_and(|after| after.seconds > 0 || after.nanos > 0)
}

#[tokio::test]
async fn a_range_is_replayed_and_ends_with_a_token() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    for value in ["1", "2", "3"] {
        clients.ingest(released("2024-01-01"), vec![batch(RD, "CHN", "bank", &[("2020", value)])]).await.unwrap();
    }
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
    for value in ["4", "5", "6"] {
        clients.ingest(released("2024-01-01"), vec![batch(RD, "CHN", "bank", &[("2020", value)])]).await.unwrap();
    }
    let waited = waiting.ended().await.unwrap();
    assert_eq!(waited.commits().len(), 2);
    assert_eq!(waited.goodbye().unwrap().reason(), GoodbyeReason::RangeComplete);

    let refused = async |start| Watch::open(clients, start, Vec::new()).await.map(|_| ());
    assert_refused(refused(range(9, 0)).await, Code::OutOfRange, "ABOVE_HEAD");
    assert_refused(refused(range(0, 0)).await, Code::InvalidArgument, "FIELD");
    assert_refused(refused(range(5, 4)).await, Code::InvalidArgument, "FIELD");
    let nowhere = clients.feed.clone().subscribe(SubscribeRequest::default()).await.map(|_| ());
    assert_refused(nowhere, Code::InvalidArgument, "FIELD");
    server.end().await;
}

#[tokio::test]
async fn tokens_that_do_not_belong_here_are_refused_with_their_reason() {
    let (home, abroad) = (server_with_catalog().await, server_with_catalog().await);
    let china = || vec![Filter { entities: ids(&["CHN"]), ..Default::default() }];
    let token = async |server: &TestServer, filters| {
        let mut watch = Watch::open(&server.clients, range(1, 0), filters).await.unwrap();
        watch.until_covers(1).await;
        watch.leave().await.tokens().last().unwrap().1.clone()
    };
    let (ours, foreign) = (token(&home, china()).await, token(&abroad, china()).await);
    let mut forged: Vec<char> = ours.chars().collect();
    // A place in the middle: the revision.
    forged[26] = if forged[26] == 'B' { 'C' } else { 'B' };
    let forged: String = forged.into_iter().collect();
    let cases = [
        (foreign.clone(), china(), Code::FailedPrecondition, "TOKEN_OTHER_HISTORY"),
        (forged, china(), Code::InvalidArgument, "TOKEN_MALFORMED"),
        ("12".into(), china(), Code::InvalidArgument, "TOKEN_MALFORMED"),
        (ours[1..].to_owned(), china(), Code::InvalidArgument, "TOKEN_MALFORMED"),
        (format!("{ours}A"), china(), Code::InvalidArgument, "TOKEN_MALFORMED"),
        (ours.clone(), Vec::new(), Code::InvalidArgument, "TOKEN_OTHER_FILTER"),
        (
            ours.clone(),
            vec![Filter { entities: ids(&["CHN", "USA"]), ..Default::default() }],
            Code::InvalidArgument,
            "TOKEN_OTHER_FILTER",
        ),
    ];
    for (token, filters, code, why) in cases {
        let start = Start::ResumeToken(token.clone());
        let refused = Watch::open(&home.clients, start, filters.clone()).await.map(|_| ());
        assert_refused(refused, code, why);
        let request = ListCommitsRequest { resume_token: token, filters, ..Default::default() };
        assert_refused(home.clients.feed.clone().list_commits(request).await, code, why);
    }
    let empty = Watch::open(&home.clients, Start::ResumeToken(String::new()), china()).await.map(|_| ());
    assert_refused(empty, Code::InvalidArgument, "TOKEN_MALFORMED");
    // The same filter, spelled otherwise, is the same filter.
    let spelled = vec![Filter { entities: ids(&["CHN", "CHN"]), ..Default::default() }];
    Watch::open(&home.clients, Start::ResumeToken(ours), spelled).await.unwrap().leave().await;
    abroad.end().await;
    home.end().await;
}

#[tokio::test]
async fn filters_of_the_wrong_shape_are_refused() {
    let server = server_with_catalog().await;
    let named = |name: &str| Filter { name: name.into(), ..Default::default() };
    let cases = [
        vec![Filter { kinds: vec![99], ..Default::default() }],
        vec![Filter { kinds: vec![0], ..Default::default() }],
        vec![Filter { causes: vec![99], ..Default::default() }],
        vec![Filter { causes: vec![0], ..Default::default() }],
        vec![Filter { entities: ids(&["a b"]), ..Default::default() }],
        vec![Filter { dimensions: vec![sex("")], ..Default::default() }],
        vec![Filter { dimensions: vec![Dimension { id: "a=b".into(), value: "F".into() }], ..Default::default() }],
        vec![Filter { dimensions: vec![sex("F"); 101], ..Default::default() }],
        vec![Filter { entities: vec!["CHN".into(); 1_001], ..Default::default() }],
        vec![named("one"), named("one")],
        vec![named("one"), named("")],
        (0..33).map(|number| named(&number.to_string())).collect(),
    ];
    for filters in cases {
        let refused = Watch::open(&server.clients, now(), filters).await.map(|_| ());
        assert_refused(refused, Code::InvalidArgument, "FIELD");
    }
    server.end().await;
}

#[tokio::test]
async fn a_rank_window_says_who_enters_and_leaves_it() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.publish(edition("2022"), entries(&[1, 2, 3, 4, 5])).await.unwrap();
    let top = vec![Filter { rank_at_most: 2, ..Default::default() }];
    let mut watch = Watch::open(clients, now(), top).await.unwrap();
    clients.publish(edition("2023"), entries(&[3, 1, 2, 4, 6])).await.unwrap();
    watch.until_covers(3).await;
    let commits = watch.leave().await.commits();
    let seen: Vec<(String, ChangeScope)> = commits[0]
        .changes
        .iter()
        .map(|change| match change.detail.as_ref().unwrap() {
            Detail::Entry(entry) => (entry.entity.clone(), change.scope()),
            other => panic!("{other:?}"),
        })
        .collect();
    // Rows of 2023; those of 2022 stay as they are.
    let expected =
        [(cluster(3), ChangeScope::Entered), (cluster(1), ChangeScope::Entered), (cluster(2), ChangeScope::Outside)];
    assert_eq!(seen, expected);
    server.end().await;
}

/// What a subscriber of entries hears of the newest commit: entities and scopes.
async fn heard_of_head(clients: &Clients, filter: Filter) -> Vec<(String, ChangeScope)> {
    let head = clients.head().await;
    let filter = Filter { kinds: vec![ChangeKind::Entry.into()], ..filter };
    let watch = Watch::open(clients, range(head, head), vec![filter]).await.unwrap();
    let commits = watch.ended().await.unwrap().commits();
    let changes = commits.into_iter().flat_map(|commit| commit.changes);
    let heard = changes.map(|change| match change.detail.as_ref().unwrap() {
        Detail::Entry(entry) => (entry.entity.clone(), change.scope()),
        other => panic!("{other:?}"),
    });
    heard.collect()
}

#[tokio::test]
async fn a_row_that_a_correction_moves_leaves_one_filter_and_enters_the_other() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let of_source = |source: &str| {
        let mut header = edition("2025");
        header.edition.as_mut().unwrap().source = source.into();
        header
    };
    let entry_of = |economy: &str| vec![Entry { economies: ids(&[economy]), ..entry(1, 1) }];
    clients.publish(of_source("office"), entry_of("CHN")).await.unwrap();

    clients.publish(correction(of_source("office")), entry_of("JPN")).await.unwrap();
    let entity = |id: &str| Filter { entities: ids(&[id]), ..Default::default() };
    assert_eq!(heard_of_head(clients, entity("CHN")).await, [(cluster(1), ChangeScope::Left)]);
    assert_eq!(heard_of_head(clients, entity("JPN")).await, [(cluster(1), ChangeScope::Entered)]);
    assert_eq!(heard_of_head(clients, entity(&cluster(1))).await, [(cluster(1), ChangeScope::Changed)]);

    // The entry stays as it is, and its edition's source is another.
    let written = clients.publish(correction(of_source("press")), entry_of("JPN")).await.unwrap();
    let counts = written.result.unwrap().counts.unwrap();
    assert_eq!((counts.revised, counts.unchanged), (0, 1));
    let source = |id: &str| Filter { sources: ids(&[id]), ..Default::default() };
    assert_eq!(heard_of_head(clients, source("office")).await, [(cluster(1), ChangeScope::Left)]);
    assert_eq!(heard_of_head(clients, source("press")).await, [(cluster(1), ChangeScope::Entered)]);
    server.end().await;
}

#[tokio::test]
async fn subscribers_that_come_and_go_miss_nothing_and_get_nothing_twice() {
    let mut dice = Dice::new("come and go");
    let mut server = server_with_catalog().await;
    let clients = server.clients.clone();
    let mut author = Author::new(dice.clone(), "steward", 700);
    let filters = all_filters();
    let subscribers = filters.iter().map(|filters| {
        let (filters, clients) = (filters.clone(), clients.clone());
        let mut dice = {
            dice.next();
            dice.clone()
        };
        tokio::spawn(async move {
            let mut start = range(1, 0);
            let (mut got, mut visits): (Vec<WholeCommit>, usize) = (Vec::new(), 0);
            loop {
                let mut watch = Watch::open(&clients, start.clone(), filters.clone()).await.unwrap();
                let messages = 1 + dice.below(12);
                watch.until("a message", |seen| seen.len() >= messages).await;
                let mut recording = watch.leave().await;
                // What came after it is lost, as with a client that breaks down.
                recording.messages.truncate(messages);
                let done = got.iter().chain(&recording.commits()).any(is_last) || is_done(&recording);
                got.extend(recording.commits());
                visits += 1;
                // The newest token that came, whatever carried it.
                if let Some((_, token)) = recording.tokens().last() {
                    start = Start::ResumeToken(token.clone());
                }
                if done {
                    return (filters, got, visits);
                }
            }
        })
    });
    let subscribers: Vec<_> = subscribers.collect();
    for _ in 0..if long() { 150 } else { 25 } {
        author.next().send(&clients).await.unwrap();
    }
    // The sign to stop, which every filter but the narrowest lets through; those stop by the revision they hear of.
    let last = clients.define(WriteOptions { note: LAST.into(), ..Default::default() }, catalog()).await.unwrap();
    LAST_REVISION.store(last.revision, std::sync::atomic::Ordering::SeqCst);
    let log = CommitLog::read(&clients).await;
    for subscriber in subscribers {
        let (filters, got, visits) =
            tokio::time::timeout(DEADLINE, subscriber).await.expect("comes to the end").unwrap();
        let expected = log.expected(&filters, 0, u64::MAX);
        assert_eq!(got, expected, "{filters:?} in {visits} visits");
        assert!(visits > 2 || !filters.is_empty(), "{visits} visits");
    }
    server.restart().await;
    assert_eq!(CommitLog::read(&server.clients).await.commits, log.commits);
    server.end().await;
}

const LAST: &str = "the last commit";
static LAST_REVISION: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(u64::MAX);

fn is_last(commit: &WholeCommit) -> bool {
    commit.commit.note == LAST
}

fn is_done(recording: &Recording) -> bool {
    covered(&recording.messages) >= LAST_REVISION.load(std::sync::atomic::Ordering::SeqCst)
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye_and_its_token_goes_on_after_the_restart() {
    let mut server = server_with_catalog().await;
    let start = async |start| Watch::open(&server.clients, start, Vec::new()).await.unwrap();
    let mut watches = vec![start(now()).await, start(range(1, 0)).await, start(state()).await];
    for watch in &mut watches {
        watch.until_covers(1).await;
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
    clients.ingest(released("2024-01-01"), vec![batch(RD, "CHN", "bank", &[("2020", "1")])]).await.unwrap();
    for token in tokens {
        let mut watch = Watch::open(clients, Start::ResumeToken(token), Vec::new()).await.unwrap();
        watch.until_covers(2).await;
        let commits = watch.leave().await.commits();
        assert_eq!(commits.iter().map(|one| one.commit.revision).collect::<Vec<_>>(), [2]);
    }
    server.end().await;
}

#[tokio::test]
async fn a_goodbye_resumes_where_the_client_was_told_that_it_is() {
    let mut server = server_with_catalog().await;
    let clients = server.clients.clone();
    let nobody = vec![Filter { entities: ids(&["nobody"]), ..Default::default() }];
    let seldom = Some(prost_types::Duration { seconds: 20, nanos: 0 });
    let request = SubscribeRequest {
        start: Some(now()),
        filters: nobody.clone(),
        progress_interval: seldom,
        ..Default::default()
    };
    let mut stream = clients.feed.clone().subscribe(request).await.unwrap().into_inner();
    // Commits that do not match, so that the stream goes on without a word.
    for value in ["1", "2", "3", "4", "5"] {
        clients.ingest(released("2024-01-01"), vec![batch(RD, "CHN", "bank", &[("2020", value)])]).await.unwrap();
    }
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
async fn an_old_stream_is_asked_to_come_again_and_loses_nothing() {
    let server = TestServer::with(|config| config.subscription_max_age = Duration::from_millis(300)).await;
    let clients = &server.clients;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    let mut start = range(1, 0);
    let mut got = Vec::new();
    for value in 1..=4 {
        let watch = Watch::open(clients, start, Vec::new()).await.unwrap();
        let figures = vec![batch(RD, "CHN", "bank", &[("2020", &value.to_string())])];
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
async fn a_commit_too_long_for_the_ring_comes_whole_to_the_live_and_to_the_late() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut live = Watch::open(clients, now(), Vec::new()).await.unwrap();
    let years: Vec<String> = (1000..9000).map(|year| year.to_string()).collect();
    let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), "1.5")).collect();
    let series = |number: usize| SeriesBatch {
        dimensions: vec![Dimension { id: "N".into(), value: number.to_string() }],
        ..batch(PATENTS, "CHN", "bank", &points)
    };
    let result = clients.ingest(released("2024-01-01"), (0..9).map(series).collect()).await.unwrap();
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
async fn one_who_does_not_read_holds_up_nobody_and_gets_all_in_the_end() {
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
    assert_eq!(crate::support::join(&pages), CommitLog::read(clients).await.commits);
    assert_eq!(quick.leave().await.commits(), crate::support::join(&pages));
    server.end().await;
}

#[tokio::test]
async fn commits_are_listed_page_by_page_with_at_most_as_many_changes_as_asked_for() {
    let dice = Dice::new("listed");
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut author = Author::new(dice, "steward", 900);
    for _ in 0..15 {
        author.next().send(clients).await.unwrap();
    }
    let log = CommitLog::read(clients).await;
    let some = Filter { entities: ids(&["CHN", "JPN"]), indicators: ids(&["GB.*"]), ..Default::default() };
    for (page_size, filters) in
        [1, 7, 256, 1_000, 20_000].into_iter().flat_map(|size| [(size, vec![]), (size, vec![some.clone()])])
    {
        let mut request = ListCommitsRequest { page_size, filters: filters.clone(), ..Default::default() };
        let mut pages = Vec::new();
        loop {
            let answer = clients.feed.clone().list_commits(request.clone()).await.unwrap().into_inner();
            let changes: usize = answer.commits.iter().map(|page| page.changes.len()).sum();
            assert!(changes <= page_size as usize, "{changes} changes on a page of {page_size}");
            pages.extend(answer.commits);
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        let expected = log.expected(&filters, 0, u64::MAX);
        assert_eq!(crate::support::join(&pages), expected, "pages of {page_size}, {filters:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn no_message_is_longer_than_promised() {
    use prost::Message as _;
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let sources = (0..300).map(|number| {
        let Some(definition::Item::Source(given)) = source(&format!("s{number}"), 1).item else { unreachable!() };
        let long = Source { title: "t".repeat(1_000), url: "u".repeat(2_000), ..given };
        Definition { item: Some(definition::Item::Source(long)) }
    });
    clients.define(WriteOptions::default(), sources.collect()).await.unwrap();
    // The longest figures there are, each revised, so that what was before is as long.
    let years: Vec<String> = (1500..2000).map(|year| year.to_string()).collect();
    for letter in ["a", "b"] {
        let mut sent = batch(PATENTS, "CHN", "bank", &[]);
        for year in &years {
            let value = Value { comment: letter.repeat(500), ..number("1.5") };
            sent.points.push(IngestPoint { period: year.clone(), value: Some(value), withdrawn: false });
        }
        clients.ingest(released("2024-01-01"), vec![sent]).await.unwrap();
    }
    let component = |number: usize| EntryComponent {
        id: format!("component-{number}"),
        raw: Some(Value { comment: "c".repeat(100), ..number_value(number) }),
        ..Default::default()
    };
    let wide = |order: &[usize]| {
        let rows = entries(order).into_iter();
        rows.map(|entry| Entry { components: (0..200).map(component).collect(), ..entry }).collect::<Vec<_>>()
    };
    clients.publish(edition("2022"), wide(&[1, 2, 3, 4, 5, 6])).await.unwrap();
    clients.publish(edition("2023"), wide(&[6, 5, 4, 3, 2, 1])).await.unwrap();
    let head = clients.head().await;
    for start in [range(1, 0), state()] {
        let mut watch = Watch::open(clients, start, Vec::new()).await.unwrap();
        watch.until_covers(head).await;
        for message in watch.leave().await.messages {
            let (what, single) = match &message {
                Message::CommitPage(page) => {
                    (format!("page {} of {}", page.page, page.revision), page.changes.len() == 1)
                }
                Message::SnapshotPage(page) => (format!("state page {}", page.page), page.rows.len() == 1),
                _ => continue,
            };
            let bytes = SubscribeResponse { body: Some(message) }.encoded_len();
            assert!(bytes < 256 << 10 || single, "{what} takes {bytes} bytes");
        }
    }
    server.end().await;
}

fn number_value(of: usize) -> Value {
    number(&of.to_string())
}

/// A token as Almanac 0.1 made them: a version, the history, two revisions, a hash and a mark.
fn outdated_token() -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut bytes = vec![1];
    bytes.extend([7; 16]);
    for number in [5_u64, 4, 99] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([3; 12]);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[tokio::test]
async fn a_token_of_almanac_0_1_is_outdated() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let token = outdated_token();
    let subscribed = Watch::open(clients, Start::ResumeToken(token.clone()), Vec::new()).await.map(|_| ());
    assert_refused(subscribed, Code::FailedPrecondition, "TOKEN_OUTDATED");
    let listing = ListCommitsRequest { resume_token: token.clone(), ..Default::default() };
    assert_refused(clients.feed.clone().list_commits(listing).await, Code::FailedPrecondition, "TOKEN_OUTDATED");
    let cursor = PutCursorRequest { name: "cursor".into(), resume_token: token, ..Default::default() };
    assert_refused(clients.feed.clone().put_cursor(cursor).await, Code::FailedPrecondition, "TOKEN_OUTDATED");
    server.end().await;
}

#[tokio::test]
async fn the_digest_is_of_the_version_that_was_asked_for() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.ingest(released("2024-01-01"), vec![batch(RD, "CHN", "bank", &[("2020", "1")])]).await.unwrap();
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

#[tokio::test]
async fn what_may_not_be_handed_on_is_left_out_and_its_source_is_named() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let figures = |sources: &[&str], value: &str| {
        sources.iter().map(|source| batch(RD, "CHN", source, &[("2020", value)])).collect::<Vec<_>>()
    };
    let mut of_closed = edition("2024");
    of_closed.edition.as_mut().unwrap().source = "closed".into();
    let mut watch = Watch::open(clients, range(1, 0), Vec::new()).await.unwrap();
    clients.ingest(released("2024-01-01"), figures(&["bank", "closed", "press"], "1")).await.unwrap();
    clients.ingest(released("2024-01-01"), figures(&["closed"], "2")).await.unwrap();
    clients.publish(of_closed, entries(&[1, 2, 3])).await.unwrap();
    clients.ingest(released("2024-01-01"), figures(&["closed"], "2")).await.unwrap();
    watch.until_covers(5).await;
    let recording = watch.leave().await;
    assert_eq!(recording.opened().left_out_sources, ["closed"]);
    let commits = recording.commits();
    let told: Vec<(u64, u64, usize)> =
        commits.iter().map(|one| (one.commit.revision, one.previous, one.changes.len())).collect();
    // The last one changes nothing, which may be told of any source.
    assert_eq!(told, [(1, 0, catalog().len()), (2, 1, 2), (5, 2, 0)]);
    let indexes: Vec<u64> = commits[1].changes.iter().map(|change| change.index).collect();
    assert!(indexes == [0, 1] || indexes == [0, 2] || indexes == [1, 2], "a change keeps its name: {indexes:?}");
    let definition = |change: &Change| matches!(replica::key_of(change).as_slice(), [_, _, id] if id == "closed");
    assert!(commits[0].changes.iter().any(definition), "its definition is told");
    let listing = ListCommitsRequest::default();
    let listed = clients.feed.clone().list_commits(listing).await.unwrap().into_inner();
    assert_eq!(listed.left_out_sources, ["closed"]);
    assert_eq!(crate::support::join(&listed.commits), commits);
    let mut conflated = Watch::conflating(clients, range(1, 0), Vec::new()).await.unwrap();
    conflated.until_covers(5).await;
    let copy = copy_of(&recording);
    let (mut copies, conflated) = (vec![copy_of(&conflated.leave().await)], copy);
    copies.push(replica::read_state(clients, 5, &[]).await);
    for of in copies {
        of.assert_same(&conflated, "whoever tells it");
        assert!(!of.rows().keys().any(|key| key[0] != "D" && key.iter().any(|part| part == "closed")));
        assert!(!of.rows().keys().any(|key| key[0] == "E" || key[0] == "T"), "the edition is of that source");
    }
    server.end().await;
}

/// Editions of two sources: what one says that may not be handed on is not told by way of the other.
#[tokio::test]
async fn an_edition_that_may_not_be_handed_on_is_not_told_by_the_next_one() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let of = |id: &str, source: &str| {
        let mut header = edition(id);
        header.edition.as_mut().unwrap().source = source.into();
        header
    };
    let mut watch = Watch::open(clients, range(2, 0), Vec::new()).await.unwrap();
    clients.publish(of("2023", "closed"), entries(&[1, 2, 3])).await.unwrap();
    clients.publish(of("2024", "office"), entries(&[3, 2, 1])).await.unwrap();
    clients.publish(correction(of("2024", "closed")), entries(&[3, 2, 1])).await.unwrap();
    watch.until_covers(4).await;
    let recording = watch.leave().await;
    let listing = ListCommitsRequest { after_revision: 1, ..Default::default() };
    let listed = clients.feed.clone().list_commits(listing).await.unwrap().into_inner();
    let commits = recording.commits();
    assert_eq!(crate::support::join(&listed.commits), commits);
    assert_eq!(commits.iter().map(|one| one.commit.revision).collect::<Vec<_>>(), [3, 4]);
    for change in commits[0].changes.iter().filter_map(entry_of) {
        assert_eq!((&change.compared, change.places, change.movement()), (&None, None, Movement::Unknown));
        assert!(change.after.is_some());
    }
    for change in commits[1].changes.iter().filter_map(entry_of) {
        assert!(change.before.is_some() && change.after.is_none(), "what became closed leaves: {change:?}");
    }
    assert!(copy_of(&recording).rows().keys().all(|key| key[0] != "E"));
    server.end().await;
}

fn entry_of(change: &Change) -> Option<&EntryChange> {
    match &change.detail {
        Some(change::Detail::Entry(entry)) => Some(entry),
        _ => None,
    }
}
