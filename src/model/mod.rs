//! The types that everything else is about: pure, without I/O; [`time::now`] alone reads the clock.
//!
//! In reading order: [`id`] and [`time`] hold ids, dates and instants; [`period`] is the time that a figure is about and
//! [`value`] what it states; [`series`] has the versions of figures on three time axes and chooses the one that answers;
//! [`catalog`] defines indicators, entities, sources, methodologies and rankings; [`edition`] is a table of ranks;
//! [`change`] is what a commit does to all of these; [`finding`] is an error or a warning about a write; [`text`]
//! normalizes names for comparison.
//!
//! Invariant: a value of these types is well formed. Text is parsed here, once; the layers above rely on it.

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
