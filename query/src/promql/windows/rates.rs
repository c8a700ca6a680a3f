//! `rate`, `increase` and `delta`, over samples and over rollups.

use super::{Cell, Remarks, Window};

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
    pub(super) fn starts_overlap(&mut self) {
        let text = format!(
            "sample has start time that overlaps with previous sample timestamp for metric name \
             {:?}",
            self.metric
        );
        self.notes.warn(self.span, &text);
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

/// The difference of the outer samples, corrected for resets and extrapolated towards the ends of
/// the window (Prometheus `promql/functions.go`, `extrapolatedRate`).
pub(super) fn extrapolated(
    window: &Window<'_>,
    is_counter: bool,
    is_rate: bool,
    remarks: &mut Remarks<'_>,
) -> Cell {
    if remarks.refuses(window) {
        return Cell::Empty;
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
    pub(super) fn extrapolate(&self, is_counter: bool, is_rate: bool) -> Cell {
        let (first, first_value) = self.first;
        let mut result = self.difference;
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let mut to_start = seconds(first - self.start);
        let mut to_end = seconds(self.end - self.last_at);
        let mut sampled = seconds(self.last_at - first);
        let average_gap = if self.gaps > 0 { sampled / self.gaps as f64 } else { 0.0 };
        let threshold = average_gap * 1.1;
        let began = self.first_start;
        if is_counter && began != 0 && began > self.start && began < first {
            // The counter began inside the window: it was zero at its start time.
            to_start = 0.0;
            sampled = seconds(self.last_at - began);
            result += first_value;
        } else if self.gaps == 0 {
            return Cell::Empty;
        } else {
            if to_start >= threshold {
                to_start = average_gap / 2.0;
            }
            if is_counter && result > 0.0 && first_value >= 0.0 {
                // A counter is not extrapolated below zero.
                let to_zero = sampled * (first_value / result);
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
        Cell::Float(result * factor)
    }
}
