//! Which series a row is about: its indicator, entity, source and dimensions.

use std::mem;

use super::{
    super::{
        names::{LookupError, NewEntity, NewIndicator},
        profile::FileNameCase,
        rows::excerpt,
    },
    Context, Series, SeriesBuilder,
};
use crate::model::{
    catalog::EntityKind,
    id::{EntityId, IndicatorId, SourceId},
    series::{Dimensions, SeriesKey},
};

/// Between the cells that name a series: the unit separator of ASCII, which tables do not use.
const CELL_SEPARATOR: u8 = 0x1F;

impl SeriesBuilder<'_> {
    /// The place in `series` of the series that a row is about; `None` if it names none.
    pub(super) fn series_of(&mut self, context: &Context<'_>) -> Option<usize> {
        let mut cells = mem::take(&mut self.cells);
        write_naming_cells(context, &mut cells);
        let place = match self.by_cells.get(&cells) {
            Some(place) => *place,
            None => {
                let place = self.new_series_of(context);
                self.by_cells.insert(cells.clone(), place);
                place
            }
        };
        self.cells = cells;
        place
    }

    /// The same for a row whose cells did not occur before. Other cells may have named the series.
    fn new_series_of(&mut self, context: &Context<'_>) -> Option<usize> {
        let key = self.key(context)?;
        let place = self.by_key.entry(key).or_insert_with_key(|key| {
            self.series.push(Series { key: key.clone(), points: Vec::new() });
            self.series.len() - 1
        });
        Some(*place)
    }

    fn key(&mut self, context: &Context<'_>) -> Option<SeriesKey> {
        let source = self.source(context);
        let indicator = self.indicator(context, source.as_ref());
        let entity = self.entity(context);
        let dimensions = self.dimensions(context);
        Some(SeriesKey { indicator: indicator?, entity: entity?, source: source?, dimensions: dimensions? })
    }

    fn dimensions(&mut self, context: &Context<'_>) -> Option<Dimensions> {
        let pairs = context.columns.dimensions.iter().map(|(id, column)| (id.as_str(), context.row.text(*column)));
        match Dimensions::new(pairs.filter(|(_, code)| !code.is_empty())) {
            Ok(dimensions) => Some(dimensions),
            Err(error) => {
                self.findings.error("BAD_DIMENSION", context.place_named("dimensions"), error.to_string());
                None
            }
        }
    }

    fn source(&mut self, context: &Context<'_>) -> Option<SourceId> {
        let text = context.text(context.columns.source);
        if text.is_empty() {
            if self.reader.source.is_none() {
                let message = "neither the file nor the profile says who published it; give --source";
                self.findings.error("NO_SOURCE", context.place_named("source"), message);
            }
            return self.reader.source.cloned();
        }
        match SourceId::new(text) {
            Ok(id) => Some(id),
            Err(error) => {
                self.findings.error("BAD_ID", context.place_named("source"), error.to_string());
                None
            }
        }
    }

    fn indicator(&mut self, context: &Context<'_>, source: Option<&SourceId>) -> Option<IndicatorId> {
        let column = context.columns.indicator;
        let text = match column {
            Some(column) => context.row.text(column).to_owned(),
            None => self.indicator_of_file()?,
        };
        if let Some(id) = self.indicators.get(&text) {
            return id.clone();
        }
        let place = match column {
            Some(_) => context.place(column),
            None => context.place_named("file name"),
        };
        let id = self.indicator_id(&text, place);
        if let (Some(id), Some(source)) = (&id, source)
            && self.reader.directory.indicators.id(&text).is_none()
        {
            let name = context.text(context.columns.indicator_name);
            let name = if name.is_empty() { text.clone() } else { name.to_owned() };
            let new = NewIndicator { id: id.clone(), name, source: source.clone() };
            self.new_indicators.insert(id.clone(), new);
        }
        self.indicators.insert(text, id.clone());
        id
    }

    fn indicator_id(&mut self, text: &str, place: String) -> Option<IndicatorId> {
        let indicators = &self.reader.directory.indicators;
        if text.is_empty() {
            self.findings.error("NO_KEY", place, "the row names no indicator");
            return None;
        }
        if indicators.id(text).is_none() && !self.reader.define_missing {
            let near = indicators.nearest(text, &[]);
            let message = format!("there is no indicator `{}`", excerpt(text));
            self.findings.near("UNKNOWN_INDICATOR", place, message, near);
            return None;
        }
        match IndicatorId::new(text) {
            Ok(id) => Some(id),
            Err(error) => {
                self.findings.error("BAD_ID", place, error.to_string());
                None
            }
        }
    }

    /// The indicator that the file is named after. A file `data` is named by its folder.
    fn indicator_of_file(&self) -> Option<String> {
        let case = self.reader.shape.indicator_from_file?;
        let mut parts = self.file.rsplit(['/', ':', '\\']).map(without_endings);
        let file = parts.next().unwrap_or_default();
        let name = if file == "data" { parts.next().unwrap_or(file) } else { file };
        Some(match case {
            FileNameCase::AsIs => name.to_owned(),
            FileNameCase::UpperCase => name.to_ascii_uppercase(),
        })
    }

    fn entity(&mut self, context: &Context<'_>) -> Option<EntityId> {
        let shape = self.reader.shape;
        let column = context.columns.entity;
        let text = context.row.text(column);
        if let Some(id) = self.entities.get(text) {
            return id.clone();
        }
        let place = context.place(Some(column));
        let name = context.text(context.columns.entity_name);
        let entities = &self.reader.directory.entities;
        let item = match shape.entity_names_of() {
            Some(kind) => {
                let plain = text.trim_end_matches(|letter| shape.footnote_marks.contains(letter)).trim_end();
                entities.find(plain, &[kind], &[]).ok()
            }
            None => entities.code(text, &shape.entity_schemes),
        };
        let id = match item {
            Some(item) => EntityId::new(&item.id).ok(),
            None if text.is_empty() => {
                self.findings.error("NO_KEY", place, "the row names no entity");
                return None;
            }
            None if self.reader.define_missing && !name.is_empty() => self.new_entity(text, name, place),
            None => {
                let near = self.entities_near(text, name);
                let message = format!("there is no entity `{}`{}", excerpt(text), in_parentheses(name));
                self.findings.near("UNKNOWN_ENTITY", place, message, near);
                None
            }
        };
        self.entities.insert(text.to_owned(), id.clone());
        id
    }

    /// What an unknown code may have meant: the entity of the name beside it, else what is most similar to the code.
    fn entities_near(&self, text: &str, name: &str) -> Vec<String> {
        let entities = &self.reader.directory.entities;
        match entities.find(name, &[], &[]) {
            Ok(item) => vec![item.id.clone()],
            Err(LookupError::Ambiguous(ids)) => ids,
            Err(_) => {
                let kinds: Vec<EntityKind> = self.reader.shape.entity_names_of().into_iter().collect();
                entities.nearest(text, &kinds)
            }
        }
    }

    fn new_entity(&mut self, code: &str, name: &str, place: String) -> Option<EntityId> {
        let id = match EntityId::new(code) {
            Ok(id) => id,
            Err(error) => {
                self.findings.error("BAD_ID", place, error.to_string());
                return None;
            }
        };
        let shape = self.reader.shape;
        let kind = if shape.world.iter().any(|world| world == code) {
            EntityKind::World
        } else if shape.groups.iter().any(|group| group == code) {
            EntityKind::RegionGroup
        } else {
            EntityKind::Economy
        };
        let scheme = shape.entity_schemes.first();
        let codes = scheme.map(|scheme| (scheme.clone(), code.to_owned())).into_iter().collect();
        let new = NewEntity { id: id.clone(), kind, name: name.to_owned(), codes, lies_in: Vec::new() };
        self.new_entities.insert(id.clone(), new);
        Some(id)
    }
}

/// Writes the cells that together name a series, as one key.
fn write_naming_cells(context: &Context<'_>, cells: &mut Vec<u8>) {
    let columns = context.columns;
    let named = [columns.indicator, Some(columns.entity), columns.source];
    let dimensions = columns.dimensions.iter().map(|(_, column)| *column);
    cells.clear();
    for column in named.into_iter().flatten().chain(dimensions) {
        cells.extend_from_slice(context.row.bytes(column));
        cells.push(CELL_SEPARATOR);
    }
}

fn without_endings(name: &str) -> &str {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.strip_suffix(".csv").unwrap_or(name)
}

fn in_parentheses(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" ({})", excerpt(name)) }
}
