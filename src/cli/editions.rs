//! How editions, moves and economies are printed.

use std::collections::BTreeMap;

use super::{error::CliError, session::Session, values, words};
use crate::proto;

/// ISO 3166-1 alpha-2 codes of economies, by entity id.
#[derive(Debug, Default)]
pub struct EconomyCodes(BTreeMap<String, String>);

impl EconomyCodes {
    /// Asks the server for all economies, as they are now.
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

    /// `CN, HK`; an economy without a code is printed by its id.
    pub fn text(&self, ids: &[String]) -> String {
        let codes: Vec<&str> = ids.iter().map(|id| self.0.get(id).unwrap_or(id).as_str()).collect();
        codes.join(", ")
    }
}

/// `gii-clusters 2025: Title, published 2025-09-01, corrected`.
pub fn heading(edition: &proto::Edition) -> String {
    let title = if edition.title.is_empty() { String::new() } else { format!(": {}", edition.title) };
    let basis = match edition.basis() {
        proto::EditionBasis::Unspecified | proto::EditionBasis::AsPublished => String::new(),
        proto::EditionBasis::Restated => format!(", ranks of {} as restated", about(edition)),
        proto::EditionBasis::Counterfactual => format!(", a what-if about {}", about(edition)),
    };
    let status = match (edition.status(), words::edition_status(edition.status())) {
        (_, "") => String::new(),
        (proto::EditionStatus::Withdrawn, word) => format!(", {}", word.to_uppercase()),
        (_, word) => format!(", {word}"),
    };
    format!("{} {}{title}, published {}{basis}{status}", edition.ranking, edition.id, edition.released)
}

/// The year or edition that the ranks are about.
fn about(edition: &proto::Edition) -> &str {
    if edition.about.is_empty() { &edition.id } else { &edition.about }
}

/// Which ranks an edition lists, and what it means for an entity not to be listed.
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

/// The same in a few words, for a table.
pub fn coverage_kind(edition: &proto::Edition) -> String {
    let coverage = edition.coverage.unwrap_or_default();
    match coverage.kind() {
        proto::CoverageKind::All => "all".to_owned(),
        proto::CoverageKind::Unspecified | proto::CoverageKind::Top => format!("top {}", coverage.listed),
        proto::CoverageKind::Partial if coverage.complete_to == 0 => "partial".to_owned(),
        proto::CoverageKind::Partial => format!("partial, whole to {}", coverage.complete_to),
    }
}

/// How an entity moved between two editions.
#[derive(Debug)]
pub struct EntityMove<'a> {
    pub movement: proto::Movement,
    entity: &'a str,
    places: Option<i32>,
    renamed: bool,
    earlier: Option<&'a proto::Entry>,
    later: Option<&'a proto::Entry>,
    earlier_absence: Option<&'a proto::Absence>,
    later_absence: Option<&'a proto::Absence>,
}

impl<'a> EntityMove<'a> {
    /// In a comparison of two editions.
    pub fn of_comparison(entry: &'a proto::EntryMove) -> Self {
        Self {
            movement: entry.movement(),
            entity: &entry.entity,
            places: entry.places,
            renamed: entry.renamed,
            earlier: entry.earlier.as_ref(),
            later: entry.later.as_ref(),
            earlier_absence: entry.earlier_absence.as_ref(),
            later_absence: entry.later_absence.as_ref(),
        }
    }

    /// In a change of an edition, against the edition that the server compared it with.
    pub fn of_change(entry: &'a proto::EntryChange) -> Self {
        Self {
            movement: entry.movement(),
            entity: &entry.entity,
            places: entry.places,
            renamed: entry.renamed,
            earlier: entry.compared.as_ref().or(entry.before.as_ref()),
            later: entry.after.as_ref(),
            earlier_absence: entry.earlier_absence.as_ref(),
            later_absence: entry.later_absence.as_ref(),
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

    pub fn earlier_rank(&self) -> String {
        values::rank(self.earlier, self.earlier_absence)
    }

    pub fn later_rank(&self) -> String {
        values::rank(self.later, self.later_absence)
    }

    /// The name as the later edition prints it, else the earlier one, else the id.
    pub fn name(&self) -> &'a str {
        for entry in [self.later, self.earlier].into_iter().flatten() {
            if !entry.published_name.is_empty() {
                return &entry.published_name;
            }
        }
        self.entity
    }

    /// The name in the earlier edition if it was another; else empty.
    pub fn renamed_from(&self) -> &'a str {
        self.earlier.filter(|_| self.renamed).map_or("", |entry| &entry.published_name)
    }

    /// The economies as the later edition prints them, else the earlier one.
    pub fn economies(&self) -> &'a [String] {
        self.later.or(self.earlier).map_or(&[], |entry| &entry.economies)
    }
}

/// How many entities moved how: `3 up, 1 left`.
pub fn movement_counts(counts: &[proto::MovementCount]) -> String {
    let words: Vec<String> =
        counts.iter().map(|count| format!("{} {}", count.count, words::movement(count.movement()))).collect();
    words.join(", ")
}

/// Ranks that others state: `18 by businessupturn.com; 13 by x`.
pub fn claims(claims: &[proto::RankClaim]) -> String {
    let claims: Vec<String> = claims.iter().map(|claim| format!("{} by {}", claim.rank, claim.claimed_by)).collect();
    claims.join("; ")
}
