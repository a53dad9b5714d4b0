//! Calls that their client cancels.
//!
//! tonic treats a request stream that the client cancelled as one that ended. An upload could then be committed half: its
//! handler may run once more before it is dropped.
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
pub(super) struct RequestBody(Body);

impl RequestBody {
    pub(super) fn wrap(body: Body) -> Body {
        Body::new(Self(body))
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.0).poll_frame(cx).map_err(|status| match status.code() {
            Code::Cancelled => status::of_incomplete_upload("the client cancelled the call before its end"),
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
