//! Every change, in order, with its cause, resumable.
//!
//! In reading order: [`filter`] says which changes a subscriber wants, [`group`] brings those with equal filters together,
//! [`index`] asks all filters at once; [`page`] is a page of a commit as all share it; [`token`] names a place in a stream;
//! [`hub`] holds recent commits and wakes who waits; [`history`] walks through commits; [`conflate`] makes several of them
//! one; [`subscription`] is one subscriber, [`stream_registry`] where it leaves the server; [`stamps`] says
//! when and why the commits were made that rows come from.
//!
//! Invariants: a subscriber is a cursor, not a queue: it reads the shared ring of recent commits, or the ledger when it is
//! behind, at its own pace. What it is told about its position comes from its own cursor, never from head. Only those are
//! woken for whom something matches; the others pass over it when they next say how far they are.

pub mod cache;
pub mod change;
pub mod conflate;
pub mod filter;
pub mod group;
mod group_registry;
pub mod history;
pub mod hub;
mod index;
mod lock;
pub mod matches;
pub mod page_changes;
mod shared_changes;
pub mod stamps;
pub mod stream_registry;
pub mod subscription;
pub mod token;
mod weight;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use crate::{model::id::Revision, query::QueryError, store::StoreError};

/// Why a stream does not start, or ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// Not a token of ours.
    #[error("the resume token is damaged or was not made by this server")]
    TokenMalformed,
    /// A token of another store, or of this one before a restore.
    #[error("the resume token belongs to another history; start again with the state")]
    TokenOtherHistory,
    /// A token that an earlier version made.
    #[error("the resume token was made by Almanac 0.1; start again with the state")]
    TokenOutdated,
    /// A genuine token of a revision that is not here yet.
    #[error("the resume token names revision {asked}, and this server has {head}; try again, or ask another server")]
    TokenAhead {
        /// As asked.
        asked: Revision,
        /// As it is.
        head: Revision,
    },
    /// A token of a stream with other filters.
    #[error("the resume token belongs to a subscription with other filters; use those, or start again with the state")]
    TokenOtherFilter,
    /// A place that is not there yet.
    #[error("revision {asked} is above head, which is {head}")]
    AboveHead {
        /// As asked.
        asked: Revision,
        /// As it is.
        head: Revision,
    },
    /// A place that is no more.
    #[error("revision {asked} is below {floor}, the oldest that can be replayed; start again with the state")]
    BelowFloor {
        /// As asked.
        asked: Revision,
        /// As it is.
        floor: Revision,
    },
    /// Too many subscribers.
    #[error("{limit} subscriptions are open, which is the limit; try again later")]
    TooManySubscribers {
        /// The limit.
        limit: usize,
    },
    /// Too many subscribers that conflate.
    #[error("{limit} subscriptions conflate, which is the limit; try again later, or without `conflate`")]
    TooManyConflating {
        /// The limit.
        limit: usize,
    },
    /// A page token whose place inside a commit is not there.
    #[error("names a place that is not in this list: list again from the first page")]
    NoSuchPosition,
    /// The state could not be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
