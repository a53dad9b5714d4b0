//! Promises that the messages of one stream prove or break by themselves, or against the list of commits.

use std::collections::{BTreeSet, HashMap};

use almanac::proto::{subscribe_request::Start, subscribe_response::Body as Message, *};

use super::commit_log::CommitLog;
use crate::support::{
    WholeCommit,
    watch::{Recording, covered},
};

/// Revisions in a stream only grow.
pub(super) fn ordered(recording: &Recording, commits: &[WholeCommit]) {
    let mut last = recording.opened().start_revision;
    for commit in commits {
        assert!(commit.commit.revision > last, "{} after {last}", commit.commit.revision);
        last = commit.commit.revision;
        let indexes: Vec<u64> = commit.changes.iter().map(|change| change.index).collect();
        assert!(indexes.windows(2).all(|pair| pair[0] < pair[1]), "changes in commit order");
    }
}

/// A goodbye says when to come back. The wait is never zero, which would look like unset.
pub(super) fn polite(recording: &Recording) {
    if let Some(goodbye) = recording.goodbye() {
        let after = goodbye.reconnect_after.expect("a goodbye says when to come back");
        assert!(after.seconds > 0 || after.nanos > 0, "{goodbye:?}");
    }
}

/// A (revision, change) appears once per stream.
pub(super) fn unique(recording: &Recording) {
    let mut seen = BTreeSet::new();
    for page in recording.pages() {
        for change in &page.changes {
            assert!(seen.insert((page.revision, change.index)), "{} {} comes twice", page.revision, change.index);
        }
    }
}

/// When the stream covers revision X, every matching change up to X was sent.
pub(super) fn reliable(expected: &[WholeCommit], recording: &Recording, found: &[WholeCommit]) {
    let covered = covered(&recording.messages);
    let start = recording.opened().start_revision;
    let mut expected = expected.to_vec();
    expected.retain(|one| one.commit.revision > start && one.commit.revision <= covered);
    assert_eq!(revisions(found), revisions(&expected), "{:?} from {start} to {covered}", recording.filters);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.commit, expected.commit);
        assert_eq!(found.changes, expected.changes, "{:?} in {}", recording.filters, found.commit.revision);
    }
}

/// A client that waits for `last_page` never applies part of a commit.
pub(crate) fn atomic(recording: &Recording) {
    let pages = recording.pages();
    let mut next = 0;
    for (at, page) in pages.iter().enumerate() {
        assert_eq!(page.page, next, "pages are numbered through");
        assert_eq!(page.commit.is_some(), page.page == 0);
        assert_eq!(page.last_page, !page.resume_token.is_empty(), "the last page has the token");
        if page.page > 0 {
            assert_eq!(page.revision, pages[at - 1].revision);
        }
        next = if page.last_page { 0 } else { page.page + 1 };
    }
    // Between the pages of a commit, only a lag message or a goodbye may come.
    let mut open = false;
    for message in &recording.messages {
        match message {
            Message::CommitPage(page) => open = !page.last_page,
            Message::Goodbye(_) => {}
            Message::Lag(lag) => assert!(!open || lag.state() == LagState::CatchingUp),
            _ => assert!(!open, "a message inside a commit"),
        }
    }
}

/// After progress X, nothing at or below X follows.
pub(crate) fn bookmarkable(recording: &Recording) {
    let mut mark = recording.opened().start_revision;
    for message in &recording.messages {
        match message {
            Message::Progress(progress) => {
                assert!(progress.revision >= mark);
                assert!(!progress.resume_token.is_empty());
                mark = progress.revision;
            }
            Message::CommitPage(page) => {
                assert!(page.revision > mark, "{} after progress {mark}", page.revision);
                mark = if page.last_page { page.revision } else { mark };
            }
            Message::SnapshotPage(page) => assert_eq!(page.revision, mark),
            _ => {}
        }
    }
}

/// Each commit names the matching revision before it, so that a client can prove that it missed nothing.
pub(super) fn chained(expected: &[WholeCommit], recording: &Recording, commits: &[WholeCommit]) {
    // Within a stream this is the commit that the client applied last; a token continues the chain.
    let mut applied = match (&recording.start, commits.first()) {
        (Start::ResumeToken(_), Some(first)) => first.previous,
        _ => 0,
    };
    for commit in commits {
        assert_eq!(commit.previous, applied, "before {}", commit.commit.revision);
        applied = commit.commit.revision;
    }
    let previous: HashMap<u64, u64> = expected.iter().map(|one| (one.commit.revision, one.previous)).collect();
    for commit in commits {
        assert_eq!(commit.previous, previous[&commit.commit.revision], "before {}", commit.commit.revision);
    }
}

/// Every change matches before or after; entering and leaving the filter are explicit.
pub(super) fn filtered(log: &CommitLog, recording: &Recording, commits: &[WholeCommit]) {
    for commit in commits {
        for change in &commit.changes {
            let expected = log.expected_change(&recording.filters, change, &commit.commit);
            assert_eq!(expected.as_ref(), Some(change), "{:?}", recording.filters);
        }
    }
}

/// Every commit that a subscriber saw is in the store after a crash. `log_after` is read after the restart.
pub(crate) fn durable(log_after: &CommitLog, recording: &Recording, began: u64) {
    reliable(&log_after.expected(&recording.filters, began, u64::MAX), recording, &recording.commits());
}

fn revisions(commits: &[WholeCommit]) -> Vec<u64> {
    commits.iter().map(|one| one.commit.revision).collect()
}
