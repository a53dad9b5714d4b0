//! Conversions between the model and the messages of the contract, one file a topic. The server and the command line use them.
//!
//! In reading order: [`error`] says what can be wrong with a field; [`enums`] has a table for every enum.
//! [`upload`] makes the messages of the two streaming writes; with [`digest`] a subscriber proves that its copy is the
//! server's state.
//!
//! Invariant: pure functions without I/O. [`digest`] uses messages only, so that a client can be built without the model.

#[cfg(feature = "server")]
pub mod as_of;
#[cfg(feature = "server")]
pub mod catalog;
#[cfg(feature = "server")]
pub mod change;
#[cfg(feature = "server")]
pub mod commit;
#[cfg(feature = "server")]
pub mod comparison;
pub mod digest;
#[cfg(feature = "server")]
pub mod edition;
#[cfg(feature = "server")]
pub mod enums;
#[cfg(feature = "server")]
pub mod error;
#[cfg(feature = "server")]
pub mod feed;
#[cfg(feature = "server")]
pub mod field;
#[cfg(feature = "server")]
pub mod figure;
#[cfg(feature = "server")]
pub mod observation;
#[cfg(feature = "server")]
pub mod selection;
#[cfg(feature = "server")]
pub mod state;
#[cfg(feature = "server")]
pub mod time;
#[cfg(feature = "server")]
pub mod upload;
#[cfg(feature = "server")]
pub mod write;
