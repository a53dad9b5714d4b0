//! Dates, periods, instants and durations.

use std::{ops::RangeInclusive, time::Duration};

use super::error::{FieldError, Problem};
use crate::model::{
    period::Period,
    time::{Date, Instant},
};

/// Most nanoseconds beside whole seconds.
const NANOS_MAX: i32 = 999_999_999;
/// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, in seconds since 1970.
const TIMESTAMP_SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Reads a day: `YYYY-MM-DD`.
pub fn date(field: &str, text: &str) -> Result<Date, FieldError> {
    Date::parse(text).map_err(|error| FieldError::new(field, error))
}

/// Reads a day that may be left out: `None` for an empty text.
pub fn optional_date(field: &str, text: &str) -> Result<Option<Date>, FieldError> {
    if text.is_empty() { Ok(None) } else { date(field, text).map(Some) }
}

/// Reads a period in SDMX form.
pub fn period(field: &str, text: &str) -> Result<Period, FieldError> {
    Period::parse(text).map_err(|error| FieldError::new(field, error))
}

/// Reads a period that may be left out: `None` for an empty text.
pub fn optional_period(field: &str, text: &str) -> Result<Option<Period>, FieldError> {
    if text.is_empty() { Ok(None) } else { period(field, text).map(Some) }
}

/// Reads an instant of the years 1 to 9999, to the microsecond that it lies in.
pub fn instant(field: &str, timestamp: &prost_types::Timestamp) -> Result<Instant, FieldError> {
    if !TIMESTAMP_SECONDS.contains(&timestamp.seconds) {
        return Err(FieldError::new(format!("{field}.seconds"), Problem::OutsideCalendar));
    }
    // Rounded down: the instant a nanosecond later is not before this microsecond.
    let micros = check_nanos(field, timestamp.nanos)? / 1_000;
    Ok(Instant(timestamp.seconds * 1_000_000 + i64::from(micros)))
}

/// Reads a duration within bounds, both included.
pub fn duration(
    field: &str,
    message: &prost_types::Duration,
    bounds: &RangeInclusive<Duration>,
) -> Result<Duration, FieldError> {
    if let Ok(seconds) = u64::try_from(message.seconds) {
        let duration = Duration::new(seconds, check_nanos(field, message.nanos)?);
        if bounds.contains(&duration) {
            return Ok(duration);
        }
    }
    Err(FieldError::new(field, Problem::DurationOutOfRange(bounds.clone())))
}

fn check_nanos(field: &str, nanos: i32) -> Result<u32, FieldError> {
    match u32::try_from(nanos) {
        Ok(checked) if nanos <= NANOS_MAX => Ok(checked),
        _ => Err(FieldError::new(format!("{field}.nanos"), Problem::OutOfRange(0..=NANOS_MAX))),
    }
}

impl From<Instant> for prost_types::Timestamp {
    fn from(instant: Instant) -> Self {
        let micros = instant.0.rem_euclid(1_000_000);
        Self { seconds: instant.0.div_euclid(1_000_000), nanos: i32::try_from(micros * 1_000).unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_outside_the_calendar_or_with_odd_nanoseconds_are_refused() {
        let first = *TIMESTAMP_SECONDS.start();
        let last = *TIMESTAMP_SECONDS.end();
        let cases = [
            (0, -5, Err("at.nanos")),
            (0, 1_000_000_000, Err("at.nanos")),
            (0, 2_000_000_000, Err("at.nanos")),
            (first - 1, 0, Err("at.seconds")),
            (last + 1, 0, Err("at.seconds")),
            (i64::MIN, 0, Err("at.seconds")),
            (0, 999_999_999, Ok(999_999)),
            (-1, 999_999_999, Ok(-1)),
            (first, 0, Ok(first * 1_000_000)),
            (last, 0, Ok(last * 1_000_000)),
        ];
        for (seconds, nanos, expected) in cases {
            let read = instant("at", &prost_types::Timestamp { seconds, nanos });
            let read = read.map(|instant| instant.0).map_err(|error| error.field);
            assert_eq!(read, expected.map_err(str::to_owned), "{seconds} s {nanos} ns");
        }
    }

    #[test]
    fn instants_come_back() {
        for micros in [0, 1, -1, 1_700_000_000_123_456, -62_135_596_800_000_000] {
            let timestamp = prost_types::Timestamp::from(Instant(micros));
            assert_eq!(instant("at", &timestamp), Ok(Instant(micros)));
        }
    }

    #[test]
    fn durations_out_of_bounds_or_with_odd_nanoseconds_are_refused() {
        let bounds = Duration::from_millis(100)..=Duration::from_secs(20);
        let cases = [
            (0, 99_999_999, Err("every")),
            (20, 1, Err("every")),
            (-1, 0, Err("every")),
            (1, -5, Err("every.nanos")),
            (0, 2_000_000_000, Err("every.nanos")),
            (0, 100_000_000, Ok(Duration::from_millis(100))),
            (20, 0, Ok(Duration::from_secs(20))),
        ];
        for (seconds, nanos, expected) in cases {
            let read = duration("every", &prost_types::Duration { seconds, nanos }, &bounds);
            assert_eq!(read.map_err(|error| error.field), expected.map_err(str::to_owned), "{seconds} s {nanos} ns");
        }
    }
}
