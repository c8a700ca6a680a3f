//! What the write edge tells of itself on `/metrics`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use proto::Signal;

use crate::loki_push::telemetry::LokiPushTelemetry;
use crate::otlp::metrics::warnings::Warnings;
use crate::remote_write::telemetry::RemoteWriteTelemetry;

/// The label `signal`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SignalLabel {
    signal: &'static str,
}

/// The labels `signal` and `reason`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusedLabels {
    signal: &'static str,
    reason: &'static str,
}

/// The labels `signal`, `transport` and `code`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    signal: &'static str,
    transport: &'static str,
    code: &'static str,
}

/// The label `category`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CategoryLabel {
    category: &'static str,
}

/// The label value of a signal.
pub(crate) fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "traces",
        Signal::Metrics => "metrics",
        Signal::Logs => "logs",
    }
}

/// Counters of the write edge. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Telemetry {
    requests: Family<RequestLabels, Counter>,
    received_items: Family<SignalLabel, Counter>,
    accepted_items: Family<SignalLabel, Counter>,
    refused_items: Family<RefusedLabels, Counter>,
    refused_requests: Family<RefusedLabels, Counter>,
    wire_bytes: Family<SignalLabel, Counter>,
    decoded_bytes: Family<SignalLabel, Counter>,
    seconds: Family<SignalLabel, Histogram, fn() -> Histogram>,
    translation_warnings: Family<CategoryLabel, Counter>,
    pub(crate) series_cache_evictions: Counter,
    pub(crate) in_flight_bytes: Gauge,
    pub(crate) remote_write: RemoteWriteTelemetry,
    pub(crate) loki_push: LokiPushTelemetry,
    cut_lines: Counter,
}

pub(crate) fn latency_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

impl Telemetry {
    /// Makes the counters and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let telemetry = Telemetry {
            requests: Family::default(),
            received_items: Family::default(),
            accepted_items: Family::default(),
            refused_items: Family::default(),
            refused_requests: Family::default(),
            wire_bytes: Family::default(),
            decoded_bytes: Family::default(),
            seconds: Family::new_with_constructor(latency_histogram),
            translation_warnings: Family::default(),
            series_cache_evictions: Counter::default(),
            in_flight_bytes: Gauge::default(),
            remote_write: RemoteWriteTelemetry::register(registry),
            loki_push: LokiPushTelemetry::register(registry),
            cut_lines: Counter::default(),
        };
        let t = &telemetry;
        let r = registry;
        r.register("signalbox_otlp_requests", "OTLP requests answered", t.requests.clone());
        r.register(
            "signalbox_otlp_received_items",
            "Spans, data points and log records in decoded requests",
            t.received_items.clone(),
        );
        r.register(
            "signalbox_otlp_accepted_items",
            "Items that were durable when they were acknowledged",
            t.accepted_items.clone(),
        );
        r.register(
            "signalbox_otlp_refused_items",
            "Items refused by reason while the rest of their request was kept",
            t.refused_items.clone(),
        );
        r.register(
            "signalbox_otlp_refused_requests",
            "Requests refused whole, by reason",
            t.refused_requests.clone(),
        );
        r.register(
            "signalbox_otlp_wire_bytes",
            "Bytes of request bodies as sent",
            t.wire_bytes.clone(),
        );
        r.register(
            "signalbox_otlp_decoded_bytes",
            "Bytes of request bodies after decompression",
            t.decoded_bytes.clone(),
        );
        r.register(
            "signalbox_otlp_request_seconds",
            "Time from the whole request to its acknowledgement",
            t.seconds.clone(),
        );
        r.register(
            "signalbox_otlp_in_flight_bytes",
            "Bytes of requests being worked on",
            t.in_flight_bytes.clone(),
        );
        r.register(
            "signalbox_otlp_translation_warnings",
            "Oddities of metrics that were kept all the same, by category",
            t.translation_warnings.clone(),
        );
        r.register(
            "signalbox_otlp_series_cache_evictions",
            "Generations of a shard of the series cache that were dropped to stay within its limit",
            t.series_cache_evictions.clone(),
        );
        r.register(
            "signalbox_log_lines_cut",
            "Log lines that were longer than the limit and kept without their ends",
            t.cut_lines.clone(),
        );
        telemetry
    }

    /// Counts what happened to log lines of a request, by whichever door it came.
    pub(crate) fn lines(&self, outcome: &model::write::WriteOutcome) {
        self.cut_lines.inc_by(outcome.cut);
    }

    pub(crate) fn request(&self, signal: Signal, transport: &'static str, code: &'static str) {
        let labels = RequestLabels { signal: signal_name(signal), transport, code };
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn bytes(&self, signal: Signal, wire: usize, decoded: usize) {
        let label = SignalLabel { signal: signal_name(signal) };
        self.wire_bytes.get_or_create(&label).inc_by(wire as u64);
        self.decoded_bytes.get_or_create(&label).inc_by(decoded as u64);
    }

    pub(crate) fn outcome(&self, signal: Signal, outcome: &model::write::WriteOutcome) {
        let label = SignalLabel { signal: signal_name(signal) };
        let refused = outcome.refused_count();
        self.received_items.get_or_create(&label).inc_by(outcome.accepted + refused);
        self.accepted_items.get_or_create(&label).inc_by(outcome.accepted);
        self.lines(outcome);
        for refusal in &outcome.refused {
            let labels = RefusedLabels { signal: signal_name(signal), reason: refusal.reason };
            self.refused_items.get_or_create(&labels).inc_by(refusal.count);
        }
    }

    pub(crate) fn warnings(&self, warnings: &Warnings) {
        for (category, count, _) in warnings.iter() {
            self.translation_warnings.get_or_create(&CategoryLabel { category }).inc_by(count);
        }
    }

    pub(crate) fn refused(&self, signal: Signal, reason: &'static str) {
        let labels = RefusedLabels { signal: signal_name(signal), reason };
        self.refused_requests.get_or_create(&labels).inc();
    }

    pub(crate) fn observe_seconds(&self, signal: Signal, seconds: f64) {
        let label = SignalLabel { signal: signal_name(signal) };
        self.seconds.get_or_create(&label).observe(seconds);
    }
}
