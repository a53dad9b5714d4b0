//! The one writer: takes writes in turn, makes each a commit or refuses it.
//!
//! plan → append pages → seal (durable) → apply to the view → answer and publish. It has a thread of its own, because every
//! step may wait for the disk.
//!
//! Invariant: after a failure below, nobody knows what is on disk. Then nothing is written or published until a restart,
//! which finds out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{
    Ledger, apply,
    compact::{Compaction, Keep},
    cursor::{self, CURSORS_MAX, CursorError, CursorMove},
    log::{Draft, Header, Receipt, Totals},
    page::LedgerPage,
    plan::{Outcome, PlanError, Planner, Sink, WriteRequest},
};
use crate::{
    model::{
        change::{Cause, Change, Commit, Counts},
        edition::Edition,
        finding::Finding,
        id::{RequestId, Revision},
        time::{Clock, Instant},
    },
    store::{
        StoreError,
        cursors::{StoredCursor, StoredCursors},
        faults::{CrashPoint, crash_at},
        lock::lock,
        offload::Offload,
        view::View,
    },
};

/// Most writes that wait; more are told to come back.
pub const WAITING_WRITES_MAX: usize = 64;
/// Warnings kept with a receipt.
const RECEIPT_FINDINGS_MAX: usize = 50;

/// What every write says about itself.
#[derive(Debug, Clone, Default)]
pub struct WriteOptions {
    /// Makes a retry safe.
    pub request_id: Option<RequestId>,
    /// Plan only.
    pub validate_only: bool,
    /// Refuse unless this is head.
    pub expected_head: Option<Revision>,
    /// Why; `None`: from what changes.
    pub cause: Option<Cause>,
    /// Note.
    pub note: String,
    /// SHA-256 of the document it was made from, hex.
    pub document_sha256: String,
    /// Who.
    pub author: String,
    /// SHA-256 of what was sent, without these options.
    pub content: [u8; 32],
}

/// What a write came to.
#[derive(Debug, Clone, Default)]
pub struct WriteAnswer {
    /// The commit, or with `validate_only` head.
    pub revision: Revision,
    /// What changed.
    pub counts: Counts,
    /// Warnings; with `validate_only` errors too.
    pub findings: Vec<Finding>,
    /// The answer to an earlier request of the same id.
    pub replayed: bool,
    /// With `validate_only`: the changes, as far as listed.
    pub difference: Vec<(u64, Change)>,
    /// With `validate_only`: how many changes there are.
    pub changes: u64,
    /// The edition as it stands.
    pub edition: Option<Edition>,
}

/// Why a write was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// What was sent is not acceptable.
    #[error("{errors} error(s) in what was sent")]
    Refused {
        /// What is wrong.
        findings: Vec<Finding>,
        /// How many errors there are, listed or not.
        errors: usize,
    },
    /// The request id was used for something else.
    #[error("request id `{request_id}` was used for other content, in revision {revision}")]
    RequestReused {
        /// The id.
        request_id: RequestId,
        /// Where it was used.
        revision: Revision,
    },
    /// Another commit came first.
    #[error("head is revision {head}, not {expected}")]
    HeadMoved {
        /// As expected.
        expected: Revision,
        /// As it is.
        head: Revision,
    },
    /// What it is about is not there, or is there already.
    #[error(transparent)]
    Plan(PlanError),
    /// Too many writes wait.
    #[error("{WAITING_WRITES_MAX} writes are waiting already")]
    Busy,
    /// The writer has stopped, or just did.
    #[error("{0}")]
    Stopped(String),
}

/// A commit that was just made.
#[derive(Debug, Clone)]
pub struct AppliedCommit {
    /// Its header.
    pub header: Arc<Header>,
    /// Its pages, unless it is long.
    pub pages: Option<Vec<Arc<LedgerPage>>>,
}

enum Command {
    Write {
        options: Box<WriteOptions>,
        act: Box<WriteRequest>,
        answer: oneshot::Sender<Result<WriteAnswer, WriteError>>,
    },
    PutCursor {
        given: CursorMove,
        answer: oneshot::Sender<Result<Option<StoredCursor>, CursorError>>,
    },
}

/// How a writer works.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Between writes it drops the pages of commits that are not to be kept.
    pub keep: Keep,
    /// What says when a commit was recorded.
    pub clock: Clock,
    /// Where it lives.
    pub offload: Offload,
}

/// Hands writes to the writer.
#[derive(Debug)]
pub struct Writer {
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    refusal: Arc<Mutex<Option<String>>>,
    cursors: Arc<StoredCursors>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Write { options, .. } => options.fmt(f),
            Self::PutCursor { given, .. } => given.fmt(f),
        }
    }
}

impl Writer {
    /// Starts the writer on a ledger and a view that has caught up with it. `publish` is called after each commit.
    pub fn start(
        ledger: Arc<dyn Ledger>,
        view: Arc<View>,
        setup: Setup,
        publish: impl Fn(AppliedCommit) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let totals = match ledger.head() {
            Revision::ZERO => Totals::default(),
            head => ledger.header(head)?.map_or_else(Totals::default, |header| header.totals),
        };
        let (sender, commands) = mpsc::channel(WAITING_WRITES_MAX);
        let refusal = Arc::new(Mutex::new(None));
        let cursors = Arc::new(StoredCursors::open(view.engine().clone())?);
        let offload = setup.offload.clone();
        let work = WriterLoop {
            ledger,
            view,
            totals,
            compaction: Compaction::new(setup.keep),
            setup,
            refusal: refusal.clone(),
            cursors: cursors.clone(),
            publish: Box::new(publish),
        };
        let thread = offload.start("writer", work.run(commands))?;
        Ok(Self { commands: Mutex::new(Some(sender)), refusal, cursors, thread: Mutex::new(thread) })
    }

    /// Does a write.
    pub async fn write(&self, options: WriteOptions, act: WriteRequest) -> Result<WriteAnswer, WriteError> {
        let (answer, answered) = oneshot::channel();
        self.hand_over(Command::Write { options: Box::new(options), act: Box::new(act), answer })?;
        answered.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Keeps, moves or forgets a client's cursor; says where it is now.
    pub async fn keep_cursor(&self, given: CursorMove) -> Result<Option<StoredCursor>, CursorError> {
        let (answer, answered) = oneshot::channel();
        self.hand_over(Command::PutCursor { given, answer })?;
        answered.await.unwrap_or_else(|_| Err(self.stopped().into()))
    }

    /// Where a client's cursor is.
    pub fn cursor(&self, author: &str, name: &str) -> Option<StoredCursor> {
        self.cursors.get(author, name)
    }

    /// The cursors of an author, in name order, after one.
    pub fn cursors_after(&self, author: &str, name: &str) -> Vec<(String, StoredCursor)> {
        self.cursors.after(author, name)
    }

    fn hand_over(&self, command: Command) -> Result<(), WriteError> {
        let sender = lock(&self.commands).clone();
        let Some(sender) = sender else { return Err(self.stopped()) };
        sender.try_send(command).map_err(|refused| match refused {
            TrySendError::Full(_) => WriteError::Busy,
            TrySendError::Closed(_) => self.stopped(),
        })
    }

    /// Why writes are refused, if they are.
    pub fn refusal(&self) -> Option<String> {
        lock(&self.refusal).clone()
    }

    /// Finishes the writes that wait and ends the thread.
    pub fn stop(&self) {
        lock(&self.commands).take();
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer ended by a panic");
        }
    }

    fn stopped(&self) -> WriteError {
        WriteError::Stopped(self.refusal().unwrap_or_else(|| "the server is stopping".into()))
    }
}

struct WriterLoop {
    ledger: Arc<dyn Ledger>,
    view: Arc<View>,
    totals: Totals,
    setup: Setup,
    compaction: Compaction,
    refusal: Arc<Mutex<Option<String>>>,
    cursors: Arc<StoredCursors>,
    publish: Box<dyn Fn(AppliedCommit) + Send>,
}

impl WriterLoop {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            match tokio::time::timeout(self.compaction.pause(), commands.recv()).await {
                Ok(Some(command)) => {
                    self.setup.offload.step().await;
                    self.obey(command);
                }
                Ok(None) => return,
                Err(_) => self.compact(),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let refusal = lock(&self.refusal).clone();
        // sled panics on damaged files; a panic here must stop writing, not only this thread.
        let panicked = || StoreError::Corrupt("the writer panicked".into());
        // The callers may be gone; what was done stands all the same.
        match command {
            Command::Write { options, act, answer } => {
                let result = match refusal {
                    Some(refusal) if !options.validate_only => Err(WriteError::Stopped(refusal)),
                    _ => catch_unwind(AssertUnwindSafe(|| self.write(&options, *act)))
                        .unwrap_or_else(|_| Err(self.stop_writing(&panicked()))),
                };
                let _ = answer.send(result);
                if self.compaction.wrote() {
                    self.compact();
                }
            }
            Command::PutCursor { given, answer } => {
                let now = self.setup.clock.now();
                let result = match refusal {
                    Some(refusal) => Err(WriteError::Stopped(refusal).into()),
                    None => catch_unwind(AssertUnwindSafe(|| cursor::keep(&self.cursors, given, CURSORS_MAX, now)))
                        .unwrap_or_else(|_| Err(panicked().into()))
                        .map_err(|error| match error {
                            CursorError::Store(error) => self.stop_writing(&error).into(),
                            error => error,
                        }),
                };
                let _ = answer.send(result);
            }
        }
    }

    /// A turn of compaction. One that fails stops writing, as a failed write does.
    fn compact(&mut self) {
        if lock(&self.refusal).is_some() {
            self.compaction = Compaction::stopped();
            return;
        }
        let (compaction, ledger, now) = (&mut self.compaction, self.ledger.as_ref(), self.setup.clock.now());
        let turn = catch_unwind(AssertUnwindSafe(|| compaction.turn(ledger, now)));
        let turn = turn.unwrap_or_else(|_| Err(StoreError::Corrupt("compaction panicked".into())));
        if let Err(error) = turn {
            self.stop_writing(&error);
        }
    }

    fn write(&mut self, options: &WriteOptions, act: WriteRequest) -> Result<WriteAnswer, WriteError> {
        let head = self.ledger.head();
        if let Some(replay) = self.replay(options)? {
            return Ok(replay);
        }
        if let Some(expected) = options.expected_head.filter(|expected| *expected != head) {
            return Err(WriteError::HeadMoved { expected, head });
        }
        let recorded = self.next_instant(head)?;
        let ledger = self.ledger.clone();
        let sink = if options.validate_only { Sink::to_list() } else { Sink::to_ledger(ledger.as_ref()) };
        let view = self.view.clone();
        let planned = Planner::new(ledger.as_ref(), &view, recorded, self.totals, sink).run(act);
        let refused = planned.as_ref().map_or(true, |(outcome, _)| outcome.findings.refuse());
        if refused && !options.validate_only {
            self.ledger.abandon().map_err(|error| self.stop_writing(&error))?;
        }
        let (outcome, sink) = planned.map_err(|error| match error {
            PlanError::Store(error) if !options.validate_only => self.stop_writing(&error),
            error => WriteError::Plan(error),
        })?;
        if options.validate_only {
            return Ok(WriteAnswer {
                revision: head,
                counts: outcome.counts,
                findings: outcome.findings.into_vec(),
                difference: sink.difference,
                changes: sink.changes,
                edition: outcome.edition,
                replayed: false,
            });
        }
        if outcome.findings.refuse() {
            let errors = outcome.findings.errors();
            return Err(WriteError::Refused { findings: outcome.findings.into_vec(), errors });
        }
        self.commit(options, head, recorded, outcome, sink)
    }

    fn commit(
        &mut self,
        options: &WriteOptions,
        head: Revision,
        recorded: Instant,
        outcome: Outcome,
        sink: Sink<'_>,
    ) -> Result<WriteAnswer, WriteError> {
        let commit = Commit {
            revision: head.next(),
            recorded,
            author: options.author.clone(),
            cause: options.cause.unwrap_or_else(|| natural_cause(&outcome, sink.changes)),
            note: options.note.clone(),
            released: outcome.released,
            document_sha256: options.document_sha256.clone(),
            counts: outcome.counts,
            request_id: options.request_id.clone(),
        };
        let draft = Draft { commit, pages: sink.pages, changes: sink.changes, totals: outcome.totals };
        let findings = outcome.findings.into_vec();
        let receipt = Receipt {
            revision: draft.commit.revision,
            content: options.content,
            findings: findings.iter().take(RECEIPT_FINDINGS_MAX).cloned().collect(),
            edition: outcome.edition.clone(),
        };
        crash_at(CrashPoint::Planned);
        let sealed = self.ledger.seal(&draft, Some(&receipt));
        let header = sealed.map_err(|error| self.stop_writing(&error))?;
        apply::apply(self.ledger.as_ref(), &self.view, &header).map_err(|error| self.stop_writing(&error))?;
        crash_at(CrashPoint::Applied);
        self.totals = outcome.totals;
        let written = WriteAnswer {
            revision: header.commit.revision,
            counts: header.commit.counts,
            findings,
            edition: outcome.edition,
            changes: sink.changes,
            ..WriteAnswer::default()
        };
        (self.publish)(AppliedCommit { header: Arc::new(header), pages: sink.handed });
        crash_at(CrashPoint::Published);
        Ok(written)
    }

    /// The first answer again, if the request was done before.
    fn replay(&self, options: &WriteOptions) -> Result<Option<WriteAnswer>, WriteError> {
        let Some(request_id) = &options.request_id else { return Ok(None) };
        let receipt = self.ledger.receipt(request_id).map_err(|error| self.stop_writing(&error))?;
        let Some(receipt) = receipt else { return Ok(None) };
        if receipt.content != options.content {
            return Err(WriteError::RequestReused { request_id: request_id.clone(), revision: receipt.revision });
        }
        let header = self.ledger.header(receipt.revision).map_err(|error| self.stop_writing(&error))?;
        let counts = header.map_or_else(Counts::default, |header| header.commit.counts);
        Ok(Some(WriteAnswer {
            revision: receipt.revision,
            counts,
            findings: receipt.findings,
            edition: receipt.edition,
            replayed: true,
            ..WriteAnswer::default()
        }))
    }

    /// The clock, but never before the commit before: a jump back of the clock must not turn history round.
    fn next_instant(&self, head: Revision) -> Result<Instant, WriteError> {
        let last = match head {
            Revision::ZERO => None,
            head => self.ledger.header(head).map_err(|error| self.stop_writing(&error))?,
        };
        let now = self.setup.clock.now();
        Ok(last.map_or(now, |last| now.max(last.commit.recorded)))
    }

    fn stop_writing(&self, error: &StoreError) -> WriteError {
        tracing::error!(%error, "writing stopped until a restart");
        let refusal = StoreError::Stopped(error.to_string()).to_string();
        *lock(&self.refusal) = Some(refusal.clone());
        WriteError::Stopped(refusal)
    }
}

/// The cause of a commit whose author names none. A correction may change no entry: the title, the source, the date.
fn natural_cause(outcome: &Outcome, changes: u64) -> Cause {
    let counts = &outcome.counts;
    let data = counts.added + counts.revised + counts.withdrawn + counts.backfilled;
    if outcome.reverts {
        Cause::Correction
    } else if changes == 0 {
        Cause::ReloadUnchanged
    } else if outcome.corrects {
        Cause::Correction
    } else if data == 0 {
        Cause::Definition
    } else if counts.withdrawn > 0 && counts.added + counts.revised == 0 {
        Cause::Withdrawal
    } else if counts.revised + counts.withdrawn + counts.backfilled == 0 {
        Cause::FirstRelease
    } else {
        Cause::ScheduledRevision
    }
}
