//! Commands for people, on the public gRPC API only.
//!
//! In reading order:
//! - [`session`] is the connection, [`error`] says why a command failed.
//! - [`table`], [`values`], [`words`], [`editions`], [`change`] and [`json`] print answers.
//! - Commands that read: [`ranking`], [`compare`], [`trajectory`], [`figure`], [`series`], [`catalog`], [`status`], and
//!   [`watch`] with [`progress`].
//! - Commands that write: [`define`], [`import`], [`publish`]. For them [`files`] finds and unpacks files,
//!   [`reading`] parses them on several threads, [`directory`] fetches the names of the catalog, [`importer`] makes a
//!   commit of a file, [`upload`] makes the messages, [`ingest`] sends those with figures, and [`writing`] prints results
//!   and findings.
//! - [`serve`] starts the server; [`sample`] loads the sample data into it by the functions of the other commands.
//! - [`backup`] keeps what the server streams. `restore`, [`verify`] and [`migrate`] work on a folder that no server
//!   has open.
//!
//! Invariants:
//! - Only `serve`, `restore`, `verify` and `migrate` use code of the server. Whatever the other commands do, a client
//!   in any language can do.
//! - The exit code is 0 if all was done, 1 if something was refused or failed, 2 for wrong usage.
//! - Borders, colours and progress go to a terminal, never into a pipe.

// Everything here is private to the command line; `pub` means that a sibling uses it.
#![allow(unreachable_pub)]

mod as_of;
mod backup;
mod catalog;
mod change;
mod compare;
mod define;
mod directory;
mod editions;
mod error;
mod figure;
mod files;
mod import;
mod importer;
mod ingest;
mod json;
mod migrate;
mod progress;
mod publish;
mod ranking;
mod reading;
mod sample;
mod series;
mod serve;
mod session;
mod status;
mod table;
mod trajectory;
mod upload;
mod values;
mod verify;
mod watch;
mod words;
mod writing;

use std::{env, pin::Pin, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use error::CliError;
use session::Session;

/// Under this heading every command lists the options that all commands have.
const GLOBAL_OPTIONS: &str = "Global options";

/// Innovation rankings and statistics: answers at any point of their history, and a feed of every change.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110)]
struct Cli {
    /// URL of the server
    #[arg(long, global = true, help_heading = GLOBAL_OPTIONS, value_name = "URL", env = "ALMANAC_SERVER")]
    #[arg(default_value = "http://127.0.0.1:50051")]
    server: String,
    /// Access token that is sent with every call
    #[arg(long, global = true, help_heading = GLOBAL_OPTIONS, env = "ALMANAC_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print JSON: one document; watch, import and define print one line for each message or commit
    #[arg(long, global = true, help_heading = GLOBAL_OPTIONS)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Verify(verify::VerifyArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Migrate(migrate::MigrateArgs),
    Ranking(ranking::RankingArgs),
    Editions(ranking::EditionsArgs),
    Compare(compare::CompareArgs),
    Trajectory(trajectory::TrajectoryArgs),
    Figure(figure::FigureArgs),
    Series(series::SeriesArgs),
    Versions(series::VersionsArgs),
    Search(catalog::SearchArgs),
    Watch(watch::WatchArgs),
    Status(status::StatusArgs),
    Define(define::DefineArgs),
    Import(import::ImportArgs),
    Publish(publish::PublishArgs),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_telemetry();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("almanac: {error}");
            return ExitCode::FAILURE;
        }
    };
    // As a pointer, because every function of tokio that polls a future by its type gets a copy of the code of all commands.
    let command: Pin<Box<dyn Future<Output = Result<(), CliError>>>> = Box::pin(run(cli));
    match runtime.block_on(command) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe may stop early (`almanac ... | head`); that is no failure.
        Err(CliError::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("almanac: {error}");
            error.exit_code()
        }
    }
}

async fn run(cli: Cli) -> Result<(), CliError> {
    let command = match cli.command {
        Command::Serve(args) => return serve::run(args).await,
        Command::Verify(args) => return verify::run(args, cli.json).await,
        Command::Restore(args) => return backup::run_restore(args, cli.json).await,
        Command::Migrate(args) => return migrate::run(args, cli.json).await,
        command => command,
    };
    let session = Session::connect(&cli.server, cli.token.as_deref(), cli.json).await?;
    match command {
        Command::Serve(_) | Command::Verify(_) | Command::Restore(_) | Command::Migrate(_) => Ok(()),
        Command::Backup(args) => backup::run(args, &session).await,
        Command::Ranking(args) => ranking::run(args, &session).await,
        Command::Editions(args) => ranking::editions(args, &session).await,
        Command::Compare(args) => compare::run(args, &session).await,
        Command::Trajectory(args) => trajectory::run(args, &session).await,
        Command::Figure(args) => figure::run(args, &session).await,
        Command::Series(args) => series::run(args, &session).await,
        Command::Versions(args) => series::versions(args, &session).await,
        Command::Search(args) => catalog::search(args, &session).await,
        Command::Watch(args) => watch::run(args, &session).await,
        Command::Status(_) => status::run(&session).await,
        Command::Define(args) => define::run(args, &session).await,
        Command::Import(args) => import::run(args, &session).await,
        Command::Publish(args) => publish::run(args, &session).await,
    }
}

/// Which logs are written when `RUST_LOG` does not say: warnings of everything, and what the server itself does.
const LOGS: [(&str, LevelFilter); 1] = [("almanac", LevelFilter::INFO)];

/// Logs go to standard error. `RUST_LOG` says which: a level (`debug`), or levels of modules (`warn,almanac::feed=trace`).
fn start_telemetry() {
    let wanted = env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
    let parsed = wanted.as_deref().map(str::parse::<Targets>);
    let usual = || Targets::new().with_default(LevelFilter::WARN).with_targets(LOGS);
    let (filter, refused) = match parsed {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (usual(), Some(error)),
        None => (usual(), None),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    if let Some(error) = refused {
        tracing::warn!("RUST_LOG is ignored: {error}");
    }
}
