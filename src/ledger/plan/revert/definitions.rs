//! Definitions that read otherwise without some commits, or are gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
        series::{SeriesIds, SeriesScope},
        view::NameKind,
    },
};

/// Definitions that are gone: kind and id.
type Removed = BTreeMap<(DefinitionKind, String), Box<Definition>>;

impl Planner<'_> {
    /// Plans those that come back or read otherwise. Hands over those that are gone, for the end.
    pub(super) fn restore_definitions(&mut self, revert: &mut Revert) -> Result<Removed, PlanError> {
        let catalog = self.catalog.clone();
        let mut removed = Removed::new();
        let mut restored = Vec::new();
        for (kind, id) in catalog.definition_names() {
            let revisions = || catalog.definition_revisions(kind, id);
            let Some(since) = revert.switched.earliest(revisions()) else { continue };
            let later = revisions().filter(|version| *version > since && !revert.switched.has(*version));
            revert.conflicts.extend(later.filter(|version| self.counts(*version)));
            let boxed = |at: Revision| {
                let definition = catalog.definition(kind, id, at)?;
                Some(Box::new(definition.as_ref().clone()))
            };
            match (boxed(self.head), boxed(self.revision)) {
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

    /// Plans those that are gone, unless something still uses them.
    pub(super) fn remove_definitions(&mut self, removed: Removed, revert: &mut Revert) -> Result<(), PlanError> {
        if removed.is_empty() {
            return Ok(());
        }
        self.find_editions_of(&removed, revert)?;
        self.find_figures_of(&removed, revert)?;
        // Rankings and entities refer to others; they go first.
        for (_, before) in removed.into_iter().rev() {
            self.outcome.counts.definitions_removed += 1;
            self.emit(Record::RevertedDefinition(DefinitionChange { before: Some(before), after: None }))?;
        }
        Ok(())
    }

    /// Whether everything that definitions refer to is there.
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

    /// Something that a commit brought uses a definition. Where that is gone, the commit is in the way if it came
    /// afterwards; if the definition was taken back before, the revert that did so is.
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
        let with_codes = |change: &DefinitionChange| match change.after.as_deref() {
            Some(Definition::Entity(entity)) if !entity.codes.is_empty() => Some(entity.id.to_string()),
            _ => None,
        };
        let restored: BTreeSet<String> = restored.iter().filter_map(with_codes).collect();
        if restored.is_empty() {
            return;
        }
        let mut owners: HashMap<(&str, &str), &Entity> = HashMap::new();
        for definition in self.catalog.definitions(DefinitionKind::Entity, "", self.revision) {
            let Definition::Entity(entity) = definition.as_ref() else { continue };
            for (scheme, code) in &entity.codes {
                let Some(other) = owners.insert((scheme, code), entity) else { continue };
                let restored = restored.contains(entity.id.as_str()) || restored.contains(other.id.as_str());
                let version = |id: &str| {
                    let found = self.catalog.definition_version(DefinitionKind::Entity, id, self.revision);
                    found.map(|(revision, _)| revision)
                };
                let newest = version(entity.id.as_str()).max(version(other.id.as_str()));
                if let Some(newest) = newest.filter(|_| restored && other.id != entity.id) {
                    revert.conflicts.insert(newest);
                }
            }
        }
    }

    fn find_editions_of(&self, removed: &Removed, revert: &mut Revert) -> Result<(), StoreError> {
        let is_removed = |kind: DefinitionKind, id: &str| removed.contains_key(&(kind, id.to_owned()));
        let entities = removed.keys().any(|(kind, _)| *kind == DefinitionKind::Entity);
        for (ranking, edition) in self.catalog.edition_names() {
            let versions = self.catalog.edition_versions(ranking, edition);
            for version in versions.filter(|version| self.counts(version.revision)) {
                let named = named_by(version).into_iter().any(|(kind, id)| is_removed(kind, id));
                let uses = named || {
                    entities && {
                        let table = self.view.table(version)?;
                        let listed = |id: &str| is_removed(DefinitionKind::Entity, id);
                        table.entries.iter().any(|entry| {
                            listed(entry.entity.as_str())
                                || entry.economies.iter().any(|economy| listed(economy.as_str()))
                        })
                    }
                };
                if uses {
                    revert.conflicts.insert(version.revision);
                }
            }
        }
        Ok(())
    }

    /// Finds the newest commit that brought figures or a whole release of each series with such a definition.
    fn find_figures_of(&self, removed: &Removed, revert: &mut Revert) -> Result<(), StoreError> {
        let numbers = |of: DefinitionKind, kind: NameKind| -> BTreeSet<u32> {
            let ids = removed.keys().filter(|(found, _)| *found == of);
            ids.filter_map(|(_, id)| self.view.number(kind, id)).collect()
        };
        let indicators = numbers(DefinitionKind::Indicator, NameKind::Indicator);
        let entities = numbers(DefinitionKind::Entity, NameKind::Entity);
        let sources = numbers(DefinitionKind::Source, NameKind::Source);
        for whole in self.view.full_releases(None) {
            let whole = whole?;
            let of_removed = indicators.contains(&whole.indicator) || sources.contains(&whole.source);
            if of_removed && self.counts(whole.revision) {
                revert.conflicts.insert(whole.revision);
            }
        }
        let scopes = match (entities.is_empty() && sources.is_empty(), indicators.is_empty()) {
            (true, true) => Vec::new(),
            (true, false) => indicators.iter().map(|indicator| SeriesScope::Indicator(*indicator)).collect(),
            (false, _) => vec![SeriesScope::All],
        };
        for scope in scopes {
            let mut at: Option<SeriesIds> = None;
            while let Some(ids) = self.view.next_series(scope, at)? {
                let of_removed = indicators.contains(&ids.indicator)
                    || entities.contains(&ids.entity)
                    || sources.contains(&ids.source);
                if of_removed {
                    let rows = self.view.versions(ids)?;
                    let brought = rows.iter().map(|row| row.revision);
                    let standing =
                        brought.filter(|commit| !self.catalog.reverts().is_revert(*commit) && self.counts(*commit));
                    revert.conflicts.extend(standing.max());
                }
                at = Some(ids);
            }
        }
        Ok(())
    }

    /// Whether everything that a series needs to be defined is there.
    pub(super) fn require_names_of(&self, key: &SeriesKey, user: Revision, revert: &mut Revert) {
        self.require(DefinitionKind::Indicator, key.indicator.as_str(), user, revert);
        self.require(DefinitionKind::Entity, key.entity.as_str(), user, revert);
        self.require(DefinitionKind::Source, key.source.as_str(), user, revert);
    }
}

/// What an edition refers to, its entries apart.
pub(super) fn named_by(edition: &Edition) -> Vec<(DefinitionKind, &str)> {
    let mut named = vec![(DefinitionKind::Ranking, edition.ranking.as_str())];
    named.extend(edition.source.iter().map(|source| (DefinitionKind::Source, source.as_str())));
    if !edition.methodology.is_empty() {
        named.push((DefinitionKind::Methodology, &edition.methodology));
    }
    named
}
