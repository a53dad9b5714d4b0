//! The point of history that a query answers at.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::QueryError;
use crate::{
    ledger::Ledger,
    model::{
        catalog::DefinitionKind,
        change::Commit,
        id::Revision,
        series::Horizon,
        time::{Date, Instant},
    },
    store::{StoreError, catalog::Catalog, lock::lock, suggestions::Suggestions, view::View},
};

/// Commits kept at hand for the times and causes of figures.
const CACHED_COMMITS_MAX: usize = 4_096;

/// A point of history, as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AsOf {
    /// Now.
    #[default]
    Head,
    /// What a revision held.
    Revision(Revision),
    /// What was held at an instant of our clock.
    Recorded(Instant),
    /// What was published by the end of a day.
    Released(Date),
    /// Where an earlier page of the same answer was read.
    Pinned(Horizon),
}

/// Reads the ledger and the view together.
#[derive(Debug, Clone)]
pub struct Reader {
    ledger: Arc<dyn Ledger>,
    view: Arc<View>,
    commits: Arc<Mutex<HashMap<Revision, Arc<Commit>>>>,
}

impl Reader {
    /// Reads from these.
    pub fn new(ledger: Arc<dyn Ledger>, view: Arc<View>) -> Self {
        Self { ledger, view, commits: Arc::default() }
    }

    /// The newest revision that readers see.
    pub fn head(&self) -> Revision {
        self.view.applied()
    }

    /// The ledger.
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// The view.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Fixes the point of history to answer at.
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
        Ok(Snapshot { reader: self.clone(), catalog: self.view.catalog(), horizon })
    }

    /// Fixes the point of history of which the whole state is wanted, with every later commit to follow. Commits follow by
    /// revision, so it must be a revision: a release date means the newest one that brought something released by then.
    /// Before the first such revision the state is empty.
    pub fn state_at(&self, as_of: AsOf) -> Result<Snapshot, QueryError> {
        match as_of {
            AsOf::Released(day) => self.at(AsOf::Revision(self.revision_released_by(day)?)),
            as_of => self.at(as_of),
        }
    }

    /// The newest revision recorded at or before an instant.
    pub fn revision_at(&self, instant: Instant) -> Result<Revision, StoreError> {
        // Recorded times never decrease, so a search by halves finds it.
        let (mut below, mut above) = (0, self.head().0 + 1);
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            if self.commit(Revision(middle))?.recorded <= instant { below = middle } else { above = middle }
        }
        Ok(Revision(below))
    }

    /// The newest revision that brought something released on or before a day.
    pub fn revision_released_by(&self, day: Date) -> Result<Revision, StoreError> {
        let catalog = self.view.catalog();
        let mut revision = self.head();
        while revision > Revision::ZERO {
            let reverted = catalog.reverts().is_reverted(revision, self.head());
            if !reverted && self.commit(revision)?.released.is_some_and(|released| released <= day) {
                break;
            }
            revision = Revision(revision.0 - 1);
        }
        Ok(revision)
    }

    /// About a commit that is not above head.
    pub fn commit(&self, revision: Revision) -> Result<Arc<Commit>, StoreError> {
        let mut commits = lock(&self.commits);
        if let Some(commit) = commits.get(&revision) {
            return Ok(commit.clone());
        }
        let header = self.ledger.header(revision)?;
        let header = header.ok_or_else(|| StoreError::Corrupt(format!("commit {revision} is not in the ledger")))?;
        if commits.len() >= CACHED_COMMITS_MAX {
            commits.clear();
        }
        let commit = Arc::new(header.commit);
        commits.insert(revision, commit.clone());
        Ok(commit)
    }
}

/// One point of history, held while a query runs.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Where it reads.
    pub reader: Reader,
    /// Definitions and editions.
    pub catalog: Arc<Catalog>,
    /// How far it sees.
    pub horizon: Horizon,
}

impl Snapshot {
    /// The revision answered at.
    pub fn revision(&self) -> Revision {
        self.horizon.revision
    }

    /// The view.
    pub fn view(&self) -> &View {
        &self.reader.view
    }

    /// Refuses an id that no definition had.
    pub fn require(&self, kind: DefinitionKind, id: &str) -> Result<(), QueryError> {
        match self.catalog.definition(kind, id, self.revision()) {
            Some(_) => Ok(()),
            None => Err(self.unknown(kind, id)),
        }
    }

    /// The error that an id is not known, with what is near it.
    pub fn unknown(&self, kind: DefinitionKind, id: &str) -> QueryError {
        QueryError::Unknown {
            kind,
            id: id.to_owned(),
            near: Suggestions::definitions(&self.catalog, kind, id, self.revision()),
        }
    }

    /// Refuses release dates, for what carries none.
    pub fn without_release_dates(self) -> Result<Self, QueryError> {
        if self.horizon.released == Date::MAX { Ok(self) } else { Err(QueryError::ReleasedUnsupported) }
    }
}
