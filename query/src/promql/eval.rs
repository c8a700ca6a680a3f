//! Evaluation by columns.
//!
//! An expression is evaluated for all steps of a grid at once. A subquery evaluates its inside on a
//! denser grid that covers the windows of all outer steps, so that each series is read once. Parts
//! that do not depend on the evaluation time (`@`) are computed for one step and repeated.

use std::sync::Arc;

use model::read::{RangeMs, SeriesColumnsWanted, SeriesRequest};
use model::rollup::{RollupRequest, Summary};
use model::sample::is_stale;
use model::{Labels, NativeHistogram, QueryContext, SeriesSource, TimestampMs};

use super::ast::{
    Aggregate, AtModifier, Binary, Call, Expr, ExprKind, RangeSelector, Selector, Subquery,
    UnaryOp, ValueType,
};
use super::windows::{Samples, Windows};
use super::{functions, labels, scalars, windows};
use crate::errors::EvalError;
use crate::vector::{
    self, AggregateCall, AggregateOp, Column, Grid, Notes, Operator, Parameter, absent, is_absent,
};

type Result<T, E = EvalError> = std::result::Result<T, E>;

/// Settings of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvalOptions {
    /// How old a sample may be and still be the current one.
    pub lookback_ms: i64,
    /// The step of a subquery that names none.
    pub subquery_step_ms: i64,
}

impl Default for EvalOptions {
    fn default() -> Self {
        EvalOptions { lookback_ms: 300_000, subquery_step_ms: 60_000 }
    }
}

/// The value of one sample.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<NativeHistogram>),
}

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// Its labels.
    pub labels: Labels,
    /// The evaluation time.
    pub at: TimestampMs,
    /// Its value.
    pub value: SampleValue,
}

/// One series of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSeries {
    /// Its labels.
    pub labels: Labels,
    /// Float samples in order of time.
    pub points: Vec<(TimestampMs, f64)>,
    /// Native histograms in order of time.
    pub histograms: Vec<(TimestampMs, Arc<NativeHistogram>)>,
}

/// What a query evaluates to.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Scalar {
        /// The evaluation time.
        at: TimestampMs,
        /// The number.
        value: f64,
    },
    /// A text.
    String {
        /// The evaluation time.
        at: TimestampMs,
        /// The text.
        value: String,
    },
    /// One sample for each series; the order is meaningful only for sorting functions, `topk` and
    /// `bottomk`.
    Vector(Vec<VectorSample>),
    /// Samples over time, sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// A result and the remarks about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The result.
    pub value: Value,
    /// Where the result may be wrong or incomplete.
    pub warnings: Vec<String>,
    /// Where the result may surprise.
    pub infos: Vec<String>,
}

/// Evaluates at one instant.
pub fn evaluate_instant(
    expr: &Expr,
    at: TimestampMs,
    source: &dyn SeriesSource,
    options: &EvalOptions,
    context: &QueryContext,
) -> Result<Evaluation> {
    let grid = Grid::instant(at.0);
    let mut evaluator = Evaluator::new(source, options, context, grid);
    let value = match expr.value_type() {
        ValueType::Scalar => {
            let values = evaluator.scalar(expr, &grid)?;
            Value::Scalar { at, value: values.first().copied().unwrap_or(f64::NAN) }
        }
        ValueType::String => {
            Value::String { at, value: string_literal(expr).unwrap_or_default().to_owned() }
        }
        ValueType::Vector => {
            Value::Vector(to_vector(vector::finish(evaluator.vector(expr, &grid)?)?, at))
        }
        ValueType::Matrix => Value::Matrix(evaluator.raw_matrix(expr, &grid)?),
    };
    Ok(evaluator.evaluation(value))
}

/// Evaluates from `start` to `end` (included) in steps.
///
/// Fails with `BadRequest` for a step that is not positive, an end before the start, or an
/// expression that is neither a scalar nor an instant vector.
pub fn evaluate_range(
    expr: &Expr,
    start: TimestampMs,
    end: TimestampMs,
    step_ms: i64,
    source: &dyn SeriesSource,
    options: &EvalOptions,
    context: &QueryContext,
) -> Result<Evaluation> {
    let Some(grid) = Grid::range(start.0, end.0, step_ms) else {
        let message = "a range query needs a positive step and an end at or after its start";
        return Err(EvalError::BadArgument(message.into()));
    };
    let mut evaluator = Evaluator::new(source, options, context, grid);
    evaluator.charge_grid(&grid)?;
    let columns = match expr.value_type() {
        ValueType::Scalar => {
            vec![Column::floats(Labels::empty(), false, evaluator.scalar(expr, &grid)?)]
        }
        ValueType::Vector => vector::finish(evaluator.vector(expr, &grid)?)?,
        other => {
            return Err(EvalError::BadArgument(format!(
                "invalid expression type {:?} for range query, must be scalar or instant vector",
                other.as_str()
            )));
        }
    };
    let value = Value::Matrix(to_matrix(columns, &grid));
    Ok(evaluator.evaluation(value))
}

fn to_vector(columns: Vec<Column>, at: TimestampMs) -> Vec<VectorSample> {
    let mut samples = Vec::with_capacity(columns.len());
    for column in columns {
        let value = match column.histogram(0) {
            Some(histogram) => SampleValue::Histogram(histogram.clone()),
            None => SampleValue::Float(column.values[0]),
        };
        samples.push(VectorSample { labels: column.labels, at, value });
    }
    samples
}

fn to_matrix(columns: Vec<Column>, grid: &Grid) -> Vec<MatrixSeries> {
    let mut matrix: Vec<MatrixSeries> = columns
        .into_iter()
        .filter(Column::has_any)
        .map(|column| {
            let times = || grid.times().map(TimestampMs);
            let points = times()
                .zip(&column.values)
                .filter(|(_, value)| !is_absent(**value))
                .map(|(at, value)| (at, *value))
                .collect();
            let histograms = times()
                .zip(&column.histograms)
                .filter_map(|(at, histogram)| Some((at, histogram.clone()?)))
                .collect();
            MatrixSeries { labels: column.labels, points, histograms }
        })
        .collect();
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    matrix
}

/// The text of a string literal.
pub(super) fn string_literal(expr: &Expr) -> Option<&str> {
    match &expr.unwrap_parens().kind {
        ExprKind::String(text) => Some(text),
        _ => None,
    }
}

/// One evaluation under way.
pub(super) struct Evaluator<'a> {
    source: &'a dyn SeriesSource,
    options: &'a EvalOptions,
    pub(super) context: &'a QueryContext,
    /// The grid of the whole query, which `start()`, `end()`, `step()` and `range()` are about.
    pub(super) query: Grid,
    pub(super) notes: Notes,
}

impl<'a> Evaluator<'a> {
    fn new(
        source: &'a dyn SeriesSource,
        options: &'a EvalOptions,
        context: &'a QueryContext,
        query: Grid,
    ) -> Self {
        Evaluator { source, options, context, query, notes: Notes::default() }
    }

    fn evaluation(self, value: Value) -> Evaluation {
        Evaluation { value, warnings: self.notes.warnings, infos: self.notes.infos }
    }

    /// Refuses a grid that is too long before anything of its length is allocated.
    fn charge_grid(&self, grid: &Grid) -> Result<()> {
        let cells = grid.count as u64;
        Ok(self.context.charge(cells, cells.saturating_mul(8))?)
    }

    /// Evaluates an expression of type scalar: one number a step.
    pub(super) fn scalar(&mut self, expr: &Expr, grid: &Grid) -> Result<Vec<f64>> {
        match &expr.kind {
            ExprKind::Number(value) => Ok(vec![*value; grid.count]),
            ExprKind::Paren(inner) | ExprKind::Unary(UnaryOp::Plus, inner) => {
                self.scalar(inner, grid)
            }
            ExprKind::Unary(UnaryOp::Minus, inner) => {
                Ok(self.scalar(inner, grid)?.into_iter().map(|value| -value).collect())
            }
            ExprKind::Binary(binary) => {
                let left = self.scalar(&binary.left, grid)?;
                let right = self.scalar(&binary.right, grid)?;
                Ok(vector::scalar_binary(binary.op, &left, &right))
            }
            ExprKind::Call(call) => scalars::scalar_call(self, call, grid),
            _ => Err(EvalError::NotSupported { what: format!("{expr} as a scalar") }),
        }
    }

    /// Evaluates an expression of type instant vector.
    pub(super) fn vector(&mut self, expr: &Expr, grid: &Grid) -> Result<Vec<Column>> {
        self.context.check()?;
        if grid.count > 1 && is_step_invariant(expr) {
            let once = self.vector(expr, &Grid { count: 1, ..*grid })?;
            return self.repeat(once, grid);
        }
        match &expr.kind {
            ExprKind::Paren(inner) | ExprKind::Unary(UnaryOp::Plus, inner) => {
                self.vector(inner, grid)
            }
            ExprKind::Unary(UnaryOp::Minus, inner) => self.negate(expr, inner, grid),
            ExprKind::Binary(binary) => self.binary(expr, binary, grid),
            ExprKind::Aggregate(aggregate) => self.aggregate(expr, aggregate, grid),
            ExprKind::Call(call) => self.call(expr, call, grid),
            ExprKind::Selector(selector) => self.selector(selector, grid, false),
            _ => Err(EvalError::NotSupported { what: format!("{expr} as an instant vector") }),
        }
    }

    fn repeat(&self, mut columns: Vec<Column>, grid: &Grid) -> Result<Vec<Column>> {
        for column in &mut columns {
            self.charge_grid(grid)?;
            column.values.resize(grid.count, column.values[0]);
            if let Some(histogram) = column.histograms.first().cloned() {
                column.histograms.resize(grid.count, histogram);
            }
        }
        Ok(columns)
    }

    #[inline(never)]
    fn negate(&mut self, expr: &Expr, inner: &Expr, grid: &Grid) -> Result<Vec<Column>> {
        let mut columns = self.vector(inner, grid)?;
        for column in &mut columns {
            for value in column.values.iter_mut().filter(|value| !is_absent(**value)) {
                *value = -*value;
            }
            column.drop_name = true;
            self.leave_out_histograms(expr, column, "a sign");
        }
        Ok(columns)
    }

    /// Removes histograms that an operation can not use yet, and says so.
    pub(super) fn leave_out_histograms(&mut self, expr: &Expr, column: &mut Column, what: &str) {
        if column.histograms.iter().any(Option::is_some) {
            let text = format!("{what} on native histograms is not supported yet");
            self.notes.warn(expr.span, &text);
        }
        column.histograms = Vec::new();
    }

    #[inline(never)]
    fn binary(&mut self, expr: &Expr, binary: &Binary, grid: &Grid) -> Result<Vec<Column>> {
        let operator = Operator { op: binary.op, return_bool: binary.return_bool, span: expr.span };
        let scalar_left = binary.left.value_type() == ValueType::Scalar;
        let Some(matching) = &binary.matching else {
            let (scalar, columns) = if scalar_left {
                (self.scalar(&binary.left, grid)?, self.vector(&binary.right, grid)?)
            } else {
                let columns = self.vector(&binary.left, grid)?;
                (self.scalar(&binary.right, grid)?, columns)
            };
            let notes = &mut self.notes;
            return vector::vector_scalar(
                operator,
                columns,
                &scalar,
                scalar_left,
                notes,
                self.context,
            );
        };
        let left = self.vector(&binary.left, grid)?;
        let right = self.vector(&binary.right, grid)?;
        if binary.op.is_set() {
            return vector::set_operator(
                binary.op,
                left,
                right,
                matching,
                grid.count,
                self.context,
            );
        }
        let notes = &mut self.notes;
        vector::vector_vector(operator, left, right, matching, grid.count, notes, self.context)
    }

    #[inline(never)]
    fn aggregate(
        &mut self,
        expr: &Expr,
        aggregate: &Aggregate,
        grid: &Grid,
    ) -> Result<Vec<Column>> {
        let parameter = match &aggregate.parameter {
            None => Parameter::None,
            Some(label) if aggregate.op == AggregateOp::CountValues => {
                let label = string_literal(label).unwrap_or_default().to_owned();
                if label.is_empty() {
                    return Err(EvalError::BadArgument(format!("invalid label name {label:?}")));
                }
                Parameter::Label(label)
            }
            Some(number) => Parameter::Numbers(self.scalar(number, grid)?),
        };
        let columns = self.vector(&aggregate.expr, grid)?;
        let call = AggregateCall {
            op: aggregate.op,
            grouping: &aggregate.grouping,
            parameter,
            spans: [
                expr.span,
                aggregate.expr.unwrap_parens().span,
                aggregate.parameter.as_ref().map_or(expr.span, |p| p.unwrap_parens().span),
            ],
        };
        vector::aggregate(&call, columns, grid.count, &mut self.notes, self.context)
    }

    #[inline(never)]
    fn call(&mut self, expr: &Expr, call: &Call, grid: &Grid) -> Result<Vec<Column>> {
        let is_matrix = |argument: &Expr| argument.value_type() == ValueType::Matrix;
        if call.arguments.iter().any(is_matrix) {
            return windows::call(self, call, grid);
        }
        match call.function.name {
            "timestamp" => {
                if let Some(argument) = call.arguments.first()
                    && let ExprKind::Selector(selector) = &argument.unwrap_parens().kind
                {
                    return self.selector(selector, grid, true);
                }
                scalars::call(self, expr, call, grid)
            }
            "label_replace" | "label_join" | "sort" | "sort_desc" | "sort_by_label"
            | "sort_by_label_desc" => labels::call(self, expr, call, grid),
            _ => scalars::call(self, expr, call, grid),
        }
    }

    /// The moment that replaces the evaluation time.
    fn resolve_at(&self, at: Option<AtModifier>) -> Option<i64> {
        at.map(|at| match at {
            AtModifier::Time(ms) => ms,
            AtModifier::Start => self.query.start,
            AtModifier::End => self.query.last(),
        })
    }

    /// Reads the series of a selector, sorted by labels, with samples in `(first - before, last]`
    /// around the evaluation times of `grid`.
    fn select(
        &self,
        selector: &Selector,
        grid: &Grid,
        before_ms: i64,
        rollup: Option<RollupRequest>,
    ) -> Result<Vec<model::read::SeriesColumns>> {
        let fixed = self.resolve_at(selector.at);
        let first = fixed.unwrap_or(grid.start).saturating_sub(selector.offset_ms);
        let last = fixed.unwrap_or(grid.last()).saturating_sub(selector.offset_ms);
        let range = RangeMs {
            start: TimestampMs(first.saturating_sub(before_ms).saturating_add(1)),
            end: TimestampMs(last),
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
            series.push(columns?);
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }

    /// The latest sample at each step, or its time in seconds for `timestamp`.
    #[inline(never)]
    fn selector(
        &mut self,
        selector: &Selector,
        grid: &Grid,
        times_only: bool,
    ) -> Result<Vec<Column>> {
        let lookback = self.options.lookback_ms;
        let fixed = self.resolve_at(selector.at);
        let mut columns = Vec::new();
        for series in self.select(selector, grid, lookback, None)? {
            self.charge_grid(grid)?;
            let mut values = vec![absent(); grid.count];
            let mut histograms = Vec::new();
            let (mut next_float, mut next_histogram) = (0, 0);
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
                let histogram = next_histogram
                    .checked_sub(1)
                    .map(|i| (series.histograms[i].0.0, &series.histograms[i].1));
                match (float, histogram) {
                    (float, Some((time, histogram)))
                        if alive(time) && float.is_none_or(|(float_time, _)| time > float_time) =>
                    {
                        if is_stale(histogram.sum) {
                            continue;
                        }
                        if times_only {
                            *cell = time as f64 / 1000.0;
                            continue;
                        }
                        histograms.resize(grid.count, None);
                        histograms[step] = Some(histogram.clone());
                    }
                    (Some((time, index)), _) if alive(time) => {
                        let value = series.values[index];
                        if !is_stale(value) {
                            *cell = if times_only { time as f64 / 1000.0 } else { value };
                        }
                    }
                    _ => {}
                }
            }
            let column =
                Column { labels: series.labels, drop_name: times_only, values, histograms };
            if column.has_any() {
                columns.push(column);
            }
        }
        Ok(columns)
    }

    /// The windows of a range selector or subquery for all steps of `grid`.
    pub(super) fn windows(
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
        let rollup = summary
            .and_then(|summary| windows::rollups::request(summary, first, step_ms, range.range_ms));
        let series = self.select(&range.selector, grid, range.range_ms, rollup)?;
        Ok(Windows {
            series: series.into_iter().map(Samples::from_stored).collect(),
            range_ms: range.range_ms,
            offset_ms: range.selector.offset_ms,
            fixed: self.resolve_at(range.selector.at),
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
        };
        let Some(inner) = Grid::range(start, last, step) else {
            return Ok(windows(Vec::new()));
        };
        self.charge_grid(&inner)?;
        let columns = self.vector(&subquery.expr, &inner)?;
        Ok(windows(columns.into_iter().map(|c| Samples::from_column(c, &inner)).collect()))
    }

    /// A range vector as the result of an instant query.
    fn raw_matrix(&mut self, expr: &Expr, grid: &Grid) -> Result<Vec<MatrixSeries>> {
        let windows = self.windows(expr, grid, None)?;
        let end = windows.fixed.unwrap_or(grid.start).saturating_sub(windows.offset_ms);
        let start = end.saturating_sub(windows.range_ms);
        let inside = |time: i64| start < time && time <= end;
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

/// Whether an expression has the same value at all evaluation times.
fn is_step_invariant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Selector(selector) => selector.at.is_some(),
        ExprKind::Range(range) => range.selector.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.at.is_some(),
        ExprKind::Call(call) => {
            let arguments = call.arguments.iter().all(is_step_invariant);
            // The time of a selected sample is as fixed as the sample.
            let timestamp = call.function.name == "timestamp"
                && call
                    .arguments
                    .iter()
                    .all(|argument| matches!(argument.unwrap_parens().kind, ExprKind::Selector(_)));
            arguments && (timestamp || !functions::depends_on_time(call.function.name))
        }
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::Aggregate(aggregate) => {
            is_step_invariant(&aggregate.expr)
                && aggregate.parameter.as_ref().is_none_or(is_step_invariant)
        }
        ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => is_step_invariant(inner),
        ExprKind::Binary(binary) => {
            is_step_invariant(&binary.left) && is_step_invariant(&binary.right)
        }
    }
}
