//! Promises about rows: before-rows, complete states, copies kept by scopes, all compared with what queries answer.

use std::collections::BTreeMap;

use almanac::{
    convert::digest::Version,
    proto::{change::Detail, state_row::Item, subscribe_request::Start, subscribe_response::Body as Message, *},
};

use super::{commit_log::CommitLog, digest::digest_of};
use crate::support::{
    Clients, at_revision,
    fixture::SOURCES,
    replica::{self, Key, Replica, read_state},
    watch::{Recording, covered},
};

/// Rows before a change equal the state at the revision before; so do the rows that entries are compared with.
pub(crate) async fn before_rows_are_true(clients: &Clients, log: &CommitLog, recording: &Recording) {
    let commits = recording.commits();
    // Reading a state is slow, so only the newest commits are checked: they have the most history behind them.
    for commit in commits.iter().rev().take(6) {
        let state = log.state_at(clients, commit.commit.revision - 1).await;
        for change in &commit.changes {
            let key = replica::key_of(change);
            let before = replica::sides(change).0;
            assert_eq!(state.get(&key), before.as_ref(), "{key:?} before {}", commit.commit.revision);
            if let Some(Detail::Entry(change)) = &change.detail {
                comparison_is_true(&state, change);
            }
        }
    }
}

/// An entry is compared with its row in another edition, or with its own row at the revision before.
fn comparison_is_true(state: &Replica, change: &EntryChange) {
    let earlier = match change.compared_with.as_str() {
        "" => None,
        edition => match state.get(&replica::entry_key(&change.ranking, edition, &change.entity)) {
            Some(Item::Entry(row)) => row.entry.as_ref(),
            None => None,
            other => panic!("{other:?}"),
        },
    };
    let compared = if change.compared_with == change.edition { &change.before } else { &change.compared };
    assert_eq!(compared.as_ref(), earlier, "{} compared with {}", change.entity, change.compared_with);
    assert!(change.compared_with != change.edition || change.compared.is_none());
    let is_absent = compared.is_none() && !change.compared_with.is_empty();
    assert_eq!(change.earlier_absence.is_some(), is_absent, "{change:?}");
    assert_eq!(change.later_absence.is_some(), change.after.is_none());
    let table = state.rows().values().filter(
        |row| matches!(row, Item::Entry(row) if row.ranking == change.ranking && row.edition == change.compared_with),
    );
    assert_eq!(change.compared_entry_count as usize, table.count(), "entries of {}", change.compared_with);
    let Some((earlier, later)) = earlier.zip(change.after.as_ref()) else {
        assert_eq!(change.places, None);
        assert!(!change.renamed);
        return;
    };
    let places = earlier.rank.zip(later.rank).map(|(from, to)| i64::from(from) - i64::from(to));
    assert_eq!(change.places.map(i64::from), places);
    assert_eq!(change.renamed, earlier.published_name != later.published_name);
}

/// A copy kept by scopes alone equals the state, read again, row by row and field by field.
pub(crate) async fn copied(clients: &Clients, recording: &Recording) {
    if !replica::keep_state(&recording.filters) || recording.pages().iter().any(|page| page.conflated_from > 0) {
        return;
    }
    let mut copy = match recording.snapshot_end() {
        Some(_) => Replica::of_state(&recording.messages),
        // The state did not come whole, so there is no copy.
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

/// The state is complete: its pages, its row count and its digest agree.
pub(crate) async fn state_is_complete(clients: &Clients, recording: &Recording) {
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
    let version = Version::numbered(end.digest_version).expect("a known version");
    let digest = match version {
        Version::Numbers => rows.iter().fold(0u64, |sum, row| sum.wrapping_add(digest_of(row))),
        Version::Rows => Replica::of_state(&recording.messages).digest(),
    };
    assert_eq!(digest, end.digest);
    if recording.filters.is_empty() {
        as_queried(clients, &Replica::of_state(&recording.messages), end.revision).await;
    }
}

/// A state without filters has the rows that queries answer, in every field.
pub(super) async fn as_queried(clients: &Clients, state: &Replica, revision: u64) {
    let as_of = at_revision(revision);
    let mut figures = BTreeMap::new();
    let mut entries: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (key, row) in state.rows() {
        match row {
            Item::Figure(figure) => {
                assert_ne!(figure.source, SOURCES[3], "its licence forbids redistribution");
                figures.insert(key.clone(), figure.clone());
            }
            Item::Definition(definition) => {
                let known = known_definition(clients, definition, as_of.clone()).await;
                assert_eq!(known.as_ref(), Some(definition));
            }
            Item::Edition(edition) => edition_as_queried(clients, state, edition, as_of.clone()).await,
            Item::Entry(row) => *entries.entry((&row.ranking, &row.edition)).or_default() += 1,
        }
    }
    for ((ranking, edition), count) in entries {
        let key = ["T", ranking, edition].map(str::to_owned).to_vec();
        let Some(Item::Edition(row)) = state.get(&key) else { panic!("entries of {edition}, which is not there") };
        assert_eq!(row.entry_count as usize, count, "{edition}");
    }
    assert_eq!(figures, queried_figures(clients, as_of).await);
}

async fn edition_as_queried(clients: &Clients, state: &Replica, edition: &Edition, as_of: Option<AsOf>) {
    let request = GetEditionRequest {
        ranking: edition.ranking.clone(),
        edition: edition.id.clone(),
        as_of: as_of.clone(),
        ..Default::default()
    };
    let known = clients.rankings.clone().get_edition(request).await.unwrap().into_inner().edition;
    assert_eq!(known.as_ref(), Some(edition));
    let listed = clients.entries(&edition.ranking, &edition.id, as_of).await.unwrap();
    assert_eq!(edition.entry_count as usize, listed.len());
    for entry in listed {
        let row = state.get(&replica::entry_key(&edition.ranking, &edition.id, &entry.entity));
        let expected = Item::Entry(StateEntry {
            ranking: edition.ranking.clone(),
            edition: edition.id.clone(),
            entry: Some(entry),
        });
        assert_eq!(row, Some(&expected));
    }
}

async fn queried_figures(clients: &Clients, as_of: Option<AsOf>) -> BTreeMap<Key, Observation> {
    let mut figures = BTreeMap::new();
    let indicators = clients.catalog_ids(as_of.clone()).await;
    if indicators.is_empty() {
        return figures;
    }
    let selection = SeriesSelection { indicators, ..Default::default() };
    for figure in clients.observations(selection, as_of).await {
        // Only answers of queries say which release confirmed a figure.
        let figure = Observation { last_released: String::new(), ..figure };
        figures.insert(replica::key_of_row(&Item::Figure(figure.clone())), figure);
    }
    figures
}
