//! Figures after a revert: the versions to add so that the remaining commits answer.
//!
//! For each period the planner replays the remaining commits in order. Each commit makes a claim for its release date: by a
//! version, or as a whole release that left the figure as it was, without one. The planner compares all claims with the stored
//! versions and adds a version where they differ. A version that a commit recorded for another day than its own keeps the answer of a
//! later whole release. Such versions follow from the others; they are worked out anew.

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry};

use super::{PlanError, Planner, Revert};
use crate::{
    ledger::{
        page::LedgerPage,
        record::{Record, RecordedVersion},
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
    /// Periods with a version of a commit whose status changes.
    PeriodsWithRows,
    /// All, because the status of a whole release of the series changes.
    AllPeriods,
}

/// The claim of a commit for a release date.
#[derive(Debug, Clone)]
enum Claim {
    /// The statement of a version.
    Version(Statement),
    /// A whole release left the figure as it was. `None`: there was none.
    Unchanged(Option<Value>),
}

impl Claim {
    fn value(&self) -> Option<&Value> {
        match self {
            Self::Version(statement) => statement.value(),
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
            let counting =
                stored.iter().filter(|version| self.is_own_claim(version, &facts) && self.counts(version.revision));
            if let Some(newest) = counting.map(|version| version.revision).max() {
                self.require_names_of(&key, newest, revert);
            }
            let mut added = Vec::new();
            for versions in by_period(&stored) {
                let has_version = versions.iter().any(|version| revert.effect.has(version.revision));
                if has_version || extent == Extent::AllPeriods {
                    added.extend(self.revert_figure(&key, versions, &facts, revert));
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

    /// The series with a version, or in a whole release, of a commit whose status changes.
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

    /// Reads the facts about the commits of these versions and about the whole releases of their series.
    fn read_facts(
        &self,
        key: &SeriesKey,
        versions: &[FigureVersion],
        facts: &mut CommitFacts,
    ) -> Result<(), StoreError> {
        for version in versions {
            if let Entry::Vacant(vacant) = facts.released.entry(version.revision) {
                let header = self.ledger.header(version.revision)?;
                let header = header.ok_or_else(|| Self::lacking(version.revision, "its header"))?;
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

    /// The versions to add to one period. `stored` are its versions, in order of revision.
    fn revert_figure(
        &mut self,
        key: &SeriesKey,
        stored: &[FigureVersion],
        facts: &CommitFacts,
        revert: &mut Revert,
    ) -> Vec<RecordedVersion> {
        let own: Vec<&FigureVersion> = stored.iter().filter(|version| self.is_own_claim(version, facts)).collect();
        self.find_restated(&own, revert);
        let counting: Vec<&FigureVersion> = own.into_iter().filter(|version| self.counts(version.revision)).collect();
        let pair = (key.indicator.clone(), key.source.clone());
        let full_releases = facts.full_releases.get(&pair).map_or(&[][..], Vec::as_slice);
        let claims = replay(stored, &counting, full_releases, revert);
        let added = with_one_visible(self.difference(stored, &claims), stored);
        for recorded in &added {
            self.count(recorded.movement);
        }
        added
    }

    /// Whether a version is the claim of its own commit. Versions of reverts, and versions that keep the answer of a later whole release,
    /// follow from the claims of others.
    fn is_own_claim(&self, version: &FigureVersion, facts: &CommitFacts) -> bool {
        let released = facts.released.get(&version.revision).copied().flatten();
        !self.catalog.reverts().is_revert(version.revision) && released == Some(version.released)
    }

    /// Finds commits with a version for a release date for which a commit whose status changes also has one.
    fn find_restated(&self, own: &[&FigureVersion], revert: &mut Revert) {
        let mut since: HashMap<Date, Revision> = HashMap::new();
        for version in own {
            if let Some(from) = revert.effect.since(version.revision) {
                let earliest = since.entry(version.released).or_insert(from);
                *earliest = (*earliest).min(from);
            }
        }
        for version in own {
            let is_later = since.get(&version.released).is_some_and(|from| version.revision > *from);
            if is_later && !revert.effect.has(version.revision) && self.counts(version.revision) {
                revert.conflicts.insert(version.revision);
            }
        }
    }

    /// The versions to add so that the stored versions say what the claims say.
    fn difference(&self, stored: &[FigureVersion], claims: &BTreeMap<Date, Claim>) -> Vec<FigureVersion> {
        let mut newest: BTreeMap<Date, &FigureVersion> = BTreeMap::new();
        for version in stored {
            // Versions are in order of revision, so the newest of each date stays.
            newest.insert(version.released, version);
        }
        let days: BTreeSet<Date> = newest.keys().chain(claims.keys()).copied().collect();
        let mut added = Vec::new();
        // The answer on the day before.
        let mut answer: Option<Value> = None;
        for released in days {
            let is = newest.get(&released).filter(|version| !version.is_retraction()).map(|version| &version.statement);
            let should_be = match claims.get(&released) {
                None => None,
                Some(Claim::Version(statement)) => Some(statement.clone()),
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
    let mut versions = counting.iter().peekable();
    for release in full_releases {
        let mut has_version = false;
        while let Some(version) = versions.next_if(|version| version.revision <= release.revision) {
            has_version |= version.revision == release.revision;
            claims.insert(version.released, Claim::Version(version.statement.clone()));
        }
        if has_version {
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
    for version in versions {
        claims.insert(version.released, Claim::Version(version.statement.clone()));
    }
    claims
}

/// Versions added to a period. If the answer changes, at any release date, subscribers see exactly one of them.
fn with_one_visible(added: Vec<FigureVersion>, stored: &[FigureVersion]) -> Vec<RecordedVersion> {
    let mut all = stored.to_vec();
    all.extend(added.iter().cloned());
    let newest = Horizon::at(Revision::MAX);
    let is_newest_moved = state_at(stored, newest) != state_at(&all, newest);
    let moved =
        added.iter().rposition(|version| value_on(stored, version.released) != value_on(&all, version.released));
    let visible = match moved {
        None if is_newest_moved => added.len().checked_sub(1),
        moved => moved,
    };
    let mut recorded = Vec::with_capacity(added.len());
    for (at, version) in added.into_iter().enumerate() {
        recorded.push(match visible == Some(at) {
            true => RecordedVersion::visible(version, stored, &all),
            false => RecordedVersion::silent(version),
        });
    }
    recorded
}

/// The value that answers on a release date.
fn value_on(versions: &[FigureVersion], released: Date) -> Option<&Value> {
    state_at(versions, Horizon { released, ..Horizon::at(Revision::MAX) }).and_then(FigureVersion::value)
}
