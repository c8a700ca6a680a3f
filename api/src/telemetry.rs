//! What the read edge tells of itself on `/metrics`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The label `outcome`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabel {
    outcome: &'static str,
}

/// Counters of the read edge. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    queries: Family<OutcomeLabel, Counter>,
    pub(crate) running: Gauge,
    pub(crate) seconds: Histogram,
    pub(crate) tails: Gauge,
    pub(crate) tails_refused: Counter,
}

impl Telemetry {
    /// Makes the counters and registers them.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let telemetry = Telemetry {
            queries: Family::default(),
            running: Gauge::default(),
            seconds: Histogram::new(exponential_buckets(0.001, 2.0, 17)),
            tails: Gauge::default(),
            tails_refused: Counter::default(),
        };
        let t = &telemetry;
        registry.register(
            "signalbox_queries",
            "Queries by outcome: done, busy (no slot became free) or canceled (the client left).",
            t.queries.clone(),
        );
        registry.register(
            "signalbox_queries_running",
            "Queries that run, at most queries_concurrent_max.",
            t.running.clone(),
        );
        registry.register(
            "signalbox_query_seconds",
            "Time of a query without its wait for a slot.",
            t.seconds.clone(),
        );
        registry.register("signalbox_tails_open", "Open log tails.", t.tails.clone());
        registry.register(
            "signalbox_tails_refused",
            "Log tails refused because tails_max were open.",
            t.tails_refused.clone(),
        );
        telemetry
    }

    pub(crate) fn count(&self, outcome: &'static str) {
        self.queries.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}
