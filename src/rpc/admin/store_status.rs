//! `GetStoreStatus`: counts, sizes, and whether writes are accepted.

use tonic::Status;

use super::Admin;
use crate::{
    model::{catalog::DefinitionKind, id::Revision},
    proto,
    query::AsOf,
    rpc::store_status,
    store::engine::FORMAT_VERSION,
};

pub(super) async fn read(admin: &Admin) -> Result<proto::GetStoreStatusResponse, Status> {
    let app = admin.0.clone();
    let answer = admin.0.read(AsOf::Head, move |snapshot| {
        let ledger = snapshot.reader.ledger();
        let catalog = &snapshot.catalog;
        let head = snapshot.revision();
        let header = match head {
            Revision::ZERO => None,
            head => ledger.header(head).map_err(store_status)?,
        };
        let totals = header.map(|header| header.totals).unwrap_or_default();
        let refusal = app.writer.refusal();
        let cache = snapshot.view().cache_use();
        Ok(proto::GetStoreStatusResponse {
            head: head.0,
            floor: ledger.floor().0,
            history_id: ledger.history().to_string(),
            format_version: FORMAT_VERSION,
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            series: totals.series,
            current_figures: totals.current,
            versions: totals.versions,
            editions: catalog.edition_count(head) as u64,
            indicators: catalog.count(DefinitionKind::Indicator, head) as u64,
            entities: catalog.count(DefinitionKind::Entity, head) as u64,
            sources: catalog.count(DefinitionKind::Source, head) as u64,
            rankings: catalog.count(DefinitionKind::Ranking, head) as u64,
            methodologies: catalog.count(DefinitionKind::Methodology, head) as u64,
            disk_bytes: snapshot.view().engine().disk_bytes(),
            subscribers: app.hub.subscribers() as u64,
            accepts_writes: refusal.is_none(),
            refusal: refusal.unwrap_or_default(),
            block_cache: Some(proto::BlockCache {
                bytes: cache.bytes,
                limit_bytes: cache.limit,
                hits: cache.hits,
                misses: cache.misses,
            }),
        })
    });
    answer.await
}
