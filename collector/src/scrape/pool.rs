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
    let mut pool = Pool {
        job,
        shared,
        fetcher,
        stop: stop.clone(),
        running: BTreeMap::new(),
        discovered: None,
        tasks: TaskTracker::new(),
    };
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
            let at = align(&mut aligned, self.shared.clock.now_ms(), interval);
            tokio::select! {
                () = stop.cancelled() => return,
                () = gone.cancelled() => break,
                () = self.scrape(at) => {}
            }
        }
        // At a stop nothing is said: the next start goes on. A target that is gone has ended.
        let shared = self.shared.clone();
        self.ingest.finish(output(&shared), shared.clock.now_ms());
        write(output(&shared), &self.job.name, &mut self.ingest).await;
    }

    async fn scrape(&mut self, at: TimestampMs) {
        let shared = self.shared.clone();
        // The semaphore is never closed.
        let Ok(slot) = shared.slots.acquire().await else { return };
        let started = shared.clock.monotonic();
        let fetched = self.fetcher.fetch(&self.target).await;
        drop(slot);
        let (counts, error) = match fetched {
            Ok(fetched) => {
                let take = || self.ingest.take(output(&shared), &fetched.body, fetched.format, at);
                let (counts, result) = off_loop(fetched.body.len(), take);
                (counts, result.err())
            }
            Err(error) => {
                self.ingest.fail(at);
                (Counts::default(), Some(error))
            }
        };
        let duration = shared.clock.monotonic().saturating_sub(started);
        let is_up = error.is_none();
        self.ingest.report(output(&shared), at, is_up, duration.as_secs_f64(), counts);
        shared.telemetry.scrape(is_up);
        {
            let mut state = self.state.lock();
            let health = if is_up { Health::Up } else { Health::Down };
            let error = error.unwrap_or_default();
            if !is_up && state.last_error != error {
                let (job, url) = (&self.job.name, &self.target.url);
                tracing::debug!(job, %url, error, "a scrape failed");
            }
            (state.health, state.last_error) = (health, error);
            (state.last_scrape, state.last_duration) = (Some(at), duration);
        }
        write(output(&shared), &self.job.name, &mut self.ingest).await;
    }
}

fn output(shared: &Shared) -> Output<'_> {
    let (described, telemetry) = (&shared.described, &shared.telemetry);
    Output { sink: &*shared.sink, described, telemetry }
}

/// Targets take turns: each has its own place in the interval, the same after a restart.
fn first_wait(target: &Target, now: TimestampMs) -> Duration {
    let interval = target.interval.as_millis().max(1) as u64;
    let hash = xxhash_rust::xxh3::xxh3_64(target.identity.to_string().as_bytes());
    let (place, now) = (hash % interval, now.0.rem_euclid(interval as i64) as u64);
    Duration::from_millis((place + interval - now) % interval)
}

/// Timers are a little late; up to this much is put right, so that times lie evenly and the store
/// needs fewer bits for them (Prometheus does the same).
const TOLERANCE_MS_MAX: i64 = 2;

fn align(aligned: &mut Option<TimestampMs>, now: TimestampMs, interval: Duration) -> TimestampMs {
    let interval_ms = (interval.as_millis() as i64).max(1);
    let tolerance_ms = (interval_ms / 100).min(TOLERANCE_MS_MAX);
    let mut expected = aligned.unwrap_or(now);
    let behind = now.0.saturating_sub(expected.0);
    if behind >= interval_ms {
        expected = expected.plus_ms(behind - behind % interval_ms);
    } else if interval_ms - behind <= tolerance_ms {
        // A timer may also be early.
        expected = expected.plus_ms(interval_ms);
    }
    *aligned = Some(expected);
    let off = now.0 - expected.0;
    if off.abs() <= tolerance_ms { expected } else { now }
}
