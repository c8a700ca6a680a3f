//! Data points: OTLP to [`SeriesBatch`], mapped as Prometheus's own OTLP receiver maps them
//! (`storage/remote/otlptranslator/prometheusremotewrite`).

mod exemplar;
mod histogram;
mod labels;
mod target_info;
pub(crate) mod warnings;

use model::labels::METRIC_NAME;
use model::sample::{MetricKind, MetricMetadata, SeriesId, stale_nan};
use model::write::{FloatPoint, SeriesBatch, WriteOutcome};
use model::{ErrorKind, SeriesSink, TimestampMs};
use proto::otlp::{
    Attributes, MetricDataRef, MetricRef, MetricsRef, NumberPointRef, NumberValue, ResourceRef,
    ScopeMetricsRef, ValueRef,
};
use rustc_hash::FxHashSet;

use crate::limits::Limits;
use crate::otlp::delta::{Delta, DeltaSums};
use crate::otlp::fields::{to_time, too_many_attributes};
use crate::otlp::naming::{NameKind, metric_name};
use crate::otlp::series::{KeyBuffer, SeriesCache};
use crate::otlp::translation::{DeltaTemporality, Translation};
use crate::rejection::Rejection;
use exemplar::to_exemplar;
use labels::{Draft, ResourceLabels, point_labels, scope_labels};
use warnings::{EMPTY_DATA_POINTS, UNKNOWN_DATA, Warnings};

/// OTLP's flag of a point that says "no value any more".
const NO_RECORDED_VALUE: u32 = 1;
/// OTLP's number of delta temporality.
const DELTA: i32 = 1;
/// OTLP's number of cumulative temporality.
const CUMULATIVE: i32 = 2;

/// What all requests share.
#[derive(Clone, Copy)]
pub(crate) struct Door<'m> {
    pub(crate) sink: &'m dyn SeriesSink,
    pub(crate) cache: &'m SeriesCache,
    pub(crate) limits: &'m Limits,
    pub(crate) translation: &'m Translation,
    pub(crate) sums: &'m DeltaSums,
    pub(crate) now: TimestampMs,
}

/// Maps one request.
pub(crate) struct Mapper<'m> {
    door: Door<'m>,
    accepted: model::read::RangeMs,
    generation: u64,
    batch: SeriesBatch,
    outcome: WriteOutcome,
    warnings: Warnings,
    told_targets: FxHashSet<(SeriesId, TimestampMs)>,
    key: KeyBuffer,
    /// The series of the point that is being mapped.
    ids: Vec<SeriesId>,
    extra: Vec<u8>,
}

/// What all points of a metric share.
struct Metric<'a, 'r> {
    metric: MetricRef<'a>,
    kind: MetricKind,
    name_kind: NameKind,
    temporality: i32,
    /// The Prometheus name; made when a new series needs it.
    name: Option<String>,
    /// The cache's number for resource, scope and metric.
    number: u64,
    scope: &'r ScopeMetricsRef<'a>,
    resource: &'r mut Resource<'a>,
}

/// What all points of a resource share.
struct Resource<'a> {
    resource: ResourceRef<'a>,
    number: u64,
    /// Made when a new series needs them.
    labels: Option<ResourceLabels>,
    /// The earliest and the latest of the points that were not refused for their time.
    times: Option<(TimestampMs, TimestampMs)>,
}

/// Why a point is refused: the reason's word and a sentence.
type Refused = (&'static str, String);
type Mapped<T> = Result<Result<T, Refused>, Rejection>;

/// `?` on the inner result of [`Mapped`].
macro_rules! kept {
    ($mapped:expr) => {
        match $mapped {
            Ok(kept) => kept,
            Err(refused) => return Ok(Err(refused)),
        }
    };
}
use kept;

impl<'m> Mapper<'m> {
    pub(crate) fn new(door: Door<'m>) -> Self {
        Mapper {
            door,
            accepted: door.sink.accepted_times(),
            generation: door.sink.generation(),
            batch: SeriesBatch::default(),
            outcome: WriteOutcome::default(),
            warnings: Warnings::default(),
            told_targets: FxHashSet::default(),
            key: KeyBuffer::default(),
            ids: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// The batch, an outcome that counts data points, and what the sender should know besides.
    pub(crate) fn finish(self) -> (SeriesBatch, WriteOutcome, Warnings) {
        (self.batch, self.outcome, self.warnings)
    }

    /// Walks a whole request.
    pub(crate) fn map(&mut self, request: MetricsRef<'_>) -> Result<(), Rejection> {
        for resource_metrics in request.resource_metrics() {
            let resource_metrics = resource_metrics?;
            let resource = resource_metrics.resource;
            self.key.start(b'R', 0).part(resource.raw);
            let number = self.number();
            let mut resource = Resource { resource, number, labels: None, times: None };
            for scope_metrics in resource_metrics.scope_metrics() {
                let scope_metrics = scope_metrics?;
                let (raw, schema) = (scope_metrics.scope.raw, scope_metrics.schema_url.as_bytes());
                self.key.start(b'S', resource.number).part(raw).part(schema);
                let scope_number = self.number();
                for metric in scope_metrics.metrics() {
                    self.metric(metric?, scope_number, &scope_metrics, &mut resource)?;
                }
            }
            self.target_info(&mut resource)?;
        }
        Ok(())
    }

    /// The cache's number for the bytes in the key buffer.
    fn number(&mut self) -> u64 {
        self.door.cache.number(self.key.bytes(), self.generation, &mut self.ids)
    }

    fn metric<'a>(
        &mut self,
        metric: MetricRef<'a>,
        scope_number: u64,
        scope: &ScopeMetricsRef<'a>,
        resource: &mut Resource<'a>,
    ) -> Result<(), Rejection> {
        let (kind, name_kind, temporality) = match metric.data {
            MetricDataRef::Empty => (MetricKind::Unknown, NameKind::Other, CUMULATIVE),
            MetricDataRef::Gauge { .. } => (gauge_kind(&metric)?, NameKind::Gauge, CUMULATIVE),
            MetricDataRef::Sum { temporality, is_monotonic: true, .. } => {
                (MetricKind::Counter, NameKind::Counter, temporality)
            }
            // A sum that may fall is a gauge to Prometheus, but not a ratio.
            MetricDataRef::Sum { temporality, .. } => {
                (MetricKind::Gauge, NameKind::Other, temporality)
            }
            MetricDataRef::Histogram { temporality, .. }
            | MetricDataRef::ExponentialHistogram { temporality, .. } => {
                (MetricKind::Histogram, NameKind::Other, temporality)
            }
            MetricDataRef::Summary { .. } => (MetricKind::Summary, NameKind::Other, CUMULATIVE),
        };
        let keeps_deltas = self.door.translation.delta_temporality == DeltaTemporality::Keep;
        // Prometheus tells deltas that it keeps as of unknown kind; it has no better word for them.
        let is_kept_delta = temporality == DELTA && keeps_deltas;
        let kind = if is_kept_delta { MetricKind::Unknown } else { kind };
        self.key.start(b'M', scope_number).part(metric.name.as_bytes());
        self.key.part(metric.unit.as_bytes());
        self.key.part(&[kind as u8, name_kind as u8, temporality as u8]);
        let number = self.number();
        let mut shared =
            Metric { metric, kind, name_kind, temporality, name: None, number, scope, resource };
        let m = &mut shared;
        let count = match metric.data {
            MetricDataRef::Empty => {
                let name = metric.name;
                self.warnings.warn(UNKNOWN_DATA, || {
                    format!("metric {name:?} has no data, or data of a kind that is not known")
                });
                return Ok(());
            }
            MetricDataRef::Gauge { points } | MetricDataRef::Sum { points, .. } => {
                self.points(m, points, |mapper, m, point| mapper.number_point(m, point))?
            }
            MetricDataRef::Histogram { points, .. } => {
                self.points(m, points, |mapper, m, point| mapper.histogram(m, point))?
            }
            MetricDataRef::ExponentialHistogram { points, .. } => {
                self.points(m, points, |mapper, m, point| mapper.exponential(m, point))?
            }
            MetricDataRef::Summary { points } => {
                self.points(m, points, |mapper, m, point| mapper.summary(m, point))?
            }
        };
        if count == 0 {
            let name = metric.name;
            self.warnings.warn(EMPTY_DATA_POINTS, || {
                format!("metric {name:?} has no data points and is dropped")
            });
        }
        Ok(())
    }

    /// Maps the points of a metric, counts them, and says how many there were.
    fn points<'a, 'r, P>(
        &mut self,
        metric: &mut Metric<'a, 'r>,
        points: impl Iterator<Item = Result<P, proto::DecodeError>>,
        map: impl Fn(&mut Self, &mut Metric<'a, 'r>, &P) -> Mapped<()>,
    ) -> Result<usize, Rejection> {
        let mut count = 0;
        for point in points {
            let point = point?;
            count += 1;
            let mapped = match metric.temporality {
                CUMULATIVE | DELTA => map(self, metric, &point)?,
                other => Err((
                    "temporality_unspecified",
                    format!("aggregation temporality {other} is unknown; 1 and 2 are accepted"),
                )),
            };
            match mapped {
                Ok(()) => self.outcome.accepted += 1,
                Err((reason, example)) => {
                    let name = metric.metric.name;
                    self.outcome.refuse(reason, || format!("metric {name:?}: {example}"));
                }
            }
        }
        Ok(count)
    }

    /// The time and start time of a point, in milliseconds.
    #[inline]
    fn times(
        &self,
        resource: &mut Resource<'_>,
        time: u64,
        start: u64,
    ) -> Result<(TimestampMs, TimestampMs), Refused> {
        let (Some(at), Some(start)) = (to_time(time), to_time(start)) else {
            let example = "a time is beyond the year 2262 (or negative)".to_owned();
            return Err(("timestamp_out_of_range", example));
        };
        let at = at.to_ms();
        if at < self.accepted.start {
            let example = format!("the time {at} is older than what is kept");
            return Err(("too_old", example));
        }
        if at > self.accepted.end {
            return Err(("too_far_in_future", format!("the time {at} is too far in the future")));
        }
        let (earliest, latest) = resource.times.unwrap_or((at, at));
        resource.times = Some((earliest.min(at), latest.max(at)));
        Ok((at, start.to_ms()))
    }

    fn number_point(
        &mut self,
        metric: &mut Metric<'_, '_>,
        point: &NumberPointRef<'_>,
    ) -> Mapped<()> {
        let times = self.times(metric.resource, point.time_unix_nano, point.start_time_unix_nano);
        let (at, start) = kept!(times);
        let value = match (point.flags & NO_RECORDED_VALUE != 0, point.value) {
            (true, _) => stale_nan(),
            (false, Some(NumberValue::Int(value))) => value as f64,
            (false, Some(NumberValue::Double(value))) => value,
            (false, None) => return Ok(Err(("no_value", "a data point has no value".to_owned()))),
        };
        self.extra.clear();
        if !self.known(metric, |feed| point.for_each_attribute_raw(feed)) {
            let labels = kept!(self.labels(metric, point.attributes())?);
            kept!(self.one_series(metric, &labels)?);
        }
        let series = self.ids[0];
        kept!(self.push_float(metric, series, at, start, value));
        // Prometheus has exemplars of counters only.
        if metric.name_kind == NameKind::Counter {
            self.exemplars(point.exemplars(), |_| series)?;
        }
        Ok(Ok(()))
    }

    /// Whether the series of a point are known; they are then in `self.ids`, and otherwise what
    /// names the point is in the key buffer. `self.extra` is what tells its series apart beside the
    /// attributes.
    #[inline]
    fn known<'a>(
        &mut self,
        metric: &Metric<'_, '_>,
        attributes: impl FnOnce(&mut dyn FnMut(&'a [u8])),
    ) -> bool {
        let key = &mut self.key;
        key.start(b'P', metric.number).part(&self.extra);
        attributes(&mut |raw| {
            key.part(raw);
        });
        self.door.cache.get(key.bytes(), self.generation, &mut self.ids)
    }

    /// Remembers `self.ids` as the series of the point in the key buffer, and describes its metric.
    fn remember(&mut self, metric: &Metric<'_, '_>, name: &str) {
        self.door.cache.put(self.key.bytes(), self.generation, &self.ids);
        let metadata = MetricMetadata {
            kind: metric.kind,
            help: metric.metric.description.to_owned(),
            unit: metric.metric.unit.to_owned(),
        };
        self.door.sink.describe(name, &metadata);
    }

    /// Looks up the one series of a point, and remembers it.
    fn one_series(&mut self, metric: &mut Metric<'_, '_>, labels: &Draft) -> Mapped<()> {
        let name = metric.name(self.door.translation);
        let series = kept!(self.series(labels, &name, None)?);
        self.ids.clear();
        self.ids.push(series);
        self.remember(metric, &name);
        Ok(Ok(()))
    }

    /// The labels of a new series without its name.
    fn labels(&mut self, metric: &mut Metric<'_, '_>, own: Attributes<'_>) -> Mapped<Draft> {
        let translation = self.door.translation;
        if metric.name(translation).is_empty() {
            let example = "nothing of the name is left when it is made a Prometheus name";
            return Ok(Err(("bad_metric_name", example.to_owned())));
        }
        let limit = self.door.limits.attributes_max;
        let scope = scope_labels(metric.scope, translation, limit)?;
        let resource = metric.resource.labels(translation, limit)?;
        let labels = point_labels(own, resource, &scope, translation, limit, &mut self.warnings)?;
        let mut labels = kept!(labels.map_err(|count| {
            let example = too_many_attributes("a data point or its resource", count, limit);
            ("too_many_attributes", example)
        }));
        if metric.is_kept_delta(translation) {
            let (name, value) = DeltaTemporality::LABEL;
            labels.set(name, value);
        }
        Ok(Ok(labels))
    }

    /// The series `name` with these labels and one more.
    fn series(
        &mut self,
        labels: &Draft,
        name: &str,
        extra: Option<(&str, &str)>,
    ) -> Mapped<SeriesId> {
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(labels.0.len() + 2);
        add_labels(&mut pairs, labels, name, extra);
        self.judge(self.door.sink.series_of(&pairs))
    }

    /// The series of one point, each by its name and one more label, into `self.ids`. They are looked
    /// up together, which costs the store one lock for all that are new.
    fn series_of_point(
        &mut self,
        labels: &Draft,
        series: &[(&str, Option<(&str, &str)>)],
    ) -> Mapped<()> {
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(series.len() * (labels.0.len() + 2));
        let mut ends = Vec::with_capacity(series.len());
        for (name, extra) in series {
            add_labels(&mut pairs, labels, name, *extra);
            ends.push(pairs.len());
        }
        let mut found = Vec::with_capacity(series.len());
        self.door.sink.series_of_each(&pairs, &ends, &mut found);
        self.ids.clear();
        for found in found {
            let series = kept!(self.judge(found)?);
            self.ids.push(series);
        }
        Ok(Ok(()))
    }

    /// Whether the point is refused whose series the store does not give, or the whole request.
    fn judge(&self, found: model::Result<SeriesId>) -> Mapped<SeriesId> {
        match found {
            Ok(series) => Ok(Ok(series)),
            Err(error) => match error.kind() {
                ErrorKind::Exhausted => Ok(Err(("series_limit", error.to_string()))),
                ErrorKind::BadRequest => Ok(Err(("bad_labels", error.to_string()))),
                _ => Err(Rejection::from_store(&error, self.door.limits.retry_delay)),
            },
        }
    }

    /// Appends one sample; a delta is added up first, where that is wanted.
    #[inline]
    fn push_float(
        &mut self,
        metric: &Metric<'_, '_>,
        series: SeriesId,
        at: TimestampMs,
        start: TimestampMs,
        value: f64,
    ) -> Result<(), Refused> {
        let (mut start, mut value) = (start, value);
        if metric.is_summed(self.door.translation) && !model::sample::is_stale(value) {
            let delta = Delta { series, start, at, value: &value };
            (start, value) = self.door.sums.add(delta, self.door.now)?;
        }
        self.batch.points.push(FloatPoint { series, at, start, value });
        Ok(())
    }

    /// Keeps exemplars of a point, each with the series that `series_of` its value names.
    fn exemplars<'a>(
        &mut self,
        exemplars: impl Iterator<Item = Result<proto::otlp::ExemplarRef<'a>, proto::DecodeError>>,
        series_of: impl Fn(f64) -> SeriesId,
    ) -> Result<(), Rejection> {
        for exemplar in exemplars {
            if let Some(exemplar) = to_exemplar(&exemplar?, self.door.translation)? {
                self.batch.exemplars.push((series_of(exemplar.value), exemplar));
            }
        }
        Ok(())
    }
}

/// Adds the sorted labels of a series: those of its point, its name and one more.
fn add_labels<'l>(
    pairs: &mut Vec<(&'l str, &'l str)>,
    labels: &'l Draft,
    name: &'l str,
    extra: Option<(&'l str, &'l str)>,
) {
    let own = labels.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let own = own
        .filter(|(name, value)| !value.is_empty() && extra.is_none_or(|(extra, _)| extra != *name));
    let start = pairs.len();
    pairs.extend(own.chain(extra).chain([(METRIC_NAME, name)]));
    pairs[start..].sort_unstable();
}

impl Metric<'_, '_> {
    fn name(&mut self, translation: &Translation) -> String {
        let MetricRef { name, unit, .. } = self.metric;
        let built = || metric_name(name, unit, self.name_kind, translation).unwrap_or_default();
        self.name.get_or_insert_with(built).clone()
    }

    fn is_kept_delta(&self, translation: &Translation) -> bool {
        self.temporality == DELTA && translation.delta_temporality == DeltaTemporality::Keep
    }

    fn is_summed(&self, translation: &Translation) -> bool {
        self.temporality == DELTA && translation.delta_temporality == DeltaTemporality::Cumulative
    }
}

impl<'a> Resource<'a> {
    fn labels(
        &mut self,
        translation: &Translation,
        attributes_max: usize,
    ) -> Result<&ResourceLabels, Rejection> {
        if self.labels.is_none() {
            let labels = ResourceLabels::of(self.resource, translation, attributes_max)?;
            self.labels = Some(labels);
        }
        Ok(self.labels.get_or_insert_default())
    }
}

/// What a gauge is by the metadata that a translation from Prometheus noted
/// (opentelemetry-specification, `compatibility/prometheus_and_openmetrics.md`).
fn gauge_kind(metric: &MetricRef<'_>) -> Result<MetricKind, Rejection> {
    for attribute in metric.metadata() {
        let attribute = attribute?;
        if let ("prometheus.type", ValueRef::Str(kind)) = (attribute.key, attribute.value) {
            return Ok(match kind {
                "unknown" => MetricKind::Unknown,
                "info" => MetricKind::Info,
                "stateset" => MetricKind::StateSet,
                _ => MetricKind::Gauge,
            });
        }
    }
    Ok(MetricKind::Gauge)
}
