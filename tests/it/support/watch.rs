//! A subscriber that records every message.

use std::sync::{Arc, Mutex};

use almanac::proto::{subscribe_request::Start, subscribe_response::Body as Message, *};
use tokio::{sync::watch, task::JoinHandle};
use tonic::Status;

use crate::support::{Clients, DEADLINE, WholeCommit, join};

/// An open subscription.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) start: Start,
    filters: Vec<Filter>,
    messages: Arc<Mutex<Vec<Message>>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<Result<(), Status>>,
}

/// All messages of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    pub(crate) start: Start,
    pub(crate) filters: Vec<Filter>,
    pub(crate) messages: Vec<Message>,
}

impl Watch {
    pub(crate) async fn open(clients: &Clients, start: Start, filters: Vec<Filter>) -> Result<Self, Status> {
        Self::open_as(clients, start, filters, false).await
    }

    /// Opens a stream that conflates.
    pub(crate) async fn conflating(clients: &Clients, start: Start, filters: Vec<Filter>) -> Result<Self, Status> {
        Self::open_as(clients, start, filters, true).await
    }

    async fn open_as(clients: &Clients, start: Start, filters: Vec<Filter>, conflate: bool) -> Result<Self, Status> {
        let request = SubscribeRequest {
            start: Some(start.clone()),
            filters: filters.clone(),
            progress_interval: Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 }),
            conflate,
            digest_version: 0,
        };
        let mut stream = clients.feed.clone().subscribe(request).await?.into_inner();
        let messages: Arc<Mutex<Vec<Message>>> = Arc::default();
        let (counted, count) = watch::channel(0);
        let recorded = messages.clone();
        let task = tokio::spawn(async move {
            while let Some(message) = stream.message().await? {
                let message = message.body.expect("no empty messages");
                let mut recorded = recorded.lock().unwrap();
                recorded.push(message);
                counted.send_replace(recorded.len());
            }
            Ok(())
        });
        Ok(Self { start, filters, messages, count, task })
    }

    /// Waits until the messages so far satisfy a condition. `what` names it in the message of a failure.
    pub(crate) async fn until(&mut self, what: &str, condition: impl Fn(&[Message]) -> bool) {
        let waited = tokio::time::timeout(DEADLINE, async {
            loop {
                self.count.borrow_and_update();
                if condition(&self.messages.lock().unwrap()) {
                    return true;
                }
                if self.count.changed().await.is_err() {
                    return condition(&self.messages.lock().unwrap());
                }
            }
        });
        let done = waited.await.unwrap_or(false);
        assert!(done, "{what} did not come; seen: {}", outline(&self.messages.lock().unwrap()));
    }

    /// Waits until the stream covers a revision.
    pub(crate) async fn until_covers(&mut self, revision: u64) {
        self.until(&format!("revision {revision}"), |messages| covered(messages) >= revision).await;
    }

    /// Waits until the stream covers a revision or fails; returns the messages, and the error if it failed.
    pub(crate) async fn until_covers_or_fails(mut self, revision: u64) -> (Recording, Option<Status>) {
        let waited = tokio::time::timeout(DEADLINE, async {
            while covered(&self.messages.lock().unwrap()) < revision && self.count.changed().await.is_ok() {}
        });
        waited
            .await
            .unwrap_or_else(|_| panic!("revision {revision}; seen: {}", outline(&self.messages.lock().unwrap())));
        let Self { start, filters, messages, task, .. } = self;
        task.abort();
        let error = task.await.ok().and_then(Result::err);
        let messages = messages.lock().unwrap().clone();
        (Recording { start, filters, messages }, error)
    }

    /// Waits for the end of the stream, and returns the messages.
    pub(crate) async fn ended(self) -> Result<Recording, Status> {
        let Self { start, filters, messages, task, .. } = self;
        tokio::time::timeout(DEADLINE, task).await.expect("the stream should have ended").unwrap()?;
        let messages = messages.lock().unwrap().clone();
        Ok(Recording { start, filters, messages })
    }

    /// Drops the stream, and returns the messages so far.
    pub(crate) async fn leave(self) -> Recording {
        let Self { start, filters, messages, task, .. } = self;
        task.abort();
        let _ = task.await;
        let messages = messages.lock().unwrap().clone();
        Recording { start, filters, messages }
    }
}

/// The revision that messages cover: the server has sent every matching change up to it.
pub(crate) fn covered(messages: &[Message]) -> u64 {
    let covers = messages.iter().map(|message| match message {
        Message::Opened(opened) if !opened.resume_token.is_empty() => opened.start_revision,
        Message::SnapshotEnd(end) => end.revision,
        Message::CommitPage(page) if page.last_page => page.revision,
        Message::Progress(progress) => progress.revision,
        _ => 0,
    });
    covers.max().unwrap_or(0)
}

impl Recording {
    pub(crate) fn pages(&self) -> Vec<CommitPage> {
        let page = |message: &Message| match message {
            Message::CommitPage(page) => Some(page.clone()),
            _ => None,
        };
        self.messages.iter().filter_map(page).collect()
    }

    /// The commits of which the last page came.
    pub(crate) fn commits(&self) -> Vec<WholeCommit> {
        join(&self.pages())
    }

    pub(crate) fn opened(&self) -> &Opened {
        match self.messages.first() {
            Some(Message::Opened(opened)) => opened,
            other => panic!("the first message is {other:?}"),
        }
    }

    pub(crate) fn snapshot_end(&self) -> Option<&SnapshotEnd> {
        self.messages.iter().find_map(|message| match message {
            Message::SnapshotEnd(end) => Some(end),
            _ => None,
        })
    }

    pub(crate) fn goodbye(&self) -> Option<&Goodbye> {
        match self.messages.last() {
            Some(Message::Goodbye(goodbye)) => Some(goodbye),
            _ => None,
        }
    }

    /// Every token, with its revision.
    pub(crate) fn tokens(&self) -> Vec<(u64, String)> {
        let mut at = 0;
        let token = |message: &Message| match message {
            Message::Opened(opened) => (opened.start_revision, opened.resume_token.clone()),
            Message::SnapshotEnd(end) => (end.revision, end.resume_token.clone()),
            Message::CommitPage(page) => (page.revision, page.resume_token.clone()),
            Message::Progress(progress) => (progress.revision, progress.resume_token.clone()),
            Message::Goodbye(goodbye) => (0, goodbye.resume_token.clone()),
            Message::SnapshotPage(_) | Message::Lag(_) => (0, String::new()),
        };
        let mut tokens = Vec::new();
        for message in &self.messages {
            let (revision, token) = token(message);
            at = revision.max(at);
            if !token.is_empty() {
                tokens.push((at, token));
            }
        }
        tokens
    }
}

/// A few words for each message, for the text of a failure.
pub(crate) fn outline(messages: &[Message]) -> String {
    let words = messages.iter().map(|message| match message {
        Message::Opened(opened) => format!("opened at {} (head {})", opened.start_revision, opened.head),
        Message::SnapshotPage(page) => format!("{} rows of {}", page.rows.len(), page.revision),
        Message::SnapshotEnd(end) => format!("state of {} complete", end.revision),
        Message::CommitPage(page) => format!("commit {} page {}", page.revision, page.page),
        Message::Progress(progress) => format!("progress {}", progress.revision),
        Message::Lag(lag) => format!("{:?} (head {})", lag.state(), lag.head),
        Message::Goodbye(goodbye) => format!("goodbye {:?}", goodbye.reason()),
    });
    words.collect::<Vec<_>>().join(", ")
}
