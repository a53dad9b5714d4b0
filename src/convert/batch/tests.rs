//! The generated messages are the model: bytes mean what they mean there.

use proptest::prelude::*;
use prost::Message;
use prost_types::FileDescriptorSet;

use super::*;
use crate::{
    convert::figure::point,
    model::{
        id::{EntityId, IndicatorId, SourceId},
        period::Period,
        series::{Dimensions, SeriesKey},
        value::{Number, Qualifier, Value},
    },
    proto::{self, IngestObservationsRequest, ingest_observations_request::Part},
    store::versions::tests::{any_period, any_value},
};

type Series = (SeriesKey, Vec<(Period, Value)>);

fn any_key() -> impl Strategy<Value = SeriesKey> {
    (0u8..3, 0u8..20, proptest::bool::ANY).prop_map(|(indicator, entity, has_dimensions)| {
        let dimensions: &[(&str, &str)] = if has_dimensions { &[("SEX", "F"), ("AGE", "Y15T24")] } else { &[] };
        SeriesKey {
            indicator: IndicatorId::new(&format!("I{indicator}")).unwrap(),
            entity: EntityId::new(&format!("E{entity}")).unwrap(),
            source: SourceId::new("s").unwrap(),
            dimensions: Dimensions::new(dimensions.iter().copied()).unwrap(),
        }
    })
}

/// A text of a number that is not too unlike those of publishers.
fn any_number() -> impl Strategy<Value = Number> {
    let text = "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,19})?(E-?[0-9])?";
    text.prop_filter_map("too long for a number", |text| Number::parse(&text).ok())
}

fn any_series(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<Series>> {
    let years = (1i16..=9999).prop_map(|year| Period::year(year).unwrap());
    let point = (prop_oneof![years, any_period()], value);
    proptest::collection::vec((any_key(), proptest::collection::vec(point, 0..8)), 1..6)
}

fn written(series: &[Series]) -> Vec<u8> {
    let mut writer = BatchWriter::default();
    for (key, points) in series {
        writer.add(key, points.iter().map(|(period, value)| (*period, value)));
    }
    let batch = writer.finish().unwrap();
    assert_eq!(batch.rows, series.iter().map(|(_, points)| points.len() as u64).sum::<u64>());
    assert_eq!(writer.finish(), None);
    let mut bytes = Vec::new();
    batch.encode(&mut bytes);
    bytes
}

fn message(batch: proto::ObservationBatch) -> Vec<u8> {
    IngestObservationsRequest { part: Some(Part::Observations(batch)) }.encode_to_vec()
}

/// What the generated messages say of an encoded one.
fn decoded(bytes: &[u8]) -> Vec<SeriesFigures> {
    let Some(Part::Observations(batch)) = IngestObservationsRequest::decode(bytes).unwrap().part else {
        panic!("no figures");
    };
    let mut all = Vec::new();
    for series in batch.series {
        let key = SeriesKey::try_from(&series).unwrap();
        let mut rewritten = Vec::new();
        let mut points = Vec::new();
        for message in series.points {
            let text = message.period.clone();
            let point = point(message).unwrap();
            if point.0.to_string() != text {
                rewritten.push((text, point.0));
            }
            points.push(point);
        }
        all.push(SeriesFigures { key, points, rewritten });
    }
    all
}

fn expected(series: &[Series]) -> Vec<SeriesFigures> {
    let mut all = Vec::new();
    for (key, points) in series {
        let points = points.iter().map(|(period, value)| (*period, Some(value.clone()))).collect();
        all.push(SeriesFigures { key: key.clone(), points, rewritten: Vec::new() });
    }
    all
}

fn is_range(value: &Value) -> bool {
    value.notes().is_some_and(|notes| matches!(notes.qualifier, Qualifier::RangeTo(_)))
}

proptest! {
    #[test]
    fn numbers_come_back_from_both_ways_of_reading(series in any_series(any_number().prop_map(Value::number))) {
        let bytes = written(&series);
        prop_assert_eq!(&decoded(&bytes), &expected(&series));
        prop_assert_eq!(BatchReader::default().read(&bytes), Some(expected(&series)));
    }

    #[test]
    fn values_of_every_kind_decode_as_they_were(series in any_series(any_value())) {
        // A range has the decimals of its lower end: its upper end comes back as a number, not as a text.
        prop_assume!(!series.iter().flat_map(|(_, points)| points).any(|(_, value)| is_range(value)));
        let bytes = written(&series);
        prop_assert_eq!(&decoded(&bytes), &expected(&series));
        if let Some(read) = BatchReader::default().read(&bytes) {
            prop_assert_eq!(read, expected(&series));
        }
    }

    /// One reader takes all messages of an upload: what it remembers of one must not show in another.
    #[test]
    fn a_reader_that_remembers_reads_the_same(messages in proptest::collection::vec(any_series(any_number().prop_map(Value::number)), 1..6)) {
        let mut reader = BatchReader::default();
        for series in messages {
            prop_assert_eq!(reader.read(&written(&series)), Some(expected(&series)));
        }
    }

    /// A message with damaged bytes is left to the generated messages, or means what it means there.
    #[test]
    fn damaged_messages_mean_what_the_generated_ones_mean(
        series in any_series(any_number().prop_map(Value::number)),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut bytes = written(&series);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Some(read) = BatchReader::default().read(&bytes) {
            prop_assert_eq!(read, decoded(&bytes));
        }
    }
}

fn series_batch() -> proto::SeriesBatch {
    let value = proto::Value { number: Some(1.5), decimals: Some(1), ..Default::default() };
    proto::SeriesBatch {
        indicator: "I".into(),
        entity: "E".into(),
        source: "s".into(),
        dimensions: Vec::new(),
        points: vec![proto::IngestPoint { period: "2024".into(), value: Some(value), withdrawn: false }],
    }
}

fn read(series: proto::SeriesBatch) -> Option<Vec<SeriesFigures>> {
    BatchReader::default().read(&message(proto::ObservationBatch { series: vec![series] }))
}

/// Makes a batch one of another form.
type Change = fn(&mut proto::SeriesBatch);

#[test]
fn what_is_not_usual_is_left_to_the_generated_messages() {
    assert!(read(series_batch()).is_some());
    let change: [(&str, Change); 8] = [
        ("no indicator", |series| series.indicator.clear()),
        ("no id", |series| series.entity = "a b".into()),
        ("no period", |series| series.points[0].period = "24".into()),
        ("no value", |series| series.points[0].value = None),
        ("withdrawn", |series| series.points[0].withdrawn = true),
        ("no number", |series| series.points[0].value = Some(proto::Value::default())),
        ("digits lost", |series| {
            series.points[0].value = Some(proto::Value { number: Some(1.55), decimals: Some(1), ..Default::default() });
        }),
        ("notes", |series| series.points[0].value.as_mut().unwrap().comment = "c".into()),
    ];
    for (what, change) in change {
        let mut series = series_batch();
        change(&mut series);
        assert_eq!(read(series), None, "{what}");
    }
}

#[test]
fn periods_with_another_text_in_answers_are_noted() {
    let mut series = series_batch();
    for _ in 0..2 {
        series.points.push(proto::IngestPoint { period: "2024-01/2024-12".into(), ..series.points[0].clone() });
        series.points.push(proto::IngestPoint { period: "2024-01/2024-06".into(), ..series.points[0].clone() });
    }
    let bytes = message(proto::ObservationBatch { series: vec![series] });
    let read = BatchReader::default().read(&bytes).unwrap();
    assert_eq!(read, decoded(&bytes));
    assert_eq!(read[0].rewritten.len(), 4);
}

#[test]
fn the_numbers_of_fields_are_those_of_the_contract() {
    const FIELDS: [(&str, &str, u32); 14] = [
        ("IngestObservationsRequest", "observations", fields::OBSERVATIONS),
        ("ObservationBatch", "series", fields::SERIES),
        ("SeriesBatch", "indicator", fields::INDICATOR),
        ("SeriesBatch", "entity", fields::ENTITY),
        ("SeriesBatch", "source", fields::SOURCE),
        ("SeriesBatch", "dimensions", fields::DIMENSIONS),
        ("SeriesBatch", "points", fields::POINTS),
        ("Dimension", "id", fields::DIMENSION_ID),
        ("Dimension", "value", fields::DIMENSION_VALUE),
        ("IngestPoint", "period", fields::PERIOD),
        ("IngestPoint", "value", fields::VALUE),
        ("Value", "number", fields::NUMBER),
        ("Value", "decimals", fields::DECIMALS),
        ("Value", "exact", fields::EXACT),
    ];
    let contract = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
    let messages =
        || contract.file.iter().filter(|file| file.package() == "almanac.v1").flat_map(|file| &file.message_type);
    for (message, field, number) in FIELDS {
        let message = messages().find(|one| one.name() == message).unwrap();
        let found = message.field.iter().find(|one| one.name() == field).unwrap();
        assert_eq!(found.number(), number as i32, "{field}");
    }
}

#[test]
fn long_numbers_are_written_as_text() {
    for text in ["1.1456329295999998", "-0.62318739403123456", "123456789012345678", "0.12345678901234567"] {
        let number = Number::parse(text).unwrap();
        let series = vec![(key(), vec![(Period::year(2020).unwrap(), Value::number(number))])];
        let Some(Part::Observations(batch)) = IngestObservationsRequest::decode(&*written(&series)).unwrap().part
        else {
            panic!("no figures");
        };
        let value = batch.series[0].points[0].value.as_ref().unwrap();
        assert_eq!((value.exact.as_str(), value.number), (text, None));
    }
}

fn key() -> SeriesKey {
    SeriesKey::try_from(&series_batch()).unwrap()
}
