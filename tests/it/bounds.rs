//! Bounds of a single request, and page tokens that no server made.

use almanac::proto::*;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use tonic::Code;

use crate::support::{assert_refused, fields, fixture::*};

/// Pairs of an indicator and an entity in a selection, at the most.
const PAIRS_MAX: usize = 1_000_000;
/// Lookups in the search for sources that are left out, at the most.
const SEEKS_MAX: usize = 50_000;

fn names(kind: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{kind}.{number}")).collect()
}

#[tokio::test]
async fn the_pairs_of_a_selection_are_bounded() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let indicators = names("I", 1_000);
    let entities = names("E", PAIRS_MAX / 1_000 + 1);
    let mut definitions: Vec<Definition> = indicators.iter().map(|id| indicator(id, id)).collect();
    definitions.extend(entities.iter().map(|id| economy(id, id)));
    clients.define(WriteOptions::default(), definitions).await.unwrap();
    let mut statistics = clients.statistics.clone();
    let selection = |indicators: &[String], entities: &[String]| {
        let indicators = indicators.to_vec();
        let entities = entities.to_vec();
        Some(SeriesSelection { indicators, entities, ..Default::default() })
    };
    let query = |selection| QueryObservationsRequest { selection, ..Default::default() };

    let refused = statistics.query_observations(query(selection(&indicators, &entities))).await;
    assert_eq!(fields(&assert_refused(refused, Code::InvalidArgument, "FIELD")), ["selection"]);
    let stream = StreamSeriesRequest { selection: selection(&indicators, &entities), ..Default::default() };
    let refused = statistics.stream_series(stream).await.map(drop);
    assert_eq!(fields(&assert_refused(refused, Code::InvalidArgument, "FIELD")), ["selection"]);
    // A selection without indicators has all of them: those of the fixture too.
    let list = |entities| ListSeriesRequest { selection: selection(&[], entities), ..Default::default() };
    let refused = statistics.list_series(list(&entities[1..])).await;
    assert_eq!(fields(&assert_refused(refused, Code::InvalidArgument, "FIELD")), ["selection"]);

    statistics.list_series(list(&entities[..900])).await.unwrap();
    statistics.query_observations(query(selection(&indicators, &entities[1..]))).await.unwrap();
    statistics.query_observations(query(selection(&indicators, &[]))).await.unwrap();
    let same_again = [entities[1..].to_vec(), entities[1..].to_vec()].concat();
    statistics.query_observations(query(selection(&indicators, &same_again))).await.unwrap();
    server.end().await;
}

#[tokio::test]
async fn pairs_without_figures_count_in_the_search_for_sources_left_out() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    // Each entity has figures of one indicator only.
    let side = SEEKS_MAX.isqrt() + 1;
    let indicators = names("I", side);
    let entities = names("E", side);
    let mut definitions: Vec<Definition> = indicators.iter().map(|id| indicator(id, id)).collect();
    definitions.extend(entities.iter().map(|id| economy(id, id)));
    clients.define(WriteOptions::default(), definitions).await.unwrap();
    let diagonal = indicators.iter().zip(&entities);
    let mut batches: Vec<SeriesBatch> =
        diagonal.map(|(indicator, entity)| batch(indicator, entity, "bank", &[("2020", "1")])).collect();
    batches.push(batch(RD, "USA", "closed", &[("2020", "1")]));
    clients.ingest(released("2024-01-01"), batches).await.unwrap();
    let left_out = async |count: usize| {
        let indicators = indicators[..count].to_vec();
        let entities = entities[..count].to_vec();
        let selection = Some(SeriesSelection { indicators, entities, ..Default::default() });
        let query = QueryObservationsRequest { selection, ..Default::default() };
        clients.statistics.clone().query_observations(query).await.unwrap().into_inner().left_out_sources
    };
    assert!(left_out(side / 2).await.is_empty(), "it was looked everywhere");
    assert_eq!(left_out(side).await, ["closed"], "it was not");
    server.end().await;
}

#[tokio::test]
async fn kinds_and_causes_of_a_filter_are_as_many_as_of_other_lists() {
    let server = server_with_catalog().await;
    let list = async |filter: Filter| {
        let request = ListCommitsRequest { filters: vec![filter], ..Default::default() };
        server.clients.feed.clone().list_commits(request).await
    };
    let kind = ChangeKind::Value.into();
    let cause = Cause::Correction.into();
    list(Filter { kinds: vec![kind; 500], causes: vec![cause; 500], ..Default::default() }).await.unwrap();
    let refused = list(Filter { kinds: vec![kind; 501], ..Default::default() }).await;
    assert_eq!(fields(&assert_refused(refused, Code::InvalidArgument, "FIELD")), ["filters[0].kinds"]);
    let refused = list(Filter { causes: vec![cause; 501], ..Default::default() }).await;
    assert_eq!(fields(&assert_refused(refused, Code::InvalidArgument, "FIELD")), ["filters[0].causes"]);
    server.end().await;
}

/// The token with another position.
fn moved<P: Serialize + DeserializeOwned>(token: &str, to: impl FnOnce(&mut P)) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
    let (history, request, revision, mut position): (u64, u64, u64, P) = rmp_serde::from_slice(&bytes).unwrap();
    to(&mut position);
    URL_SAFE_NO_PAD.encode(rmp_serde::to_vec(&(history, request, revision, position)).unwrap())
}

/// Where a list of versions goes on: source, dimensions, days of the period, day of the release, revision.
type VersionPosition = (String, String, (i32, i32), i32, u64);

#[tokio::test]
async fn a_page_token_of_an_unknown_position_is_refused() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let figures = [("2020", "1"), ("2021", "2"), ("2022", "3")];
    clients.ingest(released("2024-01-01"), vec![batch(RD, "USA", "bank", &figures)]).await.unwrap();
    let mut statistics = clients.statistics.clone();
    for policy in ["", "default@1"] {
        let selection = Some(select(&[RD]));
        let policy = policy.to_owned();
        let plain = QueryObservationsRequest { selection, policy, page_size: 1, ..Default::default() };
        let token = statistics.query_observations(plain.clone()).await.unwrap().into_inner().next_page_token;
        // A period that ends before it begins.
        let page_token = if plain.policy.is_empty() {
            moved(&token, |at: &mut ([u32; 4], Option<(i32, i32)>)| at.1 = Some((1, 0)))
        } else {
            moved(&token, |at: &mut ([u32; 3], (i32, i32))| at.1 = (1, 0))
        };
        let refused = statistics.query_observations(QueryObservationsRequest { page_token, ..plain }).await;
        assert_refused(refused, Code::InvalidArgument, "PAGE_TOKEN");
    }
    let plain = ListVersionsRequest { indicator: RD.into(), entity: "USA".into(), page_size: 1, ..Default::default() };
    let token = statistics.list_versions(plain.clone()).await.unwrap().into_inner().next_page_token;
    let page_token = moved(&token, |at: &mut VersionPosition| at.2 = (1, 0));
    let refused = statistics.list_versions(ListVersionsRequest { page_token, ..plain }).await;
    assert_refused(refused, Code::InvalidArgument, "PAGE_TOKEN");
    server.end().await;
}

/// Where a list of commits goes on: revision, last match, parts given, page of the ledger, changes given of it, sources left out.
type CommitPosition = (u64, u64, u32, u32, u64, u64);

#[tokio::test]
async fn an_unknown_position_in_a_commit_is_refused_and_no_count_overflows() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let figures = [("2020", "1"), ("2021", "2"), ("2022", "3")];
    clients.ingest(released("2024-01-01"), vec![batch(RD, "USA", "bank", &figures)]).await.unwrap();
    let filters = vec![Filter { kinds: vec![ChangeKind::Value.into()], ..Default::default() }];
    let plain = ListCommitsRequest { filters, page_size: 1, ..Default::default() };
    let first = clients.feed.clone().list_commits(plain.clone()).await.unwrap().into_inner();
    let read = async |to: fn(&mut CommitPosition)| {
        let page_token = moved(&first.next_page_token, to);
        clients.feed.clone().list_commits(ListCommitsRequest { page_token, ..plain.clone() }).await
    };
    let second = read(|_| ()).await.unwrap().into_inner();
    assert_eq!((second.commits.len(), second.commits[0].changes.len()), (1, 1));
    let far = read(|at| at.2 = u32::MAX).await.unwrap().into_inner();
    assert_eq!(far.commits[0].page, u32::MAX);
    let nonsense: [fn(&mut CommitPosition); 6] = [
        |at| at.1 = at.0 + 1,
        |at| at.3 = u32::MAX,
        |at| at.3 = 1,
        |at| at.4 = u64::MAX,
        |at| at.0 += 1,
        // The sources that are left out differ from those of the page before.
        |at| at.5 ^= 1,
    ];
    for to in nonsense {
        assert_refused(read(to).await, Code::InvalidArgument, "PAGE_TOKEN");
    }
    server.end().await;
}
