//! What a commit does: its changes, their cause and their counts.
//!
//! Invariant: the `before` of a change is the state at the revision before its commit, its `after` the state at the
//! commit's own revision.

use serde::{Deserialize, Serialize};

use super::{
    catalog::{Definition, DefinitionKind},
    edition::{Edition, Entry},
    id::{EditionId, EntityId, RankingId, RequestId, Revision, SourceId},
    period::Period,
    series::{FigureVersion, SeriesKey},
    time::{Date, Instant},
};

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

/// How many figures, entries and definitions a commit changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    pub added: u64,
    pub revised: u64,
    pub unchanged: u64,
    pub withdrawn: u64,
    pub backfilled: u64,
    /// Definitions are counted in these four fields only. Headers written before they existed lack them.
    #[serde(default)]
    pub definitions_added: u64,
    #[serde(default)]
    pub definitions_revised: u64,
    #[serde(default)]
    pub definitions_unchanged: u64,
    /// By a revert of the commit that defined them.
    #[serde(default)]
    pub definitions_removed: u64,
}

impl Counts {
    /// Whether the commit changed anything.
    pub fn any_change(&self) -> bool {
        let data = self.added + self.revised + self.withdrawn + self.backfilled;
        data + self.definitions_added + self.definitions_revised + self.definitions_removed > 0
    }
}

/// One atomic write of one author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub revision: Revision,
    /// When the writer made it. Never decreases from one revision to the next.
    pub recorded: Instant,
    pub author: String,
    pub cause: Cause,
    pub note: String,
    /// Release date of the figures or the edition; `None` for definitions.
    pub released: Option<Date>,
    /// SHA-256 of the document it was made from, in hex; empty if not given.
    pub document_sha256: String,
    pub counts: Counts,
    /// `None`: the client named none.
    pub request_id: Option<RequestId>,
}

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
    pub series: SeriesKey,
    pub period: Period,
    pub movement: FigureMovement,
    /// The version that answers at the previous revision; `None`: there was no figure.
    pub before: Option<FigureVersion>,
    /// The version that answers at this revision; `None`: there is no figure. It is not `recorded` if the commit
    /// backfilled a release older than the one that answers.
    pub after: Option<FigureVersion>,
    /// The version that this commit brought.
    pub recorded: FigureVersion,
}

/// How an entity moved between two tables.
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

/// What a table says about an entity that it does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Absence {
    /// Nothing: the table is partial, or withdrawn.
    Unknown,
    /// The table lists every rank down to this one, so the entity's rank is a higher number.
    WorseThan(u32),
    /// The entity has no rank: the table lists all that were ranked, or ranks entities of another kind.
    NotRanked,
}

/// The move of one entity between two tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryMove {
    pub entity: EntityId,
    pub movement: Movement,
    pub earlier: Option<Entry>,
    pub later: Option<Entry>,
    /// `Some` if there is an earlier table and it does not list the entity.
    pub earlier_absence: Option<Absence>,
    /// `Some` if the later table does not list the entity.
    pub later_absence: Option<Absence>,
}

impl EntryMove {
    /// Ranks gained (positive) or lost (negative); `None` unless both ranks are known.
    pub fn places(&self) -> Option<i32> {
        places(self.earlier.as_ref(), self.later.as_ref())
    }

    /// Whether both tables list the entity, under different published names.
    pub fn renamed(&self) -> bool {
        renamed(self.earlier.as_ref(), self.later.as_ref())
    }
}

/// A change of one entry of an edition, or of what an edition says about an entity that it does not list.
///
/// Its key is (ranking, edition, entity). `before` and `after` are the entries of that key at the previous revision and
/// at this one. The movement is between [`EntryChange::earlier`] and `after`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryChange {
    pub ranking: RankingId,
    pub edition: EditionId,
    /// The edition's source at this revision.
    pub source: Option<SourceId>,
    pub entity: EntityId,
    pub before: Option<Box<Entry>>,
    pub after: Option<Box<Entry>>,
    /// The edition that the movement is measured from: the previous one, or for a correction and a withdrawal this
    /// edition itself. `None`: the ranking has no earlier edition.
    pub compared_with: Option<EditionId>,
    /// The entity's entry in that edition. `None` also if the edition is compared with itself; then see `before`.
    pub compared: Option<Box<Entry>>,
    /// The source of the edition in `compared_with`; of this edition itself, the source at the previous revision.
    pub earlier_source: Option<SourceId>,
    pub movement: Movement,
    /// `Some` if there is an earlier table and it does not list the entity.
    pub earlier_absence: Option<Absence>,
    /// `Some` if there is no entry after the change.
    pub later_absence: Option<Absence>,
    /// Entries of the table that the movement is measured from.
    pub entries_before: u32,
    /// Entries of this edition after the change.
    pub entries_after: u32,
    /// Whether ranks of the two tables can be compared: one method, one basis.
    pub comparable: bool,
}

impl EntryChange {
    /// Whether the movement is from this edition's own state at the previous revision.
    pub fn is_of_one_edition(&self) -> bool {
        self.compared_with.as_ref() == Some(&self.edition)
    }

    /// The entry that the movement is measured from.
    pub fn earlier(&self) -> Option<&Entry> {
        if self.is_of_one_edition() { self.before.as_deref() } else { self.compared.as_deref() }
    }

    /// Ranks gained (positive) or lost (negative); `None` unless both ranks are known.
    pub fn places(&self) -> Option<i32> {
        places(self.earlier(), self.after.as_deref())
    }

    /// Whether both tables list the entity, under different published names.
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

/// A change of a definition.
///
/// Invariant: `before` or `after` is `Some`.
#[derive(Debug, Clone, PartialEq)]
pub struct DefinitionChange {
    /// The definition at the previous revision; `None`: it did not exist.
    pub before: Option<Box<Definition>>,
    /// The definition at this revision; `None`: the commit that brought it was reverted.
    pub after: Option<Box<Definition>>,
}

impl DefinitionChange {
    /// Kind and id. `None` only if the invariant is broken.
    pub fn name(&self) -> Option<(DefinitionKind, &str)> {
        let definition = self.after.as_deref().or(self.before.as_deref())?;
        Some((definition.kind(), definition.id()))
    }
}

/// One change of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Figure(Box<FigureChange>),
    Entry(Box<EntryChange>),
    /// An edition as a whole; its entries change by [`Change::Entry`].
    Edition {
        /// The version that answered at the previous revision; `None`: there was none.
        before: Option<Box<Edition>>,
        /// The version that answers now. Equal to `before` if the commit backfilled an older version.
        after: Box<Edition>,
        /// The older version that the commit backfilled.
        backfilled: Option<Box<Edition>>,
    },
    Definition(DefinitionChange),
}
