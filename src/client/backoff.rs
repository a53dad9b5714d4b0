//! How long to wait before coming back.

use std::{fmt, time::Duration};

const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(10);

/// Waits that double, each drawn evenly from zero to its bound ("full jitter"): clients of a server that went away come
/// back spread out.
pub(super) struct Backoff {
    failures: u32,
    draw: Box<dyn FnMut() -> f64 + Send>,
}

impl Backoff {
    /// Waits that are drawn so: evenly from 0 to 1.
    pub(super) fn drawn(draw: impl FnMut() -> f64 + Send + 'static) -> Self {
        Self { failures: 0, draw: Box::new(draw) }
    }

    /// Something came through: the next failure waits little again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(10)).min(MOST);
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

/// Evenly from 0 to 1. A machine without randomness waits the whole bound.
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
        assert!(backoff.next() <= FIRST);
    }
}
