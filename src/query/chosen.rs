//! One figure for each key of a selection, chosen among the sources by a policy.
//!
//! Invariant: the figures of one indicator and entity are read together, and those of no other are held meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Snapshot,
    figures::{CurrentFigure, Observation, recency},
    policy::Policy,
    series::{AdmittedSeries, Selection, SeriesStep, Step},
};
use crate::{
    model::{period::Period, series::SeriesKey, time::Date},
    store::{StoreError, series::SeriesIds},
};

/// What a read of chosen figures comes to.
pub type ChosenStep = Step<(FigurePosition, Observation), FigurePosition>;

/// Where a paged read of chosen figures goes on: after this key, in the numbers of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FigurePosition {
    pub indicator: u32,
    pub entity: u32,
    pub dimensions: u32,
    pub period: Period,
}

impl Snapshot {
    /// One figure for each (indicator, entity, dimensions, period) of a selection: that of the source which a policy puts
    /// first. In the order of positions, after one. It reads the series of one indicator and entity at a time.
    pub fn selected_figures<'a>(
        &'a self,
        selection: &'a Selection,
        policy: Policy,
        after: Option<FigurePosition>,
    ) -> impl Iterator<Item = Result<ChosenStep, StoreError>> + 'a {
        let start =
            after.map(|after| SeriesIds { indicator: after.indicator, entity: after.entity, source: 0, dimensions: 0 });
        let mut steps = self.matching_series(selection, start).peekable();
        let groups = std::iter::from_fn(move || {
            let mut group = FigureGroup::starting_with(steps.next()?);
            while let Some(next) = steps.next_if(|next| group.as_ref().is_ok_and(|group| group.goes_on_in(next))) {
                group = group.and_then(|group| group.with(next));
            }
            Some(group)
        });
        groups.flat_map(move |group| match self.choose(selection, policy, group, after) {
            Ok(steps) => steps.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    /// Chooses among the figures of the series of one indicator and entity, after a position. For each series that gave
    /// nothing there is a step that passes the group.
    fn choose(
        &self,
        selection: &Selection,
        policy: Policy,
        group: Result<FigureGroup, StoreError>,
        after: Option<FigurePosition>,
    ) -> Result<Vec<ChosenStep>, StoreError> {
        let FigureGroup { last, series, mut passed } = group?;
        let mut candidates: BTreeMap<FigurePosition, Vec<(SeriesKey, CurrentFigure)>> = BTreeMap::new();
        let mut periods_by_dimensions: BTreeMap<u32, BTreeSet<(Date, Date)>> = BTreeMap::new();
        for AdmittedSeries { key, blocks } in series {
            let SeriesIds { indicator, entity, dimensions, .. } = blocks.ids;
            let figures = self.admitted_figures(selection, &blocks)?;
            passed += usize::from(figures.is_empty());
            for figure in figures {
                let period = figure.version.period;
                let position = FigurePosition { indicator, entity, dimensions, period };
                candidates.entry(position).or_default().push((key.clone(), figure));
                periods_by_dimensions.entry(dimensions).or_default().insert(recency(period));
            }
        }
        let mut steps = Vec::new();
        for (position, mut figures) in candidates {
            let periods = periods_by_dimensions.get(&position.dimensions);
            let first_latest = periods.and_then(|periods| selection.first_latest(periods));
            let is_latest = first_latest.is_none_or(|first| recency(position.period) >= first);
            if !is_latest || after.is_some_and(|after| position <= after) {
                continue;
            }
            if let Some(at) = policy.choose(&figures, &self.catalog, self.revision()) {
                let (key, figure) = figures.swap_remove(at);
                steps.push(Step::Found((position, self.current_observation(key, figure)?)));
            }
        }
        steps.extend((0..passed).map(|_| Step::Passed(FigurePosition::after_all(last))));
        Ok(steps)
    }
}

/// The admitted series of one indicator and entity.
struct FigureGroup {
    /// The last series of the group that was passed or admitted.
    last: SeriesIds,
    series: Vec<AdmittedSeries>,
    /// How many series were passed.
    passed: usize,
}

impl FigureGroup {
    fn starting_with(step: Result<SeriesStep, StoreError>) -> Result<Self, StoreError> {
        let step = step?;
        Self { last: ids_of(&step), series: Vec::new(), passed: 0 }.with(Ok(step))
    }

    /// Whether a step is about the same indicator and entity.
    fn goes_on_in(&self, step: &Result<SeriesStep, StoreError>) -> bool {
        let Ok(step) = step else { return false };
        let ids = ids_of(step);
        (ids.indicator, ids.entity) == (self.last.indicator, self.last.entity)
    }

    fn with(mut self, step: Result<SeriesStep, StoreError>) -> Result<Self, StoreError> {
        let step = step?;
        self.last = ids_of(&step);
        match step {
            Step::Found(series) => self.series.push(series),
            Step::Passed(_) => self.passed += 1,
        }
        Ok(self)
    }
}

fn ids_of(step: &SeriesStep) -> SeriesIds {
    match step {
        Step::Found(series) => series.blocks.ids,
        Step::Passed(ids) => *ids,
    }
}

impl FigurePosition {
    /// The position after all figures of the indicator and the entity of a series.
    fn after_all(ids: SeriesIds) -> Self {
        let period = Period::LAST;
        Self { indicator: ids.indicator, entity: ids.entity, dimensions: u32::MAX, period }
    }
}
