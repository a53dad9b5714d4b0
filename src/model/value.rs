//! Published figures, digit by digit.
//!
//! A number is kept as it was printed: an integer and the place of its decimal point where that gives the text back,
//! else the text itself. A double is only a way to carry it.
//!
//! Invariant: [`Number::text`] is the published text, always.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most digits after the decimal point.
pub const DECIMALS_MAX: u32 = 30;
/// Longest number text kept as it is.
pub const NUMBER_TEXT_BYTES_MAX: usize = 64;
/// Longest remark on a figure.
pub const COMMENT_BYTES_MAX: usize = 500;
/// Largest power of ten of a multiplier, either way.
pub const MULTIPLIER_MAX: i32 = 30;
/// Up to here a double holds every integer, so a decimal of it divides exactly rounded.
const DOUBLE_INTEGER_MAX: u64 = 1 << 53;
/// Powers of ten that a double holds exactly.
const DOUBLE_POWER_MAX: u8 = 22;

/// A number as printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Number {
    /// `mantissa` with the decimal point `decimals` digits from its end.
    Decimal {
        /// All digits.
        mantissa: i64,
        /// How many of them come after the point.
        decimals: u8,
    },
    /// A text that is a number but not of that form: an exponent, more than 18 digits, a leading zero or plus.
    Text(Box<str>),
}

/// Why something is not a number to keep.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NumberError {
    /// Not a finite number.
    #[error("`{0}` is not a finite number")]
    NotANumber(String),
    /// The stated decimals do not print the number whole.
    #[error("{number} has more digits than the {decimals} decimals stated; state {needed} or round it first")]
    DigitsLost {
        /// The number.
        number: f64,
        /// As stated.
        decimals: u32,
        /// What it takes.
        needed: u32,
    },
    /// More decimals than are kept.
    #[error("{0} decimals are more than {DECIMALS_MAX}")]
    TooManyDecimals(u32),
}

impl Number {
    /// Takes a published text: plain decimals or an exponent, ASCII, no separators.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        if let Some(number) = Self::parse_plain(text) {
            return Ok(number);
        }
        let is_number = text.len() <= NUMBER_TEXT_BYTES_MAX
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'))
            && text.parse::<f64>().is_ok_and(f64::is_finite);
        if is_number {
            Ok(Self::Text(text.into()))
        } else {
            Err(NumberError::NotANumber(text.chars().take(80).collect()))
        }
    }

    /// The common form, without a detour over a double: `-?digits(.digits)?`, at most 18 digits, no idle zero in front.
    fn parse_plain(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let shaped = !whole.is_empty()
            && (whole.len() == 1 || !whole.starts_with('0'))
            && digits.ends_with(|last: char| last.is_ascii_digit())
            && whole.len() + fraction.len() <= 18;
        if !shaped {
            return None;
        }
        let mut mantissa = 0i64;
        for byte in whole.bytes().chain(fraction.bytes()) {
            mantissa = mantissa * 10 + i64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
        }
        if mantissa == 0 && text.starts_with('-') {
            return None; // "-0.0" would lose its sign
        }
        let mantissa = if text.starts_with('-') { -mantissa } else { mantissa };
        Some(Self::Decimal { mantissa, decimals: u8::try_from(fraction.len()).ok()? })
    }

    /// Takes a double. Without `decimals` it gets as many as its shortest text has; with them it must print whole.
    pub fn from_f64(number: f64, decimals: Option<u32>) -> Result<Self, NumberError> {
        if !number.is_finite() {
            return Err(NumberError::NotANumber(number.to_string()));
        }
        let Some(decimals) = decimals else {
            let shortest = number.to_string();
            // Far from 1 the plain form is a row of zeros; the exponent form is the shorter text.
            return Self::parse(&if shortest.len() > 25 { format!("{number:e}") } else { shortest });
        };
        if decimals > DECIMALS_MAX {
            return Err(NumberError::TooManyDecimals(decimals));
        }
        if let Some(plain) = Self::from_f64_fast(number, decimals as u8) {
            return Ok(plain);
        }
        let text = format!("{number:.*}", decimals as usize);
        if text.parse() == Ok(number) {
            Self::parse(&text)
        } else {
            let shortest = number.to_string();
            let needed = shortest.split_once('.').map_or(0, |(_, fraction)| fraction.len() as u32);
            Err(NumberError::DigitsLost { number, decimals, needed })
        }
    }

    /// For up to 15 digits the integer is found by one multiplication and proved by one exact division.
    fn from_f64_fast(number: f64, decimals: u8) -> Option<Self> {
        if decimals > DOUBLE_POWER_MAX || number == 0.0 && number.is_sign_negative() {
            return None;
        }
        let power = POWERS_OF_TEN[usize::from(decimals)];
        let scaled = (number * power).round();
        let fits = scaled.abs() < 1e15 && scaled / power == number;
        #[allow(clippy::cast_possible_truncation)] // below 10^15
        fits.then_some(Self::Decimal { mantissa: scaled as i64, decimals })
    }

    /// The nearest double.
    pub fn to_f64(&self) -> f64 {
        match self {
            Self::Decimal { mantissa, decimals }
                if mantissa.unsigned_abs() <= DOUBLE_INTEGER_MAX && *decimals <= DOUBLE_POWER_MAX =>
            {
                *mantissa as f64 / POWERS_OF_TEN[usize::from(*decimals)]
            }
            _ => self.text().parse().unwrap_or(f64::NAN),
        }
    }

    /// Digits after the decimal point in the published text; for an exponent form those of its plain form, if few enough.
    pub fn decimals(&self) -> u32 {
        match self {
            Self::Decimal { decimals, .. } => u32::from(*decimals),
            Self::Text(text) => {
                let plain = if text.contains(['e', 'E']) { self.to_f64().to_string() } else { text.to_string() };
                plain.split_once('.').map_or(0, |(_, fraction)| fraction.len() as u32).min(DECIMALS_MAX)
            }
        }
    }

    /// The published text.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.to_string(),
            Self::Decimal { mantissa, decimals: 0 } => mantissa.to_string(),
            Self::Decimal { mantissa, decimals } => {
                let decimals = usize::from(*decimals);
                let digits = format!("{:0width$}", mantissa.unsigned_abs(), width = decimals + 1);
                let (whole, fraction) = digits.split_at(digits.len() - decimals);
                format!("{}{whole}.{fraction}", if *mantissa < 0 { "-" } else { "" })
            }
        }
    }

    /// The text, if the double printed with [`Number::decimals`] does not give it back.
    pub fn exact(&self) -> Option<String> {
        match self {
            // Fifteen digits always survive a double.
            Self::Decimal { mantissa, .. } if mantissa.unsigned_abs() < 1_000_000_000_000_000 => None,
            _ => {
                let text = self.text();
                (format!("{:.*}", self.decimals() as usize, self.to_f64()) != text).then_some(text)
            }
        }
    }
}

const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// How a figure relates to the number printed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Qualifier {
    /// As stated.
    #[default]
    Exact,
    /// "around".
    Approximate,
    /// "exceeds": a lower bound.
    AtLeast,
    /// "at most": an upper bound.
    AtMost,
    /// From the number up to this one.
    RangeTo(Number),
}

/// SDMX observation status of a figure that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Status {
    #[default]
    Normal,
    Break,
    Estimated,
    Forecast,
    Imputed,
    NotSignificant,
    Provisional,
}

/// Why there is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MissingReason {
    NotCollected,
    NotApplicable,
    Suppressed,
    NoMeasurement,
}

/// What is printed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Figure {
    /// A number.
    Number(Number),
    /// None, and why.
    Missing(MissingReason),
}

/// What few figures carry; all at their defaults for most.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    /// The figure is the number times ten to this power.
    #[serde(skip_serializing_if = "is_default")]
    pub multiplier: i8,
    /// How the figure relates to the number.
    #[serde(skip_serializing_if = "is_default")]
    pub qualifier: Qualifier,
    /// SDMX status.
    #[serde(skip_serializing_if = "is_default")]
    pub status: Status,
    /// Remark; empty if none.
    #[serde(skip_serializing_if = "is_default")]
    pub comment: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A published figure.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Value {
    /// What is printed.
    pub figure: Figure,
    notes: Option<Box<Notes>>,
}

impl Value {
    /// A figure with what it carries; defaults take no room.
    pub fn new(figure: Figure, notes: Notes) -> Self {
        Self { figure, notes: (notes != Notes::default()).then(|| Box::new(notes)) }
    }

    /// A plain number.
    pub fn number(number: Number) -> Self {
        Self { figure: Figure::Number(number), notes: None }
    }

    /// What it carries, if anything.
    pub fn notes(&self) -> Option<&Notes> {
        self.notes.as_deref()
    }

    /// The figure with its multiplier applied, if it is one number and not a bound.
    pub fn comparable(&self) -> Option<f64> {
        let Figure::Number(number) = &self.figure else { return None };
        let notes = self.notes().cloned().unwrap_or_default();
        let one_number = matches!(notes.qualifier, Qualifier::Exact | Qualifier::Approximate);
        one_number.then(|| number.to_f64() * 10f64.powi(i32::from(notes.multiplier)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_comes_back_digit_by_digit() {
        for text in [
            "0",
            "3.0",
            "-1",
            "2.05701",
            "0.594539921118996",
            "12345678901234567",
            "0.12345678901234567",
            "-0.0",
            "1.5e-05",
            "9.1E-7",
            "007",
            "+5",
            "123456789012345678901234567890",
            "0.10000000000000001",
            ".5",
            "5.",
        ] {
            assert_eq!(Number::parse(text).unwrap().text(), text);
        }
    }

    #[test]
    fn what_is_not_a_finite_number_is_refused() {
        for bad in
            ["", "-", ".", "n/a", "NaN", "inf", "1,000", "1 000", "1e999", "0x10", "1e", "--1", "−1", &"9".repeat(400)]
        {
            assert!(Number::parse(bad).is_err(), "{bad}");
        }
        assert!(Number::from_f64(f64::NAN, None).is_err());
        assert!(Number::from_f64(f64::INFINITY, Some(2)).is_err());
    }

    #[test]
    fn digits_are_never_rounded_away_in_silence() {
        assert!(matches!(Number::from_f64(2.05701, Some(0)), Err(NumberError::DigitsLost { needed: 5, .. })));
        assert_eq!(Number::from_f64(2.05701, None).unwrap().text(), "2.05701");
        assert_eq!(Number::from_f64(3.0, Some(1)).unwrap().text(), "3.0");
        assert_eq!(Number::from_f64(-0.0, Some(1)).unwrap().text(), "-0.0");
    }

    proptest! {
        /// Model: the text itself. The double and decimals, or `exact`, always lead back to it.
        #[test]
        fn double_and_decimals_or_exact_give_the_text(text in "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?([eE]-?[0-9]{1,2})?") {
            let number = Number::parse(&text).unwrap();
            prop_assert_eq!(number.text(), text.clone());
            prop_assert_eq!(number.to_f64().to_bits(), text.parse::<f64>().unwrap().to_bits());
            let printed = number.exact().unwrap_or_else(|| format!("{:.*}", number.decimals() as usize, number.to_f64()));
            prop_assert_eq!(printed, text);
        }

        /// A double with its own decimals is kept whole.
        #[test]
        fn doubles_come_back(number in proptest::num::f64::NORMAL, decimals in proptest::option::of(0u32..=30)) {
            if let Ok(kept) = Number::from_f64(number, decimals) {
                prop_assert_eq!(kept.to_f64().to_bits(), number.to_bits());
            }
        }

        #[test]
        fn short_decimals_take_the_fast_way_to_the_same_place(mantissa in -999_999_999_999_999i64..=999_999_999_999_999, decimals in 0u8..=15) {
            let number = Number::Decimal { mantissa, decimals };
            prop_assert_eq!(Number::from_f64(number.to_f64(), Some(u32::from(decimals))).unwrap(), number);
        }
    }
}
