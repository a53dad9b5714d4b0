//! The server: opens a folder, recovers, listens, serves, and stops.
//!
//! In reading order: [`open`] builds everything from a folder; [`listen`] binds an address; [`serve`] serves until it is asked
//! to stop. [`browsers`] serves browsers, [`connection`] closes connections whose client reads nothing, [`cancellation`] keeps cancelled uploads from being
//! committed, [`health`] answers `grpc.health.v1`.
//!
//! Invariants: the view has caught up with the ledger before the server answers. A server listens beyond loopback only if its
//! operator asked for it explicitly. A stop takes a bounded time: streams say goodbye, calls finish, and after
//! [`STOP_DEADLINE`] the server drops the rest.

mod browsers;
mod cancellation;
mod connection;
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
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tower_http::map_request_body::MapRequestBodyLayer;

pub use self::health::ReadySwitch;
use self::{
    browsers::BrowserLayer,
    connection::{Closable, end_stalled},
    health::HealthKeeper,
};
use crate::{
    feed::hub::{Hub, HubPublisher},
    ledger::{Ledger, Writer, apply::catch_up, compact::Retention, writer},
    model::time::Clock,
    proto::{self, catalog_service_server::CatalogServiceServer, ranking_service_server::RankingServiceServer},
    query::Reader,
    rpc::{App, MESSAGE_BYTES_MAX, admin, catalog::Catalog, rankings::Rankings, statistics, subscribe},
    store::{CACHE_BYTES_DEFAULT, Engine, OpenError, offload::Offload, view::View},
};

/// How long calls may go on after the server was asked to stop.
pub const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// HTTP/2 pings: the server drops a client that is frozen or gone after the two times together.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most streams of one connection; tonic has no limit of its own.
const STREAMS_PER_CONNECTION_MAX: u32 = 256;
/// Most connections that wait to be accepted, if the system allows so many (`net.core.somaxconn`). All clients of a server
/// that restarts come back at once; one that finds the queue full tries again only after a second.
const WAITING_CONNECTIONS_MAX: u32 = 4_096;
/// How long a subscription may read nothing while messages wait for it. After that its connection is closed.
pub const SUBSCRIPTION_STALL_LIMIT: Duration = Duration::from_secs(60);
/// How long a subscription lasts before it is asked to come again.
pub const SUBSCRIPTION_MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// Settings of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder with the data.
    pub data: PathBuf,
    /// Default: [`SUBSCRIPTION_MAX_AGE`].
    pub subscription_max_age: Duration,
    /// Default: [`SUBSCRIPTION_STALL_LIMIT`].
    pub subscription_stall_limit: Duration,
    /// Most bytes of blocks of figures in memory. Default: [`CACHE_BYTES_DEFAULT`].
    pub cache_bytes: usize,
    /// Which commits keep their pages, so that they can be replayed. Default: all.
    pub retention: Retention,
    /// The clock of recorded times.
    pub clock: Clock,
    /// Where work that waits for the disk is done.
    pub offload: Offload,
}

impl Config {
    /// The data is in this folder; everything else has its default.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            subscription_max_age: SUBSCRIPTION_MAX_AGE,
            subscription_stall_limit: SUBSCRIPTION_STALL_LIMIT,
            cache_bytes: CACHE_BYTES_DEFAULT,
            retention: Retention::default(),
            clock: Clock::default(),
            offload: Offload::default(),
        }
    }
}

/// Why a server does not start, or ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] OpenError),
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    /// The address can be reached from other machines, and the operator did not ask for that.
    #[error(
        "{0} is not a loopback address, and this server has no tokens and no TLS: anybody who reaches it could write. \
         Listen on 127.0.0.1 behind a proxy that checks its clients, or pass --expose-without-protection"
    )]
    Exposed(SocketAddr),
    #[error("serving failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Everything that a server needs, built from a folder.
#[derive(Debug)]
pub struct Almanac {
    writer: Arc<Writer>,
    hub: Arc<Hub>,
    reader: Reader,
    config: Config,
    ready: watch::Receiver<bool>,
}

impl Almanac {
    /// Makes health say `NOT_SERVING` for every service until the switch is used. The server answers calls even so.
    pub fn not_ready_until(&mut self) -> ReadySwitch {
        let (sender, ready) = watch::channel(false);
        self.ready = ready;
        ReadySwitch(sender)
    }

    /// The feed, for its counts.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

/// Opens the folder of a configuration, recovers, and starts the writer. Waits for the disk.
pub fn open(config: &Config) -> Result<Almanac, OpenError> {
    open_on(Engine::open(Path::new(&config.data))?, config)
}

/// Like [`open`], on an engine that is open already.
pub fn open_on(engine: Engine, config: &Config) -> Result<Almanac, OpenError> {
    let engine = Arc::new(engine);
    let ledger = Arc::new(Ledger::open(engine.clone())?);
    let view = Arc::new(View::with_cache(engine, config.cache_bytes)?);
    let applied = catch_up(&ledger, &view)?;
    if applied > 0 {
        tracing::info!(commits = applied, "applied what was sealed before the last stop");
    }
    let reader = Reader::new(ledger.clone(), view.clone());
    let hub = Arc::new(Hub::new(reader.clone(), config.offload.clone()));
    let setup =
        writer::Setup { retention: config.retention, clock: config.clock.clone(), offload: config.offload.clone() };
    let writer = Arc::new(Writer::start(ledger, view, setup, HubPublisher(hub.clone()))?);
    Ok(Almanac { writer, hub, reader, config: config.clone(), ready: watch::channel(true).1 })
}

/// Binds an address. One that other machines can reach is refused unless `expose` is set.
pub async fn listen(address: SocketAddr, expose: bool) -> Result<TcpListener, ServeError> {
    if !address.ip().is_loopback() && !expose {
        return Err(ServeError::Exposed(address));
    }
    bind(address).map_err(|error| ServeError::Listen { address, error })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that restarts takes its port again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING_CONNECTIONS_MAX)
}

/// Bounds requests, and compresses answers if the client asks for it. `Subscribe` compresses by itself, once for all
/// subscribers.
macro_rules! limited {
    ($service:expr) => {
        $service
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
    };
}

/// Serves on a listener until `stop` is done, then stops.
pub async fn serve(almanac: Almanac, listener: TcpListener, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(Duration::from_secs(60)));
    let incoming = incoming.map_ok(|io| {
        let peer = io.peer_addr().ok();
        (io, peer)
    });
    serve_on(almanac, incoming, stop).await
}

/// Like [`serve`], on any kind of connection, each with the address it comes from, if that is known.
pub async fn serve_on<C: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    almanac: Almanac,
    incoming: impl Stream<Item = io::Result<(C, Option<SocketAddr>)>>,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let Config { offload, subscription_max_age, subscription_stall_limit, .. } = almanac.config;
    let Almanac { writer, hub, reader, ready, .. } = almanac;
    let app = Arc::new(App::new(reader, writer.clone(), hub.clone(), offload.clone(), subscription_max_age));
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let (stop_sender, mut stopping) = watch::channel(false);
    let health = HealthKeeper::start(reporter, writer.clone(), ready, stopping.clone()).await;
    let health = tokio::spawn(health.run());
    let stalled = tokio::spawn(end_stalled(app.streams(), subscription_stall_limit, stopping.clone()));

    let router = Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION_MAX))
        .layer(BrowserLayer)
        .layer(MapRequestBodyLayer::new(cancellation::RequestBody::wrap))
        .add_routes(services(app).add_service(health_service));
    let incoming = incoming.map_ok(|(io, peer)| Closable::new(io, peer));
    let serving = router.serve_with_incoming_shutdown(incoming, async move {
        let _ = stopping.changed().await;
    });
    tokio::pin!(serving);
    let result = tokio::select! {
        biased;
        result = &mut serving => result,
        () = stop => {
            tracing::info!("stopping");
            hub.stop();
            stop_sender.send_replace(true);
            // tonic waits without limit for open streams and for silent connections.
            tokio::time::timeout(STOP_DEADLINE, &mut serving).await.unwrap_or(Ok(()))
        }
    };
    stop_sender.send_replace(true);
    stalled.abort();
    let _ = health.await;
    // The writer finishes the writes that it accepted before the process ends.
    let _ = offload.run(move || writer.stop()).await;
    Ok(result?)
}

fn services(app: Arc<App>) -> Routes {
    let mut services = Routes::new(limited!(CatalogServiceServer::new(Catalog(app.clone()))))
        .add_service(statistics::endpoint(app.clone()))
        .add_service(limited!(RankingServiceServer::new(Rankings(app.clone()))))
        .add_service(subscribe::endpoint(app.clone()))
        .add_service(admin::endpoint(app));
    // The descriptors are compiled in. If they did not parse, the test of reflection would fail.
    if let Ok(reflection) = reflection().build_v1() {
        services = services.add_service(reflection);
    }
    // grpcio's own client, grpcui and Postman use the older version.
    if let Ok(reflection) = reflection().build_v1alpha() {
        services = services.add_service(reflection);
    }
    services
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
