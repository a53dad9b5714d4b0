//! The messages of the two streaming writes: a header, definitions, rows, and an end that counts what came between.
//!
//! Invariant: the end counts the messages after the header and the figures or entries in them. A server writes nothing
//! without it; a client that must not write does not send it.

use crate::{
    model::{edition::Entry, value::Value},
    proto::{self, ingest_observations_request::Part as IngestPart, publish_edition_request::Part as PublishPart},
};

/// A message of an upload of figures.
pub fn ingest(part: IngestPart) -> proto::IngestObservationsRequest {
    proto::IngestObservationsRequest { part: Some(part) }
}

/// A message of a publication.
fn publish(part: PublishPart) -> proto::PublishEditionRequest {
    proto::PublishEditionRequest { part: Some(part) }
}

/// Counts a message of an upload of figures that is neither its header nor its end.
pub fn count(end: &mut proto::UploadEnd, message: &proto::IngestObservationsRequest) {
    end.messages += 1;
    if let Some(IngestPart::Observations(batch)) = &message.part {
        for series in &batch.series {
            end.rows += series.points.len() as u64;
        }
    }
}

/// All messages of an upload of figures.
pub fn figures(
    header: proto::IngestHeader,
    definitions: Vec<proto::DefinitionBatch>,
    batches: Vec<proto::ObservationBatch>,
) -> Vec<proto::IngestObservationsRequest> {
    let mut messages = vec![ingest(IngestPart::Header(header))];
    messages.extend(definitions.into_iter().map(IngestPart::Definitions).map(ingest));
    messages.extend(batches.into_iter().map(IngestPart::Observations).map(ingest));
    let mut end = proto::UploadEnd::default();
    for message in &messages[1..] {
        count(&mut end, message);
    }
    messages.push(ingest(IngestPart::End(end)));
    messages
}

/// All messages of a publication.
pub fn edition(
    header: proto::PublishHeader,
    definitions: Vec<proto::DefinitionBatch>,
    batches: Vec<proto::EntryBatch>,
) -> Vec<proto::PublishEditionRequest> {
    let end = proto::UploadEnd {
        messages: (definitions.len() + batches.len()) as u64,
        rows: batches.iter().map(|batch| batch.entries.len() as u64).sum(),
    };
    let mut messages = vec![publish(PublishPart::Header(header))];
    messages.extend(definitions.into_iter().map(PublishPart::Definitions).map(publish));
    messages.extend(batches.into_iter().map(PublishPart::Entries).map(publish));
    messages.push(publish(PublishPart::End(end)));
    messages
}

/// A value as uploads carry it: most have the usual qualifier and status, which would make millions of figures longer.
pub fn value(value: &Value) -> proto::Value {
    let mut message = proto::Value::from(value);
    if value.notes().is_none() {
        message.set_qualifier(proto::Qualifier::Unspecified);
        message.set_status(proto::ObservationStatus::Unspecified);
    }
    message
}

/// An entry as uploads carry it; see [`value`].
pub fn entry(entry: &Entry) -> proto::Entry {
    let mut message = proto::Entry::from(entry);
    message.score = entry.score.as_ref().map(value);
    for (message, component) in message.components.iter_mut().zip(&entry.components) {
        message.raw = component.raw.as_ref().map(value);
        message.score = component.score.as_ref().map(value);
    }
    message
}
