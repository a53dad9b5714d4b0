//! A digest of the state, which a client can keep of its own copy.
//!
//! Every current figure and entry has a line of text; the digest is the sum, modulo 2^64, of the first eight bytes
//! (little-endian) of the SHA-256 of each line. A sum does not mind the order, and a client updates it by taking off the old
//! line and adding the new one. The lines, with tabs between the parts:
//!
//! ```text
//! V  indicator  entity  source  dimensions  period  number text, or `missing`  multiplier
//! E  ranking  edition  entity  rank, or nothing
//! ```

use sha2::{Digest, Sha256};

use crate::{
    model::value::{Figure, Value},
    query::state::StateRow,
};

/// What a row of the state adds to the digest; definitions and editions add nothing.
pub fn row_digest(row: &StateRow) -> u64 {
    match row {
        StateRow::Definition(_) | StateRow::Edition(_) => 0,
        StateRow::Entry(edition, entry) => {
            let rank = entry.rank.map_or_else(String::new, |rank| rank.to_string());
            line_digest(&format!("E\t{}\t{}\t{}\t{rank}", edition.ranking, edition.edition, entry.entity))
        }
        StateRow::Figure(figure) => {
            let series = &figure.series;
            let value = figure.row.value().map_or_else(String::new, value_text);
            let dimensions = series.dimensions.as_str();
            line_digest(&format!(
                "V\t{}\t{}\t{}\t{dimensions}\t{}\t{value}",
                series.indicator, series.entity, series.source, figure.row.period
            ))
        }
    }
}

fn value_text(value: &Value) -> String {
    let multiplier = value.notes().map_or(0, |notes| notes.multiplier);
    match &value.figure {
        Figure::Number(number) => format!("{number}\t{multiplier}"),
        Figure::Missing(_) => format!("missing\t{multiplier}"),
    }
}

fn line_digest(line: &str) -> u64 {
    let digest = Sha256::digest(line.as_bytes());
    digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
