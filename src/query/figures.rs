//! Single figures at a point of history, with what other sources state, and all versions of a figure.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    QueryError, Snapshot,
    policy::{Disagreement, Policy},
};
use crate::{
    model::{
        catalog::DefinitionKind,
        change::Commit,
        id::{EntityId, IndicatorId, Revision, SourceId},
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

/// A version of a figure with its series and its commit.
#[derive(Debug, Clone)]
pub struct Observation {
    pub series: SeriesKey,
    pub version: FigureVersion,
    /// The commit that brought the version.
    pub commit: Arc<Commit>,
    /// The newest release within the horizon that published the same figure, at least `version.released`. `None` in lists
    /// of versions and in the feed's state, which do not look for it.
    pub last_released: Option<Date>,
}

/// The version that answers for one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentFigure {
    /// Of the releases that published the figure unchanged, the version of the first.
    pub version: FigureVersion,
    /// The newest release within the horizon that published the same figure, at least `version.released`.
    pub last_released: Date,
}

/// Most sets of dimensions that an error lists.
const DIMENSIONS_LISTED_MAX: usize = 20;
/// An error lists no further set once it holds more bytes than this: errors travel in headers, which have little room.
const DIMENSIONS_LISTED_BYTES: usize = 1_000;

/// Periods sort by this from the earliest to the latest: by last day, then by first day. So 2020 comes before 2019/2023,
/// and 2024-Q4, which is shorter, after 2024.
pub fn recency(period: Period) -> (Date, Date) {
    (period.end(), period.start())
}

#[derive(Debug, Clone)]
pub struct FigureQuery {
    pub indicator: IndicatorId,
    pub entity: EntityId,
    /// `None`: the latest period ([`recency`]) for which one of the sources has a figure.
    pub period: Option<Period>,
    pub dimensions: Dimensions,
    pub policy: Policy,
    /// `None`: all sources.
    pub source: Option<SourceId>,
}

/// The figure that a policy selects, and what other sources state.
#[derive(Debug, Clone)]
pub struct SelectedFigure {
    pub selected: Observation,
    /// In the order of the policy.
    pub alternatives: Vec<Observation>,
    /// `None`: only one source has a figure.
    pub disagreement: Option<Disagreement>,
    /// Empty if the indicator states none.
    pub unit: String,
}

impl Snapshot {
    /// One figure, with what every other source states. [`QueryError::NoFigure`] or [`QueryError::OtherDimensions`] if no
    /// source has a figure, [`QueryError::Unknown`] for an id that no definition has.
    pub fn figure(&self, query: &FigureQuery) -> Result<SelectedFigure, QueryError> {
        self.require(DefinitionKind::Indicator, query.indicator.as_str())?;
        self.require(DefinitionKind::Entity, query.entity.as_str())?;
        if let Some(source) = &query.source {
            self.require(DefinitionKind::Source, source.as_str())?;
        }
        let series = self.series_of(query)?;
        let mut figures = match query.period {
            Some(period) => self.figures_of(&series, period)?,
            None => self.latest_figures(&series)?,
        };
        query.policy.sort(&mut figures, &self.catalog, self.revision());
        let disagreement = Disagreement::among(&figures);
        let mut figures = figures.into_iter();
        let Some(selected) = figures.next() else { return Err(self.no_figure(query, &series)?) };
        let indicator = self.catalog.indicator(query.indicator.as_str(), self.revision());
        let unit = indicator.map_or_else(String::new, |indicator| indicator.unit.clone());
        Ok(SelectedFigure { selected, alternatives: figures.collect(), disagreement, unit })
    }

    /// The series that a figure is looked for in: one a source.
    fn series_of(&self, query: &FigureQuery) -> Result<Vec<(SeriesIds, SeriesKey)>, StoreError> {
        let mut series = self.series_of_any_dimensions(query)?;
        series.retain(|(_, key)| key.dimensions == query.dimensions);
        Ok(series)
    }

    fn series_of_any_dimensions(&self, query: &FigureQuery) -> Result<Vec<(SeriesIds, SeriesKey)>, StoreError> {
        let Some(scope) = self.figure_scope(&query.indicator, &query.entity) else { return Ok(Vec::new()) };
        let mut series = Vec::new();
        let mut previous = None;
        while let Some(ids) = self.view().next_series(scope, previous)? {
            let key = self.view().series_key(ids)?;
            if query.source.as_ref().is_none_or(|source| *source == key.source) {
                series.push((ids, key));
            }
            previous = Some(ids);
        }
        Ok(series)
    }

    /// The series of an indicator and an entity; `None`: one of the two has no series.
    fn figure_scope(&self, indicator: &IndicatorId, entity: &EntityId) -> Option<SeriesScope> {
        let indicator = self.view().number(NameKind::Indicator, indicator.as_str())?;
        let entity = self.view().number(NameKind::Entity, entity.as_str())?;
        Some(SeriesScope::Figure(indicator, entity))
    }

    /// The current figure of each of these series for one period.
    fn figures_of(&self, series: &[(SeriesIds, SeriesKey)], period: Period) -> Result<Vec<Observation>, StoreError> {
        let mut figures = Vec::new();
        for (ids, key) in series {
            let versions = self.view().versions_of_period(*ids, period)?;
            if let Some(figure) = self.current_figures(*ids, &versions)?.pop() {
                figures.push(self.current_observation(key.clone(), figure)?);
            }
        }
        Ok(figures)
    }

    /// The current figures of these series for the latest period for which one of them has a figure.
    fn latest_figures(&self, series: &[(SeriesIds, SeriesKey)]) -> Result<Vec<Observation>, StoreError> {
        let mut latest: Option<Period> = None;
        let mut candidates: Vec<(SeriesKey, CurrentFigure)> = Vec::new();
        for (ids, key) in series {
            let figures = self.current_figures(*ids, &self.view().versions(*ids)?)?;
            let Some(figure) = figures.into_iter().max_by_key(|figure| recency(figure.version.period)) else {
                continue;
            };
            let period = figure.version.period;
            if latest.is_none_or(|latest| recency(latest) < recency(period)) {
                latest = Some(period);
            }
            candidates.push((key.clone(), figure));
        }
        candidates.retain(|(_, figure)| Some(figure.version.period) == latest);
        candidates.into_iter().map(|(key, figure)| self.current_observation(key, figure)).collect()
    }

    /// The error that no source has a figure, with the periods or the dimensions for which there are figures.
    fn no_figure(&self, query: &FigureQuery, series: &[(SeriesIds, SeriesKey)]) -> Result<QueryError, StoreError> {
        let mut periods = BTreeSet::new();
        for (ids, _) in series {
            let current = self.current_versions(&self.view().versions(*ids)?);
            periods.extend(current.iter().map(|version| version.period));
        }
        if periods.is_empty() {
            let known = self.known_dimensions(query)?;
            if !known.is_empty() {
                return Ok(QueryError::OtherDimensions {
                    indicator: query.indicator.to_string(),
                    entity: query.entity.to_string(),
                    asked: query.dimensions.clone(),
                    known: known.into_iter().collect(),
                });
            }
        }
        let first_and_last = [periods.first(), periods.last()];
        let near: BTreeSet<String> = first_and_last.into_iter().flatten().map(Period::to_string).collect();
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

    /// The dimensions with which the sources of a query have figures of its indicator and entity, at most
    /// [`DIMENSIONS_LISTED_MAX`].
    fn known_dimensions(&self, query: &FigureQuery) -> Result<BTreeSet<Dimensions>, StoreError> {
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

    /// The versions of a series that answer, one a period, each with the newest release that published the same figure.
    ///
    /// A later release publishes the same figure in one of two ways: by a version with an equal value, or because it is a
    /// full release of the indicator by the source. A full release writes no versions of figures that it leaves unchanged.
    pub fn current_figures(
        &self,
        ids: SeriesIds,
        versions: &[FigureVersion],
    ) -> Result<Vec<CurrentFigure>, StoreError> {
        let full_release = self.view().newest_full_release((ids.indicator, ids.source), self.horizon)?;
        let mut figures = Vec::new();
        for of_period in by_period(versions) {
            let Some(version) = state_at(of_period, self.horizon) else { continue };
            let newest = newest_at(of_period, self.horizon).unwrap_or(version);
            let last_released = full_release.map_or(newest.released, |day| day.max(newest.released));
            figures.push(CurrentFigure { version: version.clone(), last_released });
        }
        Ok(figures)
    }

    /// A current figure with its series and its commit.
    pub fn current_observation(&self, series: SeriesKey, figure: CurrentFigure) -> Result<Observation, StoreError> {
        let commit = self.reader.commit(figure.version.revision)?;
        Ok(Observation { series, version: figure.version, commit, last_released: Some(figure.last_released) })
    }

    /// The versions of a series that answer, one a period.
    pub fn current_versions(&self, versions: &[FigureVersion]) -> Vec<FigureVersion> {
        by_period(versions).filter_map(|of_period| state_at(of_period, self.horizon)).cloned().collect()
    }

    /// A version with its series and its commit, without [`Observation::last_released`].
    pub fn observation(&self, series: SeriesKey, version: FigureVersion) -> Result<Observation, StoreError> {
        let commit = self.reader.commit(version.revision)?;
        Ok(Observation { series, version, commit, last_released: None })
    }

    /// Every version of the figures of one indicator and entity within the horizon, retractions included. Sorted by source,
    /// dimensions, period, release date and revision.
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
        let Some(scope) = self.figure_scope(indicator, entity) else { return Ok(Vec::new()) };
        let mut observations = Vec::new();
        for item in self.view().scan_series(scope, None) {
            let (ids, versions) = item?;
            let key = self.view().series_key(ids)?;
            if source.is_some_and(|source| *source != key.source) {
                continue;
            }
            for version in versions {
                let of_period = period.is_none_or(|period| version.period == period);
                if of_period && self.horizon.admits(&version) {
                    observations.push(self.observation(key.clone(), version)?);
                }
            }
        }
        observations.sort_by(|a, b| version_order(a).cmp(&version_order(b)));
        Ok(observations)
    }
}

fn version_order(observation: &Observation) -> (&SourceId, &Dimensions, Period, Date, Revision) {
    let Observation { series, version, .. } = observation;
    (&series.source, &series.dimensions, version.period, version.released, version.revision)
}
