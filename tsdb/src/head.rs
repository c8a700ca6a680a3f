//! What the store holds in memory: the series that are being written, their samples of the windows
//! that are not sealed yet, and samples that came late.
//!
//! The head stands behind one read-write lock. Writers hold it for a batch, which takes about thirty
//! nanoseconds a sample; readers copy what they need of a few series at a time.

pub(crate) mod catalogue;
pub(crate) mod histograms;
mod postings;
mod read;
pub(crate) mod series;
pub(crate) mod times;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use model::TimestampMs;
use model::read::RangeMs;
use model::sample::{Exemplar, MetricMetadata, SeriesId};
use model::write::{SeriesBatch, UNKNOWN_SERIES, WriteOutcome};
use roaring::RoaringBitmap;

use crate::columns::HistogramSample;
pub(crate) use catalogue::Among;
use catalogue::Catalogue;
pub(crate) use read::{RangeCache, Wanted};
use series::{Chunk, Late, Seen, Series, exemplar_bytes, histogram_bytes};
use times::TimeTree;

/// Exemplars of one series that wait for a seal; older ones make room.
const EXEMPLARS_PER_SERIES_MAX: usize = 64;

/// No store has more series at once; a record that names a higher slot is broken.
pub(crate) const SLOT_MAX: u32 = 1 << 29;

/// No slot is given out that often, and ids of folded series have the bit above.
const EPOCH_WHILE_LOADING: u32 = 1 << 30;

/// One stretch of time whose samples are sealed together.
#[derive(Default)]
pub(crate) struct Window {
    pub(crate) tree: TimeTree,
    /// When a sample last came, on the wall clock.
    pub(crate) appended_at: i64,
}

pub(crate) struct Head {
    pub(crate) catalogue: Catalogue,
    pub(crate) series: Vec<Series>,
    /// How often each slot was given out: the upper half of a series id.
    epochs: Vec<u32>,
    first_epoch: u32,
    /// The slot whose series came after that of each slot, as far as anybody told. A guess.
    followers: Vec<AtomicU32>,
    /// By number.
    pub(crate) windows: BTreeMap<i64, Window>,
    pub(crate) window_ms: i64,
    /// Windows up to this number take no more samples in order: what comes is late.
    pub(crate) sealed_through: i64,
    /// Sealed windows for which something came since their last seal, and windows with samples that
    /// came out of order.
    pub(crate) late: BTreeSet<i64>,
    /// Late samples in memory.
    pub(crate) late_samples: usize,
    pub(crate) metadata: BTreeMap<String, MetricMetadata>,
    /// Heap of chunks and rare parts.
    sample_bytes: usize,
    /// Removed slots that records on disk may still name.
    pub(crate) removed: Vec<u32>,
    /// Series without samples in memory.
    pub(crate) idle: RoaringBitmap,
}

impl Head {
    pub(crate) fn new(window_ms: i64) -> Self {
        Head {
            catalogue: Catalogue::default(),
            series: Vec::new(),
            epochs: Vec::new(),
            first_epoch: 0,
            followers: Vec::new(),
            windows: BTreeMap::new(),
            window_ms,
            sealed_through: i64::MIN,
            late: BTreeSet::new(),
            late_samples: 0,
            metadata: BTreeMap::new(),
            sample_bytes: 0,
            removed: Vec::new(),
            idle: RoaringBitmap::new(),
        }
    }

    /// A head whose ids no other head gives out.
    pub(crate) fn while_loading(window_ms: i64) -> Self {
        Head { first_epoch: EPOCH_WHILE_LOADING, ..Head::new(window_ms) }
    }

    /// What it holds in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let trees: usize = self.windows.values().map(|window| window.tree.bytes()).sum();
        self.catalogue.bytes()
            + self.series.capacity() * (size_of::<Series>() + 8)
            + self.sample_bytes
            + trees
    }

    pub(crate) fn window_of(&self, at: i64) -> i64 {
        at.div_euclid(self.window_ms)
    }

    /// The times of a window, both ends included.
    pub(crate) fn window_range(&self, window: i64) -> RangeMs {
        let start = window.saturating_mul(self.window_ms);
        let end = start.saturating_add(self.window_ms - 1);
        RangeMs { start: TimestampMs(start), end: TimestampMs(end) }
    }

    /// Whether samples of `range` may be in memory.
    pub(crate) fn may_hold(&self, range: RangeMs) -> bool {
        !self.late.is_empty() || self.window_of(range.end.0) > self.sealed_through
    }

    pub(crate) fn id(&self, slot: u32) -> SeriesId {
        let epoch = self.epochs.get(slot as usize).copied().unwrap_or(0);
        SeriesId(u64::from(epoch) << 32 | u64::from(slot))
    }

    /// The slot of a series, if its id is still its.
    #[inline]
    fn slot(&self, id: SeriesId) -> Option<u32> {
        let (epoch, slot) = ((id.0 >> 32) as u32, slot_of(id));
        let is_current = self.epochs.get(slot as usize) == Some(&epoch);
        (is_current && self.catalogue.contains(slot)).then_some(slot)
    }

    /// Makes a series.
    pub(crate) fn create(&mut self, fingerprint: u64, labels: &[(&str, &str)]) -> u32 {
        let slot = self.catalogue.insert(fingerprint, labels);
        self.room_for(slot);
        slot
    }

    /// Makes a series in the slot that a record on disk names, replacing another that is there.
    pub(crate) fn create_at(&mut self, slot: u32, fingerprint: u64, labels: &[(&str, &str)]) {
        if self.catalogue.contains(slot) {
            self.remove(slot);
        }
        self.catalogue.insert_at(slot, fingerprint, labels);
        self.room_for(slot);
    }

    /// Makes a series of interned pairs, for a checkpoint. `None` if the slot is taken or too high.
    pub(crate) fn restore_series(
        &mut self,
        slot: u32,
        fingerprint: u64,
        pairs: &[u32],
    ) -> Option<()> {
        if slot > SLOT_MAX {
            return None;
        }
        self.catalogue.restore(slot, fingerprint, pairs)?;
        self.room_for(slot);
        Some(())
    }

    fn room_for(&mut self, slot: u32) {
        while self.series.len() <= slot as usize {
            self.series.push(Series::empty());
            self.epochs.push(self.first_epoch);
            self.followers.push(AtomicU32::new(u32::MAX));
        }
        self.idle.insert(slot);
    }

    /// Removes a series and all its samples in memory.
    pub(crate) fn remove(&mut self, slot: u32) {
        if !self.catalogue.contains(slot) {
            return;
        }
        self.catalogue.remove(slot);
        let series = std::mem::replace(&mut self.series[slot as usize], Series::empty());
        let freed: usize = series.chunk.chain().map(Chunk::heap_bytes).sum();
        let rare = series.rare.as_ref().map_or(0, |rare| rare.heap_bytes());
        let late = series.rare.map_or(0, |rare| rare.late.len() + rare.late_histograms.len());
        self.late_samples -= late;
        self.sample_bytes = self.sample_bytes.saturating_sub(freed + rare);
        self.epochs[slot as usize] = self.epochs[slot as usize].wrapping_add(1);
        self.idle.remove(slot);
        self.removed.push(slot);
    }

    /// The series that came after `previous`, if it has exactly these labels.
    #[inline]
    pub(crate) fn after(&self, previous: SeriesId, labels: &[(&[u8], &[u8])]) -> Option<SeriesId> {
        let slot = self.followers.get(previous.0 as u32 as usize)?.load(Ordering::Relaxed);
        self.catalogue.has_labels(slot, labels).then(|| self.id(slot))
    }

    pub(crate) fn set_follower(&self, previous: SeriesId, series: SeriesId) {
        if let Some(follower) = self.followers.get(previous.0 as u32 as usize) {
            follower.store(series.0 as u32, Ordering::Relaxed);
        }
    }

    /// Whether all series of a batch are there.
    pub(crate) fn knows(&self, batch: &SeriesBatch) -> bool {
        let knows = |id: SeriesId| self.slot(id).is_some();
        batch.points.iter().all(|point| knows(point.series))
            && batch.histograms.iter().all(|point| knows(point.series))
            && batch.exemplars.iter().all(|(series, _)| knows(*series))
    }

    /// The part of a batch whose series are there; the samples of others are refused.
    pub(crate) fn known(&self, batch: &SeriesBatch, outcome: &mut WriteOutcome) -> SeriesBatch {
        let mut known = batch.clone();
        let mut check = |series: SeriesId| {
            let is_known = self.slot(series).is_some();
            if !is_known {
                refuse_unknown(outcome);
            }
            is_known
        };
        known.points.retain(|point| check(point.series));
        known.histograms.retain(|point| check(point.series));
        known.exemplars.retain(|(series, _)| self.slot(*series).is_some());
        known
    }

    /// Puts a batch into its series, which are there. Times were checked.
    pub(crate) fn apply(&mut self, batch: &SeriesBatch, now: i64) {
        for point in &batch.points {
            let slot = slot_of(point.series);
            self.push(slot, point.at.0, point.start.0, point.value.to_bits(), now);
        }
        for point in &batch.histograms {
            let histogram = Arc::new(point.histogram.clone());
            let sample = HistogramSample { at: point.at, start: point.start, histogram };
            self.push_histogram(slot_of(point.series), sample, now);
        }
        for (series, exemplar) in &batch.exemplars {
            self.push_exemplar(slot_of(*series), exemplar.clone());
        }
    }

    /// Adds a float sample.
    #[inline]
    pub(crate) fn push(&mut self, slot: u32, at: i64, start: i64, bits: u64, now: i64) {
        let number = at.div_euclid(self.window_ms);
        let chunk = &mut self.series[slot as usize].chunk;
        let is_later_window = chunk.count == 0 || number > chunk.window;
        if number <= self.sealed_through || (!is_later_window && number < chunk.window) {
            return self.push_late(slot, Late { at, start, bits });
        }
        let window = self.windows.entry(number).or_default();
        if is_later_window {
            if chunk.count == 0 {
                self.idle.remove(slot);
            } else {
                let mut old = std::mem::replace(chunk, Chunk::empty());
                let before = old.bytes.capacity();
                old.bytes.shrink_to_fit();
                self.sample_bytes -= before - old.bytes.capacity();
                self.sample_bytes += size_of::<Chunk>();
                chunk.previous = Some(Box::new(old));
            }
            chunk.window = number;
        }
        let last = window.tree.last(chunk.node);
        if at > last {
            window.appended_at = now;
            self.sample_bytes += chunk.push(&mut window.tree, at, start, bits);
        } else if at < last || chunk.xor.last != bits || chunk.start != start {
            self.push_late(slot, Late { at, start, bits });
        }
        // Else it is the last sample once more.
    }

    /// Notes that a series is written which has no chunk that would tell.
    fn touch(&mut self, slot: u32, window: i64) {
        let sealed_through = self.sealed_through;
        let chunk = &mut self.series[slot as usize].chunk;
        if chunk.count == 0 {
            chunk.window = chunk.window.max(window).max(sealed_through);
            self.idle.remove(slot);
        }
    }

    fn push_late(&mut self, slot: u32, late: Late) {
        self.touch(slot, late.at.div_euclid(self.window_ms));
        let rare = self.series[slot as usize].rare();
        let before = rare.late.capacity();
        rare.late.push(late);
        self.sample_bytes += (rare.late.capacity() - before) * size_of::<Late>();
        self.late.insert(late.at.div_euclid(self.window_ms));
        self.late_samples += 1;
    }

    /// Adds a native histogram sample.
    pub(crate) fn push_histogram(&mut self, slot: u32, sample: HistogramSample, now: i64) {
        let number = sample.at.0.div_euclid(self.window_ms);
        let is_sealed = number <= self.sealed_through;
        self.touch(slot, number);
        let rare = self.series[slot as usize].rare();
        let last = rare.histograms.last_at();
        if sample.at.0 > last && !is_sealed {
            let before = rare.histograms.bytes();
            rare.histograms.push(&sample);
            self.sample_bytes += rare.histograms.bytes() - before;
            self.windows.entry(number).or_default().appended_at = now;
        } else if sample.at.0 != last || rare.histograms.last() != Some(&sample.histogram) {
            self.sample_bytes += histogram_bytes(&sample);
            rare.late_histograms.push(sample);
            self.late.insert(number);
            self.late_samples += 1;
        }
    }

    pub(crate) fn push_exemplar(&mut self, slot: u32, exemplar: Exemplar) {
        let window = exemplar.at.0.div_euclid(self.window_ms);
        let rare = self.series[slot as usize].rare();
        if rare.exemplars.contains(&exemplar) {
            return;
        }
        if window <= self.sealed_through {
            self.late.insert(window);
        }
        self.sample_bytes += exemplar_bytes(&exemplar);
        if rare.exemplars.len() == EXEMPLARS_PER_SERIES_MAX {
            let oldest = rare.exemplars.remove(0);
            self.sample_bytes = self.sample_bytes.saturating_sub(exemplar_bytes(&oldest));
        }
        rare.exemplars.push(exemplar);
    }

    /// Puts a chunk back that a checkpoint holds. `None` if it does not fit the windows.
    pub(crate) fn restore(&mut self, slot: u32, series: Series) -> Option<()> {
        for chunk in series.chunk.chain() {
            let window = self.windows.get(&chunk.window)?;
            if !window.tree.contains(chunk.node) {
                return None;
            }
            self.sample_bytes += chunk.heap_bytes();
        }
        if let Some(rare) = &series.rare {
            self.sample_bytes += rare.heap_bytes();
            let late = rare.late.iter().map(|late| late.at);
            for at in late.chain(rare.late_histograms.iter().map(|sample| sample.at.0)) {
                self.late.insert(at.div_euclid(self.window_ms));
                self.late_samples += 1;
            }
            for exemplar in &rare.exemplars {
                let window = exemplar.at.0.div_euclid(self.window_ms);
                if window <= self.sealed_through {
                    self.late.insert(window);
                }
            }
        }
        if series.has_samples() {
            self.idle.remove(slot);
        }
        *self.series.get_mut(slot as usize)? = series;
        Some(())
    }

    /// Forgets what a seal of `range` has taken: chunks of its windows, and of the rare lists what
    /// stood in them when it looked.
    pub(crate) fn forget(&mut self, slot: u32, range: RangeMs, seen: Seen) {
        let Some(series) = self.series.get_mut(slot as usize) else { return };
        let (first, last) =
            (range.start.0.div_euclid(self.window_ms), range.end.0.div_euclid(self.window_ms));
        let is_taken = |chunk: &Chunk| first <= chunk.window && chunk.window <= last;
        // The newest chunk keeps its window number: it tells when the series was last written.
        if series.chunk.count > 0 && is_taken(&series.chunk) {
            let window = series.chunk.window;
            let previous = series.chunk.previous.take();
            self.sample_bytes -= series.chunk.heap_bytes();
            series.chunk = Chunk { window, previous, ..Chunk::empty() };
        }
        let mut link = &mut series.chunk.previous;
        while let Some(chunk) = link {
            if is_taken(chunk) {
                self.sample_bytes -=
                    (chunk.heap_bytes() + size_of::<Chunk>()).min(self.sample_bytes);
                *link = chunk.previous.take();
            } else if let Some(chunk) = link {
                link = &mut chunk.previous;
            }
        }
        let Some(rare) = series.rare.as_deref_mut() else {
            if !series.has_samples() {
                self.idle.insert(slot);
            }
            return;
        };
        let before = rare.heap_bytes();
        let late_before = rare.late.len() + rare.late_histograms.len();
        retain_unseen(&mut rare.late, seen.late, |late| !range.contains(TimestampMs(late.at)));
        retain_unseen(&mut rare.late_histograms, seen.late_histograms, |sample| {
            !range.contains(sample.at)
        });
        self.late_samples -= late_before - rare.late.len() - rare.late_histograms.len();
        retain_unseen(&mut rare.exemplars, seen.exemplars, |exemplar| !range.contains(exemplar.at));
        if seen.histograms > 0 {
            let mut samples = rare.histograms.samples();
            retain_unseen(&mut samples, seen.histograms, |sample| !range.contains(sample.at));
            let mut kept = histograms::HistogramChunk::default();
            samples.iter().for_each(|sample| kept.push(sample));
            rare.histograms = kept;
        }
        rare.late.shrink_to_fit();
        let after = rare.heap_bytes();
        self.sample_bytes = (self.sample_bytes + after).saturating_sub(before);
        if rare.is_empty() {
            series.rare = None;
        }
        if !series.has_samples() {
            self.idle.insert(slot);
        }
    }

    /// Drops the trees of these windows: no chunk refers to them any more.
    pub(crate) fn drop_windows(&mut self, first: i64, last: i64) {
        self.windows.retain(|number, _| *number < first || *number > last);
    }
}

/// Keeps of the first `seen` entries those that `keep` says, and all later ones.
fn retain_unseen<T>(list: &mut Vec<T>, seen: usize, mut keep: impl FnMut(&T) -> bool) {
    let mut index = 0;
    list.retain(|entry| {
        index += 1;
        index > seen || keep(entry)
    });
}

/// The slot of a series: the lower half of its id.
fn slot_of(id: SeriesId) -> u32 {
    id.0 as u32
}

fn refuse_unknown(outcome: &mut WriteOutcome) {
    outcome.refuse(UNKNOWN_SERIES, || {
        "the sample's series was given another id while the sample was on its way".to_owned()
    });
}
