//! One thin file per service: decode, call, encode. The only room beside the command line that knows the generated types.
//!
//! In reading order: [`decode`] and [`encode`] translate; [`status`] maps every error; [`paging`] makes page tokens; then
//! [`catalog`], [`statistics`], [`rankings`], [`feed`] and [`admin`], a file per service; [`subscribe`] sends the feed's
//! stream from shared bytes.
//!
//! Invariant: a handler waits only for [`App::read`] (the store, off the async threads, bounded) or the writer. What it
//! answers without, [`App::read_at_hand`], is in memory and short.

pub mod admin;
pub mod catalog;
mod decode;
mod encode;
pub mod feed;
mod paging;
pub mod rankings;
pub mod statistics;
pub mod status;
pub mod subscribe;

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tonic::Status;

use crate::{
    feed::{hub::Hub, outlet::Outlets},
    ledger::{Writer, cursor::CursorMove},
    query::{AsOf, QueryError, Reader, Snapshot},
    store::{cursors::Cursor, offload::Offload},
};

/// Most reads of the store at one time; more wait.
const READS_MAX: usize = 64;
/// Most backups at one time: each has a thread as long as it lasts.
const BACKUPS_MAX: usize = 2;
/// Most cursors on their way to the writer; more wait here, so that they do not take the places of writes.
const CURSOR_WRITES_MAX: usize = 8;
/// Longest message taken, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// What all services share.
#[derive(Debug)]
pub struct App {
    reader: Reader,
    writer: Arc<Writer>,
    hub: Arc<Hub>,
    offload: Offload,
    outlets: Arc<Outlets>,
    reads: Semaphore,
    backups: Arc<Semaphore>,
    cursor_writes: Semaphore,
    subscription_max_age: Duration,
}

impl App {
    /// Serves from these. A subscription is asked to come again after `subscription_max_age`.
    pub fn new(
        reader: Reader,
        writer: Arc<Writer>,
        hub: Arc<Hub>,
        offload: Offload,
        subscription_max_age: Duration,
    ) -> Self {
        let (reads, backups) = (Semaphore::new(READS_MAX), Arc::new(Semaphore::new(BACKUPS_MAX)));
        let cursor_writes = Semaphore::new(CURSOR_WRITES_MAX);
        let outlets = Arc::default();
        Self { reader, writer, hub, outlets, offload, reads, backups, cursor_writes, subscription_max_age }
    }

    /// Where the open subscriptions leave.
    pub fn outlets(&self) -> Arc<Outlets> {
        self.outlets.clone()
    }

    /// The same as [`App::read`], but at once where everything is in memory, which `at_hand` says. Going to another thread
    /// and back costs more than such an answer.
    async fn read_at_hand<T: Send + 'static>(
        &self,
        as_of: AsOf,
        at_hand: impl FnOnce(&Snapshot) -> bool,
        read: impl FnOnce(Snapshot) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        // An instant is found by reading commits.
        if !matches!(as_of, AsOf::Recorded(_)) {
            let snapshot = self.reader.at(as_of).map_err(query_status)?;
            if at_hand(&snapshot) {
                return read(snapshot);
            }
        }
        self.read(as_of, read).await
    }

    /// Answers from a point of history, off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        as_of: AsOf,
        read: impl FnOnce(Snapshot) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let stopping = |_| Status::unavailable("the server is stopping");
        let _permit = self.reads.acquire().await.map_err(stopping)?;
        let reader = self.reader.clone();
        let done = self.offload.run(move || read(reader.at(as_of).map_err(|error| status::of_query(&error))?)).await;
        done.map_err(|error| status::of_store(&error))?
    }

    /// Hands a client's cursor to the writer.
    async fn keep_cursor(&self, given: CursorMove) -> Result<Option<Cursor>, Status> {
        let stopping = |_| Status::unavailable("the server is stopping");
        let _permit = self.cursor_writes.acquire().await.map_err(stopping)?;
        self.writer.keep_cursor(given).await.map_err(|error| status::of_cursor(&error))
    }
}

/// For `map_err`.
fn query_status(error: impl Into<QueryError>) -> Status {
    status::of_query(&error.into())
}
