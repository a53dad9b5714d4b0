//! What both ends of a connection make of the contract's messages: the server, the command line and the follower alike.
//!
//! Invariant: pure functions of messages, without I/O. [`digest`] lets a subscriber prove that its copy is the server's state;
//! [`upload`] makes the messages of the two streaming writes.

pub mod digest;
pub mod feed;
pub mod upload;
