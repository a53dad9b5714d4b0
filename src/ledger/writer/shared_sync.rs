//! Writes that share one sync.
//!
//! Each of them is planned against those before it, and sealed and applied in its turn. It has a revision, an answer and a
//! refusal of its own. Then one sync makes all their commits durable. Only after it readers see the commits, subscribers
//! hear of them, and clients are answered.
//!
//! Invariants: no client is answered before the sync, whatever its answer: a refusal or a retry may rest on a commit that
//! waits for it. The store keeps the order of what is written, so a power cut leaves the first of these commits. If anything
//! fails, nobody knows how many, so all these writes are refused, and the writer stops.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use super::{
    AppliedCommit, WriteAnswer, WriteError,
    handle::AnswerSender,
    run::{WriterLoop, panicked},
};
use crate::store::faults::{CrashPoint, crash_at};

/// Most writes that share a sync.
const SHARED_WRITES_MAX: usize = 64;
/// No more writes join a sync when so many bytes wait for it. sled writes a few times as many to its log. After a power cut
/// it checks the last segment of the log (512 KiB) and the one before message by message, and takes what comes before the
/// first gap; of segments before those it takes what it can read. So the commits that wait should fit into one segment, or
/// a commit could be found without the one before.
const SHARED_BYTES_MAX: usize = 64 * 1024;
/// No more writes join a sync this long after its first one began: the client of that one waits.
const JOINING_TIME_MAX: Duration = Duration::from_millis(5);

/// Writes that share one sync.
#[derive(Debug, Default)]
pub(super) struct SharedSync {
    /// Sealed and applied, and not shown to anybody.
    commits: Vec<AppliedCommit>,
    /// The results of all writes so far, with or without a commit.
    answers: Vec<(AnswerSender, Result<WriteAnswer, WriteError>)>,
}

impl SharedSync {
    /// Adds the result of a write.
    pub(super) fn add(&mut self, answer: AnswerSender, result: Result<WriteAnswer, WriteError>) {
        self.answers.push((answer, result));
    }

    /// Adds a commit that is sealed and applied.
    pub(super) fn add_commit(&mut self, commit: AppliedCommit) {
        self.commits.push(commit);
    }

    /// Whether another write may join, when so many bytes wait for the sync, and the first write for so long.
    pub(super) fn has_room(&self, unsynced: usize, waited: Duration) -> bool {
        let is_short = self.answers.len() < SHARED_WRITES_MAX && unsynced < SHARED_BYTES_MAX;
        is_short && waited < JOINING_TIME_MAX
    }
}

impl WriterLoop {
    /// Whether there are commits that are sealed and not durable.
    fn has_unsynced(&self) -> bool {
        self.ledger.newest() != self.ledger.head()
    }

    /// Whether there are commits that readers do not see.
    pub(super) fn has_unshown(&self) -> bool {
        self.ledger.newest() != self.view.applied()
    }

    /// Makes the commits durable, then visible, publishes them, and answers all writes. Leaves `shared` without writes.
    pub(super) fn finish(&mut self, shared: &mut SharedSync) {
        let SharedSync { commits, answers } = std::mem::take(shared);
        if answers.is_empty() && commits.is_empty() {
            return;
        }
        if self.has_unsynced()
            && self.stop_reason.get().is_none()
            && let Err(error) = self.ledger.sync()
        {
            self.stop_writing(&error);
        }
        let refusal = self.stop_reason.get().filter(|_| self.has_unshown());
        if refusal.is_none() {
            let shown = catch_unwind(AssertUnwindSafe(|| self.show(commits)));
            if shown.is_err() {
                self.stop_writing(&panicked("publishing"));
            }
        }
        let writes = answers.len();
        for (answer, result) in answers {
            let result = match &refusal {
                Some(reason) => Err(WriteError::Stopped { reason: reason.clone() }),
                None => result,
            };
            // The caller may be gone; what was done stands all the same.
            let _ = answer.send(result);
        }
        self.publisher.wake();
        self.note_writes(writes);
    }

    /// Shows durable commits to readers and publishes them.
    fn show(&self, commits: Vec<AppliedCommit>) {
        for commit in commits {
            self.view.show(commit.header.commit.revision);
            crash_at(CrashPoint::Applied);
            self.publisher.publish(commit);
            crash_at(CrashPoint::Published);
        }
    }
}
