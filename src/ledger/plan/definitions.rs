//! Definitions: which of them really change, and whether the ids that they refer to are known.
//!
//! The planner takes the definitions of a write first, because its figures and editions may use them. Afterwards its catalog
//! has them at the revision that the commit would have.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{PlanError, Planner};
use crate::{
    ledger::record::Record,
    model::catalog::{Definition, DefinitionKind, Entity, Methodology},
};

impl Planner<'_> {
    pub(super) fn define(&mut self, definitions: Vec<Definition>) -> Result<(), PlanError> {
        if definitions.is_empty() {
            return Ok(());
        }
        let mut seen = HashSet::new();
        for (at, definition) in definitions.iter().enumerate() {
            if seen.insert((definition.kind(), definition.id())) {
                Arc::make_mut(&mut self.catalog).define(self.revision, definition.clone());
            } else {
                let message = format!("{} `{}` comes twice", definition.kind().name(), definition.id());
                self.outcome.findings.error("DUPLICATE_DEFINITION", format!("definitions[{at}]"), message);
            }
        }
        self.check_codes(&definitions);
        for (at, definition) in definitions.into_iter().enumerate() {
            let location = format!("definitions[{at}]");
            self.check_references(&definition, &location);
            let before = self.catalog.definition(definition.kind(), definition.id(), self.head).cloned();
            let counts = &mut self.outcome.counts;
            match &before {
                Some(before) if **before == definition => {
                    counts.definitions_unchanged += 1;
                    continue;
                }
                Some(_) => counts.definitions_revised += 1,
                None => counts.definitions_added += 1,
            }
            if let (Some(_), Definition::Methodology(methodology)) = (&before, &definition) {
                self.check_in_use(methodology, &location);
            }
            let before = before.map(|before| Box::new(before.as_ref().clone()));
            self.emit(Record::Definition { before, after: Box::new(definition) })?;
        }
        Ok(())
    }

    fn check_references(&mut self, definition: &Definition, location: &str) {
        for (kind, id) in references(definition) {
            if self.catalog.definition(kind, id, self.revision).is_none() {
                let code = if kind == DefinitionKind::Source { "UNKNOWN_SOURCE" } else { "UNKNOWN_ENTITY" };
                let message = format!("`{}` refers to {} `{id}`, which is not known", definition.id(), kind.name());
                self.outcome.findings.unknown(code, location, message, kind, id);
            }
        }
    }

    /// A code names one entity. With two, the answer to a code would depend on chance.
    fn check_codes(&mut self, definitions: &[Definition]) {
        let mut sent: HashMap<&str, usize> = HashMap::new();
        let mut has_codes = false;
        for (at, definition) in definitions.iter().enumerate() {
            if let Definition::Entity(entity) = definition {
                sent.insert(entity.id.as_str(), at);
                has_codes |= !entity.codes.is_empty();
            }
        }
        if !has_codes {
            return;
        }
        let catalog = self.catalog.clone();
        let mut owners: HashMap<(&str, &str), &Entity> = HashMap::new();
        for definition in catalog.definitions(DefinitionKind::Entity, "", self.revision) {
            let Definition::Entity(entity) = definition.as_ref() else { continue };
            for (scheme, code) in &entity.codes {
                let Some(other) = owners.insert((scheme, code), entity) else { continue };
                // Two entities that both came before this rule keep their code.
                let Some(at) = sent.get(entity.id.as_str()).or_else(|| sent.get(other.id.as_str())) else { continue };
                let message = if other.id == entity.id {
                    format!("{} has code `{code}` of scheme `{scheme}` twice", entity.id)
                } else {
                    format!("{} and {} both have code `{code}` of scheme `{scheme}`", other.id, entity.id)
                };
                self.outcome.findings.error("DUPLICATE_CODE", format!("definitions[{at}]"), message);
            }
        }
    }

    /// Warns that a methodology changes which an edition names.
    fn check_in_use(&mut self, methodology: &Methodology, location: &str) {
        let mut editions = self.catalog.all_editions(self.now()).filter(|edition| edition.stands());
        let Some(edition) = editions.find(|edition| edition.methodology == methodology.id.as_str()) else { return };
        let message = format!(
            "edition {} of {} was made by `{}`; an edition of another method names a methodology of its own",
            edition.edition, edition.ranking, methodology.id
        );
        self.outcome.findings.warning("METHODOLOGY_IN_USE", location, message);
    }
}

/// The definitions that a definition refers to.
pub(super) fn references(definition: &Definition) -> Vec<(DefinitionKind, &str)> {
    match definition {
        Definition::Indicator(_) | Definition::Source(_) | Definition::Methodology(_) => Vec::new(),
        Definition::Entity(entity) => {
            entity.relations.iter().map(|relation| (DefinitionKind::Entity, relation.entity.as_str())).collect()
        }
        Definition::Ranking(ranking) => vec![(DefinitionKind::Source, ranking.source.as_str())],
    }
}
