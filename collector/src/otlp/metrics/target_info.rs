//! `target_info`: a series of ones whose labels are the resource's other attributes
//! (Prometheus `storage/remote/otlptranslator/prometheusremotewrite/helper.go`).

use model::TimestampMs;
use model::sample::{MetricKind, MetricMetadata, SeriesId};
use model::write::{FloatPoint, NO_START};

use super::{Mapper, Resource};
use crate::rejection::Rejection;

const NAME: &str = "target_info";

/// Samples of one request between the ends. The times of a request span minutes; where they span
/// years, the ends are enough.
const SAMPLES_MAX: usize = 10_000;

impl Mapper<'_> {
    /// Writes `target_info` from the earliest to the latest time of the resource's points, so often
    /// that an instant query always finds it.
    pub(super) fn target_info(&mut self, resource: &mut Resource<'_>) -> Result<(), Rejection> {
        let Some((earliest, latest)) = resource.times else { return Ok(()) };
        self.key.start(b'T', resource.number);
        let series = if self.door.cache.get(self.key.bytes(), self.generation, &mut self.ids) {
            self.ids.first().copied()
        } else {
            let series = self.new_target_info(resource)?;
            self.key.start(b'T', resource.number);
            let ids: Vec<SeriesId> = series.into_iter().collect();
            self.door.cache.put(self.key.bytes(), self.generation, &ids);
            series
        };
        let Some(series) = series else { return Ok(()) };
        let interval = (self.door.translation.lookback.as_millis() as i64 / 2).max(1);
        let mut at = earliest;
        while at < latest {
            self.put_target_info(series, at);
            if self.told_targets.len() >= SAMPLES_MAX {
                break;
            }
            at = at.plus_ms(interval);
        }
        self.put_target_info(series, latest);
        Ok(())
    }

    /// Resources of one request may have the same `target_info`.
    fn put_target_info(&mut self, series: SeriesId, at: TimestampMs) {
        if self.told_targets.insert((series, at)) {
            self.batch.points.push(FloatPoint { series, at, start: NO_START, value: 1.0 });
        }
    }

    fn new_target_info(
        &mut self,
        resource: &mut Resource<'_>,
    ) -> Result<Option<SeriesId>, Rejection> {
        let translation = self.door.translation;
        let reference = resource.resource;
        let limit = self.door.limits.attributes_max;
        let labels = resource.labels(translation, limit)?;
        let labels = labels.target_info(reference, translation, limit, &mut self.warnings)?;
        let Some(labels) = labels else { return Ok(None) };
        // A full store refuses it as it refuses the points; nobody sent it, so nobody is told.
        let Ok(series) = self.series(&labels, NAME, None)? else { return Ok(None) };
        let metadata = MetricMetadata {
            kind: MetricKind::Gauge,
            help: "Target metadata".to_owned(),
            unit: String::new(),
        };
        self.door.sink.describe(NAME, &metadata);
        Ok(Some(series))
    }
}
