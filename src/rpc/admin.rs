//! `AdminService`.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use prost::Message;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    App, BACKUPS_MAX, decode, encode,
    status::{self, BadField},
    violations::Violations,
};
use crate::{
    ledger::{
        WriteOptions, Written,
        backup::BackupWriter,
        plan::Act,
        upload::{Mode, Upload},
    },
    model::{
        catalog::DefinitionKind,
        edition::{Edition, Entry, Table},
        id::{EditionId, IndicatorId, RankingId, RequestId, Revision, SourceId},
    },
    proto::{self, admin_service_server::AdminService},
    query::AsOf,
    store::engine::FORMAT_VERSION,
};

/// Most definitions of one request.
const DEFINITIONS_MAX: usize = 20_000;
/// Most entries of one edition.
const ENTRIES_MAX: usize = 100_000;
/// Most components of one entry; with all of them an entry stays a small part of a page.
const COMPONENTS_MAX: usize = 300;
/// Parts of a backup that wait for the client.
const BACKUP_PARTS_MAX: usize = 4;
const NOTE_BYTES_MAX: usize = 1_000;
/// Most bytes of a difference with the findings beside it: clients take 4 MiB unless told otherwise.
const DIFFERENCE_BYTES_MAX: usize = 3 << 20;
/// Who writes, until there are tokens with names.
const AUTHOR: &str = "local";

/// The service.
#[derive(Debug, Clone)]
pub struct Admin(pub Arc<App>);

/// Takes the digest of what a write says, without its options: so a retry is known by its content.
#[derive(Default)]
struct Content(Sha256);

impl Content {
    fn add(&mut self, message: &impl Message) {
        let bytes = message.encode_to_vec();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(&bytes);
    }

    fn options(self, given: Option<proto::WriteOptions>) -> Result<WriteOptions, BadField> {
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
            content: self.0.finalize().into(),
        })
    }
}

impl Admin {
    async fn write(&self, options: WriteOptions, act: Act) -> Result<(proto::WriteResult, Option<Edition>), Status> {
        let validate_only = options.validate_only;
        let written = self.0.writer.write(options, act).await.map_err(|error| status::of_write(&error))?;
        let edition = written.edition.clone();
        // Encoding a long difference takes a while; it must not hold up others.
        let encoded = self.0.offload.run(move || result(&written, validate_only)).await;
        Ok((encoded.map_err(|error| status::of_store(&error))?, edition))
    }
}

fn result(written: &Written, validate_only: bool) -> proto::WriteResult {
    let findings: Vec<proto::Finding> = written.findings.iter().map(encode::finding).collect();
    let mut difference = Vec::new();
    let mut bytes: usize = findings.iter().map(|finding| finding.encoded_len() + 5).sum();
    for (index, change) in &written.difference {
        let change = encode::change(*index, change);
        bytes += change.encoded_len() + 5;
        if bytes > DIFFERENCE_BYTES_MAX {
            break;
        }
        difference.push(change);
    }
    let left_out = if validate_only { written.changes - difference.len() as u64 } else { 0 };
    proto::WriteResult {
        revision: written.revision.0,
        counts: Some(encode::counts(&written.counts)),
        findings,
        replayed: written.replayed,
        difference,
        difference_left_out: left_out,
    }
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
                    Err(error) => Err(status::of_store(&error)),
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
        if request.definitions.is_empty() || request.definitions.len() > DEFINITIONS_MAX {
            return Err(BadField::new("definitions", format!("give 1 to {DEFINITIONS_MAX}")).into());
        }
        let mut content = Content::default();
        let mut violations = Violations::default();
        let mut definitions = Vec::with_capacity(request.definitions.len());
        let mut methodologies = Vec::new();
        for (at, given) in request.definitions.into_iter().enumerate() {
            content.add(&given);
            let decoded = decode::definition(given).map_err(|bad| bad.under(&format!("definitions[{at}]")));
            definitions.extend(violations.take(decoded));
        }
        violations.check()?;
        let (result, _) = self.write(content.options(request.options)?, Act::Define(definitions)).await?;
        Ok(Response::new(proto::DefineCatalogResponse { result: Some(result) }))
    }

    async fn ingest_observations(
        &self,
        request: Request<Streaming<proto::IngestObservationsRequest>>,
    ) -> Result<Response<proto::IngestObservationsResponse>, Status> {
        let mut messages = request.into_inner();
        let mut next = messages.message().await?;
        let first = next.as_mut().and_then(|message| message.header.take());
        let mut header = first.ok_or_else(|| BadField::new("header", "the first message must have it"))?;
        let options = header.options.take();
        let mut content = Content::default();
        content.add(&header);
        let mut upload = open_upload(&header, self.0.reader.view().engine().folder())?;
        let mut number = 0;
        let mut violations = Violations::default();
        while let Some(message) = next {
            if message.header.is_some() {
                return Err(BadField::new("header", "only the first message may have it").into());
            }
            for batch in message.batches {
                content.add(&batch);
                add_batch(&mut upload, batch, number, &mut violations)?;
                number += 1;
            }
            next = messages.message().await?;
        }
        violations.check()?;
        let (result, _) = self.write(content.options(options)?, Act::Ingest(upload)).await?;
        Ok(Response::new(proto::IngestObservationsResponse { result: Some(result) }))
    }

    async fn publish_edition(
        &self,
        request: Request<Streaming<proto::PublishEditionRequest>>,
    ) -> Result<Response<proto::PublishEditionResponse>, Status> {
        let mut messages = request.into_inner();
        let mut next = messages.message().await?;
        let first = next.as_mut().and_then(|message| message.header.take());
        let mut header = first.ok_or_else(|| BadField::new("header", "the first message must have it"))?;
        let options = header.options.take();
        let mut content = Content::default();
        content.add(&header);
        let given = header.edition.ok_or_else(|| BadField::new("header.edition", "must be given"))?;
        let edition = decode::edition(given).map_err(|bad| bad.under("header"))?;
        let mut number = 0;
        let mut entries = Vec::new();
        let mut violations = Violations::default();
        while let Some(message) = next {
            if message.header.is_some() {
                return Err(BadField::new("header", "only the first message may have it").into());
            }
            for given in message.entries {
                content.add(&given);
                if number == ENTRIES_MAX {
                    return Err(BadField::new("entries", format!("more than {ENTRIES_MAX}")).into());
                }
                let decoded = decode_entry(given).map_err(|bad| bad.under(&format!("entries[{number}]")));
                entries.extend(violations.take(decoded));
                number += 1;
            }
            next = messages.message().await?;
        }
        violations.check()?;
        let act = Act::Publish { table: Table { edition, entries }, correction: header.correction };
        let (result, edition) = self.write(content.options(options)?, act).await?;
        Ok(Response::new(proto::PublishEditionResponse {
            result: Some(result),
            edition: edition.as_ref().map(encode::edition),
        }))
    }

    async fn withdraw_edition(
        &self,
        request: Request<proto::WithdrawEditionRequest>,
    ) -> Result<Response<proto::WithdrawEditionResponse>, Status> {
        let mut request = request.into_inner();
        let options = request.options.take();
        let mut content = Content::default();
        content.add(&request);
        let ranking = decode::id("ranking", &request.ranking, RankingId::new)?;
        let edition = decode::id("edition", &request.edition, EditionId::new)?;
        let act = Act::Withdraw { ranking, edition, released: None };
        let (result, edition) = self.write(content.options(options)?, act).await?;
        Ok(Response::new(proto::WithdrawEditionResponse {
            result: Some(result),
            edition: edition.as_ref().map(encode::edition),
        }))
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
            let count = |kind| snapshot.catalog.count(kind) as u64;
            let refusal = app.writer.refusal();
            Ok(proto::GetStoreStatusResponse {
                head: head.0,
                floor: ledger.floor().0,
                history_id: ledger.history().to_string(),
                format_version: FORMAT_VERSION,
                server_version: env!("CARGO_PKG_VERSION").to_owned(),
                series: totals.series,
                current_values: totals.current,
                versions: totals.versions,
                editions: snapshot.catalog.edition_count() as u64,
                indicators: count(DefinitionKind::Indicator),
                entities: count(DefinitionKind::Entity),
                sources: count(DefinitionKind::Source),
                rankings: count(DefinitionKind::Ranking),
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

/// Adds a batch, unless something is wrong with it or with an earlier one: then the upload is refused at its end.
fn add_batch(
    upload: &mut Upload,
    batch: proto::SeriesBatch,
    number: usize,
    violations: &mut Violations,
) -> Result<(), Status> {
    let key = decode::series_key(&batch).map_err(|bad| bad.under(&format!("batches[{number}]")));
    let key = violations.take(key);
    let mut points = Vec::with_capacity(batch.points.len());
    for (at, point) in batch.points.into_iter().enumerate() {
        let point = decode_point(point).map_err(|bad| bad.under(&format!("batches[{number}].points[{at}]")));
        points.extend(violations.take(point));
    }
    match key {
        Some(key) if violations.is_empty() => upload.add(key, points).map_err(|error| status::of_upload(&error)),
        _ => Ok(()),
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
