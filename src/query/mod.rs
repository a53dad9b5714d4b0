//! Reading the view: figures, series, editions and definitions, at any point of history.
//!
//! In reading order: [`snapshot`] fixes the point of history that a query answers at; [`policy`] says which source answers;
//! [`figures`], [`series`], [`editions`] and [`search`] answer; [`state`] lists everything that is current, for the feed.
//!
//! Invariants: a query answers from one revision and says which. It never writes. All of it is synchronous: callers keep
//! it off the async threads.

pub mod editions;
pub mod figures;
pub mod policy;
pub mod search;
pub mod series;
pub mod snapshot;
pub mod state;

use crate::{
    model::{catalog::DefinitionKind, id::Revision, series::Dimensions},
    store::{
        StoreError,
        suggestions::{Suggestions, near_clause},
    },
};

pub use snapshot::{AsOf, Reader, Snapshot};

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// An id that no definition had.
    #[error("no {} is called `{id}`{near}", .kind.name())]
    Unknown {
        /// What was looked for.
        kind: DefinitionKind,
        /// The id.
        id: String,
        /// Ids there are.
        near: Suggestions,
    },
    /// A code that no entity has in a scheme.
    #[error("no entity has the code `{code}` in the scheme `{scheme}`{}", near_clause(.near))]
    UnknownCode {
        /// Scheme.
        scheme: String,
        /// Code.
        code: String,
        /// Schemes in which an entity has it.
        near: Vec<String>,
    },
    /// A ranking without such an edition.
    #[error("{ranking} has no edition `{edition}`{near}")]
    NoEdition {
        /// Ranking.
        ranking: String,
        /// Edition; empty if it has none at all.
        edition: String,
        /// Editions there are, the newest.
        near: Suggestions,
    },
    /// Ids are known, but there is no figure.
    #[error("no source has a figure of {indicator} for {entity} {what}{}", near_clause(.near))]
    NoFigure {
        /// Indicator.
        indicator: String,
        /// Entity.
        entity: String,
        /// In which period, as of when.
        what: String,
        /// Periods there are.
        near: Vec<String>,
    },
    /// There are figures, but with other dimensions.
    #[error(
        "no source has a figure of {indicator} for {entity} {}; there are figures {}",
        in_words(.asked),
        .known.iter().map(in_words).collect::<Vec<_>>().join(", ")
    )]
    OtherDimensions {
        /// Indicator.
        indicator: String,
        /// Entity.
        entity: String,
        /// As asked.
        asked: Dimensions,
        /// Those there are, at most 20.
        known: Vec<Dimensions>,
    },
    /// The edition was withdrawn.
    #[error("edition {edition} of {ranking} was withdrawn in revision {revision}; as of revision {} it stands", .revision.0 - 1)]
    Withdrawn {
        /// Ranking.
        ranking: String,
        /// Edition.
        edition: String,
        /// When.
        revision: Revision,
    },
    /// A revision that is not there yet.
    #[error("revision {asked} is above head, which is {head}")]
    AboveHead {
        /// As asked.
        asked: Revision,
        /// As it is.
        head: Revision,
    },
    /// Definitions carry no release date.
    #[error("definitions carry no release date: ask as of a revision or a recorded instant")]
    ReleasedUnsupported,
    /// A selection that takes too long to look through.
    #[error("{pairs} pairs of an indicator and an entity, more than {limit}: ask for fewer at a time")]
    TooManyPairs {
        /// As asked.
        pairs: usize,
        /// The limit.
        limit: usize,
    },
    /// A policy that does not exist.
    #[error("no selection policy is called `{0}`; there are default@1 and newest@1")]
    NoPolicy(String),
    /// The source's licence forbids bulk.
    #[error("the licence of source {0} forbids redistribution: ask for single figures")]
    Forbidden(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn in_words(dimensions: &Dimensions) -> String {
    match dimensions.as_str() {
        "" => "without dimensions".to_owned(),
        text => format!("with {text}"),
    }
}
