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

/// Steps of a commit, then those of compaction. The constants have their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// A page was appended; it may still be in memory only.
    PageAppended,
    /// Bundles of pages were written, not flushed.
    PagesWritten,
    /// The whole commit is planned, and not sealed.
    Planned,
    /// All pages of a long commit are durable, the seal is not written.
    PagesDurable,
    /// The seal is written, not flushed.
    SealWritten,
    /// The commit is durable, with all commits that share its sync. Readers see nothing of it.
    Sealed,
    /// A page was applied to the view. In a short commit nothing is written yet.
    PageApplied,
    /// All pages were applied, but for many new series; the view's mark of what it has is not set.
    AppliedUnmarked,
    /// Some of many new series were put into the view.
    SeriesPut,
    /// Readers see the commit; subscribers do not.
    Applied,
    /// Subscribers may read it, the client that wrote was not answered.
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

    /// The steps of a short commit, in order. Its seal and what the view gets from it are written together.
    pub const SHORT_COMMIT: [Self; 8] = [
        Self::PageAppended,
        Self::Planned,
        Self::PageApplied,
        Self::AppliedUnmarked,
        Self::SealWritten,
        Self::Sealed,
        Self::Applied,
        Self::Published,
    ];

    /// The steps of a long commit, in order.
    pub const LONG_COMMIT: [Self; 10] = [
        Self::PageAppended,
        Self::PagesWritten,
        Self::Planned,
        Self::PagesDurable,
        Self::SealWritten,
        Self::Sealed,
        Self::PageApplied,
        Self::AppliedUnmarked,
        Self::Applied,
        Self::Published,
    ];

    /// The step that only a commit of many new series has.
    pub const MANY_SERIES: [Self; 1] = [Self::SeriesPut];

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
