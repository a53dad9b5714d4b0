//! Editions: checks of a table, and the moves it makes, computed once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{PlanError, Planner};
use crate::{
    ledger::record::Record,
    model::{
        catalog::{DefinitionKind, EntityKind, Ranking},
        change::{Absence, EntryChange, Movement},
        edition::{Basis, CoverageKind, Edition, EditionStatus, Entry, Table, complete_to, sort_entries},
        id::{EditionId, EntityId, RankingId},
        series::Horizon,
        time::Date,
    },
    ranking::compare::{comparability, moves},
    store::{catalog::Catalog, suggestions::nearest_ids},
};

impl Planner<'_> {
    pub(super) fn publish(&mut self, mut table: Table, correction: bool) -> Result<(), PlanError> {
        let ranking = self.known_ranking(&table.edition.ranking)?;
        let standing = self.standing_edition(&table.edition.ranking, &table.edition.edition);
        match (&standing, correction) {
            (Some(_), false) => {
                let (ranking, edition) = (table.edition.ranking, table.edition.edition);
                return Err(PlanError::EditionExists { ranking, edition });
            }
            (None, true) => return Err(self.no_edition(&table.edition.ranking, &table.edition.edition)),
            _ => {}
        }
        table.edition.source.get_or_insert_with(|| ranking.source.clone());
        sort_entries(&mut table.entries);
        self.check_edition(&table.edition);
        self.check_entries(&table);
        if self.outcome.findings.refuse() {
            return Ok(());
        }
        if let Some(standing) = standing.as_ref().filter(|standing| table.edition.released < standing.released) {
            return self.fill_in_behind(table, standing);
        }
        let compared = match &standing {
            Some(standing) => Some(standing.clone()),
            None => self.previous_edition(&table.edition, self.now()),
        };
        let compared = compared.map(|edition| self.view.table(&edition)).transpose()?;
        self.complete_edition(&mut table, correction, compared.as_deref());
        table.edition.effective = self.effective_day(&table.edition);
        let same = |old: &Table| same_edition(&old.edition, &table.edition) && old.entries == table.entries;
        if let Some(standing) = standing.as_ref().filter(|_| compared.as_deref().is_some_and(same)) {
            self.outcome.counts.unchanged = table.entries.len() as u64;
            self.outcome.edition = Some(standing.as_ref().clone());
            return Ok(());
        }
        self.outcome.released = Some(table.edition.released);
        self.outcome.edition = Some(table.edition.clone());
        self.outcome.corrects = correction;
        let before = standing.map(|edition| Box::new(edition.as_ref().clone()));
        self.emit(Record::Edition(before, Box::new(table.edition.clone())))?;
        self.emit_entries(&table, compared.as_deref(), correction)
    }

    /// Plans a correction that is older than what stands: it answers for its own day, and what is current does not change.
    fn fill_in_behind(&mut self, mut table: Table, standing: &Arc<Edition>) -> Result<(), PlanError> {
        self.complete_edition(&mut table, true, None);
        self.outcome.edition = Some(standing.as_ref().clone());
        let day = Horizon { revision: self.head, released: table.edition.released };
        let known = self.catalog.edition(&table.edition.ranking, &table.edition.edition, day);
        let known = known.filter(|known| known.stands() && same_edition(known, &table.edition));
        let known = known.map(|known| self.view.table(known)).transpose()?;
        if known.is_some_and(|known| known.entries == table.entries) {
            self.outcome.counts.unchanged = table.entries.len() as u64;
            return Ok(());
        }
        let message = format!(
            "edition {} as released on {} stands; the release of {} is older and is filled in behind it",
            standing.edition, standing.released, table.edition.released
        );
        self.outcome.findings.warning("OLDER_RELEASE", "header.edition.released", message);
        self.outcome.released = Some(table.edition.released);
        self.outcome.corrects = true;
        self.outcome.counts.backfilled = table.entries.len() as u64;
        self.emit(Record::OlderEdition {
            standing: Box::new(standing.as_ref().clone()),
            older: Box::new(table.edition),
        })?;
        for entry in table.entries {
            self.emit(Record::OlderEntry(Box::new(entry)))?;
        }
        Ok(())
    }

    /// From which day on a version answers that becomes the current one, if not from its release date on: never before the
    /// version that it follows.
    fn effective_day(&self, edition: &Edition) -> Option<Date> {
        let followed = self.catalog.edition(&edition.ranking, &edition.edition, self.now())?;
        Some(followed.effective_day()).filter(|day| *day > edition.released)
    }

    pub(super) fn withdraw(
        &mut self,
        ranking: &RankingId,
        edition: &EditionId,
        released: Option<Date>,
    ) -> Result<(), PlanError> {
        self.known_ranking(ranking)?;
        let standing = self.standing_edition(ranking, edition).ok_or_else(|| self.no_edition(ranking, edition))?;
        let day = released.unwrap_or(self.recorded.day()).max(standing.effective_day());
        if let Some(released) = released {
            self.check_release(released, "withdrawn");
            self.check_withdrawal(released, &standing);
        }
        let table = self.view.table(&standing)?;
        let mut after = standing.as_ref().clone();
        (after.status, after.revision, after.recorded) = (EditionStatus::Withdrawn, self.revision, self.recorded);
        (after.entry_count, after.complete_to) = (0, 0);
        after.effective = Some(day);
        self.outcome.released = Some(day);
        self.outcome.edition = Some(after.clone());
        self.emit(Record::Edition(Some(Box::new(standing.as_ref().clone())), Box::new(after.clone())))?;
        self.emit_withdrawn(&table)
    }

    /// Tells that all entries of an edition are gone.
    pub(super) fn emit_withdrawn(&mut self, table: &Table) -> Result<(), PlanError> {
        let standing = &table.edition;
        for entry in &table.entries {
            self.outcome.counts.withdrawn += 1;
            let change = EntryChange {
                ranking: standing.ranking.clone(),
                edition: standing.edition.clone(),
                source: standing.source.clone(),
                entity: entry.entity.clone(),
                before: Some(Box::new(entry.clone())),
                after: None,
                compared_with: Some(standing.edition.clone()),
                compared: None,
                earlier_source: standing.source.clone(),
                movement: Movement::Withdrawn,
                earlier_absence: None,
                later_absence: Some(Absence::Unknown),
                entries_before: standing.entry_count,
                entries_after: 0,
                comparable: true,
            };
            self.emit(Record::Entry(Box::new(change)))?;
        }
        Ok(())
    }

    fn known_ranking(&self, id: &RankingId) -> Result<Ranking, PlanError> {
        self.catalog.ranking(id.as_str(), self.revision).cloned().ok_or_else(|| PlanError::Unknown {
            kind: DefinitionKind::Ranking,
            id: id.to_string(),
            near: nearest_ids(&self.catalog, DefinitionKind::Ranking, id.as_str(), self.revision),
        })
    }

    fn standing_edition(&self, ranking: &RankingId, edition: &EditionId) -> Option<Arc<Edition>> {
        let found = self.catalog.edition(ranking, edition, self.now())?;
        found.stands().then(|| found.clone())
    }

    /// Why no edition of this id stands.
    fn no_edition(&self, ranking: &RankingId, edition: &EditionId) -> PlanError {
        if let Some(withdrawn) = self.catalog.edition(ranking, edition, self.now()) {
            return PlanError::EditionWithdrawn {
                ranking: ranking.clone(),
                edition: edition.clone(),
                revision: withdrawn.revision,
            };
        }
        let editions = self.catalog.editions(ranking, self.now());
        let near = editions.iter().map(|edition| edition.edition.to_string()).collect();
        PlanError::NoEdition { ranking: ranking.clone(), edition: edition.clone(), near }
    }

    pub(super) fn previous_edition(&self, edition: &Edition, at: Horizon) -> Option<Arc<Edition>> {
        previous_edition(&self.catalog, edition, at)
    }

    fn check_withdrawal(&mut self, released: Date, standing: &Edition) {
        let since = standing.effective_day();
        if released < since {
            let message = format!("{released} is before {since}, from which on the edition stands");
            self.outcome.findings.error("WITHDRAWN_BEFORE_RELEASE", "withdrawn", message);
        }
    }

    fn check_edition(&mut self, edition: &Edition) {
        self.check_release(edition.released, "header.edition.released");
        if !edition.methodology.is_empty() {
            let (id, location) = (&edition.methodology, "header.edition.methodology");
            self.check_name(DefinitionKind::Methodology, id, "UNKNOWN_METHODOLOGY", location);
        }
        if let Some(source) = &edition.source {
            self.check_name(DefinitionKind::Source, source.as_str(), "UNKNOWN_SOURCE", "header.edition.source");
        }
        if edition.basis != Basis::AsPublished && edition.about.is_empty() {
            let message = "an edition that is not as published must say which edition it is about";
            self.outcome.findings.error("MISSING_ABOUT", "header.edition.about", message);
        }
    }

    fn check_entries(&mut self, table: &Table) {
        if table.entries.is_empty() {
            self.outcome.findings.error("EMPTY_EDITION", "entries", "an edition has at least one entry");
        }
        let mut seen: HashMap<&EntityId, Option<u32>> = HashMap::new();
        for entry in &table.entries {
            let location = format!("entries[{}]", entry.entity);
            if seen.insert(&entry.entity, entry.rank).is_some() {
                let message =
                    format!("{} is listed twice; other ranks that are claimed for it go into `disputed`", entry.entity);
                self.outcome.findings.error("DUPLICATE_ENTITY", location.clone(), message);
            }
            self.check_name(
                DefinitionKind::Entity,
                entry.entity.as_str(),
                "UNKNOWN_ENTITY",
                &format!("{location}.entity"),
            );
            self.check_economies(entry, &location);
            self.check_components(entry, &location);
            self.check_claims(entry, &location);
            if entry.rank == Some(0) {
                self.outcome.findings.error("BAD_RANK", format!("{location}.rank"), "ranks start at 1");
            }
        }
        self.check_ranks(table);
        self.check_scores(&table.entries);
    }

    fn check_economies(&mut self, entry: &Entry, location: &str) {
        let location = format!("{location}.economies");
        let mut seen = HashSet::new();
        for economy in &entry.economies {
            if !seen.insert(economy) {
                let message = format!("{economy} is named twice");
                self.outcome.findings.error("DUPLICATE_ECONOMY", location.clone(), message);
                continue;
            }
            self.check_name(DefinitionKind::Entity, economy.as_str(), "UNKNOWN_ENTITY", &location);
            let entity = self.catalog.entity(economy.as_str(), self.revision);
            if entity.is_some_and(|entity| entity.kind != EntityKind::Economy) {
                let message = format!("{economy} is no economy");
                self.outcome.findings.error("NOT_AN_ECONOMY", location.clone(), message);
            }
        }
    }

    fn check_components(&mut self, entry: &Entry, location: &str) {
        let mut seen = HashSet::new();
        for component in &entry.components {
            let location = format!("{location}.components[{}]", component.id);
            if component.rank == Some(0) {
                self.outcome.findings.error("BAD_RANK", format!("{location}.rank"), "ranks start at 1");
            }
            if !seen.insert(&component.id) {
                let message = format!("component `{}` comes twice", component.id);
                self.outcome.findings.error("DUPLICATE_COMPONENT", location, message);
            }
        }
    }

    fn check_claims(&mut self, entry: &Entry, location: &str) {
        for (field, claims) in [("previous", &entry.previous), ("disputed", &entry.disputed)] {
            if claims.iter().any(|claim| claim.rank == 0) {
                let location = format!("{location}.{field}");
                self.outcome.findings.error("BAD_RANK", location, "ranks start at 1");
            }
        }
    }

    fn check_ranks(&mut self, table: &Table) {
        let partial = table.edition.coverage.kind == CoverageKind::Partial;
        let (mut places, mut last) = (0, 0);
        for group in table.entries.chunk_by(|a, b| a.rank == b.rank) {
            let Some(rank) = group[0].rank else {
                if !partial {
                    let location = format!("entries[{}].rank", group[0].entity);
                    let message = "a rank is missing; only a partial edition may list an entry without one";
                    self.outcome.findings.error("MISSING_RANK", location, message);
                }
                continue;
            };
            let location = format!("entries[{}].rank", group[0].entity);
            if group.len() > 1 && group.iter().any(|entry| !entry.tied) {
                let names: Vec<&str> = group.iter().map(|entry| entry.entity.as_str()).collect();
                let message =
                    format!("rank {rank} is given to {}; mark them as tied if it is shared", names.join(", "));
                self.outcome.findings.error("DUPLICATE_RANK", location.clone(), message);
            }
            if group.len() == 1 && group[0].tied && !partial {
                self.outcome.findings.warning(
                    "LONELY_TIE",
                    location.clone(),
                    format!("rank {rank} is marked as tied with nobody"),
                );
            }
            if !partial && rank != places + 1 && rank != last + 1 {
                let message = format!(
                    "rank {} is missing before {rank}; declare the edition partial if only some ranks are known",
                    last + 1
                );
                self.outcome.findings.error("RANK_GAP", location, message);
            }
            places += u32::try_from(group.len()).unwrap_or(u32::MAX);
            last = rank;
        }
        self.check_coverage(table);
    }

    fn check_coverage(&mut self, table: &Table) {
        let coverage = table.edition.coverage;
        let entries = u32::try_from(table.entries.len()).unwrap_or(u32::MAX);
        let last = table.entries.iter().filter_map(|entry| Some((entry.rank?, entry))).next_back();
        let mut mismatch = |field: &str, message: String| {
            let location = format!("header.edition.coverage{field}");
            self.outcome.findings.error("COVERAGE_MISMATCH", location, message);
        };
        if coverage.listed != 0 {
            let listed = coverage.listed;
            if coverage.kind == CoverageKind::Top && listed != entries {
                mismatch("", format!("a top {listed} with {entries} entries; declare it partial if not all are known"));
            } else if listed < entries {
                mismatch(".listed", format!("{entries} entries of a list of {listed}"));
            }
        }
        if coverage.universe != 0 && coverage.universe < entries.max(coverage.listed) {
            let (universe, needed) = (coverage.universe, entries.max(coverage.listed));
            mismatch(".universe", format!("{universe} were ranked in all, and {needed} are listed"));
        }
        // Of a whole table its ranks without gaps say the same.
        if let Some((rank, entry)) = last.filter(|(rank, _)| coverage.listed != 0 && *rank > coverage.listed) {
            let location = format!("entries[{}].rank", entry.entity);
            let message = format!("rank {rank} of a list of {}", coverage.listed);
            self.outcome.findings.error("RANK_ABOVE_LISTED", location, message);
        }
    }

    /// Scores fall with the rank; where they do not, two rows may have been mixed up.
    fn check_scores(&mut self, entries: &[Entry]) {
        let scored = entries.iter().filter_map(|entry| Some((entry, entry.rank?, entry.score.as_ref()?.comparable()?)));
        let scored: Vec<_> = scored.collect();
        for pair in scored.windows(2).filter(|pair| pair[0].1 < pair[1].1 && pair[0].2 < pair[1].2) {
            let message = format!(
                "{} has rank {} and score {}, {} has rank {} and score {}",
                pair[0].0.entity, pair[0].1, pair[0].2, pair[1].0.entity, pair[1].1, pair[1].2
            );
            self.outcome.findings.warning("SCORE_ORDER", format!("entries[{}].score", pair[1].0.entity), message);
        }
    }

    /// Fills in what the server says about an edition.
    fn complete_edition(&self, table: &mut Table, correction: bool, compared: Option<&Table>) {
        let edition = &mut table.edition;
        if correction {
            edition.status = EditionStatus::Corrected;
        }
        edition.entry_count = u32::try_from(table.entries.len()).unwrap_or(u32::MAX);
        edition.complete_to = complete_to(&table.entries);
        if edition.coverage.kind == CoverageKind::Top {
            edition.coverage.listed = edition.entry_count;
        }
        (edition.revision, edition.recorded) = (self.revision, self.recorded);
        edition.compared_with = compared.map(|table| table.edition.edition.clone());
    }

    pub(super) fn emit_entries(
        &mut self,
        table: &Table,
        compared: Option<&Table>,
        correction: bool,
    ) -> Result<(), PlanError> {
        let methodology = |id: &str| self.catalog.methodology(id, self.revision);
        let comparable =
            compared.is_some_and(|old| comparability(&old.edition, &table.edition, methodology).comparable);
        let earlier_source = compared.and_then(|old| old.edition.source.clone());
        // A row is also what its edition's source is: those who want figures of a source are told when that changes.
        let one_source = earlier_source == table.edition.source;
        for moved in moves(compared, table) {
            let counts = &mut self.outcome.counts;
            match (&moved.earlier, &moved.later) {
                (earlier, later) if correction && earlier == later => {
                    counts.unchanged += 1;
                    if one_source {
                        continue;
                    }
                }
                (Some(_), Some(_)) if correction => counts.revised += 1,
                (_, Some(_)) => counts.added += 1,
                (_, None) if correction => counts.withdrawn += 1,
                (_, None) => {}
            }
            let earlier = moved.earlier.map(Box::new);
            let (before, other) = if correction { (earlier, None) } else { (None, earlier) };
            let change = EntryChange {
                ranking: table.edition.ranking.clone(),
                edition: table.edition.edition.clone(),
                source: table.edition.source.clone(),
                entity: moved.entity,
                before,
                after: moved.later.map(Box::new),
                compared_with: table.edition.compared_with.clone(),
                compared: other,
                earlier_source: earlier_source.clone(),
                movement: moved.movement,
                earlier_absence: moved.earlier_absence,
                later_absence: moved.later_absence,
                entries_before: compared.map_or(0, |table| table.edition.entry_count),
                entries_after: table.edition.entry_count,
                comparable,
            };
            self.emit(Record::Entry(Box::new(change)))?;
        }
        Ok(())
    }
}

/// The edition that a new one is compared with: the newest as published that was first released before it (of one day, the
/// natural order of ids decides); for a restatement the one it restates.
pub(super) fn previous_edition(catalog: &Catalog, edition: &Edition, at: Horizon) -> Option<Arc<Edition>> {
    if edition.basis == Basis::AsPublished {
        return catalog.previous_edition(&edition.ranking, &edition.edition, edition.released, at).cloned();
    }
    let about = EditionId::new(&edition.about).ok()?;
    let restated = catalog.edition(&edition.ranking, &about, at).filter(|restated| restated.stands())?.clone();
    (restated.basis == Basis::AsPublished && about != edition.edition).then_some(restated)
}

/// Whether two editions differ in nothing but what the server says about them.
fn same_edition(before: &Edition, after: &Edition) -> bool {
    let plain = |edition: &Edition| Edition {
        status: EditionStatus::Published,
        revision: crate::model::id::Revision::ZERO,
        recorded: crate::model::time::Instant(0),
        compared_with: None,
        effective: None,
        ..edition.clone()
    };
    plain(before) == plain(after)
}
