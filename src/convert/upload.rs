//! The messages of the two streaming writes: a header, what is sent, and an end that counts it.
//!
//! Invariant: the end counts the messages between it and the header, and the figures or entries in them. Whoever must not
//! write never sends it.

use crate::proto::{
    self, ingest_observations_request::Part as IngestPart, publish_edition_request::Part as PublishPart,
};

/// A message of an upload of figures.
pub fn ingest(part: IngestPart) -> proto::IngestObservationsRequest {
    proto::IngestObservationsRequest { part: Some(part) }
}

/// Counts a message of an upload of figures that is neither its header nor its end.
pub fn count(end: &mut proto::UploadEnd, message: &proto::IngestObservationsRequest) {
    end.messages += 1;
    if let Some(IngestPart::Observations(batch)) = &message.part {
        end.rows += batch.series.iter().map(|series| series.points.len() as u64).sum::<u64>();
    }
}

/// All messages of an upload of figures.
pub fn figures(
    header: proto::IngestHeader,
    definitions: Vec<proto::DefinitionBatch>,
    batches: Vec<proto::ObservationBatch>,
) -> Vec<proto::IngestObservationsRequest> {
    let definitions = definitions.into_iter().map(IngestPart::Definitions);
    let batches = batches.into_iter().map(IngestPart::Observations);
    let mut end = proto::UploadEnd::default();
    let mut messages = vec![ingest(IngestPart::Header(header))];
    for message in definitions.chain(batches).map(ingest) {
        count(&mut end, &message);
        messages.push(message);
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
    let messages = (definitions.len() + batches.len()) as u64;
    let rows = batches.iter().map(|batch| batch.entries.len() as u64).sum();
    let definitions = definitions.into_iter().map(PublishPart::Definitions);
    let batches = batches.into_iter().map(PublishPart::Entries);
    let first = std::iter::once(PublishPart::Header(header));
    let last = std::iter::once(PublishPart::End(proto::UploadEnd { messages, rows }));
    let parts = first.chain(definitions).chain(batches).chain(last);
    parts.map(|part| proto::PublishEditionRequest { part: Some(part) }).collect()
}
