//! Samples of series: floats, native histograms, exemplars, metadata.

use crate::clock::TimestampMs;
use crate::labels::Labels;

/// A store's number of a series; stable until the store forgets the series, also over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u64);

/// The bits of the NaN that ends a series (Prometheus `model/value/value.go`, `StaleNaN`). Compare
/// bits, never the number.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The value that ends a series.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `value` is the staleness marker, not just any NaN.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// A native histogram at one instant: buckets whose bounds follow from `schema`.
///
/// Buckets are absolute counts (not deltas), sparse, sorted by index. Bucket `i` of a standard
/// schema covers `(base^(i-1), base^i]` with `base = 2^(2^-schema)` (Prometheus
/// `model/histogram/histogram.go`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NativeHistogram {
    /// -4 to 8, or -53 for custom bounds.
    pub schema: i32,
    /// Observations with an absolute value up to this are in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// The sum of all observations.
    pub sum: f64,
    /// `(index, count)` of positive buckets.
    pub positive: Vec<(i32, f64)>,
    /// `(index, count)` of negative buckets.
    pub negative: Vec<(i32, f64)>,
    /// Upper bounds of schema -53, else empty.
    pub custom_bounds: Vec<f64>,
    /// What is known about counter resets before this sample.
    pub reset_hint: ResetHint,
}

/// What a source knows about counter resets between a histogram and the sample before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResetHint {
    /// Nothing: the buckets have to be compared.
    #[default]
    Unknown,
    /// There was a reset.
    Reset,
    /// There was none.
    NotReset,
    /// The value is a gauge, whose decrease is no reset.
    Gauge,
}

impl ResetHint {
    /// The byte that stores it: 0 unknown, 1 gauge, 2 reset, 3 no reset.
    pub fn to_byte(self) -> u8 {
        match self {
            ResetHint::Unknown => 0,
            ResetHint::Gauge => 1,
            ResetHint::Reset => 2,
            ResetHint::NotReset => 3,
        }
    }

    /// What [`ResetHint::to_byte`] wrote; bytes without a meaning are unknown.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            1 => ResetHint::Gauge,
            2 => ResetHint::Reset,
            3 => ResetHint::NotReset,
            _ => ResetHint::Unknown,
        }
    }
}

/// What a metric is, as told by its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricKind {
    /// Not told.
    #[default]
    Unknown,
    /// Only grows, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// `_bucket`, `_sum`, `_count`, or a native histogram.
    Histogram,
    /// `quantile`, `_sum`, `_count`.
    Summary,
    /// A histogram whose buckets go up and down.
    GaugeHistogram,
    /// Always 1; its labels tell something.
    Info,
    /// A set of booleans.
    StateSet,
}

impl MetricKind {
    /// The word of Prometheus's metadata API.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricKind::Unknown => "unknown",
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
            MetricKind::Summary => "summary",
            MetricKind::GaugeHistogram => "gaugehistogram",
            MetricKind::Info => "info",
            MetricKind::StateSet => "stateset",
        }
    }
}

/// Help and unit of a metric family.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct MetricMetadata {
    /// What it is.
    pub kind: MetricKind,
    /// A sentence for people.
    pub help: String,
    /// The unit as the sender wrote it.
    pub unit: String,
}

/// One observation kept with its trace: the jump from a metric to a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// `trace_id`, `span_id` and the attributes that the aggregation dropped.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When it was observed.
    pub at: TimestampMs,
}
