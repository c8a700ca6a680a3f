//! A borrowed reader of protobuf's wire format.
//!
//! A message is a run of fields, each a key (field number and wire type) and a value. [`Reader`]
//! hands out values as slices of the request and never copies. It is as strict as prost: what prost
//! refuses (field number 0, an overlong varint, a value past the end, text that is not UTF-8, a
//! known field with the wrong wire type) is an error here too.
//!
//! Every reader knows where it stands in the whole request, so that an error names the byte.

mod error;
mod repeated;

pub use error::{DecodeError, Problem};
pub use repeated::Messages;
pub(crate) use repeated::{Fixed64, Occurrences, Scalar, ScalarOccurrences, Scalars};

/// How deep groups of unknown fields may nest. proto3 has no groups, so any depth is suspicious.
const MAX_GROUP_DEPTH: u32 = 32;

/// Wire types, the low three bits of a key.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const GROUP_START: u32 = 3;
const GROUP_END: u32 = 4;
const FIXED32: u32 = 5;

/// The key of a varint field: integers, booleans and enums.
pub(crate) const fn varint(number: u32) -> u32 {
    number << 3 | VARINT
}

/// The key of a `fixed64`, `sfixed64` or `double` field.
pub(crate) const fn fixed64(number: u32) -> u32 {
    number << 3 | FIXED64
}

/// The key of a `fixed32` field.
pub(crate) const fn fixed32(number: u32) -> u32 {
    number << 3 | FIXED32
}

/// The key of a string, bytes, message or packed field.
pub(crate) const fn delimited(number: u32) -> u32 {
    number << 3 | LENGTH_DELIMITED
}

/// The set of field numbers a message has, to tell an unknown field from one with a wrong wire type.
pub(crate) const fn known(numbers: &[u32]) -> u64 {
    let mut set = 0;
    let mut index = 0;
    while index < numbers.len() {
        set |= 1 << numbers[index];
        index += 1;
    }
    set
}

type Result<T> = std::result::Result<T, DecodeError>;

/// A field's key, and where it starts.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) key: u32,
    pub(crate) start: usize,
}

/// The unread rest of one message.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Offset in the request of the byte after `rest`.
    end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(request: &'a [u8]) -> Self {
        Self { rest: request, end: request.len() }
    }

    /// The bytes not read yet; all bytes of the message when nothing has been read.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Offset in the request of the next byte.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    /// The part of this message between two offsets in the request.
    #[inline]
    fn between(&self, start: usize, end: usize) -> Self {
        let base = self.offset();
        Self { rest: &self.rest[start - base..end - base], end }
    }

    /// The key of the next field, or `None` at the end of the message.
    #[inline]
    pub(crate) fn next_field(&mut self) -> Result<Option<Field>> {
        let start = self.offset();
        let Some((&first, rest)) = self.rest.split_first() else { return Ok(None) };
        if (0x08..0x80).contains(&first) && u32::from(first & 7) <= FIXED32 {
            self.rest = rest;
            return Ok(Some(Field { key: u32::from(first), start }));
        }
        self.long_key(start).map(Some)
    }

    #[inline(never)]
    fn long_key(&mut self, start: usize) -> Result<Field> {
        let key = self.varint("")?;
        match u32::try_from(key) {
            Ok(short) if short >> 3 > 0 && short & 7 <= FIXED32 => Ok(Field { key: short, start }),
            _ => Err(DecodeError::new(start, "", Problem::BadKey { key })),
        }
    }

    #[inline]
    pub(crate) fn varint(&mut self, field: &'static str) -> Result<u64> {
        if let Some((&first, rest)) = self.rest.split_first()
            && first < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(first));
        }
        self.long_varint(field)
    }

    #[inline(never)]
    fn long_varint(&mut self, field: &'static str) -> Result<u64> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                if index == 9 && byte > 1 {
                    break;
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        let problem =
            if self.rest.len() < 10 { Problem::TruncatedVarint } else { Problem::VarintTooLong };
        Err(DecodeError::new(self.offset(), field, problem))
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((value, rest)) => {
                self.rest = rest;
                Ok(*value)
            }
            None => Err(DecodeError::new(self.offset(), field, Problem::Truncated { wanted: N })),
        }
    }

    #[inline]
    pub(crate) fn fixed64(&mut self, field: &'static str) -> Result<u64> {
        self.array(field).map(u64::from_le_bytes)
    }

    #[inline]
    pub(crate) fn double(&mut self, field: &'static str) -> Result<f64> {
        self.array(field).map(f64::from_le_bytes)
    }

    #[inline]
    pub(crate) fn fixed32(&mut self, field: &'static str) -> Result<u32> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// A `uint32`. Like every protobuf reader, keeps the low half of a longer number.
    #[inline]
    pub(crate) fn uint32(&mut self, field: &'static str) -> Result<u32> {
        self.varint(field).map(|value| value as u32)
    }

    /// An `int32` or enum.
    #[inline]
    pub(crate) fn int32(&mut self, field: &'static str) -> Result<i32> {
        self.varint(field).map(|value| value as i32)
    }

    /// A `sint32` (zigzag).
    #[inline]
    pub(crate) fn sint32(&mut self, field: &'static str) -> Result<i32> {
        let value = self.uint32(field)?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    #[inline]
    pub(crate) fn boolean(&mut self, field: &'static str) -> Result<bool> {
        self.varint(field).map(|value| value != 0)
    }

    #[inline]
    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8]> {
        let start = self.offset();
        let length = self.varint(field)?;
        match usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length)) {
            Some((value, rest)) => {
                self.rest = rest;
                Ok(value)
            }
            None => Err(DecodeError::new(start, field, Problem::LengthPastEnd { length })),
        }
    }

    #[inline]
    pub(crate) fn text(&mut self, field: &'static str) -> Result<&'a str> {
        let start = self.offset();
        let bytes = self.bytes(field)?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::new(start, field, Problem::NotUtf8))
    }

    /// A nested message, not read yet.
    #[inline]
    pub(crate) fn message(&mut self, field: &'static str) -> Result<Reader<'a>> {
        let rest = self.bytes(field)?;
        Ok(Reader { rest, end: self.offset() })
    }

    /// The text, when the message is one short text under the one-byte key `key` and nothing else.
    /// `None` says only that the general way must be taken, which also finds what is wrong.
    #[inline]
    pub(crate) fn only_short_text(&self, key: u32) -> Option<&'a str> {
        match self.rest {
            [first, length, text @ ..]
                if u32::from(*first) == key
                    && *length < 0x80
                    && usize::from(*length) == text.len() =>
            {
                std::str::from_utf8(text).ok()
            }
            _ => None,
        }
    }

    /// The text and the message, when this message is a short text under the one-byte key `text`
    /// followed by a short message under the one-byte key `message`, and nothing else. `None` as
    /// in [`only_short_text`](Self::only_short_text).
    #[inline]
    pub(crate) fn short_text_and_message(
        &self,
        text: u32,
        message: u32,
    ) -> Option<(&'a str, Reader<'a>)> {
        let [first, length, rest @ ..] = self.rest else { return None };
        if u32::from(*first) != text || *length >= 0x80 {
            return None;
        }
        let (found_text, rest) = rest.split_at_checked(usize::from(*length))?;
        let [second, length, rest @ ..] = rest else { return None };
        if u32::from(*second) != message || *length >= 0x80 || usize::from(*length) != rest.len() {
            return None;
        }
        Some((std::str::from_utf8(found_text).ok()?, Reader { rest, end: self.end }))
    }

    /// Both texts, when this message is a short text under each of two one-byte keys, in this order,
    /// and nothing else. `None` as in [`only_short_text`](Self::only_short_text).
    #[inline]
    pub(crate) fn two_short_texts(&self, first: u32, second: u32) -> Option<(&'a str, &'a str)> {
        let (one, two) = self.two_short_bytes(first, second)?;
        Some((std::str::from_utf8(one).ok()?, std::str::from_utf8(two).ok()?))
    }

    /// As [`Reader::two_short_texts`], of bytes.
    #[inline]
    pub(crate) fn two_short_bytes(&self, first: u32, second: u32) -> Option<(&'a [u8], &'a [u8])> {
        let [key, length, rest @ ..] = self.rest else { return None };
        if u32::from(*key) != first || *length >= 0x80 {
            return None;
        }
        let (one, rest) = rest.split_at_checked(usize::from(*length))?;
        let [key, length, two @ ..] = rest else { return None };
        if u32::from(*key) != second || *length >= 0x80 || usize::from(*length) != two.len() {
            return None;
        }
        Some((one, two))
    }

    /// Skips a field the message type does not have. A field in `known` is here only because its
    /// wire type is wrong.
    #[inline(never)]
    pub(crate) fn skip(&mut self, field: Field, known: u64) -> Result<()> {
        let number = field.key >> 3;
        let wire_type = field.key & 7;
        if number < 64 && known >> number & 1 == 1 {
            let problem = Problem::WireType { number, wire_type };
            return Err(DecodeError::new(field.start, "", problem));
        }
        self.skip_value(field, MAX_GROUP_DEPTH)
    }

    fn skip_value(&mut self, field: Field, groups_left: u32) -> Result<()> {
        const UNKNOWN: &str = "(unknown field)";
        match field.key & 7 {
            VARINT => self.varint(UNKNOWN).map(drop),
            FIXED64 => self.array::<8>(UNKNOWN).map(drop),
            FIXED32 => self.array::<4>(UNKNOWN).map(drop),
            LENGTH_DELIMITED => self.bytes(UNKNOWN).map(drop),
            GROUP_START => self.skip_group(field, groups_left),
            _ => Err(DecodeError::new(field.start, UNKNOWN, Problem::BadGroup)),
        }
    }

    fn skip_group(&mut self, group: Field, groups_left: u32) -> Result<()> {
        const GROUP: &str = "(unknown group)";
        if groups_left == 0 {
            return Err(DecodeError::new(group.start, GROUP, Problem::GroupTooDeep));
        }
        while let Some(field) = self.next_field()? {
            if field.key & 7 == GROUP_END {
                if field.key >> 3 == group.key >> 3 {
                    return Ok(());
                }
                return Err(DecodeError::new(field.start, GROUP, Problem::BadGroup));
            }
            self.skip_value(field, groups_left - 1)?;
        }
        Err(DecodeError::new(group.start, GROUP, Problem::BadGroup))
    }
}

/// A message type the walkers can read.
pub(crate) trait Message<'a>: Sized {
    /// Name for errors.
    const NAME: &'static str;

    fn read(message: Reader<'a>) -> Result<Self>;
}

#[cfg(test)]
mod tests;
