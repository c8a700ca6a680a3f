//! Series over a budget: found when they are made, and their samples replaced by those of the series
//! that they are folded into.

use model::admin::Overflow;
use model::sample::{MetricKind, SeriesId};
use model::write::{SeriesBatch, UNKNOWN_SERIES, WriteOutcome};

use crate::block::fingerprint;
use crate::budget::{self, metric_of};
use crate::error::{Error, Result};
use crate::store::{Live, Tsdb};

impl Tsdb {
    /// Folds a series that is one too many into another.
    pub(super) fn fold(
        &self,
        live: &mut Live,
        budget: &'static str,
        labels: &[(&str, &str)],
    ) -> Result<SeriesId> {
        let metric = metric_of(labels);
        let limit = self.options.series_max;
        if live.folds.len() >= self.options.folded_series_max {
            return Err(Error::SeriesLimit { limit });
        }
        let now = self.clock.now_ms().0;
        let Live { head, folds, .. } = live;
        let values_max = self.options.values_per_label_max;
        let hottest = |taken: &[String]| {
            let skips =
                |name: &str| budget::is_structural(name) || taken.iter().any(|label| label == name);
            // Over the budget of a label, that label is the hot one, whatever the metric.
            let over = labels.iter().find(|(name, _)| {
                budget == "label"
                    && !skips(name)
                    && head.catalogue.value_count(name) as usize >= values_max
            });
            match over {
                Some((name, _)) => {
                    Some(((*name).to_owned(), u64::from(head.catalogue.value_count(name))))
                }
                // A metric that has no series yet tells nothing: then the label with most values.
                None => head.catalogue.hottest_label(metric, skips).or_else(|| {
                    let own = labels.iter().filter(|(name, _)| !skips(name));
                    let counted = own.map(|(name, _)| (*name, head.catalogue.value_count(name)));
                    let (name, count) = counted.max_by_key(|(_, count)| *count)?;
                    Some((name.to_owned(), u64::from(count)))
                }),
            }
        };
        let Some(folded) = folds.labels_to_fold(metric, budget, now, hottest) else {
            return Err(Error::SeriesLimit { limit });
        };
        let replaced: Vec<(&str, &str)> = labels
            .iter()
            .map(|(name, value)| {
                let is_hot = folded.iter().any(|hot| hot == name);
                (*name, if is_hot { budget::OVERFLOW } else { *value })
            })
            .collect();
        let hash = fingerprint(replaced.iter().copied());
        let known = live.head.catalogue.find(hash, &replaced);
        let series = match known {
            Some(slot) => live.head.id(slot),
            // Folding may make some series over the budget, or it could not begin.
            None if live.head.catalogue.len() < limit.saturating_add(limit / 10 + 1000) => {
                live.create(hash, &replaced)
            }
            None => return Err(Error::SeriesLimit { limit }),
        };
        let stored = known.and_then(|slot| {
            let chunk = &live.head.series.get(slot as usize)?.chunk;
            (chunk.count > 0).then(|| f64::from_bits(chunk.xor.last))
        });
        let kind = live.head.metadata.get(metric).map(|metadata| metadata.kind);
        let is_counter = match kind {
            Some(MetricKind::Gauge) => false,
            Some(MetricKind::Counter) => true,
            _ => budget::looks_like_counter(metric),
        };
        Ok(live.folds.add(labels, series, is_counter, stored, known.is_none()))
    }

    /// Series that are folded now, and samples that were folded since the start.
    pub(crate) fn folded(&self) -> (u64, u64) {
        let live = self.live.read();
        (live.folds.len() as u64, live.folds.samples)
    }

    /// Budgets that were reached, and what was folded.
    pub fn overflows(&self) -> Vec<Overflow> {
        self.live.read().folds.overflows()
    }
}

impl Live {
    /// The batch without samples of folded series, with samples of the series they are folded into.
    pub(super) fn unfold(
        &mut self,
        batch: &SeriesBatch,
        outcome: &mut WriteOutcome,
    ) -> SeriesBatch {
        let mut unfolded = SeriesBatch::default();
        let mut taken = Vec::new();
        for point in &batch.points {
            if !budget::is_folded(point.series) {
                unfolded.points.push(*point);
            } else if self.folds.take(point) {
                outcome.accepted += 1;
                taken.push(point.series);
            } else {
                outcome.refuse(UNKNOWN_SERIES, || "a folded series was forgotten".to_owned());
            }
        }
        let due = self.folds.due(taken.into_iter());
        // They are counted when they are applied; the sender did not send them.
        outcome.accepted = outcome.accepted.saturating_sub(due.len() as u64);
        unfolded.points.extend(due);
        for point in &batch.histograms {
            if budget::is_folded(point.series) {
                outcome.refuse("series_limit", || {
                    "a native histogram of a series over its budget can not be folded".to_owned()
                });
            } else {
                unfolded.histograms.push(point.clone());
            }
        }
        let kept = batch.exemplars.iter().filter(|(id, _)| !budget::is_folded(*id));
        unfolded.exemplars.extend(kept.cloned());
        unfolded
    }
}
