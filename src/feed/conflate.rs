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
    ranking::compare::movement,
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
        // What is current did not change.
        if matches!(&numbered.change, Change::Value(change) if change.movement == ValueMove::Backfilled) {
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
            let movement = match (&first.before, &last.after) {
                (before, after) if before == after => return None,
                (None, _) => ValueMove::Added,
                (Some(_), Some(_)) => ValueMove::Revised,
                (Some(_), None) => ValueMove::Withdrawn,
            };
            Some(Change::Value(ValueChange { before: first.before.clone(), movement, ..last.clone() }))
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
        _ => movement(&before, was_whole, &after, is_whole),
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
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        feed::filter::Filters,
        ledger::log::Totals,
        model::{
            change::{Cause, Commit, Counts},
            edition::{Basis, Coverage, Edition, Entry, Table, complete_to, sort_entries},
            id::{IndicatorId, SourceId},
            series::Dimensions,
            time::{Date, Instant},
            value::{Number, Value},
        },
        ranking::compare::moves,
    };

    fn header(revision: u64) -> Arc<Header> {
        let commit = Commit {
            revision: Revision(revision),
            recorded: Instant(0),
            author: String::new(),
            cause: Cause::FirstRelease,
            note: String::new(),
            released: None,
            document_sha256: String::new(),
            counts: Counts::default(),
            request_id: None,
        };
        Arc::new(Header { commit, pages: 1, changes: 0, totals: Totals::default() })
    }

    /// Folds commits from revision 1 on, as a subscriber without filters gets them.
    fn fold(commits: Vec<Vec<Change>>) -> Vec<NetChange> {
        let (filters, mut fold) = (Filters::new(Vec::new()), Fold::default());
        for (revision, changes) in (1..).zip(commits) {
            for (number, change) in (0..).zip(changes) {
                let Some(found) = filters.match_change(&change, Cause::FirstRelease) else { continue };
                let numbered = Arc::new(NumberedChange::new(number, change));
                assert!(fold.take(Revision(revision), &numbered, &found));
            }
            assert!(fold.close_commit(&header(revision)));
        }
        fold.pages(Revision::ZERO).into_iter().flat_map(|page| page.changes).collect()
    }

    fn figure(key: usize, movement: ValueMove, before: Option<u8>, after: Option<u8>) -> Change {
        let value = |value: Option<u8>| value.map(|value| Value::number(Number::parse(&value.to_string()).unwrap()));
        Change::Value(ValueChange {
            series: SeriesKey {
                indicator: IndicatorId::new("I").unwrap(),
                entity: EntityId::new("E").unwrap(),
                source: SourceId::new("S").unwrap(),
                dimensions: Dimensions::default(),
            },
            period: Period::parse(&(2000 + key).to_string()).unwrap(),
            movement,
            before: value(before),
            after: value(after),
            released: Date::EPOCH,
            backfilled: None,
        })
    }

    fn movement_of(before: Option<u8>, after: Option<u8>) -> Option<ValueMove> {
        match (before, after) {
            (before, after) if before == after => None,
            (None, _) => Some(ValueMove::Added),
            (_, None) => Some(ValueMove::Withdrawn),
            _ => Some(ValueMove::Revised),
        }
    }

    fn table(id: &str, whole: bool, ranks: &[Option<u32>]) -> Table {
        let entry = |(number, rank): (usize, &Option<u32>)| {
            rank.as_ref()?;
            Some(Entry {
                entity: EntityId::new(&format!("e{number}")).unwrap(),
                published_name: String::new(),
                economies: Vec::new(),
                rank: *rank,
                tied: ranks.iter().filter(|other| *other == rank).count() > 1,
                score: None,
                components: Vec::new(),
                previous: Vec::new(),
                disputed: Vec::new(),
                note: String::new(),
            })
        };
        let mut entries: Vec<Entry> = ranks.iter().enumerate().filter_map(entry).collect();
        sort_entries(&mut entries);
        let kind = if whole { CoverageKind::Top } else { CoverageKind::Partial };
        let edition = Edition {
            ranking: RankingId::new("r").unwrap(),
            edition: EditionId::new(id).unwrap(),
            title: String::new(),
            status: EditionStatus::Published,
            basis: Basis::AsPublished,
            about: String::new(),
            coverage: Coverage { kind, listed: 0, universe: 0 },
            methodology: "m".into(),
            released: Date::EPOCH,
            source: None,
            note: String::new(),
            entry_count: entries.len() as u32,
            complete_to: complete_to(&entries),
            revision: Revision(1),
            recorded: Instant(0),
            compared_with: None,
        };
        Table { edition, entries }
    }

    /// The commit that replaces a table by another, as a correction if it is the same edition.
    fn replaced(before: &Table, after: &Table) -> Vec<Change> {
        let correction = before.edition.edition == after.edition.edition;
        let stood = correction.then(|| Box::new(before.edition.clone()));
        let mut changes = vec![Change::Edition(stood, Box::new(after.edition.clone()))];
        for entry_move in moves(Some(before), after) {
            let same = |entry: &&Entry| entry.entity == entry_move.entity;
            let (old, new) = (before.entries.iter().find(same), after.entries.iter().find(same));
            if correction && old == new {
                continue;
            }
            changes.push(Change::Entry(Box::new(EntryChange {
                ranking: after.edition.ranking.clone(),
                edition: after.edition.edition.clone(),
                compared_with: Some(before.edition.edition.clone()),
                entry_move,
                entries_before: before.edition.entry_count,
                entries_after: after.edition.entry_count,
                comparable: true,
            })));
        }
        changes
    }

    /// The commit that withdraws a table.
    fn withdrawn(table: &Table) -> Vec<Change> {
        let mut after = table.edition.clone();
        (after.status, after.entry_count, after.complete_to) = (EditionStatus::Withdrawn, 0, 0);
        let mut changes = vec![Change::Edition(Some(Box::new(table.edition.clone())), Box::new(after.clone()))];
        for mut change in replaced(table, &Table { edition: after, entries: Vec::new() }).split_off(1) {
            if let Change::Entry(change) = &mut change {
                change.entry_move.movement = Movement::Withdrawn;
            }
            changes.push(change);
        }
        changes
    }

    fn entries(net: &[NetChange]) -> BTreeMap<&str, &EntryChange> {
        let mut found = BTreeMap::new();
        for net in net {
            if let Change::Entry(change) = net.change() {
                found.insert(change.entry_move.entity.as_str(), &**change);
            }
        }
        found
    }

    proptest! {
        #[test]
        fn a_fold_of_figures_is_what_changed_in_the_end(
            commits in proptest::collection::vec(proptest::collection::btree_map(0..6_usize, proptest::option::of(0..3_u8), 0..6), 1..12),
            began in proptest::collection::vec(proptest::option::of(0..3_u8), 6),
        ) {
            let mut now = began.clone();
            let mut told = Vec::new();
            for commit in commits {
                let mut changes = Vec::new();
                for (key, after) in commit {
                    let before = std::mem::replace(&mut now[key], after);
                    let movement = movement_of(before, after).unwrap_or(ValueMove::Backfilled);
                    changes.push(figure(key, movement, before, after));
                }
                told.push(changes);
            }
            let net = fold(told);
            let found: Vec<Change> = net.iter().map(|net| net.change().clone()).collect();
            let mut expected: Vec<Change> = (0..6)
                .filter_map(|key| Some(figure(key, movement_of(began[key], now[key])?, began[key], now[key])))
                .collect();
            prop_assert_eq!(found.len(), expected.len());
            expected.retain(|change| !found.contains(change));
            prop_assert_eq!(expected, Vec::new());
            for net in &net {
                let Change::Value(change) = net.change() else { unreachable!() };
                prop_assert_eq!(Some(net.found.scope), scope(change.before.is_some(), change.after.is_some()));
            }
        }

        /// Whole tables, corrected again and again: every row moved as between the first and the last of them.
        #[test]
        fn a_fold_of_entries_moves_as_between_the_first_table_and_the_last(
            tables in proptest::collection::vec(proptest::collection::vec(proptest::option::of(1..5_u32), 5), 2..6),
            published in any::<bool>(),
        ) {
            let id = |at: usize| if published && at == 0 { "2024" } else { "2025" };
            let tables: Vec<Table> =
                tables.iter().enumerate().map(|(at, ranks)| table(id(at), true, ranks)).collect();
            let net = fold(tables.windows(2).map(|pair| replaced(&pair[0], &pair[1])).collect());
            let found = entries(&net);
            let (first, last) = (&tables[0], &tables[tables.len() - 1]);
            let direct = replaced(first, last);
            let direct = direct.iter().filter_map(|change| if let Change::Entry(change) = change { Some(change) } else { None });
            let direct: BTreeMap<&str, &EntryChange> = direct.map(|change| (change.entry_move.entity.as_str(), &**change)).collect();
            for (entity, expected) in &direct {
                let change = found.get(entity);
                prop_assert!(change.is_some(), "{} is left out", entity);
                let (moved, expected_move) = (&change.unwrap().entry_move, &expected.entry_move);
                prop_assert_eq!(moved.movement, expected_move.movement, "{}", entity);
                prop_assert_eq!((moved.before.rank, moved.after.rank), (expected_move.before.rank, expected_move.after.rank));
                prop_assert_eq!(moved.places(), expected_move.places());
                // Who was in no table before the edition stood is compared with the edition itself.
                if expected_move.before.listed {
                    prop_assert_eq!(&change.unwrap().compared_with, &expected.compared_with);
                }
            }
            for (entity, change) in found {
                // A row that says the same may be told, where only one of several commits touched it.
                let told = direct.contains_key(entity) || change.entry_move.before == change.entry_move.after;
                prop_assert!(told, "{} did not change", entity);
            }
        }
    }

    #[test]
    fn a_partial_table_never_says_entered_or_left() {
        let tables = [
            table("2025", false, &[Some(1), Some(2), None]),
            table("2025", false, &[Some(2), None, Some(1)]),
            table("2025", false, &[None, Some(1), Some(40)]),
        ];
        let net = fold(tables.windows(2).map(|pair| replaced(&pair[0], &pair[1])).collect());
        let moves: Vec<(&str, Movement)> =
            entries(&net).into_iter().map(|(entity, change)| (entity, change.entry_move.movement)).collect();
        // e0 was first, and first is another now; e2 was not listed while ranks 1 and 2 were known, and is 40th.
        assert_eq!(moves, [("e0", Movement::Down), ("e1", Movement::Up), ("e2", Movement::Unknown)]);
    }

    #[test]
    fn an_edition_that_came_and_went_leaves_no_trace() {
        let (old, new) = (table("2024", true, &[Some(1), Some(2)]), table("2025", true, &[Some(1), None, Some(2)]));
        assert!(fold(vec![replaced(&old, &new), withdrawn(&new)]).is_empty());
    }

    #[test]
    fn a_row_that_an_edition_published_again_does_not_have_left_it() {
        let (old, stood) = (table("2024", true, &[None, None, Some(1)]), table("2025", true, &[Some(1), Some(2)]));
        let again = table("2025", true, &[None, Some(1)]);
        let net = fold(vec![withdrawn(&stood), replaced(&old, &again)]);
        let moves: Vec<_> =
            entries(&net).into_iter().map(|(entity, change)| (entity, change.entry_move.movement)).collect();
        assert_eq!(moves, [("e0", Movement::Left), ("e1", Movement::Up), ("e2", Movement::Left)]);
        // And without the second commit they were withdrawn.
        let net = fold(vec![withdrawn(&stood)]);
        assert!(entries(&net).values().all(|change| change.entry_move.movement == Movement::Withdrawn));
    }

    #[test]
    fn a_fold_is_bounded_and_leaves_what_does_not_fit_to_the_next() {
        let (filters, mut fold) = (Filters::new(Vec::new()), Fold::default());
        let commit = |fold: &mut Fold, revision: u64, keys: std::ops::Range<usize>| {
            keys.fold(true, |_, key| {
                let change = figure(key, ValueMove::Added, None, Some(1));
                let found = filters.match_change(&change, Cause::FirstRelease).unwrap();
                fold.take(Revision(revision), &Arc::new(NumberedChange::new(key as u64, change)), &found)
            }) && fold.close_commit(&header(revision))
        };
        assert!(commit(&mut fold, 1, 0..300));
        assert!(commit(&mut fold, 2, 100..CONFLATED_CHANGES_MAX));
        assert!(commit(&mut fold, 3, 0..1));
        assert!(!commit(&mut fold, 4, CONFLATED_CHANGES_MAX..CONFLATED_CHANGES_MAX + 1));
        assert_eq!((fold.commits(), fold.first()), (3, Revision(1)));
        let pages = fold.pages(Revision::ZERO);
        assert_eq!(pages.iter().map(|page| page.changes.len()).sum::<usize>(), CONFLATED_CHANGES_MAX);
        assert!(pages.len() > 1 && pages.iter().rev().skip(1).all(|page| !page.last) && pages[pages.len() - 1].last);
        assert!(!commit(&mut Fold::default(), 1, 0..CONFLATED_CHANGES_MAX + 1), "too long alone");
    }
}
