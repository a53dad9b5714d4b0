//! Dates and instants.
//!
//! Invariants: a [`Date`] lies in the years 1 to 9999 or is [`Date::MAX`]. Only this module reads the machine's clock.

use std::{fmt, sync::Arc};

use jiff::{Timestamp, civil};
use serde::{Deserialize, Serialize};

const DAY_MICROS: i64 = 86_400_000_000;

/// A day of the civil calendar, as days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Date(i32);

/// Why a text is not a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date: write YYYY-MM-DD")]
pub struct DateError(pub String);

/// Flipped, it makes a signed number sort by its bytes.
const SIGN_BIT: u32 = 0x8000_0000;
const CIVIL_EPOCH: civil::Date = civil::date(1970, 1, 1);

/// The first of January of the year 1.
const FIRST_DAY: i32 = -719_162;
/// The last of December of the year 9999.
const LAST_DAY: i32 = 2_932_896;

/// Days from the first of March of the year 0 to 1970-01-01.
const DAYS_FROM_MARCH_0: i32 = 719_468;
/// Days of 400 years.
const ERA_DAYS: i32 = 146_097;

impl Date {
    /// After every date of the calendar: no bound.
    pub const MAX: Self = Self(i32::MAX);
    /// 1970-01-01.
    pub const EPOCH: Self = Self(0);

    /// Parses `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Result<Self, DateError> {
        Self::parse_iso(text).ok_or_else(|| DateError(text.chars().take(40).collect()))
    }

    fn parse_iso(text: &str) -> Option<Self> {
        let (year, rest) = text.split_once('-')?;
        let (month, day) = rest.split_once('-')?;
        let digits_only = [year, month, day].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        if !digits_only || (year.len(), month.len(), day.len()) != (4, 2, 2) {
            return None;
        }
        Self::from_ymd(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
    }

    /// The day of a year, month and day; `None` if the calendar has none such in the years 1 to 9999.
    pub fn from_ymd(year: i16, month: i8, day: i8) -> Option<Self> {
        let date = civil::Date::new(year, month, day).ok().filter(|date| date.year() >= 1)?;
        Self::from_civil(date)
    }

    fn from_civil(date: civil::Date) -> Option<Self> {
        let span = CIVIL_EPOCH.until(date).ok()?;
        Some(Self(span.get_days()))
    }

    /// Year, month and day. [`Date::MAX`] gives the last day of the year 9999.
    ///
    /// Every answer prints several dates, and this takes a tenth of a calendar library's time: years are counted from
    /// March, so that the leap day is the last, in eras of 400 years.
    #[allow(clippy::cast_possible_truncation)] // the years are 1 to 9999, and the rest is smaller
    pub fn ymd(self) -> (i16, i8, i8) {
        let days = self.0.min(LAST_DAY) + DAYS_FROM_MARCH_0;
        let era = days.div_euclid(ERA_DAYS);
        let of_era = days.rem_euclid(ERA_DAYS);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + i32::from(month <= 2);
        (year as i16, month as i8, day as i8)
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i32 {
        self.0
    }

    /// The day with this number of days since 1970-01-01; `None` if it is neither in the years 1 to 9999 nor
    /// [`Date::MAX`].
    pub fn from_days(days: i32) -> Option<Self> {
        ((FIRST_DAY..=LAST_DAY).contains(&days) || days == Self::MAX.0).then_some(Self(days))
    }

    /// The day so many days later, or earlier if negative; `None` outside the years 1 to 9999.
    pub fn plus_days(self, days: i32) -> Option<Self> {
        Self::from_days(self.0.checked_add(days)?)
    }

    /// Bytes that sort as dates do: the days since 1970-01-01, big endian, with the top bit flipped.
    pub fn sort_key(self) -> [u8; 4] {
        (self.0 as u32 ^ SIGN_BIT).to_be_bytes()
    }

    /// The date of a [`Date::sort_key`]; `None` if no date has it.
    pub fn from_sort_key(key: [u8; 4]) -> Option<Self> {
        Self::from_days((u32::from_be_bytes(key) ^ SIGN_BIT) as i32)
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

/// A moment of the server's clock, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instant(pub i64);

impl Instant {
    /// The day in UTC. A moment outside the years 1 to 9999 counts to the first or the last day of the calendar.
    pub fn day(self) -> Date {
        let days = self.0.div_euclid(DAY_MICROS).clamp(i64::from(FIRST_DAY), i64::from(LAST_DAY));
        Date(i32::try_from(days).unwrap_or(LAST_DAY))
    }
}

/// Reads the machine's clock.
pub fn now() -> Instant {
    Instant(Timestamp::now().as_microsecond())
}

/// Where instants come from: by default the machine's clock; tests use one that they move.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Instant + Send + Sync>);

impl Clock {
    /// A clock whose instants a function gives.
    pub fn from_fn(read: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

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
    fn days_outside_the_calendar_are_refused() {
        for (day, text) in [(FIRST_DAY, "0001-01-01"), (LAST_DAY, "9999-12-31")] {
            assert_eq!(Date::from_days(day).unwrap().to_string(), text);
            assert_eq!(Date::parse(text).unwrap().days(), day);
        }
        assert_eq!(Date::from_days(FIRST_DAY - 1), None);
        assert_eq!(Date::from_days(LAST_DAY + 1), None);
    }

    #[test]
    fn year_month_and_day_are_those_of_the_calendar() {
        let every_11th = (FIRST_DAY..=LAST_DAY).step_by(11);
        let around_leap_days = (-400..400).map(|offset| offset + 10_957);
        for days in every_11th.chain(around_leap_days).chain([LAST_DAY]) {
            let date = CIVIL_EPOCH.checked_add(jiff::Span::new().days(days)).unwrap();
            assert_eq!(Date(days).ymd(), (date.year(), date.month(), date.day()), "{days}");
        }
        assert_eq!(Date::MAX.ymd(), (9999, 12, 31));
    }

    #[test]
    fn a_date_prints_as_it_was_written_and_sorts_by_its_key() {
        const ASCENDING: [&str; 5] = ["0001-01-01", "1960-01-01", "2024-02-29", "2026-05-15", "9999-12-31"];
        const REFUSED: [&str; 11] = [
            "",
            "2024",
            "2024-2-9",
            "2023-02-29",
            "0000-01-01",
            "24-01-01",
            "2024-13-01",
            "+024-01-01",
            "2024-01-011",
            "2024-01-1-",
            "20-4-01-01",
        ];
        for text in ASCENDING {
            let date = Date::parse(text).unwrap();
            assert_eq!(date.to_string(), text);
            assert_eq!(Date::from_sort_key(date.sort_key()), Some(date));
        }
        assert!(ASCENDING.map(|text| Date::parse(text).unwrap().sort_key()).is_sorted());
        for bad in REFUSED {
            assert!(Date::parse(bad).is_err(), "{bad}");
        }
    }
}
