//! `StatisticsService`.

use std::{collections::BTreeSet, pin::Pin, sync::Arc};

use prost::Message;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::{
    App, At, decode, encode,
    paging::{ListPage, placed},
    query_status,
    status::BadField,
};
use crate::{
    model::{
        catalog::DefinitionKind,
        id::{EntityId, IndicatorId, SourceId},
        period::Period,
        time::Date,
    },
    proto::{self, statistics_service_server::StatisticsService},
    query::{
        Snapshot,
        figures::FigureQuery,
        policy::Policy,
        series::{CurrentSeries, FigurePosition, Selection, SeriesPosition},
    },
    store::series::SeriesIds,
};

const PAGE_DEFAULT: usize = 1_000;
const PAGE_MAX: usize = 10_000;
/// Most ids in one field of a selection.
const SELECTION_IDS_MAX: usize = 10_000;
/// A message of a bulk answer is closed at this size.
const SERIES_MESSAGE_BYTES: usize = 64 * 1024;
/// Series read in one go of a bulk answer.
const SERIES_PER_READ: usize = 512;

/// The service.
#[derive(Debug, Clone)]
pub struct Statistics(pub Arc<App>);

/// Where a list of figures goes on: the series' numbers and the period's days.
type RowPosition = ([u32; 4], Option<(i32, i32)>);

fn position_out(ids: SeriesIds, period: Option<Period>) -> RowPosition {
    let days = period.map(|period| (period.start().days(), period.end().days()));
    ([ids.indicator, ids.entity, ids.source, ids.dimensions], days)
}

fn period_in((start, end): (i32, i32)) -> Option<Period> {
    Period::from_days(Date::from_days(start)?, Date::from_days(end)?)
}

fn ids_in([indicator, entity, source, dimensions]: [u32; 4]) -> SeriesIds {
    SeriesIds { indicator, entity, source, dimensions }
}

fn position_in((ids, days): RowPosition) -> Result<SeriesPosition, Status> {
    Ok((ids_in(ids), days.map(|days| placed(period_in(days))).transpose()?))
}

/// Where a list of chosen figures goes on: numbers of indicator, entity and dimensions, and the period's days.
type ChosenPosition = ([u32; 3], (i32, i32));

fn chosen_out(position: FigurePosition) -> ChosenPosition {
    let FigurePosition { indicator, entity, dimensions, period } = position;
    ([indicator, entity, dimensions], (period.start().days(), period.end().days()))
}

fn chosen_in(([indicator, entity, dimensions], days): ChosenPosition) -> Result<FigurePosition, Status> {
    Ok(FigurePosition { indicator, entity, dimensions, period: placed(period_in(days))? })
}

fn ids_of(ids: &BTreeSet<SourceId>) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// The selection of a request for figures.
fn figures(given: Option<proto::SeriesSelection>) -> Result<Selection, BadField> {
    let given = given.unwrap_or_default();
    if given.indicators.is_empty() {
        return Err(BadField::new("selection.indicators", "name at least one indicator"));
    }
    selection(given)
}

fn selection(given: proto::SeriesSelection) -> Result<Selection, BadField> {
    for (field, ids) in [("indicators", &given.indicators), ("entities", &given.entities), ("sources", &given.sources)]
    {
        if ids.len() > SELECTION_IDS_MAX {
            return Err(BadField::new(format!("selection.{field}"), format!("more than {SELECTION_IDS_MAX}")));
        }
    }
    let from = decode::optional_period("selection.period_from", &given.period_from)?;
    let to = decode::optional_period("selection.period_to", &given.period_to)?;
    if from.zip(to).is_some_and(|(from, to)| from.start() > to.end()) {
        return Err(BadField::new("selection.period_to", "ends before period_from begins"));
    }
    let members_of = given.members_of.map(|members| {
        let group = decode::id("selection.members_of.group", &members.group, EntityId::new)?;
        let day = decode::optional_date("selection.members_of.on_date", &members.on_date)?;
        Ok::<_, BadField>((group, day))
    });
    let indicators = given.indicators.iter().map(|id| decode::id("selection.indicators", id, IndicatorId::new));
    let entities = given.entities.iter().map(|id| decode::id("selection.entities", id, EntityId::new));
    let sources = given.sources.iter().map(|id| decode::id("selection.sources", id, SourceId::new));
    Ok(Selection {
        indicators: indicators.collect::<Result<_, _>>()?,
        entities: entities.collect::<Result<_, _>>()?,
        sources: sources.collect::<Result<_, _>>()?,
        from,
        to,
        dimensions: decode::dimension_filter("selection.dimensions", given.dimensions)?,
        latest_periods: (given.latest_periods > 0).then_some(given.latest_periods),
        members_of: members_of.transpose()?,
        left_out: BTreeSet::new(),
    })
}

#[tonic::async_trait]
impl StatisticsService for Statistics {
    async fn get_figure(
        &self,
        request: Request<proto::GetFigureRequest>,
    ) -> Result<Response<proto::GetFigureResponse>, Status> {
        let request = request.into_inner();
        let query = FigureQuery {
            indicator: decode::id("indicator", &request.indicator, IndicatorId::new)?,
            entity: decode::id("entity", &request.entity, EntityId::new)?,
            period: decode::optional_period("period", &request.period)?,
            dimensions: decode::dimensions(&request.dimensions)?,
            policy: Policy::named(&request.policy).map_err(query_status)?,
            source: decode::optional_id("source", &request.source, SourceId::new)?,
        };
        let found = self.0.read(At::asked(request.as_of, request.min_revision)?, move |snapshot| {
            let found = snapshot.figure(&query).map_err(query_status)?;
            Ok(proto::GetFigureResponse {
                selected: Some(encode::observation(&found.selected)),
                policy: query.policy.name().to_owned(),
                alternatives: found.alternatives.iter().map(encode::observation).collect(),
                disagreement: found.disagreement.as_ref().map(encode::disagreement),
                revision: snapshot.revision().0,
                unit: found.unit,
            })
        });
        found.await.map(Response::new)
    }

    async fn query_observations(
        &self,
        request: Request<proto::QueryObservationsRequest>,
    ) -> Result<Response<proto::QueryObservationsResponse>, Status> {
        let mut plain = request.into_inner();
        let (size, token) = (std::mem::take(&mut plain.page_size), std::mem::take(&mut plain.page_token));
        let selection = figures(plain.selection.clone())?;
        if !plain.policy.is_empty() {
            let policy = Policy::named(&plain.policy).map_err(query_status)?;
            let page = self.0.page(&plain, size, &token, PAGE_DEFAULT, PAGE_MAX)?;
            return self.query_chosen(At::asked(plain.as_of, plain.min_revision)?, selection, policy, page).await;
        }
        let page: ListPage<RowPosition> = self.0.page(&plain, size, &token, PAGE_DEFAULT, PAGE_MAX)?;
        let mut selection = selection;
        let found = self.0.read(At::asked(plain.as_of, plain.min_revision)?.paged(&page), move |snapshot| {
            let left_out = leave_out(&snapshot, &mut selection)?;
            let after = page.position.map(position_in).transpose()?;
            let series = snapshot.series(&selection, after);
            let rows = series.flat_map(|series| match series {
                Ok(CurrentSeries { ids, key, figures }) => {
                    figures.into_iter().map(|figure| Ok((ids, key.clone(), figure))).collect()
                }
                Err(error) => vec![Err(error)],
            });
            let figures = rows.map(|found| {
                let (ids, key, figure) = found.map_err(query_status)?;
                let position = position_out(ids, Some(figure.version.period));
                let observation = snapshot.current_observation(key, figure).map_err(query_status)?;
                Ok((encode::observation(&observation), position))
            });
            let (observations, next_page_token) = page.fill(snapshot.revision(), figures)?;
            let revision = snapshot.revision().0;
            Ok(proto::QueryObservationsResponse {
                observations,
                next_page_token,
                revision,
                left_out_sources: ids_of(&left_out),
            })
        });
        found.await.map(Response::new)
    }

    type StreamSeriesStream = Pin<Box<dyn Stream<Item = Result<proto::StreamSeriesResponse, Status>> + Send>>;

    async fn stream_series(
        &self,
        request: Request<proto::StreamSeriesRequest>,
    ) -> Result<Response<Self::StreamSeriesStream>, Status> {
        let request = request.into_inner();
        let mut selection = figures(request.selection)?;
        let opened = self.0.read(At::asked(request.as_of, request.min_revision)?, move |snapshot| {
            let left_out = leave_out(&snapshot, &mut selection)?;
            Ok((snapshot, selection, left_out))
        });
        let (snapshot, selection, left_out) = opened.await?;
        let first = proto::StreamSeriesResponse {
            series: Vec::new(),
            revision: snapshot.revision().0,
            left_out_sources: ids_of(&left_out),
        };
        let bulk = Bulk {
            app: self.0.clone(),
            snapshot,
            selection: Arc::new(selection),
            after: None,
            ready: std::collections::VecDeque::from([first]),
            done: false,
        };
        Ok(Response::new(Box::pin(futures_util::stream::try_unfold(bulk, Bulk::next))))
    }

    async fn list_series(
        &self,
        request: Request<proto::ListSeriesRequest>,
    ) -> Result<Response<proto::ListSeriesResponse>, Status> {
        let mut plain = request.into_inner();
        let size = std::mem::take(&mut plain.page_size);
        let token = std::mem::take(&mut plain.page_token);
        let page: ListPage<[u32; 4]> = self.0.page(&plain, size, &token, PAGE_DEFAULT, PAGE_MAX)?;
        let given = plain.selection.unwrap_or_default();
        for (field, set) in [
            ("period_from", !given.period_from.is_empty()),
            ("period_to", !given.period_to.is_empty()),
            ("latest_periods", given.latest_periods > 0),
        ] {
            if set {
                return Err(
                    BadField::new(format!("selection.{field}"), "a list of series is of all their periods").into()
                );
            }
        }
        let mut selection = selection(given)?;
        let found = self.0.read(At::asked(plain.as_of, plain.min_revision)?.paged(&page), move |snapshot| {
            if selection.indicators.is_empty() {
                let all = snapshot.catalog.definitions(DefinitionKind::Indicator, "", snapshot.revision());
                selection.indicators = all.filter_map(|definition| IndicatorId::new(definition.id()).ok()).collect();
            }
            snapshot.check_selection(&selection).map_err(query_status)?;
            let after = page.position.map(ids_in);
            let series = snapshot.list_series(&selection, after).map(|series| {
                let series = series.map_err(query_status)?;
                Ok((encode::series_summary(&series), position_out(series.ids, None).0))
            });
            let (series, next_page_token) = page.fill(snapshot.revision(), series)?;
            Ok(proto::ListSeriesResponse { series, next_page_token, revision: snapshot.revision().0 })
        });
        found.await.map(Response::new)
    }

    async fn list_versions(
        &self,
        request: Request<proto::ListVersionsRequest>,
    ) -> Result<Response<proto::ListVersionsResponse>, Status> {
        let mut plain = request.into_inner();
        let (size, token) = (std::mem::take(&mut plain.page_size), std::mem::take(&mut plain.page_token));
        let page: ListPage<usize> = self.0.page(&plain, size, &token, PAGE_DEFAULT, PAGE_MAX)?;
        let indicator = decode::id("indicator", &plain.indicator, IndicatorId::new)?;
        let entity = decode::id("entity", &plain.entity, EntityId::new)?;
        let period = decode::optional_period("period", &plain.period)?;
        let source = decode::optional_id("source", &plain.source, SourceId::new)?;
        let dimensions = decode::dimension_filter("dimensions", plain.dimensions)?;
        let found = self.0.read(At::asked(plain.as_of, plain.min_revision)?.paged(&page), move |snapshot| {
            let mut all = snapshot.versions(&indicator, &entity, period, source.as_ref()).map_err(query_status)?;
            all.retain(|version| version.series.dimensions.has(&dimensions));
            let from_here = all.iter().enumerate().skip(page.first(all.len())?);
            let (versions, next_page_token) = page
                .fill(snapshot.revision(), from_here.map(|(at, version)| Ok((encode::observation(version), at + 1))))?;
            Ok(proto::ListVersionsResponse { versions, next_page_token, revision: snapshot.revision().0 })
        });
        found.await.map(Response::new)
    }
}

impl Statistics {
    /// One figure of each key, as a policy chooses.
    async fn query_chosen(
        &self,
        at: At,
        mut selection: Selection,
        policy: Policy,
        page: ListPage<ChosenPosition>,
    ) -> Result<Response<proto::QueryObservationsResponse>, Status> {
        let found = self.0.read(at.paged(&page), move |snapshot| {
            let left_out = leave_out(&snapshot, &mut selection)?;
            let after = page.position.map(chosen_in).transpose()?;
            let figures = snapshot.selected_figures(&selection, policy, after).map(|found| {
                let (position, observation) = found.map_err(query_status)?;
                Ok((encode::observation(&observation), chosen_out(position)))
            });
            let (observations, next_page_token) = page.fill(snapshot.revision(), figures)?;
            let revision = snapshot.revision().0;
            Ok(proto::QueryObservationsResponse {
                observations,
                next_page_token,
                revision,
                left_out_sources: ids_of(&left_out),
            })
        });
        found.await.map(Response::new)
    }
}

/// Leaves out of a selection the sources that forbid redistribution; says which of them it would have answered with.
fn leave_out(snapshot: &Snapshot, selection: &mut Selection) -> Result<BTreeSet<SourceId>, Status> {
    snapshot.check_selection(selection).map_err(query_status)?;
    selection.left_out = snapshot.forbidden_sources(selection).map_err(query_status)?;
    snapshot.sources_left_out(selection).map_err(query_status)
}

/// A series in parts that each fit into a message; most are one.
fn series_parts(mut series: proto::Series) -> Vec<proto::Series> {
    let points = std::mem::take(&mut series.points);
    let mut parts = Vec::new();
    let mut part = series.clone();
    let mut bytes = 0;
    for point in points {
        if bytes >= SERIES_MESSAGE_BYTES {
            parts.push(std::mem::replace(&mut part, series.clone()));
            bytes = 0;
        }
        bytes += point.encoded_len();
        part.points.push(point);
    }
    parts.push(part);
    parts
}

/// A bulk answer on its way: reads some series whenever the client has room for them.
struct Bulk {
    app: Arc<App>,
    snapshot: Snapshot,
    selection: Arc<Selection>,
    after: Option<SeriesIds>,
    ready: std::collections::VecDeque<proto::StreamSeriesResponse>,
    done: bool,
}

impl Bulk {
    async fn next(mut self) -> Result<Option<(proto::StreamSeriesResponse, Self)>, Status> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some((message, self)));
            }
            if self.done {
                return Ok(None);
            }
            self = self.read_on().await?;
        }
    }

    async fn read_on(mut self) -> Result<Self, Status> {
        let app = self.app.clone();
        app.read(crate::query::AsOf::Head, move |_| {
            let revision = self.snapshot.revision().0;
            let empty = || proto::StreamSeriesResponse { series: Vec::new(), revision, left_out_sources: Vec::new() };
            let (mut message, mut bytes, mut count) = (empty(), 0, 0);
            self.done = true;
            for series in self.snapshot.series(&self.selection, self.after.map(|ids| (ids, None))) {
                let CurrentSeries { ids, key, figures } = series.map_err(query_status)?;
                self.after = Some(ids);
                count += 1;
                let series = proto::Series {
                    indicator: key.indicator.to_string(),
                    entity: key.entity.to_string(),
                    source: key.source.to_string(),
                    dimensions: encode::dimensions(&key.dimensions),
                    points: figures.iter().map(|figure| encode::series_point(&figure.version)).collect(),
                };
                for part in series_parts(series) {
                    bytes += part.encoded_len();
                    message.series.push(part);
                    if bytes >= SERIES_MESSAGE_BYTES {
                        self.ready.push_back(std::mem::replace(&mut message, empty()));
                        bytes = 0;
                    }
                }
                if count == SERIES_PER_READ {
                    self.done = false;
                    break;
                }
            }
            if !message.series.is_empty() {
                self.ready.push_back(message);
            }
            Ok(self)
        })
        .await
    }
}
