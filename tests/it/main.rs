//! The service from outside: a real server, a real socket, the contract and nothing else.
//!
//! In reading order: [`support`] has the harness, the data, the models and the oracle. Then the tests by what they check:
//!
//! - Reads and writes: [`queries`], [`reading`], [`point_reads`], [`paging`], [`selections`], [`writes`], [`uploads`], [`findings`],
//!   [`revert`], [`refusals`], [`strict`], [`bounds`], [`contract`].
//! - The feed: [`feed`], [`conflate`], [`edges`], [`cursors`], [`licences`], [`crowd`], [`stalls`], [`silence`],
//!   [`compression`], [`simulation`].
//! - Other clients: [`health`], [`browsers`], [`loading`], [`catching_up`].
//! - Models: [`properties`], [`model`], [`release_axis`].
//! - The disk: [`crash`], [`failpoints`], [`shared_syncs`], [`damage`], [`backup`], [`migration`], [`continuity`],
//!   [`compaction`], [`clock`], [`fuzzing`], [`costs`].
//! - The repository: [`pages`] runs what the pages show, [`layers`] holds the map of the crate.
//!
//! Invariants: no test sleeps and hopes; it waits for a condition with a deadline. Random tests print their seed and take
//! it from `ALMANAC_TEST_SEED`. `ALMANAC_TEST_LONG=1` makes them longer, with fresh seeds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod backup;
mod bounds;
mod browsers;
mod catching_up;
mod clock;
mod compaction;
mod compression;
mod conflate;
mod continuity;
mod contract;
mod costs;
mod crash;
mod crowd;
mod cursors;
mod damage;
mod edges;
mod failpoints;
mod feed;
mod findings;
mod fuzzing;
mod health;
mod layers;
mod licences;
mod loading;
mod migration;
mod model;
mod pages;
mod paging;
mod point_reads;
mod properties;
mod queries;
mod reading;
mod refusals;
mod release_axis;
mod revert;
mod selections;
mod shared_syncs;
mod silence;
mod simulation;
mod stalls;
mod strict;
mod support;
mod uploads;
mod writes;
