//! Almanac's real binary: its data, its writes and its streams.

use std::path::Path;

use almanac::proto::{
    self, admin_service_client::AdminServiceClient, definition::Item, feed_service_client::FeedServiceClient,
    subscribe_request::Start,
};
use prost::Message;
use tonic::{Request, Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    CHANGES_EACH, ECONOMIES, FILTERS,
    common::{
        Outcome,
        process::Process,
        server::{self, AlmanacServer, connect, own_binary},
    },
    crowd::StreamMessage,
};

const SOURCE: &str = "source";
/// The indicator of the small commits.
const SINGLE: &str = "SINGLE";
/// The comment of a figure. With it a change, which has the figure before and after, takes about 250 bytes.
const REMARK: &str = "As printed in the producer's table of the year, before rounding, in current prices.";

/// A message of `Subscribe`, as far as subscribers decode it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MessageOutline {
    #[prost(message, optional, tag = "1")]
    opened: Option<Nothing>,
    #[prost(message, optional, tag = "4")]
    commit_page: Option<PageOutline>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Nothing {}

#[derive(Clone, PartialEq, prost::Message)]
struct PageOutline {
    #[prost(bool, tag = "4")]
    last_page: bool,
}

impl StreamMessage for MessageOutline {
    fn is_opened(&self) -> bool {
        self.opened.is_some()
    }

    fn things(&self) -> usize {
        usize::from(self.commit_page.as_ref().is_some_and(|page| page.last_page))
    }
}

/// What a subscriber follows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Watched {
    /// The figures of one economy, by its number.
    Economy(usize),
    /// The figure of the small commits.
    Single,
}

fn request(watched: Watched) -> proto::SubscribeRequest {
    let filter = match watched {
        Watched::Economy(at) => proto::Filter { entities: vec![economy(at % FILTERS)], ..Default::default() },
        Watched::Single => proto::Filter { indicators: vec![SINGLE.into()], ..Default::default() },
    };
    proto::SubscribeRequest { start: Some(Start::Now(proto::StartNow {})), filters: vec![filter], ..Default::default() }
}

/// Opens a stream of the figures of an economy.
pub(crate) async fn open_economy(channel: Channel, number: usize) -> Result<Streaming<MessageOutline>, Status> {
    open(channel, Watched::Economy(number)).await
}

/// Opens a stream of the figure of the small commits.
pub(crate) async fn open_single(channel: Channel, _number: usize) -> Result<Streaming<MessageOutline>, Status> {
    open(channel, Watched::Single).await
}

async fn open(channel: Channel, watched: Watched) -> Result<Streaming<MessageOutline>, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static("/almanac.v1.FeedService/Subscribe");
    let codec = ProstCodec::<proto::SubscribeRequest, MessageOutline>::default();
    Ok(grpc.server_streaming(Request::new(request(watched)), path, codec).await?.into_inner())
}

/// A server on a folder of its own.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: String,
    writer: Writer,
}

impl Server {
    /// Starts the server and defines the catalog.
    pub(crate) async fn start(folder: &Path) -> Outcome<Self> {
        let server = AlmanacServer::start(&own_binary(), folder, &[])?;
        server.define(catalog()).await?;
        let writer = Writer::connect(&server.address, 0).await?;
        Ok(Self { process: server.process, address: server.address, writer })
    }

    /// Makes one commit: a figure of each indicator for each economy.
    pub(crate) async fn write_many(&mut self) -> Outcome<()> {
        self.writer.write_many().await
    }

    /// Makes one commit of one figure.
    pub(crate) async fn write_one(&mut self) -> Outcome<()> {
        self.writer.write_one().await
    }

    /// How many bytes the figure of a small commit has in an upload.
    pub(crate) fn bytes_of_one(&self) -> usize {
        self.writer.bytes_of_one()
    }

    /// The messages of the newest commit for each filter, as gRPC frames.
    pub(crate) async fn sent_of_newest(&self) -> Outcome<Vec<Vec<u8>>> {
        let mut feed = FeedServiceClient::new(connect(&self.address).await?);
        let head = feed.get_head(proto::GetHeadRequest::default()).await?.into_inner().head;
        let mut all = Vec::new();
        for filter in 0..FILTERS {
            let start = Start::Range(proto::StartRange { first_revision: head, last_revision: head });
            let watched = proto::SubscribeRequest { start: Some(start), ..request(Watched::Economy(filter)) };
            let mut stream = feed.subscribe(watched).await?.into_inner();
            let mut bytes = Vec::new();
            while let Some(message) = stream.message().await? {
                if let Some(proto::subscribe_response::Body::CommitPage(_)) = &message.body {
                    bytes.push(0);
                    bytes.extend_from_slice(&u32::try_from(message.encoded_len())?.to_be_bytes());
                    message.encode(&mut bytes)?;
                }
            }
            all.push(bytes);
        }
        Ok(all)
    }
}

/// A client that writes, on a connection of its own.
#[derive(Debug)]
pub(crate) struct Writer {
    admin: AdminServiceClient<Channel>,
    /// The economy of its small commits.
    economy: usize,
    writes: usize,
}

impl Writer {
    pub(crate) async fn connect(address: &str, economy: usize) -> Outcome<Self> {
        Ok(Self { admin: AdminServiceClient::new(connect(address).await?), economy, writes: 0 })
    }

    async fn write_many(&mut self) -> Outcome<()> {
        let mut batches = Vec::new();
        for number in 0..CHANGES_EACH {
            batches.extend((0..ECONOMIES).map(|of| self.batch(indicator(number), economy(of))));
        }
        self.write(batches).await
    }

    /// Makes one commit of one figure.
    pub(crate) async fn write_one(&mut self) -> Outcome<()> {
        let batch = self.batch(SINGLE.into(), economy(self.economy));
        self.write(vec![batch]).await
    }

    pub(crate) fn bytes_of_one(&self) -> usize {
        self.batch(SINGLE.into(), economy(self.economy)).encoded_len()
    }

    fn batch(&self, indicator: String, entity: String) -> proto::SeriesBatch {
        let comment = if indicator == SINGLE { "" } else { REMARK }.to_owned();
        let number = Some(self.writes as f64 + 0.25);
        let value = proto::Value { number, decimals: Some(2), comment, ..Default::default() };
        let point = proto::IngestPoint { period: "2024".into(), value: Some(value), withdrawn: false };
        proto::SeriesBatch { indicator, entity, source: SOURCE.into(), points: vec![point], dimensions: Vec::new() }
    }

    async fn write(&mut self, batches: Vec<proto::SeriesBatch>) -> Outcome<()> {
        self.writes += 1;
        let batch = proto::ObservationBatch { series: batches };
        Ok(server::ingest(&mut self.admin, "2025-01-01", vec![batch]).await?)
    }
}

/// The id of an economy.
pub(crate) fn economy(number: usize) -> String {
    format!("E{number:03}")
}

fn indicator(number: usize) -> String {
    format!("IND.{number:02}")
}

fn catalog() -> Vec<Item> {
    let mut items = vec![server::source(SOURCE), server::indicator(SINGLE.into())];
    items.extend((0..ECONOMIES).map(|number| server::economy(economy(number))));
    items.extend((0..CHANGES_EACH).map(|number| server::indicator(indicator(number))));
    items
}
