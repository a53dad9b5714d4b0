//! A page of a commit as all subscribers share it: all of a recent commit, or a page of the ledger.
//!
//! What all groups match of a recent commit is found when it is published, in one look; of a page that was read, when the
//! first asks. What is sent of it is cut into parts, encoded when the first of a group asks, and deflated when the first asks
//! who takes that; the others get the same bytes. Each change is encoded once, whoever asks.
//!
//! Invariant: what is kept of matches and bytes stays below [`SHARED_BYTES_MAX`]; what was let go is made again when asked.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{
    filter::Match,
    group::{Group, Groups},
    index::Index,
    stamps::CommitStamps,
    weight,
};
use crate::model::change::{Cause, Change};

/// Most bytes of matches and encoded pages that are kept for sharing.
pub const SHARED_BYTES_MAX: usize = 32 << 20;
/// A part, which is what one message brings, is closed at about so many bytes.
const PART_WEIGHT: usize = 48 * 1024;

/// A change, its number in the commit, and its encoded form.
#[derive(Debug)]
pub struct NumberedChange {
    /// Position in its commit, from 0.
    pub number: u64,
    /// The change.
    pub change: Change,
    /// The commits that its rows come from.
    pub stamps: Arc<CommitStamps>,
    encoded: OnceLock<Bytes>,
}

impl NumberedChange {
    /// Numbers a change.
    pub fn new(number: u64, change: Change, stamps: Arc<CommitStamps>) -> Self {
        Self { number, change, stamps, encoded: OnceLock::new() }
    }

    /// The encoded form; made the first time.
    pub fn encoded(&self, kept: &PageCache, encode: impl FnOnce(&Change, &CommitStamps) -> Vec<u8>) -> &Bytes {
        self.encoded.get_or_init(|| {
            kept.encoded.fetch_add(1, Ordering::Relaxed);
            encode(&self.change, &self.stamps).into()
        })
    }
}

/// Some changes of a commit, in order.
#[derive(Debug)]
pub struct SharedChanges {
    /// Each by itself, so that a fold holds on to some without the rest.
    changes: Vec<Arc<NumberedChange>>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    /// All groups up to this one were looked at together: one that is not in `by_group` matches nothing.
    indexed_to: u64,
    by_group: HashMap<u64, Option<Parts>>,
}

/// What a group matches of a page.
type Parts = Arc<[Arc<Part>]>;

/// As much of it as one message takes.
#[derive(Debug)]
struct Part {
    matched: Vec<(usize, Match)>,
    weight: usize,
    body: OnceLock<Bytes>,
    /// `None`: it is sent as it is to all.
    deflated: OnceLock<Option<DeflatedBytes>>,
}

/// Encoded bytes, deflated: the last block, or blocks, of a deflate stream.
#[derive(Debug, Clone)]
pub struct DeflatedBytes {
    /// As sent.
    pub bytes: Bytes,
    /// How many bytes they come from.
    pub plain_len: usize,
    /// CRC-32 of those.
    pub plain_crc: u32,
}

/// What is sent of a page to those who take deflated bytes.
#[derive(Debug, Clone)]
pub enum PageBytes {
    /// DeflatedBytes.
    Deflated(DeflatedBytes),
    /// As it is, because that is short enough.
    Plain(Bytes),
}

impl SharedChanges {
    /// Of the changes of one or several ledger pages.
    pub(super) fn new(changes: Vec<(u64, Change)>, stamps: CommitStamps) -> Self {
        let stamps = Arc::new(stamps);
        let numbered = |(number, change)| Arc::new(NumberedChange::new(number, change, stamps.clone()));
        let changes = changes.into_iter().map(numbered).collect();
        Self { changes, found: Mutex::default() }
    }

    /// How many changes.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Finds what all groups match; says which match anything, sorted.
    pub(super) fn find_all(self: &Arc<Self>, index: &Index, cause: Cause, kept: &PageCache) -> Vec<u64> {
        let mut found = self.found();
        let kept_more = self.look(&mut found, index, cause, kept);
        let mut groups: Vec<u64> = found.by_group.keys().copied().collect();
        drop(found);
        kept.add(self, kept_more);
        groups.sort_unstable();
        groups
    }

    /// What a group matches; `None`: nothing.
    pub(super) fn matched(
        self: &Arc<Self>,
        group: &Group,
        cause: Cause,
        groups: &Groups,
        kept: &PageCache,
    ) -> Option<MatchedParts> {
        let known = |found: &Found| match found.by_group.get(&group.id) {
            Some(parts) => Some(parts.clone()),
            None if group.id <= found.indexed_to => Some(None),
            None => None,
        };
        let parts = {
            let mut found = self.found();
            match known(&found) {
                Some(parts) => parts,
                None => {
                    // The lock is held while it is looked for, so that nobody looks for the same.
                    let index = (found.indexed_to == 0).then(|| groups.index()).filter(|index| index.covers(group));
                    let kept_more = match index {
                        Some(index) => self.look(&mut found, &index, cause, kept),
                        None => self.look_for_one(&mut found, group, cause, kept),
                    };
                    let parts = known(&found).flatten();
                    drop(found);
                    kept.add(self, kept_more);
                    parts
                }
            }
        };
        Some(MatchedParts { page: self.clone(), parts: parts? })
    }

    /// Looks for what the groups of an index match; gives how many bytes are kept of it.
    fn look(&self, found: &mut Found, index: &Index, cause: Cause, kept: &PageCache) -> usize {
        kept.matched.fetch_add(self.changes.len() as u64, Ordering::Relaxed);
        let mut bytes = 0;
        for (group, matched) in index.matches(&self.changes, cause) {
            let parts = self.parts(matched);
            bytes += kept_bytes(&parts);
            found.by_group.insert(group, Some(parts));
        }
        found.indexed_to = index.newest_group();
        bytes
    }

    /// The same for a group that came after the others were looked for.
    fn look_for_one(&self, found: &mut Found, group: &Group, cause: Cause, kept: &PageCache) -> usize {
        kept.matched.fetch_add(self.changes.len() as u64, Ordering::Relaxed);
        let matches = |(at, numbered): (usize, &Arc<NumberedChange>)| {
            Some((at, group.filters.match_change(&numbered.change, cause)?))
        };
        let matched: Vec<_> = self.changes.iter().enumerate().filter_map(matches).collect();
        let parts = (!matched.is_empty()).then(|| self.parts(matched));
        let bytes = parts.as_ref().map_or(0, kept_bytes);
        found.by_group.insert(group.id, parts);
        bytes
    }

    /// Cuts what matches into what one message takes.
    fn parts(&self, matched: Vec<(usize, Match)>) -> Parts {
        let (mut parts, mut part, mut weight) = (Vec::new(), Vec::new(), 0);
        for (at, found) in matched {
            let more = self.changes.get(at).map_or(0, |numbered| weight::of_change(&numbered.change));
            if weight + more > PART_WEIGHT && !part.is_empty() {
                parts.push(Arc::new(Part::new(std::mem::take(&mut part), std::mem::take(&mut weight))));
            }
            part.push((at, found));
            weight += more;
        }
        if !part.is_empty() {
            parts.push(Arc::new(Part::new(part, weight)));
        }
        parts.into()
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn new(matched: Vec<(usize, Match)>, weight: usize) -> Self {
        Self { matched, weight, body: OnceLock::new(), deflated: OnceLock::new() }
    }
}

/// About how many bytes parts take, without what is encoded of them.
fn kept_bytes(parts: &Parts) -> usize {
    parts.iter().map(|part| 128 + part.matched.len() * size_of::<(usize, Match)>()).sum()
}

/// What a group matches of a page, part by part.
#[derive(Debug)]
pub(super) struct MatchedParts {
    page: Arc<SharedChanges>,
    parts: Parts,
}

impl MatchedParts {
    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = PageChanges> {
        (0..).map_while(|at| self.get(at))
    }

    /// One of them; `None` after the last.
    pub(super) fn get(&self, at: usize) -> Option<PageChanges> {
        let part = self.parts.get(at)?.clone();
        let range = 0..part.matched.len();
        Some(PageChanges { page: self.page.clone(), part, range })
    }
}

/// Part of what a group matches of a page, with the page.
#[derive(Debug, Clone)]
pub struct PageChanges {
    page: Arc<SharedChanges>,
    part: Arc<Part>,
    /// Which of the part's changes; all but where a list is cut into pages of its own.
    range: Range<usize>,
}

impl PageChanges {
    /// The changes, and how they match.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<NumberedChange>, &Match)> {
        let matched = self.part.matched.get(self.range.clone()).unwrap_or_default();
        matched.iter().filter_map(|(at, found)| Some((self.page.changes.get(*at)?, found)))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// About how many bytes the whole part takes as sent.
    pub(super) fn weight(&self) -> usize {
        self.part.weight
    }

    /// Leaves out the first ones.
    pub(super) fn drop_first(&mut self, count: usize) {
        self.range.start = (self.range.start + count).min(self.range.end);
    }

    /// Leaves out all but the first ones.
    pub(super) fn keep_first(&mut self, count: usize) {
        self.range.end = self.range.end.min(self.range.start + count);
    }

    /// The encoded form of the whole part for the group; made the first time.
    pub fn body(&self, kept: &PageCache, encode: impl FnOnce(&Self) -> Vec<u8>) -> Bytes {
        self.body_of(kept, || encode(self).into_boxed_slice().into())
    }

    fn body_of(&self, kept: &PageCache, make: impl FnOnce() -> Bytes) -> Bytes {
        let body = self.part.body.get_or_init(|| {
            let body = make();
            kept.add(&self.page, body.len());
            body
        });
        body.clone()
    }

    /// The same for those who take deflated bytes; made the first time. `deflate` says `None` to what it leaves as it is.
    /// If nobody wants the plain form of what it deflates, that is not kept.
    pub fn packed(
        &self,
        kept: &PageCache,
        encode: impl Fn(&Self) -> Vec<u8>,
        deflate: impl FnOnce(&[u8]) -> Option<DeflatedBytes>,
    ) -> PageBytes {
        let deflated = self.part.deflated.get_or_init(|| {
            let plain = self.part.body.get().cloned().unwrap_or_else(|| encode(self).into_boxed_slice().into());
            let deflated = deflate(&plain);
            match &deflated {
                Some(deflated) => kept.add(&self.page, deflated.bytes.len()),
                None => {
                    self.body_of(kept, || plain);
                }
            }
            deflated
        });
        match deflated {
            Some(deflated) => PageBytes::Deflated(deflated.clone()),
            None => PageBytes::Plain(self.body(kept, encode)),
        }
    }
}

/// What is kept for sharing, oldest first, and how often what is shared was made.
#[derive(Debug, Default)]
pub struct PageCache {
    pages: Mutex<CacheEntries>,
    encoded: AtomicU64,
    matched: AtomicU64,
}

#[derive(Debug, Default)]
struct CacheEntries {
    oldest_first: VecDeque<(Weak<SharedChanges>, usize)>,
    bytes: usize,
}

impl PageCache {
    /// How many changes were encoded: each once, however many see it.
    pub fn changes_encoded(&self) -> u64 {
        self.encoded.load(Ordering::Relaxed)
    }

    /// How many changes were held against filters, once against those of all groups together or once against those of a
    /// group that came late: how many subscribers there are does not matter.
    pub fn changes_matched(&self) -> u64 {
        self.matched.load(Ordering::Relaxed)
    }

    /// Something of a page was made; lets go of the oldest if that is too much.
    fn add(&self, page: &Arc<SharedChanges>, bytes: usize) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.oldest_first.push_back((Arc::downgrade(page), bytes));
        pages.bytes += bytes;
        while pages.bytes > SHARED_BYTES_MAX {
            let Some((oldest, bytes)) = pages.oldest_first.pop_front() else { return };
            pages.bytes -= bytes;
            if let Some(oldest) = oldest.upgrade() {
                *oldest.found() = Found::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use super::*;
    use crate::{
        feed::filter::Filters,
        model::{
            catalog::{Definition, Entity, EntityKind},
            change::DefinitionChange,
            id::EntityId,
        },
    };

    /// What somebody without filters sees of a page.
    fn seen(kept: &PageCache) -> (Arc<SharedChanges>, PageChanges) {
        let entity = Entity {
            id: EntityId::new("CHN").unwrap(),
            kind: EntityKind::Economy,
            name: "China".into(),
            codes: Vec::new(),
            names: Vec::new(),
            relations: Vec::new(),
        };
        let after = Some(Box::new(Definition::Entity(entity)));
        let change = Change::Definition(DefinitionChange { before: None, after });
        let page = Arc::new(SharedChanges::new(vec![(0, change)], CommitStamps::default()));
        let groups = Groups::default();
        let group = groups.join(Filters::new(Vec::new()));
        let matched = page.matched(&group, Cause::FirstRelease, &groups, kept).and_then(|parts| parts.get(0)).unwrap();
        (page, matched)
    }

    fn kept_bytes(kept: &PageCache) -> usize {
        kept.pages.lock().unwrap().bytes
    }

    fn shortened(plain: &[u8]) -> Option<DeflatedBytes> {
        Some(DeflatedBytes { bytes: vec![1; 10].into(), plain_len: plain.len(), plain_crc: 5 })
    }

    #[test]
    fn a_page_is_deflated_once_for_all_who_ask_and_its_plain_form_is_not_kept_for_them() {
        let kept = PageCache::default();
        let (_page, matched) = seen(&kept);
        let before = kept_bytes(&kept);
        let (encoded, deflated, together) = (AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(8));
        let encode = |_: &PageChanges| {
            encoded.fetch_add(1, Ordering::Relaxed);
            vec![0; 100]
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    let packed = matched.packed(&kept, encode, |plain| {
                        deflated.fetch_add(1, Ordering::Relaxed);
                        shortened(plain)
                    });
                    assert!(matches!(packed, PageBytes::Deflated(it) if it.bytes.len() == 10 && it.plain_len == 100));
                });
            }
        });
        assert_eq!((encoded.load(Ordering::Relaxed), deflated.load(Ordering::Relaxed)), (1, 1));
        assert_eq!(kept_bytes(&kept) - before, 10, "only what was asked for is kept, and it is counted");
        assert_eq!(matched.body(&kept, encode).len(), 100);
        assert_eq!(kept_bytes(&kept) - before, 110);
    }

    #[test]
    fn what_is_not_worth_deflating_is_the_plain_form_of_all() {
        let kept = PageCache::default();
        let (_page, matched) = seen(&kept);
        let before = kept_bytes(&kept);
        let PageBytes::Plain(packed) = matched.packed(&kept, |_| vec![0; 100], |_| None) else {
            panic!("not deflated")
        };
        let plain = matched.body(&kept, |_| panic!("it is there"));
        assert_eq!((packed.as_ptr(), kept_bytes(&kept) - before), (plain.as_ptr(), 100), "one copy, counted once");
    }

    #[test]
    fn what_is_kept_stays_below_its_bound() {
        let kept = PageCache::default();
        let mut pages = Vec::new();
        for _ in 0..5 {
            let (page, matched) = seen(&kept);
            let big = vec![1; SHARED_BYTES_MAX / 3].into();
            matched.packed(&kept, |_| vec![0; 100], |plain| Some(DeflatedBytes { bytes: big, ..shortened(plain)? }));
            assert!(kept_bytes(&kept) <= SHARED_BYTES_MAX);
            pages.push((page, matched));
        }
        let still = pages.iter().filter(|(page, _)| !page.found().by_group.is_empty()).count();
        assert_eq!(still, 2, "the oldest were let go of");
    }
}
