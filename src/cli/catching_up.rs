//! What a person who watches sees while the stream is behind: how far it came, on one line of standard error.
//!
//! Invariants: nothing of it goes anywhere but to a terminal, and nothing with `--json`. The line is gone once the stream is
//! live. What is shown meanwhile is shown above it.

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

/// Says how far a stream came that is behind.
#[derive(Debug)]
pub struct CatchingUp {
    /// Somebody can see it.
    wanted: bool,
    behind: Option<Behind>,
}

#[derive(Debug)]
struct Behind {
    line: ProgressBar,
    since: Instant,
    what: What,
}

/// What is being received.
#[derive(Debug, Clone, Copy)]
enum What {
    /// The state: rows so far.
    State { rows: u64 },
    /// Commits after a revision up to head, and their changes so far.
    Commits { began: u64, position: u64, head: u64, changes: u64 },
}

impl CatchingUp {
    /// Says nothing yet.
    pub fn new(session: &Session) -> Self {
        Self { wanted: !session.json && std::io::stderr().is_terminal(), behind: None }
    }

    /// Takes note of an event that leaves the stream at this revision.
    pub fn saw(&mut self, event: &FollowEvent, position: u64) {
        if !self.wanted {
            return;
        }
        match event {
            FollowEvent::Rows(rows) => {
                let behind = self.behind.get_or_insert_with(|| Behind::new(What::State { rows: 0 }));
                if let What::State { rows: so_far } = &mut behind.what {
                    *so_far += rows.len() as u64;
                }
            }
            FollowEvent::Lag(lag) if lag.state() == LagState::CatchingUp => {
                let Lag { head, .. } = *lag;
                self.behind = Some(Behind::new(What::Commits { began: position, position, head, changes: 0 }));
            }
            FollowEvent::Changes(part) => self.came(position, part.changes.len() as u64),
            FollowEvent::Progress(revision) => self.came(*revision, 0),
            FollowEvent::Opened(_) => {}
            FollowEvent::Lag(_)
            | FollowEvent::StateComplete(_)
            | FollowEvent::StateDiscarded
            | FollowEvent::LicencesChanged { .. }
            | FollowEvent::Reconnecting { .. } => self.end(),
        }
        if let Some(behind) = &self.behind {
            behind.line.set_message(text(behind.what, behind.since.elapsed()));
        }
    }

    fn came(&mut self, revision: u64, count: u64) {
        if let Some(Behind { what: What::Commits { position, changes, .. }, .. }) = &mut self.behind {
            *position = revision;
            *changes += count;
        }
    }

    /// Shows something above the line.
    pub fn above<T>(&self, show: impl FnOnce() -> T) -> T {
        match &self.behind {
            Some(behind) => behind.line.suspend(show),
            None => show(),
        }
    }

    /// Takes the line away.
    pub fn end(&mut self) {
        self.behind = None;
    }
}

impl Behind {
    fn new(what: What) -> Self {
        // Taken away when it is dropped. Without a template of its own there is nothing to see, which is no harm.
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let line = line.with_style(style).with_finish(ProgressFinish::AndClear);
        Self { line, since: Instant::now(), what }
    }
}

fn text(what: What, taken: Duration) -> String {
    let rate = |count: u64| HumanCount((count as f64 / taken.as_secs_f64().max(0.001)) as u64);
    match what {
        What::State { rows } => format!("receiving the state: {} rows, {}/s", HumanCount(rows), rate(rows)),
        What::Commits { began, position, head, changes } => format!(
            "catching up: revision {} of {}, {}/s; {} changes",
            HumanCount(position),
            HumanCount(head.max(position)),
            rate(position.saturating_sub(began)),
            HumanCount(changes)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_and_how_fast() {
        let second = Duration::from_secs(2);
        assert_eq!(text(What::State { rows: 12_400 }, second), "receiving the state: 12,400 rows, 6,200/s");
        let behind = What::Commits { began: 1_000, position: 3_000, head: 9_999, changes: 70_000 };
        assert_eq!(text(behind, second), "catching up: revision 3,000 of 9,999, 1,000/s; 70,000 changes");
        // Head of then may be passed, and nothing is said of no time.
        let passed = What::Commits { began: 5, position: 7, head: 6, changes: 0 };
        assert!(text(passed, Duration::ZERO).starts_with("catching up: revision 7 of 7, "));
    }

    #[test]
    fn unseen_it_keeps_nothing() {
        let mut unseen = CatchingUp { wanted: false, behind: None };
        unseen.saw(&FollowEvent::Lag(Lag { state: LagState::CatchingUp.into(), head: 9 }), 1);
        assert!(unseen.behind.is_none());
        assert_eq!(unseen.above(|| 7), 7);
    }

    #[test]
    fn it_is_there_while_the_stream_is_behind_and_gone_when_it_is_live() {
        let mut seen = CatchingUp { wanted: true, behind: None };
        seen.saw(&FollowEvent::Rows(Vec::new()), 0);
        assert!(matches!(seen.behind, Some(Behind { what: What::State { rows: 0 }, .. })));
        seen.saw(&FollowEvent::StateComplete(crate::proto::SnapshotEnd::default()), 4);
        assert!(seen.behind.is_none());
        seen.saw(&FollowEvent::Lag(Lag { state: LagState::CatchingUp.into(), head: 9 }), 4);
        seen.saw(&FollowEvent::Progress(8), 8);
        let behind = seen.behind.as_ref().map(|behind| behind.what);
        assert!(matches!(behind, Some(What::Commits { began: 4, position: 8, head: 9, changes: 0 })), "{behind:?}");
        seen.saw(&FollowEvent::Lag(Lag { state: LagState::Live.into(), head: 9 }), 9);
        assert!(seen.behind.is_none());
        // One behind is not behind: nothing is said of it.
        seen.saw(&FollowEvent::Progress(10), 10);
        assert!(seen.behind.is_none());
    }
}
