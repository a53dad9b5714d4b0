//! Streams that conflate: a copy kept from them equals the copy kept from every commit, in fewer messages.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use almanac::{
    client::{FollowEvent, FollowStart, Follower},
    proto::{
        change::Detail, feed_service_client::FeedServiceClient, subscribe_request::Start,
        subscribe_response::Body as Message, *,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tonic::{Code, transport::Endpoint};

use crate::support::{
    Clients, DEADLINE, Dice, TestServer, assert_refused,
    author::Author,
    fixture::*,
    long,
    oracle::{self, CommitLog, Step},
    oracle::{KEYS_MAX, check_conflating, plain_copy},
    replica::{Replica, read_state},
    steward::Steward,
    subscriptions::*,
    watch::{Recording, Watch},
};

const CONFLATING_MAX: usize = 1_000;

/// Filters that look only at rows: a copy can be kept with them.
fn filters_by_key() -> Vec<Vec<Filter>> {
    let chinese = with_name("chinese", of_entities(&["CHN"]));
    let venture = with_name("venture", of_indicators(&["VC.*"]));
    vec![
        Vec::new(),
        vec![of_kinds(&[ChangeKind::Value])],
        vec![of_kinds(&[ChangeKind::Entry])],
        vec![of_rankings(&[RANKING])],
        vec![of_indicators(&["GB.*"])],
        vec![of_entities(&["CHN"])],
        vec![of_sources(&["press"])],
        vec![of_entities(&["nobody"])],
        vec![within_rank(3)],
        vec![with_name("first", within_rank(1)), chinese.clone(), venture.clone()],
        vec![chinese, venture],
    ]
}

/// Filters that also look at moves and causes: no copy can be kept with them, but they conflate.
fn other_filters() -> Vec<Vec<Filter>> {
    vec![
        vec![of_causes(&[Cause::FirstRelease, Cause::Correction])],
        vec![Filter { min_places: 3, ..Default::default() }],
        vec![Filter { min_places: 1, ..within_rank(3) }],
    ]
}

/// A store with a random history.
struct RandomHistory {
    server: TestServer,
    log: CommitLog,
    head: u64,
}

impl RandomHistory {
    async fn new(dice: Dice) -> Self {
        let server = server_with_catalog().await;
        let mut steward = Steward::new(dice, "steward", 700).with_reverts();
        for _ in 0..if long() { 300 } else { 60 } {
            steward.next(server.clients.head().await).send_or_refused(&server.clients).await;
        }
        let log = CommitLog::read(&server.clients).await;
        let head = server.clients.head().await;
        Self { server, log, head }
    }

    /// A range from the beginning to head, and some between random revisions.
    fn draw_ranges(&self, dice: &mut Dice) -> Vec<(u64, u64)> {
        let mut ranges = vec![(1, self.head)];
        for _ in 0..if long() { 60 } else { 8 } {
            let from = 1 + dice.below(self.head as usize) as u64;
            ranges.push((from, from + dice.below((self.head - from) as usize + 1) as u64));
        }
        ranges
    }

    /// Reads a range that conflates, and checks it, and that its token continues as a plain stream.
    async fn check_range(&self, filters: &[Filter], from: u64, until: u64) -> Vec<Step> {
        let clients = &self.server.clients;
        let watch = Watch::conflating(clients, range(from, until), filters.to_vec()).await.unwrap();
        let recording = watch.ended().await.unwrap();
        let steps = check_conflating(&self.log, &recording, 0);
        assert!(steps.iter().all(|step| step.revision <= until));
        let start = token(&recording.goodbye().unwrap().resume_token);
        let mut rest = Watch::open(clients, start, filters.to_vec()).await.unwrap();
        rest.until_covers(self.head).await;
        let rest = rest.leave().await;
        assert_eq!(rest.opened().start_revision, until);
        let expected = self.log.expected(filters, until, u64::MAX);
        let expected: Vec<u64> = expected.iter().map(|commit| commit.commit.revision).collect();
        let found: Vec<u64> = rest.commits().iter().map(|commit| commit.commit.revision).collect();
        assert_eq!(found, expected);
        steps
    }

    /// Checks that the steps lead from the copy before a range to the copy at its end.
    async fn check_copy(&self, filters: &[Filter], from: u64, until: u64, steps: &[Step]) {
        let mut copy = plain_copy(&self.log, filters, from - 1);
        apply(&mut copy, steps);
        let expected = plain_copy(&self.log, filters, until);
        let state = read_state(&self.server.clients, until, filters).await;
        expected.assert_same(&state, &format!("{filters:?} at {until}"));
        copy.assert_same(&expected, &format!("{filters:?} from {from} to {until}"));
    }
}

fn apply(copy: &mut Replica, steps: &[Step]) {
    for step in steps {
        for change in &step.changes {
            copy.apply(change);
        }
    }
}

/// Whichever commits are conflated, a copy comes out as if each had been applied.
#[tokio::test]
async fn a_copy_kept_from_conflations_is_the_copy_kept_from_every_commit() {
    let mut dice = Dice::new("conflations");
    let history = RandomHistory::new(dice.clone()).await;
    let by_key = filters_by_key();
    let mut conflations = 0;
    let mut commits = 0;
    for filters in by_key.iter().cloned().chain(other_filters()) {
        for (from, until) in history.draw_ranges(&mut dice) {
            let steps = history.check_range(&filters, from, until).await;
            if by_key.contains(&filters) {
                history.check_copy(&filters, from, until, &steps).await;
            }
            let conflated = steps.iter().filter(|step| step.conflated_from > 0).count();
            conflations += conflated;
            commits += steps.len() - conflated;
        }
    }
    assert!(conflations > 0 && commits > 0, "{conflations} conflations, {commits} commits");
    history.server.end().await;
}

/// An old state and all conflations since give the digest of the state now.
#[tokio::test]
async fn an_old_state_and_conflations_since_give_the_digest_of_the_state_now() {
    let RandomHistory { server, log, head } = RandomHistory::new(Dice::new("conflations")).await;
    let clients = &server.clients;
    let mut now = Watch::open(clients, state(), Vec::new()).await.unwrap();
    now.until_covers(head).await;
    let digest = now.leave().await.snapshot_end().unwrap().digest;
    for revision in [0, head / 3, head - 2] {
        let mut watch = Watch::conflating(clients, known_at(revision), Vec::new()).await.unwrap();
        watch.until_covers(head).await;
        let recording = watch.leave().await;
        let mut copy = Replica::of_state(&recording.messages);
        apply(&mut copy, &check_conflating(&log, &recording, 0));
        assert_eq!(copy, plain_copy(&log, &[], head));
        assert_eq!(copy.digest(), digest);
    }
    server.end().await;
}

/// A client that comes and goes while a steward writes resumes by tokens of conflations and of commits.
#[tokio::test]
async fn tokens_of_conflated_and_plain_streams_resume_each_other() {
    let mut dice = Dice::new("in turn");
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut author = Steward::new(dice.clone(), "steward", 300).with_reverts();
    let filters = vec![of_indicators(&["GB.*"])];
    let mut copy = Replica::default();
    let mut start = range(1, 0);
    let mut recordings = Vec::new();
    for _ in 0..if long() { 60 } else { 14 } {
        for _ in 0..dice.below(8) {
            author.next(clients.head().await).send_or_refused(clients).await;
        }
        let head = clients.head().await;
        let conflate = !dice.once_in(3);
        let mut watch = match conflate {
            true => Watch::conflating(clients, start, filters.clone()).await.unwrap(),
            false => Watch::open(clients, start, filters.clone()).await.unwrap(),
        };
        watch.until_covers(head).await;
        let recording = watch.leave().await;
        start = Start::ResumeToken(recording.tokens().last().unwrap().1.clone());
        recordings.push(recording);
    }
    let log = CommitLog::read(clients).await;
    let mut last_match = 0;
    for recording in &recordings {
        for step in check_conflating(&log, recording, last_match) {
            step.changes.iter().for_each(|change| copy.apply(change));
            last_match = step.revision;
        }
    }
    assert_eq!(copy, plain_copy(&log, &filters, clients.head().await));
    server.end().await;
}

/// So many figures of one series, with another value in each round.
fn hot(round: usize, figures: usize) -> Vec<SeriesBatch> {
    let value = format!("{round}.5");
    let years: Vec<String> = (0..figures).map(|year| (1500 + year).to_string()).collect();
    let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), value.as_str())).collect();
    vec![batch(PATENTS, "CHN", "bank", &points)]
}

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
        let request = SubscribeRequest { start: Some(Start::Now(StartNow {})), conflate: true, ..Default::default() };
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

/// A proxy that cuts each connection after so many bytes from the server.
async fn cutting(to: SocketAddr, budgets: Vec<usize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut budgets = budgets.into_iter();
        while let Ok((client, _)) = listener.accept().await {
            let budget = budgets.next();
            tokio::spawn(async move {
                let server = TcpStream::connect(to).await.unwrap();
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let mut passed = 0;
                let mut buffer = vec![0; 1_024];
                while budget.is_none_or(|budget| passed < budget) {
                    match from_server.read(&mut buffer).await {
                        Ok(0) | Err(_) => break,
                        Ok(read) => {
                            passed += read;
                            if to_client.write_all(&buffer[..read]).await.is_err() {
                                break;
                            }
                        }
                    }
                }
                up.abort();
            });
        }
    });
    address
}

/// How often a connection is cut.
const CUTS: usize = 10;

/// The connection is cut again and again, also within conflations and long commits, while commits are added: a copy that
/// applies each part of the follower equals the copy of every commit.
#[tokio::test]
async fn a_follower_that_is_cut_within_a_conflation_never_applies_part_of_it() {
    let mut dice = Dice::new("cut conflations");
    let server = server_with_catalog().await;
    let clients = &server.clients;
    // Conflations of long remarks take several pages, a quarter of a megabyte: many cuts fall into one.
    // The follower does not see every cut: some fall between two streams.
    let budgets: Vec<usize> = (0..2 * CUTS).map(|_| 500 + dice.below(250_000)).collect();
    let proxy = cutting(server.address(), budgets).await;
    let channel = Endpoint::from_shared(format!("http://{proxy}")).unwrap().connect_lazy();
    let mut follower = Follower::new(FeedServiceClient::new(channel), FollowStart::Range(1, None), Vec::new())
        .conflate()
        .progress_every(Duration::from_millis(100));
    let (mut copy, mut open): (Replica, Vec<Change>) = Default::default();
    let mut conflations = 0;
    let mut commits = 0;
    let mut cuts = 0;
    let mut author = Author::new(dice.clone(), "steward", 300);
    let mut round = 0;
    let followed = async {
        loop {
            if cuts < CUTS && (follower.position() >= clients.head().await || dice.once_in(6)) {
                for _ in 0..1 + dice.below(3) {
                    round += 1;
                    // Most commits are conflated. Some are too long for that, and are cut too; they come again from
                    // their beginning, so that they must be short enough to come through at all.
                    let long = dice.once_in(5);
                    let mut sent = hot(round, if long { 900 } else { 1 + dice.below(300) });
                    for point in sent[0].points.iter_mut().filter(|_| !long) {
                        point.value.as_mut().unwrap().comment = "x".repeat(300);
                    }
                    clients.ingest(released("2024-01-01"), sent).await.unwrap();
                    author.next().send(clients).await.unwrap();
                }
            }
            let head = clients.head().await;
            if cuts >= CUTS && follower.position() >= head {
                return head;
            }
            match follower.next().await.unwrap().expect("goes on for ever") {
                FollowEvent::Changes(part) => {
                    assert!(part.conflated_from == 0 || part.last, "a conflation comes whole");
                    assert!(part.commit.is_none() || open.is_empty(), "nothing of another commit is open");
                    open.extend(part.changes);
                    if part.last {
                        let count = if part.conflated_from > 0 { &mut conflations } else { &mut commits };
                        *count += 1;
                        open.drain(..).for_each(|change| copy.apply(&change));
                    }
                }
                FollowEvent::Reconnecting { .. } => cuts += 1,
                _ => {}
            }
        }
    };
    let head = tokio::time::timeout(DEADLINE * 3, followed).await.expect("comes to the end");
    let log = CommitLog::read(clients).await;
    assert_eq!(copy, plain_copy(&log, &[], head));
    println!("{conflations} conflations, {commits} commits, {cuts} cuts, head {head}");
    assert!(conflations > 0 && commits > 0, "{conflations} conflations, {commits} commits");
    server.end().await;
}
