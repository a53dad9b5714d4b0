//! All versions of the figures of one indicator and entity, from a position on.
//!
//! Invariant: a position is the sort key of a version, so a page is read from its position on and not from the start.

use super::{QueryError, Snapshot, figures::Observation};
use crate::{
    model::{
        catalog::DefinitionKind,
        id::{EntityId, IndicatorId, Revision, SourceId},
        period::Period,
        series::{Dimensions, FigureVersion, SeriesKey},
        time::Date,
    },
    store::{
        StoreError,
        series::{SeriesIds, figure::FigureReader},
    },
};

/// Which versions.
#[derive(Debug, Clone)]
pub struct VersionsQuery {
    pub indicator: IndicatorId,
    pub entity: EntityId,
    /// `None`: all periods.
    pub period: Option<Period>,
    /// `None`: all sources.
    pub source: Option<SourceId>,
    /// (id, code), as in [`super::series::Selection::dimensions`].
    pub dimensions: Vec<(String, String)>,
}

/// Where a list of versions goes on: after this one. Sorts as the list does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionPosition {
    pub source: String,
    pub dimensions: String,
    pub period: Period,
    pub released: Date,
    pub revision: Revision,
}

impl VersionPosition {
    /// The position of a version.
    pub fn of(observation: &Observation) -> Self {
        let Observation { series, version, .. } = observation;
        Self {
            source: series.source.to_string(),
            dimensions: series.dimensions.as_str().to_owned(),
            period: version.period,
            released: version.released,
            revision: version.revision,
        }
    }

    fn series(&self) -> (&str, &str) {
        (&self.source, &self.dimensions)
    }

    /// Whether a version of its series comes after it.
    fn is_before(&self, version: &FigureVersion) -> bool {
        (self.period, self.released, self.revision) < (version.period, version.released, version.revision)
    }
}

impl Snapshot {
    /// Calls `take` with every version of the figures of one indicator and entity within the horizon, retractions included,
    /// after a position. Sorted by source, dimensions, period, release date and revision. Ends when `take` returns `false`.
    pub fn versions(
        &self,
        query: &VersionsQuery,
        after: Option<&VersionPosition>,
        mut take: impl FnMut(Observation) -> bool,
    ) -> Result<(), QueryError> {
        self.require(DefinitionKind::Indicator, query.indicator.as_str())?;
        self.require(DefinitionKind::Entity, query.entity.as_str())?;
        if let Some(source) = &query.source {
            self.require(DefinitionKind::Source, source.as_str())?;
        }
        let Some(reader) = self.figure_reader(&query.indicator, &query.entity)? else { return Ok(()) };
        for (key, ids) in self.series_by_name(query, &reader)? {
            let name = (key.source.as_str(), key.dimensions.as_str());
            if after.is_some_and(|after| name < after.series()) {
                continue;
            }
            let within = after.filter(|after| name == after.series());
            if !self.versions_of_series(query, &reader, ids, &key, within, &mut take)? {
                break;
            }
        }
        Ok(())
    }

    /// The series of a query, sorted by source and dimensions.
    fn series_by_name(
        &self,
        query: &VersionsQuery,
        reader: &FigureReader<'_>,
    ) -> Result<Vec<(SeriesKey, SeriesIds)>, StoreError> {
        let mut series = Vec::new();
        for ids in reader.series()? {
            let key = self.view().series_key(ids)?;
            let of_source = query.source.as_ref().is_none_or(|source| *source == key.source);
            if of_source && Dimensions::has(&key.dimensions, &query.dimensions) {
                series.push((key, ids));
            }
        }
        series.sort_by(|(a, _), (b, _)| (&a.source, &a.dimensions).cmp(&(&b.source, &b.dimensions)));
        Ok(series)
    }

    /// Takes the versions of one series. `false`: `take` wants no more.
    fn versions_of_series(
        &self,
        query: &VersionsQuery,
        reader: &FigureReader<'_>,
        ids: SeriesIds,
        key: &SeriesKey,
        after: Option<&VersionPosition>,
        take: &mut impl FnMut(Observation) -> bool,
    ) -> Result<bool, StoreError> {
        let parts = match query.period {
            Some(period) => Box::new(std::iter::once(reader.versions_of_period(ids, period))),
            None => reader.versions_from(ids, after.map(|after| after.period))?,
        };
        for versions in parts {
            let mut versions = versions?;
            versions
                .retain(|version| self.horizon.admits(version) && after.is_none_or(|after| after.is_before(version)));
            versions.sort_by_key(|version| (version.period, version.released, version.revision));
            for version in versions {
                if !take(self.observation(key.clone(), version)?) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
