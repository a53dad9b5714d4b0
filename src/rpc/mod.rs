//! The services of the contract, a thin file each: convert the request, call, convert the answer.
//!
//! In reading order: [`codec`] refuses requests with fields that the contract does not have, by [`known_fields`];
//! [`crate::convert`] translates messages; [`reason`] lists why requests fail, [`status`] maps every error to one of these,
//! [`violations`] collects them; [`paging`] makes page tokens; then [`catalog`], [`statistics`], [`rankings`], [`feed`] and
//! [`admin`], the services; [`endpoint`] serves one method of a service apart, and [`subscribe`] sends the feed's stream from
//! shared bytes.
//!
//! Invariant: a handler does not wait for the disk on its async thread. It waits only for its client's messages, for
//! [`App::read`] (the store, through the offload, a bounded number at a time), for the writer, and, in a long upload, for
//! collecting one message through the offload (see `admin::receive`). What it answers at once ([`App::read_in_memory`]) is in
//! memory and short. There is one exception: when a client abandons an upload, its temporary file is closed where its call
//! ends.

pub mod admin;
pub mod catalog;
pub mod codec;
mod content;
mod endpoint;
pub mod feed;
mod known_fields;
mod paging;
pub mod rankings;
pub mod reason;
pub mod statistics;
pub mod status;
pub mod subscribe;
mod violations;

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{Semaphore, watch};
use tonic::Status;

use self::paging::{ListPage, PagedRequest};
use crate::{
    convert::{as_of::as_of, error::FieldError},
    feed::{hub::Hub, stream_registry::StreamRegistry},
    ledger::{Writer, cursor::CursorMove},
    model::id::Revision,
    proto,
    query::{AsOf, QueryError, Reader, Snapshot},
    store::{StoreError, cursors::StoredCursor, offload::Offload},
};

/// Most reads of the store at one time; more wait.
const READS_MAX: usize = 64;
/// Most backups at one time: each keeps a thread as long as it runs.
const BACKUPS_MAX: usize = 2;
/// Most cursors on their way to the writer. More wait here, so that they do not fill the writer's queue.
const CURSOR_WRITES_MAX: usize = 8;
/// How long a read waits for its `min_revision`.
const MIN_REVISION_WAIT: Duration = Duration::from_secs(2);
/// The author of all writes and cursors: there are no access tokens with names yet.
const AUTHOR: &str = "local";
/// Longest message that a client may send, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Which state a read asks for.
#[derive(Debug, Clone, Copy)]
struct ReadPoint {
    as_of: AsOf,
    /// The read waits until this revision is there. 0: it does not wait.
    min_revision: Revision,
}

impl ReadPoint {
    /// Reads the fields `as_of` and `min_revision` of a request.
    fn requested(message: Option<proto::AsOf>, min_revision: u64) -> Result<Self, FieldError> {
        Ok(Self { as_of: as_of(message)?, min_revision: Revision(min_revision) })
    }

    /// The newest state, not before a revision.
    fn head(min_revision: u64) -> Self {
        Self { as_of: AsOf::Head, min_revision: Revision(min_revision) }
    }

    /// On a later page of a list: the state of the first page.
    fn of_page<P: Serialize + DeserializeOwned>(self, page: &ListPage<P>) -> Self {
        Self { as_of: page.as_of(self.as_of), ..self }
    }
}

impl From<AsOf> for ReadPoint {
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
    /// A subscription that is older than `subscription_max_age` is asked to come again.
    pub fn new(
        reader: Reader,
        writer: Arc<Writer>,
        hub: Arc<Hub>,
        offload: Offload,
        subscription_max_age: Duration,
    ) -> Self {
        Self {
            reader,
            writer,
            hub,
            offload,
            streams: Arc::default(),
            reads: Semaphore::new(READS_MAX),
            backups: Arc::new(Semaphore::new(BACKUPS_MAX)),
            cursor_writes: Semaphore::new(CURSOR_WRITES_MAX),
            subscription_max_age,
        }
    }

    /// The open subscriptions.
    pub fn streams(&self) -> Arc<StreamRegistry> {
        self.streams.clone()
    }

    /// Like [`App::read`], but answers at once if `in_memory` says that the answer needs no disk. Going to another thread and
    /// back takes longer than such an answer.
    async fn read_in_memory<T: Send + 'static>(
        &self,
        at: impl Into<ReadPoint>,
        in_memory: impl FnOnce(&Snapshot) -> bool,
        read: impl FnOnce(Snapshot) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let at = at.into();
        self.reach(at.min_revision).await?;
        // The revision of an instant is found by reading commits.
        if !matches!(at.as_of, AsOf::Recorded(_)) {
            let snapshot = self.reader.at(at.as_of).map_err(query_status)?;
            if in_memory(&snapshot) {
                return read(snapshot);
            }
        }
        self.read(at, read).await
    }

    /// Answers from memory at once if everything is there, else off the async threads: then `read` is called again.
    async fn read_hot<T: Send + 'static>(
        &self,
        at: impl Into<ReadPoint>,
        read: impl Fn(&Snapshot) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Status> {
        let at = at.into();
        self.reach(at.min_revision).await?;
        // The revision of an instant is found by reading commits.
        if !matches!(at.as_of, AsOf::Recorded(_)) {
            let snapshot = self.reader.at(at.as_of).map_err(query_status)?.in_memory();
            match read(&snapshot) {
                Err(QueryError::Store(StoreError::NotInMemory)) => {}
                answer => return answer.map_err(query_status),
            }
        }
        self.read(at, move |snapshot| read(&snapshot).map_err(query_status)).await
    }

    /// Answers from a point of history, off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        at: impl Into<ReadPoint>,
        read: impl FnOnce(Snapshot) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let ReadPoint { as_of, min_revision } = at.into();
        // Before it takes a permit: a read that waits must not keep others from reading.
        self.reach(min_revision).await?;
        let _permit = self.reads.acquire().await.map_err(|_| status::of_stopping())?;
        let reader = self.reader.clone();
        let work = self.offload.run(move || read(reader.at(as_of).map_err(query_status)?));
        work.await.map_err(store_status)?
    }

    /// Waits until a revision can be read.
    async fn reach(&self, min_revision: Revision) -> Result<(), Status> {
        if self.reader.head() >= min_revision {
            return Ok(());
        }
        wait_until_there(self.hub.head(), min_revision).await
    }

    /// Takes the paging fields out of a request. Pages have `default` items if it does not say, `most` at the most.
    fn page<P: Serialize + DeserializeOwned>(
        &self,
        request: &mut impl PagedRequest,
        default: usize,
        most: usize,
    ) -> Result<ListPage<P>, Status> {
        ListPage::read(self.reader.ledger().history(), request, default, most)
    }

    /// Has the writer store, move or delete a cursor. Returns the cursor as it is then.
    async fn move_cursor(&self, cursor: CursorMove) -> Result<Option<StoredCursor>, Status> {
        let _permit = self.cursor_writes.acquire().await.map_err(|_| status::of_stopping())?;
        self.writer.move_cursor(cursor).await.map_err(|error| status::of_cursor(&error))
    }
}

/// Waits until a revision is there, for [`MIN_REVISION_WAIT`] at the most.
async fn wait_until_there(mut head: watch::Receiver<Revision>, min_revision: Revision) -> Result<(), Status> {
    let is_there = head.wait_for(|head| *head >= min_revision);
    if let Ok(waited) = tokio::time::timeout(MIN_REVISION_WAIT, is_there).await {
        return waited.map(drop).map_err(|_| status::of_stopping());
    }
    let head = *head.borrow();
    if head >= min_revision { Ok(()) } else { Err(status::of_not_yet_there(min_revision, head)) }
}

/// The status of a store error.
fn store_status(error: StoreError) -> Status {
    status::of_store(&error)
}

/// The status of a query error.
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
        wait_until_there(head, Revision(5)).await.unwrap();
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
        let (waited, ()) = tokio::join!(wait_until_there(head, Revision(7)), writing);
        waited.unwrap();
        assert_eq!(began.elapsed(), Duration::from_millis(1_800));
    }

    #[tokio::test(start_paused = true)]
    async fn a_revision_that_does_not_come_is_unavailable_for_now() {
        let (_sender, head) = watch::channel(Revision(5));
        let began = tokio::time::Instant::now();
        let status = wait_until_there(head, Revision(7)).await.unwrap_err();
        assert_eq!(began.elapsed(), MIN_REVISION_WAIT);
        assert_eq!(status.code(), Code::Unavailable);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["head"].as_str()), ("NOT_YET_THERE", "5"));
        let retry = status.get_details_retry_info().unwrap();
        assert_eq!(retry.retry_delay, Some(Duration::from_secs(1)));
    }
}
