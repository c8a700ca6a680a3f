//! Functions that work on label sets and on the order of series.

use std::cmp::Ordering;

use model::labels::METRIC_NAME;
use model::matcher::anchored_regex;

use super::ast::{Call, Expr};
use super::eval::{Evaluator, string_literal};
use crate::errors::EvalError;
use crate::vector::{Column, Grid, is_absent, merge_same_labels, rank_order};

/// Evaluates `label_replace`, `label_join` and the sorting functions.
pub(super) fn call(
    evaluator: &mut Evaluator<'_>,
    expr: &Expr,
    call: &Call,
    grid: &Grid,
) -> Result<Vec<Column>, EvalError> {
    let texts: Vec<&str> =
        call.arguments[1..].iter().map(|text| string_literal(text).unwrap_or_default()).collect();
    match call.function.name {
        "label_replace" => label_replace(evaluator, call, &texts, grid),
        "label_join" => label_join(evaluator, call, &texts, grid),
        _ => sort(evaluator, expr, call, &texts, grid),
    }
}

fn is_label_name(name: &str) -> bool {
    !name.is_empty() && crate::text::is_utf8(name)
}

fn bad_label(kind: &str, function: &str, name: &str) -> EvalError {
    EvalError::BadArgument(format!("invalid {kind} label name in {function}(): {name}"))
}

fn label_replace(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    texts: &[&str],
    grid: &Grid,
) -> Result<Vec<Column>, EvalError> {
    let [target, template, source, pattern] = texts else {
        return Err(EvalError::BadArgument("label_replace needs four strings".into()));
    };
    let regex = anchored_regex(pattern).map_err(|_| {
        let text = format!("invalid regular expression in label_replace(): {pattern}");
        EvalError::BadArgument(text)
    })?;
    if !is_label_name(target) {
        return Err(bad_label("destination", "label_replace", target));
    }
    let mut columns = evaluator.vector(&call.arguments[0], grid)?;
    for column in &mut columns {
        let value = column.labels.get_or_empty(source);
        let Some(captures) = regex.captures(value) else { continue };
        let mut replaced = String::new();
        captures.expand(template, &mut replaced);
        set_label(column, target, &replaced);
    }
    merge_same_labels(columns)
}

fn label_join(
    evaluator: &mut Evaluator<'_>,
    call: &Call,
    texts: &[&str],
    grid: &Grid,
) -> Result<Vec<Column>, EvalError> {
    let [target, separator, sources @ ..] = texts else {
        return Err(EvalError::BadArgument("label_join needs two strings".into()));
    };
    if let Some(bad) = sources.iter().find(|source| !is_label_name(source)) {
        return Err(bad_label("source", "label_join", bad));
    }
    if !is_label_name(target) {
        return Err(bad_label("destination", "label_join", target));
    }
    let mut columns = evaluator.vector(&call.arguments[0], grid)?;
    for column in &mut columns {
        let values: Vec<&str> =
            sources.iter().map(|source| column.labels.get_or_empty(source)).collect();
        let joined = values.join(separator);
        set_label(column, target, &joined);
    }
    merge_same_labels(columns)
}

/// A metric name that is set by a function is not dropped any more.
fn set_label(column: &mut Column, name: &str, value: &str) {
    column.labels = column.labels.with(name, value);
    if name == METRIC_NAME {
        column.drop_name = false;
    }
}

fn sort(
    evaluator: &mut Evaluator<'_>,
    expr: &Expr,
    call: &Call,
    by_labels: &[&str],
    grid: &Grid,
) -> Result<Vec<Column>, EvalError> {
    let mut columns = evaluator.vector(&call.arguments[0], grid)?;
    let name = call.function.name;
    let by_value = matches!(name, "sort" | "sort_desc");
    if by_value {
        for column in &mut columns {
            column.histograms = Vec::new();
        }
        columns.retain(Column::has_any);
    }
    let query = evaluator.query;
    if grid.count > 1 || *grid == query.grid && query.end != grid.start {
        let text =
            "sort is ineffective for range queries since results are always ordered by labels";
        evaluator.notes.warn(expr.span, text);
        return Ok(columns);
    }
    let descending = name.ends_with("_desc");
    columns.retain(|column| !by_value || column.values.iter().any(|v| !is_absent(*v)));
    columns.sort_by(|a, b| {
        if by_value {
            return rank_order(a.values[0], b.values[0], descending);
        }
        let by_label = by_labels
            .iter()
            .map(|name| natural_order(a.labels.get_or_empty(name), b.labels.get_or_empty(name)))
            .find(|order| order.is_ne());
        let order = by_label.unwrap_or_else(|| a.labels.cmp(&b.labels));
        if descending { order.reverse() } else { order }
    });
    Ok(columns)
}

/// Compares run by run: two runs of digits as numbers, others byte by byte (the `natsort` package
/// that Prometheus uses).
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while !rest_a.is_empty() && !rest_b.is_empty() {
        let (run_a, run_b);
        (run_a, rest_a) = split_run(rest_a);
        (run_b, rest_b) = split_run(rest_b);
        let are_numbers =
            [run_a, run_b].iter().all(|run| run.starts_with(|c: char| c.is_ascii_digit()));
        let order = if are_numbers {
            let (a, b) = (run_a.trim_start_matches('0'), run_b.trim_start_matches('0'));
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        } else {
            run_a.cmp(run_b)
        };
        if order.is_ne() {
            return order;
        }
    }
    rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b))
}

/// The first run of digits or of other characters.
fn split_run(text: &str) -> (&str, &str) {
    let is_digit = |c: char| c.is_ascii_digit();
    let starts_with_digit = text.starts_with(is_digit);
    let end = text.find(|c: char| is_digit(c) != starts_with_digit).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_labels_are_sorted_as_numbers() {
        let sorted = ["", "1a", "2", "10", "a-1", "a1", "a2", "a10", "a10b", "ab", "b"];
        let mut shuffled = sorted;
        shuffled.reverse();
        shuffled.sort_by(|a, b| natural_order(a, b));
        // A run is compared as a whole: "a" is before "a-".
        let expected = ["", "1a", "2", "10", "a1", "a2", "a10", "a10b", "a-1", "ab", "b"];
        assert_eq!(shuffled, expected);
    }
}
