//! The digest of what a write says, without its options: the writer knows a retry by it.
//!
//! It is a digest of checked values, not of the bytes that they came in. A default that is spelt out, or a batch that is split
//! in two, does not make another request.
//!
//! Invariant: memory is that of the hashers, whatever the length of a write.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    ledger::upload::Point,
    model::{catalog::Definition, series::SeriesKey},
};

/// Computes the digest of a write part by part. Definitions and rows may come mixed; each keep their own order.
#[derive(Debug, Default)]
pub(super) struct Content {
    header: Hasher,
    definitions: Hasher,
    rows: Hasher,
    /// The series of the last points.
    series: Option<SeriesKey>,
}

impl Content {
    /// Adds what holds for the whole write.
    pub(super) fn header(&mut self, header: &impl Serialize) {
        self.header.add(header);
    }

    pub(super) fn definition(&mut self, definition: &Definition) {
        self.definitions.add(definition);
    }

    /// Adds a row other than a figure.
    pub(super) fn row(&mut self, row: &impl Serialize) {
        self.rows.add(row);
    }

    /// Adds figures of a series. It may continue the batch before.
    pub(super) fn points(&mut self, series: &SeriesKey, points: &[Point]) {
        if self.series.as_ref() != Some(series) {
            self.rows.add(series);
            self.series = Some(series.clone());
        }
        for point in points {
            self.rows.add(point);
        }
    }

    /// The digest, SHA-256.
    pub(super) fn finish(self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [self.header, self.definitions, self.rows] {
            digest.update(part.hasher.finalize());
        }
        digest.finalize().into()
    }
}

#[derive(Debug, Default)]
struct Hasher {
    hasher: Sha256,
    buffer: Vec<u8>,
}

impl Hasher {
    fn add(&mut self, value: &impl Serialize) {
        self.buffer.clear();
        // Writing to memory does not fail, and values of the model serialise.
        if rmp_serde::encode::write(&mut self.buffer, value).is_err() {
            tracing::error!("a value of the model does not serialise");
        }
        self.hasher.update((self.buffer.len() as u64).to_le_bytes());
        self.hasher.update(&self.buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        id::{EntityId, IndicatorId, SourceId},
        period::Period,
        series::Dimensions,
        value::{Number, Value},
    };

    fn series(entity: &str) -> SeriesKey {
        SeriesKey {
            indicator: IndicatorId::new("I").unwrap(),
            entity: EntityId::new(entity).unwrap(),
            source: SourceId::new("s").unwrap(),
            dimensions: Dimensions::default(),
        }
    }

    fn point(year: i16, text: &str) -> Point {
        (Period::year(year).unwrap(), Some(Value::number(Number::parse(text).unwrap())))
    }

    fn digest(batches: &[(&str, &[Point])]) -> [u8; 32] {
        let mut content = Content::default();
        content.header(&"header");
        for (entity, points) in batches {
            content.points(&series(entity), points);
        }
        content.finish()
    }

    #[test]
    fn batches_may_be_split_and_nothing_else_may_change() {
        let points = [point(2020, "1.0"), point(2021, "2.5")];
        let whole = digest(&[("A", &points), ("B", &points)]);
        assert_eq!(whole, digest(&[("A", &points[..1]), ("A", &points[1..]), ("B", &points)]));
        for other in [
            digest(&[("A", &points), ("C", &points)]),
            digest(&[("A", &points), ("B", &points[..1])]),
            digest(&[("A", &[point(2020, "1"), point(2021, "2.5")]), ("B", &points)]),
            digest(&[("A", &[(Period::year(2020).unwrap(), None), point(2021, "2.5")]), ("B", &points)]),
        ] {
            assert_ne!(whole, other);
        }
    }
}
