//! Running queries: synchronous work on blocking threads, a bounded number at once, stopped when
//! the client goes away.
//!
//! When a client closes its connection, the server drops the future that waits here. The guard in
//! it then cancels the query's context, and the evaluation ends at its next check. The slot is freed
//! only when the evaluation really ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream::{self, StreamExt as _};
use model::read::{Cancel, Threads};
use model::{Clock, ErrorKind, QueryContext, QueryLimits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::error::{Error, Result};
use crate::json::{CHUNK_BYTES, Json, Sink};
use crate::state::ApiOptions;
use crate::telemetry::Telemetry;

/// Runs queries.
pub(crate) struct Runner {
    slots: Arc<Semaphore>,
    concurrent_max: usize,
    queue_timeout: Duration,
    limits: QueryLimits,
    threads: Threads,
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

/// How many chunks of an answer wait for a client that reads slowly.
const CHUNKS_MAX: usize = 4;

/// Bytes under construction.
pub(crate) struct Chunks {
    written: Vec<u8>,
    sink: Sink,
}

impl Chunks {
    /// Appends, and hands over what is long enough. Waits while too much is not taken yet.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.written.extend_from_slice(bytes);
        if self.written.len() >= CHUNK_BYTES {
            self.sink.send(std::mem::take(&mut self.written).into());
        }
    }
}

/// Cancels a query when it is dropped before its end.
struct CancelOnDrop {
    cancel: Cancel,
    telemetry: Telemetry,
    is_done: Arc<AtomicBool>,
}

/// What a query needs to run.
struct Started {
    slot: OwnedSemaphorePermit,
    context: QueryContext,
    guard: CancelOnDrop,
    asked: Duration,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if !self.is_done.load(Ordering::Relaxed) {
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
            threads: Threads::new(options.query_threads),
            clock,
            telemetry,
        }
    }

    /// Waits for a slot.
    async fn start(&self, timeout: Option<Duration>) -> Result<Started> {
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
        let context =
            QueryContext::new(limits, self.clock.clone()).with_threads(self.threads.clone());
        let guard = CancelOnDrop {
            cancel: context.cancel_handle(),
            telemetry: self.telemetry.clone(),
            is_done: Arc::default(),
        };
        Ok(Started { slot, context, guard, asked })
    }

    /// Runs `work` on a thread that may block; whoever waits for it holds the guard.
    fn spawn<T: Send + 'static>(
        &self,
        started: Started,
        work: impl FnOnce(&QueryContext, Timing) -> T + Send + 'static,
    ) -> (CancelOnDrop, tokio::task::JoinHandle<T>) {
        let Started { slot, context, guard, asked } = started;
        let (clock, telemetry) = (self.clock.clone(), self.telemetry.clone());
        let is_done = guard.is_done.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let began = clock.monotonic();
            telemetry.running.inc();
            let _running = Decrement(&telemetry);
            let outcome = work(&context, Timing { queued: began.saturating_sub(asked), began });
            telemetry.seconds.observe(clock.monotonic().saturating_sub(began).as_secs_f64());
            telemetry.count("done");
            is_done.store(true, Ordering::Relaxed);
            outcome
        });
        (guard, task)
    }

    /// Runs `work` with a context whose timeout is the configured one, or `timeout` if that is
    /// shorter.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        timeout: Option<Duration>,
        work: impl FnOnce(&QueryContext, Timing) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let started = self.start(timeout).await?;
        let (guard, task) = self.spawn(started, work);
        let outcome = task.await;
        guard.is_done.store(true, Ordering::Relaxed);
        outcome.map_err(defect)?
    }

    /// As [`Runner::run`] for work that writes JSON: a long answer is sent while it is written, so
    /// that no more than some chunks of it are in memory. What fails before the first chunk is an
    /// error; after that the answer breaks off, and so does the connection.
    pub(crate) async fn respond(
        &self,
        timeout: Option<Duration>,
        work: impl FnOnce(&QueryContext, Timing, &mut Json) -> Result<()> + Send + 'static,
    ) -> Result<Body> {
        self.send_while_written(timeout, move |context, timing, sink| {
            let mut json = Json::with_sink(sink);
            work(context, timing, &mut json)?;
            if json.is_abandoned() {
                return Err(not_taken());
            }
            Ok(json.finish().into())
        })
        .await
    }

    /// As [`Runner::respond`] for work that writes bytes.
    pub(crate) async fn respond_bytes(
        &self,
        timeout: Option<Duration>,
        work: impl FnOnce(&QueryContext, &mut Chunks) -> Result<()> + Send + 'static,
    ) -> Result<Body> {
        self.send_while_written(timeout, move |context, _, sink| {
            let mut chunks = Chunks { written: Vec::new(), sink };
            work(context, &mut chunks)?;
            if chunks.sink.is_gone() {
                return Err(not_taken());
            }
            Ok(chunks.written.into())
        })
        .await
    }

    /// Runs `work`, which hands over what is written and answers the rest.
    async fn send_while_written(
        &self,
        timeout: Option<Duration>,
        work: impl FnOnce(&QueryContext, Timing, Sink) -> Result<Bytes> + Send + 'static,
    ) -> Result<Body> {
        let started = self.start(timeout).await?;
        let (first, first_chunk) = oneshot::channel();
        let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
        let runtime = tokio::runtime::Handle::current();
        let (guard, task) = self.spawn(started, move |context, timing| {
            work(context, timing, Sink::new(runtime, first, sender))
        });
        if first_chunk.await.is_err() {
            // Over before there was a chunk: all of it is here.
            let outcome = task.await;
            guard.is_done.store(true, Ordering::Relaxed);
            return Ok(outcome.map_err(defect)??.into());
        }
        let state = (Some(task), chunks, guard);
        let body = stream::unfold(state, async |(mut task, mut chunks, guard)| {
            if let Some(chunk) = chunks.recv().await {
                return Some((Ok::<Bytes, Error>(chunk), (task, chunks, guard)));
            }
            // The writer is gone. The rest is what its task answers.
            let rest = match task.take()?.await {
                Ok(rest) => rest,
                Err(error) => Err(defect(error)),
            };
            Some((rest, (None, chunks, guard)))
        });
        // Who compresses it asks again after the end.
        Ok(Body::from_stream(body.fuse()))
    }

    /// Time on the monotonic clock.
    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// What breaks an answer off of which pieces are missing.
fn not_taken() -> Error {
    let message = "the client took nothing of the answer for too long";
    model::Error::new(ErrorKind::Canceled, message).into()
}

fn defect(error: tokio::task::JoinError) -> Error {
    tracing::error!(%error, "a query panicked");
    Error::Defect
}

/// Takes one off the number of running queries, also after a panic.
struct Decrement<'a>(&'a Telemetry);

impl Drop for Decrement<'_> {
    fn drop(&mut self) {
        self.0.running.dec();
    }
}

#[cfg(test)]
mod tests {
    use axum::body::HttpBody as _;
    use http_body_util::BodyExt as _;
    use model::ManualClock;
    use prometheus_client::registry::Registry;

    use super::*;

    fn runner() -> Runner {
        let telemetry = Telemetry::register(&mut Registry::default());
        Runner::new(&ApiOptions::default(), Arc::new(ManualClock::default()), telemetry)
    }

    fn write_numbers(json: &mut Json, count: usize) {
        json.array(0..count, |json, number| json.raw_fmt(format_args!("{number}")));
    }

    #[tokio::test]
    async fn a_long_answer_arrives_whole_in_pieces_and_a_short_one_at_once() {
        for (count, is_long) in [(3, false), (200_000, true)] {
            let runner = runner();
            let body = runner.respond(None, move |_, _, json| {
                write_numbers(json, count);
                Ok(())
            });
            let body = body.await.unwrap();
            assert_eq!(body.size_hint().exact().is_none(), is_long);
            let bytes = body.collect().await.unwrap().to_bytes();
            let numbers: Vec<usize> = serde_json::from_slice(&bytes).unwrap();
            assert!(numbers.into_iter().eq(0..count));
        }
    }

    #[tokio::test]
    async fn the_end_of_a_long_answer_may_be_asked_for_again() {
        let runner = runner();
        let body = runner.respond(None, |_, _, json| {
            write_numbers(json, 200_000);
            Ok(())
        });
        let mut body = body.await.unwrap();
        while body.frame().await.is_some() {}
        // As the compression of answers does.
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn what_fails_before_the_first_piece_is_an_error_and_after_it_breaks_the_answer_off() {
        let fails = |count| {
            move |_: &QueryContext, _: Timing, json: &mut Json| {
                write_numbers(json, count);
                Err(Error::BadRequest("no".into()))
            }
        };
        assert!(runner().respond(None, fails(3)).await.is_err());
        let body = runner().respond(None, fails(200_000)).await.unwrap();
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn an_answer_that_was_not_taken_in_time_breaks_off() {
        let runner = runner();
        let body = runner.respond(None, |_, _, json| {
            while !json.is_abandoned() {
                write_numbers(json, 100_000);
            }
            Ok(())
        });
        let body = body.await.unwrap();
        // The query gives its slot back when it has waited long enough.
        drop(runner.slots.acquire_many(runner.concurrent_max as u32).await.unwrap());
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn a_client_that_leaves_stops_the_query() {
        let runner = runner();
        let (ended, has_ended) = oneshot::channel();
        let body = runner.respond(None, move |context, _, json| {
            while !json.is_abandoned() {
                write_numbers(json, 100_000);
            }
            ended.send(context.check().is_err()).ok();
            Ok(())
        });
        drop(body.await.unwrap());
        assert!(has_ended.await.unwrap());
    }
}
