//! Figures: which versions an upload really adds.
//!
//! An upload says what a producer published on one day, and must not change what was true on any later day that is
//! already known: vintages may be loaded in any order. So a version goes in at its release date, and where a later whole
//! release had left the figure as it was, that release gets its own version to hold the figure in place.

use std::collections::BTreeSet;

use super::{PlanError, Planner};
use crate::{
    ledger::{
        record::{Record, RecordedRow},
        upload::{Mode, Point, RewrittenPeriods, Upload},
    },
    model::{
        catalog::DefinitionKind,
        change::FigureMovement,
        id::Revision,
        period::Period,
        series::{FigureVersion, Horizon, SeriesKey, Statement, by_period, newest_at},
        time::Date,
        value::Value,
    },
    store::{StoreError, series::SeriesScope, suggestions::nearest_ids, view::NameKind},
};

/// What an upload is planned against, for all figures of one indicator and source.
#[derive(Clone, Copy)]
struct Release {
    released: Date,
    mode: Mode,
    /// The next day on which the source released the indicator whole.
    next_full: Option<Date>,
}

impl Planner<'_> {
    pub(super) fn ingest(&mut self, upload: &Upload) -> Result<(), PlanError> {
        self.outcome.released = Some(upload.released());
        self.check_release(upload.released(), "header.released");
        if upload.is_empty() {
            self.outcome.findings.error("EMPTY_UPLOAD", "observations", "there is no figure in the upload");
        }
        self.check_names(upload);
        if let Some(RewrittenPeriods { count, given, answered }) = upload.rewritten() {
            let rest = if *count > 1 { format!(", and {} more", count - 1) } else { String::new() };
            let message = format!("`{given}` is answered as `{answered}`, which is the same days{rest}");
            self.outcome.findings.warning("PERIOD_REWRITTEN", "series.points.period", message);
        }
        let mut releases = std::collections::HashMap::new();
        for (indicator, source) in upload.replaced() {
            if self.outcome.findings.refuse() {
                return Ok(());
            }
            self.emit(Record::FullRelease(indicator.clone(), source.clone()))?;
        }
        let mut withdrawn = self.series_left_out(upload)?.into_iter().peekable();
        let mut sent = upload.keys().peekable();
        loop {
            // In key order, so that pages spell each name once.
            let left_out = withdrawn.next_if(|left_out| sent.peek().is_none_or(|key| left_out < *key));
            let Some(key) = left_out.as_ref().or_else(|| sent.next()) else { break };
            let pair = (key.indicator.clone(), key.source.clone());
            let release = match releases.get(&pair) {
                Some(release) => *release,
                None => {
                    let next_full = self.next_full_release(key, upload.released())?;
                    let replaces = upload.replaced().contains(&pair);
                    let mode = if replaces { Mode::Replace } else { Mode::Merge };
                    let release = Release { released: upload.released(), mode, next_full };
                    releases.insert(pair, release);
                    release
                }
            };
            let points = upload.points(key)?;
            self.plan_series(key, points, release)?;
        }
        Ok(())
    }

    /// Finds ids that no definition has; each once.
    fn check_names(&mut self, upload: &Upload) {
        let mut seen: BTreeSet<(DefinitionKind, &str)> = BTreeSet::new();
        for (at, key) in upload.batches() {
            let names = [
                (DefinitionKind::Indicator, key.indicator.as_str(), "UNKNOWN_INDICATOR", "indicator"),
                (DefinitionKind::Entity, key.entity.as_str(), "UNKNOWN_ENTITY", "entity"),
                (DefinitionKind::Source, key.source.as_str(), "UNKNOWN_SOURCE", "source"),
            ];
            for (kind, id, code, field) in names {
                if seen.insert((kind, id)) {
                    self.check_name(kind, id, code, &format!("series[{at}].{field}"));
                }
            }
        }
        for (indicator, source) in upload.replaced() {
            for (kind, id, code, field) in [
                (DefinitionKind::Indicator, indicator.as_str(), "UNKNOWN_INDICATOR", "header.replaced_indicators"),
                (DefinitionKind::Source, source.as_str(), "UNKNOWN_SOURCE", "header.replaced_source"),
            ] {
                if seen.insert((kind, id)) {
                    self.check_name(kind, id, code, field);
                }
            }
        }
    }

    pub(super) fn check_name(&mut self, kind: DefinitionKind, id: &str, code: &str, location: &str) {
        if self.catalog.definition(kind, id, self.revision).is_none() {
            let message = format!("no {} is called `{id}`", kind.name());
            let near = nearest_ids(&self.catalog, kind, id, self.revision);
            self.outcome.findings.unknown(code, location, message, near);
        }
    }

    /// The series an upload withdraws by not naming them.
    fn series_left_out(&self, upload: &Upload) -> Result<BTreeSet<SeriesKey>, StoreError> {
        let mut left_out = BTreeSet::new();
        if upload.mode() == Mode::Merge {
            return Ok(left_out);
        }
        for (indicator, source) in upload.replaced() {
            let numbers = self
                .view
                .number(NameKind::Indicator, indicator.as_str())
                .zip(self.view.number(NameKind::Source, source.as_str()));
            let Some((indicator, source)) = numbers else { continue };
            let mut at = None;
            while let Some(ids) = self.view.next_series(SeriesScope::Indicator(indicator), at)? {
                if ids.source == source {
                    let key = self.view.series_key(ids)?;
                    if !upload.has(&key) {
                        left_out.insert(key);
                    }
                }
                at = Some(ids);
            }
        }
        Ok(left_out)
    }

    fn next_full_release(&self, key: &SeriesKey, after: Date) -> Result<Option<Date>, StoreError> {
        let indicator = self.view.number(NameKind::Indicator, key.indicator.as_str());
        match indicator.zip(self.view.number(NameKind::Source, key.source.as_str())) {
            Some(numbers) => self.view.next_full_release(numbers, after),
            None => Ok(None),
        }
    }

    fn plan_series(&mut self, key: &SeriesKey, points: Vec<Point>, release: Release) -> Result<(), PlanError> {
        self.check_duplicates(key, &points);
        let ids = self.view.series_ids(key);
        let known = ids.map_or(Ok(Vec::new()), |ids| self.view.versions(ids))?;
        let mut added = Vec::new();
        let mut points = points.into_iter().peekable();
        for rows in by_period(&known) {
            let period = rows[0].period;
            while let Some((earlier, value)) = points.next_if(|(next, _)| *next < period) {
                self.plan_figure(&mut added, earlier, &[], Sent::Value(value), release);
            }
            let sent = match points.next_if(|(next, _)| *next == period) {
                Some((_, value)) => Sent::Value(value),
                None if release.mode == Mode::Replace => Sent::Nothing,
                None => continue,
            };
            self.plan_figure(&mut added, period, rows, sent, release);
        }
        for (period, value) in points {
            self.plan_figure(&mut added, period, &[], Sent::Value(value), release);
        }
        if added.is_empty() {
            return Ok(());
        }
        added.sort_by_key(|recorded: &RecordedRow| recorded.row.name());
        self.outcome.totals.series += u64::from(known.is_empty());
        self.outcome.totals.versions += added.len() as u64;
        Ok(self.emit(Record::Series(key.clone(), added))?)
    }

    fn check_duplicates(&mut self, key: &SeriesKey, points: &[Point]) {
        for pair in points.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let location = format!("{} {} {} {}", key.indicator, key.entity, key.source, pair[0].0);
            self.outcome.findings.error("DUPLICATE_KEY", location, "the same figure comes twice in one upload");
        }
    }

    fn plan_figure(
        &mut self,
        added: &mut Vec<RecordedRow>,
        period: Period,
        known: &[FigureVersion],
        sent: Sent,
        release: Release,
    ) {
        let released = release.released;
        let prior = newest_at(known, Horizon { revision: Revision::MAX, released });
        let prior_value = prior.and_then(FigureVersion::value);
        let value = match &sent {
            Sent::Value(value) => value.as_ref(),
            Sent::Nothing => None,
        };
        let revision = self.revision;
        let row = |released, statement| FigureVersion { period, revision, released, statement };
        if prior_value == value {
            if matches!(sent, Sent::Value(_)) {
                self.outcome.counts.unchanged += 1;
                // Said again by a later release: kept, so that an older release loaded after it cannot speak over it.
                // So is a withdrawal of what is not known yet. A whole release needs no such row, it is known as a whole.
                let later = prior.is_none_or(|prior| prior.released < released);
                if later && release.mode == Mode::Merge {
                    added.push(RecordedRow::silent(row(released, Statement::from(value.cloned()))));
                }
            }
            return;
        }
        let told = row(released, Statement::from(value.cloned()));
        let mut with: Vec<FigureVersion> = known.to_vec();
        with.push(told.clone());
        // What a later whole release left as it was stays as it was.
        if let Some(next_full) = release.next_full {
            let horizon = Horizon { revision: Revision::MAX, released: next_full };
            let was = newest_at(known, horizon).map_or(Statement::NoFigure, |row| row.statement.clone());
            if newest_at(&with, horizon).is_none_or(|row| row.statement != was) {
                let held = row(next_full, was);
                with.push(held.clone());
                added.push(RecordedRow::silent(held));
            }
        }
        let recorded = RecordedRow::told(told, known, &with);
        self.count(recorded.movement);
        added.push(recorded);
    }

    /// Counts what happens to a figure.
    pub(super) fn count(&mut self, movement: Option<FigureMovement>) {
        let counts = &mut self.outcome.counts;
        let totals = &mut self.outcome.totals;
        match movement {
            None => {}
            Some(FigureMovement::Added) => {
                counts.added += 1;
                totals.current += 1;
            }
            Some(FigureMovement::Revised) => counts.revised += 1,
            Some(FigureMovement::Withdrawn) => {
                counts.withdrawn += 1;
                totals.current = totals.current.saturating_sub(1);
            }
            Some(FigureMovement::Backfilled) => counts.backfilled += 1,
        }
    }
}

/// What an upload says about a figure.
enum Sent {
    /// This; `None` says that there is none.
    Value(Option<Value>),
    /// Nothing, and it is a whole release: there is none.
    Nothing,
}

#[cfg(test)]
mod tests;
