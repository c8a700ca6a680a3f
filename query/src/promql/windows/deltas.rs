//! The counter functions over series whose samples are deltas: each tells what happened between its
//! start time and its time, so that nothing needs to be guessed. What happened in a window is the
//! sum of its samples, without extrapolation and without resets.
//!
//! Prometheus has no such rule yet: its native delta ingestion stores the same label, and its
//! `rate` reads the samples as a counter.

use std::sync::Arc;

use model::NativeHistogram;

use super::{Cell, RangeFunction, Remarks, Window, sum};

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
    if !window.values.is_empty() {
        remarks.refuses(window);
        return Cell::Empty;
    }
    let mut all = NativeHistogram::clone(first);
    for (_, histogram) in &window.histograms[1..] {
        if !add(&mut all, histogram) {
            let text = format!(
                "histograms of different bounds can not be added up for metric name {:?}",
                remarks.metric
            );
            remarks.notes.warn(remarks.span, &text);
            return Cell::Empty;
        }
    }
    if divisor != 1.0 {
        scale(&mut all, divisor);
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
            scale(&mut histogram, (at - before) as f64 / 1000.0);
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

fn scale(histogram: &mut NativeHistogram, divisor: f64) {
    histogram.count /= divisor;
    histogram.sum /= divisor;
    histogram.zero_count /= divisor;
    for (_, count) in histogram.positive.iter_mut().chain(&mut histogram.negative) {
        *count /= divisor;
    }
}

/// Adds a histogram at the coarser of both schemas; `false` if their bounds do not fit.
fn add(all: &mut NativeHistogram, other: &NativeHistogram) -> bool {
    let is_custom = |histogram: &NativeHistogram| histogram.schema < -4;
    let fits = is_custom(all) == is_custom(other)
        && all.custom_bounds == other.custom_bounds
        && all.zero_threshold == other.zero_threshold;
    if !fits {
        return false;
    }
    let schema = all.schema.min(other.schema);
    let (mine, theirs) = (all.schema - schema, other.schema - schema);
    all.positive = merge(&all.positive, mine, &other.positive, theirs);
    all.negative = merge(&all.negative, mine, &other.negative, theirs);
    all.schema = schema;
    all.count += other.count;
    all.sum += other.sum;
    all.zero_count += other.zero_count;
    true
}

/// The buckets of both, each made coarser by so many schemas.
fn merge(a: &[(i32, f64)], a_by: i32, b: &[(i32, f64)], b_by: i32) -> Vec<(i32, f64)> {
    let coarser = |index: i32, by: i32| if by == 0 { index } else { ((index - 1) >> by) + 1 };
    let a = a.iter().map(|(index, count)| (coarser(*index, a_by), *count));
    let b = b.iter().map(|(index, count)| (coarser(*index, b_by), *count));
    let mut all: Vec<(i32, f64)> = a.chain(b).collect();
    all.sort_by_key(|(index, _)| *index);
    all.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            kept.1 += next.1;
        }
        is_same
    });
    all
}
