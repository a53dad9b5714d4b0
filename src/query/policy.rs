//! Which source answers: named, versioned, never silent.
//!
//! Invariant: figures of different sources are put in order, never mixed.

use std::cmp::{Ordering, Reverse};

use super::{QueryError, figures::Observation};
use crate::{
    model::{id::Revision, value::Figure},
    store::catalog::Catalog,
};

/// A selection policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The source of least precedence number, then the newest release, then id order.
    Default1,
    /// The newest release, then the least precedence number, then id order.
    Newest1,
}

impl Policy {
    /// By name; empty means the default.
    pub fn named(name: &str) -> Result<Self, QueryError> {
        match name {
            "" | "default@1" => Ok(Self::Default1),
            "newest@1" => Ok(Self::Newest1),
            other => Err(QueryError::NoPolicy(other.to_owned())),
        }
    }

    /// Its name and version.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default1 => "default@1",
            Self::Newest1 => "newest@1",
        }
    }

    /// Puts figures in order: the first answers. A missing value answers only if there is no number.
    pub fn sort(self, figures: &mut [Observation], catalog: &Catalog, at: Revision) {
        let precedence = |figure: &Observation| {
            catalog.source(figure.series.source.as_str(), at).map_or(u32::MAX, |source| source.precedence)
        };
        let missing =
            |figure: &Observation| figure.row.value().is_none_or(|value| matches!(value.figure, Figure::Missing(_)));
        figures.sort_by(|a, b| {
            let by_precedence = || precedence(a).cmp(&precedence(b));
            let by_release = || Reverse(a.row.released).cmp(&Reverse(b.row.released));
            let ordered = match self {
                Self::Default1 => by_precedence().then_with(by_release),
                Self::Newest1 => by_release().then_with(by_precedence),
            };
            let rest = || a.series.cmp(&b.series);
            missing(a).cmp(&missing(b)).then(ordered).then_with(rest)
        });
    }
}

/// How far figures disagree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disagreement {
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Figures compared.
    pub compared: u32,
    /// Bounds and missing values, left out.
    pub not_comparable: u32,
}

impl Disagreement {
    /// Of figures of several sources; `None` for fewer than two.
    pub fn among<'a>(figures: impl IntoIterator<Item = &'a Observation>) -> Option<Self> {
        let (mut all, mut numbers) = (0u32, Vec::new());
        for figure in figures {
            all += 1;
            numbers.extend(figure.row.value().and_then(crate::model::value::Value::comparable));
        }
        if all < 2 {
            return None;
        }
        let least = numbers.iter().copied().min_by(f64::total_cmp).unwrap_or_default();
        let most = numbers.iter().copied().max_by(f64::total_cmp).unwrap_or_default();
        let compared = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        Some(Self { min: least, max: most, compared, not_comparable: all - compared })
    }

    /// `max - min`.
    pub fn spread(&self) -> f64 {
        self.max - self.min
    }

    /// The spread as a part of the larger magnitude.
    pub fn relative_spread(&self) -> f64 {
        let scale = self.min.abs().max(self.max.abs());
        if scale.total_cmp(&0.0) == Ordering::Equal { 0.0 } else { self.spread() / scale }
    }
}
