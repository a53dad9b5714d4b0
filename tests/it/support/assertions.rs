//! What tests ask of answers: reasons and fields of a refusal, points of history, the text of a figure.

use std::time::Duration;

use almanac::proto::*;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// How long a test waits for a condition.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The reason in a status; empty: none.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(String::new, |info| info.reason)
}

/// The fields that a status refuses.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let bad = status.get_details_bad_request();
    bad.into_iter().flat_map(|bad| bad.field_violations).map(|violation| violation.field).collect()
}

/// Asserts a refusal by code and reason, and returns the status.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, why: &str) -> Status {
    let status = result.expect_err("should have been refused");
    assert_eq!((status.code(), reason(&status).as_str()), (code, why), "{}", status.message());
    status
}

/// A point of history by revision.
pub(crate) fn at_revision(revision: u64) -> Option<AsOf> {
    Some(AsOf { at: Some(as_of::At::Revision(revision)) })
}

/// A point of history by release date.
pub(crate) fn at_released(day: &str) -> Option<AsOf> {
    Some(AsOf { at: Some(as_of::At::Released(day.into())) })
}

/// A point of history by our own clock.
pub(crate) fn at_recorded(instant: prost_types::Timestamp) -> Option<AsOf> {
    Some(AsOf { at: Some(as_of::At::Recorded(instant)) })
}

/// The published text of a figure.
pub(crate) fn text(value: &Value) -> String {
    if !value.exact.is_empty() {
        return value.exact.clone();
    }
    match value.number {
        Some(number) => format!("{number:.*}", value.decimals.unwrap() as usize),
        None => "missing".into(),
    }
}
