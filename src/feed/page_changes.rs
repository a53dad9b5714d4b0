//! The changes of one page: a group's share of the changes that all subscribers share.
//!
//! The first subscriber of a group that asks for a page encodes it; the first that takes compressed bytes compresses
//! it; the others get the same bytes. Each change is encoded once, whoever asks.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    cache::PageCache,
    change::NumberedChange,
    filter::Match,
    matches::{DeflatedBytes, GroupPages, PageMatches},
    shared_changes::SharedChanges,
};

/// What a group matches of some shared changes, page by page.
#[derive(Debug)]
pub(super) struct GroupMatches {
    shared: Arc<SharedChanges>,
    pages: GroupPages,
}

impl GroupMatches {
    pub(super) fn new(shared: Arc<SharedChanges>, pages: GroupPages) -> Self {
        Self { shared, pages }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = PageChanges> {
        (0..).map_while(|at| self.get(at))
    }

    /// `None` after the last page.
    pub(super) fn get(&self, at: usize) -> Option<PageChanges> {
        let matches = self.pages.get(at)?.clone();
        let range = 0..matches.matches.len();
        Some(PageChanges { shared: self.shared.clone(), matches, range })
    }
}

/// The changes of one page, with how each one matches.
#[derive(Debug, Clone)]
pub struct PageChanges {
    shared: Arc<SharedChanges>,
    matches: Arc<PageMatches>,
    /// Which of the matches: all but where a list cuts pages of its own.
    range: Range<usize>,
}

/// The encoded changes of a page, for a client that takes compressed bytes.
#[derive(Debug, Clone)]
pub enum PageBytes {
    Deflated(DeflatedBytes),
    /// Too short to compress.
    Plain(Bytes),
}

impl PageChanges {
    /// The changes, and how each one matches.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<NumberedChange>, &Match)> {
        let matches = self.matches.matches.get(self.range.clone()).unwrap_or_default();
        matches.iter().filter_map(|(at, found)| Some((self.shared.changes().get(*at)?, found)))
    }

    pub fn len(&self) -> usize {
        self.range.len()
    }

    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// About how many bytes the whole page takes as sent, also where a list cut it.
    pub(super) fn weight(&self) -> usize {
        self.matches.weight
    }

    pub(super) fn drop_first(&mut self, count: usize) {
        self.range.start = (self.range.start + count).min(self.range.end);
    }

    pub(super) fn keep_first(&mut self, count: usize) {
        self.range.end = self.range.end.min(self.range.start + count);
    }

    /// The encoded changes of the whole page. The first caller of the group makes them.
    pub fn plain(&self, cache: &PageCache, encode: impl FnOnce(&Self) -> Vec<u8>) -> Bytes {
        self.plain_or_insert(cache, || encode(self).into_boxed_slice().into())
    }

    fn plain_or_insert(&self, cache: &PageCache, make: impl FnOnce() -> Bytes) -> Bytes {
        let plain = self.matches.plain.get_or_init(|| {
            let plain = make();
            cache.add(&self.shared, plain.len());
            plain
        });
        plain.clone()
    }

    /// The same for a client that takes compressed bytes. `deflate` returns `None` for bytes that it leaves as they
    /// are. The plain form of compressed bytes is not kept, unless another client asks for it.
    pub fn compressed(
        &self,
        cache: &PageCache,
        encode: impl Fn(&Self) -> Vec<u8>,
        deflate: impl FnOnce(&[u8]) -> Option<DeflatedBytes>,
    ) -> PageBytes {
        let deflated = self.matches.deflated.get_or_init(|| {
            let plain = self.matches.plain.get().cloned().unwrap_or_else(|| encode(self).into_boxed_slice().into());
            let deflated = deflate(&plain);
            match &deflated {
                Some(deflated) => cache.add(&self.shared, deflated.bytes.len()),
                None => {
                    self.plain_or_insert(cache, || plain);
                }
            }
            deflated
        });
        match deflated {
            Some(deflated) => PageBytes::Deflated(deflated.clone()),
            None => PageBytes::Plain(self.plain(cache, encode)),
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
        feed::{cache::SHARED_BYTES_MAX, filter::Filters, group_registry::GroupRegistry, stamps::CommitStamps},
        model::{
            catalog::{Definition, Entity, EntityKind},
            change::{Cause, Change, DefinitionChange},
            id::EntityId,
        },
    };

    const PLAIN_BYTES: usize = 100;
    const DEFLATED_BYTES: usize = 10;

    /// The only page of a commit with one definition, for a subscriber without filters.
    fn page(cache: &PageCache) -> PageChanges {
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
        let shared = Arc::new(SharedChanges::new(vec![(0, change)], CommitStamps::default()));
        let groups = GroupRegistry::default();
        let group = groups.join(Filters::new(Vec::new()));
        let pages = shared.pages_of(&group, Cause::FirstRelease, &groups, cache).unwrap();
        GroupMatches::new(shared, pages).get(0).unwrap()
    }

    fn shortened(plain: &[u8]) -> Option<DeflatedBytes> {
        Some(DeflatedBytes { bytes: vec![1; DEFLATED_BYTES].into(), plain_len: plain.len(), plain_crc: 5 })
    }

    #[test]
    fn a_page_is_compressed_once_for_all_and_its_plain_form_is_not_kept() {
        let cache = PageCache::default();
        let page = page(&cache);
        let before = cache.bytes();
        let encoded = AtomicUsize::new(0);
        let deflated = AtomicUsize::new(0);
        let together = Barrier::new(8);
        let encode = |_: &PageChanges| {
            encoded.fetch_add(1, Ordering::Relaxed);
            vec![0; PLAIN_BYTES]
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    let bytes = page.compressed(&cache, encode, |plain| {
                        deflated.fetch_add(1, Ordering::Relaxed);
                        shortened(plain)
                    });
                    let PageBytes::Deflated(bytes) = bytes else { panic!("not compressed") };
                    assert_eq!((bytes.bytes.len(), bytes.plain_len), (DEFLATED_BYTES, PLAIN_BYTES));
                });
            }
        });
        assert_eq!((encoded.load(Ordering::Relaxed), deflated.load(Ordering::Relaxed)), (1, 1));
        assert_eq!(cache.bytes() - before, DEFLATED_BYTES, "only what was asked for is kept and counted");
        assert_eq!(page.plain(&cache, encode).len(), PLAIN_BYTES);
        assert_eq!(cache.bytes() - before, DEFLATED_BYTES + PLAIN_BYTES);
    }

    #[test]
    fn a_page_that_is_not_worth_compressing_shares_its_plain_form() {
        let cache = PageCache::default();
        let page = page(&cache);
        let before = cache.bytes();
        let bytes = page.compressed(&cache, |_| vec![0; PLAIN_BYTES], |_| None);
        let PageBytes::Plain(bytes) = bytes else { panic!("compressed") };
        let plain = page.plain(&cache, |_| panic!("it was encoded already"));
        assert_eq!(bytes.as_ptr(), plain.as_ptr(), "one copy");
        assert_eq!(cache.bytes() - before, PLAIN_BYTES, "counted once");
    }

    #[test]
    fn shared_bytes_stay_below_their_bound() {
        let cache = PageCache::default();
        let mut pages = Vec::new();
        for _ in 0..5 {
            let page = page(&cache);
            let big = vec![1; SHARED_BYTES_MAX / 3].into();
            page.compressed(
                &cache,
                |_| vec![0; PLAIN_BYTES],
                |plain| Some(DeflatedBytes { bytes: big, ..shortened(plain)? }),
            );
            assert!(cache.bytes() <= SHARED_BYTES_MAX);
            pages.push(page);
        }
        let kept = pages.iter().filter(|page| !page.shared.is_evicted()).count();
        assert_eq!(kept, 2, "the oldest were evicted");
    }
}
