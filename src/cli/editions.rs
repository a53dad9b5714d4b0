//! How editions, moves and economies read.

use std::collections::BTreeMap;

use super::{error::CliError, session::Session, values};
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
    format!("{} {}{title}, published {}{basis}{status}", edition.ranking, edition.id, edition.released)
}

fn about(edition: &proto::Edition) -> &str {
    if edition.about.is_empty() { &edition.id } else { &edition.about }
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

/// How an entity moved between two tables, as a comparison or a change tells it.
#[derive(Debug)]
pub struct Move<'a> {
    /// How it moved.
    pub movement: proto::Movement,
    entity: &'a str,
    places: Option<i32>,
    renamed: bool,
    earlier: Option<&'a proto::Entry>,
    later: Option<&'a proto::Entry>,
    earlier_absence: Option<&'a proto::Absence>,
    later_absence: Option<&'a proto::Absence>,
}

impl<'a> Move<'a> {
    /// Of two editions compared.
    pub fn of_comparison(told: &'a proto::EntryMove) -> Self {
        Self {
            movement: told.movement(),
            entity: &told.entity,
            places: told.places,
            renamed: told.renamed,
            earlier: told.earlier.as_ref(),
            later: told.later.as_ref(),
            earlier_absence: told.earlier_absence.as_ref(),
            later_absence: told.later_absence.as_ref(),
        }
    }

    /// Of an edition that changed, against the edition that it was compared with.
    pub fn of_change(told: &'a proto::EntryChange) -> Self {
        Self {
            movement: told.movement(),
            entity: &told.entity,
            places: told.places,
            renamed: told.renamed,
            earlier: told.compared.as_ref().or(told.before.as_ref()),
            later: told.after.as_ref(),
            earlier_absence: told.earlier_absence.as_ref(),
            later_absence: told.later_absence.as_ref(),
        }
    }

    /// `▲ 3`.
    pub fn arrow(&self) -> String {
        let places = self.places.map_or(String::new(), |places| format!(" {}", places.unsigned_abs()));
        match self.movement {
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

    /// Its rank in the earlier table.
    pub fn earlier_rank(&self) -> String {
        values::rank(self.earlier, self.earlier_absence)
    }

    /// Its rank in the later table.
    pub fn later_rank(&self) -> String {
        values::rank(self.later, self.later_absence)
    }

    /// The name it is known by: as the later table printed it, else the earlier, else its id.
    pub fn name(&self) -> &'a str {
        let sides = [self.later, self.earlier];
        let printed = sides.into_iter().flatten().map(|entry| entry.published_name.as_str());
        printed.into_iter().find(|name| !name.is_empty()).unwrap_or(self.entity)
    }

    /// The earlier name, if it is another.
    pub fn renamed_from(&self) -> &'a str {
        self.earlier.filter(|_| self.renamed).map_or("", |entry| &entry.published_name)
    }

    /// Its economies, as the later table printed them, else the earlier.
    pub fn economies(&self) -> &'a [String] {
        self.later.or(self.earlier).map_or(&[], |entry| &entry.economies)
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

/// Ranks that others give: `18 by businessupturn.com`.
pub fn claims(claims: &[proto::RankClaim]) -> String {
    let claims: Vec<String> = claims.iter().map(|claim| format!("{} by {}", claim.rank, claim.claimed_by)).collect();
    claims.join("; ")
}
