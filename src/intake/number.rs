//! Figures as people print them → the exact number of the model.
//!
//! Invariant: separators and kinds of minus are taken off, digits never are: `127,418` is 127418, `3,10` is 3.10.

use serde::Deserialize;

use crate::model::value::{Number, NumberError};

/// Which character stands before the decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecimalMark {
    /// A point; in files with `;` between cells a comma as well, for that is why they have it.
    #[default]
    Auto,
    /// Always a point.
    Point,
    /// Always a comma.
    Comma,
    /// Either: each figure has at most one of them.
    Either,
}

/// How figures of a file are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// Before the decimals.
    pub decimal: DecimalMark,
    /// Between groups of three digits. Blanks always may.
    pub thousands: Vec<char>,
}

impl Style {
    /// The style of a file with this separator between cells.
    pub fn new(decimal: DecimalMark, thousands: &str, separator: u8) -> Self {
        let decimal = match (decimal, separator) {
            (DecimalMark::Auto, b';') => DecimalMark::Either,
            (DecimalMark::Auto, _) => DecimalMark::Point,
            (stated, _) => stated,
        };
        Self { decimal, thousands: thousands.chars().collect() }
    }

    /// Reads a figure.
    pub fn parse(&self, text: &str) -> Result<Number, NumberError> {
        let text = text.trim();
        if (self.decimal != DecimalMark::Comma || !text.contains('.'))
            && let Ok(number) = Number::parse(text)
        {
            return Ok(number);
        }
        let plain = self.plain(text).ok_or_else(|| NumberError::NotANumber(text.chars().take(80).collect()))?;
        Number::parse(&plain)
    }

    /// The same figure with `-` and `.` and nothing between its digits.
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
        let between = |letter: char| {
            letter != mark
                && (matches!(letter, ' ' | '\u{A0}' | '\u{202F}' | '\u{2009}') || self.thousands.contains(&letter))
        };
        let groups: Vec<&str> = whole.split(between).collect();
        let digits_only = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let grouped = match groups.as_slice() {
            [one] => digits_only(one) || (one.is_empty() && fraction.is_some()),
            [first, rest @ ..] => {
                digits_only(first)
                    && first.len() <= 3
                    && rest.iter().all(|group| digits_only(group) && group.len() == 3)
            }
            [] => false,
        };
        if !grouped {
            return None;
        }
        let mut plain = format!("{minus}{}", groups.concat());
        if let Some(fraction) = fraction {
            plain.push('.');
            plain.push_str(fraction);
        }
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(decimal: DecimalMark, thousands: &str, text: &str) -> Option<String> {
        Style::new(decimal, thousands, b',').parse(text).ok().map(|number| number.text())
    }

    #[test]
    fn figures_as_publishers_print_them() {
        for (text, expected) in [
            ("127,418", "127418"),
            ("1,275,418.50", "1275418.50"),
            ("\u{2212}1", "-1"),
            ("3.0", "3.0"),
            (" 61 ", "61"),
            ("0.594539921118996", "0.594539921118996"),
            ("1.5E-05", "1.5E-05"),
            ("127\u{A0}418", "127418"),
        ] {
            assert_eq!(read(DecimalMark::Auto, ",", text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(read(DecimalMark::Comma, ".", "1.234,50").as_deref(), Some("1234.50"));
        assert_eq!(read(DecimalMark::Comma, ".", "1.234").as_deref(), Some("1234"));
        assert_eq!(Style::new(DecimalMark::Auto, "", b';').parse("28,70").unwrap().text(), "28.70");
        assert_eq!(Style::new(DecimalMark::Auto, "", b';').parse("28.70").unwrap().text(), "28.70");
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for bad in ["1,27", "12,3456", "1,,275", "1.2.3", ",275", "n/a", "-", "", "1,275,", "−−1", "4 of 5"] {
            assert_eq!(read(DecimalMark::Auto, ",", bad), None, "{bad}");
        }
        assert_eq!(read(DecimalMark::Auto, "", "127,418"), None, "no separator was agreed on");
        assert!(Style::new(DecimalMark::Auto, "", b';').parse("1.234,5").is_err());
    }

    proptest! {
        /// Model: the plain text. Printed in another country's way it reads as the same digits.
        #[test]
        fn every_print_of_a_number_reads_as_its_digits(
            negative: bool, whole in "0|[1-9][0-9]{0,11}", fraction in proptest::option::of("[0-9]{1,6}"), comma: bool,
        ) {
            let (mark, between) = if comma { (',', '.') } else { ('.', ',') };
            let mut grouped = String::new();
            for (at, digit) in whole.chars().enumerate() {
                if at > 0 && (whole.len() - at).is_multiple_of(3) {
                    grouped.push(between);
                }
                grouped.push(digit);
            }
            let print = |minus: &str, whole: &str, mark: char| {
                let sign = if negative { minus } else { "" };
                format!("{sign}{whole}{}", fraction.as_ref().map(|digits| format!("{mark}{digits}")).unwrap_or_default())
            };
            let decimal = if comma { DecimalMark::Comma } else { DecimalMark::Point };
            let style = Style::new(decimal, &between.to_string(), b';');
            let plain = print("-", &whole, '.');
            prop_assert_eq!(style.parse(&print("\u{2212}", &grouped, mark)).unwrap().text(), plain.clone());
            prop_assert_eq!(style.parse(&print("-", &whole, mark)).unwrap().text(), plain);
        }

        #[test]
        fn any_text_is_refused_or_read(text in "[-−0-9.,' eE]{0,12}") {
            let _ = Style::new(DecimalMark::Either, ",'", b';').parse(&text);
        }
    }
}
