//! How many series there are, and why: what an operator asks before and after a bill.

use crate::clock::TimestampMs;
use crate::matcher::Matcher;
use crate::read::RangeMs;

/// A name and a number that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// What is counted.
    pub name: String,
    /// How much of it.
    pub count: u64,
}

/// The series in memory, counted as Prometheus counts those of its head. Tables have the largest
/// numbers first, equal ones in order of name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadCardinality {
    /// Series.
    pub series: u64,
    /// Different pairs of a label name and a value.
    pub label_pairs: u64,
    /// Stretches of samples that are not sealed yet.
    pub chunks: u64,
    /// The first time of a window that is not sealed; the largest time if there is none.
    pub start: TimestampMs,
    /// The newest sample; the smallest time if there is none.
    pub end: TimestampMs,
    /// Series by metric name.
    pub series_by_metric: Vec<Counted>,
    /// Different values by label name.
    pub values_by_label: Vec<Counted>,
    /// Bytes of the values of all series by label name, as if none was shared.
    pub bytes_by_label: Vec<Counted>,
    /// Series by `name=value`.
    pub series_by_pair: Vec<Counted>,
}

/// Asks for the series that have samples in a range.
#[derive(Debug, Clone)]
pub struct CardinalityRequest {
    /// Series of any of these selectors; all series if there is none.
    pub selectors: Vec<Vec<Matcher>>,
    /// When. Of a block that reaches over an end of the range all series count.
    pub range: RangeMs,
    /// How many values of each label are told.
    pub values_max: usize,
}

/// How many series there are. A series counts once, however often it is stored. Deleted series count
/// until their deletion is final.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cardinality {
    /// Series.
    pub series: u64,
    /// Their labels: those with most values first, equal ones in order of name.
    pub labels: Vec<LabelCardinality>,
    /// When they had samples, oldest first.
    pub stretches: Vec<Stretch>,
}

/// One label of the series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelCardinality {
    /// Its name.
    pub name: String,
    /// Different values.
    pub values: u64,
    /// Series that have the label.
    pub series: u64,
    /// The values of most series, those first; equal ones in order of value.
    pub top: Vec<Counted>,
}

/// A stretch of time that is stored together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Its first time.
    pub start: TimestampMs,
    /// Its last time.
    pub end: TimestampMs,
    /// Whether it is not on disk as a block yet.
    pub is_in_memory: bool,
    /// Series with samples in it.
    pub series: u64,
    /// Those of them that no older stretch has.
    pub new_series: u64,
}

/// A block on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlock {
    /// Names its file.
    pub number: u64,
    /// The first time.
    pub start: TimestampMs,
    /// The last time.
    pub end: TimestampMs,
    /// Series.
    pub series: u64,
    /// Floats.
    pub float_samples: u64,
    /// Native histograms.
    pub histogram_samples: u64,
    /// How often its samples were merged.
    pub level: u32,
    /// The length of the buckets of a rollup.
    pub rollup_ms: Option<i64>,
    /// The size of its file.
    pub bytes: u64,
}
