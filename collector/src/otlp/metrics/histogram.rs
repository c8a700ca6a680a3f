//! Points with more than one value: histograms, exponential histograms, summaries.

use std::sync::Arc;

use model::sample::{NativeHistogram, SeriesId, stale_nan};
use model::write::HistogramPoint;
use proto::otlp::{BucketsRef, ExponentialPointRef, HistogramPointRef, SummaryPointRef};

use super::{Mapped, Mapper, Metric, NO_RECORDED_VALUE, to_exemplar};
use crate::otlp::series::{Ids, Key};

/// The finest schema of a native histogram; finer ones are merged down to it.
const SCHEMA_MAX: i32 = 8;
/// The coarsest schema of a native histogram; coarser ones are refused.
const SCHEMA_MIN: i32 = -4;
/// What Prometheus assumes where the sender names no zero threshold.
const ZERO_THRESHOLD: f64 = 1e-128;

/// `?` on the inner result of [`Mapped`].
macro_rules! kept {
    ($mapped:expr) => {
        match $mapped {
            Ok(kept) => kept,
            Err(refused) => return Ok(Err(refused)),
        }
    };
}

impl Mapper<'_> {
    /// A classic histogram: `_bucket{le}` for each bound and `+Inf`, `_count`, and `_sum` if the
    /// sender knows it.
    pub(super) fn histogram(
        &mut self,
        metric: &mut Metric<'_, '_>,
        point: &HistogramPointRef<'_>,
    ) -> Mapped<()> {
        let bounds = point.explicit_bounds();
        let counts = point.bucket_counts();
        if counts.len() != bounds.len() + 1 && !(counts.len() == 0 && bounds.len() == 0) {
            let example = format!(
                "a histogram has {} bucket counts for {} bounds; one more than bounds is right",
                counts.len(),
                bounds.len()
            );
            return Ok(Err(("bad_histogram", example)));
        }
        let (at, start) =
            kept!(self.times(metric.resource, point.time_unix_nano, point.start_time_unix_nano));
        let has_sum = point.sum.is_some();
        let mut extra = vec![u8::from(has_sum)];
        bounds.clone().for_each(|bound| extra.extend_from_slice(&bound.to_le_bytes()));
        let key = self.point_key(metric.key, &extra, |feed| point.for_each_attribute_raw(feed));
        let ids = match self.cache.get(key, self.generation) {
            Some(Ids::Many(ids)) => ids,
            _ => {
                let labels = kept!(self.labels(metric, point.attributes())?);
                let name = metric.name();
                let bucket = format!("{name}_bucket");
                let mut ids = Vec::with_capacity(bounds.len() + 3);
                for bound in bounds.clone() {
                    let le = format_bound(bound);
                    ids.push(kept!(self.series(&labels, &bucket, Some(("le", &le)))?));
                }
                ids.push(kept!(self.series(&labels, &bucket, Some(("le", "+Inf")))?));
                ids.push(kept!(self.series(&labels, &format!("{name}_count"), None)?));
                if has_sum {
                    ids.push(kept!(self.series(&labels, &format!("{name}_sum"), None)?));
                }
                self.describe(metric, &name);
                self.remember(key, ids)
            }
        };
        let is_stale = point.flags & NO_RECORDED_VALUE != 0;
        let value = |value: f64| if is_stale { stale_nan() } else { value };
        let mut cumulative = 0u64;
        for (id, count) in ids.iter().zip(counts.take(bounds.len())) {
            cumulative = cumulative.wrapping_add(count);
            self.push_float(*id, at, start, value(cumulative as f64));
        }
        let rest = &ids[bounds.len().min(ids.len())..];
        let totals = [Some(point.count as f64), Some(point.count as f64), point.sum];
        for (id, total) in rest.iter().zip(totals.into_iter().flatten()) {
            self.push_float(*id, at, start, value(total));
        }
        for exemplar in point.exemplars() {
            if let Some(exemplar) = to_exemplar(&exemplar?)? {
                let bucket = bounds.clone().take_while(|bound| *bound < exemplar.value).count();
                self.batch.exemplars.push((ids[bucket], exemplar));
            }
        }
        Ok(Ok(()))
    }

    /// An exponential histogram becomes a native one.
    pub(super) fn exponential(
        &mut self,
        metric: &mut Metric<'_, '_>,
        point: &ExponentialPointRef<'_>,
    ) -> Mapped<()> {
        if point.scale < SCHEMA_MIN {
            let example =
                format!("an exponential histogram has scale {}, the least is -4", point.scale);
            return Ok(Err(("bad_histogram", example)));
        }
        let (at, start) =
            kept!(self.times(metric.resource, point.time_unix_nano, point.start_time_unix_nano));
        let key = self.point_key(metric.key, &[], |feed| point.for_each_attribute_raw(feed));
        let series = match self.cache.get(key, self.generation) {
            Some(Ids::One(series)) => series,
            _ => {
                let labels = kept!(self.labels(metric, point.attributes())?);
                let name = metric.name();
                let series = kept!(self.series(&labels, &name, None)?);
                self.describe(metric, &name);
                self.cache.put(key, self.generation, Ids::One(series));
                series
            }
        };
        let is_stale = point.flags & NO_RECORDED_VALUE != 0;
        let shift = (point.scale - SCHEMA_MAX).max(0);
        let threshold =
            if point.zero_threshold > 0.0 { point.zero_threshold } else { ZERO_THRESHOLD };
        let histogram = NativeHistogram {
            schema: point.scale.min(SCHEMA_MAX),
            zero_threshold: threshold,
            zero_count: point.zero_count as f64,
            count: point.count as f64,
            sum: if is_stale { stale_nan() } else { point.sum.unwrap_or(0.0) },
            positive: buckets(&point.positive, shift),
            negative: buckets(&point.negative, shift),
            ..Default::default()
        };
        self.push_histogram(HistogramPoint { series, at, start, histogram });
        for exemplar in point.exemplars() {
            if let Some(exemplar) = to_exemplar(&exemplar?)? {
                self.batch.exemplars.push((series, exemplar));
            }
        }
        Ok(Ok(()))
    }

    /// A summary: one series for each `quantile`, `_sum`, `_count`.
    pub(super) fn summary(
        &mut self,
        metric: &mut Metric<'_, '_>,
        point: &SummaryPointRef<'_>,
    ) -> Mapped<()> {
        let (at, start) =
            kept!(self.times(metric.resource, point.time_unix_nano, point.start_time_unix_nano));
        let mut quantiles = Vec::new();
        for quantile in point.quantile_values() {
            let quantile = quantile?;
            quantiles.push((quantile.quantile, quantile.value));
        }
        let mut extra = Vec::with_capacity(quantiles.len() * 8);
        quantiles.iter().for_each(|(q, _)| extra.extend_from_slice(&q.to_le_bytes()));
        let key = self.point_key(metric.key, &extra, |feed| point.for_each_attribute_raw(feed));
        let ids = match self.cache.get(key, self.generation) {
            Some(Ids::Many(ids)) => ids,
            _ => {
                let labels = kept!(self.labels(metric, point.attributes())?);
                let name = metric.name();
                let mut ids = Vec::with_capacity(quantiles.len() + 2);
                for (quantile, _) in &quantiles {
                    let text = format_bound(*quantile);
                    ids.push(kept!(self.series(&labels, &name, Some(("quantile", &text)))?));
                }
                ids.push(kept!(self.series(&labels, &format!("{name}_sum"), None)?));
                ids.push(kept!(self.series(&labels, &format!("{name}_count"), None)?));
                self.describe(metric, &name);
                self.remember(key, ids)
            }
        };
        let is_stale = point.flags & NO_RECORDED_VALUE != 0;
        let values = quantiles.iter().map(|(_, value)| *value);
        let values = values.chain([point.sum, point.count as f64]);
        for (id, value) in ids.iter().zip(values) {
            let value = if is_stale { stale_nan() } else { value };
            self.push_float(*id, at, start, value);
        }
        Ok(Ok(()))
    }

    fn remember(&self, key: Key, ids: Vec<SeriesId>) -> Arc<[SeriesId]> {
        let ids: Arc<[SeriesId]> = ids.into();
        self.cache.put(key, self.generation, Ids::Many(ids.clone()));
        ids
    }
}

/// The shortest decimal that reads back as this number, without an exponent (Go's `'f', -1`).
fn format_bound(bound: f64) -> String {
    if bound.is_infinite() {
        return if bound > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{bound}")
}

/// OTLP's bucket `offset + i` covers `(base^(offset+i), base^(offset+i+1)]`, the native bucket one
/// higher; each step of `shift` merges two neighbours.
fn buckets(buckets: &BucketsRef<'_>, shift: i32) -> Vec<(i32, f64)> {
    let mut merged: Vec<(i32, f64)> = Vec::new();
    for (i, count) in buckets.bucket_counts().enumerate() {
        let index = i64::from(buckets.offset) + i as i64;
        let index = (index >> shift.min(62)).saturating_add(1);
        let index = index.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        match merged.last_mut() {
            Some((last, total)) if *last == index => *total += count as f64,
            _ if count > 0 => merged.push((index, count as f64)),
            _ => {}
        }
    }
    merged
}
