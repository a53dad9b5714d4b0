//! Where the records of a plan go: into pages of the ledger, or into a list of changes.
//!
//! Invariant: memory is bounded, however many records a plan has. Pages go to the ledger as they fill; the feed's copy and
//! the list for `validate_only` have a bound each.

use std::sync::Arc;

use crate::{
    ledger::{
        Ledger,
        page::{LedgerPage, PAGE_BYTES, PageEncoder},
        record::{Record, RecordedVersion},
    },
    model::{change::Change, series::SeriesKey},
    store::StoreError,
};

/// Most changes that `validate_only` lists.
pub const DIFFERENCE_CHANGES_MAX: usize = 20_000;
/// A commit of up to so many pages goes to the feed decoded, so that live subscribers need not read it back.
const DECODED_PAGES_MAX: usize = 256;

/// Takes the records of a plan.
#[derive(Debug)]
pub struct Sink<'a> {
    /// `None`: nothing is written, changes are listed.
    ledger: Option<&'a Ledger>,
    encoder: PageEncoder,
    /// The page that `encoder` builds, decoded; empty where nobody needs it.
    page: LedgerPage,
    /// Pages appended to the ledger so far.
    pub pages: u32,
    /// Changes that subscribers see, so far.
    pub changes: u64,
    /// The pages decoded. `None`: there are more than [`DECODED_PAGES_MAX`], or nothing is written.
    pub decoded: Option<Vec<Arc<LedgerPage>>>,
    /// The numbered changes, at most [`DIFFERENCE_CHANGES_MAX`]; empty if the sink writes.
    pub difference: Vec<(u64, Change)>,
}

impl<'a> Sink<'a> {
    /// A sink that appends pages to the ledger.
    pub fn to_ledger(ledger: &'a Ledger) -> Self {
        Self { ledger: Some(ledger), decoded: Some(Vec::new()), ..Self::to_list() }
    }

    /// A sink that lists changes.
    pub fn to_list() -> Self {
        Self {
            ledger: None,
            encoder: PageEncoder::default(),
            page: LedgerPage { first_change: 0, records: Vec::new() },
            pages: 0,
            changes: 0,
            decoded: None,
            difference: Vec::new(),
        }
    }

    pub(in crate::ledger) fn add(&mut self, record: Record) -> Result<(), StoreError> {
        match record {
            Record::Series(key, versions) => self.add_series(&key, versions),
            record => self.add_whole(record),
        }
    }

    /// Closes the last page.
    pub(in crate::ledger) fn finish(&mut self) -> Result<(), StoreError> {
        if self.encoder.is_empty() { Ok(()) } else { self.close_page() }
    }

    /// Adds the versions of a series, which may go on over several pages.
    fn add_series(&mut self, key: &SeriesKey, versions: Vec<RecordedVersion>) -> Result<(), StoreError> {
        let mut rest = versions.into_iter().peekable();
        while rest.peek().is_some() {
            if self.encoder.is_full() {
                self.close_page()?;
            }
            let room = self.encoder.room();
            let mut part = Vec::new();
            // A figure takes a few bytes; only its comment may be long.
            let mut comment_bytes = 0;
            while part.len() < room && comment_bytes < PAGE_BYTES {
                let Some(version) = rest.next() else { break };
                comment_bytes += version.comment_bytes();
                part.push(version);
            }
            self.add_whole(Record::Series(key.clone(), part))?;
        }
        Ok(())
    }

    fn add_whole(&mut self, record: Record) -> Result<(), StoreError> {
        if self.encoder.is_full() {
            self.close_page()?;
        }
        if self.ledger.is_some() {
            self.encoder.add(&record)?;
        } else {
            let room = DIFFERENCE_CHANGES_MAX.saturating_sub(self.difference.len());
            let numbered = (self.changes..).zip(record.changes());
            self.difference.extend(numbered.take(room));
        }
        self.changes += record.change_count();
        if self.decoded.is_some() {
            self.page.records.push(record);
        }
        Ok(())
    }

    fn close_page(&mut self) -> Result<(), StoreError> {
        let Some(ledger) = self.ledger else { return Ok(()) };
        ledger.append(self.pages, self.encoder.finish())?;
        self.pages += 1;
        if let Some(decoded) = &mut self.decoded {
            let next = LedgerPage { first_change: self.changes, records: Vec::new() };
            decoded.push(Arc::new(std::mem::replace(&mut self.page, next)));
            if decoded.len() > DECODED_PAGES_MAX {
                self.decoded = None;
            }
        }
        Ok(())
    }
}
