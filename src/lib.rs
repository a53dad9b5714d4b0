//! Almanac keeps innovation rankings and statistics, answers typed queries about them at any point of their history,
//! and streams every change.

pub mod cli;
pub mod client;
pub mod feed;
pub mod intake;
pub mod ledger;
pub mod model;
pub mod query;
pub mod ranking;
pub mod rpc;
pub mod server;
pub mod store;

/// The contract, generated from `proto/`. Only [`cli`], [`client`] and [`rpc`] may use it.
#[allow(missing_docs, clippy::pedantic, clippy::all, unreachable_pub)]
pub mod proto {
    tonic::include_proto!("almanac.v1");

    /// Descriptors of the whole contract, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/almanac_descriptors.bin"));
}
