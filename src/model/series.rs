//! Versions of figures on three time axes, and which of them answers.
//!
//! A series is every period of one (indicator, entity, source, dimensions). Each of its [`FigureVersion`]s is one version of one
//! period: what the producer said on a release date, as Almanac came to know it at a revision. Rows are never changed; a
//! later row can retract what was said for its release date.
//!
//! Invariant (as-of): among the rows of one period that a [`Horizon`] admits, the newest revision speaks for each release
//! date; retracted release dates are skipped; the newest of the others answers. So vintages may be loaded in any order, and
//! one key never has two answers.

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

    /// Whether they have, for each id of a filter, one of its codes.
    pub fn has(&self, filter: &[(String, String)]) -> bool {
        filter.iter().all(|(id, _)| {
            let code = self.pairs().find(|(known, _)| known == id).map(|(_, code)| code);
            filter.iter().any(|(known, wanted)| known == id && Some(wanted.as_str()) == code)
        })
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
pub struct FigureVersion {
    /// What it is about.
    pub period: Period,
    /// The commit that brought it.
    pub revision: Revision,
    /// When the producer published it.
    pub released: Date,
    /// What it says.
    pub statement: Statement,
}

/// What a version says about its period as of its release date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// The producer publishes this figure.
    Figure(Value),
    /// The producer publishes no figure here.
    NoFigure,
    /// What earlier revisions say for the same period and release date counts as never said.
    Retracted,
}

impl Statement {
    /// The figure, if it states one.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Figure(value) => Some(value),
            Self::NoFigure | Self::Retracted => None,
        }
    }
}

/// What a producer states: a figure, or that there is none.
impl From<Option<Value>> for Statement {
    fn from(value: Option<Value>) -> Self {
        value.map_or(Self::NoFigure, Self::Figure)
    }
}

impl FigureVersion {
    /// The figure, if it states one.
    pub fn value(&self) -> Option<&Value> {
        self.statement.value()
    }

    /// Whether it takes back what was said for its release date.
    pub fn is_retraction(&self) -> bool {
        self.statement == Statement::Retracted
    }

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
    pub fn admits(self, row: &FigureVersion) -> bool {
        row.revision <= self.revision && row.released <= self.released
    }
}

/// The version of one period that answers, of rows of that period in any order. `None`: there is none, or it says that
/// the producer publishes no figure.
///
/// A later release that only confirms a figure does not make it newer: the release that first said so answers.
pub fn state_at(rows: &[FigureVersion], horizon: Horizon) -> Option<&FigureVersion> {
    let mut releases = releases_at(rows, horizon);
    let mut first = releases.next().filter(|row| row.value().is_some())?;
    for earlier in releases {
        if earlier.statement != first.statement {
            break;
        }
        first = earlier;
    }
    Some(first)
}

/// The version of the newest release that a horizon admits, confirmations and withdrawals included; never a retraction.
pub fn newest_at(rows: &[FigureVersion], horizon: Horizon) -> Option<&FigureVersion> {
    releases_at(rows, horizon).next()
}

/// The version that speaks for each release date within a horizon, newest date first. Retracted dates are left out.
fn releases_at(rows: &[FigureVersion], horizon: Horizon) -> impl Iterator<Item = &FigureVersion> {
    let mut admitted: Vec<&FigureVersion> = rows.iter().filter(|row| horizon.admits(row)).collect();
    admitted.sort_unstable_by_key(|row| std::cmp::Reverse((row.released, row.revision)));
    admitted.dedup_by_key(|row| row.released);
    admitted.into_iter().filter(|row| !row.is_retraction())
}

/// Splits rows sorted by period into one slice per period.
pub fn by_period(rows: &[FigureVersion]) -> impl Iterator<Item = &[FigureVersion]> {
    rows.chunk_by(|a, b| a.period == b.period)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Number;

    fn row(revision: u64, released: &str, text: Option<&str>) -> FigureVersion {
        FigureVersion {
            period: Period::parse("2015").unwrap(),
            revision: Revision(revision),
            released: Date::parse(released).unwrap(),
            statement: text.map(|text| Value::number(Number::parse(text).unwrap())).into(),
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
    fn a_retracted_release_counts_as_never_said_until_it_is_said_again() {
        let retracted = FigureVersion { statement: Statement::Retracted, ..row(3, "2019-01-01", None) };
        let rows = [
            row(1, "2018-01-01", Some("1")),
            row(2, "2019-01-01", Some("2")),
            retracted,
            row(4, "2019-01-01", Some("3")),
        ];
        let at = |revision| state_at(&rows, Horizon::at(Revision(revision))).map(|row| row.revision.0);
        assert_eq!([1, 2, 3, 4].map(at), [Some(1), Some(2), Some(1), Some(4)]);
        let only = [row(1, "2019-01-01", Some("2")), FigureVersion { revision: Revision(2), ..rows[2].clone() }];
        assert_eq!(newest_at(&only, Horizon::at(Revision(2))), None);
    }

    /// One statement of the plain model: revision, release day, and what is said (0: retracted, 1: no figure, else a figure).
    type Said = (u64, i32, u8);

    fn row_of(&(revision, day, said): &Said) -> FigureVersion {
        let statement = match said {
            0 => Statement::Retracted,
            1 => Statement::NoFigure,
            figure => Statement::Figure(Value::number(Number::parse(&figure.to_string()).unwrap())),
        };
        FigureVersion {
            revision: Revision(revision),
            released: Date::from_days(day).unwrap(),
            statement,
            ..row(0, "2018-01-01", None)
        }
    }

    /// Plays the statements in order of revision on a map of release days, then walks the days from the newest back.
    fn model(said: &[Said], revision: u64, day: i32) -> Option<(u64, i32)> {
        let mut days = std::collections::BTreeMap::new();
        let mut said: Vec<Said> = said.to_vec();
        said.sort_unstable();
        for (of, on, what) in said.into_iter().filter(|(of, on, _)| *of <= revision && *on <= day) {
            match what {
                0 => days.remove(&on),
                _ => days.insert(on, (of, what)),
            };
        }
        let (_, (_, newest)) = days.last_key_value()?;
        let unchanged = days.iter().rev().take_while(|(_, (_, what))| what == newest);
        let (on, (of, _)) = unchanged.last()?;
        (*newest > 1).then_some((*of, *on))
    }

    proptest::proptest! {
        #[test]
        fn the_answer_is_that_of_a_plain_model(
            said in proptest::collection::btree_map((1u64..8, 0i32..5), 0u8..4, 0..16),
        ) {
            let said: Vec<Said> = said.into_iter().map(|((revision, day), what)| (revision, day, what)).collect();
            let mut rows: Vec<FigureVersion> = said.iter().map(row_of).collect();
            rows.reverse();
            for revision in 0..9 {
                for day in -1..6 {
                    let horizon = Horizon { revision: Revision(revision), released: Date::from_days(day).unwrap() };
                    let found = state_at(&rows, horizon).map(|row| (row.revision.0, row.released.days()));
                    proptest::prop_assert_eq!(found, model(&said, revision, day));
                }
            }
        }
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
