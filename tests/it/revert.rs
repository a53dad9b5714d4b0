//! Reverts, through the socket.

use almanac::{ledger::verify::verify, proto::*};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    Clients, Dice, assert_refused, at_released, at_revision,
    author::Author,
    fixture::*,
    long, reason,
    replica::{Replica, read_state},
    text,
};

async fn revert(clients: &Clients, options: WriteOptions, revisions: &[u64]) -> Result<WriteResult, Status> {
    let request = RevertCommitRequest { options: Some(options), revisions: revisions.to_vec() };
    Ok(clients.admin.clone().revert_commit(request).await?.into_inner().result.unwrap())
}

async fn ingest(clients: &Clients, day: &str, figure: &str) -> u64 {
    let sent = batch(VENTURE, "CHN", "bank", &[("2024", figure)]);
    clients.ingest(released(day), vec![sent]).await.unwrap().revision
}

async fn current(clients: &Clients, as_of: Option<AsOf>) -> Option<(String, String)> {
    let found = clients.observations(select(&[VENTURE]), as_of).await;
    found.first().map(|row| (row.released.clone(), text(row.value.as_ref().unwrap())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_release_date_is_reverted() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mistyped = ingest(clients, "2025-05-20", "7").await;
    ingest(clients, "2024-05-20", "5").await;
    assert_eq!(current(clients, None).await, Some(("2025-05-20".into(), "7".into())));
    let before = clients.head().await;

    let options = WriteOptions { validate_only: true, ..request("undo") };
    let checked = revert(clients, options, &[mistyped]).await.unwrap();
    assert_eq!((checked.revision, checked.difference.len()), (before, 1));
    assert_eq!(checked.difference[0].scope(), ChangeScope::Changed);
    let done = revert(clients, request("undo"), &[mistyped]).await.unwrap();
    assert_eq!(done.counts, checked.counts);
    assert!(revert(clients, request("undo"), &[mistyped]).await.unwrap().replayed);

    let right = Some(("2024-05-20".into(), "5".into()));
    assert_eq!(current(clients, None).await, right);
    assert_eq!(current(clients, at_released("2025-06-01")).await, right);
    assert_eq!(current(clients, at_released("2024-05-19")).await, None);
    assert_eq!(current(clients, at_revision(before)).await, Some(("2025-05-20".into(), "7".into())));
    let commits = clients.commits(before, Vec::new()).await;
    assert_eq!(commits[0].commit.cause(), Cause::Correction);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_revert_names_the_commits_in_its_way() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let head = clients.head().await;
    let first = ingest(clients, "2024-05-20", "5").await;
    let second = ingest(clients, "2024-05-20", "6").await;
    let third = ingest(clients, "2024-05-20", "7").await;
    let options = WriteOptions::default;

    let refused = revert(clients, options(), &[first]).await;
    let refused = assert_refused(refused, Code::FailedPrecondition, "REVERT_CONFLICT");
    let revisions = refused.get_error_details().error_info().unwrap().metadata["revisions"].clone();
    assert_eq!(revisions, format!("{second} {third}"));
    // The same holds for definitions that later commits use.
    let refused = revert(clients, options(), &[head]).await;
    assert_refused(refused, Code::FailedPrecondition, "REVERT_CONFLICT");
    let refused = revert(clients, options(), &[third + 1]).await;
    assert_refused(refused, Code::OutOfRange, "ABOVE_HEAD");
    for revisions in [&[][..], &[0], &vec![1; 101]] {
        let refused = revert(clients, options(), revisions).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused)), (Code::InvalidArgument, "FIELD".to_owned()));
    }
    assert_eq!(clients.head().await, third);

    revert(clients, options(), &[third, first, second]).await.unwrap();
    assert_eq!(current(clients, None).await, None);
    let all = revert(clients, options(), &[head]).await.unwrap();
    assert!(all.counts.unwrap().definitions_removed > 0);
    assert_eq!(read_state(clients, clients.head().await, &[]).await, Replica::default());
    assert_eq!(clients.status().await.indicators, 0);
    server.end().await;
}

/// Filters of subscriptions that keep copies.
fn filters() -> Vec<Vec<Filter>> {
    let top = Filter { rankings: vec![RANKING.into()], rank_at_most: 3, ..Default::default() };
    let economy = Filter { name: "economy".into(), entities: vec!["CHN".into()], ..Default::default() };
    let source = Filter { name: "source".into(), sources: vec!["bank".into()], ..Default::default() };
    vec![Vec::new(), vec![top], vec![economy, source]]
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_and_the_folder_stay_right_through_any_reverts() {
    let mut server = server_with_catalog().await;
    let mut dice = Dice::new("reverts");
    let mut author = Author::new(dice.split(), "steward", 60);
    let mut done = 0;
    let mut conflicts = 0;
    for _ in 0..if long() { 400 } else { 80 } {
        if dice.once_in(3) {
            let head = server.clients.head().await;
            // Revision 1 is the catalog, which every other commit needs.
            let newest = (2..=head).rev().take(20).collect::<Vec<u64>>();
            if newest.is_empty() {
                continue;
            }
            let revisions: Vec<u64> = (0..1 + dice.below(3)).map(|_| *dice.pick(&newest)).collect();
            match revert(&server.clients, WriteOptions::default(), &revisions).await {
                Ok(_) => done += 1,
                Err(refused) => {
                    assert_eq!(reason(&refused), "REVERT_CONFLICT", "{refused:?}");
                    conflicts += 1;
                }
            }
        } else if let Err(refused) = author.next().send(&server.clients).await {
            // The author does not know which commits were reverted.
            let expected = ["EDITION_EXISTS", "NO_EDITION", "FINDINGS"];
            let reason = reason(&refused);
            assert!(expected.contains(&reason.as_str()) || reason.starts_with("UNKNOWN_"), "{refused:?}");
        }
    }
    assert!(done > 0, "no revert was done, {conflicts} were refused");

    let head = server.clients.head().await;
    let mut states = Vec::new();
    for filters in filters() {
        let mut copy = Replica::default();
        for commit in server.clients.commits(0, filters.clone()).await {
            copy.apply_commit(&commit);
            if dice.once_in(8) {
                let revision = commit.commit.revision;
                let state = read_state(&server.clients, revision, &filters).await;
                copy.assert_same(&state, &format!("revision {revision} of {filters:?}"));
            }
        }
        let state = read_state(&server.clients, head, &filters).await;
        copy.assert_same(&state, &format!("head of {filters:?}"));
        states.push(state);
    }
    let status = server.clients.status().await;
    server.restart().await;
    for (filters, state) in filters().iter().zip(&states) {
        read_state(&server.clients, head, filters).await.assert_same(state, "after a restart");
    }
    assert_eq!(server.clients.status().await, status);
    server.stop().await;
    let report = verify(&server.data(), false).unwrap();
    assert_eq!((report.problem_count, report.problems), (0, Vec::new()));
    server.end().await;
}
