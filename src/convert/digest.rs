//! The digest of a state, from its rows as messages of the contract. Its text is defined in the contract (`FeedService`).
//!
//! The digest of a row is the first eight bytes, little-endian, of the SHA-256 of its text; that of a state is the sum
//! modulo 2^64, so rows may come in any order, and a copy keeps its own digest by adding and taking off.
//!
//! Invariant: a version never changes. A field that the contract gains later is part of a later version.

#[cfg(test)]
mod tests;
mod text;

use sha2::{Digest as _, Sha256};

use crate::proto::{self, state_row::Item};

/// Which fields a digest covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Figures and entries, by their numbers and ranks.
    Numbers,
    /// Every row and every field that a reader is shown.
    Rows,
}

impl Version {
    /// By its number in the contract; 0 means [`Version::Rows`].
    pub fn numbered(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Numbers),
            0 | 2 => Some(Self::Rows),
            _ => None,
        }
    }

    /// Its number in the contract.
    pub fn number(self) -> u32 {
        match self {
            Self::Numbers => 1,
            Self::Rows => 2,
        }
    }

    /// What a row adds to the digest.
    pub fn of_row(self, row: &proto::StateRow) -> u64 {
        let Some(item) = &row.item else { return 0 };
        match self {
            Self::Numbers => number_line(item).map_or(0, |line| digest_of(line.as_bytes())),
            Self::Rows => digest_of(&text::of_row(item)),
        }
    }
}

/// The published text of a number, digit by digit; `missing` where there is none.
pub fn number_text(value: &proto::Value) -> String {
    match value.number {
        _ if !value.exact.is_empty() => value.exact.clone(),
        Some(number) => format!("{number:.decimals$}", decimals = value.decimals.unwrap_or(0) as usize),
        None => "missing".to_owned(),
    }
}

fn digest_of(text: &[u8]) -> u64 {
    let digest = Sha256::digest(text);
    digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The text of version 1; definitions and editions have none.
fn number_line(item: &Item) -> Option<String> {
    match item {
        Item::Figure(figure) => Some(figure_line(figure)),
        Item::Entry(held) => {
            let (entity, rank) = held.entry.as_ref().map_or(("", None), |entry| (entry.entity.as_str(), entry.rank));
            let rank = rank.map_or_else(String::new, |rank| rank.to_string());
            Some(format!("E\t{}\t{}\t{entity}\t{rank}", held.ranking, held.edition))
        }
        Item::Edition(_) | Item::Definition(_) => None,
    }
}

fn figure_line(figure: &proto::Observation) -> String {
    let dimensions: Vec<String> = figure.dimensions.iter().map(|pair| format!("{}={}", pair.id, pair.value)).collect();
    let value = figure
        .value
        .as_ref()
        .map_or_else(String::new, |value| format!("{}\t{}", number_text(value), value.multiplier_pow10));
    let series = [&figure.indicator, &figure.entity, &figure.source].map(String::as_str).join("\t");
    format!("V\t{series}\t{}\t{}\t{value}", dimensions.join(";"), figure.period)
}
