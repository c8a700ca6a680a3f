//! The functions by name, and what those do that are about samples of either kind.

use super::changes::{changes, resets};
use super::floats::{average, smooth, sum, trend, variance};
use super::histograms;
use super::rates::{extrapolated, instant};
use super::{Cell, RangeFunction, Remarks, Window};
use crate::vector::{note_quantile, quantile};

/// The function of this name.
pub(super) fn find(name: &str) -> Option<RangeFunction> {
    Some(match name {
        "rate" => |w, _, r| extrapolated(w, true, true, r),
        "increase" => |w, _, r| extrapolated(w, true, false, r),
        "delta" => |w, _, r| extrapolated(w, false, false, r),
        "irate" => |w, _, r| instant(w, true, r),
        "idelta" => |w, _, r| instant(w, false, r),
        "deriv" => |w, _, r| {
            r.ignore_histograms(w, 1);
            trend(w, w.times.first().copied().unwrap_or(0), |slope, _| slope)
        },
        "predict_linear" => |w, [seconds, _], r| {
            r.ignore_histograms(w, 1);
            trend(w, w.at, |slope, intercept| slope * seconds + intercept)
        },
        "changes" => changes,
        "resets" => resets,
        "avg_over_time" => |w, _, r| either(w, r, average, histograms::average),
        "sum_over_time" => |w, _, r| either(w, r, sum, histograms::sum),
        "min_over_time" => |w, _, r| extreme(w, r, |new, old| new < old, false),
        "max_over_time" => |w, _, r| extreme(w, r, |new, old| new > old, false),
        "ts_of_min_over_time" => |w, _, r| extreme(w, r, |new, old| new <= old, true),
        "ts_of_max_over_time" => |w, _, r| extreme(w, r, |new, old| new >= old, true),
        "count_over_time" => |w, _, _| Cell::Float((w.values.len() + w.histograms.len()) as f64),
        "present_over_time" => |_, _, _| Cell::Float(1.0),
        "first_over_time" => |w, _, _| edge(w, |float, histogram| float < histogram, false),
        "last_over_time" => |w, _, _| edge(w, |float, histogram| float > histogram, true),
        "ts_of_first_over_time" => |w, _, _| {
            let times = w.times.first().into_iter().chain(w.histograms.first().map(|(t, _)| t));
            times.min().map_or(Cell::Empty, |time| Cell::Float(*time as f64 / 1000.0))
        },
        "ts_of_last_over_time" => |w, _, _| {
            let times = w.times.last().into_iter().chain(w.histograms.last().map(|(t, _)| t));
            times.max().map_or(Cell::Empty, |time| Cell::Float(*time as f64 / 1000.0))
        },
        "quantile_over_time" => |w, [q, _], r| {
            if !w.values.is_empty() {
                note_quantile(q, r.span, r.notes);
            }
            r.ignore_histograms(w, 1);
            some_floats(w, |values| quantile(q, &mut values.to_vec()))
        },
        "mad_over_time" => |w, _, r| {
            r.ignore_histograms(w, 1);
            some_floats(w, |values| {
                if values.iter().any(|value| value.is_nan()) {
                    return f64::NAN;
                }
                let median = quantile(0.5, &mut values.to_vec());
                let mut distances: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
                quantile(0.5, &mut distances)
            })
        },
        "stddev_over_time" => |w, _, r| {
            r.ignore_histograms(w, 1);
            some_floats(w, |values| variance(values).sqrt())
        },
        "stdvar_over_time" => |w, _, r| {
            r.ignore_histograms(w, 1);
            some_floats(w, variance)
        },
        "double_exponential_smoothing" => |w, [smoothing, trend], r| {
            r.ignore_histograms(w, 1);
            smooth(w.values, smoothing, trend)
        },
        _ => return None,
    })
}

impl Remarks<'_> {
    /// For functions of floats: says that histograms in a mixed window do not count.
    pub(super) fn ignore_histograms(&mut self, window: &Window<'_>, floats_min: usize) {
        if !window.histograms.is_empty() && window.values.len() >= floats_min {
            let text = format!(
                "ignored histograms in a range containing both floats and histograms for metric \
                 name {:?}",
                self.metric
            );
            self.notes.info(self.span, &text);
        }
    }

    /// For functions of either kind: says that a window has both. Answers whether it has.
    pub(super) fn refuse_mix(&mut self, window: &Window<'_>) -> bool {
        let is_mixed = !window.histograms.is_empty() && !window.values.is_empty();
        if is_mixed {
            self.mixed();
        }
        is_mixed
    }

    /// Says that a window has samples of both kinds.
    pub(super) fn mixed(&mut self) {
        let text =
            format!("encountered a mix of histograms and floats for metric name {:?}", self.metric);
        self.notes.warn(self.span, &text);
    }
}

/// For windows of one kind: a function of floats, and one of histograms.
fn either(
    window: &Window<'_>,
    remarks: &mut Remarks<'_>,
    of_floats: fn(&[f64]) -> f64,
    of_histograms: fn(&Window<'_>, &mut Remarks<'_>) -> Cell,
) -> Cell {
    if remarks.refuse_mix(window) {
        Cell::Empty
    } else if window.histograms.is_empty() {
        Cell::Float(of_floats(window.values))
    } else {
        of_histograms(window, remarks)
    }
}

fn some_floats(window: &Window<'_>, compute: impl FnOnce(&[f64]) -> f64) -> Cell {
    if window.values.is_empty() { Cell::Empty } else { Cell::Float(compute(window.values)) }
}

fn extreme(
    window: &Window<'_>,
    remarks: &mut Remarks<'_>,
    better: fn(f64, f64) -> bool,
    want_time: bool,
) -> Cell {
    let Some(mut best) = window.values.first().copied() else { return Cell::Empty };
    remarks.ignore_histograms(window, 1);
    let mut best_time = window.times[0];
    for (time, value) in window.times.iter().zip(window.values) {
        if better(*value, best) || best.is_nan() {
            (best, best_time) = (*value, *time);
        }
    }
    Cell::Float(if want_time { best_time as f64 / 1000.0 } else { best })
}

/// The first or the last sample of either kind.
fn edge(window: &Window<'_>, float_wins: fn(i64, i64) -> bool, last: bool) -> Cell {
    let at = |length: usize| if last { length.checked_sub(1) } else { (length > 0).then_some(0) };
    let float = at(window.values.len());
    let histogram = at(window.histograms.len()).map(|i| &window.histograms[i]);
    match (float, histogram) {
        (Some(i), Some((time, _))) if float_wins(window.times[i], *time) => {
            Cell::Float(window.values[i])
        }
        (_, Some((_, histogram))) => Cell::Histogram(histogram.clone()),
        (Some(i), None) => Cell::Float(window.values[i]),
        (None, None) => Cell::Empty,
    }
}
