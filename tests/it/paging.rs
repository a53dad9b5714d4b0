//! Every list in pages of every size: pages end, and together they are the whole.

use std::collections::BTreeMap;

use almanac::proto::*;
use tonic::Status;

use crate::support::{Clients, Dice, TestServer, at_released, at_revision, fixture::*};

/// Pages of a list of the fixture, at the most.
const PAGES_MAX: usize = 200;

/// Reads all pages; `read` takes a size and a token and returns items and the next token.
async fn all_pages<T, F: Future<Output = Result<(Vec<T>, String), Status>>>(
    size: i32,
    read: impl Fn(i32, String) -> F,
) -> (Vec<T>, usize) {
    let mut all = Vec::new();
    let mut token = String::new();
    for page in 1..=PAGES_MAX {
        let (items, next) = read(size, token).await.unwrap();
        all.extend(items);
        if next.is_empty() {
            return (all, page);
        }
        token = next;
    }
    panic!("pages of {size} do not end");
}

/// Checks a list in pages of each size from 1 to one more than it has items.
async fn check<T: std::fmt::Debug + PartialEq, F: Future<Output = Result<(Vec<T>, String), Status>>>(
    what: &str,
    read: impl Fn(i32, String) -> F,
) -> usize {
    let (whole, pages) = all_pages(0, &read).await;
    assert_eq!(pages, 1, "{what}");
    for size in 1..=whole.len() + 1 {
        let (found, pages) = all_pages(size as i32, &read).await;
        assert_eq!(found, whole, "{what} in pages of {size}");
        assert_eq!(pages, whole.len().div_ceil(size).max(1), "{what} in pages of {size}");
    }
    whole.len()
}

async fn with_everything() -> TestServer {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    for (year, order) in [("2022", [1, 2, 3, 4, 5]), ("2023", [2, 1, 3, 6, 4]), ("2024", [6, 5, 3, 2, 1])] {
        clients.publish(edition(year), entries(&order)).await.unwrap();
    }
    for (day, figure) in [("2022-03-01", "1"), ("2023-03-01", "2"), ("2024-03-01", "2")] {
        let batches = vec![
            batch(RD, "CHN", "office", &[("2019/2023", figure), ("2020", "2.41"), ("2021", figure)]),
            batch(RD, "USA", "bank", &[("2020", figure)]),
            batch(RD, "USA", "closed", &[("2020", figure)]),
            batch(PATENTS, "USA", "bank", &[("2020", figure), ("2021", "5")]),
        ];
        clients.ingest(released(day), batches).await.unwrap();
    }
    server
}

/// Points of trajectories, each with its entity; an entity without points once.
fn points(trajectories: Vec<Trajectory>) -> Vec<(String, Option<TrajectoryPoint>)> {
    let mut all = Vec::new();
    for trajectory in trajectories {
        if trajectory.points.is_empty() {
            all.push((trajectory.entity.clone(), None));
        }
        all.extend(trajectory.points.into_iter().map(|point| (trajectory.entity.clone(), Some(point))));
    }
    all
}

macro_rules! check_list {
    ($clients:ident.$service:ident.$method:ident, $request:expr, $field:ident) => {{
        let request = $request;
        let read = |page_size, page_token| {
            let mut client = $clients.$service.clone();
            let mut request = request.clone();
            request.page_size = page_size;
            request.page_token = page_token;
            async move {
                let page = client.$method(request).await?.into_inner();
                Ok((page.$field, page.next_page_token))
            }
        };
        check(stringify!($method), read).await
    }};
}

/// Checks trajectories in pages of each size, and returns their points.
async fn check_trajectory(
    clients: &Clients,
    entities: &[String],
    as_of: Option<AsOf>,
) -> Vec<(String, Option<TrajectoryPoint>)> {
    let read = |page_size, page_token| {
        let mut rankings = clients.rankings.clone();
        let request = GetTrajectoryRequest {
            ranking: RANKING.into(),
            entities: entities.to_vec(),
            as_of: as_of.clone(),
            page_size,
            page_token,
            ..Default::default()
        };
        async move {
            let page = rankings.get_trajectory(request).await?.into_inner();
            Ok((points(page.trajectories), page.next_page_token))
        }
    };
    check("get_trajectory", read).await;
    all_pages(0, read).await.0
}

#[tokio::test]
async fn every_list_is_the_same_in_pages_of_any_size() {
    let server = with_everything().await;
    let clients = &server.clients;
    let ranking = || RANKING.to_owned();
    for as_of in [None, at_revision(1), at_revision(3), at_released("2000-01-01"), at_released("2023-12-31")] {
        let list = ListEditionsRequest { ranking: ranking(), as_of: as_of.clone(), ..Default::default() };
        check_list!(clients.rankings.list_editions, list, editions);
        let entities = [cluster(1), cluster(12), cluster(6)];
        let found = check_trajectory(clients, &entities, as_of.clone()).await;
        assert!(found.len() >= entities.len(), "an entity without points is listed too");
        for indicators in [vec![RD], vec![RD, PATENTS, VENTURE]] {
            let list = QueryObservationsRequest {
                selection: Some(select(&indicators)),
                as_of: as_of.clone(),
                ..Default::default()
            };
            check_list!(clients.statistics.query_observations, list, observations);
        }
        let list = ListVersionsRequest { indicator: RD.into(), entity: "CHN".into(), as_of, ..Default::default() };
        check_list!(clients.statistics.list_versions, list, versions);
    }
    let list = ListEntriesRequest { ranking: ranking(), edition: "2023".into(), ..Default::default() };
    assert_eq!(check_list!(clients.rankings.list_entries, list.clone(), entries), 5);
    check_list!(clients.rankings.list_entries, ListEntriesRequest { economy: "USA".into(), ..list }, entries);
    let list = CompareEditionsRequest {
        ranking: ranking(),
        earlier_edition: "2023".into(),
        later_edition: "2024".into(),
        ..Default::default()
    };
    assert_eq!(check_list!(clients.rankings.compare_editions, list, moves), 6);
    check_list!(clients.catalog.list_indicators, ListIndicatorsRequest::default(), indicators);
    check_list!(clients.catalog.list_sources, ListSourcesRequest::default(), sources);
    check_list!(clients.catalog.list_rankings, ListRankingsRequest::default(), rankings);
    check_list!(clients.catalog.list_entities, ListEntitiesRequest::default(), entities);
    let list = ListEntitiesRequest { lies_in: "CHN".into(), ..Default::default() };
    assert!(check_list!(clients.catalog.list_entities, list, entities) > 1);
    let list = SearchCatalogRequest { query: "cluster".into(), ..Default::default() };
    assert!(check_list!(clients.catalog.search_catalog, list, hits) > CLUSTERS);
    server.end().await;
}

/// Without a published edition, pages of size one once never ended.
#[tokio::test]
async fn trajectories_end_where_no_edition_stands() {
    let server = server_with_catalog().await;
    assert_eq!(check_trajectory(&server.clients, &[cluster(1), cluster(2), cluster(1)], None).await.len(), 3);
    server.end().await;
}

/// Editions are published and withdrawn in any order: at every revision, trajectories equal those of a plain map.
#[tokio::test]
async fn trajectories_are_those_of_a_plain_map_at_every_revision() {
    let mut dice = Dice::new("trajectories");
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut standing: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut known = vec![(clients.head().await, standing.clone())];
    for _ in 0..24 {
        let year = (2019 + dice.below(5)).to_string();
        if standing.remove(&year).is_some() {
            clients.withdraw(WriteOptions::default(), RANKING, &year).await.unwrap();
        } else {
            let order: Vec<usize> = (1..=1 + dice.below(5)).map(|place| 1 + (place + dice.below(3)) % 6).collect();
            let mut listed = Vec::new();
            for one in order {
                if !listed.contains(&one) {
                    listed.push(one);
                }
            }
            clients.publish(edition(&year), entries(&listed)).await.unwrap();
            standing.insert(year, listed);
        }
        known.push((clients.head().await, standing.clone()));
    }
    let mut nothing_stands = 0;
    for (revision, editions) in &known {
        let entities: Vec<String> = (0..2 + dice.below(3)).map(|_| cluster(1 + dice.below(8))).collect();
        let found = check_trajectory(clients, &entities, at_revision(*revision)).await;
        let found: Vec<_> = found
            .iter()
            .map(|(entity, point)| {
                let rank = |point: &TrajectoryPoint| point.entry.as_ref().and_then(|entry| entry.rank);
                (entity.clone(), point.as_ref().map(|point| (point.edition.clone(), rank(point))))
            })
            .collect();
        let expected: Vec<_> = entities
            .iter()
            .flat_map(|entity| {
                let rank = |listed: &Vec<usize>| {
                    listed.iter().zip(1..).find(|(one, _)| cluster(**one) == *entity).map(|(_, rank)| rank)
                };
                let points: Vec<_> = editions.iter().map(|(year, listed)| Some((year.clone(), rank(listed)))).collect();
                let points = if points.is_empty() { vec![None] } else { points };
                points.into_iter().map(|point| (entity.clone(), point))
            })
            .collect();
        assert_eq!(found, expected, "at revision {revision}");
        nothing_stands += usize::from(editions.is_empty());
    }
    println!("{} revisions, at {nothing_stands} several entities and no edition", known.len());
    server.end().await;
}
