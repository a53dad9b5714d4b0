//! Small commits among a thousand subscribers: fast ones only, and with slow ones among them.
//!
//! The writer has a thread and a connection of its own: its times would otherwise include waiting for the tasks of the
//! subscribers. Fast and slow subscribers are on different connections, and counted apart.

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
};

const STREAMS_EACH: usize = 100;
/// Of so many subscribers one never reads, and one rests after each message.
const SLOW_ONE_IN: usize = 20;
const REST: Duration = Duration::from_secs(1);
const AMONG_OF_ALONE: Budget = Budget::AtMost(3.0);

/// Figures of one situation, one of each round, in milliseconds.
#[derive(Debug, Default)]
struct Figures {
    /// Commits a second.
    rates: Vec<f64>,
    /// From the start of a commit to its answer: median and 99th percentile.
    answered: Vec<f64>,
    answered_99: Vec<f64>,
    /// To a fast subscriber: median and 99th percentile.
    seen: Vec<f64>,
    seen_99: Vec<f64>,
    /// From the last commit until the last fast subscriber had it.
    lag: Vec<f64>,
}

impl Figures {
    fn print(&self, name: &str) {
        print!(
            "  {name:<22} {:.0}/s reached; sent → answered: {:.2} ms at the median, {:.2} ms at the 99th percentile",
            median(&self.rates),
            median(&self.answered),
            median(&self.answered_99)
        );
        if self.seen.is_empty() {
            println!();
        } else {
            println!(
                "; sent → seen: {:.2} ms, {:.2} ms; the last one {:.0} ms after the last commit",
                median(&self.seen),
                median(&self.seen_99),
                median(&self.lag)
            );
        }
    }
}

pub(crate) async fn measure(scale: Scale, scratch: &Path) -> Outcome<()> {
    let server = almanac::Server::start(&scratch.join("thousand")).await?;
    let connections = scale.thousand_connections;
    let all = connections * STREAMS_EACH;
    let slow = all / SLOW_ONE_IN;
    println!("{COMMITS_PER_SECOND} commits a second, each of one figure, {all} subscribers");
    let mut alone = Figures::default();
    let mut fast_only = Figures::default();
    let mut with_slow = Figures::default();
    let mut slow_seen = Vec::new();
    for _ in 0..scale.rounds {
        measure_round(&mut alone, &server, scale.window, None).await?;
        let open = almanac::open_single;
        let fast = Subscribers::open(&server.address, connections, STREAMS_EACH, Pace::Fast, open).await?;
        measure_round(&mut fast_only, &server, scale.window, Some(&fast)).await?;
        drop(fast);

        let fast_each = (all - 2 * slow) / connections;
        let resting = Subscribers::open(&server.address, 1, slow, Pace::Resting(REST), open).await?;
        let never = Subscribers::open(&server.address, 1, slow, Pace::Never, open).await?;
        let fast = Subscribers::open(&server.address, connections, fast_each, Pace::Fast, open).await?;
        measure_round(&mut with_slow, &server, scale.window, Some(&fast)).await?;
        slow_seen.push(resting.tally.seen() as f64 / resting.streams as f64);
        drop((fast, resting, never));
    }
    alone.print("alone");
    fast_only.print("fast ones only");
    with_slow.print("fast ones among slow");
    println!(
        "  slow: {slow} that rest {REST:?} after each message had {:.0} commits each meanwhile, {slow} never read",
        median(&slow_seen)
    );
    println!("  server at most {} MiB", server.process.stats().peak()? / 1024);
    let ratio = median_ratio(&fast_only.answered, &alone.answered);
    println!("  a commit among {all} fast subscribers, of one alone: {}", AMONG_OF_ALONE.judge(ratio));
    let ratio = median_ratio(&with_slow.answered, &alone.answered);
    println!("  … and with slow ones among them: {ratio:.2}");
    Ok(())
}

/// Writes for a while, and waits until all fast subscribers have everything.
async fn measure_round(
    figures: &mut Figures,
    server: &almanac::Server,
    window: Duration,
    fast: Option<&Subscribers>,
) -> Outcome<()> {
    let address = server.address.clone();
    let tally = fast.map(|fast| fast.tally.clone());
    let writing = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
        runtime.block_on(async {
            let mut writer = almanac::Writer::connect(&address, 0).await.map_err(text)?;
            let mut pace = tokio::time::interval(Duration::from_secs(1) / COMMITS_PER_SECOND);
            let started = Instant::now();
            let mut answered = Vec::new();
            while started.elapsed() < window {
                pace.tick().await;
                if let Some(tally) = &tally {
                    tally.note_sent();
                }
                let write_started = Instant::now();
                writer.write_one().await.map_err(text)?;
                answered.push(write_started.elapsed());
            }
            Ok::<_, String>((answered, started.elapsed()))
        })
    });
    let (mut answered, took) = writing.await??;
    let ended = Instant::now();
    figures.rates.push(answered.len() as f64 / took.as_secs_f64());
    if let Some(fast) = fast {
        let (_, last) = fast.tally.wait_until_seen(answered.len() * fast.streams).await?;
        let seen = fast.tally.take_latencies();
        figures.seen.push(percentile_ms(&seen, 50));
        figures.seen_99.push(percentile_ms(&seen, 99));
        figures.lag.push(last.saturating_duration_since(ended).as_secs_f64() * 1e3);
    }
    answered.sort_unstable();
    figures.answered.push(percentile_ms(&answered, 50));
    figures.answered_99.push(percentile_ms(&answered, 99));
    Ok(())
}

/// An error that can go to another thread.
fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
