//! The server: opens the folder, recovers, listens, serves, and ends politely.
//!
//! In reading order: [`open`] builds everything from a folder; [`serve`] serves it on a listener until it is told to stop.
//!
//! Invariants: what is served has caught up with the ledger. A server that listens beyond loopback was told so in plain
//! words. Stopping ends by itself: streams say goodbye, calls finish, and what is left after [`STOP_DEADLINE`] is cut.

mod connection;
mod cut;
mod health;

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::TryStreamExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket},
    sync::watch,
};
use tokio_stream::Stream;
use tonic::{
    codec::CompressionEncoding,
    transport::{Server, server::TcpIncoming},
};
use tower_http::{
    cors::{AllowOrigin, CorsLayer},
    map_request_body::MapRequestBodyLayer,
};

pub use self::health::ReadySwitch;
use self::{
    connection::{Closable, end_stalled},
    health::HealthKeeper,
};
use crate::{
    feed::hub::Hub,
    ledger::{Ledger, Writer, apply::catch_up, compact::Retention, writer},
    model::time::Clock,
    proto::{
        self, admin_service_server::AdminServiceServer, catalog_service_server::CatalogServiceServer,
        ranking_service_server::RankingServiceServer, statistics_service_server::StatisticsServiceServer,
    },
    query::Reader,
    rpc::{
        App, MESSAGE_BYTES_MAX, admin::Admin, catalog::Catalog, rankings::Rankings, statistics::Statistics,
        subscribe::SubscribeEndpoint,
    },
    store::{Engine, OpenError, offload::Offload, view::View},
};

/// How long calls may go on after the server was told to stop.
pub const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// HTTP/2 pings: a client that is frozen or gone is dropped after the two together.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most streams of one connection; tonic alone sets no limit.
const STREAMS_PER_CONNECTION_MAX: u32 = 256;
/// Most connections that wait to be accepted, if the system allows so many (`net.core.somaxconn`): all clients of a server
/// that went away come back at once, and who finds no room tries again only after a second.
const WAITING_CONNECTIONS_MAX: u32 = 4_096;
/// What is written goes through here.
const ADMIN_PATH: &str = "/almanac.v1.AdminService/";
/// And clients' cursors here.
const CURSOR_PATH: &str = "/almanac.v1.FeedService/PutCursor";
/// How long a subscription may take nothing of what waits for it before its connection is closed.
pub const SUBSCRIPTION_STALL_LIMIT: Duration = Duration::from_secs(60);
/// How old a subscription may get before it is asked to come again.
pub const SUBSCRIPTION_MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// What a server is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the data is.
    pub data: PathBuf,
    /// How old a subscription may get.
    pub subscription_max_age: Duration,
    /// How long a subscription may take nothing of what waits for it.
    pub subscription_stall_limit: Duration,
    /// Which commits keep their pages, to be replayed.
    pub keep: Retention,
    /// What says when a commit was recorded.
    pub clock: Clock,
    /// Where work that waits for the disk is done.
    pub offload: Offload,
}

impl Config {
    /// Data in this folder, everything else as usual.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            subscription_max_age: SUBSCRIPTION_MAX_AGE,
            subscription_stall_limit: SUBSCRIPTION_STALL_LIMIT,
            keep: Retention::default(),
            clock: Clock::default(),
            offload: Offload::default(),
        }
    }
}

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// It would be open to the world.
    #[error(
        "{0} is not a loopback address, and this server has no tokens and no TLS: anybody who reaches it could write. \
         Listen on 127.0.0.1 behind a proxy that checks who comes, or say --expose-without-protection"
    )]
    Exposed(SocketAddr),
    /// The transport failed.
    #[error("serving failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Everything that serves, built from a folder.
#[derive(Debug)]
pub struct Almanac {
    writer: Arc<Writer>,
    hub: Arc<Hub>,
    reader: Reader,
    config: Config,
    ready: watch::Receiver<bool>,
}

impl Almanac {
    /// Health says NOT_SERVING of every service until the switch says that the server is ready. Calls are answered all the
    /// same.
    pub fn not_ready_until(&mut self) -> ReadySwitch {
        let (sender, ready) = watch::channel(false);
        self.ready = ready;
        ReadySwitch(sender)
    }

    /// The feed, with its counts.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

/// Opens a folder, recovers, and starts the writer. Waits for the disk.
pub fn open(config: &Config) -> Result<Almanac, OpenError> {
    open_on(Engine::open(Path::new(&config.data))?, config)
}

/// The same on an engine that is open.
pub fn open_on(engine: Engine, config: &Config) -> Result<Almanac, OpenError> {
    let engine = Arc::new(engine);
    let ledger = Arc::new(Ledger::open(engine.clone())?);
    let view = Arc::new(View::open(engine)?);
    let applied = catch_up(&ledger, &view)?;
    if applied > 0 {
        tracing::info!(commits = applied, "applied what was sealed before the last stop");
    }
    let reader = Reader::new(ledger.clone(), view.clone());
    let hub = Arc::new(Hub::new(reader.clone(), config.offload.clone()));
    let publishing = hub.clone();
    let setup = writer::Setup { retention: config.keep, clock: config.clock.clone(), offload: config.offload.clone() };
    let writer = Arc::new(Writer::start(ledger, view, setup, move |published| publishing.publish(published))?);
    Ok(Almanac { writer, hub, reader, config: config.clone(), ready: watch::channel(true).1 })
}

/// Binds an address, unless that would open the server to the world unasked.
pub async fn listen(address: SocketAddr, expose: bool) -> Result<TcpListener, ServeError> {
    if !address.ip().is_loopback() && !expose {
        return Err(ServeError::Exposed(address));
    }
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A server that comes back takes its port again at once.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(WAITING_CONNECTIONS_MAX)
    };
    listen().map_err(|error| ServeError::Listen { address, error })
}

/// Answers are compressed if the client asks. The feed sees to that itself: once for all subscribers.
macro_rules! limited {
    ($service:expr) => {
        $service
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
    };
}
/// Serves on a listener until `stop` is done, then ends politely.
pub async fn serve(almanac: Almanac, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(Duration::from_secs(60)));
    let incoming = incoming.map_ok(|io| {
        let peer = io.peer_addr().ok();
        (io, peer)
    });
    serve_on(almanac, incoming, stop).await
}

/// The same on any kind of connection, each with the address it comes from, if that is known.
pub async fn serve_on<C: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    almanac: Almanac,
    incoming: impl Stream<Item = io::Result<(C, Option<SocketAddr>)>>,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let Config { offload, subscription_max_age, subscription_stall_limit, .. } = almanac.config;
    let Almanac { writer, hub, reader, ready, .. } = almanac;
    let app = Arc::new(App::new(reader, writer.clone(), hub.clone(), offload.clone(), subscription_max_age));
    let (health, health_service) = tonic_health::server::health_reporter();
    let (stopped, mut stopping) = watch::channel(false);
    let health = HealthKeeper::start(health, writer.clone(), ready, stopping.clone()).await;
    let healthy = tokio::spawn(health.run());
    let ending_stalled = tokio::spawn(end_stalled(app.streams(), subscription_stall_limit, stopping.clone()));

    // The sets are compiled in; if they did not parse, the test of reflection would say so.
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION_MAX))
        .layer(cors())
        .layer(tonic_web::GrpcWebLayer::new())
        .layer(MapRequestBodyLayer::new(cut::Uncut::wrap))
        .add_service(limited!(CatalogServiceServer::new(Catalog(app.clone()))))
        .add_service(limited!(StatisticsServiceServer::new(Statistics(app.clone()))))
        .add_service(limited!(RankingServiceServer::new(Rankings(app.clone()))))
        .add_service(SubscribeEndpoint::new(app.clone()))
        .add_service(limited!(AdminServiceServer::new(Admin(app))))
        .add_service(health_service)
        .add_optional_service(reflection().build_v1().ok())
        // grpcio's own client, grpcui and Postman ask this one.
        .add_optional_service(reflection().build_v1alpha().ok());
    let incoming = incoming.map_ok(|(io, peer)| Closable::new(io, peer));
    let serving = routes.serve_with_incoming_shutdown(incoming, async move {
        let _ = stopping.changed().await;
    });
    tokio::pin!(serving);
    let result = tokio::select! {
        biased;
        result = &mut serving => result,
        () = stop => {
            tracing::info!("stopping");
            hub.stop();
            stopped.send_replace(true);
            // tonic waits for open streams, and for silent connections, for ever.
            tokio::time::timeout(STOP_DEADLINE, &mut serving).await.unwrap_or(Ok(()))
        }
    };
    stopped.send_replace(true);
    ending_stalled.abort();
    let _ = healthy.await;
    // Writes that were taken are finished before the process ends.
    let _ = offload.run(move || writer.stop()).await;
    Ok(result?)
}

/// For browsers: any page may read what is open to all, and none may write, not even through a browser on this machine;
/// grpc-web needs its trailers exposed.
fn cors() -> CorsLayer {
    let writes = |path: &str| path.starts_with(ADMIN_PATH) || path == CURSOR_PATH;
    let reads = move |_: &http::HeaderValue, request: &http::request::Parts| !writes(request.uri.path());
    let exposed = ["grpc-status", "grpc-message", "grpc-status-details-bin"].map(http::HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(reads))
        .allow_headers(tower_http::cors::Any)
        .allow_methods([http::Method::POST])
        .expose_headers(exposed)
}
