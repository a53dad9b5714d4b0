//! The promises of the feed (`docs/feed.md`), a function for each, run over everything that a subscriber recorded.
//!
//! The oracle works out what a subscriber should have seen from the plain list of all commits ([`commit_log`]), with a
//! filter of its own ([`filter`]). [`stream`] judges the messages of a stream, [`state`] compares rows with what queries
//! answer, [`conflation`] judges streams that conflate, [`digest`] computes digests a second time.

mod commit_log;
mod conflation;
mod digest;
mod filter;
mod state;
mod stream;

use almanac::proto::*;

pub(crate) use self::{
    commit_log::CommitLog,
    conflation::{KEYS_MAX, Step, check_conflating, plain_copy},
    state::state_is_complete,
    stream::{bookmarkable, durable},
};
use self::{
    state::{before_rows_are_true, copied},
    stream::{atomic, chained, filtered, ordered, polite, reliable, unique},
};
use crate::support::{Clients, WholeCommit, join, reason, watch::Recording};

/// Checks all promises. `began` is the revision where the subscription began, before any of its tokens.
pub(crate) async fn check(clients: &Clients, log: &CommitLog, recording: &Recording, began: u64) {
    check_recorded(log, recording, began);
    before_rows_are_true(clients, log, recording).await;
    resumable(clients, log, recording, began).await;
    state_is_complete(clients, recording).await;
    copied(clients, recording).await;
}

/// Checks the promises that need no question to the server: for tests with many streams.
pub(crate) fn check_recorded(log: &CommitLog, recording: &Recording, began: u64) {
    check_against(log, &log.expected(&recording.filters, began, u64::MAX), recording);
}

/// Like [`check_recorded`]; the caller has worked out what the subscription should see since it began.
pub(crate) fn check_against(log: &CommitLog, expected: &[WholeCommit], recording: &Recording) {
    let commits = recording.commits();
    ordered(recording, &commits);
    polite(recording);
    unique(recording);
    reliable(expected, recording, &commits);
    atomic(recording);
    bookmarkable(recording);
    chained(expected, recording, &commits);
    filtered(log, recording, &commits);
}

/// A resume token continues exactly after its revision, and is refused with other filters.
pub(crate) async fn resumable(clients: &Clients, log: &CommitLog, recording: &Recording, began: u64) {
    let tokens = recording.tokens();
    let step = tokens.len().div_ceil(5).max(1);
    for (revision, token) in tokens.iter().rev().step_by(step) {
        let mut request = ListCommitsRequest {
            resume_token: token.clone(),
            filters: recording.filters.clone(),
            ..Default::default()
        };
        let mut pages = Vec::new();
        loop {
            let answer = clients.feed.clone().list_commits(request.clone()).await.unwrap().into_inner();
            pages.extend(answer.commits);
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        let mut expected = log.expected(&recording.filters, began, u64::MAX);
        expected.retain(|one| one.commit.revision > *revision);
        assert_eq!(join(&pages), expected, "the token of {revision} with {:?}", recording.filters);
    }
    let Some((_, token)) = tokens.first() else { return };
    let other = Filter { name: "other".into(), entities: vec!["nobody".into()], ..Default::default() };
    let request = ListCommitsRequest { resume_token: token.clone(), filters: vec![other], ..Default::default() };
    assert_eq!(reason(&clients.feed.clone().list_commits(request).await.unwrap_err()), "TOKEN_OTHER_FILTER");
}
