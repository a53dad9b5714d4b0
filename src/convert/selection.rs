//! Which series and figures a request is about.

use std::collections::BTreeSet;

use super::{
    error::{FieldError, Problem},
    field::{id, ids},
    figure::dimension_filter,
    time::{optional_date, optional_period},
};
use crate::{
    model::{
        id::{EntityId, IndicatorId, SourceId},
        time::Date,
    },
    proto,
    query::series::Selection,
};

/// Most ids in one field of a selection.
const SELECTION_IDS_MAX: usize = 10_000;

/// Reads the field `selection` of a request for figures. It names at least one indicator.
pub fn figure_selection(message: Option<proto::SeriesSelection>) -> Result<Selection, FieldError> {
    let message = message.unwrap_or_default();
    if message.indicators.is_empty() {
        return Err(FieldError::new("selection.indicators", Problem::NoIndicator));
    }
    selection(message)
}

/// Reads the field `selection` of a request.
pub fn selection(message: proto::SeriesSelection) -> Result<Selection, FieldError> {
    read(message).map_err(|error| error.under("selection"))
}

fn read(message: proto::SeriesSelection) -> Result<Selection, FieldError> {
    check_length("indicators", &message.indicators)?;
    check_length("entities", &message.entities)?;
    check_length("sources", &message.sources)?;
    let from = optional_period("period_from", &message.period_from)?;
    let to = optional_period("period_to", &message.period_to)?;
    if from.zip(to).is_some_and(|(from, to)| from.start() > to.end()) {
        return Err(FieldError::new("period_to", Problem::PeriodsReversed));
    }
    Ok(Selection {
        indicators: ids("indicators", &message.indicators, IndicatorId::new)?,
        entities: ids("entities", &message.entities, EntityId::new)?,
        sources: ids("sources", &message.sources, SourceId::new)?,
        from,
        to,
        dimensions: dimension_filter("dimensions", message.dimensions)?,
        latest_periods: (message.latest_periods > 0).then_some(message.latest_periods),
        members_of: members_of(message.members_of)?,
        left_out: BTreeSet::new(),
    })
}

fn check_length(field: &str, ids: &[String]) -> Result<(), FieldError> {
    if ids.len() <= SELECTION_IDS_MAX {
        return Ok(());
    }
    Err(FieldError::new(field, Problem::TooMany { items_max: SELECTION_IDS_MAX }))
}

/// The group whose members are selected, and the day that is meant; `None`: the day that the read names.
fn members_of(message: Option<proto::GroupMembers>) -> Result<Option<(EntityId, Option<Date>)>, FieldError> {
    let Some(message) = message else { return Ok(None) };
    let group = id("members_of.group", &message.group, EntityId::new)?;
    let day = optional_date("members_of.on_date", &message.on_date)?;
    Ok(Some((group, day)))
}
