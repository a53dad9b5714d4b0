//! What a commit is made of, and the changes that subscribers see in it.
//!
//! A record says everything that the view needs to apply it and everything that the feed needs to tell it: what is, and
//! what was before. So history can be replayed without the view, and the view rebuilt from history.

use crate::model::{
    catalog::Definition,
    change::{Change, EntryChange, ValueChange, ValueMove},
    edition::Edition,
    id::{IndicatorId, SourceId},
    series::{Row, SeriesKey},
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
    /// A row of the edition before it. Without an entry after, the entity is not in the table.
    Entry(Box<EntryChange>),
}

/// A version of a figure, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRow {
    /// The version.
    pub row: Row,
    /// What subscribers are told. `None`: nothing, it only keeps what was already so true (a figure confirmed by a later
    /// release, or held in place when an older release was filled in before it).
    pub movement: Option<ValueMove>,
    /// What was current before; only with a movement.
    pub before: Option<Value>,
}

impl RecordedRow {
    /// Length of the remarks it carries, before and after.
    pub fn remark_bytes(&self) -> usize {
        let values = [self.row.value.as_ref(), self.before.as_ref()];
        values.into_iter().flatten().filter_map(Value::notes).map(|notes| notes.comment.len()).sum()
    }
}

impl Record {
    /// The changes that subscribers see, in order.
    pub fn changes(&self) -> Vec<Change> {
        match self {
            Self::Series(key, rows) => {
                rows.iter().filter_map(|row| value_change(key, row)).map(Change::Value).collect()
            }
            Self::FullRelease(..) => Vec::new(),
            Self::Definition(before, after) => vec![Change::Definition(before.clone(), after.clone())],
            Self::Edition(before, after) => vec![Change::Edition(before.clone(), after.clone())],
            Self::Entry(change) => vec![Change::Entry(change.clone())],
        }
    }

    /// How many changes subscribers see.
    pub fn change_count(&self) -> u64 {
        match self {
            Self::Series(_, rows) => rows.iter().filter(|row| row.movement.is_some()).count() as u64,
            Self::FullRelease(..) => 0,
            Self::Definition(..) | Self::Edition(..) | Self::Entry(..) => 1,
        }
    }
}

fn value_change(key: &SeriesKey, recorded: &RecordedRow) -> Option<ValueChange> {
    let movement = recorded.movement?;
    let row = &recorded.row;
    let (after, backfilled) = match movement {
        ValueMove::Backfilled => (recorded.before.clone(), row.value.clone()),
        _ => (row.value.clone(), None),
    };
    Some(ValueChange {
        series: key.clone(),
        period: row.period,
        movement,
        before: recorded.before.clone(),
        after,
        released: row.released,
        backfilled,
    })
}
