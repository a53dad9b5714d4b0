//! Findings: errors and warnings about the content of a write.

use serde::{Deserialize, Serialize};

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
        self.add(Severity::Error, code, location.into(), message.into(), Vec::new());
    }

    /// Adds the error that an id is unknown, with the nearest known ones.
    pub fn unknown(&mut self, code: &str, location: impl Into<String>, message: impl Into<String>, near: Vec<String>) {
        self.add(Severity::Error, code, location.into(), message.into(), near);
    }

    /// Adds a warning.
    pub fn warning(&mut self, code: &str, location: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Warning, code, location.into(), message.into(), Vec::new());
    }

    fn add(&mut self, severity: Severity, code: &str, location: String, message: String, suggestions: Vec<String>) {
        self.errors += usize::from(severity == Severity::Error);
        if self.kept.len() < FINDINGS_MAX {
            self.kept.push(Finding { severity, code: code.to_owned(), message, location, suggestions });
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

    /// The first [`FINDINGS_MAX`] findings, in the order in which they were added.
    pub fn into_vec(self) -> Vec<Finding> {
        self.kept
    }
}
