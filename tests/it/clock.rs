//! Clocks that jump: they change the times that are printed, and nothing else.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use almanac::{
    model::time::{Clock, Instant},
    proto::{change::Detail, subscribe_request::Start, *},
};

use crate::support::{
    Dice, TestServer, WholeCommit,
    author::Author,
    fixture::*,
    oracle::{self, CommitLog},
    subscriptions::range,
    watch::Watch,
};

/// 2026-01-01, in microseconds.
const BEGINNING: i64 = 1_767_225_600_000_000;
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// How far the clock jumps before each write, in microseconds; zero: it stands still.
const JUMPS: [i64; 12] =
    [SECOND, HOUR, -2 * HOUR, 24 * HOUR, -25 * HOUR, 0, 0, -24 * HOUR, SECOND, 48 * HOUR, -SECOND, HOUR];

/// Makes the same writes with a clock that jumps before each, and a restart in the middle. Returns what a subscriber saw,
/// and the times of the commits.
async fn written_under(jumps: [i64; 12], dice: &Dice) -> (Vec<WholeCommit>, Vec<prost_types::Timestamp>) {
    let time = Arc::new(AtomicI64::new(BEGINNING));
    let shared = time.clone();
    let mut server = TestServer::with(move |config| {
        let time = shared.clone();
        config.clock = Clock::from_fn(move || Instant(time.load(Ordering::Relaxed)));
    })
    .await;
    server.clients.define(WriteOptions::default(), catalog()).await.unwrap();
    let mut author = Author::new(dice.clone(), "steward", 60);
    let whole = range(1, 0);
    let mut watch = Watch::open(&server.clients, whole, Vec::new()).await.unwrap();
    let mut seen = Vec::new();
    for (number, jump) in jumps.into_iter().enumerate() {
        time.fetch_add(jump, Ordering::Relaxed);
        author.next().send(&server.clients).await.unwrap();
        if number == jumps.len() / 2 {
            watch.until_covers(server.clients.head().await).await;
            server.stop().await;
            let recording = watch.ended().await.unwrap();
            let token = recording.goodbye().unwrap().resume_token.clone();
            seen.extend(recording.commits());
            time.fetch_sub(3 * HOUR, Ordering::Relaxed);
            server.restart().await;
            watch = Watch::open(&server.clients, Start::ResumeToken(token), Vec::new()).await.unwrap();
        }
    }
    watch.until_covers(server.clients.head().await).await;
    let recording = watch.leave().await;
    let log = CommitLog::read(&server.clients).await;
    oracle::check(&server.clients, &log, &recording, 0).await;
    seen.extend(recording.commits());
    let recorded: Vec<_> = log.commits.iter().map(|one| one.commit.recorded.unwrap()).collect();
    // An instant still resolves to the newest commit that was recorded by then.
    for instant in &recorded {
        let at = resolve_revision_request::At::Recorded(*instant);
        let request = ResolveRevisionRequest { at: Some(at), ..Default::default() };
        let revision = server.clients.feed.clone().resolve_revision(request).await.unwrap().into_inner().revision;
        let newest = log.commits.iter().rfind(|one| one.commit.recorded.as_ref() == Some(instant)).unwrap();
        // A commit that is not listed may have been made at the same instant.
        let hidden = newest.commit.revision..=revision;
        assert!(hidden.clone().skip(1).all(|revision| log.commit(revision).is_none()) && !hidden.is_empty());
    }
    server.end().await;
    (seen, recorded)
}

/// A commit without its times, without the times of its rows, and without the chain that covers them.
fn timeless(mut commits: Vec<WholeCommit>) -> Vec<WholeCommit> {
    for one in &mut commits {
        one.commit.recorded = None;
        one.commit.chain.clear();
        for detail in one.changes.iter_mut().filter_map(|change| change.detail.as_mut()) {
            match detail {
                Detail::Value(change) => {
                    let rows = [&mut change.before, &mut change.after, &mut change.recorded_version];
                    rows.into_iter().flatten().for_each(|row| row.recorded = None);
                }
                Detail::Edition(change) => {
                    let rows = [&mut change.before, &mut change.after, &mut change.recorded_version];
                    rows.into_iter().flatten().for_each(|row| row.recorded = None);
                }
                Detail::Entry(_) | Detail::Definition(_) => {}
            }
        }
    }
    commits
}

#[tokio::test]
async fn clock_jumps_change_nothing_but_printed_times() {
    let dice = Dice::new("clocks that jump");
    let (steady, steady_times) = written_under([SECOND; 12], &dice).await;
    let (jumpy, jumpy_times) = written_under(JUMPS, &dice).await;
    assert_eq!(timeless(steady), timeless(jumpy));
    assert_ne!(steady_times, jumpy_times);
    for times in [steady_times, jumpy_times] {
        assert!(times.is_sorted_by_key(|time| (time.seconds, time.nanos)), "{times:?}");
    }
}
