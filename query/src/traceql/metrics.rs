//! Metrics: series made of spans.
//!
//! A span counts in the interval that its start falls into. Interval number i ends at the i-th time
//! of the answer, its end included, its start excluded, as in Tempo 3. Durations become seconds.

mod compare;
mod math;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use model::read::{RangeNs, SpanRequest};
use model::{QueryContext, SpanSource, TimestampNs, Value};
use rustc_hash::FxHashMap;

use super::ast::{Field, Function, MetricsExpr, Pipeline, Query, Root};
use super::error::{Error, Result};
use super::eval;
use super::hints::hints;
use super::value::Cell;
use super::view::View;

/// Points that a range query may have.
const POINTS_MAX: i64 = 11_000;

/// Series that a query may hold, if they are short.
const SERIES_MAX: usize = 10_000;

/// Points of all series together.
const CELLS_MAX: usize = 20_000_000;

/// The steps that Tempo chooses from, in seconds.
const STEPS_S: [i64; 6] = [1, 5, 15, 60, 300, 3600];

/// When to evaluate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsRange {
    /// Start included, end excluded.
    pub range: RangeNs,
    /// The length of an interval, in nanoseconds.
    pub step_ns: i64,
}

impl MetricsRange {
    /// A step that gives about 240 points.
    pub fn default_step_ns(range: RangeNs) -> i64 {
        let length = range.end.0.saturating_sub(range.start.0);
        let wanted = length / 240;
        let seconds = STEPS_S.iter().find(|seconds| *seconds * 1_000_000_000 >= wanted);
        seconds.unwrap_or(&STEPS_S[STEPS_S.len() - 1]) * 1_000_000_000
    }
}

/// One point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The end of the interval.
    pub at: TimestampNs,
    /// The value.
    pub value: f64,
}

/// A series; intervals without a value are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// In the order of the query.
    pub labels: Vec<(String, Value)>,
    /// In order of time.
    pub samples: Vec<Sample>,
}

/// Intervals of equal length.
#[derive(Debug, Clone, Copy)]
struct Steps {
    start: i64,
    step: i64,
    count: usize,
}

impl Steps {
    fn index(&self, at: i64) -> usize {
        let after = at.saturating_sub(self.start);
        // The end of an interval belongs to it; the very first instant has no interval before.
        let index = after.saturating_sub(1).max(0) / self.step;
        usize::try_from(index).unwrap_or(0).min(self.count - 1)
    }

    fn end_of(&self, index: usize) -> TimestampNs {
        let index = i64::try_from(index).unwrap_or(i64::MAX - 1) + 1;
        TimestampNs(self.start.saturating_add(index.saturating_mul(self.step)))
    }
}

/// A series by intervals; NaN where it has no value.
#[derive(Debug, Clone)]
struct Row {
    labels: Vec<(String, Value)>,
    values: Vec<f64>,
}

/// Evaluates at each step of a range. Intervals are aligned to multiples of the step.
pub fn query_range(
    query: &Query,
    range: MetricsRange,
    source: &dyn SpanSource,
    context: &QueryContext,
) -> Result<Vec<Series>> {
    if range.step_ns <= 0 {
        return Err(Error::BadRange("the step must be greater than zero".into()));
    }
    let start = range.range.start.0.div_euclid(range.step_ns).saturating_mul(range.step_ns);
    let length = range.range.end.0.saturating_sub(start);
    if length <= 0 {
        return Err(Error::BadRange("the end must be after the start".into()));
    }
    let count = length / range.step_ns + i64::from(length % range.step_ns > 0);
    if count > POINTS_MAX {
        return Err(Error::BadRange(format!(
            "the range has {count} steps, over the limit of {POINTS_MAX}; choose a larger step"
        )));
    }
    let count = usize::try_from(count).unwrap_or(1);
    let steps = Steps { start, step: range.step_ns, count };
    evaluate_query(query, range.range, steps, source, context)
}

/// Evaluates once over the whole range: each series has at most one sample, at its end.
pub fn query_instant(
    query: &Query,
    range: RangeNs,
    source: &dyn SpanSource,
    context: &QueryContext,
) -> Result<Vec<Series>> {
    let step = range.end.0.saturating_sub(range.start.0);
    if step <= 0 {
        return Err(Error::BadRange("the end must be after the start".into()));
    }
    evaluate_query(query, range, Steps { start: range.start.0, step, count: 1 }, source, context)
}

fn evaluate_query(
    query: &Query,
    range: RangeNs,
    steps: Steps,
    source: &dyn SpanSource,
    context: &QueryContext,
) -> Result<Vec<Series>> {
    let Root::Metrics(expr) = &query.root else {
        return Err(Error::WrongEndpoint { is: "a search", wanted: "metrics" });
    };
    let run = Run { range, steps, source, context };
    let rows = match run.evaluate(expr)? {
        math::Operand::Number(value) => {
            vec![Row { labels: Vec::new(), values: vec![value; steps.count] }]
        }
        math::Operand::Rows(rows) => rows,
    };
    let series = rows.into_iter().map(|row| Series {
        labels: row.labels,
        samples: row
            .values
            .iter()
            .enumerate()
            .filter(|(_, value)| !value.is_nan())
            .map(|(i, value)| Sample { at: steps.end_of(i), value: *value })
            .collect(),
    });
    Ok(series.filter(|series| !series.samples.is_empty()).collect())
}

/// One evaluation.
struct Run<'a> {
    range: RangeNs,
    steps: Steps,
    source: &'a dyn SpanSource,
    context: &'a QueryContext,
}

impl Run<'_> {
    fn evaluate(&self, expr: &MetricsExpr) -> Result<math::Operand> {
        Ok(match expr {
            MetricsExpr::Number(value) => math::Operand::Number(*value),
            MetricsExpr::First {
                pipeline,
                function: Function::Compare { filter, top, window },
                ..
            } => math::Operand::Rows(self.compare(pipeline, filter, *top, *window)?),
            MetricsExpr::First { pipeline, function, by } => {
                math::Operand::Rows(self.first(pipeline, function, by)?)
            }
            MetricsExpr::Math { op, left, right } => {
                math::join(*op, self.evaluate(left)?, self.evaluate(right)?)
            }
            MetricsExpr::Top { operand, count, largest } => {
                math::top(self.evaluate(operand)?, *count, *largest)
            }
            MetricsExpr::Filter { operand, comparison, value } => {
                math::filter(self.evaluate(operand)?, *comparison, *value)
            }
        })
    }

    /// Visits every span that the pipeline selects and that starts in the range.
    fn visit(
        &self,
        pipeline: &Pipeline,
        visit: &mut dyn FnMut(&View<'_>, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let request = SpanRequest { range: self.range, hints: hints(pipeline) };
        let mut outcome = Ok(());
        self.source.scan(&request, self.context, &mut |trace| {
            let view = View::new(&trace);
            outcome = self.context.check().map_err(Error::from).and_then(|()| {
                for set in eval::run(pipeline, &view) {
                    for index in set.spans {
                        let start = trace.spans[index].start;
                        if self.range.contains(start) {
                            visit(&view, index, self.steps.index(start.0))?;
                        }
                    }
                }
                Ok(())
            });
            if outcome.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        outcome
    }

    fn first(&self, pipeline: &Pipeline, function: &Function, by: &[Field]) -> Result<Vec<Row>> {
        let mut groups: FxHashMap<String, (Vec<Value>, Accumulator)> = FxHashMap::default();
        let mut key = String::new();
        self.visit(pipeline, &mut |view, index, step| {
            let measured = match function.field() {
                None => 0.0,
                Some(field) => match measure(function, &view.field(index, field)) {
                    Some(value) => value,
                    None => return Ok(()),
                },
            };
            key.clear();
            let values: Vec<Value> =
                by.iter().map(|field| view.field(index, field).to_value()).collect();
            for value in &values {
                crate::text::push(&mut key, format_args!("{value:?}\u{0}"));
            }
            if let Some((_, accumulator)) = groups.get_mut(&key) {
                accumulator.add(step, measured);
                return Ok(());
            }
            let series_max = SERIES_MAX.min(CELLS_MAX / self.steps.count);
            if groups.len() >= series_max {
                return Err(Error::TooManySeries { series_max });
            }
            let mut accumulator = Accumulator::new(function, self.steps.count);
            accumulator.add(step, measured);
            groups.insert(key.clone(), (values, accumulator));
            Ok(())
        })?;
        // The order of a hash map would change from call to call.
        let groups: BTreeMap<_, _> = groups.into_iter().collect();
        let mut rows = Vec::new();
        for (values, accumulator) in groups.into_values() {
            let labels: Vec<(String, Value)> = by.iter().map(Field::label).zip(values).collect();
            accumulator.finish(function, labels, self.steps.step, &mut rows);
        }
        if rows.is_empty()
            && by.is_empty()
            && matches!(function, Function::Rate | Function::CountOverTime)
        {
            // Nothing happened, and it is known that nothing did.
            let values = vec![0.0; self.steps.count];
            rows.push(Row { labels: own_name(function), values });
        }
        Ok(rows)
    }
}

impl Function {
    fn field(&self) -> Option<&Field> {
        match self {
            Function::MinOverTime(field)
            | Function::MaxOverTime(field)
            | Function::AvgOverTime(field)
            | Function::SumOverTime(field)
            | Function::QuantileOverTime(field, _)
            | Function::HistogramOverTime(field) => Some(field),
            Function::Rate | Function::CountOverTime | Function::Compare { .. } => None,
        }
    }
}

/// Series without groups are named by their function.
fn own_name(function: &Function) -> Vec<(String, Value)> {
    vec![("__name__".into(), Value::Str(function.name().into()))]
}

/// The number that a function sees of a value. Histograms see powers of two of nanoseconds or of
/// whole numbers from 2 on, in seconds if it is a time; nothing else fits their buckets.
fn measure(function: &Function, cell: &Cell<'_>) -> Option<f64> {
    if !matches!(function, Function::QuantileOverTime(..) | Function::HistogramOverTime(_)) {
        return match cell {
            Cell::Duration(ns) => Some(*ns as f64 / 1e9),
            other => other.number().filter(|value| !value.is_nan()),
        };
    }
    let bucket = |value: i64| {
        let value = u64::try_from(value).ok().filter(|value| *value >= 2)?;
        Some(value.checked_next_power_of_two()? as f64)
    };
    match cell {
        Cell::Duration(ns) => bucket(*ns).map(|bound| bound / 1e9),
        Cell::Int(value) => bucket(*value),
        _ => None,
    }
}

/// Upper bounds and counts, in order of the bounds. Bounds are never negative, so that their bits
/// have the same order.
type Buckets = BTreeMap<u64, f64>;

/// What is kept of one group.
enum Accumulator {
    Count(Vec<f64>),
    Sum { sums: Vec<f64>, counts: Vec<f64> },
    Extreme { values: Vec<f64>, largest: bool },
    Buckets(Vec<Buckets>),
}

impl Accumulator {
    fn new(function: &Function, count: usize) -> Self {
        match function {
            Function::Rate | Function::CountOverTime | Function::Compare { .. } => {
                Accumulator::Count(vec![0.0; count])
            }
            Function::SumOverTime(_) | Function::AvgOverTime(_) => {
                Accumulator::Sum { sums: vec![0.0; count], counts: vec![0.0; count] }
            }
            Function::MinOverTime(_) => {
                Accumulator::Extreme { values: vec![f64::NAN; count], largest: false }
            }
            Function::MaxOverTime(_) => {
                Accumulator::Extreme { values: vec![f64::NAN; count], largest: true }
            }
            Function::QuantileOverTime(..) | Function::HistogramOverTime(_) => {
                Accumulator::Buckets(vec![Buckets::new(); count])
            }
        }
    }

    fn add(&mut self, step: usize, value: f64) {
        match self {
            Accumulator::Count(counts) => counts[step] += 1.0,
            Accumulator::Sum { sums, counts } => {
                sums[step] += value;
                counts[step] += 1.0;
            }
            // `min` and `max` of a number and NaN are the number.
            Accumulator::Extreme { values, largest: true } => {
                values[step] = values[step].max(value);
            }
            Accumulator::Extreme { values, largest: false } => {
                values[step] = values[step].min(value);
            }
            Accumulator::Buckets(steps) => {
                *steps[step].entry(value.to_bits()).or_insert(0.0) += 1.0;
            }
        }
    }

    fn finish(
        self,
        function: &Function,
        labels: Vec<(String, Value)>,
        step_ns: i64,
        rows: &mut Vec<Row>,
    ) {
        let named = |labels: Vec<(String, Value)>| {
            if labels.is_empty() { own_name(function) } else { labels }
        };
        let values = match self {
            Accumulator::Count(mut counts) => {
                if matches!(function, Function::Rate) {
                    let seconds = step_ns as f64 / 1e9;
                    counts.iter_mut().for_each(|count| *count /= seconds);
                }
                counts
            }
            Accumulator::Sum { sums, counts } => {
                let is_average = matches!(function, Function::AvgOverTime(_));
                let pairs = sums.into_iter().zip(counts);
                pairs
                    .map(|(sum, count)| match count {
                        0.0 => f64::NAN,
                        count if is_average => sum / count,
                        _ => sum,
                    })
                    .collect()
            }
            Accumulator::Extreme { values, .. } => values,
            Accumulator::Buckets(steps) => {
                if let Function::QuantileOverTime(_, quantiles) = function {
                    for p in quantiles {
                        let mut labels = labels.clone();
                        labels.push(("p".into(), Value::Double(*p)));
                        let values = steps.iter().map(|buckets| quantile(*p, buckets)).collect();
                        rows.push(Row { labels, values });
                    }
                    return;
                }
                let bounds: std::collections::BTreeSet<u64> =
                    steps.iter().flat_map(|buckets| buckets.keys().copied()).collect();
                for bound in bounds {
                    let mut labels = labels.clone();
                    labels.push(("__bucket".into(), Value::Double(f64::from_bits(bound))));
                    let of = |buckets: &Buckets| buckets.get(&bound).copied().unwrap_or(0.0);
                    rows.push(Row { labels, values: steps.iter().map(of).collect() });
                }
                return;
            }
        };
        rows.push(Row { labels: named(labels), values });
    }
}

/// Interpolates inside the bucket, on a logarithmic scale since bounds double.
fn quantile(p: f64, buckets: &Buckets) -> f64 {
    let total: f64 = buckets.values().sum();
    if total == 0.0 || p.is_nan() {
        return f64::NAN;
    }
    let rank = p.clamp(0.0, 1.0) * total;
    let mut before = 0.0;
    let mut highest = f64::NAN;
    for (bound, count) in buckets {
        highest = f64::from_bits(*bound);
        if before + count >= rank {
            let lower = highest / 2.0;
            return lower * 2f64.powf((rank - before) / count);
        }
        before += count;
    }
    highest
}
