//! `changes` and `resets`, which count over samples of both kinds.

use std::sync::Arc;

use model::NativeHistogram;

use super::rates::{histogram_start_says_reset, start_says_reset};
use super::{Cell, Remarks, Window};
use crate::histogram::{is_reset, is_same};

/// A sample of either kind, with its place among its kind.
#[derive(Clone, Copy)]
enum Either<'a> {
    Float(usize, f64),
    Histogram(usize, &'a Arc<NativeHistogram>),
}

fn in_order<'a>(window: &'a Window<'_>) -> Vec<Either<'a>> {
    let floats = window.times.iter().zip(window.values).enumerate();
    let histograms = window.histograms.iter().enumerate();
    let mut all: Vec<(i64, Either<'a>)> = floats
        .map(|(i, (time, value))| (*time, Either::Float(i, *value)))
        .chain(histograms.map(|(i, (time, found))| (*time, Either::Histogram(i, found))))
        .collect();
    all.sort_by_key(|(time, _)| *time);
    all.into_iter().map(|(_, sample)| sample).collect()
}

/// How often the value changes, or the kind.
pub(super) fn changes(window: &Window<'_>, _: [f64; 2], _: &mut Remarks<'_>) -> Cell {
    let differ = |a: f64, b: f64| a != b && !(a.is_nan() && b.is_nan());
    if window.histograms.is_empty() {
        let pairs = window.values.windows(2);
        return Cell::Float(pairs.filter(|pair| differ(pair[0], pair[1])).count() as f64);
    }
    let changed = |pair: &&[Either<'_>]| match (pair[0], pair[1]) {
        (Either::Float(_, a), Either::Float(_, b)) => differ(a, b),
        (Either::Histogram(_, a), Either::Histogram(_, b)) => !is_same(a, b),
        _ => true,
    };
    Cell::Float(in_order(window).windows(2).filter(changed).count() as f64)
}

/// How often the counter is reset, or becomes one of the other kind.
pub(super) fn resets(window: &Window<'_>, _: [f64; 2], _: &mut Remarks<'_>) -> Cell {
    let values = window.values;
    if window.histograms.is_empty() {
        let is_reset = |i: &usize| values[*i] < values[i - 1] || start_says_reset(window, *i);
        return Cell::Float((1..values.len()).filter(is_reset).count() as f64);
    }
    let was_reset = |pair: &&[Either<'_>]| match (pair[0], pair[1]) {
        (Either::Float(_, a), Either::Float(i, b)) => b < a || start_says_reset(window, i),
        (Either::Histogram(_, a), Either::Histogram(i, b)) => {
            histogram_start_says_reset(window, i) || is_reset(b, a)
        }
        _ => true,
    };
    Cell::Float(in_order(window).windows(2).filter(was_reset).count() as f64)
}
