//! Every commit of a store, and what a subscriber should see of each.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use almanac::proto::{change::Detail, state_row::Item, *};

use super::{
    filter::{Facts, Sides, accepts, wants_empty},
    state::as_queried,
};
use crate::support::{
    Clients, WholeCommit,
    fixture::{ECONOMIES, INDICATORS, SOURCES},
    replica::{self, Replica, read_state},
};

/// Every commit of a store, as listed without a filter. A commit that changed only figures whose licence forbids
/// redistribution is not listed.
#[derive(Debug, Default)]
pub(crate) struct CommitLog {
    pub(crate) commits: Vec<WholeCommit>,
    head: u64,
    /// The sources of each edition, each with the first revision that says so.
    sources: HashMap<(String, String), Vec<(u64, String)>>,
    /// States that were read before, by revision.
    states: Mutex<HashMap<u64, Arc<Replica>>>,
}

impl CommitLog {
    /// Takes commits up to a head that the caller has read.
    pub(crate) fn of(commits: Vec<WholeCommit>, head: u64) -> Self {
        let mut log = Self { head, ..Self::default() };
        commits.iter().for_each(|commit| log.note_sources(commit));
        log.commits = commits;
        log
    }

    /// Reads all commits, and checks that they are consistent.
    pub(crate) async fn read(clients: &Clients) -> Self {
        let mut log = Self::default();
        log.read_on(clients).await;
        log
    }

    /// The head when the log was read.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// A commit by its revision.
    pub(crate) fn commit(&self, revision: u64) -> Option<&WholeCommit> {
        let at = self.commits.binary_search_by_key(&revision, |commit| commit.commit.revision).ok()?;
        Some(&self.commits[at])
    }

    /// Reads the commits since the last call. Older ones stay, even if the ledger has dropped them.
    pub(crate) async fn read_on(&mut self, clients: &Clients) {
        let known = self.head;
        let mut commits = clients.commits(known, Vec::new()).await;
        let head = clients.head().await;
        let mut last = known;
        // The list begins here: its first commit names none before it.
        let mut before = 0;
        let mut hidden: BTreeMap<u64, u64> = (known + 1..=head).map(|revision| (revision, 1)).collect();
        for commit in &mut commits {
            let revision = commit.commit.revision;
            assert!(revision > last && revision <= head, "{revision} after {last}");
            assert_eq!(commit.previous, before);
            before = revision;
            last = revision;
            hidden.insert(revision, check_counts(commit));
        }
        hidden.retain(|_, count| *count > 0);
        if !hidden.is_empty() {
            let closed = closed_rows(clients).await;
            for (revision, count) in hidden {
                let found = closed.get(&revision).copied().unwrap_or(0);
                assert!(found >= count, "{count} changes of {revision} are not listed, {found} may not be");
            }
        }
        let mut previous = self.commits.last().map_or(0, |last| last.commit.revision);
        for commit in &mut commits {
            commit.previous = previous;
            previous = commit.commit.revision;
            self.note_sources(commit);
        }
        self.commits.append(&mut commits);
        self.head = head;
    }

    fn note_sources(&mut self, commit: &WholeCommit) {
        for change in &commit.changes {
            let Some(Detail::Edition(change)) = &change.detail else { continue };
            let after = change.after.as_ref().unwrap();
            let of = self.sources.entry((after.ranking.clone(), after.id.clone())).or_default();
            of.push((commit.commit.revision, after.source.clone()));
        }
    }

    fn source_of(&self, ranking: &str, edition: &str, revision: u64) -> Option<String> {
        let of = self.sources.get(&(ranking.to_owned(), edition.to_owned()))?;
        of.iter().rev().find(|(since, _)| *since <= revision).map(|(_, source)| source.clone())
    }

    /// The commits after one revision up to another as a subscriber should see them.
    pub(crate) fn expected(&self, filters: &[Filter], after: u64, until: u64) -> Vec<WholeCommit> {
        let mut previous = 0;
        let mut expected = Vec::new();
        for whole in &self.commits {
            let revision = whole.commit.revision;
            if revision <= after || revision > until {
                continue;
            }
            let mut changes = Vec::new();
            for change in &whole.changes {
                changes.extend(self.expected_change(filters, change, &whole.commit));
            }
            if changes.is_empty() && !(whole.changes.is_empty() && wants_empty(filters, &whole.commit)) {
                continue;
            }
            expected.push(WholeCommit { commit: whole.commit.clone(), previous, changes });
            previous = revision;
        }
        expected
    }

    /// The change as a subscriber with these filters should see it; `None`: not at all.
    pub(super) fn expected_change(&self, filters: &[Filter], change: &Change, commit: &Commit) -> Option<Change> {
        let what = change.detail.as_ref().unwrap();
        let sides = self.sides(change, commit.revision);
        let mut names = Vec::new();
        let mut was = filters.is_empty() && sides.before.is_some();
        let mut is = filters.is_empty() && sides.after.is_some();
        let mut outside = filters.is_empty() && sides.beside.is_some();
        for filter in filters {
            let matches_before = sides.before.as_ref().is_some_and(|facts| accepts(filter, facts, what, commit));
            let matches_after = sides.after.as_ref().is_some_and(|facts| accepts(filter, facts, what, commit));
            let matches_beside = sides.beside.as_ref().is_some_and(|facts| accepts(filter, facts, what, commit));
            if (matches_before || matches_after || matches_beside) && !filter.name.is_empty() {
                names.push(filter.name.clone());
            }
            was |= matches_before;
            is |= matches_after;
            outside |= matches_beside;
        }
        let scope = scope_of(was, is).or(outside.then_some(ChangeScope::Outside))?;
        Some(Change { scope: scope.into(), matched_filters: names, ..change.clone() })
    }

    /// Whether the row of another key that a change mentions matches.
    pub(super) fn matches_beside(&self, filters: &[Filter], change: &Change, commit: &Commit) -> bool {
        let what = change.detail.as_ref().unwrap();
        let Some(facts) = self.sides(change, commit.revision).beside else { return false };
        filters.is_empty() || filters.iter().any(|filter| accepts(filter, &facts, what, commit))
    }

    fn sides(&self, change: &Change, revision: u64) -> Sides {
        let (before, after) = replica::sides(change);
        let beside = match change.detail.as_ref().unwrap() {
            Detail::Value(value) if before.is_none() && after.is_none() => {
                value.recorded_version.clone().map(Item::Figure)
            }
            Detail::Entry(entry) => entry.compared.clone().map(|compared| {
                Item::Entry(StateEntry {
                    ranking: entry.ranking.clone(),
                    edition: entry.compared_with.clone(),
                    entry: Some(compared),
                })
            }),
            _ => None,
        };
        Sides {
            before: before.map(|row| self.facts(&row, revision - 1)),
            after: after.map(|row| self.facts(&row, revision)),
            beside: beside.map(|row| self.facts(&row, revision - 1)),
        }
    }

    fn facts(&self, row: &Item, revision: u64) -> Facts {
        let edition_source = match row {
            Item::Entry(row) => self.source_of(&row.ranking, &row.edition, revision),
            _ => None,
        };
        Facts::of(row, edition_source)
    }

    /// The state of a revision, as queries tell it too.
    pub(super) async fn state_at(&self, clients: &Clients, revision: u64) -> Arc<Replica> {
        if let Some(known) = self.states.lock().unwrap().get(&revision) {
            return known.clone();
        }
        let state = Arc::new(read_state(clients, revision, &[]).await);
        as_queried(clients, &state, revision).await;
        self.states.lock().unwrap().insert(revision, state.clone());
        state
    }
}

/// The scope of a change whose rows match before and after, or at one of the two.
pub(super) fn scope_of(matched_before: bool, matched_after: bool) -> Option<ChangeScope> {
    match (matched_before, matched_after) {
        (false, false) => None,
        (false, true) => Some(ChangeScope::Entered),
        (true, true) => Some(ChangeScope::Changed),
        (true, false) => Some(ChangeScope::Left),
    }
}

/// Checks the counts of a commit, and returns how many of its changes are not listed because a licence forbids it.
fn check_counts(commit: &WholeCommit) -> u64 {
    let indexes: Vec<u64> = commit.changes.iter().map(|change| change.index).collect();
    assert!(indexes.windows(2).all(|pair| pair[0] < pair[1]), "changes are numbered through");
    let counts = commit.commit.counts.as_ref().unwrap();
    let values = commit.changes.iter().filter(|change| matches!(change.detail, Some(Detail::Value(_)))).count() as u64;
    let hidden = match values {
        0 => 0,
        values => {
            let counted = counts.added + counts.revised + counts.withdrawn + counts.backfilled;
            assert!(values <= counted, "every listed figure is counted");
            counted - values
        }
    };
    let gaps = indexes.last().map_or(0, |last| last + 1) - indexes.len() as u64;
    assert!(gaps <= hidden, "changes are numbered through: {indexes:?}");
    hidden
}

/// How many versions of figures each commit added whose licence forbids redistribution, by revision.
async fn closed_rows(clients: &Clients) -> HashMap<u64, u64> {
    let mut rows: HashMap<u64, u64> = HashMap::new();
    for (indicator, entity) in INDICATORS.iter().flat_map(|indicator| ECONOMIES.map(|entity| (*indicator, entity))) {
        let indicator = indicator.to_owned();
        let entity = entity.to_owned();
        let mut request = ListVersionsRequest { indicator, entity, page_size: 10_000, ..Default::default() };
        loop {
            let page = clients.statistics.clone().list_versions(request.clone()).await.unwrap().into_inner();
            for row in page.versions.iter().filter(|row| row.source == SOURCES[3]) {
                *rows.entry(row.revision).or_default() += 1;
            }
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
    }
    rows
}
