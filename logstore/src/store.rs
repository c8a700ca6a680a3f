//! The store: head and journal behind the traits of `model`.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use disk::journal::{CorruptRecord, JournalStats};
use disk::{Journal, JournalOptions};
use memchr::memmem::Finder;
use model::labels::Labels;
use model::log::LogRow;
use model::read::{LineHint, LogRequest, RangeNs};
use model::write::{LogBatch, WriteOutcome};
use model::{Clock, Commit, LogSink, LogSource, Matcher, QueryContext, TimestampNs};
use parking_lot::RwLock;

use crate::error::{Error, Result};
use crate::head::Head;
use crate::{merge, record};

/// How the store behaves.
#[derive(Clone)]
pub struct Options {
    /// Memory for records; the oldest journal segment makes room when it is reached.
    pub memory_bytes_max: usize,
    /// Records older than this are refused and forgotten, in milliseconds; 0 keeps them while there
    /// is room.
    pub retention_ms: i64,
    /// Records further in the future than this are refused, in milliseconds.
    pub future_ms_max: i64,
    /// The journal's part.
    pub journal: JournalOptions,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            memory_bytes_max: 2 << 30,
            retention_ms: 0,
            future_ms_max: 600_000,
            journal: JournalOptions::default(),
        }
    }
}

/// What the store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Streams with records.
    pub streams: u64,
    /// Records.
    pub records: u64,
    /// Memory of records and their index.
    pub memory_bytes: u64,
    /// The journal.
    pub journal: JournalStats,
}

/// The log store.
pub struct LogStore {
    options: Options,
    clock: Arc<dyn Clock>,
    head: RwLock<Head>,
    journal: Journal,
    corrupt: Vec<CorruptRecord>,
}

/// A scan charges its query at least this often.
const ROWS_PER_CHARGE: u64 = 256;

impl LogStore {
    /// Opens the store in `dir` and rebuilds it from its journal.
    pub fn open(dir: &Path, options: Options, clock: Arc<dyn Clock>) -> Result<LogStore> {
        let mut head = Head::default();
        let (journal, recovery) = Journal::open(dir, options.journal.clone(), &mut |replayed| {
            if replayed.kind != record::BATCH {
                return Err(format!("unknown kind {} of record", replayed.kind));
            }
            let layout = record::layout(replayed.payload).map_err(|e| e.to_string())?;
            let newest = newest(&layout);
            head.add(replayed.number, Arc::new(replayed.payload.to_vec()), layout);
            Ok(newest)
        })?;
        let corrupt = recovery.corrupt;
        Ok(LogStore { options, clock, head: RwLock::new(head), journal, corrupt })
    }

    /// Why the store refuses writes, if it does.
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

    /// What the store holds.
    pub fn stats(&self) -> Stats {
        let head = self.head.read();
        Stats {
            streams: head.stream_count() as u64,
            records: head.record_count() as u64,
            memory_bytes: head.bytes() as u64,
            journal: self.journal.stats(),
        }
    }

    /// Forgets what is over the memory limit or older than the retention. Called now and then.
    pub fn enforce_retention(&self) -> Result<()> {
        let cutoff = (self.options.retention_ms > 0)
            .then(|| self.clock.now_ms().plus_ms(-self.options.retention_ms).to_ns());
        loop {
            let Some(oldest) = self.journal.closed_segments().into_iter().next() else {
                return Ok(());
            };
            let is_full = self.head.read().bytes() > self.options.memory_bytes_max;
            let is_old = cutoff.is_some_and(|cutoff| oldest.newest < cutoff.0);
            if !is_full && !is_old {
                return Ok(());
            }
            self.head.write().forget_before(oldest.records_end);
            self.journal.drop_records_before(oldest.records_end)?;
        }
    }

    /// Writes what waits and stops. Reads still work.
    pub fn close(&self) {
        self.journal.close();
    }
}

fn newest(layout: &record::Layout) -> i64 {
    let times = layout.groups.iter().flat_map(|group| &group.records).map(|(at, _)| at.0);
    times.max().unwrap_or(i64::MIN)
}

impl LogSink for LogStore {
    fn append(&self, batch: &LogBatch<'_>) -> model::Result<(WriteOutcome, Commit)> {
        let now = self.clock.now_ms();
        let Options { retention_ms, future_ms_max, .. } = self.options;
        let oldest =
            if retention_ms > 0 { now.plus_ms(-retention_ms).to_ns() } else { TimestampNs::MIN };
        let latest = now.plus_ms(future_ms_max).to_ns();
        let mut outcome = WriteOutcome::default();
        let (payload, layout) = record::encode(batch, |at| {
            if at < oldest {
                outcome.refuse("too_old", || {
                    format!(
                        "record at {at} is older than the retention of {} s",
                        retention_ms / 1000
                    )
                });
                return false;
            }
            if at > latest {
                outcome.refuse("too_far_in_future", || {
                    format!("record at {at} is more than {} s in the future", future_ms_max / 1000)
                });
                return false;
            }
            outcome.accepted += 1;
            true
        });
        if outcome.accepted == 0 {
            return Ok((outcome, Commit::done()));
        }
        let payload = Arc::new(payload);
        let newest = newest(&layout);
        // The lock covers both, so that journal numbers and batches in memory have one order.
        let mut head = self.head.write();
        self.journal.check_room(head.bytes(), self.options.memory_bytes_max)?;
        let (number, commit) = self.journal.append(record::BATCH, payload.clone(), newest)?;
        head.add(number, payload, layout);
        Ok((outcome, commit))
    }
}

impl LogSource for LogStore {
    fn scan(
        &self,
        request: &LogRequest,
        context: &QueryContext,
        visit: &mut dyn FnMut(&LogRow<'_>) -> ControlFlow<()>,
    ) -> model::Result<()> {
        let snapshot = self.head.read().snapshot(&request.matchers, request.range);
        let hints: Vec<(Finder<'_>, bool)> = request
            .lines
            .iter()
            .map(|hint| match hint {
                LineHint::Contains(text) => (Finder::new(text), true),
                LineHint::Lacks(text) => (Finder::new(text), false),
            })
            .collect();
        let (mut rows, mut bytes) = (0, 0);
        let mut fields = Vec::new();
        for (stream, entry) in merge::entries(&snapshot, request.order) {
            let chunk = snapshot.chunk(&entry);
            let line = record::line(chunk, entry.body).map_err(Error::from)?;
            (rows, bytes) = (rows + 1, bytes + line.len() as u64);
            if rows == ROWS_PER_CHARGE {
                context.charge(rows, bytes)?;
                (rows, bytes) = (0, 0);
            }
            let passes = |(finder, wanted): &(Finder<'_>, bool)| {
                finder.find(line.as_bytes()).is_some() == *wanted
            };
            if !hints.iter().all(passes) {
                continue;
            }
            fields.clear();
            if request.metadata {
                record::fields(chunk, entry.shared, entry.body, &mut fields)
                    .map_err(Error::from)?;
            }
            let row = LogRow {
                stream: &snapshot.streams[stream].0,
                at: entry.at,
                arrival: entry.arrival(),
                line,
                metadata: &fields,
            };
            if visit(&row).is_break() {
                break;
            }
        }
        context.charge(rows, bytes)
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: RangeNs,
        context: &QueryContext,
    ) -> model::Result<Vec<Labels>> {
        context.check()?;
        Ok(self.head.read().labels(matchers, range))
    }
}

#[cfg(test)]
mod tests;
