//! The loop that brings due notifications to their deliverers.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use model::{Clock, TimestampMs};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::notification::Notification;
use crate::notify::{Deliver, Deliverers, DeliveryError};

/// How [`run`] behaves.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Deliveries at the same time; others wait.
    pub in_flight_max: usize,
    /// How long deliveries that are under way may take after the stop.
    pub stop_grace: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions { in_flight_max: 64, stop_grace: Duration::from_secs(5) }
    }
}

/// The loop never sleeps longer, so that a clock that is set is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(10);
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Delivers what is due until `stop` resolves. Deliveries that are under way then get the grace
/// period; one that does not finish is made again after the next start.
pub async fn run(
    engine: Arc<Engine>,
    deliverers: Deliverers,
    clock: Arc<dyn Clock>,
    options: RunOptions,
    stop: impl Future<Output = ()> + Send,
) {
    let wake = Arc::new(Notify::new());
    let waker = wake.clone();
    engine.on_change(move || waker.notify_one());
    let permits = Arc::new(Semaphore::new(options.in_flight_max.max(1)));
    let mut deliveries = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let now = clock.now_ms();
        for notification in due(engine.clone(), now).await {
            let (engine, clock, permits) = (engine.clone(), clock.clone(), permits.clone());
            let deliver = deliverers.get(&notification.integration);
            deliveries.spawn(deliver_one(engine, clock, permits, deliver, notification));
        }
        while deliveries.try_join_next().is_some() {}
        let wait_ms = engine.next_due().0.saturating_sub(clock.now_ms().0).max(1);
        let wait = Duration::from_millis(wait_ms.unsigned_abs()).min(SLEEP_MAX);
        tokio::select! {
            () = &mut stop => break,
            () = wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    let finished = async { while deliveries.join_next().await.is_some() {} };
    if tokio::time::timeout(options.stop_grace, finished).await.is_err() {
        tracing::warn!("stopped with deliveries under way, they are made again after a start");
    }
}

/// Asks the engine on a thread that may wait for the disk.
async fn due(engine: Arc<Engine>, now: TimestampMs) -> Vec<Notification> {
    let asked = tokio::task::spawn_blocking(move || engine.due(now)).await;
    match asked {
        Ok(Ok(notifications)) => notifications,
        Ok(Err(error)) => {
            tracing::error!(%error, "notifications are late");
            // The disk may come back; asking without a pause would only fill the log.
            tokio::time::sleep(Duration::from_secs(1)).await;
            Vec::new()
        }
        Err(error) => {
            tracing::error!(%error, "looking for notifications failed");
            Vec::new()
        }
    }
}

async fn deliver_one(
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    permits: Arc<Semaphore>,
    deliver: Option<Arc<dyn Deliver>>,
    notification: Notification,
) {
    let outcome = match deliver {
        None => Err("no deliverer for this integration".to_owned()),
        Some(deliver) => {
            let budget_ms = notification.try_until.0.saturating_sub(clock.now_ms().0).max(0);
            let budget = Duration::from_millis(budget_ms.unsigned_abs());
            let tries = try_until_done(deliver.as_ref(), &permits, &notification);
            tokio::time::timeout(budget, tries)
                .await
                .unwrap_or_else(|_| Err("not delivered within the group interval".to_owned()))
        }
    };
    let finished = tokio::task::spawn_blocking(move || {
        engine.finish(&notification, outcome.as_ref().copied().map_err(String::as_str));
    });
    if let Err(error) = finished.await {
        tracing::error!(%error, "keeping the outcome of a notification failed");
    }
}

async fn try_until_done(
    deliver: &dyn Deliver,
    permits: &Semaphore,
    notification: &Notification,
) -> Result<(), String> {
    let mut pause = BACKOFF_FIRST;
    loop {
        // Held for one try only: who waits for a broken receiver must not keep others waiting.
        let permit = permits.acquire().await.map_err(|e| e.to_string())?;
        let outcome = deliver.deliver(notification).await;
        drop(permit);
        match outcome {
            Ok(()) => return Ok(()),
            Err(DeliveryError { retryable: false, message }) => return Err(message),
            Err(DeliveryError { message, .. }) => {
                tracing::warn!(
                    receiver = notification.integration.receiver,
                    integration = notification.integration.kind,
                    message,
                    "notification is tried again"
                );
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(BACKOFF_MAX);
    }
}
