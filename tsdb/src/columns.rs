//! The samples of one series as columns: what the head, the blocks and the merges hand each other.

use std::sync::Arc;

use model::TimestampMs;
use model::sample::{Exemplar, NativeHistogram};

/// From sample `first` on, samples have this start time, until the next run begins. Samples before
/// the first run have [`model::write::NO_START`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StartRun {
    pub(crate) first: u32,
    pub(crate) start: i64,
}

/// One native histogram sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HistogramSample {
    pub(crate) at: TimestampMs,
    pub(crate) start: TimestampMs,
    pub(crate) histogram: Arc<NativeHistogram>,
}

/// Samples of one series; each kind in strictly increasing order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Columns {
    /// Times of `values` in milliseconds. Series that were measured together share them.
    pub(crate) times: Arc<Vec<i64>>,
    pub(crate) values: Vec<f64>,
    /// Runs of start times of `values`, in order, neighbours different.
    pub(crate) starts: Vec<StartRun>,
    pub(crate) histograms: Vec<HistogramSample>,
    /// In order of time; times may repeat.
    pub(crate) exemplars: Vec<Exemplar>,
}
