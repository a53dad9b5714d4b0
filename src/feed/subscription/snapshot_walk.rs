//! Reads the state that comes first in a stream, page by page.

use crate::{
    feed::{
        FeedError,
        filter::Filters,
        hub::Hub,
        page::{SnapshotPage, SnapshotRow},
        weight,
    },
    model::id::Revision,
    query::{
        Snapshot,
        state::{StatePosition, StateRow},
    },
};

/// A walk through the state of one revision.
#[derive(Debug)]
pub(super) struct SnapshotWalk {
    snapshot: Snapshot,
    position: StatePosition,
    /// Pages and rows that the walk returned.
    pages: u32,
    rows: u64,
}

impl SnapshotWalk {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, position: StatePosition::Definitions, pages: 0, rows: 0 }
    }

    pub(super) fn revision(&self) -> Revision {
        self.snapshot.revision()
    }

    /// Rows that the walk returned.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.position, StatePosition::End)
    }

    /// Reads on and returns pages of the rows that match; none if nothing does.
    pub(super) async fn read(&mut self, hub: &Hub, filters: &Filters) -> Result<Vec<SnapshotPage>, FeedError> {
        let snapshot = self.snapshot.clone();
        let position = self.position.clone();
        let (rows, position) = hub.read(move |_| snapshot.read_state(position)).await?;
        self.position = position;
        Ok(self.cut(rows, filters))
    }

    fn cut(&mut self, rows: Vec<StateRow>, filters: &Filters) -> Vec<SnapshotPage> {
        let mut pages = Vec::new();
        let mut page = Vec::new();
        let mut page_weight = 0;
        for row in rows {
            let Some(filters) = filters.match_state(&row) else { continue };
            self.rows += 1;
            page_weight += weight::of_row(&row);
            page.push(SnapshotRow { row, filters });
            if page_weight >= weight::PAGE_BYTES {
                pages.push(self.page(std::mem::take(&mut page)));
                page_weight = 0;
            }
        }
        if !page.is_empty() {
            pages.push(self.page(page));
        }
        pages
    }

    fn page(&mut self, rows: Vec<SnapshotRow>) -> SnapshotPage {
        let page = self.pages;
        self.pages += 1;
        SnapshotPage { revision: self.revision(), page, rows }
    }
}
