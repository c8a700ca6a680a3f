//! Windows with samples around them (`anchored` and `smoothed`): nothing is extrapolated, because
//! the values at both ends of a window are known or interpolated.
//!
//! Results are those of Prometheus 3.14 (`promql/functions.go`, `extendedRate`; `promql/engine.go`,
//! `smoothSeries` and `extendFloats`).

mod histograms;

use std::sync::Arc;

use model::NativeHistogram;
use model::read::SeriesColumns;

use super::{Cell, RangeFunction, Remarks, Samples, Window, changes, resets};
use crate::errors::{EvalError, Span};
use crate::promql::ast::{Expr, ExprKind, Extension, Selector};
use crate::promql::eval::Evaluator;
use crate::vector::{Column, Grid, absent};

const ANCHORED_FUNCTIONS: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
const SMOOTHED_FUNCTIONS: [&str; 3] = ["delta", "increase", "rate"];

/// How far before and after a window samples are needed.
pub(in crate::promql) fn reach(extension: Option<Extension>, lookback_ms: i64) -> (i64, i64) {
    match extension {
        None => (0, 0),
        Some(Extension::Anchored) => (lookback_ms, 0),
        Some(Extension::Smoothed) => (lookback_ms, lookback_ms),
    }
}

/// The extension of a range vector.
pub(in crate::promql) fn of(matrix: &Expr) -> Option<Extension> {
    match &matrix.unwrap_parens().kind {
        ExprKind::Range(range) => range.selector.extension,
        _ => None,
    }
}

/// The function of this name for extended windows; fails if it makes no sense for them.
pub(super) fn find(name: &str, extension: Extension) -> Result<RangeFunction, EvalError> {
    let allowed: &[&str] = match extension {
        Extension::Anchored => &ANCHORED_FUNCTIONS,
        Extension::Smoothed => &SMOOTHED_FUNCTIONS,
    };
    let function: Option<RangeFunction> = match (name, extension) {
        ("rate", Extension::Anchored) => Some(|w, _, r| difference(w, ANCHORED_RATE, r)),
        ("increase", Extension::Anchored) => Some(|w, _, r| difference(w, ANCHORED_INCREASE, r)),
        ("delta", Extension::Anchored) => Some(|w, _, r| difference(w, ANCHORED_DELTA, r)),
        ("rate", Extension::Smoothed) => Some(|w, _, r| difference(w, SMOOTHED_RATE, r)),
        ("increase", Extension::Smoothed) => Some(|w, _, r| difference(w, SMOOTHED_INCREASE, r)),
        ("delta", Extension::Smoothed) => Some(|w, _, r| difference(w, SMOOTHED_DELTA, r)),
        ("changes", Extension::Anchored) => Some(|w, p, r| with_anchor(w, |w| changes(w, p, r))),
        ("resets", Extension::Anchored) => Some(|w, p, r| with_anchor(w, |w| resets(w, p, r))),
        _ => None,
    };
    function.ok_or_else(|| {
        let allowed = allowed.join(", ");
        EvalError::BadArgument(format!(
            "{} modifier can only be used with: {allowed} - not with {name}",
            extension.as_str()
        ))
    })
}

/// What kind of difference between both ends of a window is asked for.
#[derive(Debug, Clone, Copy)]
struct Difference {
    is_smoothed: bool,
    is_counter: bool,
    is_rate: bool,
}

const ANCHORED_RATE: Difference =
    Difference { is_smoothed: false, is_counter: true, is_rate: true };
const ANCHORED_INCREASE: Difference = Difference { is_rate: false, ..ANCHORED_RATE };
const ANCHORED_DELTA: Difference = Difference { is_counter: false, ..ANCHORED_INCREASE };
const SMOOTHED_RATE: Difference = Difference { is_smoothed: true, ..ANCHORED_RATE };
const SMOOTHED_INCREASE: Difference = Difference { is_rate: false, ..SMOOTHED_RATE };
const SMOOTHED_DELTA: Difference = Difference { is_counter: false, ..SMOOTHED_INCREASE };

fn difference(window: &Window<'_>, wanted: Difference, remarks: &mut Remarks<'_>) -> Cell {
    if !window.histograms.is_empty() {
        if !window.values.is_empty() {
            let metric = remarks.metric;
            let text =
                format!("encountered a mix of histograms and floats for metric name {metric:?}");
            remarks.notes.warn(remarks.span, &text);
            return Cell::Empty;
        }
        return histograms::difference(window, wanted, remarks);
    }
    let edges = Edges::of(window.times, window.start, window.end, wanted.is_smoothed);
    let Some(edges) =
        edges.filter(|edges| !wanted.is_smoothed || window.times[edges.first] <= window.end)
    else {
        return Cell::Empty;
    };
    let points = Points { times: window.times, values: window.values };
    let left = points.left(&edges, window.start, wanted);
    let right = points.right(&edges, window.end, wanted);
    let mut result = right - left;
    if wanted.is_counter {
        // The ends are part of `left` and `right`, with their resets.
        let from = edges.first + usize::from(window.times[edges.first] <= window.start);
        let to = edges.last + usize::from(window.times[edges.last] < window.end);
        let between = window.values.get(from..to).unwrap_or(&[]);
        result += lost_at_resets(left, between, right);
    }
    if wanted.is_rate {
        result /= (window.end - window.start) as f64 / 1000.0;
    }
    Cell::Float(result)
}

/// The samples at or around both ends of a window.
#[derive(Debug, Clone, Copy)]
struct Edges {
    first: usize,
    last: usize,
}

impl Edges {
    /// `None` if no sample is after the start of the window.
    fn of(times: &[i64], start: i64, end: i64, is_smoothed: bool) -> Option<Self> {
        let (newest, older) = times.split_last()?;
        let first = older.partition_point(|at| *at <= start).saturating_sub(1);
        let last = if is_smoothed { older.partition_point(|at| *at < end) } else { older.len() };
        let last_at = older.get(last).unwrap_or(newest);
        (*last_at > start).then_some(Edges { first, last })
    }
}

#[derive(Clone, Copy)]
struct Points<'a> {
    times: &'a [i64],
    values: &'a [f64],
}

impl Points<'_> {
    /// The value at the start of the window.
    fn left(&self, edges: &Edges, start: i64, wanted: Difference) -> f64 {
        let first = edges.first;
        if wanted.is_smoothed && self.times[first] < start && first + 1 < self.times.len() {
            return self.between(first, start, wanted.is_counter);
        }
        self.values[first]
    }

    /// The value at the end of the window.
    fn right(&self, edges: &Edges, end: i64, wanted: Difference) -> f64 {
        let last = edges.last;
        if wanted.is_smoothed && last > 0 && self.times[last] > end {
            return self.between(last - 1, end, wanted.is_counter);
        }
        self.values[last]
    }

    /// Interpolates between a sample and the next one. A counter starts at zero after a reset.
    fn between(&self, index: usize, at: i64, is_counter: bool) -> f64 {
        let (mut before, after) = (self.values[index], self.values[index + 1]);
        if is_counter && after < before {
            before = 0.0;
        }
        let (from, to) = (self.times[index], self.times[index + 1]);
        before + (after - before) * (at - from) as f64 / (to - from) as f64
    }
}

fn lost_at_resets(left: f64, between: &[f64], right: f64) -> f64 {
    let (mut lost, mut previous) = (0.0, left);
    for value in between.iter().copied().chain([right]) {
        if value < previous {
            lost += previous;
        }
        previous = value;
    }
    lost
}

/// Computes over the samples in the window and the last one before it.
fn with_anchor(window: &Window<'_>, compute: impl FnOnce(&Window<'_>) -> Cell) -> Cell {
    let float = window.times.partition_point(|time| *time <= window.start);
    let histogram = window.histograms.partition_point(|(time, _)| *time <= window.start);
    if float == window.times.len() && histogram == window.histograms.len() {
        return Cell::Empty;
    }
    let float_at = float.checked_sub(1).map(|i| window.times[i]);
    let histogram_at = histogram.checked_sub(1).map(|i| window.histograms[i].0);
    let (float, histogram) = match (float_at, histogram_at) {
        (None, None) => (float, histogram),
        (float_at, histogram_at) if float_at >= histogram_at => (float - 1, histogram),
        _ => (float, histogram - 1),
    };
    compute(&window.from(float, histogram))
}

/// Without the samples outside of the window.
pub(super) fn inside<'a>(window: &Window<'a>) -> Window<'a> {
    let float = window.times.partition_point(|time| *time <= window.start);
    let histogram = window.histograms.partition_point(|(time, _)| *time <= window.start);
    let mut inside = window.from(float, histogram);
    let floats = inside.times.partition_point(|time| *time <= window.end);
    let histograms = inside.histograms.partition_point(|(time, _)| *time <= window.end);
    inside.times = &inside.times[..floats];
    inside.values = &inside.values[..floats];
    inside.starts = inside.starts.get(..floats).unwrap_or(&[]);
    inside.histograms = &inside.histograms[..histograms];
    inside
}

/// Samples of a range vector that is itself the result: one at each end, and those between.
pub(in crate::promql) fn extend_samples(
    series: &mut Samples,
    (start, end): (i64, i64),
    extension: Extension,
) -> Result<(), EvalError> {
    let is_smoothed = extension == Extension::Smoothed;
    if !series.histograms.is_empty() {
        let word = extension.as_str();
        let message = format!("{word} modifier is not supported with histograms");
        return Err(EvalError::BadArgument(message));
    }
    let points = Points { times: &series.times, values: &series.values };
    let wanted = Difference { is_smoothed, ..ANCHORED_DELTA };
    let (times, values) = match Edges::of(points.times, start, end, is_smoothed) {
        Some(edges) => {
            let inner = edges.first..=edges.last;
            let inner = inner.filter(|i| start < points.times[*i] && points.times[*i] < end);
            let mut samples = vec![(start, points.left(&edges, start, wanted))];
            samples.extend(inner.map(|i| (points.times[i], points.values[i])));
            samples.push((end, points.right(&edges, end, wanted)));
            samples.into_iter().unzip()
        }
        None => (Vec::new(), Vec::new()),
    };
    (series.times, series.values) = (Arc::new(times), values);
    Ok(())
}

/// An instant vector whose values are interpolated between the samples around each step.
pub(in crate::promql) fn smooth(
    evaluator: &mut Evaluator<'_>,
    expr: &Expr,
    selector: &Selector,
    grid: &Grid,
) -> Result<Vec<Column>, EvalError> {
    let reach = evaluator.options.lookback_ms;
    let fixed = evaluator.resolve_at(selector.at);
    let mut columns = Vec::new();
    for series in evaluator.select(selector, grid, (reach, reach))? {
        let cells = grid.count as u64;
        evaluator.context.charge(cells, cells.saturating_mul(8))?;
        let samples = Samples::from_stored(SeriesColumns { rollup: None, ..series });
        let mut column = Column::floats(samples.labels.clone(), false, vec![absent(); grid.count]);
        let metric = samples.labels.metric_name();
        let mut smoother =
            Smoother { samples: &samples, metric, span: expr.span, evaluator, reach };
        for step in 0..grid.count {
            let at = fixed.unwrap_or(grid.at(step)).saturating_sub(selector.offset_ms);
            match smoother.at(at) {
                Cell::Empty => {}
                Cell::Float(value) => column.values[step] = value,
                Cell::Histogram(histogram) => {
                    column.histograms.resize(grid.count, None);
                    column.histograms[step] = Some(histogram);
                }
            }
        }
        if column.has_any() {
            columns.push(column);
        }
    }
    Ok(columns)
}

struct Smoother<'a, 'b, 'c> {
    samples: &'a Samples,
    metric: &'a str,
    span: Span,
    evaluator: &'b mut Evaluator<'c>,
    reach: i64,
}

impl Smoother<'_, '_, '_> {
    fn at(&mut self, at: i64) -> Cell {
        let (open, last) = (at.saturating_sub(self.reach), at.saturating_add(self.reach));
        let times = &*self.samples.times;
        let from = times.partition_point(|time| *time <= open);
        let to = times.partition_point(|time| *time <= last);
        let histograms = &self.samples.histograms;
        let histogram_from = histograms.partition_point(|(time, _)| *time <= open);
        let histogram_to = histograms.partition_point(|(time, _)| *time <= last);
        let histograms = &histograms[histogram_from..histogram_to];
        if histograms.is_empty() {
            let values = &self.samples.values[from..to];
            return float_at(&Points { times: &times[from..to], values }, at);
        }
        let mut remarks =
            Remarks { notes: &mut self.evaluator.notes, span: self.span, metric: self.metric };
        if from < to {
            let metric = self.metric;
            let text =
                format!("encountered a mix of histograms and floats for metric name {metric:?}");
            remarks.notes.warn(remarks.span, &text);
            return Cell::Empty;
        }
        histograms::at(histograms, at, &mut remarks)
    }
}

fn float_at(points: &Points<'_>, at: i64) -> Cell {
    let next = points.times.partition_point(|time| *time < at);
    match (next.checked_sub(1), points.times.get(next)) {
        (_, Some(time)) if *time == at => Cell::Float(points.values[next]),
        (Some(before), Some(_)) => Cell::Float(points.between(before, at, false)),
        (Some(before), None) => Cell::Float(points.values[before]),
        (None, _) => Cell::Empty,
    }
}

/// A histogram of a window with its time.
type Point = (i64, Arc<NativeHistogram>);
