//! Ids of equal length in hexadecimal digits, two digits a byte.

use disk::codec::{CodecError, Reader, put_bytes, put_u64};
use memchr::memmem;

use crate::part::bits::Bits;
use crate::part::index::ByteSet;

/// Fewer digits than this are better kept otherwise.
const DIGITS_MIN: usize = 8;
const LENGTH_MAX: usize = 256;
/// Texts of fewer digits are looked for in unpacked values.
const SEARCHED_DIGITS_MIN: usize = 4;

/// What ids have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HexShape {
    prefix: Vec<u8>,
    suffix: Vec<u8>,
    /// Where dashes stand between the digits.
    dashes: Vec<usize>,
    /// Digits and dashes.
    length: usize,
    is_upper: bool,
}

impl HexShape {
    /// The shape that all values have.
    pub(crate) fn find(values: &[&[u8]]) -> Option<Self> {
        let first = *values.first()?;
        if values.iter().any(|value| value.len() != first.len()) {
            return None;
        }
        let alike = |at: &usize| values.iter().all(|value| value[*at] == first[*at]);
        let is_hex = |at: usize| first[at].is_ascii_hexdigit();
        let mut start = (0..first.len()).take_while(alike).count();
        while start > 0 && is_hex(start - 1) {
            start -= 1;
        }
        let mut end = first.len() - (start..first.len()).rev().take_while(alike).count();
        while end < first.len() && is_hex(end) {
            end += 1;
        }
        let middle = first.get(start..end)?;
        let dashes: Vec<usize> = (0..middle.len()).filter(|at| middle[*at] == b'-').collect();
        if middle.len() - dashes.len() < DIGITS_MIN || middle.len() > LENGTH_MAX {
            return None;
        }
        let is_upper = values.iter().any(|v| v[start..end].iter().any(u8::is_ascii_uppercase));
        let (prefix, suffix) = (first[..start].to_vec(), first[end..].to_vec());
        let shape = HexShape { prefix, suffix, dashes, length: middle.len(), is_upper };
        Some(shape)
    }

    /// Bytes of one packed value.
    pub(crate) fn width(&self) -> usize {
        (self.length - self.dashes.len()).div_ceil(2)
    }

    /// Bytes of one value as text.
    pub(crate) fn text_length(&self) -> usize {
        self.prefix.len() + self.length + self.suffix.len()
    }

    /// Hexadecimal digits of one value.
    pub(crate) fn digits(&self) -> usize {
        self.length - self.dashes.len()
    }

    /// Packs a value; `None` if it does not have this shape.
    pub(crate) fn pack(&self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let middle = value
            .strip_prefix(self.prefix.as_slice())?
            .strip_suffix(self.suffix.as_slice())
            .filter(|middle| middle.len() == self.length)?;
        let before = out.len();
        let (mut high, mut is_half) = (0u8, false);
        let mut dashes = self.dashes.iter();
        let mut dash = dashes.next();
        for (at, byte) in middle.iter().enumerate() {
            if dash == Some(&at) {
                if *byte != b'-' {
                    out.truncate(before);
                    return None;
                }
                dash = dashes.next();
                continue;
            }
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' if !self.is_upper => byte - b'a' + 10,
                b'A'..=b'F' if self.is_upper => byte - b'A' + 10,
                _ => {
                    out.truncate(before);
                    return None;
                }
            };
            if is_half {
                out.push(high << 4 | digit);
            }
            (high, is_half) = (digit, !is_half);
        }
        if is_half {
            out.push(high << 4);
        }
        Some(())
    }

    /// Appends the value of packed bytes.
    pub(crate) fn append(&self, packed: &[u8], out: &mut Vec<u8>) {
        const LOWER: &[u8; 16] = b"0123456789abcdef";
        const UPPER: &[u8; 16] = b"0123456789ABCDEF";
        let digits = if self.is_upper { UPPER } else { LOWER };
        out.extend_from_slice(&self.prefix);
        let start = out.len();
        if self.dashes.is_empty() {
            for byte in packed {
                out.push(digits[usize::from(byte >> 4)]);
                out.push(digits[usize::from(byte & 15)]);
            }
            out.truncate(start + self.length);
        } else {
            let mut nibbles = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
            let mut dashes = self.dashes.iter().peekable();
            for at in 0..self.length {
                if dashes.next_if_eq(&&at).is_some() {
                    out.push(b'-');
                } else if let Some(nibble) = nibbles.next() {
                    out.push(digits[usize::from(nibble)]);
                }
            }
        }
        out.extend_from_slice(&self.suffix);
    }

    /// Whether a value of it may contain a text, judged by single bytes and the length.
    pub(crate) fn may_contain(&self, text: &[u8]) -> bool {
        let known = |byte: &u8| {
            byte.is_ascii_digit()
                || (byte.is_ascii_hexdigit() && byte.is_ascii_uppercase() == self.is_upper)
                || (*byte == b'-' && !self.dashes.is_empty())
                || self.prefix.contains(byte)
                || self.suffix.contains(byte)
        };
        text.len() <= self.text_length() && text.iter().all(known)
    }

    /// Which of the packed values have digits in them, found without unpacking; `None` if the text
    /// is not of digits alone, or too short, or could lie across dashes.
    pub(crate) fn find_digits(&self, packed: &[u8], text: &[u8]) -> Option<Bits> {
        let nibble = |byte: &u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' if !self.is_upper => Some(byte - b'a' + 10),
            b'A'..=b'F' if self.is_upper => Some(byte - b'A' + 10),
            _ => None,
        };
        let nibbles = text.iter().map(nibble).collect::<Option<Vec<u8>>>()?;
        let (width, digits) = (self.width(), self.digits());
        if nibbles.len() < SEARCHED_DIGITS_MIN || !self.dashes.is_empty() || width == 0 {
            return None;
        }
        let values = packed.len() / width;
        if memmem::find(&self.prefix, text).is_some() || memmem::find(&self.suffix, text).is_some()
        {
            return Some(Bits::all(values));
        }
        let mut found = Bits::none(values);
        // The text begins with the first or with the second digit of a byte.
        for before in 0..2 {
            let pairs = nibbles[before..].as_chunks::<2>().0;
            let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
            let finder = memmem::Finder::new(&bytes);
            let mut from = 0;
            while let Some(hit) = packed.get(from..).and_then(|rest| finder.find(rest)) {
                let hit = from + hit;
                let value = hit / width;
                let first = (hit - value * width) * 2;
                let fits = first >= before && first - before + nibbles.len() <= digits;
                let digit = |at: usize| {
                    packed
                        .get(value * width + at / 2)
                        .map(|b| if at.is_multiple_of(2) { b >> 4 } else { b & 15 })
                };
                let start = first.wrapping_sub(before);
                let is_at_start = || digit(start) == nibbles.first().copied();
                let is_at_end = || digit(start + nibbles.len() - 1) == nibbles.last().copied();
                if fits && is_at_start() && is_at_end() {
                    found.insert(value);
                    from = (value + 1) * width;
                } else {
                    from = hit + 1;
                }
            }
        }
        Some(found)
    }

    /// Adds the bytes that its values can have.
    pub(crate) fn add_bytes(&self, bytes: &mut ByteSet) {
        bytes.insert_all(if self.is_upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" });
        bytes.insert_all(&self.prefix);
        bytes.insert_all(&self.suffix);
        if !self.dashes.is_empty() {
            bytes.insert(b'-');
        }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.prefix);
        put_bytes(out, &self.suffix);
        put_u64(out, (self.length as u64) << 1 | u64::from(self.is_upper));
        put_u64(out, self.dashes.len() as u64);
        for dash in &self.dashes {
            put_u64(out, *dash as u64);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (prefix, suffix) = (reader.bytes()?.to_vec(), reader.bytes()?.to_vec());
        let length = reader.u64()?;
        let dashes = (0..reader.count()?)
            .map(|_| reader.u32().map(|dash| dash as usize))
            .collect::<Result<Vec<_>, _>>()?;
        let (length, is_upper) = ((length >> 1) as usize, length & 1 == 1);
        if length > LENGTH_MAX || dashes.len() > length {
            return Err(CodecError { offset: reader.offset(), expected: "a short id" });
        }
        Ok(HexShape { prefix, suffix, dashes, length, is_upper })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], is_found: bool) {
        let bytes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let packed = HexShape::find(&bytes).and_then(|shape| {
            let mut packed = Vec::new();
            let all = bytes.iter().try_for_each(|value| shape.pack(value, &mut packed));
            all.map(|()| (shape, packed))
        });
        assert_eq!(packed.is_some(), is_found, "{values:?}");
        let Some((shape, packed)) = packed else { return };
        let mut stored = Vec::new();
        shape.put(&mut stored);
        assert_eq!(HexShape::read(&mut Reader::new(&stored)).unwrap(), shape);
        for (value, packed) in values.iter().zip(packed.chunks(shape.width())) {
            let mut out = Vec::new();
            shape.append(packed, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), *value);
        }
    }

    #[test]
    fn ids_of_equal_length_are_packed() {
        check(&["0123456789abcdef", "fedcba9876543210"], true);
        check(&["0123456789ABCDEF", "FEDCBA9876543210"], true);
        check(&["req-38101a0b-2096-447d", "req-e0101a0b-2096-447e"], true);
        check(&["38101a0b-2096-447d-96ea-a692162415ae"], true);
        check(&["0123456789abcde", "fedcba987654321"], true);
        check(&["0123456789abcdef", "FEDCBA9876543210"], false);
        check(&["0123456789abcdef", "0123456789abcde"], false);
        check(&["12345678-", "1234567-8"], false);
        check(&["abcdefgh", "hgfedcba"], false);
    }
}
