//! Versions of figures on three time axes, and which of them answers.
//!
//! A series is every period of one (indicator, entity, source, dimensions). Each of its [`Row`]s is one version of one
//! period: what the producer said on a release date, as Almanac came to know it at a revision. Rows are never changed.
//!
//! Invariant (as-of): among the rows of one period that a [`Horizon`] admits, the one of the newest release answers; of
//! one release the newest revision. So vintages may be loaded in any order, and one key never has two answers.

use serde::{Deserialize, Serialize};

use super::{
    id::{EntityId, IndicatorId, Revision, SourceId},
    period::Period,
    time::Date,
    value::Value,
};

/// Further dimensions of a series, sorted by id, each once: `SEX=F;AGE=Y15T24`. Empty for most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Dimensions(String);

/// Most dimensions of a series.
pub const DIMENSIONS_MAX: usize = 16;

/// Why dimensions are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DimensionsError {
    /// An id or code is empty, long, or holds a character that is not allowed.
    #[error("`{0}` is not a dimension id or code: 1 to 64 printable ASCII characters without blanks, `=` and `;`")]
    IllFormed(String),
    /// An id comes twice.
    #[error("dimension `{0}` comes twice")]
    Twice(String),
    /// Too many.
    #[error("more than {DIMENSIONS_MAX} dimensions")]
    TooMany,
}

impl Dimensions {
    /// Takes (id, code) pairs in any order.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, DimensionsError> {
        let well_formed = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=' && byte != b';')
        };
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        if pairs.len() > DIMENSIONS_MAX {
            return Err(DimensionsError::TooMany);
        }
        pairs.sort_unstable();
        let mut text = String::new();
        for (index, (id, code)) in pairs.iter().enumerate() {
            if let Some(bad) = [id, code].into_iter().find(|part| !well_formed(part)) {
                return Err(DimensionsError::IllFormed(bad.chars().take(64).collect()));
            }
            if index > 0 && pairs[index - 1].0 == *id {
                return Err(DimensionsError::Twice((*id).to_owned()));
            }
            if index > 0 {
                text.push(';');
            }
            text.push_str(id);
            text.push('=');
            text.push_str(code);
        }
        Ok(Self(text))
    }

    /// From the canonical text, as stored.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The (id, code) pairs in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split(';').filter_map(|pair| pair.split_once('='))
    }
}

/// Names a series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// What is measured.
    pub indicator: IndicatorId,
    /// What it is measured of.
    pub entity: EntityId,
    /// Who says so.
    pub source: SourceId,
    /// Further dimensions.
    pub dimensions: Dimensions,
}

/// One version of one period. Sorted by (period, revision, release date), which names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is about.
    pub period: Period,
    /// The commit that brought it.
    pub revision: Revision,
    /// When the producer published it.
    pub released: Date,
    /// What it says; `None`: the producer publishes no figure here.
    pub value: Option<Value>,
}

impl Row {
    /// What names the version within its series.
    pub fn name(&self) -> (Period, Revision, Date) {
        (self.period, self.revision, self.released)
    }
}

/// How far an answer sees on the two axes of knowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// Nothing recorded above this revision.
    pub revision: Revision,
    /// Nothing released after this day.
    pub released: Date,
}

impl Horizon {
    /// All that a revision held.
    pub fn at(revision: Revision) -> Self {
        Self { revision, released: Date::MAX }
    }

    /// Whether a version lies within.
    pub fn admits(self, row: &Row) -> bool {
        row.revision <= self.revision && row.released <= self.released
    }
}

/// The version of one period that answers, of rows of that period in any order. `None`: there is none, or it says that
/// the producer publishes no figure.
pub fn state_at(rows: &[Row], horizon: Horizon) -> Option<&Row> {
    let newest = newest_at(rows, horizon)?;
    newest.value.as_ref()?;
    // A later release that only confirmed the figure does not make it newer: answer with the release that first said so.
    let mut first = newest;
    let mut admitted: Vec<&Row> = rows.iter().filter(|row| horizon.admits(row)).collect();
    admitted.sort_unstable_by_key(|row| (row.released, row.revision));
    for row in admitted.into_iter().rev() {
        if row.value != newest.value {
            break;
        }
        first = row;
    }
    Some(first)
}

/// The version of the newest release that a horizon admits, confirmations and withdrawals included.
pub fn newest_at(rows: &[Row], horizon: Horizon) -> Option<&Row> {
    rows.iter().filter(|row| horizon.admits(row)).max_by_key(|row| (row.released, row.revision))
}

/// Splits rows sorted by period into one slice per period.
pub fn by_period(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    rows.chunk_by(|a, b| a.period == b.period)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Number;

    fn row(revision: u64, released: &str, text: Option<&str>) -> Row {
        Row {
            period: Period::parse("2015").unwrap(),
            revision: Revision(revision),
            released: Date::parse(released).unwrap(),
            value: text.map(|text| Value::number(Number::parse(text).unwrap())),
        }
    }

    #[test]
    fn the_newest_release_answers_whatever_the_order_of_loading() {
        let forward = [row(1, "2018-08-01", Some("2.06558")), row(2, "2025-12-17", Some("2.05701"))];
        let backward = [row(2, "2018-08-01", Some("2.06558")), row(1, "2025-12-17", Some("2.05701"))];
        for rows in [forward, backward] {
            let at = |day: &str| {
                let horizon = Horizon { revision: Revision::MAX, released: Date::parse(day).unwrap() };
                state_at(&rows, horizon).map(|row| row.released.to_string())
            };
            assert_eq!(at("2018-07-31"), None);
            assert_eq!(at("2020-01-01").as_deref(), Some("2018-08-01"));
            assert_eq!(at("2026-01-01").as_deref(), Some("2025-12-17"));
        }
    }

    #[test]
    fn a_confirmation_does_not_make_a_figure_newer_and_a_withdrawal_ends_it() {
        let rows = [row(1, "2018-01-01", Some("1")), row(2, "2019-01-01", Some("1")), row(3, "2020-01-01", None)];
        let at = |revision| state_at(&rows, Horizon::at(Revision(revision))).map(|row| row.revision);
        assert_eq!(at(2), Some(Revision(1)));
        assert_eq!(at(3), None);
    }

    #[test]
    fn dimensions_have_one_form() {
        let dimensions = Dimensions::new([("SEX", "F"), ("AGE", "Y")]).unwrap();
        assert_eq!(dimensions.as_str(), "AGE=Y;SEX=F");
        assert_eq!(dimensions.pairs().collect::<Vec<_>>(), [("AGE", "Y"), ("SEX", "F")]);
        assert_eq!(Dimensions::default().pairs().count(), 0);
        assert!(Dimensions::new([("A", "1"), ("A", "2")]).is_err());
        assert!(Dimensions::new([("A=", "1")]).is_err());
    }
}
