//! Figures: which versions an upload really adds.
//!
//! An upload has what a producer published on one day. Stewards may load vintages in any order.
//!
//! Invariant: an upload changes no answer of a later release that is already loaded. So a version goes in at its release
//! date. Where a later whole release had left the figure as it was, that release gets a version of its own, so that its
//! answer stays.

use std::collections::BTreeSet;

use super::{PlanError, Planner};
use crate::{
    ledger::{
        page::PAGE_CHANGES_MAX,
        record::{Record, RecordedVersion},
        upload::{Mode, Point, RewrittenPeriods, Upload, UploadedRows},
    },
    model::{
        catalog::DefinitionKind,
        change::FigureMovement,
        id::{IndicatorId, Revision, SourceId},
        period::Period,
        series::{FigureVersion, Horizon, SeriesKey, Statement, by_period, newest_at},
        time::Date,
        value::Value,
    },
    store::{
        StoreError,
        series::{NewBlock, SeriesScope},
        view::NameKind,
    },
};

/// The release of an upload, for all figures of one indicator and source.
#[derive(Clone, Copy)]
struct Release {
    released: Date,
    mode: Mode,
    /// The next later day on which the source released the whole indicator.
    next_full: Option<Date>,
}

/// The releases of the indicators and sources of an upload. Series come in the order of their keys, so most have the release
/// of the one before.
struct Releases {
    released: Date,
    replaced: BTreeSet<(IndicatorId, SourceId)>,
    last: Option<((IndicatorId, SourceId), Release)>,
}

impl Releases {
    fn of(&mut self, key: &SeriesKey, planner: &Planner<'_>) -> Result<Release, StoreError> {
        if let Some(((indicator, source), release)) = &self.last
            && (indicator, source) == (&key.indicator, &key.source)
        {
            return Ok(*release);
        }
        let of = (key.indicator.clone(), key.source.clone());
        let mode = if self.replaced.contains(&of) { Mode::Replace } else { Mode::Merge };
        let next_full = planner.next_full_release(key, self.released)?;
        let release = Release { released: self.released, mode, next_full };
        self.last = Some((of, release));
        Ok(release)
    }
}

impl Planner<'_> {
    pub(super) fn ingest(&mut self, upload: Upload) -> Result<(), PlanError> {
        self.outcome.released = Some(upload.released());
        self.check_release(upload.released(), "header.released");
        if upload.is_empty() {
            self.outcome.findings.error("EMPTY_UPLOAD", "observations", "there is no figure in the upload");
        }
        self.check_names(&upload);
        if let Some(RewrittenPeriods { count, uploaded, answered }) = upload.rewritten() {
            let rest = if *count > 1 { format!(", and {} more", count - 1) } else { String::new() };
            let message = format!("`{uploaded}` is answered as `{answered}`, which is the same days{rest}");
            self.outcome.findings.warning("PERIOD_REWRITTEN", "series.points.period", message);
        }
        for (indicator, source) in upload.replaced() {
            if self.outcome.findings.refuse() {
                return Ok(());
            }
            self.emit(Record::FullRelease(indicator.clone(), source.clone()))?;
        }
        let mut left_out = self.series_left_out(&upload)?.into_iter().peekable();
        let mut releases = Releases { released: upload.released(), replaced: upload.replaced().clone(), last: None };
        for item in upload.into_series() {
            let (key, rows) = item?;
            // In the order of keys, so that pages write each name once.
            while let Some(earlier) = left_out.next_if(|left_out| *left_out < key) {
                self.plan_series(&earlier, Vec::new(), releases.of(&earlier, self)?)?;
            }
            let release = releases.of(&key, self)?;
            if !self.plan_new_series(&key, &rows, release)? {
                self.plan_series(&key, rows.points()?, release)?;
            }
        }
        for last in left_out {
            self.plan_series(&last, Vec::new(), releases.of(&last, self)?)?;
        }
        Ok(())
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

    /// Plans a series that has nothing to be compared with: all its figures are added, as they are encoded. `false`: the
    /// series is not of that kind, and nothing is planned.
    fn plan_new_series(&mut self, key: &SeriesKey, rows: &UploadedRows, release: Release) -> Result<bool, PlanError> {
        if !(1..=PAGE_CHANGES_MAX).contains(&rows.count) || release.next_full.is_some() {
            return Ok(false);
        }
        let Some(versions) = rows.plain()? else { return Ok(false) };
        let Some(block) = NewBlock::of(&versions, self.revision, release.released) else { return Ok(false) };
        if let Some(ids) = self.view.series_ids(key)
            && self.view.has_versions(ids)?
        {
            return Ok(false);
        }
        let added = rows.count as u64;
        self.outcome.counts.added += added;
        self.outcome.totals.current += added;
        self.outcome.totals.versions += added;
        self.outcome.totals.series += 1;
        if !self.outcome.findings.refuse() {
            self.sink.add_new_series(key.clone(), block, rows.count)?;
        }
        Ok(true)
    }

    fn plan_series(&mut self, key: &SeriesKey, points: Vec<Point>, release: Release) -> Result<(), PlanError> {
        self.check_duplicates(key, &points);
        let ids = self.view.series_ids(key);
        let stored = match (ids, release.mode, &points[..]) {
            (None, _, _) | (_, Mode::Merge, []) => Vec::new(),
            (Some(ids), Mode::Replace, _) => self.view.versions(ids)?,
            // What a few figures revise costs as much in a long series as in a short one.
            (Some(ids), Mode::Merge, [(first, _), ..]) => {
                let last = points.last().map_or(*first, |(last, _)| *last);
                self.view.versions_between(ids, *first, last)?
            }
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
        let is_new = match ids.filter(|_| stored.is_empty()) {
            Some(ids) => !self.view.has_versions(ids)?,
            None => stored.is_empty(),
        };
        self.outcome.totals.series += u64::from(is_new);
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
