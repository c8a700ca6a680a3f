//! What the remote-write door tells of itself on `/metrics`.

use model::write::WriteOutcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Version;
use crate::rejection::Rejection;
use crate::telemetry::latency_histogram;

/// The label `version`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: &'static str,
}

/// The labels `version` and `reason`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    version: &'static str,
    reason: &'static str,
}

/// The labels `version` and `code`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    version: &'static str,
    code: &'static str,
}

/// The labels `version` and `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ItemLabels {
    version: &'static str,
    kind: &'static str,
}

/// Counters of remote write. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct RemoteWriteTelemetry {
    requests: Family<RequestLabels, Counter>,
    accepted_items: Family<ItemLabels, Counter>,
    refused_items: Family<RefusedLabels, Counter>,
    refused_requests: Family<RefusedLabels, Counter>,
    wire_bytes: Family<VersionLabel, Counter>,
    decoded_bytes: Family<VersionLabel, Counter>,
    seconds: Family<VersionLabel, Histogram, fn() -> Histogram>,
}

impl RemoteWriteTelemetry {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let t = RemoteWriteTelemetry {
            requests: Family::default(),
            accepted_items: Family::default(),
            refused_items: Family::default(),
            refused_requests: Family::default(),
            wire_bytes: Family::default(),
            decoded_bytes: Family::default(),
            seconds: Family::new_with_constructor(latency_histogram),
        };
        let r = registry;
        r.register(
            "signalbox_remote_write_requests",
            "Remote-write requests answered",
            t.requests.clone(),
        );
        r.register(
            "signalbox_remote_write_accepted_items",
            "Samples, histograms and exemplars that were durable when they were acknowledged",
            t.accepted_items.clone(),
        );
        r.register(
            "signalbox_remote_write_refused_items",
            "Items refused by reason while the rest of their request was kept",
            t.refused_items.clone(),
        );
        r.register(
            "signalbox_remote_write_refused_requests",
            "Requests refused whole, by reason",
            t.refused_requests.clone(),
        );
        r.register(
            "signalbox_remote_write_wire_bytes",
            "Bytes of request bodies as sent",
            t.wire_bytes.clone(),
        );
        r.register(
            "signalbox_remote_write_decoded_bytes",
            "Bytes of request bodies after decompression",
            t.decoded_bytes.clone(),
        );
        r.register(
            "signalbox_remote_write_request_seconds",
            "Time from the whole request to its acknowledgement",
            t.seconds.clone(),
        );
        t
    }

    pub(crate) fn request(&self, version: Version, code: &'static str) {
        let labels = RequestLabels { version: version.as_str(), code };
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn bytes(&self, version: Version, wire: usize, decoded: usize) {
        let label = VersionLabel { version: version.as_str() };
        self.wire_bytes.get_or_create(&label).inc_by(wire as u64);
        self.decoded_bytes.get_or_create(&label).inc_by(decoded as u64);
    }

    pub(crate) fn outcome(&self, version: Version, outcome: &WriteOutcome) {
        let version = version.as_str();
        let kinds = [
            ("sample", outcome.accepted.saturating_sub(outcome.histograms)),
            ("histogram", outcome.histograms),
            ("exemplar", outcome.exemplars),
        ];
        for (kind, count) in kinds {
            self.accepted_items.get_or_create(&ItemLabels { version, kind }).inc_by(count);
        }
        for refusal in &outcome.refused {
            let labels = RefusedLabels { version, reason: refusal.reason };
            self.refused_items.get_or_create(&labels).inc_by(refusal.count);
        }
    }

    pub(crate) fn refused(&self, version: Version, rejection: &Rejection) {
        let labels = RefusedLabels { version: version.as_str(), reason: rejection.reason };
        self.refused_requests.get_or_create(&labels).inc();
        tracing::debug!(
            version = version.as_str(),
            reason = rejection.reason,
            "refused a remote-write request: {}",
            rejection.message
        );
    }

    pub(crate) fn observe_seconds(&self, version: Version, seconds: f64) {
        let label = VersionLabel { version: version.as_str() };
        self.seconds.get_or_create(&label).observe(seconds);
    }
}
