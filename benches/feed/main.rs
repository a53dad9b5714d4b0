//! The feed at ten thousand subscribers: against a service that sends the same bytes and does nothing else, and against etcd.
//!
//! `cargo bench --bench feed`. Servers are processes of their own, the real binary among them, so that their memory can be
//! read; all subscribers live in this process. Servers and clients share the machine, and are measured turn by turn. In
//! reading order: [`process`]; [`crowd`], the subscribers; [`almanac`], [`nothing`] and [`etcd`], the servers.

mod almanac;
mod crowd;
mod etcd;
mod nothing;
mod process;

use std::{
    error::Error,
    time::{Duration, Instant},
};

use almanac::Asked;
use crowd::Crowd;
use process::{Figures, Process};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A commit of 133 economies × 80 indicators: 10,640 changes.
const ECONOMIES: usize = 133;
/// What one subscriber sees of it.
const CHANGES_EACH: usize = 80;
const FILTERS: usize = 100;
const CONNECTIONS: usize = 100;
const STREAMS_EACH: usize = 100;
const STREAMS: usize = CONNECTIONS * STREAMS_EACH;
/// For what a connection costs.
const LONELY_CONNECTIONS: usize = 1_000;
/// Times that a server has its turn.
const ROUNDS: usize = 5;
/// How long small commits are written for, and how many a second.
const LASTING: Duration = Duration::from_secs(10);
const WRITES_PER_SECOND: u32 = 100;
const WATCHERS: usize = 100;

/// How the commit went, and what it took.
#[derive(Debug, Clone, Copy)]
struct Served {
    /// From the sending of the write to the last subscriber's last byte.
    all: Duration,
    /// From the first subscriber's to the last one's: what serving takes, without the writing.
    span: Duration,
    /// Memory above what it was with all streams idle, in kB.
    memory: u64,
    /// Processor time of the server.
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
    let economies = |channel, number| almanac::open(channel, Asked::Economy(number));
    let watchers = |channel, number| etcd::open(channel, Asked::Economy(number));

    println!(
        "idle, {STREAMS} streams on {CONNECTIONS} connections; {LONELY_CONNECTIONS} connections with one stream each"
    );
    {
        let lonely = almanac::Server::start(&scratch.path().join("lonely")).await?;
        let before = lonely.process.figures().resident()?;
        let _crowd = Crowd::open(&lonely.address, LONELY_CONNECTIONS, 1, economies).await?;
        print_idle("almanac", &lonely.process, before, LONELY_CONNECTIONS)?;
    }
    let mut ours = almanac::Server::start(&scratch.path().join("ours")).await?;
    // The first commit adds; from the second on figures are revised, which every round does.
    ours.write_many().await?;
    ours.write_many().await?;
    let sent = ours.sent_of_newest().await?;
    let bytes_each = sent.iter().map(Vec::len).sum::<usize>() / FILTERS;
    let before = ours.process.figures().resident()?;
    let our_crowd = Crowd::open(&ours.address, CONNECTIONS, STREAMS_EACH, economies).await?;
    print_idle("almanac", &ours.process, before, STREAMS)?;

    let mut idle = nothing::Server::start(&sent, scratch.path())?;
    let before = idle.process.figures().resident()?;
    let idle_crowd = Crowd::open(&idle.address, CONNECTIONS, STREAMS_EACH, economies).await?;
    print_idle("doing nothing", &idle.process, before, STREAMS)?;

    let mut peer = etcd::Server::start(scratch.path()).await?;
    let mut peer_crowd = None;
    match &mut peer {
        None => println!("  etcd is not on this machine (Debian: etcd-server)"),
        Some(peer) => {
            {
                let before = peer.process.figures().resident()?;
                let _crowd = Crowd::open(&peer.address, LONELY_CONNECTIONS, 1, watchers).await?;
                print_idle("etcd", &peer.process, before, LONELY_CONNECTIONS)?;
            }
            let before = peer.process.figures().resident()?;
            peer_crowd = Some(Crowd::open(&peer.address, CONNECTIONS, STREAMS_EACH, watchers).await?);
            print_idle("etcd", &peer.process, before, STREAMS)?;
        }
    }

    println!("one commit of {} changes, {FILTERS} filters, {bytes_each} bytes to each", ECONOMIES * CHANGES_EACH);
    let (mut our_times, mut idle_times, mut peer_times) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        our_times.push(served(&our_crowd, ours.process.figures(), round, 1, ours.write_many()).await?);
        let id = idle.process.figures();
        idle_times.push(served(&idle_crowd, id, round, 1, async { idle.send() }).await?);
        if let (Some(peer), Some(crowd)) = (&mut peer, &peer_crowd) {
            let (id, write) = (peer.process.figures(), peer.write_many(bytes_each / CHANGES_EACH));
            peer_times.push(served(crowd, id, round, CHANGES_EACH, write).await?);
        }
    }
    print_served("almanac", &our_times);
    print_served("doing nothing", &idle_times);
    print_served("etcd", &peer_times);
    drop((our_crowd, idle_crowd, peer_crowd));

    println!("{WRITES_PER_SECOND} writes a second for {LASTING:?}, each of one figure, {WATCHERS} subscribers");
    let crowd = Crowd::open(&ours.address, 1, WATCHERS, |channel, _| almanac::open(channel, Asked::Single)).await?;
    print_seen("almanac", seen(&crowd, async || ours.write_one().await).await?);
    if let Some(peer) = &mut peer {
        let crowd = Crowd::open(&peer.address, 1, WATCHERS, |channel, _| etcd::open(channel, Asked::Single)).await?;
        print_seen("etcd", seen(&crowd, async || peer.write_one().await).await?);
    }
    Ok(())
}

/// Writes, and waits until every subscriber has seen it.
async fn served(
    crowd: &Crowd,
    process: Figures,
    round: usize,
    things_each: usize,
    write: impl Future<Output = Outcome<()>>,
) -> Outcome<Served> {
    let (idle, processor) = (process.resident()?, process.processor()?);
    process.forget_peak()?;
    let begun = Instant::now();
    write.await?;
    let (first, last) = crowd.tally.seen(round * things_each * STREAMS).await?;
    let (peak, processor) = (process.peak()?, process.processor()? - processor);
    Ok(Served { all: last - begun, span: last - first, memory: peak.saturating_sub(idle), processor })
}

/// Writes at a pace; gives how long each write took to be answered, and to be seen by each subscriber.
async fn seen(crowd: &Crowd, mut write: impl AsyncFnMut() -> Outcome<()>) -> Outcome<(Vec<Duration>, Vec<Duration>)> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / WRITES_PER_SECOND);
    let (started, mut answered) = (Instant::now(), Vec::new());
    while started.elapsed() < LASTING {
        pace.tick().await;
        crowd.tally.sends();
        let begun = Instant::now();
        write().await?;
        answered.push(begun.elapsed());
    }
    crowd.tally.seen(answered.len() * WATCHERS).await?;
    answered.sort_unstable();
    Ok((answered, crowd.tally.took()))
}

fn print_idle(who: &str, process: &Process, before: u64, streams: usize) -> Outcome<()> {
    let grown = process.figures().resident()?.saturating_sub(before);
    println!("  {who:<13} {:>7.1} MB, {:>5.2} kB a stream", grown as f64 / 1e3, grown as f64 / streams as f64);
    Ok(())
}

fn print_served(who: &str, times: &[Served]) {
    let mut times = times.to_vec();
    times.sort_by_key(|served| served.all);
    let (Some(median), Some(most)) = (times.get(times.len() / 2), times.last()) else { return };
    let memory = times.iter().map(|served| served.memory).max().unwrap_or(0);
    println!(
        "  {who:<13} first to last {:>5.0} ms at the median, {:>5.0} ms at the most; sent to last {:>5.0} ms, {:>5.0} ms; \
         {:.2} s of processor time; at most {:.1} MB above idle",
        median.span.as_secs_f64() * 1e3,
        times.iter().map(|served| served.span).max().unwrap_or_default().as_secs_f64() * 1e3,
        median.all.as_secs_f64() * 1e3,
        most.all.as_secs_f64() * 1e3,
        median.processor,
        memory as f64 / 1e3
    );
}

fn print_seen(who: &str, (answered, seen): (Vec<Duration>, Vec<Duration>)) {
    let at = |sorted: &[Duration], of_hundred: usize| {
        sorted.get((sorted.len().max(1) - 1) * of_hundred / 100).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    };
    println!(
        "  {who:<13} {:.0}/s reached; sent → seen: {:.2} ms at the median, {:.2} ms at the 99th percentile, {:.2} ms at the \
         most; sent → answered: {:.2} ms, {:.2} ms",
        answered.len() as f64 / LASTING.as_secs_f64(),
        at(&seen, 50),
        at(&seen, 99),
        at(&seen, 100),
        at(&answered, 50),
        at(&answered, 99),
    );
}
