//! `IngestObservations`: figures of one release, streamed.

use std::{collections::BTreeSet, path::Path};

use tonic::{Status, Streaming};

use super::{
    Admin,
    endpoint::UploadMessage,
    receive::{self, CheckedItems, Progress, Receiver, UploadCount},
};
use crate::{
    convert::{
        batch::{BatchReader, SeriesFigures},
        enums,
        field::id,
        figure::point,
        time::date,
    },
    ledger::{
        plan::WriteRequest,
        upload::{Mode, Point, Upload},
    },
    model::{
        catalog::Definition,
        id::{IndicatorId, SourceId},
        series::SeriesKey,
    },
    proto::{self, ingest_observations_request::Part},
    rpc::{
        content::Content,
        status::{self, BadField},
        violations::Violations,
    },
};

/// Reads a whole upload and writes it.
pub(super) async fn ingest(
    admin: &Admin,
    mut messages: Streaming<UploadMessage>,
) -> Result<proto::IngestObservationsResponse, Status> {
    let Some(Part::Header(mut header)) = receive::next(&mut messages).await?.decode()?.part else {
        return Err(receive::header_first().into());
    };
    let options = header.options.take();
    let has_request_id = options.as_ref().is_some_and(|options| !options.request_id.is_empty());
    let receiver = ObservationReceiver::open(&header, has_request_id, admin.0.reader.view().engine().folder())?;
    let received = receive::receive(receiver, &mut messages, &admin.0.offload).await?;
    if let Err(status) = received.violations.check() {
        return receive::refuse(received, status, &admin.0.offload).await;
    }
    let ObservationReceiver { upload, definitions, content, .. } = received;
    let request = WriteRequest::Ingest { upload, definitions: definitions.items };
    let (result, _) = admin.write(options, content, request).await?;
    Ok(proto::IngestObservationsResponse { result: Some(result) })
}

/// An upload of figures, as far as it came.
#[derive(Debug)]
struct ObservationReceiver {
    upload: Upload,
    definitions: CheckedItems<Definition>,
    content: Content,
    /// Whether the request can be known again. Only then its digest matters, and covers the figures.
    has_request_id: bool,
    reader: BatchReader,
    violations: Violations,
    count: UploadCount,
    /// Batches of a series so far: errors name the batch.
    batches: usize,
}

impl ObservationReceiver {
    /// Starts an upload. Figures that do not fit into memory go to a temporary file in `folder`.
    fn open(header: &proto::IngestHeader, has_request_id: bool, folder: &Path) -> Result<Self, Status> {
        let upload = open_upload(header, folder)?;
        let mut content = Content::default();
        content.header(&(upload.released(), upload.mode() == Mode::Replace, upload.replaced()));
        Ok(Self {
            upload,
            definitions: CheckedItems::default(),
            content,
            has_request_id,
            reader: BatchReader::default(),
            violations: Violations::default(),
            count: UploadCount::default(),
            batches: 0,
        })
    }

    /// Adds figures that a message held as bytes.
    fn add_figures(&mut self, series: SeriesFigures) -> Result<(), Status> {
        self.batches += 1;
        self.count.rows += series.points.len() as u64;
        for (text, period) in &series.rewritten {
            self.upload.note_period(text, *period);
        }
        self.add(series.key, &series.points)
    }

    /// Checks figures of a series and adds them.
    fn add_series(&mut self, batch: proto::SeriesBatch) -> Result<(), Status> {
        let field = format!("series[{}]", self.batches);
        self.batches += 1;
        self.count.rows += batch.points.len() as u64;
        let key = SeriesKey::try_from(&batch).map_err(|error| error.under(&field));
        let key = self.violations.take(key);
        let mut points = Vec::with_capacity(batch.points.len());
        for (at, message) in batch.points.into_iter().enumerate() {
            let text = message.period.clone();
            let point = point(message).map_err(|error| error.under(&format!("{field}.points[{at}]")));
            if let Some(point) = self.violations.take(point) {
                self.upload.note_period(&text, point.0);
                points.push(point);
            }
        }
        match key {
            Some(key) => self.add(key, &points),
            None => Ok(()),
        }
    }

    /// Adds right figures. After the first mistake figures are only checked: the upload is refused in the end.
    fn add(&mut self, key: SeriesKey, points: &[Point]) -> Result<(), Status> {
        if !self.violations.is_empty() {
            return Ok(());
        }
        if self.has_request_id {
            self.content.points(&key, points);
        }
        self.upload.add(key, points).map_err(|error| status::of_upload(&error))
    }
}

impl Receiver for ObservationReceiver {
    type Message = UploadMessage;

    fn bytes(message: &UploadMessage) -> usize {
        message.bytes()
    }

    fn take(&mut self, message: UploadMessage) -> Result<Progress, Status> {
        if let UploadMessage::Encoded(bytes) = &message
            && let Some(batch) = self.reader.read(bytes)
        {
            for series in batch {
                self.add_figures(series)?;
            }
            self.count.messages += 1;
            return Ok(Progress::MoreToCome);
        }
        match message.decode()?.part.ok_or_else(receive::without_part)? {
            Part::Header(_) => return Err(receive::header_first().into()),
            Part::Definitions(batch) => {
                self.definitions.take(batch.definitions, &mut self.content, &mut self.violations)?;
            }
            Part::Observations(batch) => {
                for series in batch.series {
                    self.add_series(series)?;
                }
            }
            Part::End(end) => {
                self.count.check(end)?;
                return Ok(Progress::Complete);
            }
        }
        self.count.messages += 1;
        Ok(Progress::MoreToCome)
    }
}

fn open_upload(header: &proto::IngestHeader, folder: &Path) -> Result<Upload, Status> {
    let released = date("header.released", &header.released)?;
    let mode: Mode = enums::required("header.mode", header.mode)?;
    let names_source = !header.replaced_source.is_empty();
    let names_indicators = !header.replaced_indicators.is_empty();
    if mode == Mode::Merge && (names_source || names_indicators) {
        return Err(BadField::new("header.replaced_indicators", "only with REPLACE").into());
    }
    if names_source != names_indicators {
        let problem = "replaced_source and replaced_indicators go together";
        return Err(BadField::new("header.replaced_source", problem).into());
    }
    let mut replaced = BTreeSet::new();
    for indicator in &header.replaced_indicators {
        let indicator = id("header.replaced_indicators", indicator, IndicatorId::new)?;
        replaced.insert((indicator, id("header.replaced_source", &header.replaced_source, SourceId::new)?));
    }
    Ok(Upload::new(released, mode, replaced, folder))
}
