//! The catalog in memory: every version of every definition, and of every edition without its entries.
//!
//! It is small (a few thousand objects of about a kilobyte) and every query needs it. So it is read once, at start, and a
//! commit replaces it as a whole; a reader goes on with the one it started with.
//!
//! Invariant: the versions of an object are in the order of revisions. At a revision, its last version counts that is not
//! above the revision and not reverted there. Of an edition the [`Edition::effective_day`] decides first.

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

/// All versions of definitions and editions.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    definitions: BTreeMap<DefinitionKind, BTreeMap<Arc<str>, Versions<Definition>>>,
    editions: BTreeMap<(RankingId, EditionId), Versions<Edition>>,
    reverts: Reverts,
}

impl Catalog {
    /// Adds a version of a definition.
    pub fn define(&mut self, revision: Revision, definition: Definition) {
        let versions =
            self.definitions.entry(definition.kind()).or_default().entry(definition.id().into()).or_default();
        put(versions, revision, definition);
    }

    /// Adds a version of an edition.
    pub fn publish(&mut self, edition: Edition) {
        let versions = self.editions.entry((edition.ranking.clone(), edition.edition.clone())).or_default();
        put(versions, edition.revision, edition);
    }

    /// From the revision of a revert on, these commits do not count.
    pub fn revert(&mut self, revert: Revision, revisions: BTreeSet<Revision>) {
        self.reverts.add(revert, revisions);
    }

    pub fn reverts(&self) -> &Reverts {
        &self.reverts
    }

    /// The definition at a revision; `None` if there is none then.
    pub fn definition(&self, kind: DefinitionKind, id: &str, at: Revision) -> Option<&Arc<Definition>> {
        self.definition_version(kind, id, at).map(|(_, definition)| definition)
    }

    /// The definition at a revision, with the revision that brought it.
    pub fn definition_version(
        &self,
        kind: DefinitionKind,
        id: &str,
        at: Revision,
    ) -> Option<(Revision, &Arc<Definition>)> {
        self.version_at(self.definitions.get(&kind)?.get(id)?, at)
    }

    /// The revisions that brought versions of a definition, reverted ones included, in order.
    pub fn definition_revisions(&self, kind: DefinitionKind, id: &str) -> impl Iterator<Item = Revision> {
        let versions = self.definitions.get(&kind).and_then(|definitions| definitions.get(id));
        versions.into_iter().flatten().map(|(revision, _)| *revision)
    }

    /// Every definition of which there is any version.
    pub fn definition_names(&self) -> impl Iterator<Item = (DefinitionKind, &Arc<str>)> {
        self.definitions.iter().flat_map(|(kind, definitions)| definitions.keys().map(|id| (*kind, id)))
    }

    /// Every edition of which there is any version.
    pub fn edition_names(&self) -> impl Iterator<Item = (&RankingId, &EditionId)> {
        self.editions.keys().map(|(ranking, edition)| (ranking, edition))
    }

    /// Every version of an edition, reverted ones included, in the order of revisions.
    pub fn edition_versions(&self, ranking: &RankingId, edition: &EditionId) -> impl Iterator<Item = &Arc<Edition>> {
        let versions = self.editions.get(&(ranking.clone(), edition.clone()));
        versions.into_iter().flatten().map(|(_, edition)| edition)
    }

    /// All definitions of a kind at a revision with an id above `after`, in id order.
    pub fn definitions(
        &self,
        kind: DefinitionKind,
        after: &str,
        at: Revision,
    ) -> impl Iterator<Item = &Arc<Definition>> {
        let definitions = self.definitions.get(&kind).into_iter();
        let after = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let later = definitions.flat_map(move |definitions| definitions.range::<str, _>(after));
        later.filter_map(move |(_, versions)| self.version_at(versions, at).map(|(_, definition)| definition))
    }

    /// The indicator at a revision; `None` if there is none then.
    pub fn indicator(&self, id: &str, at: Revision) -> Option<&Indicator> {
        match self.definition(DefinitionKind::Indicator, id, at)?.as_ref() {
            Definition::Indicator(indicator) => Some(indicator),
            _ => None,
        }
    }

    /// The entity at a revision; `None` if there is none then.
    pub fn entity(&self, id: &str, at: Revision) -> Option<&Entity> {
        match self.definition(DefinitionKind::Entity, id, at)?.as_ref() {
            Definition::Entity(entity) => Some(entity),
            _ => None,
        }
    }

    /// The source at a revision; `None` if there is none then.
    pub fn source(&self, id: &str, at: Revision) -> Option<&Source> {
        match self.definition(DefinitionKind::Source, id, at)?.as_ref() {
            Definition::Source(source) => Some(source),
            _ => None,
        }
    }

    /// The methodology at a revision; `None` if there is none then.
    pub fn methodology(&self, id: &str, at: Revision) -> Option<&Methodology> {
        match self.definition(DefinitionKind::Methodology, id, at)?.as_ref() {
            Definition::Methodology(methodology) => Some(methodology),
            _ => None,
        }
    }

    /// The ranking at a revision; `None` if there is none then.
    pub fn ranking(&self, id: &str, at: Revision) -> Option<&Ranking> {
        match self.definition(DefinitionKind::Ranking, id, at)?.as_ref() {
            Definition::Ranking(ranking) => Some(ranking),
            _ => None,
        }
    }

    /// The version of an edition that answers within a horizon, withdrawn or not; `None` if there is none.
    pub fn edition(&self, ranking: &RankingId, edition: &EditionId, at: Horizon) -> Option<&Arc<Edition>> {
        self.edition_at(self.editions.get(&(ranking.clone(), edition.clone()))?, at)
    }

    /// The editions of a ranking within a horizon, withdrawn ones included, oldest first.
    ///
    /// Editions as published come in the order of the days on which they were first released, then in the natural order of
    /// their ids. An edition of another basis follows the one that it is about: a restatement of 2022 comes after 2022.
    pub fn editions(&self, ranking: &RankingId, at: Horizon) -> Vec<&Arc<Edition>> {
        let editions: Vec<DatedEdition<'_>> = self.dated_editions(ranking, at).collect();
        let mut published: HashMap<&str, Date> = HashMap::new();
        for dated in &editions {
            if dated.edition.basis == Basis::AsPublished {
                published.insert(dated.id(), dated.first_released);
            }
        }
        let mut by_day: Vec<(Date, DatedEdition<'_>)> = Vec::with_capacity(editions.len());
        for dated in editions {
            let day = published.get(dated.subject()).copied().unwrap_or(dated.first_released);
            by_day.push((day, dated));
        }
        by_day.sort_by(|(day, a), (other_day, b)| {
            day.cmp(other_day)
                .then_with(|| natural_order(a.subject(), b.subject()))
                .then_with(|| a.basis_order().cmp(&b.basis_order()))
                .then_with(|| a.cmp_as_published(b))
        });
        by_day.into_iter().map(|(_, dated)| dated.edition).collect()
    }

    /// The editions of all rankings within a horizon, withdrawn ones included.
    pub fn all_editions(&self, at: Horizon) -> impl Iterator<Item = &Arc<Edition>> {
        self.editions.values().filter_map(move |versions| self.edition_at(versions, at))
    }

    /// The newest edition as published of a ranking that is not withdrawn: the one that is meant if a request names no
    /// edition. The day on which an edition was first released decides, then the natural order of ids.
    pub fn newest_edition(&self, ranking: &RankingId, at: Horizon) -> Option<&Arc<Edition>> {
        self.as_published(ranking, at).max_by(DatedEdition::cmp_as_published).map(|newest| newest.edition)
    }

    /// The edition that comes before a new one with this id and release date: of the editions as published that are not
    /// withdrawn and older than it, the newest. `None`: it is the first.
    pub fn previous_edition(
        &self,
        ranking: &RankingId,
        id: &EditionId,
        released: Date,
        at: Horizon,
    ) -> Option<&Arc<Edition>> {
        let older = self.as_published(ranking, at).filter(|other| {
            let by_day = other.first_released.cmp(&released);
            by_day.then_with(|| natural_order(other.id(), id.as_str())) == Ordering::Less
        });
        older.max_by(DatedEdition::cmp_as_published).map(|previous| previous.edition)
    }

    /// The editions as published of a ranking that are not withdrawn, in no order.
    fn as_published(&self, ranking: &RankingId, at: Horizon) -> impl Iterator<Item = DatedEdition<'_>> {
        let editions = self.dated_editions(ranking, at);
        editions.filter(|dated| dated.edition.basis == Basis::AsPublished && dated.edition.stands())
    }

    /// The editions of a ranking within a horizon, in no order.
    fn dated_editions(&self, ranking: &RankingId, at: Horizon) -> impl Iterator<Item = DatedEdition<'_>> {
        let of_ranking = self.editions.iter().filter(move |((of, _), _)| of == ranking);
        of_ranking.filter_map(move |(_, versions)| self.dated_edition(versions, at))
    }

    /// The number of definitions of a kind at a revision.
    pub fn count(&self, kind: DefinitionKind, at: Revision) -> usize {
        self.definitions(kind, "", at).count()
    }

    /// The number of editions at a revision, withdrawn ones included.
    pub fn edition_count(&self, at: Revision) -> usize {
        self.all_editions(Horizon::at(at)).count()
    }

    /// The version of an object that counts at a revision.
    fn version_at<'a, T>(&self, versions: &'a Versions<T>, at: Revision) -> Option<(Revision, &'a Arc<T>)> {
        for (revision, object) in versions.iter().rev() {
            if *revision <= at && !self.reverts.is_reverted(*revision, at) {
                return Some((*revision, object));
            }
        }
        None
    }

    /// The versions of an edition within a horizon that are not reverted, in the order of revisions.
    fn admitted<'a>(&self, versions: &'a Versions<Edition>, at: Horizon) -> impl Iterator<Item = &'a Arc<Edition>> {
        versions.iter().filter_map(move |(revision, edition)| {
            let counts = *revision <= at.revision && !self.reverts.is_reverted(*revision, at.revision);
            (counts && edition.effective_day() <= at.released).then_some(edition)
        })
    }

    /// The version of an edition that answers: the one with the newest effective day, of several the newest revision.
    fn edition_at<'a>(&self, versions: &'a Versions<Edition>, at: Horizon) -> Option<&'a Arc<Edition>> {
        self.admitted(versions, at).max_by_key(|edition| (edition.effective_day(), edition.revision))
    }

    fn dated_edition<'a>(&self, versions: &'a Versions<Edition>, at: Horizon) -> Option<DatedEdition<'a>> {
        let edition = self.edition_at(versions, at)?;
        let mut past: Vec<&Edition> = self.admitted(versions, at).map(Arc::as_ref).collect();
        past.sort_by_key(|version| (version.effective_day(), version.revision));
        let since = past.iter().rposition(|version| !version.stands()).map_or(0, |withdrawal| withdrawal + 1);
        let first_released = past[since..].iter().map(|version| version.released).min();
        Some(DatedEdition { edition, first_released: first_released.unwrap_or(edition.released) })
    }
}

/// The version of an edition that answers, with the date by which editions are ordered.
struct DatedEdition<'a> {
    edition: &'a Arc<Edition>,
    /// The first release date since the edition was last withdrawn. A late correction does not make it newer.
    first_released: Date,
}

impl<'a> DatedEdition<'a> {
    fn id(&self) -> &'a str {
        self.edition.edition.as_str()
    }

    /// The id of the edition that it is about: its own, unless it is a restatement or a what-if of another one.
    fn subject(&self) -> &'a str {
        let is_about_another = self.edition.basis != Basis::AsPublished && !self.edition.about.is_empty();
        if is_about_another { &self.edition.about } else { self.id() }
    }

    fn basis_order(&self) -> u8 {
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

/// Adds a version. A version of the same revision is replaced: a commit may be applied again.
fn put<T>(versions: &mut Versions<T>, revision: Revision, object: T) {
    match versions.binary_search_by_key(&revision, |(other, _)| *other) {
        Ok(position) => versions[position].1 = Arc::new(object),
        Err(position) => versions.insert(position, (revision, Arc::new(object))),
    }
}
