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
    if target.is_empty() {
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
    if let Some(bad) = sources.iter().find(|source| source.is_empty()) {
        return Err(bad_label("source", "label_join", bad));
    }
    if target.is_empty() {
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
    if evaluator.query.count > 1 && grid.count > 1 {
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

/// Compares runs of digits as numbers, everything else byte by byte.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (digits_a, digits_b) = (digits(a), digits(b));
        if digits_a > 0 && digits_b > 0 {
            let (number_a, number_b) =
                (a[..digits_a].trim_start_matches('0'), b[..digits_b].trim_start_matches('0'));
            let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b));
            if order.is_ne() {
                return order;
            }
            (a, b) = (&a[digits_a..], &b[digits_b..]);
            continue;
        }
        let (mut rest_a, mut rest_b) = (a.chars(), b.chars());
        match (rest_a.next(), rest_b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) if x != y => return x.cmp(&y),
            _ => (a, b) = (rest_a.as_str(), rest_b.as_str()),
        }
    }
}
