//! Every edge of history as a place to start, for every kind of filter, in every phase of a stream.
//!
//! The cases are generated: places around 0, 1, the floor and head × ways to start × filters × phases, on a whole history
//! and on one whose older commits were dropped. What every stream saw is held to the promises.

use std::{collections::HashMap, num::NonZeroU64};

use almanac::{
    ledger::compact::Keep,
    model::time::{Clock, Instant},
    proto::{subscribe_request::Start, *},
};
use tonic::Code;

use crate::{
    compaction::floor_becomes,
    support::{
        Clients, DEADLINE, Dice, TestServer, assert_refused, at_revision,
        author::Author,
        fixture::*,
        long,
        oracle::{self, CommitLog},
        process::copy_folder,
        watch::{Recording, Watch},
    },
};

/// Where the commits come from that a stream sees.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// From the ledger: the server was started after they were made.
    Ledger,
    /// From the ring of recent commits.
    Ring,
    /// As they are made.
    Live,
    /// Before a restart, and by token after it.
    Restart,
}

/// Where the history begins that can be replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Floor {
    /// At revision 1.
    First,
    /// Later: all but the newest [`KEPT`] commits were dropped.
    Raised,
}

/// Commits kept behind a raised floor.
const KEPT: u64 = 10;

const FILTERS: [&str; 9] =
    ["none", "kind", "ranking", "indicator prefix", "entity", "source", "cause", "rank window", "two, named"];

fn filters(kind: &str) -> Vec<Filter> {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let one = |filter| vec![filter];
    match kind {
        "none" => Vec::new(),
        "kind" => one(Filter { kinds: vec![ChangeKind::Value.into()], ..Default::default() }),
        "ranking" => one(Filter { rankings: ids(&[RANKING]), ..Default::default() }),
        "indicator prefix" => one(Filter { indicators: ids(&["GB.*"]), ..Default::default() }),
        "entity" => one(Filter { entities: ids(&["CHN"]), ..Default::default() }),
        "source" => one(Filter { sources: ids(&["press"]), ..Default::default() }),
        "cause" => {
            let causes = vec![Cause::FirstRelease.into(), Cause::Definition.into()];
            one(Filter { causes, ..Default::default() })
        }
        "rank window" => one(Filter { rank_at_most: 3, ..Default::default() }),
        _ => vec![
            Filter { name: "top".into(), rank_at_most: 1, ..Default::default() },
            Filter { name: "bank".into(), sources: ids(&["bank"]), ..Default::default() },
        ],
    }
}

fn range(from: u64) -> Start {
    Start::Range(StartRange { first_revision: from, last_revision: 0 })
}

fn known_at(revision: u64) -> Start {
    Start::AsKnownAt(at_revision(revision).unwrap())
}

fn token(token: &str) -> Start {
    Start::ResumeToken(token.to_owned())
}

/// Revisions at the edges of a history, each once.
fn edges(floor: u64, head: u64) -> Vec<u64> {
    let below = [floor.saturating_sub(2), floor.saturating_sub(1)];
    let mut all = [&below[..], &[0, 1, floor, floor + 1, head - 1, head, head + 1, head + 2]].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// How a replay from a revision is refused, if it is.
fn refusal(from: u64, floor: u64, head: u64) -> Option<(Code, &'static str)> {
    match from {
        0 => Some((Code::InvalidArgument, "FIELD")),
        from if from < floor => Some((Code::OutOfRange, "BELOW_FLOOR")),
        from if from > head + 1 => Some((Code::OutOfRange, "ABOVE_HEAD")),
        _ => None,
    }
}

async fn write(clients: &Clients, author: &mut Author, commits: usize) {
    for _ in 0..commits {
        author.next().send(clients).await.unwrap();
    }
}

/// A token of a place, for a kind of filter.
async fn token_at(clients: &Clients, kind: &str, at: u64) -> String {
    first_token(clients, kind, range(at + 1)).await
}

/// The token that a stream is given first.
async fn first_token(clients: &Clients, kind: &str, start: Start) -> String {
    let mut watch = Watch::open(clients, start, filters(kind)).await.unwrap();
    watch.until("the first message", |messages| !messages.is_empty()).await;
    watch.leave().await.opened().resume_token.clone()
}

/// A history with something for every filter, and all that was known of it before its older commits were dropped.
struct Past {
    server: TestServer,
    author: Author,
    log: CommitLog,
    /// Tokens of every place, by kind of filter and revision, taken while it was head.
    tokens: HashMap<(&'static str, u64), String>,
}

impl Past {
    async fn new(phase: Phase, floor: Floor) -> Self {
        let kept = NonZeroU64::new(KEPT).filter(|_| floor == Floor::Raised);
        let server = TestServer::with(|config| config.keep = Keep { revisions: kept, ..Keep::default() }).await;
        let dice = Dice::new(&format!("{phase:?} edges, {floor:?} floor"));
        let author = Author::new(dice, "steward", if long() { 900 } else { 40 });
        let mut past = Self { server, author, log: CommitLog::default(), tokens: HashMap::new() };
        past.learn().await;
        past.server.clients.define(WriteOptions::default(), catalog()).await.unwrap();
        past.learn().await;
        past.go_on(8).await;
        // Something for every filter, and something that the filter by cause leaves out, whatever the dice say.
        past.server.clients.publish(partial(edition("1990")), entries(&[1, 2, 3, 4])).await.unwrap();
        past.learn().await;
        past.server.clients.publish(correction(partial(edition("1990"))), entries(&[2, 1, 3, 4])).await.unwrap();
        past.learn().await;
        let figures = ["bank", "press"].map(|source| batch(RD, "CHN", source, &[("1066", "1.5")]));
        past.server.clients.ingest(released("2024-01-01"), figures.to_vec()).await.unwrap();
        past.learn().await;
        past.go_on(5).await;
        if floor == Floor::Raised {
            floor_becomes(&past.server.clients, past.log.head() - KEPT + 1).await;
            // Started without the wish, the floor stays where it is while others write.
            past.server.restart_with(|config| config.keep = Keep::default()).await;
            if phase == Phase::Ring {
                past.go_on(4).await;
            }
        } else if phase == Phase::Ledger {
            past.server.restart().await;
        }
        past
    }

    /// Writes, and remembers.
    async fn go_on(&mut self, commits: usize) {
        for _ in 0..commits {
            write(&self.server.clients, &mut self.author, 1).await;
            self.learn().await;
        }
    }

    async fn learn(&mut self) {
        self.log.read_on(&self.server.clients).await;
        let head = self.log.head();
        for kind in FILTERS {
            self.tokens.insert((kind, head), token_at(&self.server.clients, kind, head).await);
        }
    }

    /// Opens a stream at every edge in every way; checks the refusals where head stands still.
    async fn open(&self, phase: Phase, kind: &'static str) -> Vec<Watch> {
        let clients = &self.server.clients;
        let found = clients.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner();
        let (floor, head) = (found.floor, found.head);
        let mut watches = Vec::new();
        for at in edges(floor, head) {
            let refused = refusal(at, floor, head);
            // While others write, head is only known to be at least this.
            if phase == Phase::Live && at > head + 1 {
                continue;
            }
            let opened = Watch::open(clients, range(at), filters(kind)).await;
            match refused {
                Some((code, reason)) => drop(assert_refused(opened.map(|_| ()), code, reason)),
                None => watches.push(opened.unwrap()),
            }
            if phase == Phase::Live && at > head {
                continue;
            }
            let known = Watch::open(clients, known_at(at), filters(kind)).await;
            let after = ListCommitsRequest { after_revision: at, filters: filters(kind), ..Default::default() };
            let listed = clients.feed.clone().list_commits(after).await;
            if at > head {
                // The list has no place that waits: after head is its end.
                assert_refused(listed, Code::OutOfRange, "ABOVE_HEAD");
                assert_refused(known.map(|_| ()), Code::OutOfRange, "ABOVE_HEAD");
                continue;
            }
            let kept = match self.tokens.get(&(kind, at)) {
                Some(token) => token.clone(),
                None => token_at(clients, kind, at).await,
            };
            let resumed = Watch::open(clients, token(&kept), filters(kind)).await;
            let after = ListCommitsRequest { resume_token: kept, filters: filters(kind), ..Default::default() };
            let listed_on = clients.feed.clone().list_commits(after).await;
            if at + 1 < floor {
                assert_refused(listed, Code::OutOfRange, "BELOW_FLOOR");
                assert_refused(known.map(|_| ()), Code::OutOfRange, "BELOW_FLOOR");
                assert_refused(listed_on, Code::OutOfRange, "BELOW_FLOOR");
                assert_refused(resumed.map(|_| ()), Code::OutOfRange, "BELOW_FLOOR");
            } else {
                let (listed, listed_on) = (listed.unwrap().into_inner(), listed_on.unwrap().into_inner());
                assert!(phase == Phase::Live || listed.commits == listed_on.commits, "the token of {at}, {kind}");
                watches.extend([known.unwrap(), resumed.unwrap()]);
            }
        }
        for (from, until) in [(floor, floor), (floor, head), (head, head), (head, head + 1), (head + 1, head + 1)] {
            let within = Start::Range(StartRange { first_revision: from, last_revision: until });
            watches.push(Watch::open(clients, within, filters(kind)).await.unwrap());
        }
        let backwards = Start::Range(StartRange { first_revision: floor + 1, last_revision: floor });
        let backwards = Watch::open(clients, backwards, filters(kind)).await;
        assert_refused(backwards.map(|_| ()), Code::InvalidArgument, "FIELD");
        if floor > 1 {
            let below = Start::Range(StartRange { first_revision: floor - 1, last_revision: floor });
            let below = Watch::open(clients, below, filters(kind)).await;
            assert_refused(below.map(|_| ()), Code::OutOfRange, "BELOW_FLOOR");
        }
        watches.push(Watch::open(clients, Start::Now(StartNow {}), filters(kind)).await.unwrap());
        watches.push(Watch::open(clients, Start::State(StartState {}), filters(kind)).await.unwrap());
        watches
    }
}

async fn every_edge(phase: Phase, floor: Floor) {
    let mut past = Past::new(phase, floor).await;
    let mut watches = Vec::new();
    if phase == Phase::Live {
        let (clients, mut author) = (past.server.clients.clone(), past.author.clone());
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let writing = tokio::spawn(async move {
            while !*stopped.borrow() {
                write(&clients, &mut author, 1).await;
            }
        });
        for kind in FILTERS {
            watches.extend(past.open(phase, kind).await);
        }
        stop.send_replace(true);
        writing.await.unwrap();
    } else {
        for kind in FILTERS {
            watches.extend(past.open(phase, kind).await);
        }
        if phase == Phase::Ring {
            // For those that wait behind head.
            past.go_on(2).await;
        }
        if phase == Phase::Restart {
            restart(past, watches).await;
            return;
        }
    }
    let Past { server, mut log, .. } = past;
    let recordings = read_all(&server.clients, watches).await;
    log.read_on(&server.clients).await;
    for recording in &recordings {
        check(&server.clients, &log, recording, recording.opened().start_revision).await;
    }
    worth_something(&recordings, &log);
    server.end().await;
}

/// The last revision that a stream was asked for, if it was.
fn last_wanted(start: &Start) -> Option<u64> {
    match start {
        Start::Range(range) if range.last_revision != 0 => Some(range.last_revision),
        _ => None,
    }
}

/// Holds a recording to the promises. Those that cost many questions are asked once a place, not once a way to start there.
async fn check(clients: &Clients, log: &CommitLog, recording: &Recording, began: u64) {
    let Some(last) = last_wanted(&recording.start) else {
        if matches!(recording.start, Start::ResumeToken(_)) {
            return oracle::check_recorded(log, recording, began);
        }
        return oracle::check(clients, log, recording, began).await;
    };
    oracle::check_recorded(log, recording, began);
    if let Some(goodbye) = recording.goodbye() {
        assert_eq!(goodbye.reason(), GoodbyeReason::RangeComplete);
        assert_eq!(
            recording.commits(),
            log.expected(&recording.filters, began, last),
            "all of the range and nothing more"
        );
    }
}

/// Streams cut by a restart go on by their last token, as if nothing had been.
async fn restart(past: Past, watches: Vec<Watch>) {
    let Past { mut server, mut author, mut log, .. } = past;
    let head = server.clients.head().await;
    let mut open = Vec::new();
    for mut watch in watches {
        if last_wanted(&watch.start).is_none() {
            watch.until_covers(head).await;
            open.push(watch);
        }
    }
    write(&server.clients, &mut author, 2).await;
    server.stop().await;
    let mut before = Vec::new();
    for watch in open {
        let recording = watch.ended().await.unwrap();
        assert_eq!(recording.goodbye().unwrap().reason(), GoodbyeReason::Shutdown);
        before.push(recording);
    }
    server.restart().await;
    let clients = server.clients.clone();
    write(&clients, &mut author, 2).await;
    let mut after = Vec::new();
    for recording in &before {
        let kept = &recording.goodbye().unwrap().resume_token;
        after.push(Watch::open(&clients, token(kept), recording.filters.clone()).await.unwrap());
    }
    let after = read_all(&clients, after).await;
    log.read_on(&clients).await;
    for (first, second) in before.iter().zip(&after) {
        let began = first.opened().start_revision;
        check(&clients, &log, first, began).await;
        oracle::durable(&log, first, began);
        oracle::check_recorded(&log, second, began);
        let both: Vec<_> = [first.commits(), second.commits()].concat();
        assert_eq!(both, log.expected(&first.filters, began, u64::MAX), "the two together miss and repeat nothing");
    }
    worth_something(&before, &log);
    server.end().await;
}

async fn read_all(clients: &Clients, watches: Vec<Watch>) -> Vec<Recording> {
    let head = clients.head().await;
    let mut recordings = Vec::new();
    for mut watch in watches {
        if last_wanted(&watch.start).is_some_and(|last| last <= head) {
            let recording = watch.ended().await.unwrap();
            assert!(recording.goodbye().is_some(), "a range that is complete says so");
            recordings.push(recording);
            continue;
        }
        watch.until_covers(head).await;
        recordings.push(watch.leave().await);
    }
    recordings
}

/// Every kind of filter saw something, and each but none saw less than there is.
fn worth_something(recordings: &[Recording], log: &CommitLog) {
    assert!(recordings.len() >= FILTERS.len() * 10, "{} streams", recordings.len());
    let first = recordings.iter().map(|one| one.opened().start_revision).min().unwrap();
    let replayed = log.commits.iter().filter(|commit| commit.commit.revision > first);
    let whole: usize = replayed.map(|commit| commit.changes.len()).sum();
    for kind in FILTERS {
        let of_kind = recordings.iter().filter(|one| one.filters == filters(kind));
        let seen = of_kind.map(|one| one.commits().iter().map(|commit| commit.changes.len()).sum::<usize>()).max();
        assert!(seen > Some(0), "{kind} saw nothing");
        assert!(seen < Some(whole) || kind == "none", "{kind} saw everything");
    }
}

#[tokio::test]
async fn every_edge_from_the_ledger() {
    every_edge(Phase::Ledger, Floor::First).await;
}

#[tokio::test]
async fn every_edge_from_the_ring() {
    every_edge(Phase::Ring, Floor::First).await;
}

#[tokio::test]
async fn every_edge_while_commits_arrive() {
    every_edge(Phase::Live, Floor::First).await;
}

#[tokio::test]
async fn every_edge_across_a_restart() {
    every_edge(Phase::Restart, Floor::First).await;
}

#[tokio::test]
async fn every_edge_above_a_raised_floor_from_the_ledger() {
    every_edge(Phase::Ledger, Floor::Raised).await;
}

#[tokio::test]
async fn every_edge_above_a_raised_floor_from_the_ring() {
    every_edge(Phase::Ring, Floor::Raised).await;
}

#[tokio::test]
async fn every_edge_above_a_raised_floor_while_commits_arrive() {
    every_edge(Phase::Live, Floor::Raised).await;
}

#[tokio::test]
async fn every_edge_above_a_raised_floor_across_a_restart() {
    every_edge(Phase::Restart, Floor::Raised).await;
}

/// How often every place is tried while the floor moves.
const ROUNDS: usize = 3;
/// Commits kept behind a floor that moves.
const MOVING_KEPT: u64 = 6;

#[tokio::test]
async fn while_the_floor_moves_a_stream_is_whole_or_says_that_it_is_not() {
    let kept = NonZeroU64::new(MOVING_KEPT);
    let server = TestServer::with(|config| config.keep = Keep { revisions: kept, ..Keep::default() }).await;
    let clients = server.clients.clone();
    let mut author = Author::new(Dice::new("moving floor"), "steward", 40);
    let mut log = CommitLog::default();
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    log.read_on(&clients).await;
    for _ in 0..8 {
        write(&clients, &mut author, 1).await;
        log.read_on(&clients).await;
    }
    floor_becomes(&clients, 4).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (writer, mut known) = (clients.clone(), log);
    let writing = tokio::spawn(async move {
        while !*stopped.borrow() {
            for _ in 0..2 {
                write(&writer, &mut author, 1).await;
                known.read_on(&writer).await;
            }
            // Compaction waits for a pause of those who write.
            floor_becomes(&writer, known.head() - MOVING_KEPT + 1).await;
        }
        known
    });
    let mut moves = Watch::open(&clients, Start::Now(StartNow {}), Vec::new()).await.unwrap();
    let mut watches = Vec::new();
    let mut refused = 0;
    for kind in FILTERS.iter().cycle().take(FILTERS.len() * ROUNDS) {
        let found = clients.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner();
        let kept = first_token(&clients, kind, Start::Now(StartNow {})).await;
        let at = [found.floor - 1, found.floor, found.head].map(range);
        let known = [found.floor - 1, found.floor].map(known_at);
        for start in at.into_iter().chain(known).chain([token(&kept), Start::State(StartState {})]) {
            match Watch::open(&clients, start, filters(kind)).await {
                Ok(watch) => watches.push(watch),
                Err(status) => {
                    refused += 1;
                    assert_refused::<()>(Err(status), Code::OutOfRange, "BELOW_FLOOR");
                }
            }
        }
        moves.until_covers(found.head + 1).await;
    }
    stop.send_replace(true);
    let log = writing.await.unwrap();
    let head = clients.head().await;
    let floor = clients.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner().floor;
    assert!(refused >= FILTERS.len() * ROUNDS, "below the floor is always refused");
    assert!(floor > 20, "the floor moved on, it is {floor}");
    let mut whole = 0;
    for watch in watches {
        let (recording, broke) = watch.until_covers_or_fails(head).await;
        oracle::check_recorded(&log, &recording, recording.opened().start_revision);
        match broke {
            Some(status) => drop(assert_refused::<()>(Err(status), Code::OutOfRange, "BELOW_FLOOR")),
            None => whole += 1,
        }
    }
    assert!(whole > FILTERS.len(), "only {whole} streams were whole");
    server.end().await;
}

/// How a token is taken by each of the calls that take one.
async fn refusals(clients: &Clients, kind: &str, kept: &str) -> Vec<Result<(), tonic::Status>> {
    let after = ListCommitsRequest { resume_token: kept.to_owned(), filters: filters(kind), ..Default::default() };
    let cursor = PutCursorRequest { name: "cursor".into(), resume_token: kept.to_owned(), allow_rewind: true };
    let (mut listing, mut putting) = (clients.feed.clone(), clients.feed.clone());
    let (subscribed, listed, put) = tokio::join!(
        Watch::open(clients, token(kept), filters(kind)),
        listing.list_commits(after),
        putting.put_cursor(cursor),
    );
    vec![subscribed.map(|_| ()), listed.map(|_| ()), put.map(|_| ())]
}

/// The folder of a stopped server is copied, others are written, the copy is put back: what was written then is a past that
/// the server lost.
#[tokio::test]
async fn a_token_of_a_commit_that_the_folder_lacks_is_ahead_and_then_of_another_history() {
    let mut server = server_with_catalog().await;
    let mut author = Author::new(Dice::new("a folder put back"), "steward", 4);
    write(&server.clients, &mut author, 3).await;
    let head = server.clients.head().await;
    server.stop().await;
    let older = tempfile::tempdir().unwrap();
    copy_folder(&server.data(), older.path());
    server.restart().await;
    write(&server.clients, &mut author, 2).await;
    let mut kept = Vec::new();
    for (kind, at) in FILTERS.into_iter().flat_map(|kind| (head - 1..=head + 2).map(move |at| (kind, at))) {
        kept.push((kind, at, token_at(&server.clients, kind, at).await));
    }
    server.stop().await;
    // Somebody puts a copy of the folder back, which is no restore: the history's name stays.
    std::fs::remove_dir_all(server.data()).unwrap();
    copy_folder(older.path(), &server.data());
    server.restart().await;
    let clients = server.clients.clone();
    let begun = std::time::Instant::now();
    let mut asking = Vec::new();
    for (kind, at, kept) in kept.clone() {
        let clients = clients.clone();
        asking.push(tokio::spawn(async move { (at, refusals(&clients, kind, &kept).await) }));
    }
    for asked in asking {
        let (at, refused) = asked.await.unwrap();
        for refused in refused {
            if at <= head {
                refused.unwrap();
                continue;
            }
            let status = assert_refused(refused, Code::Unavailable, "TOKEN_AHEAD");
            let details = tonic_types::StatusExt::get_error_details(&status);
            assert_eq!(details.error_info().unwrap().metadata["head"], head.to_string());
            assert!(details.retry_info().is_some_and(|retry| retry.retry_delay > Some(std::time::Duration::ZERO)));
        }
    }
    assert!(begun.elapsed() >= std::time::Duration::from_secs(2), "another server may be ahead: it is waited for");

    // Other commits take the places of those that were lost; who waits for them learns that they are others.
    let (_, _, ahead) = kept.iter().find(|(kind, at, _)| *at == head + 1 && *kind == "none").unwrap().clone();
    let waiting = {
        let clients = clients.clone();
        tokio::spawn(async move { refusals(&clients, "none", &ahead).await })
    };
    let other = |value: &str| vec![batch(RD, "CHN", "bank", &[("1900", value)])];
    for value in ["1", "2", "3"] {
        clients.ingest(released("2024-01-01"), other(value)).await.unwrap();
    }
    for refused in waiting.await.unwrap() {
        assert_refused(refused, Code::FailedPrecondition, "TOKEN_OTHER_HISTORY");
    }
    for (kind, at, kept) in kept {
        for refused in refusals(&clients, kind, &kept).await {
            match at > head {
                true => drop(assert_refused(refused, Code::FailedPrecondition, "TOKEN_OTHER_HISTORY")),
                false => refused.unwrap(),
            }
        }
    }
    server.end().await;
}

/// A server that is behind another one of the same history, by a moment: the token is good as soon as it caught up.
#[tokio::test]
async fn a_token_that_is_ahead_is_taken_once_the_server_is_there() {
    let mut server = server_with_catalog().await;
    let request = |value: &str| {
        let options = Some(request(&format!("write-{value}")));
        (IngestHeader { options, ..released("2024-01-01") }, vec![batch(RD, "CHN", "bank", &[("1900", value)])])
    };
    server.stop().await;
    let older = tempfile::tempdir().unwrap();
    copy_folder(&server.data(), older.path());
    server.restart_with(|config| config.clock = still()).await;
    let (header, figures) = request("1");
    let head = server.clients.ingest(header, figures).await.unwrap().revision;
    let kept = token_at(&server.clients, "none", head).await;
    server.stop().await;
    std::fs::remove_dir_all(server.data()).unwrap();
    copy_folder(older.path(), &server.data());
    server.restart().await;
    let clients = server.clients.clone();
    let waiting = {
        let clients = clients.clone();
        tokio::spawn(async move { refusals(&clients, "none", &kept).await })
    };
    // The very same commit, at the very same instant.
    let (header, figures) = request("1");
    assert_eq!(clients.ingest(header, figures).await.unwrap().revision, head);
    for taken in waiting.await.unwrap() {
        taken.unwrap();
    }
    server.end().await;
}

fn still() -> Clock {
    Clock::told_by(|| Instant(4_102_444_800_000_000))
}

#[tokio::test]
async fn a_stream_above_those_of_a_connection_waits_for_one_to_end() {
    const STREAMS: usize = 256;
    let server = server_with_catalog().await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address())).unwrap();
    let clients = Clients::on(endpoint.connect().await.unwrap());
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let request =
            SubscribeRequest { start: Some(subscribe_request::Start::Now(StartNow {})), ..Default::default() };
        streams.push(clients.feed.clone().subscribe(request).await.unwrap());
    }
    let one_more = tokio::spawn(async move { clients.head().await });
    // Others are not concerned.
    server.clients.define(WriteOptions::default(), vec![indicator("new", "New")]).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!one_more.is_finished(), "it waits, without an error");
    streams.pop();
    let head = tokio::time::timeout(DEADLINE, one_more).await.expect("it goes on when another ended").unwrap();
    assert_eq!(head, 2);
    drop(streams);
    server.end().await;
}
