//! A histogram as text, as `count_values` writes it into a label.

use model::NativeHistogram;

use super::bounds::{self, Bucket};
use super::is_custom;
use crate::text::format_shortest;

/// As in `{count:4, sum:5, (0.5,1]:1, (1,2]:3}`: buckets that are not empty, from the lowest.
pub(crate) fn describe(histogram: &NativeHistogram) -> String {
    let (count, sum) = (format_shortest(histogram.count), format_shortest(histogram.sum));
    let mut text = format!("{{count:{count}, sum:{sum}");
    let zero =
        (histogram.zero_count != 0.0 && !is_custom(histogram)).then(|| bounds::zero(histogram));
    let buckets = bounds::negative(histogram).rev().chain(zero).chain(bounds::positive(histogram));
    for bucket in buckets.filter(|bucket| bucket.count != 0.0) {
        let Bucket { has_lower, has_upper, .. } = bucket;
        let [lower, upper, count] = [bucket.lower, bucket.upper, bucket.count].map(format_shortest);
        let (open, close) = (if has_lower { '[' } else { '(' }, if has_upper { ']' } else { ')' });
        text.push_str(&format!(", {open}{lower},{upper}{close}:{count}"));
    }
    text.push('}');
    text
}
