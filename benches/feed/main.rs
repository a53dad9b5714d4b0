//! The feed compared with a service that only sends the same bytes, and with etcd.
//!
//! Run `cargo bench --bench feed`; `-- --quick` only shows that it works, a word does a part: `-- broadcast`, `latency`,
//! `writers` or `thousand`. Each server is a process of its own (Almanac is the real binary), so that its memory can be
//! read. All subscribers live in this process. Servers and subscribers share the machine, and the servers are measured in
//! turns. In reading order: [`crowd`], the subscribers; [`almanac`], [`nothing`] and [`etcd`], the servers; then what is
//! measured: [`broadcast`] to ten thousand subscribers, [`small_commits`], and [`thousand`] subscribers of small commits.

mod almanac;
mod broadcast;
#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "each bench uses a part")]
mod common;
mod crowd;
mod etcd;
mod nothing;
mod small_commits;
mod thousand;

use std::time::Duration;

use common::{Outcome, options::Options};

const SECTIONS: [&str; 4] = ["broadcast", "latency", "writers", "thousand"];
/// A commit of 133 economies × 80 indicators: 10,640 changes.
const ECONOMIES: usize = 133;
/// Changes of that commit that one subscriber's filter matches.
const CHANGES_EACH: usize = 80;
const FILTERS: usize = 100;
const COMMITS_PER_SECOND: u32 = 100;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// Connections of the broadcast, and as many streams on each of them.
    connections: usize,
    /// Connections with one stream each, to measure what a connection costs.
    lonely_connections: usize,
    /// Rounds that each server is measured in.
    rounds: usize,
    /// How long small commits are written in a round.
    window: Duration,
    /// Subscribers of small commits whose servers are compared.
    watchers: usize,
    /// Connections of the subscribers of [`thousand`], with 100 streams each.
    thousand_connections: usize,
}

impl Scale {
    fn new(quick: bool) -> Self {
        match quick {
            false => Self {
                connections: 100,
                lonely_connections: 1_000,
                rounds: 5,
                window: Duration::from_secs(3),
                watchers: 100,
                thousand_connections: 10,
            },
            true => Self {
                connections: 10,
                lonely_connections: 20,
                rounds: 2,
                window: Duration::from_millis(500),
                watchers: 20,
                thousand_connections: 2,
            },
        }
    }
}

fn main() -> Outcome<()> {
    let options = Options::read();
    match options.value(nothing::ARGUMENT) {
        Some(path) => common::run(nothing::serve(path)),
        None => common::run(measure(&options)),
    }
}

async fn measure(options: &Options) -> Outcome<()> {
    let scale = Scale::new(options.quick());
    let scratch = tempfile::tempdir()?;
    if options.wants("broadcast", &SECTIONS) {
        broadcast::measure(scale, scratch.path()).await?;
    }
    if options.wants("latency", &SECTIONS) {
        small_commits::measure_latency(scale, scratch.path()).await?;
    }
    if options.wants("writers", &SECTIONS) {
        small_commits::measure_writers(scale, scratch.path()).await?;
    }
    if options.wants("thousand", &SECTIONS) {
        thousand::measure(scale, scratch.path()).await?;
    }
    Ok(())
}
