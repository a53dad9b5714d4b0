//! Versions of figures on three time axes, and which of them answers.
//!
//! A series is all periods of one (indicator, entity, source, dimensions). Each of its [`FigureVersion`]s belongs to one
//! period: it is what the producer stated on a release date, as a commit brought it. The three axes are the period, the
//! release date and the revision. A version never changes; a later one can retract what was stated for its release date.
//!
//! Invariant (as-of): of the versions of one period that a [`Horizon`] admits, the newest revision counts for each release
//! date; release dates whose statement is retracted do not count; of the others the newest answers. So vintages may be
//! loaded in any order, and no key has two answers.

use serde::{Deserialize, Serialize};

use super::{
    id::{EntityId, IndicatorId, Revision, SourceId},
    period::Period,
    time::Date,
    value::Value,
};

/// Further dimensions of a series, sorted by id, each id once: `AGE=Y15T24;SEX=F`. Empty for most series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Dimensions(String);

/// Most dimensions of a series.
pub const DIMENSIONS_MAX: usize = 16;

/// Why dimensions are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DimensionsError {
    /// An id or a code is empty, longer than 64 bytes, or holds a character that is not allowed.
    #[error("`{0}` is not a dimension id or code: 1 to 64 printable ASCII characters without blanks, `=` and `;`")]
    IllFormed(String),
    #[error("dimension `{0}` comes twice")]
    Twice(String),
    #[error("more than {DIMENSIONS_MAX} dimensions")]
    TooMany,
}

impl Dimensions {
    /// Makes dimensions of (id, code) pairs in any order.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, DimensionsError> {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        if pairs.len() > DIMENSIONS_MAX {
            return Err(DimensionsError::TooMany);
        }
        pairs.sort_unstable();
        let mut text = String::new();
        for (index, (id, code)) in pairs.iter().enumerate() {
            if let Some(bad) = [id, code].into_iter().find(|part| !is_id_or_code(part)) {
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

    /// Takes the text that [`Dimensions::as_str`] gave, without a check.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The canonical text: `id=code` pairs in the order of their ids, with `;` between them.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether these dimensions match a filter of (id, code) pairs: for each id in the filter they have one of its codes.
    pub fn has(&self, filter: &[(String, String)]) -> bool {
        filter.iter().all(|(id, _)| {
            let code = self.pairs().find(|(other, _)| other == id).map(|(_, code)| code);
            filter.iter().any(|(other, admitted)| other == id && Some(admitted.as_str()) == code)
        })
    }

    /// The (id, code) pairs in order of their ids.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split(';').filter_map(|pair| pair.split_once('='))
    }
}

fn is_id_or_code(text: &str) -> bool {
    let allowed = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=' && byte != b';');
    allowed && (1..=64).contains(&text.len())
}

/// What identifies a series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    pub indicator: IndicatorId,
    pub entity: EntityId,
    pub source: SourceId,
    pub dimensions: Dimensions,
}

/// One version of the figure of one period. (period, revision, release date) identifies it within its series; versions are
/// kept in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FigureVersion {
    pub period: Period,
    /// The commit that brought it.
    pub revision: Revision,
    /// When the producer published it.
    pub released: Date,
    pub statement: Statement,
}

/// What a version states about its period, as of its release date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// The producer publishes this figure.
    Figure(Value),
    /// The producer publishes no figure here.
    NoFigure,
    /// Versions of earlier revisions for the same period and release date no longer count.
    Retracted,
}

impl Statement {
    /// The value, if the statement is a figure.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Figure(value) => Some(value),
            Self::NoFigure | Self::Retracted => None,
        }
    }

    /// The same, taken out of the statement.
    pub fn into_value(self) -> Option<Value> {
        match self {
            Self::Figure(value) => Some(value),
            Self::NoFigure | Self::Retracted => None,
        }
    }
}

/// What a producer states: a figure, or with `None` that there is no figure.
impl From<Option<Value>> for Statement {
    fn from(value: Option<Value>) -> Self {
        value.map_or(Self::NoFigure, Self::Figure)
    }
}

impl FigureVersion {
    /// The value, if the version states a figure.
    pub fn value(&self) -> Option<&Value> {
        self.statement.value()
    }

    pub fn is_retraction(&self) -> bool {
        self.statement == Statement::Retracted
    }

    /// What identifies the version within its series.
    pub fn name(&self) -> (Period, Revision, Date) {
        (self.period, self.revision, self.released)
    }
}

/// Up to where an answer looks: a revision and a release date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// Versions of later commits are left out.
    pub revision: Revision,
    /// Versions that were released after this day are left out. [`Date::MAX`]: none are.
    pub released: Date,
}

impl Horizon {
    /// Everything that was known at a revision, whatever its release date.
    pub fn at(revision: Revision) -> Self {
        Self { revision, released: Date::MAX }
    }

    /// Whether a version lies within the horizon.
    pub fn admits(self, version: &FigureVersion) -> bool {
        version.revision <= self.revision && version.released <= self.released
    }
}

/// The version that answers, of the versions of one period in any order. `None`: there is none within the horizon, or the
/// producer states that it publishes no figure.
///
/// A later release that repeats a figure does not make it newer: the release that stated it first answers.
pub fn state_at(versions: &[FigureVersion], horizon: Horizon) -> Option<&FigureVersion> {
    if let [only] = versions {
        return Some(only).filter(|only| only.value().is_some() && horizon.admits(only));
    }
    let mut releases = releases_at(versions, horizon);
    let mut first = releases.next().filter(|version| version.value().is_some())?;
    for earlier in releases {
        if earlier.statement != first.statement {
            break;
        }
        first = earlier;
    }
    Some(first)
}

/// The version of the newest release within a horizon, of the versions of one period in any order. It may repeat an
/// earlier figure or state that there is none, but it is never a retraction. `None`: there is no release.
pub fn newest_at(versions: &[FigureVersion], horizon: Horizon) -> Option<&FigureVersion> {
    if let [only] = versions {
        return Some(only).filter(|only| !only.is_retraction() && horizon.admits(only));
    }
    releases_at(versions, horizon).next()
}

/// The version that counts for each release date within a horizon, newest date first, without retracted dates.
fn releases_at(versions: &[FigureVersion], horizon: Horizon) -> impl Iterator<Item = &FigureVersion> {
    let releases = Releases { versions, horizon, searches: 0, sorted: Vec::new() };
    releases.filter(|version| !version.is_retraction())
}

/// Most releases that are searched for one by one. Further ones are sorted.
const SEARCHES_MAX: usize = 4;

/// The version that counts for each release date, newest date first. Most readers need one or two: to search for these is
/// faster than to sort all.
struct Releases<'a> {
    versions: &'a [FigureVersion],
    /// Only releases within it are still to come.
    horizon: Horizon,
    searches: usize,
    /// The newest release last.
    sorted: Vec<&'a FigureVersion>,
}

impl<'a> Iterator for Releases<'a> {
    type Item = &'a FigureVersion;

    fn next(&mut self) -> Option<&'a FigureVersion> {
        self.searches += 1;
        let horizon = self.horizon;
        let mut admitted = self.versions.iter().filter(move |version| horizon.admits(version));
        if self.searches <= SEARCHES_MAX {
            let newest = admitted.max_by_key(|version| (version.released, version.revision))?;
            match newest.released.plus_days(-1) {
                Some(day_before) => self.horizon.released = day_before,
                None => self.versions = &[],
            }
            return Some(newest);
        }
        if self.searches == SEARCHES_MAX + 1 {
            self.sorted.extend(&mut admitted);
            self.sorted.sort_unstable_by_key(|version| (version.released, std::cmp::Reverse(version.revision)));
            self.sorted.dedup_by_key(|version| version.released);
        }
        self.sorted.pop()
    }
}

/// Splits versions that are sorted by period into one slice a period.
pub fn by_period(versions: &[FigureVersion]) -> impl Iterator<Item = &[FigureVersion]> {
    versions.chunk_by(|a, b| a.period == b.period)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Number;

    /// `None`: the producer publishes no figure.
    fn version(revision: u64, released: &str, text: Option<&str>) -> FigureVersion {
        FigureVersion {
            period: Period::parse("2015").unwrap(),
            revision: Revision(revision),
            released: Date::parse(released).unwrap(),
            statement: text.map(|text| Value::number(Number::parse(text).unwrap())).into(),
        }
    }

    /// The revision of the version that answers at a revision.
    fn answer_at(versions: &[FigureVersion], revision: u64) -> Option<u64> {
        state_at(versions, Horizon::at(Revision(revision))).map(|version| version.revision.0)
    }

    #[test]
    fn the_newest_release_answers_in_whatever_order_releases_are_loaded() {
        const ANSWERS: [(&str, Option<&str>); 3] =
            [("2018-07-31", None), ("2020-01-01", Some("2018-08-01")), ("2026-01-01", Some("2025-12-17"))];
        let forward = [version(1, "2018-08-01", Some("2.06558")), version(2, "2025-12-17", Some("2.05701"))];
        let backward = [version(2, "2018-08-01", Some("2.06558")), version(1, "2025-12-17", Some("2.05701"))];
        for versions in [forward, backward] {
            for (day, expected) in ANSWERS {
                let horizon = Horizon { revision: Revision::MAX, released: Date::parse(day).unwrap() };
                let answer = state_at(&versions, horizon).map(|version| version.released.to_string());
                assert_eq!(answer.as_deref(), expected, "released by {day}");
            }
        }
    }

    #[test]
    fn a_release_that_repeats_a_figure_does_not_make_it_newer_and_a_withdrawal_ends_it() {
        let versions =
            [version(1, "2018-01-01", Some("1")), version(2, "2019-01-01", Some("1")), version(3, "2020-01-01", None)];
        assert_eq!(answer_at(&versions, 2), Some(1));
        assert_eq!(answer_at(&versions, 3), None);
    }

    #[test]
    fn a_retracted_release_does_not_count_until_it_is_stated_again() {
        let retracted = FigureVersion { statement: Statement::Retracted, ..version(3, "2019-01-01", None) };
        let versions = [
            version(1, "2018-01-01", Some("1")),
            version(2, "2019-01-01", Some("2")),
            retracted,
            version(4, "2019-01-01", Some("3")),
        ];
        let answers = [1, 2, 3, 4].map(|revision| answer_at(&versions, revision));
        assert_eq!(answers, [Some(1), Some(2), Some(1), Some(4)]);
        let only_release_retracted =
            [version(1, "2019-01-01", Some("2")), FigureVersion { revision: Revision(2), ..versions[2].clone() }];
        assert_eq!(newest_at(&only_release_retracted, Horizon::at(Revision(2))), None);
    }

    /// One version in the plain model: revision, release day, and what it states (0: retracted, 1: no figure, else a
    /// figure).
    type ModelVersion = (u64, i32, u8);

    fn version_of(&(revision, day, stated): &ModelVersion) -> FigureVersion {
        let statement = match stated {
            0 => Statement::Retracted,
            1 => Statement::NoFigure,
            figure => Statement::Figure(Value::number(Number::parse(&figure.to_string()).unwrap())),
        };
        FigureVersion {
            revision: Revision(revision),
            released: Date::from_days(day).unwrap(),
            statement,
            ..version(0, "2018-01-01", None)
        }
    }

    /// Applies the versions in order of revision to a map of release days, then walks the days from the newest back.
    fn answer_of_model(versions: &[ModelVersion], revision: u64, day: i32) -> Option<(u64, i32)> {
        let mut by_day = std::collections::BTreeMap::new();
        let mut versions: Vec<ModelVersion> = versions.to_vec();
        versions.sort_unstable();
        for (of, on, stated) in versions.into_iter().filter(|(of, on, _)| *of <= revision && *on <= day) {
            match stated {
                0 => by_day.remove(&on),
                _ => by_day.insert(on, (of, stated)),
            };
        }
        let (_, (_, newest)) = by_day.last_key_value()?;
        let unchanged = by_day.iter().rev().take_while(|(_, (_, stated))| stated == newest);
        let (on, (of, _)) = unchanged.last()?;
        (*newest > 1).then_some((*of, *on))
    }

    proptest::proptest! {
        #[test]
        fn the_answer_is_that_of_a_plain_model(
            stated in proptest::collection::btree_map((1u64..8, 0i32..5), 0u8..4, 0..16),
        ) {
            let model: Vec<ModelVersion> =
                stated.into_iter().map(|((revision, day), stated)| (revision, day, stated)).collect();
            let mut versions: Vec<FigureVersion> = model.iter().map(version_of).collect();
            versions.reverse();
            for revision in 0..9 {
                for day in -1..6 {
                    let horizon = Horizon { revision: Revision(revision), released: Date::from_days(day).unwrap() };
                    let answer = state_at(&versions, horizon);
                    let answer = answer.map(|version| (version.revision.0, version.released.days()));
                    proptest::prop_assert_eq!(answer, answer_of_model(&model, revision, day));
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
