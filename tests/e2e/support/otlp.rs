//! OTLP requests, built from the generated types: what an SDK would send, under the test's control.

use proto::generated::opentelemetry::proto as generated;

pub(crate) use generated::collector::logs::v1::ExportLogsServiceRequest as Logs;
pub(crate) use generated::collector::metrics::v1::ExportMetricsServiceRequest as Metrics;
pub(crate) use generated::collector::trace::v1::ExportTraceServiceRequest as Traces;
pub(crate) use generated::common::v1::any_value::Value;
pub(crate) use generated::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
pub(crate) use generated::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
pub(crate) use generated::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
pub(crate) use generated::resource::v1::Resource;
pub(crate) use generated::trace::v1::span::SpanKind;
pub(crate) use generated::trace::v1::status::StatusCode;
pub(crate) use generated::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// Where OTLP over HTTP takes each signal.
pub(crate) const TRACES: &str = "/v1/traces";
/// See [`TRACES`].
pub(crate) const METRICS: &str = "/v1/metrics";
/// See [`TRACES`].
pub(crate) const LOGS: &str = "/v1/logs";

/// A value that is text.
pub(crate) fn text(value: impl Into<String>) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Value::StringValue(value.into())) })
}

/// An attribute that is text.
pub(crate) fn attribute(key: impl Into<String>, value: impl Into<String>) -> KeyValue {
    KeyValue { key: key.into(), value: text(value), ..Default::default() }
}

/// The resource of a service.
pub(crate) fn resource(service: &str) -> Option<Resource> {
    Some(Resource { attributes: vec![attribute("service.name", service)], ..Default::default() })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "e2e".to_owned(), ..Default::default() })
}

/// A server span of a millisecond that began at `start_ns`.
pub(crate) fn span(trace_id: u128, span_id: u64, name: &str, start_ns: u64) -> Span {
    Span {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: span_id.to_be_bytes().to_vec(),
        name: name.to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: start_ns,
        end_time_unix_nano: start_ns.saturating_add(1_000_000),
        ..Default::default()
    }
}

/// All spans of a service in one request.
pub(crate) fn traces(service: &str, spans: Vec<Span>) -> Traces {
    let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..Default::default() }];
    let spans = ResourceSpans { resource: resource(service), scope_spans, ..Default::default() };
    Traces { resource_spans: vec![spans] }
}

/// A log line.
pub(crate) fn record(at_ns: u64, line: impl Into<String>) -> LogRecord {
    LogRecord {
        time_unix_nano: at_ns,
        observed_time_unix_nano: at_ns,
        severity_text: "INFO".to_owned(),
        severity_number: 9,
        body: text(line),
        ..Default::default()
    }
}

/// All log lines of a service in one request.
pub(crate) fn logs(service: &str, log_records: Vec<LogRecord>) -> Logs {
    let scope_logs = vec![ScopeLogs { scope: scope(), log_records, ..Default::default() }];
    let logs = ResourceLogs { resource: resource(service), scope_logs, ..Default::default() };
    Logs { resource_logs: vec![logs] }
}

/// A point of a gauge.
pub(crate) fn point(at_ms: u64, value: f64, attributes: Vec<KeyValue>) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: at_ms * 1_000_000,
        value: Some(number_data_point::Value::AsDouble(value)),
        attributes,
        ..Default::default()
    }
}

/// One gauge in one request.
pub(crate) fn gauge(service: &str, name: &str, data_points: Vec<NumberDataPoint>) -> Metrics {
    let data = Some(metric::Data::Gauge(Gauge { data_points }));
    let metrics = vec![Metric { name: name.to_owned(), data, ..Default::default() }];
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..Default::default() }];
    let metrics =
        ResourceMetrics { resource: resource(service), scope_metrics, ..Default::default() };
    Metrics { resource_metrics: vec![metrics] }
}
