//! What can be wrong with a field of a message.
//!
//! `rpc::status` turns a [`FieldError`] into a gRPC status; the text of a [`Problem`] is what a client reads.

use std::{ops::RangeInclusive, time::Duration};

use crate::model::{id::IdError, period::PeriodError, series::DimensionsError, time::DateError, value::NumberError};

/// A field whose content no valid message can have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// Path of the field in the request, such as `series[2].points[0].period`.
    pub field: String,
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    #[error("must be given")]
    NotGiven,
    #[error("longer than {bytes_max} bytes")]
    TooLong { bytes_max: usize },
    #[error("the entry is longer than {bytes_max} bytes")]
    EntryTooLong { bytes_max: usize },
    #[error("more than {items_max}")]
    TooMany { items_max: usize },
    #[error("above {max}")]
    TooLarge { max: u32 },
    #[error("not from {} to {}", .0.start(), .0.end())]
    OutOfRange(RangeInclusive<i32>),
    #[error("not from {:?} to {:?}", .0.start(), .0.end())]
    DurationOutOfRange(RangeInclusive<Duration>),
    #[error("outside the years 1 to 9999")]
    OutsideCalendar,
    #[error("{number} is not a value of this enum")]
    UnknownEnumValue { number: i32 },
    #[error("is set by the server")]
    SetByServer,
    #[error("corrected and withdrawn are set by the server")]
    StatusSetByServer,
    #[error("entry_count, revision, recorded, compared_with and withdrawn are set by the server")]
    EditionFieldsSetByServer,
    #[error(transparent)]
    Id(#[from] IdError),
    #[error(transparent)]
    Date(#[from] DateError),
    #[error(transparent)]
    Period(#[from] PeriodError),
    #[error(transparent)]
    Dimensions(#[from] DimensionsError),
    #[error(transparent)]
    Number(#[from] NumberError),
    #[error("a number and a reason for having none")]
    NumberAndReason,
    #[error("neither a number nor a reason for having none")]
    NeitherNumberNorReason,
    #[error("only a range has an upper end")]
    UpperEndWithoutRange,
    #[error("a range needs its lower end")]
    RangeWithoutLowerEnd,
    #[error("a range needs its upper end")]
    RangeWithoutUpperEnd,
    #[error("below the lower end")]
    UpperEndBelowLower,
    #[error("a withdrawn figure has no value")]
    ValueOfWithdrawn,
    #[error("must be given, or the figure withdrawn")]
    NeitherValueNorWithdrawn,
    #[error("not a finite number from 0")]
    InvalidWeight,
    #[error("`{component}` comes before its parent `{parent}`, or no component has that id")]
    ParentNotBefore { component: String, parent: String },
    #[error("`{component}` comes twice")]
    ComponentTwice { component: String },
    #[error("name at least one indicator")]
    NoIndicator,
    #[error("ends before period_from begins")]
    PeriodsReversed,
    #[error("not {digits} hex digits")]
    NotHexDigits { digits: usize },
    #[error("several filters need names of their own")]
    FilterNameNotUnique,
    #[error("{number} is not a kind of change")]
    NotAChangeKind { number: i32 },
    #[error("unspecified is not a cause")]
    UnspecifiedCause,
    #[error("revisions start at 1")]
    RevisionZero,
    #[error("below first_revision")]
    BelowFirstRevision,
    #[error("must name a point of history")]
    NotAPointOfHistory,
}

impl FieldError {
    /// Names a field and what is wrong with it.
    pub fn new(field: impl Into<String>, problem: impl Into<Problem>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The same field, seen from the message that holds its message in the field `parent`.
    pub fn under(self, parent: &str) -> Self {
        Self { field: format!("{parent}.{}", self.field), ..self }
    }
}
