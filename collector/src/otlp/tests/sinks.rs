//! Sinks that keep everything in memory, and requests to send to them.

use std::sync::Arc;

use model::labels::Labels;
use model::read::{RangeMs, RangeNs};
use model::sample::{MetricMetadata, SeriesId};
use model::write::{LogBatch, SeriesBatch, SpanBatch, SpanObserver, UNKNOWN_SERIES, WriteOutcome};
use model::{Commit, Error, ErrorKind, LogSink, ManualClock, SeriesSink, SpanSink, TimestampMs};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use proto::generated::opentelemetry::proto::collector::{logs, metrics, trace};
use proto::generated::opentelemetry::proto::common::v1::{AnyValue, KeyValue, any_value};
use proto::generated::opentelemetry::proto::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use proto::generated::opentelemetry::proto::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use proto::generated::opentelemetry::proto::resource::v1::Resource;
use proto::generated::opentelemetry::proto::trace::v1::{ResourceSpans, ScopeSpans, Span};

use crate::{Limits, Receiver, Sinks, Telemetry, Translation};

pub(crate) const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
pub(crate) const NOW_NS: u64 = 1_700_000_000_000_000_000;

/// A log record as it arrived: stream, line, fields.
pub(crate) type LogSeen = (String, String, Vec<(String, String)>);

/// Keeps what it is given; fails as it is told.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) series: Mutex<Vec<Labels>>,
    pub(crate) batches: Mutex<Vec<SeriesBatch>>,
    pub(crate) metadata: Mutex<Vec<(String, MetricMetadata)>>,
    pub(crate) logs: Mutex<Vec<LogSeen>>,
    pub(crate) spans: Mutex<Vec<(String, String)>>,
    pub(crate) observed: Mutex<usize>,
    /// What every append answers.
    pub(crate) failure: Mutex<Option<ErrorKind>>,
    /// Forgets all series at the next append, as a store does whose retention ran meanwhile.
    pub(crate) forgets: Mutex<bool>,
    pub(crate) generation: Mutex<u64>,
    /// What every commit resolves to.
    pub(crate) commit_failure: Mutex<Option<ErrorKind>>,
}

impl Memory {
    fn fail(&self) -> model::Result<Commit> {
        if let Some(kind) = *self.failure.lock() {
            return Err(Error::new(kind, "the store says no"));
        }
        let (promise, commit) = Commit::pending();
        promise.resolve(match *self.commit_failure.lock() {
            Some(kind) => Err(Error::new(kind, "the disk says no")),
            None => Ok(()),
        });
        Ok(commit)
    }
}

impl SeriesSink for Memory {
    fn series_of(&self, labels: &[(&str, &str)]) -> model::Result<SeriesId> {
        let labels = Labels::from_pairs(labels.iter().copied());
        let mut series = self.series.lock();
        let found = series.iter().position(|known| *known == labels);
        let number = found.unwrap_or_else(|| {
            series.push(labels.clone());
            series.len() - 1
        });
        Ok(SeriesId(number as u64))
    }

    fn generation(&self) -> u64 {
        *self.generation.lock()
    }

    fn accepted_times(&self) -> RangeMs {
        RangeMs { start: TimestampMs(0), end: NOW.plus_ms(600_000) }
    }

    fn describe(&self, metric: &str, metadata: &MetricMetadata) {
        self.metadata.lock().push((metric.to_owned(), metadata.clone()));
    }

    fn append(&self, batch: &SeriesBatch) -> model::Result<(WriteOutcome, Commit)> {
        let commit = self.fail()?;
        let mut outcome = WriteOutcome::default();
        if std::mem::take(&mut *self.forgets.lock()) {
            *self.generation.lock() += 1;
            self.series.lock().clear();
            outcome.refuse(UNKNOWN_SERIES, || "a series is gone".to_owned());
            return Ok((outcome, commit));
        }
        let mut kept = batch.clone();
        let mut keep = |at: TimestampMs| {
            let is_kept = at >= self.accepted_times().start && at <= self.accepted_times().end;
            match is_kept {
                true => outcome.accepted += 1,
                false => outcome.refuse("too_old", || format!("{at} is too old")),
            }
            is_kept
        };
        kept.points.retain(|point| keep(point.at));
        let floats = kept.points.len() as u64;
        kept.histograms.retain(|point| keep(point.at));
        outcome.histograms = outcome.accepted - floats;
        outcome.exemplars = kept.exemplars.len() as u64;
        self.batches.lock().push(kept);
        Ok((outcome, commit))
    }
}

impl LogSink for Memory {
    fn append(&self, batch: &LogBatch<'_>) -> model::Result<(WriteOutcome, Commit)> {
        let commit = self.fail()?;
        let mut outcome = WriteOutcome::default();
        for group in &batch.groups {
            for record in &batch.records[group.records.start as usize..group.records.end as usize] {
                let fields = [&group.shared, &record.fields].into_iter().flat_map(|range| {
                    batch.fields[range.start as usize..range.end as usize].iter()
                });
                let fields = fields.map(|f| (f.name.to_string(), f.value.to_string())).collect();
                self.logs.lock().push((group.stream.to_string(), record.line.to_string(), fields));
                outcome.accepted += 1;
            }
        }
        Ok((outcome, commit))
    }
}

impl SpanSink for Memory {
    fn accepted_starts(&self) -> RangeNs {
        RangeNs { start: model::TimestampNs(1), end: NOW.plus_ms(600_000).to_ns() }
    }

    fn append(&self, batch: &SpanBatch<'_>) -> model::Result<(WriteOutcome, Commit)> {
        let commit = self.fail()?;
        for span in &batch.spans {
            let service = batch.resource_str(span, "service.name").unwrap_or_default();
            self.spans.lock().push((service.to_owned(), span.name.to_owned()));
        }
        let accepted = batch.spans.len() as u64;
        Ok((WriteOutcome { accepted, ..Default::default() }, commit))
    }
}

impl SpanObserver for Memory {
    fn observe(&self, batch: &SpanBatch<'_>) {
        *self.observed.lock() += batch.spans.len();
    }
}

/// A receiver in front of memory, with its registry.
pub(crate) struct Bench {
    pub(crate) memory: Arc<Memory>,
    pub(crate) receiver: Arc<Receiver>,
    registry: Registry,
}

impl Bench {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::with(limits, Translation::default())
    }

    pub(crate) fn with(limits: Limits, translation: Translation) -> Self {
        let memory = Arc::new(Memory::default());
        let sinks = Sinks {
            series: memory.clone(),
            logs: memory.clone(),
            spans: memory.clone(),
            observer: memory.clone(),
        };
        let mut registry = Registry::default();
        let telemetry = Telemetry::register(&mut registry);
        let clock = Arc::new(ManualClock::at(NOW));
        let receiver = Arc::new(Receiver::new(sinks, limits, translation, telemetry, clock));
        Bench { memory, receiver, registry }
    }

    /// Takes an OTLP request of metrics.
    pub(crate) async fn export_metrics(&self, body: Vec<u8>) -> WriteOutcome {
        let (signal, format) = (proto::Signal::Metrics, crate::otlp::receiver::Format::Protobuf);
        let encoding = crate::body::Encoding::Identity;
        let reservation = self.receiver.reservation();
        let exported =
            self.receiver.export(signal, format, encoding, body.into(), reservation).await;
        exported.unwrap().outcome
    }

    /// The value of a counter, 0 if it was never touched.
    pub(crate) fn counter(&self, series: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
            .unwrap_or_default()
    }
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) }),
        ..Default::default()
    }
}

pub(crate) fn resource() -> Option<Resource> {
    let attributes = vec![
        text("service.name", "shop"),
        text("service.namespace", "eu"),
        text("service.instance.id", "i1"),
        text("process.pid", "7"),
    ];
    Some(Resource { attributes, ..Default::default() })
}

pub(crate) fn span(id: u8) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![id; 8],
        name: format!("op{id}"),
        start_time_unix_nano: NOW_NS,
        end_time_unix_nano: NOW_NS + 5,
        ..Default::default()
    }
}

pub(crate) fn traces(spans: Vec<Span>) -> trace::v1::ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    trace::v1::ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(),
            scope_spans,
            ..Default::default()
        }],
    }
}

pub(crate) fn logs(log_records: Vec<LogRecord>) -> logs::v1::ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { log_records, ..Default::default() }];
    logs::v1::ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource(),
            scope_logs,
            ..Default::default()
        }],
    }
}

pub(crate) fn metrics(metrics: Vec<Metric>) -> metrics::v1::ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { metrics, ..Default::default() }];
    metrics::v1::ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource(),
            scope_metrics,
            ..Default::default()
        }],
    }
}

pub(crate) fn point(value: i64) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: NOW_NS,
        value: Some(number_data_point::Value::AsInt(value)),
        ..Default::default()
    }
}

pub(crate) fn gauge(name: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    Metric {
        name: name.to_owned(),
        data: Some(metric::Data::Gauge(Gauge { data_points })),
        ..Default::default()
    }
}
