//! Days and instants.
//!
//! Invariant: a [`Date`] lies in the years 1 to 9999. This is the only place that reads the clock.

use std::{fmt, sync::Arc};

use jiff::{Timestamp, civil};
use serde::{Deserialize, Serialize};

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// A day of the civil calendar, as days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Date(i32);

/// Why a text is not a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date: write YYYY-MM-DD")]
pub struct DateError(pub String);

const CIVIL_EPOCH: civil::Date = civil::date(1970, 1, 1);

/// The first of January of the year 1.
const FIRST_DAY: i32 = -719_162;
/// The last of December of the year 9999.
const LAST_DAY: i32 = 2_932_896;

impl Date {
    /// After every date there is.
    pub const MAX: Self = Self(i32::MAX);
    /// 1970-01-01.
    pub const EPOCH: Self = Self(0);

    /// Parses `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Result<Self, DateError> {
        let error = || DateError(text.chars().take(40).collect());
        let mut parts = text.splitn(3, '-');
        let (Some(year), Some(month), Some(day)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(error());
        };
        if (year.len(), month.len(), day.len()) != (4, 2, 2) {
            return Err(error());
        }
        let number = |part: &str| -> Result<i16, DateError> {
            if part.bytes().all(|byte| byte.is_ascii_digit()) {
                part.parse().map_err(|_| error())
            } else {
                Err(error())
            }
        };
        let (year, month, day) = (number(year)?, number(month)? as i8, number(day)? as i8);
        Self::from_ymd(year, month, day).ok_or_else(error)
    }

    /// The day of a year, month and day, if there is one in the years 1 to 9999.
    pub fn from_ymd(year: i16, month: i8, day: i8) -> Option<Self> {
        let date = civil::Date::new(year, month, day).ok().filter(|date| date.year() >= 1)?;
        Self::from_civil(date)
    }

    fn from_civil(date: civil::Date) -> Option<Self> {
        let span = CIVIL_EPOCH.until(date).ok()?;
        Some(Self(span.get_days()))
    }

    fn to_civil(self) -> Option<civil::Date> {
        CIVIL_EPOCH.checked_add(jiff::Span::new().try_days(self.0).ok()?).ok()
    }

    /// Year, month and day.
    pub fn ymd(self) -> (i16, i8, i8) {
        self.to_civil().map_or((9999, 12, 31), |date| (date.year(), date.month(), date.day()))
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i32 {
        self.0
    }

    /// The day with this number of days since 1970-01-01, if it lies in the years 1 to 9999.
    pub fn from_days(days: i32) -> Option<Self> {
        ((FIRST_DAY..=LAST_DAY).contains(&days) || days == Self::MAX.0).then_some(Self(days))
    }

    /// The day before or after by so many days.
    pub fn plus_days(self, days: i32) -> Option<Self> {
        Self::from_days(self.0.checked_add(days)?)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A moment of our own clock, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instant(pub i64);

impl Instant {
    /// The day it lies in, in UTC. A moment outside the calendar lies in its first or last day.
    pub fn day(self) -> Date {
        let days = self.0.div_euclid(DAY_MICROS).clamp(i64::from(FIRST_DAY), i64::from(LAST_DAY));
        Date(i32::try_from(days).unwrap_or(LAST_DAY))
    }
}

/// The machine's clock.
pub fn now() -> Instant {
    Instant(Timestamp::now().as_microsecond())
}

/// Where instants come from: the machine's clock, or one that a test moves.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Instant + Send + Sync>);

impl Clock {
    /// A clock that says what it is told to.
    pub fn from_fn(tell: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// What it says.
    pub fn now(&self) -> Instant {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::from_fn(now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.now(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_outside_the_calendar_are_none() {
        for (day, text) in [(FIRST_DAY, "0001-01-01"), (LAST_DAY, "9999-12-31")] {
            assert_eq!(Date::from_days(day).unwrap().to_string(), text);
            assert_eq!(Date::parse(text).unwrap().days(), day);
        }
        assert_eq!(Date::from_days(FIRST_DAY - 1), None);
        assert_eq!(Date::from_days(LAST_DAY + 1), None);
    }

    #[test]
    fn dates_print_as_they_parse() {
        for text in ["1960-01-01", "2024-02-29", "0001-01-01", "9999-12-31", "2026-05-15"] {
            assert_eq!(Date::parse(text).unwrap().to_string(), text);
        }
        for bad in
            ["", "2024", "2024-2-9", "2023-02-29", "0000-01-01", "24-01-01", "2024-13-01", "+024-01-01", "2024-01-011"]
        {
            assert!(Date::parse(bad).is_err(), "{bad}");
        }
    }
}
