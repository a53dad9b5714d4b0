//! Several commits as one, for who only wants to know how things stand now.
//!
//! [`Conflation`] takes the matching changes of commits, one commit after the other, and keeps for each key (a figure, a row of an
//! edition, an edition, a definition) the first change and the last. Its net is `before` of the first and everything else of
//! the last; an entry is also compared with what the first was compared with. [`super::history::ConflationWalk`] reads the commits.
//!
//! Invariants: applying a fold to a copy gives the same copy as applying its commits one by one. A fold holds at most
//! [`CONFLATED_CHANGES_MAX`] keys and about [`CONFLATED_BYTES_MAX`] bytes, most of them as references to changes that all
//! streams share; all folds together are bounded by [`CONFLATING_MAX`].

use std::{collections::HashMap, sync::Arc};

use super::{
    change::NumberedChange,
    filter::{ChangeScope, Match, Matching},
    stamps::CommitStamps,
    weight,
};
use crate::{
    ledger::log::Header,
    model::{
        catalog::DefinitionKind,
        change::{Absence, Change, DefinitionChange, EntryChange, Movement, ValueChange, ValueMove},
        edition::{CoverageKind, EditionStatus},
        id::{EditionId, EntityId, RankingId, Revision},
        period::Period,
        series::SeriesKey,
    },
    ranking::compare::{Side, absence, movement},
};

/// Most keys in a fold. A commit that alone changes more is sent as it is.
pub const CONFLATED_CHANGES_MAX: usize = 500;
/// About the most bytes of changes in a fold: 500 figures with both sides take 200 KiB.
pub const CONFLATED_BYTES_MAX: usize = 512 << 10;
/// Most subscriptions that conflate: their folds hold below 512 MiB together, if every one of them is behind and full.
pub const CONFLATING_MAX: usize = 1_000;

/// A page of a fold is closed at about so many bytes.
const PAGE_WEIGHT: usize = 48 * 1024;

/// Part of a fold, as a subscriber gets it.
#[derive(Debug)]
pub struct ConflatedPage {
    /// About the last commit folded in.
    pub header: Arc<Header>,
    /// The first revision folded in.
    pub conflated_from: Revision,
    /// The last revision that was sent before it.
    pub prev_match: Revision,
    /// Number of the page.
    pub page: u32,
    /// The fold is complete.
    pub last: bool,
    /// What changed in the end.
    pub changes: Vec<NetChange>,
}

/// What became of one key.
#[derive(Debug)]
pub struct NetChange {
    /// The last commit that changed it.
    pub revision: Revision,
    /// The number of the change in that commit.
    pub number: u64,
    /// How it stands to the filters: before by the first change, after by the last.
    pub found: Match,
    /// What changed.
    pub what: Net,
}

/// A change of a fold.
#[derive(Debug)]
pub enum Net {
    /// The only change of its key: as it is, with the encoded form that all share.
    Alone(Arc<NumberedChange>),
    /// Several in one.
    Folded(Box<Change>, CommitStamps),
}

impl NetChange {
    /// The change.
    pub fn change(&self) -> &Change {
        match &self.what {
            Net::Alone(numbered) => &numbered.change,
            Net::Folded(change, _) => change,
        }
    }
}

/// What changes are about, one by one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Value(SeriesKey, Period),
    Entry(RankingId, EditionId, EntityId),
    Edition(RankingId, EditionId),
    /// No definition is without a name.
    Definition(Option<(DefinitionKind, String)>),
}

impl Key {
    pub(super) fn of(change: &Change) -> Self {
        match change {
            Change::Value(change) => Self::Value(change.series.clone(), change.period),
            Change::Entry(change) => Self::Entry(change.ranking.clone(), change.edition.clone(), change.entity.clone()),
            Change::Edition { after, .. } => Self::Edition(after.ranking.clone(), after.edition.clone()),
            Change::Definition(change) => Self::Definition(change.name().map(|(kind, id)| (kind, id.to_owned()))),
        }
    }
}

/// A change that matched.
#[derive(Debug, Clone)]
struct MatchingChange {
    revision: Revision,
    numbered: Arc<NumberedChange>,
    found: Match,
}

#[derive(Debug)]
struct Folded {
    first: MatchingChange,
    /// `None`: the first is the only one.
    last: Option<MatchingChange>,
}

/// How an edition stands at the end of a fold, as far as its changes tell.
#[derive(Debug, Clone, Copy)]
struct Ending {
    withdrawn: bool,
    whole: bool,
    absence: Absence,
    entries: u32,
}

impl Ending {
    /// No change of the edition itself was seen.
    const UNKNOWN: Self = Self { withdrawn: false, whole: false, absence: Absence::Unknown, entries: 0 };
}

/// The net of several commits.
#[derive(Debug, Default)]
pub(super) struct Conflation {
    places: HashMap<Key, usize>,
    /// In the order in which the keys first changed: what is referred to comes before what refers to it.
    folded: Vec<Folded>,
    editions: HashMap<(RankingId, EditionId), Ending>,
    bytes: usize,
    commits: usize,
    first: Revision,
    last: Option<Arc<Header>>,
    /// The commit that is being read.
    open: Vec<MatchingChange>,
    open_bytes: usize,
}

impl Conflation {
    /// Takes a change of the commit that is being read. False: that commit alone is too long to be folded.
    pub(super) fn take(&mut self, revision: Revision, numbered: &Arc<NumberedChange>, found: &Match) -> bool {
        // A figure that is filled in behind a newer release changes nothing, unless it moves the release that said it first.
        if matches!(&numbered.change, Change::Value(change) if change.before == change.after) {
            return true;
        }
        self.open_bytes += weight::of_change(&numbered.change);
        self.open.push(MatchingChange { revision, numbered: numbered.clone(), found: found.clone() });
        self.open.len() <= CONFLATED_CHANGES_MAX && self.open_bytes <= CONFLATED_BYTES_MAX
    }

    /// The commit that is being read is complete. False: it does not fit in with the others, which stay as they are.
    pub(super) fn close_commit(&mut self, header: &Arc<Header>) -> bool {
        let (open, bytes) = (std::mem::take(&mut self.open), std::mem::take(&mut self.open_bytes));
        if open.is_empty() {
            return true;
        }
        let new = open.iter().filter(|matching| !self.places.contains_key(&Key::of(&matching.numbered.change))).count();
        if self.folded.len() + new > CONFLATED_CHANGES_MAX || self.bytes + bytes > CONFLATED_BYTES_MAX {
            return false;
        }
        if self.commits == 0 {
            self.first = header.commit.revision;
        }
        self.commits += 1;
        self.last = Some(header.clone());
        open.into_iter().for_each(|matching| self.add(matching));
        true
    }

    fn add(&mut self, matching: MatchingChange) {
        self.note_edition(&matching.numbered.change);
        self.bytes += weight::of_change(&matching.numbered.change);
        let place = *self.places.entry(Key::of(&matching.numbered.change)).or_insert(self.folded.len());
        let Some(known) = self.folded.get_mut(place) else {
            self.folded.push(Folded { first: matching, last: None });
            return;
        };
        if let Some(passed) = known.last.replace(matching) {
            self.bytes -= weight::of_change(&passed.numbered.change);
        }
    }

    fn note_edition(&mut self, change: &Change) {
        match change {
            Change::Edition { after, .. } => {
                let ending = Ending {
                    withdrawn: after.status == EditionStatus::Withdrawn,
                    whole: after.coverage.kind != CoverageKind::Partial,
                    absence: absence(after),
                    entries: after.entry_count,
                };
                self.editions.insert((after.ranking.clone(), after.edition.clone()), ending);
            }
            // Who filters editions out still sees them go by their entries.
            Change::Entry(change) => {
                let ending =
                    self.editions.entry((change.ranking.clone(), change.edition.clone())).or_insert(Ending::UNKNOWN);
                ending.withdrawn = change.movement == Movement::Withdrawn;
            }
            Change::Value(_) | Change::Definition(..) => {}
        }
    }

    /// How many commits changed something.
    pub(super) fn commits(&self) -> usize {
        self.commits
    }

    /// The first commit that changed something.
    pub(super) fn first(&self) -> Revision {
        self.first
    }

    /// Cuts the net into pages; none if everything ends as it began.
    pub(super) fn pages(mut self, prev_match: Revision) -> Vec<ConflatedPage> {
        let Some(header) = self.last.take() else { return Vec::new() };
        let mut pages: Vec<Vec<NetChange>> = Vec::new();
        let mut room = 0;
        for net in self.net() {
            let weight = weight::of_change(net.change());
            match pages.last_mut() {
                Some(page) if weight <= room => page.push(net),
                _ => {
                    pages.push(vec![net]);
                    room = PAGE_WEIGHT;
                }
            }
            room = room.saturating_sub(weight);
        }
        let count = pages.len();
        let conflated_from = self.first;
        (0..)
            .zip(pages)
            .map(|(page, changes)| {
                let last = page as usize + 1 == count;
                ConflatedPage { header: header.clone(), conflated_from, prev_match, page, last, changes }
            })
            .collect()
    }

    fn net(&mut self) -> impl Iterator<Item = NetChange> + use<'_> {
        let editions = &self.editions;
        self.folded.drain(..).filter_map(|folded| folded.net(editions))
    }
}

impl Folded {
    /// `None`: the key ends as it began, for this subscriber.
    fn net(self, editions: &HashMap<(RankingId, EditionId), Ending>) -> Option<NetChange> {
        let last = self.last.as_ref().unwrap_or(&self.first);
        let folded = match (&self.first.numbered.change, &last.numbered.change) {
            (Change::Entry(first), Change::Entry(last)) => {
                let ending = editions.get(&(last.ranking.clone(), last.edition.clone())).copied();
                let ending = ending.unwrap_or(Ending::UNKNOWN);
                let own = first.is_of_one_edition();
                // An edition that came and went: nobody entered or left it.
                if !own && ending.withdrawn {
                    return None;
                }
                let restated = last.movement == Movement::Withdrawn && !ending.withdrawn;
                if self.last.is_none() && !restated {
                    None
                } else {
                    let unmoved = first.before == last.after && first.earlier_source == last.source;
                    // What an edition first says of an entity is news, also where it stands as in the edition before.
                    if own && unmoved {
                        return None;
                    }
                    Some(Change::Entry(Box::new(net_entry(first, last, restated.then_some(ending)))))
                }
            }
            _ if self.last.is_none() => None,
            (first, last) => Some(net_change(first, last)?),
        };
        let (revision, number) = (last.revision, last.numbered.number);
        let mut stamps = CommitStamps::clone(&self.first.numbered.stamps);
        stamps.extend(&last.numbered.stamps);
        let found = match &self.last {
            None => self.first.found,
            Some(last) => {
                let matching = Matching {
                    before: matches!(self.first.found.scope, ChangeScope::Changed | ChangeScope::Left),
                    after: matches!(last.found.scope, ChangeScope::Entered | ChangeScope::Changed),
                    beside: self.first.found.beside,
                };
                let mut filters = self.first.found.filters;
                filters.extend(&last.found.filters);
                filters.sort_unstable();
                filters.dedup();
                matching.into_match(filters)?
            }
        };
        let what = match folded {
            Some(change) => Net::Folded(Box::new(change), stamps),
            None => Net::Alone(self.first.numbered),
        };
        Some(NetChange { revision, number, found, what })
    }
}

/// Of figures, editions and definitions. `None`: it is as it was.
fn net_change(first: &Change, last: &Change) -> Option<Change> {
    match (first, last) {
        (Change::Value(first), Change::Value(last)) => {
            // Whole rows: a figure that comes back is another version of it.
            let movement = match (&first.before, &last.after) {
                (before, after) if before == after => return None,
                (None, _) => ValueMove::Added,
                (Some(_), Some(_)) => ValueMove::Revised,
                (Some(_), None) => ValueMove::Withdrawn,
            };
            let last = last.as_ref().clone();
            Some(Change::Value(Box::new(ValueChange { before: first.before.clone(), movement, ..last })))
        }
        // Versions filled in behind what stands are no part of the difference.
        (Change::Edition { before, .. }, Change::Edition { after, .. }) => (before.as_ref() != Some(after))
            .then(|| Change::Edition { before: before.clone(), after: after.clone(), backfilled: None }),
        (Change::Definition(first), Change::Definition(last)) => (first.before != last.after)
            .then(|| Change::Definition(DefinitionChange { before: first.before.clone(), after: last.after.clone() })),
        // Not reached: one key, one kind.
        _ => Some(last.clone()),
    }
}

/// Of a row of an edition; with how the edition stands if it was withdrawn and published again without the row.
fn net_entry(first: &EntryChange, last: &EntryChange, ending: Option<Ending>) -> EntryChange {
    // An entity that is absent from a whole table entered or left it: that move tells whether the table is whole.
    let was_whole = first.movement == Movement::Entered;
    let is_whole = ending.map_or(last.movement == Movement::Left, |ending| ending.whole);
    let later_absence = ending.map_or(last.later_absence, |ending| Some(ending.absence));
    let earlier = Side::of(first.earlier(), first.earlier_absence, was_whole);
    let later = Side::of(last.after.as_deref(), later_absence, is_whole);
    let movement = match last.movement {
        Movement::Withdrawn if ending.is_none() => Movement::Withdrawn,
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
        entries_after: ending.map_or(last.entries_after, |ending| ending.entries),
        comparable: first.comparable,
        ..last.clone()
    }
}

#[cfg(test)]
mod tests;
