//! One thin file per service: decode, call, encode. The only room beside the command line that knows the generated types.
//!
//! In reading order: [`codec`] refuses requests with fields that the contract does not have, by [`known_fields`]; [`decode`]
//! and [`encode`] translate; [`status`] maps every error, [`violations`] collects them; [`paging`] makes page tokens; then
//! [`catalog`], [`statistics`], [`rankings`], [`feed`] and [`admin`], a file per service; [`subscribe`] sends the feed's
//! stream from shared bytes.
//!
//! Invariant: a handler waits only for [`App::read`] (the store, off the async threads, bounded) or the writer. What it
//! answers without, [`App::read_at_hand`], is in memory and short.

pub mod admin;
pub mod catalog;
pub mod codec;
mod content;
mod decode;
mod encode;
pub mod feed;
mod known_fields;
mod paging;
pub mod rankings;
pub mod statistics;
pub mod status;
pub mod subscribe;
mod violations;

use std::{sync::Arc, time::Duration};

use prost::Name;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{Semaphore, watch};
use tonic::Status;

use self::paging::ListPage;
use crate::{
    feed::{hub::Hub, stream_registry::StreamRegistry},
    ledger::{Writer, cursor::CursorMove},
    model::id::Revision,
    proto,
    query::{AsOf, QueryError, Reader, Snapshot},
    store::{cursors::StoredCursor, offload::Offload},
};

/// Most reads of the store at one time; more wait.
const READS_MAX: usize = 64;
/// Most backups at one time: each has a thread as long as it lasts.
const BACKUPS_MAX: usize = 2;
/// Most cursors on their way to the writer; more wait here, so that they do not take the places of writes.
const CURSOR_WRITES_MAX: usize = 8;
/// How long a read waits for the revision that it must not answer without.
const MIN_REVISION_WAIT: Duration = Duration::from_secs(2);
/// Who writes and stores cursors, until there are access tokens with names.
const AUTHOR: &str = "local";
/// Longest message taken, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Which state a read asks for.
#[derive(Debug, Clone, Copy)]
struct At {
    as_of: AsOf,
    /// It waits until this revision is there. 0: it does not wait.
    min_revision: Revision,
}

impl At {
    /// What a request asks for.
    fn asked(as_of: Option<proto::AsOf>, min_revision: u64) -> Result<Self, Status> {
        Ok(Self { as_of: decode::as_of(as_of)?, min_revision: Revision(min_revision) })
    }

    /// The newest state, once a revision is there.
    fn head(min_revision: u64) -> Self {
        Self { as_of: AsOf::Head, min_revision: Revision(min_revision) }
    }

    /// On a later page of a list: what the first page was answered at.
    fn paged<P: Serialize + DeserializeOwned>(self, page: &ListPage<P>) -> Self {
        Self { as_of: page.as_of(self.as_of), ..self }
    }
}

impl From<AsOf> for At {
    fn from(as_of: AsOf) -> Self {
        Self { as_of, min_revision: Revision::ZERO }
    }
}

/// What all services share.
#[derive(Debug)]
pub struct App {
    reader: Reader,
    writer: Arc<Writer>,
    hub: Arc<Hub>,
    offload: Offload,
    streams: Arc<StreamRegistry>,
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
        let streams = Arc::default();
        Self { reader, writer, hub, streams, offload, reads, backups, cursor_writes, subscription_max_age }
    }

    /// Where the open subscriptions leave.
    pub fn streams(&self) -> Arc<StreamRegistry> {
        self.streams.clone()
    }

    /// The same as [`App::read`], but at once where everything is in memory, which `at_hand` says. Going to another thread
    /// and back costs more than such an answer.
    async fn read_at_hand<T: Send + 'static>(
        &self,
        at: impl Into<At>,
        at_hand: impl FnOnce(&Snapshot) -> bool,
        read: impl FnOnce(Snapshot) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let at = at.into();
        self.reach(at.min_revision).await?;
        // An instant is found by reading commits.
        if !matches!(at.as_of, AsOf::Recorded(_)) {
            let snapshot = self.reader.at(at.as_of).map_err(query_status)?;
            if at_hand(&snapshot) {
                return read(snapshot);
            }
        }
        self.read(at, read).await
    }

    /// Answers from a point of history, off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        at: impl Into<At>,
        read: impl FnOnce(Snapshot) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let At { as_of, min_revision } = at.into();
        // Before it takes a place: those that wait must not keep others from reading.
        self.reach(min_revision).await?;
        let stopping = |_| status::of_stopping();
        let _permit = self.reads.acquire().await.map_err(stopping)?;
        let reader = self.reader.clone();
        let done = self.offload.run(move || read(reader.at(as_of).map_err(|error| status::of_query(&error))?)).await;
        done.map_err(|error| status::of_store(&error))?
    }

    /// Waits until a revision can be read. The async thread is free meanwhile.
    async fn reach(&self, min_revision: Revision) -> Result<(), Status> {
        if self.reader.head() >= min_revision {
            return Ok(());
        }
        until_there(self.hub.head(), min_revision).await
    }

    /// Reads the paging fields of a request; `request` is the request without them.
    fn page<P: Serialize + DeserializeOwned>(
        &self,
        request: &impl Name,
        size: i32,
        token: &str,
        default: usize,
        most: usize,
    ) -> Result<ListPage<P>, Status> {
        ListPage::of(self.reader.ledger().history(), request, size, token, default, most)
    }

    /// Hands a client's cursor to the writer.
    async fn keep_cursor(&self, given: CursorMove) -> Result<Option<StoredCursor>, Status> {
        let stopping = |_| status::of_stopping();
        let _permit = self.cursor_writes.acquire().await.map_err(stopping)?;
        self.writer.move_cursor(given).await.map_err(|error| status::of_cursor(&error))
    }
}

/// Waits until a revision is there, for [`MIN_REVISION_WAIT`] at the most.
async fn until_there(mut head: watch::Receiver<Revision>, min_revision: Revision) -> Result<(), Status> {
    if *head.borrow() >= min_revision {
        return Ok(());
    }
    let waited = tokio::time::timeout(MIN_REVISION_WAIT, head.wait_for(|head| *head >= min_revision)).await;
    match waited.map(|found| found.map(drop)) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(_)) => return Err(status::of_stopping()),
        Err(_) => {}
    }
    let head = *head.borrow();
    if head >= min_revision { Ok(()) } else { Err(status::of_not_yet_there(min_revision, head)) }
}

/// For `map_err`.
fn query_status(error: impl Into<QueryError>) -> Status {
    status::of_query(&error.into())
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_revision_that_is_there_is_not_waited_for() {
        let (_sender, head) = watch::channel(Revision(5));
        let began = tokio::time::Instant::now();
        until_there(head, Revision(5)).await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_revision_that_comes_in_time_is_waited_for() {
        let (sender, head) = watch::channel(Revision(5));
        let began = tokio::time::Instant::now();
        let writing = async {
            for revision in [6, 7] {
                tokio::time::sleep(Duration::from_millis(900)).await;
                sender.send_replace(Revision(revision));
            }
        };
        let (waited, ()) = tokio::join!(until_there(head, Revision(7)), writing);
        waited.unwrap();
        assert_eq!(began.elapsed(), Duration::from_millis(1_800));
    }

    #[tokio::test(start_paused = true)]
    async fn a_revision_that_does_not_come_is_unavailable_for_now() {
        let (_sender, head) = watch::channel(Revision(5));
        let began = tokio::time::Instant::now();
        let status = until_there(head, Revision(7)).await.unwrap_err();
        assert_eq!(began.elapsed(), MIN_REVISION_WAIT);
        assert_eq!(status.code(), Code::Unavailable);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["head"].as_str()), ("NOT_YET_THERE", "5"));
        let retry = status.get_details_retry_info().unwrap();
        assert_eq!(retry.retry_delay, Some(Duration::from_secs(1)));
    }
}
