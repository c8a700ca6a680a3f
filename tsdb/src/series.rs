//! The columns of one series.

use std::collections::VecDeque;
use std::sync::Arc;

use model::labels::Labels;
use model::read::RangeMs;
use model::sample::{Exemplar, NativeHistogram};
use model::{TimestampMs, write::NO_START};

/// Exemplars kept for one series; older ones make room.
const EXEMPLARS_PER_SERIES_MAX: usize = 64;

/// One series. Times are strictly increasing.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    times: Vec<i64>,
    values: Vec<f64>,
    /// `(first index, start)` of each stretch of samples with one start time: a start time changes
    /// only when its sender restarts.
    starts: Vec<(usize, i64)>,
    histograms: Vec<(TimestampMs, TimestampMs, Arc<NativeHistogram>)>,
    exemplars: VecDeque<Exemplar>,
}

/// The range of indexes whose times lie in `range`.
fn indexes(range: RangeMs, count: usize, time: impl Fn(usize) -> i64) -> std::ops::Range<usize> {
    let first = partition(count, |i| time(i) < range.start.0);
    let end = partition(count, |i| time(i) <= range.end.0);
    first..end.max(first)
}

fn partition(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

impl Series {
    pub(crate) fn new(labels: Labels) -> Self {
        Series {
            labels,
            times: Vec::new(),
            values: Vec::new(),
            starts: Vec::new(),
            histograms: Vec::new(),
            exemplars: VecDeque::new(),
        }
    }

    /// Adds a sample, replacing one of the same time. Answers how many bytes the series grew by.
    pub(crate) fn push(&mut self, at: TimestampMs, start: TimestampMs, value: f64) -> usize {
        match self.times.last() {
            Some(last) if *last >= at.0 => self.insert(at, start, value),
            _ => {
                if self.start_at(self.times.len()) != start.0 {
                    self.starts.push((self.times.len(), start.0));
                }
                self.times.push(at.0);
                self.values.push(value);
                SAMPLE_BYTES
            }
        }
    }

    fn start_at(&self, index: usize) -> i64 {
        let after = self.starts.partition_point(|(first, _)| *first <= index);
        if after == 0 { NO_START.0 } else { self.starts[after - 1].1 }
    }

    fn insert(&mut self, at: TimestampMs, start: TimestampMs, value: f64) -> usize {
        let index = self.times.partition_point(|time| *time < at.0);
        let replaces = self.times.get(index) == Some(&at.0);
        if !replaces {
            self.times.insert(index, at.0);
            self.values.insert(index, value);
            for (first, _) in &mut self.starts {
                if *first > index || (*first == index && index > 0) {
                    *first += 1;
                }
            }
        } else {
            self.values[index] = value;
        }
        self.set_start(index, start.0);
        if replaces { 0 } else { SAMPLE_BYTES }
    }

    /// Gives the sample at `index` this start time and leaves the others as they are.
    fn set_start(&mut self, index: usize, start: i64) {
        if self.start_at(index) == start {
            return;
        }
        // Rare (late samples over a restart of their sender), so the plain way.
        let mut each: Vec<i64> = (0..self.times.len()).map(|i| self.start_at(i)).collect();
        each[index] = start;
        self.starts.clear();
        let mut last = NO_START.0;
        for (i, start) in each.into_iter().enumerate() {
            if start != last {
                self.starts.push((i, start));
                last = start;
            }
        }
    }

    pub(crate) fn push_histogram(
        &mut self,
        at: TimestampMs,
        start: TimestampMs,
        histogram: Arc<NativeHistogram>,
    ) -> usize {
        let bytes = histogram_bytes(&histogram);
        let index = self.histograms.partition_point(|(time, ..)| *time < at);
        match self.histograms.get_mut(index) {
            Some(same) if same.0 == at => {
                *same = (at, start, histogram);
                0
            }
            _ => {
                self.histograms.insert(index, (at, start, histogram));
                bytes
            }
        }
    }

    pub(crate) fn push_exemplar(&mut self, exemplar: Exemplar) {
        if self.exemplars.contains(&exemplar) {
            return;
        }
        if self.exemplars.len() == EXEMPLARS_PER_SERIES_MAX {
            self.exemplars.pop_front();
        }
        let index = self.exemplars.partition_point(|kept| kept.at <= exemplar.at);
        self.exemplars.insert(index, exemplar);
    }

    /// Forgets the samples at these times, which are sorted. Answers how many bytes became free.
    pub(crate) fn forget(&mut self, times: &[i64]) -> usize {
        let is_kept = |at: i64| times.binary_search(&at).is_err();
        let before = self.times.len();
        let starts: Vec<i64> = (0..self.times.len()).map(|i| self.start_at(i)).collect();
        let mut last = NO_START.0;
        let mut kept = 0;
        self.starts.clear();
        for (i, start) in starts.into_iter().enumerate() {
            let at = self.times[i];
            if !is_kept(at) {
                continue;
            }
            (self.times[kept], self.values[kept]) = (at, self.values[i]);
            if start != last {
                self.starts.push((kept, start));
                last = start;
            }
            kept += 1;
        }
        self.times.truncate(kept);
        self.values.truncate(kept);
        self.times.shrink_to_fit();
        self.values.shrink_to_fit();
        let mut freed = (before - kept) * SAMPLE_BYTES;
        self.histograms.retain(|(at, _, histogram)| {
            let stays = is_kept(at.0);
            freed += if stays { 0 } else { histogram_bytes(histogram) };
            stays
        });
        // An exemplar without samples around it leads nowhere.
        let oldest = self.times.first().copied().into_iter();
        let oldest = oldest.chain(self.histograms.first().map(|(at, ..)| at.0)).min();
        self.exemplars.retain(|exemplar| oldest.is_some_and(|oldest| exemplar.at.0 >= oldest));
        freed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty() && self.histograms.is_empty()
    }

    pub(crate) fn has_samples_in(&self, range: RangeMs) -> bool {
        !indexes(range, self.times.len(), |i| self.times[i]).is_empty()
            || !indexes(range, self.histograms.len(), |i| self.histograms[i].0.0).is_empty()
    }

    /// Times and values in `range`.
    pub(crate) fn floats(&self, range: RangeMs) -> (&[i64], &[f64]) {
        let range = indexes(range, self.times.len(), |i| self.times[i]);
        (&self.times[range.clone()], &self.values[range])
    }

    /// Start times of the samples in `range`.
    pub(crate) fn starts(&self, range: RangeMs) -> Vec<i64> {
        indexes(range, self.times.len(), |i| self.times[i]).map(|i| self.start_at(i)).collect()
    }

    pub(crate) fn histograms(&self, range: RangeMs) -> Vec<(TimestampMs, Arc<NativeHistogram>)> {
        let range = indexes(range, self.histograms.len(), |i| self.histograms[i].0.0);
        self.histograms[range].iter().map(|(at, _, h)| (*at, h.clone())).collect()
    }

    pub(crate) fn exemplars(&self, range: RangeMs) -> Vec<Exemplar> {
        self.exemplars.iter().filter(|exemplar| range.contains(exemplar.at)).cloned().collect()
    }
}

/// A time and a value.
const SAMPLE_BYTES: usize = 16;

fn histogram_bytes(histogram: &NativeHistogram) -> usize {
    let buckets = histogram.positive.len() + histogram.negative.len();
    160 + buckets * 16 + histogram.custom_bounds.len() * 8
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn samples_in_any_order_read_back_like_a_map(
            samples in prop::collection::vec((0i64..40, 0i64..3, any::<i32>()), 0..80),
            range in (0i64..40, 0i64..40),
            forget in prop::collection::btree_set(0i64..40, 0..20),
        ) {
            let mut series = Series::new(Labels::empty());
            let mut naive = BTreeMap::new();
            for (at, start, value) in samples {
                series.push(TimestampMs(at), TimestampMs(start), f64::from(value));
                naive.insert(at, (start, f64::from(value)));
            }
            let before = naive.len();
            naive.retain(|at, _| !forget.contains(at));
            let freed = series.forget(&forget.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(freed, (before - naive.len()) * SAMPLE_BYTES);
            let range = RangeMs { start: TimestampMs(range.0), end: TimestampMs(range.1) };
            let expected: Vec<_> = naive
                .into_iter()
                .filter(|(at, _)| range.contains(TimestampMs(*at)))
                .collect();
            let (times, values) = series.floats(range);
            let starts = series.starts(range);
            let found: Vec<_> = (0..times.len()).map(|i| (times[i], (starts[i], values[i]))).collect();
            prop_assert_eq!(series.has_samples_in(range), !expected.is_empty());
            prop_assert_eq!(found, expected);
        }
    }
}
