//! Selection policies: which source answers if several have a figure. A policy has a name and a version, and every answer
//! names its policy.
//!
//! Invariant: a policy puts figures of different sources in order. It never computes one from them.

use std::cmp::Ordering;

use super::{
    QueryError,
    figures::{CurrentFigure, Observation},
};
use crate::{
    model::{
        id::Revision,
        series::{FigureVersion, SeriesKey},
        time::Date,
        value::{Figure, Value},
    },
    store::catalog::Catalog,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// First the source with the lowest precedence number; among equals the newest release that published the figure, also
    /// unchanged; then id order.
    Default1,
    /// First the newest release that published the figure, also unchanged; among equals the source with the lowest
    /// precedence number; then id order.
    Newest1,
}

impl Policy {
    pub const NAMES: [&str; 2] = [Self::Default1.name(), Self::Newest1.name()];

    /// The policy of a name; [`Policy::Default1`] for the empty one. [`QueryError::NoPolicy`] for any other.
    pub fn named(name: &str) -> Result<Self, QueryError> {
        if name.is_empty() {
            return Ok(Self::Default1);
        }
        let known = [Self::Default1, Self::Newest1].into_iter().find(|policy| policy.name() == name);
        known.ok_or_else(|| QueryError::NoPolicy(name.to_owned()))
    }

    /// The name with its version.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default1 => "default@1",
            Self::Newest1 => "newest@1",
        }
    }

    /// Sorts figures of one key. The first answers: one without a number only if no source has a number.
    pub fn sort(self, figures: &mut [Observation], catalog: &Catalog, at: Revision) {
        if figures.len() < 2 {
            return;
        }
        figures.sort_by_cached_key(|figure| {
            let last_released = figure.last_released.unwrap_or(figure.version.released);
            (self.preference(&figure.series, &figure.version, last_released, catalog, at), figure.series.clone())
        });
    }

    /// The index of the figure that answers, among figures of one key; `None` if there are no figures.
    pub fn choose(self, figures: &[(SeriesKey, CurrentFigure)], catalog: &Catalog, at: Revision) -> Option<usize> {
        let preferences = figures.iter().enumerate().map(|(index, (series, figure))| {
            let preference = self.preference(series, &figure.version, figure.last_released, catalog, at);
            (preference, series, index)
        });
        preferences.min().map(|(.., index)| index)
    }

    fn preference(
        self,
        series: &SeriesKey,
        version: &FigureVersion,
        last_released: Date,
        catalog: &Catalog,
        at: Revision,
    ) -> Preference {
        let source = catalog.source(series.source.as_str(), at);
        let precedence = i64::from(source.map_or(u32::MAX, |source| source.precedence));
        let newest_first = -i64::from(last_released.days());
        Preference {
            missing: version.value().is_none_or(|value| matches!(value.figure, Figure::Missing(_))),
            criteria: match self {
                Self::Default1 => [precedence, newest_first],
                Self::Newest1 => [newest_first, precedence],
            },
        }
    }
}

/// What a policy sorts figures of one key by. The least answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    missing: bool,
    criteria: [i64; 2],
}

/// How far figures of several sources lie apart, their multipliers applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disagreement {
    /// The smallest of the compared figures; 0 if none was.
    pub min: f64,
    /// The largest of the compared figures; 0 if none was.
    pub max: f64,
    /// How many figures were compared.
    pub compared: u32,
    /// How many were not: bounds, ranges and missing values.
    pub not_comparable: u32,
}

impl Disagreement {
    /// The disagreement among figures of one key; `None` for fewer than two.
    pub fn among<'a>(figures: impl IntoIterator<Item = &'a Observation>) -> Option<Self> {
        let mut all = 0u32;
        let mut numbers = Vec::new();
        for figure in figures {
            all += 1;
            numbers.extend(figure.version.value().and_then(Value::comparable));
        }
        if all < 2 {
            return None;
        }
        let min = numbers.iter().copied().min_by(f64::total_cmp).unwrap_or_default();
        let max = numbers.iter().copied().max_by(f64::total_cmp).unwrap_or_default();
        let compared = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        Some(Self { min, max, compared, not_comparable: all - compared })
    }

    /// `max - min`.
    pub fn spread(&self) -> f64 {
        self.max - self.min
    }

    /// The spread divided by the larger of the two magnitudes; 0 if both are 0.
    pub fn relative_spread(&self) -> f64 {
        let scale = self.min.abs().max(self.max.abs());
        if scale.total_cmp(&0.0) == Ordering::Equal { 0.0 } else { self.spread() / scale }
    }
}
