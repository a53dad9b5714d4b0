//! What somebody may have meant by an id that is not known.

use std::fmt;

use super::catalog::Catalog;
use crate::model::{
    catalog::{Definition, DefinitionKind},
    id::Revision,
    text::normalized,
};

/// The end of a sentence that names what is near.
pub fn near_clause(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) }
}

/// So many ids are few: all of them are named.
const FEW: usize = 20;
/// Unless they are longer than this together: errors travel in headers, which have little room.
const FEW_BYTES: usize = 1_000;

/// The ids there are, where they are few; else those nearest to one that is not known, or the newest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suggestions {
    /// Best first.
    pub ids: Vec<String>,
    /// There are no others.
    pub complete: bool,
}

impl Suggestions {
    /// Of definitions of a kind.
    pub fn definitions(catalog: &Catalog, kind: DefinitionKind, id: &str, at: Revision) -> Self {
        let all: Vec<String> =
            catalog.definitions(kind, "", at).take(FEW + 1).map(|known| known.id().to_owned()).collect();
        let nearest = nearest_ids(catalog, kind, id, at);
        if !are_few(&all) {
            return Self { ids: nearest, complete: false };
        }
        let rest = all.into_iter().filter(|known| !nearest.contains(known)).collect();
        Self { ids: [nearest, rest].concat(), complete: true }
    }

    /// Of ids from the oldest to the newest.
    pub fn newest(ids: impl DoubleEndedIterator<Item = impl ToString>) -> Self {
        let mut ids: Vec<String> = ids.rev().take(FEW + 1).map(|id| id.to_string()).collect();
        let complete = are_few(&ids);
        while !are_few(&ids) {
            ids.pop();
        }
        Self { ids, complete }
    }
}

fn are_few(ids: &[String]) -> bool {
    ids.len() <= FEW && ids.iter().map(String::len).sum::<usize>() <= FEW_BYTES
}

/// The end of a sentence about an id that is not known.
impl fmt::Display for Suggestions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.complete && !self.ids.is_empty() {
            return write!(f, "; there are: {}", self.ids.join(", "));
        }
        f.write_str(&near_clause(&self.ids))
    }
}

/// How many are named.
const NEAREST_MAX: usize = 3;
/// Likeness, from 0 to 1, below which a name is no help.
const LIKENESS_MIN: f64 = 0.55;

/// The nearest known ids, best first: by code, by name, by spelling.
pub fn nearest_ids(catalog: &Catalog, kind: DefinitionKind, id: &str, at: Revision) -> Vec<String> {
    let wanted = normalized(id);
    let mut found: Vec<(f64, &str)> = catalog
        .definitions(kind, "", at)
        .map(|definition| (likeness(definition, &wanted), definition.id()))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    found.into_iter().take(NEAREST_MAX).map(|(_, id)| id.to_owned()).collect()
}

fn likeness(definition: &Definition, wanted: &str) -> f64 {
    searchable_texts(definition)
        .map(|text| {
            let text = normalized(text);
            if text == wanted { 1.0 } else { strsim::normalized_damerau_levenshtein(&text, wanted) }
        })
        .fold(0.0, f64::max)
}

/// The texts by which a definition may be known.
pub fn searchable_texts(definition: &Definition) -> Box<dyn Iterator<Item = &str> + '_> {
    match definition {
        Definition::Indicator(indicator) => Box::new([indicator.id.as_str(), indicator.name.as_str()].into_iter()),
        Definition::Source(source) => {
            Box::new([source.id.as_str(), source.producer.as_str(), source.title.as_str()].into_iter())
        }
        Definition::Methodology(methodology) => Box::new(std::iter::once(methodology.id.as_str())),
        Definition::Ranking(ranking) => Box::new([ranking.id.as_str(), ranking.name.as_str()].into_iter()),
        Definition::Entity(entity) => Box::new(
            [entity.id.as_str(), entity.name.as_str()]
                .into_iter()
                .chain(entity.codes.iter().map(|(_, code)| code.as_str()))
                .chain(entity.names.iter().map(|name| name.text.as_str())),
        ),
    }
}
