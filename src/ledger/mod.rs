//! The one writer: plan a commit against the view, append it, seal it, apply it; recovery, compaction, backups.
//!
//! In reading order: [`upload`] collects the figures of a write; [`plan`] finds what really changes; [`record`] is the part of
//! a commit, [`page`] the encoding of records, [`bundle`] that of pages in the store; [`log`] is the ledger, the sequence of
//! commits; [`apply`] brings the view up to it, from the [`staged`] records of a commit that was just made; [`writer`] takes writes one after the other, and moves the cursors of
//! clients by the rules of [`cursor`]. [`compact`] drops the pages of old commits. [`rebuild`] makes a folder from commits:
//! [`verify`] checks a folder with it, [`backup`] carries commits in a file, [`migrate`] reads a folder of the format
//! before. [`error`] says why a ledger cannot answer.
//!
//! Invariants: only this room writes and assigns revisions. A commit is durable before it is answered or published, and it is
//! there whole or not at all. The view follows from the ledger and can be rebuilt from it. All code here is synchronous
//! and may wait for the disk, except the writer's handle and its loop (`writer/handle.rs`, `writer/run.rs`).

pub mod apply;
pub mod backup;
pub mod bundle;
pub mod compact;
pub mod cursor;
pub mod error;
pub mod log;
pub mod migrate;
pub mod page;
pub mod plan;
pub mod rebuild;
pub mod record;
pub mod staged;
#[cfg(test)]
mod testing;
pub mod upload;
pub mod verify;
pub mod writer;

pub use error::LedgerError;
pub use log::Ledger;
pub use writer::{WriteAnswer, WriteError, WriteOptions, Writer};
