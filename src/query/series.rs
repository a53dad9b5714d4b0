//! Many figures at once: the series that a selection admits, step by step.
//!
//! Invariant: a filter that is set only ever narrows a selection. If what it names has no figures, the answer is empty.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    QueryError, Snapshot,
    figures::{CurrentFigure, recency},
};
use crate::{
    model::{
        catalog::{Definition, DefinitionKind, Entity, Redistribution, RelationKind},
        id::{EntityId, IndicatorId, Revision, SourceId},
        period::Period,
        series::{Dimensions, SeriesKey},
        time::Date,
    },
    store::{
        StoreError,
        series::{SeriesIds, SeriesScope, blocks::SeriesBlocks},
        view::NameKind,
    },
};

/// Most seeks to find out which sources are left out of an answer.
const LEFT_OUT_SEEKS_MAX: usize = 50_000;
/// Most pairs of an indicator and an entity in a selection that names entities: each pair costs a seek.
const PAIRS_MAX: usize = 1_000_000;

/// Which series, and which of their periods. A figure must match all fields.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Empty: none.
    pub indicators: Vec<IndicatorId>,
    /// Empty: all.
    pub entities: Vec<EntityId>,
    /// Only members of this group on this day, by their [`RelationKind::MemberOf`] relations. [`Snapshot::members`] says
    /// which day is meant without one. `None`: no group.
    pub members_of: Option<(EntityId, Option<Date>)>,
    /// Empty: all.
    pub sources: Vec<SourceId>,
    /// Sources that must not answer, even if `sources` names them.
    pub left_out: BTreeSet<SourceId>,
    /// (id, code). Codes of the same id are alternatives; all ids must match. A series that lacks an id does not match.
    pub dimensions: Vec<(String, String)>,
    /// Only periods that start with this one or later.
    pub from: Option<Period>,
    /// Only periods that end with this one or earlier.
    pub to: Option<Period>,
    /// Only so many of the latest periods that the other fields admit: of each series, or if a policy chooses, of each
    /// (indicator, entity, dimensions) over all sources. `None`: all.
    pub latest_periods: Option<u32>,
}

impl Selection {
    fn admits(&self, period: Period) -> bool {
        self.from.is_none_or(|from| period.start() >= from.start()) && self.to.is_none_or(|to| period.end() <= to.end())
    }

    fn admits_dimensions(&self, dimensions: &Dimensions) -> bool {
        dimensions.has(&self.dimensions)
    }

    /// The [`recency`] of the earliest period within `latest_periods`, of these; `None`: all periods are within it.
    pub(super) fn first_latest(&self, periods: &BTreeSet<(Date, Date)>) -> Option<(Date, Date)> {
        let count = usize::try_from(self.latest_periods?).unwrap_or(usize::MAX);
        match count {
            0 => Some((Date::MAX, Date::MAX)),
            count => periods.iter().rev().nth(count - 1).copied(),
        }
    }
}

/// The current figures of one series.
#[derive(Debug, Clone)]
pub struct CurrentSeries {
    /// What a later read goes on after.
    pub ids: SeriesIds,
    pub key: SeriesKey,
    /// One figure a period, in the order of periods; never empty.
    pub figures: Vec<CurrentFigure>,
}

/// Extent of the current figures of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesSummary {
    /// What a later read goes on after.
    pub ids: SeriesIds,
    pub key: SeriesKey,
    /// The period that starts first; of several, the one that ends first.
    pub first: Period,
    /// The latest period, by [`recency`].
    pub last: Period,
    /// How many current figures there are.
    pub figures: u64,
    /// The newest release that published one of them.
    pub newest_release: Date,
}

/// Where a paged read of series goes on: after this period of this series, or with `None` after the whole series.
pub type SeriesPosition = (SeriesIds, Option<Period>);

/// A selection in the numbers of the view. `None` admits all, an empty set none.
struct SeriesFilter {
    indicators: BTreeSet<u32>,
    /// Sorted.
    entities: Option<Arc<[u32]>>,
    sources: Option<BTreeSet<u32>>,
    left_out: BTreeSet<u32>,
}

impl SeriesFilter {
    /// The scopes to scan, in key order, from the one that holds a series on. They are made one by one: there may be a
    /// million.
    fn scopes(&self, start: Option<SeriesIds>) -> impl Iterator<Item = SeriesScope> + use<> {
        let first = start.map_or(0, |ids| ids.indicator);
        let indicators: Vec<u32> = self.indicators.range(first..).copied().collect();
        let entities = self.entities.clone();
        indicators.into_iter().flat_map(move |indicator| {
            let entities = entities.clone();
            let first_entity = start.filter(|ids| ids.indicator == indicator).map_or(0, |ids| ids.entity);
            let positions = match &entities {
                None => 0..1,
                Some(all) => all.partition_point(|entity| *entity < first_entity)..all.len(),
            };
            positions.filter_map(move |position| match &entities {
                None => Some(SeriesScope::Indicator(indicator)),
                Some(all) => all.get(position).map(|entity| SeriesScope::Figure(indicator, *entity)),
            })
        })
    }

    fn admits_source(&self, source: u32) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.contains(&source)) && !self.left_out.contains(&source)
    }
}

/// Whether a series lies in a scope, so that a scan of the scope may start at it.
fn lies_in(scope: SeriesScope, ids: SeriesIds) -> bool {
    match scope {
        SeriesScope::All => true,
        SeriesScope::Indicator(indicator) => ids.indicator == indicator,
        SeriesScope::Figure(indicator, entity) => (ids.indicator, ids.entity) == (indicator, entity),
    }
}

/// A step of a read of many series. A read that finds little takes many steps, so its caller counts them.
#[derive(Debug)]
pub enum Step<T, P> {
    /// The next item.
    Found(T),
    /// Nothing was found here. The read may stop, and go on after this position.
    Passed(P),
}

impl<T, P> Step<T, P> {
    /// What was found here.
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(item) => Some(item),
            Self::Passed(_) => None,
        }
    }
}

/// One series that a selection admits, whatever its periods.
pub(super) struct AdmittedSeries {
    pub(super) key: SeriesKey,
    pub(super) blocks: SeriesBlocks,
}

/// Which series of a selection a read passes, or comes to.
pub(super) type SeriesStep = Step<AdmittedSeries, SeriesIds>;

impl Snapshot {
    /// Refuses a selection that names an unknown id ([`QueryError::Unknown`]) or has more than a million pairs of an
    /// indicator and an entity ([`QueryError::TooManyPairs`]).
    pub fn check_selection(&self, selection: &Selection) -> Result<(), QueryError> {
        for id in &selection.indicators {
            self.require(DefinitionKind::Indicator, id.as_str())?;
        }
        for id in selection.entities.iter().chain(selection.members_of.iter().map(|(group, _)| group)) {
            self.require(DefinitionKind::Entity, id.as_str())?;
        }
        for id in &selection.sources {
            self.require(DefinitionKind::Source, id.as_str())?;
        }
        let Some(entities) = self.entities(selection)? else { return Ok(()) };
        let indicators: BTreeSet<&IndicatorId> = selection.indicators.iter().collect();
        let pairs = indicators.len().saturating_mul(entities.len());
        if pairs > PAIRS_MAX { Err(QueryError::TooManyPairs { pairs, limit: PAIRS_MAX }) } else { Ok(()) }
    }

    /// The sources whose licences forbid answers with many figures. [`QueryError::Forbidden`] if the selection names one.
    pub fn forbidden_sources(&self, selection: &Selection) -> Result<BTreeSet<SourceId>, QueryError> {
        let mut forbidden = BTreeSet::new();
        for definition in self.catalog.definitions(DefinitionKind::Source, "", self.revision()) {
            if let Definition::Source(source) = definition.as_ref()
                && source.redistribution == Redistribution::Forbidden
            {
                forbidden.insert(source.id.clone());
            }
        }
        match selection.sources.iter().find(|source| forbidden.contains(*source)) {
            Some(source) => Err(QueryError::Forbidden(source.to_string())),
            None => Ok(forbidden),
        }
    }

    /// Of the sources in [`Selection::left_out`], those that have series of the selection; none if the selection names
    /// its sources. If finding out takes more than 50,000 seeks, the sources that are still open count as having some.
    pub fn sources_left_out(&self, selection: &Selection) -> Result<BTreeSet<SourceId>, StoreError> {
        if !selection.sources.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut pending: BTreeMap<u32, &SourceId> = BTreeMap::new();
        for source in &selection.left_out {
            if let Some(number) = self.view().number(NameKind::Source, source.as_str()) {
                pending.insert(number, source);
            }
        }
        let mut found = BTreeSet::new();
        let mut seeks = 0;
        for scope in self.series_filter(selection)?.scopes(None) {
            let mut after = None;
            loop {
                if pending.is_empty() {
                    return Ok(found);
                }
                if seeks == LEFT_OUT_SEEKS_MAX {
                    found.extend(pending.into_values().cloned());
                    return Ok(found);
                }
                seeks += 1;
                let Some(ids) = self.view().next_series(scope, after)? else { break };
                found.extend(pending.remove(&ids.source).cloned());
                after = Some(ids);
            }
        }
        Ok(found)
    }

    /// The series of a selection that have current figures, in key order, after a position. Each step costs one read.
    pub fn series<'a>(
        &'a self,
        selection: &'a Selection,
        after: Option<SeriesPosition>,
    ) -> impl Iterator<Item = Result<Step<CurrentSeries, SeriesIds>, StoreError>> + 'a {
        let series = self.matching_series(selection, after.map(|(ids, _)| ids));
        series.map(move |step| {
            let series = match step? {
                Step::Found(series) => self.current_series(selection, series, after)?,
                Step::Passed(ids) => return Ok(Step::Passed(ids)),
            };
            Ok(if series.figures.is_empty() { Step::Passed(series.ids) } else { Step::Found(series) })
        })
    }

    /// The current figures of a series that a selection admits, after a position; they may be none.
    fn current_series(
        &self,
        selection: &Selection,
        series: AdmittedSeries,
        after: Option<SeriesPosition>,
    ) -> Result<CurrentSeries, StoreError> {
        let AdmittedSeries { key, blocks } = series;
        let ids = blocks.ids;
        let mut figures = self.admitted_figures(selection, &blocks)?;
        if selection.latest_periods.is_some() {
            let periods = figures.iter().map(CurrentFigure::recency).collect();
            let first_latest = selection.first_latest(&periods);
            figures.retain(|figure| first_latest.is_none_or(|first| figure.recency() >= first));
        }
        match after {
            Some((start, None)) if start == ids => figures.clear(),
            Some((start, Some(last))) if start == ids => figures.retain(|figure| figure.version.period > last),
            _ => {}
        }
        Ok(CurrentSeries { ids, key, figures })
    }

    /// The current figures of a series in the periods of a selection, in the order of periods. With `latest_periods` at
    /// least those of the latest periods: earlier ones are not read.
    pub(super) fn admitted_figures(
        &self,
        selection: &Selection,
        blocks: &SeriesBlocks,
    ) -> Result<Vec<CurrentFigure>, StoreError> {
        let full_release = self.full_release_of(blocks.ids)?;
        let admitted = |figure: &CurrentFigure| selection.admits(figure.version.period);
        if selection.latest_periods.is_none() {
            return Ok(self.figures_among(&blocks.versions()?, full_release).filter(admitted).collect());
        }
        let mut figures: Vec<CurrentFigure> = Vec::new();
        let mut periods = BTreeSet::new();
        blocks.read_latest(|versions| {
            figures.extend(self.figures_among(versions, full_release).filter(admitted));
            periods.extend(figures.iter().map(CurrentFigure::recency));
            Ok(selection.first_latest(&periods))
        })?;
        figures.sort_by_key(|figure| figure.version.period);
        Ok(figures)
    }

    /// The extent of each series of a selection that has current figures, in key order, after a series.
    pub fn list_series<'a>(
        &'a self,
        selection: &'a Selection,
        after: Option<SeriesIds>,
    ) -> impl Iterator<Item = Result<Step<SeriesSummary, SeriesIds>, StoreError>> + 'a {
        self.series(selection, after.map(|ids| (ids, None))).map(|step| {
            Ok(match step? {
                Step::Found(series) => {
                    let ids = series.ids;
                    summary(series).map_or(Step::Passed(ids), Step::Found)
                }
                Step::Passed(ids) => Step::Passed(ids),
            })
        })
    }

    /// Comes to the series that a selection admits, whatever their periods, and passes the others. In key order, from a
    /// series on, which is included.
    pub(super) fn matching_series<'a>(
        &'a self,
        selection: &'a Selection,
        start: Option<SeriesIds>,
    ) -> Box<dyn Iterator<Item = Result<SeriesStep, StoreError>> + 'a> {
        let filter = match self.series_filter(selection) {
            Ok(filter) => filter,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let steps = filter.scopes(start).flat_map(move |scope| {
            let within = start.filter(|ids| lies_in(scope, *ids));
            let series = self.view().scan_blocks(scope, within).map(|series| Ok(Some(series?)));
            // A scope without series costs a read too.
            series.chain(std::iter::once(Ok(None))).map(move |series: Result<_, StoreError>| Ok((scope, series?)))
        });
        Box::new(steps.filter_map(move |step| {
            let (scope, blocks) = match step {
                Ok((scope, Some(blocks))) => (scope, blocks),
                Ok((scope, None)) => return Some(Ok(Step::Passed(end_of(scope)))),
                Err(error) => return Some(Err(error)),
            };
            let ids = blocks.ids;
            debug_assert!(lies_in(scope, ids));
            if start.is_some_and(|start| ids < start) {
                return None;
            }
            if !filter.admits_source(ids.source) {
                return Some(Ok(Step::Passed(ids)));
            }
            match self.view().series_key(ids) {
                Ok(key) if !selection.admits_dimensions(&key.dimensions) => Some(Ok(Step::Passed(ids))),
                Ok(key) => Some(Ok(Step::Found(AdmittedSeries { key, blocks }))),
                Err(error) => Some(Err(error)),
            }
        }))
    }

    fn series_filter(&self, selection: &Selection) -> Result<SeriesFilter, StoreError> {
        let indicators = selection.indicators.iter().map(IndicatorId::as_str);
        let sources = selection.sources.iter().map(SourceId::as_str);
        let left_out = selection.left_out.iter().map(SourceId::as_str);
        let entities = self.entities(selection)?;
        let entities = entities.map(|ids| self.numbers(NameKind::Entity, ids.iter().map(EntityId::as_str)));
        let all_sources = selection.sources.is_empty();
        Ok(SeriesFilter {
            indicators: self.numbers(NameKind::Indicator, indicators),
            entities: entities.map(|numbers| numbers.into_iter().collect()),
            sources: if all_sources { None } else { Some(self.numbers(NameKind::Source, sources)) },
            left_out: self.numbers(NameKind::Source, left_out),
        })
    }

    /// The numbers of those names that have one.
    fn numbers<'a>(&self, kind: NameKind, names: impl Iterator<Item = &'a str>) -> BTreeSet<u32> {
        names.filter_map(|name| self.view().number(kind, name)).collect()
    }

    /// The entities that a selection admits; `None`: all.
    fn entities(&self, selection: &Selection) -> Result<Option<BTreeSet<EntityId>>, StoreError> {
        let named: BTreeSet<EntityId> = selection.entities.iter().cloned().collect();
        let Some((group, day)) = &selection.members_of else {
            return Ok((!named.is_empty()).then_some(named));
        };
        let members = self.members(group, *day)?.into_iter();
        Ok(Some(members.filter(|member| named.is_empty() || named.contains(member)).collect()))
    }

    /// The members of a group on a day, in id order. Without a day, it is the release date of the horizon; if that has
    /// none, the day on which the revision of the answer was recorded, so that one revision has one answer.
    pub fn members(&self, group: &EntityId, day: Option<Date>) -> Result<Vec<EntityId>, StoreError> {
        let day = match day {
            Some(day) => day,
            None if self.horizon.released != Date::MAX => self.horizon.released,
            None if self.revision() == Revision::ZERO => return Ok(Vec::new()),
            None => self.reader.commit(self.revision())?.recorded.day(),
        };
        let mut members = Vec::new();
        for definition in self.catalog.definitions(DefinitionKind::Entity, "", self.revision()) {
            if let Definition::Entity(entity) = definition.as_ref()
                && is_member(entity, group, day)
            {
                members.push(entity.id.clone());
            }
        }
        Ok(members)
    }
}

/// `None` for a series without figures.
fn summary(series: CurrentSeries) -> Option<SeriesSummary> {
    let CurrentSeries { ids, key, figures } = series;
    let periods: Vec<Period> = figures.iter().map(|figure| figure.version.period).collect();
    Some(SeriesSummary {
        ids,
        key,
        first: periods.iter().copied().min()?,
        last: periods.iter().copied().max_by_key(|period| recency(*period))?,
        figures: figures.len() as u64,
        newest_release: figures.iter().map(|figure| figure.last_released).max()?,
    })
}

/// Whether an entity is a member of a group on a day. The first and the last day of a relation belong to it.
fn is_member(entity: &Entity, group: &EntityId, day: Date) -> bool {
    entity.relations.iter().any(|relation| {
        relation.kind == RelationKind::MemberOf
            && relation.entity == *group
            && relation.valid_from.is_none_or(|from| from <= day)
            && relation.valid_to.is_none_or(|to| day <= to)
    })
}

/// A position after all series of a scope.
fn end_of(scope: SeriesScope) -> SeriesIds {
    let (indicator, entity) = match scope {
        SeriesScope::All => (u32::MAX, u32::MAX),
        SeriesScope::Indicator(indicator) => (indicator, u32::MAX),
        SeriesScope::Figure(indicator, entity) => (indicator, entity),
    };
    SeriesIds { indicator, entity, source: u32::MAX, dimensions: u32::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(entities: Option<Arc<[u32]>>) -> SeriesFilter {
        SeriesFilter { indicators: (0..1_000_000).collect(), entities, sources: None, left_out: BTreeSet::new() }
    }

    fn start(indicator: u32, entity: u32) -> Option<SeriesIds> {
        Some(SeriesIds { indicator, entity, source: 0, dimensions: 0 })
    }

    #[test]
    fn a_million_million_scopes_are_made_one_by_one() {
        let pairs = filter(Some((0..1_000_000).collect()));
        let first: Vec<SeriesScope> = pairs.scopes(None).take(2).collect();
        assert_eq!(first, [SeriesScope::Figure(0, 0), SeriesScope::Figure(0, 1)]);
        let across: Vec<SeriesScope> = pairs.scopes(start(7, 999_999)).take(2).collect();
        assert_eq!(across, [SeriesScope::Figure(7, 999_999), SeriesScope::Figure(8, 0)]);
        assert_eq!(pairs.scopes(start(999_999, 999_998)).count(), 2);
    }

    #[test]
    fn without_entities_a_scope_is_an_indicator_and_with_an_empty_set_there_is_none() {
        let last: Vec<SeriesScope> = filter(None).scopes(start(999_998, 5)).collect();
        assert_eq!(last, [SeriesScope::Indicator(999_998), SeriesScope::Indicator(999_999)]);
        assert_eq!(filter(Some([].into())).scopes(None).take(1).count(), 0);
    }
}
