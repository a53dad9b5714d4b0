//! Definitions: which really change, and whether what they refer to is known.

use std::collections::HashSet;

use super::{PlanError, Planner};
use crate::{
    ledger::record::Record,
    model::catalog::{Definition, DefinitionKind},
    store::nearest::nearest,
};

impl Planner<'_> {
    pub(super) fn define(&mut self, definitions: Vec<Definition>) -> Result<(), PlanError> {
        let sent: HashSet<(DefinitionKind, String)> =
            definitions.iter().map(|definition| (definition.kind(), definition.id().to_owned())).collect();
        let mut seen = HashSet::new();
        for (at, definition) in definitions.into_iter().enumerate() {
            let location = format!("definitions[{at}]");
            if !seen.insert((definition.kind(), definition.id().to_owned())) {
                let message = format!("{} `{}` comes twice", definition.kind().name(), definition.id());
                self.outcome.findings.error("DUPLICATE_DEFINITION", location, message);
                continue;
            }
            for (kind, id) in references(&definition) {
                let known = self.catalog.definition(kind, id, self.head).is_some();
                if !known && !sent.contains(&(kind, id.to_owned())) {
                    let code = if kind == DefinitionKind::Source { "UNKNOWN_SOURCE" } else { "UNKNOWN_ENTITY" };
                    let message = format!("`{}` refers to {} `{id}`, which is not known", definition.id(), kind.name());
                    let near = nearest(&self.catalog, kind, id, self.head);
                    self.outcome.findings.unknown(code, location.clone(), message, near);
                }
            }
            let before = self.catalog.definition(definition.kind(), definition.id(), self.head).cloned();
            match before {
                Some(before) if *before == definition => self.outcome.counts.unchanged += 1,
                before => {
                    let count = if before.is_some() {
                        &mut self.outcome.counts.revised
                    } else {
                        &mut self.outcome.counts.added
                    };
                    *count += 1;
                    let before = before.map(|before| Box::new(before.as_ref().clone()));
                    self.emit(Record::Definition(before, Box::new(definition)))?;
                }
            }
        }
        Ok(())
    }
}

/// What a definition refers to.
fn references(definition: &Definition) -> Vec<(DefinitionKind, &str)> {
    match definition {
        Definition::Indicator(_) | Definition::Source(_) => Vec::new(),
        Definition::Entity(entity) => {
            entity.relations.iter().map(|relation| (DefinitionKind::Entity, relation.entity.as_str())).collect()
        }
        Definition::Ranking(ranking) => vec![(DefinitionKind::Source, ranking.source.as_str())],
    }
}
