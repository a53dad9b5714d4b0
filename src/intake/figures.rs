//! A file of figures → series.
//!
//! Invariant: a period stands in a series once. A line that comes twice is noticed; two lines that say different things
//! about one figure are an error that names both.

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
    catalog::EntityKind,
    finding::{Finding, Findings},
    id::{EntityId, IndicatorId, SourceId},
    period::Period,
    series::{Dimensions, SeriesKey},
    value::{COMMENT_BYTES_MAX, Figure, MULTIPLIER_MAX, MissingReason, Notes, Qualifier, Status, Value},
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
    /// Names that have to be defined first.
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

    fn noted_value(&mut self, row: Row<'_>, columns: &Columns, style: &Style) -> Option<Value> {
        let reading = &self.reader.profile.read;
        let text = row.text(columns.value);
        let mut bad = |column: Option<usize>, code: &str, message: String| {
            let head = column.map_or("", |at| columns.heads[at].as_str());
            self.findings.error(code, format!("{}:{}, column {head}", self.file, row.line), message);
        };
        let reason = row.optional(columns.missing);
        let figure = if reading.is_missing(text) {
            if self.reader.shape.empty == Empty::NoFigure {
                return None;
            }
            match missing_reason(reason) {
                Some(reason) => Figure::Missing(reason),
                None => {
                    let message = "without a value, say why: not-collected, not-applicable, suppressed, no-measurement";
                    bad(columns.missing, "NO_REASON", message.to_owned());
                    return None;
                }
            }
        } else {
            if !reason.is_empty() {
                bad(columns.missing, "VALUE_AND_REASON", "a value and a reason for having none".to_owned());
            }
            match style.parse(text) {
                Ok(number) => Figure::Number(number),
                Err(error) => {
                    bad(Some(columns.value), "BAD_NUMBER", error.to_string());
                    return None;
                }
            }
        };
        let multiplier = multiplier(row.optional(columns.multiplier)).unwrap_or_else(|| {
            let message =
                format!("give a power of ten up to {MULTIPLIER_MAX}, or thousand, million, billion, trillion");
            bad(columns.multiplier, "BAD_MULTIPLIER", message);
            0
        });
        let status = status(row.optional(columns.status)).unwrap_or_else(|| {
            let message =
                "give normal, break, estimated, forecast, imputed, not-significant, provisional or its letter";
            bad(columns.status, "BAD_STATUS", message.to_owned());
            Status::Normal
        });
        let upper = row.optional(columns.upper);
        let qualifier = match (word(row.optional(columns.qualifier)).as_str(), upper.is_empty()) {
            ("range", false) | ("", false) => match style.parse(upper) {
                Ok(upper) => Qualifier::RangeTo(upper),
                Err(error) => {
                    bad(columns.upper, "BAD_NUMBER", error.to_string());
                    Qualifier::Exact
                }
            },
            ("" | "exact", true) => Qualifier::Exact,
            ("approximate", true) => Qualifier::Approximate,
            ("at-least", true) => Qualifier::AtLeast,
            ("at-most", true) => Qualifier::AtMost,
            (_, upper_is_empty) => {
                let message = if upper_is_empty {
                    "give exact, approximate, at-least, at-most, or range with an upper end"
                } else {
                    "only a range has an upper end"
                };
                bad(columns.qualifier, "BAD_QUALIFIER", message.to_owned());
                Qualifier::Exact
            }
        };
        if let (Figure::Number(lower), Qualifier::RangeTo(upper)) = (&figure, &qualifier)
            && (lower.decimals() != upper.decimals() || lower.to_f64() > upper.to_f64())
        {
            let message = format!("{lower} to {upper}: both ends have the same decimals, the upper one is not below");
            bad(columns.upper, "BAD_RANGE", message);
        }
        let comment = row.optional(columns.comment);
        if comment.len() > COMMENT_BYTES_MAX {
            bad(columns.comment, "LONG_COMMENT", format!("longer than {COMMENT_BYTES_MAX} bytes"));
        }
        Some(Value::new(figure, Notes { multiplier, qualifier, status, comment: comment.to_owned() }))
    }

    /// The series that a row is about.
    fn series_of(&mut self, row: Row<'_>, columns: &Columns) -> Option<usize> {
        let mut cells = Vec::with_capacity(48);
        let naming = [columns.indicator, Some(columns.entity), columns.source];
        let dimensions = columns.dimensions.iter().map(|(_, at)| *at);
        for at in naming.into_iter().flatten().chain(dimensions) {
            cells.extend_from_slice(row.bytes(at));
            cells.push(0x1F);
        }
        if let Some(known) = self.by_cells.get(&cells) {
            return *known;
        }
        let found = self.key(row, columns).map(|key| {
            *self.by_key.entry(key.clone()).or_insert_with(|| {
                self.series.push(Series { key, points: Vec::new() });
                self.series.len() - 1
            })
        });
        self.by_cells.insert(cells, found);
        found
    }

    fn key(&mut self, row: Row<'_>, columns: &Columns) -> Option<SeriesKey> {
        let source = self.source(row, columns);
        let indicator = self.indicator(row, columns, source.as_ref());
        let entity = self.entity(row, columns);
        let pairs = columns.dimensions.iter().map(|(id, at)| (id.as_str(), row.text(*at)));
        let dimensions = Dimensions::new(pairs.filter(|(_, code)| !code.is_empty()))
            .map_err(|error| self.findings.error("BAD_DIMENSION", self.place(row, "dimensions"), error.to_string()))
            .ok();
        Some(SeriesKey { indicator: indicator?, entity: entity?, source: source?, dimensions: dimensions? })
    }

    fn source(&mut self, row: Row<'_>, columns: &Columns) -> Option<SourceId> {
        let text = row.optional(columns.source);
        if text.is_empty() {
            if self.reader.source.is_none() {
                let message = "neither the file nor the profile says who published it; give --source";
                self.findings.error("NO_SOURCE", self.place(row, "source"), message);
            }
            return self.reader.source.cloned();
        }
        match SourceId::new(text) {
            Ok(id) => Some(id),
            Err(error) => {
                self.findings.error("BAD_ID", self.place(row, "source"), error.to_string());
                None
            }
        }
    }

    fn indicator(&mut self, row: Row<'_>, columns: &Columns, source: Option<&SourceId>) -> Option<IndicatorId> {
        let (text, head) = match columns.indicator {
            Some(at) => (row.text(at).to_owned(), columns.heads[at].as_str()),
            None => (self.indicator_of_file()?, "file name"),
        };
        if let Some(known) = self.indicators.get(&text) {
            return known.clone();
        }
        let indicators = &self.reader.directory.indicators;
        let found = if text.is_empty() {
            self.findings.error("NO_KEY", self.place(row, head), "the row names no indicator");
            None
        } else if indicators.id(&text).is_none() && !self.reader.define_missing {
            let near = indicators.nearest(&text, &[]);
            let message = format!("there is no indicator `{}`", shorten(&text));
            self.findings.unknown("UNKNOWN_INDICATOR", self.place(row, head), message, near);
            None
        } else {
            IndicatorId::new(&text)
                .map_err(|error| self.findings.error("BAD_ID", self.place(row, head), error.to_string()))
                .ok()
        };
        if let (Some(id), Some(source)) = (&found, source)
            && indicators.id(&text).is_none()
        {
            let name = row.optional(columns.indicator_name);
            let name = if name.is_empty() { text.clone() } else { name.to_owned() };
            let new = NewIndicator { id: id.clone(), name, source: source.clone() };
            self.new_indicators.insert(id.clone(), new);
        }
        self.indicators.insert(text, found.clone());
        found
    }

    /// The indicator that the file is named after; a file called `data` is named by its folder.
    fn indicator_of_file(&mut self) -> Option<String> {
        let case = self.reader.shape.indicator_from_file?;
        let mut parts = self.file.rsplit(['/', ':', '\\']);
        let stem = |name: &str| -> String {
            let name = name.strip_suffix(".gz").unwrap_or(name);
            name.strip_suffix(".csv").unwrap_or(name).to_owned()
        };
        let own = parts.next().map(stem).unwrap_or_default();
        let name = if own == "data" { parts.next().map(stem).unwrap_or(own) } else { own };
        Some(match case {
            FileName::AsIs => name,
            FileName::UpperCase => name.to_ascii_uppercase(),
        })
    }

    fn entity(&mut self, row: Row<'_>, columns: &Columns) -> Option<EntityId> {
        let shape = self.reader.shape;
        let text = row.text(columns.entity);
        if let Some(known) = self.entities.get(text) {
            return known.clone();
        }
        let place = self.place(row, &columns.heads[columns.entity]);
        let entities = &self.reader.directory.entities;
        let name = row.optional(columns.entity_name);
        let found = match entities.code(text, &shape.entity_schemes) {
            Some(known) => EntityId::new(&known.id).ok(),
            None if text.is_empty() => {
                self.findings.error("NO_KEY", place, "the row has no code");
                return None;
            }
            None if self.reader.define_missing && !name.is_empty() => self.new_entity(text, name, place),
            None => {
                let mut near = entities.nearest(text, &[]);
                if let Err(NoMatch::Ambiguous(ids)) = entities.find(name, &[], &[]) {
                    near = ids;
                } else if let Ok(known) = entities.find(name, &[], &[]) {
                    near = vec![known.id.clone()];
                }
                let message = format!("there is no entity `{}`{}", shorten(text), named(name));
                self.findings.unknown("UNKNOWN_ENTITY", place, message, near);
                None
            }
        };
        self.entities.insert(text.to_owned(), found.clone());
        found
    }

    fn new_entity(&mut self, code: &str, name: &str, place: String) -> Option<EntityId> {
        let shape = self.reader.shape;
        let id = match EntityId::new(code) {
            Ok(id) => id,
            Err(error) => {
                self.findings.error("BAD_ID", place, error.to_string());
                return None;
            }
        };
        let is = |codes: &[String]| codes.iter().any(|known| known == code);
        let kind = match (is(&shape.world), is(&shape.groups)) {
            (true, _) => EntityKind::World,
            (false, true) => EntityKind::RegionGroup,
            (false, false) => EntityKind::Economy,
        };
        let codes = shape.entity_schemes.first().map(|scheme| (scheme.clone(), code.to_owned())).into_iter().collect();
        let new = NewEntity { id: id.clone(), kind, name: name.to_owned(), codes, lies_in: Vec::new() };
        self.new_entities.insert(id.clone(), new);
        Some(id)
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

fn named(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" ({})", shorten(name)) }
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A word of a small vocabulary: case, blanks and underscores do not matter.
fn word(text: &str) -> String {
    text.to_ascii_lowercase().replace(['_', ' '], "-")
}

fn missing_reason(text: &str) -> Option<MissingReason> {
    Some(match word(text).as_str() {
        "l" | "not-collected" => MissingReason::NotCollected,
        "m" | "not-applicable" => MissingReason::NotApplicable,
        "q" | "suppressed" => MissingReason::Suppressed,
        "h" | "no-measurement" => MissingReason::NoMeasurement,
        _ => return None,
    })
}

fn status(text: &str) -> Option<Status> {
    Some(match word(text).as_str() {
        "" | "a" | "normal" => Status::Normal,
        "b" | "break" => Status::Break,
        "e" | "estimated" => Status::Estimated,
        "f" | "forecast" => Status::Forecast,
        "i" | "imputed" => Status::Imputed,
        "n" | "not-significant" => Status::NotSignificant,
        "p" | "provisional" => Status::Provisional,
        _ => return None,
    })
}

fn multiplier(text: &str) -> Option<i8> {
    match word(text).as_str() {
        "" => Some(0),
        "thousand" => Some(3),
        "million" => Some(6),
        "billion" => Some(9),
        "trillion" => Some(12),
        power => power.parse().ok().filter(|power: &i8| i32::from(*power).abs() <= MULTIPLIER_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::names::Named, *};

    fn directory() -> Directory {
        let mut directory = Directory::default();
        let mut entity = |id: &str, codes: &[(&'static str, &'static str)], name: &str| {
            let thing = Named { id: id.into(), kind: Some(EntityKind::Economy), lies_in: Vec::new() };
            directory.entities.add(thing, codes.iter().copied(), [name]);
        };
        entity("CHN", &[("world-bank", "CHN"), ("iso3166-1-alpha2", "CN")], "China");
        entity("ROU", &[("world-bank", "ROU"), ("world-bank-2013", "ROM")], "Romania");
        for id in ["GB.XPD.RSDV.GD.ZS", "patents"] {
            let thing = Named { id: id.into(), kind: None, lies_in: Vec::new() };
            directory.indicators.add(thing, [], [id]);
        }
        directory
    }

    fn read(profile: &str, name: &str, text: impl AsRef<[u8]>, define_missing: bool) -> FigureFile {
        let profile = Profile::load(profile).unwrap();
        let (shape, source) = (profile.figures().unwrap(), SourceId::new("s").unwrap());
        let directory = directory();
        let reader =
            FigureReader { profile: &profile, shape, directory: &directory, source: Some(&source), define_missing };
        reader.read(name, text.as_ref())
    }

    /// `entity period text` of every figure, in order.
    fn figures(file: &FigureFile) -> Vec<String> {
        let of = |series: &Series| {
            let entity = series.key.entity.clone();
            let said =
                series.points.iter().map(move |point| format!("{entity} {} {}", point.period, print(&point.value)));
            said.collect::<Vec<_>>()
        };
        file.series.iter().flat_map(of).collect()
    }

    fn codes(file: &FigureFile) -> Vec<(&str, &str)> {
        file.findings.iter().map(|finding| (finding.code.as_str(), finding.location.as_str())).collect()
    }

    const WIDE: &str = "\u{FEFF}\"Data Source\",\"World Development Indicators\",\n\n\"Last Updated Date\",\"2026-07-13\",\n\n\
        \"Country Name\",\"Country Code\",\"Indicator Name\",\"Indicator Code\",\"1960\",\"2015\",\"2016 [YR2016]\",\n\
        \"China\",\"CHN\",\"Research and\ndevelopment (% of GDP)\",\"GB.XPD.RSDV.GD.ZS\",\"\",\"2.0\",\"2.05701\",\n\
        \"Romania\",\"ROM\",\"Research and\ndevelopment (% of GDP)\",\"GB.XPD.RSDV.GD.ZS\",\"0.594539921118996\",\"..\",\"\",\n";

    #[test]
    fn a_download_of_the_world_bank() {
        let file = read("wdi-wide", "API.csv", WIDE, false);
        assert_eq!(codes(&file), []);
        assert_eq!(figures(&file), ["CHN 2015 2.0", "CHN 2016 2.05701", "ROU 1960 0.594539921118996"]);
        assert_eq!(file.released.as_deref(), Some("2026-07-13"));
        assert_eq!((file.series[0].points[0].line, file.series[1].points[0].line), (6, 8));
    }

    #[test]
    fn carriage_returns_and_footers_change_nothing() {
        let with_footer =
            format!("{WIDE}\n\"Data from database: World Development Indicators\"\n\"Last Updated: 07/13/2026\"\n");
        let unix = read("wdi-wide", "a.csv", WIDE, false);
        for text in [with_footer.clone(), with_footer.replace('\n', "\r\n")] {
            let file = read("wdi-wide", "a.csv", &text, false);
            assert_eq!((codes(&file), figures(&file)), (vec![], figures(&unix)));
            assert_eq!(file.series[1].points[0].line, 8);
        }
    }

    #[test]
    fn a_long_file_is_named_after_its_indicator() {
        let text =
            "Country Name,Country Code,Year,Value\nChina,CHN,2016,2.1\nRomania,ROU,2015,0.49\nChina,CHN,2015,2.05701\n";
        for name in
            ["v/gb.xpd.rsdv.gd.zs.csv.gz", "a.tar.xz:indicators/gb.xpd.rsdv.gd.zs/data.csv", "GB.XPD.RSDV.GD.ZS.csv"]
        {
            let file = read("wdi-long", name, text, false);
            assert_eq!(figures(&file), ["CHN 2015 2.05701", "CHN 2016 2.1", "ROU 2015 0.49"], "{name}");
            assert_eq!(file.series[0].key.indicator.as_str(), "GB.XPD.RSDV.GD.ZS");
        }
        let unknown = read("wdi-long", "gb.xpd.rsdv.csv", text, false);
        assert_eq!(unknown.findings[0].code, "UNKNOWN_INDICATOR");
        assert_eq!(unknown.findings[0].suggestions, ["GB.XPD.RSDV.GD.ZS"]);
    }

    #[test]
    fn what_is_not_known_is_refused_once_or_defined() {
        let text = "Country Name,Country Code,Year,Value\nChina,CNH,2015,1\nChina,CNH,2016,2\nWorld,WLD,2016,3\nArab World,ARB,2016,4\n";
        let refused = read("wdi-long", "GB.XPD.RSDV.GD.ZS.csv", text, false);
        assert_eq!(codes(&refused)[0], ("UNKNOWN_ENTITY", "GB.XPD.RSDV.GD.ZS.csv:2, column Country Code"));
        assert_eq!((refused.errors, refused.points()), (3, 0));
        assert_eq!(refused.findings[0].suggestions, ["CHN"], "its name says which");
        let defined = read("wdi-long", "NEW.csv", text, true);
        assert_eq!((defined.errors, defined.points()), (0, 4));
        let kinds: Vec<_> = defined.new_entities.iter().map(|new| (new.id.as_str(), new.kind)).collect();
        assert_eq!(kinds, [("ARB", EntityKind::RegionGroup), ("CNH", EntityKind::Economy), ("WLD", EntityKind::World)]);
        assert_eq!(defined.new_indicators[0].id.as_str(), "NEW");
    }

    #[test]
    fn a_figure_that_comes_twice_is_noticed_and_a_contradiction_refused() {
        let head = "Country Name,Country Code,Year,Value\n";
        let twice = read("wdi-long", "patents.csv", format!("{head}China,CHN,2015,1.0\nChina,CHN,2015,1.0\n"), true);
        assert_eq!((twice.errors, twice.findings[0].code.as_str(), twice.points()), (0, "DUPLICATE_ROW", 1));
        let contradiction = format!("{head}China,CHN,2016,5\nChina,CHN,2015,1.0\nChina,CHN,2015,1\n");
        let file = read("wdi-long", "patents.csv", contradiction, true);
        assert_eq!(codes(&file), [("DUPLICATE_KEY", "patents.csv:4")]);
        let message = &file.findings[0].message;
        assert!(message.contains("is 1 here and 1.0 on line 3"), "{message}");
        assert_eq!(file.points(), 0);
    }

    #[test]
    fn change_is_no_year_and_na_no_number() {
        let text = "Country Name,Country Code,Year,Value\nChina,CHN,Change,−1\nChina,CHN,2015,NA\nChina,,2015,1\n";
        let file = read("wdi-long", "GB.XPD.RSDV.GD.ZS.csv", text, false);
        assert_eq!(
            codes(&file),
            [
                ("BAD_PERIOD", "GB.XPD.RSDV.GD.ZS.csv:2, column Year"),
                ("BAD_NUMBER", "GB.XPD.RSDV.GD.ZS.csv:3, column Value"),
                ("NO_KEY", "GB.XPD.RSDV.GD.ZS.csv:4, column Country Code"),
            ]
        );
    }

    #[test]
    fn another_file_is_said_to_be_one() {
        let file = read("wdi-wide", "ind_list.csv", "Indicator_Name,Indicator_Code\nPatents,IP.PAT\n", true);
        assert!(file.foreign);
        assert_eq!(codes(&file), [("NO_HEADER", "ind_list.csv")]);
    }

    #[test]
    fn semicolons_decimal_commas_and_latin_1() {
        let text =
            b"indicator;entity;period;value;comment\npatents;CHN;2020;28,70;\xE9tude\npatents;CHN;2019;\"1.234\";\n";
        let file = read("almanac-observations", "a.csv", text, false);
        assert_eq!(codes(&file), [("NOT_UTF8", "a.csv")]);
        assert_eq!(figures(&file), ["CHN 2019 1.234", "CHN 2020 28.70"]);
        assert_eq!(file.series[0].points[1].value.notes().unwrap().comment, "étude");
    }

    #[test]
    fn figures_of_the_press() {
        let text = "# from five articles, \"as printed\n\
            indicator,entity,period,value,multiplier,qualifier,upper,status,missing,source,dim:SEX\n\
            patents,CHN,2024,3.6,trillion,at-least,,,,press,\n\
            patents,CHN,2025-06,5.01,6,,,P,,press,\n\
            patents,CHN,2023,1.0,,range,2.0,,,,F\n\
            patents,CHN,2022,,,,,,Q,press,\n";
        let file = read("almanac-observations", "seed.csv", text, false);
        assert_eq!(codes(&file), []);
        let press = &file.series[0];
        assert_eq!((press.key.source.as_str(), press.points.len()), ("press", 3));
        assert_eq!(press.points[0].value.figure, Figure::Missing(MissingReason::Suppressed));
        let notes = press.points[1].value.notes().unwrap();
        assert_eq!((notes.multiplier, &notes.qualifier), (12, &Qualifier::AtLeast));
        let notes = press.points[2].value.notes().unwrap();
        assert_eq!((notes.multiplier, notes.status), (6, Status::Provisional));
        assert_eq!(file.series[1].key.dimensions.as_str(), "SEX=F");
        assert_eq!(file.series[1].key.source.as_str(), "s");
    }

    #[test]
    fn slips_in_notes_name_their_column() {
        let head = "indicator,entity,period,value,multiplier,qualifier,upper,status,missing\n";
        for (row, code) in [
            ("patents,CHN,2024,,,,,,", "NO_REASON"),
            ("patents,CHN,2024,1,,,,,L", "VALUE_AND_REASON"),
            ("patents,CHN,2024,1,many,,,,", "BAD_MULTIPLIER"),
            ("patents,CHN,2024,1,,nearly,,,", "BAD_QUALIFIER"),
            ("patents,CHN,2024,1,,range,,,", "BAD_QUALIFIER"),
            ("patents,CHN,2024,1,,at-least,2,,", "BAD_QUALIFIER"),
            ("patents,CHN,2024,2,,range,1,,", "BAD_RANGE"),
            ("patents,CHN,2024,2,,range,3.5,,", "BAD_RANGE"),
            ("patents,CHN,2024,2,,,,X,", "BAD_STATUS"),
            ("patents,CHN,2024,2,,,,,,more", "EXTRA_CELL"),
        ] {
            let file = read("almanac-observations", "a.csv", format!("{head}{row}\n"), false);
            assert_eq!(file.findings.iter().map(|finding| finding.code.as_str()).collect::<Vec<_>>(), [code], "{row}");
            assert!(file.findings[0].location.starts_with("a.csv:2"), "{row}");
        }
        let file = read(
            "almanac-observations",
            "a.csv",
            "indicator,entity,period,value,qualifer\npatents,CHN,2024,1,\n",
            false,
        );
        assert_eq!(codes(&file), [("IGNORED_COLUMN", "a.csv")]);
        assert!(file.findings[0].message.contains("qualifer"));
    }

    #[test]
    fn a_copy_in_another_order_is_the_same() {
        let rows = ["China,CHN,2015,1.0", "China,CHN,2016,2.0", "Romania,ROU,2015,3.0"];
        let text = |rows: &[&str]| format!("Country Name,Country Code,Year,Value\n{}\n", rows.join("\n"));
        let sorted = |rows: &[&str]| {
            let mut figures = figures(&read("wdi-long", "patents.csv", text(rows), true));
            figures.sort();
            figures
        };
        assert_eq!(sorted(&rows), sorted(&[rows[2], rows[1], rows[0]]));
    }

    proptest::proptest! {
        /// No bytes make a reader panic.
        #[test]
        fn any_file_is_refused_or_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), row in "[-0-9A-Z,;\"\r\n.]{0,80}") {
            let _ = read("wdi-wide", "a.csv", &bytes, true);
            let _ = read("wdi-wide", "a.csv", format!("{WIDE}{row}"), true);
            let _ = read("wdi-long", "a.csv", format!("Country Name,Country Code,Year,Value\n{row}"), true);
            let _ = read("almanac-observations", "a.csv", format!("indicator,entity,period,value\n{row}"), true);
        }
    }
}
