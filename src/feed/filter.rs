//! Which changes a subscriber wants.
//!
//! In reading order: [`Filter`] and [`Filters`] are what a subscription asks for; [`facts`] is what they look at in a
//! change; [`disclosure`] hides what a licence forbids to hand on; [`digest`] makes the hash that tokens carry.
//!
//! Invariant: a filter judges the rows of a change's own key: the row in the state of the previous revision and the row
//! in the state of this one, each with its own facts. So a copy that adds what enters, replaces what changes and
//! removes what leaves is the state that the filter accepts. Whatever else a change is about has the scope
//! [`ChangeScope::Outside`]; copies ignore it.

mod digest;
mod disclosure;
mod facts;

use std::collections::BTreeSet;

pub(super) use self::facts::{Facts, Sides};
use crate::{
    model::{
        change::{Cause, Change, Movement},
        series::Dimensions,
    },
    query::state::StateRow,
};

/// Most filters of a subscription.
pub const FILTERS_MAX: usize = 32;
/// Most ids in one field of a filter.
pub const FILTER_IDS_MAX: usize = 1_000;

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Value,
    Entry,
    Edition,
    Definition,
}

/// Whether the row of a change is in the part of the state that a filter accepts, before and after the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeScope {
    /// Not before, but after.
    Entered,
    /// Before and after.
    Changed,
    /// Before, but not after.
    Left,
    /// Neither before nor after. The entry in the edition compared with matches, or the change fills in a figure behind
    /// "no figure".
    Outside,
}

/// One filter. A change passes if every field that is set accepts it; an empty field accepts everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Changes are labelled with it; unique within a subscription that has several filters.
    pub name: String,
    pub kinds: BTreeSet<Kind>,
    pub rankings: BTreeSet<String>,
    /// An id that ends in `*` accepts every id with that prefix.
    pub indicators: BTreeSet<String>,
    /// Accepts entries of these entities, and of clusters that lie in one of these economies.
    pub entities: BTreeSet<String>,
    pub sources: BTreeSet<String>,
    pub causes: BTreeSet<Cause>,
    /// Accepts entries with this rank or a better one; 0 accepts every rank.
    pub rank_at_most: u32,
    /// Accepts entries that moved by at least so many places; 0 accepts every change.
    pub min_places: u32,
    /// (dimension id, code): codes of one id are alternatives.
    pub dimensions: Vec<(String, String)>,
}

/// The filters of a subscription. A change passes if one of them accepts it; an empty list accepts everything.
#[derive(Debug, Clone)]
pub struct Filters {
    filters: Vec<Filter>,
    /// Ids of sources whose figures, editions and entries are left out.
    left_out: BTreeSet<String>,
    hash: u64,
    digest: [u8; 32],
}

/// How a change relates to the filters of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Relative to the union of the filters.
    pub scope: ChangeScope,
    /// Whether something matches that is not a row of the change's key.
    pub beside: bool,
    /// Numbers of the filters that match: before, after, or beside the row.
    pub filters: Vec<usize>,
}

impl Filters {
    /// Filters that leave no source out.
    pub fn new(filters: Vec<Filter>) -> Self {
        Self::without(filters, BTreeSet::new())
    }

    /// Filters that leave out everything from the sources with these ids, because their licences forbid to hand it on.
    pub fn without(filters: Vec<Filter>, left_out: BTreeSet<String>) -> Self {
        let digest::FilterDigest { hash, digest } = digest::of(&filters, &left_out);
        Self { filters, left_out, hash, digest }
    }

    /// Ids of the sources that are left out.
    pub fn left_out(&self) -> &BTreeSet<String> {
        &self.left_out
    }

    /// Equal for filters that leave the same sources out. Page tokens of commit lists carry it.
    pub fn left_out_hash(&self) -> u64 {
        digest::of_left_out(&self.left_out)
    }

    pub(super) fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// Equal only for equal filters that leave the same sources out.
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Equal for filters that ask for the same, whatever is left out. Resume tokens carry it.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The name of the filter with this number; empty if there is none.
    pub fn name(&self, at: usize) -> &str {
        self.filters.get(at).map_or("", |filter| &filter.name)
    }

    /// Whether the subscriber gets commits without changes: only filters that look at nothing but the cause accept
    /// those.
    pub fn wants_empty(&self, cause: Cause) -> bool {
        self.filters.is_empty()
            || self.filters.iter().any(|filter| !filter.looks_at_changes() && filter.accepts_cause(cause))
    }

    /// How a change relates to the filters. `None`: none of them accepts anything of it.
    pub fn match_change(&self, change: &Change, cause: Cause) -> Option<Match> {
        let sides = self.visible(Sides::of(change));
        if self.filters.is_empty() {
            return sides.present().into_match(Vec::new());
        }
        let mut union = Matching::default();
        let mut numbers = Vec::new();
        for (at, filter) in self.filters.iter().enumerate() {
            if !filter.accepts_cause(cause) || !filter.accepts_move(change) {
                continue;
            }
            let matching = sides.accepted_by(filter);
            if matching.any() {
                numbers.push(at);
            }
            union.add(matching);
        }
        union.into_match(numbers)
    }

    /// Numbers of the filters that accept a row of the state. `None`: none of them does.
    pub fn match_state(&self, row: &StateRow) -> Option<Vec<usize>> {
        let facts = Facts::of_state_row(row);
        if self.leaves_out(&facts) {
            return None;
        }
        if self.filters.is_empty() {
            return Some(Vec::new());
        }
        let cause = match row {
            StateRow::Figure(figure) => Some(figure.commit.cause),
            StateRow::Definition(_) | StateRow::Edition(_) | StateRow::Entry(..) => None,
        };
        // Only entries move. A filter by moves never gets another change of any other row, so it must not get the row
        // either.
        let can_move = matches!(row, StateRow::Entry(..));
        let mut numbers = Vec::new();
        for (at, filter) in self.filters.iter().enumerate() {
            if cause.is_none_or(|cause| filter.accepts_cause(cause))
                && (filter.min_places == 0 || can_move)
                && filter.accepts(&facts)
            {
                numbers.push(at);
            }
        }
        (!numbers.is_empty()).then_some(numbers)
    }
}

/// Which sides of a change match.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Matching {
    pub(super) before: bool,
    pub(super) after: bool,
    pub(super) beside: bool,
}

impl Matching {
    fn any(self) -> bool {
        self.before || self.after || self.beside
    }

    pub(super) fn add(&mut self, other: Self) {
        self.before |= other.before;
        self.after |= other.after;
        self.beside |= other.beside;
    }

    /// `None`: no side matches.
    pub(super) fn scope(self) -> Option<ChangeScope> {
        match (self.before, self.after) {
            (true, true) => Some(ChangeScope::Changed),
            (false, true) => Some(ChangeScope::Entered),
            (true, false) => Some(ChangeScope::Left),
            (false, false) => self.beside.then_some(ChangeScope::Outside),
        }
    }

    /// `None`: no side matches.
    pub(super) fn into_match(self, filters: Vec<usize>) -> Option<Match> {
        Some(Match { scope: self.scope()?, beside: self.beside, filters })
    }
}

impl Filter {
    /// Whether a field other than the name and the causes is set.
    fn looks_at_changes(&self) -> bool {
        !(self.kinds.is_empty()
            && self.rankings.is_empty()
            && self.indicators.is_empty()
            && self.entities.is_empty()
            && self.sources.is_empty()
            && self.dimensions.is_empty()
            && self.rank_at_most == 0
            && self.min_places == 0)
    }

    pub(super) fn accepts_cause(&self, cause: Cause) -> bool {
        self.causes.is_empty() || self.causes.contains(&cause)
    }

    /// The smallest move belongs to the change, not to a side of it. Entering and leaving count as moves of any size.
    pub(super) fn accepts_move(&self, change: &Change) -> bool {
        if self.min_places == 0 {
            return true;
        }
        let Change::Entry(change) = change else { return false };
        match change.movement {
            Movement::Entered | Movement::Left | Movement::Withdrawn => true,
            _ => change.places().is_some_and(|places| places.unsigned_abs() >= self.min_places),
        }
    }

    /// Whether every field but the causes and the smallest move accepts these facts.
    fn accepts(&self, facts: &Facts<'_>) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&facts.kind))
            && accepts_any(&self.rankings, facts.ranking.as_slice())
            && accepts_any(&self.entities, &facts.entities)
            && accepts_any(&self.sources, facts.source.as_slice())
            && self.accepts_indicator(facts.indicator)
            && self.accepts_rank(facts.rank)
            && self.accepts_dimensions(facts.dimensions)
    }

    pub(super) fn accepts_dimensions(&self, dimensions: Option<&Dimensions>) -> bool {
        self.dimensions.is_empty() || dimensions.is_some_and(|dimensions| dimensions.has(&self.dimensions))
    }

    pub(super) fn accepts_rank(&self, rank: Option<u32>) -> bool {
        self.rank_at_most == 0 || rank.is_some_and(|rank| rank <= self.rank_at_most)
    }

    fn accepts_indicator(&self, indicator: Option<&str>) -> bool {
        self.indicators.is_empty()
            || indicator.is_some_and(|id| self.indicators.iter().any(|pattern| matches_pattern(pattern, id)))
    }
}

/// Whether a field with these ids accepts one of the ids of a fact.
fn accepts_any(field: &BTreeSet<String>, ids: &[&str]) -> bool {
    field.is_empty() || ids.iter().any(|id| field.contains(*id))
}

/// Whether an id is the pattern, or begins with what the pattern has before a `*` at its end.
fn matches_pattern(pattern: &str, id: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => id.starts_with(prefix),
        None => pattern == id,
    }
}

#[cfg(test)]
mod tests;
