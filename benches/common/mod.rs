//! What the benches share. In reading order: [`options`], the command line; [`random`], keys and figures by a seed;
//! [`statistics`], medians and budgets; [`process`], servers whose memory can be read; [`server`], Almanac's binary;
//! [`idle`], services that only send bytes.
//!
//! Invariant: a server ends with the value that stands for it, also when a bench fails or is asked to stop. It listens on a free port of
//! loopback, and its data are in a temporary folder.

pub(crate) mod idle;
pub(crate) mod options;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod server;
pub(crate) mod statistics;

use std::{error::Error, path::Path};

use tokio::signal::unix::{SignalKind, signal};

/// The allocator of the program, so that what is measured inside a bench has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Runs a bench on two threads. SIGINT and SIGTERM end it as a failure does, so that its servers end too.
pub(crate) fn run(bench: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            outcome = bench => outcome,
            _ = interrupt.recv() => Err("interrupted".into()),
            _ = terminate.recv() => Err("terminated".into()),
        }
    });
    // A thread may still wait for a server.
    runtime.shutdown_background();
    outcome
}

/// The bytes of all files below a folder.
pub(crate) fn folder_bytes(folder: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        bytes += if item.file_type()?.is_dir() { folder_bytes(&item.path())? } else { item.metadata()?.len() };
    }
    Ok(bytes)
}
