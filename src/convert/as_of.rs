//! The point of history that a read asks for.

use super::{
    error::FieldError,
    time::{date, instant},
};
use crate::{model::id::Revision, proto, query::AsOf};

/// Reads the field `as_of`. Left out, or without content, it asks for the newest revision.
pub fn as_of(message: Option<proto::AsOf>) -> Result<AsOf, FieldError> {
    use proto::as_of::At;
    let Some(at) = message.and_then(|message| message.at) else { return Ok(AsOf::Head) };
    Ok(match at {
        At::Revision(revision) => AsOf::Revision(Revision(revision)),
        At::Recorded(timestamp) => AsOf::Recorded(instant("as_of.recorded", &timestamp)?),
        At::Released(day) => AsOf::Released(date("as_of.released", &day)?),
    })
}
