//! Points with more than one value: histograms, exponential histograms, summaries.

use model::TimestampMs;
use model::sample::{NativeHistogram, ResetHint, stale_nan};
use model::write::HistogramPoint;
use proto::otlp::{BucketsRef, ExponentialPointRef, HistogramPointRef, SummaryPointRef};

use super::warnings::ZERO_COUNT_NON_ZERO_SUM;
use super::{Mapped, Mapper, Metric, NO_RECORDED_VALUE, Refused, kept};
use crate::otlp::delta::Delta;
use crate::remote_write::histogram::wrong_bounds;

/// The finest schema of a native histogram; finer ones are merged down to it.
const SCHEMA_MAX: i32 = 8;
/// The coarsest schema of a native histogram; coarser ones are refused.
const SCHEMA_MIN: i32 = -4;
/// The schema of custom bounds.
const SCHEMA_CUSTOM: i32 = -53;
/// What Prometheus assumes where the sender names no zero threshold.
const ZERO_THRESHOLD: f64 = 1e-128;

impl Mapper<'_> {
    /// A histogram with explicit bounds: a native one with custom buckets, where that is wanted,
    /// else a classic one: `_bucket{le}` for each bound and `+Inf`, `_count`, and `_sum` if the
    /// sender knows it. The least and the greatest observation have no place in either.
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
        if self.door.translation.convert_histograms_to_nhcb {
            return self.custom_histogram(metric, point, at, start);
        }
        let has_sum = point.sum.is_some();
        self.extra.clear();
        self.extra.push(u8::from(has_sum));
        bounds.clone().for_each(|bound| self.extra.extend_from_slice(&bound.to_le_bytes()));
        if !self.known(metric, |feed| point.for_each_attribute_raw(feed)) {
            let labels = kept!(self.labels(metric, point.attributes())?);
            let name = metric.name(self.door.translation);
            let [bucket, count, sum] =
                ["bucket", "count", "sum"].map(|end| format!("{name}_{end}"));
            let les: Vec<String> = bounds.clone().map(format_bound).collect();
            let les = les.iter().map(String::as_str).chain(["+Inf"]);
            let mut series: Vec<(&str, Option<(&str, &str)>)> =
                les.map(|le| (bucket.as_str(), Some(("le", le)))).collect();
            series.push((&count, None));
            if has_sum {
                series.push((&sum, None));
            }
            kept!(self.series_of_point(&labels, &series)?);
            self.remember(metric, &name);
        }
        let is_stale = point.flags & NO_RECORDED_VALUE != 0;
        let mut cumulative = 0u64;
        let buckets = counts.take(bounds.len()).map(|count| {
            cumulative = cumulative.wrapping_add(count);
            cumulative as f64
        });
        let totals = [Some(point.count as f64), Some(point.count as f64), point.sum];
        let values = buckets.chain(totals.into_iter().flatten());
        kept!(self.push_floats(metric, at, start, is_stale, values));
        let ids = std::mem::take(&mut self.ids);
        let told = self.exemplars(point.exemplars(), |value| {
            ids[bounds.clone().take_while(|bound| *bound < value).count()]
        });
        self.ids = ids;
        told.map(Ok)
    }

    /// The values of the series in `self.ids`, in order. If the first one is refused, all of them
    /// are; that a later one is alone refused happens when its sum began later than the others'.
    fn push_floats(
        &mut self,
        metric: &Metric<'_, '_>,
        at: TimestampMs,
        start: TimestampMs,
        is_stale: bool,
        values: impl Iterator<Item = f64>,
    ) -> Result<(), Refused> {
        let ids = std::mem::take(&mut self.ids);
        let mut pushed = Ok(());
        for (i, (id, value)) in ids.iter().zip(values).enumerate() {
            let value = if is_stale { stale_nan() } else { value };
            pushed = self.push_float(metric, *id, at, start, value);
            if pushed.is_err() && i == 0 {
                break;
            }
        }
        self.ids = ids;
        pushed
    }

    /// A native histogram whose custom bounds are the explicit ones.
    fn custom_histogram(
        &mut self,
        metric: &mut Metric<'_, '_>,
        point: &HistogramPointRef<'_>,
        at: TimestampMs,
        start: TimestampMs,
    ) -> Mapped<()> {
        let bounds: Vec<f64> = point.explicit_bounds().collect();
        if let Some(bad) = wrong_bounds(&bounds) {
            return Ok(Err(("bad_histogram", bad)));
        }
        let counts = point.bucket_counts();
        let positive = if counts.len() == 0 {
            // Without bounds all observations are in the one bucket.
            vec![(0, point.count as f64)]
        } else {
            counts.enumerate().map(|(i, count)| (i as i32, count as f64)).collect()
        };
        let histogram = NativeHistogram {
            schema: SCHEMA_CUSTOM,
            count: point.count as f64,
            sum: point.sum.unwrap_or_default(),
            positive: positive.into_iter().filter(|(_, count)| *count != 0.0).collect(),
            custom_bounds: bounds,
            ..Default::default()
        };
        self.extra.clear();
        if !self.known(metric, |feed| point.for_each_attribute_raw(feed)) {
            let labels = kept!(self.labels(metric, point.attributes())?);
            kept!(self.one_series(metric, &labels)?);
        }
        let is_stale = point.flags & NO_RECORDED_VALUE != 0;
        kept!(self.push_histogram(metric, at, start, is_stale, histogram));
        let series = self.ids[0];
        self.exemplars(point.exemplars(), |_| series)?;
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
        self.extra.clear();
        if !self.known(metric, |feed| point.for_each_attribute_raw(feed)) {
            let labels = kept!(self.labels(metric, point.attributes())?);
            kept!(self.one_series(metric, &labels)?);
        }
        let shift = (point.scale - SCHEMA_MAX).max(0);
        let threshold =
            if point.zero_threshold > 0.0 { point.zero_threshold } else { ZERO_THRESHOLD };
        let histogram = NativeHistogram {
            schema: point.scale.min(SCHEMA_MAX),
            zero_threshold: threshold,
            zero_count: point.zero_count as f64,
            count: point.count as f64,
            sum: point.sum.unwrap_or_default(),
            positive: buckets(&point.positive, shift),
            negative: buckets(&point.negative, shift),
            ..Default::default()
        };
        let is_stale = point.flags & NO_RECORDED_VALUE != 0;
        kept!(self.push_histogram(metric, at, start, is_stale, histogram));
        let series = self.ids[0];
        self.exemplars(point.exemplars(), |_| series)?;
        Ok(Ok(()))
    }

    /// Appends a histogram to the one series in `self.ids`.
    fn push_histogram(
        &mut self,
        metric: &Metric<'_, '_>,
        at: TimestampMs,
        start: TimestampMs,
        is_stale: bool,
        histogram: NativeHistogram,
    ) -> Result<(), Refused> {
        let series = self.ids[0];
        let (mut start, mut histogram) = (start, histogram);
        if histogram.count == 0.0 && histogram.sum != 0.0 && !is_stale {
            let (name, sum) = (metric.metric.name, histogram.sum);
            self.warnings.warn(ZERO_COUNT_NON_ZERO_SUM, || {
                format!("metric {name:?}: a histogram of no observations has the sum {sum}")
            });
        }
        if is_stale {
            histogram = NativeHistogram {
                sum: stale_nan(),
                positive: Vec::new(),
                negative: Vec::new(),
                ..histogram
            };
        } else if metric.is_summed(self.door.translation) {
            let delta = Delta { series, start, at, value: &histogram };
            (start, histogram) = self.door.sums.add_histogram(delta, self.door.now)?;
        }
        // Prometheus marks deltas like this too. Of cumulative histograms it says nothing, since
        // its detection of resets is not that of OpenTelemetry.
        histogram.reset_hint = if metric.is_kept_delta(self.door.translation) {
            ResetHint::Gauge
        } else {
            ResetHint::Unknown
        };
        self.batch.histograms.push(HistogramPoint { series, at, start, histogram });
        Ok(())
    }

    /// A summary: one series for each `quantile`, `_sum`, `_count`. It has no exemplars.
    pub(super) fn summary(
        &mut self,
        metric: &mut Metric<'_, '_>,
        point: &SummaryPointRef<'_>,
    ) -> Mapped<()> {
        let (at, start) =
            kept!(self.times(metric.resource, point.time_unix_nano, point.start_time_unix_nano));
        self.extra.clear();
        for quantile in point.quantile_values() {
            self.extra.extend_from_slice(&quantile?.quantile.to_le_bytes());
        }
        if !self.known(metric, |feed| point.for_each_attribute_raw(feed)) {
            let labels = kept!(self.labels(metric, point.attributes())?);
            let name = metric.name(self.door.translation);
            let [sum, count] = ["sum", "count"].map(|end| format!("{name}_{end}"));
            let mut quantiles = Vec::new();
            for quantile in point.quantile_values() {
                quantiles.push(format_bound(quantile?.quantile));
            }
            let mut series: Vec<(&str, Option<(&str, &str)>)> =
                quantiles.iter().map(|text| (&*name, Some(("quantile", text.as_str())))).collect();
            series.extend([(sum.as_str(), None), (count.as_str(), None)]);
            kept!(self.series_of_point(&labels, &series)?);
            self.remember(metric, &name);
        }
        let is_stale = point.flags & NO_RECORDED_VALUE != 0;
        let values = point.quantile_values().filter_map(Result::ok).map(|quantile| quantile.value);
        let values = values.chain([point.sum, point.count as f64]);
        Ok(self.push_floats(metric, at, start, is_stale, values))
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
