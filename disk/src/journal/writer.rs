//! The queue of a journal and the thread that empties it.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

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
    pub(crate) promise: CommitPromise,
}

/// Why a record was not queued.
pub(crate) enum Refused {
    Full { queued_bytes: usize },
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
    poisoned: Option<String>,
    stats: JournalStats,
}

impl Queue {
    pub(crate) fn new(next_record: u64) -> Self {
        Queue {
            state: Mutex::new(State {
                waiting: Vec::new(),
                waiting_bytes: 0,
                next_record,
                stopped: false,
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

    /// Everything that waits, or `None` when the journal stops and nothing waits.
    fn take(&self) -> Option<Vec<Queued>> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.stopped {
                return None;
            }
            self.changed.wait(&mut state);
        }
        Some(std::mem::take(&mut state.waiting))
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
    segment_number: u64,
    options: JournalOptions,
    queue: Arc<Queue>,
    closed: Arc<Mutex<Vec<ClosedSegment>>>,
) -> Result<JoinHandle<()>> {
    let first_record = closed.lock().last().map_or(0, |segment| segment.records_end);
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
        while let Some(group) = self.queue.take() {
            buffer.clear();
            let mut newest = i64::MIN;
            for queued in &group {
                segment::put_record(&mut buffer, queued.kind, queued.checksum, &queued.payload);
                newest = newest.max(queued.newest);
            }
            let written = match self.queue.poisoned() {
                Some(cause) => Err(cause),
                None => self.write(&buffer, group.len() as u64, newest),
            };
            if let Err(cause) = &written {
                self.queue.poison(cause.clone());
            }
            let outcome = written.map_err(model::Error::unavailable);
            for queued in group {
                queued.promise.resolve(outcome.clone());
            }
            // A rare large group must not keep its memory.
            if buffer.capacity() > 8 << 20 {
                buffer = Vec::new();
            }
        }
    }

    fn write(&mut self, buffer: &[u8], records: u64, newest: i64) -> Result<(), String> {
        let result = self.write_and_sync(buffer);
        self.queue.finish(buffer.len(), |stats| {
            if let Ok(sync_ns) = &result {
                stats.syncs += 1;
                stats.sync_ns += sync_ns;
                stats.records += records;
            }
        });
        result.map_err(|e| e.to_string())?;
        self.current.bytes += buffer.len() as u64;
        self.current.records_end += records;
        self.current.newest = self.current.newest.max(newest);
        // What was written is durable even if the next segment can not be made.
        if self.current.bytes >= self.options.segment_bytes_max
            && let Err(error) = self.roll()
        {
            self.queue.poison(error.to_string());
        }
        let (bytes, segments) = (self.current.bytes, 1);
        self.queue.finish(0, |stats| (stats.bytes, stats.segments) = (bytes, segments));
        Ok(())
    }

    fn write_and_sync(&mut self, buffer: &[u8]) -> Result<u64> {
        let path = &self.current.path;
        self.file.append(buffer).map_err(Error::io("write", path))?;
        let before = self.clock.monotonic();
        self.file.sync().map_err(Error::io("sync", path))?;
        let spent = self.clock.monotonic().saturating_sub(before);
        Ok(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX))
    }

    fn roll(&mut self) -> Result<()> {
        let (file, next) = create_segment(
            &self.dir,
            self.current.number + 1,
            self.current.records_end,
            &self.options,
        )?;
        self.file = file;
        let full = std::mem::replace(&mut self.current, next);
        self.closed.lock().push(full);
        Ok(())
    }
}
