//! How messages are read from the wire: requests strictly, answers as prost does.
//!
//! Invariant: a request that reaches a handler held only fields of the contract. Clients use the same codec, and skip
//! fields of answers that they do not know.

use std::marker::PhantomData;

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
use bytes::Buf;

/// Names of requests end so.
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
    /// `None`: it reads answers.
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
        let Some(request) = &self.request else {
            let answer = U::decode(buffer).map_err(|error| Status::internal(error.to_string()))?;
            return Ok(Some(answer));
        };
        // Only splits off the bytes: a message lies in one piece.
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let checked = request.clone().and_then(|shape| SHAPES.check(shape, &bytes));
        let decoded =
            checked.and_then(|()| U::decode(bytes).map_err(|error| MessageError::Malformed(error.to_string())));
        decoded.map(Some).map_err(|error| status::of_refused_message(&error))
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tonic::{Code, Streaming, body::Body};

    use super::*;
    use crate::proto::{GetHeadRequest, GetHeadResponse};

    /// A message that is nothing but field 15, which is a 1. As text, since text is a body.
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
