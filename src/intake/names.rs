//! What a code or a name in a file means.
//!
//! Invariant: a text means a thing only if it is its id, one of its codes, or one of its names up to case, accents and
//! punctuation; and a name means a thing that lies in other economies than the file says never. What is merely near is
//! suggested, never taken.

use std::collections::HashMap;

use crate::model::{
    catalog::EntityKind,
    id::{EntityId, IndicatorId, SourceId},
    text::normalized,
};

/// How many suggestions are given.
const NEAREST_MAX: usize = 3;
/// Likeness, from 0 to 1, below which a name is no help.
const LIKENESS_MIN: f64 = 0.55;

/// One thing that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Its kind, if it is an entity.
    pub kind: Option<EntityKind>,
    /// Entities it lies in.
    pub lies_in: Vec<String>,
}

/// Names of things, to look them up.
#[derive(Debug, Clone, Default)]
pub struct Names {
    things: Vec<Named>,
    ids: HashMap<String, usize>,
    codes: HashMap<String, Vec<(String, usize)>>,
    folded: HashMap<String, Vec<usize>>,
}

/// Why a text means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoMatch {
    /// Nothing has that name; these have a similar one.
    Unknown(Vec<String>),
    /// Several things have it.
    Ambiguous(Vec<String>),
    /// These have it, and lie in other economies.
    Elsewhere(Vec<String>),
}

impl Names {
    /// Adds a thing. Every text in `texts` is one of its names.
    pub fn add<'a>(
        &mut self,
        thing: Named,
        codes: impl IntoIterator<Item = (&'a str, &'a str)>,
        texts: impl IntoIterator<Item = &'a str>,
    ) {
        let at = self.things.len();
        for (scheme, code) in codes {
            self.codes.entry(code.to_owned()).or_default().push((scheme.to_owned(), at));
        }
        for text in texts {
            let holders = self.folded.entry(normalized(text)).or_default();
            if !holders.contains(&at) {
                holders.push(at);
            }
        }
        self.ids.insert(thing.id.clone(), at);
        self.things.push(thing);
    }

    /// How many things are known.
    pub fn len(&self) -> usize {
        self.things.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// The thing of this id.
    pub fn id(&self, id: &str) -> Option<&Named> {
        self.ids.get(id).map(|at| &self.things[*at])
    }

    /// The thing of this code: in the schemes given, first choice first; else the one of this id.
    pub fn code(&self, code: &str, schemes: &[String]) -> Option<&Named> {
        let known = self.codes.get(code);
        let in_scheme = |scheme: &String| {
            let found = known?.iter().find(|(of, _)| of == scheme);
            found.map(|(_, at)| &self.things[*at])
        };
        schemes.iter().find_map(in_scheme).or_else(|| self.id(code))
    }

    /// The thing that has this id, code in any scheme, or name. A name is that of a thing in one of these economies, if any are
    /// given and it is known where the thing lies.
    pub fn find(&self, text: &str, kinds: &[EntityKind], economies: &[EntityId]) -> Result<&Named, NoMatch> {
        let fits = |at: &usize| kinds.is_empty() || self.things[*at].kind.is_some_and(|kind| kinds.contains(&kind));
        if let Some(at) = self.ids.get(text).filter(|at| fits(at)) {
            return Ok(&self.things[*at]);
        }
        let by_code = self.codes.get(text).into_iter().flatten().map(|(_, at)| *at);
        let by_name = self.folded.get(&normalized(text)).into_iter().flatten().copied();
        let ids = |found: &[usize]| found.iter().map(|at| self.things[*at].id.clone()).collect::<Vec<_>>();
        let mut found: Vec<usize> = by_code.filter(fits).collect();
        if found.is_empty() {
            let named: Vec<usize> = by_name.filter(fits).collect();
            found = self.in_economies(&named, economies);
            if found.is_empty() && !named.is_empty() {
                return Err(NoMatch::Elsewhere(ids(&named)));
            }
        }
        found.sort_unstable();
        found.dedup();
        match found.as_slice() {
            [at] => Ok(&self.things[*at]),
            [] => Err(NoMatch::Unknown(self.nearest(text, kinds))),
            several => Err(NoMatch::Ambiguous(ids(several))),
        }
    }

    /// Those of some things that lie in one of these economies; where there is none, those of which it is not known where they lie.
    fn in_economies(&self, named: &[usize], economies: &[EntityId]) -> Vec<usize> {
        if economies.is_empty() {
            return named.to_vec();
        }
        let lies_in = |at: &usize| &self.things[*at].lies_in;
        let there = |at: &&usize| economies.iter().any(|economy| lies_in(at).iter().any(|id| id == economy.as_str()));
        let found: Vec<usize> = named.iter().filter(there).copied().collect();
        if !found.is_empty() {
            return found;
        }
        named.iter().filter(|at| lies_in(at).is_empty()).copied().collect()
    }

    /// The ids of what has the most similar name, best first.
    pub fn nearest(&self, text: &str, kinds: &[EntityKind]) -> Vec<String> {
        let wanted = normalized(text);
        let mut best: HashMap<usize, f64> = HashMap::new();
        let mut consider = |name: &str, at: usize| {
            let thing = &self.things[at];
            if kinds.is_empty() || thing.kind.is_some_and(|kind| kinds.contains(&kind)) {
                let likeness = strsim::normalized_damerau_levenshtein(name, &wanted);
                let known = best.entry(at).or_default();
                *known = known.max(likeness);
            }
        };
        self.folded.iter().for_each(|(name, holders)| holders.iter().for_each(|at| consider(name, *at)));
        self.ids.iter().for_each(|(id, at)| consider(&normalized(id), *at));
        self.codes
            .iter()
            .for_each(|(code, holders)| holders.iter().for_each(|(_, at)| consider(&normalized(code), *at)));
        let mut near: Vec<(f64, &str)> = best
            .into_iter()
            .filter(|(_, likeness)| *likeness >= LIKENESS_MIN)
            .map(|(at, likeness)| (likeness, self.things[at].id.as_str()))
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        near.into_iter().take(NEAREST_MAX).map(|(_, id)| id.to_owned()).collect()
    }
}

/// All names that files refer to.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// Entities.
    pub entities: Names,
    /// Indicators.
    pub indicators: Names,
}

/// An entity that a file names and nobody has defined.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct NewEntity {
    pub id: EntityId,
    pub kind: EntityKind,
    pub name: String,
    pub codes: Vec<(String, String)>,
    pub lies_in: Vec<EntityId>,
}

/// An indicator that a file names and nobody has defined.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct NewIndicator {
    pub id: IndicatorId,
    pub name: String,
    pub source: SourceId,
}

/// An id made from a name: `cluster:tokyo-yokohama`. Nothing if no letter of the name can stand in an id.
pub fn entity_id(prefix: &str, name: &str) -> Option<EntityId> {
    let folded = normalized(name);
    let ascii: String = folded.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == ' ').collect();
    let words: Vec<&str> = ascii.split_whitespace().collect();
    if words.is_empty() { None } else { EntityId::new(&format!("{prefix}{}", words.join("-"))).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Names {
        let mut names = Names::default();
        let thing = |id: &str, kind, lies_in: &[&str]| Named {
            id: id.into(),
            kind: Some(kind),
            lies_in: lies_in.iter().map(|id| (*id).to_owned()).collect(),
        };
        names.add(
            thing("TUR", EntityKind::Economy, &[]),
            [("iso3166-1-alpha2", "TR"), ("world-bank", "TUR")],
            ["Türkiye", "Turkey"],
        );
        names.add(
            thing("ROU", EntityKind::Economy, &[]),
            [("world-bank", "ROU"), ("world-bank-2013", "ROM")],
            ["Romania"],
        );
        names.add(thing("cluster:cambridge-gb", EntityKind::Cluster, &["GBR"]), [], ["Cambridge"]);
        names.add(thing("cluster:cambridge-us", EntityKind::Cluster, &["USA"]), [], ["Cambridge"]);
        names.add(thing("cluster:xian", EntityKind::Cluster, &["CHN"]), [], ["Xi'an"]);
        names
    }

    #[test]
    fn a_thing_is_found_by_id_code_and_name() {
        let names = directory();
        for text in ["TUR", "TR", "Turkey", "türkiye", "TURKIYE"] {
            assert_eq!(names.find(text, &[EntityKind::Economy], &[]).unwrap().id, "TUR", "{text}");
        }
        assert_eq!(names.find("Xi’an", &[EntityKind::Cluster], &[]).unwrap().id, "cluster:xian");
    }

    #[test]
    fn codes_are_looked_for_in_the_schemes_of_the_file() {
        let names = directory();
        let schemes = ["world-bank".to_owned(), "world-bank-2013".to_owned()];
        assert_eq!(names.code("ROM", &schemes).unwrap().id, "ROU");
        assert!(names.code("TR", &schemes).is_none());
        assert_eq!(names.code("cluster:xian", &schemes).unwrap().id, "cluster:xian");
    }

    #[test]
    fn a_name_that_several_have_needs_its_economy() {
        let names = directory();
        let ambiguous = names.find("Cambridge", &[EntityKind::Cluster], &[]).unwrap_err();
        assert!(matches!(ambiguous, NoMatch::Ambiguous(ids) if ids.len() == 2));
        let here = [EntityId::new("GBR").unwrap()];
        assert_eq!(names.find("Cambridge", &[EntityKind::Cluster], &here).unwrap().id, "cluster:cambridge-gb");
    }

    #[test]
    fn a_name_in_another_economy_is_another_thing() {
        let names = directory();
        let canada = [EntityId::new("CAN").unwrap()];
        let elsewhere = |name: &str| names.find(name, &[EntityKind::Cluster], &canada).unwrap_err();
        assert_eq!(elsewhere("Xi'an"), NoMatch::Elsewhere(vec!["cluster:xian".into()]));
        let both = vec!["cluster:cambridge-gb".into(), "cluster:cambridge-us".into()];
        assert_eq!(elsewhere("Cambridge"), NoMatch::Elsewhere(both));
        // Where it lies is not known of an economy: its name is enough.
        assert_eq!(names.find("Turkey", &[], &canada).unwrap().id, "TUR");
    }

    #[test]
    fn a_slip_is_suggested_and_never_taken() {
        let names = directory();
        let near = names.find("Turkye", &[EntityKind::Economy], &[]).unwrap_err();
        assert_eq!(near, NoMatch::Unknown(vec!["TUR".into()]));
        assert_eq!(names.find("Atlantis", &[], &[]).unwrap_err(), NoMatch::Unknown(vec![]));
    }

    #[test]
    fn ids_from_names() {
        assert_eq!(entity_id("cluster:", "Shenzhen–Hong Kong").unwrap().as_str(), "cluster:shenzhen-hong-kong");
        assert_eq!(
            entity_id("cluster:", "Washington, DC–Baltimore, MD").unwrap().as_str(),
            "cluster:washington-dc-baltimore-md"
        );
        assert_eq!(entity_id("cluster:", "東京"), None);
    }
}
