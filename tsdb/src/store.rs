//! The store: head, journal, checkpoint and blocks behind the traits of `model`.

mod admin;
mod cardinality;
mod deletion;
mod folding;
mod labels;
mod load;
mod maintain;
mod merge;
mod query;
mod replay;
mod retention;
mod rollups;
mod seal;
mod snapshot;
mod stats;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use disk::files::create_folders;
use disk::journal::CorruptRecord;
use disk::{Journal, PageCache};
use model::labels::Labels;
use model::read::RangeMs;
use model::sample::{MetricMetadata, SeriesId};
use model::write::{SeriesBatch, WriteOutcome};
use model::{Clock, Commit, SeriesSink, TimestampMs};
use parking_lot::{Mutex, RwLock};

use crate::block::fingerprint;
use crate::budget::{self, Folds, metric_of};
use crate::delete::Mask;
use crate::error::{Error, Result};
use crate::head::Head;
use crate::manifest::{self, Manifest};
use crate::options::Options;
use crate::record::{self, NewSeries};
use crate::view::{OpenBlock, View};

use load::{Loading, Waiting};
pub use stats::Stats;

/// The journal's folder in the store's.
pub(crate) const JOURNAL_FOLDER: &str = "journal";

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
    /// Present until what the store held before is loaded.
    waiting: Option<Waiting>,
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
    loading: Loading,
    is_loaded: AtomicBool,
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
    /// Since when the head has no samples, on the wall clock.
    empty_since: Option<i64>,
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
    /// Opens the store in `dir`: [`Tsdb::begin`] and [`Tsdb::load`].
    pub fn open(dir: &Path, options: Options, clock: Arc<dyn Clock>) -> Result<Tsdb> {
        let store = Tsdb::begin(dir, options, clock)?;
        store.load()?;
        Ok(store)
    }

    /// Opens the store in `dir` for writes; what a crash left behind is removed. Everything else is
    /// refused as unavailable until [`Tsdb::load`] has read what the store held before.
    pub fn begin(dir: &Path, options: Options, clock: Arc<dyn Clock>) -> Result<Tsdb> {
        create_folders(dir).map_err(Error::io("create", dir))?;
        let manifest = Manifest::open(dir, &*options.journal.files)?;
        manifest::remove_strays(dir, &manifest)?;
        disk::snapshot::remove_unfinished(dir)?;
        // Sequences must go on even if the journal is gone.
        let segment_min = record::start_of(manifest.next_sequence) + 1;
        let (journal, earlier) =
            Journal::begin(&dir.join(JOURNAL_FOLDER), options.journal.clone(), segment_min)?;
        let now = clock.now_ms().0;
        let first_sequence = record::first_sequence(earlier.next_segment());
        let live = Live::while_loading(options.window_ms, first_sequence, now);
        let maintenance = Maintenance { checkpoint_at: now, ..Default::default() };
        let cache = PageCache::new(options.cache_bytes_max);
        Ok(Tsdb {
            options,
            clock,
            dir: dir.to_owned(),
            live: RwLock::new(live),
            journal,
            view: RwLock::default(),
            manifest: Mutex::new(manifest),
            maintenance: Mutex::new(maintenance),
            cache,
            generation: AtomicU64::new(0),
            loading: Loading::of(earlier),
            is_loaded: AtomicBool::new(false),
            damage: Mutex::default(),
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

    /// Stretches of the journal that were skipped at start, once the store is loaded.
    pub fn corrupt_records(&self) -> &[CorruptRecord] {
        self.loading.corrupt()
    }

    /// What else could not be read, in words that name the file.
    pub fn damage(&self) -> Vec<String> {
        self.damage.lock().clone()
    }

    /// Makes [`Tsdb::maintain`] return soon: a merge that runs is given up.
    pub fn stop_maintenance(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Writes the head down, then what waits for the journal, and stops. Reads still work. A store
    /// that is being loaded has all of it in the journal, and [`Tsdb::load`] gives up.
    pub fn close(&self) {
        self.stop_maintenance();
        if !self.is_loading() && self.journal.poisoned().is_none() {
            // A start after a clean stop has nothing to replay. If this fails, it has.
            self.checkpoint(&mut self.maintenance.lock()).ok();
        }
        self.journal.close();
    }

    /// Opens the blocks that the manifest names. One that can not be opened is set aside.
    fn open_blocks(&self, damage: &mut Vec<String>) -> Result<View> {
        let mut manifest = self.manifest.lock();
        let mut view = View::default();
        let mut set_aside = Vec::new();
        for entry in &manifest.blocks {
            match OpenBlock::open(&self.dir, entry.clone(), &self.cache) {
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
            manifest.write(&self.dir, &*self.options.journal.files)?;
            for number in set_aside {
                let path = self.dir.join(manifest::block_file(number));
                // Kept for whoever wants to look at it; it may also be gone.
                std::fs::rename(&path, path.with_extension("corrupt")).ok();
            }
        }
        for deletion in &manifest.deletions {
            view.masks.push(Mask::of(deletion).map_err(Error::Deletion)?);
        }
        Ok(view)
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
        check_metric(labels)?;
        Ok(self.find_or_create(&mut self.live.write(), hash, labels)?)
    }

    fn series_of_each(
        &self,
        labels: &[(&str, &str)],
        ends: &[usize],
        found: &mut Vec<model::Result<SeriesId>>,
    ) {
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let of = |(start, end)| labels.get(start..end).unwrap_or_default();
        let each: Vec<(u64, &[(&str, &str)])> = starts
            .zip(ends.iter().copied())
            .map(of)
            .map(|labels| (fingerprint(labels.iter().copied()), labels))
            .collect();
        let mut rest = &each[..];
        if !self.is_creating.load(Ordering::Relaxed) {
            let live = self.live.read();
            while let Some(((hash, labels), others)) = rest.split_first() {
                let known = live.head.catalogue.find(*hash, labels).map(|slot| live.head.id(slot));
                let Some(id) = known.or_else(|| live.folds.find(labels)) else { break };
                found.push(Ok(id));
                rest = others;
            }
        }
        if rest.is_empty() {
            return;
        }
        let mut live = self.live.write();
        for (hash, labels) in rest {
            let checked = check_metric(labels);
            let made = checked.and_then(|()| self.find_or_create(&mut live, *hash, labels));
            found.push(made.map_err(Into::into));
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
        self.check_memory(live)?;
        let unfolded;
        let (batch, encoded) = if is_folded {
            unfolded = live.unfold(batch, &mut outcome);
            (&unfolded, record::encode_batch(&unfolded))
        } else {
            (batch, encoded)
        };
        let known;
        let (batch, encoded) = if live.head.knows(batch) {
            (batch, encoded)
        } else {
            // Records name slots, and the slot of a series that went may be another's.
            known = live.head.known(batch, &mut outcome);
            (&known, record::encode_batch(&known))
        };
        let payload = Arc::new(record::with_news(
            live.next_sequence,
            &live.new_series,
            &live.new_metadata,
            encoded,
        ));
        let bytes = payload.len() as u64;
        let is_loading = live.waiting.is_some();
        let kind = if is_loading { record::BATCH_WHILE_LOADING } else { record::BATCH };
        // Queued and applied under one lock: the order in the journal is the order in memory, and a
        // series is in the journal before any sample of it.
        let appended = self.journal.append(kind, payload.clone(), newest);
        let (_, commit) = appended.map_err(Error::from)?;
        live.next_sequence += 1;
        live.new_series.clear();
        live.new_metadata.clear();
        match &mut live.waiting {
            None => live.head.apply(batch, now),
            Some(waiting) => waiting.push(payload),
        }
        outcome.accepted += (batch.points.len() + batch.histograms.len()) as u64;
        outcome.histograms += batch.histograms.len() as u64;
        outcome.exemplars += batch.exemplars.len() as u64;
        self.written.journal_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.written.samples.fetch_add(outcome.accepted, Ordering::Relaxed);
        Ok((outcome, commit))
    }
}

/// Labels without a metric name are nobody's.
fn check_metric(labels: &[(&str, &str)]) -> Result<()> {
    if !metric_of(labels).is_empty() {
        return Ok(());
    }
    let labels = Labels::from_pairs(labels.iter().copied()).to_string();
    Err(Error::NoMetricName { labels })
}

impl Tsdb {
    /// The id of a series, which is made if it is new and no budget is reached.
    fn find_or_create(
        &self,
        live: &mut Live,
        hash: u64,
        labels: &[(&str, &str)],
    ) -> Result<SeriesId> {
        let known = live.head.catalogue.find(hash, labels).map(|slot| live.head.id(slot));
        if let Some(known) = known.or_else(|| live.folds.find(labels)) {
            self.is_creating.store(false, Ordering::Relaxed);
            return Ok(known);
        }
        self.is_creating.store(true, Ordering::Relaxed);
        if live.head.catalogue.is_full(labels) {
            return Err(Error::SeriesLimit { limit: live.head.catalogue.len() });
        }
        match budget::reached(&self.options, &live.head.catalogue, labels) {
            None => Ok(live.create(hash, labels)),
            // Which label is hot can only be told when all series are there.
            Some(_) if live.waiting.is_some() => Err(Error::Loading),
            Some(budget) => self.fold(live, budget, labels),
        }
    }

    /// Refuses a batch while the head holds twice its budget. While the store is being loaded, half
    /// of it is for what waits: the head that it comes into takes the rest.
    fn check_memory(&self, live: &Live) -> Result<()> {
        let mut held_bytes = live.head.bytes() + live.folds.bytes();
        let mut limit_bytes = self.options.memory_bytes_max;
        let mut refused_from = limit_bytes.saturating_mul(2);
        if let Some(waiting) = &live.waiting {
            held_bytes += waiting.bytes();
            limit_bytes /= 2;
            refused_from = limit_bytes;
        }
        if held_bytes > refused_from {
            return Err(Error::from(disk::Error::MakingRoom { held_bytes, limit_bytes }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
