//! The figures of one upload, collected by series before the commit is planned.
//!
//! The planner goes series by series, and figures come in any order. A figure is encoded here as it will be on disk, in about
//! five bytes: the figures of a new series go from here into ledger and view as they are. More than [`MEMORY_BYTES_MAX`] of
//! them go to a file without a name, so that a crash leaves nothing of it.
//!
//! Invariant: memory is bounded by [`MEMORY_BYTES_MAX`] and [`SERIES_MAX`], whatever the number of figures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{
    model::{
        id::{IndicatorId, SourceId},
        period::Period,
        series::SeriesKey,
        time::Date,
        value::Value,
    },
    store::{bytes::Reader, error::Result, versions::OpenVersions},
};

/// Most bytes of encoded figures of one upload in memory.
pub const MEMORY_BYTES_MAX: usize = 64 << 20;
/// Most series of one upload. Each takes a few hundred bytes of memory.
pub const SERIES_MAX: usize = 1_000_000;

/// What an upload means for figures that it does not contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They stay as they are.
    Merge,
    /// They are withdrawn as of the release date of the upload: it is a whole release of its indicators.
    Replace,
}

/// Why an upload does not take figures.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The upload is too large to be one commit.
    #[error("one commit may hold {SERIES_MAX} series; upload fewer at a time")]
    TooManySeries,
    /// The file for figures that do not fit into memory cannot be made or written.
    #[error("the temporary file of the upload cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// Figures of one release, by series.
#[derive(Debug)]
pub struct Upload {
    released: Date,
    mode: Mode,
    series: BTreeMap<SeriesKey, EncodedRows>,
    replaced: BTreeSet<(IndicatorId, SourceId)>,
    /// Calls of [`Upload::add`] so far.
    batches: usize,
    /// Bytes of encoded figures in memory.
    in_memory: usize,
    in_memory_max: usize,
    folder: PathBuf,
    /// The file of figures that do not fit into memory, once there are some.
    overflow: Option<File>,
    rewritten: Option<RewrittenPeriods>,
}

/// Periods whose text in the upload is not the text of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewrittenPeriods {
    pub count: u64,
    /// The first one, as in the upload.
    pub uploaded: String,
    /// The first one, as in answers.
    pub answered: Period,
}

/// The figures of one series, encoded: each batch as [`OpenVersions`].
#[derive(Debug, Default)]
struct EncodedRows {
    /// Parts in the overflow file, in the order they came.
    in_file: Vec<FilePart>,
    in_memory: Vec<u8>,
    count: usize,
    /// Number of the batch that brought the first of them.
    batch: usize,
    /// All came in one batch, each with a value, each of a later period than the one before.
    is_plain: bool,
}

#[derive(Debug, Clone, Copy)]
struct FilePart {
    offset: u64,
    bytes: usize,
}

/// One figure of an upload. `None`: the producer publishes none.
pub type Point = (Period, Option<Value>);

impl Upload {
    /// An empty upload. Figures that do not fit into memory go to a file in `folder`.
    pub fn new(released: Date, mode: Mode, replaced: BTreeSet<(IndicatorId, SourceId)>, folder: &Path) -> Self {
        Self {
            released,
            mode,
            series: BTreeMap::new(),
            replaced,
            batches: 0,
            in_memory: 0,
            in_memory_max: MEMORY_BYTES_MAX,
            folder: folder.to_owned(),
            overflow: None,
            rewritten: None,
        }
    }

    /// Notes the text of a period in the upload.
    pub fn note_period(&mut self, uploaded: &str, period: Period) {
        if let Some(rewritten) = &mut self.rewritten {
            rewritten.count += u64::from(uploaded != period.to_string());
        } else if uploaded != period.to_string() {
            self.rewritten = Some(RewrittenPeriods { count: 1, uploaded: uploaded.to_owned(), answered: period });
        }
    }

    /// The periods whose text in the upload is not the text of answers.
    pub fn rewritten(&self) -> Option<&RewrittenPeriods> {
        self.rewritten.as_ref()
    }

    /// Adds figures of a series. A series may come several times. May wait for the disk.
    pub fn add(&mut self, key: SeriesKey, points: &[Point]) -> std::result::Result<(), UploadError> {
        if self.mode == Mode::Replace {
            self.replaced.insert((key.indicator.clone(), key.source.clone()));
        }
        let batch = self.batches;
        self.batches += 1;
        let encoded = self.series.entry(key).or_insert_with(|| EncodedRows { batch, ..EncodedRows::default() });
        encoded.is_plain = encoded.batch == batch && is_plain(points);
        encoded.count += points.len();
        let before = encoded.in_memory.len();
        OpenVersions::encode(&mut encoded.in_memory, points);
        self.in_memory += encoded.in_memory.len() - before;
        if self.series.len() > SERIES_MAX {
            return Err(UploadError::TooManySeries);
        }
        if self.in_memory > self.in_memory_max {
            self.write_overflow()?;
        }
        Ok(())
    }

    /// When the producer published the figures.
    pub fn released(&self) -> Date {
        self.released
    }

    /// What the upload means for figures that it does not contain.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The pairs of indicator and source of which this is a whole release.
    pub fn replaced(&self) -> &BTreeSet<(IndicatorId, SourceId)> {
        &self.replaced
    }

    /// The series, in order of keys.
    pub fn keys(&self) -> impl Iterator<Item = &SeriesKey> {
        self.series.keys()
    }

    /// Whether there are figures of a series.
    pub fn has(&self, key: &SeriesKey) -> bool {
        self.series.contains_key(key)
    }

    /// The series, each with the number of the batch that brought it first.
    pub fn batches(&self) -> impl Iterator<Item = (usize, &SeriesKey)> {
        self.series.iter().map(|(key, encoded)| (encoded.batch, key))
    }

    /// Whether the upload has no figure and replaces nothing.
    pub fn is_empty(&self) -> bool {
        self.replaced.is_empty() && self.series.values().all(|encoded| encoded.count == 0)
    }

    /// Whether there are at most so many figures.
    pub fn has_at_most(&self, figures: usize) -> bool {
        self.series.values().map(|encoded| encoded.count).sum::<usize>() <= figures
    }

    /// The series with their figures, in order of keys.
    pub fn into_series(self) -> UploadedSeries {
        UploadedSeries { series: self.series.into_iter(), overflow: self.overflow }
    }

    /// Moves all encoded figures from memory to the file.
    fn write_overflow(&mut self) -> io::Result<()> {
        let overflow = match &mut self.overflow {
            Some(overflow) => overflow,
            none => none.insert(nameless_file(&self.folder)?),
        };
        let mut offset = overflow.seek(SeekFrom::End(0))?;
        let mut out = BufWriter::new(overflow);
        for encoded in self.series.values_mut().filter(|encoded| !encoded.in_memory.is_empty()) {
            let bytes = std::mem::take(&mut encoded.in_memory);
            out.write_all(&bytes)?;
            encoded.in_file.push(FilePart { offset, bytes: bytes.len() });
            offset += bytes.len() as u64;
        }
        self.in_memory = 0;
        out.flush()
    }
}

fn is_plain(points: &[Point]) -> bool {
    points.iter().all(|(_, value)| value.is_some()) && points.windows(2).all(|pair| pair[0].0 < pair[1].0)
}

/// The series of an upload, in order of keys.
#[derive(Debug)]
pub struct UploadedSeries {
    series: std::collections::btree_map::IntoIter<SeriesKey, EncodedRows>,
    overflow: Option<File>,
}

impl Iterator for UploadedSeries {
    type Item = Result<(SeriesKey, UploadedRows)>;

    /// The next series. May wait for the disk.
    fn next(&mut self) -> Option<Self::Item> {
        let (key, encoded) = self.series.next()?;
        Some(self.rows(encoded).map(|rows| (key, rows)))
    }
}

impl UploadedSeries {
    fn rows(&mut self, encoded: EncodedRows) -> Result<UploadedRows> {
        let EncodedRows { in_file, in_memory, count, is_plain, .. } = encoded;
        let Some(file) = self.overflow.as_mut().filter(|_| !in_file.is_empty()) else {
            return Ok(UploadedRows { bytes: in_memory, count, is_plain });
        };
        let mut bytes = Vec::with_capacity(in_file.iter().map(|part| part.bytes).sum::<usize>() + in_memory.len());
        for part in in_file {
            let start = bytes.len();
            bytes.resize(start + part.bytes, 0);
            file.seek(SeekFrom::Start(part.offset))?;
            file.read_exact(&mut bytes[start..])?;
        }
        bytes.extend_from_slice(&in_memory);
        Ok(UploadedRows { bytes, count, is_plain })
    }
}

/// The figures of one series.
#[derive(Debug)]
pub struct UploadedRows {
    /// [`OpenVersions`], one for each batch.
    bytes: Vec<u8>,
    /// How many figures there are.
    pub count: usize,
    is_plain: bool,
}

impl UploadedRows {
    /// The figures as they are encoded, if each has a value and there is one a period: for a new series they need no plan.
    pub fn plain(&self) -> Result<Option<OpenVersions<'_>>> {
        self.is_plain.then(|| OpenVersions::read(&mut Reader::new(&self.bytes))).transpose()
    }

    /// The figures, in order of periods; figures of one period in the order they came.
    pub fn points(&self) -> Result<Vec<Point>> {
        let mut points = Vec::with_capacity(self.count);
        let mut reader = Reader::new(&self.bytes);
        while !reader.is_empty() {
            points.extend(OpenVersions::read(&mut reader)?.points()?);
        }
        points.sort_by_key(|(period, _)| *period);
        Ok(points)
    }
}

/// A file without a name. The system removes it when its handle is closed, also in a crash.
fn nameless_file(folder: &Path) -> io::Result<File> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let path = folder.join(format!("upload-{:016x}", u64::from_be_bytes(random)));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::{id::EntityId, series::Dimensions},
        store::versions::tests::{any_period, any_value},
    };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]
        #[test]
        fn figures_from_the_file_are_those_that_stay_in_memory(
            batches in proptest::collection::vec(("[A-C]", proptest::collection::vec((any_period(), proptest::option::of(any_value())), 0..6)), 0..30)
        ) {
            let folder = tempfile::tempdir().unwrap();
            let released = Date::parse("2024-01-01").unwrap();
            let mut small = Upload::new(released, Mode::Merge, BTreeSet::new(), folder.path());
            small.in_memory_max = 60;
            let mut large = Upload::new(released, Mode::Merge, BTreeSet::new(), folder.path());
            let mut expected: BTreeMap<SeriesKey, Vec<Vec<Point>>> = BTreeMap::new();
            for (entity, points) in batches {
                let key = SeriesKey {
                    indicator: IndicatorId::new("I").unwrap(),
                    entity: EntityId::new(&entity).unwrap(),
                    source: SourceId::new("s").unwrap(),
                    dimensions: Dimensions::default(),
                };
                small.add(key.clone(), &points).unwrap();
                large.add(key.clone(), &points).unwrap();
                expected.entry(key).or_default().push(points);
            }
            prop_assert!(large.overflow.is_none() && small.in_memory <= 60);
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing with a name is left");
            for upload in [small, large] {
                let mut expected = expected.clone().into_iter();
                for item in upload.into_series() {
                    let (key, rows) = item.unwrap();
                    let (expected_key, batches) = expected.next().unwrap();
                    prop_assert_eq!(key, expected_key);
                    prop_assert_eq!(rows.count, batches.iter().map(Vec::len).sum::<usize>());
                    let is_plain = batches.len() == 1 && super::is_plain(&batches[0]);
                    prop_assert_eq!(rows.plain().unwrap().is_some(), is_plain);
                    let mut points = batches.concat();
                    points.sort_by_key(|(period, _)| *period);
                    prop_assert_eq!(rows.points().unwrap(), points);
                }
                prop_assert!(expected.next().is_none());
            }
        }
    }
}
