//! Series of a request that are looked up together: new ones cost the store one lock for all of them.

use std::ops::Range;

use model::sample::SeriesId;
use model::{Result, SeriesSink};

/// Series that are looked up together at most.
const SERIES_MAX: usize = 256;

/// Some series, as they stand in the request, and their labels. `S` is the reader of a series.
pub(super) struct Crowd<'a, S> {
    series: Vec<S>,
    labels: Vec<(&'a str, &'a str)>,
    /// Where the labels of each series end.
    ends: Vec<usize>,
    found: Vec<Result<SeriesId>>,
}

impl<S> Default for Crowd<'_, S> {
    fn default() -> Self {
        Crowd { series: Vec::new(), labels: Vec::new(), ends: Vec::new(), found: Vec::new() }
    }
}

impl<'a, S: Copy> Crowd<'a, S> {
    pub(super) fn add(&mut self, series: S, labels: &[(&'a str, &'a str)]) {
        self.series.push(series);
        self.labels.extend_from_slice(labels);
        self.ends.push(self.labels.len());
    }

    pub(super) fn is_full(&self) -> bool {
        self.series.len() >= SERIES_MAX
    }

    /// Looks all of them up.
    pub(super) fn look_up(&mut self, sink: &dyn SeriesSink) {
        self.found.clear();
        sink.series_of_each(&self.labels, &self.ends, &mut self.found);
    }

    /// What was looked up, in order: the series, its id, its labels.
    pub(super) fn each(
        &self,
    ) -> impl Iterator<Item = (S, &Result<SeriesId>, &[(&'a str, &'a str)])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends).map(|(start, end): (usize, &usize)| start..*end);
        let labels = ranges.map(|range: Range<usize>| self.labels.get(range).unwrap_or_default());
        self.series.iter().copied().zip(&self.found).zip(labels).map(|((s, id), l)| (s, id, l))
    }

    pub(super) fn clear(&mut self) {
        self.series.clear();
        self.labels.clear();
        self.ends.clear();
    }
}
