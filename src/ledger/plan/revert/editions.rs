//! Editions of which another version stands after a revert, or none.

use std::sync::Arc;

use super::{PlanError, Planner, Revert, definitions::named_by};
use crate::{
    ledger::{plan::editions::boxed, record::Record},
    model::{
        catalog::DefinitionKind,
        edition::{Edition, Table},
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
            let versions: Vec<&Arc<Edition>> = catalog.edition_versions(ranking, edition).collect();
            let Some(since) = revert.effect.earliest(versions.iter().map(|version| version.revision)) else { continue };
            for version in versions.into_iter().filter(|version| self.counts(version.revision)) {
                let counts_again = revert.effect.has(version.revision);
                if counts_again {
                    self.require_names_in(version, revert)?;
                }
                if (counts_again || version.revision > since) && self.would_differ(version) {
                    revert.conflicts.insert(version.revision);
                }
            }
            if revert.conflicts.is_empty() {
                self.revert_edition(ranking, edition)?;
            }
        }
        Ok(())
    }

    /// Whether a version would have been made otherwise: it followed a version that it would not have followed, or it would
    /// answer from another day on.
    fn would_differ(&self, version: &Edition) -> bool {
        let before = Revision(version.revision.0 - 1);
        let reverts = self.catalog.reverts();
        let mut followed = None;
        let mut follows_now = None;
        for other in self.catalog.edition_versions(&version.ranking, &version.edition) {
            if other.revision <= before && !reverts.is_reverted(other.revision, before) {
                followed = newest_of(followed, other);
            }
            if other.revision <= before && self.counts(other.revision) {
                follows_now = newest_of(follows_now, other);
            }
        }
        let was_filled_in = version.stands() && is_behind(version, followed);
        if was_filled_in {
            return effective_day(version, follows_now) != version.effective;
        }
        followed.map(|followed| followed.revision) != follows_now.map(|followed| followed.revision)
    }

    /// Requires the definitions that a version uses, because it counts again.
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

    /// Records the version that stands after the revert, if it is another one, with the changes of its entries.
    fn revert_edition(&mut self, ranking: &RankingId, edition: &EditionId) -> Result<(), PlanError> {
        let now = Horizon::at(self.revision);
        let before = self.catalog.edition(ranking, edition, self.now()).filter(|before| before.stands()).cloned();
        let newest = self.catalog.edition(ranking, edition, now).cloned();
        let after = newest.clone().filter(|newest| newest.stands());
        match (before, after) {
            (None, None) => Ok(()),
            (Some(before), Some(after)) if before.revision == after.revision => Ok(()),
            (Some(before), None) => {
                let after = newest.as_deref().map_or_else(|| Box::new(self.withdrawn(&before)), boxed);
                self.emit(Record::RevertedEdition { before: Some(boxed(&before)), after })?;
                let table = self.view.table(&before)?;
                self.emit_withdrawn(&table)
            }
            (before, Some(after)) => {
                self.emit(Record::RevertedEdition { before: before.as_deref().map(boxed), after: boxed(&after) })?;
                let corrects = before.is_some();
                let compared = before.or_else(|| self.previous_edition(&after, now));
                let compared = compared.map(|edition| self.view.table(&edition)).transpose()?;
                let mut table: Table = self.view.table(&after)?.as_ref().clone();
                table.edition.compared_with = compared.as_ref().map(|compared| compared.edition.edition.clone());
                self.emit_entries(&table, compared.as_deref(), corrects)
            }
        }
    }
}

/// The newer of two versions: the later effective day, and on one day the later revision.
fn newest_of<'a>(newest: Option<&'a Arc<Edition>>, other: &'a Arc<Edition>) -> Option<&'a Arc<Edition>> {
    match newest {
        Some(newest) if age(newest) > age(other) => Some(newest),
        _ => Some(other),
    }
}

fn age(version: &Edition) -> (Date, Revision) {
    (version.effective_day(), version.revision)
}

/// Whether a version is backfilled: older than one that stands.
fn is_behind(version: &Edition, followed: Option<&Arc<Edition>>) -> bool {
    followed.is_some_and(|followed| followed.stands() && version.released < followed.released)
}

/// The effective day of a version that follows another. `None`: its release date.
fn effective_day(version: &Edition, followed: Option<&Arc<Edition>>) -> Option<Date> {
    if is_behind(version, followed) {
        return None;
    }
    followed.map(|followed| followed.effective_day()).filter(|day| *day > version.released)
}
