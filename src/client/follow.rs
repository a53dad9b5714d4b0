//! The loop: subscribe, check, yield, come back.

use std::time::Duration;

use tonic::{
    Code, Status, Streaming,
    body::Body,
    client::GrpcService,
    codegen::{Body as HttpBody, Bytes, StdError},
};
use tonic_types::StatusExt;

use super::{
    backoff::Backoff,
    check::{BrokenPromise, Check},
};
use crate::proto::{
    self, ERROR_DOMAIN, GoodbyeReason, change::Detail, feed_service_client::FeedServiceClient, state_row::Item,
    subscribe_request::Start as AskedStart, subscribe_response::Body as Message,
};

/// How often a follower that did not say asks to hear something.
const PROGRESS_DEFAULT: Duration = Duration::from_secs(5);
/// A connection on which nothing came for so many progress intervals is given up: the server speaks in each of them.
const SILENT_INTERVALS_MAX: u32 = 3;
/// How long a stream may take to open.
const OPENING_WAIT: Duration = Duration::from_secs(5);

/// Where to start.
#[derive(Debug, Clone, PartialEq)]
pub enum FollowStart {
    /// The state, then every change after it.
    State,
    /// The state as known at a point of history, then every later change.
    StateAsKnownAt(proto::AsOf),
    /// The next change.
    Now,
    /// Revisions from the first on, to the second if it is given.
    Range(u64, Option<u64>),
    /// Exactly after this token.
    Token(String),
}

/// What comes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FollowEvent {
    /// A connection was made.
    Opened(proto::Opened),
    /// Part of the state. Not to be relied on before [`FollowEvent::StateComplete`].
    Rows(Vec<proto::StateRow>),
    /// The connection broke within the state: it comes again from the beginning, throw away what came of it.
    StateDiscarded,
    /// The state is here; count and digest were checked.
    StateComplete(proto::SnapshotEnd),
    /// The server leaves out other sources than before, for their licences. A copy is not whole any more: throw it away. If the
    /// follower began with a state, the state comes again.
    LicencesChanged {
        /// The sources left out from here on.
        left_out: Vec<String>,
    },
    /// Part of a commit.
    Changes(Box<Part>),
    /// Nothing at or below this revision follows.
    Progress(u64),
    /// The stream fell behind, or caught up.
    Lag(proto::Lag),
    /// The connection broke; a new one is made after this wait.
    Reconnecting {
        /// How long.
        wait: Duration,
        /// Why.
        why: String,
    },
}

/// Part of a commit, or several commits conflated into one. Apply it when `last` is here.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The commit's revision; of a conflated one that of the last commit in it.
    pub revision: u64,
    /// The first revision in a conflated commit; 0 for a commit as it is. A conflated one comes in one part.
    pub conflated_from: u64,
    /// About the commit; with its first part.
    pub commit: Option<proto::Commit>,
    /// The matching commit before this one; 0 for the first of the subscription.
    pub prev_matching_revision: u64,
    /// Matching changes, in commit order.
    pub changes: Vec<proto::Change>,
    /// The commit is complete.
    pub last: bool,
}

/// Why following ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The server will not serve this, however often it is asked.
    #[error("{}", .0.message())]
    Refused(Box<Status>),
    /// What came cannot be relied on.
    #[error(transparent)]
    Broken(#[from] BrokenPromise),
    /// A newer server sent something that this follower does not know: a copy would no longer be true.
    #[error("the server sent {0} of a kind that this client does not know; it needs a newer version of the client")]
    Unknown(&'static str),
}

/// Follows the feed through broken connections and restarts of the server.
#[derive(Debug)]
pub struct Follower<T> {
    feed: FeedServiceClient<T>,
    start: FollowStart,
    filters: Vec<proto::Filter>,
    progress_interval: Duration,
    conflate: bool,
    /// This connection was asked not to conflate, only to have the rest of a commit.
    plain: bool,
    stream: Option<Streaming<proto::SubscribeResponse>>,
    check: Check,
    backoff: Backoff,
    wait: Option<Duration>,
    token: Option<String>,
    /// The sources that the server leaves out; `None` before it said so.
    left_out: Option<Vec<String>>,
    /// A state was announced and is not complete.
    within_state: bool,
    /// The first part of the open commit was yielded.
    commit_begun: bool,
    /// The pages of a fold that is not complete. After a reconnection it comes with other content, so nothing of it is
    /// yielded before. The server bounds it: 500 changes.
    fold: Option<proto::CommitPage>,
    ended: bool,
}

fn silent(silence: Duration) -> Status {
    Status::unavailable(format!("nothing came for {} s: the connection is dead", silence.as_secs_f32()))
}

/// Whether asking again cannot help. A code alone does not say so: a message that a proxy cut looks like `INVALID_ARGUMENT` to
/// a client's own library. The server gives its reasons.
fn hopeless(status: &Status) -> bool {
    let may_be = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
            | Code::DataLoss
    );
    may_be && status.get_error_details().error_info().is_some_and(|info| info.domain == ERROR_DOMAIN)
}

fn known_definition(definition: Option<&proto::Definition>) -> bool {
    definition.is_none_or(|definition| definition.item.is_some())
}

fn known_row(row: &proto::StateRow) -> bool {
    match &row.item {
        Some(Item::Definition(definition)) => known_definition(Some(definition)),
        item => item.is_some(),
    }
}

fn known_change(change: &proto::Change) -> bool {
    let known = match &change.detail {
        Some(Detail::Definition(change)) => {
            known_definition(change.before.as_ref()) && known_definition(change.after.as_ref())
        }
        detail => detail.is_some(),
    };
    known && change.scope() != proto::ChangeScope::Unspecified
}

impl<T> Follower<T>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// Follows what matches any of these filters; none means everything.
    pub fn new(feed: FeedServiceClient<T>, start: FollowStart, filters: Vec<proto::Filter>) -> Self {
        let token = if let FollowStart::Token(token) = &start { Some(token.clone()) } else { None };
        let check = Check::new(token.is_some());
        Self {
            feed,
            start,
            filters,
            token,
            progress_interval: PROGRESS_DEFAULT,
            left_out: None,
            conflate: false,
            plain: false,
            stream: None,
            check,
            backoff: Backoff::default(),
            wait: None,
            within_state: false,
            commit_begun: false,
            fold: None,
            ended: false,
        }
    }

    /// Asks to hear so often when nothing matches: 100 ms to 20 s, by default 5 s. A connection on which nothing came for three
    /// times as long is given up for dead.
    pub fn progress_every(mut self, interval: Duration) -> Self {
        self.progress_interval = interval;
        self
    }

    /// Takes the random part of its waits from here, evenly from 0 to 1; without this, from the machine.
    pub fn jitter(mut self, draw: impl FnMut() -> f64 + Send + 'static) -> Self {
        self.backoff = Backoff::drawn(draw);
        self
    }

    /// Asks for the net of several commits where the stream is behind: for displays, not for audit.
    pub fn conflate(mut self) -> Self {
        self.conflate = true;
        self
    }

    /// Resumes exactly after the last complete commit, state or progress that was yielded.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Everything at or below this revision was yielded.
    pub fn position(&self) -> u64 {
        self.check.position()
    }

    /// Part of a commit was yielded, and the rest was not.
    pub fn within_commit(&self) -> bool {
        self.check.within_commit()
    }

    /// What comes next; `None` when the range asked for is complete. Waits as long as it takes, reconnecting.
    pub async fn next(&mut self) -> Result<Option<FollowEvent>, FollowError> {
        loop {
            // A token says where to go on, not where to end: the end of a range is kept here, through reconnections.
            let done = matches!(self.start, FollowStart::Range(_, Some(until)) if self.check.position() >= until);
            if self.ended || done {
                return Ok(None);
            }
            if let Some(wait) = self.wait.take() {
                tokio::time::sleep(wait).await;
            }
            let silence = self.progress_interval.saturating_mul(SILENT_INTERVALS_MAX);
            let Some(stream) = &mut self.stream else {
                // The server may wait for the revision of a token before it opens the stream.
                let wait = silence.max(OPENING_WAIT);
                let connected = tokio::time::timeout(wait, self.connect()).await;
                if let Err(status) = connected.unwrap_or_else(|_| Err(silent(wait))) {
                    return self.failed(status).map(Some);
                }
                continue;
            };
            let message = tokio::time::timeout(silence, stream.message()).await;
            match message.unwrap_or_else(|_| Err(silent(silence))) {
                Ok(Some(message)) => {
                    self.backoff.reset();
                    if let Some(event) = self.take(message)? {
                        return Ok(Some(event));
                    }
                }
                Ok(None) if self.ended => return Ok(None),
                Ok(None) => return self.failed(Status::unavailable("the stream ended")).map(Some),
                Err(status) => return self.failed(status).map(Some),
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Status> {
        let start = match (&self.token, &self.start) {
            (Some(token), _) => AskedStart::ResumeToken(token.clone()),
            (None, FollowStart::State) => AskedStart::State(proto::StartState {}),
            (None, FollowStart::StateAsKnownAt(as_of)) => AskedStart::AsKnownAt(as_of.clone()),
            (None, FollowStart::Now) => AskedStart::Now(proto::StartNow {}),
            (None, FollowStart::Token(token)) => AskedStart::ResumeToken(token.clone()),
            (None, FollowStart::Range(from, until)) => {
                AskedStart::Range(proto::StartRange { first_revision: *from, last_revision: until.unwrap_or(0) })
            }
        };
        self.fold = None;
        // The rest of a commit that was begun comes only without folding. And a token does not say where a range ends: a
        // fold could go beyond it.
        let beyond = self.token.is_some() && matches!(self.start, FollowStart::Range(_, Some(_)));
        self.plain = self.commit_begun && !beyond;
        let request = proto::SubscribeRequest {
            start: Some(start),
            filters: self.filters.clone(),
            progress_interval: self.progress_interval.try_into().ok(),
            conflate: self.conflate && !self.plain && !beyond,
            digest_version: self.check.digest_version(),
        };
        self.stream = Some(self.feed.subscribe(request).await?.into_inner());
        Ok(())
    }

    /// One message; what of it the application should see.
    fn take(&mut self, message: proto::SubscribeResponse) -> Result<Option<FollowEvent>, FollowError> {
        // A message of an unknown kind is passed over, as the contract says; the chain shows if it mattered.
        let Some(message) = message.body else { return Ok(None) };
        Ok(match message {
            Message::Opened(opened) => {
                let before = self.left_out.replace(opened.left_out_sources.clone());
                if before.is_some_and(|before| before != opened.left_out_sources) {
                    return Ok(Some(self.begin_again(opened)?));
                }
                self.check.opened(&opened)?;
                self.within_state = opened.resume_token.is_empty();
                self.remember(&opened.resume_token);
                Some(FollowEvent::Opened(opened))
            }
            Message::SnapshotPage(page) => {
                if !page.rows.iter().all(known_row) {
                    return Err(FollowError::Unknown("a row"));
                }
                self.check.rows(&page.rows);
                Some(FollowEvent::Rows(page.rows))
            }
            Message::SnapshotEnd(end) => {
                self.check.state_ends(&end)?;
                self.within_state = false;
                self.remember(&end.resume_token);
                Some(FollowEvent::StateComplete(end))
            }
            Message::CommitPage(page) if matches!(self.start, FollowStart::Range(_, Some(until)) if page.revision > until) =>
            {
                self.ended = true;
                None
            }
            Message::CommitPage(mut page) => {
                if !page.changes.iter().all(known_change) {
                    return Err(FollowError::Unknown("a change"));
                }
                self.check.page(&mut page)?;
                if page.conflated_from > 0 {
                    page = match self.fold.take() {
                        Some(mut fold) => {
                            fold.changes.append(&mut page.changes);
                            (fold.last_page, fold.resume_token) = (page.last_page, page.resume_token);
                            fold
                        }
                        None => page,
                    };
                    if !page.last_page {
                        self.fold = Some(page);
                        return Ok(None);
                    }
                }
                self.remember(&page.resume_token);
                let commit = page.commit.filter(|_| !self.commit_begun);
                self.commit_begun = !page.last_page;
                if self.conflate && self.plain && page.last_page {
                    self.stream = None;
                }
                let part = Part {
                    revision: page.revision,
                    conflated_from: page.conflated_from,
                    commit,
                    prev_matching_revision: page.prev_matching_revision,
                    changes: page.changes,
                    last: page.last_page,
                };
                (part.last || part.commit.is_some() || !part.changes.is_empty())
                    .then(|| FollowEvent::Changes(Box::new(part)))
            }
            Message::Progress(progress) => {
                self.check.progress(progress.revision)?;
                self.remember(&progress.resume_token);
                Some(FollowEvent::Progress(progress.revision))
            }
            Message::Lag(lag) => Some(FollowEvent::Lag(lag)),
            Message::Goodbye(goodbye) => self.goodbye(&goodbye),
        })
    }

    /// Other sources are left out: what was kept is not what the server keeps.
    fn begin_again(&mut self, opened: proto::Opened) -> Result<FollowEvent, FollowError> {
        if matches!(self.start, FollowStart::State | FollowStart::StateAsKnownAt(_)) && !opened.resume_token.is_empty()
        {
            self.start = FollowStart::State;
            self.token = None;
            self.stream = None;
            self.check = Check::new(false);
            self.commit_begun = false;
            self.within_state = false;
        } else {
            self.check.opened(&opened)?;
            self.within_state = opened.resume_token.is_empty();
            self.remember(&opened.resume_token);
        }
        Ok(FollowEvent::LicencesChanged { left_out: opened.left_out_sources })
    }

    fn remember(&mut self, token: &str) {
        if !token.is_empty() {
            self.token = Some(token.to_owned());
        }
    }

    fn goodbye(&mut self, goodbye: &proto::Goodbye) -> Option<FollowEvent> {
        self.remember(&goodbye.resume_token);
        self.stream = None;
        if goodbye.reason() == GoodbyeReason::RangeComplete {
            self.ended = true;
            return None;
        }
        let asked = goodbye.reconnect_after.and_then(|after| Duration::try_from(after).ok()).unwrap_or_default();
        let why = match goodbye.reason() {
            GoodbyeReason::Shutdown => "the server is shutting down",
            GoodbyeReason::ConnectionStalled => "another stream of the connection took nothing",
            GoodbyeReason::LicencesChanged => "the server leaves out other sources from here on",
            _ => "the stream is old",
        };
        Some(self.come_back(asked, why.to_owned()))
    }

    /// A failure: comes back if that can help.
    fn failed(&mut self, status: Status) -> Result<FollowEvent, FollowError> {
        self.stream = None;
        if hopeless(&status) {
            return Err(FollowError::Refused(Box::new(status)));
        }
        let asked = status.get_error_details().retry_info().and_then(|retry| retry.retry_delay);
        let wait = self.backoff.next().max(asked.unwrap_or_default());
        Ok(self.come_back(wait, status.message().to_owned()))
    }

    fn come_back(&mut self, wait: Duration, why: String) -> FollowEvent {
        self.wait = Some(wait);
        let discarded = std::mem::take(&mut self.within_state) && self.check.discard_state();
        if discarded { FollowEvent::StateDiscarded } else { FollowEvent::Reconnecting { wait, why } }
    }
}
