//! Values longer than one key may hold, cut into chunks with checksums.
//!
//! Invariant: a read gives the whole value or an error, never a part of it. Every chunk has the number of all chunks.

use super::{
    bytes::{corrupt, frame, unframe},
    disk::Item,
    engine::{Batch, Engine},
    error::Result,
};

/// Most bytes of a value in one chunk. With its frame a chunk stays below [`super::engine::VALUE_BYTES_MAX`].
const CHUNK_BYTES: usize = 4_000;
const VERSION: u8 = 1;
/// Bytes that a chunk's number adds to the key.
const NUMBER_BYTES: usize = 4;

/// Puts a value under a key. An older value is replaced only if it has no more chunks than the new one.
pub fn put(batch: &mut Batch<'_>, key: &[u8], value: &[u8]) -> Result<()> {
    // An empty value is one empty chunk.
    let count = value.len().div_ceil(CHUNK_BYTES).max(1);
    for number in 0..count {
        let part = &value[number * CHUNK_BYTES..value.len().min((number + 1) * CHUNK_BYTES)];
        let mut body = Vec::with_capacity(part.len() + 4);
        body.extend_from_slice(&(count as u32).to_le_bytes());
        body.extend_from_slice(part);
        batch.put(&chunk_key(key, number), &frame(VERSION, &body))?;
    }
    Ok(())
}

/// The value of a key; `None` if there is none.
pub fn get(engine: &Engine, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(first) = engine.get(&chunk_key(key, 0))? else { return Ok(None) };
    let (count, part) = open(&first)?;
    let mut value = part.to_vec();
    for number in 1..count {
        let chunk = engine.get(&chunk_key(key, number))?.ok_or_else(|| corrupt("a chunk is missing"))?;
        value.extend_from_slice(open(&chunk)?.1);
    }
    Ok(Some(value))
}

/// Every key with a prefix and its value, in key order.
pub fn scan(engine: &Engine, prefix: &[u8]) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>)>> {
    let mut chunks = engine.scan(prefix, None);
    std::iter::from_fn(move || {
        let first = chunks.next()?;
        Some(first.and_then(|first| assemble(first, &mut chunks)))
    })
}

/// The key and the whole value that start with a chunk.
fn assemble((key, first): Item, following: &mut impl Iterator<Item = Result<Item>>) -> Result<(Vec<u8>, Vec<u8>)> {
    let (count, part) = open(&first)?;
    let mut value = part.to_vec();
    for _ in 1..count {
        let (_, chunk) = following.next().ok_or_else(|| corrupt("a chunk is missing"))??;
        value.extend_from_slice(open(&chunk)?.1);
    }
    let length = key.len().checked_sub(NUMBER_BYTES).ok_or_else(|| corrupt("a key shorter than its number"))?;
    Ok((key[..length].to_vec(), value))
}

fn chunk_key(key: &[u8], number: usize) -> Vec<u8> {
    [key, &(number as u32).to_be_bytes()[..]].concat()
}

/// The number of all chunks, and the part of the value in this one.
fn open(chunk: &[u8]) -> Result<(usize, &[u8])> {
    let body = unframe(VERSION, chunk)?;
    let (count, part) = body.split_first_chunk::<4>().ok_or_else(|| corrupt("a chunk without its count"))?;
    Ok((u32::from_le_bytes(*count) as usize, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_any_length_comes_back_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path()).unwrap();
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 1_000_000] {
            let value: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
            let key = format!("k{length:08}");
            let mut batch = engine.batch();
            put(&mut batch, key.as_bytes(), &value).unwrap();
            batch.write().unwrap();
            assert_eq!(get(&engine, key.as_bytes()).unwrap().unwrap(), value);
        }
        assert_eq!(scan(&engine, b"k").map(Result::unwrap).count(), 6);
        assert!(get(&engine, b"absent").unwrap().is_none());
        let mut batch = engine.batch();
        batch.remove(&chunk_key(b"k01000000", 3)).unwrap();
        batch.write().unwrap();
        assert!(get(&engine, b"k01000000").is_err());
        let blobs = std::fs::read_dir(folder.path().join("store/blobs")).map_or(0, Iterator::count);
        assert_eq!(blobs, 0, "no value may land in a blob file");
    }
}
