//! What all subscribers share: the recent commits, the way to the ledger for those behind them, and the groups that are
//! woken when a commit matches.
//!
//! Invariants: memory is bounded, whatever the number and the speed of subscribers (see [`super::ring`],
//! [`super::read_cache`], [`super::cache`]). At most [`CATCH_UP_READERS_MAX`] subscribers read the ledger at one time,
//! off the async threads, and none of them holds a lock that the writer needs.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{
    FeedError,
    cache::PageCache,
    filter::Filters,
    group::Group,
    group_registry::GroupRegistry,
    index::Index,
    licences::Licences,
    page_changes::GroupMatches,
    read_cache::ReadCache,
    ring::{Ring, RingCommit},
    shared_changes::SharedChanges,
    stamps::CommitStamps,
    token::{ChainMark, Position, TokenContent, Tokens},
};
use crate::{
    ledger::{
        log::{CHAIN_START, Header, incomplete_commit},
        page::LedgerPage,
        writer::{AppliedCommit, Publisher},
    },
    model::{change::Change, id::Revision},
    query::Reader,
    store::{StoreError, lock::lock, offload::Offload},
};

/// Most subscribers that read the ledger at one time.
pub const CATCH_UP_READERS_MAX: usize = 32;
/// Most open subscriptions.
pub const SUBSCRIBERS_MAX: usize = 20_000;
/// Most subscriptions that conflate. Their conflations hold less than 512 MiB together, if every subscriber is behind.
pub const CONFLATING_MAX: usize = 1_000;
/// How long a genuine token of a revision above head waits for that revision.
const TOKEN_WAIT: Duration = Duration::from_secs(2);

/// What all subscribers share.
#[derive(Debug)]
pub struct Hub {
    reader: Reader,
    offload: Offload,
    tokens: Tokens,
    head: watch::Sender<Revision>,
    asleep: Mutex<Vec<Asleep>>,
    is_stopping: AtomicBool,
    licences: Mutex<Licences>,
    ring: Mutex<Ring>,
    read_cache: ReadCache,
    groups: GroupRegistry,
    cache: PageCache,
    catch_up: Semaphore,
    subscribers: AtomicUsize,
    reconnect_fractions: AtomicU32,
    conflating: Arc<Semaphore>,
}

/// The groups to wake for one commit.
#[derive(Debug)]
struct Asleep {
    /// The index by which the commit was matched.
    index: Arc<Index>,
    matching: Vec<Arc<Group>>,
}

/// Publishes the writer's commits to the subscribers of a hub.
#[derive(Debug)]
pub struct HubPublisher(pub Arc<Hub>);

impl Publisher for HubPublisher {
    fn publish(&self, commit: AppliedCommit) {
        self.0.publish(commit);
    }

    fn wake(&self) {
        self.0.wake();
    }
}

/// What a group matches of a ledger page, or of a whole recent commit.
#[derive(Debug)]
pub(super) struct LedgerMatches {
    /// `None`: nothing matches.
    pub(super) matches: Option<GroupMatches>,
    /// Number of the ledger page to read next.
    pub(super) next_ledger_page: u32,
}

impl Hub {
    pub fn new(reader: Reader, offload: Offload) -> Self {
        let tokens = Tokens::new(reader.ledger().history(), reader.ledger().secret());
        let head = watch::Sender::new(reader.head());
        Self {
            licences: Mutex::new(Licences::read(&reader)),
            reader,
            offload,
            tokens,
            head,
            asleep: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            ring: Mutex::default(),
            read_cache: ReadCache::default(),
            groups: GroupRegistry::default(),
            cache: PageCache::default(),
            catch_up: Semaphore::new(CATCH_UP_READERS_MAX),
            subscribers: AtomicUsize::new(0),
            reconnect_fractions: AtomicU32::new(0),
            conflating: Arc::new(Semaphore::new(CONFLATING_MAX)),
        }
    }

    /// The reader of the history that the hub serves.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Adds a commit, durable and visible to readers, and notes it in the groups that it matches, to be woken. The writer calls
    /// it in revision order.
    fn publish(&self, applied: AppliedCommit) {
        let AppliedCommit { header, pages } = applied;
        let revision = header.commit.revision;
        let index = self.groups.index();
        // Without subscribers nobody may ever ask for the changes; who comes later reads them from the ledger.
        let pages = pages.filter(|_| !index.groups().is_empty());
        let changes = pages.and_then(|pages| self.share_recent(revision, &pages));
        let cause = header.commit.cause;
        let matching: Vec<&Arc<Group>> = match &changes {
            // Nobody matched the commit, so every group has to look at it.
            None => index.groups().iter().collect(),
            Some(_) if header.changes == 0 => {
                index.groups().iter().filter(|group| group.filters.wants_empty(cause)).collect()
            }
            Some(changes) => {
                let found = changes.match_all(&index, cause, &self.cache);
                index.groups().iter().filter(|group| found.binary_search(&group.id).is_ok()).collect()
            }
        };
        self.groups.note(&index, revision, &matching);
        self.note_licences(&header);
        lock(&self.ring).put(revision, RingCommit { header, changes });
        self.head.send_replace(revision);
        let matching = matching.into_iter().cloned().collect();
        lock(&self.asleep).push(Asleep { index, matching });
    }

    /// Wakes the groups that match the commits published since the call before.
    fn wake(&self) {
        let asleep = std::mem::take(&mut *lock(&self.asleep));
        for Asleep { index, matching } in asleep {
            self.groups.wake(&index, &matching);
        }
    }

    /// The changes of a recent commit. `None`: the store failed. It fails again for the subscribers that read the
    /// commit, and they get the error.
    fn share_recent(&self, revision: Revision, pages: &[Vec<u8>]) -> Option<Arc<SharedChanges>> {
        let changes = pages.iter().map(|page| Ok(LedgerPage::decode(page)?.changes())).collect::<Result<Vec<_>, _>>();
        match changes.and_then(|changes| share(changes.concat(), &self.reader)) {
            Ok(changes) => Some(Arc::new(changes)),
            Err(error) => {
                tracing::error!(%error, %revision, "a commit could not be kept in the ring");
                None
            }
        }
    }

    /// Makes all subscriptions end.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.groups.wake_all();
    }

    /// Whether the server is stopping. All groups are woken when it begins to.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// The newest revision that was published.
    pub fn published(&self) -> Revision {
        *self.head.borrow()
    }

    /// The same, with every change of it.
    pub fn head(&self) -> watch::Receiver<Revision> {
        self.head.subscribe()
    }

    /// How many subscriptions are open.
    pub fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::Relaxed)
    }

    /// A number from 0 to 1. However many are taken, they lie evenly spread: they are multiples of the golden ratio.
    pub(super) fn next_reconnect_fraction(&self) -> f64 {
        let taken = self.reconnect_fractions.fetch_add(1, Ordering::Relaxed);
        f64::from(taken.wrapping_mul(0x9e37_79b9)) / f64::from(u32::MAX)
    }

    /// Counts a subscription, as long as the permit lives. At most [`SUBSCRIBERS_MAX`].
    pub fn subscriber_permit(self: &Arc<Self>) -> Result<SubscriberPermit, FeedError> {
        let taken = self.subscribers.fetch_add(1, Ordering::Relaxed);
        let permit = SubscriberPermit { hub: self.clone() };
        if taken < SUBSCRIBERS_MAX { Ok(permit) } else { Err(FeedError::TooManySubscribers { limit: SUBSCRIBERS_MAX }) }
    }

    /// Counts a subscription that conflates, as long as the permit lives. At most [`CONFLATING_MAX`].
    pub(super) fn conflating_permit(&self) -> Result<OwnedSemaphorePermit, FeedError> {
        let permit = self.conflating.clone().try_acquire_owned();
        permit.map_err(|_| FeedError::TooManyConflating { limit: CONFLATING_MAX })
    }

    /// The header of a commit that is not above head.
    pub async fn header(&self, revision: Revision) -> Result<Arc<Header>, StoreError> {
        let recent = lock(&self.ring).get(revision).map(|commit| commit.header.clone());
        if let Some(header) = recent.or_else(|| self.read_cache.header(revision)) {
            return Ok(header);
        }
        let read: Result<_, StoreError> = self.read(move |reader| reader.ledger().header(revision)).await;
        let header = Arc::new(read?.ok_or_else(|| incomplete_commit(revision))?);
        self.read_cache.put_header(header.clone());
        Ok(header)
    }

    /// The chain at a revision that is not above head, as tokens carry it.
    async fn chain(&self, revision: Revision) -> Result<ChainMark, StoreError> {
        match revision {
            Revision::ZERO => Ok(ChainMark::of(&CHAIN_START)),
            revision => Ok(ChainMark::of(&self.header(revision).await?.chain)),
        }
    }

    /// The token of a position in a stream with these filters.
    pub async fn token(&self, position: Position, filter_hash: u64) -> Result<String, StoreError> {
        let chain = self.chain(position.revision).await?;
        Ok(self.tokens.token(TokenContent { position, filter_hash, chain }))
    }

    /// What a token says. A genuine token of a revision above head waits for that revision, at most two seconds:
    /// another server may be ahead of this one.
    pub async fn read_token(&self, token: &str) -> Result<TokenContent, FeedError> {
        let content = self.tokens.read(token)?;
        let asked = content.position.revision;
        let mut head = self.head();
        let reached = head.wait_for(|head| *head >= asked);
        if tokio::time::timeout(TOKEN_WAIT, reached).await.is_err() {
            return Err(FeedError::TokenAhead { asked, head: self.published() });
        }
        // A folder that was restored from an older copy has another chain above the revision of that copy.
        if self.chain(asked).await? == content.chain { Ok(content) } else { Err(FeedError::TokenOtherHistory) }
    }

    /// The position that a token names in a stream with these filters.
    pub async fn resume(&self, token: &str, filters: &Filters) -> Result<Position, FeedError> {
        let content = self.read_token(token).await?;
        if content.filter_hash == filters.hash() { Ok(content.position) } else { Err(FeedError::TokenOtherFilter) }
    }

    /// The sources that new streams leave out.
    pub fn licences(&self) -> Licences {
        lock(&self.licences).clone()
    }

    /// Notes which sources a commit closes or opens. Streams that leave out others end before they read the next
    /// commit.
    fn note_licences(&self, header: &Header) {
        if !Licences::may_change_in(header) {
            return;
        }
        if let Some(next) = self.licences().next(&self.reader) {
            *lock(&self.licences) = next;
            self.groups.wake_all();
        }
    }

    /// The group of the subscribers with these filters.
    pub fn group(&self, filters: Filters) -> Arc<Group> {
        self.groups.join(filters)
    }

    /// What subscribers share of pages.
    pub fn cache(&self) -> &PageCache {
        &self.cache
    }

    /// What a group matches of a commit that is not above head: of the whole commit if it is in the ring and
    /// `ledger_page` is 0, else of that ledger page.
    pub(super) async fn matches(
        &self,
        header: &Header,
        ledger_page: u32,
        group: &Group,
    ) -> Result<LedgerMatches, FeedError> {
        let revision = header.commit.revision;
        let recent = match ledger_page {
            0 => lock(&self.ring).get(revision).and_then(|commit| commit.changes.clone()),
            _ => None,
        };
        let (shared, next_ledger_page) = match recent {
            Some(whole) => (whole, header.pages),
            None => (self.read_page(revision, ledger_page).await?, ledger_page.saturating_add(1)),
        };
        let pages = shared.pages_of(group, header.commit.cause, &self.groups, &self.cache);
        Ok(LedgerMatches { matches: pages.map(|pages| GroupMatches::new(shared, pages)), next_ledger_page })
    }

    async fn read_page(&self, revision: Revision, ledger_page: u32) -> Result<Arc<SharedChanges>, FeedError> {
        if let Some(changes) = self.read_cache.page(revision, ledger_page) {
            return Ok(changes);
        }
        let read: Result<_, StoreError> = self
            .read(move |reader| {
                let Some(bytes) = reader.ledger().read(revision, ledger_page)? else { return Ok(None) };
                share(LedgerPage::decode(&bytes)?.changes(), reader).map(Some)
            })
            .await;
        // Compaction may drop a page while it is read. It raises the floor before.
        let floor = self.reader.ledger().floor();
        if revision < floor && !matches!(read, Ok(Some(_))) {
            return Err(FeedError::BelowFloor { asked: revision, floor });
        }
        let changes = Arc::new(read?.ok_or_else(|| incomplete_commit(revision))?);
        self.read_cache.put_page(revision, ledger_page, changes.clone());
        Ok(changes)
    }

    /// Reads off the async threads; at most [`CATCH_UP_READERS_MAX`] at one time.
    pub async fn read<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        // The semaphore is never closed, so the permit always comes.
        let _permit = self.catch_up.acquire().await.ok();
        let reader = self.reader.clone();
        self.offload.run(move || read(&reader)).await?
    }
}

fn share(changes: Vec<(u64, Change)>, reader: &Reader) -> Result<SharedChanges, StoreError> {
    let stamps = CommitStamps::read(changes.iter().map(|(_, change)| change), reader, Revision::MAX)?;
    Ok(SharedChanges::new(changes, stamps))
}

/// An open subscription, counted until it is dropped.
#[derive(Debug)]
pub struct SubscriberPermit {
    hub: Arc<Hub>,
}

impl Drop for SubscriberPermit {
    fn drop(&mut self) {
        self.hub.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}
