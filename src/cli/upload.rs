//! Checked records → messages of the two streaming writes.
//!
//! Invariant: a message stays well below the 4 MiB that a server takes, and only a few messages exist at a time. An upload ends
//! with a message that counts the others; a command that must not write does not send it.

use std::collections::HashMap;

use prost::Message;

use crate::{
    convert::{
        enums::ContractEnum,
        upload::{self, count, ingest},
    },
    intake::{
        figures::Series,
        names::{NewEntity, NewIndicator},
        profile::{FigureShape, SourceShape},
    },
    model::{edition::Entry, period::Period},
    proto::{self, definition::Item, ingest_observations_request::Part as IngestPart},
};

/// A message that has reached this size is closed.
const MESSAGE_BYTES: usize = 1 << 20;
/// Most figures of one series in a row; each takes at most about 700 bytes, with the longest comment.
const BATCH_POINTS_MAX: usize = 2_000;
/// Most entries of one message.
const MESSAGE_ENTRIES_MAX: usize = 200;

/// All messages of an upload of figures, made one by one.
#[derive(Debug)]
pub struct FigureUpload {
    header: Option<proto::IngestHeader>,
    definitions: std::vec::IntoIter<proto::DefinitionBatch>,
    figures: FigureMessages,
    /// Counts the messages so far; `None` after it was sent.
    end: Option<proto::UploadEnd>,
}

impl FigureUpload {
    /// An upload of these definitions and series.
    pub fn new(header: proto::IngestHeader, definitions: Vec<proto::Definition>, series: Vec<Series>) -> Self {
        Self {
            header: Some(header),
            definitions: definition_batches(definitions).into_iter(),
            figures: FigureMessages::new(series),
            end: Some(proto::UploadEnd::default()),
        }
    }
}

impl Iterator for FigureUpload {
    type Item = proto::IngestObservationsRequest;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(header) = self.header.take() {
            return Some(ingest(IngestPart::Header(header)));
        }
        let definitions = self.definitions.next().map(|batch| ingest(IngestPart::Definitions(batch)));
        if let Some(message) = definitions.or_else(|| self.figures.next()) {
            count(self.end.as_mut()?, &message);
            return Some(message);
        }
        self.end.take().map(|end| ingest(IngestPart::End(end)))
    }
}

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

/// Messages with the figures of some series.
#[derive(Debug)]
pub struct FigureMessages {
    series: std::vec::IntoIter<Series>,
    /// The rest of a series that is longer than a batch.
    rest: Option<Series>,
    /// Periods as text: most come in every series.
    periods: HashMap<Period, String>,
}

impl FigureMessages {
    /// All figures of these series, in their order.
    pub fn new(series: Vec<Series>) -> Self {
        Self { series: series.into_iter(), rest: None, periods: HashMap::new() }
    }

    fn batch(&mut self) -> Option<proto::SeriesBatch> {
        let mut series = self.rest.take().or_else(|| self.series.next())?;
        if series.points.len() > BATCH_POINTS_MAX {
            let points = series.points.split_off(BATCH_POINTS_MAX);
            self.rest = Some(Series { key: series.key.clone(), points });
        }
        let mut batch = proto::SeriesBatch::from(&series.key);
        batch.points.reserve(series.points.len());
        for point in series.points {
            let period = self.periods.entry(point.period).or_insert_with(|| point.period.to_string()).clone();
            batch.points.push(proto::IngestPoint {
                period,
                value: Some(upload::value(&point.value)),
                withdrawn: false,
            });
        }
        Some(batch)
    }
}

impl Iterator for FigureMessages {
    type Item = proto::IngestObservationsRequest;

    fn next(&mut self) -> Option<Self::Item> {
        let mut message = proto::ObservationBatch::default();
        let mut bytes = 0;
        while bytes < MESSAGE_BYTES
            && let Some(batch) = self.batch()
        {
            bytes += batch.encoded_len();
            message.series.push(batch);
        }
        (!message.series.is_empty()).then(|| ingest(IngestPart::Observations(message)))
    }
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
        let messages: Vec<_> = FigureMessages::new(vec![series.clone(), series]).collect();
        assert!(messages.len() > 1);
        assert!(messages.iter().all(|message| message.encoded_len() < 3 << 20));
        let batches = messages.iter().map(|message| match &message.part {
            Some(IngestPart::Observations(batch)) => batch,
            part => panic!("{part:?}"),
        });
        let points = batches.flat_map(|batch| &batch.series).flat_map(|series| &series.points);
        assert_eq!(points.clone().count(), 180_000);
        assert!(points.clone().all(|point| point.value.as_ref().unwrap().exact == "0.12345678901234567891"));
    }
}
