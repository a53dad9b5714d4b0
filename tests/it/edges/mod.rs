//! Every edge of history as a start, for every kind of filter, in every phase of a stream.

mod floor;
mod matrix;
mod tokens;

use almanac::proto::{subscribe_request::Start, *};

use crate::support::{Clients, author::Author, fixture::*, subscriptions::*, watch::Watch};

const FILTERS: [&str; 9] =
    ["none", "kind", "ranking", "indicator prefix", "entity", "source", "cause", "rank window", "two, named"];

fn filters(kind: &str) -> Vec<Filter> {
    match kind {
        "none" => Vec::new(),
        "kind" => vec![of_kinds(&[ChangeKind::Value])],
        "ranking" => vec![of_rankings(&[RANKING])],
        "indicator prefix" => vec![of_indicators(&["GB.*"])],
        "entity" => vec![of_entities(&["CHN"])],
        "source" => vec![of_sources(&["press"])],
        "cause" => vec![of_causes(&[Cause::FirstRelease, Cause::Definition])],
        "rank window" => vec![within_rank(3)],
        _ => vec![with_name("top", within_rank(1)), with_name("bank", of_sources(&["bank"]))],
    }
}

async fn write(clients: &Clients, author: &mut Author, commits: usize) {
    for _ in 0..commits {
        author.next().send(clients).await.unwrap();
    }
}

/// The token of a revision, for a kind of filter.
async fn token_at(clients: &Clients, kind: &str, at: u64) -> String {
    first_token(clients, kind, range(at + 1, 0)).await
}

/// The first token of a stream.
async fn first_token(clients: &Clients, kind: &str, start: Start) -> String {
    let mut watch = Watch::open(clients, start, filters(kind)).await.unwrap();
    watch.until("the first message", |messages| !messages.is_empty()).await;
    watch.leave().await.opened().resume_token.clone()
}
