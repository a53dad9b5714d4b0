//! The hash of filters that tokens carry, and the digest that equal filters share.
//!
//! Invariant: the hash of a filter never changes, because clients keep tokens for years. A field that is not set is not
//! hashed, so that a later version with more fields computes the same hash for the same filter.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::{Filter, Kind};
use crate::model::change::Cause;

/// Two digests of filters.
pub(super) struct FilterDigest {
    /// Of what the filters ask for; part of tokens.
    pub(super) hash: u64,
    /// Of that and of the sources that are left out.
    pub(super) digest: [u8; 32],
}

pub(super) fn of(filters: &[Filter], left_out: &BTreeSet<String>) -> FilterDigest {
    let mut digest = Sha256::new();
    for filter in filters {
        add_filter(&mut digest, filter);
    }
    let hash = first_number(digest.clone());
    for source in left_out {
        add_text(&mut digest, source);
    }
    FilterDigest { hash, digest: digest.finalize().into() }
}

pub(super) fn of_left_out(left_out: &BTreeSet<String>) -> u64 {
    let mut digest = Sha256::new();
    for source in left_out {
        digest.update(source.as_bytes());
        digest.update([0]);
    }
    first_number(digest)
}

fn first_number(digest: Sha256) -> u64 {
    digest.finalize().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Adds the number of each field that is set, and its values in order.
fn add_filter(digest: &mut Sha256, filter: &Filter) {
    let kinds: BTreeSet<u32> = filter.kinds.iter().map(|kind| kind.number()).collect();
    let causes: BTreeSet<u32> = filter.causes.iter().map(|cause| cause_number(*cause)).collect();
    let dimensions: BTreeSet<String> = filter.dimensions.iter().map(|(id, code)| format!("{id}={code}")).collect();
    add_field(digest, 1, Some(&filter.name).filter(|name| !name.is_empty()));
    add_field(digest, 2, kinds.iter().map(u32::to_string));
    add_field(digest, 3, &filter.rankings);
    add_field(digest, 4, &filter.indicators);
    add_field(digest, 5, &filter.entities);
    add_field(digest, 6, &filter.sources);
    add_field(digest, 7, causes.iter().map(u32::to_string));
    add_field(digest, 8, non_zero(filter.rank_at_most));
    add_field(digest, 9, non_zero(filter.min_places));
    add_field(digest, 10, &dimensions);
    digest.update([0]);
}

fn add_field<T: AsRef<str>>(digest: &mut Sha256, number: u8, values: impl IntoIterator<Item = T>) {
    let values: Vec<T> = values.into_iter().collect();
    if values.is_empty() {
        return;
    }
    digest.update([number]);
    digest.update((values.len() as u64).to_le_bytes());
    for value in values {
        add_text(digest, value.as_ref());
    }
}

fn add_text(digest: &mut Sha256, text: &str) {
    digest.update((text.len() as u64).to_le_bytes());
    digest.update(text.as_bytes());
}

fn non_zero(number: u32) -> Option<String> {
    (number != 0).then(|| number.to_string())
}

impl Kind {
    /// Its number in the contract, which never changes.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Value => 1,
            Self::Entry => 2,
            Self::Edition => 3,
            Self::Definition => 4,
        }
    }
}

/// The number of a cause in the contract, which never changes.
pub(super) fn cause_number(cause: Cause) -> u32 {
    match cause {
        Cause::FirstRelease => 1,
        Cause::ScheduledRevision => 2,
        Cause::Correction => 3,
        Cause::MethodChange => 4,
        Cause::Withdrawal => 5,
        Cause::ReloadUnchanged => 6,
        Cause::Definition => 7,
    }
}
