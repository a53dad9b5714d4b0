//! Figures and series at a point of history.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    QueryError, Snapshot,
    policy::{Disagreement, Policy},
};
use crate::{
    model::{
        catalog::{DefinitionKind, Redistribution},
        change::Commit,
        id::{EntityId, IndicatorId, SourceId},
        period::Period,
        series::{Dimensions, Row, SeriesKey, by_period, state_at},
    },
    store::{
        StoreError,
        series::{Scope, SeriesIds},
        view::NameKind,
    },
};

/// One figure with its commit.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Its series.
    pub series: SeriesKey,
    /// The version that answers.
    pub row: Row,
    /// The commit that brought it.
    pub commit: Arc<Commit>,
}

/// Which figure.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct FigureQuery {
    pub indicator: IndicatorId,
    pub entity: EntityId,
    /// `None`: the latest that has a figure.
    pub period: Option<Period>,
    pub dimensions: Dimensions,
    pub policy: Policy,
    pub source: Option<SourceId>,
}

/// A selected figure and what others say.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct SelectedFigure {
    pub selected: Observation,
    pub alternatives: Vec<Observation>,
    pub disagreement: Option<Disagreement>,
    pub unit: String,
}

/// Which series.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Selection {
    pub indicators: Vec<IndicatorId>,
    /// Empty: all.
    pub entities: Vec<EntityId>,
    /// Empty: all.
    pub sources: Vec<SourceId>,
    pub from: Option<Period>,
    pub to: Option<Period>,
}

impl Selection {
    fn admits(&self, period: Period) -> bool {
        self.from.is_none_or(|from| period.start() >= from.start()) && self.to.is_none_or(|to| period.end() <= to.end())
    }
}

/// The current rows of one series.
#[derive(Debug, Clone)]
pub struct CurrentSeries {
    /// Its numbers: the position of a reader that goes on later.
    pub ids: SeriesIds,
    /// Its name.
    pub key: SeriesKey,
    /// One version per period, in period order.
    pub rows: Vec<Row>,
}

/// Where a paged read goes on: after this period of this series, or after all of it.
pub type Position = (SeriesIds, Option<Period>);

impl Snapshot {
    /// One figure, with what every other source says about it.
    pub fn figure(&self, query: &FigureQuery) -> Result<SelectedFigure, QueryError> {
        self.require(DefinitionKind::Indicator, query.indicator.as_str())?;
        self.require(DefinitionKind::Entity, query.entity.as_str())?;
        if let Some(source) = &query.source {
            self.require(DefinitionKind::Source, source.as_str())?;
        }
        let series = self.series_of(query)?;
        let mut found = Vec::new();
        match query.period {
            Some(period) => {
                for (ids, key) in &series {
                    let rows = self.view().rows_of(*ids, period)?;
                    if let Some(row) = state_at(&rows, self.horizon) {
                        found.push(self.observation(key.clone(), row.clone())?);
                    }
                }
            }
            None => found = self.latest(&series)?,
        }
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
        let indicator = self.view().number(NameKind::Indicator, query.indicator.as_str());
        let Some(scope) = indicator.zip(self.view().number(NameKind::Entity, query.entity.as_str())) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let mut at = None;
        while let Some(ids) = self.view().next_series(Scope::Figure(scope.0, scope.1), at)? {
            let key = self.view().series_key(ids)?;
            let wanted =
                key.dimensions == query.dimensions && query.source.as_ref().is_none_or(|source| *source == key.source);
            if wanted {
                found.push((ids, key));
            }
            at = Some(ids);
        }
        Ok(found)
    }

    /// The figures of the latest period that any source has one for.
    fn latest(&self, series: &[(SeriesIds, SeriesKey)]) -> Result<Vec<Observation>, StoreError> {
        let mut found: Vec<Observation> = Vec::new();
        for (ids, key) in series {
            let rows = self.view().rows(*ids)?;
            if let Some(row) = self.current(&rows).pop() {
                found.push(self.observation(key.clone(), row)?);
            }
        }
        // By end, then by start: the year 2025 is not later than December 2025.
        let latest = found.iter().map(|figure| (figure.row.period.end(), figure.row.period.start())).max();
        found.retain(|figure| Some((figure.row.period.end(), figure.row.period.start())) == latest);
        Ok(found)
    }

    fn no_figure(&self, query: &FigureQuery, series: &[(SeriesIds, SeriesKey)]) -> Result<QueryError, StoreError> {
        let mut periods = BTreeSet::new();
        for (ids, _) in series {
            periods.extend(self.current(&self.view().rows(*ids)?).into_iter().map(|row| row.period));
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

    /// The versions that answer, one per period, of all rows of a series.
    pub fn current(&self, rows: &[Row]) -> Vec<Row> {
        by_period(rows).filter_map(|rows| state_at(rows, self.horizon)).cloned().collect()
    }

    /// A figure with its commit.
    pub fn observation(&self, series: SeriesKey, row: Row) -> Result<Observation, StoreError> {
        let commit = self.reader.commit(row.revision)?;
        Ok(Observation { series, row, commit })
    }

    /// Refuses a selection that names what is not known.
    pub fn check_selection(&self, selection: &Selection) -> Result<(), QueryError> {
        selection.indicators.iter().try_for_each(|id| self.require(DefinitionKind::Indicator, id.as_str()))?;
        selection.entities.iter().try_for_each(|id| self.require(DefinitionKind::Entity, id.as_str()))?;
        selection.sources.iter().try_for_each(|id| self.require(DefinitionKind::Source, id.as_str()))
    }

    /// Sources that may not be handed out in bulk. Naming one is refused.
    pub fn forbidden_sources(&self, selection: &Selection) -> Result<BTreeSet<SourceId>, QueryError> {
        let sources = self.catalog.definitions(DefinitionKind::Source, "", self.revision());
        let forbidden = sources.filter_map(|definition| match definition.as_ref() {
            crate::model::catalog::Definition::Source(source) if source.redistribution == Redistribution::Forbidden => {
                Some(source.id.clone())
            }
            _ => None,
        });
        let forbidden: BTreeSet<SourceId> = forbidden.collect();
        match selection.sources.iter().find(|source| forbidden.contains(*source)) {
            Some(source) => Err(QueryError::Forbidden(source.to_string())),
            None => Ok(forbidden),
        }
    }

    /// The current series of a selection in key order, after a position. Each item costs one read; take what is needed.
    pub fn series<'a>(
        &'a self,
        selection: &'a Selection,
        after: Option<Position>,
    ) -> impl Iterator<Item = Result<CurrentSeries, StoreError>> + 'a {
        let mut indicators: Vec<u32> =
            selection.indicators.iter().filter_map(|id| self.view().number(NameKind::Indicator, id.as_str())).collect();
        indicators.sort_unstable();
        indicators.dedup();
        let numbers = |kind, ids: Vec<&str>| -> BTreeSet<u32> {
            ids.into_iter().filter_map(|id| self.view().number(kind, id)).collect()
        };
        let entities = numbers(NameKind::Entity, selection.entities.iter().map(EntityId::as_str).collect());
        let sources = numbers(NameKind::Source, selection.sources.iter().map(SourceId::as_str).collect());
        let start = after.map(|(ids, _)| ids);
        let indicators = indicators.into_iter().filter(move |number| start.is_none_or(|ids| *number >= ids.indicator));
        let items = indicators.flat_map(move |indicator| {
            let scopes: Vec<Scope> = if entities.is_empty() {
                vec![Scope::Indicator(indicator)]
            } else {
                entities.iter().map(|entity| Scope::Figure(indicator, *entity)).collect()
            };
            scopes.into_iter().flat_map(move |scope| {
                let within = start.filter(|ids| match scope {
                    Scope::All => true,
                    Scope::Indicator(indicator) => ids.indicator == indicator,
                    Scope::Figure(indicator, entity) => (ids.indicator, ids.entity) == (indicator, entity),
                });
                self.view().scan_series(scope, within)
            })
        });
        items.filter_map(move |item| {
            let (ids, rows) = match item {
                Ok(item) => item,
                Err(error) => return Some(Err(error)),
            };
            if start.is_some_and(|start| ids < start) || (!sources.is_empty() && !sources.contains(&ids.source)) {
                return None;
            }
            let last = match after {
                Some((start, None)) if start == ids => return None,
                Some((start, last)) if start == ids => last,
                _ => None,
            };
            let mut rows = self.current(&rows);
            rows.retain(|row| selection.admits(row.period) && last.is_none_or(|last| row.period > last));
            if rows.is_empty() {
                return None;
            }
            Some(self.view().series_key(ids).map(|key| CurrentSeries { ids, key, rows }))
        })
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
        for item in self.view().scan_series(Scope::Figure(scope.0, scope.1), None) {
            let (ids, rows) = item?;
            let key = self.view().series_key(ids)?;
            if source.is_some_and(|source| *source != key.source) {
                continue;
            }
            let admitted = |row: &Row| self.horizon.admits(row) && period.is_none_or(|period| row.period == period);
            for row in rows.into_iter().filter(admitted) {
                found.push(self.observation(key.clone(), row)?);
            }
        }
        let order = |figure: &Observation| (figure.row.period, figure.row.released, figure.row.revision);
        found.sort_by(|a, b| {
            let series = |figure: &Observation| (figure.series.source.clone(), figure.series.dimensions.clone());
            series(a).cmp(&series(b)).then_with(|| order(a).cmp(&order(b)))
        });
        Ok(found)
    }
}
