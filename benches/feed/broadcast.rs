//! One long commit to ten thousand subscribers with a hundred filters.

use std::{
    future::Future,
    path::Path,
    time::{Duration, Instant},
};

use tonic::{Status, Streaming, transport::Channel};

use crate::{
    CHANGES_EACH, ECONOMIES, FILTERS, Scale, almanac,
    common::{
        Outcome,
        process::{Process, ProcessStats},
        statistics::{Budget, median, median_ratio, milliseconds},
    },
    crowd::{Pace, StreamMessage, Subscribers},
    etcd, nothing,
};

/// First subscriber served to last, against the idle service.
const SPAN_OF_IDLE: Budget = Budget::AtMost(1.5);
/// Memory above idle, in MB.
const MEMORY: Budget = Budget::AtMost(64.0);
/// An idle stream on a shared connection, in kB.
const STREAM: Budget = Budget::AtMost(3.0);
/// A connection with an idle stream, in kB.
const CONNECTION: Budget = Budget::AtMost(33.0);

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

/// A server with its subscribers, and the commits that were measured.
struct Subject {
    name: &'static str,
    stats: ProcessStats,
    subscribers: Subscribers,
    /// Things that a subscriber receives of one commit: the commit, or each of its keys.
    things_each: usize,
    timings: Vec<CommitTiming>,
}

impl Subject {
    /// Writes, and waits until every subscriber has received it.
    async fn time_commit(&mut self, write: impl Future<Output = Outcome<()>>) -> Outcome<()> {
        let idle_memory = self.stats.resident()?;
        let idle_processor = self.stats.processor()?;
        self.stats.forget_peak()?;
        let things = (self.timings.len() + 1) * self.things_each * self.subscribers.streams;
        let started = Instant::now();
        write.await?;
        let (first, last) = self.subscribers.tally.wait_until_seen(things).await?;
        self.timings.push(CommitTiming {
            all: last - started,
            span: last - first,
            memory: self.stats.peak()?.saturating_sub(idle_memory),
            processor: self.stats.processor()? - idle_processor,
        });
        Ok(())
    }

    fn spans(&self) -> Vec<f64> {
        self.timings.iter().map(|timing| milliseconds(timing.span)).collect()
    }

    fn print(&self) {
        let spans = self.spans();
        let all: Vec<f64> = self.timings.iter().map(|timing| milliseconds(timing.all)).collect();
        let processor: Vec<f64> = self.timings.iter().map(|timing| timing.processor).collect();
        println!(
            "  {:<13} first to last {:>5.0} ms at the median, {:>5.0} ms at the most; sent to last {:>5.0} ms, \
             {:>5.0} ms; {:.2} s of processor time; at most {:.1} MB above idle",
            self.name,
            median(&spans),
            spans.iter().copied().fold(0.0, f64::max),
            median(&all),
            all.iter().copied().fold(0.0, f64::max),
            median(&processor),
            self.memory_mb()
        );
    }

    fn memory_mb(&self) -> f64 {
        self.timings.iter().map(|timing| timing.memory).max().unwrap_or(0) as f64 / 1e3
    }
}

pub(crate) async fn measure(scale: Scale, scratch: &Path) -> Outcome<()> {
    let streams = scale.connections * scale.connections;
    println!(
        "idle, {streams} streams on {} connections; {} connections with one stream each",
        scale.connections, scale.lonely_connections
    );
    measure_lonely_connections(scale, &scratch.join("lonely")).await?;
    let mut ours = almanac::Server::start(&scratch.join("broadcast")).await?;
    // The first commit adds figures. The second one revises them, as every measured round does.
    ours.write_many().await?;
    ours.write_many().await?;
    let sent = ours.sent_of_newest().await?;
    let bytes_each = sent.iter().map(Vec::len).sum::<usize>() / FILTERS;
    let mut our_subject = open_idle("almanac", scale, &ours.process, &ours.address, 1, almanac::open_economy).await?;
    let mut idle = nothing::start(&sent, scratch)?;
    let mut idle_subject =
        open_idle("doing nothing", scale, &idle.process, &idle.address, 1, almanac::open_economy).await?;
    let mut peer = etcd::Server::start(&scratch.join("etcd-broadcast")).await?;
    let mut peer_subject = match &peer {
        None => None,
        Some(peer) => {
            let before = peer.process.stats().resident()?;
            let count = scale.lonely_connections;
            let lonely = Subscribers::open(&peer.address, count, 1, Pace::Fast, etcd::open_economy).await?;
            print_idle("etcd", &peer.process, before, count, None)?;
            drop(lonely);
            Some(open_idle("etcd", scale, &peer.process, &peer.address, CHANGES_EACH, etcd::open_economy).await?)
        }
    };

    println!("one commit of {} changes, {FILTERS} filters, {bytes_each} bytes to each", ECONOMIES * CHANGES_EACH);
    for _ in 0..scale.rounds {
        our_subject.time_commit(ours.write_many()).await?;
        idle_subject.time_commit(async { nothing::send(&mut idle) }).await?;
        if let Some((peer, subject)) = peer.as_mut().zip(peer_subject.as_mut()) {
            subject.time_commit(peer.write_many(bytes_each / CHANGES_EACH)).await?;
        }
    }
    for subject in [Some(&our_subject), Some(&idle_subject), peer_subject.as_ref()].into_iter().flatten() {
        subject.print();
    }
    let spans = median_ratio(&our_subject.spans(), &idle_subject.spans());
    println!("  first to last, of the idle service's: {}", SPAN_OF_IDLE.judge(spans));
    println!("  MB above idle, at most: {}", MEMORY.judge(our_subject.memory_mb()));
    Ok(())
}

async fn measure_lonely_connections(scale: Scale, folder: &Path) -> Outcome<()> {
    let server = almanac::Server::start(folder).await?;
    let before = server.process.stats().resident()?;
    let count = scale.lonely_connections;
    let _subscribers = Subscribers::open(&server.address, count, 1, Pace::Fast, almanac::open_economy).await?;
    print_idle("almanac", &server.process, before, count, Some(CONNECTION))
}

/// Opens all streams on a server, and prints the memory that they take while nothing is sent.
async fn open_idle<T, F>(
    name: &'static str,
    scale: Scale,
    process: &Process,
    address: &str,
    things_each: usize,
    open: impl Fn(Channel, usize) -> F,
) -> Outcome<Subject>
where
    T: StreamMessage,
    F: Future<Output = Result<Streaming<T>, Status>> + Send + 'static,
{
    let stats = process.stats();
    let before = stats.resident()?;
    let subscribers = Subscribers::open(address, scale.connections, scale.connections, Pace::Fast, open).await?;
    // A connection may take its own budget, less that of the one stream which is counted with the others.
    let budget = (name == "almanac").then_some(STREAM);
    print_idle(name, process, before, subscribers.streams, budget)?;
    Ok(Subject { name, stats, subscribers, things_each, timings: Vec::new() })
}

fn print_idle(name: &str, process: &Process, before: u64, streams: usize, budget: Option<Budget>) -> Outcome<()> {
    let grown = process.stats().resident()?.saturating_sub(before);
    let each = grown as f64 / streams as f64;
    let judged = budget.map_or_else(|| format!("{each:.2}"), |budget| budget.judge(each));
    println!("  {name:<13} {:>7.1} MB, kB a stream: {judged}", grown as f64 / 1e3);
    Ok(())
}
