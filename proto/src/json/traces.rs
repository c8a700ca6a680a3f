//! The messages of a traces request.

use serde::de::MapAccess;

use super::message::{Field, Message};
use super::scalar::{Enumeration, Hex, Integer, Text};
use crate::generated::opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
use crate::generated::opentelemetry::proto::trace::v1::span::{Event, Link};
use crate::generated::opentelemetry::proto::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

impl Message for ExportTraceServiceRequest {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "resourceSpans" => field.messages(&mut self.resource_spans),
            _ => field.ignore(),
        }
    }
}

impl Message for ResourceSpans {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "resource" => field.message(&mut self.resource),
            "scopeSpans" => field.messages(&mut self.scope_spans),
            "schemaUrl" => field.scalar::<Text>(&mut self.schema_url),
            _ => field.ignore(),
        }
    }
}

impl Message for ScopeSpans {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "scope" => field.message(&mut self.scope),
            "spans" => field.messages(&mut self.spans),
            "schemaUrl" => field.scalar::<Text>(&mut self.schema_url),
            _ => field.ignore(),
        }
    }
}

impl Message for Span {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "traceId" => field.scalar::<Hex>(&mut self.trace_id),
            "spanId" => field.scalar::<Hex>(&mut self.span_id),
            "traceState" => field.scalar::<Text>(&mut self.trace_state),
            "parentSpanId" => field.scalar::<Hex>(&mut self.parent_span_id),
            "flags" => field.scalar::<Integer<u32>>(&mut self.flags),
            "name" => field.scalar::<Text>(&mut self.name),
            "kind" => field.scalar::<Enumeration>(&mut self.kind),
            "startTimeUnixNano" => field.scalar::<Integer<u64>>(&mut self.start_time_unix_nano),
            "endTimeUnixNano" => field.scalar::<Integer<u64>>(&mut self.end_time_unix_nano),
            "attributes" => field.messages(&mut self.attributes),
            "droppedAttributesCount" => {
                field.scalar::<Integer<u32>>(&mut self.dropped_attributes_count)
            }
            "events" => field.messages(&mut self.events),
            "droppedEventsCount" => field.scalar::<Integer<u32>>(&mut self.dropped_events_count),
            "links" => field.messages(&mut self.links),
            "droppedLinksCount" => field.scalar::<Integer<u32>>(&mut self.dropped_links_count),
            "status" => field.message(&mut self.status),
            _ => field.ignore(),
        }
    }
}

impl Message for Event {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "timeUnixNano" => field.scalar::<Integer<u64>>(&mut self.time_unix_nano),
            "name" => field.scalar::<Text>(&mut self.name),
            "attributes" => field.messages(&mut self.attributes),
            "droppedAttributesCount" => {
                field.scalar::<Integer<u32>>(&mut self.dropped_attributes_count)
            }
            _ => field.ignore(),
        }
    }
}

impl Message for Link {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "traceId" => field.scalar::<Hex>(&mut self.trace_id),
            "spanId" => field.scalar::<Hex>(&mut self.span_id),
            "traceState" => field.scalar::<Text>(&mut self.trace_state),
            "attributes" => field.messages(&mut self.attributes),
            "droppedAttributesCount" => {
                field.scalar::<Integer<u32>>(&mut self.dropped_attributes_count)
            }
            "flags" => field.scalar::<Integer<u32>>(&mut self.flags),
            _ => field.ignore(),
        }
    }
}

impl Message for Status {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "message" => field.scalar::<Text>(&mut self.message),
            "code" => field.scalar::<Enumeration>(&mut self.code),
            _ => field.ignore(),
        }
    }
}
