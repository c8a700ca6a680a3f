//! Scraping: Signalbox asks Prometheus targets for their metrics, on their own schedule.
//!
//! ```text
//!  discovery.rs   static lists and files -> groups of addresses   (looked at again and again)
//!  target.rs      relabelling (relabel.rs) -> targets; each gets a task
//!  pool.rs        one task a target: wait, fetch.rs, ingest.rs, write, report `up`
//!  ingest.rs      text -> SeriesBatch; cache.rs knows lines by their bytes
//! ```
//!
//! Behaviour is that of Prometheus 3: relabelling, `honor_labels`, limits that fail the whole
//! scrape, staleness markers for what vanished, the five series that every target has. All samples
//! of a scrape have one time, so that the store keeps it once. OpenMetrics' `_created` lines become
//! start times of the samples and no series of their own, as with Prometheus's created-timestamp
//! feature.
//!
//! What is bounded: a body ([`Job::body_bytes_max`]), the targets of a job ([`Job::targets_max`]),
//! and the scrapes under way at the same time. A target's cache holds what its last scrapes held.

mod cache;
mod config;
mod discovery;
pub(crate) mod fetch;
mod ingest;
mod md5;
mod pool;
mod relabel;
mod resolve;
mod status;
mod target;
mod telemetry;
mod writer;

use std::sync::Arc;

use model::{Clock, SeriesSink};
use tokio_util::sync::CancellationToken;

use crate::remote_write::described::Described;

pub use crate::exposition::Format as ScrapeFormat;
pub use config::{Auth, FileDiscovery, Job, Secret, SecretSource, TargetGroup, Tls};
pub use relabel::{Action, Relabel, RelabelSettings};
pub use status::{DroppedTarget, Health, ScrapeTargets, TargetStatus};
pub use telemetry::ScrapeTelemetry;

/// Scrapes under way at the same time; others wait for their turn.
const SCRAPES_AT_ONCE: usize = 256;

/// What all targets share.
pub(crate) struct Shared {
    sink: Arc<dyn SeriesSink>,
    clock: Arc<dyn Clock>,
    telemetry: ScrapeTelemetry,
    targets: Arc<ScrapeTargets>,
    described: Described,
    slots: tokio::sync::Semaphore,
}

/// Scrapes the targets of `jobs` until `stop`. `targets` tells how they are.
pub async fn scrape(
    jobs: Vec<Job>,
    sink: Arc<dyn SeriesSink>,
    clock: Arc<dyn Clock>,
    telemetry: ScrapeTelemetry,
    targets: Arc<ScrapeTargets>,
    stop: CancellationToken,
) {
    let slots = tokio::sync::Semaphore::new(SCRAPES_AT_ONCE);
    let described = Described::default();
    let shared = Arc::new(Shared { sink, clock, telemetry, targets, described, slots });
    let mut pools = tokio::task::JoinSet::new();
    for job in jobs {
        pools.spawn(pool::run(Arc::new(job), shared.clone(), stop.clone()));
    }
    while let Some(ended) = pools.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a scrape pool panicked");
        }
    }
}

#[cfg(test)]
mod tests;
