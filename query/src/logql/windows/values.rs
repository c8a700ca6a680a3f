//! Operations on the values of a window, step by step as Loki makes them (3.8,
//! `pkg/logql/range_vector.go`), so that also the last digit is the same.

use crate::logql::ast::{RangeAggregation, RangeOp};
use crate::vector::{absent, quantile as prometheus_quantile};

/// The state of one window.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Running {
    count: f64,
    /// The sum, the mean, or the one value that was picked.
    value: f64,
    /// The sum of squares of differences from the mean.
    squares: f64,
}

impl Running {
    pub(super) fn add(&mut self, op: RangeOp, value: f64) {
        self.count += 1.0;
        let is_first = self.count == 1.0;
        match op {
            RangeOp::MinOverTime => {
                if is_first || value < self.value || self.value.is_nan() {
                    self.value = value;
                }
            }
            RangeOp::MaxOverTime => {
                if is_first || value > self.value || self.value.is_nan() {
                    self.value = value;
                }
            }
            RangeOp::FirstOverTime if is_first => self.value = value,
            RangeOp::FirstOverTime => {}
            RangeOp::LastOverTime => self.value = value,
            RangeOp::AvgOverTime => self.add_to_mean(value),
            RangeOp::StddevOverTime | RangeOp::StdvarOverTime => {
                let delta = value - self.value;
                self.value += delta / self.count;
                self.squares += delta * (value - self.value);
            }
            _ => self.value += value,
        }
    }

    fn add_to_mean(&mut self, value: f64) {
        if self.value.is_infinite() {
            let same_side = value.is_infinite() && (self.value > 0.0) == (value > 0.0);
            // What is finite does not change an infinite mean.
            if same_side || value.is_finite() {
                return;
            }
        }
        self.value += value / self.count - self.value / self.count;
    }

    pub(super) fn value(&self, range: &RangeAggregation) -> f64 {
        if self.count == 0.0 {
            return absent();
        }
        match range.op {
            RangeOp::Rate => self.value / (range.range_ns as f64 / 1e9),
            RangeOp::StdvarOverTime => self.squares / self.count,
            RangeOp::StddevOverTime => (self.squares / self.count).sqrt(),
            _ => self.value,
        }
    }
}

/// A quantile of values; sorts them.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    prometheus_quantile(q, values)
}

/// The increase of a counter a second. Values that fall are resets; the increase goes on to the ends
/// of the window as far as the distances between the values let one think. One value is no increase.
pub(super) fn rate_counter(window: &[(i64, f64)], range_ns: i64, end: i64) -> f64 {
    let ([(first_at, first), .., (last_at, last)], count) = (window, window.len()) else {
        return 0.0;
    };
    let mut increase = last - first;
    let mut previous = 0.0;
    for (_, value) in window {
        if *value < previous {
            increase += previous;
        }
        previous = *value;
    }
    let seconds = |ns: i64| ns as f64 / 1e9;
    let sampled = seconds(last_at - first_at);
    let average = sampled / (count - 1) as f64;
    let threshold = average * 1.1;
    let mut to_start = seconds(first_at - (end - range_ns));
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    // A counter does not begin below zero.
    if increase > 0.0 && *first >= 0.0 {
        to_start = to_start.min(sampled * (first / increase));
    }
    let mut to_end = seconds(end - last_at);
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    increase * ((sampled + to_start + to_end) / sampled) / seconds(range_ns)
}
