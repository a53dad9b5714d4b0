//! Why a command failed, in a sentence that says what to do.

use std::process::ExitCode;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Nothing answers there.
    #[error("nothing answers at {server} ({error}); start one with `almanac serve`, or name another with --server")]
    Unreachable {
        /// Where.
        server: String,
        /// Why.
        error: tonic::transport::Error,
    },
    /// The server refused or failed.
    #[error("{}", describe(.0))]
    Status(Box<Status>),
    /// A file or the terminal failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// What was given is not acceptable; everything was said already.
    #[error("{0}")]
    Refused(String),
    /// The server does not run.
    #[error(transparent)]
    Serve(#[from] crate::server::ServeError),
}

impl From<Status> for CliError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl CliError {
    /// 1: refused or failed. 2: wrong usage.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            _ => ExitCode::from(1),
        }
    }
}

fn describe(status: &Status) -> String {
    let mut text =
        if status.message().is_empty() { format!("{:?}", status.code()) } else { status.message().to_owned() };
    let details = status.get_error_details();
    // The first violation is the message already.
    for violation in details.bad_request().iter().flat_map(|bad| &bad.field_violations).skip(1) {
        text.push_str(&format!("\n  {}: {}", violation.field, violation.description));
    }
    if status.code() == Code::Unavailable {
        text.push_str(" (try again)");
    }
    text
}
