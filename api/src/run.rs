//! Running queries: synchronous work on blocking threads, a bounded number at once, stopped when
//! the client goes away.
//!
//! When a client closes its connection, the server drops the future that waits here. The guard in
//! it then cancels the query's context, and the evaluation ends at its next check. The slot is freed
//! only when the evaluation really ended.

use std::sync::Arc;
use std::time::Duration;

use model::read::Cancel;
use model::{Clock, QueryContext, QueryLimits};
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::state::ApiOptions;
use crate::telemetry::Telemetry;

/// Runs queries.
pub(crate) struct Runner {
    slots: Arc<Semaphore>,
    concurrent_max: usize,
    queue_timeout: Duration,
    limits: QueryLimits,
    clock: Arc<dyn Clock>,
    telemetry: Telemetry,
}

/// How long a query took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// The wait for a slot.
    pub(crate) queued: Duration,
    /// When the query began, on the monotonic clock.
    pub(crate) began: Duration,
}

/// Cancels a query when it is dropped before its end.
struct CancelOnDrop {
    cancel: Cancel,
    telemetry: Telemetry,
    is_done: bool,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if !self.is_done {
            self.cancel.cancel();
            self.telemetry.count("canceled");
        }
    }
}

impl Runner {
    pub(crate) fn new(options: &ApiOptions, clock: Arc<dyn Clock>, telemetry: Telemetry) -> Self {
        Runner {
            slots: Arc::new(Semaphore::new(options.queries_concurrent_max)),
            concurrent_max: options.queries_concurrent_max,
            queue_timeout: options.queue_timeout,
            limits: options.limits,
            clock,
            telemetry,
        }
    }

    /// Runs `work` with a context whose timeout is the configured one, or `timeout` if that is
    /// shorter.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        timeout: Option<Duration>,
        work: impl FnOnce(&QueryContext, Timing) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let asked = self.clock.monotonic();
        let slot = tokio::time::timeout(self.queue_timeout, self.slots.clone().acquire_owned());
        let Ok(Ok(slot)) = slot.await else {
            self.telemetry.count("busy");
            return Err(Error::Busy {
                concurrent_max: self.concurrent_max,
                waited: self.queue_timeout,
            });
        };
        let mut limits = self.limits;
        limits.timeout = timeout.map_or(limits.timeout, |timeout| timeout.min(limits.timeout));
        let context = QueryContext::new(limits, self.clock.clone());
        let mut guard = CancelOnDrop {
            cancel: context.cancel_handle(),
            telemetry: self.telemetry.clone(),
            is_done: false,
        };
        let (clock, telemetry) = (self.clock.clone(), self.telemetry.clone());
        let joined = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let began = clock.monotonic();
            telemetry.running.inc();
            let _running = Decrement(&telemetry);
            let outcome = work(&context, Timing { queued: began.saturating_sub(asked), began });
            telemetry.seconds.observe(clock.monotonic().saturating_sub(began).as_secs_f64());
            outcome
        });
        let outcome = joined.await.map_err(|error| {
            tracing::error!(%error, "a query panicked");
            Error::Defect
        });
        guard.is_done = true;
        self.telemetry.count("done");
        outcome?
    }

    /// Time on the monotonic clock.
    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// Takes one off the number of running queries, also after a panic.
struct Decrement<'a>(&'a Telemetry);

impl Drop for Decrement<'_> {
    fn drop(&mut self) {
        self.0.running.dec();
    }
}
