//! The path of one write up to the sync: is it a retry, does it plan, then seal and apply.
//!
//! Invariants: a write that is refused or only validated leaves no page in the ledger. What is planned here rests on all
//! commits before, also on those that are not durable yet; so no result leaves before the sync that they share.

use std::sync::Arc;

use super::{AppliedCommit, WriteAnswer, WriteError, WriteOptions, run::WriterLoop, shared_sync::SharedSync};
use crate::{
    ledger::{
        apply,
        log::{Draft, Header, Receipt},
        plan::{Outcome, PlanError, Planner, Sink, WriteRequest},
        staged::StagedPages,
    },
    model::{
        change::{Cause, Commit, Counts},
        id::Revision,
        time::Instant,
    },
    store::{
        StoreError,
        faults::{CrashPoint, crash_at},
    },
};

/// Most warnings in a receipt.
const RECEIPT_FINDINGS_MAX: usize = 50;

impl WriterLoop {
    pub(super) fn write(
        &mut self,
        options: &WriteOptions,
        request: WriteRequest,
        shared: &mut SharedSync,
    ) -> Result<WriteAnswer, WriteError> {
        let head = self.ledger.newest();
        if let Some(answer) = self.replay(options)? {
            return Ok(answer);
        }
        if let Some(expected) = options.expected_head.filter(|expected| *expected != head) {
            return Err(WriteError::HeadMoved { expected, head });
        }
        let recorded = self.next_instant(head)?;
        let ledger = self.ledger.clone();
        let view = self.view.clone();
        let sink = if options.validate_only { Sink::to_list() } else { Sink::to_ledger(&ledger) };
        let planned = Planner::new(&ledger, &view, recorded, self.totals, sink).run(request);
        let refused = planned.as_ref().map_or(true, |(outcome, _)| outcome.findings.refuse());
        if refused && !options.validate_only {
            self.ledger.abandon().map_err(|error| self.stop_writing(&error))?;
        }
        let (outcome, sink) = match planned {
            Ok(planned) => planned,
            Err(PlanError::Store(error)) if !options.validate_only => return Err(self.stop_writing(&error)),
            Err(error) => return Err(WriteError::Plan(error)),
        };
        if options.validate_only {
            return Ok(WriteAnswer {
                revision: head,
                counts: outcome.counts,
                findings: outcome.findings.into_vec(),
                difference: sink.difference,
                changes: sink.changes,
                edition: outcome.edition,
                replayed: false,
                known: outcome.known,
            });
        }
        if outcome.findings.refuse() {
            let errors = outcome.findings.errors();
            let known = outcome.known;
            return Err(WriteError::Refused { findings: outcome.findings.into_vec(), errors, known });
        }
        self.commit(options, recorded, outcome, sink, shared)
    }

    /// Makes a plan the commit after the newest, and adds it to those that share a sync. Its pages are in the ledger already.
    fn commit(
        &mut self,
        options: &WriteOptions,
        recorded: Instant,
        outcome: Outcome,
        sink: Sink<'_>,
        shared: &mut SharedSync,
    ) -> Result<WriteAnswer, WriteError> {
        let draft = self.draft(options, recorded, &outcome, &sink);
        let findings = outcome.findings.into_vec();
        let receipt = Receipt {
            revision: draft.commit.revision,
            content: options.content,
            findings: findings.iter().take(RECEIPT_FINDINGS_MAX).cloned().collect(),
            edition: outcome.edition.clone(),
        };
        crash_at(CrashPoint::Planned);
        if self.ledger.is_long() {
            // It takes a sync of its own: the clients before it need not wait.
            self.finish(shared);
            if let Some(reason) = self.stop_reason.get() {
                return Err(WriteError::Stopped { reason });
            }
        }
        let header = self.seal_and_apply(&draft, &receipt, sink.staged).map_err(|error| self.stop_writing(&error))?;
        self.totals = outcome.totals;
        let answer = WriteAnswer {
            revision: header.commit.revision,
            counts: header.commit.counts,
            findings,
            edition: outcome.edition,
            changes: sink.changes,
            ..WriteAnswer::default()
        };
        shared.add_commit(AppliedCommit { header: Arc::new(header), pages: sink.for_feed });
        Ok(answer)
    }

    fn draft(&self, options: &WriteOptions, recorded: Instant, outcome: &Outcome, sink: &Sink<'_>) -> Draft {
        let commit = Commit {
            revision: self.ledger.newest().next(),
            recorded,
            author: options.author.clone(),
            cause: options.cause.unwrap_or_else(|| natural_cause(outcome, sink.changes)),
            note: options.note.clone(),
            released: outcome.released,
            document_sha256: options.document_sha256.clone(),
            counts: outcome.counts,
            request_id: options.request_id.clone(),
        };
        Draft { commit, pages: sink.pages, changes: sink.changes, totals: outcome.totals }
    }

    /// A long commit is durable before it is applied: a crash meanwhile does not lose it. The seal of a short one and what the
    /// view gets from it are one batch, so that neither is ever there without the other; it waits for the sync that it
    /// shares.
    fn seal_and_apply(&self, draft: &Draft, receipt: &Receipt, staged: StagedPages) -> Result<Header, StoreError> {
        if self.ledger.is_long() {
            let header = self.ledger.seal(draft, Some(receipt))?;
            apply::apply(&self.ledger, &self.view, &header, staged)?;
            return Ok(header);
        }
        let mut batch = self.view.engine().batch();
        let header = self.ledger.seal_in(&mut batch, draft, Some(receipt))?;
        apply::apply_in(batch, &self.ledger, &self.view, &header, staged)?;
        self.ledger.note_sealed(&header);
        Ok(header)
    }

    /// The first answer again, if this request was done before.
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

    /// When the next commit is recorded: by the clock, but never before the newest commit. Recorded times must not go
    /// back when the clock does.
    fn next_instant(&self, newest: Revision) -> Result<Instant, WriteError> {
        let now = self.setup.clock.now();
        if newest == Revision::ZERO {
            return Ok(now);
        }
        let newest = self.ledger.header(newest).map_err(|error| self.stop_writing(&error))?;
        Ok(newest.map_or(now, |newest| now.max(newest.commit.recorded)))
    }
}

/// The cause of a commit whose author names none. A correction may change no entry: only the title, the source, the date.
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
