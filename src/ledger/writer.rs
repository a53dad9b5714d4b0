//! The one writer: takes writes one after the other and makes each a commit, or refuses it.
//!
//! plan → append pages → seal → apply to the view → sync (durable) → show to readers → publish to the feed → answer. Short
//! writes that wait share the sync: each is planned, sealed and applied after the one before. In reading order: [`handle`]
//! is how others reach the writer, `run` the loop on its thread, `commit` the path of one write up to the sync,
//! `shared_sync` the rest.
//!
//! Invariants: nobody is told of a commit that is not durable: no reader, no subscriber, no client. After a failure of the
//! store nobody knows what is on disk, so nothing is written or published until a restart, which finds out. `handle` and
//! `run` are the only async code of the ledger: a caller waits for its answer, the loop waits for the next command. All
//! else is synchronous, on the writer's own thread, because it waits for the disk.

mod commit;
pub mod handle;
mod run;
mod shared_sync;

use std::sync::{Arc, Mutex};

pub use self::handle::Writer;
use super::{
    compact::Retention,
    log::Header,
    plan::{KnownIds, PlanError},
};
use crate::{
    model::{
        change::{Cause, Change, Counts},
        edition::Edition,
        finding::Finding,
        id::{RequestId, Revision},
        time::Clock,
    },
    store::{lock::lock, offload::Offload},
};

/// Most writes that wait. One more is refused with [`WriteError::Busy`].
pub const WAITING_WRITES_MAX: usize = 64;

/// What every write says about itself.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Makes a retry safe: the same id with the same content gets the first answer again. Default: no retries.
    pub request_id: Option<RequestId>,
    /// Plan and answer, and write nothing.
    pub validate_only: bool,
    /// Refuse the write unless head is this revision. Default: any head.
    pub expected_head: Option<Revision>,
    /// The cause of the commit. Default: what follows from its changes.
    pub cause: Option<Cause>,
    pub note: String,
    /// SHA-256 of the source document, hex; empty if there is none.
    pub document_sha256: String,
    pub author: String,
    /// SHA-256 of what the client sent, without these options.
    pub content: [u8; 32],
}

/// The answer to a write.
#[derive(Debug, Clone, Default)]
pub struct WriteAnswer {
    /// The new commit; with `validate_only` head.
    pub revision: Revision,
    pub counts: Counts,
    /// Warnings; with `validate_only` also errors.
    pub findings: Vec<Finding>,
    /// The request was a retry, and this is the answer to the first one.
    pub replayed: bool,
    /// With `validate_only`: the numbered changes, at most [`super::plan::DIFFERENCE_CHANGES_MAX`].
    pub difference: Vec<(u64, Change)>,
    /// How many changes the commit has.
    pub changes: u64,
    /// The edition as it stands after a write that is about one.
    pub edition: Option<Edition>,
    /// To find suggestions for the unknown ids in `findings`; `None` if there are none to find.
    pub known: Option<KnownIds>,
}

/// Why a write was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The content has errors.
    #[error("the write has {errors} error(s)")]
    Refused {
        /// Errors and warnings, a bounded number of them.
        findings: Vec<Finding>,
        /// How many errors there are, listed or not.
        errors: usize,
        /// To find suggestions for the unknown ids in `findings`; `None` if there are none to find.
        known: Option<KnownIds>,
    },
    /// The request id belongs to a request with other content.
    #[error("request id `{request_id}` was used for other content, in revision {revision}")]
    RequestReused {
        request_id: RequestId,
        /// The commit of the first request.
        revision: Revision,
    },
    /// Head is not the revision that the client expected.
    #[error("head is revision {head}, not {expected}")]
    HeadMoved {
        /// The revision that the client named.
        expected: Revision,
        head: Revision,
    },
    /// The plan failed, mostly because its subject is missing or exists already.
    #[error(transparent)]
    Plan(PlanError),
    /// Too many writes wait.
    #[error("{WAITING_WRITES_MAX} writes are waiting already")]
    Busy,
    /// The store failed: the writer makes no commit until a restart.
    #[error("writes are refused until a restart: {reason}")]
    Stopped {
        /// What failed.
        reason: String,
    },
    /// The server stops, and the writer with it.
    #[error("the server is stopping")]
    Stopping,
}

/// A commit that is in the view, for the feed.
#[derive(Debug, Clone)]
pub struct AppliedCommit {
    pub header: Arc<Header>,
    /// The pages. `None`: the commit is long, and the feed reads them from the ledger.
    pub pages: Option<Vec<Vec<u8>>>,
}

/// Who hears of commits, in the order of revisions. The writer's thread calls it, so it must not wait for anything.
pub trait Publisher: Send + 'static {
    /// Takes a commit that is durable, and visible to readers. Its client is not answered yet.
    fn publish(&self, commit: AppliedCommit);

    /// The clients of the commits that were published are answered: now others may be told of them.
    fn wake(&self);
}

/// A function that takes commits and has nobody to wake.
impl<F: Fn(AppliedCommit) + Send + 'static> Publisher for F {
    fn publish(&self, commit: AppliedCommit) {
        self(commit);
    }

    fn wake(&self) {}
}

/// How a writer works.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Which commits keep their pages. Default: all.
    pub retention: Retention,
    /// The source of recorded times.
    pub clock: Clock,
    /// Where the writer's loop runs.
    pub offload: Offload,
}

/// Why the writer makes no commit any more, shared by its loop and its handle.
#[derive(Debug, Clone, Default)]
struct StopReason(Arc<Mutex<Option<String>>>);

impl StopReason {
    fn get(&self) -> Option<String> {
        lock(&self.0).clone()
    }

    fn set(&self, reason: String) {
        *lock(&self.0) = Some(reason);
    }
}

#[cfg(test)]
mod tests;
