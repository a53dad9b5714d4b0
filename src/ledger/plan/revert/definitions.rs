//! Definitions that are different after a revert, or gone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{PlanError, Planner, Revert};
use crate::{
    ledger::{plan::definitions::references, record::Record},
    model::{
        catalog::{Definition, DefinitionKind, Entity},
        change::DefinitionChange,
        edition::Edition,
        id::Revision,
        series::SeriesKey,
    },
    store::{
        StoreError,
        catalog::Catalog,
        series::{SeriesIds, SeriesScope},
        view::NameKind,
    },
};

/// Definitions that are gone after the revert, by kind and id.
pub(super) type RemovedDefinitions = BTreeMap<(DefinitionKind, String), Box<Definition>>;

impl Planner<'_> {
    /// Plans definitions that come back or change. Returns those that are gone, for [`Planner::remove_definitions`].
    pub(super) fn restore_definitions(&mut self, revert: &mut Revert) -> Result<RemovedDefinitions, PlanError> {
        let catalog = self.catalog.clone();
        let mut removed = RemovedDefinitions::new();
        let mut restored = Vec::new();
        for (kind, id) in catalog.definition_names() {
            let revisions: Vec<Revision> = catalog.definition_revisions(kind, id).collect();
            let Some(since) = revert.effect.earliest(revisions.iter().copied()) else { continue };
            for revision in revisions {
                if revision > since && !revert.effect.has(revision) && self.counts(revision) {
                    revert.conflicts.insert(revision);
                }
            }
            let before = definition_at(&catalog, kind, id, self.head);
            let after = definition_at(&catalog, kind, id, self.revision);
            match (before, after) {
                (before, after) if before == after => {}
                (Some(before), None) => {
                    removed.insert((kind, id.to_string()), before);
                }
                (before, after) => restored.push(DefinitionChange { before, after }),
            }
        }
        self.check_restored_codes(&restored, revert);
        for change in restored {
            let counts = &mut self.outcome.counts;
            match change.before {
                Some(_) => counts.definitions_revised += 1,
                None => counts.definitions_added += 1,
            }
            self.emit(Record::RevertedDefinition(change))?;
        }
        self.check_all_references(revert);
        Ok(removed)
    }

    /// Plans definitions that are gone, unless something still uses them.
    pub(super) fn remove_definitions(
        &mut self,
        removed: RemovedDefinitions,
        revert: &mut Revert,
    ) -> Result<(), PlanError> {
        if removed.is_empty() {
            return Ok(());
        }
        self.find_editions_of(&removed, revert)?;
        self.find_figures_of(&removed, revert)?;
        // Rankings and entities refer to other definitions, so they go first.
        for (_, before) in removed.into_iter().rev() {
            self.outcome.counts.definitions_removed += 1;
            self.emit(Record::RevertedDefinition(DefinitionChange { before: Some(before), after: None }))?;
        }
        Ok(())
    }

    /// Requires the definitions that definitions refer to.
    fn check_all_references(&self, revert: &mut Revert) {
        for (kind, id) in self.catalog.definition_names() {
            let Some((revision, definition)) = self.catalog.definition_version(kind, id, self.revision) else {
                continue;
            };
            for (kind, id) in references(definition) {
                self.require(kind, id, revision, revert);
            }
        }
    }

    /// Requires a definition that the commit `user` uses. If it is gone after this revert, `user` conflicts; if an earlier
    /// revert took it back, that revert does.
    pub(super) fn require(&self, kind: DefinitionKind, id: &str, user: Revision, revert: &mut Revert) {
        if self.catalog.definition(kind, id, self.revision).is_some() {
            return;
        }
        let reverts = self.catalog.reverts();
        let mut earlier = BTreeSet::new();
        let mut was_there = false;
        for revision in self.catalog.definition_revisions(kind, id) {
            was_there = true;
            earlier.extend(reverts.naming(revision).filter(|naming| *naming < self.revision && self.counts(*naming)));
        }
        if self.catalog.definition(kind, id, self.head).is_some() || (was_there && earlier.is_empty()) {
            revert.conflicts.insert(user);
        } else {
            revert.conflicts.extend(earlier);
        }
    }

    /// A code names one entity, also after a revert.
    fn check_restored_codes(&self, restored: &[DefinitionChange], revert: &mut Revert) {
        let mut with_codes = BTreeSet::new();
        for change in restored {
            if let Some(Definition::Entity(entity)) = change.after.as_deref()
                && !entity.codes.is_empty()
            {
                with_codes.insert(entity.id.as_str());
            }
        }
        if with_codes.is_empty() {
            return;
        }
        let mut owners: HashMap<(&str, &str), &Entity> = HashMap::new();
        for definition in self.catalog.definitions(DefinitionKind::Entity, "", self.revision) {
            let Definition::Entity(entity) = definition.as_ref() else { continue };
            for (scheme, code) in &entity.codes {
                let Some(other) = owners.insert((scheme, code), entity) else { continue };
                let is_restored = with_codes.contains(entity.id.as_str()) || with_codes.contains(other.id.as_str());
                if is_restored && other.id != entity.id {
                    revert.conflicts.extend(self.entity_revision(entity).max(self.entity_revision(other)));
                }
            }
        }
    }

    /// The commit that brought the definition of an entity.
    fn entity_revision(&self, entity: &Entity) -> Option<Revision> {
        let version = self.catalog.definition_version(DefinitionKind::Entity, entity.id.as_str(), self.revision);
        version.map(|(revision, _)| revision)
    }

    /// Finds versions of editions that use one of these definitions.
    fn find_editions_of(&self, removed: &RemovedDefinitions, revert: &mut Revert) -> Result<(), StoreError> {
        for (ranking, edition) in self.catalog.edition_names() {
            let versions = self.catalog.edition_versions(ranking, edition);
            for version in versions.filter(|version| self.counts(version.revision)) {
                if self.uses_any(version, removed)? {
                    revert.conflicts.insert(version.revision);
                }
            }
        }
        Ok(())
    }

    fn uses_any(&self, version: &Arc<Edition>, removed: &RemovedDefinitions) -> Result<bool, StoreError> {
        if named_by(version).into_iter().any(|(kind, id)| is_in(removed, kind, id)) {
            return Ok(true);
        }
        // Reading a table is worth it only if an entity is gone.
        if !removed.keys().any(|(kind, _)| *kind == DefinitionKind::Entity) {
            return Ok(false);
        }
        let table = self.view.table(version)?;
        let mut entities =
            table.entries.iter().flat_map(|entry| std::iter::once(&entry.entity).chain(&entry.economies));
        Ok(entities.any(|entity| is_in(removed, DefinitionKind::Entity, entity.as_str())))
    }

    /// Finds the commits that use one of these definitions by figures: whole releases, and of each series the newest commit
    /// with a row.
    fn find_figures_of(&self, removed: &RemovedDefinitions, revert: &mut Revert) -> Result<(), StoreError> {
        let indicators = self.numbers_of(removed, DefinitionKind::Indicator, NameKind::Indicator);
        let entities = self.numbers_of(removed, DefinitionKind::Entity, NameKind::Entity);
        let sources = self.numbers_of(removed, DefinitionKind::Source, NameKind::Source);
        for release in self.view.full_releases(None) {
            let release = release?;
            let uses = indicators.contains(&release.indicator) || sources.contains(&release.source);
            if uses && self.counts(release.revision) {
                revert.conflicts.insert(release.revision);
            }
        }
        let scopes = if entities.is_empty() && sources.is_empty() {
            indicators.iter().map(|indicator| SeriesScope::Indicator(*indicator)).collect()
        } else {
            vec![SeriesScope::All]
        };
        for scope in scopes {
            let mut at: Option<SeriesIds> = None;
            while let Some(ids) = self.view.next_series(scope, at)? {
                let uses = indicators.contains(&ids.indicator)
                    || entities.contains(&ids.entity)
                    || sources.contains(&ids.source);
                if uses {
                    revert.conflicts.extend(self.newest_commit_of(ids)?);
                }
                at = Some(ids);
            }
        }
        Ok(())
    }

    /// The numbers that the view gave to removed definitions of a kind.
    fn numbers_of(&self, removed: &RemovedDefinitions, kind: DefinitionKind, name: NameKind) -> BTreeSet<u32> {
        let ids = removed.keys().filter(|(removed_kind, _)| *removed_kind == kind);
        ids.filter_map(|(_, id)| self.view.number(name, id)).collect()
    }

    /// The newest commit with a row of a series that counts after the revert; reverts apart.
    fn newest_commit_of(&self, ids: SeriesIds) -> Result<Option<Revision>, StoreError> {
        let mut newest = None;
        for row in self.view.versions(ids)? {
            if !self.catalog.reverts().is_revert(row.revision) && self.counts(row.revision) {
                newest = newest.max(Some(row.revision));
            }
        }
        Ok(newest)
    }

    /// Requires the definitions that a series uses.
    pub(super) fn require_names_of(&self, key: &SeriesKey, user: Revision, revert: &mut Revert) {
        self.require(DefinitionKind::Indicator, key.indicator.as_str(), user, revert);
        self.require(DefinitionKind::Entity, key.entity.as_str(), user, revert);
        self.require(DefinitionKind::Source, key.source.as_str(), user, revert);
    }
}

fn definition_at(catalog: &Catalog, kind: DefinitionKind, id: &str, at: Revision) -> Option<Box<Definition>> {
    catalog.definition(kind, id, at).map(|definition| Box::new(definition.as_ref().clone()))
}

fn is_in(removed: &RemovedDefinitions, kind: DefinitionKind, id: &str) -> bool {
    removed.contains_key(&(kind, id.to_owned()))
}

/// The definitions that an edition refers to, without those of its entries.
pub(super) fn named_by(edition: &Edition) -> Vec<(DefinitionKind, &str)> {
    let mut named = vec![(DefinitionKind::Ranking, edition.ranking.as_str())];
    named.extend(edition.source.iter().map(|source| (DefinitionKind::Source, source.as_str())));
    if !edition.methodology.is_empty() {
        named.push((DefinitionKind::Methodology, &edition.methodology));
    }
    named
}
