//! Where the records of a plan go: into pages of the ledger, or into a list of changes.
//!
//! Invariant: memory is bounded, however many records a plan has. Pages go to the ledger as they fill; the feed's copy and
//! the list for `validate_only` have a bound each.

use crate::{
    ledger::{
        Ledger,
        page::{LedgerPage, PAGE_BYTES, PageEncoder},
        record::{Record, RecordedVersion},
        staged::{StagedPages, StagedRecord},
    },
    model::{change::Change, series::SeriesKey},
    store::{StoreError, series::NewBlock},
};

/// Most changes that `validate_only` lists.
pub const DIFFERENCE_CHANGES_MAX: usize = 20_000;
/// The pages of a commit of up to so many go to the feed, so that live subscribers need not read them back.
const FEED_PAGES_MAX: usize = 256;

/// Takes the records of a plan.
#[derive(Debug)]
pub struct Sink<'a> {
    /// `None`: nothing is written, changes are listed.
    ledger: Option<&'a Ledger>,
    encoder: PageEncoder,
    /// Pages appended to the ledger so far.
    pub pages: u32,
    /// Changes that subscribers see, so far.
    pub changes: u64,
    /// What the view takes of the commit; empty if nothing is written.
    pub staged: StagedPages,
    /// The pages for the feed. `None`: there are more than [`FEED_PAGES_MAX`], or nothing is written.
    pub for_feed: Option<Vec<Vec<u8>>>,
    /// The numbered changes, at most [`DIFFERENCE_CHANGES_MAX`]; empty if the sink writes.
    pub difference: Vec<(u64, Change)>,
}

impl<'a> Sink<'a> {
    /// A sink that appends pages to the ledger.
    pub fn to_ledger(ledger: &'a Ledger) -> Self {
        Self { ledger: Some(ledger), for_feed: Some(Vec::new()), ..Self::to_list() }
    }

    /// A sink that lists changes.
    pub fn to_list() -> Self {
        Self {
            ledger: None,
            encoder: PageEncoder::default(),
            pages: 0,
            changes: 0,
            staged: StagedPages::default(),
            for_feed: None,
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

    /// Adds all versions of a new series: `count` of them, which all go into one page.
    pub(in crate::ledger) fn add_new_series(
        &mut self,
        key: SeriesKey,
        block: NewBlock,
        count: usize,
    ) -> Result<(), StoreError> {
        if self.ledger.is_none() {
            let page = PageEncoder::of_new_series(&key, block.versions(), count);
            return LedgerPage::decode(&page)?.records.into_iter().try_for_each(|record| self.add_whole(record));
        }
        if self.encoder.is_full() || self.encoder.room() < count {
            self.close_page()?;
        }
        let before = self.encoder.bytes();
        self.encoder.add_new_series(&key, block.versions(), count);
        self.changes += count as u64;
        self.staged.add(StagedRecord::NewSeries(key, block), self.encoder.bytes() - before);
        Ok(())
    }

    fn add_whole(&mut self, record: Record) -> Result<(), StoreError> {
        if self.encoder.is_full() {
            self.close_page()?;
        }
        let changes = record.change_count();
        if self.ledger.is_some() {
            let before = self.encoder.bytes();
            self.encoder.add(&record)?;
            self.staged.add(StagedRecord::Record(record), self.encoder.bytes() - before);
        } else {
            let room = DIFFERENCE_CHANGES_MAX.saturating_sub(self.difference.len());
            let numbered = (self.changes..).zip(record.changes());
            self.difference.extend(numbered.take(room));
        }
        self.changes += changes;
        Ok(())
    }

    fn close_page(&mut self) -> Result<(), StoreError> {
        let Some(ledger) = self.ledger else { return Ok(()) };
        let page = self.encoder.finish();
        self.staged.close_page();
        if let Some(for_feed) = &mut self.for_feed {
            for_feed.push(page.clone());
            if for_feed.len() > FEED_PAGES_MAX {
                self.for_feed = None;
            }
        }
        ledger.append(self.pages, page)?;
        self.pages += 1;
        Ok(())
    }
}
