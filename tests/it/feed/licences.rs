//! Figures and editions whose licence forbids redistribution.

use almanac::proto::*;

use super::{copy_of, edition_of};
use crate::support::{
    fixture::*,
    join,
    replica::{self},
    subscriptions::*,
    watch::Watch,
};

fn figures_of(sources: &[&str], value: &str) -> Vec<SeriesBatch> {
    sources.iter().map(|source| batch(RD, "CHN", source, &[("2020", value)])).collect()
}

#[tokio::test]
async fn figures_that_a_licence_forbids_are_left_out_and_their_sources_named() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut watch = Watch::open(clients, range(1, 0), Vec::new()).await.unwrap();
    clients.ingest(released("2024-01-01"), figures_of(&["bank", "closed", "press"], "1")).await.unwrap();
    clients.ingest(released("2024-01-01"), figures_of(&["closed"], "2")).await.unwrap();
    clients.publish(edition_of("2024", "closed"), entries(&[1, 2, 3])).await.unwrap();
    clients.ingest(released("2024-01-01"), figures_of(&["closed"], "2")).await.unwrap();
    watch.until_covers(5).await;
    let recording = watch.leave().await;
    assert_eq!(recording.opened().left_out_sources, ["closed"]);
    let commits = recording.commits();
    let outline: Vec<(u64, u64, usize)> =
        commits.iter().map(|one| (one.commit.revision, one.previous, one.changes.len())).collect();
    // The last commit changes nothing: no licence forbids that.
    assert_eq!(outline, [(1, 0, catalog().len()), (2, 1, 2), (5, 2, 0)]);
    let indexes: Vec<u64> = commits[1].changes.iter().map(|change| change.index).collect();
    assert!(indexes == [0, 1] || indexes == [0, 2] || indexes == [1, 2], "a change keeps its index: {indexes:?}");
    let keys: Vec<replica::Key> = commits[0].changes.iter().map(replica::key_of).collect();
    assert!(keys.iter().any(|key| key.last().unwrap() == "closed"), "the definition of the source is listed");
    let listing = ListCommitsRequest::default();
    let listed = clients.feed.clone().list_commits(listing).await.unwrap().into_inner();
    assert_eq!(listed.left_out_sources, ["closed"]);
    assert_eq!(join(&listed.commits), commits);
    let mut conflated = Watch::conflating(clients, range(1, 0), Vec::new()).await.unwrap();
    conflated.until_covers(5).await;
    let plain = copy_of(&recording);
    let conflated = copy_of(&conflated.leave().await);
    let state = replica::read_state(clients, 5, &[]).await;
    for copy in [conflated, state] {
        copy.assert_same(&plain, "by conflation or by state");
        assert!(!copy.rows().keys().any(|key| key[0] != "D" && key.iter().any(|part| part == "closed")));
        assert!(!copy.rows().keys().any(|key| key[0] == "E" || key[0] == "T"), "the edition is of that source");
    }
    server.end().await;
}

/// Editions of two sources: the comparison in one does not reveal entries of the other, whose licence forbids that.
#[tokio::test]
async fn a_comparison_does_not_reveal_an_edition_that_a_licence_forbids() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut watch = Watch::open(clients, range(2, 0), Vec::new()).await.unwrap();
    clients.publish(edition_of("2023", "closed"), entries(&[1, 2, 3])).await.unwrap();
    clients.publish(edition_of("2024", "office"), entries(&[3, 2, 1])).await.unwrap();
    clients.publish(correction(edition_of("2024", "closed")), entries(&[3, 2, 1])).await.unwrap();
    watch.until_covers(4).await;
    let recording = watch.leave().await;
    let listing = ListCommitsRequest { after_revision: 1, ..Default::default() };
    let listed = clients.feed.clone().list_commits(listing).await.unwrap().into_inner();
    let commits = recording.commits();
    assert_eq!(join(&listed.commits), commits);
    assert_eq!(commits.iter().map(|one| one.commit.revision).collect::<Vec<_>>(), [3, 4]);
    for change in commits[0].changes.iter().filter_map(entry_of) {
        assert_eq!((&change.compared, change.places, change.movement()), (&None, None, Movement::Unknown));
        assert!(change.after.is_some());
    }
    for change in commits[1].changes.iter().filter_map(entry_of) {
        assert!(change.before.is_some() && change.after.is_none(), "what the licence now forbids leaves: {change:?}");
    }
    assert!(copy_of(&recording).rows().keys().all(|key| key[0] != "E"));
    server.end().await;
}

fn entry_of(change: &Change) -> Option<&EntryChange> {
    match &change.detail {
        Some(change::Detail::Entry(entry)) => Some(entry),
        _ => None,
    }
}
