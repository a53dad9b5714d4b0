//! Why a stream or a list does not start, or ends.

use crate::{model::id::Revision, query::QueryError, store::StoreError};

/// Why a stream or a list does not start, or ends. The texts are what clients read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    #[error("the resume token is damaged or was not made by this server")]
    TokenMalformed,
    /// The token is of another store, or of this one before a restore.
    #[error("the resume token belongs to another history; start again with the state")]
    TokenOtherHistory,
    #[error("the resume token was made by Almanac 0.1; start again with the state")]
    TokenOutdated,
    /// The token is genuine, and its revision is above head.
    #[error("the resume token names revision {asked}, and this server has {head}; try again, or ask another server")]
    TokenAhead { asked: Revision, head: Revision },
    #[error("the resume token belongs to a subscription with other filters; use those, or start again with the state")]
    TokenOtherFilter,
    #[error("revision {asked} is above head, which is {head}")]
    AboveHead { asked: Revision, head: Revision },
    /// The revision was compacted away.
    #[error("revision {asked} is below {floor}, the oldest that can be replayed; start again with the state")]
    BelowFloor { asked: Revision, floor: Revision },
    #[error("{limit} subscriptions are open, which is the limit; try again later")]
    TooManySubscribers { limit: usize },
    #[error("{limit} subscriptions conflate, which is the limit; try again later, or without `conflate`")]
    TooManyConflating { limit: usize },
    /// A page token names a place within a commit that no page of the list can end at.
    #[error("names a place that is not in this list: list again from the first page")]
    NoSuchPosition,
    /// The state could not be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
