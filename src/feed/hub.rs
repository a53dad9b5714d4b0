//! Recent commits, shared by all subscribers, and the bells that wake those for whom there is something in them.
//!
//! Invariant: memory is bounded by [`RING_COMMITS_MAX`] and [`RING_CHANGES_MAX`], whatever the number and speed of
//! subscribers. Reading history for those behind is bounded by [`CATCH_UP_READERS_MAX`], off the async threads, and holds no
//! lock that the writer needs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{
    FeedError,
    cache::PageCache,
    conflate::CONFLATING_MAX,
    filter::Filters,
    group::Group,
    group_registry::GroupRegistry,
    page_changes::GroupMatches,
    shared_changes::SharedChanges,
    stamps::CommitStamps,
    token::{ChainMark, Claim, Position, Tokens},
};
use crate::{
    ledger::{
        log::{CHAIN_START, Header},
        page::LedgerPage,
        writer::AppliedCommit,
    },
    model::{
        catalog::{Definition, DefinitionKind, Redistribution},
        change::Change,
        id::Revision,
    },
    query::Reader,
    store::{StoreError, offload::Offload},
};

/// Most commits in the ring.
pub const RING_COMMITS_MAX: usize = 4_096;
/// Most changes in the ring, about 300 bytes each and as much again encoded.
pub const RING_CHANGES_MAX: usize = 100_000;
/// Most subscribers that read history at one time.
pub const CATCH_UP_READERS_MAX: usize = 32;
/// How long a genuine token of a revision above head waits for it.
const TOKEN_WAIT: Duration = Duration::from_secs(2);
/// Most open subscriptions.
pub const SUBSCRIBERS_MAX: usize = 20_000;

/// Most pages kept of those that subscribers behind the ring read: neighbours in a long commit read the same.
const READ_PAGES_MAX: usize = 256;

/// Most headers kept of the commits that subscribers behind the ring read: all who come back at once read the same.
const READ_HEADERS_MAX: usize = 1_024;

/// The sources that streams leave out, for their licences.
#[derive(Debug, Clone, Default)]
pub struct Licences {
    /// Grows whenever they change.
    pub version: u64,
    /// The ids of the sources.
    pub left_out: Arc<BTreeSet<String>>,
}

/// What all subscribers share.
#[derive(Debug)]
pub struct Hub {
    reader: Reader,
    offload: Offload,
    tokens: Tokens,
    head: watch::Sender<Revision>,
    stopping: AtomicBool,
    licences: Mutex<Licences>,
    ring: Mutex<Ring>,
    read_headers: Mutex<BTreeMap<Revision, Arc<Header>>>,
    read_pages: Mutex<VecDeque<(Revision, u32, Arc<SharedChanges>)>>,
    groups: GroupRegistry,
    kept: PageCache,
    catch_up: Semaphore,
    subscribers: AtomicUsize,
    turns: AtomicU32,
    conflating: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Ring {
    commits: BTreeMap<Revision, RingCommit>,
    order: VecDeque<(Revision, usize)>,
    changes: usize,
}

#[derive(Debug, Clone)]
struct RingCommit {
    header: Arc<Header>,
    /// All its changes. `None`: too many for the ring.
    page: Option<Arc<SharedChanges>>,
}

impl Hub {
    /// Serves the history that a reader reads.
    pub fn new(reader: Reader, offload: Offload) -> Self {
        let tokens = Tokens::new(reader.ledger().history(), reader.ledger().secret());
        let head = watch::Sender::new(reader.head());
        let licences = Licences { version: 0, left_out: Arc::new(forbidden_sources(&reader)) };
        Self {
            licences: Mutex::new(licences),
            reader,
            offload,
            tokens,
            head,
            stopping: AtomicBool::new(false),
            ring: Mutex::default(),
            read_headers: Mutex::default(),
            read_pages: Mutex::default(),
            groups: GroupRegistry::default(),
            kept: PageCache::default(),
            catch_up: Semaphore::new(CATCH_UP_READERS_MAX),
            subscribers: AtomicUsize::new(0),
            turns: AtomicU32::new(0),
            conflating: Arc::new(Semaphore::new(CONFLATING_MAX)),
        }
    }

    /// Where the history is read.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Adds a commit, durable and applied, and wakes those whom it concerns. Called by the writer, in revision order.
    pub fn publish(&self, published: AppliedCommit) {
        let AppliedCommit { header, pages } = published;
        let (revision, cause) = (header.commit.revision, header.commit.cause);
        let page = pages.and_then(|pages| {
            let changes: Vec<_> = pages.iter().flat_map(|page| page.changes()).collect();
            // A store that cannot be read is told to those who read it next.
            shared(changes, &self.reader)
                .inspect_err(|error| tracing::error!(%error, %revision, "not in the ring"))
                .ok()
        });
        let page = page.map(Arc::new);
        let index = self.groups.index();
        let matching: Vec<&Arc<Group>> = match &page {
            // Nobody looked at it: all have to.
            None => index.groups().iter().collect(),
            Some(_) if header.changes == 0 => {
                index.groups().iter().filter(|group| group.filters.wants_empty(cause)).collect()
            }
            Some(page) => {
                let found = page.match_all(&index, cause, &self.kept);
                index.groups().iter().filter(|group| found.binary_search(&group.id).is_ok()).collect()
            }
        };
        self.groups.note(&index, revision, &matching);
        self.note_licences(&header);
        self.ring().put(revision, RingCommit { header, page });
        self.head.send_replace(revision);
        self.groups.wake(&index, &matching);
    }

    /// Tells all subscribers to say goodbye.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.groups.wake_all();
    }

    /// The newest revision, as far as it was published.
    pub fn published(&self) -> Revision {
        *self.head.borrow()
    }

    /// The same, and changes of it.
    pub fn head(&self) -> watch::Receiver<Revision> {
        self.head.subscribe()
    }

    /// Whether the server is stopping. Bells ring when it begins to.
    pub fn stops(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// How many subscriptions are open.
    pub fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::Relaxed)
    }

    /// The next of parts between 0 and 1 that lie evenly however many are taken: multiples of the golden ratio.
    pub fn turn(&self) -> f64 {
        let taken = self.turns.fetch_add(1, Ordering::Relaxed);
        f64::from(taken.wrapping_mul(0x9e37_79b9)) / f64::from(u32::MAX)
    }

    /// Takes a place among the subscribers; it is free again when dropped.
    pub fn enter(self: &Arc<Self>) -> Result<SubscriberPermit, FeedError> {
        let taken = self.subscribers.fetch_add(1, Ordering::Relaxed);
        let permit = SubscriberPermit { hub: self.clone() };
        if taken < SUBSCRIBERS_MAX { Ok(permit) } else { Err(FeedError::TooManySubscribers { limit: SUBSCRIBERS_MAX }) }
    }

    /// Takes a place among those that conflate; it is free again when dropped.
    pub fn enter_conflating(&self) -> Result<OwnedSemaphorePermit, FeedError> {
        let taken = self.conflating.clone().try_acquire_owned();
        taken.map_err(|_| FeedError::TooManyConflating { limit: CONFLATING_MAX })
    }

    /// The header of a commit that is not above head.
    pub async fn header(&self, revision: Revision) -> Result<Arc<Header>, StoreError> {
        let known = self.ring().commits.get(&revision).map(|commit| commit.header.clone());
        let known = known.or_else(|| self.read_headers().get(&revision).cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        let read: Result<_, StoreError> = self.read(move |reader| reader.ledger().header(revision)).await;
        let header = Arc::new(read?.ok_or_else(|| missing(revision))?);
        let mut read_headers = self.read_headers();
        // They are read upwards, and wanted again soon or not at all.
        if read_headers.len() >= READ_HEADERS_MAX {
            read_headers.pop_first();
        }
        read_headers.insert(revision, header.clone());
        Ok(header)
    }

    /// The chain at a revision that is not above head, as tokens carry it.
    pub async fn chain(&self, revision: Revision) -> Result<ChainMark, StoreError> {
        match revision {
            Revision::ZERO => Ok(ChainMark::of(&CHAIN_START)),
            revision => Ok(ChainMark::of(&self.header(revision).await?.chain)),
        }
    }

    /// The token of a place.
    pub async fn token(&self, place: Position, filter_hash: u64) -> Result<String, StoreError> {
        let chain = self.chain(place.revision).await?;
        Ok(self.tokens.token(Claim { place, filter_hash, chain }))
    }

    /// The place that a token names, and the hash of its filters. A genuine one of a revision above head waits for it: another
    /// server may be ahead of this one.
    pub async fn claimed(&self, token: &str) -> Result<(Position, u64), FeedError> {
        let Claim { place, filter_hash, chain } = self.tokens.read(token)?;
        let mut head = self.head();
        let there = head.wait_for(|head| *head >= place.revision);
        if tokio::time::timeout(TOKEN_WAIT, there).await.is_err() {
            return Err(FeedError::TokenAhead { asked: place.revision, head: self.published() });
        }
        // A folder that was put back from an older copy has another past from there on.
        if self.chain(place.revision).await? == chain {
            Ok((place, filter_hash))
        } else {
            Err(FeedError::TokenOtherHistory)
        }
    }

    /// The sources that streams leave out from now on.
    pub fn licences(&self) -> Licences {
        self.licences.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes which sources a commit closed or opened. Streams that leave out others end before they read the next one.
    fn note_licences(&self, header: &Header) {
        let counts = &header.commit.counts;
        if counts.definitions_added + counts.definitions_revised + counts.definitions_removed == 0 {
            return;
        }
        let left_out = forbidden_sources(&self.reader);
        let mut licences = self.licences.lock().unwrap_or_else(PoisonError::into_inner);
        if *licences.left_out != left_out {
            *licences = Licences { version: licences.version + 1, left_out: Arc::new(left_out) };
            drop(licences);
            self.groups.wake_all();
        }
    }

    fn read_headers(&self) -> std::sync::MutexGuard<'_, BTreeMap<Revision, Arc<Header>>> {
        self.read_headers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins those with the same filters.
    pub fn group(&self, filters: Filters) -> Arc<Group> {
        self.groups.join(filters)
    }

    /// What is kept for sharing.
    pub fn cache(&self) -> &PageCache {
        &self.kept
    }

    /// What a group matches of a page of a commit that is not above head, and the page after it.
    pub(super) async fn matched(
        &self,
        header: &Header,
        page: u32,
        group: &Group,
    ) -> Result<(Option<GroupMatches>, u32), FeedError> {
        let whole = match page {
            0 => self.ring().commits.get(&header.commit.revision).and_then(|commit| commit.page.clone()),
            _ => None,
        };
        let (shared, next) = match whole {
            Some(whole) => (whole, header.pages),
            None => (self.page(header.commit.revision, page).await?, page.saturating_add(1)),
        };
        let pages = shared.pages_of(group, header.commit.cause, &self.groups, &self.kept);
        Ok((pages.map(|pages| GroupMatches::new(shared, pages)), next))
    }

    async fn page(&self, revision: Revision, page: u32) -> Result<Arc<SharedChanges>, FeedError> {
        if let Some(known) = self.read_page(revision, page) {
            return Ok(known);
        }
        let read: Result<_, StoreError> = self
            .read(move |reader| {
                let Some(bytes) = reader.ledger().read(revision, page)? else { return Ok(None) };
                shared(LedgerPage::decode(&bytes)?.changes(), reader).map(Some)
            })
            .await;
        // A page may be dropped by compaction while it is read. The floor is raised before that.
        let floor = self.reader.ledger().floor();
        if revision < floor && !matches!(read, Ok(Some(_))) {
            return Err(FeedError::BelowFloor { asked: revision, floor });
        }
        let shared = Arc::new(read?.ok_or_else(|| missing(revision))?);
        let mut read_pages = self.read_pages.lock().unwrap_or_else(PoisonError::into_inner);
        if read_pages.len() == READ_PAGES_MAX {
            read_pages.pop_front();
        }
        read_pages.push_back((revision, page, shared.clone()));
        Ok(shared)
    }

    /// A page that somebody else read from the ledger a moment ago.
    fn read_page(&self, revision: Revision, page: u32) -> Option<Arc<SharedChanges>> {
        let read_pages = self.read_pages.lock().unwrap_or_else(PoisonError::into_inner);
        let found = read_pages.iter().rev().find(|(of, number, _)| (*of, *number) == (revision, page));
        found.map(|(_, _, page)| page.clone())
    }

    /// Reads off the async threads, a bounded number at a time.
    pub async fn read<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let stopping = |_| E::from(StoreError::Stopped("the server is stopping".to_owned()));
        let _permit = self.catch_up.acquire().await.map_err(stopping)?;
        let reader = self.reader.clone();
        self.offload.run(move || read(&reader)).await?
    }

    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shared(changes: Vec<(u64, Change)>, reader: &Reader) -> Result<SharedChanges, StoreError> {
    let stamps = CommitStamps::read(changes.iter().map(|(_, change)| change), reader, Revision::MAX)?;
    Ok(SharedChanges::new(changes, stamps))
}

/// The sources whose licence forbids that what comes from them is handed on.
fn forbidden_sources(reader: &Reader) -> BTreeSet<String> {
    let catalog = reader.view().catalog();
    let sources = catalog.definitions(DefinitionKind::Source, "", reader.head());
    let forbidden = sources.filter_map(|definition| match definition.as_ref() {
        Definition::Source(source) if source.redistribution == Redistribution::Forbidden => Some(source.id.to_string()),
        _ => None,
    });
    forbidden.collect()
}

fn missing(revision: Revision) -> StoreError {
    StoreError::Corrupt(format!("commit {revision} is not whole in the ledger"))
}

impl Ring {
    fn put(&mut self, revision: Revision, commit: RingCommit) {
        let weight = commit.page.as_ref().map_or(0, |page| page.changes().len());
        self.changes += weight;
        self.order.push_back((revision, weight));
        self.commits.insert(revision, commit);
        while self.order.len() > RING_COMMITS_MAX || (self.changes > RING_CHANGES_MAX && self.order.len() > 1) {
            let Some((oldest, weight)) = self.order.pop_front() else { return };
            self.commits.remove(&oldest);
            self.changes -= weight;
        }
    }
}

/// A place among the subscribers.
#[derive(Debug)]
pub struct SubscriberPermit {
    hub: Arc<Hub>,
}

impl Drop for SubscriberPermit {
    fn drop(&mut self) {
        self.hub.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}
