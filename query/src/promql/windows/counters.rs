//! `rate`, `increase` and `delta` of series that hold nothing but floats, all steps at once.
//!
//! Series of one target have the same times. What depends on times alone (where windows begin and
//! end, how far results are extrapolated) is computed once for each list of times. What is left for
//! a step of a series is a difference, the resets inside the window, and a factor. The results are
//! bit for bit those of [`super::rates`], which also does what is too rare to be fast here.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::rates::Edges;
use super::{Cell, Samples, Shape};
use crate::vector::{Grid, absent};

/// Which of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) is_counter: bool,
    pub(super) is_rate: bool,
}

impl Function {
    /// The function of a name, if it is one of them.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "rate" => Function { is_counter: true, is_rate: true },
            "increase" => Function { is_counter: true, is_rate: false },
            "delta" => Function { is_counter: false, is_rate: false },
            _ => return None,
        })
    }
}

/// Plans by the place of their times in memory; each keeps its times, so that no other list can
/// take the place.
pub(super) struct Plans {
    function: Function,
    plans: FxHashMap<*const Vec<i64>, Plan>,
}

struct Plan {
    times: Arc<Vec<i64>>,
    steps: Vec<Step>,
}

/// The window of a step.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Its first sample.
    first: u32,
    /// Its last one; not after the first if there is no result.
    last: u32,
    /// Seconds from the first to the last.
    sampled: f64,
    /// How far the result is extrapolated to the left, unless the counter is zero before.
    to_start: f64,
    to_end: f64,
    /// What the difference is multiplied with for both.
    factor: f64,
}

/// Plans are forgotten when there are more: every series has times of its own.
const PLANS_MAX: usize = 512;
/// The comparison that saves a division is off by a few units in the last place at most.
const MARGIN: f64 = 1.0 + 1e-9;

impl Plans {
    pub(super) fn new(function: Function) -> Self {
        Plans { function, plans: FxHashMap::default() }
    }

    /// The results of all steps, or `None` if the series is not plain: it has histograms, a rollup,
    /// or start times that tell of a reset.
    pub(super) fn column(
        &mut self,
        series: &Samples,
        shape: &Shape,
        grid: &Grid,
    ) -> Option<Vec<f64>> {
        let (times, values) = (&series.times, &series.values);
        let is_plain = series.histograms.is_empty()
            && series.rollup.is_none()
            && times.len() == values.len()
            && u32::try_from(times.len()).is_ok();
        if !is_plain {
            return None;
        }
        let began = began(series)?;
        let function = self.function;
        if self.plans.len() > PLANS_MAX {
            self.plans.clear();
        }
        let plan = self.plans.entry(Arc::as_ptr(times)).or_insert_with(|| Plan {
            times: times.clone(),
            steps: plan(times, shape, grid, function.is_rate),
        });
        debug_assert!(Arc::ptr_eq(&plan.times, times));
        let resets = if function.is_counter { resets(values) } else { Vec::new() };
        let mut next_reset = 0;
        let mut cells = vec![absent(); grid.count];
        for (cell, step) in cells.iter_mut().zip(&plan.steps) {
            if step.last <= step.first {
                continue;
            }
            let first = values[step.first as usize];
            let mut result = values[step.last as usize] - first;
            if next_reset < resets.len() {
                while resets.get(next_reset).is_some_and(|reset| *reset <= step.first) {
                    next_reset += 1;
                }
                for reset in resets[next_reset..].iter().take_while(|reset| **reset <= step.last) {
                    result += values[*reset as usize - 1];
                }
            }
            *cell = result * step.factor_for(result, first, function, shape.range_ms);
        }
        if let Some(began) = began {
            self.began_inside(series, shape, grid, began, &resets, &mut cells);
        }
        Some(cells)
    }

    /// Computes the steps anew in whose window the counter began.
    fn began_inside(
        &self,
        series: &Samples,
        shape: &Shape,
        grid: &Grid,
        began: i64,
        resets: &[u32],
        cells: &mut [f64],
    ) {
        let (times, values) = (&series.times, &series.values);
        for (step, cell) in cells.iter_mut().enumerate() {
            let (start, end) = shape.bounds(grid.at(step));
            if began <= start || began >= end {
                continue;
            }
            let from = times.partition_point(|time| *time <= start);
            let to = times.partition_point(|time| *time <= end);
            if from >= to || began >= times[from] {
                continue;
            }
            let mut difference = values[to - 1] - values[from];
            let inside = |reset: &&u32| (**reset as usize) > from && (**reset as usize) < to;
            for reset in resets.iter().filter(inside) {
                difference += values[*reset as usize - 1];
            }
            let edges = Edges {
                first: (times[from], values[from]),
                first_start: began,
                last_at: times[to - 1],
                gaps: to - 1 - from,
                difference,
                start,
                end,
            };
            let Function { is_counter, is_rate } = self.function;
            if let Cell::Float(value) = edges.extrapolate(is_counter, is_rate) {
                *cell = value;
            }
        }
    }
}

/// When a counter began: the start time of all its samples, `Some(None)` if they have none, `None`
/// if they do not agree or one lies after the first sample.
#[expect(clippy::option_option, reason = "whether it is told, and whether it is usable")]
fn began(series: &Samples) -> Option<Option<i64>> {
    let (Some(start), Some(first)) = (series.starts.first(), series.times.first()) else {
        return Some(None);
    };
    let is_usable = start <= first && series.starts.iter().all(|other| other == start);
    is_usable.then_some((*start != 0).then_some(*start))
}

/// Where a counter is lower than before.
fn resets(values: &[f64]) -> Vec<u32> {
    // Told apart first, because nearly no series has any: this loop has no branches.
    let has_any = values.windows(2).fold(false, |any, pair| any | (pair[1] < pair[0]));
    if !has_any {
        return Vec::new();
    }
    (1u32..).zip(values.windows(2)).filter(|(_, pair)| pair[1] < pair[0]).map(|(i, _)| i).collect()
}

fn plan(times: &[i64], shape: &Shape, grid: &Grid, is_rate: bool) -> Vec<Step> {
    let (mut from, mut to) = (0, 0);
    let mut steps = Vec::with_capacity(grid.count);
    for at in grid.times() {
        let (start, end) = shape.bounds(at);
        while times.get(to).is_some_and(|time| *time <= end) {
            to += 1;
        }
        while from < to && times[from] <= start {
            from += 1;
        }
        steps.push(Step::new(times, (from, to), (start, end), is_rate));
    }
    steps
}

impl Step {
    /// As [`Edges::extrapolate`] for a counter that did not begin inside the window.
    fn new(
        times: &[i64],
        (from, to): (usize, usize),
        (start, end): (i64, i64),
        is_rate: bool,
    ) -> Self {
        if to < from + 2 {
            return Step {
                first: 0,
                last: 0,
                sampled: 0.0,
                to_start: 0.0,
                to_end: 0.0,
                factor: 0.0,
            };
        }
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let (first, last) = (times[from], times[to - 1]);
        let sampled = seconds(last - first);
        let average_gap = sampled / (to - 1 - from) as f64;
        let threshold = average_gap * 1.1;
        let bounded = |gap: f64| if gap >= threshold { average_gap / 2.0 } else { gap };
        let (to_start, to_end) = (bounded(seconds(first - start)), bounded(seconds(end - last)));
        let mut step = Step {
            first: from as u32,
            last: to as u32 - 1,
            sampled,
            to_start,
            to_end,
            factor: 0.0,
        };
        step.factor = step.factor_with(to_start, is_rate, end - start);
        step
    }

    fn factor_with(&self, to_start: f64, is_rate: bool, range_ms: i64) -> f64 {
        let sampled = self.sampled;
        let factor =
            if sampled == 0.0 { 1.0 } else { (sampled + to_start + self.to_end) / sampled };
        if is_rate { factor / (range_ms as f64 / 1000.0) } else { factor }
    }

    #[inline]
    fn factor_for(&self, result: f64, first: f64, function: Function, range_ms: i64) -> f64 {
        // A counter is not extrapolated below zero.
        let may_be_zero = function.is_counter
            && result > 0.0
            && first >= 0.0
            && self.sampled * first <= self.to_start * result * MARGIN;
        if may_be_zero {
            let to_zero = self.sampled * (first / result);
            if to_zero < self.to_start {
                return self.factor_with(to_zero, function.is_rate, range_ms);
            }
        }
        self.factor
    }
}

#[cfg(test)]
mod tests {
    use model::{Labels, QueryContext};
    use proptest::prelude::*;

    use super::*;
    use crate::errors::Span;
    use crate::promql::windows::{Remarks, find, over_windows};
    use crate::vector::Notes;

    fn samples(gaps: &[(i64, u8)], start: Option<i64>) -> Samples {
        let (mut at, mut value) = (0, 3.0);
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for (gap, step) in gaps {
            at += gap;
            // One in eight is a reset, some stay, some are no integers.
            value =
                if step % 8 == 0 { f64::from(*step) } else { value + f64::from(*step / 2) * 0.3 };
            times.push(at);
            values.push(value);
        }
        Samples {
            labels: Labels::empty(),
            drop_name: false,
            starts: start.map_or_else(Vec::new, |start| vec![start; times.len()]),
            times: Arc::new(times),
            values,
            histograms: Vec::new(),
            histogram_starts: Vec::new(),
            rollup: None,
        }
    }

    proptest! {
        #[test]
        fn results_are_bit_for_bit_those_of_one_window_after_the_other(
            gaps in prop::collection::vec((1i64..40, any::<u8>()), 0..80),
            start in prop::option::of(-50i64..60),
            range_ms in 1i64..300,
            offset_ms in -40i64..40,
            fixed in prop::option::of(0i64..800),
            (first, step, count) in (-20i64..300, 1i64..60, 1usize..30),
            name in prop::sample::select(vec!["rate", "increase", "delta"]),
        ) {
            let series = samples(&gaps, start);
            let shape = Shape { range_ms, offset_ms, fixed, before_ms: 0, after_ms: 0 };
            let grid = Grid { start: first, step, count };
            let mut plans = Plans::new(Function::of(name).unwrap());
            let Some(found) = plans.column(&series, &shape, &grid) else {
                prop_assert!(start.is_some());
                return Ok(());
            };
            let context = QueryContext::unlimited();
            let (function, mut notes) = (find(name).unwrap(), Notes::default());
            let mut remarks =
                Remarks { notes: &mut notes, span: Span::default(), metric: "" };
            let naive = over_windows(&series, &shape, &grid, &context, |_, window| {
                function(window, [0.0; 2], &mut remarks)
            });
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&found), bits(&naive.unwrap().0));
        }
    }
}
