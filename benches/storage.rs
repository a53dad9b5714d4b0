//! Time, size and memory of one commit that holds a whole statistical database. It goes directly to the writer.
//!
//! `cargo bench --bench storage` makes up yearly series, a few of them with `-- --quick`. `cargo bench --bench storage -- DIR`
//! reads the wide files of the World Bank in a folder (columns Country Name, Country Code, Indicator Name, Indicator Code,
//! 1960, …). `compare.sh` reads the line `committed in`. `README.md` has results.

#[allow(dead_code, reason = "each bench uses a part")]
mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use almanac::{
    ledger::{
        Ledger, WriteAnswer, WriteOptions, Writer,
        apply::catch_up,
        plan::WriteRequest,
        upload::{Mode, Point, Upload},
        writer::Setup,
    },
    model::{
        catalog::{Definition, Direction, Entity, EntityKind, Frequency, Indicator, Redistribution, Source, Timing},
        id::{EntityId, IndicatorId, SourceId},
        period::Period,
        series::{Dimensions, SeriesKey},
        time::Date,
        value::{Number, Value},
    },
    server::{self, Config},
    store::{Engine, view::View},
};
use common::{Outcome, folder_bytes, options::Options, process::ProcessStats, random::Random};

/// The size of made-up data.
const INDICATORS: usize = 400;
const INDICATORS_QUICK: usize = 20;
const ENTITIES: usize = 200;
const YEARS: i16 = 50;
const SOURCE: &str = "worldbank";

fn main() -> Outcome<()> {
    let options = Options::read();
    let folder = options.word().map(PathBuf::from);
    let indicators = if options.quick() { INDICATORS_QUICK } else { INDICATORS };
    let data = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    println!("memory before: {} MiB", ProcessStats::own().resident()? / 1024);
    load(folder.as_deref(), indicators, data.path(), &runtime)?;
    println!("folder {:.1} MB", folder_bytes(data.path())? as f64 / 1e6);
    for round in ["first", "second"] {
        let started = Instant::now();
        let almanac = server::open(&Config::new(data.path()))?;
        println!("{round} reopening: {:.3} s", started.elapsed().as_secs_f64());
        drop(almanac);
    }
    println!("folder after reopening {:.1} MB", folder_bytes(data.path())? as f64 / 1e6);
    println!("memory at most {} MiB", ProcessStats::own().peak()? / 1024);
    Ok(())
}

/// Loads the series of a folder, or those of so many made-up indicators, in one commit, and prints what it took.
fn load(folder: Option<&Path>, made_up: usize, data: &Path, runtime: &tokio::runtime::Runtime) -> Outcome<()> {
    let engine = Arc::new(Engine::open(data)?);
    let ledger = Arc::new(Ledger::open(engine.clone())?);
    let view = Arc::new(View::open(engine.clone())?);
    catch_up(&ledger, &view)?;
    let writer = Writer::start(ledger, view, Setup::default(), |_| {})?;

    let mut loading = Loading::new(Upload::new(Date::parse("2013-12-21")?, Mode::Merge, BTreeSet::new(), data));
    match folder {
        Some(folder) => read_series(folder, &mut loading)?,
        None => make_up_series(made_up, &mut loading)?,
    }
    let Loading { upload, indicators, entities, values, series, reading, gathering, .. } = loading;
    let stats = ProcessStats::own();
    println!("{values} values in {series} series; read in {:.2} s", reading.as_secs_f64());
    println!("gathered in {:.2} s; memory {} MiB", gathering.as_secs_f64(), stats.resident()? / 1024);

    let define = WriteRequest::Define(definitions(&indicators, &entities));
    runtime.block_on(writer.write(WriteOptions::default(), define))?;
    let started = Instant::now();
    let ingest = WriteRequest::Ingest { upload, definitions: Vec::new() };
    let answer: WriteAnswer = runtime.block_on(writer.write(WriteOptions::default(), ingest))?;
    let committing = started.elapsed();
    assert_eq!(answer.counts.added, values);
    let rate = values as f64 / committing.as_secs_f64() / 1e6;
    println!("committed in {:.2} s: {rate:.2} M values/s", committing.as_secs_f64());
    let rate = values as f64 / (gathering + committing).as_secs_f64() / 1e6;
    println!("gathered and committed: {rate:.2} M values/s");
    println!("memory {} MiB, at most {} MiB", stats.resident()? / 1024, stats.peak()? / 1024);
    print_sizes(&engine)?;
    writer.stop();
    Ok(())
}

/// An upload that grows, and the time that this takes.
struct Loading {
    upload: Upload,
    indicators: BTreeSet<IndicatorId>,
    entities: BTreeSet<EntityId>,
    values: u64,
    series: u64,
    /// Time spent on making or reading series.
    reading: Duration,
    /// Time spent on adding them to the upload.
    gathering: Duration,
    /// Since when the next series is read.
    reading_since: Instant,
}

impl Loading {
    fn new(upload: Upload) -> Self {
        Self {
            upload,
            indicators: BTreeSet::new(),
            entities: BTreeSet::new(),
            values: 0,
            series: 0,
            reading: Duration::ZERO,
            gathering: Duration::ZERO,
            reading_since: Instant::now(),
        }
    }

    fn add(&mut self, indicator: &str, entity: &str, points: Vec<Point>) -> Outcome<()> {
        self.reading += self.reading_since.elapsed();
        let key = SeriesKey {
            indicator: IndicatorId::new(indicator)?,
            entity: EntityId::new(entity)?,
            source: SourceId::new(SOURCE)?,
            dimensions: Dimensions::default(),
        };
        self.indicators.insert(key.indicator.clone());
        self.entities.insert(key.entity.clone());
        self.values += points.len() as u64;
        self.series += 1;
        let started = Instant::now();
        self.upload.add(key, &points)?;
        self.gathering += started.elapsed();
        self.reading_since = Instant::now();
        Ok(())
    }
}

fn make_up_series(indicators: usize, loading: &mut Loading) -> Outcome<()> {
    let mut random = Random::new(0);
    for indicator in 0..indicators {
        for entity in 0..ENTITIES {
            let mut mantissa = 1_000_000;
            let mut points = Vec::new();
            for year in 0..YEARS {
                mantissa += random.below(20_001) as i64 - 9_000;
                let number = Number::Decimal { mantissa, decimals: 4 };
                points.push((Period::year(1970 + year).ok_or("a year")?, Some(Value::number(number))));
            }
            loading.add(&format!("IND.{indicator:04}"), &format!("E{entity:03}"), points)?;
        }
    }
    Ok(())
}

fn read_series(folder: &Path, loading: &mut Loading) -> Outcome<()> {
    for file in csv_files(folder)? {
        let mut reader = csv::Reader::from_path(&file)?;
        let mut years: BTreeMap<usize, Period> = BTreeMap::new();
        for (column, title) in reader.headers()?.iter().enumerate().skip(4) {
            if let Ok(period) = Period::parse(title) {
                years.insert(column, period);
            }
        }
        let mut row = csv::StringRecord::new();
        while reader.read_record(&mut row)? {
            let mut points = Vec::new();
            for (column, period) in &years {
                let Some(text) = row.get(*column).filter(|text| !text.is_empty()) else { continue };
                points.push((*period, Some(Value::number(Number::parse(text)?))));
            }
            if !points.is_empty() {
                loading.add(row.get(3).ok_or("no indicator")?, row.get(1).ok_or("no entity")?, points)?;
            }
        }
    }
    Ok(())
}

/// Every CSV file below a folder that has more than four columns. The others are lists of names.
fn csv_files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder)? {
        let path = item?.path();
        if path.is_dir() {
            found.extend(csv_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "csv")
            && csv::Reader::from_path(&path)?.headers()?.len() > 4
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn definitions(indicators: &BTreeSet<IndicatorId>, entities: &BTreeSet<EntityId>) -> Vec<Definition> {
    let source = SourceId::new(SOURCE).into_iter().map(|id| {
        Definition::Source(Source {
            id,
            producer: "World Bank".into(),
            title: String::new(),
            published: None,
            url: String::new(),
            licence: String::new(),
            redistribution: Redistribution::Allowed,
            precedence: 0,
        })
    });
    let indicators = indicators.iter().cloned().map(|id| {
        Definition::Indicator(Indicator {
            name: id.to_string(),
            id,
            unit: String::new(),
            direction: Direction::NotStated,
            default_decimals: 0,
            definition: String::new(),
            frequency: Frequency::Annual,
            licence: String::new(),
            timing: Timing::Flow,
        })
    });
    let entities = entities.iter().cloned().map(|id| {
        Definition::Entity(Entity {
            name: id.to_string(),
            id,
            kind: EntityKind::Economy,
            codes: Vec::new(),
            names: Vec::new(),
            relations: Vec::new(),
        })
    });
    source.chain(indicators).chain(entities).collect()
}

/// Prints the number of keys of each key space, and the bytes of keys and values, without sled's overhead.
fn print_sizes(engine: &Engine) -> Outcome<()> {
    let mut spaces: BTreeMap<char, (u64, u64)> = BTreeMap::new();
    for item in engine.scan(&[], None) {
        let (key, value) = item?;
        let (keys, bytes) = spaces.entry(char::from(key[0])).or_default();
        *keys += 1;
        *bytes += (key.len() + value.len()) as u64;
    }
    for (space, (keys, bytes)) in spaces {
        println!("  key space {space}: {keys} keys, {:.1} MB", bytes as f64 / 1e6);
    }
    Ok(())
}
