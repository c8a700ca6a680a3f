//! All series in memory, found by their labels or their number.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use disk::codec::CodecError;
use model::Matcher;
use model::labels::Labels;
use model::sample::{MetricMetadata, SeriesId};
use model::write::{SeriesBatch, WriteOutcome};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::index::Index;
use crate::series::Series;

/// What a series costs beside its samples: labels, index entries, map entry.
const SERIES_BYTES: usize = 600;

/// No run gives out higher numbers; a record that names one is broken.
const NUMBER_MAX: u64 = 1 << 30;

/// The series of the store. The store keeps it behind a read-write lock; samples go into a series
/// under the read lock and the series' own.
#[derive(Default)]
pub(crate) struct Head {
    by_labels: FxHashMap<Labels, u32>,
    /// By number. A number is not used again while the journal may know it.
    series: Vec<Option<Arc<Mutex<Series>>>>,
    index: Index,
    pub(crate) metadata: BTreeMap<String, MetricMetadata>,
    pub(crate) live: usize,
    bytes: AtomicUsize,
}

impl Head {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed) + self.live * SERIES_BYTES
    }

    pub(crate) fn find(&self, labels: &Labels) -> Option<SeriesId> {
        self.by_labels.get(labels).map(|number| SeriesId(u64::from(*number)))
    }

    /// Makes a series under the next free number.
    pub(crate) fn create(&mut self, labels: Labels) -> SeriesId {
        let number = self.series.len() as u32;
        self.series.push(None);
        self.fill(number, labels);
        SeriesId(u64::from(number))
    }

    /// Makes a series under the number that an earlier run gave it.
    pub(crate) fn create_at(&mut self, id: SeriesId, labels: Labels) -> Result<(), CodecError> {
        self.reserve(id.0.saturating_add(1))?;
        self.fill(id.0 as u32, labels);
        Ok(())
    }

    /// The number that the next new series gets.
    pub(crate) fn next_number(&self) -> u64 {
        self.series.len() as u64
    }

    /// Gives out no number under `next` again: records of a dropped series may still be in the
    /// journal, and must not become samples of another.
    pub(crate) fn reserve(&mut self, next: u64) -> Result<(), CodecError> {
        if next > NUMBER_MAX {
            return Err(CodecError { offset: 0, expected: "a series number that was given out" });
        }
        if self.series.len() < next as usize {
            self.series.resize(next as usize, None);
        }
        Ok(())
    }

    fn fill(&mut self, number: u32, labels: Labels) {
        self.index.add(&labels, number);
        self.by_labels.insert(labels.clone(), number);
        self.series[number as usize] = Some(Arc::new(Mutex::new(Series::new(labels))));
        self.live += 1;
    }

    pub(crate) fn get(&self, id: SeriesId) -> Option<&Arc<Mutex<Series>>> {
        self.series.get(usize::try_from(id.0).ok()?)?.as_ref()
    }

    /// Puts a batch into its series; points of unknown series are refused.
    pub(crate) fn apply(&self, batch: &SeriesBatch, outcome: &mut WriteOutcome) {
        let mut grown = 0;
        for point in &batch.points {
            match self.get(point.series) {
                Some(series) => {
                    grown += series.lock().push(point.at, point.start, point.value);
                    outcome.accepted += 1;
                }
                None => refuse_unknown(outcome),
            }
        }
        for point in &batch.histograms {
            match self.get(point.series) {
                Some(series) => {
                    let histogram = Arc::new(point.histogram.clone());
                    grown += series.lock().push_histogram(point.at, point.start, histogram);
                    outcome.accepted += 1;
                }
                None => refuse_unknown(outcome),
            }
        }
        for (id, exemplar) in &batch.exemplars {
            if let Some(series) = self.get(*id) {
                series.lock().push_exemplar(exemplar.clone());
            }
        }
        self.bytes.fetch_add(grown, Ordering::Relaxed);
    }

    /// The series that satisfy all matchers, in order of number.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> Vec<(SeriesId, Arc<Mutex<Series>>)> {
        let matching = |number: u32| {
            let series = self.series.get(number as usize)?.as_ref()?;
            Matcher::all_match(matchers, &series.lock().labels)
                .then(|| (SeriesId(u64::from(number)), series.clone()))
        };
        match self.index.candidates(matchers) {
            Some(numbers) => numbers.into_iter().filter_map(matching).collect(),
            None => (0..self.series.len() as u32).filter_map(matching).collect(),
        }
    }

    /// All series with their numbers.
    pub(crate) fn all(&self) -> Vec<(SeriesId, Labels)> {
        let numbered = self.series.iter().enumerate();
        numbered
            .filter_map(|(number, series)| {
                Some((SeriesId(number as u64), series.as_ref()?.lock().labels.clone()))
            })
            .collect()
    }

    /// Forgets the samples of these series at these times, and the series that have none left.
    /// Answers whether a series went.
    pub(crate) fn forget(&mut self, times: FxHashMap<SeriesId, Vec<i64>>) -> bool {
        let (mut freed, mut gone) = (0, Vec::new());
        for (id, mut times) in times {
            let Some(series) = self.get(id) else { continue };
            times.sort_unstable();
            let mut series = series.lock();
            freed += series.forget(&times);
            if series.is_empty() {
                gone.push((id.0 as u32, series.labels.clone()));
            }
        }
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
        for (number, labels) in &gone {
            self.index.remove(labels, *number);
            self.by_labels.remove(labels);
            self.series[*number as usize] = None;
            self.live -= 1;
        }
        !gone.is_empty()
    }
}

fn refuse_unknown(outcome: &mut WriteOutcome) {
    outcome.refuse("unknown_series", || {
        "the sample's series was dropped by retention while the sample was on its way".to_owned()
    });
}
