//! Reading the head: what of a series is in memory, copied out as columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::TimestampMs;
use model::read::RangeMs;
use model::sample::Exemplar;
use rustc_hash::FxHashMap;

use super::Head;
use super::series::{self, Chunk, Seen, Series};
use super::times::{NodeId, TimeTree};
use crate::columns::{Columns, HistogramSample, StartRun};

/// What a reader wants of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Floats and native histograms.
    pub(crate) values: bool,
    pub(crate) starts: bool,
    pub(crate) exemplars: bool,
}

impl Wanted {
    pub(crate) const ALL: Self = Wanted { values: true, starts: true, exemplars: true };
}

/// The times of histories inside one range, so that all series of a query share them.
pub(crate) struct RangeCache {
    pub(crate) range: RangeMs,
    /// By window and node: the index of the first time inside the range, and the times inside.
    times: FxHashMap<(i64, NodeId), TimesInside>,
}

type TimesInside = (usize, Arc<Vec<i64>>);

/// More histories than this are not remembered at once.
const HISTORIES_MAX: usize = 8192;

impl RangeCache {
    pub(crate) fn new(range: RangeMs) -> Self {
        RangeCache { range, times: Default::default() }
    }

    /// The index of the first time of a chunk inside the range, and the times inside.
    fn times(&mut self, tree: &TimeTree, chunk: &Chunk) -> (usize, Arc<Vec<i64>>) {
        let key = (chunk.window, chunk.node);
        if let Some(found) = self.times.get(&key) {
            return found.clone();
        }
        if self.times.len() >= HISTORIES_MAX {
            self.times.clear();
        }
        let all = Arc::new(tree.times(chunk.node, chunk.count as usize));
        let sliced = series::slice_times(&all, self.range);
        self.times.insert(key, sliced.clone());
        sliced
    }
}

impl Head {
    /// Whether a series has any sample in memory in `range`.
    pub(crate) fn has_samples(&self, slot: u32, range: RangeMs) -> bool {
        let series = &self.series[slot as usize];
        let in_chunks = series.chunk.chain().any(|chunk| {
            let window = self.window_range(chunk.window);
            if window.end < range.start || window.start > range.end {
                return false;
            }
            let Some(tree) = self.windows.get(&chunk.window).map(|window| &window.tree) else {
                return false;
            };
            let last = tree.last(chunk.node);
            range.contains(TimestampMs(last))
                || !series::indexes(&tree.times(chunk.node, chunk.count as usize), range).is_empty()
        });
        let in_rare = |rare: &series::Rare| {
            rare.late.iter().any(|late| range.contains(TimestampMs(late.at)))
                || rare.late_histograms.iter().any(|sample| range.contains(sample.at))
                || (rare.histograms.last_at() >= range.start.0
                    && rare.histograms.samples().iter().any(|sample| range.contains(sample.at)))
        };
        in_chunks || series.rare.as_deref().is_some_and(in_rare)
    }

    /// The samples of a series in the cache's range, as parts of which later ones win.
    pub(crate) fn read(
        &self,
        slot: u32,
        cache: &mut RangeCache,
        wanted: Wanted,
        parts: &mut Vec<Columns>,
    ) -> Seen {
        let range = cache.range;
        let series = &self.series[slot as usize];
        let first_part = parts.len();
        for chunk in series.chunk.chain() {
            let window = self.window_range(chunk.window);
            if window.end < range.start || window.start > range.end {
                continue;
            }
            let Some(tree) = self.windows.get(&chunk.window).map(|window| &window.tree) else {
                continue;
            };
            let (first, times) = cache.times(tree, chunk);
            if times.is_empty() {
                continue;
            }
            let mut columns = Columns::default();
            if wanted.values {
                let mut values = chunk.values();
                values.truncate(first + times.len());
                values.drain(..first.min(values.len()));
                columns.values = values;
                if wanted.starts {
                    columns.starts = chunk.start_runs(first, times.len());
                }
            }
            columns.times = times;
            parts.push(columns);
        }
        // The chain runs from new to old.
        parts[first_part..].reverse();
        let Some(rare) = series.rare.as_deref() else { return Seen::default() };
        if wanted.values {
            read_late(rare, range, parts);
        }
        if wanted.exemplars {
            let inside = rare.exemplars.iter().filter(|exemplar| range.contains(exemplar.at));
            let mut exemplars: Vec<Exemplar> = inside.cloned().collect();
            exemplars.sort_by_key(|exemplar| exemplar.at);
            if !exemplars.is_empty() {
                parts.push(Columns { exemplars, ..Default::default() });
            }
        }
        Seen {
            late: rare.late.len(),
            histograms: rare.histograms.count(),
            late_histograms: rare.late_histograms.len(),
            exemplars: rare.exemplars.len(),
        }
    }

    /// The slots that hold anything in `range`, whose ends are ends of windows.
    pub(crate) fn slots_in(&self, range: RangeMs) -> Vec<u32> {
        let window = |at: i64| at.div_euclid(self.window_ms);
        let (first, last) = (window(range.start.0), window(range.end.0));
        let is_in = |series: &Series| {
            series.chunk.chain().any(|chunk| first <= chunk.window && chunk.window <= last)
                || series.rare.as_deref().is_some_and(|rare| {
                    rare.late.iter().any(|late| range.contains(TimestampMs(late.at)))
                        || rare.late_histograms.iter().any(|sample| range.contains(sample.at))
                        || rare.exemplars.iter().any(|exemplar| range.contains(exemplar.at))
                        || (rare.histograms.last_at() >= range.start.0
                            && rare.histograms.samples().iter().any(|s| range.contains(s.at)))
                })
        };
        let slots = 0..self.series.len() as u32;
        slots.filter(|slot| is_in(&self.series[*slot as usize])).collect()
    }
}

/// Late floats and all histograms of a series, in order of time.
fn read_late(rare: &series::Rare, range: RangeMs, parts: &mut Vec<Columns>) {
    // A map keeps the last that came of each time.
    let late: BTreeMap<i64, (i64, u64)> = rare
        .late
        .iter()
        .filter(|late| range.contains(TimestampMs(late.at)))
        .map(|late| (late.at, (late.start, late.bits)))
        .collect();
    if !late.is_empty() {
        let mut starts: Vec<StartRun> = Vec::new();
        for (first, (start, _)) in (0u32..).zip(late.values()) {
            if starts.last().is_none_or(|run| run.start != *start) {
                starts.push(StartRun { first, start: *start });
            }
        }
        parts.push(Columns {
            times: Arc::new(late.keys().copied().collect()),
            values: late.values().map(|(_, bits)| f64::from_bits(*bits)).collect(),
            starts,
            ..Default::default()
        });
    }
    let in_order = rare.histograms.samples();
    let late = rare.late_histograms.iter().cloned();
    let histograms: BTreeMap<i64, HistogramSample> = in_order
        .into_iter()
        .chain(late)
        .filter(|sample| range.contains(sample.at))
        .map(|sample| (sample.at.0, sample))
        .collect();
    if !histograms.is_empty() {
        let histograms = histograms.into_values().collect();
        parts.push(Columns { histograms, ..Default::default() });
    }
}
