//! Almanac's binary as a process.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use almanac::proto::{self, admin_service_client::AdminServiceClient, definition::Item};
use tonic::transport::Channel;

use super::{Outcome, process::Process};

/// The program that cargo built with the bench.
pub(crate) fn own_binary() -> PathBuf {
    env!("CARGO_BIN_EXE_almanac").into()
}

/// A server of some build on a folder.
#[derive(Debug)]
pub(crate) struct AlmanacServer {
    pub(crate) process: Process,
    pub(crate) address: String,
}

impl AlmanacServer {
    /// Starts a server with further arguments of `serve`, and waits until it listens.
    pub(crate) fn start(program: &Path, folder: &Path, arguments: &[String]) -> Outcome<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder).args(arguments);
        let mut child = command.env("RUST_LOG", "warn").stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let log = child.stderr.take().ok_or("no standard error")?;
        let process = Process(child);
        let mut lines = BufReader::new(log).lines();
        let address = lines.find_map(|line| line.ok()?.split_once(" listens on ").map(|(_, at)| at.trim().to_owned()));
        let address = address.ok_or("the server did not start")?;
        // Its log must be read on, or the server waits when the pipe is full.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(Self { process, address })
    }

    pub(crate) async fn define(&self, items: Vec<Item>) -> Outcome<()> {
        let definitions = items.into_iter().map(|item| proto::Definition { item: Some(item) }).collect();
        let request = proto::DefineCatalogRequest { definitions, ..Default::default() };
        AdminServiceClient::new(connect(&self.address).await?).define_catalog(request).await?;
        Ok(())
    }
}

/// A connection of its own.
pub(crate) async fn connect(address: &str) -> Outcome<Channel> {
    Ok(Channel::from_shared(address.to_owned())?.tcp_nodelay(true).connect().await?)
}

/// Writes one commit of figures.
pub(crate) async fn ingest(
    admin: &mut AdminServiceClient<Channel>,
    released: &str,
    batches: Vec<proto::ObservationBatch>,
) -> Result<(), tonic::Status> {
    let header = proto::IngestHeader { released: released.into(), ..Default::default() };
    let messages = almanac::convert::upload::figures(header, Vec::new(), batches);
    admin.ingest_observations(tokio_stream::iter(messages)).await.map(drop)
}

pub(crate) fn source(id: &str) -> Item {
    Item::Source(proto::Source { id: id.into(), title: "Source".into(), ..Default::default() })
}

pub(crate) fn economy(id: String) -> Item {
    let kind = proto::EntityKind::Economy.into();
    Item::Entity(proto::Entity { name: id.clone(), id, kind, ..Default::default() })
}

pub(crate) fn indicator(id: String) -> Item {
    Item::Indicator(proto::Indicator { name: id.clone(), id, ..Default::default() })
}
