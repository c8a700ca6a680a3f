//! Native histograms of one series in memory, each as its difference from the one before it.

use std::sync::Arc;

use disk::codec::{CodecError, Reader, put_f64, put_i64, put_u64};
use model::TimestampMs;
use model::sample::{NativeHistogram, ResetHint};

use crate::columns::HistogramSample;

/// Histograms of one series, strictly increasing in time.
#[derive(Debug, Clone, Default)]
pub(crate) struct HistogramChunk {
    bytes: Vec<u8>,
    count: u32,
    last: Option<Arc<NativeHistogram>>,
    last_at: i64,
    last_start: i64,
}

/// A histogram with buckets of its own.
const WHOLE: u8 = 0;
/// The buckets of the one before; whole counts as differences.
const SAME_BUCKETS: u8 = 1;

impl HistogramChunk {
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The time of the newest, `i64::MIN` if there is none.
    pub(crate) fn last_at(&self) -> i64 {
        if self.count == 0 { i64::MIN } else { self.last_at }
    }

    pub(crate) fn last(&self) -> Option<&Arc<NativeHistogram>> {
        self.last.as_ref()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The stream, for a checkpoint.
    pub(crate) fn stream(&self) -> (&[u8], u32) {
        (&self.bytes, self.count)
    }

    /// A chunk of a stream that a checkpoint holds.
    pub(crate) fn from_stream(bytes: &[u8], count: u32) -> Result<Self, CodecError> {
        let mut chunk = HistogramChunk::default();
        for sample in decode(bytes, count)? {
            chunk.push(&sample);
        }
        Ok(chunk)
    }

    /// Adds a sample that is later than all.
    pub(crate) fn push(&mut self, sample: &HistogramSample) {
        put_i64(&mut self.bytes, sample.at.0.wrapping_sub(self.last_at));
        put_i64(&mut self.bytes, sample.start.0.wrapping_sub(self.last_start));
        let histogram = &*sample.histogram;
        match self.last.as_deref() {
            Some(last) if has_same_buckets(last, histogram) && is_whole(histogram) => {
                self.bytes.push(SAME_BUCKETS);
                put_differences(&mut self.bytes, last, histogram);
            }
            _ => {
                self.bytes.push(WHOLE);
                put_histogram(&mut self.bytes, histogram);
            }
        }
        (self.last_at, self.last_start) = (sample.at.0, sample.start.0);
        self.last = Some(sample.histogram.clone());
        self.count += 1;
    }

    /// All samples, oldest first.
    pub(crate) fn samples(&self) -> Vec<HistogramSample> {
        // The bytes are our own; a defect must not take the process down.
        decode(&self.bytes, self.count).unwrap_or_default()
    }
}

fn has_same_buckets(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    let indexes = |buckets: &[(i32, f64)], others: &[(i32, f64)]| {
        buckets.len() == others.len() && buckets.iter().zip(others).all(|(a, b)| a.0 == b.0)
    };
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.reset_hint == b.reset_hint
        && indexes(&a.positive, &b.positive)
        && indexes(&a.negative, &b.negative)
        && a.custom_bounds.len() == b.custom_bounds.len()
        && a.custom_bounds.iter().zip(&b.custom_bounds).all(|(a, b)| a.to_bits() == b.to_bits())
        && is_whole(a)
}

/// Whether all counts are whole numbers that fit an integer.
fn is_whole(histogram: &NativeHistogram) -> bool {
    counts(histogram).all(|count| {
        (0.0..9_007_199_254_740_992.0).contains(&count)
            && count.fract() == 0.0
            && !(count == 0.0 && count.is_sign_negative())
    })
}

fn counts(histogram: &NativeHistogram) -> impl Iterator<Item = f64> {
    let buckets = histogram.positive.iter().chain(&histogram.negative).map(|(_, count)| *count);
    [histogram.count, histogram.zero_count].into_iter().chain(buckets)
}

fn put_differences(bytes: &mut Vec<u8>, last: &NativeHistogram, histogram: &NativeHistogram) {
    // Nearby sums share their high bits: those end up in the low bytes of the varint.
    put_u64(bytes, (histogram.sum.to_bits() ^ last.sum.to_bits()).swap_bytes());
    for (count, before) in counts(histogram).zip(counts(last)) {
        put_i64(bytes, count as i64 - before as i64);
    }
}

fn differences(
    reader: &mut Reader<'_>,
    last: &NativeHistogram,
) -> Result<NativeHistogram, CodecError> {
    let mut histogram = last.clone();
    histogram.sum = f64::from_bits(reader.u64()?.swap_bytes() ^ last.sum.to_bits());
    let buckets = histogram.positive.iter_mut().chain(&mut histogram.negative);
    let buckets = buckets.map(|(_, count)| count);
    for count in [&mut histogram.count, &mut histogram.zero_count].into_iter().chain(buckets) {
        *count = (*count as i64).wrapping_add(reader.i64()?) as f64;
    }
    Ok(histogram)
}

fn decode(bytes: &[u8], count: u32) -> Result<Vec<HistogramSample>, CodecError> {
    let mut reader = Reader::new(bytes);
    let mut samples = Vec::with_capacity((count as usize).min(bytes.len() / 4 + 1));
    let (mut at, mut start) = (0i64, 0i64);
    let mut last: Option<Arc<NativeHistogram>> = None;
    for _ in 0..count {
        at = at.wrapping_add(reader.i64()?);
        start = start.wrapping_add(reader.i64()?);
        let decoded = match (reader.u8()?, last.as_deref()) {
            (SAME_BUCKETS, Some(last)) => differences(&mut reader, last)?,
            (WHOLE, _) => histogram(&mut reader)?,
            _ => return Err(CodecError { offset: 0, expected: "a kind of histogram" }),
        };
        let decoded = Arc::new(decoded);
        last = Some(decoded.clone());
        let (at, start) = (TimestampMs(at), TimestampMs(start));
        samples.push(HistogramSample { at, start, histogram: decoded });
    }
    Ok(samples)
}

/// A whole histogram, bit for bit.
pub(crate) fn put_histogram(buffer: &mut Vec<u8>, histogram: &NativeHistogram) {
    put_i64(buffer, i64::from(histogram.schema));
    buffer.push(histogram.reset_hint.to_byte());
    for value in [histogram.zero_threshold, histogram.zero_count, histogram.count, histogram.sum] {
        put_f64(buffer, value);
    }
    for buckets in [&histogram.positive, &histogram.negative] {
        put_u64(buffer, buckets.len() as u64);
        for (index, count) in buckets {
            put_i64(buffer, i64::from(*index));
            put_f64(buffer, *count);
        }
    }
    put_u64(buffer, histogram.custom_bounds.len() as u64);
    for bound in &histogram.custom_bounds {
        put_f64(buffer, *bound);
    }
}

/// What [`put_histogram`] wrote.
pub(crate) fn histogram(reader: &mut Reader<'_>) -> Result<NativeHistogram, CodecError> {
    let mut histogram = NativeHistogram {
        schema: reader.i64()? as i32,
        reset_hint: ResetHint::from_byte(reader.u8()?),
        zero_threshold: reader.f64()?,
        zero_count: reader.f64()?,
        count: reader.f64()?,
        sum: reader.f64()?,
        ..Default::default()
    };
    for buckets in [&mut histogram.positive, &mut histogram.negative] {
        for _ in 0..reader.count()? {
            buckets.push((reader.i64()? as i32, reader.f64()?));
        }
    }
    for _ in 0..reader.count()? {
        histogram.custom_bounds.push(reader.f64()?);
    }
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn a_histogram() -> impl Strategy<Value = NativeHistogram> {
        let count = prop_oneof![(0u32..50).prop_map(f64::from), any::<f64>()];
        let buckets = prop::collection::vec((0i32..3, count.clone()), 0..3);
        (0i32..2, count, any::<f64>(), buckets, 0u8..4).prop_map(
            |(schema, count, sum, positive, hint)| NativeHistogram {
                schema,
                count,
                sum,
                positive,
                reset_hint: ResetHint::from_byte(hint),
                ..Default::default()
            },
        )
    }

    proptest! {
        #[test]
        fn histograms_come_back_bit_for_bit(
            histograms in prop::collection::vec((a_histogram(), 1i64..1000, 0i64..5), 0..30),
        ) {
            let mut at = -50;
            let mut chunk = HistogramChunk::default();
            let mut expected = Vec::new();
            for (histogram, step, start) in histograms {
                at += step;
                let sample = HistogramSample {
                    at: TimestampMs(at),
                    start: TimestampMs(start),
                    histogram: Arc::new(histogram),
                };
                chunk.push(&sample);
                expected.push(sample);
            }
            let (bytes, count) = chunk.stream();
            let again = HistogramChunk::from_stream(bytes, count).unwrap();
            let bits = |samples: Vec<HistogramSample>| {
                let mut bytes = Vec::new();
                for sample in samples {
                    put_i64(&mut bytes, sample.at.0);
                    put_i64(&mut bytes, sample.start.0);
                    put_histogram(&mut bytes, &sample.histogram);
                }
                bytes
            };
            prop_assert_eq!(bits(again.samples()), bits(expected));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, count in 0u32..100) {
            decode(&bytes, count).ok();
        }
    }
}
