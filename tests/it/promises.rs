//! The promises of the feed, a function for each, run over everything any subscriber recorded.
//!
//! What a subscriber should have seen is worked out here from the plain list of all commits, with a filter of our own. A copy
//! is kept by scopes alone ([`Replica`]) and compared, row by row and field by field, with a state read afresh.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use almanac::{
    convert::digest::Version,
    proto::{change::Detail, state_row::Item, subscribe_request::Start, subscribe_response::Body as Message, *},
};

use crate::{
    fixture::{ECONOMIES, INDICATORS, SOURCES},
    harness::{Clients, WholeCommit, at_revision, join, reason},
    replica::{self, Replica, read_state},
    watch::{Recording, covered},
};

/// Every commit there is, as told without a filter. A commit that changed only what may not be handed on is not among them.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) commits: Vec<WholeCommit>,
    head: u64,
    /// The sources of editions, each with the revision from which on it is so.
    sources: HashMap<(String, String), Vec<(u64, String)>>,
    /// States that were read already.
    states: Mutex<HashMap<u64, Arc<Replica>>>,
}

impl Truth {
    /// Of commits up to a head that were read elsewhere.
    pub(crate) fn of(commits: Vec<WholeCommit>, head: u64) -> Self {
        let mut truth = Self { head, ..Self::default() };
        commits.iter().for_each(|commit| truth.note_sources(commit));
        truth.commits = commits;
        truth
    }

    /// Reads it, and checks that it makes sense by itself.
    pub(crate) async fn read(clients: &Clients) -> Self {
        let mut truth = Self::default();
        truth.read_on(clients).await;
        truth
    }

    /// The newest revision that was looked at.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// A commit by its revision.
    pub(crate) fn commit(&self, revision: u64) -> Option<&WholeCommit> {
        let at = self.commits.binary_search_by_key(&revision, |commit| commit.commit.revision).ok()?;
        Some(&self.commits[at])
    }

    /// Reads what was committed since. What is known stays true, whatever the ledger dropped of it.
    pub(crate) async fn read_on(&mut self, clients: &Clients) {
        let known = self.head;
        let mut commits = clients.commits(known, Vec::new()).await;
        let head = clients.head().await;
        let mut told = known;
        // The list began here: its first commit has none before it.
        let mut before = 0;
        let mut hidden: BTreeMap<u64, u64> = (known + 1..=head).map(|revision| (revision, 1)).collect();
        for commit in &mut commits {
            let revision = commit.commit.revision;
            assert!(revision > told && revision <= head, "{revision} after {told}");
            assert_eq!(commit.previous, before);
            (before, told) = (revision, revision);
            hidden.insert(revision, check_counts(commit));
        }
        hidden.retain(|_, count| *count > 0);
        if !hidden.is_empty() {
            let closed = closed_rows(clients).await;
            for (revision, count) in hidden {
                let found = closed.get(&revision).copied().unwrap_or(0);
                assert!(found >= count, "{count} changes of {revision} are not told, {found} may not be");
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
    pub(crate) fn seen(&self, filters: &[Filter], after: u64, until: u64) -> Vec<WholeCommit> {
        let within = |commit: &&WholeCommit| commit.commit.revision > after && commit.commit.revision <= until;
        let mut previous = 0;
        let mut seen = Vec::new();
        for whole in self.commits.iter().filter(within) {
            let changes: Vec<Change> =
                whole.changes.iter().filter_map(|change| self.passed(filters, change, &whole.commit)).collect();
            if changes.is_empty() && !(whole.changes.is_empty() && wants_empty(filters, &whole.commit)) {
                continue;
            }
            seen.push(WholeCommit { commit: whole.commit.clone(), previous, changes });
            previous = whole.commit.revision;
        }
        seen
    }

    /// The change as the filters show it; `None` if they do not.
    fn passed(&self, filters: &[Filter], change: &Change, commit: &Commit) -> Option<Change> {
        let Sides { before, after, beside } = self.sides(change, commit.revision);
        let mut names = Vec::new();
        let mut was = filters.is_empty() && before.is_some();
        let mut is = filters.is_empty() && after.is_some();
        let mut outside = filters.is_empty() && beside.is_some();
        for filter in filters {
            let wanted = |side: &Option<Facts>| {
                side.as_ref().is_some_and(|facts| accepts(filter, facts, change.detail.as_ref().unwrap(), commit))
            };
            let (matched_before, matched_after, matched_beside) = (wanted(&before), wanted(&after), wanted(&beside));
            if (matched_before || matched_after || matched_beside) && !filter.name.is_empty() {
                names.push(filter.name.clone());
            }
            was |= matched_before;
            is |= matched_after;
            outside |= matched_beside;
        }
        let scope = match (was, is) {
            (false, false) if outside => ChangeScope::Outside,
            (false, false) => return None,
            (false, true) => ChangeScope::Entered,
            (true, true) => ChangeScope::Changed,
            (true, false) => ChangeScope::Left,
        };
        Some(Change { scope: scope.into(), matched_filters: names, ..change.clone() })
    }

    /// Whether what a change is about besides the rows of its key matches.
    pub(crate) fn matches_beside(&self, filters: &[Filter], change: &Change, commit: &Commit) -> bool {
        let what = change.detail.as_ref().unwrap();
        let beside = self.sides(change, commit.revision).beside;
        let accepted =
            |facts: Facts| filters.is_empty() || filters.iter().any(|filter| accepts(filter, &facts, what, commit));
        beside.is_some_and(accepted)
    }

    fn sides(&self, change: &Change, revision: u64) -> Sides {
        let (before, after) = replica::sides(change);
        let facts = |row: Option<Item>, revision: u64| {
            let row = row?;
            let source = match &row {
                Item::Entry(row) => self.source_of(&row.ranking, &row.edition, revision),
                _ => None,
            };
            Some(Facts::of(&row, source))
        };
        let beside = match change.detail.as_ref().unwrap() {
            Detail::Value(value) if before.is_none() && after.is_none() => {
                value.recorded_version.clone().map(Item::Figure)
            }
            Detail::Entry(entry) => entry.compared.clone().map(|compared| {
                let (ranking, edition) = (entry.ranking.clone(), entry.compared_with.clone());
                Item::Entry(StateEntry { ranking, edition, entry: Some(compared) })
            }),
            _ => None,
        };
        let earlier = revision - 1;
        Sides { before: facts(before, earlier), after: facts(after, revision), beside: facts(beside, earlier) }
    }

    /// The state of a revision, as queries tell it too.
    async fn state_at(&self, clients: &Clients, revision: u64) -> Arc<Replica> {
        if let Some(known) = self.states.lock().unwrap().get(&revision) {
            return known.clone();
        }
        let state = Arc::new(read_state(clients, revision, &[]).await);
        as_queried(clients, &state, revision).await;
        self.states.lock().unwrap().insert(revision, state.clone());
        state
    }
}

/// Every change that a commit counts is told, but for those that may not be: says how many.
fn check_counts(commit: &WholeCommit) -> u64 {
    let indexes: Vec<u64> = commit.changes.iter().map(|change| change.index).collect();
    assert!(indexes.windows(2).all(|pair| pair[0] < pair[1]), "changes are numbered through");
    let counts = commit.commit.counts.as_ref().unwrap();
    let values = commit.changes.iter().filter(|change| matches!(change.detail, Some(Detail::Value(_)))).count() as u64;
    let hidden = match values {
        0 => 0,
        values => {
            let counted = counts.added + counts.revised + counts.withdrawn + counts.backfilled;
            assert!(values <= counted, "every figure told is counted");
            counted - values
        }
    };
    let gaps = indexes.last().map_or(0, |last| last + 1) - indexes.len() as u64;
    assert!(gaps <= hidden, "changes are numbered through: {indexes:?}");
    hidden
}

/// How many versions of figures each commit brought that may not be handed on.
async fn closed_rows(clients: &Clients) -> HashMap<u64, u64> {
    let mut rows: HashMap<u64, u64> = HashMap::new();
    for (indicator, entity) in INDICATORS.iter().flat_map(|indicator| ECONOMIES.map(|entity| (*indicator, entity))) {
        let (indicator, entity) = (indicator.to_owned(), entity.to_owned());
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

/// What a change is about: the rows of its key, and what is no such row.
#[derive(Debug)]
struct Sides {
    before: Option<Facts>,
    after: Option<Facts>,
    beside: Option<Facts>,
}

/// What a filter looks at, on one side of a change.
#[derive(Debug, Default)]
struct Facts {
    kind: i32,
    ranking: Option<String>,
    indicator: Option<String>,
    entities: Vec<String>,
    source: Option<String>,
    rank: Option<u32>,
    dimensions: Option<Vec<Dimension>>,
}

impl Facts {
    /// Of a row; an entry has the source of its edition.
    fn of(row: &Item, edition_source: Option<String>) -> Self {
        match row {
            Item::Figure(row) => Self {
                kind: ChangeKind::Value.into(),
                indicator: Some(row.indicator.clone()),
                entities: vec![row.entity.clone()],
                source: Some(row.source.clone()),
                dimensions: Some(row.dimensions.clone()),
                ..Self::default()
            },
            Item::Entry(row) => {
                let entry = row.entry.as_ref().unwrap();
                Self {
                    kind: ChangeKind::Entry.into(),
                    ranking: Some(row.ranking.clone()),
                    entities: [entry.economies.clone(), vec![entry.entity.clone()]].concat(),
                    source: edition_source,
                    rank: entry.rank,
                    ..Self::default()
                }
            }
            Item::Edition(row) => Self {
                kind: ChangeKind::Edition.into(),
                ranking: Some(row.ranking.clone()),
                source: Some(row.source.clone()),
                ..Self::default()
            },
            Item::Definition(row) => Self::of_definition(row),
        }
    }

    fn of_definition(definition: &Definition) -> Self {
        use definition::Item;
        let facts = Self { kind: ChangeKind::Definition.into(), ..Self::default() };
        match definition.item.as_ref().unwrap() {
            Item::Indicator(of) => Self { indicator: Some(of.id.clone()), ..facts },
            Item::Entity(of) => Self { entities: vec![of.id.clone()], ..facts },
            Item::Source(of) => Self { source: Some(of.id.clone()), ..facts },
            Item::Ranking(of) => Self { ranking: Some(of.id.clone()), ..facts },
            Item::Methodology(_) => facts,
        }
    }
}

fn accepts(filter: &Filter, facts: &Facts, what: &Detail, commit: &Commit) -> bool {
    let one_of =
        |wanted: &[String], id: &Option<String>| wanted.is_empty() || id.as_ref().is_some_and(|id| wanted.contains(id));
    let indicator = filter.indicators.is_empty()
        || facts.indicator.as_ref().is_some_and(|id| {
            filter.indicators.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(prefix) => id.starts_with(prefix),
                None => wanted == id,
            })
        });
    let places = filter.min_places == 0
        || match what {
            Detail::Entry(change) => {
                matches!(change.movement(), Movement::Entered | Movement::Left | Movement::Withdrawn)
                    || change.places.is_some_and(|places| places.unsigned_abs() >= filter.min_places)
            }
            _ => false,
        };
    let dimensions = filter.dimensions.is_empty()
        || facts.dimensions.as_ref().is_some_and(|has| {
            let has_one = |id: &str| filter.dimensions.iter().any(|one| one.id == id && has.contains(one));
            filter.dimensions.iter().all(|wanted| has_one(&wanted.id))
        });
    (filter.kinds.is_empty() || filter.kinds.contains(&facts.kind))
        && one_of(&filter.rankings, &facts.ranking)
        && one_of(&filter.sources, &facts.source)
        && (filter.entities.is_empty() || facts.entities.iter().any(|id| filter.entities.contains(id)))
        && (filter.causes.is_empty() || filter.causes.contains(&commit.cause))
        && (filter.rank_at_most == 0 || facts.rank.is_some_and(|rank| rank <= filter.rank_at_most))
        && indicator
        && places
        && dimensions
}

/// Commits without changes are told to those who do not narrow what changes are about.
fn wants_empty(filters: &[Filter], commit: &Commit) -> bool {
    let wide = |filter: &&Filter| {
        let plain = Filter { name: String::new(), causes: Vec::new(), ..(*filter).clone() };
        plain == Filter::default()
    };
    let cause = |filter: &Filter| filter.causes.is_empty() || filter.causes.contains(&commit.cause);
    filters.is_empty() || filters.iter().filter(wide).any(cause)
}

/// All promises that a recording can be held to. `began` is the revision where its subscription began, through all tokens.
pub(crate) async fn check(clients: &Clients, truth: &Truth, recording: &Recording, began: u64) {
    check_recorded(truth, recording, began);
    before_true(clients, truth, recording).await;
    resumable(clients, truth, recording, began).await;
    state_true(clients, recording).await;
    copied(clients, recording).await;
}

/// The promises that a recording can be held to without asking the server: for the many streams of a matrix.
pub(crate) fn check_recorded(truth: &Truth, recording: &Recording, began: u64) {
    check_against(truth, &truth.seen(&recording.filters, began, u64::MAX), recording);
}

/// The same, where what the subscription should see since it began was worked out already.
pub(crate) fn check_against(truth: &Truth, expected: &[WholeCommit], recording: &Recording) {
    let commits = recording.commits();
    ordered(recording, &commits);
    polite(recording);
    unique(recording);
    reliable(expected, recording, &commits);
    atomic(recording);
    bookmarkable(recording);
    chained(expected, recording, &commits);
    filtered(truth, recording, &commits);
}

/// Revisions in a stream only grow.
fn ordered(recording: &Recording, commits: &[WholeCommit]) {
    let mut last = recording.opened().start_revision;
    for commit in commits {
        assert!(commit.commit.revision > last, "{} after {last}", commit.commit.revision);
        last = commit.commit.revision;
        let indexes: Vec<u64> = commit.changes.iter().map(|change| change.index).collect();
        assert!(indexes.windows(2).all(|pair| pair[0] < pair[1]), "changes in commit order");
    }
}

/// Who is sent away is told when to come back, never at once: zero looks like unset.
fn polite(recording: &Recording) {
    if let Some(goodbye) = recording.goodbye() {
        let after = goodbye.reconnect_after.expect("a goodbye says when to come back");
        assert!(after.seconds > 0 || after.nanos > 0, "{goodbye:?}");
    }
}

/// A (revision, change) appears once per stream.
fn unique(recording: &Recording) {
    let mut seen = BTreeSet::new();
    for page in recording.pages() {
        for change in &page.changes {
            assert!(seen.insert((page.revision, change.index)), "{} {} comes twice", page.revision, change.index);
        }
    }
}

/// When the stream covers revision X, every matching change up to X was sent.
fn reliable(expected: &[WholeCommit], recording: &Recording, found: &[WholeCommit]) {
    let covered = covered(&recording.messages);
    let start = recording.opened().start_revision;
    let within = |one: &&WholeCommit| one.commit.revision > start && one.commit.revision <= covered;
    let found_revisions: Vec<u64> = found.iter().map(|one| one.commit.revision).collect();
    let revisions: Vec<u64> = expected.iter().filter(within).map(|one| one.commit.revision).collect();
    assert_eq!(found_revisions, revisions, "{:?} from {start} to {covered}", recording.filters);
    for (found, expected) in found.iter().zip(expected.iter().filter(within)) {
        assert_eq!(found.commit, expected.commit);
        assert_eq!(found.changes, expected.changes, "{:?} in {}", recording.filters, found.commit.revision);
    }
}

/// A client that waits for `last_page` never applies part of a commit.
pub(crate) fn atomic(recording: &Recording) {
    let pages = recording.pages();
    let mut next = 0;
    for (at, page) in pages.iter().enumerate() {
        assert_eq!(page.page, next, "pages are numbered through");
        assert_eq!(page.commit.is_some(), page.page == 0);
        assert_eq!(page.last_page, !page.resume_token.is_empty(), "the last page has the token");
        if page.page > 0 {
            assert_eq!(page.revision, pages[at - 1].revision);
        }
        next = if page.last_page { 0 } else { page.page + 1 };
    }
    // Nothing else comes between the pages of a commit, but for signs of life.
    let mut open = false;
    for message in &recording.messages {
        match message {
            Message::CommitPage(page) => open = !page.last_page,
            Message::Goodbye(_) => {}
            Message::Lag(lag) => assert!(!open || lag.state() == LagState::CatchingUp),
            _ => assert!(!open, "a message inside a commit"),
        }
    }
}

/// Progress X means that nothing at or below X will follow.
pub(crate) fn bookmarkable(recording: &Recording) {
    let mut mark = recording.opened().start_revision;
    for message in &recording.messages {
        match message {
            Message::Progress(progress) => {
                assert!(progress.revision >= mark);
                assert!(!progress.resume_token.is_empty());
                mark = progress.revision;
            }
            Message::CommitPage(page) => {
                assert!(page.revision > mark, "{} after progress {mark}", page.revision);
                mark = if page.last_page { page.revision } else { mark };
            }
            Message::SnapshotPage(page) => assert_eq!(page.revision, mark),
            _ => {}
        }
    }
}

/// Each commit names the previous matching revision: the client can prove it missed nothing.
fn chained(expected: &[WholeCommit], recording: &Recording, commits: &[WholeCommit]) {
    // Within a stream it is the last commit page that the client applied; through tokens it goes on.
    let mut applied = match (&recording.start, commits.first()) {
        (Start::ResumeToken(_), Some(first)) => first.previous,
        _ => 0,
    };
    for commit in commits {
        assert_eq!(commit.previous, applied, "before {}", commit.commit.revision);
        applied = commit.commit.revision;
    }
    let previous: HashMap<u64, u64> = expected.iter().map(|one| (one.commit.revision, one.previous)).collect();
    for commit in commits {
        assert_eq!(commit.previous, previous[&commit.commit.revision], "before {}", commit.commit.revision);
    }
}

/// Every change matches before or after; entering and leaving the filter are explicit.
fn filtered(truth: &Truth, recording: &Recording, commits: &[WholeCommit]) {
    for commit in commits {
        for change in &commit.changes {
            let passed = truth.passed(&recording.filters, change, &commit.commit);
            assert_eq!(passed.as_ref(), Some(change), "{:?}", recording.filters);
        }
    }
}

/// Before-values are whole rows, equal to the state at the previous revision; what an entry is compared with, too.
pub(crate) async fn before_true(clients: &Clients, truth: &Truth, recording: &Recording) {
    let commits = recording.commits();
    // States are slow in comparison; the newest commits have the most history behind them.
    for commit in commits.iter().rev().take(6) {
        let state = truth.state_at(clients, commit.commit.revision - 1).await;
        for change in &commit.changes {
            let key = replica::key_of(change);
            let before = replica::sides(change).0;
            assert_eq!(state.get(&key), before.as_ref(), "{key:?} before {}", commit.commit.revision);
            if let Some(Detail::Entry(change)) = &change.detail {
                compared_true(&state, change);
            }
        }
    }
}

/// What an entry is compared with is how the other edition reads, or its own at the revision before.
fn compared_true(state: &Replica, change: &EntryChange) {
    let of = |edition: &str| replica::entry_key(&change.ranking, edition, &change.entity);
    let earlier = match change.compared_with.as_str() {
        "" => None,
        edition => state.get(&of(edition)),
    };
    let told = if change.compared_with == change.edition { &change.before } else { &change.compared };
    let earlier = earlier.map(|row| match row {
        Item::Entry(row) => row.entry.as_ref().unwrap(),
        other => panic!("{other:?}"),
    });
    assert_eq!(told.as_ref(), earlier, "{} compared with {}", change.entity, change.compared_with);
    assert!(change.compared_with != change.edition || change.compared.is_none());
    let lacks = told.is_none() && !change.compared_with.is_empty();
    assert_eq!(change.earlier_absence.is_some(), lacks, "{change:?}");
    assert_eq!(change.later_absence.is_some(), change.after.is_none());
    let table = state.rows().values().filter(
        |row| matches!(row, Item::Entry(row) if row.ranking == change.ranking && row.edition == change.compared_with),
    );
    assert_eq!(change.compared_entry_count as usize, table.count(), "entries of {}", change.compared_with);
    let rank = |entry: Option<&Entry>| entry.and_then(|entry| entry.rank).map(i64::from);
    let places = rank(earlier).zip(rank(change.after.as_ref())).map(|(from, to)| from - to);
    assert_eq!(change.places.map(i64::from), places);
    let name = |entry: Option<&Entry>| entry.map(|entry| entry.published_name.clone());
    let names = name(earlier).zip(name(change.after.as_ref()));
    assert_eq!(change.renamed, names.is_some_and(|(earlier, later)| earlier != later));
}

/// A copy kept by scopes alone is the state, read afresh, row by row and field by field.
pub(crate) async fn copied(clients: &Clients, recording: &Recording) {
    if !replica::keep_state(&recording.filters) || recording.pages().iter().any(|page| page.conflated_from > 0) {
        return;
    }
    let mut copy = match recording.snapshot_end() {
        Some(_) => Replica::of_state(&recording.messages),
        // Whose state did not come whole has no copy.
        None if matches!(recording.start, Start::State(_) | Start::AsKnownAt(_)) => return,
        None => read_state(clients, recording.opened().start_revision, &recording.filters).await,
    };
    recording.commits().iter().for_each(|commit| copy.apply_commit(commit));
    let covered = covered(&recording.messages);
    let fresh = read_state(clients, covered, &recording.filters).await;
    copy.assert_same(&fresh, &format!("{:?} at {covered}", recording.filters));
}

async fn known_definition(clients: &Clients, like: &Definition, as_of: Option<AsOf>) -> Option<Definition> {
    use definition::Item;
    let mut catalog = clients.catalog.clone();
    let item = match like.item.as_ref().unwrap() {
        Item::Indicator(given) => {
            let request = GetIndicatorRequest { id: given.id.clone(), as_of, ..Default::default() };
            Item::Indicator(catalog.get_indicator(request).await.ok()?.into_inner().indicator?)
        }
        Item::Entity(given) => {
            let request = GetEntityRequest { id: given.id.clone(), as_of, ..Default::default() };
            Item::Entity(catalog.get_entity(request).await.ok()?.into_inner().entity?)
        }
        Item::Source(given) => {
            let request = GetSourceRequest { id: given.id.clone(), as_of, ..Default::default() };
            Item::Source(catalog.get_source(request).await.ok()?.into_inner().source?)
        }
        Item::Ranking(given) => {
            let request = GetRankingRequest { id: given.id.clone(), as_of, ..Default::default() };
            Item::Ranking(catalog.get_ranking(request).await.ok()?.into_inner().ranking?)
        }
        Item::Methodology(given) => {
            let request = GetMethodologyRequest { id: given.id.clone(), as_of, ..Default::default() };
            Item::Methodology(catalog.get_methodology(request).await.ok()?.into_inner().methodology?)
        }
    };
    Some(Definition { item: Some(item) })
}

/// A resume token continues exactly after it.
pub(crate) async fn resumable(clients: &Clients, truth: &Truth, recording: &Recording, began: u64) {
    let tokens = recording.tokens();
    let step = tokens.len().div_ceil(5).max(1);
    for (revision, token) in tokens.iter().rev().step_by(step) {
        let mut request = ListCommitsRequest {
            resume_token: token.clone(),
            filters: recording.filters.clone(),
            ..Default::default()
        };
        let mut pages = Vec::new();
        loop {
            let answer = clients.feed.clone().list_commits(request.clone()).await.unwrap().into_inner();
            pages.extend(answer.commits);
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        let mut expected = truth.seen(&recording.filters, began, u64::MAX);
        expected.retain(|one| one.commit.revision > *revision);
        assert_eq!(join(&pages), expected, "the token of {revision} with {:?}", recording.filters);
    }
    let Some((_, token)) = tokens.first() else { return };
    let other = Filter { name: "other".into(), entities: vec!["nobody".into()], ..Default::default() };
    let request = ListCommitsRequest { resume_token: token.clone(), filters: vec![other], ..Default::default() };
    assert_eq!(reason(&clients.feed.clone().list_commits(request).await.unwrap_err()), "TOKEN_OTHER_FILTER");
}

/// Nothing is ever seen that is not in the store after a crash: to be called with what the store says after a restart.
pub(crate) fn durable(truth_after: &Truth, recording: &Recording, began: u64) {
    reliable(&truth_after.seen(&recording.filters, began, u64::MAX), recording, &recording.commits());
}

/// The state is complete, counted, and proved by its digest.
pub(crate) async fn state_true(clients: &Clients, recording: &Recording) {
    let wants_state = matches!(recording.start, Start::State(_) | Start::AsKnownAt(_));
    let Some(end) = recording.snapshot_end() else { return };
    assert!(wants_state);
    let mut rows = Vec::new();
    let mut pages = 0;
    for message in &recording.messages {
        if let Message::SnapshotPage(page) = message {
            assert_eq!((page.page, page.revision), (pages, end.revision));
            pages += 1;
            rows.extend(page.rows.iter().cloned());
        }
    }
    assert_eq!(rows.len() as u64, end.row_count);
    let version = Version::numbered(end.digest_version).expect("a version that there is");
    let digest = match version {
        // By the definition in the documentation, once more.
        Version::Numbers => rows.iter().fold(0u64, |sum, row| sum.wrapping_add(digest_of(row))),
        Version::Rows => Replica::of_state(&recording.messages).digest(),
    };
    assert_eq!(digest, end.digest);
    if recording.filters.is_empty() {
        as_queried(clients, &Replica::of_state(&recording.messages), end.revision).await;
    }
}

/// A whole state is all that queries show, in every field.
async fn as_queried(clients: &Clients, state: &Replica, revision: u64) {
    let as_of = at_revision(revision);
    let mut figures = BTreeMap::new();
    let mut entries: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (key, row) in state.rows() {
        match row {
            Item::Figure(figure) => {
                assert_ne!(figure.source, SOURCES[3], "what its licence forbids is left out");
                figures.insert(key.clone(), figure.clone());
            }
            Item::Definition(definition) => {
                let known = known_definition(clients, definition, as_of.clone()).await;
                assert_eq!(known.as_ref(), Some(definition));
            }
            Item::Edition(edition) => {
                let request = GetEditionRequest {
                    ranking: edition.ranking.clone(),
                    edition: edition.id.clone(),
                    as_of: as_of.clone(),
                    ..Default::default()
                };
                let known = clients.rankings.clone().get_edition(request).await.unwrap().into_inner().edition;
                assert_eq!(known.as_ref(), Some(edition));
                let listed = clients.entries(&edition.ranking, &edition.id, as_of.clone()).await.unwrap();
                assert_eq!(edition.entry_count as usize, listed.len());
                for entry in listed {
                    let told = state.get(&replica::entry_key(&edition.ranking, &edition.id, &entry.entity));
                    let (ranking, edition) = (edition.ranking.clone(), edition.id.clone());
                    let expected = Item::Entry(StateEntry { ranking, edition, entry: Some(entry) });
                    assert_eq!(told, Some(&expected));
                }
            }
            Item::Entry(row) => *entries.entry((&row.ranking, &row.edition)).or_default() += 1,
        }
    }
    for (of, count) in entries {
        let key = ["T", of.0, of.1].map(str::to_owned).to_vec();
        let Some(Item::Edition(edition)) = state.get(&key) else { panic!("entries of {of:?}, which does not stand") };
        assert_eq!(edition.entry_count as usize, count, "{of:?}");
    }
    let indicators = clients.catalog_ids(as_of.clone()).await;
    let mut expected = BTreeMap::new();
    if !indicators.is_empty() {
        let selection = SeriesSelection { indicators, ..Default::default() };
        for figure in clients.observations(selection, as_of).await {
            // Only answers of queries say which release confirmed a figure.
            let figure = Observation { last_released: String::new(), ..figure };
            expected.insert(replica::key_of_row(&Item::Figure(figure.clone())), figure);
        }
    }
    assert_eq!(figures, expected);
}

/// The digest of a row in version 1, by the definition in the documentation.
pub(crate) fn digest_of(row: &StateRow) -> u64 {
    match row.item.as_ref().unwrap() {
        Item::Figure(figure) => {
            let value = figure.value.as_ref().unwrap();
            let series = [&figure.indicator, &figure.entity, &figure.source].map(String::as_str);
            figure_digest(series, &figure.dimensions, &figure.period, value)
        }
        Item::Entry(row) => {
            let entry = row.entry.as_ref().unwrap();
            entry_digest(&row.ranking, &row.edition, &entry.entity, entry.rank)
        }
        Item::Edition(_) | Item::Definition(_) => 0,
    }
}

pub(crate) fn figure_digest(series: [&str; 3], dimensions: &[Dimension], period: &str, value: &Value) -> u64 {
    let dimensions: Vec<String> = dimensions.iter().map(|one| format!("{}={}", one.id, one.value)).collect();
    let text = crate::harness::text(value);
    let (series, dimensions) = (series.join("\t"), dimensions.join(";"));
    line_digest(&format!("V\t{series}\t{dimensions}\t{period}\t{text}\t{}", value.multiplier_pow10))
}

pub(crate) fn entry_digest(ranking: &str, edition: &str, entity: &str, rank: Option<u32>) -> u64 {
    let rank = rank.map_or_else(String::new, |rank| rank.to_string());
    line_digest(&format!("E\t{ranking}\t{edition}\t{entity}\t{rank}"))
}

fn line_digest(line: &str) -> u64 {
    use sha2::{Digest, Sha256};
    u64::from_le_bytes(*Sha256::digest(line.as_bytes()).first_chunk().unwrap())
}
