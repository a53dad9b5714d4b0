//! `almanac status`: what the server holds.

use super::{error::CliError, json, session::Session, table::line};
use crate::proto;

/// Show what the server holds; fail with exit code 1 if it takes no writes
#[derive(Debug, clap::Args)]
pub struct StatusArgs {}

pub async fn run(session: &Session) -> Result<(), CliError> {
    let status = session.admin().get_store_status(proto::GetStoreStatusRequest {}).await?.into_inner();
    if session.json {
        json::print_message(&status, "almanac.v1.GetStoreStatusResponse")?;
    } else {
        line(format!("almanac {}, format {}", status.server_version, status.format_version))?;
        line(format!("history     {}", status.history_id))?;
        line(format!("revision    {} (replay from {})", status.head, status.floor))?;
        line(format!("series      {}", status.series))?;
        line(format!("figures     {} current, {} versions", status.current_figures, status.versions))?;
        line(format!("editions    {} in {} rankings", status.editions, status.rankings))?;
        line(format!(
            "catalog     {} indicators, {} entities, {} sources",
            status.indicators, status.entities, status.sources
        ))?;
        line(format!("on disk     {:.1} MB", status.disk_bytes as f64 / 1e6))?;
        let cache = status.block_cache.unwrap_or_default();
        line(format!(
            "cache       {:.1} of {:.1} MB, {} hits, {} misses",
            cache.bytes as f64 / 1e6,
            cache.limit_bytes as f64 / 1e6,
            cache.hits,
            cache.misses
        ))?;
        line(format!("subscribers {}", status.subscribers))?;
    }
    if status.accepts_writes {
        return Ok(());
    }
    Err(CliError::Refused(format!("the server takes no writes: {}", status.refusal)))
}
