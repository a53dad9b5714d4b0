//! Suggestions for an id that is not known: ids that the client may have meant.
//!
//! Invariant: suggestions are short. Errors travel in headers, which have little room.

use std::fmt;

use super::catalog::Catalog;
use crate::model::{
    catalog::{Definition, DefinitionKind},
    id::{ID_BYTES_MAX, Revision},
    text::normalized,
};

/// The end of a sentence that names ids near an unknown one: `; near it: a, b`. Empty without ids.
pub fn near_clause(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) }
}

/// Most ids that are all listed.
const LISTED_IDS_MAX: usize = 20;
/// Most bytes of ids that are all listed.
const LISTED_BYTES_MAX: usize = 1_000;

/// All ids if there are at most 20; else a few of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suggestions {
    /// Best first.
    pub ids: Vec<String>,
    /// Whether `ids` are all ids.
    pub complete: bool,
}

impl Suggestions {
    /// Suggestions for an unknown id of a definition: the nearest first, and if there are few ids, then the others.
    pub fn definitions(catalog: &Catalog, kind: DefinitionKind, id: &str, at: Revision) -> Self {
        let definitions = catalog.definitions(kind, "", at);
        let mut all: Vec<String> = definitions.take(LISTED_IDS_MAX + 1).map(|known| known.id().to_owned()).collect();
        let nearest = nearest_ids(catalog, kind, id, at);
        if !can_be_listed(&all) {
            return Self { ids: nearest, complete: false };
        }
        all.retain(|known| !nearest.contains(known));
        Self { ids: [nearest, all].concat(), complete: true }
    }

    /// The newest of ids that come from the oldest to the newest.
    pub fn newest(ids: impl DoubleEndedIterator<Item = impl ToString>) -> Self {
        let mut ids: Vec<String> = ids.rev().take(LISTED_IDS_MAX + 1).map(|id| id.to_string()).collect();
        let complete = can_be_listed(&ids);
        while !can_be_listed(&ids) {
            ids.pop();
        }
        Self { ids, complete }
    }
}

fn can_be_listed(ids: &[String]) -> bool {
    ids.len() <= LISTED_IDS_MAX && ids.iter().map(String::len).sum::<usize>() <= LISTED_BYTES_MAX
}

/// The end of a sentence about an unknown id. Empty without suggestions.
impl fmt::Display for Suggestions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.complete && !self.ids.is_empty() {
            return write!(f, "; there are: {}", self.ids.join(", "));
        }
        f.write_str(&near_clause(&self.ids))
    }
}

/// Most ids that are returned as near.
const NEAREST_MAX: usize = 3;
/// Below this similarity, from 0 to 1, an id is not near.
const SIMILARITY_MIN: f64 = 0.55;
/// A longer text of a definition is not near: an id has at most [`ID_BYTES_MAX`] bytes.
const COMPARED_BYTES_MAX: usize = 1_000;
/// Most texts that one unknown id is compared with, letter by letter.
const COMPARED_TEXTS_MAX: usize = 50_000;

/// The known ids that are nearest to an unknown one, at most three, the nearest first. An id, a code and a name of a
/// definition all count.
pub fn nearest_ids(catalog: &Catalog, kind: DefinitionKind, id: &str, at: Revision) -> Vec<String> {
    let start: String = id.chars().take(ID_BYTES_MAX).collect();
    let mut comparison = Comparison::with(&start);
    let mut candidates: Vec<(f64, &str)> = Vec::new();
    for definition in catalog.definitions(kind, "", at) {
        let similarity = comparison.similarity(definition);
        if similarity >= SIMILARITY_MIN {
            candidates.push((similarity, definition.id()));
        }
        if comparison.compared >= COMPARED_TEXTS_MAX {
            break;
        }
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    candidates.into_iter().take(NEAREST_MAX).map(|(_, id)| id.to_owned()).collect()
}

/// Comparisons of one unknown id with the texts of definitions.
struct Comparison {
    unknown: String,
    /// Characters of `unknown`.
    length: usize,
    /// How many texts were compared letter by letter.
    compared: usize,
}

impl Comparison {
    fn with(id: &str) -> Self {
        let unknown = normalized(id);
        Self { length: unknown.chars().count(), unknown, compared: 0 }
    }

    /// From 0 to 1: the similarity to the most similar text of a definition; 0 if none reaches [`SIMILARITY_MIN`].
    fn similarity(&mut self, definition: &Definition) -> f64 {
        let mut best = 0.0;
        for text in searchable_texts(definition) {
            if text.len() > COMPARED_BYTES_MAX {
                continue;
            }
            let text = normalized(text);
            if text == self.unknown {
                return 1.0;
            }
            // Each letter that one of the two has more is a difference.
            let length = text.chars().count();
            let similarity_max = self.length.min(length) as f64 / self.length.max(length).max(1) as f64;
            if similarity_max >= SIMILARITY_MIN {
                self.compared += 1;
                best = f64::max(best, strsim::normalized_damerau_levenshtein(&text, &self.unknown));
            }
        }
        best
    }
}

/// The texts by which people know a definition: its id, its names, and the codes of an entity.
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
