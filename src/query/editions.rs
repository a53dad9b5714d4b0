//! Editions at a point of history.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{QueryError, Snapshot};
use crate::{
    model::{
        catalog::{DefinitionKind, Methodology, Ranking},
        change::{Absence, EntryMove, Movement},
        edition::{Edition, EditionStatus, Entry, Table},
        id::{EditionId, EntityId, RankingId},
    },
    ranking::compare::{Comparability, Pair, absence, absence_of_kind, comparability, entry_move, pairs},
    store::suggestions::Suggestions,
};

/// Two tables and what moved between them.
#[derive(Debug)]
pub struct Comparison {
    pub from: Arc<Table>,
    pub to: Arc<Table>,
    pub comparability: Comparability,
    pairs: Vec<Pair>,
}

impl Comparison {
    /// The moves from one on, each with its number.
    pub fn moves_from(&self, first: usize) -> impl Iterator<Item = (usize, EntryMove)> {
        let pairs = self.pairs.iter().enumerate().skip(first);
        pairs.filter_map(|(at, pair)| Some((at, entry_move(*pair, Some(&self.from), &self.to)?)))
    }

    /// How many entities there are, moved or not: [`Self::moves_from`] counts in them.
    pub fn listed(&self) -> usize {
        self.pairs.len()
    }

    /// How many moved in each way, of all.
    pub fn counts(&self) -> BTreeMap<Movement, u32> {
        let mut counts = BTreeMap::new();
        self.pairs.iter().for_each(|pair| *counts.entry(pair.movement).or_default() += 1);
        counts
    }
}

/// Where an entity stood in one edition.
#[derive(Debug)]
pub struct TrajectoryPoint {
    pub edition: Arc<Edition>,
    pub entry: Option<Entry>,
    /// Only without an entry.
    pub absence: Option<Absence>,
    pub comparable_to_previous: bool,
}

impl Snapshot {
    /// The editions of a ranking, oldest first.
    pub fn editions(&self, ranking: &RankingId) -> Result<Vec<&Arc<Edition>>, QueryError> {
        self.require(DefinitionKind::Ranking, ranking.as_str())?;
        Ok(self.catalog.editions(ranking, self.horizon))
    }

    /// The methodologies that the editions of a ranking name.
    pub fn methodologies_of(&self, ranking: &RankingId) -> Result<BTreeSet<String>, QueryError> {
        let editions = self.editions(ranking)?.into_iter();
        let named = editions.map(|edition| edition.methodology.clone());
        Ok(named.filter(|methodology| !methodology.is_empty()).collect())
    }

    /// An edition, withdrawn or not; without a name the newest that stands as published.
    pub fn edition(&self, ranking: &RankingId, edition: Option<&EditionId>) -> Result<&Arc<Edition>, QueryError> {
        self.require(DefinitionKind::Ranking, ranking.as_str())?;
        let found = match edition {
            Some(edition) => self.catalog.edition(ranking, edition, self.horizon),
            None => self.catalog.newest_edition(ranking, self.horizon),
        };
        found.ok_or_else(|| QueryError::NoEdition {
            ranking: ranking.to_string(),
            edition: edition.map_or_else(String::new, EditionId::to_string),
            near: Suggestions::newest(self.catalog.editions(ranking, self.horizon).iter().map(|known| &known.edition)),
        })
    }

    /// An edition that stands, with its entries.
    pub fn table(&self, ranking: &RankingId, edition: Option<&EditionId>) -> Result<Arc<Table>, QueryError> {
        let edition = self.edition(ranking, edition)?;
        if edition.status == EditionStatus::Withdrawn {
            return Err(QueryError::Withdrawn {
                ranking: ranking.to_string(),
                edition: edition.edition.to_string(),
                revision: edition.revision,
            });
        }
        Ok(self.view().table(edition)?)
    }

    /// What moved between two editions.
    pub fn compare(&self, ranking: &RankingId, from: &EditionId, to: &EditionId) -> Result<Comparison, QueryError> {
        let (from, to) = (self.table(ranking, Some(from))?, self.table(ranking, Some(to))?);
        let comparability = comparability(&from.edition, &to.edition, self.methodologies());
        Ok(Comparison { pairs: pairs(Some(&from), &to), comparability, from, to })
    }

    /// Looks up methodologies.
    fn methodologies<'a>(&'a self) -> impl Fn(&str) -> Option<&'a Methodology> {
        |id| self.catalog.methodology(id, self.revision())
    }

    /// Where an entity stood over all editions that stand.
    pub fn trajectory(&self, ranking: &RankingId, entity: &EntityId) -> Result<Vec<TrajectoryPoint>, QueryError> {
        self.require(DefinitionKind::Entity, entity.as_str())?;
        let definition = self.catalog.ranking(ranking.as_str(), self.revision());
        let mut points: Vec<TrajectoryPoint> = Vec::new();
        for edition in self.editions(ranking)?.into_iter().filter(|edition| edition.status != EditionStatus::Withdrawn)
        {
            let table = self.view().table(edition)?;
            let entry = table.entries.iter().find(|entry| entry.entity == *entity);
            let previous = points.last().map(|point| point.edition.clone());
            points.push(TrajectoryPoint {
                edition: edition.clone(),
                entry: entry.cloned(),
                absence: entry.is_none().then(|| self.absence(edition, definition, entity)),
                comparable_to_previous: previous
                    .is_some_and(|previous| comparability(&previous, edition, self.methodologies()).comparable),
            });
        }
        Ok(points)
    }

    /// What an edition tells of an entity that it does not list.
    fn absence(&self, edition: &Edition, ranking: Option<&Ranking>, entity: &EntityId) -> Absence {
        let entity = self.catalog.entity(entity.as_str(), self.revision());
        match ranking.zip(entity) {
            Some((ranking, entity)) => absence_of_kind(edition, ranking.subject, entity.kind),
            None => absence(edition),
        }
    }
}
