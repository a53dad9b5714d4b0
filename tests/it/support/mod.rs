//! What every test uses: one harness, one model of each thing, one oracle.
//!
//! - The harness: [`server`] starts servers in this process, [`process`] runs the real binary, [`clients`] speaks to either,
//!   [`counted`] counts what a server asks of its store,
//!   [`assertions`] looks into answers, [`dice`] draws random numbers by a seed.
//! - The data: [`fixture`] is the small catalog that most tests use, [`author`] and [`steward`] make up writes;
//!   [`ledger_catalog`] has definitions for tests without a server.
//! - The subscriber: [`subscriptions`] has starts and filters, [`watch`] records what a stream brought.
//! - The models: [`replica`] is a copy of the state, kept by the scopes of changes alone; [`uploads`] is a plain list of
//!   uploads, for what is known at a revision and a release date.
//! - The oracle: [`oracle`] judges recordings by the promises of the feed.

mod assertions;
pub(crate) mod author;
mod clients;
mod counted;
mod dice;
pub(crate) mod fixture;
pub(crate) mod ledger_catalog;
pub(crate) mod oracle;
pub(crate) mod process;
pub(crate) mod replica;
mod server;
pub(crate) mod steward;
pub(crate) mod subscriptions;
pub(crate) mod uploads;
pub(crate) mod watch;

pub(crate) use assertions::{DEADLINE, assert_refused, at_recorded, at_released, at_revision, fields, reason, text};
pub(crate) use clients::{Clients, WholeCommit, join, publication, upload};
pub(crate) use counted::CountedServer;
pub(crate) use dice::{Dice, long};
pub(crate) use server::TestServer;
