//! What a code or a name in a file stands for.
//!
//! Invariants:
//! - A text stands for an item of the catalog only if it is its id, one of its codes, or one of its names, where case,
//!   accents and punctuation do not matter.
//! - A name never stands for an item that lies in other economies than the file says.
//! - An item with a similar name is suggested and never used.

use std::collections::HashMap;

use crate::model::{
    catalog::EntityKind,
    id::{EntityId, IndicatorId, SourceId},
    text::normalized,
};

/// Most suggestions for one text.
const NEAREST_MAX: usize = 3;
/// Likeness, from 0 to 1, below which a name is not suggested.
const LIKENESS_MIN: f64 = 0.55;

/// An entity or an indicator, as far as it matters for finding it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogItem {
    pub id: String,
    /// `None` for an indicator.
    pub kind: Option<EntityKind>,
    /// Ids of the entities that it lies in; empty if that is not known.
    pub lies_in: Vec<String>,
}

/// Finds items of the catalog by id, code and name.
#[derive(Debug, Clone, Default)]
pub struct NameIndex {
    items: Vec<CatalogItem>,
    /// Places in `items`.
    ids: HashMap<String, usize>,
    /// Code → schemes and places.
    codes: HashMap<String, Vec<(String, usize)>>,
    /// Normalized name → places of all that have it.
    names: HashMap<String, Vec<usize>>,
}

/// Why a text stands for nothing. The ids are suggestions, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupError {
    /// Nothing has that name; these have a similar one.
    Unknown(Vec<String>),
    /// Several have it.
    Ambiguous(Vec<String>),
    /// Only these have it, and they lie in other economies.
    Elsewhere(Vec<String>),
}

impl NameIndex {
    /// Adds an item with its codes (scheme, code) and names.
    pub fn add<'a>(
        &mut self,
        item: CatalogItem,
        codes: impl IntoIterator<Item = (&'a str, &'a str)>,
        names: impl IntoIterator<Item = &'a str>,
    ) {
        let at = self.items.len();
        for (scheme, code) in codes {
            self.codes.entry(code.to_owned()).or_default().push((scheme.to_owned(), at));
        }
        for name in names {
            let holders = self.names.entry(normalized(name)).or_default();
            if !holders.contains(&at) {
                holders.push(at);
            }
        }
        self.ids.insert(item.id.clone(), at);
        self.items.push(item);
    }

    pub fn id(&self, id: &str) -> Option<&CatalogItem> {
        self.ids.get(id).map(|at| &self.items[*at])
    }

    /// The item of a code: in the schemes given, first choice first; else the item with this id.
    pub fn code(&self, code: &str, schemes: &[impl AsRef<str>]) -> Option<&CatalogItem> {
        let holders = self.codes.get(code).map_or(&[][..], Vec::as_slice);
        for scheme in schemes {
            if let Some((_, at)) = holders.iter().find(|(of, _)| of == scheme.as_ref()) {
                return Some(&self.items[*at]);
            }
        }
        self.id(code)
    }

    /// The item of one of these kinds (any kind if none is given) that has this id, code in any scheme, or name.
    ///
    /// If `economies` are given, a name stands only for an item that lies in one of them, or for one of which it is not
    /// known where it lies.
    pub fn find(&self, text: &str, kinds: &[EntityKind], economies: &[EntityId]) -> Result<&CatalogItem, LookupError> {
        if let Some(at) = self.ids.get(text)
            && self.is_of_kind(*at, kinds)
        {
            return Ok(&self.items[*at]);
        }
        let by_code = self.codes.get(text).into_iter().flatten().map(|(_, at)| *at);
        let mut places: Vec<usize> = by_code.filter(|at| self.is_of_kind(*at, kinds)).collect();
        if places.is_empty() {
            let by_name = self.names.get(&normalized(text)).into_iter().flatten().copied();
            let by_name: Vec<usize> = by_name.filter(|at| self.is_of_kind(*at, kinds)).collect();
            places = self.in_economies(&by_name, economies);
            if places.is_empty() && !by_name.is_empty() {
                return Err(LookupError::Elsewhere(self.ids_at(&by_name)));
            }
        }
        places.sort_unstable();
        places.dedup();
        match places.as_slice() {
            [at] => Ok(&self.items[*at]),
            [] => Err(LookupError::Unknown(self.nearest(text, kinds))),
            several => Err(LookupError::Ambiguous(self.ids_at(several))),
        }
    }

    fn is_of_kind(&self, at: usize, kinds: &[EntityKind]) -> bool {
        kinds.is_empty() || self.items[at].kind.is_some_and(|kind| kinds.contains(&kind))
    }

    fn ids_at(&self, places: &[usize]) -> Vec<String> {
        places.iter().map(|at| self.items[*at].id.clone()).collect()
    }

    /// The items that lie in one of these economies; if none does, those of which it is not known where they lie.
    fn in_economies(&self, places: &[usize], economies: &[EntityId]) -> Vec<usize> {
        if economies.is_empty() {
            return places.to_vec();
        }
        let mut inside = Vec::new();
        let mut not_known = Vec::new();
        for at in places {
            let lies_in = &self.items[*at].lies_in;
            if lies_in.is_empty() {
                not_known.push(*at);
            } else if economies.iter().any(|economy| lies_in.iter().any(|id| id == economy.as_str())) {
                inside.push(*at);
            }
        }
        if inside.is_empty() { not_known } else { inside }
    }

    /// The ids of the items with the most similar id, code or name, best first; at most [`NEAREST_MAX`].
    pub fn nearest(&self, text: &str, kinds: &[EntityKind]) -> Vec<String> {
        let mut search = NearestSearch { text: normalized(text), best: HashMap::new() };
        for (name, holders) in &self.names {
            for at in holders {
                if self.is_of_kind(*at, kinds) {
                    search.consider(name, *at);
                }
            }
        }
        for (id, at) in &self.ids {
            if self.is_of_kind(*at, kinds) {
                search.consider(&normalized(id), *at);
            }
        }
        for (code, holders) in &self.codes {
            for (_, at) in holders {
                if self.is_of_kind(*at, kinds) {
                    search.consider(&normalized(code), *at);
                }
            }
        }
        let mut near: Vec<(f64, &str)> = Vec::new();
        for (at, likeness) in search.best {
            if likeness >= LIKENESS_MIN {
                near.push((likeness, &self.items[at].id));
            }
        }
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        near.into_iter().take(NEAREST_MAX).map(|(_, id)| id.to_owned()).collect()
    }
}

/// How similar each item is to a text.
struct NearestSearch {
    /// Normalized.
    text: String,
    /// Place of an item → the best likeness of its id, codes and names.
    best: HashMap<usize, f64>,
}

impl NearestSearch {
    fn consider(&mut self, normalized: &str, at: usize) {
        let likeness = strsim::normalized_damerau_levenshtein(normalized, &self.text);
        let best = self.best.entry(at).or_default();
        *best = best.max(likeness);
    }
}

/// All names that a file can refer to.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    pub entities: NameIndex,
    pub indicators: NameIndex,
}

/// An entity that a file names and the catalog does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntity {
    pub id: EntityId,
    pub kind: EntityKind,
    pub name: String,
    /// Scheme and code.
    pub codes: Vec<(String, String)>,
    pub lies_in: Vec<EntityId>,
}

/// An indicator that a file names and the catalog does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIndicator {
    pub id: IndicatorId,
    pub name: String,
    pub source: SourceId,
}

/// An id made from a name: `cluster:tokyo-yokohama`. `None` if no letter of the name can stand in an id.
pub fn entity_id(prefix: &str, name: &str) -> Option<EntityId> {
    let normal = normalized(name);
    let ascii: String = normal.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == ' ').collect();
    let words: Vec<&str> = ascii.split_whitespace().collect();
    if words.is_empty() { None } else { EntityId::new(&format!("{prefix}{}", words.join("-"))).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, kind: EntityKind, lies_in: &[&str]) -> CatalogItem {
        let lies_in = lies_in.iter().map(|id| (*id).to_owned()).collect();
        CatalogItem { id: id.into(), kind: Some(kind), lies_in }
    }

    fn index() -> NameIndex {
        let mut names = NameIndex::default();
        names.add(
            item("TUR", EntityKind::Economy, &[]),
            [("iso3166-1-alpha2", "TR"), ("world-bank", "TUR")],
            ["Türkiye", "Turkey"],
        );
        names.add(
            item("ROU", EntityKind::Economy, &[]),
            [("world-bank", "ROU"), ("world-bank-2013", "ROM")],
            ["Romania"],
        );
        names.add(item("cluster:cambridge-gb", EntityKind::Cluster, &["GBR"]), [], ["Cambridge"]);
        names.add(item("cluster:cambridge-us", EntityKind::Cluster, &["USA"]), [], ["Cambridge"]);
        names.add(item("cluster:xian", EntityKind::Cluster, &["CHN"]), [], ["Xi'an"]);
        names
    }

    #[test]
    fn an_item_is_found_by_id_code_and_name() {
        let names = index();
        for text in ["TUR", "TR", "Turkey", "türkiye", "TURKIYE"] {
            assert_eq!(names.find(text, &[EntityKind::Economy], &[]).unwrap().id, "TUR", "{text}");
        }
        assert_eq!(names.find("Xi’an", &[EntityKind::Cluster], &[]).unwrap().id, "cluster:xian");
    }

    #[test]
    fn codes_are_looked_for_in_the_schemes_of_the_file() {
        let names = index();
        let schemes = ["world-bank", "world-bank-2013"];
        assert_eq!(names.code("ROM", &schemes).unwrap().id, "ROU");
        assert!(names.code("TR", &schemes).is_none());
        assert_eq!(names.code("cluster:xian", &schemes).unwrap().id, "cluster:xian");
    }

    #[test]
    fn a_name_that_several_items_have_needs_an_economy() {
        let names = index();
        let ambiguous = names.find("Cambridge", &[EntityKind::Cluster], &[]).unwrap_err();
        assert!(matches!(ambiguous, LookupError::Ambiguous(ids) if ids.len() == 2));
        let here = [EntityId::new("GBR").unwrap()];
        assert_eq!(names.find("Cambridge", &[EntityKind::Cluster], &here).unwrap().id, "cluster:cambridge-gb");
    }

    #[test]
    fn an_item_in_another_economy_is_not_found() {
        let names = index();
        let canada = [EntityId::new("CAN").unwrap()];
        let xian = names.find("Xi'an", &[EntityKind::Cluster], &canada).unwrap_err();
        assert_eq!(xian, LookupError::Elsewhere(vec!["cluster:xian".into()]));
        let cambridge = names.find("Cambridge", &[EntityKind::Cluster], &canada).unwrap_err();
        let both = vec!["cluster:cambridge-gb".into(), "cluster:cambridge-us".into()];
        assert_eq!(cambridge, LookupError::Elsewhere(both));
        // It is not known where an economy lies: its name is enough.
        assert_eq!(names.find("Turkey", &[], &canada).unwrap().id, "TUR");
    }

    #[test]
    fn a_similar_name_is_suggested_and_never_used() {
        let names = index();
        let near = names.find("Turkye", &[EntityKind::Economy], &[]).unwrap_err();
        assert_eq!(near, LookupError::Unknown(vec!["TUR".into()]));
        assert_eq!(names.find("Atlantis", &[], &[]).unwrap_err(), LookupError::Unknown(vec![]));
    }

    #[test]
    fn an_id_is_made_of_the_letters_of_a_name() {
        assert_eq!(entity_id("cluster:", "Shenzhen–Hong Kong").unwrap().as_str(), "cluster:shenzhen-hong-kong");
        assert_eq!(
            entity_id("cluster:", "Washington, DC–Baltimore, MD").unwrap().as_str(),
            "cluster:washington-dc-baltimore-md"
        );
        assert_eq!(entity_id("cluster:", "東京"), None);
    }
}
