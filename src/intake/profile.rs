//! Profiles: what the columns of a file mean.
//!
//! A profile is a small TOML file. Those of known publishers are built in; a user's own file works the same way.
//!
//! Invariants: a built-in profile is for editions or for figures. A key that is not known is an error.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::number::{DecimalMark, NumberFormat};
use crate::model::{
    catalog::{EntityKind, Frequency},
    value::Number,
};

/// Names and texts of the built-in profiles for editions.
const FOR_EDITIONS: [(&str, &str); 2] = [
    ("almanac-edition", include_str!("profiles/almanac-edition.toml")),
    ("gii-clusters", include_str!("profiles/gii-clusters.toml")),
];

/// Names and texts of the built-in profiles for figures.
const FOR_FIGURES: [(&str, &str); 3] = [
    ("almanac-observations", include_str!("profiles/almanac-observations.toml")),
    ("wdi-long", include_str!("profiles/wdi-long.toml")),
    ("wdi-wide", include_str!("profiles/wdi-wide.toml")),
];

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The name is neither that of a built-in profile nor the path of a file.
    #[error("there is no profile `{name}`: built in are {}; a path to a TOML file works too", names().join(", "))]
    Unknown { name: String },
    /// The file cannot be read.
    #[error("profile {path}: {error}")]
    Unreadable { path: String, error: std::io::Error },
    /// The file is not a profile.
    #[error("profile {path}: {error}")]
    Malformed { path: String, error: Box<toml::de::Error> },
    /// The profile is for the other kind of facts, or for none.
    #[error("profile `{name}` is not for {facts}")]
    OtherFacts { name: String, facts: &'static str },
}

/// What the columns of a file mean.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub name: String,
    /// What kind of file it is for, in a sentence.
    pub about: String,
    #[serde(default)]
    pub read: FileFormat,
    /// For files with an edition.
    pub edition: Option<EditionShape>,
    /// For files with figures.
    pub figures: Option<FigureShape>,
    /// The source of such files. `--define-missing` defines it if the catalog does not have it.
    pub source: Option<SourceShape>,
}

/// How a file is written, whatever its columns mean.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileFormat {
    /// Characters that may stand between cells, first choice first. Default: comma, semicolon, tab.
    pub separators: Vec<char>,
    /// Default: [`DecimalMark::Auto`].
    pub decimal: DecimalMark,
    /// Characters that may stand between groups of three digits. Default: none but blanks.
    pub thousands: String,
    /// Texts of cells that say that there is no number. Default: the empty cell.
    pub missing: Vec<String>,
    /// A row whose first cell begins with one of these ends the table.
    pub footers: Vec<String>,
    /// The text of the cell, above the header, whose right neighbour is the release date.
    pub released: Option<String>,
}

impl Default for FileFormat {
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

impl FileFormat {
    /// The separators as bytes, as the reader of tables needs them. They have to be ASCII.
    pub fn separators(&self) -> Vec<u8> {
        self.separators.iter().filter_map(|letter| u8::try_from(*letter).ok()).collect()
    }

    /// How numbers are printed in a file with this separator between cells.
    pub fn numbers(&self, separator: u8) -> NumberFormat {
        NumberFormat::new(self.decimal, &self.thousands, separator)
    }

    /// Whether a row that begins with this cell ends the table.
    pub fn is_footer(&self, first_cell: &str) -> bool {
        self.footers.iter().any(|footer| first_cell.starts_with(footer.as_str()))
    }

    /// Whether a cell that says that there is no number may look like one.
    pub fn misses_by_number(&self) -> bool {
        self.missing.iter().any(|missing| Number::parse_plain(missing.as_bytes()).is_some())
    }

    /// Whether a cell says that there is no number.
    pub fn is_missing(&self, cell: &str) -> bool {
        self.missing.iter().any(|missing| missing == cell)
    }
}

/// The names of the columns of an edition.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EditionShape {
    pub rank: Option<String>,
    pub tied: Option<String>,
    pub entity: Option<String>,
    pub name: Option<String>,
    pub economies: Option<String>,
    /// Schemes of the codes in `economies`, first choice first. Default: ISO 3166-1, WIPO ST.3, World Bank.
    pub economy_schemes: Vec<String>,
    pub score: Option<String>,
    pub previous: Option<String>,
    pub disputed: Option<String>,
    pub note: Option<String>,
    /// Characters at the end of names and codes that point to a footnote, and are removed.
    pub footnote_marks: String,
    /// Whether columns `raw:<id>`, `score:<id>`, `rank:<id>` and `year:<id>` are those of components.
    pub component_prefixes: bool,
    pub components: Vec<ComponentShape>,
}

/// The names of the columns of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComponentShape {
    pub id: String,
    pub raw: Option<String>,
    pub score: Option<String>,
    pub rank: Option<String>,
    /// The year of the data.
    pub year: Option<String>,
}

/// How figures lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One row for each figure.
    Long,
    /// One row for each series, one column for each period.
    Wide,
}

/// What a cell without a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmptyCell {
    /// The producer publishes no figure.
    #[default]
    NoFigure,
    /// The figure is missing; the column `missing` says why.
    Missing,
}

/// How the name of a file becomes the id of its indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileNameCase {
    AsIs,
    UpperCase,
}

/// The names of the columns of figures.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FigureShape {
    pub layout: Layout,
    pub indicator: Option<String>,
    pub indicator_name: Option<String>,
    /// The file is named after its indicator.
    pub indicator_from_file: Option<FileNameCase>,
    pub entity: String,
    pub entity_name: Option<String>,
    /// The column `entity` holds names of entities of this kind, not codes or ids.
    entity_names_of: Option<KindName>,
    /// Characters at the end of names that point to a footnote, and are removed.
    #[serde(default)]
    pub footnote_marks: String,
    /// Schemes of the codes in the column `entity`, first choice first. A code that is in none of them is an id.
    #[serde(default)]
    pub entity_schemes: Vec<String>,
    pub source: Option<String>,
    /// Source of the figures whose row names none.
    pub default_source: Option<String>,
    pub period: Option<String>,
    pub value: Option<String>,
    pub upper: Option<String>,
    pub multiplier: Option<String>,
    pub qualifier: Option<String>,
    pub status: Option<String>,
    pub missing: Option<String>,
    pub comment: Option<String>,
    /// A column whose name begins so holds codes of a dimension; the rest of the name is its id.
    pub dimension_prefix: Option<String>,
    /// Id of a dimension → the column with its codes.
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
    #[serde(default)]
    pub empty: EmptyCell,
    /// Words in the column `period` that are no period; rows with them are left out.
    #[serde(default)]
    pub skip_periods: Vec<String>,
    /// Codes of the world. An entity that is defined from a file gets its kind by these codes and by `groups`.
    #[serde(default)]
    pub world: Vec<String>,
    /// Codes of groups of economies.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Licence of indicators that are defined from a file.
    #[serde(default)]
    pub licence: String,
    /// Frequency of indicators that are defined from a file.
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
    /// The kind of the entities whose names are in the file; `None` if the file has codes or ids.
    pub fn entity_names_of(&self) -> Option<EntityKind> {
        self.entity_names_of.map(|kind| match kind {
            KindName::Economy => EntityKind::Economy,
            KindName::Cluster => EntityKind::Cluster,
            KindName::Organisation => EntityKind::Organisation,
            KindName::RegionGroup => EntityKind::RegionGroup,
        })
    }

    pub fn frequency(&self) -> Frequency {
        match self.frequency {
            FrequencyName::NotStated => Frequency::NotStated,
            FrequencyName::Annual => Frequency::Annual,
            FrequencyName::Quarterly => Frequency::Quarterly,
            FrequencyName::Monthly => Frequency::Monthly,
        }
    }
}

/// A source, as a profile describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceShape {
    pub id: String,
    pub producer: String,
    pub title: String,
    pub url: String,
    pub licence: String,
}

/// Names of the built-in profiles for editions.
pub fn edition_profile_names() -> Vec<&'static str> {
    FOR_EDITIONS.iter().map(|(name, _)| *name).collect()
}

/// Names of the built-in profiles for figures.
pub fn figure_profile_names() -> Vec<&'static str> {
    FOR_FIGURES.iter().map(|(name, _)| *name).collect()
}

/// Names of all built-in profiles, in alphabetical order.
fn names() -> Vec<&'static str> {
    let mut names = edition_profile_names();
    names.extend(figure_profile_names());
    names.sort_unstable();
    names
}

impl Profile {
    /// A built-in profile by its name, or a user's own by its path.
    pub fn load(name: &str) -> Result<Self, ProfileError> {
        if let Some((_, text)) = FOR_EDITIONS.iter().chain(&FOR_FIGURES).find(|(built_in, _)| *built_in == name) {
            return Self::parse(name, text);
        }
        if !Path::new(name).is_file() {
            return Err(ProfileError::Unknown { name: name.to_owned() });
        }
        let text =
            std::fs::read_to_string(name).map_err(|error| ProfileError::Unreadable { path: name.to_owned(), error })?;
        Self::parse(name, &text)
    }

    /// Parses a profile. `path` is what errors call it.
    pub fn parse(path: &str, text: &str) -> Result<Self, ProfileError> {
        toml::from_str(text).map_err(|error| ProfileError::Malformed { path: path.to_owned(), error: Box::new(error) })
    }

    /// The columns of an edition. A profile for figures is an error.
    pub fn edition(&self) -> Result<&EditionShape, ProfileError> {
        self.edition.as_ref().ok_or_else(|| self.other_facts("editions"))
    }

    /// The columns of figures. A profile for editions is an error.
    pub fn figures(&self) -> Result<&FigureShape, ProfileError> {
        self.figures.as_ref().ok_or_else(|| self.other_facts("figures"))
    }

    fn other_facts(&self, facts: &'static str) -> ProfileError {
        ProfileError::OtherFacts { name: self.name.clone(), facts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_loads_under_its_name() {
        for name in edition_profile_names() {
            let profile = Profile::load(name).unwrap();
            assert_eq!(profile.name, name);
            assert!(profile.edition().is_ok() && profile.figures().is_err(), "{name}");
        }
        for name in figure_profile_names() {
            let profile = Profile::load(name).unwrap();
            assert_eq!(profile.name, name);
            assert!(profile.figures().is_ok() && profile.edition().is_err(), "{name}");
        }
    }

    #[test]
    fn a_wrong_profile_says_what_is_wrong() {
        let unknown = Profile::load("wdi-tall").unwrap_err().to_string();
        assert!(unknown.contains("wdi-tall") && unknown.contains("wdi-wide"), "{unknown}");
        let slip = Profile::parse("mine.toml", "name = \"a\"\nabout = \"\"\n[edition]\nrnak = \"Rank\"\n").unwrap_err();
        assert!(slip.to_string().contains("rnak") && slip.to_string().contains("mine.toml"), "{slip}");
    }
}
