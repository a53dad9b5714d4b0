//! What filters look at: the facts of the rows that a change is about.

use super::{Filter, Kind, Matching};
use crate::{
    model::{
        catalog::Definition,
        change::{Change, EntryChange},
        edition::{Edition, EditionStatus, Entry},
        id::{EntityId, RankingId, SourceId},
        series::{Dimensions, SeriesKey},
    },
    query::state::StateRow,
};

/// The rows that a change is about; `None` where there is no row.
#[derive(Clone)]
pub(in crate::feed) struct Sides<'a> {
    /// The row of the change's key in the state of the previous revision.
    pub(in crate::feed) before: Option<Facts<'a>>,
    /// The row of the change's key in the state of its revision.
    pub(in crate::feed) after: Option<Facts<'a>>,
    /// Not a row of the key: the entry in the edition compared with, or a figure filled in behind "no figure".
    pub(in crate::feed) beside: Option<Facts<'a>>,
}

/// The facts of a row.
#[derive(Clone)]
pub(in crate::feed) struct Facts<'a> {
    pub(in crate::feed) kind: Kind,
    pub(in crate::feed) ranking: Option<&'a str>,
    pub(in crate::feed) indicator: Option<&'a str>,
    /// The entity itself, and for a cluster the economies that it lies in.
    pub(in crate::feed) entities: Vec<&'a str>,
    pub(in crate::feed) source: Option<&'a str>,
    pub(in crate::feed) rank: Option<u32>,
    pub(in crate::feed) dimensions: Option<&'a Dimensions>,
}

impl<'a> Sides<'a> {
    pub(in crate::feed) fn of(change: &'a Change) -> Self {
        match change {
            Change::Figure(change) => {
                let backfilled_only = change.before.is_none() && change.after.is_none();
                Self {
                    before: change.before.is_some().then(|| Facts::of_series(&change.series)),
                    after: change.after.is_some().then(|| Facts::of_series(&change.series)),
                    beside: backfilled_only.then(|| Facts::of_series(&change.series)),
                }
            }
            Change::Entry(change) => Self {
                before: Facts::of_row(change, change.before.as_deref(), change.earlier_source.as_ref()),
                after: Facts::of_row(change, change.after.as_deref(), change.source.as_ref()),
                beside: Facts::of_row(change, change.compared.as_deref(), change.earlier_source.as_ref()),
            },
            Change::Edition { before, after, .. } => Self {
                before: before.as_deref().and_then(Facts::of_standing_edition),
                after: Facts::of_standing_edition(after),
                beside: None,
            },
            Change::Definition(change) => Self {
                before: change.before.as_deref().map(Facts::of_definition),
                after: change.after.as_deref().map(Facts::of_definition),
                beside: None,
            },
        }
    }

    /// Which sides have a row.
    pub(in crate::feed) fn present(&self) -> Matching {
        Matching { before: self.before.is_some(), after: self.after.is_some(), beside: self.beside.is_some() }
    }

    /// Which sides have a row that the filter accepts.
    pub(super) fn accepted_by(&self, filter: &Filter) -> Matching {
        Matching {
            before: self.before.as_ref().is_some_and(|facts| filter.accepts(facts)),
            after: self.after.as_ref().is_some_and(|facts| filter.accepts(facts)),
            beside: self.beside.as_ref().is_some_and(|facts| filter.accepts(facts)),
        }
    }
}

impl<'a> Facts<'a> {
    fn new(kind: Kind) -> Self {
        Self { kind, ranking: None, indicator: None, entities: Vec::new(), source: None, rank: None, dimensions: None }
    }

    pub(super) fn of_state_row(row: &'a StateRow) -> Self {
        match row {
            StateRow::Definition(definition) => Self::of_definition(definition),
            StateRow::Edition(edition) => Self::of_edition(edition),
            StateRow::Entry(edition, entry) => Self::of_entry(&edition.ranking, edition.source.as_ref(), entry),
            StateRow::Figure(figure) => Self::of_series(&figure.series),
        }
    }

    fn of_series(key: &'a SeriesKey) -> Self {
        Self {
            indicator: Some(key.indicator.as_str()),
            entities: vec![key.entity.as_str()],
            source: Some(key.source.as_str()),
            dimensions: Some(&key.dimensions),
            ..Self::new(Kind::Value)
        }
    }

    fn of_edition(edition: &'a Edition) -> Self {
        Self {
            ranking: Some(edition.ranking.as_str()),
            source: edition.source.as_ref().map(SourceId::as_str),
            ..Self::new(Kind::Edition)
        }
    }

    /// `None`: the edition is withdrawn, so the state has no row for it.
    fn of_standing_edition(edition: &'a Edition) -> Option<Self> {
        (edition.status != EditionStatus::Withdrawn).then(|| Self::of_edition(edition))
    }

    fn of_row(change: &'a EntryChange, row: Option<&'a Entry>, source: Option<&'a SourceId>) -> Option<Self> {
        Some(Self::of_entry(&change.ranking, source, row?))
    }

    fn of_entry(ranking: &'a RankingId, source: Option<&'a SourceId>, entry: &'a Entry) -> Self {
        let mut entities: Vec<&str> = entry.economies.iter().map(EntityId::as_str).collect();
        entities.push(entry.entity.as_str());
        Self {
            ranking: Some(ranking.as_str()),
            entities,
            source: source.map(SourceId::as_str),
            rank: entry.rank,
            ..Self::new(Kind::Entry)
        }
    }

    fn of_definition(definition: &'a Definition) -> Self {
        let facts = Self::new(Kind::Definition);
        match definition {
            Definition::Indicator(indicator) => Self { indicator: Some(indicator.id.as_str()), ..facts },
            Definition::Entity(entity) => Self { entities: vec![entity.id.as_str()], ..facts },
            Definition::Source(source) => Self { source: Some(source.id.as_str()), ..facts },
            Definition::Methodology(_) => facts,
            Definition::Ranking(ranking) => Self { ranking: Some(ranking.id.as_str()), ..facts },
        }
    }
}
