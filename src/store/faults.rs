//! Faults on purpose, for tests of what happens then: crashes at named places, writes and flushes that fail.
//!
//! They are compiled in, so that what is tested is what is shipped, and do nothing unless the environment asks at start:
//! `ALMANAC_CRASH_AT=NAME[:N]` ends the process, as a power cut would, the Nth time it comes by that place;
//! `ALMANAC_FAIL_AT=write[:N]` or `sync[:N]` makes the Nth write or flush fail; the first flush is that of opening.
//!
//! Invariant: [`CrashPoint`] names every step between the first page of a commit and its answer, and every one of compaction.

use std::{
    io,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Places in the life of a commit, then those of compaction, each in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// A page was appended; it may still be held back in memory.
    PageAppended,
    /// Bundles of pages were written, not flushed.
    PagesWritten,
    /// All is planned, nothing is sealed.
    Planned,
    /// All pages of a long commit are durable, the seal is not written.
    PagesDurable,
    /// The seal is written, not flushed.
    SealWritten,
    /// The commit is durable, the view knows nothing of it.
    Sealed,
    /// A page was applied to the view.
    PageApplied,
    /// All was applied but the mark that shows it.
    AppliedUnmarked,
    /// The view shows it; nobody was told.
    Applied,
    /// Subscribers were told, the writer was not answered.
    Published,
    /// Compaction wrote the new floor, not flushed.
    FloorWritten,
    /// The new floor is durable, nothing below it is removed.
    FloorDurable,
    /// Some of the pages below the floor were removed.
    PagesDropped,
}

impl CrashPoint {
    /// Those of compaction, in order.
    pub const COMPACTION: [Self; 3] = [Self::FloorWritten, Self::FloorDurable, Self::PagesDropped];

    /// Those of a commit, in order.
    pub const COMMIT: [Self; 10] = [
        Self::PageAppended,
        Self::PagesWritten,
        Self::Planned,
        Self::PagesDurable,
        Self::SealWritten,
        Self::Sealed,
        Self::PageApplied,
        Self::AppliedUnmarked,
        Self::Applied,
        Self::Published,
    ];

    /// Its name in the environment.
    pub fn name(self) -> &'static str {
        match self {
            Self::PageAppended => "page-appended",
            Self::PagesWritten => "pages-written",
            Self::Planned => "planned",
            Self::PagesDurable => "pages-durable",
            Self::SealWritten => "seal-written",
            Self::Sealed => "sealed",
            Self::PageApplied => "page-applied",
            Self::AppliedUnmarked => "applied-unmarked",
            Self::Applied => "applied",
            Self::Published => "published",
            Self::FloorWritten => "floor-written",
            Self::FloorDurable => "floor-durable",
            Self::PagesDropped => "pages-dropped",
        }
    }
}

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailPoint {
    /// Writing a batch.
    Write,
    /// Flushing.
    Sync,
}

impl FailPoint {
    const ALL: [Self; 2] = [Self::Write, Self::Sync];

    fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Sync => "sync",
        }
    }
}

/// Something that happens the nth time.
#[derive(Debug)]
struct Due<P> {
    point: P,
    /// How often it still passes by, counting the time it happens.
    left: AtomicU64,
}

impl<P: PartialEq> Due<P> {
    fn now(&self, point: P) -> bool {
        // Below zero it wraps, and is not due for 2^64 times.
        self.point == point && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[derive(Debug, Default)]
struct Faults {
    crash: Option<Due<CrashPoint>>,
    fail: Option<Due<FailPoint>>,
}

static FAULTS: OnceLock<Faults> = OnceLock::new();

/// Reads the environment, once. A fault that does not exist is an error: a test must not pass because of a slip.
pub fn arm() -> io::Result<()> {
    if FAULTS.get().is_some() {
        return Ok(());
    }
    let places = [&CrashPoint::COMMIT[..], &CrashPoint::COMPACTION].concat();
    let faults = Faults {
        crash: due("ALMANAC_CRASH_AT", &places, |point| point.name())?,
        fail: due("ALMANAC_FAIL_AT", &FailPoint::ALL, |point| point.name())?,
    };
    if faults.crash.is_some() || faults.fail.is_some() {
        tracing::warn!(?faults, "faults on purpose are armed");
    }
    FAULTS.get_or_init(|| faults);
    Ok(())
}

/// Ends the process here if that was asked for.
pub fn crash_at(point: CrashPoint) {
    if FAULTS.get().and_then(|faults| faults.crash.as_ref()).is_some_and(|due| due.now(point)) {
        // Nothing is flushed, no destructor runs.
        std::process::abort();
    }
}

/// Fails here if that was asked for, as a broken disk would.
pub fn fail_at(point: FailPoint) -> io::Result<()> {
    let due = FAULTS.get().and_then(|faults| faults.fail.as_ref());
    if due.is_some_and(|due| due.now(point)) {
        return Err(io::Error::other(format!("a {} that fails on purpose", point.name())));
    }
    Ok(())
}

fn due<P: Copy>(variable: &str, points: &[P], name: impl Fn(P) -> &'static str) -> io::Result<Option<Due<P>>> {
    let Ok(asked) = std::env::var(variable) else { return Ok(None) };
    let (wanted, times) = asked.split_once(':').unwrap_or((&asked, "1"));
    let point = points.iter().find(|point| name(**point) == wanted);
    match (point, times.parse()) {
        (Some(point), Ok(times @ 1..)) => Ok(Some(Due { point: *point, left: AtomicU64::new(times) })),
        _ => Err(io::Error::other(format!("{variable}={asked} names nothing that can be made to happen"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_once_at_its_place() {
        let due = Due { point: FailPoint::Sync, left: AtomicU64::new(3) };
        assert!(!due.now(FailPoint::Write));
        let happened: Vec<bool> = (0..6).map(|_| due.now(FailPoint::Sync)).collect();
        assert_eq!(happened, [false, false, true, false, false, false]);
        assert!(crash_at_is_inert());
    }

    fn crash_at_is_inert() -> bool {
        CrashPoint::COMMIT.into_iter().chain(CrashPoint::COMPACTION).for_each(crash_at);
        FailPoint::ALL.into_iter().all(|point| fail_at(point).is_ok())
    }
}
