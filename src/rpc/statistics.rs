//! `StatisticsService`.

use std::{pin::Pin, sync::Arc};

use prost::Message;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::{App, decode, encode, paging::Page, query_status};
use crate::{
    model::{
        id::{EntityId, IndicatorId, SourceId},
        period::Period,
    },
    proto::{self, statistics_service_server::StatisticsService},
    query::{
        Snapshot,
        figures::FigureQuery,
        policy::Policy,
        series::{CurrentSeries, Position, Selection},
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

fn position_in(([indicator, entity, source, dimensions], days): RowPosition) -> Position {
    let date = crate::model::time::Date::from_days;
    let period = days.and_then(|(start, end)| Period::from_days(date(start)?, date(end)?));
    (SeriesIds { indicator, entity, source, dimensions }, period)
}

fn selection(given: Option<proto::SeriesSelection>) -> Result<Selection, Status> {
    let given = given.unwrap_or_default();
    let bad = |field: &str, reason: String| Status::from(super::status::BadField::new(field, reason));
    if given.indicators.is_empty() {
        return Err(bad("selection.indicators", "name at least one indicator".into()));
    }
    if [&given.indicators, &given.entities, &given.sources].iter().any(|ids| ids.len() > SELECTION_IDS_MAX) {
        return Err(bad("selection", format!("more than {SELECTION_IDS_MAX} ids in one field")));
    }
    let indicators = given.indicators.iter().map(|id| decode::id("selection.indicators", id, IndicatorId::new));
    let entities = given.entities.iter().map(|id| decode::id("selection.entities", id, EntityId::new));
    let sources = given.sources.iter().map(|id| decode::id("selection.sources", id, SourceId::new));
    Ok(Selection {
        indicators: indicators.collect::<Result<_, _>>()?,
        entities: entities.collect::<Result<_, _>>()?,
        sources: sources.collect::<Result<_, _>>()?,
        from: decode::optional_period("selection.period_from", &given.period_from)?,
        to: decode::optional_period("selection.period_to", &given.period_to)?,
        ..Selection::default()
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
        let found = self.0.read(decode::as_of(request.as_of)?, move |snapshot| {
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
        let page: Page<RowPosition> = self.0.page(&plain, size, &token, PAGE_DEFAULT, PAGE_MAX)?;
        let mut selection = selection(plain.selection)?;
        let found = self.0.read(page.as_of(decode::as_of(plain.as_of)?), move |snapshot| {
            snapshot.check_selection(&selection).map_err(query_status)?;
            selection.left_out = snapshot.forbidden_sources(&selection).map_err(query_status)?;
            let series = snapshot.series(&selection, page.position.map(position_in));
            let rows = series.flat_map(|series| match series {
                Ok(CurrentSeries { ids, key, figures }) => {
                    figures.into_iter().map(|figure| Ok((ids, key.clone(), figure))).collect()
                }
                Err(error) => vec![Err(error)],
            });
            let figures = rows.map(|found| {
                let (ids, key, figure) = found.map_err(query_status)?;
                let position = position_out(ids, Some(figure.row.period));
                let observation = snapshot.current_observation(key, figure).map_err(query_status)?;
                Ok((encode::observation(&observation), position))
            });
            let (observations, next_page_token) = page.fill(snapshot.revision(), figures)?;
            Ok(proto::QueryObservationsResponse { observations, next_page_token, revision: snapshot.revision().0 })
        });
        found.await.map(Response::new)
    }

    type StreamSeriesStream = Pin<Box<dyn Stream<Item = Result<proto::StreamSeriesResponse, Status>> + Send>>;

    async fn stream_series(
        &self,
        request: Request<proto::StreamSeriesRequest>,
    ) -> Result<Response<Self::StreamSeriesStream>, Status> {
        let request = request.into_inner();
        let mut selection = selection(request.selection)?;
        let opened = self.0.read(decode::as_of(request.as_of)?, move |snapshot| {
            snapshot.check_selection(&selection).map_err(query_status)?;
            selection.left_out = snapshot.forbidden_sources(&selection).map_err(query_status)?;
            let left_out = snapshot.sources_left_out(&selection).map_err(query_status)?;
            Ok((snapshot, selection, left_out))
        });
        let (snapshot, selection, left_out) = opened.await?;
        let first = proto::StreamSeriesResponse {
            series: Vec::new(),
            revision: snapshot.revision().0,
            left_out_sources: left_out.iter().map(ToString::to_string).collect(),
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

    async fn list_versions(
        &self,
        request: Request<proto::ListVersionsRequest>,
    ) -> Result<Response<proto::ListVersionsResponse>, Status> {
        let mut plain = request.into_inner();
        let (size, token) = (std::mem::take(&mut plain.page_size), std::mem::take(&mut plain.page_token));
        let page: Page<usize> = self.0.page(&plain, size, &token, PAGE_DEFAULT, PAGE_MAX)?;
        let indicator = decode::id("indicator", &plain.indicator, IndicatorId::new)?;
        let entity = decode::id("entity", &plain.entity, EntityId::new)?;
        let period = decode::optional_period("period", &plain.period)?;
        let source = decode::optional_id("source", &plain.source, SourceId::new)?;
        let found = self.0.read(page.as_of(decode::as_of(plain.as_of)?), move |snapshot| {
            let all = snapshot.versions(&indicator, &entity, period, source.as_ref()).map_err(query_status)?;
            let from = page.position.unwrap_or(0);
            let from_here = all.iter().enumerate().skip(from);
            let (versions, next_page_token) = page
                .fill(snapshot.revision(), from_here.map(|(at, version)| Ok((encode::observation(version), at + 1))))?;
            Ok(proto::ListVersionsResponse { versions, next_page_token, revision: snapshot.revision().0 })
        });
        found.await.map(Response::new)
    }
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
                    points: figures.iter().map(|figure| encode::series_point(&figure.row)).collect(),
                };
                bytes += series.encoded_len();
                message.series.push(series);
                if bytes >= SERIES_MESSAGE_BYTES {
                    self.ready.push_back(std::mem::replace(&mut message, empty()));
                    bytes = 0;
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
