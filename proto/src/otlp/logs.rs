//! Walks an `ExportLogsServiceRequest`: resources, scopes and log records.

use crate::otlp::value::{Attributes, ResourceRef, ScopeRef, ValueRef};
use crate::wire::{
    DecodeError, Message, Messages, Occurrences, Problem, Reader, delimited, fixed32, fixed64,
    known, varint,
};

/// The bytes of an `ExportLogsServiceRequest`.
#[derive(Debug, Clone, Copy)]
pub struct LogsRef<'a> {
    request: Reader<'a>,
}

impl<'a> LogsRef<'a> {
    /// Wraps the bytes; nothing is read yet.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { request: Reader::new(bytes) }
    }

    /// The groups of records that share a resource.
    pub fn resource_logs(&self) -> Messages<'a, ResourceLogsRef<'a>> {
        Messages::unchecked(self.request, 1)
    }
}

/// `ResourceLogs`: records of one resource.
#[derive(Debug, Clone, Copy)]
pub struct ResourceLogsRef<'a> {
    /// What sent the records.
    pub resource: ResourceRef<'a>,
    /// Schema of the resource.
    pub schema_url: &'a str,
    scope_logs: Messages<'a, ScopeLogsRef<'a>>,
}

impl<'a> ResourceLogsRef<'a> {
    /// The groups of records that share a scope.
    pub fn scope_logs(&self) -> Messages<'a, ScopeLogsRef<'a>> {
        self.scope_logs
    }
}

impl<'a> Message<'a> for ResourceLogsRef<'a> {
    const NAME: &'static str = "resource_logs";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const RESOURCE: u32 = delimited(1);
        const SCOPE_LOGS: u32 = delimited(2);
        const SCHEMA_URL: u32 = delimited(3);
        const KNOWN: u64 = known(&[1, 2, 3]);

        let mut reader = message;
        let (mut resource, mut schema_url) = (None, "");
        let mut scope_logs = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                RESOURCE => {
                    ResourceRef::fill(&mut resource, field.start, reader.message("resource")?)?;
                }
                SCOPE_LOGS => scope_logs.pass(field, &mut reader, "scope_logs")?,
                SCHEMA_URL => schema_url = reader.text("schema_url")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self {
            resource: resource.unwrap_or_else(ResourceRef::empty),
            schema_url,
            scope_logs: Messages::new(message, 2, scope_logs),
        })
    }
}

/// `ScopeLogs`: records of one instrumentation scope.
#[derive(Debug, Clone, Copy)]
pub struct ScopeLogsRef<'a> {
    /// The library that made the records.
    pub scope: ScopeRef<'a>,
    /// Schema of the records.
    pub schema_url: &'a str,
    log_records: Messages<'a, LogRecordRef<'a>>,
}

impl<'a> ScopeLogsRef<'a> {
    /// The records in order.
    pub fn log_records(&self) -> Messages<'a, LogRecordRef<'a>> {
        self.log_records
    }
}

impl<'a> Message<'a> for ScopeLogsRef<'a> {
    const NAME: &'static str = "scope_logs";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const SCOPE: u32 = delimited(1);
        const LOG_RECORDS: u32 = delimited(2);
        const SCHEMA_URL: u32 = delimited(3);
        const KNOWN: u64 = known(&[1, 2, 3]);

        let mut reader = message;
        let (mut scope, mut schema_url) = (None, "");
        let mut log_records = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                SCOPE => ScopeRef::fill(&mut scope, field.start, reader.message("scope")?)?,
                LOG_RECORDS => log_records.pass(field, &mut reader, "log_records")?,
                SCHEMA_URL => schema_url = reader.text("schema_url")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self {
            scope: scope.unwrap_or_else(ScopeRef::empty),
            schema_url,
            log_records: Messages::new(message, 2, log_records),
        })
    }
}

/// `LogRecord`. Ids have the length the sender wrote; the collector checks it.
#[derive(Debug, Clone, Copy)]
pub struct LogRecordRef<'a> {
    /// The bytes of the message.
    pub raw: &'a [u8],
    /// When it happened, in Unix nanoseconds; 0 when unknown.
    pub time_unix_nano: u64,
    /// When the sender saw it, in Unix nanoseconds; 0 when unknown.
    pub observed_time_unix_nano: u64,
    /// `SeverityNumber`, unchecked.
    pub severity_number: i32,
    /// The level as the source spells it.
    pub severity_text: &'a str,
    /// The message; `None` when the field is missing, `Some(Empty)` when it holds no value.
    pub body: Option<ValueRef<'a>>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// W3C trace flags in the low byte.
    pub flags: u32,
    /// 16 bytes, or empty outside a trace.
    pub trace_id: &'a [u8],
    /// 8 bytes, or empty outside a span.
    pub span_id: &'a [u8],
    /// Names the kind of event; empty for a plain log line.
    pub event_name: &'a str,
    attributes: Attributes<'a>,
}

impl<'a> LogRecordRef<'a> {
    /// The attributes in order.
    #[inline]
    pub fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }
}

impl<'a> Message<'a> for LogRecordRef<'a> {
    const NAME: &'static str = "log_record";

    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const TIME: u32 = fixed64(1);
        const SEVERITY_NUMBER: u32 = varint(2);
        const SEVERITY_TEXT: u32 = delimited(3);
        const BODY: u32 = delimited(5);
        const ATTRIBUTES: u32 = delimited(6);
        const DROPPED_ATTRIBUTES_COUNT: u32 = varint(7);
        const FLAGS: u32 = fixed32(8);
        const TRACE_ID: u32 = delimited(9);
        const SPAN_ID: u32 = delimited(10);
        const OBSERVED_TIME: u32 = fixed64(11);
        const EVENT_NAME: u32 = delimited(12);
        const KNOWN: u64 = known(&[1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]);

        let mut reader = message;
        let mut attributes = Occurrences::default();
        let mut record = Self {
            raw: message.rest(),
            time_unix_nano: 0,
            observed_time_unix_nano: 0,
            severity_number: 0,
            severity_text: "",
            body: None,
            dropped_attributes_count: 0,
            flags: 0,
            trace_id: &[],
            span_id: &[],
            event_name: "",
            attributes: Messages::new(message, 6, attributes),
        };
        while let Some(field) = reader.next_field()? {
            match field.key {
                TIME => record.time_unix_nano = reader.fixed64("time_unix_nano")?,
                SEVERITY_NUMBER => record.severity_number = reader.int32("severity_number")?,
                SEVERITY_TEXT => record.severity_text = reader.text("severity_text")?,
                BODY => {
                    if record.body.is_some() {
                        return Err(DecodeError::new(field.start, "body", Problem::Repeated));
                    }
                    let body = ValueRef::read(reader.message("body")?, 1);
                    record.body = Some(body.map_err(|error| error.within("any_value"))?);
                }
                ATTRIBUTES => attributes.pass(field, &mut reader, "attributes")?,
                DROPPED_ATTRIBUTES_COUNT => {
                    record.dropped_attributes_count = reader.uint32("dropped_attributes_count")?;
                }
                FLAGS => record.flags = reader.fixed32("flags")?,
                TRACE_ID => record.trace_id = reader.bytes("trace_id")?,
                SPAN_ID => record.span_id = reader.bytes("span_id")?,
                OBSERVED_TIME => {
                    record.observed_time_unix_nano = reader.fixed64("observed_time_unix_nano")?;
                }
                EVENT_NAME => record.event_name = reader.text("event_name")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        record.attributes = Messages::new(message, 6, attributes);
        Ok(record)
    }
}
