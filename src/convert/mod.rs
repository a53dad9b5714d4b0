//! Conversions between the model and the messages of the contract, one file a topic. The server and the command line use them.
//!
//! In reading order: [`error`] says what can be wrong with a field; [`enums`] has a table for every enum.
//! [`upload`] makes the messages of the two streaming writes; with [`digest`] a subscriber proves that its copy is the
//! server's state.
//!
//! Invariant: pure functions without I/O. [`digest`] uses messages only, so that a client can be built without the model.

pub mod as_of;
pub mod catalog;
pub mod change;
pub mod commit;
pub mod comparison;
pub mod digest;
pub mod edition;
pub mod enums;
pub mod error;
pub mod field;
pub mod figure;
pub mod observation;
pub mod selection;
pub mod state;
pub mod time;
pub mod upload;
pub mod write;
