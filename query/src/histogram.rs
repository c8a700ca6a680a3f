//! Arithmetic on native histograms: sums, quantiles, counter resets, trimming.
//!
//! Results are those of Prometheus 3.14 (`model/histogram/float_histogram.go`,
//! `promql/quantile.go`), down to the order of additions. Two histograms of standard schemas are
//! brought to the coarser schema and to a common zero bucket first; two of custom bounds to the
//! bounds that both have; a mix of the two kinds can not be combined.
//!
//! Buckets are lists of `(index, count)`, sorted by index. An empty bucket may stand in a list:
//! [`compact`] removes those, and operators that make new histograms do so before they answer.

mod arithmetic;
mod bounds;
mod buckets;
pub(crate) mod classic;
mod custom;
mod quantile;
mod resets;
mod sum;
mod text;
mod trim;
mod zero;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use model::sample::is_stale;
use model::{NativeHistogram, ResetHint, TimestampMs};

pub(crate) use arithmetic::{Combined, MixedSchemas, add, divide, multiply, subtract};
pub(crate) use buckets::{compact, to_schema};
pub(crate) use quantile::{NanRemark, fraction, quantile, variance};
pub(crate) use resets::{continues, is_reset};
pub(crate) use sum::{Mean, Sum};
pub(crate) use text::describe;
pub(crate) use trim::{trim_lower, trim_upper};

/// The schema of custom bounds.
pub(crate) const CUSTOM: i32 = -53;

/// Whether the bounds are custom ones.
pub(crate) fn is_custom(histogram: &NativeHistogram) -> bool {
    histogram.schema == CUSTOM
}

/// Whether the value is a gauge.
pub(crate) fn is_gauge(histogram: &NativeHistogram) -> bool {
    histogram.reset_hint == ResetHint::Gauge
}

/// Whether all data is the same, bit for bit; the reset hint is no data. An empty bucket is not
/// the same as none.
pub(crate) fn is_same(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
    let same_buckets = |a: &[(i32, f64)], b: &[(i32, f64)]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
    };
    a.schema == b.schema
        && same(a.count, b.count)
        && same(a.sum, b.sum)
        && a.zero_threshold == b.zero_threshold
        && same(a.zero_count, b.zero_count)
        && (!is_custom(a) || a.custom_bounds == b.custom_bounds)
        && same_buckets(&a.negative, &b.negative)
        && same_buckets(&a.positive, &b.positive)
}

/// Keeps count and sum of consecutive samples of a series, without the buckets they came from. What
/// the buckets tell of counter resets becomes their hints (Prometheus
/// `promql/histogram_stats_iterator.go`).
pub(crate) fn keep_totals(histograms: &mut [(TimestampMs, Arc<NativeHistogram>)]) {
    let mut last: Option<Arc<NativeHistogram>> = None;
    for (_, histogram) in histograms {
        let mut totals = NativeHistogram {
            schema: histogram.schema,
            count: histogram.count,
            sum: histogram.sum,
            reset_hint: histogram.reset_hint,
            ..NativeHistogram::default()
        };
        if !is_stale(histogram.sum) {
            if let (ResetHint::Unknown, Some(last)) = (totals.reset_hint, &last) {
                totals.reset_hint =
                    if is_reset(histogram, last) { ResetHint::Reset } else { ResetHint::NotReset };
            }
            last = Some(histogram.clone());
        }
        *histogram = Arc::new(totals);
    }
}
