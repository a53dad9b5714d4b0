//! Figures as answers show them: versions, series, points, and how far sources disagree.

use super::{enums::ContractEnum, field::optional_text};
use crate::{
    feed::stamps::CommitStamps,
    model::series::{FigureVersion, SeriesKey, Statement},
    proto,
    query::{figures::Observation, policy::Disagreement, series::SeriesSummary},
};

/// A version of a figure, without what its commit says of it.
fn version(series: &SeriesKey, version: &FigureVersion) -> proto::Observation {
    proto::Observation {
        indicator: series.indicator.to_string(),
        entity: series.entity.to_string(),
        source: series.source.to_string(),
        dimensions: (&series.dimensions).into(),
        period: version.period.to_string(),
        value: version.value().map(proto::Value::from),
        released: version.released.to_string(),
        revision: version.revision.0,
        withdrawn: version.statement == Statement::NoFigure,
        retracted: version.statement == Statement::Retracted,
        ..proto::Observation::default()
    }
}

impl From<&Observation> for proto::Observation {
    fn from(observation: &Observation) -> Self {
        Self {
            recorded: Some(observation.commit.recorded.into()),
            cause: observation.commit.cause.number(),
            last_released: optional_text(observation.last_released),
            ..version(&observation.series, &observation.version)
        }
    }
}

/// A version of a figure in a change. A commit without a stamp, such as one that is only checked, has no time and no cause.
pub(super) fn stamped_version(series: &SeriesKey, figure: &FigureVersion, stamps: &CommitStamps) -> proto::Observation {
    let mut message = version(series, figure);
    if let Some(stamp) = stamps.get(figure.revision) {
        message.recorded = Some(stamp.recorded.into());
        message.cause = stamp.cause.number();
    }
    message
}

impl From<&SeriesSummary> for proto::SeriesSummary {
    fn from(series: &SeriesSummary) -> Self {
        Self {
            indicator: series.key.indicator.to_string(),
            entity: series.key.entity.to_string(),
            source: series.key.source.to_string(),
            dimensions: (&series.key.dimensions).into(),
            first_period: series.first.to_string(),
            latest_period: series.last.to_string(),
            figures: series.figures,
            released: series.newest_release.to_string(),
        }
    }
}

/// A series of an answer, still without points.
impl From<&SeriesKey> for proto::Series {
    fn from(series: &SeriesKey) -> Self {
        Self {
            indicator: series.indicator.to_string(),
            entity: series.entity.to_string(),
            source: series.source.to_string(),
            dimensions: (&series.dimensions).into(),
            points: Vec::new(),
        }
    }
}

impl From<&FigureVersion> for proto::SeriesPoint {
    fn from(version: &FigureVersion) -> Self {
        Self {
            period: version.period.to_string(),
            value: version.value().map(proto::Value::from),
            released: version.released.to_string(),
            revision: version.revision.0,
        }
    }
}

impl From<&Disagreement> for proto::Disagreement {
    fn from(disagreement: &Disagreement) -> Self {
        Self {
            min: disagreement.min,
            max: disagreement.max,
            spread: disagreement.spread(),
            relative_spread: disagreement.relative_spread(),
            compared: disagreement.compared,
            not_comparable: disagreement.not_comparable,
        }
    }
}
