//! What both framings share: one request in, one outcome or one refusal out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use model::write::{SpanObserver, WriteOutcome, append_resolved};
use model::{Clock, Commit, ErrorKind, LogSink, SeriesSink, SpanSink};
use proto::Signal;
use proto::otlp::{LogsRef, MetricsRef, TracesRef};

use crate::body::{self, Encoding};
use crate::limits::Limits;
use crate::otlp::delta::DeltaSums;
use crate::otlp::metrics::warnings::Warnings;
use crate::otlp::series::SeriesCache;
use crate::otlp::translation::Translation;
use crate::otlp::{logs, metrics, traces};
use crate::rejection::Rejection;
use crate::remote_write::described::Described;
use crate::telemetry::{Telemetry, signal_name};

/// Where items go.
#[derive(Clone)]
pub struct Sinks {
    /// Takes samples.
    pub series: Arc<dyn SeriesSink>,
    /// Takes log records.
    pub logs: Arc<dyn LogSink>,
    /// Takes spans.
    pub spans: Arc<dyn SpanSink>,
    /// Sees every durable span.
    pub observer: Arc<dyn SpanObserver>,
}

/// The receiver of OTLP and of remote write. Shared by all connections.
pub struct Receiver {
    pub(crate) sinks: Sinks,
    series: SeriesCache,
    sums: DeltaSums,
    translation: Translation,
    pub(crate) described: Described,
    pub(crate) limits: Limits,
    pub(crate) telemetry: Telemetry,
    pub(crate) clock: Arc<dyn Clock>,
    in_flight_bytes: AtomicUsize,
}

/// How a request body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Protobuf,
    Json,
}

/// A request's part of the in-flight budget; grows as the request does, and is given back when
/// dropped.
pub(crate) struct Reservation<'r> {
    receiver: &'r Receiver,
    bytes: usize,
}

impl Reservation<'_> {
    /// Reserves more memory, or refuses the request for now. A request that is alone may always go on:
    /// it is within the limit of one request.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Rejection> {
        let Receiver { in_flight_bytes, telemetry, limits, .. } = self.receiver;
        self.bytes += bytes;
        telemetry.in_flight_bytes.inc_by(bytes as i64);
        let total = in_flight_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let others = total.saturating_sub(self.bytes);
        if others == 0 || total <= limits.in_flight_bytes_max {
            return Ok(());
        }
        Err(Rejection {
            reason: "in_flight_limit",
            kind: ErrorKind::Unavailable,
            message: format!(
                "requests of {others} bytes are being worked on, the limit is {}; retry later",
                limits.in_flight_bytes_max
            ),
            retry_after: Some(limits.retry_delay),
        })
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.receiver.in_flight_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.receiver.telemetry.in_flight_bytes.dec_by(self.bytes as i64);
    }
}

/// A body over this size is decoded where it does not hold up other requests.
const LARGE_BODY_BYTES: usize = 1 << 20;

impl Receiver {
    /// A receiver in front of `sinks`.
    pub fn new(
        sinks: Sinks,
        limits: Limits,
        translation: Translation,
        telemetry: Telemetry,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let evictions = telemetry.series_cache_evictions.clone();
        Receiver {
            sinks,
            series: SeriesCache::new(limits.series_cache_bytes_max, evictions),
            sums: DeltaSums::new(translation.delta_max_streams, translation.delta_max_stale),
            translation,
            described: Described::default(),
            limits,
            telemetry,
            clock,
            in_flight_bytes: AtomicUsize::new(0),
        }
    }

    /// The in-flight budget of a request that begins.
    pub(crate) fn reservation(&self) -> Reservation<'_> {
        Reservation { receiver: self, bytes: 0 }
    }

    /// Takes one request: reads, unpacks, decodes, stores, waits until it is durable, counts.
    pub(crate) async fn export(
        &self,
        signal: Signal,
        format: Format,
        encoding: Encoding,
        wire: Bytes,
        reservation: Reservation<'_>,
    ) -> Result<Exported, Rejection> {
        let started = self.clock.monotonic();
        let result = self.export_uncounted(signal, format, encoding, wire, reservation).await;
        match &result {
            Ok(exported) => {
                self.telemetry.outcome(signal, &exported.outcome);
                self.telemetry.warnings(&exported.warnings);
            }
            Err(rejection) => self.count_refused(signal, rejection),
        }
        let spent = self.clock.monotonic().saturating_sub(started);
        self.telemetry.observe_seconds(signal, spent.as_secs_f64());
        result
    }

    /// Counts a refusal, also one made before [`Receiver::export`] was reached.
    pub(crate) fn count_refused(&self, signal: Signal, rejection: &Rejection) {
        self.telemetry.refused(signal, rejection.reason);
        tracing::debug!(
            signal = signal_name(signal),
            reason = rejection.reason,
            "refused a request: {}",
            rejection.message
        );
    }

    async fn export_uncounted(
        &self,
        signal: Signal,
        format: Format,
        encoding: Encoding,
        wire: Bytes,
        mut reservation: Reservation<'_>,
    ) -> Result<Exported, Rejection> {
        let limit = self.limits.request_bytes_max;
        let wire_bytes = wire.len();
        let decoded = off_loop(wire_bytes, || -> Result<Bytes, Rejection> {
            let unpacked = body::decompress(wire, encoding, limit)?;
            match format {
                Format::Protobuf => Ok(unpacked),
                Format::Json => {
                    check_json_objects(&unpacked, limit)?;
                    let protobuf = proto::json::to_protobuf(signal, &unpacked).map_err(|e| {
                        Rejection::permanent("bad_json", ErrorKind::BadRequest, e.to_string())
                    })?;
                    Ok(Bytes::from(protobuf))
                }
            }
        })?;
        if encoding != Encoding::Identity || format == Format::Json {
            reservation.grow(decoded.len())?;
        }
        self.telemetry.bytes(signal, wire_bytes, decoded.len());
        match signal {
            Signal::Metrics => self.export_metrics(&decoded).await,
            Signal::Logs => self.export_logs(&decoded).await.map(Exported::from),
            Signal::Traces => self.export_traces(&decoded).await.map(Exported::from),
        }
    }

    async fn export_metrics(&self, bytes: &[u8]) -> Result<Exported, Rejection> {
        let (exported, commit) = off_loop(bytes.len(), || {
            let (stored, (mut exported, commit)) = append_resolved(|| self.append_metrics(bytes))?;
            // Accepted counts data points, the store counts samples; what it refuses beyond the
            // times that were asked for is rare and counted by sample.
            let outcome = &mut exported.outcome;
            outcome.accepted = outcome.accepted.saturating_sub(stored.refused_count());
            outcome.refused.extend(stored.refused);
            Ok::<_, Rejection>((exported, commit))
        })?;
        commit.await.map_err(|e| self.store_error(&e))?;
        Ok(exported)
    }

    fn append_metrics(
        &self,
        bytes: &[u8],
    ) -> Result<(WriteOutcome, (Exported, Commit)), Rejection> {
        let mut mapper = metrics::Mapper::new(metrics::Door {
            sink: &*self.sinks.series,
            cache: &self.series,
            limits: &self.limits,
            translation: &self.translation,
            sums: &self.sums,
            now: self.clock.now_ms(),
        });
        mapper.map(MetricsRef::new(bytes))?;
        let (batch, outcome, warnings) = mapper.finish();
        let (stored, commit) =
            self.sinks.series.append(&batch).map_err(|e| self.store_error(&e))?;
        Ok((stored, (Exported { outcome, warnings }, commit)))
    }

    async fn export_logs(&self, bytes: &[u8]) -> Result<WriteOutcome, Rejection> {
        let now = self.clock.now();
        let (outcome, commit) = off_loop(bytes.len(), || {
            let (batch, mut outcome) = logs::map(LogsRef::new(bytes), &self.limits, now)?;
            let (stored, commit) =
                self.sinks.logs.append(&batch).map_err(|e| self.store_error(&e))?;
            outcome.merge(stored);
            Ok::<_, Rejection>((outcome, commit))
        })?;
        commit.await.map_err(|e| self.store_error(&e))?;
        Ok(outcome)
    }

    async fn export_traces(&self, bytes: &[u8]) -> Result<WriteOutcome, Rejection> {
        let (batch, outcome, commit) = off_loop(bytes.len(), || {
            let (batch, mut outcome) = {
                let accepted = self.sinks.spans.accepted_starts();
                traces::map(TracesRef::new(bytes), &self.limits, accepted)?
            };
            let (stored, commit) =
                self.sinks.spans.append(&batch).map_err(|e| self.store_error(&e))?;
            outcome.merge(stored);
            Ok::<_, Rejection>((batch, outcome, commit))
        })?;
        commit.await.map_err(|e| self.store_error(&e))?;
        self.sinks.observer.observe(&batch);
        Ok(outcome)
    }

    pub(crate) fn store_error(&self, error: &model::Error) -> Rejection {
        Rejection::from_store(error, self.limits.retry_delay)
    }
}

/// The smallest JSON objects take a hundred times their text in memory: a body of the largest size may
/// have one object for each of so many bytes.
const JSON_BYTES_PER_OBJECT: usize = 32;

pub(crate) fn check_json_objects(body: &[u8], request_bytes_max: usize) -> Result<(), Rejection> {
    let objects = body.iter().filter(|byte| **byte == b'{').count();
    let limit = request_bytes_max / JSON_BYTES_PER_OBJECT;
    if objects <= limit {
        return Ok(());
    }
    let message =
        format!("the JSON has {objects} objects, the limit is {limit}; send smaller batches");
    Err(Rejection::permanent("too_large", ErrorKind::TooLarge, message))
}

/// Runs CPU work; a large piece tells the runtime first, so that other requests move on.
pub(crate) fn off_loop<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let is_multi_thread = tokio::runtime::Handle::try_current()
        .is_ok_and(|handle| handle.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread);
    if bytes > LARGE_BODY_BYTES && is_multi_thread {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

/// What became of a request that was not refused whole.
#[derive(Debug, Default)]
pub(crate) struct Exported {
    pub(crate) outcome: WriteOutcome,
    pub(crate) warnings: Warnings,
}

impl From<WriteOutcome> for Exported {
    fn from(outcome: WriteOutcome) -> Self {
        Exported { outcome, warnings: Warnings::default() }
    }
}

/// Sentences for the sender about refused items and warnings of an accepted request.
pub(crate) fn partial_message(exported: &Exported) -> String {
    let mut parts = refusals(&exported.outcome);
    if exported.outcome.cut > 0 {
        let limit = "the configured otlp.log_line_bytes_max";
        parts.push(format!("{} lines were kept but cut to {limit}", exported.outcome.cut));
    }
    parts.extend(
        exported
            .warnings
            .iter()
            .map(|(category, count, example)| format!("{count} warned of ({category}): {example}")),
    );
    join(&parts)
}

/// Sentences for the sender about the refused items of an otherwise accepted request.
pub(crate) fn refusals_message(outcome: &WriteOutcome) -> String {
    join(&refusals(outcome))
}

fn refusals(outcome: &WriteOutcome) -> Vec<String> {
    let refusals = outcome.refused.iter();
    let sentences = refusals.map(|refusal| {
        format!("{} refused ({}): {}", refusal.count, refusal.reason, refusal.example)
    });
    sentences.collect()
}

fn join(parts: &[String]) -> String {
    let mut message = parts.join("; ");
    // Responses are to stay under 4 MiB; a person reads less.
    if message.len() > 4096 {
        let cut = message.floor_char_boundary(4096);
        message.truncate(cut);
    }
    message
}
