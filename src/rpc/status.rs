//! Every error as a gRPC status, in one place.
//!
//! A status carries `google.rpc.ErrorInfo` with one of the reasons below (domain `almanac`), and where it helps
//! `BadRequest`, `ResourceInfo` or `RetryInfo`. Details stay below 4 KiB: h2 drops a call whose headers grow above 16 KiB.
//!
//! | code | reasons |
//! |---|---|
//! | `INVALID_ARGUMENT` | `FIELD`, `FINDINGS`, `TOKEN_MALFORMED`, `TOKEN_OTHER_FILTER`, `PAGE_TOKEN`, `POLICY` |
//! | `NOT_FOUND` | `UNKNOWN_INDICATOR`, `UNKNOWN_ENTITY`, `UNKNOWN_SOURCE`, `UNKNOWN_RANKING`, `NO_EDITION`, `NO_FIGURE`, `UNKNOWN_METHODOLOGY`, `NO_CURSOR` |
//! | `ALREADY_EXISTS` | `REQUEST_REUSED`, `EDITION_EXISTS` |
//! | `FAILED_PRECONDITION` | `EDITION_WITHDRAWN`, `TOKEN_OTHER_HISTORY`, `CURSOR_BACKWARDS`, `CURSOR_OTHER_FILTER`, `COMPACTED` |
//! | `OUT_OF_RANGE` | `ABOVE_HEAD`, `BELOW_FLOOR` |
//! | `ABORTED` | `HEAD_MOVED` |
//! | `PERMISSION_DENIED` | `LICENCE` |
//! | `RESOURCE_EXHAUSTED` | `TOO_MANY_SUBSCRIBERS`, `WRITER_BUSY`, `UPLOAD_TOO_LARGE`, `NO_SPACE`, `TOO_MANY_BACKUPS`, `TOO_MANY_CURSORS` |
//! | `UNIMPLEMENTED` | `NOT_SUPPORTED` |
//! | `UNAVAILABLE` | `WRITES_STOPPED` |
//! | `DATA_LOSS` | `STORE_DAMAGED` |
//! | `INTERNAL` | `STORE_FAILED` |

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    feed::FeedError,
    ledger::{WriteError, cursor::CursorError, plan::PlanError, upload::UploadError},
    model::{
        catalog::DefinitionKind,
        finding::{Finding, Severity},
        series::Dimensions,
    },
    query::QueryError,
    store::StoreError,
};

const DOMAIN: &str = "almanac";
/// Most field violations in a status.
const VIOLATIONS_MAX: usize = 20;
/// Most bytes of all violations together.
const VIOLATION_BYTES_MAX: usize = 3_000;

/// A field of a request that can never work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadField {
    /// Path of the field.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

impl BadField {
    /// Names a field and what is wrong with it.
    pub fn new(field: impl Into<String>, reason: impl ToString) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }

    /// The same below another field.
    pub fn under(self, parent: &str) -> Self {
        Self { field: format!("{parent}.{}", self.field), ..self }
    }
}

impl From<BadField> for Status {
    fn from(bad: BadField) -> Self {
        let mut details = info("FIELD", []);
        details.add_bad_request_violation(&bad.field, &bad.reason);
        Self::with_error_details(Code::InvalidArgument, format!("{}: {}", bad.field, bad.reason), details)
    }
}

fn info<const N: usize>(reason: &str, metadata: [(&str, String); N]) -> ErrorDetails {
    let metadata: HashMap<String, String> = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

fn status<const N: usize>(code: Code, reason: &str, message: String, metadata: [(&str, String); N]) -> Status {
    Status::with_error_details(code, message, info(reason, metadata))
}

/// Errors of a store.
pub fn of_store(error: &StoreError) -> Status {
    if let StoreError::Compacted { floor } = error {
        return status(Code::FailedPrecondition, "COMPACTED", error.to_string(), [("floor", floor.to_string())]);
    }
    tracing::error!(%error, "the store failed");
    match error {
        StoreError::Corrupt(_) | StoreError::Damaged { .. } => {
            status(Code::DataLoss, "STORE_DAMAGED", error.to_string(), [])
        }
        StoreError::Stopped(_) => status(Code::Unavailable, "WRITES_STOPPED", error.to_string(), []),
        _ => status(Code::Internal, "STORE_FAILED", error.to_string(), []),
    }
}

fn of_unknown(kind: DefinitionKind, id: &str, near: &[String], message: String) -> Status {
    let reason = match kind {
        DefinitionKind::Indicator => "UNKNOWN_INDICATOR",
        DefinitionKind::Entity => "UNKNOWN_ENTITY",
        DefinitionKind::Source => "UNKNOWN_SOURCE",
        DefinitionKind::Ranking => "UNKNOWN_RANKING",
    };
    let mut details = info(reason, [("near", near.join(" "))]);
    details.set_resource_info(format!("almanac.v1/{}", kind.name()), id, "", &message);
    Status::with_error_details(Code::NotFound, message, details)
}

/// Errors of a query.
pub fn of_query(error: &QueryError) -> Status {
    let message = error.to_string();
    match error {
        QueryError::Unknown { kind, id, near } => of_unknown(*kind, id, &near.ids, message),
        QueryError::NoEdition { near, .. } => {
            status(Code::NotFound, "NO_EDITION", message, [("near", near.ids.join(" "))])
        }
        QueryError::NoFigure { near, .. } => status(Code::NotFound, "NO_FIGURE", message, [("near", near.join(" "))]),
        QueryError::OtherDimensions { known, .. } => {
            let known: Vec<&str> = known.iter().map(Dimensions::as_str).filter(|text| !text.is_empty()).collect();
            status(Code::NotFound, "NO_FIGURE", message, [("near", known.join(" "))])
        }
        QueryError::Withdrawn { revision, .. } => {
            status(Code::FailedPrecondition, "EDITION_WITHDRAWN", message, [("revision", revision.to_string())])
        }
        QueryError::AboveHead { head, .. } => {
            status(Code::OutOfRange, "ABOVE_HEAD", message, [("head", head.to_string())])
        }
        QueryError::ReleasedUnsupported => {
            status(Code::Unimplemented, "NOT_SUPPORTED", message, [("field", "as_of.released".into())])
        }
        QueryError::NoPolicy(_) => status(Code::InvalidArgument, "POLICY", message, []),
        QueryError::Forbidden(source) => {
            status(Code::PermissionDenied, "LICENCE", message, [("source", source.clone())])
        }
        QueryError::Store(error) => of_store(error),
    }
}

/// Errors of the feed.
pub fn of_feed(error: &FeedError) -> Status {
    let message = error.to_string();
    match error {
        FeedError::TokenMalformed => status(Code::InvalidArgument, "TOKEN_MALFORMED", message, []),
        FeedError::TokenOtherFilter => status(Code::InvalidArgument, "TOKEN_OTHER_FILTER", message, []),
        FeedError::TokenOtherHistory => status(Code::FailedPrecondition, "TOKEN_OTHER_HISTORY", message, []),
        FeedError::AboveHead { head, .. } => {
            status(Code::OutOfRange, "ABOVE_HEAD", message, [("head", head.to_string())])
        }
        FeedError::BelowFloor { floor, .. } => {
            status(Code::OutOfRange, "BELOW_FLOOR", message, [("floor", floor.to_string())])
        }
        FeedError::TooManySubscribers { .. } => {
            let mut details = info("TOO_MANY_SUBSCRIBERS", []);
            details.set_retry_info(Some(Duration::from_secs(10)));
            Status::with_error_details(Code::ResourceExhausted, message, details)
        }
        FeedError::TooManyConflating { .. } => {
            let mut details = info("TOO_MANY_CONFLATING", []);
            details.set_retry_info(Some(Duration::from_secs(10)));
            Status::with_error_details(Code::ResourceExhausted, message, details)
        }
        FeedError::Query(error) => of_query(error),
        FeedError::Store(error) => of_store(error),
    }
}

/// Errors of figures on their way in.
pub fn of_upload(error: &UploadError) -> Status {
    match error {
        UploadError::TooManySeries => status(Code::ResourceExhausted, "UPLOAD_TOO_LARGE", error.to_string(), []),
        UploadError::Io(_) => status(Code::ResourceExhausted, "NO_SPACE", error.to_string(), []),
    }
}

/// A cursor that nobody stored.
pub fn of_no_cursor(name: &str) -> Status {
    status(Code::NotFound, "NO_CURSOR", format!("there is no cursor `{name}`"), [])
}

/// Errors of keeping a cursor.
pub fn of_cursor(error: &CursorError) -> Status {
    let message = error.to_string();
    match error {
        CursorError::Backwards { stored, .. } => {
            status(Code::FailedPrecondition, "CURSOR_BACKWARDS", message, [("revision", stored.to_string())])
        }
        CursorError::OtherFilters { .. } => status(Code::FailedPrecondition, "CURSOR_OTHER_FILTER", message, []),
        CursorError::NotMeant { .. } => BadField::new("resume_token", message).into(),
        CursorError::TooMany { .. } => status(Code::ResourceExhausted, "TOO_MANY_CURSORS", message, []),
        CursorError::Write(error) => of_write(error),
        CursorError::Store(error) => of_store(error),
    }
}

/// Too many backups at one time.
pub fn of_many_backups(limit: usize) -> Status {
    let mut details = info("TOO_MANY_BACKUPS", []);
    details.set_retry_info(Some(Duration::from_secs(10)));
    Status::with_error_details(Code::ResourceExhausted, format!("{limit} backups are under way"), details)
}

/// Errors of a write.
pub fn of_write(error: &WriteError) -> Status {
    let message = error.to_string();
    match error {
        WriteError::Refused { findings, errors } => of_findings(findings, *errors),
        WriteError::RequestReused { revision, .. } => {
            status(Code::AlreadyExists, "REQUEST_REUSED", message, [("revision", revision.to_string())])
        }
        WriteError::HeadMoved { head, .. } => {
            status(Code::Aborted, "HEAD_MOVED", message, [("head", head.to_string())])
        }
        WriteError::Plan(PlanError::EditionExists { .. }) => status(Code::AlreadyExists, "EDITION_EXISTS", message, []),
        WriteError::Plan(PlanError::NoEdition { near, .. }) => {
            status(Code::NotFound, "NO_EDITION", message, [("near", near.join(" "))])
        }
        WriteError::Plan(PlanError::Unknown { kind, id, near }) => of_unknown(*kind, id, near, message),
        WriteError::Plan(PlanError::Store(error)) => of_store(error),
        WriteError::Busy => {
            let mut details = info("WRITER_BUSY", []);
            details.set_retry_info(Some(Duration::from_secs(1)));
            Status::with_error_details(Code::ResourceExhausted, message, details)
        }
        WriteError::Stopped(_) => status(Code::Unavailable, "WRITES_STOPPED", message, []),
    }
}

/// A write that was refused for what was sent: the first errors as field violations, the rest counted.
fn of_findings(findings: &[Finding], errors: usize) -> Status {
    let refused: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let unknown_only = refused.iter().all(|finding| finding.code.starts_with("UNKNOWN_"));
    let (code, reason) = match refused.first() {
        Some(first) if unknown_only => (Code::NotFound, first.code.as_str()),
        _ => (Code::InvalidArgument, "FINDINGS"),
    };
    let mut details = info(reason, [("errors", errors.to_string())]);
    let mut bytes = 0;
    let mut violations = Vec::new();
    for finding in refused.iter().take(VIOLATIONS_MAX) {
        let description = describe(finding);
        bytes += description.len() + finding.location.len();
        if bytes > VIOLATION_BYTES_MAX {
            break;
        }
        violations.push(FieldViolation::new(&finding.location, description));
    }
    details.set_bad_request(violations);
    let first =
        refused.first().map_or_else(String::new, |finding| format!("{}: {}", finding.location, describe(finding)));
    let rest = if errors > 1 { format!(" (and {} more)", errors - 1) } else { String::new() };
    Status::with_error_details(code, format!("{first}{rest}"), details)
}

fn describe(finding: &Finding) -> String {
    let mut text: String = format!("{}: {}", finding.code, finding.message).chars().take(400).collect();
    if !finding.suggestions.is_empty() {
        text.push_str(&format!("; near it: {}", finding.suggestions.join(", ")));
    }
    text
}
