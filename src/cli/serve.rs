//! `almanac serve`: starts the server, from options, a file and defaults.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroU64},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{error::CliError, sample, session::Session};
use crate::{
    ledger::compact::Retention,
    proto,
    server::{self, Config},
};

const DATA_DEFAULT: &str = "almanac-data";
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);

/// Start the server
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Data folder; it is made if it does not exist [default: almanac-data]
    #[arg(long, value_name = "DIR", env = "ALMANAC_DATA")]
    data: Option<PathBuf>,
    /// Address to listen on; port 0 is any free port [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR", env = "ALMANAC_LISTEN")]
    listen: Option<SocketAddr>,
    /// Load the sample data of the binary; loading it again changes nothing
    #[arg(long)]
    sample_data: bool,
    /// Allow an address beyond loopback, although there are no tokens and no TLS: everybody who reaches the server can
    /// write
    #[arg(long)]
    expose_without_protection: bool,
    /// Keep the changes of the newest N commits only: older commits cannot be replayed, while queries still answer for
    /// any point of history. Cannot be undone; `almanac backup` and `almanac verify --repair` are no longer possible
    /// [default: keep all]
    #[arg(long, value_name = "N")]
    keep_revisions: Option<NonZeroU64>,
    /// Keep the changes of the commits of the last N days only; with --keep-revisions, a commit is kept if either
    /// option keeps it [default: keep all]
    #[arg(long, value_name = "N")]
    keep_days: Option<NonZeroU32>,
    /// Most memory for blocks of figures, in MiB: reads of single figures that find theirs there do not wait for the disk;
    /// 0 keeps none [default: 64]
    #[arg(long, value_name = "N")]
    cache_mib: Option<u32>,
    /// TOML file with settings; options win over it. Keys: data, listen, sample_data, expose_without_protection,
    /// keep_revisions, keep_days, cache_mib, subscription_max_age_seconds, subscription_stall_seconds
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The file of `--config`. Seconds below 1 count as 1.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ConfigFile {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    sample_data: bool,
    expose_without_protection: bool,
    keep_revisions: Option<NonZeroU64>,
    keep_days: Option<NonZeroU32>,
    cache_mib: Option<u32>,
    subscription_max_age_seconds: Option<u64>,
    subscription_stall_seconds: Option<u64>,
}

impl ConfigFile {
    fn read(path: &Path) -> Result<Self, CliError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| CliError::Usage(format!("--config {}: {error}", path.display())))?;
        toml::from_str(&text).map_err(|error| CliError::Usage(format!("--config {}: {error}", path.display())))
    }
}

/// An option wins over the file, and the file over the default.
#[derive(Debug)]
struct ServeSettings {
    config: Config,
    listen: SocketAddr,
    sample_data: bool,
    expose: bool,
}

impl ServeSettings {
    fn new(args: ServeArgs) -> Result<Self, CliError> {
        let file = match &args.config {
            None => ConfigFile::default(),
            Some(path) => ConfigFile::read(path)?,
        };
        let mut config = Config::new(args.data.or(file.data).unwrap_or_else(|| DATA_DEFAULT.into()));
        if let Some(seconds) = file.subscription_max_age_seconds {
            config.subscription_max_age = Duration::from_secs(seconds.max(1));
        }
        if let Some(seconds) = file.subscription_stall_seconds {
            config.subscription_stall_limit = Duration::from_secs(seconds.max(1));
        }
        if let Some(mib) = args.cache_mib.or(file.cache_mib) {
            config.cache_bytes = usize::try_from(mib).unwrap_or(usize::MAX).saturating_mul(1 << 20);
        }
        config.retention = Retention {
            revisions: args.keep_revisions.or(file.keep_revisions),
            days: args.keep_days.or(file.keep_days),
        };
        Ok(Self {
            config,
            listen: args.listen.or(file.listen).unwrap_or(LISTEN_DEFAULT),
            sample_data: args.sample_data || file.sample_data,
            expose: args.expose_without_protection || file.expose_without_protection,
        })
    }
}

/// Serves until SIGINT or SIGTERM.
pub async fn run(args: ServeArgs) -> Result<(), CliError> {
    let settings = ServeSettings::new(args)?;
    let listener = server::listen(settings.listen, settings.expose).await?;
    let address = listener.local_addr()?;
    let config = settings.config.clone();
    let opened = tokio::task::spawn_blocking(move || server::open(&config)).await;
    let mut almanac =
        opened.map_err(|error| std::io::Error::other(error.to_string()))?.map_err(server::ServeError::from)?;
    let ready = settings.sample_data.then(|| almanac.not_ready_until());
    let stop = stop_signal()?;
    let serving = tokio::spawn(server::serve(almanac, listener, stop));

    let url = format!("http://{address}");
    let session = Session::connect(&url, None, false).await?;
    if let Some(ready) = ready {
        eprintln!("loading the sample data on {url}; health says NOT_SERVING until it is in");
        sample::load(&session).await?;
        ready.ready();
        tracing::info!("the sample data is in, health says SERVING");
    }
    let status = session.admin().get_store_status(proto::GetStoreStatusRequest {}).await?.into_inner();
    print_greeting(address, &settings.config, &status);
    drop(session);
    let served = serving.await.map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(served?)
}

/// Prints to standard error where the server listens, what it holds, and what to try next.
fn print_greeting(address: SocketAddr, config: &Config, status: &proto::GetStoreStatusResponse) {
    let server = if address == LISTEN_DEFAULT { String::new() } else { format!(" --server http://{address}") };
    eprintln!("almanac {} listens on http://{address}", status.server_version);
    eprintln!("  data in {}, revision {}", config.data.display(), status.head);
    eprintln!(
        "  {} editions, {} figures in {} series ({} versions), {} indicators, {} entities",
        status.editions, status.current_figures, status.series, status.versions, status.indicators, status.entities
    );
    eprintln!("try next, in another terminal:");
    let commands: [&str; 3] = if status.editions > 0 {
        ["ranking gii-clusters --edition 2025 --top 10", "compare gii-clusters 2023 2025", "watch --from state"]
    } else {
        ["define catalog.json", "import data.csv --profile wdi-wide", "watch --from state"]
    };
    for command in commands {
        eprintln!("  almanac{server} {command}");
    }
}

/// Completes at SIGINT or SIGTERM.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::store::CACHE_BYTES_DEFAULT;

    #[derive(Debug, Parser)]
    struct ServeCommand {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn settings(file: &str, options: &[&str]) -> Result<ServeSettings, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("almanac.toml");
        std::fs::write(&path, file).unwrap();
        let config = ["serve", "--config", path.to_str().unwrap()];
        ServeSettings::new(ServeCommand::parse_from(config.iter().chain(options)).serve)
    }

    #[test]
    fn options_win_over_the_file_and_the_file_over_defaults() {
        let file = "data = \"/srv/almanac\"\nlisten = \"127.0.0.1:4000\"\nsubscription_max_age_seconds = 60\nsubscription_stall_seconds = 5\n";
        let found = settings(file, &["--listen", "127.0.0.1:4001"]).unwrap();
        assert_eq!(found.config.data, PathBuf::from("/srv/almanac"));
        assert_eq!((found.listen.port(), found.sample_data), (4001, false));
        assert_eq!(found.config.subscription_max_age, Duration::from_secs(60));
        assert_eq!(found.config.subscription_stall_limit, Duration::from_secs(5));
        let found = settings("sample_data = true", &[]).unwrap();
        assert_eq!((found.listen, found.sample_data), (LISTEN_DEFAULT, true));
        let found = settings("keep_revisions = 9\nkeep_days = 30", &["--keep-revisions", "5"]).unwrap();
        assert_eq!(found.config.retention.revisions.map(NonZeroU64::get), Some(5));
        assert_eq!(found.config.retention.days.map(NonZeroU32::get), Some(30));
        assert_eq!(settings("", &[]).unwrap().config.cache_bytes, CACHE_BYTES_DEFAULT);
        assert_eq!(settings("cache_mib = 3", &[]).unwrap().config.cache_bytes, 3 << 20);
        assert_eq!(settings("cache_mib = 3", &["--cache-mib", "0"]).unwrap().config.cache_bytes, 0);
        assert!(matches!(settings("keep_revisions = 0", &[]), Err(CliError::Usage(_))), "head is always kept");
        assert!(matches!(settings("datta = \"typo\"", &[]), Err(CliError::Usage(_))));
    }
}
