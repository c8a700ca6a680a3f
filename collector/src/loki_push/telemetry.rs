//! What the door of Loki push tells of itself on `/metrics`.

use model::write::WriteOutcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::rejection::Rejection;
use crate::telemetry::latency_histogram;

/// The label `code`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

/// The label `reason`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Counters of Loki push. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct LokiPushTelemetry {
    requests: Family<CodeLabel, Counter>,
    accepted_items: Counter,
    refused_items: Family<ReasonLabel, Counter>,
    refused_requests: Family<ReasonLabel, Counter>,
    wire_bytes: Counter,
    decoded_bytes: Counter,
    seconds: Histogram,
}

impl LokiPushTelemetry {
    pub(crate) fn register(r: &mut Registry) -> Self {
        let t = LokiPushTelemetry {
            requests: Family::default(),
            accepted_items: Counter::default(),
            refused_items: Family::default(),
            refused_requests: Family::default(),
            wire_bytes: Counter::default(),
            decoded_bytes: Counter::default(),
            seconds: latency_histogram(),
        };
        r.register("signalbox_loki_push_requests", "Pushes answered", t.requests.clone());
        r.register(
            "signalbox_loki_push_accepted_items",
            "Lines that were durable when they were acknowledged",
            t.accepted_items.clone(),
        );
        r.register(
            "signalbox_loki_push_refused_items",
            "Lines refused by reason while the rest of their push was kept",
            t.refused_items.clone(),
        );
        r.register(
            "signalbox_loki_push_refused_requests",
            "Pushes refused whole, by reason",
            t.refused_requests.clone(),
        );
        r.register(
            "signalbox_loki_push_wire_bytes",
            "Bytes of push bodies as sent",
            t.wire_bytes.clone(),
        );
        r.register(
            "signalbox_loki_push_decoded_bytes",
            "Bytes of push bodies after decompression",
            t.decoded_bytes.clone(),
        );
        r.register(
            "signalbox_loki_push_request_seconds",
            "Time from the whole push to its acknowledgement",
            t.seconds.clone(),
        );
        t
    }

    pub(crate) fn request(&self, code: &'static str) {
        self.requests.get_or_create(&CodeLabel { code }).inc();
    }

    pub(crate) fn bytes(&self, wire: usize, decoded: usize) {
        self.wire_bytes.inc_by(wire as u64);
        self.decoded_bytes.inc_by(decoded as u64);
    }

    pub(crate) fn outcome(&self, outcome: &WriteOutcome) {
        self.accepted_items.inc_by(outcome.accepted);
        for refusal in &outcome.refused {
            let label = ReasonLabel { reason: refusal.reason };
            self.refused_items.get_or_create(&label).inc_by(refusal.count);
        }
    }

    pub(crate) fn refused(&self, rejection: &Rejection) {
        self.refused_requests.get_or_create(&ReasonLabel { reason: rejection.reason }).inc();
        tracing::debug!(reason = rejection.reason, "refused a push: {}", rejection.message);
    }

    pub(crate) fn observe_seconds(&self, seconds: f64) {
        self.seconds.observe(seconds);
    }
}
