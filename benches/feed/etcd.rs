//! etcd, which a user could take instead: Debian's package `etcd-server`, with the few messages that are needed here.
//!
//! A watcher has a stream of its own, as a subscriber has. A commit is one transaction; etcd's limits on its length and on
//! its operations are raised for that.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use tonic::{Request, Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    CHANGES_EACH, ECONOMIES, FILTERS,
    almanac::{Watched, economy},
    common::{Outcome, process::Process, server::connect},
    crowd::{DEADLINE, StreamMessage},
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

/// A message of which nothing is decoded.
#[derive(Clone, PartialEq, prost::Message)]
struct Unread {}

/// A message of a watcher, as far as subscribers decode it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WatchResponse {
    #[prost(bool, tag = "3")]
    created: bool,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Unread>,
}

impl StreamMessage for WatchResponse {
    fn is_opened(&self) -> bool {
        self.created
    }

    fn things(&self) -> usize {
        self.events.len()
    }
}

/// Opens a watcher of the keys of an economy.
pub(crate) async fn open_economy(channel: Channel, number: usize) -> Result<Streaming<WatchResponse>, Status> {
    open(channel, Watched::Economy(number)).await
}

/// Opens a watcher of the key of the small commits.
pub(crate) async fn open_single(channel: Channel, _number: usize) -> Result<Streaming<WatchResponse>, Status> {
    open(channel, Watched::Single).await
}

async fn open(channel: Channel, watched: Watched) -> Result<Streaming<WatchResponse>, Status> {
    let prefix = match watched {
        Watched::Economy(at) => format!("{}/", economy(at % FILTERS)),
        Watched::Single => SINGLE.into(),
    };
    // The first key that does not start with the prefix.
    let mut range_end = prefix.clone().into_bytes();
    if let Some(last) = range_end.last_mut() {
        *last += 1;
    }
    let create = WatchRequest { create: Some(WatchCreateRequest { key: prefix.into_bytes(), range_end }) };
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    // The stream of requests must not end, or the watcher ends with it.
    let requests = futures_util::StreamExt::chain(tokio_stream::once(create), tokio_stream::pending());
    let path = http::uri::PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
    let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
    Ok(grpc.streaming(Request::new(requests), path, codec).await?.into_inner())
}

/// A server of one node on a folder of its own.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: String,
    writer: Writer,
}

impl Server {
    /// Starts the server; `None`, with a message, if etcd is not on this machine.
    pub(crate) async fn start(folder: &Path) -> Outcome<Option<Self>> {
        let clients = format!("http://127.0.0.1:{}", free_port()?);
        let peers = format!("http://127.0.0.1:{}", free_port()?);
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(folder);
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("default={peers}")]);
        command.args(["--max-txn-ops", "20000", "--max-request-bytes", "16777216", "--log-level", "error"]);
        let child = match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("  etcd is not on this machine (Debian: etcd-server)");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let process = Process(child);
        let started = Instant::now();
        let channel = loop {
            match connect(&clients).await {
                Ok(channel) => break channel,
                Err(error) if started.elapsed() > DEADLINE => return Err(error),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        };
        let mut writer = Writer { channel, key: SINGLE.into(), writes: 0 };
        // etcd answers it once it has elected a leader.
        writer.write_one(0).await?;
        Ok(Some(Self { process, address: clients, writer }))
    }

    /// Makes one transaction: a key of each economy for each indicator, with values of so many bytes.
    pub(crate) async fn write_many(&mut self, value_bytes: usize) -> Outcome<()> {
        let value = self.writer.next_value(value_bytes);
        let mut success = Vec::new();
        for indicator in 0..CHANGES_EACH {
            for number in 0..ECONOMIES {
                let key = format!("{}/{indicator:02}", economy(number)).into_bytes();
                success.push(RequestOp { put: Some(PutRequest { key, value: value.clone() }) });
            }
        }
        self.writer.call("/etcdserverpb.KV/Txn", TxnRequest { success }).await
    }

    /// Writes the key of the small commits, with a value of so many bytes.
    pub(crate) async fn write_one(&mut self, value_bytes: usize) -> Outcome<()> {
        self.writer.write_one(value_bytes).await
    }
}

/// A client that writes one key, on a connection of its own.
#[derive(Debug)]
pub(crate) struct Writer {
    channel: Channel,
    key: String,
    writes: usize,
}

impl Writer {
    pub(crate) async fn connect(address: &str, number: usize) -> Outcome<Self> {
        Ok(Self { channel: connect(address).await?, key: format!("writer/{number}"), writes: 0 })
    }

    pub(crate) async fn write_one(&mut self, value_bytes: usize) -> Outcome<()> {
        let value = self.next_value(value_bytes);
        let put = PutRequest { key: self.key.clone().into_bytes(), value };
        self.call("/etcdserverpb.KV/Put", put).await
    }

    /// A value that differs from all before.
    fn next_value(&mut self, bytes: usize) -> Vec<u8> {
        self.writes += 1;
        format!("{:0>bytes$}", self.writes).into_bytes()
    }

    async fn call<T: prost::Message + 'static>(&self, path: &'static str, request: T) -> Outcome<()> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await?;
        let path = http::uri::PathAndQuery::from_static(path);
        grpc.unary(Request::new(request), path, ProstCodec::<T, Unread>::default()).await?;
        Ok(())
    }
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
