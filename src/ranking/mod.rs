//! Pure functions over editions: no store, no clock, no protobuf.
//!
//! [`compare`] says what moved between two tables and whether their ranks mean the same.
//!
//! Invariant: what a partial table does not list is unknown. It is never turned into "left" or "entered".

pub mod compare;
