//! Definitions that are refused.

use almanac::proto::{definition::Item, *};
use tonic::Code;

use super::UntouchedServer;
use crate::support::fixture::*;

/// Definitions that are wrong in one thing.
struct Case {
    what: &'static str,
    definitions: Vec<Definition>,
    code: Code,
    reason: &'static str,
    field: &'static str,
}

fn invalid(what: &'static str, definition: Item, field: &'static str) -> Case {
    let definitions = vec![Definition { item: Some(definition) }];
    Case { what, definitions, code: Code::InvalidArgument, reason: "FIELD", field }
}

fn unknown(what: &'static str, definition: Item, reason: &'static str) -> Case {
    let definitions = vec![Definition { item: Some(definition) }];
    Case { what, definitions, code: Code::NotFound, reason, field: "definitions[0]" }
}

fn twice(what: &'static str, definition: Item) -> Case {
    let definitions = vec![Definition { item: Some(definition) }; 2];
    Case { what, definitions, code: Code::InvalidArgument, reason: "FINDINGS", field: "definitions[1]" }
}

fn france() -> Entity {
    Entity { id: "FRA".into(), kind: EntityKind::Economy.into(), name: "France".into(), ..Default::default() }
}

fn related(entity: &str, kind: RelationKind) -> Item {
    let relation = EntityRelation { kind: kind.into(), entity: entity.into(), ..Default::default() };
    Item::Entity(Entity { relations: vec![relation], ..france() })
}

fn method(components: Vec<MethodologyComponent>) -> Item {
    Item::Methodology(Methodology { id: "new".into(), components, ..Default::default() })
}

fn component(id: &str, parent: &str) -> MethodologyComponent {
    MethodologyComponent { id: id.into(), parent: parent.into(), ..Default::default() }
}

fn entity_cases() -> Vec<Case> {
    vec![
        invalid("id", Item::Entity(Entity { id: "F R".into(), ..france() }), "definitions[0].entity.id"),
        invalid("kind", Item::Entity(Entity { kind: 0, ..france() }), "definitions[0].entity.kind"),
        invalid("kind", Item::Entity(Entity { kind: 99, ..france() }), "definitions[0].entity.kind"),
        invalid("relation", related("DEU", RelationKind::Unspecified), "definitions[0].entity.relations.kind"),
        unknown("unknown", related("EUR", RelationKind::MemberOf), "UNKNOWN_ENTITY"),
        invalid("name", Item::Entity(Entity { name: "x".repeat(501), ..france() }), "definitions[0].entity.name"),
        invalid(
            "codes",
            Item::Entity(Entity { codes: vec![EntityCode::default(); 501], ..france() }),
            "definitions[0].entity.codes",
        ),
        twice("entity twice", Item::Entity(france())),
    ]
}

fn long_component(id: usize) -> MethodologyComponent {
    MethodologyComponent { name: "x".repeat(3_000), ..component(&id.to_string(), "") }
}

fn methodology_cases() -> Vec<Case> {
    const COMPONENTS: &str = "definitions[0].methodology.components";
    // Subscribers get the methodology before and the one after in one message.
    vec![
        twice("method twice", method(vec![component("pct", ""), component("pub", "")])),
        invalid("parents first", method(vec![component("a", "b"), component("b", "")]), COMPONENTS),
        invalid("component twice", method(vec![component("a", ""), component("a", "")]), COMPONENTS),
        invalid(
            "weight",
            method(vec![MethodologyComponent { weight: Some(f64::NAN), ..component("a", "") }]),
            "definitions[0].methodology.components.weight",
        ),
        invalid("too long for the feed", method((0..500).map(long_component).collect()), "definitions[0].methodology"),
    ]
}

fn other_cases() -> Vec<Case> {
    let Some(Item::Ranking(ranking)) = ranking().item else { unreachable!() };
    let no_object = vec![Definition { item: None }];
    let code = Code::InvalidArgument;
    vec![
        Case { what: "none", definitions: Vec::new(), code, reason: "FIELD", field: "definitions" },
        Case { what: "no object", definitions: no_object, code, reason: "FIELD", field: "definitions[0].item" },
        invalid(
            "decimals",
            Item::Indicator(Indicator { id: "X".into(), default_decimals: 31, ..Default::default() }),
            "definitions[0].indicator.default_decimals",
        ),
        invalid(
            "date",
            Item::Source(Source { id: "x".into(), published: "May 2024".into(), ..Default::default() }),
            "definitions[0].source.published",
        ),
        unknown("source", Item::Ranking(Ranking { source: "nobody".into(), ..ranking }), "UNKNOWN_SOURCE"),
    ]
}

#[tokio::test]
async fn definitions_that_make_no_sense_are_refused() {
    let untouched = UntouchedServer::new().await;
    for case in [entity_cases(), methodology_cases(), other_cases()].into_iter().flatten() {
        let result = untouched.clients().define(WriteOptions::default(), case.definitions).await;
        untouched.refused(case.what, result, case.code, case.reason, case.field).await;
    }
    untouched.end().await;
}
