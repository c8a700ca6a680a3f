//! How many samples a query looked at, in Prometheus's way of counting (`util/stats/query_stats.go`).
//!
//! A query that is asked for its statistics reads through [`Counting`], which remembers the times of
//! all samples that pass. What each selector then saw at each step follows from them: the newest
//! sample of each series, or all samples of the window. Only the results of subqueries are not known
//! here; each of their steps counts one for each series that its selectors saw.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::read::{RangeMs, SeriesColumns, SeriesRequest, SeriesStream};
use model::sample::{Exemplar, MetricMetadata, is_stale};
use model::{Labels, Matcher, NativeHistogram, QueryContext, SeriesSource};
use parking_lot::Mutex;
use query::promql::ast::{AtModifier, Expr, ExprKind, Selector, Subquery};
use query::promql::{EvalOptions, durations};

/// A source that remembers when the samples were that passed.
pub(super) struct Counting<'a> {
    source: &'a dyn SeriesSource,
    passed: Arc<Mutex<Readings>>,
}

/// The matchers of a selector and one series that it read, in the order of reading.
type Readings = Vec<(Vec<Matcher>, Passed)>;

/// Subqueries of more steps are not counted.
const SUBQUERY_STEPS_MAX: i64 = 1_000_000;

/// One series that passed.
#[derive(Clone)]
struct Passed {
    labels: Labels,
    floats: Arc<Vec<i64>>,
    /// Time, and for how many samples it counts.
    histograms: Vec<(i64, u64)>,
}

/// The steps of a query, both ends included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) step_ms: i64,
}

impl Steps {
    pub(super) fn times(self) -> impl Iterator<Item = i64> {
        let count = self.end.saturating_sub(self.start) / self.step_ms.max(1) + 1;
        (0..count).map(move |i| self.start.saturating_add(i.saturating_mul(self.step_ms)))
    }
}

/// What a query looked at.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Step by step, each window in full.
    pub(super) total: Vec<u64>,
    /// Step by step, what the step before had not seen.
    pub(super) read: Vec<u64>,
    /// Step by step, series of which anything was seen.
    series: Vec<u64>,
    /// The most that was held at once.
    pub(super) peak: u64,
}

impl Counts {
    fn zero(steps: Steps) -> Self {
        let zeros = vec![0; steps.times().count()];
        Counts { total: zeros.clone(), read: zeros.clone(), series: zeros, peak: 0 }
    }
}

impl<'a> Counting<'a> {
    pub(super) fn new(source: &'a dyn SeriesSource) -> Self {
        Counting { source, passed: Arc::default() }
    }

    /// Counts what the selectors of an expression saw. Fails if the query is out of time.
    pub(super) fn count(
        &self,
        expr: &Expr,
        steps: Steps,
        options: &EvalOptions,
        context: &QueryContext,
    ) -> model::Result<Counts> {
        let span = steps.end.saturating_sub(steps.start);
        let step_ms = if span == 0 { 0 } else { steps.step_ms };
        let resolved = durations::resolve(expr, step_ms, span);
        let expr = resolved.as_deref().unwrap_or(expr);
        let passed = std::mem::take(&mut *self.passed.lock());
        Counter { passed, query: steps, options, context }.of(expr, steps)
    }
}

struct Counter<'a> {
    passed: Readings,
    query: Steps,
    options: &'a EvalOptions,
    context: &'a QueryContext,
}

impl Counter<'_> {
    fn of(&self, expr: &Expr, steps: Steps) -> model::Result<Counts> {
        match &expr.kind {
            ExprKind::Selector(selector) => self.instant(selector, steps),
            ExprKind::Range(range) => self.windows(&range.selector, range.range_ms, steps),
            ExprKind::Subquery(subquery) => self.subquery(subquery, steps),
            _ => {
                let mut sum = Counts::zero(steps);
                let mut children = Vec::new();
                expr.for_each_child(&mut |child| children.push(child));
                for child in children {
                    let counts = self.of(child, steps)?;
                    add(&mut sum.total, &counts.total);
                    add(&mut sum.read, &counts.read);
                    add(&mut sum.series, &counts.series);
                    sum.peak = sum.peak.saturating_add(counts.peak);
                }
                Ok(sum)
            }
        }
    }

    /// The time that a selector or subquery looks at from a step.
    fn looked_at(&self, at: Option<AtModifier>, offset_ms: i64, step: i64) -> i64 {
        let base = match at {
            None => step,
            Some(AtModifier::Time(time)) => time,
            Some(AtModifier::Start) => self.query.start,
            Some(AtModifier::End) => self.query.end,
        };
        base.saturating_sub(offset_ms)
    }

    /// The series that a selector read, those of alike selectors among them.
    fn series(&self, selector: &Selector) -> Vec<Passed> {
        let wanted = selector.all_matchers();
        let mut found: BTreeMap<&Labels, Passed> = BTreeMap::new();
        for (_, passed) in self.passed.iter().filter(|(matchers, _)| *matchers == wanted) {
            match found.get_mut(&passed.labels) {
                Some(known) => known.join(passed),
                None => {
                    found.insert(&passed.labels, passed.clone());
                }
            }
        }
        found.into_values().collect()
    }

    fn instant(&self, selector: &Selector, steps: Steps) -> model::Result<Counts> {
        let mut counts = Counts::zero(steps);
        for series in self.series(selector) {
            self.context.check()?;
            for (i, step) in steps.times().enumerate() {
                let end = self.looked_at(selector.at, selector.offset_ms, step);
                let start = end.saturating_sub(self.options.lookback_ms);
                let seen = series.newest(start, end);
                counts.total[i] += seen;
                counts.series[i] += u64::from(seen > 0);
                if i == 0 || selector.at.is_none() {
                    counts.read[i] += seen;
                }
            }
        }
        counts.peak = counts.total.iter().sum();
        Ok(counts)
    }

    fn windows(&self, selector: &Selector, range_ms: i64, steps: Steps) -> model::Result<Counts> {
        let mut counts = Counts::zero(steps);
        let mut widest = 0;
        for series in self.series(selector) {
            self.context.check()?;
            let mut before = None;
            for (i, step) in steps.times().enumerate() {
                let end = self.looked_at(selector.at, selector.offset_ms, step);
                let start = end.saturating_sub(range_ms);
                let seen = series.within(start, end);
                counts.total[i] += seen;
                let fresh = before.map_or(start, |before| start.max(before));
                counts.read[i] += series.within(fresh, end);
                before = Some(end);
                widest = widest.max(seen);
                // The result of the step.
                counts.series[i] += u64::from(seen > 0);
                counts.peak += u64::from(seen > 0);
            }
        }
        counts.peak += widest;
        Ok(counts)
    }

    fn subquery(&self, subquery: &Subquery, steps: Steps) -> model::Result<Counts> {
        let step_ms = subquery.step_ms.filter(|step| *step > 0);
        let step_ms = step_ms.unwrap_or(self.options.subquery_step_ms).max(1);
        let looked_at = |step| self.looked_at(subquery.at, subquery.offset_ms, step);
        let first = looked_at(steps.start).saturating_sub(subquery.range_ms);
        let last = steps.times().map(looked_at).max().unwrap_or(first);
        // Left-open, on multiples of the step.
        let start = (first.div_euclid(step_ms) + 1).saturating_mul(step_ms);
        if start > last || (last - start) / step_ms > SUBQUERY_STEPS_MAX {
            return Ok(Counts::zero(steps));
        }
        let inner_steps = Steps { start, end: last, step_ms };
        let inner = self.of(&subquery.expr, inner_steps)?;
        let mut counts = Counts { peak: inner.peak, ..Counts::zero(steps) };
        let mut read_until = i64::MIN;
        for (i, step) in steps.times().enumerate() {
            let end = looked_at(step);
            let begin = end.saturating_sub(subquery.range_ms);
            for ((at, series), read) in inner_steps.times().zip(&inner.series).zip(&inner.read) {
                if begin < at && at <= end {
                    counts.total[i] += series;
                    counts.series[i] = counts.series[i].max(*series);
                    counts.read[i] += if at > read_until { *read } else { 0 };
                }
            }
            read_until = read_until.max(end);
        }
        Ok(counts)
    }
}

fn add(sum: &mut [u64], more: &[u64]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = sum.saturating_add(*more);
    }
}

impl Passed {
    fn of(columns: &SeriesColumns) -> Self {
        let floats = if columns.values.iter().any(|value| is_stale(*value)) {
            let times = columns.times_ms.iter().zip(&columns.values);
            Arc::new(times.filter(|(_, value)| !is_stale(**value)).map(|(at, _)| *at).collect())
        } else {
            columns.times_ms.clone()
        };
        let histograms = columns.histograms.iter().filter(|(_, h)| !is_stale(h.sum));
        let histograms = histograms.map(|(at, histogram)| (at.0, weight(histogram))).collect();
        Passed { labels: columns.labels.clone(), floats, histograms }
    }

    /// Adds the samples of another reading of the same series.
    fn join(&mut self, other: &Passed) {
        if self.floats != other.floats {
            let mut all: Vec<i64> = self.floats.iter().chain(&*other.floats).copied().collect();
            all.sort_unstable();
            all.dedup();
            self.floats = Arc::new(all);
        }
        self.histograms.extend_from_slice(&other.histograms);
        self.histograms.sort_unstable();
        self.histograms.dedup();
    }

    /// Samples after `start` up to `end`.
    fn within(&self, start: i64, end: i64) -> u64 {
        let after = self.floats.partition_point(|at| *at <= start);
        let until = self.floats.partition_point(|at| *at <= end);
        let histograms = self.histograms.iter().filter(|(at, _)| start < *at && *at <= end);
        until.saturating_sub(after) as u64 + histograms.map(|(_, weight)| weight).sum::<u64>()
    }

    /// What the newest sample after `start` up to `end` counts; zero if there is none.
    fn newest(&self, start: i64, end: i64) -> u64 {
        let until = self.floats.partition_point(|at| *at <= end);
        let float = until.checked_sub(1).and_then(|last| self.floats.get(last)).copied();
        let histogram = self.histograms.iter().rev().find(|(at, _)| *at <= end).copied();
        let newest = match (float, histogram) {
            (Some(at), Some((other, _))) if at > other => Some((at, 1)),
            (_, Some(histogram)) => Some(histogram),
            (Some(at), None) => Some((at, 1)),
            (None, None) => None,
        };
        newest.filter(|(at, _)| *at > start).map_or(0, |(_, weight)| weight)
    }
}

/// How many floats a histogram counts for: its size in memory over that of a float sample.
fn weight(histogram: &NativeHistogram) -> u64 {
    let buckets = histogram.positive.len() + histogram.negative.len();
    let bytes = 168 + 16 * buckets + 8 * histogram.custom_bounds.len();
    (bytes as u64 + 8) / 16
}

impl Counting<'_> {
    fn counted<'b>(&self, request: &SeriesRequest, stream: SeriesStream<'b>) -> SeriesStream<'b> {
        let (matchers, passed) = (request.matchers.clone(), self.passed.clone());
        Box::new(stream.inspect(move |series| {
            if let Ok(columns) = series {
                passed.lock().push((matchers.clone(), Passed::of(columns)));
            }
        }))
    }
}

impl SeriesSource for Counting<'_> {
    fn select<'b>(
        &'b self,
        request: &SeriesRequest,
        context: &'b QueryContext,
    ) -> model::Result<SeriesStream<'b>> {
        Ok(self.counted(request, self.source.select(request, context)?))
    }

    fn select_parts<'b>(
        &'b self,
        request: &SeriesRequest,
        count: usize,
        context: &'b QueryContext,
    ) -> model::Result<Vec<SeriesStream<'b>>> {
        let streams = self.source.select_parts(request, count, context)?;
        Ok(streams.into_iter().map(|stream| self.counted(request, stream)).collect())
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Vec<String>> {
        self.source.label_names(matchers, range, context)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Vec<String>> {
        self.source.label_values(name, matchers, range, context)
    }

    fn exemplars(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Vec<(Labels, Vec<Exemplar>)>> {
        self.source.exemplars(matchers, range, context)
    }

    fn metadata(&self) -> model::Result<Vec<(String, MetricMetadata)>> {
        self.source.metadata()
    }
}
