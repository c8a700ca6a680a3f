//! A vector as its native histograms and its classic ones.

use std::sync::Arc;

use model::{Labels, NativeHistogram};
use rustc_hash::FxHashMap;

use crate::errors::Span;
use crate::histogram::classic::Buckets;
use crate::vector::{Column, Grid, Notes, absent, is_absent};

type NativeCells = Vec<Option<Arc<NativeHistogram>>>;

/// The histograms of a vector, each with its labels.
pub(super) struct Histograms {
    native: Vec<(Labels, NativeCells)>,
    classic: Vec<(Labels, BucketColumns)>,
}

/// The series of a classic histogram, sorted by bound.
pub(super) struct BucketColumns(Vec<(f64, Vec<f64>)>);

impl Histograms {
    /// Sorts series by kind. Where a native and a classic histogram have the same labels, neither
    /// of them counts.
    pub(super) fn of(columns: Vec<Column>, grid: &Grid, span: Span, notes: &mut Notes) -> Self {
        let mut places: FxHashMap<Labels, usize> = FxHashMap::default();
        let mut found = Histograms { native: Vec::new(), classic: Vec::new() };
        for column in columns {
            let Column { labels, values, histograms, .. } = column;
            if values.iter().any(|value| !is_absent(*value)) {
                found.add_bucket(&labels, values, &mut places, span, notes);
            }
            if !histograms.is_empty() {
                found.native.push((labels, histograms));
            }
        }
        for (_, BucketColumns(buckets)) in &mut found.classic {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        for (labels, cells) in &mut found.native {
            let Some(place) = places.get(labels) else { continue };
            let BucketColumns(buckets) = &mut found.classic[*place].1;
            for (step, cell) in cells.iter_mut().enumerate().take(grid.count) {
                let is_both =
                    cell.is_some() && buckets.iter().any(|(_, values)| !is_absent(values[step]));
                if is_both {
                    *cell = None;
                    buckets.iter_mut().for_each(|(_, values)| values[step] = absent());
                    let of = for_metric(labels.metric_name());
                    let text =
                        format!("vector contains a mix of classic and native histograms{of}");
                    notes.warn(span, &text);
                }
            }
        }
        found
    }

    fn add_bucket(
        &mut self,
        labels: &Labels,
        values: Vec<f64>,
        places: &mut FxHashMap<Labels, usize>,
        span: Span,
        notes: &mut Notes,
    ) {
        let le = labels.get_or_empty("le");
        let Ok(bound) = le.parse::<f64>() else {
            let of = for_metric(labels.metric_name());
            let text =
                format!("bucket label \"le\" is missing or has a malformed value of {le:?}{of}");
            notes.warn(span, &text);
            return;
        };
        let labels = labels.without(&["le"]);
        let place = *places.entry(labels).or_insert_with_key(|labels| {
            self.classic.push((labels.clone(), BucketColumns(Vec::new())));
            self.classic.len() - 1
        });
        self.classic[place].1.0.push((bound, values));
    }

    pub(super) fn native(&self) -> impl Iterator<Item = (&Labels, &NativeCells)> {
        self.native.iter().map(|(labels, cells)| (labels, cells))
    }

    pub(super) fn classic(&self) -> impl Iterator<Item = (&Labels, &BucketColumns)> {
        self.classic.iter().map(|(labels, buckets)| (labels, buckets))
    }
}

impl BucketColumns {
    /// Computes one float from the buckets of each step that has any.
    pub(super) fn compute(
        &self,
        steps: usize,
        mut compute: impl FnMut(usize, &mut Buckets) -> f64,
    ) -> Vec<f64> {
        let mut buckets = Buckets::new();
        let mut values = vec![absent(); steps];
        for (step, value) in values.iter_mut().enumerate() {
            buckets.clear();
            let present = self.0.iter().filter(|(_, values)| !is_absent(values[step]));
            buckets.extend(present.map(|(bound, values)| (*bound, values[step])));
            if !buckets.is_empty() {
                *value = compute(step, &mut buckets);
            }
        }
        values
    }
}

/// How a remark names a metric.
pub(super) fn for_metric(metric: &str) -> String {
    match metric {
        "" => String::new(),
        metric => format!(" for metric name {metric:?}"),
    }
}
