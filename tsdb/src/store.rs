//! The store: head, journal, checkpoint and blocks behind the traits of `model`.

mod maintain;
mod merge;
mod query;
mod replay;
mod seal;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use disk::journal::CorruptRecord;
use disk::{Journal, PageCache};
use model::labels::{Labels, METRIC_NAME};
use model::read::RangeMs;
use model::sample::{MetricMetadata, SeriesId};
use model::write::{SeriesBatch, WriteOutcome};
use model::{Clock, Commit, SeriesSink, TimestampMs};
use parking_lot::{Mutex, RwLock};

use crate::block::fingerprint;
use crate::delete::Mask;
use crate::error::{Error, Result};
use crate::head::Head;
use crate::manifest::{self, Manifest};
use crate::options::Options;
use crate::record::{self, NewSeries};
use crate::view::{OpenBlock, View};

pub use maintain::{Deleted, Stats};

/// What changes with every write, behind one lock.
pub(crate) struct Live {
    pub(crate) head: Head,
    /// What the next record must say before its samples.
    new_series: Vec<NewSeries>,
    new_metadata: Vec<(String, MetricMetadata)>,
    /// The sequence of the next record.
    pub(crate) next_sequence: u64,
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
        let mut manifest = Manifest::read(dir)?;
        manifest::remove_strays(dir, &manifest)?;
        let cache = PageCache::new(options.cache_bytes_max);
        let mut damage = Vec::new();
        let view = open_blocks(dir, &mut manifest, &cache, &mut damage)?;
        let (live, journal, recovery) =
            replay::open_head(dir, &options, &manifest, clock.now_ms().0, &mut damage)?;
        let corrupt = recovery.corrupt;
        let now = clock.now_ms().0;
        let maintenance = Maintenance {
            checkpoint_at: now,
            checkpoint_journal_bytes: 0,
            ..Default::default()
        };
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
        manifest.write(dir)?;
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
        {
            let live = self.live.read();
            if let Some(slot) = live.head.catalogue.find(hash, labels) {
                return Ok(live.head.id(slot));
            }
        }
        if !labels.iter().any(|(name, value)| *name == METRIC_NAME && !value.is_empty()) {
            let labels = Labels::from_pairs(labels.iter().copied()).to_string();
            return Err(Error::NoMetricName { labels }.into());
        }
        let mut live = self.live.write();
        let live = &mut *live;
        if let Some(slot) = live.head.catalogue.find(hash, labels) {
            return Ok(live.head.id(slot));
        }
        let is_full = live.head.catalogue.len() >= self.options.series_max;
        if is_full || live.head.catalogue.is_full(labels) {
            return Err(Error::SeriesLimit { limit: self.options.series_max }.into());
        }
        let slot = live.head.create(hash, labels);
        live.new_series.push((slot, Labels::from_pairs(labels.iter().copied())));
        Ok(live.head.id(slot))
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
        let encoded = record::encode_batch(batch);
        let newest = record::newest(batch);
        let now = self.clock.now_ms().0;
        let mut live = self.live.write();
        let live = &mut *live;
        let held_bytes = live.head.bytes();
        if held_bytes / 2 > self.options.memory_bytes_max {
            let limit_bytes = self.options.memory_bytes_max;
            return Err(Error::from(disk::Error::MakingRoom { held_bytes, limit_bytes }).into());
        }
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

#[cfg(test)]
mod tests;
