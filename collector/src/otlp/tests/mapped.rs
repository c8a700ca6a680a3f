//! A mapper with all it needs, and what it made of a request.

use model::TimestampMs;
use model::write::{SeriesBatch, WriteOutcome};
use prometheus_client::metrics::counter::Counter;
use prost::Message;
use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use proto::generated::opentelemetry::proto::metrics::v1::Metric;
use proto::otlp::MetricsRef;

use super::sinks::*;
use crate::otlp::delta::DeltaSums;
use crate::otlp::metrics::{Door, Mapper, warnings::Warnings};
use crate::otlp::series::SeriesCache;
use crate::{Limits, Translation};

/// What a receiver keeps between requests.
pub(super) struct Shelf {
    pub(super) memory: Memory,
    cache: SeriesCache,
    limits: Limits,
    translation: Translation,
    sums: DeltaSums,
    pub(super) now: TimestampMs,
}

impl Shelf {
    pub(super) fn new(translation: Translation) -> Self {
        Shelf {
            memory: Memory::default(),
            cache: SeriesCache::new(1 << 20, Counter::default()),
            limits: Limits::default(),
            sums: DeltaSums::new(translation.delta_max_streams, translation.delta_max_stale),
            translation,
            now: NOW,
        }
    }

    pub(super) fn mapper(&self) -> Mapper<'_> {
        Mapper::new(Door {
            sink: &self.memory,
            cache: &self.cache,
            limits: &self.limits,
            translation: &self.translation,
            sums: &self.sums,
            now: self.now,
        })
    }

    pub(super) fn map(
        &self,
        request: &ExportMetricsServiceRequest,
    ) -> (SeriesBatch, WriteOutcome, Warnings) {
        let bytes = request.encode_to_vec();
        let mut mapper = self.mapper();
        mapper.map(MetricsRef::new(&bytes)).unwrap();
        mapper.finish()
    }
}

/// What a request became.
pub(super) struct Mapped {
    pub(super) memory: Memory,
    pub(super) batch: SeriesBatch,
    pub(super) outcome: WriteOutcome,
    pub(super) warnings: Vec<(&'static str, u64)>,
}

impl Mapped {
    /// `labels value` of each sample, without the labels of the resource.
    pub(super) fn samples(&self) -> Vec<String> {
        let all = self.all_samples().into_iter();
        all.filter(|sample| !sample.starts_with("target_info")).collect()
    }

    /// The same with `target_info`.
    pub(super) fn all_samples(&self) -> Vec<String> {
        let series = self.memory.series.lock();
        let points = self.batch.points.iter().map(|point| {
            let labels = series[point.series.0 as usize].without(&[
                "job",
                "instance",
                "service_name",
                "service_namespace",
                "service_instance_id",
            ]);
            format!("{labels} {}", point.value)
        });
        points.collect()
    }
}

pub(super) fn map(metrics_sent: Vec<Metric>) -> Mapped {
    map_with(Translation::default(), &metrics(metrics_sent))
}

pub(super) fn map_with(translation: Translation, request: &ExportMetricsServiceRequest) -> Mapped {
    let shelf = Shelf::new(translation);
    let (batch, outcome, warnings) = shelf.map(request);
    // The second pass takes the series from the cache and must say the same.
    let (again, outcome_again, _) = shelf.map(request);
    let points = |batch: &SeriesBatch| {
        let points = batch.points.iter();
        points.map(|p| (p.series, p.at, p.start, p.value.to_bits())).collect::<Vec<_>>()
    };
    assert_eq!(points(&batch), points(&again));
    assert_eq!(again.histograms.len(), batch.histograms.len());
    assert_eq!(again.exemplars, batch.exemplars);
    assert_eq!(outcome_again, outcome);
    let warnings = warnings.iter().map(|(category, count, _)| (category, count)).collect();
    Mapped { memory: shelf.memory, batch, outcome, warnings }
}
