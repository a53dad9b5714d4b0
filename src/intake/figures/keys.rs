//! Which series a row is about: its indicator, entity, source and dimensions, as the catalog knows them.

use super::{Columns, FileName, Gather, NewEntity, NewIndicator, NoMatch, Row, Series, shorten};
use crate::model::{
    catalog::EntityKind,
    id::{EntityId, IndicatorId, SourceId},
    series::{Dimensions, SeriesKey},
};

impl Gather<'_> {
    /// The series that a row is about.
    pub(super) fn series_of(&mut self, row: Row<'_>, columns: &Columns) -> Option<usize> {
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
        let by_name = shape.entity_names_of();
        let known = match by_name {
            Some(kind) => {
                let plain = text.trim_end_matches(|letter| shape.footnote_marks.contains(letter)).trim_end();
                entities.find(plain, &[kind], &[]).ok()
            }
            None => entities.code(text, &shape.entity_schemes),
        };
        let found = match known {
            Some(known) => EntityId::new(&known.id).ok(),
            None if text.is_empty() => {
                self.findings.error("NO_KEY", place, "the row names no entity");
                return None;
            }
            None if self.reader.define_missing && !name.is_empty() => self.new_entity(text, name, place),
            None => {
                let kinds: Vec<EntityKind> = by_name.into_iter().collect();
                let mut near = entities.nearest(text, &kinds);
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
}

fn named(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" ({})", shorten(name)) }
}
