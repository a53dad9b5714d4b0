//! The engine underneath: the only room that knows sled.
//!
//! In reading order: [`engine`] is an ordered map of small values with batches and a sync that is one, [`memory`] a disk
//! for simulations of it; [`faults`] names the places where tests make it fail; [`offload`] says where work that waits for
//! the disk is done; [`bytes`] reads and writes the few primitive encodings; [`rows`] packs versions of
//! figures into columns; [`series`] keeps them as blocks of at most 4 KiB; [`chunks`] cuts longer things; [`records`] keeps
//! definitions and editions, [`catalog`] holds them in memory, [`reverts`] what of them was taken back, [`nearest`] says what of them somebody may have meant;
//! [`cursors`] keeps what clients said of how far they came; [`view`] puts these together into what queries read. The formats are in
//! `docs/dev/store-format.md`.
//!
//! Invariants: no value is longer than [`engine::VALUE_BYTES_MAX`], no batch holds more than [`engine::BATCH_OPS_MAX`]
//! operations, every value carries a checksum, and nothing here decides what a commit is.

pub mod bytes;
pub mod catalog;
pub mod chunks;
pub mod cursors;
pub mod engine;
pub mod faults;
pub mod memory;
pub mod nearest;
pub mod offload;
pub mod records;
pub mod reverts;
pub mod rows;
pub mod series;
pub mod view;

pub use engine::{Engine, StoreError};
