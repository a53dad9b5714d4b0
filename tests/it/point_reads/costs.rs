//! What reads cost, counted in operations of the store. Nothing is timed, so the numbers are exact.

use almanac::{model::time::Date, proto::*, store::memory::OperationCounts};

use crate::support::{CountedServer, at_revision, fixture::*};

/// A server with the catalog.
async fn with_catalog() -> CountedServer {
    let server = CountedServer::start().await;
    server.clients.define(WriteOptions::default(), catalog()).await.unwrap();
    server
}

const NOTHING: OperationCounts = OperationCounts { gets: 0, seeks: 0, items: 0, puts: 0, syncs: 0 };

/// A figure of every day from 1970 on, with digits that have no pattern.
fn daily(days: i32) -> Vec<IngestPoint> {
    let digits = |day: i64| (day * 7_919 * 1_000_003 % 1_000_000_007).to_string();
    (0..days).map(|day| point(&Date::from_days(day).unwrap().to_string(), &digits(day.into()))).collect()
}

fn long_series(days: i32) -> SeriesBatch {
    SeriesBatch { points: daily(days), ..batch(RD, "CHN", "bank", &[]) }
}

#[tokio::test]
async fn a_figure_that_was_read_before_is_answered_without_the_store() {
    let server = with_catalog().await;
    let clients = &server.clients;
    let figures = [("2020", "2.4"), ("2021", "2.5")];
    clients.ingest(released("2022-03-01"), vec![batch(RD, "CHN", "bank", &figures)]).await.unwrap();
    clients.ingest(released("2023-03-01"), one_figure("2.45")).await.unwrap();
    for (period, as_of) in [("2020", None), ("2021", None), ("", None), ("2020", at_revision(2))] {
        let (first, _) = server.cost(figure(clients, RD, "CHN", period, as_of.clone())).await;
        let (again, cost) = server.cost(figure(clients, RD, "CHN", period, as_of)).await;
        assert_eq!(first.unwrap(), again.unwrap());
        assert_eq!(cost, NOTHING, "of {period}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_commit_is_seen_at_once_and_makes_only_what_it_changed_to_be_read_again() {
    let server = with_catalog().await;
    let clients = &server.clients;
    let both = || vec![batch(RD, "CHN", "bank", &[("2020", "1")]), batch(RD, "USA", "bank", &[("2020", "2")])];
    clients.ingest(released("2022-03-01"), both()).await.unwrap();
    for entity in ["CHN", "USA"] {
        figure(clients, RD, entity, "2020", None).await.unwrap();
    }
    clients.ingest(released("2023-03-01"), one_figure("3")).await.unwrap();
    let (other, cost) = server.cost(figure(clients, RD, "USA", "2020", None)).await;
    assert_eq!((other.unwrap().revision, cost), (3, NOTHING));
    let (changed, cost) = server.cost(figure(clients, RD, "CHN", "2020", None)).await;
    assert_eq!(changed.unwrap().selected.unwrap().revision, 3);
    assert_ne!(cost, NOTHING);
    server.end().await;
}

#[tokio::test]
async fn one_period_of_a_long_series_is_read_without_the_others() {
    const DAYS: i32 = 30_000;
    let server = with_catalog().await;
    let clients = &server.clients;
    clients.ingest(released("2024-01-01"), vec![long_series(DAYS)]).await.unwrap();
    figure(clients, RD, "CHN", "1980-05-05", None).await.unwrap();
    let (answer, cost) = server.cost(figure(clients, RD, "CHN", "2001-01-01", None)).await;
    assert!(answer.is_ok());
    assert!(cost.items <= 2 && cost.seeks <= 4, "{cost:?}");
    server.end().await;
}

#[tokio::test]
async fn every_page_of_versions_costs_the_same() {
    const DAYS: i32 = 30_000;
    const PAGE: i32 = 1_000;
    let server = with_catalog().await;
    server.clients.ingest(released("2024-01-01"), vec![long_series(DAYS)]).await.unwrap();
    let mut request = ListVersionsRequest {
        indicator: RD.into(),
        entity: "CHN".into(),
        page_size: PAGE,
        ..ListVersionsRequest::default()
    };
    let mut costs = Vec::new();
    let mut periods = Vec::new();
    loop {
        let mut statistics = server.clients.statistics.clone();
        let (page, cost) = server.cost(statistics.list_versions(request.clone())).await;
        let page = page.unwrap().into_inner();
        costs.push(cost.items);
        periods.extend(page.versions.into_iter().map(|version| version.period));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let expected: Vec<String> = daily(DAYS).into_iter().map(|point| point.period).collect();
    assert!(periods == expected, "{} versions", periods.len());
    // The first page also finds out that the series is too long for the cache.
    let most = costs.iter().skip(1).max().unwrap();
    assert!(*most <= 6, "{costs:?}");
    server.end().await;
}

#[tokio::test]
async fn a_search_that_finds_nothing_answers_empty_pages_of_bounded_cost() {
    const SERIES: usize = 12_000;
    /// Series that a page passes, and what it reads beside them.
    const ITEMS_MAX: u64 = 10_000 + 100;
    let server = with_catalog().await;
    let clients = &server.clients;
    let entity = |number: usize| format!("E{number}");
    for first in (0..SERIES).step_by(4_000) {
        let definitions = (first..first + 4_000).map(|number| economy(&entity(number), "")).map(without_codes);
        clients.define(WriteOptions::default(), definitions.collect()).await.unwrap();
    }
    let mut batches: Vec<SeriesBatch> =
        (0..SERIES).map(|number| batch(RD, &entity(number), "bank", &[("2020", "1")])).collect();
    batches.push(batch(RD, &entity(SERIES - 1), "press", &[("2021", "2")]));
    clients.ingest(released("2024-01-01"), batches).await.unwrap();
    let selection = SeriesSelection { sources: vec!["press".into()], ..select(&[RD]) };
    for policy in ["", "default@1"] {
        let mut request = QueryObservationsRequest {
            selection: Some(selection.clone()),
            policy: policy.into(),
            ..QueryObservationsRequest::default()
        };
        let mut sizes = Vec::new();
        let mut costs = Vec::new();
        loop {
            let mut statistics = clients.statistics.clone();
            let (page, cost) = server.cost(statistics.query_observations(request.clone())).await;
            let page = page.unwrap().into_inner();
            sizes.push(page.observations.len());
            costs.push(cost.items);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (2, 1), "policy `{policy}`: {sizes:?}");
        assert!(costs.iter().all(|items| *items <= ITEMS_MAX), "policy `{policy}`: {costs:?}");
    }
    let mut stream = clients
        .statistics
        .clone()
        .stream_series(StreamSeriesRequest { selection: Some(selection), ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    let mut series = 0;
    while let Some(message) = stream.message().await.unwrap() {
        series += message.series.len();
    }
    assert_eq!(series, 1);
    server.end().await;
}

/// Codes of so many entities would have to differ.
fn without_codes(mut definition: Definition) -> Definition {
    if let Some(definition::Item::Entity(entity)) = &mut definition.item {
        entity.codes.clear();
        entity.name.clone_from(&entity.id);
    }
    definition
}

#[tokio::test]
async fn the_revision_of_a_release_date_is_found_without_reading_the_commits_again() {
    let server = with_catalog().await;
    let clients = &server.clients;
    clients.ingest(released("2020-01-01"), one_figure("1")).await.unwrap();
    for number in 0..50 {
        clients.ingest(released("2024-01-01"), one_figure(&format!("{number}"))).await.unwrap();
    }
    let resolve = async |day: &str| {
        let at = Some(resolve_revision_request::At::Released(day.into()));
        let request = ResolveRevisionRequest { at, ..Default::default() };
        clients.feed.clone().resolve_revision(request).await.unwrap().into_inner().revision
    };
    assert_eq!(resolve("2021-01-01").await, 2);
    let (again, cost) = server.cost(resolve("2021-01-01")).await;
    // The header of the answer.
    assert!(cost.gets <= 2 && cost.seeks == 0, "{cost:?}");
    assert_eq!((again, resolve("2024-06-01").await, resolve("2019-01-01").await), (2, 52, 0));
    let reverted = RevertCommitRequest { revisions: vec![52], ..Default::default() };
    clients.admin.clone().revert_commit(reverted).await.unwrap();
    assert_eq!(resolve("2024-06-01").await, 51, "what is reverted does not count");
    server.end().await;
}
