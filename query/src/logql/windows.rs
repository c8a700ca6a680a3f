//! The windows of a range aggregation: for each series and step, what the lines of the window come
//! to. Counts are kept as differences between neighbouring steps, so that a line costs the same
//! however many windows it falls into; values are added to a running state for each window. Only
//! quantiles and counters keep their values.

use model::log::{LogCount, LogCountRequest, LogRow};
use model::{Labels, MatchOp, QueryContext, TimestampNs};
use rustc_hash::FxHashMap;

use super::ast::{RangeAggregation, RangeOp};
use super::labels::{LineLabels, PRESERVE_ERROR};
use super::pipeline::Passed;
use super::request::is_stored;
use crate::errors::EvalError;
use crate::vector::{Column, Grid, absent};

mod values;

use values::{Running, quantile, rate_counter};

type Result<T, E = EvalError> = std::result::Result<T, E>;

/// A query may have so many series.
const SERIES_MAX: usize = 100_000;

/// Which labels tell series apart.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keys<'a> {
    /// These.
    Only(&'a [String]),
    /// All but these.
    Except(&'a [&'a str]),
}

/// What is known of a series.
enum Cells {
    /// Changes of lines and bytes from one step to the next.
    Counts(Vec<(i64, i64)>),
    /// The state of each window.
    Running(Vec<Running>),
    /// Times and values in order.
    Samples(Vec<(i64, f64)>),
}

pub(super) struct Windows<'a> {
    grid: &'a Grid,
    range: &'a RangeAggregation,
    keys: Keys<'a>,
    /// By the text of what tells series apart, in whatever order a line had it.
    places: FxHashMap<String, usize>,
    places_by_labels: FxHashMap<Labels, usize>,
    series: Vec<(Labels, Cells)>,
    scratch: String,
}

impl<'a> Windows<'a> {
    pub(super) fn new(grid: &'a Grid, range: &'a RangeAggregation, keys: Keys<'a>) -> Self {
        Windows {
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

    /// Adds a line, or its value.
    pub(super) fn add<'r>(
        &mut self,
        row: &LogRow<'r>,
        passed: Passed<'r>,
        value: Option<f64>,
        context: &QueryContext,
    ) -> Result<()> {
        let Some((from, until)) = self.steps_of(row.at) else { return Ok(()) };
        let bytes = i64::try_from(passed.line.len()).unwrap_or(i64::MAX);
        let place = self.place(row, passed, context)?;
        match (&mut self.series[place].1, value) {
            (Cells::Counts(cells), _) => add_counts(cells, from, until, 1, bytes),
            (Cells::Running(cells), Some(value)) => {
                let op = self.range.op;
                cells[from..=until].iter_mut().for_each(|cell| cell.add(op, value));
            }
            (Cells::Samples(samples), Some(value)) => {
                context.hold(16)?;
                samples.push((row.at.0, value));
            }
            (Cells::Running(_) | Cells::Samples(_), None) => {}
        }
        Ok(())
    }

    /// Adds what a store has counted. The fields are those of [`Keys::Only`].
    pub(super) fn add_count(
        &mut self,
        request: &LogCountRequest,
        count: &LogCount<'_>,
        context: &QueryContext,
    ) -> Result<()> {
        let bucket = i64::try_from(count.bucket).unwrap_or(i64::MAX).saturating_add(1);
        let end = bucket.saturating_mul(request.width_ns);
        let Some((from, until)) = self.steps_of(request.start.plus_ns(end)) else {
            return Ok(());
        };
        self.scratch.clear();
        for value in count.fields {
            self.scratch.push_str(value);
            self.scratch.push('\u{0}');
        }
        let place = match self.places.get(self.scratch.as_str()) {
            Some(place) => *place,
            None => {
                let labels = Labels::from_pairs(request.by_fields.iter().zip(count.fields));
                self.new_place(labels, context)?
            }
        };
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        if let Cells::Counts(cells) = &mut self.series[place].1 {
            add_counts(cells, from, until, number(count.records), number(count.bytes));
        }
        Ok(())
    }

    fn place<'r>(
        &mut self,
        row: &LogRow<'r>,
        mut passed: Passed<'r>,
        context: &QueryContext,
    ) -> Result<usize> {
        self.scratch.clear();
        let keys = match (&passed.labels, self.keys) {
            // Without stages on labels, the few labels that matter are looked up where they are.
            (None, Keys::Only(keys)) if keys.iter().all(|key| is_stored(key)) => keys,
            _ => return self.place_of_labels(passed.take_labels(row), context),
        };
        let value = |key: &String| model::log::field_of(row.stream, row.metadata, key);
        for key in keys {
            self.scratch.push_str(value(key));
            self.scratch.push('\u{0}');
        }
        if let Some(place) = self.places.get(self.scratch.as_str()) {
            return Ok(*place);
        }
        let labels = Labels::from_pairs(keys.iter().map(|key| (key, value(key))));
        self.new_place(labels, context)
    }

    fn place_of_labels(&mut self, labels: LineLabels<'_>, context: &QueryContext) -> Result<usize> {
        if labels.has_error() {
            // An error is not grouped away. It fails the query, unless it was asked for.
            let stream = labels.all();
            if stream.get(PRESERVE_ERROR) != Some("true") {
                let error = labels.error.to_string();
                return Err(EvalError::Pipeline { error, stream });
            }
            self.scratch.push_str(&stream.to_string());
            return match self.places.get(self.scratch.as_str()) {
                Some(place) => Ok(*place),
                None => self.new_place(stream, context),
            };
        }
        let is_key = |name: &str| match self.keys {
            Keys::Only(keys) => keys.iter().any(|key| key == name),
            Keys::Except(names) => !names.contains(&name),
        };
        for (name, value) in labels.pairs().filter(|(name, _)| is_key(name)) {
            self.scratch.push_str(name);
            self.scratch.push('\u{0}');
            self.scratch.push_str(value);
            self.scratch.push('\u{1}');
        }
        if let Some(place) = self.places.get(self.scratch.as_str()) {
            return Ok(*place);
        }
        let labels = Labels::from_pairs_with_empty(labels.pairs().filter(|(name, _)| is_key(name)));
        self.new_place(labels, context)
    }

    /// The place of a series whose text is in `scratch`.
    fn new_place(&mut self, labels: Labels, context: &QueryContext) -> Result<usize> {
        let steps = self.grid.count;
        if let Some(place) = self.places_by_labels.get(&labels) {
            // The same labels in another order are the same series.
            let place = *place;
            self.places.insert(self.scratch.clone(), place);
            return Ok(place);
        }
        if self.series.len() >= SERIES_MAX {
            return Err(EvalError::BadArgument(format!(
                "maximum number of series ({SERIES_MAX}) reached for a single query; consider \
                 reducing query cardinality by adding more specific stream selectors, reducing \
                 the time range, or aggregating results with functions like sum(), count() or \
                 topk()"
            )));
        }
        let cells = match (self.range.op, &self.range.unwrap) {
            (RangeOp::AbsentOverTime, _) | (_, None) => Cells::Counts(vec![(0, 0); steps + 1]),
            (RangeOp::QuantileOverTime | RangeOp::RateCounter, _) => Cells::Samples(Vec::new()),
            _ => Cells::Running(vec![Running::default(); steps]),
        };
        let cell_bytes = match cells {
            Cells::Counts(_) => size_of::<(i64, i64)>(),
            Cells::Running(_) => size_of::<Running>(),
            Cells::Samples(_) => size_of::<f64>(),
        };
        let text: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        context.charge(steps as u64, 0)?;
        context.hold((steps * (cell_bytes + size_of::<f64>()) + 2 * text + 200) as u64)?;
        let place = self.series.len();
        self.series.push((labels.clone(), cells));
        self.places_by_labels.insert(labels, place);
        self.places.insert(self.scratch.clone(), place);
        Ok(place)
    }

    /// The series in order of their labels.
    pub(super) fn columns(self) -> Vec<Column> {
        if self.range.op == RangeOp::AbsentOverTime {
            return self.absent_column();
        }
        let (grid, range) = (self.grid, self.range);
        let mut columns: Vec<Column> = self
            .series
            .into_iter()
            .map(|(labels, cells)| {
                let values = match cells {
                    Cells::Counts(cells) => count_values(range, &cells),
                    Cells::Running(cells) => cells.iter().map(|cell| cell.value(range)).collect(),
                    Cells::Samples(samples) => sample_values(range, grid, &samples),
                };
                Column::floats(labels, false, values)
            })
            .collect();
        columns.sort_by(|a, b| a.labels.cmp(&b.labels));
        columns
    }

    fn absent_column(self) -> Vec<Column> {
        let mut values = vec![1.0; self.grid.count];
        for (_, cells) in &self.series {
            let Cells::Counts(cells) = cells else { continue };
            let mut lines = 0;
            for (value, (change, _)) in values.iter_mut().zip(cells) {
                lines += change;
                if lines > 0 {
                    *value = absent();
                }
            }
        }
        // Labels that a selector says once and exactly.
        let mut labels: Vec<(&str, &str)> = Vec::new();
        let mut unclear: Vec<&str> = Vec::new();
        for matcher in &self.range.log.matchers {
            let name = matcher.name.as_str();
            if matcher.op == MatchOp::Equal && !labels.iter().any(|(known, _)| *known == name) {
                labels.push((name, &matcher.value));
            } else {
                unclear.push(name);
            }
        }
        labels.retain(|(name, _)| !unclear.contains(name));
        vec![Column::floats(Labels::from_pairs(labels), false, values)]
    }
}

fn add_counts(cells: &mut [(i64, i64)], from: usize, until: usize, lines: i64, bytes: i64) {
    cells[from].0 += lines;
    cells[from].1 += bytes;
    cells[until + 1].0 -= lines;
    cells[until + 1].1 -= bytes;
}

fn count_values(range: &RangeAggregation, cells: &[(i64, i64)]) -> Vec<f64> {
    let seconds = range.range_ns as f64 / 1e9;
    let (mut lines, mut bytes) = (0, 0);
    let values = cells[..cells.len() - 1].iter().map(|(line_change, byte_change)| {
        lines += line_change;
        bytes += byte_change;
        match range.op {
            _ if lines == 0 => absent(),
            RangeOp::Rate => lines as f64 / seconds,
            RangeOp::BytesOverTime => bytes as f64,
            RangeOp::BytesRate => bytes as f64 / seconds,
            _ => lines as f64,
        }
    });
    values.collect()
}

/// Operations that need all values of a window at once.
fn sample_values(range: &RangeAggregation, grid: &Grid, samples: &[(i64, f64)]) -> Vec<f64> {
    let mut scratch = Vec::new();
    let values = grid.times().map(|at| {
        let end = at.saturating_sub(range.offset_ns);
        let start = end.saturating_sub(range.range_ns);
        let from = samples.partition_point(|(time, _)| *time <= start);
        let until = samples.partition_point(|(time, _)| *time <= end);
        let window = &samples[from..until];
        if window.is_empty() {
            return absent();
        }
        match range.op {
            RangeOp::QuantileOverTime => {
                scratch.clear();
                scratch.extend(window.iter().map(|(_, value)| *value));
                quantile(range.parameter.unwrap_or(f64::NAN), &mut scratch)
            }
            _ => rate_counter(window, range.range_ns, end),
        }
    });
    values.collect()
}
