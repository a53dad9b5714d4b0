//! Where streams leave the server: the connection each one goes by, and whether it is taken.
//!
//! HTTP asks a stream for more only when its client has made room. So one whose client makes none cannot be told anything:
//! neither its age nor the end of the server reaches it, and it would keep its seat, and what HTTP/2 holds of its messages,
//! for ever. The way out is its connection: the other streams of that say goodbye, with a token, and then it is closed.
//!
//! Invariant: a stream that waits for news is not stalled; one that gave bytes away and was not asked on since is.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::{sync::watch, time::Instant};

use crate::store::lock::lock;

/// From when its streams are told that a connection ends until it is closed.
pub const CLOSE_AFTER: Duration = Duration::from_secs(1);
/// How long their clients wait before they come back: not to the same connection.
pub const RECONNECT_AFTER: Duration = Duration::from_secs(2);

/// A client's connection, as its streams see it.
#[derive(Debug)]
pub struct Connection {
    peer: Option<SocketAddr>,
    ends: watch::Sender<bool>,
    closed: AtomicBool,
    /// Who reads and writes it.
    transport: AtomicWaker,
}

impl Default for Connection {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Connection {
    /// A connection from an address, if that is known.
    pub fn new(peer: Option<SocketAddr>) -> Self {
        Self { peer, ends: watch::Sender::new(false), closed: AtomicBool::new(false), transport: AtomicWaker::new() }
    }

    /// Whom it comes from.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Whether it is about to be closed, and the moment when that is decided.
    pub fn ends(&self) -> watch::Receiver<bool> {
        self.ends.subscribe()
    }

    /// Tells its streams to say goodbye.
    pub fn end(&self) {
        self.ends.send_replace(true);
    }

    /// Closes it, with all that is still on it.
    pub fn close(&self) {
        self.end();
        self.closed.store(true, Ordering::Release);
        self.transport.wake();
    }

    /// Whether it is closed. If not, this one is woken when it is; there is room for one.
    pub fn is_closed(&self, transport: &Waker) -> bool {
        self.transport.register(transport);
        self.closed.load(Ordering::Acquire)
    }
}

/// All open streams; as many as there may be subscribers.
#[derive(Debug)]
pub struct StreamRegistry {
    began: Instant,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    newest: u64,
    streams: HashMap<u64, Arc<Stream>>,
}

#[derive(Debug)]
struct Stream {
    connection: Arc<Connection>,
    /// When it gave bytes away, in milliseconds since the server began; [`NOTHING_GIVEN`] if it was asked on since.
    gave_at: AtomicU64,
}

const NOTHING_GIVEN: u64 = u64::MAX;

/// A connection on which nobody takes what was given.
#[derive(Debug, Clone)]
pub struct Stalled {
    /// The connection.
    pub connection: Arc<Connection>,
    /// How many of its streams.
    pub streams: usize,
    /// How long the first of them.
    pub longest: Duration,
}

impl Default for StreamRegistry {
    fn default() -> Self {
        Self { began: Instant::now(), open: Mutex::default() }
    }
}

impl StreamRegistry {
    /// A stream begins.
    pub fn open(self: &Arc<Self>, connection: Arc<Connection>) -> RegisteredStream {
        let stream = Arc::new(Stream { connection, gave_at: AtomicU64::new(NOTHING_GIVEN) });
        let mut open = self.streams();
        open.newest += 1;
        let number = open.newest;
        open.streams.insert(number, stream.clone());
        drop(open);
        RegisteredStream { streams: self.clone(), number, stream }
    }

    /// The connections with streams that nobody has taken anything of for so long, and that are not about to be closed.
    pub fn stalled(&self, limit: Duration) -> Vec<Stalled> {
        let now = self.now();
        let mut found: HashMap<*const Connection, Stalled> = HashMap::new();
        for stream in self.streams().streams.values() {
            let since = stream.gave_at.load(Ordering::Relaxed);
            let stalled_for = Duration::from_millis(now.saturating_sub(since));
            if since == NOTHING_GIVEN || stalled_for < limit || *stream.connection.ends.borrow() {
                continue;
            }
            let connection = found.entry(Arc::as_ptr(&stream.connection)).or_insert_with(|| Stalled {
                connection: stream.connection.clone(),
                streams: 0,
                longest: Duration::ZERO,
            });
            connection.streams += 1;
            connection.longest = connection.longest.max(stalled_for);
        }
        found.into_values().collect()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NOTHING_GIVEN - 1)
    }

    fn streams(&self) -> MutexGuard<'_, Open> {
        lock(&self.open)
    }
}

/// The end of a stream where HTTP takes from it. It is forgotten when dropped.
#[derive(Debug)]
pub struct RegisteredStream {
    streams: Arc<StreamRegistry>,
    number: u64,
    stream: Arc<Stream>,
}

impl RegisteredStream {
    /// Bytes were given away.
    pub fn gave(&self) {
        self.stream.gave_at.store(self.streams.now(), Ordering::Relaxed);
    }

    /// More is asked for: what was given is taken.
    pub fn asked(&self) {
        self.stream.gave_at.store(NOTHING_GIVEN, Ordering::Relaxed);
    }
}

impl Drop for RegisteredStream {
    fn drop(&mut self) {
        self.streams.streams().streams.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Arc<Connection> {
        Arc::new(Connection::default())
    }

    /// How many streams of each stalled connection.
    fn stalled(streams: &StreamRegistry, limit: Duration) -> Vec<usize> {
        let mut streams: Vec<usize> = streams.stalled(limit).iter().map(|stalled| stalled.streams).collect();
        streams.sort_unstable();
        streams
    }

    #[test]
    fn only_what_was_given_and_not_asked_on_is_stalled() {
        let streams = Arc::new(StreamRegistry::default());
        let (one, other) = (connection(), connection());
        let waiting = streams.open(one.clone());
        let (first, second, third) =
            (streams.open(one.clone()), streams.open(one.clone()), streams.open(other.clone()));
        assert!(stalled(&streams, Duration::ZERO).is_empty(), "nothing was given yet");
        waiting.gave();
        waiting.asked();
        for given in [&first, &second, &third] {
            given.gave();
        }
        assert_eq!(stalled(&streams, Duration::ZERO), [1, 2]);
        assert!(stalled(&streams, Duration::from_secs(3600)).is_empty(), "not for so long");
        second.asked();
        assert_eq!(stalled(&streams, Duration::ZERO), [1, 1]);
        drop(first);
        assert_eq!(stalled(&streams, Duration::ZERO), [1], "who left is not stalled");
        other.end();
        assert!(stalled(&streams, Duration::ZERO).is_empty(), "a connection is ended once");
        drop((waiting, second, third));
        assert!(streams.streams().streams.is_empty(), "nobody is remembered");
    }
}
