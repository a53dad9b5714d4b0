//! How fast, how large, how much memory: a whole statistical database as one commit, straight through the writer.
//!
//! `cargo bench --bench storage` makes up yearly series; `cargo bench --bench storage -- DIR` takes the wide files of the
//! World Bank in a folder (Country Name, Country Code, Indicator Name, Indicator Code, 1960, …). `README.md` has figures.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
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

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Made-up data: so many indicators of so many entities over so many years.
const MADE_UP: (usize, usize, i16) = (400, 200, 50);
const SOURCE: &str = "worldbank";

fn main() -> Outcome<()> {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let data = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    println!("memory before: {} MiB", resident("VmRSS")?);
    {
        let engine = Arc::new(Engine::open(data.path())?);
        let ledger = Arc::new(Ledger::open(engine.clone())?);
        let view = Arc::new(View::open(engine.clone())?);
        catch_up(ledger.as_ref(), &view)?;
        let writer = Writer::start(ledger, view, Setup::default(), |_| {})?;
        let write = |act| runtime.block_on(writer.write(WriteOptions::default(), act));

        let mut upload = Upload::new(Date::parse("2013-12-21")?, Mode::Merge, BTreeSet::new(), data.path());
        let mut names = (BTreeSet::new(), BTreeSet::new());
        let (mut gathering, mut reading, mut values, mut series) = (Duration::ZERO, Instant::now(), 0u64, 0u64);
        let mut read = Duration::ZERO;
        each_series(folder.as_deref(), |key, points| {
            read += reading.elapsed();
            names.0.insert(key.indicator.clone());
            names.1.insert(key.entity.clone());
            (values, series) = (values + points.len() as u64, series + 1);
            let started = Instant::now();
            upload.add(key, points)?;
            gathering += started.elapsed();
            reading = Instant::now();
            Ok(())
        })?;
        println!("{values} values in {series} series; read in {:.2} s", read.as_secs_f64());
        println!("gathered in {:.2} s; memory {} MiB", gathering.as_secs_f64(), resident("VmRSS")?);
        write(WriteRequest::Define(definitions(&names.0, &names.1)))?;
        let started = Instant::now();
        let written: WriteAnswer = write(WriteRequest::Ingest { upload, definitions: Vec::new() })?;
        let took = started.elapsed();
        assert_eq!(written.counts.added, values);
        let all = took + gathering;
        println!(
            "committed in {:.2} s: {:.2} M values/s",
            took.as_secs_f64(),
            values as f64 / took.as_secs_f64() / 1e6
        );
        println!("gathered and committed: {:.2} M values/s", values as f64 / all.as_secs_f64() / 1e6);
        println!("memory {} MiB, at most {} MiB", resident("VmRSS")?, resident("VmHWM")?);
        print_sizes(&engine)?;
        writer.stop();
    }
    println!("folder {:.1} MB", folder_bytes(data.path())? as f64 / 1e6);
    for round in ["first", "second"] {
        let started = Instant::now();
        let almanac = server::open(&Config::new(data.path()))?;
        println!("{round} reopening: {:.3} s", started.elapsed().as_secs_f64());
        drop(almanac);
    }
    println!("folder after reopening {:.1} MB", folder_bytes(data.path())? as f64 / 1e6);
    println!("memory at most {} MiB", resident("VmHWM")?);
    Ok(())
}

fn each_series(folder: Option<&Path>, mut take: impl FnMut(SeriesKey, Vec<Point>) -> Outcome<()>) -> Outcome<()> {
    let key = |indicator: &str, entity: &str| -> Outcome<SeriesKey> {
        Ok(SeriesKey {
            indicator: IndicatorId::new(indicator)?,
            entity: EntityId::new(entity)?,
            source: SourceId::new(SOURCE)?,
            dimensions: Dimensions::default(),
        })
    };
    let Some(folder) = folder else {
        let (indicators, entities, years) = MADE_UP;
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for indicator in 0..indicators {
            for entity in 0..entities {
                let mut mantissa = 1_000_000;
                let points = (0..years).map(|year| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    mantissa += (state % 20_001) as i64 - 9_000;
                    let number = Number::Decimal { mantissa, decimals: 4 };
                    Ok((Period::year(1970 + year).ok_or("a year")?, Some(Value::number(number))))
                });
                take(key(&format!("IND.{indicator:04}"), &format!("E{entity:03}"))?, points.collect::<Outcome<_>>()?)?;
            }
        }
        return Ok(());
    };
    for file in csv_files(folder)? {
        let mut reader = csv::Reader::from_path(&file)?;
        let years: BTreeMap<usize, Period> = reader
            .headers()?
            .iter()
            .enumerate()
            .skip(4)
            .filter_map(|(at, title)| Some((at, Period::parse(title).ok()?)))
            .collect();
        let mut row = csv::StringRecord::new();
        while reader.read_record(&mut row)? {
            let mut points = Vec::new();
            for (at, period) in &years {
                let Some(text) = row.get(*at).filter(|text| !text.is_empty()) else { continue };
                points.push((*period, Some(Value::number(Number::parse(text)?))));
            }
            if !points.is_empty() {
                take(key(row.get(3).ok_or("no indicator")?, row.get(1).ok_or("no entity")?)?, points)?;
            }
        }
    }
    Ok(())
}

/// Every wide file below a folder; others (lists of names) are passed over.
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

/// Bytes of keys and values by key space, before sled's own overhead.
fn print_sizes(engine: &Engine) -> Outcome<()> {
    let mut spaces: BTreeMap<char, (u64, u64)> = BTreeMap::new();
    for item in engine.scan(&[], None) {
        let (key, value) = item?;
        let space = spaces.entry(char::from(key[0])).or_default();
        *space = (space.0 + 1, space.1 + (key.len() + value.len()) as u64);
    }
    for (space, (keys, bytes)) in spaces {
        println!("  key space {space}: {keys} keys, {:.1} MB", bytes as f64 / 1e6);
    }
    Ok(())
}

fn folder_bytes(folder: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        bytes += if item.file_type()?.is_dir() { folder_bytes(&item.path())? } else { item.metadata()?.len() };
    }
    Ok(bytes)
}

/// A figure of `/proc/self/status`, in MiB; 0 where there is none.
fn resident(what: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|number| number.parse::<u64>().ok());
    Ok(kib.unwrap_or(0) / 1024)
}
