//! Single figures at a point of history, with what other sources state.

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
        series::{SeriesIds, blocks::Recency, figure::FigureReader},
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

impl CurrentFigure {
    /// What figures of one series sort by from the earliest period to the latest: see [`recency`].
    pub fn recency(&self) -> Recency {
        recency(self.version.period)
    }
}

/// Most sets of dimensions that an error lists.
const DIMENSIONS_LISTED_MAX: usize = 20;
/// An error lists no further set once it holds more bytes than this: errors travel in headers, which have little room.
const DIMENSIONS_LISTED_BYTES: usize = 1_000;

/// Periods sort by this from the earliest to the latest: by last day, then by first day. So 2020 comes before 2019/2023,
/// and 2024-Q4, which is shorter, after 2024.
pub fn recency(period: Period) -> Recency {
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
        let Some(reader) = self.figure_reader(&query.indicator, &query.entity)? else {
            return Err(self.no_figure(query, None)?);
        };
        let series = self.series_of(query, &reader)?;
        let mut figures = match query.period {
            Some(period) => self.figures_of(&reader, &series, period)?,
            None => self.latest_figures(&reader, &series)?,
        };
        query.policy.sort(&mut figures, &self.catalog, self.revision());
        let disagreement = Disagreement::among(&figures);
        let mut figures = figures.into_iter();
        let Some(selected) = figures.next() else { return Err(self.no_figure(query, Some(&reader))?) };
        let indicator = self.catalog.indicator(query.indicator.as_str(), self.revision());
        let unit = indicator.map_or_else(String::new, |indicator| indicator.unit.clone());
        Ok(SelectedFigure { selected, alternatives: figures.collect(), disagreement, unit })
    }

    /// A reader of the series of an indicator and an entity. `None`: one of the two has no series.
    pub(super) fn figure_reader(
        &self,
        indicator: &IndicatorId,
        entity: &EntityId,
    ) -> Result<Option<FigureReader<'_>>, StoreError> {
        let indicator = self.view().number(NameKind::Indicator, indicator.as_str());
        let entity = self.view().number(NameKind::Entity, entity.as_str());
        let Some((indicator, entity)) = indicator.zip(entity) else { return Ok(None) };
        self.view().figure(indicator, entity, self.access).map(Some)
    }

    /// The series that a figure is looked for in: one a source.
    fn series_of(&self, query: &FigureQuery, reader: &FigureReader<'_>) -> Result<Vec<SeriesIds>, StoreError> {
        let Some(dimensions) = self.view().number(NameKind::Dimensions, query.dimensions.as_str()) else {
            return Ok(Vec::new());
        };
        let mut series = self.series_of_any_dimensions(query, reader)?;
        series.retain(|ids| ids.dimensions == dimensions);
        Ok(series)
    }

    fn series_of_any_dimensions(
        &self,
        query: &FigureQuery,
        reader: &FigureReader<'_>,
    ) -> Result<Vec<SeriesIds>, StoreError> {
        let mut series = reader.series()?;
        if let Some(source) = &query.source {
            let source = self.view().number(NameKind::Source, source.as_str());
            series.retain(|ids| Some(ids.source) == source);
        }
        Ok(series)
    }

    /// The current figure of each of these series for one period.
    fn figures_of(
        &self,
        reader: &FigureReader<'_>,
        series: &[SeriesIds],
        period: Period,
    ) -> Result<Vec<Observation>, StoreError> {
        let mut figures = Vec::new();
        for ids in series {
            let full_release = self.full_release_of(*ids)?;
            if let Some(figure) = self.figure_of_period(reader, *ids, period, full_release)? {
                figures.push(self.current_observation(self.view().series_key(*ids)?, figure)?);
            }
        }
        Ok(figures)
    }

    /// The current figures of these series for the latest period for which one of them has a figure.
    fn latest_figures(&self, reader: &FigureReader<'_>, series: &[SeriesIds]) -> Result<Vec<Observation>, StoreError> {
        let mut latest: Option<Period> = None;
        let mut candidates: Vec<(SeriesIds, CurrentFigure)> = Vec::new();
        for ids in series {
            let Some(figure) = self.latest_figure(reader, *ids)? else { continue };
            let period = figure.version.period;
            if latest.is_none_or(|latest| recency(latest) < recency(period)) {
                latest = Some(period);
            }
            candidates.push((*ids, figure));
        }
        candidates.retain(|(_, figure)| Some(figure.version.period) == latest);
        let mut figures = Vec::with_capacity(candidates.len());
        for (ids, figure) in candidates {
            figures.push(self.current_observation(self.view().series_key(ids)?, figure)?);
        }
        Ok(figures)
    }

    /// The current figure of a series for the latest period for which it has one.
    fn latest_figure(&self, reader: &FigureReader<'_>, ids: SeriesIds) -> Result<Option<CurrentFigure>, StoreError> {
        let full_release = self.full_release_of(ids)?;
        // The figure of the latest of all periods, if it has one at this point of history.
        let latest = reader.latest_period(ids)?.and_then(|(end, start)| Period::from_days(start, end));
        if let Some(period) = latest
            && let Some(figure) = self.figure_of_period(reader, ids, period, full_release)?
        {
            return Ok(Some(figure));
        }
        let mut newest: Option<CurrentFigure> = None;
        reader.read_latest(ids, |versions| {
            let figures = self.figures_among(versions, full_release);
            newest = newest.take().into_iter().chain(figures).max_by_key(CurrentFigure::recency);
            Ok(newest.as_ref().map(CurrentFigure::recency))
        })?;
        Ok(newest)
    }

    /// The current figure of a series for one period.
    fn figure_of_period(
        &self,
        reader: &FigureReader<'_>,
        ids: SeriesIds,
        period: Period,
        full_release: Option<Date>,
    ) -> Result<Option<CurrentFigure>, StoreError> {
        let versions = reader.answering(ids, period, self.horizon)?;
        Ok(self.figures_among(&versions, full_release).next())
    }

    /// The error that no source has a figure, with the periods or the dimensions for which there are figures.
    fn no_figure(&self, query: &FigureQuery, reader: Option<&FigureReader<'_>>) -> Result<QueryError, StoreError> {
        self.allow_long_work()?;
        let mut periods = BTreeSet::new();
        let mut known = BTreeSet::new();
        if let Some(reader) = reader {
            for ids in self.series_of(query, reader)? {
                let current = self.current_versions(&reader.versions(ids)?);
                periods.extend(current.iter().map(|version| version.period));
            }
            if periods.is_empty() {
                known = self.known_dimensions(query, reader)?;
            }
        }
        if periods.is_empty() && !known.is_empty() {
            return Ok(QueryError::OtherDimensions {
                indicator: query.indicator.to_string(),
                entity: query.entity.to_string(),
                asked: query.dimensions.clone(),
                known: known.into_iter().collect(),
            });
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
    fn known_dimensions(
        &self,
        query: &FigureQuery,
        reader: &FigureReader<'_>,
    ) -> Result<BTreeSet<Dimensions>, StoreError> {
        let mut known: BTreeSet<Dimensions> = BTreeSet::new();
        let mut bytes = 0;
        for ids in self.series_of_any_dimensions(query, reader)? {
            if known.len() == DIMENSIONS_LISTED_MAX || bytes > DIMENSIONS_LISTED_BYTES {
                break;
            }
            let key = self.view().series_key(ids)?;
            if !known.contains(&key.dimensions) && !self.current_versions(&reader.versions(ids)?).is_empty() {
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
        let full_release = self.full_release_of(ids)?;
        Ok(self.figures_among(versions, full_release).collect())
    }

    /// The newest full release of the indicator of a series by its source.
    pub(super) fn full_release_of(&self, ids: SeriesIds) -> Result<Option<Date>, StoreError> {
        self.view().newest_full_release((ids.indicator, ids.source), self.horizon, self.access)
    }

    /// The versions that answer among those of whole periods, one a period, with the newest full release of their series.
    pub(super) fn figures_among<'a>(
        &self,
        versions: &'a [FigureVersion],
        full_release: Option<Date>,
    ) -> impl Iterator<Item = CurrentFigure> + use<'a> {
        let horizon = self.horizon;
        by_period(versions).filter_map(move |of_period| {
            let version = state_at(of_period, horizon)?;
            let newest = newest_at(of_period, horizon).unwrap_or(version);
            let last_released = full_release.map_or(newest.released, |day| day.max(newest.released));
            Some(CurrentFigure { version: version.clone(), last_released })
        })
    }

    /// A current figure with its series and its commit.
    pub fn current_observation(&self, series: SeriesKey, figure: CurrentFigure) -> Result<Observation, StoreError> {
        let commit = self.commit(figure.version.revision)?;
        Ok(Observation { series, version: figure.version, commit, last_released: Some(figure.last_released) })
    }

    /// The versions of a series that answer, one a period.
    pub fn current_versions(&self, versions: &[FigureVersion]) -> Vec<FigureVersion> {
        by_period(versions).filter_map(|of_period| state_at(of_period, self.horizon)).cloned().collect()
    }

    /// A version with its series and its commit, without [`Observation::last_released`].
    pub fn observation(&self, series: SeriesKey, version: FigureVersion) -> Result<Observation, StoreError> {
        let commit = self.commit(version.revision)?;
        Ok(Observation { series, version, commit, last_released: None })
    }
}
