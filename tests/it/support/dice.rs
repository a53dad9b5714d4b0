//! Random numbers by a seed.

/// Random numbers by a seed, the same on every machine (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Takes the seed of `ALMANAC_TEST_SEED`, else one made of the name, in the long mode a fresh one; prints it.
    pub(crate) fn new(what: &str) -> Self {
        let given = std::env::var("ALMANAC_TEST_SEED").ok();
        let seed = match given {
            Some(seed) => seed.parse().expect("a number"),
            None if long() => getrandom::u64().unwrap(),
            None => what.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into())),
        };
        println!("{what}: ALMANAC_TEST_SEED={seed}");
        Self(seed)
    }

    /// Takes this seed and prints nothing.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice for another task: its draws do not change those of this one.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// Uniform from 0 to 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform from 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in so many draws.
    pub(crate) fn once_in(&mut self, draws: usize) -> bool {
        self.below(draws) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// Whether `ALMANAC_TEST_LONG=1` is set: tests may take longer.
pub(crate) fn long() -> bool {
    std::env::var("ALMANAC_TEST_LONG").is_ok_and(|value| value == "1")
}
