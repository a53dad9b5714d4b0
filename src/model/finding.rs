//! What was noticed about something that was sent.

use serde::{Deserialize, Serialize};

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// The write goes on.
    Warning,
    /// The write is refused.
    Error,
}

/// One thing noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Stable code.
    pub code: String,
    /// In words.
    pub message: String,
    /// Field path of the request.
    pub location: String,
    /// What may have been meant, nearest first.
    pub suggestions: Vec<String>,
}

/// Most findings kept; more are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// Findings of one write.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    errors: usize,
    left_out: usize,
}

impl Findings {
    /// Notes an error.
    pub fn error(&mut self, code: &str, location: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Error, code, location.into(), message.into(), Vec::new());
    }

    /// Notes an unknown id, with the nearest known ones.
    pub fn unknown(&mut self, code: &str, location: impl Into<String>, message: impl Into<String>, near: Vec<String>) {
        self.add(Severity::Error, code, location.into(), message.into(), near);
    }

    /// Notes a warning.
    pub fn warning(&mut self, code: &str, location: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Warning, code, location.into(), message.into(), Vec::new());
    }

    fn add(&mut self, severity: Severity, code: &str, location: String, message: String, suggestions: Vec<String>) {
        self.errors += usize::from(severity == Severity::Error);
        if self.kept.len() < FINDINGS_MAX {
            self.kept.push(Finding { severity, code: code.to_owned(), message, location, suggestions });
        } else {
            self.left_out += 1;
        }
    }

    /// Whether the write must be refused.
    pub fn refuse(&self) -> bool {
        self.errors > 0
    }

    /// How many errors there are, those left out included.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// The findings kept.
    pub fn into_vec(self) -> Vec<Finding> {
        self.kept
    }
}
