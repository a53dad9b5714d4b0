//! Digests of rows by the definition in the documentation, written a second time.

use almanac::proto::{state_row::Item, *};

/// The digest of a row in version 1, by the definition in the documentation.
pub(super) fn digest_of(row: &StateRow) -> u64 {
    match row.item.as_ref().unwrap() {
        Item::Figure(figure) => {
            let value = figure.value.as_ref().unwrap();
            let series = [&figure.indicator, &figure.entity, &figure.source].map(String::as_str);
            figure_digest(series, &figure.dimensions, &figure.period, value)
        }
        Item::Entry(row) => {
            let entry = row.entry.as_ref().unwrap();
            entry_digest(&row.ranking, &row.edition, &entry.entity, entry.rank)
        }
        Item::Edition(_) | Item::Definition(_) => 0,
    }
}

fn figure_digest(series: [&str; 3], dimensions: &[Dimension], period: &str, value: &Value) -> u64 {
    let dimensions: Vec<String> = dimensions.iter().map(|one| format!("{}={}", one.id, one.value)).collect();
    let text = crate::support::text(value);
    let series = series.join("\t");
    let dimensions = dimensions.join(";");
    line_digest(&format!("V\t{series}\t{dimensions}\t{period}\t{text}\t{}", value.multiplier_pow10))
}

fn entry_digest(ranking: &str, edition: &str, entity: &str, rank: Option<u32>) -> u64 {
    let rank = rank.map_or_else(String::new, |rank| rank.to_string());
    line_digest(&format!("E\t{ranking}\t{edition}\t{entity}\t{rank}"))
}

fn line_digest(line: &str) -> u64 {
    use sha2::{Digest, Sha256};
    u64::from_le_bytes(*Sha256::digest(line.as_bytes()).first_chunk().unwrap())
}
