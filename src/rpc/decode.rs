//! Messages of the contract → checked values of the model. What is ill-formed is refused with its field.

use std::time::Duration;

use prost::Message;

use super::status::BadField;
use crate::{
    ledger::upload::Mode,
    model::{
        catalog::{
            Aggregation, Definition, Direction, Entity, EntityKind, EntityName, EntityRelation, Frequency, Indicator,
            Methodology, MethodologyComponent, Ranking, Redistribution, RelationKind, Source, Timing,
        },
        change::Cause,
        edition::{Basis, Coverage, CoverageKind, Edition, EditionStatus, Entry, EntryComponent, RankClaim},
        id::{EditionId, EntityId, IdError, IndicatorId, MethodologyId, RankingId, Revision, SourceId},
        period::Period,
        series::{Dimensions, SeriesKey},
        time::{Date, Instant},
        value::{
            COMMENT_BYTES_MAX, Figure, MULTIPLIER_MAX, MissingReason, Notes, Number, Qualifier,
            Status as ObservationStatus, Value,
        },
    },
    proto,
    query::AsOf,
};

type Result<T> = std::result::Result<T, BadField>;

/// Longest free text of a definition.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Longest definition or entry, encoded: a change carries what was before and what is after in one message.
const OBJECT_BYTES_MAX: usize = 1 << 20;
/// Most items of a list whose comment in the contract does not say otherwise.
const PARTS_MAX: usize = 500;
/// Most dimensions to narrow by.
const DIMENSION_FILTER_MAX: usize = 100;
/// Precedence of a source that does not say.
const DEFAULT_PRECEDENCE: u32 = 100;
/// Most nanoseconds beside whole seconds.
const NANOS_MAX: u32 = 999_999_999;
/// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, in seconds since 1970.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

pub(super) fn id<T>(field: &str, text: &str, new: impl Fn(&str) -> std::result::Result<T, IdError>) -> Result<T> {
    new(text).map_err(|error| BadField::new(field, error))
}

/// An id that may be left out.
pub(super) fn optional_id<T>(
    field: &str,
    text: &str,
    new: impl Fn(&str) -> std::result::Result<T, IdError>,
) -> Result<Option<T>> {
    if text.is_empty() { Ok(None) } else { id(field, text, new).map(Some) }
}

pub(super) fn date(field: &str, text: &str) -> Result<Date> {
    Date::parse(text).map_err(|error| BadField::new(field, error))
}

pub(super) fn optional_date(field: &str, text: &str) -> Result<Option<Date>> {
    if text.is_empty() { Ok(None) } else { date(field, text).map(Some) }
}

pub(super) fn period(field: &str, text: &str) -> Result<Period> {
    Period::parse(text).map_err(|error| BadField::new(field, error))
}

pub(super) fn optional_period(field: &str, text: &str) -> Result<Option<Period>> {
    if text.is_empty() { Ok(None) } else { period(field, text).map(Some) }
}

pub(super) fn text(field: &str, text: String, bytes_max: usize) -> Result<String> {
    if text.len() <= bytes_max { Ok(text) } else { Err(BadField::new(field, format!("longer than {bytes_max} bytes"))) }
}

pub(super) fn parts<T>(field: &str, parts: &[T]) -> Result<()> {
    if parts.len() <= PARTS_MAX { Ok(()) } else { Err(BadField::new(field, format!("more than {PARTS_MAX}"))) }
}

/// An enum of the contract; a number it does not have is refused.
fn known<E: TryFrom<i32>>(field: &str, number: i32) -> Result<E> {
    E::try_from(number).map_err(|_| BadField::new(field, format!("{number} is not a value of this enum")))
}

fn required<E: TryFrom<i32> + PartialEq + Default>(field: &str, number: i32) -> Result<E> {
    match known::<E>(field, number)? {
        unspecified if unspecified == E::default() => Err(BadField::new(field, "must be given")),
        value => Ok(value),
    }
}

pub(super) fn instant(field: &str, timestamp: &prost_types::Timestamp) -> Result<Instant> {
    // Half-open: an instant given to the nanosecond is not before the microsecond it lies in.
    if !TIMESTAMP_SECONDS.contains(&timestamp.seconds) {
        return Err(BadField::new(format!("{field}.seconds"), "outside the years 1 to 9999"));
    }
    check_nanos(field, timestamp.nanos)?;
    Ok(Instant(timestamp.seconds * 1_000_000 + i64::from(timestamp.nanos / 1_000)))
}

/// A duration within bounds, both included.
pub(super) fn duration(
    field: &str,
    given: &prost_types::Duration,
    bounds: &std::ops::RangeInclusive<Duration>,
) -> Result<Duration> {
    let outside = || BadField::new(field, format!("not from {:?} to {:?}", bounds.start(), bounds.end()));
    let seconds = u64::try_from(given.seconds).map_err(|_| outside())?;
    let duration = Duration::new(seconds, check_nanos(field, given.nanos)?);
    if bounds.contains(&duration) { Ok(duration) } else { Err(outside()) }
}

fn check_nanos(field: &str, nanos: i32) -> Result<u32> {
    let checked = u32::try_from(nanos).ok().filter(|nanos| *nanos <= NANOS_MAX);
    checked.ok_or_else(|| BadField::new(format!("{field}.nanos"), format!("not from 0 to {NANOS_MAX}")))
}

pub(super) fn as_of(as_of: Option<proto::AsOf>) -> Result<AsOf> {
    use proto::as_of::At;
    Ok(match as_of.and_then(|as_of| as_of.at) {
        None => AsOf::Head,
        Some(At::Revision(revision)) => AsOf::Revision(Revision(revision)),
        Some(At::Recorded(timestamp)) => AsOf::Recorded(instant("as_of.recorded", &timestamp)?),
        Some(At::Released(day)) => AsOf::Released(date("as_of.released", &day)?),
    })
}

pub(super) fn dimensions(dimensions: &[proto::Dimension]) -> Result<Dimensions> {
    Dimensions::new(dimensions.iter().map(|dimension| (dimension.id.as_str(), dimension.value.as_str())))
        .map_err(|error| BadField::new("dimensions", error))
}

/// Dimensions to narrow by: codes of one id are alternatives.
pub(super) fn dimension_filter(field: &str, given: Vec<proto::Dimension>) -> Result<Vec<(String, String)>> {
    if given.len() > DIMENSION_FILTER_MAX {
        return Err(BadField::new(field, format!("more than {DIMENSION_FILTER_MAX}")));
    }
    for pair in &given {
        Dimensions::new([(pair.id.as_str(), pair.value.as_str())]).map_err(|error| BadField::new(field, error))?;
    }
    Ok(given.into_iter().map(|pair| (pair.id, pair.value)).collect())
}

pub(super) fn series_key(batch: &proto::SeriesBatch) -> Result<SeriesKey> {
    Ok(SeriesKey {
        indicator: id("indicator", &batch.indicator, IndicatorId::new)?,
        entity: id("entity", &batch.entity, EntityId::new)?,
        source: id("source", &batch.source, SourceId::new)?,
        dimensions: dimensions(&batch.dimensions)?,
    })
}

pub(super) fn value(value: proto::Value) -> Result<Value> {
    let missing = match known::<proto::MissingReason>("missing", value.missing)? {
        proto::MissingReason::Unspecified => None,
        proto::MissingReason::NotCollected => Some(MissingReason::NotCollected),
        proto::MissingReason::NotApplicable => Some(MissingReason::NotApplicable),
        proto::MissingReason::Suppressed => Some(MissingReason::Suppressed),
        proto::MissingReason::NoMeasurement => Some(MissingReason::NoMeasurement),
    };
    let number = if value.exact.is_empty() {
        value.number.map(|number| Number::from_f64(number, value.decimals)).transpose()
    } else {
        Number::parse(&value.exact).map(Some)
    };
    let number =
        number.map_err(|error| BadField::new(if value.exact.is_empty() { "number" } else { "exact" }, error))?;
    let figure = match (number, missing) {
        (Some(number), None) => Figure::Number(number),
        (None, Some(reason)) => Figure::Missing(reason),
        (Some(_), Some(_)) => return Err(BadField::new("missing", "a number and a reason for having none")),
        (None, None) => return Err(BadField::new("number", "neither a number nor a reason for having none")),
    };
    let qualifier = qualifier(&value, &figure)?;
    let multiplier = i8::try_from(value.multiplier_pow10)
        .ok()
        .filter(|power| i32::from(*power).abs() <= MULTIPLIER_MAX)
        .ok_or_else(|| BadField::new("multiplier_pow10", format!("not from -{MULTIPLIER_MAX} to {MULTIPLIER_MAX}")))?;
    let status = match known::<proto::ObservationStatus>("status", value.status)? {
        proto::ObservationStatus::Unspecified | proto::ObservationStatus::Normal => ObservationStatus::Normal,
        proto::ObservationStatus::Break => ObservationStatus::Break,
        proto::ObservationStatus::Estimated => ObservationStatus::Estimated,
        proto::ObservationStatus::Forecast => ObservationStatus::Forecast,
        proto::ObservationStatus::Imputed => ObservationStatus::Imputed,
        proto::ObservationStatus::NotSignificant => ObservationStatus::NotSignificant,
        proto::ObservationStatus::Provisional => ObservationStatus::Provisional,
    };
    let comment = text("comment", value.comment, COMMENT_BYTES_MAX)?;
    Ok(Value::new(figure, Notes { multiplier, qualifier, status, comment }))
}

fn qualifier(value: &proto::Value, figure: &Figure) -> Result<Qualifier> {
    let qualifier = known::<proto::Qualifier>("qualifier", value.qualifier)?;
    if value.upper.is_some() && qualifier != proto::Qualifier::Range {
        return Err(BadField::new("upper", "only a range has an upper end"));
    }
    Ok(match qualifier {
        proto::Qualifier::Unspecified | proto::Qualifier::Exact => Qualifier::Exact,
        proto::Qualifier::Approximate => Qualifier::Approximate,
        proto::Qualifier::AtLeast => Qualifier::AtLeast,
        proto::Qualifier::AtMost => Qualifier::AtMost,
        proto::Qualifier::Range => {
            let upper = value.upper.ok_or_else(|| BadField::new("upper", "a range needs its upper end"))?;
            let Figure::Number(lower) = figure else {
                return Err(BadField::new("upper", "a range needs its lower end"));
            };
            if lower.to_f64() > upper {
                return Err(BadField::new("upper", "below the lower end"));
            }
            Qualifier::RangeTo(Number::from_f64(upper, value.decimals).map_err(|error| BadField::new("upper", error))?)
        }
    })
}

fn optional_value(field: &str, given: Option<proto::Value>) -> Result<Option<Value>> {
    given.map(value).transpose().map_err(|bad| bad.under(field))
}

pub(super) fn definition(given: proto::Definition) -> Result<Definition> {
    use proto::definition::Item;
    let bytes = given.encoded_len();
    let item = given.item.ok_or_else(|| BadField::new("item", "must be given"))?;
    if bytes > OBJECT_BYTES_MAX {
        let field = match item {
            Item::Indicator(_) => "indicator",
            Item::Entity(_) => "entity",
            Item::Source(_) => "source",
            Item::Ranking(_) => "ranking",
            Item::Methodology(_) => "methodology",
        };
        return Err(BadField::new(field, format!("longer than {OBJECT_BYTES_MAX} bytes")));
    }
    match item {
        Item::Indicator(given) => indicator(given).map(Definition::Indicator).map_err(|bad| bad.under("indicator")),
        Item::Entity(given) => entity(given).map(Definition::Entity).map_err(|bad| bad.under("entity")),
        Item::Source(given) => source(given).map(Definition::Source).map_err(|bad| bad.under("source")),
        Item::Ranking(given) => ranking(given).map(Definition::Ranking).map_err(|bad| bad.under("ranking")),
        Item::Methodology(given) => {
            methodology(given).map(Definition::Methodology).map_err(|bad| bad.under("methodology"))
        }
    }
}

fn direction(number: i32) -> Result<Direction> {
    Ok(match known::<proto::Direction>("direction", number)? {
        proto::Direction::Unspecified => Direction::NotStated,
        proto::Direction::HigherIsBetter => Direction::HigherIsBetter,
        proto::Direction::LowerIsBetter => Direction::LowerIsBetter,
    })
}

fn indicator(given: proto::Indicator) -> Result<Indicator> {
    let decimals_max = crate::model::value::DECIMALS_MAX;
    if given.default_decimals > decimals_max {
        return Err(BadField::new("default_decimals", format!("above {decimals_max}")));
    }
    Ok(Indicator {
        id: id("id", &given.id, IndicatorId::new)?,
        name: text("name", given.name, 1_000)?,
        unit: text("unit", given.unit, 200)?,
        direction: direction(given.direction)?,
        default_decimals: given.default_decimals,
        definition: text("definition", given.definition, TEXT_BYTES_MAX)?,
        frequency: match known::<proto::Frequency>("frequency", given.frequency)? {
            proto::Frequency::Unspecified => Frequency::NotStated,
            proto::Frequency::Annual => Frequency::Annual,
            proto::Frequency::HalfYearly => Frequency::HalfYearly,
            proto::Frequency::Quarterly => Frequency::Quarterly,
            proto::Frequency::Monthly => Frequency::Monthly,
            proto::Frequency::Daily => Frequency::Daily,
            proto::Frequency::Irregular => Frequency::Irregular,
        },
        licence: text("licence", given.licence, 200)?,
        timing: match known::<proto::Timing>("timing", given.timing)? {
            proto::Timing::Unspecified | proto::Timing::Flow => Timing::Flow,
            proto::Timing::Stock => Timing::Stock,
        },
    })
}

/// The kind of an entity.
pub(super) fn entity_kind(field: &str, number: i32) -> Result<EntityKind> {
    Ok(match required::<proto::EntityKind>(field, number)? {
        proto::EntityKind::Economy | proto::EntityKind::Unspecified => EntityKind::Economy,
        proto::EntityKind::Cluster => EntityKind::Cluster,
        proto::EntityKind::Organisation => EntityKind::Organisation,
        proto::EntityKind::RegionGroup => EntityKind::RegionGroup,
        proto::EntityKind::World => EntityKind::World,
    })
}

fn entity(given: proto::Entity) -> Result<Entity> {
    parts("codes", &given.codes)?;
    parts("names", &given.names)?;
    parts("relations", &given.relations)?;
    let codes = given
        .codes
        .into_iter()
        .map(|code| Ok((text("codes.scheme", code.scheme, 64)?, text("codes.value", code.value, 64)?)));
    let names = given.names.into_iter().map(|name| {
        Ok(EntityName {
            text: text("names.text", name.text, 500)?,
            language: text("names.language", name.language, 35)?,
            valid_from: optional_date("names.valid_from", &name.valid_from)?,
            valid_to: optional_date("names.valid_to", &name.valid_to)?,
        })
    });
    let relations = given.relations.into_iter().map(|relation| {
        Ok(EntityRelation {
            kind: match required::<proto::RelationKind>("relations.kind", relation.kind)? {
                proto::RelationKind::LiesIn | proto::RelationKind::Unspecified => RelationKind::LiesIn,
                proto::RelationKind::MemberOf => RelationKind::MemberOf,
                proto::RelationKind::RenamedTo => RelationKind::RenamedTo,
                proto::RelationKind::MergedInto => RelationKind::MergedInto,
                proto::RelationKind::SplitInto => RelationKind::SplitInto,
            },
            entity: id("relations.entity", &relation.entity, EntityId::new)?,
            valid_from: optional_date("relations.valid_from", &relation.valid_from)?,
            valid_to: optional_date("relations.valid_to", &relation.valid_to)?,
        })
    });
    Ok(Entity {
        id: id("id", &given.id, EntityId::new)?,
        kind: entity_kind("kind", given.kind)?,
        name: text("name", given.name, 500)?,
        codes: codes.collect::<Result<_>>()?,
        names: names.collect::<Result<_>>()?,
        relations: relations.collect::<Result<_>>()?,
    })
}

fn source(given: proto::Source) -> Result<Source> {
    Ok(Source {
        id: id("id", &given.id, SourceId::new)?,
        producer: text("producer", given.producer, 500)?,
        title: text("title", given.title, 1_000)?,
        published: optional_date("published", &given.published)?,
        url: text("url", given.url, 2_000)?,
        licence: text("licence", given.licence, 200)?,
        redistribution: match known::<proto::Redistribution>("redistribution", given.redistribution)? {
            proto::Redistribution::Unspecified => Redistribution::NotStated,
            proto::Redistribution::Allowed => Redistribution::Allowed,
            proto::Redistribution::WithAttribution => Redistribution::WithAttribution,
            proto::Redistribution::Forbidden => Redistribution::Forbidden,
        },
        precedence: if given.precedence == 0 { DEFAULT_PRECEDENCE } else { given.precedence },
    })
}

fn aggregation(number: i32) -> Result<Aggregation> {
    Ok(match known::<proto::Aggregation>("aggregation", number)? {
        proto::Aggregation::Unspecified => Aggregation::NotPublished,
        proto::Aggregation::Sum => Aggregation::Sum,
        proto::Aggregation::WeightedMean => Aggregation::WeightedMean,
    })
}

fn ranking(given: proto::Ranking) -> Result<Ranking> {
    Ok(Ranking {
        id: id("id", &given.id, RankingId::new)?,
        name: text("name", given.name, 500)?,
        subject: entity_kind("subject", given.subject)?,
        source: id("source", &given.source, SourceId::new)?,
        description: text("description", given.description, TEXT_BYTES_MAX)?,
    })
}

fn methodology(given: proto::Methodology) -> Result<Methodology> {
    parts("components", &given.components)?;
    let mut known = std::collections::HashSet::new();
    let components = given.components.into_iter().map(|component| {
        if !component.parent.is_empty() && !known.contains(&component.parent) {
            let reason =
                format!("`{}` comes before its parent `{}`, or has none of that name", component.id, component.parent);
            return Err(BadField::new("components", reason));
        }
        if !known.insert(component.id.clone()) {
            return Err(BadField::new("components", format!("`{}` comes twice", component.id)));
        }
        if component.weight.is_some_and(|weight| !weight.is_finite() || weight < 0.0) {
            return Err(BadField::new("components.weight", "not a finite number from 0"));
        }
        Ok(MethodologyComponent {
            id: text("components.id", component.id, 128)?,
            name: text("components.name", component.name, 500)?,
            weight: component.weight,
            direction: direction(component.direction)?,
            parent: component.parent,
            aggregation: aggregation(component.aggregation)?,
        })
    });
    Ok(Methodology {
        components: components.collect::<Result<_>>()?,
        id: id("id", &given.id, MethodologyId::new)?,
        description: text("description", given.description, TEXT_BYTES_MAX)?,
        aggregation: aggregation(given.aggregation)?,
    })
}

/// An edition to publish, without entries. What the server says about it is filled in later.
pub(super) fn edition(given: proto::Edition) -> Result<Edition> {
    let output_only = given.entry_count != 0
        || given.revision != 0
        || given.recorded.is_some()
        || !given.compared_with.is_empty()
        || !given.withdrawn.is_empty();
    if output_only {
        return Err(BadField::new(
            "edition",
            "entry_count, revision, recorded, compared_with and withdrawn are set by the server",
        ));
    }
    let coverage = given.coverage.unwrap_or_default();
    if coverage.complete_to != 0 {
        return Err(BadField::new("edition.coverage.complete_to", "is set by the server"));
    }
    Ok(Edition {
        ranking: id("edition.ranking", &given.ranking, RankingId::new)?,
        edition: id("edition.id", &given.id, EditionId::new)?,
        title: text("edition.title", given.title, 500)?,
        status: match known::<proto::EditionStatus>("edition.status", given.status)? {
            proto::EditionStatus::Unspecified | proto::EditionStatus::Published => EditionStatus::Published,
            proto::EditionStatus::Provisional => EditionStatus::Provisional,
            _ => return Err(BadField::new("edition.status", "corrected and withdrawn are set by the server")),
        },
        basis: match known::<proto::EditionBasis>("edition.basis", given.basis)? {
            proto::EditionBasis::Unspecified | proto::EditionBasis::AsPublished => Basis::AsPublished,
            proto::EditionBasis::Restated => Basis::Restated,
            proto::EditionBasis::Counterfactual => Basis::Counterfactual,
        },
        about: text("edition.about", given.about, 128)?,
        coverage: Coverage {
            kind: match known::<proto::CoverageKind>("edition.coverage.kind", coverage.kind)? {
                proto::CoverageKind::All => CoverageKind::All,
                proto::CoverageKind::Unspecified | proto::CoverageKind::Top => CoverageKind::Top,
                proto::CoverageKind::Partial => CoverageKind::Partial,
            },
            listed: coverage.listed,
            universe: coverage.universe,
        },
        methodology: text("edition.methodology", given.methodology, 128)?,
        released: date("edition.released", &given.released)?,
        effective: None,
        source: optional_id("edition.source", &given.source, SourceId::new)?,
        note: text("edition.note", given.note, 2_000)?,
        entry_count: 0,
        complete_to: 0,
        revision: Revision::ZERO,
        recorded: Instant(0),
        compared_with: None,
    })
}

pub(super) fn entry(given: proto::Entry) -> Result<Entry> {
    if given.encoded_len() > OBJECT_BYTES_MAX {
        return Err(BadField::new("components", format!("the entry is longer than {OBJECT_BYTES_MAX} bytes")));
    }
    parts("components", &given.components)?;
    parts("economies", &given.economies)?;
    parts("previous", &given.previous)?;
    parts("disputed", &given.disputed)?;
    let components = given.components.into_iter().map(|component| {
        Ok(EntryComponent {
            id: text("components.id", component.id, 128)?,
            raw: optional_value("components.raw", component.raw)?,
            score: optional_value("components.score", component.score)?,
            rank: component.rank,
            data_year: text("components.data_year", component.data_year, 16)?,
        })
    });
    let claim = |claim: proto::RankClaim| -> Result<RankClaim> {
        Ok(RankClaim {
            rank: claim.rank,
            edition: text("edition", claim.edition, 128)?,
            claimed_by: text("claimed_by", claim.claimed_by, 500)?,
        })
    };
    Ok(Entry {
        entity: id("entity", &given.entity, EntityId::new)?,
        published_name: text("published_name", given.published_name, 500)?,
        economies: given
            .economies
            .iter()
            .map(|economy| id("economies", economy, EntityId::new))
            .collect::<Result<_>>()?,
        rank: given.rank,
        tied: given.tied,
        score: optional_value("score", given.score)?,
        components: components.collect::<Result<_>>()?,
        previous: given.previous.into_iter().map(claim).collect::<Result<_>>().map_err(|bad| bad.under("previous"))?,
        disputed: given.disputed.into_iter().map(claim).collect::<Result<_>>().map_err(|bad| bad.under("disputed"))?,
        note: text("note", given.note, COMMENT_BYTES_MAX)?,
    })
}

pub(super) fn cause(field: &str, number: i32) -> Result<Option<Cause>> {
    Ok(match known::<proto::Cause>(field, number)? {
        proto::Cause::Unspecified => None,
        proto::Cause::FirstRelease => Some(Cause::FirstRelease),
        proto::Cause::ScheduledRevision => Some(Cause::ScheduledRevision),
        proto::Cause::Correction => Some(Cause::Correction),
        proto::Cause::MethodChange => Some(Cause::MethodChange),
        proto::Cause::Withdrawal => Some(Cause::Withdrawal),
        proto::Cause::ReloadUnchanged => Some(Cause::ReloadUnchanged),
        proto::Cause::Definition => Some(Cause::Definition),
    })
}

pub(super) fn ingest_mode(number: i32) -> Result<Mode> {
    Ok(match known::<proto::IngestMode>("header.mode", number)? {
        proto::IngestMode::Unspecified | proto::IngestMode::Merge => Mode::Merge,
        proto::IngestMode::Replace => Mode::Replace,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_outside_the_calendar_or_with_odd_nanoseconds_are_refused() {
        let (first, last) = (*TIMESTAMP_SECONDS.start(), *TIMESTAMP_SECONDS.end());
        let cases = [
            (0, -5, Err("at.nanos")),
            (0, 1_000_000_000, Err("at.nanos")),
            (0, 2_000_000_000, Err("at.nanos")),
            (first - 1, 0, Err("at.seconds")),
            (last + 1, 0, Err("at.seconds")),
            (i64::MIN, 0, Err("at.seconds")),
            (0, 999_999_999, Ok(999_999)),
            (-1, 999_999_999, Ok(-1)),
            (first, 0, Ok(first * 1_000_000)),
            (last, 0, Ok(last * 1_000_000)),
        ];
        for (seconds, nanos, expected) in cases {
            let found = instant("at", &prost_types::Timestamp { seconds, nanos });
            let found = found.map(|instant| instant.0).map_err(|bad| bad.field);
            assert_eq!(found, expected.map_err(str::to_owned), "{seconds} s {nanos} ns");
        }
    }

    #[test]
    fn durations_out_of_bounds_or_with_odd_nanoseconds_are_refused() {
        let bounds = Duration::from_millis(100)..=Duration::from_secs(20);
        let cases = [
            (0, 99_999_999, Err("every")),
            (20, 1, Err("every")),
            (-1, 0, Err("every")),
            (1, -5, Err("every.nanos")),
            (0, 2_000_000_000, Err("every.nanos")),
            (0, 100_000_000, Ok(Duration::from_millis(100))),
            (20, 0, Ok(Duration::from_secs(20))),
        ];
        for (seconds, nanos, expected) in cases {
            let found = duration("every", &prost_types::Duration { seconds, nanos }, &bounds);
            assert_eq!(found.map_err(|bad| bad.field), expected.map_err(str::to_owned), "{seconds} s {nanos} ns");
        }
    }
}
