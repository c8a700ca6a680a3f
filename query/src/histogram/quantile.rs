//! Estimates from the buckets of a native histogram: quantiles, fractions, the variance.
//!
//! Inside exponential buckets the interpolation is on a logarithmic scale; inside the zero bucket
//! and between custom bounds it is straight.

use model::NativeHistogram;

use super::bounds::{self, Bucket};
use super::is_custom;
use crate::vector::kahan_add;

/// What observations of NaN did to an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NanRemark {
    /// The quantile falls among them.
    Result,
    /// They count as higher than everything.
    Skew,
}

/// The value below which a share `q` of the observations lies.
pub(crate) fn quantile(q: f64, histogram: &NativeHistogram) -> (f64, Option<NanRemark>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    // Observations of NaN are in no bucket: then only the way from below is right.
    let has_nan_sum = histogram.sum.is_nan();
    if has_nan_sum || q < 0.5 {
        from_below(q * histogram.count, histogram)
    } else {
        (from_above((1.0 - q) * histogram.count, histogram), None)
    }
}

/// The bucket in which the `rank`-th observation of `buckets` lies, and how many there are up to
/// its end. The last bucket if there are not as many.
fn find(rank: f64, buckets: &mut impl Iterator<Item = Bucket>) -> (Option<Bucket>, f64) {
    let (mut found, mut count) = (None, 0.0);
    for bucket in buckets {
        found = Some(bucket);
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    (found, count)
}

fn from_below(rank: f64, histogram: &NativeHistogram) -> (f64, Option<NanRemark>) {
    let mut buckets = bounds::all(histogram);
    let (bucket, count) = find(rank, &mut buckets);
    let bucket = match known_bounds(bucket.unwrap_or(EMPTY), histogram) {
        Ok(bucket) => bucket,
        Err(value) => return (value, None),
    };
    let count = count.min(histogram.count);
    let has_nan_sum = histogram.sum.is_nan();
    if count < rank {
        return if has_nan_sum {
            (f64::NAN, Some(NanRemark::Result))
        } else {
            (bucket.upper, None)
        };
    }
    let rank = rank - (count - bucket.count);
    if !has_nan_sum {
        return (interpolate(&bucket, rank / bucket.count, histogram), None);
    }
    // Prometheus 3.14 counts the other buckets here, and goes on with the last one of them.
    let (mut total, mut last) = (count, bucket);
    for bucket in buckets {
        total += bucket.count;
        last = bucket;
    }
    let remark = (total < histogram.count).then_some(NanRemark::Skew);
    (interpolate(&last, rank / last.count, histogram), remark)
}

fn from_above(rank: f64, histogram: &NativeHistogram) -> f64 {
    let (bucket, count) = find(rank, &mut bounds::all(histogram).rev());
    let bucket = match known_bounds(bucket.unwrap_or(EMPTY), histogram) {
        Ok(bucket) => bucket,
        Err(value) => return value,
    };
    let count = count.min(histogram.count);
    if count < rank {
        return bucket.upper;
    }
    interpolate(&bucket, (count - rank) / bucket.count, histogram)
}

const EMPTY: Bucket =
    Bucket { lower: 0.0, upper: 0.0, count: 0.0, has_lower: false, has_upper: false };

/// Narrows the zero bucket where all observations are on one side of zero, and the lowest of custom
/// buckets where it reaches beyond zero. The error is the answer for a bucket without an end.
fn known_bounds(mut bucket: Bucket, histogram: &NativeHistogram) -> Result<Bucket, f64> {
    if is_custom(histogram) {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return Err(bucket.upper);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return Err(bucket.lower);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        narrow_zero(&mut bucket, histogram);
    }
    Ok(bucket)
}

fn narrow_zero(bucket: &mut Bucket, histogram: &NativeHistogram) {
    match (histogram.negative.is_empty(), histogram.positive.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
}

fn interpolate(bucket: &Bucket, share: f64, histogram: &NativeHistogram) -> f64 {
    let Bucket { lower, upper, .. } = *bucket;
    if is_custom(histogram) || (lower <= 0.0 && upper >= 0.0) {
        return lower + (upper - lower) * share;
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        (log_lower + (log_upper - log_lower) * share).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - share)).exp2()
    }
}

/// The share of observations between two values; `true` if some are NaN, which are between no
/// values.
pub(crate) fn fraction(lower: f64, upper: f64, histogram: &NativeHistogram) -> (f64, bool) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let mut buckets = bounds::all(histogram);
    let (mut count, mut rank) = (0.0, 0.0);
    let (mut lower_rank, mut upper_rank) = (None, None);
    for mut bucket in buckets.by_ref() {
        count += bucket.count;
        let is_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if is_zero {
            narrow_zero(&mut bucket, histogram);
        }
        for (value, found) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if found.is_some() {
                continue;
            }
            if bucket.lower >= value {
                *found = Some(rank);
            } else if bucket.upper > value {
                let is_linear = is_zero || is_custom(histogram);
                // A bucket without a lower bound can not be interpolated: all of it counts.
                *found = Some(if is_linear && bucket.lower == f64::NEG_INFINITY {
                    bucket.count
                } else {
                    rank + bucket.count * bucket.share_below(value, is_linear)
                });
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += bucket.count;
    }
    let mut has_nan = false;
    if histogram.sum.is_nan() {
        count += buckets.map(|bucket| bucket.count).sum::<f64>();
        has_nan = count < histogram.count;
    } else {
        count = histogram.count;
    }
    let at_most =
        |rank: Option<f64>| rank.map_or(count, |rank| if rank > count { count } else { rank });
    ((at_most(upper_rank) - at_most(lower_rank)) / histogram.count, has_nan)
}

/// The variance, as if all observations of a bucket were in its middle.
pub(crate) fn variance(histogram: &NativeHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let (mut sum, mut lost) = (0.0, 0.0);
    for bucket in bounds::all(histogram).filter(|bucket| bucket.count != 0.0) {
        let Bucket { lower, upper, count, .. } = bucket;
        let middle = if is_custom(histogram) {
            (upper + lower) / 2.0
        } else if lower <= 0.0 && upper >= 0.0 {
            0.0
        } else {
            let middle = (upper * lower).sqrt();
            if upper < 0.0 { -middle } else { middle }
        };
        let delta = middle - mean;
        (sum, lost) = kahan_add(count * delta * delta, sum, lost);
    }
    (sum + lost) / histogram.count
}
