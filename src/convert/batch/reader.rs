//! Bytes of a message → figures.

use std::collections::HashMap;

use prost::encoding::{WireType, decode_key, decode_varint};

use super::{
    fields,
    recent::{Recent, text_key},
};
use crate::{
    ledger::upload::Point,
    model::{
        id::{EntityId, IdError, IndicatorId, SourceId},
        period::Period,
        series::{DIMENSIONS_MAX, Dimensions, SeriesKey},
        value::{Number, Value},
    },
};

/// Most ids of one kind that are remembered. A file of figures has a few hundred.
const IDS_MAX: usize = 4_096;
/// About the bytes of a figure: for how many there is room before the first is read.
const POINT_BYTES: usize = 20;

/// Figures of one series in a message.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesFigures {
    pub key: SeriesKey,
    pub points: Vec<Point>,
    /// The periods whose text is not the text of answers, with that text.
    pub rewritten: Vec<(String, Period)>,
}

/// Reads the messages of one upload. Equal ids share one allocation.
#[derive(Debug)]
pub struct BatchReader {
    indicators: IdCache<IndicatorId>,
    entities: IdCache<EntityId>,
    sources: IdCache<SourceId>,
    /// By text; with each whether the text of answers is another.
    periods: Recent<(Period, bool)>,
}

impl Default for BatchReader {
    fn default() -> Self {
        Self {
            indicators: IdCache::new(IndicatorId::new),
            entities: IdCache::new(EntityId::new),
            sources: IdCache::new(SourceId::new),
            periods: Recent::default(),
        }
    }
}

impl BatchReader {
    /// Whether an encoded `IngestObservationsRequest` may be one that [`BatchReader::read`] takes.
    pub fn is_batch(message: &[u8]) -> bool {
        let mut bytes = message;
        matches!(decode_key(&mut bytes), Ok((fields::OBSERVATIONS, WireType::LengthDelimited)))
    }

    /// Reads an encoded `IngestObservationsRequest`. `None`: it is not of the usual form, in which all figures are right
    /// and are numbers without notes.
    pub fn read(&mut self, message: &[u8]) -> Option<Vec<SeriesFigures>> {
        let mut bytes = message;
        let mut batch = block_of(&mut bytes, fields::OBSERVATIONS)?;
        if !bytes.is_empty() {
            return None;
        }
        let mut series = Vec::new();
        while !batch.is_empty() {
            let one = block_of(&mut batch, fields::SERIES)?;
            series.push(self.series(one)?);
        }
        Some(series)
    }

    fn series(&mut self, mut bytes: &[u8]) -> Option<SeriesFigures> {
        let mut indicator = None;
        let mut entity = None;
        let mut source = None;
        let mut dimensions = Vec::new();
        let mut points = Vec::with_capacity(bytes.len() / POINT_BYTES);
        let mut rewritten = Vec::new();
        while !bytes.is_empty() {
            let (number, block) = block(&mut bytes)?;
            match number {
                fields::POINTS => points.push(self.point(block, &mut rewritten)?),
                fields::INDICATOR if indicator.is_none() => indicator = Some(self.indicators.id(block)?),
                fields::ENTITY if entity.is_none() => entity = Some(self.entities.id(block)?),
                fields::SOURCE if source.is_none() => source = Some(self.sources.id(block)?),
                fields::DIMENSIONS if dimensions.len() < DIMENSIONS_MAX => dimensions.push(dimension(block)?),
                _ => return None,
            }
        }
        let dimensions = Dimensions::new(dimensions).ok()?;
        let key = SeriesKey { indicator: indicator?, entity: entity?, source: source?, dimensions };
        Some(SeriesFigures { key, points, rewritten })
    }

    fn point(&mut self, mut bytes: &[u8], rewritten: &mut Vec<(String, Period)>) -> Option<Point> {
        let mut period = None;
        let mut value = None;
        while !bytes.is_empty() {
            let (number, block) = block(&mut bytes)?;
            match number {
                fields::PERIOD if period.is_none() => period = Some(self.period(block, rewritten)?),
                fields::VALUE if value.is_none() => value = Some(plain_value(block)?),
                _ => return None,
            }
        }
        Some((period?, Some(value?)))
    }

    fn period(&mut self, text: &[u8], rewritten: &mut Vec<(String, Period)>) -> Option<Period> {
        let (period, differs) = match text_key(text) {
            Some(key) => self.periods.get_or_find(key, || parse_period(text))?,
            None => parse_period(text)?,
        };
        if differs {
            rewritten.push((String::from_utf8_lossy(text).into_owned(), period));
        }
        Some(period)
    }
}

/// A period, and whether its text in answers is another.
fn parse_period(text: &[u8]) -> Option<(Period, bool)> {
    let text = std::str::from_utf8(text).ok()?;
    let period = Period::parse(text).ok()?;
    Some((period, period.to_string() != text))
}

fn dimension(mut bytes: &[u8]) -> Option<(&str, &str)> {
    let mut id = None;
    let mut value = None;
    while !bytes.is_empty() {
        let (number, block) = block(&mut bytes)?;
        let text = std::str::from_utf8(block).ok()?;
        match number {
            fields::DIMENSION_ID if id.is_none() => id = Some(text),
            fields::DIMENSION_VALUE if value.is_none() => value = Some(text),
            _ => return None,
        }
    }
    Some((id?, value?))
}

/// A value that is a number without notes.
fn plain_value(mut bytes: &[u8]) -> Option<Value> {
    let mut number = None;
    let mut decimals = None;
    let mut exact = None;
    while !bytes.is_empty() {
        match decode_key(&mut bytes).ok()? {
            (fields::NUMBER, WireType::SixtyFourBit) if number.is_none() => {
                let (double, rest) = bytes.split_first_chunk()?;
                number = Some(f64::from_le_bytes(*double));
                bytes = rest;
            }
            (fields::DECIMALS, WireType::Varint) if decimals.is_none() => {
                decimals = Some(u32::try_from(decode_varint(&mut bytes).ok()?).ok()?);
            }
            (fields::EXACT, WireType::LengthDelimited) if exact.is_none() => {
                exact = Some(length_delimited(&mut bytes)?);
            }
            _ => return None,
        }
    }
    let number = match exact {
        Some(text) => Number::parse(std::str::from_utf8(text).ok()?),
        None => Number::from_f64(number?, decimals),
    };
    number.ok().map(Value::number)
}

/// The next field, which holds bytes.
fn block<'a>(bytes: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    match decode_key(bytes).ok()? {
        (number, WireType::LengthDelimited) => Some((number, length_delimited(bytes)?)),
        _ => None,
    }
}

/// The next field, which has this number and holds bytes.
fn block_of<'a>(bytes: &mut &'a [u8], expected: u32) -> Option<&'a [u8]> {
    block(bytes).filter(|(number, _)| *number == expected).map(|(_, block)| block)
}

fn length_delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    let (block, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(block)
}

/// Ids by their text, at most [`IDS_MAX`].
#[derive(Debug)]
struct IdCache<T> {
    ids: HashMap<Box<str>, T>,
    new: fn(&str) -> Result<T, IdError>,
}

impl<T: Clone> IdCache<T> {
    fn new(new: fn(&str) -> Result<T, IdError>) -> Self {
        Self { ids: HashMap::new(), new }
    }

    /// The id with this text; `None` if the text is not an id.
    fn id(&mut self, text: &[u8]) -> Option<T> {
        let text = std::str::from_utf8(text).ok()?;
        if let Some(id) = self.ids.get(text) {
            return Some(id.clone());
        }
        let id = (self.new)(text).ok()?;
        if self.ids.len() >= IDS_MAX {
            self.ids.clear();
        }
        self.ids.insert(text.into(), id.clone());
        Some(id)
    }
}
