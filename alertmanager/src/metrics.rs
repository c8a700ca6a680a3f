//! What the engine says of itself, under Alertmanager's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IntegrationLabel {
    integration: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// Counters and gauges of the engine. Clones share their values.
#[derive(Debug, Clone, Default)]
pub struct EngineMetrics {
    notifications: Family<IntegrationLabel, Counter>,
    notifications_failed: Family<IntegrationLabel, Counter>,
    alerts: Family<StateLabel, Gauge>,
    alerts_received: Family<StateLabel, Counter>,
    silences: Family<StateLabel, Gauge>,
}

impl EngineMetrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        // The library adds `_total` to counters.
        registry.register(
            "alertmanager_notifications",
            "Notifications that were tried, by integration",
            self.notifications.clone(),
        );
        registry.register(
            "alertmanager_notifications_failed",
            "Notifications that failed, by integration",
            self.notifications_failed.clone(),
        );
        registry.register("alertmanager_alerts", "Alerts by state", self.alerts.clone());
        registry.register(
            "alertmanager_alerts_received",
            "Alerts that were received, by status",
            self.alerts_received.clone(),
        );
        registry.register("alertmanager_silences", "Silences by state", self.silences.clone());
    }

    pub(crate) fn count_outcome(&self, kind: &str, is_ok: bool) {
        let label = IntegrationLabel { integration: kind.to_owned() };
        self.notifications.get_or_create(&label).inc();
        let failed = self.notifications_failed.get_or_create(&label);
        if !is_ok {
            failed.inc();
        }
    }

    pub(crate) fn count_received(&self, is_resolved: bool) {
        let state = if is_resolved { "resolved" } else { "firing" };
        self.alerts_received.get_or_create(&StateLabel { state }).inc();
    }

    pub(crate) fn set_alerts(&self, active: usize, suppressed: usize) {
        for (state, count) in [("active", active), ("suppressed", suppressed)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.alerts.get_or_create(&StateLabel { state }).set(count);
        }
    }

    pub(crate) fn set_silences(&self, counts: [(&'static str, usize); 3]) {
        for (state, count) in counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.silences.get_or_create(&StateLabel { state }).set(count);
        }
    }
}
