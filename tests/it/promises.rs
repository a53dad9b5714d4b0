//! The promises of the feed, a function for each, run over everything any subscriber recorded.
//!
//! What a subscriber should have seen is worked out here from the plain list of all commits, with a filter of our own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use almanac::proto::{change::Detail, subscribe_request::Start, subscribe_response::Body as Message, *};

use crate::{
    fixture::SOURCES,
    harness::{Clients, WholeCommit, at_revision, join, reason},
    watch::{Recording, covered},
};

/// Every commit there is.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) commits: Vec<WholeCommit>,
}

impl Truth {
    /// Reads it, and checks that it makes sense by itself.
    pub(crate) async fn read(clients: &Clients) -> Self {
        let mut truth = Self::default();
        truth.read_on(clients).await;
        truth
    }

    /// Reads what was committed since. What is known stays true, whatever the ledger dropped of it.
    pub(crate) async fn read_on(&mut self, clients: &Clients) {
        let known = self.commits.len() as u64;
        let mut commits = clients.commits(known, Vec::new()).await;
        for (commit, revision) in commits.iter_mut().zip(known + 1..) {
            assert_eq!(commit.commit.revision, revision, "revisions are dense");
            // The list began here: its first commit has none before it.
            let first = revision == known + 1;
            assert_eq!(commit.previous, if first { 0 } else { revision - 1 });
            commit.previous = revision - 1;
            let indexes: Vec<u64> = commit.changes.iter().map(|change| change.index).collect();
            assert_eq!(indexes, (0..indexes.len() as u64).collect::<Vec<_>>(), "changes are numbered through");
            let counts = commit.commit.counts.as_ref().unwrap();
            let values = commit.changes.iter().filter(|change| matches!(change.detail, Some(Detail::Value(_)))).count();
            if values > 0 {
                let counted = counts.added + counts.revised + counts.withdrawn + counts.backfilled;
                assert_eq!(values as u64, counted, "every figure counted is told");
            }
        }
        self.commits.append(&mut commits);
        assert_eq!(self.commits.len() as u64, clients.head().await);
    }

    /// The commits after one revision up to another as a subscriber should see them.
    pub(crate) fn seen(&self, filters: &[Filter], after: u64, until: u64) -> Vec<WholeCommit> {
        let within = |commit: &&WholeCommit| commit.commit.revision > after && commit.commit.revision <= until;
        let mut previous = 0;
        let mut seen = Vec::new();
        for whole in self.commits.iter().filter(within) {
            let changes: Vec<Change> =
                whole.changes.iter().filter_map(|change| passed(filters, change, &whole.commit)).collect();
            if changes.is_empty() && !(whole.changes.is_empty() && wants_empty(filters, &whole.commit)) {
                continue;
            }
            seen.push(WholeCommit { commit: whole.commit.clone(), previous, changes });
            previous = whole.commit.revision;
        }
        seen
    }
}

/// The change as the filters show it; `None` if they do not.
fn passed(filters: &[Filter], change: &Change, commit: &Commit) -> Option<Change> {
    let Sides { before, after, beside } = sides(change.detail.as_ref().unwrap());
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
        (false, false) if outside => OUTSIDE,
        (false, false) => return None,
        (false, true) => ChangeScope::Entered,
        (true, true) => ChangeScope::Changed,
        (true, false) => ChangeScope::Left,
    };
    Some(Change { scope: scope.into(), matched_filters: names, ..change.clone() })
}

/// In the state neither before nor after; the contract has no word of its own for it yet.
pub(crate) const OUTSIDE: Scope = ChangeScope::Unspecified;

/// Whether what a change is about besides the rows of its key matches.
pub(crate) fn matches_beside(filters: &[Filter], change: &Change, commit: &Commit) -> bool {
    let what = change.detail.as_ref().unwrap();
    let beside = sides(what).beside;
    beside.is_some_and(|facts| filters.is_empty() || filters.iter().any(|filter| accepts(filter, &facts, what, commit)))
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
}

fn sides(what: &Detail) -> Sides {
    match what {
        Detail::Value(change) => {
            let facts = || Facts {
                kind: ChangeKind::Value.into(),
                indicator: Some(change.indicator.clone()),
                entities: vec![change.entity.clone()],
                source: Some(change.source.clone()),
                ..Facts::default()
            };
            let nothing = change.before.is_none() && change.after.is_none();
            Sides {
                before: change.before.is_some().then(facts),
                after: change.after.is_some().then(facts),
                beside: nothing.then(facts),
            }
        }
        Detail::Entry(change) => {
            let moved = change.r#move.as_ref().unwrap();
            let side = |standing: &Option<Standing>| {
                let standing = standing.as_ref().filter(|standing| standing.listed)?;
                Some(Facts {
                    kind: ChangeKind::Entry.into(),
                    ranking: Some(change.ranking.clone()),
                    entities: [moved.economies.clone(), vec![moved.entity.clone()]].concat(),
                    rank: standing.rank,
                    ..Facts::default()
                })
            };
            let earlier = side(&moved.before);
            let own = change.compared_with == change.edition;
            let (before, beside) = if own { (earlier, None) } else { (None, earlier) };
            Sides { before, after: side(&moved.after), beside }
        }
        Detail::Edition(change) => {
            let side = |edition: &Option<Edition>| {
                let edition = edition.as_ref().filter(|edition| edition.status() != EditionStatus::Withdrawn)?;
                Some(Facts {
                    kind: ChangeKind::Edition.into(),
                    ranking: Some(edition.ranking.clone()),
                    source: Some(edition.source.clone()).filter(|source| !source.is_empty()),
                    ..Facts::default()
                })
            };
            Sides { before: side(&change.before), after: side(&change.after), beside: None }
        }
        Detail::Definition(change) => {
            let side = |definition: &Option<Definition>| definition.as_ref().map(of_definition);
            Sides { before: side(&change.before), after: side(&change.after), beside: None }
        }
    }
}

fn of_definition(definition: &Definition) -> Facts {
    use definition::Item;
    let facts = Facts { kind: ChangeKind::Definition.into(), ..Facts::default() };
    match definition.object.as_ref().unwrap() {
        Item::Indicator(given) => Facts { indicator: Some(given.id.clone()), ..facts },
        Item::Entity(given) => Facts { entities: vec![given.id.clone()], ..facts },
        Item::Source(given) => Facts { source: Some(given.id.clone()), ..facts },
        Item::Ranking(given) => Facts { ranking: Some(given.id.clone()), ..facts },
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
                let moved = change.r#move.as_ref().unwrap();
                matches!(moved.movement(), Movement::Entered | Movement::Left | Movement::Withdrawn)
                    || moved.places.is_some_and(|places| places.unsigned_abs() >= filter.min_places)
            }
            _ => false,
        };
    (filter.kinds.is_empty() || filter.kinds.contains(&facts.kind))
        && one_of(&filter.rankings, &facts.ranking)
        && one_of(&filter.sources, &facts.source)
        && (filter.entities.is_empty() || facts.entities.iter().any(|id| filter.entities.contains(id)))
        && (filter.causes.is_empty() || filter.causes.contains(&commit.cause))
        && (filter.rank_at_most == 0 || facts.rank.is_some_and(|rank| rank <= filter.rank_at_most))
        && indicator
        && places
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
    before_true(clients, recording).await;
    resumable(clients, truth, recording, began).await;
    state_true(clients, recording).await;
}

/// The promises that a recording can be held to without asking the server: for the many streams of a matrix.
pub(crate) fn check_recorded(truth: &Truth, recording: &Recording, began: u64) {
    check_against(&truth.seen(&recording.filters, began, u64::MAX), recording);
}

/// The same, where what the subscription should see since it began was worked out already.
pub(crate) fn check_against(expected: &[WholeCommit], recording: &Recording) {
    let commits = recording.commits();
    ordered(recording, &commits);
    unique(recording);
    reliable(expected, recording, &commits);
    atomic(recording);
    bookmarkable(recording);
    chained(expected, &commits);
    filtered(recording, &commits);
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
    // Nothing else comes between the pages of a commit.
    let mut open = false;
    for message in &recording.messages {
        match message {
            Message::CommitPage(page) => open = !page.last_page,
            Message::Goodbye(_) => {}
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
fn chained(expected: &[WholeCommit], commits: &[WholeCommit]) {
    let previous: HashMap<u64, u64> = expected.iter().map(|one| (one.commit.revision, one.previous)).collect();
    for commit in commits {
        assert_eq!(commit.previous, previous[&commit.commit.revision], "before {}", commit.commit.revision);
    }
}

/// Every change matches before or after; entering and leaving the filter are explicit.
fn filtered(recording: &Recording, commits: &[WholeCommit]) {
    for commit in commits {
        for change in &commit.changes {
            let passed = passed(&recording.filters, change, &commit.commit);
            assert_eq!(passed.as_ref(), Some(change), "{:?}", recording.filters);
        }
    }
}

/// Before-values equal the state at the previous revision, as queries tell it.
pub(crate) async fn before_true(clients: &Clients, recording: &Recording) {
    let commits = recording.commits();
    // Queries are slow in comparison; the newest commits have the most history behind them.
    for commit in commits.iter().rev().take(6) {
        let before = at_revision(commit.commit.revision - 1);
        let mut tables: HashMap<(String, String), BTreeMap<String, Entry>> = HashMap::new();
        let mut figures: HashMap<(String, String), HashMap<FigureKey, Value>> = HashMap::new();
        for change in &commit.changes {
            match change.detail.as_ref().unwrap() {
                Detail::Value(change) => {
                    let of = (change.indicator.clone(), change.entity.clone());
                    if !figures.contains_key(&of) {
                        figures.insert(of.clone(), known_figures(clients, &of, before.clone()).await);
                    }
                    let key = (
                        change.source.clone(),
                        change.dimensions.clone().into_iter().map(pair).collect(),
                        change.period.clone(),
                    );
                    assert_eq!(
                        figures[&of].get(&key),
                        change.before.as_ref(),
                        "{of:?} {key:?} before {}",
                        commit.commit.revision
                    );
                }
                Detail::Entry(change) => {
                    let moved = change.r#move.as_ref().unwrap();
                    let standing = moved.before.as_ref().unwrap();
                    if change.compared_with.is_empty() {
                        assert!(!standing.listed);
                        continue;
                    }
                    let of = (change.ranking.clone(), change.compared_with.clone());
                    if !tables.contains_key(&of) {
                        let entries = clients.entries(&of.0, &of.1, before.clone()).await.unwrap();
                        assert_eq!(entries.len() as u32, change.entries_before);
                        tables.insert(
                            of.clone(),
                            entries.into_iter().map(|entry| (entry.entity.clone(), entry)).collect(),
                        );
                    }
                    let entry = tables[&of].get(&moved.entity);
                    assert_eq!(standing.listed, entry.is_some(), "{} in {of:?}", moved.entity);
                    if let Some(entry) = entry {
                        let told = (
                            standing.rank,
                            standing.tied,
                            &standing.score,
                            &standing.components,
                            &standing.published_name,
                        );
                        assert_eq!(
                            told,
                            (entry.rank, entry.tied, &entry.score, &entry.components, &entry.published_name)
                        );
                    }
                }
                Detail::Edition(change) => {
                    let after = change.after.as_ref().unwrap();
                    let request = GetEditionRequest {
                        ranking: after.ranking.clone(),
                        edition: after.edition.clone(),
                        as_of: before.clone(),
                    };
                    let was = clients.rankings.clone().get_edition(request).await;
                    let was = was.ok().and_then(|answer| answer.into_inner().edition);
                    let stood = was.filter(|edition| edition.status() != EditionStatus::Withdrawn);
                    assert_eq!(change.before, stood);
                }
                Detail::Definition(change) if is_methodology(change.after.as_ref().unwrap()) => {}
                Detail::Definition(change) => {
                    assert_eq!(
                        change.before,
                        known_definition(clients, change.after.as_ref().unwrap(), before.clone()).await
                    );
                }
            }
        }
    }
}

type FigureKey = (String, Vec<(String, String)>, String);

fn pair(dimension: Dimension) -> (String, String) {
    (dimension.id, dimension.value)
}

/// The figures of an indicator and entity as of a revision, one by one through every version, which no licence hides.
async fn known_figures(clients: &Clients, of: &(String, String), as_of: Option<AsOf>) -> HashMap<FigureKey, Value> {
    let mut request = ListVersionsRequest {
        indicator: of.0.clone(),
        entity: of.1.clone(),
        as_of,
        page_size: 10_000,
        ..Default::default()
    };
    let mut newest: HashMap<FigureKey, ((String, u64), Option<Value>)> = HashMap::new();
    loop {
        let page = clients.statistics.clone().list_versions(request.clone()).await.unwrap().into_inner();
        for row in page.versions {
            let key = (row.source, row.dimensions.into_iter().map(pair).collect(), row.period);
            let age = (row.released, row.revision);
            let known = newest.entry(key).or_insert_with(|| (age.clone(), row.value.clone()));
            if known.0 <= age {
                *known = (age, row.value);
            }
        }
        if page.next_page_token.is_empty() {
            return newest.into_iter().filter_map(|(key, (_, value))| Some((key, value?))).collect();
        }
        request.page_token = page.next_page_token;
    }
}

async fn known_definition(clients: &Clients, like: &Definition, as_of: Option<AsOf>) -> Option<Definition> {
    use definition::Item;
    let mut catalog = clients.catalog.clone();
    let object = match like.object.as_ref().unwrap() {
        Item::Indicator(given) => {
            let request = GetIndicatorRequest { id: given.id.clone(), as_of };
            Item::Indicator(catalog.get_indicator(request).await.ok()?.into_inner().indicator?)
        }
        Item::Entity(given) => {
            let request = GetEntityRequest { id: given.id.clone(), as_of, ..Default::default() };
            Item::Entity(catalog.get_entity(request).await.ok()?.into_inner().entity?)
        }
        Item::Source(given) => {
            let request = GetSourceRequest { id: given.id.clone(), as_of };
            Item::Source(catalog.get_source(request).await.ok()?.into_inner().source?)
        }
        Item::Ranking(given) => {
            let request = GetRankingRequest { id: given.id.clone(), as_of };
            Item::Ranking(catalog.get_ranking(request).await.ok()?.into_inner().ranking?)
        }
    };
    Some(Definition { item: Some(object) })
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
    let digest = rows.iter().fold(0u64, |sum, row| sum.wrapping_add(digest_of(row)));
    assert_eq!(digest, end.digest);
    if !recording.filters.is_empty() {
        return;
    }
    // Without filters it is all that queries show.
    let as_of = at_revision(end.revision);
    let mut figures = BTreeSet::new();
    let mut expected = BTreeSet::new();
    for row in &rows {
        match row.row.as_ref().unwrap() {
            state_row::Item::Figure(figure) => {
                let line = format!("{figure:?}");
                assert!(figures.insert(line), "a figure twice");
            }
            state_row::Item::Definition(definition) => {
                let known = known_definition(clients, definition, as_of.clone()).await;
                assert_eq!(known.as_ref(), Some(definition));
            }
            state_row::Item::Edition(edition) => {
                let request = GetEditionRequest {
                    ranking: edition.ranking.clone(),
                    edition: edition.edition.clone(),
                    as_of: as_of.clone(),
                };
                let known = clients.rankings.clone().get_edition(request).await.unwrap().into_inner().edition;
                assert_eq!(known.as_ref(), Some(edition));
                let entries = clients.entries(&edition.ranking, &edition.edition, as_of.clone()).await.unwrap();
                let told: Vec<Entry> = rows
                    .iter()
                    .filter_map(|row| match row.row.as_ref().unwrap() {
                        state_row::Item::Entry(row) if row.edition == edition.edition => row.entry.clone(),
                        _ => None,
                    })
                    .collect();
                assert_eq!(told, entries);
            }
            state_row::Item::Entry(_) => {}
        }
    }
    let indicators = clients.catalog_ids(as_of.clone()).await;
    if !indicators.is_empty() {
        let selection = SeriesSelection { indicators, ..Default::default() };
        let observations = clients.observations(selection, as_of).await;
        expected.extend(observations.iter().map(|figure| format!("{figure:?}")));
    }
    // Bulk queries leave out what its licence forbids.
    let closed = SOURCES[3];
    figures.retain(|line| !line.contains(&format!("source: {closed:?}")));
    assert_eq!(figures, expected);
}

/// The digest of a row, by the definition in the documentation.
pub(crate) fn digest_of(row: &StateRow) -> u64 {
    match row.row.as_ref().unwrap() {
        state_row::Item::Figure(figure) => {
            let value = figure.value.as_ref().unwrap();
            let series = [&figure.indicator, &figure.entity, &figure.source].map(String::as_str);
            figure_digest(series, &figure.dimensions, &figure.period, value)
        }
        state_row::Item::Entry(row) => {
            let entry = row.entry.as_ref().unwrap();
            entry_digest(&row.ranking, &row.edition, &entry.entity, entry.rank)
        }
        state_row::Item::Edition(_) | state_row::Item::Definition(_) => 0,
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
