//! Several commits as one, for who only wants to know how things stand now.
//!
//! [`Fold`] takes the matching changes of commits, one commit after the other, and keeps for each key (a figure, a row of an
//! edition, an edition, a definition) the first change and the last. Its net is `before` of the first and everything else of
//! the last. [`super::history::FoldWalk`] reads the commits.
//!
//! Invariants: applying a fold to a copy gives the same copy as applying its commits one by one. A fold holds at most
//! [`CONFLATED_CHANGES_MAX`] keys and about [`CONFLATED_BYTES_MAX`] bytes, most of them as references to changes that all
//! streams share; all folds together are bounded by [`CONFLATING_MAX`].

use std::{collections::HashMap, sync::Arc};

use super::{
    filter::{Match, Scope, scope},
    page::NumberedChange,
    weight,
};
use crate::{
    ledger::log::Header,
    model::{
        catalog::DefinitionKind,
        change::{Change, EntryChange, EntryMove, Movement, Standing, ValueChange, ValueMove},
        edition::{CoverageKind, EditionStatus},
        id::{EditionId, EntityId, RankingId, Revision},
        period::Period,
        series::SeriesKey,
    },
    ranking::compare::{Side, movement},
};

/// Most keys in a fold. A commit that alone changes more is sent as it is.
pub const CONFLATED_CHANGES_MAX: usize = 500;
/// About the most bytes of changes in a fold: 500 figures with both sides take 200 KiB.
pub const CONFLATED_BYTES_MAX: usize = 512 << 10;
/// Most subscriptions that conflate: their folds hold below 512 MiB together, if every one of them is behind and full.
pub const CONFLATING_MAX: usize = 1_000;

/// A page of a fold is closed at about so many bytes.
const FOLD_PAGE_WEIGHT: usize = 48 * 1024;

/// Part of a fold, as a subscriber gets it.
#[derive(Debug)]
pub struct FoldPage {
    /// About the last commit folded in.
    pub header: Arc<Header>,
    /// The first revision folded in.
    pub folded_from: Revision,
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
    Folded(Box<Change>),
}

impl NetChange {
    /// The change.
    pub fn change(&self) -> &Change {
        match &self.what {
            Net::Alone(numbered) => &numbered.change,
            Net::Folded(change) => change,
        }
    }
}

/// What changes are about, one by one.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Value(SeriesKey, Period),
    Entry(RankingId, EditionId, EntityId),
    Edition(RankingId, EditionId),
    Definition(DefinitionKind, String),
}

impl Key {
    fn of(change: &Change) -> Self {
        match change {
            Change::Value(change) => Self::Value(change.series.clone(), change.period),
            Change::Entry(change) => {
                Self::Entry(change.ranking.clone(), change.edition.clone(), change.entry_move.entity.clone())
            }
            Change::Edition(_, after) => Self::Edition(after.ranking.clone(), after.edition.clone()),
            Change::Definition(_, after) => Self::Definition(after.kind(), after.id().to_owned()),
        }
    }
}

/// A change that matched.
#[derive(Debug, Clone)]
struct Matching {
    revision: Revision,
    numbered: Arc<NumberedChange>,
    found: Match,
}

#[derive(Debug)]
struct Folded {
    first: Matching,
    /// `None`: the first is the only one.
    last: Option<Matching>,
    /// All its changes name the same economies; only for entries.
    same_economies: bool,
}

/// How an edition stands at the end of a fold, as far as its changes tell.
#[derive(Debug, Clone, Copy, Default)]
struct Ending {
    withdrawn: bool,
    whole: bool,
    complete_to: u32,
    entries: u32,
}

/// The net of several commits.
#[derive(Debug, Default)]
pub(super) struct Fold {
    places: HashMap<Key, usize>,
    /// In the order in which the keys first changed: what is referred to comes before what refers to it.
    folded: Vec<Folded>,
    editions: HashMap<(RankingId, EditionId), Ending>,
    bytes: usize,
    commits: usize,
    first: Revision,
    last: Option<Arc<Header>>,
    /// The commit that is being read.
    open: Vec<Matching>,
    open_bytes: usize,
}

impl Fold {
    /// Takes a change of the commit that is being read. False: that commit alone is too long to be folded.
    pub(super) fn take(&mut self, revision: Revision, numbered: &Arc<NumberedChange>, found: &Match) -> bool {
        // A figure that is filled in behind a newer release changes nothing, unless it moves the release that said it first.
        if matches!(&numbered.change, Change::Value(change) if change.before == change.after) {
            return true;
        }
        self.open_bytes += weight::of_change(&numbered.change);
        self.open.push(Matching { revision, numbered: numbered.clone(), found: found.clone() });
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

    fn add(&mut self, matching: Matching) {
        self.note_edition(&matching.numbered.change);
        self.bytes += weight::of_change(&matching.numbered.change);
        let place = *self.places.entry(Key::of(&matching.numbered.change)).or_insert(self.folded.len());
        let Some(known) = self.folded.get_mut(place) else {
            self.folded.push(Folded { first: matching, last: None, same_economies: true });
            return;
        };
        let economies = |matching: &Matching| match &matching.numbered.change {
            Change::Entry(change) => change.entry_move.economies.clone(),
            _ => Vec::new(),
        };
        let newest = known.last.as_ref().unwrap_or(&known.first);
        known.same_economies &= economies(newest) == economies(&matching);
        if let Some(passed) = known.last.replace(matching) {
            self.bytes -= weight::of_change(&passed.numbered.change);
        }
    }

    fn note_edition(&mut self, change: &Change) {
        match change {
            Change::Edition(_, after) => {
                let ending = Ending {
                    withdrawn: after.status == EditionStatus::Withdrawn,
                    whole: after.coverage.kind != CoverageKind::Partial,
                    complete_to: after.complete_to,
                    entries: after.entry_count,
                };
                self.editions.insert((after.ranking.clone(), after.edition.clone()), ending);
            }
            // Who filters editions out still sees them go by their entries.
            Change::Entry(change) => {
                let ending = self.editions.entry((change.ranking.clone(), change.edition.clone())).or_default();
                ending.withdrawn = change.entry_move.movement == Movement::Withdrawn;
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
    pub(super) fn pages(mut self, prev_match: Revision) -> Vec<FoldPage> {
        let Some(header) = self.last.take() else { return Vec::new() };
        let mut pages: Vec<Vec<NetChange>> = Vec::new();
        let mut room = 0;
        for net in self.net() {
            let weight = weight::of_change(net.change());
            match pages.last_mut() {
                Some(page) if weight <= room => page.push(net),
                _ => {
                    pages.push(vec![net]);
                    room = FOLD_PAGE_WEIGHT;
                }
            }
            room = room.saturating_sub(weight);
        }
        let count = pages.len();
        let folded_from = self.first;
        (0..)
            .zip(pages)
            .map(|(page, changes)| {
                let last = page as usize + 1 == count;
                FoldPage { header: header.clone(), folded_from, prev_match, page, last, changes }
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
                let ending = editions.get(&(last.ranking.clone(), last.edition.clone())).copied().unwrap_or_default();
                let own = first.compared_with.as_ref() == Some(&first.edition);
                // An edition that came and went: nobody entered or left it.
                if !own && ending.withdrawn {
                    return None;
                }
                let restated = last.entry_move.movement == Movement::Withdrawn && !ending.withdrawn;
                if self.last.is_none() && !restated {
                    None
                } else {
                    let unmoved = first.entry_move.before == last.entry_move.after && self.same_economies;
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
        let found = match &self.last {
            None => self.first.found,
            Some(last) => {
                let (before, after) = (self.first.found.scope != Scope::Entered, last.found.scope != Scope::Left);
                let mut filters = self.first.found.filters;
                filters.extend(&last.found.filters);
                filters.sort_unstable();
                filters.dedup();
                Match { scope: scope(before, after)?, filters }
            }
        };
        let what = match folded {
            Some(change) => Net::Folded(Box::new(change)),
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
        (Change::Edition(before, _), Change::Edition(_, after)) => Some(Change::Edition(before.clone(), after.clone())),
        (Change::Definition(before, _), Change::Definition(_, after)) => {
            (before.as_ref() != Some(after)).then(|| Change::Definition(before.clone(), after.clone()))
        }
        // Not reached: one key, one kind.
        _ => Some(last.clone()),
    }
}

/// Of a row of an edition; with how the edition stands if it was withdrawn and published again without the row.
fn net_entry(first: &EntryChange, last: &EntryChange, ending: Option<Ending>) -> EntryChange {
    let before = first.entry_move.before.clone();
    let (mut after, mut entries_after) = (last.entry_move.after.clone(), last.entries_after);
    // Whether a table is whole is said by the move of who is not in it: entered or left is said of whole tables only.
    let was_whole = first.entry_move.movement == Movement::Entered;
    let mut is_whole = last.entry_move.movement == Movement::Left;
    if let Some(ending) = ending {
        after = Standing { worse_than: ending.complete_to, ..Standing::default() };
        (is_whole, entries_after) = (ending.whole, ending.entries);
    }
    let movement = match last.entry_move.movement {
        Movement::Withdrawn if ending.is_none() => Movement::Withdrawn,
        _ => movement(Side::of(&before, was_whole), Side::of(&after, is_whole)),
    };
    EntryChange {
        compared_with: first.compared_with.clone(),
        entries_before: first.entries_before,
        comparable: first.comparable,
        entries_after,
        entry_move: EntryMove { movement, before, after, ..last.entry_move.clone() },
        ..last.clone()
    }
}

#[cfg(test)]
mod tests;
