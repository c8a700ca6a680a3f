//! Functions over windows that are made of whole buckets of a rollup: they look at buckets instead
//! of samples, and do the same arithmetic in the same order.

use std::ops::Range;

use model::rollup::{ENDED, RESOLUTIONS_MS, Rollup, RollupRequest, Summary};

use super::rates::Edges;
use super::{Cell, Remarks, Shape};
use crate::errors::EvalError;
use crate::vector::{Grid, absent, kahan_add};

/// What a function needs of a rollup; `None` if it needs samples.
pub(super) fn summary_of(function: &str) -> Option<Summary> {
    Some(match function {
        "count_over_time" | "present_over_time" => Summary::Count,
        "sum_over_time" | "avg_over_time" => Summary::Sum,
        "min_over_time" => Summary::Min,
        "max_over_time" => Summary::Max,
        "first_over_time" => Summary::First,
        "last_over_time" => Summary::Last,
        "delta" => Summary::Delta,
        "increase" | "rate" => Summary::Increase,
        _ => return None,
    })
}

/// The request for the coarsest rollup whose buckets make up all windows: they end at `first` and
/// then every `step_ms`.
pub(in crate::promql) fn request(
    summary: Summary,
    first: i64,
    step_ms: i64,
    window_ms: i64,
) -> Option<RollupRequest> {
    let fits = |resolution: &&i64| {
        window_ms > 0 && [first, step_ms, window_ms].iter().all(|ms| ms % **resolution == 0)
    };
    let resolution_ms = *RESOLUTIONS_MS.iter().rev().find(fits)?;
    Some(RollupRequest { resolution_ms, window_ms, summary })
}

/// The request for the coarsest rollup that tells the current sample of each step: steps are at ends
/// of buckets, and nothing that is still current lies before the bucket.
pub(in crate::promql) fn request_current(
    first: i64,
    step_ms: i64,
    lookback_ms: i64,
) -> Option<RollupRequest> {
    let fits = |resolution: &&i64| {
        lookback_ms <= **resolution && [first, step_ms].iter().all(|ms| ms % **resolution == 0)
    };
    let resolution_ms = *RESOLUTIONS_MS.iter().rev().find(fits)?;
    Some(RollupRequest { resolution_ms, window_ms: resolution_ms, summary: Summary::Current })
}

/// The current sample of each step, or when it was taken.
pub(in crate::promql) fn current(
    rollup: &Rollup,
    (grid, offset_ms, lookback_ms): (&Grid, i64, i64),
    wants_times: bool,
) -> Vec<f64> {
    let mut values = vec![absent(); grid.count];
    let mut bucket = 0;
    for (step, cell) in values.iter_mut().enumerate() {
        let at = grid.at(step).saturating_sub(offset_ms);
        while rollup.end_of(bucket).is_some_and(|end| end < at) {
            bucket += 1;
        }
        let Some(time) = rollup.last_times_ms.get(bucket).copied() else { break };
        let is_current = rollup.end_of(bucket) == Some(at)
            && time > at.saturating_sub(lookback_ms)
            && rollup.flags.get(bucket).is_some_and(|flags| flags & ENDED == 0);
        if let (true, Some(last)) = (is_current, rollup.lasts.get(bucket)) {
            *cell = if wants_times { time as f64 / 1000.0 } else { *last };
        }
    }
    values
}

/// The value of each window.
pub(super) fn over_windows(
    function: &str,
    rollup: &Rollup,
    shape: &Shape,
    grid: &Grid,
    remarks: &mut Remarks<'_>,
) -> Result<Vec<f64>, EvalError> {
    let Some(compute) = find(function) else {
        return Err(EvalError::NotSupported { what: format!("{function} of a rollup") });
    };
    let ends: Vec<i64> = (0..rollup.len()).filter_map(|bucket| rollup.end_of(bucket)).collect();
    let mut values = vec![absent(); grid.count];
    let (mut from, mut to) = (0, 0);
    for (step, cell) in values.iter_mut().enumerate() {
        let (start, end) = shape.bounds(grid.at(step));
        while ends.get(to).is_some_and(|bucket| *bucket <= end) {
            to += 1;
        }
        while from < to && ends[from] <= start {
            from += 1;
        }
        if from == to {
            continue;
        }
        let window = Buckets { rollup, range: from..to, start, end };
        if let Some(Cell::Float(value)) = compute(&window, remarks) {
            *cell = value;
        }
    }
    Ok(values)
}

/// The buckets of one window; at least one.
struct Buckets<'a> {
    rollup: &'a Rollup,
    range: Range<usize>,
    start: i64,
    end: i64,
}

/// Answers `None` where a column is missing that was asked for.
type BucketsFunction = fn(&Buckets<'_>, &mut Remarks<'_>) -> Option<Cell>;

fn find(function: &str) -> Option<BucketsFunction> {
    Some(match function {
        "present_over_time" => |_, _| Some(Cell::Float(1.0)),
        "count_over_time" => |w, _| Some(Cell::Float(w.count()?)),
        "sum_over_time" => |w, _| {
            let (sum, compensation) = w.sum()?;
            Some(Cell::Float(if sum.is_infinite() { sum } else { sum + compensation }))
        },
        "avg_over_time" => |w, _| {
            let ((sum, compensation), count) = (w.sum()?, w.count()?);
            Some(Cell::Float(sum / count + compensation / count))
        },
        "min_over_time" => |w, _| w.extreme(&w.rollup.mins, |new, old| new < old),
        "max_over_time" => |w, _| w.extreme(&w.rollup.maxs, |new, old| new > old),
        "first_over_time" => |w, _| w.rollup.firsts.get(w.range.start).copied().map(Cell::Float),
        "last_over_time" => |w, _| w.rollup.lasts.get(w.range.end - 1).copied().map(Cell::Float),
        "delta" => |w, _| Some(w.edges(w.difference()?)?.extrapolate(false, false)),
        "increase" => |w, remarks| Some(w.increase(remarks)?.extrapolate(true, false)),
        "rate" => |w, remarks| Some(w.increase(remarks)?.extrapolate(true, true)),
        _ => return None,
    })
}

impl Buckets<'_> {
    fn count(&self) -> Option<f64> {
        Some(self.rollup.counts.get(self.range.clone())?.iter().sum())
    }

    fn sum(&self) -> Option<(f64, f64)> {
        let sums = self.rollup.sums.get(self.range.clone())?;
        Some(
            sums.iter()
                .fold((0.0, 0.0), |(sum, compensation), add| kahan_add(*add, sum, compensation)),
        )
    }

    fn extreme(&self, column: &[f64], better: fn(f64, f64) -> bool) -> Option<Cell> {
        let values = column.get(self.range.clone())?;
        let mut best = *values.first()?;
        for value in values {
            if better(*value, best) || best.is_nan() {
                best = *value;
            }
        }
        Some(Cell::Float(best))
    }

    fn difference(&self) -> Option<f64> {
        let rollup = self.rollup;
        Some(rollup.lasts.get(self.range.end - 1)? - rollup.firsts.get(self.range.start)?)
    }

    fn increase(&self, remarks: &mut Remarks<'_>) -> Option<Edges> {
        const RESETS: u8 = model::rollup::ONE_RESET
            | model::rollup::INTEGER_RESETS
            | model::rollup::INEXACT_RESETS;
        let rollup = self.rollup;
        let mut difference = self.difference()?;
        let mut overlap_noted = false;
        for bucket in self.range.clone() {
            let mut overlaps = rollup.flags.get(bucket)? & model::rollup::STARTS_OVERLAP != 0;
            if bucket > self.range.start {
                overlaps |= rollup.overlaps_before(bucket);
                if rollup.resets_before(bucket) {
                    difference += rollup.lasts.get(bucket - 1)?;
                }
            }
            if overlaps && !overlap_noted {
                overlap_noted = true;
                remarks.starts_overlap();
            }
            if rollup.flags.get(bucket)? & RESETS != 0 {
                difference += rollup.lost.get(bucket)?;
            }
        }
        self.edges(difference)
    }

    fn edges(&self, difference: f64) -> Option<Edges> {
        let (rollup, first) = (self.rollup, self.range.start);
        Some(Edges {
            first: (*rollup.first_times_ms.get(first)?, *rollup.firsts.get(first)?),
            first_start: rollup.first_starts_ms.get(first).copied().unwrap_or(0),
            last_at: *rollup.last_times_ms.get(self.range.end - 1)?,
            gaps: self.count()? as usize - 1,
            difference,
            start: self.start,
            end: self.end,
        })
    }
}
