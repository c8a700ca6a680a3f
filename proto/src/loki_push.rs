//! Borrowed walkers over `logproto.PushRequest`, what agents send to Loki: no allocation, no copy,
//! fields in any order. The numbers are those of the published `push.proto`.
//!
//! They read lazily, as those of [`crate::otlp`] do, and are held to prost by the tests. Of
//! two timestamps in one entry the last counts, where protobuf would merge. A line may be any bytes,
//! as it may in Loki.

pub mod messages;

pub use crate::remote_write::LabelRef as MetadataRef;
use crate::wire::{DecodeError, Message, Messages, Occurrences, Reader, delimited, known, varint};

/// The bytes of a `PushRequest`.
#[derive(Debug, Clone, Copy)]
pub struct PushRef<'a> {
    request: Reader<'a>,
}

impl<'a> PushRef<'a> {
    /// Wraps the bytes; nothing is read yet.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { request: Reader::new(bytes) }
    }

    /// The streams in order.
    pub fn streams(&self) -> Messages<'a, StreamRef<'a>> {
        Messages::unchecked(self.request, 1)
    }
}

/// `StreamAdapter`: labels as text and entries.
#[derive(Debug, Clone, Copy)]
pub struct StreamRef<'a> {
    /// As in a selector: `{app="shop", env="prod"}`.
    pub labels: &'a str,
    entries: Messages<'a, EntryRef<'a>>,
}

impl<'a> StreamRef<'a> {
    /// The entries in order.
    pub fn entries(&self) -> Messages<'a, EntryRef<'a>> {
        self.entries
    }
}

impl<'a> Message<'a> for StreamRef<'a> {
    const NAME: &'static str = "stream";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const LABELS: u32 = delimited(1);
        const ENTRIES: u32 = delimited(2);
        const KNOWN: u64 = known(&[1, 2, 3]);
        const HASH: u32 = varint(3);

        let mut reader = message;
        let mut labels = "";
        let mut entries = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                LABELS => labels = reader.text("labels")?,
                ENTRIES => entries.pass(field, &mut reader, "entries")?,
                HASH => {
                    reader.varint("hash")?;
                }
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self { labels, entries: Messages::new(message, 2, entries) })
    }
}

/// `EntryAdapter`: one line.
#[derive(Debug, Clone, Copy)]
pub struct EntryRef<'a> {
    /// When.
    pub timestamp: TimestampRef,
    /// The line, not always text.
    pub line: &'a [u8],
    metadata: Messages<'a, MetadataRef<'a>>,
}

impl<'a> EntryRef<'a> {
    /// Structured metadata in order.
    pub fn metadata(&self) -> Messages<'a, MetadataRef<'a>> {
        self.metadata
    }
}

impl<'a> Message<'a> for EntryRef<'a> {
    const NAME: &'static str = "entry";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const TIMESTAMP: u32 = delimited(1);
        const LINE: u32 = delimited(2);
        const METADATA: u32 = delimited(3);
        const PARSED: u32 = delimited(4);
        const KNOWN: u64 = known(&[1, 2, 3, 4]);

        let mut reader = message;
        let mut timestamp = Occurrences::default();
        let mut line: &[u8] = &[];
        let (mut metadata, mut parsed) = (Occurrences::default(), Occurrences::default());
        while let Some(field) = reader.next_field()? {
            match field.key {
                TIMESTAMP => timestamp.pass(field, &mut reader, "timestamp")?,
                LINE => line = reader.bytes("line")?,
                METADATA => metadata.pass(field, &mut reader, "structuredMetadata")?,
                // What a query made of a line; no sender has a reason to give it.
                PARSED => parsed.pass(field, &mut reader, "parsed")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        let timestamps: Messages<'a, TimestampRef> = Messages::new(message, 1, timestamp);
        let timestamp = timestamps.last().transpose()?.unwrap_or_default();
        Ok(Self { timestamp, line, metadata: Messages::new(message, 3, metadata) })
    }
}

/// `google.protobuf.Timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimestampRef {
    /// Unix seconds.
    pub seconds: i64,
    /// Nanoseconds after them.
    pub nanos: i32,
}

impl TimestampRef {
    /// Unix nanoseconds; `None` beyond the year 2262 or before 1677.
    pub fn unix_nanos(self) -> Option<i64> {
        self.seconds.checked_mul(1_000_000_000)?.checked_add(i64::from(self.nanos))
    }
}

impl<'a> Message<'a> for TimestampRef {
    const NAME: &'static str = "timestamp";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const SECONDS: u32 = varint(1);
        const NANOS: u32 = varint(2);
        const KNOWN: u64 = known(&[1, 2]);

        let mut reader = message;
        let mut timestamp = TimestampRef::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                SECONDS => timestamp.seconds = reader.varint("seconds")? as i64,
                NANOS => timestamp.nanos = reader.varint("nanos")? as i32,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(timestamp)
    }
}

#[cfg(test)]
mod tests;
