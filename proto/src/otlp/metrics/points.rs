//! The points of a metric, their exemplars, and the buckets of histograms.
//!
//! A series is found by its attributes, and most requests repeat the series of the one before. So
//! every point also gives out its attributes as raw bytes, to be hashed without decoding.

use crate::otlp::value::Attributes;
use crate::wire::{
    DecodeError, Fixed64, Message, Messages, Occurrences, Problem, Reader, ScalarOccurrences,
    Scalars, delimited, fixed64, known, varint,
};

/// A point's or exemplar's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NumberValue {
    /// `as_int`.
    Int(i64),
    /// `as_double`.
    Double(f64),
}

/// The methods every kind of point has.
macro_rules! attributes_and_exemplars {
    ($point:ident $(, $exemplars:ident)?) => {
        impl<'a> $point<'a> {
            /// The attributes in order.
            #[inline]
            pub fn attributes(&self) -> Attributes<'a> {
                self.attributes
            }

            /// Feeds each attribute, as the bytes of its `KeyValue` message, to `feed`. Points of
            /// one sender with equal bytes in equal order are points of one series; the reverse
            /// does not hold, since a sender may write the same attributes differently.
            #[inline]
            pub fn for_each_attribute_raw(&self, mut feed: impl FnMut(&'a [u8])) {
                let mut attributes = self.attributes;
                // The run was checked when the point was read, so it cannot end in an error.
                while let Ok(Some(attribute)) = attributes.next_raw() {
                    feed(attribute.rest());
                }
            }

            $(
                /// The exemplars in order.
                #[inline]
                pub fn $exemplars(&self) -> Messages<'a, ExemplarRef<'a>> {
                    self.$exemplars
                }
            )?
        }
    };
}

/// `NumberDataPoint`: a point of a gauge or sum.
#[derive(Debug, Clone, Copy)]
pub struct NumberPointRef<'a> {
    /// When the sum began, in Unix nanoseconds; 0 when unknown.
    pub start_time_unix_nano: u64,
    /// When the value was taken, in Unix nanoseconds.
    pub time_unix_nano: u64,
    /// `DataPointFlags`; bit 0 says that there is no value.
    pub flags: u32,
    /// The value.
    pub value: Option<NumberValue>,
    attributes: Attributes<'a>,
    exemplars: Messages<'a, ExemplarRef<'a>>,
}

attributes_and_exemplars!(NumberPointRef, exemplars);

impl<'a> Message<'a> for NumberPointRef<'a> {
    const NAME: &'static str = "number_data_point";

    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const START_TIME: u32 = fixed64(2);
        const TIME: u32 = fixed64(3);
        const AS_DOUBLE: u32 = fixed64(4);
        const EXEMPLARS: u32 = delimited(5);
        const AS_INT: u32 = fixed64(6);
        const ATTRIBUTES: u32 = delimited(7);
        const FLAGS: u32 = varint(8);
        const KNOWN: u64 = known(&[2, 3, 4, 5, 6, 7, 8]);

        let mut reader = message;
        let (mut start_time_unix_nano, mut time_unix_nano, mut flags) = (0, 0, 0);
        let mut value = None;
        let mut attributes = Occurrences::default();
        let mut exemplars = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                START_TIME => start_time_unix_nano = reader.fixed64("start_time_unix_nano")?,
                TIME => time_unix_nano = reader.fixed64("time_unix_nano")?,
                AS_DOUBLE => value = Some(NumberValue::Double(reader.double("as_double")?)),
                AS_INT => value = Some(NumberValue::Int(reader.fixed64("as_int")? as i64)),
                ATTRIBUTES => attributes.pass(field, &mut reader, "attributes")?,
                EXEMPLARS => exemplars.pass(field, &mut reader, "exemplars")?,
                FLAGS => flags = reader.uint32("flags")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self {
            start_time_unix_nano,
            time_unix_nano,
            flags,
            value,
            attributes: Messages::new(message, 7, attributes),
            exemplars: Messages::new(message, 5, exemplars),
        })
    }
}

/// `HistogramDataPoint`: counts between explicit bounds.
#[derive(Debug, Clone, Copy)]
pub struct HistogramPointRef<'a> {
    /// When counting began, in Unix nanoseconds; 0 when unknown.
    pub start_time_unix_nano: u64,
    /// When the counts were taken, in Unix nanoseconds.
    pub time_unix_nano: u64,
    /// How many observations.
    pub count: u64,
    /// Their sum; missing when it has no meaning.
    pub sum: Option<f64>,
    /// The smallest observation.
    pub min: Option<f64>,
    /// The largest observation.
    pub max: Option<f64>,
    /// `DataPointFlags`; bit 0 says that there is no value.
    pub flags: u32,
    bucket_counts: Scalars<'a, Fixed64>,
    explicit_bounds: Scalars<'a, f64>,
    attributes: Attributes<'a>,
    exemplars: Messages<'a, ExemplarRef<'a>>,
}

attributes_and_exemplars!(HistogramPointRef, exemplars);

impl<'a> HistogramPointRef<'a> {
    /// Observations per bucket, not cumulated. Either empty or, in a valid point, one longer than
    /// the bounds.
    pub fn bucket_counts(&self) -> impl ExactSizeIterator<Item = u64> + Clone + use<'a> {
        self.bucket_counts.map(|count| count.0)
    }

    /// Upper bounds of the buckets; the last bucket has none.
    pub fn explicit_bounds(&self) -> impl ExactSizeIterator<Item = f64> + Clone + use<'a> {
        self.explicit_bounds
    }
}

impl<'a> Message<'a> for HistogramPointRef<'a> {
    const NAME: &'static str = "histogram_data_point";

    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const START_TIME: u32 = fixed64(2);
        const TIME: u32 = fixed64(3);
        const COUNT: u32 = fixed64(4);
        const SUM: u32 = fixed64(5);
        const BUCKET_COUNTS: u32 = delimited(6);
        const BUCKET_COUNT: u32 = fixed64(6);
        const EXPLICIT_BOUNDS: u32 = delimited(7);
        const EXPLICIT_BOUND: u32 = fixed64(7);
        const EXEMPLARS: u32 = delimited(8);
        const ATTRIBUTES: u32 = delimited(9);
        const FLAGS: u32 = varint(10);
        const MIN: u32 = fixed64(11);
        const MAX: u32 = fixed64(12);
        const KNOWN: u64 = known(&[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);

        let mut reader = message;
        let (mut start_time_unix_nano, mut time_unix_nano, mut count, mut flags) = (0, 0, 0, 0);
        let (mut sum, mut min, mut max) = (None, None, None);
        let mut attributes = Occurrences::default();
        let mut exemplars = Occurrences::default();
        let mut counts = ScalarOccurrences::default();
        let mut bounds = ScalarOccurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                START_TIME => start_time_unix_nano = reader.fixed64("start_time_unix_nano")?,
                TIME => time_unix_nano = reader.fixed64("time_unix_nano")?,
                COUNT => count = reader.fixed64("count")?,
                SUM => sum = Some(reader.double("sum")?),
                BUCKET_COUNTS => {
                    counts.pass_packed::<Fixed64>(field, &mut reader, "bucket_counts")?;
                }
                BUCKET_COUNT => {
                    counts.pass_single::<Fixed64>(field, &mut reader, "bucket_counts")?;
                }
                EXPLICIT_BOUNDS => {
                    bounds.pass_packed::<f64>(field, &mut reader, "explicit_bounds")?;
                }
                EXPLICIT_BOUND => {
                    bounds.pass_single::<f64>(field, &mut reader, "explicit_bounds")?;
                }
                EXEMPLARS => exemplars.pass(field, &mut reader, "exemplars")?,
                ATTRIBUTES => attributes.pass(field, &mut reader, "attributes")?,
                FLAGS => flags = reader.uint32("flags")?,
                MIN => min = Some(reader.double("min")?),
                MAX => max = Some(reader.double("max")?),
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self {
            start_time_unix_nano,
            time_unix_nano,
            count,
            sum,
            min,
            max,
            flags,
            bucket_counts: Scalars::new(message, 6, counts),
            explicit_bounds: Scalars::new(message, 7, bounds),
            attributes: Messages::new(message, 9, attributes),
            exemplars: Messages::new(message, 8, exemplars),
        })
    }
}

/// `ExponentialHistogramDataPoint`: counts between powers of `2^(2^-scale)`.
#[derive(Debug, Clone, Copy)]
pub struct ExponentialPointRef<'a> {
    /// When counting began, in Unix nanoseconds; 0 when unknown.
    pub start_time_unix_nano: u64,
    /// When the counts were taken, in Unix nanoseconds.
    pub time_unix_nano: u64,
    /// How many observations.
    pub count: u64,
    /// Their sum; missing when it has no meaning.
    pub sum: Option<f64>,
    /// Resolution: larger is finer.
    pub scale: i32,
    /// Observations within `zero_threshold` of zero.
    pub zero_count: u64,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Buckets of positive observations.
    pub positive: BucketsRef<'a>,
    /// Buckets of negative observations.
    pub negative: BucketsRef<'a>,
    /// The smallest observation.
    pub min: Option<f64>,
    /// The largest observation.
    pub max: Option<f64>,
    /// `DataPointFlags`; bit 0 says that there is no value.
    pub flags: u32,
    attributes: Attributes<'a>,
    exemplars: Messages<'a, ExemplarRef<'a>>,
}

attributes_and_exemplars!(ExponentialPointRef, exemplars);

impl<'a> Message<'a> for ExponentialPointRef<'a> {
    const NAME: &'static str = "exponential_histogram_data_point";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const ATTRIBUTES: u32 = delimited(1);
        const START_TIME: u32 = fixed64(2);
        const TIME: u32 = fixed64(3);
        const COUNT: u32 = fixed64(4);
        const SUM: u32 = fixed64(5);
        const SCALE: u32 = varint(6);
        const ZERO_COUNT: u32 = fixed64(7);
        const POSITIVE: u32 = delimited(8);
        const NEGATIVE: u32 = delimited(9);
        const FLAGS: u32 = varint(10);
        const EXEMPLARS: u32 = delimited(11);
        const MIN: u32 = fixed64(12);
        const MAX: u32 = fixed64(13);
        const ZERO_THRESHOLD: u32 = fixed64(14);
        const KNOWN: u64 = known(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);

        let mut reader = message;
        let (mut start_time_unix_nano, mut time_unix_nano, mut count, mut flags) = (0, 0, 0, 0);
        let (mut scale, mut zero_count, mut zero_threshold) = (0, 0, 0.0);
        let (mut sum, mut min, mut max) = (None, None, None);
        let (mut positive, mut negative) = (None, None);
        let mut attributes = Occurrences::default();
        let mut exemplars = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                ATTRIBUTES => attributes.pass(field, &mut reader, "attributes")?,
                START_TIME => start_time_unix_nano = reader.fixed64("start_time_unix_nano")?,
                TIME => time_unix_nano = reader.fixed64("time_unix_nano")?,
                COUNT => count = reader.fixed64("count")?,
                SUM => sum = Some(reader.double("sum")?),
                SCALE => scale = reader.sint32("scale")?,
                ZERO_COUNT => zero_count = reader.fixed64("zero_count")?,
                POSITIVE => {
                    BucketsRef::fill(&mut positive, "positive", field.start, &mut reader)?;
                }
                NEGATIVE => {
                    BucketsRef::fill(&mut negative, "negative", field.start, &mut reader)?;
                }
                FLAGS => flags = reader.uint32("flags")?,
                EXEMPLARS => exemplars.pass(field, &mut reader, "exemplars")?,
                MIN => min = Some(reader.double("min")?),
                MAX => max = Some(reader.double("max")?),
                ZERO_THRESHOLD => zero_threshold = reader.double("zero_threshold")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self {
            start_time_unix_nano,
            time_unix_nano,
            count,
            sum,
            scale,
            zero_count,
            zero_threshold,
            positive: positive.unwrap_or_else(BucketsRef::empty),
            negative: negative.unwrap_or_else(BucketsRef::empty),
            min,
            max,
            flags,
            attributes: Messages::new(message, 1, attributes),
            exemplars: Messages::new(message, 11, exemplars),
        })
    }
}

/// `ExponentialHistogramDataPoint.Buckets`: consecutive buckets from index `offset` on.
#[derive(Debug, Clone, Copy)]
pub struct BucketsRef<'a> {
    /// Index of the first bucket.
    pub offset: i32,
    bucket_counts: Scalars<'a, u64>,
}

impl<'a> BucketsRef<'a> {
    /// Observations per bucket, not cumulated.
    pub fn bucket_counts(&self) -> impl ExactSizeIterator<Item = u64> + Clone + use<'a> {
        self.bucket_counts
    }

    fn empty() -> Self {
        let bucket_counts = Scalars::new(Reader::default(), 2, ScalarOccurrences::default());
        Self { offset: 0, bucket_counts }
    }

    fn fill(
        slot: &mut Option<Self>,
        name: &'static str,
        start: usize,
        reader: &mut Reader<'a>,
    ) -> Result<(), DecodeError> {
        if slot.is_some() {
            return Err(DecodeError::new(start, name, Problem::Repeated));
        }
        let message = reader.message(name)?;
        *slot = Some(Self::read(message).map_err(|error| error.within(Self::NAME))?);
        Ok(())
    }
}

impl<'a> Message<'a> for BucketsRef<'a> {
    const NAME: &'static str = "buckets";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const OFFSET: u32 = varint(1);
        const BUCKET_COUNTS: u32 = delimited(2);
        const BUCKET_COUNT: u32 = varint(2);
        const KNOWN: u64 = known(&[1, 2]);

        let mut reader = message;
        let mut offset = 0;
        let mut counts = ScalarOccurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                OFFSET => offset = reader.sint32("offset")?,
                BUCKET_COUNTS => counts.pass_packed::<u64>(field, &mut reader, "bucket_counts")?,
                BUCKET_COUNT => counts.pass_single::<u64>(field, &mut reader, "bucket_counts")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self { offset, bucket_counts: Scalars::new(message, 2, counts) })
    }
}

/// `SummaryDataPoint`: quantiles computed by the sender.
#[derive(Debug, Clone, Copy)]
pub struct SummaryPointRef<'a> {
    /// When counting began, in Unix nanoseconds; 0 when unknown.
    pub start_time_unix_nano: u64,
    /// When the quantiles were taken, in Unix nanoseconds.
    pub time_unix_nano: u64,
    /// How many observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// `DataPointFlags`; bit 0 says that there is no value.
    pub flags: u32,
    quantile_values: Messages<'a, QuantileRef>,
    attributes: Attributes<'a>,
}

attributes_and_exemplars!(SummaryPointRef);

impl<'a> SummaryPointRef<'a> {
    /// The quantiles in order.
    pub fn quantile_values(&self) -> Messages<'a, QuantileRef> {
        self.quantile_values
    }
}

impl<'a> Message<'a> for SummaryPointRef<'a> {
    const NAME: &'static str = "summary_data_point";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const START_TIME: u32 = fixed64(2);
        const TIME: u32 = fixed64(3);
        const COUNT: u32 = fixed64(4);
        const SUM: u32 = fixed64(5);
        const QUANTILE_VALUES: u32 = delimited(6);
        const ATTRIBUTES: u32 = delimited(7);
        const FLAGS: u32 = varint(8);
        const KNOWN: u64 = known(&[2, 3, 4, 5, 6, 7, 8]);

        let mut reader = message;
        let (mut start_time_unix_nano, mut time_unix_nano) = (0, 0);
        let (mut count, mut sum, mut flags) = (0, 0.0, 0);
        let mut quantile_values = Occurrences::default();
        let mut attributes = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                START_TIME => start_time_unix_nano = reader.fixed64("start_time_unix_nano")?,
                TIME => time_unix_nano = reader.fixed64("time_unix_nano")?,
                COUNT => count = reader.fixed64("count")?,
                SUM => sum = reader.double("sum")?,
                QUANTILE_VALUES => quantile_values.pass(field, &mut reader, "quantile_values")?,
                ATTRIBUTES => attributes.pass(field, &mut reader, "attributes")?,
                FLAGS => flags = reader.uint32("flags")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self {
            start_time_unix_nano,
            time_unix_nano,
            count,
            sum,
            flags,
            quantile_values: Messages::new(message, 6, quantile_values),
            attributes: Messages::new(message, 7, attributes),
        })
    }
}

/// `SummaryDataPoint.ValueAtQuantile`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantileRef {
    /// Between 0 and 1.
    pub quantile: f64,
    /// The value there.
    pub value: f64,
}

impl<'a> Message<'a> for QuantileRef {
    const NAME: &'static str = "value_at_quantile";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const QUANTILE: u32 = fixed64(1);
        const VALUE: u32 = fixed64(2);
        const KNOWN: u64 = known(&[1, 2]);

        let mut reader = message;
        let (mut quantile, mut value) = (0.0, 0.0);
        while let Some(field) = reader.next_field()? {
            match field.key {
                QUANTILE => quantile = reader.double("quantile")?,
                VALUE => value = reader.double("value")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self { quantile, value })
    }
}

/// `Exemplar`: one observation behind a point, with the span it was made in.
#[derive(Debug, Clone, Copy)]
pub struct ExemplarRef<'a> {
    /// When it was observed, in Unix nanoseconds.
    pub time_unix_nano: u64,
    /// What was observed.
    pub value: Option<NumberValue>,
    /// 8 bytes, or empty outside a span.
    pub span_id: &'a [u8],
    /// 16 bytes, or empty outside a trace.
    pub trace_id: &'a [u8],
    filtered_attributes: Attributes<'a>,
}

impl<'a> ExemplarRef<'a> {
    /// The attributes that are not part of the point's.
    pub fn filtered_attributes(&self) -> Attributes<'a> {
        self.filtered_attributes
    }
}

impl<'a> Message<'a> for ExemplarRef<'a> {
    const NAME: &'static str = "exemplar";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const TIME: u32 = fixed64(2);
        const AS_DOUBLE: u32 = fixed64(3);
        const SPAN_ID: u32 = delimited(4);
        const TRACE_ID: u32 = delimited(5);
        const AS_INT: u32 = fixed64(6);
        const FILTERED_ATTRIBUTES: u32 = delimited(7);
        const KNOWN: u64 = known(&[2, 3, 4, 5, 6, 7]);

        let mut reader = message;
        let (mut time_unix_nano, mut value) = (0, None);
        let (mut span_id, mut trace_id) = (&[][..], &[][..]);
        let mut filtered_attributes = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                TIME => time_unix_nano = reader.fixed64("time_unix_nano")?,
                AS_DOUBLE => value = Some(NumberValue::Double(reader.double("as_double")?)),
                AS_INT => value = Some(NumberValue::Int(reader.fixed64("as_int")? as i64)),
                SPAN_ID => span_id = reader.bytes("span_id")?,
                TRACE_ID => trace_id = reader.bytes("trace_id")?,
                FILTERED_ATTRIBUTES => {
                    filtered_attributes.pass(field, &mut reader, "filtered_attributes")?;
                }
                _ => reader.skip(field, KNOWN)?,
            }
        }
        let filtered_attributes = Messages::new(message, 7, filtered_attributes);
        Ok(Self { time_unix_nano, value, span_id, trace_id, filtered_attributes })
    }
}
