//! Keeping a client's cursor: the writer's other work, in turn with commits.
//!
//! Invariant: a cursor never goes back, or to other filters, unless its client says that it should.

use super::writer::WriteError;
use crate::{
    model::{id::Revision, time::Instant},
    store::{
        StoreError,
        cursors::{StoredCursor, StoredCursors},
    },
};

/// Most cursors: a few megabytes.
pub const CURSORS_MAX: usize = 10_000;

/// Where a client wants its cursor.
#[derive(Debug, Clone)]
pub struct CursorMove {
    /// Whose it is.
    pub author: String,
    /// Its name, one of that author.
    pub name: String,
    /// The new place; `None` forgets the cursor.
    pub to: Option<CursorPosition>,
    /// It may go back, or to other filters.
    pub allow_rewind: bool,
}

/// A place that a checked token names.
#[derive(Debug, Clone)]
pub struct CursorPosition {
    /// The token.
    pub token: String,
    /// How far it reaches.
    pub revision: Revision,
    /// The hash of its filters.
    pub filters: u64,
}

/// Why a cursor was not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// It would go back.
    #[error("cursor `{name}` is at revision {stored} and would go back to {given}; say `allow_rewind` if it should")]
    Backwards {
        /// Its name.
        name: String,
        /// Where it is.
        stored: Revision,
        /// Where it would go.
        given: Revision,
    },
    /// It belongs to a subscription with other filters.
    #[error("cursor `{name}` belongs to a subscription with other filters; say `allow_rewind` to replace it")]
    OtherFilters {
        /// Its name.
        name: String,
    },
    /// Forgetting it must be meant.
    #[error("an empty token forgets cursor `{name}`; say `allow_rewind` if that is meant")]
    NotMeant {
        /// Its name.
        name: String,
    },
    /// There are too many.
    #[error("there are {limit} cursors, which is the limit; forget some that nobody uses")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The writer does not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The disk said no; nobody knows where the cursor is.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Moves a cursor, or makes one if there are fewer than `limit`; says where it is now. Durable afterwards.
pub(super) fn keep(
    cursors: &StoredCursors,
    given: CursorMove,
    limit: usize,
    now: Instant,
) -> Result<Option<StoredCursor>, CursorError> {
    let CursorMove { author, name, to, allow_rewind } = given;
    let known = cursors.get(&author, &name);
    let Some(to) = to else {
        if !allow_rewind {
            return Err(CursorError::NotMeant { name });
        }
        if known.is_some() {
            cursors.forget(&author, &name)?;
        }
        return Ok(None);
    };
    match known {
        // A retry costs nothing.
        Some(known) if known.token == to.token => return Ok(Some(known)),
        Some(known) if !allow_rewind && known.filters != to.filters => {
            return Err(CursorError::OtherFilters { name });
        }
        Some(known) if !allow_rewind && known.revision > to.revision => {
            return Err(CursorError::Backwards { name, stored: known.revision, given: to.revision });
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
    use crate::store::Engine;

    fn to(name: &str, revision: u64, filters: u64) -> CursorMove {
        let place = CursorPosition { token: format!("{revision} of {filters}"), revision: Revision(revision), filters };
        CursorMove { author: "local".into(), name: name.into(), to: Some(place), allow_rewind: false }
    }

    fn rewind(given: CursorMove) -> CursorMove {
        CursorMove { allow_rewind: true, ..given }
    }

    #[test]
    fn a_cursor_goes_forward_within_its_filters_and_their_number_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let cursors = StoredCursors::open(Arc::new(Engine::open(folder.path()).unwrap())).unwrap();
        let keep = |given| keep(&cursors, given, 2, Instant(0));
        let first = keep(to("a", 5, 1)).unwrap();
        assert_eq!(keep(to("a", 5, 1)).unwrap(), first);
        assert!(matches!(keep(to("a", 4, 1)), Err(CursorError::Backwards { stored: Revision(5), .. })));
        assert!(matches!(keep(to("a", 6, 2)), Err(CursorError::OtherFilters { .. })));
        assert_eq!(cursors.get("local", "a"), first);
        keep(rewind(to("a", 4, 2))).unwrap();
        assert_eq!(cursors.get("local", "a").unwrap().revision, Revision(4));
        keep(to("b", 1, 1)).unwrap();
        assert!(matches!(keep(rewind(to("c", 1, 1))), Err(CursorError::TooMany { limit: 2 })));
        keep(to("b", 2, 1)).unwrap();
        let forget = CursorMove { to: None, ..to("b", 0, 0) };
        assert!(matches!(keep(forget.clone()), Err(CursorError::NotMeant { .. })));
        assert_eq!(keep(rewind(forget)).unwrap(), None);
        keep(to("c", 1, 1)).unwrap();
        assert_eq!((cursors.count(), cursors.get("local", "b")), (2, None));
    }

    #[test]
    fn each_author_has_names_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let cursors = StoredCursors::open(Arc::new(Engine::open(folder.path()).unwrap())).unwrap();
        let keep = |given| keep(&cursors, given, 2, Instant(0));
        let of_other = |given| CursorMove { author: "other".into(), ..given };
        keep(to("a", 5, 1)).unwrap();
        keep(of_other(to("a", 3, 2))).unwrap();
        assert_eq!(cursors.get("local", "a").unwrap().revision, Revision(5));
        assert_eq!(cursors.get("other", "a").unwrap().revision, Revision(3));
        assert!(matches!(keep(to("b", 1, 1)), Err(CursorError::TooMany { limit: 2 })), "all authors together");
        keep(rewind(of_other(CursorMove { to: None, ..to("a", 0, 0) }))).unwrap();
        assert_eq!((cursors.get("other", "a"), cursors.count()), (None, 1));
    }
}
