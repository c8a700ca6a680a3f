//! Spans and results as the messages of OTLP and Tempo.

use std::sync::Arc;

use ::query::traceql::{SearchResult, SpanSetMatch, TraceMatch};
use model::span::{Attributes, Event, Link, Resource, Scope, Span, Trace};
use model::{SpanId, TimestampNs, Value};
use proto::generated::opentelemetry::proto::common::v1 as common;
use proto::generated::opentelemetry::proto::common::v1::any_value::Value as AnyKind;
use proto::generated::opentelemetry::proto::resource::v1 as resource;
use proto::generated::opentelemetry::proto::trace::v1 as otlp;
use proto::generated::tempopb;

fn unix_nano(at: TimestampNs) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

fn any_value(value: &Value) -> common::AnyValue {
    let kind = match value {
        Value::Empty => None,
        Value::Str(text) => Some(AnyKind::StringValue(text.clone())),
        Value::Bool(b) => Some(AnyKind::BoolValue(*b)),
        Value::Int(i) => Some(AnyKind::IntValue(*i)),
        Value::Double(d) => Some(AnyKind::DoubleValue(*d)),
        Value::Bytes(bytes) => Some(AnyKind::BytesValue(bytes.clone())),
        Value::Array(items) => Some(AnyKind::ArrayValue(common::ArrayValue {
            values: items.iter().map(any_value).collect(),
        })),
        Value::Map(entries) => {
            Some(AnyKind::KvlistValue(common::KeyValueList { values: key_values(entries) }))
        }
    };
    common::AnyValue { value: kind }
}

/// Attributes as OTLP has them.
pub(super) fn key_values(attributes: &Attributes) -> Vec<common::KeyValue> {
    let pairs = attributes.iter();
    pairs
        .map(|(key, value)| common::KeyValue {
            key: key.clone(),
            value: Some(any_value(value)),
            ..Default::default()
        })
        .collect()
}

/// A library and the spans it made.
type ScopedSpans<'a> = (&'a Arc<Scope>, Vec<otlp::Span>);

/// Spans grouped by who sent them and which library made them, in order of the first span of each.
pub(super) fn trace_message(trace: &Trace) -> tempopb::Trace {
    let mut batches: Vec<(&Arc<Resource>, Vec<ScopedSpans<'_>>)> = Vec::new();
    for span in &trace.spans {
        let found = batches.iter().position(|(resource, _)| **resource == span.resource);
        let batch = found.unwrap_or_else(|| {
            batches.push((&span.resource, Vec::new()));
            batches.len() - 1
        });
        let scopes = &mut batches[batch].1;
        let found = scopes.iter().position(|(scope, _)| **scope == span.scope);
        let scope = found.unwrap_or_else(|| {
            scopes.push((&span.scope, Vec::new()));
            scopes.len() - 1
        });
        scopes[scope].1.push(span_message(span));
    }
    let batches = batches.into_iter().map(|(resource, scopes)| otlp::ResourceSpans {
        resource: Some(resource::Resource {
            attributes: key_values(&resource.attributes),
            dropped_attributes_count: resource.dropped_attributes_count,
            ..Default::default()
        }),
        schema_url: resource.schema_url.clone(),
        scope_spans: scopes
            .into_iter()
            .map(|(scope, spans)| otlp::ScopeSpans {
                scope: Some(common::InstrumentationScope {
                    name: scope.name.clone(),
                    version: scope.version.clone(),
                    attributes: key_values(&scope.attributes),
                    dropped_attributes_count: scope.dropped_attributes_count,
                }),
                schema_url: scope.schema_url.clone(),
                spans,
            })
            .collect(),
    });
    tempopb::Trace { resource_spans: batches.collect() }
}

fn parent(id: SpanId) -> Vec<u8> {
    if id.is_zero() { Vec::new() } else { id.0.to_vec() }
}

fn span_message(span: &Span) -> otlp::Span {
    otlp::Span {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        trace_state: span.trace_state.clone(),
        parent_span_id: parent(span.parent_span_id),
        flags: span.flags,
        name: span.name.clone(),
        kind: span.kind.to_otlp(),
        start_time_unix_nano: unix_nano(span.start),
        end_time_unix_nano: unix_nano(span.end),
        attributes: key_values(&span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        events: span.events.iter().map(event_message).collect(),
        dropped_events_count: span.dropped_events_count,
        links: span.links.iter().map(link_message).collect(),
        dropped_links_count: span.dropped_links_count,
        status: Some(otlp::Status {
            message: span.status_message.clone(),
            code: span.status.to_otlp(),
        }),
    }
}

fn event_message(event: &Event) -> otlp::span::Event {
    otlp::span::Event {
        time_unix_nano: unix_nano(event.at),
        name: event.name.clone(),
        attributes: key_values(&event.attributes),
        dropped_attributes_count: event.dropped_attributes_count,
    }
}

fn link_message(link: &Link) -> otlp::span::Link {
    otlp::span::Link {
        trace_id: link.trace_id.0.to_vec(),
        span_id: link.span_id.0.to_vec(),
        trace_state: link.trace_state.clone(),
        attributes: key_values(&link.attributes),
        dropped_attributes_count: link.dropped_attributes_count,
        flags: link.flags,
    }
}

/// What was looked at; one query is one job, and it is done.
pub(super) fn search_metrics(traces: u64, spans: u64, bytes: u64) -> tempopb::SearchMetrics {
    tempopb::SearchMetrics {
        inspected_traces: u32::try_from(traces).unwrap_or(u32::MAX),
        inspected_bytes: bytes,
        completed_jobs: 1,
        total_jobs: 1,
        inspected_spans: spans,
        ..Default::default()
    }
}

pub(super) fn search_message(result: &SearchResult, bytes: u64) -> tempopb::SearchResponse {
    tempopb::SearchResponse {
        traces: result.traces.iter().map(found_message).collect(),
        metrics: Some(search_metrics(result.inspected_traces, result.inspected_spans, bytes)),
    }
}

fn found_message(found: &TraceMatch) -> tempopb::TraceSearchMetadata {
    let span_sets: Vec<tempopb::SpanSet> = found.sets.iter().map(set_message).collect();
    let stats = found.services.iter().map(|(service, stats)| {
        let (span_count, error_count) = (stats.spans, stats.errors);
        (service.clone(), tempopb::ServiceStats { span_count, error_count })
    });
    tempopb::TraceSearchMetadata {
        trace_id: found.id.to_string(),
        root_service_name: found.root_service.clone(),
        root_trace_name: found.root_name.clone(),
        start_time_unix_nano: unix_nano(found.start),
        duration_ms: u32::try_from(found.duration_ns / 1_000_000).unwrap_or(u32::MAX),
        span_set: span_sets.first().cloned(),
        span_sets,
        service_stats: stats.collect(),
    }
}

fn set_message(set: &SpanSetMatch) -> tempopb::SpanSet {
    let spans = set.spans.iter().map(|span| tempopb::Span {
        span_id: span.id.to_string(),
        name: span.name.clone(),
        start_time_unix_nano: unix_nano(span.start),
        duration_nanos: u64::try_from(span.duration_ns).unwrap_or(0),
        attributes: key_values(&span.attributes),
    });
    tempopb::SpanSet {
        spans: spans.collect(),
        matched: u32::try_from(set.matched).unwrap_or(u32::MAX),
        attributes: key_values(&set.attributes),
    }
}
