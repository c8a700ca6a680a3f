//! The queue of a journal and the thread that empties it.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use model::commit::CommitPromise;
use model::{Clock, SystemClock};
use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::files::AppendFile;
use crate::journal::{ClosedSegment, JournalOptions, JournalStats, segment};

/// A record that waits.
pub(crate) struct Queued {
    pub(crate) kind: u8,
    pub(crate) checksum: u32,
    pub(crate) payload: Arc<Vec<u8>>,
    pub(crate) newest: i64,
    /// `None` once it was told that the disk is full.
    pub(crate) promise: Option<CommitPromise>,
}

/// Why a record was not queued.
pub(crate) enum Refused {
    Full { queued_bytes: usize },
    DiskFull(String),
    Poisoned(String),
}

pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: Vec<Queued>,
    waiting_bytes: usize,
    next_record: u64,
    stopped: bool,
    /// Whether the segment is to be closed after what waits.
    rolls: bool,
    disk_full: Option<String>,
    poisoned: Option<String>,
    stats: JournalStats,
}

/// What the writer does next.
struct Work {
    group: Vec<Queued>,
    rolls: bool,
}

/// How long the writer waits before it tries a full disk again.
const DISK_FULL_RETRY: Duration = Duration::from_millis(100);

impl Queue {
    pub(crate) fn new(next_record: u64) -> Self {
        Queue {
            state: Mutex::new(State {
                waiting: Vec::new(),
                waiting_bytes: 0,
                next_record,
                stopped: false,
                rolls: false,
                disk_full: None,
                poisoned: None,
                stats: JournalStats::default(),
            }),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn push(&self, queued: Queued, bytes_max: usize) -> Result<u64, Refused> {
        let bytes = segment::RECORD_HEADER_BYTES + queued.payload.len();
        let mut state = self.state.lock();
        if let Some(cause) = &state.poisoned {
            return Err(Refused::Poisoned(cause.clone()));
        }
        if state.stopped {
            return Err(Refused::Poisoned("signalbox is stopping".to_owned()));
        }
        if let Some(cause) = &state.disk_full {
            return Err(Refused::DiskFull(cause.clone()));
        }
        // A record over the whole limit may pass an empty queue, or it never could.
        if state.waiting_bytes > 0 && state.waiting_bytes + bytes > bytes_max {
            return Err(Refused::Full { queued_bytes: state.waiting_bytes });
        }
        state.waiting.push(queued);
        state.waiting_bytes += bytes;
        let number = state.next_record;
        state.next_record += 1;
        drop(state);
        self.changed.notify_one();
        Ok(number)
    }

    pub(crate) fn poison(&self, cause: String) {
        self.state.lock().poisoned.get_or_insert(cause);
    }

    pub(crate) fn poisoned(&self) -> Option<String> {
        self.state.lock().poisoned.clone()
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_one();
    }

    pub(crate) fn stats(&self) -> JournalStats {
        let state = self.state.lock();
        JournalStats { queued_bytes: state.waiting_bytes as u64, ..state.stats }
    }

    pub(crate) fn next_record(&self) -> u64 {
        self.state.lock().next_record
    }

    pub(crate) fn roll(&self) {
        self.state.lock().rolls = true;
        self.changed.notify_one();
    }

    pub(crate) fn disk_full(&self) -> Option<String> {
        self.state.lock().disk_full.clone()
    }

    /// Everything that waits, or `None` when the journal stops and nothing waits.
    fn take(&self) -> Option<Work> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && !state.rolls {
            if state.stopped {
                return None;
            }
            self.changed.wait(&mut state);
        }
        let group = std::mem::take(&mut state.waiting);
        Some(Work { group, rolls: std::mem::take(&mut state.rolls) })
    }

    /// Refuses appends for want of room from here on, and answers the promises of what waits.
    fn refuse_for_room(&self, cause: &str) -> Vec<CommitPromise> {
        let mut state = self.state.lock();
        state.disk_full = Some(cause.to_owned());
        state.waiting.iter_mut().filter_map(|queued| queued.promise.take()).collect()
    }

    /// Waits a while. Answers whether the journal stops.
    fn wait_for_room(&self) -> bool {
        let mut state = self.state.lock();
        if !state.stopped {
            self.changed.wait_for(&mut state, DISK_FULL_RETRY);
        }
        state.stopped
    }

    fn has_room(&self) {
        self.state.lock().disk_full = None;
    }

    /// Frees the queue's room for a group that has been written or has failed.
    fn finish(&self, group_bytes: usize, update: impl FnOnce(&mut JournalStats)) {
        let mut state = self.state.lock();
        state.waiting_bytes = state.waiting_bytes.saturating_sub(group_bytes);
        update(&mut state.stats);
    }
}

/// Fails what waits if the writer thread dies, so that nobody waits for ever.
struct LastBreath(Arc<Queue>);

impl Drop for LastBreath {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if !state.stopped {
            state.poisoned.get_or_insert_with(|| "the journal's writer thread died".to_owned());
        }
        // Dropped promises fail their commits.
        state.waiting.clear();
    }
}

struct Writer {
    dir: PathBuf,
    options: JournalOptions,
    queue: Arc<Queue>,
    closed: Arc<Mutex<Vec<ClosedSegment>>>,
    clock: SystemClock,
    file: Box<dyn AppendFile>,
    current: ClosedSegment,
}

/// Makes the first segment of this run and starts the thread.
pub(crate) fn spawn(
    dir: PathBuf,
    (segment_number, first_record): (u64, u64),
    options: JournalOptions,
    queue: Arc<Queue>,
    closed: Arc<Mutex<Vec<ClosedSegment>>>,
) -> Result<JoinHandle<()>> {
    let (file, current) = create_segment(&dir, segment_number, first_record, &options)?;
    let name = format!("journal {}", dir.file_name().unwrap_or_default().to_string_lossy());
    let spawned_dir = dir.clone();
    let mut writer =
        Writer { dir, options, queue, closed, clock: SystemClock::new(), file, current };
    std::thread::Builder::new()
        .name(name)
        .spawn(move || writer.run())
        .map_err(Error::io("start the writer thread of", spawned_dir))
}

fn create_segment(
    dir: &std::path::Path,
    number: u64,
    first_record: u64,
    options: &JournalOptions,
) -> Result<(Box<dyn AppendFile>, ClosedSegment)> {
    let path = segment::path(dir, number);
    let mut file = options.files.create(&path).map_err(Error::io("create", &path))?;
    file.append(&segment::header(number)).map_err(Error::io("write", &path))?;
    let bytes = segment::HEADER_BYTES as u64;
    let current =
        ClosedSegment { path, number, records_end: first_record, bytes, newest: i64::MIN };
    Ok((file, current))
}

impl Writer {
    fn run(&mut self) {
        let _last_breath = LastBreath(self.queue.clone());
        let mut buffer = Vec::new();
        while let Some(Work { group, rolls }) = self.queue.take() {
            buffer.clear();
            let mut newest = i64::MIN;
            for queued in &group {
                segment::put_record(&mut buffer, queued.kind, queued.checksum, &queued.payload);
                newest = newest.max(queued.newest);
            }
            self.write(&buffer, group, newest, rolls);
            // A rare large group must not keep its memory.
            if buffer.capacity() > 8 << 20 {
                buffer = Vec::new();
            }
        }
    }

    /// Writes a group and resolves its promises. When the disk is full, they fail at once, but the
    /// group is kept and written as soon as there is room: the store holds its records in memory
    /// already, and later records build on them.
    fn write(&mut self, buffer: &[u8], group: Vec<Queued>, newest: i64, rolls: bool) {
        let records = group.len() as u64;
        let mut promises: Vec<_> = group.into_iter().filter_map(|queued| queued.promise).collect();
        let resolve = |promises: &mut Vec<CommitPromise>, outcome: model::Result<()>| {
            promises.drain(..).for_each(|promise| promise.resolve(outcome.clone()));
        };
        if records == 0 {
            return self.roll_if(rolls);
        }
        let written = loop {
            if let Some(cause) = self.queue.poisoned() {
                break Err(cause);
            }
            match self.write_and_sync(buffer) {
                Ok(sync_ns) => break Ok(sync_ns),
                Err(error) if is_disk_full(&error) => {
                    let cause = error.to_string();
                    let dir = self.dir.clone();
                    promises.extend(self.queue.refuse_for_room(&cause));
                    let full = Error::DiskFull { dir, cause: cause.clone() };
                    resolve(&mut promises, Err(full.into()));
                    if let Err(error) = self.file.truncate(self.current.bytes) {
                        break Err(format!("{cause}, and cutting the file back failed: {error}"));
                    }
                    if self.queue.wait_for_room() {
                        break Err(cause);
                    }
                }
                Err(error) => break Err(error.to_string()),
            }
        };
        self.queue.has_room();
        self.queue.finish(buffer.len(), |stats| {
            if let Ok(sync_ns) = &written {
                stats.syncs += 1;
                stats.sync_ns += sync_ns;
                stats.records += records;
            }
        });
        match written {
            Ok(_) => {
                self.current.bytes += buffer.len() as u64;
                self.current.records_end += records;
                self.current.newest = self.current.newest.max(newest);
                // What was written is durable even if the next segment can not be made.
                self.roll_if(rolls);
                resolve(&mut promises, Ok(()));
            }
            Err(cause) => {
                self.queue.poison(cause.clone());
                resolve(&mut promises, Err(model::Error::unavailable(cause)));
            }
        }
    }

    fn write_and_sync(&mut self, buffer: &[u8]) -> Result<u64> {
        let path = &self.current.path;
        self.file.append(buffer).map_err(Error::io("write", path))?;
        let before = self.clock.monotonic();
        self.file.sync().map_err(Error::io("sync", path))?;
        let spent = self.clock.monotonic().saturating_sub(before);
        Ok(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX))
    }

    fn roll_if(&mut self, asked: bool) {
        let is_full = self.current.bytes >= self.options.segment_bytes_max;
        let holds_records = self.current.bytes > segment::HEADER_BYTES as u64;
        if is_full || (asked && holds_records) {
            self.roll();
        }
        let bytes = self.current.bytes;
        self.queue.finish(0, |stats| (stats.bytes, stats.segments) = (bytes, 1));
    }

    /// Begins a new segment; on a full disk the old one goes on.
    fn roll(&mut self) {
        let number = self.current.number + 1;
        match create_segment(&self.dir, number, self.current.records_end, &self.options) {
            Ok((file, next)) => {
                self.file = file;
                let full = std::mem::replace(&mut self.current, next);
                self.closed.lock().push(full);
            }
            Err(error) if is_disk_full(&error) => {
                // An empty or half made file would be taken for the newest segment.
                std::fs::remove_file(segment::path(&self.dir, number)).ok();
            }
            Err(error) => self.queue.poison(error.to_string()),
        }
    }
}

/// Whether a write failed for want of room. Writing then goes on when there is room again; after any
/// other failure nobody knows what the disk holds.
fn is_disk_full(error: &Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, Error::Io { action: "write" | "create", source, .. }
        if matches!(source.kind(), StorageFull | QuotaExceeded))
}
