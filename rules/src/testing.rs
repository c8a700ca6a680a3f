//! A sink and a query for tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::sample::{Exemplar, MetricMetadata, SeriesId, is_stale};
use model::write::{SeriesBatch, UNKNOWN_SERIES, WriteOutcome};
use model::{Commit, Labels, SeriesSink, TimestampMs};
use parking_lot::Mutex;

use crate::file::Language;
use crate::manager::RuleQuery;

/// Keeps every sample.
#[derive(Default)]
pub(crate) struct MemorySink {
    inner: Mutex<Inner>,
    pub(crate) is_broken: AtomicBool,
    /// Gives all series other ids at the next append, as a store does that has loaded.
    pub(crate) forgets: AtomicBool,
    generation: AtomicU64,
}

#[derive(Default)]
struct Inner {
    series: Vec<Labels>,
    points: Vec<(Labels, TimestampMs, f64)>,
    starts: Vec<TimestampMs>,
    exemplars: Vec<(Labels, Exemplar)>,
}

impl MemorySink {
    /// The samples written at `at` as text, sorted; a staleness marker is `stale`.
    pub(crate) fn at(&self, at: TimestampMs) -> Vec<String> {
        let inner = self.inner.lock();
        let points = inner.points.iter().filter(|(_, when, _)| *when == at);
        let mut lines: Vec<String> = points
            .map(|(labels, _, value)| match is_stale(*value) {
                true => format!("{labels} stale"),
                false => format!("{labels} {value}"),
            })
            .collect();
        lines.sort();
        lines
    }

    pub(crate) fn exemplars(&self) -> Vec<(Labels, Exemplar)> {
        self.inner.lock().exemplars.clone()
    }

    pub(crate) fn starts(&self) -> Vec<TimestampMs> {
        self.inner.lock().starts.clone()
    }
}

impl SeriesSink for MemorySink {
    fn series_of(&self, labels: &[(&str, &str)]) -> model::Result<SeriesId> {
        let labels = Labels::from_pairs(labels.iter().copied());
        let mut inner = self.inner.lock();
        let index = inner.series.iter().position(|known| *known == labels).unwrap_or_else(|| {
            inner.series.push(labels.clone());
            inner.series.len() - 1
        });
        Ok(SeriesId(index as u64))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn accepted_times(&self) -> model::read::RangeMs {
        model::read::RangeMs::ALL
    }

    fn describe(&self, _metric: &str, _metadata: &MetricMetadata) {}

    fn append(&self, batch: &SeriesBatch) -> model::Result<(WriteOutcome, Commit)> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(model::Error::unavailable("the disk is full"));
        }
        let mut inner = self.inner.lock();
        if self.forgets.swap(false, Ordering::SeqCst) {
            self.generation.fetch_add(1, Ordering::SeqCst);
            inner.series = vec![Labels::from_pairs([("__name__", "another")])];
            let mut outcome = WriteOutcome::default();
            outcome.refuse(UNKNOWN_SERIES, || "a series is gone".to_owned());
            return Ok((outcome, Commit::done()));
        }
        for point in &batch.points {
            let labels = inner.series[point.series.0 as usize].clone();
            inner.points.push((labels, point.at, point.value));
            inner.starts.push(point.start);
        }
        for (series, exemplar) in &batch.exemplars {
            let labels = inner.series[series.0 as usize].clone();
            inner.exemplars.push((labels, exemplar.clone()));
        }
        Ok((WriteOutcome::default(), Commit::done()))
    }
}

/// Answers what it was told to answer; an expression without an answer fails.
#[derive(Default)]
pub(crate) struct FakeQuery(Mutex<BTreeMap<String, Vec<(Labels, f64)>>>);

impl FakeQuery {
    pub(crate) fn answer(&self, expr: &str, samples: &[(&[(&str, &str)], f64)]) {
        let samples = samples
            .iter()
            .map(|(labels, value)| (Labels::from_pairs(labels.iter().copied()), *value))
            .collect();
        self.0.lock().insert(expr.to_owned(), samples);
    }

    pub(crate) fn fail(&self, expr: &str) {
        self.0.lock().remove(expr);
    }
}

impl RuleQuery for FakeQuery {
    fn instant(
        &self,
        _language: Language,
        expr: &str,
        _at: TimestampMs,
    ) -> model::Result<Vec<(Labels, f64)>> {
        let answer = self.0.lock().get(expr).cloned();
        answer.ok_or_else(|| model::Error::unavailable("query timed out"))
    }
}
