//! Lists of buckets: empty ones out, coarser ones, sums of two.

use model::NativeHistogram;

use super::bounds::exponential_bound;

/// Removes empty buckets.
pub(crate) fn compact(histogram: &mut NativeHistogram) {
    for buckets in [&mut histogram.positive, &mut histogram.negative] {
        if buckets.iter().any(|(_, count)| *count == 0.0) {
            buckets.retain(|(_, count)| *count != 0.0);
        }
    }
}

/// The index of the bucket that bucket `index` is part of where the schema is less by `by`.
pub(super) fn coarser_index(index: i32, by: u32) -> i32 {
    if by == 0 { index } else { (index.saturating_sub(1) >> by.min(31)) + 1 }
}

/// Buckets where the schema is less by `by`.
pub(super) fn coarser(buckets: &[(i32, f64)], by: u32) -> Vec<(i32, f64)> {
    let mut merged: Vec<(i32, f64)> = Vec::with_capacity(buckets.len());
    for (index, count) in buckets {
        let index = coarser_index(*index, by);
        match merged.last_mut() {
            Some((last, total)) if *last == index => *total += count,
            _ => merged.push((index, *count)),
        }
    }
    merged
}

/// How many schemas lie between two.
pub(super) fn steps_between(fine: i32, coarse: i32) -> u32 {
    u32::try_from(fine.saturating_sub(coarse)).unwrap_or(0)
}

/// A copy at `schema`, which is that of the histogram or a coarser one.
pub(crate) fn to_schema(histogram: &NativeHistogram, schema: i32) -> NativeHistogram {
    if schema >= histogram.schema {
        return histogram.clone();
    }
    let by = steps_between(histogram.schema, schema);
    NativeHistogram {
        schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: histogram.zero_count,
        count: histogram.count,
        sum: histogram.sum,
        positive: coarser(&histogram.positive, by),
        negative: coarser(&histogram.negative, by),
        ..NativeHistogram::default()
    }
}

/// Leaves out the buckets at the start that end within the zero bucket.
pub(super) fn above<T>(buckets: &[(i32, T)], schema: i32, threshold: f64) -> &[(i32, T)] {
    if threshold == 0.0 {
        return buckets;
    }
    let within = |(index, _): &&(i32, T)| exponential_bound(*index, schema) <= threshold;
    &buckets[buckets.iter().take_while(within).count()..]
}

/// Joins the second list into the first: `join` where both have a bucket, `make` where only the
/// second one has it.
pub(super) fn merge<T, U: Copy>(
    mine: &mut Vec<(i32, T)>,
    theirs: &[(i32, U)],
    mut join: impl FnMut(&mut T, U),
    mut make: impl FnMut(U) -> T,
) {
    let mut missing = 0;
    let mut at = 0;
    for (index, count) in theirs {
        while mine.get(at).is_some_and(|(mine, _)| mine < index) {
            at += 1;
        }
        match mine.get_mut(at) {
            Some((mine, total)) if mine == index => join(total, *count),
            _ => missing += 1,
        }
    }
    if missing == 0 {
        return;
    }
    let mut old = std::mem::take(mine).into_iter().peekable();
    mine.reserve(old.len() + missing);
    for (index, count) in theirs {
        while let Some(bucket) = old.next_if(|(mine, _)| mine < index) {
            mine.push(bucket);
        }
        match old.next_if(|(mine, _)| mine == index) {
            Some(bucket) => mine.push(bucket),
            None => mine.push((*index, make(*count))),
        }
    }
    mine.extend(old);
}
