//! The append-only sequence of commits: the truth, and the feed's history.
//!
//! A commit is its pages, then its header. The header is the seal: a commit without one does not exist, and its pages are
//! dropped at the next start. [`Ledger`] is small on purpose: a shared engine may take the place of the embedded one.
//!
//! Each header carries a hash of its pages and continues a hash chain over all headers before it: two ledgers with the same
//! chain at a revision hold the same commits up to there.
//!
//! Invariants: revisions are dense from 1. What [`Ledger::head`] says is durable. There is one writer.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Debug,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bundle;
use crate::{
    model::{
        change::Commit,
        edition::Edition,
        finding::Finding,
        id::{HistoryId, RequestId, Revision},
    },
    store::{
        Engine, StoreError,
        bytes::{frame, put_varint, unframe},
        chunks,
        engine::{BATCH_OPS_MAX, Batch, Result},
        faults::{CrashPoint, crash_at},
        lock::{lock, unpoisoned},
        records::{pack, unpack},
    },
};

/// What a header says before the ledger seals it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// About it.
    pub commit: Commit,
    /// How many pages it has.
    pub pages: u32,
    /// How many changes subscribers see in it.
    pub changes: u64,
    /// What the store holds with it.
    pub totals: Totals,
}

/// What seals a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// About it.
    pub commit: Commit,
    /// How many pages it has.
    pub pages: u32,
    /// How many changes subscribers see in it.
    pub changes: u64,
    /// What the store holds with it.
    pub totals: Totals,
    /// SHA-256 of its pages: see [`ContentHash`].
    pub content: [u8; 32],
    /// SHA-256 of the chain at the revision before, of the header without its hashes, and of `content`.
    pub chain: [u8; 32],
}

/// The chain before the first commit.
pub const CHAIN_START: [u8; 32] = [0; 32];

impl Draft {
    /// The header, as the one after a revision of which this is the chain.
    pub fn sealed(&self, previous: [u8; 32], content: [u8; 32]) -> Result<Header> {
        let chain = Sha256::new().chain_update(previous).chain_update(pack(self)?).chain_update(content);
        Ok(Header {
            commit: self.commit.clone(),
            pages: self.pages,
            changes: self.changes,
            totals: self.totals,
            content,
            chain: chain.finalize().into(),
        })
    }
}

impl Header {
    /// What it says without its hashes.
    pub fn draft(&self) -> Draft {
        Draft { commit: self.commit.clone(), pages: self.pages, changes: self.changes, totals: self.totals }
    }

    /// Whether it continues a chain. Says nothing about the pages.
    pub fn continues(&self, previous: [u8; 32]) -> Result<bool> {
        Ok(self.draft().sealed(previous, self.content)? == *self)
    }
}

/// SHA-256 over the pages of a commit, in order, each with its length before it as in a bundle.
#[derive(Debug, Clone, Default)]
pub struct ContentHash(Sha256);

impl ContentHash {
    /// Adds the next page.
    pub fn add(&mut self, page: &[u8]) {
        let mut length = Vec::new();
        put_varint(&mut length, page.len() as u64);
        self.0.update(length);
        self.0.update(page);
    }

    /// The hash of all pages added.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// What the store holds, counted on from commit to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Series.
    pub series: u64,
    /// Figures that are current.
    pub current: u64,
    /// Versions of figures.
    pub versions: u64,
}

/// What was answered to a request, for its retry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The commit it made.
    pub revision: Revision,
    /// SHA-256 of what was sent.
    pub content: [u8; 32],
    /// Warnings answered.
    pub findings: Vec<Finding>,
    /// The edition answered.
    #[serde(default)]
    pub edition: Option<Edition>,
}

/// A sequence of commits.
pub trait Ledger: Send + Sync + Debug {
    /// Identity of this history.
    fn history(&self) -> HistoryId;
    /// Random bytes known to this history only, to sign tokens with.
    fn secret(&self) -> [u8; 32];
    /// The newest commit; zero if there is none.
    fn head(&self) -> Revision;
    /// The oldest commit whose pages can be read.
    fn floor(&self) -> Revision;
    /// Raises the floor, durably. Nothing below it is read from then on; [`Ledger::drop_below_floor`] removes it.
    fn raise_floor(&self, floor: Revision) -> Result<()>;
    /// Removes some of the pages below the floor. Says whether there may be more.
    fn drop_below_floor(&self) -> Result<bool>;
    /// Adds the next page to the commit after head. It does not exist before [`Ledger::seal`].
    fn append(&self, page: u32, bytes: Vec<u8>) -> Result<()>;
    /// Drops the pages appended since head.
    fn abandon(&self) -> Result<()>;
    /// Makes the commit after head exist, durably, with all its pages and the receipt of its request. Its header continues
    /// the chain.
    fn seal(&self, draft: &Draft, receipt: Option<&Receipt>) -> Result<Header>;
    /// A page of a commit. `None` too where the commit is below the floor.
    fn read(&self, revision: Revision, page: u32) -> Result<Option<Vec<u8>>>;
    /// The header of a commit.
    fn header(&self, revision: Revision) -> Result<Option<Header>>;
    /// The chain at a revision that is not above head. Revision zero has [`CHAIN_START`]. For head it costs nothing, else it
    /// reads one header.
    fn chain(&self, revision: Revision) -> Result<[u8; 32]>;
    /// The receipt of a request.
    fn receipt(&self, request: &RequestId) -> Result<Option<Receipt>>;
    /// Waits until head is above a revision, or the time is over; says what head is.
    fn wait(&self, above: Revision, timeout: Duration) -> Revision;
}

pub(super) const PAGES: u8 = b'L';
pub(super) const HEADERS: u8 = b'H';
const RECEIPTS: u8 = b'Q';
pub(super) const HISTORY_KEY: &[u8] = b"Mhistory";
const FLOOR_KEY: &[u8] = b"Mfloor";
const FLOOR_VERSION: u8 = 1;
/// Pages held back until the seal: a small commit is one batch and one sync.
const HELD_BYTES_MAX: usize = 128 * 1024;
/// Bundles kept unpacked: pages are read in turn.
const UNPACKED_BUNDLES_MAX: usize = 16;

/// The ledger in the embedded engine.
#[derive(Debug)]
pub struct StoreLedger {
    engine: Arc<Engine>,
    history: HistoryId,
    secret: [u8; 32],
    head: Head,
    /// The chain at head.
    chain: Mutex<(Revision, [u8; 32])>,
    floor: AtomicU64,
    held: Mutex<Held>,
    unpacked: Mutex<VecDeque<Unpacked>>,
}

/// A bundle of a commit: the number of its first page, and its pages.
#[derive(Debug, Clone)]
struct Unpacked {
    revision: Revision,
    first: u32,
    pages: Arc<Vec<Vec<u8>>>,
}

impl Unpacked {
    fn page(&self, revision: Revision, page: u32) -> Option<&Vec<u8>> {
        let at = page.checked_sub(self.first).filter(|_| self.revision == revision)?;
        self.pages.get(at as usize)
    }
}

#[derive(Debug, Default)]
struct Held {
    /// Number of the first page held.
    first: u32,
    pages: Vec<Vec<u8>>,
    bytes: usize,
    /// Pages of this commit are in the engine already.
    spilled: bool,
    /// Of all its pages so far.
    content: ContentHash,
}

impl StoreLedger {
    /// Opens the ledger in an engine, and drops what was never sealed.
    pub fn open(engine: Arc<Engine>) -> Result<Self> {
        let (history, secret) = match chunks::get(&engine, HISTORY_KEY)? {
            Some(bytes) => unpack(&bytes)?,
            None => {
                let fresh = (random::<16>()?, random::<32>()?);
                Self::put_identity(&engine, HistoryId(fresh.0), fresh.1)?;
                fresh
            }
        };
        let newest = engine.last_at_or_before(&[HEADERS; 16])?.filter(|(key, _)| key.first() == Some(&HEADERS));
        let head = match newest {
            Some((key, _)) => revision_of(&key)?,
            None => Revision::ZERO,
        };
        let floor = read_floor(&engine)?;
        if floor > head.max(Revision(1)) {
            return Err(StoreError::Corrupt(format!("the floor is revision {floor}, and head is {head}")));
        }
        let chain = match head {
            Revision::ZERO => CHAIN_START,
            head => read_header(&engine, head)?.ok_or_else(|| without_header(head))?.chain,
        };
        let ledger = Self {
            engine,
            history: HistoryId(history),
            secret,
            head: Head::new(head),
            chain: Mutex::new((head, chain)),
            floor: AtomicU64::new(floor.0),
            held: Mutex::default(),
            unpacked: Mutex::default(),
        };
        ledger.drop_unsealed()?;
        // What a process left behind may be in the system's memory only, after a flush that failed even for long. It is made
        // durable before anybody is told of it.
        ledger.engine.sync()?;
        Ok(ledger)
    }

    /// Says who the history in an engine is.
    pub fn put_identity(engine: &Engine, history: HistoryId, secret: [u8; 32]) -> Result<()> {
        let mut batch = engine.batch();
        chunks::put(&mut batch, HISTORY_KEY, &pack(&(history.0, secret))?)?;
        batch.write()?;
        engine.sync()
    }

    fn drop_unsealed(&self) -> Result<()> {
        let from = page_key(self.head().next(), 0);
        let mut batch = self.engine.batch();
        for item in self.engine.scan(&[PAGES], Some(&from)) {
            batch.remove(&item?.0)?;
        }
        batch.write()
    }

    fn spill(&self, held: &mut Held) -> Result<()> {
        let mut batch = self.engine.batch();
        self.put_held(&mut batch, held)?;
        held.spilled = true;
        batch.write()?;
        crash_at(CrashPoint::PagesWritten);
        Ok(())
    }

    /// Puts the pages held back as bundles.
    fn put_held(&self, batch: &mut Batch<'_>, held: &mut Held) -> Result<()> {
        let revision = self.head().next();
        let mut rest = held.pages.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let longer = rest.iter().position(|page| {
                bytes += page.len();
                bytes > bundle::BUNDLE_BYTES
            });
            // The page that makes it long is its last.
            let (pages, others) = rest.split_at(longer.map_or(rest.len(), |at| at + 1));
            chunks::put(batch, &page_key(revision, held.first), &bundle::pack(pages)?)?;
            held.first += pages.len() as u32;
            rest = others;
        }
        held.pages.clear();
        held.bytes = 0;
        Ok(())
    }

    fn unpacked(&self) -> std::sync::MutexGuard<'_, VecDeque<Unpacked>> {
        lock(&self.unpacked)
    }
}

impl Ledger for StoreLedger {
    fn history(&self) -> HistoryId {
        self.history
    }

    fn secret(&self) -> [u8; 32] {
        self.secret
    }

    fn head(&self) -> Revision {
        self.head.get()
    }

    fn floor(&self) -> Revision {
        Revision(self.floor.load(Ordering::Acquire))
    }

    fn raise_floor(&self, floor: Revision) -> Result<()> {
        if floor <= self.floor() {
            return Ok(());
        }
        if floor > self.head() {
            return Err(StoreError::Corrupt(format!("revision {floor} is above head and cannot be the floor")));
        }
        let mut batch = self.engine.batch();
        batch.put(FLOOR_KEY, &frame(FLOOR_VERSION, &floor.0.to_le_bytes()))?;
        batch.write()?;
        crash_at(CrashPoint::FloorWritten);
        // Makes durable too what the view was told of the commits that can no longer be applied again.
        self.engine.sync()?;
        crash_at(CrashPoint::FloorDurable);
        self.floor.store(floor.0, Ordering::Release);
        Ok(())
    }

    fn drop_below_floor(&self) -> Result<bool> {
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

    fn append(&self, page: u32, bytes: Vec<u8>) -> Result<()> {
        let mut held = lock(&self.held);
        if page as usize != held.first as usize + held.pages.len() {
            return Err(StoreError::Corrupt(format!("page {page} does not follow the one before")));
        }
        held.bytes += bytes.len();
        held.content.add(&bytes);
        held.pages.push(bytes);
        crash_at(CrashPoint::PageAppended);
        if held.bytes > HELD_BYTES_MAX { self.spill(&mut held) } else { Ok(()) }
    }

    fn abandon(&self) -> Result<()> {
        let held = std::mem::take(&mut *lock(&self.held));
        if held.spilled { self.drop_unsealed() } else { Ok(()) }
    }

    fn seal(&self, draft: &Draft, receipt: Option<&Receipt>) -> Result<Header> {
        let revision = draft.commit.revision;
        let mut held = lock(&self.held);
        let header = draft.sealed(self.chain(self.head())?, held.content.clone().finish())?;
        if held.spilled {
            // The header must never be on disk before the pages are.
            self.spill(&mut held)?;
            self.engine.sync()?;
            crash_at(CrashPoint::PagesDurable);
        }
        // One atomic batch: what is held back is bounded well below a batch's bounds.
        let mut batch = self.engine.batch();
        self.put_held(&mut batch, &mut held)?;
        *held = Held::default();
        if let (Some(request), Some(receipt)) = (&header.commit.request_id, receipt) {
            chunks::put(&mut batch, &receipt_key(request), &pack(receipt)?)?;
        }
        chunks::put(&mut batch, &header_key(revision), &pack(&header)?)?;
        batch.write()?;
        crash_at(CrashPoint::SealWritten);
        self.engine.sync()?;
        crash_at(CrashPoint::Sealed);
        *lock(&self.chain) = (revision, header.chain);
        self.head.set(revision);
        Ok(header)
    }

    fn read(&self, revision: Revision, page: u32) -> Result<Option<Vec<u8>>> {
        if revision < self.floor() {
            return Ok(None);
        }
        if let Some(bytes) = self.unpacked().iter().find_map(|unpacked| unpacked.page(revision, page)) {
            return Ok(Some(bytes.clone()));
        }
        // The bundle that begins at or before the page; its last chunk is found first.
        let last_chunk = [&page_key(revision, page)[..], &[u8::MAX; 4]].concat();
        let Some((key, _)) = self.engine.last_at_or_before(&last_chunk)? else { return Ok(None) };
        let Some(first) = key.strip_prefix(&page_key(revision, 0)[..9]).and_then(<[u8]>::first_chunk) else {
            return Ok(None);
        };
        let first = u32::from_be_bytes(*first);
        let Some(bytes) = chunks::get(&self.engine, &page_key(revision, first))? else { return Ok(None) };
        let unpacked = Unpacked { revision, first, pages: Arc::new(bundle::unpack(&bytes)?) };
        let found = unpacked.page(revision, page).cloned();
        // What is not sealed may still be dropped.
        if revision <= self.head() {
            let mut known = self.unpacked();
            known.truncate(UNPACKED_BUNDLES_MAX - 1);
            known.push_front(unpacked);
        }
        Ok(found)
    }

    fn header(&self, revision: Revision) -> Result<Option<Header>> {
        read_header(&self.engine, revision)
    }

    fn chain(&self, revision: Revision) -> Result<[u8; 32]> {
        let (newest, chain) = *lock(&self.chain);
        match revision {
            Revision::ZERO => Ok(CHAIN_START),
            revision if revision == newest => Ok(chain),
            revision => Ok(self.header(revision)?.ok_or_else(|| without_header(revision))?.chain),
        }
    }

    fn receipt(&self, request: &RequestId) -> Result<Option<Receipt>> {
        chunks::get(&self.engine, &receipt_key(request))?.map(|bytes| unpack(&bytes)).transpose()
    }

    fn wait(&self, above: Revision, timeout: Duration) -> Revision {
        self.head.wait(above, timeout)
    }
}

fn read_header(engine: &Engine, revision: Revision) -> Result<Option<Header>> {
    chunks::get(engine, &header_key(revision))?.map(|bytes| unpack(&bytes)).transpose()
}

fn without_header(revision: Revision) -> StoreError {
    StoreError::Corrupt(format!("commit {revision} has no header"))
}

pub(super) fn read_floor(engine: &Engine) -> Result<Revision> {
    let Some(value) = engine.get(FLOOR_KEY)? else { return Ok(Revision(1)) };
    let bytes = unframe(FLOOR_VERSION, &value)?.first_chunk();
    Ok(Revision(u64::from_le_bytes(*bytes.ok_or_else(|| StoreError::Corrupt("a floor that is too short".into()))?)))
}

pub(super) fn page_key(revision: Revision, page: u32) -> Vec<u8> {
    [&[PAGES][..], &revision.0.to_be_bytes(), &page.to_be_bytes()].concat()
}

pub(super) fn header_key(revision: Revision) -> Vec<u8> {
    [&[HEADERS][..], &revision.0.to_be_bytes()].concat()
}

pub(super) fn receipt_key(request: &RequestId) -> Vec<u8> {
    [&[RECEIPTS][..], request.as_str().as_bytes(), &[0]].concat()
}

pub(super) fn revision_of(key: &[u8]) -> Result<Revision> {
    let bytes = key.get(1..9).and_then(|bytes| bytes.first_chunk());
    Ok(Revision(u64::from_be_bytes(
        *bytes.ok_or_else(|| StoreError::Corrupt("a header key that is too short".into()))?,
    )))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// The newest revision, and a way to wait for the next.
#[derive(Debug)]
struct Head {
    revision: Mutex<Revision>,
    moved: Condvar,
}

impl Head {
    fn new(revision: Revision) -> Self {
        Self { revision: Mutex::new(revision), moved: Condvar::new() }
    }

    fn get(&self) -> Revision {
        *lock(&self.revision)
    }

    fn set(&self, revision: Revision) {
        *lock(&self.revision) = revision;
        self.moved.notify_all();
    }

    fn wait(&self, above: Revision, timeout: Duration) -> Revision {
        let revision = lock(&self.revision);
        let waited = self.moved.wait_timeout_while(revision, timeout, |revision| *revision <= above);
        *unpoisoned(waited).0
    }
}

/// A ledger in memory, for tests.
#[derive(Debug)]
pub struct MemoryLedger {
    head: Head,
    commits: Mutex<Commits>,
}

#[derive(Debug, Default)]
struct Commits {
    floor: u64,
    pages: BTreeMap<(Revision, u32), Vec<u8>>,
    headers: BTreeMap<Revision, Header>,
    receipts: BTreeMap<RequestId, Receipt>,
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self { head: Head::new(Revision::ZERO), commits: Mutex::default() }
    }
}

impl MemoryLedger {
    fn commits(&self) -> std::sync::MutexGuard<'_, Commits> {
        lock(&self.commits)
    }
}

impl Ledger for MemoryLedger {
    fn history(&self) -> HistoryId {
        HistoryId([7; 16])
    }

    fn secret(&self) -> [u8; 32] {
        [7; 32]
    }

    fn head(&self) -> Revision {
        self.head.get()
    }

    fn floor(&self) -> Revision {
        Revision(self.commits().floor.max(1))
    }

    fn raise_floor(&self, floor: Revision) -> Result<()> {
        let mut commits = self.commits();
        commits.floor = commits.floor.max(floor.0);
        Ok(())
    }

    fn drop_below_floor(&self) -> Result<bool> {
        let floor = self.floor();
        self.commits().pages.retain(|(revision, _), _| *revision >= floor);
        Ok(false)
    }

    fn append(&self, page: u32, bytes: Vec<u8>) -> Result<()> {
        self.commits().pages.insert((self.head().next(), page), bytes);
        Ok(())
    }

    fn abandon(&self) -> Result<()> {
        let head = self.head();
        self.commits().pages.retain(|(revision, _), _| *revision <= head);
        Ok(())
    }

    fn seal(&self, draft: &Draft, receipt: Option<&Receipt>) -> Result<Header> {
        let revision = draft.commit.revision;
        let previous = self.chain(self.head())?;
        let mut commits = self.commits();
        let mut content = ContentHash::default();
        commits.pages.range((revision, 0)..=(revision, u32::MAX)).for_each(|(_, page)| content.add(page));
        let header = draft.sealed(previous, content.finish())?;
        if let (Some(request), Some(receipt)) = (&header.commit.request_id, receipt) {
            commits.receipts.insert(request.clone(), receipt.clone());
        }
        commits.headers.insert(revision, header.clone());
        drop(commits);
        self.head.set(revision);
        Ok(header)
    }

    fn read(&self, revision: Revision, page: u32) -> Result<Option<Vec<u8>>> {
        let commits = self.commits();
        Ok(commits.pages.get(&(revision, page)).filter(|_| revision.0 >= commits.floor).cloned())
    }

    fn header(&self, revision: Revision) -> Result<Option<Header>> {
        Ok(self.commits().headers.get(&revision).cloned())
    }

    fn chain(&self, revision: Revision) -> Result<[u8; 32]> {
        match revision {
            Revision::ZERO => Ok(CHAIN_START),
            revision => Ok(self.header(revision)?.ok_or_else(|| without_header(revision))?.chain),
        }
    }

    fn receipt(&self, request: &RequestId) -> Result<Option<Receipt>> {
        Ok(self.commits().receipts.get(request).cloned())
    }

    fn wait(&self, above: Revision, timeout: Duration) -> Revision {
        self.head.wait(above, timeout)
    }
}

#[cfg(test)]
mod tests;
