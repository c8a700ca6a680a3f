//! The native histogram of both versions: spans of buckets, and counts as deltas or as they are.

use crate::wire::{
    DecodeError, Message, Messages, Occurrences, Reader, Scalar, ScalarOccurrences, Scalars,
    delimited, fixed64, known, varint,
};

/// A count of observations, which tells integer histograms from float ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CountRef {
    /// Of an integer histogram.
    Int(u64),
    /// Of a float histogram.
    Float(f64),
}

impl CountRef {
    /// The count as a float, which a native histogram of ours has anyway.
    pub fn to_f64(self) -> f64 {
        match self {
            CountRef::Int(count) => count as f64,
            CountRef::Float(count) => count,
        }
    }
}

/// A `sint64`: the difference of one bucket's count to the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Zigzag(i64);

impl Scalar for Zigzag {
    const WIRE_TYPE: u32 = 0;

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let value = reader.varint("")?;
        Ok(Zigzag((value >> 1) as i64 ^ -((value & 1) as i64)))
    }
}

/// A run of neighbouring buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpanRef {
    /// Buckets left out since the span before; of the first span, the index it starts at.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

impl<'a> Message<'a> for SpanRef {
    const NAME: &'static str = "bucket_span";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const OFFSET: u32 = varint(1);
        const LENGTH: u32 = varint(2);
        const KNOWN: u64 = known(&[1, 2]);

        let mut reader = message;
        let mut span = SpanRef::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                OFFSET => span.offset = reader.sint32("offset")?,
                LENGTH => span.length = reader.uint32("length")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(span)
    }
}

/// The buckets of one sign.
#[derive(Debug, Clone, Copy)]
pub struct SideRef<'a> {
    spans: Messages<'a, SpanRef>,
    deltas: Scalars<'a, Zigzag>,
    counts: Scalars<'a, f64>,
}

impl<'a> SideRef<'a> {
    /// The runs of buckets.
    pub fn spans(&self) -> Messages<'a, SpanRef> {
        self.spans
    }

    /// Counts of an integer histogram, each as the difference to the one before.
    pub fn deltas(&self) -> impl ExactSizeIterator<Item = i64> + use<'a> {
        self.deltas.map(|delta| delta.0)
    }

    /// Counts of a float histogram.
    pub fn counts(&self) -> impl ExactSizeIterator<Item = f64> + use<'a> {
        self.counts
    }
}

/// `Histogram`: one native histogram sample.
#[derive(Debug, Clone, Copy)]
pub struct HistogramRef<'a> {
    /// All observations; says whether the histogram is of integers or of floats.
    pub count: Option<CountRef>,
    /// The sum of all observations.
    pub sum: f64,
    /// How wide buckets are; -53 for custom bounds.
    pub schema: i32,
    /// The widest absolute value in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: Option<CountRef>,
    /// Buckets above zero, or all buckets of custom bounds.
    pub positive: SideRef<'a>,
    /// Buckets below zero.
    pub negative: SideRef<'a>,
    /// `ResetHint`, unchecked: 3 is a gauge.
    pub reset_hint: i32,
    /// When, in Unix milliseconds.
    pub timestamp_ms: i64,
    /// Since when it counts, in Unix milliseconds; 0 when unknown.
    pub start_timestamp_ms: i64,
    custom_values: Scalars<'a, f64>,
}

impl<'a> HistogramRef<'a> {
    /// The upper bounds of custom buckets.
    pub fn custom_values(&self) -> impl ExactSizeIterator<Item = f64> + Clone + use<'a> {
        self.custom_values
    }
}

#[derive(Default)]
struct Side {
    spans: Occurrences,
    deltas: ScalarOccurrences,
    counts: ScalarOccurrences,
}

impl Side {
    /// The side whose spans have this field number; deltas and counts follow it.
    fn of<'a>(&self, message: Reader<'a>, number: u32) -> SideRef<'a> {
        SideRef {
            spans: Messages::new(message, number, self.spans),
            deltas: Scalars::new(message, number + 1, self.deltas),
            counts: Scalars::new(message, number + 2, self.counts),
        }
    }
}

impl<'a> Message<'a> for HistogramRef<'a> {
    const NAME: &'static str = "histogram";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const COUNT_INT: u32 = varint(1);
        const COUNT_FLOAT: u32 = fixed64(2);
        const SUM: u32 = fixed64(3);
        const SCHEMA: u32 = varint(4);
        const ZERO_THRESHOLD: u32 = fixed64(5);
        const ZERO_COUNT_INT: u32 = varint(6);
        const ZERO_COUNT_FLOAT: u32 = fixed64(7);
        const NEGATIVE_SPANS: u32 = delimited(8);
        const NEGATIVE_DELTAS: u32 = delimited(9);
        const NEGATIVE_DELTA: u32 = varint(9);
        const NEGATIVE_COUNTS: u32 = delimited(10);
        const NEGATIVE_COUNT: u32 = fixed64(10);
        const POSITIVE_SPANS: u32 = delimited(11);
        const POSITIVE_DELTAS: u32 = delimited(12);
        const POSITIVE_DELTA: u32 = varint(12);
        const POSITIVE_COUNTS: u32 = delimited(13);
        const POSITIVE_COUNT: u32 = fixed64(13);
        const RESET_HINT: u32 = varint(14);
        const TIMESTAMP: u32 = varint(15);
        const CUSTOM_VALUES: u32 = delimited(16);
        const CUSTOM_VALUE: u32 = fixed64(16);
        const START_TIMESTAMP: u32 = varint(17);
        const KNOWN: u64 = known(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]);

        let mut reader = message;
        let (mut count, mut zero_count) = (None, None);
        let (mut sum, mut zero_threshold) = (0.0, 0.0);
        let (mut schema, mut reset_hint) = (0, 0);
        let (mut timestamp_ms, mut start_timestamp_ms) = (0, 0);
        let (mut positive, mut negative) = (Side::default(), Side::default());
        let mut custom_values = ScalarOccurrences::default();
        while let Some(field) = reader.next_field()? {
            let r = &mut reader;
            match field.key {
                COUNT_INT => count = Some(CountRef::Int(r.varint("count_int")?)),
                COUNT_FLOAT => count = Some(CountRef::Float(r.double("count_float")?)),
                SUM => sum = r.double("sum")?,
                SCHEMA => schema = r.sint32("schema")?,
                ZERO_THRESHOLD => zero_threshold = r.double("zero_threshold")?,
                ZERO_COUNT_INT => zero_count = Some(CountRef::Int(r.varint("zero_count_int")?)),
                ZERO_COUNT_FLOAT => {
                    zero_count = Some(CountRef::Float(r.double("zero_count_float")?));
                }
                NEGATIVE_SPANS => negative.spans.pass(field, r, "negative_spans")?,
                NEGATIVE_DELTAS => {
                    negative.deltas.pass_packed::<Zigzag>(field, r, "negative_deltas")?;
                }
                NEGATIVE_DELTA => {
                    negative.deltas.pass_single::<Zigzag>(field, r, "negative_deltas")?;
                }
                NEGATIVE_COUNTS => {
                    negative.counts.pass_packed::<f64>(field, r, "negative_counts")?;
                }
                NEGATIVE_COUNT => {
                    negative.counts.pass_single::<f64>(field, r, "negative_counts")?
                }
                POSITIVE_SPANS => positive.spans.pass(field, r, "positive_spans")?,
                POSITIVE_DELTAS => {
                    positive.deltas.pass_packed::<Zigzag>(field, r, "positive_deltas")?;
                }
                POSITIVE_DELTA => {
                    positive.deltas.pass_single::<Zigzag>(field, r, "positive_deltas")?;
                }
                POSITIVE_COUNTS => {
                    positive.counts.pass_packed::<f64>(field, r, "positive_counts")?;
                }
                POSITIVE_COUNT => {
                    positive.counts.pass_single::<f64>(field, r, "positive_counts")?
                }
                RESET_HINT => reset_hint = r.int32("reset_hint")?,
                TIMESTAMP => timestamp_ms = r.varint("timestamp")? as i64,
                CUSTOM_VALUES => custom_values.pass_packed::<f64>(field, r, "custom_values")?,
                CUSTOM_VALUE => custom_values.pass_single::<f64>(field, r, "custom_values")?,
                START_TIMESTAMP => start_timestamp_ms = r.varint("start_timestamp")? as i64,
                _ => r.skip(field, KNOWN)?,
            }
        }
        Ok(HistogramRef {
            count,
            sum,
            schema,
            zero_threshold,
            zero_count,
            positive: positive.of(message, 11),
            negative: negative.of(message, 8),
            reset_hint,
            timestamp_ms,
            start_timestamp_ms,
            custom_values: Scalars::new(message, 16, custom_values),
        })
    }
}
