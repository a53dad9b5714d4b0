//! Editions beside each other: moves, absences, trajectories.

use super::{edition::coverage, enums::ContractEnum};
use crate::{
    model::change::{Absence, EntryMove},
    proto,
    query::editions::TrajectoryPoint,
};

impl From<Absence> for proto::Absence {
    fn from(absence: Absence) -> Self {
        let mut message = Self::default();
        message.set_kind(match absence {
            Absence::Unknown => proto::AbsenceKind::Unknown,
            Absence::WorseThan(_) => proto::AbsenceKind::WorseThan,
            Absence::NotRanked => proto::AbsenceKind::NotRanked,
        });
        if let Absence::WorseThan(rank) = absence {
            message.worse_than = rank;
        }
        message
    }
}

impl From<&EntryMove> for proto::EntryMove {
    fn from(entry_move: &EntryMove) -> Self {
        Self {
            entity: entry_move.entity.to_string(),
            movement: entry_move.movement.number(),
            earlier: entry_move.earlier.as_ref().map(proto::Entry::from),
            later: entry_move.later.as_ref().map(proto::Entry::from),
            earlier_absence: entry_move.earlier_absence.map(proto::Absence::from),
            later_absence: entry_move.later_absence.map(proto::Absence::from),
            places: entry_move.places(),
            renamed: entry_move.renamed(),
        }
    }
}

impl From<&TrajectoryPoint> for proto::TrajectoryPoint {
    fn from(point: &TrajectoryPoint) -> Self {
        Self {
            edition: point.edition.edition.to_string(),
            basis: point.edition.basis.number(),
            entry: point.entry.as_ref().map(proto::Entry::from),
            absence: point.absence.map(proto::Absence::from),
            methodology: point.edition.methodology.clone(),
            comparable_to_previous: point.comparable_to_previous,
            coverage: Some(coverage(&point.edition)),
        }
    }
}
