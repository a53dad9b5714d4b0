//! Figures that carry more than a number: multiplier, qualifier, status, remark, or the reason why there is none.

use super::{Columns, Empty, Gather, Row, Style};
use crate::model::value::{COMMENT_BYTES_MAX, Figure, MULTIPLIER_MAX, MissingReason, Notes, Qualifier, Status, Value};

impl Gather<'_> {
    pub(super) fn noted_value(&mut self, row: Row<'_>, columns: &Columns, style: &Style) -> Option<Value> {
        let reading = &self.reader.profile.read;
        let text = row.text(columns.value);
        let mut bad = |column: Option<usize>, code: &str, message: String| {
            let head = column.map_or("", |at| columns.heads[at].as_str());
            self.findings.error(code, format!("{}:{}, column {head}", self.file, row.line), message);
        };
        let reason = row.optional(columns.missing);
        let figure = if reading.is_missing(text) {
            if self.reader.shape.empty == Empty::NoFigure {
                return None;
            }
            match MissingReason::from_text(&word(reason)) {
                Some(reason) => Figure::Missing(reason),
                None => {
                    let message = "without a value, say why: not-collected, not-applicable, suppressed, no-measurement";
                    bad(columns.missing, "NO_REASON", message.to_owned());
                    return None;
                }
            }
        } else {
            if !reason.is_empty() {
                bad(columns.missing, "VALUE_AND_REASON", "a value and a reason for having none".to_owned());
            }
            match style.parse(text) {
                Ok(number) => Figure::Number(number),
                Err(error) => {
                    bad(Some(columns.value), "BAD_NUMBER", error.to_string());
                    return None;
                }
            }
        };
        let multiplier = multiplier(row.optional(columns.multiplier)).unwrap_or_else(|| {
            let message =
                format!("give a power of ten up to {MULTIPLIER_MAX}, or thousand, million, billion, trillion");
            bad(columns.multiplier, "BAD_MULTIPLIER", message);
            0
        });
        let status = Status::from_text(&word(row.optional(columns.status))).unwrap_or_else(|| {
            let message =
                "give normal, break, estimated, forecast, imputed, not-significant, provisional or its letter";
            bad(columns.status, "BAD_STATUS", message.to_owned());
            Status::Normal
        });
        let upper = row.optional(columns.upper);
        let qualifier = match (word(row.optional(columns.qualifier)).as_str(), upper.is_empty()) {
            ("range", false) | ("", false) => match style.parse(upper) {
                Ok(upper) => Qualifier::RangeTo(upper),
                Err(error) => {
                    bad(columns.upper, "BAD_NUMBER", error.to_string());
                    Qualifier::Exact
                }
            },
            ("" | "exact", true) => Qualifier::Exact,
            ("approximate", true) => Qualifier::Approximate,
            ("at-least", true) => Qualifier::AtLeast,
            ("at-most", true) => Qualifier::AtMost,
            (_, upper_is_empty) => {
                let message = if upper_is_empty {
                    "give exact, approximate, at-least, at-most, or range with an upper end"
                } else {
                    "only a range has an upper end"
                };
                bad(columns.qualifier, "BAD_QUALIFIER", message.to_owned());
                Qualifier::Exact
            }
        };
        if let (Figure::Number(lower), Qualifier::RangeTo(upper)) = (&figure, &qualifier)
            && (lower.decimals() != upper.decimals() || lower.to_f64() > upper.to_f64())
        {
            let message = format!("{lower} to {upper}: both ends have the same decimals, the upper one is not below");
            bad(columns.upper, "BAD_RANGE", message);
        }
        let comment = row.optional(columns.comment);
        if comment.len() > COMMENT_BYTES_MAX {
            bad(columns.comment, "LONG_COMMENT", format!("longer than {COMMENT_BYTES_MAX} bytes"));
        }
        Some(Value::new(figure, Notes { multiplier, qualifier, status, comment: comment.to_owned() }))
    }
}

/// A word of a small vocabulary: case, blanks and underscores do not matter.
fn word(text: &str) -> String {
    text.to_ascii_lowercase().replace(['_', ' '], "-")
}

fn multiplier(text: &str) -> Option<i8> {
    match word(text).as_str() {
        "" => Some(0),
        "thousand" => Some(3),
        "million" => Some(6),
        "billion" => Some(9),
        "trillion" => Some(12),
        power => power.parse().ok().filter(|power: &i8| i32::from(*power).abs() <= MULTIPLIER_MAX),
    }
}
