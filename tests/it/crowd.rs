//! Crowds: many subscribers, some slow, some that never read, and all coming back at once.
//!
//! Short crowds by default; with `ALMANAC_TEST_LONG=1` those that the feed promises to carry: build those with `--release`,
//! and let the shell have 12,000 open files (`ulimit -n 12000`). Times are printed, never judged: what is judged is that
//! everybody gets everything, that the server's memory stays bounded, and how often work that is shared was done.

mod storm;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use almanac::{
    proto::{subscribe_request::Start, subscribe_response::Body as Message, *},
    server,
};
use tokio::{
    sync::{Barrier, oneshot, watch},
    task::JoinHandle,
};
use tonic::{Code, Status, Streaming};

use crate::support::{Clients, DEADLINE, TestServer, WholeCommit, fixture::*, long, process::Process};

/// Streams of one connection, below the server's limit: room for calls is left.
const STREAMS_PER_CONNECTION: usize = 100;
/// How long a crowd may take to get what it should, on a machine with others on it.
const CROWD_DEADLINE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy)]
struct Crowd {
    subscribers: usize,
    /// How many of them never read.
    never: usize,
    /// How many read a message at a time, with a rest after each.
    slow: usize,
    rest: Duration,
    commits_per_second: u32,
    /// What each brings: figures of so many years of so many economies.
    years: usize,
    economies: usize,
    lasting: Duration,
    /// Most memory that the server may ever have had, in MiB.
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
            // A few kilobytes, so that who does not read fills his window.
            years: 20,
            economies: ECONOMIES.len(),
            lasting: Duration::from_secs(4),
            memory_mib: 400,
        },
        true => Crowd {
            subscribers: 1_000,
            never: 50,
            slow: 50,
            rest: Duration::from_secs(1),
            commits_per_second: 100,
            // 90,000 messages a second to decode are what two cores can do; a minute of them fills any window.
            years: 1,
            economies: 1,
            lasting: Duration::from_secs(60),
            memory_mib: 1_000,
        },
    }
}

/// Figures of so many years of so many economies, other ones than the time before.
async fn commit_of(clients: &Clients, number: usize, years: usize, economies: usize) -> u64 {
    let first = 1900 + number * years % 100;
    let points = || (0..years).map(|at| point(&(first + at).to_string(), &format!("{number}.{at:02}"))).collect();
    let of = |at: usize| SeriesBatch { points: points(), ..batch(RD, ECONOMIES[at % ECONOMIES.len()], "bank", &[]) };
    let batches = (number..number + economies).map(of).collect();
    clients.ingest(released("2024-01-01"), batches).await.unwrap().revision
}

/// A commit of a few kilobytes.
async fn commit(clients: &Clients, number: usize) -> u64 {
    commit_of(clients, number, 20, ECONOMIES.len()).await
}

/// Does something on a thread and a connection of its own: among the crowd's own tasks it would wait in line with them, and
/// its times would be those of this process.
async fn apart<T, F>(server: SocketAddr, what: impl FnOnce(Clients) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let done = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { what(Clients::connect(server).await).await })
    });
    done.await.unwrap()
}

/// Commits at a pace; how long each took.
async fn write(clients: Clients, first: usize, crowd: Crowd) -> Vec<Duration> {
    // Who is late makes up for it: so many a second are asked for, over the whole time.
    let mut pace = tokio::time::interval(Duration::from_secs(1) / crowd.commits_per_second);
    let started = Instant::now();
    let mut took = Vec::new();
    while started.elapsed() < crowd.lasting {
        pace.tick().await;
        let begun = Instant::now();
        commit_of(&clients, first + took.len(), crowd.years, crowd.economies).await;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took
}

fn at(sorted: &[Duration], of_hundred: usize) -> Duration {
    sorted[(sorted.len() - 1) * of_hundred / 100]
}

/// Clients on so many connections that all subscribers have room.
async fn connections(server: &Process, subscribers: usize) -> Vec<Clients> {
    let mut all = Vec::new();
    for _ in 0..subscribers.div_ceil(STREAMS_PER_CONNECTION) {
        all.push(server.clients().await);
    }
    all
}

async fn subscribe(clients: &Clients, start: Start) -> Result<Streaming<SubscribeResponse>, Status> {
    subscribe_to(clients, start, Vec::new()).await
}

async fn subscribe_to(
    clients: &Clients,
    start: Start,
    filters: Vec<Filter>,
) -> Result<Streaming<SubscribeResponse>, Status> {
    let progress_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request = SubscribeRequest { start: Some(start), filters, progress_interval, ..Default::default() };
    Ok(clients.feed.clone().subscribe(request).await?.into_inner())
}

/// What a message says of how far the stream came, and the token of that.
fn place(message: &Message) -> Option<(u64, &str)> {
    match message {
        Message::Opened(opened) => Some((opened.start_revision, &opened.resume_token)),
        Message::CommitPage(page) if page.last_page => Some((page.revision, &page.resume_token)),
        Message::Progress(progress) => Some((progress.revision, &progress.resume_token)),
        _ => None,
    }
}

/// Takes every message up to a revision that may be told later; while `rest` says so, rests after each. Who rests so long
/// that the server gives him up comes back by his last token.
async fn read(
    clients: Clients,
    mut stream: Streaming<SubscribeResponse>,
    token: String,
    mut until: watch::Receiver<u64>,
    rest: watch::Receiver<Duration>,
) -> Seen {
    let mut seen = Seen { token, ..Seen::default() };
    loop {
        if seen.place >= *until.borrow_and_update() {
            return seen;
        }
        let message = tokio::select! {
            message = stream.message() => message,
            _ = until.changed() => continue,
        };
        let Ok(Some(message)) = message else {
            seen.forget_half();
            stream = subscribe(&clients, Start::ResumeToken(seen.token.clone())).await.unwrap();
            continue;
        };
        let message = message.body.unwrap();
        seen.take(&message);
        let rest = *rest.borrow();
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }
}

async fn read_all(clients: &Clients, stream: Streaming<SubscribeResponse>, token: String, until: u64) -> Seen {
    let reading = read(clients.clone(), stream, token, watch::channel(until).1, watch::channel(Duration::ZERO).1);
    tokio::time::timeout(CROWD_DEADLINE, reading).await.expect("the stream should have come to head")
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    place: u64,
    token: String,
    /// Changes of each commit; many subscribers keep this, so not what they were.
    commits: BTreeMap<u64, usize>,
    whole: usize,
}

impl Seen {
    fn take(&mut self, message: &Message) {
        if let Some((revision, token)) = place(message) {
            assert!(revision >= self.place, "{revision} after {}", self.place);
            (self.place, self.token) = (revision, token.to_owned());
        }
        if let Message::Goodbye(goodbye) = message {
            assert!(!goodbye.resume_token.is_empty(), "a goodbye without a way back");
            self.token.clone_from(&goodbye.resume_token);
        }
        let Message::CommitPage(page) = message else { return };
        let last = self.commits.last_key_value().map(|(revision, _)| *revision);
        if page.page == 0 {
            assert!(last < Some(page.revision), "{} after {last:?}", page.revision);
            assert!(self.commits.len() == self.whole, "a commit was not completed");
            assert!(last.is_none_or(|last| page.prev_matching_revision == last), "the chain has a gap");
        } else {
            assert_eq!(last, Some(page.revision));
        }
        *self.commits.entry(page.revision).or_default() += page.changes.len();
        self.whole += usize::from(page.last_page);
    }

    /// Throws away a commit whose last page did not come: the stream broke, and it comes again.
    fn forget_half(&mut self) {
        if self.commits.len() > self.whole {
            self.commits.pop_last();
        }
    }
}

/// The most memory a process ever had, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn sizes(commits: &[WholeCommit]) -> BTreeMap<u64, usize> {
    commits.iter().map(|commit| (commit.commit.revision, commit.changes.len())).collect()
}

async fn start(data: &Path) -> (Process, Clients) {
    let server = Process::start(data, &[]).unwrap();
    let clients = server.clients().await;
    (server, clients)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_stalled_subscribers_harm_nobody() {
    let crowd = crowd();
    let scratch = tempfile::tempdir().unwrap();
    let (server, clients) = start(&scratch.path().join("data")).await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    let alone = apart(server.address, move |clients| write(clients, 0, crowd)).await;
    let before = clients.head().await;
    let memory_alone = peak_memory(server.pid());

    // Who never reads gets connections of his own: a full window of a connection would hold up its other streams.
    let from = Start::Range(StartRange { first_revision: before + 1, last_revision: 0 });
    let deaf_connections = connections(&server, crowd.never).await;
    let mut deaf = Vec::new();
    for number in 0..crowd.never {
        let clients = &deaf_connections[number / STREAMS_PER_CONNECTION];
        let mut stream = subscribe(clients, from.clone()).await.unwrap();
        let opened = stream.message().await.unwrap().unwrap().body.unwrap();
        let token = place(&opened).unwrap().1.to_owned();
        deaf.push((stream, token));
    }
    let (wake, slow_rest) = watch::channel(crowd.rest);
    let no_rest = watch::channel(Duration::ZERO).1;
    // Every reader goes on to a revision that is told when the writing is over.
    let (tell, told) = watch::channel(u64::MAX);
    let slow_connections = connections(&server, crowd.slow).await;
    let mut slow = Vec::new();
    for number in 0..crowd.slow {
        let stream = subscribe(&slow_connections[number / STREAMS_PER_CONNECTION], from.clone()).await.unwrap();
        slow.push(tokio::spawn(read(clients.clone(), stream, String::new(), told.clone(), slow_rest.clone())));
    }
    let fast_connections = connections(&server, crowd.subscribers).await;
    let mut fast = Vec::new();
    for number in 0..crowd.subscribers - crowd.never - crowd.slow {
        let stream = subscribe(&fast_connections[number / STREAMS_PER_CONNECTION], from.clone()).await.unwrap();
        fast.push(tokio::spawn(read(clients.clone(), stream, String::new(), told.clone(), no_rest.clone())));
    }
    let written = alone.len();
    let among = apart(server.address, move |clients| write(clients, written, crowd)).await;
    let head = clients.head().await;
    assert_eq!(head, before + among.len() as u64);
    tell.send_replace(head);
    let expected = sizes(&clients.commits(before, Vec::new()).await);
    assert_eq!(expected.len(), among.len());
    // The fast ones are done although the slow ones rest and the deaf ones never read.
    let reading = Instant::now();
    for reader in fast {
        let seen = tokio::time::timeout(CROWD_DEADLINE, reader).await.expect("fast readers are done").unwrap();
        assert_eq!((seen.place, &seen.commits, seen.whole), (head, &expected, expected.len()));
    }
    let fast_took = reading.elapsed();
    wake.send_replace(Duration::ZERO);
    for reader in slow {
        let seen = tokio::time::timeout(CROWD_DEADLINE, reader).await.expect("slow readers get there").unwrap();
        assert_eq!((seen.place, &seen.commits, seen.whole), (head, &expected, expected.len()));
    }
    let memory = peak_memory(server.pid());
    println!(
        "{} subscribers, {} commits/s asked for, {:.1} reached, {:.1} alone: a commit took {:.2} times as long as alone at the median, {:.2} times at the 95th \
         percentile ({:?} and {:?} alone, {} commits); the last fast reader was done {fast_took:?} after the last commit; \
         peak memory {} MiB, {} MiB alone",
        crowd.subscribers,
        crowd.commits_per_second,
        among.len() as f64 / crowd.lasting.as_secs_f64(),
        alone.len() as f64 / crowd.lasting.as_secs_f64(),
        at(&among, 50).as_secs_f64() / at(&alone, 50).as_secs_f64(),
        at(&among, 95).as_secs_f64() / at(&alone, 95).as_secs_f64(),
        at(&alone, 50),
        at(&alone, 95),
        among.len(),
        memory / 1024,
        memory_alone / 1024,
    );
    assert!(memory / 1024 < crowd.memory_mib, "{} MiB", memory / 1024);

    // Who never read goes on with what he was sent, or comes back by the one token he has.
    // All at once, as a client must whose streams share a connection: those not read hold its window, and so the others up.
    let clients = &clients;
    let reading = deaf.into_iter().enumerate().map(async |(number, (stream, token))| {
        let stream = match number % 2 {
            0 => stream,
            _ => {
                drop(stream);
                subscribe(clients, Start::ResumeToken(token.clone())).await.unwrap()
            }
        };
        read_all(clients, stream, token, head).await
    });
    for seen in futures_util::future::join_all(reading).await {
        assert_eq!((&seen.commits, seen.whole), (&expected, expected.len()));
    }
    server.stop();
}

/// How long a client waits before it comes again, at the most; the first times less.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// Opens a stream, as real clients do: on a connection of its own, and again after a wait that grows and differs for each,
/// as long as what failed is the connection. A client that is starved so long that it answers no ping is cut off by the
/// server with a `GOAWAY`, which may come in the middle of this.
async fn come_back(address: &mut watch::Receiver<SocketAddr>, start: &Start) -> Streaming<SubscribeResponse> {
    let begun = Instant::now();
    let mut bound = Duration::from_millis(100);
    loop {
        let server = *address.borrow_and_update();
        let why = match Clients::try_connect(server).await {
            Err(error) => format!("{error:?}"),
            Ok(clients) => match subscribe(&clients, start.clone()).await {
                Ok(stream) => return stream,
                Err(status) => {
                    let broken = [Code::Unavailable, Code::Unknown, Code::Internal, Code::Cancelled];
                    assert!(broken.contains(&status.code()), "{status:?}");
                    status.to_string()
                }
            },
        };
        assert!(begun.elapsed() < CROWD_DEADLINE, "never came back: {why}");
        tokio::time::sleep(bound.mul_f64(f64::from(getrandom::u32().unwrap()) / f64::from(u32::MAX))).await;
        bound = (bound * 2).min(BACK_OFF_MAX);
    }
}

/// The next message; `None` when the server is gone.
async fn next(stream: &mut Streaming<SubscribeResponse>) -> Option<Message> {
    stream.message().await.ok().flatten().map(|message| message.body.unwrap())
}

/// Reads to the end of the next commit; its revision and how many changes of it came.
async fn next_commit(stream: &mut Streaming<SubscribeResponse>) -> (u64, usize) {
    let reading = async {
        let mut changes = 0;
        loop {
            if let Some(Message::CommitPage(page)) = next(stream).await {
                changes += page.changes.len();
                if page.last_page {
                    return (page.revision, changes);
                }
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("a commit comes")
}

/// However many listen, a change is held against the filters once and encoded once, also for those who come later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_matched_once_and_encoded_once_whoever_listens() {
    let scratch = tempfile::tempdir().unwrap();
    let config = server::Config::new(scratch.path().join("data"));
    let almanac = tokio::task::spawn_blocking(move || server::open(&config)).await.unwrap().unwrap();
    let hub = almanac.hub().clone();
    let listener = server::listen("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server::serve(almanac, listener, async move {
        let _ = stopped.await;
    }));
    let clients = Clients::connect(address).await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();

    // A filter for each economy, and none, which sees all: every change matches two groups.
    let economy = |id: &str| vec![Filter { entities: vec![id.to_owned()], ..Default::default() }];
    let filters: Vec<_> = ECONOMIES.iter().map(|id| economy(id)).chain([Vec::new()]).collect();
    let (figures, mut streams) = (120, Vec::new());
    for round in 0..3 {
        for filters in filters.iter().flat_map(|filters| std::iter::repeat_n(filters, 1 + 4 * round)) {
            let all = if filters.is_empty() { figures } else { figures / ECONOMIES.len() };
            let mut stream = subscribe_to(&clients, Start::Now(StartNow {}), filters.clone()).await.unwrap();
            assert!(matches!(next(&mut stream).await, Some(Message::Opened(_))));
            streams.push((stream, all));
        }
        let counts = || (hub.kept().changes_matched(), hub.kept().changes_encoded());
        let before = counts();
        let revision = commit(&clients, round).await;
        for (stream, all) in &mut streams {
            assert_eq!(next_commit(stream).await, (revision, *all));
        }
        let once = (before.0 + figures as u64, before.1 + figures as u64);
        assert_eq!(counts(), once, "with {} subscribers", streams.len());
        // One who comes later, with filters that are known, reads the same.
        let from = Start::Range(StartRange { first_revision: revision, last_revision: revision });
        let mut late = subscribe_to(&clients, from, economy(ECONOMIES[0])).await.unwrap();
        assert_eq!(next_commit(&mut late).await, (revision, figures / ECONOMIES.len()));
        assert_eq!(counts(), once);
    }
    drop(streams);
    let _ = stop.send(());
    serving.await.unwrap().unwrap();
}

/// Nothing rings for a commit that does not match; the end of a range is told all the same.
#[tokio::test]
async fn a_range_ends_with_its_last_revision_whether_that_matches_or_not() {
    let server = TestServer::empty().await;
    let clients = &server.clients;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    let request = SubscribeRequest {
        start: Some(Start::Range(StartRange { first_revision: 2, last_revision: 4 })),
        filters: vec![Filter { entities: vec!["nobody".into()], ..Default::default() }],
        progress_interval: Some(prost_types::Duration { seconds: 20, nanos: 0 }),
        ..Default::default()
    };
    let mut stream = clients.feed.clone().subscribe(request).await.unwrap().into_inner();
    assert!(matches!(next(&mut stream).await, Some(Message::Opened(_))));
    for number in 0..3 {
        commit(clients, number).await;
    }
    let ended = async {
        loop {
            if let Some(Message::Goodbye(goodbye)) = next(&mut stream).await {
                return goodbye;
            }
        }
    };
    let goodbye = tokio::time::timeout(DEADLINE, ended).await.expect("the range ends");
    assert_eq!(goodbye.reason(), GoodbyeReason::RangeComplete);
    drop(stream);
    server.end().await;
}
