//! Metric queries: an expression becomes columns, one a series, with a cell for each step.

use std::ops::ControlFlow;

use model::read::LogRequest;
use model::{Labels, LogSource, QueryContext};

use super::binary::guard_divisor;
use super::{Evaluation, LogStats, Result, Value};
use crate::errors::EvalError;
use crate::logql::ast::{
    Aggregation, Format, MetricExpr, MetricKind, RangeAggregation, RangeOp, Stage, VectorOp,
};
use crate::logql::needs::Needs;
use crate::logql::pipeline::{Pipeline, unwrap_value};
use crate::logql::plan;
use crate::logql::request::{needs_line, range_between, request};
use crate::logql::windows::{Keys, Windows};
use crate::vector::{
    self, AggregateCall, AggregateOp, Column, Grid, Grouping, Notes, Operator, Parameter,
    rank_order,
};

pub(super) struct Evaluator<'a> {
    source: &'a dyn LogSource,
    pub(super) context: &'a QueryContext,
    pub(super) notes: Notes,
    stats: LogStats,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(source: &'a dyn LogSource, context: &'a QueryContext) -> Self {
        Evaluator { source, context, notes: Notes::default(), stats: LogStats::default() }
    }

    pub(super) fn evaluation(self, value: Value) -> Evaluation {
        Evaluation { value, stats: self.stats, warnings: self.notes.warnings }
    }

    /// Refuses a grid that is too long before anything of its length is allocated.
    pub(super) fn charge_grid(&self, grid: &Grid) -> Result<()> {
        let cells = grid.count as u64;
        Ok(self.context.charge(cells, cells.saturating_mul(8))?)
    }

    pub(super) fn scalar(&mut self, expr: &MetricExpr, grid: &Grid) -> Result<Vec<f64>> {
        match &expr.kind {
            MetricKind::Number(value) => Ok(vec![*value; grid.count]),
            MetricKind::Binary { op, left, right, .. } => {
                let left = self.scalar(left, grid)?;
                let mut right = self.scalar(right, grid)?;
                guard_divisor(*op, &mut right);
                Ok(vector::scalar_binary(*op, &left, &right))
            }
            _ => Err(EvalError::NotSupported { what: format!("{expr} as a number") }),
        }
    }

    pub(super) fn vector(&mut self, expr: &MetricExpr, grid: &Grid) -> Result<Vec<Column>> {
        self.context.check()?;
        match &expr.kind {
            MetricKind::Number(value) | MetricKind::Vector(value) => {
                let values = vec![*value; grid.count];
                Ok(vec![Column::floats(Labels::empty(), false, values)])
            }
            MetricKind::Range(range) => self.range(range, None, grid),
            MetricKind::Aggregate(aggregation) => self.aggregate(expr, aggregation, grid),
            MetricKind::Binary { op, return_bool, matching, left, right } => {
                let operator = Operator { op: *op, return_bool: *return_bool, span: expr.span };
                self.binary(operator, matching, left, right, grid)
            }
            MetricKind::LabelReplace { expr, to, replacement, from, regex, .. } => {
                let mut columns = self.vector(expr, grid)?;
                for column in &mut columns {
                    let value = column.labels.get_or_empty(from);
                    let Some(captures) = regex.captures(value) else { continue };
                    let mut made = String::new();
                    captures.expand(replacement, &mut made);
                    column.labels = column.labels.with(to, &made);
                }
                Ok(columns)
            }
        }
    }

    #[inline(never)]
    fn aggregate(
        &mut self,
        expr: &MetricExpr,
        aggregation: &Aggregation,
        grid: &Grid,
    ) -> Result<Vec<Column>> {
        let Aggregation { op, parameter, grouping, expr: inner } = aggregation;
        let grouping = grouping.clone().unwrap_or_default();
        let mut columns = match &inner.kind {
            // A sum of counts needs only the labels of its groups, and few series instead of many.
            MetricKind::Range(range)
                if *op == VectorOp::Shared(AggregateOp::Sum)
                    && range.op.is_additive()
                    && range.grouping.is_none() =>
            {
                self.range(range, Some(&grouping), grid)?
            }
            _ => self.vector(inner, grid)?,
        };
        let shared = match op {
            VectorOp::Shared(op) => *op,
            VectorOp::ApproxTopk => AggregateOp::Topk,
            VectorOp::Sort | VectorOp::SortDesc => {
                // Only the one step of an instant query has an order.
                if grid.count == 1 {
                    let descending = *op == VectorOp::SortDesc;
                    columns.sort_by(|a, b| a.labels.cmp(&b.labels));
                    columns.sort_by(|a, b| rank_order(a.values[0], b.values[0], descending));
                }
                return Ok(columns);
            }
        };
        if grouping.without {
            columns = without_empty(columns);
        }
        let call = AggregateCall {
            op: shared,
            grouping: &grouping,
            parameter: parameter.map_or(Parameter::None, |value| {
                Parameter::Numbers(vec![value as f64; grid.count])
            }),
            spans: [expr.span, inner.span, expr.span],
        };
        vector::aggregate(&call, columns, grid.count, &mut self.notes, self.context)
    }

    /// The columns of a range aggregation. `outer` groups its series further, so that labels it
    /// does not ask for need not be there.
    fn range(
        &mut self,
        range: &RangeAggregation,
        outer: Option<&Grouping>,
        grid: &Grid,
    ) -> Result<Vec<Column>> {
        let simple = without_idle_formats(range);
        let range = simple.as_ref().unwrap_or(range);
        let grouping = range.grouping.as_ref().or(outer);
        match plan::count(range, grouping, grid) {
            Some(count) => self.count(range, count, grid),
            None => self.rows(range, grouping, grid),
        }
    }

    /// Lets the store count.
    #[inline(never)]
    fn count(
        &mut self,
        range: &RangeAggregation,
        plan::Count { request, labels }: plan::Count,
        grid: &Grid,
    ) -> Result<Vec<Column>> {
        let mut windows = Windows::new(grid, range, Keys::Only(&labels));
        let mut failed: Option<EvalError> = None;
        let (stats, context) = (&mut self.stats, self.context);
        self.source.count(&request, context, &mut |count| {
            stats.lines_read += count.records;
            stats.bytes_read += count.bytes;
            stats.lines_matched += count.records;
            match windows.add_count(&request, count, context) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(windows.columns()),
        }
    }

    /// Reads the lines.
    #[inline(never)]
    fn rows(
        &mut self,
        range: &RangeAggregation,
        grouping: Option<&Grouping>,
        grid: &Grid,
    ) -> Result<Vec<Column>> {
        let RangeAggregation { op, log, unwrap, range_ns, offset_ns, .. } = range;
        let unwrap = unwrap.as_ref();
        let is_single = |grouping: &Grouping| !grouping.without && grouping.labels.is_empty();
        let no_labels = *op == RangeOp::AbsentOverTime || grouping.is_some_and(is_single);
        let needs = Needs::of(log, unwrap, grouping, no_labels);
        let pipeline = Pipeline::new(log, needs, self.context.now());
        // The value is no label of its series.
        let mut except: Vec<&str> = unwrap.iter().map(|unwrap| unwrap.name.as_str()).collect();
        let keys = match grouping {
            _ if no_labels => Keys::Only(&[]),
            Some(Grouping { without: false, labels }) => Keys::Only(labels),
            Some(Grouping { without: true, labels }) => {
                except.extend(labels.iter().map(String::as_str));
                Keys::Except(&except)
            }
            None => Keys::Except(&except),
        };
        let first = grid.start.saturating_sub(*offset_ns);
        let last = grid.last().saturating_sub(*offset_ns);
        let rows = range_between(first.saturating_sub(*range_ns), last);
        let metadata =
            !(pipeline.is_lines_only() && unwrap.is_none() && matches!(keys, Keys::Only([])));
        let counts_bytes = matches!(op, RangeOp::BytesOverTime | RangeOp::BytesRate);
        let line = needs_line(log, unwrap, counts_bytes);
        let mut request = request(log, rows, metadata, line);
        if unwrap.is_some() {
            // Values are added up, and first and last are told apart, in the order of time.
            request = LogRequest { order: Some(model::read::Direction::Forward), ..request };
        }
        let mut windows = Windows::new(grid, range, keys);
        let mut failed: Option<EvalError> = None;
        let (stats, context) = (&mut self.stats, self.context);
        self.source.scan(&request, context, &mut |row| {
            stats.lines_read += 1;
            stats.bytes_read += row.line.len() as u64;
            let Some(mut passed) = pipeline.run(row) else { return ControlFlow::Continue(()) };
            let mut value = None;
            if let Some(unwrap) = unwrap {
                let mut labels = passed.take_labels(row);
                value = unwrap_value(unwrap, &mut labels);
                if value.is_none() {
                    return ControlFlow::Continue(());
                }
                passed.labels = Some(labels);
            }
            stats.lines_matched += 1;
            match windows.add(row, passed, value, context) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(windows.columns()),
        }
    }
}

/// The same without templates for lines that nothing looks at any more: they can not fail then, and a
/// store may count what is left. `None` if there are none. (Loki 3.8, `pkg/logql/optimize.go`.)
fn without_idle_formats(range: &RangeAggregation) -> Option<RangeAggregation> {
    if matches!(range.op, RangeOp::BytesOverTime | RangeOp::BytesRate) {
        return None;
    }
    let looks = |stage: &Stage| {
        match stage {
        Stage::Line(_) => true,
        Stage::LabelFormat(formats) => formats.iter().any(|label| {
            matches!(&label.format, Format::Template(made) if made.text.contains("__line__"))
        }),
        stage => stage.is_parser(),
    }
    };
    let stages = &range.log.stages;
    let last_look = stages.iter().rposition(looks).map_or(0, |last| last + 1);
    let is_idle = |stage: &Stage| matches!(stage, Stage::LineFormat(_));
    if !stages.get(last_look..)?.iter().any(is_idle) {
        return None;
    }
    let mut simple = range.clone();
    let rest = simple.log.stages.split_off(last_look);
    simple.log.stages.extend(rest.into_iter().filter(|stage| !is_idle(stage)));
    Some(simple)
}

/// Operators that build new labels leave out empty ones.
pub(super) fn without_empty(mut columns: Vec<Column>) -> Vec<Column> {
    for column in &mut columns {
        if column.labels.iter().any(|(_, value)| value.is_empty()) {
            column.labels = Labels::from_pairs(column.labels.iter());
        }
    }
    columns
}
