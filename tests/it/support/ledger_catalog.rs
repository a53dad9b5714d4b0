//! Definitions in the types of the ledger, for tests without a server.

use almanac::model::{
    catalog::{Direction, Entity, EntityKind, Frequency, Indicator, Redistribution, Source, Timing},
    id::{EntityId, IndicatorId, SourceId},
};

/// A source that allows redistribution.
pub(crate) fn source(id: &str, precedence: u32) -> Source {
    Source {
        id: SourceId::new(id).unwrap(),
        producer: id.into(),
        title: String::new(),
        published: None,
        url: String::new(),
        licence: String::new(),
        redistribution: Redistribution::Allowed,
        precedence,
    }
}

pub(crate) fn entity(id: &str, kind: EntityKind) -> Entity {
    Entity {
        id: EntityId::new(id).unwrap(),
        kind,
        name: id.into(),
        codes: Vec::new(),
        names: Vec::new(),
        relations: Vec::new(),
    }
}

pub(crate) fn indicator(id: &str) -> Indicator {
    Indicator {
        id: IndicatorId::new(id).unwrap(),
        name: id.into(),
        unit: String::new(),
        direction: Direction::NotStated,
        default_decimals: 0,
        definition: String::new(),
        frequency: Frequency::Annual,
        licence: String::new(),
        timing: Timing::Flow,
    }
}
