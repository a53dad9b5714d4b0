//! The append-only sequence of commits: the truth, and the feed's history.
//!
//! A commit is its pages, then its header. The header is the seal: a commit without one does not exist, and the next start
//! drops its pages. In reading order: [`header`] is what seals a commit, `keys` says where things are in the store,
//! `pending` holds the commit that is being made, `early` writes the pages of a long one meanwhile, `cache` has the pages
//! that were read last.
//!
//! Each header carries a hash of its pages and continues a hash chain over all headers before it: two ledgers with the same
//! chain at a revision hold the same commits up to there.
//!
//! Invariants: revisions are dense from 1. Every commit up to [`Ledger::head`] is durable. Commits above it, up to
//! [`Ledger::newest`], are sealed and wait for a sync that they share; nobody but the writer knows of them. There is one
//! writer.

mod cache;
mod early;
pub mod header;
pub(super) mod keys;
mod pending;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

pub use self::header::{CHAIN_START, ContentHash, Draft, Header, Receipt, Totals};
use self::{
    cache::{BundleCache, PageRun},
    keys::{FLOOR_KEY, HEADERS, HISTORY_KEY, PAGES, header_key, page_key, receipt_key, revision_of},
    pending::PendingCommit,
};
use super::bundle;
use crate::{
    model::id::{HistoryId, RequestId, Revision},
    store::{
        Engine, StoreError,
        bytes::{frame, unframe},
        chunks,
        engine::{BATCH_OPS_MAX, Batch},
        error::Result,
        faults::{CrashPoint, crash_at},
        lock::lock,
        records::{pack, unpack},
    },
};

const FLOOR_VERSION: u8 = 1;

/// The error of a commit that has a header and lacks pages.
pub fn incomplete_commit(revision: Revision) -> StoreError {
    StoreError::corrupt(format!("commit {revision} is not whole in the ledger"))
}

/// The commits of one history, in an engine.
#[derive(Debug)]
pub struct Ledger {
    engine: Arc<Engine>,
    identity: Identity,
    head: AtomicU64,
    /// The headers of head, of the commit before it, and of all after it, in order. They are answered even if the disk
    /// fails: what readers see is at most one commit behind head. Since the start only head is here.
    recent: Mutex<VecDeque<Arc<Header>>>,
    floor: AtomicU64,
    pending: Mutex<PendingCommit>,
    cache: Mutex<BundleCache>,
}

/// The id and the secret of a history.
#[derive(Clone, Copy)]
pub struct Identity {
    pub history: HistoryId,
    /// Random bytes that only this history knows. It signs tokens with them.
    pub secret: [u8; 32],
}

/// Without the secret.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("history", &self.history).finish_non_exhaustive()
    }
}

impl Identity {
    fn random() -> Result<Self> {
        Ok(Self { history: HistoryId(random()?), secret: random()? })
    }
}

impl Ledger {
    /// Opens the ledger in an engine and drops what was never sealed. An engine without a history gets a new one.
    pub fn open(engine: Arc<Engine>) -> Result<Self> {
        let identity = match read_identity(&engine)? {
            Some(identity) => identity,
            None => {
                let identity = Identity::random()?;
                Self::put_identity(&engine, identity)?;
                identity
            }
        };
        let head = newest_revision(&engine)?;
        let floor = read_floor(&engine)?;
        if floor > head.max(Revision(1)) {
            return Err(StoreError::corrupt(format!("the floor is revision {floor}, and head is {head}")));
        }
        let newest = match head {
            Revision::ZERO => None,
            head => Some(Arc::new(read_header(&engine, head)?.ok_or_else(|| without_header(head))?)),
        };
        let ledger = Self {
            engine,
            identity,
            head: AtomicU64::new(head.0),
            recent: Mutex::new(newest.into_iter().collect()),
            floor: AtomicU64::new(floor.0),
            pending: Mutex::default(),
            cache: Mutex::default(),
        };
        ledger.drop_unsealed()?;
        // A process whose flush failed may have left a seal that is in the system's memory only. It must be durable before
        // anybody hears of it.
        ledger.engine.sync()?;
        Ok(ledger)
    }

    /// Gives an engine its history, durably.
    pub fn put_identity(engine: &Engine, identity: Identity) -> Result<()> {
        let mut batch = engine.batch();
        chunks::put(&mut batch, HISTORY_KEY, &pack(&(identity.history.0, identity.secret))?)?;
        batch.write()?;
        engine.sync()
    }

    /// The history of this ledger and its secret.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The id of this history.
    pub fn history(&self) -> HistoryId {
        self.identity.history
    }

    /// Random bytes that only this history knows, to sign tokens with.
    pub fn secret(&self) -> [u8; 32] {
        self.identity.secret
    }

    /// The newest commit that is durable; zero if there is none.
    pub fn head(&self) -> Revision {
        Revision(self.head.load(Ordering::Acquire))
    }

    /// The newest commit that is sealed, for the writer: the next one follows it. It is head, or waits for a sync.
    pub(super) fn newest(&self) -> Revision {
        self.newest_and_chain().0
    }

    /// The oldest commit whose pages can be read.
    pub fn floor(&self) -> Revision {
        Revision(self.floor.load(Ordering::Acquire))
    }

    /// Raises the floor, durably; a lower one changes nothing. From then on nothing below it is read.
    /// [`Ledger::drop_below_floor`] removes the pages.
    ///
    /// # Errors
    ///
    /// A floor above head.
    pub fn raise_floor(&self, floor: Revision) -> Result<()> {
        if floor <= self.floor() {
            return Ok(());
        }
        if floor > self.head() {
            return Err(StoreError::corrupt(format!("revision {floor} is above head and cannot be the floor")));
        }
        let mut batch = self.engine.batch();
        batch.put(FLOOR_KEY, &frame(FLOOR_VERSION, &floor.0.to_le_bytes()))?;
        batch.write()?;
        crash_at(CrashPoint::FloorWritten);
        // This also makes durable what the view holds of the commits below the floor: they cannot be applied again.
        self.engine.sync()?;
        crash_at(CrashPoint::FloorDurable);
        self.floor.store(floor.0, Ordering::Release);
        Ok(())
    }

    /// Removes one batch of the pages below the floor. `true`: there may be more.
    pub fn drop_below_floor(&self) -> Result<bool> {
        let end = page_key(self.floor(), 0);
        let mut batch = self.engine.batch();
        let mut removed = 0;
        for item in self.engine.scan(&[PAGES], None).take(BATCH_OPS_MAX) {
            let (key, _) = item?;
            if key.as_ref() >= end.as_slice() {
                break;
            }
            batch.remove(&key)?;
            removed += 1;
        }
        batch.write()?;
        if removed > 0 {
            crash_at(CrashPoint::PagesDropped);
        }
        Ok(removed == BATCH_OPS_MAX)
    }

    /// Adds the next page to the commit after the newest. It does not exist before [`Ledger::seal`].
    pub fn append(&self, page: u32, bytes: Vec<u8>) -> Result<()> {
        let mut pending = self.pending();
        pending.add(page, bytes)?;
        crash_at(CrashPoint::PageAppended);
        if pending.is_full() { pending.write_early(&self.engine, self.newest().next()) } else { Ok(()) }
    }

    /// Whether pages of the commit that is being made are in the store already: it is a long one.
    pub(super) fn is_long(&self) -> bool {
        self.pending().is_long()
    }

    /// Drops the pages appended since the newest commit.
    pub fn abandon(&self) -> Result<()> {
        let mut pending = std::mem::take(&mut *self.pending());
        if !pending.is_long() {
            return Ok(());
        }
        let written = pending.finish_early();
        self.drop_unsealed()?;
        written
    }

    /// Seals the commit after the newest, and makes it durable: from now on it exists, with all its pages and the receipt of
    /// its request.
    pub fn seal(&self, draft: &Draft, receipt: Option<&Receipt>) -> Result<Header> {
        let mut batch = self.engine.batch();
        let header = self.seal_in(&mut batch, draft, receipt)?;
        batch.write()?;
        self.note_sealed(&header);
        self.sync()?;
        Ok(header)
    }

    /// Puts the seal of the commit after the newest into a batch: its pages that wait in memory, the receipt of its request,
    /// its header. After the batch is written, [`Ledger::note_sealed`] must be called.
    pub(super) fn seal_in(&self, batch: &mut Batch<'_>, draft: &Draft, receipt: Option<&Receipt>) -> Result<Header> {
        let revision = draft.commit.revision;
        let mut pending = self.pending();
        let (newest, chain) = self.newest_and_chain();
        let header = draft.sealed(chain, pending.content())?;
        if pending.is_long() {
            // The header must never be on disk before the pages are.
            pending.write_early(&self.engine, newest.next())?;
            pending.finish_early()?;
            self.engine.sync()?;
            crash_at(CrashPoint::PagesDurable);
        }
        // They stay together in one part of the batch, which is atomic: what waits in memory is far below its bounds.
        pending.put_into(batch, newest.next())?;
        *pending = PendingCommit::default();
        if let (Some(request), Some(receipt)) = (header.request(), receipt) {
            chunks::put(batch, &receipt_key(request), &pack(receipt)?)?;
        }
        chunks::put(batch, &header_key(revision), &pack(&header)?)?;
        Ok(header)
    }

    /// Notes that the seal of a commit is written. The commit may be lost, with those after it, until [`Ledger::sync`].
    pub(super) fn note_sealed(&self, header: &Header) {
        lock(&self.recent).push_back(Arc::new(header.clone()));
        crash_at(CrashPoint::SealWritten);
    }

    /// Makes all sealed commits durable, and everything else that was written before; head moves to the newest of them.
    pub(super) fn sync(&self) -> Result<()> {
        let newest = self.newest();
        self.engine.sync()?;
        crash_at(CrashPoint::Sealed);
        self.head.store(newest.0, Ordering::Release);
        lock(&self.recent).retain(|header| header.commit.revision.next() >= newest);
        Ok(())
    }

    /// A page of a commit, as bytes. `None`: there is no such page, or the commit is below the floor.
    pub fn read(&self, revision: Revision, page: u32) -> Result<Option<Vec<u8>>> {
        if revision < self.floor() {
            return Ok(None);
        }
        if let Some(bytes) = self.cache().page(revision, page) {
            return Ok(Some(bytes));
        }
        let Some(first) = self.first_of_bundle(revision, page)? else { return Ok(None) };
        let Some(bytes) = chunks::get(&self.engine, &page_key(revision, first))? else { return Ok(None) };
        let run = PageRun { revision, first, pages: bundle::unpack(&bytes)? };
        let found = run.page(revision, page).cloned();
        // Pages that are not sealed may still be dropped.
        if revision <= self.newest() {
            self.cache().add(run);
        }
        Ok(found)
    }

    /// The header of a commit; a few of the newest are in memory. Headers below the floor stay.
    pub fn header(&self, revision: Revision) -> Result<Option<Header>> {
        let recent = lock(&self.recent).iter().find(|header| header.commit.revision == revision).cloned();
        match recent {
            Some(header) => Ok(Some(header.as_ref().clone())),
            None => read_header(&self.engine, revision),
        }
    }

    /// The chain at a revision that is not above the newest; at revision zero [`CHAIN_START`]. At the newest it costs
    /// nothing, elsewhere it reads one header.
    pub fn chain(&self, revision: Revision) -> Result<[u8; 32]> {
        let (newest, chain) = self.newest_and_chain();
        match revision {
            Revision::ZERO => Ok(CHAIN_START),
            revision if revision == newest => Ok(chain),
            revision => Ok(self.header(revision)?.ok_or_else(|| without_header(revision))?.chain),
        }
    }

    /// The receipt of a request.
    pub fn receipt(&self, request: &RequestId) -> Result<Option<Receipt>> {
        chunks::get(&self.engine, &receipt_key(request))?.map(|bytes| unpack(&bytes)).transpose()
    }

    /// The receipt of the request that made a commit.
    pub(super) fn receipt_of(&self, header: &Header) -> Result<Option<Receipt>> {
        match header.request() {
            Some(request) => self.receipt(request),
            None => Ok(None),
        }
    }

    fn drop_unsealed(&self) -> Result<()> {
        let from = page_key(self.newest().next(), 0);
        let mut batch = self.engine.batch();
        for item in self.engine.scan(&[PAGES], Some(&from)) {
            batch.remove(&item?.0)?;
        }
        batch.write()
    }

    /// The number of the first page of the bundle that would hold a page.
    fn first_of_bundle(&self, revision: Revision, page: u32) -> Result<Option<u32>> {
        // A bundle may be cut into chunks, numbered behind its key; the last chunk of the right bundle is found first.
        let last_chunk = [&page_key(revision, page)[..], &[u8::MAX; 4]].concat();
        let Some((key, _)) = self.engine.last_at_or_before(&last_chunk)? else { return Ok(None) };
        let commit = &page_key(revision, 0)[..9];
        let first = key.strip_prefix(commit).and_then(<[u8]>::first_chunk);
        Ok(first.map(|first| u32::from_be_bytes(*first)))
    }

    fn pending(&self) -> MutexGuard<'_, PendingCommit> {
        lock(&self.pending)
    }

    fn cache(&self) -> MutexGuard<'_, BundleCache> {
        lock(&self.cache)
    }

    fn newest_and_chain(&self) -> (Revision, [u8; 32]) {
        let recent = lock(&self.recent);
        recent.back().map_or((Revision::ZERO, CHAIN_START), |newest| (newest.commit.revision, newest.chain))
    }
}

/// The history in an engine. `None`: the engine is new.
pub(super) fn read_identity(engine: &Engine) -> Result<Option<Identity>> {
    let Some(bytes) = chunks::get(engine, HISTORY_KEY)? else { return Ok(None) };
    let (history, secret) = unpack(&bytes)?;
    Ok(Some(Identity { history: HistoryId(history), secret }))
}

/// The newest commit in an engine; zero if there is none.
pub(super) fn newest_revision(engine: &Engine) -> Result<Revision> {
    match engine.last_at_or_before(&[HEADERS; 16])? {
        Some((key, _)) if key.first() == Some(&HEADERS) => revision_of(&key),
        _ => Ok(Revision::ZERO),
    }
}

pub(super) fn read_floor(engine: &Engine) -> Result<Revision> {
    let Some(value) = engine.get(FLOOR_KEY)? else { return Ok(Revision(1)) };
    match unframe(FLOOR_VERSION, &value)?.first_chunk() {
        Some(bytes) => Ok(Revision(u64::from_le_bytes(*bytes))),
        None => Err(StoreError::corrupt("a floor that is too short")),
    }
}

fn read_header(engine: &Engine, revision: Revision) -> Result<Option<Header>> {
    chunks::get(engine, &header_key(revision))?.map(|bytes| unpack(&bytes)).transpose()
}

fn without_header(revision: Revision) -> StoreError {
    StoreError::corrupt(format!("commit {revision} has no header"))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
