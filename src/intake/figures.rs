//! A file of figures → series.
//!
//! Invariant: a series has each period once. A row that repeats a figure is a warning; two rows that say different
//! things about one figure are an error that names both lines.

mod columns;
mod keys;
mod values;

use std::{
    collections::{BTreeMap, HashMap},
    mem,
};

use super::{
    names::{Directory, NewEntity, NewIndicator},
    profile::{FigureShape, Layout, Profile},
    rows::{ColumnFinder, RowContext, RowVisitor, visit_rows},
    table::{RequiredColumns, Table},
};
use crate::model::{
    finding::{Finding, Findings},
    id::{EntityId, IndicatorId, SourceId},
    period::Period,
    series::SeriesKey,
    value::{Figure, Value},
};
use columns::FigureColumns;

/// Reads files of figures.
#[derive(Debug, Clone)]
pub struct FigureReader<'a> {
    pub profile: &'a Profile,
    /// The part of the profile that is about figures.
    pub shape: &'a FigureShape,
    pub directory: &'a Directory,
    /// Source of the figures whose row names none; without it such a row is an error.
    pub source: Option<&'a SourceId>,
    /// Whether a name that nothing is known by becomes a new indicator or entity, and not an error.
    pub define_missing: bool,
}

/// What a file says.
#[derive(Debug, Default)]
pub struct FigureFile {
    /// Series in the order of their first row. Empty if there is an error.
    pub series: Vec<Series>,
    /// The indicators that the file names, those without a figure included.
    pub indicators: Vec<IndicatorId>,
    /// Entities that have to be defined before the figures are written.
    pub new_entities: Vec<NewEntity>,
    /// Indicators that have to be defined before the figures are written.
    pub new_indicators: Vec<NewIndicator>,
    /// The release date that the file states, as it is printed.
    pub released: Option<String>,
    pub findings: Vec<Finding>,
    /// How many errors there are, those included that are not among the findings.
    pub errors: usize,
    /// Whether no line of the file is a header of the profile.
    pub foreign: bool,
}

impl FigureFile {
    pub fn points(&self) -> usize {
        self.series.iter().map(|series| series.points.len()).sum()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub key: SeriesKey,
    /// In period order, each period once.
    pub points: Vec<Point>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub period: Period,
    pub value: Value,
    /// Line of the file, from 1.
    pub line: u32,
}

impl FigureReader<'_> {
    /// Reads a file. `name` is what findings call it; it may name the indicator too.
    pub fn read(&self, name: &str, bytes: &[u8]) -> FigureFile {
        let mut builder = SeriesBuilder::new(self, name);
        builder.foreign = !visit_rows(&mut builder, self.profile, name, bytes);
        builder.finish()
    }
}

/// Makes series of rows. What a cell stands for is looked up once and remembered by the text of the cell.
struct SeriesBuilder<'a> {
    reader: &'a FigureReader<'a>,
    file: &'a str,
    findings: Findings,
    series: Vec<Series>,
    /// Cells that name a series → its place in `series`, or `None` if they name none.
    by_cells: HashMap<Vec<u8>, Option<usize>>,
    /// Those of the row at hand; kept for its memory.
    cells: Vec<u8>,
    by_key: HashMap<SeriesKey, usize>,
    periods: HashMap<Vec<u8>, Period>,
    entities: HashMap<String, Option<EntityId>>,
    indicators: BTreeMap<String, Option<IndicatorId>>,
    new_entities: BTreeMap<EntityId, NewEntity>,
    new_indicators: BTreeMap<IndicatorId, NewIndicator>,
    released: Option<String>,
    foreign: bool,
}

type Context<'a> = RowContext<'a, FigureColumns>;

impl RowVisitor for SeriesBuilder<'_> {
    type Columns = FigureColumns;

    fn required_columns(&self) -> RequiredColumns {
        let shape = self.reader.shape;
        let mut names = vec![shape.entity.clone()];
        names.extend(shape.indicator.clone());
        if shape.layout == Layout::Long {
            names.extend(shape.period.clone());
            names.extend(shape.value.clone());
        }
        RequiredColumns::All(names)
    }

    fn header(&mut self, table: &Table<'_>) -> FigureColumns {
        let profile = self.reader.profile;
        let released = profile.read.released.as_deref().and_then(|name| table.preamble_value(name));
        self.released = released.map(str::to_owned);
        let mut finder = ColumnFinder::new(table);
        FigureColumns::find(profile, self.reader.shape, self.file, &mut finder, &mut self.findings)
    }

    fn row(&mut self, context: &Context<'_>) {
        match self.reader.shape.layout {
            Layout::Long => self.long_row(context),
            Layout::Wide => self.wide_row(context),
        }
    }

    fn findings(&mut self) -> &mut Findings {
        &mut self.findings
    }
}

impl<'a> SeriesBuilder<'a> {
    fn new(reader: &'a FigureReader<'a>, file: &'a str) -> Self {
        Self {
            reader,
            file,
            findings: Findings::default(),
            series: Vec::new(),
            by_cells: HashMap::new(),
            cells: Vec::new(),
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

    fn long_row(&mut self, context: &Context<'_>) {
        let Some(column) = context.columns.period else { return };
        let words = &self.reader.shape.skip_periods;
        if !words.is_empty() && words.iter().any(|word| word == context.row.text(column)) {
            return;
        }
        let Some(series) = self.series_of(context) else { return };
        let Some(period) = self.period(context, column) else { return };
        let value = if context.columns.only_numbers {
            context.number(Some(context.columns.value), &mut self.findings)
        } else {
            values::noted_value(context, self.reader.shape.empty, &mut self.findings)
        };
        if let Some(value) = value {
            self.series[series].points.push(Point { period, value, line: context.row.line });
        }
    }

    fn wide_row(&mut self, context: &Context<'_>) {
        let Some(series) = self.series_of(context) else { return };
        for (column, period) in &context.columns.periods {
            if context.row.bytes(*column).is_empty() {
                continue;
            }
            if let Some(value) = context.number(Some(*column), &mut self.findings) {
                self.series[series].points.push(Point { period: *period, value, line: context.row.line });
            }
        }
    }

    fn period(&mut self, context: &Context<'_>, column: usize) -> Option<Period> {
        let bytes = context.row.bytes(column);
        if let Some(period) = self.periods.get(bytes) {
            return Some(*period);
        }
        match Period::parse(context.row.text(column)) {
            Ok(period) => {
                self.periods.insert(bytes.to_vec(), period);
                Some(period)
            }
            Err(error) => {
                self.findings.error("BAD_PERIOD", context.place(Some(column)), error.to_string());
                None
            }
        }
    }

    fn finish(mut self) -> FigureFile {
        let mut series = mem::take(&mut self.series);
        series.retain(|series| !series.points.is_empty());
        for one in &mut series {
            self.sort_points(one);
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

    /// Puts points into period order; of several points of one period the first row stays.
    fn sort_points(&mut self, series: &mut Series) {
        let Series { key, points } = series;
        if points.windows(2).all(|pair| pair[0].period < pair[1].period) {
            return;
        }
        points.sort_by_key(|point| point.period);
        points.dedup_by(|later, first| {
            let repeated = later.period == first.period;
            if repeated {
                self.note_repetition(key, first, later);
            }
            repeated
        });
    }

    fn note_repetition(&mut self, key: &SeriesKey, first: &Point, later: &Point) {
        let location = format!("{}:{}", self.file, later.line);
        let figure = format!("{} {} {}", key.indicator, key.entity, first.period);
        if first.value == later.value {
            let message = format!("{figure} stands on line {} already, the same", first.line);
            self.findings.warning("DUPLICATE_ROW", location, message);
        } else {
            let message = format!(
                "{figure} is {} here and {} on line {}; is a dimension missing?",
                print(&later.value),
                print(&first.value),
                first.line
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

#[cfg(test)]
mod tests;
