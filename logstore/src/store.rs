//! The store: journal, heads and parts behind the traits of `model`.

mod admin;
mod deletion;
mod maintain;
mod parts;
mod query;
mod retention;
mod seal;
mod snapshot;
mod stats;
mod throttle;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use disk::Journal;
use disk::files::{Files, create_folders};
use disk::journal::{CorruptRecord, Replayed};
use model::write::{LogBatch, WriteOutcome};
use model::{Clock, Commit, Labels, LogSink, TimestampNs};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashSet;

use crate::error::{Error, Result};
use crate::head::Head;
use crate::manifest::{self, Manifest};
use crate::options::Options;
use crate::part::Caches;
use crate::record;
use crate::view::{StreamCounts, View};

use maintain::Maintenance;
use retention::Retention;
use seal::Sealing;
pub use stats::Stats;
use throttle::Throttle;

/// The journal's folder in the store's.
pub(crate) const JOURNAL_FOLDER: &str = "journal";

/// What changes with every write, behind one lock: a reader that takes all of it at once sees each
/// record exactly once.
#[derive(Default)]
pub(crate) struct Live {
    pub(crate) active: Head,
    /// The head that is being sealed. It holds what arrived before the active one.
    pub(crate) frozen: Option<Arc<Head>>,
    /// Replaced whole; a query holds the one it began with.
    pub(crate) view: Arc<View>,
    streams: StreamCounts,
    /// The number of the next record.
    next_arrival: u64,
}

impl Live {
    fn head_bytes(&self) -> usize {
        self.active.bytes() + self.frozen.as_ref().map_or(0, |head| head.bytes())
    }

    /// No record with a number under this one is in memory only.
    fn unsealed_from(&self) -> u64 {
        let frozen = self.frozen.as_ref().and_then(|head| head.first_arrival());
        frozen.or_else(|| self.active.first_arrival()).unwrap_or(u64::MAX)
    }

    /// Takes a batch that has `number` in the journal.
    fn add(
        &mut self,
        number: u64,
        first_arrival: u64,
        payload: Arc<Vec<u8>>,
        layout: &record::Layout,
        now_ms: i64,
    ) {
        let Live { active, streams, next_arrival, .. } = self;
        active.add(first_arrival, payload, layout, now_ms, |labels| streams.add(labels));
        active.journal_end = number + 1;
        *next_arrival = (*next_arrival).max(active.arrivals_end);
    }
}

/// The log store. Lock order: `sealing`, `maintenance`, `manifest`, `live`. Someone must call
/// [`LogStore::seal_due`] several times a second: writes may wait for it.
pub struct LogStore {
    options: Options,
    retention: Retention,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    live: RwLock<Live>,
    journal: Journal,
    /// Held by whoever changes which parts there are, until the view shows it.
    manifest: Mutex<Manifest>,
    /// Held by whoever seals.
    sealing: Mutex<Sealing>,
    /// Held by whoever merges, rewrites or drops parts.
    maintenance: Mutex<Maintenance>,
    throttle: Throttle,
    caches: Caches,
    corrupt: Vec<CorruptRecord>,
    /// Parts that could not be read, in words.
    damage: Mutex<Vec<String>>,
    stopping: AtomicBool,
    written: Written,
}

/// Work since the start.
#[derive(Default)]
struct Written {
    records: AtomicU64,
    journal_bytes: AtomicU64,
    seals: AtomicU64,
    sealed_bytes: AtomicU64,
    merges: AtomicU64,
    merged_bytes: AtomicU64,
    refused_too_old: AtomicU64,
    refused_too_far_in_future: AtomicU64,
    refused_too_many_streams: AtomicU64,
    refused_batches: AtomicU64,
}

fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

impl LogStore {
    /// Opens the store in `dir`: what a crash left behind is removed, parts are opened, and what is
    /// not in them is read from the journal.
    pub fn open(dir: &Path, options: Options, clock: Arc<dyn Clock>) -> Result<LogStore> {
        create_folders(dir).map_err(Error::io("create", dir))?;
        let mut manifest = Manifest::open(dir, &*options.journal.files)?;
        manifest::remove_strays(dir, &manifest)?;
        disk::snapshot::remove_unfinished(dir)?;
        let caches = Caches::new(options.cache_bytes_max);
        let (view, damage) = parts::open(dir, &mut manifest, &*options.journal.files, &caches)?;
        let mut live = Live { next_arrival: manifest.next_arrival, ..Live::default() };
        for labels in view.parts.iter().flat_map(|open| open.part.streams()) {
            live.streams.add(labels);
        }
        live.view = Arc::new(view);
        let now = clock.now_ms().0;
        let mut sealed_records = 0;
        let (journal, recovery) =
            Journal::open(&dir.join(JOURNAL_FOLDER), options.journal.clone(), &mut |replayed| {
                let newest = replay(&mut live, replayed, manifest.sealed_arrivals, now)?;
                if live.active.is_empty() {
                    sealed_records = replayed.number + 1;
                }
                Ok(newest)
            })?;
        Ok(LogStore {
            retention: Retention::new(options.retention_ms, &options.retention_rules),
            options,
            clock,
            dir: dir.to_owned(),
            live: RwLock::new(live),
            journal,
            manifest: Mutex::new(manifest),
            sealing: Mutex::new(Sealing { sealed_records }),
            maintenance: Mutex::default(),
            throttle: Throttle::default(),
            caches,
            corrupt: recovery.corrupt,
            damage: Mutex::new(damage),
            stopping: AtomicBool::new(false),
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

    /// Parts that could not be read and were set aside, in words that name the folder.
    pub fn damage(&self) -> Vec<String> {
        self.damage.lock().clone()
    }

    /// Makes [`LogStore::seal_due`] and [`LogStore::maintain`] return soon.
    pub fn stop_maintenance(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Writes what waits for the journal and stops. Reads still work. What no part has is in the
    /// journal, which the next start reads.
    pub fn close(&self) {
        self.stop_maintenance();
        self.journal.close();
        self.throttle.release();
    }

    /// What all files of the store are made with.
    fn files(&self) -> &Arc<dyn Files> {
        &self.options.journal.files
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Streams of a batch for which there is no room. Several writers at once may find the same
    /// room.
    fn streams_without_room(&self, batch: &LogBatch<'_>) -> FxHashSet<Labels> {
        let live = self.live.read();
        let mut without = FxHashSet::default();
        let mut room = self.options.streams_max.saturating_sub(live.streams.len());
        if room >= batch.groups.len() {
            return without;
        }
        let mut new = FxHashSet::default();
        for group in &batch.groups {
            if live.streams.contains(&group.stream) || new.contains(&group.stream) {
                continue;
            }
            if room == 0 {
                without.insert(group.stream.clone());
            } else {
                room -= 1;
                new.insert(group.stream.clone());
            }
        }
        without
    }

    /// Encodes what is accepted of a batch.
    fn encode(
        &self,
        batch: &LogBatch<'_>,
        outcome: &mut WriteOutcome,
    ) -> (Vec<u8>, record::Layout) {
        let now = self.clock.now_ms();
        let latest = now.plus_ms(self.options.future_ms_max).to_ns();
        let without_room = self.streams_without_room(batch);
        // Both closures refuse.
        let shared = std::cell::RefCell::new(outcome);
        let mut encoded = record::encode(
            batch,
            |group| {
                if !without_room.is_empty() && without_room.contains(&group.stream) {
                    let limit = self.options.streams_max;
                    for _ in group.records.clone() {
                        shared.borrow_mut().refuse("too_many_streams", || {
                            format!(
                                "stream {} is new and the store has {limit}, its limit \
                                 (stores.logs.streams_max)",
                                group.stream
                            )
                        });
                    }
                    return None;
                }
                let keep_ms = self.retention.keep_ms(&group.stream);
                let forever = keep_ms == 0;
                Some(if forever { TimestampNs::MIN } else { now.plus_ms(-keep_ms).to_ns() })
            },
            |at, oldest| {
                let mut outcome = shared.borrow_mut();
                if at < oldest {
                    outcome.refuse("too_old", || {
                        let keep = now.to_ns().0.saturating_sub(oldest.0) / 1_000_000_000;
                        format!("record at {at} is older than the retention of {keep} s")
                    });
                    return false;
                }
                if at > latest || at == TimestampNs::MAX {
                    let max = self.options.future_ms_max / 1000;
                    outcome.refuse("too_far_in_future", || {
                        format!("record at {at} is more than {max} s in the future")
                    });
                    return false;
                }
                true
            },
        );
        shared.into_inner().accepted += encoded.1.records.len() as u64;
        // These bytes are the memory of the records for a while.
        if encoded.0.capacity() > encoded.0.len() + encoded.0.len() / 4 {
            encoded.0.shrink_to_fit();
        }
        encoded
    }

    fn count_refused(&self, outcome: &WriteOutcome) {
        for refusal in &outcome.refused {
            let counter = match refusal.reason {
                "too_old" => &self.written.refused_too_old,
                "too_many_streams" => &self.written.refused_too_many_streams,
                _ => &self.written.refused_too_far_in_future,
            };
            add(counter, refusal.count);
        }
    }
}

/// Puts a record of the journal into the head, unless a part has it. Answers its newest time.
fn replay(
    live: &mut Live,
    replayed: Replayed<'_>,
    sealed_arrivals: u64,
    now_ms: i64,
) -> Result<i64, String> {
    if replayed.kind != record::BATCH {
        return Err(format!("unknown kind {} of record", replayed.kind));
    }
    let first = record::first_arrival(replayed.payload).map_err(|e| e.to_string())?;
    let layout = record::layout(replayed.payload).map_err(|e| e.to_string())?;
    if first >= sealed_arrivals {
        live.add(replayed.number, first, Arc::new(replayed.payload.to_vec()), &layout, now_ms);
    }
    Ok(layout.newest())
}

impl LogSink for LogStore {
    fn append(&self, batch: &LogBatch<'_>) -> model::Result<(WriteOutcome, Commit)> {
        let mut outcome = WriteOutcome::default();
        let (mut payload, layout) = self.encode(batch, &mut outcome);
        self.count_refused(&outcome);
        if outcome.accepted == 0 {
            return Ok((outcome, Commit::done()));
        }
        let now = self.clock.now_ms().0;
        let (bytes, newest) = (payload.len() as u64, layout.newest());
        // The lock covers all of it, so that journal, numbers and memory have one order.
        let mut live = self.live.write();
        let (held_bytes, limit_bytes) = (live.head_bytes(), self.options.memory_bytes_max);
        if held_bytes / 2 > limit_bytes {
            add(&self.written.refused_batches, 1);
            return Err(disk::Error::MakingRoom { held_bytes, limit_bytes }.into());
        }
        let first = live.next_arrival;
        record::set_first_arrival(&mut payload, first);
        let payload = Arc::new(payload);
        let appended = self.journal.append(record::BATCH, payload.clone(), newest);
        let (number, commit) = appended.inspect_err(|_| add(&self.written.refused_batches, 1))?;
        live.add(number, first, payload, &layout, now);
        // Under the lock: the seal that makes room comes after it.
        let is_much = live.head_bytes() / 3 > limit_bytes / 2;
        let commit = if is_much { self.throttle.hold(commit) } else { commit };
        drop(live);
        add(&self.written.records, outcome.accepted);
        add(&self.written.journal_bytes, bytes);
        Ok((outcome, commit))
    }
}

#[cfg(test)]
mod tests;
