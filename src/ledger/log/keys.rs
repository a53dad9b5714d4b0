//! The keys of the ledger in the store. `docs/dev/store-format.md` describes them.
//!
//! Invariant: revisions and page numbers are big-endian, so the order of keys is the order of commits and of their pages.

use crate::{
    model::id::{RequestId, Revision},
    store::{StoreError, error::Result},
};

/// First byte of the keys of pages.
pub(in crate::ledger) const PAGES: u8 = b'L';
/// First byte of the keys of headers.
pub(in crate::ledger) const HEADERS: u8 = b'H';
const RECEIPTS: u8 = b'Q';
pub(in crate::ledger) const HISTORY_KEY: &[u8] = b"Mhistory";
pub(in crate::ledger) const FLOOR_KEY: &[u8] = b"Mfloor";

/// The key of the bundle whose first page has this number.
pub(in crate::ledger) fn page_key(revision: Revision, page: u32) -> Vec<u8> {
    [&[PAGES][..], &revision.0.to_be_bytes(), &page.to_be_bytes()].concat()
}

pub(in crate::ledger) fn header_key(revision: Revision) -> Vec<u8> {
    [&[HEADERS][..], &revision.0.to_be_bytes()].concat()
}

pub(in crate::ledger) fn receipt_key(request: &RequestId) -> Vec<u8> {
    [&[RECEIPTS][..], request.as_str().as_bytes(), &[0]].concat()
}

/// The revision in the key of a header.
pub(in crate::ledger) fn revision_of(key: &[u8]) -> Result<Revision> {
    match key.get(1..9).and_then(|bytes| bytes.first_chunk()) {
        Some(bytes) => Ok(Revision(u64::from_be_bytes(*bytes))),
        None => Err(StoreError::corrupt("a header key that is too short")),
    }
}
