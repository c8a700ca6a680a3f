//! The read traits: what the languages ask of a store.
//!
//! A request carries everything a store can use to touch less: time range, matchers, filters, the
//! columns wanted, a limit. What is pushed down is a promise where the field says so and a hint
//! elsewhere; the languages check hints again. Results stream: series by series, row by row, trace
//! by trace. Every read charges a [`QueryContext`], which refuses it over its budget, past its
//! deadline, or after its caller went away.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::clock::{Clock, TimestampMs, TimestampNs};
use crate::error::{Error, ErrorKind, Result};
use crate::labels::Labels;
use crate::log::{LineCondition, LogCount, LogCountRequest, LogRow, count_by_scan};
use crate::matcher::Matcher;
use crate::rollup::{Rollup, RollupRequest};
use crate::sample::{Exemplar, MetricMetadata, NativeHistogram, SeriesId};
use crate::span::{Trace, TraceId};
use crate::value::Value;

/// What one query may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Samples, lines or spans looked at.
    pub items_max: u64,
    /// Bytes looked at.
    pub bytes_max: u64,
    /// Bytes that a query of metrics holds at once: columns of results and what is between.
    pub memory_bytes_max: u64,
    /// Time from the start of the query.
    pub timeout: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        QueryLimits {
            items_max: 500_000_000,
            bytes_max: 4 << 30,
            memory_bytes_max: 1 << 30,
            timeout: Duration::from_secs(120),
        }
    }
}

/// Tells a running query to stop. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Stops every query that holds a clone.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the query should stop.
    pub fn is_canceled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Threads that queries share: each query has one of its own and borrows from these what is idle.
/// Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Threads(Arc<AtomicUsize>);

impl Threads {
    /// So many beside those that queries have of their own.
    pub fn new(count: usize) -> Self {
        Threads(Arc::new(AtomicUsize::new(count)))
    }

    /// Takes up to `count` that are idle.
    fn borrow(&self, count: usize) -> BorrowedThreads {
        let mut taken = 0;
        let take = |idle: usize| {
            taken = count.min(idle);
            Some(idle - taken)
        };
        // Never fails: `take` always has an answer.
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok();
        BorrowedThreads { threads: self.clone(), count: taken }
    }
}

/// Threads that a part of a query may start; given back when it is dropped.
#[derive(Debug)]
pub struct BorrowedThreads {
    threads: Threads,
    count: usize,
}

impl BorrowedThreads {
    /// How many.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl Drop for BorrowedThreads {
    fn drop(&mut self) {
        self.threads.0.fetch_add(self.count, Ordering::Relaxed);
    }
}

/// The budget, deadline and cancellation of one query; shared by all of its reads.
pub struct QueryContext {
    limits: QueryLimits,
    threads: Threads,
    cancel: Cancel,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    items: AtomicU64,
    bytes: AtomicU64,
    memory_bytes: AtomicU64,
    checks: AtomicU64,
}

/// The clock is read at every one of so many checks: reading it for each of a hundred thousand
/// series takes longer than the rest of the check.
const CHECKS_PER_CLOCK: u64 = 16;

impl QueryContext {
    /// Starts the clock of a query.
    pub fn new(limits: QueryLimits, clock: Arc<dyn Clock>) -> Self {
        let deadline = clock.monotonic().saturating_add(limits.timeout);
        QueryContext {
            limits,
            threads: Threads::default(),
            cancel: Cancel::default(),
            clock,
            deadline,
            items: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            memory_bytes: AtomicU64::new(0),
            checks: AtomicU64::new(0),
        }
    }

    /// Lets the query work on more threads than its own.
    pub fn with_threads(self, threads: Threads) -> Self {
        QueryContext { threads, ..self }
    }

    /// Threads that are idle, at most `count`: what they compute is part of this query.
    pub fn borrow_threads(&self, count: usize) -> BorrowedThreads {
        self.threads.borrow(count)
    }

    /// For tests: default limits on a clock that stands still.
    pub fn unlimited() -> Self {
        let limits = QueryLimits {
            items_max: u64::MAX,
            bytes_max: u64::MAX,
            memory_bytes_max: u64::MAX,
            ..Default::default()
        };
        QueryContext::new(limits, Arc::new(crate::clock::ManualClock::default()))
    }

    /// What time it is for the query.
    pub fn now(&self) -> TimestampNs {
        self.clock.now()
    }

    /// The handle that stops this query.
    pub fn cancel_handle(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Adds to the cost of the query. Stores call it at least every few thousand items, so that a
    /// query over its budget stops soon after it passes it.
    pub fn charge(&self, items: u64, bytes: u64) -> Result<()> {
        let items = self.items.fetch_add(items, Ordering::Relaxed).saturating_add(items);
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if items > self.limits.items_max {
            return Err(Error::new(
                ErrorKind::Exhausted,
                format!(
                    "the query looked at {items} samples, lines or spans, over its limit of {}; \
                     narrow its selectors or its time range",
                    self.limits.items_max
                ),
            ));
        }
        if bytes > self.limits.bytes_max {
            return Err(Error::new(
                ErrorKind::Exhausted,
                format!(
                    "the query looked at {bytes} bytes, over its limit of {}; narrow its \
                     selectors or its time range",
                    self.limits.bytes_max
                ),
            ));
        }
        self.check()
    }

    /// Adds to the memory that the query holds, before it is taken. It is never given back: what a
    /// query holds grows to its end, but for columns that pass through and are not counted.
    pub fn hold(&self, bytes: u64) -> Result<()> {
        let bytes = self.memory_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if bytes > self.limits.memory_bytes_max {
            return Err(Error::new(
                ErrorKind::Exhausted,
                format!(
                    "the query needs {bytes} bytes of memory for its results, over its limit of \
                     {}; aggregate, narrow its selectors, or ask for fewer steps",
                    self.limits.memory_bytes_max
                ),
            ));
        }
        self.check()
    }

    /// Fails if the query was canceled or is out of time.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_canceled() {
            return Err(Error::new(ErrorKind::Canceled, "the query was canceled by its caller"));
        }
        let check = self.checks.fetch_add(1, Ordering::Relaxed);
        if check.is_multiple_of(CHECKS_PER_CLOCK) && self.clock.monotonic() > self.deadline {
            return Err(Error::new(
                ErrorKind::Timeout,
                format!("the query ran longer than its limit of {:?}", self.limits.timeout),
            ));
        }
        Ok(())
    }

    /// Samples, lines or spans looked at so far.
    pub fn items_used(&self) -> u64 {
        self.items.load(Ordering::Relaxed)
    }

    /// Bytes looked at so far.
    pub fn bytes_used(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Times in milliseconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeMs {
    /// The first instant.
    pub start: TimestampMs,
    /// The last instant.
    pub end: TimestampMs,
}

impl RangeMs {
    /// All of time.
    pub const ALL: Self = RangeMs { start: TimestampMs::MIN, end: TimestampMs::MAX };

    /// Whether `at` lies inside.
    pub fn contains(&self, at: TimestampMs) -> bool {
        self.start <= at && at <= self.end
    }
}

/// Times in nanoseconds, start included, end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeNs {
    /// The first instant.
    pub start: TimestampNs,
    /// The instant after the last.
    pub end: TimestampNs,
}

impl RangeNs {
    /// All of time.
    pub const ALL: Self = RangeNs { start: TimestampNs::MIN, end: TimestampNs::MAX };

    /// Whether `at` lies inside.
    pub fn contains(&self, at: TimestampNs) -> bool {
        self.start <= at && at < self.end
    }
}

/// Which columns of a series a query wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesColumnsWanted {
    /// Float values and native histograms with their times.
    pub samples: bool,
    /// Start times.
    pub starts: bool,
}

/// Asks for series.
#[derive(Debug, Clone)]
pub struct SeriesRequest {
    /// All must match. Exact.
    pub matchers: Vec<Matcher>,
    /// Only samples inside are returned; series without any are left out.
    pub range: RangeMs,
    /// Columns that are not wanted may be empty.
    pub columns: SeriesColumnsWanted,
    /// At most this many series. Exact, which ones is open.
    pub limit: Option<usize>,
    /// The distance of the query's evaluation times, zero for an instant query. A hint.
    pub step_ms: i64,
    /// The caller can use rollups in place of samples. A hint: a store answers each series either
    /// with samples, or with a rollup over the whole range that gives bit for bit what the samples
    /// give ([`Rollup::is_exact`]), or is the best that is left where samples are gone. Series with
    /// native histograms in the range, and delta series if increases are asked for
    /// ([`crate::labels::TEMPORALITY`]), are answered with samples.
    pub rollup: Option<RollupRequest>,
}

impl SeriesRequest {
    /// All samples of the matching series in `range`.
    pub fn samples(matchers: Vec<Matcher>, range: RangeMs) -> Self {
        SeriesRequest {
            matchers,
            range,
            columns: SeriesColumnsWanted { samples: true, starts: false },
            limit: None,
            step_ms: 0,
            rollup: None,
        }
    }

    /// Only the labels of the matching series that have samples in `range`.
    pub fn labels(matchers: Vec<Matcher>, range: RangeMs, limit: Option<usize>) -> Self {
        SeriesRequest {
            matchers,
            range,
            columns: SeriesColumnsWanted { samples: false, starts: false },
            limit,
            step_ms: 0,
            rollup: None,
        }
    }
}

/// One series by columns, each in order of time, each time once per kind of value. Stale markers are
/// samples.
#[derive(Debug, Clone)]
pub struct SeriesColumns {
    /// The store's number.
    pub id: SeriesId,
    /// Its labels, metric name included.
    pub labels: Labels,
    /// Times of `values`, in milliseconds; shared, since many series have the same.
    pub times_ms: Arc<Vec<i64>>,
    /// Float values.
    pub values: Vec<f64>,
    /// Start times of `values` ([`crate::write::NO_START`] where unknown), or empty.
    pub starts_ms: Vec<i64>,
    /// Native histograms with their times.
    pub histograms: Vec<(TimestampMs, Arc<NativeHistogram>)>,
    /// Start times of `histograms`, or empty as `starts_ms`.
    pub histogram_starts_ms: Vec<i64>,
    /// In place of all other columns, if the request allows it.
    pub rollup: Option<Box<Rollup>>,
}

/// A stream of series; stops at the first error.
pub type SeriesStream<'a> = Box<dyn Iterator<Item = Result<SeriesColumns>> + Send + 'a>;

/// Reads series.
pub trait SeriesSource: Send + Sync {
    /// The matching series, one by one, in no order.
    fn select<'a>(
        &'a self,
        request: &SeriesRequest,
        context: &'a QueryContext,
    ) -> Result<SeriesStream<'a>>;

    /// The same series in at most `count` streams, more than zero, for as many threads. Which series
    /// are in which stream depends on nothing but what is stored. One stream where sharing the work
    /// costs more than it saves.
    fn select_parts<'a>(
        &'a self,
        request: &SeriesRequest,
        count: usize,
        context: &'a QueryContext,
    ) -> Result<Vec<SeriesStream<'a>>> {
        let _ = count;
        Ok(vec![self.select(request, context)?])
    }

    /// Names of labels on matching series with samples in `range`, sorted. A store may also tell
    /// those of series whose samples lie near the range, in a part of the store that overlaps it.
    fn label_names(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> Result<Vec<String>>;

    /// Values of label `name` on matching series with samples in `range`, sorted; as for names,
    /// those of series near the range may be among them.
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> Result<Vec<String>>;

    /// Exemplars of matching series in `range`: each series once, exemplars in order of time.
    fn exemplars(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>>;

    /// Help, unit and kind of metric families, sorted by name.
    fn metadata(&self) -> Result<Vec<(String, MetricMetadata)>>;
}

/// The order in which log rows are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// Which columns of a record a query wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogColumns {
    /// The line.
    pub line: bool,
    /// Structured metadata.
    pub metadata: bool,
}

/// Asks for log rows.
#[derive(Debug, Clone)]
pub struct LogRequest {
    /// On stream labels; all must match. Exact.
    pub matchers: Vec<Matcher>,
    /// Only rows inside. Exact.
    pub range: RangeNs,
    /// Rows that fail one may be left out. A hint.
    pub lines: Vec<LineCondition>,
    /// On what [`crate::log::field_of`] tells; rows that fail one may be left out. A hint.
    pub fields: Vec<Matcher>,
    /// The order of the visit; `None` if the query does not care. Rows of equal time are visited in
    /// order of arrival, reversed for [`Direction::Backward`]. Exact.
    pub order: Option<Direction>,
    /// Columns that are not wanted may be empty.
    pub columns: LogColumns,
}

/// Reads log records.
pub trait LogSource: Send + Sync {
    /// Visits matching rows until the visitor breaks.
    fn scan(
        &self,
        request: &LogRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> Result<()>;

    /// The number after that of the last row that arrived ([`crate::log::LogRow::arrival`]).
    fn arrivals_end(&self) -> u64;

    /// As [`LogSource::scan`], of the rows only whose numbers are in `arrivals`. Costs little where
    /// those are the newest.
    fn scan_arrivals(
        &self,
        arrivals: Range<u64>,
        request: &LogRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        self.scan(request, context, &mut |row| {
            if arrivals.contains(&row.arrival) { visit(row) } else { ControlFlow::Continue(()) }
        })
    }

    /// Counts matching rows, and visits the counts that are not zero, in no order, until the visitor
    /// breaks. One key (stream, fields, pattern, bucket) may be visited several times: counts add up.
    /// Patterns are the store's own; this method, for stores without any, takes each line for its own
    /// pattern.
    fn count(
        &self,
        request: &LogCountRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(&LogCount<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        count_by_scan(self, request, &|line| line.to_owned(), context, visit)
    }

    /// Labels of matching streams with rows in `range`, sorted.
    fn streams(
        &self,
        matchers: &[Matcher],
        range: RangeNs,
        context: &QueryContext,
    ) -> Result<Vec<Labels>>;
}

/// Where TraceQL looks for an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttributeScope {
    /// `span.`
    Span,
    /// `resource.`
    Resource,
    /// `.`: span, then resource.
    Any,
    /// `event.`
    Event,
    /// `link.`
    Link,
    /// `instrumentation.`
    Instrumentation,
}

/// A condition on single spans that a store may use to skip traces.
#[derive(Debug, Clone, PartialEq)]
pub enum SpanHint {
    /// The attribute equals the value.
    AttributeEquals(AttributeScope, String, Value),
    /// The attribute exists.
    AttributeExists(AttributeScope, String),
    /// The span's name.
    NameEquals(String),
    /// The span's status.
    StatusEquals(crate::span::StatusCode),
    /// The span's kind.
    KindEquals(crate::span::SpanKind),
    /// The span lasts at least this many nanoseconds.
    DurationAtLeast(i64),
}

/// Asks for traces.
#[derive(Debug, Clone)]
pub struct SpanRequest {
    /// Traces with a span that starts inside. Exact.
    pub range: RangeNs,
    /// Each trace wanted has, for every hint, a span that satisfies it; others may be left out. A
    /// hint.
    pub hints: Vec<SpanHint>,
}

/// Reads spans.
pub trait SpanSource: Send + Sync {
    /// Visits whole traces (all their spans, also those outside the range), newest start first as
    /// far as the store knows, until the visitor breaks.
    fn scan(
        &self,
        request: &SpanRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(Trace) -> ControlFlow<()>,
    ) -> Result<()>;

    /// All spans of one trace, or `None` if there is none.
    fn trace(&self, id: TraceId, context: &QueryContext) -> Result<Option<Trace>>;

    /// Attribute names in `range` by scope, sorted.
    fn attribute_names(
        &self,
        range: RangeNs,
        context: &QueryContext,
    ) -> Result<Vec<(AttributeScope, Vec<String>)>>;

    /// Distinct values of an attribute in `range`, at most `limit`, in no order.
    fn attribute_values(
        &self,
        scope: AttributeScope,
        name: &str,
        range: RangeNs,
        limit: usize,
        context: &QueryContext,
    ) -> Result<Vec<Value>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_query_over_its_budget_is_refused_and_its_cost_is_named() {
        let limits = QueryLimits { items_max: 10, ..Default::default() };
        let context = QueryContext::new(limits, Arc::new(ManualClock::default()));
        assert!(context.charge(10, 0).is_ok());
        let error = context.charge(1, 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted);
        assert!(error.message().contains("11 samples"), "{error}");
    }

    #[test]
    fn a_query_that_holds_too_much_is_refused() {
        let limits = QueryLimits { memory_bytes_max: 1000, ..Default::default() };
        let context = QueryContext::new(limits, Arc::new(ManualClock::default()));
        assert!(context.charge(10, 5000).is_ok());
        assert!(context.hold(1000).is_ok());
        let error = context.hold(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted);
        assert!(error.message().contains("1001 bytes of memory"), "{error}");
    }

    #[test]
    fn a_query_stops_when_it_is_canceled_or_late() {
        let clock = Arc::new(ManualClock::default());
        let context = QueryContext::new(QueryLimits::default(), clock.clone());
        clock.advance(Duration::from_secs(121));
        assert_eq!(context.check().unwrap_err().kind(), ErrorKind::Timeout);
        let context = QueryContext::new(QueryLimits::default(), clock);
        context.cancel_handle().cancel();
        assert_eq!(context.charge(1, 1).unwrap_err().kind(), ErrorKind::Canceled);
    }
}
