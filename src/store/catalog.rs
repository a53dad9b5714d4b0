//! The catalog in memory: every version of every definition, and of every edition without its entries.
//!
//! It is small (a few thousand objects of about a kilobyte) and every query needs it, so it is read once at start and
//! replaced whole at a commit. Readers hold the one they started with.
//!
//! Invariant: versions of one object are in revision order; reading at a revision gives the last one not above it that is
//! not taken back at that revision.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::reverts::Reverts;
use crate::model::{
    catalog::{Definition, DefinitionKind, Entity, Indicator, Methodology, Ranking, Source},
    edition::{Basis, Edition},
    id::{EditionId, RankingId, Revision, natural_order},
    series::Horizon,
    time::Date,
};

type Versions<T> = Vec<(Revision, Arc<T>)>;

/// Definitions and editions with their history.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    definitions: BTreeMap<(DefinitionKind, Arc<str>), Versions<Definition>>,
    editions: BTreeMap<(RankingId, EditionId), Versions<Edition>>,
    reverts: Reverts,
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

    /// From a revision on these commits count as never made.
    pub fn revert(&mut self, revert: Revision, revisions: BTreeSet<Revision>) {
        self.reverts.add(revert, revisions);
    }

    /// Which commits were taken back.
    pub fn reverts(&self) -> &Reverts {
        &self.reverts
    }

    /// A definition as it was at a revision.
    pub fn definition(&self, kind: DefinitionKind, id: &str, at: Revision) -> Option<&Arc<Definition>> {
        self.definition_version(kind, id, at).map(|(_, definition)| definition)
    }

    /// The same with the revision that brought it.
    pub fn definition_version(
        &self,
        kind: DefinitionKind,
        id: &str,
        at: Revision,
    ) -> Option<(Revision, &Arc<Definition>)> {
        self.version_at(self.definitions.get(&(kind, id.into()))?, at)
    }

    /// The revisions that brought versions of a definition, taken back or not, in order.
    pub fn definition_revisions(&self, kind: DefinitionKind, id: &str) -> impl Iterator<Item = Revision> {
        let versions = self.definitions.get(&(kind, id.into()));
        versions.into_iter().flatten().map(|(revision, _)| *revision)
    }

    /// Every definition that a version was ever brought of.
    pub fn definition_names(&self) -> impl Iterator<Item = (DefinitionKind, &Arc<str>)> {
        self.definitions.keys().map(|(kind, id)| (*kind, id))
    }

    /// Every edition that a version was ever brought of.
    pub fn edition_names(&self) -> impl Iterator<Item = (&RankingId, &EditionId)> {
        self.editions.keys().map(|(ranking, edition)| (ranking, edition))
    }

    /// Every version of an edition, taken back or not, in revision order.
    pub fn edition_versions(&self, ranking: &RankingId, edition: &EditionId) -> impl Iterator<Item = &Arc<Edition>> {
        let versions = self.editions.get(&(ranking.clone(), edition.clone()));
        versions.into_iter().flatten().map(|(_, edition)| edition)
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
            .filter_map(move |(_, versions)| self.version_at(versions, at).map(|(_, definition)| definition))
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

    /// A methodology at a revision.
    pub fn methodology(&self, id: &str, at: Revision) -> Option<&Methodology> {
        match self.definition(DefinitionKind::Methodology, id, at)?.as_ref() {
            Definition::Methodology(methodology) => Some(methodology),
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
        self.edition_at(self.editions.get(&(ranking.clone(), edition.clone()))?, at)
    }

    /// The editions of a ranking as a horizon shows them, oldest first.
    ///
    /// Editions as published are ordered by the day on which they were first released, then by the natural order of their
    /// ids. Others stand behind the edition that they are about: a restatement of 2022 stands at 2022.
    pub fn editions(&self, ranking: &RankingId, at: Horizon) -> Vec<&Arc<Edition>> {
        let of_ranking = self.editions.iter().filter(|((of, _), _)| of == ranking);
        let known: Vec<Aged<'_>> = of_ranking.filter_map(|(_, versions)| self.aged(versions, at)).collect();
        let first_released: HashMap<&str, Date> = known
            .iter()
            .filter(|aged| aged.edition.basis == Basis::AsPublished)
            .map(|aged| (aged.id(), aged.first_released))
            .collect();
        let mut placed: Vec<(Date, Aged<'_>)> = known
            .into_iter()
            .map(|aged| (first_released.get(aged.subject()).copied().unwrap_or(aged.first_released), aged))
            .collect();
        placed.sort_by(|(day, a), (other_day, b)| {
            day.cmp(other_day)
                .then_with(|| natural_order(a.subject(), b.subject()))
                .then_with(|| a.rank_of_basis().cmp(&b.rank_of_basis()))
                .then_with(|| a.cmp_as_published(b))
        });
        placed.into_iter().map(|(_, aged)| aged.edition).collect()
    }

    /// The editions of all rankings as a horizon shows them.
    pub fn all_editions(&self, at: Horizon) -> impl Iterator<Item = &Arc<Edition>> {
        self.editions.values().filter_map(move |versions| self.edition_at(versions, at))
    }

    /// The newest edition of a ranking that stands as published: what "the ranking" means without an edition. By the day on
    /// which it was first released, then by the natural order of ids.
    pub fn newest_edition(&self, ranking: &RankingId, at: Horizon) -> Option<&Arc<Edition>> {
        self.as_published(ranking, at).max_by(Aged::cmp_as_published).map(|newest| newest.edition)
    }

    /// The edition that a new one of this id and release date follows: the newest before it, in the same order, that stands
    /// as published.
    pub fn previous_edition(
        &self,
        ranking: &RankingId,
        id: &EditionId,
        released: Date,
        at: Horizon,
    ) -> Option<&Arc<Edition>> {
        self.as_published(ranking, at)
            .filter(|other| {
                let by_day = other.first_released.cmp(&released);
                by_day.then_with(|| natural_order(other.id(), id.as_str())) == Ordering::Less
            })
            .max_by(Aged::cmp_as_published)
            .map(|previous| previous.edition)
    }

    /// The editions of a ranking that stand as published, in no order.
    fn as_published(&self, ranking: &RankingId, at: Horizon) -> impl Iterator<Item = Aged<'_>> {
        let of_ranking = self.editions.iter().filter(move |((of, _), _)| of == ranking);
        let aged = of_ranking.filter_map(move |(_, versions)| self.aged(versions, at));
        aged.filter(|aged| aged.edition.basis == Basis::AsPublished && aged.edition.stands())
    }

    /// How many definitions of a kind there are at a revision.
    pub fn count(&self, kind: DefinitionKind, at: Revision) -> usize {
        self.definitions(kind, "", at).count()
    }

    /// How many editions there are at a revision, withdrawn ones included.
    pub fn edition_count(&self, at: Revision) -> usize {
        self.all_editions(Horizon::at(at)).count()
    }

    fn version_at<'a, T>(&self, versions: &'a Versions<T>, at: Revision) -> Option<(Revision, &'a Arc<T>)> {
        let counts = |revision: Revision| revision <= at && !self.reverts.is_reverted(revision, at);
        let (revision, object) = versions.iter().rev().find(|(revision, _)| counts(*revision))?;
        Some((*revision, object))
    }

    fn admitted<'a>(&self, versions: &'a Versions<Edition>, at: Horizon) -> impl Iterator<Item = &'a Arc<Edition>> {
        let known = versions.iter().take_while(move |(revision, _)| *revision <= at.revision);
        let standing = known.filter(move |(revision, _)| !self.reverts.is_reverted(*revision, at.revision));
        standing.map(|(_, edition)| edition).filter(move |edition| edition.effective_day() <= at.released)
    }

    /// Of the newest effective day, and of that day the newest revision.
    fn edition_at<'a>(&self, versions: &'a Versions<Edition>, at: Horizon) -> Option<&'a Arc<Edition>> {
        self.admitted(versions, at).max_by_key(|edition| (edition.effective_day(), edition.revision))
    }

    fn aged<'a>(&self, versions: &'a Versions<Edition>, at: Horizon) -> Option<Aged<'a>> {
        let edition = self.edition_at(versions, at)?;
        let mut past: Vec<&Edition> = self.admitted(versions, at).map(Arc::as_ref).collect();
        past.sort_by_key(|version| (version.effective_day(), version.revision));
        let since = past.iter().rposition(|version| !version.stands()).map_or(0, |withdrawal| withdrawal + 1);
        let first_released = past[since..].iter().map(|version| version.released).min();
        Some(Aged { edition, first_released: first_released.unwrap_or(edition.released) })
    }
}

/// An edition as a horizon shows it, with what says how old it is.
struct Aged<'a> {
    edition: &'a Arc<Edition>,
    /// The first release date since it was last withdrawn. A late correction does not make an edition newer.
    first_released: Date,
}

impl<'a> Aged<'a> {
    fn id(&self) -> &'a str {
        self.edition.edition.as_str()
    }

    /// The edition that it is about: itself, unless it restates another.
    fn subject(&self) -> &'a str {
        let restates = self.edition.basis != Basis::AsPublished && !self.edition.about.is_empty();
        if restates { &self.edition.about } else { self.id() }
    }

    fn rank_of_basis(&self) -> u8 {
        match self.edition.basis {
            Basis::AsPublished => 0,
            Basis::Restated => 1,
            Basis::Counterfactual => 2,
        }
    }

    fn cmp_as_published(&self, other: &Self) -> Ordering {
        self.first_released.cmp(&other.first_released).then_with(|| natural_order(self.id(), other.id()))
    }
}

fn put<T>(versions: &mut Versions<T>, revision: Revision, object: T) {
    match versions.binary_search_by_key(&revision, |(known, _)| *known) {
        Ok(at) => versions[at].1 = Arc::new(object),
        Err(at) => versions.insert(at, (revision, Arc::new(object))),
    }
}
