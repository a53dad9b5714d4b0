//! Reading the view: figures, series, editions and definitions, at any point of history.
//!
//! In reading order: [`snapshot`] fixes the point of history that a query answers at, [`commits`] has the commits; [`policy`] chooses the source that
//! answers; [`figures`], [`versions`], [`series`], [`chosen`], [`editions`] and [`search`] answer; [`state`] lists everything that is current, for
//! the feed.
//!
//! Invariants: a query answers from one revision and names it. It never writes. All of it is synchronous and may wait for
//! the disk, so callers keep it off the async threads; except on a [`Snapshot::in_memory`], which never waits.

pub mod chosen;
mod commits;
pub mod editions;
pub mod figures;
pub mod policy;
pub mod search;
pub mod series;
pub mod snapshot;
pub mod state;
pub mod versions;

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
    /// No definition has the id at this point of history.
    #[error("no {} is called `{id}`{near}", .kind.name())]
    Unknown { kind: DefinitionKind, id: String, near: Suggestions },
    /// No entity has the code in the scheme.
    #[error("no entity has the code `{code}` in the scheme `{scheme}`{}", near_clause(.near))]
    UnknownCode {
        scheme: String,
        code: String,
        /// Schemes in which an entity has the code.
        near: Vec<String>,
    },
    /// The ranking has no such edition.
    #[error("{ranking} has no edition `{edition}`{near}")]
    NoEdition {
        ranking: String,
        /// Empty if the query named none.
        edition: String,
        /// The newest editions of the ranking.
        near: Suggestions,
    },
    /// The ids are known, but no source has a figure.
    #[error("no source has a figure of {indicator} for {entity} {what}{}", near_clause(.near))]
    NoFigure {
        indicator: String,
        entity: String,
        /// The period, if one was named, and `at this point of history`: the end of the sentence.
        what: String,
        /// The first and the last period with a figure.
        near: Vec<String>,
    },
    /// There are figures of the indicator and the entity, but with other dimensions.
    #[error(
        "no source has a figure of {indicator} for {entity} {}; there are figures {}",
        in_words(.asked),
        .known.iter().map(in_words).collect::<Vec<_>>().join(", ")
    )]
    OtherDimensions {
        indicator: String,
        entity: String,
        asked: Dimensions,
        /// The dimensions with which there are figures, at most 20.
        known: Vec<Dimensions>,
    },
    #[error("edition {edition} of {ranking} was withdrawn in revision {revision}; as of revision {} it stands", .revision.0 - 1)]
    Withdrawn {
        ranking: String,
        edition: String,
        /// The commit that withdrew it.
        revision: Revision,
    },
    #[error("revision {asked} is above head, which is {head}")]
    AboveHead { asked: Revision, head: Revision },
    /// A query about definitions asks as of a release date.
    #[error("definitions carry no release date: ask as of a revision or a recorded instant")]
    ReleasedUnsupported,
    /// A selection would take too long to look through.
    #[error("{pairs} pairs of an indicator and an entity, more than {limit}: ask for fewer at a time")]
    TooManyPairs { pairs: usize, limit: usize },
    /// No policy has this name.
    #[error("no selection policy is called `{0}`; there are default@1 and newest@1")]
    NoPolicy(String),
    /// The licence of this source forbids answers with many of its figures.
    #[error("the licence of source {0} forbids redistribution: ask for single figures")]
    Forbidden(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn in_words(dimensions: &Dimensions) -> String {
    match dimensions.as_str() {
        "" => "without dimensions".to_owned(),
        text => format!("with {text}"),
    }
}
