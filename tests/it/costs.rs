//! What a write costs, counted in operations of the store. Nothing is timed, so the numbers are exact.

use almanac::{
    proto::{IngestPoint, SeriesBatch, WriteOptions},
    server::{self, Config},
    store::{
        Engine,
        memory::{MemoryDisk, OperationCounts},
    },
};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::support::{Clients, fixture::*};

/// Figures of the revision: one of each indicator, so that they are all over the store.
const REVISED: usize = 100;
/// Entities of a small store with 200 series, and of a large one with 20,000.
const ENTITIES: [usize; 2] = [2, 200];

/// A server on a disk in memory.
struct CountedServer {
    disk: MemoryDisk,
    clients: Clients,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl CountedServer {
    /// Starts a server with so many indicators and entities, and these figures of each of them.
    async fn with(indicators: usize, entities: usize, points: &[IngestPoint]) -> Self {
        let disk = MemoryDisk::default();
        let almanac = server::open_on(Engine::in_memory(disk.clone()), &Config::new("")).unwrap();
        let listener = server::listen("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let clients = Clients::connect(listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(async { server::serve(almanac, listener, stopped).await.unwrap() });
        let clients = clients.await;
        let mut definitions = vec![source("bank", 0)];
        definitions.extend((0..indicators).map(|number| indicator(&indicator_id(number), "")));
        definitions.extend((0..entities).map(|number| economy(&entity_id(number), "")));
        clients.define(WriteOptions::default(), definitions).await.unwrap();
        let mut batches = Vec::new();
        for number in 0..indicators {
            batches.extend((0..entities).map(|of| series(number, of, points.to_vec())));
        }
        clients.ingest(released("2024-01-01"), batches).await.unwrap();
        Self { disk, clients, stop, serving }
    }

    /// What a revision of a figure of every indicator takes.
    async fn cost_of_revision(self, indicators: usize, period: &str) -> OperationCounts {
        let batches = (0..indicators).map(|number| series(number, 1, vec![point(period, "4711.25")])).collect();
        let before = self.disk.counts();
        let answer = self.clients.ingest(released("2024-02-01"), batches).await.unwrap();
        let after = self.disk.counts();
        assert_eq!(answer.counts.unwrap().revised, indicators as u64);
        let _ = self.stop.send(());
        drop(self.clients);
        self.serving.await.unwrap();
        OperationCounts {
            gets: after.gets - before.gets,
            seeks: after.seeks - before.seeks,
            items: after.items - before.items,
            puts: after.puts - before.puts,
            syncs: after.syncs - before.syncs,
        }
    }
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
    let small = CountedServer::with(REVISED, ENTITIES[0], &points).await.cost_of_revision(REVISED, "2023").await;
    let large = CountedServer::with(REVISED, ENTITIES[1], &points).await.cost_of_revision(REVISED, "2023").await;
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
        costs.push(CountedServer::with(2, 2, &months(count)).await.cost_of_revision(2, "1850-07").await);
    }
    assert_eq!(costs[0], costs[1]);
}
