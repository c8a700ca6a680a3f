//! Rate, errors and duration from spans, before any sampling, under Tempo's names.
//!
//! The observing path takes one lock of many, looks one entry up and adds to four numbers; it
//! allocates only for label sets that it has not seen. Grafana's Tempo data source queries exactly
//! these names and label values.

use std::collections::HashMap;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use model::sample::{Exemplar, MetricKind, MetricMetadata, SeriesId, stale_nan};
use model::span::{SpanKind, StatusCode};
use model::write::{
    FloatPoint, SeriesBatch, SpanBatch, SpanObserver, SpanRow, WriteOutcome, append_resolved,
};
use model::{Clock, Commit, ErrorKind, Labels, SeriesSink, SpanId, TimestampMs, TraceId};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

/// Spans that ended.
pub const CALLS: &str = "traces_spanmetrics_calls_total";
/// Their durations in seconds, a classic histogram.
pub const LATENCY: &str = "traces_spanmetrics_latency";
/// The span name of what is counted together when there are too many label sets.
pub const OVERFLOW: &str = "__cardinality_overflow__";

/// 2 ms, doubling 13 times.
const BOUNDS: usize = 14;
const FIRST_BOUND_NS: u64 = 2_000_000;
const SHARDS: usize = 16;
const UNKNOWN_SERVICE: &str = "unknown_service";

/// Bounds of what is kept.
#[derive(Debug, Clone)]
pub struct RedConfig {
    /// Label sets with a span name of their own. Each is 18 series.
    pub label_sets_max: usize,
    /// Milliseconds without a span after which a label set is dropped.
    pub idle_ms: i64,
}

impl Default for RedConfig {
    fn default() -> Self {
        RedConfig { label_sets_max: 10_000, idle_ms: 15 * 60_000 }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Key {
    service: Box<str>,
    name: Box<str>,
    kind: SpanKind,
    status: StatusCode,
}

#[derive(Clone, Copy)]
struct KeyRef<'a> {
    service: &'a str,
    name: &'a str,
    kind: SpanKind,
    status: StatusCode,
}

impl KeyRef<'_> {
    fn hash(&self) -> u64 {
        let mut hasher = FxHasher::default();
        hasher.write(self.service.as_bytes());
        hasher.write(self.name.as_bytes());
        // The length keeps `a` + `bc` from `ab` + `c`.
        hasher.write_u64(
            ((self.service.len() as u64) << 16) | ((self.kind as u64) << 8) | self.status as u64,
        );
        hasher.finish()
    }

    fn is(&self, key: &Key) -> bool {
        self.kind == key.kind
            && self.status == key.status
            && *self.name == *key.name
            && *self.service == *key.service
    }
}

#[derive(Clone)]
struct Entry {
    /// Unique for the life of the process; the flush keeps series ids under it.
    number: u64,
    key: Arc<Key>,
    /// Not cumulative; the last is above all bounds.
    buckets: [u64; BOUNDS + 1],
    sum_ns: u64,
    start: TimestampMs,
    last_seen: TimestampMs,
    exemplar: Option<(TraceId, SpanId, u64, TimestampMs)>,
}

/// Entries with equal hashes share a slot.
#[derive(Default)]
struct Shard(FxHashMap<u64, Vec<Entry>>);

#[derive(Clone, Copy)]
struct SeriesIds {
    calls: SeriesId,
    buckets: [SeriesId; BOUNDS + 1],
    sum: SeriesId,
    count: SeriesId,
}

impl SeriesIds {
    fn all(self) -> impl Iterator<Item = SeriesId> {
        self.buckets.into_iter().chain([self.calls, self.sum, self.count])
    }
}

#[derive(Default)]
struct FlushState {
    /// The sink's generation of ids.
    generation: Option<u64>,
    /// By number of the entry.
    ids: HashMap<u64, SeriesIds>,
    /// Numbers of entries that have series.
    written: FxHashSet<u64>,
    /// Entries whose series are to be ended, until an append took that.
    ended: Vec<Entry>,
}

impl FlushState {
    /// The series of an entry; none if the store has no room for more: those that it has must go on.
    fn ids_of(&mut self, sink: &dyn SeriesSink, entry: &Entry) -> model::Result<Option<SeriesIds>> {
        if let Some(known) = self.ids.get(&entry.number) {
            return Ok(Some(*known));
        }
        match series_ids(sink, &entry.key) {
            Ok(ids) => {
                self.ids.insert(entry.number, ids);
                Ok(Some(ids))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Exhausted | ErrorKind::BadRequest) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Counts spans; see the module.
pub struct RedMetrics {
    config: RedConfig,
    clock: Arc<dyn Clock>,
    shards: [Mutex<Shard>; SHARDS],
    label_sets: AtomicUsize,
    next_number: AtomicU64,
    flush: Mutex<FlushState>,
    overflowed: Counter,
    unwritten: Counter,
    label_sets_gauge: Gauge,
}

impl RedMetrics {
    /// Counts nothing yet. The clock tells when a label set was seen first and last.
    pub fn new(config: RedConfig, clock: Arc<dyn Clock>) -> Self {
        RedMetrics {
            config,
            clock,
            shards: Default::default(),
            label_sets: AtomicUsize::new(0),
            next_number: AtomicU64::new(0),
            flush: Mutex::default(),
            overflowed: Counter::default(),
            unwritten: Counter::default(),
            label_sets_gauge: Gauge::default(),
        }
    }

    /// Adds its own metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "signalbox_red_overflowed_spans",
            "Spans counted without their name since there are too many label sets",
            self.overflowed.clone(),
        );
        registry.register(
            "signalbox_red_unwritten_label_sets",
            "Label sets that a flush left out since the store takes no more series",
            self.unwritten.clone(),
        );
        registry.register(
            "signalbox_red_label_sets",
            "Label sets of RED metrics",
            self.label_sets_gauge.clone(),
        );
    }

    /// Spans that were counted under [`OVERFLOW`].
    pub fn overflowed(&self) -> u64 {
        self.overflowed.get()
    }

    fn observe_span(&self, service: &str, span: &SpanRow<'_>, now: TimestampMs) {
        let key = KeyRef { service, name: span.name, kind: span.kind, status: span.status };
        if self.count(key, span, now, self.config.label_sets_max) {
            return;
        }
        self.overflowed.inc();
        // Services are bounded as well, but generously: their sums are what dashboards show.
        let key = KeyRef { name: OVERFLOW, ..key };
        let services_max = self.config.label_sets_max + self.config.label_sets_max / 8 + 64;
        if !self.count(key, span, now, services_max) {
            self.count(KeyRef { service: OVERFLOW, ..key }, span, now, usize::MAX);
        }
    }

    /// Adds a span to the entry of `key`; `false` if it would be a new one beyond `max`.
    fn count(&self, key: KeyRef<'_>, span: &SpanRow<'_>, now: TimestampMs, max: usize) -> bool {
        let hash = key.hash();
        // The map uses the low bits.
        let mut shard = self.shards[(hash >> 60) as usize % SHARDS].lock();
        let slot = shard.0.entry(hash).or_default();
        let index = match slot.iter().position(|entry| key.is(&entry.key)) {
            Some(index) => index,
            None => {
                let is_full = self.label_sets.load(Ordering::Relaxed) >= max;
                if is_full {
                    if slot.is_empty() {
                        shard.0.remove(&hash);
                    }
                    return false;
                }
                self.label_sets.fetch_add(1, Ordering::Relaxed);
                slot.push(self.new_entry(key, now));
                slot.len() - 1
            }
        };
        let entry = &mut slot[index];
        let duration_ns = u64::try_from(span.end.0.saturating_sub(span.start.0)).unwrap_or(0);
        entry.buckets[bucket_of(duration_ns)] += 1;
        entry.sum_ns = entry.sum_ns.saturating_add(duration_ns);
        entry.last_seen = now;
        // The first since the last flush: which one does not matter, and a test fails less often.
        if entry.exemplar.is_none() {
            entry.exemplar =
                Some((span.trace_id, span.span_id, duration_ns, span.end.to_ms().min(now)));
        }
        true
    }

    fn new_entry(&self, key: KeyRef<'_>, now: TimestampMs) -> Entry {
        let owned = Key {
            service: key.service.into(),
            name: key.name.into(),
            kind: key.kind,
            status: key.status,
        };
        Entry {
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
            key: Arc::new(owned),
            buckets: [0; BOUNDS + 1],
            sum_ns: 0,
            start: now,
            last_seen: now,
            exemplar: None,
        }
    }

    /// Writes all live series at `now`, ends idle ones, and waits until that is durable. Returns the
    /// number of samples. After an error everything is written by the next flush.
    pub fn flush(&self, now: TimestampMs, sink: &dyn SeriesSink) -> model::Result<usize> {
        let mut flush = self.flush.lock();
        let flush = &mut *flush;
        let (live, idle) = self.collect(now);
        for entry in idle {
            if flush.written.remove(&entry.number) {
                flush.ended.push(entry);
            }
        }
        let (_, (samples, commit)) = append_resolved(|| {
            let batch = self.batch(flush, &live, now, sink)?;
            if batch.points.is_empty() {
                return Ok((WriteOutcome::default(), (0, Commit::done())));
            }
            let (outcome, commit) = sink.append(&batch)?;
            Ok::<_, model::Error>((outcome, (batch.points.len(), commit)))
        })?;
        commit.wait()?;
        for entry in flush.ended.drain(..) {
            flush.ids.remove(&entry.number);
        }
        Ok(samples)
    }

    fn batch(
        &self,
        flush: &mut FlushState,
        live: &[Entry],
        now: TimestampMs,
        sink: &dyn SeriesSink,
    ) -> model::Result<SeriesBatch> {
        if flush.generation != Some(sink.generation()) {
            flush.ids.clear();
            flush.generation = Some(sink.generation());
            describe(sink);
        }
        let mut batch = SeriesBatch::default();
        for entry in live {
            match flush.ids_of(sink, entry)? {
                Some(ids) => {
                    flush.written.insert(entry.number);
                    add_samples(&mut batch, entry, &ids, now);
                }
                None => {
                    self.unwritten.inc();
                }
            }
        }
        let ended = std::mem::take(&mut flush.ended);
        let all = ended.iter().map(|entry| flush.ids_of(sink, entry));
        let all: model::Result<Vec<Option<SeriesIds>>> = all.collect();
        flush.ended = ended;
        let ends = all?.into_iter().flatten().flat_map(SeriesIds::all);
        batch.points.extend(ends.map(|series| FloatPoint {
            series,
            at: now,
            start: TimestampMs(0),
            value: stale_nan(),
        }));
        Ok(batch)
    }

    /// Copies what is live and removes what is idle, one shard at a time, so that the sink is never
    /// asked under a lock that spans wait for.
    fn collect(&self, now: TimestampMs) -> (Vec<Entry>, Vec<Entry>) {
        let (mut live, mut idle) = (Vec::new(), Vec::new());
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.0.retain(|_, slot| {
                slot.retain_mut(|entry| {
                    if now.0 - entry.last_seen.0 >= self.config.idle_ms {
                        idle.push(entry.clone());
                        return false;
                    }
                    live.push(entry.clone());
                    entry.exemplar = None;
                    true
                });
                !slot.is_empty()
            });
        }
        self.label_sets.fetch_sub(idle.len(), Ordering::Relaxed);
        self.label_sets_gauge.set(i64::try_from(live.len()).unwrap_or(i64::MAX));
        (live, idle)
    }
}

impl SpanObserver for RedMetrics {
    fn observe(&self, batch: &SpanBatch<'_>) {
        let now = self.clock.now_ms();
        let mut resource = None;
        let mut service = UNKNOWN_SERVICE;
        for span in &batch.spans {
            // Spans come grouped by resource, whose attributes are worth reading only once.
            if resource != Some(span.resource) {
                resource = Some(span.resource);
                service = batch.resource_str(span, "service.name").unwrap_or(UNKNOWN_SERVICE);
            }
            self.observe_span(service, span, now);
        }
    }
}

/// The first bucket whose bound is not below the duration.
fn bucket_of(duration_ns: u64) -> usize {
    let doublings = duration_ns.saturating_sub(1) / FIRST_BOUND_NS;
    ((u64::BITS - doublings.leading_zeros()) as usize).min(BOUNDS)
}

/// The values of `le`; the bounds are whole milliseconds, so that none needs rounding.
fn bound_label(index: usize) -> String {
    if index == BOUNDS {
        return "+Inf".to_owned();
    }
    let ms = 2_u64 << index;
    format!("{}", ms as f64 / 1000.0)
}

fn series_ids(sink: &dyn SeriesSink, key: &Key) -> model::Result<SeriesIds> {
    let base = Labels::from_pairs([
        ("service", &*key.service),
        ("span_name", &*key.name),
        ("span_kind", key.kind.as_otlp_str()),
        ("status_code", key.status.as_otlp_str()),
    ]);
    let series = |name: &str| sink.series(&base.with("__name__", name));
    let bucket_base = base.with("__name__", &format!("{LATENCY}_bucket"));
    let mut buckets = [SeriesId(0); BOUNDS + 1];
    for (index, id) in buckets.iter_mut().enumerate() {
        *id = sink.series(&bucket_base.with("le", &bound_label(index)))?;
    }
    Ok(SeriesIds {
        calls: series(CALLS)?,
        buckets,
        sum: series(&format!("{LATENCY}_sum"))?,
        count: series(&format!("{LATENCY}_count"))?,
    })
}

fn add_samples(batch: &mut SeriesBatch, entry: &Entry, ids: &SeriesIds, now: TimestampMs) {
    let start = entry.start;
    let mut add = |series, value| batch.points.push(FloatPoint { series, at: now, start, value });
    let mut total = 0;
    for (series, count) in ids.buckets.iter().zip(entry.buckets) {
        total += count;
        add(*series, total as f64);
    }
    add(ids.calls, total as f64);
    add(ids.count, total as f64);
    add(ids.sum, entry.sum_ns as f64 / 1e9);
    if let Some((trace_id, span_id, duration_ns, at)) = entry.exemplar {
        let labels = [("trace_id", trace_id.to_string()), ("span_id", span_id.to_string())];
        let exemplar =
            Exemplar { labels: Labels::from_pairs(labels), value: duration_ns as f64 / 1e9, at };
        batch.exemplars.push((ids.buckets[bucket_of(duration_ns)], exemplar));
    }
}

fn describe(sink: &dyn SeriesSink) {
    let metadata = |kind, help: &str, unit: &str| MetricMetadata {
        kind,
        help: help.to_owned(),
        unit: unit.to_owned(),
    };
    sink.describe(CALLS, &metadata(MetricKind::Counter, "Spans that ended", ""));
    sink.describe(LATENCY, &metadata(MetricKind::Histogram, "Duration of spans", "s"));
}

#[cfg(test)]
mod tests;
