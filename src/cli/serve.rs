//! `almanac serve`.

use std::{net::SocketAddr, path::PathBuf};

use super::{error::CliError, sample, session::Session};
use crate::{
    proto,
    server::{self, Config},
};

/// Starts the server.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Folder of the data; made if it is not there
    #[arg(long, default_value = "almanac-data", env = "ALMANAC_DATA")]
    pub data: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:50051", env = "ALMANAC_LISTEN")]
    pub listen: SocketAddr,
    /// Load the sample data that comes with the binary; a second start changes nothing
    #[arg(long)]
    pub sample_data: bool,
    /// Listen beyond loopback although there are no tokens and no TLS yet: anybody who reaches the server can write
    #[arg(long)]
    pub expose_without_protection: bool,
}

/// Runs until SIGINT or SIGTERM.
pub async fn run(args: ServeArgs) -> Result<(), CliError> {
    let listener = server::listen(args.listen, args.expose_without_protection).await?;
    let address = listener.local_addr()?;
    let config = Config::new(&args.data);
    let opened = tokio::task::spawn_blocking(move || server::open(&config)).await;
    let almanac =
        opened.map_err(|error| std::io::Error::other(error.to_string()))?.map_err(server::ServeError::from)?;
    let stop = stop_signal()?;
    let serving = tokio::spawn(server::serve(almanac, listener, stop));

    let url = format!("http://{address}");
    let session = Session::connect(&url, None, false).await?;
    if args.sample_data {
        sample::load(&session).await?;
    }
    let status = session.admin().get_store_status(proto::GetStoreStatusRequest {}).await?.into_inner();
    greet(&url, &args, &status);
    drop(session);
    let served = serving.await.map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(served?)
}

/// Says where it listens, what it holds, and what to try next. Standard error: standard output stays free.
fn greet(url: &str, args: &ServeArgs, status: &proto::GetStoreStatusResponse) {
    let server = if args.listen.port() == 50051 { String::new() } else { format!(" --server {url}") };
    eprintln!("almanac {} listens on {url}", status.server_version);
    eprintln!("  data in {}, revision {}", args.data.display(), status.head);
    eprintln!(
        "  {} editions, {} figures in {} series ({} versions), {} indicators, {} entities",
        status.editions, status.current_values, status.series, status.versions, status.indicators, status.entities
    );
    eprintln!("try next, in another terminal:");
    let commands: [&str; 3] = if status.editions > 0 {
        ["ranking gii-clusters --edition 2025 --top 10", "compare gii-clusters 2023 2025", "watch --from state"]
    } else {
        ["define catalog.json", "import data.csv --profile wdi-wide", "watch --from state"]
    };
    commands.iter().for_each(|command| eprintln!("  almanac{server} {command}"));
}

/// Done when the process is asked to stop.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
