//! Where lists of figures go on, as page tokens carry it.
//!
//! Days are kept instead of periods: both ends of a period, as days since 1970.

use tonic::Status;

use crate::{
    model::{id::Revision, period::Period, time::Date},
    query::{chosen::FigurePosition, figures::Observation, series, versions::VersionPosition},
    rpc::paging::placed,
    store::series::SeriesIds,
};

/// Numbers of a series: indicator, entity, source, dimensions.
pub(super) type SeriesNumbers = [u32; 4];
/// In a list of figures: the series, and the days of a period in it.
pub(super) type FigureToken = (SeriesNumbers, Option<(i32, i32)>);
/// In a list of figures that a policy chose: numbers of indicator, entity and dimensions, and the days of the period.
pub(super) type ChosenPosition = ([u32; 3], (i32, i32));

/// In a list of versions: source and dimensions as texts, the days of the period, the day of the release, the revision.
pub(super) type VersionToken = (String, String, (i32, i32), i32, u64);

pub(super) fn write_series(ids: SeriesIds) -> SeriesNumbers {
    [ids.indicator, ids.entity, ids.source, ids.dimensions]
}

pub(super) fn read_series([indicator, entity, source, dimensions]: SeriesNumbers) -> SeriesIds {
    SeriesIds { indicator, entity, source, dimensions }
}

pub(super) fn write_figure(ids: SeriesIds, period: Period) -> FigureToken {
    (write_series(ids), Some(days(period)))
}

pub(super) fn read_figure((ids, days): FigureToken) -> Result<series::SeriesPosition, Status> {
    Ok((read_series(ids), days.map(period).transpose()?))
}

/// After a whole series.
pub(super) fn write_passed(ids: SeriesIds) -> FigureToken {
    (write_series(ids), None)
}

pub(super) fn write_version(observation: &Observation) -> VersionToken {
    let VersionPosition { source, dimensions, period, released, revision } = VersionPosition::of(observation);
    (source, dimensions, days(period), released.days(), revision.0)
}

pub(super) fn read_version(token: &VersionToken) -> Result<VersionPosition, Status> {
    let (source, dimensions, days, released, revision) = token;
    Ok(VersionPosition {
        source: source.clone(),
        dimensions: dimensions.clone(),
        period: period(*days)?,
        released: placed(Date::from_days(*released))?,
        revision: Revision(*revision),
    })
}

pub(super) fn write_chosen(position: FigurePosition) -> ChosenPosition {
    let FigurePosition { indicator, entity, dimensions, period } = position;
    ([indicator, entity, dimensions], days(period))
}

pub(super) fn read_chosen(([indicator, entity, dimensions], days): ChosenPosition) -> Result<FigurePosition, Status> {
    Ok(FigurePosition { indicator, entity, dimensions, period: period(days)? })
}

fn days(period: Period) -> (i32, i32) {
    (period.start().days(), period.end().days())
}

/// Tokens are not signed, so the days may be no period.
fn period((start, end): (i32, i32)) -> Result<Period, Status> {
    let dates = Date::from_days(start).zip(Date::from_days(end));
    placed(dates.and_then(|(start, end)| Period::from_days(start, end)))
}
