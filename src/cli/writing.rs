//! What the writing commands share: dates and digests, and how results and findings read.

use sha2::{Digest, Sha256};

use super::{
    change,
    error::CliError,
    session::{Session, Tone},
    table::{line, note},
};
use crate::{
    model::{
        finding::{Finding, Severity},
        time::{Date, now},
    },
    proto,
};

/// Most findings printed of one file.
const FINDINGS_PRINTED_MAX: usize = 50;
/// Most lines of a difference printed.
const DIFFERENCE_PRINTED_MAX: usize = 200;

/// Counts of several commits together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally(pub proto::ChangeCounts);

impl Tally {
    /// Adds the counts of one.
    pub fn add(&mut self, counts: &proto::ChangeCounts) {
        self.0.added += counts.added;
        self.0.revised += counts.revised;
        self.0.unchanged += counts.unchanged;
        self.0.withdrawn += counts.withdrawn;
        self.0.backfilled += counts.backfilled;
        self.0.definitions_added += counts.definitions_added;
        self.0.definitions_revised += counts.definitions_revised;
        self.0.definitions_unchanged += counts.definitions_unchanged;
        self.0.definitions_removed += counts.definitions_removed;
    }
}

/// Counts in words; those that are always said, and those that are when there are any.
pub fn counts(counts: &proto::ChangeCounts) -> String {
    let rows = counts.added + counts.revised + counts.unchanged + counts.withdrawn + counts.backfilled;
    let definitions = counts.definitions_added + counts.definitions_revised + counts.definitions_unchanged;
    let only_definitions = rows == 0 && definitions > 0;
    let said = [
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
    let said = said.into_iter().filter(|(count, _, always)| *always || *count > 0);
    said.map(|(count, word, _)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

/// SHA-256, hex.
pub fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Today, in UTC.
pub fn today() -> Date {
    let day = now().0.div_euclid(86_400_000_000);
    i32::try_from(day).ok().and_then(Date::from_days).unwrap_or(Date::EPOCH)
}

/// A `--released` date.
pub fn date(text: &str) -> Result<Date, String> {
    Date::parse(text).map_err(|error| error.to_string())
}

/// Prints findings of a file to standard error: they are about the input, not the answer.
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
pub fn print_answered(session: &Session, findings: &[proto::Finding]) {
    for finding in findings.iter().take(FINDINGS_PRINTED_MAX) {
        let error = finding.severity() == proto::FindingSeverity::Error;
        print_finding(session, error, &finding.location, &finding.code, &finding.message, &finding.suggestions);
    }
    if findings.len() > FINDINGS_PRINTED_MAX {
        eprintln!("... and {} more", findings.len() - FINDINGS_PRINTED_MAX);
    }
}

fn print_finding(session: &Session, error: bool, location: &str, code: &str, message: &str, suggestions: &[String]) {
    let word = if error { session.paint(Tone::Bad, "error") } else { session.paint(Tone::Quiet, "warning") };
    let near =
        if suggestions.is_empty() { String::new() } else { format!("; did you mean {}?", suggestions.join(", ")) };
    eprintln!("{word} {code} {location}: {message}{near}");
}

/// Whether the server found errors; a write that only validates says so here, not in its status.
pub fn refused(findings: &[proto::Finding]) -> bool {
    findings.iter().any(|finding| finding.severity() == proto::FindingSeverity::Error)
}

/// Says aloud that nothing was done, where an earlier request was answered again.
pub fn print_replayed(session: &Session, result: &proto::WriteResult) -> Result<(), CliError> {
    if !result.replayed {
        return Ok(());
    }
    let text = format!(
        "NOTHING WAS WRITTEN: the same request was done before, in revision {}; this is its answer again",
        result.revision
    );
    note(session, session.paint(Tone::Bad, &text))
}

/// Prints what a write would change, as the feed would say it.
pub fn print_difference(session: &Session, result: &proto::WriteResult) -> Result<(), CliError> {
    for change in result.difference.iter().take(DIFFERENCE_PRINTED_MAX) {
        line(change::line(session, change, false))?;
    }
    let unsaid = result.difference.len().saturating_sub(DIFFERENCE_PRINTED_MAX) as u64 + result.difference_left_out;
    if unsaid > 0 {
        note(session, format!("... and {unsaid} more changes"))?;
    }
    Ok(())
}
