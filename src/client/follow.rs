//! The follower: it subscribes, checks what comes, yields it, and reconnects.
//!
//! Invariant: it yields every change once and in order, whatever happens to connections.

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
    check::Check,
    event::{FollowError, FollowEvent, FollowStart, Part},
};
use crate::proto::{
    self, ERROR_DOMAIN, GoodbyeReason, change::Detail, feed_service_client::FeedServiceClient, state_row::Item,
    subscribe_request::Start as RequestStart, subscribe_response::Body as Message,
};

/// Progress interval of a follower for which [`Follower::progress_every`] was not called.
const PROGRESS_DEFAULT: Duration = Duration::from_secs(5);
/// After so many progress intervals without a message the connection is dead: the server sends one in each interval.
const SILENT_INTERVALS_MAX: u32 = 3;
/// Shortest time that a stream gets to open: the server may wait 2 s for the revision of a token.
const OPENING_WAIT: Duration = Duration::from_secs(5);

/// Follows the feed through broken connections and restarts of the server.
#[derive(Debug)]
pub struct Follower<T> {
    feed: FeedServiceClient<T>,
    start: FollowStart,
    filters: Vec<proto::Filter>,
    progress_interval: Duration,
    conflate: bool,
    /// The open stream does not conflate, because it must send the rest of a commit as it is.
    sends_rest: bool,
    stream: Option<Streaming<proto::SubscribeResponse>>,
    check: Check,
    backoff: Backoff,
    /// How long to wait before the next connection.
    wait: Option<Duration>,
    token: Option<String>,
    /// Sources that the server leaves out; `None` before the first stream opens.
    left_out: Option<Vec<String>>,
    /// The stream sends the state, which is not complete.
    within_state: bool,
    /// A part of a commit was yielded, and not its last part.
    within_commit: bool,
    /// The pages so far of a conflated commit. After a reconnection the server may send it with other content, so the
    /// follower yields it only when it is complete. The server bounds it to 500 changes.
    conflated: Option<proto::CommitPage>,
    ended: bool,
}

impl<T> Follower<T>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// Follows the changes that at least one of the filters accepts; without filters, all changes. At most 32 filters; if
    /// there are several, each needs a name of its own.
    pub fn new(feed: FeedServiceClient<T>, start: FollowStart, filters: Vec<proto::Filter>) -> Self {
        let token = match &start {
            FollowStart::Token(token) => Some(token.clone()),
            _ => None,
        };
        let check = Check::new(token.is_some());
        Self {
            feed,
            start,
            filters,
            token,
            progress_interval: PROGRESS_DEFAULT,
            left_out: None,
            conflate: false,
            sends_rest: false,
            stream: None,
            check,
            backoff: Backoff::default(),
            wait: None,
            within_state: false,
            within_commit: false,
            conflated: None,
            ended: false,
        }
    }

    /// Sets the longest time between two messages of the server: 100 ms to 20 s, by default 5 s. The follower treats a
    /// connection as dead if nothing comes for three times as long.
    pub fn progress_every(mut self, interval: Duration) -> Self {
        self.progress_interval = interval;
        self
    }

    /// Sets the source of randomness for waits: `draw` returns numbers evenly from 0 to 1. Default: that of the system.
    pub fn jitter(mut self, draw: impl FnMut() -> f64 + Send + 'static) -> Self {
        self.backoff = Backoff::drawn(draw);
        self
    }

    /// Asks the server to conflate: a stream that is behind gets the net change of several commits as one. For displays,
    /// not for audits.
    pub fn conflate(mut self) -> Self {
        self.conflate = true;
        self
    }

    /// The token of the last complete commit, state or progress that was yielded. `None` before the first one.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Every matching change at or below this revision was yielded.
    pub fn position(&self) -> u64 {
        self.check.position()
    }

    /// Whether part of a commit was yielded and the rest was not.
    pub fn within_commit(&self) -> bool {
        self.check.within_commit()
    }

    /// The next event; `None` when the range of [`FollowStart::Range`] is complete. Waits without a limit, and reconnects.
    ///
    /// # Errors
    ///
    /// [`FollowError::Refused`] if the server refuses the request for good, [`FollowError::Broken`] if it breaks a promise,
    /// [`FollowError::Unknown`] if it sends something of an unknown kind.
    pub async fn next(&mut self) -> Result<Option<FollowEvent>, FollowError> {
        loop {
            // A token does not say where a range ends, so the follower checks that itself, across reconnections.
            if self.ended || self.range_end().is_some_and(|last| self.check.position() >= last) {
                return Ok(None);
            }
            if let Some(wait) = self.wait.take() {
                tokio::time::sleep(wait).await;
            }
            let silence = self.progress_interval.saturating_mul(SILENT_INTERVALS_MAX);
            let Some(stream) = &mut self.stream else {
                let wait = silence.max(OPENING_WAIT);
                let connected = tokio::time::timeout(wait, self.connect()).await;
                if let Err(status) = connected.unwrap_or_else(|_| Err(silent(wait))) {
                    return self.reconnect_after(status).map(Some);
                }
                continue;
            };
            let message = tokio::time::timeout(silence, stream.message()).await;
            match message.unwrap_or_else(|_| Err(silent(silence))) {
                Ok(Some(message)) => {
                    self.backoff.reset();
                    if let Some(event) = self.handle(message)? {
                        return Ok(Some(event));
                    }
                }
                Ok(None) if self.ended => return Ok(None),
                Ok(None) => return self.reconnect_after(Status::unavailable("the stream ended")).map(Some),
                Err(status) => return self.reconnect_after(status).map(Some),
            }
        }
    }

    /// Last revision to follow, if the range has an end.
    fn range_end(&self) -> Option<u64> {
        match self.start {
            FollowStart::Range(_, last) => last,
            _ => None,
        }
    }

    async fn connect(&mut self) -> Result<(), Status> {
        let start = match (&self.token, &self.start) {
            (Some(token), _) | (None, FollowStart::Token(token)) => RequestStart::ResumeToken(token.clone()),
            (None, FollowStart::State) => RequestStart::State(proto::StartState {}),
            (None, FollowStart::StateAsKnownAt(as_of)) => RequestStart::AsKnownAt(as_of.clone()),
            (None, FollowStart::Now) => RequestStart::Now(proto::StartNow {}),
            (None, FollowStart::Range(first, last)) => {
                RequestStart::Range(proto::StartRange { first_revision: *first, last_revision: last.unwrap_or(0) })
            }
        };
        self.conflated = None;
        // A token does not say where a range ends, so a conflated commit could reach beyond the range.
        let resumes_range = self.token.is_some() && self.range_end().is_some();
        // A stream that conflates would not send the rest of a commit as it is.
        self.sends_rest = self.within_commit && !resumes_range;
        let request = proto::SubscribeRequest {
            start: Some(start),
            filters: self.filters.clone(),
            progress_interval: self.progress_interval.try_into().ok(),
            conflate: self.conflate && !self.sends_rest && !resumes_range,
            digest_version: self.check.digest_version(),
        };
        self.stream = Some(self.feed.subscribe(request).await?.into_inner());
        Ok(())
    }

    /// Checks a message and makes the event of it, if the caller needs to see one.
    fn handle(&mut self, message: proto::SubscribeResponse) -> Result<Option<FollowEvent>, FollowError> {
        match message.body {
            // The contract says to ignore messages of an unknown kind. The chain shows if something was missed.
            None => Ok(None),
            Some(Message::Opened(opened)) => self.opened(opened).map(Some),
            Some(Message::SnapshotPage(page)) => {
                if !page.rows.iter().all(is_known_row) {
                    return Err(FollowError::Unknown("a row"));
                }
                self.check.rows(&page.rows);
                Ok(Some(FollowEvent::Rows(page.rows)))
            }
            Some(Message::SnapshotEnd(end)) => {
                self.check.state_ends(&end)?;
                self.within_state = false;
                self.remember(&end.resume_token);
                Ok(Some(FollowEvent::StateComplete(end)))
            }
            Some(Message::CommitPage(page)) => self.commit_page(page),
            Some(Message::Progress(progress)) => {
                self.check.progress(progress.revision)?;
                self.remember(&progress.resume_token);
                Ok(Some(FollowEvent::Progress(progress.revision)))
            }
            Some(Message::Lag(lag)) => Ok(Some(FollowEvent::Lag(lag))),
            Some(Message::Goodbye(goodbye)) => Ok(self.goodbye(&goodbye)),
        }
    }

    fn opened(&mut self, opened: proto::Opened) -> Result<FollowEvent, FollowError> {
        let before = self.left_out.replace(opened.left_out_sources.clone());
        let licences_changed = before.is_some_and(|before| before != opened.left_out_sources);
        let with_state = matches!(self.start, FollowStart::State | FollowStart::StateAsKnownAt(_));
        if licences_changed && with_state && !opened.resume_token.is_empty() {
            self.begin_again();
        } else {
            self.check.opened(&opened)?;
            self.within_state = opened.resume_token.is_empty();
            self.remember(&opened.resume_token);
        }
        Ok(match licences_changed {
            true => FollowEvent::LicencesChanged { left_out: opened.left_out_sources },
            false => FollowEvent::Opened(opened),
        })
    }

    /// Discards what the follower knows; the next stream begins with the newest state.
    fn begin_again(&mut self) {
        self.start = FollowStart::State;
        self.token = None;
        self.stream = None;
        self.check = Check::new(false);
        self.within_commit = false;
        self.within_state = false;
    }

    fn commit_page(&mut self, mut page: proto::CommitPage) -> Result<Option<FollowEvent>, FollowError> {
        if self.range_end().is_some_and(|last| page.revision > last) {
            self.ended = true;
            return Ok(None);
        }
        if !page.changes.iter().all(is_known_change) {
            return Err(FollowError::Unknown("a change"));
        }
        self.check.page(&mut page)?;
        if page.conflated_from > 0 {
            page = self.append_conflated(page);
            if !page.last_page {
                self.conflated = Some(page);
                return Ok(None);
            }
        }
        self.remember(&page.resume_token);
        let commit = page.commit.filter(|_| !self.within_commit);
        self.within_commit = !page.last_page;
        if self.conflate && self.sends_rest && page.last_page {
            // The commit is complete: the next stream may conflate again.
            self.stream = None;
        }
        // After a reconnection a page may hold nothing that was not yielded before.
        let is_news = page.last_page || commit.is_some() || !page.changes.is_empty();
        let part = Part {
            revision: page.revision,
            conflated_from: page.conflated_from,
            commit,
            prev_matching_revision: page.prev_matching_revision,
            changes: page.changes,
            last: page.last_page,
        };
        Ok(is_news.then(|| FollowEvent::Changes(Box::new(part))))
    }

    /// The pages so far of a conflated commit, with one more, as one page.
    fn append_conflated(&mut self, mut page: proto::CommitPage) -> proto::CommitPage {
        let Some(mut pages) = self.conflated.take() else { return page };
        pages.changes.append(&mut page.changes);
        pages.last_page = page.last_page;
        pages.resume_token = page.resume_token;
        pages
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
        let wait = goodbye.reconnect_after.and_then(|after| Duration::try_from(after).ok()).unwrap_or_default();
        let why = match goodbye.reason() {
            GoodbyeReason::Shutdown => "the server is shutting down",
            GoodbyeReason::ConnectionStalled => "another stream of the connection took no data",
            GoodbyeReason::LicencesChanged => "the server leaves out other sources from here on",
            _ => "the stream reached its greatest age",
        };
        Some(self.reconnect(wait, why.to_owned()))
    }

    /// Ends the stream after an error: the follower reconnects, or ends if a retry cannot help.
    fn reconnect_after(&mut self, status: Status) -> Result<FollowEvent, FollowError> {
        self.stream = None;
        if is_final(&status) {
            return Err(FollowError::Refused(Box::new(status)));
        }
        let asked = status.get_error_details().retry_info().and_then(|retry| retry.retry_delay);
        let wait = self.backoff.next().max(asked.unwrap_or_default());
        Ok(self.reconnect(wait, status.message().to_owned()))
    }

    fn reconnect(&mut self, wait: Duration, why: String) -> FollowEvent {
        self.wait = Some(wait);
        let within_state = std::mem::take(&mut self.within_state);
        if within_state && self.check.discard_state() {
            return FollowEvent::StateDiscarded;
        }
        FollowEvent::Reconnecting { wait, why }
    }
}

fn silent(silence: Duration) -> Status {
    Status::unavailable(format!("nothing came for {} s: the connection is dead", silence.as_secs_f32()))
}

/// Whether a retry cannot help. The code alone does not say so: if a proxy cuts a message, the library of the client may
/// report `INVALID_ARGUMENT` too. Only errors of the server carry a reason of its domain.
fn is_final(status: &Status) -> bool {
    let may_be_final = matches!(
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
    may_be_final && status.get_error_details().error_info().is_some_and(|info| info.domain == ERROR_DOMAIN)
}

fn is_known_definition(definition: Option<&proto::Definition>) -> bool {
    definition.is_none_or(|definition| definition.item.is_some())
}

fn is_known_row(row: &proto::StateRow) -> bool {
    match &row.item {
        Some(Item::Definition(definition)) => is_known_definition(Some(definition)),
        item => item.is_some(),
    }
}

fn is_known_change(change: &proto::Change) -> bool {
    let has_known_kind = match &change.detail {
        Some(Detail::Definition(change)) => {
            is_known_definition(change.before.as_ref()) && is_known_definition(change.after.as_ref())
        }
        detail => detail.is_some(),
    };
    has_known_kind && change.scope() != proto::ChangeScope::Unspecified
}
