//! Versions of figures, packed into columns.
//!
//! The rows of one series look alike: the same commit, yearly periods, the same decimals. So each field is a column of
//! runs, and only the digits themselves take room: periods as steps of their unit, the few (revision, release date) pairs
//! once, numbers as integers with their decimals, each as the difference from the one before at a common scale, in a code
//! that takes little more than the bits of the difference. Used by the series blocks
//! of the view and by the pages of the ledger; the format is in
//! `docs/dev/store-format.md`.
//!
//! Invariant: any rows come back as they were, in their order, the text of every number included.

use super::{
    bytes::{Reader, corrupt, put_bytes, put_golomb, put_runs, put_signed, put_varint},
    error::Result,
};
use crate::model::{
    id::Revision,
    period::{Period, Unit},
    series::{FigureVersion, Statement},
    time::Date,
    value::{Figure, MissingReason, Notes, Number, Value},
};

/// Most rows packed together.
pub const VERSIONS_MAX: usize = 1 << 20;

/// Shapes of what a row states: the number of decimals of a plain number, or one of these. `SHAPE_SCALED` is a plain number
/// whose decimals follow from the common scale.
const SHAPE_SCALED: u8 = 31;
const SHAPE_TEXT: u8 = 32;
const SHAPE_MISSING: u8 = 33;
const SHAPE_NO_FIGURE: u8 = 34;
const SHAPE_RETRACTED: u8 = 35;
/// Added to a shape when notes follow.
const WITH_NOTES: u8 = 64;

/// Packs rows.
pub fn encode_versions(out: &mut Vec<u8>, rows: &[FigureVersion]) {
    put_varint(out, rows.len() as u64);
    put_periods(out, rows);
    put_vintages(out, rows);
    let plain: Vec<(i64, u8)> = rows.iter().filter_map(plain_number).collect();
    let common = CommonScale::of(&plain);
    let shapes: Vec<u8> = rows.iter().map(|row| shape(&row.statement, common.is_some())).collect();
    put_runs(out, &shapes, |out, shape| out.push(shape));
    if let Some(common) = common {
        out.extend_from_slice(&[common.decimals, common.decimals_min, common.zeros]);
    }
    let mut scale = Scale::default();
    let differences: Vec<u64> = plain
        .iter()
        .map(|(mantissa, decimals)| match common {
            Some(common) => scale.difference(common.raise(*mantissa, *decimals).unwrap_or(0), 0),
            None => scale.difference(*mantissa, *decimals),
        })
        .collect();
    if !differences.is_empty() {
        put_golomb(out, &differences);
    }
    rows.iter().filter_map(FigureVersion::value).for_each(|value| put_rest(out, value));
}

/// Unpacks rows.
pub fn decode_versions(reader: &mut Reader<'_>) -> Result<Vec<FigureVersion>> {
    decode_versions_up_to(reader, VERSIONS_MAX)
}

/// Unpacks rows where there are at most so many. A few bytes can say a million rows: this bounds the memory that takes.
pub fn decode_versions_up_to(reader: &mut Reader<'_>, limit: usize) -> Result<Vec<FigureVersion>> {
    let count = reader.count(limit)?;
    let periods = read_periods(reader, count)?;
    let vintages = read_vintages(reader, count)?;
    let shapes = reader.runs(count, Reader::byte)?;
    let plain = shapes.iter().filter(|shape| **shape & !WITH_NOTES < SHAPE_TEXT).count();
    let common = match shapes.iter().any(|shape| shape & !WITH_NOTES == SHAPE_SCALED) {
        true => Some(CommonScale { decimals: reader.byte()?, decimals_min: reader.byte()?, zeros: reader.byte()? }),
        false => None,
    };
    let mut differences = if plain > 0 { reader.golomb(plain)? } else { Vec::new() }.into_iter();
    let mut scale = Scale::default();
    let mut rows = Vec::with_capacity(count);
    for ((period, (revision, released)), shape) in periods.into_iter().zip(vintages).zip(shapes) {
        let statement = match shape {
            SHAPE_NO_FIGURE => Statement::NoFigure,
            SHAPE_RETRACTED => Statement::Retracted,
            _ => Statement::Figure(read_value(reader, shape, common, &mut scale, &mut differences)?),
        };
        rows.push(FigureVersion { period, revision, released, statement });
    }
    Ok(rows)
}

fn plain_number(row: &FigureVersion) -> Option<(i64, u8)> {
    match &row.value()?.figure {
        Figure::Number(Number::Decimal { mantissa, decimals }) => Some((*mantissa, *decimals)),
        _ => None,
    }
}

/// Numbers printed without idle zeros, but with at least so many decimals: at the scale of the longest, the zeros at the
/// end of each say how many decimals it has. Zeros that all of them end in are left out.
#[derive(Debug, Clone, Copy)]
struct CommonScale {
    decimals: u8,
    decimals_min: u8,
    zeros: u8,
}

impl CommonScale {
    /// The scale from which all numbers come back as they were, if there is one.
    fn of(plain: &[(i64, u8)]) -> Option<Self> {
        let decimals = plain.iter().map(|(_, decimals)| *decimals);
        let (decimals_max, decimals_min) = (decimals.clone().max()?, decimals.min()?);
        let mut common = Self { decimals: decimals_max, decimals_min, zeros: ZEROS_MAX };
        for (mantissa, decimals) in plain {
            let raised = mantissa.checked_mul(power_of_ten(common.decimals - decimals)?)?;
            while raised % power_of_ten(common.zeros)? != 0 {
                common.zeros -= 1;
            }
        }
        let comes_back = |(mantissa, decimals): &(i64, u8)| {
            let common_mantissa = common.raise(*mantissa, *decimals);
            common_mantissa.and_then(|raised| common.lower(raised)) == Some((*mantissa, *decimals))
        };
        plain.iter().all(comes_back).then_some(common)
    }

    fn raise(self, mantissa: i64, decimals: u8) -> Option<i64> {
        let raised = mantissa.checked_mul(power_of_ten(self.decimals.checked_sub(decimals)?)?)?;
        Some(raised / power_of_ten(self.zeros)?)
    }

    fn lower(self, mantissa: i64) -> Option<(i64, u8)> {
        let mut mantissa = mantissa.checked_mul(power_of_ten(self.zeros)?)?;
        let mut decimals = self.decimals;
        while decimals > self.decimals_min && mantissa % 10 == 0 {
            mantissa /= 10;
            decimals -= 1;
        }
        Some((mantissa, decimals))
    }
}

/// Most zeros left out.
const ZEROS_MAX: u8 = 15;

fn power_of_ten(exponent: u8) -> Option<i64> {
    10i64.checked_pow(u32::from(exponent))
}

/// The number before, to which the next is a difference: both at the decimals of the next.
#[derive(Debug, Default)]
struct Scale {
    mantissa: i64,
    decimals: u8,
}

impl Scale {
    fn base(&self, decimals: u8) -> i64 {
        let base = match decimals.checked_sub(self.decimals) {
            Some(more) => power_of_ten(more).and_then(|power| self.mantissa.checked_mul(power)),
            None => power_of_ten(self.decimals - decimals).map(|power| self.mantissa / power),
        };
        base.unwrap_or(0)
    }

    fn difference(&mut self, mantissa: i64, decimals: u8) -> u64 {
        let difference = mantissa.wrapping_sub(self.base(decimals));
        *self = Self { mantissa, decimals };
        ((difference << 1) ^ (difference >> 63)) as u64
    }

    fn mantissa(&mut self, difference: u64, decimals: u8) -> i64 {
        let difference = (difference >> 1) as i64 ^ -((difference & 1) as i64);
        let mantissa = self.base(decimals).wrapping_add(difference);
        *self = Self { mantissa, decimals };
        mantissa
    }
}

fn shape(statement: &Statement, scaled: bool) -> u8 {
    let value = match statement {
        Statement::Figure(value) => value,
        Statement::NoFigure => return SHAPE_NO_FIGURE,
        Statement::Retracted => return SHAPE_RETRACTED,
    };
    let figure = match &value.figure {
        Figure::Number(Number::Decimal { .. }) if scaled => SHAPE_SCALED,
        Figure::Number(Number::Decimal { decimals, .. }) => *decimals,
        Figure::Number(Number::Text(_)) => SHAPE_TEXT,
        Figure::Missing(_) => SHAPE_MISSING,
    };
    figure | if value.notes().is_some() { WITH_NOTES } else { 0 }
}

/// What is not in a column of its own.
fn put_rest(out: &mut Vec<u8>, value: &Value) {
    match &value.figure {
        Figure::Number(Number::Decimal { .. }) => {}
        Figure::Number(Number::Text(text)) => put_bytes(out, text.as_bytes()),
        Figure::Missing(reason) => out.push(match reason {
            MissingReason::NotCollected => 0,
            MissingReason::NotApplicable => 1,
            MissingReason::Suppressed => 2,
            MissingReason::NoMeasurement => 3,
        }),
    }
    if let Some(notes) = value.notes() {
        // Notes are rare and may grow: self-describing.
        put_bytes(out, &rmp_serde::to_vec_named(notes).unwrap_or_default());
    }
}

fn read_value(
    reader: &mut Reader<'_>,
    shape: u8,
    common: Option<CommonScale>,
    scale: &mut Scale,
    differences: &mut impl Iterator<Item = u64>,
) -> Result<Value> {
    let figure = match shape & !WITH_NOTES {
        SHAPE_TEXT => Figure::Number(Number::parse(reader.text()?).map_err(|_| corrupt("a number text that is none"))?),
        SHAPE_MISSING => Figure::Missing(match reader.byte()? {
            0 => MissingReason::NotCollected,
            1 => MissingReason::NotApplicable,
            2 => MissingReason::Suppressed,
            3 => MissingReason::NoMeasurement,
            _ => return Err(corrupt("an unknown reason for a missing figure")),
        }),
        SHAPE_SCALED => {
            let difference = differences.next().ok_or_else(|| corrupt("a number is missing"))?;
            let common = common.ok_or_else(|| corrupt("a number without its scale"))?;
            let lowered = common.lower(scale.mantissa(difference, 0));
            let (mantissa, decimals) = lowered.ok_or_else(|| corrupt("a number above its range"))?;
            Figure::Number(Number::Decimal { mantissa, decimals })
        }
        decimals @ 0..SHAPE_SCALED => {
            let difference = differences.next().ok_or_else(|| corrupt("a number is missing"))?;
            let mantissa = scale.mantissa(difference, decimals);
            Figure::Number(Number::Decimal { mantissa, decimals })
        }
        _ => return Err(corrupt("an unknown shape of a value")),
    };
    let notes = match shape & WITH_NOTES {
        0 => Notes::default(),
        _ => rmp_serde::from_slice(reader.bytes()?).map_err(|_| corrupt("notes of a figure"))?,
    };
    Ok(Value::new(figure, notes))
}

/// A (unit, position) pair: periods of one unit are steps apart. Spans that are not one unit long are (days, start) with
/// their length.
fn place(period: Period) -> (u8, i64, i64) {
    if let Some(year) = whole_year(period) {
        return (0, year, 0);
    }
    let (year, month, _) = period.start().ymd();
    let (year, month) = (i64::from(year), i64::from(month) - 1);
    let one_year = period.end().ymd().0 == period.start().ymd().0;
    match period.unit() {
        Unit::Half => (1, year * 2 + month / 6, 0),
        Unit::Quarter => (2, year * 4 + month / 3, 0),
        Unit::Months if one_year && period.end().ymd().1 == period.start().ymd().1 => (3, year * 12 + month, 0),
        _ => (4, i64::from(period.start().days()), i64::from(period.end().days()) - i64::from(period.start().days())),
    }
}

/// The year that a period is, if it is one: most are, and this is quicker than the calendar.
fn whole_year(period: Period) -> Option<i64> {
    let (start, end) = (i64::from(period.start().days()), i64::from(period.end().days()));
    // Near enough: 400 years are 146,097 days. New year of the next year is the day after the end.
    let year = (end + DAYS_BEFORE_1970) * 400 / 146_097 + 1;
    let found = [year - 1, year, year + 1].into_iter().find(|year| *year >= 1 && new_year(*year) == start)?;
    (new_year(found + 1) - 1 == end).then_some(found)
}

/// Days from the first of January of the year 1 to that of 1970.
const DAYS_BEFORE_1970: i64 = 719_162;

/// The first of January of a year from 1 on, in days from 1970.
fn new_year(year: i64) -> i64 {
    let years = year - 1;
    years * 365 + years / 4 - years / 100 + years / 400 - DAYS_BEFORE_1970
}

fn period_at(unit: u8, position: i64, length: i64) -> Option<Period> {
    let months = |per_year: i64| -> Option<Period> {
        let (year, part) = (position.div_euclid(per_year), position.rem_euclid(per_year));
        let span = i8::try_from(12 / per_year).ok()?;
        let first = i8::try_from(part).ok()? * span + 1;
        let start = Date::from_ymd(i16::try_from(year).ok()?, first, 1)?;
        let end = match first + span {
            13 => Date::from_ymd(i16::try_from(year).ok()?, 12, 31)?,
            next => Date::from_ymd(i16::try_from(year).ok()?, next, 1)?.plus_days(-1)?,
        };
        Period::from_days(start, end)
    };
    match unit {
        0 => {
            let year = Some(position).filter(|year| (1..=9999).contains(year))?;
            let day = |days: i64| Date::from_days(i32::try_from(days).ok()?);
            Period::from_days(day(new_year(year))?, day(new_year(year + 1) - 1)?)
        }
        1 => months(2),
        2 => months(4),
        3 => months(12),
        4 => {
            let start = Date::from_days(i32::try_from(position).ok()?)?;
            Period::from_days(start, start.plus_days(i32::try_from(length).ok()?)?)
        }
        _ => None,
    }
}

fn put_periods(out: &mut Vec<u8>, rows: &[FigureVersion]) {
    let places: Vec<_> = rows.iter().map(|row| place(row.period)).collect();
    let mut previous = (0, 0);
    // A run is (unit, step, length): 50 years in a row are two runs.
    let steps: Vec<_> = places
        .iter()
        .map(|&(unit, position, length)| {
            let base = if previous.0 == unit { previous.1 } else { 0 };
            previous = (unit, position);
            (unit, position - base, length)
        })
        .collect();
    put_runs(out, &steps, |out, (unit, step, length)| {
        out.push(unit);
        put_signed(out, step);
        if unit == 4 {
            put_signed(out, length);
        }
    });
}

fn read_periods(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Period>> {
    let steps = reader.runs(count, |reader| {
        let unit = reader.byte()?;
        let step = reader.signed()?;
        Ok((unit, step, if unit == 4 { reader.signed()? } else { 0 }))
    })?;
    let mut previous = (0, 0i64);
    steps
        .into_iter()
        .map(|(unit, step, length)| {
            let base = if previous.0 == unit { previous.1 } else { 0 };
            let position = base.wrapping_add(step);
            previous = (unit, position);
            period_at(unit, position, length).ok_or_else(|| corrupt("a period outside the calendar"))
        })
        .collect()
}

fn put_vintages(out: &mut Vec<u8>, rows: &[FigureVersion]) {
    let mut known: Vec<(Revision, Date)> = Vec::new();
    let numbers: Vec<usize> = rows
        .iter()
        .map(|row| {
            let vintage = (row.revision, row.released);
            known.iter().position(|other| *other == vintage).unwrap_or_else(|| {
                known.push(vintage);
                known.len() - 1
            })
        })
        .collect();
    put_varint(out, known.len() as u64);
    let mut previous = (0u64, 0i64);
    for (revision, released) in &known {
        put_signed(out, revision.0.wrapping_sub(previous.0) as i64);
        put_signed(out, i64::from(released.days()) - previous.1);
        previous = (revision.0, i64::from(released.days()));
    }
    if known.len() > 1 {
        put_runs(out, &numbers, |out, number| put_varint(out, number as u64));
    }
}

fn read_vintages(reader: &mut Reader<'_>, count: usize) -> Result<Vec<(Revision, Date)>> {
    let distinct = reader.count(count)?;
    let mut known = Vec::with_capacity(distinct);
    let mut previous = (0u64, 0i64);
    for _ in 0..distinct {
        previous = (previous.0.wrapping_add(reader.signed()? as u64), previous.1.wrapping_add(reader.signed()?));
        let released = i32::try_from(previous.1).ok().and_then(Date::from_days);
        known.push((Revision(previous.0), released.ok_or_else(|| corrupt("a release date outside the calendar"))?));
    }
    if let [only] = known[..] {
        return Ok(vec![only; count]);
    }
    reader.runs(count, |reader| {
        let number = reader.varint()?;
        usize::try_from(number)
            .ok()
            .and_then(|number| known.get(number).copied())
            .ok_or_else(|| corrupt("an unknown vintage"))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::value::{Qualifier, Status};

    pub(crate) fn any_period() -> impl Strategy<Value = Period> {
        prop_oneof![
            6 => (1950i16..2030).prop_map(|year| Period::year(year).unwrap()),
            1 => "20[0-3][0-9]-(S[12]|Q[1-4]|0[1-9]|1[0-2])".prop_map(|text| Period::parse(&text).unwrap()),
            1 => (-719_162i32..2_932_000, 0i32..800).prop_map(|(start, length)| {
                Period::from_days(Date::from_days(start).unwrap(), Date::from_days(start + length).unwrap()).unwrap()
            }),
        ]
    }

    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            5 => (any::<i32>(), 0u8..6).prop_map(|(mantissa, decimals)| Number::Decimal { mantissa: mantissa.into(), decimals }),
            2 => "-?(0|[1-9][0-9]{0,3})\\.[0-9]{12,17}".prop_map(|text| Number::parse(&text).unwrap()),
            1 => "[1-9]\\.[0-9]{1,16}[eE]-[0-9]{2}".prop_map(|text| Number::parse(&text).unwrap()),
        ];
        let notes = prop_oneof![
            8 => Just(Notes::default()),
            1 => (-30i8..=30, "[a-zé]{0,9}").prop_map(|(multiplier, comment)| Notes { multiplier, comment, ..Notes::default() }),
            1 => Just(Notes { qualifier: Qualifier::RangeTo(Number::parse("7.50").unwrap()), status: Status::Provisional, ..Notes::default() }),
        ];
        prop_oneof![
            9 => (number, notes).prop_map(|(number, notes)| Value::new(Figure::Number(number), notes)),
            1 => Just(Value::new(Figure::Missing(MissingReason::Suppressed), Notes::default())),
        ]
    }

    pub(crate) fn any_statement() -> impl Strategy<Value = Statement> {
        prop_oneof![
            18 => any_value().prop_map(Statement::Figure),
            1 => Just(Statement::NoFigure),
            1 => Just(Statement::Retracted),
        ]
    }

    pub(crate) fn any_version() -> impl Strategy<Value = FigureVersion> {
        (any_period(), 1u64..6, 10_000i32..10_004, any_statement()).prop_map(
            |(period, revision, released, statement)| FigureVersion {
                period,
                revision: Revision(revision),
                released: Date::from_days(released).unwrap(),
                statement,
            },
        )
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(rows in proptest::collection::vec(any_version(), 0..80)) {
            let mut out = Vec::new();
            encode_versions(&mut out, &rows);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(decode_versions(&mut reader).unwrap(), rows);
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn damaged_rows_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_versions(&mut Reader::new(&bytes));
        }
    }

    #[test]
    fn a_yearly_series_of_one_vintage_takes_little_more_than_its_digits() {
        let rows: Vec<FigureVersion> = (1960..2014)
            .map(|year| FigureVersion {
                period: Period::year(year).unwrap(),
                revision: Revision(3),
                released: Date::parse("2013-12-21").unwrap(),
                statement: Statement::Figure(Value::number(Number::Decimal {
                    mantissa: 1_000 + i64::from(year % 7),
                    decimals: 1,
                })),
            })
            .collect();
        let mut out = Vec::new();
        encode_versions(&mut out, &rows);
        assert!(out.len() <= 54 + 24, "{} bytes for 54 figures of one byte each", out.len());
    }
}
