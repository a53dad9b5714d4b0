//! The loop on the writer's thread: it takes commands, and compacts while none comes.
//!
//! Invariant: a panic in a command stops writing. It does not end the thread, so callers go on getting answers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{
    Publisher, Setup, StopReason, WriteAnswer, WriteError, WriteOptions, handle::Command, shared_sync::SharedSync,
};
use crate::{
    ledger::{
        Ledger,
        compact::Compaction,
        cursor::{self, CURSORS_MAX, CursorError, CursorMove},
        log::Totals,
        plan::WriteRequest,
    },
    model::id::Revision,
    store::{
        StoreError,
        cursors::{StoredCursor, StoredCursors},
        view::View,
    },
};

/// How long compaction may hold up the next write; a step that has begun is finished.
const COMPACTION_TIME_MAX: Duration = Duration::from_millis(20);

/// The state of the writer's thread.
pub(super) struct WriterLoop {
    pub(super) ledger: Arc<Ledger>,
    pub(super) view: Arc<View>,
    /// What the store holds at head.
    pub(super) totals: Totals,
    pub(super) setup: Setup,
    compaction: Compaction,
    pub(super) stop_reason: StopReason,
    cursors: Arc<StoredCursors>,
    pub(super) publisher: Box<dyn Publisher>,
}

impl WriterLoop {
    pub(super) fn new(
        ledger: Arc<Ledger>,
        view: Arc<View>,
        setup: Setup,
        stop_reason: StopReason,
        cursors: Arc<StoredCursors>,
        publisher: Box<dyn Publisher>,
    ) -> Result<Self, StoreError> {
        let totals = match ledger.head() {
            Revision::ZERO => Totals::default(),
            head => ledger.header(head)?.map_or_else(Totals::default, |header| header.totals),
        };
        let compaction = Compaction::new(setup.retention);
        Ok(Self { ledger, view, totals, setup, compaction, stop_reason, cursors, publisher })
    }

    /// Runs until all senders of commands are gone.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            match timeout(self.compaction.pause(), commands.recv()).await {
                Ok(Some(command)) => {
                    self.setup.offload.step().await;
                    self.handle(command, &mut commands);
                }
                Ok(None) => return,
                Err(_) => self.compact(),
            }
        }
    }

    /// Does a command. Short writes that wait behind a short write share its sync.
    fn handle(&mut self, first: Command, waiting: &mut mpsc::Receiver<Command>) {
        let began = Instant::now();
        let mut shared = SharedSync::default();
        let mut next = Some(first);
        while let Some(command) = next.take() {
            match command {
                Command::Write { options, request, answer } => {
                    let is_short = request.is_short();
                    if !is_short {
                        self.finish(&mut shared);
                    }
                    let result = self.handle_write(&options, *request, &mut shared);
                    shared.add(answer, result);
                    if is_short && shared.has_room(self.view.engine().unsynced_bytes(), began.elapsed()) {
                        next = waiting.try_recv().ok();
                    }
                }
                Command::MoveCursor { cursor_move, answer } => {
                    self.finish(&mut shared);
                    let result = self.handle_cursor(cursor_move);
                    // The caller may be gone; what was done stands all the same.
                    let _ = answer.send(result);
                }
            }
        }
        self.finish(&mut shared);
    }

    /// Does a write up to its sync.
    fn handle_write(
        &mut self,
        options: &WriteOptions,
        request: WriteRequest,
        shared: &mut SharedSync,
    ) -> Result<WriteAnswer, WriteError> {
        // After a failure there may be commits that nobody may hear of, and a difference to them would tell.
        let can_validate = options.validate_only && !self.has_unshown();
        if let Some(reason) = self.stop_reason.get().filter(|_| !can_validate) {
            return Err(WriteError::Stopped { reason });
        }
        let written = catch_unwind(AssertUnwindSafe(|| self.write(options, request, shared)));
        written.unwrap_or_else(|_| Err(self.stop_writing(&panicked("the writer"))))
    }

    fn handle_cursor(&mut self, cursor_move: CursorMove) -> Result<Option<StoredCursor>, CursorError> {
        if let Some(reason) = self.stop_reason.get() {
            return Err(WriteError::Stopped { reason }.into());
        }
        let now = self.setup.clock.now();
        let moved =
            catch_unwind(AssertUnwindSafe(|| cursor::move_cursor(&self.cursors, cursor_move, CURSORS_MAX, now)));
        match moved.unwrap_or_else(|_| Err(panicked("the writer").into())) {
            Err(CursorError::Store(error)) => Err(self.stop_writing(&error).into()),
            result => result,
        }
    }

    /// Notes writes for compaction, and compacts if that is due.
    pub(super) fn note_writes(&mut self, writes: usize) {
        let mut is_due = false;
        for _ in 0..writes {
            is_due |= self.compaction.note_write();
        }
        if is_due {
            self.compact();
        }
    }

    /// Compacts for a bounded time. A failure stops writing, as a failed write does.
    fn compact(&mut self) {
        if self.stop_reason.get().is_some() {
            self.compaction = Compaction::stopped();
            return;
        }
        let started = Instant::now();
        let now = self.setup.clock.now();
        let compacted = catch_unwind(AssertUnwindSafe(|| {
            self.compaction.run(&self.ledger, now, || started.elapsed() < COMPACTION_TIME_MAX)
        }));
        if let Err(error) = compacted.unwrap_or_else(|_| Err(panicked("compaction"))) {
            self.stop_writing(&error);
        }
    }

    /// Refuses all writes until a restart. Returns the refusal.
    pub(super) fn stop_writing(&self, error: &StoreError) -> WriteError {
        tracing::error!(%error, "writing stopped until a restart");
        let reason = error.to_string();
        self.stop_reason.set(reason.clone());
        WriteError::Stopped { reason }
    }
}

/// sled panics on damaged files.
pub(super) fn panicked(what: &str) -> StoreError {
    StoreError::corrupt(format!("{what} panicked"))
}
