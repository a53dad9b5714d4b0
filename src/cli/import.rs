//! `almanac import`: files of figures.
//!
//! Files are read and parsed on other threads while those before them are sent.
//!
//! Invariant: files are sent, reported and committed in their order. Memory is bounded by [`reading`], and by the messages
//! that wait for the server.

use std::{collections::VecDeque, path::PathBuf, sync::Arc};

use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{
    error::CliError,
    files::{self, Document, InputFile},
    importer::{CommitQueue, DefinitionTracker, ImportFile, Importer},
    ingest::{self, UploadMessage},
    json,
    reading::{self, ParsedFiles},
    session::Session,
    table::{TextTable, note},
    upload, writing,
};
use crate::{
    intake::profile::{Profile, figure_profile_names},
    model::{id::SourceId, time::Date},
    proto::{self, ingest_observations_request::Part},
};

/// Uploads at a time. The server commits one after the other, and receives the next ones meanwhile.
const UPLOADS_MAX: usize = 8;
/// Messages that wait for the server in the upload of `--one-commit`.
const MESSAGES_WAITING_MAX: usize = 4;
/// Most files with a line of their own in the answer.
const FILES_LISTED_MAX: usize = 60;
/// Most files whose findings are printed; files of one publisher tend to have the same ones.
const FILES_EXPLAINED_MAX: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ModeArg {
    /// Such figures stay as they are
    Merge,
    /// Such figures of the indicators in the file are withdrawn as of this release: the file is the whole release
    Replace,
}

/// Import files of figures
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// Tables (.csv, .tsv, also .gz), folders of them, and archives (.tar, .tar.gz, .tgz, .tar.xz)
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[arg(long, value_name = "NAME|FILE",
        help = format!("What the columns mean: {}, or a file of your own", figure_profile_names().join(", ")))]
    profile: String,
    /// Date on which the producer published the files, for example 2026-05-15 [default: as a file states, else today in
    /// UTC]
    #[arg(long, value_name = "DATE", value_parser = writing::date)]
    released: Option<Date>,
    /// Source of figures whose row names none [default: that of the profile]
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// What happens to figures that a file does not contain
    #[arg(long, value_enum, default_value = "merge")]
    mode: ModeArg,
    /// Define the indicators, entities and the source that the catalog does not have
    #[arg(long)]
    define_missing: bool,
    /// Check everything and show what would change; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Note that is kept with each commit [default: none]
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    /// Write all files in one commit, not one commit for each file
    #[arg(long)]
    one_commit: bool,
}

pub async fn run(args: ImportArgs, session: &Session) -> Result<(), CliError> {
    let importer = Arc::new(importer(&args, session).await?);
    let inputs = files::find(&args.paths)?;
    if inputs.is_empty() {
        return Err(CliError::Refused("there is no table in these folders".into()));
    }
    let progress = progress_bar(session, files::total_bytes(&inputs));
    let files = start_reading(importer.clone(), inputs, progress.clone());
    let mut report = ImportReport::default();
    let outcome = if args.one_commit {
        send_in_one_commit(session, &importer, files, &mut report).await
    } else {
        send_each(session, &importer, files, &mut report).await
    };
    progress.finish_and_clear();
    if outcome.is_err() && report.files > 0 && !importer.dry_run {
        let files = count_files(report.files);
        let counts = writing::counts(&report.total);
        eprintln!("{files} were written before the failure: {counts}; up to revision {}", report.last);
    }
    outcome?;
    report.print(session, &importer)
}

async fn importer(args: &ImportArgs, session: &Session) -> Result<Importer, CliError> {
    let profile = Profile::load(&args.profile).map_err(|error| CliError::Usage(error.to_string()))?;
    let source = args.source.as_deref().map(SourceId::new).transpose();
    let source = source.map_err(|error| CliError::Usage(format!("--source: {error}")))?;
    let mut importer = Importer::new(session, profile, source, args.define_missing).await?;
    importer.released = args.released;
    importer.replace = args.mode == ModeArg::Replace;
    importer.dry_run = args.dry_run;
    importer.commit_each = !args.one_commit;
    importer.note.clone_from(&args.note);
    Ok(importer)
}

/// Reads and parses the files while those before them are sent.
fn start_reading(importer: Arc<Importer>, inputs: Vec<InputFile>, progress: ProgressBar) -> ParsedFiles<ImportFile> {
    let read = move |take: &mut dyn FnMut(Document) -> bool| files::read_all(&inputs, &progress, take);
    reading::start(read, move |document, memory| {
        let mut file = importer.read(&document);
        file.memory = Some(memory);
        file
    })
}

/// Writes each file as one commit.
async fn send_each(
    session: &Session,
    importer: &Arc<Importer>,
    mut files: ParsedFiles<ImportFile>,
    report: &mut ImportReport,
) -> Result<(), CliError> {
    let mut tracker = DefinitionTracker::default();
    let mut queue = CommitQueue::default();
    let mut uploads: VecDeque<FileUpload> = VecDeque::new();
    let outcome = loop {
        let mut file = match files.next().await {
            Ok(Some(file)) => file,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.into()),
        };
        if !report.is_usable(session, &file) {
            continue;
        }
        // A dry run writes nothing, so each file is checked with all definitions that it needs.
        if importer.dry_run {
            tracker = DefinitionTracker::default();
        }
        let definitions = tracker.missing(importer, &mut file);
        if uploads.len() == UPLOADS_MAX
            && let Some(first) = uploads.pop_front()
        {
            report.add_upload(session, first).await?;
        }
        let slot = queue.next_slot();
        let session = session.clone();
        let importer = importer.clone();
        uploads.push_back(tokio::spawn(async move {
            importer.upload(&session, file, definitions, String::new(), slot).await
        }));
    };
    // A file that cannot be read does not undo those before it.
    for upload in uploads {
        report.add_upload(session, upload).await?;
    }
    outcome
}

async fn send_in_one_commit(
    session: &Session,
    importer: &Importer,
    mut files: ParsedFiles<ImportFile>,
    report: &mut ImportReport,
) -> Result<(), CliError> {
    let mut tracker = DefinitionTracker::default();
    let mut released: Option<String> = None;
    let mut upload: Option<SharedUpload> = None;
    while let Some(mut file) = files.next().await? {
        if !report.is_usable(session, &file) {
            continue;
        }
        let date = importer.released(&file)?;
        if released.get_or_insert_with(|| date.clone()) != &date {
            let text = format!("{} was released on {date}, files before it on another day", file.name);
            return Err(CliError::Refused(format!("{text}: leave out --one-commit, or say --released")));
        }
        // Once a file is refused, the others are read only for their findings.
        if report.refused > 0 {
            continue;
        }
        let definitions = tracker.missing(importer, &mut file);
        let upload = upload
            .get_or_insert_with(|| SharedUpload::start(session, importer.header(&date, String::new(), String::new())));
        upload.send(file, definitions).await;
    }
    let Some(upload) = upload else { return Ok(()) };
    // Without its end the server writes nothing of an upload.
    if report.refused > 0 {
        return Ok(());
    }
    let files = upload.files;
    let result = upload.finish().await?;
    report.files += files - 1;
    report.add(session, count_files(files), result)
}

/// The upload of one file, on its way.
type FileUpload = JoinHandle<Result<(String, proto::WriteResult), CliError>>;

/// The one upload of all files of `--one-commit`.
struct SharedUpload {
    messages: mpsc::Sender<UploadMessage>,
    call: JoinHandle<Result<proto::WriteResult, Status>>,
    /// Counts the messages sent.
    end: proto::UploadEnd,
    files: usize,
}

impl SharedUpload {
    fn start(session: &Session, header: proto::IngestHeader) -> Self {
        let (messages, receiver) = mpsc::channel(MESSAGES_WAITING_MAX);
        let header = UploadMessage::Part(Part::Header(header));
        let messages_after = ReceiverStream::new(receiver);
        let session = session.clone();
        let call =
            tokio::spawn(async move { ingest::send(&session, stream::iter([header]).chain(messages_after)).await });
        Self { messages, call, end: proto::UploadEnd::default(), files: 0 }
    }

    /// Sends a file. If the server has ended the call, its answer is the error of [`SharedUpload::finish`].
    async fn send(&mut self, file: ImportFile, definitions: Vec<proto::Definition>) {
        self.files += 1;
        let definitions = upload::definition_batches(definitions).into_iter().map(Part::Definitions);
        let definitions = definitions.map(UploadMessage::Part);
        for message in definitions.chain(file.batches.into_iter().map(UploadMessage::Figures)) {
            message.count(&mut self.end);
            if self.messages.send(message).await.is_err() {
                break;
            }
        }
    }

    async fn finish(self) -> Result<proto::WriteResult, CliError> {
        // If the call is over, its answer says why.
        let _ = self.messages.send(UploadMessage::Part(Part::End(self.end))).await;
        drop(self.messages);
        Ok(self.call.await.map_err(std::io::Error::other)??)
    }
}

/// What the server did with the files, for the end of the command.
#[derive(Default)]
struct ImportReport {
    /// One for each file, up to one more than [`FILES_LISTED_MAX`].
    lines: Vec<(String, proto::WriteResult)>,
    total: proto::ChangeCounts,
    files: usize,
    /// Files without a figure.
    empty: usize,
    /// Files that do not fit the profile.
    foreign: Vec<String>,
    refused: usize,
    /// Files whose findings were printed.
    explained: usize,
    /// Whether a file was refused because of a name that the catalog does not have.
    has_unknown_names: bool,
    /// First revision written, 0 if there is none.
    first: u64,
    last: u64,
}

impl ImportReport {
    /// Whether a file has something to write; prints why not, and what is odd about it.
    fn is_usable(&mut self, session: &Session, file: &ImportFile) -> bool {
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
            self.has_unknown_names |= figures.findings.iter().any(|finding| finding.code.starts_with("UNKNOWN_"));
            return false;
        }
        let is_empty = file.batches.is_empty() && !file.replaces();
        self.empty += usize::from(is_empty);
        !is_empty
    }

    /// Waits for an upload, and adds what the server did.
    async fn add_upload(&mut self, session: &Session, upload: FileUpload) -> Result<(), CliError> {
        let (name, result) = upload.await.map_err(std::io::Error::other)??;
        self.add(session, name, result)
    }

    fn add(&mut self, session: &Session, name: String, mut result: proto::WriteResult) -> Result<(), CliError> {
        self.files += 1;
        if session.json {
            let response = proto::IngestObservationsResponse { result: Some(result.clone()) };
            json::print_line(&response, "almanac.v1.IngestObservationsResponse")?;
        } else {
            writing::print_difference(session, &result)?;
        }
        writing::print_answer_findings(session, &result.findings);
        self.refused += usize::from(writing::has_errors(&result.findings));
        writing::add_counts(&mut self.total, &result.counts.unwrap_or_default());
        self.first = if self.first == 0 { result.revision } else { self.first.min(result.revision) };
        self.last = self.last.max(result.revision);
        if self.lines.len() <= FILES_LISTED_MAX {
            // They are printed; the lines need the counts only.
            result.difference.clear();
            result.findings.clear();
            self.lines.push((name, result));
        }
        Ok(())
    }

    fn print(self, session: &Session, importer: &Importer) -> Result<(), CliError> {
        let profile = &importer.profile.name;
        if !session.json && self.lines.len() > 1 && self.lines.len() <= FILES_LISTED_MAX {
            self.print_table(session)?;
        }
        for name in self.foreign.iter().take(FILES_EXPLAINED_MAX) {
            eprintln!("left out {name}: it has no header of profile {profile}");
        }
        if self.foreign.len() > FILES_EXPLAINED_MAX {
            eprintln!("... and {} more", self.foreign.len() - FILES_EXPLAINED_MAX);
        }
        if self.empty > 0 {
            eprintln!("{} without a figure", count_files(self.empty));
        }
        if !session.json && self.files > 0 {
            note(session, self.summary(importer.dry_run))?;
        }
        if self.refused > 0 {
            let hint = if self.has_unknown_names && !importer.define_missing {
                "; --define-missing defines the names that are not known"
            } else {
                ""
            };
            return Err(CliError::Refused(format!("{} refused{hint}", count_files(self.refused))));
        }
        if self.files == 0 && self.empty == 0 {
            return Err(CliError::Refused(format!("no file has a header of profile {profile}")));
        }
        Ok(())
    }

    fn print_table(&self, session: &Session) -> Result<(), CliError> {
        let heads = ["file", "#revision", "#added", "#revised", "#unchanged", "#withdrawn", "#filled in"];
        let mut table = TextTable::new(&heads);
        for (name, result) in &self.lines {
            let counts = result.counts.unwrap_or_default();
            table.add_row([
                name.clone(),
                result.revision.to_string(),
                counts.added.to_string(),
                counts.revised.to_string(),
                counts.unchanged.to_string(),
                counts.withdrawn.to_string(),
                counts.backfilled.to_string(),
            ]);
        }
        table.print(session)
    }

    /// `3 files: 12 added, 1 revised, 0 unchanged; revisions 7 to 9`.
    fn summary(&self, dry_run: bool) -> String {
        let files = count_files(self.files);
        let counts = writing::counts(&self.total);
        if dry_run {
            format!("{files}: would be {counts}; nothing was written")
        } else if self.first == self.last {
            format!("{files}: {counts}; revision {}", self.last)
        } else {
            format!("{files}: {counts}; revisions {} to {}", self.first, self.last)
        }
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
