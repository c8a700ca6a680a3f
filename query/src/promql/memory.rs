//! A store of series in memory: the naive twin of the real one, for tests and for scripts.
//!
//! It keeps the promises of `SeriesSource` in the most obvious way and has no index at all.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use model::labels::{DELTA, TEMPORALITY};
use model::read::{RangeMs, SeriesColumns, SeriesRequest, SeriesStream};
use model::rollup::{Rollup, RollupRequest, Summary};
use model::sample::{Exemplar, MetricMetadata};
use model::{
    Labels, Matcher, NativeHistogram, QueryContext, ResetHint, Result, SeriesId, SeriesSource,
    TimestampMs,
};

use crate::histogram::continues;

/// Series by labels.
#[derive(Debug, Clone, Default)]
pub struct MemorySeries {
    series: BTreeMap<Labels, Stored>,
}

#[derive(Debug, Clone, Default)]
struct Stored {
    /// Values with their start times.
    floats: BTreeMap<i64, (f64, i64)>,
    /// Histograms with their start times.
    histograms: BTreeMap<i64, (Arc<NativeHistogram>, i64)>,
}

impl MemorySeries {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a float sample; `start_ms` is zero where unknown.
    pub fn push(&mut self, labels: &Labels, at_ms: i64, start_ms: i64, value: f64) {
        let stored = self.series.entry(labels.clone()).or_default();
        stored.floats.insert(at_ms, (value, start_ms));
    }

    /// Adds a native histogram without a start time.
    pub fn push_histogram(&mut self, labels: &Labels, at_ms: i64, histogram: NativeHistogram) {
        self.push_started_histogram(labels, at_ms, 0, histogram);
    }

    /// Adds a native histogram; `start_ms` is zero where unknown.
    pub fn push_started_histogram(
        &mut self,
        labels: &Labels,
        at_ms: i64,
        start_ms: i64,
        histogram: NativeHistogram,
    ) {
        let stored = self.series.entry(labels.clone()).or_default();
        stored.histograms.insert(at_ms, (Arc::new(histogram), start_ms));
    }

    fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
        range: RangeMs,
    ) -> impl Iterator<Item = (&'a Labels, &'a Stored)> {
        self.series
            .iter()
            .filter(move |(labels, _)| Matcher::all_match(matchers, labels))
            .filter(move |(_, stored)| range.start <= range.end && stored.has_any_in(range))
    }
}

impl Stored {
    fn has_any_in(&self, range: RangeMs) -> bool {
        let range = range.start.0..=range.end.0;
        self.floats.range(range.clone()).next().is_some()
            || self.histograms.range(range).next().is_some()
    }

    /// The histograms in `range` with what Prometheus's storage knows of resets: that there was none
    /// between two samples of one chunk.
    fn hinted_histograms(
        &self,
        range: &RangeInclusive<i64>,
    ) -> Vec<(TimestampMs, Arc<NativeHistogram>)> {
        let mut found = Vec::new();
        let mut last: Option<(i64, &Arc<NativeHistogram>)> = None;
        for (time, (histogram, _)) in &self.histograms {
            let follows = last.is_some_and(|(last_time, last)| {
                self.floats.range(last_time..*time).next().is_none() && continues(histogram, last)
            });
            last = Some((*time, histogram));
            if range.contains(time) {
                let reset_hint = match histogram.reset_hint {
                    ResetHint::Gauge => ResetHint::Gauge,
                    _ if follows => ResetHint::NotReset,
                    _ => ResetHint::Unknown,
                };
                let mut histogram = histogram.clone();
                if histogram.reset_hint != reset_hint {
                    Arc::make_mut(&mut histogram).reset_hint = reset_hint;
                }
                found.push((TimestampMs(*time), histogram));
            }
        }
        found
    }
}

/// The rollup of a series, where one may be answered.
fn roll_up(columns: &SeriesColumns, wanted: &RollupRequest) -> Option<Rollup> {
    let is_delta = columns.labels.get(TEMPORALITY) == Some(DELTA)
        && matches!(wanted.summary, Summary::Delta | Summary::Increase);
    if is_delta || !columns.histograms.is_empty() {
        return None;
    }
    let SeriesColumns { times_ms, values, starts_ms, .. } = columns;
    let mut rollup = Rollup::of(times_ms, values, starts_ms, wanted.resolution_ms);
    if !rollup.is_exact(wanted) {
        return None;
    }
    rollup.narrow(wanted.summary);
    Some(rollup)
}

impl SeriesSource for MemorySeries {
    fn select<'a>(
        &'a self,
        request: &SeriesRequest,
        context: &'a QueryContext,
    ) -> Result<SeriesStream<'a>> {
        let range = request.range.start.0..=request.range.end.0;
        let mut found = Vec::new();
        for (labels, stored) in self.matching(&request.matchers, request.range) {
            let mut columns = SeriesColumns {
                id: SeriesId(found.len() as u64),
                labels: labels.clone(),
                times_ms: Arc::default(),
                values: Vec::new(),
                starts_ms: Vec::new(),
                histograms: Vec::new(),
                histogram_starts_ms: Vec::new(),
                rollup: None,
            };
            if request.columns.samples {
                let floats: Vec<_> = stored.floats.range(range.clone()).collect();
                columns.times_ms = Arc::new(floats.iter().map(|(time, _)| **time).collect());
                columns.values = floats.iter().map(|(_, (value, _))| *value).collect();
                if request.columns.starts {
                    columns.starts_ms = floats.iter().map(|(_, (_, start))| *start).collect();
                }
                if !stored.histograms.is_empty() {
                    columns.histograms = stored.hinted_histograms(&range);
                }
                if request.columns.starts {
                    let histograms = stored.histograms.range(range.clone());
                    columns.histogram_starts_ms =
                        histograms.map(|(_, (_, start))| *start).collect();
                }
            }
            let samples = columns.values.len() + columns.histograms.len();
            let rolled_up = request.rollup.as_ref().and_then(|wanted| roll_up(&columns, wanted));
            let items = rolled_up.as_ref().map_or(samples, |rollup| rollup.len());
            if let Some(rollup) = rolled_up {
                columns = SeriesColumns {
                    times_ms: Arc::default(),
                    values: Vec::new(),
                    starts_ms: Vec::new(),
                    rollup: Some(Box::new(rollup)),
                    ..columns
                };
            }
            context.charge(items as u64, 16 * items as u64)?;
            found.push(Ok(columns));
            if request.limit.is_some_and(|limit| found.len() >= limit) {
                break;
            }
        }
        Ok(Box::new(found.into_iter()))
    }

    fn select_parts<'a>(
        &'a self,
        request: &SeriesRequest,
        count: usize,
        context: &'a QueryContext,
    ) -> Result<Vec<SeriesStream<'a>>> {
        let mut parts: Vec<Vec<Result<SeriesColumns>>> = Vec::new();
        parts.resize_with(count, Vec::new);
        for (i, series) in self.select(request, context)?.enumerate() {
            parts[i % count].push(series);
        }
        Ok(parts.into_iter().map(|part| Box::new(part.into_iter()) as SeriesStream<'_>).collect())
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        _context: &QueryContext,
    ) -> Result<Vec<String>> {
        let series = self.matching(matchers, range);
        let mut names: Vec<String> =
            series.flat_map(|(labels, _)| labels.iter().map(|(name, _)| name.to_owned())).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: RangeMs,
        _context: &QueryContext,
    ) -> Result<Vec<String>> {
        let series = self.matching(matchers, range);
        let mut values: Vec<String> =
            series.filter_map(|(labels, _)| labels.get(name).map(str::to_owned)).collect();
        values.sort();
        values.dedup();
        Ok(values)
    }

    fn exemplars(
        &self,
        _matchers: &[Matcher],
        _range: RangeMs,
        _context: &QueryContext,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>> {
        Ok(Vec::new())
    }

    fn metadata(&self) -> Result<Vec<(String, MetricMetadata)>> {
        Ok(Vec::new())
    }
}
