//! How far a stream that is behind has come, on one line of standard error, for the person who watches.
//!
//! Invariants: the line goes to a terminal and nowhere else, and never with `--json`. It is removed once the stream is
//! live. What is printed meanwhile appears above it.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use super::session::Session;
use crate::{
    client::FollowEvent,
    proto::{Lag, LagState},
};

/// Shows how far a stream has come while it is behind.
#[derive(Debug)]
pub struct CatchUpProgress {
    /// Whether standard error is a terminal and answers are not JSON.
    visible: bool,
    /// There while the stream is behind.
    line: Option<ProgressLine>,
}

#[derive(Debug)]
struct ProgressLine {
    bar: ProgressBar,
    since: Instant,
    transfer: Transfer,
}

/// What the server is sending, and how much of it was received.
#[derive(Debug, Clone, Copy)]
enum Transfer {
    State {
        rows: u64,
    },
    /// The commits after the revision `began`, up to `head`; the stream is at `position`.
    Commits {
        began: u64,
        position: u64,
        head: u64,
        changes: u64,
    },
}

impl CatchUpProgress {
    pub fn new(session: &Session) -> Self {
        Self { visible: !session.json && std::io::stderr().is_terminal(), line: None }
    }

    /// Takes an event, after which the stream is at the revision `position`.
    pub fn record(&mut self, event: &FollowEvent, position: u64) {
        if !self.visible {
            return;
        }
        match event {
            FollowEvent::Rows(rows) => {
                let line = self.line.get_or_insert_with(|| ProgressLine::new(Transfer::State { rows: 0 }));
                if let Transfer::State { rows: received } = &mut line.transfer {
                    *received += rows.len() as u64;
                }
            }
            FollowEvent::Lag(lag) if lag.state() == LagState::CatchingUp => {
                let Lag { head, .. } = *lag;
                self.line = Some(ProgressLine::new(Transfer::Commits { began: position, position, head, changes: 0 }));
            }
            FollowEvent::Changes(part) => self.advance(position, part.changes.len() as u64),
            FollowEvent::Progress(revision) => self.advance(*revision, 0),
            FollowEvent::Opened(_) => {}
            FollowEvent::Lag(_)
            | FollowEvent::StateComplete(_)
            | FollowEvent::StateDiscarded
            | FollowEvent::LicencesChanged { .. }
            | FollowEvent::Reconnecting { .. } => self.end(),
        }
        if let Some(line) = &self.line {
            line.bar.set_message(text(line.transfer, line.since.elapsed()));
        }
    }

    fn advance(&mut self, revision: u64, count: u64) {
        if let Some(ProgressLine { transfer: Transfer::Commits { position, changes, .. }, .. }) = &mut self.line {
            *position = revision;
            *changes += count;
        }
    }

    /// Runs `print`, whose output appears above the line.
    pub fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.line {
            Some(line) => line.bar.suspend(print),
            None => print(),
        }
    }

    /// Removes the line.
    pub fn end(&mut self) {
        self.line = None;
    }
}

impl ProgressLine {
    fn new(transfer: Transfer) -> Self {
        // If the template were refused, nothing would be shown; that does no harm.
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The bar is removed from the terminal when it is dropped.
        let bar = bar.with_style(style).with_finish(ProgressFinish::AndClear);
        Self { bar, since: Instant::now(), transfer }
    }
}

fn text(transfer: Transfer, elapsed: Duration) -> String {
    match transfer {
        Transfer::State { rows } => {
            format!("receiving the state: {} rows, {}/s", HumanCount(rows), rate(rows, elapsed))
        }
        Transfer::Commits { began, position, head, changes } => format!(
            "catching up: revision {} of {}, {}/s; {} changes",
            HumanCount(position),
            HumanCount(head.max(position)),
            rate(position.saturating_sub(began), elapsed),
            HumanCount(changes)
        ),
    }
}

/// How many a second.
fn rate(count: u64, elapsed: Duration) -> HumanCount {
    HumanCount((count as f64 / elapsed.as_secs_f64().max(0.001)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_position_and_rate() {
        let two_seconds = Duration::from_secs(2);
        assert_eq!(text(Transfer::State { rows: 12_400 }, two_seconds), "receiving the state: 12,400 rows, 6,200/s");
        let commits = Transfer::Commits { began: 1_000, position: 3_000, head: 9_999, changes: 70_000 };
        assert_eq!(text(commits, two_seconds), "catching up: revision 3,000 of 9,999, 1,000/s; 70,000 changes");
        // The position may pass the head that the server named, and no time may have passed.
        let passed = Transfer::Commits { began: 5, position: 7, head: 6, changes: 0 };
        assert!(text(passed, Duration::ZERO).starts_with("catching up: revision 7 of 7, "));
    }

    #[test]
    fn without_a_terminal_there_is_no_line() {
        let mut unseen = CatchUpProgress { visible: false, line: None };
        unseen.record(&FollowEvent::Lag(Lag { state: LagState::CatchingUp.into(), head: 9 }), 1);
        assert!(unseen.line.is_none());
        assert_eq!(unseen.above(|| 7), 7);
    }

    #[test]
    fn the_line_is_there_while_the_stream_is_behind_and_removed_when_it_is_live() {
        let mut seen = CatchUpProgress { visible: true, line: None };
        seen.record(&FollowEvent::Rows(Vec::new()), 0);
        assert!(matches!(seen.line, Some(ProgressLine { transfer: Transfer::State { rows: 0 }, .. })));
        seen.record(&FollowEvent::StateComplete(crate::proto::SnapshotEnd::default()), 4);
        assert!(seen.line.is_none());
        seen.record(&FollowEvent::Lag(Lag { state: LagState::CatchingUp.into(), head: 9 }), 4);
        seen.record(&FollowEvent::Progress(8), 8);
        let transfer = seen.line.as_ref().map(|line| line.transfer);
        assert!(
            matches!(transfer, Some(Transfer::Commits { began: 4, position: 8, head: 9, changes: 0 })),
            "{transfer:?}"
        );
        seen.record(&FollowEvent::Lag(Lag { state: LagState::Live.into(), head: 9 }), 9);
        assert!(seen.line.is_none());
        // A live stream that is one revision behind shows nothing.
        seen.record(&FollowEvent::Progress(10), 10);
        assert!(seen.line.is_none());
    }
}
