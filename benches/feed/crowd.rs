//! Subscribers: the same client for every server, which looks at no more of a message than it must.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tonic::{Status, Streaming, transport::Channel};

use almanac::store::lock::lock;

use crate::Outcome;

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// What a message tells.
pub(crate) trait Glance: prost::Message + Default + Send + 'static {
    /// The stream stands.
    fn opens(&self) -> bool;
    /// So many of the things that are waited for.
    fn brings(&self) -> usize;
}

/// What a crowd saw.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    opened: AtomicUsize,
    seen: AtomicUsize,
    /// When the first and the last thing of a round were seen.
    span: Mutex<Option<(Instant, Instant)>>,
    /// When the things that all wait for were sent; then how long each took to each subscriber is noted.
    sent: Mutex<Vec<Instant>>,
    took: Mutex<Vec<Duration>>,
    lost: Mutex<Option<Status>>,
}

impl Tally {
    /// So many streams stand.
    pub(crate) async fn opened(&self, streams: usize) -> Outcome<()> {
        self.until(|| self.opened.load(Ordering::Relaxed) >= streams).await
    }

    /// So many things were seen in all since the start; when the first and the last of this round were.
    pub(crate) async fn seen(&self, things: usize) -> Outcome<(Instant, Instant)> {
        self.until(|| self.seen.load(Ordering::Acquire) >= things).await?;
        let span = lock(&self.span).take();
        Ok(span.ok_or("nothing was seen")?)
    }

    /// Something that all wait for is sent now.
    pub(crate) fn sends(&self) {
        lock(&self.sent).push(Instant::now());
    }

    /// How long those things took to each subscriber, sorted.
    pub(crate) fn took(&self) -> Vec<Duration> {
        let mut took = std::mem::take(&mut *lock(&self.took));
        took.sort_unstable();
        took
    }

    async fn until(&self, is: impl Fn() -> bool) -> Outcome<()> {
        let started = Instant::now();
        while !is() {
            if let Some(status) = lock(&self.lost).clone() {
                return Err(status.into());
            }
            if started.elapsed() > DEADLINE {
                return Err("the crowd did not get what it should".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    fn see(&self, things: usize, seen_before: usize) {
        let now = Instant::now();
        let mut span = lock(&self.span);
        *span = Some((span.map_or(now, |(first, _)| first), now));
        drop(span);
        let sent = lock(&self.sent);
        let took = sent.iter().skip(seen_before).take(things).map(|sent| now - *sent);
        lock(&self.took).extend(took);
        drop(sent);
        self.seen.fetch_add(things, Ordering::Release);
    }
}

/// Streams on connections; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) tally: Arc<Tally>,
    _tasks: tokio::task::JoinSet<()>,
}

impl Crowd {
    /// So many streams on each of so many connections, all open.
    pub(crate) async fn open<T, F>(
        address: &str,
        connections: usize,
        streams: usize,
        open: impl Fn(Channel, usize) -> F,
    ) -> Outcome<Self>
    where
        T: Glance,
        F: Future<Output = Result<Streaming<T>, Status>> + Send + 'static,
    {
        let tally = Arc::new(Tally::default());
        let mut tasks = tokio::task::JoinSet::new();
        for connection in 0..connections {
            let channel = Channel::from_shared(address.to_owned())?.tcp_nodelay(true).connect().await?;
            for stream in 0..streams {
                let opening = open(channel.clone(), connection * streams + stream);
                let tally = tally.clone();
                tasks.spawn(async move {
                    let ended = follow(opening, &tally).await;
                    *lock(&tally.lost) = Some(ended);
                });
            }
            tally.opened((connection + 1) * streams).await?;
        }
        Ok(Self { tally, _tasks: tasks })
    }
}

/// Reads for ever; gives why it could not.
async fn follow<T: Glance>(opening: impl Future<Output = Result<Streaming<T>, Status>>, tally: &Tally) -> Status {
    let mut stream = match opening.await {
        Ok(stream) => stream,
        Err(status) => return status,
    };
    let mut seen = 0;
    loop {
        match stream.message().await {
            Ok(Some(message)) => {
                if message.opens() {
                    tally.opened.fetch_add(1, Ordering::Relaxed);
                }
                let things = message.brings();
                if things > 0 {
                    tally.see(things, seen);
                    seen += things;
                }
            }
            Ok(None) => return Status::aborted("the server ended a stream"),
            Err(status) => return status,
        }
    }
}
