//! Crowds: many subscribers, some slow, some that never read, and all connecting again at once.
//!
//! Crowds are short by default. With `ALMANAC_TEST_LONG=1` they are as large as the feed promises: build with `--release`,
//! and allow 12,000 open files (`ulimit -n 12000`). Times are printed and not checked. The tests check that every subscriber
//! gets everything, that the memory of the server stays bounded, and how often shared work was done.

mod shared;
mod slow;
mod storm;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use almanac::proto::{subscribe_request::Start, subscribe_response::Body as Message, *};
use tokio::sync::watch;
use tonic::{Code, Status, Streaming};

use crate::support::{Clients, WholeCommit, fixture::*, process::Process};

/// Streams of one connection: below the limit of the server, so that calls have room.
const STREAMS_PER_CONNECTION: usize = 100;

/// How long a crowd may take, on a busy machine.
const CROWD_DEADLINE: Duration = Duration::from_secs(300);

/// Commits figures of so many years of so many economies, with other values for each number.
async fn commit_of(clients: &Clients, number: usize, years: usize, economies: usize) -> u64 {
    let first = 1900 + number * years % 100;
    let mut points = Vec::new();
    for at in 0..years {
        points.push(point(&(first + at).to_string(), &format!("{number}.{at:02}")));
    }
    let mut batches = Vec::new();
    for at in number..number + economies {
        batches.push(SeriesBatch { points: points.clone(), ..batch(RD, ECONOMIES[at % ECONOMIES.len()], "bank", &[]) });
    }
    clients.ingest(released("2024-01-01"), batches).await.unwrap().revision
}

/// A commit of a few kilobytes.
async fn commit(clients: &Clients, number: usize) -> u64 {
    commit_of(clients, number, 20, ECONOMIES.len()).await
}

/// Runs a task on a thread and a connection of its own: its times would otherwise include waiting for the tasks of the crowd.
async fn on_own_thread<T, F>(server: SocketAddr, what: impl FnOnce(Clients) -> F + Send + 'static) -> T
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

/// The revision that a message covers, and its token.
fn position(message: &Message) -> Option<(u64, &str)> {
    match message {
        Message::Opened(opened) => Some((opened.start_revision, &opened.resume_token)),
        Message::CommitPage(page) if page.last_page => Some((page.revision, &page.resume_token)),
        Message::Progress(progress) => Some((progress.revision, &progress.resume_token)),
        _ => None,
    }
}

#[derive(Debug, Default, PartialEq)]
struct ReadRecord {
    position: u64,
    token: String,
    /// How many changes of each commit came. The changes themselves would take too much memory in a crowd.
    commits: BTreeMap<u64, usize>,
    /// How many commits are complete.
    complete: usize,
}

impl ReadRecord {
    fn take(&mut self, message: &Message) {
        if let Some((revision, token)) = position(message) {
            assert!(revision >= self.position, "{revision} after {}", self.position);
            self.position = revision;
            self.token = token.to_owned();
        }
        if let Message::Goodbye(goodbye) = message {
            assert!(!goodbye.resume_token.is_empty(), "a goodbye without a token");
            self.token.clone_from(&goodbye.resume_token);
        }
        let Message::CommitPage(page) = message else { return };
        let last = self.commits.last_key_value().map(|(revision, _)| *revision);
        if page.page == 0 {
            assert!(last < Some(page.revision), "{} after {last:?}", page.revision);
            assert!(self.commits.len() == self.complete, "a commit was not completed");
            assert!(last.is_none_or(|last| page.prev_matching_revision == last), "the chain has a gap");
        } else {
            assert_eq!(last, Some(page.revision));
        }
        *self.commits.entry(page.revision).or_default() += page.changes.len();
        self.complete += usize::from(page.last_page);
    }

    /// Drops a commit of which the last page did not come. The stream broke, so that the commit comes again.
    fn drop_incomplete(&mut self) {
        if self.commits.len() > self.complete {
            self.commits.pop_last();
        }
    }
}

/// The peak memory of a process, in KiB.
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

/// The longest wait before a client connects again.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// Opens a stream on a connection of its own. As real clients do, it tries again after a random wait that grows, as long as
/// the connection fails. The server may send `GOAWAY` meanwhile, to a client that answers no ping because it gets no CPU.
async fn reconnect(address: &mut watch::Receiver<SocketAddr>, start: &Start) -> Streaming<SubscribeResponse> {
    let begun = Instant::now();
    let mut bound = Duration::from_millis(100);
    loop {
        let server = *address.borrow_and_update();
        let failure = match Clients::try_connect(server).await {
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
        assert!(begun.elapsed() < CROWD_DEADLINE, "could not reconnect: {failure}");
        tokio::time::sleep(bound.mul_f64(f64::from(getrandom::u32().unwrap()) / f64::from(u32::MAX))).await;
        bound = (bound * 2).min(BACK_OFF_MAX);
    }
}

/// The next message; `None`: the stream ended or failed.
async fn next(stream: &mut Streaming<SubscribeResponse>) -> Option<Message> {
    stream.message().await.ok().flatten().map(|message| message.body.unwrap())
}
