//! A page of a commit as all subscribers share it.
//!
//! What a group matches of a page is found when its first member asks, and what is sent of it is encoded then; the others
//! get the same bytes. Each change is encoded once, whoever asks.
//!
//! Invariant: what is kept of matches and bytes stays below [`SHARED_BYTES_MAX`]; what was let go is made again when asked.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};

use bytes::Bytes;

use super::{
    filter::Match,
    group::{Group, Groups},
};
use crate::model::change::{Cause, Change};

/// Most bytes of matches and encoded pages that are kept for sharing.
pub const SHARED_BYTES_MAX: usize = 32 << 20;

/// A change, its number in the commit, and its encoded form.
#[derive(Debug)]
pub struct NumberedChange {
    /// Position in its commit, from 0.
    pub number: u64,
    /// The change.
    pub change: Change,
    encoded: OnceLock<Bytes>,
}

impl NumberedChange {
    /// Numbers a change.
    pub fn new(number: u64, change: Change) -> Self {
        Self { number, change, encoded: OnceLock::new() }
    }

    /// The encoded form; made the first time.
    pub fn encoded(&self, encode: impl FnOnce(&Change) -> Vec<u8>) -> &Bytes {
        self.encoded.get_or_init(|| encode(&self.change).into())
    }
}

/// The changes of a page.
#[derive(Debug)]
pub struct SharedPage {
    /// Each by itself, so that a fold holds on to some without the rest.
    changes: Vec<Arc<NumberedChange>>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    /// All groups up to this one were looked at together: one that is not in `by_group` matches nothing.
    indexed_to: u64,
    by_group: HashMap<u64, Option<Arc<Part>>>,
}

/// What a group matches of a page.
#[derive(Debug)]
struct Part {
    matched: Vec<(usize, Match)>,
    body: OnceLock<Bytes>,
}

impl SharedPage {
    /// Of the changes of a ledger page.
    pub(super) fn new(changes: Vec<(u64, Change)>) -> Self {
        let changes =
            changes.into_iter().map(|(number, change)| Arc::new(NumberedChange::new(number, change))).collect();
        Self { changes, found: Mutex::default() }
    }

    /// How many changes.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// What a group matches; `None`: nothing.
    pub(super) fn matched(
        self: &Arc<Self>,
        group: &Group,
        cause: Cause,
        groups: &Groups,
        kept: &Kept,
    ) -> Option<Matched> {
        let known = {
            let found = self.found();
            match found.by_group.get(&group.id) {
                Some(part) => Some(part.clone()),
                None if group.id <= found.indexed_to => Some(None),
                None => None,
            }
        };
        let part = known.unwrap_or_else(|| self.find(group, cause, groups, kept))?;
        let range = 0..part.matched.len();
        Some(Matched { page: self.clone(), part, range })
    }

    fn find(self: &Arc<Self>, group: &Group, cause: Cause, groups: &Groups, kept: &Kept) -> Option<Arc<Part>> {
        let first_look = self.found().indexed_to == 0;
        let mut weight = 0;
        let mut part = |matched: Vec<(usize, Match)>| {
            weight += 64 + matched.len() * size_of::<(usize, Match)>();
            (!matched.is_empty()).then(|| Arc::new(Part { matched, body: OnceLock::new() }))
        };
        let index = groups.index();
        let wanted = if first_look && index.covers(group) {
            let by_group: HashMap<u64, Option<Arc<Part>>> =
                index.matches(&self.changes, cause).into_iter().map(|(id, matched)| (id, part(matched))).collect();
            let wanted = by_group.get(&group.id).cloned().flatten();
            let mut found = self.found();
            found.indexed_to = index.newest_group();
            found.by_group.extend(by_group);
            wanted
        } else {
            // A group that came after the page was looked at.
            let matches = |(at, numbered): (usize, &Arc<NumberedChange>)| {
                Some((at, group.filters.match_change(&numbered.change, cause)?))
            };
            let wanted = part(self.changes.iter().enumerate().filter_map(matches).collect());
            self.found().by_group.insert(group.id, wanted.clone());
            wanted
        };
        kept.add(self, weight);
        wanted
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a group matches of a page, with the page.
#[derive(Debug, Clone)]
pub struct Matched {
    page: Arc<SharedPage>,
    part: Arc<Part>,
    /// Which of the part's changes; all but where a list is cut into pages of its own.
    range: Range<usize>,
}

impl Matched {
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

    /// Leaves out the first ones.
    pub(super) fn drop_first(&mut self, count: usize) {
        self.range.start = (self.range.start + count).min(self.range.end);
    }

    /// Leaves out all but the first ones.
    pub(super) fn keep_first(&mut self, count: usize) {
        self.range.end = self.range.end.min(self.range.start + count);
    }

    /// The encoded form of the whole part for the group; made the first time.
    pub fn body(&self, kept: &Kept, encode: impl FnOnce(&Self) -> Vec<u8>) -> Bytes {
        let body = self.part.body.get_or_init(|| {
            let body = Bytes::from(encode(self));
            kept.add(&self.page, body.len());
            body
        });
        body.clone()
    }
}

/// What is kept for sharing, oldest first.
#[derive(Debug, Default)]
pub struct Kept {
    pages: Mutex<KeptPages>,
}

#[derive(Debug, Default)]
struct KeptPages {
    oldest_first: VecDeque<(Weak<SharedPage>, usize)>,
    bytes: usize,
}

impl Kept {
    /// Something of a page was made; lets go of the oldest if that is too much.
    fn add(&self, page: &Arc<SharedPage>, bytes: usize) {
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
