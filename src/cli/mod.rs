//! Commands for people, on the public gRPC API only.
//!
//! [`session`] is the connection, [`error`] says why a command failed, [`table`], [`values`], [`editions`], [`change`] and
//! [`json`] show answers; then a file per command. Those that read: [`ranking`], [`compare`], [`trajectory`], [`figure`],
//! [`series`], [`catalog`], [`status`], [`watch`] with [`catching_up`]. Those that write: [`define`], [`import`], [`publish`]; below them [`files`] finds and unpacks,
//! [`directory`] fetches the names that the server knows, [`order`] makes a file a commit, [`upload`] makes the messages,
//! [`writing`] shows results and findings. [`serve`] starts the server, [`sample`] loads the sample data into it through
//! the same functions. [`backup`] keeps what the server streams; its `restore` and [`verify`] work on a folder that no server
//! has open.
//!
//! Invariants: but for those three and `serve`, nothing here reaches into the server's rooms: whatever a command can do, a
//! client in any language can do.
//! Exit code 0 done, 1 refused or failed, 2 wrong usage. Tables and progress bars go to a terminal, never into a pipe.

// Everything here is private to the room; `pub` means that a sibling uses it.
#![allow(unreachable_pub)]

mod as_of;
mod backup;
mod catalog;
mod catching_up;
mod change;
mod compare;
mod define;
mod directory;
mod editions;
mod error;
mod figure;
mod files;
mod import;
mod json;
mod migrate;
mod order;
mod publish;
mod ranking;
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
mod writing;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::CliError;
use session::Session;

/// Innovation rankings and statistics: answers at any point of their history, and a feed of every change.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 110)]
struct Cli {
    /// Server to talk to
    #[arg(long, global = true, env = "ALMANAC_SERVER", default_value = "http://127.0.0.1:50051")]
    server: String,
    /// Token to show it
    #[arg(long, global = true, env = "ALMANAC_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Answer as JSON: one document, or for watch one line a message
    #[arg(long, global = true)]
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
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has seen enough (`almanac ... | head`) is no failure.
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

/// Logs go to standard error; `RUST_LOG` says how much.
fn start_telemetry() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,almanac=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
