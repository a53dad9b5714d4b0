//! Many figures at once: whole series, or one figure a key by policy.
//!
//! Invariant: a filter that is set narrows. What it names may have no figures; then it admits nothing, never everything.

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
        time::{Date, Instant},
    },
    store::{
        StoreError,
        series::{SeriesIds, SeriesScope},
        view::NameKind,
    },
};

/// Most seeks to find out which sources a bulk answer leaves out.
const LEFT_OUT_SEEKS_MAX: usize = 50_000;
/// Most pairs of an indicator and an entity in a selection that narrows entities: each is sought.
const PAIRS_MAX: usize = 1_000_000;
const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// Which series, and which of their periods. All fields must match.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Empty: none.
    pub indicators: Vec<IndicatorId>,
    /// Empty: all.
    pub entities: Vec<EntityId>,
    /// Only members of this group on this day, by their `MemberOf` relations. Without a day: the release date asked for,
    /// else the day on which the revision answered at was recorded, so that one revision has one answer.
    pub members_of: Option<(EntityId, Option<Date>)>,
    /// Empty: all.
    pub sources: Vec<SourceId>,
    /// Sources not to answer with, whatever `sources` says.
    pub left_out: BTreeSet<SourceId>,
    /// (id, code): codes of one id are alternatives, all ids must match. A series without one of the ids does not match.
    pub dimensions: Vec<(String, String)>,
    /// Only periods that begin with this one or later.
    pub from: Option<Period>,
    /// Only periods that end with this one or earlier.
    pub to: Option<Period>,
    /// Only so many periods, the latest of those admitted: of each series, or of each figure over all sources where a
    /// policy chooses.
    pub latest_periods: Option<u32>,
}

impl Selection {
    fn admits(&self, period: Period) -> bool {
        self.from.is_none_or(|from| period.start() >= from.start()) && self.to.is_none_or(|to| period.end() <= to.end())
    }

    fn admits_dimensions(&self, dimensions: &Dimensions) -> bool {
        dimensions.has(&self.dimensions)
    }

    /// The earliest of the latest periods that are wanted, in order of recency; `None`: all are.
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
    /// Its numbers: the position of a reader that goes on later.
    pub ids: SeriesIds,
    /// Its name.
    pub key: SeriesKey,
    /// One figure per period, in period order.
    pub figures: Vec<CurrentFigure>,
}

/// What there is of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesSummary {
    /// Its numbers: the position of a reader that goes on later.
    pub ids: SeriesIds,
    /// Its name.
    pub key: SeriesKey,
    /// The period that begins first, of those that do the one that ends first.
    pub first: Period,
    /// The latest period, by [`recency`].
    pub last: Period,
    /// Current figures.
    pub figures: u64,
    /// The newest release that published one of them.
    pub newest_release: Date,
}

/// Where a paged read of series goes on: after this period of this series, or after all of it.
pub type SeriesPosition = (SeriesIds, Option<Period>);

/// Where a paged read of chosen figures goes on: after this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FigurePosition {
    pub indicator: u32,
    pub entity: u32,
    pub dimensions: u32,
    pub period: Period,
}

/// A selection in the view's numbers. `None`: all; an empty set: none.
struct Narrowing {
    indicators: BTreeSet<u32>,
    /// In order.
    entities: Option<Arc<[u32]>>,
    sources: Option<BTreeSet<u32>>,
    left_out: BTreeSet<u32>,
}

impl Narrowing {
    /// The scopes to scan, from a series on. Made one by one: there may be a million.
    fn scopes(&self, start: Option<SeriesIds>) -> impl Iterator<Item = SeriesScope> + use<> {
        let first = start.map_or(0, |ids| ids.indicator);
        let indicators: Vec<u32> = self.indicators.range(first..).copied().collect();
        let entities = self.entities.clone();
        indicators.into_iter().flat_map(move |indicator| {
            let entities = entities.clone();
            let from = start.filter(|ids| ids.indicator == indicator).map_or(0, |ids| ids.entity);
            let places = entities.as_ref().map_or(0..1, |all| all.partition_point(|entity| *entity < from)..all.len());
            places.filter_map(move |at| match &entities {
                None => Some(SeriesScope::Indicator(indicator)),
                Some(entities) => entities.get(at).map(|entity| SeriesScope::Figure(indicator, *entity)),
            })
        })
    }

    fn admits_source(&self, source: u32) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.contains(&source)) && !self.left_out.contains(&source)
    }
}

/// Whether a series lies in a scope: a scan may start at it.
fn lies_in(scope: SeriesScope, ids: SeriesIds) -> bool {
    match scope {
        SeriesScope::All => true,
        SeriesScope::Indicator(indicator) => ids.indicator == indicator,
        SeriesScope::Figure(indicator, entity) => (ids.indicator, ids.entity) == (indicator, entity),
    }
}

type Series = (SeriesIds, SeriesKey, Vec<FigureVersion>);

impl Snapshot {
    /// Refuses a selection that names what is not known, or that takes too long to look through.
    pub fn check_selection(&self, selection: &Selection) -> Result<(), QueryError> {
        selection.indicators.iter().try_for_each(|id| self.require(DefinitionKind::Indicator, id.as_str()))?;
        selection.entities.iter().try_for_each(|id| self.require(DefinitionKind::Entity, id.as_str()))?;
        selection.members_of.iter().try_for_each(|(id, _)| self.require(DefinitionKind::Entity, id.as_str()))?;
        selection.sources.iter().try_for_each(|id| self.require(DefinitionKind::Source, id.as_str()))?;
        let Some(entities) = self.entities(selection)? else { return Ok(()) };
        let indicators: BTreeSet<&IndicatorId> = selection.indicators.iter().collect();
        let pairs = indicators.len().saturating_mul(entities.len());
        if pairs > PAIRS_MAX { Err(QueryError::TooManyPairs { pairs, limit: PAIRS_MAX }) } else { Ok(()) }
    }

    /// Sources that may not be handed out in bulk. Naming one is refused.
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

    /// Of sources that are left out, those that have series of the selection. Where it would take too many seeks to know, a
    /// source counts as one that has. A selection that names its sources asks for no others.
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
        for scope in self.narrowing(selection)?.scopes(None) {
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

    /// The current series of a selection in key order, after a position. Each item costs one read; take what is needed.
    pub fn series<'a>(
        &'a self,
        selection: &'a Selection,
        after: Option<SeriesPosition>,
    ) -> impl Iterator<Item = Result<CurrentSeries, StoreError>> + 'a {
        let series = self.admitted(selection, after.map(|(ids, _)| ids));
        series.filter_map(move |item| {
            let current = item.and_then(|(ids, key, rows)| {
                let mut figures = self.current_figures(ids, &rows)?;
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
            });
            current.map(|current| (!current.figures.is_empty()).then_some(current)).transpose()
        })
    }

    /// What there is of each series of a selection, in key order, after a series.
    pub fn list_series<'a>(
        &'a self,
        selection: &'a Selection,
        after: Option<SeriesIds>,
    ) -> impl Iterator<Item = Result<SeriesSummary, StoreError>> + 'a {
        self.series(selection, after.map(|ids| (ids, None))).filter_map(|item| {
            let summary = item.map(|CurrentSeries { ids, key, figures }| {
                let periods = || figures.iter().map(|figure| figure.version.period);
                Some(SeriesSummary {
                    ids,
                    key,
                    first: periods().min()?,
                    last: periods().max_by_key(|period| recency(*period))?,
                    figures: figures.len() as u64,
                    newest_release: figures.iter().map(|figure| figure.last_released).max()?,
                })
            });
            summary.transpose()
        })
    }

    /// One figure for each (indicator, entity, dimensions, period) of a selection: of the sources that have it, the one that a
    /// policy puts first. In the order of positions, after one. Reads the series of one indicator and entity at a time.
    pub fn selected_figures<'a>(
        &'a self,
        selection: &'a Selection,
        policy: Policy,
        after: Option<FigurePosition>,
    ) -> impl Iterator<Item = Result<(FigurePosition, Observation), StoreError>> + 'a {
        let start =
            after.map(|after| SeriesIds { indicator: after.indicator, entity: after.entity, source: 0, dimensions: 0 });
        let mut series = self.admitted(selection, start).peekable();
        let groups = std::iter::from_fn(move || {
            let mut group = vec![series.next()?];
            while let Some(next) = series.next_if(|next| belongs(&group, next)) {
                group.push(next);
            }
            Some(group.into_iter().collect::<Result<Vec<Series>, StoreError>>())
        });
        groups.flat_map(move |group| match group.and_then(|group| self.choose(selection, policy, group, after)) {
            Ok(chosen) => chosen.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    /// Chooses among the series of one indicator and entity.
    fn choose(
        &self,
        selection: &Selection,
        policy: Policy,
        group: Vec<Series>,
        after: Option<FigurePosition>,
    ) -> Result<Vec<(FigurePosition, Observation)>, StoreError> {
        let mut found: BTreeMap<FigurePosition, Vec<(SeriesKey, CurrentFigure)>> = BTreeMap::new();
        let mut periods: BTreeMap<u32, BTreeSet<(Date, Date)>> = BTreeMap::new();
        for (ids, key, rows) in group {
            let SeriesIds { indicator, entity, dimensions, .. } = ids;
            for figure in self.current_figures(ids, &rows)? {
                let period = figure.version.period;
                if selection.admits(period) {
                    let position = FigurePosition { indicator, entity, dimensions, period };
                    found.entry(position).or_default().push((key.clone(), figure));
                    periods.entry(dimensions).or_default().insert(recency(period));
                }
            }
        }
        let mut chosen = Vec::new();
        for (position, mut figures) in found {
            let first_latest = periods.get(&position.dimensions).and_then(|periods| selection.first_latest(periods));
            let wanted = first_latest.is_none_or(|first| recency(position.period) >= first)
                && after.is_none_or(|after| position > after);
            if !wanted {
                continue;
            }
            if let Some(at) = policy.choose(&figures, &self.catalog, self.revision()) {
                let (key, figure) = figures.swap_remove(at);
                chosen.push((position, self.current_observation(key, figure)?));
            }
        }
        Ok(chosen)
    }

    /// The series that a selection admits by name with all their rows, in key order, from one on (itself included).
    fn admitted<'a>(
        &'a self,
        selection: &'a Selection,
        start: Option<SeriesIds>,
    ) -> Box<dyn Iterator<Item = Result<Series, StoreError>> + 'a> {
        let narrowing = match self.narrowing(selection) {
            Ok(narrowing) => narrowing,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let scanned = narrowing.scopes(start).flat_map(move |scope| {
            let within = start.filter(|ids| lies_in(scope, *ids));
            self.view().scan_series(scope, within)
        });
        Box::new(scanned.filter_map(move |item| {
            let (ids, rows) = match item {
                Ok(item) => item,
                Err(error) => return Some(Err(error)),
            };
            if start.is_some_and(|start| ids < start) || !narrowing.admits_source(ids.source) {
                return None;
            }
            match self.view().series_key(ids) {
                Ok(key) => selection.admits_dimensions(&key.dimensions).then_some(Ok((ids, key, rows))),
                Err(error) => Some(Err(error)),
            }
        }))
    }

    fn narrowing(&self, selection: &Selection) -> Result<Narrowing, StoreError> {
        let source_number = |id: &SourceId| self.view().number(NameKind::Source, id.as_str());
        let entities = self.entities(selection)?.map(|ids| {
            let numbers = ids.iter().filter_map(|id| self.view().number(NameKind::Entity, id.as_str()));
            numbers.collect::<BTreeSet<u32>>().into_iter().collect()
        });
        let indicators = selection.indicators.iter();
        Ok(Narrowing {
            indicators: indicators.filter_map(|id| self.view().number(NameKind::Indicator, id.as_str())).collect(),
            entities,
            sources: (!selection.sources.is_empty())
                .then(|| selection.sources.iter().filter_map(source_number).collect()),
            left_out: selection.left_out.iter().filter_map(source_number).collect(),
        })
    }

    /// The entities that a selection narrows to; `None`: all.
    fn entities(&self, selection: &Selection) -> Result<Option<BTreeSet<EntityId>>, StoreError> {
        let named: BTreeSet<EntityId> = selection.entities.iter().cloned().collect();
        let Some((group, day)) = &selection.members_of else {
            return Ok((!named.is_empty()).then_some(named));
        };
        let members = self.members(group, *day)?.into_iter();
        Ok(Some(members.filter(|member| named.is_empty() || named.contains(member)).collect()))
    }

    /// The members of a group on a day, in id order; see [`Selection::members_of`] for the day that is meant without one.
    pub fn members(&self, group: &EntityId, day: Option<Date>) -> Result<Vec<EntityId>, StoreError> {
        let day = match day {
            Some(day) => day,
            None if self.horizon.released != Date::MAX => self.horizon.released,
            None if self.revision() == Revision::ZERO => return Ok(Vec::new()),
            None => day_of(self.reader.commit(self.revision())?.recorded),
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

/// The day of an instant in UTC.
fn day_of(instant: Instant) -> Date {
    let days = i32::try_from(instant.0.div_euclid(DAY_MICROSECONDS)).ok();
    days.and_then(Date::from_days).unwrap_or(Date::MAX)
}

/// Both days of validity belong to it.
fn is_member(entity: &Entity, group: &EntityId, day: Date) -> bool {
    entity.relations.iter().any(|relation| {
        relation.kind == RelationKind::MemberOf
            && relation.entity == *group
            && relation.valid_from.is_none_or(|from| from <= day)
            && relation.valid_to.is_none_or(|to| day <= to)
    })
}

/// Whether a series is of the same indicator and entity as those before it.
fn belongs(group: &[Result<Series, StoreError>], next: &Result<Series, StoreError>) -> bool {
    match (group.first(), next) {
        (Some(Ok((first, ..))), Ok((next, ..))) => (first.indicator, first.entity) == (next.indicator, next.entity),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_made_as_they_are_taken() {
        let many = 0..1_000_000;
        let narrowing = |entities: Option<Arc<[u32]>>| Narrowing {
            indicators: many.clone().collect(),
            entities,
            sources: None,
            left_out: BTreeSet::new(),
        };
        let start = |indicator, entity| Some(SeriesIds { indicator, entity, source: 0, dimensions: 0 });
        let pairs = narrowing(Some(many.clone().collect()));
        let first: Vec<SeriesScope> = pairs.scopes(None).take(2).collect();
        assert_eq!(first, [SeriesScope::Figure(0, 0), SeriesScope::Figure(0, 1)]);
        let across: Vec<SeriesScope> = pairs.scopes(start(7, 999_999)).take(2).collect();
        assert_eq!(across, [SeriesScope::Figure(7, 999_999), SeriesScope::Figure(8, 0)]);
        assert_eq!(pairs.scopes(start(999_999, 999_998)).count(), 2);
        let whole = narrowing(None);
        assert_eq!(
            whole.scopes(start(999_998, 5)).collect::<Vec<_>>(),
            [SeriesScope::Indicator(999_998), SeriesScope::Indicator(999_999)]
        );
        assert_eq!(narrowing(Some([].into())).scopes(None).take(1).count(), 0);
    }
}
