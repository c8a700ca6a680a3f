//! The vector maths that PromQL and LogQL share: columns, grouping, binary operators, matching.
//!
//! A vector over a time range is a set of columns, one a series, each with one cell for each
//! evaluation time. A cell without a sample holds the staleness marker: it can not be the result of
//! any arithmetic (hardware makes quiet NaNs, the marker is a signaling one), so no second array is
//! needed to tell absence from NaN.

mod aggregate;
mod binary;
mod matching;
mod notes;
mod numbers;

use std::collections::hash_map::Entry;
use std::sync::Arc;

use model::labels::METRIC_NAME;
use model::sample::{STALE_NAN_BITS, is_stale, stale_nan};
use model::{Labels, NativeHistogram};
use rustc_hash::FxHashMap;

pub use aggregate::{AggregateCall, AggregateOp, Grouping, Parameter, aggregate};
pub(crate) use aggregate::{Finalists, Folded, Folder, note_quantile};
pub use binary::{BinaryOp, Operator, scalars as scalar_binary, vector_scalar};
pub use matching::{Cardinality, Matching, set_operator, vector_vector};
pub use notes::Notes;
pub(crate) use numbers::{kahan_add, quantile, rank_order};

use crate::errors::EvalError;

/// The evaluation times of a query: `count` of them, `step` apart. The unit is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// The first one.
    pub start: i64,
    /// The distance; ignored when there is only one.
    pub step: i64,
    /// How many; at least one.
    pub count: usize,
}

impl Grid {
    /// One evaluation time.
    pub fn instant(at: i64) -> Self {
        Grid { start: at, step: 0, count: 1 }
    }

    /// From `start` in steps to `end` or just before it; `None` for an empty or endless range.
    pub fn range(start: i64, end: i64, step: i64) -> Option<Self> {
        if step <= 0 || end < start {
            return None;
        }
        let count = (i128::from(end) - i128::from(start)) / i128::from(step) + 1;
        Some(Grid { start, step, count: usize::try_from(count).ok()? })
    }

    /// The time of cell `index`.
    pub fn at(&self, index: usize) -> i64 {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        self.start.saturating_add(self.step.saturating_mul(index))
    }

    /// The last one.
    pub fn last(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }

    /// All of them.
    pub fn times(&self) -> impl Iterator<Item = i64> + use<> {
        let grid = *self;
        (0..grid.count).map(move |index| grid.at(index))
    }
}

/// The content of a cell without a float sample.
pub fn absent() -> f64 {
    stale_nan()
}

/// Whether a cell has no float sample.
pub fn is_absent(cell: f64) -> bool {
    is_stale(cell)
}

/// One series with a cell for each evaluation time.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its labels.
    pub labels: Labels,
    /// Whether the metric name is to be dropped from the final result.
    pub drop_name: bool,
    /// Float samples; see [`absent`].
    pub values: Vec<f64>,
    /// Native histograms by cell, or empty if the series has none at all.
    pub histograms: Vec<Option<Arc<NativeHistogram>>>,
}

impl Column {
    /// A series of floats.
    pub fn floats(labels: Labels, drop_name: bool, values: Vec<f64>) -> Self {
        Column { labels, drop_name, values, histograms: Vec::new() }
    }

    /// The histogram of a cell.
    pub fn histogram(&self, index: usize) -> Option<&Arc<NativeHistogram>> {
        self.histograms.get(index).and_then(Option::as_ref)
    }

    /// Whether a cell has a sample of either kind.
    pub fn has(&self, index: usize) -> bool {
        !is_absent(self.values[index]) || self.histogram(index).is_some()
    }

    /// Whether any cell has a sample.
    pub fn has_any(&self) -> bool {
        self.values.iter().any(|value| value.to_bits() != STALE_NAN_BITS)
            || self.histograms.iter().any(Option::is_some)
    }

    /// Removes the sample of a cell.
    pub fn clear(&mut self, index: usize) {
        self.values[index] = absent();
        if let Some(histogram) = self.histograms.get_mut(index) {
            *histogram = None;
        }
    }

    /// Takes the samples of `other` into cells that are empty here; fails where both have one.
    fn merge(&mut self, other: Column) -> Result<(), EvalError> {
        if (0..self.values.len()).any(|index| self.has(index) && other.has(index)) {
            return Err(EvalError::SameLabelset);
        }
        for (mine, theirs) in self.values.iter_mut().zip(&other.values) {
            if is_absent(*mine) {
                *mine = *theirs;
            }
        }
        if !other.histograms.is_empty() {
            self.histograms.resize(self.values.len(), None);
            for (mine, theirs) in self.histograms.iter_mut().zip(other.histograms) {
                *mine = mine.take().or(theirs);
            }
        }
        self.drop_name |= other.drop_name;
        Ok(())
    }
}

/// Labels that describe the metric itself and go when the metric name goes.
pub(crate) const METADATA_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// Joins columns with equal labels, in order of first appearance. Fails with
/// [`EvalError::SameLabelset`] where two of them have a sample at one time.
pub fn merge_same_labels(columns: Vec<Column>) -> Result<Vec<Column>, EvalError> {
    let mut places: FxHashMap<Labels, usize> = FxHashMap::default();
    let mut merged: Vec<Column> = Vec::with_capacity(columns.len());
    for column in columns {
        match places.entry(column.labels.clone()) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(column);
            }
            Entry::Occupied(place) => merged[*place.get()].merge(column)?,
        }
    }
    Ok(merged)
}

/// Drops the metric names that are marked for it, empty columns, and joins what became equal.
pub fn finish(mut columns: Vec<Column>) -> Result<Vec<Column>, EvalError> {
    columns.retain(Column::has_any);
    for column in &mut columns {
        if column.drop_name {
            column.labels = column.labels.without(&METADATA_LABELS);
            column.drop_name = false;
        }
    }
    merge_same_labels(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_ends_at_or_before_its_end() {
        let grid = Grid::range(0, 25, 10).unwrap();
        assert_eq!(grid.times().collect::<Vec<_>>(), [0, 10, 20]);
        assert_eq!(grid.last(), 20);
        assert_eq!(Grid::range(0, 10, 0), None);
        assert_eq!(Grid::range(10, 0, 1), None);
    }

    #[test]
    fn arithmetic_never_makes_the_absent_marker() {
        let marker = absent();
        for value in [marker + 1.0, marker * 0.0, f64::NAN, marker - marker] {
            assert!(!is_absent(value), "{:x}", value.to_bits());
        }
    }

    #[test]
    fn columns_with_equal_labels_merge_unless_they_overlap() {
        let column = |values: &[f64]| Column::floats(Labels::empty(), false, values.to_vec());
        let merged =
            merge_same_labels(vec![column(&[1.0, absent()]), column(&[absent(), 2.0])]).unwrap();
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].values, [1.0, 2.0]);
        let overlap = merge_same_labels(vec![column(&[1.0]), column(&[2.0])]);
        assert!(matches!(overlap, Err(EvalError::SameLabelset)));
    }
}
