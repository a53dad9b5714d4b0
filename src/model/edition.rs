//! Editions: tables of ranks that a producer signed off. A table is published, corrected or withdrawn as a whole.
//!
//! Invariant: the entries of a [`Table`] are sorted by rank, then by entity; entries without a known rank come last. A
//! table lists an entity at most once.

use serde::{Deserialize, Serialize};

use super::{
    id::{EditionId, EntityId, RankingId, Revision, SourceId},
    time::{Date, Instant},
    value::Value,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EditionStatus {
    Provisional,
    Published,
    Corrected,
    Withdrawn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Basis {
    /// The table of its own time.
    AsPublished,
    /// An earlier year's ranks as a later edition gives them.
    Restated,
    /// A what-if, under another method or universe.
    Counterfactual,
}

impl Basis {
    /// The basis as words for messages, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsPublished => "as published",
            Self::Restated => "restated",
            Self::Counterfactual => "counterfactual",
        }
    }
}

/// Which ranks a table lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoverageKind {
    /// Everything that was ranked.
    All,
    /// All ranks down to the last one listed.
    Top,
    /// Some ranks; the others are unknown.
    Partial,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    pub kind: CoverageKind,
    /// Length of the published list, 100 for a top 100; 0 if not known.
    pub listed: u32,
    /// How many entities were ranked in all; 0 if not known.
    pub universe: u32,
}

/// One version of an edition, without its entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edition {
    pub ranking: RankingId,
    pub edition: EditionId,
    pub title: String,
    pub status: EditionStatus,
    pub basis: Basis,
    /// The edition that its ranks are about, for a restatement or a what-if of another one; else empty.
    pub about: String,
    pub coverage: Coverage,
    /// Methodology id; empty if not known.
    pub methodology: String,
    /// When the producer published this version.
    pub released: Date,
    /// The day from which this version answers, if that is not `released`: see [`Edition::effective_day`].
    #[serde(default)]
    pub effective: Option<Date>,
    /// Always `Some` since version 0.2: if the publisher names no source, it is the ranking's own.
    pub source: Option<SourceId>,
    pub note: String,
    pub entry_count: u32,
    /// The table lists every rank from 1 to this one; 0 if rank 1 is not known. See [`complete_to`].
    pub complete_to: u32,
    pub revision: Revision,
    pub recorded: Instant,
    /// The edition that its stored moves were computed from; `None`: there was no earlier one.
    pub compared_with: Option<EditionId>,
}

impl Edition {
    /// A copy that keeps what identifies the edition (key, source, release, commit) and leaves its content empty.
    pub fn name_only(&self) -> Self {
        Self {
            title: String::new(),
            about: String::new(),
            methodology: String::new(),
            note: String::new(),
            coverage: Coverage { kind: self.coverage.kind, listed: 0, universe: 0 },
            entry_count: 0,
            complete_to: 0,
            compared_with: None,
            ..self.clone()
        }
    }

    /// The day from which this version answers: its release date. For a withdrawal it is the day on which the producer
    /// withdrew the edition; for a publication after a withdrawal, at least the day of the withdrawal.
    ///
    /// Within a horizon the version with the newest effective day answers; of several of that day, the newest revision.
    /// So a correction that was released before the version that answers is backfilled: it does not replace that one.
    pub fn effective_day(&self) -> Date {
        self.effective.unwrap_or(self.released)
    }

    /// Whether this version is not a withdrawal.
    pub fn stands(&self) -> bool {
        self.status != EditionStatus::Withdrawn
    }
}

/// A component of an entry, as printed in the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EntryComponent {
    pub id: String,
    pub raw: Option<Value>,
    pub score: Option<Value>,
    pub rank: Option<u32>,
    pub data_year: String,
}

/// A rank that a later edition or another publisher gives the entity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RankClaim {
    pub rank: u32,
    pub edition: String,
    pub claimed_by: String,
}

/// One line of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    pub entity: EntityId,
    pub published_name: String,
    pub economies: Vec<EntityId>,
    /// `None`: the table lists the entity, its rank is not known.
    pub rank: Option<u32>,
    pub tied: bool,
    pub score: Option<Value>,
    pub components: Vec<EntryComponent>,
    pub previous: Vec<RankClaim>,
    pub disputed: Vec<RankClaim>,
    pub note: String,
}

/// A version of an edition with its entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub edition: Edition,
    pub entries: Vec<Entry>,
}

/// Sorts entries as [`Table`] needs them.
pub fn sort_entries(entries: &mut [Entry]) {
    entries.sort_by(|a, b| order(a).cmp(&order(b)));
}

fn order(entry: &Entry) -> (u32, &EntityId) {
    (entry.rank.unwrap_or(u32::MAX), &entry.entity)
}

/// The rank down to which sorted entries are complete; 0 if rank 1 is not among them. After a tie the next rank may count
/// the places taken (1, 2, 2, 4) or go on by one (1, 2, 2, 3).
pub fn complete_to(entries: &[Entry]) -> u32 {
    let mut places = 0;
    let mut last = 0;
    for group in entries.chunk_by(|a, b| a.rank == b.rank) {
        match group[0].rank {
            Some(rank) if rank == places + 1 || rank == last + 1 => last = rank,
            _ => break,
        }
        places += u32::try_from(group.len()).unwrap_or(u32::MAX);
    }
    last
}
