//! Primitive encodings: varints, zigzag, runs, Golomb codes, length-prefixed bytes, frames with a checksum.
//!
//! Invariant: reading never panics and never allocates more than the input could hold. Bytes that do not have the form
//! that is read are [`StoreError::Corrupt`].

use super::error::{Result, StoreError};

/// Appends an unsigned integer: seven bits a byte, low bits first, the high bit set on all bytes but the last.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a signed integer as a varint of its zigzag form, so that small magnitudes are short.
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_varint(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// Appends a varint length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a column as runs: each distinct item in a row once, followed by how often it repeats.
pub fn put_runs<T: Copy + PartialEq>(out: &mut Vec<u8>, column: &[T], mut put: impl FnMut(&mut Vec<u8>, T)) {
    for run in column.chunk_by(|a, b| a == b) {
        put(out, run[0]);
        put_varint(out, run.len() as u64);
    }
}

/// Appends numbers as an exponential Golomb code: a number below `2^width` takes `width + 1` bits, and two more for each
/// doubling above that. The width that makes the column shortest comes first, as one byte.
pub fn put_golomb(out: &mut Vec<u8>, column: &[u64]) {
    let width = golomb_width(column);
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

/// The width, at most 63, with which a column takes the fewest bits.
fn golomb_width(column: &[u64]) -> u32 {
    // How many numbers have each length in bits: the cost of a width follows from that alone.
    let mut numbers_by_length = [0u64; 65];
    for number in column {
        numbers_by_length[(u64::BITS - number.leading_zeros()) as usize] += 1;
    }
    let shortest = numbers_by_length.iter().position(|numbers| *numbers > 0).unwrap_or(0);
    let longest = numbers_by_length.iter().rposition(|numbers| *numbers > 0).unwrap_or(0);
    let used = &numbers_by_length[shortest..=longest];
    let shortest = shortest as u32;
    let widths = shortest..=(longest as u32).min(63);
    widths.min_by_key(|width| golomb_bits(*width, shortest, used)).unwrap_or(0)
}

/// The bits that numbers take with a width. `numbers_by_length` starts at the length `shortest`.
fn golomb_bits(width: u32, shortest: u32, numbers_by_length: &[u64]) -> u64 {
    let mut bits = 0;
    for (length, numbers) in (shortest..).zip(numbers_by_length) {
        bits += numbers * u64::from(width + 1 + 2 * length.saturating_sub(width));
    }
    bits
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    /// The bits that are not in `bytes` yet: the lowest `count`. Those above are stale.
    pending: u128,
    count: u32,
}

impl BitWriter {
    /// Appends the lowest `count` bits, at most 65.
    fn put(&mut self, bits: u128, count: u32) {
        self.pending = self.pending << count | bits;
        self.count += count;
        if self.count >= 32 {
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
    /// The next `count` bits, at the top; zeros below them.
    pending: u128,
    count: u32,
}

impl BitReader<'_> {
    fn new(bytes: &[u8]) -> BitReader<'_> {
        BitReader { bytes, pending: 0, count: 0 }
    }

    /// Takes bytes until `pending` has more than 120 bits or there are no more.
    fn fill(&mut self) {
        while self.count <= 120
            && let Some((byte, rest)) = self.bytes.split_first()
        {
            self.bytes = rest;
            self.pending |= u128::from(*byte) << (120 - self.count);
            self.count += 8;
        }
    }

    fn skip(&mut self, count: u32) -> Result<()> {
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
        self.skip(more + 1)?;
        if self.count < width + more {
            self.fill();
        }
        let low = (self.pending >> 64 >> (64 - width - more)) & ((1u128 << (width + more)) - 1);
        self.skip(width + more)?;
        let raised = 1u128 << (width + more) | low;
        u64::try_from(raised - (1 << width)).map_err(|_| corrupt("a number longer than 64 bits"))
    }
}

/// Bytes of a frame before its body.
pub const FRAME_HEAD_BYTES: usize = 5;

/// Makes a frame: CRC-32 of all that follows (4 bytes, little endian), the format version (1 byte), the body.
pub fn frame(version: u8, body: &[u8]) -> Vec<u8> {
    frame_of(version, body.len(), |framed| framed.extend_from_slice(body))
}

/// Makes a frame whose body, of about so many bytes, `put` appends.
pub fn frame_of(version: u8, bytes: usize, put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut framed = Vec::with_capacity(bytes + FRAME_HEAD_BYTES);
    framed.extend_from_slice(&[0; 4]);
    framed.push(version);
    put(&mut framed);
    let checksum = crc32fast::hash(&framed[4..]);
    framed[..4].copy_from_slice(&checksum.to_le_bytes());
    framed
}

/// The body of a frame. Fails if it is too short, damaged, or of another version.
pub fn unframe(version: u8, framed: &[u8]) -> Result<&[u8]> {
    let Some((checksum, rest)) = framed.split_first_chunk::<4>() else {
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

/// Reads what the functions of this module wrote. Every method fails if the bytes end too early.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| corrupt("ends too early"))?;
        self.rest = rest;
        Ok(*first)
    }

    /// An integer written by [`put_varint`].
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

    /// An integer written by [`put_signed`].
    pub fn signed(&mut self) -> Result<i64> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A varint that counts something. Above a limit it is refused, so that a damaged count cannot allocate memory.
    pub fn count(&mut self, limit: usize) -> Result<usize> {
        let count = self.varint()?;
        usize::try_from(count).ok().filter(|count| *count <= limit).ok_or_else(|| corrupt("a count above its limit"))
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| corrupt("ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Everything that was not read yet.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Bytes written by [`put_bytes`].
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.count(self.rest.len())?;
        self.take(length)
    }

    /// UTF-8 written by [`put_bytes`].
    pub fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| corrupt("text that is not UTF-8"))
    }

    /// A column of `count` numbers written by [`put_golomb`].
    pub fn golomb(&mut self, count: usize) -> Result<Vec<u64>> {
        self.golomb_start(count, count)
    }

    /// The first `wanted` numbers of a column of `count` numbers written by [`put_golomb`]. It passes the whole column.
    pub fn golomb_start(&mut self, count: usize, wanted: usize) -> Result<Vec<u64>> {
        let width = u32::from(self.byte()?);
        let bytes = self.bytes()?;
        if width >= 64 || count > bytes.len() * 8 {
            return Err(corrupt("a column of numbers that cannot be"));
        }
        let mut bits = BitReader::new(bytes);
        let wanted = wanted.min(count);
        let mut column = Vec::with_capacity(wanted);
        for _ in 0..wanted {
            column.push(bits.golomb(width)?);
        }
        Ok(column)
    }

    /// A column of `count` items written by [`put_runs`]; `item` reads one.
    pub fn runs<T: Copy>(&mut self, count: usize, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut column = Vec::with_capacity(count);
        self.visit_runs(count, item, |value, repeat| column.resize(column.len() + repeat, value))?;
        Ok(column)
    }

    /// The runs of a column of `count` items written by [`put_runs`], one by one: `visit` gets an item and how often it
    /// repeats.
    pub fn visit_runs<T>(
        &mut self,
        count: usize,
        mut item: impl FnMut(&mut Self) -> Result<T>,
        mut visit: impl FnMut(T, usize),
    ) -> Result<()> {
        let mut rest = count;
        while rest > 0 {
            let value = item(self)?;
            let repeat = self.count(rest)?;
            if repeat == 0 {
                return Err(corrupt("an empty run"));
            }
            visit(value, repeat);
            rest -= repeat;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Columns of numbers of any size, and columns of small numbers.
    fn any_numbers() -> impl Strategy<Value = Vec<u64>> {
        let size = prop_oneof![0u32..64, Just(0), Just(63)];
        let number = (size, any::<u64>()).prop_map(|(size, number)| number >> size);
        prop_oneof![proptest::collection::vec(number, 0..40), proptest::collection::vec(0u64..1_000, 0..40)]
    }

    proptest! {
        #[test]
        fn every_encoding_is_read_back(unsigned in any::<u64>(), signed in any::<i64>(), bytes in any::<Vec<u8>>(), column in proptest::collection::vec(0u8..3, 0..60), numbers in any_numbers()) {
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
        fn a_frame_with_one_flipped_bit_is_refused(body in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut framed = frame(1, &body);
            let at = at.index(framed.len());
            framed[at] ^= 1 << bit;
            prop_assert!(unframe(1, &framed).is_err());
        }
    }
}
