//! What a commit does: changes, their cause and their counts.
//!
//! Invariant: what is before a change is the state at the revision before, and what is after it the state at its own.

use serde::{Deserialize, Serialize};

use super::{
    catalog::{Definition, DefinitionKind},
    edition::{Edition, Entry},
    id::{EditionId, EntityId, RankingId, RequestId, Revision, SourceId},
    period::Period,
    series::{FigureVersion, SeriesKey},
    time::{Date, Instant},
};

/// Why a commit was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
pub struct Counts {
    pub added: u64,
    pub revised: u64,
    pub unchanged: u64,
    pub withdrawn: u64,
    pub backfilled: u64,
    /// Definitions are counted here and nowhere else.
    #[serde(default)]
    pub definitions_added: u64,
    #[serde(default)]
    pub definitions_revised: u64,
    #[serde(default)]
    pub definitions_unchanged: u64,
    /// Taken back.
    #[serde(default)]
    pub definitions_removed: u64,
}

impl Counts {
    /// Whether anything changed at all.
    pub fn any_change(&self) -> bool {
        let data = self.added + self.revised + self.withdrawn + self.backfilled;
        data + self.definitions_added + self.definitions_revised + self.definitions_removed > 0
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
pub enum FigureMovement {
    Added,
    Revised,
    Withdrawn,
    Backfilled,
}

/// A change of one figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FigureChange {
    /// Its series.
    pub series: SeriesKey,
    /// Its period.
    pub period: Period,
    /// What happened.
    pub movement: FigureMovement,
    /// The version that answers at the previous revision.
    pub before: Option<FigureVersion>,
    /// The version that answers at this revision. Not `recorded` where that was filled in behind a newer release.
    pub after: Option<FigureVersion>,
    /// The version that this commit brought.
    pub recorded: FigureVersion,
}

/// How an entry moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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

/// What is known of an entity that a table does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Absence {
    /// Nothing: the table is partial, or withdrawn.
    Unknown,
    /// Every rank down to this one is listed, so its own is a higher number.
    WorseThan(u32),
    /// It has no rank: the table lists all that were ranked, or the ranking is about entities of another kind.
    NotRanked,
}

/// A move of one entity between two tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryMove {
    pub entity: EntityId,
    pub movement: Movement,
    pub earlier: Option<Entry>,
    pub later: Option<Entry>,
    /// Only without an earlier entry in a table that there is.
    pub earlier_absence: Option<Absence>,
    /// Only without a later entry.
    pub later_absence: Option<Absence>,
}

impl EntryMove {
    /// Ranks gained or lost, if both are known.
    pub fn places(&self) -> Option<i32> {
        places(self.earlier.as_ref(), self.later.as_ref())
    }

    /// Whether the published name changed.
    pub fn renamed(&self) -> bool {
        renamed(self.earlier.as_ref(), self.later.as_ref())
    }
}

/// A change of one row of an edition, or of what an edition says of an entity without a row.
///
/// Its key is (ranking, edition, entity). `before` and `after` are the rows of that key at the previous and at this
/// revision. The movement is between [`EntryChange::earlier`] and `after`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryChange {
    pub ranking: RankingId,
    pub edition: EditionId,
    /// The edition's source at this revision.
    pub source: Option<SourceId>,
    pub entity: EntityId,
    pub before: Option<Box<Entry>>,
    pub after: Option<Box<Entry>>,
    /// The edition that the movement is measured from; for a correction or a withdrawal this edition itself.
    pub compared_with: Option<EditionId>,
    /// The entity's entry in another edition that it is compared with; `None` if it is compared with itself.
    pub compared: Option<Box<Entry>>,
    /// The source of the edition compared with; of this edition itself: as it was at the previous revision.
    pub earlier_source: Option<SourceId>,
    pub movement: Movement,
    /// Only without an earlier entry in a table that there is.
    pub earlier_absence: Option<Absence>,
    /// Only without an entry after.
    pub later_absence: Option<Absence>,
    /// Entries of the table compared with.
    pub entries_before: u32,
    pub entries_after: u32,
    /// Whether ranks of the two tables mean the same.
    pub comparable: bool,
}

impl EntryChange {
    /// Whether the edition is compared with what it said itself at the previous revision.
    pub fn is_of_one_edition(&self) -> bool {
        self.compared_with.as_ref() == Some(&self.edition)
    }

    /// The entry that the movement is measured from.
    pub fn earlier(&self) -> Option<&Entry> {
        if self.is_of_one_edition() { self.before.as_deref() } else { self.compared.as_deref() }
    }

    /// Ranks gained or lost, if both are known.
    pub fn places(&self) -> Option<i32> {
        places(self.earlier(), self.after.as_deref())
    }

    /// Whether the published name changed.
    pub fn renamed(&self) -> bool {
        renamed(self.earlier(), self.after.as_deref())
    }
}

fn places(earlier: Option<&Entry>, later: Option<&Entry>) -> Option<i32> {
    let from = i64::from(earlier?.rank?);
    let to = i64::from(later?.rank?);
    i32::try_from(from - to).ok()
}

fn renamed(earlier: Option<&Entry>, later: Option<&Entry>) -> bool {
    earlier.zip(later).is_some_and(|(earlier, later)| earlier.published_name != later.published_name)
}

/// A change of a definition. One side is there at least.
#[derive(Debug, Clone, PartialEq)]
pub struct DefinitionChange {
    /// As defined at the previous revision.
    pub before: Option<Box<Definition>>,
    /// As defined at this revision; `None` if the commit that brought it was taken back.
    pub after: Option<Box<Definition>>,
}

impl DefinitionChange {
    /// What names it: kind and id.
    pub fn name(&self) -> Option<(DefinitionKind, &str)> {
        let definition = self.after.as_deref().or(self.before.as_deref())?;
        Some((definition.kind(), definition.id()))
    }
}

/// One change of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A figure.
    Figure(Box<FigureChange>),
    /// A row of an edition.
    Entry(Box<EntryChange>),
    /// An edition as a whole.
    Edition {
        /// The version that stood.
        before: Option<Box<Edition>>,
        /// The version that stands now. The same as before if an older one was filled in behind it.
        after: Box<Edition>,
        /// The older version that was filled in behind what stands.
        backfilled: Option<Box<Edition>>,
    },
    /// A definition.
    Definition(DefinitionChange),
}
