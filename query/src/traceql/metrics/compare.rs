//! `compare`: how the attributes of some spans differ from those of the others.
//!
//! Spans that pass the filter are the selection, the rest is the baseline. For every attribute the
//! spans are counted by value on both sides; of each attribute the values that are most frequent
//! remain, and totals say of how many.

use std::collections::BTreeMap;

use model::Value;
use model::read::AttributeScope;

use super::{CELLS_MAX, Row, Run, SERIES_MAX};
use crate::traceql::ast::{Field, FieldExpr, Intrinsic, Pipeline};
use crate::traceql::error::{Error, Result};
use crate::traceql::eval;
use crate::traceql::value::Cell;
use crate::traceql::view::View;

/// Intrinsics that are compared too.
const INTRINSICS: [Intrinsic; 6] = [
    Intrinsic::Name,
    Intrinsic::Kind,
    Intrinsic::Status,
    Intrinsic::StatusMessage,
    Intrinsic::RootName,
    Intrinsic::RootService,
];

/// Counts by interval of one attribute, by the text of its value.
#[derive(Default)]
struct Counts {
    values: BTreeMap<String, (Value, Vec<f64>)>,
    total: Vec<f64>,
}

impl Counts {
    fn add(&mut self, value: &Value, step: usize, steps: usize) -> bool {
        self.total.resize(steps, 0.0);
        self.total[step] += 1.0;
        let key = format!("{value:?}");
        let is_new = !self.values.contains_key(&key);
        let (_, counts) =
            self.values.entry(key).or_insert_with(|| (value.clone(), vec![0.0; steps]));
        counts[step] += 1.0;
        is_new
    }
}

/// Every comparable attribute of a span with its label.
fn attributes(view: &View<'_>, index: usize) -> Vec<(String, Value)> {
    let span = &view.trace.spans[index];
    let scopes = [
        (AttributeScope::Resource, &span.resource.attributes),
        (AttributeScope::Span, &span.attributes),
    ];
    let mut found = Vec::new();
    for (scope, list) in scopes {
        for (name, value) in list {
            if !matches!(value, Value::Empty | Value::Array(_) | Value::Map(_) | Value::Bytes(_)) {
                found.push((Field::Attribute(scope, name.clone()).label(), value.clone()));
            }
        }
    }
    for intrinsic in INTRINSICS {
        let cell = view.field(index, &Field::Intrinsic(intrinsic));
        if !matches!(&cell, Cell::Str(text) if text.is_empty()) {
            found.push((intrinsic.name().to_owned(), cell.to_value()));
        }
    }
    found
}

impl Run<'_> {
    pub(super) fn compare(
        &self,
        pipeline: &Pipeline,
        filter: &Option<FieldExpr>,
        top: usize,
        window: Option<(i64, i64)>,
    ) -> Result<Vec<Row>> {
        let steps = self.steps.count;
        // Baseline, selection.
        let mut sides: [BTreeMap<String, Counts>; 2] = [BTreeMap::new(), BTreeMap::new()];
        let mut held = 0;
        self.visit(pipeline, &mut |view, index, step| {
            let start = view.trace.spans[index].start.0;
            let in_window = window.is_none_or(|(from, to)| from <= start && start < to);
            let is_selected = in_window && eval::passes(filter, view, index);
            let side = &mut sides[usize::from(is_selected)];
            for (label, value) in attributes(view, index) {
                held += usize::from(side.entry(label).or_default().add(&value, step, steps));
            }
            // Values of ids are many, and only the most frequent are shown in the end.
            let series_max = (20 * SERIES_MAX).min(CELLS_MAX / steps);
            if held > series_max {
                return Err(Error::TooManySeries { series_max });
            }
            Ok(())
        })?;
        let mut rows = Vec::new();
        let names = ["baseline", "selection"];
        for (side, name) in sides.into_iter().zip(names) {
            for (label, counts) in side {
                of_attribute(&label, counts, name, top, &mut rows);
            }
        }
        Ok(rows)
    }
}

fn of_attribute(label: &str, counts: Counts, side: &str, top: usize, rows: &mut Vec<Row>) {
    let meta = |text: String| ("__meta_type".to_owned(), Value::Str(text));
    let mut values: Vec<(Value, Vec<f64>)> = counts.values.into_values().collect();
    let is_over = values.len() > top;
    let sum = |counts: &[f64]| counts.iter().sum::<f64>();
    values.sort_by(|a, b| sum(&b.1).total_cmp(&sum(&a.1)));
    values.truncate(top);
    for (value, counts) in values {
        let labels = vec![meta(side.to_owned()), (label.to_owned(), value)];
        rows.push(Row { labels, values: counts });
    }
    let nil = (label.to_owned(), Value::Str("nil".into()));
    let total = vec![meta(format!("{side}_total")), nil.clone()];
    if is_over {
        let error = ("__meta_error".to_owned(), Value::Str("__too_many_values__".into()));
        let labels = vec![meta(side.to_owned()), error, nil];
        rows.push(Row { labels, values: counts.total.clone() });
    }
    rows.push(Row { labels: total, values: counts.total });
}
