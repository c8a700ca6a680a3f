//! Rebuilds prost messages from a walk, to be compared with what prost itself decodes.
//!
//! The `normalize` methods take out of a prost message what the walkers do not tell apart, exactly
//! the differences that the header of `proto::otlp` lists.

use proto::DecodeError;
use proto::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use proto::generated::opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
use proto::generated::opentelemetry::proto::common::v1::any_value::Value;
use proto::generated::opentelemetry::proto::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use proto::generated::opentelemetry::proto::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use proto::generated::opentelemetry::proto::metrics::v1::exponential_histogram_data_point::Buckets;
use proto::generated::opentelemetry::proto::metrics::v1::metric::Data;
use proto::generated::opentelemetry::proto::metrics::v1::summary_data_point::ValueAtQuantile;
use proto::generated::opentelemetry::proto::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar, number_data_point,
};
use proto::generated::opentelemetry::proto::resource::v1::Resource;
use proto::generated::opentelemetry::proto::trace::v1::span::{Event, Link};
use proto::generated::opentelemetry::proto::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proto::otlp::{
    Attributes, BucketsRef, ExemplarRef, ExponentialPointRef, HistogramPointRef, LogRecordRef,
    LogsRef, MetricDataRef, MetricRef, MetricsRef, NumberPointRef, NumberValue, ResourceRef,
    ScopeRef, SpanRef, SummaryPointRef, TracesRef, ValueRef,
};

type Result<T> = std::result::Result<T, DecodeError>;

/// A request type both prost and the walkers can read.
pub(crate) trait Request: prost::Message + Default + std::fmt::Debug {
    fn rebuild(bytes: &[u8]) -> Result<Self>;
    fn normalize(&mut self);
}

fn collect<T, U>(
    items: impl Iterator<Item = Result<T>>,
    rebuild: impl Fn(T) -> Result<U>,
) -> Result<Vec<U>> {
    items.map(|item| item.and_then(&rebuild)).collect()
}

fn any_value(value: ValueRef<'_>) -> Result<AnyValue> {
    let value = match value {
        ValueRef::Empty => None,
        ValueRef::Str(text) => Some(Value::StringValue(text.to_owned())),
        ValueRef::Bool(boolean) => Some(Value::BoolValue(boolean)),
        ValueRef::Int(integer) => Some(Value::IntValue(integer)),
        ValueRef::Double(double) => Some(Value::DoubleValue(double)),
        ValueRef::Bytes(bytes) => Some(Value::BytesValue(bytes.to_vec())),
        ValueRef::Array(array) => {
            let values = collect(array.values(), any_value)?;
            Some(Value::ArrayValue(ArrayValue { values }))
        }
        ValueRef::Map(map) => {
            let values = collect(map.entries(), |pair| key_value(pair.key, pair.value))?;
            Some(Value::KvlistValue(KeyValueList { values }))
        }
    };
    Ok(AnyValue { value })
}

fn key_value(key: &str, value: ValueRef<'_>) -> Result<KeyValue> {
    let value = any_value(value)?;
    let value = value.value.is_some().then_some(value);
    Ok(KeyValue { key: key.to_owned(), value, key_strindex: 0 })
}

fn attributes(attributes: Attributes<'_>) -> Result<Vec<KeyValue>> {
    collect(attributes, |pair| key_value(pair.key, pair.value))
}

fn resource(resource: ResourceRef<'_>) -> Result<Option<Resource>> {
    Ok(Some(Resource {
        attributes: attributes(resource.attributes())?,
        dropped_attributes_count: resource.dropped_attributes_count,
        entity_refs: Vec::new(),
    }))
}

fn scope(scope: ScopeRef<'_>) -> Result<Option<InstrumentationScope>> {
    Ok(Some(InstrumentationScope {
        name: scope.name.to_owned(),
        version: scope.version.to_owned(),
        attributes: attributes(scope.attributes())?,
        dropped_attributes_count: scope.dropped_attributes_count,
    }))
}

fn span(span: SpanRef<'_>) -> Result<Span> {
    let events = collect(span.events(), |event| {
        Ok(Event {
            time_unix_nano: event.time_unix_nano,
            name: event.name.to_owned(),
            attributes: attributes(event.attributes())?,
            dropped_attributes_count: event.dropped_attributes_count,
        })
    })?;
    let links = collect(span.links(), |link| {
        Ok(Link {
            trace_id: link.trace_id.to_vec(),
            span_id: link.span_id.to_vec(),
            trace_state: link.trace_state.to_owned(),
            attributes: attributes(link.attributes())?,
            dropped_attributes_count: link.dropped_attributes_count,
            flags: link.flags,
        })
    })?;
    let message = span.status_message.to_owned();
    Ok(Span {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        trace_state: span.trace_state.to_owned(),
        parent_span_id: span.parent_span_id.to_vec(),
        flags: span.flags,
        name: span.name.to_owned(),
        kind: span.kind,
        start_time_unix_nano: span.start_time_unix_nano,
        end_time_unix_nano: span.end_time_unix_nano,
        attributes: attributes(span.attributes())?,
        dropped_attributes_count: span.dropped_attributes_count,
        events,
        dropped_events_count: span.dropped_events_count,
        links,
        dropped_links_count: span.dropped_links_count,
        status: Some(Status { message, code: span.status_code }),
    })
}

fn log_record(record: LogRecordRef<'_>) -> Result<LogRecord> {
    Ok(LogRecord {
        time_unix_nano: record.time_unix_nano,
        observed_time_unix_nano: record.observed_time_unix_nano,
        severity_number: record.severity_number,
        severity_text: record.severity_text.to_owned(),
        body: record.body.map(any_value).transpose()?,
        attributes: attributes(record.attributes())?,
        dropped_attributes_count: record.dropped_attributes_count,
        flags: record.flags,
        trace_id: record.trace_id.to_vec(),
        span_id: record.span_id.to_vec(),
        event_name: record.event_name.to_owned(),
    })
}

fn exemplar(exemplar: ExemplarRef<'_>) -> Result<Exemplar> {
    Ok(Exemplar {
        filtered_attributes: attributes(exemplar.filtered_attributes())?,
        time_unix_nano: exemplar.time_unix_nano,
        value: exemplar.value.map(|value| match value {
            NumberValue::Int(integer) => exemplar::Value::AsInt(integer),
            NumberValue::Double(double) => exemplar::Value::AsDouble(double),
        }),
        span_id: exemplar.span_id.to_vec(),
        trace_id: exemplar.trace_id.to_vec(),
    })
}

fn number_point(point: NumberPointRef<'_>) -> Result<NumberDataPoint> {
    let mut raw_attributes = 0;
    point.for_each_attribute_raw(|_| raw_attributes += 1);
    assert_eq!(raw_attributes, point.attributes().count());
    Ok(NumberDataPoint {
        attributes: attributes(point.attributes())?,
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        exemplars: collect(point.exemplars(), exemplar)?,
        flags: point.flags,
        value: point.value.map(|value| match value {
            NumberValue::Int(integer) => number_data_point::Value::AsInt(integer),
            NumberValue::Double(double) => number_data_point::Value::AsDouble(double),
        }),
    })
}

/// Also holds the iterator to the length it promises.
fn numbers<T>(numbers: impl ExactSizeIterator<Item = T>) -> Vec<T> {
    let promised = numbers.len();
    let numbers: Vec<_> = numbers.collect();
    assert_eq!(numbers.len(), promised);
    numbers
}

fn histogram_point(point: HistogramPointRef<'_>) -> Result<HistogramDataPoint> {
    Ok(HistogramDataPoint {
        attributes: attributes(point.attributes())?,
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        count: point.count,
        sum: point.sum,
        bucket_counts: numbers(point.bucket_counts()),
        explicit_bounds: numbers(point.explicit_bounds()),
        exemplars: collect(point.exemplars(), exemplar)?,
        flags: point.flags,
        min: point.min,
        max: point.max,
    })
}

fn buckets(buckets: BucketsRef<'_>) -> Option<Buckets> {
    let bucket_counts = numbers(buckets.bucket_counts());
    Some(Buckets { offset: buckets.offset, bucket_counts })
}

fn exponential_point(point: ExponentialPointRef<'_>) -> Result<ExponentialHistogramDataPoint> {
    Ok(ExponentialHistogramDataPoint {
        attributes: attributes(point.attributes())?,
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        count: point.count,
        sum: point.sum,
        scale: point.scale,
        zero_count: point.zero_count,
        positive: buckets(point.positive),
        negative: buckets(point.negative),
        flags: point.flags,
        exemplars: collect(point.exemplars(), exemplar)?,
        min: point.min,
        max: point.max,
        zero_threshold: point.zero_threshold,
    })
}

fn summary_point(point: SummaryPointRef<'_>) -> Result<SummaryDataPoint> {
    Ok(SummaryDataPoint {
        attributes: attributes(point.attributes())?,
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        count: point.count,
        sum: point.sum,
        quantile_values: collect(point.quantile_values(), |value| {
            Ok(ValueAtQuantile { quantile: value.quantile, value: value.value })
        })?,
        flags: point.flags,
    })
}

fn metric(metric: MetricRef<'_>) -> Result<Metric> {
    let data = match metric.data {
        MetricDataRef::Empty => None,
        MetricDataRef::Gauge { points } => {
            Some(Data::Gauge(Gauge { data_points: collect(points, number_point)? }))
        }
        MetricDataRef::Sum { points, temporality, is_monotonic } => Some(Data::Sum(Sum {
            data_points: collect(points, number_point)?,
            aggregation_temporality: temporality,
            is_monotonic,
        })),
        MetricDataRef::Histogram { points, temporality } => Some(Data::Histogram(Histogram {
            data_points: collect(points, histogram_point)?,
            aggregation_temporality: temporality,
        })),
        MetricDataRef::ExponentialHistogram { points, temporality } => {
            Some(Data::ExponentialHistogram(ExponentialHistogram {
                data_points: collect(points, exponential_point)?,
                aggregation_temporality: temporality,
            }))
        }
        MetricDataRef::Summary { points } => {
            Some(Data::Summary(Summary { data_points: collect(points, summary_point)? }))
        }
    };
    Ok(Metric {
        name: metric.name.to_owned(),
        description: metric.description.to_owned(),
        unit: metric.unit.to_owned(),
        metadata: attributes(metric.metadata())?,
        data,
    })
}

fn normalize_value(value: &mut AnyValue) {
    match &mut value.value {
        Some(Value::ArrayValue(array)) => array.values.iter_mut().for_each(normalize_value),
        Some(Value::KvlistValue(map)) => normalize_attributes(&mut map.values),
        Some(Value::StringValueStrindex(_)) => value.value = None,
        _ => {}
    }
}

fn normalize_attributes(attributes: &mut [KeyValue]) {
    for pair in attributes {
        pair.key_strindex = 0;
        if let Some(value) = &mut pair.value {
            normalize_value(value);
        }
        pair.value.take_if(|value| value.value.is_none());
    }
}

fn normalize_resource(resource: &mut Option<Resource>) {
    let resource = resource.get_or_insert_default();
    resource.entity_refs.clear();
    normalize_attributes(&mut resource.attributes);
}

fn normalize_scope(scope: &mut Option<InstrumentationScope>) {
    normalize_attributes(&mut scope.get_or_insert_default().attributes);
}

fn normalize_exemplars(exemplars: &mut [Exemplar]) {
    for exemplar in exemplars {
        normalize_attributes(&mut exemplar.filtered_attributes);
    }
}

fn normalize_metric(metric: &mut Metric) {
    normalize_attributes(&mut metric.metadata);
    let number_points = |points: &mut [NumberDataPoint]| {
        for point in points {
            normalize_attributes(&mut point.attributes);
            normalize_exemplars(&mut point.exemplars);
        }
    };
    match &mut metric.data {
        None => {}
        Some(Data::Gauge(gauge)) => number_points(&mut gauge.data_points),
        Some(Data::Sum(sum)) => number_points(&mut sum.data_points),
        Some(Data::Histogram(histogram)) => {
            for point in &mut histogram.data_points {
                normalize_attributes(&mut point.attributes);
                normalize_exemplars(&mut point.exemplars);
            }
        }
        Some(Data::ExponentialHistogram(histogram)) => {
            for point in &mut histogram.data_points {
                normalize_attributes(&mut point.attributes);
                normalize_exemplars(&mut point.exemplars);
                point.positive.get_or_insert_default();
                point.negative.get_or_insert_default();
            }
        }
        Some(Data::Summary(summary)) => {
            for point in &mut summary.data_points {
                normalize_attributes(&mut point.attributes);
            }
        }
    }
}

impl Request for ExportTraceServiceRequest {
    fn rebuild(bytes: &[u8]) -> Result<Self> {
        let resource_spans = collect(TracesRef::new(bytes).resource_spans(), |group| {
            let scope_spans = collect(group.scope_spans(), |group| {
                Ok(ScopeSpans {
                    scope: scope(group.scope)?,
                    spans: collect(group.spans(), span)?,
                    schema_url: group.schema_url.to_owned(),
                })
            })?;
            let schema_url = group.schema_url.to_owned();
            Ok(ResourceSpans { resource: resource(group.resource)?, scope_spans, schema_url })
        })?;
        Ok(Self { resource_spans })
    }

    fn normalize(&mut self) {
        for group in &mut self.resource_spans {
            normalize_resource(&mut group.resource);
            for group in &mut group.scope_spans {
                normalize_scope(&mut group.scope);
                for span in &mut group.spans {
                    normalize_attributes(&mut span.attributes);
                    span.status.get_or_insert_default();
                    for event in &mut span.events {
                        normalize_attributes(&mut event.attributes);
                    }
                    for link in &mut span.links {
                        normalize_attributes(&mut link.attributes);
                    }
                }
            }
        }
    }
}

impl Request for ExportMetricsServiceRequest {
    fn rebuild(bytes: &[u8]) -> Result<Self> {
        let resource_metrics = collect(MetricsRef::new(bytes).resource_metrics(), |group| {
            let scope_metrics = collect(group.scope_metrics(), |group| {
                Ok(ScopeMetrics {
                    scope: scope(group.scope)?,
                    metrics: collect(group.metrics(), metric)?,
                    schema_url: group.schema_url.to_owned(),
                })
            })?;
            let schema_url = group.schema_url.to_owned();
            Ok(ResourceMetrics { resource: resource(group.resource)?, scope_metrics, schema_url })
        })?;
        Ok(Self { resource_metrics })
    }

    fn normalize(&mut self) {
        for group in &mut self.resource_metrics {
            normalize_resource(&mut group.resource);
            for group in &mut group.scope_metrics {
                normalize_scope(&mut group.scope);
                group.metrics.iter_mut().for_each(normalize_metric);
            }
        }
    }
}

impl Request for ExportLogsServiceRequest {
    fn rebuild(bytes: &[u8]) -> Result<Self> {
        let resource_logs = collect(LogsRef::new(bytes).resource_logs(), |group| {
            let scope_logs = collect(group.scope_logs(), |group| {
                Ok(ScopeLogs {
                    scope: scope(group.scope)?,
                    log_records: collect(group.log_records(), log_record)?,
                    schema_url: group.schema_url.to_owned(),
                })
            })?;
            let schema_url = group.schema_url.to_owned();
            Ok(ResourceLogs { resource: resource(group.resource)?, scope_logs, schema_url })
        })?;
        Ok(Self { resource_logs })
    }

    fn normalize(&mut self) {
        for group in &mut self.resource_logs {
            normalize_resource(&mut group.resource);
            for group in &mut group.scope_logs {
                normalize_scope(&mut group.scope);
                for record in &mut group.log_records {
                    normalize_attributes(&mut record.attributes);
                    if let Some(body) = &mut record.body {
                        normalize_value(body);
                    }
                }
            }
        }
    }
}
