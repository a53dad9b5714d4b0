//! `AdminService`: all writes, backups, and the state of the store.
//!
//! In reading order: [`mod@endpoint`] takes uploads of figures as bytes; [`receive`] is what the two streaming writes share,
//! [`observations`] and [`editions`] are those two; [`backup`] and [`store_status`] read. The other writes are here.

mod backup;
mod editions;
mod endpoint;
mod observations;
mod receive;
mod store_status;

use std::{collections::BTreeSet, sync::Arc};

use prost::Message;
use tonic::{Request, Response, Status, Streaming};

pub use self::endpoint::endpoint;
use self::receive::CheckedItems;
use super::{
    AUTHOR, App,
    content::Content,
    status::{self, BadField},
    violations::Violations,
};
use crate::{
    convert::{change::change, field::id, time::optional_date, write::write_options},
    feed::stamps::CommitStamps,
    ledger::{WriteAnswer, plan::WriteRequest},
    model::{
        catalog::Definition,
        edition::Edition,
        id::{EditionId, RankingId, Revision},
    },
    proto::{self, admin_service_server::AdminService},
    query::Reader,
    store::StoreError,
};

/// Most revisions that one write reverts.
const REVERTED_MAX: usize = 100;
/// Most bytes of a difference with its findings: clients take messages of 4 MiB unless told otherwise.
const DIFFERENCE_BYTES_MAX: usize = 3 << 20;
/// Tag and length of an item in its answer, at most.
const ITEM_PREFIX_BYTES: usize = 5;

/// The handlers; [`endpoint()`] serves them.
#[derive(Debug, Clone)]
pub struct Admin(Arc<App>);

impl Admin {
    /// Hands a write to the writer and encodes its answer.
    async fn write(
        &self,
        options: Option<proto::WriteOptions>,
        content: Content,
        request: WriteRequest,
    ) -> Result<(proto::WriteResult, Option<Edition>), Status> {
        let options = match write_options(options, AUTHOR, content.finish()) {
            Ok(options) => options,
            Err(error) => return receive::refuse(request, error.into(), &self.0.offload).await,
        };
        let validate_only = options.validate_only;
        let answer = self.0.writer.write(options, request).await.map_err(|error| status::of_write(&error))?;
        let edition = answer.edition.clone();
        let reader = self.0.reader.clone();
        let encoded = if answer.difference.is_empty() {
            write_result(&answer, validate_only, &reader)
        } else {
            // A difference takes a while to encode, and reads the commits of its figures.
            let encoded = self.0.offload.run(move || write_result(&answer, validate_only, &reader)).await;
            encoded.and_then(|result| result)
        };
        Ok((encoded.map_err(super::store_status)?, edition))
    }
}

/// The answer to a write. A difference that does not fit is cut; the answer says how many changes are left out.
fn write_result(answer: &WriteAnswer, validate_only: bool, reader: &Reader) -> Result<proto::WriteResult, StoreError> {
    let mut bytes = 0;
    let mut findings = Vec::with_capacity(answer.findings.len());
    for finding in &answer.findings {
        let finding = proto::Finding::from(finding);
        bytes += finding.encoded_len() + ITEM_PREFIX_BYTES;
        findings.push(finding);
    }
    // A commit that was only checked has no stamp, so its figures have no time.
    let changes = answer.difference.iter().map(|(_, change)| change);
    let stamps = CommitStamps::read(changes, reader, answer.revision)?;
    let mut difference = Vec::new();
    for (index, item) in &answer.difference {
        let message = change(*index, item, &stamps);
        bytes += message.encoded_len() + ITEM_PREFIX_BYTES;
        if bytes > DIFFERENCE_BYTES_MAX {
            break;
        }
        difference.push(message);
    }
    let left_out = if validate_only { answer.changes - difference.len() as u64 } else { 0 };
    Ok(proto::WriteResult {
        revision: answer.revision.0,
        counts: Some((&answer.counts).into()),
        findings,
        replayed: answer.replayed,
        difference,
        difference_left_out: left_out,
    })
}

#[tonic::async_trait]
impl AdminService for Admin {
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
        let mut definitions = CheckedItems::<Definition>::default();
        definitions.take(request.definitions, &mut content, &mut violations)?;
        violations.check()?;
        let write = WriteRequest::Define(definitions.items);
        let (result, _) = self.write(request.options, content, write).await?;
        Ok(Response::new(proto::DefineCatalogResponse { result: Some(result) }))
    }

    /// Not reached: [`mod@endpoint`] answers this path.
    async fn ingest_observations(
        &self,
        _: Request<Streaming<proto::IngestObservationsRequest>>,
    ) -> Result<Response<proto::IngestObservationsResponse>, Status> {
        Err(status::of_server_fault("IngestObservations has an endpoint of its own"))
    }

    async fn publish_edition(
        &self,
        request: Request<Streaming<proto::PublishEditionRequest>>,
    ) -> Result<Response<proto::PublishEditionResponse>, Status> {
        editions::publish(self, request.into_inner()).await.map(Response::new)
    }

    async fn withdraw_edition(
        &self,
        request: Request<proto::WithdrawEditionRequest>,
    ) -> Result<Response<proto::WithdrawEditionResponse>, Status> {
        let request = request.into_inner();
        let ranking = id("ranking", &request.ranking, RankingId::new)?;
        let edition = id("edition", &request.edition, EditionId::new)?;
        let released = optional_date("withdrawn", &request.withdrawn)?;
        let mut content = Content::default();
        content.header(&(&ranking, &edition, released));
        let write = WriteRequest::Withdraw { ranking, edition, released };
        let (result, edition) = self.write(request.options, content, write).await?;
        let edition = edition.as_ref().map(proto::Edition::from);
        Ok(Response::new(proto::WithdrawEditionResponse { result: Some(result), edition }))
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
        let (result, _) = self.write(request.options, content, WriteRequest::Revert(revisions)).await?;
        Ok(Response::new(proto::RevertCommitResponse { result: Some(result) }))
    }

    type BackupStream = backup::BackupStream;

    async fn backup(&self, request: Request<proto::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        backup::start(self, request.into_inner()).await.map(Response::new)
    }

    async fn get_store_status(
        &self,
        _: Request<proto::GetStoreStatusRequest>,
    ) -> Result<Response<proto::GetStoreStatusResponse>, Status> {
        store_status::read(self).await.map(Response::new)
    }
}
