//! # Almanac
//!
//! Almanac keeps innovation rankings and statistics, answers typed queries about them at any point of their history, and
//! streams every new edition and every revised figure to subscribers. This page is the map of the code: after reading it
//! once you can name the room of any line. A room is a module at the top level. `docs/dev/architecture.md` follows one write
//! and one read through the rooms; `docs/dev/glossary.md` defines the words.
//!
//! ## The picture
//!
//! ```text
//!    files            clients in any language, and `almanac` on the command line
//!      │                        │  gRPC, gRPC-Web            ▲  answers, changes
//!      ▼                        ▼                            │
//!  ┌────────┐  messages   ┌───────────────────────────────────────┐
//!  │ intake │────────────▶│ rpc: convert → call → convert         │  server: listener, health,
//!  └────────┘  (by cli)   └───────────────────────────────────────┘  limits, shutdown
//!                            │ writes          ▲ reads     ▲ changes
//!                            ▼                 │           │
//!                      ┌──────────┐       ┌────────┐   ┌──────┐
//!                      │  ledger  │──────▶│ query  │   │ feed │
//!                      │ plan     │       └────────┘   └──────┘
//!                      │ append   │            ▲           ▲
//!                      │ seal     │────────────┼───────────┘  durable and applied commits
//!                      │ apply    │            │
//!                      └──────────┘            │
//!                            │                 │
//!                            ▼                 │
//!                      ┌───────────────────────────┐
//!                      │ store: the view and the   │   model, ranking: pure types and functions,
//!                      │ ledger's pages, on sled   │   used by every room, importing none above them
//!                      └───────────────────────────┘
//! ```
//!
//! ## The rooms, in reading order
//!
//! A test (`tests/it/layers.rs`) reads this table and compares it with every `use` of the crate.
//!
//! | room | what it is for | may use |
//! |---|---|---|
//! | [`model`] | what a fact is: ids, periods, figures digit by digit, versions on three time axes, editions, changes | nothing |
//! | [`ranking`] | pure functions over editions: compare two tables, without ever turning "unknown" into "left" | `model` |
//! | [`store`] | sled and its rules; blocks of series, chunks, the view; the only room that knows the engine | `model` |
//! | [`ledger`] | the one writer: plan a commit, append its pages, seal it, apply it; recovery, compaction, backup, verifying and migrating a folder | `model`, `ranking`, `store` |
//! | [`query`] | reads of the view at a revision, an instant or a release date; selection policies | `model`, `ranking`, `store`, `ledger` |
//! | [`feed`] | filters, tokens, the ring of recent commits; a subscriber is a position in ring or ledger; which streams are stalled | `model`, `ranking`, `store`, `ledger`, `query` |
//! | [`convert`] | messages of the contract from and to values, one file a topic; the digest of a state | `model`, `ledger`, `query`, `feed`, `proto` |
//! | [`rpc`] | one thin file for each service: convert, call, convert; every error becomes a status in one place | `model`, `store`, `ledger`, `query`, `feed`, `convert`, `proto` |
//! | [`server`] | open a folder, recover, listen, serve, close stalled connections, stop politely | `model`, `store`, `ledger`, `query`, `feed`, `rpc`, `proto` |
//! | [`intake`] | files to checked records: encodings, tables, profiles, names | `model` |
//! | [`client`] | the follower: subscribes, checks the promises, resumes by itself | `convert`, `proto` |
//! | [`cli`] | the commands, on the public API only; `import` and `publish` decide which files are one commit | `model`, `intake`, `client`, `convert`, `proto`; in `error`, `serve`, `verify`: `server`; in `backup`, `error`, `migrate`, `serve`, `verify`: `ledger` |
//!
//! `query` and `feed` only read the ledger: the writer alone assigns revisions. `convert` uses the types of `ledger`, `query`
//! and `feed` that answers are made of. In the invariants below "the server" is the process, not the room.
//!
//! ## One direction
//!
//! A write goes down: `rpc → ledger → store`. What it changed comes up: `ledger → feed → rpc`. A read goes `rpc → query →
//! store`. The planner compares a write with the view and keeps only what really changes, with before and after. The writer
//! appends the pages of the commit; one small header seals it; the writer applies it to the view, which can be repeated
//! without harm. One flush makes it durable, with the short writes that waited behind it and took the same path. Only then
//! readers see it, the feed gets it, and the client is answered.
//!
//! ## Invariants
//!
//! - Revisions are dense: 1, 2, 3, … Only [`ledger`] assigns them. A commit exists whole or not at all.
//! - Each commit continues a hash chain, and tokens carry the chain. Two folders with the same chain at a revision hold the
//!   same commits up to there.
//! - The server refuses a request with a field that it does not know: it never ignores what narrows a question.
//! - Nothing is answered, published or shown to readers that is not on disk. If a flush fails, the server writes and publishes nothing until
//!   a restart, and its health says so.
//! - Readers see nothing above the applied revision: five million figures appear at once.
//! - The view can be rebuilt from the ledger, unless the operator chose compaction.
//! - Figures are never changed, only followed by later versions; a figure that is taken back is followed by a retraction.
//!   Digits come back as they were published.
//! - No subscriber has a queue. A slow one costs its position. The server ends the stream of one that takes nothing, with a
//!   token to come back with.
//! - Every queue, page and batch has a bound with a name.
//! - Async only at the edge: [`model`], [`ranking`], [`store`], [`ledger`], [`query`] and [`intake`] are synchronous, except
//!   `store/offload.rs`, `ledger/writer/handle.rs` and `ledger/writer/run.rs`. What may wait for the disk runs through
//!   [`store::offload`]: off the async threads; in a simulation on its only thread.
//! - Faults on purpose and the disk in memory exist only with the cargo feature `fault-injection`, which tests turn on.
//! - Deliberately absent: a replication protocol, a query language, a cache of answers (blocks of what is stored are
//!   cached, see [`store`]), and any unsafe code.
//!
//! ## Where to start reading
//!
//! - How is a figure stored, and which version answers? [`model::series`], then [`store::series`] and
//!   `docs/dev/store-format.md`.
//! - What happens on a write? [`ledger::writer`], then [`ledger::plan`].
//! - What does a subscriber get, and when? [`feed::subscription`], then [`client`] for the other end.
//! - Which error does a client see? [`rpc::reason`], then [`rpc::status`].
//!
//! ## Cargo features
//!
//! | feature | what it builds |
//! |---|---|
//! | `server` (default) | everything: the server, the command line, the follower |
//! | `client` | the contract and the follower, without sled, clap and the readers of files |
//! | `fault-injection` | crashes and failures on purpose; for tests alone |
//!
//! ## Why each dependency is here
//!
//! | crate | for |
//! |---|---|
//! | tonic, tonic-prost, prost, prost-types | gRPC |
//! | tonic-health, tonic-reflection, tonic-types, tonic-web, tower-http, tower-layer, http | health, reflection, error details, gRPC-Web and its CORS headers |
//! | bytes, http-body | the feed's own body: encoded once, shared by all streams |
//! | tokio, tokio-stream, futures-util | the async edge: sockets, signals, channels; streams of requests and answers |
//! | sled | the embedded store, pinned: the store's rules were measured on 0.34.7 |
//! | crc32fast, sha2 | checksums of stored values; digests of requests and documents, tokens |
//! | getrandom | history ids, the secret behind tokens, jitter |
//! | serde, rmp-serde | definitions and editions as self-describing records |
//! | mimalloc | the allocator of the program (`src/main.rs`): sled takes half the time with it |
//! | jiff | calendar dates and instants |
//! | thiserror, tracing, tracing-subscriber | errors and logs |
//! | csv, encoding_rs, flate2, lzma-rust2, tar, toml | real files: tables, old encodings, compression, archives, profiles; flate2 also compresses the feed's pages |
//! | strsim | "did you mean" |
//! | base64 | tokens as text |
//! | clap, comfy-table, console, indicatif | the command line: arguments, tables and the width of a terminal, progress |
//! | prost-reflect, serde_json | the contract's own JSON, for `--json` and catalog files |
//! | protox, tonic-prost-build (build) | the contract without an installed protoc |
//! | proptest, tempfile (tests) | properties against plain models; folders |
//! | h2 (tests) | calls that are reset in the middle, with any error code |
//! | turmoil, hyper-util (tests) | the simulation: one thread, with a network and a clock that a seed decides |
//! | snapbox, pulldown-cmark, rustix (tests) | the pages of `docs/`: finding their blocks, a terminal to run them in, comparing outputs |

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

/// The contract, generated from `proto/`. The table above says which rooms use it; `server` only registers its services.
#[allow(missing_docs, clippy::pedantic, clippy::all, unreachable_pub)]
pub mod proto {
    tonic::include_proto!("almanac.v1");

    /// The domain of every [`ErrorReason`] in `google.rpc.ErrorInfo`.
    pub const ERROR_DOMAIN: &str = "almanac";

    /// Descriptors of the whole contract, for reflection.
    #[cfg(feature = "server")]
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/almanac_descriptors.bin"));
}
