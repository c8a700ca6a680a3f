//! Data points: OTLP to [`SeriesBatch`], mapped as Prometheus's own OTLP receiver maps them
//! (names with unit and type suffixes, `job` and `instance`, `target_info`).

mod histogram;
mod labels;

use model::labels::{Labels, METRIC_NAME};
use model::sample::{Exemplar, MetricKind, MetricMetadata, SeriesId, stale_nan};
use model::write::{FloatPoint, HistogramPoint, SeriesBatch, WriteOutcome};
use model::{ErrorKind, SeriesSink, TimestampMs};
use proto::otlp::{
    Attributes, ExemplarRef, MetricDataRef, MetricRef, MetricsRef, NumberPointRef, NumberValue,
    ResourceRef,
};

use crate::limits::Limits;
use crate::otlp::fields::{to_hex, to_text, to_time, too_many_attributes};
use crate::otlp::naming::{label_name, metric_name};
use crate::otlp::series::{Ids, Key, SeriesCache};
use crate::rejection::Rejection;
use labels::ResourceLabels;

/// OTLP's flag of a point that says "no value any more".
const NO_RECORDED_VALUE: u32 = 1;
/// OTLP's number of cumulative temporality.
const CUMULATIVE: i32 = 2;
/// `target_info` is written again when this much time has passed: half of PromQL's lookback.
const TARGET_INFO_INTERVAL_MS: i64 = 150_000;
/// Filtered attributes of an exemplar are kept up to this many characters (OpenMetrics).
const EXEMPLAR_CHARS_MAX: usize = 128;

/// Maps one request.
pub(crate) struct Mapper<'m> {
    sink: &'m dyn SeriesSink,
    cache: &'m SeriesCache,
    limits: &'m Limits,
    accepted: model::read::RangeMs,
    generation: u64,
    batch: SeriesBatch,
    outcome: WriteOutcome,
    scratch: Vec<u8>,
}

/// What all points of a metric share.
struct Metric<'a, 'r> {
    metric: MetricRef<'a>,
    kind: MetricKind,
    /// The Prometheus name; made when a new series needs it.
    name: Option<String>,
    /// Hash of resource, scope and metric.
    key: Key,
    resource: &'r mut Resource<'a>,
}

/// What all points of a resource share.
struct Resource<'a> {
    resource: ResourceRef<'a>,
    /// Made when a new series needs them.
    labels: Option<ResourceLabels>,
    newest: Option<TimestampMs>,
}

/// Why a point is refused: the reason's word and a sentence.
type Refused = (&'static str, String);
type Mapped<T> = Result<Result<T, Refused>, Rejection>;

impl<'m> Mapper<'m> {
    pub(crate) fn new(
        sink: &'m dyn SeriesSink,
        cache: &'m SeriesCache,
        limits: &'m Limits,
    ) -> Self {
        Mapper {
            sink,
            cache,
            limits,
            accepted: sink.accepted_times(),
            generation: sink.generation(),
            batch: SeriesBatch::default(),
            outcome: WriteOutcome::default(),
            scratch: Vec::new(),
        }
    }

    /// The batch, and an outcome that counts data points.
    pub(crate) fn finish(self) -> (SeriesBatch, WriteOutcome) {
        (self.batch, self.outcome)
    }

    /// Walks a whole request.
    pub(crate) fn map(&mut self, request: MetricsRef<'_>) -> Result<(), Rejection> {
        for resource_metrics in request.resource_metrics() {
            let resource_metrics = resource_metrics?;
            let mut resource =
                Resource { resource: resource_metrics.resource, labels: None, newest: None };
            for scope_metrics in resource_metrics.scope_metrics() {
                let scope_metrics = scope_metrics?;
                for metric in scope_metrics.metrics() {
                    self.metric(metric?, scope_metrics.scope.raw, &mut resource)?;
                }
            }
            self.target_info(&mut resource)?;
        }
        Ok(())
    }

    fn metric<'a>(
        &mut self,
        metric: MetricRef<'a>,
        scope_raw: &[u8],
        resource: &mut Resource<'a>,
    ) -> Result<(), Rejection> {
        let (kind, temporality) = match metric.data {
            MetricDataRef::Empty => (MetricKind::Unknown, CUMULATIVE),
            MetricDataRef::Gauge { .. } => (MetricKind::Gauge, CUMULATIVE),
            MetricDataRef::Sum { temporality, is_monotonic: true, .. } => {
                (MetricKind::Counter, temporality)
            }
            MetricDataRef::Sum { temporality, .. } => (MetricKind::Unknown, temporality),
            MetricDataRef::Histogram { temporality, .. }
            | MetricDataRef::ExponentialHistogram { temporality, .. } => {
                (MetricKind::Histogram, temporality)
            }
            MetricDataRef::Summary { .. } => (MetricKind::Summary, CUMULATIVE),
        };
        self.scratch.clear();
        for part in
            [resource.resource.raw, scope_raw, metric.name.as_bytes(), metric.unit.as_bytes()]
        {
            put_part(&mut self.scratch, part);
        }
        self.scratch.push(kind as u8);
        let key = Key::of(&self.scratch);
        let mut metric = Metric { metric, kind, name: None, key, resource };
        match metric.metric.data {
            MetricDataRef::Empty => {}
            MetricDataRef::Gauge { points } | MetricDataRef::Sum { points, .. } => {
                for point in points {
                    let point = point?;
                    self.point(&mut metric, temporality, |mapper, metric| {
                        mapper.number(metric, &point)
                    })?;
                }
            }
            MetricDataRef::Histogram { points, .. } => {
                for point in points {
                    let point = point?;
                    self.point(&mut metric, temporality, |mapper, metric| {
                        mapper.histogram(metric, &point)
                    })?;
                }
            }
            MetricDataRef::ExponentialHistogram { points, .. } => {
                for point in points {
                    let point = point?;
                    self.point(&mut metric, temporality, |mapper, metric| {
                        mapper.exponential(metric, &point)
                    })?;
                }
            }
            MetricDataRef::Summary { points } => {
                for point in points {
                    let point = point?;
                    self.point(&mut metric, temporality, |mapper, metric| {
                        mapper.summary(metric, &point)
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Maps one data point and counts it.
    fn point<'a, 'r>(
        &mut self,
        metric: &mut Metric<'a, 'r>,
        temporality: i32,
        map: impl FnOnce(&mut Self, &mut Metric<'a, 'r>) -> Mapped<()>,
    ) -> Result<(), Rejection> {
        let mapped = match temporality {
            CUMULATIVE => map(self, metric)?,
            1 => Err((
                "delta_temporality",
                "delta temporality is not supported yet; set the exporter's temporality \
                 preference to cumulative"
                    .to_owned(),
            )),
            other => Err((
                "temporality_unspecified",
                format!("aggregation temporality {other} is unknown; 2 (cumulative) is accepted"),
            )),
        };
        match mapped {
            Ok(()) => self.outcome.accepted += 1,
            Err((reason, example)) => {
                let name = metric.metric.name;
                self.outcome.refuse(reason, || format!("metric {name:?}: {example}"));
            }
        }
        Ok(())
    }

    /// The time and start time of a point, in milliseconds.
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
        resource.newest = resource.newest.max(Some(at));
        Ok((at, start.to_ms()))
    }

    fn number(&mut self, metric: &mut Metric<'_, '_>, point: &NumberPointRef<'_>) -> Mapped<()> {
        let times = self.times(metric.resource, point.time_unix_nano, point.start_time_unix_nano);
        let (at, start) = match times {
            Ok(times) => times,
            Err(refused) => return Ok(Err(refused)),
        };
        let value = match (point.flags & NO_RECORDED_VALUE != 0, point.value) {
            (true, _) => stale_nan(),
            (false, Some(NumberValue::Int(value))) => value as f64,
            (false, Some(NumberValue::Double(value))) => value,
            (false, None) => return Ok(Err(("no_value", "a data point has no value".to_owned()))),
        };
        let key = self.point_key(metric.key, &[], |feed| point.for_each_attribute_raw(feed));
        let series = match self.cache.get(key, self.generation) {
            Some(Ids::One(series)) => series,
            _ => {
                let labels = match self.labels(metric, point.attributes())? {
                    Ok(labels) => labels,
                    Err(refused) => return Ok(Err(refused)),
                };
                let name = metric.name();
                let series = match self.series(&labels, &name, None)? {
                    Ok(series) => series,
                    Err(refused) => return Ok(Err(refused)),
                };
                self.describe(metric, &name);
                self.cache.put(key, self.generation, Ids::One(series));
                series
            }
        };
        self.batch.points.push(FloatPoint { series, at, start, value });
        if metric.kind == MetricKind::Counter {
            for exemplar in point.exemplars() {
                if let Some(exemplar) = to_exemplar(&exemplar?)? {
                    self.batch.exemplars.push((series, exemplar));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Hashes a point: `extra` is what distinguishes its series beside the attributes.
    fn point_key<'a>(
        &mut self,
        metric: Key,
        extra: &[u8],
        attributes: impl FnOnce(&mut dyn FnMut(&'a [u8])),
    ) -> Key {
        let scratch = &mut self.scratch;
        scratch.clear();
        scratch.extend_from_slice(&metric.bytes());
        put_part(scratch, extra);
        attributes(&mut |raw| put_part(scratch, raw));
        Key::of(scratch)
    }

    /// The labels of a new series without its name.
    fn labels(
        &mut self,
        metric: &mut Metric<'_, '_>,
        attributes: Attributes<'_>,
    ) -> Mapped<Vec<(String, String)>> {
        if metric.name().is_empty() {
            let example = "nothing of the name is left when it is made a Prometheus name";
            return Ok(Err(("bad_metric_name", example.to_owned())));
        }
        let resource = metric.resource.labels()?;
        let mut own = Vec::new();
        for attribute in attributes {
            let attribute = attribute?;
            own.push((attribute.key, to_text(attribute.value)?.into_owned()));
        }
        let count = own.len().max(resource.attribute_count);
        if count > self.limits.attributes_max {
            let limit = self.limits.attributes_max;
            let example = too_many_attributes("a data point or its resource", count, limit);
            return Ok(Err(("too_many_attributes", example)));
        }
        // Values whose names collide are joined in order of the original keys.
        own.sort_by(|a, b| a.0.cmp(b.0));
        let mut labels: Vec<(String, String)> = Vec::new();
        for (key, value) in own {
            let name = label_name(key);
            if name.is_empty() || name == METRIC_NAME {
                continue;
            }
            match labels.iter_mut().find(|(other, _)| *other == name) {
                Some((_, joined)) => {
                    joined.push(';');
                    joined.push_str(&value);
                }
                None => labels.push((name.into_owned(), value)),
            }
        }
        for (name, value) in &resource.promoted {
            if !labels.iter().any(|(other, _)| other == name) {
                labels.push((name.clone(), value.clone()));
            }
        }
        for (name, value) in &resource.identity {
            labels.retain(|(other, _)| other != name);
            labels.push((name.clone(), value.clone()));
        }
        Ok(Ok(labels))
    }

    /// The series `name` with these labels and one more.
    fn series(
        &mut self,
        labels: &[(String, String)],
        name: &str,
        extra: Option<(&str, &str)>,
    ) -> Mapped<SeriesId> {
        let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels = Labels::from_pairs(pairs.chain(extra).chain([(METRIC_NAME, name)]));
        match self.sink.series(&labels) {
            Ok(series) => Ok(Ok(series)),
            Err(error) => match error.kind() {
                ErrorKind::Exhausted => Ok(Err(("series_limit", error.to_string()))),
                ErrorKind::BadRequest => Ok(Err(("bad_labels", error.to_string()))),
                _ => Err(Rejection::from_store(&error, self.limits.retry_delay)),
            },
        }
    }

    fn describe(&self, metric: &Metric<'_, '_>, name: &str) {
        let kind = match metric.kind {
            // A sum that may fall is a gauge to Prometheus.
            MetricKind::Unknown => MetricKind::Gauge,
            kind => kind,
        };
        let metadata = MetricMetadata {
            kind,
            help: metric.metric.description.to_owned(),
            unit: metric.metric.unit.to_owned(),
        };
        self.sink.describe(name, &metadata);
    }

    /// Writes `target_info` with the resource's other attributes, now and then.
    fn target_info(&mut self, resource: &mut Resource<'_>) -> Result<(), Rejection> {
        let Some(at) = resource.newest else { return Ok(()) };
        let key = Key::of(resource.resource.raw);
        let known = self.cache.target_info(key, self.generation);
        if known.is_some_and(|(_, last)| (last - at.0).abs() < TARGET_INFO_INTERVAL_MS) {
            return Ok(());
        }
        let series = match known {
            Some((series, _)) => series,
            None => {
                let labels = resource.labels()?;
                if labels.other.is_empty() || labels.identity.is_empty() {
                    return Ok(());
                }
                let mut all = labels.other.clone();
                all.retain(|(name, _)| !labels.identity.iter().any(|(other, _)| other == name));
                all.extend(labels.identity.iter().cloned());
                // A full store refuses it as it refuses the points; nobody sent it, so nobody is
                // told.
                let Ok(series) = self.series(&all, "target_info", None)? else { return Ok(()) };
                let metadata = MetricMetadata {
                    kind: MetricKind::Gauge,
                    help: "Target metadata".to_owned(),
                    unit: String::new(),
                };
                self.sink.describe("target_info", &metadata);
                series
            }
        };
        self.cache.put_target_info(key, self.generation, series, at.0);
        let start = model::write::NO_START;
        self.batch.points.push(FloatPoint { series, at, start, value: 1.0 });
        Ok(())
    }

    fn push_float(&mut self, series: SeriesId, at: TimestampMs, start: TimestampMs, value: f64) {
        self.batch.points.push(FloatPoint { series, at, start, value });
    }

    fn push_histogram(&mut self, point: HistogramPoint) {
        self.batch.histograms.push(point);
    }
}

impl Metric<'_, '_> {
    fn name(&mut self) -> String {
        let MetricRef { name, unit, .. } = self.metric;
        self.name.get_or_insert_with(|| metric_name(name, unit, self.kind)).clone()
    }
}

impl<'a> Resource<'a> {
    fn labels(&mut self) -> Result<&ResourceLabels, Rejection> {
        match self.labels {
            Some(ref labels) => Ok(labels),
            None => Ok(self.labels.insert(ResourceLabels::of(self.resource)?)),
        }
    }
}

/// A length and the bytes, so that no two sequences of parts look the same.
fn put_part(buffer: &mut Vec<u8>, part: &[u8]) {
    buffer.extend_from_slice(&(part.len() as u32).to_le_bytes());
    buffer.extend_from_slice(part);
}

/// An exemplar with its trace; `None` if it has no value or no time.
fn to_exemplar(exemplar: &ExemplarRef<'_>) -> Result<Option<Exemplar>, Rejection> {
    let value = match exemplar.value {
        Some(NumberValue::Int(value)) => value as f64,
        Some(NumberValue::Double(value)) => value,
        None => return Ok(None),
    };
    let Some(at) = to_time(exemplar.time_unix_nano) else { return Ok(None) };
    let mut labels: Vec<(String, String)> = Vec::new();
    for attribute in exemplar.filtered_attributes() {
        let attribute = attribute?;
        labels
            .push((label_name(attribute.key).into_owned(), to_text(attribute.value)?.into_owned()));
    }
    let chars: usize = labels.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum();
    if chars > EXEMPLAR_CHARS_MAX {
        labels.clear();
    }
    for (name, id) in [("trace_id", exemplar.trace_id), ("span_id", exemplar.span_id)] {
        if !id.is_empty() {
            labels.push((name.to_owned(), to_hex(id)));
        }
    }
    Ok(Some(Exemplar { labels: Labels::from_pairs(labels), value, at: at.to_ms() }))
}
