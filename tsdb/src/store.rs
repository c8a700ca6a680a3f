//! The store: head, journal, checkpoint and blocks behind the traits of `model`.

mod admin;
mod labels;
mod maintain;
mod merge;
mod query;
mod replay;
mod rollups;
mod seal;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use disk::journal::CorruptRecord;
use disk::{Journal, PageCache};
use model::admin::Overflow;
use model::labels::{Labels, METRIC_NAME};
use model::read::RangeMs;
use model::sample::{MetricKind, MetricMetadata, SeriesId};
use model::write::{SeriesBatch, WriteOutcome};
use model::{Clock, Commit, SeriesSink, TimestampMs};
use parking_lot::{Mutex, RwLock};

use crate::block::fingerprint;
use crate::budget::{self, Folds};
use crate::delete::Mask;
use crate::error::{Error, Result};
use crate::head::Head;
use crate::manifest::{self, Manifest};
use crate::options::Options;
use crate::record::{self, NewSeries};
use crate::view::{OpenBlock, View};

pub use maintain::Stats;

/// What changes with every write, behind one lock.
pub(crate) struct Live {
    pub(crate) head: Head,
    /// What the next record must say before its samples, encoded: a million new series at once would
    /// be much memory otherwise.
    new_series: NewSeries,
    new_metadata: Vec<(String, MetricMetadata)>,
    /// The sequence of the next record.
    pub(crate) next_sequence: u64,
    folds: Folds,
}

impl Live {
    fn create(&mut self, hash: u64, labels: &[(&str, &str)]) -> SeriesId {
        let slot = self.head.create(hash, labels);
        self.new_series.push(slot, labels);
        self.head.id(slot)
    }
}

/// The time-series store.
pub struct Tsdb {
    options: Options,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    live: RwLock<Live>,
    journal: Journal,
    /// Replaced whole; a query holds the one it began with.
    view: RwLock<Arc<View>>,
    manifest: Mutex<Manifest>,
    /// Held by whoever seals, merges, deletes or writes a checkpoint.
    maintenance: Mutex<Maintenance>,
    cache: Arc<PageCache>,
    generation: AtomicU64,
    corrupt: Vec<CorruptRecord>,
    /// Files and sections that could not be read, in words.
    damage: Mutex<Vec<String>>,
    stopping: AtomicBool,
    /// Whether the last series that was asked for was new.
    is_creating: AtomicBool,
    /// When late samples were last sealed, on the wall clock.
    late_sealed_at: AtomicI64,
    written: Written,
}

/// Lock order: `maintenance`, `manifest`, `view`, `live`.
#[derive(Default)]
struct Maintenance {
    /// When the last checkpoint was written, on the wall clock.
    checkpoint_at: i64,
    /// The next record of the journal at that time.
    checkpoint_record: u64,
    checkpoint_journal_bytes: u64,
    checkpoint_bytes: u64,
    /// Slots that were removed before the last checkpoint: no record names them any more.
    reusable: Vec<u32>,
}

/// Bytes and work since the start.
#[derive(Default)]
struct Written {
    seals: AtomicU64,
    sealed_bytes: AtomicU64,
    merges: AtomicU64,
    merged_bytes: AtomicU64,
    checkpoints: AtomicU64,
    checkpoint_bytes: AtomicU64,
    journal_bytes: AtomicU64,
    samples: AtomicU64,
}

impl Tsdb {
    /// Opens the store in `dir` and rebuilds its head from checkpoint and journal. What a crash left
    /// behind is removed; what can not be read is left out and told by [`Tsdb::damage`].
    pub fn open(dir: &Path, options: Options, clock: Arc<dyn Clock>) -> Result<Tsdb> {
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let mut manifest = Manifest::open(dir, &*options.journal.files)?;
        manifest::remove_strays(dir, &manifest)?;
        let cache = PageCache::new(options.cache_bytes_max);
        let mut damage = Vec::new();
        let view = open_blocks(dir, &options, &mut manifest, &cache, &mut damage)?;
        let now = clock.now_ms().0;
        let (live, journal, recovery) =
            replay::open_head(dir, &options, &manifest, now, &mut damage)?;
        let corrupt = recovery.corrupt;
        let maintenance = Maintenance { checkpoint_at: now, ..Default::default() };
        Ok(Tsdb {
            options,
            clock,
            dir: dir.to_owned(),
            live: RwLock::new(live),
            journal,
            view: RwLock::new(Arc::new(view)),
            manifest: Mutex::new(manifest),
            maintenance: Mutex::new(maintenance),
            cache,
            generation: AtomicU64::new(0),
            corrupt,
            damage: Mutex::new(damage),
            stopping: AtomicBool::new(false),
            is_creating: AtomicBool::new(false),
            late_sealed_at: AtomicI64::new(now),
            written: Written::default(),
        })
    }

    /// Why the store refuses writes until a restart, if it does.
    pub fn read_only_reason(&self) -> Option<String> {
        self.journal.poisoned()
    }

    /// Why the store refuses writes until the disk has room, if it does.
    pub fn disk_full_reason(&self) -> Option<String> {
        self.journal.disk_full()
    }

    /// Stretches of the journal that were skipped at start.
    pub fn corrupt_records(&self) -> &[CorruptRecord] {
        &self.corrupt
    }

    /// What else could not be read, in words that name the file.
    pub fn damage(&self) -> Vec<String> {
        self.damage.lock().clone()
    }

    /// Makes [`Tsdb::maintain`] return soon: a merge that runs is given up.
    pub fn stop_maintenance(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Writes the head down, then what waits for the journal, and stops. Reads still work.
    pub fn close(&self) {
        self.stop_maintenance();
        if self.journal.poisoned().is_none() {
            // A start after a clean stop has nothing to replay. If this fails, it has.
            self.checkpoint(&mut self.maintenance.lock()).ok();
        }
        self.journal.close();
    }

    fn check_time(&self, at: TimestampMs, now: TimestampMs, outcome: &mut WriteOutcome) -> bool {
        let Options { retention_ms, future_ms_max, .. } = self.options;
        if retention_ms > 0 && at < now.plus_ms(-retention_ms) {
            outcome.refuse("too_old", || {
                format!("sample at {at} is older than the retention of {} s", retention_ms / 1000)
            });
            return false;
        }
        if at > now.plus_ms(future_ms_max) {
            outcome.refuse("too_far_in_future", || {
                format!("sample at {at} is more than {} s in the future", future_ms_max / 1000)
            });
            return false;
        }
        true
    }

    /// The samples of `batch` whose times are accepted.
    fn timely(&self, batch: &SeriesBatch, outcome: &mut WriteOutcome) -> SeriesBatch {
        let now = self.clock.now_ms();
        let mut some = batch.clone();
        some.points.retain(|point| self.check_time(point.at, now, outcome));
        some.histograms.retain(|point| self.check_time(point.at, now, outcome));
        some
    }
}

/// Opens the blocks that the manifest names. One that can not be opened is set aside.
fn open_blocks(
    dir: &Path,
    options: &Options,
    manifest: &mut Manifest,
    cache: &Arc<PageCache>,
    damage: &mut Vec<String>,
) -> Result<View> {
    let mut view = View::default();
    let mut set_aside = Vec::new();
    for entry in &manifest.blocks {
        match OpenBlock::open(dir, entry.clone(), cache) {
            Ok(block) => view.blocks.push(Arc::new(block)),
            Err(error) => {
                damage.push(error.to_string());
                set_aside.push(entry.number);
            }
        }
    }
    view.blocks.sort_by_key(|open| open.entry.newest_seal);
    if !set_aside.is_empty() {
        manifest.blocks.retain(|entry| !set_aside.contains(&entry.number));
        manifest.write(dir, &*options.journal.files)?;
        for number in set_aside {
            let path = dir.join(manifest::block_file(number));
            // Kept for whoever wants to look at it; it may also be gone.
            std::fs::rename(&path, path.with_extension("corrupt")).ok();
        }
    }
    for deletion in &manifest.deletions {
        view.masks.push(Mask::of(deletion).map_err(Error::Deletion)?);
    }
    Ok(view)
}

impl SeriesSink for Tsdb {
    fn series_of(&self, labels: &[(&str, &str)]) -> model::Result<SeriesId> {
        let hash = fingerprint(labels.iter().copied());
        // New series come in crowds: behind one, the next is looked for under the lock that it will
        // need.
        if !self.is_creating.load(Ordering::Relaxed) {
            let live = self.live.read();
            if let Some(slot) = live.head.catalogue.find(hash, labels) {
                return Ok(live.head.id(slot));
            }
            if let Some(folded) = live.folds.find(labels) {
                return Ok(folded);
            }
        }
        let metric = labels.iter().find(|(name, _)| *name == METRIC_NAME).map_or("", |(_, m)| m);
        if metric.is_empty() {
            let labels = Labels::from_pairs(labels.iter().copied()).to_string();
            return Err(Error::NoMetricName { labels }.into());
        }
        let mut live = self.live.write();
        let live = &mut *live;
        if let Some(slot) = live.head.catalogue.find(hash, labels) {
            self.is_creating.store(false, Ordering::Relaxed);
            return Ok(live.head.id(slot));
        }
        if let Some(folded) = live.folds.find(labels) {
            self.is_creating.store(false, Ordering::Relaxed);
            return Ok(folded);
        }
        self.is_creating.store(true, Ordering::Relaxed);
        if live.head.catalogue.is_full(labels) {
            return Err(Error::SeriesLimit { limit: live.head.catalogue.len() }.into());
        }
        match self.budget_reached(live, metric, labels) {
            None => Ok(live.create(hash, labels)),
            Some(budget) => Ok(self.fold(live, budget, metric, labels)?),
        }
    }

    fn series_after(&self, previous: SeriesId, labels: &[(&[u8], &[u8])]) -> Option<SeriesId> {
        self.live.read().head.after(previous, labels)
    }

    fn series_follow(&self, chain: &[SeriesId]) {
        let live = self.live.read();
        for pair in chain.windows(2) {
            if !pair.iter().any(|series| budget::is_folded(*series)) {
                live.head.set_follower(pair[0], pair[1]);
            }
        }
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn accepted_times(&self) -> RangeMs {
        let now = self.clock.now_ms();
        let Options { retention_ms, future_ms_max, .. } = self.options;
        let start = if retention_ms > 0 { now.plus_ms(-retention_ms) } else { TimestampMs::MIN };
        RangeMs { start, end: now.plus_ms(future_ms_max) }
    }

    fn describe(&self, metric: &str, metadata: &MetricMetadata) {
        if self.live.read().head.metadata.get(metric) == Some(metadata) {
            return;
        }
        let mut live = self.live.write();
        live.head.metadata.insert(metric.to_owned(), metadata.clone());
        live.new_metadata.push((metric.to_owned(), metadata.clone()));
    }

    fn append(&self, batch: &SeriesBatch) -> model::Result<(WriteOutcome, Commit)> {
        let mut outcome = WriteOutcome::default();
        let accepted = self.accepted_times();
        let is_timely = batch.points.iter().all(|point| accepted.contains(point.at))
            && batch.histograms.iter().all(|point| accepted.contains(point.at));
        let kept;
        let batch = if is_timely {
            batch
        } else {
            kept = self.timely(batch, &mut outcome);
            &kept
        };
        let is_folded = batch.points.iter().any(|point| budget::is_folded(point.series))
            || batch.histograms.iter().any(|point| budget::is_folded(point.series));
        let encoded = if is_folded { Vec::new() } else { record::encode_batch(batch) };
        let newest = record::newest(batch);
        let now = self.clock.now_ms().0;
        let mut live = self.live.write();
        let live = &mut *live;
        let held_bytes = live.head.bytes() + live.folds.bytes();
        if held_bytes / 2 > self.options.memory_bytes_max {
            let limit_bytes = self.options.memory_bytes_max;
            return Err(Error::from(disk::Error::MakingRoom { held_bytes, limit_bytes }).into());
        }
        let unfolded;
        let (batch, encoded) = if is_folded {
            unfolded = live.unfold(batch, &mut outcome);
            (&unfolded, record::encode_batch(&unfolded))
        } else {
            (batch, encoded)
        };
        let payload =
            record::with_news(live.next_sequence, &live.new_series, &live.new_metadata, encoded);
        let bytes = payload.len() as u64;
        // Queued and applied under one lock: the order in the journal is the order in memory, and a
        // series is in the journal before any sample of it.
        let appended = self.journal.append(record::BATCH, Arc::new(payload), newest);
        let (_, commit) = appended.map_err(Error::from)?;
        live.next_sequence += 1;
        live.new_series.clear();
        live.new_metadata.clear();
        live.head.apply(batch, now, &mut outcome);
        self.written.journal_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.written.samples.fetch_add(outcome.accepted, Ordering::Relaxed);
        Ok((outcome, commit))
    }
}

impl Tsdb {
    /// The budget that one more series of these labels would go over.
    fn budget_reached(
        &self,
        live: &Live,
        metric: &str,
        labels: &[(&str, &str)],
    ) -> Option<&'static str> {
        let Options { series_max, series_per_metric_max, values_per_label_max, .. } = self.options;
        let catalogue = &live.head.catalogue;
        // Nothing can have more than there is.
        let least = [series_max, series_per_metric_max, values_per_label_max];
        if least.iter().all(|budget| *budget == 0 || catalogue.len() < *budget) {
            return None;
        }
        if catalogue.len() >= series_max {
            return Some("total");
        }
        let of_metric = catalogue.series_with(METRIC_NAME, metric);
        if series_per_metric_max > 0 && of_metric >= series_per_metric_max as u64 {
            return Some("metric");
        }
        let is_over = |(name, value): &(&str, &str)| {
            !budget::is_structural(name)
                && catalogue.value_count(name) as usize >= values_per_label_max
                && catalogue.series_with(name, value) == 0
        };
        (values_per_label_max > 0 && labels.iter().any(is_over)).then_some("label")
    }

    /// Folds a series that is one too many into another.
    fn fold(
        &self,
        live: &mut Live,
        budget: &'static str,
        metric: &str,
        labels: &[(&str, &str)],
    ) -> Result<SeriesId> {
        let limit = self.options.series_max;
        if live.folds.len() >= self.options.folded_series_max {
            return Err(Error::SeriesLimit { limit });
        }
        let now = self.clock.now_ms().0;
        let Live { head, folds, .. } = live;
        let values_max = self.options.values_per_label_max;
        let hottest = |taken: &[String]| {
            let skips =
                |name: &str| budget::is_structural(name) || taken.iter().any(|label| label == name);
            // Over the budget of a label, that label is the hot one, whatever the metric.
            let over = labels.iter().find(|(name, _)| {
                budget == "label"
                    && !skips(name)
                    && head.catalogue.value_count(name) as usize >= values_max
            });
            match over {
                Some((name, _)) => {
                    Some(((*name).to_owned(), u64::from(head.catalogue.value_count(name))))
                }
                // A metric that has no series yet tells nothing: then the label with most values.
                None => head.catalogue.hottest_label(metric, skips).or_else(|| {
                    let own = labels.iter().filter(|(name, _)| !skips(name));
                    let counted = own.map(|(name, _)| (*name, head.catalogue.value_count(name)));
                    let (name, count) = counted.max_by_key(|(_, count)| *count)?;
                    Some((name.to_owned(), u64::from(count)))
                }),
            }
        };
        let Some(folded) = folds.labels_to_fold(metric, budget, now, hottest) else {
            return Err(Error::SeriesLimit { limit });
        };
        let replaced: Vec<(&str, &str)> = labels
            .iter()
            .map(|(name, value)| {
                let is_hot = folded.iter().any(|hot| hot == name);
                (*name, if is_hot { budget::OVERFLOW } else { *value })
            })
            .collect();
        let hash = fingerprint(replaced.iter().copied());
        let known = live.head.catalogue.find(hash, &replaced);
        let series = match known {
            Some(slot) => live.head.id(slot),
            // Folding may make some series over the budget, or it could not begin.
            None if live.head.catalogue.len() < limit.saturating_add(limit / 10 + 1000) => {
                live.create(hash, &replaced)
            }
            None => return Err(Error::SeriesLimit { limit }),
        };
        let stored = known.and_then(|slot| {
            let chunk = &live.head.series.get(slot as usize)?.chunk;
            (chunk.count > 0).then(|| f64::from_bits(chunk.xor.last))
        });
        let kind = live.head.metadata.get(metric).map(|metadata| metadata.kind);
        let is_counter = match kind {
            Some(MetricKind::Gauge) => false,
            Some(MetricKind::Counter) => true,
            _ => budget::looks_like_counter(metric),
        };
        Ok(live.folds.add(labels, series, is_counter, stored, known.is_none()))
    }

    /// Series that are folded now, and samples that were folded since the start.
    pub(crate) fn folded(&self) -> (u64, u64) {
        let live = self.live.read();
        (live.folds.len() as u64, live.folds.samples)
    }

    /// Budgets that were reached, and what was folded.
    pub fn overflows(&self) -> Vec<Overflow> {
        self.live.read().folds.overflows()
    }
}

impl Live {
    /// The batch without samples of folded series, with samples of the series they are folded into.
    fn unfold(&mut self, batch: &SeriesBatch, outcome: &mut WriteOutcome) -> SeriesBatch {
        let mut unfolded = SeriesBatch::default();
        let mut taken = Vec::new();
        for point in &batch.points {
            if !budget::is_folded(point.series) {
                unfolded.points.push(*point);
            } else if self.folds.take(point) {
                outcome.accepted += 1;
                taken.push(point.series);
            } else {
                outcome.refuse("unknown_series", || "a folded series was forgotten".to_owned());
            }
        }
        let due = self.folds.due(taken.into_iter());
        // They are counted when they are applied; the sender did not send them.
        outcome.accepted = outcome.accepted.saturating_sub(due.len() as u64);
        unfolded.points.extend(due);
        for point in &batch.histograms {
            if budget::is_folded(point.series) {
                outcome.refuse("series_limit", || {
                    "a native histogram of a series over its budget can not be folded".to_owned()
                });
            } else {
                unfolded.histograms.push(point.clone());
            }
        }
        let kept = batch.exemplars.iter().filter(|(id, _)| !budget::is_folded(*id));
        unfolded.exemplars.extend(kept.cloned());
        unfolded
    }
}

#[cfg(test)]
mod tests;
