//! A subscriber's copy of the state: whole rows, kept by the scopes of changes alone.
//!
//! Invariant: it forgives nothing. What enters must not be there, what changes or leaves must be there as the change says it
//! was, what is outside must not be there. The digest is kept row by row, as the contract says that a client can.

use std::collections::BTreeMap;

use almanac::{
    convert::digest::Version,
    proto::{change::Detail, state_row::Item, subscribe_request::Start, subscribe_response::Body as Message, *},
};
use tonic::Status;

use crate::harness::{Clients, DEADLINE, WholeCommit, at_revision};

/// What names a row: its kind and the parts of its key.
pub(crate) type Key = Vec<String>;

/// The copy.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Replica {
    rows: BTreeMap<Key, Item>,
    digest: u64,
}

/// Whether what these filters let through is a state, so that a copy can be kept by it. Causes and moves are properties of
/// changes and not of rows.
pub(crate) fn keep_state(filters: &[Filter]) -> bool {
    filters.iter().all(|filter| filter.causes.is_empty() && filter.min_places == 0)
}

fn key(parts: &[&str]) -> Key {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

/// The key of an entry.
pub(crate) fn entry_key(ranking: &str, edition: &str, entity: &str) -> Key {
    key(&["E", ranking, edition, entity])
}

/// The key of a row.
pub(crate) fn key_of_row(row: &Item) -> Key {
    match row {
        Item::Figure(row) => {
            let dimensions: Vec<String> = row.dimensions.iter().map(|one| format!("{}={}", one.id, one.value)).collect();
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

/// The key that a change is about.
pub(crate) fn key_of(change: &Change) -> Key {
    match change.detail.as_ref().unwrap() {
        Detail::Value(change) => {
            let rows = [&change.before, &change.after, &change.recorded_version];
            let keys: Vec<Key> =
                rows.into_iter().flatten().map(|row| key_of_row(&Item::Figure(row.clone()))).collect();
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

/// The rows of the key of a change, at the revision before and now.
pub(crate) fn sides(change: &Change) -> (Option<Item>, Option<Item>) {
    match change.detail.as_ref().unwrap() {
        Detail::Value(change) => (change.before.clone().map(Item::Figure), change.after.clone().map(Item::Figure)),
        Detail::Entry(change) => {
            let (ranking, edition) = (&change.ranking, &change.edition);
            let row = |entry: &Option<Entry>| {
                let entry = Some(entry.clone()?);
                Some(Item::Entry(StateEntry { ranking: ranking.clone(), edition: edition.clone(), entry }))
            };
            (row(&change.before), row(&change.after))
        }
        Detail::Edition(change) => {
            let stands = |edition: &&Edition| edition.status() != EditionStatus::Withdrawn;
            let row = |edition: &Option<Edition>| edition.as_ref().filter(stands).cloned().map(Item::Edition);
            (row(&change.before), row(&change.after))
        }
        Detail::Definition(change) => {
            (change.before.clone().map(Item::Definition), change.after.clone().map(Item::Definition))
        }
    }
}

fn digest_of(row: &Item) -> u64 {
    Version::Rows.of_row(&StateRow { item: Some(row.clone()), matched_filters: Vec::new() })
}

impl Replica {
    /// The rows of a state.
    pub(crate) fn of_state(messages: &[Message]) -> Self {
        let mut replica = Self::default();
        for message in messages {
            if let Message::SnapshotPage(page) = message {
                page.rows.iter().for_each(|row| replica.row(row));
            }
        }
        replica
    }

    /// Takes a row of a state.
    pub(crate) fn row(&mut self, row: &StateRow) {
        let item = row.item.clone().expect("no row without a kind");
        let key = key_of_row(&item);
        assert_eq!(self.put(key.clone(), item), None, "{key:?} twice in a state");
    }

    /// Applies a change by its scope.
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

    /// Applies a whole commit.
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

    /// Of all rows, as it was kept from change to change.
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

/// The state that a start with one gives, read afresh.
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

/// The state of a revision, as filters let it through.
pub(crate) async fn read_state(clients: &Clients, revision: u64, filters: &[Filter]) -> Replica {
    let start = Start::AsKnownAt(at_revision(revision).unwrap());
    let (replica, end) = try_read_state(clients, start, filters.to_vec()).await.unwrap();
    assert_eq!(end.revision, revision);
    replica
}
