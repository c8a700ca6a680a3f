//! The store of one test: samples of the input come in as time goes on, rules write theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::read::{QueryLimits, RangeMs};
use model::sample::{MetricMetadata, SeriesId};
use model::write::{SeriesBatch, WriteOutcome};
use model::{Commit, Labels, ManualClock, NativeHistogram, QueryContext, SeriesSink, TimestampMs};
use parking_lot::{Mutex, RwLock};
use query::promql::memory::MemorySeries;
use query::promql::script::{self, Item};
use query::promql::{self, EvalOptions, Evaluation};
use rules::Language;

use super::file::InputSeries;
use crate::rule_query;

/// Series in memory that rules read and write.
pub(super) struct TestStore {
    series: RwLock<MemorySeries>,
    known: Mutex<Known>,
    options: EvalOptions,
}

#[derive(Default)]
struct Known {
    ids: BTreeMap<Labels, SeriesId>,
    /// The labels and the time of the last sample of each id.
    series: Vec<(Labels, i64)>,
}

impl TestStore {
    /// An empty store; a subquery without a step has that of the evaluations.
    pub(super) fn new(evaluation_interval_ms: i64) -> Self {
        let subquery_step_ms = evaluation_interval_ms;
        TestStore {
            series: RwLock::default(),
            known: Mutex::default(),
            options: EvalOptions { subquery_step_ms, ..EvalOptions::default() },
        }
    }

    /// Adds a sample unless its series has one as late: as Prometheus, the first one stays.
    fn push(&self, id: SeriesId, at_ms: i64, sample: Sample) {
        let mut known = self.known.lock();
        let index = usize::try_from(id.0).unwrap_or(usize::MAX);
        let Some((labels, last_ms)) = known.series.get_mut(index) else { return };
        if at_ms <= *last_ms {
            return;
        }
        *last_ms = at_ms;
        let mut series = self.series.write();
        match sample {
            Sample::Float(value) => series.push(labels, at_ms, 0, value),
            Sample::Histogram(histogram) => series.push_histogram(labels, at_ms, histogram),
        }
    }

    /// Evaluates an expression at an instant.
    pub(super) fn evaluate(&self, expr: &str, at: TimestampMs) -> Result<Evaluation, String> {
        let expr = promql::parse(expr).map_err(|error| error.to_string())?;
        let series = self.series.read();
        promql::evaluate_instant(&expr, at, &*series, &self.options, &context())
            .map_err(|error| error.to_string())
    }
}

enum Sample {
    Float(f64),
    Histogram(NativeHistogram),
}

fn context() -> QueryContext {
    QueryContext::new(QueryLimits::default(), Arc::new(ManualClock::default()))
}

impl rules::RuleQuery for TestStore {
    fn instant(
        &self,
        language: Language,
        expr: &str,
        at: TimestampMs,
    ) -> model::Result<Vec<(Labels, f64)>> {
        if language != Language::Promql {
            let message = "tests of rules have series and no logs: this rule can not be tested";
            return Err(model::Error::bad_request(message));
        }
        let series = self.series.read();
        rule_query::instant_samples(&*series, expr, at, &self.options, &context())
    }
}

impl SeriesSink for TestStore {
    fn series_of(&self, labels: &[(&str, &str)]) -> model::Result<SeriesId> {
        let labels = Labels::from_pairs(labels.iter().copied());
        let mut known = self.known.lock();
        if let Some(id) = known.ids.get(&labels) {
            return Ok(*id);
        }
        let id = SeriesId(known.series.len() as u64);
        known.series.push((labels.clone(), i64::MIN));
        known.ids.insert(labels, id);
        Ok(id)
    }

    fn generation(&self) -> u64 {
        1
    }

    fn accepted_times(&self) -> RangeMs {
        RangeMs::ALL
    }

    fn describe(&self, _metric: &str, _metadata: &MetricMetadata) {}

    fn append(&self, batch: &SeriesBatch) -> model::Result<(WriteOutcome, Commit)> {
        for point in &batch.points {
            self.push(point.series, point.at.0, Sample::Float(point.value));
        }
        for point in &batch.histograms {
            let histogram = point.histogram.clone();
            self.push(point.series, point.at.0, Sample::Histogram(histogram));
        }
        Ok((WriteOutcome::default(), Commit::done()))
    }
}

/// The samples of the input that have not come yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// With each series, its samples and the first one that has not come.
    series: BTreeMap<Labels, (Vec<Item>, usize)>,
    start_ms: i64,
    interval_ms: i64,
}

impl Input {
    /// Reads the notation of series. Of lines of one series the last counts, as in promtool.
    pub(super) fn read(
        written: &[InputSeries],
        start: TimestampMs,
        interval_ms: i64,
    ) -> Result<Input, String> {
        let mut series = BTreeMap::new();
        for line in written {
            let in_series = |problem: String| format!("input series {:?}: {problem}", line.series);
            let (labels, rest) = script::read_series(line.series.trim()).map_err(in_series)?;
            let values = format!("{rest} {}", line.values.as_deref().unwrap_or_default());
            let items = script::read_values(&values).map_err(in_series)?;
            series.insert(labels, (items, 0));
        }
        Ok(Input { series, start_ms: start.0, interval_ms })
    }

    /// Moves the samples up to `until` into the store.
    pub(super) fn feed(&mut self, store: &TestStore, until: TimestampMs) -> model::Result<()> {
        for (labels, (items, next)) in &mut self.series {
            let id = store.series(labels)?;
            while let Some(item) = items.get(*next) {
                let steps = i64::try_from(*next).unwrap_or(i64::MAX);
                let at_ms = self.start_ms.saturating_add(self.interval_ms.saturating_mul(steps));
                if at_ms > until.0 {
                    break;
                }
                match item {
                    Item::Missing => {}
                    Item::Float(value) => store.push(id, at_ms, Sample::Float(*value)),
                    Item::Histogram(histogram, _) => {
                        store.push(id, at_ms, Sample::Histogram(histogram.clone()));
                    }
                }
                *next += 1;
            }
        }
        Ok(())
    }
}
