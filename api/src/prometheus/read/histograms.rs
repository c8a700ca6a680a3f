//! Native histograms as messages and as chunks of float histograms
//! (`tsdb/chunkenc/{float_histogram,histogram_meta}.go`).

use model::sample::is_stale;
use model::{NativeHistogram, ResetHint, TimestampMs};
use proto::remote_read::Histogram;
use proto::remote_write::messages::{BucketSpan, Count, ZeroCount};

use super::bits::{Bits, XorValue};

/// The schema of custom bounds.
const CUSTOM: i32 = -53;

type Buckets = [(i32, f64)];

/// Runs of buckets: the gap before each (for the first its index), and its length.
pub(in crate::prometheus) fn spans(buckets: &Buckets) -> Vec<(i32, u32)> {
    let mut spans: Vec<(i32, u32)> = Vec::new();
    let mut next = 0_i32;
    for (index, _) in buckets {
        match spans.last_mut() {
            Some((_, length)) if *index == next => *length += 1,
            _ => spans.push((index.wrapping_sub(next), 1)),
        }
        next = index.wrapping_add(1);
    }
    spans
}

fn counts(buckets: &Buckets) -> impl Iterator<Item = f64> {
    buckets.iter().map(|(_, count)| *count)
}

/// A histogram of floats as a message.
pub(super) fn to_message(at: TimestampMs, histogram: &NativeHistogram) -> Histogram {
    let to_spans = |buckets: &Buckets| {
        let span = |(offset, length)| BucketSpan { offset, length };
        spans(buckets).into_iter().map(span).collect()
    };
    Histogram {
        count: Some(Count::CountFloat(histogram.count)),
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: Some(ZeroCount::ZeroCountFloat(histogram.zero_count)),
        negative_spans: to_spans(&histogram.negative),
        negative_counts: counts(&histogram.negative).collect(),
        positive_spans: to_spans(&histogram.positive),
        positive_counts: counts(&histogram.positive).collect(),
        reset_hint: match histogram.reset_hint {
            ResetHint::Unknown => 0,
            ResetHint::Reset => 1,
            ResetHint::NotReset => 2,
            ResetHint::Gauge => 3,
        },
        timestamp: at.0,
        custom_values: histogram.custom_bounds.clone(),
        ..Default::default()
    }
}

/// Whether a histogram may stand in a chunk behind another: the same buckets, and either both are
/// gauges or nothing got less.
pub(super) fn continues(before: &NativeHistogram, next: &NativeHistogram) -> bool {
    let is_stale = |histogram: &NativeHistogram| is_stale(histogram.sum);
    let same_layout = before.schema == next.schema
        && before.zero_threshold.to_bits() == next.zero_threshold.to_bits()
        && before.custom_bounds == next.custom_bounds
        && same_indexes(&before.positive, &next.positive)
        && same_indexes(&before.negative, &next.negative);
    if is_stale(before) || is_stale(next) || !same_layout {
        return false;
    }
    let gauges = [before.reset_hint, next.reset_hint].map(|hint| hint == ResetHint::Gauge);
    match gauges {
        [true, true] => true,
        [false, false] => {
            next.reset_hint != ResetHint::Reset
                && before.count <= next.count
                && before.zero_count <= next.zero_count
                && grows(&before.positive, &next.positive)
                && grows(&before.negative, &next.negative)
        }
        _ => false,
    }
}

fn same_indexes(a: &Buckets, b: &Buckets) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0)
}

fn grows(a: &Buckets, b: &Buckets) -> bool {
    a.iter().zip(b).all(|(a, b)| a.1 <= b.1)
}

/// The bytes of a chunk of histograms that [`continues`] each other.
pub(super) fn encode(samples: &[(i64, &NativeHistogram)]) -> Vec<u8> {
    let count = u16::try_from(samples.len()).unwrap_or(u16::MAX);
    let Some((first_at, first)) = samples.first() else { return Vec::new() };
    let [high, low] = count.to_be_bytes();
    let header = match first.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::NotReset => 0b0100_0000,
        ResetHint::Reset => 0b1000_0000,
        ResetHint::Gauge => 0b1100_0000,
    };
    let mut bits = Bits::after(vec![high, low, header]);
    // A stale marker has no buckets, whatever it was sent with.
    let stale = NativeHistogram { sum: first.sum, ..Default::default() };
    let first = if is_stale(first.sum) { &stale } else { *first };
    put_layout(&mut bits, first);
    bits.put_varbit(*first_at);
    let parts = |histogram: &NativeHistogram| -> Vec<f64> {
        let totals = [histogram.count, histogram.zero_count, histogram.sum];
        let buckets = counts(&histogram.positive).chain(counts(&histogram.negative));
        totals.into_iter().chain(buckets).collect()
    };
    let mut values: Vec<XorValue> = Vec::new();
    for part in parts(first) {
        bits.put_float(part);
        values.push(XorValue::first(part));
    }
    let (mut before, mut delta) = (*first_at, 0_i64);
    for (at, histogram) in samples.iter().skip(1) {
        let new_delta = at.wrapping_sub(before);
        bits.put_varbit(new_delta.wrapping_sub(delta));
        for (value, part) in values.iter_mut().zip(parts(histogram)) {
            value.put(&mut bits, part);
        }
        (before, delta) = (*at, new_delta);
    }
    bits.finish()
}

fn put_layout(bits: &mut Bits, histogram: &NativeHistogram) {
    put_zero_threshold(bits, histogram.zero_threshold);
    bits.put_varbit(i64::from(histogram.schema));
    for buckets in [&histogram.positive, &histogram.negative] {
        let spans = spans(buckets);
        bits.put_unsigned_varbit(spans.len() as u64);
        for (offset, length) in spans {
            bits.put_unsigned_varbit(u64::from(length));
            bits.put_varbit(i64::from(offset));
        }
    }
    if histogram.schema == CUSTOM {
        bits.put_unsigned_varbit(histogram.custom_bounds.len() as u64);
        for bound in &histogram.custom_bounds {
            put_bound(bits, *bound);
        }
    }
}

/// Powers of two take a byte, others nine.
fn put_zero_threshold(bits: &mut Bits, threshold: f64) {
    let exponent = (threshold.to_bits() >> 52) as i64 - 1022;
    let is_power = threshold.to_bits() & ((1 << 52) - 1) == 0;
    if threshold == 0.0 {
        bits.put(0, 8);
    } else if threshold > 0.0 && is_power && (-242..=11).contains(&exponent) {
        bits.put((exponent + 243) as u64, 8);
    } else {
        bits.put(255, 8);
        bits.put_float(threshold);
    }
}

/// Thousandths up to 33554.43 as whole numbers, others in full.
fn put_bound(bits: &mut Bits, bound: f64) {
    let thousandths = bound * 1000.0;
    let is_whole =
        (0.0..=33_554_430.0).contains(&thousandths) && (bound * 1000.0).round() / 1000.0 == bound;
    if is_whole {
        bits.put_unsigned_varbit(thousandths.round() as u64 + 1);
    } else {
        bits.put(0, 1);
        bits.put_float(bound);
    }
}
