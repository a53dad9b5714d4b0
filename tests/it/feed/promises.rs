//! Every promise, over every kind of filter and start.

use almanac::proto::{subscribe_request::Start, *};

use super::{all_filters, sex};
use crate::support::{
    Clients, DEADLINE, Dice, WholeCommit,
    author::Author,
    fixture::*,
    long,
    oracle::{self, CommitLog},
    steward::Steward,
    subscriptions::*,
    watch::{Recording, Watch, covered},
};

/// Writes something for every filter, whatever the dice draw.
async fn write_for_every_filter(clients: &Clients) {
    let mut figures = Vec::new();
    for indicator in INDICATORS {
        let plain = batch(indicator, "CHN", "press", &[("2014", "1")]);
        for code in ["F", "M"] {
            figures.push(SeriesBatch { dimensions: vec![sex(code)], ..plain.clone() });
        }
        figures.push(plain);
    }
    clients.ingest(released("2015-01-01"), figures).await.unwrap();
    clients.publish(edition("2016"), entries(&[1, 2, 3, 4, 5, 6])).await.unwrap();
    clients.publish(edition("2017"), entries(&[6, 5, 4, 3, 2, 1])).await.unwrap();
}

fn draw_start(dice: &mut Dice, head: u64) -> Start {
    match dice.below(5) {
        0 => now(),
        1 => state(),
        2 => known_at(1 + dice.below(head as usize) as u64),
        _ => range(1 + dice.below(head as usize + 1) as u64, 0),
    }
}

/// Every filter but one saw something, and every filter but none saw less than everything.
fn filters_make_a_difference(recordings: &[Recording], filters: &[Vec<Filter>], log: &CommitLog) {
    let whole = count(&log.commits);
    let from_start: Vec<usize> =
        recordings.iter().filter(|one| one.start == range(1, 0)).map(|one| count(&one.commits())).collect();
    let seen = &from_start[from_start.len() - filters.len()..];
    for (seen, filter) in seen.iter().zip(filters) {
        let nobody = filter.iter().any(|filter| filter.entities == ["nobody"]);
        assert_eq!(*seen == 0, nobody, "{filter:?}");
        assert!(*seen < whole || filter.is_empty(), "{filter:?}");
    }
}

/// Subscribers come while a steward writes; then every promise is checked on what each saw, before and after a restart.
#[tokio::test]
async fn every_promise_holds_for_every_filter_and_start_while_writes_go_on() {
    let mut dice = Dice::new("every_promise");
    let mut server = server_with_catalog().await;
    let clients = server.clients.clone();
    let mut steward = Steward::new(dice.clone(), "steward", 900).with_reverts();
    let filters = all_filters();
    write_for_every_filter(&clients).await;
    let (writes, every) = if long() { (400, 5) } else { (36, 3) };
    let mut watches: Vec<Watch> = Vec::new();
    for number in 0..writes {
        steward.next(clients.head().await).send_or_refused(&clients).await;
        if number % every == 0 {
            let start = draw_start(&mut dice, clients.head().await);
            let filters = filters[number / every % filters.len()].clone();
            watches.push(Watch::open(&clients, start, filters).await.unwrap());
        }
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
    filters_make_a_difference(&recordings, &filters, &log);

    server.restart().await;
    let after = CommitLog::read(&server.clients).await;
    assert_eq!(after.commits, log.commits);
    for recording in &recordings {
        oracle::durable(&after, recording, recording.opened().start_revision);
        oracle::resumable(&server.clients, &after, recording, recording.opened().start_revision).await;
    }
    server.end().await;
}

/// How many changes commits have.
fn count(commits: &[WholeCommit]) -> usize {
    commits.iter().map(|commit| commit.changes.len()).sum()
}

/// What a subscriber that comes and goes has at the end.
struct Visitor {
    filters: Vec<Filter>,
    commits: Vec<WholeCommit>,
    visits: usize,
}

impl Visitor {
    /// Subscribes again and again for a few messages, until the last commit came.
    async fn run(mut self, clients: Clients, mut dice: Dice) -> Self {
        let mut start = range(1, 0);
        loop {
            let mut watch = Watch::open(&clients, start.clone(), self.filters.clone()).await.unwrap();
            let messages = 1 + dice.below(12);
            watch.until("a message", |seen| seen.len() >= messages).await;
            let mut recording = watch.leave().await;
            // Later messages are lost, as with a client that crashes.
            recording.messages.truncate(messages);
            self.visits += 1;
            // The newest token, whichever message carried it.
            if let Some((_, token)) = recording.tokens().last() {
                start = Start::ResumeToken(token.clone());
            }
            self.commits.extend(recording.commits());
            if self.commits.iter().any(is_last) || is_done(&recording) {
                return self;
            }
        }
    }
}

#[tokio::test]
async fn subscribers_that_come_and_go_miss_nothing_and_get_nothing_twice() {
    let mut dice = Dice::new("come and go");
    let mut server = server_with_catalog().await;
    let clients = server.clients.clone();
    let mut author = Author::new(dice.clone(), "steward", 700);
    let mut visitors = Vec::new();
    for filters in all_filters() {
        dice.next();
        let visitor = Visitor { filters, commits: Vec::new(), visits: 0 };
        visitors.push(tokio::spawn(visitor.run(clients.clone(), dice.clone())));
    }
    for _ in 0..if long() { 150 } else { 25 } {
        author.next().send(&clients).await.unwrap();
    }
    // The last commit. Visitors whose filters leave it out stop when their stream covers its revision.
    let last = clients.define(WriteOptions { note: LAST.into(), ..Default::default() }, catalog()).await.unwrap();
    LAST_REVISION.store(last.revision, std::sync::atomic::Ordering::SeqCst);
    let log = CommitLog::read(&clients).await;
    for visitor in visitors {
        let visitor = tokio::time::timeout(DEADLINE, visitor).await.expect("comes to the end").unwrap();
        let expected = log.expected(&visitor.filters, 0, u64::MAX);
        assert_eq!(visitor.commits, expected, "{:?} in {} visits", visitor.filters, visitor.visits);
        assert!(visitor.visits > 2 || !visitor.filters.is_empty(), "{} visits", visitor.visits);
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
