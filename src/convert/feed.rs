//! The feed's requests and notices, and the digest of the state that a stream sends.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use super::{
    as_of::as_of,
    digest::Version,
    enums,
    error::{FieldError, Problem},
    field,
    figure::dimension_filter,
    time,
};
use crate::{
    feed::{
        event::{GoodbyeReason, Notice},
        filter::{FILTER_IDS_MAX, FILTERS_MAX, Filter, Filters, Kind},
        subscription::SubscriptionStart,
    },
    model::{
        change::Cause,
        id::{EntityId, Revision},
    },
    proto::{self, subscribe_request::Start, subscribe_response::Body},
    query::AsOf,
};

/// Longest name of a filter.
const FILTER_NAME_BYTES_MAX: usize = 128;
const PROGRESS_DEFAULT: Duration = Duration::from_secs(5);
/// The longest interval lets a client notice a dead connection within a minute.
const PROGRESS_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(20);

/// Reads the field `filters`. The filters leave out everything from the sources with the ids `left_out`.
pub fn filters_without(messages: Vec<proto::Filter>, left_out: BTreeSet<String>) -> Result<Filters, FieldError> {
    if messages.len() > FILTERS_MAX {
        return Err(FieldError::new("filters", Problem::TooMany { items_max: FILTERS_MAX }));
    }
    let needs_names = messages.len() > 1;
    let mut names = BTreeSet::new();
    let mut filters = Vec::with_capacity(messages.len());
    for (at, message) in messages.into_iter().enumerate() {
        if needs_names && (message.name.is_empty() || !names.insert(message.name.clone())) {
            return Err(FieldError::new(format!("filters[{at}].name"), Problem::FilterNameNotUnique));
        }
        filters.push(Filter::try_from(message).map_err(|error| error.under(&format!("filters[{at}]")))?);
    }
    Ok(Filters::without(filters, left_out))
}

impl TryFrom<proto::Filter> for Filter {
    type Error = FieldError;

    fn try_from(message: proto::Filter) -> Result<Self, FieldError> {
        Ok(Self {
            kinds: kinds(&message.kinds)?,
            causes: causes(&message.causes)?,
            name: field::text("name", message.name, FILTER_NAME_BYTES_MAX)?,
            rankings: ids("rankings", &message.rankings)?,
            indicators: ids("indicators", &message.indicators)?,
            entities: ids("entities", &message.entities)?,
            sources: ids("sources", &message.sources)?,
            rank_at_most: message.rank_at_most,
            min_places: message.min_places,
            dimensions: dimension_filter("dimensions", message.dimensions)?,
        })
    }
}

/// All ids have the same alphabet and length, and an indicator may end in `*`.
fn ids(field: &str, texts: &[String]) -> Result<BTreeSet<String>, FieldError> {
    if texts.len() > FILTER_IDS_MAX {
        return Err(FieldError::new(field, Problem::TooMany { items_max: FILTER_IDS_MAX }));
    }
    let mut ids = BTreeSet::new();
    for text in texts {
        ids.insert(field::id(field, text, EntityId::new)?.to_string());
    }
    Ok(ids)
}

fn kinds(numbers: &[i32]) -> Result<BTreeSet<Kind>, FieldError> {
    field::check_list("kinds", numbers)?;
    let mut kinds = BTreeSet::new();
    for number in numbers {
        let kind = proto::ChangeKind::try_from(*number).ok().and_then(Option::<Kind>::from);
        kinds.insert(kind.ok_or_else(|| FieldError::new("kinds", Problem::NotAChangeKind { number: *number }))?);
    }
    Ok(kinds)
}

fn causes(numbers: &[i32]) -> Result<BTreeSet<Cause>, FieldError> {
    field::check_list("causes", numbers)?;
    let mut causes = BTreeSet::new();
    for number in numbers {
        let cause = enums::optional("causes", *number)?;
        causes.insert(cause.ok_or_else(|| FieldError::new("causes", Problem::UnspecifiedCause))?);
    }
    Ok(causes)
}

/// Reads the field `start`, which must be given.
pub fn subscription_start(message: Option<Start>) -> Result<SubscriptionStart, FieldError> {
    match message.ok_or_else(|| FieldError::new("start", Problem::NotGiven))? {
        Start::State(_) => Ok(SubscriptionStart::State { as_of: AsOf::Head }),
        Start::Now(_) => Ok(SubscriptionStart::Now),
        Start::ResumeToken(token) => Ok(SubscriptionStart::Token { token }),
        Start::Range(range) => range.try_into(),
        Start::AsKnownAt(point) => match as_of(Some(point))? {
            AsOf::Head => Err(FieldError::new("as_known_at", Problem::NotAPointOfHistory)),
            as_of => Ok(SubscriptionStart::State { as_of }),
        },
    }
}

impl TryFrom<proto::StartRange> for SubscriptionStart {
    type Error = FieldError;

    fn try_from(message: proto::StartRange) -> Result<Self, FieldError> {
        let proto::StartRange { first_revision, last_revision } = message;
        if first_revision == 0 {
            return Err(FieldError::new("range.first_revision", Problem::RevisionZero));
        }
        if last_revision != 0 && last_revision < first_revision {
            return Err(FieldError::new("range.last_revision", Problem::BelowFirstRevision));
        }
        let last = (last_revision != 0).then_some(Revision(last_revision));
        Ok(Self::Range { first: Revision(first_revision), last })
    }
}

/// Reads the field `progress_interval`: from 100 ms to 20 s, 5 s if it is left out.
pub fn progress_interval(message: Option<prost_types::Duration>) -> Result<Duration, FieldError> {
    match message {
        None => Ok(PROGRESS_DEFAULT),
        Some(duration) => time::duration("progress_interval", &duration, &PROGRESS_INTERVALS),
    }
}

/// The digest of the state that a stream sends, over the rows sent so far.
#[derive(Debug)]
pub struct SnapshotDigest {
    version: Version,
    sum: u64,
}

impl SnapshotDigest {
    pub fn new(version: Version) -> Self {
        Self { version, sum: 0 }
    }

    /// Adds the rows of a page.
    pub fn add(&mut self, rows: &[proto::StateRow]) {
        for row in rows {
            self.sum = self.sum.wrapping_add(self.version.of_row(row));
        }
    }
}

/// A notice as a message. `digest` covers the whole state when the notice is its end.
pub fn notice_message(notice: Notice, digest: &SnapshotDigest) -> Body {
    match notice {
        Notice::Opened { history, head, floor, start, token, left_out } => Body::Opened(proto::Opened {
            history_id: history.to_string(),
            head: head.0,
            floor: floor.0,
            start_revision: start.0,
            resume_token: token,
            left_out_sources: left_out,
        }),
        Notice::SnapshotEnd { revision, rows, token } => Body::SnapshotEnd(proto::SnapshotEnd {
            revision: revision.0,
            row_count: rows,
            digest: digest.sum,
            resume_token: token,
            digest_version: digest.version.number(),
        }),
        Notice::Progress { revision, token } => {
            Body::Progress(proto::Progress { revision: revision.0, resume_token: token })
        }
        Notice::Lag { behind, head } => {
            let state = if behind { proto::LagState::CatchingUp } else { proto::LagState::Live };
            Body::Lag(proto::Lag { state: state.into(), head: head.0 })
        }
        Notice::Goodbye { reason, token, reconnect_after } => Body::Goodbye(proto::Goodbye {
            reason: proto::GoodbyeReason::from(reason).into(),
            resume_token: token,
            reconnect_after: prost_types::Duration::try_from(reconnect_after).ok(),
        }),
    }
}

impl From<GoodbyeReason> for proto::GoodbyeReason {
    fn from(reason: GoodbyeReason) -> Self {
        match reason {
            GoodbyeReason::Shutdown => Self::Shutdown,
            GoodbyeReason::RangeComplete => Self::RangeComplete,
            GoodbyeReason::MaxAge => Self::MaxAge,
            GoodbyeReason::ConnectionStalled => Self::ConnectionStalled,
            GoodbyeReason::LicencesChanged => Self::LicencesChanged,
        }
    }
}
