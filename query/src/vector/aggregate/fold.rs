//! Aggregations to one number for each group: `sum`, `avg`, `min`, `max`, `count`, `group`,
//! `stddev`, `stdvar`. Groups with native histograms have their own way for `sum` and `avg`.

use model::QueryContext;

use super::{AggregateCall, AggregateOp, Groups, histograms};
use crate::errors::EvalError;
use crate::vector::{Column, Notes, absent, is_absent, kahan_add};

/// What one group knows of its floats at one step.
#[derive(Clone, Copy, Default)]
pub(super) struct Cell {
    count: f64,
    /// The sum, the extreme, or the squared distances.
    value: f64,
    mean: f64,
    compensation: f64,
    incremental: bool,
    histograms: bool,
}

impl Cell {
    pub(super) fn add(&mut self, op: AggregateOp, value: f64) {
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

    /// The result, or none of no samples.
    pub(super) fn result_or_absent(&self, op: AggregateOp) -> f64 {
        if self.count == 0.0 { absent() } else { self.result(op) }
    }

    pub(super) fn result(&self, op: AggregateOp) -> f64 {
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

pub(super) fn fold(
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
    let adds_histograms = matches!(call.op, AggregateOp::Sum | AggregateOp::Avg);
    for (labels, members) in groups.labels.iter().zip(&groups.members) {
        context.check()?;
        let members = || members.iter().map(|index| &columns[*index]);
        let drop_name = members().any(|column| column.drop_name);
        if adds_histograms && members().any(|column| !column.histograms.is_empty()) {
            let column = histograms::fold(call, members(), steps, notes, context)?;
            results.push(Column { labels: labels.clone(), drop_name, ..column });
            continue;
        }
        cells.fill(Cell::default());
        for column in members() {
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
        if !counts_histograms && cells.iter().any(|cell| cell.histograms) {
            call.note_ignored(call.spans[1], notes);
        }
        let values = cells.iter().map(|cell| cell.result_or_absent(call.op)).collect();
        results.push(Column::floats(labels.clone(), drop_name, values));
    }
    Ok(results)
}
