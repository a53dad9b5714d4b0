//! Checked records → messages of the two streaming writes.
//!
//! Invariant: a message stays well below the 4 MiB that a server takes. An upload ends with a message that counts the others.

use prost::Message;

use super::ingest::UploadMessage;
use crate::{
    convert::{
        batch::{BatchWriter, EncodedBatch},
        enums::ContractEnum,
        upload,
    },
    intake::{
        figures::Series,
        names::{NewEntity, NewIndicator},
        profile::{FigureShape, SourceShape},
    },
    model::edition::Entry,
    proto::{self, definition::Item, ingest_observations_request::Part},
};

/// A message that has reached this size is closed.
const MESSAGE_BYTES: usize = 1 << 20;
/// Most figures of one series in a row; each takes at most about 700 bytes, with the longest comment.
const BATCH_POINTS_MAX: usize = 2_000;
/// Most entries of one message.
const MESSAGE_ENTRIES_MAX: usize = 200;

/// Definitions in messages that are short enough.
pub fn definition_batches(definitions: Vec<proto::Definition>) -> Vec<proto::DefinitionBatch> {
    let mut batches: Vec<proto::DefinitionBatch> = Vec::new();
    let mut bytes = MESSAGE_BYTES;
    for definition in definitions {
        if bytes >= MESSAGE_BYTES {
            batches.push(proto::DefinitionBatch::default());
            bytes = 0;
        }
        bytes += definition.encoded_len();
        if let Some(batch) = batches.last_mut() {
            batch.definitions.push(definition);
        }
    }
    batches
}

/// Messages with all figures of these series, in their order.
pub fn figure_batches(series: &[Series]) -> Vec<EncodedBatch> {
    let mut writer = BatchWriter::default();
    let mut batches = Vec::new();
    for one in series {
        for points in one.points.chunks(BATCH_POINTS_MAX) {
            writer.add(&one.key, points.iter().map(|point| (point.period, &point.value)));
            if writer.bytes() >= MESSAGE_BYTES {
                batches.extend(writer.finish());
            }
        }
    }
    batches.extend(writer.finish());
    batches
}

/// All messages of an upload of figures.
pub fn figures(
    header: proto::IngestHeader,
    definitions: Vec<proto::Definition>,
    batches: Vec<EncodedBatch>,
) -> Vec<UploadMessage> {
    let mut messages = vec![UploadMessage::Part(Part::Header(header))];
    messages.extend(definition_batches(definitions).into_iter().map(Part::Definitions).map(UploadMessage::Part));
    messages.extend(batches.into_iter().map(UploadMessage::Figures));
    let mut end = proto::UploadEnd::default();
    for message in &messages {
        message.count(&mut end);
    }
    messages.push(UploadMessage::Part(Part::End(end)));
    messages
}

/// All messages of a publication.
pub fn publication(
    header: proto::PublishHeader,
    definitions: Vec<proto::Definition>,
    entries: &[Entry],
) -> Vec<proto::PublishEditionRequest> {
    let mut batches = Vec::new();
    for entries in entries.chunks(MESSAGE_ENTRIES_MAX) {
        batches.push(proto::EntryBatch { entries: entries.iter().map(upload::entry).collect() });
    }
    upload::edition(header, definition_batches(definitions), batches)
}

/// The definition of an entity that a file names.
pub fn define_entity(new: NewEntity) -> proto::Definition {
    let mut relations = Vec::new();
    for economy in &new.lies_in {
        let kind = proto::RelationKind::LiesIn.into();
        relations.push(proto::EntityRelation { kind, entity: economy.to_string(), ..Default::default() });
    }
    let codes = new.codes.into_iter().map(|(scheme, value)| proto::EntityCode { scheme, value });
    let entity = proto::Entity {
        id: new.id.to_string(),
        kind: new.kind.number(),
        name: new.name,
        codes: codes.collect(),
        names: Vec::new(),
        relations,
    };
    proto::Definition { item: Some(Item::Entity(entity)) }
}

/// The definition of an indicator that a file names.
pub fn define_indicator(new: NewIndicator, shape: &FigureShape) -> proto::Definition {
    let indicator = proto::Indicator {
        id: new.id.to_string(),
        name: new.name,
        licence: shape.licence.clone(),
        frequency: shape.frequency().number(),
        ..Default::default()
    };
    proto::Definition { item: Some(Item::Indicator(indicator)) }
}

/// The definition of the source that a profile describes.
pub fn define_source(source: &SourceShape) -> proto::Definition {
    let source = proto::Source {
        id: source.id.clone(),
        producer: source.producer.clone(),
        title: source.title.clone(),
        url: source.url.clone(),
        licence: source.licence.clone(),
        redistribution: proto::Redistribution::WithAttribution.into(),
        ..Default::default()
    };
    proto::Definition { item: Some(Item::Source(source)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        intake::figures::Point,
        model::{
            id::{EntityId, IndicatorId, SourceId},
            period::Period,
            series::{Dimensions, SeriesKey},
            value::{Number, Value},
        },
    };

    #[test]
    fn long_series_are_cut_and_nothing_is_lost() {
        let key = SeriesKey {
            indicator: IndicatorId::new("X").unwrap(),
            entity: EntityId::new("CHN").unwrap(),
            source: SourceId::new("s").unwrap(),
            dimensions: Dimensions::default(),
        };
        let period = Period::year(2020).unwrap();
        let point = Point { period, value: Value::number(Number::parse("0.12345678901234567891").unwrap()), line: 1 };
        let series = Series { key, points: vec![point; 90_000] };
        let batches = figure_batches(&[series.clone(), series]);
        assert!(batches.len() > 1);
        assert_eq!(batches.iter().map(|batch| batch.rows).sum::<u64>(), 180_000);
        let mut points = 0;
        for batch in batches {
            let mut bytes = Vec::new();
            batch.encode(&mut bytes);
            assert!(bytes.len() < 3 << 20);
            let message = proto::IngestObservationsRequest::decode(bytes.as_slice()).unwrap();
            let Some(Part::Observations(batch)) = message.part else { panic!("no figures") };
            for point in batch.series.iter().flat_map(|series| &series.points) {
                assert_eq!(point.value.as_ref().unwrap().exact, "0.12345678901234567891");
                points += 1;
            }
        }
        assert_eq!(points, 180_000);
    }
}
