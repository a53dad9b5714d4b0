//! Point reads compared with a service that does nothing: `GetFigure` and `ListEntries` (10), 64 in flight, over a socket.
//!
//! Run `cargo bench --bench reads`. The other service has the same methods and gives the same answers from memory; so the
//! ratio of the two rates is what finding an answer costs. Server and client share the machine.

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
/// A small and a large store: an answer must not get slower with the size.
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
    let idle_service = IdleService {
        figure: StatisticsServiceClient::new(channels[0].clone()).get_figure(figure.clone()).await?.into_inner(),
        entries: RankingServiceClient::new(channels[0].clone()).list_entries(entries.clone()).await?.into_inner(),
    };
    let idle = connect(idle_service.serve().await?).await?;

    // Mean rates of Almanac and of the idle service.
    let mut figure_rates = [0.0; 2];
    let mut entry_rates = [0.0; 2];
    // In turns, so that other load on the machine slows both alike.
    for _ in 0..ROUNDS {
        for (service, channels) in [&channels, &idle].into_iter().enumerate() {
            figure_rates[service] += rate(channels, &GetFigure(&figure)).await? / ROUNDS as f64;
            entry_rates[service] += rate(channels, &ListEntries(&entries)).await? / ROUNDS as f64;
        }
    }
    println!("{series} series");
    for (what, [ours, nothing]) in [("GetFigure", figure_rates), ("ListEntries (10)", entry_rates)] {
        println!("  {what:<17} {ours:>8.0}/s, doing nothing {nothing:>8.0}/s: {:.2}", ours / nothing);
    }
    let _ = stop.send(());
    drop(channels);
    serving.await??;
    Ok(figure_rates[0])
}

/// A read that is measured.
trait Call {
    async fn call(&self, channel: Channel) -> Result<(), Status>;
}

struct GetFigure<'a>(&'a proto::GetFigureRequest);

impl Call for GetFigure<'_> {
    async fn call(&self, channel: Channel) -> Result<(), Status> {
        StatisticsServiceClient::new(channel).get_figure(self.0.clone()).await.map(drop)
    }
}

struct ListEntries<'a>(&'a proto::ListEntriesRequest);

impl Call for ListEntries<'_> {
    async fn call(&self, channel: Channel) -> Result<(), Status> {
        RankingServiceClient::new(channel).list_entries(self.0.clone()).await.map(drop)
    }
}

/// Answers a second during one round, with [`IN_FLIGHT`] calls at a time.
async fn rate(channels: &[Channel], call: &impl Call) -> Outcome<f64> {
    let started = Instant::now();
    let workers = (0..IN_FLIGHT).map(|worker| repeat(call, &channels[worker % channels.len()], started));
    let answers: u64 = futures_util::future::try_join_all(workers).await?.into_iter().sum();
    Ok(answers as f64 / started.elapsed().as_secs_f64())
}

/// Calls one after the other until the round ends; returns how many.
async fn repeat(call: &impl Call, channel: &Channel, started: Instant) -> Result<u64, Status> {
    let mut answers = 0;
    while started.elapsed() < ROUND {
        call.call(channel.clone()).await?;
        answers += 1;
    }
    Ok(answers)
}

async fn connect(address: SocketAddr) -> Outcome<Vec<Channel>> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(Channel::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?);
    }
    Ok(channels)
}

fn indicator(number: usize) -> String {
    format!("IND.{number}")
}

fn entity(number: usize) -> String {
    format!("E{number:03}")
}

/// Loads the catalog, one commit of figures and one edition.
async fn fill(address: SocketAddr, series: usize) -> Outcome<()> {
    let mut admin = AdminServiceClient::connect(format!("http://{address}")).await?;
    let indicators = series / ENTITIES;
    let request = proto::DefineCatalogRequest { definitions: catalog(indicators), ..Default::default() };
    admin.define_catalog(request).await?;
    ingest_figures(&mut admin, indicators).await?;
    publish_edition(&mut admin).await
}

fn catalog(indicators: usize) -> Vec<proto::Definition> {
    let source = proto::Source { id: "source".into(), title: "Source".into(), ..Default::default() };
    let ranking = proto::Ranking {
        id: "ranking".into(),
        name: "Ranking".into(),
        subject: proto::EntityKind::Economy.into(),
        source: "source".into(),
        ..Default::default()
    };
    let mut items = vec![Item::Source(source), Item::Ranking(ranking)];
    for number in 0..ENTITIES {
        let id = entity(number);
        let kind = proto::EntityKind::Economy.into();
        items.push(Item::Entity(proto::Entity { name: id.clone(), id, kind, ..Default::default() }));
    }
    for number in 0..indicators {
        let id = indicator(number);
        items.push(Item::Indicator(proto::Indicator { name: id.clone(), id, ..Default::default() }));
    }
    items.into_iter().map(|item| proto::Definition { item: Some(item) }).collect()
}

async fn ingest_figures(admin: &mut AdminServiceClient<Channel>, indicators: usize) -> Outcome<()> {
    let header = proto::IngestHeader { released: "2020-01-01".into(), ..Default::default() };
    let mut batches = Vec::new();
    for of in 0..indicators {
        let series = (0..ENTITIES).map(|about| proto::SeriesBatch {
            indicator: indicator(of),
            entity: entity(about),
            source: "source".into(),
            points: YEARS.map(|year| point(year, of * 31 + about * 7 + year)).collect(),
            dimensions: Vec::new(),
        });
        batches.push(proto::ObservationBatch { series: series.collect() });
    }
    let messages = almanac::convert::upload::figures(header, Vec::new(), batches);
    admin.ingest_observations(tokio_stream::iter(messages)).await?;
    Ok(())
}

async fn publish_edition(admin: &mut AdminServiceClient<Channel>) -> Outcome<()> {
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

/// A service that finds nothing: it returns one answer for each method.
#[derive(Debug, Clone)]
struct IdleService {
    figure: proto::GetFigureResponse,
    entries: proto::ListEntriesResponse,
}

impl IdleService {
    async fn serve(self) -> Outcome<SocketAddr> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        let service = Arc::new(self);
        let routes = tonic::transport::Server::builder()
            .add_service(StatisticsServiceServer::from_arc(service.clone()))
            .add_service(RankingServiceServer::from_arc(service));
        tokio::spawn(routes.serve_with_incoming(incoming));
        Ok(address)
    }
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
