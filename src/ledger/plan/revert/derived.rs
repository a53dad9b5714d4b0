//! Editions that say what the server worked out from something that is taken back: the edition that they are compared
//! with, the source of their ranking, and that what their entries lie in is an economy.

use std::{collections::BTreeSet, sync::Arc};

use super::{PlanError, Planner, Revert};
use crate::{
    ledger::plan::editions::previous_edition,
    model::{
        catalog::{Definition, DefinitionKind, EntityKind},
        edition::{Edition, EditionStatus},
        id::{EditionId, RankingId, Revision, SourceId},
        series::Horizon,
    },
    store::{StoreError, catalog::Catalog},
};

impl Planner<'_> {
    /// Finds editions that would say something else had the remaining commits alone been made.
    pub(super) fn find_derived(&self, revert: &mut Revert) -> Result<(), PlanError> {
        let rankings: BTreeSet<&RankingId> = self.catalog.edition_names().map(|(ranking, _)| ranking).collect();
        for ranking in &rankings {
            self.find_compared(ranking, revert);
            self.find_sourced(ranking, revert);
        }
        self.find_lying_in(&rankings, revert)?;
        Ok(())
    }

    /// Those that would be compared with another edition. Another version of the same one makes no difference: the
    /// horizon of a question says which one is meant.
    fn find_compared(&self, ranking: &RankingId, revert: &mut Revert) {
        let is_switched = |edition: &EditionId| {
            let mut versions = self.catalog.edition_versions(ranking, edition);
            versions.any(|version| revert.switched.has(version.revision))
        };
        let editions = self.catalog.edition_names().filter(|(of, _)| *of == ranking).map(|(_, edition)| edition);
        let switched: BTreeSet<EditionId> = editions.filter(|edition| is_switched(edition)).cloned().collect();
        if switched.is_empty() {
            return;
        }
        let mut remaining = Catalog::default();
        for version in self.remaining_versions(ranking) {
            remaining.publish(version.as_ref().clone());
        }
        let standing = self.remaining_versions(ranking).filter(|version| version.stands());
        for version in standing.filter(|version| !is_compared_with_itself(version)) {
            let before = Horizon::at(Revision(version.revision.0 - 1));
            let compared = previous_edition(&remaining, version, before).map(|compared| compared.edition.clone());
            let differs = compared != version.compared_with;
            let mut either = compared.iter().chain(&version.compared_with);
            if differs && (revert.switched.has(version.revision) || either.any(|edition| switched.contains(edition))) {
                revert.conflicts.insert(version.revision);
            }
        }
    }

    /// Those of the ranking's own source, where that would be another one.
    fn find_sourced(&self, ranking: &RankingId, revert: &mut Revert) {
        let (kind, id) = (DefinitionKind::Ranking, ranking.as_str());
        if !self.catalog.definition_revisions(kind, id).any(|revision| revert.switched.has(revision)) {
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

    /// Those with an entry that lies in what would be no economy.
    fn find_lying_in(&self, rankings: &BTreeSet<&RankingId>, revert: &mut Revert) -> Result<(), StoreError> {
        let kind = DefinitionKind::Entity;
        let is_switched = |id: &str| {
            let mut revisions = self.catalog.definition_revisions(kind, id);
            revisions.any(|revision| revert.switched.has(revision))
        };
        let names = self.catalog.definition_names().filter(|(of, id)| *of == kind && is_switched(id));
        let switched: BTreeSet<&str> = names.map(|(_, id)| id.as_ref()).collect();
        let mut found = BTreeSet::new();
        for ranking in rankings {
            for version in self.remaining_versions(ranking).filter(|version| version.stands()) {
                let counts_again = revert.switched.has(version.revision);
                if switched.is_empty() && !counts_again {
                    continue;
                }
                let table = self.view.table(version)?;
                let mut economies = table.entries.iter().flat_map(|entry| &entry.economies);
                let is_other = |id: &str| {
                    let remaining = self.remaining_definition(kind, id, version.revision);
                    matches!(remaining, Some(Definition::Entity(entity)) if entity.kind != EntityKind::Economy)
                };
                if economies.any(|id| (counts_again || switched.contains(id.as_str())) && is_other(id.as_str())) {
                    found.insert(version.revision);
                }
            }
        }
        revert.conflicts.extend(found);
        Ok(())
    }

    /// The versions of a ranking's editions that count after the revert.
    fn remaining_versions<'a>(&'a self, ranking: &'a RankingId) -> impl Iterator<Item = &'a Arc<Edition>> {
        let editions = self.catalog.edition_names().filter(move |(of, _)| *of == ranking);
        let versions = editions.flat_map(|(ranking, edition)| self.catalog.edition_versions(ranking, edition));
        versions.filter(|version| self.counts(version.revision))
    }

    /// What a commit would have found of a definition had the remaining commits alone been made; where the definition
    /// came back later than the commit, what it is now.
    fn remaining_definition(&self, kind: DefinitionKind, id: &str, at: Revision) -> Option<&Definition> {
        let revisions = self.catalog.definition_revisions(kind, id);
        let found = revisions.filter(|revision| *revision <= at && self.counts(*revision)).max();
        self.catalog.definition(kind, id, found.unwrap_or(self.revision)).map(AsRef::as_ref)
    }
}

/// Corrections are; one that is filled in behind what stands is compared with nothing.
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
