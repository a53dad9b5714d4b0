//! "Did you mean": known ids near the unknown ones of a write.
//!
//! The planner only notes which ids are unknown. Comparing them with every name of the catalog takes milliseconds each, so it
//! is done when the answer has left the writer's thread, for a few ids of a write: a status lists few, and whoever sends many
//! wrong ids mistook the whole file.
//!
//! Invariant: the writer's thread compares no names.

use std::{collections::HashMap, sync::Arc};

use crate::{
    model::{
        catalog::DefinitionKind,
        finding::{Finding, UnknownId},
        id::Revision,
    },
    store::{catalog::Catalog, suggestions::nearest_ids},
};

/// Most unknown ids of a write that get suggestions.
const SUGGESTED_IDS_MAX: usize = 5;

/// The ids that a write could use: those at head, and those that it defines itself.
#[derive(Debug, Clone)]
pub struct KnownIds {
    pub(super) catalog: Arc<Catalog>,
    pub(super) revision: Revision,
}

impl KnownIds {
    /// Adds suggestions to the first findings about unknown ids.
    pub fn suggest(&self, findings: &mut [Finding]) {
        let mut near: HashMap<(DefinitionKind, String), Vec<String>> = HashMap::new();
        for finding in findings {
            let Some(UnknownId { kind, id }) = finding.unknown.take() else { continue };
            let key = (kind, id);
            if !near.contains_key(&key) {
                if near.len() == SUGGESTED_IDS_MAX {
                    continue;
                }
                let nearest = nearest_ids(&self.catalog, key.0, &key.1, self.revision);
                near.insert(key.clone(), nearest);
            }
            finding.suggestions = near.get(&key).cloned().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        catalog::{Definition, Redistribution, Source},
        finding::Findings,
        id::SourceId,
    };

    fn source(id: &str) -> Source {
        Source {
            id: SourceId::new(id).unwrap(),
            producer: String::new(),
            title: String::new(),
            published: None,
            url: String::new(),
            licence: String::new(),
            redistribution: Redistribution::default(),
            precedence: 0,
        }
    }

    #[test]
    fn the_first_unknown_ids_get_suggestions_each_wherever_it_stands() {
        let mut catalog = Catalog::default();
        catalog.define(Revision(1), Definition::Source(source("bank")));
        let known = KnownIds { catalog: Arc::new(catalog), revision: Revision(1) };
        let mut findings = Findings::default();
        for number in (0..SUGGESTED_IDS_MAX + 2).chain([0]) {
            findings.unknown("UNKNOWN_SOURCE", "here", "unknown", DefinitionKind::Source, &format!("bank{number}"));
        }
        let mut findings = findings.into_vec();
        known.suggest(&mut findings);
        let suggested: Vec<bool> = findings.iter().map(|finding| finding.suggestions == ["bank"]).collect();
        assert_eq!(suggested, [true, true, true, true, true, false, false, true]);
    }
}
