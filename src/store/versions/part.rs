//! Reading a part of encoded versions: those of one period, or only how late their periods are.
//!
//! The columns of what comes before the part are passed run by run. Numbers are differences, so those before the part are
//! added up; values are made for the part alone.
//!
//! Invariant: the part is what a whole decoding has there. Damage outside the part may go unnoticed here.

use std::ops::Range;

use super::{
    super::{
        bytes::{Reader, corrupt},
        error::Result,
    },
    CommonScale, PreviousNumber, SHAPE_MISSING, SHAPE_NO_FIGURE, SHAPE_RETRACTED, SHAPE_SCALED, SHAPE_TEXT,
    VERSIONS_MAX, WITH_NOTES,
    periods::{self, find_period},
    read_value, read_vintage,
};
use crate::model::{
    id::Revision,
    period::Period,
    series::{FigureVersion, Statement},
    time::Date,
};

/// Reads the versions of one period from versions that are sorted by period.
pub fn decode_period(reader: &mut Reader<'_>, period: Period) -> Result<Vec<FigureVersion>> {
    let count = reader.count(VERSIONS_MAX)?;
    let part = find_period(reader, count, period)?;
    if part.is_empty() {
        return Ok(Vec::new());
    }
    let vintages = vintages_of(reader, count, &part)?;
    let statements = statements_of(reader, count, &part)?;
    let mut versions = Vec::with_capacity(part.len());
    for ((revision, released), statement) in vintages.into_iter().zip(statements) {
        versions.push(FigureVersion { period, revision, released, statement });
    }
    Ok(versions)
}

/// The last and the first day of the latest period of some versions; `None` without versions.
pub fn latest_period(reader: &mut Reader<'_>) -> Result<Option<(Date, Date)>> {
    let count = reader.count(VERSIONS_MAX)?;
    periods::latest_period(reader, count)
}

/// The periods of which at least so many versions follow the first one.
pub fn repeated_periods(reader: &mut Reader<'_>, repeats_min: usize) -> Result<Vec<Period>> {
    let count = reader.count(VERSIONS_MAX)?;
    periods::repeated_periods(reader, count, repeats_min)
}

/// The vintages of the versions of a part.
fn vintages_of(reader: &mut Reader<'_>, count: usize, part: &Range<usize>) -> Result<Vec<(Revision, Date)>> {
    let distinct = reader.count(count)?;
    let mut all = Vec::with_capacity(distinct);
    let mut previous = (0, 0);
    for _ in 0..distinct {
        all.push(read_vintage(reader, &mut previous)?);
    }
    if let [only] = all[..] {
        return Ok(vec![only; part.len()]);
    }
    let mut vintages = Vec::with_capacity(part.len());
    let mut passed = 0;
    let mut is_known = true;
    reader.visit_runs(count, Reader::varint, |number, repeat| {
        let within = overlap(part, passed, repeat);
        if !within.is_empty() {
            let vintage = usize::try_from(number).ok().and_then(|number| all.get(number).copied());
            is_known &= vintage.is_some();
            vintages.extend(std::iter::repeat_n(vintage.unwrap_or((Revision::ZERO, Date::EPOCH)), within.len()));
        }
        passed += repeat;
    })?;
    if is_known { Ok(vintages) } else { Err(corrupt("an unknown vintage")) }
}

/// What of a run that starts at `first` lies in a part.
fn overlap(part: &Range<usize>, first: usize, repeat: usize) -> Range<usize> {
    part.start.max(first)..part.end.min(first + repeat)
}

/// The statements of the versions of a part.
fn statements_of(reader: &mut Reader<'_>, count: usize, part: &Range<usize>) -> Result<Vec<Statement>> {
    // Each shape up to the end of the part, with how often it repeats.
    let mut shapes: Vec<(u8, usize)> = Vec::new();
    let mut passed = 0;
    let mut plain = 0;
    let mut plain_wanted = 0;
    let mut is_scaled = false;
    reader.visit_runs(count, Reader::byte, |shape, repeat| {
        let wanted = part.end.saturating_sub(passed).min(repeat);
        if shape & !WITH_NOTES < SHAPE_TEXT {
            plain += repeat;
            plain_wanted += wanted;
        }
        is_scaled |= shape & !WITH_NOTES == SHAPE_SCALED;
        shapes.push((shape, wanted));
        passed += repeat;
    })?;
    let common = match is_scaled {
        true => Some(CommonScale { decimals: reader.byte()?, decimals_min: reader.byte()?, zeros: reader.byte()? }),
        false => None,
    };
    let differences = if plain > 0 { reader.golomb_start(plain, plain_wanted)? } else { Vec::new() };
    let mut differences = differences.into_iter();
    let mut previous = PreviousNumber::default();
    let mut statements = Vec::with_capacity(part.len());
    let mut at = 0;
    for (shape, repeat) in shapes {
        for _ in 0..repeat {
            if at < part.start {
                pass_value(reader, shape, &mut previous, &mut differences)?;
            } else {
                statements.push(match shape {
                    SHAPE_NO_FIGURE => Statement::NoFigure,
                    SHAPE_RETRACTED => Statement::Retracted,
                    _ => Statement::Figure(read_value(reader, shape, common, &mut previous, &mut differences)?),
                });
            }
            at += 1;
        }
    }
    Ok(statements)
}

/// Passes a value before the part.
fn pass_value(
    reader: &mut Reader<'_>,
    shape: u8,
    previous: &mut PreviousNumber,
    differences: &mut impl Iterator<Item = u64>,
) -> Result<()> {
    match shape & !WITH_NOTES {
        SHAPE_TEXT => drop(reader.bytes()?),
        SHAPE_MISSING => drop(reader.byte()?),
        decimals @ 0..=SHAPE_SCALED => {
            let difference = differences.next().ok_or_else(|| corrupt("a number is missing"))?;
            previous.mantissa(difference, if decimals == SHAPE_SCALED { 0 } else { decimals });
        }
        _ => {}
    }
    if shape & WITH_NOTES != 0 {
        reader.bytes()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{decode_versions, encode_versions, tests::any_version},
        *,
    };

    proptest! {
        #[test]
        fn a_part_is_what_a_whole_decoding_has_there(mut versions in proptest::collection::vec(any_version(), 0..120)) {
            versions.sort_by_key(FigureVersion::name);
            let mut out = Vec::new();
            encode_versions(&mut out, &versions);
            let whole = decode_versions(&mut Reader::new(&out)).unwrap();
            let other = Period::parse("1812").unwrap();
            for period in versions.iter().map(|version| version.period).chain([other]) {
                let expected: Vec<FigureVersion> =
                    whole.iter().filter(|version| version.period == period).cloned().collect();
                prop_assert_eq!(decode_period(&mut Reader::new(&out), period).unwrap(), expected);
            }
            let latest = versions.iter().map(|version| (version.period.end(), version.period.start())).max();
            prop_assert_eq!(latest_period(&mut Reader::new(&out)).unwrap(), latest);
        }

        #[test]
        fn damaged_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), year in 1950i16..2030) {
            let _ = decode_period(&mut Reader::new(&bytes), Period::year(year).unwrap());
            let _ = latest_period(&mut Reader::new(&bytes));
        }
    }
}
