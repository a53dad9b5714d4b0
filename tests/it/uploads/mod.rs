//! Uploads: which streams of messages are written, what they may carry, and when two are the same.

mod defaults;
mod definitions;
mod shape;

use almanac::proto::*;

use crate::support::{Clients, fixture::*};

fn france() -> Definition {
    economy("FRA", "France")
}

/// The head and the status of a store.
async fn holds(clients: &Clients) -> (GetHeadResponse, GetStoreStatusResponse) {
    let head = clients.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner();
    (head, clients.status().await)
}
