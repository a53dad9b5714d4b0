//! How editions, moves and economies read.

use std::collections::BTreeMap;

use super::{error::CliError, session::Session};
use crate::proto;

/// ISO alpha-2 codes of economies, by entity id; ids without one read as they are.
#[derive(Debug, Default)]
pub struct Economies(BTreeMap<String, String>);

impl Economies {
    /// Asks the server once for all economies.
    pub async fn load(session: &Session) -> Result<Self, CliError> {
        let mut codes = BTreeMap::new();
        let mut request = proto::ListEntitiesRequest {
            page_size: 1_000,
            kind: proto::EntityKind::Economy.into(),
            ..Default::default()
        };
        loop {
            let page = session.catalog().list_entities(request.clone()).await?.into_inner();
            for entity in page.entities {
                let code = entity.codes.into_iter().find(|code| code.scheme == "iso3166-1-alpha2");
                codes.extend(code.map(|code| (entity.id, code.value)));
            }
            if page.next_page_token.is_empty() {
                return Ok(Self(codes));
            }
            request.page_token = page.next_page_token;
        }
    }

    /// `CN, HK`.
    pub fn text(&self, ids: &[String]) -> String {
        let codes: Vec<&str> = ids.iter().map(|id| self.0.get(id).unwrap_or(id).as_str()).collect();
        codes.join(", ")
    }
}

/// `gii-clusters 2025: Title, published 2025-09-01, as published`.
pub fn heading(edition: &proto::Edition) -> String {
    let title = if edition.title.is_empty() { String::new() } else { format!(": {}", edition.title) };
    let basis = match edition.basis() {
        proto::EditionBasis::Unspecified | proto::EditionBasis::AsPublished => String::new(),
        proto::EditionBasis::Restated => format!(", ranks of {} as restated", about(edition)),
        proto::EditionBasis::Counterfactual => format!(", a what-if about {}", about(edition)),
    };
    let status = match edition.status() {
        proto::EditionStatus::Provisional => ", provisional",
        proto::EditionStatus::Corrected => ", corrected",
        proto::EditionStatus::Withdrawn => ", WITHDRAWN",
        proto::EditionStatus::Unspecified | proto::EditionStatus::Published => "",
    };
    format!("{} {}{title}, published {}{basis}{status}", edition.ranking, edition.edition, edition.released)
}

fn about(edition: &proto::Edition) -> &str {
    if edition.about.is_empty() { &edition.edition } else { &edition.about }
}

/// What the edition lists, and what it means not to be listed.
pub fn coverage(edition: &proto::Edition) -> String {
    let coverage = edition.coverage.unwrap_or_default();
    let of = match coverage.universe {
        0 => String::new(),
        universe => format!(" of {universe} ranked"),
    };
    match coverage.kind() {
        proto::CoverageKind::All => format!("all {} ranked", edition.entry_count),
        proto::CoverageKind::Unspecified | proto::CoverageKind::Top => {
            format!("top {}{of}; not listed means below", coverage.listed)
        }
        proto::CoverageKind::Partial => {
            let complete = match coverage.complete_to {
                0 => "no rank is known without a gap".to_owned(),
                rank => format!("whole to rank {rank}"),
            };
            let listed = match coverage.listed {
                0 => String::new(),
                listed => format!(" of a list of {listed}"),
            };
            format!("partial: {}{listed} known, {complete}; not listed means unknown", edition.entry_count)
        }
    }
}

/// The same in a word or two.
pub fn coverage_kind(edition: &proto::Edition) -> String {
    let coverage = edition.coverage.unwrap_or_default();
    match coverage.kind() {
        proto::CoverageKind::All => "all".to_owned(),
        proto::CoverageKind::Unspecified | proto::CoverageKind::Top => format!("top {}", coverage.listed),
        proto::CoverageKind::Partial if coverage.complete_to == 0 => "partial".to_owned(),
        proto::CoverageKind::Partial => format!("partial, whole to {}", coverage.complete_to),
    }
}

/// `▲ 3`.
pub fn arrow(entity: &proto::EntryMove) -> String {
    let places = entity.places.map_or(String::new(), |places| format!(" {}", places.unsigned_abs()));
    match entity.movement() {
        proto::Movement::Unspecified | proto::Movement::Unknown => "?".to_owned(),
        proto::Movement::Entered => "entered".to_owned(),
        proto::Movement::Left => "left".to_owned(),
        proto::Movement::Up => format!("▲{places}"),
        proto::Movement::Down => format!("▼{places}"),
        proto::Movement::Tied => "= tied".to_owned(),
        proto::Movement::Unchanged => "=".to_owned(),
        proto::Movement::Withdrawn => "withdrawn".to_owned(),
    }
}

/// A movement in a word.
pub fn movement(movement: proto::Movement) -> &'static str {
    match movement {
        proto::Movement::Unspecified | proto::Movement::Unknown => "unknown",
        proto::Movement::Entered => "entered",
        proto::Movement::Left => "left",
        proto::Movement::Up => "up",
        proto::Movement::Down => "down",
        proto::Movement::Tied => "tied",
        proto::Movement::Unchanged => "unchanged",
        proto::Movement::Withdrawn => "withdrawn",
    }
}

/// The name an entry is known by: as the later table printed it, else the earlier, else its id.
pub fn name(entity: &proto::EntryMove) -> &str {
    let printed =
        |standing: &'_ Option<proto::Standing>| standing.as_ref().is_some_and(|side| !side.published_name.is_empty());
    let side = if printed(&entity.after) { &entity.after } else { &entity.before };
    side.as_ref()
        .filter(|side| !side.published_name.is_empty())
        .map_or(entity.entity.as_str(), |side| &side.published_name)
}

/// Ranks that others give: `18 by businessupturn.com`.
pub fn claims(claims: &[proto::RankClaim]) -> String {
    let claims: Vec<String> = claims.iter().map(|claim| format!("{} by {}", claim.rank, claim.claimed_by)).collect();
    claims.join("; ")
}
