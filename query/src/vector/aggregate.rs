//! Aggregation over series: each series finds its group once, then all its cells go into it.

use model::labels::METRIC_NAME;
use model::{Labels, QueryContext};
use rustc_hash::FxHashMap;

use super::{Column, Notes, absent, is_absent};
use crate::errors::{EvalError, Span};
use crate::text::format_float;

/// Which labels tell groups apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grouping {
    /// All but the listed ones (and the metric name), instead of only the listed ones.
    pub without: bool,
    /// The listed ones.
    pub labels: Vec<String>,
}

impl Grouping {
    /// The labels of the group that a series belongs to.
    pub fn group_of(&self, labels: &Labels) -> Labels {
        let mut names: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        if self.without {
            names.push(METRIC_NAME);
            labels.without(&names)
        } else {
            labels.only(&names)
        }
    }
}

/// An aggregation operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `count`
    Count,
    /// `group`
    Group,
    /// `stddev`
    Stddev,
    /// `stdvar`
    Stdvar,
    /// `topk`
    Topk,
    /// `bottomk`
    Bottomk,
    /// `limitk`
    Limitk,
    /// `quantile`
    Quantile,
    /// `count_values`
    CountValues,
}

const NAMES: [(AggregateOp, &str); 13] = [
    (AggregateOp::Sum, "sum"),
    (AggregateOp::Avg, "avg"),
    (AggregateOp::Min, "min"),
    (AggregateOp::Max, "max"),
    (AggregateOp::Count, "count"),
    (AggregateOp::Group, "group"),
    (AggregateOp::Stddev, "stddev"),
    (AggregateOp::Stdvar, "stdvar"),
    (AggregateOp::Topk, "topk"),
    (AggregateOp::Bottomk, "bottomk"),
    (AggregateOp::Limitk, "limitk"),
    (AggregateOp::Quantile, "quantile"),
    (AggregateOp::CountValues, "count_values"),
];

impl AggregateOp {
    /// Finds an operator by its lower-case name.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(op, _)| *op)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(op, _)| *op == self).map_or("", |(_, name)| name)
    }

    /// Whether it takes a parameter before the vector.
    pub fn has_parameter(self) -> bool {
        matches!(
            self,
            AggregateOp::Topk
                | AggregateOp::Bottomk
                | AggregateOp::Limitk
                | AggregateOp::Quantile
                | AggregateOp::CountValues
        )
    }
}

/// The parameter of an aggregation.
#[derive(Debug, Clone)]
pub enum Parameter {
    /// It has none.
    None,
    /// A number for each evaluation time.
    Numbers(Vec<f64>),
    /// A label name.
    Label(String),
}

/// An aggregation with everything but its input.
#[derive(Debug)]
pub struct AggregateCall<'a> {
    /// The operator.
    pub op: AggregateOp,
    /// Its grouping.
    pub grouping: &'a Grouping,
    /// Its parameter.
    pub parameter: Parameter,
    /// Where remarks about the operator, the input and the parameter point to.
    pub spans: [Span; 3],
}

/// Aggregates columns of `steps` cells each. Results are in order of the groups' first series;
/// `topk` and `bottomk` of a single step are in order of value.
pub fn aggregate(
    call: &AggregateCall<'_>,
    columns: Vec<Column>,
    steps: usize,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    if let (AggregateOp::CountValues, Parameter::Label(label)) = (call.op, &call.parameter) {
        return count_values(call, label, &columns, steps, notes, context);
    }
    let groups = Groups::of(call.grouping, &columns);
    match call.op {
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk => {
            pick_k(call, &groups, columns, steps, notes, context)
        }
        AggregateOp::Quantile => quantiles(call, &groups, &columns, steps, notes, context),
        _ => fold(call, &groups, &columns, steps, notes, context),
    }
}

struct Groups {
    labels: Vec<Labels>,
    members: Vec<Vec<usize>>,
}

impl Groups {
    fn of(grouping: &Grouping, columns: &[Column]) -> Self {
        let mut places: FxHashMap<Labels, usize> = FxHashMap::default();
        let mut groups = Groups { labels: Vec::new(), members: Vec::new() };
        for (index, column) in columns.iter().enumerate() {
            let labels = grouping.group_of(&column.labels);
            let place = *places.entry(labels).or_insert_with_key(|labels| {
                groups.labels.push(labels.clone());
                groups.members.push(Vec::new());
                groups.labels.len() - 1
            });
            groups.members[place].push(index);
        }
        groups
    }
}

/// Adds with Neumaier's compensation; an infinite sum drops it, since it would turn into NaN.
pub(crate) fn kahan_add(add: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let total = sum + add;
    let compensation = if total.is_infinite() {
        0.0
    } else if sum.abs() >= add.abs() {
        compensation + ((sum - total) + add)
    } else {
        compensation + ((add - total) + sum)
    };
    (total, compensation)
}

/// What one group knows at one step.
#[derive(Clone, Copy, Default)]
struct Cell {
    count: f64,
    /// The sum, the extreme, or the squared distances.
    value: f64,
    mean: f64,
    compensation: f64,
    incremental: bool,
    floats: bool,
    histograms: bool,
}

impl Cell {
    fn add(&mut self, op: AggregateOp, value: f64) {
        self.floats = true;
        self.count += 1.0;
        let first = self.count == 1.0;
        match op {
            AggregateOp::Sum if first => self.value = value,
            AggregateOp::Sum => {
                (self.value, self.compensation) = kahan_add(value, self.value, self.compensation);
            }
            AggregateOp::Avg => self.add_to_mean(value, first),
            AggregateOp::Min if first || self.value > value || self.value.is_nan() => {
                self.value = value;
            }
            AggregateOp::Max if first || self.value < value || self.value.is_nan() => {
                self.value = value;
            }
            AggregateOp::Stddev | AggregateOp::Stdvar if first => {
                self.mean = value;
                self.value = if value.is_finite() { 0.0 } else { f64::NAN };
            }
            AggregateOp::Stddev | AggregateOp::Stdvar => {
                let delta = value - self.mean;
                self.mean += delta / self.count;
                self.value += delta * (value - self.mean);
            }
            _ => {}
        }
    }

    /// A plain compensated sum as long as it does not overflow, then an incremental mean.
    fn add_to_mean(&mut self, value: f64, first: bool) {
        if first {
            self.value = value;
            return;
        }
        if !self.incremental {
            let (sum, compensation) = kahan_add(value, self.value, self.compensation);
            if !sum.is_infinite() {
                (self.value, self.compensation) = (sum, compensation);
                return;
            }
            self.incremental = true;
            self.mean = self.value / (self.count - 1.0);
            self.compensation /= self.count - 1.0;
        }
        let weight = (self.count - 1.0) / self.count;
        (self.mean, self.compensation) =
            kahan_add(value / self.count, weight * self.mean, weight * self.compensation);
    }

    fn result(&self, op: AggregateOp) -> f64 {
        match op {
            AggregateOp::Sum => self.value + self.compensation,
            AggregateOp::Avg if self.incremental => self.mean + self.compensation,
            AggregateOp::Avg => self.value / self.count + self.compensation / self.count,
            AggregateOp::Count => self.count,
            AggregateOp::Group => 1.0,
            AggregateOp::Stddev => (self.value / self.count).sqrt(),
            AggregateOp::Stdvar => self.value / self.count,
            _ => self.value,
        }
    }
}

fn fold(
    call: &AggregateCall<'_>,
    groups: &Groups,
    columns: &[Column],
    steps: usize,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    let mut results = Vec::with_capacity(groups.labels.len());
    let mut cells = vec![Cell::default(); steps];
    let counts_histograms = matches!(call.op, AggregateOp::Count | AggregateOp::Group);
    for (labels, members) in groups.labels.iter().zip(&groups.members) {
        context.check()?;
        cells.fill(Cell::default());
        let mut drop_name = false;
        for column in members.iter().map(|index| &columns[*index]) {
            drop_name |= column.drop_name;
            for (cell, value) in cells.iter_mut().zip(&column.values) {
                if !is_absent(*value) {
                    cell.add(call.op, *value);
                }
            }
            for (cell, histogram) in cells.iter_mut().zip(&column.histograms) {
                if histogram.is_some() {
                    cell.histograms = true;
                    cell.count += f64::from(u8::from(counts_histograms));
                }
            }
        }
        let values =
            cells.iter().map(|cell| finish_cell(call, cell, counts_histograms, notes)).collect();
        results.push(Column::floats(labels.clone(), drop_name, values));
    }
    Ok(results)
}

fn finish_cell(
    call: &AggregateCall<'_>,
    cell: &Cell,
    counts_histograms: bool,
    notes: &mut Notes,
) -> f64 {
    if cell.histograms && !counts_histograms {
        let input = call.spans[1];
        if matches!(call.op, AggregateOp::Sum | AggregateOp::Avg) {
            if cell.floats {
                notes.warn(input, "encountered a mix of histograms and floats for aggregation");
            } else {
                let op = call.op.as_str();
                notes.warn(input, &format!("{op} of native histograms is not supported yet"));
            }
            return absent();
        }
        notes.info(input, &format!("ignored histogram in {} aggregation", call.op.as_str()));
    }
    if cell.count == 0.0 { absent() } else { cell.result(call.op) }
}

/// The quantile of `values` as Prometheus interpolates it; sorts them.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // NaN sorts before everything.
    values.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => a.total_cmp(b),
    });
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = (rank.floor() as usize).min(last);
    let upper = (lower + 1).min(last);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

fn numbers<'a>(call: &'a AggregateCall<'_>) -> &'a [f64] {
    match &call.parameter {
        Parameter::Numbers(numbers) => numbers,
        _ => &[],
    }
}

fn quantiles(
    call: &AggregateCall<'_>,
    groups: &Groups,
    columns: &[Column],
    steps: usize,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    let parameters = numbers(call);
    note_quantiles(parameters, call.spans[2], notes);
    let mut results = Vec::with_capacity(groups.labels.len());
    let mut scratch = Vec::new();
    for (labels, members) in groups.labels.iter().zip(&groups.members) {
        context.check()?;
        let mut values = vec![absent(); steps];
        for (step, value) in values.iter_mut().enumerate() {
            scratch.clear();
            for column in members.iter().map(|index| &columns[*index]) {
                if !is_absent(column.values[step]) {
                    scratch.push(column.values[step]);
                } else if column.histogram(step).is_some() {
                    notes.info(call.spans[1], "ignored histogram in quantile aggregation");
                }
            }
            if !scratch.is_empty() {
                *value = quantile(parameters.get(step).copied().unwrap_or(f64::NAN), &mut scratch);
            }
        }
        let drop_name = members.iter().any(|index| columns[*index].drop_name);
        results.push(Column::floats(labels.clone(), drop_name, values));
    }
    Ok(results)
}

/// Warns of quantiles outside of 0 to 1: of NaN, the largest and the smallest.
pub(crate) fn note_quantiles(parameters: &[f64], span: Span, notes: &mut Notes) {
    if parameters.iter().any(|q| q.is_nan()) {
        notes.warn(span, "quantile value should be between 0 and 1, got NaN");
    }
    let max = parameters.iter().copied().fold(f64::NAN, f64::max);
    let min = parameters.iter().copied().fold(f64::NAN, f64::min);
    let out_of_range = [max].into_iter().filter(|q| *q > 1.0);
    for q in out_of_range.chain([min].into_iter().filter(|q| *q < 0.0)) {
        let q = format_float(q);
        notes.warn(span, &format!("quantile value should be between 0 and 1, got {q}"));
    }
}

fn pick_k(
    call: &AggregateCall<'_>,
    groups: &Groups,
    columns: Vec<Column>,
    steps: usize,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    let parameters = numbers(call);
    if parameters.iter().copied().fold(f64::NAN, f64::max) < 1.0 {
        return Ok(Vec::new());
    }
    for k in parameters {
        if k.is_nan() {
            return Err(EvalError::BadArgument("Parameter value is NaN".into()));
        }
        if k.abs() >= 9.223_372_036_854_776e18 {
            let flows = if *k < 0.0 { "underflows" } else { "overflows" };
            return Err(EvalError::BadArgument(format!("Scalar value {k} {flows} int64")));
        }
    }
    let mut ranked: Vec<usize> = Vec::new();
    let mut order: Vec<usize> = Vec::new();
    let mut kept: Vec<Vec<bool>> = vec![Vec::new(); columns.len()];
    for members in &groups.members {
        context.check()?;
        for step in 0..steps {
            ranked.clear();
            for index in members.iter().copied().filter(|index| columns[*index].has(step)) {
                if columns[index].histogram(step).is_none() || call.op == AggregateOp::Limitk {
                    ranked.push(index);
                } else {
                    let text = format!("ignored histogram in {} aggregation", call.op.as_str());
                    notes.info(call.spans[0], &text);
                }
            }
            let k = parameters.get(step).copied().unwrap_or(0.0).max(0.0) as usize;
            if call.op != AggregateOp::Limitk {
                let descending = call.op == AggregateOp::Topk;
                ranked.sort_by(|a, b| {
                    rank_order(columns[*a].values[step], columns[*b].values[step], descending)
                });
            }
            ranked.truncate(k);
            for index in &ranked {
                kept[*index].resize(steps, false);
                kept[*index][step] = true;
            }
            if steps == 1 {
                order.extend_from_slice(&ranked);
            }
        }
    }
    if steps > 1 {
        order = (0..columns.len()).collect();
    }
    let mut columns: Vec<Option<Column>> = columns.into_iter().map(Some).collect();
    let mut results = Vec::new();
    for index in order {
        let (Some(mut column), false) = (columns[index].take(), kept[index].is_empty()) else {
            continue;
        };
        for (step, keep) in kept[index].iter().enumerate() {
            if !keep {
                column.clear(step);
            }
        }
        results.push(column);
    }
    Ok(results)
}

/// NaN is last in both directions.
pub(crate) fn rank_order(a: f64, b: f64, descending: bool) -> std::cmp::Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Greater,
        (false, true) => std::cmp::Ordering::Less,
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
    }
}

fn count_values(
    call: &AggregateCall<'_>,
    label: &str,
    columns: &[Column],
    steps: usize,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    let mut places: FxHashMap<Labels, usize> = FxHashMap::default();
    let mut results: Vec<Column> = Vec::new();
    for column in columns {
        context.check()?;
        // A series often keeps its value: the group of the last one is remembered.
        let mut last: Option<(u64, usize)> = None;
        for step in 0..steps {
            let value = column.values[step];
            if is_absent(value) {
                if column.histogram(step).is_some() {
                    let text = "count_values of native histograms is not supported yet";
                    notes.warn(call.spans[1], text);
                }
                continue;
            }
            let place = match last {
                Some((bits, place)) if bits == value.to_bits() => place,
                _ => {
                    let text = format_float(value);
                    // The new label is part of the group also when `by` does not list it.
                    let labels = if call.grouping.without {
                        call.grouping.group_of(&column.labels.with(label, &text))
                    } else {
                        call.grouping.group_of(&column.labels).with(label, &text)
                    };
                    *places.entry(labels).or_insert_with_key(|labels| {
                        let values = vec![absent(); steps];
                        results.push(Column::floats(labels.clone(), false, values));
                        results.len() - 1
                    })
                }
            };
            last = Some((value.to_bits(), place));
            let cell = &mut results[place].values[step];
            *cell = if is_absent(*cell) { 1.0 } else { *cell + 1.0 };
        }
    }
    Ok(results)
}
