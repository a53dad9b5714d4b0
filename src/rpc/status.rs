//! Every error as a gRPC status, in one place.
//!
//! A status carries `google.rpc.ErrorInfo` with a [`Reason`] (domain `almanac`), and where it helps `BadRequest`,
//! `ResourceInfo` or `RetryInfo`. The reason decides the code: see [`super::reason`]. Details stay below 4 KiB: h2 drops a call
//! whose headers grow above 16 KiB.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    time::Duration,
};

use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::{known_fields::MessageError, reason::Reason};
use crate::{
    convert::error::FieldError,
    feed::FeedError,
    ledger::{
        LedgerError, WriteError,
        cursor::CursorError,
        plan::{PlanError, first_of},
        upload::UploadError,
    },
    model::{
        catalog::DefinitionKind,
        finding::{Finding, Severity},
        id::Revision,
        series::Dimensions,
    },
    proto::ERROR_DOMAIN,
    query::{QueryError, policy::Policy},
    store::StoreError,
};

/// Most field violations in a status.
pub(super) const VIOLATIONS_MAX: usize = 20;
/// Most bytes of all violations together.
const VIOLATION_BYTES_MAX: usize = 3_000;
/// Longest description of one violation, in characters.
const DESCRIPTION_CHARS_MAX: usize = 400;
/// When a client should retry after the server was busy for a moment.
const BUSY_RETRY: Duration = Duration::from_secs(1);
/// When a client should retry after all places were taken.
const FULL_RETRY: Duration = Duration::from_secs(10);

/// A field of a request that can never work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadField {
    /// Path of the field in the request.
    pub field: String,
    /// What is wrong with it, for people.
    pub reason: String,
}

impl BadField {
    /// Names a field and what is wrong with it.
    pub fn new(field: impl Into<String>, reason: impl ToString) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }
}

impl From<FieldError> for BadField {
    fn from(error: FieldError) -> Self {
        Self { field: error.field, reason: error.problem.to_string() }
    }
}

impl From<BadField> for Status {
    fn from(bad: BadField) -> Self {
        of_bad_fields(&[bad], 1)
    }
}

impl From<FieldError> for Status {
    fn from(error: FieldError) -> Self {
        BadField::from(error).into()
    }
}

fn info<const N: usize>(reason: Reason, metadata: [(&str, String); N]) -> ErrorDetails {
    let metadata: HashMap<String, String> = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    ErrorDetails::with_error_info(reason.as_str_name(), ERROR_DOMAIN, metadata)
}

/// Ids as one text: they hold no blanks.
fn joined(ids: &[String]) -> String {
    ids.join(" ")
}

fn with_details(reason: Reason, message: String, details: ErrorDetails) -> Status {
    Status::with_error_details(reason.code(), message, details)
}

fn status<const N: usize>(reason: Reason, message: String, metadata: [(&str, String); N]) -> Status {
    with_details(reason, message, info(reason, metadata))
}

/// A failure that may be gone when the client comes back.
fn retry<const N: usize>(reason: Reason, message: String, after: Duration, metadata: [(&str, String); N]) -> Status {
    let mut details = info(reason, metadata);
    details.set_retry_info(Some(after));
    with_details(reason, message, details)
}

/// The first violations, as many as fit; `total` counts those that are left out too.
fn violations<'a>(reason: Reason, all: impl Iterator<Item = (&'a str, String)>, total: usize) -> Status {
    let mut listed: Vec<FieldViolation> = Vec::new();
    let mut bytes = 0;
    for (field, description) in all.take(VIOLATIONS_MAX) {
        let description: String = description.chars().take(DESCRIPTION_CHARS_MAX).collect();
        bytes += field.len() + description.len();
        if !listed.is_empty() && bytes > VIOLATION_BYTES_MAX {
            break;
        }
        listed.push(FieldViolation::new(field, description));
    }
    let mut message = String::new();
    if let Some(first) = listed.first() {
        message = format!("{}: {}", first.field, first.description);
    }
    if total > 1 {
        message.push_str(&format!(" (and {} more)", total - 1));
    }
    let mut details = info(reason, [("errors", total.to_string())]);
    details.set_bad_request(listed);
    with_details(reason, message, details)
}

/// Fields that can never work: the first ones, and how many there are in all.
pub(super) fn of_bad_fields(first: &[BadField], total: usize) -> Status {
    violations(Reason::Field, first.iter().map(|bad| (bad.field.as_str(), bad.reason.clone())), total)
}

/// A request with a field that this server does not know, or bytes that are no request.
pub(super) fn of_refused_message(error: &MessageError) -> Status {
    let message = error.to_string();
    match error {
        MessageError::UnknownField { path, message: name, number } => {
            let field = if path.is_empty() { number.to_string() } else { format!("{path}.{number}") };
            let mut details =
                info(Reason::UnknownField, [("message", (*name).to_owned()), ("number", number.to_string())]);
            details.add_bad_request_violation(field, &message);
            with_details(Reason::UnknownField, message, details)
        }
        MessageError::Malformed(_) | MessageError::TooDeep => status(Reason::MalformedRequest, message, []),
        MessageError::NoSuchMessage(_) => of_server_fault(message),
    }
}

/// A call that ended before its request.
pub(super) fn of_no_request() -> Status {
    status(Reason::MalformedRequest, "the call has no request".to_owned(), [])
}

/// A request in a compression that this server does not read.
pub(super) fn of_other_compression() -> Status {
    let message = "requests may be compressed with gzip only".to_owned();
    status(Reason::NotSupported, message, [("field", "grpc-encoding".into())])
}

/// A mistake of the server.
pub(super) fn of_server_fault(message: impl Into<String>) -> Status {
    status(Reason::ServerFault, message.into(), [])
}

/// A read that waited for a revision in vain.
pub(super) fn of_not_yet_there(min_revision: Revision, head: Revision) -> Status {
    let message = format!("revision {min_revision} is not there yet, head is {head}: ask again in a moment");
    retry(Reason::NotYetThere, message, BUSY_RETRY, [("head", head.to_string())])
}

/// A page token that does not fit the request or the server.
pub(super) fn of_page_token(why: &str) -> Status {
    let mut details = info(Reason::PageToken, []);
    details.add_bad_request_violation("page_token", why);
    with_details(Reason::PageToken, format!("page_token: {why}"), details)
}

/// A version of the digest that this server cannot compute.
pub(super) fn of_digest_version(version: u32) -> Status {
    let message = format!("there is no digest of version {version}; there are 1 and 2");
    status(Reason::DigestVersion, message, [("versions", "1 2".to_owned())])
}

/// An upload that ended before its final message.
pub(crate) fn of_incomplete_upload(why: impl Into<String>) -> Status {
    let message = format!("the upload is incomplete, nothing was written: {}", why.into());
    status(Reason::UploadIncomplete, message, [])
}

/// A call that comes while the server stops.
pub(super) fn of_stopping() -> Status {
    retry(Reason::Stopping, "the server is stopping".to_owned(), BUSY_RETRY, [])
}

/// Errors of a store.
pub fn of_store(error: &StoreError) -> Status {
    tracing::error!(%error, "the store failed");
    match error {
        StoreError::Corrupt { .. } => status(Reason::StoreDamaged, error.to_string(), []),
        StoreError::NotInMemory | StoreError::Io { .. } => status(Reason::StoreFailed, error.to_string(), []),
    }
}

/// Errors of a ledger.
pub fn of_ledger(error: &LedgerError) -> Status {
    match error {
        LedgerError::Compacted { floor } => {
            status(Reason::Compacted, error.to_string(), [("floor", floor.to_string())])
        }
        LedgerError::Store(error) => of_store(error),
    }
}

fn of_unknown(kind: DefinitionKind, id: &str, near: &[String], message: String) -> Status {
    let reason = match kind {
        DefinitionKind::Indicator => Reason::UnknownIndicator,
        DefinitionKind::Entity => Reason::UnknownEntity,
        DefinitionKind::Source => Reason::UnknownSource,
        DefinitionKind::Methodology => Reason::UnknownMethodology,
        DefinitionKind::Ranking => Reason::UnknownRanking,
    };
    let mut details = info(reason, [("near", joined(near))]);
    details.set_resource_info(format!("almanac.v1/{}", kind.name()), id, "", &message);
    with_details(reason, message, details)
}

/// Errors of a query.
pub fn of_query(error: &QueryError) -> Status {
    let message = error.to_string();
    match error {
        QueryError::Unknown { kind, id, near } => of_unknown(*kind, id, &near.ids, message),
        QueryError::NoEdition { near, .. } => status(Reason::NoEdition, message, [("near", joined(&near.ids))]),
        QueryError::NoFigure { near, .. } => status(Reason::NoFigure, message, [("near", joined(near))]),
        QueryError::OtherDimensions { known, .. } => {
            let known: Vec<&str> = known.iter().map(Dimensions::as_str).filter(|text| !text.is_empty()).collect();
            status(Reason::NoFigure, message, [("near", known.join(" "))])
        }
        QueryError::Withdrawn { revision, .. } => {
            status(Reason::EditionWithdrawn, message, [("revision", revision.to_string())])
        }
        QueryError::AboveHead { head, .. } => status(Reason::AboveHead, message, [("head", head.to_string())]),
        QueryError::ReleasedUnsupported => status(Reason::NotSupported, message, [("field", "as_of.released".into())]),
        QueryError::TooManyPairs { .. } => BadField::new("selection", message).into(),
        QueryError::NoPolicy(_) => status(Reason::Policy, message, [("near", Policy::NAMES.join(" "))]),
        QueryError::UnknownCode { near, .. } => status(Reason::UnknownEntity, message, [("near", joined(near))]),
        QueryError::Forbidden(source) => status(Reason::Licence, message, [("source", source.clone())]),
        QueryError::Store(error) => of_store(error),
    }
}

/// Errors of the feed.
pub fn of_feed(error: &FeedError) -> Status {
    let message = error.to_string();
    match error {
        FeedError::NoSuchPosition => of_page_token(&message),
        FeedError::TokenMalformed => status(Reason::TokenMalformed, message, []),
        FeedError::TokenOutdated => status(Reason::TokenOutdated, message, []),
        FeedError::TokenAhead { head, .. } => {
            retry(Reason::TokenAhead, message, BUSY_RETRY, [("head", head.to_string())])
        }
        FeedError::TokenOtherFilter => status(Reason::TokenOtherFilter, message, []),
        FeedError::TokenOtherHistory => status(Reason::TokenOtherHistory, message, []),
        FeedError::AboveHead { head, .. } => status(Reason::AboveHead, message, [("head", head.to_string())]),
        FeedError::BelowFloor { floor, .. } => status(Reason::BelowFloor, message, [("floor", floor.to_string())]),
        FeedError::TooManySubscribers { .. } => retry(Reason::TooManySubscribers, message, FULL_RETRY, []),
        FeedError::TooManyConflating { .. } => retry(Reason::TooManyConflating, message, FULL_RETRY, []),
        FeedError::Query(error) => of_query(error),
        FeedError::Store(error) => of_store(error),
    }
}

/// Errors of collecting the figures of an upload.
pub fn of_upload(error: &UploadError) -> Status {
    match error {
        UploadError::TooManySeries => status(Reason::UploadTooLarge, error.to_string(), []),
        UploadError::Io(cause) if has_no_space(cause) => status(Reason::NoSpace, error.to_string(), []),
        UploadError::Io(_) => {
            tracing::error!(%error, "an upload could not be written to its temporary file");
            status(Reason::StoreFailed, error.to_string(), [])
        }
    }
}

fn has_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// A write with more bytes of something than the server keeps in memory.
pub(super) fn of_large_upload(what: &str, bytes_max: usize) -> Status {
    let message = format!("one write may hold {} MiB of {what}; send fewer at a time", bytes_max >> 20);
    status(Reason::UploadTooLarge, message, [])
}

/// A stored cursor that does not exist.
pub fn of_no_cursor(name: &str) -> Status {
    status(Reason::NoCursor, format!("there is no cursor `{name}`"), [])
}

/// Errors of moving a stored cursor.
pub fn of_cursor(error: &CursorError) -> Status {
    let message = error.to_string();
    match error {
        CursorError::Backwards { stored, .. } => {
            status(Reason::CursorBackwards, message, [("revision", stored.to_string())])
        }
        CursorError::OtherFilters { .. } => status(Reason::CursorOtherFilter, message, []),
        CursorError::NotMeant { .. } => BadField::new("resume_token", message).into(),
        CursorError::TooMany { .. } => status(Reason::TooManyCursors, message, []),
        CursorError::Write(error) => of_write(error),
        CursorError::Store(error) => of_store(error),
    }
}

/// Too many backups at one time.
pub fn of_many_backups(limit: usize) -> Status {
    let message = format!("{limit} backups are running already: try again when one has ended");
    retry(Reason::TooManyBackups, message, FULL_RETRY, [])
}

/// Errors of a write.
pub fn of_write(error: &WriteError) -> Status {
    let message = error.to_string();
    match error {
        WriteError::Refused { findings, errors, .. } => of_findings(findings, *errors),
        WriteError::RequestReused { revision, .. } => {
            status(Reason::RequestReused, message, [("revision", revision.to_string())])
        }
        WriteError::HeadMoved { head, .. } => status(Reason::HeadMoved, message, [("head", head.to_string())]),
        WriteError::Plan(PlanError::EditionExists { .. }) => status(Reason::EditionExists, message, []),
        WriteError::Plan(PlanError::EditionWithdrawn { revision, .. }) => {
            let metadata = [("revision", revision.to_string())];
            status(Reason::EditionWithdrawn, message, metadata)
        }
        WriteError::Plan(PlanError::NoEdition { near, .. }) => {
            status(Reason::NoEdition, message, [("near", joined(near))])
        }
        WriteError::Plan(PlanError::Unknown { kind, id, near }) => of_unknown(*kind, id, near, message),
        WriteError::Plan(PlanError::RevertConflict { revisions }) => {
            let revisions = [("revisions", first_of(revisions))];
            status(Reason::RevertConflict, message, revisions)
        }
        WriteError::Plan(PlanError::AboveHead { head, .. }) => {
            status(Reason::AboveHead, message, [("head", head.to_string())])
        }
        WriteError::Plan(PlanError::BelowFloor { floor, .. }) => {
            status(Reason::BelowFloor, message, [("floor", floor.to_string())])
        }
        WriteError::Plan(PlanError::Store(error)) => of_store(error),
        WriteError::Busy => retry(Reason::WriterBusy, message, BUSY_RETRY, []),
        WriteError::Stopped { .. } | WriteError::Stopping => status(Reason::WritesStopped, message, []),
    }
}

/// A write that was refused for its content: the first errors as field violations, the rest counted.
///
/// If every listed error is an unknown id, the first one's reason is that of the status.
fn of_findings(findings: &[Finding], errors: usize) -> Status {
    let refused: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let mut reason = Reason::Findings;
    if let Some(first) = refused.first()
        && refused.iter().all(|finding| finding.code.starts_with("UNKNOWN_"))
    {
        reason = Reason::from_str_name(&first.code).unwrap_or(reason);
    }
    violations(reason, refused.iter().map(|finding| (finding.location.as_str(), describe(finding))), errors)
}

fn describe(finding: &Finding) -> String {
    let text = format!("{}: {}", finding.code, finding.message);
    let mut text: String = text.chars().take(DESCRIPTION_CHARS_MAX).collect();
    if !finding.suggestions.is_empty() {
        text.push_str(&format!("; near it: {}", finding.suggestions.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_disk_is_no_space() {
        const ENOSPC: i32 = 28;
        const EDQUOT: i32 = 122;
        const EIO: i32 = 5;
        for (number, reason) in [(ENOSPC, Reason::NoSpace), (EDQUOT, Reason::NoSpace), (EIO, Reason::StoreFailed)] {
            let status = of_upload(&UploadError::Io(io::Error::from_raw_os_error(number)));
            assert_eq!(status.code(), reason.code());
            assert_eq!(status.get_details_error_info().unwrap().reason, reason.as_str_name());
        }
    }

    #[test]
    fn ids_near_by_are_joined_by_a_blank() {
        let near = ["DEU".to_owned(), "DNK".to_owned()];
        let status = of_unknown(DefinitionKind::Entity, "DEE", &near, String::new());
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["near"].as_str()), ("UNKNOWN_ENTITY", "DEU DNK"));
    }
}
