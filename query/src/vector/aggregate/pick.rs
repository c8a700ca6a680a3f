//! Aggregations that pick some of the samples: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use model::QueryContext;

use super::ratio::is_in_ratio;
use super::{AggregateCall, AggregateOp, Groups};
use crate::errors::EvalError;
use crate::text::format_shortest;
use crate::vector::{Column, Notes, rank_order};

pub(super) fn pick_k(
    call: &AggregateCall<'_>,
    groups: &Groups,
    columns: Vec<Column>,
    steps: usize,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    let parameters = call.numbers();
    let has_nan = parameters.iter().any(|k| k.is_nan());
    if !has_nan && parameters.iter().all(|k| *k < 1.0) {
        return Ok(Vec::new());
    }
    if has_nan {
        return Err(EvalError::BadArgument("Parameter value is NaN".into()));
    }
    for k in parameters {
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
            let k = parameters.get(step).copied().unwrap_or(0.0).max(0.0) as usize;
            if k == 0 {
                continue;
            }
            ranked.clear();
            for index in members.iter().copied().filter(|index| columns[*index].has(step)) {
                if columns[index].histogram(step).is_none() || call.op == AggregateOp::Limitk {
                    ranked.push(index);
                } else {
                    call.note_ignored(call.spans[0], notes);
                }
            }
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

/// Picks series by their labels: of two ratios `r` and `r - 1`, each series is in one.
pub(super) fn pick_ratio(
    call: &AggregateCall<'_>,
    mut columns: Vec<Column>,
    steps: usize,
    notes: &mut Notes,
    context: &QueryContext,
) -> Result<Vec<Column>, EvalError> {
    let ratios = call.numbers();
    if ratios.iter().all(|ratio| *ratio == 0.0) {
        return Ok(Vec::new());
    }
    if ratios.iter().any(|ratio| ratio.is_nan()) {
        return Err(EvalError::BadArgument("Ratio value is NaN".into()));
    }
    let max = ratios.iter().copied().fold(f64::MIN, f64::max);
    let min = ratios.iter().copied().fold(f64::MAX, f64::min);
    for (ratio, is_out, cap) in [(max, max > 1.0, "1"), (min, min < -1.0, "-1")] {
        if is_out {
            let ratio = format_shortest(ratio);
            let text =
                format!("ratio value should be between -1 and 1, got {ratio}, capping to {cap}");
            notes.warn(call.spans[2], &text);
        }
    }
    for column in &mut columns {
        context.check()?;
        for step in 0..steps {
            let ratio = ratios.get(step).copied().unwrap_or(0.0).clamp(-1.0, 1.0);
            if !is_in_ratio(&column.labels, ratio) {
                column.clear(step);
            }
        }
    }
    columns.retain(Column::has_any);
    Ok(columns)
}
