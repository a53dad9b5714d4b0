//! Medians and percentiles, and how a figure stands to its budget.

use std::time::Duration;

/// The middle one of some figures, the lower of two; 0 if there are none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// The median of the ratios of rounds. Rounds are measured in turns, so other load on the machine slows both figures of a
/// round alike.
pub(crate) fn median_ratio(figures: &[f64], peers: &[f64]) -> f64 {
    let ratios: Vec<f64> = figures.iter().zip(peers).map(|(figure, peer)| figure / peer).collect();
    median(&ratios)
}

/// A percentile of sorted times, in milliseconds; 0 if there are none.
pub(crate) fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let position = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(position).map_or(0.0, |took| milliseconds(*took))
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What section 11 of the design allows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Budget {
    AtLeast(f64),
    AtMost(f64),
}

impl Budget {
    /// A figure with its budget, and whether it is met: `0.91 (≥ 0.85, met)`.
    pub(crate) fn judge(self, figure: f64) -> String {
        let (sign, bound, is_met) = match self {
            Self::AtLeast(bound) => ('≥', bound, figure >= bound),
            Self::AtMost(bound) => ('≤', bound, figure <= bound),
        };
        format!("{figure:.2} ({sign} {bound}, {})", if is_met { "met" } else { "MISSED" })
    }
}
