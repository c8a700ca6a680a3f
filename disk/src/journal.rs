//! The write-ahead journal: numbered segments of checksummed records, written by one thread that
//! turns everything waiting into one write and one fsync.

mod recover;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use model::Commit;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::files::{Files, RealFiles, create_folders, sync_folder};
use writer::{Queue, Queued};

pub use recover::{CorruptRecord, Earlier, Recovery, Replayed};

/// How a journal behaves.
#[derive(Clone)]
pub struct JournalOptions {
    /// A segment is closed when it reaches this size.
    pub segment_bytes_max: u64,
    /// Appends are refused while this much waits to be written.
    pub queue_bytes_max: usize,
    /// Where the bytes go.
    pub files: Arc<dyn Files>,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            segment_bytes_max: 64 << 20,
            queue_bytes_max: 64 << 20,
            files: Arc::new(RealFiles),
        }
    }
}

/// A segment that is no longer written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedSegment {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    /// The number of the record after its last.
    pub records_end: u64,
    /// Its size.
    pub bytes: u64,
    /// The newest time that a record of it was appended with.
    pub newest: i64,
}

impl ClosedSegment {
    /// Its file, which never changes and goes when its records are dropped.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What a journal did and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Bytes in all segments.
    pub bytes: u64,
    /// Segments on disk.
    pub segments: u64,
    /// Bytes that wait for the disk.
    pub queued_bytes: u64,
    /// Fsyncs since the start.
    pub syncs: u64,
    /// Records since the start.
    pub records: u64,
    /// Time spent in fsync since the start, in nanoseconds.
    pub sync_ns: u64,
}

/// An open journal. Dropping it writes what waits and stops its thread.
pub struct Journal {
    dir: PathBuf,
    options: JournalOptions,
    queue: Arc<Queue>,
    closed: Arc<Mutex<Vec<ClosedSegment>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// The largest payload of one record.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

impl Journal {
    /// Opens the journal in `dir` (made if absent) and replays every record that was ever made
    /// durable and not dropped, in order of append. `replay` answers with the newest time in the
    /// record, or an error that stops the start.
    ///
    /// A torn tail of the last segment is cut. A corrupt record elsewhere is reported in
    /// [`Recovery::corrupt`] and skipped; its file stays as it is.
    pub fn open(
        dir: &Path,
        options: JournalOptions,
        replay: &mut dyn FnMut(Replayed<'_>) -> std::result::Result<i64, String>,
    ) -> Result<(Journal, Recovery)> {
        create_folders(dir).map_err(Error::io("create", dir))?;
        let earlier = Earlier::find(dir, 1)?;
        let next_segment = earlier.next_segment();
        let (recovery, closed) = recover::recover(earlier, replay)?;
        let next_record = recovery.records;
        Ok((Journal::start(dir, options, closed, next_segment, next_record)?, recovery))
    }

    /// Opens the journal in `dir` for appends before what it holds is replayed, which
    /// [`Journal::replay`] does later. Until then no segment may be dropped. The new segment has a
    /// number of at least `segment_min`.
    pub fn begin(
        dir: &Path,
        options: JournalOptions,
        segment_min: u64,
    ) -> Result<(Journal, Earlier)> {
        create_folders(dir).map_err(Error::io("create", dir))?;
        let earlier = Earlier::find(dir, segment_min)?;
        let (next_segment, next_record) = (earlier.next_segment(), earlier.records_max()?);
        Ok((Journal::start(dir, options, Vec::new(), next_segment, next_record)?, earlier))
    }

    /// Replays what stood in the journal before [`Journal::begin`], as [`Journal::open`] does.
    /// Appends go on meanwhile.
    pub fn replay(
        &self,
        earlier: Earlier,
        replay: &mut dyn FnMut(Replayed<'_>) -> std::result::Result<i64, String>,
    ) -> Result<Recovery> {
        let (recovery, mut segments) = recover::recover(earlier, replay)?;
        let mut closed = self.closed.lock();
        segments.append(&mut closed);
        *closed = segments;
        Ok(recovery)
    }

    fn start(
        dir: &Path,
        options: JournalOptions,
        closed: Vec<ClosedSegment>,
        next_segment: u64,
        next_record: u64,
    ) -> Result<Journal> {
        let closed = Arc::new(Mutex::new(closed));
        let queue = Arc::new(Queue::new(next_record));
        let writer = writer::spawn(
            dir.to_owned(),
            (next_segment, next_record),
            options.clone(),
            queue.clone(),
            closed.clone(),
        )?;
        let writer = Mutex::new(Some(writer));
        Ok(Journal { dir: dir.to_owned(), options, queue, closed, writer })
    }

    /// Queues a record and answers its number (records are numbered in the order of these calls) and
    /// the commit that resolves when it is on disk. `newest` is the newest time in it, for retention.
    pub fn append(&self, kind: u8, payload: Arc<Vec<u8>>, newest: i64) -> Result<(u64, Commit)> {
        if payload.len() > RECORD_BYTES_MAX {
            return Err(Error::RecordTooLarge {
                bytes: payload.len(),
                limit_bytes: RECORD_BYTES_MAX,
            });
        }
        let checksum = segment::checksum(kind, &payload);
        let (promise, commit) = Commit::pending();
        let queued = Queued { kind, checksum, payload, newest, promise: Some(promise) };
        let number =
            self.queue.push(queued, self.options.queue_bytes_max).map_err(
                |refused| match refused {
                    writer::Refused::Full { queued_bytes } => {
                        Error::QueueFull { queued_bytes, limit_bytes: self.options.queue_bytes_max }
                    }
                    writer::Refused::DiskFull(cause) => {
                        Error::DiskFull { dir: self.dir.clone(), cause }
                    }
                    writer::Refused::Poisoned(cause) => {
                        Error::Poisoned { dir: self.dir.clone(), cause }
                    }
                },
            )?;
        Ok((number, commit))
    }

    /// The number that the next record gets.
    pub fn next_record(&self) -> u64 {
        self.queue.next_record()
    }

    /// Closes the current segment once everything appended so far is in it, so that
    /// [`Journal::drop_records_before`] can remove it. Does not wait.
    pub fn roll(&self) {
        self.queue.roll();
    }

    /// Closed segments, oldest first.
    pub fn closed_segments(&self) -> Vec<ClosedSegment> {
        self.closed.lock().clone()
    }

    /// Refuses a write to a store that holds twice its limit, if there is a closed segment whose
    /// records can make room. Without one a refusal would last for ever: only writes close segments.
    pub fn check_room(&self, held_bytes: usize, limit_bytes: usize) -> Result<()> {
        if held_bytes / 2 > limit_bytes && !self.closed.lock().is_empty() {
            return Err(Error::MakingRoom { held_bytes, limit_bytes });
        }
        Ok(())
    }

    /// Removes the closed segments whose records all have numbers under `record`. Durable on return.
    pub fn drop_records_before(&self, record: u64) -> Result<()> {
        let mut closed = self.closed.lock();
        let dropped = closed.partition_point(|segment| segment.records_end <= record);
        for _ in 0..dropped {
            let path = &closed[0].path;
            std::fs::remove_file(path).map_err(Error::io("remove", path))?;
            closed.remove(0);
        }
        if dropped > 0 {
            sync_folder(&self.dir).map_err(Error::io("sync", &self.dir))?;
        }
        Ok(())
    }

    /// Shows every valid record of a closed segment again, in order of append.
    pub fn read_segment(
        &self,
        closed: &ClosedSegment,
        visit: &mut dyn FnMut(u8, &[u8]),
    ) -> Result<()> {
        let bytes = std::fs::read(&closed.path).map_err(Error::io("read", &closed.path))?;
        let mut offset = segment::HEADER_BYTES;
        while let Some(start) = segment::find_record(&bytes, offset) {
            let Ok((kind, payload, next)) = segment::record_at(&bytes, start) else { break };
            visit(kind, payload);
            offset = next;
        }
        Ok(())
    }

    /// Why the journal refuses writes, if it does.
    pub fn poisoned(&self) -> Option<String> {
        self.queue.poisoned()
    }

    /// Why appends are refused until the disk has room, if they are.
    pub fn disk_full(&self) -> Option<String> {
        self.queue.disk_full()
    }

    /// What it did and holds.
    pub fn stats(&self) -> JournalStats {
        let mut stats = self.queue.stats();
        let closed = self.closed.lock();
        stats.bytes += closed.iter().map(|segment| segment.bytes).sum::<u64>();
        stats.segments += closed.len() as u64;
        stats
    }

    /// Writes what waits and stops. Later appends are refused.
    pub fn close(&self) {
        self.queue.stop();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            self.queue.poison("the journal's writer thread panicked".to_owned());
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}
