//! The idle service: it sends the same bytes to the same streams, made and shared beforehand. No feed can be faster.
//!
//! It is this program in another process. A line on its standard input makes it send to all streams.

use std::{
    convert::Infallible,
    io::Write,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use almanac::proto;
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http_body::Frame;
use prost::Message;
use tokio::sync::watch;
use tonic::{Streaming, body::Body, codegen::Service, server::NamedService};
use tonic_prost::ProstDecoder;

use crate::{
    almanac::economy,
    common::{
        Outcome,
        idle::{IdleServer, announce, read_records, until_input_ends},
    },
};

/// Started with this argument, the program is the idle service.
pub(crate) const ARGUMENT: &str = "--nothing";

/// Starts the service with the bytes that it sends for each filter.
pub(crate) fn start(sent: &[Vec<u8>], scratch: &Path) -> Outcome<IdleServer> {
    IdleServer::start(ARGUMENT, sent, scratch)
}

/// Makes the service send its bytes on every stream.
pub(crate) fn send(server: &mut IdleServer) -> Outcome<()> {
    Ok(server.process.0.stdin.as_mut().ok_or("no standard input")?.write_all(b"\n")?)
}

/// Runs the idle service until its standard input ends. `path` is the file of [`start`].
pub(crate) async fn serve(path: &str) -> Outcome<()> {
    let rounds = watch::Sender::new(0);
    let feed = IdleFeed { sent: Arc::new(read_records(path)?), rounds: rounds.clone() };
    let incoming = announce().await?;
    tokio::spawn(tonic::transport::Server::builder().add_service(feed).serve_with_incoming(incoming));
    until_input_ends(move || rounds.send_modify(|round: &mut u64| *round += 1)).await
}

#[derive(Debug, Clone)]
struct IdleFeed {
    sent: Arc<Vec<Bytes>>,
    rounds: watch::Sender<u64>,
}

impl NamedService for IdleFeed {
    const NAME: &'static str = "almanac.v1.FeedService";
}

impl Service<http::Request<Body>> for IdleFeed {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let sent = self.sent.clone();
        let rounds = self.rounds.subscribe();
        async move {
            let decoder = ProstDecoder::<proto::SubscribeRequest>::default();
            let mut messages = Streaming::new_request(decoder, request.into_body(), None, None);
            let request = messages.message().await.ok().flatten().unwrap_or_default();
            let entity = request.filters.first().and_then(|filter| filter.entities.first());
            let filter = (0..sent.len()).find(|number| Some(&economy(*number)) == entity).unwrap_or(0);
            let opened = proto::subscribe_response::Body::Opened(proto::Opened::default());
            let opened = proto::SubscribeResponse { body: Some(opened) }.encode_to_vec();
            let mut framed = vec![0, 0, 0, 0, opened.len() as u8];
            framed.extend_from_slice(&opened);
            let body =
                IdleStream { opened: Some(framed.into()), bytes: sent[filter].clone(), next: Some(next(rounds)) };
            let mut response = http::Response::new(Body::new(body));
            let kind = http::HeaderValue::from_static("application/grpc");
            response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
            Ok(response)
        }
        .boxed()
    }
}

/// Resolves at the next round; `None`: there is no further one.
type Next = Pin<Box<dyn Future<Output = Option<watch::Receiver<u64>>> + Send>>;

fn next(mut rounds: watch::Receiver<u64>) -> Next {
    Box::pin(async move { rounds.changed().await.is_ok().then_some(rounds) })
}

struct IdleStream {
    opened: Option<Bytes>,
    /// What is sent in every round.
    bytes: Bytes,
    next: Option<Next>,
}

impl http_body::Body for IdleStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(opened) = self.opened.take() {
            return Poll::Ready(Some(Ok(Frame::data(opened))));
        }
        let Some(coming) = &mut self.next else { return Poll::Ready(None) };
        let rounds = ready!(coming.as_mut().poll(context));
        self.next = rounds.map(next);
        Poll::Ready(self.next.is_some().then(|| Ok(Frame::data(self.bytes.clone()))))
    }
}
