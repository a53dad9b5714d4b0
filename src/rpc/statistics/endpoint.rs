//! `StatisticsService`, with a codec of its own for `StreamSeries`, whose messages are encoded already.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use futures_util::future::BoxFuture;
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, CompressionEncoding, EncodeBuf, Encoder},
    server::{Grpc, ServerStreamingService},
};

use super::{Statistics, series_stream::BoxedStream};
use crate::{
    proto::{self, statistics_service_server::StatisticsServiceServer},
    rpc::{
        App, MESSAGE_BYTES_MAX,
        codec::StrictDecoder,
        endpoint::{Endpoint, Method},
    },
};

/// `StatisticsService`, with `StreamSeries` served from bytes.
pub fn endpoint(app: Arc<App>) -> Endpoint<Streaming, StatisticsServiceServer<Statistics>> {
    let statistics = Statistics(app);
    let others = StatisticsServiceServer::new(statistics.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let others = others.accept_compressed(CompressionEncoding::Gzip).send_compressed(CompressionEncoding::Gzip);
    Endpoint::new(Streaming(statistics), others)
}

/// `StreamSeries`.
#[derive(Debug, Clone)]
pub struct Streaming(Statistics);

impl Method for Streaming {
    const PATH: &'static str = "/almanac.v1.StatisticsService/StreamSeries";

    fn answer(self, request: http::Request<Body>) -> BoxFuture<'static, http::Response<Body>> {
        let grpc = Grpc::new(EncodedCodec).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut grpc = grpc.accept_compressed(CompressionEncoding::Gzip).send_compressed(CompressionEncoding::Gzip);
        Box::pin(async move { grpc.server_streaming(self, request).await })
    }
}

impl ServerStreamingService<proto::StreamSeriesRequest> for Streaming {
    type Response = Bytes;
    type ResponseStream = BoxedStream;
    type Future = BoxFuture<'static, Result<Response<BoxedStream>, Status>>;

    fn call(&mut self, request: Request<proto::StreamSeriesRequest>) -> Self::Future {
        let statistics = self.0.clone();
        Box::pin(async move { statistics.stream(request.into_inner()).await.map(Response::new) })
    }
}

#[derive(Debug, Clone, Copy)]
struct EncodedCodec;

impl Codec for EncodedCodec {
    type Encode = Bytes;
    type Decode = proto::StreamSeriesRequest;
    type Encoder = EncodedMessages;
    type Decoder = StrictDecoder<Self::Decode>;

    fn encoder(&mut self) -> EncodedMessages {
        EncodedMessages
    }

    fn decoder(&mut self) -> Self::Decoder {
        StrictDecoder::default()
    }
}

/// Sends messages as they are.
#[derive(Debug)]
struct EncodedMessages;

impl Encoder for EncodedMessages {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}
