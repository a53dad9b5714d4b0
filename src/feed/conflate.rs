//! Several commits as one, for clients that need only the current state.
//!
//! A [`Conflation`] takes the matching changes of commits, one commit after the other. For each key (a figure, an entry
//! of an edition, an edition, a definition) it keeps the first change and the last; [`net`] makes one change of them.
//! [`walk`] reads the commits.
//!
//! Invariants: a copy that applies a conflation equals a copy that applies its commits one by one. A conflation holds
//! at most [`CONFLATED_CHANGES_MAX`] keys and about [`CONFLATED_BYTES_MAX`] bytes, most of them as references to
//! changes that all streams share; [`super::hub::CONFLATING_MAX`] bounds how many there are at one time.

mod net;
pub(super) mod walk;

use std::{collections::HashMap, sync::Arc};

use self::net::{ChangeSpan, EditionEnd, MatchingChange};
use super::{change::NumberedChange, filter::Match, page::ConflatedPage, weight};
use crate::{
    ledger::log::Header,
    model::{
        catalog::DefinitionKind,
        change::Change,
        id::{EditionId, EntityId, RankingId, Revision},
        period::Period,
        series::SeriesKey,
    },
};

/// Most keys in a conflation. A commit that changes more by itself is sent as it is.
pub const CONFLATED_CHANGES_MAX: usize = 500;
/// Most bytes of changes in a conflation, about. 500 figures with both sides take 200 KiB.
pub const CONFLATED_BYTES_MAX: usize = 512 << 10;

/// What a change is about. Changes with equal keys become one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum ChangeKey {
    Value(SeriesKey, Period),
    Entry(RankingId, EditionId, EntityId),
    Edition(RankingId, EditionId),
    /// Kind and id; every definition has them.
    Definition(Option<(DefinitionKind, String)>),
}

impl ChangeKey {
    pub(super) fn of(change: &Change) -> Self {
        match change {
            Change::Figure(change) => Self::Value(change.series.clone(), change.period),
            Change::Entry(change) => Self::Entry(change.ranking.clone(), change.edition.clone(), change.entity.clone()),
            Change::Edition { after, .. } => Self::Edition(after.ranking.clone(), after.edition.clone()),
            Change::Definition(change) => Self::Definition(change.name().map(|(kind, id)| (kind, id.to_owned()))),
        }
    }
}

/// The net of several commits.
#[derive(Debug, Default)]
pub(super) struct Conflation {
    /// By key, the place in `spans`.
    places: HashMap<ChangeKey, usize>,
    /// In the order in which the keys first changed: a definition comes before the rows that refer to it.
    spans: Vec<ChangeSpan>,
    editions: HashMap<(RankingId, EditionId), EditionEnd>,
    bytes: usize,
    /// Commits that changed something.
    commits: usize,
    /// The first of them.
    first: Revision,
    /// Header of the last of them.
    last: Option<Arc<Header>>,
    /// Changes of the commit that is being read.
    open: Vec<MatchingChange>,
    open_bytes: usize,
}

impl Conflation {
    /// Takes a change of the commit that is being read. `false`: the commit is too long to be conflated.
    pub(super) fn take(&mut self, revision: Revision, numbered: &Arc<NumberedChange>, found: &Match) -> bool {
        // A figure that is backfilled changes nothing, unless it moves the release that stated it
        // first.
        if matches!(&numbered.change, Change::Figure(change) if change.before == change.after) {
            return true;
        }
        self.open_bytes += weight::of_change(&numbered.change);
        self.open.push(MatchingChange { revision, numbered: numbered.clone(), filter_match: found.clone() });
        self.open.len() <= CONFLATED_CHANGES_MAX && self.open_bytes <= CONFLATED_BYTES_MAX
    }

    /// The commit that is being read is complete. `false`: it does not fit in with the others, which stay as they are.
    pub(super) fn close_commit(&mut self, header: &Arc<Header>) -> bool {
        let open = std::mem::take(&mut self.open);
        let bytes = std::mem::take(&mut self.open_bytes);
        if open.is_empty() {
            return true;
        }
        let mut new_keys = 0;
        for matching in &open {
            if !self.places.contains_key(&ChangeKey::of(&matching.numbered.change)) {
                new_keys += 1;
            }
        }
        if self.spans.len() + new_keys > CONFLATED_CHANGES_MAX || self.bytes + bytes > CONFLATED_BYTES_MAX {
            return false;
        }
        if self.commits == 0 {
            self.first = header.commit.revision;
        }
        self.commits += 1;
        self.last = Some(header.clone());
        for matching in open {
            self.add(matching);
        }
        true
    }

    fn add(&mut self, matching: MatchingChange) {
        self.note_edition(&matching.numbered.change);
        self.bytes += weight::of_change(&matching.numbered.change);
        let place = *self.places.entry(ChangeKey::of(&matching.numbered.change)).or_insert(self.spans.len());
        let Some(span) = self.spans.get_mut(place) else {
            self.spans.push(ChangeSpan { first: matching, last: None });
            return;
        };
        if let Some(dropped) = span.last.replace(matching) {
            self.bytes -= weight::of_change(&dropped.numbered.change);
        }
    }

    fn note_edition(&mut self, change: &Change) {
        match change {
            Change::Edition { after, .. } => {
                self.editions.insert((after.ranking.clone(), after.edition.clone()), EditionEnd::of(after));
            }
            // A subscriber that filters editions out still gets their entries.
            Change::Entry(change) => {
                let key = (change.ranking.clone(), change.edition.clone());
                self.editions.entry(key).or_insert(EditionEnd::UNKNOWN).note_entry(change);
            }
            Change::Figure(_) | Change::Definition(..) => {}
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

    /// Cuts the net changes into pages. Empty if everything ends as it began.
    pub(super) fn pages(mut self, prev_match: Revision) -> Vec<ConflatedPage> {
        let Some(header) = self.last.take() else { return Vec::new() };
        let mut pages: Vec<ConflatedPage> = Vec::new();
        let mut room = 0;
        for span in std::mem::take(&mut self.spans) {
            let Some(net) = span.net(&self.editions) else { continue };
            let weight = weight::of_change(net.change());
            match pages.last_mut() {
                Some(page) if weight <= room => page.changes.push(net),
                _ => {
                    pages.push(ConflatedPage {
                        header: header.clone(),
                        conflated_from: self.first,
                        prev_match,
                        page: pages.len() as u32,
                        last: false,
                        changes: vec![net],
                    });
                    room = weight::PAGE_BYTES;
                }
            }
            room = room.saturating_sub(weight);
        }
        if let Some(last) = pages.last_mut() {
            last.last = true;
        }
        pages
    }
}

#[cfg(test)]
mod tests;
