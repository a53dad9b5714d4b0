//! Checks of an edition and its table before it is published.
//!
//! An error refuses the write, a warning is answered with it. Locations name fields of the upload.

use std::collections::{HashMap, HashSet};

use super::Planner;
use crate::model::{
    catalog::{DefinitionKind, EntityKind},
    edition::{Basis, Coverage, CoverageKind, Edition, Entry, Table},
    id::EntityId,
    value::Value,
};

impl Planner<'_> {
    pub(super) fn check_edition(&mut self, edition: &Edition) {
        self.check_release(edition.released, "header.edition.released");
        if !edition.methodology.is_empty() {
            let location = "header.edition.methodology";
            self.check_name(DefinitionKind::Methodology, &edition.methodology, "UNKNOWN_METHODOLOGY", location);
        }
        if let Some(source) = &edition.source {
            self.check_name(DefinitionKind::Source, source.as_str(), "UNKNOWN_SOURCE", "header.edition.source");
        }
        if edition.basis != Basis::AsPublished && edition.about.is_empty() {
            let message = "an edition that is not as published must say which edition it is about";
            self.outcome.findings.error("MISSING_ABOUT", "header.edition.about", message);
        }
    }

    pub(super) fn check_entries(&mut self, table: &Table) {
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

    /// Ranks start at 1 and have no gap, unless the edition is partial. `entries` are sorted by rank.
    fn check_ranks(&mut self, table: &Table) {
        let partial = table.edition.coverage.kind == CoverageKind::Partial;
        // Entries so far, and the rank before.
        let mut listed = 0;
        let mut last = 0;
        for group in table.entries.chunk_by(|a, b| a.rank == b.rank) {
            let location = format!("entries[{}].rank", group[0].entity);
            let Some(rank) = group[0].rank else {
                if !partial {
                    let message = "a rank is missing; only a partial edition may list an entry without one";
                    self.outcome.findings.error("MISSING_RANK", location, message);
                }
                continue;
            };
            self.check_ties(rank, group, partial, &location);
            if !partial && rank != listed + 1 && rank != last + 1 {
                let message = format!(
                    "rank {} is missing before {rank}; declare the edition partial if only some ranks are known",
                    last + 1
                );
                self.outcome.findings.error("RANK_GAP", location, message);
            }
            listed += u32::try_from(group.len()).unwrap_or(u32::MAX);
            last = rank;
        }
        self.check_coverage(table);
    }

    /// `group` are all entries of this rank.
    fn check_ties(&mut self, rank: u32, group: &[Entry], partial: bool, location: &str) {
        if group.len() > 1 && group.iter().any(|entry| !entry.tied) {
            let names: Vec<&str> = group.iter().map(|entry| entry.entity.as_str()).collect();
            let message = format!("rank {rank} is given to {}; mark them as tied if it is shared", names.join(", "));
            self.outcome.findings.error("DUPLICATE_RANK", location, message);
        }
        if group.len() == 1 && group[0].tied && !partial {
            let message = format!("rank {rank} is marked as tied with nobody");
            self.outcome.findings.warning("LONELY_TIE", location, message);
        }
    }

    fn check_coverage(&mut self, table: &Table) {
        let Coverage { kind, listed, universe } = table.edition.coverage;
        let entries = u32::try_from(table.entries.len()).unwrap_or(u32::MAX);
        if kind == CoverageKind::Top && listed != 0 && listed != entries {
            let message = format!("a top {listed} with {entries} entries; declare it partial if not all are known");
            self.outcome.findings.error("COVERAGE_MISMATCH", "header.edition.coverage", message);
        } else if listed != 0 && listed < entries {
            let message = format!("{entries} entries of a list of {listed}");
            self.outcome.findings.error("COVERAGE_MISMATCH", "header.edition.coverage.listed", message);
        }
        let listed_at_least = entries.max(listed);
        if universe != 0 && universe < listed_at_least {
            let message = format!("{universe} were ranked in all, and {listed_at_least} are listed");
            self.outcome.findings.error("COVERAGE_MISMATCH", "header.edition.coverage.universe", message);
        }
        // In a complete table the check for gaps finds the same.
        let last = table.entries.iter().rfind(|entry| entry.rank.is_some());
        let Some((entry, rank)) = last.and_then(|entry| Some((entry, entry.rank?))) else { return };
        if listed != 0 && rank > listed {
            let location = format!("entries[{}].rank", entry.entity);
            self.outcome.findings.error("RANK_ABOVE_LISTED", location, format!("rank {rank} of a list of {listed}"));
        }
    }

    /// Warns where a score rises with the rank: two rows may have been mixed up.
    fn check_scores(&mut self, entries: &[Entry]) {
        let mut before: Option<(&Entry, u32, f64)> = None;
        for entry in entries {
            let Some(rank) = entry.rank else { continue };
            let Some(score) = entry.score.as_ref().and_then(Value::comparable) else { continue };
            if let Some((better, better_rank, better_score)) = before
                && better_rank < rank
                && better_score < score
            {
                let message = format!(
                    "{} has rank {better_rank} and score {better_score}, {} has rank {rank} and score {score}",
                    better.entity, entry.entity
                );
                self.outcome.findings.warning("SCORE_ORDER", format!("entries[{}].score", entry.entity), message);
            }
            before = Some((entry, rank, score));
        }
    }
}
