//! What a fact is: pure types, no I/O, no clock but [`time::now`].
//!
//! In reading order: [`id`] and [`time`] name things and moments; [`period`] says what a figure is about, [`value`] what
//! it says; [`series`] puts its versions on three time axes and picks the one that answers; [`catalog`] defines what is
//! measured; [`edition`] is a signed-off table; [`change`] is what a commit does to all of these.
//!
//! Invariant: a value of these types is well formed. Text is parsed once, here, and trusted above.

pub mod catalog;
pub mod change;
pub mod edition;
pub mod finding;
pub mod id;
pub mod period;
pub mod series;
pub mod text;
pub mod time;
pub mod value;
