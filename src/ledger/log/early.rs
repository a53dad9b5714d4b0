//! Pages of a long commit that go to the store before its seal.
//!
//! To compress them takes about as long as to plan them, so a thread of its own compresses and writes them while the next
//! ones are planned. It lives as long as the commit is being made.
//!
//! Invariants: pages are written in their order. At most [`QUEUED_MAX`] times what a pending commit holds waits for the
//! thread. After [`EarlyPages::finish`] without an error all pages are in the store; after one with an error the thread
//! has ended too, and writes no more.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use super::pending::Pages;
use crate::{
    model::id::Revision,
    store::{
        Engine, StoreError,
        error::Result,
        faults::{CrashPoint, crash_at},
    },
};

/// How many pending commits' worth of pages may wait for the thread.
const QUEUED_MAX: usize = 4;

#[derive(Debug)]
pub(super) enum EarlyPages {
    /// The thread that adds them writes them: the engine is one whose order of writes must be the same in each run.
    Here { engine: Arc<Engine>, revision: Revision },
    /// A thread of their own writes them.
    Apart { queue: SyncSender<Pages>, thread: JoinHandle<Result<()>> },
}

impl EarlyPages {
    /// Takes the pages of a commit, which is not sealed yet.
    pub(super) fn start(engine: &Arc<Engine>, revision: Revision) -> Result<Self> {
        let engine = engine.clone();
        if engine.threads() == 1 {
            return Ok(Self::Here { engine, revision });
        }
        let (queue, pages) = sync_channel(QUEUED_MAX);
        let writing = move || write_all(&engine, revision, &pages);
        let thread = thread::Builder::new().name("pages".into()).spawn(writing)?;
        Ok(Self::Apart { queue, thread })
    }

    /// Adds the next pages. They are in the store after [`EarlyPages::finish`].
    pub(super) fn add(&mut self, pages: Pages) -> Result<()> {
        match self {
            Self::Here { engine, revision } => write(engine, *revision, &pages),
            // `finish`, which follows in any case, tells why the thread has ended.
            Self::Apart { queue, .. } => {
                queue.send(pages).map_err(|_| StoreError::corrupt("pages could not be written"))
            }
        }
    }

    /// Waits until all pages are in the store.
    pub(super) fn finish(self) -> Result<()> {
        match self {
            Self::Here { .. } => Ok(()),
            Self::Apart { queue, thread } => {
                drop(queue);
                // sled panics on damaged files.
                thread.join().unwrap_or_else(|_| Err(StoreError::corrupt("writing pages panicked")))
            }
        }
    }
}

fn write_all(engine: &Engine, revision: Revision, queue: &Receiver<Pages>) -> Result<()> {
    queue.iter().try_for_each(|pages| write(engine, revision, &pages))
}

fn write(engine: &Engine, revision: Revision, pages: &Pages) -> Result<()> {
    let mut batch = engine.batch();
    pages.put_into(&mut batch, revision)?;
    batch.write()?;
    crash_at(CrashPoint::PagesWritten);
    Ok(())
}
