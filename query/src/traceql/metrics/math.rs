//! Series after the first stage: arithmetic, the largest ones, comparisons.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use model::Value;

use super::Row;
use crate::traceql::ast::{Arithmetic, Comparison};

/// What arithmetic works on.
pub(super) enum Operand {
    Number(f64),
    Rows(Vec<Row>),
}

/// Labels that say what a series is of, as a key.
fn key(row: &Row) -> String {
    let mut labels: Vec<_> = row.labels.iter().filter(|(name, _)| name != "__name__").collect();
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    format!("{labels:?}")
}

fn unnamed(labels: Vec<(String, Value)>) -> Vec<(String, Value)> {
    labels.into_iter().filter(|(name, _)| name != "__name__").collect()
}

/// Joins series of equal labels, not counting the name of their function; others are left out.
pub(super) fn join(op: Arithmetic, left: Operand, right: Operand) -> Operand {
    let each = |rows: Vec<Row>, apply: &dyn Fn(f64) -> f64| {
        let rows = rows.into_iter().map(|row| Row {
            labels: unnamed(row.labels),
            values: row.values.into_iter().map(apply).collect(),
        });
        Operand::Rows(rows.collect())
    };
    match (left, right) {
        (Operand::Number(l), Operand::Number(r)) => Operand::Number(op.apply(l, r)),
        (Operand::Number(l), Operand::Rows(rows)) => each(rows, &|r| op.apply(l, r)),
        (Operand::Rows(rows), Operand::Number(r)) => each(rows, &|l| op.apply(l, r)),
        (Operand::Rows(left), Operand::Rows(right)) => {
            let right: BTreeMap<String, Row> =
                right.into_iter().map(|row| (key(&row), row)).collect();
            let rows = left.into_iter().filter_map(|row| {
                let other = right.get(&key(&row))?;
                let pairs = row.values.iter().zip(&other.values);
                let values = pairs.map(|(l, r)| op.apply(*l, *r)).collect();
                Some(Row { labels: unnamed(row.labels), values })
            });
            Operand::Rows(rows.collect())
        }
    }
}

/// Keeps the `count` largest or smallest values of each interval; equal ones in order of labels.
pub(super) fn top(operand: Operand, count: usize, largest: bool) -> Operand {
    let Operand::Rows(mut rows) = operand else { return operand };
    let keys: Vec<String> = rows.iter().map(key).collect();
    let steps = rows.first().map_or(0, |row| row.values.len());
    for step in 0..steps {
        let mut present: Vec<usize> =
            (0..rows.len()).filter(|i| !rows[*i].values[step].is_nan()).collect();
        present.sort_by(|a, b| {
            let (l, r) = (rows[*a].values[step], rows[*b].values[step]);
            let ordering = l.partial_cmp(&r).unwrap_or(Ordering::Equal);
            let ordering = if largest { ordering.reverse() } else { ordering };
            ordering.then_with(|| keys[*a].cmp(&keys[*b]))
        });
        for dropped in present.into_iter().skip(count) {
            rows[dropped].values[step] = f64::NAN;
        }
    }
    Operand::Rows(rows)
}

/// Drops values that do not compare.
pub(super) fn filter(operand: Operand, comparison: Comparison, value: f64) -> Operand {
    let Operand::Rows(mut rows) = operand else { return operand };
    for cell in rows.iter_mut().flat_map(|row| &mut row.values) {
        if !comparison.accepts((*cell).partial_cmp(&value)) {
            *cell = f64::NAN;
        }
    }
    Operand::Rows(rows)
}
