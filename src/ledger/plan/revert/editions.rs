//! Editions of which another version stands without some commits, or none.

use std::sync::Arc;

use super::{PlanError, Planner, Revert, definitions::named_by};
use crate::{
    ledger::record::Record,
    model::{
        catalog::DefinitionKind,
        edition::{Edition, EditionStatus, Table},
        id::{EditionId, RankingId, Revision},
        series::Horizon,
        time::Date,
    },
    store::StoreError,
};

impl Planner<'_> {
    pub(super) fn revert_editions(&mut self, revert: &mut Revert) -> Result<(), PlanError> {
        let catalog = self.catalog.clone();
        for (ranking, edition) in catalog.edition_names() {
            let versions = || catalog.edition_versions(ranking, edition);
            let revisions = versions().map(|version| version.revision);
            let Some(since) = revert.switched.earliest(revisions) else { continue };
            for version in versions().filter(|version| self.counts(version.revision)) {
                let counts_again = revert.switched.has(version.revision);
                if counts_again {
                    self.require_names_in(version, revert)?;
                }
                if (counts_again || version.revision > since) && self.builds_on_switched(version) {
                    revert.conflicts.insert(version.revision);
                }
            }
            if revert.conflicts.is_empty() {
                self.revert_edition(ranking, edition)?;
            }
        }
        Ok(())
    }

    /// Whether a version would have been made otherwise: it followed a version that it would not have followed, or would
    /// answer from another day on.
    fn builds_on_switched(&self, version: &Edition) -> bool {
        let at_its_time = |followed: &&Arc<Edition>| {
            let before = Revision(version.revision.0 - 1);
            followed.revision <= before && !self.catalog.reverts().is_reverted(followed.revision, before)
        };
        let versions = || self.catalog.edition_versions(&version.ranking, &version.edition);
        let followed = newest(versions().filter(at_its_time));
        let now = versions().filter(|other| other.revision < version.revision && self.counts(other.revision));
        let follows_now = newest(now);
        let was_filled_in = version.stands() && is_behind(version, followed);
        if was_filled_in {
            return effective_day(version, follows_now) != version.effective;
        }
        followed.map(|followed| followed.revision) != follows_now.map(|followed| followed.revision)
    }

    /// A version that counts again needs what it refers to.
    fn require_names_in(&self, version: &Arc<Edition>, revert: &mut Revert) -> Result<(), StoreError> {
        for (kind, id) in named_by(version) {
            self.require(kind, id, version.revision, revert);
        }
        for entry in &self.view.table(version)?.entries {
            for entity in std::iter::once(&entry.entity).chain(&entry.economies) {
                self.require(DefinitionKind::Entity, entity.as_str(), version.revision, revert);
            }
        }
        Ok(())
    }

    fn revert_edition(&mut self, ranking: &RankingId, edition: &EditionId) -> Result<(), PlanError> {
        let now = Horizon::at(self.revision);
        let before = self.catalog.edition(ranking, edition, self.now()).filter(|before| before.stands()).cloned();
        let after = self.catalog.edition(ranking, edition, now).cloned();
        let standing = after.clone().filter(|after| after.stands());
        let boxed = |edition: &Arc<Edition>| Box::new(edition.as_ref().clone());
        match (before, standing) {
            (None, None) => Ok(()),
            (Some(before), Some(after)) if before.revision == after.revision => Ok(()),
            (Some(before), None) => {
                let gone = after.as_ref().map_or_else(|| Box::new(self.gone(&before)), boxed);
                self.emit(Record::RevertedEdition { before: Some(boxed(&before)), after: gone })?;
                let table = self.view.table(&before)?;
                self.emit_withdrawn(&table)
            }
            (before, Some(after)) => {
                self.emit(Record::RevertedEdition { before: before.as_ref().map(boxed), after: boxed(&after) })?;
                let corrects = before.is_some();
                let compared = before.or_else(|| self.previous_edition(&after, now));
                let compared = compared.map(|edition| self.view.table(&edition)).transpose()?;
                let mut table: Table = self.view.table(&after)?.as_ref().clone();
                table.edition.compared_with = compared.as_ref().map(|compared| compared.edition.edition.clone());
                self.emit_entries(&table, compared.as_deref(), corrects)
            }
        }
    }

    /// What subscribers are told of an edition of which no version is left.
    fn gone(&self, before: &Edition) -> Edition {
        Edition {
            status: EditionStatus::Withdrawn,
            entry_count: 0,
            complete_to: 0,
            revision: self.revision,
            recorded: self.recorded,
            ..before.clone()
        }
    }
}

/// Of the newest effective day, and of that day the newest revision.
fn newest<'a>(versions: impl Iterator<Item = &'a Arc<Edition>>) -> Option<&'a Arc<Edition>> {
    versions.max_by_key(|version| (version.effective_day(), version.revision))
}

/// Whether a version is filled in behind one that stands.
fn is_behind(version: &Edition, followed: Option<&Arc<Edition>>) -> bool {
    followed.is_some_and(|followed| followed.stands() && version.released < followed.released)
}

/// From which day on a version answers that follows another, if not from its release date on.
fn effective_day(version: &Edition, followed: Option<&Arc<Edition>>) -> Option<Date> {
    if is_behind(version, followed) {
        return None;
    }
    followed.map(|followed| followed.effective_day()).filter(|day| *day > version.released)
}
