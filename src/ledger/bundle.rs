//! Bundles: pages that follow each other, compressed together and stored as one value.
//!
//! A page is small, because a subscriber gets one at a time. Alone it hardly compresses. `docs/dev/store-format.md`
//! has the format.
//!
//! Invariant: unpacking never takes more memory than [`RAW_BYTES_MAX`], whatever the bytes are.

use std::io::{Read, Write};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

use crate::store::{
    StoreError,
    bytes::{Reader, put_bytes, put_varint},
    error::Result,
};

/// A bundle is closed when its pages have more than so many bytes together.
pub const BUNDLE_BYTES: usize = 32 * 1024;
/// Most bytes of the pages of a bundle.
const RAW_BYTES_MAX: usize = 64 << 20;

const VERSION: u8 = 1;
const STORED: u8 = 0;
const DEFLATED: u8 = 1;

/// Packs pages. They are stored as they are where compression does not help.
pub fn pack(pages: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut raw = Vec::with_capacity(pages.iter().map(|page| page.len() + 4).sum());
    for page in pages {
        put_bytes(&mut raw, page);
    }
    if raw.len() > RAW_BYTES_MAX {
        return Err(corrupt("pages too long to keep"));
    }
    let mut bundle = vec![VERSION, DEFLATED];
    put_varint(&mut bundle, raw.len() as u64);
    let mut encoder = DeflateEncoder::new(bundle, Compression::fast());
    encoder.write_all(&raw)?;
    let bundle = encoder.finish()?;
    if bundle.len() <= raw.len() + 2 {
        return Ok(bundle);
    }
    Ok([&[VERSION, STORED][..], &raw].concat())
}

/// Unpacks the bytes that [`pack`] made.
pub fn unpack(bundle: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut reader = Reader::new(bundle);
    let version = reader.byte()?;
    if version != VERSION {
        return Err(corrupt(&format!("version {version}")));
    }
    let inflated;
    let raw = match reader.byte()? {
        STORED => reader.rest(),
        DEFLATED => {
            let length = reader.count(RAW_BYTES_MAX)?;
            let mut bytes = Vec::new();
            // One byte more than the stated length, to notice bytes behind it.
            let mut decoder = DeflateDecoder::new(reader.rest()).take(length as u64 + 1);
            decoder.read_to_end(&mut bytes).map_err(|_| corrupt("it does not inflate"))?;
            if bytes.len() != length {
                return Err(corrupt("it inflates to another length"));
            }
            inflated = bytes;
            &inflated
        }
        kind => return Err(corrupt(&format!("compression {kind}"))),
    };
    let mut reader = Reader::new(raw);
    let mut pages = Vec::new();
    while !reader.is_empty() {
        pages.push(reader.bytes()?.to_vec());
    }
    Ok(pages)
}

fn corrupt(what: &str) -> StoreError {
    StoreError::corrupt(format!("bundle of ledger pages: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn unpacking_gives_the_pages_that_were_packed(pages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..6), repeated in 0usize..9_000) {
            let mut pages = pages;
            pages.push(vec![7; repeated]);
            let bundle = pack(&pages).unwrap();
            prop_assert!(bundle.len() <= pages.iter().map(|page| page.len() + 10).sum::<usize>() + 10);
            prop_assert_eq!(unpack(&bundle).unwrap(), pages);
        }

        #[test]
        fn damaged_bundles_are_refused_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..3) {
            bytes.splice(0..0, [VERSION, kind]);
            let _ = unpack(&bytes);
        }
    }
}
