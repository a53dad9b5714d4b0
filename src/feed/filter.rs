//! Which changes a subscriber wants.
//!
//! Invariant: a change is judged on the rows of its own key, as the state held them at the previous revision and holds them
//! at this one, each with its own facts. So a copy that adds what enters, replaces what changes and removes what leaves is
//! the state that the filter accepts. What else a change is about is told as [`ChangeScope::Outside`], and copies ignore it.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::{
    model::{
        catalog::Definition,
        change::{Cause, Change, EntryChange, Movement},
        edition::{Edition, EditionStatus, Entry},
        id::{EntityId, RankingId, SourceId},
        series::{Dimensions, SeriesKey},
    },
    query::state::StateRow,
};

/// Most filters of a subscription.
pub const FILTERS_MAX: usize = 32;
/// Most ids in one field of a filter.
pub const FILTER_IDS_MAX: usize = 1_000;

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Value,
    Entry,
    Edition,
    Definition,
}

/// How the row that a change is about stands to what a filter accepts of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeScope {
    /// Not in it before; now it is.
    Entered,
    /// In it before and now.
    Changed,
    /// In it before; now it is not.
    Left,
    /// In it neither before nor now: the entry in the edition compared with matches, or a figure was filled in behind
    /// "no figure".
    Outside,
}

/// One filter: all fields that are set must accept; an empty field accepts all.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Filter {
    pub name: String,
    pub kinds: BTreeSet<Kind>,
    pub rankings: BTreeSet<String>,
    /// Ids; one that ends in `*` accepts all that begin so.
    pub indicators: BTreeSet<String>,
    pub entities: BTreeSet<String>,
    pub sources: BTreeSet<String>,
    pub causes: BTreeSet<Cause>,
    pub rank_at_most: u32,
    pub min_places: u32,
    /// (id, code): codes of one id are alternatives.
    pub dimensions: Vec<(String, String)>,
}

impl Kind {
    /// Its number in the contract, which never changes: tokens carry a hash of it.
    fn number(self) -> u32 {
        match self {
            Self::Value => 1,
            Self::Entry => 2,
            Self::Edition => 3,
            Self::Definition => 4,
        }
    }
}

/// Its number in the contract, which never changes: tokens carry a hash of it.
fn cause_number(cause: Cause) -> u32 {
    match cause {
        Cause::FirstRelease => 1,
        Cause::ScheduledRevision => 2,
        Cause::Correction => 3,
        Cause::MethodChange => 4,
        Cause::Withdrawal => 5,
        Cause::ReloadUnchanged => 6,
        Cause::Definition => 7,
    }
}

/// Numbers as texts, in order.
fn numbers(given: impl Iterator<Item = u32>) -> Vec<String> {
    given.collect::<BTreeSet<u32>>().iter().map(ToString::to_string).collect()
}

impl Filter {
    /// What it asks for, as bytes: the number of each field that is set, and its values in order. A field that is not set is left
    /// out, so that a later version with more fields makes the same of the same filter.
    fn put(&self, digest: &mut Sha256) {
        let mut field = |number: u8, values: Vec<String>| {
            if values.is_empty() {
                return;
            }
            digest.update([number]);
            digest.update((values.len() as u64).to_le_bytes());
            for value in values {
                digest.update((value.len() as u64).to_le_bytes());
                digest.update(value.as_bytes());
            }
        };
        let ids = |ids: &BTreeSet<String>| ids.iter().cloned().collect::<Vec<_>>();
        let dimensions: BTreeSet<String> = self.dimensions.iter().map(|(id, code)| format!("{id}={code}")).collect();
        let number = |number: u32| if number == 0 { Vec::new() } else { vec![number.to_string()] };
        field(1, if self.name.is_empty() { Vec::new() } else { vec![self.name.clone()] });
        field(2, numbers(self.kinds.iter().map(|kind| kind.number())));
        field(3, ids(&self.rankings));
        field(4, ids(&self.indicators));
        field(5, ids(&self.entities));
        field(6, ids(&self.sources));
        field(7, numbers(self.causes.iter().map(|cause| cause_number(*cause))));
        field(8, number(self.rank_at_most));
        field(9, number(self.min_places));
        field(10, ids(&dimensions));
        digest.update([0]);
    }
}

/// The filters of a subscription; none accept everything.
#[derive(Debug, Clone)]
pub struct Filters {
    filters: Vec<Filter>,
    /// Sources whose figures, editions and entries are left out.
    left_out: BTreeSet<String>,
    /// Of what is asked for; part of tokens.
    hash: u64,
    /// Of all of it.
    digest: [u8; 32],
}

/// How a change stands to all filters of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// To their union.
    pub scope: ChangeScope,
    /// Whether what the change is about besides the rows of its key matches.
    pub beside: bool,
    /// Which of them it matches: before, after, or beside that.
    pub filters: Vec<usize>,
}

impl Filters {
    /// The filters of a subscription.
    pub fn new(filters: Vec<Filter>) -> Self {
        Self::without(filters, BTreeSet::new())
    }

    /// The same, but for what comes from some sources: the licence of those forbids that it is handed on.
    pub fn without(filters: Vec<Filter>, left_out: BTreeSet<String>) -> Self {
        let mut digest = Sha256::new();
        filters.iter().for_each(|filter| filter.put(&mut digest));
        let hash = digest.clone().finalize().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        for source in &left_out {
            digest.update((source.len() as u64).to_le_bytes());
            digest.update(source.as_bytes());
        }
        Self { filters, left_out, hash, digest: digest.finalize().into() }
    }

    /// The sources left out.
    pub fn left_out(&self) -> &BTreeSet<String> {
        &self.left_out
    }

    /// Equal where the same sources are left out.
    pub fn left_out_hash(&self) -> u64 {
        let mut digest = Sha256::new();
        for source in &self.left_out {
            digest.update(source.as_bytes());
            digest.update([0]);
        }
        digest.finalize().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Whether something about a change is left out for its source. A source's own definition never is.
    fn leaves_out(&self, facts: &Facts<'_>) -> bool {
        facts.kind != Kind::Definition && facts.source.is_some_and(|source| self.left_out.contains(source))
    }

    /// What about a change is not left out.
    pub(super) fn shown<'a>(&self, sides: Sides<'a>) -> Sides<'a> {
        if self.left_out.is_empty() {
            return sides;
        }
        let shown = |facts: Option<Facts<'a>>| facts.filter(|facts| !self.leaves_out(facts));
        Sides { before: shown(sides.before), after: shown(sides.after), beside: shown(sides.beside) }
    }

    /// The change without what is left out of it, if anything is: an edition of a source that may be handed on is compared with
    /// one of a source that may not, or the source of an edition changed.
    pub fn disclosed(&self, change: &Change) -> Option<Change> {
        let hides = |source: Option<&SourceId>| source.is_some_and(|source| self.left_out.contains(source.as_str()));
        match change {
            Change::Entry(change) => {
                let hides_earlier = hides(change.earlier_source.as_ref()) && change.earlier().is_some();
                let hides_after = hides(change.source.as_ref()) && change.after.is_some();
                (hides_earlier || hides_after).then(|| {
                    let mut shown = change.as_ref().clone();
                    if hides_earlier {
                        (shown.before, shown.compared, shown.earlier_absence) = (None, None, None);
                    }
                    if hides_after {
                        (shown.after, shown.later_absence) = (None, None);
                    }
                    // How it moved would tell what is hidden.
                    shown.movement = Movement::Unknown;
                    Change::Entry(Box::new(shown))
                })
            }
            Change::Edition { before, after, backfilled } => {
                let hidden = |edition: &Edition| hides(edition.source.as_ref());
                let hides_before = before.as_deref().is_some_and(hidden);
                let hides_older = backfilled.as_deref().is_some_and(hidden);
                (hides_before || hides_older || hidden(after)).then(|| Change::Edition {
                    before: before.clone().filter(|edition| !hidden(edition)),
                    after: if hidden(after) { Box::new(after.name_only()) } else { after.clone() },
                    backfilled: backfilled.clone().filter(|edition| !hidden(edition)),
                })
            }
            // A figure has one source on all sides; definitions are never left out.
            Change::Figure(_) | Change::Definition(_) => None,
        }
    }

    /// One by one.
    pub(super) fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// Equal for equal filters that leave out the same, and for no others.
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Equal for filters that ask for the same; part of tokens.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The name of a filter.
    pub fn name(&self, at: usize) -> &str {
        self.filters.get(at).map_or("", |filter| &filter.name)
    }

    /// Whether commits without changes are wanted: only by who does not narrow what changes are about.
    pub fn wants_empty(&self, cause: Cause) -> bool {
        let narrow = |filter: &Filter| {
            !(filter.kinds.is_empty()
                && filter.rankings.is_empty()
                && filter.indicators.is_empty()
                && filter.entities.is_empty()
                && filter.sources.is_empty()
                && filter.dimensions.is_empty()
                && filter.rank_at_most == 0
                && filter.min_places == 0)
        };
        let wants = |filter: &Filter| !narrow(filter) && (filter.causes.is_empty() || filter.causes.contains(&cause));
        self.filters.is_empty() || self.filters.iter().any(wants)
    }

    /// How a change stands to the filters. `None`: it does not concern them.
    pub fn match_change(&self, change: &Change, cause: Cause) -> Option<Match> {
        let sides = self.shown(Sides::of(change));
        if self.filters.is_empty() {
            return sides.there().into_match(Vec::new());
        }
        let mut union = Matching::default();
        let mut matched = Vec::new();
        for (at, filter) in self.filters.iter().enumerate() {
            if !filter.accepts_cause(cause) || !filter.accepts_move(change) {
                continue;
            }
            let matching = sides.accepted_by(filter);
            if matching.any() {
                matched.push(at);
            }
            union.add(matching);
        }
        union.into_match(matched)
    }

    /// Which filters accept a row of the state. `None`: no one.
    pub fn match_state(&self, row: &StateRow) -> Option<Vec<usize>> {
        let (facts, cause) = match row {
            StateRow::Definition(definition) => (Facts::of_definition(definition), None),
            StateRow::Edition(edition) => (Facts::of_edition(edition), None),
            StateRow::Entry(edition, entry) => (Facts::of_entry(edition, entry), None),
            StateRow::Figure(figure) => (Facts::of_series(&figure.series), Some(figure.commit.cause)),
        };
        if self.leaves_out(&facts) {
            return None;
        }
        if self.filters.is_empty() {
            return Some(Vec::new());
        }
        // Only entries move: a filter by moves never hears of anything else again, so it must not be given it either.
        let moves = matches!(row, StateRow::Entry(..));
        let accepts = |filter: &&Filter| {
            cause.is_none_or(|cause| filter.accepts_cause(cause))
                && (filter.min_places == 0 || moves)
                && filter.accepts(&facts)
        };
        let matched: Vec<usize> =
            self.filters.iter().enumerate().filter(|(_, filter)| accepts(filter)).map(|(at, _)| at).collect();
        (!matched.is_empty()).then_some(matched)
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
    pub(super) fn accepts_cause(&self, cause: Cause) -> bool {
        self.causes.is_empty() || self.causes.contains(&cause)
    }

    /// The smallest move is a property of the change, not of a side of it. Entering and leaving are moves of any size.
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

    fn accepts(&self, facts: &Facts<'_>) -> bool {
        let field =
            |wanted: &BTreeSet<String>, ids: &[&str]| wanted.is_empty() || ids.iter().any(|id| wanted.contains(*id));
        (self.kinds.is_empty() || self.kinds.contains(&facts.kind))
            && field(&self.rankings, facts.ranking.as_slice())
            && field(&self.entities, &facts.entities)
            && field(&self.sources, facts.source.as_slice())
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
        let accepts = |wanted: &String, id: &str| match wanted.strip_suffix('*') {
            Some(prefix) => id.starts_with(prefix),
            None => wanted == id,
        };
        self.indicators.is_empty()
            || indicator.is_some_and(|id| self.indicators.iter().any(|wanted| accepts(wanted, id)))
    }
}

/// What a change is about; `None`: there is nothing on that side.
#[derive(Clone)]
pub(super) struct Sides<'a> {
    /// The row of its key in the state of the previous revision.
    pub(super) before: Option<Facts<'a>>,
    /// The row of its key in the state of its revision.
    pub(super) after: Option<Facts<'a>>,
    /// What is no row of its key: the entry in the edition compared with, or a figure filled in behind "no figure".
    pub(super) beside: Option<Facts<'a>>,
}

/// What filters look at.
#[derive(Clone)]
pub(super) struct Facts<'a> {
    pub(super) kind: Kind,
    pub(super) ranking: Option<&'a str>,
    pub(super) indicator: Option<&'a str>,
    pub(super) entities: Vec<&'a str>,
    pub(super) source: Option<&'a str>,
    pub(super) rank: Option<u32>,
    pub(super) dimensions: Option<&'a Dimensions>,
}

impl<'a> Sides<'a> {
    pub(super) fn of(change: &'a Change) -> Self {
        match change {
            Change::Figure(change) => {
                let facts = |there: bool| there.then(|| Facts::of_series(&change.series));
                let current = change.before.is_some() || change.after.is_some();
                Self {
                    before: facts(change.before.is_some()),
                    after: facts(change.after.is_some()),
                    beside: facts(!current),
                }
            }
            Change::Entry(change) => Self {
                before: Facts::of_row(change, change.before.as_deref(), change.earlier_source.as_ref()),
                after: Facts::of_row(change, change.after.as_deref(), change.source.as_ref()),
                beside: Facts::of_row(change, change.compared.as_deref(), change.earlier_source.as_ref()),
            },
            Change::Edition { before, after, .. } => {
                let stands = |edition: &&Edition| edition.status != EditionStatus::Withdrawn;
                Self {
                    before: before.as_deref().filter(stands).map(Facts::of_edition),
                    after: Some(after.as_ref()).filter(stands).map(Facts::of_edition),
                    beside: None,
                }
            }
            Change::Definition(change) => Self {
                before: change.before.as_deref().map(Facts::of_definition),
                after: change.after.as_deref().map(Facts::of_definition),
                beside: None,
            },
        }
    }

    /// Which sides there are.
    pub(super) fn there(&self) -> Matching {
        Matching { before: self.before.is_some(), after: self.after.is_some(), beside: self.beside.is_some() }
    }

    fn accepted_by(&self, filter: &Filter) -> Matching {
        let accepts = |facts: &Option<Facts<'_>>| facts.as_ref().is_some_and(|facts| filter.accepts(facts));
        Matching { before: accepts(&self.before), after: accepts(&self.after), beside: accepts(&self.beside) }
    }
}

impl<'a> Facts<'a> {
    fn new(kind: Kind) -> Self {
        Self { kind, ranking: None, indicator: None, entities: Vec::new(), source: None, rank: None, dimensions: None }
    }

    fn of_series(key: &'a SeriesKey) -> Self {
        Self {
            indicator: Some(key.indicator.as_str()),
            entities: vec![key.entity.as_str()],
            source: Some(key.source.as_str()),
            dimensions: Some(&key.dimensions),
            ..Self::new(Kind::Value)
        }
    }

    fn of_edition(edition: &'a Edition) -> Self {
        Self {
            ranking: Some(edition.ranking.as_str()),
            source: edition.source.as_ref().map(SourceId::as_str),
            ..Self::new(Kind::Edition)
        }
    }

    fn of_entry(edition: &'a Edition, entry: &'a Entry) -> Self {
        Self::of_entry_in(&edition.ranking, edition.source.as_ref(), entry)
    }

    fn of_row(change: &'a EntryChange, row: Option<&'a Entry>, source: Option<&'a SourceId>) -> Option<Self> {
        Some(Self::of_entry_in(&change.ranking, source, row?))
    }

    fn of_entry_in(ranking: &'a RankingId, source: Option<&'a SourceId>, entry: &'a Entry) -> Self {
        let mut entities: Vec<&str> = entry.economies.iter().map(EntityId::as_str).collect();
        entities.push(entry.entity.as_str());
        Self {
            ranking: Some(ranking.as_str()),
            entities,
            source: source.map(SourceId::as_str),
            rank: entry.rank,
            ..Self::new(Kind::Entry)
        }
    }

    fn of_definition(definition: &'a Definition) -> Self {
        let facts = Self::new(Kind::Definition);
        match definition {
            Definition::Indicator(indicator) => Self { indicator: Some(indicator.id.as_str()), ..facts },
            Definition::Entity(entity) => Self { entities: vec![entity.id.as_str()], ..facts },
            Definition::Source(source) => Self { source: Some(source.id.as_str()), ..facts },
            Definition::Methodology(_) => facts,
            Definition::Ranking(ranking) => Self { ranking: Some(ranking.id.as_str()), ..facts },
        }
    }
}

#[cfg(test)]
mod tests;
