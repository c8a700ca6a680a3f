//! The samples of one series in memory.

use std::sync::Arc;

use model::read::RangeMs;
use model::sample::Exemplar;

use super::histograms::HistogramChunk;
use super::times::{NodeId, ROOT, TimeTree};
use crate::columns::{HistogramSample, StartRun};
use crate::xor::{self, XorState};

/// Samples of one series in one window, in order: values here, times in the window's tree.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// Number of the window; `i64::MIN` for the chunk of a series that has none.
    pub(crate) window: i64,
    pub(crate) node: NodeId,
    pub(crate) count: u32,
    pub(crate) xor: XorState,
    pub(crate) bytes: Vec<u8>,
    /// The start time of the newest sample.
    pub(crate) start: i64,
    /// Absent while all samples have one start time.
    #[expect(clippy::box_collection, reason = "rare, and every series pays for the field")]
    pub(crate) starts: Option<Box<Vec<StartRun>>>,
    /// The chunk of an older window that is not sealed yet.
    pub(crate) previous: Option<Box<Chunk>>,
}

impl Chunk {
    pub(crate) fn empty() -> Self {
        Chunk {
            window: i64::MIN,
            node: ROOT,
            count: 0,
            xor: XorState::default(),
            bytes: Vec::new(),
            start: 0,
            starts: None,
            previous: None,
        }
    }

    /// Adds a sample that is later than all of the chunk. Answers by how many bytes it grew.
    #[inline]
    pub(crate) fn push(&mut self, tree: &mut TimeTree, at: i64, start: i64, bits: u64) -> usize {
        self.node = tree.step(self.node, at);
        if self.count == 0 {
            self.start = start;
        } else if self.start != start {
            let runs = self
                .starts
                .get_or_insert_with(|| Box::new(vec![StartRun { first: 0, start: self.start }]));
            runs.push(StartRun { first: self.count, start });
            self.start = start;
        }
        let before = self.bytes.capacity();
        if self.bytes.len() + 10 > before {
            // Doubling would waste half of a small buffer; most series append little.
            self.bytes.reserve_exact((before / 2).max(24));
        }
        self.xor.push(&mut self.bytes, bits);
        self.count += 1;
        self.bytes.capacity() - before
    }

    /// All values.
    pub(crate) fn values(&self) -> Vec<f64> {
        let mut values = Vec::new();
        // The bytes are our own; a defect must not take the process down.
        if xor::decode(&self.bytes, self.count as usize, &mut values).is_none() {
            values.clear();
        }
        values
    }

    /// Runs of start times from sample `first` on.
    pub(crate) fn start_runs(&self, first: usize, count: usize) -> Vec<StartRun> {
        match &self.starts {
            None => vec![StartRun { first: 0, start: self.start }],
            Some(runs) => slice_runs(runs, first, count),
        }
    }

    /// The chunk and those before it, newest first.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &Chunk> {
        std::iter::successors(Some(self), |chunk| chunk.previous.as_deref())
            .filter(|chunk| chunk.count > 0)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.starts.as_ref().map_or(0, |runs| 24 + runs.capacity() * 16)
    }
}

/// The runs of `count` samples from `first` on.
pub(crate) fn slice_runs(runs: &[StartRun], first: usize, count: usize) -> Vec<StartRun> {
    let (first, end) = (first as u32, (first + count) as u32);
    let mut sliced: Vec<StartRun> = Vec::new();
    for run in runs.iter().take_while(|run| run.first < end) {
        let moved = StartRun { first: run.first.saturating_sub(first), start: run.start };
        if moved.first == 0 {
            sliced.clear();
        }
        sliced.push(moved);
    }
    sliced
}

/// A float sample that did not come in order, or belongs to a window that is sealed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Late {
    pub(crate) at: i64,
    pub(crate) start: i64,
    pub(crate) bits: u64,
}

/// What most series do not have. All lists are in order of arrival, so that a seal can say which
/// entries it took: those before the length that it saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rare {
    pub(crate) late: Vec<Late>,
    pub(crate) histograms: HistogramChunk,
    pub(crate) late_histograms: Vec<HistogramSample>,
    pub(crate) exemplars: Vec<Exemplar>,
}

impl Rare {
    pub(crate) fn has_samples(&self) -> bool {
        !(self.late.is_empty() && self.histograms.is_empty() && self.late_histograms.is_empty())
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.has_samples() && self.exemplars.is_empty()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.late.capacity() * size_of::<Late>()
            + self.histograms.bytes()
            + self.late_histograms.iter().map(histogram_bytes).sum::<usize>()
            + self.exemplars.iter().map(exemplar_bytes).sum::<usize>()
    }
}

pub(crate) fn histogram_bytes(sample: &HistogramSample) -> usize {
    let histogram = &sample.histogram;
    let buckets = histogram.positive.len() + histogram.negative.len();
    180 + buckets * 16 + histogram.custom_bounds.len() * 8
}

pub(crate) fn exemplar_bytes(exemplar: &Exemplar) -> usize {
    let labels: usize = exemplar.labels.iter().map(|(n, v)| n.len() + v.len() + 64).sum();
    48 + labels
}

/// One series.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// The newest chunk.
    pub(crate) chunk: Chunk,
    pub(crate) rare: Option<Box<Rare>>,
}

impl Series {
    pub(crate) fn empty() -> Self {
        Series { chunk: Chunk::empty(), rare: None }
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Whether there is anything but exemplars.
    pub(crate) fn has_samples(&self) -> bool {
        self.chunk.chain().next().is_some()
            || self.rare.as_ref().is_some_and(|rare| rare.has_samples())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunk.chain().next().is_none() && self.rare.as_ref().is_none_or(|rare| rare.is_empty())
    }
}

/// How much of a series' rare lists a seal has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) late: usize,
    pub(crate) histograms: usize,
    pub(crate) late_histograms: usize,
    pub(crate) exemplars: usize,
}

/// Indexes of sorted `times` inside `range`.
pub(crate) fn indexes(times: &[i64], range: RangeMs) -> std::ops::Range<usize> {
    let first = times.partition_point(|time| *time < range.start.0);
    let end = times.partition_point(|time| *time <= range.end.0);
    first..end.max(first)
}

/// The part of `times` inside `range` and where it begins; shares when it is all of it.
pub(crate) fn slice_times(times: &Arc<Vec<i64>>, range: RangeMs) -> (usize, Arc<Vec<i64>>) {
    let inside = indexes(times, range);
    if inside.len() == times.len() {
        return (0, times.clone());
    }
    (inside.start, Arc::new(times[inside].to_vec()))
}
