//! The same for native histograms (Prometheus `promql/functions.go`, `extendedHistogramRate`).

use std::sync::Arc;

use model::{NativeHistogram, ResetHint};

use super::{Cell, Difference, Edges, Point, Remarks, Window};
use crate::histogram::{add, compact, divide, is_custom, is_gauge, is_reset, multiply, subtract};

impl Remarks<'_> {
    fn warn_of(&mut self, what: &str) {
        let text = format!("{what} {:?}", self.metric);
        self.notes.warn(self.span, &text);
    }
}

/// The difference between the histograms at both ends.
pub(super) fn difference(
    window: &Window<'_>,
    wanted: Difference,
    remarks: &mut Remarks<'_>,
) -> Cell {
    between_ends(window, wanted, remarks)
        .map_or(Cell::Empty, |histogram| Cell::Histogram(Arc::new(histogram)))
}

fn between_ends(
    window: &Window<'_>,
    wanted: Difference,
    remarks: &mut Remarks<'_>,
) -> Option<NativeHistogram> {
    let points = window.histograms;
    let times: Vec<i64> = points.iter().map(|(time, _)| *time).collect();
    let edges = Edges::of(&times, window.start, window.end, wanted.is_smoothed)?;
    let Edges { first, last } = edges;
    if wanted.is_smoothed && times[first] > window.end {
        return None;
    }
    let uses_custom = is_custom(&points[first].1);
    for (_, histogram) in &points[first..=last] {
        if is_custom(histogram) != uses_custom {
            remarks.mixed_schemas();
            return None;
        }
        if wanted.is_counter && is_gauge(histogram) {
            remarks.warn_of("this native histogram metric is not a counter:");
        }
    }
    let left = if wanted.is_smoothed && times[first] < window.start {
        interpolate(&points[first..], window.start, wanted.is_counter, remarks)?
    } else {
        NativeHistogram::clone(&points[first].1)
    };
    let right = if wanted.is_smoothed && last > 0 && times[last] > window.end {
        interpolate(&points[last - 1..], window.end, wanted.is_counter, remarks)?
    } else {
        NativeHistogram::clone(&points[last].1)
    };
    if !wanted.is_counter && (!is_gauge(&left) || !is_gauge(&right)) {
        remarks.warn_of("this native histogram metric is not a gauge:");
    }
    let mut result = right.clone();
    remarks.combined(subtract(&mut result, &left), "subtraction")?;
    if wanted.is_counter {
        let lost = lost_at_resets(window, edges, wanted, (&left, &right), remarks)?;
        if let Some(lost) = lost {
            remarks.combined(add(&mut result, &lost), "addition")?;
        }
    }
    if wanted.is_rate {
        divide(&mut result, (window.end - window.start) as f64 / 1000.0);
    }
    result.reset_hint = ResetHint::Gauge;
    compact(&mut result);
    Some(result)
}

/// What the counter had counted before each reset between the ends; `None` where it can not be
/// added up.
fn lost_at_resets(
    window: &Window<'_>,
    edges: Edges,
    wanted: Difference,
    (left, right): (&NativeHistogram, &NativeHistogram),
    remarks: &mut Remarks<'_>,
) -> Option<Option<NativeHistogram>> {
    let points = window.histograms;
    let Edges { mut first, last } = edges;
    let mut previous = left;
    if wanted.is_smoothed
        && points[first].0 < window.start
        && let Some((_, second)) = points.get(first + 1)
        && is_reset(second, &points[first].1)
    {
        // The value at the start was interpolated across this reset, which is so accounted for.
        previous = second;
        first += 1;
    }
    // The last sample is `right`. If the start reached it, there is nothing left to compare.
    if first >= last {
        return Some(None);
    }
    let between = points.get(first + 1..last).unwrap_or(&[]);
    let mut lost: Option<NativeHistogram> = None;
    for current in between.iter().map(|(_, histogram)| &**histogram).chain([right]) {
        if is_reset(current, previous) {
            match &mut lost {
                None => lost = Some(previous.clone()),
                Some(lost) => remarks.combined(add(lost, previous), "addition")?,
            }
        }
        previous = current;
    }
    Some(lost)
}

/// Between the first two of `points`. A counter starts at zero after a reset.
fn interpolate(
    points: &[Point],
    at: i64,
    is_counter: bool,
    remarks: &mut Remarks<'_>,
) -> Option<NativeHistogram> {
    let [(from, before), (to, after), ..] = points else { return None };
    if at == *from {
        return Some(NativeHistogram::clone(before));
    }
    let mut result = NativeHistogram::clone(after);
    if at == *to {
        return Some(result);
    }
    let fraction = (at - from) as f64 / (to - from) as f64;
    if is_counter && is_reset(after, before) {
        multiply(&mut result, fraction);
        return Some(result);
    }
    remarks.combined(subtract(&mut result, before), "subtraction")?;
    multiply(&mut result, fraction);
    remarks.combined(add(&mut result, before), "addition")?;
    Some(result)
}

/// The histogram at a time: an exact one, one between its neighbours, or else the last one.
pub(super) fn at(points: &[Point], at: i64, remarks: &mut Remarks<'_>) -> Cell {
    let next = points.partition_point(|(time, _)| *time < at);
    let (before, after) = (next.checked_sub(1).map(|i| &points[i].1), points.get(next));
    match (before, after) {
        (_, Some((time, histogram))) if *time == at => Cell::Histogram(histogram.clone()),
        (Some(before), Some((_, after))) => {
            if is_custom(before) != is_custom(after) {
                remarks.mixed_schemas();
                return Cell::Empty;
            }
            let is_counter = !(is_gauge(before) && is_gauge(after));
            interpolate(&points[next - 1..], at, is_counter, remarks)
                .map_or(Cell::Empty, |histogram| Cell::Histogram(Arc::new(histogram)))
        }
        (Some(before), None) => {
            // The hint is about the sample before it, not about the value.
            let mut histogram = NativeHistogram::clone(before);
            histogram.reset_hint = ResetHint::Unknown;
            Cell::Histogram(Arc::new(histogram))
        }
        (None, _) => Cell::Empty,
    }
}
