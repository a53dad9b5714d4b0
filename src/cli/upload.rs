//! Checked records → messages of the two streaming writes.
//!
//! Invariant: a message stays well below the 4 MiB that a server takes, and only a few of them exist at a time. An upload ends
//! with a message that counts the others; whoever must not write never sends it.

use std::collections::HashMap;

use prost::Message;

use crate::{
    convert::{
        self,
        upload::{count, ingest},
    },
    intake::{
        figures::Series,
        names::{NewEntity, NewIndicator},
        profile::{FigureShape, SourceShape},
    },
    model::{
        catalog::{EntityKind, Frequency},
        edition::{Entry, EntryComponent, RankClaim},
        period::Period,
        value::{Figure, MissingReason, Qualifier, Status, Value},
    },
    proto::{self, ingest_observations_request::Part as IngestPart},
};

/// A message is closed when it has reached so many bytes.
const MESSAGE_BYTES: usize = 1 << 20;
/// Most figures of one batch; each takes at most about 700 bytes, with the longest remark.
const BATCH_POINTS_MAX: usize = 2_000;
/// Most entries of one message.
const MESSAGE_ENTRIES_MAX: usize = 200;

/// The messages of an upload of figures, its end the last.
#[derive(Debug)]
pub struct FigureUpload {
    header: Option<proto::IngestHeader>,
    definitions: std::vec::IntoIter<proto::DefinitionBatch>,
    figures: FigureMessages,
    sent: Option<proto::UploadEnd>,
}

impl FigureUpload {
    /// All of an upload.
    pub fn new(header: proto::IngestHeader, definitions: Vec<proto::Definition>, series: Vec<Series>) -> Self {
        Self {
            header: Some(header),
            definitions: definition_batches(definitions).into_iter(),
            figures: FigureMessages::new(series),
            sent: Some(proto::UploadEnd::default()),
        }
    }
}

impl Iterator for FigureUpload {
    type Item = proto::IngestObservationsRequest;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(header) = self.header.take() {
            return Some(ingest(IngestPart::Header(header)));
        }
        let message = match self.definitions.next() {
            Some(batch) => Some(ingest(IngestPart::Definitions(batch))),
            None => self.figures.next(),
        };
        match message {
            Some(message) => {
                count(self.sent.as_mut()?, &message);
                Some(message)
            }
            None => self.sent.take().map(|end| ingest(IngestPart::End(end))),
        }
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
    open: Option<Series>,
    periods: HashMap<Period, String>,
}

impl FigureMessages {
    /// All figures of these series.
    pub fn new(series: Vec<Series>) -> Self {
        Self { series: series.into_iter(), open: None, periods: HashMap::new() }
    }

    fn batch(&mut self) -> Option<proto::SeriesBatch> {
        let mut series = self.open.take().or_else(|| self.series.next())?;
        let later = (series.points.len() > BATCH_POINTS_MAX).then(|| series.points.split_off(BATCH_POINTS_MAX));
        let key = &series.key;
        let mut batch = proto::SeriesBatch {
            indicator: key.indicator.to_string(),
            entity: key.entity.to_string(),
            source: key.source.to_string(),
            dimensions: key.dimensions.pairs().map(dimension).collect(),
            points: Vec::with_capacity(series.points.len()),
        };
        if let Some(points) = later {
            self.open = Some(Series { key: key.clone(), points });
        }
        for point in series.points {
            let period = self.periods.entry(point.period).or_insert_with(|| point.period.to_string()).clone();
            batch.points.push(proto::IngestPoint { period, value: Some(value(&point.value)), withdrawn: false });
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

fn dimension((id, code): (&str, &str)) -> proto::Dimension {
    proto::Dimension { id: id.to_owned(), value: code.to_owned() }
}

/// All messages of a publication.
pub fn publication(
    header: proto::PublishHeader,
    definitions: Vec<proto::Definition>,
    entries: &[Entry],
) -> Vec<proto::PublishEditionRequest> {
    let batches = entries.chunks(MESSAGE_ENTRIES_MAX);
    let batches = batches.map(|entries| proto::EntryBatch { entries: entries.iter().map(entry).collect() });
    convert::upload::edition(header, definition_batches(definitions), batches.collect())
}

fn entry(entry: &Entry) -> proto::Entry {
    proto::Entry {
        entity: entry.entity.to_string(),
        published_name: entry.published_name.clone(),
        economies: entry.economies.iter().map(ToString::to_string).collect(),
        rank: entry.rank,
        tied: entry.tied,
        score: entry.score.as_ref().map(value),
        components: entry.components.iter().map(component).collect(),
        previous: entry.previous.iter().map(claim).collect(),
        disputed: entry.disputed.iter().map(claim).collect(),
        note: entry.note.clone(),
    }
}

fn component(component: &EntryComponent) -> proto::EntryComponent {
    proto::EntryComponent {
        id: component.id.clone(),
        raw: component.raw.as_ref().map(value),
        score: component.score.as_ref().map(value),
        rank: component.rank,
        data_year: component.data_year.clone(),
    }
}

fn claim(claim: &RankClaim) -> proto::RankClaim {
    proto::RankClaim { rank: claim.rank, edition: claim.edition.clone(), claimed_by: claim.claimed_by.clone() }
}

/// A figure, with its text where a double would lose it.
fn value(value: &Value) -> proto::Value {
    let mut message = proto::Value::default();
    match &value.figure {
        Figure::Number(number) => {
            message.number = Some(number.to_f64());
            message.decimals = Some(number.decimals());
            message.exact = number.exact().unwrap_or_default();
        }
        Figure::Missing(reason) => message.set_missing(match reason {
            MissingReason::NotCollected => proto::MissingReason::NotCollected,
            MissingReason::NotApplicable => proto::MissingReason::NotApplicable,
            MissingReason::Suppressed => proto::MissingReason::Suppressed,
            MissingReason::NoMeasurement => proto::MissingReason::NoMeasurement,
        }),
    }
    let Some(notes) = value.notes() else { return message };
    message.multiplier_pow10 = i32::from(notes.multiplier);
    message.comment.clone_from(&notes.comment);
    let qualifier = match &notes.qualifier {
        Qualifier::Exact => proto::Qualifier::Exact,
        Qualifier::Approximate => proto::Qualifier::Approximate,
        Qualifier::AtLeast => proto::Qualifier::AtLeast,
        Qualifier::AtMost => proto::Qualifier::AtMost,
        Qualifier::RangeTo(upper) => {
            message.upper = Some(upper.to_f64());
            proto::Qualifier::Range
        }
    };
    message.set_qualifier(qualifier);
    message.set_status(match notes.status {
        Status::Normal => proto::ObservationStatus::Normal,
        Status::Break => proto::ObservationStatus::Break,
        Status::Estimated => proto::ObservationStatus::Estimated,
        Status::Forecast => proto::ObservationStatus::Forecast,
        Status::Imputed => proto::ObservationStatus::Imputed,
        Status::NotSignificant => proto::ObservationStatus::NotSignificant,
        Status::Provisional => proto::ObservationStatus::Provisional,
    });
    message
}

/// The definition of an entity that a file names.
pub fn define_entity(new: NewEntity) -> proto::Definition {
    let relations = new.lies_in.iter().map(|economy| proto::EntityRelation {
        kind: proto::RelationKind::LiesIn.into(),
        entity: economy.to_string(),
        ..Default::default()
    });
    let codes = new.codes.into_iter().map(|(scheme, value)| proto::EntityCode { scheme, value });
    let entity = proto::Entity {
        id: new.id.to_string(),
        kind: match new.kind {
            EntityKind::Economy => proto::EntityKind::Economy,
            EntityKind::Cluster => proto::EntityKind::Cluster,
            EntityKind::Organisation => proto::EntityKind::Organisation,
            EntityKind::RegionGroup => proto::EntityKind::RegionGroup,
            EntityKind::World => proto::EntityKind::World,
        }
        .into(),
        name: new.name,
        codes: codes.collect(),
        names: Vec::new(),
        relations: relations.collect(),
    };
    proto::Definition { item: Some(proto::definition::Item::Entity(entity)) }
}

/// The definition of an indicator that a file names.
pub fn define_indicator(new: NewIndicator, shape: &FigureShape) -> proto::Definition {
    let frequency = match shape.frequency() {
        Frequency::NotStated => proto::Frequency::Unspecified,
        Frequency::Annual => proto::Frequency::Annual,
        Frequency::HalfYearly => proto::Frequency::HalfYearly,
        Frequency::Quarterly => proto::Frequency::Quarterly,
        Frequency::Monthly => proto::Frequency::Monthly,
        Frequency::Daily => proto::Frequency::Daily,
        Frequency::Irregular => proto::Frequency::Irregular,
    };
    let indicator = proto::Indicator {
        id: new.id.to_string(),
        name: new.name,
        licence: shape.licence.clone(),
        frequency: frequency.into(),
        ..Default::default()
    };
    proto::Definition { item: Some(proto::definition::Item::Indicator(indicator)) }
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
    proto::Definition { item: Some(proto::definition::Item::Source(source)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        intake::figures::Point,
        model::{
            id::{EntityId, IndicatorId, SourceId},
            series::{Dimensions, SeriesKey},
            value::Number,
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
