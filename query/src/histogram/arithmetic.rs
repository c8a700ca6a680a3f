//! Addition and subtraction of two histograms, multiplication and division by a number.

use std::borrow::Cow;

use model::{NativeHistogram, ResetHint};

use super::buckets::{above, coarser, merge, steps_between};
use super::zero::{self, Count, Sides};
use super::{custom, is_custom};

/// Standard schemas and custom bounds do not mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MixedSchemas;

/// What is to be said about two histograms that were combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Combined {
    /// One came with a counter reset, the other one without.
    pub(crate) resets_collide: bool,
    /// Their custom bounds differ; the result has the common ones.
    pub(crate) bounds_reconciled: bool,
}

/// Adds `other`. The result may have empty buckets.
pub(crate) fn add(
    histogram: &mut NativeHistogram,
    other: &NativeHistogram,
) -> Result<Combined, MixedSchemas> {
    combine(histogram, other, 1.0)
}

/// Subtracts `other`, and leaves it to the caller to call the result a gauge.
pub(crate) fn subtract(
    histogram: &mut NativeHistogram,
    other: &NativeHistogram,
) -> Result<Combined, MixedSchemas> {
    combine(histogram, other, -1.0)
}

fn combine(
    histogram: &mut NativeHistogram,
    other: &NativeHistogram,
    sign: f64,
) -> Result<Combined, MixedSchemas> {
    if is_custom(histogram) != is_custom(other) {
        return Err(MixedSchemas);
    }
    let resets_collide = combine_hints(&mut histogram.reset_hint, other.reset_hint);
    let mut bounds_reconciled = false;
    let join = |mine: &mut f64, theirs: f64| *mine += sign * theirs;
    let make = |theirs: f64| sign * theirs;
    if is_custom(histogram) {
        if histogram.custom_bounds == other.custom_bounds {
            merge(&mut histogram.positive, &other.positive, join, make);
        } else {
            bounds_reconciled = true;
            let bounds = custom::common(&histogram.custom_bounds, &other.custom_bounds);
            let mut parts = custom::Target::new(&bounds);
            parts.add(&histogram.custom_bounds, &histogram.positive, 1.0);
            parts.add(&other.custom_bounds, &other.positive, sign);
            histogram.positive = parts.filled().map(|(index, part)| (index, part.value)).collect();
            histogram.custom_bounds = bounds;
        }
    } else {
        let zero = reconcile_zero(histogram, other);
        histogram.zero_count += sign * zero;
        let schema = histogram.schema.min(other.schema);
        let (by, other_by) =
            (steps_between(histogram.schema, schema), steps_between(other.schema, schema));
        if by > 0 {
            histogram.positive = coarser(&histogram.positive, by);
            histogram.negative = coarser(&histogram.negative, by);
            histogram.schema = schema;
        }
        let threshold = histogram.zero_threshold;
        for (mine, theirs) in
            [(&mut histogram.positive, &other.positive), (&mut histogram.negative, &other.negative)]
        {
            let theirs: Cow<'_, [(i32, f64)]> =
                if other_by > 0 { coarser(theirs, other_by).into() } else { theirs.into() };
            merge(mine, above(&theirs, schema, threshold), join, make);
        }
    }
    histogram.count += sign * other.count;
    histogram.sum += sign * other.sum;
    Ok(Combined { resets_collide, bounds_reconciled })
}

/// Gives both histograms one zero threshold, and answers the zero count of `other` at it.
fn reconcile_zero(histogram: &mut NativeHistogram, other: &NativeHistogram) -> f64 {
    if histogram.zero_threshold == other.zero_threshold {
        return other.zero_count;
    }
    let sides = Sides {
        schema: histogram.schema,
        threshold: histogram.zero_threshold,
        zero: histogram.zero_count.part(),
        positive: &histogram.positive,
        negative: &histogram.negative,
    };
    let (changed, theirs) = zero::reconcile(sides, other);
    if let Some((zero, threshold)) = changed {
        histogram.zero_count = zero.value;
        histogram.zero_threshold = threshold;
        zero::remove_within(&mut histogram.positive, histogram.schema, threshold);
        zero::remove_within(&mut histogram.negative, histogram.schema, threshold);
    }
    theirs.value
}

/// What is known of resets after two histograms were combined; `true` if they contradict each
/// other.
pub(super) fn combine_hints(mine: &mut ResetHint, other: ResetHint) -> bool {
    use ResetHint::{Gauge, Unknown};
    match (*mine, other) {
        (mine, other) if mine == other => false,
        (Gauge, _) => false,
        (_, Gauge) => {
            *mine = Gauge;
            false
        }
        (Unknown, _) => false,
        (_, Unknown) => {
            *mine = Unknown;
            false
        }
        _ => {
            *mine = Unknown;
            true
        }
    }
}

/// Multiplies all counts and the sum.
pub(crate) fn multiply(histogram: &mut NativeHistogram, factor: f64) {
    for_each_number(histogram, |number| *number *= factor);
    if factor < 0.0 {
        histogram.reset_hint = ResetHint::Gauge;
    }
}

/// Divides all counts and the sum. Division by zero leaves no buckets.
pub(crate) fn divide(histogram: &mut NativeHistogram, divisor: f64) {
    if divisor == 0.0 {
        histogram.positive.clear();
        histogram.negative.clear();
    }
    for_each_number(histogram, |number| *number /= divisor);
    if divisor < 0.0 {
        histogram.reset_hint = ResetHint::Gauge;
    }
}

fn for_each_number(histogram: &mut NativeHistogram, mut change: impl FnMut(&mut f64)) {
    change(&mut histogram.zero_count);
    change(&mut histogram.count);
    change(&mut histogram.sum);
    for (_, count) in histogram.positive.iter_mut().chain(&mut histogram.negative) {
        change(count);
    }
}
