//! How messages are read from the wire: requests strictly, answers as prost does.
//!
//! Invariant: every field of a request that reaches a handler is in the contract. Clients use the same codec, and skip fields
//! of answers that they do not know.

use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use prost::{Message, Name};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

use super::{
    known_fields::{MessageError, SHAPES, ShapeId},
    status,
};

/// The names of all requests in the contract end with it.
const REQUEST_SUFFIX: &str = "Request";

/// The codec of all services.
#[derive(Debug, Clone)]
pub struct StrictCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for StrictCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for StrictCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = StrictDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        StrictDecoder::default()
    }
}

/// Reads messages of one kind.
#[derive(Debug, Clone)]
pub struct StrictDecoder<U> {
    /// The fields of the request; `None` for answers.
    request: Option<Result<ShapeId, MessageError>>,
    _message: PhantomData<U>,
}

impl<U: Name> Default for StrictDecoder<U> {
    fn default() -> Self {
        let request = U::NAME.ends_with(REQUEST_SUFFIX).then(|| {
            let name = U::full_name();
            SHAPES.find(&name).ok_or(MessageError::NoSuchMessage(name))
        });
        Self { request, _message: PhantomData }
    }
}

impl<U: Message + Name + Default> Decoder for StrictDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // Does not copy: a message lies in one piece.
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        self.decode_bytes(bytes).map(Some)
    }
}

impl<U: Message + Default> StrictDecoder<U> {
    /// Reads a whole message.
    pub(super) fn decode_bytes(&self, bytes: Bytes) -> Result<U, Status> {
        match &self.request {
            Some(request) => decode_request(request, bytes).map_err(|error| status::of_refused_message(&error)),
            None => U::decode(bytes).map_err(|error| Status::internal(error.to_string())),
        }
    }
}

fn decode_request<U: Message + Default>(
    shape: &Result<ShapeId, MessageError>,
    bytes: Bytes,
) -> Result<U, MessageError> {
    SHAPES.check(shape.clone()?, &bytes)?;
    U::decode(bytes).map_err(|error| MessageError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tonic::{Code, Streaming, body::Body};

    use super::*;
    use crate::proto::{GetHeadRequest, GetHeadResponse};

    /// A message with one field: number 15, a varint 1. As a text, because a text can be a body.
    fn field_15() -> Body {
        Body::new("\0\0\0\0\u{2}\u{78}\u{1}".to_owned())
    }

    #[tokio::test]
    async fn answers_may_have_fields_that_a_client_does_not_know() {
        let decoder = StrictDecoder::<GetHeadResponse>::default();
        let mut answers = Streaming::new_response(decoder, field_15(), StatusCode::OK, None, None);
        assert_eq!(answers.message().await.unwrap(), Some(GetHeadResponse::default()));
    }

    #[tokio::test]
    async fn requests_may_not() {
        let decoder = StrictDecoder::<GetHeadRequest>::default();
        let mut requests = Streaming::new_request(decoder, field_15(), None, None);
        assert_eq!(requests.message().await.unwrap_err().code(), Code::InvalidArgument);
    }
}
