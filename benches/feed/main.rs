//! The feed with ten thousand subscribers, compared with a service that only sends the same bytes, and with etcd.
//!
//! Run `cargo bench --bench feed`. Each server is a process of its own (Almanac is the real binary), so that its memory can
//! be read. All subscribers live in this process. Servers and subscribers share the machine, and the servers are measured in
//! turns. In reading order: [`process`]; [`crowd`], the subscribers; [`almanac`], [`nothing`] and [`etcd`], the servers.

mod almanac;
mod crowd;
mod etcd;
mod nothing;
mod process;

use std::{
    error::Error,
    time::{Duration, Instant},
};

use crowd::{StreamMessage, Subscribers};
use process::{Process, ProcessStats};
use tonic::{Status, Streaming, transport::Channel};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A commit of 133 economies × 80 indicators: 10,640 changes.
const ECONOMIES: usize = 133;
/// Changes of that commit that one subscriber's filter matches.
const CHANGES_EACH: usize = 80;
const FILTERS: usize = 100;
const CONNECTIONS: usize = 100;
const STREAMS_EACH: usize = 100;
const STREAMS: usize = CONNECTIONS * STREAMS_EACH;
/// Connections with one stream each, to measure what a connection costs.
const LONELY_CONNECTIONS: usize = 1_000;
/// Commits that each server is measured with.
const ROUNDS: usize = 5;
/// How long small commits are written.
const LASTING: Duration = Duration::from_secs(10);
const WRITES_PER_SECOND: u32 = 100;
const WATCHERS: usize = 100;

/// How long one commit took to reach all subscribers, and what it cost the server.
#[derive(Debug, Clone, Copy)]
struct CommitTiming {
    /// From the start of the write until the last subscriber has the whole commit.
    all: Duration,
    /// From the first subscriber that has it to the last: the time of serving, without that of writing.
    span: Duration,
    /// Most memory above that with idle streams, in kB.
    memory: u64,
    /// Processor time of the server, in seconds.
    processor: f64,
}

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == nothing::ARGUMENT) {
        Some(at) => runtime.block_on(nothing::serve(arguments.get(at + 1).ok_or("no file")?)),
        None => runtime.block_on(measure()),
    }
}

async fn measure() -> Outcome<()> {
    let scratch = tempfile::tempdir()?;
    println!(
        "idle, {STREAMS} streams on {CONNECTIONS} connections; {LONELY_CONNECTIONS} connections with one stream each"
    );
    measure_lonely_connections(&scratch.path().join("lonely")).await?;
    let mut ours = almanac::Server::start(&scratch.path().join("ours")).await?;
    // The first commit adds figures. The second one revises them, as every measured round does.
    ours.write_many().await?;
    ours.write_many().await?;
    let sent = ours.sent_of_newest().await?;
    let bytes_each = sent.iter().map(Vec::len).sum::<usize>() / FILTERS;
    let our_subscribers = open_idle("almanac", &ours.process, &ours.address, almanac::open_economy).await?;
    let mut idle = nothing::Server::start(&sent, scratch.path())?;
    let idle_subscribers = open_idle("doing nothing", &idle.process, &idle.address, almanac::open_economy).await?;
    let mut peer = etcd::Server::start(scratch.path()).await?;
    let peer_subscribers = match &peer {
        None => None,
        Some(peer) => {
            let before = peer.process.stats().resident()?;
            let lonely = Subscribers::open(&peer.address, LONELY_CONNECTIONS, 1, etcd::open_economy).await?;
            print_idle("etcd", &peer.process, before, LONELY_CONNECTIONS)?;
            drop(lonely);
            Some(open_idle("etcd", &peer.process, &peer.address, etcd::open_economy).await?)
        }
    };
    if peer.is_none() {
        println!("  etcd is not on this machine (Debian: etcd-server)");
    }

    println!("one commit of {} changes, {FILTERS} filters, {bytes_each} bytes to each", ECONOMIES * CHANGES_EACH);
    let mut our_times = Vec::new();
    let mut idle_times = Vec::new();
    let mut peer_times = Vec::new();
    for round in 1..=ROUNDS {
        let stats = ours.process.stats();
        our_times.push(time_commit(&our_subscribers, stats, round, 1, ours.write_many()).await?);
        let stats = idle.process.stats();
        idle_times.push(time_commit(&idle_subscribers, stats, round, 1, async { idle.send() }).await?);
        if let (Some(peer), Some(subscribers)) = (&mut peer, &peer_subscribers) {
            let stats = peer.process.stats();
            let write = peer.write_many(bytes_each / CHANGES_EACH);
            peer_times.push(time_commit(subscribers, stats, round, CHANGES_EACH, write).await?);
        }
    }
    print_commits("almanac", &our_times);
    print_commits("doing nothing", &idle_times);
    print_commits("etcd", &peer_times);
    drop((our_subscribers, idle_subscribers, peer_subscribers));

    println!("{WRITES_PER_SECOND} writes a second for {LASTING:?}, each of one figure, {WATCHERS} subscribers");
    let subscribers = Subscribers::open(&ours.address, 1, WATCHERS, almanac::open_single).await?;
    print_latencies("almanac", &time_writes(&subscribers, async || ours.write_one().await).await?);
    if let Some(peer) = &mut peer {
        let subscribers = Subscribers::open(&peer.address, 1, WATCHERS, etcd::open_single).await?;
        print_latencies("etcd", &time_writes(&subscribers, async || peer.write_one().await).await?);
    }
    Ok(())
}

async fn measure_lonely_connections(folder: &std::path::Path) -> Outcome<()> {
    let server = almanac::Server::start(folder).await?;
    let before = server.process.stats().resident()?;
    let _subscribers = Subscribers::open(&server.address, LONELY_CONNECTIONS, 1, almanac::open_economy).await?;
    print_idle("almanac", &server.process, before, LONELY_CONNECTIONS)
}

/// Opens all streams on a server, and prints the memory that they take while nothing is sent.
async fn open_idle<T, F>(
    name: &str,
    process: &Process,
    address: &str,
    open: impl Fn(Channel, usize) -> F,
) -> Outcome<Subscribers>
where
    T: StreamMessage,
    F: Future<Output = Result<Streaming<T>, Status>> + Send + 'static,
{
    let before = process.stats().resident()?;
    let subscribers = Subscribers::open(address, CONNECTIONS, STREAMS_EACH, open).await?;
    print_idle(name, process, before, STREAMS)?;
    Ok(subscribers)
}

/// Writes, and waits until every subscriber has received it. `round` counts from 1, because subscribers count on.
async fn time_commit(
    subscribers: &Subscribers,
    process: ProcessStats,
    round: usize,
    things_each: usize,
    write: impl Future<Output = Outcome<()>>,
) -> Outcome<CommitTiming> {
    let idle_memory = process.resident()?;
    let idle_processor = process.processor()?;
    process.forget_peak()?;
    let started = Instant::now();
    write.await?;
    let (first, last) = subscribers.tally.wait_until_seen(round * things_each * STREAMS).await?;
    Ok(CommitTiming {
        all: last - started,
        span: last - first,
        memory: process.peak()?.saturating_sub(idle_memory),
        processor: process.processor()? - idle_processor,
    })
}

/// Sorted times from the start of a write.
struct Latencies {
    /// Until it was answered.
    answered: Vec<Duration>,
    /// Until a subscriber saw it; one for each subscriber.
    seen: Vec<Duration>,
}

/// Writes [`WRITES_PER_SECOND`] for [`LASTING`].
async fn time_writes(subscribers: &Subscribers, mut write: impl AsyncFnMut() -> Outcome<()>) -> Outcome<Latencies> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / WRITES_PER_SECOND);
    let started = Instant::now();
    let mut answered = Vec::new();
    while started.elapsed() < LASTING {
        pace.tick().await;
        subscribers.tally.note_sent();
        let write_started = Instant::now();
        write().await?;
        answered.push(write_started.elapsed());
    }
    subscribers.tally.wait_until_seen(answered.len() * WATCHERS).await?;
    answered.sort_unstable();
    Ok(Latencies { answered, seen: subscribers.tally.take_latencies() })
}

fn print_idle(name: &str, process: &Process, before: u64, streams: usize) -> Outcome<()> {
    let grown = process.stats().resident()?.saturating_sub(before);
    println!("  {name:<13} {:>7.1} MB, {:>5.2} kB a stream", grown as f64 / 1e3, grown as f64 / streams as f64);
    Ok(())
}

fn print_commits(name: &str, times: &[CommitTiming]) {
    let mut times = times.to_vec();
    times.sort_by_key(|timing| timing.all);
    let Some(most) = times.last() else { return };
    let median = &times[times.len() / 2];
    let memory = times.iter().map(|timing| timing.memory).max().unwrap_or(0);
    println!(
        "  {name:<13} first to last {:>5.0} ms at the median, {:>5.0} ms at the most; sent to last {:>5.0} ms, {:>5.0} ms; \
         {:.2} s of processor time; at most {:.1} MB above idle",
        median.span.as_secs_f64() * 1e3,
        times.iter().map(|timing| timing.span).max().unwrap_or_default().as_secs_f64() * 1e3,
        median.all.as_secs_f64() * 1e3,
        most.all.as_secs_f64() * 1e3,
        median.processor,
        memory as f64 / 1e3
    );
}

fn print_latencies(name: &str, Latencies { answered, seen }: &Latencies) {
    println!(
        "  {name:<13} {:.0}/s reached; sent → seen: {:.2} ms at the median, {:.2} ms at the 99th percentile, {:.2} ms at the \
         most; sent → answered: {:.2} ms, {:.2} ms",
        answered.len() as f64 / LASTING.as_secs_f64(),
        percentile_ms(seen, 50),
        percentile_ms(seen, 99),
        percentile_ms(seen, 100),
        percentile_ms(answered, 50),
        percentile_ms(answered, 99),
    );
}

/// A percentile of sorted times, in milliseconds; 0 if there are none.
fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let position = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(position).map_or(0.0, |took| took.as_secs_f64() * 1e3)
}
