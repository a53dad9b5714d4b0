//! Figures that have more than a number: multiplier, qualifier, status, comment, or the reason why the number is
//! missing.

use super::{super::profile::EmptyCell, Context};
use crate::model::{
    finding::Findings,
    value::{COMMENT_BYTES_MAX, Figure, MULTIPLIER_MAX, MissingReason, Notes, Qualifier, Status, Value},
};

/// The value of a row; `None` if the producer publishes no figure, or if it cannot be read. What is wrong with its
/// notes is noted as an error.
pub(super) fn noted_value(context: &Context<'_>, empty: EmptyCell, findings: &mut Findings) -> Option<Value> {
    let figure = figure(context, empty, findings)?;
    let multiplier = multiplier(context, findings);
    let status = status(context, findings);
    let qualifier = qualifier(context, findings);
    check_range(context, &figure, &qualifier, findings);
    let columns = context.columns;
    let comment = context.text(columns.comment);
    if comment.len() > COMMENT_BYTES_MAX {
        let message = format!("longer than {COMMENT_BYTES_MAX} bytes");
        findings.error("LONG_COMMENT", context.place(columns.comment), message);
    }
    Some(Value::new(figure, Notes { multiplier, qualifier, status, comment: comment.to_owned() }))
}

fn figure(context: &Context<'_>, empty: EmptyCell, findings: &mut Findings) -> Option<Figure> {
    let columns = context.columns;
    let text = context.row.text(columns.value);
    let reason = context.text(columns.missing);
    if context.format.is_missing(text) {
        return match (empty, MissingReason::from_text(&normalize(reason))) {
            (EmptyCell::NoFigure, _) => None,
            (EmptyCell::Missing, Some(reason)) => Some(Figure::Missing(reason)),
            (EmptyCell::Missing, None) => {
                let message = "without a value, say why: not-collected, not-applicable, suppressed, no-measurement";
                findings.error("NO_REASON", context.place(columns.missing), message);
                None
            }
        };
    }
    if !reason.is_empty() {
        let message = "a value and a reason for having none";
        findings.error("VALUE_AND_REASON", context.place(columns.missing), message);
    }
    match context.numbers.parse(text) {
        Ok(number) => Some(Figure::Number(number)),
        Err(error) => {
            findings.error("BAD_NUMBER", context.place(Some(columns.value)), error.to_string());
            None
        }
    }
}

fn multiplier(context: &Context<'_>, findings: &mut Findings) -> i8 {
    let column = context.columns.multiplier;
    parse_multiplier(context.text(column)).unwrap_or_else(|| {
        let message = format!("give a power of ten up to {MULTIPLIER_MAX}, or thousand, million, billion, trillion");
        findings.error("BAD_MULTIPLIER", context.place(column), message);
        0
    })
}

fn status(context: &Context<'_>, findings: &mut Findings) -> Status {
    let column = context.columns.status;
    Status::from_text(&normalize(context.text(column))).unwrap_or_else(|| {
        let message = "give normal, break, estimated, forecast, imputed, not-significant, provisional or its letter";
        findings.error("BAD_STATUS", context.place(column), message);
        Status::Normal
    })
}

fn qualifier(context: &Context<'_>, findings: &mut Findings) -> Qualifier {
    let columns = context.columns;
    let upper = context.text(columns.upper);
    let word = normalize(context.text(columns.qualifier));
    if !upper.is_empty() {
        if !matches!(word.as_str(), "" | "range") {
            let message = "only a range has an upper end";
            findings.error("BAD_QUALIFIER", context.place(columns.qualifier), message);
            return Qualifier::Exact;
        }
        return match context.numbers.parse(upper) {
            Ok(upper) => Qualifier::RangeTo(upper),
            Err(error) => {
                findings.error("BAD_NUMBER", context.place(columns.upper), error.to_string());
                Qualifier::Exact
            }
        };
    }
    match word.as_str() {
        "" | "exact" => Qualifier::Exact,
        "approximate" => Qualifier::Approximate,
        "at-least" => Qualifier::AtLeast,
        "at-most" => Qualifier::AtMost,
        _ => {
            let message = "give exact, approximate, at-least, at-most, or range with an upper end";
            findings.error("BAD_QUALIFIER", context.place(columns.qualifier), message);
            Qualifier::Exact
        }
    }
}

fn check_range(context: &Context<'_>, figure: &Figure, qualifier: &Qualifier, findings: &mut Findings) {
    let Figure::Number(lower) = figure else { return };
    let Qualifier::RangeTo(upper) = qualifier else { return };
    if lower.decimals() != upper.decimals() || lower.to_f64() > upper.to_f64() {
        let message = format!("{lower} to {upper}: both ends have the same decimals, the upper one is not below");
        findings.error("BAD_RANGE", context.place(context.columns.upper), message);
    }
}

/// A word in the spelling of the tables below: case, blanks and underscores do not matter.
fn normalize(word: &str) -> String {
    word.to_ascii_lowercase().replace(['_', ' '], "-")
}

/// A power of ten, as a number or a word.
fn parse_multiplier(text: &str) -> Option<i8> {
    match normalize(text).as_str() {
        "" => Some(0),
        "thousand" => Some(3),
        "million" => Some(6),
        "billion" => Some(9),
        "trillion" => Some(12),
        power => power.parse().ok().filter(|power: &i8| i32::from(*power).abs() <= MULTIPLIER_MAX),
    }
}
