//! Functions of histograms, native and classic ones: `histogram_count`, `histogram_quantile` and
//! their kin. A classic histogram is the series that differ only in `le`.

mod split;

use std::collections::BTreeMap;

use model::NativeHistogram;

use self::split::Histograms;
use super::ast::{Call, Expr};
use super::eval::{Evaluator, string_literal};
use super::scalars::format_rfc3339;
use crate::errors::{EvalError, Span};
use crate::histogram::classic::{self, Raised};
use crate::histogram::{self, NanRemark};
use crate::text::{format_shortest, format_two_digits};
use crate::vector::{Column, Grid, Notes, absent, merge_same_labels, note_quantile};

type Result<T, E = EvalError> = std::result::Result<T, E>;

/// Whether a function needs only totals of the histograms below it, and whether it needs buckets.
pub(super) fn needs(function: &str) -> (bool, bool) {
    let totals = matches!(function, "histogram_count" | "histogram_sum" | "histogram_avg");
    let buckets =
        matches!(function, "histogram_quantile" | "histogram_quantiles" | "histogram_fraction");
    (totals, buckets)
}

/// Evaluates a call of one of these functions.
pub(super) fn call(evaluator: &mut Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Column>> {
    let of_native: fn(&NativeHistogram) -> f64 = match call.function.name {
        "histogram_count" => |histogram| histogram.count,
        "histogram_sum" => |histogram| histogram.sum,
        "histogram_avg" => |histogram| histogram.sum / histogram.count,
        "histogram_stdvar" => histogram::variance,
        "histogram_stddev" => |histogram| histogram::variance(histogram).sqrt(),
        "histogram_quantile" => {
            let [quantiles, vector] = &call.arguments[..] else { return Ok(Vec::new()) };
            let columns = quantiles_of(evaluator, vector, std::slice::from_ref(quantiles), grid)?;
            return merge_same_labels(columns.into_iter().map(|(_, column)| column).collect());
        }
        "histogram_quantiles" => {
            let [vector, label, quantiles @ ..] = &call.arguments[..] else {
                return Ok(Vec::new());
            };
            let label = string_literal(label).unwrap_or_default();
            let columns = quantiles_of(evaluator, vector, quantiles, grid)?;
            return labelled(columns, label);
        }
        "histogram_fraction" => return fractions(evaluator, call, grid),
        name => return Err(EvalError::NotSupported { what: format!("the function {name}") }),
    };
    let mut results = Vec::new();
    for column in evaluator.vector(&call.arguments[0], grid)? {
        let cells = column.histograms.iter();
        let values: Vec<f64> =
            cells.map(|cell| cell.as_ref().map_or(absent(), |found| of_native(found))).collect();
        if !values.is_empty() {
            results.push(Column::floats(column.labels, true, values));
        }
    }
    results.retain(Column::has_any);
    Ok(results)
}

/// Estimates each of some quantiles at each step, with the quantiles.
fn quantiles_of(
    evaluator: &mut Evaluator<'_>,
    vector: &Expr,
    arguments: &[Expr],
    grid: &Grid,
) -> Result<Vec<(Vec<f64>, Column)>> {
    let mut all_quantiles = Vec::new();
    // Prometheus evaluates the arguments from left to right, which matters for budgets only.
    for argument in arguments {
        all_quantiles.push(evaluator.scalar(argument, grid)?);
    }
    let vector = vector.unwrap_parens();
    let columns = evaluator.vector(vector, grid)?;
    for (argument, quantiles) in arguments.iter().zip(&all_quantiles) {
        let span = argument.unwrap_parens().span;
        for chunk in quantiles.chunk_by(|a, b| a.to_bits() == b.to_bits()) {
            note_quantile(chunk[0], span, &mut evaluator.notes);
        }
    }
    let histograms = Histograms::of(columns, grid, vector.span, &mut evaluator.notes);
    let mut results = Vec::new();
    let mut fixes = Fixes::default();
    for quantiles in all_quantiles {
        for (labels, cells) in histograms.native() {
            evaluator.context.check()?;
            let values = cells.iter().zip(&quantiles).map(|(cell, q)| match cell {
                Some(histogram) => {
                    let (value, remark) = histogram::quantile(*q, histogram);
                    if let Some(remark) = remark {
                        note_nan(remark, labels.metric_name(), vector.span, &mut evaluator.notes);
                    }
                    value
                }
                None => absent(),
            });
            let column = Column::floats(labels.clone(), true, values.collect());
            results.push((quantiles.clone(), column));
        }
        for (labels, buckets) in histograms.classic() {
            evaluator.context.check()?;
            let values = buckets.compute(grid.count, |step, buckets| {
                let (value, raised) = classic::quantile(quantiles[step], buckets);
                if let Some(raised) = raised {
                    fixes.add(labels.metric_name(), grid.at(step), raised);
                }
                value
            });
            results.push((quantiles.clone(), Column::floats(labels.clone(), true, values)));
        }
    }
    fixes.note(vector.span, &mut evaluator.notes);
    results.retain(|(_, column)| column.has_any());
    Ok(results)
}

fn note_nan(remark: NanRemark, metric: &str, span: Span, notes: &mut Notes) {
    let result = match remark {
        NanRemark::Result => "result is NaN",
        NanRemark::Skew => "result is skewed higher",
    };
    let text = format!(
        "input to histogram_quantile has NaN observations, {result}{}",
        split::for_metric(metric)
    );
    notes.info(span, &text);
}

/// Writes the quantile of each cell into a label. A column gets apart where the quantile changes
/// over time.
fn labelled(columns: Vec<(Vec<f64>, Column)>, label: &str) -> Result<Vec<Column>> {
    let mut results = Vec::new();
    for (quantiles, column) in columns {
        let mut distinct: Vec<f64> = quantiles.clone();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup_by_key(|quantile| quantile.to_bits());
        for q in distinct {
            let cells = column.values.iter().zip(&quantiles);
            let values = cells
                .map(|(value, own)| if own.to_bits() == q.to_bits() { *value } else { absent() });
            let labels = column.labels.with(label, &open_metrics_float(q));
            results.push(Column::floats(labels, true, values.collect()));
        }
    }
    results.retain(Column::has_any);
    merge_same_labels(results)
}

/// A number as OpenMetrics writes it, with a point or an exponent.
fn open_metrics_float(value: f64) -> String {
    let mut text = if value.is_finite() && (value == 0.0 || value.abs() == 1.0) {
        format!("{value}").trim_start_matches("-0").to_owned()
    } else {
        format_shortest(value)
    };
    if text.is_empty() {
        text.push('0');
    }
    if value.is_finite() && !text.contains(['e', '.']) {
        text.push_str(".0");
    }
    text
}

fn fractions(evaluator: &mut Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Column>> {
    let [lower, upper, vector] = &call.arguments[..] else { return Ok(Vec::new()) };
    let lower = evaluator.scalar(lower, grid)?;
    let upper = evaluator.scalar(upper, grid)?;
    let vector = vector.unwrap_parens();
    let columns = evaluator.vector(vector, grid)?;
    let notes = &mut evaluator.notes;
    let histograms = Histograms::of(columns, grid, vector.span, notes);
    let mut results = Vec::new();
    for (labels, cells) in histograms.native() {
        evaluator.context.check()?;
        let mut has_nan = false;
        let values = cells.iter().enumerate().map(|(step, cell)| match cell {
            Some(histogram) => {
                let (value, leaves_out) = histogram::fraction(lower[step], upper[step], histogram);
                has_nan |= leaves_out;
                value
            }
            None => absent(),
        });
        results.push(Column::floats(labels.clone(), true, values.collect()));
        if has_nan {
            let text = format!(
                "input to histogram_fraction has NaN observations, which are excluded from all \
                 fractions{}",
                split::for_metric(labels.metric_name())
            );
            notes.info(vector.span, &text);
        }
    }
    for (labels, buckets) in histograms.classic() {
        evaluator.context.check()?;
        let values = buckets.compute(grid.count, |step, buckets| {
            classic::fraction(lower[step], upper[step], buckets)
        });
        results.push(Column::floats(labels.clone(), true, values));
    }
    results.retain(Column::has_any);
    merge_same_labels(results)
}

/// Where counts of classic buckets had to be raised, by metric.
#[derive(Default)]
struct Fixes(BTreeMap<String, Fix>);

struct Fix {
    raised: Raised,
    samples: usize,
    first_ms: i64,
    last_ms: i64,
}

impl Fixes {
    fn add(&mut self, metric: &str, at_ms: i64, raised: Raised) {
        match self.0.get_mut(metric) {
            None => {
                let fix = Fix { raised, samples: 1, first_ms: at_ms, last_ms: at_ms };
                self.0.insert(metric.to_owned(), fix);
            }
            Some(fix) => {
                fix.samples += 1;
                fix.first_ms = fix.first_ms.min(at_ms);
                fix.last_ms = fix.last_ms.max(at_ms);
                fix.raised = Raised {
                    first: fix.raised.first.min(raised.first),
                    last: fix.raised.last.max(raised.last),
                    most: fix.raised.most.max(raised.most),
                };
            }
        }
    }

    fn note(self, span: Span, notes: &mut Notes) {
        for (metric, Fix { raised, samples, first_ms, last_ms }) in self.0 {
            let of = split::for_metric(&metric);
            let [first, last] = [raised.first, raised.last].map(format_shortest);
            let most = format_two_digits(raised.most);
            let (from, to) = (format_rfc3339(first_ms), format_rfc3339(last_ms));
            let text = format!(
                "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile\
                 ){of}, from buckets {first} to {last}, with a max diff of {most}, over {samples} \
                 samples from {from} to {to}"
            );
            notes.info(span, &text);
        }
    }
}
