//! What a write changes: causes, counts, corrections, whole releases.

use almanac::proto::*;
use tonic::Code;

use super::{
    counts,
    requests::{definition_counts, with},
};
use crate::support::{assert_refused, at_released, at_revision, fixture::*};

fn instant(recorded: &Option<prost_types::Timestamp>) -> (i64, i32) {
    let recorded = recorded.unwrap();
    (recorded.seconds, recorded.nanos)
}

#[tokio::test]
async fn cause_note_and_document_are_kept_and_causes_follow_from_what_changes() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let options = WriteOptions {
        cause: Cause::MethodChange.into(),
        note: "neue Methode, Größe".into(),
        document_sha256: "AB".repeat(32),
        request_id: "noted".into(),
        ..Default::default()
    };
    clients.ingest(released("2023-01-01"), one_figure("1")).await.unwrap();
    clients.ingest(released("2023-02-01"), one_figure("2")).await.unwrap();
    clients.ingest(with(options, released("2023-03-01")), one_figure("3")).await.unwrap();
    let mut gone = batch(RD, "CHN", "bank", &[]);
    gone.points = vec![IngestPoint { period: "2020".into(), value: None, withdrawn: true }];
    clients.ingest(released("2023-04-01"), vec![gone]).await.unwrap();
    clients.define(WriteOptions::default(), vec![economy("FRA", "France")]).await.unwrap();
    let commits = clients.commits(1, Vec::new()).await;
    let causes: Vec<Cause> = commits.iter().map(|one| one.commit.cause()).collect();
    let expected =
        [Cause::FirstRelease, Cause::ScheduledRevision, Cause::MethodChange, Cause::Withdrawal, Cause::Definition];
    assert_eq!(causes, expected);
    let noted = &commits[2].commit;
    assert_eq!((noted.note.as_str(), noted.request_id.as_str()), ("neue Methode, Größe", "noted"));
    assert_eq!((noted.document_sha256.as_str(), noted.released.as_str()), ("ab".repeat(32).as_str(), "2023-03-01"));
    assert_eq!(noted.author, "local");
    for (before, after) in commits.iter().zip(&commits[1..]) {
        assert!(instant(&before.commit.recorded) <= instant(&after.commit.recorded));
        assert_eq!(before.commit.revision + 1, after.commit.revision);
    }
    server.end().await;
}

fn two_figures() -> Vec<SeriesBatch> {
    vec![batch(RD, "CHN", "bank", &[("2020", "2.40"), ("2021", "2.44")])]
}

#[tokio::test]
async fn a_reload_of_the_same_is_a_commit_without_changes() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.ingest(released("2023-03-01"), two_figures()).await.unwrap();
    clients.publish(edition("2022"), entries(&[1, 2, 3])).await.unwrap();
    let before = clients.status().await;

    let mut reordered = two_figures();
    reordered[0].points.reverse();
    let reloads = [
        clients.ingest(released("2023-03-01"), two_figures()).await.unwrap(),
        clients.ingest(released("2023-03-01"), reordered).await.unwrap(),
        clients.define(WriteOptions::default(), catalog()).await.unwrap(),
        clients.publish(correction(edition("2022")), entries(&[1, 2, 3])).await.unwrap().result.unwrap(),
    ];
    for (reload, unchanged) in reloads.iter().zip([2, 2, 0, 3]) {
        assert_eq!(counts(reload), (0, 0, unchanged, 0, 0));
    }
    assert_eq!(definition_counts(&reloads[2]), (0, 0, catalog().len() as u64));
    let commits = clients.commits(3, Vec::new()).await;
    assert_eq!(commits.len(), 4, "checked and unchanged is a fact that subscribers see");
    assert!(commits.iter().all(|one| one.changes.is_empty() && one.commit.cause() == Cause::ReloadUnchanged));
    let after = clients.status().await;
    assert_eq!(after, GetStoreStatusResponse { head: before.head + 4, ..before });
    server.end().await;
}

fn row(indicator: &str, entity: &str, source: &str, period: &str) -> (String, String, String, String) {
    (indicator.to_owned(), entity.to_owned(), source.to_owned(), period.to_owned())
}

#[tokio::test]
async fn merge_leaves_what_it_does_not_name_and_replace_withdraws_it() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let all = vec![
        batch(RD, "CHN", "bank", &[("2020", "2.40"), ("2021", "2.44")]),
        batch(RD, "USA", "bank", &[("2020", "3.47")]),
        batch(RD, "USA", "office", &[("2020", "3.4")]),
        batch(PATENTS, "USA", "bank", &[("2020", "7")]),
    ];
    clients.ingest(released("2023-01-01"), all).await.unwrap();
    let merged = clients.ingest(released("2023-02-01"), one_figure("2.41"));
    assert_eq!(counts(&merged.await.unwrap()), (0, 1, 0, 0, 0));

    let replace = IngestHeader { mode: IngestMode::Replace.into(), ..released("2023-03-01") };
    let replaced = clients.ingest(replace, vec![batch(RD, "CHN", "bank", &[("2021", "2.44"), ("2022", "2.5")])]);
    assert_eq!(counts(&replaced.await.unwrap()), (1, 0, 1, 2, 0), "CHN 2020 and USA 2020 of the bank");
    let left: Vec<_> = clients
        .observations(select(&[RD, PATENTS]), None)
        .await
        .into_iter()
        .map(|row| (row.indicator, row.entity, row.source, row.period))
        .collect();
    assert_eq!(
        left,
        [
            row(RD, "CHN", "bank", "2021"),
            row(RD, "CHN", "bank", "2022"),
            row(RD, "USA", "office", "2020"),
            row(PATENTS, "USA", "bank", "2020"),
        ]
    );
    assert_eq!(clients.observations(select(&[RD, PATENTS]), at_released("2023-02-15")).await.len(), 5);

    let nothing_left = IngestHeader {
        replaced_indicators: vec![PATENTS.into()],
        replaced_source: "bank".into(),
        mode: IngestMode::Replace.into(),
        ..released("2023-04-01")
    };
    let gone = clients.ingest(nothing_left.clone(), Vec::new()).await.unwrap();
    assert_eq!(counts(&gone), (0, 0, 0, 1, 0));
    let status = clients.status().await;
    assert_eq!(status.current_figures, 3);
    let merge = IngestHeader { mode: IngestMode::Merge.into(), ..nothing_left };
    assert_refused(clients.ingest(merge, Vec::new()).await, Code::InvalidArgument, "FIELD");
    server.end().await;
}

fn entities_of(entries: Vec<Entry>) -> Vec<String> {
    entries.into_iter().map(|entry| entry.entity).collect()
}

#[tokio::test]
async fn a_correction_replaces_a_table_and_says_which_rows() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.publish(edition("2022"), entries(&[1, 2, 3, 4])).await.unwrap();
    let mended = clients.publish(correction(edition("2022")), entries(&[1, 3, 2, 5])).await.unwrap();
    let stands = mended.edition.unwrap();
    assert_eq!((stands.status(), stands.compared_with.as_str()), (EditionStatus::Corrected, "2022"));
    assert_eq!(clients.commits(2, Vec::new()).await[0].commit.cause(), Cause::Correction);
    // Row 1 stays; 2 and 3 are revised; 5 is new; 4 is gone.
    assert_eq!(counts(&mended.result.unwrap()), (1, 2, 1, 1, 0));
    let now = entities_of(clients.entries(RANKING, "2022", None).await.unwrap());
    assert_eq!(now, [1, 3, 2, 5].map(cluster));
    let then = entities_of(clients.entries(RANKING, "2022", at_revision(2)).await.unwrap());
    assert_eq!(then, [1, 2, 3, 4].map(cluster));
    let missing = clients.publish(correction(edition("2023")), entries(&[1])).await;
    assert_refused(missing, Code::NotFound, "NO_EDITION");

    // A withdrawn edition may be published anew, but not withdrawn again.
    clients.withdraw(WriteOptions::default(), RANKING, "2022").await.unwrap();
    let twice = clients.withdraw(WriteOptions::default(), RANKING, "2022").await;
    let status = assert_refused(twice, Code::FailedPrecondition, "EDITION_WITHDRAWN");
    assert_eq!(tonic_types::StatusExt::get_error_details(&status).error_info().unwrap().metadata["revision"], "4");
    let corrected = clients.publish(correction(edition("2022")), entries(&[7, 8])).await;
    assert_refused(corrected, Code::FailedPrecondition, "EDITION_WITHDRAWN");
    clients.publish(edition("2022"), entries(&[7, 8])).await.unwrap();
    assert_eq!(entities_of(clients.entries(RANKING, "2022", None).await.unwrap()), [7, 8].map(cluster));
    server.end().await;
}
