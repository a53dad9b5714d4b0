//! The call of `IngestObservations`, with figures that are encoded already.
//!
//! Invariant: an upload ends with a message that counts the others; a command that must not write does not send it.

use futures_util::Stream;
use prost::Message;
use tonic::{
    Code, IntoStreamingRequest, Status,
    client::Grpc,
    codec::{Codec, EncodeBuf, Encoder},
};
use tonic_prost::ProstDecoder;

use super::session::Session;
use crate::{
    convert::{batch::EncodedBatch, upload::ingest},
    proto::{self, ingest_observations_request::Part},
};

const PATH: &str = "/almanac.v1.AdminService/IngestObservations";

/// A message of an upload of figures.
#[derive(Debug)]
pub enum UploadMessage {
    Part(Part),
    Figures(EncodedBatch),
}

impl UploadMessage {
    /// Counts the message, if it is neither the header nor the end.
    pub fn count(&self, end: &mut proto::UploadEnd) {
        match self {
            Self::Part(Part::Header(_) | Part::End(_)) => {}
            Self::Part(_) => end.messages += 1,
            Self::Figures(batch) => {
                end.messages += 1;
                end.rows += batch.rows;
            }
        }
    }
}

/// Sends all messages of an upload, and waits for the answer.
pub async fn send(
    session: &Session,
    messages: impl Stream<Item = UploadMessage> + Send + 'static,
) -> Result<proto::WriteResult, Status> {
    let mut grpc = Grpc::new(session.transport());
    grpc.ready().await.map_err(|error| Status::new(Code::Unavailable, error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static(PATH);
    let answer = grpc.client_streaming(messages.into_streaming_request(), path, UploadCodec).await?;
    Ok(answer.into_inner().result.unwrap_or_default())
}

#[derive(Debug, Clone, Copy)]
struct UploadCodec;

impl Codec for UploadCodec {
    type Encode = UploadMessage;
    type Decode = proto::IngestObservationsResponse;
    type Encoder = Self;
    type Decoder = ProstDecoder<Self::Decode>;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::default()
    }
}

impl Encoder for UploadCodec {
    type Item = UploadMessage;
    type Error = Status;

    fn encode(&mut self, message: UploadMessage, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match message {
            UploadMessage::Figures(batch) => batch.encode(out),
            UploadMessage::Part(part) => {
                ingest(part).encode(out).map_err(|error| Status::internal(error.to_string()))?;
            }
        }
        Ok(())
    }
}
