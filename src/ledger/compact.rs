//! Compaction: the ledger drops the pages of old commits, if the operator asked for it.
//!
//! Replay then begins at a **floor**. Queries still answer at any point of history: the view keeps all versions, and the
//! ledger the headers of all commits. What goes is the list of changes of the commits below the floor.
//!
//! Invariants: the floor is durable before anything below it is removed, and so is what the view holds of those commits. The
//! floor only rises, and never above head. After a crash between two steps the next start goes on removing: nobody reads the
//! pages that are left.

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use super::Ledger;
use crate::{
    model::{id::Revision, time::Instant},
    store::error::Result,
};

/// Compaction looks for work when no write came for so long.
const IDLE: Duration = Duration::from_millis(100);
/// After so many writes compaction works although there was no such pause.
const WRITES_BETWEEN_MAX: u32 = 32;
/// When nothing is left to do, compaction looks again after so long: commits grow older without a write.
const NEXT_LOOK: Duration = Duration::from_secs(600);
const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// Which commits keep their pages: those that either rule keeps. Without a rule: all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retention {
    /// So many of the newest.
    pub revisions: Option<NonZeroU64>,
    /// Those recorded in so many days past.
    pub days: Option<NonZeroU32>,
}

impl Retention {
    /// Where the floor should be. It is never above head, so head is always kept.
    fn floor(&self, ledger: &Ledger, now: Instant) -> Result<Revision> {
        let head = ledger.head();
        let mut rules = Vec::new();
        if let Some(revisions) = self.revisions {
            rules.push(Revision(head.0.saturating_sub(revisions.get() - 1)));
        }
        if let Some(days) = self.days {
            let age = i64::from(days.get()).saturating_mul(DAY_MICROSECONDS);
            rules.push(first_recorded(ledger, Instant(now.0.saturating_sub(age)))?);
        }
        let floor = rules.into_iter().min().unwrap_or(ledger.floor());
        Ok(floor.min(head).max(ledger.floor()))
    }
}

/// The first commit from the floor on that was recorded at an instant or later; head if there is none.
fn first_recorded(ledger: &Ledger, since: Instant) -> Result<Revision> {
    let mut low = ledger.floor();
    let mut high = ledger.head();
    while low < high {
        let middle = Revision(low.0 + (high.0 - low.0) / 2);
        match ledger.header(middle)? {
            Some(header) if header.commit.recorded < since => low = middle.next(),
            _ => high = middle,
        }
    }
    Ok(high)
}

/// The compaction of one ledger. The writer calls it between commits.
#[derive(Debug)]
pub struct Compaction {
    retention: Retention,
    /// There may be pages below the floor. At start there may be some that a crash left.
    dropping: bool,
    pause: Duration,
    /// Writes since compaction last worked.
    writes: u32,
}

impl Compaction {
    pub fn new(retention: Retention) -> Self {
        Self { retention, dropping: true, pause: IDLE, writes: 0 }
    }

    /// A compaction that does nothing until a restart.
    pub fn stopped() -> Self {
        Self { retention: Retention::default(), dropping: false, pause: NEXT_LOOK, writes: 0 }
    }

    /// How long the writer waits for a command before it calls [`Compaction::run`].
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Notes a write. `true`: [`Compaction::run`] is due although writes keep coming.
    pub fn note_write(&mut self) -> bool {
        self.pause = IDLE;
        self.writes += 1;
        self.writes >= WRITES_BETWEEN_MAX
    }

    /// Works step by step until nothing is left to do, or `has_time` says no; at least one step. The view must have every
    /// commit of the ledger.
    pub fn run(&mut self, ledger: &Ledger, now: Instant, has_time: impl Fn() -> bool) -> Result<()> {
        self.writes = 0;
        while self.step(ledger, now)? {
            if !has_time() {
                // The rest follows as soon as no write waits.
                self.pause = Duration::ZERO;
                return Ok(());
            }
        }
        self.pause = NEXT_LOOK;
        Ok(())
    }

    /// One step. `true`: there may be more to do.
    fn step(&mut self, ledger: &Ledger, now: Instant) -> Result<bool> {
        if self.dropping {
            self.dropping = ledger.drop_below_floor()?;
            return Ok(true);
        }
        let floor = self.retention.floor(ledger, now)?;
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
    use std::sync::Arc;

    use super::*;
    use crate::{
        ledger::{
            log::{Draft, Totals},
            testing::commit,
        },
        model::change::Commit,
        store::{Engine, memory::MemoryDisk},
    };

    /// Commits of one page each, recorded a day apart; the first on day 1.
    fn ledger(commits: u64) -> Ledger {
        let ledger = Ledger::open(Arc::new(Engine::in_memory(MemoryDisk::default()))).unwrap();
        for revision in 1..=commits {
            ledger.append(0, vec![revision as u8]).unwrap();
            let commit = Commit { recorded: day(revision as i64), ..commit(revision) };
            ledger.seal(&Draft { commit, pages: 1, changes: 0, totals: Totals::default() }, None).unwrap();
        }
        ledger
    }

    fn day(day: i64) -> Instant {
        Instant(day * DAY_MICROSECONDS)
    }

    /// Zero: no such rule.
    fn retention(revisions: u64, days: u32) -> Retention {
        Retention { revisions: NonZeroU64::new(revisions), days: NonZeroU32::new(days) }
    }

    /// Revisions and days kept, the day today, the floor; of ten commits.
    const FLOORS: [(u64, u32, i64, u64); 11] = [
        (0, 0, 10, 1),
        (1, 0, 10, 10),
        (3, 0, 10, 8),
        (10, 0, 10, 1),
        (u64::MAX, 0, 10, 1),
        (0, 1, 10, 9),
        (0, 9, 10, 1),
        (0, 1, 1_000, 10),
        (0, u32::MAX, 10, 1),
        (3, 1, 10, 8),
        (1, 4, 10, 6),
    ];

    #[test]
    fn the_floor_keeps_what_either_rule_keeps_and_never_rises_above_head() {
        let ten = ledger(10);
        for (revisions, days, today, expected) in FLOORS {
            let retention = retention(revisions, days);
            assert_eq!(retention.floor(&ten, day(today)).unwrap(), Revision(expected), "{retention:?} on day {today}");
        }
        assert_eq!(retention(1, 0).floor(&ledger(0), day(1)).unwrap(), Revision(1));
    }

    #[test]
    fn the_floor_only_rises() {
        let ten = ledger(10);
        ten.raise_floor(Revision(9)).unwrap();
        assert_eq!(retention(5, 0).floor(&ten, day(10)).unwrap(), Revision(9));
    }

    #[test]
    fn compaction_drops_the_pages_below_the_floor_and_nothing_else() {
        let ledger = ledger(10);
        let mut compaction = Compaction::new(retention(4, 0));
        while compaction.pause() != NEXT_LOOK {
            compaction.run(&ledger, day(10), || false).unwrap();
        }
        assert_eq!(ledger.floor(), Revision(7));
        for revision in 1..=10 {
            let page = ledger.read(Revision(revision), 0).unwrap();
            assert_eq!(page.is_some(), revision >= 7);
            assert!(ledger.header(Revision(revision)).unwrap().is_some());
        }
    }

    #[test]
    fn compaction_is_due_after_many_writes_without_a_pause() {
        let mut compaction = Compaction::new(Retention::default());
        for _ in 1..WRITES_BETWEEN_MAX {
            assert!(!compaction.note_write());
        }
        assert!(compaction.note_write());
        assert_eq!(compaction.pause(), IDLE);
    }
}
