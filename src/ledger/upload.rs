//! Figures on their way in: checked one by one, gathered by series, packed.
//!
//! A commit is planned series by series whatever order its figures came in, so they are gathered first. EncodedRows as in the
//! blocks they take about five bytes each; what is more than [`GATHERED_BYTES_MAX`] goes to a file that has no name, so
//! that a crash leaves nothing of it.
//!
//! Invariant: memory is bounded by [`GATHERED_BYTES_MAX`] and [`SERIES_MAX`], whatever the number of figures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use crate::{
    model::{
        id::{IndicatorId, Revision, SourceId},
        period::Period,
        series::{FigureVersion, SeriesKey},
        time::Date,
        value::Value,
    },
    store::{
        bytes::Reader,
        engine::Result,
        lock::{lock, unpoisoned},
        versions::{decode_versions, encode_versions},
    },
};

/// Most bytes of packed figures of one upload in memory.
pub const GATHERED_BYTES_MAX: usize = 64 << 20;
/// Most series of one upload: what is kept of each in memory is a few hundred bytes.
pub const SERIES_MAX: usize = 1_000_000;

/// What an upload says about what it does not contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Merge,
    /// What is not in it is withdrawn as of its release.
    Replace,
}

/// Why figures were not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The upload is too large to be one commit.
    #[error("one commit may hold {SERIES_MAX} series; upload fewer at a time")]
    TooManySeries,
    /// They could not be put aside.
    #[error("what was sent could not be put aside: {0}")]
    Io(#[from] io::Error),
}

/// Figures of one release, gathered by series.
#[derive(Debug)]
pub struct Upload {
    released: Date,
    mode: Mode,
    series: BTreeMap<SeriesKey, EncodedRows>,
    replaced: BTreeSet<(IndicatorId, SourceId)>,
    batches: usize,
    gathered: usize,
    gathered_max: usize,
    folder: PathBuf,
    aside: Option<Mutex<File>>,
    rewritten: Option<RewrittenPeriods>,
}

/// Periods that were given in another form than they are answered in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewrittenPeriods {
    /// How many.
    pub count: u64,
    /// The first, as given.
    pub given: String,
    /// The first, as answered.
    pub answered: Period,
}

#[derive(Debug, Default)]
struct EncodedRows {
    /// Parts put aside: offset and length, in the order they came.
    aside: Vec<(u64, usize)>,
    parts: Vec<u8>,
    count: usize,
    /// Number of the batch that named it first.
    batch: usize,
}

/// One figure of an upload: `None` says that the producer publishes none.
pub type Point = (Period, Option<Value>);

impl Upload {
    /// An empty upload; what does not fit into memory goes into a folder.
    pub fn new(released: Date, mode: Mode, replaced: BTreeSet<(IndicatorId, SourceId)>, folder: &Path) -> Self {
        Self {
            released,
            mode,
            series: BTreeMap::new(),
            replaced,
            batches: 0,
            gathered: 0,
            gathered_max: GATHERED_BYTES_MAX,
            folder: folder.to_owned(),
            aside: None,
            rewritten: None,
        }
    }

    /// Notes the text that a period was given in.
    pub fn note_period(&mut self, given: &str, period: Period) {
        if let Some(rewritten) = &mut self.rewritten {
            rewritten.count += u64::from(given != period.to_string());
        } else if given != period.to_string() {
            self.rewritten = Some(RewrittenPeriods { count: 1, given: given.to_owned(), answered: period });
        }
    }

    /// The periods that were given in another form than they are answered in.
    pub fn rewritten(&self) -> Option<&RewrittenPeriods> {
        self.rewritten.as_ref()
    }

    /// Adds figures of a series; it may come again. May wait for the disk.
    pub fn add(&mut self, key: SeriesKey, points: Vec<Point>) -> std::result::Result<(), UploadError> {
        if self.mode == Mode::Replace {
            self.replaced.insert((key.indicator.clone(), key.source.clone()));
        }
        let rows: Vec<FigureVersion> = points
            .into_iter()
            .map(|(period, value)| FigureVersion {
                period,
                revision: Revision::ZERO,
                released: self.released,
                statement: value.into(),
            })
            .collect();
        let batch = self.batches;
        self.batches += 1;
        let packed = self.series.entry(key).or_insert_with(|| EncodedRows { batch, ..EncodedRows::default() });
        let before = packed.parts.len();
        encode_versions(&mut packed.parts, &rows);
        packed.count += rows.len();
        self.gathered += packed.parts.len() - before;
        if self.series.len() > SERIES_MAX {
            return Err(UploadError::TooManySeries);
        }
        if self.gathered > self.gathered_max { Ok(self.put_aside()?) } else { Ok(()) }
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

    /// Whether it has figures of a series.
    pub fn has(&self, key: &SeriesKey) -> bool {
        self.series.contains_key(key)
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
        let mut points = Vec::with_capacity(packed.count);
        if let Some(aside) = &self.aside {
            let mut file = lock(aside);
            for (offset, length) in &packed.aside {
                let mut parts = vec![0; *length];
                file.seek(SeekFrom::Start(*offset))?;
                file.read_exact(&mut parts)?;
                unpack(&parts, &mut points)?;
            }
        }
        unpack(&packed.parts, &mut points)?;
        points.sort_by_key(|(period, _)| *period);
        Ok(points)
    }

    /// Moves all packed figures to the file.
    fn put_aside(&mut self) -> io::Result<()> {
        let aside = match &mut self.aside {
            Some(aside) => aside,
            none => none.insert(Mutex::new(nameless_file(&self.folder)?)),
        };
        let file = unpoisoned(aside.get_mut());
        let mut offset = file.seek(SeekFrom::End(0))?;
        let mut out = BufWriter::new(file);
        for packed in self.series.values_mut().filter(|packed| !packed.parts.is_empty()) {
            let parts = std::mem::take(&mut packed.parts);
            out.write_all(&parts)?;
            packed.aside.push((offset, parts.len()));
            offset += parts.len() as u64;
        }
        self.gathered = 0;
        out.flush()
    }
}

fn unpack(parts: &[u8], points: &mut Vec<Point>) -> Result<()> {
    let mut reader = Reader::new(parts);
    while !reader.is_empty() {
        points.extend(decode_versions(&mut reader)?.into_iter().map(|row| (row.period, row.value().cloned())));
    }
    Ok(())
}

/// A file without a name: it is gone with its handle.
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
        fn what_is_put_aside_comes_back_as_if_it_had_stayed(
            batches in proptest::collection::vec(("[A-C]", proptest::collection::vec((any_period(), proptest::option::of(any_value())), 0..6)), 0..30)
        ) {
            let folder = tempfile::tempdir().unwrap();
            let released = Date::parse("2024-01-01").unwrap();
            let mut small = Upload::new(released, Mode::Merge, BTreeSet::new(), folder.path());
            small.gathered_max = 60;
            let mut large = Upload::new(released, Mode::Merge, BTreeSet::new(), folder.path());
            for (entity, points) in batches {
                let key = SeriesKey {
                    indicator: IndicatorId::new("I").unwrap(),
                    entity: EntityId::new(&entity).unwrap(),
                    source: SourceId::new("s").unwrap(),
                    dimensions: Dimensions::default(),
                };
                small.add(key.clone(), points.clone()).unwrap();
                large.add(key, points).unwrap();
            }
            for key in large.keys() {
                prop_assert_eq!(small.points(key).unwrap(), large.points(key).unwrap());
            }
            prop_assert_eq!(small.keys().count(), large.keys().count());
            prop_assert!(large.aside.is_none() && small.gathered <= 60);
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing with a name is left");
        }
    }
}
