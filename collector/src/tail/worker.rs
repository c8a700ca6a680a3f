//! The files of one job, round after round: find, read, join, store, remember.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::log::{LEVEL, Origin};
use model::read::{LogColumns, LogRequest, RangeNs};
use model::write::{LogBatch, LogEntry, LogField, LogGroup, WriteOutcome};
use model::{Error, ErrorKind, Labels, Matcher, QueryContext, QueryLimits, Result, TimestampNs};

use super::TailDoors;
use super::checkpoint::{Batch, Checkpoint, Checkpoints, STARTS_MAX};
use super::config::{FileFormat, Job};
use super::file::{Line, OpenFile};
use super::find::{FileId, find, find_renamed};
use super::formats::{self, Piece};
use super::joining::{Joiner, Record};
use crate::log_record::{LINE_BYTES, SERVICE_NAME, discover_service, level};

/// Which file a record is from: names come again. Begins with [`model::log::BOOKKEEPING`].
const FILE_NUMBER: &str = "__signalbox_tail_file";
/// Where a record starts in its file. Begins so too.
const RECORD_OFFSET: &str = "__signalbox_tail_offset";
/// A line without an end is taken for one after so long; longer than any writer pauses within a line.
const UNFINISHED_WAIT: Duration = Duration::from_secs(10);
/// A file that is gone from its name is closed when nothing comes for so long.
const RETIRED_WAIT: Duration = Duration::from_secs(5);
/// So many records are one batch.
const BATCH_RECORDS_MAX: usize = 10_000;

/// The files of one job.
pub(super) struct Worker {
    job: Job,
    doors: TailDoors,
    checkpoints: Checkpoints,
    files: BTreeMap<FileId, Tailed>,
    /// Files that lost their names and were read to their ends, but are still on disk.
    done: BTreeMap<FileId, Checkpoint>,
    is_resumed: bool,
}

/// One file.
struct Tailed {
    file: OpenFile,
    checkpoint: Checkpoint,
    joiner: Joiner,
    /// Complete records that are not stored.
    ready: Vec<Record>,
    /// The stored checkpoint does not say yet what is stored.
    is_behind: bool,
    /// A pattern leads to it.
    is_found: bool,
    /// When something was read last, on the monotonic clock.
    read_at: Duration,
}

impl Worker {
    pub(super) fn new(job: Job, doors: TailDoors) -> Self {
        let checkpoints = Checkpoints::new(doors.kv.clone(), &job.name);
        Worker {
            job,
            doors,
            checkpoints,
            files: BTreeMap::new(),
            done: BTreeMap::new(),
            is_resumed: false,
        }
    }

    /// One round; true if there may be more to read at once.
    pub(super) fn poll(&mut self) -> Result<bool> {
        let is_first = !self.is_resumed;
        let mut is_new = false;
        if is_first {
            is_new = self.resume()?;
            self.is_resumed = true;
        }
        self.look(is_first && is_new && self.job.start_at_end)?;
        self.doors.telemetry.open(&self.job.name, self.files.len());
        let (mut is_more, mut failure) = (false, None);
        let ids: Vec<FileId> = self.files.keys().copied().collect();
        for id in ids {
            match self.advance(id) {
                Ok(more) => is_more |= more,
                // One file that can not be read must not hold up the others.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(is_more), Err)
    }

    /// Tells of a round that failed.
    pub(super) fn failed(&self, error: &Error) {
        self.doors.telemetry.failed(&self.job.name);
        tracing::warn!(job = self.job.name, %error, "tailing files failed, trying again");
    }

    /// Opens what was tailed before the restart; true if there never was anything.
    fn resume(&mut self) -> Result<bool> {
        let known = self.checkpoints.load()?;
        let is_new = known.is_empty();
        for (id, mut checkpoint) in known {
            if let Some(batch) = checkpoint.batch.take()
                && self.is_stored(&checkpoint, &batch)?
            {
                (checkpoint.offset, checkpoint.streams) = (batch.offset, batch.streams);
            }
            let path = find_renamed(&checkpoint.path, id);
            if checkpoint.is_done {
                match path {
                    Some(_) => drop(self.done.insert(id, checkpoint)),
                    None => self.checkpoints.forget(id)?,
                }
                continue;
            }
            let open = path.map(|path| self.open(&path, id)).transpose()?.flatten();
            let Some(mut tailed) = open else {
                self.doors.telemetry.lost(&self.job.name);
                self.checkpoints.forget(id)?;
                continue;
            };
            self.go_on(&mut tailed, checkpoint)?;
            self.files.insert(id, tailed);
        }
        Ok(is_new)
    }

    /// Goes on in a file where a checkpoint says, if it is still that file.
    fn go_on(&self, tailed: &mut Tailed, checkpoint: Checkpoint) -> Result<()> {
        let path = &checkpoint.path;
        let is_same = tailed.file.is_same(checkpoint.head, checkpoint.offset);
        if is_same.map_err(|e| failed("read", path, &e))? {
            tailed.file.head = checkpoint.head;
            tailed.file.seek(checkpoint.offset);
            tailed.checkpoint = checkpoint;
            tailed.checkpoint.is_done = false;
        } else {
            // Truncated, or another file with the number of one that is gone.
            self.doors.telemetry.truncated(&self.job.name);
        }
        tailed.is_behind = true;
        Ok(())
    }

    /// Whether the store has records of a batch: then it has all of them.
    fn is_stored(&self, checkpoint: &Checkpoint, batch: &Batch) -> Result<bool> {
        let (path, number) = (&checkpoint.path, checkpoint.number.to_string());
        let context = QueryContext::new(QueryLimits::default(), self.doors.clock.clone());
        let request = LogRequest {
            matchers: vec![
                Matcher::equal("job", &self.job.name),
                Matcher::equal("filename", path.to_string_lossy()),
            ],
            range: RangeNs {
                start: TimestampNs(batch.first),
                end: TimestampNs(batch.last).plus_ns(1),
            },
            lines: Vec::new(),
            fields: vec![Matcher::equal(FILE_NUMBER, &number)],
            order: None,
            columns: LogColumns { line: false, metadata: true },
        };
        let mut is_stored = false;
        self.doors.source.scan(&request, &context, &mut |row| {
            let value_of = |name: &str| {
                let field = row.metadata.iter().find(|field| field.name == name);
                field.map(|field| field.value)
            };
            let offset = value_of(RECORD_OFFSET).and_then(|offset| offset.parse().ok());
            is_stored = value_of(FILE_NUMBER) == Some(&number)
                && offset.is_some_and(|offset| batch.starts.contains(&offset));
            if is_stored { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(is_stored)
    }

    /// Looks which files there are.
    fn look(&mut self, at_end: bool) -> Result<()> {
        self.files.values_mut().for_each(|tailed| tailed.is_found = false);
        for (path, id) in find(&self.job.files, &self.job.exclude) {
            if let Some(tailed) = self.files.get_mut(&id) {
                tailed.is_found = true;
                continue;
            }
            if self.files.len() >= self.job.files_max {
                let limit = self.job.files_max;
                tracing::warn!(job = self.job.name, limit, "more files than are tailed at once");
                break;
            }
            let mut tailed = match self.open(&path, id) {
                Ok(Some(tailed)) => tailed,
                Ok(None) => continue,
                Err(error) => {
                    self.failed(&error);
                    continue;
                }
            };
            if let Some(checkpoint) = self.done.remove(&id) {
                self.go_on(&mut tailed, checkpoint)?;
            } else if at_end {
                let length = tailed.file.length().map_err(|e| failed("read", &path, &e))?;
                tailed.file.seek(length);
                tailed.checkpoint.offset = length;
            }
            // Before anything is read, so that a restart finds the file under another name too.
            self.checkpoints.store(id, &tailed.checkpoint)?;
            self.files.insert(id, tailed);
        }
        Ok(())
    }

    fn open(&self, path: &Path, id: FileId) -> Result<Option<Tailed>> {
        let opened = match OpenFile::open(path, id, self.doors.line_bytes_max) {
            // Gone since it was found.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => opened.map_err(|e| failed("open", path, &e))?,
        };
        Ok(opened.map(|file| Tailed {
            file,
            checkpoint: self.fresh(path.to_owned(), id, 0),
            joiner: Joiner::default(),
            ready: Vec::new(),
            is_behind: false,
            is_found: true,
            read_at: self.doors.clock.monotonic(),
        }))
    }

    /// The checkpoint of a file at its start, of which `before` was the number.
    fn fresh(&self, path: PathBuf, id: FileId, before: u64) -> Checkpoint {
        let now = self.doors.clock.now().0 as u64;
        let numbers = [id.device, id.inode, now, before];
        let bytes: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
        Checkpoint { path, number: xxhash_rust::xxh3::xxh3_64(&bytes), ..Checkpoint::default() }
    }

    /// Reads on in one file and stores what is complete; true if there may be more.
    fn advance(&mut self, id: FileId) -> Result<bool> {
        let Some(mut tailed) = self.files.remove(&id) else { return Ok(false) };
        let result = self.advance_file(id, &mut tailed);
        match result {
            Ok(Progress::Ended) if tailed.checkpoint.is_done => {
                self.done.insert(id, tailed.checkpoint);
            }
            Ok(Progress::Ended) => {}
            _ => drop(self.files.insert(id, tailed)),
        }
        Ok(matches!(result?, Progress::More))
    }

    fn advance_file(&self, id: FileId, tailed: &mut Tailed) -> Result<Progress> {
        // What could not be stored the last time goes first.
        if !tailed.ready.is_empty() {
            self.store(id, tailed)?;
        }
        let path = tailed.checkpoint.path.clone();
        let io_error = |error: io::Error| failed("read", &path, &error);
        let position = tailed.file.position();
        if !tailed.file.is_same(tailed.file.head, position).map_err(io_error)? {
            self.truncated(id, tailed)?;
        }
        let now = self.doors.clock.monotonic();
        let is_any = self.read(tailed, false).map_err(io_error)?;
        if is_any {
            tailed.read_at = now;
        }
        let idle = now.saturating_sub(tailed.read_at);
        let is_over = !is_any && !tailed.is_found && idle >= RETIRED_WAIT;
        if is_over || !is_any && idle >= UNFINISHED_WAIT {
            self.read(tailed, true).map_err(io_error)?;
        }
        let wait = match &self.job.multiline {
            _ if is_over => Duration::ZERO,
            Some(multiline) => multiline.wait,
            None => UNFINISHED_WAIT,
        };
        tailed.joiner.take_idle(wait, now, &mut tailed.ready);
        if !tailed.ready.is_empty() {
            self.store(id, tailed)?;
        } else if !is_any && tailed.is_behind {
            tailed.file.extend_head().map_err(io_error)?;
            tailed.checkpoint.head = tailed.file.head;
            self.checkpoints.store(id, &tailed.checkpoint)?;
            tailed.is_behind = false;
        }
        if is_over {
            if tailed.file.is_removed().map_err(io_error)? {
                self.checkpoints.forget(id)?;
            } else {
                tailed.checkpoint.is_done = true;
                self.checkpoints.store(id, &tailed.checkpoint)?;
            }
            return Ok(Progress::Ended);
        }
        Ok(if is_any { Progress::More } else { Progress::Done })
    }

    /// Starts a file anew.
    fn truncated(&self, id: FileId, tailed: &mut Tailed) -> Result<()> {
        self.doors.telemetry.truncated(&self.job.name);
        tailed.joiner.take_idle(Duration::ZERO, Duration::MAX, &mut tailed.ready);
        if !tailed.ready.is_empty() {
            self.store(id, tailed)?;
        }
        tailed.file.seek(0);
        tailed.file.head = Default::default();
        let path = std::mem::take(&mut tailed.checkpoint.path);
        tailed.checkpoint = self.fresh(path, id, tailed.checkpoint.number);
        self.checkpoints.store(id, &tailed.checkpoint)
    }

    /// Takes the next lines of a file apart and together; true if there were any bytes.
    fn read(&self, tailed: &mut Tailed, finish: bool) -> io::Result<bool> {
        let Tailed { file, joiner, ready, checkpoint, .. } = tailed;
        let now = self.doors.clock.monotonic();
        let multiline = self.job.multiline.as_ref();
        let mut each = |line: Line<'_>| {
            let read = formats::read(line.bytes, self.job.format);
            if read.is_none() {
                self.doors.telemetry.malformed(&self.job.name);
            }
            let piece = read.unwrap_or_else(|| formats::raw(line.bytes));
            // The rest of a record that was stored before a restart.
            if checkpoint.streams.get(&*piece.stream).is_some_and(|done| line.end <= *done) {
                return;
            }
            let is_empty = piece.text.is_empty() && self.job.format == FileFormat::Raw;
            if is_empty && multiline.is_none() {
                return;
            }
            let piece = Piece { beyond: line.beyond, ..piece };
            let place = (line.start, line.end);
            joiner.add(piece, place, multiline, self.doors.line_bytes_max, now, ready);
        };
        if finish {
            file.finish(&mut each);
            return Ok(false);
        }
        file.read(&mut each)
    }

    /// Stores the complete records of a file, in batches; those that could not be stored stay.
    fn store(&self, id: FileId, tailed: &mut Tailed) -> Result<()> {
        let io_error = |path: &Path, error: &io::Error| failed("read", path, error);
        let extended = tailed.file.extend_head();
        extended.map_err(|error| io_error(&tailed.checkpoint.path, &error))?;
        tailed.checkpoint.head = tailed.file.head;
        while !tailed.ready.is_empty() {
            let count = tailed.ready.len().min(BATCH_RECORDS_MAX);
            let (records, rest) = tailed.ready.split_at(count);
            let now = self.doors.clock.now();
            let times = records.iter().map(|record| record.at.unwrap_or(now).0);
            let open = [tailed.joiner.open_start(), rest.first().map(|record| record.start)];
            let open = open.into_iter().flatten().min();
            let mut streams = tailed.checkpoint.streams.clone();
            for record in records {
                streams.insert(record.stream.clone(), record.end);
            }
            let offset = open.unwrap_or(u64::MAX).min(tailed.file.line_start());
            let batch = Batch {
                offset,
                // What lies before the offset needs no telling.
                streams: streams.into_iter().filter(|(_, done)| *done > offset).collect(),
                starts: records.iter().map(|record| record.start).take(STARTS_MAX).collect(),
                first: times.clone().min().unwrap_or(now.0),
                last: times.max().unwrap_or(now.0),
            };
            tailed.checkpoint.batch = Some(batch.clone());
            self.checkpoints.store(id, &tailed.checkpoint)?;
            let outcome = self.append(&tailed.checkpoint, records, now)?;
            self.doors.telemetry.stored(&self.job.name, &outcome);
            tailed.ready.drain(..count);
            tailed.checkpoint.batch = None;
            (tailed.checkpoint.offset, tailed.checkpoint.streams) = (batch.offset, batch.streams);
            tailed.is_behind = true;
        }
        Ok(())
    }

    /// Hands records to the store and waits until they are durable.
    fn append(
        &self,
        checkpoint: &Checkpoint,
        records: &[Record],
        now: TimestampNs,
    ) -> Result<WriteOutcome> {
        let mut batch = LogBatch::default();
        let number = checkpoint.number.to_string();
        batch.fields.push(field(FILE_NUMBER, number.into(), Origin::Resource));
        let mut cut = 0;
        let mut streams: Vec<&str> = records.iter().map(|record| &*record.stream).collect();
        streams.sort_unstable();
        streams.dedup();
        for stream in streams {
            let labels = self.labels(&checkpoint.path, stream);
            let start = batch.records.len() as u32;
            for record in records.iter().filter(|record| record.stream == stream) {
                let fields_start = batch.fields.len() as u32;
                let level = level::detect(&[], &labels, 0, &record.text);
                let offset = record.start.to_string();
                batch.fields.push(field(RECORD_OFFSET, offset.into(), Origin::Record));
                batch.fields.push(field(LEVEL, level.into(), Origin::Derived));
                if let Some(length) = record.cut_from {
                    batch.fields.push(field(
                        LINE_BYTES,
                        length.to_string().into(),
                        Origin::Derived,
                    ));
                    cut += 1;
                }
                batch.records.push(LogEntry {
                    at: record.at.unwrap_or(now),
                    line: Cow::Borrowed(&record.text),
                    fields: fields_start..batch.fields.len() as u32,
                });
            }
            let records = start..batch.records.len() as u32;
            batch.groups.push(LogGroup { stream: labels, shared: 0..1, records });
        }
        let (mut outcome, commit) = match self.doors.sink.append(&batch) {
            Ok(appended) => appended,
            Err(error) if error.kind().is_retryable() => return Err(error),
            // It would be refused each time; the reader goes on, and the counter tells.
            Err(error) => {
                tracing::warn!(job = self.job.name, %error, "records of a file were refused");
                let mut outcome = WriteOutcome::default();
                records.iter().for_each(|_| outcome.refuse("store_error", || error.to_string()));
                return Ok(outcome);
            }
        };
        commit.wait()?;
        outcome.cut = cut;
        Ok(outcome)
    }

    fn labels(&self, path: &Path, stream: &str) -> Labels {
        let path = path.to_string_lossy();
        let own = [("job", &*self.job.name), ("filename", &*path), ("stream", stream)];
        let given = self.job.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels: Vec<(&str, &str)> = own.into_iter().chain(given).collect();
        let value_of = |wanted: &str| {
            let found = labels.iter().rev().find(|(name, _)| *name == wanted);
            found.filter(|(_, value)| !value.is_empty()).map(|(_, value)| Cow::Borrowed(*value))
        };
        let service = value_of(SERVICE_NAME).unwrap_or_else(|| discover_service(value_of));
        Labels::from_pairs(labels.iter().copied().chain([(SERVICE_NAME, &*service)]))
    }
}

/// How far a file was read in a round.
enum Progress {
    /// There may be more at once.
    More,
    Done,
    /// It was renamed or removed and is read to its end.
    Ended,
}

fn field<'a>(name: &'static str, value: Cow<'a, str>, origin: Origin) -> LogField<'a> {
    LogField { name: Cow::Borrowed(name), value, origin }
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{what} {}: {error}", path.display()))
}
