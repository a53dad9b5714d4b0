//! Pure functions over editions: no store, no clock, no protobuf.
//!
//! [`compare`] finds how entities moved between two tables, and whether the ranks of the two can be compared.
//!
//! Invariant: an entity that a partial table does not list has an unknown rank there. It has neither left nor entered.

pub mod compare;
