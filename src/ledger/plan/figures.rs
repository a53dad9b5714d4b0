//! Figures: which versions an upload really adds.
//!
//! An upload has what a producer published on one day. Stewards may load vintages in any order.
//!
//! Invariant: an upload changes no answer of a later release that is already loaded. So a version goes in at its release
//! date. Where a later whole release had left the figure as it was, that release gets a version of its own, so that its
//! answer stays.

use std::collections::{BTreeSet, HashMap, hash_map::Entry};

use super::{PlanError, Planner};
use crate::{
    ledger::{
        record::{Record, RecordedVersion},
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
    store::{StoreError, series::SeriesScope, view::NameKind},
};

/// The release of an upload, for all figures of one indicator and source.
#[derive(Clone, Copy)]
struct Release {
    released: Date,
    mode: Mode,
    /// The next later day on which the source released the whole indicator.
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
        if let Some(RewrittenPeriods { count, uploaded, answered }) = upload.rewritten() {
            let rest = if *count > 1 { format!(", and {} more", count - 1) } else { String::new() };
            let message = format!("`{uploaded}` is answered as `{answered}`, which is the same days{rest}");
            self.outcome.findings.warning("PERIOD_REWRITTEN", "series.points.period", message);
        }
        let mut releases = HashMap::new();
        for (indicator, source) in upload.replaced() {
            if self.outcome.findings.refuse() {
                return Ok(());
            }
            self.emit(Record::FullRelease(indicator.clone(), source.clone()))?;
        }
        let mut withdrawn = self.series_left_out(upload)?.into_iter().peekable();
        let mut sent = upload.keys().peekable();
        loop {
            // In the order of keys, so that pages write each name once.
            let left_out = withdrawn.next_if(|left_out| sent.peek().is_none_or(|key| left_out < *key));
            let Some(key) = left_out.as_ref().or_else(|| sent.next()) else { break };
            let release = match releases.entry((key.indicator.clone(), key.source.clone())) {
                Entry::Occupied(release) => *release.get(),
                Entry::Vacant(vacant) => *vacant.insert(self.release_of(upload, key)?),
            };
            let points = upload.points(key)?;
            self.plan_series(key, points, release)?;
        }
        Ok(())
    }

    fn release_of(&self, upload: &Upload, key: &SeriesKey) -> Result<Release, StoreError> {
        let is_whole = upload.replaced().contains(&(key.indicator.clone(), key.source.clone()));
        let mode = if is_whole { Mode::Replace } else { Mode::Merge };
        let next_full = self.next_full_release(key, upload.released())?;
        Ok(Release { released: upload.released(), mode, next_full })
    }

    /// Reports ids that no definition has, each once.
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
            self.outcome.findings.unknown(code, location, message, kind, id);
        }
    }

    /// The series that an upload withdraws, because it is a whole release without them.
    fn series_left_out(&self, upload: &Upload) -> Result<BTreeSet<SeriesKey>, StoreError> {
        let mut left_out = BTreeSet::new();
        if upload.mode() == Mode::Merge {
            return Ok(left_out);
        }
        for (indicator, source) in upload.replaced() {
            let Some(indicator) = self.view.number(NameKind::Indicator, indicator.as_str()) else { continue };
            let Some(source) = self.view.number(NameKind::Source, source.as_str()) else { continue };
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
        let stored = match self.view.series_ids(key) {
            Some(ids) => self.view.versions(ids)?,
            None => Vec::new(),
        };
        let mut added = Vec::new();
        let mut points = points.into_iter().peekable();
        for versions in by_period(&stored) {
            let period = versions[0].period;
            while let Some((earlier, value)) = points.next_if(|(next, _)| *next < period) {
                self.plan_figure(&mut added, earlier, &[], NewFigure::InUpload(value), release);
            }
            let figure = match points.next_if(|(next, _)| *next == period) {
                Some((_, value)) => NewFigure::InUpload(value),
                None if release.mode == Mode::Replace => NewFigure::LeftOut,
                None => continue,
            };
            self.plan_figure(&mut added, period, versions, figure, release);
        }
        for (period, value) in points {
            self.plan_figure(&mut added, period, &[], NewFigure::InUpload(value), release);
        }
        if added.is_empty() {
            return Ok(());
        }
        added.sort_by_key(|recorded: &RecordedVersion| recorded.version.name());
        self.outcome.totals.series += u64::from(stored.is_empty());
        self.outcome.totals.versions += added.len() as u64;
        Ok(self.emit(Record::Series(key.clone(), added))?)
    }

    fn check_duplicates(&mut self, key: &SeriesKey, points: &[Point]) {
        for pair in points.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let location = format!("{} {} {} {}", key.indicator, key.entity, key.source, pair[0].0);
            self.outcome.findings.error("DUPLICATE_KEY", location, "the same figure comes twice in one upload");
        }
    }

    /// Plans one figure. `stored` are the versions of its period, `added` takes the new ones.
    fn plan_figure(
        &mut self,
        added: &mut Vec<RecordedVersion>,
        period: Period,
        stored: &[FigureVersion],
        figure: NewFigure,
        release: Release,
    ) {
        let revision = self.revision;
        let released = release.released;
        let prior = newest_at(stored, Horizon { revision: Revision::MAX, released });
        let is_left_out = matches!(figure, NewFigure::LeftOut);
        let value = figure.into_value();
        if prior.and_then(FigureVersion::value) == value.as_ref() {
            if is_left_out {
                return;
            }
            self.outcome.counts.unchanged += 1;
            // A later release confirms the figure, or withdraws one that is not loaded yet. The version keeps an older release that
            // is loaded afterwards from changing the answer. A whole release needs no such version: the store knows it as a whole.
            let is_later = prior.is_none_or(|prior| prior.released < released);
            if is_later && release.mode == Mode::Merge {
                let version = FigureVersion { period, revision, released, statement: Statement::from(value) };
                added.push(RecordedVersion::silent(version));
            }
            return;
        }
        let version = FigureVersion { period, revision, released, statement: Statement::from(value) };
        let mut new_versions = stored.to_vec();
        new_versions.push(version.clone());
        if let Some(version) = self.version_to_keep(stored, &new_versions, period, release) {
            new_versions.push(version.clone());
            added.push(RecordedVersion::silent(version));
        }
        let recorded = RecordedVersion::visible(version, stored, &new_versions);
        self.count(recorded.movement);
        added.push(recorded);
    }

    /// The version that keeps the answer of the next whole release, if `new_versions` would change that answer.
    fn version_to_keep(
        &self,
        stored: &[FigureVersion],
        new_versions: &[FigureVersion],
        period: Period,
        release: Release,
    ) -> Option<FigureVersion> {
        let released = release.next_full?;
        let horizon = Horizon { revision: Revision::MAX, released };
        let statement = newest_at(stored, horizon).map_or(Statement::NoFigure, |version| version.statement.clone());
        if newest_at(new_versions, horizon).is_some_and(|version| version.statement == statement) {
            return None;
        }
        Some(FigureVersion { period, revision: self.revision, released, statement })
    }

    /// Counts a movement of a figure.
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

/// A figure after an upload.
enum NewFigure {
    /// As in the upload. `None`: the producer publishes none.
    InUpload(Option<Value>),
    /// The upload is a whole release without the figure, so there is none.
    LeftOut,
}

impl NewFigure {
    fn into_value(self) -> Option<Value> {
        match self {
            Self::InUpload(value) => value,
            Self::LeftOut => None,
        }
    }
}

#[cfg(test)]
mod tests;
