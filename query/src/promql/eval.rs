//! Evaluation by columns.
//!
//! An expression is evaluated for all steps of a grid at once. A subquery evaluates its inside on a
//! denser grid that covers the windows of all outer steps, so that each series is read once. Parts
//! that do not depend on the evaluation time (`@`) are computed for one step and repeated.

mod parallel;
mod repeated;
mod selectors;

use std::sync::Arc;

use model::{Labels, NativeHistogram, QueryContext, SeriesSource, TimestampMs};

use super::ast::{Aggregate, Binary, Call, Expr, ExprKind, Extension, UnaryOp, ValueType};
use super::windows::extended;
use super::{durations, functions, histograms, info, labels, scalars, windows};
use crate::errors::EvalError;
use crate::histogram;
use crate::text;
use crate::vector::{
    self, AggregateCall, AggregateOp, Column, Finalists, Folded, Folder, Grid, Notes, Operator,
    Parameter, is_absent,
};

use self::repeated::Repeated;
pub(super) use self::selectors::{Windows, latest};

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
    let resolved = durations::resolve(expr, 0, 0)?;
    let expr = &*resolved;
    let mut evaluator = Evaluator::new(expr, source, options, context, Query { grid, end: at.0 });
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
    let resolved = durations::resolve(expr, step_ms, end.0.saturating_sub(start.0))?;
    let expr = &*resolved;
    let mut evaluator = Evaluator::new(expr, source, options, context, Query { grid, end: end.0 });
    evaluator.begin_grid(&grid)?;
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

/// The times of the whole query, which `start()`, `end()`, `step()` and `range()` are about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query {
    pub(super) grid: Grid,
    /// As it was asked for; the last time of the grid may be earlier.
    pub(super) end: i64,
}

/// What a selector answers for each of its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Values,
    /// When it was taken, in seconds.
    Times,
    /// Its start time in seconds; zero where unknown.
    StartTimes,
}

/// Takes one series after the other.
pub(super) type Sink<'s> = dyn FnMut(&Evaluator<'_>, Column) -> Result<()> + 's;

/// What a series takes beside its cells: labels, the column itself.
const HELD_BYTES: u64 = 256;

/// One evaluation under way.
pub(super) struct Evaluator<'a> {
    source: &'a dyn SeriesSource,
    pub(super) options: &'a EvalOptions,
    pub(super) context: &'a QueryContext,
    pub(super) query: Query,
    pub(super) notes: Notes,
    /// What is evaluated now lies in a function that needs only totals of histograms.
    needs_totals: bool,
    /// It lies in something that needs buckets too.
    needs_buckets: bool,
    repeated: Repeated,
}

impl<'a> Evaluator<'a> {
    fn new(
        expr: &Expr,
        source: &'a dyn SeriesSource,
        options: &'a EvalOptions,
        context: &'a QueryContext,
        query: Query,
    ) -> Self {
        Evaluator {
            source,
            options,
            context,
            query,
            notes: Notes::default(),
            needs_totals: false,
            needs_buckets: false,
            repeated: Repeated::of(expr),
        }
    }

    fn evaluation(self, value: Value) -> Evaluation {
        Evaluation { value, warnings: self.notes.warnings, infos: self.notes.infos }
    }

    /// Refuses a grid that is too long before anything of its length is allocated.
    fn begin_grid(&self, grid: &Grid) -> Result<()> {
        self.charge_grid(grid)?;
        Ok(self.context.hold((grid.count as u64).saturating_mul(8))?)
    }

    /// Counts the work of one series.
    fn charge_grid(&self, grid: &Grid) -> Result<()> {
        Ok(self.context.charge(grid.count as u64, 0)?)
    }

    /// Refuses a column that would not fit into the memory of the query.
    pub(super) fn hold(&self, column: &Column) -> Result<()> {
        let cells = column.values.len() + column.histograms.len();
        let buckets = |histogram: &Arc<NativeHistogram>| {
            histogram.positive.len() + histogram.negative.len() + 8
        };
        let buckets: usize = column.histograms.iter().flatten().map(buckets).sum();
        Ok(self.context.hold((cells * 8 + buckets * 16) as u64 + HELD_BYTES)?)
    }

    /// Evaluates an expression of type scalar: one number a step.
    pub(super) fn scalar(&mut self, expr: &Expr, grid: &Grid) -> Result<Vec<f64>> {
        match &expr.kind {
            ExprKind::Number(number) => Ok(vec![number.value; grid.count]),
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
        let needs = (self.needs_totals, self.needs_buckets);
        let Some(key) = self.repeated.key(expr, grid, needs) else {
            return self.vector_once(expr, grid);
        };
        if let Some(known) = self.repeated.take(&key) {
            return Ok(known);
        }
        let notes = self.notes.clone();
        let columns = self.vector_once(expr, grid)?;
        // A remark is about the place where it arises: then the part is evaluated at each.
        if self.repeated.comes_again(&key) && notes == self.notes {
            columns.iter().try_for_each(|column| self.hold(column))?;
            self.repeated.keep(key, columns.clone());
        }
        Ok(columns)
    }

    fn vector_once(&mut self, expr: &Expr, grid: &Grid) -> Result<Vec<Column>> {
        self.context.check()?;
        if grid.count > 1 && is_step_invariant(expr) {
            let once = self.vector(expr, &Grid { count: 1, ..*grid })?;
            return self.repeat(once, grid);
        }
        match &expr.kind {
            ExprKind::Paren(inner) | ExprKind::Unary(UnaryOp::Plus, inner) => {
                self.vector(inner, grid)
            }
            ExprKind::Unary(UnaryOp::Minus, inner) => self.negate(inner, grid),
            ExprKind::Binary(binary) => {
                self.with_needs(false, binary.op.is_trim(), |e| e.binary(expr, binary, grid))
            }
            ExprKind::Aggregate(aggregate) => self.aggregate(expr, aggregate, grid),
            ExprKind::Selector(selector) if selector.extension == Some(Extension::Smoothed) => {
                extended::smooth(self, expr, selector, grid)
            }
            ExprKind::Selector(_) => self.sorted(expr, grid),
            ExprKind::Call(call) if call.takes_matrix() => self.sorted(expr, grid),
            ExprKind::Call(call) => {
                let (totals, buckets) = histograms::needs(call.function.name);
                self.with_needs(totals, buckets, |e| e.call(expr, call, grid))
            }
            _ => Err(EvalError::NotSupported { what: format!("{expr} as an instant vector") }),
        }
    }

    /// What [`Evaluator::each`] hands out, sorted by labels.
    fn sorted(&mut self, expr: &Expr, grid: &Grid) -> Result<Vec<Column>> {
        let mut columns = Vec::new();
        self.each(expr, grid, &mut |evaluator, column| {
            evaluator.hold(&column)?;
            columns.push(column);
            Ok(())
        })?;
        columns.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(columns)
    }

    /// Evaluates an expression of type instant vector and hands out one series after the other, in
    /// no order. What only reads the store does not hold more than one series at a time.
    fn each(&mut self, expr: &Expr, grid: &Grid, sink: &mut Sink<'_>) -> Result<()> {
        let is_repeated = grid.count > 1 && is_step_invariant(expr);
        match &expr.kind {
            ExprKind::Paren(inner) | ExprKind::Unary(UnaryOp::Plus, inner) => {
                self.each(inner, grid, sink)
            }
            ExprKind::Selector(selector)
                if !is_repeated && selector.extension != Some(Extension::Smoothed) =>
            {
                self.selector(selector, grid, Wanted::Values, sink)
            }
            ExprKind::Call(call) if !is_repeated && call.takes_matrix() => {
                let (totals, buckets) = histograms::needs(call.function.name);
                self.with_needs(totals, buckets, |e| windows::call(e, call, grid, sink))
            }
            _ => {
                for column in self.vector(expr, grid)? {
                    sink(self, column)?;
                }
                Ok(())
            }
        }
    }

    fn repeat(&self, mut columns: Vec<Column>, grid: &Grid) -> Result<Vec<Column>> {
        for column in &mut columns {
            self.context.hold(grid.count as u64 * 8)?;
            column.values.resize(grid.count, column.values[0]);
            if let Some(histogram) = column.histograms.first().cloned() {
                column.histograms.resize(grid.count, histogram);
            }
        }
        Ok(columns)
    }

    #[inline(never)]
    fn negate(&mut self, inner: &Expr, grid: &Grid) -> Result<Vec<Column>> {
        let mut columns = self.vector(inner, grid)?;
        for column in &mut columns {
            for value in column.values.iter_mut().filter(|value| !is_absent(**value)) {
                *value = -*value;
            }
            column.drop_name = true;
            for histogram in column.histograms.iter_mut().flatten() {
                histogram::multiply(Arc::make_mut(histogram), -1.0);
            }
        }
        Ok(columns)
    }

    /// Evaluates something for which selectors need all of their histograms, or only their totals
    /// (Prometheus `promql/engine.go`, `detectHistogramStatsDecoding`).
    fn with_needs<T>(
        &mut self,
        totals: bool,
        buckets: bool,
        evaluate: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = (self.needs_totals, self.needs_buckets);
        self.needs_totals |= totals;
        self.needs_buckets |= buckets;
        let result = evaluate(self);
        (self.needs_totals, self.needs_buckets) = before;
        result
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
                if label.is_empty() || !text::is_utf8(&label) {
                    return Err(EvalError::BadArgument(format!(
                        "invalid label name {}",
                        text::quote(&label)
                    )));
                }
                Parameter::Label(label)
            }
            Some(number) => Parameter::Numbers(self.scalar(number, grid)?),
        };
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
        let (input, context) = (&aggregate.expr, self.context);
        let columns = if let Some(mut folder) = Folder::of(&call, grid.count) {
            self.each(input, grid, &mut |_, column| folder.add(column, context))?;
            match folder.finish() {
                Folded::Groups(groups) => return Ok(groups),
                Folded::Histograms(mut columns) => {
                    columns.sort_by(|a, b| a.labels.cmp(&b.labels));
                    columns
                }
                Folded::Mixed => self.vector(input, grid)?,
            }
        } else if let Some(mut finalists) = Finalists::of(&call, grid.count) {
            self.each(input, grid, &mut |_, column| finalists.add(column, context))?;
            finalists.finish()
        } else {
            self.vector(input, grid)?
        };
        vector::aggregate(&call, columns, grid.count, &mut self.notes, self.context)
    }

    #[inline(never)]
    fn call(&mut self, expr: &Expr, call: &Call, grid: &Grid) -> Result<Vec<Column>> {
        match call.function.name {
            "timestamp" | "start_timestamp" => {
                let wanted = match call.function.name {
                    "timestamp" => Wanted::Times,
                    _ => Wanted::StartTimes,
                };
                match call.arguments.first().map(|argument| &argument.unwrap_parens().kind) {
                    Some(ExprKind::Selector(selector)) => {
                        let mut columns = Vec::new();
                        self.selector(selector, grid, wanted, &mut |evaluator, column| {
                            evaluator.hold(&column)?;
                            columns.push(column);
                            Ok(())
                        })?;
                        columns.sort_by(|a, b| a.labels.cmp(&b.labels));
                        Ok(columns)
                    }
                    // Start times are lost in an expression.
                    _ if wanted == Wanted::StartTimes => Ok(Vec::new()),
                    _ => scalars::call(self, expr, call, grid),
                }
            }
            "info" => info::call(self, call, grid),
            "label_replace" | "label_join" | "sort" | "sort_desc" | "sort_by_label"
            | "sort_by_label_desc" => labels::call(self, expr, call, grid),
            _ => scalars::call(self, expr, call, grid),
        }
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
