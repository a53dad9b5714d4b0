//! The one writer: plan a commit against the view, append it, seal it, apply it, recover.
//!
//! In reading order: [`upload`] gathers what comes in; [`plan`] finds what really changes; [`record`] is what a commit is
//! made of, [`page`] how it is packed, [`bundle`] how pages are kept; [`log`] keeps the sequence of commits, the truth; [`apply`] brings the view up to it;
//! [`writer`] does these in turn, and keeps the cursors of clients by the rules of [`cursor`]. [`compact`] drops what is old,
//! when asked. [`rebuild`] makes a folder from commits, [`verify`] asks whether one is whole, [`backup`] carries them
//! in a file, [`migrate`] brings over a folder of the format before.

//!
//! Invariants: only this room writes and assigns revisions. A commit is durable before it is answered or published, and
//! whole or not there. The view can be lost: it is what the ledger says.

pub mod apply;
pub mod backup;

pub mod bundle;
pub mod compact;
pub mod cursor;
pub mod error;
pub mod log;
pub mod migrate;
pub mod page;
pub mod plan;
pub mod rebuild;
pub mod record;
pub mod upload;
pub mod verify;
pub mod writer;

pub use error::LedgerError;
pub use log::Ledger;
pub use writer::{WriteAnswer, WriteError, WriteOptions, Writer};
