//! Figures after a revert: the rows to add so that the remaining commits answer.
//!
//! For each period the planner replays the remaining commits in order. Each commit makes a claim for its release date: by a
//! row, or as a whole release that left the figure as it was, without one. The planner compares all claims with the stored
//! rows and adds a row where they differ. A row that a commit recorded for another day than its own keeps the answer of a
//! later whole release. Such rows follow from the others; they are worked out anew.

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry};

use super::{PlanError, Planner, Revert};
use crate::{
    ledger::{
        page::LedgerPage,
        record::{Record, RecordedRow},
    },
    model::{
        id::{IndicatorId, Revision, SourceId},
        series::{FigureVersion, Horizon, SeriesKey, Statement, by_period, newest_at, state_at},
        time::Date,
        value::Value,
    },
    store::{
        StoreError,
        series::SeriesScope,
        view::{FullRelease, NameKind},
    },
};

/// Which periods of a series the revert may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Periods with a row of a commit whose status changes.
    PeriodsWithRows,
    /// All, because the status of a whole release of the series changes.
    AllPeriods,
}

/// The claim of a commit for a release date.
#[derive(Debug, Clone)]
enum Claim {
    /// The statement of a row.
    Row(Statement),
    /// A whole release left the figure as it was. `None`: there was none.
    Unchanged(Option<Value>),
}

impl Claim {
    fn value(&self) -> Option<&Value> {
        match self {
            Self::Row(statement) => statement.value(),
            Self::Unchanged(value) => value.as_ref(),
        }
    }
}

/// What the planner has read about commits so far.
#[derive(Debug, Default)]
struct CommitFacts {
    /// Release dates of commits.
    released: HashMap<Revision, Option<Date>>,
    /// Whole releases that count after the revert, by indicator and source, oldest commit first.
    full_releases: HashMap<(IndicatorId, SourceId), Vec<FullRelease>>,
}

impl Planner<'_> {
    pub(super) fn revert_figures(&mut self, revert: &mut Revert) -> Result<(), PlanError> {
        let mut facts = CommitFacts::default();
        for (key, extent) in self.affected_series(revert)? {
            let Some(ids) = self.view.series_ids(&key) else { continue };
            let stored = self.view.versions(ids)?;
            self.read_facts(&key, &stored, &mut facts)?;
            let counting = stored.iter().filter(|row| self.is_own_claim(row, &facts) && self.counts(row.revision));
            if let Some(newest) = counting.map(|row| row.revision).max() {
                self.require_names_of(&key, newest, revert);
            }
            let mut added = Vec::new();
            for rows in by_period(&stored) {
                let has_row = rows.iter().any(|row| revert.effect.has(row.revision));
                if has_row || extent == Extent::AllPeriods {
                    added.extend(self.revert_figure(&key, rows, &facts, revert));
                }
            }
            if added.is_empty() || !revert.conflicts.is_empty() {
                continue;
            }
            self.outcome.totals.versions += added.len() as u64;
            self.emit(Record::Series(key, added))?;
        }
        Ok(())
    }

    /// The series with a row, or in a whole release, of a commit whose status changes.
    fn affected_series(&self, revert: &Revert) -> Result<BTreeMap<SeriesKey, Extent>, StoreError> {
        let mut affected = BTreeMap::new();
        for commit in revert.effect.commits().filter(|commit| !self.catalog.reverts().is_revert(*commit)) {
            let header = self.ledger.header(commit)?.ok_or_else(|| Self::lacking(commit, "its header"))?;
            for page in 0..header.pages {
                let bytes = self.ledger.read(commit, page)?.ok_or_else(|| Self::lacking(commit, "a page"))?;
                for record in LedgerPage::decode(&bytes)?.records {
                    match record {
                        Record::Series(key, _) => {
                            affected.entry(key).or_insert(Extent::PeriodsWithRows);
                        }
                        Record::FullRelease(indicator, source) => {
                            for key in self.series_of_release(&indicator, &source)? {
                                affected.insert(key, Extent::AllPeriods);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(affected)
    }

    fn series_of_release(&self, indicator: &IndicatorId, source: &SourceId) -> Result<Vec<SeriesKey>, StoreError> {
        let mut found = Vec::new();
        let Some(indicator) = self.view.number(NameKind::Indicator, indicator.as_str()) else { return Ok(found) };
        let Some(source) = self.view.number(NameKind::Source, source.as_str()) else { return Ok(found) };
        let mut at = None;
        while let Some(ids) = self.view.next_series(SeriesScope::Indicator(indicator), at)? {
            if ids.source == source {
                found.push(self.view.series_key(ids)?);
            }
            at = Some(ids);
        }
        Ok(found)
    }

    /// Reads the facts about the commits of these rows and about the whole releases of their series.
    fn read_facts(&self, key: &SeriesKey, rows: &[FigureVersion], facts: &mut CommitFacts) -> Result<(), StoreError> {
        for row in rows {
            if let Entry::Vacant(vacant) = facts.released.entry(row.revision) {
                let header = self.ledger.header(row.revision)?;
                let header = header.ok_or_else(|| Self::lacking(row.revision, "its header"))?;
                vacant.insert(header.commit.released);
            }
        }
        let pair = (key.indicator.clone(), key.source.clone());
        if facts.full_releases.contains_key(&pair) {
            return Ok(());
        }
        let indicator = self.view.number(NameKind::Indicator, key.indicator.as_str());
        let source = self.view.number(NameKind::Source, key.source.as_str());
        let mut releases = Vec::new();
        if let Some(numbers) = indicator.zip(source) {
            for release in self.view.full_releases(Some(numbers)) {
                let release = release?;
                if self.counts(release.revision) {
                    releases.push(release);
                }
            }
        }
        releases.sort_by_key(|release| release.revision);
        facts.full_releases.insert(pair, releases);
        Ok(())
    }

    /// The rows to add to one period. `stored` are its rows, in order of revision.
    fn revert_figure(
        &mut self,
        key: &SeriesKey,
        stored: &[FigureVersion],
        facts: &CommitFacts,
        revert: &mut Revert,
    ) -> Vec<RecordedRow> {
        let own: Vec<&FigureVersion> = stored.iter().filter(|row| self.is_own_claim(row, facts)).collect();
        self.find_restated(&own, revert);
        let counting: Vec<&FigureVersion> = own.into_iter().filter(|row| self.counts(row.revision)).collect();
        let pair = (key.indicator.clone(), key.source.clone());
        let full_releases = facts.full_releases.get(&pair).map_or(&[][..], Vec::as_slice);
        let claims = replay(stored, &counting, full_releases, revert);
        let added = with_one_visible(self.difference(stored, &claims), stored);
        for recorded in &added {
            self.count(recorded.movement);
        }
        added
    }

    /// Whether a row is the claim of its own commit. Rows of reverts, and rows that keep the answer of a later whole release,
    /// follow from the claims of others.
    fn is_own_claim(&self, row: &FigureVersion, facts: &CommitFacts) -> bool {
        let released = facts.released.get(&row.revision).copied().flatten();
        !self.catalog.reverts().is_revert(row.revision) && released == Some(row.released)
    }

    /// Finds commits with a row for a release date for which a commit whose status changes also has one.
    fn find_restated(&self, own: &[&FigureVersion], revert: &mut Revert) {
        let mut since: HashMap<Date, Revision> = HashMap::new();
        for row in own {
            if let Some(from) = revert.effect.since(row.revision) {
                let earliest = since.entry(row.released).or_insert(from);
                *earliest = (*earliest).min(from);
            }
        }
        for row in own {
            let is_later = since.get(&row.released).is_some_and(|from| row.revision > *from);
            if is_later && !revert.effect.has(row.revision) && self.counts(row.revision) {
                revert.conflicts.insert(row.revision);
            }
        }
    }

    /// The rows to add so that the stored rows say what the claims say.
    fn difference(&self, stored: &[FigureVersion], claims: &BTreeMap<Date, Claim>) -> Vec<FigureVersion> {
        let mut newest: BTreeMap<Date, &FigureVersion> = BTreeMap::new();
        for row in stored {
            // Rows are in order of revision, so the newest of each date stays.
            newest.insert(row.released, row);
        }
        let days: BTreeSet<Date> = newest.keys().chain(claims.keys()).copied().collect();
        let mut added = Vec::new();
        // The answer on the day before.
        let mut answer: Option<Value> = None;
        for released in days {
            let is = newest.get(&released).filter(|row| !row.is_retraction()).map(|row| &row.statement);
            let should_be = match claims.get(&released) {
                None => None,
                Some(Claim::Row(statement)) => Some(statement.clone()),
                Some(Claim::Unchanged(value)) => match is {
                    Some(is) if is.value() == value.as_ref() => Some(is.clone()),
                    _ if answer == *value => None,
                    _ => Some(Statement::from(value.clone())),
                },
            };
            if should_be.as_ref() != is {
                let statement = should_be.clone().unwrap_or(Statement::Retracted);
                added.push(FigureVersion { period: stored[0].period, revision: self.revision, released, statement });
            }
            if let Some(statement) = should_be {
                answer = statement.value().cloned();
            }
        }
        added
    }
}

/// Replays the commits that count: their claim for each release date. A whole release conflicts if it left the figure as it
/// was, and would have found another one.
fn replay(
    stored: &[FigureVersion],
    counting: &[&FigureVersion],
    full_releases: &[FullRelease],
    revert: &mut Revert,
) -> BTreeMap<Date, Claim> {
    let mut claims: BTreeMap<Date, Claim> = BTreeMap::new();
    let mut rows = counting.iter().peekable();
    for release in full_releases {
        let mut has_row = false;
        while let Some(row) = rows.next_if(|row| row.revision <= release.revision) {
            has_row |= row.revision == release.revision;
            claims.insert(row.released, Claim::Row(row.statement.clone()));
        }
        if has_row {
            continue;
        }
        let horizon = Horizon { revision: release.revision, released: release.released };
        let found = newest_at(stored, horizon).and_then(FigureVersion::value);
        let last = claims.range(..=release.released).next_back();
        let would_find = last.and_then(|(_, claim)| claim.value().cloned());
        if found != would_find.as_ref() {
            revert.conflicts.insert(release.revision);
        }
        claims.entry(release.released).or_insert(Claim::Unchanged(would_find));
    }
    for row in rows {
        claims.insert(row.released, Claim::Row(row.statement.clone()));
    }
    claims
}

/// Rows added to a period. If the answer changes, at any release date, subscribers see exactly one of them.
fn with_one_visible(added: Vec<FigureVersion>, stored: &[FigureVersion]) -> Vec<RecordedRow> {
    let mut all = stored.to_vec();
    all.extend(added.iter().cloned());
    let newest = Horizon::at(Revision::MAX);
    let is_newest_moved = state_at(stored, newest) != state_at(&all, newest);
    let moved = added.iter().rposition(|row| value_on(stored, row.released) != value_on(&all, row.released));
    let visible = match moved {
        None if is_newest_moved => added.len().checked_sub(1),
        moved => moved,
    };
    let mut recorded = Vec::with_capacity(added.len());
    for (at, row) in added.into_iter().enumerate() {
        recorded.push(match visible == Some(at) {
            true => RecordedRow::visible(row, stored, &all),
            false => RecordedRow::silent(row),
        });
    }
    recorded
}

/// The value that answers on a release date.
fn value_on(rows: &[FigureVersion], released: Date) -> Option<&Value> {
    state_at(rows, Horizon { released, ..Horizon::at(Revision::MAX) }).and_then(FigureVersion::value)
}
