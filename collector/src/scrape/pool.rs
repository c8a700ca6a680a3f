//! The targets of one job: found again and again, each scraped by a task of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, TimestampMs};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::config::Job;
use super::discovery::Files;
use super::fetch::Fetcher;
use super::ingest::{Counts, Ingest, Output};
use super::status::{Health, State, new_state};
use super::target::{Target, to_target};
use super::writer::write;
use crate::otlp::receiver::off_loop;

/// Files are small and reading them is cheap, so an edit need not wait for `refresh_interval`.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(5);

/// A target that is being scraped.
struct Running {
    gone: CancellationToken,
    state: State,
}

/// Finds and scrapes the targets of `job` until `stop`.
pub(super) async fn run(job: Arc<Job>, shared: Arc<Shared>, stop: CancellationToken) {
    let fetcher = match Fetcher::new(&job) {
        Ok(fetcher) => Arc::new(fetcher),
        Err(error) => {
            tracing::error!(job = job.name, error, "the job can not be scraped");
            return;
        }
    };
    let mut pool = Pool { job, shared, fetcher, stop: stop.clone(), ..Pool::idle() };
    let looks = pool.job.file_discovery.iter().map(|files| files.refresh_interval);
    let every = looks.min().map(|every| every.clamp(Duration::from_millis(100), LOOK_EVERY_MAX));
    let mut files = Files::default();
    loop {
        if every.is_some() {
            let (job, telemetry) = (pool.job.clone(), pool.shared.telemetry.clone());
            let read = tokio::task::spawn_blocking(move || {
                files.refresh(&job, &telemetry);
                files
            });
            match read.await {
                Ok(read) => files = read,
                Err(error) => {
                    tracing::error!(job = pool.job.name, %error, "reading target files panicked");
                    break;
                }
            }
        }
        pool.set_targets(files.discovered(&pool.job));
        match every {
            None => stop.cancelled().await,
            Some(every) => tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(every) => {}
            },
        }
        if stop.is_cancelled() {
            break;
        }
    }
    pool.tasks.close();
    pool.tasks.wait().await;
}

struct Pool {
    job: Arc<Job>,
    shared: Arc<Shared>,
    fetcher: Arc<Fetcher>,
    stop: CancellationToken,
    running: BTreeMap<Labels, Running>,
    discovered: Option<Vec<Labels>>,
    tasks: TaskTracker,
}

impl Pool {
    /// Scrapes what is new and ends what is gone.
    fn set_targets(&mut self, discovered: Vec<Labels>) {
        if self.discovered.as_ref() == Some(&discovered) {
            return;
        }
        let (mut targets, mut dropped) = (BTreeMap::new(), Vec::new());
        let mut refused = None;
        for labels in &discovered {
            match to_target(&self.job, labels.clone()) {
                Ok(Some(target)) => drop(targets.insert(target.identity.clone(), target)),
                Ok(None) => dropped.push(labels.clone()),
                Err(error) => refused = Some(format!("{labels}: {error}")),
            }
        }
        let job = &self.job.name;
        if let Some(error) = refused {
            tracing::warn!(job, "a target can not be scraped: {error}");
        }
        let over = targets.len().saturating_sub(self.job.targets_max);
        if over > 0 {
            self.shared.telemetry.targets_over_limit.inc_by(over as u64);
            let limit = self.job.targets_max;
            tracing::error!(job, over, limit, "targets over scrape.targets_max are not scraped");
            while targets.len() > limit {
                targets.pop_last();
            }
        }
        self.discovered = Some(discovered);
        let before = self.running.len();
        self.running.retain(|identity, running| {
            let is_kept = targets.contains_key(identity);
            if !is_kept {
                running.gone.cancel();
            }
            is_kept
        });
        for (identity, target) in targets {
            if !self.running.contains_key(&identity) {
                let running = self.start(target);
                self.running.insert(identity, running);
            }
        }
        let change = self.running.len() as i64 - before as i64;
        self.shared.telemetry.targets.inc_by(change);
        let active = self.running.values().map(|running| running.state.clone()).collect();
        self.shared.targets.set(&self.job.name, active, dropped);
    }

    fn start(&self, target: Target) -> Running {
        let target = Arc::new(target);
        let gone = CancellationToken::new();
        let state = new_state(&self.job.name, &target);
        let scraper = Scraper {
            shared: self.shared.clone(),
            fetcher: self.fetcher.clone(),
            ingest: Ingest::new(self.job.clone(), target.clone()),
            job: self.job.clone(),
            target,
            state: state.clone(),
        };
        self.tasks.spawn(scraper.run(gone.clone(), self.stop.clone()));
        Running { gone, state }
    }
}

/// The task of one target.
struct Scraper {
    shared: Arc<Shared>,
    fetcher: Arc<Fetcher>,
    job: Arc<Job>,
    target: Arc<Target>,
    ingest: Ingest,
    state: State,
}

impl Scraper {
    async fn run(mut self, gone: CancellationToken, stop: CancellationToken) {
        let interval = self.target.interval;
        let first = first_wait(&self.target, self.shared.clock.now_ms());
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + first, interval);
        // A scrape that took too long makes the next one wait for its own time.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut aligned: Option<TimestampMs> = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = gone.cancelled() => break,
                _ = ticks.tick() => {}
            }
            let Ok(slot) = self.shared.slots.acquire().await else { return };
            let at = align(&mut aligned, self.shared.clock.now_ms(), interval);
            let fetched = tokio::select! {
                () = stop.cancelled() => return,
                () = gone.cancelled() => break,
                fetched = self.fetch() => fetched,
            };
            drop(slot);
            self.keep(at, fetched).await;
        }
        // At a stop nothing is said: the next start goes on. A target that is gone has ended.
        let output = self.output();
        self.ingest.finish(output, self.shared.clock.now_ms());
        write(&self.shared, &self.job.name, &self.ingest.batch).await;
    }
}
