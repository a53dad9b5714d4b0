//! etcd, as what else a user could take: Debian's package `etcd-server`, spoken to with the few messages needed here.
//!
//! A watcher is a stream of its own, as a subscriber is. A commit is one transaction; etcd's limits on its length and its
//! operations are raised for that.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use tonic::{Request, Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    CHANGES_EACH, ECONOMIES, FILTERS, Outcome,
    almanac::{Asked, economy},
    crowd::{DEADLINE, Glance},
    process::Process,
};

const SINGLE: &str = "single";

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TxnRequest {
    #[prost(message, repeated, tag = "2")]
    success: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestOp {
    #[prost(message, optional, tag = "2")]
    put: Option<PutRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    create: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchCreateRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    range_end: Vec<u8>,
}

/// An answer of which nothing is looked at.
#[derive(Clone, PartialEq, prost::Message)]
struct Unread {}

/// A message of a watcher, as far as it is looked at.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WatchResponse {
    #[prost(bool, tag = "3")]
    created: bool,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Unread>,
}

impl Glance for WatchResponse {
    fn opens(&self) -> bool {
        self.created
    }

    fn brings(&self) -> usize {
        self.events.len()
    }
}

/// Opens a watcher on the keys of an economy.
pub(crate) async fn open(channel: Channel, asked: Asked) -> Result<Streaming<WatchResponse>, Status> {
    let prefix = match asked {
        Asked::Economy(at) => format!("{}/", economy(at % FILTERS)),
        Asked::Single => SINGLE.into(),
    };
    // Up to the first key that does not begin so.
    let mut range_end = prefix.clone().into_bytes();
    range_end.last_mut().into_iter().for_each(|last| *last += 1);
    let create = WatchRequest { create: Some(WatchCreateRequest { key: prefix.into_bytes(), range_end }) };
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    // The watcher lives as long as what it may still ask.
    let asking = futures_util::StreamExt::chain(tokio_stream::once(create), tokio_stream::pending());
    let path = http::uri::PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
    let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
    Ok(grpc.streaming(Request::new(asking), path, codec).await?.into_inner())
}

/// A server of one node on a folder of its own.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: String,
    channel: Channel,
    writes: usize,
}

impl Server {
    /// Starts it; `None` if it is not on this machine.
    pub(crate) async fn start(scratch: &Path) -> Outcome<Option<Self>> {
        let free = || Ok::<_, std::io::Error>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let (clients, peers) = (format!("http://127.0.0.1:{}", free()?), format!("http://127.0.0.1:{}", free()?));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(scratch.join("etcd"));
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("default={peers}")]);
        command.args(["--max-txn-ops", "20000", "--max-request-bytes", "16777216", "--log-level", "error"]);
        let child = match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let process = Process(child);
        let started = Instant::now();
        let channel = loop {
            match Channel::from_shared(clients.clone())?.tcp_nodelay(true).connect().await {
                Ok(channel) => break channel,
                Err(error) if started.elapsed() > DEADLINE => return Err(error.into()),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        };
        let mut server = Self { process, address: clients, channel, writes: 0 };
        // Answered once it has a leader.
        server.write_one().await?;
        Ok(Some(server))
    }

    /// One transaction: a key of each economy for each indicator, with values of so many bytes.
    pub(crate) async fn write_many(&mut self, value_bytes: usize) -> Outcome<()> {
        self.writes += 1;
        let value = format!("{:0>value_bytes$}", self.writes).into_bytes();
        let keys = (0..CHANGES_EACH).flat_map(|at| (0..ECONOMIES).map(move |of| format!("{}/{at:02}", economy(of))));
        let put = |key: String| RequestOp { put: Some(PutRequest { key: key.into_bytes(), value: value.clone() }) };
        self.call("/etcdserverpb.KV/Txn", TxnRequest { success: keys.map(put).collect() }).await
    }

    /// One key.
    pub(crate) async fn write_one(&mut self) -> Outcome<()> {
        self.writes += 1;
        let put = PutRequest { key: SINGLE.into(), value: self.writes.to_string().into_bytes() };
        self.call("/etcdserverpb.KV/Put", put).await
    }

    async fn call<T: prost::Message + 'static>(&self, path: &'static str, request: T) -> Outcome<()> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await?;
        let path = http::uri::PathAndQuery::from_static(path);
        grpc.unary(Request::new(request), path, ProstCodec::<T, Unread>::default()).await?;
        Ok(())
    }
}
