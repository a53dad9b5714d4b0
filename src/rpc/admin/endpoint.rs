//! `AdminService`, with a codec of its own for `IngestObservations`.
//!
//! Most messages of an upload hold figures. They stay bytes on the async thread; what collects the upload reads them off
//! it, without a message for each figure (see [`BatchReader`]).
//!
//! Invariant: a field that the contract does not have is refused, in these messages as in all others.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use prost::Message;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder},
    server::{ClientStreamingService, Grpc},
};
use tonic_prost::ProstEncoder;

use super::{Admin, observations};
use crate::{
    convert::batch::BatchReader,
    proto::{self, admin_service_server::AdminServiceServer},
    rpc::{
        App, MESSAGE_BYTES_MAX,
        codec::StrictDecoder,
        endpoint::{Endpoint, Method},
    },
};

/// `AdminService`, with `IngestObservations` served from bytes.
pub fn endpoint(app: Arc<App>) -> Endpoint<Ingest, AdminServiceServer<Admin>> {
    let admin = Admin(app);
    let others = AdminServiceServer::new(admin.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let others = others.accept_compressed(CompressionEncoding::Gzip).send_compressed(CompressionEncoding::Gzip);
    Endpoint::new(Ingest(admin), others)
}

/// `IngestObservations`.
#[derive(Debug, Clone)]
pub struct Ingest(Admin);

impl Method for Ingest {
    const PATH: &'static str = "/almanac.v1.AdminService/IngestObservations";

    fn answer(self, request: http::Request<Body>) -> BoxFuture<'static, http::Response<Body>> {
        let grpc = Grpc::new(UploadCodec).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut grpc = grpc.accept_compressed(CompressionEncoding::Gzip).send_compressed(CompressionEncoding::Gzip);
        Box::pin(async move { grpc.client_streaming(self, request).await })
    }
}

impl ClientStreamingService<UploadMessage> for Ingest {
    type Response = proto::IngestObservationsResponse;
    type Future = BoxFuture<'static, Result<Response<Self::Response>, Status>>;

    fn call(&mut self, request: Request<Streaming<UploadMessage>>) -> Self::Future {
        let admin = self.0.clone();
        Box::pin(async move { observations::ingest(&admin, request.into_inner()).await.map(Response::new) })
    }
}

/// A message of an upload of figures.
#[derive(Debug)]
pub enum UploadMessage {
    Decoded(proto::IngestObservationsRequest),
    /// One with figures, as it came.
    Encoded(Bytes),
}

impl UploadMessage {
    /// How many bytes it has on the wire.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Decoded(message) => message.encoded_len(),
            Self::Encoded(bytes) => bytes.len(),
        }
    }

    /// The message, decoded strictly.
    pub(super) fn decode(self) -> Result<proto::IngestObservationsRequest, Status> {
        match self {
            Self::Decoded(message) => Ok(message),
            Self::Encoded(bytes) => StrictDecoder::default().decode_bytes(bytes),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct UploadCodec;

impl Codec for UploadCodec {
    type Encode = proto::IngestObservationsResponse;
    type Decode = UploadMessage;
    type Encoder = ProstEncoder<Self::Encode>;
    type Decoder = UploadDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> UploadDecoder {
        UploadDecoder::default()
    }
}

/// Decodes what is short, and takes messages with figures as they are.
#[derive(Debug, Default)]
struct UploadDecoder(StrictDecoder<proto::IngestObservationsRequest>);

impl Decoder for UploadDecoder {
    type Item = UploadMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<UploadMessage>, Status> {
        // Does not copy: a message lies in one piece.
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        if BatchReader::is_batch(&bytes) {
            return Ok(Some(UploadMessage::Encoded(bytes)));
        }
        self.0.decode_bytes(bytes).map(|message| Some(UploadMessage::Decoded(message)))
    }
}
