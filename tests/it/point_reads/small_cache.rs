//! A server whose cache is far too small answers as one with a large cache, while figures are written.

use almanac::proto::*;

use crate::support::{Clients, Dice, TestServer, at_revision, fixture::*};

const ROUNDS: usize = 30;
const READS_PER_ROUND: usize = 12;
const YEARS: usize = 30;

/// Each server has a clock of its own.
fn without_recorded(mut answer: GetFigureResponse) -> GetFigureResponse {
    let answers = answer.selected.iter_mut().chain(&mut answer.alternatives);
    answers.for_each(|observation| observation.recorded = None);
    answer
}

async fn read(clients: &Clients, request: &GetFigureRequest) -> Result<GetFigureResponse, String> {
    let answer = clients.statistics.clone().get_figure(request.clone()).await;
    answer.map(|answer| without_recorded(answer.into_inner())).map_err(|status| status.message().to_owned())
}

fn random_batches(dice: &mut Dice) -> Vec<SeriesBatch> {
    let mut batches = Vec::new();
    for indicator in INDICATORS {
        for entity in ECONOMIES {
            if !dice.once_in(3) {
                continue;
            }
            let source = SOURCES[dice.below(2)];
            let mut sent = batch(indicator, entity, source, &[]);
            let first = 1990 + dice.below(YEARS);
            for year in first..first + 1 + dice.below(YEARS) {
                sent.points.push(point(&year.to_string(), &dice.below(1_000_000).to_string()));
            }
            batches.push(sent);
        }
    }
    batches
}

fn random_read(dice: &mut Dice, head: u64) -> GetFigureRequest {
    let period = if dice.once_in(4) { String::new() } else { (1990 + dice.below(2 * YEARS)).to_string() };
    // Both servers are at head or above it.
    let revision = if dice.once_in(3) { 1 + dice.below(head as usize) as u64 } else { head };
    GetFigureRequest {
        indicator: (*dice.pick(&INDICATORS)).into(),
        entity: (*dice.pick(&ECONOMIES)).into(),
        period,
        as_of: at_revision(revision),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_cache_answers_as_a_large_one_while_a_writer_runs() {
    let mut dice = Dice::new("a_small_cache_answers_as_a_large_one_while_a_writer_runs");
    let small = TestServer::with(|config| config.cache_bytes = 8 << 10).await;
    let large = TestServer::empty().await;
    for server in [&small, &large] {
        server.clients.define(WriteOptions::default(), catalog()).await.unwrap();
    }
    let mut head = 1;
    for round in 0..ROUNDS {
        let header = released(&format!("20{:02}-01-01", 1 + round / 3));
        let batches = random_batches(&mut dice);
        let write = async {
            let written = small.clients.ingest(header.clone(), batches.clone()).await.map(|result| result.revision);
            let same = large.clients.ingest(header, batches).await.map(|result| result.revision);
            (written.ok(), same.ok())
        };
        let mut reads = dice.split();
        let reading = async {
            for _ in 0..READS_PER_ROUND {
                let request = random_read(&mut reads, head);
                let (ours, expected) = tokio::join!(read(&small.clients, &request), read(&large.clients, &request));
                assert_eq!(ours, expected, "{request:?}");
            }
        };
        let ((written, same), ()) = tokio::join!(write, reading);
        assert_eq!(written, same);
        head = written.unwrap_or(head);
    }
    let status = |server: &TestServer| {
        let mut admin = server.clients.admin.clone();
        async move { admin.get_store_status(GetStoreStatusRequest {}).await.unwrap().into_inner().block_cache.unwrap() }
    };
    let (few, many) = (status(&small).await, status(&large).await);
    assert!(few.bytes <= few.limit_bytes && few.limit_bytes <= 8 << 10, "{few:?}");
    assert!(many.bytes > few.limit_bytes && many.hits > 0 && few.misses > many.misses, "{few:?} {many:?}");
    small.end().await;
    large.end().await;
}
