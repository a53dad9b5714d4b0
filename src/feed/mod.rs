//! The change feed: every commit in order, with its cause, filtered and resumable.
//!
//! # Modules, in reading order
//!
//! Each module uses only modules above it in this table, so that none of them depends on another in a circle.
//!
//! | modules | what they are for |
//! |---|---|
//! | [`error`] | why a stream ends |
//! | [`filter`] | which changes a subscriber wants, and what licences hide from it |
//! | [`token`] | where a stream is, in the form that clients keep |
//! | [`stamps`], [`weight`], [`cache`] | facts about commits, sizes of changes, the bound on shared bytes |
//! | [`change`] | a change, encoded at most once |
//! | [`group`] | subscribers with equal filters |
//! | [`index`] | the filters of all groups, matched at once; it uses groups, and groups know no index |
//! | [`group_registry`] | all groups, and the index over them |
//! | [`mod@matches`], [`shared_changes`], [`page_changes`] | what groups match of shared changes; pages, encoded once |
//! | [`page`], [`event`] | what a subscriber gets: pages of data, and notices about the stream |
//! | [`licences`], [`ring`], [`read_cache`], [`hub`] | what all subscribers share: recent commits, the ledger |
//! | [`commit_walk`], [`conflate`] | reading one commit, or several as one |
//! | [`commit_list`] | the same data, pulled page by page |
//! | [`stream_registry`] | the open streams, and whether their clients take what is sent |
//! | [`subscription`] | one subscriber's stream |
//!
//! # Invariants
//!
//! - A subscriber is a position, not a queue: it reads the shared ring of recent commits, or the ledger when it is
//!   behind, at its own speed.
//! - What a subscriber is told about its progress comes from its own position, never from head.
//! - A commit wakes only the groups that it matches. The others skip it when they next report progress.
//! - A change is encoded once, and a page once for each group, whatever the number of subscribers.

pub mod cache;
pub mod change;
pub mod commit_list;
mod commit_walk;
pub mod conflate;
pub mod error;
pub mod event;
pub mod filter;
pub mod group;
mod group_registry;
pub mod hub;
mod index;
mod licences;
pub mod matches;
pub mod page;
pub mod page_changes;
mod read_cache;
mod ring;
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

pub use self::error::FeedError;
