//! The subscribers: one client for all servers. It decodes only the parts of a message that it counts.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use almanac::store::lock::lock;
use tonic::{Status, Streaming, transport::Channel};

use crate::common::{Outcome, server::connect};

/// Most time that anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// A message of a stream, as far as subscribers decode it.
pub(crate) trait StreamMessage: prost::Message + Default + Send + 'static {
    /// Whether the server opens the stream with it.
    fn is_opened(&self) -> bool;
    /// How many things it brings of those that are counted: whole commits, or single keys.
    fn things(&self) -> usize;
}

/// How fast a subscriber reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    Fast,
    /// It rests so long after each message.
    Resting(Duration),
    /// It reads nothing after the message that opens the stream.
    Never,
}

/// What all subscribers received together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    opened: AtomicUsize,
    seen: AtomicUsize,
    /// When the first and the last thing of a round were received.
    span: Mutex<Option<(Instant, Instant)>>,
    /// When the things that reach every subscriber were sent.
    sent: Mutex<Vec<Instant>>,
    /// From then until one subscriber received it, for each thing and subscriber.
    latencies: Mutex<Vec<Duration>>,
    /// Why a stream ended, if one did.
    ended: Mutex<Option<Status>>,
}

impl Tally {
    /// Waits until so many streams are open.
    pub(crate) async fn wait_until_opened(&self, streams: usize) -> Outcome<()> {
        self.wait_until(|| self.opened.load(Ordering::Relaxed) >= streams).await
    }

    /// Waits until subscribers have received so many things since the start. Returns when the first and the last thing since
    /// the call before were received.
    pub(crate) async fn wait_until_seen(&self, things: usize) -> Outcome<(Instant, Instant)> {
        self.wait_until(|| self.seen.load(Ordering::Acquire) >= things).await?;
        let span = lock(&self.span).take();
        Ok(span.ok_or("nothing was seen")?)
    }

    /// How many things subscribers have received since the start.
    pub(crate) fn seen(&self) -> usize {
        self.seen.load(Ordering::Acquire)
    }

    /// Notes that a thing which reaches every subscriber is sent now.
    pub(crate) fn note_sent(&self) {
        lock(&self.sent).push(Instant::now());
    }

    /// The latencies of the things that were noted, for each subscriber, sorted.
    pub(crate) fn take_latencies(&self) -> Vec<Duration> {
        let mut latencies = std::mem::take(&mut *lock(&self.latencies));
        latencies.sort_unstable();
        latencies
    }

    async fn wait_until(&self, is_reached: impl Fn() -> bool) -> Outcome<()> {
        let started = Instant::now();
        while !is_reached() {
            if let Some(status) = lock(&self.ended).clone() {
                return Err(status.into());
            }
            if started.elapsed() > DEADLINE {
                return Err("subscribers did not receive everything in time".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Counts things that one subscriber received after `seen_before` others.
    fn note_seen(&self, things: usize, seen_before: usize) {
        let now = Instant::now();
        let mut span = lock(&self.span);
        *span = Some((span.map_or(now, |(first, _)| first), now));
        drop(span);
        let sent = lock(&self.sent);
        let latencies = sent.iter().skip(seen_before).take(things).map(|sent| now - *sent);
        lock(&self.latencies).extend(latencies);
        drop(sent);
        self.seen.fetch_add(things, Ordering::Release);
    }
}

/// Open streams; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Subscribers {
    pub(crate) tally: Arc<Tally>,
    /// How many there are.
    pub(crate) streams: usize,
    _tasks: tokio::task::JoinSet<()>,
}

impl Subscribers {
    /// Opens so many streams on each of so many connections, and waits until all are open. `open` gets the number of the
    /// stream.
    pub(crate) async fn open<T, F>(
        address: &str,
        connections: usize,
        streams: usize,
        pace: Pace,
        open: impl Fn(Channel, usize) -> F,
    ) -> Outcome<Self>
    where
        T: StreamMessage,
        F: Future<Output = Result<Streaming<T>, Status>> + Send + 'static,
    {
        let tally = Arc::new(Tally::default());
        let mut tasks = tokio::task::JoinSet::new();
        for connection in 0..connections {
            let channel = connect(address).await?;
            for stream in 0..streams {
                let opening = open(channel.clone(), connection * streams + stream);
                let tally = tally.clone();
                tasks.spawn(async move {
                    let ended = follow(opening, &tally, pace).await;
                    *lock(&tally.ended) = Some(ended);
                });
            }
            tally.wait_until_opened((connection + 1) * streams).await?;
        }
        Ok(Self { tally, streams: connections * streams, _tasks: tasks })
    }
}

/// Reads a stream until it ends; returns why.
async fn follow<T: StreamMessage>(
    opening: impl Future<Output = Result<Streaming<T>, Status>>,
    tally: &Tally,
    pace: Pace,
) -> Status {
    let mut stream = match opening.await {
        Ok(stream) => stream,
        Err(status) => return status,
    };
    let mut seen = 0;
    loop {
        match stream.message().await {
            Ok(Some(message)) => {
                if message.is_opened() {
                    tally.opened.fetch_add(1, Ordering::Relaxed);
                    if pace == Pace::Never {
                        std::future::pending::<()>().await;
                    }
                }
                let things = message.things();
                if things > 0 {
                    tally.note_seen(things, seen);
                    seen += things;
                }
                if let Pace::Resting(rest) = pace {
                    tokio::time::sleep(rest).await;
                }
            }
            Ok(None) => return Status::aborted("the server ended a stream"),
            Err(status) => return status,
        }
    }
}
