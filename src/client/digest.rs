//! The digest of the state, from the rows a subscriber receives.
//!
//! Every figure and every entry has a line of text; the digest is the sum, modulo 2^64, of the first eight bytes
//! (little-endian) of the SHA-256 of each line. Definitions and editions add nothing. The lines, with tabs between the
//! parts:
//!
//! ```text
//! V  indicator  entity  source  dimensions  period  number text, or `missing`  multiplier
//! E  ranking  edition  entity  rank, or nothing
//! ```

use sha2::{Digest, Sha256};

use crate::proto::{self, state_row::Row};

/// What a row of the state adds.
pub fn of_row(row: &proto::StateRow) -> u64 {
    match &row.row {
        Some(Row::Figure(figure)) => of_line(&figure_line(figure)),
        Some(Row::Entry(held)) => {
            let (entity, rank) = held.entry.as_ref().map_or(("", None), |entry| (entry.entity.as_str(), entry.rank));
            let rank = rank.map_or_else(String::new, |rank| rank.to_string());
            of_line(&format!("E\t{}\t{}\t{entity}\t{rank}", held.ranking, held.edition))
        }
        Some(Row::Edition(_) | Row::Definition(_)) | None => 0,
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

/// The published text of a number, digit by digit; `missing` where there is none.
pub fn number_text(value: &proto::Value) -> String {
    match value.number {
        _ if !value.exact.is_empty() => value.exact.clone(),
        Some(number) => format!("{number:.decimals$}", decimals = value.decimals.unwrap_or(0) as usize),
        None => "missing".to_owned(),
    }
}

fn of_line(line: &str) -> u64 {
    let digest = Sha256::digest(line.as_bytes());
    digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
