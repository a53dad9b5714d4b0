//! Files → checked records.
//!
//! In reading order: [`encoding`] turns bytes into text. [`table`] finds the header, and gives rows with their line
//! numbers. [`number`] reads numbers as publishers print them. A [`profile`] says what each column means. [`names`]
//! finds the entity that a name or a code stands for. [`rows`] is the loop over the rows of a file; [`figures`] makes
//! series of the rows, [`editions`] makes entries.
//!
//! Invariants:
//! - Everything here is synchronous and pure; only [`profile::Profile::load`] reads a file, when a user names one.
//! - Digits stay exactly as printed.
//! - A name that is only similar to a known one is suggested in a finding and never used.
//! - What is wrong becomes a finding that names file, line and column. A file with an error gives nothing to write.

pub mod editions;
pub mod encoding;
pub mod figures;
pub mod names;
pub mod number;
pub mod profile;
pub mod rows;
pub mod table;
