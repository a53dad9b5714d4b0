//! A subscription as HTTP sees it.
//!
//! Invariant: nothing is read ahead of the client; the next message is made when HTTP asks for more.

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
    feed::{
        FeedError,
        stream_registry::RegisteredStream,
        subscription::{Subscription, SubscriptionEvent},
    },
    rpc::{feed::StateDigest, status},
};

type Next = Pin<Box<dyn Future<Output = (Result<Option<SubscriptionEvent>, FeedError>, Box<Subscription>)> + Send>>;

fn next(mut subscription: Box<Subscription>) -> Next {
    Box::pin(async move { (subscription.next().await, subscription) })
}

/// A stream of messages.
pub(super) struct SubscribeBody {
    /// Parts of a message that were not sent yet.
    ready: VecDeque<Bytes>,
    /// Where it leaves; knows whether it does.
    stream_handle: RegisteredStream,
    /// Of the state, as far as it was sent.
    digest: StateDigest,
    /// The client takes compressed messages.
    gzip: bool,
    /// `None`: the trailers were sent.
    next: Option<Next>,
}

impl SubscribeBody {
    /// The stream of a subscription.
    pub(super) fn new(
        subscription: Box<Subscription>,
        stream_handle: RegisteredStream,
        digest: StateDigest,
        gzip: bool,
    ) -> Self {
        Self { ready: VecDeque::new(), stream_handle, digest, gzip, next: Some(next(subscription)) }
    }
}

impl http_body::Body for SubscribeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.stream_handle.asked();
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                self.stream_handle.gave();
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let Some(coming) = &mut self.next else { return Poll::Ready(None) };
            let (event, subscription) = ready!(coming.as_mut().poll(context));
            let ending = match event {
                Ok(Some(event)) => {
                    let gzip = self.gzip;
                    let frames = frames(event, &subscription, &mut self.digest, gzip);
                    self.ready.extend(frames);
                    self.next = Some(next(subscription));
                    continue;
                }
                Ok(None) => Status::ok(""),
                Err(error) => status::of_feed(&error),
            };
            self.next = None;
            let mut trailers = http::HeaderMap::new();
            // Fails only for a message that no header can carry; ours can.
            let _ = ending.add_header(&mut trailers);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
    }
}
