//! The records of the commit that is being made, kept for its application: they need not be read back from the ledger.
//!
//! Invariant: what is staged are whole pages, the first ones of the commit, as they are in the ledger. Their memory is bounded
//! by [`STAGED_BYTES_MAX`] and one page; what comes after them is applied from the ledger.

use super::record::{Record, RecordedVersion};
use crate::{model::series::SeriesKey, store::series::NewBlock};

/// Most bytes of staged records. The new series of a database of 15 million figures take less.
const STAGED_BYTES_MAX: usize = 128 << 20;

/// A part of a commit, as the view takes it.
#[derive(Debug)]
pub enum StagedRecord {
    Record(Record),
    /// All versions of a series that has none yet.
    NewSeries(SeriesKey, NewBlock),
}

impl StagedRecord {
    /// About how many bytes of memory it takes. `encoded` is how many it takes in its page.
    fn bytes(&self, encoded: usize) -> usize {
        size_of::<Self>()
            + match self {
                Self::Record(Record::Series(_, versions)) => {
                    versions.len() * size_of::<RecordedVersion>() + 2 * encoded
                }
                // Texts and lists of a few dozen bytes each, with their names when packed.
                Self::Record(_) => 3 * encoded,
                Self::NewSeries(..) => encoded,
            }
    }
}

/// The first pages of a commit, decoded.
#[derive(Debug)]
pub struct StagedPages {
    pages: Vec<Vec<StagedRecord>>,
    open: Vec<StagedRecord>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for StagedPages {
    fn default() -> Self {
        Self::with_bytes_max(STAGED_BYTES_MAX)
    }
}

impl StagedPages {
    /// Nothing yet, and no page after the one that brings it above so many bytes.
    pub(super) fn with_bytes_max(bytes_max: usize) -> Self {
        Self { pages: Vec::new(), open: Vec::new(), bytes: 0, bytes_max }
    }

    fn is_full(&self) -> bool {
        self.open.is_empty() && self.bytes > self.bytes_max
    }

    /// Adds a record to the open page. `encoded` is how many bytes it takes there.
    pub(super) fn add(&mut self, record: StagedRecord, encoded: usize) {
        if !self.is_full() {
            self.bytes += record.bytes(encoded);
            self.open.push(record);
        }
    }

    /// Closes the open page.
    pub(super) fn close_page(&mut self) {
        if !self.is_full() {
            self.pages.push(std::mem::take(&mut self.open));
        }
    }

    /// The pages, in order.
    pub(super) fn into_pages(self) -> Vec<Vec<StagedRecord>> {
        self.pages
    }
}
