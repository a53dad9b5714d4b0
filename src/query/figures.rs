//! Figures and series at a point of history.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    QueryError, Snapshot,
    policy::{Disagreement, Policy},
};
use crate::{
    model::{
        catalog::DefinitionKind,
        change::Commit,
        id::{EntityId, IndicatorId, SourceId},
        period::Period,
        series::{Dimensions, FigureVersion, SeriesKey, by_period, newest_at, state_at},
        time::Date,
    },
    store::{
        StoreError,
        series::{SeriesIds, SeriesScope},
        view::NameKind,
    },
};

/// One figure with its commit.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Its series.
    pub series: SeriesKey,
    /// The version that answers.
    pub version: FigureVersion,
    /// The commit that brought it.
    pub commit: Arc<Commit>,
    /// The newest release within the horizon that published the same figure again, at least `row.released`. `None` where
    /// nobody asked for it: in single versions and in the feed's state.
    pub last_released: Option<Date>,
}

/// The version of one period that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentFigure {
    /// The version, of the release that first said it.
    pub version: FigureVersion,
    /// The newest release within the horizon that published the same figure again.
    pub last_released: Date,
}

/// Most sets of dimensions that an error lists.
const DIMENSIONS_LISTED_MAX: usize = 20;
/// No further set is listed once so many bytes are: errors travel in headers, which have little room.
const DIMENSIONS_LISTED_BYTES: usize = 1_000;

/// The order in which periods are later: by last day, then by first day. So 2020 comes before 2019/2023, and 2024-Q4
/// (the narrower) after 2024.
pub fn recency(period: Period) -> (Date, Date) {
    (period.end(), period.start())
}

/// Which figure.
#[derive(Debug, Clone)]
pub struct FigureQuery {
    pub indicator: IndicatorId,
    pub entity: EntityId,
    /// `None`: the latest period ([`recency`]) that an admitted source has a figure for.
    pub period: Option<Period>,
    pub dimensions: Dimensions,
    pub policy: Policy,
    pub source: Option<SourceId>,
}

/// A selected figure and what others say.
#[derive(Debug, Clone)]
pub struct SelectedFigure {
    pub selected: Observation,
    pub alternatives: Vec<Observation>,
    pub disagreement: Option<Disagreement>,
    pub unit: String,
}

impl Snapshot {
    /// One figure, with what every other source says about it.
    pub fn figure(&self, query: &FigureQuery) -> Result<SelectedFigure, QueryError> {
        self.require(DefinitionKind::Indicator, query.indicator.as_str())?;
        self.require(DefinitionKind::Entity, query.entity.as_str())?;
        if let Some(source) = &query.source {
            self.require(DefinitionKind::Source, source.as_str())?;
        }
        let series = self.series_of(query)?;
        let mut found = match query.period {
            Some(period) => self.figures_of(&series, period)?,
            None => self.latest(&series)?,
        };
        query.policy.sort(&mut found, &self.catalog, self.revision());
        let disagreement = Disagreement::among(&found);
        let mut found = found.into_iter();
        let Some(selected) = found.next() else { return Err(self.no_figure(query, &series)?) };
        let unit = self.catalog.indicator(query.indicator.as_str(), self.revision());
        let unit = unit.map_or_else(String::new, |indicator| indicator.unit.clone());
        Ok(SelectedFigure { selected, alternatives: found.collect(), disagreement, unit })
    }

    /// The series of a figure, one per source.
    fn series_of(&self, query: &FigureQuery) -> Result<Vec<(SeriesIds, SeriesKey)>, StoreError> {
        let mut series = self.series_of_any_dimensions(query)?;
        series.retain(|(_, key)| key.dimensions == query.dimensions);
        Ok(series)
    }

    fn series_of_any_dimensions(&self, query: &FigureQuery) -> Result<Vec<(SeriesIds, SeriesKey)>, StoreError> {
        let indicator = self.view().number(NameKind::Indicator, query.indicator.as_str());
        let Some(scope) = indicator.zip(self.view().number(NameKind::Entity, query.entity.as_str())) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let mut at = None;
        while let Some(ids) = self.view().next_series(SeriesScope::Figure(scope.0, scope.1), at)? {
            let key = self.view().series_key(ids)?;
            if query.source.as_ref().is_none_or(|source| *source == key.source) {
                found.push((ids, key));
            }
            at = Some(ids);
        }
        Ok(found)
    }

    /// What each of these series says about one period.
    fn figures_of(&self, series: &[(SeriesIds, SeriesKey)], period: Period) -> Result<Vec<Observation>, StoreError> {
        let mut found = Vec::new();
        for (ids, key) in series {
            let rows = self.view().versions_of_period(*ids, period)?;
            if let Some(figure) = self.current_figures(*ids, &rows)?.pop() {
                found.push(self.current_observation(key.clone(), figure)?);
            }
        }
        Ok(found)
    }

    /// What these series say about the latest period that one of them has a figure for.
    fn latest(&self, series: &[(SeriesIds, SeriesKey)]) -> Result<Vec<Observation>, StoreError> {
        let mut latest: Option<Period> = None;
        let mut found: Vec<(SeriesKey, CurrentFigure)> = Vec::new();
        for (ids, key) in series {
            let figures = self.current_figures(*ids, &self.view().versions(*ids)?)?;
            let Some(figure) = figures.into_iter().max_by_key(|figure| recency(figure.version.period)) else {
                continue;
            };
            let period = figure.version.period;
            if latest.is_none_or(|latest| recency(latest) < recency(period)) {
                latest = Some(period);
            }
            found.push((key.clone(), figure));
        }
        found.retain(|(_, figure)| Some(figure.version.period) == latest);
        found.into_iter().map(|(key, figure)| self.current_observation(key, figure)).collect()
    }

    fn no_figure(&self, query: &FigureQuery, series: &[(SeriesIds, SeriesKey)]) -> Result<QueryError, StoreError> {
        let mut periods = BTreeSet::new();
        for (ids, _) in series {
            periods.extend(self.current_versions(&self.view().versions(*ids)?).into_iter().map(|row| row.period));
        }
        if periods.is_empty() {
            let known = self.dimensions_there_are(query)?;
            if !known.is_empty() {
                return Ok(QueryError::OtherDimensions {
                    indicator: query.indicator.to_string(),
                    entity: query.entity.to_string(),
                    asked: query.dimensions.clone(),
                    known: known.into_iter().collect(),
                });
            }
        }
        let first_last = [periods.first(), periods.last()];
        let near: BTreeSet<_> = first_last.into_iter().flatten().map(|period| format!("{period}")).collect();
        let what = match query.period {
            Some(period) => format!("in {period} at this point of history"),
            None => "at this point of history".to_owned(),
        };
        Ok(QueryError::NoFigure {
            indicator: query.indicator.to_string(),
            entity: query.entity.to_string(),
            what,
            near: near.into_iter().collect(),
        })
    }

    /// The dimensions that the admitted sources have a figure of the indicator and entity for, at most
    /// [`DIMENSIONS_LISTED_MAX`].
    fn dimensions_there_are(&self, query: &FigureQuery) -> Result<BTreeSet<Dimensions>, StoreError> {
        let mut known: BTreeSet<Dimensions> = BTreeSet::new();
        let mut bytes = 0;
        for (ids, key) in self.series_of_any_dimensions(query)? {
            if known.len() == DIMENSIONS_LISTED_MAX || bytes > DIMENSIONS_LISTED_BYTES {
                break;
            }
            if !known.contains(&key.dimensions) && !self.current_versions(&self.view().versions(ids)?).is_empty() {
                bytes += key.dimensions.as_str().len();
                known.insert(key.dimensions);
            }
        }
        Ok(known)
    }

    /// The versions that answer, one per period, of rows of a series, each with the newest release that said the same.
    ///
    /// A later release says the same by a version with an equal value, or as a whole release of the indicator and source:
    /// whole releases write no versions for figures that stay as they are.
    pub fn current_figures(&self, ids: SeriesIds, rows: &[FigureVersion]) -> Result<Vec<CurrentFigure>, StoreError> {
        let whole = self.view().newest_full_release((ids.indicator, ids.source), self.horizon)?;
        let mut figures = Vec::new();
        for rows in by_period(rows) {
            let Some(row) = state_at(rows, self.horizon) else { continue };
            let said_again = newest_at(rows, self.horizon).map_or(row.released, |newest| newest.released);
            let last_released = whole.map_or(said_again, |whole| whole.max(said_again));
            figures.push(CurrentFigure { version: row.clone(), last_released });
        }
        Ok(figures)
    }

    /// A current figure with its commit.
    pub fn current_observation(&self, series: SeriesKey, figure: CurrentFigure) -> Result<Observation, StoreError> {
        let commit = self.reader.commit(figure.version.revision)?;
        Ok(Observation { series, version: figure.version, commit, last_released: Some(figure.last_released) })
    }

    /// The versions that answer, one per period, of all rows of a series.
    pub fn current_versions(&self, rows: &[FigureVersion]) -> Vec<FigureVersion> {
        by_period(rows).filter_map(|rows| state_at(rows, self.horizon)).cloned().collect()
    }

    /// A version with its commit.
    pub fn observation(&self, series: SeriesKey, row: FigureVersion) -> Result<Observation, StoreError> {
        let commit = self.reader.commit(row.revision)?;
        Ok(Observation { series, version: row, commit, last_released: None })
    }

    /// Every version of the figures of one indicator and entity within the horizon, by source, dimensions, period, release
    /// and revision.
    pub fn versions(
        &self,
        indicator: &IndicatorId,
        entity: &EntityId,
        period: Option<Period>,
        source: Option<&SourceId>,
    ) -> Result<Vec<Observation>, QueryError> {
        self.require(DefinitionKind::Indicator, indicator.as_str())?;
        self.require(DefinitionKind::Entity, entity.as_str())?;
        if let Some(source) = source {
            self.require(DefinitionKind::Source, source.as_str())?;
        }
        let numbers = self.view().number(NameKind::Indicator, indicator.as_str());
        let Some(scope) = numbers.zip(self.view().number(NameKind::Entity, entity.as_str())) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for item in self.view().scan_series(SeriesScope::Figure(scope.0, scope.1), None) {
            let (ids, rows) = item?;
            let key = self.view().series_key(ids)?;
            if source.is_some_and(|source| *source != key.source) {
                continue;
            }
            let admitted =
                |row: &FigureVersion| self.horizon.admits(row) && period.is_none_or(|period| row.period == period);
            for row in rows.into_iter().filter(admitted) {
                found.push(self.observation(key.clone(), row)?);
            }
        }
        let order = |figure: &Observation| (figure.version.period, figure.version.released, figure.version.revision);
        found.sort_by(|a, b| {
            let series = |figure: &Observation| (figure.series.source.clone(), figure.series.dimensions.clone());
            series(a).cmp(&series(b)).then_with(|| order(a).cmp(&order(b)))
        });
        Ok(found)
    }
}
