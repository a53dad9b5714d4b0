//! Definitions: what is measured, of what, by whom, and how it is ranked.
//!
//! Definitions are replaced whole; older ones stay readable by revision.

use serde::{Deserialize, Serialize};

use super::{
    id::{EntityId, IndicatorId, MethodologyId, RankingId, SourceId},
    time::Date,
};

/// Which direction of an indicator is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Direction {
    #[default]
    NotStated,
    HigherIsBetter,
    LowerIsBetter,
}

/// Usual spacing of an indicator's periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Frequency {
    #[default]
    NotStated,
    Annual,
    HalfYearly,
    Quarterly,
    Monthly,
    Daily,
    Irregular,
}

/// What a figure says about its period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Timing {
    /// Adds up over it.
    #[default]
    Flow,
    /// Counted at its end.
    Stock,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Indicator {
    pub id: IndicatorId,
    pub name: String,
    pub unit: String,
    pub direction: Direction,
    pub default_decimals: u32,
    pub definition: String,
    pub frequency: Frequency,
    pub licence: String,
    pub timing: Timing,
}

/// What kind of thing an entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EntityKind {
    Economy,
    Cluster,
    Organisation,
    RegionGroup,
    World,
}

/// A name with the time it was in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityName {
    pub text: String,
    pub language: String,
    pub valid_from: Option<Date>,
    pub valid_to: Option<Date>,
}

/// How an entity stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelationKind {
    LiesIn,
    MemberOf,
    RenamedTo,
    MergedInto,
    SplitInto,
}

/// A relation to another entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityRelation {
    pub kind: RelationKind,
    pub entity: EntityId,
    pub valid_from: Option<Date>,
    pub valid_to: Option<Date>,
}

/// What figures and ranks are about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    pub id: EntityId,
    pub kind: EntityKind,
    pub name: String,
    /// (scheme, code).
    pub codes: Vec<(String, String)>,
    pub names: Vec<EntityName>,
    pub relations: Vec<EntityRelation>,
}

impl Entity {
    /// The economies it lies in.
    pub fn lies_in(&self) -> impl Iterator<Item = &EntityId> {
        self.relations.iter().filter(|relation| relation.kind == RelationKind::LiesIn).map(|relation| &relation.entity)
    }
}

/// What a licence lets a reader hand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Redistribution {
    #[default]
    NotStated,
    Allowed,
    WithAttribution,
    Forbidden,
}

/// Who published figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub id: SourceId,
    pub producer: String,
    pub title: String,
    pub published: Option<Date>,
    pub url: String,
    pub licence: String,
    pub redistribution: Redistribution,
    /// Lower answers first under the policy `default@1`.
    pub precedence: u32,
}

/// How scores come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Aggregation {
    #[default]
    NotPublished,
    Sum,
    WeightedMean,
}

/// A node of a methodology.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodologyComponent {
    pub id: String,
    pub name: String,
    /// `None`: not published.
    pub weight: Option<f64>,
    pub direction: Direction,
    /// Empty at the top.
    pub parent: String,
    pub aggregation: Aggregation,
}

/// How an edition was made, as data. One definition serves any number of editions and rankings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Methodology {
    pub id: MethodologyId,
    pub description: String,
    pub components: Vec<MethodologyComponent>,
    pub aggregation: Aggregation,
}

/// A series of editions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranking {
    pub id: RankingId,
    pub name: String,
    pub subject: EntityKind,
    pub source: SourceId,
    pub description: String,
}

/// One object of the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Definition {
    Indicator(Indicator),
    Entity(Entity),
    Source(Source),
    Methodology(Methodology),
    Ranking(Ranking),
}

/// Kinds of definitions, in the order they may refer to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefinitionKind {
    Source,
    Methodology,
    Indicator,
    Entity,
    Ranking,
}

impl DefinitionKind {
    /// Every kind, in the order they may refer to each other.
    pub const ALL: [Self; 5] = [Self::Source, Self::Methodology, Self::Indicator, Self::Entity, Self::Ranking];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Methodology => "methodology",
            Self::Indicator => "indicator",
            Self::Entity => "entity",
            Self::Ranking => "ranking",
        }
    }
}

impl Definition {
    /// Which kind.
    pub fn kind(&self) -> DefinitionKind {
        match self {
            Self::Indicator(_) => DefinitionKind::Indicator,
            Self::Entity(_) => DefinitionKind::Entity,
            Self::Source(_) => DefinitionKind::Source,
            Self::Methodology(_) => DefinitionKind::Methodology,
            Self::Ranking(_) => DefinitionKind::Ranking,
        }
    }

    /// Its id within its kind.
    pub fn id(&self) -> &str {
        match self {
            Self::Indicator(indicator) => indicator.id.as_str(),
            Self::Entity(entity) => entity.id.as_str(),
            Self::Source(source) => source.id.as_str(),
            Self::Methodology(methodology) => methodology.id.as_str(),
            Self::Ranking(ranking) => ranking.id.as_str(),
        }
    }
}
