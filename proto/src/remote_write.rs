//! Borrowed walkers over Prometheus remote-write requests, 1.0 and 2.0: no allocation, no copy,
//! fields in any order (prometheus/prometheus `prompb/types.proto`, `prompb/remote.proto` and
//! `prompb/io/prometheus/write/v2/types.proto`).
//!
//! They read lazily, as those of [`crate::otlp`] do, and are held to prost by the tests. Samples
//! and histograms of both versions are one type: 1.0 has no start times, 2.0 gave them the next
//! free numbers, and a 1.0 request that has them means the same.
//!
//! A singular message given twice (`metadata` of a 2.0 series) is refused where protobuf would
//! merge.

mod histogram;
pub mod messages;
mod v1;
mod v2;

pub use histogram::{CountRef, HistogramRef, SideRef, SpanRef};
pub use v1::{LabelRef, RawLabelRef, SeriesExemplarRef, SeriesMetadataRef, SeriesRef, WriteRef};
pub use v2::{SymbolExemplarRef, SymbolMetadataRef, SymbolRefs, SymbolSeriesRef, SymbolWriteRef};

use crate::wire::{DecodeError, Message, Reader, fixed64, known, varint};

/// One float sample.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SampleRef {
    /// The value.
    pub value: f64,
    /// When, in Unix milliseconds.
    pub timestamp_ms: i64,
    /// Since when a cumulative value counts, in Unix milliseconds; 0 when unknown.
    pub start_timestamp_ms: i64,
}

impl<'a> Message<'a> for SampleRef {
    const NAME: &'static str = "sample";

    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const VALUE: u32 = fixed64(1);
        const TIMESTAMP: u32 = varint(2);
        const START_TIMESTAMP: u32 = varint(3);
        const KNOWN: u64 = known(&[1, 2, 3]);

        let mut reader = message;
        let mut sample = SampleRef::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                VALUE => sample.value = reader.double("value")?,
                TIMESTAMP => sample.timestamp_ms = reader.varint("timestamp")? as i64,
                START_TIMESTAMP => {
                    sample.start_timestamp_ms = reader.varint("start_timestamp")? as i64;
                }
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(sample)
    }
}

#[cfg(test)]
mod tests;
