//! gzip around bytes that were compressed once for all streams.
//!
//! gRPC compresses a message as a whole. A message is a stream's own head and then the bytes that its group shares. So
//! the head goes before the shared bytes as a *stored* block of deflate, which costs five bytes and no work, and the
//! checksum of the whole is combined from those of the two parts.
//!
//! Invariant: the result is one gzip member. Readers stop after the first member (those of tonic and C-core do).

use bytes::{BufMut, Bytes};
use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress, Status};

use crate::feed::matches::DeflatedBytes;

/// Shorter bytes are not compressed: they fit in one packet either way.
pub(super) const DEFLATED_BYTES_MIN: usize = 1_024;
/// Of a gzip member: deflate, no name, no time, no hints, made by an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// Most bytes of a stored block.
const STORED_BYTES_MAX: usize = 0xffff;
/// Before the bytes of a stored block: "not the last one", its length, and the length with all bits inverted.
const STORED_HEADER_BYTES: usize = 5;
/// Checksum and length of the plain bytes.
const TRAILER_BYTES: usize = 8;
/// Deflate makes a few bytes longer by at most so many.
const SLACK_BYTES: usize = 16;

/// Compresses bytes that streams share. `None`: they would not get shorter.
pub(super) fn deflate(plain: &[u8], level: Compression) -> Option<DeflatedBytes> {
    // Bytes that need more room than this are not compressed.
    let mut bytes = Vec::with_capacity(plain.len() + SLACK_BYTES);
    let done = Compress::new(level, false).compress_vec(plain, &mut bytes, FlushCompress::Finish);
    if !matches!(done, Ok(Status::StreamEnd)) {
        return None;
    }
    bytes.shrink_to_fit();
    Some(DeflatedBytes { bytes: bytes.into(), plain_len: plain.len(), plain_crc: crc32fast::hash(plain) })
}

/// Length of the whole member.
pub(super) fn len(head: &[u8], shared: &DeflatedBytes) -> usize {
    front_len(head) + shared.bytes.len() + TRAILER_BYTES
}

/// Length of the bytes before the shared ones.
pub(super) fn front_len(head: &[u8]) -> usize {
    HEADER.len() + head.len() + STORED_HEADER_BYTES * head.len().div_ceil(STORED_BYTES_MAX)
}

/// Puts the bytes before the shared ones: the header of the member, and the stream's own head.
pub(super) fn put_front(front: &mut impl BufMut, head: &[u8]) {
    front.put_slice(&HEADER);
    for stored in head.chunks(STORED_BYTES_MAX) {
        let len = u16::try_from(stored.len()).unwrap_or(u16::MAX);
        front.put_u8(0);
        front.put_u16_le(len);
        front.put_u16_le(!len);
        front.put_slice(stored);
    }
}

/// The bytes after the shared ones.
pub(super) fn trailer(head: &[u8], shared: &DeflatedBytes) -> Bytes {
    let mut crc = Hasher::new();
    crc.update(head);
    crc.combine(&Hasher::new_with_initial_len(shared.plain_crc, shared.plain_len as u64));
    // The format wants the length modulo 2^32.
    let len = (head.len() + shared.plain_len) as u32;
    let mut trailer = Vec::with_capacity(TRAILER_BYTES);
    trailer.put_u32_le(crc.finalize());
    trailer.put_u32_le(len);
    trailer.into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::bufread::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn member(head: &[u8], shared: &DeflatedBytes) -> Vec<u8> {
        let mut whole = Vec::new();
        put_front(&mut whole, head);
        assert_eq!(whole.len(), front_len(head));
        whole.extend_from_slice(&shared.bytes);
        whole.extend_from_slice(&trailer(head, shared));
        assert_eq!(whole.len(), len(head, shared));
        whole
    }

    /// Reads one member, checks its checksum and length, and that nothing follows.
    fn read(whole: &[u8]) -> Vec<u8> {
        let mut decoder = GzDecoder::new(whole);
        let mut plain = Vec::new();
        decoder.read_to_end(&mut plain).unwrap();
        assert!(decoder.into_inner().is_empty(), "one member, and nothing after it");
        plain
    }

    /// Bytes that can be compressed.
    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|at| b"innovation"[at * at % 10]).collect()
    }

    #[test]
    fn heads_and_bodies_of_any_length_come_back_as_one_member() {
        const HEADS: [usize; 7] =
            [0, 1, 37, STORED_BYTES_MAX - 1, STORED_BYTES_MAX, STORED_BYTES_MAX + 1, 2 * STORED_BYTES_MAX + 5];
        const BODIES: [usize; 5] = [0, 1, 2, 1_000, 70_000];
        for head in HEADS {
            for body in BODIES {
                let head = text(head);
                let body = text(body);
                let shared = deflate(&body, Compression::fast()).unwrap();
                let whole = read(&member(&head, &shared));
                assert!(whole == [head.as_slice(), &body].concat(), "{} and {} bytes", head.len(), body.len());
            }
        }
    }

    #[test]
    fn a_damaged_member_is_an_error() {
        let shared = deflate(&[7; 500], Compression::fast()).unwrap();
        let whole = member(b"head", &shared);
        for at in [12, whole.len() - 8, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            let read = GzDecoder::new(damaged.as_slice()).read_to_end(&mut Vec::new());
            assert!(read.is_err(), "byte {at} is checked");
        }
    }

    proptest! {
        #[test]
        fn random_heads_and_bodies_come_back(
            head in proptest::collection::vec(any::<u8>(), 0..300),
            body in proptest::collection::vec(prop_oneof![9 => 0..4_u8, 1 => any::<u8>()], 0..5_000),
            noise in proptest::collection::vec(any::<u8>(), 0..3_000),
            level in 1..=9_u32,
        ) {
            let level = Compression::new(level);
            for body in [body, noise] {
                // Only bytes that cannot get shorter may be left as they are.
                let Some(shared) = deflate(&body, level) else {
                    prop_assert!(body.len() > SLACK_BYTES);
                    continue;
                };
                prop_assert_eq!(read(&member(&head, &shared)), [head.as_slice(), &body].concat());
            }
        }
    }
}
