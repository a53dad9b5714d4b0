//! Numbers without a pattern, the same ones for the same seed.

/// The seed of all benches; they print it.
pub(crate) const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Marsaglia's xorshift with 64 bits.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// `stream` tells apart those that draw at one time.
    pub(crate) fn new(stream: u64) -> Self {
        let mut random = Self(SEED ^ stream.wrapping_mul(0xd129_0e3c_5a5d_1f2b));
        // The first numbers of neighbouring seeds resemble each other.
        for _ in 0..8 {
            random.next();
        }
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below another, which is not 0; each with the same probability.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
