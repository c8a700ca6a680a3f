//! `load_with_nhcb`: the families of classic histograms once more, as native ones of custom bounds.

use std::collections::BTreeMap;

use model::labels::METRIC_NAME;
use model::{Labels, NativeHistogram};

use super::notation::Item;

/// What the series of a family say about one position.
#[derive(Default)]
struct Family {
    /// Bounds and cumulative counts.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native histograms of loaded series: labels, position, value.
pub(super) fn convert(
    loaded: &[(Labels, Vec<Item>)],
) -> Result<Vec<(Labels, i64, NativeHistogram)>, String> {
    let mut families: BTreeMap<(Labels, i64), Family> = BTreeMap::new();
    for (labels, items) in loaded {
        let name = labels.metric_name();
        let suffixes = ["_bucket", "_count", "_sum"];
        let Some((base, suffix)) =
            suffixes.iter().find_map(|suffix| Some((name.strip_suffix(suffix)?, *suffix)))
        else {
            continue;
        };
        let Ok(bound) = (if suffix == "_bucket" { labels.get_or_empty("le") } else { "0" }).parse()
        else {
            continue;
        };
        let base = labels.with(METRIC_NAME, base).without(&["le"]);
        for (i, item) in (0..).zip(items) {
            let Item::Float(value) = item else { continue };
            let family = families.entry((base.clone(), i)).or_default();
            match suffix {
                "_bucket" => family.buckets.push((bound, *value)),
                "_count" => family.count = Some(*value),
                _ => family.sum = *value,
            }
        }
    }
    let converted = families.into_iter().map(|((labels, i), family)| {
        let histogram = family.convert().map_err(|problem| format!("{labels}: {problem}"))?;
        Ok((labels, i, histogram))
    });
    converted.collect()
}

impl Family {
    fn convert(mut self) -> Result<NativeHistogram, String> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.buckets.dedup_by(|later, earlier| later.0 == earlier.0);
        let highest = self.buckets.last().copied();
        let count = self.count.or(highest.map(|(_, count)| count)).unwrap_or(0.0);
        if highest.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        } else if highest.is_some_and(|(_, highest)| highest != count) {
            return Err(format!("the count {count} is not that of the last bucket"));
        }
        let mut histogram = NativeHistogram {
            schema: crate::histogram::CUSTOM,
            count,
            sum: self.sum,
            ..NativeHistogram::default()
        };
        let mut below = 0.0;
        for (index, (bound, cumulative)) in (0..).zip(self.buckets) {
            if cumulative < below {
                return Err(format!("the bucket up to {bound} has less than the one before"));
            }
            if cumulative != below {
                histogram.positive.push((index, cumulative - below));
            }
            if bound != f64::INFINITY {
                histogram.custom_bounds.push(bound);
            }
            below = cumulative;
        }
        Ok(histogram)
    }
}
