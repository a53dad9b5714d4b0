//! One subscriber: a cursor that reads on when it is asked.
//!
//! Nothing is produced ahead of the reader: HTTP/2 asks for the next message when it has room for it. So a slow reader
//! costs its cursor, and nobody waits for it.
//!
//! Invariant: progress and tokens come from the cursor, in the same ordered path as changes.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};

use super::{
    FeedError,
    cache::PageCache,
    conflate::ConflatedPage,
    filter::Filters,
    group::{Group, NextMatch},
    history::{CommitPage, CommitWalk, ConflationStep, ConflationWalk, WalkStep},
    hub::{Hub, SubscriberPermit},
    stream_registry::Connection,
    token::Position,
    weight,
};
use crate::{
    model::{
        change::Change,
        id::{HistoryId, Revision},
    },
    query::{
        AsOf, Snapshot,
        state::{StatePosition, StateRow},
    },
};

/// Where a subscription starts.
#[derive(Debug, Clone)]
pub enum SubscriptionStart {
    /// The state as of a point of history, then every later change.
    State(AsOf),
    /// The next change.
    Now,
    /// After a token.
    Token(String),
    /// Revisions from the first to the last, or on for ever.
    Range(Revision, Option<Revision>),
}

/// What a subscription is.
#[derive(Debug)]
pub struct SubscriptionRequest {
    /// Where it starts.
    pub start: SubscriptionStart,
    /// What it sees.
    pub filters: Filters,
    /// The version of the licences that `filters` leaves sources out by.
    pub licences: u64,
    /// Whether commits are folded when it is behind.
    pub conflate: bool,
    /// How often it hears when nothing matches.
    pub progress_interval: Duration,
    /// How long it may live before it is asked to come again.
    pub max_age: Duration,
    /// What it is sent over.
    pub connection: Arc<Connection>,
}

/// Why the server ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum GoodbyeReason {
    Shutdown,
    RangeComplete,
    MaxAge,
    ConnectionStalled,
    LicencesChanged,
}

/// One message to a subscriber.
#[derive(Debug)]
pub enum SubscriptionEvent {
    /// The first.
    Opened {
        /// Identity of the history.
        history: HistoryId,
        /// Newest revision.
        head: Revision,
        /// Oldest revision that can be replayed.
        floor: Revision,
        /// Nothing at or below it will come as a commit.
        start: Revision,
        /// Resumes here; empty if the state comes first.
        token: String,
        /// Sources left out.
        left_out: Vec<String>,
    },
    /// Part of the state, each row with the filters it matches.
    State {
        /// The state of this revision.
        revision: Revision,
        /// Number of the page.
        page: u32,
        /// Rows.
        rows: Vec<(StateRow, Vec<usize>)>,
    },
    /// The state is complete.
    StateEnd {
        /// The state of this revision.
        revision: Revision,
        /// Rows sent.
        rows: u64,
        /// Resumes after it.
        token: String,
    },
    /// Part of a commit; with the token if it is the last.
    Commit(CommitPage, Option<String>),
    /// Part of several commits folded into one; with the token if it is the last.
    Fold(ConflatedPage, Option<String>),
    /// Nothing at or below this follows.
    Progress(Revision, String),
    /// Behind (true) or live (false), and head.
    Lag(bool, Revision),
    /// The last.
    Goodbye(GoodbyeReason, String),
}

/// A page of the state is closed at about so many bytes.
const STATE_PAGE_WEIGHT: usize = 48 * 1024;

/// One subscriber.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    _permit: SubscriberPermit,
    /// Its place among those that conflate, if it does.
    conflating: Option<OwnedSemaphorePermit>,
    group: Arc<Group>,
    progress_interval: Duration,
    ends_at: Instant,
    phase: Phase,
    place: Position,
    until: Option<Revision>,
    /// Rings when there may be something for the group.
    bell: watch::Receiver<()>,
    /// For a stream that ends at a revision, matching or not: moves with every commit.
    head: Option<watch::Receiver<Revision>>,
    _connection: Arc<Connection>,
    connection_ends: watch::Receiver<bool>,
    ready: VecDeque<SubscriptionEvent>,
    /// What the subscriber was last told about keeping up.
    told_behind: Option<bool>,
    /// What it leaves out is that of this version of the licences.
    licences: u64,
    /// The place it was last told.
    told_place: Revision,
    told_at: Instant,
}

#[derive(Debug)]
enum Phase {
    State(Box<StateWalk>),
    Between,
    Commit(Box<CommitWalk>),
    Fold(Box<ConflationWalk>),
    Ended,
}

#[derive(Debug)]
struct StateWalk {
    snapshot: Snapshot,
    cursor: StatePosition,
    page: u32,
    rows: u64,
}

impl Subscription {
    /// Opens a subscription.
    pub async fn open(hub: Arc<Hub>, wanted: SubscriptionRequest) -> Result<Self, FeedError> {
        let permit = hub.enter()?;
        let conflating = wanted.conflate.then(|| hub.enter_conflating()).transpose()?;
        let head = hub.reader().head();
        let floor = hub.reader().ledger().floor();
        let (mut phase, mut until) = (Phase::Between, None);
        let at = |revision| Position { revision, last_match: Revision::ZERO };
        let place = match wanted.start {
            SubscriptionStart::Now => at(head),
            SubscriptionStart::Token(token) => {
                let (place, filter_hash) = hub.claimed(&token).await?;
                if filter_hash != wanted.filters.hash() {
                    return Err(FeedError::TokenOtherFilter);
                }
                place
            }
            SubscriptionStart::Range(from, last) => {
                until = last;
                at(Revision(from.0.saturating_sub(1)))
            }
            SubscriptionStart::State(as_of) => {
                let snapshot = hub.read(move |reader| reader.state_at(as_of)).await?;
                let place = at(snapshot.revision());
                let cursor = StatePosition::Definitions;
                phase = Phase::State(Box::new(StateWalk { snapshot, cursor, page: 0, rows: 0 }));
                place
            }
        };
        // Read again: the state may be that of a commit made since.
        let head = hub.reader().head();
        if place.revision > head {
            return Err(FeedError::AboveHead { asked: place.revision, head });
        }
        if place.revision.next() < floor {
            return Err(FeedError::BelowFloor { asked: place.revision.next(), floor });
        }
        let token = match phase {
            // The state is not resumable half way: a client that loses it starts again.
            Phase::State(_) => String::new(),
            _ => hub.token(place, wanted.filters.hash()).await?,
        };
        let history = hub.reader().ledger().history();
        let left_out = wanted.filters.left_out().iter().cloned().collect();
        let opened = SubscriptionEvent::Opened { history, head, floor, start: place.revision, token, left_out };
        let now = Instant::now();
        let group = hub.group(wanted.filters);
        Ok(Self {
            bell: group.wakeups(),
            group,
            head: until.map(|_| hub.head()),
            connection_ends: wanted.connection.ends(),
            _connection: wanted.connection,
            hub,
            _permit: permit,
            conflating,
            progress_interval: wanted.progress_interval,
            ends_at: now + wanted.max_age,
            phase,
            place,
            until,
            ready: VecDeque::from([opened]),
            licences: wanted.licences,
            told_behind: None,
            told_place: place.revision,
            told_at: now,
        })
    }

    /// The change without what is left out of it, if anything is.
    pub fn disclosed(&self, change: &Change) -> Option<Change> {
        self.group.filters.disclosed(change)
    }

    /// The name of a filter.
    pub fn filter_name(&self, at: usize) -> &str {
        self.group.filters.name(at)
    }

    /// When it should come back if all are sent away at once: a part of the time they have, a different one for each.
    pub fn turn(&self) -> f64 {
        self.hub.turn()
    }

    /// What subscribers share.
    pub fn cache(&self) -> &PageCache {
        self.hub.cache()
    }

    /// The next message. `None`: the stream is over.
    pub async fn next(&mut self) -> Result<Option<SubscriptionEvent>, FeedError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.told_at = Instant::now();
                return Ok(Some(event));
            }
            if matches!(self.phase, Phase::Ended) {
                return Ok(None);
            }
            // What rings from here on is heard, so nothing that comes after what is looked at now is missed.
            self.bell.mark_unchanged();
            if self.hub.stops() {
                self.say_goodbye(GoodbyeReason::Shutdown).await?;
                continue;
            }
            if *self.connection_ends.borrow() {
                self.say_goodbye(GoodbyeReason::ConnectionStalled).await?;
                continue;
            }
            // Before the next commit is looked at: what a commit closed must not be told of the one after it.
            if self.hub.licences().version != self.licences {
                self.say_goodbye(GoodbyeReason::LicencesChanged).await?;
                continue;
            }
            if self.told_at.elapsed() >= self.progress_interval && self.within() {
                self.ready.push_back(SubscriptionEvent::Lag(true, self.hub.published()));
                self.told_behind = Some(true);
                continue;
            }
            match std::mem::replace(&mut self.phase, Phase::Ended) {
                Phase::State(walk) => self.walk_state(walk).await?,
                Phase::Commit(walk) => self.walk_commit(walk).await?,
                Phase::Fold(walk) => self.walk_fold(walk).await?,
                Phase::Between => {
                    self.phase = Phase::Between;
                    self.go_on().await?;
                }
                Phase::Ended => return Ok(None),
            }
        }
    }

    /// Whether the stream is within a state or a commit, where no progress may be said. What is read there may match nothing for
    /// long, and the client takes silence for a dead connection.
    fn within(&self) -> bool {
        matches!(self.phase, Phase::State(_) | Phase::Commit(_))
    }

    /// Between two commits: the next one if there is one, else wait.
    async fn go_on(&mut self) -> Result<(), FeedError> {
        let head = match &mut self.head {
            Some(head) => *head.borrow_and_update(),
            None => self.hub.published(),
        };
        let behind = self.pass_over(head);
        if self.until.is_some_and(|until| self.place.revision >= until) {
            self.say_goodbye(GoodbyeReason::RangeComplete).await?;
            return Ok(());
        }
        if Instant::now() >= self.ends_at {
            self.say_goodbye(GoodbyeReason::MaxAge).await?;
            return Ok(());
        }
        if self.place.revision < head {
            // One commit behind is how a live stream moves; more is catching up.
            if self.told_behind != Some(true) && behind {
                self.told_behind = Some(true);
                self.ready.push_back(SubscriptionEvent::Lag(true, head));
            } else if self.told_at.elapsed() >= self.progress_interval {
                self.say_progress().await?;
            }
            let end = self.until.map_or(head, |until| until.min(head));
            self.phase = if self.conflating.is_some() && self.place.revision.next() < end {
                Phase::Fold(Box::new(ConflationWalk::after(self.place, end)))
            } else {
                Phase::Commit(Box::new(CommitWalk::after(&self.hub, self.place).await?))
            };
            return Ok(());
        }
        if self.told_behind != Some(false) {
            self.told_behind = Some(false);
            if self.told_place < self.place.revision {
                self.say_progress().await?;
            }
            self.ready.push_back(SubscriptionEvent::Lag(false, head));
            return Ok(());
        }
        if self.told_at.elapsed() >= self.progress_interval {
            self.say_progress().await?;
            return Ok(());
        }
        self.wait().await;
        Ok(())
    }

    /// Moves over commits of which the group knows that they do not match; says whether more than one is ahead.
    fn pass_over(&mut self, head: Revision) -> bool {
        let (last, behind) = match self.group.next_match(self.place.revision) {
            NextMatch::Unknown => return self.place.revision.next() < head,
            NextMatch::Nothing => (head, false),
            NextMatch::Commit { revision, more_follow } => {
                (Revision(revision.0.saturating_sub(1)).min(head), more_follow)
            }
        };
        let last = self.until.map_or(last, |until| last.min(until));
        self.place.revision = self.place.revision.max(last);
        behind
    }

    async fn wait(&mut self) {
        let until = self.ends_at.min(self.told_at + self.progress_interval);
        let every_commit = async {
            match &mut self.head {
                Some(head) => drop(head.changed().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.bell.changed() => {}
            _ = self.connection_ends.changed() => {}
            () = every_commit => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    async fn walk_state(&mut self, mut walk: Box<StateWalk>) -> Result<(), FeedError> {
        let (snapshot, cursor) = (walk.snapshot.clone(), walk.cursor.clone());
        let (rows, cursor) = self.hub.read(move |_| snapshot.read_state(cursor)).await?;
        walk.cursor = cursor;
        let revision = walk.snapshot.revision();
        let mut page = Vec::new();
        let mut page_weight = 0;
        for row in rows {
            let Some(matched) = self.group.filters.match_state(&row) else { continue };
            walk.rows += 1;
            page_weight += weight::of_row(&row);
            page.push((row, matched));
            if page_weight >= STATE_PAGE_WEIGHT {
                self.ready.push_back(SubscriptionEvent::State {
                    revision,
                    page: walk.page,
                    rows: std::mem::take(&mut page),
                });
                walk.page += 1;
                page_weight = 0;
            }
        }
        if !page.is_empty() {
            self.ready.push_back(SubscriptionEvent::State { revision, page: walk.page, rows: page });
            walk.page += 1;
        }
        if matches!(walk.cursor, StatePosition::End) {
            let token = self.token().await?;
            self.ready.push_back(SubscriptionEvent::StateEnd { revision, rows: walk.rows, token });
            self.phase = Phase::Between;
        } else {
            self.phase = Phase::State(walk);
        }
        Ok(())
    }

    async fn walk_commit(&mut self, mut walk: Box<CommitWalk>) -> Result<(), FeedError> {
        match walk.step(&self.hub, &self.group).await? {
            WalkStep::Reading => self.phase = Phase::Commit(walk),
            WalkStep::Part(part) if !part.last => {
                self.ready.push_back(SubscriptionEvent::Commit(part, None));
                self.phase = Phase::Commit(walk);
            }
            last => {
                self.place.revision = walk.revision();
                if let WalkStep::Part(part) = last {
                    self.place.last_match = walk.revision();
                    self.told_place = walk.revision();
                    let token = self.token().await?;
                    self.ready.push_back(SubscriptionEvent::Commit(part, Some(token)));
                }
                self.phase = Phase::Between;
            }
        }
        Ok(())
    }

    async fn walk_fold(&mut self, mut walk: Box<ConflationWalk>) -> Result<(), FeedError> {
        match walk.step(&self.hub, &self.group).await? {
            ConflationStep::Reading => {
                if self.told_at.elapsed() >= self.progress_interval {
                    self.say_progress().await?;
                }
                self.phase = Phase::Fold(walk);
            }
            ConflationStep::Nothing(to) => {
                self.place.revision = to;
                self.phase = Phase::Between;
            }
            ConflationStep::Plain(before) => {
                self.place.revision = before;
                // What was left out is told before the commit: a client that is cut within it has the rest of it next, also
                // from a stream that leaves nothing out.
                if self.told_place < before {
                    self.say_progress().await?;
                }
                self.phase = Phase::Commit(Box::new(CommitWalk::after(&self.hub, self.place).await?));
            }
            ConflationStep::Folded(to, pages) => {
                for page in pages {
                    // The token is that of the last revision folded in: what did not match after it is told by progress.
                    let revision = page.header.commit.revision;
                    self.place = Position { revision, last_match: revision };
                    self.told_place = revision;
                    let token = if page.last { Some(self.token().await?) } else { None };
                    self.ready.push_back(SubscriptionEvent::Fold(page, token));
                }
                self.place.revision = to;
                self.phase = Phase::Between;
            }
        }
        Ok(())
    }

    async fn say_progress(&mut self) -> Result<(), FeedError> {
        self.told_place = self.place.revision;
        let event = SubscriptionEvent::Progress(self.place.revision, self.token().await?);
        self.ready.push_back(event);
        Ok(())
    }

    async fn say_goodbye(&mut self, reason: GoodbyeReason) -> Result<(), FeedError> {
        let between = matches!(self.phase, Phase::Between | Phase::Fold(_));
        if between && self.told_place < self.place.revision {
            self.say_progress().await?;
        }
        // Within a commit nothing may be said before its end. So the token is that of the place last told: one beyond it
        // would look to the client like a gap.
        self.place.revision = self.told_place;
        let token = if matches!(self.phase, Phase::State(_)) { String::new() } else { self.token().await? };
        self.ready.push_back(SubscriptionEvent::Goodbye(reason, token));
        self.phase = Phase::Ended;
        Ok(())
    }

    async fn token(&self) -> Result<String, FeedError> {
        Ok(self.hub.token(self.place, self.group.filters.hash()).await?)
    }
}
