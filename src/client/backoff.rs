//! How long to wait before a reconnection.

use std::{fmt, time::Duration};

/// Bound of the first wait.
const BOUND_MIN: Duration = Duration::from_millis(100);
/// Bound of every wait.
const BOUND_MAX: Duration = Duration::from_secs(10);

/// Waits whose bound doubles with each failure. Each wait is drawn evenly from zero to its bound ("full jitter"), so the
/// clients of a restarted server do not all return at once.
pub(super) struct Backoff {
    failures: u32,
    draw: Box<dyn FnMut() -> f64 + Send>,
}

impl Backoff {
    /// Draws waits with `draw`, which returns numbers evenly from 0 to 1.
    pub(super) fn drawn(draw: impl FnMut() -> f64 + Send + 'static) -> Self {
        Self { failures: 0, draw: Box::new(draw) }
    }

    /// Resets the bound, after a message came.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        let bound = BOUND_MIN.saturating_mul(1 << self.failures.min(10)).min(BOUND_MAX);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64((self.draw)().clamp(0.0, 1.0))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::drawn(fraction)
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff").field("failures", &self.failures).finish_non_exhaustive()
    }
}

/// A random number, evenly from 0 to 1. Without randomness of the system it is 1: the whole bound.
fn fraction() -> f64 {
    getrandom::u32().map_or(1.0, |drawn| f64::from(drawn) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_within_doubling_bounds() {
        let mut backoff = Backoff::default();
        for bound in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
            assert!(backoff.next() <= Duration::from_millis(bound));
        }
        backoff.reset();
        assert!(backoff.next() <= BOUND_MIN);
    }
}
