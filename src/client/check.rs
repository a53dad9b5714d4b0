//! Checks a stream against the promises of the feed, message by message.
//!
//! Invariant: what passed the check is in order, comes once, and follows everything before it.

use std::collections::BTreeSet;

use crate::{convert::digest::Version, proto};

/// The version of the digest that a follower asks for.
const DIGEST: Version = Version::Rows;

/// The server broke a promise of the feed. What the follower yielded before holds. Begin again with the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server broke the promise `{promise}`: {detail}")]
pub struct BrokenPromise {
    /// Name of the promise, as in the contract: `Ordered`, `Unique`, `Chained` and so on.
    pub promise: &'static str,
    /// What the server sent, and what it had to send.
    pub detail: String,
}

fn broken<T>(promise: &'static str, detail: String) -> Result<T, BrokenPromise> {
    Err(BrokenPromise { promise, detail })
}

/// What a follower knows of its streams.
#[derive(Debug)]
pub(super) struct Check {
    /// A stream was open before.
    connected: bool,
    /// Everything at or below this revision has come.
    position: u64,
    /// Revision of the last complete commit, 0 if none came. `None` after a start with a token: then the commits before the
    /// token are not known here.
    last_commit: Option<u64>,
    /// The commit of which the last page has not come.
    open: Option<OpenCommit>,
    /// Number of rows of the state so far.
    rows: u64,
    /// Digest of these rows.
    digest: u64,
}

/// A commit of which the last page has not come.
#[derive(Debug)]
struct OpenCommit {
    revision: u64,
    /// Number of the next page in this stream.
    next_page: u32,
    /// Lowest index that the next change may have.
    next_index: u64,
    /// First revision of a conflated commit, else 0.
    conflated_from: u64,
    /// (revision, index) of the changes of a conflated commit, which are not in commit order.
    conflated: BTreeSet<(u64, u64)>,
}

impl OpenCommit {
    fn new(page: &proto::CommitPage) -> Self {
        Self {
            revision: page.revision,
            next_page: 0,
            next_index: 0,
            conflated_from: page.conflated_from,
            conflated: BTreeSet::new(),
        }
    }

    /// Takes changes in commit order. Removes those from the page that came before a reconnection.
    fn take(&mut self, page: &mut proto::CommitPage) -> Result<(), BrokenPromise> {
        let first_new = self.next_index;
        page.changes.retain(|change| change.index >= first_new);
        for change in &page.changes {
            if change.index < self.next_index {
                return broken("Unique", format!("change {} of revision {} twice", change.index, self.revision));
            }
            self.next_index = change.index + 1;
        }
        Ok(())
    }

    /// Takes changes of a conflated commit, in any order.
    fn take_conflated(&mut self, page: &proto::CommitPage) -> Result<(), BrokenPromise> {
        for change in &page.changes {
            if !(self.conflated_from..=self.revision).contains(&change.revision) {
                let within = format!("revisions {} to {}", self.conflated_from, self.revision);
                return broken("Ordered", format!("a change of revision {} within {within}", change.revision));
            }
            if !self.conflated.insert((change.revision, change.index)) {
                return broken("Unique", format!("change {} of revision {} twice", change.index, change.revision));
            }
        }
        Ok(())
    }
}

impl Check {
    /// Checks the streams of a follower that starts with a token, or without one.
    pub(super) fn new(with_token: bool) -> Self {
        let last_commit = if with_token { None } else { Some(0) };
        Self { connected: false, position: 0, last_commit, open: None, rows: 0, digest: 0 }
    }

    /// Checks the first message of a stream: it must resume where the one before ended.
    pub(super) fn opened(&mut self, opened: &proto::Opened) -> Result<(), BrokenPromise> {
        if self.connected && opened.start_revision != self.position {
            let detail = format!("had everything to {}, resumed at {}", self.position, opened.start_revision);
            return broken("Resumable", detail);
        }
        self.connected = true;
        // Without a token the state comes first, and nothing has come yet.
        if !opened.resume_token.is_empty() {
            self.position = opened.start_revision;
        }
        // The pages of a commit come again. A conflated commit may come with other bounds, so it is forgotten.
        self.open = self.open.take().filter(|open| open.conflated_from == 0);
        if let Some(open) = &mut self.open {
            open.next_page = 0;
        }
        Ok(())
    }

    /// Forgets the rows so far: the state begins again, at another revision. Returns whether there were any.
    pub(super) fn discard_state(&mut self) -> bool {
        std::mem::replace(self, Self::new(false)).rows > 0
    }

    /// The version of the digest to ask for.
    pub(super) fn digest_version(&self) -> u32 {
        DIGEST.number()
    }

    /// Adds rows of the state to the count and the digest.
    pub(super) fn rows(&mut self, rows: &[proto::StateRow]) {
        self.rows += rows.len() as u64;
        for row in rows {
            self.digest = self.digest.wrapping_add(DIGEST.of_row(row));
        }
    }

    /// Checks the count and the digest of the state.
    pub(super) fn state_ends(&mut self, end: &proto::SnapshotEnd) -> Result<(), BrokenPromise> {
        if end.digest_version != DIGEST.number() {
            let detail = format!("a digest of version {} for one of version {}", end.digest_version, DIGEST.number());
            return broken("Reliable", detail);
        }
        if (end.row_count, end.digest) != (self.rows, self.digest) {
            let sent = format!("{} rows with digest {:016x} were sent", end.row_count, end.digest);
            return broken("Reliable", format!("{sent}, {} with {:016x} arrived", self.rows, self.digest));
        }
        self.position = end.revision;
        Ok(())
    }

    /// Checks a page of a commit. Removes the changes from it that came before a reconnection.
    pub(super) fn page(&mut self, page: &mut proto::CommitPage) -> Result<(), BrokenPromise> {
        let revision = page.revision;
        if revision <= self.position {
            return broken("Ordered", format!("revision {revision} after {}", self.position));
        }
        let open = match &mut self.open {
            Some(open) if open.revision == revision => open,
            Some(open) => return broken("Atomic", format!("revision {revision} within {}", open.revision)),
            None => self.open.insert(OpenCommit::new(page)),
        };
        if page.conflated_from != open.conflated_from {
            let detail =
                format!("revision {revision} conflated from {} and from {}", open.conflated_from, page.conflated_from);
            return broken("Atomic", detail);
        }
        if open.conflated_from > 0 && !(self.position + 1..revision).contains(&open.conflated_from) {
            let detail = format!("revisions {} to {revision} after {}", open.conflated_from, self.position);
            return broken("Ordered", detail);
        }
        if page.page != open.next_page {
            return broken("Reliable", format!("page {} of revision {revision}, not {}", page.page, open.next_page));
        }
        // The matching commit before this one must have come.
        let before = page.prev_matching_revision;
        let chained = self.last_commit.map_or(before <= self.position, |last| before == last);
        if !chained {
            return broken("Chained", format!("revision {revision} follows {before}, which never came"));
        }
        open.next_page += 1;
        match open.conflated_from {
            0 => open.take(page)?,
            _ => open.take_conflated(page)?,
        }
        if page.last_page {
            self.position = revision;
            self.last_commit = Some(revision);
            self.open = None;
        }
        Ok(())
    }

    /// Checks a progress: it comes between commits, and never goes back.
    pub(super) fn progress(&mut self, revision: u64) -> Result<(), BrokenPromise> {
        if let Some(open) = &self.open {
            return broken("Atomic", format!("progress {revision} within revision {}", open.revision));
        }
        if revision < self.position {
            return broken("Bookmarkable", format!("progress {revision} after {}", self.position));
        }
        self.position = revision;
        Ok(())
    }

    /// Everything at or below this revision has come.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether a part of a commit was yielded. The follower yields a conflated commit only when it is complete.
    pub(super) fn within_commit(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.conflated_from == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(revision: u64, before: u64, number: u32, last_page: bool, indexes: &[u64]) -> proto::CommitPage {
        let changes = indexes.iter().map(|index| proto::Change { index: *index, ..Default::default() }).collect();
        let commit_page = proto::CommitPage {
            revision,
            prev_matching_revision: before,
            page: number,
            last_page,
            ..Default::default()
        };
        proto::CommitPage { changes, ..commit_page }
    }

    fn opened(start_revision: u64) -> proto::Opened {
        proto::Opened { start_revision, resume_token: "token".into(), ..Default::default() }
    }

    /// A check that has seen a stream from revision 3 on, and commit 4.
    fn after_revision_4() -> Check {
        let mut check = Check::new(false);
        check.opened(&opened(3)).unwrap();
        check.page(&mut page(4, 0, 0, true, &[0])).unwrap();
        check
    }

    fn promise(result: Result<(), BrokenPromise>) -> &'static str {
        result.unwrap_err().promise
    }

    #[test]
    fn after_a_reconnection_a_commit_continues_where_it_stopped() {
        let mut check = Check::new(false);
        check.opened(&opened(3)).unwrap();
        check.page(&mut page(4, 0, 0, true, &[0])).unwrap();
        check.page(&mut page(7, 4, 0, false, &[0, 1, 2])).unwrap();
        assert!(check.within_commit());
        check.opened(&opened(4)).unwrap();
        let mut again = page(7, 4, 0, false, &[0, 1, 2, 3]);
        check.page(&mut again).unwrap();
        assert_eq!(again.changes.iter().map(|change| change.index).collect::<Vec<_>>(), [3]);
        check.page(&mut page(7, 4, 1, true, &[4])).unwrap();
        assert_eq!(check.position(), 7);
    }

    fn conflated(from: u64, revision: u64, before: u64, last_page: bool, changes: &[(u64, u64)]) -> proto::CommitPage {
        let changes = changes.iter().map(|(revision, index)| proto::Change {
            revision: *revision,
            index: *index,
            ..Default::default()
        });
        let changes: Vec<_> = changes.collect();
        proto::CommitPage { conflated_from: from, changes, ..page(revision, before, 0, last_page, &[]) }
    }

    #[test]
    fn after_a_reconnection_a_conflated_commit_may_have_other_bounds() {
        let mut check = Check::new(false);
        check.opened(&opened(3)).unwrap();
        check.page(&mut page(4, 0, 0, true, &[0])).unwrap();
        check.page(&mut conflated(5, 9, 4, false, &[(9, 0), (6, 2)])).unwrap();
        check.opened(&opened(4)).unwrap();
        check.page(&mut conflated(5, 11, 4, false, &[(11, 0), (9, 0)])).unwrap();
        let mut rest = proto::CommitPage { page: 1, ..conflated(5, 11, 4, true, &[(6, 2)]) };
        check.page(&mut rest).unwrap();
        assert_eq!((check.position(), rest.changes.len()), (11, 1));
        check.page(&mut conflated(13, 15, 11, true, &[(14, 7)])).unwrap();
        // If several commits change nothing in the end, only the position moves.
        check.progress(20).unwrap();
        check.page(&mut page(21, 15, 0, true, &[3])).unwrap();
    }

    #[test]
    fn every_promise_that_a_conflated_commit_breaks_is_named() {
        assert_eq!(promise(after_revision_4().page(&mut conflated(4, 6, 4, true, &[]))), "Ordered");
        assert_eq!(promise(after_revision_4().page(&mut conflated(7, 6, 4, true, &[]))), "Ordered");
        assert_eq!(promise(after_revision_4().page(&mut conflated(5, 6, 4, true, &[(7, 0)]))), "Ordered");
        assert_eq!(promise(after_revision_4().page(&mut conflated(5, 6, 5, true, &[]))), "Chained");
        assert_eq!(
            promise(after_revision_4().page(&mut conflated(5, 6, 4, true, &[(5, 1), (6, 1), (5, 1)]))),
            "Unique"
        );
        let mut within = after_revision_4();
        within.page(&mut conflated(5, 8, 4, false, &[(8, 0)])).unwrap();
        assert_eq!(promise(within.progress(8)), "Atomic");
        let mut other = proto::CommitPage { page: 1, ..conflated(6, 8, 4, true, &[]) };
        assert_eq!(promise(within.page(&mut other)), "Atomic");
    }

    #[test]
    fn every_broken_promise_is_named() {
        assert_eq!(promise(after_revision_4().page(&mut page(4, 4, 0, true, &[0]))), "Ordered");
        assert_eq!(promise(after_revision_4().page(&mut page(6, 5, 0, true, &[0]))), "Chained");
        assert_eq!(promise(after_revision_4().page(&mut page(6, 4, 1, true, &[0]))), "Reliable");
        assert_eq!(promise(after_revision_4().page(&mut page(6, 4, 0, true, &[1, 1]))), "Unique");
        assert_eq!(promise(after_revision_4().progress(3)), "Bookmarkable");
        assert_eq!(promise(after_revision_4().opened(&opened(2))), "Resumable");
        assert_eq!(promise(after_revision_4().opened(&opened(9))), "Resumable");
        let mut within = after_revision_4();
        within.page(&mut page(6, 4, 0, false, &[0])).unwrap();
        assert_eq!(promise(within.progress(6)), "Atomic");
        assert_eq!(promise(within.page(&mut page(7, 4, 0, true, &[0]))), "Atomic");
        let mut state = Check::new(false);
        state.opened(&proto::Opened { start_revision: 9, ..Default::default() }).unwrap();
        assert_eq!((state.position(), state.discard_state()), (0, false), "no row has come");
        state.rows(&[proto::StateRow::default()]);
        assert_eq!(promise(state.state_ends(&proto::SnapshotEnd::default())), "Reliable");
    }
}
