//! The model of the state: a subscriber's copy of the rows, kept by the scopes of changes alone.
//!
//! Invariant: a change must fit the copy. A row that enters is not in the copy; a row that changes or leaves is in the copy
//! and equals the change's row before; a row outside is not in the copy. The digest is updated row by row, as the contract
//! says that a client can do.

use std::collections::BTreeMap;

use almanac::{
    convert::digest::Version,
    proto::{change::Detail, state_row::Item, subscribe_request::Start, subscribe_response::Body as Message, *},
};
use tonic::Status;

use crate::support::{Clients, DEADLINE, WholeCommit, at_revision};

/// The kind of a row and the parts of its key.
pub(crate) type Key = Vec<String>;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Replica {
    rows: BTreeMap<Key, Item>,
    digest: u64,
}

/// Whether a copy can be kept with these filters: causes and moves are properties of changes and not of rows.
pub(crate) fn keep_state(filters: &[Filter]) -> bool {
    filters.iter().all(|filter| filter.causes.is_empty() && filter.min_places == 0)
}

fn key(parts: &[&str]) -> Key {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

pub(crate) fn entry_key(ranking: &str, edition: &str, entity: &str) -> Key {
    key(&["E", ranking, edition, entity])
}

pub(crate) fn key_of_row(row: &Item) -> Key {
    match row {
        Item::Figure(row) => {
            let dimensions: Vec<String> =
                row.dimensions.iter().map(|one| format!("{}={}", one.id, one.value)).collect();
            key(&["V", &row.indicator, &row.entity, &row.source, &dimensions.join(";"), &row.period])
        }
        Item::Edition(row) => key(&["T", &row.ranking, &row.id]),
        Item::Entry(row) => entry_key(&row.ranking, &row.edition, &row.entry.as_ref().unwrap().entity),
        Item::Definition(row) => match row.item.as_ref().unwrap() {
            definition::Item::Indicator(of) => key(&["D", "indicator", &of.id]),
            definition::Item::Entity(of) => key(&["D", "entity", &of.id]),
            definition::Item::Source(of) => key(&["D", "source", &of.id]),
            definition::Item::Ranking(of) => key(&["D", "ranking", &of.id]),
            definition::Item::Methodology(of) => key(&["D", "methodology", &of.id]),
        },
    }
}

/// The key of the row that a change is about.
pub(crate) fn key_of(change: &Change) -> Key {
    match change.detail.as_ref().unwrap() {
        Detail::Value(change) => {
            let rows = [&change.before, &change.after, &change.recorded_version];
            let keys: Vec<Key> = rows.into_iter().flatten().map(|row| key_of_row(&Item::Figure(row.clone()))).collect();
            assert!(keys.windows(2).all(|pair| pair[0] == pair[1]), "all rows in a change have one key: {change:?}");
            keys.into_iter().next().expect("a change of a figure has a row")
        }
        Detail::Entry(change) => entry_key(&change.ranking, &change.edition, &change.entity),
        Detail::Edition(change) => key_of_row(&Item::Edition(change.after.clone().unwrap())),
        Detail::Definition(change) => {
            key_of_row(&Item::Definition(change.after.clone().or(change.before.clone()).unwrap()))
        }
    }
}

/// The row that a change is about, at the revision before and at its own.
pub(crate) fn sides(change: &Change) -> (Option<Item>, Option<Item>) {
    match change.detail.as_ref().unwrap() {
        Detail::Value(change) => (change.before.clone().map(Item::Figure), change.after.clone().map(Item::Figure)),
        Detail::Entry(change) => (entry_row(change, change.before.as_ref()), entry_row(change, change.after.as_ref())),
        Detail::Edition(change) => (edition_row(change.before.as_ref()), edition_row(change.after.as_ref())),
        Detail::Definition(change) => {
            (change.before.clone().map(Item::Definition), change.after.clone().map(Item::Definition))
        }
    }
}

fn entry_row(change: &EntryChange, entry: Option<&Entry>) -> Option<Item> {
    let entry = entry?.clone();
    let ranking = change.ranking.clone();
    let edition = change.edition.clone();
    Some(Item::Entry(StateEntry { ranking, edition, entry: Some(entry) }))
}

/// A withdrawn edition is not a row of the state.
fn edition_row(edition: Option<&Edition>) -> Option<Item> {
    let edition = edition.filter(|edition| edition.status() != EditionStatus::Withdrawn)?;
    Some(Item::Edition(edition.clone()))
}

fn digest_of(row: &Item) -> u64 {
    Version::Rows.of_row(&StateRow { item: Some(row.clone()), matched_filters: Vec::new() })
}

impl Replica {
    /// The copy after the state pages among some messages.
    pub(crate) fn of_state(messages: &[Message]) -> Self {
        let mut replica = Self::default();
        for message in messages {
            if let Message::SnapshotPage(page) = message {
                page.rows.iter().for_each(|row| replica.row(row));
            }
        }
        replica
    }

    /// Adds a row of a state.
    pub(crate) fn row(&mut self, row: &StateRow) {
        let item = row.item.clone().expect("no row without a kind");
        let key = key_of_row(&item);
        assert_eq!(self.put(key.clone(), item), None, "{key:?} twice in a state");
    }

    /// Applies a change by its scope; panics if it does not fit.
    pub(crate) fn apply(&mut self, change: &Change) {
        let key = key_of(change);
        let (before, after) = sides(change);
        match change.scope() {
            ChangeScope::Entered => {
                let after = after.expect("what enters is there");
                assert_eq!(self.put(key.clone(), after), None, "{key:?} entered: {change:?}");
            }
            ChangeScope::Changed => {
                assert!(before.is_some(), "what changes was there: {change:?}");
                let after = after.expect("what changes is there");
                assert_eq!(self.put(key.clone(), after), before, "{key:?} changed: {change:?}");
            }
            ChangeScope::Left => {
                assert!(before.is_some(), "what leaves was there: {change:?}");
                assert_eq!(self.remove(&key), before, "{key:?} left: {change:?}");
            }
            ChangeScope::Outside => assert_eq!(self.rows.get(&key), None, "{key:?} is outside: {change:?}"),
            ChangeScope::Unspecified => panic!("no scope: {change:?}"),
        }
    }

    pub(crate) fn apply_commit(&mut self, commit: &WholeCommit) {
        commit.changes.iter().for_each(|change| self.apply(change));
    }

    fn put(&mut self, key: Key, row: Item) -> Option<Item> {
        self.digest = self.digest.wrapping_add(digest_of(&row));
        let was = self.rows.insert(key, row);
        self.digest = self.digest.wrapping_sub(was.as_ref().map_or(0, digest_of));
        was
    }

    fn remove(&mut self, key: &Key) -> Option<Item> {
        let was = self.rows.remove(key);
        self.digest = self.digest.wrapping_sub(was.as_ref().map_or(0, digest_of));
        was
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Item> {
        self.rows.get(key)
    }

    pub(crate) fn rows(&self) -> &BTreeMap<Key, Item> {
        &self.rows
    }

    /// The digest of all rows, as updated from change to change.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Compares every field of every row, and names the first row that differs.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self, what: &str) {
        let keys = self.rows.keys().chain(other.rows.keys());
        for key in keys {
            assert_eq!(self.rows.get(key), other.rows.get(key), "{what}: {key:?}");
        }
        assert_eq!(self.digest, other.digest, "{what}: the digests");
    }
}

/// Reads the state of a start.
pub(crate) async fn try_read_state(
    clients: &Clients,
    start: Start,
    filters: Vec<Filter>,
) -> Result<(Replica, SnapshotEnd), Status> {
    let request = SubscribeRequest { start: Some(start), filters, ..Default::default() };
    let mut stream = clients.feed.clone().subscribe(request).await?.into_inner();
    let mut replica = Replica::default();
    let mut rows = 0;
    loop {
        let next = tokio::time::timeout(DEADLINE, stream.message()).await;
        let next = next.map_err(|_| Status::deadline_exceeded("the state goes on"))??;
        match next.and_then(|message| message.body) {
            Some(Message::SnapshotPage(page)) => {
                rows += page.rows.len() as u64;
                page.rows.iter().for_each(|row| replica.row(row));
            }
            Some(Message::SnapshotEnd(end)) => {
                assert_eq!((end.row_count, end.digest_version), (rows, 2));
                assert_eq!(end.digest, replica.digest(), "the digest of the state of {}", end.revision);
                return Ok((replica, end));
            }
            Some(Message::Opened(_) | Message::Lag(_)) => {}
            Some(Message::Goodbye(_)) | None => return Err(Status::unavailable("the stream ended within the state")),
            Some(other) => panic!("within a state: {other:?}"),
        }
    }
}

/// Reads the state of a revision.
pub(crate) async fn read_state(clients: &Clients, revision: u64, filters: &[Filter]) -> Replica {
    let start = Start::AsKnownAt(at_revision(revision).unwrap());
    let (replica, end) = try_read_state(clients, start, filters.to_vec()).await.unwrap();
    assert_eq!(end.revision, revision);
    replica
}
