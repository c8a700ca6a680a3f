//! The operators `</` and `>/`: only the observations below, or above, a value.

use model::NativeHistogram;

use super::bounds::{self, Bucket};
use super::{compact, is_custom};

/// Which observations stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Below,
    Above,
}

/// The sign of the observations in a bucket, for the middle of exponential buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Positive,
    Negative,
}

/// Removes observations above `value`.
pub(crate) fn trim_upper(histogram: &mut NativeHistogram, value: f64) {
    trim(histogram, value, Keep::Below);
}

/// Removes observations below `value`.
pub(crate) fn trim_lower(histogram: &mut NativeHistogram, value: f64) {
    trim(histogram, value, Keep::Above);
}

/// What is known of the observations that stay.
#[derive(Default)]
struct Kept {
    count: f64,
    sum: f64,
    has_changed: bool,
}

impl Kept {
    /// Adds what stays of a bucket and answers its new count.
    fn add(&mut self, before: f64, (count, middle): (f64, f64)) -> f64 {
        self.count += count;
        self.sum += middle * count;
        self.has_changed |= count != before;
        count
    }
}

fn trim(histogram: &mut NativeHistogram, value: f64, keep: Keep) {
    let is_custom = is_custom(histogram);
    let mut kept = Kept::default();
    let positive: Vec<Bucket> = bounds::positive(histogram).collect();
    let negative: Vec<Bucket> = bounds::negative(histogram).collect();
    let sides = [
        (Sign::Positive, &positive, &mut histogram.positive),
        (Sign::Negative, &negative, &mut histogram.negative),
    ];
    for (sign, buckets, counts) in sides {
        for (bucket, (_, count)) in buckets.iter().zip(counts) {
            if *count != 0.0 {
                *count = kept.add(*count, what_stays(bucket, value, keep, sign, is_custom));
            }
        }
    }
    if histogram.zero_count > 0.0 {
        let has = |side: &[Bucket]| side.iter().any(|bucket| bucket.count != 0.0);
        let mut zero = bounds::zero(histogram);
        match (has(&negative), has(&positive)) {
            (true, false) => zero.upper = 0.0,
            (false, true) => zero.lower = 0.0,
            _ => {}
        }
        let stays = what_stays_of_zero(&zero, value, keep);
        histogram.zero_count = kept.add(histogram.zero_count, stays);
    }
    // Count and sum stay exact where nothing was cut.
    if kept.has_changed {
        (histogram.count, histogram.sum) = (kept.count, kept.sum);
        compact(histogram);
    }
}

/// How many observations of a bucket stay, and the middle of where they are.
fn what_stays(b: &Bucket, value: f64, keep: Keep, sign: Sign, is_custom: bool) -> (f64, f64) {
    let (is_inside, is_cut) = match keep {
        Keep::Below => (b.upper <= value, b.lower < value),
        Keep::Above => (b.lower >= value, b.upper > value),
    };
    if is_inside {
        return (b.count, middle(b.lower, b.upper, sign, is_custom));
    }
    if !is_cut {
        return (0.0, 0.0);
    }
    if b.lower == f64::NEG_INFINITY || b.upper == f64::INFINITY {
        return what_stays_of_endless(b, value, keep);
    }
    let below = b.count * b.share_below(value, is_custom);
    match keep {
        Keep::Below => (below, middle(b.lower, value, sign, is_custom)),
        Keep::Above => (b.count - below, middle(value, b.upper, sign, is_custom)),
    }
}

/// As [`what_stays`] of a bucket without an end, which can not be interpolated: it stays or goes as
/// a whole, but for the lowest of custom buckets, which is taken to begin at zero.
fn what_stays_of_endless(b: &Bucket, value: f64, keep: Keep) -> (f64, f64) {
    let finite = |bound: f64| if bound.is_infinite() { 0.0 } else { bound };
    if b.lower == f64::NEG_INFINITY {
        let is_known = b.upper.is_finite() && b.upper > 0.0;
        return match keep {
            Keep::Below if value > 0.0 && is_known => (b.count * value / b.upper, value / 2.0),
            Keep::Below if b.upper <= 0.0 => (b.count, value),
            Keep::Above if value >= 0.0 && is_known => {
                (b.count * (1.0 - value / b.upper), (value + b.upper) / 2.0)
            }
            _ => (0.0, finite(b.upper)),
        };
    }
    match keep {
        Keep::Above if value >= b.lower => (b.count, value),
        _ => (0.0, finite(b.lower)),
    }
}

fn what_stays_of_zero(zero: &Bucket, value: f64, keep: Keep) -> (f64, f64) {
    let Bucket { lower, upper, count, .. } = *zero;
    let whole = (count, (lower + upper) / 2.0);
    match keep {
        Keep::Below if value <= lower => (0.0, 0.0),
        Keep::Below if value >= upper => whole,
        Keep::Below => (count * ((value - lower) / (upper - lower)), (lower + value) / 2.0),
        Keep::Above if value <= lower => whole,
        Keep::Above if value >= upper => (0.0, 0.0),
        Keep::Above => (count * ((upper - value) / (upper - lower)), (value + upper) / 2.0),
    }
}

/// Where the observations between two values are taken to be.
fn middle(lower: f64, upper: f64, sign: Sign, is_linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if is_linear => (lower + upper) / 2.0,
        (false, false) => {
            let middle = (lower * upper).abs().sqrt();
            if sign == Sign::Positive { middle } else { -middle }
        }
    }
}
