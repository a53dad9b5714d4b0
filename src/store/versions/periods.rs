//! The column of periods: each is a step from the one before of the same unit.
//!
//! Invariant: every period comes back as it was. A damaged column is an error, never a period outside the calendar.

use std::ops::Range;

use super::super::{
    StoreError,
    bytes::{Reader, corrupt, put_runs, put_signed},
    error::Result,
};
use crate::model::{
    period::{Period, PeriodUnit},
    time::Date,
};

/// Units of periods on disk.
const UNIT_YEAR: u8 = 0;
const UNIT_HALF: u8 = 1;
const UNIT_QUARTER: u8 = 2;
const UNIT_MONTH: u8 = 3;
const UNIT_DAYS: u8 = 4;

/// A period as (unit, position, length). The next period of a unit has the next position; the length is 0. Periods that
/// are not one year, half-year, quarter or month are `UNIT_DAYS`, the first day, and the days from the first to the last.
fn place(period: Period) -> (u8, i64, i64) {
    if let Some(year) = whole_year(period) {
        return (UNIT_YEAR, year, 0);
    }
    let (start_year, start_month, _) = period.start().ymd();
    let (end_year, end_month, _) = period.end().ymd();
    let year = i64::from(start_year);
    let month = i64::from(start_month) - 1;
    match period.unit() {
        PeriodUnit::HalfYear => (UNIT_HALF, year * 2 + month / 6, 0),
        PeriodUnit::Quarter => (UNIT_QUARTER, year * 4 + month / 3, 0),
        PeriodUnit::Months if (start_year, start_month) == (end_year, end_month) => (UNIT_MONTH, year * 12 + month, 0),
        _ => {
            let start = i64::from(period.start().days());
            (UNIT_DAYS, start, i64::from(period.end().days()) - start)
        }
    }
}

/// The year that a period is; `None` if it is not one year. Most periods are, and this is faster than the calendar.
fn whole_year(period: Period) -> Option<i64> {
    let start = i64::from(period.start().days());
    let end = i64::from(period.end().days());
    // 400 years have 146,097 days; the estimate is at most one year off.
    let estimate = (end + DAYS_BEFORE_1970) * 400 / 146_097 + 1;
    let candidates = [estimate - 1, estimate, estimate + 1];
    let year = candidates.into_iter().find(|year| *year >= 1 && new_year(*year) == start)?;
    (new_year(year + 1) - 1 == end).then_some(year)
}

/// Days from the first of January of the year 1 to that of 1970.
const DAYS_BEFORE_1970: i64 = 719_162;

/// The first of January of a year from 1 on, in days from 1970.
fn new_year(year: i64) -> i64 {
    let years = year - 1;
    years * 365 + years / 4 - years / 100 + years / 400 - DAYS_BEFORE_1970
}

/// The inverse of [`place`]; `None` outside the calendar.
fn period_at(unit: u8, position: i64, length: i64) -> Option<Period> {
    match unit {
        UNIT_YEAR => {
            let year = Some(position).filter(|year| (1..=9999).contains(year))?;
            let start = Date::from_days(i32::try_from(new_year(year)).ok()?)?;
            let end = Date::from_days(i32::try_from(new_year(year + 1) - 1).ok()?)?;
            Period::from_days(start, end)
        }
        UNIT_HALF => part_of_year(position, 2),
        UNIT_QUARTER => part_of_year(position, 4),
        UNIT_MONTH => part_of_year(position, 12),
        UNIT_DAYS => {
            let start = Date::from_days(i32::try_from(position).ok()?)?;
            Period::from_days(start, start.plus_days(i32::try_from(length).ok()?)?)
        }
        _ => None,
    }
}

/// The period at a position among those that are so many a year.
fn part_of_year(position: i64, per_year: i64) -> Option<Period> {
    let year = i16::try_from(position.div_euclid(per_year)).ok()?;
    let months = i8::try_from(12 / per_year).ok()?;
    let first_month = i8::try_from(position.rem_euclid(per_year)).ok()? * months + 1;
    let start = Date::from_ymd(year, first_month, 1)?;
    let end = match first_month + months {
        13 => Date::from_ymd(year, 12, 31)?,
        next => Date::from_ymd(year, next, 1)?.plus_days(-1)?,
    };
    Period::from_days(start, end)
}

/// Where a column of periods is: the position of the last one, from which the next of the same unit is a step.
#[derive(Default)]
struct PeriodSteps {
    unit: u8,
    position: i64,
}

impl PeriodSteps {
    fn base(&self, unit: u8) -> i64 {
        if self.unit == unit { self.position } else { 0 }
    }

    fn step(&mut self, unit: u8, position: i64) -> i64 {
        let step = position - self.base(unit);
        *self = Self { unit, position };
        step
    }

    fn position(&mut self, unit: u8, step: i64) -> i64 {
        let position = self.base(unit).wrapping_add(step);
        *self = Self { unit, position };
        position
    }
}

/// Appends the periods of versions.
pub(super) fn put_periods(out: &mut Vec<u8>, periods: impl ExactSizeIterator<Item = Period>) {
    let mut steps = PeriodSteps::default();
    // A run is (unit, step, length): 50 years in a row are two runs.
    let mut column = Vec::with_capacity(periods.len());
    for period in periods {
        let (unit, position, length) = place(period);
        column.push((unit, steps.step(unit, position), length));
    }
    put_runs(out, &column, |out, (unit, step, length)| {
        out.push(unit);
        put_signed(out, step);
        if unit == UNIT_DAYS {
            put_signed(out, length);
        }
    });
}

/// Where in a column of so many versions, sorted by period, those of one period are. An empty range: nowhere. It passes the
/// whole column.
pub(super) fn find_period(reader: &mut Reader<'_>, count: usize, period: Period) -> Result<Range<usize>> {
    let wanted = place(period);
    let mut passed = 0;
    let mut found = 0..0;
    visit_period_runs(reader, count, |run| {
        let within = run.position_of(wanted);
        if !within.is_empty() {
            let first = if found.is_empty() { passed + within.start } else { found.start };
            found = first..passed + within.end;
        }
        passed += run.repeat;
    })?;
    Ok(found)
}

/// The last day and the first day of the latest period of a column of so many versions. `None`: the
/// column is empty. It passes the whole column.
pub(super) fn latest_period(reader: &mut Reader<'_>, count: usize) -> Result<Option<(Date, Date)>> {
    let mut latest = None;
    let mut is_damaged = false;
    visit_period_runs(reader, count, |run| {
        // The periods of a run have one length, so the latest is the first or the last.
        for number in [1, run.repeat] {
            match run.period(number) {
                Some(period) => latest = latest.max(Some((period.end(), period.start()))),
                None => is_damaged = true,
            }
        }
    })?;
    if is_damaged { Err(outside_calendar()) } else { Ok(latest) }
}

/// The periods of a column of so many versions, sorted by period, that are there at least so many times more than once. It
/// passes the whole column.
pub(super) fn repeated_periods(reader: &mut Reader<'_>, count: usize, repeats_min: usize) -> Result<Vec<Period>> {
    let mut repeated = Vec::new();
    let mut is_damaged = false;
    visit_period_runs(reader, count, |run| {
        if run.step == 0 && run.repeat >= repeats_min {
            repeated.extend(run.period(1));
            is_damaged |= run.period(1).is_none();
        }
    })?;
    if is_damaged { Err(outside_calendar()) } else { Ok(repeated) }
}

/// Periods of one unit and length, each a step from the one before.
struct PeriodRun {
    unit: u8,
    /// The position from which the first one is a step.
    base: i64,
    step: i64,
    length: i64,
    repeat: usize,
}

impl PeriodRun {
    /// The period of this number, from 1 on; `None` outside the calendar.
    fn period(&self, number: usize) -> Option<Period> {
        let position = self.base.wrapping_add(self.step.wrapping_mul(i64::try_from(number).ok()?));
        period_at(self.unit, position, self.length)
    }

    /// Where in the run a place is, counted from 0; an empty range if it is not in it.
    fn position_of(&self, (unit, position, length): (u8, i64, i64)) -> Range<usize> {
        let distance = position.wrapping_sub(self.base);
        if (unit, length) != (self.unit, self.length) {
            return 0..0;
        }
        if self.step == 0 {
            return if distance == 0 { 0..self.repeat } else { 0..0 };
        }
        match (distance.checked_rem(self.step), distance.checked_div(self.step).map(usize::try_from)) {
            (Some(0), Some(Ok(number))) if (1..=self.repeat).contains(&number) => number - 1..number,
            _ => 0..0,
        }
    }
}

fn visit_period_runs(reader: &mut Reader<'_>, count: usize, mut visit: impl FnMut(PeriodRun)) -> Result<()> {
    let mut steps = PeriodSteps::default();
    reader.visit_runs(count, read_step, |(unit, step, length), repeat| {
        let run = PeriodRun { unit, base: steps.base(unit), step, length, repeat };
        let passed = step.wrapping_mul(i64::try_from(repeat).unwrap_or(i64::MAX));
        steps = PeriodSteps { unit, position: run.base.wrapping_add(passed) };
        visit(run);
    })
}

/// Reads a step: unit, step and length.
fn read_step(reader: &mut Reader<'_>) -> Result<(u8, i64, i64)> {
    let unit = reader.byte()?;
    let step = reader.signed()?;
    let length = if unit == UNIT_DAYS { reader.signed()? } else { 0 };
    Ok((unit, step, length))
}

fn outside_calendar() -> StoreError {
    corrupt("a period outside the calendar")
}

/// Reads the periods of so many versions.
pub(super) fn read_periods(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Period>> {
    let column = reader.runs(count, read_step)?;
    let mut steps = PeriodSteps::default();
    let mut periods = Vec::with_capacity(count);
    for (unit, step, length) in column {
        let period = period_at(unit, steps.position(unit, step), length);
        periods.push(period.ok_or_else(outside_calendar)?);
    }
    Ok(periods)
}
