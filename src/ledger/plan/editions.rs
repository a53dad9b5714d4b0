//! Editions: checks of a table, and the moves it makes, computed once.

use std::{collections::HashMap, sync::Arc};

use super::{PlanError, Planner};
use crate::{
    ledger::record::Record,
    model::{
        catalog::{DefinitionKind, Ranking},
        change::{Absence, EntryChange, Movement},
        edition::{Basis, CoverageKind, Edition, EditionStatus, Entry, Table, complete_to, sort_entries},
        id::{EditionId, EntityId, RankingId},
    },
    ranking::compare::{comparability, moves},
    store::nearest::nearest,
};

impl Planner<'_> {
    pub(super) fn publish(&mut self, table: Table, correction: bool) -> Result<(), PlanError> {
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
        let mut table = table;
        sort_entries(&mut table.entries);
        self.check_edition(&table.edition, &ranking);
        self.check_entries(&table);
        if self.outcome.findings.refuse() {
            return Ok(());
        }
        let compared = match &standing {
            Some(standing) => Some(standing.clone()),
            None => self.previous_edition(&table.edition),
        };
        let compared = compared.map(|edition| self.view.table(&edition)).transpose()?;
        self.complete_edition(&mut table, correction, compared.as_deref());
        if correction {
            let before = standing.as_deref().zip(compared.as_deref());
            if before
                .is_some_and(|(edition, old)| same_edition(edition, &table.edition) && old.entries == table.entries)
            {
                self.outcome.counts.unchanged = table.entries.len() as u64;
                self.outcome.edition = standing.map(|edition| edition.as_ref().clone());
                return Ok(());
            }
        }
        self.outcome.released = Some(table.edition.released);
        self.outcome.edition = Some(table.edition.clone());
        let before = standing.map(|edition| Box::new(edition.as_ref().clone()));
        self.emit(Record::Edition(before, Box::new(table.edition.clone())))?;
        self.emit_entries(&table, compared.as_deref(), correction, &ranking)
    }

    pub(super) fn withdraw(&mut self, ranking: &RankingId, edition: &EditionId) -> Result<(), PlanError> {
        self.known_ranking(ranking)?;
        let standing = self.standing_edition(ranking, edition).ok_or_else(|| self.no_edition(ranking, edition))?;
        let table = self.view.table(&standing)?;
        let mut after = standing.as_ref().clone();
        (after.status, after.revision, after.recorded) = (EditionStatus::Withdrawn, self.revision, self.recorded);
        (after.entry_count, after.complete_to) = (0, 0);
        self.outcome.released = Some(after.released);
        self.outcome.edition = Some(after.clone());
        self.emit(Record::Edition(Some(Box::new(standing.as_ref().clone())), Box::new(after.clone())))?;
        for entry in &table.entries {
            self.outcome.counts.withdrawn += 1;
            let change = EntryChange {
                ranking: ranking.clone(),
                edition: edition.clone(),
                source: standing.source.clone(),
                entity: entry.entity.clone(),
                before: Some(Box::new(entry.clone())),
                after: None,
                compared_with: Some(edition.clone()),
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
        self.catalog.ranking(id.as_str(), self.head).cloned().ok_or_else(|| PlanError::Unknown {
            kind: DefinitionKind::Ranking,
            id: id.to_string(),
            near: nearest(&self.catalog, DefinitionKind::Ranking, id.as_str(), self.head),
        })
    }

    fn standing_edition(&self, ranking: &RankingId, edition: &EditionId) -> Option<Arc<Edition>> {
        let found = self.catalog.edition(ranking, edition, self.now())?;
        (found.status != EditionStatus::Withdrawn).then(|| found.clone())
    }

    fn no_edition(&self, ranking: &RankingId, edition: &EditionId) -> PlanError {
        let editions = self.catalog.editions(ranking, self.now());
        let near = editions.iter().map(|edition| edition.edition.to_string()).collect();
        PlanError::NoEdition { ranking: ranking.clone(), edition: edition.clone(), near }
    }

    /// The edition that a new one is compared with: the newest as published before it; for a restatement the one it restates.
    fn previous_edition(&self, edition: &Edition) -> Option<Arc<Edition>> {
        let stands = |other: &&Arc<Edition>| {
            other.basis == Basis::AsPublished
                && other.status != EditionStatus::Withdrawn
                && other.edition != edition.edition
        };
        let editions = self.catalog.editions(&edition.ranking, self.now());
        let mut standing = editions.into_iter().filter(stands);
        match edition.basis {
            Basis::AsPublished => standing.rfind(|other| other.edition.as_str() < edition.edition.as_str()).cloned(),
            _ => standing.find(|other| other.edition.as_str() == edition.about).cloned(),
        }
    }

    fn check_edition(&mut self, edition: &Edition, ranking: &Ranking) {
        if !edition.methodology.is_empty() && ranking.methodology(&edition.methodology).is_none() {
            let known: Vec<String> = ranking.methodologies.iter().map(|methodology| methodology.id.clone()).collect();
            let message = format!("{} has no methodology `{}`", ranking.id, edition.methodology);
            self.outcome.findings.unknown("UNKNOWN_METHODOLOGY", "header.edition.methodology", message, known);
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
            for economy in &entry.economies {
                self.check_name(
                    DefinitionKind::Entity,
                    economy.as_str(),
                    "UNKNOWN_ENTITY",
                    &format!("{location}.economies"),
                );
            }
            if entry.rank == Some(0) {
                self.outcome.findings.error("BAD_RANK", format!("{location}.rank"), "ranks start at 1");
            }
        }
        self.check_ranks(table);
        self.check_scores(&table.entries);
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
        let listed = table.edition.coverage.listed;
        if table.edition.coverage.kind == CoverageKind::Top && listed != 0 && listed as usize != table.entries.len() {
            let message =
                format!("a top {listed} with {} entries; declare it partial if not all are known", table.entries.len());
            self.outcome.findings.error("COVERAGE_MISMATCH", "header.edition.coverage", message);
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

    fn emit_entries(
        &mut self,
        table: &Table,
        compared: Option<&Table>,
        correction: bool,
        ranking: &Ranking,
    ) -> Result<(), PlanError> {
        let comparable =
            compared.is_some_and(|old| comparability(&old.edition, &table.edition, Some(ranking)).comparable);
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

/// Whether two editions differ in nothing but what the server says about them.
fn same_edition(before: &Edition, after: &Edition) -> bool {
    let plain = |edition: &Edition| Edition {
        status: EditionStatus::Published,
        revision: crate::model::id::Revision::ZERO,
        recorded: crate::model::time::Instant(0),
        compared_with: None,
        ..edition.clone()
    };
    plain(before) == plain(after)
}
