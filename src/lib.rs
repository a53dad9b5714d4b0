//! # Almanac
//!
//! Almanac keeps innovation rankings and statistics, answers typed queries about them at any point of their history, and
//! streams every new edition and every revised figure to subscribers. This page is the map of the code: read it once and
//! you can name the room of any line.
//!
//! ## The picture
//!
//! ```text
//!    files            clients in any language, and `almanac` on the command line
//!      │                        │  gRPC, gRPC-Web            ▲  answers, changes
//!      ▼                        ▼                            │
//!  ┌────────┐  messages   ┌───────────────────────────────────────┐
//!  │ intake │────────────▶│ rpc: decode → call → encode           │  server: listener, health,
//!  └────────┘  (by cli)   └───────────────────────────────────────┘  limits, shutdown
//!                            │ writes          ▲ reads     ▲ changes
//!                            ▼                 │           │
//!                      ┌──────────┐       ┌────────┐   ┌──────┐
//!                      │  ledger  │──────▶│ query  │   │ feed │
//!                      │ plan     │       └────────┘   └──────┘
//!                      │ append   │            ▲           ▲
//!                      │ seal     │────────────┼───────────┘  sealed and applied commits
//!                      │ apply    │            │
//!                      └──────────┘            │
//!                            │                 │
//!                            ▼                 │
//!                      ┌───────────────────────────┐
//!                      │ store: the view and the   │   model, ranking: pure types and functions,
//!                      │ ledger's pages, on sled   │   used by every room, importing none
//!                      └───────────────────────────┘
//! ```
//!
//! ## The rooms, in reading order
//!
//! | room | what it is for | may use |
//! |---|---|---|
//! | [`model`] | what a fact is: ids, periods, figures digit by digit, versions on three time axes, editions, changes | nothing |
//! | [`ranking`] | pure functions over editions: compare two tables, without ever turning "unknown" into "left" | `model` |
//! | [`store`] | sled and its rules; series blocks, chunks, the view; the only room that knows the engine | `model` |
//! | [`ledger`] | the one writer: plan a commit, append its pages, seal it, apply it; recovery; compaction | `store`, `ranking` |
//! | [`query`] | reading the view at a revision, an instant or a release date; selection policies | `store`, `ledger` (read only) |
//! | [`feed`] | filters, tokens, the ring of recent commits; one subscriber is a cursor over ring and ledger | `query`, `ledger` (read only) |
//! | [`convert`] | what both ends make of the contract's messages: the digest of a state | `proto` |
//! | [`rpc`] | one thin file per service: decode, call, encode; every error becomes a status in one place | all above, `proto` |
//! | [`server`] | open a folder, recover, listen, serve, end politely | `rpc` |
//! | [`intake`] | files → checked records: encodings, tables, profiles, names | `model` |
//! | [`client`] | following the feed from Rust: checks the promises, resumes by itself | `convert`, `proto` |
//! | [`cli`] | the commands, on the public API only | `intake`, `client`, `proto`; `serve` uses `server`, `verify` and `restore` use `ledger` |
//!
//! ## One direction
//!
//! A write goes down: `rpc → ledger → store`; what it changed comes up: `ledger → feed → rpc`. A read goes `rpc → query →
//! store`. A commit is planned against the view, so that it holds only what really changes, with before and after. Its
//! pages are appended and flushed; one small head record seals it; then it is durable. Applying it to the view is
//! idempotent. Only after that is the writer answered and the feed told.
//!
//! ## Invariants
//!
//! - Revisions are dense: 1, 2, 3, … Only [`ledger`] assigns them. A commit is there whole or not at all.
//! - Each commit continues a hash chain; tokens carry it. Two folders that agree on it at a revision agree on all before it.
//! - A request with a field that the server does not know is refused: what narrows a question is never passed over.
//! - Nothing is answered or published that is not on disk. If a flush fails, nothing is written or published until a
//!   restart, and health says so.
//! - Readers see nothing above the applied revision: five million figures appear at once.
//! - The view can be thrown away: it is what the ledger says. Only where the owner asked for compaction it cannot.
//! - Figures are never changed, only followed by later versions; what is taken back is followed by a retraction. Digits come
//!   back as they were published.
//! - No queue belongs to a subscriber; a slow one costs its cursor, and one that takes nothing is given up, with a way back.
//! - Every queue, page and batch has a bound with a name.
//! - Async only at the edge: `model`, `ranking`, `store`, `ledger`, `query` and `intake` are synchronous. What may wait for
//!   the disk is done where [`store::offload`] says: off the async threads; in simulated worlds on the only thread there is.
//! - Deliberately absent: a replication protocol, a query language, a cache of answers, and any unsafe code.
//!
//! ## Where to start reading
//!
//! - How is a figure stored, and which version answers? [`model::series`], then [`store::series`] and the file
//!   `src/store/format.md`.
//! - What happens on a write? [`ledger::writer`], then [`ledger::plan`].
//! - What does a subscriber get, and when? [`feed::subscription`], then [`client`] for the other end.
//! - Which error does a client see? [`rpc::status`].
//!
//! ## Why each dependency is here
//!
//! | crate | for |
//! |---|---|
//! | tonic, tonic-prost, prost, prost-types | gRPC |
//! | tonic-health, tonic-reflection, tonic-types, tonic-web, tower-http, http | health, reflection, error details, gRPC-Web and its CORS headers |
//! | bytes, http-body | the feed's own body: encoded once, shared by all streams |
//! | tokio, tokio-stream, futures-util | the async edge: sockets, signals, channels; streams of requests and answers |
//! | sled | the embedded store, pinned: the store's rules were measured on 0.34.7 |
//! | crc32fast, sha2 | checksums of stored values; request and document digests, tokens |
//! | getrandom | history ids, the secret behind tokens, jitter |
//! | serde, rmp-serde | definitions and editions as self-describing records |
//! | jiff | calendar dates and instants |
//! | thiserror, tracing, tracing-subscriber | errors and logs |
//! | csv, encoding_rs, flate2, lzma-rust2, tar, toml | reading real files: tables, old encodings, compression, archives, profiles; flate2 also compresses the feed's pages |
//! | strsim | "did you mean" |
//! | base64 | tokens as text |
//! | clap, comfy-table, indicatif | the command line: arguments, tables, progress |
//! | prost-reflect, serde_json | the contract's own JSON, for `--json` and catalog files |
//! | protox, tonic-prost-build (build) | the contract without an installed protoc |
//! | proptest, tempfile (tests) | properties against plain models; folders |
//! | h2 (tests) | calls that are reset in the middle, with any error code |
//! | turmoil, hyper-util (tests) | simulated worlds: one thread, with a network and a time that a seed rules |

#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod convert;
#[cfg(feature = "server")]
pub mod feed;
#[cfg(feature = "server")]
pub mod intake;
#[cfg(feature = "server")]
pub mod ledger;
#[cfg(feature = "server")]
pub mod model;
#[cfg(feature = "server")]
pub mod query;
#[cfg(feature = "server")]
pub mod ranking;
#[cfg(feature = "server")]
pub mod rpc;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod store;

/// The contract, generated from `proto/`. Only [`cli`], [`client`], [`convert`] and [`rpc`] may use it.
#[allow(missing_docs, clippy::pedantic, clippy::all, unreachable_pub)]
pub mod proto {
    tonic::include_proto!("almanac.v1");

    /// The domain of every [`ErrorReason`] in `google.rpc.ErrorInfo`.
    pub const ERROR_DOMAIN: &str = "almanac";

    /// Descriptors of the whole contract, for reflection.
    #[cfg(feature = "server")]
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/almanac_descriptors.bin"));
}
