//! The commits that readers ask for: those read last are in memory, and the release dates of the newest ones.
//!
//! Invariant: no lock is held while the disk is read, so a reader never waits for the disk of another one.

use std::sync::Arc;
use std::{collections::VecDeque, sync::Mutex};

use crate::{
    ledger::Ledger,
    model::{change::Commit, id::Revision, time::Date},
    store::{StoreError, clock_cache::ClockCache, lock::lock, view::Access},
};

/// Most bytes of commits in memory, from which figures get their times and causes.
const COMMIT_BYTES_MAX: usize = 4 << 20;
/// About what the cache itself takes for a commit.
const ENTRY_BYTES: usize = 64;
/// Most release dates in memory: those of the newest commits, 8 bytes each.
const RELEASE_DATES_MAX: usize = 1 << 20;

/// Commits in memory, of one ledger.
#[derive(Debug)]
pub(super) struct CommitCache {
    commits: ClockCache<Revision, Arc<Commit>>,
    release_dates: Mutex<ReleaseDates>,
}

impl Default for CommitCache {
    fn default() -> Self {
        Self { commits: ClockCache::new(COMMIT_BYTES_MAX), release_dates: Mutex::default() }
    }
}

impl CommitCache {
    /// A commit of the ledger. [`StoreError::Corrupt`] if the ledger lacks it.
    pub(super) fn commit(
        &self,
        ledger: &Ledger,
        revision: Revision,
        access: Access,
    ) -> Result<Arc<Commit>, StoreError> {
        if let Some(commit) = self.commits.get(&revision) {
            return Ok(commit);
        }
        if access == Access::Memory {
            return Err(StoreError::NotInMemory);
        }
        let header = ledger.header(revision)?;
        let header = header.ok_or_else(|| StoreError::corrupt(format!("commit {revision} is not in the ledger")))?;
        let commit = Arc::new(header.commit);
        // A commit never changes, so a copy of it is always right.
        self.commits.put_if(revision, commit.clone(), bytes_of(&commit), || true);
        Ok(commit)
    }

    /// Reads the release dates of the commits that came since dates were read last, up to head, so that the dates in memory
    /// have no gap.
    pub(super) fn read_release_dates(&self, ledger: &Ledger, head: Revision) -> Result<(), StoreError> {
        let newest = lock(&self.release_dates).newest;
        let first = if newest == Revision::ZERO { head } else { newest.next() };
        for revision in first.0.max(1)..=head.0 {
            self.released(ledger, Revision(revision))?;
        }
        Ok(())
    }

    /// The release date of a commit; `None` if it has none. Those of the newest million commits are read once.
    pub(super) fn released(&self, ledger: &Ledger, revision: Revision) -> Result<Option<Date>, StoreError> {
        if let Some(released) = lock(&self.release_dates).get(revision) {
            return Ok(released);
        }
        let released = self.commit(ledger, revision, Access::Disk)?.released;
        lock(&self.release_dates).add(revision, released);
        Ok(released)
    }
}

/// What a commit takes in memory.
fn bytes_of(commit: &Commit) -> usize {
    let texts = commit.author.len() + commit.note.len() + commit.document_sha256.len();
    let request = commit.request_id.as_ref().map_or(0, |request| request.as_str().len());
    size_of::<Commit>() + texts + request + ENTRY_BYTES
}

/// Release dates of commits without a gap, the newest in front.
#[derive(Debug, Default)]
struct ReleaseDates {
    /// The revision of the first one; zero if there are none.
    newest: Revision,
    dates: VecDeque<Option<Date>>,
}

impl ReleaseDates {
    fn get(&self, revision: Revision) -> Option<Option<Date>> {
        let age = self.newest.0.checked_sub(revision.0)?;
        self.dates.get(usize::try_from(age).ok()?).copied()
    }

    /// Adds the date of a commit beside those that are there. Others are left out. The oldest make room for newer ones.
    fn add(&mut self, revision: Revision, released: Option<Date>) {
        if self.dates.is_empty() {
            self.newest = revision;
        }
        if revision == self.newest.next() {
            self.newest = revision;
            self.dates.push_front(released);
            self.dates.truncate(RELEASE_DATES_MAX);
        } else if self.newest.0.checked_sub(revision.0) == Some(self.dates.len() as u64)
            && self.dates.len() < RELEASE_DATES_MAX
        {
            self.dates.push_back(released);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(day: i32) -> Option<Date> {
        Date::from_days(day)
    }

    #[test]
    fn release_dates_grow_at_both_ends_without_a_gap() {
        let mut dates = ReleaseDates::default();
        for (revision, day) in [(5, 50), (4, 40), (6, 60), (3, 30), (9, 90), (1, 10)] {
            dates.add(Revision(revision), date(day));
        }
        let known: Vec<Option<Date>> = (1..=9).filter_map(|revision| dates.get(Revision(revision))).collect();
        assert_eq!(known, [date(30), date(40), date(50), date(60)], "not 9 and not 1, which leave gaps");
        assert_eq!(dates.get(Revision(7)), None);
    }

    #[test]
    fn the_oldest_release_dates_make_room() {
        let mut dates = ReleaseDates::default();
        for revision in 1..=RELEASE_DATES_MAX as u64 + 1 {
            dates.add(Revision(revision), None);
        }
        dates.add(Revision(1), None);
        assert_eq!((dates.dates.len(), dates.get(Revision(1))), (RELEASE_DATES_MAX, None));
    }
}
