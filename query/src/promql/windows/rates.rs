//! `rate`, `increase`, `delta`, `irate` and `idelta`: over samples, and the first three over
//! rollups.

use std::sync::Arc;

use model::{NativeHistogram, ResetHint};

use super::{Cell, Remarks, Window, histograms};
use crate::histogram::{compact, divide, is_gauge, is_reset};

/// What a window looks like from outside.
pub(super) struct Edges {
    /// Time and value of the first sample.
    pub(super) first: (i64, f64),
    /// Its start time, zero if unknown.
    pub(super) first_start: i64,
    /// The time of the last sample.
    pub(super) last_at: i64,
    /// Samples but one.
    pub(super) gaps: usize,
    /// The difference of the last value and the first, and what was lost at resets.
    pub(super) difference: f64,
    /// The open left end.
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Remarks<'_> {
    /// Says that a sample began to count before the one before it was taken.
    pub(super) fn starts_overlap(&mut self) {
        self.notes.warn_starts_overlap(self.span, self.metric);
    }
}

/// Whether the counter began anew between two samples, by the start times that came with them.
pub(super) fn start_says_reset(window: &Window<'_>, index: usize) -> bool {
    let (Some(previous_start), Some(start)) =
        (window.starts.get(index - 1), window.starts.get(index))
    else {
        return false;
    };
    let (previous, at) = (window.times[index - 1], window.times[index]);
    model::rollup::start_says_reset(previous, *previous_start, at, *start)
}

/// As [`start_says_reset`] for histograms.
pub(super) fn histogram_start_says_reset(window: &Window<'_>, index: usize) -> bool {
    let starts = window.histogram_starts;
    let (Some(previous_start), Some(start)) = (starts.get(index - 1), starts.get(index)) else {
        return false;
    };
    let (previous, at) = (window.histograms[index - 1].0, window.histograms[index].0);
    model::rollup::start_says_reset(previous, *previous_start, at, *start)
}

/// The difference of the outer samples, corrected for resets and extrapolated towards the ends of
/// the window (Prometheus `promql/functions.go`, `extrapolatedRate`).
pub(super) fn extrapolated(
    window: &Window<'_>,
    is_counter: bool,
    is_rate: bool,
    remarks: &mut Remarks<'_>,
) -> Cell {
    if remarks.refuse_mix(window) {
        return Cell::Empty;
    }
    if !window.histograms.is_empty() {
        return histograms::extrapolated(window, is_counter, is_rate, remarks);
    }
    let (values, times) = (window.values, window.times);
    let gaps = values.len() - 1;
    let mut difference = values[gaps] - values[0];
    if is_counter {
        let mut overlap_noted = false;
        for i in 1..values.len() {
            if !overlap_noted
                && let (Some(before), Some(start)) =
                    (window.starts.get(i - 1), window.starts.get(i))
                && model::rollup::starts_overlap(times[i - 1], *before, *start)
            {
                overlap_noted = true;
                remarks.starts_overlap();
            }
            if values[i] < values[i - 1] || start_says_reset(window, i) {
                difference += values[i - 1];
            }
        }
    }
    let edges = Edges {
        first: (times[0], values[0]),
        first_start: window.starts.first().copied().unwrap_or(0),
        last_at: times[gaps],
        gaps,
        difference,
        start: window.start,
        end: window.end,
    };
    edges.extrapolate(is_counter, is_rate)
}

impl Edges {
    /// The difference, extrapolated.
    pub(super) fn extrapolate(&self, is_counter: bool, is_rate: bool) -> Cell {
        match self.factor(is_counter, is_rate) {
            None => Cell::Empty,
            Some((factor, false)) => Cell::Float(self.difference * factor),
            Some((factor, true)) => Cell::Float((self.difference + self.first.1) * factor),
        }
    }

    /// What the difference is to be multiplied with, and whether the first value is part of it
    /// since the counter began inside the window. `None` if nothing is known.
    pub(super) fn factor(&self, is_counter: bool, is_rate: bool) -> Option<(f64, bool)> {
        let (first, first_value) = self.first;
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let mut to_start = seconds(first - self.start);
        let mut to_end = seconds(self.end - self.last_at);
        let mut sampled = seconds(self.last_at - first);
        let average_gap = if self.gaps > 0 { sampled / self.gaps as f64 } else { 0.0 };
        let threshold = average_gap * 1.1;
        let began = self.first_start;
        let adds_first = is_counter && began != 0 && began > self.start && began < first;
        if adds_first {
            // The counter was zero at its start time.
            to_start = 0.0;
            sampled = seconds(self.last_at - began);
        } else if self.gaps == 0 {
            return None;
        } else {
            if to_start >= threshold {
                to_start = average_gap / 2.0;
            }
            if is_counter && self.difference > 0.0 && first_value >= 0.0 {
                // A counter is not extrapolated below zero.
                let to_zero = sampled * (first_value / self.difference);
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
        }
        if to_end >= threshold {
            to_end = average_gap / 2.0;
        }
        let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
        if is_rate {
            factor /= seconds(self.end - self.start);
        }
        Some((factor, adds_first))
    }
}

/// One of the last samples of a window.
#[derive(Clone, Copy)]
enum Last<'a> {
    Float(f64),
    Histogram(&'a Arc<NativeHistogram>),
}

/// A sample with its time and its start time.
type Timed<'a> = (i64, i64, Last<'a>);

/// The last two samples, the older one first.
fn last_two<'a>(window: &'a Window<'_>) -> Option<(Timed<'a>, Timed<'a>)> {
    let start = |starts: &[i64], i: usize| starts.get(i).copied().unwrap_or(0);
    let float =
        |i: usize| (window.times[i], start(window.starts, i), Last::Float(window.values[i]));
    let floats = window.values.len().saturating_sub(2)..window.values.len();
    if window.histograms.is_empty() {
        return (floats.len() == 2).then(|| (float(floats.start), float(floats.start + 1)));
    }
    let histograms = window.histograms.len().saturating_sub(2)..window.histograms.len();
    let histogram = |i: usize| {
        let (time, histogram) = &window.histograms[i];
        (*time, start(window.histogram_starts, i), Last::Histogram(histogram))
    };
    let mut last: Vec<Timed<'_>> = floats.map(float).chain(histograms.map(histogram)).collect();
    last.sort_by_key(|(time, ..)| *time);
    let [.., older, newer] = last[..] else { return None };
    Some((older, newer))
}

/// `irate` and `idelta`: about the last two samples of either kind.
pub(super) fn instant(window: &Window<'_>, is_rate: bool, remarks: &mut Remarks<'_>) -> Cell {
    let Some(((older_at, older_start, older), (newer_at, newer_start, newer))) = last_two(window)
    else {
        return Cell::Empty;
    };
    if newer_at == older_at {
        return Cell::Empty;
    }
    let seconds = (newer_at - older_at) as f64 / 1000.0;
    let began_anew =
        is_rate && model::rollup::start_says_reset(older_at, older_start, newer_at, newer_start);
    match (older, newer) {
        (Last::Float(older), Last::Float(newer)) => {
            let is_reset = began_anew || is_rate && newer < older;
            let difference = if is_reset { newer } else { newer - older };
            Cell::Float(if is_rate { difference / seconds } else { difference })
        }
        (Last::Histogram(older), Last::Histogram(newer)) => {
            if is_rate && (is_gauge(newer) || is_gauge(older)) {
                remarks.not_a_counter();
            }
            if !is_rate && (!is_gauge(newer) || !is_gauge(older)) {
                remarks.not_a_gauge();
            }
            let mut result = NativeHistogram::clone(newer);
            let is_reset = began_anew || is_rate && is_reset(newer, older);
            if !is_reset && !remarks.subtract(&mut result, older) {
                return Cell::Empty;
            }
            result.reset_hint = ResetHint::Gauge;
            compact(&mut result);
            if is_rate {
                divide(&mut result, seconds);
            }
            Cell::Histogram(Arc::new(result))
        }
        _ => {
            remarks.mixed();
            Cell::Empty
        }
    }
}
