//! What seals a commit: its header, the hash of its pages, the chain over all headers, and the receipt of its request.
//!
//! Invariant: a header follows from its draft, the hash of its pages and the chain before it, and from nothing else. So two
//! ledgers that seal the same commits have the same chain.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    model::{
        change::Commit,
        edition::Edition,
        finding::Finding,
        id::{RequestId, Revision},
    },
    store::{bytes::put_varint, error::Result, records::pack},
};

/// The chain before the first commit.
pub const CHAIN_START: [u8; 32] = [0; 32];

/// A header without its hashes: what the planner knows of a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    pub commit: Commit,
    pub pages: u32,
    /// How many changes subscribers see in the commit.
    pub changes: u64,
    /// What the store holds after the commit.
    pub totals: Totals,
}

/// The last record of a commit. A commit without one does not exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub commit: Commit,
    pub pages: u32,
    /// How many changes subscribers see in the commit.
    pub changes: u64,
    /// What the store holds after the commit.
    pub totals: Totals,
    /// SHA-256 of the pages: see [`ContentHash`].
    pub content: [u8; 32],
    /// SHA-256 of the chain at the revision before, of the packed [`Draft`], and of `content`.
    pub chain: [u8; 32],
}

impl Draft {
    /// The header of this draft. `previous` is the chain at the revision before, `content` the hash of the pages.
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
    /// This header without its hashes.
    pub fn draft(&self) -> Draft {
        Draft { commit: self.commit.clone(), pages: self.pages, changes: self.changes, totals: self.totals }
    }

    /// Whether this header continues the chain `previous`. It does not check the pages.
    pub fn continues(&self, previous: [u8; 32]) -> Result<bool> {
        Ok(self.draft().sealed(previous, self.content)? == *self)
    }

    /// The request that made the commit, if the writer gave it an id.
    pub fn request(&self) -> Option<&RequestId> {
        self.commit.request_id.as_ref()
    }
}

/// SHA-256 over the pages of a commit, in order. The length of each page goes before it, as in a bundle.
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

/// What the store holds. Each commit adds to the totals of the commit before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    pub series: u64,
    /// Figures with a current value.
    pub current: u64,
    /// Versions of figures.
    pub versions: u64,
}

/// The answer to a request. A retry of the request gets it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The commit that the request made.
    pub revision: Revision,
    /// SHA-256 of what the client sent.
    pub content: [u8; 32],
    /// The warnings of the answer.
    pub findings: Vec<Finding>,
    /// The edition of the answer, if it had one.
    #[serde(default)]
    pub edition: Option<Edition>,
}
