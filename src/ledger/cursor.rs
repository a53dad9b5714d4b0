//! The rules by which a client's stored cursor moves. The writer applies them between commits.
//!
//! Invariant: a cursor never goes back or to other filters, unless its client says `allow_rewind`.

use super::writer::WriteError;
use crate::{
    model::{id::Revision, time::Instant},
    store::{
        StoreError,
        cursors::{StoredCursor, StoredCursors},
    },
};

/// Most cursors, of all authors together. They take a few megabytes.
pub const CURSORS_MAX: usize = 10_000;

/// Where a client wants to put its cursor.
#[derive(Debug, Clone)]
pub struct CursorMove {
    /// The owner. Each author has names of its own.
    pub author: String,
    pub name: String,
    /// The new position; `None` forgets the cursor.
    pub to: Option<CursorPosition>,
    /// The cursor may go back, or to other filters, or be forgotten.
    pub allow_rewind: bool,
}

/// A position of a subscription, from a token that was checked.
#[derive(Debug, Clone)]
pub struct CursorPosition {
    pub token: String,
    /// The token covers everything up to this revision.
    pub revision: Revision,
    /// Hash of the filters of the subscription.
    pub filters: u64,
}

/// Why a cursor did not move.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// The cursor would go back.
    #[error(
        "cursor `{name}` is at revision {stored} and would go back to {requested}; say `allow_rewind` if it should"
    )]
    Backwards {
        name: String,
        /// Where the cursor is.
        stored: Revision,
        /// Where it would go.
        requested: Revision,
    },
    /// The cursor belongs to a subscription with other filters.
    #[error("cursor `{name}` belongs to a subscription with other filters; say `allow_rewind` to replace it")]
    OtherFilters { name: String },
    /// An empty token came without `allow_rewind`: it may be a mistake, and it would forget the cursor.
    #[error("an empty token forgets cursor `{name}`; say `allow_rewind` if that is meant")]
    NotMeant { name: String },
    /// There is no room for another cursor.
    #[error("there are {limit} cursors, which is the limit; forget some that nobody uses")]
    TooMany { limit: usize },
    /// The writer takes no command.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The disk failed: nobody knows where the cursor is.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Moves or forgets a cursor, or makes one if there are fewer than `limit`. The move is durable afterwards. Returns where
/// the cursor is now.
pub(super) fn move_cursor(
    cursors: &StoredCursors,
    cursor_move: CursorMove,
    limit: usize,
    now: Instant,
) -> Result<Option<StoredCursor>, CursorError> {
    let CursorMove { author, name, to, allow_rewind } = cursor_move;
    let stored = cursors.get(&author, &name);
    let Some(to) = to else {
        if !allow_rewind {
            return Err(CursorError::NotMeant { name });
        }
        if stored.is_some() {
            cursors.forget(&author, &name)?;
        }
        return Ok(None);
    };
    match stored {
        // A retry costs no write.
        Some(stored) if stored.token == to.token => return Ok(Some(stored)),
        Some(stored) if !allow_rewind && stored.filters != to.filters => {
            return Err(CursorError::OtherFilters { name });
        }
        Some(stored) if !allow_rewind && stored.revision > to.revision => {
            return Err(CursorError::Backwards { name, stored: stored.revision, requested: to.revision });
        }
        None if cursors.count() >= limit => return Err(CursorError::TooMany { limit }),
        _ => {}
    }
    let cursor = StoredCursor { token: to.token, revision: to.revision, filters: to.filters, stored: now };
    cursors.put(&author, &name, cursor.clone())?;
    Ok(Some(cursor))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::{Engine, memory::MemoryDisk};

    /// Stored cursors with room for two.
    struct Fixture(StoredCursors);

    impl Fixture {
        fn new() -> Self {
            Self(StoredCursors::open(Arc::new(Engine::in_memory(MemoryDisk::default()))).unwrap())
        }

        fn apply(&self, cursor_move: CursorMove) -> Result<Option<StoredCursor>, CursorError> {
            move_cursor(&self.0, cursor_move, 2, Instant(0))
        }

        fn revision(&self, author: &str, name: &str) -> Option<Revision> {
            self.0.get(author, name).map(|cursor| cursor.revision)
        }
    }

    fn to(name: &str, revision: u64, filters: u64) -> CursorMove {
        let token = format!("{revision} of {filters}");
        let position = CursorPosition { token, revision: Revision(revision), filters };
        CursorMove { author: "local".into(), name: name.into(), to: Some(position), allow_rewind: false }
    }

    fn rewind(cursor_move: CursorMove) -> CursorMove {
        CursorMove { allow_rewind: true, ..cursor_move }
    }

    fn forget(name: &str) -> CursorMove {
        CursorMove { to: None, ..to(name, 0, 0) }
    }

    fn of_other(cursor_move: CursorMove) -> CursorMove {
        CursorMove { author: "other".into(), ..cursor_move }
    }

    #[test]
    fn a_cursor_goes_forward_and_a_retry_leaves_it() {
        let cursors = Fixture::new();
        let first = cursors.apply(to("a", 5, 1)).unwrap();
        assert_eq!(cursors.apply(to("a", 5, 1)).unwrap(), first);
        cursors.apply(to("a", 6, 1)).unwrap();
        assert_eq!(cursors.revision("local", "a"), Some(Revision(6)));
    }

    #[test]
    fn a_cursor_goes_back_or_to_other_filters_only_if_its_client_says_so() {
        let cursors = Fixture::new();
        cursors.apply(to("a", 5, 1)).unwrap();
        assert!(matches!(
            cursors.apply(to("a", 4, 1)),
            Err(CursorError::Backwards { stored: Revision(5), requested: Revision(4), .. })
        ));
        assert!(matches!(cursors.apply(to("a", 6, 2)), Err(CursorError::OtherFilters { .. })));
        assert_eq!(cursors.revision("local", "a"), Some(Revision(5)));
        cursors.apply(rewind(to("a", 4, 2))).unwrap();
        assert_eq!(cursors.revision("local", "a"), Some(Revision(4)));
    }

    #[test]
    fn a_cursor_is_forgotten_only_if_its_client_says_so() {
        let cursors = Fixture::new();
        cursors.apply(to("a", 5, 1)).unwrap();
        assert!(matches!(cursors.apply(forget("a")), Err(CursorError::NotMeant { .. })));
        assert_eq!(cursors.apply(rewind(forget("a"))).unwrap(), None);
        assert_eq!(cursors.revision("local", "a"), None);
    }

    #[test]
    fn there_are_at_most_so_many_cursors_of_all_authors_together() {
        let cursors = Fixture::new();
        cursors.apply(to("a", 1, 1)).unwrap();
        cursors.apply(of_other(to("a", 1, 1))).unwrap();
        assert!(matches!(cursors.apply(rewind(to("c", 1, 1))), Err(CursorError::TooMany { limit: 2 })));
        cursors.apply(to("a", 2, 1)).unwrap();
        cursors.apply(rewind(of_other(forget("a")))).unwrap();
        cursors.apply(to("c", 1, 1)).unwrap();
        assert_eq!(cursors.0.count(), 2);
    }

    #[test]
    fn each_author_has_names_of_its_own() {
        let cursors = Fixture::new();
        cursors.apply(to("a", 5, 1)).unwrap();
        cursors.apply(of_other(to("a", 3, 2))).unwrap();
        assert_eq!(cursors.revision("local", "a"), Some(Revision(5)));
        assert_eq!(cursors.revision("other", "a"), Some(Revision(3)));
        cursors.apply(rewind(of_other(forget("a")))).unwrap();
        assert_eq!(cursors.revision("local", "a"), Some(Revision(5)));
    }
}
