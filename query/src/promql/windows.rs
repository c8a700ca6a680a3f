//! Functions over windows of samples: `rate`, `avg_over_time` and their kin.
//!
//! A window is open at its left end. All windows of one series are computed in one pass with two
//! positions that only move forward.

mod deltas;
mod rates;
pub(super) mod rollups;

use std::sync::Arc;

use model::labels::{DELTA, METRIC_NAME, TEMPORALITY};
use model::read::SeriesColumns;
use model::rollup::Rollup;
use model::sample::is_stale;
use model::{Labels, NativeHistogram, QueryContext};

use self::rates::{extrapolated, start_says_reset};
use super::ast::{Call, Expr, ExprKind, ValueType};
use super::eval::Evaluator;
use crate::errors::{EvalError, Span};
use crate::text::format_float;
use crate::vector::{Column, Grid, Notes, absent, is_absent, kahan_add, quantile};

/// The samples of one series; staleness markers are removed.
pub(super) struct Samples {
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    pub(super) times: Arc<Vec<i64>>,
    pub(super) values: Vec<f64>,
    /// Start times of the values, or empty.
    pub(super) starts: Vec<i64>,
    pub(super) histograms: Vec<(i64, Arc<NativeHistogram>)>,
    /// In place of all samples.
    pub(super) rollup: Option<Box<Rollup>>,
}

impl Samples {
    pub(super) fn from_stored(series: SeriesColumns) -> Self {
        let SeriesColumns { labels, times_ms, values, starts_ms, histograms, rollup, .. } = series;
        let histograms = histograms
            .into_iter()
            .filter(|(_, histogram)| !is_stale(histogram.sum))
            .map(|(time, histogram)| (time.0, histogram))
            .collect();
        let starts = if starts_ms.iter().all(|start| *start == 0) { Vec::new() } else { starts_ms };
        if !values.iter().any(|value| is_stale(*value)) {
            return Samples {
                labels,
                drop_name: false,
                times: times_ms,
                values,
                starts,
                histograms,
                rollup,
            };
        }
        let kept: Vec<usize> = (0..values.len()).filter(|i| !is_stale(values[*i])).collect();
        Samples {
            labels,
            drop_name: false,
            times: Arc::new(kept.iter().map(|i| times_ms[*i]).collect()),
            starts: kept.iter().filter_map(|i| starts.get(*i).copied()).collect(),
            values: kept.iter().map(|i| values[*i]).collect(),
            histograms,
            rollup,
        }
    }

    pub(super) fn from_column(column: Column, grid: &Grid) -> Self {
        let kept = (0..grid.count).filter(|i| !is_absent(column.values[*i]));
        let (times, values) = kept.map(|i| (grid.at(i), column.values[i])).unzip();
        let histograms = column.histograms.iter().enumerate();
        Samples {
            times: Arc::new(times),
            values,
            starts: Vec::new(),
            histograms: histograms
                .filter_map(|(i, histogram)| Some((grid.at(i), histogram.clone()?)))
                .collect(),
            labels: column.labels,
            drop_name: column.drop_name,
            rollup: None,
        }
    }
}

/// Series with what a window over them looks like.
pub(super) struct Windows {
    pub(super) series: Vec<Samples>,
    pub(super) range_ms: i64,
    pub(super) offset_ms: i64,
    /// The time that replaces the evaluation time.
    pub(super) fixed: Option<i64>,
}

/// The samples of one series in one window.
struct Window<'a> {
    times: &'a [i64],
    values: &'a [f64],
    starts: &'a [i64],
    histograms: &'a [(i64, Arc<NativeHistogram>)],
    /// The open left end.
    start: i64,
    end: i64,
    /// The evaluation time.
    at: i64,
}

enum Cell {
    Empty,
    Float(f64),
    Histogram(Arc<NativeHistogram>),
}

/// Where a function says what it could not use.
struct Remarks<'a> {
    notes: &'a mut Notes,
    function: &'static str,
    span: Span,
    metric: &'a str,
}

type RangeFunction = fn(&Window<'_>, [f64; 2], &mut Remarks<'_>) -> Cell;

/// Evaluates a call that has a range vector among its arguments.
pub(super) fn call(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    grid: &Grid,
) -> Result<Vec<Column>, EvalError> {
    let name = call.function.name;
    let mut parameters: Vec<Vec<f64>> = Vec::new();
    let mut matrix: Option<&Expr> = None;
    for argument in &call.arguments {
        if argument.value_type() == ValueType::Matrix {
            matrix = Some(argument);
        } else {
            parameters.push(evaluator.scalar(argument, grid)?);
        }
    }
    let Some(matrix) = matrix else {
        return Err(EvalError::NotSupported { what: format!("{name} without a range vector") });
    };
    let windows = evaluator.windows(matrix, grid, rollups::summary_of(name))?;
    if name == "absent_over_time" {
        return absent_over_time(matrix, &windows, grid, evaluator.context);
    }
    let function = find(name).ok_or_else(|| EvalError::NotSupported { what: name.to_owned() })?;
    if name == "quantile_over_time" && !windows.series.is_empty() {
        let span = call.arguments[0].unwrap_parens().span;
        for q in parameters[0].iter().filter(|q| !(0.0..=1.0).contains(*q)) {
            let q = format_float(*q);
            let text = format!("quantile value should be between 0 and 1, got {q}");
            evaluator.notes.warn(span, &text);
        }
    }
    if name == "double_exponential_smoothing" {
        check_smoothing(&parameters)?;
    }
    let keeps_name = matches!(name, "last_over_time" | "first_over_time");
    let span = matrix.unwrap_parens().span;
    let mut columns = Vec::with_capacity(windows.series.len());
    for series in &windows.series {
        let cells = grid.count as u64;
        evaluator.context.charge(cells, cells.saturating_mul(8))?;
        let metric = series.labels.metric_name();
        let mut remarks = Remarks { notes: &mut evaluator.notes, function: name, span, metric };
        let is_delta = series.labels.get(TEMPORALITY) == Some(DELTA);
        let of_deltas = is_delta.then(|| deltas::find(name)).flatten();
        let function = of_deltas.unwrap_or(function);
        let context = evaluator.context;
        let (values, histograms) = match &series.rollup {
            Some(rollup) => {
                (rollups::over_windows(name, rollup, &windows, grid, &mut remarks)?, Vec::new())
            }
            None => over_windows(series, &windows, grid, context, |step, window| {
                let parameter = |i: usize| parameters.get(i).map_or(0.0, |values| values[step]);
                function(window, [parameter(0), parameter(1)], &mut remarks)
            })?,
        };
        let column = Column {
            // What is no sum of samples any more is no delta either.
            labels: match of_deltas {
                Some(_) => series.labels.without(&[TEMPORALITY]),
                None => series.labels.clone(),
            },
            drop_name: series.drop_name || !keeps_name,
            values,
            histograms,
        };
        if !column.has_any() {
            continue;
        }
        let counter_suffix = ["_total", "_sum", "_count", "_bucket"];
        if matches!(name, "rate" | "increase")
            && !metric.is_empty()
            && column.values.iter().any(|value| !is_absent(*value))
            && !counter_suffix.iter().any(|suffix| metric.ends_with(suffix))
        {
            let text = format!(
                "metric might not be a counter, name does not end in \
                 _total/_sum/_count/_bucket: {metric:?}"
            );
            evaluator.notes.info(span, &text);
        }
        columns.push(column);
    }
    Ok(columns)
}

type Cells = (Vec<f64>, Vec<Option<Arc<NativeHistogram>>>);

/// A query asks whether it may go on after this many samples of windows.
const SAMPLES_PER_CHECK: usize = 100_000;

fn over_windows(
    series: &Samples,
    windows: &Windows,
    grid: &Grid,
    context: &QueryContext,
    mut compute: impl FnMut(usize, &Window<'_>) -> Cell,
) -> Result<Cells, EvalError> {
    let mut unchecked = 0;
    let mut values = vec![absent(); grid.count];
    let mut histograms = Vec::new();
    let (mut from, mut to, mut histogram_from, mut histogram_to) = (0, 0, 0, 0);
    let times = &series.times;
    for (step, cell) in values.iter_mut().enumerate() {
        let at = grid.at(step);
        let end = windows.fixed.unwrap_or(at).saturating_sub(windows.offset_ms);
        let start = end.saturating_sub(windows.range_ms);
        while times.get(to).is_some_and(|time| *time <= end) {
            to += 1;
        }
        while from < to && times[from] <= start {
            from += 1;
        }
        while series.histograms.get(histogram_to).is_some_and(|(time, _)| *time <= end) {
            histogram_to += 1;
        }
        while histogram_from < histogram_to && series.histograms[histogram_from].0 <= start {
            histogram_from += 1;
        }
        if from == to && histogram_from == histogram_to {
            continue;
        }
        unchecked += 1 + to - from + histogram_to - histogram_from;
        if unchecked > SAMPLES_PER_CHECK {
            context.check()?;
            unchecked = 0;
        }
        let window = Window {
            times: &times[from..to],
            values: &series.values[from..to],
            starts: series.starts.get(from..to).unwrap_or(&[]),
            histograms: &series.histograms[histogram_from..histogram_to],
            start,
            end,
            at,
        };
        match compute(step, &window) {
            Cell::Empty => {}
            Cell::Float(value) => *cell = value,
            Cell::Histogram(histogram) => {
                histograms.resize(grid.count, None);
                histograms[step] = Some(histogram);
            }
        }
    }
    Ok((values, histograms))
}

fn absent_over_time(
    matrix: &Expr,
    windows: &Windows,
    grid: &Grid,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    let mut values = vec![1.0; grid.count];
    for series in &windows.series {
        let (present, _) = over_windows(series, windows, grid, context, |_, _| Cell::Float(1.0))?;
        for (value, present) in values.iter_mut().zip(present) {
            if !is_absent(present) {
                *value = absent();
            }
        }
    }
    let labels = match &matrix.unwrap_parens().kind {
        ExprKind::Range(range) => range.selector.absent_labels(),
        _ => Labels::empty(),
    };
    Ok(vec![Column::floats(labels.without(&[METRIC_NAME]), false, values)])
}

fn check_smoothing(parameters: &[Vec<f64>]) -> Result<(), EvalError> {
    for (values, what) in parameters.iter().zip(["smoothing", "trend"]) {
        if let Some(bad) = values.iter().find(|value| !(**value > 0.0 && **value < 1.0)) {
            return Err(EvalError::BadArgument(format!(
                "invalid {what} factor. Expected: 0 < {} < 1, got: {bad:.6}",
                if what == "smoothing" { "sf" } else { "tf" }
            )));
        }
    }
    Ok(())
}

fn find(name: &str) -> Option<RangeFunction> {
    Some(match name {
        "rate" => |w, _, r| extrapolated(w, true, true, r),
        "increase" => |w, _, r| extrapolated(w, true, false, r),
        "delta" => |w, _, r| extrapolated(w, false, false, r),
        "irate" => |w, _, r| last_two(w, true, r),
        "idelta" => |w, _, r| last_two(w, false, r),
        "deriv" => |w, _, r| {
            r.ignore_histograms(w, 1);
            trend(w, w.times.first().copied().unwrap_or(0), |slope, _| slope)
        },
        "predict_linear" => |w, [seconds, _], r| {
            r.ignore_histograms(w, 1);
            trend(w, w.at, |slope, intercept| slope * seconds + intercept)
        },
        "changes" => changes,
        "resets" => resets,
        "avg_over_time" => |w, _, r| r.floats_only(w, average),
        "sum_over_time" => |w, _, r| r.floats_only(w, sum),
        "min_over_time" => |w, _, r| extreme(w, r, |new, old| new < old, false),
        "max_over_time" => |w, _, r| extreme(w, r, |new, old| new > old, false),
        "ts_of_min_over_time" => |w, _, r| extreme(w, r, |new, old| new <= old, true),
        "ts_of_max_over_time" => |w, _, r| extreme(w, r, |new, old| new >= old, true),
        "count_over_time" => |w, _, _| Cell::Float((w.values.len() + w.histograms.len()) as f64),
        "present_over_time" => |_, _, _| Cell::Float(1.0),
        "first_over_time" => |w, _, _| edge(w, |float, histogram| float < histogram, false),
        "last_over_time" => |w, _, _| edge(w, |float, histogram| float > histogram, true),
        "ts_of_first_over_time" => |w, _, _| {
            let times = w.times.first().into_iter().chain(w.histograms.first().map(|(t, _)| t));
            times.min().map_or(Cell::Empty, |time| Cell::Float(*time as f64 / 1000.0))
        },
        "ts_of_last_over_time" => |w, _, _| {
            let times = w.times.last().into_iter().chain(w.histograms.last().map(|(t, _)| t));
            times.max().map_or(Cell::Empty, |time| Cell::Float(*time as f64 / 1000.0))
        },
        "quantile_over_time" => |w, [q, _], r| {
            r.ignore_histograms(w, 1);
            some_floats(w, |values| quantile(q, &mut values.to_vec()))
        },
        "mad_over_time" => |w, _, r| {
            r.ignore_histograms(w, 1);
            some_floats(w, |values| {
                if values.iter().any(|value| value.is_nan()) {
                    return f64::NAN;
                }
                let median = quantile(0.5, &mut values.to_vec());
                let mut distances: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
                quantile(0.5, &mut distances)
            })
        },
        "stddev_over_time" => |w, _, r| {
            r.ignore_histograms(w, 1);
            some_floats(w, |values| variance(values).sqrt())
        },
        "stdvar_over_time" => |w, _, r| {
            r.ignore_histograms(w, 1);
            some_floats(w, variance)
        },
        "double_exponential_smoothing" => |w, [smoothing, trend], r| {
            r.ignore_histograms(w, 1);
            smooth(w.values, smoothing, trend)
        },
        _ => return None,
    })
}

impl Remarks<'_> {
    /// For functions that are about floats: says that histograms in a mixed window do not count.
    fn ignore_histograms(&mut self, window: &Window<'_>, floats_min: usize) {
        if !window.histograms.is_empty() && window.values.len() >= floats_min {
            let text = format!(
                "ignored histograms in a range containing both floats and histograms for metric \
                 name {:?}",
                self.metric
            );
            self.notes.info(self.span, &text);
        }
    }

    /// For functions that Prometheus also has for histograms: answers only for windows of floats.
    fn refuses(&mut self, window: &Window<'_>) -> bool {
        if window.histograms.is_empty() {
            return false;
        }
        let text = if window.values.is_empty() {
            let function = self.function;
            format!(
                "{function} of native histograms is not supported yet for metric name {:?}",
                self.metric
            )
        } else {
            format!("encountered a mix of histograms and floats for metric name {:?}", self.metric)
        };
        self.notes.warn(self.span, &text);
        true
    }

    fn floats_only(&mut self, window: &Window<'_>, compute: fn(&[f64]) -> f64) -> Cell {
        if self.refuses(window) { Cell::Empty } else { Cell::Float(compute(window.values)) }
    }
}

fn some_floats(window: &Window<'_>, compute: impl FnOnce(&[f64]) -> f64) -> Cell {
    if window.values.is_empty() { Cell::Empty } else { Cell::Float(compute(window.values)) }
}

/// `irate` and `idelta`.
fn last_two(window: &Window<'_>, is_rate: bool, remarks: &mut Remarks<'_>) -> Cell {
    if window.values.len() + window.histograms.len() < 2 {
        return Cell::Empty;
    }
    // Only histograms among the last two samples matter.
    let floats_last = match (window.histograms.last(), window.times.iter().rev().nth(1)) {
        (None, _) => true,
        (Some((histogram, _)), Some(float)) => histogram < float,
        (Some(_), None) => false,
    };
    if !floats_last {
        remarks.refuses(window);
        return Cell::Empty;
    }
    let last = window.values.len() - 1;
    let (older, newer) = (window.values[last - 1], window.values[last]);
    let gap_ms = window.times[last] - window.times[last - 1];
    if gap_ms == 0 {
        return Cell::Empty;
    }
    let reset = is_rate && (newer < older || start_says_reset(window, last));
    let difference = if reset { newer } else { newer - older };
    Cell::Float(if is_rate { difference / (gap_ms as f64 / 1000.0) } else { difference })
}

/// Least squares with compensated sums.
fn trend(window: &Window<'_>, intercept_at: i64, result: impl FnOnce(f64, f64) -> f64) -> Cell {
    let values = window.values;
    if values.len() < 2 {
        return Cell::Empty;
    }
    if values.iter().all(|value| *value == values[0]) {
        let (slope, intercept) =
            if values[0].is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, values[0]) };
        return Cell::Float(result(slope, intercept));
    }
    let mut sums = [(0.0, 0.0); 4];
    for (time, y) in window.times.iter().zip(values) {
        let x = (time - intercept_at) as f64 / 1e3;
        for (sum, add) in sums.iter_mut().zip([x, *y, x * y, x * x]) {
            *sum = kahan_add(add, sum.0, sum.1);
        }
    }
    let n = values.len() as f64;
    let [x, y, xy, xx] = sums.map(|(sum, compensation)| sum + compensation);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    let intercept = y / n - slope * x / n;
    Cell::Float(result(slope, intercept))
}

/// A sample of either kind, for the functions that count over both.
#[derive(Clone, Copy)]
enum Either<'a> {
    Float(usize, f64),
    Histogram(&'a Arc<NativeHistogram>),
}

fn in_order<'a>(window: &'a Window<'_>) -> Vec<Either<'a>> {
    let mut all: Vec<(i64, Either<'a>)> = window
        .times
        .iter()
        .zip(window.values)
        .enumerate()
        .map(|(i, (time, value))| (*time, Either::Float(i, *value)))
        .collect();
    all.extend(window.histograms.iter().map(|(time, h)| (*time, Either::Histogram(h))));
    all.sort_by_key(|(time, _)| *time);
    all.into_iter().map(|(_, sample)| sample).collect()
}

fn changes(window: &Window<'_>, _: [f64; 2], _: &mut Remarks<'_>) -> Cell {
    let differ = |a: f64, b: f64| a != b && !(a.is_nan() && b.is_nan());
    let count = if window.histograms.is_empty() {
        window.values.windows(2).filter(|pair| differ(pair[0], pair[1])).count()
    } else {
        let samples = in_order(window);
        let changed = |pair: &&[Either<'_>]| match (pair[0], pair[1]) {
            (Either::Float(_, a), Either::Float(_, b)) => differ(a, b),
            (Either::Histogram(a), Either::Histogram(b)) => a != b,
            _ => true,
        };
        samples.windows(2).filter(changed).count()
    };
    Cell::Float(count as f64)
}

fn resets(window: &Window<'_>, _: [f64; 2], remarks: &mut Remarks<'_>) -> Cell {
    if window.histograms.len() > 1 {
        let text = format!(
            "resets of native histograms is not supported yet for metric name {:?}",
            remarks.metric
        );
        remarks.notes.warn(remarks.span, &text);
        return Cell::Empty;
    }
    let samples = in_order(window);
    let count = samples.windows(2).filter(|pair| match (pair[0], pair[1]) {
        (Either::Float(_, a), Either::Float(i, b)) => b < a || start_says_reset(window, i),
        _ => true,
    });
    Cell::Float(count.count() as f64)
}

fn average(values: &[f64]) -> f64 {
    let (mut sum, mut compensation) = (values[0], 0.0);
    for (i, value) in values.iter().enumerate().skip(1) {
        let (next, next_compensation) = kahan_add(*value, sum, compensation);
        if next.is_infinite() {
            return incremental_average(values, i, sum, compensation);
        }
        (sum, compensation) = (next, next_compensation);
    }
    let count = values.len() as f64;
    sum / count + compensation / count
}

/// Goes on from the sum of the first `seen` values, which would overflow with the next one.
fn incremental_average(values: &[f64], seen: usize, sum: f64, compensation: f64) -> f64 {
    let (mut mean, mut compensation) = (sum / seen as f64, compensation / seen as f64);
    for (i, value) in values.iter().enumerate().skip(seen) {
        let count = (i + 1) as f64;
        let weight = (count - 1.0) / count;
        (mean, compensation) = kahan_add(value / count, weight * mean, weight * compensation);
    }
    mean + compensation
}

fn sum(values: &[f64]) -> f64 {
    let (mut sum, mut compensation) = (0.0, 0.0);
    for value in values {
        (sum, compensation) = kahan_add(*value, sum, compensation);
    }
    if sum.is_infinite() { sum } else { sum + compensation }
}

fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut mean_c, mut squares, mut squares_c) = (0.0, 0.0, 0.0, 0.0);
    let mut count = 0.0;
    for value in values {
        count += 1.0;
        let delta = value - (mean + mean_c);
        (mean, mean_c) = kahan_add(delta / count, mean, mean_c);
        (squares, squares_c) = kahan_add(delta * (value - (mean + mean_c)), squares, squares_c);
    }
    (squares + squares_c) / count
}

fn extreme(
    window: &Window<'_>,
    remarks: &mut Remarks<'_>,
    better: fn(f64, f64) -> bool,
    want_time: bool,
) -> Cell {
    let Some(mut best) = window.values.first().copied() else { return Cell::Empty };
    remarks.ignore_histograms(window, 1);
    let mut best_time = window.times[0];
    for (time, value) in window.times.iter().zip(window.values) {
        if better(*value, best) || best.is_nan() {
            (best, best_time) = (*value, *time);
        }
    }
    Cell::Float(if want_time { best_time as f64 / 1000.0 } else { best })
}

/// The first or the last sample of either kind.
fn edge(window: &Window<'_>, float_wins: fn(i64, i64) -> bool, last: bool) -> Cell {
    let at = |length: usize| if last { length.checked_sub(1) } else { (length > 0).then_some(0) };
    let float = at(window.values.len());
    let histogram = at(window.histograms.len()).map(|i| &window.histograms[i]);
    match (float, histogram) {
        (Some(i), Some((time, _))) if float_wins(window.times[i], *time) => {
            Cell::Float(window.values[i])
        }
        (_, Some((_, histogram))) => Cell::Histogram(histogram.clone()),
        (Some(i), None) => Cell::Float(window.values[i]),
        (None, None) => Cell::Empty,
    }
}

/// Holt's linear smoothing (`double_exponential_smoothing`).
fn smooth(values: &[f64], smoothing: f64, trend_factor: f64) -> Cell {
    if values.len() < 2 {
        return Cell::Empty;
    }
    let (mut before, mut level, mut trend) = (0.0, values[0], values[1] - values[0]);
    for (i, value) in values.iter().enumerate().skip(1) {
        if i > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        (before, level) = (level, next);
    }
    Cell::Float(level)
}
