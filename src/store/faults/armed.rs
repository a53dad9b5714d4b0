//! The faults of builds that can have them.
//!
//! Invariant: the environment is read once; a name that does not exist is an error, so that no test passes because of a
//! slip.

use std::{
    io,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{CrashPoint, FailPoint};

impl FailPoint {
    const ALL: [Self; 2] = [Self::Write, Self::Sync];

    fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Sync => "sync",
        }
    }
}

/// A fault that happens the Nth time that the process comes to a point.
#[derive(Debug)]
struct Trigger<P> {
    point: P,
    /// How many more times the process comes to the point, the time of the fault included.
    left: AtomicU64,
}

impl<P: PartialEq> Trigger<P> {
    fn fires_at(&self, point: P) -> bool {
        // Below zero the count wraps, and the fault does not happen again for 2^64 times.
        self.point == point && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[derive(Debug, Default)]
struct Faults {
    crash: Option<Trigger<CrashPoint>>,
    fail: Option<Trigger<FailPoint>>,
}

static FAULTS: OnceLock<Faults> = OnceLock::new();

/// Reads the environment, once.
///
/// # Errors
/// A variable names a fault that does not exist.
pub fn arm() -> io::Result<()> {
    if FAULTS.get().is_some() {
        return Ok(());
    }
    let crash_points = [&CrashPoint::LONG_COMMIT[..], &CrashPoint::MANY_SERIES, &CrashPoint::COMPACTION].concat();
    let faults = Faults {
        crash: trigger("ALMANAC_CRASH_AT", &crash_points, |point| point.name())?,
        fail: trigger("ALMANAC_FAIL_AT", &FailPoint::ALL, |point| point.name())?,
    };
    if faults.crash.is_some() || faults.fail.is_some() {
        tracing::warn!(?faults, "faults on purpose are armed");
    }
    FAULTS.get_or_init(|| faults);
    Ok(())
}

/// Aborts the process here if the environment asked for that.
pub fn crash_at(point: CrashPoint) {
    if FAULTS.get().and_then(|faults| faults.crash.as_ref()).is_some_and(|trigger| trigger.fires_at(point)) {
        // Nothing is flushed, no destructor runs.
        std::process::abort();
    }
}

/// Fails here, as a broken disk would, if the environment asked for that.
///
/// # Errors
/// The fault that was asked for.
pub fn fail_at(point: FailPoint) -> io::Result<()> {
    let trigger = FAULTS.get().and_then(|faults| faults.fail.as_ref());
    if trigger.is_some_and(|trigger| trigger.fires_at(point)) {
        return Err(io::Error::other(format!("a {} that fails on purpose", point.name())));
    }
    Ok(())
}

fn trigger<P: Copy>(variable: &str, points: &[P], name: impl Fn(P) -> &'static str) -> io::Result<Option<Trigger<P>>> {
    let Ok(text) = std::env::var(variable) else { return Ok(None) };
    let (asked, times) = text.split_once(':').unwrap_or((&text, "1"));
    let point = points.iter().find(|point| name(**point) == asked);
    match (point, times.parse()) {
        (Some(point), Ok(times @ 1..)) => Ok(Some(Trigger { point: *point, left: AtomicU64::new(times) })),
        _ => Err(io::Error::other(format!("{variable}={text} names no fault that can be injected"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_once_at_its_point() {
        let trigger = Trigger { point: FailPoint::Sync, left: AtomicU64::new(3) };
        assert!(!trigger.fires_at(FailPoint::Write));
        let fired: Vec<bool> = (0..6).map(|_| trigger.fires_at(FailPoint::Sync)).collect();
        assert_eq!(fired, [false, false, true, false, false, false]);
    }

    #[test]
    fn without_the_environment_nothing_happens() {
        for point in CrashPoint::LONG_COMMIT.into_iter().chain(CrashPoint::COMPACTION) {
            crash_at(point);
        }
        for point in FailPoint::ALL {
            fail_at(point).unwrap();
        }
    }
}
