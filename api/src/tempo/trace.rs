//! `api/traces/{id}` and `api/v2/traces/{id}`: one trace, as protobuf for Grafana and JSON for others.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use model::TraceId;
use prost::Message;
use proto::generated::opentelemetry::proto::trace::v1 as otlp;
use proto::generated::opentelemetry::proto::trace::v1::span::SpanKind;
use proto::generated::opentelemetry::proto::trace::v1::status::StatusCode as SpanStatusCode;
use proto::generated::tempopb;

use super::message::trace_message;
use super::wire::{Object, object};
use super::{Answer, json_response};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::state::{App, Shared};

const PROTOBUF: &str = "application/protobuf";

fn wants_protobuf(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(PROTOBUF))
    })
}

/// The trace with the bytes read for it, or `None` if nobody knows it.
async fn find(app: &Shared, id: &str) -> Result<Option<(tempopb::Trace, u64)>> {
    let id = TraceId::parse(id).ok_or_else(|| {
        Error::BadRequest(format!("trace id {id:?} is not 1 to 32 hexadecimal digits"))
    })?;
    let spans = app.state.spans.clone();
    app.runner
        .run(None, move |context, _| {
            let trace = spans.trace(id, context)?;
            Ok(trace.map(|trace| (trace_message(&trace), context.bytes_used())))
        })
        .await
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "trace not found").into_response()
}

fn protobuf(message: &impl Message) -> Response {
    ([(CONTENT_TYPE, PROTOBUF)], message.encode_to_vec()).into_response()
}

/// A bare `Trace`, whose batches have their old name in JSON.
pub(super) async fn v1(State(app): App, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let Some((trace, _)) = find(&app, &id).await? else { return Ok(not_found()) };
    if wants_protobuf(&headers) {
        return Ok(protobuf(&trace));
    }
    let mut json = Json::new();
    object(&mut json, |object| {
        object.key("batches").array(&trace.resource_spans, resource_spans);
    });
    Ok(json_response(json))
}

/// A `TraceByIDResponse`. Its trace is always set: Grafana's plugin does not look before it reads.
pub(super) async fn v2(State(app): App, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let Some((trace, inspected_bytes)) = find(&app, &id).await? else { return Ok(not_found()) };
    if wants_protobuf(&headers) {
        return Ok(protobuf(&tempopb::TraceByIdResponse {
            trace: Some(trace),
            metrics: Some(tempopb::TraceByIdMetrics { inspected_bytes }),
            ..Default::default()
        }));
    }
    let mut json = Json::new();
    object(&mut json, |response| {
        object(response.key("trace"), |object| {
            object.key("resourceSpans").array(&trace.resource_spans, resource_spans);
        });
    });
    Ok(json_response(json))
}

fn resource_spans(json: &mut Json, batch: &otlp::ResourceSpans) {
    object(json, |o| {
        object(o.key("resource"), |o| {
            if let Some(resource) = &batch.resource {
                o.attributes(&resource.attributes);
                o.small("droppedAttributesCount", resource.dropped_attributes_count);
            }
        });
        o.list("scopeSpans", &batch.scope_spans, scope_spans);
        o.text("schemaUrl", &batch.schema_url);
    });
}

fn scope_spans(json: &mut Json, spans: &otlp::ScopeSpans) {
    object(json, |o| {
        object(o.key("scope"), |o| {
            if let Some(scope) = &spans.scope {
                o.text("name", &scope.name);
                o.text("version", &scope.version);
                o.attributes(&scope.attributes);
                o.small("droppedAttributesCount", scope.dropped_attributes_count);
            }
        });
        o.list("spans", &spans.spans, span);
        o.text("schemaUrl", &spans.schema_url);
    });
}

fn span(json: &mut Json, span: &otlp::Span) {
    object(json, |o| {
        o.bytes("traceId", &span.trace_id);
        o.bytes("spanId", &span.span_id);
        o.text("traceState", &span.trace_state);
        o.bytes("parentSpanId", &span.parent_span_id);
        o.small("flags", span.flags);
        o.text("name", &span.name);
        let kind = SpanKind::try_from(span.kind).unwrap_or_default();
        if kind != SpanKind::Unspecified {
            o.text("kind", kind.as_str_name());
        }
        o.large("startTimeUnixNano", span.start_time_unix_nano);
        o.large("endTimeUnixNano", span.end_time_unix_nano);
        o.attributes(&span.attributes);
        o.small("droppedAttributesCount", span.dropped_attributes_count);
        o.list("events", &span.events, event);
        o.small("droppedEventsCount", span.dropped_events_count);
        o.list("links", &span.links, link);
        o.small("droppedLinksCount", span.dropped_links_count);
        object(o.key("status"), |o| status(o, span.status.as_ref()));
    });
}

fn status(o: &mut Object<'_>, status: Option<&otlp::Status>) {
    let Some(status) = status else { return };
    o.text("message", &status.message);
    let code = SpanStatusCode::try_from(status.code).unwrap_or_default();
    if code != SpanStatusCode::Unset {
        o.text("code", code.as_str_name());
    }
}

fn event(json: &mut Json, event: &otlp::span::Event) {
    object(json, |o| {
        o.large("timeUnixNano", event.time_unix_nano);
        o.text("name", &event.name);
        o.attributes(&event.attributes);
        o.small("droppedAttributesCount", event.dropped_attributes_count);
    });
}

fn link(json: &mut Json, link: &otlp::span::Link) {
    object(json, |o| {
        o.bytes("traceId", &link.trace_id);
        o.bytes("spanId", &link.span_id);
        o.text("traceState", &link.trace_state);
        o.attributes(&link.attributes);
        o.small("droppedAttributesCount", link.dropped_attributes_count);
        o.small("flags", link.flags);
    });
}
