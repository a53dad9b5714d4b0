//! A subscription as an HTTP body.
//!
//! Invariant: nothing is read ahead of the client; the next message is made when HTTP polls for more.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Frame;
use tonic::Status;

use super::frame::frames;
use crate::{
    convert::feed::SnapshotDigest,
    feed::{FeedError, event::SubscriptionEvent, stream_registry::RegisteredStream, subscription::Subscription},
    rpc::status,
};

/// A read of the next message. It owns the subscription meanwhile and gives it back.
type NextEvent =
    Pin<Box<dyn Future<Output = (Result<Option<SubscriptionEvent>, FeedError>, Box<Subscription>)> + Send>>;

fn next_event(mut subscription: Box<Subscription>) -> NextEvent {
    Box::pin(async move { (subscription.next().await, subscription) })
}

/// A stream of messages.
pub(super) struct SubscribeBody {
    /// Frames of the last message that HTTP did not take yet.
    ready: VecDeque<Bytes>,
    registered: RegisteredStream,
    digest: SnapshotDigest,
    /// The client takes compressed messages.
    gzip: bool,
    /// `None`: the trailers were sent.
    next: Option<NextEvent>,
}

impl SubscribeBody {
    pub(super) fn new(
        subscription: Box<Subscription>,
        registered: RegisteredStream,
        digest: SnapshotDigest,
        gzip: bool,
    ) -> Self {
        Self { ready: VecDeque::new(), registered, digest, gzip, next: Some(next_event(subscription)) }
    }
}

impl http_body::Body for SubscribeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.registered.note_poll();
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                self.registered.note_frame();
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let Some(next) = &mut self.next else { return Poll::Ready(None) };
            let (event, subscription) = ready!(next.as_mut().poll(context));
            let ending = match event {
                Ok(Some(event)) => {
                    let gzip = self.gzip;
                    let frames = frames(event, &subscription, &mut self.digest, gzip);
                    self.ready.extend(frames);
                    self.next = Some(next_event(subscription));
                    continue;
                }
                Ok(None) => Status::ok(""),
                Err(error) => status::of_feed(&error),
            };
            self.next = None;
            let mut trailers = http::HeaderMap::new();
            // Fails only for a message that no header can carry; those of this server can be carried.
            let _ = ending.add_header(&mut trailers);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
    }
}
