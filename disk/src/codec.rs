//! The byte codec of journal records: LEB128 varints, zigzag for signed numbers, length-prefixed
//! bytes.
//!
//! A reader never panics on bytes that are not what it expects: records are checksummed, but a
//! store must also survive a record that an older or a broken version wrote.

use std::fmt;

/// Appends an unsigned varint.
#[inline]
pub fn put_u64(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

/// Appends a signed varint, small for small absolute values.
#[inline]
pub fn put_i64(buffer: &mut Vec<u8>, value: i64) {
    put_u64(buffer, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends eight bytes, bit for bit.
#[inline]
pub fn put_f64(buffer: &mut Vec<u8>, value: f64) {
    buffer.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends a length and the bytes.
#[inline]
pub fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(buffer, bytes.len() as u64);
    buffer.extend_from_slice(bytes);
}

/// Appends a length and the text.
#[inline]
pub fn put_str(buffer: &mut Vec<u8>, text: &str) {
    put_bytes(buffer, text.as_bytes());
}

/// Bytes that do not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecError {
    /// Where in the record.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {} of the record", self.expected, self.offset)
    }
}

impl std::error::Error for CodecError {}

/// Reads what the `put_*` functions wrote.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

type ReadResult<T> = Result<T, CodecError>;

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, offset: 0 }
    }

    /// Starts at `offset`; past the end, every read fails.
    pub fn at(bytes: &'a [u8], offset: usize) -> Self {
        Reader { bytes, offset: offset.min(bytes.len()) }
    }

    /// Where the next read begins.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether everything was read.
    pub fn is_at_end(&self) -> bool {
        self.offset == self.bytes.len()
    }

    fn fail<T>(&self, expected: &'static str) -> ReadResult<T> {
        Err(CodecError { offset: self.offset, expected })
    }

    /// An unsigned varint.
    #[inline]
    pub fn u64(&mut self) -> ReadResult<u64> {
        let mut value = 0u64;
        let mut at = self.offset;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(at) else { return self.fail("a varint") };
            at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                self.offset = at;
                return Ok(value);
            }
        }
        self.fail("a varint of at most ten bytes")
    }

    /// An unsigned varint that fits 32 bits.
    #[inline]
    pub fn u32(&mut self) -> ReadResult<u32> {
        let before = self.offset;
        u32::try_from(self.u64()?)
            .map_err(|_| CodecError { offset: before, expected: "a number under 2^32" })
    }

    /// How many items follow. Each item takes at least one byte, so a larger count is refused before
    /// anything is reserved for it.
    #[inline]
    pub fn count(&mut self) -> ReadResult<usize> {
        let before = self.offset;
        let count = self.u64()?;
        let left = (self.bytes.len() - self.offset) as u64;
        if count > left {
            return Err(CodecError { offset: before, expected: "a count that fits the record" });
        }
        Ok(count as usize)
    }

    /// A signed varint.
    #[inline]
    pub fn i64(&mut self) -> ReadResult<i64> {
        let raw = self.u64()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// `N` raw bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> ReadResult<[u8; N]> {
        let Some(bytes) = self.bytes.get(self.offset..).and_then(|rest| rest.first_chunk::<N>())
        else {
            return self.fail("fixed bytes");
        };
        self.offset += N;
        Ok(*bytes)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> ReadResult<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Eight bytes as a float, bit for bit.
    #[inline]
    pub fn f64(&mut self) -> ReadResult<f64> {
        Ok(f64::from_bits(u64::from_le_bytes(self.array()?)))
    }

    /// Length-prefixed bytes.
    #[inline]
    pub fn bytes(&mut self) -> ReadResult<&'a [u8]> {
        let length = self.count()?;
        let bytes = &self.bytes[self.offset..self.offset + length];
        self.offset += length;
        Ok(bytes)
    }

    /// Length-prefixed UTF-8.
    #[inline]
    pub fn str(&mut self) -> ReadResult<&'a str> {
        let before = self.offset;
        std::str::from_utf8(self.bytes()?)
            .map_err(|_| CodecError { offset: before, expected: "UTF-8 text" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_is_read_back(u: u64, i: i64, bits: u64, text: String) {
            let mut buffer = Vec::new();
            put_u64(&mut buffer, u);
            put_i64(&mut buffer, i);
            put_f64(&mut buffer, f64::from_bits(bits));
            put_str(&mut buffer, &text);
            let mut reader = Reader::new(&buffer);
            prop_assert_eq!(reader.u64(), Ok(u));
            prop_assert_eq!(reader.i64(), Ok(i));
            prop_assert_eq!(reader.f64().map(f64::to_bits), Ok(bits));
            prop_assert_eq!(reader.str(), Ok(text.as_str()));
            prop_assert!(reader.is_at_end());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, calls in prop::collection::vec(0u8..7, 0..20)) {
            let mut reader = Reader::new(&bytes);
            for call in calls {
                let failed = match call {
                    0 => reader.u64().is_err(),
                    1 => reader.i64().is_err(),
                    2 => reader.f64().is_err(),
                    3 => reader.str().is_err(),
                    4 => reader.count().is_err(),
                    5 => reader.u32().is_err(),
                    _ => reader.array::<16>().is_err(),
                };
                prop_assert!(reader.offset() <= bytes.len());
                if failed { break; }
            }
        }
    }
}
