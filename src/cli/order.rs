//! One order to load figures: what holds for all its files, and how one file becomes one commit.

use std::collections::BTreeSet;

use futures_util::{Stream, stream};
use tokio::sync::oneshot;
use tonic::Code;

use super::{
    directory,
    error::CliError,
    files::Document,
    session::Session,
    upload::{self, FigureUpload},
    writing,
};
use crate::{
    intake::{
        figures::{FigureFile, FigureReader},
        names::Directory,
        profile::{FigureShape, Profile},
    },
    model::{id::SourceId, time::Date},
    proto::{self, ingest_observations_request::Part},
};

/// What holds for all files.
#[derive(Debug)]
pub struct Order {
    /// How a file maps to figures.
    pub profile: Profile,
    shape: FigureShape,
    directory: Directory,
    sources: BTreeSet<String>,
    source: Option<SourceId>,
    /// Names that nobody knows are to be defined.
    pub define_missing: bool,
    /// When the producer published it, if it was said.
    pub released: Option<Date>,
    /// A file is the whole release of its indicators.
    pub replace: bool,
    /// Nothing is to be written.
    pub dry_run: bool,
    /// Note of each commit.
    pub note: String,
}

/// A file that was read.
#[derive(Debug)]
pub struct ReadFile {
    /// What it is called.
    pub name: String,
    /// It was named, not found in a folder or archive.
    pub named: bool,
    /// What it says.
    pub figures: FigureFile,
    /// It is the whole release of these, whatever it holds.
    replaced: Vec<String>,
    sha256: String,
}

impl ReadFile {
    /// Whether it says something even without a figure.
    pub fn replaces(&self) -> bool {
        !self.replaced.is_empty()
    }
}

impl Order {
    /// Asks the server for the names it knows.
    pub async fn new(
        session: &Session,
        profile: Profile,
        source: Option<SourceId>,
        define_missing: bool,
    ) -> Result<Self, CliError> {
        let shape = profile.figures().map_err(|error| CliError::Usage(error.to_string()))?.clone();
        let own = shape.default_source.as_deref().map(SourceId::new).transpose();
        let own = own.map_err(|error| CliError::Usage(format!("profile {}: {error}", profile.name)))?;
        Ok(Self {
            shape,
            directory: directory::load(session, None).await?,
            sources: directory::sources(session).await?,
            source: source.or(own),
            profile,
            define_missing,
            released: None,
            replace: false,
            dry_run: false,
            note: String::new(),
        })
    }

    /// Reads a file.
    pub fn read(&self, document: &Document) -> ReadFile {
        let reader = FigureReader {
            profile: &self.profile,
            shape: &self.shape,
            directory: &self.directory,
            source: self.source.as_ref(),
            define_missing: self.define_missing,
        };
        let figures = reader.read(&document.name, &document.bytes);
        let whole = self.replace && self.shape.source.is_none();
        let replaced = if whole { figures.indicators.iter().map(ToString::to_string).collect() } else { Vec::new() };
        let sha256 = writing::digest(&document.bytes);
        ReadFile { name: document.name.clone(), named: document.named, figures, replaced, sha256 }
    }

    /// The release date of a file: as ordered, as it states, or today.
    pub fn released(&self, file: &ReadFile) -> Result<String, CliError> {
        match (&self.released, &file.figures.released) {
            (Some(ordered), _) => Ok(ordered.to_string()),
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

    /// Writes a file as one commit, once it is its turn: uploads run side by side, commits are in the order of the files.
    pub async fn upload(
        &self,
        session: &Session,
        mut file: ReadFile,
        definitions: Vec<proto::Definition>,
        request_id: String,
        turn: Turn,
    ) -> Result<(String, proto::WriteResult), CliError> {
        let Turn { before, done } = turn;
        let mut header = self.header(&self.released(&file)?, std::mem::take(&mut file.sha256), request_id);
        if !file.replaced.is_empty() {
            header.replaced_indicators = std::mem::take(&mut file.replaced);
            header.replaced_source = self.source.as_ref().map(ToString::to_string).unwrap_or_default();
        }
        let messages = FigureUpload::new(header, definitions, file.figures.series);
        let answer = session.admin().ingest_observations(ending_after(messages, before)).await;
        let answer = answer.map_err(|status| match status.code() {
            // Callers with a request id of their own know what this means.
            Code::AlreadyExists => CliError::from(status),
            _ => CliError::Refused(format!("{}: {}", file.name, CliError::from(status))),
        })?;
        let _ = done.send(());
        Ok((file.name, answer.into_inner().result.unwrap_or_default()))
    }
}

/// A place in a row of uploads.
#[derive(Debug)]
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    done: oneshot::Sender<()>,
}

/// A row of uploads.
#[derive(Debug, Default)]
pub struct Turns(Option<oneshot::Receiver<()>>);

impl Turns {
    /// The next place.
    pub fn next_turn(&mut self) -> Turn {
        let (done, after) = oneshot::channel();
        Turn { before: self.0.replace(after), done }
    }
}

/// The messages of an upload, the end of it once its turn has come. If it never comes, since what was to come before failed, the
/// upload breaks off without its end, and nothing of it is written.
fn ending_after(
    messages: FigureUpload,
    before: Option<oneshot::Receiver<()>>,
) -> impl Stream<Item = proto::IngestObservationsRequest> {
    stream::unfold((messages, before), |(mut messages, mut before)| async move {
        let message = messages.next()?;
        if matches!(message.part, Some(Part::End(_)))
            && let Some(before) = before.take()
            && before.await.is_err()
        {
            return None;
        }
        Some((message, (messages, before)))
    })
}

/// Definitions that were sent on the way.
#[derive(Debug, Default)]
pub struct Defined {
    ids: BTreeSet<String>,
    source: bool,
}

impl Defined {
    /// Definitions that a file needs and that no file before it brought.
    pub fn missing(&mut self, order: &Order, file: &mut ReadFile) -> Vec<proto::Definition> {
        let mut definitions = Vec::new();
        if !order.define_missing {
            return definitions;
        }
        let described = order.profile.source.as_ref();
        let wanted = order.source.as_ref().map(SourceId::as_str);
        if let Some(source) = described.filter(|source| Some(source.id.as_str()) == wanted && !self.source)
            && !order.sources.contains(&source.id)
        {
            definitions.push(upload::define_source(source));
        }
        self.source = true;
        for entity in std::mem::take(&mut file.figures.new_entities) {
            if self.ids.insert(format!("entity {}", entity.id)) {
                definitions.push(upload::define_entity(entity));
            }
        }
        for indicator in std::mem::take(&mut file.figures.new_indicators) {
            if self.ids.insert(format!("indicator {}", indicator.id)) {
                definitions.push(upload::define_indicator(indicator, &order.shape));
            }
        }
        definitions
    }
}
