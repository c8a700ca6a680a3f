//! The counter functions over series whose samples are deltas: each tells what happened between its
//! start time and its time, so that nothing needs to be guessed. What happened in a window is the
//! sum of its samples, without extrapolation and without resets.
//!
//! Prometheus has no such rule yet: its native delta ingestion stores the same label, and its
//! `rate` reads the samples as a counter.

use std::sync::Arc;

use model::NativeHistogram;

use super::{Cell, RangeFunction, Remarks, Window, sum};
use crate::histogram::divide;

/// The function of this name for deltas; `None` if it is the same for them.
pub(super) fn find(name: &str) -> Option<RangeFunction> {
    Some(match name {
        "increase" | "delta" => |window, _, remarks| total(window, 1.0, remarks),
        "rate" => {
            |window, _, remarks| total(window, (window.end - window.start) as f64 / 1000.0, remarks)
        }
        "irate" => |window, _, remarks| last(window, true, remarks),
        "idelta" => |window, _, remarks| last(window, false, remarks),
        "resets" => |_, _, _| Cell::Float(0.0),
        _ => return None,
    })
}

/// The sum of all samples, divided.
fn total(window: &Window<'_>, divisor: f64, remarks: &mut Remarks<'_>) -> Cell {
    let Some((_, first)) = window.histograms.first() else {
        return Cell::Float(sum(window.values) / divisor);
    };
    if remarks.refuse_mix(window) {
        return Cell::Empty;
    }
    let mut all = NativeHistogram::clone(first);
    for (_, histogram) in &window.histograms[1..] {
        if !remarks.add(&mut all, histogram) {
            return Cell::Empty;
        }
    }
    if divisor != 1.0 {
        divide(&mut all, divisor);
    }
    Cell::Histogram(Arc::new(all))
}

/// The last sample, per second of the time that it is about.
fn last(window: &Window<'_>, is_rate: bool, remarks: &mut Remarks<'_>) -> Cell {
    let float_at = window.times.last().copied();
    let histogram = window.histograms.last();
    if let Some((at, histogram)) = histogram
        && float_at.is_none_or(|float_at| float_at < *at)
    {
        let before = window.histograms.iter().rev().nth(1).map(|(at, _)| *at);
        let before = before.max(float_at);
        let mut histogram = NativeHistogram::clone(histogram);
        if is_rate {
            let Some(before) = before else {
                remarks.notes.info(remarks.span, "one delta histogram tells no time");
                return Cell::Empty;
            };
            divide(&mut histogram, (at - before) as f64 / 1000.0);
        }
        return Cell::Histogram(Arc::new(histogram));
    }
    let Some(at) = float_at else { return Cell::Empty };
    let index = window.values.len() - 1;
    let value = window.values[index];
    if !is_rate {
        return Cell::Float(value);
    }
    let start = window.starts.get(index).copied().filter(|start| *start != 0 && *start < at);
    let before = index.checked_sub(1).map(|before| window.times[before]);
    let before = start.or(before.max(histogram.map(|(at, _)| *at)));
    before.map_or(Cell::Empty, |before| Cell::Float(value / ((at - before) as f64 / 1000.0)))
}
