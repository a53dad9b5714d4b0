//! A message as it goes over the wire: gRPC's five bytes, what is the stream's own, and what it shares.
//!
//! Invariants: shared bytes are passed on, not copied, but for a few at their ends: no frame of a message is small
//! ([`FRAME_BYTES_MIN`]) unless the message is.

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use prost::{Message, encoding::encode_varint};

use super::gzip::{self, DEFLATED_BYTES_MIN};
use crate::{
    feed::{
        change::NumberedChange,
        conflate::{ConflatedPage, Net},
        history::CommitPage,
        matches::DeflatedBytes,
        page_changes::{PageBytes, PageChanges},
        subscription::{Subscription, SubscriptionEvent},
    },
    proto,
    rpc::{
        encode,
        feed::{StateDigest, message},
    },
};

/// Field numbers of the contract, with the wire type of messages.
const COMMIT_PAGE: u64 = 4 << 3 | 2;
const CHANGES: u64 = 6 << 3 | 2;
/// Before every message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// Clients count smaller frames that they have not read, and close a connection with too many (h2 does, against floods).
const FRAME_BYTES_MIN: usize = 256;
/// What is shared of a message is copied if it is so short: the message leaves in one frame.
const COPIED_BYTES_MAX: usize = 1_024;
const _: () = assert!(COPIED_BYTES_MAX >= 2 * FRAME_BYTES_MIN);

/// A message in pieces, none of them empty. Only pages are ever compressed: what is small gains nothing.
pub(super) fn frames(
    event: SubscriptionEvent,
    subscription: &Subscription,
    digest: &mut StateDigest,
    gzip: bool,
) -> impl Iterator<Item = Bytes> + use<> {
    let pieces = match event {
        SubscriptionEvent::Commit(part, token) => commit_page(&part, token.unwrap_or_default(), subscription, gzip),
        // A fold, and a page of the state, is this stream's own.
        SubscriptionEvent::Fold(page, token) => {
            own_page(&fold_page(&page, token.unwrap_or_default(), subscription), gzip)
        }
        event => {
            let rows = gzip && matches!(event, SubscriptionEvent::State { .. });
            let message = proto::SubscribeResponse { body: message(event, subscription, digest) };
            own_page(&message.encode_to_vec(), rows)
        }
    };
    pieces.into_iter().filter(|bytes| !bytes.is_empty())
}

/// Pages are deflated once for all, or for one who asked for it and waits: quickly.
fn deflate(plain: &[u8]) -> Option<DeflatedBytes> {
    (plain.len() >= DEFLATED_BYTES_MIN).then(|| gzip::deflate(plain, Compression::fast())).flatten()
}

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

/// What is the stream's own before and after what it shares, as frames.
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

fn own_page(message: &[u8], gzip: bool) -> [Bytes; 3] {
    match gzip.then(|| deflate(message)).flatten() {
        Some(deflated) => compressed(&[], deflated),
        None => plain(message, Bytes::new()),
    }
}

/// A commit page: what is this stream's own, and the changes that its group shares.
fn commit_page(part: &CommitPage, token: String, subscription: &Subscription, gzip: bool) -> [Bytes; 3] {
    let own = encode::commit_head(part, token).encode_to_vec();
    let changes = |matched: &PageChanges| changes(matched, subscription);
    let body = match &part.changes {
        None => PageBytes::Plain(Bytes::new()),
        Some(matched) if gzip => matched.compressed(subscription.cache(), changes, deflate),
        Some(matched) => PageBytes::Plain(matched.plain(subscription.cache(), changes)),
    };
    let body_len = match &body {
        PageBytes::Plain(body) => body.len(),
        PageBytes::Deflated(body) => body.plain_len,
    };
    let head = page_head(&own, body_len);
    match body {
        PageBytes::Plain(body) => plain(&head, body),
        PageBytes::Deflated(body) => compressed(&head, body),
    }
}

fn changes(matched: &PageChanges, subscription: &Subscription) -> Vec<u8> {
    let mut body = Vec::new();
    for (numbered, found) in matched.iter() {
        let head = encode::change_head(numbered.number, found, |at| subscription.filter_name(at));
        put_numbered(&mut body, &head, numbered, subscription);
    }
    body
}

/// A page of a fold as a message; what changed only once in it has a form that all share.
fn fold_page(page: &ConflatedPage, token: String, subscription: &Subscription) -> Vec<u8> {
    let mut body = Vec::new();
    for net in &page.changes {
        let head = encode::change_head(net.number, &net.found, |at| subscription.filter_name(at));
        let head = proto::Change { revision: net.revision.0, ..head };
        match &net.what {
            Net::Alone(numbered) => put_numbered(&mut body, &head, numbered, subscription),
            Net::Folded(change, stamps) => {
                let disclosed = subscription.disclosed(change);
                let detail = encode::change_detail(disclosed.as_ref().unwrap_or(change), stamps);
                put_change(&mut body, &head, &detail);
            }
        }
    }
    let mut message = page_head(&encode::fold_head(page, token).encode_to_vec(), body.len());
    message.extend_from_slice(&body);
    message
}

/// A change of a page as all share it; where something is left out of it, in a form of its own.
fn put_numbered(body: &mut Vec<u8>, head: &proto::Change, numbered: &NumberedChange, subscription: &Subscription) {
    match subscription.disclosed(&numbered.change) {
        Some(change) => put_change(body, head, &encode::change_detail(&change, &numbered.stamps)),
        None => put_change(body, head, numbered.encoded(subscription.cache(), encode::change_detail)),
    }
}

/// A change of a page: how it stands to the subscription, and what changed.
fn put_change(body: &mut Vec<u8>, head: &proto::Change, what: &[u8]) {
    let head = head.encode_to_vec();
    encode_varint(CHANGES, body);
    encode_varint((head.len() + what.len()) as u64, body);
    body.extend_from_slice(&head);
    body.extend_from_slice(what);
}

/// What comes before the changes of a page.
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

    #[test]
    fn no_frame_is_small_unless_its_message_is_and_nothing_is_lost() {
        for (own, shared, tail) in [(0, 0, 0), (3, 10, 8), (3, 1_024, 8), (3, 1_025, 8), (300, 5_000, 8), (3, 5_000, 0)]
        {
            let part = |from: u8, len: usize| (0..len).map(|at| from.wrapping_add(at as u8)).collect::<Vec<u8>>();
            let (own, shared, tail) = (part(1, own), part(5, shared), part(9, tail));
            let pieces = pieces(own.as_slice().into(), shared.clone().into(), &tail);
            assert_eq!(pieces.concat(), [&own[..], &shared, &tail].concat());
            let frames: Vec<&Bytes> = pieces.iter().filter(|piece| !piece.is_empty()).collect();
            assert!(frames.len() <= 1 || frames.iter().all(|frame| frame.len() >= FRAME_BYTES_MIN), "{frames:?}");
        }
    }
}
