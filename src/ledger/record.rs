//! What a commit is made of, and the changes that subscribers see in it.
//!
//! A record says everything that the view needs to apply it and everything that the feed needs to tell it: what is, and
//! what was before. So history can be replayed without the view, and the view rebuilt from history.

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
    Series(SeriesKey, Vec<RecordedRow>),
    /// The commit is a whole release of an indicator by a source.
    FullRelease(IndicatorId, SourceId),
    /// A definition.
    Definition(Option<Box<Definition>>, Box<Definition>),
    /// An edition; its entries follow.
    Edition(Option<Box<Edition>>, Box<Edition>),
    /// A version of an edition that is older than the one that stands, filled in behind it; its entries follow.
    OlderEdition {
        /// What stands, before and after.
        standing: Box<Edition>,
        /// What is filled in.
        older: Box<Edition>,
    },
    /// An entry of the older version before it. Subscribers are told of the version, not of its entries.
    OlderEntry(Box<Entry>),
    /// A row of the edition before it. Without an entry after, the entity is not in the table.
    Entry(Box<EntryChange>),
    /// The commit takes these back, with all that they brought but figures: those it takes back by rows of its own.
    Reverted(BTreeSet<Revision>),
    /// A definition that reads otherwise because of that. It is no version of its own.
    RevertedDefinition(DefinitionChange),
    /// An edition of which another version stands because of that, or none any more; changes of its entries follow, for
    /// subscribers only. It is no version of its own.
    RevertedEdition {
        /// The version that stood.
        before: Option<Box<Edition>>,
        /// The version that stands now; a withdrawn one if none does.
        after: Box<Edition>,
    },
}

/// A version of a figure, and what it does.
///
/// Invariant: a commit that changes which version of a period answers has one row of that period with a movement, and its
/// `before` and `after` are those answers. Rows without a movement carry neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRow {
    /// The version.
    pub row: FigureVersion,
    /// What subscribers are told. `None`: nothing. The row confirms a figure for a later release, or keeps a figure in
    /// place when an older release is filled in behind it.
    pub movement: Option<FigureMovement>,
    /// The version that answers at the revision before.
    pub before: Option<FigureVersion>,
    /// The version that answers at the row's own revision.
    pub after: Option<FigureVersion>,
}

impl RecordedRow {
    /// A row that subscribers are not told of.
    pub fn silent(row: FigureVersion) -> Self {
        Self { row, movement: None, before: None, after: None }
    }

    /// A row that subscribers are told of, with the answers before and after its commit. `known` holds the rows of its
    /// period before the commit, `with` also those that the commit adds.
    pub fn told(row: FigureVersion, known: &[FigureVersion], with: &[FigureVersion]) -> Self {
        let always = Horizon::at(Revision::MAX);
        let before = state_at(known, always).cloned();
        let after = state_at(with, always).cloned();
        let movement =
            match (before.as_ref().and_then(FigureVersion::value), after.as_ref().and_then(FigureVersion::value)) {
                (before, after) if before == after => FigureMovement::Backfilled,
                (None, _) => FigureMovement::Added,
                (Some(_), None) => FigureMovement::Withdrawn,
                (Some(_), Some(_)) => FigureMovement::Revised,
            };
        Self { row, movement: Some(movement), before, after }
    }

    /// Length of the remarks it carries, each version counted once.
    pub fn remark_bytes(&self) -> usize {
        let after = self.after.as_ref().filter(|after| **after != self.row && self.after != self.before);
        let rows = [Some(&self.row), self.before.as_ref(), after];
        let values = rows.into_iter().flatten().filter_map(FigureVersion::value);
        values.filter_map(Value::notes).map(|notes| notes.comment.len()).sum()
    }
}

impl Record {
    /// The changes that subscribers see, in order.
    pub fn changes(&self) -> Vec<Change> {
        match self {
            Self::Series(key, rows) => {
                rows.iter().filter_map(|row| value_change(key, row)).map(Box::new).map(Change::Figure).collect()
            }
            Self::FullRelease(..) | Self::OlderEntry(_) | Self::Reverted(_) => Vec::new(),
            Self::Definition(before, after) => {
                vec![Change::Definition(DefinitionChange { before: before.clone(), after: Some(after.clone()) })]
            }
            Self::RevertedDefinition(change) => vec![Change::Definition(change.clone())],
            Self::Edition(before, after) | Self::RevertedEdition { before, after } => {
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
            Self::Series(_, rows) => rows.iter().filter(|row| row.movement.is_some()).count() as u64,
            Self::FullRelease(..) | Self::OlderEntry(_) | Self::Reverted(_) => 0,
            Self::Definition(..)
            | Self::Edition(..)
            | Self::OlderEdition { .. }
            | Self::Entry(..)
            | Self::RevertedDefinition(_)
            | Self::RevertedEdition { .. } => 1,
        }
    }
}

fn value_change(key: &SeriesKey, recorded: &RecordedRow) -> Option<FigureChange> {
    Some(FigureChange {
        series: key.clone(),
        period: recorded.row.period,
        movement: recorded.movement?,
        before: recorded.before.clone(),
        after: recorded.after.clone(),
        recorded: recorded.row.clone(),
    })
}
