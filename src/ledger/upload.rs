//! Figures on their way in: checked one by one, gathered by series, packed.
//!
//! A commit is planned series by series whatever order its figures came in, so they are gathered first. Packed as in the
//! blocks they take about ten bytes each: the whole World Development Indicators of 2013 fit into 80 MB.
//!
//! Invariant: memory is bounded by [`UPLOAD_BYTES_MAX`]; above it the upload is refused, whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{
        id::{IndicatorId, Revision, SourceId},
        period::Period,
        series::{Row, SeriesKey},
        time::Date,
        value::Value,
    },
    store::{
        bytes::Reader,
        engine::Result,
        rows::{decode_rows, encode_rows},
    },
};

/// Most bytes that one upload may take in memory.
pub const UPLOAD_BYTES_MAX: usize = 512 << 20;
/// What a series costs beside its figures.
const SERIES_BYTES: usize = 160;

/// What an upload says about what it does not contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Merge,
    /// What is not in it is withdrawn as of its release.
    Replace,
}

/// The upload is too large to be one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one commit may hold about {} MiB of figures; upload less at a time", UPLOAD_BYTES_MAX >> 20)]
pub struct TooLarge;

/// Figures of one release, gathered by series.
#[derive(Debug)]
pub struct Upload {
    released: Date,
    mode: Mode,
    series: BTreeMap<SeriesKey, Packed>,
    replaced: BTreeSet<(IndicatorId, SourceId)>,
    batches: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Packed {
    parts: Vec<u8>,
    count: usize,
    /// Number of the batch that named it first.
    batch: usize,
}

/// One figure of an upload: `None` says that the producer publishes none.
pub type Point = (Period, Option<Value>);

impl Upload {
    /// An empty upload.
    pub fn new(released: Date, mode: Mode, replaced: BTreeSet<(IndicatorId, SourceId)>) -> Self {
        Self { released, mode, series: BTreeMap::new(), replaced, batches: 0, bytes: 0 }
    }

    /// Adds figures of a series; it may come again.
    pub fn add(&mut self, key: SeriesKey, points: Vec<Point>) -> std::result::Result<(), TooLarge> {
        if self.mode == Mode::Replace {
            self.replaced.insert((key.indicator.clone(), key.source.clone()));
        }
        let rows: Vec<Row> = points
            .into_iter()
            .map(|(period, value)| Row { period, revision: Revision::ZERO, released: self.released, value })
            .collect();
        let batch = self.batches;
        self.batches += 1;
        let packed = self.series.entry(key).or_insert_with(|| {
            self.bytes += SERIES_BYTES;
            Packed { batch, ..Packed::default() }
        });
        let before = packed.parts.len();
        encode_rows(&mut packed.parts, &rows);
        packed.count += rows.len();
        self.bytes += packed.parts.len() - before;
        if self.bytes > UPLOAD_BYTES_MAX { Err(TooLarge) } else { Ok(()) }
    }

    /// When the producer published it.
    pub fn released(&self) -> Date {
        self.released
    }

    /// What it says about what it does not contain.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Indicators of which this is the whole release.
    pub fn replaced(&self) -> &BTreeSet<(IndicatorId, SourceId)> {
        &self.replaced
    }

    /// Its series, in order.
    pub fn keys(&self) -> impl Iterator<Item = &SeriesKey> {
        self.series.keys()
    }

    /// Its series, each with the number of the batch that named it first.
    pub fn batches(&self) -> impl Iterator<Item = (usize, &SeriesKey)> {
        self.series.iter().map(|(key, packed)| (packed.batch, key))
    }

    /// Whether it says anything.
    pub fn is_empty(&self) -> bool {
        self.replaced.is_empty() && self.series.values().all(|packed| packed.count == 0)
    }

    /// The figures of a series, in period order; figures of one period in the order they came.
    pub fn points(&self, key: &SeriesKey) -> Result<Vec<Point>> {
        let Some(packed) = self.series.get(key) else { return Ok(Vec::new()) };
        let mut reader = Reader::new(&packed.parts);
        let mut points = Vec::with_capacity(packed.count);
        while !reader.is_empty() {
            points.extend(decode_rows(&mut reader)?.into_iter().map(|row| (row.period, row.value)));
        }
        points.sort_by_key(|(period, _)| *period);
        Ok(points)
    }
}
