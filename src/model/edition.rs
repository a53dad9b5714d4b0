//! Editions: signed-off tables. Ranks are not values; a table is published, corrected or withdrawn whole.
//!
//! Invariant: a [`Table`]'s entries are sorted by rank, entries without a known rank last, then by entity; each entity
//! stands in it once.

use serde::{Deserialize, Serialize};

use super::{
    id::{EditionId, EntityId, RankingId, Revision, SourceId},
    time::{Date, Instant},
    value::Value,
};

/// Where an edition is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EditionStatus {
    Provisional,
    Published,
    Corrected,
    Withdrawn,
}

/// What kind of table it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Basis {
    AsPublished,
    Restated,
    Counterfactual,
}

impl Basis {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsPublished => "as published",
            Self::Restated => "restated",
            Self::Counterfactual => "counterfactual",
        }
    }
}

/// Which ranks it lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoverageKind {
    /// Everything that was ranked.
    All,
    /// All ranks down to the last listed.
    Top,
    /// Only some ranks are known to us.
    Partial,
}

/// What an edition covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Which ranks.
    pub kind: CoverageKind,
    /// Length of the published list; 0 if not known.
    pub listed: u32,
    /// How many were ranked in all; 0 if not known.
    pub universe: u32,
}

/// An edition without its entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edition {
    pub ranking: RankingId,
    pub edition: EditionId,
    pub title: String,
    pub status: EditionStatus,
    pub basis: Basis,
    /// What its ranks are about, if not `edition` itself; else empty.
    pub about: String,
    pub coverage: Coverage,
    /// Methodology id; empty if not known.
    pub methodology: String,
    /// When the producer published this version.
    pub released: Date,
    /// From which day on this version answers, if not from `released` on: see [`Edition::effective_day`].
    #[serde(default)]
    pub effective: Option<Date>,
    /// Always some since version 0.2: the ranking's own source where the publisher names none.
    pub source: Option<SourceId>,
    pub note: String,
    pub entry_count: u32,
    /// Ranks 1 to this one are all known.
    pub complete_to: u32,
    pub revision: Revision,
    pub recorded: Instant,
    /// The edition its stored moves were computed against.
    pub compared_with: Option<EditionId>,
}

impl Edition {
    /// The edition with nothing but what names it: its key, its source, when it was released and committed.
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

    /// From which day on this version answers: its release date; for a withdrawal the day on which the producer withdrew
    /// it; for a publication after a withdrawal at least the day of the withdrawal.
    ///
    /// Within a horizon the version of the newest effective day answers, of one day the newest revision. So an older
    /// release that is loaded as a correction is filled in behind what stands.
    pub fn effective_day(&self) -> Date {
        self.effective.unwrap_or(self.released)
    }

    pub fn stands(&self) -> bool {
        self.status != EditionStatus::Withdrawn
    }
}

/// A component of an entry, as printed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EntryComponent {
    pub id: String,
    pub raw: Option<Value>,
    pub score: Option<Value>,
    pub rank: Option<u32>,
    pub data_year: String,
}

/// A rank that someone else, or a later edition, gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RankClaim {
    pub rank: u32,
    pub edition: String,
    pub claimed_by: String,
}

/// One row of an edition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    pub entity: EntityId,
    pub published_name: String,
    pub economies: Vec<EntityId>,
    /// `None`: listed, rank not known.
    pub rank: Option<u32>,
    pub tied: bool,
    pub score: Option<Value>,
    pub components: Vec<EntryComponent>,
    pub previous: Vec<RankClaim>,
    pub disputed: Vec<RankClaim>,
    pub note: String,
}

/// An edition with its entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub edition: Edition,
    pub entries: Vec<Entry>,
}

/// Puts entries into table order.
pub fn sort_entries(entries: &mut [Entry]) {
    entries.sort_by(|a, b| order(a).cmp(&order(b)));
}

fn order(entry: &Entry) -> (u32, &EntityId) {
    (entry.rank.unwrap_or(u32::MAX), &entry.entity)
}

/// The rank down to which sorted entries are complete. After a tie the next rank may count the places taken (1, 2, 2, 4)
/// or go on by one (1, 2, 2, 3).
pub fn complete_to(entries: &[Entry]) -> u32 {
    let (mut places, mut last) = (0, 0);
    for group in entries.chunk_by(|a, b| a.rank == b.rank) {
        match group[0].rank {
            Some(rank) if rank == places + 1 || rank == last + 1 => last = rank,
            _ => break,
        }
        places += u32::try_from(group.len()).unwrap_or(u32::MAX);
    }
    last
}
