//! Functions over windows of samples: `rate`, `avg_over_time` and their kin.
//!
//! A window is open at its left end. All windows of one series are computed in one pass with two
//! positions that only move forward.

mod changes;
mod counters;
mod deltas;
pub(super) mod extended;
mod floats;
mod functions;
mod histograms;
mod rates;
pub(super) mod rollups;

use std::sync::Arc;

use model::labels::{DELTA, METRIC_NAME, TEMPORALITY};
use model::read::SeriesColumns;
use model::rollup::Rollup;
use model::sample::is_stale;
use model::{Labels, NativeHistogram, QueryContext, ResetHint};

use self::changes::{changes, resets};
use self::counters::Plans;
use self::floats::sum;
use self::functions::find;
use super::ast::{Call, Expr, ExprKind, Extension, ValueType};
use super::eval::{Evaluator, Sink, Windows};
use crate::errors::{EvalError, Span};
use crate::vector::{Column, Grid, Notes, absent, is_absent};

/// The samples of one series; staleness markers are removed.
pub(super) struct Samples {
    pub(super) labels: Labels,
    pub(super) drop_name: bool,
    pub(super) times: Arc<Vec<i64>>,
    pub(super) values: Vec<f64>,
    /// Start times of the values, or empty.
    pub(super) starts: Vec<i64>,
    pub(super) histograms: Vec<(i64, Arc<NativeHistogram>)>,
    /// Start times of the histograms, or empty.
    pub(super) histogram_starts: Vec<i64>,
    /// In place of all samples.
    pub(super) rollup: Option<Box<Rollup>>,
}

impl Samples {
    pub(super) fn from_stored(series: SeriesColumns) -> Self {
        let SeriesColumns { labels, times_ms, values, starts_ms, rollup, .. } = series;
        let mut samples = Samples {
            labels,
            drop_name: false,
            times: times_ms,
            values,
            starts: known_starts(starts_ms),
            histograms: Vec::new(),
            histogram_starts: Vec::new(),
            rollup,
        };
        if !series.histograms.is_empty() {
            let starts = known_starts(series.histogram_starts_ms);
            for (i, (time, histogram)) in series.histograms.into_iter().enumerate() {
                if !is_stale(histogram.sum) {
                    samples.histograms.push((time.0, histogram));
                    samples.histogram_starts.extend(starts.get(i));
                }
            }
        }
        if samples.values.iter().any(|value| is_stale(*value)) {
            let Samples { times, values, starts, .. } = &samples;
            let kept: Vec<usize> = (0..values.len()).filter(|i| !is_stale(values[*i])).collect();
            let kept_times = kept.iter().map(|i| times[*i]).collect();
            let kept_starts = kept.iter().filter_map(|i| starts.get(*i).copied()).collect();
            samples.values = kept.iter().map(|i| values[*i]).collect();
            (samples.times, samples.starts) = (Arc::new(kept_times), kept_starts);
        }
        samples
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
                .filter_map(|(i, histogram)| Some((grid.at(i), without_hint(histogram.as_ref()?))))
                .collect(),
            histogram_starts: Vec::new(),
            labels: column.labels,
            drop_name: column.drop_name,
            rollup: None,
        }
    }
}

/// What was known of a counter reset is about the sample before it, which a subquery may have left
/// out or repeated.
fn without_hint(histogram: &Arc<NativeHistogram>) -> Arc<NativeHistogram> {
    let mut histogram = histogram.clone();
    if matches!(histogram.reset_hint, ResetHint::Reset | ResetHint::NotReset) {
        Arc::make_mut(&mut histogram).reset_hint = ResetHint::Unknown;
    }
    histogram
}

/// Start times, or nothing if none of them is known.
fn known_starts(starts: Vec<i64>) -> Vec<i64> {
    if starts.iter().all(|start| *start == 0) { Vec::new() } else { starts }
}

/// What windows look like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) range_ms: i64,
    pub(super) offset_ms: i64,
    /// The time that replaces the evaluation time.
    pub(super) fixed: Option<i64>,
    /// How far before its start a window also has samples.
    pub(super) before_ms: i64,
    /// How far after its end.
    pub(super) after_ms: i64,
}

impl Shape {
    /// The window of an evaluation time: its open left end and its right end.
    pub(super) fn bounds(&self, at: i64) -> (i64, i64) {
        let end = self.fixed.unwrap_or(at).saturating_sub(self.offset_ms);
        (end.saturating_sub(self.range_ms), end)
    }
}

/// The samples of one series in one window.
struct Window<'a> {
    times: &'a [i64],
    values: &'a [f64],
    starts: &'a [i64],
    histograms: &'a [(i64, Arc<NativeHistogram>)],
    histogram_starts: &'a [i64],
    /// The open left end.
    start: i64,
    end: i64,
    /// The evaluation time.
    at: i64,
}

impl<'a> Window<'a> {
    /// Without the first floats and histograms.
    fn from(&self, float: usize, histogram: usize) -> Window<'a> {
        Window {
            times: self.times.get(float..).unwrap_or(&[]),
            values: self.values.get(float..).unwrap_or(&[]),
            starts: self.starts.get(float..).unwrap_or(&[]),
            histograms: self.histograms.get(histogram..).unwrap_or(&[]),
            histogram_starts: self.histogram_starts.get(histogram..).unwrap_or(&[]),
            ..*self
        }
    }
}

enum Cell {
    Empty,
    Float(f64),
    Histogram(Arc<NativeHistogram>),
}

/// Where a function says what it could not use.
struct Remarks<'a> {
    notes: &'a mut Notes,
    span: Span,
    metric: &'a str,
}

/// Functions to which start times tell of resets.
const NEED_STARTS: [&str; 7] =
    ["rate", "increase", "delta", "irate", "idelta", "resets", "changes"];

type RangeFunction = fn(&Window<'_>, [f64; 2], &mut Remarks<'_>) -> Cell;

/// A function of range vectors, ready to be applied to one series after the other.
struct RangeCall<'e> {
    name: &'static str,
    function: RangeFunction,
    /// The numbers among the arguments, one for each step.
    parameters: Vec<Vec<f64>>,
    extension: Option<Extension>,
    span: Span,
    grid: &'e Grid,
}

/// Evaluates a call that has a range vector among its arguments; hands out one series after the
/// other, in no order.
pub(super) fn call(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    grid: &Grid,
    sink: &mut Sink<'_>,
) -> Result<(), EvalError> {
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
    if name == "absent_over_time" {
        let column = absent_over_time(evaluator, matrix, grid)?;
        return sink(evaluator, column);
    }
    let extension = extended::of(matrix);
    let extended_function = extension.map(|e| extended::find(name, e)).transpose()?;
    let function = extended_function
        .or_else(|| find(name))
        .ok_or_else(|| EvalError::NotSupported { what: name.to_owned() })?;
    // Remarks are about the first argument, also where that is a number.
    let span = call.arguments.first().unwrap_or(matrix).unwrap_parens().span;
    let plans = counters::Function::of(name).filter(|_| extension.is_none());
    let starts = extension.is_some() || NEED_STARTS.contains(&name);
    let wanted = (rollups::summary_of(name), starts);
    let call = RangeCall { name, function, parameters, extension, span, grid };
    let make = || -> Windows<'_> {
        let mut plans = plans.map(Plans::new);
        let mut is_checked = name != "double_exponential_smoothing";
        let call = &call;
        Box::new(move |evaluator, shape, series| {
            if !is_checked {
                check_smoothing(&call.parameters)?;
                is_checked = true;
            }
            call.apply(evaluator, plans.as_mut(), shape, series)
        })
    };
    evaluator.map_windows(matrix, grid, wanted, &make, sink)
}

impl RangeCall<'_> {
    /// The results of one series, if there are any.
    fn apply(
        &self,
        evaluator: &mut Evaluator<'_>,
        plans: Option<&mut Plans>,
        shape: &Shape,
        series: Samples,
    ) -> Result<Option<Column>, EvalError> {
        let (name, grid, context) = (self.name, self.grid, evaluator.context);
        let cells = grid.count as u64;
        context.charge(cells, 0)?;
        let metric = series.labels.metric_name();
        let mut remarks = Remarks { notes: &mut evaluator.notes, span: self.span, metric };
        let is_delta = series.labels.get(TEMPORALITY) == Some(DELTA);
        let of_deltas = is_delta.then(|| deltas::find(name)).flatten();
        let function = of_deltas.unwrap_or(self.function);
        let planned = match (plans, of_deltas) {
            (Some(plans), None) => plans.column(&series, shape, grid),
            _ => None,
        };
        let (values, histograms) = match (planned, &series.rollup) {
            (Some(values), _) => (values, Vec::new()),
            (None, Some(rollup)) => {
                (rollups::over_windows(name, rollup, shape, grid, &mut remarks)?, Vec::new())
            }
            (None, None) => over_windows(&series, shape, grid, context, |step, window| {
                let parameter = |i: usize| self.parameters.get(i).map_or(0.0, |all| all[step]);
                let parameters = [parameter(0), parameter(1)];
                if of_deltas.is_some() && self.extension.is_some() {
                    // A delta tells all about its time: what is outside does not matter.
                    let inside = extended::inside(window);
                    if inside.values.is_empty() && inside.histograms.is_empty() {
                        return Cell::Empty;
                    }
                    return function(&inside, parameters, &mut remarks);
                }
                function(window, parameters, &mut remarks)
            })?,
        };
        let keeps_name = matches!(name, "last_over_time" | "first_over_time");
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
            return Ok(None);
        }
        let counter_suffix = ["_total", "_sum", "_count", "_bucket"];
        if matches!(name, "rate" | "increase")
            && !metric.is_empty()
            && !counter_suffix.iter().any(|suffix| metric.ends_with(suffix))
            && column.values.iter().any(|value| !is_absent(*value))
        {
            let text = format!(
                "metric might not be a counter, name does not end in \
                 _total/_sum/_count/_bucket: {metric:?}"
            );
            evaluator.notes.info(self.span, &text);
        }
        Ok(Some(column))
    }
}

type Cells = (Vec<f64>, Vec<Option<Arc<NativeHistogram>>>);

/// A query asks whether it may go on after this many samples of windows.
const SAMPLES_PER_CHECK: usize = 100_000;

fn over_windows(
    series: &Samples,
    shape: &Shape,
    grid: &Grid,
    context: &QueryContext,
    mut compute: impl FnMut(usize, &Window<'_>) -> Cell,
) -> Result<Cells, EvalError> {
    let (mut unchecked, mut histogram_bytes) = (0, 0);
    let mut values = vec![absent(); grid.count];
    let mut histograms = Vec::new();
    let (mut from, mut to, mut histogram_from, mut histogram_to) = (0, 0, 0, 0);
    let times = &series.times;
    for (step, cell) in values.iter_mut().enumerate() {
        let at = grid.at(step);
        let (start, end) = shape.bounds(at);
        let first = start.saturating_sub(shape.before_ms);
        let last = end.saturating_add(shape.after_ms);
        while times.get(to).is_some_and(|time| *time <= last) {
            to += 1;
        }
        while from < to && times[from] <= first {
            from += 1;
        }
        while series.histograms.get(histogram_to).is_some_and(|(time, _)| *time <= last) {
            histogram_to += 1;
        }
        while histogram_from < histogram_to && series.histograms[histogram_from].0 <= first {
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
            histogram_starts: series
                .histogram_starts
                .get(histogram_from..histogram_to)
                .unwrap_or(&[]),
            start,
            end,
            at,
        };
        match compute(step, &window) {
            Cell::Empty => {}
            Cell::Float(value) => *cell = value,
            Cell::Histogram(histogram) => {
                histogram_bytes += 16 * (histogram.positive.len() + histogram.negative.len());
                histograms.resize(grid.count, None);
                histograms[step] = Some(histogram);
            }
        }
    }
    context.charge(0, histogram_bytes as u64)?;
    Ok((values, histograms))
}

fn absent_over_time(
    evaluator: &mut Evaluator<'_>,
    matrix: &Expr,
    grid: &Grid,
) -> Result<Column, EvalError> {
    let mut values = vec![1.0; grid.count];
    evaluator.each_window(matrix, grid, &mut |evaluator, shape, series| {
        let present = |_: usize, _: &Window<'_>| Cell::Float(1.0);
        let (present, _) = over_windows(&series, shape, grid, evaluator.context, present)?;
        for (value, present) in values.iter_mut().zip(present) {
            if !is_absent(present) {
                *value = absent();
            }
        }
        Ok(())
    })?;
    let labels = match &matrix.unwrap_parens().kind {
        ExprKind::Range(range) => range.selector.absent_labels(),
        _ => Labels::empty(),
    };
    Ok(Column::floats(labels.without(&[METRIC_NAME]), false, values))
}

fn check_smoothing(parameters: &[Vec<f64>]) -> Result<(), EvalError> {
    for (values, what) in parameters.iter().zip(["smoothing", "trend"]) {
        if let Some(bad) = values.iter().find(|value| **value <= 0.0 || **value >= 1.0) {
            return Err(EvalError::BadArgument(format!(
                "invalid {what} factor. Expected: 0 < {} < 1, got: {bad:.6}",
                if what == "smoothing" { "sf" } else { "tf" }
            )));
        }
    }
    Ok(())
}
