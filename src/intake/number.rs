//! Numbers as publishers print them → the exact number of the model.
//!
//! Invariant: separators are removed and every kind of minus becomes `-`; digits stay: `127,418` is 127418, `3,10` is
//! 3.10.

use serde::Deserialize;

use crate::model::value::{Number, NumberError};

/// The character before the decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecimalMark {
    /// A point; in files with `;` between cells a comma as well. Such files have `;` because commas stand in their
    /// numbers.
    #[default]
    Auto,
    Point,
    Comma,
    /// A point or a comma; each number has at most one of them.
    Either,
}

/// How the numbers of a file are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberFormat {
    pub decimal: DecimalMark,
    /// Characters that may stand between groups of three digits. Blanks always may.
    pub thousands: Vec<char>,
}

impl NumberFormat {
    /// The format of a file with this separator between cells.
    pub fn new(decimal: DecimalMark, thousands: &str, separator: u8) -> Self {
        let decimal = match (decimal, separator) {
            (DecimalMark::Auto, b';') => DecimalMark::Either,
            (DecimalMark::Auto, _) => DecimalMark::Point,
            (stated, _) => stated,
        };
        Self { decimal, thousands: thousands.chars().collect() }
    }

    /// Whether a number in the common form means the same in this format.
    pub fn takes_plain(&self) -> bool {
        self.decimal != DecimalMark::Comma
    }

    /// Reads a number. What can be read in two ways is an error.
    pub fn parse(&self, text: &str) -> Result<Number, NumberError> {
        let text = text.trim();
        if (self.takes_plain() || !text.contains('.'))
            && let Ok(number) = Number::parse(text)
        {
            return Ok(number);
        }
        let plain = self.plain(text).ok_or_else(|| NumberError::NotANumber(text.chars().take(80).collect()))?;
        Number::parse(&plain)
    }

    /// The same number with `-` and `.` and nothing between its digits; `None` if it is not printed in this format.
    fn plain(&self, text: &str) -> Option<String> {
        let (minus, digits) = match text.strip_prefix(['-', '\u{2212}', '\u{FE63}', '\u{FF0D}']) {
            Some(digits) => ("-", digits.trim_start()),
            None => ("", text),
        };
        let mark = match self.decimal {
            DecimalMark::Auto | DecimalMark::Point => '.',
            DecimalMark::Comma => ',',
            DecimalMark::Either if digits.contains('.') && digits.contains(',') => return None,
            DecimalMark::Either if digits.contains(',') => ',',
            DecimalMark::Either => '.',
        };
        let (whole, fraction) = match digits.split_once(mark) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let groups: Vec<&str> = whole.split(|letter| letter != mark && self.separates_groups(letter)).collect();
        let well_grouped = match groups.as_slice() {
            [one] => is_digits(one) || (one.is_empty() && fraction.is_some()),
            [first, rest @ ..] => {
                is_digits(first) && first.len() <= 3 && rest.iter().all(|group| is_digits(group) && group.len() == 3)
            }
            [] => false,
        };
        if !well_grouped {
            return None;
        }
        let mut plain = format!("{minus}{}", groups.concat());
        if let Some(fraction) = fraction {
            plain.push('.');
            plain.push_str(fraction);
        }
        Some(plain)
    }

    fn separates_groups(&self, letter: char) -> bool {
        matches!(letter, ' ' | '\u{A0}' | '\u{202F}' | '\u{2009}') || self.thousands.contains(&letter)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn print(sign: &str, whole: &str, mark: char, fraction: Option<&str>) -> String {
        match fraction {
            Some(fraction) => format!("{sign}{whole}{mark}{fraction}"),
            None => format!("{sign}{whole}"),
        }
    }

    fn read(decimal: DecimalMark, thousands: &str, text: &str) -> Option<String> {
        NumberFormat::new(decimal, thousands, b',').parse(text).ok().map(|number| number.text())
    }

    const READABLE: &[(&str, &str)] = &[
        ("127,418", "127418"),
        ("1,275,418.50", "1275418.50"),
        ("\u{2212}1", "-1"),
        ("3.0", "3.0"),
        (" 61 ", "61"),
        ("0.594539921118996", "0.594539921118996"),
        ("1.5E-05", "1.5E-05"),
        ("127\u{A0}418", "127418"),
    ];

    const AMBIGUOUS: &[&str] =
        &["1,27", "12,3456", "1,,275", "1.2.3", ",275", "n/a", "-", "", "1,275,", "−−1", "4 of 5"];

    #[test]
    fn numbers_are_read_as_publishers_print_them() {
        for (text, expected) in READABLE {
            assert_eq!(read(DecimalMark::Auto, ",", text).as_deref(), Some(*expected), "{text}");
        }
        assert_eq!(read(DecimalMark::Comma, ".", "1.234,50").as_deref(), Some("1234.50"));
        assert_eq!(read(DecimalMark::Comma, ".", "1.234").as_deref(), Some("1234"));
        assert_eq!(NumberFormat::new(DecimalMark::Auto, "", b';').parse("28,70").unwrap().text(), "28.70");
        assert_eq!(NumberFormat::new(DecimalMark::Auto, "", b';').parse("28.70").unwrap().text(), "28.70");
    }

    #[test]
    fn what_is_no_number_or_could_be_two_is_refused() {
        for bad in AMBIGUOUS {
            assert_eq!(read(DecimalMark::Auto, ",", bad), None, "{bad}");
        }
        assert_eq!(read(DecimalMark::Auto, "", "127,418"), None, "no separator was agreed on");
        assert!(NumberFormat::new(DecimalMark::Auto, "", b';').parse("1.234,5").is_err());
    }

    proptest! {
        /// The model is the plain text: a number reads as the same digits, however a country prints it.
        #[test]
        fn a_number_reads_as_its_digits_in_every_format(
            negative: bool, whole in "0|[1-9][0-9]{0,11}", fraction in proptest::option::of("[0-9]{1,6}"), comma: bool,
        ) {
            let (mark, separator) = if comma { (',', '.') } else { ('.', ',') };
            let mut grouped = String::new();
            for (at, digit) in whole.chars().enumerate() {
                if at > 0 && (whole.len() - at).is_multiple_of(3) {
                    grouped.push(separator);
                }
                grouped.push(digit);
            }
            let decimal = if comma { DecimalMark::Comma } else { DecimalMark::Point };
            let format = NumberFormat::new(decimal, &separator.to_string(), b';');
            let fraction = fraction.as_deref();
            let plain = print(if negative { "-" } else { "" }, &whole, '.', fraction);
            let typeset = print(if negative { "\u{2212}" } else { "" }, &grouped, mark, fraction);
            let typed = print(if negative { "-" } else { "" }, &whole, mark, fraction);
            prop_assert_eq!(format.parse(&typeset).unwrap().text(), plain.clone());
            prop_assert_eq!(format.parse(&typed).unwrap().text(), plain);
        }

        #[test]
        fn any_text_is_refused_or_read(text in "[-−0-9.,' eE]{0,12}") {
            let _ = NumberFormat::new(DecimalMark::Either, ",'", b';').parse(&text);
        }
    }
}
