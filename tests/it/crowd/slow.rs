//! Subscribers that read slowly or not at all.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use almanac::proto::{subscribe_request::Start, *};
use tokio::{sync::watch, task::JoinHandle};
use tonic::Streaming;

use super::{
    CROWD_DEADLINE, ReadRecord, STREAMS_PER_CONNECTION, commit_of, on_own_thread, peak_memory, position, sizes, start,
    subscribe,
};
use crate::support::{Clients, fixture::*, long, process::Process, subscriptions::*};

#[derive(Debug, Clone, Copy)]
struct Crowd {
    subscribers: usize,
    /// How many of them never read.
    never: usize,
    /// How many read a message at a time, with a rest after each.
    slow: usize,
    rest: Duration,
    commits_per_second: u32,
    /// Figures of each commit: so many years of so many economies.
    years: usize,
    economies: usize,
    duration: Duration,
    /// The memory that the server may take at the most, in MiB.
    memory_mib: u64,
}

fn crowd() -> Crowd {
    match long() {
        false => Crowd {
            subscribers: 60,
            never: 5,
            slow: 5,
            rest: Duration::from_millis(150),
            commits_per_second: 20,
            // A few kilobytes a commit, so that a subscriber that does not read fills its window.
            years: 20,
            economies: ECONOMIES.len(),
            duration: Duration::from_secs(4),
            memory_mib: 400,
        },
        true => Crowd {
            subscribers: 1_000,
            never: 50,
            slow: 50,
            rest: Duration::from_secs(1),
            commits_per_second: 100,
            // Two cores decode 90,000 messages a second; a minute of them fills any window.
            years: 1,
            economies: 1,
            duration: Duration::from_secs(60),
            memory_mib: 1_000,
        },
    }
}

/// Commits at a steady pace, and returns how long each commit took, sorted.
async fn write(clients: Clients, first: usize, crowd: Crowd) -> Vec<Duration> {
    // A late commit does not delay the next ones: the pace is an average over the whole time.
    let mut pace = tokio::time::interval(Duration::from_secs(1) / crowd.commits_per_second);
    let started = Instant::now();
    let mut took = Vec::new();
    while started.elapsed() < crowd.duration {
        pace.tick().await;
        let begun = Instant::now();
        commit_of(&clients, first + took.len(), crowd.years, crowd.economies).await;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took
}

pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

/// Clients on as many connections as the subscribers need.
async fn connections(server: &Process, subscribers: usize) -> Vec<Clients> {
    let mut all = Vec::new();
    for _ in 0..subscribers.div_ceil(STREAMS_PER_CONNECTION) {
        all.push(server.clients().await);
    }
    all
}

/// Reads up to a revision that may become known later, with a rest after each message. If the server gives the stream up,
/// because the rests are long, the reader resumes by its last token.
async fn read(
    clients: Clients,
    mut stream: Streaming<SubscribeResponse>,
    token: String,
    mut until: watch::Receiver<u64>,
    rest: watch::Receiver<Duration>,
) -> ReadRecord {
    let mut record = ReadRecord { token, ..ReadRecord::default() };
    loop {
        if record.position >= *until.borrow_and_update() {
            return record;
        }
        let message = tokio::select! {
            message = stream.message() => message,
            _ = until.changed() => continue,
        };
        let Ok(Some(message)) = message else {
            record.drop_incomplete();
            stream = subscribe(&clients, Start::ResumeToken(record.token.clone())).await.unwrap();
            continue;
        };
        let message = message.body.unwrap();
        record.take(&message);
        let rest = *rest.borrow();
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }
}

async fn read_all(clients: &Clients, stream: Streaming<SubscribeResponse>, token: String, until: u64) -> ReadRecord {
    let reading = read(clients.clone(), stream, token, watch::channel(until).1, watch::channel(Duration::ZERO).1);
    tokio::time::timeout(CROWD_DEADLINE, reading).await.expect("the stream should have come to head")
}

/// Opens streams that nobody reads, each with its first token.
async fn open_unread(
    connections: &[Clients],
    from: &Start,
    count: usize,
) -> Vec<(Streaming<SubscribeResponse>, String)> {
    let mut unread = Vec::new();
    for number in 0..count {
        let mut stream = subscribe(&connections[number / STREAMS_PER_CONNECTION], from.clone()).await.unwrap();
        let opened = stream.message().await.unwrap().unwrap().body.unwrap();
        let token = position(&opened).unwrap().1.to_owned();
        unread.push((stream, token));
    }
    unread
}

/// What a group of readers shares.
struct Readers {
    connections: Vec<Clients>,
    /// Where they resume if the server gives them up.
    clients: Clients,
    from: Start,
    until: watch::Receiver<u64>,
    rest: watch::Receiver<Duration>,
}

impl Readers {
    async fn start(&self, count: usize) -> Vec<JoinHandle<ReadRecord>> {
        let mut readers = Vec::new();
        for number in 0..count {
            let connection = &self.connections[number / STREAMS_PER_CONNECTION];
            let stream = subscribe(connection, self.from.clone()).await.unwrap();
            let reading = read(self.clients.clone(), stream, String::new(), self.until.clone(), self.rest.clone());
            readers.push(tokio::spawn(reading));
        }
        readers
    }
}

pub(super) async fn check_readers(readers: Vec<JoinHandle<ReadRecord>>, head: u64, expected: &BTreeMap<u64, usize>) {
    for reader in readers {
        let record = tokio::time::timeout(CROWD_DEADLINE, reader).await.expect("every reader reaches head").unwrap();
        assert_eq!((record.position, &record.commits, record.complete), (head, expected, expected.len()));
    }
}

/// Every second stream is read on; the others are dropped and resumed by the only token that came.
async fn check_unread(
    clients: &Clients,
    unread: Vec<(Streaming<SubscribeResponse>, String)>,
    head: u64,
    expected: &BTreeMap<u64, usize>,
) {
    // All at once, as a client must whose streams share a connection: a stream that is not read holds up the others.
    let reading = unread.into_iter().enumerate().map(async |(number, (mut stream, token))| {
        if number % 2 == 1 {
            drop(stream);
            stream = subscribe(clients, Start::ResumeToken(token.clone())).await.unwrap();
        }
        read_all(clients, stream, token, head).await
    });
    for record in futures_util::future::join_all(reading).await {
        assert_eq!((&record.commits, record.complete), (expected, expected.len()));
    }
}

/// Prints how long commits took alone and among the crowd.
fn print_times(crowd: &Crowd, alone: &[Duration], among: &[Duration], last_reader: Duration) {
    let seconds = crowd.duration.as_secs_f64();
    println!(
        "{} subscribers, {} commits/s asked for, {:.1} reached, {:.1} alone; the last fast reader was done \
         {last_reader:?} after the last commit",
        crowd.subscribers,
        crowd.commits_per_second,
        among.len() as f64 / seconds,
        alone.len() as f64 / seconds,
    );
    for percent in [50, 95] {
        let alone = percentile(alone, percent);
        let among = percentile(among, percent);
        println!("a commit at {percent} %: {among:?}, {alone:?} alone, {:.2} times", among.div_duration_f64(alone));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_stalled_subscribers_harm_nobody() {
    let crowd = crowd();
    let scratch = tempfile::tempdir().unwrap();
    let (server, clients) = start(&scratch.path().join("data")).await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    let alone = on_own_thread(server.address, move |clients| write(clients, 0, crowd)).await;
    let before = clients.head().await;
    let memory_alone = peak_memory(server.pid());

    // Streams that are never read get connections of their own: they fill the window of the connection.
    let from = range(before + 1, 0);
    let unread_connections = connections(&server, crowd.never).await;
    let unread = open_unread(&unread_connections, &from, crowd.never).await;
    let (wake, slow_rest) = watch::channel(crowd.rest);
    // Readers read up to the head, which is known when the writing ends.
    let (announce, until) = watch::channel(u64::MAX);
    let slow = Readers {
        connections: connections(&server, crowd.slow).await,
        clients: clients.clone(),
        from: from.clone(),
        until,
        rest: slow_rest,
    };
    let slow_tasks = slow.start(crowd.slow).await;
    let fast = Readers {
        connections: connections(&server, crowd.subscribers).await,
        rest: watch::channel(Duration::ZERO).1,
        ..slow
    };
    let fast_tasks = fast.start(crowd.subscribers - crowd.never - crowd.slow).await;
    let written = alone.len();
    let among = on_own_thread(server.address, move |clients| write(clients, written, crowd)).await;
    let head = clients.head().await;
    assert_eq!(head, before + among.len() as u64);
    announce.send_replace(head);
    let expected = sizes(&clients.commits(before, Vec::new()).await);
    assert_eq!(expected.len(), among.len());

    // The fast readers reach head while the slow ones rest.
    let reading = Instant::now();
    check_readers(fast_tasks, head, &expected).await;
    print_times(&crowd, &alone, &among, reading.elapsed());
    wake.send_replace(Duration::ZERO);
    check_readers(slow_tasks, head, &expected).await;
    let memory = peak_memory(server.pid());
    println!("peak memory {} MiB, {} MiB alone", memory / 1024, memory_alone / 1024);
    assert!(memory / 1024 < crowd.memory_mib, "{} MiB", memory / 1024);
    check_unread(&clients, unread, head, &expected).await;
    server.stop();
}
