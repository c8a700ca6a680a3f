//! A small deterministic generator; its numbers are the same on every machine and for all time.

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// A sequence of its own for each pair, so that what one part draws does not move another's.
    pub(crate) fn new(seed: u64, part: u64) -> Self {
        let mut random = Random(seed);
        let mixed = random.next() ^ part;
        Random(Random(mixed).next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` up to, not including, `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low).max(1)
    }

    /// From 0 up to, not including, 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True in `per_mille` of a thousand cases.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.between(0, 1_000) < per_mille
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.between(0, length as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// An id that is never zero, which OTLP reads as missing.
    pub(crate) fn span_id(&mut self) -> Vec<u8> {
        (self.next() | 1).to_be_bytes().to_vec()
    }

    pub(crate) fn trace_id(&mut self) -> Vec<u8> {
        [self.next().to_be_bytes(), (self.next() | 1).to_be_bytes()].concat()
    }
}
