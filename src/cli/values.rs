//! How figures, counts, instants and ranks are printed. Digits stay as published.

use super::words;
use crate::proto;

/// A figure with its qualifier, multiplier and status in words; empty for `None`.
pub fn value(value: Option<&proto::Value>) -> String {
    let Some(value) = value else { return String::new() };
    let Some(number) = value.number else { return words::missing_reason(value.missing()).to_owned() };
    let decimals = value.decimals.unwrap_or(0) as usize;
    let digits = if value.exact.is_empty() { format!("{number:.decimals$}") } else { value.exact.clone() };
    let qualified = match value.qualifier() {
        proto::Qualifier::Unspecified | proto::Qualifier::Exact => digits,
        proto::Qualifier::Approximate => format!("~{digits}"),
        proto::Qualifier::AtLeast => format!("≥ {digits}"),
        proto::Qualifier::AtMost => format!("≤ {digits}"),
        proto::Qualifier::Range => format!("{digits} to {:.decimals$}", value.upper.unwrap_or(f64::NAN)),
    };
    let status = match words::observation_status(value.status()) {
        "" => String::new(),
        word => format!(" ({word})"),
    };
    format!("{qualified}{}{status}", multiplier(value.multiplier_pow10))
}

fn multiplier(power: i32) -> String {
    match power {
        0 => String::new(),
        3 => " thousand".into(),
        6 => " million".into(),
        9 => " billion".into(),
        12 => " trillion".into(),
        power => format!(" ×10^{power}"),
    }
}

/// The cause with this number in the contract; empty if there is no such cause.
pub fn cause(number: i32) -> &'static str {
    words::cause(proto::Cause::try_from(number).unwrap_or_default())
}

/// What a commit changed: `3 added, 1 revised`.
pub fn counts(counts: &proto::ChangeCounts) -> String {
    let all = [
        (counts.added, "added"),
        (counts.revised, "revised"),
        (counts.withdrawn, "withdrawn"),
        (counts.backfilled, "filled in"),
        (counts.unchanged, "unchanged"),
        (counts.definitions_added, "defined"),
        (counts.definitions_revised, "redefined"),
        (counts.definitions_removed, "definitions taken back"),
        (counts.definitions_unchanged, "definitions unchanged"),
    ];
    let positive = all.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = positive.map(|(count, word)| format!("{count} {word}")).collect();
    words.join(", ")
}

/// An instant in UTC, to the second; empty if there is none.
pub fn instant(timestamp: Option<&prost_types::Timestamp>) -> String {
    let instant = timestamp.and_then(|timestamp| jiff::Timestamp::new(timestamp.seconds, 0).ok());
    instant.map_or_else(String::new, |instant| instant.to_string())
}

/// A rank, or what is known instead: `listed` without a rank, `>100` below the list, `–` not ranked, `?` not known.
pub fn rank(entry: Option<&proto::Entry>, absence: Option<&proto::Absence>) -> String {
    match (entry, absence) {
        (Some(proto::Entry { rank: Some(rank), tied: true, .. }), _) => format!("={rank}"),
        (Some(proto::Entry { rank: Some(rank), .. }), _) => rank.to_string(),
        (Some(_), _) => "listed".into(),
        (None, Some(absence)) => match absence.kind() {
            proto::AbsenceKind::WorseThan => format!(">{}", absence.worse_than),
            proto::AbsenceKind::NotRanked => "–".into(),
            proto::AbsenceKind::Unspecified | proto::AbsenceKind::Unknown => "?".into(),
        },
        (None, None) => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_printed_as_published() {
        let plain = proto::Value { number: Some(2.05701), decimals: Some(5), ..Default::default() };
        assert_eq!(value(Some(&plain)), "2.05701");
        let bound = proto::Value {
            number: Some(3.6),
            decimals: Some(1),
            multiplier_pow10: 12,
            qualifier: proto::Qualifier::AtLeast.into(),
            ..Default::default()
        };
        assert_eq!(value(Some(&bound)), "≥ 3.6 trillion");
        let exact =
            proto::Value { number: Some(1.5e-5), decimals: Some(6), exact: "1.5E-05".into(), ..Default::default() };
        assert_eq!(value(Some(&exact)), "1.5E-05");
        let none = proto::Value { missing: proto::MissingReason::Suppressed.into(), ..Default::default() };
        assert_eq!(value(Some(&none)), "missing: suppressed");
    }
}
