//! Starts and filters of subscriptions.

use almanac::proto::{subscribe_request::Start, *};

use crate::support::at_revision;

pub(crate) fn now() -> Start {
    Start::Now(StartNow {})
}

pub(crate) fn state() -> Start {
    Start::State(StartState {})
}

/// From a revision to another, both included; `until` 0: without an end.
pub(crate) fn range(from: u64, until: u64) -> Start {
    Start::Range(StartRange { first_revision: from, last_revision: until })
}

/// The state of a revision, and every commit since.
pub(crate) fn known_at(revision: u64) -> Start {
    Start::AsKnownAt(at_revision(revision).unwrap())
}

pub(crate) fn token(token: &str) -> Start {
    Start::ResumeToken(token.to_owned())
}

pub(crate) fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

pub(crate) fn of_kinds(kinds: &[ChangeKind]) -> Filter {
    Filter { kinds: kinds.iter().map(|kind| (*kind).into()).collect(), ..Default::default() }
}

pub(crate) fn of_causes(causes: &[Cause]) -> Filter {
    Filter { causes: causes.iter().map(|cause| (*cause).into()).collect(), ..Default::default() }
}

pub(crate) fn of_rankings(rankings: &[&str]) -> Filter {
    Filter { rankings: ids(rankings), ..Default::default() }
}

pub(crate) fn of_indicators(indicators: &[&str]) -> Filter {
    Filter { indicators: ids(indicators), ..Default::default() }
}

pub(crate) fn of_entities(entities: &[&str]) -> Filter {
    Filter { entities: ids(entities), ..Default::default() }
}

pub(crate) fn of_sources(sources: &[&str]) -> Filter {
    Filter { sources: ids(sources), ..Default::default() }
}

pub(crate) fn within_rank(rank_at_most: u32) -> Filter {
    Filter { rank_at_most, ..Default::default() }
}

pub(crate) fn of_dimension(id: &str, value: &str) -> Filter {
    Filter { dimensions: vec![Dimension { id: id.into(), value: value.into() }], ..Default::default() }
}

pub(crate) fn with_name(name: &str, filter: Filter) -> Filter {
    Filter { name: name.into(), ..filter }
}
