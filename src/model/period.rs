//! Reference periods: what a figure is about.
//!
//! Invariant: a period is its first and last day. Two texts for the same days (`2024-04/2024-06`, `2024-Q2`) are one
//! period, and it prints in the shortest form.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::Date;

/// A span of whole days. Sorts by (start, end).
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
    /// Parses the SDMX text form.
    pub fn parse(text: &str) -> Result<Self, PeriodError> {
        let parsed = match text.split_once('/') {
            None => parse_single(text),
            Some((first, last)) => parse_single(first).zip(parse_single(last)).and_then(|(first, last)| {
                // `2024/2019` and ranges of unlike units (`2019/2020-06`) are slips, not periods.
                (first.start <= last.start && first.unit() == last.unit())
                    .then_some(Self { start: first.start, end: last.end })
            }),
        };
        parsed.ok_or_else(|| PeriodError(text.chars().take(40).collect()))
    }

    /// The calendar year.
    pub fn year(year: i16) -> Option<Self> {
        months(year, 1, 12)
    }

    /// First day.
    pub fn start(self) -> Date {
        self.start
    }

    /// Last day.
    pub fn end(self) -> Date {
        self.end
    }

    /// From first and last day.
    pub fn from_days(start: Date, end: Date) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// Bytes that sort as periods do.
    pub fn sort_key(self) -> [u8; 8] {
        let flip = |date: Date| (date.days() as u32 ^ 0x8000_0000).to_be_bytes();
        let mut key = [0; 8];
        key[..4].copy_from_slice(&flip(self.start));
        key[4..].copy_from_slice(&flip(self.end));
        key
    }

    /// The unit and count form: how many months or days from the start of the calendar, and how many of them.
    pub fn unit(self) -> Unit {
        let (from_year, from_month, from_day) = self.start.ymd();
        let (to_year, to_month, _) = self.end.ymd();
        let whole_months = from_day == 1 && self.end.plus_days(1).is_none_or(|next| next.ymd().2 == 1);
        if !whole_months {
            return Unit::Days;
        }
        let count = (i32::from(to_year) - i32::from(from_year)) * 12 + i32::from(to_month) - i32::from(from_month) + 1;
        match (count, from_month) {
            (count, 1) if count % 12 == 0 => Unit::Years,
            (6, 1 | 7) => Unit::Half,
            (3, 1 | 4 | 7 | 10) => Unit::Quarter,
            _ => Unit::Months,
        }
    }
}

/// The coarsest calendar unit that a period is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// One or more whole years.
    Years,
    /// One half-year.
    Half,
    /// One quarter.
    Quarter,
    /// One or more whole months.
    Months,
    /// Days.
    Days,
}

fn months(year: i16, first: i8, last: i8) -> Option<Period> {
    let start = Date::from_ymd(year, first, 1)?;
    let end = match last {
        12 => Date::from_ymd(year, 12, 31)?,
        _ => Date::from_ymd(year, last + 1, 1)?.plus_days(-1)?,
    };
    Some(Period { start, end })
}

fn parse_single(text: &str) -> Option<Period> {
    let bytes = text.as_bytes();
    let number = |range: std::ops::Range<usize>| -> Option<i16> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let year = number(0..4)?;
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
            let month = i8::try_from(number(5..7)?).ok()?;
            months(year, month, month)
        }
        (10, Some(b'-'), _) => {
            let day = Date::parse(text).ok()?;
            Some(Period { start: day, end: day })
        }
        _ => None,
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, _) = self.start.ymd();
        let (last_year, last_month, _) = self.end.ymd();
        match self.unit() {
            Unit::Years if year == last_year => write!(f, "{year:04}"),
            Unit::Years => write!(f, "{year:04}/{last_year:04}"),
            Unit::Half => write!(f, "{year:04}-S{}", month / 6 + 1),
            Unit::Quarter => write!(f, "{year:04}-Q{}", month / 3 + 1),
            Unit::Months if (year, month) == (last_year, last_month) => write!(f, "{year:04}-{month:02}"),
            Unit::Months => write!(f, "{year:04}-{month:02}/{last_year:04}-{last_month:02}"),
            Unit::Days if self.start == self.end => self.start.fmt(f),
            Unit::Days => write!(f, "{}/{}", self.start, self.end),
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
    fn periods_print_as_they_parse() {
        for text in [
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
        ] {
            assert_eq!(Period::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn one_span_is_one_period() {
        for (long, short) in [
            ("2024-01/2024-12", "2024"),
            ("2024-04/2024-06", "2024-Q2"),
            ("2024-Q1/2024-Q2", "2024-S1"),
            ("2024/2024", "2024"),
        ] {
            assert_eq!(Period::parse(long).unwrap(), Period::parse(short).unwrap());
            assert_eq!(Period::parse(long).unwrap().to_string(), short);
        }
    }

    #[test]
    fn slips_are_refused() {
        for bad in [
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
        ] {
            assert!(Period::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Any span of days prints to a text that parses to the same span, and key order is period order.
        #[test]
        fn text_and_key_agree_with_the_span(a in -719_162i32..2_932_896, b in 0i32..4_000, c in -719_162i32..2_932_896, d in 0i32..4_000) {
            let period = |start: i32, length: i32| {
                Period::from_days(Date::from_days(start).unwrap(), Date::from_days((start + length).min(2_932_896)).unwrap()).unwrap()
            };
            let (first, second) = (period(a, b), period(c, d));
            prop_assert_eq!(Period::parse(&first.to_string()).unwrap(), first);
            prop_assert_eq!(first.cmp(&second), first.sort_key().cmp(&second.sort_key()));
        }

        /// No text makes the parser panic, and what it takes it gives back in a form it takes again.
        #[test]
        fn any_text_is_refused_or_understood(text in "[0-9/QS-]{0,22}") {
            if let Ok(period) = Period::parse(&text) {
                prop_assert_eq!(Period::parse(&period.to_string()).unwrap(), period);
            }
        }
    }
}
