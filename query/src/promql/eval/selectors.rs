//! Selectors and subqueries: what is read from the store, and the samples of each step or window.

use std::sync::Arc;

use model::read::{RangeMs, SeriesColumns, SeriesColumnsWanted, SeriesRequest};
use model::rollup::{RollupRequest, Summary};
use model::sample::is_stale;
use model::{NativeHistogram, TimestampMs};

use super::{Evaluator, MatrixSeries, Result, Wanted};
use crate::errors::EvalError;
use crate::histogram;
use crate::promql::ast::{AtModifier, Expr, ExprKind, RangeSelector, Selector, Subquery};
use crate::promql::windows::{self, Samples, Windows, extended};
use crate::vector::{self, Column, Grid, absent};

impl Evaluator<'_> {
    /// The moment that replaces the evaluation time.
    pub(in crate::promql) fn resolve_at(&self, at: Option<AtModifier>) -> Option<i64> {
        at.map(|at| match at {
            AtModifier::Time(ms) => ms,
            AtModifier::Start => self.query.grid.start,
            AtModifier::End => self.query.end,
        })
    }

    /// Reads the series of a selector, sorted by labels, with samples in
    /// `(first - before, last + after]` around the evaluation times of `grid`.
    pub(in crate::promql) fn select(
        &self,
        selector: &Selector,
        grid: &Grid,
        (before_ms, after_ms): (i64, i64),
        rollup: Option<RollupRequest>,
    ) -> Result<Vec<SeriesColumns>> {
        let fixed = self.resolve_at(selector.at);
        let first = fixed.unwrap_or(grid.start).saturating_sub(selector.offset_ms);
        let last = fixed.unwrap_or(grid.last()).saturating_sub(selector.offset_ms);
        let range = RangeMs {
            start: TimestampMs(first.saturating_sub(before_ms).saturating_add(1)),
            end: TimestampMs(last.saturating_add(after_ms)),
        };
        let request = SeriesRequest {
            matchers: selector.all_matchers(),
            range,
            columns: SeriesColumnsWanted { samples: true, starts: true },
            limit: None,
            step_ms: if grid.count > 1 { grid.step } else { 0 },
            rollup,
        };
        let mut series = Vec::new();
        for columns in self.source.select(&request, self.context)? {
            let mut columns = columns?;
            if self.needs_totals && !self.needs_buckets && !columns.histograms.is_empty() {
                histogram::keep_totals(&mut columns.histograms);
            }
            series.push(columns);
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }

    /// The latest sample at each step, or a time of it.
    #[inline(never)]
    pub(in crate::promql) fn selector(
        &mut self,
        selector: &Selector,
        grid: &Grid,
        wanted: Wanted,
    ) -> Result<Vec<Column>> {
        let lookback = self.options.lookback_ms;
        let fixed = self.resolve_at(selector.at);
        let mut columns = Vec::new();
        for series in self.select(selector, grid, (lookback, 0), None)? {
            self.charge_grid(grid)?;
            let (values, histograms) = latest(&series, selector, grid, fixed, lookback, wanted);
            let drop_name = wanted != Wanted::Values;
            let column = Column { labels: series.labels, drop_name, values, histograms };
            if column.has_any() {
                columns.push(column);
            }
        }
        Ok(columns)
    }

    /// The windows of a range selector or subquery for all steps of `grid`.
    pub(in crate::promql) fn windows(
        &mut self,
        expr: &Expr,
        grid: &Grid,
        summary: Option<Summary>,
    ) -> Result<Windows> {
        match &expr.unwrap_parens().kind {
            ExprKind::Range(range) => self.range_windows(range, grid, summary),
            ExprKind::Subquery(subquery) => self.subquery_windows(subquery, grid),
            _ => Err(EvalError::NotSupported { what: format!("{expr} as a range vector") }),
        }
    }

    fn range_windows(
        &mut self,
        range: &RangeSelector,
        grid: &Grid,
        summary: Option<Summary>,
    ) -> Result<Windows> {
        let fixed = self.resolve_at(range.selector.at);
        let first = fixed.unwrap_or(grid.start).saturating_sub(range.selector.offset_ms);
        let step_ms = if fixed.is_none() && grid.count > 1 { grid.step } else { 0 };
        let extension = range.selector.extension;
        let rollup = summary
            .filter(|_| extension.is_none())
            .and_then(|summary| windows::rollups::request(summary, first, step_ms, range.range_ms));
        let (before_ms, after_ms) = extended::reach(extension, self.options.lookback_ms);
        let reach = (range.range_ms.saturating_add(before_ms), after_ms);
        let series = self.select(&range.selector, grid, reach, rollup)?;
        Ok(Windows {
            series: series.into_iter().map(Samples::from_stored).collect(),
            range_ms: range.range_ms,
            offset_ms: range.selector.offset_ms,
            fixed,
            before_ms,
            after_ms,
        })
    }

    #[inline(never)]
    fn subquery_windows(&mut self, subquery: &Subquery, grid: &Grid) -> Result<Windows> {
        let fixed = self.resolve_at(subquery.at);
        let step = subquery.step_ms.unwrap_or(self.options.subquery_step_ms).max(1);
        let first = fixed.unwrap_or(grid.start).saturating_sub(subquery.offset_ms);
        let last = fixed.unwrap_or(grid.last()).saturating_sub(subquery.offset_ms);
        // The window is open at its left end, and steps are multiples of the step.
        let open = first.saturating_sub(subquery.range_ms);
        let start = open.div_euclid(step).saturating_add(1).saturating_mul(step);
        let windows = |series| Windows {
            series,
            range_ms: subquery.range_ms,
            offset_ms: subquery.offset_ms,
            fixed,
            before_ms: 0,
            after_ms: 0,
        };
        let Some(inner) = Grid::range(start, last, step) else {
            return Ok(windows(Vec::new()));
        };
        self.charge_grid(&inner)?;
        let columns = self.with_needs(false, true, |e| e.vector(&subquery.expr, &inner))?;
        Ok(windows(columns.into_iter().map(|c| Samples::from_column(c, &inner)).collect()))
    }

    /// A range vector as the result of an instant query.
    pub(in crate::promql) fn raw_matrix(
        &mut self,
        expr: &Expr,
        grid: &Grid,
    ) -> Result<Vec<MatrixSeries>> {
        let mut windows = self.windows(expr, grid, None)?;
        if let ExprKind::Range(range) = &expr.unwrap_parens().kind
            && let Some(extension) = range.selector.extension
        {
            extended::extend_samples(&mut windows, grid, extension)?;
        }
        let end = windows.fixed.unwrap_or(grid.start).saturating_sub(windows.offset_ms);
        let start = end.saturating_sub(windows.range_ms);
        // An extended window has a sample at its start.
        let extended = windows.before_ms > 0;
        let inside = |time: i64| (start < time || extended && start == time) && time <= end;
        let mut matrix = Vec::new();
        for series in windows.series {
            let drop_name = series.drop_name;
            let labels = if drop_name {
                series.labels.without(&vector::METADATA_LABELS)
            } else {
                series.labels.clone()
            };
            let points = series.times.iter().zip(&series.values).filter(|(time, _)| inside(**time));
            let histograms = series.histograms.iter().filter(|(time, _)| inside(*time));
            let series = MatrixSeries {
                labels,
                points: points.map(|(time, value)| (TimestampMs(*time), *value)).collect(),
                histograms: histograms.map(|(t, h)| (TimestampMs(*t), h.clone())).collect(),
            };
            if !series.points.is_empty() || !series.histograms.is_empty() {
                matrix.push(series);
            }
        }
        matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
        if matrix.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
            return Err(EvalError::SameLabelset);
        }
        Ok(matrix)
    }
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
