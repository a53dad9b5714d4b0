//! Uploads: what a stream of messages must be to be written, what it may carry, and what makes two of them the same.

mod defaults;
mod definitions;
mod shape;

use almanac::proto::*;

use crate::support::{Clients, fixture::*};

fn france() -> Definition {
    economy("FRA", "France")
}

/// The digest of all that a store holds, as a subscriber would see it.
async fn holds(clients: &Clients) -> (GetHeadResponse, GetStoreStatusResponse) {
    let head = clients.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner();
    (head, clients.status().await)
}
