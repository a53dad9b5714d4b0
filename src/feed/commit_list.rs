//! The commits that a stream would send, as a list that clients read page by page.
//!
//! Invariant: a page of the list is bounded by commits read, pages and bytes, whatever the filters match.

use super::{FeedError, commit_walk::CommitWalk, group::Group, hub::Hub, page::CommitPage, token::Position};
use crate::model::id::Revision;

/// Most commits that one page of the list looks at, so that a filter that matches nothing still gets an answer.
const LIST_COMMITS_MAX: u64 = 1_000;
/// Most pages of commits on one page of the list.
const LIST_PAGES_MAX: usize = 64;
/// A page of the list is closed at about so many bytes: an answer stays near 1 MiB.
const LIST_BYTES: usize = 1 << 20;

/// How much of a commit the earlier pages of a list held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitOffset {
    /// Pages of the commit.
    pub pages: u32,
    /// The ledger page that the list goes on in. Those before it are not read again, so that the cost of a long commit
    /// grows with its length, and not with the square.
    pub ledger_page: u32,
    /// Matching changes of that ledger page.
    pub changes: usize,
}

/// A page of the list of commits.
#[derive(Debug)]
pub struct CommitList {
    /// Pages of commits, in order.
    pub pages: Vec<CommitPage>,
    /// After the last commit that the list is done with.
    pub position: Position,
    /// Where the next page of the list goes on in the commit after `position`.
    pub offset: CommitOffset,
    /// More commits follow, up to head.
    pub more: bool,
    /// The newest revision.
    pub head: Revision,
}

/// Lists the commits after a position that match a group, at most `changes_max` changes of them.
///
/// Position and offset may come from a client: [`FeedError::NoSuchPosition`] if no earlier page of a list can have
/// named them, [`FeedError::BelowFloor`] if the commit cannot be replayed any more.
pub async fn list(
    hub: &Hub,
    group: &Group,
    from: Position,
    offset: CommitOffset,
    changes_max: usize,
) -> Result<CommitList, FeedError> {
    let head = hub.reader().head();
    let floor = hub.reader().ledger().floor();
    if from.revision.next() < floor {
        return Err(FeedError::BelowFloor { asked: from.revision.next(), floor });
    }
    if from.last_match > from.revision || (offset != CommitOffset::default() && from.revision >= head) {
        return Err(FeedError::NoSuchPosition);
    }
    let list = CommitList { pages: Vec::new(), position: from, offset, more: false, head };
    let mut builder = ListBuilder { list, changes: 0, changes_max, commits: 0, bytes: 0 };
    while builder.list.position.revision < head {
        builder.add_commit(hub, group).await?;
        if builder.list.more || builder.is_full() || builder.commits >= LIST_COMMITS_MAX {
            break;
        }
    }
    Ok(builder.list)
}

/// A page of the list that is being filled.
struct ListBuilder {
    list: CommitList,
    changes: usize,
    changes_max: usize,
    /// Commits looked at.
    commits: u64,
    bytes: usize,
}

impl ListBuilder {
    fn is_full(&self) -> bool {
        self.changes >= self.changes_max || self.bytes >= LIST_BYTES || self.list.pages.len() >= LIST_PAGES_MAX
    }

    /// Adds the commit after the list's position, or as much of it as fits.
    async fn add_commit(&mut self, hub: &Hub, group: &Group) -> Result<(), FeedError> {
        let start = self.list.offset;
        let mut walk = CommitWalk::from_ledger_page(hub, self.list.position, start.ledger_page).await?;
        if start != CommitOffset::default() && start.ledger_page >= walk.ledger_pages() {
            return Err(FeedError::NoSuchPosition);
        }
        let mut to_skip = start.changes;
        while let Some(mut page) = walk.next(hub, group).await? {
            if let Some(changes) = &mut page.changes {
                let skipped = to_skip.min(changes.len());
                to_skip -= skipped;
                changes.drop_first(skipped);
                if changes.is_empty() {
                    continue;
                }
            }
            let last = self.add_page(page);
            if !last && self.is_full() {
                self.list.more = true;
                return Ok(());
            }
        }
        if to_skip > 0 {
            return Err(FeedError::NoSuchPosition);
        }
        let revision = walk.revision();
        let last_match = if walk.pages() > 0 { revision } else { self.list.position.last_match };
        self.list.position = Position { revision, last_match };
        self.list.offset = CommitOffset::default();
        self.commits += 1;
        self.list.more = revision < self.list.head && (self.is_full() || self.commits >= LIST_COMMITS_MAX);
        Ok(())
    }

    /// Adds a page of a commit, cut to what fits: the pages of the list need not be those of the stream. Returns
    /// whether the commit is complete with it.
    fn add_page(&mut self, mut page: CommitPage) -> bool {
        let offset = &mut self.list.offset;
        if let Some(changes) = &mut page.changes {
            let room = self.changes_max.saturating_sub(self.changes);
            let fits = changes.len() <= room;
            page.last &= fits;
            changes.keep_first(room);
            self.changes += changes.len();
            self.bytes += changes.weight();
            // The offset counts what was skipped already.
            offset.changes = offset.changes.saturating_add(changes.len());
            if let Some(next) = page.next_ledger_page.filter(|_| fits) {
                offset.ledger_page = next;
                offset.changes = 0;
            }
        }
        page.page = offset.pages;
        offset.pages = offset.pages.saturating_add(1);
        let last = page.last;
        self.list.pages.push(page);
        last
    }
}
