//! What writes promise: safe retries, dry runs, optimistic locks, vintages in any order.

use std::collections::BTreeMap;

use almanac::proto::*;
use tonic::Code;

use crate::support::{Clients, Dice, TestServer, assert_refused, at_released, at_revision, fixture::*, long, text};

fn counts(result: &WriteResult) -> (u64, u64, u64, u64, u64) {
    let counts = result.counts.as_ref().unwrap();
    (counts.added, counts.revised, counts.unchanged, counts.withdrawn, counts.backfilled)
}

/// Definitions added, revised and unchanged.
fn definition_counts(result: &WriteResult) -> (u64, u64, u64) {
    let counts = result.counts.as_ref().unwrap();
    (counts.definitions_added, counts.definitions_revised, counts.definitions_unchanged)
}

/// As a dry run says it: figures of a commit that is not made have neither an instant nor a cause.
fn without_commit(mut detail: change::Detail, revision: u64) -> change::Detail {
    if let change::Detail::Value(change) = &mut detail {
        for figure in [&mut change.before, &mut change.after, &mut change.recorded_version].into_iter().flatten() {
            if figure.revision == revision {
                (figure.recorded, figure.cause) = (None, Cause::Unspecified.into());
            }
        }
    }
    detail
}

fn with(options: WriteOptions, header: IngestHeader) -> IngestHeader {
    IngestHeader { options: Some(options), ..header }
}

/// The first answer to a retry, but for the mark that it is one.
fn as_first(result: WriteResult) -> WriteResult {
    assert!(result.replayed);
    WriteResult { replayed: false, ..result }
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_and_other_content_is_refused_across_a_restart_too() {
    let mut server = server_with_catalog().await;
    let figures = || vec![batch(RD, "CHN", "bank", &[("2020", "2.40")])];
    let header = |id: &str| with(request(id), released("2023-03-01"));
    let upload = |id: &str| PublishHeader { options: Some(request(id)), ..edition("2022") };
    // Tied with nobody: a warning, which the retry must get too.
    let mut table = entries(&[1, 2, 3]);
    table[2].tied = true;

    let clients = server.clients.clone();
    let defined = clients.define(request("define-1"), vec![economy("FRA", "France")]).await.unwrap();
    let ingested = clients.ingest(header("ingest-1"), figures()).await.unwrap();
    let published = clients.publish(upload("publish-1"), table.clone()).await.unwrap();
    assert_eq!(published.result.as_ref().unwrap().findings[0].code, "LONELY_TIE");
    let withdrawn = clients.withdraw(request("withdraw-1"), RANKING, "2022").await.unwrap();
    // The state moves on; the answers of then stay.
    clients.ingest(released("2023-04-01"), vec![batch(RD, "CHN", "bank", &[("2020", "9")])]).await.unwrap();

    for restarted in [false, true] {
        if restarted {
            server.restart().await;
        }
        let clients = server.clients.clone();
        let head = clients.head().await;
        let again = clients.define(request("define-1"), vec![economy("FRA", "France")]).await.unwrap();
        assert_eq!(as_first(again), defined);
        assert_eq!(as_first(clients.ingest(header("ingest-1"), figures()).await.unwrap()), ingested);
        let again = clients.publish(upload("publish-1"), table.clone()).await.unwrap();
        assert_eq!(as_first(again.result.unwrap()), published.result.clone().unwrap());
        assert_eq!(again.edition, published.edition, "the edition as it stood then");
        let again = clients.withdraw(request("withdraw-1"), RANKING, "2022").await.unwrap();
        assert_eq!(as_first(again.result.unwrap()), withdrawn.result.clone().unwrap());
        assert_eq!(again.edition, withdrawn.edition);

        let other = vec![batch(RD, "CHN", "bank", &[("2020", "2.41")])];
        let refused = clients.ingest(header("ingest-1"), other).await;
        assert_refused(refused, Code::AlreadyExists, "REQUEST_REUSED");
        let later = clients.ingest(with(request("ingest-1"), released("2023-03-02")), figures()).await;
        assert_refused(later, Code::AlreadyExists, "REQUEST_REUSED");
        let other_call = clients.define(request("ingest-1"), vec![economy("FRA", "France")]).await;
        assert_refused(other_call, Code::AlreadyExists, "REQUEST_REUSED");
        let other = clients.publish(upload("publish-1"), entries(&[1, 2])).await;
        assert_refused(other, Code::AlreadyExists, "REQUEST_REUSED");
        let other = clients.withdraw(request("withdraw-1"), RANKING, "2023").await;
        assert_refused(other, Code::AlreadyExists, "REQUEST_REUSED");
        assert_eq!(clients.head().await, head, "retries and refusals add no revision");
    }
    server.end().await;
}

#[tokio::test]
async fn a_refused_request_may_come_again_with_the_same_id() {
    let server = server_with_catalog().await;
    let header = || with(request("again"), released("2023-03-01"));
    let unknown = vec![batch(RD, "ATL", "bank", &[("2020", "1")])];
    assert_refused(server.clients.ingest(header(), unknown).await, Code::NotFound, "UNKNOWN_ENTITY");
    let good = vec![batch(RD, "CHN", "bank", &[("2020", "1")])];
    assert!(!server.clients.ingest(header(), good).await.unwrap().replayed);
    server.end().await;
}

#[tokio::test]
async fn retries_at_the_same_time_make_one_commit() {
    let server = server_with_catalog().await;
    let calls = (0..8).map(|_| {
        let clients = server.clients.clone();
        tokio::spawn(async move {
            let header = with(request("once"), released("2023-03-01"));
            clients.ingest(header, vec![batch(RD, "CHN", "bank", &[("2020", "2.40")])]).await.unwrap()
        })
    });
    let mut answers = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        answers.push(call.await.unwrap());
    }
    assert!(answers.iter().all(|answer| answer.revision == 2));
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(server.clients.head().await, 2);
    server.end().await;
}

#[tokio::test]
async fn validate_only_says_the_whole_difference_and_writes_nothing() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients
        .ingest(released("2023-03-01"), vec![batch(RD, "CHN", "bank", &[("2020", "2.40"), ("2021", "2.44")])])
        .await
        .unwrap();
    clients.publish(edition("2022"), entries(&[1, 2, 3, 4])).await.unwrap();
    let status = clients.status().await;
    let options = || WriteOptions { request_id: "dry".into(), ..validate() };

    let figures = || {
        let mut all = vec![batch(RD, "CHN", "bank", &[("2020", "2.41"), ("2021", "2.44"), ("2022", "2.5")])];
        // Several pages of changes, so that their numbers go through.
        for entity in ECONOMIES {
            let years: Vec<String> = (1800..2000).map(|year| year.to_string()).collect();
            let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), "1.5")).collect();
            all.push(batch(PATENTS, entity, "bank", &points));
        }
        all
    };
    let dry = clients.ingest(with(options(), released("2024-03-01")), figures()).await.unwrap();
    assert_eq!((dry.revision, counts(&dry)), (3, (1201, 1, 1, 0, 0)));
    assert_eq!((dry.difference.len(), dry.difference_left_out), (1202, 0));

    let publish = |options: WriteOptions| PublishHeader { options: Some(options), ..edition("2023") };
    let dry_edition = clients.publish(publish(validate()), entries(&[2, 1, 5])).await.unwrap();
    let dry_definition = clients.define(validate(), vec![economy("FRA", "France")]).await.unwrap();
    assert_eq!(dry_definition.difference.len(), 1);
    let dry_withdrawal = clients.withdraw(validate(), RANKING, "2022").await.unwrap();
    assert_eq!(dry_withdrawal.result.unwrap().difference.len(), 5, "the edition and its entries");
    assert_eq!(clients.status().await, status, "nothing was written");
    assert_refused(figure(clients, RD, "CHN", "2022", None).await, Code::NotFound, "NO_FIGURE");

    // The real thing then does what was said. The id of a dry run is still free.
    let plain = |changes: &[Change]| -> Vec<(u64, change::Detail)> {
        changes.iter().map(|change| (change.index, change.detail.clone().unwrap())).collect()
    };
    let wet = clients.ingest(with(request("dry"), released("2024-03-01")), figures()).await.unwrap();
    assert!(!wet.replayed);
    assert_eq!(counts(&wet), counts(&dry));
    let commit = &clients.commits(wet.revision - 1, Vec::new()).await[0];
    let unmade = |changes: &[Change]| -> Vec<(u64, change::Detail)> {
        plain(changes).into_iter().map(|(index, detail)| (index, without_commit(detail, wet.revision))).collect()
    };
    assert_eq!(unmade(&commit.changes), plain(&dry.difference));
    let wet = clients.publish(publish(WriteOptions::default()), entries(&[2, 1, 5])).await.unwrap().result.unwrap();
    let commit = &clients.commits(wet.revision - 1, Vec::new()).await[0];
    let entries_only = |changes: &[Change]| -> Vec<(u64, change::Detail)> {
        let all = plain(changes);
        all.into_iter().filter(|(_, what)| matches!(what, change::Detail::Entry(_))).collect()
    };
    assert_eq!(entries_only(&commit.changes), entries_only(&dry_edition.result.unwrap().difference));
    server.end().await;
}

#[tokio::test]
async fn validate_only_says_all_that_is_wrong() {
    let server = server_with_catalog().await;
    let header = with(validate(), released("2023-03-01"));
    let bad = vec![
        batch(RD, "CHN", "bank", &[("2020", "1"), ("2020", "2")]),
        batch("IP.PAT.RESF", "CHN", "bank", &[("2020", "1")]),
        batch(RD, "Germny", "bank", &[("2020", "1")]),
    ];
    let answer = server.clients.ingest(header, bad).await.unwrap();
    let mut codes: Vec<&str> = answer.findings.iter().map(|finding| finding.code.as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["DUPLICATE_KEY", "UNKNOWN_ENTITY", "UNKNOWN_INDICATOR"]);
    let germany = answer.findings.iter().find(|finding| finding.code == "UNKNOWN_ENTITY").unwrap();
    assert_eq!((germany.suggestions[0].as_str(), germany.severity()), ("DEU", FindingSeverity::Error));
    assert_eq!(germany.location, "series[2].entity", "the batch as it was sent");
    server.end().await;
}

#[tokio::test]
async fn an_expected_head_that_moved_aborts() {
    let server = server_with_catalog().await;
    let options = |head| WriteOptions { expected_head: Some(head), ..Default::default() };
    let figures = |value: &str| vec![batch(RD, "CHN", "bank", &[("2020", value)])];
    server.clients.ingest(with(options(1), released("2023-03-01")), figures("1")).await.unwrap();
    for stale in [0, 1, 3] {
        let refused = server.clients.ingest(with(options(stale), released("2023-03-01")), figures("2")).await;
        let status = assert_refused(refused, Code::Aborted, "HEAD_MOVED");
        assert!(status.message().contains('2'));
    }
    assert_eq!(server.clients.head().await, 2);
    server.clients.ingest(with(options(2), released("2023-03-01")), figures("2")).await.unwrap();
    server.end().await;
}

#[tokio::test]
async fn cause_note_and_document_are_kept_and_causes_follow_from_what_changes() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let figures = |value: &str| vec![batch(RD, "CHN", "bank", &[("2020", value)])];
    let options = WriteOptions {
        cause: Cause::MethodChange.into(),
        note: "neue Methode, Größe".into(),
        document_sha256: "AB".repeat(32),
        request_id: "noted".into(),
        ..Default::default()
    };
    clients.ingest(released("2023-01-01"), figures("1")).await.unwrap();
    clients.ingest(released("2023-02-01"), figures("2")).await.unwrap();
    clients.ingest(with(options, released("2023-03-01")), figures("3")).await.unwrap();
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
        let instant = |recorded: &Option<prost_types::Timestamp>| {
            let recorded = recorded.unwrap();
            (recorded.seconds, recorded.nanos)
        };
        assert!(instant(&before.commit.recorded) <= instant(&after.commit.recorded));
        assert_eq!(before.commit.revision + 1, after.commit.revision);
    }
    server.end().await;
}

#[tokio::test]
async fn a_reload_of_the_same_is_a_commit_without_changes() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let figures = || vec![batch(RD, "CHN", "bank", &[("2020", "2.40"), ("2021", "2.44")])];
    clients.ingest(released("2023-03-01"), figures()).await.unwrap();
    clients.publish(edition("2022"), entries(&[1, 2, 3])).await.unwrap();
    let before = clients.status().await;

    let mut reordered = figures();
    reordered[0].points.reverse();
    let reloads = [
        clients.ingest(released("2023-03-01"), figures()).await.unwrap(),
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
    let merged = clients.ingest(released("2023-02-01"), vec![batch(RD, "CHN", "bank", &[("2020", "2.41")])]);
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
    let row = |indicator: &str, entity: &str, source: &str, period: &str| {
        (indicator.to_owned(), entity.to_owned(), source.to_owned(), period.to_owned())
    };
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
    let listed = |entries: Vec<Entry>| -> Vec<String> { entries.into_iter().map(|entry| entry.entity).collect() };
    let now = listed(clients.entries(RANKING, "2022", None).await.unwrap());
    assert_eq!(now, [1, 3, 2, 5].map(cluster));
    let then = listed(clients.entries(RANKING, "2022", at_revision(2)).await.unwrap());
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
    assert_eq!(listed(clients.entries(RANKING, "2022", None).await.unwrap()), [7, 8].map(cluster));
    server.end().await;
}

#[tokio::test]
async fn three_vintages_of_one_figure_answer_by_release_date_in_any_order_of_loading() {
    let vintages = [("2018-08-01", "2.06558"), ("2020-02-01", "2.05701"), ("2025-12-17", "2.01703")];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let server = server_with_catalog().await;
    let clients = &server.clients;
    // An economy for each order of loading.
    for (order, entity) in orders.iter().zip(ECONOMIES) {
        for vintage in order {
            let (day, value) = vintages[*vintage];
            clients.ingest(released(day), vec![batch(RD, entity, "bank", &[("2015", value)])]).await.unwrap();
        }
        let answer = async |day: &str| {
            let found = figure(clients, RD, entity, "2015", at_released(day)).await.ok()?.selected?;
            Some((text(found.value.as_ref().unwrap()), found.released))
        };
        let expect = |(day, value): (&str, &str)| Some((value.to_owned(), day.to_owned()));
        assert_eq!(answer("2018-07-31").await, None, "{order:?}");
        for (day, vintage) in
            [("2018-08-01", 0), ("2020-01-31", 0), ("2020-02-01", 1), ("2025-12-16", 1), ("2025-12-17", 2)]
        {
            assert_eq!(answer(day).await, expect(vintages[vintage]), "{order:?} as of {day}");
        }
        let now = figure(clients, RD, entity, "2015", None).await.unwrap().selected.unwrap();
        assert_eq!(text(now.value.as_ref().unwrap()), "2.01703", "{order:?}");
    }
    server.end().await;
}

/// A vintage: what a source published on a day, whole or in part.
#[derive(Debug, Clone)]
struct Vintage {
    day: String,
    whole: bool,
    figures: BTreeMap<(String, String), Option<String>>,
}

fn vintages(dice: &mut Dice) -> Vec<Vintage> {
    let count = 2 + dice.below(6);
    let vintage = |number: usize, dice: &mut Dice| {
        let whole = dice.once_in(2);
        let mut figures = BTreeMap::new();
        for entity in &ECONOMIES[..3] {
            for year in 2018..2022 {
                // Few different values, so that confirmations and returns to an earlier value happen.
                let value = match dice.below(8) {
                    0..=2 => continue,
                    3 if !whole => None,
                    other => Some(format!("{}.{}", other % 3, other % 2)),
                };
                figures.insert(((*entity).to_owned(), year.to_string()), value);
            }
        }
        figures.entry(("CHN".into(), "2018".into())).or_insert(Some("0.5".into()));
        Vintage { day: format!("20{:02}-01-01", 20 + number), whole, figures }
    };
    (0..count).map(|number| vintage(number, dice)).collect()
}

/// What the source had published by each vintage's day.
fn model(vintages: &[Vintage]) -> Vec<BTreeMap<(String, String), String>> {
    let mut now = BTreeMap::new();
    let mut all = Vec::new();
    for vintage in vintages {
        if vintage.whole {
            now.clear();
        }
        for (key, value) in &vintage.figures {
            match value {
                Some(value) => now.insert(key.clone(), value.clone()),
                None => now.remove(key),
            };
        }
        all.push(now.clone());
    }
    all
}

async fn load(clients: &Clients, indicator: &str, vintage: &Vintage) {
    let mut batches: BTreeMap<&str, SeriesBatch> = BTreeMap::new();
    for ((entity, year), value) in &vintage.figures {
        let series = batches.entry(entity).or_insert_with(|| batch(indicator, entity, "bank", &[]));
        series.points.push(match value {
            Some(value) => point(year, value),
            None => IngestPoint { period: year.clone(), value: None, withdrawn: true },
        });
    }
    let mode = if vintage.whole { IngestMode::Replace } else { IngestMode::Merge };
    let header = IngestHeader { mode: mode.into(), ..released(&vintage.day) };
    clients.ingest(header, batches.into_values().collect()).await.unwrap();
}

async fn held(clients: &Clients, indicator: &str, as_of: Option<AsOf>) -> BTreeMap<(String, String), String> {
    let rows = clients.observations(select(&[indicator]), as_of).await.into_iter();
    rows.map(|row| ((row.entity, row.period), text(row.value.as_ref().unwrap()))).collect()
}

#[tokio::test]
async fn generated_vintages_answer_by_release_date_in_any_order_of_loading() {
    let mut dice = Dice::new("generated_vintages");
    let server: TestServer = server_with_catalog().await;
    let clients = &server.clients;
    for round in 0..if long() { 300 } else { 25 } {
        let ids: Vec<String> =
            ["forward", "reverse", "mixed"].iter().map(|order| format!("X{round}.{order}")).collect();
        let defined = ids.iter().map(|id| indicator(id, id)).collect();
        clients.define(WriteOptions::default(), defined).await.unwrap();
        let vintages = vintages(&mut dice);
        let expected = model(&vintages);
        let mut order: Vec<usize> = (0..vintages.len()).collect();
        for (id, step) in ids.iter().zip(0..) {
            match step {
                0 => {}
                1 => order.reverse(),
                _ => dice.shuffle(&mut order),
            }
            for at in &order {
                load(clients, id, &vintages[*at]).await;
            }
            for (vintage, expected) in vintages.iter().zip(&expected) {
                let found = held(clients, id, at_released(&vintage.day)).await;
                assert_eq!(&found, expected, "{id} loaded as {order:?}, as of {}: {vintages:#?}", vintage.day);
            }
            assert_eq!(&held(clients, id, None).await, expected.last().unwrap(), "{id} loaded as {order:?}");
        }
    }
    let ids: Vec<String> = clients.catalog_ids(None).await;
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let current = clients.observations(select(&all), None).await.len() as u64;
    assert_eq!(clients.status().await.current_figures, current, "the totals count on rightly");
    server.end().await;
}
