//! What is scraped, for the API of Prometheus.

use std::collections::BTreeMap;
use std::sync::Arc;

use collector::scrape::ScrapeTargets;
use model::Labels;

/// The targets of the collector and the jobs of the configuration.
pub(crate) struct Scraped {
    pub(crate) targets: Arc<ScrapeTargets>,
    /// Names of the jobs.
    pub(crate) pools: Vec<String>,
    /// The configuration, secrets masked.
    pub(crate) config_text: String,
}

impl api::ScrapeStatus for Scraped {
    fn pools(&self) -> Vec<String> {
        self.pools.clone()
    }

    fn active(&self) -> Vec<api::ActiveTarget> {
        let to_active = |target: collector::scrape::TargetStatus| api::ActiveTarget {
            pool: target.pool,
            discovered_labels: target.discovered_labels,
            labels: target.labels,
            scrape_url: target.scrape_url,
            interval: target.interval,
            timeout: target.timeout,
            health: target.health.as_str(),
            last_error: target.last_error,
            last_scrape: target.last_scrape,
            last_duration: target.last_duration,
        };
        self.targets.active().into_iter().map(to_active).collect()
    }

    fn dropped(&self) -> Vec<(String, Labels)> {
        let dropped = self.targets.dropped().into_iter();
        dropped.map(|target| (target.pool, target.discovered_labels)).collect()
    }

    fn dropped_counts(&self) -> BTreeMap<String, usize> {
        self.targets.dropped_counts()
    }

    fn pool_config(&self, pool: &str) -> Option<String> {
        let config: serde_json::Value = serde_saphyr::from_str(&self.config_text).ok()?;
        let jobs = config.get("scrape")?.get("scrape_configs")?.as_array()?;
        let job = jobs.iter().find(|job| job["job_name"] == pool)?;
        serde_saphyr::to_string(job).ok()
    }
}
