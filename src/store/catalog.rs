//! The catalog in memory: every version of every definition, and of every edition without its entries.
//!
//! It is small (a few thousand objects of about a kilobyte) and every query needs it, so it is read once at start and
//! replaced whole at a commit. Readers hold the one they started with.
//!
//! Invariant: versions of one object are in revision order; reading at a revision gives the last one not above it.

use std::{collections::BTreeMap, sync::Arc};

use crate::model::{
    catalog::{Definition, DefinitionKind, Entity, Indicator, Ranking, Source},
    edition::{Basis, Edition, EditionStatus},
    id::{EditionId, RankingId, Revision},
    series::Horizon,
};

type Versions<T> = Vec<(Revision, Arc<T>)>;

/// Definitions and editions with their history.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    definitions: BTreeMap<(DefinitionKind, Arc<str>), Versions<Definition>>,
    editions: BTreeMap<(RankingId, EditionId), Versions<Edition>>,
}

impl Catalog {
    /// Adds a version of a definition.
    pub fn define(&mut self, revision: Revision, definition: Definition) {
        let versions = self.definitions.entry((definition.kind(), definition.id().into())).or_default();
        put(versions, revision, definition);
    }

    /// Adds a version of an edition.
    pub fn publish(&mut self, edition: Edition) {
        let versions = self.editions.entry((edition.ranking.clone(), edition.edition.clone())).or_default();
        put(versions, edition.revision, edition);
    }

    /// A definition as it was at a revision.
    pub fn definition(&self, kind: DefinitionKind, id: &str, at: Revision) -> Option<&Arc<Definition>> {
        version_at(self.definitions.get(&(kind, id.into()))?, at)
    }

    /// All definitions of a kind at a revision, in id order, from one id on (it excluded).
    pub fn definitions(
        &self,
        kind: DefinitionKind,
        after: &str,
        at: Revision,
    ) -> impl Iterator<Item = &Arc<Definition>> {
        self.definitions
            .range((std::ops::Bound::Excluded((kind, Arc::from(after))), std::ops::Bound::Unbounded))
            .take_while(move |((found, _), _)| *found == kind)
            .filter_map(move |(_, versions)| version_at(versions, at))
    }

    /// An indicator at a revision.
    pub fn indicator(&self, id: &str, at: Revision) -> Option<&Indicator> {
        match self.definition(DefinitionKind::Indicator, id, at)?.as_ref() {
            Definition::Indicator(indicator) => Some(indicator),
            _ => None,
        }
    }

    /// An entity at a revision.
    pub fn entity(&self, id: &str, at: Revision) -> Option<&Entity> {
        match self.definition(DefinitionKind::Entity, id, at)?.as_ref() {
            Definition::Entity(entity) => Some(entity),
            _ => None,
        }
    }

    /// A source at a revision.
    pub fn source(&self, id: &str, at: Revision) -> Option<&Source> {
        match self.definition(DefinitionKind::Source, id, at)?.as_ref() {
            Definition::Source(source) => Some(source),
            _ => None,
        }
    }

    /// A ranking at a revision.
    pub fn ranking(&self, id: &str, at: Revision) -> Option<&Ranking> {
        match self.definition(DefinitionKind::Ranking, id, at)?.as_ref() {
            Definition::Ranking(ranking) => Some(ranking),
            _ => None,
        }
    }

    /// An edition as a horizon shows it.
    pub fn edition(&self, ranking: &RankingId, edition: &EditionId, at: Horizon) -> Option<&Arc<Edition>> {
        edition_at(self.editions.get(&(ranking.clone(), edition.clone()))?, at)
    }

    /// The editions of a ranking as a horizon shows them, oldest first.
    pub fn editions(&self, ranking: &RankingId, at: Horizon) -> Vec<&Arc<Edition>> {
        let mut found: Vec<_> = self
            .editions
            .iter()
            .filter(|((of, _), _)| of == ranking)
            .filter_map(|(_, versions)| edition_at(versions, at))
            .collect();
        found.sort_by(|a, b| age(a).cmp(&age(b)));
        found
    }

    /// The editions of all rankings as a horizon shows them.
    pub fn all_editions(&self, at: Horizon) -> impl Iterator<Item = &Arc<Edition>> {
        self.editions.values().filter_map(move |versions| edition_at(versions, at))
    }

    /// The newest edition of a ranking that stands as published: what "the ranking" means without an edition.
    pub fn newest_edition(&self, ranking: &RankingId, at: Horizon) -> Option<&Arc<Edition>> {
        let stands = |edition: &&&Arc<Edition>| {
            edition.basis == Basis::AsPublished && edition.status != EditionStatus::Withdrawn
        };
        let editions = self.editions(ranking, at);
        editions.iter().rev().find(stands).copied()
    }

    /// How many definitions of a kind there are.
    pub fn count(&self, kind: DefinitionKind) -> usize {
        self.definitions.keys().filter(|(found, _)| *found == kind).count()
    }

    /// How many editions there are, withdrawn ones included.
    pub fn edition_count(&self) -> usize {
        self.editions.len()
    }
}

/// Editions are ordered by what they are about, then by when they were released: a restatement of 2022 stands at 2022.
fn age(edition: &Edition) -> (&str, u8, crate::model::time::Date, &EditionId) {
    let about = if edition.about.is_empty() { edition.edition.as_str() } else { &edition.about };
    let basis = match edition.basis {
        Basis::AsPublished => 0,
        Basis::Restated => 1,
        Basis::Counterfactual => 2,
    };
    (about, basis, edition.released, &edition.edition)
}

fn put<T>(versions: &mut Versions<T>, revision: Revision, object: T) {
    match versions.binary_search_by_key(&revision, |(known, _)| *known) {
        Ok(at) => versions[at].1 = Arc::new(object),
        Err(at) => versions.insert(at, (revision, Arc::new(object))),
    }
}

fn version_at<T>(versions: &Versions<T>, at: Revision) -> Option<&Arc<T>> {
    versions.iter().rev().find(|(revision, _)| *revision <= at).map(|(_, object)| object)
}

fn edition_at(versions: &Versions<Edition>, at: Horizon) -> Option<&Arc<Edition>> {
    let admitted =
        |(revision, edition): &&(Revision, Arc<Edition>)| *revision <= at.revision && edition.released <= at.released;
    versions.iter().rev().find(admitted).map(|(_, edition)| edition)
}
