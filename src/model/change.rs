//! What a commit does: changes, their cause and their counts.
//!
//! Invariant: what is before a change is the state at the revision before, and what is after it the state at its own.

use serde::{Deserialize, Serialize};

use super::{
    catalog::Definition,
    edition::{Edition, EntryComponent},
    id::{EditionId, EntityId, RankingId, RequestId, Revision},
    period::Period,
    series::{Row, SeriesKey},
    time::{Date, Instant},
    value::Value,
};

/// Why a commit was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Cause {
    FirstRelease,
    ScheduledRevision,
    Correction,
    MethodChange,
    Withdrawal,
    ReloadUnchanged,
    Definition,
}

/// What a commit changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Counts {
    pub added: u64,
    pub revised: u64,
    pub unchanged: u64,
    pub withdrawn: u64,
    pub backfilled: u64,
}

impl Counts {
    /// Whether anything changed at all.
    pub fn any_change(&self) -> bool {
        self.added + self.revised + self.withdrawn + self.backfilled > 0
    }
}

/// One atomic act of one author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its number.
    pub revision: Revision,
    /// When; never decreases with the revision.
    pub recorded: Instant,
    /// Who.
    pub author: String,
    /// Why.
    pub cause: Cause,
    /// Author's note.
    pub note: String,
    /// Release date of what it brought; none for definitions.
    pub released: Option<Date>,
    /// SHA-256 of the document it was made from, hex; empty if not given.
    pub document_sha256: String,
    /// What it changed.
    pub counts: Counts,
    /// The request it was made under.
    pub request_id: Option<RequestId>,
}

/// What happened to a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ValueMove {
    Added,
    Revised,
    Withdrawn,
    Backfilled,
}

/// A change of one figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueChange {
    /// Its series.
    pub series: SeriesKey,
    /// Its period.
    pub period: Period,
    /// What happened.
    pub movement: ValueMove,
    /// The version that answers at the previous revision.
    pub before: Option<Row>,
    /// The version that answers at this revision. Not `recorded` where that was filled in behind a newer release.
    pub after: Option<Row>,
    /// The version that this commit brought.
    pub recorded: Row,
}

/// How an entry moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Movement {
    Entered,
    Left,
    Up,
    Down,
    Tied,
    Unchanged,
    Unknown,
    Withdrawn,
}

/// One side of a move.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Standing {
    pub rank: Option<u32>,
    pub tied: bool,
    pub score: Option<Value>,
    pub components: Vec<EntryComponent>,
    pub published_name: String,
    /// Without a rank: known to be worse than this one; 0 if nothing is known.
    pub worse_than: u32,
    pub listed: bool,
}

/// A move of one entity between two tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EntryMove {
    pub entity: EntityId,
    pub movement: Movement,
    pub before: Standing,
    pub after: Standing,
    pub economies: Vec<EntityId>,
}

impl EntryMove {
    /// Ranks gained or lost, if both are known.
    pub fn places(&self) -> Option<i32> {
        let (before, after) = (i64::from(self.before.rank?), i64::from(self.after.rank?));
        i32::try_from(before - after).ok()
    }

    /// Whether the published name changed.
    pub fn renamed(&self) -> bool {
        self.before.listed && self.after.listed && self.before.published_name != self.after.published_name
    }
}

/// A change of one row of an edition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EntryChange {
    pub ranking: RankingId,
    pub edition: EditionId,
    pub compared_with: Option<EditionId>,
    pub entry_move: EntryMove,
    pub entries_before: u32,
    pub entries_after: u32,
    pub comparable: bool,
}

/// One change of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A figure.
    Value(Box<ValueChange>),
    /// A row of an edition.
    Entry(Box<EntryChange>),
    /// An edition as a whole: before and after.
    Edition(Option<Box<Edition>>, Box<Edition>),
    /// A definition: before and after.
    Definition(Option<Box<Definition>>, Box<Definition>),
}
