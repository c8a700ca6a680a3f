//! Evaluation of LogQL: lines for log queries, columns of numbers for metric queries.

use std::ops::ControlFlow;

use model::log::LogRow;
use model::read::{Direction, LineHint, LogRequest, RangeNs};
use model::{Labels, LogSource, QueryContext, TimestampNs};
use rustc_hash::FxHashMap;

use super::ast::{Expr, LineOp, LogExpr, MetricExpr, MetricKind, RangeAggregation, RangeOp, Stage};
use super::pipeline::{ERROR, Kind, LineLabels, Passed, Pipeline};
use crate::errors::{EvalError, Span};
use crate::promql::{self, MatrixSeries, SampleValue, VectorSample};
use crate::vector::{
    self, AggregateCall, AggregateOp, Column, Grid, Grouping, Notes, Operator, Parameter, absent,
    is_absent,
};

type Result<T, E = EvalError> = std::result::Result<T, E>;

/// What a query looked at and answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Lines that the store showed.
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

impl LogResult {
    /// The same lines grouped by all of their labels (stream, metadata and parsed together), which
    /// is what clients get that do not ask for categorized labels. Entries then have none of their
    /// own.
    pub fn grouped_by_all_labels(self) -> Vec<LogStream> {
        let mut places: FxHashMap<Labels, usize> = FxHashMap::default();
        let mut streams: Vec<LogStream> = Vec::new();
        for stream in self.streams {
            for mut entry in stream.entries {
                let own = stream.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
                let metadata = std::mem::take(&mut entry.metadata);
                let parsed = std::mem::take(&mut entry.parsed);
                let labels = Labels::from_pairs(own.chain(metadata).chain(parsed));
                let place = *places.entry(labels).or_insert_with_key(|labels| {
                    streams.push(LogStream { labels: labels.clone(), entries: Vec::new() });
                    streams.len() - 1
                });
                streams[place].entries.push(entry);
            }
        }
        streams
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

/// Lines of `range` in the order of `direction`, at most `limit`.
pub fn evaluate_log(
    log: &LogExpr,
    range: RangeNs,
    limit: usize,
    direction: Direction,
    source: &dyn LogSource,
    context: &QueryContext,
) -> Result<LogResult> {
    let mut result = LogResult::default();
    if limit == 0 || range.end <= range.start {
        return Ok(result);
    }
    let request = LogRequest { order: Some(direction), ..request(log, range, true) };
    let pipeline = Pipeline::new(log);
    let mut places: FxHashMap<Labels, usize> = FxHashMap::default();
    source.scan(&request, context, &mut |row| {
        result.stats.lines_read += 1;
        result.stats.bytes_read += row.line.len() as u64;
        let Some(passed) = pipeline.run(row) else { return ControlFlow::Continue(()) };
        result.stats.lines_matched += 1;
        let labels = pipeline.labels(row, passed);
        let (stream, entry) = split(row, labels);
        let place = *places.entry(stream).or_insert_with_key(|labels| {
            result.streams.push(LogStream { labels: labels.clone(), entries: Vec::new() });
            result.streams.len() - 1
        });
        result.streams[place].entries.push(entry);
        if result.stats.lines_matched >= limit as u64 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(result)
}

/// Sorts the labels of a line by where they came from.
fn split(row: &LogRow<'_>, labels: LineLabels<'_>) -> (Labels, LogEntry) {
    let mut entry = LogEntry {
        at: row.at,
        line: row.line.to_owned(),
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
    if let Some((kind, details)) = labels.error {
        entry.parsed.push((ERROR.to_owned(), kind.to_owned()));
        if !details.is_empty() {
            entry.parsed.push((super::pipeline::ERROR_DETAILS.to_owned(), details));
        }
    }
    (stream, entry)
}

fn request(log: &LogExpr, range: RangeNs, metadata: bool) -> LogRequest {
    let mut lines = Vec::new();
    for stage in &log.stages {
        let Stage::Line(filter) = stage else { continue };
        match (filter.op, filter.texts.as_slice()) {
            (LineOp::Contains, [text]) => lines.push(LineHint::Contains(text.clone())),
            (LineOp::Lacks, texts) => {
                lines.extend(texts.iter().map(|text| LineHint::Lacks(text.clone())));
            }
            _ => {}
        }
    }
    LogRequest { matchers: log.matchers.clone(), range, lines, order: None, metadata }
}

/// Evaluates at one instant.
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
        let columns = vector::finish(evaluator.vector(metric, &grid)?)?;
        let sample = |column: Column| VectorSample {
            value: SampleValue::Float(column.values[0]),
            labels: column.labels,
            at: at.to_ms(),
        };
        promql::Value::Vector(columns.into_iter().map(sample).collect())
    };
    Ok(evaluator.evaluation(Value::Metric(value)))
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

struct Evaluator<'a> {
    source: &'a dyn LogSource,
    context: &'a QueryContext,
    notes: Notes,
    stats: LogStats,
}

impl<'a> Evaluator<'a> {
    fn new(source: &'a dyn LogSource, context: &'a QueryContext) -> Self {
        Evaluator { source, context, notes: Notes::default(), stats: LogStats::default() }
    }

    fn evaluation(self, value: Value) -> Evaluation {
        Evaluation { value, stats: self.stats, warnings: self.notes.warnings }
    }

    /// Refuses a grid that is too long before anything of its length is allocated.
    fn charge_grid(&self, grid: &Grid) -> Result<()> {
        let cells = grid.count as u64;
        Ok(self.context.charge(cells, cells.saturating_mul(8))?)
    }

    fn scalar(&mut self, expr: &MetricExpr, grid: &Grid) -> Result<Vec<f64>> {
        match &expr.kind {
            MetricKind::Number(value) => Ok(vec![*value; grid.count]),
            MetricKind::Paren(inner) => self.scalar(inner, grid),
            MetricKind::Binary { op, left, right, .. } => {
                let left = self.scalar(left, grid)?;
                let right = self.scalar(right, grid)?;
                Ok(vector::scalar_binary(*op, &left, &right))
            }
            _ => Err(EvalError::NotSupported { what: format!("{expr} as a number") }),
        }
    }

    fn vector(&mut self, expr: &MetricExpr, grid: &Grid) -> Result<Vec<Column>> {
        self.context.check()?;
        match &expr.kind {
            MetricKind::Number(value) | MetricKind::Vector(value) => {
                let values = vec![*value; grid.count];
                Ok(vec![Column::floats(Labels::empty(), false, values)])
            }
            MetricKind::Paren(inner) => self.vector(inner, grid),
            MetricKind::Range(range) => self.range(range, None, grid),
            MetricKind::Aggregate { op, parameter, grouping, expr: inner } => {
                self.aggregate(expr.span, *op, *parameter, grouping, inner, grid)
            }
            MetricKind::Binary { op, return_bool, matching, left, right } => {
                let operator = Operator { op: *op, return_bool: *return_bool, span: expr.span };
                if left.is_scalar() || right.is_scalar() {
                    let scalar_left = left.is_scalar();
                    let (scalar, columns) = if scalar_left { (left, right) } else { (right, left) };
                    let scalar = self.scalar(scalar, grid)?;
                    let columns = self.vector(columns, grid)?;
                    let notes = &mut self.notes;
                    return vector::vector_scalar(
                        operator,
                        columns,
                        &scalar,
                        scalar_left,
                        notes,
                        self.context,
                    );
                }
                let left = self.vector(left, grid)?;
                let right = self.vector(right, grid)?;
                let (steps, notes) = (grid.count, &mut self.notes);
                if op.is_set() {
                    return vector::set_operator(*op, left, right, matching, steps, self.context);
                }
                vector::vector_vector(operator, left, right, matching, steps, notes, self.context)
            }
        }
    }

    #[inline(never)]
    fn aggregate(
        &mut self,
        span: Span,
        op: AggregateOp,
        parameter: Option<f64>,
        grouping: &Grouping,
        inner: &MetricExpr,
        grid: &Grid,
    ) -> Result<Vec<Column>> {
        let columns = match &inner.kind {
            // A sum of counts needs only the labels of its groups, and few series instead of many.
            MetricKind::Range(range)
                if op == AggregateOp::Sum
                    && !grouping.without
                    && range.op != RangeOp::AbsentOverTime =>
            {
                self.range(range, Some(&grouping.labels), grid)?
            }
            _ => self.vector(inner, grid)?,
        };
        let call = AggregateCall {
            op,
            grouping,
            parameter: parameter
                .map_or(Parameter::None, |value| Parameter::Numbers(vec![value; grid.count])),
            spans: [span, inner.span, span],
        };
        vector::aggregate(&call, columns, grid.count, &mut self.notes, self.context)
    }

    /// Counts lines and bytes for each series and step. `keys` are the only labels that matter, if
    /// given.
    #[inline(never)]
    fn range(
        &mut self,
        range: &RangeAggregation,
        keys: Option<&[String]>,
        grid: &Grid,
    ) -> Result<Vec<Column>> {
        let first = grid.start.saturating_sub(range.offset_ns);
        let last = grid.last().saturating_sub(range.offset_ns);
        let rows = RangeNs {
            start: TimestampNs(first.saturating_sub(range.range_ns).saturating_add(1)),
            end: TimestampNs(last.saturating_add(1)),
        };
        let pipeline = Pipeline::new(&range.log);
        let absent_only = range.op == RangeOp::AbsentOverTime;
        let no_keys: &[String] = &[];
        let keys = if absent_only { Some(no_keys) } else { keys };
        let metadata = !(pipeline.is_lines_only() && keys.is_some_and(<[String]>::is_empty));
        let request = request(&range.log, rows, metadata);
        let mut counts = Counts::new(grid, range, keys);
        let mut failed: Option<EvalError> = None;
        let (stats, context) = (&mut self.stats, self.context);
        self.source.scan(&request, context, &mut |row| {
            stats.lines_read += 1;
            stats.bytes_read += row.line.len() as u64;
            let Some(passed) = pipeline.run(row) else { return ControlFlow::Continue(()) };
            stats.lines_matched += 1;
            match counts.add(row, &pipeline, passed, context) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(counts.columns()),
        }
    }
}

/// Lines and bytes by series and step, as differences between neighbouring steps.
struct Counts<'a> {
    grid: &'a Grid,
    range: &'a RangeAggregation,
    keys: Option<&'a [String]>,
    /// By the text of what tells series apart, in whatever order a line had it.
    places: FxHashMap<String, usize>,
    places_by_labels: FxHashMap<Labels, usize>,
    series: Vec<(Labels, Vec<(i64, i64)>)>,
    scratch: String,
}

impl<'a> Counts<'a> {
    fn new(grid: &'a Grid, range: &'a RangeAggregation, keys: Option<&'a [String]>) -> Self {
        Counts {
            grid,
            range,
            keys,
            places: FxHashMap::default(),
            places_by_labels: FxHashMap::default(),
            series: Vec::new(),
            scratch: String::new(),
        }
    }

    /// The steps whose windows hold a line of time `at`.
    fn steps_of(&self, at: TimestampNs) -> Option<(usize, usize)> {
        let grid = self.grid;
        let at = i128::from(at.0) + i128::from(self.range.offset_ns);
        let start = i128::from(grid.start);
        let step = i128::from(grid.step.max(1));
        let last_index = i128::try_from(grid.count).unwrap_or(i128::MAX) - 1;
        // T >= at and T < at + range.
        let from = (at - start + step - 1).div_euclid(step).max(0);
        let until = (at + i128::from(self.range.range_ns) - 1 - start).div_euclid(step);
        let until = until.min(last_index);
        if from > until {
            return None;
        }
        Some((usize::try_from(from).ok()?, usize::try_from(until).ok()?))
    }

    fn add<'r>(
        &mut self,
        row: &LogRow<'r>,
        pipeline: &Pipeline<'_>,
        passed: Passed<'r>,
        context: &QueryContext,
    ) -> Result<()> {
        let Some((from, until)) = self.steps_of(row.at) else { return Ok(()) };
        if let Passed::Labels(labels) = &passed
            && let Some((kind, _)) = &labels.error
        {
            let error = (*kind).to_owned();
            return Err(EvalError::Pipeline { error, stream: labels.all() });
        }
        let place = self.place(row, pipeline, passed, context)?;
        let cells = &mut self.series[place].1;
        let bytes = i64::try_from(row.line.len()).unwrap_or(i64::MAX);
        cells[from].0 += 1;
        cells[from].1 += bytes;
        cells[until + 1].0 -= 1;
        cells[until + 1].1 -= bytes;
        Ok(())
    }

    fn place<'r>(
        &mut self,
        row: &LogRow<'r>,
        pipeline: &Pipeline<'_>,
        passed: Passed<'r>,
        context: &QueryContext,
    ) -> Result<usize> {
        self.scratch.clear();
        let fields = || row.metadata.iter();
        let labels = match (passed, self.keys) {
            // Without stages on labels, the few labels that matter are looked up where they are.
            (Passed::Unchanged, Some(keys)) if !keys.iter().any(|k| k.ends_with("_extracted")) => {
                for key in keys {
                    let value = row.stream.get(key).unwrap_or_else(|| {
                        fields().find(|f| f.name == key).map_or("", |field| field.value)
                    });
                    self.scratch.push_str(value);
                    self.scratch.push('\u{0}');
                }
                None
            }
            (passed, keys) => {
                let labels = pipeline.labels(row, passed);
                match keys {
                    Some(keys) => {
                        for key in keys {
                            self.scratch.push_str(labels.get(key));
                            self.scratch.push('\u{0}');
                        }
                    }
                    None => {
                        for label in &labels.labels {
                            self.scratch.push_str(&label.name);
                            self.scratch.push('\u{0}');
                            self.scratch.push_str(&label.value);
                            self.scratch.push('\u{0}');
                        }
                    }
                }
                Some(labels)
            }
        };
        if let Some(place) = self.places.get(self.scratch.as_str()) {
            return Ok(*place);
        }
        let cells = self.grid.count as u64;
        context.charge(cells, cells.saturating_mul(16))?;
        let labels = match (labels, self.keys) {
            (Some(labels), None) => labels.all(),
            (_, keys) => {
                let names = keys.unwrap_or(&[]).iter().map(String::as_str);
                Labels::from_pairs(names.zip(self.scratch.split('\u{0}')))
            }
        };
        // The same labels in another order are the same series.
        let (series, cells) = (&mut self.series, self.grid.count + 1);
        let place = *self.places_by_labels.entry(labels).or_insert_with_key(|labels| {
            series.push((labels.clone(), vec![(0, 0); cells]));
            series.len() - 1
        });
        self.places.insert(self.scratch.clone(), place);
        Ok(place)
    }

    fn columns(self) -> Vec<Column> {
        let op = self.range.op;
        if op == RangeOp::AbsentOverTime {
            return self.absent_column();
        }
        let seconds = self.range.range_ns as f64 / 1e9;
        let mut columns: Vec<Column> = self
            .series
            .into_iter()
            .map(|(labels, cells)| {
                let (mut lines, mut bytes) = (0, 0);
                let values = cells[..cells.len() - 1].iter().map(|(line_change, byte_change)| {
                    lines += line_change;
                    bytes += byte_change;
                    match op {
                        _ if lines == 0 => absent(),
                        RangeOp::CountOverTime | RangeOp::AbsentOverTime => lines as f64,
                        RangeOp::Rate => lines as f64 / seconds,
                        RangeOp::BytesOverTime => bytes as f64,
                        RangeOp::BytesRate => bytes as f64 / seconds,
                    }
                });
                Column::floats(labels, false, values.collect())
            })
            .collect();
        columns.sort_by(|a, b| a.labels.cmp(&b.labels));
        columns
    }

    fn absent_column(self) -> Vec<Column> {
        let mut lines = 0;
        let mut values = vec![1.0; self.grid.count];
        if let Some((_, cells)) = self.series.first() {
            for (value, (change, _)) in values.iter_mut().zip(cells) {
                lines += change;
                if lines > 0 {
                    *value = absent();
                }
            }
        }
        let matchers = self.range.log.matchers.iter();
        let equal = matchers.filter(|matcher| matcher.op == model::MatchOp::Equal);
        let labels = Labels::from_pairs(equal.map(|m| (m.name.as_str(), m.value.as_str())));
        vec![Column::floats(labels, false, values)]
    }
}
