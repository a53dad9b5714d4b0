//! Every edge of history as a place to start, for every kind of filter, in every phase of a stream.
//!
//! The cases are generated: places around 0, 1, the floor and head × filters × phases. What every stream saw is held to all
//! promises. The places are worked out from the floor that the server tells: a folder whose floor was raised needs
//! nothing but a phase of its own that raises it (see [`Phase`]).

use almanac::proto::{subscribe_request::Start, *};
use tonic::Code;

use crate::{
    author::Author,
    fixture::*,
    harness::{Clients, Dice, World, assert_refused, at_revision, long},
    promises::{self, Truth},
    watch::{Recording, Watch},
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
    // A floor above 1: compact here, once the ledger can be compacted; the places below follow.
}

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
    Start::Range(StartRange { from, until: 0 })
}

fn known_at(revision: u64) -> Start {
    Start::AsKnownAt(at_revision(revision).unwrap())
}

/// Revisions at the edges of a history, each once.
fn edges(floor: u64, head: u64) -> Vec<u64> {
    let mut all = vec![0, 1, floor.saturating_sub(1), floor, head - 1, head, head + 1, head + 2];
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

/// Opens a stream at every edge with these filters; checks the refusals where head stands still.
async fn open(clients: &Clients, phase: Phase, kind: &str) -> Vec<Watch> {
    let head = clients.feed.clone().get_head(GetHeadRequest {}).await.unwrap().into_inner();
    let (floor, head) = (head.floor, head.head);
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
        // The list has no place that waits: after head is its end.
        let request = ListCommitsRequest { after_revision: at, filters: filters(kind), ..Default::default() };
        let listed = clients.feed.clone().list_commits(request).await;
        let known = Watch::open(clients, known_at(at), filters(kind)).await;
        if at > head {
            assert_refused(listed, Code::OutOfRange, "ABOVE_HEAD");
            assert_refused(known.map(|_| ()), Code::OutOfRange, "ABOVE_HEAD");
        } else {
            if at + 1 < floor {
                assert_refused(listed, Code::OutOfRange, "BELOW_FLOOR");
                assert_refused(known.map(|_| ()), Code::OutOfRange, "BELOW_FLOOR");
                continue;
            }
            listed.unwrap();
            watches.push(known.unwrap());
        }
    }
    watches.push(Watch::open(clients, Start::Now(StartNow {}), filters(kind)).await.unwrap());
    watches.push(Watch::open(clients, Start::State(StartState {}), filters(kind)).await.unwrap());
    watches
}

async fn every_edge(phase: Phase) {
    let mut world = world().await;
    let dice = Dice::new(&format!("{phase:?} edges"));
    let mut author = Author::new(dice, "steward", if long() { 900 } else { 40 });
    // Something for the filters by rank, and something that the filter by cause leaves out, whatever the dice say.
    world.clients.publish(partial(edition("1990")), entries(&[1, 2, 3, 4])).await.unwrap();
    world.clients.publish(correction(partial(edition("1990"))), entries(&[2, 1, 3, 4])).await.unwrap();
    write(&world.clients, &mut author, 14).await;
    if phase == Phase::Ledger {
        world.restart().await;
    }
    let mut watches = Vec::new();
    if phase == Phase::Live {
        let clients = world.clients.clone();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let writing = tokio::spawn(async move {
            while !*stopped.borrow() {
                write(&clients, &mut author, 1).await;
            }
        });
        for kind in FILTERS {
            watches.extend(open(&world.clients, phase, kind).await);
        }
        stop.send_replace(true);
        writing.await.unwrap();
    } else {
        for kind in FILTERS {
            watches.extend(open(&world.clients, phase, kind).await);
        }
        if phase == Phase::Ring {
            // For those that wait behind head.
            write(&world.clients, &mut author, 2).await;
        }
        if phase == Phase::Restart {
            restart(world, watches, author).await;
            return;
        }
    }
    let recordings = read_all(&world.clients, watches).await;
    let truth = Truth::read(&world.clients).await;
    for recording in &recordings {
        promises::check(&world.clients, &truth, recording, recording.opened().start_revision).await;
    }
    worth_something(&recordings, &truth);
    world.end().await;
}

/// Streams cut by a restart go on by their last token, as if nothing had been.
async fn restart(mut world: World, mut watches: Vec<Watch>, mut author: Author) {
    let head = world.clients.head().await;
    for watch in &mut watches {
        watch.until_covers(head).await;
    }
    write(&world.clients, &mut author, 2).await;
    world.stop().await;
    let mut before = Vec::new();
    for watch in watches {
        let recording = watch.ended().await.unwrap();
        assert_eq!(recording.goodbye().unwrap().reason(), GoodbyeReason::Shutdown);
        before.push(recording);
    }
    world.restart().await;
    let clients = world.clients.clone();
    write(&clients, &mut author, 2).await;
    let mut after = Vec::new();
    for recording in &before {
        let token = recording.goodbye().unwrap().resume_token.clone();
        after.push(Watch::open(&clients, Start::ResumeToken(token), recording.filters.clone()).await.unwrap());
    }
    let after = read_all(&clients, after).await;
    let truth = Truth::read(&clients).await;
    for (first, second) in before.iter().zip(&after) {
        let began = first.opened().start_revision;
        promises::check(&clients, &truth, first, began).await;
        promises::durable(&truth, first, began);
        promises::check(&clients, &truth, second, began).await;
        let both: Vec<_> = [first.commits(), second.commits()].concat();
        assert_eq!(both, truth.seen(&first.filters, began, u64::MAX), "the two together miss and repeat nothing");
    }
    worth_something(&before, &truth);
    world.end().await;
}

async fn read_all(clients: &Clients, watches: Vec<Watch>) -> Vec<Recording> {
    let head = clients.head().await;
    let mut recordings = Vec::new();
    for mut watch in watches {
        watch.until_covers(head).await;
        recordings.push(watch.leave().await);
    }
    recordings
}

/// Every kind of filter saw something, and each but none saw less than there is.
fn worth_something(recordings: &[Recording], truth: &Truth) {
    assert!(recordings.len() >= FILTERS.len() * 6, "{} streams", recordings.len());
    if !recordings.iter().any(|one| one.opened().start_revision == 0) {
        return;
    }
    let whole: usize = truth.commits.iter().map(|commit| commit.changes.len()).sum();
    for kind in FILTERS {
        let of_kind = recordings.iter().filter(|one| one.filters == filters(kind));
        let seen = of_kind.map(|one| one.commits().iter().map(|commit| commit.changes.len()).sum::<usize>()).max();
        assert!(seen > Some(0), "{kind} saw nothing");
        assert!(seen < Some(whole) || kind == "none", "{kind} saw everything");
    }
}

#[tokio::test]
async fn every_edge_from_the_ledger() {
    every_edge(Phase::Ledger).await;
}

#[tokio::test]
async fn every_edge_from_the_ring() {
    every_edge(Phase::Ring).await;
}

#[tokio::test]
async fn every_edge_while_commits_arrive() {
    every_edge(Phase::Live).await;
}

#[tokio::test]
async fn every_edge_across_a_restart() {
    every_edge(Phase::Restart).await;
}
