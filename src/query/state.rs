//! Everything that is current at a point of history, piece by piece, for the feed.
//!
//! The order is: definitions, then editions with their entries, then figures. The state of a revision never changes, so a
//! reader needs to hold nothing between two pieces.

use std::sync::Arc;

use super::{QueryError, Snapshot, figures::Observation};
use crate::{
    model::{
        catalog::{Definition, DefinitionKind},
        edition::{Edition, Entry},
    },
    store::series::{SeriesIds, SeriesScope},
};

/// One row of the state, as the contract calls it.
#[derive(Debug, Clone)]
pub enum StateRow {
    Definition(Arc<Definition>),
    /// An edition that is not withdrawn. Its entries follow it.
    Edition(Arc<Edition>),
    Entry(Arc<Edition>, Box<Entry>),
    Figure(Box<Observation>),
}

/// Where a read of the state goes on.
#[derive(Debug, Clone)]
pub enum StatePosition {
    /// At the start, which are the definitions.
    Definitions,
    /// At the edition of this number.
    Editions(usize),
    /// At the series after this one; `None`: at the first.
    Series(Option<SeriesIds>),
    /// Everything was read.
    End,
}

/// A piece ends with the edition or the series that reaches so many rows. Definitions are one piece.
const STATE_ROWS_MAX: usize = 1_000;

impl Snapshot {
    /// Reads the next piece of the state. Returns its rows, which may be none, and the position after it.
    pub fn read_state(&self, position: StatePosition) -> Result<(Vec<StateRow>, StatePosition), QueryError> {
        match position {
            StatePosition::Definitions => Ok((self.definition_rows(), StatePosition::Editions(0))),
            StatePosition::Editions(from) => self.read_editions(from),
            StatePosition::Series(after) => self.read_series(after),
            StatePosition::End => Ok((Vec::new(), StatePosition::End)),
        }
    }

    fn definition_rows(&self) -> Vec<StateRow> {
        let mut rows = Vec::new();
        for kind in DefinitionKind::ALL {
            let definitions = self.catalog.definitions(kind, "", self.revision());
            rows.extend(definitions.cloned().map(StateRow::Definition));
        }
        rows
    }

    fn read_editions(&self, from: usize) -> Result<(Vec<StateRow>, StatePosition), QueryError> {
        let mut rows = Vec::new();
        let standing = self.catalog.all_editions(self.horizon).filter(|edition| edition.stands());
        for (number, edition) in standing.enumerate().skip(from) {
            if rows.len() >= STATE_ROWS_MAX {
                return Ok((rows, StatePosition::Editions(number)));
            }
            let table = self.view().table(edition)?;
            rows.push(StateRow::Edition(edition.clone()));
            rows.extend(table.entries.iter().map(|entry| StateRow::Entry(edition.clone(), Box::new(entry.clone()))));
        }
        Ok((rows, StatePosition::Series(None)))
    }

    fn read_series(&self, after: Option<SeriesIds>) -> Result<(Vec<StateRow>, StatePosition), QueryError> {
        let mut rows = Vec::new();
        for item in self.view().scan_series(SeriesScope::All, after) {
            let (ids, versions) = item?;
            if Some(ids) == after {
                continue;
            }
            let key = self.view().series_key(ids)?;
            for version in self.current_versions(&versions) {
                rows.push(StateRow::Figure(Box::new(self.observation(key.clone(), version)?)));
            }
            if rows.len() >= STATE_ROWS_MAX {
                return Ok((rows, StatePosition::Series(Some(ids))));
            }
        }
        Ok((rows, StatePosition::End))
    }
}
