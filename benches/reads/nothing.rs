//! tonic services that find nothing: they give the same answers from memory. Each is this program in another process.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use almanac::proto::{
    self,
    ranking_service_server::{RankingService, RankingServiceServer},
    statistics_service_server::{StatisticsService, StatisticsServiceServer},
};
use bytes::{Buf, BufMut, Bytes};
use futures_util::{FutureExt, future::BoxFuture};
use prost::Message;
use tokio_stream::Iter;
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::Service,
    server::{Grpc, NamedService, ServerStreamingService},
    transport::Server,
};

use crate::common::{
    Outcome,
    idle::{announce, read_records, until_input_ends},
};

/// Started with this argument, the program answers point reads. The file has the two answers.
pub(crate) const POINTS: &str = "--nothing-points";
/// Started with this argument, the program streams the messages of the file.
pub(crate) const STREAM: &str = "--nothing-stream";
pub(crate) const STREAM_PATH: &str = "/almanac.v1.StatisticsService/StreamSeries";

/// Serves until the standard input ends.
pub(crate) async fn serve_points(path: &str) -> Outcome<()> {
    let records = read_records(path)?;
    let service = Arc::new(IdleService {
        figure: proto::GetFigureResponse::decode(records.first().ok_or("no figure")?.clone())?,
        entries: proto::ListEntriesResponse::decode(records.get(1).ok_or("no entries")?.clone())?,
    });
    let routes = Server::builder()
        .add_service(StatisticsServiceServer::from_arc(service.clone()))
        .add_service(RankingServiceServer::from_arc(service));
    tokio::spawn(routes.serve_with_incoming(announce().await?));
    until_input_ends(|| {}).await
}

/// Serves until the standard input ends.
pub(crate) async fn serve_stream(path: &str) -> Outcome<()> {
    let stream = IdleStream(Arc::new(read_records(path)?));
    tokio::spawn(Server::builder().add_service(stream).serve_with_incoming(announce().await?));
    until_input_ends(|| {}).await
}

/// One answer for each method.
#[derive(Debug)]
struct IdleService {
    figure: proto::GetFigureResponse,
    entries: proto::ListEntriesResponse,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

/// Methods that are not measured, as `tonic::async_trait` would expand them: it does not look into macros.
macro_rules! unimplemented {
    ($($method:ident($request:ident) -> $answer:ty;)*) => {$(
        fn $method<'a, 'b>(&'a self, _: Request<proto::$request>) -> Answer<'b, $answer>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(Status::unimplemented("not measured")) })
        }
    )*};
}

#[tonic::async_trait]
impl StatisticsService for IdleService {
    async fn get_figure(
        &self,
        _: Request<proto::GetFigureRequest>,
    ) -> Result<Response<proto::GetFigureResponse>, Status> {
        Ok(Response::new(self.figure.clone()))
    }

    type StreamSeriesStream = tokio_stream::Empty<Result<proto::StreamSeriesResponse, Status>>;
    unimplemented! {
        query_observations(QueryObservationsRequest) -> proto::QueryObservationsResponse;
        stream_series(StreamSeriesRequest) -> Self::StreamSeriesStream;
        list_series(ListSeriesRequest) -> proto::ListSeriesResponse;
        list_versions(ListVersionsRequest) -> proto::ListVersionsResponse;
    }
}

#[tonic::async_trait]
impl RankingService for IdleService {
    async fn list_entries(
        &self,
        _: Request<proto::ListEntriesRequest>,
    ) -> Result<Response<proto::ListEntriesResponse>, Status> {
        Ok(Response::new(self.entries.clone()))
    }

    unimplemented! {
        list_editions(ListEditionsRequest) -> proto::ListEditionsResponse;
        get_edition(GetEditionRequest) -> proto::GetEditionResponse;
        compare_editions(CompareEditionsRequest) -> proto::CompareEditionsResponse;
        get_trajectory(GetTrajectoryRequest) -> proto::GetTrajectoryResponse;
    }
}

/// Messages as bytes, which nothing encodes or decodes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// A service that streams the same messages to every call, through tonic's own encoder.
#[derive(Debug, Clone)]
struct IdleStream(Arc<Vec<Bytes>>);

impl NamedService for IdleStream {
    const NAME: &'static str = "almanac.v1.StatisticsService";
}

impl Service<http::Request<Body>> for IdleStream {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let stream = self.clone();
        async move { Ok(Grpc::new(RawCodec).server_streaming(stream, request).await) }.boxed()
    }
}

impl ServerStreamingService<Bytes> for IdleStream {
    type Response = Bytes;
    type ResponseStream = Iter<std::vec::IntoIter<Result<Bytes, Status>>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let messages: Vec<Result<Bytes, Status>> = self.0.iter().cloned().map(Ok).collect();
        ready(Ok(Response::new(tokio_stream::iter(messages))))
    }
}
