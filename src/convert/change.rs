//! Changes of a commit.
//!
//! A change has two parts: [`change_detail`] says what changed, the same for every subscriber; [`change_head`] says how that
//! stands to one subscription. The feed encodes a detail once and puts a head before it for each subscriber.

use prost::Message;

use super::{enums::ContractEnum, field::optional_text, observation::stamped_version};
use crate::{
    feed::{
        filter::{Filters, Match},
        stamps::CommitStamps,
    },
    model::{
        change::{Cause, Change, DefinitionChange, EntryChange, FigureChange, FigureMovement},
        edition::{Edition, Entry},
    },
    proto::{self, change::Detail},
};

/// The part of a change that is the same for every subscriber.
pub(super) fn detail(change: &Change, stamps: &CommitStamps) -> Detail {
    match change {
        Change::Figure(change) => Detail::Value(value_change(change, stamps)),
        Change::Entry(change) => Detail::Entry(change.as_ref().into()),
        Change::Edition { before, after, backfilled } => Detail::Edition(proto::EditionChange {
            before: edition(before.as_deref()),
            after: edition(Some(after)),
            recorded_version: edition(backfilled.as_deref()),
        }),
        Change::Definition(change) => Detail::Definition(change.into()),
    }
}

fn value_change(change: &FigureChange, stamps: &CommitStamps) -> proto::ValueChange {
    let before = change.before.as_ref();
    let after = change.after.as_ref();
    let backfilled = (change.movement == FigureMovement::Backfilled).then_some(&change.recorded);
    proto::ValueChange {
        r#move: change.movement.number(),
        before: before.map(|version| stamped_version(&change.series, version, stamps)),
        after: after.map(|version| stamped_version(&change.series, version, stamps)),
        recorded_version: backfilled.map(|version| stamped_version(&change.series, version, stamps)),
    }
}

fn edition(edition: Option<&Edition>) -> Option<proto::Edition> {
    edition.map(proto::Edition::from)
}

fn entry(entry: Option<&Entry>) -> Option<proto::Entry> {
    entry.map(proto::Entry::from)
}

impl From<&EntryChange> for proto::EntryChange {
    fn from(change: &EntryChange) -> Self {
        Self {
            ranking: change.ranking.to_string(),
            edition: change.edition.to_string(),
            entity: change.entity.to_string(),
            before: entry(change.before.as_deref()),
            after: entry(change.after.as_deref()),
            compared_with: optional_text(change.compared_with.as_ref()),
            compared: entry(change.compared.as_deref()),
            movement: change.movement.number(),
            places: change.places(),
            renamed: change.renamed(),
            earlier_absence: change.earlier_absence.map(proto::Absence::from),
            later_absence: change.later_absence.map(proto::Absence::from),
            compared_entry_count: change.entries_before,
            entry_count: change.entries_after,
            comparable: change.comparable,
        }
    }
}

impl From<&DefinitionChange> for proto::DefinitionChange {
    fn from(change: &DefinitionChange) -> Self {
        Self {
            before: change.before.as_deref().map(proto::Definition::from),
            after: change.after.as_deref().map(proto::Definition::from),
        }
    }
}

/// A change in the difference of a write that was only checked: as a subscriber to everything would get it.
pub fn change(index: u64, change: &Change, stamps: &CommitStamps) -> proto::Change {
    let everything = Filters::new(Vec::new());
    let scope = match everything.match_change(change, Cause::ReloadUnchanged) {
        Some(filter_match) => filter_match.scope.into(),
        None => proto::ChangeScope::Unspecified,
    };
    proto::Change { index, scope: scope.into(), detail: Some(detail(change, stamps)), ..Default::default() }
}

/// The encoded fields of a change that say what changed: the same for every subscriber.
pub fn change_detail(change: &Change, stamps: &CommitStamps) -> Vec<u8> {
    proto::Change { detail: Some(detail(change, stamps)), ..Default::default() }.encode_to_vec()
}

/// The fields of a change that say how it stands to a subscription. `name` gives the name of a filter by its number.
pub fn change_head<'a>(index: u64, filter_match: &Match, name: impl Fn(usize) -> &'a str) -> proto::Change {
    let mut matched_filters = Vec::new();
    for at in &filter_match.filters {
        let name = name(*at);
        if !name.is_empty() {
            matched_filters.push(name.to_owned());
        }
    }
    proto::Change { index, scope: filter_match.scope.number(), matched_filters, ..Default::default() }
}
