//! The storage engine and the view on top of it. Only this module knows sled.
//!
//! In reading order:
//!
//! - [`engine`] is an ordered map of small values, with batches and a sync that makes them durable. [`disk`] is the map below
//!   it: sled's files, or `memory` in simulations. [`error`] says what can go wrong; [`faults`] names the places where tests make
//!   it fail; [`offload`] moves work that may wait for the disk off the async threads; [`lock`] decides what a poisoned
//!   lock means.
//! - [`bytes`] has the primitive encodings, [`versions`] the columns that versions of figures are encoded in, and
//!   [`chunks`] cuts values that are too long for one key.
//! - [`series`] stores versions of figures in blocks of at most 4 KiB; [`records`] stores definitions, editions and reverts;
//!   [`cursors`] stores the named cursors of clients.
//! - [`catalog`] holds definitions and editions in memory, [`reverts`] which commits are reverted; [`suggestions`] finds
//!   the ids that a client may have meant by an unknown one.
//! - [`view`] puts these together into what queries read. [`block_cache`] keeps what point reads need in memory, in a
//!   [`clock_cache`].
//!
//! The page `docs/dev/store-format.md` describes the formats byte by byte.
//!
//! Invariants: no value is longer than [`engine::VALUE_BYTES_MAX`]; no batch has more than [`engine::BATCH_OPS_MAX`]
//! operations; every value has a checksum; nothing here decides what a commit is.

mod block_cache;
pub mod bytes;
pub mod catalog;
pub mod chunks;
pub mod clock_cache;
pub mod cursors;
mod disk;
pub mod engine;
pub mod error;
pub mod faults;
pub mod lock;
#[cfg(feature = "fault-injection")]
pub mod memory;
pub mod offload;
pub mod records;
pub mod reverts;
pub mod series;
pub mod suggestions;
pub mod versions;
pub mod view;

pub use block_cache::CACHE_BYTES_DEFAULT;
pub use engine::Engine;
pub use error::{OpenError, StoreError};
