//! Which source answers: named, versioned, never silent.
//!
//! Invariant: figures of different sources are put in order, never mixed.

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
        value::Figure,
    },
    store::catalog::Catalog,
};

/// A selection policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The source of least precedence number, then the newest release that published the figure, then id order.
    Default1,
    /// The newest release that published the figure, be it again, then the least precedence number, then id order.
    Newest1,
}

impl Policy {
    /// The names there are.
    pub const NAMES: [&str; 2] = ["default@1", "newest@1"];

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
        figures.sort_by_cached_key(|figure| {
            let last_released = figure.last_released.unwrap_or(figure.version.released);
            (self.preference(&figure.series, &figure.version, last_released, catalog, at), figure.series.clone())
        });
    }

    /// The index of the figure that answers among those of one key.
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
        row: &FigureVersion,
        last_released: Date,
        catalog: &Catalog,
        at: Revision,
    ) -> Preference {
        let source = catalog.source(series.source.as_str(), at);
        let precedence = i64::from(source.map_or(u32::MAX, |source| source.precedence));
        let newest_first = -i64::from(last_released.days());
        Preference {
            missing: row.value().is_none_or(|value| matches!(value.figure, Figure::Missing(_))),
            criteria: match self {
                Self::Default1 => [precedence, newest_first],
                Self::Newest1 => [newest_first, precedence],
            },
        }
    }
}

/// How a figure stands to others of its key under a policy: the least answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    missing: bool,
    criteria: [i64; 2],
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
            numbers.extend(figure.version.value().and_then(crate::model::value::Value::comparable));
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
