//! Which sources streams leave out: those whose licences forbid redistribution.
//!
//! Invariant: `version` grows whenever the sources change, so that a stream notices that its filters are of older ones.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    ledger::log::Header,
    model::catalog::{Definition, DefinitionKind, Redistribution},
    query::Reader,
};

/// The sources that streams leave out.
#[derive(Debug, Clone, Default)]
pub struct Licences {
    /// Grows whenever `left_out` changes.
    pub version: u64,
    /// Ids of sources.
    pub left_out: Arc<BTreeSet<String>>,
}

impl Licences {
    /// As the newest state defines them.
    pub(super) fn read(reader: &Reader) -> Self {
        Self { version: 0, left_out: Arc::new(forbidden_sources(reader)) }
    }

    /// The next version, if the newest state leaves out other sources.
    pub(super) fn next(&self, reader: &Reader) -> Option<Self> {
        let left_out = forbidden_sources(reader);
        (*self.left_out != left_out).then(|| Self { version: self.version + 1, left_out: Arc::new(left_out) })
    }

    /// Whether a commit can change which sources are left out.
    pub(super) fn may_change_in(header: &Header) -> bool {
        let counts = &header.commit.counts;
        counts.definitions_added + counts.definitions_revised + counts.definitions_removed > 0
    }
}

/// Ids of the sources that forbid redistribution.
fn forbidden_sources(reader: &Reader) -> BTreeSet<String> {
    let catalog = reader.view().catalog();
    let mut forbidden = BTreeSet::new();
    for definition in catalog.definitions(DefinitionKind::Source, "", reader.head()) {
        if let Definition::Source(source) = definition.as_ref()
            && source.redistribution == Redistribution::Forbidden
        {
            forbidden.insert(source.id.to_string());
        }
    }
    forbidden
}
