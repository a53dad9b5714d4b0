//! How others reach the writer: they send a command and wait for its answer.
//!
//! Invariant: at most [`WAITING_WRITES_MAX`] commands wait.

use std::{
    fmt,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{Publisher, Setup, StopReason, WAITING_WRITES_MAX, WriteAnswer, WriteError, WriteOptions, run::WriterLoop};
use crate::{
    ledger::{
        Ledger,
        cursor::{CursorError, CursorMove},
        plan::WriteRequest,
    },
    store::{
        StoreError,
        cursors::{StoredCursor, StoredCursors},
        lock::lock,
        offload::Offload,
        view::View,
    },
};

/// Sends writes to the writer's thread.
#[derive(Debug)]
pub struct Writer {
    /// `None` after [`Writer::stop`].
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    stop_reason: StopReason,
    cursors: Arc<StoredCursors>,
    /// `None`: it has ended, or a simulation runs the loop on its only thread.
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Where a refused command is dropped: an upload in it may have a file to close.
    offload: Offload,
}

/// Where the result of a write goes.
pub(super) type AnswerSender = oneshot::Sender<Result<WriteAnswer, WriteError>>;

pub(super) enum Command {
    Write { options: Box<WriteOptions>, request: Box<WriteRequest>, answer: AnswerSender },
    MoveCursor { cursor_move: CursorMove, answer: oneshot::Sender<Result<Option<StoredCursor>, CursorError>> },
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { options, .. } => options.fmt(f),
            Self::MoveCursor { cursor_move, .. } => cursor_move.fmt(f),
        }
    }
}

impl Writer {
    /// Starts the writer on a ledger, and a view that has every commit of it. The writer gives each commit to `publisher`.
    pub fn start(
        ledger: Arc<Ledger>,
        view: Arc<View>,
        setup: Setup,
        publisher: impl Publisher,
    ) -> Result<Self, StoreError> {
        let (sender, commands) = mpsc::channel(WAITING_WRITES_MAX);
        let stop_reason = StopReason::default();
        let cursors = Arc::new(StoredCursors::open(view.engine().clone())?);
        let offload = setup.offload.clone();
        let writer_loop =
            WriterLoop::new(ledger, view, setup, stop_reason.clone(), cursors.clone(), Box::new(publisher))?;
        let thread = Mutex::new(offload.start("writer", writer_loop.run(commands))?);
        Ok(Self { commands: Mutex::new(Some(sender)), stop_reason, cursors, thread, offload })
    }

    /// Does a write and waits for the answer. Suggestions for unknown ids are found here, beside the writer's thread.
    pub async fn write(&self, options: WriteOptions, request: WriteRequest) -> Result<WriteAnswer, WriteError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Write { options: Box::new(options), request: Box::new(request), answer }).await?;
        let mut answer = answered.await.unwrap_or_else(|_| Err(self.ended()));
        let to_suggest = match &mut answer {
            Ok(WriteAnswer { findings, known, .. }) | Err(WriteError::Refused { findings, known, .. }) => {
                known.take().map(|known| (known, std::mem::take(findings)))
            }
            Err(_) => None,
        };
        let Some((known, mut suggested)) = to_suggest else { return answer };
        let suggested = self.offload.run(move || {
            known.suggest(&mut suggested);
            suggested
        });
        let suggested = suggested.await.map_err(|_| self.ended())?;
        if let Ok(WriteAnswer { findings, .. }) | Err(WriteError::Refused { findings, .. }) = &mut answer {
            *findings = suggested;
        }
        answer
    }

    /// Makes, moves or forgets a cursor and waits for the answer: where the cursor is now, `None` if it is forgotten.
    pub async fn move_cursor(&self, cursor_move: CursorMove) -> Result<Option<StoredCursor>, CursorError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::MoveCursor { cursor_move, answer }).await?;
        answered.await.unwrap_or_else(|_| Err(self.ended().into()))
    }

    /// The cursor of this author and name.
    pub fn cursor(&self, author: &str, name: &str) -> Option<StoredCursor> {
        self.cursors.get(author, name)
    }

    /// The cursors of an author after a name, in the order of names.
    pub fn cursors_after(&self, author: &str, name: &str) -> Vec<(String, StoredCursor)> {
        self.cursors.after(author, name)
    }

    /// Why writes are refused, in words. `None`: they are taken.
    pub fn refusal(&self) -> Option<String> {
        self.stop_reason.get().map(|reason| WriteError::Stopped { reason }.to_string())
    }

    /// Finishes the writes that wait, and ends the thread. Blocks until it has ended.
    pub fn stop(&self) {
        lock(&self.commands).take();
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer ended by a panic");
        }
    }

    async fn send(&self, command: Command) -> Result<(), WriteError> {
        let sender = lock(&self.commands).clone();
        let (refused, error) = match sender {
            None => (command, self.ended()),
            Some(sender) => match sender.try_send(command) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(refused)) => (refused, WriteError::Busy),
                Err(TrySendError::Closed(refused)) => (refused, self.ended()),
            },
        };
        // What is refused is dropped whether or not this waits for it.
        let _ = self.offload.run(move || drop(refused)).await;
        Err(error)
    }

    /// Why the writer takes no command.
    fn ended(&self) -> WriteError {
        match self.stop_reason.get() {
            Some(reason) => WriteError::Stopped { reason },
            None => WriteError::Stopping,
        }
    }
}
