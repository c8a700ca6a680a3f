//! Random export requests as prost messages, and ways to damage their bytes.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proto::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use proto::generated::opentelemetry::proto::collector::metrics::v1::ExportMetricsServiceRequest;
use proto::generated::opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
use proto::generated::opentelemetry::proto::common::v1::any_value::Value;
use proto::generated::opentelemetry::proto::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
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

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z.]{0,8}", 1 => "\\PC{0,4}", 1 => "[a-z]{120,140}"]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 16), vec(any::<u8>(), 8), vec(any::<u8>(), 0..20)]
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(f64::NAN), Just(-0.0), any::<u64>().prop_map(f64::from_bits)]
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        text().prop_map(|value| Some(Value::StringValue(value))),
        any::<bool>().prop_map(|value| Some(Value::BoolValue(value))),
        any::<i64>().prop_map(|value| Some(Value::IntValue(value))),
        double().prop_map(|value| Some(Value::DoubleValue(value))),
        bytes().prop_map(|value| Some(Value::BytesValue(value))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(4, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec((text(), option::of(inner)), 0..4).prop_map(|pairs| {
                let values = pairs
                    .into_iter()
                    .map(|(key, value)| KeyValue { key, value, key_strindex: 0 })
                    .collect();
                Value::KvlistValue(KeyValueList { values })
            }),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = (text(), option::weighted(0.9, any_value()));
    vec(pair.prop_map(|(key, value)| KeyValue { key, value, key_strindex: 0 }), 0..4)
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    let entity = (text(), text(), vec(text(), 0..2)).prop_map(|(schema_url, kind, id_keys)| {
        EntityRef { schema_url, r#type: kind, id_keys, description_keys: Vec::new() }
    });
    option::of((attributes(), any::<u32>(), vec(entity, 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    ))
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    option::of((text(), text(), attributes(), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    ))
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), text(), attributes(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (bytes(), bytes(), text(), attributes(), any::<u32>(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let identity = (bytes(), bytes(), bytes(), text(), any::<u32>(), text());
    let times = (any::<i32>(), any::<u64>(), any::<u64>());
    let dropped = (any::<u32>(), any::<u32>(), any::<u32>());
    let status = option::of((text(), any::<i32>()));
    let parts = (attributes(), vec(event(), 0..3), vec(link(), 0..2));
    (identity, times, dropped, status, parts).prop_map(
        |(identity, times, dropped, status, parts)| {
            let (trace_id, span_id, parent_span_id, trace_state, flags, name) = identity;
            let (attributes, events, links) = parts;
            Span {
                trace_id,
                span_id,
                trace_state,
                parent_span_id,
                flags,
                name,
                kind: times.0,
                start_time_unix_nano: times.1,
                end_time_unix_nano: times.2,
                attributes,
                dropped_attributes_count: dropped.0,
                events,
                dropped_events_count: dropped.1,
                links,
                dropped_links_count: dropped.2,
                status: status.map(|(message, code)| Status { message, code }),
            }
        },
    )
}

pub(crate) fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope_spans = (scope(), vec(span(), 0..4), text())
        .prop_map(|(scope, spans, schema_url)| ScopeSpans { scope, spans, schema_url });
    let resource_spans = (resource(), vec(scope_spans, 0..3), text()).prop_map(
        |(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url },
    );
    vec(resource_spans, 0..3)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn log_record() -> impl Strategy<Value = LogRecord> {
    let times = (any::<u64>(), any::<u64>());
    let severity = (any::<i32>(), text());
    let ids = (bytes(), bytes(), text(), any::<u32>(), any::<u32>());
    (times, severity, option::of(any_value()), attributes(), ids).prop_map(
        |(times, severity, body, attributes, ids)| LogRecord {
            time_unix_nano: times.0,
            observed_time_unix_nano: times.1,
            severity_number: severity.0,
            severity_text: severity.1,
            body,
            attributes,
            trace_id: ids.0,
            span_id: ids.1,
            event_name: ids.2,
            flags: ids.3,
            dropped_attributes_count: ids.4,
        },
    )
}

pub(crate) fn logs() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scope_logs = (scope(), vec(log_record(), 0..4), text())
        .prop_map(|(scope, log_records, schema_url)| ScopeLogs { scope, log_records, schema_url });
    let resource_logs = (resource(), vec(scope_logs, 0..3), text()).prop_map(
        |(resource, scope_logs, schema_url)| ResourceLogs { resource, scope_logs, schema_url },
    );
    vec(resource_logs, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

fn exemplar() -> impl Strategy<Value = Exemplar> {
    let value = option::of(prop_oneof![
        double().prop_map(exemplar::Value::AsDouble),
        any::<i64>().prop_map(exemplar::Value::AsInt),
    ]);
    (attributes(), any::<u64>(), value, bytes(), bytes()).prop_map(
        |(filtered_attributes, time_unix_nano, value, span_id, trace_id)| Exemplar {
            filtered_attributes,
            time_unix_nano,
            value,
            span_id,
            trace_id,
        },
    )
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    vec(exemplar(), 0..2)
}

/// Start, time and flags.
fn times() -> impl Strategy<Value = (u64, u64, u32)> {
    any::<(u64, u64, u32)>()
}

fn number_points() -> impl Strategy<Value = Vec<NumberDataPoint>> {
    let value = option::of(prop_oneof![
        double().prop_map(number_data_point::Value::AsDouble),
        any::<i64>().prop_map(number_data_point::Value::AsInt),
    ]);
    let point = (attributes(), times(), value, exemplars()).prop_map(
        |(attributes, times, value, exemplars)| NumberDataPoint {
            attributes,
            start_time_unix_nano: times.0,
            time_unix_nano: times.1,
            flags: times.2,
            value,
            exemplars,
        },
    );
    vec(point, 0..4)
}

/// Sum, min and max.
fn extremes() -> impl Strategy<Value = (Option<f64>, Option<f64>, Option<f64>)> {
    (option::of(double()), option::of(double()), option::of(double()))
}

fn histogram_points() -> impl Strategy<Value = Vec<HistogramDataPoint>> {
    let buckets = (any::<u64>(), vec(any::<u64>(), 0..5), vec(double(), 0..5));
    let point = (attributes(), times(), buckets, extremes(), exemplars()).prop_map(
        |(attributes, times, buckets, extremes, exemplars)| HistogramDataPoint {
            attributes,
            start_time_unix_nano: times.0,
            time_unix_nano: times.1,
            flags: times.2,
            count: buckets.0,
            bucket_counts: buckets.1,
            explicit_bounds: buckets.2,
            sum: extremes.0,
            min: extremes.1,
            max: extremes.2,
            exemplars,
        },
    );
    vec(point, 0..3)
}

fn buckets() -> impl Strategy<Value = Option<Buckets>> {
    let counts = vec(prop_oneof![any::<u64>(), 0..300_u64], 0..5);
    let buckets = (any::<i32>(), counts);
    option::of(buckets.prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }))
}

fn exponential_points() -> impl Strategy<Value = Vec<ExponentialHistogramDataPoint>> {
    let zero = (any::<u64>(), any::<i32>(), any::<u64>(), double());
    let both = (buckets(), buckets());
    let point = (attributes(), times(), zero, both, extremes(), exemplars()).prop_map(
        |(attributes, times, zero, both, extremes, exemplars)| ExponentialHistogramDataPoint {
            attributes,
            start_time_unix_nano: times.0,
            time_unix_nano: times.1,
            flags: times.2,
            count: zero.0,
            scale: zero.1,
            zero_count: zero.2,
            zero_threshold: zero.3,
            positive: both.0,
            negative: both.1,
            sum: extremes.0,
            min: extremes.1,
            max: extremes.2,
            exemplars,
        },
    );
    vec(point, 0..3)
}

fn summary_points() -> impl Strategy<Value = Vec<SummaryDataPoint>> {
    let quantile =
        (double(), double()).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    let sums = (any::<u64>(), double(), vec(quantile, 0..3));
    let point =
        (attributes(), times(), sums).prop_map(|(attributes, times, sums)| SummaryDataPoint {
            attributes,
            start_time_unix_nano: times.0,
            time_unix_nano: times.1,
            flags: times.2,
            count: sums.0,
            sum: sums.1,
            quantile_values: sums.2,
        });
    vec(point, 0..3)
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        number_points().prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (number_points(), any::<i32>(), any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| Data::Sum(Sum {
                data_points,
                aggregation_temporality,
                is_monotonic
            })
        ),
        (histogram_points(), any::<i32>()).prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(Histogram { data_points, aggregation_temporality })
        }),
        (exponential_points(), any::<i32>()).prop_map(|(data_points, aggregation_temporality)| {
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points,
                aggregation_temporality,
            })
        }),
        summary_points().prop_map(|data_points| Data::Summary(Summary { data_points })),
    ]
}

pub(crate) fn metrics() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let metric = (text(), text(), text(), attributes(), option::weighted(0.9, data())).prop_map(
        |(name, description, unit, metadata, data)| Metric {
            name,
            description,
            unit,
            metadata,
            data,
        },
    );
    let scope_metrics = (scope(), vec(metric, 0..4), text())
        .prop_map(|(scope, metrics, schema_url)| ScopeMetrics { scope, metrics, schema_url });
    let resource_metrics = (resource(), vec(scope_metrics, 0..3), text()).prop_map(
        |(resource, scope_metrics, schema_url)| ResourceMetrics {
            resource,
            scope_metrics,
            schema_url,
        },
    );
    vec(resource_metrics, 0..3)
        .prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}

/// One way to damage a request.
#[derive(Debug, Clone)]
pub(crate) enum Damage {
    /// Cuts the request off.
    Cut(usize),
    /// Flips the bits of one byte.
    Flip(usize, u8),
    /// Puts bytes in.
    Insert(usize, Vec<u8>),
    /// Takes a byte out.
    Remove(usize),
}

impl Damage {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Damage::Cut(at) => bytes.truncate(at % bytes.len()),
            Damage::Flip(at, bits) => {
                let at = at % bytes.len();
                bytes[at] ^= bits;
            }
            Damage::Insert(at, new) => {
                let at = at % bytes.len();
                bytes.splice(at..at, new.iter().copied());
            }
            Damage::Remove(at) => {
                bytes.remove(at % bytes.len());
            }
        }
    }
}

pub(crate) fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let damage = prop_oneof![
        1 => any::<usize>().prop_map(Damage::Cut),
        6 => (any::<usize>(), 0..8_u32).prop_map(|(at, bit)| Damage::Flip(at, 1 << bit)),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        1 => (any::<usize>(), vec(any::<u8>(), 1..4)).prop_map(|(at, new)| Damage::Insert(at, new)),
        1 => any::<usize>().prop_map(Damage::Remove),
    ];
    vec(damage, 1..4)
}
