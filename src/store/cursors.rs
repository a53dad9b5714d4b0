//! Stored cursors: resume tokens that clients keep here, each under a name.
//!
//! A stored cursor is what a client says about itself, not a fact; so it is not in the ledger. Its key is `P`, the author,
//! a zero byte and the name: every author has names of its own.
//!
//! Invariants: what [`StoredCursors::get`] returns is durable. Only the writer calls [`StoredCursors::put`] and
//! [`StoredCursors::forget`].

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard},
};

use serde::{Deserialize, Serialize};

use super::{
    bytes::{corrupt, frame, unframe},
    engine::Engine,
    error::Result,
    lock::lock,
    records::{pack, unpack},
};
use crate::model::{id::Revision, time::Instant};

const CURSORS: u8 = b'P';
const VERSION: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCursor {
    pub token: String,
    /// The revision that the token stands for.
    pub revision: Revision,
    /// Hash of the filters that the token was given for.
    pub filters: u64,
    pub stored: Instant,
}

/// (author, name)
type CursorKey = (String, String);

/// All stored cursors of a folder.
#[derive(Debug)]
pub struct StoredCursors {
    engine: Arc<Engine>,
    durable: Mutex<BTreeMap<CursorKey, StoredCursor>>,
}

impl StoredCursors {
    /// Reads all stored cursors into memory; the writer limits their number.
    pub fn open(engine: Arc<Engine>) -> Result<Self> {
        let mut durable = BTreeMap::new();
        for item in engine.scan(&[CURSORS], None) {
            let (key, value) = item?;
            let text = std::str::from_utf8(&key[1..]).map_err(|_| corrupt("a cursor whose name is no text"))?;
            let (author, name) = text.split_once('\0').ok_or_else(|| corrupt("a cursor without an author"))?;
            durable.insert((author.to_owned(), name.to_owned()), unpack(unframe(VERSION, &value)?)?);
        }
        Ok(Self { engine, durable: Mutex::new(durable) })
    }

    /// The number of stored cursors of all authors.
    pub fn count(&self) -> usize {
        self.durable().len()
    }

    /// The cursor that an author stored under a name; `None` if there is none.
    pub fn get(&self, author: &str, name: &str) -> Option<StoredCursor> {
        self.durable().get(&(author.to_owned(), name.to_owned())).cloned()
    }

    /// The cursors of an author with their names, in name order, after a name.
    pub fn after(&self, author: &str, name: &str) -> Vec<(String, StoredCursor)> {
        let from = Bound::Excluded((author.to_owned(), name.to_owned()));
        let durable = self.durable();
        let later = durable.range((from, Bound::Unbounded)).take_while(|((of, _), _)| of == author);
        later.map(|((_, name), cursor)| (name.clone(), cursor.clone())).collect()
    }

    /// Stores a cursor durably. After an error it is not known whether it is on disk.
    pub fn put(&self, author: &str, name: &str, cursor: StoredCursor) -> Result<()> {
        let mut batch = self.engine.batch();
        batch.put(&key(author, name), &frame(VERSION, &pack(&cursor)?))?;
        batch.write()?;
        self.engine.sync()?;
        self.durable().insert((author.to_owned(), name.to_owned()), cursor);
        Ok(())
    }

    /// Removes a cursor durably. After an error it is not known whether it is on disk.
    pub fn forget(&self, author: &str, name: &str) -> Result<()> {
        let mut batch = self.engine.batch();
        batch.remove(&key(author, name))?;
        batch.write()?;
        self.engine.sync()?;
        self.durable().remove(&(author.to_owned(), name.to_owned()));
        Ok(())
    }

    fn durable(&self) -> MutexGuard<'_, BTreeMap<CursorKey, StoredCursor>> {
        lock(&self.durable)
    }
}

/// Copies the stored cursors that are not damaged into another folder of the same history, durably. A repair needs this,
/// because the ledger has no cursors.
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

    fn cursor(revision: u64) -> StoredCursor {
        StoredCursor {
            token: format!("token {revision}"),
            revision: Revision(revision),
            filters: 7,
            stored: Instant(1),
        }
    }

    fn open(folder: &tempfile::TempDir) -> StoredCursors {
        StoredCursors::open(Arc::new(Engine::open(folder.path()).unwrap())).unwrap()
    }

    /// `a` at revision 3, `ab` at 2.
    fn store_two(folder: &tempfile::TempDir) {
        let cursors = open(folder);
        cursors.put("local", "a", cursor(1)).unwrap();
        cursors.put("local", "ab", cursor(2)).unwrap();
        cursors.put("local", "a", cursor(3)).unwrap();
        cursors.put("local", "gone", cursor(4)).unwrap();
        cursors.forget("local", "gone").unwrap();
    }

    #[test]
    fn stored_cursors_are_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        store_two(&folder);
        let cursors = open(&folder);
        assert_eq!(cursors.count(), 2);
        assert_eq!(cursors.get("local", "a"), Some(cursor(3)));
        assert_eq!(cursors.get("local", "ab"), Some(cursor(2)));
        assert_eq!(cursors.get("local", "gone"), None);
        assert_eq!(cursors.get("local", ""), None);
    }

    #[test]
    fn cursors_are_listed_by_author_after_a_name() {
        const CASES: [(&str, &str, &[&str]); 5] = [
            ("local", "", &["a", "ab"]),
            ("local", "a", &["ab"]),
            ("local", "ab", &[]),
            ("loca", "", &[]),
            ("localx", "", &[]),
        ];
        let folder = tempfile::tempdir().unwrap();
        store_two(&folder);
        let cursors = open(&folder);
        for (author, after, expected) in CASES {
            let names: Vec<String> = cursors.after(author, after).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, expected, "{author} after {after:?}");
        }
    }

    #[test]
    fn a_damaged_cursor_is_refused_and_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        store_two(&folder);
        let engine = Arc::new(Engine::open(folder.path()).unwrap());
        let mut batch = engine.batch();
        batch.put(b"Plocal\0ab", b"rubbish").unwrap();
        batch.write().unwrap();
        assert!(StoredCursors::open(engine.clone()).is_err());

        let other = tempfile::tempdir().unwrap();
        let target = Arc::new(Engine::open(other.path()).unwrap());
        copy_cursors(&engine, &target).unwrap();
        let copied = StoredCursors::open(target).unwrap();
        assert_eq!(copied.count(), 1);
        assert_eq!(copied.get("local", "a"), Some(cursor(3)));
    }
}
