//! Pages of lists, and the tokens that name where a list goes on: for the same request, at the same revision.
//!
//! Invariant: all pages of a list are answered at one revision of one history. A token of another history, of another request
//! or method, or a damaged one, is refused.

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
    proto,
    query::AsOf,
};

/// A page of this size is closed, however many items were asked for: clients take 4 MiB unless told otherwise.
const ANSWER_BYTES: usize = 1 << 20;

/// Most steps without an item in search of the items of one page: series that a selection leaves out, and pairs of an
/// indicator and an entity without series. Each costs a read of a few microseconds.
pub(super) const PASSED_MAX: usize = 10_000;

/// A request for a page of a list.
pub(super) trait PagedRequest: Name {
    /// Takes out `page_size` and `page_token`. What is left is the same for all pages of a list.
    fn take_paging(&mut self) -> (i32, String);
}

macro_rules! paged_requests {
    ($($request:ident)*) => {
        $(impl PagedRequest for proto::$request {
            fn take_paging(&mut self) -> (i32, String) {
                (std::mem::take(&mut self.page_size), std::mem::take(&mut self.page_token))
            }
        })*
    };
}

paged_requests! {
    ListIndicatorsRequest ListEntitiesRequest ListSourcesRequest ListRankingsRequest ListMethodologiesRequest
    SearchCatalogRequest
    QueryObservationsRequest ListSeriesRequest ListVersionsRequest
    ListEditionsRequest ListEntriesRequest CompareEditionsRequest GetTrajectoryRequest
    ListCommitsRequest ListCursorsRequest
}

/// A page as requested.
#[derive(Debug)]
pub(super) struct ListPage<P> {
    /// The first bytes of the history's id.
    history: u64,
    /// Identifies the request: see [`fingerprint`].
    fingerprint: u64,
    /// Most items on it.
    pub size: usize,
    /// The revision of the earlier pages; `None` on the first.
    pub revision: Option<Revision>,
    /// Where it begins; `None` on the first.
    pub position: Option<P>,
}

/// What a token says: history, fingerprint of the request, revision of all pages, position.
#[derive(Serialize, Deserialize)]
struct Token<P>(u64, u64, u64, P);

/// A hash of a request without its paging fields, and of its name: requests of two methods may have the same bytes.
fn fingerprint<M: Name>(request: &M) -> u64 {
    let mut digest = Sha256::new();
    digest.update(M::NAME);
    digest.update([0]);
    digest.update(request.encode_to_vec());
    first_bytes(&digest.finalize())
}

fn first_bytes(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// What the position of a token means. One that means nothing is an error: it must not restart the list.
pub(super) fn placed<T>(position: Option<T>) -> Result<T, Status> {
    position.ok_or_else(|| status::of_page_token("names a place that is not in this list"))
}

impl<P: Serialize + DeserializeOwned> ListPage<P> {
    /// Reads and takes the paging fields of a request. Pages have `default` items if it does not say, `most` at the most.
    pub(super) fn read<R: PagedRequest>(
        history: HistoryId,
        request: &mut R,
        default: usize,
        most: usize,
    ) -> Result<Self, Status> {
        let (size, token) = request.take_paging();
        let size = match usize::try_from(size) {
            Ok(0) => default,
            Ok(size) => size.min(most),
            Err(_) => return Err(BadField::new("page_size", "below 0").into()),
        };
        let history = first_bytes(&history.0);
        let first = Self { history, fingerprint: fingerprint(request), size, revision: None, position: None };
        if token.is_empty() { Ok(first) } else { first.at_token(&token) }
    }

    fn at_token(self, token: &str) -> Result<Self, Status> {
        let Some(bytes) = URL_SAFE_NO_PAD.decode(token).ok() else { return Err(not_of_this_server()) };
        // The position last: its form depends on the request.
        let Token(history, fingerprint, _, _) =
            rmp_serde::from_slice::<Token<IgnoredAny>>(&bytes).map_err(|_| not_of_this_server())?;
        if history != self.history {
            return Err(status::of_page_token("of another history: list again from the first page"));
        }
        if fingerprint != self.fingerprint {
            return Err(status::of_page_token("made for another request; change nothing but page_size between pages"));
        }
        let Token(_, _, revision, position) =
            rmp_serde::from_slice::<Token<P>>(&bytes).map_err(|_| status::of_page_token("not a token of this list"))?;
        Ok(Self { revision: Some(Revision(revision)), position: Some(position), ..self })
    }

    /// The point of history to answer at: that of the first page.
    pub(super) fn as_of(&self, requested: AsOf) -> AsOf {
        match (self.revision, requested) {
            (Some(revision), AsOf::Released(released)) => AsOf::Pinned(Horizon { revision, released }),
            (Some(revision), _) => AsOf::Revision(revision),
            (None, requested) => requested,
        }
    }

    /// The token of a page that begins at `position`.
    pub(super) fn next(&self, revision: Revision, position: &P) -> String {
        let bytes = rmp_serde::to_vec(&Token(self.history, self.fingerprint, revision.0, position)).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The messages of this page, still none.
    pub(super) fn messages<M: Message>(&self) -> PageMessages<'_, P, M> {
        PageMessages { page: self, messages: Vec::new(), bytes: 0, last: None, more: false }
    }

    /// Takes messages, each with the position behind it, until the page is full by number or by size. Returns them and the
    /// token of the next page; that is empty if there is no more.
    pub(super) fn fill<M: Message>(
        &self,
        revision: Revision,
        items: impl IntoIterator<Item = Result<(M, P), Status>>,
    ) -> Result<(Vec<M>, String), Status> {
        self.fill_sparse(revision, items.into_iter().map(|item| item.map(|(message, at)| (Some(message), at))))
    }

    /// Like [`ListPage::fill`], for a list that has to be searched: a step without a message found nothing up to its
    /// position. After [`PASSED_MAX`] of these the page is closed as it is, even empty, so that a page costs the same
    /// wherever the list has its items.
    pub(super) fn fill_sparse<M: Message>(
        &self,
        revision: Revision,
        steps: impl IntoIterator<Item = Result<(Option<M>, P), Status>>,
    ) -> Result<(Vec<M>, String), Status> {
        let mut messages = Vec::new();
        let mut bytes = 0;
        let mut passed = 0;
        let mut last = None;
        for step in steps {
            let (message, position) = step?;
            // A full page is the last one if nothing is found behind it.
            let is_full = messages.len() == self.size || bytes >= ANSWER_BYTES;
            if passed == PASSED_MAX || (is_full && message.is_some()) {
                let token = last.map_or_else(String::new, |last| self.next(revision, &last));
                return Ok((messages, token));
            }
            match message {
                Some(message) => {
                    bytes += message.encoded_len();
                    messages.push(message);
                }
                None => passed += 1,
            }
            last = Some(position);
        }
        Ok((messages, String::new()))
    }
}

/// The messages of a page that is being filled, one by one.
pub(super) struct PageMessages<'a, P, M> {
    page: &'a ListPage<P>,
    messages: Vec<M>,
    bytes: usize,
    last: Option<P>,
    /// A message came that has no room.
    more: bool,
}

impl<P: Serialize + DeserializeOwned, M: Message> PageMessages<'_, P, M> {
    /// Takes a message with the position behind it. `false`: the page is full without it.
    pub(super) fn take(&mut self, message: M, position: impl FnOnce() -> P) -> bool {
        if self.messages.len() == self.page.size || self.bytes >= ANSWER_BYTES {
            self.more = true;
            return false;
        }
        self.bytes += message.encoded_len();
        self.messages.push(message);
        self.last = Some(position());
        true
    }

    /// The messages and the token of the next page, which is empty if there is none.
    pub(super) fn finish(self, revision: Revision) -> (Vec<M>, String) {
        let next = self.last.filter(|_| self.more);
        let token = next.map_or_else(String::new, |last| self.page.next(revision, &last));
        (self.messages, token)
    }
}

fn not_of_this_server() -> Status {
    status::of_page_token("not a token of this server")
}

impl ListPage<usize> {
    /// The first item of the page, in a list of `count` items.
    pub(super) fn first(&self, count: usize) -> Result<usize, Status> {
        self.position.map_or(Ok(0), |at| placed((at < count).then_some(at)))
    }
}
