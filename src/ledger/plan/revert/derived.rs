//! Editions with a field that the server worked out from a commit that is taken back: the edition that they are compared
//! with, the source of their ranking, or that an entity in which an entry lies is an economy.

use std::{collections::BTreeSet, sync::Arc};

use super::{PlanError, Planner, Revert};
use crate::{
    ledger::plan::editions::previous_edition,
    model::{
        catalog::{Definition, DefinitionKind, EntityKind},
        edition::{Edition, EditionStatus, Table},
        id::{EditionId, RankingId, Revision, SourceId},
        series::Horizon,
    },
    store::{StoreError, catalog::Catalog},
};

impl Planner<'_> {
    /// Finds editions in which such a field would be different had the remaining commits alone been made.
    pub(super) fn find_derived(&self, revert: &mut Revert) -> Result<(), PlanError> {
        let rankings: BTreeSet<&RankingId> = self.catalog.edition_names().map(|(ranking, _)| ranking).collect();
        for ranking in &rankings {
            self.find_compared(ranking, revert);
            self.find_sourced(ranking, revert);
        }
        self.find_lying_in(&rankings, revert)?;
        Ok(())
    }

    /// Finds editions that would be compared with another edition. Another version of the same edition makes no difference:
    /// which version is meant depends on the horizon of a question.
    fn find_compared(&self, ranking: &RankingId, revert: &mut Revert) {
        let affected = self.affected_editions(ranking, revert);
        if affected.is_empty() {
            return;
        }
        let mut remaining = Catalog::default();
        for version in self.remaining_versions(ranking) {
            remaining.publish(version.as_ref().clone());
        }
        for version in self.remaining_versions(ranking) {
            if !version.stands() || is_compared_with_itself(version) {
                continue;
            }
            let before = Horizon::at(Revision(version.revision.0 - 1));
            let compared = previous_edition(&remaining, version, before).map(|compared| compared.edition.clone());
            if compared == version.compared_with {
                continue;
            }
            let mut either = compared.iter().chain(&version.compared_with);
            if revert.effect.has(version.revision) || either.any(|edition| affected.contains(edition)) {
                revert.conflicts.insert(version.revision);
            }
        }
    }

    /// The editions of a ranking with a version whose status the revert changes.
    fn affected_editions(&self, ranking: &RankingId, revert: &Revert) -> BTreeSet<EditionId> {
        let mut affected = BTreeSet::new();
        for (_, edition) in self.catalog.edition_names().filter(|(of, _)| *of == ranking) {
            let mut versions = self.catalog.edition_versions(ranking, edition);
            if versions.any(|version| revert.effect.has(version.revision)) {
                affected.insert(edition.clone());
            }
        }
        affected
    }

    /// Finds editions that took the source of their ranking, where that would be another source.
    fn find_sourced(&self, ranking: &RankingId, revert: &mut Revert) {
        let kind = DefinitionKind::Ranking;
        let id = ranking.as_str();
        if !self.catalog.definition_revisions(kind, id).any(|revision| revert.effect.has(revision)) {
            return;
        }
        for version in self.remaining_versions(ranking).filter(|version| version.stands()) {
            let own = self.catalog.ranking(id, version.revision).map(|ranking| &ranking.source);
            let remaining = self.remaining_definition(kind, id, version.revision).and_then(source_of);
            let is_own = own.is_some() && version.source.as_ref() == own;
            if is_own && remaining.is_some_and(|remaining| Some(remaining) != own) {
                revert.conflicts.insert(version.revision);
            }
        }
    }

    /// Finds editions with an entry that lies in an entity which would be no economy.
    fn find_lying_in(&self, rankings: &BTreeSet<&RankingId>, revert: &mut Revert) -> Result<(), StoreError> {
        let affected = self.affected_entities(revert);
        for ranking in rankings {
            for version in self.remaining_versions(ranking).filter(|version| version.stands()) {
                let counts_again = revert.effect.has(version.revision);
                if affected.is_empty() && !counts_again {
                    continue;
                }
                let table = self.view.table(version)?;
                // All economies of a version that counts again are checked, else only those that the revert affects.
                let only = if counts_again { None } else { Some(&affected) };
                if self.lies_in_another_kind(&table, only, version.revision) {
                    revert.conflicts.insert(version.revision);
                }
            }
        }
        Ok(())
    }

    /// Whether an entry lies in an entity that would be no economy.
    fn lies_in_another_kind(&self, table: &Table, only: Option<&BTreeSet<&str>>, at: Revision) -> bool {
        let mut economies = table.entries.iter().flat_map(|entry| &entry.economies);
        economies.any(|id| {
            only.is_none_or(|only| only.contains(id.as_str()))
                && matches!(
                    self.remaining_definition(DefinitionKind::Entity, id.as_str(), at),
                    Some(Definition::Entity(entity)) if entity.kind != EntityKind::Economy
                )
        })
    }

    /// The entities with a version whose status the revert changes.
    fn affected_entities(&self, revert: &Revert) -> BTreeSet<&str> {
        let mut affected = BTreeSet::new();
        for (kind, id) in self.catalog.definition_names() {
            let mut revisions = self.catalog.definition_revisions(kind, id);
            if kind == DefinitionKind::Entity && revisions.any(|revision| revert.effect.has(revision)) {
                affected.insert(id.as_ref());
            }
        }
        affected
    }

    /// The versions of a ranking's editions that count after the revert.
    fn remaining_versions<'a>(&'a self, ranking: &'a RankingId) -> impl Iterator<Item = &'a Arc<Edition>> {
        let editions = self.catalog.edition_names().filter(move |(of, _)| *of == ranking);
        let versions = editions.flat_map(|(ranking, edition)| self.catalog.edition_versions(ranking, edition));
        versions.filter(|version| self.counts(version.revision))
    }

    /// The definition that a commit would have found had the remaining commits alone been made. If the definition came later
    /// than the commit, the one there is now.
    fn remaining_definition(&self, kind: DefinitionKind, id: &str, at: Revision) -> Option<&Definition> {
        let revisions = self.catalog.definition_revisions(kind, id);
        let found = revisions.filter(|revision| *revision <= at && self.counts(*revision)).max();
        self.catalog.definition(kind, id, found.unwrap_or(self.revision)).map(AsRef::as_ref)
    }
}

/// A correction is compared with the version before it. One that is backfilled is compared with nothing.
fn is_compared_with_itself(version: &Edition) -> bool {
    let itself = version.compared_with.as_ref().is_none_or(|compared| *compared == version.edition);
    version.status == EditionStatus::Corrected && itself
}

fn source_of(definition: &Definition) -> Option<&SourceId> {
    match definition {
        Definition::Ranking(ranking) => Some(&ranking.source),
        _ => None,
    }
}
