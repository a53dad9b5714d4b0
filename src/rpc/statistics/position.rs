//! Where lists of figures go on, as page tokens carry it.
//!
//! Days are kept instead of periods: both ends of a period, as days since 1970.

use tonic::Status;

use crate::{
    model::{period::Period, time::Date},
    query::series::{self, FigurePosition},
    rpc::paging::placed,
    store::series::SeriesIds,
};

/// Numbers of a series: indicator, entity, source, dimensions.
pub(super) type SeriesNumbers = [u32; 4];
/// In a list of figures: the series, and the days of a period in it.
pub(super) type FigureToken = (SeriesNumbers, Option<(i32, i32)>);
/// In a list of figures that a policy chose: numbers of indicator, entity and dimensions, and the days of the period.
pub(super) type ChosenPosition = ([u32; 3], (i32, i32));

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
