//! Figures → bytes of a message.

use prost::{
    Message,
    bytes::BufMut,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len},
};

use super::{
    fields,
    recent::{Recent, period_key},
};
use crate::{
    convert::upload,
    model::{
        period::Period,
        series::SeriesKey,
        value::{Figure, Number, Value},
    },
    proto,
};

/// A double and its decimals give back a number of up to 15 digits; a longer one is sent as text.
pub(super) const DOUBLE_MANTISSA_BOUND: u64 = 1_000_000_000_000_000;
/// The texts of periods are at most so long: two days and a slash.
const SHORT_TEXT_BYTES_MAX: usize = 23;
/// No number has more digits, with zeros before the decimal point and before the first digit after it.
const DIGITS_MAX: usize = 40;

/// A message of figures, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedBatch {
    /// An `ObservationBatch`.
    batch: Vec<u8>,
    /// How many figures it has.
    pub rows: u64,
}

impl EncodedBatch {
    /// Appends the `IngestObservationsRequest`.
    pub fn encode(&self, out: &mut impl BufMut) {
        encode_key(fields::OBSERVATIONS, WireType::LengthDelimited, out);
        encode_varint(self.batch.len() as u64, out);
        out.put_slice(&self.batch);
    }
}

/// Makes messages of figures.
#[derive(Debug, Default)]
pub struct BatchWriter {
    batch: Vec<u8>,
    rows: u64,
    periods: Recent<ShortText>,
    /// The figures of the series that is being added.
    points: Vec<u8>,
    /// The value that is being added.
    value: Vec<u8>,
}

impl BatchWriter {
    /// Appends figures of a series to the message.
    pub fn add<'a>(&mut self, key: &SeriesKey, points: impl IntoIterator<Item = (Period, &'a Value)>) {
        self.points.clear();
        for (period, value) in points {
            self.point(period, value);
            self.rows += 1;
        }
        let head = proto::SeriesBatch::from(key);
        encode_key(fields::SERIES, WireType::LengthDelimited, &mut self.batch);
        encode_varint((head.encoded_len() + self.points.len()) as u64, &mut self.batch);
        // Encoding into memory that grows does not fail.
        let _ = head.encode(&mut self.batch);
        self.batch.extend_from_slice(&self.points);
    }

    /// Bytes of the message so far.
    pub fn bytes(&self) -> usize {
        self.batch.len()
    }

    /// Ends the message; the next series begins another one. `None` if no series was added.
    pub fn finish(&mut self) -> Option<EncodedBatch> {
        if self.batch.is_empty() {
            return None;
        }
        Some(EncodedBatch { batch: std::mem::take(&mut self.batch), rows: std::mem::take(&mut self.rows) })
    }

    fn point(&mut self, period: Period, value: &Value) {
        self.value.clear();
        put_value(&mut self.value, value);
        let text = period_text(&mut self.periods, period);
        let period = text.bytes();
        let length = block_len(fields::PERIOD, period) + block_len(fields::VALUE, &self.value);
        encode_key(fields::POINTS, WireType::LengthDelimited, &mut self.points);
        encode_varint(length as u64, &mut self.points);
        put_block(&mut self.points, fields::PERIOD, period);
        put_block(&mut self.points, fields::VALUE, &self.value);
    }
}

/// Appends the fields of a `Value`.
fn put_value(out: &mut Vec<u8>, value: &Value) {
    match (&value.figure, value.notes()) {
        (Figure::Number(number @ Number::Decimal { mantissa, decimals }), None)
            if mantissa.unsigned_abs() < DOUBLE_MANTISSA_BOUND =>
        {
            put_double(out, number, *decimals);
        }
        (Figure::Number(Number::Decimal { mantissa, decimals }), None) => put_decimal(out, *mantissa, *decimals),
        (Figure::Number(Number::Text(text)), None) => put_block(out, fields::EXACT, text.as_bytes()),
        // Encoding into memory that grows does not fail.
        _ => _ = upload::value(value).encode(out),
    }
}

/// Appends a number of up to 15 digits as a double with its decimals.
pub(super) fn put_double(out: &mut Vec<u8>, number: &Number, decimals: u8) {
    encode_key(fields::NUMBER, WireType::SixtyFourBit, out);
    out.extend_from_slice(&number.to_f64().to_le_bytes());
    encode_key(fields::DECIMALS, WireType::Varint, out);
    encode_varint(u64::from(decimals), out);
}

/// Appends a number as text, as [`Number::text`] prints it.
fn put_decimal(out: &mut Vec<u8>, mantissa: i64, decimals: u8) {
    let mut digits = [b'0'; DIGITS_MAX];
    let mut first = DIGITS_MAX;
    let mut rest = mantissa.unsigned_abs();
    while rest > 0 {
        first -= 1;
        digits[first] += (rest % 10) as u8;
        rest /= 10;
    }
    let point = DIGITS_MAX.saturating_sub(usize::from(decimals)).max(1);
    // There is a digit before the point.
    let (whole, fraction) = digits[first.min(point - 1)..].split_at(point - first.min(point - 1));
    let sign: &[u8] = if mantissa < 0 { b"-" } else { b"" };
    let mark: &[u8] = if fraction.is_empty() { b"" } else { b"." };
    let parts = [sign, whole, mark, fraction];
    encode_key(fields::EXACT, WireType::LengthDelimited, out);
    encode_varint(parts.iter().map(|part| part.len() as u64).sum(), out);
    for part in parts {
        out.extend_from_slice(part);
    }
}

pub(super) fn block_len(number: u32, block: &[u8]) -> usize {
    key_len(number) + encoded_len_varint(block.len() as u64) + block.len()
}

pub(super) fn put_block(out: &mut Vec<u8>, number: u32, block: &[u8]) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(block.len() as u64, out);
    out.extend_from_slice(block);
}

/// The text of a period, from those written before if it is there.
pub(super) fn period_text(recent: &mut Recent<ShortText>, period: Period) -> PeriodText {
    match recent.get_or_find(period_key(period), || ShortText::new(&period.to_string())) {
        Some(text) => PeriodText::Short(text),
        None => PeriodText::Long(period.to_string()),
    }
}

pub(super) enum PeriodText {
    Short(ShortText),
    Long(String),
}

impl PeriodText {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(text) => &text.text[..usize::from(text.length)],
            Self::Long(text) => text.as_bytes(),
        }
    }
}

/// A text of at most [`SHORT_TEXT_BYTES_MAX`].
#[derive(Debug, Clone, Copy)]
pub(super) struct ShortText {
    text: [u8; SHORT_TEXT_BYTES_MAX],
    length: u8,
}

impl ShortText {
    fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; SHORT_TEXT_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { text: bytes, length: text.len() as u8 })
    }
}
