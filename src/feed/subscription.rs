//! One subscriber's stream: a position in the history that moves when the subscriber asks for more.
//!
//! The stream produces nothing ahead of its reader: HTTP/2 asks for the next message when the client has room for it.
//! So a slow reader costs its position, and nobody waits for it.
//!
//! In reading order: [`opening`] finds where a stream begins; this file is its life; [`snapshot_walk`] reads the state
//! that comes first in some streams.
//!
//! Invariants: progress and tokens come from the stream's own position, in the same ordered path as changes. Between
//! the pages of a commit there is no progress: a client that waits for the last page never applies part of a commit.

mod opening;
mod snapshot_walk;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};

use self::snapshot_walk::SnapshotWalk;
use super::{
    FeedError,
    cache::PageCache,
    commit_walk::{CommitWalk, WalkStep},
    conflate::walk::{ConflationStep, ConflationWalk},
    event::{GoodbyeReason, Notice, SubscriptionEvent},
    filter::Filters,
    group::{Group, NextMatch},
    hub::{Hub, SubscriberPermit},
    page::{ConflatedPage, FeedPage},
    stream_registry::{Connection, RECONNECT_AFTER},
    token::Position,
};
use crate::{
    model::{change::Change, id::Revision},
    query::AsOf,
};

/// The shortest wait before a client comes back. A client that takes zero for "not set" would not wait at all.
const RECONNECT_AT_ONCE: Duration = Duration::from_millis(1);
/// When all streams end at one time, their clients come back spread over this time.
const RECONNECT_SPREAD: Duration = Duration::from_secs(10);

/// Where a stream starts.
#[derive(Debug, Clone)]
pub enum SubscriptionStart {
    /// The state as of a point of history, then every later commit.
    State { as_of: AsOf },
    /// The next commit.
    Now,
    /// The commit after the one that the token names.
    Token { token: String },
    /// The commits from `first` on. The stream ends after `last`; without it, never.
    Range { first: Revision, last: Option<Revision> },
}

/// What a subscriber asks for.
#[derive(Debug)]
pub struct SubscriptionRequest {
    pub start: SubscriptionStart,
    pub filters: Filters,
    /// The version of the licences by which `filters` leave sources out.
    pub licences_version: u64,
    /// Whether commits are conflated while the stream is behind.
    pub conflate: bool,
    /// The longest time without a message.
    pub progress_interval: Duration,
    /// The server ends the stream after this time and asks the client to come back.
    pub max_age: Duration,
    pub connection: Arc<Connection>,
}

/// One subscriber's stream.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    _permit: SubscriberPermit,
    /// `None`: the stream does not conflate.
    conflating: Option<OwnedSemaphorePermit>,
    group: Arc<Group>,
    progress_interval: Duration,
    ends_at: Instant,
    phase: Phase,
    position: Position,
    /// The stream ends when it covers this revision.
    until: Option<Revision>,
    wakeups: watch::Receiver<()>,
    /// Changes with every commit. Only a stream with `until` needs it: such a stream ends at a revision, matching or
    /// not.
    head: Option<watch::Receiver<Revision>>,
    _connection: Arc<Connection>,
    connection_ends: watch::Receiver<bool>,
    ready: VecDeque<SubscriptionEvent>,
    /// The lag that the subscriber was last told: behind (`true`) or live.
    reported_lag: Option<bool>,
    /// The version of the licences by which the stream leaves sources out.
    licences_version: u64,
    /// The revision that the subscriber was last told the stream covers.
    reported: Revision,
    last_sent: Instant,
}

#[derive(Debug)]
enum Phase {
    Snapshot(Box<SnapshotWalk>),
    BetweenCommits,
    Commit(Box<CommitWalk>),
    Conflation(Box<ConflationWalk>),
    Ended,
}

impl Subscription {
    /// The change without what the filters leave out of it. `None`: they leave out nothing.
    pub fn disclosed(&self, change: &Change) -> Option<Change> {
        self.group.filters.disclosed(change)
    }

    /// The name of the filter with this number.
    pub fn filter_name(&self, at: usize) -> &str {
        self.group.filters.name(at)
    }

    /// What subscribers share of pages.
    pub fn cache(&self) -> &PageCache {
        self.hub.cache()
    }

    /// The next message. `None`: the stream is over.
    pub async fn next(&mut self) -> Result<Option<SubscriptionEvent>, FeedError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.last_sent = Instant::now();
                return Ok(Some(event));
            }
            if matches!(self.phase, Phase::Ended) {
                return Ok(None);
            }
            // A wakeup from here on ends the next wait, so nothing is missed that comes after what is read now.
            self.wakeups.mark_unchanged();
            if let Some(reason) = self.end_reason() {
                self.say_goodbye(reason).await?;
                continue;
            }
            // Within a state or a commit no progress may be sent. It may match nothing for long, and a client takes
            // silence for a dead connection.
            if self.is_message_due() && matches!(self.phase, Phase::Snapshot(_) | Phase::Commit(_)) {
                self.report_lag(true, self.hub.published());
                continue;
            }
            match std::mem::replace(&mut self.phase, Phase::Ended) {
                Phase::Snapshot(walk) => self.read_snapshot(walk).await?,
                Phase::Commit(walk) => self.read_commit(walk).await?,
                Phase::Conflation(walk) => self.read_conflation(walk).await?,
                Phase::BetweenCommits => {
                    self.phase = Phase::BetweenCommits;
                    self.go_on().await?;
                }
                Phase::Ended => return Ok(None),
            }
        }
    }

    /// Why the stream must end now, in whatever phase it is.
    fn end_reason(&self) -> Option<GoodbyeReason> {
        if self.hub.is_stopping() {
            return Some(GoodbyeReason::Shutdown);
        }
        if *self.connection_ends.borrow() {
            return Some(GoodbyeReason::ConnectionStalled);
        }
        // Checked before the next commit is read: after a commit closes a source, the stream must not send more of that
        // source.
        (self.hub.licences().version != self.licences_version).then_some(GoodbyeReason::LicencesChanged)
    }

    fn is_message_due(&self) -> bool {
        self.last_sent.elapsed() >= self.progress_interval
    }

    /// Between two commits: begins the next one, or reports, or waits.
    async fn go_on(&mut self) -> Result<(), FeedError> {
        let head = match &mut self.head {
            Some(head) => *head.borrow_and_update(),
            None => self.hub.published(),
        };
        let is_behind = self.skip_unmatched(head);
        if self.until.is_some_and(|until| self.position.revision >= until) {
            return self.say_goodbye(GoodbyeReason::RangeComplete).await;
        }
        if Instant::now() >= self.ends_at {
            return self.say_goodbye(GoodbyeReason::MaxAge).await;
        }
        if self.position.revision < head {
            return self.begin_commit(head, is_behind).await;
        }
        if self.reported_lag != Some(false) {
            if self.reported < self.position.revision {
                self.report_progress().await?;
            }
            self.report_lag(false, head);
            return Ok(());
        }
        if self.is_message_due() {
            return self.report_progress().await;
        }
        self.wait().await;
        Ok(())
    }

    /// Skips the commits of which the group knows that they do not match. Returns whether more than one commit is
    /// ahead.
    fn skip_unmatched(&mut self, head: Revision) -> bool {
        let (last, is_behind) = match self.group.next_match(self.position.revision) {
            NextMatch::Unknown => return self.position.revision.next() < head,
            NextMatch::Nothing => (head, false),
            NextMatch::Commit { revision, more_follow } => {
                (Revision(revision.0.saturating_sub(1)).min(head), more_follow)
            }
        };
        let last = self.until.map_or(last, |until| last.min(until));
        self.position.revision = self.position.revision.max(last);
        is_behind
    }

    /// Begins to read the next commit, or to conflate several.
    async fn begin_commit(&mut self, head: Revision, is_behind: bool) -> Result<(), FeedError> {
        // A live stream moves by being one commit behind. More than that is catching up.
        if is_behind && self.reported_lag != Some(true) {
            self.report_lag(true, head);
        } else if self.is_message_due() {
            self.report_progress().await?;
        }
        let end = self.until.map_or(head, |until| until.min(head));
        self.phase = if self.conflating.is_some() && self.position.revision.next() < end {
            Phase::Conflation(Box::new(ConflationWalk::after(self.position, end)))
        } else {
            Phase::Commit(Box::new(CommitWalk::after(&self.hub, self.position).await?))
        };
        Ok(())
    }

    async fn wait(&mut self) {
        let until = self.ends_at.min(self.last_sent + self.progress_interval);
        let every_commit = async {
            match &mut self.head {
                Some(head) => drop(head.changed().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.wakeups.changed() => {}
            _ = self.connection_ends.changed() => {}
            () = every_commit => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    async fn read_snapshot(&mut self, mut walk: Box<SnapshotWalk>) -> Result<(), FeedError> {
        for page in walk.read(&self.hub, &self.group.filters).await? {
            self.ready.push_back(SubscriptionEvent::Page(FeedPage::Snapshot(page)));
        }
        if !walk.is_complete() {
            self.phase = Phase::Snapshot(walk);
            return Ok(());
        }
        let token = self.token().await?;
        self.notify(Notice::SnapshotEnd { revision: walk.revision(), rows: walk.rows(), token });
        self.phase = Phase::BetweenCommits;
        Ok(())
    }

    async fn read_commit(&mut self, mut walk: Box<CommitWalk>) -> Result<(), FeedError> {
        match walk.step(&self.hub, &self.group).await? {
            WalkStep::Reading => self.phase = Phase::Commit(walk),
            WalkStep::Page(page) if !page.last => {
                self.ready.push_back(SubscriptionEvent::Page(FeedPage::Commit { page, token: None }));
                self.phase = Phase::Commit(walk);
            }
            WalkStep::Page(page) => {
                self.cover_match(walk.revision());
                let token = Some(self.token().await?);
                self.ready.push_back(SubscriptionEvent::Page(FeedPage::Commit { page, token }));
                self.phase = Phase::BetweenCommits;
            }
            WalkStep::End => {
                self.position.revision = walk.revision();
                self.phase = Phase::BetweenCommits;
            }
        }
        Ok(())
    }

    async fn read_conflation(&mut self, mut walk: Box<ConflationWalk>) -> Result<(), FeedError> {
        match walk.step(&self.hub, &self.group).await? {
            ConflationStep::Reading => {
                if self.is_message_due() {
                    self.report_progress().await?;
                }
                self.phase = Phase::Conflation(walk);
            }
            ConflationStep::Nothing { through } => {
                self.position.revision = through;
                self.phase = Phase::BetweenCommits;
            }
            ConflationStep::Plain { before } => {
                self.position.revision = before;
                // Progress comes before the commit. So a client that loses the stream within it resumes before the
                // commit, also in a stream that does not conflate.
                if self.reported < before {
                    self.report_progress().await?;
                }
                self.phase = Phase::Commit(Box::new(CommitWalk::after(&self.hub, self.position).await?));
            }
            ConflationStep::Conflated { through, pages } => {
                self.send_conflated(pages).await?;
                self.position.revision = through;
                self.phase = Phase::BetweenCommits;
            }
        }
        Ok(())
    }

    /// The token of the last page is that of the last conflated commit. Later commits that do not match are reported by
    /// progress.
    async fn send_conflated(&mut self, pages: Vec<ConflatedPage>) -> Result<(), FeedError> {
        for page in pages {
            self.cover_match(page.header.commit.revision);
            let token = if page.last { Some(self.token().await?) } else { None };
            self.ready.push_back(SubscriptionEvent::Page(FeedPage::Conflated { page, token }));
        }
        Ok(())
    }

    /// The stream covers a commit that matches, and the subscriber sees it by the pages.
    fn cover_match(&mut self, revision: Revision) {
        self.position = Position { revision, last_match: revision };
        self.reported = revision;
    }

    async fn report_progress(&mut self) -> Result<(), FeedError> {
        self.reported = self.position.revision;
        let token = self.token().await?;
        self.notify(Notice::Progress { revision: self.position.revision, token });
        Ok(())
    }

    fn report_lag(&mut self, behind: bool, head: Revision) {
        self.reported_lag = Some(behind);
        self.notify(Notice::Lag { behind, head });
    }

    async fn say_goodbye(&mut self, reason: GoodbyeReason) -> Result<(), FeedError> {
        let may_report = matches!(self.phase, Phase::BetweenCommits | Phase::Conflation(_));
        if may_report && self.reported < self.position.revision {
            self.report_progress().await?;
        }
        // Within a commit no progress may be sent. So the token is that of the revision last reported: a token beyond
        // it would look to the client like a gap.
        self.position.revision = self.reported;
        let token = if matches!(self.phase, Phase::Snapshot(_)) { String::new() } else { self.token().await? };
        let reconnect_after = self.reconnect_after(reason);
        self.notify(Notice::Goodbye { reason, token, reconnect_after });
        self.phase = Phase::Ended;
        Ok(())
    }

    fn reconnect_after(&self, reason: GoodbyeReason) -> Duration {
        match reason {
            GoodbyeReason::Shutdown | GoodbyeReason::LicencesChanged => {
                RECONNECT_AT_ONCE + RECONNECT_SPREAD.mul_f64(self.hub.next_reconnect_fraction())
            }
            GoodbyeReason::RangeComplete | GoodbyeReason::MaxAge => RECONNECT_AT_ONCE,
            GoodbyeReason::ConnectionStalled => RECONNECT_AFTER,
        }
    }

    fn notify(&mut self, notice: Notice) {
        self.ready.push_back(SubscriptionEvent::Notice(notice));
    }

    async fn token(&self) -> Result<String, FeedError> {
        Ok(self.hub.token(self.position, self.group.filters.hash()).await?)
    }
}
