//! The feed: its promises, starts, filters, tokens and ends.

mod licences;
mod pages;
mod promises;
mod state;
mod streams;
mod tokens;

use almanac::proto::*;

use crate::support::{Clients, fixture::*, replica::Replica, subscriptions::*, watch::Recording};

fn sex(code: &str) -> Dimension {
    Dimension { id: "SEX".into(), value: code.into() }
}

/// One filter of every kind, and some together.
fn all_filters() -> Vec<Vec<Filter>> {
    vec![
        Vec::new(),
        vec![of_kinds(&[ChangeKind::Value])],
        vec![of_kinds(&[ChangeKind::Entry, ChangeKind::Edition])],
        vec![of_kinds(&[ChangeKind::Definition])],
        vec![of_rankings(&[RANKING])],
        vec![of_indicators(&["GB.*"])],
        vec![Filter { entities: ids(&["CHN"]), ..of_indicators(&[PATENTS, VENTURE]) }],
        vec![of_entities(&["CHN"])],
        vec![of_sources(&["press"])],
        vec![of_causes(&[Cause::FirstRelease, Cause::ReloadUnchanged])],
        vec![within_rank(3)],
        vec![Filter { min_places: 3, ..Default::default() }],
        vec![of_entities(&["nobody"])],
        vec![of_dimension("SEX", "F")],
        vec![Filter { dimensions: vec![sex("F"), sex("M")], ..of_entities(&["CHN"]) }],
        vec![of_sources(&["office"])],
        vec![Filter { sources: ids(&["closed"]), ..of_kinds(&[ChangeKind::Definition]) }],
        vec![
            with_name("chinese", of_entities(&["CHN"])),
            with_name("first", within_rank(1)),
            with_name("venture", of_indicators(&["VC.*"])),
        ],
    ]
}

/// The copy from the state of a recording, or from nothing, with every commit since.
fn copy_of(recording: &Recording) -> Replica {
    let mut copy = Replica::of_state(&recording.messages);
    recording.commits().iter().for_each(|commit| copy.apply_commit(commit));
    copy
}

/// One commit for each value of a figure.
async fn write_values(clients: &Clients, values: &[&str]) {
    for value in values {
        clients.ingest(released("2024-01-01"), one_figure(value)).await.unwrap();
    }
}

fn edition_of(id: &str, source: &str) -> PublishHeader {
    let mut header = edition(id);
    header.edition.as_mut().unwrap().source = source.into();
    header
}
