//! What a write costs, counted in operations of the store. Nothing is timed, so the numbers are exact.

use almanac::{
    proto::{IngestPoint, SeriesBatch, WriteOptions},
    store::memory::OperationCounts,
};

use crate::support::{CountedServer, fixture::*};

/// Figures of the revision: one of each indicator, so that they are all over the store.
const REVISED: usize = 100;
/// Entities of a small store with 200 series, and of a large one with 20,000.
const ENTITIES: [usize; 2] = [2, 200];

/// What a revision of a figure of every indicator takes, where so many indicators and entities have these figures each.
async fn cost_of_revision(indicators: usize, entities: usize, points: &[IngestPoint], period: &str) -> OperationCounts {
    let server = CountedServer::start().await;
    let clients = &server.clients;
    let mut definitions = vec![source("bank", 0)];
    definitions.extend((0..indicators).map(|number| indicator(&indicator_id(number), "")));
    definitions.extend((0..entities).map(|number| economy(&entity_id(number), "")));
    clients.define(WriteOptions::default(), definitions).await.unwrap();
    let mut batches = Vec::new();
    for number in 0..indicators {
        batches.extend((0..entities).map(|of| series(number, of, points.to_vec())));
    }
    clients.ingest(released("2024-01-01"), batches).await.unwrap();
    let revised = (0..indicators).map(|number| series(number, 1, vec![point(period, "4711.25")])).collect();
    let (answer, counts) = server.cost(clients.ingest(released("2024-02-01"), revised)).await;
    assert_eq!(answer.unwrap().counts.unwrap().revised, indicators as u64);
    server.end().await;
    counts
}

fn series(indicator: usize, entity: usize, points: Vec<IngestPoint>) -> SeriesBatch {
    SeriesBatch { points, ..batch(&indicator_id(indicator), &entity_id(entity), "bank", &[]) }
}

fn indicator_id(number: usize) -> String {
    format!("IND.{number}")
}

fn entity_id(number: usize) -> String {
    format!("E{number}")
}

/// A revision costs what it changes: as many operations in a small store as in a large one.
#[tokio::test]
async fn a_revision_of_100_figures_costs_the_same_in_a_small_and_in_a_large_store() {
    let points = [point("2022", "1.25"), point("2023", "2.5")];
    let small = cost_of_revision(REVISED, ENTITIES[0], &points, "2023").await;
    let large = cost_of_revision(REVISED, ENTITIES[1], &points, "2023").await;
    assert_eq!(large, small);
}

/// The figures of so many months from 1800 on, with digits that do not repeat: about 700 fill a block.
fn months(count: usize) -> Vec<IngestPoint> {
    let digits = |month: usize| month * 7_919 * 1_000_003 % 1_000_000_007;
    let month =
        |month| point(&format!("{:04}-{:02}", 1800 + month / 12, month % 12 + 1), &format!("7.{:09}", digits(month)));
    (0..count).map(month).collect()
}

/// What lies in other blocks of a series is not read.
#[tokio::test]
async fn a_revision_costs_the_same_in_a_long_and_in_a_longer_series() {
    let mut costs = Vec::new();
    for count in [2_400, 4_800] {
        costs.push(cost_of_revision(2, 2, &months(count), "1850-07").await);
    }
    assert_eq!(costs[0], costs[1]);
}
