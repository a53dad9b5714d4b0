//! `StatisticsService`, with a codec of its own for `StreamSeries`, whose messages are encoded already.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes};
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, CompressionEncoding, EncodeBuf, Encoder},
    codegen::Service,
    server::{Grpc, NamedService, ServerStreamingService},
};

use super::{Statistics, series_stream::BoxedStream};
use crate::{
    proto::{self, statistics_service_server::StatisticsServiceServer},
    rpc::{App, MESSAGE_BYTES_MAX, codec::StrictDecoder},
};

const PATH: &str = "/almanac.v1.StatisticsService/StreamSeries";

/// `StatisticsService`, with `StreamSeries` served from bytes.
#[derive(Debug, Clone)]
pub struct StatisticsEndpoint {
    statistics: Statistics,
    others: StatisticsServiceServer<Statistics>,
}

impl StatisticsEndpoint {
    pub fn new(app: Arc<App>) -> Self {
        let statistics = Statistics(app);
        let others = StatisticsServiceServer::new(statistics.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let others = others.accept_compressed(CompressionEncoding::Gzip).send_compressed(CompressionEncoding::Gzip);
        Self { statistics, others }
    }
}

impl NamedService for StatisticsEndpoint {
    const NAME: &'static str = <StatisticsServiceServer<Statistics> as NamedService>::NAME;
}

impl Service<http::Request<Body>> for StatisticsEndpoint {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != PATH {
            return Box::pin(self.others.call(request));
        }
        let streaming = Streaming(self.statistics.clone());
        let mut grpc = Grpc::new(EncodedCodec).max_decoding_message_size(MESSAGE_BYTES_MAX);
        grpc = grpc.accept_compressed(CompressionEncoding::Gzip).send_compressed(CompressionEncoding::Gzip);
        Box::pin(async move { Ok(grpc.server_streaming(streaming, request).await) })
    }
}

/// The handler of the method.
struct Streaming(Statistics);

impl ServerStreamingService<proto::StreamSeriesRequest> for Streaming {
    type Response = Bytes;
    type ResponseStream = BoxedStream;
    type Future = Pin<Box<dyn Future<Output = Result<Response<BoxedStream>, Status>> + Send>>;

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
