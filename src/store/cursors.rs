//! Named cursors: resume tokens that clients keep here under names of their own.
//!
//! A cursor is no fact and not in the ledger: it says how far a client said it came. Its key is `P`, its author, a zero byte, and its
//! name: each author has names of its own.
//!
//! Invariants: what [`StoredCursors::get`] shows is durable. Only the writer calls [`StoredCursors::put`] and [`StoredCursors::forget`].

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard},
};

use serde::{Deserialize, Serialize};

use super::{
    bytes::{corrupt, frame, unframe},
    engine::{Engine, Result},
    lock::lock,
    records::{pack, unpack},
};
use crate::model::{id::Revision, time::Instant};

const CURSORS: u8 = b'P';
const VERSION: u8 = 1;

/// What a client keeps under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCursor {
    /// The token.
    pub token: String,
    /// How far it reaches.
    pub revision: Revision,
    /// The hash of the filters it is for.
    pub filters: u64,
    /// When it was kept.
    pub stored: Instant,
}

/// All cursors of a folder.
#[derive(Debug)]
pub struct StoredCursors {
    engine: Arc<Engine>,
    /// Those that are durable.
    known: Mutex<BTreeMap<(String, String), StoredCursor>>,
}

impl StoredCursors {
    /// Reads all there are; a writer bounds their number.
    pub fn open(engine: Arc<Engine>) -> Result<Self> {
        let mut known = BTreeMap::new();
        for item in engine.scan(&[CURSORS], None) {
            let (key, value) = item?;
            let text = std::str::from_utf8(&key[1..]).map_err(|_| corrupt("a cursor whose name is no text"))?;
            let (author, name) = text.split_once('\0').ok_or_else(|| corrupt("a cursor without an author"))?;
            known.insert((author.to_owned(), name.to_owned()), unpack(unframe(VERSION, &value)?)?);
        }
        Ok(Self { engine, known: Mutex::new(known) })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.known().len()
    }

    /// The cursor of a name.
    pub fn get(&self, author: &str, name: &str) -> Option<StoredCursor> {
        self.known().get(&(author.to_owned(), name.to_owned())).cloned()
    }

    /// The cursors of an author, in name order, after one.
    pub fn after(&self, author: &str, name: &str) -> Vec<(String, StoredCursor)> {
        let from = Bound::Excluded((author.to_owned(), name.to_owned()));
        let known = self.known();
        let later = known.range((from, Bound::Unbounded)).take_while(|((of, _), _)| of == author);
        later.map(|((_, name), cursor)| (name.clone(), cursor.clone())).collect()
    }

    /// Keeps a cursor. Durable afterwards; an error means that nobody knows.
    pub fn put(&self, author: &str, name: &str, cursor: StoredCursor) -> Result<()> {
        let mut batch = self.engine.batch();
        batch.put(&key(author, name), &frame(VERSION, &pack(&cursor)?))?;
        batch.write()?;
        self.engine.sync()?;
        self.known().insert((author.to_owned(), name.to_owned()), cursor);
        Ok(())
    }

    /// Forgets a cursor, durably.
    pub fn forget(&self, author: &str, name: &str) -> Result<()> {
        let mut batch = self.engine.batch();
        batch.remove(&key(author, name))?;
        batch.write()?;
        self.engine.sync()?;
        self.known().remove(&(author.to_owned(), name.to_owned()));
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<(String, String), StoredCursor>> {
        lock(&self.known)
    }
}

/// Copies the whole cursors of one folder into another of the same history: a repair must not lose them.
pub fn copy_cursors(from: &Engine, to: &Engine) -> Result<()> {
    let mut batch = to.batch();
    for item in from.scan(&[CURSORS], None) {
        let (key, value) = item?;
        if unframe(VERSION, &value).is_ok() {
            batch.put(&key, &value)?;
        }
    }
    batch.write()?;
    to.sync()
}

fn key(author: &str, name: &str) -> Vec<u8> {
    [&[CURSORS], author.as_bytes(), &[0], name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_are_carried_unless_they_are_damaged() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cursor = |revision| StoredCursor {
            token: format!("token {revision}"),
            revision: Revision(revision),
            filters: 7,
            stored: Instant(1),
        };
        let open = || StoredCursors::open(Arc::new(Engine::open(folder.path()).unwrap())).unwrap();
        let cursors = open();
        cursors.put("local", "a", cursor(1)).unwrap();
        cursors.put("local", "ab", cursor(2)).unwrap();
        cursors.put("local", "a", cursor(3)).unwrap();
        cursors.put("local", "gone", cursor(4)).unwrap();
        cursors.forget("local", "gone").unwrap();
        drop(cursors);
        let cursors = open();
        assert_eq!((cursors.get("local", "a"), cursors.get("local", "ab")), (Some(cursor(3)), Some(cursor(2))));
        assert_eq!((cursors.count(), cursors.get("local", "gone"), cursors.get("local", "")), (2, None, None));
        let names = |author: &str, after: &str| {
            let later = cursors.after(author, after).into_iter();
            later.map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(
            (names("local", ""), names("local", "a"), names("local", "ab")),
            (vec!["a".to_owned(), "ab".to_owned()], vec!["ab".to_owned()], Vec::new())
        );
        assert_eq!((names("loca", ""), names("localx", "")), (Vec::new(), Vec::new()));

        let mut batch = cursors.engine.batch();
        batch.put(b"Plocal\0ab", b"rubbish").unwrap();
        batch.write().unwrap();
        assert!(StoredCursors::open(cursors.engine.clone()).is_err());
        let target = Arc::new(Engine::open(other.path()).unwrap());
        copy_cursors(&cursors.engine, &target).unwrap();
        let carried = StoredCursors::open(target).unwrap();
        assert_eq!((carried.get("local", "a"), carried.count()), (Some(cursor(3)), 1));
    }
}
