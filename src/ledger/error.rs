//! Errors of using a ledger, beside those of the store that it lives in.

use crate::{model::id::Revision, store::StoreError};

/// Why the ledger cannot give what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Compaction dropped pages that are needed.
    #[error(
        "the ledger was compacted: commits before revision {floor} have no pages any more, and a backup needs all; stop the server and copy its folder"
    )]
    Compacted {
        /// The oldest revision that still has its pages.
        floor: Revision,
    },
    /// The store that holds the ledger failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
