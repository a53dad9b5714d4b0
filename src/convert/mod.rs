//! Conversions between values and the messages of the contract, one file a topic. The server, the command line and the
//! follower use them.
//!
//! In reading order:
//!
//! - for every request: `error` says what can be wrong with a field, `field` checks texts, ids and lists, `enums` has one
//!   table for each enum, `time` has days, instants and periods, `as_of` the point of history;
//! - facts: `catalog`, `figure`, `observation`, `selection`, `edition`, `comparison`;
//! - writes: `write` has options, results and findings, `upload` the messages of the two streaming writes, `batch` their
//!   figures as bytes;
//! - the feed: `commit`, `change`, `state`, `feed`; with [`digest`] a subscriber proves that its copy is the server's state.
//!
//! Invariant: no I/O. [`digest`] uses messages only, so that a client builds without the model: all others need the feature
//! `server`.

#[cfg(feature = "server")]
pub mod as_of;
#[cfg(feature = "server")]
pub mod batch;
#[cfg(feature = "server")]
pub mod catalog;
#[cfg(feature = "server")]
pub mod change;
#[cfg(feature = "server")]
pub mod commit;
#[cfg(feature = "server")]
pub mod comparison;
pub mod digest;
#[cfg(feature = "server")]
pub mod edition;
#[cfg(feature = "server")]
pub mod enums;
#[cfg(feature = "server")]
pub mod error;
#[cfg(feature = "server")]
pub mod feed;
#[cfg(feature = "server")]
pub mod field;
#[cfg(feature = "server")]
pub mod figure;
#[cfg(feature = "server")]
pub mod observation;
#[cfg(feature = "server")]
pub mod selection;
#[cfg(feature = "server")]
pub mod state;
#[cfg(feature = "server")]
pub mod time;
#[cfg(feature = "server")]
pub mod upload;
#[cfg(feature = "server")]
pub mod write;
