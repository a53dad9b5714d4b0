//! A subscriber of a simulated run that uses the client library.

use std::time::Duration;

use almanac::{
    client::{FollowError, FollowEvent, FollowStart, Follower, Part},
    proto::{subscribe_request::Start, *},
};
use tokio::sync::watch;
use tonic::Code;

use super::{
    network,
    subscriber::{draw_filters, draw_start, pause, state_of},
};
use crate::support::{
    Dice, WholeCommit,
    replica::{self, Replica},
};

/// What the client library made of a subscription.
#[derive(Debug)]
pub(super) struct FollowerRecord {
    pub(super) filters: Vec<Filter>,
    pub(super) began: u64,
    pub(super) position: u64,
    pub(super) commits: Vec<WholeCommit>,
    /// How often the copy was compared with the state of the server.
    pub(super) compared: usize,
    rows: Vec<StateRow>,
    /// Whether the first message came, or the whole state of a start with one.
    begun: bool,
}

/// Follows by the client library, which resumes by itself, until a subscription covers the goal.
pub(super) async fn follow(mut dice: Dice, mut goal: watch::Receiver<Option<u64>>) -> Vec<FollowerRecord> {
    let mut records = Vec::new();
    pause(&mut dice, 400).await;
    loop {
        let mut record = FollowerRecord::new(draw_filters(&mut dice));
        let start = draw_start(&mut dice).await;
        let reached = follow_once(&mut dice, &mut goal, start, &mut record).await;
        // Commits before the revision that was compacted away still count.
        record.commits.truncate(record.complete_count());
        if record.begun {
            record.compare().await;
            records.push(record);
        }
        if reached {
            return records;
        }
    }
}

/// One subscription. True: it covers the goal; false: it has to begin anew.
async fn follow_once(
    dice: &mut Dice,
    goal: &mut watch::Receiver<Option<u64>>,
    start: Start,
    record: &mut FollowerRecord,
) -> bool {
    let start = match start {
        Start::Now(_) => FollowStart::Now,
        Start::State(_) => FollowStart::State,
        Start::AsKnownAt(as_of) => FollowStart::StateAsKnownAt(as_of),
        Start::Range(range) => FollowStart::Range(range.first_revision, None),
        Start::ResumeToken(token) => FollowStart::Token(token),
    };
    let with_state = matches!(start, FollowStart::State | FollowStart::StateAsKnownAt(_));
    let mut jitter = dice.split();
    let mut follower = Follower::new(network::clients().feed, start, record.filters.clone())
        .progress_every(Duration::from_millis(100))
        .jitter(move || jitter.fraction());
    loop {
        record.position = follower.position();
        let reached = goal.borrow_and_update().is_some_and(|goal| follower.position() >= goal);
        if reached && record.begun && !follower.within_commit() {
            return true;
        }
        let event = tokio::select! {
            biased;
            event = follower.next() => event,
            _ = goal.changed() => continue,
        };
        match event {
            Ok(Some(FollowEvent::LicencesChanged { .. })) => {
                *record = FollowerRecord::new(std::mem::take(&mut record.filters));
                if !with_state {
                    return false;
                }
            }
            Ok(Some(event)) => record.take(event),
            Ok(None) => panic!("no end was asked for"),
            Err(FollowError::Refused(status)) => {
                assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
                record.position = follower.position();
                return false;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl FollowerRecord {
    fn new(filters: Vec<Filter>) -> Self {
        Self { filters, began: 0, position: 0, commits: Vec::new(), compared: 0, rows: Vec::new(), begun: false }
    }

    /// Compares the copy that an application would have with the state of the server.
    async fn compare(&mut self) {
        if !replica::keep_state(&self.filters) {
            return;
        }
        let mut copy = Replica::default();
        self.rows.iter().for_each(|row| copy.row(row));
        if self.rows.is_empty() {
            let Some(base) = state_of(self.began, &self.filters).await else { return };
            copy = base;
        }
        self.commits.iter().for_each(|commit| copy.apply_commit(commit));
        if let Some(state) = state_of(self.position, &self.filters).await {
            copy.assert_same(&state, &format!("{:?} at {}", self.filters, self.position));
            self.compared += 1;
        }
    }

    fn take(&mut self, event: FollowEvent) {
        match event {
            FollowEvent::Opened(opened) if !self.begun && !opened.resume_token.is_empty() => {
                self.begun = true;
                self.began = opened.start_revision;
            }
            FollowEvent::StateComplete(end) => {
                self.begun = true;
                self.began = end.revision;
            }
            FollowEvent::Rows(rows) => self.rows.extend(rows),
            FollowEvent::StateDiscarded => self.rows.clear(),
            FollowEvent::Changes(part) => self.add(*part),
            _ => {}
        }
    }

    fn add(&mut self, part: Part) {
        if let Some(commit) = part.commit {
            self.commits.push(WholeCommit { commit, previous: part.prev_matching_revision, changes: Vec::new() });
        }
        let open = self.commits.last_mut().expect("a commit begins with its first part");
        assert_eq!(open.commit.revision, part.revision);
        open.changes.extend(part.changes);
        self.position = if part.last { part.revision } else { self.position };
    }

    /// How many commits are complete.
    fn complete_count(&self) -> usize {
        self.commits.iter().filter(|one| one.commit.revision <= self.position).count()
    }
}
