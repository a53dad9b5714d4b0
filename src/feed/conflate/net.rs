//! The net change of one key: `before` of its first change, everything else of its last.

use std::{collections::HashMap, sync::Arc};

use crate::{
    feed::{
        change::NumberedChange,
        filter::{ChangeScope, Match, Matching},
        page::{NetChange, NetContent},
        stamps::CommitStamps,
    },
    model::{
        change::{Absence, Change, DefinitionChange, EntryChange, FigureChange, FigureMovement, Movement},
        edition::{CoverageKind, Edition, EditionStatus},
        id::{EditionId, RankingId, Revision},
    },
    ranking::compare::{Standing, absence, movement},
};

/// A change that matches.
#[derive(Debug, Clone)]
pub(super) struct MatchingChange {
    pub(super) revision: Revision,
    pub(super) numbered: Arc<NumberedChange>,
    pub(super) filter_match: Match,
}

/// The changes of one key, from the first to the last.
#[derive(Debug)]
pub(super) struct ChangeSpan {
    pub(super) first: MatchingChange,
    /// `None`: the first is the only one.
    pub(super) last: Option<MatchingChange>,
}

/// How an edition stands after the last of the commits, as far as its changes tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct EditionEnd {
    is_withdrawn: bool,
    /// The table is not partial.
    is_whole: bool,
    /// What the table says of an entity that it does not list.
    absence: Absence,
    entries: u32,
}

impl EditionEnd {
    /// No change of the edition itself was seen.
    pub(super) const UNKNOWN: Self =
        Self { is_withdrawn: false, is_whole: false, absence: Absence::Unknown, entries: 0 };

    pub(super) fn of(edition: &Edition) -> Self {
        Self {
            is_withdrawn: edition.status == EditionStatus::Withdrawn,
            is_whole: edition.coverage.kind != CoverageKind::Partial,
            absence: absence(edition),
            entries: edition.entry_count,
        }
    }

    /// A change of an entry tells whether the edition is withdrawn.
    pub(super) fn note_entry(&mut self, change: &EntryChange) {
        self.is_withdrawn = change.movement == Movement::Withdrawn;
    }
}

impl ChangeSpan {
    fn last(&self) -> &MatchingChange {
        self.last.as_ref().unwrap_or(&self.first)
    }

    /// `None`: for the subscriber, the key ends as it began.
    pub(super) fn net(self, editions: &HashMap<(RankingId, EditionId), EditionEnd>) -> Option<NetChange> {
        let merged = match self.merge(editions) {
            Merge::Nothing => return None,
            Merge::Single => None,
            Merge::Net(change) => Some(change),
        };
        let revision = self.last().revision;
        let number = self.last().numbered.number;
        let content = match merged {
            Some(change) => NetContent::Merged { change: Box::new(change), stamps: self.stamps() },
            None => NetContent::Single(self.first.numbered),
        };
        let filter_match = match self.last {
            None => self.first.filter_match,
            Some(last) => net_match(self.first.filter_match, &last.filter_match)?,
        };
        Some(NetChange { revision, number, filter_match, content })
    }

    /// The commits that the rows of both changes come from.
    fn stamps(&self) -> CommitStamps {
        let mut stamps = CommitStamps::clone(&self.first.numbered.stamps);
        stamps.extend(&self.last().numbered.stamps);
        stamps
    }

    fn merge(&self, editions: &HashMap<(RankingId, EditionId), EditionEnd>) -> Merge {
        match (&self.first.numbered.change, &self.last().numbered.change) {
            (Change::Entry(first), Change::Entry(last)) => {
                let end = editions.get(&(last.ranking.clone(), last.edition.clone()));
                self.merge_entry(first, last, end.copied().unwrap_or(EditionEnd::UNKNOWN))
            }
            _ if self.last.is_none() => Merge::Single,
            (first, last) => net_change(first, last).map_or(Merge::Nothing, Merge::Net),
        }
    }

    fn merge_entry(&self, first: &EntryChange, last: &EntryChange, end: EditionEnd) -> Merge {
        let is_of_one_edition = first.is_of_one_edition();
        // The edition was published and withdrawn within the conflation: nobody entered or left it.
        if !is_of_one_edition && end.is_withdrawn {
            return Merge::Nothing;
        }
        // The edition was withdrawn and published again, without this entry.
        let left_by_republication = last.movement == Movement::Withdrawn && !end.is_withdrawn;
        if self.last.is_none() && !left_by_republication {
            return Merge::Single;
        }
        let is_unmoved = first.before == last.after && first.earlier_source == last.source;
        // What an edition first says of an entity is news, even where the entity stands as in the edition before.
        if is_of_one_edition && is_unmoved {
            return Merge::Nothing;
        }
        Merge::Net(Change::Entry(Box::new(net_entry(first, last, left_by_republication.then_some(end)))))
    }
}

/// How the net change matches: before by the first change, after by the last. `None`: not at all.
fn net_match(first: Match, last: &Match) -> Option<Match> {
    let matching = Matching {
        before: matches!(first.scope, ChangeScope::Changed | ChangeScope::Left),
        after: matches!(last.scope, ChangeScope::Entered | ChangeScope::Changed),
        beside: first.beside,
    };
    let mut filters = first.filters;
    filters.extend(&last.filters);
    filters.sort_unstable();
    filters.dedup();
    matching.into_match(filters)
}

/// What becomes of the changes of one key.
enum Merge {
    /// The key ends as it began.
    Nothing,
    /// There is one change, and it stays as it is.
    Single,
    Net(Change),
}

/// Of figures, editions and definitions. `None`: the key ends as it began.
fn net_change(first: &Change, last: &Change) -> Option<Change> {
    match (first, last) {
        (Change::Figure(first), Change::Figure(last)) => {
            net_value(first, last).map(|change| Change::Figure(Box::new(change)))
        }
        // A version that was filled in behind the standing one is no part of the difference.
        (Change::Edition { before, .. }, Change::Edition { after, .. }) => (before.as_ref() != Some(after))
            .then(|| Change::Edition { before: before.clone(), after: after.clone(), backfilled: None }),
        (Change::Definition(first), Change::Definition(last)) => (first.before != last.after)
            .then(|| Change::Definition(DefinitionChange { before: first.before.clone(), after: last.after.clone() })),
        // Not reached: changes with one key are of one kind.
        _ => Some(last.clone()),
    }
}

fn net_value(first: &FigureChange, last: &FigureChange) -> Option<FigureChange> {
    // The comparison is of whole versions: a figure that comes back is another version of it.
    let movement = match (&first.before, &last.after) {
        (before, after) if before == after => return None,
        (None, _) => FigureMovement::Added,
        (Some(_), Some(_)) => FigureMovement::Revised,
        (Some(_), None) => FigureMovement::Withdrawn,
    };
    Some(FigureChange { before: first.before.clone(), movement, ..last.clone() })
}

/// `republished`: how the edition stands, if it was withdrawn and published again without this entry.
fn net_entry(first: &EntryChange, last: &EntryChange, republished: Option<EditionEnd>) -> EntryChange {
    // An entity that is absent from a whole table entered it or left it, so these movements tell that the table is
    // whole.
    let was_whole = first.movement == Movement::Entered;
    let is_whole = republished.map_or(last.movement == Movement::Left, |end| end.is_whole);
    let later_absence = republished.map_or(last.later_absence, |end| Some(end.absence));
    let earlier = Standing::of(first.earlier(), first.earlier_absence, was_whole);
    let later = Standing::of(last.after.as_deref(), later_absence, is_whole);
    let movement = match last.movement {
        Movement::Withdrawn if republished.is_none() => Movement::Withdrawn,
        _ => movement(earlier, later),
    };
    EntryChange {
        before: first.before.clone(),
        compared_with: first.compared_with.clone(),
        compared: first.compared.clone(),
        earlier_source: first.earlier_source.clone(),
        movement,
        earlier_absence: first.earlier_absence,
        later_absence,
        entries_before: first.entries_before,
        entries_after: republished.map_or(last.entries_after, |end| end.entries),
        comparable: first.comparable,
        ..last.clone()
    }
}
