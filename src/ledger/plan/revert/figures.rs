//! Figures without some commits: which rows say so.
//!
//! Of a period, the remaining commits are played again in order. Each says something for its release date: by a row, or, as
//! a whole release that left the figure as it was, without one. What they say together is compared with what is held, and
//! rows are added where it differs. A row that a commit recorded for another day than its own holds a figure in place for
//! a later whole release; such rows follow from the others and are worked out anew.

use std::collections::{BTreeMap, HashMap};

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

/// Which periods of a series to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Those that a switched commit recorded rows of.
    Touched,
    /// All: a whole release of it is taken back or counts again.
    All,
}

/// What is said for a release date.
#[derive(Debug, Clone)]
enum Said {
    /// By a row.
    Stated(Statement),
    /// By a whole release that left it as it was.
    LeftAs(Option<Value>),
}

impl Said {
    fn value(&self) -> Option<&Value> {
        match self {
            Self::Stated(statement) => statement.value(),
            Self::LeftAs(value) => value.as_ref(),
        }
    }
}

/// What is known of the commits while figures are planned.
#[derive(Debug, Default)]
struct Known {
    /// Release dates of commits.
    released: HashMap<Revision, Option<Date>>,
    /// Whole releases that count after the revert, by indicator and source, oldest commit first.
    full_releases: HashMap<(IndicatorId, SourceId), Vec<FullRelease>>,
}

impl Planner<'_> {
    pub(super) fn revert_figures(&mut self, revert: &mut Revert) -> Result<(), PlanError> {
        let mut known = Known::default();
        for (key, extent) in self.series_of(revert)? {
            let Some(ids) = self.view.series_ids(&key) else { continue };
            let rows = self.view.versions(ids)?;
            self.note_releases(&key, &rows, &mut known)?;
            let counted = rows.iter().filter(|row| self.is_own_statement(row, &known) && self.counts(row.revision));
            if let Some(newest) = counted.map(|row| row.revision).max() {
                self.require_names_of(&key, newest, revert);
            }
            let mut added = Vec::new();
            for rows in by_period(&rows) {
                let touched = rows.iter().any(|row| revert.switched.has(row.revision));
                if touched || extent == Extent::All {
                    self.revert_figure(&key, rows, &known, revert, &mut added);
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

    /// The series that switched commits recorded rows of, or that are of a whole release of theirs.
    fn series_of(&self, revert: &Revert) -> Result<BTreeMap<SeriesKey, Extent>, StoreError> {
        let mut found = BTreeMap::new();
        for commit in revert.switched.0.keys().filter(|commit| !self.catalog.reverts().is_revert(**commit)) {
            let header = self.ledger.header(*commit)?.ok_or_else(|| Self::lacking(*commit, "its header"))?;
            for page in 0..header.pages {
                let bytes = self.ledger.read(*commit, page)?.ok_or_else(|| Self::lacking(*commit, "a page"))?;
                for record in LedgerPage::decode(&bytes)?.records {
                    match record {
                        Record::Series(key, _) => {
                            found.entry(key).or_insert(Extent::Touched);
                        }
                        Record::FullRelease(indicator, source) => {
                            let all = self.series_of_release(&indicator, &source)?;
                            found.extend(all.into_iter().map(|key| (key, Extent::All)));
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(found)
    }

    fn series_of_release(&self, indicator: &IndicatorId, source: &SourceId) -> Result<Vec<SeriesKey>, StoreError> {
        let mut found = Vec::new();
        let indicator = self.view.number(NameKind::Indicator, indicator.as_str());
        let source = self.view.number(NameKind::Source, source.as_str());
        let Some((indicator, source)) = indicator.zip(source) else { return Ok(found) };
        let mut at = None;
        while let Some(ids) = self.view.next_series(SeriesScope::Indicator(indicator), at)? {
            if ids.source == source {
                found.push(self.view.series_key(ids)?);
            }
            at = Some(ids);
        }
        Ok(found)
    }

    fn note_releases(&self, key: &SeriesKey, rows: &[FigureVersion], known: &mut Known) -> Result<(), StoreError> {
        for row in rows {
            if let std::collections::hash_map::Entry::Vacant(vacant) = known.released.entry(row.revision) {
                let header = self.ledger.header(row.revision)?;
                let header = header.ok_or_else(|| Self::lacking(row.revision, "its header"))?;
                vacant.insert(header.commit.released);
            }
        }
        let pair = (key.indicator.clone(), key.source.clone());
        if known.full_releases.contains_key(&pair) {
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
        known.full_releases.insert(pair, releases);
        Ok(())
    }

    /// Adds the rows of one period. `rows` are those it has, in order.
    fn revert_figure(
        &mut self,
        key: &SeriesKey,
        rows: &[FigureVersion],
        known: &Known,
        revert: &mut Revert,
        added: &mut Vec<RecordedRow>,
    ) {
        let own: Vec<&FigureVersion> = rows.iter().filter(|row| self.is_own_statement(row, known)).collect();
        find_restated(&own, revert, |commit| self.counts(commit));
        let counted: Vec<&FigureVersion> = own.into_iter().filter(|row| self.counts(row.revision)).collect();
        let pair = (key.indicator.clone(), key.source.clone());
        let full_releases = known.full_releases.get(&pair).map_or(&[][..], Vec::as_slice);
        let said = play(rows, &counted, full_releases, revert);
        let rows_added = self.difference(rows, &said);
        let recorded = told_at_most_once(rows_added, rows);
        for recorded in recorded {
            self.count(recorded.movement);
            added.push(recorded);
        }
    }

    /// Whether a row is what its commit says, and does not only follow from what others say.
    fn is_own_statement(&self, row: &FigureVersion, known: &Known) -> bool {
        let released = known.released.get(&row.revision).copied().flatten();
        !self.catalog.reverts().is_revert(row.revision) && released == Some(row.released)
    }

    /// The rows to add so that what is said is what is held.
    fn difference(&self, rows: &[FigureVersion], said: &BTreeMap<Date, Said>) -> Vec<FigureVersion> {
        // Rows are in order of revision: the last of a date stays.
        let held: BTreeMap<Date, &FigureVersion> = rows.iter().map(|row| (row.released, row)).collect();
        let mut days: Vec<Date> = held.keys().chain(said.keys()).copied().collect();
        days.sort_unstable();
        days.dedup();
        let mut added = Vec::new();
        let mut answer: Option<Value> = None;
        for released in days {
            let held = held.get(&released).filter(|row| !row.is_retraction()).map(|row| &row.statement);
            let wanted = match said.get(&released) {
                None => None,
                Some(Said::Stated(statement)) => Some(statement.clone()),
                Some(Said::LeftAs(value)) => match held {
                    Some(held) if held.value() == value.as_ref() => Some(held.clone()),
                    _ if answer == *value => None,
                    _ => Some(Statement::from(value.clone())),
                },
            };
            if wanted.as_ref() != held {
                let statement = wanted.clone().unwrap_or(Statement::Retracted);
                added.push(FigureVersion { period: rows[0].period, revision: self.revision, released, statement });
            }
            if let Some(wanted) = wanted {
                answer = wanted.value().cloned();
            }
        }
        added
    }
}

/// Finds commits that said something else for a release date that a switched commit speaks for.
fn find_restated(own: &[&FigureVersion], revert: &mut Revert, counts: impl Fn(Revision) -> bool) {
    let mut since: HashMap<Date, Revision> = HashMap::new();
    for row in own {
        if let Some(from) = revert.switched.0.get(&row.revision) {
            let earliest = since.entry(row.released).or_insert(*from);
            *earliest = (*earliest).min(*from);
        }
    }
    for row in own {
        let later = since.get(&row.released).is_some_and(|from| row.revision > *from);
        if later && !revert.switched.has(row.revision) && counts(row.revision) {
            revert.conflicts.insert(row.revision);
        }
    }
}

/// What the commits that count say for each release date. A whole release that left the figure as it was, and would not
/// have found it so, is in the way.
fn play(
    rows: &[FigureVersion],
    counted: &[&FigureVersion],
    full_releases: &[FullRelease],
    revert: &mut Revert,
) -> BTreeMap<Date, Said> {
    let mut said: BTreeMap<Date, Said> = BTreeMap::new();
    let mut counted = counted.iter().peekable();
    for release in full_releases {
        let mut stated = false;
        while let Some(row) = counted.next_if(|row| row.revision <= release.revision) {
            stated |= row.revision == release.revision;
            said.insert(row.released, Said::Stated(row.statement.clone()));
        }
        if stated {
            continue;
        }
        let horizon = Horizon { revision: release.revision, released: release.released };
        let found = newest_at(rows, horizon).and_then(FigureVersion::value);
        let finds = said.range(..=release.released).next_back().and_then(|(_, said)| said.value().cloned());
        if found != finds.as_ref() {
            revert.conflicts.insert(release.revision);
        }
        said.entry(release.released).or_insert(Said::LeftAs(finds));
    }
    for row in counted {
        said.insert(row.released, Said::Stated(row.statement.clone()));
    }
    said
}

/// Of the rows added to a period one is told, if the figure reads otherwise at any release date.
fn told_at_most_once(added: Vec<FigureVersion>, known: &[FigureVersion]) -> Vec<RecordedRow> {
    let with: Vec<FigureVersion> = known.iter().chain(&added).cloned().collect();
    let always = Horizon::at(Revision::MAX);
    let reads_otherwise = |row: &FigureVersion| {
        let horizon = Horizon { released: row.released, ..always };
        state_at(known, horizon).and_then(FigureVersion::value)
            != state_at(&with, horizon).and_then(FigureVersion::value)
    };
    let moved = state_at(known, always) != state_at(&with, always);
    let told = added.iter().rposition(reads_otherwise).or(if moved { added.len().checked_sub(1) } else { None });
    let recorded = added.iter().enumerate().map(|(at, row)| match told == Some(at) {
        true => RecordedRow::told(row.clone(), known, &with),
        false => RecordedRow::silent(row.clone()),
    });
    recorded.collect()
}
