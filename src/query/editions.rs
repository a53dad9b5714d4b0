//! Editions at a point of history: which there are, their tables, comparisons, and the trajectory of an entity.

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
    ranking::compare::{Comparability, EntityPair, absence, absence_of_kind, comparability, entry_move, pairs},
    store::suggestions::Suggestions,
};

/// Two tables and how every entity that one of them lists moved between them.
#[derive(Debug)]
pub struct Comparison {
    pub from: Arc<Table>,
    pub to: Arc<Table>,
    pub comparability: Comparability,
    pairs: Vec<EntityPair>,
}

impl Comparison {
    /// The moves from a number on, each with its number. They are numbered from 0 to [`Self::listed`], exclusive.
    pub fn moves_from(&self, first: usize) -> impl Iterator<Item = (usize, EntryMove)> {
        let pairs = self.pairs.iter().enumerate().skip(first);
        pairs.filter_map(|(number, pair)| Some((number, entry_move(*pair, Some(&self.from), &self.to)?)))
    }

    /// How many entities the two tables list together.
    pub fn listed(&self) -> usize {
        self.pairs.len()
    }

    /// How many entities moved in each way. Movements of none are left out.
    pub fn counts(&self) -> BTreeMap<Movement, u32> {
        let mut counts = BTreeMap::new();
        for pair in &self.pairs {
            *counts.entry(pair.movement).or_default() += 1;
        }
        counts
    }
}

/// What one edition says about an entity.
#[derive(Debug)]
pub struct TrajectoryPoint {
    pub edition: Arc<Edition>,
    pub entry: Option<Entry>,
    /// `Some` if there is no entry.
    pub absence: Option<Absence>,
    /// Whether its ranks can be compared with those of the point before; `false` for the first.
    pub comparable_to_previous: bool,
}

impl Snapshot {
    /// The editions of a ranking, withdrawn ones included, oldest first. [`QueryError::Unknown`] without such a ranking.
    pub fn editions(&self, ranking: &RankingId) -> Result<Vec<&Arc<Edition>>, QueryError> {
        self.require(DefinitionKind::Ranking, ranking.as_str())?;
        Ok(self.catalog.editions(ranking, self.horizon))
    }

    /// The ids of the methodologies that the editions of a ranking name.
    pub fn methodologies_of(&self, ranking: &RankingId) -> Result<BTreeSet<String>, QueryError> {
        let mut methodologies = BTreeSet::new();
        for edition in self.editions(ranking)? {
            if !edition.methodology.is_empty() {
                methodologies.insert(edition.methodology.clone());
            }
        }
        Ok(methodologies)
    }

    /// An edition, withdrawn or not. Without an id: the newest edition as published that is not withdrawn.
    /// [`QueryError::NoEdition`] if there is none.
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

    /// An edition with its entries; see [`Snapshot::edition`]. [`QueryError::Withdrawn`] if it is withdrawn.
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

    /// How every entity moved between two editions of a ranking. Neither may be withdrawn.
    pub fn compare(&self, ranking: &RankingId, from: &EditionId, to: &EditionId) -> Result<Comparison, QueryError> {
        let from = self.table(ranking, Some(from))?;
        let to = self.table(ranking, Some(to))?;
        let comparability = comparability(&from.edition, &to.edition, self.methodologies());
        Ok(Comparison { pairs: pairs(Some(&from), &to), comparability, from, to })
    }

    /// A function that looks a methodology up by its id.
    fn methodologies<'a>(&'a self) -> impl Fn(&str) -> Option<&'a Methodology> {
        |id| self.catalog.methodology(id, self.revision())
    }

    /// What every edition of a ranking that is not withdrawn says about an entity, oldest first.
    pub fn trajectory(&self, ranking: &RankingId, entity: &EntityId) -> Result<Vec<TrajectoryPoint>, QueryError> {
        self.require(DefinitionKind::Entity, entity.as_str())?;
        let definition = self.catalog.ranking(ranking.as_str(), self.revision());
        let mut points: Vec<TrajectoryPoint> = Vec::new();
        for edition in self.editions(ranking)? {
            if !edition.stands() {
                continue;
            }
            let table = self.view().table(edition)?;
            let entry = table.entries.iter().find(|entry| entry.entity == *entity);
            let comparable_to_previous = match points.last() {
                Some(previous) => comparability(&previous.edition, edition, self.methodologies()).comparable,
                None => false,
            };
            points.push(TrajectoryPoint {
                edition: edition.clone(),
                entry: entry.cloned(),
                absence: entry.is_none().then(|| self.absence(edition, definition, entity)),
                comparable_to_previous,
            });
        }
        Ok(points)
    }

    /// What an edition says about an entity that it does not list.
    fn absence(&self, edition: &Edition, ranking: Option<&Ranking>, entity: &EntityId) -> Absence {
        let entity = self.catalog.entity(entity.as_str(), self.revision());
        match ranking.zip(entity) {
            Some((ranking, entity)) => absence_of_kind(edition, ranking.subject, entity.kind),
            None => absence(edition),
        }
    }
}
