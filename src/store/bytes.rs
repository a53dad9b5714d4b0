//! Primitive encodings: varints, zigzag, runs, length-prefixed bytes, checksummed frames.
//!
//! Invariant: reading never panics and never allocates more than the input could hold; what does not fit is
//! [`StoreError::Corrupt`].

use super::error::{Result, StoreError};

/// Appends an unsigned integer, seven bits a byte, low bits first.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a signed integer, small magnitudes short.
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_varint(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// Appends bytes behind their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a column as runs: (item, how often) until all are covered.
pub fn put_runs<T: Copy + PartialEq>(out: &mut Vec<u8>, column: &[T], mut put: impl FnMut(&mut Vec<u8>, T)) {
    for run in column.chunk_by(|a, b| a == b) {
        put(out, run[0]);
        put_varint(out, run.len() as u64);
    }
}

/// Appends numbers as an exponential Golomb code: a number below `2^width` takes `width + 1` bits, each doubling above that
/// two more. The width that makes the whole column shortest is chosen and written in front.
pub fn put_golomb(out: &mut Vec<u8>, column: &[u64]) {
    let mut lengths = [0u32; 65];
    let length = |number: &u64| u64::BITS - number.leading_zeros();
    column.iter().for_each(|number| lengths[length(number) as usize] += 1);
    let shortest = column.iter().map(length).min().unwrap_or(0);
    let longest = column.iter().map(length).max().unwrap_or(0).min(63);
    let cost = |width: u32| -> u64 {
        let bits = |length: u32| u64::from(width + 1 + 2 * length.saturating_sub(width));
        (shortest..=longest + 1).map(|length| u64::from(lengths[length as usize]) * bits(length)).sum()
    };
    let width = (shortest..=longest).min_by_key(|width| cost(*width)).unwrap_or(0);
    out.push(width as u8);
    let mut bits = BitWriter::default();
    for number in column {
        let raised = u128::from(*number) + (1 << width);
        let more = 127 - raised.leading_zeros() - width;
        // `more` ones, a zero, then the number without its leading bit.
        bits.put((1 << (more + 1)) - 2, more + 1);
        bits.put(raised & !(1 << (width + more)), width + more);
    }
    put_bytes(out, &bits.finish());
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    pending: u128,
    count: u32,
}

impl BitWriter {
    /// At most 65 bits.
    fn put(&mut self, bits: u128, count: u32) {
        self.pending = self.pending << count | bits;
        self.count += count;
        if self.count >= 32 {
            // The oldest whole words; what is left in `pending` above them is never read again.
            let words = self.count / 32;
            self.count %= 32;
            let whole = (self.pending >> self.count).to_be_bytes();
            self.bytes.extend_from_slice(&whole[16 - 4 * words as usize..]);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let rest = (8 - self.count % 8) % 8;
        let whole = (self.pending << rest).to_be_bytes();
        self.bytes.extend_from_slice(&whole[16 - (self.count + rest) as usize / 8..]);
        self.bytes
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next bits, at the top.
    pending: u128,
    count: u32,
}

impl BitReader<'_> {
    fn fill(&mut self) {
        while self.count <= 120
            && let Some((byte, rest)) = self.bytes.split_first()
        {
            self.bytes = rest;
            self.pending |= u128::from(*byte) << (120 - self.count);
            self.count += 8;
        }
    }

    fn drop(&mut self, count: u32) -> Result<()> {
        self.count = self.count.checked_sub(count).ok_or_else(|| corrupt("bits end too early"))?;
        self.pending <<= count;
        Ok(())
    }

    fn golomb(&mut self, width: u32) -> Result<u64> {
        self.fill();
        let more = self.pending.leading_ones();
        if width + more > 64 {
            return Err(corrupt("a number longer than 64 bits"));
        }
        self.drop(more + 1)?;
        if self.count < width + more {
            self.fill();
        }
        let low = (self.pending >> 64 >> (64 - width - more)) & ((1u128 << (width + more)) - 1);
        self.drop(width + more)?;
        let raised = 1u128 << (width + more) | low;
        u64::try_from(raised - (1 << width)).map_err(|_| corrupt("a number longer than 64 bits"))
    }
}

/// Puts a checksum and a format version before a body.
pub fn frame(version: u8, body: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(body.len() + 5);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(body);
    framed.extend_from_slice(&hasher.finalize().to_le_bytes());
    framed.push(version);
    framed.extend_from_slice(body);
    framed
}

/// Checks and takes off what [`frame`] put on.
pub fn unframe(version: u8, framed: &[u8]) -> Result<&[u8]> {
    let (Some(checksum), Some(rest)) = (framed.first_chunk::<4>(), framed.get(4..)) else {
        return Err(corrupt("a frame shorter than its head"));
    };
    if crc32fast::hash(rest) != u32::from_le_bytes(*checksum) {
        return Err(corrupt("checksum does not match"));
    }
    match rest.split_first() {
        Some((found, body)) if *found == version => Ok(body),
        Some((found, _)) => Err(corrupt(&format!("format version {found}, expected {version}"))),
        None => Err(corrupt("a frame without a version")),
    }
}

pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::corrupt(what)
}

/// Reads what the functions above wrote.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of a slice.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| corrupt("ends too early"))?;
        self.rest = rest;
        Ok(*first)
    }

    /// An unsigned integer.
    pub fn varint(&mut self) -> Result<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(corrupt("an integer longer than 64 bits"))
    }

    /// A signed integer.
    pub fn signed(&mut self) -> Result<i64> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A count, refused above a limit so that a damaged one cannot ask for memory.
    pub fn count(&mut self, limit: usize) -> Result<usize> {
        let count = self.varint()?;
        usize::try_from(count).ok().filter(|count| *count <= limit).ok_or_else(|| corrupt("a count above its limit"))
    }

    /// So many bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| corrupt("ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.count(self.rest.len())?;
        self.take(length)
    }

    /// UTF-8 behind its length.
    pub fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| corrupt("text that is not UTF-8"))
    }

    /// A column of `count` numbers written by [`put_golomb`].
    pub fn golomb(&mut self, count: usize) -> Result<Vec<u64>> {
        let width = u32::from(self.byte()?);
        let bytes = self.bytes()?;
        if width >= 64 || count > bytes.len() * 8 {
            return Err(corrupt("a column of numbers that cannot be"));
        }
        let mut bits = BitReader { bytes, pending: 0, count: 0 };
        let mut column = Vec::with_capacity(count);
        for _ in 0..count {
            column.push(bits.golomb(width)?);
        }
        Ok(column)
    }

    /// A column of `count` items written by [`put_runs`].
    pub fn runs<T: Copy>(&mut self, count: usize, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut column = Vec::with_capacity(count);
        while column.len() < count {
            let value = item(self)?;
            let repeat = self.count(count - column.len())?;
            if repeat == 0 {
                return Err(corrupt("an empty run"));
            }
            column.resize(column.len() + repeat, value);
        }
        Ok(column)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers of like size, with some that are not.
    fn any_numbers() -> impl Strategy<Value = Vec<u64>> {
        let size = prop_oneof![0u32..64, Just(0), Just(63)];
        let number = (size, any::<u64>()).prop_map(|(size, number)| number >> size);
        prop_oneof![proptest::collection::vec(number, 0..40), proptest::collection::vec(0u64..1_000, 0..40)]
    }

    proptest! {
        #[test]
        fn numbers_come_back(unsigned in any::<u64>(), signed in any::<i64>(), bytes in any::<Vec<u8>>(), column in proptest::collection::vec(0u8..3, 0..60), numbers in any_numbers()) {
            let mut out = Vec::new();
            put_varint(&mut out, unsigned);
            put_signed(&mut out, signed);
            put_bytes(&mut out, &bytes);
            put_runs(&mut out, &column, |out, item| out.push(item));
            put_golomb(&mut out, &numbers);
            let framed = frame(1, &out);
            let mut reader = Reader::new(unframe(1, &framed).unwrap());
            prop_assert_eq!(reader.varint().unwrap(), unsigned);
            prop_assert_eq!(reader.signed().unwrap(), signed);
            prop_assert_eq!(reader.bytes().unwrap(), &bytes[..]);
            prop_assert_eq!(reader.runs(column.len(), Reader::byte).unwrap(), column);
            prop_assert_eq!(reader.golomb(numbers.len()).unwrap(), numbers);
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn one_flipped_bit_is_noticed(body in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut framed = frame(1, &body);
            let at = at.index(framed.len());
            framed[at] ^= 1 << bit;
            prop_assert!(unframe(1, &framed).is_err());
        }
    }
}
