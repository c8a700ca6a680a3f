//! What the server does on a clock: rules, RED flushes, retention, and the numbers of the stores.

use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use rules::{Manager, RedMetrics};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::server::Stores;

/// Rule groups that are evaluated at the same time.
const RULE_GROUPS_AT_ONCE: usize = 8;

/// How often the stores look whether they are over their bounds. The look is cheap, and much can
/// arrive in a second.
const RETENTION_EVERY: Duration = Duration::from_millis(200);

/// Evaluates rule groups when they are due, each on a blocking thread, so that a slow group does not
/// hold up the others.
pub(crate) async fn evaluate_rules(
    manager: Arc<Manager>,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(RULE_GROUPS_AT_ONCE));
    loop {
        let wait_ms = match manager.next_due() {
            Some(due) => due.0.saturating_sub(clock.now_ms().0).clamp(1, 1000),
            None => 1000,
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())) => {}
        }
        for group in manager.due(clock.now_ms()) {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let clock = clock.clone();
            tasks.spawn_blocking(move || {
                group.evaluate(clock.now_ms());
                drop(slot);
            });
        }
    }
}

/// Writes RED metrics every `every` and once more at the end.
pub(crate) async fn flush_red(
    red: Arc<RedMetrics>,
    stores: Arc<Stores>,
    clock: Arc<dyn Clock>,
    every: Duration,
    stop: CancellationToken,
) {
    let mut ticks = interval(every.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let is_last = tokio::select! {
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let (red, stores, clock) = (red.clone(), stores.clone(), clock.clone());
        let flush = tokio::task::spawn_blocking(move || red.flush(clock.now_ms(), &*stores.series));
        match flush.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "writing RED metrics failed; retrying later"),
            Err(error) => tracing::error!(%error, "the RED flush panicked"),
        }
        if is_last {
            return;
        }
    }
}

/// Calls `work` on a blocking thread every [`RETENTION_EVERY`], one call at a time. After a failure,
/// such as a full disk, it waits longer.
async fn repeat<W>(what: &'static str, stop: CancellationToken, work: W)
where
    W: Fn() -> Result<(), String> + Clone + Send + 'static,
{
    let mut ticks = interval(RETENTION_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match tokio::task::spawn_blocking(work.clone()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!("{what} failed, trying again: {error}");
                ticks.reset_after(RETENTION_RETRY);
            }
            Err(error) => tracing::error!(%error, "{what} panicked"),
        }
    }
}

/// Keeps the store of traces within its bounds.
pub(crate) async fn enforce_retention(stores: Arc<Stores>, stop: CancellationToken) {
    let work = move || stores.spans.enforce_retention().map_err(|error| error.to_string());
    repeat("enforcing retention of traces", stop, work).await;
}

/// Lets the log store seal what it holds in memory.
pub(crate) async fn seal_logs(stores: Arc<Stores>, stop: CancellationToken) {
    let work = move || stores.logs.seal_due().map_err(|error| error.to_string());
    repeat("sealing logs", stop, work).await;
}

/// Lets the log store merge, rewrite and drop parts, which may take long.
pub(crate) async fn maintain_logs(stores: Arc<Stores>, stop: CancellationToken) {
    let work = move || stores.logs.maintain().map_err(|error| error.to_string());
    repeat("maintenance of the log store", stop, work).await;
}

/// Lets the time-series store seal, merge and write its head down, which may take long.
pub(crate) async fn maintain_series(stores: Arc<Stores>, stop: CancellationToken) {
    let work = move || stores.series.maintain().map_err(|error| error.to_string());
    repeat("maintenance of the metrics store", stop, work).await;
}

/// How long after a failure the next look is.
const RETENTION_RETRY: Duration = Duration::from_secs(2);
