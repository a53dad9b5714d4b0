//! `StreamSeries`: whole series, message by message.
//!
//! Invariant: series are read when the client has room for them, at most [`SERIES_PER_READ`] at a time, and at most
//! [`PASSED_MAX`] are looked at that give nothing: a search that finds little does not keep one of the places for reads.

use std::{collections::VecDeque, pin::Pin, sync::Arc};

use prost::Message;
use tokio_stream::Stream;
use tonic::Status;

use crate::{
    proto,
    query::{
        AsOf, Snapshot,
        series::{CurrentSeries, Selection, Step},
    },
    rpc::{App, paging::PASSED_MAX, query_status},
    store::series::SeriesIds,
};

/// A message of this size is closed.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Most series of one read of the store.
const SERIES_PER_READ: usize = 512;

pub(super) type BoxedStream = Pin<Box<dyn Stream<Item = Result<proto::StreamSeriesResponse, Status>> + Send>>;

/// The rest of an answer.
pub(super) struct SeriesStream {
    app: Arc<App>,
    snapshot: Snapshot,
    selection: Selection,
    /// The last series that was read.
    after: Option<SeriesIds>,
    ready: VecDeque<proto::StreamSeriesResponse>,
    /// Nothing is left to read.
    exhausted: bool,
}

impl SeriesStream {
    /// Starts an answer. Its first message has no series: it names the sources that are left out.
    pub(super) fn start(
        app: Arc<App>,
        snapshot: Snapshot,
        selection: Selection,
        left_out_sources: Vec<String>,
    ) -> BoxedStream {
        let first = proto::StreamSeriesResponse { left_out_sources, ..empty(&snapshot) };
        let ready = VecDeque::from([first]);
        let stream = Self { app, snapshot, selection, after: None, ready, exhausted: false };
        Box::pin(futures_util::stream::try_unfold(stream, Self::next))
    }

    async fn next(mut self) -> Result<Option<(proto::StreamSeriesResponse, Self)>, Status> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some((message, self)));
            }
            if self.exhausted {
                return Ok(None);
            }
            let app = self.app.clone();
            let read = app.read(AsOf::Head, move |_| {
                self.read_on()?;
                Ok(self)
            });
            self = read.await?;
        }
    }

    /// Reads more series of the stream's own snapshot into messages.
    fn read_on(&mut self) -> Result<(), Status> {
        let mut message = empty(&self.snapshot);
        let mut bytes = 0;
        let mut count = 0;
        self.exhausted = true;
        let mut passed = 0;
        for step in self.snapshot.series(&self.selection, self.after.map(|ids| (ids, None))) {
            if count == SERIES_PER_READ || passed == PASSED_MAX {
                self.exhausted = false;
                break;
            }
            let CurrentSeries { ids, key, figures } = match step.map_err(query_status)? {
                Step::Found(series) => series,
                Step::Passed(ids) => {
                    self.after = Some(ids);
                    passed += 1;
                    continue;
                }
            };
            self.after = Some(ids);
            count += 1;
            let mut series = proto::Series::from(&key);
            series.points = figures.iter().map(|figure| (&figure.version).into()).collect();
            for part in split(series) {
                bytes += part.encoded_len();
                message.series.push(part);
                if bytes >= MESSAGE_BYTES {
                    self.ready.push_back(std::mem::replace(&mut message, empty(&self.snapshot)));
                    bytes = 0;
                }
            }
        }
        if !message.series.is_empty() {
            self.ready.push_back(message);
        }
        Ok(())
    }
}

fn empty(snapshot: &Snapshot) -> proto::StreamSeriesResponse {
    proto::StreamSeriesResponse { series: Vec::new(), revision: snapshot.revision().0, left_out_sources: Vec::new() }
}

/// Splits a series so that each part fits into a message; most are one part.
fn split(mut series: proto::Series) -> Vec<proto::Series> {
    let points = std::mem::take(&mut series.points);
    let mut parts = Vec::new();
    let mut part = series.clone();
    let mut bytes = 0;
    for point in points {
        if bytes >= MESSAGE_BYTES {
            parts.push(std::mem::replace(&mut part, series.clone()));
            bytes = 0;
        }
        bytes += point.encoded_len();
        part.points.push(point);
    }
    parts.push(part);
    parts
}
