//! Reference periods: the time that a figure is about.
//!
//! Invariant: a period is its first and last day. Two texts for the same days (`2024-04/2024-06`, `2024-Q2`) are one
//! period, which prints in its shortest form.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::Date;

/// A span of whole days, both ends included. Sorts by (start, end).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Period {
    start: Date,
    end: Date,
}

/// Why a text is not a period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a period: write 2024, 2024-S1, 2024-Q2, 2024-06, 2024-06-30 or 2019/2023")]
pub struct PeriodError(pub String);

impl Period {
    /// After every other period.
    pub const LAST: Self = Self { start: Date::MAX, end: Date::MAX };

    /// Parses the SDMX text form; [`PeriodError`] lists what it takes.
    pub fn parse(text: &str) -> Result<Self, PeriodError> {
        let parsed = match text.split_once('/') {
            None => parse_single(text),
            Some((first, last)) => parse_range(first, last),
        };
        parsed.ok_or_else(|| PeriodError(text.chars().take(40).collect()))
    }

    /// The calendar year; `None` outside the years 1 to 9999.
    pub fn year(year: i16) -> Option<Self> {
        months(year, 1, 12)
    }

    /// The first day.
    pub fn start(self) -> Date {
        self.start
    }

    /// The last day.
    pub fn end(self) -> Date {
        self.end
    }

    /// The period from one day to another; `None` if the end is before the start.
    pub fn from_days(start: Date, end: Date) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// Bytes that sort as periods do: the keys of [`Date::sort_key`] of the first and the last day.
    pub fn sort_key(self) -> [u8; 8] {
        let mut key = [0; 8];
        key[..4].copy_from_slice(&self.start.sort_key());
        key[4..].copy_from_slice(&self.end.sort_key());
        key
    }

    /// The coarsest unit that the period is made of.
    pub fn unit(self) -> PeriodUnit {
        let (from_year, from_month, from_day) = self.start.ymd();
        let (to_year, to_month, _) = self.end.ymd();
        let whole_months = from_day == 1 && self.end.plus_days(1).is_none_or(|next| next.ymd().2 == 1);
        if !whole_months {
            return PeriodUnit::Days;
        }
        let count = (i32::from(to_year) - i32::from(from_year)) * 12 + i32::from(to_month) - i32::from(from_month) + 1;
        match (count, from_month) {
            (count, 1) if count % 12 == 0 => PeriodUnit::Years,
            (6, 1 | 7) => PeriodUnit::HalfYear,
            (3, 1 | 4 | 7 | 10) => PeriodUnit::Quarter,
            _ => PeriodUnit::Months,
        }
    }
}

/// A calendar unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeriodUnit {
    /// One or more whole years.
    Years,
    /// One half-year.
    HalfYear,
    /// One quarter.
    Quarter,
    /// One or more whole months that are none of the above.
    Months,
    Days,
}

/// `2024/2019` and ranges of unlike units (`2019/2020-06`) are slips, not periods.
fn parse_range(first: &str, last: &str) -> Option<Period> {
    let first = parse_single(first)?;
    let last = parse_single(last)?;
    let well_formed = first.start <= last.start && first.unit() == last.unit();
    well_formed.then_some(Period { start: first.start, end: last.end })
}

fn months(year: i16, first: i8, last: i8) -> Option<Period> {
    let start = Date::from_ymd(year, first, 1)?;
    let end = match last {
        12 => Date::from_ymd(year, 12, 31)?,
        _ => Date::from_ymd(year, last + 1, 1)?.plus_days(-1)?,
    };
    Some(Period { start, end })
}

/// A period without a slash.
fn parse_single(text: &str) -> Option<Period> {
    let bytes = text.as_bytes();
    let year = parse_digits(text.get(..4)?)?;
    match (bytes.len(), bytes.get(4), bytes.get(5)) {
        (4, ..) => Period::year(year),
        (7, Some(b'-'), Some(b'S')) => match bytes[6] {
            half @ b'1'..=b'2' => months(year, (half - b'1') as i8 * 6 + 1, (half - b'0') as i8 * 6),
            _ => None,
        },
        (7, Some(b'-'), Some(b'Q')) => match bytes[6] {
            quarter @ b'1'..=b'4' => months(year, (quarter - b'1') as i8 * 3 + 1, (quarter - b'0') as i8 * 3),
            _ => None,
        },
        (7, Some(b'-'), _) => {
            let month = i8::try_from(parse_digits(text.get(5..)?)?).ok()?;
            months(year, month, month)
        }
        (10, Some(b'-'), _) => {
            let day = Date::parse(text).ok()?;
            Some(Period { start: day, end: day })
        }
        _ => None,
    }
}

/// `None` for anything but digits: `parse` alone takes a sign.
fn parse_digits(text: &str) -> Option<i16> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits_only { text.parse().ok() } else { None }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, _) = self.start.ymd();
        let (last_year, last_month, _) = self.end.ymd();
        match self.unit() {
            PeriodUnit::Years if year == last_year => write!(f, "{year:04}"),
            PeriodUnit::Years => write!(f, "{year:04}/{last_year:04}"),
            PeriodUnit::HalfYear => write!(f, "{year:04}-S{}", month / 6 + 1),
            PeriodUnit::Quarter => write!(f, "{year:04}-Q{}", month / 3 + 1),
            PeriodUnit::Months if (year, month) == (last_year, last_month) => write!(f, "{year:04}-{month:02}"),
            PeriodUnit::Months => write!(f, "{year:04}-{month:02}/{last_year:04}-{last_month:02}"),
            PeriodUnit::Days if self.start == self.end => self.start.fmt(f),
            PeriodUnit::Days => write!(f, "{}/{}", self.start, self.end),
        }
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_period_prints_as_it_was_written() {
        const TEXTS: [&str; 14] = [
            "2024",
            "2024-S1",
            "2024-S2",
            "2024-Q1",
            "2024-Q4",
            "2025-06",
            "2025-06-30",
            "2019/2023",
            "2019-03/2020-02",
            "2019-01-05/2019-02-07",
            "0001",
            "9999",
            "9999-12",
            "9999-12-31",
        ];
        for text in TEXTS {
            assert_eq!(Period::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn two_texts_for_the_same_days_are_one_period() {
        const CASES: [(&str, &str); 4] = [
            ("2024-01/2024-12", "2024"),
            ("2024-04/2024-06", "2024-Q2"),
            ("2024-Q1/2024-Q2", "2024-S1"),
            ("2024/2024", "2024"),
        ];
        for (long, short) in CASES {
            assert_eq!(Period::parse(long).unwrap(), Period::parse(short).unwrap());
            assert_eq!(Period::parse(long).unwrap().to_string(), short);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        const REFUSED: [&str; 20] = [
            "",
            "24",
            "20244",
            "2024-",
            "2024-S3",
            "2024-Q0",
            "2024-13",
            "2024-00",
            "2024-02-30",
            "2023/2019",
            "2019/2020-06",
            "2019/",
            "/2019",
            "Change",
            "２０２４",
            "2024 ",
            "-024",
            "2024-q1",
            "0000",
            "2019/2020/2021",
        ];
        for bad in REFUSED {
            assert!(Period::parse(bad).is_err(), "{bad}");
        }
    }

    fn any_period() -> impl Strategy<Value = Period> {
        const FIRST_DAY: i32 = -719_162;
        const LAST_DAY: i32 = 2_932_896;
        (FIRST_DAY..LAST_DAY, 0i32..4_000).prop_map(|(start, length)| {
            let end = (start + length).min(LAST_DAY);
            Period::from_days(Date::from_days(start).unwrap(), Date::from_days(end).unwrap()).unwrap()
        })
    }

    proptest! {
        /// Any span of days prints to a text that parses to the same span, and key order is period order.
        #[test]
        fn text_and_key_agree_with_the_days(first in any_period(), second in any_period()) {
            prop_assert_eq!(Period::parse(&first.to_string()).unwrap(), first);
            prop_assert_eq!(first.cmp(&second), first.sort_key().cmp(&second.sort_key()));
        }

        /// No text makes the parser panic, and a period that it returns prints to a text that it accepts.
        #[test]
        fn any_text_is_refused_or_parsed(text in "[0-9/QS-]{0,22}") {
            if let Ok(period) = Period::parse(&text) {
                prop_assert_eq!(Period::parse(&period.to_string()).unwrap(), period);
            }
        }
    }
}
