//! Where buckets begin and end.

use model::NativeHistogram;

use super::is_custom;

/// A bucket with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bucket {
    pub(super) lower: f64,
    pub(super) upper: f64,
    pub(super) count: f64,
    /// Whether the lower bound is part of it.
    pub(super) has_lower: bool,
    /// Whether the upper bound is part of it.
    pub(super) has_upper: bool,
}

impl Bucket {
    /// The share of the bucket's width up to `value`, which lies between its finite bounds: by
    /// straight interpolation, or on a logarithmic scale, where exponential buckets are equally
    /// wide.
    pub(super) fn share_below(&self, value: f64, is_linear: bool) -> f64 {
        if is_linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper) = (self.lower.abs().log2(), self.upper.abs().log2());
        let at = value.abs().log2();
        if value > 0.0 {
            (at - lower) / (upper - lower)
        } else {
            1.0 - (at - upper) / (lower - upper)
        }
    }
}

/// The upper bound of positive bucket `index` (`model/histogram/generic.go`, `getBound`).
pub(super) fn bound(histogram: &NativeHistogram, index: i32) -> f64 {
    if !is_custom(histogram) {
        return exponential_bound(index, histogram.schema);
    }
    match usize::try_from(index) {
        Ok(index) => histogram.custom_bounds.get(index).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    }
}

/// As [`bound`] for standard schemas.
pub(super) fn exponential_bound(index: i32, schema: i32) -> f64 {
    // 2 to the power of index / 2^schema. The division by a power of two is exact.
    let exponent = f64::from(index) * 2f64.powi(-schema.clamp(-4, 8));
    // The last bucket ends at the largest number; the next one is for infinity.
    if exponent == 1024.0 { f64::MAX } else { exponent.exp2() }
}

/// Positive buckets, from zero upwards.
pub(super) fn positive(
    histogram: &NativeHistogram,
) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
    let is_custom = is_custom(histogram);
    histogram.positive.iter().map(move |(index, count)| {
        let lower = bound(histogram, index.saturating_sub(1));
        let upper = bound(histogram, *index);
        let has_lower = if is_custom { *index == 0 } else { lower < 0.0 };
        Bucket { lower, upper, count: *count, has_lower, has_upper: is_custom || upper > 0.0 }
    })
}

/// Negative buckets, from zero downwards.
pub(super) fn negative(
    histogram: &NativeHistogram,
) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
    histogram.negative.iter().map(move |(index, count)| {
        let lower = -bound(histogram, *index);
        let upper = -bound(histogram, index.saturating_sub(1));
        Bucket { lower, upper, count: *count, has_lower: lower < 0.0, has_upper: upper > 0.0 }
    })
}

/// The zero bucket.
pub(super) fn zero(histogram: &NativeHistogram) -> Bucket {
    let NativeHistogram { zero_threshold, zero_count, .. } = *histogram;
    Bucket {
        lower: -zero_threshold,
        upper: zero_threshold,
        count: zero_count,
        has_lower: true,
        has_upper: true,
    }
}

/// All buckets from the lowest to the highest. Those that overlap with the zero bucket end where it
/// begins.
pub(super) fn all(histogram: &NativeHistogram) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
    let threshold = histogram.zero_threshold;
    let clip = move |mut bucket: Bucket| {
        if bucket.upper < 0.0 && bucket.upper > -threshold {
            bucket.upper = -threshold;
        } else if bucket.lower > 0.0 && bucket.lower < threshold {
            bucket.lower = threshold;
        }
        bucket
    };
    let zero = (histogram.zero_count > 0.0).then(|| zero(histogram));
    negative(histogram).rev().map(clip).chain(zero).chain(positive(histogram).map(clip))
}
