//! Counter resets: whether a histogram can not be what the one before it grew into.

use model::sample::is_stale;
use model::{NativeHistogram, ResetHint};

use super::bounds::exponential_bound;
use super::buckets::{coarser, steps_between};
use super::zero::{Count, Sides, reconcile};
use super::{is_custom, is_gauge};

/// Whether the counter was reset between `previous` and `current`: the hint of `current` says so,
/// or (if it says nothing) a count or the resolution went down.
pub(crate) fn is_reset(current: &NativeHistogram, previous: &NativeHistogram) -> bool {
    match current.reset_hint {
        ResetHint::Reset => true,
        ResetHint::NotReset => false,
        // Functions for counters treat gauges as counters, with a warning.
        ResetHint::Unknown | ResetHint::Gauge => has_shrunk(current, previous),
    }
}

fn has_shrunk(current: &NativeHistogram, previous: &NativeHistogram) -> bool {
    if current.count < previous.count {
        return true;
    }
    if is_custom(current) {
        return !is_custom(previous) || has_custom_shrunk(current, previous);
    }
    if current.schema > previous.schema || current.zero_threshold < previous.zero_threshold {
        return true;
    }
    let threshold = current.zero_threshold;
    let mut zero_count = previous.zero_count;
    if previous.zero_threshold < threshold {
        let sides = Sides::<f64> {
            schema: current.schema,
            threshold,
            zero: 0.0.part(),
            positive: &[],
            negative: &[],
        };
        let (moved, zero) = reconcile(sides, previous);
        if moved.is_some() {
            // The threshold lies within a bucket of the earlier one.
            return true;
        }
        zero_count = zero.value;
    }
    if current.zero_count < zero_count {
        return true;
    }
    let by = steps_between(previous.schema, current.schema);
    let side_has_shrunk = |current_side: &[(i32, f64)], previous_side: &[(i32, f64)]| {
        if by == 0 {
            buckets_have_shrunk(current_side, previous_side, current.schema, threshold)
        } else {
            let merged = coarser(previous_side, by);
            buckets_have_shrunk(current_side, &merged, current.schema, threshold)
        }
    };
    side_has_shrunk(&current.positive, &previous.positive)
        || side_has_shrunk(&current.negative, &previous.negative)
}

/// Whether a bucket beyond the zero bucket holds less than before, or is missing.
fn buckets_have_shrunk(
    current: &[(i32, f64)],
    previous: &[(i32, f64)],
    schema: i32,
    threshold: f64,
) -> bool {
    let mut at = 0;
    let mut within = threshold != 0.0;
    for (index, count) in previous {
        within = within && exponential_bound(*index, schema) <= threshold;
        if within {
            continue;
        }
        while current.get(at).is_some_and(|(other, _)| other < index) {
            at += 1;
        }
        let now = current.get(at).filter(|(other, _)| other == index);
        let has_shrunk = match now {
            Some((_, now)) => now < count,
            None => *count != 0.0,
        };
        if has_shrunk {
            return true;
        }
    }
    false
}

/// Whether there is less between two bounds that both have.
fn has_custom_shrunk(current: &NativeHistogram, previous: &NativeHistogram) -> bool {
    let bounds = super::custom::common(&current.custom_bounds, &previous.custom_bounds);
    let (mut now, mut before) = (0, 0);
    for bound in bounds.iter().copied().chain([f64::INFINITY]) {
        let now = sum_up_to(current, bound, &mut now);
        if now < sum_up_to(previous, bound, &mut before) {
            return true;
        }
    }
    false
}

/// The buckets from `next` on that end at `bound` or before.
fn sum_up_to(histogram: &NativeHistogram, bound: f64, next: &mut usize) -> f64 {
    let mut sum = 0.0;
    while let Some((index, count)) = histogram.positive.get(*next) {
        if super::bounds::bound(histogram, *index) > bound {
            break;
        }
        sum += count;
        *next += 1;
    }
    sum
}

/// Whether Prometheus's storage puts two consecutive samples into one chunk, and so knows that
/// there was no reset between them.
pub(crate) fn continues(current: &NativeHistogram, previous: &NativeHistogram) -> bool {
    let is_counter = |histogram: &NativeHistogram| !is_gauge(histogram) && !is_stale(histogram.sum);
    is_counter(current)
        && is_counter(previous)
        && current.reset_hint != ResetHint::Reset
        && current.schema == previous.schema
        && current.zero_threshold == previous.zero_threshold
        && current.custom_bounds == previous.custom_bounds
        && !has_shrunk(current, previous)
}
