//! The text of one scrape to a [`SeriesBatch`]: labels of the target and of the text joined, rules
//! and limits applied, ends of series marked.

use std::sync::Arc;

use model::labels::METRIC_NAME;
use model::sample::{Exemplar, MetricKind, SeriesId, stale_nan};
use model::write::{FloatPoint, NO_START, SeriesBatch};
use model::{Labels, SeriesSink, TimestampMs};
use rustc_hash::{FxHashMap, FxHashSet};

use super::cache::{Cache, Meaning};
use super::config::Job;
use super::resolve::resolve;
use super::target::Target;
use super::telemetry::ScrapeTelemetry;
use crate::exposition::number::to_milliseconds;
use crate::exposition::{ExemplarText, Format, Item, Reader, Sample, read_labels};
use crate::remote_write::described::Described;

/// Labels of an exemplar are kept up to this many characters (OpenMetrics).
const EXEMPLAR_CHARS_MAX: usize = 128;

/// What a target's own series count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Samples of the text.
    pub(super) scraped: u64,
    /// Of them, after relabelling.
    pub(super) kept: u64,
    /// Series that no scrape had lately.
    pub(super) added: u64,
}

/// What a scrape writes to.
#[derive(Clone, Copy)]
pub(super) struct Output<'a> {
    pub(super) sink: &'a dyn SeriesSink,
    pub(super) described: &'a Described,
    pub(super) telemetry: &'a ScrapeTelemetry,
}

/// The series that every target has, in the order of [`Ingest::report`].
const REPORTED: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// The scrapes of one target.
pub(super) struct Ingest {
    job: Arc<Job>,
    target: Arc<Target>,
    cache: Cache,
    format: Option<Format>,
    /// What is to be written.
    pub(super) batch: SeriesBatch,
    /// The target's own series in the batch.
    reported: Vec<(SeriesId, &'static str)>,
    /// Points whose start time the text may tell, and under which hash.
    grouped: Vec<(u32, u64)>,
    starts: FxHashMap<u64, TimestampMs>,
    /// The names and kind of the family at hand, for its metadata.
    family: Family,
    has_reported: bool,
}

/// Metadata comes in up to three lines.
#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: MetricKind,
    help: String,
    unit: String,
}

impl Ingest {
    pub(super) fn new(job: Arc<Job>, target: Arc<Target>) -> Self {
        Ingest {
            job,
            target,
            cache: Cache::default(),
            format: None,
            batch: SeriesBatch::default(),
            reported: Vec::new(),
            grouped: Vec::new(),
            starts: FxHashMap::default(),
            family: Family::default(),
            has_reported: false,
        }
    }

    /// Puts a text into the batch. After an error the batch has only the ends of what was there.
    pub(super) fn take(
        &mut self,
        output: Output<'_>,
        body: &[u8],
        format: Format,
        at: TimestampMs,
    ) -> (Counts, Result<(), String>) {
        self.clear();
        if self.format.replace(format).is_some_and(|before| before != format) {
            self.cache.forget_meanings();
        }
        self.cache.begin();
        let mut counts = Counts::default();
        let result = self.read(output, body, format, at, &mut counts);
        if let Err(error) = result {
            self.fail(at);
            return (counts, Err(error));
        }
        for (point, group) in &self.grouped {
            let point = &mut self.batch.points[*point as usize];
            if let Some(start) = self.starts.get(group).filter(|start| **start <= point.at) {
                point.start = *start;
            }
        }
        self.mark_vanished(at);
        self.cache.end(true);
        (counts, Ok(()))
    }

    /// How many lines are known.
    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.cache.len()
    }

    fn clear(&mut self) {
        self.batch.points.clear();
        self.batch.exemplars.clear();
        self.reported.clear();
        self.grouped.clear();
        self.starts.clear();
    }

    /// Puts the ends of all series of the last scrape into the batch.
    pub(super) fn fail(&mut self, at: TimestampMs) {
        self.clear();
        let points = self.cache.tracked().map(|(series, _)| point(series, at, stale_nan()));
        self.batch.points.extend(points);
        self.cache.end(false);
    }

    fn mark_vanished(&mut self, at: TimestampMs) {
        let vanished: Vec<SeriesId> = self
            .cache
            .tracked()
            .filter_map(|(series, is_present)| (!is_present).then_some(series))
            .collect();
        if vanished.is_empty() {
            return;
        }
        // Another line may stand for the same series.
        let present: FxHashSet<SeriesId> = self.cache.present().collect();
        let ended = vanished.into_iter().filter(|series| !present.contains(series));
        self.batch.points.extend(ended.map(|series| point(series, at, stale_nan())));
    }

    fn read(
        &mut self,
        output: Output<'_>,
        body: &[u8],
        format: Format,
        at: TimestampMs,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let mut rest = std::str::from_utf8(body).map_err(|error| {
            let line = body[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            format!("line {}: the text is not UTF-8", line + 1)
        })?;
        let generation = output.sink.generation();
        let mut reader = Reader::new(format);
        loop {
            let item = reader.next(&mut rest, self.cache.hint()).map_err(|e| e.to_string())?;
            match item {
                None => break,
                Some(Item::Sample(sample)) => {
                    let kind = reader.kind();
                    self.sample(output, &sample, format, kind, generation, at, counts)
                        .map_err(|error| format!("{}: {error}", reader.line()))?;
                }
                Some(Item::Help { family, text }) => {
                    self.family_of(output, &family, format).help = text.into_owned();
                }
                Some(Item::Unit { family, unit }) => {
                    self.family_of(output, &family, format).unit = unit.to_owned();
                }
                Some(Item::Kind { family, kind }) => {
                    self.family_of(output, &family, format).kind = kind;
                }
            }
        }
        self.family_of(output, "", format);
        reader.finish().map_err(|e| e.to_string())?;
        let limit = self.job.sample_limit;
        if limit > 0 && counts.kept > limit {
            return Err(format!("sample limit exceeded: {} samples, {limit} allowed", counts.kept));
        }
        Ok(())
    }

    /// The family that lines tell of; the one before is told to the sink when another begins.
    fn family_of(&mut self, output: Output<'_>, name: &str, format: Format) -> &mut Family {
        if self.family.name != name {
            let ended = std::mem::take(&mut self.family);
            name.clone_into(&mut self.family.name);
            if !ended.name.is_empty() {
                // Samples of OpenMetrics have a suffix that their family has not.
                let suffix = match (format, ended.kind) {
                    (Format::OpenMetrics, MetricKind::Counter) => "_total",
                    (Format::OpenMetrics, MetricKind::Info) => "_info",
                    _ => "",
                };
                let name = ended.name + suffix;
                let (help, unit) = (&ended.help, &ended.unit);
                output.described.describe(output.sink, &name, ended.kind, help, unit);
            }
        }
        &mut self.family
    }

    #[expect(clippy::too_many_arguments, reason = "the circumstances of one line")]
    #[inline]
    fn sample(
        &mut self,
        output: Output<'_>,
        sample: &Sample<'_>,
        format: Format,
        kind: MetricKind,
        generation: u64,
        scraped_at: TimestampMs,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let scrape = self.cache.scrape;
        let own_time = sample.timestamp_ms.filter(|_| self.job.honor_timestamps);
        let known = self.cache.find(sample.series, sample.is_hinted, kind, generation);
        let entry = match known {
            Some(entry) => entry,
            None => {
                let limit = self.job.sample_limit;
                if limit > 0 && counts.kept > limit {
                    // The scrape fails anyway; no more series are made for it.
                    counts.scraped += 1;
                    counts.kept += 1;
                    return Ok(());
                }
                let (job, target) = (&self.job, &self.target);
                let meaning = resolve(job, target, output, sample.series, format, kind)?;
                let Some(meaning) = meaning else {
                    counts.scraped += 1;
                    return Ok(());
                };
                let (entry, is_new) = self.cache.learn(sample.series, kind, generation, meaning);
                if is_new && matches!(meaning, Meaning::Series(..)) {
                    counts.added += 1;
                }
                entry
            }
        };
        let is_repeated = entry.seen == scrape;
        entry.seen = scrape;
        entry.is_tracked = own_time.is_none();
        let (series, group) = match entry.meaning {
            Meaning::Dropped => {
                counts.scraped += 1;
                return Ok(());
            }
            Meaning::Created(group) => {
                if let Some(start) = to_milliseconds(sample.value) {
                    self.starts.insert(group, TimestampMs(start));
                }
                return Ok(());
            }
            Meaning::Series(series, group) => (series, group),
        };
        counts.scraped += 1;
        counts.kept += 1;
        if is_repeated && own_time.is_none() {
            // The first sample of a series counts, as in Prometheus.
            output.telemetry.refused("duplicate_sample", 1);
            return Ok(());
        }
        let at = own_time.map_or(scraped_at, TimestampMs);
        if group != 0 {
            self.grouped.push((self.batch.points.len() as u32, group));
        }
        self.batch.points.push(point(series, at, sample.value));
        if let Some(exemplar) = sample.exemplar {
            let hash = xxhash_rust::xxh3::xxh3_64(exemplar.text.as_bytes());
            if entry.exemplar != hash {
                entry.exemplar = hash;
                self.exemplar(output, series, &exemplar, at)?;
            }
        }
        Ok(())
    }

    fn exemplar(
        &mut self,
        output: Output<'_>,
        series: SeriesId,
        exemplar: &ExemplarText<'_>,
        scraped_at: TimestampMs,
    ) -> Result<(), String> {
        let mut pairs = Vec::new();
        read_labels(exemplar.braces, Format::OpenMetrics, &mut pairs)?;
        let chars: usize = pairs.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum();
        if chars > EXEMPLAR_CHARS_MAX {
            output.telemetry.refused("bad_exemplar", 1);
            return Ok(());
        }
        let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (&**n, &**v)));
        let at = exemplar.timestamp_ms.map_or(scraped_at, TimestampMs);
        self.batch.exemplars.push((series, Exemplar { labels, value: exemplar.value, at }));
        Ok(())
    }

    /// Adds the target's own series to the batch.
    pub(super) fn report(
        &mut self,
        output: Output<'_>,
        at: TimestampMs,
        is_up: bool,
        seconds: f64,
        counts: Counts,
    ) {
        self.has_reported = true;
        let values = [
            f64::from(u8::from(is_up)),
            seconds,
            counts.scraped as f64,
            counts.kept as f64,
            counts.added as f64,
        ];
        self.push_report(output, at, values);
    }

    fn push_report(&mut self, output: Output<'_>, at: TimestampMs, values: [f64; 5]) {
        for (name, value) in REPORTED.into_iter().zip(values) {
            if let Some(series) = self.reported_series(output, name) {
                self.reported.push((series, name));
                self.batch.points.push(point(series, at, value));
            }
        }
    }

    fn reported_series(&self, output: Output<'_>, name: &str) -> Option<SeriesId> {
        let labels = self.target.labels.with(METRIC_NAME, name);
        let made = output.sink.series(&labels);
        let made = made.inspect_err(|error| {
            output.telemetry.refused("series_not_made", 1);
            tracing::debug!(%error, "{labels} is not kept");
        });
        made.ok()
    }

    /// Asks for all series of the batch anew: the store gave them other ids since. What has none any
    /// more is left out.
    pub(super) fn resolve_again(&mut self, output: Output<'_>) {
        let generation = output.sink.generation();
        let points = self.batch.points.iter().map(|point| point.series);
        let written: FxHashSet<SeriesId> = points.collect();
        let mut ids: FxHashMap<SeriesId, SeriesId> = FxHashMap::default();
        for (series, name) in std::mem::take(&mut self.reported) {
            if let Some(id) = self.reported_series(output, name) {
                ids.insert(series, id);
            }
        }
        let Ingest { job, target, cache, format, .. } = self;
        for entry in cache.entries_mut() {
            let Meaning::Series(series, _) = entry.meaning else { continue };
            let Some(format) = format.filter(|_| written.contains(&series)) else { continue };
            // What was resolved once is not refused for its text.
            if let Ok(Some(meaning)) = resolve(job, target, output, &entry.raw, format, entry.kind)
                && let Meaning::Series(id, _) = meaning
            {
                (entry.meaning, entry.generation) = (meaning, generation);
                ids.insert(series, id);
            }
        }
        let SeriesBatch { points, exemplars, .. } = &mut self.batch;
        points.retain_mut(|point| {
            let id = ids.get(&point.series);
            point.series = id.copied().unwrap_or(point.series);
            id.is_some()
        });
        exemplars.retain_mut(|(series, _)| {
            let id = ids.get(series);
            *series = id.copied().unwrap_or(*series);
            id.is_some()
        });
    }

    /// The target is gone: puts the ends of everything it had into the batch.
    pub(super) fn finish(&mut self, output: Output<'_>, at: TimestampMs) {
        self.cache.begin();
        self.fail(at);
        if self.has_reported {
            self.push_report(output, at, [stale_nan(); 5]);
        }
    }
}

fn point(series: SeriesId, at: TimestampMs, value: f64) -> FloatPoint {
    FloatPoint { series, at, start: NO_START, value }
}
