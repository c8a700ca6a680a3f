//! The write traits: what the collector hands to a store.
//!
//! Batches are flat: shared vectors and ranges into them, borrowed from the request, so that
//! building one costs no allocation per item. A sink takes a batch whole, puts it in its journal and
//! its memory, and returns the outcome item by item with a [`Commit`]; only when that resolves may
//! anything be acknowledged.

use std::ops::Range;
use std::sync::Arc;

use crate::clock::{TimestampMs, TimestampNs};
use crate::commit::Commit;
use crate::error::Result;
use crate::labels::Labels;
use crate::log::Origin;
use crate::sample::{Exemplar, MetricMetadata, NativeHistogram, SeriesId};
use crate::span::{SpanId, SpanKind, StatusCode, TraceId};
use crate::value::ValueRef;

/// Why items of a batch were refused while the others were kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A short stable word: the `reason` label of the refusal counter.
    pub reason: &'static str,
    /// How many items.
    pub count: u64,
    /// A sentence about one of them, for the sender.
    pub example: String,
}

/// The outcome of a batch that was not refused whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOutcome {
    /// Items kept; of a series batch, float samples and native histograms.
    pub accepted: u64,
    /// Of the accepted, native histograms.
    pub histograms: u64,
    /// Exemplars kept, beside the accepted.
    pub exemplars: u64,
    /// Of the accepted, log records whose lines were cut to the limit.
    pub cut: u64,
    /// Items refused, one entry a reason.
    pub refused: Vec<Refusal>,
}

impl WriteOutcome {
    /// Counts one refused item; `example` is asked only for the first of a reason.
    pub fn refuse(&mut self, reason: &'static str, example: impl FnOnce() -> String) {
        match self.refused.iter_mut().find(|refusal| refusal.reason == reason) {
            Some(refusal) => refusal.count += 1,
            None => self.refused.push(Refusal { reason, count: 1, example: example() }),
        }
    }

    /// How many items were refused.
    pub fn refused_count(&self) -> u64 {
        self.refused.iter().map(|refusal| refusal.count).sum()
    }

    /// Adds what happened to another part of the same request.
    pub fn merge(&mut self, other: WriteOutcome) {
        self.accepted += other.accepted;
        self.histograms += other.histograms;
        self.exemplars += other.exemplars;
        self.cut += other.cut;
        for refusal in other.refused {
            match self.refused.iter_mut().find(|mine| mine.reason == refusal.reason) {
                Some(mine) => mine.count += refusal.count,
                None => self.refused.push(refusal),
            }
        }
    }
}

/// The reason of samples whose series' id is void, see [`SeriesSink::append`].
pub const UNKNOWN_SERIES: &str = "unknown_series";

/// Appends by `attempt`, and once more if the sink said that ids of the batch are void: a store that
/// has loaded, or has let series go that nobody wrote, gives others. The second attempt must ask for
/// all ids anew; samples that were taken the first time are replaced by themselves. Answers what the
/// last attempt did. Every writer of series appends through this.
pub fn append_resolved<T, E>(
    mut attempt: impl FnMut() -> std::result::Result<(WriteOutcome, T), E>,
) -> std::result::Result<(WriteOutcome, T), E> {
    let (outcome, more) = attempt()?;
    if outcome.refused.iter().any(|refusal| refusal.reason == UNKNOWN_SERIES) {
        return attempt();
    }
    Ok((outcome, more))
}

/// One float sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FloatPoint {
    /// The series, as [`SeriesSink::series`] answered it.
    pub series: SeriesId,
    /// When it was measured.
    pub at: TimestampMs,
    /// Since when a cumulative value counts; [`NO_START`] if the sender did not say.
    pub start: TimestampMs,
    /// The value; [`crate::sample::stale_nan`] ends the series.
    pub value: f64,
}

/// The start time of a sample that has none.
pub const NO_START: TimestampMs = TimestampMs(0);

/// One native histogram sample.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramPoint {
    /// The series.
    pub series: SeriesId,
    /// When it was measured.
    pub at: TimestampMs,
    /// Since when it counts, or [`NO_START`].
    pub start: TimestampMs,
    /// The buckets.
    pub histogram: NativeHistogram,
}

/// Samples of one request.
#[derive(Debug, Clone, Default)]
pub struct SeriesBatch {
    /// Float samples, in any order.
    pub points: Vec<FloatPoint>,
    /// Native histogram samples.
    pub histograms: Vec<HistogramPoint>,
    /// Exemplars with their series.
    pub exemplars: Vec<(SeriesId, Exemplar)>,
}

/// Takes samples.
pub trait SeriesSink: Send + Sync {
    /// The id of the series with these labels, making the series if it is new. Labels are sorted by
    /// name, names are unique, neither is empty, and `__name__` is one of them. Callers may keep the
    /// answer; [`SeriesSink::generation`] tells when kept answers are void. A call for a known series
    /// costs one hash, one lookup and a full comparison, and allocates nothing.
    ///
    /// Fails with `Exhausted` over the limit of series and with `BadRequest` for labels that can not
    /// be kept.
    fn series_of(&self, labels: &[(&str, &str)]) -> Result<SeriesId>;

    /// [`SeriesSink::series_of`] for many series at once, which costs fewer locks when they are new.
    /// `ends` says where in `labels` those of each series end; answers are added to `found` in order.
    fn series_of_each(
        &self,
        labels: &[(&str, &str)],
        ends: &[usize],
        found: &mut Vec<Result<SeriesId>>,
    ) {
        let mut start = 0;
        for end in ends {
            found.push(self.series_of(labels.get(start..*end).unwrap_or_default()));
            start = *end;
        }
    }

    /// A guess that saves hashing: the series that came after `previous` the last time, if it has
    /// exactly these labels, byte by byte. Senders repeat their series in one order. `None` tells
    /// nothing; labels need not be sorted, nor text.
    fn series_after(&self, previous: SeriesId, labels: &[(&[u8], &[u8])]) -> Option<SeriesId> {
        let _ = (previous, labels);
        None
    }

    /// Teaches guesses: each of these series came after the one before it.
    fn series_follow(&self, chain: &[SeriesId]) {
        let _ = chain;
    }

    /// [`SeriesSink::series_of`] for labels that were built.
    fn series(&self, labels: &Labels) -> Result<SeriesId> {
        self.series_of(&labels.iter().collect::<Vec<_>>())
    }

    /// Changes whenever ids that were given out stop being valid.
    fn generation(&self) -> u64;

    /// Samples at other times will be refused by [`SeriesSink::append`]. A caller whose items make
    /// many samples each (histograms) asks first, so that it can count refused items.
    fn accepted_times(&self) -> crate::read::RangeMs;

    /// Keeps help, unit and kind of a metric family; the last one told wins.
    fn describe(&self, metric: &str, metadata: &MetricMetadata);

    /// Appends samples in any order of time. A sample at the time of an older one of its series
    /// replaces it. Refuses single items by reason (`too_old`, `too_far_in_future`,
    /// [`UNKNOWN_SERIES`]), and the whole batch with `Unavailable` or `Exhausted` when it can take
    /// nothing now.
    fn append(&self, batch: &SeriesBatch) -> Result<(WriteOutcome, Commit)>;
}

/// A name with its value in a log batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogField<'a> {
    /// The name as LogQL will see it.
    pub name: std::borrow::Cow<'a, str>,
    /// The value as text.
    pub value: std::borrow::Cow<'a, str>,
    /// Where it came from.
    pub origin: Origin,
}

/// The records of a batch that share a stream and the metadata of their resource and scope.
#[derive(Debug, Clone)]
pub struct LogGroup {
    /// The stream's labels.
    pub stream: Labels,
    /// Fields that every record of the group has, in [`LogBatch::fields`].
    pub shared: Range<u32>,
    /// The group's records, in [`LogBatch::records`].
    pub records: Range<u32>,
}

/// One log record of a batch.
#[derive(Debug, Clone)]
pub struct LogEntry<'a> {
    /// When it happened.
    pub at: TimestampNs,
    /// The line.
    pub line: std::borrow::Cow<'a, str>,
    /// The record's own fields, in [`LogBatch::fields`].
    pub fields: Range<u32>,
}

/// Log records of one request.
#[derive(Debug, Clone, Default)]
pub struct LogBatch<'a> {
    /// In order of arrival.
    pub groups: Vec<LogGroup>,
    /// All records.
    pub records: Vec<LogEntry<'a>>,
    /// All fields.
    pub fields: Vec<LogField<'a>>,
}

/// Takes log records.
pub trait LogSink: Send + Sync {
    /// Appends records in any order of time; equal records are all kept. Refuses single records by
    /// reason (`too_old`, `too_far_in_future`), and the whole batch with `Unavailable` or
    /// `Exhausted` when it can take nothing now.
    fn append(&self, batch: &LogBatch<'_>) -> Result<(WriteOutcome, Commit)>;
}

/// An attribute of a span batch.
pub type AttributeRef<'a> = (&'a str, ValueRef<'a>);

/// A resource or a scope of a span batch.
#[derive(Debug, Clone, Default)]
pub struct SpanOrigin<'a> {
    /// The scope's name; empty for a resource.
    pub name: &'a str,
    /// The scope's version; empty for a resource.
    pub version: &'a str,
    /// In [`SpanBatch::attributes`].
    pub attributes: Range<u32>,
    /// How many the sender dropped.
    pub dropped_attributes_count: u32,
    /// The schema of its attributes.
    pub schema_url: &'a str,
}

/// An event of a span batch.
#[derive(Debug, Clone)]
pub struct EventRow<'a> {
    /// When.
    pub at: TimestampNs,
    /// What.
    pub name: &'a str,
    /// In [`SpanBatch::attributes`].
    pub attributes: Range<u32>,
    /// How many the sender dropped.
    pub dropped_attributes_count: u32,
}

/// A link of a span batch.
#[derive(Debug, Clone)]
pub struct LinkRow<'a> {
    /// The other trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// W3C trace state.
    pub trace_state: &'a str,
    /// W3C flags.
    pub flags: u32,
    /// In [`SpanBatch::attributes`].
    pub attributes: Range<u32>,
    /// How many the sender dropped.
    pub dropped_attributes_count: u32,
}

/// A span of a batch. Ranges point into the batch.
#[derive(Debug, Clone)]
pub struct SpanRow<'a> {
    /// Index in [`SpanBatch::resources`].
    pub resource: u32,
    /// Index in [`SpanBatch::scopes`].
    pub scope: u32,
    /// Its trace; never zero.
    pub trace_id: TraceId,
    /// Its own name; never zero.
    pub span_id: SpanId,
    /// Zero for a root.
    pub parent_span_id: SpanId,
    /// W3C trace state.
    pub trace_state: &'a str,
    /// W3C flags and OTLP's remote bits.
    pub flags: u32,
    /// The operation.
    pub name: &'a str,
    /// The role in a call.
    pub kind: SpanKind,
    /// When it began.
    pub start: TimestampNs,
    /// When it ended.
    pub end: TimestampNs,
    /// In [`SpanBatch::attributes`].
    pub attributes: Range<u32>,
    /// How many the sender dropped.
    pub dropped_attributes_count: u32,
    /// In [`SpanBatch::events`].
    pub events: Range<u32>,
    /// How many the sender dropped.
    pub dropped_events_count: u32,
    /// In [`SpanBatch::links`].
    pub links: Range<u32>,
    /// How many the sender dropped.
    pub dropped_links_count: u32,
    /// How it ended.
    pub status: StatusCode,
    /// Why, in words.
    pub status_message: &'a str,
}

/// Spans of one request.
#[derive(Debug, Clone, Default)]
pub struct SpanBatch<'a> {
    /// Who sent them.
    pub resources: Vec<SpanOrigin<'a>>,
    /// The libraries that made them.
    pub scopes: Vec<SpanOrigin<'a>>,
    /// The spans.
    pub spans: Vec<SpanRow<'a>>,
    /// All attributes.
    pub attributes: Vec<AttributeRef<'a>>,
    /// All events.
    pub events: Vec<EventRow<'a>>,
    /// All links.
    pub links: Vec<LinkRow<'a>>,
}

impl<'a> SpanBatch<'a> {
    /// The attributes of `range`.
    pub fn attributes(&self, range: &Range<u32>) -> &[AttributeRef<'a>] {
        &self.attributes[range.start as usize..range.end as usize]
    }

    /// The text attribute `name` of a span's resource.
    pub fn resource_str(&self, span: &SpanRow<'a>, name: &str) -> Option<&'a str> {
        let resource = self.resources.get(span.resource as usize)?;
        self.attributes(&resource.attributes).iter().find_map(|(key, value)| match value {
            ValueRef::Str(text) if *key == name => Some(*text),
            _ => None,
        })
    }
}

/// Takes spans.
pub trait SpanSink: Send + Sync {
    /// Spans that start at other times will be refused by [`SpanSink::append`]. A caller that shows
    /// spans to an observer asks first, so that none is observed that is not kept.
    fn accepted_starts(&self) -> crate::read::RangeNs;

    /// Appends spans. A span that is already stored (same trace and span id) is kept once. Refuses
    /// single spans by reason (`too_old`, `too_far_in_future`), and the whole batch with
    /// `Unavailable` or `Exhausted` when it can take nothing now.
    fn append(&self, batch: &SpanBatch<'_>) -> Result<(WriteOutcome, Commit)>;
}

/// Watches every span that was made durable, before any sampling. Must be quick and never fail.
pub trait SpanObserver: Send + Sync {
    /// Called once for each batch, after its commit.
    fn observe(&self, batch: &SpanBatch<'_>);
}

/// No observer.
impl SpanObserver for () {
    fn observe(&self, _batch: &SpanBatch<'_>) {}
}

impl<T: SeriesSink + ?Sized> SeriesSink for Arc<T> {
    fn series_of(&self, labels: &[(&str, &str)]) -> Result<SeriesId> {
        (**self).series_of(labels)
    }

    fn series_of_each(
        &self,
        labels: &[(&str, &str)],
        ends: &[usize],
        found: &mut Vec<Result<SeriesId>>,
    ) {
        (**self).series_of_each(labels, ends, found);
    }

    fn series_after(&self, previous: SeriesId, labels: &[(&[u8], &[u8])]) -> Option<SeriesId> {
        (**self).series_after(previous, labels)
    }

    fn series_follow(&self, chain: &[SeriesId]) {
        (**self).series_follow(chain);
    }

    fn generation(&self) -> u64 {
        (**self).generation()
    }

    fn accepted_times(&self) -> crate::read::RangeMs {
        (**self).accepted_times()
    }

    fn describe(&self, metric: &str, metadata: &MetricMetadata) {
        (**self).describe(metric, metadata);
    }

    fn append(&self, batch: &SeriesBatch) -> Result<(WriteOutcome, Commit)> {
        (**self).append(batch)
    }
}
