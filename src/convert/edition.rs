//! Editions and their entries.
//!
//! Invariant: a field that is read from a message is within its bound, or an error names it by its path.

use prost::Message;

use super::{
    enums::{ContractEnum, required},
    error::{FieldError, Problem},
    field::{OBJECT_BYTES_MAX, check_list, id, ids, list, optional_id, optional_text, text},
    figure::optional_value,
    time::date,
};
use crate::{
    model::{
        edition::{Coverage, Edition, EditionStatus, Entry, EntryComponent, RankClaim},
        id::{EditionId, EntityId, RankingId, Revision, SourceId},
        time::Instant,
        value::COMMENT_BYTES_MAX,
    },
    proto,
};

/// Reads the field `edition` of a publication. The server sets its counts, its revision and its time later.
pub fn edition_to_publish(message: proto::Edition) -> Result<Edition, FieldError> {
    let sets_output = message.entry_count != 0
        || message.revision != 0
        || message.recorded.is_some()
        || !message.compared_with.is_empty()
        || !message.withdrawn.is_empty();
    if sets_output {
        return Err(FieldError::new("edition", Problem::EditionFieldsSetByServer));
    }
    edition(message).map_err(|error| error.under("edition"))
}

fn edition(message: proto::Edition) -> Result<Edition, FieldError> {
    let coverage = message.coverage.unwrap_or_default();
    if coverage.complete_to != 0 {
        return Err(FieldError::new("coverage.complete_to", Problem::SetByServer));
    }
    Ok(Edition {
        ranking: id("ranking", &message.ranking, RankingId::new)?,
        edition: id("id", &message.id, EditionId::new)?,
        title: text("title", message.title, 500)?,
        status: match required("status", message.status)? {
            status @ (EditionStatus::Provisional | EditionStatus::Published) => status,
            _ => return Err(FieldError::new("status", Problem::StatusSetByServer)),
        },
        basis: required("basis", message.basis)?,
        about: text("about", message.about, 128)?,
        coverage: Coverage {
            kind: required("coverage.kind", coverage.kind)?,
            listed: coverage.listed,
            universe: coverage.universe,
        },
        methodology: text("methodology", message.methodology, 128)?,
        released: date("released", &message.released)?,
        effective: None,
        source: optional_id("source", &message.source, SourceId::new)?,
        note: text("note", message.note, 2_000)?,
        entry_count: 0,
        complete_to: 0,
        revision: Revision::ZERO,
        recorded: Instant(0),
        compared_with: None,
    })
}

impl From<&Edition> for proto::Edition {
    fn from(edition: &Edition) -> Self {
        let withdrawn = edition.status == EditionStatus::Withdrawn;
        Self {
            ranking: edition.ranking.to_string(),
            id: edition.edition.to_string(),
            title: edition.title.clone(),
            status: edition.status.number(),
            basis: edition.basis.number(),
            about: edition.about.clone(),
            coverage: Some(coverage(edition)),
            methodology: edition.methodology.clone(),
            released: edition.released.to_string(),
            source: optional_text(edition.source.as_ref()),
            note: edition.note.clone(),
            entry_count: edition.entry_count,
            revision: edition.revision.0,
            recorded: Some(edition.recorded.into()),
            compared_with: optional_text(edition.compared_with.as_ref()),
            withdrawn: optional_text(withdrawn.then(|| edition.effective_day())),
        }
    }
}

/// What an edition covers, and down to which rank its table is complete.
pub(super) fn coverage(edition: &Edition) -> proto::Coverage {
    proto::Coverage {
        kind: edition.coverage.kind.number(),
        listed: edition.coverage.listed,
        universe: edition.coverage.universe,
        complete_to: edition.complete_to,
    }
}

impl TryFrom<proto::Entry> for Entry {
    type Error = FieldError;

    fn try_from(message: proto::Entry) -> Result<Self, FieldError> {
        if message.encoded_len() > OBJECT_BYTES_MAX {
            return Err(FieldError::new("components", Problem::EntryTooLong { bytes_max: OBJECT_BYTES_MAX }));
        }
        check_list("components", &message.components)?;
        check_list("economies", &message.economies)?;
        check_list("previous", &message.previous)?;
        check_list("disputed", &message.disputed)?;
        Ok(Self {
            entity: id("entity", &message.entity, EntityId::new)?,
            published_name: text("published_name", message.published_name, 500)?,
            economies: ids("economies", &message.economies, EntityId::new)?,
            rank: message.rank,
            tied: message.tied,
            score: optional_value("score", message.score)?,
            components: list("components", message.components)?,
            previous: list("previous", message.previous)?,
            disputed: list("disputed", message.disputed)?,
            note: text("note", message.note, COMMENT_BYTES_MAX)?,
        })
    }
}

impl From<&Entry> for proto::Entry {
    fn from(entry: &Entry) -> Self {
        Self {
            entity: entry.entity.to_string(),
            published_name: entry.published_name.clone(),
            economies: entry.economies.iter().map(ToString::to_string).collect(),
            rank: entry.rank,
            tied: entry.tied,
            score: entry.score.as_ref().map(proto::Value::from),
            components: entry.components.iter().map(proto::EntryComponent::from).collect(),
            previous: entry.previous.iter().map(proto::RankClaim::from).collect(),
            disputed: entry.disputed.iter().map(proto::RankClaim::from).collect(),
            note: entry.note.clone(),
        }
    }
}

impl TryFrom<proto::EntryComponent> for EntryComponent {
    type Error = FieldError;

    fn try_from(message: proto::EntryComponent) -> Result<Self, FieldError> {
        Ok(Self {
            id: text("id", message.id, 128)?,
            raw: optional_value("raw", message.raw)?,
            score: optional_value("score", message.score)?,
            rank: message.rank,
            data_year: text("data_year", message.data_year, 16)?,
        })
    }
}

impl From<&EntryComponent> for proto::EntryComponent {
    fn from(component: &EntryComponent) -> Self {
        Self {
            id: component.id.clone(),
            raw: component.raw.as_ref().map(proto::Value::from),
            score: component.score.as_ref().map(proto::Value::from),
            rank: component.rank,
            data_year: component.data_year.clone(),
        }
    }
}

impl TryFrom<proto::RankClaim> for RankClaim {
    type Error = FieldError;

    fn try_from(message: proto::RankClaim) -> Result<Self, FieldError> {
        Ok(Self {
            rank: message.rank,
            edition: text("edition", message.edition, 128)?,
            claimed_by: text("claimed_by", message.claimed_by, 500)?,
        })
    }
}

impl From<&RankClaim> for proto::RankClaim {
    fn from(claim: &RankClaim) -> Self {
        Self { rank: claim.rank, edition: claim.edition.clone(), claimed_by: claim.claimed_by.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        edition::{Basis, CoverageKind},
        value::{Number, Value},
    };

    #[test]
    fn entries_come_back() {
        let value = Value::number(Number::parse("53.1").unwrap());
        let claim = RankClaim { rank: 13, edition: "2024".to_owned(), claimed_by: "press".to_owned() };
        let entry = Entry {
            entity: EntityId::new("cluster:a").unwrap(),
            published_name: "A–B".to_owned(),
            economies: vec![EntityId::new("CHN").unwrap(), EntityId::new("HKG").unwrap()],
            rank: Some(12),
            tied: true,
            score: Some(value.clone()),
            components: vec![EntryComponent {
                id: "input".to_owned(),
                raw: Some(value.clone()),
                score: Some(value),
                rank: Some(3),
                data_year: "2023".to_owned(),
            }],
            previous: vec![claim.clone()],
            disputed: vec![claim],
            note: "restated".to_owned(),
        };
        assert_eq!(Entry::try_from(proto::Entry::from(&entry)), Ok(entry));
    }

    fn message() -> proto::Edition {
        proto::Edition {
            ranking: "gii".to_owned(),
            id: "2025".to_owned(),
            released: "2025-09-16".to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn an_edition_with_nothing_but_its_name_has_the_usual_form() {
        let edition = edition_to_publish(message()).unwrap();
        assert_eq!(edition.status, EditionStatus::Published);
        assert_eq!(edition.basis, Basis::AsPublished);
        assert_eq!(edition.coverage.kind, CoverageKind::Top);
    }

    #[test]
    fn what_the_server_sets_is_refused() {
        let complete = proto::Coverage { complete_to: 3, ..Default::default() };
        let cases = [
            (proto::Edition { entry_count: 1, ..message() }, "edition"),
            (proto::Edition { revision: 1, ..message() }, "edition"),
            (proto::Edition { withdrawn: "2025-01-01".to_owned(), ..message() }, "edition"),
            (proto::Edition { coverage: Some(complete), ..message() }, "edition.coverage.complete_to"),
            (proto::Edition { status: EditionStatus::Withdrawn.number(), ..message() }, "edition.status"),
        ];
        for (edition, field) in cases {
            assert_eq!(edition_to_publish(edition).unwrap_err().field, field);
        }
    }
}
