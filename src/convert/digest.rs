//! The digest of a state, computed from its rows as messages of the contract. `docs/feed.md` defines it.
//!
//! The digest of a row is the first eight bytes, little-endian, of the SHA-256 of its text. The digest of a state is the sum
//! of those of its rows, modulo 2^64: the order of rows does not matter, and a copy keeps its digest current if it subtracts
//! the digest of each old row and adds that of each new one.
//!
//! Invariant: a version never changes. A later version covers the fields that the contract gains later.

#[cfg(test)]
mod tests;
mod text;

use sha2::{Digest as _, Sha256};

use crate::proto::{self, state_row::Item};

/// Version of the digest: which rows and fields it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Version 1: figures with their numbers, entries with their ranks, no other rows.
    Numbers,
    /// Version 2: all rows with all fields of the state.
    Rows,
}

impl Version {
    /// The version with this number in the contract; 0 means [`Version::Rows`]. `None` if there is no such version.
    pub fn numbered(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Numbers),
            0 | 2 => Some(Self::Rows),
            _ => None,
        }
    }

    /// Its number in the contract: 1 or 2.
    pub fn number(self) -> u32 {
        match self {
            Self::Numbers => 1,
            Self::Rows => 2,
        }
    }

    /// The digest of a row; 0 for a row that the version does not cover.
    pub fn of_row(self, row: &proto::StateRow) -> u64 {
        let Some(item) = &row.item else { return 0 };
        match self {
            Self::Numbers => number_line(item).map_or(0, |line| digest_of(line.as_bytes())),
            Self::Rows => digest_of(&text::of_row(item)),
        }
    }
}

/// The published text of a number, digit by digit; `missing` if there is none.
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

/// The text of a row in version 1: parts joined by tabs. Definitions and editions have none.
fn number_line(item: &Item) -> Option<String> {
    match item {
        Item::Figure(figure) => Some(figure_line(figure)),
        Item::Entry(entry) => Some(entry_line(entry)),
        Item::Edition(_) | Item::Definition(_) => None,
    }
}

fn entry_line(of: &proto::StateEntry) -> String {
    let entry = of.entry.as_ref();
    let entity = entry.map_or("", |entry| &entry.entity);
    let rank = entry.and_then(|entry| entry.rank).map_or_else(String::new, |rank| rank.to_string());
    format!("E\t{}\t{}\t{entity}\t{rank}", of.ranking, of.edition)
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
