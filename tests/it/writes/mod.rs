//! What writes promise.

mod changes;
mod requests;
mod vintages;

use almanac::proto::*;

fn counts(result: &WriteResult) -> (u64, u64, u64, u64, u64) {
    let counts = result.counts.as_ref().unwrap();
    (counts.added, counts.revised, counts.unchanged, counts.withdrawn, counts.backfilled)
}
