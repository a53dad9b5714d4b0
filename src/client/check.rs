//! What the promises let a stream do, checked message by message.
//!
//! Invariant: what passed the check may be shown: it is in order, comes once, and nothing before it is missing.

use std::collections::BTreeSet;

use crate::{convert::digest::Version, proto};

/// The digest that followers ask for.
const DIGEST: Version = Version::Rows;

/// A promise that the server did not keep. What was received until then holds; go on only from a fresh state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server broke the promise `{promise}`: {detail}")]
pub struct BrokenPromise {
    /// Its name in the contract.
    pub promise: &'static str,
    /// What was seen.
    pub detail: String,
}

fn broken<T>(promise: &'static str, detail: String) -> Result<T, BrokenPromise> {
    Err(BrokenPromise { promise, detail })
}

/// What a stream has shown so far.
#[derive(Debug)]
pub(super) struct Check {
    /// A connection was made before.
    connected: bool,
    /// Everything at or below this revision is here.
    position: u64,
    /// The last commit that came, in this subscription; 0 if none did. `None`: it began with a token, and what came before
    /// that is not known here.
    last_commit: Option<u64>,
    /// The commit that is not complete yet: its revision, its next page on this connection, and the index that its next
    /// change must have reached.
    open: Option<OpenCommit>,
    rows: u64,
    digest: u64,
}

#[derive(Debug)]
struct OpenCommit {
    revision: u64,
    next_page: u32,
    next_index: u64,
    /// 0, or the first revision folded into it.
    conflated_from: u64,
    /// The changes of a fold: they are not in commit order.
    folded: BTreeSet<(u64, u64)>,
}

impl OpenCommit {
    /// Changes in commit order; keeps those that were not seen before.
    fn take(&mut self, page: &mut proto::CommitPage) -> Result<(), BrokenPromise> {
        let seen = self.next_index;
        page.changes.retain(|change| change.index >= seen);
        for change in &page.changes {
            if change.index < self.next_index {
                return broken("Unique", format!("change {} of revision {} twice", change.index, self.revision));
            }
            self.next_index = change.index + 1;
        }
        Ok(())
    }

    /// Changes of several commits, each once.
    fn take_folded(&mut self, page: &proto::CommitPage) -> Result<(), BrokenPromise> {
        for change in &page.changes {
            if !(self.conflated_from..=self.revision).contains(&change.revision) {
                let within = format!("revisions {} to {}", self.conflated_from, self.revision);
                return broken("Ordered", format!("a change of revision {} within {within}", change.revision));
            }
            if !self.folded.insert((change.revision, change.index)) {
                return broken("Unique", format!("change {} of revision {} twice", change.index, change.revision));
            }
        }
        Ok(())
    }
}

impl Check {
    /// Of a subscription that begins with a token, or without one.
    pub(super) fn new(with_token: bool) -> Self {
        let last_commit = if with_token { None } else { Some(0) };
        Self { connected: false, position: 0, last_commit, open: None, rows: 0, digest: 0 }
    }

    /// A connection was made, or made again.
    pub(super) fn opened(&mut self, opened: &proto::Opened) -> Result<(), BrokenPromise> {
        if self.connected && opened.start_revision != self.position {
            let detail = format!("had everything to {}, resumed at {}", self.position, opened.start_revision);
            return broken("Resumable", detail);
        }
        self.connected = true;
        // Without a token there is nothing yet: the state comes first.
        if !opened.resume_token.is_empty() {
            self.position = opened.start_revision;
        }
        // A fold comes again with other bounds; a commit is what it was.
        self.open = self.open.take().filter(|open| open.conflated_from == 0);
        if let Some(open) = &mut self.open {
            open.next_page = 0;
        }
        Ok(())
    }

    /// What came of the state is thrown away: another one follows, of another revision. Says whether anything had come.
    pub(super) fn discard_state(&mut self) -> bool {
        std::mem::replace(self, Self::new(false)).rows > 0
    }

    /// The version of the digest to ask for.
    pub(super) fn digest_version(&self) -> u32 {
        DIGEST.number()
    }

    /// Rows of the state came.
    pub(super) fn rows(&mut self, rows: &[proto::StateRow]) {
        self.rows += rows.len() as u64;
        self.digest = rows.iter().map(|row| DIGEST.of_row(row)).fold(self.digest, u64::wrapping_add);
    }

    /// The state is complete.
    pub(super) fn state_ends(&mut self, end: &proto::SnapshotEnd) -> Result<(), BrokenPromise> {
        if end.digest_version != DIGEST.number() {
            let detail = format!("a digest of version {} for one of version {}", end.digest_version, DIGEST.number());
            return broken("Reliable", detail);
        }
        if (end.row_count, end.digest) != (self.rows, self.digest) {
            let said = format!("{} rows with digest {:016x} were sent", end.row_count, end.digest);
            return broken("Reliable", format!("{said}, {} with {:016x} arrived", self.rows, self.digest));
        }
        self.position = end.revision;
        Ok(())
    }

    /// A page of a commit came; keeps only what was not seen before a reconnection.
    pub(super) fn page(&mut self, page: &mut proto::CommitPage) -> Result<(), BrokenPromise> {
        let revision = page.revision;
        if revision <= self.position {
            return broken("Ordered", format!("revision {revision} after {}", self.position));
        }
        let open = match &mut self.open {
            Some(open) if open.revision == revision => open,
            Some(open) => return broken("Atomic", format!("revision {revision} within {}", open.revision)),
            None => {
                let (conflated_from, folded) = (page.conflated_from, BTreeSet::new());
                self.open.insert(OpenCommit { revision, next_page: 0, next_index: 0, conflated_from, folded })
            }
        };
        if page.conflated_from != open.conflated_from {
            let detail =
                format!("revision {revision} folded from {} and from {}", open.conflated_from, page.conflated_from);
            return broken("Atomic", detail);
        }
        if open.conflated_from > 0 && !(self.position + 1..revision).contains(&open.conflated_from) {
            let detail = format!("revisions {} to {revision} after {}", open.conflated_from, self.position);
            return broken("Ordered", detail);
        }
        if page.page != open.next_page {
            return broken("Reliable", format!("page {} of revision {revision}, not {}", page.page, open.next_page));
        }
        // The chain: the commit before this one, in this subscription, must be one that came.
        let before = page.prev_matching_revision;
        let chained = self.last_commit.map_or(before <= self.position, |last| before == last);
        if !chained {
            return broken("Chained", format!("revision {revision} follows {before}, which never came"));
        }
        open.next_page += 1;
        match open.conflated_from {
            0 => open.take(page)?,
            _ => open.take_folded(page)?,
        }
        if page.last_page {
            (self.position, self.last_commit, self.open) = (revision, Some(revision), None);
        }
        Ok(())
    }

    /// Nothing at or below this follows.
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

    /// Everything at or below this revision came.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Part of a commit came already. Of a fold nothing is yielded before it is whole.
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

    fn promise(result: Result<(), BrokenPromise>) -> &'static str {
        result.unwrap_err().promise
    }

    #[test]
    fn a_commit_cut_by_a_reconnection_goes_on_where_it_stopped() {
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

    fn fold(from: u64, revision: u64, before: u64, last_page: bool, changes: &[(u64, u64)]) -> proto::CommitPage {
        let changes = changes.iter().map(|(revision, index)| proto::Change {
            revision: *revision,
            index: *index,
            ..Default::default()
        });
        let changes = changes.collect();
        proto::CommitPage { conflated_from: from, changes, ..page(revision, before, 0, last_page, &[]) }
    }

    #[test]
    fn a_fold_cut_by_a_reconnection_comes_again_as_another() {
        let mut check = Check::new(false);
        check.opened(&opened(3)).unwrap();
        check.page(&mut page(4, 0, 0, true, &[0])).unwrap();
        check.page(&mut fold(5, 9, 4, false, &[(9, 0), (6, 2)])).unwrap();
        check.opened(&opened(4)).unwrap();
        check.page(&mut fold(5, 11, 4, false, &[(11, 0), (9, 0)])).unwrap();
        let mut rest = proto::CommitPage { page: 1, ..fold(5, 11, 4, true, &[(6, 2)]) };
        check.page(&mut rest).unwrap();
        assert_eq!((check.position(), rest.changes.len()), (11, 1));
        check.page(&mut fold(13, 15, 11, true, &[(14, 7)])).unwrap();
        // Where several commits came to nothing, only the position goes on.
        check.progress(20).unwrap();
        check.page(&mut page(21, 15, 0, true, &[3])).unwrap();
    }

    #[test]
    fn every_promise_that_a_fold_breaks_is_named() {
        let start = || {
            let mut check = Check::new(false);
            check.opened(&opened(3)).unwrap();
            check.page(&mut page(4, 0, 0, true, &[0])).unwrap();
            check
        };
        assert_eq!(promise(start().page(&mut fold(4, 6, 4, true, &[]))), "Ordered");
        assert_eq!(promise(start().page(&mut fold(7, 6, 4, true, &[]))), "Ordered");
        assert_eq!(promise(start().page(&mut fold(5, 6, 4, true, &[(7, 0)]))), "Ordered");
        assert_eq!(promise(start().page(&mut fold(5, 6, 5, true, &[]))), "Chained");
        assert_eq!(promise(start().page(&mut fold(5, 6, 4, true, &[(5, 1), (6, 1), (5, 1)]))), "Unique");
        let mut within = start();
        within.page(&mut fold(5, 8, 4, false, &[(8, 0)])).unwrap();
        assert_eq!(promise(within.progress(8)), "Atomic");
        let mut other = proto::CommitPage { page: 1, ..fold(6, 8, 4, true, &[]) };
        assert_eq!(promise(within.page(&mut other)), "Atomic");
    }

    #[test]
    fn every_broken_promise_is_named() {
        let start = || {
            let mut check = Check::new(false);
            check.opened(&opened(3)).unwrap();
            check.page(&mut page(4, 0, 0, true, &[0])).unwrap();
            check
        };
        assert_eq!(promise(start().page(&mut page(4, 4, 0, true, &[0]))), "Ordered");
        assert_eq!(promise(start().page(&mut page(6, 5, 0, true, &[0]))), "Chained");
        assert_eq!(promise(start().page(&mut page(6, 4, 1, true, &[0]))), "Reliable");
        assert_eq!(promise(start().page(&mut page(6, 4, 0, true, &[1, 1]))), "Unique");
        assert_eq!(promise(start().progress(3)), "Bookmarkable");
        assert_eq!(promise(start().opened(&opened(2))), "Resumable");
        assert_eq!(promise(start().opened(&opened(9))), "Resumable");
        let mut within = start();
        within.page(&mut page(6, 4, 0, false, &[0])).unwrap();
        assert_eq!(promise(within.progress(6)), "Atomic");
        assert_eq!(promise(within.page(&mut page(7, 4, 0, true, &[0]))), "Atomic");
        let mut state = Check::new(false);
        state.opened(&proto::Opened { start_revision: 9, ..Default::default() }).unwrap();
        assert_eq!((state.position(), state.discard_state()), (0, false), "a state that has not come is nothing");
        state.rows(&[proto::StateRow::default()]);
        assert_eq!(promise(state.state_ends(&proto::SnapshotEnd::default())), "Reliable");
    }
}
