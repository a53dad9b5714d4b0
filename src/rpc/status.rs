//! Every error as a gRPC status, in one place.
//!
//! A status carries `google.rpc.ErrorInfo` with a [`Reason`] (domain `almanac`), and where it helps `BadRequest`,
//! `ResourceInfo` or `RetryInfo`. Details stay below 4 KiB: h2 drops a call whose headers grow above 16 KiB.
//!
//! | code | reasons |
//! |---|---|
//! | `INVALID_ARGUMENT` | `FIELD`, `UNKNOWN_FIELD`, `MALFORMED_REQUEST`, `FINDINGS`, `TOKEN_MALFORMED`, `TOKEN_OTHER_FILTER`, `PAGE_TOKEN`, `DIGEST_VERSION`, `POLICY` |
//! | `NOT_FOUND` | `UNKNOWN_INDICATOR`, `UNKNOWN_ENTITY`, `UNKNOWN_SOURCE`, `UNKNOWN_RANKING`, `NO_EDITION`, `NO_FIGURE`, `UNKNOWN_METHODOLOGY`, `NO_CURSOR` |
//! | `ALREADY_EXISTS` | `REQUEST_REUSED`, `EDITION_EXISTS` |
//! | `FAILED_PRECONDITION` | `EDITION_WITHDRAWN`, `TOKEN_OTHER_HISTORY`, `TOKEN_OUTDATED`, `CURSOR_BACKWARDS`, `CURSOR_OTHER_FILTER`, `COMPACTED`, `REVERT_CONFLICT` |
//! | `OUT_OF_RANGE` | `ABOVE_HEAD`, `BELOW_FLOOR` |
//! | `ABORTED` | `HEAD_MOVED`, `UPLOAD_INCOMPLETE` |
//! | `PERMISSION_DENIED` | `LICENCE` |
//! | `RESOURCE_EXHAUSTED` | `TOO_MANY_SUBSCRIBERS`, `TOO_MANY_CONFLATING`, `WRITER_BUSY`, `UPLOAD_TOO_LARGE`, `NO_SPACE`, `TOO_MANY_BACKUPS`, `TOO_MANY_CURSORS` |
//! | `UNIMPLEMENTED` | `NOT_SUPPORTED` |
//! | `UNAVAILABLE` | `WRITES_STOPPED`, `NOT_YET_THERE`, `TOKEN_AHEAD`, `STOPPING` |
//! | `DATA_LOSS` | `STORE_DAMAGED` |
//! | `INTERNAL` | `STORE_FAILED`, `SERVER_FAULT` |

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    time::Duration,
};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::known_fields::MessageError;
use crate::{
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
    query::{QueryError, policy::Policy},
    store::StoreError,
};

const DOMAIN: &str = "almanac";
/// Most field violations in a status.
pub(super) const VIOLATIONS_MAX: usize = 20;
/// Most bytes of all violations together.
const VIOLATION_BYTES_MAX: usize = 3_000;
/// Longest description of one violation, in characters.
const DESCRIPTION_CHARS_MAX: usize = 400;
/// When to come again after the server was busy for a moment.
const BUSY_RETRY: Duration = Duration::from_secs(1);
/// When to come again after all places were taken.
const FULL_RETRY: Duration = Duration::from_secs(10);

/// Makes the enum and its texts from one list.
macro_rules! reasons {
    ($($name:ident = $text:literal,)*) => {
        /// Why a request failed, as `ErrorInfo.reason` says it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The text that clients compare with.
            pub fn as_str_name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The reason with this text.
            pub fn from_str_name(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str_name() == text)
            }
        }
    };
}

reasons! {
    Field = "FIELD",
    UnknownField = "UNKNOWN_FIELD",
    MalformedRequest = "MALFORMED_REQUEST",
    Findings = "FINDINGS",
    TokenMalformed = "TOKEN_MALFORMED",
    TokenOtherFilter = "TOKEN_OTHER_FILTER",
    PageToken = "PAGE_TOKEN",
    TokenOutdated = "TOKEN_OUTDATED",
    TokenAhead = "TOKEN_AHEAD",
    DigestVersion = "DIGEST_VERSION",
    UploadIncomplete = "UPLOAD_INCOMPLETE",
    RevertConflict = "REVERT_CONFLICT",
    Policy = "POLICY",
    UnknownIndicator = "UNKNOWN_INDICATOR",
    UnknownEntity = "UNKNOWN_ENTITY",
    UnknownSource = "UNKNOWN_SOURCE",
    UnknownRanking = "UNKNOWN_RANKING",
    UnknownMethodology = "UNKNOWN_METHODOLOGY",
    NoEdition = "NO_EDITION",
    NoFigure = "NO_FIGURE",
    NoCursor = "NO_CURSOR",
    RequestReused = "REQUEST_REUSED",
    EditionExists = "EDITION_EXISTS",
    EditionWithdrawn = "EDITION_WITHDRAWN",
    TokenOtherHistory = "TOKEN_OTHER_HISTORY",
    CursorBackwards = "CURSOR_BACKWARDS",
    CursorOtherFilter = "CURSOR_OTHER_FILTER",
    Compacted = "COMPACTED",
    AboveHead = "ABOVE_HEAD",
    BelowFloor = "BELOW_FLOOR",
    HeadMoved = "HEAD_MOVED",
    Licence = "LICENCE",
    TooManySubscribers = "TOO_MANY_SUBSCRIBERS",
    TooManyConflating = "TOO_MANY_CONFLATING",
    WriterBusy = "WRITER_BUSY",
    UploadTooLarge = "UPLOAD_TOO_LARGE",
    NoSpace = "NO_SPACE",
    TooManyBackups = "TOO_MANY_BACKUPS",
    TooManyCursors = "TOO_MANY_CURSORS",
    NotSupported = "NOT_SUPPORTED",
    WritesStopped = "WRITES_STOPPED",
    NotYetThere = "NOT_YET_THERE",
    Stopping = "STOPPING",
    StoreDamaged = "STORE_DAMAGED",
    StoreFailed = "STORE_FAILED",
    ServerFault = "SERVER_FAULT",
}

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
        of_bad_fields(&[bad], 1)
    }
}

fn info<const N: usize>(reason: Reason, metadata: [(&str, String); N]) -> ErrorDetails {
    let metadata: HashMap<String, String> = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    ErrorDetails::with_error_info(reason.as_str_name(), DOMAIN, metadata)
}

/// Ids as one text: they hold no blanks.
fn joined(ids: &[String]) -> String {
    ids.join(" ")
}

fn status<const N: usize>(code: Code, reason: Reason, message: String, metadata: [(&str, String); N]) -> Status {
    Status::with_error_details(code, message, info(reason, metadata))
}

/// A failure that may be gone after a while.
fn retry(code: Code, reason: Reason, message: String, after: Duration) -> Status {
    let mut details = info(reason, []);
    details.set_retry_info(Some(after));
    Status::with_error_details(code, message, details)
}

/// The first violations, as many as fit; `total` counts those that are left out too.
fn violations<'a>(code: Code, reason: Reason, all: impl Iterator<Item = (&'a str, String)>, total: usize) -> Status {
    let mut kept: Vec<FieldViolation> = Vec::new();
    let mut bytes = 0;
    for (field, description) in all.take(VIOLATIONS_MAX) {
        let description: String = description.chars().take(DESCRIPTION_CHARS_MAX).collect();
        bytes += field.len() + description.len();
        if !kept.is_empty() && bytes > VIOLATION_BYTES_MAX {
            break;
        }
        kept.push(FieldViolation::new(field, description));
    }
    let first = kept.first().map_or_else(String::new, |first| format!("{}: {}", first.field, first.description));
    let rest = if total > 1 { format!(" (and {} more)", total - 1) } else { String::new() };
    let mut details = info(reason, [("errors", total.to_string())]);
    details.set_bad_request(kept);
    Status::with_error_details(code, format!("{first}{rest}"), details)
}

/// Fields that can never work, of which `total` were found.
pub(super) fn of_bad_fields(kept: &[BadField], total: usize) -> Status {
    let all = kept.iter().map(|bad| (bad.field.as_str(), bad.reason.clone()));
    violations(Code::InvalidArgument, Reason::Field, all, total)
}

/// A request that says something this server does not know, or that is no message at all.
pub(super) fn of_refused_message(error: &MessageError) -> Status {
    let message = error.to_string();
    match error {
        MessageError::UnknownField { path, message: name, number } => {
            let field = if path.is_empty() { number.to_string() } else { format!("{path}.{number}") };
            let metadata = [("message", (*name).to_owned()), ("number", number.to_string())];
            let mut details = info(Reason::UnknownField, metadata);
            details.add_bad_request_violation(field, &message);
            Status::with_error_details(Code::InvalidArgument, message, details)
        }
        MessageError::Malformed(_) | MessageError::TooDeep => {
            status(Code::InvalidArgument, Reason::MalformedRequest, message, [])
        }
        MessageError::NoSuchMessage(_) => of_server_fault(message),
    }
}

/// A stream of requests that ended before its first.
pub(super) fn of_no_request() -> Status {
    status(Code::InvalidArgument, Reason::MalformedRequest, "there is no request".to_owned(), [])
}

/// A request in a compression that is not taken.
pub(super) fn of_other_compression() -> Status {
    let message = "requests may be compressed with gzip only".to_owned();
    status(Code::Unimplemented, Reason::NotSupported, message, [("field", "grpc-encoding".into())])
}

/// What should not be possible.
pub(super) fn of_server_fault(message: impl Into<String>) -> Status {
    status(Code::Internal, Reason::ServerFault, message.into(), [])
}

/// A read that waited for a revision in vain.
pub(super) fn of_not_yet_there(wanted: Revision, head: Revision) -> Status {
    let message = format!("revision {wanted} is not there yet, head is {head}: ask again in a moment");
    let mut details = info(Reason::NotYetThere, [("head", head.to_string())]);
    details.set_retry_info(Some(BUSY_RETRY));
    Status::with_error_details(Code::Unavailable, message, details)
}

/// A page token that does not fit.
pub(super) fn of_page_token(why: &str) -> Status {
    let mut details = info(Reason::PageToken, []);
    details.add_bad_request_violation("page_token", why);
    Status::with_error_details(Code::InvalidArgument, format!("page_token: {why}"), details)
}

/// A version of the digest that is not made here.
pub(super) fn of_digest_version(asked: u32) -> Status {
    let message = format!("there is no digest of version {asked}; there are 1 and 2");
    status(Code::InvalidArgument, Reason::DigestVersion, message, [("versions", "1 2".to_owned())])
}

/// An upload that ended before its end.
pub(crate) fn of_incomplete_upload(why: impl Into<String>) -> Status {
    status(
        Code::Aborted,
        Reason::UploadIncomplete,
        format!("the upload is not whole, nothing was written: {}", why.into()),
        [],
    )
}

/// Calls that come while the server stops.
pub(super) fn of_stopping() -> Status {
    retry(Code::Unavailable, Reason::Stopping, "the server is stopping".to_owned(), BUSY_RETRY)
}

/// Errors of a store.
pub fn of_store(error: &StoreError) -> Status {
    tracing::error!(%error, "the store failed");
    match error {
        StoreError::Corrupt { .. } => status(Code::DataLoss, Reason::StoreDamaged, error.to_string(), []),
        StoreError::Io { .. } => status(Code::Internal, Reason::StoreFailed, error.to_string(), []),
    }
}

/// Errors of a ledger.
pub fn of_ledger(error: &LedgerError) -> Status {
    match error {
        LedgerError::Compacted { floor } => {
            status(Code::FailedPrecondition, Reason::Compacted, error.to_string(), [("floor", floor.to_string())])
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
    Status::with_error_details(Code::NotFound, message, details)
}

/// Errors of a query.
pub fn of_query(error: &QueryError) -> Status {
    let message = error.to_string();
    match error {
        QueryError::Unknown { kind, id, near } => of_unknown(*kind, id, &near.ids, message),
        QueryError::NoEdition { near, .. } => {
            status(Code::NotFound, Reason::NoEdition, message, [("near", joined(&near.ids))])
        }
        QueryError::NoFigure { near, .. } => {
            status(Code::NotFound, Reason::NoFigure, message, [("near", joined(near))])
        }
        QueryError::OtherDimensions { known, .. } => {
            let known: Vec<&str> = known.iter().map(Dimensions::as_str).filter(|text| !text.is_empty()).collect();
            status(Code::NotFound, Reason::NoFigure, message, [("near", known.join(" "))])
        }
        QueryError::Withdrawn { revision, .. } => {
            status(Code::FailedPrecondition, Reason::EditionWithdrawn, message, [("revision", revision.to_string())])
        }
        QueryError::AboveHead { head, .. } => {
            status(Code::OutOfRange, Reason::AboveHead, message, [("head", head.to_string())])
        }
        QueryError::ReleasedUnsupported => {
            status(Code::Unimplemented, Reason::NotSupported, message, [("field", "as_of.released".into())])
        }
        QueryError::TooManyPairs { .. } => BadField::new("selection", message).into(),
        QueryError::NoPolicy(_) => {
            status(Code::InvalidArgument, Reason::Policy, message, [("near", Policy::NAMES.join(" "))])
        }
        QueryError::UnknownCode { near, .. } => {
            status(Code::NotFound, Reason::UnknownEntity, message, [("near", joined(near))])
        }
        QueryError::Forbidden(source) => {
            status(Code::PermissionDenied, Reason::Licence, message, [("source", source.clone())])
        }
        QueryError::Store(error) => of_store(error),
    }
}

/// Errors of the feed.
pub fn of_feed(error: &FeedError) -> Status {
    let message = error.to_string();
    match error {
        FeedError::NoSuchPosition => of_page_token(&message),
        FeedError::TokenMalformed => status(Code::InvalidArgument, Reason::TokenMalformed, message, []),
        FeedError::TokenOutdated => status(Code::FailedPrecondition, Reason::TokenOutdated, message, []),
        FeedError::TokenAhead { head, .. } => {
            let mut details = info(Reason::TokenAhead, [("head", head.to_string())]);
            details.set_retry_info(Some(Duration::from_secs(1)));
            Status::with_error_details(Code::Unavailable, message, details)
        }
        FeedError::TokenOtherFilter => status(Code::InvalidArgument, Reason::TokenOtherFilter, message, []),
        FeedError::TokenOtherHistory => status(Code::FailedPrecondition, Reason::TokenOtherHistory, message, []),
        FeedError::AboveHead { head, .. } => {
            status(Code::OutOfRange, Reason::AboveHead, message, [("head", head.to_string())])
        }
        FeedError::BelowFloor { floor, .. } => {
            status(Code::OutOfRange, Reason::BelowFloor, message, [("floor", floor.to_string())])
        }
        FeedError::TooManySubscribers { .. } => {
            retry(Code::ResourceExhausted, Reason::TooManySubscribers, message, FULL_RETRY)
        }
        FeedError::TooManyConflating { .. } => {
            retry(Code::ResourceExhausted, Reason::TooManyConflating, message, FULL_RETRY)
        }
        FeedError::Query(error) => of_query(error),
        FeedError::Store(error) => of_store(error),
    }
}

/// Errors of figures on their way in.
pub fn of_upload(error: &UploadError) -> Status {
    match error {
        UploadError::TooManySeries => status(Code::ResourceExhausted, Reason::UploadTooLarge, error.to_string(), []),
        UploadError::Io(cause) if has_no_space(cause) => {
            status(Code::ResourceExhausted, Reason::NoSpace, error.to_string(), [])
        }
        UploadError::Io(_) => {
            tracing::error!(%error, "an upload could not be put aside");
            status(Code::Internal, Reason::StoreFailed, error.to_string(), [])
        }
    }
}

fn has_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// More bytes in a write than are taken into memory.
pub(super) fn of_large_upload(what: &str, bytes_max: usize) -> Status {
    let message = format!("one write may hold {} MiB of {what}; send fewer at a time", bytes_max >> 20);
    status(Code::ResourceExhausted, Reason::UploadTooLarge, message, [])
}

/// A cursor that nobody stored.
pub fn of_no_cursor(name: &str) -> Status {
    status(Code::NotFound, Reason::NoCursor, format!("there is no cursor `{name}`"), [])
}

/// Errors of keeping a cursor.
pub fn of_cursor(error: &CursorError) -> Status {
    let message = error.to_string();
    match error {
        CursorError::Backwards { stored, .. } => {
            status(Code::FailedPrecondition, Reason::CursorBackwards, message, [("revision", stored.to_string())])
        }
        CursorError::OtherFilters { .. } => status(Code::FailedPrecondition, Reason::CursorOtherFilter, message, []),
        CursorError::NotMeant { .. } => BadField::new("resume_token", message).into(),
        CursorError::TooMany { .. } => status(Code::ResourceExhausted, Reason::TooManyCursors, message, []),
        CursorError::Write(error) => of_write(error),
        CursorError::Store(error) => of_store(error),
    }
}

/// Too many backups at one time.
pub fn of_many_backups(limit: usize) -> Status {
    retry(Code::ResourceExhausted, Reason::TooManyBackups, format!("{limit} backups are under way"), FULL_RETRY)
}

/// Errors of a write.
pub fn of_write(error: &WriteError) -> Status {
    let message = error.to_string();
    match error {
        WriteError::Refused { findings, errors } => of_findings(findings, *errors),
        WriteError::RequestReused { revision, .. } => {
            status(Code::AlreadyExists, Reason::RequestReused, message, [("revision", revision.to_string())])
        }
        WriteError::HeadMoved { head, .. } => {
            status(Code::Aborted, Reason::HeadMoved, message, [("head", head.to_string())])
        }
        WriteError::Plan(PlanError::EditionExists { .. }) => {
            status(Code::AlreadyExists, Reason::EditionExists, message, [])
        }
        WriteError::Plan(PlanError::EditionWithdrawn { revision, .. }) => {
            let metadata = [("revision", revision.to_string())];
            status(Code::FailedPrecondition, Reason::EditionWithdrawn, message, metadata)
        }
        WriteError::Plan(PlanError::NoEdition { near, .. }) => {
            status(Code::NotFound, Reason::NoEdition, message, [("near", joined(near))])
        }
        WriteError::Plan(PlanError::Unknown { kind, id, near }) => of_unknown(*kind, id, near, message),
        WriteError::Plan(PlanError::RevertConflict { revisions }) => {
            let revisions = [("revisions", first_of(revisions))];
            status(Code::FailedPrecondition, Reason::RevertConflict, message, revisions)
        }
        WriteError::Plan(PlanError::AboveHead { head, .. }) => {
            status(Code::OutOfRange, Reason::AboveHead, message, [("head", head.to_string())])
        }
        WriteError::Plan(PlanError::BelowFloor { floor, .. }) => {
            status(Code::OutOfRange, Reason::BelowFloor, message, [("floor", floor.to_string())])
        }
        WriteError::Plan(PlanError::Store(error)) => of_store(error),
        WriteError::Busy => retry(Code::ResourceExhausted, Reason::WriterBusy, message, BUSY_RETRY),
        WriteError::Stopped { .. } | WriteError::Stopping => {
            status(Code::Unavailable, Reason::WritesStopped, message, [])
        }
    }
}

/// A write that was refused for what was sent: the first errors as field violations, the rest counted.
fn of_findings(findings: &[Finding], errors: usize) -> Status {
    let refused: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let unknown_only = refused.iter().all(|finding| finding.code.starts_with("UNKNOWN_"));
    let unknown = refused.first().filter(|_| unknown_only).and_then(|first| Reason::from_str_name(&first.code));
    let (code, reason) = match unknown {
        Some(reason) => (Code::NotFound, reason),
        None => (Code::InvalidArgument, Reason::Findings),
    };
    let all = refused.iter().map(|finding| (finding.location.as_str(), describe(finding)));
    violations(code, reason, all, errors)
}

fn describe(finding: &Finding) -> String {
    let mut text: String =
        format!("{}: {}", finding.code, finding.message).chars().take(DESCRIPTION_CHARS_MAX).collect();
    if !finding.suggestions.is_empty() {
        text.push_str(&format!("; near it: {}", finding.suggestions.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_as_they_are_written() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_str_name(reason.as_str_name()), Some(*reason));
        }
        assert_eq!(Reason::from_str_name("NO_SUCH_REASON"), None);
    }

    #[test]
    fn only_a_full_disk_is_no_space() {
        const ENOSPC: i32 = 28;
        const EDQUOT: i32 = 122;
        const EIO: i32 = 5;
        let reason = |number| {
            let status = of_upload(&UploadError::Io(io::Error::from_raw_os_error(number)));
            (status.code(), status.get_details_error_info().unwrap().reason)
        };
        for number in [ENOSPC, EDQUOT] {
            assert_eq!(reason(number), (Code::ResourceExhausted, "NO_SPACE".to_owned()));
        }
        assert_eq!(reason(EIO), (Code::Internal, "STORE_FAILED".to_owned()));
    }

    #[test]
    fn ids_near_by_are_joined_by_a_blank() {
        let near = ["DEU".to_owned(), "DNK".to_owned()];
        let status = of_unknown(DefinitionKind::Entity, "DEE", &near, String::new());
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["near"].as_str()), ("UNKNOWN_ENTITY", "DEU DNK"));
    }
}
