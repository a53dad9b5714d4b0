//! `StreamSeries`: whole series, message by message, as bytes.
//!
//! Invariant: at most [`SERIES_PER_READ`] series are read before the client has taken those before them, and at most
//! [`PASSED_MAX`] are looked at that give nothing: a search that finds little does not keep one of the places for reads.

use std::{collections::VecDeque, pin::Pin, sync::Arc};

use bytes::Bytes;
use prost::Message;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::Status;

use crate::{
    convert::batch::SeriesWriter,
    proto,
    query::{
        AsOf, Snapshot,
        series::{CurrentSeries, Selection, Step},
    },
    rpc::{App, paging::PASSED_MAX, query_status, status},
    store::series::SeriesIds,
};

/// A message of this size is closed.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Most series of one read of the store.
const SERIES_PER_READ: usize = 512;

/// Messages, encoded.
pub(super) type BoxedStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// An answer of which some messages are ready, while the next ones are read.
struct SeriesStream {
    app: Arc<App>,
    ready: VecDeque<Bytes>,
    /// `None`: nothing is left to read.
    next: Option<NextMessages>,
}

/// The read that is on its way.
struct NextMessages(JoinHandle<Result<Part, Status>>);

/// A client that is gone needs no more.
impl Drop for NextMessages {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Some messages, and what is left to read after them.
type Part = (VecDeque<Bytes>, Option<Reading>);

/// Where reading goes on.
struct Reading {
    snapshot: Snapshot,
    selection: Selection,
    /// The last series that was read.
    after: Option<SeriesIds>,
}

/// Starts an answer. Its first message has no series: it names the sources that are left out.
pub(super) fn start(
    app: Arc<App>,
    snapshot: Snapshot,
    selection: Selection,
    left_out_sources: Vec<String>,
) -> BoxedStream {
    let revision = snapshot.revision().0;
    let first = proto::StreamSeriesResponse { series: Vec::new(), revision, left_out_sources };
    let ready = VecDeque::from([first.encode_to_vec().into()]);
    let next = Some(Reading { snapshot, selection, after: None }.start(&app));
    let stream = SeriesStream { app, ready, next };
    Box::pin(futures_util::stream::try_unfold(stream, SeriesStream::next))
}

impl SeriesStream {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Status> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some((message, self)));
            }
            let Some(mut next) = self.next.take() else { return Ok(None) };
            // A task ends without a result only when the server stops.
            let (ready, reading) = (&mut next.0).await.map_err(|_| status::of_stopping())??;
            self.ready = ready;
            self.next = reading.map(|reading| reading.start(&self.app));
        }
    }
}

impl Reading {
    /// Reads on while the client takes the messages before.
    fn start(self, app: &Arc<App>) -> NextMessages {
        let app = app.clone();
        NextMessages(tokio::spawn(async move { app.read(AsOf::Head, move |_| self.read_on()).await }))
    }

    /// Reads more series of its own snapshot into messages.
    fn read_on(mut self) -> Result<Part, Status> {
        let mut writer = SeriesWriter::new(self.snapshot.revision(), MESSAGE_BYTES);
        let mut count = 0;
        let mut passed = 0;
        let mut ended = true;
        for step in self.snapshot.series(&self.selection, self.after.map(|ids| (ids, None))) {
            if count == SERIES_PER_READ || passed == PASSED_MAX {
                ended = false;
                break;
            }
            match step.map_err(query_status)? {
                Step::Found(CurrentSeries { ids, key, figures }) => {
                    writer.add(&key, figures.iter().map(|figure| &figure.version));
                    self.after = Some(ids);
                    count += 1;
                }
                Step::Passed(ids) => {
                    self.after = Some(ids);
                    passed += 1;
                }
            }
        }
        Ok((writer.finish().into(), (!ended).then_some(self)))
    }
}
