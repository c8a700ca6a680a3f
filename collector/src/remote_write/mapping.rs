//! Series of a request to a [`SeriesBatch`]. One scratch list of labels serves all of them: in the
//! steady state nothing is allocated for a series or a sample.

use model::labels::{Labels, METRIC_NAME};
use model::sample::{Exemplar, MetricKind, SeriesId};
use model::write::{FloatPoint, HistogramPoint, Refusal, SeriesBatch, WriteOutcome};
use model::{ErrorKind, SeriesSink, TimestampMs};
use proto::remote_write::{
    HistogramRef, LabelRef, SampleRef, SeriesRef, SymbolMetadataRef, SymbolRefs, SymbolSeriesRef,
    SymbolWriteRef, WriteRef,
};
use proto::{DecodeError, Messages};

use super::crowd::Crowd;
use super::described::{Described, family_of, to_kind};
use super::histogram::to_native;
use super::labels::{Refused, normalize, show};
use crate::limits::Limits;
use crate::rejection::Rejection;

/// Labels of an exemplar are kept up to this many characters (OpenMetrics).
const EXEMPLAR_CHARS_MAX: usize = 128;

/// After this many wrong guesses in a row, the rest of a request is looked up.
const MISSES_MAX: u32 = 4;

/// What an exemplar and a histogram take in memory, roughly and without their labels and buckets.
const LARGE_ROW_BYTES: usize = 256;

/// Maps one request.
pub(super) struct Mapper<'m> {
    sink: &'m dyn SeriesSink,
    described: &'m Described,
    limits: &'m Limits,
    batch: SeriesBatch,
    /// Only what is refused; the store counts what it keeps.
    refused: WriteOutcome,
    /// What the batch takes in memory.
    rows_bytes: usize,
}

/// How many messages a series has; they were counted when it was read.
fn count(messages: &impl Iterator) -> usize {
    messages.size_hint().1.unwrap_or_default()
}

/// Float samples and histograms of a series.
fn items_v1(series: &SeriesRef<'_>) -> usize {
    count(&series.samples()) + count(&series.histograms())
}

/// The same of 2.0.
fn items_v2(series: &SymbolSeriesRef<'_>) -> usize {
    count(&series.samples()) + count(&series.histograms())
}

fn malformed(error: &DecodeError) -> Rejection {
    let message = format!("the request is not valid remote-write protobuf: {error}");
    Rejection::permanent("bad_protobuf", ErrorKind::BadRequest, message)
}

impl<'m> Mapper<'m> {
    pub(super) fn new(
        sink: &'m dyn SeriesSink,
        described: &'m Described,
        limits: &'m Limits,
    ) -> Self {
        let (batch, refused) = (SeriesBatch::default(), WriteOutcome::default());
        Mapper { sink, described, limits, batch, refused, rows_bytes: 0 }
    }

    /// The batch, and what was refused of the request.
    pub(super) fn finish(self) -> (SeriesBatch, WriteOutcome) {
        (self.batch, self.refused)
    }

    /// Walks a `prometheus.WriteRequest`.
    pub(super) fn map_v1(&mut self, decoded: &[u8]) -> Result<(), Rejection> {
        let request = WriteRef::new(decoded);
        let mut labels: Vec<(&str, &str)> = Vec::new();
        let mut raw: Vec<(&[u8], &[u8])> = Vec::new();
        let mut crowd = Crowd::default();
        // Series of the request that were looked up one after the other: the next guesses.
        let mut chain: Vec<SeriesId> = Vec::new();
        let mut misses = 0;
        for series in request.timeseries() {
            let series = series.map_err(|e| malformed(&e))?;
            // Senders repeat their series in one order: guess before labels are checked and hashed.
            let guesses = misses < MISSES_MAX;
            if guesses {
                if let Some(guessed) = self.guess(chain.last().copied(), &series, &mut raw) {
                    misses = 0;
                    self.sink_follow(&mut chain, guessed);
                    self.samples(guessed, series.samples())?;
                    continue;
                }
                misses += 1;
            }
            let found = match self.check_count(count(&series.labels())) {
                Err(refused) => Err(refused),
                Ok(()) => {
                    read_labels(series.labels(), &mut labels)?;
                    normalize(&mut labels)
                }
            };
            match found {
                Ok(()) => crowd.add(series, &labels),
                Err(refused) => self.refuse_series(refused, items_v1(&series)),
            }
            // The next guess needs this series.
            if guesses || crowd.is_full() {
                self.crowd_v1(&mut crowd, &mut chain)?;
            }
        }
        self.crowd_v1(&mut crowd, &mut chain)?;
        self.sink.series_follow(&chain);
        for metadata in request.metadata() {
            let metadata = metadata.map_err(|e| malformed(&e))?;
            if !metadata.family.is_empty() {
                let kind = to_kind(metadata.kind);
                let (family, help, unit) = (metadata.family, metadata.help, metadata.unit);
                self.described.describe(self.sink, family, kind, help, unit);
            }
        }
        Ok(())
    }

    /// Looks up what is in a crowd and takes its items.
    fn crowd_v1<'a>(
        &mut self,
        crowd: &mut Crowd<'a, SeriesRef<'a>>,
        chain: &mut Vec<SeriesId>,
    ) -> Result<(), Rejection> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        crowd.look_up(self.sink);
        for (series, found, labels) in crowd.each() {
            let Some(id) = self.kept(found, items_v1(&series))? else { continue };
            chain.push(id);
            self.samples(id, series.samples())?;
            for histogram in series.histograms() {
                self.histogram(id, labels, &histogram.map_err(|e| malformed(&e))?)?;
            }
            for exemplar in series.exemplars() {
                let exemplar = exemplar.map_err(|e| malformed(&e))?;
                match self.check_count(count(&exemplar.labels())) {
                    Err((_, example)) => self.refuse("bad_exemplar", 1, || example),
                    Ok(()) => {
                        read_labels(exemplar.labels(), &mut pairs)?;
                        self.exemplar(id, &pairs, exemplar.value, exemplar.timestamp_ms)?;
                    }
                }
            }
        }
        crowd.clear();
        Ok(())
    }

    /// Walks an `io.prometheus.write.v2.Request`.
    pub(super) fn map_v2(&mut self, decoded: &[u8]) -> Result<(), Rejection> {
        let request = SymbolWriteRef::new(decoded);
        let mut symbols: Vec<&str> = Vec::new();
        for symbol in request.symbols() {
            self.charge(size_of::<&str>())?;
            symbols.push(symbol.map_err(|e| malformed(&e))?);
        }
        if symbols.first().is_some_and(|first| !first.is_empty()) {
            let message = "the symbols must start with an empty one".to_owned();
            return Err(Rejection::permanent("bad_symbols", ErrorKind::BadRequest, message));
        }
        let mut labels: Vec<(&str, &str)> = Vec::new();
        let mut crowd = Crowd::default();
        let mut told = None;
        for series in request.timeseries() {
            let series = series.map_err(|e| malformed(&e))?;
            let found = self
                .resolve(series.labels, &symbols, &mut labels)
                .and_then(|()| self.check_v2(&series, &symbols))
                .and_then(|()| normalize(&mut labels));
            match found {
                Ok(()) => crowd.add(series, &labels),
                Err(refused) => self.refuse_series(refused, items_v2(&series)),
            }
            if crowd.is_full() {
                self.crowd_v2(&mut crowd, &symbols, &mut told)?;
            }
        }
        self.crowd_v2(&mut crowd, &symbols, &mut told)
    }

    /// Looks up what is in a crowd and takes its items.
    fn crowd_v2<'a>(
        &mut self,
        crowd: &mut Crowd<'a, SymbolSeriesRef<'a>>,
        symbols: &[&'a str],
        told: &mut Option<(&'a str, SymbolMetadataRef)>,
    ) -> Result<(), Rejection> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        crowd.look_up(self.sink);
        for (series, found, labels) in crowd.each() {
            let Some(id) = self.kept(found, items_v2(&series))? else { continue };
            self.samples(id, series.samples())?;
            for histogram in series.histograms() {
                self.histogram(id, labels, &histogram.map_err(|e| malformed(&e))?)?;
            }
            for exemplar in series.exemplars() {
                let exemplar = exemplar.map_err(|e| malformed(&e))?;
                match self.resolve(exemplar.labels, symbols, &mut pairs) {
                    Ok(()) => self.exemplar(id, &pairs, exemplar.value, exemplar.timestamp_ms)?,
                    Err((_, example)) => self.refuse("bad_exemplar", 1, || example),
                }
            }
            self.describe_v2(labels, series.metadata, symbols, told);
        }
        crowd.clear();
        Ok(())
    }

    /// Rules of 2.0 beside those of labels.
    fn check_v2(&self, series: &SymbolSeriesRef<'_>, symbols: &[&str]) -> Result<(), Refused> {
        if count(&series.samples()) > 0 && count(&series.histograms()) > 0 {
            let example = "a series has samples and histograms, one of both is allowed".to_owned();
            return Err(("samples_and_histograms", example));
        }
        for place in [series.metadata.help, series.metadata.unit] {
            // Without metadata the references are 0, which needs no symbols.
            if place as usize >= symbols.len().max(1) {
                let count = symbols.len();
                let example = format!("metadata refers to symbol {place} of {count}");
                return Err(("bad_symbol_reference", example));
            }
        }
        Ok(())
    }

    /// Tells the store what the series' metric is; `told` is what the series before was.
    fn describe_v2<'a>(
        &self,
        labels: &[(&'a str, &'a str)],
        metadata: SymbolMetadataRef,
        symbols: &[&'a str],
        told: &mut Option<(&'a str, SymbolMetadataRef)>,
    ) {
        if metadata == SymbolMetadataRef::default() {
            return;
        }
        let Some((_, name)) = labels.iter().find(|(name, _)| *name == METRIC_NAME) else { return };
        let kind = to_kind(metadata.kind);
        let family = family_of(name, kind);
        if *told == Some((family, metadata)) {
            return;
        }
        *told = Some((family, metadata));
        let text = |place: u32| symbols.get(place as usize).copied().unwrap_or_default();
        let (help, unit) = (text(metadata.help), text(metadata.unit));
        if kind != MetricKind::Unknown || !help.is_empty() || !unit.is_empty() {
            self.described.describe(self.sink, family, kind, help, unit);
        }
    }

    /// Ends a chain of series that were looked up with one that was guessed, teaches it, and begins
    /// the next with the guessed one.
    #[inline]
    fn sink_follow(&self, chain: &mut Vec<SeriesId>, guessed: SeriesId) {
        if chain.len() > 1 {
            chain.push(guessed);
            self.sink.series_follow(chain);
        }
        chain.clear();
        chain.push(guessed);
    }

    /// The series that came after `previous` the last time, if this is it; only for series of float
    /// samples alone.
    #[inline]
    fn guess<'a>(
        &self,
        previous: Option<SeriesId>,
        series: &SeriesRef<'a>,
        raw: &mut Vec<(&'a [u8], &'a [u8])>,
    ) -> Option<SeriesId> {
        let previous = previous?;
        if count(&series.histograms()) + count(&series.exemplars()) > 0 {
            return None;
        }
        raw.clear();
        for label in series.raw_labels() {
            let label = label.ok()?;
            raw.push((label.name, label.value));
        }
        self.sink.series_after(previous, raw)
    }

    /// The id that the store gave a series, or none if it refuses the series with all its `items`.
    #[inline]
    fn kept(
        &mut self,
        found: &model::Result<SeriesId>,
        items: usize,
    ) -> Result<Option<SeriesId>, Rejection> {
        let error = match found {
            Ok(id) => return Ok(Some(*id)),
            Err(error) => error,
        };
        let reason = match error.kind() {
            ErrorKind::Exhausted => "series_limit",
            ErrorKind::BadRequest => "bad_labels",
            _ => return Err(Rejection::from_store(error, self.limits.retry_delay)),
        };
        self.refuse_series((reason, error.to_string()), items);
        Ok(None)
    }

    /// Refuses all items of a series. A series of exemplars alone is told of too.
    #[cold]
    fn refuse_series(&mut self, (reason, example): Refused, items: usize) {
        self.refuse(reason, items.max(1) as u64, || example);
    }

    #[cold]
    fn refuse(&mut self, reason: &'static str, count: u64, example: impl FnOnce() -> String) {
        let refused = &mut self.refused.refused;
        match refused.iter_mut().find(|refusal| refusal.reason == reason) {
            Some(refusal) => refusal.count += count,
            None => refused.push(Refusal { reason, count, example: example() }),
        }
    }

    #[inline]
    fn samples(
        &mut self,
        series: SeriesId,
        samples: Messages<'_, SampleRef>,
    ) -> Result<(), Rejection> {
        self.charge(count(&samples).saturating_mul(size_of::<FloatPoint>()))?;
        for sample in samples {
            let sample = sample.map_err(|e| malformed(&e))?;
            self.batch.points.push(FloatPoint {
                series,
                at: TimestampMs(sample.timestamp_ms),
                start: TimestampMs(sample.start_timestamp_ms),
                value: sample.value,
            });
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        series: SeriesId,
        labels: &[(&str, &str)],
        wire: &HistogramRef<'_>,
    ) -> Result<(), Rejection> {
        let sides = [&wire.positive, &wire.negative];
        let buckets: usize = sides.iter().map(|s| s.deltas().len() + s.counts().len()).sum();
        self.charge(LARGE_ROW_BYTES + buckets * size_of::<(i32, f64)>())?;
        match to_native(wire).map_err(|e| malformed(&e))? {
            Ok(histogram) => self.batch.histograms.push(HistogramPoint {
                series,
                at: TimestampMs(wire.timestamp_ms),
                start: TimestampMs(wire.start_timestamp_ms),
                histogram,
            }),
            Err(bad) => {
                self.refuse("bad_histogram", 1, || format!("{bad}, of {}", show(labels)));
            }
        }
        Ok(())
    }

    fn exemplar(
        &mut self,
        series: SeriesId,
        pairs: &[(&str, &str)],
        value: f64,
        at_ms: i64,
    ) -> Result<(), Rejection> {
        self.charge(LARGE_ROW_BYTES)?;
        let chars: usize = pairs.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum();
        if chars > EXEMPLAR_CHARS_MAX || pairs.iter().any(|(name, _)| name.is_empty()) {
            self.refuse("bad_exemplar", 1, || {
                format!(
                    "the labels of an exemplar have {chars} characters, the limit is \
                     {EXEMPLAR_CHARS_MAX}, and none may be without a name: {}",
                    show(pairs)
                )
            });
            return Ok(());
        }
        let labels = Labels::from_pairs(pairs.iter().copied());
        self.batch.exemplars.push((series, Exemplar { labels, value, at: TimestampMs(at_ms) }));
        Ok(())
    }

    /// Counts memory before it is taken: messages of nothing take far more of it than they are
    /// long.
    #[inline]
    fn charge(&mut self, bytes: usize) -> Result<(), Rejection> {
        let limit = self.limits.remote_write_bytes_max.saturating_mul(4);
        self.rows_bytes = self.rows_bytes.saturating_add(bytes);
        if self.rows_bytes > limit {
            return Err(Rejection::too_many_rows(limit));
        }
        Ok(())
    }

    /// Labels are counted before there is memory for them.
    #[inline]
    fn check_count(&self, count: usize) -> Result<(), Refused> {
        let limit = self.limits.attributes_max;
        if count <= limit {
            return Ok(());
        }
        Err(("too_many_labels", format!("there are {count} labels, the limit is {limit}")))
    }

    /// Puts the labels that `refs` stand for into `labels`.
    #[inline]
    fn resolve<'a>(
        &self,
        refs: SymbolRefs<'_>,
        symbols: &[&'a str],
        labels: &mut Vec<(&'a str, &'a str)>,
    ) -> Result<(), Refused> {
        labels.clear();
        if !refs.count().is_multiple_of(2) {
            let example = format!("labels are {} references, which is odd", refs.count());
            return Err(("bad_symbol_reference", example));
        }
        self.check_count(refs.count() / 2)?;
        let mut refs = refs.iter();
        while let (Some(name), Some(value)) = (refs.next(), refs.next()) {
            match (symbols.get(name as usize), symbols.get(value as usize)) {
                (Some(name), Some(value)) => labels.push((name, value)),
                _ => {
                    let (place, count) = (name.max(value), symbols.len());
                    let example = format!("labels refer to symbol {place} of {count}");
                    return Err(("bad_symbol_reference", example));
                }
            }
        }
        Ok(())
    }
}

/// Puts labels that are spelled out into `labels`.
#[inline]
fn read_labels<'a>(
    wire: Messages<'a, LabelRef<'a>>,
    labels: &mut Vec<(&'a str, &'a str)>,
) -> Result<(), Rejection> {
    labels.clear();
    for label in wire {
        let label = label.map_err(|e| malformed(&e))?;
        labels.push((label.name, label.value));
    }
    Ok(())
}
