//! Page tokens: where a list goes on, for the same request at the same revision.
//!
//! Invariant: all pages of a list are answered at one revision of one history. A token of another history, with another
//! request or method, or a damaged one, is refused.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::{Message, Name};
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use sha2::{Digest, Sha256};
use tonic::Status;

use super::status::{self, BadField};
use crate::{
    model::{
        id::{HistoryId, Revision},
        series::Horizon,
    },
    query::AsOf,
};

/// A page is closed at this size, however many items were asked for: clients take 4 MiB unless told otherwise.
const ANSWER_BYTES: usize = 1 << 20;

/// A page as asked for.
#[derive(Debug)]
pub(super) struct ListPage<P> {
    /// The beginning of the history's id.
    history: u64,
    fingerprint: u64,
    /// Most items on it.
    pub size: usize,
    /// The revision that earlier pages were answered at.
    pub revision: Option<Revision>,
    /// Where it goes on.
    pub position: Option<P>,
}

/// What a token says: history, fingerprint of the request, revision of all pages, position.
#[derive(Serialize, Deserialize)]
struct Token<P>(u64, u64, u64, P);

/// Tells requests apart: those of two methods may have the same bytes.
fn fingerprint<M: Message + Name>(request: &M) -> u64 {
    let digest = Sha256::new().chain_update(M::NAME).chain_update([0]).chain_update(request.encode_to_vec()).finalize();
    digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// What the position of a token means, if it means anything. One that does not must not begin the list anew.
pub(super) fn placed<T>(found: Option<T>) -> Result<T, Status> {
    found.ok_or_else(|| status::of_page_token("names a place that is not in this list"))
}

impl<P: Serialize + DeserializeOwned> ListPage<P> {
    /// Reads the paging fields of a request; `request` is the request without them.
    pub(super) fn of(
        history: HistoryId,
        request: &impl Name,
        size: i32,
        token: &str,
        default: usize,
        most: usize,
    ) -> Result<Self, Status> {
        let history = history.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let fingerprint = fingerprint(request);
        let size = match usize::try_from(size) {
            Ok(0) => default,
            Ok(size) => size.min(most),
            Err(_) => return Err(BadField::new("page_size", "below 0").into()),
        };
        let page = Self { history, fingerprint, size, revision: None, position: None };
        if token.is_empty() {
            return Ok(page);
        }
        let refused = status::of_page_token;
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| refused("not a token of this server"))?;
        let token: Token<IgnoredAny> =
            rmp_serde::from_slice(&bytes).map_err(|_| refused("not a token of this server"))?;
        if token.0 != history {
            return Err(refused("of another history: list again from the first page"));
        }
        if token.1 != fingerprint {
            return Err(refused("made for another request; change nothing but page_size between pages"));
        }
        let Token::<P>(_, _, revision, position) =
            rmp_serde::from_slice(&bytes).map_err(|_| refused("not a token of this list"))?;
        Ok(Self { revision: Some(Revision(revision)), position: Some(position), ..page })
    }

    /// The point of history to answer at: that of the first page.
    pub(super) fn as_of(&self, asked: AsOf) -> AsOf {
        match (self.revision, asked) {
            (Some(revision), AsOf::Released(released)) => AsOf::Pinned(Horizon { revision, released }),
            (Some(revision), _) => AsOf::Revision(revision),
            (None, asked) => asked,
        }
    }

    /// The token of the page after this one.
    pub(super) fn next(&self, revision: Revision, position: &P) -> String {
        let bytes = rmp_serde::to_vec(&Token(self.history, self.fingerprint, revision.0, position)).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Takes messages, each with the position behind it, until the page is full by number or by size; gives the token of
    /// the next page if there is more.
    pub(super) fn fill<M: Message>(
        &self,
        revision: Revision,
        items: impl IntoIterator<Item = Result<(M, P), Status>>,
    ) -> Result<(Vec<M>, String), Status> {
        let (mut messages, mut bytes, mut last) = (Vec::new(), 0, None);
        for item in items {
            if messages.len() == self.size || bytes >= ANSWER_BYTES {
                let token = last.map_or_else(String::new, |last| self.next(revision, &last));
                return Ok((messages, token));
            }
            let (message, position) = item?;
            bytes += message.encoded_len();
            messages.push(message);
            last = Some(position);
        }
        Ok((messages, String::new()))
    }
}

impl ListPage<usize> {
    /// The item of a list of so many that the page begins with.
    pub(super) fn first(&self, count: usize) -> Result<usize, Status> {
        self.position.map_or(Ok(0), |at| placed((at < count).then_some(at)))
    }
}
