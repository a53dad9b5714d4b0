//! Records: the parts of a commit, and the changes that subscribers see in them.
//!
//! Invariant: a record has everything that the view needs to apply it, and everything that the feed needs to send it: the
//! state after and the state before. So the feed replays history without the view, and the view can be rebuilt from history.

use std::collections::BTreeSet;

use crate::model::{
    catalog::Definition,
    change::{Change, DefinitionChange, EntryChange, FigureChange, FigureMovement},
    edition::{Edition, Entry},
    id::{IndicatorId, Revision, SourceId},
    series::{FigureVersion, Horizon, SeriesKey, state_at},
    value::Value,
};

/// A part of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Versions of figures of one series.
    Series(SeriesKey, Vec<RecordedVersion>),
    /// The commit is a whole release of an indicator by a source: figures that it does not name are withdrawn.
    FullRelease(IndicatorId, SourceId),
    Definition {
        before: Option<Box<Definition>>,
        after: Box<Definition>,
    },
    /// An edition; changes of its entries follow.
    Edition {
        /// The version that stood.
        before: Option<Box<Edition>>,
        after: Box<Edition>,
    },
    /// A version of an edition that is older than the one that stands (backfilled); its entries follow.
    OlderEdition {
        /// The version that stands before and after.
        standing: Box<Edition>,
        /// The version that is filled in.
        older: Box<Edition>,
    },
    /// An entry of the [`Record::OlderEdition`] before it. Subscribers hear of the version, not of its entries.
    OlderEntry(Box<Entry>),
    /// A change of an entry of the edition before it. Without an entry after, the entity is not in the table.
    Entry(Box<EntryChange>),
    /// The commit takes these commits back. Their definitions and editions go with this record alone; their figures go by
    /// versions of this commit.
    Reverted(BTreeSet<Revision>),
    /// A definition that is different because of the revert. It is no version of its own.
    RevertedDefinition(DefinitionChange),
    /// An edition of which another version stands because of the revert, or none. Changes of its entries follow, for
    /// subscribers only. It is no version of its own.
    RevertedEdition {
        /// The version that stood.
        before: Option<Box<Edition>>,
        /// The version that stands now; a withdrawn one if none does.
        after: Box<Edition>,
    },
}

/// A version of a figure, and the change that subscribers see.
///
/// Invariant: a commit that changes which version of a period answers has exactly one version of that period with a movement, and
/// its `before` and `after` are those answers. Versions without a movement carry neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedVersion {
    pub version: FigureVersion,
    /// The change that subscribers see. `None`: no change. The version confirms a figure for a later release, or keeps a figure
    /// in place when an older release is backfilled.
    pub movement: Option<FigureMovement>,
    /// The version that answers at the revision before.
    pub before: Option<FigureVersion>,
    /// The version that answers at the revision of this one.
    pub after: Option<FigureVersion>,
}

impl RecordedVersion {
    /// A version that subscribers do not see.
    pub fn silent(version: FigureVersion) -> Self {
        Self { version, movement: None, before: None, after: None }
    }

    /// A version that subscribers see, with the answers before and after its commit. `old_versions` are the versions of its period
    /// before the commit, `new_versions` these and all that the commit adds.
    pub fn visible(version: FigureVersion, old_versions: &[FigureVersion], new_versions: &[FigureVersion]) -> Self {
        let newest = Horizon::at(Revision::MAX);
        let before = state_at(old_versions, newest).cloned();
        let after = state_at(new_versions, newest).cloned();
        let value_before = before.as_ref().and_then(FigureVersion::value);
        let value_after = after.as_ref().and_then(FigureVersion::value);
        let movement = match (value_before, value_after) {
            (before, after) if before == after => FigureMovement::Backfilled,
            (None, _) => FigureMovement::Added,
            (Some(_), None) => FigureMovement::Withdrawn,
            (Some(_), Some(_)) => FigureMovement::Revised,
        };
        Self { version, movement: Some(movement), before, after }
    }

    /// Bytes of the comments in the version, each version counted once: a page stores equal versions once.
    pub fn comment_bytes(&self) -> usize {
        let mut bytes = comment_bytes(&self.version);
        if let Some(before) = &self.before {
            bytes += comment_bytes(before);
        }
        if let Some(after) = &self.after
            && *after != self.version
            && self.after != self.before
        {
            bytes += comment_bytes(after);
        }
        bytes
    }
}

fn comment_bytes(version: &FigureVersion) -> usize {
    version.value().and_then(Value::notes).map_or(0, |notes| notes.comment.len())
}

impl Record {
    /// The changes that subscribers see, in order.
    pub fn changes(&self) -> Vec<Change> {
        match self {
            Self::Series(key, versions) => {
                let changes = versions.iter().filter_map(|version| value_change(key, version));
                changes.map(|change| Change::Figure(Box::new(change))).collect()
            }
            Self::FullRelease(..) | Self::OlderEntry(_) | Self::Reverted(_) => Vec::new(),
            Self::Definition { before, after } => {
                vec![Change::Definition(DefinitionChange { before: before.clone(), after: Some(after.clone()) })]
            }
            Self::RevertedDefinition(change) => vec![Change::Definition(change.clone())],
            Self::Edition { before, after } | Self::RevertedEdition { before, after } => {
                vec![Change::Edition { before: before.clone(), after: after.clone(), backfilled: None }]
            }
            Self::OlderEdition { standing, older } => vec![Change::Edition {
                before: Some(standing.clone()),
                after: standing.clone(),
                backfilled: Some(older.clone()),
            }],
            Self::Entry(change) => vec![Change::Entry(change.clone())],
        }
    }

    /// How many changes subscribers see.
    pub fn change_count(&self) -> u64 {
        match self {
            Self::Series(_, versions) => versions.iter().filter(|version| version.movement.is_some()).count() as u64,
            Self::FullRelease(..) | Self::OlderEntry(_) | Self::Reverted(_) => 0,
            Self::Definition { .. }
            | Self::Edition { .. }
            | Self::OlderEdition { .. }
            | Self::Entry(..)
            | Self::RevertedDefinition(_)
            | Self::RevertedEdition { .. } => 1,
        }
    }
}

fn value_change(key: &SeriesKey, recorded: &RecordedVersion) -> Option<FigureChange> {
    Some(FigureChange {
        series: key.clone(),
        period: recorded.version.period,
        movement: recorded.movement?,
        before: recorded.before.clone(),
        after: recorded.after.clone(),
        recorded: recorded.version.clone(),
    })
}
