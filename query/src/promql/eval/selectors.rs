//! Selectors and subqueries: what is read from the store, and the samples of each step or window.

use std::sync::Arc;

use model::read::{RangeMs, SeriesColumns, SeriesColumnsWanted, SeriesRequest};
use model::rollup::{RollupRequest, Summary};
use model::sample::is_stale;
use model::{NativeHistogram, TimestampMs};

use super::parallel::{MakeWork, THREADS_MAX, Work};
use super::{Evaluator, MatrixSeries, Result, Sink, Wanted};
use crate::errors::EvalError;
use crate::histogram;
use crate::promql::ast::{AtModifier, Expr, ExprKind, RangeSelector, Selector, Subquery};
use crate::promql::windows::{self, Samples, Shape, extended};
use crate::vector::{self, Column, Grid, absent};

/// How far apart samples are, as a guess.
const SAMPLE_DISTANCE_MS: i64 = 15_000;
/// Samples and steps of a series from which on another thread saves more than it costs to hand the
/// result over: at the instant of 100,000 series it costs as much again.
const WORK_MIN: i64 = 64;

impl Evaluator<'_> {
    /// The moment that replaces the evaluation time.
    pub(in crate::promql) fn resolve_at(&self, at: Option<AtModifier>) -> Option<i64> {
        at.map(|at| match at {
            AtModifier::Time(ms) => ms,
            AtModifier::Start => self.query.grid.start,
            AtModifier::End => self.query.end,
        })
    }

    /// Asks for the series of a selector with samples in `(first - before, last + after]` around the
    /// evaluation times of `grid`.
    fn request(
        &self,
        selector: &Selector,
        grid: &Grid,
        (before_ms, after_ms): (i64, i64),
        (rollup, starts): (Option<RollupRequest>, bool),
    ) -> SeriesRequest {
        let fixed = self.resolve_at(selector.at);
        let first = fixed.unwrap_or(grid.start).saturating_sub(selector.offset_ms);
        let last = fixed.unwrap_or(grid.last()).saturating_sub(selector.offset_ms);
        let range = RangeMs {
            start: TimestampMs(first.saturating_sub(before_ms).saturating_add(1)),
            end: TimestampMs(last.saturating_add(after_ms)),
        };
        SeriesRequest {
            matchers: selector.all_matchers(),
            range,
            columns: SeriesColumnsWanted { samples: true, starts },
            limit: None,
            step_ms: if grid.count > 1 { grid.step } else { 0 },
            rollup,
        }
    }

    /// Reads the series of a request, one after the other, in no order.
    fn select_each(
        &mut self,
        request: &SeriesRequest,
        each: &mut dyn FnMut(&mut Self, SeriesColumns) -> Result<()>,
    ) -> Result<()> {
        let (source, context) = (self.source, self.context);
        for columns in source.select(request, context)? {
            let columns = self.without_buckets(columns?);
            each(self, columns)?;
        }
        Ok(())
    }

    /// Reads the series of a request and does the work for each, on several threads if some are
    /// idle; hands out the results one by one, in no order.
    fn select_map(
        &mut self,
        request: &SeriesRequest,
        steps: usize,
        make: &MakeWork<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let (source, context) = (self.source, self.context);
        let samples =
            request.range.end.0.saturating_sub(request.range.start.0) / SAMPLE_DISTANCE_MS;
        let is_much = samples.saturating_add(steps as i64) >= WORK_MIN;
        let borrowed = context.borrow_threads(if is_much { THREADS_MAX - 1 } else { 0 });
        let streams = source.select_parts(request, 1 + borrowed.count(), context)?;
        self.map_streams(streams, make, sink)
    }

    /// A series as it is needed: without the buckets of histograms if only totals are.
    fn without_buckets(&self, mut series: SeriesColumns) -> SeriesColumns {
        if self.needs_totals && !self.needs_buckets && !series.histograms.is_empty() {
            histogram::keep_totals(&mut series.histograms);
        }
        series
    }

    /// The series of a selector, sorted by labels.
    pub(in crate::promql) fn select(
        &mut self,
        selector: &Selector,
        grid: &Grid,
        reach_ms: (i64, i64),
    ) -> Result<Vec<SeriesColumns>> {
        let mut series = Vec::new();
        let request = self.request(selector, grid, reach_ms, (None, true));
        self.select_each(&request, &mut |evaluator, columns| {
            let samples = columns.values.len() + columns.histograms.len();
            evaluator.context.hold(samples as u64 * 16)?;
            series.push(columns);
            Ok(())
        })?;
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }

    /// The latest sample at each step, or a time of it; hands out one series after the other, in no
    /// order.
    #[inline(never)]
    pub(super) fn selector(
        &mut self,
        selector: &Selector,
        grid: &Grid,
        wanted: Wanted,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let lookback = self.options.lookback_ms;
        let fixed = self.resolve_at(selector.at);
        let first = grid.start.saturating_sub(selector.offset_ms);
        let rollup = (fixed.is_none() && grid.count > 1 && wanted != Wanted::StartTimes)
            .then(|| windows::rollups::request_current(first, grid.step, lookback))
            .flatten();
        let before = rollup.map_or(lookback, |rollup| rollup.resolution_ms);
        let columns = (rollup, wanted == Wanted::StartTimes);
        let request = self.request(selector, grid, (before, 0), columns);
        let work = |evaluator: &mut Evaluator<'_>, series: SeriesColumns| {
            evaluator.charge_grid(grid)?;
            let series = evaluator.without_buckets(series);
            let (values, histograms) = match &series.rollup {
                Some(rollup) => {
                    let times = (grid, selector.offset_ms, lookback);
                    let wants_times = wanted == Wanted::Times;
                    (windows::rollups::current(rollup, times, wants_times), Vec::new())
                }
                None => latest(&series, selector, grid, fixed, lookback, wanted),
            };
            let drop_name = wanted != Wanted::Values;
            let column = Column { labels: series.labels, drop_name, values, histograms };
            Ok(column.has_any().then_some(column))
        };
        self.select_map(&request, grid.count, &|| Box::new(work), sink)
    }

    /// The series of a range selector or subquery, with what their windows look like for all steps
    /// of `grid`; one after the other, in no order. Start times are not read.
    pub(in crate::promql) fn each_window(
        &mut self,
        expr: &Expr,
        grid: &Grid,
        each: &mut dyn FnMut(&mut Self, &Shape, Samples) -> Result<()>,
    ) -> Result<()> {
        match &expr.unwrap_parens().kind {
            ExprKind::Range(range) => {
                let (shape, request) = self.range_request(range, grid, (None, false));
                self.select_each(&request, &mut |evaluator, series| {
                    each(evaluator, &shape, Samples::from_stored(series))
                })
            }
            ExprKind::Subquery(subquery) => self.subquery_windows(subquery, grid, each),
            _ => Err(not_a_range(expr)),
        }
    }

    /// What comes of the windows of each series of a range selector or subquery; one after the
    /// other, in no order. A rollup may answer if there is a summary for it; start times are read
    /// only if they are wanted.
    pub(in crate::promql) fn map_windows(
        &mut self,
        expr: &Expr,
        grid: &Grid,
        wanted: (Option<Summary>, bool),
        make: &MakeWindows<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        match &expr.unwrap_parens().kind {
            ExprKind::Range(range) => {
                let (shape, request) = self.range_request(range, grid, wanted);
                let make_work = || -> Work<'_> {
                    let mut windows = make();
                    Box::new(move |evaluator, series| {
                        let series = evaluator.without_buckets(series);
                        windows(evaluator, &shape, Samples::from_stored(series))
                    })
                };
                self.select_map(&request, grid.count, &make_work, sink)
            }
            ExprKind::Subquery(subquery) => {
                let mut windows = make();
                self.subquery_windows(
                    subquery,
                    grid,
                    &mut |evaluator, shape, series| match windows(evaluator, shape, series)? {
                        Some(column) => sink(evaluator, column),
                        None => Ok(()),
                    },
                )
            }
            _ => Err(not_a_range(expr)),
        }
    }

    fn range_request(
        &self,
        range: &RangeSelector,
        grid: &Grid,
        (summary, starts): (Option<Summary>, bool),
    ) -> (Shape, SeriesRequest) {
        let fixed = self.resolve_at(range.selector.at);
        let first = fixed.unwrap_or(grid.start).saturating_sub(range.selector.offset_ms);
        let step_ms = if fixed.is_none() && grid.count > 1 { grid.step } else { 0 };
        let extension = range.selector.extension;
        let rollup = summary
            .filter(|_| extension.is_none())
            .and_then(|summary| windows::rollups::request(summary, first, step_ms, range.range_ms));
        let (before_ms, after_ms) = extended::reach(extension, self.options.lookback_ms);
        let reach = (range.range_ms.saturating_add(before_ms), after_ms);
        let (range_ms, offset_ms) = (range.range_ms, range.selector.offset_ms);
        let shape = Shape { range_ms, offset_ms, fixed, before_ms, after_ms };
        (shape, self.request(&range.selector, grid, reach, (rollup, starts)))
    }

    #[inline(never)]
    fn subquery_windows(
        &mut self,
        subquery: &Subquery,
        grid: &Grid,
        each: &mut dyn FnMut(&mut Self, &Shape, Samples) -> Result<()>,
    ) -> Result<()> {
        let fixed = self.resolve_at(subquery.at);
        let step = subquery.step_ms.unwrap_or(self.options.subquery_step_ms).max(1);
        let first = fixed.unwrap_or(grid.start).saturating_sub(subquery.offset_ms);
        let last = fixed.unwrap_or(grid.last()).saturating_sub(subquery.offset_ms);
        // The window is open at its left end, and steps are multiples of the step.
        let open = first.saturating_sub(subquery.range_ms);
        let start = open.div_euclid(step).saturating_add(1).saturating_mul(step);
        let Some(inner) = Grid::range(start, last, step) else { return Ok(()) };
        let (range_ms, offset_ms) = (subquery.range_ms, subquery.offset_ms);
        let shape = Shape { range_ms, offset_ms, fixed, before_ms: 0, after_ms: 0 };
        self.begin_grid(&inner)?;
        for column in self.with_needs(false, true, |e| e.vector(&subquery.expr, &inner))? {
            each(self, &shape, Samples::from_column(column, &inner))?;
        }
        Ok(())
    }

    /// A range vector as the result of an instant query.
    pub(in crate::promql) fn raw_matrix(
        &mut self,
        expr: &Expr,
        grid: &Grid,
    ) -> Result<Vec<MatrixSeries>> {
        let extension = extended::of(expr);
        let mut matrix = Vec::new();
        self.each_window(expr, grid, &mut |evaluator, shape, mut series| {
            let (start, end) = shape.bounds(grid.start);
            if let Some(extension) = extension {
                extended::extend_samples(&mut series, (start, end), extension)?;
            }
            // An extended window has a sample at its start.
            let extended = shape.before_ms > 0;
            let inside = |time: i64| (start < time || extended && start == time) && time <= end;
            let labels = match series.drop_name {
                true => series.labels.without(&vector::METADATA_LABELS),
                false => series.labels.clone(),
            };
            let points = series.times.iter().zip(&series.values).filter(|(time, _)| inside(**time));
            let histograms = series.histograms.iter().filter(|(time, _)| inside(*time));
            let series = MatrixSeries {
                labels,
                points: points.map(|(time, value)| (TimestampMs(*time), *value)).collect(),
                histograms: histograms.map(|(t, h)| (TimestampMs(*t), h.clone())).collect(),
            };
            let samples = series.points.len() + series.histograms.len();
            evaluator.context.hold(samples as u64 * 16)?;
            if samples > 0 {
                matrix.push(series);
            }
            Ok(())
        })?;
        matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
        if matrix.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
            return Err(EvalError::SameLabelset);
        }
        Ok(matrix)
    }
}

/// Computes the windows of one series after the other; `None` if nothing comes of them.
pub(in crate::promql) type Windows<'w> =
    Box<dyn FnMut(&mut Evaluator<'_>, &Shape, Samples) -> Result<Option<Column>> + 'w>;

/// Makes what one thread needs for it.
pub(in crate::promql) type MakeWindows<'w> = dyn Fn() -> Windows<'w> + Sync + 'w;

fn not_a_range(expr: &Expr) -> EvalError {
    EvalError::NotSupported { what: format!("{expr} as a range vector") }
}

/// The latest sample of a series at each step that is not older than `lookback`.
pub(in crate::promql) fn latest(
    series: &SeriesColumns,
    selector: &Selector,
    grid: &Grid,
    fixed: Option<i64>,
    lookback: i64,
    wanted: Wanted,
) -> (Vec<f64>, Vec<Option<Arc<NativeHistogram>>>) {
    let mut values = vec![absent(); grid.count];
    let mut histograms = Vec::new();
    let (mut next_float, mut next_histogram) = (0, 0);
    let start_of = |starts: &[i64], index: usize| {
        let start = starts.get(index).copied().unwrap_or(0);
        start as f64 / 1000.0
    };
    for (step, cell) in values.iter_mut().enumerate() {
        let at = fixed.unwrap_or(grid.at(step)).saturating_sub(selector.offset_ms);
        while series.times_ms.get(next_float).is_some_and(|time| *time <= at) {
            next_float += 1;
        }
        while series.histograms.get(next_histogram).is_some_and(|(time, _)| time.0 <= at) {
            next_histogram += 1;
        }
        let alive = |time: i64| time > at.saturating_sub(lookback);
        let float = next_float.checked_sub(1).map(|i| (series.times_ms[i], i));
        let histogram = next_histogram.checked_sub(1).map(|i| (series.histograms[i].0.0, i));
        match (float, histogram) {
            (float, Some((time, index)))
                if alive(time) && float.is_none_or(|(float_time, _)| time > float_time) =>
            {
                let histogram = &series.histograms[index].1;
                if is_stale(histogram.sum) {
                    continue;
                }
                match wanted {
                    Wanted::Times => *cell = time as f64 / 1000.0,
                    Wanted::StartTimes => *cell = start_of(&series.histogram_starts_ms, index),
                    Wanted::Values => {
                        histograms.resize(grid.count, None);
                        histograms[step] = Some(histogram.clone());
                    }
                }
            }
            (Some((time, index)), _) if alive(time) => {
                let value = series.values[index];
                if !is_stale(value) {
                    *cell = match wanted {
                        Wanted::Values => value,
                        Wanted::Times => time as f64 / 1000.0,
                        Wanted::StartTimes => start_of(&series.starts_ms, index),
                    };
                }
            }
            _ => {}
        }
    }
    (values, histograms)
}
