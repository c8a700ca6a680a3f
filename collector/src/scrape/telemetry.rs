//! What scraping tells of itself on `/metrics`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Counters of scraping. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct ScrapeTelemetry {
    scrapes: Family<OutcomeLabel, Counter>,
    refused_samples: Family<ReasonLabel, Counter>,
    samples: Counter,
    pub(super) dropped_batches: Counter,
    pub(super) discovery_failures: Counter,
    pub(super) targets_over_limit: Counter,
    pub(super) targets: Gauge,
}

impl ScrapeTelemetry {
    /// Makes the counters and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let t = ScrapeTelemetry::default();
        let r = registry;
        r.register("signalbox_scrape_scrapes", "Scrapes by outcome", t.scrapes.clone());
        r.register(
            "signalbox_scrape_samples",
            "Samples that were durable when their scrape ended",
            t.samples.clone(),
        );
        r.register(
            "signalbox_scrape_refused_samples",
            "Samples refused by reason while the rest of their scrape was kept",
            t.refused_samples.clone(),
        );
        r.register(
            "signalbox_scrape_dropped_batches",
            "Scrapes whose samples the store did not take",
            t.dropped_batches.clone(),
        );
        r.register(
            "signalbox_scrape_discovery_failures",
            "Readings of target files that failed",
            t.discovery_failures.clone(),
        );
        r.register(
            "signalbox_scrape_targets_over_limit",
            "Targets that were not scraped because their job has too many",
            t.targets_over_limit.clone(),
        );
        r.register("signalbox_scrape_targets", "Targets being scraped", t.targets.clone());
        t
    }

    pub(super) fn scrape(&self, is_up: bool) {
        let outcome = if is_up { "success" } else { "failure" };
        self.scrapes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(super) fn accepted(&self, count: u64) {
        self.samples.inc_by(count);
    }

    pub(super) fn refused(&self, reason: &'static str, count: u64) {
        self.refused_samples.get_or_create(&ReasonLabel { reason }).inc_by(count);
    }
}
