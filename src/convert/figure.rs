//! Values as published, the series that they belong to, and figures on their way in.

use super::{
    enums::{ContractEnum, optional, required},
    error::{FieldError, Problem},
    field::{id, text},
    time::period,
};
use crate::{
    ledger::upload::Point,
    model::{
        id::{EntityId, IndicatorId, SourceId},
        series::{Dimensions, SeriesKey},
        value::{COMMENT_BYTES_MAX, Figure, MULTIPLIER_MAX, MissingReason, Notes, Number, Qualifier, Status, Value},
    },
    proto,
};

/// Most dimensions to narrow by.
const DIMENSION_FILTER_MAX: usize = 100;

impl TryFrom<proto::Value> for Value {
    type Error = FieldError;

    fn try_from(message: proto::Value) -> Result<Self, FieldError> {
        let missing = optional::<MissingReason>("missing", message.missing)?;
        let figure = match (number(&message)?, missing) {
            (Some(number), None) => Figure::Number(number),
            (None, Some(reason)) => Figure::Missing(reason),
            (Some(_), Some(_)) => return Err(FieldError::new("missing", Problem::NumberAndReason)),
            (None, None) => return Err(FieldError::new("number", Problem::NeitherNumberNorReason)),
        };
        let notes = Notes {
            qualifier: qualifier(&message, &figure)?,
            multiplier: multiplier(message.multiplier_pow10)?,
            status: required::<Status>("status", message.status)?,
            comment: text("comment", message.comment, COMMENT_BYTES_MAX)?,
        };
        Ok(Self::new(figure, notes))
    }
}

/// The number of a value. `exact` goes before `number`, which may be rounded.
fn number(message: &proto::Value) -> Result<Option<Number>, FieldError> {
    if !message.exact.is_empty() {
        return Number::parse(&message.exact).map(Some).map_err(|error| FieldError::new("exact", error));
    }
    let Some(number) = message.number else { return Ok(None) };
    Number::from_f64(number, message.decimals).map(Some).map_err(|error| FieldError::new("number", error))
}

fn multiplier(power: i32) -> Result<i8, FieldError> {
    match i8::try_from(power) {
        Ok(multiplier) if power.abs() <= MULTIPLIER_MAX => Ok(multiplier),
        _ => Err(FieldError::new("multiplier_pow10", Problem::OutOfRange(-MULTIPLIER_MAX..=MULTIPLIER_MAX))),
    }
}

/// How the figure relates to the number. The model keeps the upper end of a range with it.
fn qualifier(message: &proto::Value, figure: &Figure) -> Result<Qualifier, FieldError> {
    let number = message.qualifier;
    let Ok(qualifier) = proto::Qualifier::try_from(number) else {
        return Err(FieldError::new("qualifier", Problem::UnknownEnumValue { number }));
    };
    if message.upper.is_some() && qualifier != proto::Qualifier::Range {
        return Err(FieldError::new("upper", Problem::UpperEndWithoutRange));
    }
    Ok(match qualifier {
        proto::Qualifier::Unspecified | proto::Qualifier::Exact => Qualifier::Exact,
        proto::Qualifier::Approximate => Qualifier::Approximate,
        proto::Qualifier::AtLeast => Qualifier::AtLeast,
        proto::Qualifier::AtMost => Qualifier::AtMost,
        proto::Qualifier::Range => Qualifier::RangeTo(upper_end(message, figure)?),
    })
}

fn upper_end(message: &proto::Value, figure: &Figure) -> Result<Number, FieldError> {
    let Some(upper) = message.upper else { return Err(FieldError::new("upper", Problem::RangeWithoutUpperEnd)) };
    let Figure::Number(lower) = figure else {
        return Err(FieldError::new("upper", Problem::RangeWithoutLowerEnd));
    };
    if lower.to_f64() > upper {
        return Err(FieldError::new("upper", Problem::UpperEndBelowLower));
    }
    Number::from_f64(upper, message.decimals).map_err(|error| FieldError::new("upper", error))
}

impl From<&Qualifier> for proto::Qualifier {
    fn from(qualifier: &Qualifier) -> Self {
        match qualifier {
            Qualifier::Exact => Self::Exact,
            Qualifier::Approximate => Self::Approximate,
            Qualifier::AtLeast => Self::AtLeast,
            Qualifier::AtMost => Self::AtMost,
            Qualifier::RangeTo(_) => Self::Range,
        }
    }
}

/// Sets every field that has a meaning: qualifier and status too where they are the usual ones.
impl From<&Value> for proto::Value {
    fn from(value: &Value) -> Self {
        let mut message = Self {
            qualifier: proto::Qualifier::Exact.into(),
            status: proto::ObservationStatus::Normal.into(),
            ..Self::default()
        };
        match &value.figure {
            Figure::Number(number) => {
                message.number = Some(number.to_f64());
                message.decimals = Some(number.decimals());
                message.exact = number.exact().unwrap_or_default();
            }
            Figure::Missing(reason) => message.missing = reason.number(),
        }
        let Some(notes) = value.notes() else { return message };
        message.multiplier_pow10 = notes.multiplier.into();
        message.set_qualifier((&notes.qualifier).into());
        message.status = notes.status.number();
        message.comment.clone_from(&notes.comment);
        if let Qualifier::RangeTo(upper) = &notes.qualifier {
            message.upper = Some(upper.to_f64());
        }
        message
    }
}

/// Reads a value that may be left out.
pub(super) fn optional_value(field: &str, message: Option<proto::Value>) -> Result<Option<Value>, FieldError> {
    message.map(Value::try_from).transpose().map_err(|error| error.under(field))
}

/// Reads the dimensions of one series.
pub fn dimensions(messages: &[proto::Dimension]) -> Result<Dimensions, FieldError> {
    Dimensions::new(messages.iter().map(|message| (message.id.as_str(), message.value.as_str())))
        .map_err(|error| FieldError::new("dimensions", error))
}

/// Reads dimensions to narrow by, as (id, code): codes of one id are alternatives.
pub fn dimension_filter(field: &str, messages: Vec<proto::Dimension>) -> Result<Vec<(String, String)>, FieldError> {
    if messages.len() > DIMENSION_FILTER_MAX {
        return Err(FieldError::new(field, Problem::TooMany { items_max: DIMENSION_FILTER_MAX }));
    }
    let mut pairs = Vec::with_capacity(messages.len());
    for message in messages {
        Dimensions::new([(message.id.as_str(), message.value.as_str())])
            .map_err(|error| FieldError::new(field, error))?;
        pairs.push((message.id, message.value));
    }
    Ok(pairs)
}

impl From<&Dimensions> for Vec<proto::Dimension> {
    fn from(dimensions: &Dimensions) -> Self {
        let pairs = dimensions.pairs();
        pairs.map(|(id, value)| proto::Dimension { id: id.to_owned(), value: value.to_owned() }).collect()
    }
}

/// Reads which series a batch belongs to.
impl TryFrom<&proto::SeriesBatch> for SeriesKey {
    type Error = FieldError;

    fn try_from(batch: &proto::SeriesBatch) -> Result<Self, FieldError> {
        Ok(Self {
            indicator: id("indicator", &batch.indicator, IndicatorId::new)?,
            entity: id("entity", &batch.entity, EntityId::new)?,
            source: id("source", &batch.source, SourceId::new)?,
            dimensions: dimensions(&batch.dimensions)?,
        })
    }
}

/// A batch of a series, still without points.
impl From<&SeriesKey> for proto::SeriesBatch {
    fn from(series: &SeriesKey) -> Self {
        Self {
            indicator: series.indicator.to_string(),
            entity: series.entity.to_string(),
            source: series.source.to_string(),
            dimensions: (&series.dimensions).into(),
            points: Vec::new(),
        }
    }
}

/// Reads one figure of an upload.
pub fn point(message: proto::IngestPoint) -> Result<Point, FieldError> {
    let period = period("period", &message.period)?;
    let value = match (message.value, message.withdrawn) {
        (Some(value), false) => Some(Value::try_from(value).map_err(|error| error.under("value"))?),
        (None, true) => None,
        (Some(_), true) => return Err(FieldError::new("withdrawn", Problem::ValueOfWithdrawn)),
        (None, false) => return Err(FieldError::new("value", Problem::NeitherValueNorWithdrawn)),
    };
    Ok((period, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::versions::tests::any_value;

    proptest! {
        #[test]
        fn values_come_back(value in any_value()) {
            // A range has the decimals of its lower end: its upper end comes back as a number, not as a text.
            prop_assume!(!value.notes().is_some_and(|notes| matches!(notes.qualifier, Qualifier::RangeTo(_))));
            prop_assert_eq!(Value::try_from(proto::Value::from(&value)), Ok(value));
        }
    }

    #[test]
    fn ranges_come_back() {
        let qualifier = Qualifier::RangeTo(Number::parse("7.50").unwrap());
        let figure = Figure::Number(Number::parse("2.25").unwrap());
        let value = Value::new(figure, Notes { qualifier, ..Notes::default() });
        assert_eq!(Value::try_from(proto::Value::from(&value)), Ok(value));
    }

    #[test]
    fn the_text_of_a_number_goes_before_the_double() {
        let message =
            proto::Value { number: Some(0.1), exact: "0.10000000000000000001".to_owned(), ..Default::default() };
        let value = Value::try_from(message).unwrap();
        assert_eq!(value, Value::number(Number::parse("0.10000000000000000001").unwrap()));
    }
}
