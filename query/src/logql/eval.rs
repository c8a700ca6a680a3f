//! Evaluation of LogQL: lines for log queries, columns of numbers for metric queries.

mod binary;
mod metric;

use std::ops::{ControlFlow, Range};

use model::log::{LineCondition, LogRow};
use model::read::{Direction, LogRequest, RangeNs};
use model::{Labels, LogSource, QueryContext, TimestampNs};
use rustc_hash::FxHashMap;

use self::metric::Evaluator;
use super::ast::{Expr, LogExpr, MetricExpr, MetricKind, Stage, VectorOp};
use super::labels::{ERROR, ERROR_DETAILS, Kind, LineLabels};
use super::needs::Needs;
use super::pipeline::{Passed, Pipeline};
use super::request::request;
use crate::errors::EvalError;
use crate::promql::{self, MatrixSeries, SampleValue, VectorSample};
use crate::vector::{self, Column, Grid, is_absent};

type Result<T, E = EvalError> = std::result::Result<T, E>;

/// What a query looked at and answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Lines that the store showed, or that what it counted stands for.
    pub lines_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Lines that passed the pipeline.
    pub lines_matched: u64,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// When it happened.
    pub at: TimestampNs,
    /// Its number in the store; tells lines of equal time apart.
    pub arrival: u64,
    /// The line.
    pub line: String,
    /// Structured metadata.
    pub metadata: Vec<(String, String)>,
    /// Labels that stages made of the line, `__error__` among them.
    pub parsed: Vec<(String, String)>,
}

/// Lines with the same labels, in the order of the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStream {
    /// Their labels.
    pub labels: Labels,
    /// The lines.
    pub entries: Vec<LogEntry>,
}

/// The answer to a log query: streams by their indexed labels, in order of their first lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogResult {
    /// The streams; metadata and parsed labels are with each entry.
    pub streams: Vec<LogStream>,
    /// The cost.
    pub stats: LogStats,
}

/// Lines as they come, put together by stream.
#[derive(Debug, Default)]
pub struct StreamGroups {
    places: FxHashMap<Labels, usize>,
    /// In order of their first lines.
    pub streams: Vec<LogStream>,
}

impl StreamGroups {
    /// Adds a line to its stream.
    pub fn push(&mut self, stream: Labels, entry: LogEntry) {
        let streams = &mut self.streams;
        let place = *self.places.entry(stream).or_insert_with_key(|labels| {
            streams.push(LogStream { labels: labels.clone(), entries: Vec::new() });
            streams.len() - 1
        });
        streams[place].entries.push(entry);
    }
}

impl LogResult {
    /// The same lines grouped by all of their labels (stream, metadata and parsed together), which
    /// is what clients get that do not ask for categorized labels. Entries then have none of their
    /// own.
    pub fn grouped_by_all_labels(self) -> Vec<LogStream> {
        let mut groups = StreamGroups::default();
        for stream in self.streams {
            for mut entry in stream.entries {
                let own = stream.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
                let metadata = std::mem::take(&mut entry.metadata);
                let parsed = std::mem::take(&mut entry.parsed);
                let all = own.chain(metadata).chain(parsed);
                groups.push(Labels::from_pairs_with_empty(all), entry);
            }
        }
        groups.streams
    }
}

/// What a query evaluates to.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Numbers; times are rounded down to milliseconds.
    Metric(promql::Value),
    /// Lines.
    Streams(LogResult),
}

/// A result, what it cost, and the remarks about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The result.
    pub value: Value,
    /// The cost.
    pub stats: LogStats,
    /// Where the result may be wrong or incomplete.
    pub warnings: Vec<String>,
}

/// How an instant query answers if it is a log query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstantOptions {
    /// How many lines at most.
    pub limit: usize,
    /// Which lines first.
    pub direction: Direction,
    /// How far back it looks.
    pub lookback_ns: i64,
}

impl Default for InstantOptions {
    fn default() -> Self {
        InstantOptions {
            limit: 100,
            direction: Direction::Backward,
            lookback_ns: 3_600_000_000_000,
        }
    }
}

/// Lines of `range` in the order of `direction`, at most `limit`. Lines that are kept count as
/// memory of the query.
pub fn evaluate_log(
    log: &LogExpr,
    range: RangeNs,
    limit: usize,
    direction: Direction,
    source: &dyn LogSource,
    context: &QueryContext,
) -> Result<LogResult> {
    if limit == 0 {
        return Ok(LogResult::default());
    }
    let mut groups = StreamGroups::default();
    let visit =
        LogVisit { log, range, direction, lines: Vec::new(), wants: &|_| true, arrivals: None };
    let mut kept = 0;
    let stats = visit_log(&visit, source, context, &mut |_, stream, entry| {
        context.hold(entry.held_bytes())?;
        groups.push(stream, entry);
        kept += 1;
        Ok(if kept < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(LogResult { streams: groups.streams, stats })
}

/// Which lines [`visit_log`] shows.
pub struct LogVisit<'v> {
    /// The query.
    pub log: &'v LogExpr,
    /// Times, start included, end excluded.
    pub range: RangeNs,
    /// The order; lines of equal time are in order of arrival, or in reverse.
    pub direction: Direction,
    /// On the line that the query leaves. A hint: lines that fail one may be left out.
    pub lines: Vec<LineCondition>,
    /// Rows that are not wanted are left out before the query looks at them.
    pub wants: &'v dyn Fn(&LogRow<'_>) -> bool,
    /// Only rows with these numbers, if any are said.
    pub arrivals: Option<Range<u64>>,
}

/// What is done with a line: the row that the store has, the labels of its stream, and what the
/// query made of it.
pub type VisitLine<'v> = dyn FnMut(&LogRow<'_>, Labels, LogEntry) -> Result<ControlFlow<()>> + 'v;

/// Shows lines one by one until `each` breaks or fails. Who keeps a line says so to the context
/// ([`LogEntry::held_bytes`]).
pub fn visit_log(
    visit: &LogVisit<'_>,
    source: &dyn LogSource,
    context: &QueryContext,
    each: &mut VisitLine<'_>,
) -> Result<LogStats> {
    let LogVisit { log, range, direction, .. } = *visit;
    let mut stats = LogStats::default();
    if range.end <= range.start {
        return Ok(stats);
    }
    let mut request = LogRequest { order: Some(direction), ..request(log, range, true, true) };
    if !log.stages.iter().any(Stage::changes_line) {
        request.lines.extend(visit.lines.iter().cloned());
    }
    let pipeline = Pipeline::new(log, Needs::All, context.now());
    let mut failed = None;
    let mut show = |row: &LogRow<'_>| {
        stats.lines_read += 1;
        stats.bytes_read += row.line.len() as u64;
        if !(visit.wants)(row) {
            return ControlFlow::Continue(());
        }
        let Some(passed) = pipeline.run(row) else { return ControlFlow::Continue(()) };
        stats.lines_matched += 1;
        let (stream, entry) = split(row, passed);
        each(row, stream, entry).unwrap_or_else(|error| {
            failed = Some(error);
            ControlFlow::Break(())
        })
    };
    match visit.arrivals.clone() {
        None => source.scan(&request, context, &mut show),
        Some(arrivals) => source.scan_arrivals(arrivals, &request, context, &mut show),
    }?;
    match failed {
        Some(error) => Err(error),
        None => Ok(stats),
    }
}

impl LogEntry {
    /// The memory that it takes, about.
    pub fn held_bytes(&self) -> u64 {
        let pair = |(name, value): &(String, String)| name.len() + value.len();
        let labels: usize = self.metadata.iter().chain(&self.parsed).map(pair).sum();
        let strings = (self.metadata.len() + self.parsed.len()) * size_of::<(String, String)>();
        (size_of::<LogEntry>() + self.line.len() + labels + strings) as u64
    }
}

/// Sorts the labels of a line by where they came from.
fn split<'a>(row: &LogRow<'a>, mut passed: Passed<'a>) -> (Labels, LogEntry) {
    let labels: LineLabels<'a> = passed.take_labels(row);
    let mut entry = LogEntry {
        at: row.at,
        arrival: row.arrival,
        line: passed.line.into_owned(),
        metadata: Vec::new(),
        parsed: Vec::new(),
    };
    let stream_count = labels.labels.iter().filter(|label| label.kind == Kind::Stream).count();
    let stream = if stream_count == row.stream.len() {
        row.stream.clone()
    } else {
        let stream = labels.labels.iter().filter(|label| label.kind == Kind::Stream);
        Labels::from_pairs(stream.map(|label| (label.name.as_ref(), label.value.as_ref())))
    };
    for label in labels.labels {
        let pair = (label.name.into_owned(), label.value.into_owned());
        match label.kind {
            Kind::Stream => {}
            Kind::Metadata => entry.metadata.push(pair),
            Kind::Parsed => entry.parsed.push(pair),
        }
    }
    let errors = [(ERROR, labels.error.into_owned()), (ERROR_DETAILS, labels.details)];
    let errors = errors.into_iter().filter(|(_, value)| !value.is_empty());
    entry.parsed.extend(errors.map(|(name, value)| (name.to_owned(), value)));
    (stream, entry)
}

/// Evaluates at one instant. Series of a vector are in order of their labels, but for a query that
/// sorts series by value.
pub fn evaluate_instant(
    expr: &Expr,
    at: TimestampNs,
    options: &InstantOptions,
    source: &dyn LogSource,
    context: &QueryContext,
) -> Result<Evaluation> {
    let metric = match expr {
        Expr::Metric(metric) => metric,
        Expr::Log(log) => {
            let range = RangeNs { start: at.plus_ns(-options.lookback_ns), end: at.plus_ns(1) };
            let (limit, direction) = (options.limit, options.direction);
            let result = evaluate_log(log, range, limit, direction, source, context)?;
            let stats = result.stats;
            let value = Value::Streams(result);
            return Ok(Evaluation { value, stats, warnings: Vec::new() });
        }
    };
    let grid = Grid::instant(at.0);
    let mut evaluator = Evaluator::new(source, context);
    let value = if metric.is_scalar() {
        let values = evaluator.scalar(metric, &grid)?;
        let value = values.first().copied().unwrap_or(f64::NAN);
        promql::Value::Scalar { at: at.to_ms(), value }
    } else {
        let mut columns = vector::finish(evaluator.vector(metric, &grid)?)?;
        if !metric.any(&|expr| is_op(expr, &ORDERING)) {
            columns.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        let sample = |column: Column| VectorSample {
            value: SampleValue::Float(column.values[0]),
            labels: column.labels,
            at: at.to_ms(),
        };
        promql::Value::Vector(columns.into_iter().map(sample).collect())
    };
    Ok(evaluator.evaluation(Value::Metric(value)))
}

/// Operators whose results have an order of their own; those of `topk` have none.
const ORDERING: [VectorOp; 2] = [VectorOp::Sort, VectorOp::SortDesc];

fn is_op(expr: &MetricExpr, ops: &[VectorOp]) -> bool {
    matches!(&expr.kind, MetricKind::Aggregate(aggregation) if ops.contains(&aggregation.op))
}

/// Evaluates a metric query from `start` to `end` (included) in steps.
///
/// Fails with `BadRequest` for a log query (that is [`evaluate_log`]), a step that is not positive,
/// or an end before the start.
pub fn evaluate_range(
    expr: &Expr,
    start: TimestampNs,
    end: TimestampNs,
    step_ns: i64,
    source: &dyn LogSource,
    context: &QueryContext,
) -> Result<Evaluation> {
    let Expr::Metric(metric) = expr else {
        let message = "a log query has no steps: it is evaluated over a range of time";
        return Err(EvalError::BadArgument(message.into()));
    };
    if metric.any(&|expr| is_op(expr, &[VectorOp::ApproxTopk])) {
        let message = "count min sketches are only supported on instant queries";
        return Err(EvalError::BadArgument(message.into()));
    }
    let Some(grid) = Grid::range(start.0, end.0, step_ns) else {
        let message = "a range query needs a positive step and an end at or after its start";
        return Err(EvalError::BadArgument(message.into()));
    };
    let mut evaluator = Evaluator::new(source, context);
    evaluator.charge_grid(&grid)?;
    let columns = if metric.is_scalar() {
        vec![Column::floats(Labels::empty(), false, evaluator.scalar(metric, &grid)?)]
    } else {
        vector::finish(evaluator.vector(metric, &grid)?)?
    };
    let mut matrix: Vec<MatrixSeries> = columns
        .into_iter()
        .map(|column| {
            let times = grid.times().map(|at| TimestampNs(at).to_ms());
            let points = times.zip(column.values).filter(|(_, value)| !is_absent(*value));
            let points = points.collect();
            MatrixSeries { labels: column.labels, points, histograms: Vec::new() }
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(evaluator.evaluation(Value::Metric(promql::Value::Matrix(matrix))))
}
