//! Windows of native histograms: what changed within them, their sum and their mean.

use std::sync::Arc;

use model::{NativeHistogram, ResetHint};

use super::rates::{Edges, histogram_start_says_reset};
use super::{Cell, Remarks, Window};
use crate::histogram::{
    self, Combined, Mean, MixedSchemas, Sum, compact, is_custom, is_gauge, is_reset,
};

impl Remarks<'_> {
    /// Says that the function is for counters.
    pub(super) fn not_a_counter(&mut self) {
        let metric = self.metric;
        let text = format!("this native histogram metric is not a counter: {metric:?}");
        self.notes.warn(self.span, &text);
    }

    /// Says that the function is for gauges.
    pub(super) fn not_a_gauge(&mut self) {
        let metric = self.metric;
        let text = format!("this native histogram metric is not a gauge: {metric:?}");
        self.notes.warn(self.span, &text);
    }

    /// Says that standard schemas and custom bounds met.
    pub(super) fn mixed_schemas(&mut self) {
        self.notes.warn_mixed_schemas(self.span, self.metric);
    }

    /// Says that custom bounds were reconciled during an "addition", "subtraction", "aggregation".
    fn reconciled(&mut self, during: &str) {
        let text = format!("mismatched custom buckets were reconciled during {during}");
        self.notes.info(self.span, &text);
    }

    /// Adds, and says what is to be said; `false` if the two can not be added. Counter resets are
    /// up to the caller.
    pub(super) fn add(&mut self, to: &mut NativeHistogram, other: &NativeHistogram) -> bool {
        self.combined(histogram::add(to, other), "addition").is_some()
    }

    /// As [`Remarks::add`] for the difference.
    pub(super) fn subtract(&mut self, from: &mut NativeHistogram, other: &NativeHistogram) -> bool {
        self.combined(histogram::subtract(from, other), "subtraction").is_some()
    }

    /// Says what is to be said of two histograms that were combined; `None` if they can not be.
    pub(super) fn combined(
        &mut self,
        combined: Result<Combined, MixedSchemas>,
        operation: &str,
    ) -> Option<()> {
        match combined {
            Ok(Combined { bounds_reconciled, .. }) => {
                if bounds_reconciled {
                    self.reconciled(operation);
                }
                Some(())
            }
            Err(MixedSchemas) => {
                self.mixed_schemas();
                None
            }
        }
    }
}

/// `rate`, `increase` and `delta` (Prometheus `promql/functions.go`, `extrapolatedRate`).
pub(super) fn extrapolated(
    window: &Window<'_>,
    is_counter: bool,
    is_rate: bool,
    remarks: &mut Remarks<'_>,
) -> Cell {
    let histograms = window.histograms;
    let [(first_at, first), .., (last_at, _)] = histograms else {
        return single(window, is_counter, is_rate, remarks);
    };
    let Some(mut result) = difference(window, is_counter, remarks) else { return Cell::Empty };
    let edges = edges(window, (*first_at, first.count), *last_at, result.count);
    let Some((factor, adds_first)) = edges.factor(is_counter, is_rate) else { return Cell::Empty };
    if adds_first && !remarks.add(&mut result, first) {
        return Cell::Empty;
    }
    histogram::multiply(&mut result, factor);
    Cell::Histogram(Arc::new(result))
}

/// One histogram tells of an increase only if it began within the window.
fn single(window: &Window<'_>, is_counter: bool, is_rate: bool, _: &mut Remarks<'_>) -> Cell {
    let Some((at, only)) = window.histograms.first() else { return Cell::Empty };
    let edges = edges(window, (*at, only.count), *at, 0.0);
    let Some((factor, _)) = edges.factor(is_counter, is_rate) else { return Cell::Empty };
    let mut result = NativeHistogram::clone(only);
    histogram::multiply(&mut result, factor);
    Cell::Histogram(Arc::new(result))
}

fn edges(window: &Window<'_>, first: (i64, f64), last_at: i64, difference: f64) -> Edges {
    Edges {
        first,
        first_start: window.histogram_starts.first().copied().unwrap_or(0),
        last_at,
        gaps: window.histograms.len() - 1,
        difference,
        start: window.start,
        end: window.end,
    }
}

/// What is said of a difference that could be computed.
#[derive(Default)]
struct Findings {
    has_gauge: bool,
    /// The first and the last histogram do not fit.
    ends_differ: bool,
    has_counter: bool,
    subtraction_reconciled: bool,
    addition_reconciled: bool,
    starts_overlap: bool,
}

impl Findings {
    fn note(self, remarks: &mut Remarks<'_>) {
        if self.has_gauge {
            remarks.not_a_counter();
        }
        if self.has_counter {
            remarks.not_a_gauge();
        }
        if self.subtraction_reconciled {
            remarks.reconciled("subtraction");
        }
        if self.addition_reconciled {
            remarks.reconciled("addition");
        }
        if self.starts_overlap {
            remarks.starts_overlap();
        }
    }
}

/// The difference of the outer histograms, corrected for resets. There are at least two. If they
/// can not be combined, little else is said.
fn difference(
    window: &Window<'_>,
    is_counter: bool,
    remarks: &mut Remarks<'_>,
) -> Option<NativeHistogram> {
    let mut findings = Findings::default();
    match try_difference(window, is_counter, &mut findings) {
        Ok(result) => {
            findings.note(remarks);
            Some(result)
        }
        Err(MixedSchemas) => {
            if findings.ends_differ && findings.has_gauge {
                remarks.not_a_counter();
            }
            remarks.mixed_schemas();
            None
        }
    }
}

/// Prometheus `promql/functions.go`, `histogramRate`.
fn try_difference(
    window: &Window<'_>,
    is_counter: bool,
    findings: &mut Findings,
) -> Result<NativeHistogram, MixedSchemas> {
    let histograms = window.histograms;
    let [(_, first), middle @ .., (_, last)] = histograms else { return Err(MixedSchemas) };
    let (first, last): (&NativeHistogram, &NativeHistogram) = (first, last);
    // Where the counter is reset at once, the first histogram and its layout do not matter.
    let second: &NativeHistogram = middle.first().map_or(last, |(_, second)| second);
    let nothing = (is_counter
        && (histogram_start_says_reset(window, 1) || is_reset(second, first)))
    .then(|| NativeHistogram {
        schema: second.schema,
        custom_bounds: second.custom_bounds.clone(),
        ..NativeHistogram::default()
    });
    let first_used = nothing.as_ref().unwrap_or(first);
    findings.has_gauge = is_counter && (is_gauge(first) || is_gauge(last));
    if is_custom(last) != is_custom(first_used) {
        findings.ends_differ = true;
        return Err(MixedSchemas);
    }
    let mut schema = last.schema.min(first_used.schema);
    if is_counter {
        findings.has_gauge |= middle.iter().any(|(_, histogram)| is_gauge(histogram));
        for (_, histogram) in middle {
            if is_custom(histogram) != is_custom(first_used) {
                return Err(MixedSchemas);
            }
            schema = schema.min(histogram.schema);
        }
    } else {
        findings.has_counter = !is_gauge(first) || !is_gauge(last);
    }
    let mut result = histogram::to_schema(last, schema);
    let combined = histogram::subtract(&mut result, first_used)?;
    findings.subtraction_reconciled = combined.bounds_reconciled;
    if is_counter {
        let mut previous = first_used;
        for (i, (_, current)) in histograms.iter().enumerate().skip(1) {
            findings.starts_overlap |= starts_overlap(window, i);
            if histogram_start_says_reset(window, i) || is_reset(current, previous) {
                let combined = histogram::add(&mut result, previous)?;
                findings.addition_reconciled |= combined.bounds_reconciled;
            }
            previous = current;
        }
    }
    result.reset_hint = ResetHint::Gauge;
    compact(&mut result);
    Ok(result)
}

fn starts_overlap(window: &Window<'_>, index: usize) -> bool {
    let starts = window.histogram_starts;
    let (Some(before), Some(start)) = (starts.get(index - 1), starts.get(index)) else {
        return false;
    };
    model::rollup::starts_overlap(window.histograms[index - 1].0, *before, *start)
}

/// `sum_over_time`
pub(super) fn sum(window: &Window<'_>, remarks: &mut Remarks<'_>) -> Cell {
    let Some((_, first)) = window.histograms.first() else { return Cell::Empty };
    let mut sum = Sum::of(first);
    match fold(window, |histogram| sum.add(histogram), remarks) {
        true => Cell::Histogram(Arc::new(sum.total())),
        false => Cell::Empty,
    }
}

/// `avg_over_time`
pub(super) fn average(window: &Window<'_>, remarks: &mut Remarks<'_>) -> Cell {
    let Some((_, first)) = window.histograms.first() else { return Cell::Empty };
    let mut mean = Mean::of(first);
    match fold(window, |histogram| mean.add(histogram), remarks) {
        true => Cell::Histogram(Arc::new(mean.mean())),
        false => Cell::Empty,
    }
}

/// Adds all histograms but the first one; `false` if they do not fit.
fn fold(
    window: &Window<'_>,
    mut add: impl FnMut(&NativeHistogram) -> Result<bool, MixedSchemas>,
    remarks: &mut Remarks<'_>,
) -> bool {
    let mut reconciled = false;
    for (_, histogram) in window.histograms.iter().skip(1) {
        match add(histogram) {
            Ok(bounds_reconciled) => reconciled |= bounds_reconciled,
            Err(MixedSchemas) => {
                remarks.mixed_schemas();
                return false;
            }
        }
    }
    let has = |hint| window.histograms.iter().any(|(_, found)| found.reset_hint == hint);
    if has(ResetHint::Reset) && has(ResetHint::NotReset) {
        let text = "conflicting counter resets during histogram aggregation";
        remarks.notes.warn(remarks.span, text);
    }
    if reconciled {
        remarks.reconciled("aggregation");
    }
    true
}
