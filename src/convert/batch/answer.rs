//! Current figures → bytes of the messages of `StreamSeries`.

use prost::{
    Message,
    bytes::Bytes,
    encoding::{WireType, encode_key, encode_varint},
};

use super::{
    fields::answer,
    recent::Recent,
    writer::{DOUBLE_MANTISSA_BOUND, ShortText, block_len, period_text, put_block, put_double},
};
use crate::{
    convert::enums::ContractEnum,
    model::{
        id::Revision,
        series::{FigureVersion, SeriesKey},
        time::Date,
        value::{Figure, Number, Status, Value},
    },
    proto,
};

/// Makes messages of series; a message is closed at a size.
#[derive(Debug)]
pub struct SeriesWriter {
    revision: Revision,
    message_bytes: usize,
    message: Vec<u8>,
    closed: Vec<Bytes>,
    periods: Recent<ShortText>,
    /// The release date that was written last, with its text.
    released: (Date, String),
    /// The figures of the part of a series that is being added, and the value and the figure that are.
    points: Vec<u8>,
    value: Vec<u8>,
    point: Vec<u8>,
}

impl SeriesWriter {
    /// For an answer that was read at a revision. A message of so many bytes is closed.
    pub fn new(revision: Revision, message_bytes: usize) -> Self {
        Self {
            revision,
            message_bytes,
            message: Vec::new(),
            closed: Vec::new(),
            periods: Recent::default(),
            released: (Date::EPOCH, Date::EPOCH.to_string()),
            points: Vec::new(),
            value: Vec::new(),
            point: Vec::new(),
        }
    }

    /// Adds a series; a long one in several parts, each with the key.
    pub fn add<'a>(&mut self, key: &SeriesKey, figures: impl IntoIterator<Item = &'a FigureVersion>) {
        let head = proto::Series::from(key);
        self.points.clear();
        for figure in figures {
            if self.points.len() >= self.message_bytes {
                self.close_part(&head);
            }
            self.add_point(figure);
        }
        self.close_part(&head);
    }

    /// The messages. Those that were closed since the last call, and the open one.
    pub fn finish(&mut self) -> Vec<Bytes> {
        if !self.message.is_empty() {
            self.close_message();
        }
        std::mem::take(&mut self.closed)
    }

    fn close_part(&mut self, head: &proto::Series) {
        encode_key(answer::SERIES, WireType::LengthDelimited, &mut self.message);
        encode_varint((head.encoded_len() + self.points.len()) as u64, &mut self.message);
        // Encoding into memory that grows does not fail.
        let _ = head.encode(&mut self.message);
        self.message.extend_from_slice(&self.points);
        self.points.clear();
        if self.message.len() >= self.message_bytes {
            self.close_message();
        }
    }

    fn close_message(&mut self) {
        encode_key(answer::REVISION, WireType::Varint, &mut self.message);
        encode_varint(self.revision.0, &mut self.message);
        let next = Vec::with_capacity(self.message.capacity());
        self.closed.push(std::mem::replace(&mut self.message, next).into());
    }

    fn add_point(&mut self, figure: &FigureVersion) {
        let Self { value, point, released, .. } = self;
        point.clear();
        put_block(point, answer::PERIOD, period_text(&mut self.periods, figure.period).bytes());
        if let Some(figure) = figure.value() {
            value.clear();
            put_value(value, figure);
            put_block(point, answer::VALUE, value);
        }
        if released.0 != figure.released {
            *released = (figure.released, figure.released.to_string());
        }
        put_block(point, answer::RELEASED, released.1.as_bytes());
        encode_key(answer::POINT_REVISION, WireType::Varint, point);
        encode_varint(figure.revision.0, point);
        self.points.reserve(block_len(answer::POINTS, point));
        put_block(&mut self.points, answer::POINTS, point);
    }
}

/// Appends the fields of a `Value` as answers have them.
fn put_value(out: &mut Vec<u8>, value: &Value) {
    match (&value.figure, value.notes()) {
        // No such number has an exact text.
        (Figure::Number(number @ Number::Decimal { mantissa, decimals }), None)
            if mantissa.unsigned_abs() < DOUBLE_MANTISSA_BOUND =>
        {
            put_double(out, number, *decimals);
            encode_key(answer::QUALIFIER, WireType::Varint, out);
            encode_varint(proto::Qualifier::Exact as u64, out);
            encode_key(answer::STATUS, WireType::Varint, out);
            encode_varint(Status::Normal.number() as u64, out);
        }
        // Encoding into memory that grows does not fail.
        _ => _ = proto::Value::from(value).encode(out),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::{
            id::{EntityId, IndicatorId, SourceId},
            series::Dimensions,
        },
        store::versions::tests::any_version,
    };

    fn key(number: usize) -> SeriesKey {
        let code = number.to_string();
        SeriesKey {
            indicator: IndicatorId::new("A.X").unwrap(),
            entity: EntityId::new(&format!("E{number}")).unwrap(),
            source: SourceId::new("s").unwrap(),
            dimensions: Dimensions::new((number % 2 == 1).then_some(("PART", code.as_str()))).unwrap(),
        }
    }

    proptest! {
        /// Model: the generated messages, encoded.
        #[test]
        fn the_bytes_are_those_of_the_generated_messages(
            series in proptest::collection::vec(proptest::collection::vec(any_version(), 1..40), 0..8),
            message_bytes in 200usize..4_000,
            revision in 1u64..100_000,
        ) {
            let mut writer = SeriesWriter::new(Revision(revision), message_bytes);
            let mut expected: Vec<proto::Series> = Vec::new();
            for (number, figures) in series.iter().enumerate() {
                writer.add(&key(number), figures);
                let mut series = proto::Series::from(&key(number));
                series.points = figures.iter().map(Into::into).collect();
                expected.push(series);
            }
            let mut found: Vec<proto::Series> = Vec::new();
            let messages = writer.finish();
            for (at, bytes) in messages.iter().enumerate() {
                let message = proto::StreamSeriesResponse::decode(bytes.clone()).unwrap();
                prop_assert_eq!(&message.encode_to_vec(), bytes);
                prop_assert_eq!(message.revision, revision);
                prop_assert!(bytes.len() >= message_bytes || at + 1 == messages.len());
                for part in message.series {
                    let is_next_part = found.last().is_some_and(|last| {
                        (&last.entity, &last.dimensions) == (&part.entity, &part.dimensions)
                    });
                    match found.last_mut().filter(|_| is_next_part) {
                        Some(last) => last.points.extend(part.points),
                        None => found.push(part),
                    }
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
