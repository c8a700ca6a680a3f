//! The store: head and journal behind the traits of `model`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use disk::journal::{ClosedSegment, CorruptRecord, JournalStats};
use disk::{Journal, JournalOptions};
use model::labels::Labels;
use model::read::{RangeMs, SeriesColumns, SeriesRequest, SeriesStream};
use model::sample::{Exemplar, MetricMetadata, SeriesId};
use model::write::{SeriesBatch, WriteOutcome};
use model::{Clock, Commit, Matcher, QueryContext, SeriesSink, SeriesSource, TimestampMs};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::head::Head;
use crate::record::{self, NewSeries};

/// How the store behaves.
#[derive(Clone)]
pub struct Options {
    /// Series that may be held; more are refused.
    pub series_max: usize,
    /// Memory for samples and series; the oldest journal segment makes room when it is reached.
    pub memory_bytes_max: usize,
    /// Samples older than this are refused and forgotten, in milliseconds; 0 keeps them while there
    /// is room.
    pub retention_ms: i64,
    /// Samples further in the future than this are refused, in milliseconds.
    pub future_ms_max: i64,
    /// The journal's part.
    pub journal: JournalOptions,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            series_max: 2_000_000,
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
    /// Live series.
    pub series: u64,
    /// Estimated memory of samples and series.
    pub memory_bytes: u64,
    /// The journal.
    pub journal: JournalStats,
}

/// The time-series store.
pub struct Tsdb {
    options: Options,
    clock: Arc<dyn Clock>,
    head: RwLock<Head>,
    pending: Mutex<Pending>,
    journal: Journal,
    generation: AtomicU64,
    corrupt: Vec<CorruptRecord>,
    /// Numbers of earlier runs that stand in the journal for a series with another number now.
    aliases: FxHashMap<SeriesId, SeriesId>,
}

/// Series told in one record when they are told again.
const SERIES_PER_RECORD: usize = 10_000;

/// What the next record must say before its samples.
#[derive(Default)]
struct Pending {
    series: Vec<NewSeries>,
    metadata: Vec<(String, MetricMetadata)>,
}

impl Tsdb {
    /// Opens the store in `dir` and rebuilds it from its journal.
    pub fn open(dir: &Path, options: Options, clock: Arc<dyn Clock>) -> Result<Tsdb> {
        let mut replay = Replay::default();
        let (journal, recovery) = Journal::open(dir, options.journal.clone(), &mut |replayed| {
            replay.record(replayed.kind, replayed.payload)
        })?;
        Ok(Tsdb {
            options,
            clock,
            head: RwLock::new(replay.head),
            pending: Mutex::default(),
            journal,
            generation: AtomicU64::new(0),
            corrupt: recovery.corrupt,
            aliases: replay.aliases,
        })
    }

    /// Why the store refuses writes, if it does.
    pub fn read_only_reason(&self) -> Option<String> {
        self.journal.poisoned()
    }

    /// Stretches of the journal that were skipped at start.
    pub fn corrupt_records(&self) -> &[CorruptRecord] {
        &self.corrupt
    }

    /// What the store holds.
    pub fn stats(&self) -> Stats {
        let head = self.head.read();
        Stats {
            series: head.live as u64,
            memory_bytes: head.bytes() as u64,
            journal: self.journal.stats(),
        }
    }

    /// Forgets what is over the memory limit or older than the retention. Called now and then.
    pub fn enforce_retention(&self) -> Result<()> {
        let cutoff = (self.options.retention_ms > 0)
            .then(|| self.clock.now_ms().plus_ms(-self.options.retention_ms));
        // One look at the segments: those that this very call fills are for the next.
        for oldest in self.journal.closed_segments() {
            let is_full = self.head.read().bytes() > self.options.memory_bytes_max;
            let is_old = cutoff.is_some_and(|cutoff| oldest.newest < cutoff.0);
            if !is_full && !is_old {
                return Ok(());
            }
            self.forget_segment(&oldest)?;
            self.journal.drop_records_before(oldest.records_end)?;
        }
        Ok(())
    }

    /// Forgets exactly the samples that stand in a segment, and tells everything that only it told
    /// again. Durable on return.
    fn forget_segment(&self, segment: &ClosedSegment) -> Result<()> {
        let mut times: FxHashMap<SeriesId, Vec<i64>> = FxHashMap::default();
        self.journal.read_segment(segment, &mut |_, payload| {
            let Ok(decoded) = record::decode(payload) else { return };
            let points = decoded.batch.points.iter().map(|point| (point.series, point.at));
            let histograms = decoded.batch.histograms.iter().map(|point| (point.series, point.at));
            for (series, at) in points.chain(histograms) {
                let series = self.aliases.get(&series).copied().unwrap_or(series);
                times.entry(series).or_default().push(at.0);
            }
        })?;
        let (next, mut told, metadata) = {
            let mut head = self.head.write();
            if head.forget(times) {
                self.generation.fetch_add(1, Ordering::SeqCst);
            }
            let metadata: Vec<_> =
                head.metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            (head.next_number(), head.all(), metadata)
        };
        let labels: FxHashMap<SeriesId, Labels> = told.iter().cloned().collect();
        let aliases = self.aliases.iter();
        told.extend(aliases.filter_map(|(alias, id)| Some((*alias, labels.get(id)?.clone()))));
        let mut last = None;
        for (i, series) in told.chunks(SERIES_PER_RECORD).enumerate() {
            let metadata = if i == 0 { metadata.as_slice() } else { &[] };
            let payload = record::encode(next, series, metadata, &SeriesBatch::default());
            last = Some(self.journal.append(record::BATCH, Arc::new(payload), i64::MIN)?.1);
        }
        let payload = record::encode(next, &[], &[], &SeriesBatch::default());
        let commit = self.journal.append(record::BATCH, Arc::new(payload), i64::MIN)?.1;
        for commit in last.into_iter().chain([commit]) {
            commit.wait().map_err(|e| Error::Retention(e.to_string()))?;
        }
        Ok(())
    }

    /// Writes what waits and stops. Reads still work.
    pub fn close(&self) {
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
}

/// Rebuilds the head from the journal.
#[derive(Default)]
struct Replay {
    head: Head,
    /// Series that were dropped and made again have two numbers; this leads to the one in use.
    aliases: FxHashMap<SeriesId, SeriesId>,
    /// Points whose series is told later: retention may drop the segment that told it first, after
    /// telling it again at the end.
    orphans: FxHashMap<SeriesId, SeriesBatch>,
}

impl Replay {
    fn record(&mut self, kind: u8, payload: &[u8]) -> std::result::Result<i64, String> {
        if kind != record::BATCH {
            return Err(format!("unknown kind {kind} of record"));
        }
        let mut decoded = record::decode(payload).map_err(|e| e.to_string())?;
        self.head.reserve(decoded.next_number).map_err(|e| e.to_string())?;
        for (id, labels) in decoded.series {
            match self.head.find(&labels) {
                Some(known) if known != id => drop(self.aliases.insert(id, known)),
                Some(_) => {}
                None => self.head.create_at(id, labels).map_err(|e| e.to_string())?,
            }
            if let Some(orphans) = self.orphans.remove(&id) {
                decoded.batch.points.extend(orphans.points);
                decoded.batch.histograms.extend(orphans.histograms);
                decoded.batch.exemplars.extend(orphans.exemplars);
            }
        }
        self.head.metadata.extend(decoded.metadata);
        let newest = record::newest(&decoded.batch);
        let batch = self.adopt(decoded.batch);
        self.head.apply(&batch, &mut WriteOutcome::default());
        Ok(newest)
    }

    /// Puts points of unknown series aside and follows aliases.
    fn adopt(&mut self, mut batch: SeriesBatch) -> SeriesBatch {
        let Replay { head, aliases, orphans } = self;
        let mut is_known = |id: &mut SeriesId| {
            *id = aliases.get(id).copied().unwrap_or(*id);
            // Even if its series is never told, no other may get this number.
            head.reserve(id.0.saturating_add(1)).ok();
            head.get(*id).is_some()
        };
        for mut point in std::mem::take(&mut batch.points) {
            match is_known(&mut point.series) {
                true => batch.points.push(point),
                false => orphans.entry(point.series).or_default().points.push(point),
            }
        }
        for mut point in std::mem::take(&mut batch.histograms) {
            match is_known(&mut point.series) {
                true => batch.histograms.push(point),
                false => orphans.entry(point.series).or_default().histograms.push(point),
            }
        }
        for (mut id, exemplar) in std::mem::take(&mut batch.exemplars) {
            match is_known(&mut id) {
                true => batch.exemplars.push((id, exemplar)),
                false => orphans.entry(id).or_default().exemplars.push((id, exemplar)),
            }
        }
        batch
    }
}

impl SeriesSink for Tsdb {
    fn series_of(&self, labels: &[(&str, &str)]) -> model::Result<SeriesId> {
        let labels = &Labels::from_pairs(labels.iter().copied());
        if let Some(id) = self.head.read().find(labels) {
            return Ok(id);
        }
        if labels.metric_name().is_empty() {
            return Err(Error::NoMetricName { labels: labels.to_string() }.into());
        }
        let mut head = self.head.write();
        if let Some(id) = head.find(labels) {
            return Ok(id);
        }
        if head.live >= self.options.series_max {
            return Err(Error::SeriesLimit { limit: self.options.series_max }.into());
        }
        let id = head.create(labels.clone());
        self.pending.lock().series.push((id, labels.clone()));
        Ok(id)
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
        if self.head.read().metadata.get(metric) == Some(metadata) {
            return;
        }
        self.head.write().metadata.insert(metric.to_owned(), metadata.clone());
        self.pending.lock().metadata.push((metric.to_owned(), metadata.clone()));
    }

    fn append(&self, batch: &SeriesBatch) -> model::Result<(WriteOutcome, Commit)> {
        let now = self.clock.now_ms();
        let mut outcome = WriteOutcome::default();
        let accepted = self.accepted_times();
        let all_timely = batch.points.iter().all(|point| accepted.contains(point.at))
            && batch.histograms.iter().all(|point| accepted.contains(point.at));
        let kept;
        let batch = if all_timely {
            batch
        } else {
            let mut some = batch.clone();
            some.points.retain(|point| self.check_time(point.at, now, &mut outcome));
            some.histograms.retain(|point| self.check_time(point.at, now, &mut outcome));
            kept = some;
            &kept
        };
        let encoded = record::encode_batch(batch);
        let newest = record::newest(batch);
        let head = self.head.read();
        self.journal.check_room(head.bytes(), self.options.memory_bytes_max)?;
        let commit = {
            // The lock is held until the record is queued: a series must be in the journal before
            // any sample of it, whichever thread writes that.
            let mut pending = self.pending.lock();
            let payload = record::with_news(0, &pending.series, &pending.metadata, encoded);
            let appended = self.journal.append(record::BATCH, Arc::new(payload), newest);
            let (_, commit) = appended.map_err(Error::from)?;
            *pending = Pending::default();
            commit
        };
        head.apply(batch, &mut outcome);
        Ok((outcome, commit))
    }
}

impl SeriesSource for Tsdb {
    fn select<'a>(
        &'a self,
        request: &SeriesRequest,
        context: &'a QueryContext,
    ) -> model::Result<SeriesStream<'a>> {
        context.check()?;
        let found = self.head.read().select(&request.matchers);
        let (range, columns) = (request.range, request.columns);
        let stream = found.into_iter().filter_map(move |(id, series)| {
            let series = series.lock();
            if !series.has_samples_in(range) {
                return None;
            }
            let mut out = SeriesColumns {
                id,
                labels: series.labels.clone(),
                times_ms: Arc::default(),
                values: Vec::new(),
                starts_ms: Vec::new(),
                histograms: Vec::new(),
            };
            if columns.samples {
                let (times, values) = series.floats(range);
                if let Err(error) = context.charge(times.len() as u64, times.len() as u64 * 16) {
                    return Some(Err(error));
                }
                out.times_ms = Arc::new(times.to_vec());
                out.values = values.to_vec();
                out.histograms = series.histograms(range);
                if let Err(error) = context.charge(out.histograms.len() as u64, 0) {
                    return Some(Err(error));
                }
            } else if let Err(error) = context.check() {
                return Some(Err(error));
            }
            if columns.starts {
                out.starts_ms = series.starts(range);
            }
            Some(Ok(out))
        });
        Ok(Box::new(stream.take(request.limit.unwrap_or(usize::MAX))))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Vec<String>> {
        let mut names = BTreeSet::new();
        for series in
            self.select(&SeriesRequest::labels(matchers.to_vec(), range, None), context)?
        {
            for (name, _) in series?.labels.iter() {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            }
        }
        Ok(names.into_iter().collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Vec<String>> {
        let mut values = BTreeSet::new();
        for series in
            self.select(&SeriesRequest::labels(matchers.to_vec(), range, None), context)?
        {
            let series = series?;
            if let Some(value) = series.labels.get(name)
                && !values.contains(value)
            {
                values.insert(value.to_owned());
            }
        }
        Ok(values.into_iter().collect())
    }

    fn exemplars(
        &self,
        matchers: &[Matcher],
        range: RangeMs,
        context: &QueryContext,
    ) -> model::Result<Vec<(Labels, Vec<Exemplar>)>> {
        let mut found = Vec::new();
        for (_, series) in self.head.read().select(matchers) {
            let series = series.lock();
            let exemplars = series.exemplars(range);
            context.charge(exemplars.len() as u64, 0)?;
            if !exemplars.is_empty() {
                found.push((series.labels.clone(), exemplars));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    fn metadata(&self) -> Vec<(String, MetricMetadata)> {
        self.head.read().metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }
}

#[cfg(test)]
mod tests;
