//! Faults on purpose, for tests of what the server does then: it crashes at a named step, a write or a flush fails.
//!
//! Only builds with the cargo feature `fault-injection` can do this; tests have it, releases do not. There, the environment
//! arms one fault of each kind when the store opens: `ALMANAC_CRASH_AT=NAME[:N]` aborts the process, as a power cut would,
//! the Nth time it comes to that step; `ALMANAC_FAIL_AT=write[:N]` or `sync[:N]` makes the Nth write or flush fail (the
//! first flush is that of opening). Without the feature the functions here do nothing and the variables are ignored.
//!
//! Invariant: [`CrashPoint`] names every step between the first page of a commit and its answer, and every step of
//! compaction.

#[cfg(feature = "fault-injection")]
mod armed;

#[cfg(not(feature = "fault-injection"))]
use std::io;

#[cfg(feature = "fault-injection")]
pub use armed::{arm, crash_at, fail_at};

/// Steps of a commit, then those of compaction, each in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// A page was appended; it may still be in memory only.
    PageAppended,
    /// Bundles of pages were written, not flushed.
    PagesWritten,
    /// The whole commit is planned, nothing is sealed.
    Planned,
    /// All pages of a long commit are durable, the seal is not written.
    PagesDurable,
    /// The seal is written, not flushed.
    SealWritten,
    /// The commit is durable, the view has nothing of it.
    Sealed,
    /// A page was applied to the view.
    PageApplied,
    /// All pages were applied, but for the new series; the mark that makes them visible is not set.
    AppliedUnmarked,
    /// Some of many new series were put into the view.
    SeriesPut,
    /// The commit is visible in the view; no subscriber was told.
    Applied,
    /// Subscribers were told, the client that wrote was not answered.
    Published,
    /// Compaction wrote the new floor, not flushed.
    FloorWritten,
    /// The new floor is durable, nothing below it is removed.
    FloorDurable,
    /// Some of the pages below the floor were removed.
    PagesDropped,
}

impl CrashPoint {
    /// The steps of compaction, in order.
    pub const COMPACTION: [Self; 3] = [Self::FloorWritten, Self::FloorDurable, Self::PagesDropped];

    /// The steps of a commit, in order.
    pub const COMMIT: [Self; 11] = [
        Self::PageAppended,
        Self::PagesWritten,
        Self::Planned,
        Self::PagesDurable,
        Self::SealWritten,
        Self::Sealed,
        Self::PageApplied,
        Self::AppliedUnmarked,
        Self::SeriesPut,
        Self::Applied,
        Self::Published,
    ];

    /// The name in `ALMANAC_CRASH_AT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::PageAppended => "page-appended",
            Self::PagesWritten => "pages-written",
            Self::Planned => "planned",
            Self::PagesDurable => "pages-durable",
            Self::SealWritten => "seal-written",
            Self::Sealed => "sealed",
            Self::PageApplied => "page-applied",
            Self::AppliedUnmarked => "applied-unmarked",
            Self::SeriesPut => "series-put",
            Self::Applied => "applied",
            Self::Published => "published",
            Self::FloorWritten => "floor-written",
            Self::FloorDurable => "floor-durable",
            Self::PagesDropped => "pages-dropped",
        }
    }
}

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailPoint {
    /// Writing a batch.
    Write,
    /// Flushing.
    Sync,
}

/// Reads the environment. Here: nothing to read.
#[cfg(not(feature = "fault-injection"))]
pub fn arm() -> io::Result<()> {
    Ok(())
}

/// Aborts the process if a test asked for that. Here: never.
#[cfg(not(feature = "fault-injection"))]
pub fn crash_at(_: CrashPoint) {}

/// Fails if a test asked for that. Here: never.
#[cfg(not(feature = "fault-injection"))]
pub fn fail_at(_: FailPoint) -> io::Result<()> {
    Ok(())
}
