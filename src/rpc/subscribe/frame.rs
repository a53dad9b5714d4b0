//! Messages as they go over the wire: gRPC's prefix of five bytes, the stream's own bytes, and the bytes that streams
//! share.
//!
//! Invariant: shared bytes are passed on, not copied, but for a few at their ends: no frame of a message is shorter
//! than [`FRAME_BYTES_MIN`], unless the message is.

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use prost::{Message, encoding::encode_varint};

use super::gzip::{self, DEFLATED_BYTES_MIN};
use crate::{
    convert::{
        change::{change_detail, change_head},
        commit::{commit_head, conflated_head},
        feed::{SnapshotDigest, notice_message},
        state::state_row,
    },
    feed::{
        change::NumberedChange,
        event::SubscriptionEvent,
        matches::DeflatedBytes,
        page::{CommitPage, ConflatedPage, FeedPage, NetContent, SnapshotPage},
        page_changes::{PageBytes, PageChanges},
        subscription::Subscription,
    },
    proto::{self, subscribe_response::Body},
};

/// Field numbers of the contract, with the wire type of messages.
const COMMIT_PAGE: u64 = 4 << 3 | 2;
const CHANGES: u64 = 6 << 3 | 2;
/// Before every message: a byte that says whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// Clients count shorter frames that they have not read yet, and close a connection with too many (h2 does, against
/// floods).
const FRAME_BYTES_MIN: usize = 256;
/// Shared bytes up to this length are copied, so that the message leaves in one frame.
const COPIED_BYTES_MAX: usize = 1_024;
const _: () = assert!(COPIED_BYTES_MAX >= 2 * FRAME_BYTES_MIN);

/// The frames of a message, none of them empty. Only pages are compressed: notices are too short to gain anything.
pub(super) fn frames(
    event: SubscriptionEvent,
    subscription: &Subscription,
    digest: &mut SnapshotDigest,
    gzip: bool,
) -> impl Iterator<Item = Bytes> + use<> {
    let pieces = match event {
        SubscriptionEvent::Page(FeedPage::Commit { page, token }) => {
            commit_page(&page, token.unwrap_or_default(), subscription, gzip)
        }
        // Conflated pages and pages of the state are this stream's own.
        SubscriptionEvent::Page(FeedPage::Conflated { page, token }) => {
            own_message(&conflated_page(&page, token.unwrap_or_default(), subscription), gzip)
        }
        SubscriptionEvent::Page(FeedPage::Snapshot(page)) => {
            own_message(&encoded(Body::SnapshotPage(snapshot_page(page, subscription, digest))), gzip)
        }
        SubscriptionEvent::Notice(notice) => own_message(&encoded(notice_message(notice, digest)), false),
    };
    pieces.into_iter().filter(|bytes| !bytes.is_empty())
}

fn encoded(body: Body) -> Vec<u8> {
    proto::SubscribeResponse { body: Some(body) }.encode_to_vec()
}

/// Compresses quickly: a client waits for the page. `None`: the page is too short, or would not get shorter.
fn deflate(plain: &[u8]) -> Option<DeflatedBytes> {
    if plain.len() < DEFLATED_BYTES_MIN {
        return None;
    }
    gzip::deflate(plain, Compression::fast())
}

/// A buffer for `own` bytes that begins with the prefix of a message of `len` bytes.
fn prefix(compressed: bool, len: usize, own: usize) -> BytesMut {
    let mut front = BytesMut::with_capacity(PREFIX_BYTES + own);
    front.put_u8(compressed.into());
    front.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    front
}

fn plain(head: &[u8], body: Bytes) -> [Bytes; 3] {
    let mut front = prefix(false, head.len() + body.len(), head.len() + COPIED_BYTES_MAX);
    front.put_slice(head);
    pieces(front, body, &[])
}

fn compressed(head: &[u8], body: DeflatedBytes) -> [Bytes; 3] {
    let mut front = prefix(true, gzip::len(head, &body), gzip::front_len(head) + COPIED_BYTES_MAX);
    gzip::put_front(&mut front, head);
    let trailer = gzip::trailer(head, &body);
    pieces(front, body.bytes, &trailer)
}

/// The stream's own bytes before and after the shared ones, as frames. Unused frames are empty.
fn pieces(mut front: BytesMut, mut shared: Bytes, tail: &[u8]) -> [Bytes; 3] {
    if shared.len() <= COPIED_BYTES_MAX {
        front.put_slice(&shared);
        front.put_slice(tail);
        return [front.freeze(), Bytes::new(), Bytes::new()];
    }
    front.put_slice(&shared.split_to(FRAME_BYTES_MIN.saturating_sub(front.len())));
    let end = match tail {
        [] => Bytes::new(),
        tail => [&shared.split_off(shared.len() - FRAME_BYTES_MIN), tail].concat().into(),
    };
    [front.freeze(), shared, end]
}

/// A message that no other stream shares.
fn own_message(message: &[u8], gzip: bool) -> [Bytes; 3] {
    match gzip.then(|| deflate(message)).flatten() {
        Some(deflated) => compressed(&[], deflated),
        None => plain(message, Bytes::new()),
    }
}

fn snapshot_page(page: SnapshotPage, subscription: &Subscription, digest: &mut SnapshotDigest) -> proto::SnapshotPage {
    let mut rows = Vec::with_capacity(page.rows.len());
    for snapshot_row in page.rows {
        let names = snapshot_row.filters.into_iter().map(|at| subscription.filter_name(at).to_owned());
        let names = names.filter(|name| !name.is_empty()).collect();
        rows.push(state_row(&snapshot_row.row, names));
    }
    digest.add(&rows);
    proto::SnapshotPage { revision: page.revision.0, page: page.page, rows }
}

/// A commit page: the stream's own head, and the changes that its group shares.
fn commit_page(page: &CommitPage, token: String, subscription: &Subscription, gzip: bool) -> [Bytes; 3] {
    let own = commit_head(page, token).encode_to_vec();
    let cache = subscription.cache();
    let body = match &page.changes {
        None => PageBytes::Plain(Bytes::new()),
        Some(changes) if gzip => changes.compressed(cache, |changes| encoded_changes(changes, subscription), deflate),
        Some(changes) => PageBytes::Plain(changes.plain(cache, |changes| encoded_changes(changes, subscription))),
    };
    match body {
        PageBytes::Plain(body) => plain(&page_head(&own, body.len()), body),
        PageBytes::Deflated(body) => compressed(&page_head(&own, body.plain_len), body),
    }
}

fn encoded_changes(changes: &PageChanges, subscription: &Subscription) -> Vec<u8> {
    let mut body = Vec::new();
    for (numbered, found) in changes.iter() {
        let head = change_head(numbered.number, found, |at| subscription.filter_name(at));
        put_shared_change(&mut body, &head, numbered, subscription);
    }
    body
}

/// A conflated page as a message. The only change of a key is copied from the form that all streams share.
fn conflated_page(page: &ConflatedPage, token: String, subscription: &Subscription) -> Vec<u8> {
    let mut body = Vec::new();
    for net in &page.changes {
        let head = change_head(net.number, &net.filter_match, |at| subscription.filter_name(at));
        let head = proto::Change { revision: net.revision.0, ..head };
        match &net.content {
            NetContent::Single(numbered) => put_shared_change(&mut body, &head, numbered, subscription),
            NetContent::Merged { change, stamps } => {
                let disclosed = subscription.disclosed(change);
                let detail = change_detail(disclosed.as_ref().unwrap_or(change), stamps);
                put_change(&mut body, &head, &detail);
            }
        }
    }
    let mut message = page_head(&conflated_head(page, token).encode_to_vec(), body.len());
    message.extend_from_slice(&body);
    message
}

/// Adds a change to a page, in the form that all streams share. A change with hidden rows is encoded for this group
/// alone.
fn put_shared_change(body: &mut Vec<u8>, head: &proto::Change, numbered: &NumberedChange, subscription: &Subscription) {
    match subscription.disclosed(&numbered.change) {
        Some(change) => put_change(body, head, &change_detail(&change, &numbered.stamps)),
        None => put_change(body, head, numbered.encoded(subscription.cache(), change_detail)),
    }
}

/// Adds a change to a page: `head` says how it relates to the subscription, `detail` what changed.
fn put_change(body: &mut Vec<u8>, head: &proto::Change, detail: &[u8]) {
    let head = head.encode_to_vec();
    encode_varint(CHANGES, body);
    encode_varint((head.len() + detail.len()) as u64, body);
    body.extend_from_slice(&head);
    body.extend_from_slice(detail);
}

/// The bytes of a page's message before its changes, which take `body_len` bytes.
fn page_head(own: &[u8], body_len: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(own.len() + 11);
    encode_varint(COMMIT_PAGE, &mut head);
    encode_varint((own.len() + body_len) as u64, &mut head);
    head.extend_from_slice(own);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that count up from a first one.
    fn counting(first: u8, len: usize) -> Vec<u8> {
        (0..len).map(|at| first.wrapping_add(at as u8)).collect()
    }

    #[test]
    fn frames_hold_the_whole_message_and_are_short_only_if_it_is() {
        // Lengths of the stream's own bytes, the shared ones, and the tail.
        const CASES: [(usize, usize, usize); 6] =
            [(0, 0, 0), (3, 10, 8), (3, 1_024, 8), (3, 1_025, 8), (300, 5_000, 8), (3, 5_000, 0)];
        for (own, shared, tail) in CASES {
            let own = counting(1, own);
            let shared = counting(5, shared);
            let tail = counting(9, tail);
            let pieces = pieces(own.as_slice().into(), shared.clone().into(), &tail);
            assert_eq!(pieces.concat(), [&own[..], &shared, &tail].concat());
            let frames: Vec<&Bytes> = pieces.iter().filter(|piece| !piece.is_empty()).collect();
            assert!(frames.len() <= 1 || frames.iter().all(|frame| frame.len() >= FRAME_BYTES_MIN), "{frames:?}");
        }
    }
}
