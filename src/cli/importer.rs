//! Imports files of figures: what holds for all files of a command, and how one file becomes one commit.
//!
//! Invariant: commits are in the order of the files, although several uploads run at a time.

use std::collections::BTreeSet;

use futures_util::{Stream, stream};
use tokio::sync::oneshot;
use tonic::Code;

use super::{
    directory,
    error::CliError,
    files::Document,
    ingest::{self, UploadMessage},
    reading::MemoryPermit,
    session::Session,
    upload, writing,
};
use crate::{
    convert::batch::EncodedBatch,
    intake::{
        figures::{FigureFile, FigureReader},
        names::Directory,
        profile::{FigureShape, Profile},
    },
    model::{id::SourceId, time::Date},
    proto::{self, ingest_observations_request::Part},
};

/// What holds for all files of a command.
#[derive(Debug)]
pub struct Importer {
    pub profile: Profile,
    shape: FigureShape,
    directory: Directory,
    /// Ids of the sources in the catalog.
    sources: BTreeSet<String>,
    /// Source of figures whose row names none.
    source: Option<SourceId>,
    /// Whether to define the names that the catalog does not have.
    pub define_missing: bool,
    /// Default: the date that a file states, else today.
    pub released: Option<Date>,
    /// Whether a file is the whole release of its indicators. Default: no.
    pub replace: bool,
    /// Whether to check only and write nothing. Default: no.
    pub dry_run: bool,
    /// Whether each file is a commit, which names the digest of the file. Default: yes.
    pub commit_each: bool,
    /// Kept with each commit. Default: empty.
    pub note: String,
}

/// A file that was read, on its way to the server.
#[derive(Debug)]
pub struct ImportFile {
    /// What findings call it.
    pub name: String,
    /// Whether the user named it; else it was found in a folder or an archive.
    pub named: bool,
    /// Without its series.
    pub figures: FigureFile,
    /// The figures of all series.
    pub batches: Vec<EncodedBatch>,
    /// Indicators of which this file is the whole release.
    replaced: Vec<String>,
    /// Empty if no commit names it.
    sha256: String,
    /// The memory that the file takes, if that is bounded.
    pub memory: Option<MemoryPermit>,
}

impl ImportFile {
    /// Whether the upload changes something even without a figure.
    pub fn replaces(&self) -> bool {
        !self.replaced.is_empty()
    }
}

impl Importer {
    /// Fetches the catalog's names. A profile that is not for figures is an error.
    pub async fn new(
        session: &Session,
        profile: Profile,
        source: Option<SourceId>,
        define_missing: bool,
    ) -> Result<Self, CliError> {
        let shape = profile.figures().map_err(|error| CliError::Usage(error.to_string()))?.clone();
        let default_source = shape.default_source.as_deref().map(SourceId::new).transpose();
        let default_source =
            default_source.map_err(|error| CliError::Usage(format!("profile {}: {error}", profile.name)))?;
        Ok(Self {
            shape,
            directory: directory::load(session, None).await?,
            sources: directory::sources(session).await?,
            source: source.or(default_source),
            profile,
            define_missing,
            released: None,
            replace: false,
            dry_run: false,
            commit_each: true,
            note: String::new(),
        })
    }

    pub fn read(&self, document: &Document) -> ImportFile {
        let reader = FigureReader {
            profile: &self.profile,
            shape: &self.shape,
            directory: &self.directory,
            source: self.source.as_ref(),
            define_missing: self.define_missing,
        };
        let mut figures = reader.read(&document.name, &document.bytes);
        let batches = upload::figure_batches(&std::mem::take(&mut figures.series));
        let is_whole_release = self.replace && self.shape.source.is_none();
        let replaced =
            if is_whole_release { figures.indicators.iter().map(ToString::to_string).collect() } else { Vec::new() };
        let sha256 = if self.commit_each { writing::digest(&document.bytes) } else { String::new() };
        ImportFile {
            name: document.name.clone(),
            named: document.named,
            figures,
            batches,
            replaced,
            sha256,
            memory: None,
        }
    }

    /// The release date of a file: that of the command, else that of the file, else today.
    pub fn released(&self, file: &ImportFile) -> Result<String, CliError> {
        match (&self.released, &file.figures.released) {
            (Some(date), _) => Ok(date.to_string()),
            (None, None) => Ok(writing::today().to_string()),
            (None, Some(stated)) => match Date::parse(stated) {
                Ok(date) => Ok(date.to_string()),
                Err(error) => Err(CliError::Refused(format!("{}: {error}; say --released", file.name))),
            },
        }
    }

    /// The header of an upload.
    pub fn header(&self, released: &str, sha256: String, request_id: String) -> proto::IngestHeader {
        let mode = if self.replace { proto::IngestMode::Replace } else { proto::IngestMode::Merge };
        let options = proto::WriteOptions {
            request_id,
            validate_only: self.dry_run,
            note: self.note.clone(),
            document_sha256: sha256,
            ..Default::default()
        };
        proto::IngestHeader {
            options: Some(options),
            released: released.to_owned(),
            mode: mode.into(),
            ..Default::default()
        }
    }

    /// Writes a file as one commit. The end of the upload waits for the slot, so the server commits after the slot
    /// before.
    pub async fn upload(
        &self,
        session: &Session,
        mut file: ImportFile,
        definitions: Vec<proto::Definition>,
        request_id: String,
        slot: CommitSlot,
    ) -> Result<(String, proto::WriteResult), CliError> {
        let CommitSlot { before, done } = slot;
        let mut header = self.header(&self.released(&file)?, std::mem::take(&mut file.sha256), request_id);
        if !file.replaced.is_empty() {
            header.replaced_indicators = std::mem::take(&mut file.replaced);
            header.replaced_source = self.source.as_ref().map(ToString::to_string).unwrap_or_default();
        }
        let messages = upload::figures(header, definitions, std::mem::take(&mut file.batches));
        let answer = ingest::send(session, ending_after(messages, before)).await;
        let result = answer.map_err(|status| match status.code() {
            // Callers that give a request id handle this.
            Code::AlreadyExists => CliError::from(status),
            _ => CliError::Refused(format!("{}: {}", file.name, CliError::from(status))),
        })?;
        let _ = done.send(());
        Ok((file.name, result))
    }
}

/// A place in the order of commits.
#[derive(Debug)]
pub struct CommitSlot {
    /// Completes when the commit before is done; is dropped if that failed. `None` for the first.
    before: Option<oneshot::Receiver<()>>,
    done: oneshot::Sender<()>,
}

/// Puts the commits of uploads that run at the same time into an order.
#[derive(Debug, Default)]
pub struct CommitQueue {
    last: Option<oneshot::Receiver<()>>,
}

impl CommitQueue {
    pub fn next_slot(&mut self) -> CommitSlot {
        let (done, after) = oneshot::channel();
        CommitSlot { before: self.last.replace(after), done }
    }
}

/// The messages of an upload; the last one comes once `before` is done. If the commit before failed, the upload breaks
/// off without its end, and the server writes nothing of it.
fn ending_after(
    messages: Vec<UploadMessage>,
    before: Option<oneshot::Receiver<()>>,
) -> impl Stream<Item = UploadMessage> {
    stream::unfold((messages.into_iter(), before), |(mut messages, mut before)| async move {
        let message = messages.next()?;
        if matches!(message, UploadMessage::Part(Part::End(_)))
            && let Some(before) = before.take()
            && before.await.is_err()
        {
            return None;
        }
        Some((message, (messages, before)))
    })
}

/// Remembers which definitions an import has sent, so that each is sent once.
#[derive(Debug, Default)]
pub struct DefinitionTracker {
    ids: BTreeSet<String>,
    is_source_done: bool,
}

impl DefinitionTracker {
    /// The definitions that a file needs and that no file before it has brought.
    pub fn missing(&mut self, importer: &Importer, file: &mut ImportFile) -> Vec<proto::Definition> {
        let mut definitions = Vec::new();
        if !importer.define_missing {
            return definitions;
        }
        if !self.is_source_done
            && let (Some(source), Some(id)) = (&importer.profile.source, &importer.source)
            && source.id == id.as_str()
            && !importer.sources.contains(&source.id)
        {
            definitions.push(upload::define_source(source));
        }
        self.is_source_done = true;
        for entity in std::mem::take(&mut file.figures.new_entities) {
            if self.ids.insert(format!("entity {}", entity.id)) {
                definitions.push(upload::define_entity(entity));
            }
        }
        for indicator in std::mem::take(&mut file.figures.new_indicators) {
            if self.ids.insert(format!("indicator {}", indicator.id)) {
                definitions.push(upload::define_indicator(indicator, &importer.shape));
            }
        }
        definitions
    }
}
