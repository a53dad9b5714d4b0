//! Definitions and editions on disk, one record a version, under a key that ends with the revision that brought it; and
//! the commits that each revert names.
//!
//! Invariant: a record is MessagePack with field names, so that a later version of Almanac may add fields.

use std::collections::BTreeSet;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    bytes::corrupt,
    chunks,
    engine::{Batch, Engine},
    error::Result,
};
use crate::model::{
    catalog::{Definition, DefinitionKind},
    edition::{Edition, Entry, Table},
    id::Revision,
};

const DEFINITIONS: u8 = b'C';
const EDITIONS: u8 = b'E';
const TABLES: u8 = b'T';
const REVERTS: u8 = b'R';

/// The bytes of a record.
pub fn pack(record: &impl Serialize) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(record).map_err(|error| corrupt(&format!("a record that does not pack: {error}")))
}

/// The record of bytes that [`pack`] made.
pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| corrupt(&format!("a record that does not unpack: {error}")))
}

/// Puts a version of a definition.
pub fn put_definition(batch: &mut Batch<'_>, revision: Revision, definition: &Definition) -> Result<()> {
    let kind = match definition.kind() {
        DefinitionKind::Source => b's',
        DefinitionKind::Methodology => b'm',
        DefinitionKind::Indicator => b'i',
        DefinitionKind::Entity => b'e',
        DefinitionKind::Ranking => b'r',
    };
    let mut key = vec![DEFINITIONS, kind];
    key.extend_from_slice(definition.id().as_bytes());
    chunks::put(batch, &versioned(key, revision), &pack(definition)?)
}

/// Every version of every definition. The versions of one definition come together, in the order of revisions.
pub fn definitions(engine: &Engine) -> impl Iterator<Item = Result<(Revision, Definition)>> {
    chunks::scan(engine, &[DEFINITIONS]).map(|item| {
        let (key, bytes) = item?;
        Ok((revision_of(&key)?, unpack(&bytes)?))
    })
}

/// Puts a version of an edition with its entries.
pub fn put_table(batch: &mut Batch<'_>, table: &Table) -> Result<()> {
    chunks::put(batch, &edition_key(TABLES, &table.edition), &pack(&table.entries)?)?;
    chunks::put(batch, &edition_key(EDITIONS, &table.edition), &pack(&table.edition)?)
}

/// Every version of every edition, without entries. The versions of one edition come together, in the order of revisions.
pub fn editions(engine: &Engine) -> impl Iterator<Item = Result<Edition>> {
    chunks::scan(engine, &[EDITIONS]).map(|item| unpack(&item?.1))
}

/// The entries of a version of an edition. An error if there are none: every version has its entries.
pub fn entries(engine: &Engine, edition: &Edition) -> Result<Vec<Entry>> {
    let bytes = chunks::get(engine, &edition_key(TABLES, edition))?;
    unpack(&bytes.ok_or_else(|| corrupt("an edition without its entries"))?)
}

/// Puts the commits that a revert names.
pub fn put_revert(batch: &mut Batch<'_>, revert: Revision, revisions: &BTreeSet<Revision>) -> Result<()> {
    chunks::put(batch, &[&[REVERTS][..], &revert.0.to_be_bytes()].concat(), &pack(revisions)?)
}

/// Every revert with the commits that it names, in the order of revisions.
pub fn reverts(engine: &Engine) -> impl Iterator<Item = Result<(Revision, BTreeSet<Revision>)>> {
    chunks::scan(engine, &[REVERTS]).map(|item| {
        let (key, bytes) = item?;
        Ok((revision_of(&key)?, unpack(&bytes)?))
    })
}

fn edition_key(table: u8, edition: &Edition) -> Vec<u8> {
    // Ids hold no blanks and no control characters, so a zero byte ends them.
    let mut key = vec![table];
    key.extend_from_slice(edition.ranking.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(edition.edition.as_str().as_bytes());
    versioned(key, edition.revision)
}

fn versioned(mut key: Vec<u8>, revision: Revision) -> Vec<u8> {
    key.push(0);
    key.extend_from_slice(&revision.0.to_be_bytes());
    key
}

fn revision_of(key: &[u8]) -> Result<Revision> {
    let bytes = key.last_chunk::<8>().ok_or_else(|| corrupt("a record key without its revision"))?;
    Ok(Revision(u64::from_be_bytes(*bytes)))
}
