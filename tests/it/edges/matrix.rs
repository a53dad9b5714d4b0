//! Revisions around 0, 1, the floor and head × starts × filters × phases, on a whole history and on a compacted one.

use std::{collections::HashMap, num::NonZeroU64};

use almanac::{
    ledger::compact::Retention,
    proto::{subscribe_request::Start, *},
};
use tonic::Code;

use super::{FILTERS, filters, token_at, write};
use crate::{
    compaction::floor_becomes,
    support::{
        Clients, Dice, TestServer, assert_refused,
        author::Author,
        fixture::*,
        long,
        oracle::{self, CommitLog},
        subscriptions::*,
        watch::{Recording, Watch},
    },
};

/// Where a stream gets its commits from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// From the ledger: the server started after the commits were made.
    Ledger,
    /// From the ring of recent commits.
    Ring,
    /// As they are made.
    Live,
    /// From a server that restarts: the stream resumes by its token.
    Restart,
}

/// The oldest revision that can be replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Floor {
    /// Revision 1.
    First,
    /// A later one: all but the newest [`KEPT`] commits were dropped.
    Raised,
}

/// Commits kept behind a raised floor.
const KEPT: u64 = 10;

/// The revisions at the edges of a history, each once.
fn edges(floor: u64, head: u64) -> Vec<u64> {
    let below = [floor.saturating_sub(2), floor.saturating_sub(1)];
    let mut all = [&below[..], &[0, 1, floor, floor + 1, head - 1, head, head + 1, head + 2]].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// How a replay from a revision is refused; `None`: it is not.
fn refusal(from: u64, floor: u64, head: u64) -> Option<(Code, &'static str)> {
    match from {
        0 => Some((Code::InvalidArgument, "FIELD")),
        from if from < floor => Some((Code::OutOfRange, "BELOW_FLOOR")),
        from if from > head + 1 => Some((Code::OutOfRange, "ABOVE_HEAD")),
        _ => None,
    }
}

/// A store with something for every filter, and what was read of it before its older commits were dropped.
struct PreparedStore {
    server: TestServer,
    author: Author,
    log: CommitLog,
    /// Tokens by kind of filter and revision, taken while the revision was head.
    tokens: HashMap<(&'static str, u64), String>,
}

impl PreparedStore {
    async fn new(phase: Phase, floor: Floor) -> Self {
        let kept = NonZeroU64::new(KEPT).filter(|_| floor == Floor::Raised);
        let server =
            TestServer::with(|config| config.retention = Retention { revisions: kept, ..Retention::default() }).await;
        let dice = Dice::new(&format!("{phase:?} edges, {floor:?} floor"));
        let author = Author::new(dice, "steward", if long() { 900 } else { 28 });
        let mut store = Self { server, author, log: CommitLog::default(), tokens: HashMap::new() };
        store.read_on().await;
        store.server.clients.define(WriteOptions::default(), catalog()).await.unwrap();
        store.read_on().await;
        store.write_on(8).await;
        // Something for every filter, and something that the filter by cause leaves out, whatever the dice draw.
        store.server.clients.publish(partial(edition("1990")), entries(&[1, 2, 3, 4])).await.unwrap();
        store.read_on().await;
        store.server.clients.publish(correction(partial(edition("1990"))), entries(&[2, 1, 3, 4])).await.unwrap();
        store.read_on().await;
        let figures = ["bank", "press"].map(|source| batch(RD, "CHN", source, &[("1066", "1.5")]));
        store.server.clients.ingest(released("2024-01-01"), figures.to_vec()).await.unwrap();
        store.read_on().await;
        store.write_on(5).await;
        if floor == Floor::Raised {
            floor_becomes(&store.server.clients, store.log.head() - KEPT + 1).await;
            // Without `keep`, the floor stays where it is during later writes.
            store.server.restart_with(|config| config.retention = Retention::default()).await;
            if phase == Phase::Ring {
                store.write_on(4).await;
            }
        } else if phase == Phase::Ledger {
            store.server.restart().await;
        }
        store
    }

    /// Writes, and reads each commit.
    async fn write_on(&mut self, commits: usize) {
        for _ in 0..commits {
            write(&self.server.clients, &mut self.author, 1).await;
            self.read_on().await;
        }
    }

    async fn read_on(&mut self) {
        self.log.read_on(&self.server.clients).await;
        let head = self.log.head();
        for kind in FILTERS {
            self.tokens.insert((kind, head), token_at(&self.server.clients, kind, head).await);
        }
    }

    /// Opens a stream at every edge in every way, and checks the refusals.
    async fn open(&self, phase: Phase, kind: &'static str) -> Vec<Watch> {
        let clients = &self.server.clients;
        let known = clients.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner();
        let floor = known.floor;
        let head = known.head;
        let mut watches = Vec::new();
        for at in edges(floor, head) {
            // While others write, head is only known to be at least this.
            if phase == Phase::Live && at > head + 1 {
                continue;
            }
            let opened = Watch::open(clients, range(at, 0), filters(kind)).await;
            match refusal(at, floor, head) {
                Some((code, reason)) => drop(assert_refused(opened.map(|_| ()), code, reason)),
                None => watches.push(opened.unwrap()),
            }
            if at <= head {
                watches.extend(self.open_after(phase, kind, at, floor).await);
            } else if phase != Phase::Live {
                check_above_head(clients, kind, at).await;
            }
        }
        for (from, until) in [(floor, floor), (floor, head), (head, head), (head, head + 1), (head + 1, head + 1)] {
            watches.push(Watch::open(clients, range(from, until), filters(kind)).await.unwrap());
        }
        let backwards = Watch::open(clients, range(floor + 1, floor), filters(kind)).await;
        assert_refused(backwards.map(|_| ()), Code::InvalidArgument, "FIELD");
        if floor > 1 {
            let below = Watch::open(clients, range(floor - 1, floor), filters(kind)).await;
            assert_refused(below.map(|_| ()), Code::OutOfRange, "BELOW_FLOOR");
        }
        watches.push(Watch::open(clients, now(), filters(kind)).await.unwrap());
        watches.push(Watch::open(clients, state(), filters(kind)).await.unwrap());
        watches
    }

    /// Starts after a revision: from its state, by its token, and by lists.
    async fn open_after(&self, phase: Phase, kind: &'static str, at: u64, floor: u64) -> Vec<Watch> {
        let clients = &self.server.clients;
        let kept = match self.tokens.get(&(kind, at)) {
            Some(token) => token.clone(),
            None => token_at(clients, kind, at).await,
        };
        let by_state = Watch::open(clients, known_at(at), filters(kind)).await;
        let by_token = Watch::open(clients, token(&kept), filters(kind)).await;
        let request = ListCommitsRequest { after_revision: at, filters: filters(kind), ..Default::default() };
        let listed = clients.feed.clone().list_commits(request).await;
        let request = ListCommitsRequest { resume_token: kept, filters: filters(kind), ..Default::default() };
        let listed_by_token = clients.feed.clone().list_commits(request).await;
        if at + 1 < floor {
            assert_refused(by_state.map(|_| ()), Code::OutOfRange, "BELOW_FLOOR");
            assert_refused(by_token.map(|_| ()), Code::OutOfRange, "BELOW_FLOOR");
            assert_refused(listed, Code::OutOfRange, "BELOW_FLOOR");
            assert_refused(listed_by_token, Code::OutOfRange, "BELOW_FLOOR");
            return Vec::new();
        }
        let commits = listed.unwrap().into_inner().commits;
        let commits_by_token = listed_by_token.unwrap().into_inner().commits;
        assert!(phase == Phase::Live || commits == commits_by_token, "the token of {at}, {kind}");
        vec![by_state.unwrap(), by_token.unwrap()]
    }
}

/// A state or a list cannot begin above head: only a replay waits for the next commit.
async fn check_above_head(clients: &Clients, kind: &str, at: u64) {
    let by_state = Watch::open(clients, known_at(at), filters(kind)).await;
    assert_refused(by_state.map(|_| ()), Code::OutOfRange, "ABOVE_HEAD");
    let request = ListCommitsRequest { after_revision: at, filters: filters(kind), ..Default::default() };
    let listed = clients.feed.clone().list_commits(request).await;
    assert_refused(listed, Code::OutOfRange, "ABOVE_HEAD");
}

async fn every_edge(phase: Phase, floor: Floor) {
    let mut store = PreparedStore::new(phase, floor).await;
    let mut watches = Vec::new();
    if phase == Phase::Live {
        let clients = store.server.clients.clone();
        let mut author = store.author.clone();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let writing = tokio::spawn(async move {
            while !*stopped.borrow() {
                write(&clients, &mut author, 1).await;
            }
        });
        for kind in FILTERS {
            watches.extend(store.open(phase, kind).await);
        }
        stop.send_replace(true);
        writing.await.unwrap();
    } else {
        for kind in FILTERS {
            watches.extend(store.open(phase, kind).await);
        }
        if phase == Phase::Ring {
            // For the streams that wait for commits above head.
            store.write_on(2).await;
        }
        if phase == Phase::Restart {
            restart(store, watches).await;
            return;
        }
    }
    let PreparedStore { server, mut log, .. } = store;
    let recordings = read_all(&server.clients, watches).await;
    log.read_on(&server.clients).await;
    for recording in &recordings {
        check(&server.clients, &log, recording, recording.opened().start_revision).await;
    }
    filters_make_a_difference(&recordings, &log);
    server.end().await;
}

/// The last revision that a stream was asked for, if it was.
fn last_wanted(start: &Start) -> Option<u64> {
    match start {
        Start::Range(range) if range.last_revision != 0 => Some(range.last_revision),
        _ => None,
    }
}

/// Checks the promises. Those that need many questions to the server are checked for one start at each revision.
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

/// Streams that end with a restart resume by their last token, and miss nothing.
async fn restart(store: PreparedStore, watches: Vec<Watch>) {
    let PreparedStore { mut server, mut author, mut log, .. } = store;
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
    filters_make_a_difference(&before, &log);
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

/// Every kind of filter saw something, and every filter but none saw less than everything.
fn filters_make_a_difference(recordings: &[Recording], log: &CommitLog) {
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
