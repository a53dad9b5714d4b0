//! Findings: errors and warnings about the content of a write.

use serde::{Deserialize, Serialize};

use super::catalog::DefinitionKind;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// The write goes on.
    Warning,
    /// The write is refused.
    Error,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub severity: Severity,
    /// Stable: `UNKNOWN_ENTITY`.
    pub code: String,
    pub message: String,
    /// Path of the field in the request.
    pub location: String,
    /// Known ids near one that is unknown, nearest first; empty for most findings.
    pub suggestions: Vec<String>,
    /// The unknown id that it is about, while `suggestions` are still to be found.
    #[serde(skip)]
    pub unknown: Option<UnknownId>,
}

/// An id that no definition has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownId {
    pub kind: DefinitionKind,
    pub id: String,
}

/// Most findings that one write keeps. Of the others only the errors are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// The findings of one write, at most [`FINDINGS_MAX`].
#[derive(Debug, Clone, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    errors: usize,
}

impl Findings {
    /// Adds an error.
    pub fn error(&mut self, code: &str, location: impl Into<String>, message: impl Into<String>) {
        self.near(code, location, message, Vec::new());
    }

    /// Adds the error that a name is unknown, with the nearest known ids.
    pub fn near(&mut self, code: &str, location: impl Into<String>, message: impl Into<String>, near: Vec<String>) {
        self.add(Severity::Error, code, location.into(), message.into(), near, None);
    }

    /// Adds the error that no definition has an id. Its suggestions are found later.
    pub fn unknown(
        &mut self,
        code: &str,
        location: impl Into<String>,
        message: impl Into<String>,
        kind: DefinitionKind,
        id: &str,
    ) {
        let unknown = UnknownId { kind, id: id.to_owned() };
        self.add(Severity::Error, code, location.into(), message.into(), Vec::new(), Some(unknown));
    }

    /// Adds a warning.
    pub fn warning(&mut self, code: &str, location: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Warning, code, location.into(), message.into(), Vec::new(), None);
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &str,
        location: String,
        message: String,
        suggestions: Vec<String>,
        unknown: Option<UnknownId>,
    ) {
        self.errors += usize::from(severity == Severity::Error);
        if self.kept.len() < FINDINGS_MAX {
            self.kept.push(Finding { severity, code: code.to_owned(), message, location, suggestions, unknown });
        }
    }

    /// Whether the write must be refused.
    pub fn refuse(&self) -> bool {
        self.errors > 0
    }

    /// The number of errors, those above [`FINDINGS_MAX`] included.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Whether an id is among them whose suggestions are still to be found.
    pub fn any_unknown(&self) -> bool {
        self.kept.iter().any(|finding| finding.unknown.is_some())
    }

    /// The first [`FINDINGS_MAX`] findings, in the order in which they were added.
    pub fn into_vec(self) -> Vec<Finding> {
        self.kept
    }
}
