//! Streams while compaction moves the floor.

use std::num::NonZeroU64;

use almanac::{ledger::compact::Retention, proto::*};
use tonic::Code;

use super::{FILTERS, filters, first_token, write};
use crate::{
    compaction::floor_becomes,
    support::{
        Clients, Dice, TestServer, assert_refused,
        author::Author,
        fixture::*,
        oracle::{self, CommitLog},
        subscriptions::*,
        watch::Watch,
    },
};

/// How often every start is tried while the floor moves.
const ROUNDS: usize = 3;

/// Commits kept behind a floor that moves.
const MOVING_KEPT: u64 = 6;

/// Writes and lets the floor move, until it is stopped.
async fn write_and_compact(
    clients: Clients,
    mut author: Author,
    mut log: CommitLog,
    stopped: tokio::sync::watch::Receiver<bool>,
) -> CommitLog {
    while !*stopped.borrow() {
        for _ in 0..2 {
            write(&clients, &mut author, 1).await;
            log.read_on(&clients).await;
        }
        // Compaction waits for a pause between writes.
        floor_becomes(&clients, log.head() - MOVING_KEPT + 1).await;
    }
    log
}

/// Opens streams at the edges of a history whose floor moves; returns them, and how many starts were refused.
async fn open_while_the_floor_moves(clients: &Clients, kind: &str) -> (Vec<Watch>, usize) {
    let known = clients.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner();
    let starts = [
        range(known.floor - 1, 0),
        range(known.floor, 0),
        range(known.head, 0),
        known_at(known.floor - 1),
        known_at(known.floor),
        token(&first_token(clients, kind, now()).await),
        state(),
    ];
    let mut watches = Vec::new();
    let mut refused = 0;
    for start in starts {
        match Watch::open(clients, start, filters(kind)).await {
            Ok(watch) => watches.push(watch),
            Err(status) => {
                refused += 1;
                assert_refused::<()>(Err(status), Code::OutOfRange, "BELOW_FLOOR");
            }
        }
    }
    (watches, refused)
}

#[tokio::test]
async fn while_the_floor_moves_a_stream_is_whole_or_fails_with_a_reason() {
    let kept = NonZeroU64::new(MOVING_KEPT);
    let server =
        TestServer::with(|config| config.retention = Retention { revisions: kept, ..Retention::default() }).await;
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
    let writing = tokio::spawn(write_and_compact(clients.clone(), author, log, stopped));
    let mut moves = Watch::open(&clients, now(), Vec::new()).await.unwrap();
    let mut watches = Vec::new();
    let mut refused = 0;
    for kind in FILTERS.iter().cycle().take(FILTERS.len() * ROUNDS) {
        let head = clients.head().await;
        let (opened, refusals) = open_while_the_floor_moves(&clients, kind).await;
        watches.extend(opened);
        refused += refusals;
        moves.until_covers(head + 1).await;
    }
    stop.send_replace(true);
    let log = writing.await.unwrap();
    let head = clients.head().await;
    let floor = clients.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner().floor;
    assert!(refused >= FILTERS.len() * ROUNDS, "below the floor is always refused");
    assert!(floor > 20, "the floor moved, it is {floor}");
    let mut whole = 0;
    for watch in watches {
        let (recording, error) = watch.until_covers_or_fails(head).await;
        oracle::check_recorded(&log, &recording, recording.opened().start_revision);
        match error {
            Some(status) => drop(assert_refused::<()>(Err(status), Code::OutOfRange, "BELOW_FLOOR")),
            None => whole += 1,
        }
    }
    assert!(whole > FILTERS.len(), "only {whole} streams were whole");
    server.end().await;
}
