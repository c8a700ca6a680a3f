//! The messages of a logs request.

use serde::de::MapAccess;

use super::message::{Field, Message};
use super::scalar::{Enumeration, Hex, Integer, Text};
use crate::generated::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use crate::generated::opentelemetry::proto::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};

impl Message for ExportLogsServiceRequest {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "resourceLogs" => field.messages(&mut self.resource_logs),
            _ => field.ignore(),
        }
    }
}

impl Message for ResourceLogs {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "resource" => field.message(&mut self.resource),
            "scopeLogs" => field.messages(&mut self.scope_logs),
            "schemaUrl" => field.scalar::<Text>(&mut self.schema_url),
            _ => field.ignore(),
        }
    }
}

impl Message for ScopeLogs {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "scope" => field.message(&mut self.scope),
            "logRecords" => field.messages(&mut self.log_records),
            "schemaUrl" => field.scalar::<Text>(&mut self.schema_url),
            _ => field.ignore(),
        }
    }
}

impl Message for LogRecord {
    fn read_field<'de, A: MapAccess<'de>>(&mut self, field: Field<'_, A>) -> Result<(), A::Error> {
        match field.key {
            "timeUnixNano" => field.scalar::<Integer<u64>>(&mut self.time_unix_nano),
            "observedTimeUnixNano" => {
                field.scalar::<Integer<u64>>(&mut self.observed_time_unix_nano)
            }
            "severityNumber" => field.scalar::<Enumeration>(&mut self.severity_number),
            "severityText" => field.scalar::<Text>(&mut self.severity_text),
            "body" => field.message(&mut self.body),
            "attributes" => field.messages(&mut self.attributes),
            "droppedAttributesCount" => {
                field.scalar::<Integer<u32>>(&mut self.dropped_attributes_count)
            }
            "flags" => field.scalar::<Integer<u32>>(&mut self.flags),
            "traceId" => field.scalar::<Hex>(&mut self.trace_id),
            "spanId" => field.scalar::<Hex>(&mut self.span_id),
            "eventName" => field.scalar::<Text>(&mut self.event_name),
            _ => field.ignore(),
        }
    }
}
