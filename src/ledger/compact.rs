//! Compaction: the pages of old commits are dropped, when the server was asked to.
//!
//! Replay then begins at a **floor**. What is needed to answer queries at any point of history stays: the view with all its
//! versions, and the headers of all commits. What goes is the list of changes of the commits below the floor.
//!
//! Invariants: the floor is durable before anything below it is removed, and with it everything the view was told of those
//! commits. It only rises, and never above head. A crash between two steps leaves pages that nobody reads any more; the
//! next start goes on removing them.

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use tokio::time::Instant as Moment;

use super::Ledger;
use crate::{
    model::{id::Revision, time::Instant},
    store::error::Result,
};

/// How long no write must have come before compaction looks what there is to do.
pub const IDLE: Duration = Duration::from_millis(100);
/// Writes after which it takes its turn although there was no such pause.
pub const WRITES_BETWEEN_MAX: u32 = 32;
/// How long a turn may take before the next write, plus one step.
const TURN: Duration = Duration::from_millis(20);
/// How long until it looks again when there was nothing to do: commits grow old by themselves.
const NEXT_LOOK: Duration = Duration::from_secs(600);
const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// Which commits keep their pages. Nothing asked for: all of them. Both: what either keeps.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keep {
    /// So many of the newest.
    pub revisions: Option<NonZeroU64>,
    /// Those recorded in so many days past.
    pub days: Option<NonZeroU32>,
}

impl Keep {
    /// Where the floor should be. Head is always kept.
    fn floor(&self, ledger: &dyn Ledger, now: Instant) -> Result<Revision> {
        let head = ledger.head();
        let by_count = self.revisions.map(|kept| Revision(head.0.saturating_sub(kept.get() - 1)));
        let by_age = self.days.map(|days| {
            let since = Instant(now.0.saturating_sub(i64::from(days.get()).saturating_mul(DAY_MICROSECONDS)));
            first_recorded(ledger, since)
        });
        let by_age = by_age.transpose()?;
        let floor = by_count.into_iter().chain(by_age).min().unwrap_or(ledger.floor());
        Ok(floor.min(head).max(ledger.floor()))
    }
}

/// The first commit from the floor on that was recorded at an instant or later; head if there is none.
fn first_recorded(ledger: &dyn Ledger, since: Instant) -> Result<Revision> {
    let (mut low, mut high) = (ledger.floor(), ledger.head());
    while low < high {
        let middle = Revision(low.0 + (high.0 - low.0) / 2);
        match ledger.header(middle)? {
            Some(header) if header.commit.recorded < since => low = middle.next(),
            _ => high = middle,
        }
    }
    Ok(high)
}

/// What is left to do. Belongs to the writer, which calls it between commits.
#[derive(Debug)]
pub struct Compaction {
    keep: Keep,
    /// There may be pages below the floor; at start, those that a crash left.
    dropping: bool,
    /// How long to wait for a write before the next turn.
    pause: Duration,
    writes: u32,
}

impl Compaction {
    /// Compaction to what is to be kept.
    pub fn new(keep: Keep) -> Self {
        Self { keep, dropping: true, pause: IDLE, writes: 0 }
    }

    /// One that does nothing until a restart.
    pub fn stopped() -> Self {
        Self { keep: Keep::default(), dropping: false, pause: NEXT_LOOK, writes: 0 }
    }

    /// How long to wait for a write before the next turn.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Notes a write. Says whether a turn is due although no pause came.
    pub fn wrote(&mut self) -> bool {
        self.pause = IDLE;
        self.writes += 1;
        self.writes >= WRITES_BETWEEN_MAX
    }

    /// Does a bounded part of what is to do. The ledger must be applied to the view.
    pub fn turn(&mut self, ledger: &dyn Ledger, now: Instant) -> Result<()> {
        self.writes = 0;
        let started = Moment::now();
        while self.step(ledger, now)? {
            if started.elapsed() >= TURN {
                // The rest as soon as no write waits.
                self.pause = Duration::ZERO;
                return Ok(());
            }
        }
        self.pause = NEXT_LOOK;
        Ok(())
    }

    /// One step. Says whether there may be more to do.
    fn step(&mut self, ledger: &dyn Ledger, now: Instant) -> Result<bool> {
        if self.dropping {
            self.dropping = ledger.drop_below_floor()?;
            return Ok(true);
        }
        let floor = self.keep.floor(ledger, now)?;
        if floor <= ledger.floor() {
            return Ok(false);
        }
        ledger.raise_floor(floor)?;
        tracing::info!(%floor, "commits before the floor can no longer be replayed");
        self.dropping = true;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::log::{Draft, MemoryLedger, Totals},
        model::change::{Cause, Commit, Counts},
    };

    /// Commits of one page each, recorded a day apart; the first on day 1.
    fn ledger(commits: u64) -> MemoryLedger {
        let ledger = MemoryLedger::default();
        for revision in 1..=commits {
            ledger.append(0, vec![revision as u8]).unwrap();
            let commit = Commit {
                revision: Revision(revision),
                recorded: Instant(revision as i64 * DAY_MICROSECONDS),
                author: "test".into(),
                cause: Cause::FirstRelease,
                note: String::new(),
                released: None,
                document_sha256: String::new(),
                counts: Counts::default(),
                request_id: None,
            };
            ledger.seal(&Draft { commit, pages: 1, changes: 0, totals: Totals::default() }, None).unwrap();
        }
        ledger
    }

    fn day(day: i64) -> Instant {
        Instant(day * DAY_MICROSECONDS)
    }

    fn keep(revisions: u64, days: u32) -> Keep {
        Keep { revisions: NonZeroU64::new(revisions), days: NonZeroU32::new(days) }
    }

    #[test]
    fn the_floor_is_where_both_rules_put_it_and_never_above_head() {
        let ten = ledger(10);
        for (keep, now, expected) in [
            (keep(0, 0), 10, 1),
            (keep(1, 0), 10, 10),
            (keep(3, 0), 10, 8),
            (keep(10, 0), 10, 1),
            (keep(u64::MAX, 0), 10, 1),
            (keep(0, 1), 10, 9),
            (keep(0, 9), 10, 1),
            (keep(0, 1), 1_000, 10),
            (keep(0, u32::MAX), 10, 1),
            (keep(3, 1), 10, 8),
            (keep(1, 4), 10, 6),
        ] {
            assert_eq!(keep.floor(&ten, day(now)).unwrap(), Revision(expected), "{keep:?} on day {now}");
        }
        assert_eq!(keep(1, 0).floor(&ledger(0), day(1)).unwrap(), Revision(1));
        ten.raise_floor(Revision(9)).unwrap();
        assert_eq!(keep(5, 0).floor(&ten, day(10)).unwrap(), Revision(9), "the floor only rises");
    }

    #[test]
    fn a_turn_drops_the_pages_below_the_floor_and_nothing_else() {
        let ledger = ledger(10);
        let mut compaction = Compaction::new(keep(4, 0));
        while compaction.pause() != NEXT_LOOK {
            compaction.turn(&ledger, day(10)).unwrap();
        }
        assert_eq!(ledger.floor(), Revision(7));
        for revision in 1..=10 {
            let page = ledger.read(Revision(revision), 0).unwrap();
            assert_eq!(page.is_some(), revision >= 7);
            assert!(ledger.header(Revision(revision)).unwrap().is_some());
        }
        assert!((1..WRITES_BETWEEN_MAX).all(|_| !compaction.wrote()) && compaction.wrote());
        assert_eq!(compaction.pause(), IDLE);
    }
}
