//! Point reads against a service that does nothing: `GetFigure` and `ListEntries` (10), 64 in flight, over a socket.
//!
//! `cargo bench --bench reads`. The other service is tonic's own with the same methods, giving the same answers from
//! memory; so the ratio is what finding the answer costs. Server and client share the machine.

use std::{
    error::Error,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use almanac::{
    proto::{
        self,
        admin_service_client::AdminServiceClient,
        definition::Item,
        ranking_service_client::RankingServiceClient,
        ranking_service_server::{RankingService, RankingServiceServer},
        statistics_service_client::StatisticsServiceClient,
        statistics_service_server::{StatisticsService, StatisticsServiceServer},
    },
    server::{self, Config},
};
use tonic::{Request, Response, Status, transport::Channel};

type Outcome<T> = Result<T, Box<dyn Error>>;

const CONNECTIONS: usize = 8;
const IN_FLIGHT: usize = 64;
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
/// Small and large: the answer must not get slower with what is stored.
const SERIES: [usize; 2] = [1_000, 200_000];
const ENTITIES: usize = 200;
const YEARS: std::ops::Range<usize> = 2000..2020;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut small = 0.0;
    for series in SERIES {
        let figures = runtime.block_on(measure(series))?;
        if small == 0.0 {
            small = figures;
        } else {
            println!("GetFigure, {} series against {}: {:.2}", SERIES[1], SERIES[0], figures / small);
        }
    }
    Ok(())
}

async fn measure(series: usize) -> Outcome<f64> {
    let folder = tempfile::tempdir()?;
    let config = Config::new(folder.path().join("data"));
    let listener = server::listen("127.0.0.1:0".parse()?, false).await?;
    let address = listener.local_addr()?;
    let opened = tokio::task::spawn_blocking(move || server::open(&config)).await??;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server::serve(opened, listener, async move {
        let _ = stopped.await;
    }));
    fill(address, series).await?;

    let figure = proto::GetFigureRequest {
        indicator: indicator(series / ENTITIES / 2),
        entity: entity(ENTITIES / 2),
        period: "2010".into(),
        ..Default::default()
    };
    let entries = proto::ListEntriesRequest { ranking: "ranking".into(), page_size: 10, ..Default::default() };
    let channels = connect(address).await?;
    let noop = NoOp {
        figure: StatisticsServiceClient::new(channels[0].clone()).get_figure(figure.clone()).await?.into_inner(),
        entries: RankingServiceClient::new(channels[0].clone()).list_entries(entries.clone()).await?.into_inner(),
    };
    let idle = connect(noop.serve().await?).await?;

    let get_figure = |channel: Channel| {
        let (mut client, request) = (StatisticsServiceClient::new(channel), figure.clone());
        async move { client.get_figure(request).await.map(drop) }
    };
    let list_entries = |channel: Channel| {
        let (mut client, request) = (RankingServiceClient::new(channel), entries.clone());
        async move { client.list_entries(request).await.map(drop) }
    };
    let (mut figures, mut listed) = ([0.0; 2], [0.0; 2]);
    // Turn by turn, so that what else the machine does meets both alike.
    for _ in 0..ROUNDS {
        for (at, channels) in [&channels, &idle].into_iter().enumerate() {
            figures[at] += rate(channels, &get_figure).await? / ROUNDS as f64;
            listed[at] += rate(channels, &list_entries).await? / ROUNDS as f64;
        }
    }
    println!("{series} series");
    for (what, [ours, nothing]) in [("GetFigure", figures), ("ListEntries (10)", listed)] {
        println!("  {what:<17} {ours:>8.0}/s, doing nothing {nothing:>8.0}/s: {:.2}", ours / nothing);
    }
    let _ = stop.send(());
    drop(channels);
    serving.await??;
    Ok(figures[0])
}

/// Answers a second, with so many in flight over some connections.
async fn rate<F, T>(channels: &[Channel], call: &F) -> Outcome<f64>
where
    F: Fn(Channel) -> T,
    T: Future<Output = Result<(), Status>>,
{
    let started = Instant::now();
    let one = async |channel: &Channel| {
        let mut answers = 0u64;
        while started.elapsed() < ROUND {
            call(channel.clone()).await?;
            answers += 1;
        }
        Ok::<u64, Status>(answers)
    };
    let all = (0..IN_FLIGHT).map(|at| one(&channels[at % channels.len()]));
    let answers: u64 = futures_util::future::try_join_all(all).await?.into_iter().sum();
    Ok(answers as f64 / started.elapsed().as_secs_f64())
}

async fn connect(address: SocketAddr) -> Outcome<Vec<Channel>> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(Channel::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?);
    }
    Ok(channels)
}

fn indicator(at: usize) -> String {
    format!("IND.{at}")
}

fn entity(at: usize) -> String {
    format!("E{at:03}")
}

async fn fill(address: SocketAddr, series: usize) -> Outcome<()> {
    let mut admin = AdminServiceClient::connect(format!("http://{address}")).await?;
    let object = |object| proto::Definition { item: Some(object) };
    let mut definitions: Vec<proto::Definition> = vec![
        object(Item::Source(proto::Source { id: "source".into(), title: "Source".into(), ..Default::default() })),
        object(Item::Ranking(proto::Ranking {
            id: "ranking".into(),
            name: "Ranking".into(),
            subject: proto::EntityKind::Economy.into(),
            source: "source".into(),
            ..Default::default()
        })),
    ];
    definitions.extend((0..ENTITIES).map(|at| {
        let (id, kind) = (entity(at), proto::EntityKind::Economy.into());
        object(Item::Entity(proto::Entity { name: id.clone(), id, kind, ..Default::default() }))
    }));
    definitions.extend((0..series / ENTITIES).map(|at| {
        let id = indicator(at);
        object(Item::Indicator(proto::Indicator { name: id.clone(), id, ..Default::default() }))
    }));
    admin.define_catalog(proto::DefineCatalogRequest { definitions, ..Default::default() }).await?;

    let header = proto::IngestHeader { released: "2020-01-01".into(), ..Default::default() };
    let batches = (0..series / ENTITIES).map(|of| {
        let series = (0..ENTITIES).map(|about| proto::SeriesBatch {
            indicator: indicator(of),
            entity: entity(about),
            source: "source".into(),
            points: YEARS.map(|year| point(year, of * 31 + about * 7 + year)).collect(),
            dimensions: Vec::new(),
        });
        proto::ObservationBatch { series: series.collect() }
    });
    let messages = almanac::convert::upload::figures(header, Vec::new(), batches.collect());
    admin.ingest_observations(tokio_stream::iter(messages)).await?;

    let header = proto::PublishHeader {
        edition: Some(proto::Edition {
            ranking: "ranking".into(),
            id: "2020".into(),
            released: "2020-01-01".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let entries = (0..100).map(|at| proto::Entry {
        entity: entity(at),
        published_name: entity(at),
        rank: Some(at as u32 + 1),
        score: Some(proto::Value { number: Some(100.0 - at as f64), ..Default::default() }),
        ..Default::default()
    });
    let batch = proto::EntryBatch { entries: entries.collect() };
    let messages = almanac::convert::upload::edition(header, Vec::new(), vec![batch]);
    admin.publish_edition(tokio_stream::iter(messages)).await?;
    Ok(())
}

fn point(year: usize, seed: usize) -> proto::IngestPoint {
    let value = proto::Value { number: Some((seed % 9_973) as f64 / 100.0), decimals: Some(2), ..Default::default() };
    proto::IngestPoint { period: year.to_string(), value: Some(value), withdrawn: false }
}

/// Gives answers that it was given.
#[derive(Debug, Clone)]
struct NoOp {
    figure: proto::GetFigureResponse,
    entries: proto::ListEntriesResponse,
}

impl NoOp {
    async fn serve(self) -> Outcome<SocketAddr> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        let this = Arc::new(self);
        let routes = tonic::transport::Server::builder()
            .add_service(StatisticsServiceServer::from_arc(this.clone()))
            .add_service(RankingServiceServer::from_arc(this));
        tokio::spawn(routes.serve_with_incoming(incoming));
        Ok(address)
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

/// As `tonic::async_trait` would write them; it does not look into macros.
macro_rules! nothing {
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
impl StatisticsService for NoOp {
    async fn get_figure(
        &self,
        _: Request<proto::GetFigureRequest>,
    ) -> Result<Response<proto::GetFigureResponse>, Status> {
        Ok(Response::new(self.figure.clone()))
    }

    type StreamSeriesStream = tokio_stream::Empty<Result<proto::StreamSeriesResponse, Status>>;
    nothing! {
        query_observations(QueryObservationsRequest) -> proto::QueryObservationsResponse;
        stream_series(StreamSeriesRequest) -> Self::StreamSeriesStream;
        list_series(ListSeriesRequest) -> proto::ListSeriesResponse;
        list_versions(ListVersionsRequest) -> proto::ListVersionsResponse;
    }
}

#[tonic::async_trait]
impl RankingService for NoOp {
    async fn list_entries(
        &self,
        _: Request<proto::ListEntriesRequest>,
    ) -> Result<Response<proto::ListEntriesResponse>, Status> {
        Ok(Response::new(self.entries.clone()))
    }

    nothing! {
        list_editions(ListEditionsRequest) -> proto::ListEditionsResponse;
        get_edition(GetEditionRequest) -> proto::GetEditionResponse;
        compare_editions(CompareEditionsRequest) -> proto::CompareEditionsResponse;
        get_trajectory(GetTrajectoryRequest) -> proto::GetTrajectoryResponse;
    }
}
