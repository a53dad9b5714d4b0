//! Commits of one figure, against etcd's puts of as many bytes: how soon subscribers see them, and how many go in a second.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    COMMITS_PER_SECOND, Scale, almanac,
    common::{
        Outcome,
        statistics::{Budget, median, median_ratio, percentile_ms},
    },
    crowd::{Pace, Subscribers},
    etcd,
};

/// Sent → seen, and commits a second, against etcd.
const LATENCY_OF_ETCD: Budget = Budget::AtMost(1.0);
const RATE_OF_ETCD: Budget = Budget::AtLeast(1.0);
/// Clients that write at one time.
const WRITERS: usize = 64;
const PERCENTILES: [usize; 3] = [50, 99, 100];

/// Times from the start of a write, in milliseconds: for each of [`PERCENTILES`] a figure of each round.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    /// Until it was answered.
    answered: [Vec<f64>; PERCENTILES.len()],
    /// Until a subscriber saw it.
    seen: [Vec<f64>; PERCENTILES.len()],
    /// Writes a second.
    rates: Vec<f64>,
}

impl Latencies {
    /// Writes [`COMMITS_PER_SECOND`] for a while. `sent` counts the writes that subscribers have got before.
    async fn measure_round(
        &mut self,
        subscribers: &Subscribers,
        window: Duration,
        sent: &mut usize,
        mut write: impl AsyncFnMut() -> Outcome<()>,
    ) -> Outcome<()> {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / COMMITS_PER_SECOND);
        let started = Instant::now();
        let mut answered = Vec::new();
        while started.elapsed() < window {
            pace.tick().await;
            subscribers.tally.note_sent();
            let write_started = Instant::now();
            write().await?;
            answered.push(write_started.elapsed());
        }
        self.rates.push(answered.len() as f64 / started.elapsed().as_secs_f64());
        *sent += answered.len();
        subscribers.tally.wait_until_seen(*sent * subscribers.streams).await?;
        answered.sort_unstable();
        let seen = subscribers.tally.take_latencies();
        for (at, percent) in PERCENTILES.into_iter().enumerate() {
            self.answered[at].push(percentile_ms(&answered, percent));
            self.seen[at].push(percentile_ms(&seen, percent));
        }
        Ok(())
    }

    fn print(&self, name: &str) {
        println!(
            "  {name:<13} {:.0}/s reached; sent → seen: {:.2} ms at the median, {:.2} ms at the 99th percentile, {:.2} ms \
             at the most; sent → answered: {:.2} ms, {:.2} ms",
            median(&self.rates),
            median(&self.seen[0]),
            median(&self.seen[1]),
            self.seen[2].iter().copied().fold(0.0, f64::max),
            median(&self.answered[0]),
            median(&self.answered[1]),
        );
    }
}

/// Commits at a steady pace, and how soon subscribers see them.
pub(crate) async fn measure_latency(scale: Scale, scratch: &Path) -> Outcome<()> {
    let mut ours = almanac::Server::start(&scratch.join("latency")).await?;
    let value_bytes = ours.bytes_of_one();
    println!(
        "{COMMITS_PER_SECOND} writes a second, each of one figure ({value_bytes} bytes), {} subscribers, {} rounds of {:?}",
        scale.watchers, scale.rounds, scale.window
    );
    let our_subscribers = Subscribers::open(&ours.address, 1, scale.watchers, Pace::Fast, almanac::open_single).await?;
    let mut peer = etcd::Server::start(&scratch.join("etcd-latency")).await?;
    let peer_subscribers = match &peer {
        Some(peer) => Some(Subscribers::open(&peer.address, 1, scale.watchers, Pace::Fast, etcd::open_single).await?),
        None => None,
    };
    let mut our_latencies = Latencies::default();
    let mut peer_latencies = Latencies::default();
    let mut our_sent = 0;
    let mut peer_sent = 0;
    for _ in 0..scale.rounds {
        let write = async || ours.write_one().await;
        our_latencies.measure_round(&our_subscribers, scale.window, &mut our_sent, write).await?;
        if let Some((peer, subscribers)) = peer.as_mut().zip(peer_subscribers.as_ref()) {
            let write = async || peer.write_one(value_bytes).await;
            peer_latencies.measure_round(subscribers, scale.window, &mut peer_sent, write).await?;
        }
    }
    our_latencies.print("almanac");
    if peer.is_some() {
        peer_latencies.print("etcd");
        for (at, what) in ["median", "99th percentile"].into_iter().enumerate() {
            let ratio = median_ratio(&our_latencies.seen[at], &peer_latencies.seen[at]);
            println!("  sent → seen, {what}, of etcd's: {}", LATENCY_OF_ETCD.judge(ratio));
        }
    }
    Ok(())
}

/// Many clients that write as fast as they are answered.
pub(crate) async fn measure_writers(scale: Scale, scratch: &Path) -> Outcome<()> {
    let ours = almanac::Server::start(&scratch.join("writers")).await?;
    let peer = etcd::Server::start(&scratch.join("etcd-writers")).await?;
    let mut our_writers = Vec::new();
    let mut peer_writers = Vec::new();
    for number in 0..WRITERS {
        our_writers.push(almanac::Writer::connect(&ours.address, number).await?);
        if let Some(peer) = &peer {
            peer_writers.push(etcd::Writer::connect(&peer.address, number).await?);
        }
    }
    let value_bytes = our_writers[0].bytes_of_one();
    let mut our_rates = Vec::new();
    let mut peer_rates = Vec::new();
    for _ in 0..scale.rounds {
        let until = Instant::now() + scale.window;
        let writing = our_writers.iter_mut().map(|writer| count_until(until, async move || writer.write_one().await));
        our_rates.push(sum_rate(futures_util::future::try_join_all(writing).await?, scale.window));
        if peer.is_some() {
            let until = Instant::now() + scale.window;
            let writing = peer_writers
                .iter_mut()
                .map(|writer| count_until(until, async move || writer.write_one(value_bytes).await));
            peer_rates.push(sum_rate(futures_util::future::try_join_all(writing).await?, scale.window));
        }
    }
    println!("{WRITERS} writers, {value_bytes} bytes each");
    println!("  almanac       {:.0} commits/s", median(&our_rates));
    if peer.is_some() {
        println!("  etcd          {:.0} puts/s", median(&peer_rates));
        println!("  of etcd's: {}", RATE_OF_ETCD.judge(median_ratio(&our_rates, &peer_rates)));
    }
    Ok(())
}

/// Writes one after the other until a time; returns how many were answered by then.
async fn count_until(until: Instant, mut write: impl AsyncFnMut() -> Outcome<()>) -> Outcome<u64> {
    let mut count = 0;
    loop {
        write().await?;
        if Instant::now() > until {
            return Ok(count);
        }
        count += 1;
    }
}

fn sum_rate(counts: Vec<u64>, window: Duration) -> f64 {
    counts.into_iter().sum::<u64>() as f64 / window.as_secs_f64()
}
