//! Files → checked records.
//!
//! In reading order: [`encoding`] turns bytes into text, [`table`] finds the header among preambles and gives rows with
//! their line numbers, [`number`] reads figures as people print them; a [`profile`] says which column is what, [`names`]
//! finds the entity that a name or code means. From these [`figures`] makes series and [`editions`] makes entries.
//!
//! Invariants: synchronous and pure, but for profiles that a user names; digits are kept exactly as printed; nothing is
//! guessed in silence. What is wrong becomes a finding that names file, line and column, and a file with an error gives
//! nothing to write.

pub mod editions;
pub mod encoding;
pub mod figures;
pub mod names;
pub mod number;
pub mod profile;
pub mod table;
