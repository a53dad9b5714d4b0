//! Definitions: indicators, entities, sources, rankings, methodologies.

use std::collections::HashSet;

use prost::Message;

use super::{
    enums::{ContractEnum, required},
    error::{FieldError, Problem},
    field::{DESCRIPTION_BYTES_MAX, OBJECT_BYTES_MAX, check_list, id, list, optional_text, text},
    time::optional_date,
};
use crate::{
    model::{
        catalog::{
            Definition, Entity, EntityName, EntityRelation, Indicator, Methodology, MethodologyComponent, Ranking,
            Source,
        },
        id::{EntityId, IndicatorId, MethodologyId, RankingId, SourceId},
        value::DECIMALS_MAX,
    },
    proto::{self, definition::Item},
};

/// Precedence of a source that does not say.
const DEFAULT_PRECEDENCE: u32 = 100;

impl TryFrom<proto::Definition> for Definition {
    type Error = FieldError;

    fn try_from(message: proto::Definition) -> Result<Self, FieldError> {
        let bytes = message.encoded_len();
        let item = message.item.ok_or_else(|| FieldError::new("item", Problem::NotGiven))?;
        let field = match item {
            Item::Indicator(_) => "indicator",
            Item::Entity(_) => "entity",
            Item::Source(_) => "source",
            Item::Ranking(_) => "ranking",
            Item::Methodology(_) => "methodology",
        };
        if bytes > OBJECT_BYTES_MAX {
            return Err(FieldError::new(field, Problem::TooLong { bytes_max: OBJECT_BYTES_MAX }));
        }
        let definition = match item {
            Item::Indicator(indicator) => Indicator::try_from(indicator).map(Self::Indicator),
            Item::Entity(entity) => Entity::try_from(entity).map(Self::Entity),
            Item::Source(source) => Source::try_from(source).map(Self::Source),
            Item::Ranking(ranking) => Ranking::try_from(ranking).map(Self::Ranking),
            Item::Methodology(methodology) => Methodology::try_from(methodology).map(Self::Methodology),
        };
        definition.map_err(|error| error.under(field))
    }
}

impl From<&Definition> for proto::Definition {
    fn from(definition: &Definition) -> Self {
        let item = match definition {
            Definition::Indicator(indicator) => Item::Indicator(indicator.into()),
            Definition::Entity(entity) => Item::Entity(entity.into()),
            Definition::Source(source) => Item::Source(source.into()),
            Definition::Ranking(ranking) => Item::Ranking(ranking.into()),
            Definition::Methodology(methodology) => Item::Methodology(methodology.into()),
        };
        Self { item: Some(item) }
    }
}

impl TryFrom<proto::Indicator> for Indicator {
    type Error = FieldError;

    fn try_from(message: proto::Indicator) -> Result<Self, FieldError> {
        if message.default_decimals > DECIMALS_MAX {
            return Err(FieldError::new("default_decimals", Problem::TooLarge { max: DECIMALS_MAX }));
        }
        Ok(Self {
            id: id("id", &message.id, IndicatorId::new)?,
            name: text("name", message.name, 1_000)?,
            unit: text("unit", message.unit, 200)?,
            direction: required("direction", message.direction)?,
            default_decimals: message.default_decimals,
            definition: text("definition", message.definition, DESCRIPTION_BYTES_MAX)?,
            frequency: required("frequency", message.frequency)?,
            licence: text("licence", message.licence, 200)?,
            timing: required("timing", message.timing)?,
        })
    }
}

impl From<&Indicator> for proto::Indicator {
    fn from(indicator: &Indicator) -> Self {
        Self {
            id: indicator.id.to_string(),
            name: indicator.name.clone(),
            unit: indicator.unit.clone(),
            direction: indicator.direction.number(),
            default_decimals: indicator.default_decimals,
            definition: indicator.definition.clone(),
            frequency: indicator.frequency.number(),
            licence: indicator.licence.clone(),
            timing: indicator.timing.number(),
        }
    }
}

impl TryFrom<proto::Entity> for Entity {
    type Error = FieldError;

    fn try_from(message: proto::Entity) -> Result<Self, FieldError> {
        check_list("codes", &message.codes)?;
        check_list("names", &message.names)?;
        check_list("relations", &message.relations)?;
        let id = id("id", &message.id, EntityId::new)?;
        let kind = required("kind", message.kind)?;
        let name = text("name", message.name, 500)?;
        let mut codes = Vec::with_capacity(message.codes.len());
        for code in message.codes {
            codes.push((text("codes.scheme", code.scheme, 64)?, text("codes.value", code.value, 64)?));
        }
        let names = list("names", message.names)?;
        let relations = list("relations", message.relations)?;
        Ok(Self { id, kind, name, codes, names, relations })
    }
}

impl From<&Entity> for proto::Entity {
    fn from(entity: &Entity) -> Self {
        let codes = entity.codes.iter();
        let codes = codes.map(|(scheme, value)| proto::EntityCode { scheme: scheme.clone(), value: value.clone() });
        Self {
            id: entity.id.to_string(),
            kind: entity.kind.number(),
            name: entity.name.clone(),
            codes: codes.collect(),
            names: entity.names.iter().map(proto::EntityName::from).collect(),
            relations: entity.relations.iter().map(proto::EntityRelation::from).collect(),
        }
    }
}

impl TryFrom<proto::EntityName> for EntityName {
    type Error = FieldError;

    fn try_from(message: proto::EntityName) -> Result<Self, FieldError> {
        Ok(Self {
            text: text("text", message.text, 500)?,
            language: text("language", message.language, 35)?,
            valid_from: optional_date("valid_from", &message.valid_from)?,
            valid_to: optional_date("valid_to", &message.valid_to)?,
        })
    }
}

impl From<&EntityName> for proto::EntityName {
    fn from(name: &EntityName) -> Self {
        Self {
            text: name.text.clone(),
            language: name.language.clone(),
            valid_from: optional_text(name.valid_from),
            valid_to: optional_text(name.valid_to),
        }
    }
}

impl TryFrom<proto::EntityRelation> for EntityRelation {
    type Error = FieldError;

    fn try_from(message: proto::EntityRelation) -> Result<Self, FieldError> {
        Ok(Self {
            kind: required("kind", message.kind)?,
            entity: id("entity", &message.entity, EntityId::new)?,
            valid_from: optional_date("valid_from", &message.valid_from)?,
            valid_to: optional_date("valid_to", &message.valid_to)?,
        })
    }
}

impl From<&EntityRelation> for proto::EntityRelation {
    fn from(relation: &EntityRelation) -> Self {
        Self {
            kind: relation.kind.number(),
            entity: relation.entity.to_string(),
            valid_from: optional_text(relation.valid_from),
            valid_to: optional_text(relation.valid_to),
        }
    }
}

impl TryFrom<proto::Source> for Source {
    type Error = FieldError;

    fn try_from(message: proto::Source) -> Result<Self, FieldError> {
        Ok(Self {
            id: id("id", &message.id, SourceId::new)?,
            producer: text("producer", message.producer, 500)?,
            title: text("title", message.title, 1_000)?,
            published: optional_date("published", &message.published)?,
            url: text("url", message.url, 2_000)?,
            licence: text("licence", message.licence, 200)?,
            redistribution: required("redistribution", message.redistribution)?,
            precedence: if message.precedence == 0 { DEFAULT_PRECEDENCE } else { message.precedence },
        })
    }
}

impl From<&Source> for proto::Source {
    fn from(source: &Source) -> Self {
        Self {
            id: source.id.to_string(),
            producer: source.producer.clone(),
            title: source.title.clone(),
            published: optional_text(source.published),
            url: source.url.clone(),
            licence: source.licence.clone(),
            redistribution: source.redistribution.number(),
            precedence: source.precedence,
        }
    }
}

impl TryFrom<proto::Ranking> for Ranking {
    type Error = FieldError;

    fn try_from(message: proto::Ranking) -> Result<Self, FieldError> {
        Ok(Self {
            id: id("id", &message.id, RankingId::new)?,
            name: text("name", message.name, 500)?,
            subject: required("subject", message.subject)?,
            source: id("source", &message.source, SourceId::new)?,
            description: text("description", message.description, DESCRIPTION_BYTES_MAX)?,
        })
    }
}

impl From<&Ranking> for proto::Ranking {
    fn from(ranking: &Ranking) -> Self {
        Self {
            id: ranking.id.to_string(),
            name: ranking.name.clone(),
            subject: ranking.subject.number(),
            source: ranking.source.to_string(),
            description: ranking.description.clone(),
        }
    }
}

impl TryFrom<proto::Methodology> for Methodology {
    type Error = FieldError;

    fn try_from(message: proto::Methodology) -> Result<Self, FieldError> {
        check_list("components", &message.components)?;
        let mut components = Vec::with_capacity(message.components.len());
        let mut known = HashSet::new();
        for component in message.components {
            check_order(&component, &mut known)?;
            components.push(methodology_component(component)?);
        }
        Ok(Self {
            components,
            id: id("id", &message.id, MethodologyId::new)?,
            description: text("description", message.description, DESCRIPTION_BYTES_MAX)?,
            aggregation: required("aggregation", message.aggregation)?,
        })
    }
}

/// A component comes once, and after its parent: so the components are a forest.
fn check_order(component: &proto::MethodologyComponent, known: &mut HashSet<String>) -> Result<(), FieldError> {
    let proto::MethodologyComponent { id, parent, .. } = component;
    if !parent.is_empty() && !known.contains(parent) {
        let problem = Problem::ParentNotBefore { component: id.clone(), parent: parent.clone() };
        return Err(FieldError::new("components", problem));
    }
    if !known.insert(id.clone()) {
        return Err(FieldError::new("components", Problem::ComponentTwice { component: id.clone() }));
    }
    Ok(())
}

fn methodology_component(message: proto::MethodologyComponent) -> Result<MethodologyComponent, FieldError> {
    if message.weight.is_some_and(|weight| !weight.is_finite() || weight < 0.0) {
        return Err(FieldError::new("components.weight", Problem::InvalidWeight));
    }
    Ok(MethodologyComponent {
        id: text("components.id", message.id, 128)?,
        name: text("components.name", message.name, 500)?,
        weight: message.weight,
        direction: required("direction", message.direction)?,
        parent: message.parent,
        aggregation: required("aggregation", message.aggregation)?,
    })
}

impl From<&Methodology> for proto::Methodology {
    fn from(methodology: &Methodology) -> Self {
        Self {
            id: methodology.id.to_string(),
            description: methodology.description.clone(),
            components: methodology.components.iter().map(proto::MethodologyComponent::from).collect(),
            aggregation: methodology.aggregation.number(),
        }
    }
}

impl From<&MethodologyComponent> for proto::MethodologyComponent {
    fn from(component: &MethodologyComponent) -> Self {
        Self {
            id: component.id.clone(),
            name: component.name.clone(),
            weight: component.weight,
            direction: component.direction.number(),
            parent: component.parent.clone(),
            aggregation: component.aggregation.number(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        catalog::{Aggregation, Direction, EntityKind, Frequency, Redistribution, RelationKind, Timing},
        time::Date,
    };

    fn definitions() -> Vec<Definition> {
        let day = Date::parse("2019-05-01").unwrap();
        vec![
            Definition::Indicator(Indicator {
                id: IndicatorId::new("GB.XPD.RSDV.GD.ZS").unwrap(),
                name: "Expenditure on research and development".to_owned(),
                unit: "% of GDP".to_owned(),
                direction: Direction::HigherIsBetter,
                default_decimals: 2,
                definition: "Of all sectors".to_owned(),
                frequency: Frequency::Annual,
                licence: "CC BY 4.0".to_owned(),
                timing: Timing::Stock,
            }),
            Definition::Entity(Entity {
                id: EntityId::new("cluster:shenzhen").unwrap(),
                kind: EntityKind::Cluster,
                name: "Shenzhen".to_owned(),
                codes: vec![("rank".to_owned(), "2".to_owned())],
                names: vec![EntityName {
                    text: "Shenzhen–Hong Kong".to_owned(),
                    language: "en".to_owned(),
                    valid_from: None,
                    valid_to: Some(day),
                }],
                relations: vec![EntityRelation {
                    kind: RelationKind::LiesIn,
                    entity: EntityId::new("CHN").unwrap(),
                    valid_from: Some(day),
                    valid_to: None,
                }],
            }),
            Definition::Source(Source {
                id: SourceId::new("wipo").unwrap(),
                producer: "WIPO".to_owned(),
                title: "Index".to_owned(),
                published: Some(day),
                url: "https://example.org".to_owned(),
                licence: "CC BY 4.0".to_owned(),
                redistribution: Redistribution::WithAttribution,
                precedence: 7,
            }),
            Definition::Ranking(Ranking {
                id: RankingId::new("gii").unwrap(),
                name: "Index".to_owned(),
                subject: EntityKind::Economy,
                source: SourceId::new("wipo").unwrap(),
                description: "Yearly".to_owned(),
            }),
            Definition::Methodology(Methodology {
                id: MethodologyId::new("gii-2025").unwrap(),
                description: "Two levels".to_owned(),
                components: vec![component("input", ""), component("education", "input")],
                aggregation: Aggregation::WeightedMean,
            }),
        ]
    }

    fn component(id: &str, parent: &str) -> MethodologyComponent {
        MethodologyComponent {
            id: id.to_owned(),
            name: id.to_uppercase(),
            weight: Some(0.5),
            direction: Direction::LowerIsBetter,
            parent: parent.to_owned(),
            aggregation: Aggregation::Sum,
        }
    }

    #[test]
    fn definitions_come_back() {
        for definition in definitions() {
            assert_eq!(Definition::try_from(proto::Definition::from(&definition)), Ok(definition));
        }
    }

    #[test]
    fn a_mistake_names_the_field_below_its_kind() {
        let relation = proto::EntityRelation { kind: 99, entity: "CHN".to_owned(), ..Default::default() };
        let entity = proto::Entity {
            id: "a".to_owned(),
            kind: EntityKind::Cluster.number(),
            relations: vec![relation],
            ..Default::default()
        };
        let error = Definition::try_from(proto::Definition { item: Some(Item::Entity(entity)) }).unwrap_err();
        assert_eq!(error, FieldError::new("entity.relations.kind", Problem::UnknownEnumValue { number: 99 }));
    }

    #[test]
    fn a_source_that_does_not_say_has_the_usual_precedence() {
        let source = proto::Source { id: "wipo".to_owned(), ..Default::default() };
        assert_eq!(Source::try_from(source).unwrap().precedence, DEFAULT_PRECEDENCE);
    }
}
