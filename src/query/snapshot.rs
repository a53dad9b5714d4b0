//! The point of history that a query answers at, and the reader that fixes it.
//!
//! Invariant: a [`Snapshot`] answers the same however long it is held, because versions never change and commits above its
//! revision are outside its horizon.

use std::sync::Arc;

use super::{QueryError, commits::CommitCache};
use crate::{
    ledger::Ledger,
    model::{
        catalog::DefinitionKind,
        change::Commit,
        id::Revision,
        series::Horizon,
        time::{Date, Instant},
    },
    store::{
        StoreError,
        catalog::Catalog,
        suggestions::Suggestions,
        view::{Access, View},
    },
};

/// A point of history, as a request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AsOf {
    /// The newest applied revision.
    #[default]
    Head,
    Revision(Revision),
    /// The newest revision that was recorded at or before an instant of the server's clock.
    Recorded(Instant),
    /// What producers had released by the end of a day, as known at head.
    Released(Date),
    /// The horizon of an earlier page of the same answer.
    Pinned(Horizon),
}

/// Reads the view, and from the ledger the commits. Clones share one cache of commits.
#[derive(Debug, Clone)]
pub struct Reader {
    ledger: Arc<Ledger>,
    view: Arc<View>,
    commits: Arc<CommitCache>,
}

impl Reader {
    /// Reads from these.
    pub fn new(ledger: Arc<Ledger>, view: Arc<View>) -> Self {
        Self { ledger, view, commits: Arc::default() }
    }

    /// The newest revision that readers see.
    pub fn head(&self) -> Revision {
        self.view.applied()
    }

    /// The ledger.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Fixes the point of history to answer at. [`QueryError::AboveHead`] for a revision that does not exist yet.
    pub fn at(&self, as_of: AsOf) -> Result<Snapshot, QueryError> {
        let head = self.head();
        let horizon = match as_of {
            AsOf::Head => Horizon::at(head),
            AsOf::Revision(asked) | AsOf::Pinned(Horizon { revision: asked, .. }) if asked > head => {
                return Err(QueryError::AboveHead { asked, head });
            }
            AsOf::Revision(revision) => Horizon::at(revision),
            AsOf::Recorded(instant) => Horizon::at(self.revision_at(instant)?),
            AsOf::Released(released) => Horizon { revision: head, released },
            AsOf::Pinned(horizon) => horizon,
        };
        Ok(Snapshot { reader: self.clone(), catalog: self.view.catalog(), horizon, access: Access::Disk })
    }

    /// Fixes the point of history of a whole state that all later commits follow. Since commits follow by revision, a
    /// release date stands for the newest revision that brought something released by then; if there is none, for the
    /// empty revision 0.
    pub fn state_at(&self, as_of: AsOf) -> Result<Snapshot, QueryError> {
        match as_of {
            AsOf::Released(day) => self.at(AsOf::Revision(self.revision_released_by(day)?)),
            as_of => self.at(as_of),
        }
    }

    /// The newest revision that was recorded at or before an instant; 0 if there is none.
    pub fn revision_at(&self, instant: Instant) -> Result<Revision, StoreError> {
        // A binary search, because recorded times never decrease.
        let mut below = 0;
        let mut above = self.head().0 + 1;
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            if self.commit(Revision(middle))?.recorded <= instant { below = middle } else { above = middle }
        }
        Ok(Revision(below))
    }

    /// The newest revision that brought something released on or before a day and is not reverted; 0 if there is none.
    pub fn revision_released_by(&self, day: Date) -> Result<Revision, StoreError> {
        let catalog = self.view.catalog();
        let head = self.head();
        self.commits.read_release_dates(&self.ledger, head)?;
        let mut revision = head;
        while revision > Revision::ZERO {
            let released = self.commits.released(&self.ledger, revision)?;
            if released.is_some_and(|released| released <= day) && !catalog.reverts().is_reverted(revision, head) {
                break;
            }
            revision = Revision(revision.0 - 1);
        }
        Ok(revision)
    }

    /// The commit of a revision from 1 to head. [`StoreError::Corrupt`] if the ledger lacks it.
    pub fn commit(&self, revision: Revision) -> Result<Arc<Commit>, StoreError> {
        self.commits.commit(&self.ledger, revision, Access::Disk)
    }
}

/// One point of history. Queries are its methods.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub reader: Reader,
    /// The catalog with all versions, also those above the horizon.
    pub catalog: Arc<Catalog>,
    pub horizon: Horizon,
    /// Where it may look.
    pub(super) access: Access,
}

impl Snapshot {
    pub fn revision(&self) -> Revision {
        self.horizon.revision
    }

    pub fn view(&self) -> &View {
        &self.reader.view
    }

    /// The same point of history, answered from memory alone: with [`StoreError::NotInMemory`] if an answer needs the disk,
    /// or takes long. Only [`Snapshot::figure`] answers so.
    pub fn in_memory(mut self) -> Self {
        self.access = Access::Memory;
        self
    }

    /// Fails with [`StoreError::NotInMemory`] where only what is in memory and short may be answered.
    pub(super) fn allow_long_work(&self) -> Result<(), StoreError> {
        if self.access == Access::Disk { Ok(()) } else { Err(StoreError::NotInMemory) }
    }

    /// The commit of a revision within the horizon.
    pub(super) fn commit(&self, revision: Revision) -> Result<Arc<Commit>, StoreError> {
        self.reader.commits.commit(&self.reader.ledger, revision, self.access)
    }

    /// Fails with [`QueryError::Unknown`] if no definition has the id at this point of history.
    pub fn require(&self, kind: DefinitionKind, id: &str) -> Result<(), QueryError> {
        match self.catalog.definition(kind, id, self.revision()) {
            Some(_) => Ok(()),
            None => {
                self.allow_long_work()?;
                Err(self.unknown(kind, id))
            }
        }
    }

    /// The error that an id is unknown, with ids near it.
    pub fn unknown(&self, kind: DefinitionKind, id: &str) -> QueryError {
        QueryError::Unknown {
            kind,
            id: id.to_owned(),
            near: Suggestions::definitions(&self.catalog, kind, id, self.revision()),
        }
    }

    /// Fails with [`QueryError::ReleasedUnsupported`] if the horizon has a release date: definitions have none.
    pub fn without_release_dates(self) -> Result<Self, QueryError> {
        if self.horizon.released == Date::MAX { Ok(self) } else { Err(QueryError::ReleasedUnsupported) }
    }
}
