//! Which entity a row of a published table is about, and in which economies it lies.

use super::{
    super::names::{LookupError, NewEntity, entity_id},
    Context, EntryBuilder,
};
use crate::model::{catalog::EntityKind, id::EntityId};

/// Schemes that economies may be given in, if the profile names none.
const ECONOMY_SCHEMES: [&str; 4] = ["iso3166-1-alpha2", "iso3166-1-alpha3", "wipo-st3", "world-bank"];

impl EntryBuilder<'_> {
    /// The economies of a row: `CN/HK` are two. `None` if one of them is not known.
    pub(super) fn economies(&mut self, context: &Context<'_>) -> Option<Vec<EntityId>> {
        let column = context.columns.economies;
        let mut economies = Vec::new();
        let mut all_known = true;
        for part in context.text(column).split('/') {
            let text = self.without_footnote_marks(part);
            if text.is_empty() {
                continue;
            }
            match self.economy(text) {
                Ok(Some(id)) => economies.push(id),
                Ok(None) => all_known = false,
                Err(error) => {
                    all_known = false;
                    self.note_unknown("UNKNOWN_ECONOMY", text, error, context.place(column));
                }
            }
        }
        all_known.then_some(economies)
    }

    /// The economy of a code, an id or a name; nothing if what the catalog calls it is not an id.
    fn economy(&self, text: &str) -> Result<Option<EntityId>, LookupError> {
        let shape = self.reader.shape;
        let entities = &self.reader.directory.entities;
        let by_code = if shape.economy_schemes.is_empty() {
            entities.code(text, &ECONOMY_SCHEMES)
        } else {
            entities.code(text, &shape.economy_schemes)
        };
        let item = match by_code {
            Some(item) => item,
            None => entities.find(text, &[EntityKind::Economy], &[])?,
        };
        Ok(EntityId::new(&item.id).ok())
    }

    /// The entity of a row: by its id, if the row has one, else by its name. `economies` is `None` if they are not
    /// known.
    pub(super) fn entity(&mut self, context: &Context<'_>, economies: Option<&[EntityId]>) -> Option<EntityId> {
        if context.text(context.columns.entity).is_empty() {
            self.entity_by_name(context, economies)
        } else {
            self.entity_by_id(context, economies)
        }
    }

    fn entity_by_id(&mut self, context: &Context<'_>, economies: Option<&[EntityId]>) -> Option<EntityId> {
        let entities = &self.reader.directory.entities;
        let column = context.columns.entity;
        let id = context.text(column);
        if let Some(item) = entities.id(id) {
            return EntityId::new(&item.id).ok();
        }
        if self.reader.add_entities {
            let name = context.text(context.columns.name);
            return match EntityId::new(id) {
                Ok(new) => Some(self.add_entity(new, if name.is_empty() { id } else { name }, economies)),
                Err(error) => {
                    self.findings.error("BAD_ID", context.place(column), error.to_string());
                    None
                }
            };
        }
        let error = match entities.find(id, &[self.reader.subject], &[]) {
            Ok(item) => LookupError::Unknown(vec![item.id.clone()]),
            Err(error) => error,
        };
        self.note_unknown("UNKNOWN_ENTITY", id, error, context.place(column));
        None
    }

    fn entity_by_name(&mut self, context: &Context<'_>, economies: Option<&[EntityId]>) -> Option<EntityId> {
        let column = context.columns.name;
        let name = self.without_footnote_marks(context.text(column));
        if name.is_empty() {
            self.findings.error("NO_KEY", context.line(), "the row names nothing");
            return None;
        }
        let entities = &self.reader.directory.entities;
        match entities.find(name, &[self.reader.subject], economies.unwrap_or_default()) {
            Ok(item) => EntityId::new(&item.id).ok(),
            Err(LookupError::Unknown(near) | LookupError::Elsewhere(near)) if self.reader.add_entities => {
                self.entity_from_name(name, near, context.place(column), economies)
            }
            Err(error) => {
                self.note_unknown("UNKNOWN_ENTITY", name, error, context.place(column));
                None
            }
        }
    }

    /// A new entity with an id that is made of its name. Economies get none: their ids are codes.
    fn entity_from_name(
        &mut self,
        name: &str,
        near: Vec<String>,
        place: String,
        economies: Option<&[EntityId]>,
    ) -> Option<EntityId> {
        let message = match self.free_id(name, economies.unwrap_or_default()) {
            Some(id) if self.reader.subject != EntityKind::Economy => {
                return Some(self.add_entity(id, name, economies));
            }
            Some(id) => format!(
                "`{name}` is no economy that is known, and an economy is not made from a name (`{id}`); define it, or give its id in a column `entity`"
            ),
            None => {
                format!("no free id can be made of `{name}`; define it, or give its id in a column `entity`")
            }
        };
        self.findings.near("UNKNOWN_ENTITY", place, message, near);
        None
    }

    /// An id that no other entity has: made of the name, or else of the name and the economies.
    fn free_id(&self, name: &str, economies: &[EntityId]) -> Option<EntityId> {
        let short = entity_id(id_prefix(self.reader.subject), name)?;
        if self.is_free(&short, economies) {
            return Some(short);
        }
        if economies.is_empty() {
            return None;
        }
        let codes: Vec<&str> = economies.iter().map(EntityId::as_str).collect();
        let long = EntityId::new(&format!("{short}-{}", codes.join("-").to_lowercase())).ok()?;
        self.is_free(&long, economies).then_some(long)
    }

    /// Whether neither the catalog nor an earlier row has an entity with this id. A new entity in the same economies is
    /// the same entity.
    fn is_free(&self, id: &EntityId, economies: &[EntityId]) -> bool {
        self.reader.directory.entities.id(id.as_str()).is_none()
            && self.new_entities.get(id).is_none_or(|new| new.lies_in == economies)
    }

    fn add_entity(&mut self, id: EntityId, name: &str, economies: Option<&[EntityId]>) -> EntityId {
        let new = NewEntity {
            id: id.clone(),
            kind: self.reader.subject,
            name: name.to_owned(),
            codes: Vec::new(),
            lies_in: economies.unwrap_or_default().to_vec(),
        };
        self.new_entities.insert(id.clone(), new);
        id
    }

    fn note_unknown(&mut self, code: &str, text: &str, error: LookupError, place: String) {
        match error {
            LookupError::Unknown(near) => {
                self.findings.near(code, place, format!("`{text}` is not known by that name"), near);
            }
            LookupError::Elsewhere(ids) => {
                let message = format!("`{text}` is known in other economies only; give the id in a column `entity`");
                self.findings.near(code, place, message, ids);
            }
            LookupError::Ambiguous(ids) => {
                let message = format!("`{text}` is the name of several; give the id in a column `entity`");
                self.findings.near("AMBIGUOUS_NAME", place, message, ids);
            }
        }
    }

    fn without_footnote_marks<'t>(&self, text: &'t str) -> &'t str {
        let marks = &self.reader.shape.footnote_marks;
        text.trim().trim_end_matches(|letter| marks.contains(letter)).trim_end()
    }
}

fn id_prefix(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Cluster => "cluster:",
        EntityKind::Organisation => "organisation:",
        EntityKind::RegionGroup => "group:",
        EntityKind::Economy | EntityKind::World => "",
    }
}
