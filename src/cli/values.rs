//! Figures as people read them. Digits are those published.

use crate::proto;

/// A figure with its qualifier and multiplier in words.
pub fn value(value: Option<&proto::Value>) -> String {
    let Some(value) = value else { return String::new() };
    let Some(number) = value.number else { return missing(value.missing()) };
    let decimals = value.decimals.unwrap_or(0) as usize;
    let text = if value.exact.is_empty() { format!("{number:.decimals$}") } else { value.exact.clone() };
    let text = match value.qualifier() {
        proto::Qualifier::Unspecified | proto::Qualifier::Exact => text,
        proto::Qualifier::Approximate => format!("~{text}"),
        proto::Qualifier::AtLeast => format!("≥ {text}"),
        proto::Qualifier::AtMost => format!("≤ {text}"),
        proto::Qualifier::Range => format!("{text} to {:.decimals$}", value.upper.unwrap_or(f64::NAN)),
    };
    let mark = match value.status() {
        proto::ObservationStatus::Provisional => " (provisional)",
        proto::ObservationStatus::Estimated => " (estimated)",
        proto::ObservationStatus::Forecast => " (forecast)",
        proto::ObservationStatus::Break => " (break in series)",
        proto::ObservationStatus::Imputed => " (imputed)",
        proto::ObservationStatus::NotSignificant => " (not significant)",
        proto::ObservationStatus::Unspecified | proto::ObservationStatus::Normal => "",
    };
    format!("{text}{}{mark}", multiplier(value.multiplier_pow10))
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

fn missing(reason: proto::MissingReason) -> String {
    match reason {
        proto::MissingReason::Unspecified => "missing",
        proto::MissingReason::NotCollected => "missing: not collected",
        proto::MissingReason::NotApplicable => "missing: does not apply",
        proto::MissingReason::Suppressed => "missing: suppressed",
        proto::MissingReason::NoMeasurement => "missing: no measurement",
    }
    .to_owned()
}

/// A cause in words.
pub fn cause(cause: i32) -> &'static str {
    match proto::Cause::try_from(cause).unwrap_or_default() {
        proto::Cause::Unspecified => "",
        proto::Cause::FirstRelease => "first release",
        proto::Cause::ScheduledRevision => "scheduled revision",
        proto::Cause::Correction => "correction",
        proto::Cause::MethodChange => "method change",
        proto::Cause::Withdrawal => "withdrawal",
        proto::Cause::ReloadUnchanged => "checked, unchanged",
        proto::Cause::Definition => "definition",
    }
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
    let said: Vec<String> =
        all.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    said.join(", ")
}

/// An instant, to the second.
pub fn instant(timestamp: Option<&prost_types::Timestamp>) -> String {
    let instant = timestamp.and_then(|given| jiff::Timestamp::new(given.seconds, 0).ok());
    instant.map_or_else(String::new, |instant| instant.to_string())
}

/// A rank, or what is known instead of one: `listed` without a rank, `>100` below what is listed, `–` not ranked, `?` not
/// known.
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
    fn figures_read_as_published() {
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
