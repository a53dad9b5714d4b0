//! Many figures at once: whole series, or one figure for each key, chosen by a policy.
//!
//! Invariant: a filter that is set only ever narrows a selection. If what it names has no figures, the answer is empty.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    QueryError, Snapshot,
    figures::{CurrentFigure, Observation, recency},
    policy::Policy,
};
use crate::{
    model::{
        catalog::{Definition, DefinitionKind, Entity, Redistribution, RelationKind},
        id::{EntityId, IndicatorId, Revision, SourceId},
        period::Period,
        series::{Dimensions, FigureVersion, SeriesKey},
        time::Date,
    },
    store::{
        StoreError,
        series::{SeriesIds, SeriesScope},
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
    fn first_latest(&self, periods: &BTreeSet<(Date, Date)>) -> Option<(Date, Date)> {
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

/// Where a paged read of chosen figures goes on: after this key, in the numbers of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FigurePosition {
    pub indicator: u32,
    pub entity: u32,
    pub dimensions: u32,
    pub period: Period,
}

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

/// All versions of one series, sorted.
struct SeriesVersions {
    ids: SeriesIds,
    key: SeriesKey,
    versions: Vec<FigureVersion>,
}

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

    /// The series of a selection that have current figures, in key order, after a position. Each item costs one read.
    pub fn series<'a>(
        &'a self,
        selection: &'a Selection,
        after: Option<SeriesPosition>,
    ) -> impl Iterator<Item = Result<CurrentSeries, StoreError>> + 'a {
        let series = self.matching_series(selection, after.map(|(ids, _)| ids));
        series.filter_map(move |item| {
            let current = item.and_then(|series| self.current_series(selection, series, after));
            current.map(|current| (!current.figures.is_empty()).then_some(current)).transpose()
        })
    }

    /// The current figures of a series that a selection admits, after a position; they may be none.
    fn current_series(
        &self,
        selection: &Selection,
        series: SeriesVersions,
        after: Option<SeriesPosition>,
    ) -> Result<CurrentSeries, StoreError> {
        let SeriesVersions { ids, key, versions } = series;
        let mut figures = self.current_figures(ids, &versions)?;
        figures.retain(|figure| selection.admits(figure.version.period));
        let periods = figures.iter().map(|figure| recency(figure.version.period)).collect();
        let first_latest = selection.first_latest(&periods);
        figures.retain(|figure| first_latest.is_none_or(|first| recency(figure.version.period) >= first));
        match after {
            Some((start, None)) if start == ids => figures.clear(),
            Some((start, Some(last))) if start == ids => figures.retain(|figure| figure.version.period > last),
            _ => {}
        }
        Ok(CurrentSeries { ids, key, figures })
    }

    /// The extent of each series of a selection that has current figures, in key order, after a series.
    pub fn list_series<'a>(
        &'a self,
        selection: &'a Selection,
        after: Option<SeriesIds>,
    ) -> impl Iterator<Item = Result<SeriesSummary, StoreError>> + 'a {
        let series = self.series(selection, after.map(|ids| (ids, None)));
        series.filter_map(|item| item.map(summary).transpose())
    }

    /// One figure for each (indicator, entity, dimensions, period) of a selection: that of the source which a policy puts
    /// first. In the order of positions, after one. It reads the series of one indicator and entity at a time.
    pub fn selected_figures<'a>(
        &'a self,
        selection: &'a Selection,
        policy: Policy,
        after: Option<FigurePosition>,
    ) -> impl Iterator<Item = Result<(FigurePosition, Observation), StoreError>> + 'a {
        let start =
            after.map(|after| SeriesIds { indicator: after.indicator, entity: after.entity, source: 0, dimensions: 0 });
        let mut series = self.matching_series(selection, start).peekable();
        let groups = std::iter::from_fn(move || {
            let mut group = vec![series.next()?];
            while let Some(next) = series.next_if(|next| is_same_figure(&group, next)) {
                group.push(next);
            }
            Some(group.into_iter().collect::<Result<Vec<SeriesVersions>, StoreError>>())
        });
        groups.flat_map(move |group| match group.and_then(|group| self.choose(selection, policy, group, after)) {
            Ok(chosen) => chosen.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    /// Chooses among the figures of the series of one indicator and entity, after a position.
    fn choose(
        &self,
        selection: &Selection,
        policy: Policy,
        group: Vec<SeriesVersions>,
        after: Option<FigurePosition>,
    ) -> Result<Vec<(FigurePosition, Observation)>, StoreError> {
        let mut candidates: BTreeMap<FigurePosition, Vec<(SeriesKey, CurrentFigure)>> = BTreeMap::new();
        let mut periods_by_dimensions: BTreeMap<u32, BTreeSet<(Date, Date)>> = BTreeMap::new();
        for SeriesVersions { ids, key, versions } in group {
            let SeriesIds { indicator, entity, dimensions, .. } = ids;
            for figure in self.current_figures(ids, &versions)? {
                let period = figure.version.period;
                if selection.admits(period) {
                    let position = FigurePosition { indicator, entity, dimensions, period };
                    candidates.entry(position).or_default().push((key.clone(), figure));
                    periods_by_dimensions.entry(dimensions).or_default().insert(recency(period));
                }
            }
        }
        let mut chosen = Vec::new();
        for (position, mut figures) in candidates {
            let periods = periods_by_dimensions.get(&position.dimensions);
            let first_latest = periods.and_then(|periods| selection.first_latest(periods));
            let is_latest = first_latest.is_none_or(|first| recency(position.period) >= first);
            if !is_latest || after.is_some_and(|after| position <= after) {
                continue;
            }
            if let Some(at) = policy.choose(&figures, &self.catalog, self.revision()) {
                let (key, figure) = figures.swap_remove(at);
                chosen.push((position, self.current_observation(key, figure)?));
            }
        }
        Ok(chosen)
    }

    /// The series that a selection admits, whatever their periods, with all their versions. In key order, from a series
    /// on, which is included.
    fn matching_series<'a>(
        &'a self,
        selection: &'a Selection,
        start: Option<SeriesIds>,
    ) -> Box<dyn Iterator<Item = Result<SeriesVersions, StoreError>> + 'a> {
        let filter = match self.series_filter(selection) {
            Ok(filter) => filter,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let scanned = filter.scopes(start).flat_map(move |scope| {
            let within = start.filter(|ids| lies_in(scope, *ids));
            self.view().scan_series(scope, within)
        });
        Box::new(scanned.filter_map(move |item| {
            let (ids, versions) = match item {
                Ok(item) => item,
                Err(error) => return Some(Err(error)),
            };
            if start.is_some_and(|start| ids < start) || !filter.admits_source(ids.source) {
                return None;
            }
            match self.view().series_key(ids) {
                Ok(key) if !selection.admits_dimensions(&key.dimensions) => None,
                Ok(key) => Some(Ok(SeriesVersions { ids, key, versions })),
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

/// Whether a series has the same indicator and entity as those of a group. An error is a group of its own.
fn is_same_figure(group: &[Result<SeriesVersions, StoreError>], next: &Result<SeriesVersions, StoreError>) -> bool {
    let (Some(Ok(first)), Ok(next)) = (group.first(), next) else { return false };
    first.ids.indicator == next.ids.indicator && first.ids.entity == next.ids.entity
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
