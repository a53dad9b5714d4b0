//! Published figures, digit by digit.
//!
//! A number is stored as it was printed: as an integer and the place of its decimal point if these two give the text back,
//! else as the text itself. A double only transports it.
//!
//! Invariant: [`Number::text`] is the published text.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most digits after the decimal point.
pub const DECIMALS_MAX: u32 = 30;
/// Longest number text that is not plain decimals.
pub const NUMBER_TEXT_BYTES_MAX: usize = 64;
/// Longest comment on a figure.
pub const COMMENT_BYTES_MAX: usize = 500;
/// Largest power of ten of a multiplier, and with a minus the smallest.
pub const MULTIPLIER_MAX: i32 = 30;
/// A double holds every integer up to here, so dividing one by an exact power of ten rounds once, to the nearest double.
const DOUBLE_INTEGER_MAX: u64 = 1 << 53;
/// A double holds powers of ten up to this one exactly.
const DOUBLE_POWER_MAX: u8 = 22;
/// Digits that an `i64` surely holds.
const PLAIN_DIGITS_MAX: usize = 18;
/// Below this magnitude, 15 digits, an integer survives a double, divided by a power of ten or not.
const DOUBLE_DIGITS_BOUND: i64 = 1_000_000_000_000_000;
/// From this length on the exponent form of a double is taken instead of its plain form, which is mostly zeros.
const PLAIN_TEXT_BYTES_MAX: usize = 25;

/// A number as it was printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Number {
    /// `mantissa` with the decimal point `decimals` digits from its end.
    Decimal {
        /// All digits, without the point.
        mantissa: i64,
        /// Digits after the point.
        decimals: u8,
    },
    /// A number of another form: with an exponent, more than 18 digits, a leading zero or a plus.
    Text(Box<str>),
}

/// Why a text or a double is refused as a number.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NumberError {
    #[error("`{0}` is not a finite number")]
    NotANumber(String),
    /// With the stated decimals the double prints as another number.
    #[error("{number} has more digits than the {decimals} decimals stated; state {needed} or round it first")]
    DigitsLost {
        number: f64,
        /// As stated.
        decimals: u32,
        /// Decimals that print the number whole.
        needed: u32,
    },
    #[error("{0} decimals are more than {DECIMALS_MAX}")]
    TooManyDecimals(u32),
}

impl Number {
    /// Parses a published text: ASCII, plain decimals or an exponent, no separators, finite as a double.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        if let Some(number) = Self::parse_plain(text.as_bytes()) {
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

    /// The common form, without a double in between: `-?digits(.digits)?`, at most 18 digits, no needless leading zero.
    /// `None` for any other text, also if it is a number.
    pub fn parse_plain(text: &[u8]) -> Option<Self> {
        let (is_negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let is_short = (1..=PLAIN_DIGITS_MAX + 1).contains(&digits.len());
        if !is_short || (digits[0] == b'0' && digits.get(1).is_some_and(|second| *second != b'.')) {
            return None;
        }
        // 19 digits fit, before they are counted.
        let mut mantissa = 0u64;
        let mut point = None;
        for (at, byte) in digits.iter().enumerate() {
            match byte {
                b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
                b'.' if point.is_none() => point = Some(at),
                _ => return None,
            }
        }
        let decimals = point.map_or(0, |point| digits.len() - point - 1);
        let count = digits.len() - usize::from(point.is_some());
        let has_digits_around_point = point.is_none_or(|point| point > 0 && decimals > 0);
        // "-0.0" would lose its sign.
        if count > PLAIN_DIGITS_MAX || !has_digits_around_point || (is_negative && mantissa == 0) {
            return None;
        }
        let mantissa = i64::try_from(mantissa).ok()?;
        let mantissa = if is_negative { -mantissa } else { mantissa };
        Some(Self::Decimal { mantissa, decimals: u8::try_from(decimals).ok()? })
    }

    /// Makes a number of a double. Without `decimals` it has as many as its shortest text. With `decimals`, its text of so
    /// many decimals must parse to the same double; else [`NumberError::DigitsLost`].
    pub fn from_f64(number: f64, decimals: Option<u32>) -> Result<Self, NumberError> {
        if !number.is_finite() {
            return Err(NumberError::NotANumber(number.to_string()));
        }
        let Some(decimals) = decimals else {
            let shortest = number.to_string();
            let text = if shortest.len() > PLAIN_TEXT_BYTES_MAX { format!("{number:e}") } else { shortest };
            return Self::parse(&text);
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

    /// Finds the integer of up to 15 digits by one multiplication; one division that must give the double back proves it.
    fn from_f64_fast(number: f64, decimals: u8) -> Option<Self> {
        if decimals > DOUBLE_POWER_MAX || number == 0.0 && number.is_sign_negative() {
            return None;
        }
        let power = POWERS_OF_TEN[usize::from(decimals)];
        let scaled = (number * power).round();
        let fits = scaled.abs() < DOUBLE_DIGITS_BOUND as f64 && scaled / power == number;
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

    /// Digits after the decimal point in the published text, at most [`DECIMALS_MAX`]. An exponent form counts those of the
    /// double's plain form.
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

    /// The published text, if printing [`Number::to_f64`] with [`Number::decimals`] decimals does not give it back; else
    /// `None`.
    pub fn exact(&self) -> Option<String> {
        match self {
            Self::Decimal { mantissa, .. } if mantissa.unsigned_abs() < DOUBLE_DIGITS_BOUND as u64 => None,
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

/// How a figure relates to the number that is printed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Qualifier {
    #[default]
    Exact,
    /// Printed as "around".
    Approximate,
    /// Printed as "exceeds": the number is a lower bound.
    AtLeast,
    /// Printed as "at most": the number is an upper bound.
    AtMost,
    /// The figure is a range from the number up to this one.
    RangeTo(Number),
}

/// SDMX observation status of a figure that has a number.
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

impl Status {
    /// Every status with its word and its SDMX code.
    const TEXTS: [(Self, &'static str, &'static str); 7] = [
        (Self::Normal, "normal", "a"),
        (Self::Break, "break", "b"),
        (Self::Estimated, "estimated", "e"),
        (Self::Forecast, "forecast", "f"),
        (Self::Imputed, "imputed", "i"),
        (Self::NotSignificant, "not-significant", "n"),
        (Self::Provisional, "provisional", "p"),
    ];

    /// The status of a word or SDMX code in lower case; the empty text is [`Status::Normal`]. `None` for any other text.
    pub fn from_text(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::Normal);
        }
        let known = Self::TEXTS.iter().find(|(_, word, code)| *word == text || *code == text);
        known.map(|(status, ..)| *status)
    }
}

/// Why a figure has no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MissingReason {
    NotCollected,
    NotApplicable,
    Suppressed,
    NoMeasurement,
}

impl MissingReason {
    /// Every reason with its word and its SDMX observation status code.
    const TEXTS: [(Self, &'static str, &'static str); 4] = [
        (Self::NotCollected, "not-collected", "l"),
        (Self::NotApplicable, "not-applicable", "m"),
        (Self::Suppressed, "suppressed", "q"),
        (Self::NoMeasurement, "no-measurement", "h"),
    ];

    /// The reason of a word or SDMX code in lower case; `None` for any other text.
    pub fn from_text(text: &str) -> Option<Self> {
        let known = Self::TEXTS.iter().find(|(_, word, code)| *word == text || *code == text);
        known.map(|(reason, ..)| *reason)
    }
}

/// What the producer prints: a number, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Figure {
    Number(Number),
    Missing(MissingReason),
}

/// What few figures have besides the number. Most have only defaults.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    /// The figure is the number times ten to this power, which is at most [`MULTIPLIER_MAX`] either way.
    #[serde(skip_serializing_if = "is_default")]
    pub multiplier: i8,
    #[serde(skip_serializing_if = "is_default")]
    pub qualifier: Qualifier,
    #[serde(skip_serializing_if = "is_default")]
    pub status: Status,
    /// At most [`COMMENT_BYTES_MAX`] bytes; empty if none.
    #[serde(skip_serializing_if = "is_default")]
    pub comment: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What one version of a figure states.
///
/// Invariant: `notes` is `None` if all notes have their defaults, so equal values compare equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Value {
    pub figure: Figure,
    notes: Option<Box<Notes>>,
}

impl Value {
    pub fn new(figure: Figure, notes: Notes) -> Self {
        Self { figure, notes: (notes != Notes::default()).then(|| Box::new(notes)) }
    }

    /// A number with default notes.
    pub fn number(number: Number) -> Self {
        Self { figure: Figure::Number(number), notes: None }
    }

    /// The notes; `None`: all have their defaults.
    pub fn notes(&self) -> Option<&Notes> {
        self.notes.as_deref()
    }

    /// The number times its multiplier; `None` if the figure is missing, a bound or a range.
    pub fn comparable(&self) -> Option<f64> {
        let Figure::Number(number) = &self.figure else { return None };
        let notes = self.notes().cloned().unwrap_or_default();
        match notes.qualifier {
            Qualifier::Exact | Qualifier::Approximate => {
                Some(number.to_f64() * 10f64.powi(i32::from(notes.multiplier)))
            }
            Qualifier::AtLeast | Qualifier::AtMost | Qualifier::RangeTo(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_comes_back_digit_by_digit() {
        const TEXTS: [&str; 16] = [
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
        ];
        for text in TEXTS {
            assert_eq!(Number::parse(text).unwrap().text(), text);
        }
    }

    #[test]
    fn texts_and_doubles_that_are_no_finite_number_are_refused() {
        const REFUSED: [&str; 13] =
            ["", "-", ".", "n/a", "NaN", "inf", "1,000", "1 000", "1e999", "0x10", "1e", "--1", "−1"];
        for bad in REFUSED {
            assert!(Number::parse(bad).is_err(), "{bad}");
        }
        assert!(Number::parse(&"9".repeat(400)).is_err(), "too long");
        assert!(Number::from_f64(f64::NAN, None).is_err());
        assert!(Number::from_f64(f64::INFINITY, Some(2)).is_err());
    }

    #[test]
    fn a_double_with_more_digits_than_the_stated_decimals_is_refused() {
        assert!(matches!(Number::from_f64(2.05701, Some(0)), Err(NumberError::DigitsLost { needed: 5, .. })));
        assert_eq!(Number::from_f64(2.05701, None).unwrap().text(), "2.05701");
        assert_eq!(Number::from_f64(3.0, Some(1)).unwrap().text(), "3.0");
        assert_eq!(Number::from_f64(-0.0, Some(1)).unwrap().text(), "-0.0");
    }

    /// The common form, as [`Number::parse_plain`] describes it, part by part.
    fn plain_by_parts(text: &str) -> Option<(i64, usize)> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        let is_plain = !whole.is_empty()
            && (whole.len() == 1 || !whole.starts_with('0'))
            && !digits.ends_with('.')
            && all.bytes().all(|byte| byte.is_ascii_digit())
            && all.len() <= PLAIN_DIGITS_MAX;
        let mantissa: i64 = all.parse().ok().filter(|_| is_plain)?;
        let is_negative = text.starts_with('-');
        if is_negative && mantissa == 0 {
            None
        } else {
            Some((if is_negative { -mantissa } else { mantissa }, fraction.len()))
        }
    }

    proptest! {
        #[test]
        fn the_common_form_is_read_as_part_by_part(
            text in prop_oneof!["-?(0|[1-9][0-9]{0,19})?(\\.[0-9]{0,20})?", "[-+.0-9e]{0,22}", "[0-9]{17,20}", "-?0{0,2}\\.?[0-9]{0,3}"]
        ) {
            let read = Number::parse_plain(text.as_bytes());
            let expected = plain_by_parts(&text).map(|(mantissa, decimals)| Number::Decimal { mantissa, decimals: decimals as u8 });
            prop_assert_eq!(read, expected, "{}", text);
        }

        /// Model: the text itself. The double with its decimals gives it back, or else `exact` does.
        #[test]
        fn the_double_with_its_decimals_or_the_exact_text_give_the_text_back(text in "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?([eE]-?[0-9]{1,2})?") {
            let number = Number::parse(&text).unwrap();
            prop_assert_eq!(number.text(), text.clone());
            prop_assert_eq!(number.to_f64().to_bits(), text.parse::<f64>().unwrap().to_bits());
            let printed = number.exact().unwrap_or_else(|| format!("{:.*}", number.decimals() as usize, number.to_f64()));
            prop_assert_eq!(printed, text);
        }

        #[test]
        fn a_double_that_is_accepted_comes_back(number in proptest::num::f64::NORMAL, decimals in proptest::option::of(0u32..=30)) {
            if let Ok(accepted) = Number::from_f64(number, decimals) {
                prop_assert_eq!(accepted.to_f64().to_bits(), number.to_bits());
            }
        }

        #[test]
        fn a_short_decimal_comes_back_from_its_double(mantissa in -999_999_999_999_999i64..=999_999_999_999_999, decimals in 0u8..=15) {
            let number = Number::Decimal { mantissa, decimals };
            prop_assert_eq!(Number::from_f64(number.to_f64(), Some(u32::from(decimals))).unwrap(), number);
        }
    }
}
