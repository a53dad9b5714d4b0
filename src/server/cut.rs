//! Calls that are cut off by their client.
//!
//! tonic takes a stream that the client cancelled for one that came to its end. For an upload that is the difference
//! between nothing and half of it: a handler that is asked on before it is dropped would commit what had come so far.
//!
//! Invariant: a request stream ends without an error only if the client ended it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body as HttpBody, Frame, SizeHint};
use prost::bytes::Bytes;
use tonic::{Code, Status, body::Body};

use crate::rpc::status;

/// A request body in which a cancelled stream is an error.
#[derive(Debug)]
pub(super) struct Uncut(Body);

impl Uncut {
    /// Wraps the body of a request.
    pub(super) fn wrap(body: Body) -> Body {
        Body::new(Self(body))
    }
}

impl HttpBody for Uncut {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.0).poll_frame(cx).map_err(|status| match status.code() {
            Code::Cancelled => status::of_incomplete_upload("the call was cut off before its end"),
            _ => status,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
