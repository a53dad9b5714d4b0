//! Versions of figures, encoded in columns, for the series blocks of the view, the pages of the ledger and uploads.
//! `docs/dev/store-format.md` describes the encoding byte by byte.
//!
//! The versions of one series are much alike: of the same commit, with yearly periods and the same decimals. So each field
//! is a column of runs, and little more than the digits takes room. Periods are steps of their unit. The few pairs of
//! revision and release date (vintages) are listed once. Numbers are integers with their decimals: each is the difference
//! from the one before, at a common scale, in a code that takes little more than the bits of the difference.
//!
//! Invariant: any versions come back as they were, in their order, with the text of every number.

use super::{
    bytes::{Reader, corrupt, put_bytes, put_golomb, put_runs, put_signed, put_varint},
    error::Result,
};
use crate::model::{
    id::Revision,
    period::Period,
    series::{FigureVersion, Statement},
    time::Date,
    value::{Figure, MissingReason, Notes, Number, Value},
};

mod part;
mod periods;

pub use part::{decode_period, latest_period, repeated_periods};
use periods::{put_periods, read_periods};

/// Most versions that are encoded together.
pub const VERSIONS_MAX: usize = 1 << 20;

/// The shape of a statement is the number of decimals of a plain number, or one of these. `SHAPE_SCALED` is a plain number
/// whose decimals follow from the common scale.
const SHAPE_SCALED: u8 = 31;
const SHAPE_TEXT: u8 = 32;
const SHAPE_MISSING: u8 = 33;
const SHAPE_NO_FIGURE: u8 = 34;
const SHAPE_RETRACTED: u8 = 35;
/// Added to a shape if notes follow.
const WITH_NOTES: u8 = 64;

/// Every reason, to find the one of a byte by [`missing_code`].
const MISSING_REASONS: [MissingReason; 4] = [
    MissingReason::NotCollected,
    MissingReason::NotApplicable,
    MissingReason::Suppressed,
    MissingReason::NoMeasurement,
];

/// The byte of a missing reason. A match, so that a new reason does not compile without a byte.
fn missing_code(reason: MissingReason) -> u8 {
    match reason {
        MissingReason::NotCollected => 0,
        MissingReason::NotApplicable => 1,
        MissingReason::Suppressed => 2,
        MissingReason::NoMeasurement => 3,
    }
}

/// Appends versions, at most [`VERSIONS_MAX`].
pub fn encode_versions(out: &mut Vec<u8>, versions: &[FigureVersion]) {
    put_varint(out, versions.len() as u64);
    put_periods(out, versions.iter().map(|version| version.period));
    put_vintages(out, versions);
    put_statements(out, versions.iter().map(|version| Stated::from(&version.statement)));
}

/// Versions of one commit and release, encoded before the commit has a revision: [`encode_versions`] but for the vintages.
///
/// Invariant: [`OpenVersions::close`] gives what [`encode_versions`] gives for the same versions.
#[derive(Debug)]
pub struct OpenVersions<'a> {
    /// The periods, with their count.
    head: &'a [u8],
    statements: &'a [u8],
}

impl<'a> OpenVersions<'a> {
    /// Appends points, at most [`VERSIONS_MAX`]. [`OpenVersions::read`] reads them.
    pub fn encode(out: &mut Vec<u8>, points: &[(Period, Option<Value>)]) {
        let mut head = Vec::new();
        put_varint(&mut head, points.len() as u64);
        put_periods(&mut head, points.iter().map(|(period, _)| *period));
        put_bytes(out, &head);
        let mut statements = Vec::with_capacity(8 + 6 * points.len());
        put_statements(&mut statements, points.iter().map(|(_, value)| Stated::from(value.as_ref())));
        put_bytes(out, &statements);
    }

    /// Reads what [`OpenVersions::encode`] wrote, without decoding it.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self> {
        Ok(Self { head: reader.bytes()?, statements: reader.bytes()? })
    }

    /// At most so many bytes come of [`OpenVersions::close`].
    pub fn len_max(&self) -> usize {
        // Three numbers, the longest of ten bytes.
        self.head.len() + self.statements.len() + 16
    }

    /// Appends the versions with their vintage, as [`encode_versions`] does.
    pub fn close(&self, out: &mut Vec<u8>, revision: Revision, released: Date) {
        out.extend_from_slice(self.head);
        put_varint(out, 1);
        put_signed(out, revision.0 as i64);
        put_signed(out, i64::from(released.days()));
        out.extend_from_slice(self.statements);
    }

    /// The points, in the order in which they were encoded.
    pub fn points(&self) -> Result<Vec<(Period, Option<Value>)>> {
        let mut head = Reader::new(self.head);
        let count = head.count(VERSIONS_MAX)?;
        let periods = read_periods(&mut head, count)?;
        let statements = read_statements(&mut Reader::new(self.statements), count)?;
        let values = statements.into_iter().map(Statement::into_value);
        Ok(periods.into_iter().zip(values).collect())
    }
}

/// A statement to be encoded.
#[derive(Clone, Copy)]
enum Stated<'a> {
    Figure(&'a Value),
    NoFigure,
    Retracted,
}

impl<'a> From<&'a Statement> for Stated<'a> {
    fn from(statement: &'a Statement) -> Self {
        match statement {
            Statement::Figure(value) => Self::Figure(value),
            Statement::NoFigure => Self::NoFigure,
            Statement::Retracted => Self::Retracted,
        }
    }
}

impl<'a> From<Option<&'a Value>> for Stated<'a> {
    fn from(value: Option<&'a Value>) -> Self {
        value.map_or(Self::NoFigure, Self::Figure)
    }
}

impl<'a> Stated<'a> {
    fn value(self) -> Option<&'a Value> {
        match self {
            Self::Figure(value) => Some(value),
            Self::NoFigure | Self::Retracted => None,
        }
    }
}

fn put_statements<'a>(out: &mut Vec<u8>, statements: impl Iterator<Item = Stated<'a>> + Clone) {
    let plain: Vec<(i64, u8)> = statements.clone().filter_map(plain_number).collect();
    let common = CommonScale::of(&plain);
    let shapes: Vec<u8> = statements.clone().map(|statement| shape(statement, common.is_some())).collect();
    put_runs(out, &shapes, |out, shape| out.push(shape));
    if let Some(common) = common {
        out.extend_from_slice(&[common.decimals, common.decimals_min, common.zeros]);
    }
    let mut previous = PreviousNumber::default();
    let mut differences = Vec::with_capacity(plain.len());
    for (mantissa, decimals) in plain {
        differences.push(match common {
            Some(common) => previous.difference(common.raise(mantissa, decimals).unwrap_or(0), 0),
            None => previous.difference(mantissa, decimals),
        });
    }
    if !differences.is_empty() {
        put_golomb(out, &differences);
    }
    for value in statements.filter_map(Stated::value) {
        put_rest(out, value);
    }
}

/// Reads what [`encode_versions`] wrote.
pub fn decode_versions(reader: &mut Reader<'_>) -> Result<Vec<FigureVersion>> {
    decode_versions_up_to(reader, VERSIONS_MAX)
}

/// Reads what [`encode_versions`] wrote; more than `limit` versions are refused. A few bytes can stand for a million
/// versions, so the limit bounds the memory that damaged bytes can take.
pub fn decode_versions_up_to(reader: &mut Reader<'_>, limit: usize) -> Result<Vec<FigureVersion>> {
    let count = reader.count(limit)?;
    let periods = read_periods(reader, count)?;
    let vintages = read_vintages(reader, count)?;
    let statements = read_statements(reader, count)?;
    let mut versions = Vec::with_capacity(count);
    for ((period, (revision, released)), statement) in periods.into_iter().zip(vintages).zip(statements) {
        versions.push(FigureVersion { period, revision, released, statement });
    }
    Ok(versions)
}

fn read_statements(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Statement>> {
    let shapes = reader.runs(count, Reader::byte)?;
    let plain = shapes.iter().filter(|shape| **shape & !WITH_NOTES < SHAPE_TEXT).count();
    let common = match shapes.iter().any(|shape| shape & !WITH_NOTES == SHAPE_SCALED) {
        true => Some(CommonScale { decimals: reader.byte()?, decimals_min: reader.byte()?, zeros: reader.byte()? }),
        false => None,
    };
    let mut differences = if plain > 0 { reader.golomb(plain)? } else { Vec::new() }.into_iter();
    let mut previous = PreviousNumber::default();
    let mut statements = Vec::with_capacity(count);
    for shape in shapes {
        statements.push(match shape {
            SHAPE_NO_FIGURE => Statement::NoFigure,
            SHAPE_RETRACTED => Statement::Retracted,
            _ => Statement::Figure(read_value(reader, shape, common, &mut previous, &mut differences)?),
        });
    }
    Ok(statements)
}

/// Mantissa and decimals of a [`Number::Decimal`]; `None` for any other statement.
fn plain_number(statement: Stated<'_>) -> Option<(i64, u8)> {
    match &statement.value()?.figure {
        Figure::Number(Number::Decimal { mantissa, decimals }) => Some((*mantissa, *decimals)),
        _ => None,
    }
}

/// A scale for numbers that are printed without needless zeros at the end, but with at least so many decimals. At the
/// decimals of the longest number, the zeros at the end of each tell its own decimals. Zeros at the end of all numbers are
/// left out.
#[derive(Debug, Clone, Copy)]
struct CommonScale {
    /// Most decimals of a number.
    decimals: u8,
    decimals_min: u8,
    /// Zeros that are left out, at most [`ZEROS_MAX`].
    zeros: u8,
}

impl CommonScale {
    /// The scale of numbers (mantissa, decimals); `None` if some of them would not come back from it as they were.
    fn of(plain: &[(i64, u8)]) -> Option<Self> {
        let decimals_max = plain.iter().map(|(_, decimals)| *decimals).max()?;
        let decimals_min = plain.iter().map(|(_, decimals)| *decimals).min()?;
        let mut common = Self { decimals: decimals_max, decimals_min, zeros: ZEROS_MAX };
        for (mantissa, decimals) in plain {
            let raised = mantissa.checked_mul(power_of_ten(common.decimals - decimals)?)?;
            while raised % power_of_ten(common.zeros)? != 0 {
                common.zeros -= 1;
            }
        }
        for (mantissa, decimals) in plain {
            let raised = common.raise(*mantissa, *decimals)?;
            if common.lower(raised)? != (*mantissa, *decimals) {
                return None;
            }
        }
        Some(common)
    }

    /// The mantissa of a number at this scale; `None` if an `i64` does not hold it.
    fn raise(self, mantissa: i64, decimals: u8) -> Option<i64> {
        let raised = mantissa.checked_mul(power_of_ten(self.decimals.checked_sub(decimals)?)?)?;
        Some(raised / power_of_ten(self.zeros)?)
    }

    /// The number (mantissa, decimals) of a mantissa at this scale; `None` if an `i64` does not hold it.
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

const ZEROS_MAX: u8 = 15;

fn power_of_ten(exponent: u8) -> Option<i64> {
    10i64.checked_pow(u32::from(exponent))
}

/// The number from which the next one is a difference, at the decimals of the next one.
#[derive(Debug, Default)]
struct PreviousNumber {
    mantissa: i64,
    decimals: u8,
}

impl PreviousNumber {
    /// The mantissa at other decimals; 0 if an `i64` does not hold it.
    fn base(&self, decimals: u8) -> i64 {
        let base = match decimals.checked_sub(self.decimals) {
            Some(more) => power_of_ten(more).and_then(|power| self.mantissa.checked_mul(power)),
            None => power_of_ten(self.decimals - decimals).map(|power| self.mantissa / power),
        };
        base.unwrap_or(0)
    }

    /// The zigzag form of the difference of the next number, which becomes the previous one.
    fn difference(&mut self, mantissa: i64, decimals: u8) -> u64 {
        let difference = mantissa.wrapping_sub(self.base(decimals));
        *self = Self { mantissa, decimals };
        ((difference << 1) ^ (difference >> 63)) as u64
    }

    /// The mantissa of the next number, which becomes the previous one, from the zigzag form of its difference.
    fn mantissa(&mut self, difference: u64, decimals: u8) -> i64 {
        let difference = (difference >> 1) as i64 ^ -((difference & 1) as i64);
        let mantissa = self.base(decimals).wrapping_add(difference);
        *self = Self { mantissa, decimals };
        mantissa
    }
}

fn shape(statement: Stated<'_>, scaled: bool) -> u8 {
    let value = match statement {
        Stated::Figure(value) => value,
        Stated::NoFigure => return SHAPE_NO_FIGURE,
        Stated::Retracted => return SHAPE_RETRACTED,
    };
    let figure = match &value.figure {
        Figure::Number(Number::Decimal { .. }) if scaled => SHAPE_SCALED,
        Figure::Number(Number::Decimal { decimals, .. }) => *decimals,
        Figure::Number(Number::Text(_)) => SHAPE_TEXT,
        Figure::Missing(_) => SHAPE_MISSING,
    };
    figure | if value.notes().is_some() { WITH_NOTES } else { 0 }
}

/// Appends what is in no column: number texts, missing reasons and notes.
fn put_rest(out: &mut Vec<u8>, value: &Value) {
    match &value.figure {
        Figure::Number(Number::Decimal { .. }) => {}
        Figure::Number(Number::Text(text)) => put_bytes(out, text.as_bytes()),
        Figure::Missing(reason) => out.push(missing_code(*reason)),
    }
    if let Some(notes) = value.notes() {
        // Notes are rare, and later versions may add fields to them; so they have field names.
        put_bytes(out, &rmp_serde::to_vec_named(notes).unwrap_or_default());
    }
}

fn read_value(
    reader: &mut Reader<'_>,
    shape: u8,
    common: Option<CommonScale>,
    previous: &mut PreviousNumber,
    differences: &mut impl Iterator<Item = u64>,
) -> Result<Value> {
    let figure = match shape & !WITH_NOTES {
        SHAPE_TEXT => Figure::Number(Number::parse(reader.text()?).map_err(|_| corrupt("a number text that is none"))?),
        SHAPE_MISSING => {
            let code = reader.byte()?;
            let reason = MISSING_REASONS.into_iter().find(|reason| missing_code(*reason) == code);
            Figure::Missing(reason.ok_or_else(|| corrupt("an unknown reason for a missing figure"))?)
        }
        SHAPE_SCALED => {
            let difference = differences.next().ok_or_else(|| corrupt("a number is missing"))?;
            let common = common.ok_or_else(|| corrupt("a number without its scale"))?;
            let lowered = common.lower(previous.mantissa(difference, 0));
            let (mantissa, decimals) = lowered.ok_or_else(|| corrupt("a number above its range"))?;
            Figure::Number(Number::Decimal { mantissa, decimals })
        }
        decimals @ 0..SHAPE_SCALED => {
            let difference = differences.next().ok_or_else(|| corrupt("a number is missing"))?;
            let mantissa = previous.mantissa(difference, decimals);
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

/// Appends the distinct (revision, release date) pairs, and if there are several, the number of each version's pair.
fn put_vintages(out: &mut Vec<u8>, versions: &[FigureVersion]) {
    let mut vintages: Vec<(Revision, Date)> = Vec::new();
    let mut numbers = Vec::with_capacity(versions.len());
    for version in versions {
        let vintage = (version.revision, version.released);
        let number = vintages.iter().position(|other| *other == vintage).unwrap_or(vintages.len());
        if number == vintages.len() {
            vintages.push(vintage);
        }
        numbers.push(number);
    }
    put_varint(out, vintages.len() as u64);
    let mut previous_revision = 0u64;
    let mut previous_day = 0i64;
    for (revision, released) in &vintages {
        let day = i64::from(released.days());
        put_signed(out, revision.0.wrapping_sub(previous_revision) as i64);
        put_signed(out, day - previous_day);
        previous_revision = revision.0;
        previous_day = day;
    }
    if vintages.len() > 1 {
        put_runs(out, &numbers, |out, number| put_varint(out, number as u64));
    }
}

fn read_vintages(reader: &mut Reader<'_>, count: usize) -> Result<Vec<(Revision, Date)>> {
    let distinct = reader.count(count)?;
    let mut vintages = Vec::with_capacity(distinct);
    let mut previous = (0, 0);
    for _ in 0..distinct {
        vintages.push(read_vintage(reader, &mut previous)?);
    }
    if let [only] = vintages[..] {
        return Ok(vec![only; count]);
    }
    reader.runs(count, |reader| {
        let number = usize::try_from(reader.varint()?).ok();
        let vintage = number.and_then(|number| vintages.get(number).copied());
        vintage.ok_or_else(|| corrupt("an unknown vintage"))
    })
}

/// Reads a vintage; `previous` is the revision and the day of the one before.
fn read_vintage(reader: &mut Reader<'_>, previous: &mut (u64, i64)) -> Result<(Revision, Date)> {
    let revision = previous.0.wrapping_add(reader.signed()? as u64);
    let day = previous.1.wrapping_add(reader.signed()?);
    *previous = (revision, day);
    let released = i32::try_from(day).ok().and_then(Date::from_days);
    Ok((Revision(revision), released.ok_or_else(|| corrupt("a release date outside the calendar"))?))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{
        period::Period,
        value::{Qualifier, Status},
    };

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
        fn versions_come_back_as_they_were(versions in proptest::collection::vec(any_version(), 0..80)) {
            let mut out = Vec::new();
            encode_versions(&mut out, &versions);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(decode_versions(&mut reader).unwrap(), versions);
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn versions_that_get_their_vintage_late_are_encoded_as_others(points in proptest::collection::vec((any_period(), proptest::option::of(any_value())), 0..80), revision in any::<u64>(), day in 0i32..30_000) {
            let released = Date::from_days(day).unwrap();
            let mut encoded = Vec::new();
            OpenVersions::encode(&mut encoded, &points);
            let mut reader = Reader::new(&encoded);
            let open = OpenVersions::read(&mut reader).unwrap();
            prop_assert!(reader.is_empty());
            prop_assert_eq!(&open.points().unwrap(), &points);
            let versions: Vec<FigureVersion> = points.into_iter().map(|(period, value)| FigureVersion { period, revision: Revision(revision), released, statement: value.into() }).collect();
            let (mut closed, mut expected) = (Vec::new(), Vec::new());
            open.close(&mut closed, Revision(revision), released);
            encode_versions(&mut expected, &versions);
            prop_assert!(closed.len() <= open.len_max());
            // Nothing has no vintage, so nothing is not what `close` is for.
            if !versions.is_empty() {
                prop_assert_eq!(closed, expected);
            }
        }

        #[test]
        fn damaged_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_versions(&mut Reader::new(&bytes));
        }
    }

    #[test]
    fn a_yearly_series_of_one_vintage_takes_little_more_than_its_digits() {
        let versions: Vec<FigureVersion> = (1960..2014)
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
        encode_versions(&mut out, &versions);
        assert!(out.len() <= 54 + 24, "{} bytes for 54 figures of one byte each", out.len());
    }
}
