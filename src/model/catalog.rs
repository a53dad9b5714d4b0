//! Definitions: the indicators, entities, sources, methodologies and rankings that figures and editions refer to.
//!
//! Invariant: a definition is replaced whole, never in part. Its older versions stay readable at their revisions.

use serde::{Deserialize, Serialize};

use super::{
    id::{EntityId, IndicatorId, MethodologyId, RankingId, SourceId},
    time::Date,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Direction {
    #[default]
    NotStated,
    HigherIsBetter,
    LowerIsBetter,
}

/// How often an indicator usually has a figure. Periods of other lengths are not refused.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Timing {
    /// The figure adds up over its period: exports of a year.
    #[default]
    Flow,
    /// The figure is a count at the end of its period: population.
    Stock,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Indicator {
    pub id: IndicatorId,
    pub name: String,
    /// `% of GDP`; empty if not stated.
    pub unit: String,
    /// Whether a higher or a lower figure is better.
    pub direction: Direction,
    /// Decimals to show for a figure that states none, 0 to 30.
    pub default_decimals: u32,
    pub definition: String,
    pub frequency: Frequency,
    /// Empty if not stated.
    pub licence: String,
    pub timing: Timing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EntityKind {
    Economy,
    Cluster,
    Organisation,
    RegionGroup,
    World,
}

/// A further name of an entity: in another language, or of another time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityName {
    pub text: String,
    /// BCP 47 tag; empty: English, or not stated.
    pub language: String,
    /// The first day of use; `None`: not known.
    pub valid_from: Option<Date>,
    /// The last day of use; `None`: still in use, or not known.
    pub valid_to: Option<Date>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelationKind {
    LiesIn,
    MemberOf,
    RenamedTo,
    MergedInto,
    SplitInto,
}

/// A relation of the entity that holds it to another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityRelation {
    pub kind: RelationKind,
    pub entity: EntityId,
    /// The first day; `None`: since ever, or not known.
    pub valid_from: Option<Date>,
    /// The last day, which still belongs to it; `None`: no end, or not known.
    pub valid_to: Option<Date>,
}

/// An economy, cluster, organisation or group that figures and ranks are about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    pub id: EntityId,
    pub kind: EntityKind,
    /// The name in use today; others are in `names`.
    pub name: String,
    /// (scheme, code): `("iso3166-1-alpha3", "CHE")`. No two entities share one.
    pub codes: Vec<(String, String)>,
    pub names: Vec<EntityName>,
    pub relations: Vec<EntityRelation>,
}

impl Entity {
    /// The economies that the entity lies in, by its [`RelationKind::LiesIn`] relations of any time.
    pub fn lies_in(&self) -> impl Iterator<Item = &EntityId> {
        self.relations.iter().filter(|relation| relation.kind == RelationKind::LiesIn).map(|relation| &relation.entity)
    }
}

/// Whether the licence of a source lets readers pass its figures on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Redistribution {
    #[default]
    NotStated,
    Allowed,
    WithAttribution,
    /// Answers give single figures of the source only, never many at once.
    Forbidden,
}

/// A publication that figures are taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub id: SourceId,
    pub producer: String,
    pub title: String,
    /// When the publication first came out; `None`: not known.
    pub published: Option<Date>,
    pub url: String,
    /// Empty if not known.
    pub licence: String,
    pub redistribution: Redistribution,
    /// Under the policy `default@1` the source with the lowest number answers.
    pub precedence: u32,
}

/// How the score of a component, or of a whole entry, follows from the components below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Aggregation {
    #[default]
    NotPublished,
    Sum,
    WeightedMean,
}

/// A node in the tree of a methodology.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodologyComponent {
    pub id: String,
    pub name: String,
    /// Share among the components with the same parent; `None`: not published.
    pub weight: Option<f64>,
    pub direction: Direction,
    /// Id of the component above; empty at the top.
    pub parent: String,
    pub aggregation: Aggregation,
}

/// How editions were made, as data. Any number of editions and rankings may use one definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Methodology {
    pub id: MethodologyId,
    pub description: String,
    /// Parents before their children.
    pub components: Vec<MethodologyComponent>,
    /// How the components at the top make the score.
    pub aggregation: Aggregation,
}

/// A ranking: editions about entities of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranking {
    pub id: RankingId,
    pub name: String,
    pub subject: EntityKind,
    /// The publisher of its editions, unless an edition names another.
    pub source: SourceId,
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Definition {
    Indicator(Indicator),
    Entity(Entity),
    Source(Source),
    Methodology(Methodology),
    Ranking(Ranking),
}

/// Kinds of definitions. Each may refer to kinds above it, and to its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefinitionKind {
    Source,
    Methodology,
    Indicator,
    Entity,
    Ranking,
}

impl DefinitionKind {
    /// Every kind, in an order in which a definition comes after those that it refers to.
    pub const ALL: [Self; 5] = [Self::Source, Self::Methodology, Self::Indicator, Self::Entity, Self::Ranking];

    /// The kind as a word for messages, in lower case.
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
    pub fn kind(&self) -> DefinitionKind {
        match self {
            Self::Indicator(_) => DefinitionKind::Indicator,
            Self::Entity(_) => DefinitionKind::Entity,
            Self::Source(_) => DefinitionKind::Source,
            Self::Methodology(_) => DefinitionKind::Methodology,
            Self::Ranking(_) => DefinitionKind::Ranking,
        }
    }

    /// The id, which is unique within its kind.
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
