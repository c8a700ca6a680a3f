//! A stream of bits, and the numbers of varying length in Prometheus's chunks
//! (`tsdb/chunkenc/{bstream,varbit,xor}.go`).

/// Bits from the highest of each byte on.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// Unused bits of the last byte.
    free: u32,
}

impl Bits {
    /// Begins with whole bytes.
    pub(super) fn after(bytes: Vec<u8>) -> Self {
        Bits { bytes, free: 0 }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes the lowest `count` bits of a number, the highest of them first.
    pub(super) fn put(&mut self, number: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let take = left.min(self.free);
            let bits = (number >> (left - take)) & ((1 << take) - 1);
            self.free -= take;
            left -= take;
            if let Some(last) = self.bytes.last_mut() {
                *last |= (bits as u8) << self.free;
            }
        }
    }

    pub(super) fn put_float(&mut self, value: f64) {
        self.put(value.to_bits(), 64);
    }

    /// A varint of Go's `encoding/binary`.
    pub(super) fn put_uvarint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.put(number & 0x7f | 0x80, 8);
            number >>= 7;
        }
        self.put(number, 8);
    }

    /// A zigzag varint of Go's `encoding/binary`.
    pub(super) fn put_varint(&mut self, number: i64) {
        self.put_uvarint(((number << 1) ^ (number >> 63)) as u64);
    }

    /// A prefix that tells the length, and the number in that many bits.
    pub(super) fn put_varbit(&mut self, number: i64) {
        if number == 0 {
            return self.put(0, 1);
        }
        let fits = |bits: u32| fits(number, bits);
        self.put_sized(number as u64, fits);
    }

    /// As [`Bits::put_varbit`] for numbers without a sign.
    pub(super) fn put_unsigned_varbit(&mut self, number: u64) {
        if number == 0 {
            return self.put(0, 1);
        }
        self.put_sized(number, |bits| number >> bits == 0);
    }

    fn put_sized(&mut self, number: u64, fits: impl Fn(u32) -> bool) {
        for (prefix, bits) in [(2u32, 3u32), (3, 6), (4, 9), (5, 12), (6, 18), (7, 25), (8, 56)] {
            if fits(bits) {
                // Ones that end in a zero.
                self.put((1 << prefix) - 2, prefix);
                return self.put(number, bits);
            }
        }
        self.put(0xff, 8);
        self.put(number, 64);
    }
}

/// Whether a number fits into so many bits; the largest positive one takes the place of the smallest
/// negative one.
pub(super) fn fits(number: i64, bits: u32) -> bool {
    let half = 1_i64 << (bits - 1);
    -(half - 1) <= number && number <= half
}

/// A value that is written as its difference in bits from the one before.
#[derive(Debug, Clone, Copy)]
pub(super) struct XorValue {
    value: f64,
    /// Leading and trailing zeros of the last window of bits.
    window: Option<(u32, u32)>,
}

impl XorValue {
    pub(super) fn first(value: f64) -> Self {
        XorValue { value, window: None }
    }

    pub(super) fn put(&mut self, bits: &mut Bits, value: f64) {
        let delta = value.to_bits() ^ self.value.to_bits();
        self.value = value;
        if delta == 0 {
            return bits.put(0, 1);
        }
        bits.put(1, 1);
        let (leading, trailing) = (delta.leading_zeros().min(31), delta.trailing_zeros());
        if let Some((old_leading, old_trailing)) = self.window
            && leading >= old_leading
            && trailing >= old_trailing
        {
            bits.put(0, 1);
            return bits.put(delta >> old_trailing, 64 - old_leading - old_trailing);
        }
        self.window = Some((leading, trailing));
        let significant = 64 - leading - trailing;
        bits.put(1, 1);
        bits.put(u64::from(leading), 5);
        // 64 does not fit into six bits and is written as 0.
        bits.put(u64::from(significant & 63), 6);
        bits.put(delta >> trailing, significant);
    }
}
