//! What the writing commands share: dates and digests, and how results and findings are printed.

use sha2::{Digest, Sha256};

use super::{
    change,
    error::CliError,
    session::{Session, TextStyle},
    table::{line, note},
};
use crate::{
    model::{
        finding::{Finding, Severity},
        time::{Date, now},
    },
    proto,
};

/// Most findings that are printed for one file.
const FINDINGS_PRINTED_MAX: usize = 50;
/// Most lines of a difference that are printed.
const DIFFERENCE_PRINTED_MAX: usize = 200;

/// Adds the counts of a commit to those of several commits.
pub fn add_counts(total: &mut proto::ChangeCounts, counts: &proto::ChangeCounts) {
    total.added += counts.added;
    total.revised += counts.revised;
    total.unchanged += counts.unchanged;
    total.withdrawn += counts.withdrawn;
    total.backfilled += counts.backfilled;
    total.definitions_added += counts.definitions_added;
    total.definitions_revised += counts.definitions_revised;
    total.definitions_unchanged += counts.definitions_unchanged;
    total.definitions_removed += counts.definitions_removed;
}

/// Counts in words. Rows added, revised and unchanged are named even if there are none; if a commit has definitions
/// only, then the definitions are.
pub fn counts(counts: &proto::ChangeCounts) -> String {
    let rows = counts.added + counts.revised + counts.unchanged + counts.withdrawn + counts.backfilled;
    let definitions = counts.definitions_added + counts.definitions_revised + counts.definitions_unchanged;
    let only_definitions = rows == 0 && definitions > 0;
    // Count, word, whether to print a count of zero.
    let all = [
        (counts.added, "added", !only_definitions),
        (counts.revised, "revised", !only_definitions),
        (counts.unchanged, "unchanged", !only_definitions),
        (counts.withdrawn, "withdrawn", false),
        (counts.backfilled, "filled in behind a newer release", false),
        (counts.definitions_added, "defined", only_definitions),
        (counts.definitions_revised, "redefined", only_definitions),
        (counts.definitions_unchanged, "definitions unchanged", only_definitions),
        (counts.definitions_removed, "definitions taken back", false),
    ];
    let mut words = Vec::new();
    for (count, word, even_zero) in all {
        if even_zero || count > 0 {
            words.push(format!("{count} {word}"));
        }
    }
    words.join(", ")
}

/// SHA-256 in lower-case hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The current date in UTC.
pub fn today() -> Date {
    let day = now().0.div_euclid(86_400_000_000);
    i32::try_from(day).ok().and_then(Date::from_days).unwrap_or(Date::EPOCH)
}

/// Parses the value of `--released`.
pub fn date(text: &str) -> Result<Date, String> {
    Date::parse(text).map_err(|error| error.to_string())
}

/// Prints findings about a file to standard error.
pub fn print_findings(session: &Session, findings: &[Finding]) {
    for finding in findings.iter().take(FINDINGS_PRINTED_MAX) {
        let error = finding.severity == Severity::Error;
        print_finding(session, error, &finding.location, &finding.code, &finding.message, &finding.suggestions);
    }
    if findings.len() > FINDINGS_PRINTED_MAX {
        eprintln!("... and {} more", findings.len() - FINDINGS_PRINTED_MAX);
    }
}

/// Prints findings of the server to standard error.
pub fn print_answer_findings(session: &Session, findings: &[proto::Finding]) {
    for finding in findings.iter().take(FINDINGS_PRINTED_MAX) {
        let error = finding.severity() == proto::FindingSeverity::Error;
        print_finding(session, error, &finding.location, &finding.code, &finding.message, &finding.suggestions);
    }
    if findings.len() > FINDINGS_PRINTED_MAX {
        eprintln!("... and {} more", findings.len() - FINDINGS_PRINTED_MAX);
    }
}

fn print_finding(session: &Session, error: bool, location: &str, code: &str, message: &str, suggestions: &[String]) {
    let word = if error { session.paint(TextStyle::Worse, "error") } else { session.paint(TextStyle::Dim, "warning") };
    let near =
        if suggestions.is_empty() { String::new() } else { format!("; did you mean {}?", suggestions.join(", ")) };
    eprintln!("{word} {code} {location}: {message}{near}");
}

/// Whether the server found errors. A write that only validates returns them as findings, not as an error status.
pub fn has_errors(findings: &[proto::Finding]) -> bool {
    findings.iter().any(|finding| finding.severity() == proto::FindingSeverity::Error)
}

/// Prints that nothing was written, if the server answered with the result of an earlier request.
pub fn print_replayed(session: &Session, result: &proto::WriteResult) -> Result<(), CliError> {
    if !result.replayed {
        return Ok(());
    }
    let text = format!(
        "NOTHING WAS WRITTEN: the same request was done before, in revision {}; this is its answer again",
        result.revision
    );
    note(session, session.paint(TextStyle::Worse, &text))
}

/// Prints what a write changes, as `almanac watch` does.
pub fn print_difference(session: &Session, result: &proto::WriteResult) -> Result<(), CliError> {
    for change in result.difference.iter().take(DIFFERENCE_PRINTED_MAX) {
        line(change::line(session, change, false))?;
    }
    let left_out = result.difference.len().saturating_sub(DIFFERENCE_PRINTED_MAX) as u64 + result.difference_left_out;
    if left_out > 0 {
        note(session, format!("... and {left_out} more changes"))?;
    }
    Ok(())
}
