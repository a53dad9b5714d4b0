//! The open streams, with the connection of each, and whether the client takes what the stream sends.
//!
//! HTTP polls a stream for more only when the client's flow-control window has room. A stream whose window stays full
//! cannot be told anything: neither its age limit nor the end of the server reaches the client, and it would hold its
//! permit, and the messages in HTTP/2's buffers, for ever. The only way out is to close the connection; its other
//! streams say goodbye before, with a token.
//!
//! Invariant: a stream that waits for news is not stalled. A stream is stalled if it gave HTTP a frame and was not
//! polled since.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::{sync::watch, time::Instant};

use crate::store::lock::lock;

/// A connection is closed this long after its streams were told to end.
pub const CLOSE_AFTER: Duration = Duration::from_secs(1);
/// How long the clients of these streams wait before they come back. It is longer than [`CLOSE_AFTER`], so that they do
/// not come back on the same connection.
pub const RECONNECT_AFTER: Duration = Duration::from_secs(2);

/// A client's connection, as its streams see it.
#[derive(Debug)]
pub struct Connection {
    peer: Option<SocketAddr>,
    ends: watch::Sender<bool>,
    is_closed: AtomicBool,
    /// Wakes the task that reads and writes the connection.
    transport: AtomicWaker,
}

impl Default for Connection {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Connection {
    /// `peer`: the client's address, if it is known.
    pub fn new(peer: Option<SocketAddr>) -> Self {
        Self { peer, ends: watch::Sender::new(false), is_closed: AtomicBool::new(false), transport: AtomicWaker::new() }
    }

    /// The client's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Becomes `true` when the streams must say goodbye.
    pub fn ends(&self) -> watch::Receiver<bool> {
        self.ends.subscribe()
    }

    /// Tells the streams to say goodbye.
    pub fn end(&self) {
        self.ends.send_replace(true);
    }

    /// Closes the connection, with everything that is still on it.
    pub fn close(&self) {
        self.end();
        self.is_closed.store(true, Ordering::Release);
        self.transport.wake();
    }

    /// Whether the connection is closed. If not, `transport` is woken when it is; only the last waker is.
    pub fn is_closed(&self, transport: &Waker) -> bool {
        self.transport.register(transport);
        self.is_closed.load(Ordering::Acquire)
    }
}

/// All open streams. There are at most as many as subscribers.
#[derive(Debug)]
pub struct StreamRegistry {
    started: Instant,
    streams: Mutex<OpenStreams>,
}

#[derive(Debug, Default)]
struct OpenStreams {
    newest_id: u64,
    by_id: HashMap<u64, Arc<StreamState>>,
}

#[derive(Debug)]
struct StreamState {
    connection: Arc<Connection>,
    /// When the stream gave HTTP a frame, in milliseconds since the registry started; [`POLLED`] if it was polled
    /// since.
    frame_at: AtomicU64,
}

const POLLED: u64 = u64::MAX;

/// A connection with streams that its client does not take anything of.
#[derive(Debug, Clone)]
pub struct StalledConnection {
    pub connection: Arc<Connection>,
    /// How many of its streams are stalled.
    pub streams: usize,
    /// For how long the first of them has been.
    pub longest: Duration,
}

impl Default for StreamRegistry {
    fn default() -> Self {
        Self { started: Instant::now(), streams: Mutex::default() }
    }
}

impl StreamRegistry {
    /// Registers a stream, until it is dropped.
    pub fn open(self: &Arc<Self>, connection: Arc<Connection>) -> RegisteredStream {
        let state = Arc::new(StreamState { connection, frame_at: AtomicU64::new(POLLED) });
        let mut streams = lock(&self.streams);
        streams.newest_id += 1;
        let id = streams.newest_id;
        streams.by_id.insert(id, state.clone());
        drop(streams);
        RegisteredStream { registry: self.clone(), id, state }
    }

    /// The connections with streams that have been stalled for `limit` or longer, but for connections that end already.
    pub fn stalled(&self, limit: Duration) -> Vec<StalledConnection> {
        let now = self.now();
        let mut stalled: HashMap<*const Connection, StalledConnection> = HashMap::new();
        for stream in lock(&self.streams).by_id.values() {
            let frame_at = stream.frame_at.load(Ordering::Relaxed);
            let stalled_for = Duration::from_millis(now.saturating_sub(frame_at));
            if frame_at == POLLED || stalled_for < limit || *stream.connection.ends.borrow() {
                continue;
            }
            let connection = stalled.entry(Arc::as_ptr(&stream.connection)).or_insert_with(|| StalledConnection {
                connection: stream.connection.clone(),
                streams: 0,
                longest: Duration::ZERO,
            });
            connection.streams += 1;
            connection.longest = connection.longest.max(stalled_for);
        }
        stalled.into_values().collect()
    }

    /// Milliseconds since the registry started.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(POLLED - 1)
    }
}

/// A stream's entry in the registry, which ends when it is dropped.
#[derive(Debug)]
pub struct RegisteredStream {
    registry: Arc<StreamRegistry>,
    id: u64,
    state: Arc<StreamState>,
}

impl RegisteredStream {
    /// The stream gave HTTP a frame.
    pub fn note_frame(&self) {
        self.state.frame_at.store(self.registry.now(), Ordering::Relaxed);
    }

    /// HTTP polled the stream: the client took the frames before.
    pub fn note_poll(&self) {
        self.state.frame_at.store(POLLED, Ordering::Relaxed);
    }
}

impl Drop for RegisteredStream {
    fn drop(&mut self) {
        lock(&self.registry.streams).by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many streams each stalled connection has.
    fn stalled(registry: &StreamRegistry, limit: Duration) -> Vec<usize> {
        let mut streams: Vec<usize> = registry.stalled(limit).iter().map(|stalled| stalled.streams).collect();
        streams.sort_unstable();
        streams
    }

    #[test]
    fn a_stream_is_stalled_only_between_a_frame_and_the_next_poll() {
        let registry = Arc::new(StreamRegistry::default());
        let stream = registry.open(Arc::default());
        assert!(stalled(&registry, Duration::ZERO).is_empty(), "no frame yet");
        stream.note_frame();
        assert_eq!(stalled(&registry, Duration::ZERO), [1]);
        assert!(stalled(&registry, Duration::from_secs(3600)).is_empty(), "not for so long");
        stream.note_poll();
        assert!(stalled(&registry, Duration::ZERO).is_empty());
    }

    #[test]
    fn stalled_streams_are_counted_by_connection() {
        let registry = Arc::new(StreamRegistry::default());
        let one: Arc<Connection> = Arc::default();
        let other: Arc<Connection> = Arc::default();
        let first = registry.open(one.clone());
        let second = registry.open(one);
        let third = registry.open(other.clone());
        for stream in [&first, &second, &third] {
            stream.note_frame();
        }
        assert_eq!(stalled(&registry, Duration::ZERO), [1, 2]);
        second.note_poll();
        assert_eq!(stalled(&registry, Duration::ZERO), [1, 1]);
        drop(first);
        assert_eq!(stalled(&registry, Duration::ZERO), [1], "a closed stream is not stalled");
        other.end();
        assert!(stalled(&registry, Duration::ZERO).is_empty(), "a connection ends once");
        drop(second);
        drop(third);
        assert!(lock(&registry.streams).by_id.is_empty(), "the registry forgets closed streams");
    }
}
