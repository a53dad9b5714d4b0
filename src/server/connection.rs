//! Connections that the server can close, because a client of theirs reads nothing.
//!
//! Invariant: the server closes a connection only after the streams on it had time to say goodbye.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};
use tonic::transport::server::Connected;

use crate::feed::stream_registry::{CLOSE_AFTER, Connection, StreamRegistry};

/// How often [`end_stalled`] looks for stalled streams, at the most and at the least.
const SWEEP_MIN: Duration = Duration::from_millis(50);
const SWEEP_MAX: Duration = Duration::from_secs(5);
/// While the server stops, a stream may read nothing for this long at the most.
const STOPPING_LIMIT: Duration = Duration::from_secs(1);

/// A connection that can be closed from outside. Requests carry the handle, an `Arc<Connection>`.
#[derive(Debug)]
pub(super) struct Closable<IO> {
    io: IO,
    connection: Arc<Connection>,
}

impl<IO> Closable<IO> {
    /// Wraps a connection; `peer` is the address it comes from, if that is known.
    pub(super) fn new(io: IO, peer: Option<SocketAddr>) -> Self {
        Self { io, connection: Arc::new(Connection::new(peer)) }
    }

    /// An error if the server closed the connection. hyper then drops it with all its streams.
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        if self.connection.is_closed(context.waker()) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed: a stream on it read nothing"));
        }
        Ok(())
    }
}

impl<IO> Connected for Closable<IO> {
    type ConnectInfo = Arc<Connection>;

    fn connect_info(&self) -> Arc<Connection> {
        self.connection.clone()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Closable<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Closable<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// Closes the connections of streams whose client read nothing for `limit`; the other streams on them say goodbye first. Ends
/// when the sender of `stopping` is gone.
pub(super) async fn end_stalled(streams: Arc<StreamRegistry>, limit: Duration, mut stopping: watch::Receiver<bool>) {
    let mut connections_ended = 0_u64;
    loop {
        let limit = if *stopping.borrow_and_update() { limit.min(STOPPING_LIMIT) } else { limit };
        let stalled = streams.stalled(limit);
        for stalled in &stalled {
            connections_ended += 1;
            stalled.connection.end();
            tracing::warn!(
                peer = stalled.connection.peer().map(tracing::field::display),
                streams = stalled.streams,
                seconds = stalled.longest.as_secs(),
                connections_ended,
                "closing a connection: the client reads nothing from streams on it",
            );
        }
        if !stalled.is_empty() {
            tokio::time::sleep(CLOSE_AFTER).await;
            for stalled in &stalled {
                stalled.connection.close();
            }
            continue;
        }
        let stops = *stopping.borrow();
        tokio::select! {
            () = tokio::time::sleep((limit / 8).clamp(SWEEP_MIN, SWEEP_MAX)) => {}
            changed = stopping.changed(), if !stops => if changed.is_err() {
                return;
            },
        }
    }
}
