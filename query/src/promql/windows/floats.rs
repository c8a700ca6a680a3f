//! Sums, means, variances and trends of floats.

use super::{Cell, Window};
use crate::vector::kahan_add;

/// The mean, by way of the sum as long as that does not overflow.
pub(super) fn average(values: &[f64]) -> f64 {
    let (mut sum, mut compensation) = (values[0], 0.0);
    for (i, value) in values.iter().enumerate().skip(1) {
        let (next, next_compensation) = kahan_add(*value, sum, compensation);
        if next.is_infinite() {
            return incremental_average(values, i, sum, compensation);
        }
        (sum, compensation) = (next, next_compensation);
    }
    let count = values.len() as f64;
    sum / count + compensation / count
}

/// Goes on from the sum of the first `seen` values, which would overflow with the next one.
fn incremental_average(values: &[f64], seen: usize, sum: f64, compensation: f64) -> f64 {
    let (mut mean, mut compensation) = (sum / seen as f64, compensation / seen as f64);
    for (i, value) in values.iter().enumerate().skip(seen) {
        let count = (i + 1) as f64;
        let weight = (count - 1.0) / count;
        (mean, compensation) = kahan_add(value / count, weight * mean, weight * compensation);
    }
    mean + compensation
}

/// The compensated sum.
pub(super) fn sum(values: &[f64]) -> f64 {
    let (mut sum, mut compensation) = (0.0, 0.0);
    for value in values {
        (sum, compensation) = kahan_add(*value, sum, compensation);
    }
    if sum.is_infinite() { sum } else { sum + compensation }
}

/// The variance, by Welford's method with compensation.
pub(super) fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut mean_c, mut squares, mut squares_c) = (0.0, 0.0, 0.0, 0.0);
    let mut count = 0.0;
    for value in values {
        count += 1.0;
        let delta = value - (mean + mean_c);
        (mean, mean_c) = kahan_add(delta / count, mean, mean_c);
        (squares, squares_c) = kahan_add(delta * (value - (mean + mean_c)), squares, squares_c);
    }
    (squares + squares_c) / count
}

/// Least squares with compensated sums.
pub(super) fn trend(
    window: &Window<'_>,
    intercept_at: i64,
    result: impl FnOnce(f64, f64) -> f64,
) -> Cell {
    let values = window.values;
    if values.len() < 2 {
        return Cell::Empty;
    }
    if values.iter().all(|value| *value == values[0]) {
        let (slope, intercept) =
            if values[0].is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, values[0]) };
        return Cell::Float(result(slope, intercept));
    }
    let mut sums = [(0.0, 0.0); 4];
    for (time, y) in window.times.iter().zip(values) {
        let x = (time - intercept_at) as f64 / 1e3;
        for (sum, add) in sums.iter_mut().zip([x, *y, x * y, x * x]) {
            *sum = kahan_add(add, sum.0, sum.1);
        }
    }
    let n = values.len() as f64;
    let [x, y, xy, xx] = sums.map(|(sum, compensation)| sum + compensation);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    let intercept = y / n - slope * x / n;
    Cell::Float(result(slope, intercept))
}

/// Holt's linear smoothing (`double_exponential_smoothing`).
pub(super) fn smooth(values: &[f64], smoothing: f64, trend_factor: f64) -> Cell {
    if values.len() < 2 {
        return Cell::Empty;
    }
    let (mut before, mut level, mut trend) = (0.0, values[0], values[1] - values[0]);
    for (i, value) in values.iter().enumerate().skip(1) {
        if i > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        (before, level) = (level, next);
    }
    Cell::Float(level)
}
