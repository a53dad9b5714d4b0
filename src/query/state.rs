//! Everything that is current at a point of history, page by page, for the feed.
//!
//! Order: definitions, then editions with their entries, then figures. The state of a revision does not change, so it is
//! read in pieces without holding anything.

use std::sync::Arc;

use super::{QueryError, Snapshot, figures::Observation};
use crate::{
    model::{
        catalog::{Definition, DefinitionKind},
        edition::{Edition, EditionStatus, Entry},
    },
    store::series::{SeriesIds, SeriesScope},
};

/// One thing that is current.
#[derive(Debug, Clone)]
pub enum StateRow {
    /// A definition.
    Definition(Arc<Definition>),
    /// An edition that stands.
    Edition(Arc<Edition>),
    /// An entry of it.
    Entry(Arc<Edition>, Box<Entry>),
    /// A figure.
    Figure(Box<Observation>),
}

/// How far the state was read.
#[derive(Debug, Clone)]
pub enum StatePosition {
    /// Definitions are next.
    Definitions,
    /// Editions from this one on are next.
    Editions(usize),
    /// Series after this one are next.
    Series(Option<SeriesIds>),
    /// All was read.
    End,
}

/// Most rows read at once, give or take one edition or series.
const STATE_ROWS_MAX: usize = 1_000;

impl Snapshot {
    /// Reads on in the state.
    pub fn read_state(&self, cursor: StatePosition) -> Result<(Vec<StateRow>, StatePosition), QueryError> {
        match cursor {
            StatePosition::Definitions => {
                let rows = DefinitionKind::ALL
                    .into_iter()
                    .flat_map(|kind| self.catalog.definitions(kind, "", self.revision()));
                Ok((rows.cloned().map(StateRow::Definition).collect(), StatePosition::Editions(0)))
            }
            StatePosition::Editions(from) => self.read_editions(from),
            StatePosition::Series(after) => self.read_series(after),
            StatePosition::End => Ok((Vec::new(), StatePosition::End)),
        }
    }

    fn read_editions(&self, from: usize) -> Result<(Vec<StateRow>, StatePosition), QueryError> {
        let mut rows = Vec::new();
        let standing =
            self.catalog.all_editions(self.horizon).filter(|edition| edition.status != EditionStatus::Withdrawn);
        for (at, edition) in standing.enumerate().skip(from) {
            if rows.len() >= STATE_ROWS_MAX {
                return Ok((rows, StatePosition::Editions(at)));
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
            for row in self.current_versions(&versions) {
                rows.push(StateRow::Figure(Box::new(self.observation(key.clone(), row)?)));
            }
            if rows.len() >= STATE_ROWS_MAX {
                return Ok((rows, StatePosition::Series(Some(ids))));
            }
        }
        Ok((rows, StatePosition::End))
    }
}
