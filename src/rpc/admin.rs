//! `AdminService`.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    AUTHOR, App, BACKUPS_MAX,
    content::Content,
    decode, encode,
    status::{self, BadField},
    violations::Violations,
};
use crate::{
    feed::stamps::CommitStamps,
    ledger::{
        WriteAnswer, WriteOptions,
        backup::BackupWriter,
        plan::WriteRequest,
        upload::{Mode, Upload},
    },
    model::{
        catalog::{Definition, DefinitionKind},
        edition::{CoverageKind, Edition, Entry, Table},
        id::{EditionId, IndicatorId, RankingId, RequestId, Revision, SourceId},
    },
    proto::{self, admin_service_server::AdminService},
    query::{AsOf, Reader},
    store::{StoreError, engine::FORMAT_VERSION},
};

/// Most definitions of one request.
const DEFINITIONS_MAX: usize = 20_000;
/// Most bytes of all definitions of one write, encoded.
const DEFINITIONS_BYTES_MAX: usize = 64 << 20;
/// Most entries of one edition.
const ENTRIES_MAX: u64 = 100_000;
/// Most bytes of all entries of one edition, encoded.
const ENTRIES_BYTES_MAX: usize = 256 << 20;
/// Most components of one entry; with all of them an entry stays a small part of a page.
const COMPONENTS_MAX: usize = 300;
/// Parts of a backup that wait for the client.
const BACKUP_PARTS_MAX: usize = 4;
const NOTE_BYTES_MAX: usize = 1_000;
/// Most revisions taken back at one time.
const REVERTED_MAX: usize = 100;
/// How long a client has to say that nothing follows the end of its upload.
const AFTER_END_WAIT: Duration = Duration::from_secs(1);
/// Most bytes of a difference with the findings beside it: clients take 4 MiB unless told otherwise.
const DIFFERENCE_BYTES_MAX: usize = 3 << 20;

/// The service.
#[derive(Debug, Clone)]
pub struct Admin(pub Arc<App>);

fn options(given: Option<proto::WriteOptions>, content: Content) -> Result<WriteOptions, BadField> {
    let given = given.unwrap_or_default();
    let hex = given.document_sha256.as_str();
    if !hex.is_empty() && (hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Err(BadField::new("options.document_sha256", "not 64 hex digits"));
    }
    Ok(WriteOptions {
        request_id: decode::optional_id("options.request_id", &given.request_id, RequestId::new)?,
        validate_only: given.validate_only,
        expected_head: given.expected_head.map(Revision),
        cause: decode::cause("options.cause", given.cause)?,
        note: decode::text("options.note", given.note, NOTE_BYTES_MAX)?,
        document_sha256: given.document_sha256.to_ascii_lowercase(),
        author: AUTHOR.to_owned(),
        content: content.finish(),
    })
}

/// Definitions of a write, as they come.
#[derive(Debug, Default)]
struct Definitions {
    taken: Vec<Definition>,
    count: usize,
    bytes: usize,
}

impl Definitions {
    fn take(
        &mut self,
        given: Vec<proto::Definition>,
        content: &mut Content,
        violations: &mut Violations,
    ) -> Result<(), Status> {
        for given in given {
            if self.count == DEFINITIONS_MAX {
                return Err(BadField::new("definitions", format!("more than {DEFINITIONS_MAX}")).into());
            }
            self.bytes += given.encoded_len();
            if self.bytes > DEFINITIONS_BYTES_MAX {
                return Err(status::of_large_upload("definitions", DEFINITIONS_BYTES_MAX));
            }
            let decoded = decode::definition(given).map_err(|bad| bad.under(&format!("definitions[{}]", self.count)));
            self.count += 1;
            if let Some(definition) = violations.take(decoded) {
                content.definition(&definition);
                self.taken.push(definition);
            }
        }
        Ok(())
    }
}

/// Entries of an edition, as they come.
#[derive(Debug, Default)]
struct Entries {
    taken: Vec<Entry>,
    count: u64,
    bytes: usize,
}

impl Entries {
    fn take(
        &mut self,
        given: Vec<proto::Entry>,
        content: &mut Content,
        violations: &mut Violations,
    ) -> Result<(), Status> {
        for given in given {
            if self.count == ENTRIES_MAX {
                return Err(BadField::new("entries", format!("more than {ENTRIES_MAX}")).into());
            }
            self.bytes += given.encoded_len();
            if self.bytes > ENTRIES_BYTES_MAX {
                return Err(status::of_large_upload("entries", ENTRIES_BYTES_MAX));
            }
            let decoded = decode_entry(given).map_err(|bad| bad.under(&format!("entries[{}]", self.count)));
            self.count += 1;
            if let Some(entry) = violations.take(decoded) {
                content.row(&entry);
                self.taken.push(entry);
            }
        }
        Ok(())
    }
}

/// What was counted of an upload, to be held against its end.
#[derive(Debug, Default)]
struct Counted {
    messages: u64,
    rows: u64,
}

impl Counted {
    fn check(&self, end: proto::UploadEnd) -> Result<(), Status> {
        let Self { messages, rows } = *self;
        if (end.messages, end.rows) == (messages, rows) {
            return Ok(());
        }
        Err(status::of_incomplete_upload(format!(
            "its end counts {} messages and {} rows, {messages} and {rows} arrived",
            end.messages, end.rows
        )))
    }
}

fn without_end() -> Status {
    status::of_incomplete_upload("it has no `end`")
}

fn header_first() -> BadField {
    BadField::new("header", "the first message must be the header, and no other")
}

/// An upload is over with its end, whatever the transport says after it; only a further message is one too many.
async fn nothing_follows<M>(messages: &mut Streaming<M>) -> Result<(), Status> {
    match tokio::time::timeout(AFTER_END_WAIT, messages.message()).await {
        Ok(Ok(Some(_))) => Err(BadField::new("end", "nothing may follow it").into()),
        _ => Ok(()),
    }
}

impl Admin {
    /// Says what an edition leaves to its defaults, so that the same edition with them spelt out is the same.
    fn spell_out(&self, edition: &mut Edition, entries: usize, definitions: &[Definition]) {
        let reader = &self.0.reader;
        if edition.source.is_none() {
            // A ranking that travels with its edition counts as it is sent: a retry finds it in the catalog.
            let sent = definitions.iter().find_map(|definition| match definition {
                Definition::Ranking(ranking) if ranking.id == edition.ranking => Some(ranking.source.clone()),
                _ => None,
            });
            let catalog = reader.view().catalog();
            let known = catalog.ranking(edition.ranking.as_str(), reader.head());
            edition.source = sent.or_else(|| known.map(|ranking| ranking.source.clone()));
        }
        if edition.coverage.kind == CoverageKind::Top && edition.coverage.listed == 0 {
            edition.coverage.listed = u32::try_from(entries).unwrap_or(u32::MAX);
        }
    }

    async fn write(
        &self,
        options: WriteOptions,
        act: WriteRequest,
    ) -> Result<(proto::WriteResult, Option<Edition>), Status> {
        let validate_only = options.validate_only;
        let written = self.0.writer.write(options, act).await.map_err(|error| status::of_write(&error))?;
        let edition = written.edition.clone();
        // Encoding a long difference takes a while; it must not hold up others.
        let reader = self.0.reader.clone();
        let encoded = self.0.offload.run(move || result(&written, validate_only, &reader)).await;
        let encoded = encoded.map_err(|error| status::of_store(&error))?;
        Ok((encoded.map_err(|error| status::of_store(&error))?, edition))
    }
}

fn result(written: &WriteAnswer, validate_only: bool, reader: &Reader) -> Result<proto::WriteResult, StoreError> {
    let findings: Vec<proto::Finding> = written.findings.iter().map(encode::finding).collect();
    let mut difference = Vec::new();
    let mut bytes: usize = findings.iter().map(|finding| finding.encoded_len() + 5).sum();
    // The commit that is only checked has no stamp yet: its rows say no time.
    let known = written.difference.iter().map(|(_, change)| change);
    let stamps = CommitStamps::read(known, reader, written.revision)?;
    for (index, change) in &written.difference {
        let change = encode::change(*index, change, &stamps);
        bytes += change.encoded_len() + 5;
        if bytes > DIFFERENCE_BYTES_MAX {
            break;
        }
        difference.push(change);
    }
    let left_out = if validate_only { written.changes - difference.len() as u64 } else { 0 };
    Ok(proto::WriteResult {
        revision: written.revision.0,
        counts: Some(encode::counts(&written.counts)),
        findings,
        replayed: written.replayed,
        difference,
        difference_left_out: left_out,
    })
}

#[tonic::async_trait]
impl AdminService for Admin {
    type BackupStream = ReceiverStream<Result<proto::BackupResponse, Status>>;

    async fn backup(&self, request: Request<proto::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let asked = request.into_inner().revision.map_or(AsOf::Head, |revision| AsOf::Revision(Revision(revision)));
        let last = self.0.read(asked, |snapshot| Ok(snapshot.revision())).await?;
        let permit = self.0.backups.clone().try_acquire_owned().map_err(|_| status::of_many_backups(BACKUPS_MAX))?;
        let mut backup = BackupWriter::new(self.0.reader.ledger().clone(), last);
        let (parts, stream) = mpsc::channel(BACKUP_PARTS_MAX);
        // A thread of its own while it lasts: it reads, and waits for the client.
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            loop {
                let part = match backup.next_part() {
                    Ok(Some(data)) => {
                        Ok(proto::BackupResponse { data, revision: backup.revision().0, last_revision: last.0 })
                    }
                    Ok(None) => return,
                    Err(error) => Err(status::of_ledger(&error)),
                };
                let failed = part.is_err();
                if parts.blocking_send(part).is_err() || failed {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn define_catalog(
        &self,
        request: Request<proto::DefineCatalogRequest>,
    ) -> Result<Response<proto::DefineCatalogResponse>, Status> {
        let request = request.into_inner();
        if request.definitions.is_empty() {
            return Err(BadField::new("definitions", "there is none").into());
        }
        let mut content = Content::default();
        let mut violations = Violations::default();
        let mut definitions = Definitions::default();
        definitions.take(request.definitions, &mut content, &mut violations)?;
        violations.check()?;
        let act = WriteRequest::Define(definitions.taken);
        let (result, _) = self.write(options(request.options, content)?, act).await?;
        Ok(Response::new(proto::DefineCatalogResponse { result: Some(result) }))
    }

    async fn ingest_observations(
        &self,
        request: Request<Streaming<proto::IngestObservationsRequest>>,
    ) -> Result<Response<proto::IngestObservationsResponse>, Status> {
        use proto::ingest_observations_request::Part;
        let mut messages = request.into_inner();
        let first = messages.message().await?.ok_or_else(without_end)?;
        let Some(Part::Header(mut header)) = first.part else { return Err(header_first().into()) };
        let given = header.options.take();
        let mut content = Content::default();
        let mut upload = open_upload(&header, self.0.reader.view().engine().folder())?;
        content.header(&(upload.released(), upload.mode() == Mode::Replace, upload.replaced()));
        let mut violations = Violations::default();
        let mut definitions = Definitions::default();
        let mut counted = Counted::default();
        let mut batches = 0;
        loop {
            let message = messages.message().await?.ok_or_else(without_end)?;
            match message.part.ok_or_else(|| BadField::new("part", "must be given"))? {
                Part::Header(_) => return Err(header_first().into()),
                Part::Definitions(batch) => definitions.take(batch.definitions, &mut content, &mut violations)?,
                Part::Observations(batch) => {
                    for series in batch.series {
                        counted.rows += series.points.len() as u64;
                        add_series(&mut upload, series, batches, &mut content, &mut violations)?;
                        batches += 1;
                    }
                }
                Part::End(end) => {
                    counted.check(end)?;
                    break;
                }
            }
            counted.messages += 1;
        }
        nothing_follows(&mut messages).await?;
        violations.check()?;
        let act = WriteRequest::Ingest { upload, definitions: definitions.taken };
        let (result, _) = self.write(options(given, content)?, act).await?;
        Ok(Response::new(proto::IngestObservationsResponse { result: Some(result) }))
    }

    async fn publish_edition(
        &self,
        request: Request<Streaming<proto::PublishEditionRequest>>,
    ) -> Result<Response<proto::PublishEditionResponse>, Status> {
        use proto::publish_edition_request::Part;
        let mut messages = request.into_inner();
        let first = messages.message().await?.ok_or_else(without_end)?;
        let Some(Part::Header(mut header)) = first.part else { return Err(header_first().into()) };
        let given = header.options.take();
        let edition = header.edition.ok_or_else(|| BadField::new("header.edition", "must be given"))?;
        let mut edition = decode::edition(edition).map_err(|bad| bad.under("header"))?;
        let mut entries = Entries::default();
        let mut content = Content::default();
        let mut violations = Violations::default();
        let mut definitions = Definitions::default();
        let mut counted = Counted::default();
        loop {
            let message = messages.message().await?.ok_or_else(without_end)?;
            match message.part.ok_or_else(|| BadField::new("part", "must be given"))? {
                Part::Header(_) => return Err(header_first().into()),
                Part::Definitions(batch) => definitions.take(batch.definitions, &mut content, &mut violations)?,
                Part::Entries(batch) => {
                    entries.take(batch.entries, &mut content, &mut violations)?;
                    counted.rows = entries.count;
                }
                Part::End(end) => {
                    counted.check(end)?;
                    break;
                }
            }
            counted.messages += 1;
        }
        nothing_follows(&mut messages).await?;
        violations.check()?;
        let entries = entries.taken;
        self.spell_out(&mut edition, entries.len(), &definitions.taken);
        content.header(&(&edition, header.correction));
        let table = Table { edition, entries };
        let act = WriteRequest::Publish { table, correction: header.correction, definitions: definitions.taken };
        let (result, edition) = self.write(options(given, content)?, act).await?;
        Ok(Response::new(proto::PublishEditionResponse {
            result: Some(result),
            edition: edition.as_ref().map(encode::edition),
        }))
    }

    async fn withdraw_edition(
        &self,
        request: Request<proto::WithdrawEditionRequest>,
    ) -> Result<Response<proto::WithdrawEditionResponse>, Status> {
        let request = request.into_inner();
        let ranking = decode::id("ranking", &request.ranking, RankingId::new)?;
        let edition = decode::id("edition", &request.edition, EditionId::new)?;
        let released = decode::optional_date("withdrawn", &request.withdrawn)?;
        let mut content = Content::default();
        content.header(&(&ranking, &edition, released));
        let act = WriteRequest::Withdraw { ranking, edition, released };
        let (result, edition) = self.write(options(request.options, content)?, act).await?;
        Ok(Response::new(proto::WithdrawEditionResponse {
            result: Some(result),
            edition: edition.as_ref().map(encode::edition),
        }))
    }

    async fn revert_commit(
        &self,
        request: Request<proto::RevertCommitRequest>,
    ) -> Result<Response<proto::RevertCommitResponse>, Status> {
        let request = request.into_inner();
        if request.revisions.is_empty() || request.revisions.len() > REVERTED_MAX {
            return Err(BadField::new("revisions", format!("give 1 to {REVERTED_MAX}")).into());
        }
        let revisions: BTreeSet<Revision> = request.revisions.iter().map(|revision| Revision(*revision)).collect();
        if revisions.contains(&Revision::ZERO) {
            return Err(BadField::new("revisions", "revisions start at 1").into());
        }
        let mut content = Content::default();
        content.header(&revisions);
        let act = WriteRequest::Revert(revisions);
        let (result, _) = self.write(options(request.options, content)?, act).await?;
        Ok(Response::new(proto::RevertCommitResponse { result: Some(result) }))
    }

    async fn get_store_status(
        &self,
        _: Request<proto::GetStoreStatusRequest>,
    ) -> Result<Response<proto::GetStoreStatusResponse>, Status> {
        let app = self.0.clone();
        let found = self.0.read(AsOf::Head, move |snapshot| {
            let ledger = snapshot.reader.ledger();
            let head = snapshot.revision();
            let header = match head {
                Revision::ZERO => None,
                head => ledger.header(head).map_err(|error| status::of_store(&error))?,
            };
            let totals = header.map(|header| header.totals).unwrap_or_default();
            let count = |kind| snapshot.catalog.count(kind, head) as u64;
            let refusal = app.writer.refusal();
            Ok(proto::GetStoreStatusResponse {
                head: head.0,
                floor: ledger.floor().0,
                history_id: ledger.history().to_string(),
                format_version: FORMAT_VERSION,
                server_version: env!("CARGO_PKG_VERSION").to_owned(),
                series: totals.series,
                current_figures: totals.current,
                versions: totals.versions,
                editions: snapshot.catalog.edition_count(head) as u64,
                indicators: count(DefinitionKind::Indicator),
                entities: count(DefinitionKind::Entity),
                sources: count(DefinitionKind::Source),
                rankings: count(DefinitionKind::Ranking),
                methodologies: count(DefinitionKind::Methodology),
                disk_bytes: snapshot.view().engine().disk_bytes(),
                subscribers: app.hub.subscribers() as u64,
                accepts_writes: refusal.is_none(),
                refusal: refusal.unwrap_or_default(),
            })
        });
        found.await.map(Response::new)
    }
}

fn open_upload(header: &proto::IngestHeader, folder: &Path) -> Result<Upload, Status> {
    let released = decode::date("header.released", &header.released)?;
    let mode = decode::ingest_mode(header.mode)?;
    let mut replaced = BTreeSet::new();
    let names_source = !header.replaced_source.is_empty();
    if mode == Mode::Merge && (names_source || !header.replaced_indicators.is_empty()) {
        return Err(BadField::new("header.replaced_indicators", "only with REPLACE").into());
    }
    if names_source == header.replaced_indicators.is_empty() {
        return Err(BadField::new("header.replaced_source", "goes with replaced_indicators, and they with it").into());
    }
    for indicator in &header.replaced_indicators {
        let indicator = decode::id("header.replaced_indicators", indicator, IndicatorId::new)?;
        replaced.insert((indicator, decode::id("header.replaced_source", &header.replaced_source, SourceId::new)?));
    }
    Ok(Upload::new(released, mode, replaced, folder))
}

fn decode_entry(given: proto::Entry) -> Result<Entry, BadField> {
    if given.components.len() > COMPONENTS_MAX {
        return Err(BadField::new("components", format!("more than {COMPONENTS_MAX}")));
    }
    decode::entry(given)
}

/// Adds figures of a series, unless something is wrong with them or with earlier ones: then the upload is refused at its end.
fn add_series(
    upload: &mut Upload,
    given: proto::SeriesBatch,
    number: usize,
    content: &mut Content,
    violations: &mut Violations,
) -> Result<(), Status> {
    let key = decode::series_key(&given).map_err(|bad| bad.under(&format!("series[{number}]")));
    let key = violations.take(key);
    let mut points = Vec::with_capacity(given.points.len());
    for (at, point) in given.points.into_iter().enumerate() {
        let text = point.period.clone();
        let point = decode_point(point).map_err(|bad| bad.under(&format!("series[{number}].points[{at}]")));
        if let Some(point) = violations.take(point) {
            upload.note_period(&text, point.0);
            points.push(point);
        }
    }
    match key.filter(|_| violations.is_empty()) {
        Some(key) => {
            content.points(&key, &points);
            upload.add(key, points).map_err(|error| status::of_upload(&error))
        }
        None => Ok(()),
    }
}

fn decode_point(point: proto::IngestPoint) -> Result<crate::ledger::upload::Point, BadField> {
    let period = decode::period("period", &point.period)?;
    let value = match (point.value, point.withdrawn) {
        (Some(value), false) => Some(decode::value(value).map_err(|bad| bad.under("value"))?),
        (None, true) => None,
        (Some(_), true) => return Err(BadField::new("withdrawn", "a withdrawn figure has no value")),
        (None, false) => return Err(BadField::new("value", "must be given, or the figure withdrawn")),
    };
    Ok((period, value))
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;

    const LARGE_BYTES: usize = 1 << 20;

    /// Takes until that is refused; says how often it was taken.
    fn takes(mut take: impl FnMut() -> Result<(), Status>) -> (usize, Status) {
        let mut taken = 0;
        loop {
            match take() {
                Ok(()) => taken += 1,
                Err(status) => return (taken, status),
            }
        }
    }

    fn assert_too_large(status: &Status) {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert_eq!(status.get_details_error_info().unwrap().reason, "UPLOAD_TOO_LARGE");
    }

    #[test]
    fn definitions_of_a_write_are_bounded_by_their_bytes() {
        let (mut definitions, mut violations) = (Definitions::default(), Violations::default());
        let (taken, status) = takes(|| {
            let indicator = proto::Indicator { definition: "x".repeat(LARGE_BYTES), ..Default::default() };
            let item = proto::definition::Item::Indicator(indicator);
            let given = vec![proto::Definition { item: Some(item) }];
            definitions.take(given, &mut Content::default(), &mut violations)
        });
        assert_eq!(taken, DEFINITIONS_BYTES_MAX / LARGE_BYTES - 1, "each is a little longer than its text");
        assert_too_large(&status);
    }

    #[test]
    fn entries_of_an_edition_are_bounded_by_their_bytes() {
        let (mut entries, mut violations) = (Entries::default(), Violations::default());
        let (taken, status) = takes(|| {
            let given = vec![proto::Entry { published_name: "x".repeat(LARGE_BYTES), ..Default::default() }];
            entries.take(given, &mut Content::default(), &mut violations)
        });
        assert_eq!(taken, ENTRIES_BYTES_MAX / LARGE_BYTES - 1, "each is a little longer than its text");
        assert_too_large(&status);
    }
}
