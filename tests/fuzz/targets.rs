//! The code of the fuzz targets; an ordinary test runs it over the corpus.
//!
//! Invariant: none of them panics or takes memory without bound, whatever the bytes are.
#![allow(unreachable_pub, dead_code)]

use almanac::{
    ledger::{
        backup::{RestoreError, RestoreReport, restore},
        bundle,
        page::LedgerPage,
    },
    store::{StoreError, bytes::frame, records, series},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Version of the frame of a series block.
pub const BLOCK_VERSION: u8 = 2;

/// The body of a series block, behind a right checksum.
pub fn block(bytes: &[u8]) {
    let _ = check_block(bytes);
}

pub fn check_block(bytes: &[u8]) -> Result<(), StoreError> {
    series::check(&frame(BLOCK_VERSION, bytes))
}

/// A page of the ledger; then the same bytes as a bundle of pages.
pub fn page(bytes: &[u8]) {
    let _ = read_page(bytes);
    for page in bundle::unpack(bytes).unwrap_or_default() {
        let _ = read_page(&page);
    }
}

pub fn read_page(bytes: &[u8]) -> Result<usize, StoreError> {
    Ok(LedgerPage::decode(bytes)?.changes().len())
}

/// A backup file, as it is and with its checksums corrected.
pub fn backup(bytes: &[u8]) {
    let _ = restore_bytes(bytes);
    let _ = restore_bytes(&mend(bytes));
}

pub fn restore_bytes(bytes: &[u8]) -> Result<RestoreReport, RestoreError> {
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("backup");
    std::fs::write(&file, bytes)?;
    restore(&file, &scratch.path().join("data"))
}

const HEAD_BYTES: usize = 16;
const END: u8 = 4;

#[derive(Serialize, Deserialize)]
struct End {
    commits: u64,
    digest: [u8; 32],
}

/// Corrects the checksum of every part of a backup file, and the digest at its end.
pub fn mend(bytes: &[u8]) -> Vec<u8> {
    let (head, mut rest) = bytes.split_at(bytes.len().min(HEAD_BYTES));
    let mut mended = head.to_vec();
    while let Some((head, behind)) = rest.split_first_chunk::<9>() {
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some((body, behind)) = behind.split_at_checked(length) else { break };
        rest = behind;
        let kind = head[8];
        let digested = (kind == END).then(|| records::unpack::<End>(body).ok()).flatten();
        match digested {
            None => put_part(&mut mended, kind, body),
            Some(end) => {
                let end = End { digest: Sha256::digest(&mended).into(), ..end };
                put_part(&mut mended, kind, &records::pack(&end).unwrap_or_default());
            }
        }
    }
    mended.extend_from_slice(rest);
    mended
}

/// Where the bodies of a file's parts are.
pub fn bodies(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = HEAD_BYTES;
    while let Some(head) = bytes.get(at..at + 9) {
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        found.push(at + 9..at + 9 + length);
        at += 9 + length;
    }
    found
}

/// A part with a right checksum.
pub fn put_part(bytes: &mut Vec<u8>, kind: u8, body: &[u8]) {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&[kind]);
    checksum.update(body);
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&checksum.finalize().to_le_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(body);
}
