//! Profiles: how a file maps to facts. A profile is a small TOML file; those of known publishers are built in, and a
//! user's own file works the same way.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::number::{DecimalMark, Style};
use crate::model::catalog::{EntityKind, Frequency};

const BUILT_IN: [(&str, &str); 5] = [
    ("almanac-edition", include_str!("profiles/almanac-edition.toml")),
    ("almanac-observations", include_str!("profiles/almanac-observations.toml")),
    ("gii-clusters", include_str!("profiles/gii-clusters.toml")),
    ("wdi-long", include_str!("profiles/wdi-long.toml")),
    ("wdi-wide", include_str!("profiles/wdi-wide.toml")),
];

/// Why there is no such profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Neither built in nor a file.
    #[error("there is no profile `{name}`: built in are {}; a path to a TOML file works too", names().join(", "))]
    Unknown {
        /// As given.
        name: String,
    },
    /// The file cannot be read.
    #[error("profile {path}: {error}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The file is no profile.
    #[error("profile {path}: {error}")]
    Malformed {
        /// Which file.
        path: String,
        /// Why.
        error: Box<toml::de::Error>,
    },
    /// It maps to the other kind of facts, or to none.
    #[error("profile `{name}` is not for {wanted}")]
    OtherFacts {
        /// Its name.
        name: String,
        /// What was to be read.
        wanted: &'static str,
    },
}

/// How a file maps to facts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// How the file is written.
    #[serde(default)]
    pub read: Reading,
    /// Where an edition is in it.
    pub edition: Option<EditionShape>,
    /// Where figures are in it.
    pub figures: Option<FigureShape>,
    /// Who published it, for those who define what is missing.
    pub source: Option<SourceShape>,
}

/// How a file is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reading {
    /// What may stand between cells, first choice first.
    pub separators: Vec<char>,
    /// What stands before decimals.
    pub decimal: DecimalMark,
    /// What may stand between groups of three digits, each character one choice.
    pub thousands: String,
    /// Cells that say that there is no figure.
    pub missing: Vec<String>,
    /// Lines that begin so end the table.
    pub footers: Vec<String>,
    /// The cell above the header that the release date comes after.
    pub released: Option<String>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            separators: vec![',', ';', '\t'],
            decimal: DecimalMark::Auto,
            thousands: String::new(),
            missing: vec![String::new()],
            footers: Vec::new(),
            released: None,
        }
    }
}

impl Reading {
    /// Separators as the reader takes them; they are ASCII.
    pub fn separators(&self) -> Vec<u8> {
        self.separators.iter().filter_map(|letter| u8::try_from(*letter).ok()).collect()
    }

    /// How figures are printed in a file with this separator.
    pub fn style(&self, separator: u8) -> Style {
        Style::new(self.decimal, &self.thousands, separator)
    }

    /// Whether a cell says that there is no figure.
    pub fn is_missing(&self, cell: &str) -> bool {
        self.missing.iter().any(|missing| missing == cell)
    }
}

/// Columns of an edition, by name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct EditionShape {
    pub rank: Option<String>,
    pub tied: Option<String>,
    pub entity: Option<String>,
    pub name: Option<String>,
    pub economies: Option<String>,
    /// Schemes of the codes in `economies`, first choice first.
    pub economy_schemes: Vec<String>,
    pub score: Option<String>,
    pub previous: Option<String>,
    pub disputed: Option<String>,
    pub note: Option<String>,
    /// Letters at the end of names and codes that point to a footnote.
    pub footnote_marks: String,
    /// Columns `raw:<id>`, `score:<id>`, `rank:<id>` and `year:<id>` are components.
    pub component_prefixes: bool,
    pub components: Vec<ComponentShape>,
}

/// Columns of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ComponentShape {
    pub id: String,
    pub raw: Option<String>,
    pub score: Option<String>,
    pub rank: Option<String>,
    pub year: Option<String>,
}

/// How figures lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One line a figure.
    Long,
    /// One column a period.
    Wide,
}

/// What a cell without a figure says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Empty {
    /// Nothing: the producer publishes no figure.
    #[default]
    NoFigure,
    /// That the figure is missing, for the reason in its column.
    Missing,
}

/// How the name of a file is the id of its indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileName {
    /// As it is.
    AsIs,
    /// In capitals.
    UpperCase,
}

/// Columns of figures, by name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct FigureShape {
    pub layout: Layout,
    pub indicator: Option<String>,
    pub indicator_name: Option<String>,
    pub indicator_from_file: Option<FileName>,
    pub entity: String,
    pub entity_name: Option<String>,
    /// `entity` holds names of entities of this kind, not codes or ids.
    entity_names_of: Option<KindName>,
    /// Letters at the end of names that point to a footnote.
    #[serde(default)]
    pub footnote_marks: String,
    /// Schemes of the codes in `entity`, first choice first; else they are ids.
    #[serde(default)]
    pub entity_schemes: Vec<String>,
    pub source: Option<String>,
    /// Source of figures that do not name one.
    pub default_source: Option<String>,
    pub period: Option<String>,
    pub value: Option<String>,
    pub upper: Option<String>,
    pub multiplier: Option<String>,
    pub qualifier: Option<String>,
    pub status: Option<String>,
    pub missing: Option<String>,
    pub comment: Option<String>,
    pub dimension_prefix: Option<String>,
    /// Ids of dimensions and the columns of their codes.
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
    #[serde(default)]
    pub empty: Empty,
    /// Words in the period column that are no period; their lines are left out.
    #[serde(default)]
    pub skip_periods: Vec<String>,
    /// Codes that mean the world.
    #[serde(default)]
    pub world: Vec<String>,
    /// Codes that mean groups of economies.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Licence of indicators that are defined from a file.
    #[serde(default)]
    pub licence: String,
    /// Frequency of them.
    #[serde(default)]
    frequency: FrequencyName,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FrequencyName {
    #[default]
    NotStated,
    Annual,
    Quarterly,
    Monthly,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KindName {
    Economy,
    Cluster,
    Organisation,
    RegionGroup,
}

impl FigureShape {
    /// The kind of entities whose names are in the file, if it has names instead of codes.
    pub fn entity_names_of(&self) -> Option<EntityKind> {
        self.entity_names_of.map(|kind| match kind {
            KindName::Economy => EntityKind::Economy,
            KindName::Cluster => EntityKind::Cluster,
            KindName::Organisation => EntityKind::Organisation,
            KindName::RegionGroup => EntityKind::RegionGroup,
        })
    }

    /// Frequency of indicators that are defined from a file.
    pub fn frequency(&self) -> Frequency {
        match self.frequency {
            FrequencyName::NotStated => Frequency::NotStated,
            FrequencyName::Annual => Frequency::Annual,
            FrequencyName::Quarterly => Frequency::Quarterly,
            FrequencyName::Monthly => Frequency::Monthly,
        }
    }
}

/// A source as a profile describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct SourceShape {
    pub id: String,
    pub producer: String,
    pub title: String,
    pub url: String,
    pub licence: String,
}

/// Names of the built-in profiles.
pub fn names() -> Vec<&'static str> {
    BUILT_IN.iter().map(|(name, _)| *name).collect()
}

impl Profile {
    /// A built-in profile by name, or a user's own by path.
    pub fn load(name: &str) -> Result<Self, ProfileError> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            return Self::parse(name, text);
        }
        if !Path::new(name).is_file() {
            return Err(ProfileError::Unknown { name: name.to_owned() });
        }
        let text =
            std::fs::read_to_string(name).map_err(|error| ProfileError::Unreadable { path: name.to_owned(), error })?;
        Self::parse(name, &text)
    }

    /// Parses one; `path` is what it is called in an error.
    pub fn parse(path: &str, text: &str) -> Result<Self, ProfileError> {
        toml::from_str(text).map_err(|error| ProfileError::Malformed { path: path.to_owned(), error: Box::new(error) })
    }

    /// Where an edition is, if it is for editions.
    pub fn edition(&self) -> Result<&EditionShape, ProfileError> {
        let other = || ProfileError::OtherFacts { name: self.name.clone(), wanted: "editions" };
        self.edition.as_ref().ok_or_else(other)
    }

    /// Where figures are, if it is for figures.
    pub fn figures(&self) -> Result<&FigureShape, ProfileError> {
        let other = || ProfileError::OtherFacts { name: self.name.clone(), wanted: "figures" };
        self.figures.as_ref().ok_or_else(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_loads_under_its_name() {
        for name in names() {
            let profile = Profile::load(name).unwrap();
            assert_eq!(profile.name, name);
            assert!(profile.edition.is_some() != profile.figures.is_some(), "{name} is for one kind of facts");
        }
        assert!(Profile::load("wdi-wide").unwrap().edition().is_err());
    }

    #[test]
    fn a_wrong_profile_says_what_is_wrong() {
        let unknown = Profile::load("wdi-tall").unwrap_err().to_string();
        assert!(unknown.contains("wdi-tall") && unknown.contains("wdi-wide"), "{unknown}");
        let slip = Profile::parse("mine.toml", "name = \"a\"\nabout = \"\"\n[edition]\nrnak = \"Rank\"\n").unwrap_err();
        assert!(slip.to_string().contains("rnak") && slip.to_string().contains("mine.toml"), "{slip}");
    }
}
