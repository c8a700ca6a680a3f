//! Aggregations that look at all values of a group: `quantile`, `count_values`.

use model::{Labels, QueryContext};
use rustc_hash::FxHashMap;

use super::{AggregateCall, Groups};
use crate::errors::{EvalError, Span};
use crate::histogram::describe;
use crate::text::{format_float, format_shortest};
use crate::vector::{Column, Notes, absent, is_absent, quantile};

pub(super) fn quantiles(
    call: &AggregateCall<'_>,
    groups: &Groups,
    columns: &[Column],
    steps: usize,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    let parameters = call.numbers();
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
                    call.note_ignored(call.spans[1], notes);
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

/// Warns of quantiles outside of 0 to 1: of NaN, or else of the largest and the smallest.
fn note_quantiles(parameters: &[f64], span: Span, notes: &mut Notes) {
    if parameters.iter().any(|q| q.is_nan()) {
        note_quantile(f64::NAN, span, notes);
        return;
    }
    let max = parameters.iter().copied().fold(f64::MIN, f64::max);
    let min = parameters.iter().copied().fold(f64::MAX, f64::min);
    for q in [max, min] {
        note_quantile(q, span, notes);
    }
}

/// Warns of a quantile outside of 0 to 1.
pub(crate) fn note_quantile(q: f64, span: Span, notes: &mut Notes) {
    if !(0.0..=1.0).contains(&q) {
        let q = format_shortest(q);
        notes.warn(span, &format!("quantile value should be between 0 and 1, got {q}"));
    }
}

pub(super) fn count_values(
    call: &AggregateCall<'_>,
    label: &str,
    columns: &[Column],
    steps: usize,
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
            let histogram = column.histogram(step);
            if is_absent(value) && histogram.is_none() {
                continue;
            }
            let place = match (histogram, last) {
                (None, Some((bits, place))) if bits == value.to_bits() => place,
                _ => {
                    let text =
                        histogram.map_or_else(|| format_float(value), |found| describe(found));
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
            last = histogram.is_none().then_some((value.to_bits(), place));
            let cell = &mut results[place].values[step];
            *cell = if is_absent(*cell) { 1.0 } else { *cell + 1.0 };
        }
    }
    Ok(results)
}
