//! Why a command failed, in a sentence that says what to do next.

use std::process::ExitCode;

use tonic::{Code, Status};
use tonic_types::StatusExt;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// An option or argument cannot be used. Exit code 2; that of all others is 1.
    #[error("{0}")]
    Usage(String),
    /// There is no server at the address.
    #[error("nothing answers at {server} ({error}); start one with `almanac serve`, or name another with --server")]
    Unreachable { server: String, error: tonic::transport::Error },
    /// The server answered with an error.
    #[error("{}", describe(.0))]
    Status(Box<Status>),
    /// A file, the terminal or a thread failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// An input cannot be accepted. Its findings are printed before this error.
    #[error("{0}")]
    Refused(String),
    /// `almanac serve` could not start or broke off.
    #[error(transparent)]
    Serve(#[from] crate::server::ServeError),
}

impl From<Status> for CliError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl CliError {
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
    // The message is the text of the first violation.
    for violation in details.bad_request().iter().flat_map(|bad| &bad.field_violations).skip(1) {
        text.push_str(&format!("\n  {}: {}", violation.field, violation.description));
    }
    if status.code() == Code::Unavailable {
        text.push_str(" (try again)");
    }
    text
}
