//! The real server and the real clients on turmoil's network.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio_stream::{Stream, StreamExt};
use tonic::{
    codegen::{Service, http::Uri},
    transport::{Channel, Endpoint},
};
use turmoil::net::{TcpListener, TcpStream};

use crate::support::Clients;

pub(super) const SERVER: &str = "server";
const PORT: u16 = 50051;
/// Clients notice a silent network after these two together, as real ones do in 30 s.
const KEEPALIVE: Duration = Duration::from_millis(400);

/// Connections that come in.
pub(super) async fn incoming() -> io::Result<impl Stream<Item = io::Result<(TcpStream, Option<SocketAddr>)>>> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let accepted = futures_util::stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await;
        Some((accepted, listener))
    });
    Ok(accepted.map(|accepted| accepted.map(|(stream, peer)| (stream, Some(peer)))))
}

#[derive(Debug, Clone)]
struct Connector;

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(async { TcpStream::connect((SERVER, PORT)).await.map(TokioIo::new) })
    }
}

/// A channel that connects when it is used, and again when it has to.
pub(super) fn channel() -> Channel {
    let endpoint = Endpoint::from_static("http://server")
        .connect_timeout(KEEPALIVE)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true);
    endpoint.connect_with_connector_lazy(Connector)
}

/// The services of the server, on a connection of their own.
pub(super) fn clients() -> Clients {
    Clients::on(channel())
}
