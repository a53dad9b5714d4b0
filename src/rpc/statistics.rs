//! `StatisticsService`: figures, series, versions.
//!
//! [`position`] says where lists go on; [`series_stream`] is the one answer that is a stream, which
//! [`mod@endpoint`] sends as bytes.

mod endpoint;
mod position;
mod series_stream;

use std::{collections::BTreeSet, sync::Arc};

use tonic::{Request, Response, Status};

pub use self::endpoint::endpoint;
use self::{
    position::{ChosenPosition, FigureToken, SeriesNumbers, VersionToken},
    series_stream::BoxedStream,
};
use super::{
    App, ReadPoint,
    paging::ListPage,
    query_status,
    status::{self, BadField},
};
use crate::{
    convert::{
        field::{id, optional_id},
        figure::{dimension_filter, dimensions},
        selection::{figure_selection, selection},
        time::optional_period,
    },
    model::{
        catalog::DefinitionKind,
        id::{EntityId, IndicatorId, SourceId},
    },
    proto::{self, statistics_service_server::StatisticsService},
    query::{
        Snapshot,
        figures::FigureQuery,
        policy::Policy,
        series::{CurrentSeries, Selection, Step},
        versions::VersionsQuery,
    },
};

const PAGE_DEFAULT: usize = 1_000;
const PAGE_MAX: usize = 10_000;

#[derive(Debug, Clone)]
pub struct Statistics(pub Arc<App>);

impl Statistics {
    /// Answers `StreamSeries`.
    async fn stream(&self, request: proto::StreamSeriesRequest) -> Result<BoxedStream, Status> {
        let mut selection = figure_selection(request.selection)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        let read = self.0.read(at, move |snapshot| {
            let left_out = leave_out_forbidden(&snapshot, &mut selection)?;
            Ok((snapshot, selection, left_out))
        });
        let (snapshot, selection, left_out) = read.await?;
        Ok(series_stream::start(self.0.clone(), snapshot, selection, left_out))
    }
}

#[tonic::async_trait]
impl StatisticsService for Statistics {
    async fn get_figure(
        &self,
        request: Request<proto::GetFigureRequest>,
    ) -> Result<Response<proto::GetFigureResponse>, Status> {
        let request = request.into_inner();
        let query = FigureQuery {
            indicator: id("indicator", &request.indicator, IndicatorId::new)?,
            entity: id("entity", &request.entity, EntityId::new)?,
            period: optional_period("period", &request.period)?,
            dimensions: dimensions(&request.dimensions)?,
            policy: Policy::named(&request.policy).map_err(query_status)?,
            source: optional_id("source", &request.source, SourceId::new)?,
        };
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        let answer = self.0.read_hot(at, move |snapshot| {
            let figure = snapshot.figure(&query)?;
            Ok(proto::GetFigureResponse {
                selected: Some((&figure.selected).into()),
                policy: query.policy.name().to_owned(),
                alternatives: figure.alternatives.iter().map(proto::Observation::from).collect(),
                disagreement: figure.disagreement.as_ref().map(proto::Disagreement::from),
                revision: snapshot.revision().0,
                unit: figure.unit,
            })
        });
        answer.await.map(Response::new)
    }

    async fn query_observations(
        &self,
        request: Request<proto::QueryObservationsRequest>,
    ) -> Result<Response<proto::QueryObservationsResponse>, Status> {
        let mut request = request.into_inner();
        let selection = figure_selection(request.selection.clone())?;
        if request.policy.is_empty() {
            let page = self.0.page(&mut request, PAGE_DEFAULT, PAGE_MAX)?;
            let at = ReadPoint::requested(request.as_of, request.min_revision)?.of_page(&page);
            let answer = self.0.read(at, move |snapshot| all_observations(&snapshot, selection, &page));
            return answer.await.map(Response::new);
        }
        let policy = Policy::named(&request.policy).map_err(query_status)?;
        let page = self.0.page(&mut request, PAGE_DEFAULT, PAGE_MAX)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?.of_page(&page);
        let answer = self.0.read(at, move |snapshot| chosen_observations(&snapshot, selection, policy, &page));
        answer.await.map(Response::new)
    }

    type StreamSeriesStream = tokio_stream::Empty<Result<proto::StreamSeriesResponse, Status>>;

    /// Not reached: [`mod@endpoint`] answers this path.
    async fn stream_series(
        &self,
        _: Request<proto::StreamSeriesRequest>,
    ) -> Result<Response<Self::StreamSeriesStream>, Status> {
        Err(status::of_server_fault("StreamSeries has an endpoint of its own"))
    }

    async fn list_series(
        &self,
        request: Request<proto::ListSeriesRequest>,
    ) -> Result<Response<proto::ListSeriesResponse>, Status> {
        let mut request = request.into_inner();
        let page: ListPage<SeriesNumbers> = self.0.page(&mut request, PAGE_DEFAULT, PAGE_MAX)?;
        let message = request.selection.unwrap_or_default();
        refuse_periods(&message)?;
        let mut selection = selection(message)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?.of_page(&page);
        let answer = self.0.read(at, move |snapshot| {
            if selection.indicators.is_empty() {
                let all = snapshot.catalog.definitions(DefinitionKind::Indicator, "", snapshot.revision());
                selection.indicators = all.filter_map(|definition| IndicatorId::new(definition.id()).ok()).collect();
            }
            snapshot.check_selection(&selection).map_err(query_status)?;
            let after = page.position.map(position::read_series);
            let steps = snapshot.list_series(&selection, after).map(|step| match step.map_err(query_status)? {
                Step::Found(series) => {
                    Ok((Some(proto::SeriesSummary::from(&series)), position::write_series(series.ids)))
                }
                Step::Passed(ids) => Ok((None, position::write_series(ids))),
            });
            let (series, next_page_token) = page.fill_sparse(snapshot.revision(), steps)?;
            Ok(proto::ListSeriesResponse { series, next_page_token, revision: snapshot.revision().0 })
        });
        answer.await.map(Response::new)
    }

    async fn list_versions(
        &self,
        request: Request<proto::ListVersionsRequest>,
    ) -> Result<Response<proto::ListVersionsResponse>, Status> {
        let mut request = request.into_inner();
        let page: ListPage<VersionToken> = self.0.page(&mut request, PAGE_DEFAULT, PAGE_MAX)?;
        let query = VersionsQuery {
            indicator: id("indicator", &request.indicator, IndicatorId::new)?,
            entity: id("entity", &request.entity, EntityId::new)?,
            period: optional_period("period", &request.period)?,
            source: optional_id("source", &request.source, SourceId::new)?,
            dimensions: dimension_filter("dimensions", request.dimensions)?,
        };
        let at = ReadPoint::requested(request.as_of, request.min_revision)?.of_page(&page);
        let answer = self.0.read(at, move |snapshot| {
            let after = page.position.as_ref().map(position::read_version).transpose()?;
            let mut messages = page.messages();
            let taken = snapshot.versions(&query, after.as_ref(), |version| {
                messages.take(proto::Observation::from(&version), || position::write_version(&version))
            });
            taken.map_err(query_status)?;
            let (versions, next_page_token) = messages.finish(snapshot.revision());
            Ok(proto::ListVersionsResponse { versions, next_page_token, revision: snapshot.revision().0 })
        });
        answer.await.map(Response::new)
    }
}

/// A page of every current figure of a selection, of all its sources.
fn all_observations(
    snapshot: &Snapshot,
    mut selection: Selection,
    page: &ListPage<FigureToken>,
) -> Result<proto::QueryObservationsResponse, Status> {
    let left_out_sources = leave_out_forbidden(snapshot, &mut selection)?;
    let after = page.position.map(position::read_figure).transpose()?;
    let steps = snapshot.series(&selection, after).flat_map(|step| match step {
        Ok(Step::Found(CurrentSeries { ids, key, figures })) => {
            figures.into_iter().map(|figure| Ok((ids, Some((key.clone(), figure))))).collect()
        }
        Ok(Step::Passed(ids)) => vec![Ok((ids, None))],
        Err(error) => vec![Err(error)],
    });
    let steps = steps.map(|step| {
        let (ids, figure) = step.map_err(query_status)?;
        let Some((key, figure)) = figure else { return Ok((None, position::write_passed(ids))) };
        let position = position::write_figure(ids, figure.version.period);
        let observation = snapshot.current_observation(key, figure).map_err(query_status)?;
        Ok((Some(proto::Observation::from(&observation)), position))
    });
    let (observations, next_page_token) = page.fill_sparse(snapshot.revision(), steps)?;
    let revision = snapshot.revision().0;
    Ok(proto::QueryObservationsResponse { observations, next_page_token, revision, left_out_sources })
}

/// A page of one figure of each key of a selection, as a policy chooses.
fn chosen_observations(
    snapshot: &Snapshot,
    mut selection: Selection,
    policy: Policy,
    page: &ListPage<ChosenPosition>,
) -> Result<proto::QueryObservationsResponse, Status> {
    let left_out_sources = leave_out_forbidden(snapshot, &mut selection)?;
    let after = page.position.map(position::read_chosen).transpose()?;
    let steps = snapshot.selected_figures(&selection, policy, after).map(|step| match step.map_err(query_status)? {
        Step::Found((position, observation)) => {
            Ok((Some(proto::Observation::from(&observation)), position::write_chosen(position)))
        }
        Step::Passed(position) => Ok((None, position::write_chosen(position))),
    });
    let (observations, next_page_token) = page.fill_sparse(snapshot.revision(), steps)?;
    let revision = snapshot.revision().0;
    Ok(proto::QueryObservationsResponse { observations, next_page_token, revision, left_out_sources })
}

/// Leaves out of a selection the sources that forbid redistribution. Returns those that it would have answered with.
fn leave_out_forbidden(snapshot: &Snapshot, selection: &mut Selection) -> Result<Vec<String>, Status> {
    snapshot.check_selection(selection).map_err(query_status)?;
    selection.left_out = snapshot.forbidden_sources(selection).map_err(query_status)?;
    let left_out: BTreeSet<SourceId> = snapshot.sources_left_out(selection).map_err(query_status)?;
    Ok(left_out.iter().map(ToString::to_string).collect())
}

/// Series are listed with all their periods.
fn refuse_periods(selection: &proto::SeriesSelection) -> Result<(), BadField> {
    let fields = [
        ("period_from", !selection.period_from.is_empty()),
        ("period_to", !selection.period_to.is_empty()),
        ("latest_periods", selection.latest_periods > 0),
    ];
    for (field, is_set) in fields {
        if is_set {
            return Err(BadField::new(format!("selection.{field}"), "a list of series is of all their periods"));
        }
    }
    Ok(())
}
