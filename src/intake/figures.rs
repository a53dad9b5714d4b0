//! A file of figures → series.
//!
//! Invariant: a period stands in a series once. A line that comes twice is noticed; two lines that say different things
//! about one figure are an error that names both.

mod keys;
mod noted;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem,
};

use super::{
    encoding::decode,
    names::{Directory, NewEntity, NewIndicator, NoMatch},
    number::Style,
    profile::{Empty, FigureShape, FileName, Layout, Profile},
    table::{Row, Table, find},
};
use crate::model::{
    finding::{Finding, Findings},
    id::{EntityId, IndicatorId, SourceId},
    period::Period,
    series::SeriesKey,
    value::{Figure, Value},
};

/// What a file is read with.
#[derive(Debug, Clone)]
pub struct FigureReader<'a> {
    /// How it maps to facts.
    pub profile: &'a Profile,
    /// Where figures are in it.
    pub shape: &'a FigureShape,
    /// What is known.
    pub directory: &'a Directory,
    /// Source of figures that do not name one.
    pub source: Option<&'a SourceId>,
    /// Names that nothing is known by are to be defined.
    pub define_missing: bool,
}

/// A file as it was read.
#[derive(Debug, Default)]
pub struct FigureFile {
    /// Series in the order of their first line; each with points in period order.
    pub series: Vec<Series>,
    /// Indicators that the file names, whether it has a figure of them or not.
    pub indicators: Vec<IndicatorId>,
    /// Names that have to be defined first.
    pub new_entities: Vec<NewEntity>,
    /// Indicators that have to be defined first.
    pub new_indicators: Vec<NewIndicator>,
    /// The release date that the file states, as it states it.
    pub released: Option<String>,
    /// What was noticed.
    pub findings: Vec<Finding>,
    /// How many errors; with one there is nothing to write.
    pub errors: usize,
    /// It is not a file of this profile at all.
    pub foreign: bool,
}

impl FigureFile {
    /// How many figures there are.
    pub fn points(&self) -> usize {
        self.series.iter().map(|series| series.points.len()).sum()
    }
}

/// Figures of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Which.
    pub key: SeriesKey,
    /// In period order, each period once.
    pub points: Vec<Point>,
}

/// A figure and the line it stands on.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Point {
    pub period: Period,
    pub value: Value,
    pub line: u32,
}

impl FigureReader<'_> {
    /// Reads a file. `name` is what it is called in findings, and may name its indicator.
    pub fn read(&self, name: &str, bytes: &[u8]) -> FigureFile {
        let mut gather = Gather::new(self, name);
        gather.read(bytes);
        gather.finish()
    }

    /// The columns without which a file is not of this profile.
    fn needed(&self) -> Vec<&str> {
        let shape = self.shape;
        let long = [&shape.period, &shape.value].into_iter().filter(|_| shape.layout == Layout::Long);
        let optional = [&shape.indicator].into_iter().chain(long).filter_map(Option::as_deref);
        [shape.entity.as_str()].into_iter().chain(optional).collect()
    }
}

/// Where the columns are.
#[derive(Debug, Default)]
struct Columns {
    heads: Vec<String>,
    indicator: Option<usize>,
    indicator_name: Option<usize>,
    entity: usize,
    entity_name: Option<usize>,
    source: Option<usize>,
    period: Option<usize>,
    value: usize,
    upper: Option<usize>,
    multiplier: Option<usize>,
    qualifier: Option<usize>,
    status: Option<usize>,
    missing: Option<usize>,
    comment: Option<usize>,
    dimensions: Vec<(String, usize)>,
    /// Of the wide layout.
    periods: Vec<(usize, Period)>,
    /// Figures carry nothing but a number.
    plain: bool,
}

struct Gather<'a> {
    reader: &'a FigureReader<'a>,
    file: &'a str,
    findings: Findings,
    series: Vec<Series>,
    /// Cells that name a series → the series, or nothing if they name none.
    by_cells: HashMap<Vec<u8>, Option<usize>>,
    by_key: HashMap<SeriesKey, usize>,
    periods: HashMap<Vec<u8>, Period>,
    entities: HashMap<String, Option<EntityId>>,
    indicators: BTreeMap<String, Option<IndicatorId>>,
    new_entities: BTreeMap<EntityId, NewEntity>,
    new_indicators: BTreeMap<IndicatorId, NewIndicator>,
    released: Option<String>,
    foreign: bool,
}

impl<'a> Gather<'a> {
    fn new(reader: &'a FigureReader<'a>, file: &'a str) -> Self {
        Self {
            reader,
            file,
            findings: Findings::default(),
            series: Vec::new(),
            by_cells: HashMap::new(),
            by_key: HashMap::new(),
            periods: HashMap::new(),
            entities: HashMap::new(),
            indicators: BTreeMap::new(),
            new_entities: BTreeMap::new(),
            new_indicators: BTreeMap::new(),
            released: None,
            foreign: false,
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let decoded = decode(bytes);
        if let Some(encoding) = decoded.foreign {
            let message = format!("not UTF-8; read as {encoding}");
            self.findings.warning("NOT_UTF8", self.file, message);
        }
        let reading = &self.reader.profile.read;
        let needed = self.reader.needed();
        let described = format!("the columns {}", needed.join(", "));
        let is_header = |heads: &[String]| needed.iter().all(|name| find(heads, name).is_some());
        let mut table = match Table::open(&decoded.text, &reading.separators(), &described, is_header) {
            Ok(table) => table,
            Err(error) => {
                self.foreign = true;
                self.findings.error("NO_HEADER", self.file, error.to_string());
                return;
            }
        };
        self.released = reading.released.as_deref().and_then(|name| table.stated(name)).map(str::to_owned);
        let columns = self.columns(&table);
        let style = reading.style(table.separator());
        let footers = &reading.footers;
        while let Some(row) = table.next_row() {
            if footers.iter().any(|footer| row.text(0).starts_with(footer.as_str())) {
                break;
            }
            if let Some(cell) = row.beyond(columns.heads.len()) {
                let message = format!("`{}` stands beyond the last column", shorten(cell));
                self.findings.error("EXTRA_CELL", format!("{}:{}", self.file, row.line), message);
            }
            match self.reader.shape.layout {
                Layout::Long => self.long_row(row, &columns, &style),
                Layout::Wide => self.wide_row(row, &columns, &style),
            }
        }
    }

    fn columns(&mut self, table: &Table<'_>) -> Columns {
        let shape = self.reader.shape;
        let mut used = HashSet::new();
        let mut column = |name: &Option<String>| -> Option<usize> {
            let found = table.column(name.as_deref()?)?;
            used.insert(found);
            Some(found)
        };
        let mut columns = Columns {
            heads: table.heads().to_vec(),
            indicator: column(&shape.indicator),
            indicator_name: column(&shape.indicator_name),
            // Both were looked for with the header.
            entity: column(&Some(shape.entity.clone())).unwrap_or_default(),
            value: column(&shape.value).unwrap_or_default(),
            entity_name: column(&shape.entity_name),
            source: column(&shape.source),
            period: column(&shape.period),
            upper: column(&shape.upper),
            multiplier: column(&shape.multiplier),
            qualifier: column(&shape.qualifier),
            status: column(&shape.status),
            missing: column(&shape.missing),
            comment: column(&shape.comment),
            ..Columns::default()
        };
        for (id, name) in &shape.dimensions {
            match column(&Some(name.clone())) {
                Some(at) => columns.dimensions.push((id.clone(), at)),
                None => self.findings.error("NO_DIMENSION", self.file, format!("there is no column `{name}`")),
            }
        }
        let noted = [columns.upper, columns.multiplier, columns.qualifier, columns.status, columns.comment];
        columns.plain = noted.iter().all(Option::is_none) && shape.empty == Empty::NoFigure;
        for (at, head) in table.heads().iter().enumerate().filter(|(_, head)| !head.is_empty()) {
            let dimension = shape.dimension_prefix.as_deref().and_then(|prefix| head.strip_prefix(prefix));
            // "2015 [YR2015]" is how another site of the World Bank writes 2015.
            let period = Period::parse(head.split(" [").next().unwrap_or(head)).ok();
            match (dimension, period) {
                _ if used.contains(&at) => {}
                (Some(id), _) => columns.dimensions.push((id.to_owned(), at)),
                (None, Some(period)) if shape.layout == Layout::Wide => columns.periods.push((at, period)),
                _ => {
                    let message = format!("column `{head}` means nothing in profile {}", self.reader.profile.name);
                    self.findings.warning("IGNORED_COLUMN", self.file, message);
                }
            }
        }
        if shape.layout == Layout::Wide && columns.periods.is_empty() {
            self.findings.error("NO_PERIODS", self.file, "no column is named after a period");
        }
        columns
    }

    fn long_row(&mut self, row: Row<'_>, columns: &Columns, style: &Style) {
        let Some(at) = columns.period else { return };
        let shape = self.reader.shape;
        if !shape.skip_periods.is_empty() && shape.skip_periods.iter().any(|word| word == row.text(at)) {
            return;
        }
        let Some(series) = self.series_of(row, columns) else { return };
        let Some(period) = self.period(row, at, columns) else { return };
        let value = if columns.plain {
            self.plain_value(row, columns.value, columns, style)
        } else {
            self.noted_value(row, columns, style)
        };
        if let Some(value) = value {
            self.series[series].points.push(Point { period, value, line: row.line });
        }
    }

    fn wide_row(&mut self, row: Row<'_>, columns: &Columns, style: &Style) {
        let Some(series) = self.series_of(row, columns) else { return };
        for (at, period) in &columns.periods {
            if row.bytes(*at).is_empty() {
                continue;
            }
            if let Some(value) = self.plain_value(row, *at, columns, style) {
                self.series[series].points.push(Point { period: *period, value, line: row.line });
            }
        }
    }

    fn plain_value(&mut self, row: Row<'_>, at: usize, columns: &Columns, style: &Style) -> Option<Value> {
        let text = row.text(at);
        if self.reader.profile.read.is_missing(text) {
            return None;
        }
        match style.parse(text) {
            Ok(number) => Some(Value::number(number)),
            Err(error) => {
                self.findings.error("BAD_NUMBER", self.place(row, &columns.heads[at]), error.to_string());
                None
            }
        }
    }

    fn period(&mut self, row: Row<'_>, at: usize, columns: &Columns) -> Option<Period> {
        let bytes = row.bytes(at);
        if let Some(known) = self.periods.get(bytes) {
            return Some(*known);
        }
        match Period::parse(row.text(at)) {
            Ok(period) => {
                self.periods.insert(bytes.to_vec(), period);
                Some(period)
            }
            Err(error) => {
                self.findings.error("BAD_PERIOD", self.place(row, &columns.heads[at]), error.to_string());
                None
            }
        }
    }

    fn place(&self, row: Row<'_>, column: &str) -> String {
        format!("{}:{}, column {column}", self.file, row.line)
    }

    /// Puts points into order and settles those that come twice.
    fn finish(mut self) -> FigureFile {
        let mut series = mem::take(&mut self.series);
        series.retain(|series| !series.points.is_empty());
        for Series { key, points } in &mut series {
            if points.windows(2).all(|pair| pair[0].period < pair[1].period) {
                continue;
            }
            points.sort_by_key(|point| point.period);
            points.dedup_by(|later, kept| {
                let twice = later.period == kept.period;
                if twice {
                    self.settle(key, kept, later);
                }
                twice
            });
        }
        let errors = self.findings.errors();
        if errors > 0 {
            series.clear();
        }
        FigureFile {
            series,
            indicators: self.indicators.into_values().flatten().collect(),
            new_entities: self.new_entities.into_values().collect(),
            new_indicators: self.new_indicators.into_values().collect(),
            released: self.released,
            findings: self.findings.into_vec(),
            errors,
            foreign: self.foreign,
        }
    }

    fn settle(&mut self, key: &SeriesKey, kept: &Point, later: &Point) {
        let location = format!("{}:{}", self.file, later.line);
        let figure = format!("{} {} {}", key.indicator, key.entity, kept.period);
        if kept.value == later.value {
            let message = format!("{figure} stands on line {} already, the same", kept.line);
            self.findings.warning("DUPLICATE_ROW", location, message);
        } else {
            let message = format!(
                "{figure} is {} here and {} on line {}; is a dimension missing?",
                print(&later.value),
                print(&kept.value),
                kept.line
            );
            self.findings.error("DUPLICATE_KEY", location, message);
        }
    }
}

fn print(value: &Value) -> String {
    match &value.figure {
        Figure::Number(number) => number.text(),
        Figure::Missing(_) => "missing".to_owned(),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
