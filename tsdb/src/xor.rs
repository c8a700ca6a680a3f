//! Value-only XOR streams: how the head keeps the values of a series and how young blocks store them.
//!
//! Each value is XORed with the one before it. An equal value costs one bit; a value whose
//! difference fits the window of significant bits of the last one costs two bits and the window;
//! any other tells a new window in eleven more bits (the value half of the scheme of the Gorilla
//! paper, section 4.1.2; times live elsewhere). Values are bits: NaN payloads, negative zeros and
//! the staleness marker survive.

/// Where the encoder of one stream stands. A stream is continued with the state and the bytes that
/// were left by the last push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct XorState {
    /// The bits of the last value.
    pub(crate) last: u64,
    /// Leading zeros of the window; 64 before the first window.
    leading: u8,
    /// Significant bits of the window, 0 if there is none yet.
    width: u8,
    /// Bits used of the last byte; 0 if it is full or there is none.
    used: u8,
}

impl XorState {
    /// Appends a value. The first value of a stream is the difference from zero.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &mut Vec<u8>, value: u64) {
        let xor = value ^ self.last;
        self.last = value;
        if xor == 0 {
            self.put(bytes, 0, 1);
            return;
        }
        let leading = xor.leading_zeros() as u8;
        let width = 64 - leading - xor.trailing_zeros() as u8;
        let fits = self.width > 0
            && leading >= self.leading
            && leading + width <= self.leading + self.width;
        // A window much wider than needed is told anew.
        if fits && self.width < width + 12 {
            let shift = 64 - self.leading - self.width;
            self.put(bytes, 0b10, 2);
            self.put(bytes, xor >> shift, self.width);
        } else {
            // Six bits hold 0 to 63 leading zeros and 1 to 64 significant bits.
            self.put(bytes, 0b11 << 12 | u64::from(leading) << 6 | u64::from(width - 1), 14);
            self.put(bytes, xor >> (64 - leading - width), width);
            self.leading = leading;
            self.width = width;
        }
    }

    /// Appends the low `count` bits of `bits`, high bit first.
    #[inline]
    fn put(&mut self, bytes: &mut Vec<u8>, bits: u64, count: u8) {
        let mut left = count;
        if self.used > 0 {
            let free = 8 - self.used;
            let taken = free.min(left);
            let part = (bits >> (left - taken)) as u8 & low_mask(taken);
            if let Some(last) = bytes.last_mut() {
                *last |= part << (free - taken);
            }
            self.used = (self.used + taken) & 7;
            left -= taken;
        }
        while left >= 8 {
            left -= 8;
            bytes.push((bits >> left) as u8);
        }
        if left > 0 {
            bytes.push((bits as u8 & low_mask(left)) << (8 - left));
            self.used = left;
        }
    }

    /// The state as bytes, for a checkpoint.
    pub(crate) fn to_bytes(self) -> [u8; 11] {
        let mut bytes = [0; 11];
        bytes[..8].copy_from_slice(&self.last.to_le_bytes());
        [bytes[8], bytes[9], bytes[10]] = [self.leading, self.width, self.used];
        bytes
    }

    /// The state that [`XorState::to_bytes`] made; `None` for bytes that it never makes.
    pub(crate) fn from_bytes(bytes: [u8; 11]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, leading, width, used] = bytes;
        let last = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let is_valid = leading < 64 && leading + width.min(64) <= 64 && width <= 64 && used < 8;
        is_valid.then_some(XorState { last, leading, width, used })
    }
}

fn low_mask(count: u8) -> u8 {
    ((1u16 << count) - 1) as u8
}

/// A whole stream of `values`.
pub(crate) fn encode(values: &[f64], bytes: &mut Vec<u8>) {
    let mut state = XorState::default();
    let mut own = Vec::with_capacity(values.len() / 2 + 16);
    for value in values {
        state.push(&mut own, value.to_bits());
    }
    bytes.extend_from_slice(&own);
}

/// Reads `count` values of a stream and adds them to `values`. `None` if the bytes end early or are
/// no stream.
pub(crate) fn decode(bytes: &[u8], count: usize, values: &mut Vec<f64>) -> Option<()> {
    // Each value takes at least a bit.
    if count > bytes.len().saturating_mul(8) {
        return None;
    }
    values.reserve(count);
    let mut bits = Bits { bytes, at: 0 };
    let (mut last, mut shift, mut width) = (0u64, 0u32, 0u32);
    for _ in 0..count {
        if bits.take(1)? == 1 {
            if bits.take(1)? == 1 {
                let told = bits.take(12)? as u32;
                let leading = told >> 6;
                width = (told & 63) + 1;
                shift = 64u32.checked_sub(leading + width)?;
            }
            if width == 0 {
                return None;
            }
            last ^= bits.take(width)? << shift;
        }
        values.push(f64::from_bits(last));
    }
    Some(())
}

struct Bits<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits, 1 to 64.
    #[inline]
    fn take(&mut self, count: u32) -> Option<u64> {
        let (byte, bit) = (self.at / 8, (self.at % 8) as u32);
        self.at += count as usize;
        // The fast way: nine bytes are there.
        if let Some(window) = self.bytes.get(byte..byte + 9) {
            let [a, b, c, d, e, f, g, h, next] = *window else { return None };
            let high = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            let aligned = match bit {
                0 => high,
                _ => high << bit | u64::from(next) >> (8 - bit),
            };
            return Some(aligned >> (64 - count));
        }
        if self.at > self.bytes.len() * 8 {
            return None;
        }
        let mut out = 0u64;
        for at in self.at - count as usize..self.at {
            out = out << 1 | u64::from(self.bytes[at / 8] >> (7 - at % 8) & 1);
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (0i64..1000).prop_map(|i| (i as f64).to_bits()),
            (0i64..1000).prop_map(|i| (i as f64 / 100.0).to_bits()),
            Just(model::sample::STALE_NAN_BITS),
            Just((-0.0f64).to_bits()),
            Just(f64::NAN.to_bits() | 0x123),
        ]
    }

    proptest! {
        #[test]
        fn every_bit_of_every_value_survives(values in prop::collection::vec(value(), 0..200)) {
            let floats: Vec<f64> = values.iter().map(|bits| f64::from_bits(*bits)).collect();
            let mut bytes = Vec::new();
            encode(&floats, &mut bytes);
            let mut found = Vec::new();
            prop_assert!(decode(&bytes, floats.len(), &mut found).is_some());
            prop_assert!(found.iter().map(|value| value.to_bits()).eq(values.iter().copied()));
        }

        #[test]
        fn a_stream_is_continued_where_it_was_left(
            values in prop::collection::vec(value(), 1..60),
            cut in any::<prop::sample::Index>(),
        ) {
            let cut = cut.index(values.len());
            let mut whole = (XorState::default(), Vec::new());
            values.iter().for_each(|value| whole.0.push(&mut whole.1, *value));
            let mut parts = (XorState::default(), Vec::new());
            values[..cut].iter().for_each(|value| parts.0.push(&mut parts.1, *value));
            parts.0 = XorState::from_bytes(parts.0.to_bytes()).unwrap();
            values[cut..].iter().for_each(|value| parts.0.push(&mut parts.1, *value));
            prop_assert_eq!(whole, parts);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, count in 0usize..2000) {
            decode(&bytes, count, &mut Vec::new());
        }
    }
}
