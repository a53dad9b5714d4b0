//! Fields of the feed's requests as values of the feed.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use tonic::Status;

use crate::{
    convert::{self, enums, field, figure, time},
    feed::{
        filter::{FILTER_IDS_MAX, FILTERS_MAX, Filter, Filters, Kind},
        subscription::SubscriptionStart,
    },
    model::{
        change::Cause,
        id::{EntityId, Revision},
    },
    proto::{self, subscribe_request::Start},
    query::AsOf,
    rpc::status::BadField,
};

/// Longest name of a filter.
const FILTER_NAME_BYTES_MAX: usize = 128;
const PROGRESS_DEFAULT: Duration = Duration::from_secs(5);
/// The longest interval lets a client notice a dead connection within a minute.
const PROGRESS_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(20);

/// The filters of a request, which leave out everything from the sources with the ids `left_out`.
pub(super) fn filters(messages: Vec<proto::Filter>, left_out: BTreeSet<String>) -> Result<Filters, Status> {
    if messages.len() > FILTERS_MAX {
        return Err(BadField::new("filters", format!("more than {FILTERS_MAX}")).into());
    }
    let needs_names = messages.len() > 1;
    let mut names = BTreeSet::new();
    let mut filters = Vec::with_capacity(messages.len());
    for (at, message) in messages.into_iter().enumerate() {
        if needs_names && (message.name.is_empty() || !names.insert(message.name.clone())) {
            return Err(BadField::new(format!("filters[{at}].name"), "several filters need names of their own").into());
        }
        filters.push(filter(message).map_err(|bad| bad.under(&format!("filters[{at}]")))?);
    }
    Ok(Filters::without(filters, left_out))
}

fn filter(message: proto::Filter) -> Result<Filter, BadField> {
    Ok(Filter {
        kinds: kinds(&message.kinds)?,
        causes: causes(&message.causes)?,
        name: field::text("name", message.name, FILTER_NAME_BYTES_MAX)?,
        rankings: ids("rankings", &message.rankings)?,
        indicators: ids("indicators", &message.indicators)?,
        entities: ids("entities", &message.entities)?,
        sources: ids("sources", &message.sources)?,
        rank_at_most: message.rank_at_most,
        min_places: message.min_places,
        dimensions: figure::dimension_filter("dimensions", message.dimensions)?,
    })
}

/// All ids have the same alphabet and length, and an indicator may end in `*`.
fn ids(field: &str, texts: &[String]) -> Result<BTreeSet<String>, BadField> {
    if texts.len() > FILTER_IDS_MAX {
        return Err(BadField::new(field, format!("more than {FILTER_IDS_MAX}")));
    }
    let mut ids = BTreeSet::new();
    for text in texts {
        ids.insert(field::id(field, text, EntityId::new)?.to_string());
    }
    Ok(ids)
}

fn kinds(numbers: &[i32]) -> Result<BTreeSet<Kind>, BadField> {
    field::check_list("kinds", numbers)?;
    let mut kinds = BTreeSet::new();
    for number in numbers {
        kinds.insert(match proto::ChangeKind::try_from(*number) {
            Ok(proto::ChangeKind::Value) => Kind::Value,
            Ok(proto::ChangeKind::Entry) => Kind::Entry,
            Ok(proto::ChangeKind::Edition) => Kind::Edition,
            Ok(proto::ChangeKind::Definition) => Kind::Definition,
            Ok(proto::ChangeKind::Unspecified) | Err(_) => {
                return Err(BadField::new("kinds", format!("{number} is not a kind of change")));
            }
        });
    }
    Ok(kinds)
}

fn causes(numbers: &[i32]) -> Result<BTreeSet<Cause>, BadField> {
    field::check_list("causes", numbers)?;
    let mut causes = BTreeSet::new();
    for number in numbers {
        let cause = enums::optional("causes", *number)?;
        causes.insert(cause.ok_or_else(|| BadField::new("causes", "unspecified is not a cause"))?);
    }
    Ok(causes)
}

pub(super) fn start(message: Option<Start>) -> Result<SubscriptionStart, Status> {
    match message.ok_or_else(|| BadField::new("start", "must be given"))? {
        Start::State(_) => Ok(SubscriptionStart::State { as_of: AsOf::Head }),
        Start::Now(_) => Ok(SubscriptionStart::Now),
        Start::ResumeToken(token) => Ok(SubscriptionStart::Token { token }),
        Start::Range(range) => Ok(start_range(range)?),
        Start::AsKnownAt(as_of) => match convert::as_of::as_of(Some(as_of))? {
            AsOf::Head => Err(BadField::new("as_known_at", "must name a point of history").into()),
            as_of => Ok(SubscriptionStart::State { as_of }),
        },
    }
}

fn start_range(message: proto::StartRange) -> Result<SubscriptionStart, BadField> {
    let proto::StartRange { first_revision, last_revision } = message;
    if first_revision == 0 {
        return Err(BadField::new("range.first_revision", "revisions start at 1"));
    }
    if last_revision != 0 && last_revision < first_revision {
        return Err(BadField::new("range.last_revision", "below first_revision"));
    }
    let last = (last_revision != 0).then_some(Revision(last_revision));
    Ok(SubscriptionStart::Range { first: Revision(first_revision), last })
}

pub(super) fn progress_interval(message: Option<prost_types::Duration>) -> Result<Duration, BadField> {
    match message {
        None => Ok(PROGRESS_DEFAULT),
        Some(duration) => Ok(time::duration("progress_interval", &duration, &PROGRESS_INTERVALS)?),
    }
}
