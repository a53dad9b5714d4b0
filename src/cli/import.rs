//! `almanac import`: files of figures.
//!
//! One thread reads, unpacks and parses; what it made goes on in packs, so that names which a file brings along are
//! defined a few times and not once a file, and uploads overlap with parsing. Memory is bounded by a few packs.

use std::{path::PathBuf, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    error::CliError,
    files::{self, Document},
    json,
    order::{Defined, Order, ReadFile, Turns},
    session::Session,
    table::{Rows, note},
    upload::{self, FigureMessages},
    writing::{self, Tally},
};
use crate::{
    convert,
    intake::profile::{Profile, names},
    model::{id::SourceId, time::Date},
    proto::{self, ingest_observations_request::Part},
};

/// A pack of parsed files is sent on when it has so many.
const PACK_FILES_MAX: usize = 64;
/// Or so many figures, about 20 MB.
const PACK_POINTS_MAX: usize = 400_000;
/// Packs that wait for the server.
const PACKS_MAX: usize = 1;
/// Uploads at a time: the server writes one after the other, in the order of the files, and takes in the next meanwhile.
const UPLOADS_MAX: usize = 4;
/// Messages that wait for the server, with one commit for all files.
const MESSAGES_MAX: usize = 4;
/// Files that are listed one by one in the answer.
const FILES_LISTED_MAX: usize = 60;
/// Files whose findings are printed; many files tend to have the same.
const FILES_EXPLAINED_MAX: usize = 5;

/// What an upload says about what it does not contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Nothing: only what is in the file changes
    Merge,
    /// It is the whole release of each indicator it names: what it lacks is withdrawn as of that release
    Replace,
}

/// Loads files of figures: tables, compressed or not, folders of them and .tar, .tar.gz, .tar.xz archives
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// Files, folders and archives
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// How files map to figures: the name of a built-in profile, or a TOML file of your own
    #[arg(long, help = format!("How files map to figures: {}, or a TOML file of your own", names().join(", ")))]
    profile: String,
    /// When the producer published them; default: as the file states, else today
    #[arg(long, value_name = "DATE", value_parser = writing::date)]
    released: Option<Date>,
    /// Source of figures whose file names none; default: that of the profile
    #[arg(long)]
    source: Option<String>,
    /// What the files say about what they do not contain
    #[arg(long, value_enum, default_value = "merge")]
    mode: Mode,
    /// Define the indicators, economies and the source that the files name and the server does not know
    #[arg(long)]
    define_missing: bool,
    /// Check everything and show the difference; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Note kept with each commit
    #[arg(long, default_value = "")]
    note: String,
    /// One commit for all files, instead of one each
    #[arg(long)]
    one_commit: bool,
}

/// What became of the files.
#[derive(Default)]
struct Report {
    lines: Vec<(String, proto::WriteResult)>,
    tally: Tally,
    files: usize,
    empty: usize,
    foreign: Vec<String>,
    refused: usize,
    explained: usize,
    unknown_names: bool,
    first: u64,
    last: u64,
}

/// Imports.
pub async fn run(args: ImportArgs, session: &Session) -> Result<(), CliError> {
    let profile = Profile::load(&args.profile).map_err(|error| CliError::Usage(error.to_string()))?;
    let source = args.source.as_deref().map(SourceId::new).transpose();
    let source = source.map_err(|error| CliError::Usage(format!("--source: {error}")))?;
    let mut order = Order::new(session, profile, source, args.define_missing).await?;
    order.released = args.released;
    order.replace = args.mode == Mode::Replace;
    order.dry_run = args.dry_run;
    order.note = args.note;
    let inputs = files::find(&args.paths)?;
    if inputs.is_empty() {
        return Err(CliError::Refused("there is no table in these folders".into()));
    }
    let progress = progress_bar(session, files::total_bytes(&inputs));
    let order = Arc::new(order);
    let (packs, taken) = mpsc::channel(PACKS_MAX);
    let reading = {
        let (order, progress) = (order.clone(), progress.clone());
        tokio::task::spawn_blocking(move || read(&order, &inputs, &progress, &packs))
    };
    let mut report = Report::default();
    let sent = if args.one_commit {
        send_together(session, &order, taken, &mut report).await
    } else {
        send_each(session, &order, taken, &mut report).await
    };
    progress.finish_and_clear();
    if sent.is_err() && report.files > 0 && !order.dry_run {
        let (files, counts) = (count_files(report.files), writing::counts(&report.tally.0));
        eprintln!("{files} were written before the failure: {counts}; up to revision {}", report.last);
    }
    sent?;
    reading.await.map_err(std::io::Error::other)?;
    report.print(session, &order)
}

/// What the reading thread hands on; an error is the last it says.
type Pack = std::io::Result<Vec<ReadFile>>;

/// Parses file after file; stops when nobody takes them any more.
fn read(order: &Order, inputs: &[files::Input], progress: &ProgressBar, packs: &mpsc::Sender<Pack>) {
    let mut pack: Vec<ReadFile> = Vec::new();
    let mut points = 0;
    let read = files::read_all(inputs, progress, |document: Document| {
        let file = order.read(&document);
        points += file.figures.points();
        pack.push(file);
        if pack.len() < PACK_FILES_MAX && points < PACK_POINTS_MAX {
            return true;
        }
        points = 0;
        packs.blocking_send(Ok(std::mem::take(&mut pack))).is_ok()
    });
    // If nobody takes the last ones, the one who should have has an error to tell.
    let _ = packs.blocking_send(Ok(pack));
    if let Err(error) = read {
        let _ = packs.blocking_send(Err(error));
    }
}

async fn send_each(
    session: &Session,
    order: &Order,
    mut packs: mpsc::Receiver<Pack>,
    report: &mut Report,
) -> Result<(), CliError> {
    let mut defined = Defined::default();
    let mut turns = Turns::default();
    while let Some(pack) = packs.recv().await {
        let mut pack = pack?;
        report.sort_out(session, &mut pack);
        let uploads = pack.into_iter().map(|mut file| {
            // Where nothing is written, no file brings anything to the next one: each is checked with all it needs.
            if order.dry_run {
                defined = Defined::default();
            }
            let definitions = defined.missing(order, &mut file);
            order.upload(session, file, definitions, String::new(), turns.next_turn())
        });
        let mut uploads = stream::iter(uploads).buffered(UPLOADS_MAX);
        while let Some((name, result)) = uploads.try_next().await? {
            report.add(session, name, result)?;
        }
    }
    Ok(())
}

async fn send_together(
    session: &Session,
    order: &Order,
    mut packs: mpsc::Receiver<Pack>,
    report: &mut Report,
) -> Result<(), CliError> {
    let mut defined = Defined::default();
    let mut released: Option<String> = None;
    let mut upload = None;
    let mut end = proto::UploadEnd::default();
    let mut files = 0;
    while let Some(pack) = packs.recv().await {
        let mut pack = pack?;
        report.sort_out(session, &mut pack);
        for mut file in pack {
            let stated = order.released(&file)?;
            if released.get_or_insert_with(|| stated.clone()) != &stated {
                let text = format!("{} was released on {stated}, files before it on another day", file.name);
                return Err(CliError::Refused(format!("{text}: leave out --one-commit, or say --released")));
            }
            // Once a file was refused, the rest is read only for its findings.
            if report.refused > 0 {
                continue;
            }
            let definitions = defined.missing(order, &mut file);
            let (messages, ..) = upload.get_or_insert_with(|| {
                let header = convert::upload::ingest(Part::Header(order.header(&stated, String::new(), String::new())));
                let (messages, taken) = mpsc::channel(MESSAGES_MAX);
                let mut admin = session.admin();
                let requests = stream::iter([header]).chain(ReceiverStream::new(taken));
                (messages, tokio::spawn(async move { admin.ingest_observations(requests).await }))
            });
            files += 1;
            let batches = upload::definition_batches(definitions).into_iter().map(Part::Definitions);
            for message in batches.map(convert::upload::ingest).chain(FigureMessages::new(file.figures.series)) {
                convert::upload::count(&mut end, &message);
                if messages.send(message).await.is_err() {
                    break; // The server has answered already: with an error, told below.
                }
            }
        }
    }
    let Some((messages, call)) = upload else { return Ok(()) };
    if report.refused > 0 {
        return Ok(()); // Without its end nothing of the upload is written.
    }
    let _ = messages.send(convert::upload::ingest(Part::End(end))).await; // If the call is over, its answer says why.
    drop(messages);
    let answer = call.await.map_err(std::io::Error::other)??.into_inner();
    report.files += files - 1;
    report.add(session, count_files(files), answer.result.unwrap_or_default())
}

impl Report {
    /// Takes out of a pack what has nothing to write, and says why.
    fn sort_out(&mut self, session: &Session, pack: &mut Vec<ReadFile>) {
        pack.retain(|file| {
            let figures = &file.figures;
            if figures.foreign && !file.named {
                self.foreign.push(file.name.clone());
                return false;
            }
            if !figures.findings.is_empty() && self.explained < FILES_EXPLAINED_MAX {
                self.explained += 1;
                writing::print_findings(session, &figures.findings);
            }
            if figures.errors > 0 {
                self.refused += 1;
                self.unknown_names |= figures.findings.iter().any(|finding| finding.code.starts_with("UNKNOWN_"));
                return false;
            }
            let empty = figures.series.is_empty() && !file.replaces();
            self.empty += usize::from(empty);
            !empty
        });
    }

    fn add(&mut self, session: &Session, name: String, mut result: proto::WriteResult) -> Result<(), CliError> {
        self.files += 1;
        if session.json {
            let response = proto::IngestObservationsResponse { result: Some(result.clone()) };
            json::print_line(&response, "almanac.v1.IngestObservationsResponse")?;
        } else {
            writing::print_difference(session, &result)?;
        }
        writing::print_answered(session, &result.findings);
        self.refused += usize::from(writing::refused(&result.findings));
        self.tally.add(&result.counts.unwrap_or_default());
        self.first = if self.first == 0 { result.revision } else { self.first.min(result.revision) };
        self.last = self.last.max(result.revision);
        if self.lines.len() <= FILES_LISTED_MAX {
            (result.difference, result.findings) = (Vec::new(), Vec::new());
            self.lines.push((name, result));
        }
        Ok(())
    }

    fn print(self, session: &Session, order: &Order) -> Result<(), CliError> {
        if !session.json && self.lines.len() > 1 && self.lines.len() <= FILES_LISTED_MAX {
            let heads = ["file", "#revision", "#added", "#revised", "#unchanged", "#withdrawn", "#filled in"];
            let mut rows = Rows::new(&heads);
            for (name, result) in &self.lines {
                let counts = result.counts.unwrap_or_default();
                let numbers = [counts.added, counts.revised, counts.unchanged, counts.withdrawn, counts.backfilled];
                let cells = [name.clone(), result.revision.to_string()];
                rows.add(cells.into_iter().chain(numbers.map(|number| number.to_string())));
            }
            rows.print(session)?;
        }
        for name in self.foreign.iter().take(FILES_EXPLAINED_MAX) {
            eprintln!("left out {name}: it has no header of profile {}", order.profile.name);
        }
        if self.foreign.len() > FILES_EXPLAINED_MAX {
            eprintln!("... and {} more", self.foreign.len() - FILES_EXPLAINED_MAX);
        }
        if self.empty > 0 {
            eprintln!("{} without a figure", count_files(self.empty));
        }
        let counts = writing::counts(&self.tally.0);
        if !session.json && self.files > 0 {
            let revisions = match (self.first, self.last) {
                _ if order.dry_run => "nothing was written".to_owned(),
                (first, last) if first == last => format!("revision {last}"),
                (first, last) => format!("revisions {first} to {last}"),
            };
            let would = if order.dry_run { "would be " } else { "" };
            note(session, format!("{}: {would}{counts}; {revisions}", count_files(self.files)))?;
        }
        if self.refused > 0 {
            let hint = if self.unknown_names && !order.define_missing {
                "; --define-missing defines the names that are not known"
            } else {
                ""
            };
            return Err(CliError::Refused(format!("{} refused{hint}", count_files(self.refused))));
        }
        if self.files == 0 && self.empty == 0 {
            let name = &order.profile.name;
            return Err(CliError::Refused(format!("no file has a header of profile {name}")));
        }
        Ok(())
    }
}

fn count_files(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

fn progress_bar(session: &Session, bytes: u64) -> ProgressBar {
    let target = if session.terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(bytes), target);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
