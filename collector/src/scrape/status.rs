//! How the targets are, for who asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, TimestampMs};
use parking_lot::Mutex;

use super::target::Target;

/// Whether the last scrape of a target worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// There was none.
    #[default]
    Unknown,
    /// It did.
    Up,
    /// It did not.
    Down,
}

impl Health {
    /// The word of Prometheus's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// A target that is scraped.
#[derive(Debug, Clone)]
pub struct TargetStatus {
    /// The job's name in the configuration.
    pub pool: String,
    /// Before relabelling.
    pub discovered_labels: Labels,
    /// After it.
    pub labels: Labels,
    /// What is asked.
    pub scrape_url: String,
    /// From scrape to scrape.
    pub interval: Duration,
    /// What a scrape may take.
    pub timeout: Duration,
    /// Of the last scrape.
    pub health: Health,
    /// Of the last scrape; empty if it worked.
    pub last_error: String,
    /// When the last scrape began.
    pub last_scrape: Option<TimestampMs>,
    /// How long it took.
    pub last_duration: Duration,
}

/// A target that relabelling dropped.
#[derive(Debug, Clone)]
pub struct DroppedTarget {
    /// The job's name in the configuration.
    pub pool: String,
    /// Before relabelling.
    pub discovered_labels: Labels,
}

/// The state of one target, which its task writes.
pub(super) type State = Arc<Mutex<TargetStatus>>;

pub(super) fn new_state(pool: &str, target: &Target) -> State {
    Arc::new(Mutex::new(TargetStatus {
        pool: pool.to_owned(),
        discovered_labels: target.discovered.clone(),
        labels: target.labels.clone(),
        scrape_url: target.url.to_string(),
        interval: target.interval,
        timeout: target.timeout,
        health: Health::Unknown,
        last_error: String::new(),
        last_scrape: None,
        last_duration: Duration::ZERO,
    }))
}

/// Dropped targets that are remembered of a job.
const DROPPED_MAX: usize = 1000;

#[derive(Default)]
struct Pool {
    active: Vec<State>,
    dropped: Vec<Labels>,
    dropped_count: usize,
}

/// All targets of all jobs.
#[derive(Default)]
pub struct ScrapeTargets(Mutex<BTreeMap<String, Pool>>);

impl ScrapeTargets {
    /// What is scraped, in order of job.
    pub fn active(&self) -> Vec<TargetStatus> {
        let pools = self.0.lock();
        pools.values().flat_map(|pool| &pool.active).map(|state| state.lock().clone()).collect()
    }

    /// What relabelling dropped, in order of job; of each job the first thousand.
    pub fn dropped(&self) -> Vec<DroppedTarget> {
        let pools = self.0.lock();
        let of_pool = |(pool, state): (&String, &Pool)| {
            let to_dropped = |labels: &Labels| DroppedTarget {
                pool: pool.clone(),
                discovered_labels: labels.clone(),
            };
            state.dropped.iter().map(to_dropped).collect::<Vec<_>>()
        };
        pools.iter().flat_map(of_pool).collect()
    }

    /// How many targets relabelling dropped, by job.
    pub fn dropped_counts(&self) -> BTreeMap<String, usize> {
        self.0.lock().iter().map(|(pool, state)| (pool.clone(), state.dropped_count)).collect()
    }

    pub(super) fn set(&self, pool: &str, active: Vec<State>, mut dropped: Vec<Labels>) {
        let dropped_count = dropped.len();
        dropped.truncate(DROPPED_MAX);
        self.0.lock().insert(pool.to_owned(), Pool { active, dropped, dropped_count });
    }
}
