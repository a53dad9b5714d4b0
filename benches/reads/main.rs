//! Reads compared with services that do nothing: `GetFigure` and `ListEntries` (10) with 1 and with 64 calls in flight, and
//! `StreamSeries` of everything.
//!
//! Run `cargo bench --bench reads`; `-- --quick` only shows that it works, `-- points`, `-- cache` or `-- stream` does a
//! part. `-- --old PATH` measures another build in turns with this one. Each server is a process of its own, all clients
//! are in this one; they share the machine. In reading order: [`data`], what the stores hold; [`points`], the calls;
//! [`stream`]; [`nothing`], the services that send the same bytes.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "each bench uses a part")]
mod common;
mod data;
mod nothing;
mod points;
mod stream;

use std::path::{Path, PathBuf};

use common::{Outcome, options::Options, random::SEED, server::AlmanacServer, server::own_binary};
use data::Contents;

const SECTIONS: [&str; 3] = ["points", "cache", "stream"];
/// Arguments of `serve` that make the cache of series too small for the large store.
const SMALL_CACHE: &str = "ALMANAC_BENCH_SMALL_CACHE";

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Scale {
    small: Contents,
    large: Contents,
    rounds: usize,
    /// How long one kind of call is repeated in one round, in milliseconds.
    window_ms: u64,
}

impl Scale {
    fn new(quick: bool) -> Self {
        match quick {
            false => Self {
                small: Contents { indicators: 5, versions: 1 },
                large: Contents { indicators: 1_000, versions: 1_000 },
                rounds: 5,
                window_ms: 700,
            },
            true => Self {
                small: Contents { indicators: 5, versions: 1 },
                large: Contents { indicators: 20, versions: 20 },
                rounds: 2,
                window_ms: 100,
            },
        }
    }
}

fn main() -> Outcome<()> {
    let options = Options::read();
    if let Some(path) = options.value(nothing::POINTS) {
        return common::run(nothing::serve_points(path));
    }
    if let Some(path) = options.value(nothing::STREAM) {
        return common::run(nothing::serve_stream(path));
    }
    common::run(measure(&options))
}

async fn measure(options: &Options) -> Outcome<()> {
    let scale = Scale::new(options.quick());
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path().join("large");
    println!("keys drawn uniformly, seed {SEED:#x}; {} rounds in turns, medians", scale.rounds);
    let large = start_filled(&own_binary(), &folder, scale.large).await?;
    if options.wants("points", &SECTIONS) {
        let small = start_filled(&own_binary(), &scratch.path().join("small"), scale.small).await?;
        points::measure(scale, &small, &large, scratch.path()).await?;
    }
    if options.wants("stream", &SECTIONS) {
        stream::measure(scale, &large, scratch.path()).await?;
    }
    if options.wants("cache", &SECTIONS) {
        let small_cache: Vec<String> =
            std::env::var(SMALL_CACHE).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        if small_cache.is_empty() {
            println!("a cache too small for the load: {SMALL_CACHE} does not say how to start the server");
        }
        drop(large);
        let large = AlmanacServer::start(&own_binary(), &folder, &small_cache)?;
        let old = start_old(options.old_binary(), scale, scratch.path()).await?;
        points::measure_small_cache(scale, &large, old.as_ref(), scratch.path()).await?;
    }
    Ok(())
}

/// Another build, on a folder that it filled itself.
async fn start_old(program: Option<PathBuf>, scale: Scale, scratch: &Path) -> Outcome<Option<AlmanacServer>> {
    match program {
        Some(program) => Ok(Some(start_filled(&program, &scratch.join("old"), scale.large).await?)),
        None => Ok(None),
    }
}

async fn start_filled(program: &Path, folder: &Path, contents: Contents) -> Outcome<AlmanacServer> {
    let server = AlmanacServer::start(program, folder, &[])?;
    data::fill(&server, contents).await?;
    Ok(server)
}
