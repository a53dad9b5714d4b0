//! What one group matches of some changes, cut into pages, and the bytes of each page.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{change::NumberedChange, filter::Match, weight};

/// What a group matches of some changes, page by page.
pub(super) type GroupPages = Arc<[Arc<PageMatches>]>;

/// The matches of one page.
#[derive(Debug)]
pub(super) struct PageMatches {
    /// Each with the place of its change among the shared changes.
    pub(super) matches: Vec<(usize, Match)>,
    /// About how many bytes the changes take as sent.
    pub(super) weight: usize,
    /// The encoded changes.
    pub(super) plain: OnceLock<Bytes>,
    /// `None`: they are too short to compress.
    pub(super) deflated: OnceLock<Option<DeflatedBytes>>,
}

/// Compressed bytes: the last blocks of a deflate stream.
#[derive(Debug, Clone)]
pub struct DeflatedBytes {
    pub bytes: Bytes,
    /// Length of the plain bytes.
    pub plain_len: usize,
    /// CRC-32 of the plain bytes.
    pub plain_crc: u32,
}

impl PageMatches {
    fn new(matches: Vec<(usize, Match)>, weight: usize) -> Arc<Self> {
        Arc::new(Self { matches, weight, plain: OnceLock::new(), deflated: OnceLock::new() })
    }
}

/// Cuts matches into pages.
pub(super) fn cut(matches: Vec<(usize, Match)>, changes: &[Arc<NumberedChange>]) -> GroupPages {
    let mut pages = Vec::new();
    let mut page = Vec::new();
    let mut page_weight = 0;
    for (at, found) in matches {
        let weight = changes.get(at).map_or(0, |numbered| weight::of_change(&numbered.change));
        if page_weight + weight > weight::PAGE_BYTES && !page.is_empty() {
            pages.push(PageMatches::new(std::mem::take(&mut page), page_weight));
            page_weight = 0;
        }
        page.push((at, found));
        page_weight += weight;
    }
    if !page.is_empty() {
        pages.push(PageMatches::new(page, page_weight));
    }
    pages.into()
}

/// About how many bytes of memory pages take, without the encoded ones.
pub(super) fn bytes_of(pages: &GroupPages) -> usize {
    pages.iter().map(|page| 128 + page.matches.len() * size_of::<(usize, Match)>()).sum()
}
