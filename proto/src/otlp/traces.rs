//! Walks an `ExportTraceServiceRequest`: resources, scopes, spans, events and links.

use crate::otlp::value::{Attributes, ResourceRef, ScopeRef};
use crate::wire::{
    DecodeError, Message, Messages, Occurrences, Problem, Reader, delimited, fixed32, fixed64,
    known, varint,
};

/// The bytes of an `ExportTraceServiceRequest`.
#[derive(Debug, Clone, Copy)]
pub struct TracesRef<'a> {
    request: Reader<'a>,
}

impl<'a> TracesRef<'a> {
    /// Wraps the bytes; nothing is read yet.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { request: Reader::new(bytes) }
    }

    /// The groups of spans that share a resource.
    pub fn resource_spans(&self) -> Messages<'a, ResourceSpansRef<'a>> {
        Messages::unchecked(self.request, 1)
    }
}

/// `ResourceSpans`: spans of one resource.
#[derive(Debug, Clone, Copy)]
pub struct ResourceSpansRef<'a> {
    /// What sent the spans.
    pub resource: ResourceRef<'a>,
    /// Schema of the resource.
    pub schema_url: &'a str,
    scope_spans: Messages<'a, ScopeSpansRef<'a>>,
}

impl<'a> ResourceSpansRef<'a> {
    /// The groups of spans that share a scope.
    pub fn scope_spans(&self) -> Messages<'a, ScopeSpansRef<'a>> {
        self.scope_spans
    }
}

impl<'a> Message<'a> for ResourceSpansRef<'a> {
    const NAME: &'static str = "resource_spans";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const RESOURCE: u32 = delimited(1);
        const SCOPE_SPANS: u32 = delimited(2);
        const SCHEMA_URL: u32 = delimited(3);
        const KNOWN: u64 = known(&[1, 2, 3]);

        let mut reader = message;
        let (mut resource, mut schema_url) = (None, "");
        let mut scope_spans = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                RESOURCE => {
                    ResourceRef::fill(&mut resource, field.start, reader.message("resource")?)?;
                }
                SCOPE_SPANS => scope_spans.pass(field, &mut reader, "scope_spans")?,
                SCHEMA_URL => schema_url = reader.text("schema_url")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self {
            resource: resource.unwrap_or_else(ResourceRef::empty),
            schema_url,
            scope_spans: Messages::new(message, 2, scope_spans),
        })
    }
}

/// `ScopeSpans`: spans of one instrumentation scope.
#[derive(Debug, Clone, Copy)]
pub struct ScopeSpansRef<'a> {
    /// The library that made the spans.
    pub scope: ScopeRef<'a>,
    /// Schema of the spans.
    pub schema_url: &'a str,
    spans: Messages<'a, SpanRef<'a>>,
}

impl<'a> ScopeSpansRef<'a> {
    /// The spans in order.
    pub fn spans(&self) -> Messages<'a, SpanRef<'a>> {
        self.spans
    }
}

impl<'a> Message<'a> for ScopeSpansRef<'a> {
    const NAME: &'static str = "scope_spans";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const SCOPE: u32 = delimited(1);
        const SPANS: u32 = delimited(2);
        const SCHEMA_URL: u32 = delimited(3);
        const KNOWN: u64 = known(&[1, 2, 3]);

        let mut reader = message;
        let (mut scope, mut schema_url) = (None, "");
        let mut spans = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                SCOPE => ScopeRef::fill(&mut scope, field.start, reader.message("scope")?)?,
                SPANS => spans.pass(field, &mut reader, "spans")?,
                SCHEMA_URL => schema_url = reader.text("schema_url")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        Ok(Self {
            scope: scope.unwrap_or_else(ScopeRef::empty),
            schema_url,
            spans: Messages::new(message, 2, spans),
        })
    }
}

/// `Span`. Ids have the length the sender wrote; the collector checks it.
#[derive(Debug, Clone, Copy)]
pub struct SpanRef<'a> {
    /// The bytes of the message.
    pub raw: &'a [u8],
    /// 16 bytes in a valid span.
    pub trace_id: &'a [u8],
    /// 8 bytes in a valid span.
    pub span_id: &'a [u8],
    /// 8 bytes, or empty for a root span.
    pub parent_span_id: &'a [u8],
    /// The W3C tracestate header.
    pub trace_state: &'a str,
    /// W3C trace flags in the low byte, `SpanFlags` above.
    pub flags: u32,
    /// Name of the operation.
    pub name: &'a str,
    /// `SpanKind`, unchecked.
    pub kind: i32,
    /// Unix nanoseconds.
    pub start_time_unix_nano: u64,
    /// Unix nanoseconds.
    pub end_time_unix_nano: u64,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// How many events the sender dropped.
    pub dropped_events_count: u32,
    /// How many links the sender dropped.
    pub dropped_links_count: u32,
    /// `StatusCode`, unchecked; 0 (unset) when there is no status.
    pub status_code: i32,
    /// Text of an error status.
    pub status_message: &'a str,
    attributes: Attributes<'a>,
    events: Messages<'a, EventRef<'a>>,
    links: Messages<'a, LinkRef<'a>>,
}

impl<'a> SpanRef<'a> {
    /// The attributes in order.
    #[inline]
    pub fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }

    /// The events in order.
    #[inline]
    pub fn events(&self) -> Messages<'a, EventRef<'a>> {
        self.events
    }

    /// The links in order.
    #[inline]
    pub fn links(&self) -> Messages<'a, LinkRef<'a>> {
        self.links
    }
}

impl<'a> Message<'a> for SpanRef<'a> {
    const NAME: &'static str = "span";

    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const TRACE_ID: u32 = delimited(1);
        const SPAN_ID: u32 = delimited(2);
        const TRACE_STATE: u32 = delimited(3);
        const PARENT_SPAN_ID: u32 = delimited(4);
        const NAME: u32 = delimited(5);
        const KIND: u32 = varint(6);
        const START_TIME: u32 = fixed64(7);
        const END_TIME: u32 = fixed64(8);
        const ATTRIBUTES: u32 = delimited(9);
        const DROPPED_ATTRIBUTES_COUNT: u32 = varint(10);
        const EVENTS: u32 = delimited(11);
        const DROPPED_EVENTS_COUNT: u32 = varint(12);
        const LINKS: u32 = delimited(13);
        const DROPPED_LINKS_COUNT: u32 = varint(14);
        const STATUS: u32 = delimited(15);
        const FLAGS: u32 = fixed32(16);
        const KNOWN: u64 = known(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

        let mut reader = message;
        let (mut trace_id, mut span_id, mut parent_span_id) = (&[][..], &[][..], &[][..]);
        let (mut trace_state, mut name, mut kind, mut flags) = ("", "", 0, 0);
        let (mut start_time_unix_nano, mut end_time_unix_nano) = (0, 0);
        let (mut dropped_attributes_count, mut dropped_events_count) = (0, 0);
        let mut dropped_links_count = 0;
        let mut status = None;
        let mut attributes = Occurrences::default();
        let mut events = Occurrences::default();
        let mut links = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                TRACE_ID => trace_id = reader.bytes("trace_id")?,
                SPAN_ID => span_id = reader.bytes("span_id")?,
                TRACE_STATE => trace_state = reader.text("trace_state")?,
                PARENT_SPAN_ID => parent_span_id = reader.bytes("parent_span_id")?,
                NAME => name = reader.text("name")?,
                KIND => kind = reader.int32("kind")?,
                START_TIME => start_time_unix_nano = reader.fixed64("start_time_unix_nano")?,
                END_TIME => end_time_unix_nano = reader.fixed64("end_time_unix_nano")?,
                ATTRIBUTES => attributes.pass(field, &mut reader, "attributes")?,
                DROPPED_ATTRIBUTES_COUNT => {
                    dropped_attributes_count = reader.uint32("dropped_attributes_count")?;
                }
                EVENTS => events.pass(field, &mut reader, "events")?,
                DROPPED_EVENTS_COUNT => {
                    dropped_events_count = reader.uint32("dropped_events_count")?;
                }
                LINKS => links.pass(field, &mut reader, "links")?,
                DROPPED_LINKS_COUNT => {
                    dropped_links_count = reader.uint32("dropped_links_count")?
                }
                STATUS => {
                    if status.is_some() {
                        return Err(DecodeError::new(field.start, "status", Problem::Repeated));
                    }
                    let message = reader.message("status")?;
                    status = Some(read_status(message).map_err(|error| error.within("status"))?);
                }
                FLAGS => flags = reader.fixed32("flags")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        let (status_code, status_message) = status.unwrap_or_default();
        Ok(Self {
            raw: message.rest(),
            trace_id,
            span_id,
            parent_span_id,
            trace_state,
            flags,
            name,
            kind,
            start_time_unix_nano,
            end_time_unix_nano,
            dropped_attributes_count,
            dropped_events_count,
            dropped_links_count,
            status_code,
            status_message,
            attributes: Messages::new(message, 9, attributes),
            events: Messages::new(message, 11, events),
            links: Messages::new(message, 13, links),
        })
    }
}

fn read_status(message: Reader<'_>) -> Result<(i32, &str), DecodeError> {
    const MESSAGE: u32 = delimited(2);
    const CODE: u32 = varint(3);
    const KNOWN: u64 = known(&[2, 3]);

    let mut reader = message;
    let (mut code, mut text) = (0, "");
    while let Some(field) = reader.next_field()? {
        match field.key {
            MESSAGE => text = reader.text("message")?,
            CODE => code = reader.int32("code")?,
            _ => reader.skip(field, KNOWN)?,
        }
    }
    Ok((code, text))
}

/// `Span.Event`.
#[derive(Debug, Clone, Copy)]
pub struct EventRef<'a> {
    /// Unix nanoseconds.
    pub time_unix_nano: u64,
    /// Name of the event.
    pub name: &'a str,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    attributes: Attributes<'a>,
}

impl<'a> EventRef<'a> {
    /// The attributes in order.
    pub fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }
}

impl<'a> Message<'a> for EventRef<'a> {
    const NAME: &'static str = "event";

    #[inline]
    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const TIME: u32 = fixed64(1);
        const NAME: u32 = delimited(2);
        const ATTRIBUTES: u32 = delimited(3);
        const DROPPED_ATTRIBUTES_COUNT: u32 = varint(4);
        const KNOWN: u64 = known(&[1, 2, 3, 4]);

        let mut reader = message;
        let (mut time_unix_nano, mut name, mut dropped_attributes_count) = (0, "", 0);
        let mut attributes = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                TIME => time_unix_nano = reader.fixed64("time_unix_nano")?,
                NAME => name = reader.text("name")?,
                ATTRIBUTES => attributes.pass(field, &mut reader, "attributes")?,
                DROPPED_ATTRIBUTES_COUNT => {
                    dropped_attributes_count = reader.uint32("dropped_attributes_count")?;
                }
                _ => reader.skip(field, KNOWN)?,
            }
        }
        let attributes = Messages::new(message, 3, attributes);
        Ok(Self { time_unix_nano, name, dropped_attributes_count, attributes })
    }
}

/// `Span.Link`: a span this one refers to.
#[derive(Debug, Clone, Copy)]
pub struct LinkRef<'a> {
    /// 16 bytes in a valid link.
    pub trace_id: &'a [u8],
    /// 8 bytes in a valid link.
    pub span_id: &'a [u8],
    /// The W3C tracestate header.
    pub trace_state: &'a str,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// W3C trace flags in the low byte, `SpanFlags` above.
    pub flags: u32,
    attributes: Attributes<'a>,
}

impl<'a> LinkRef<'a> {
    /// The attributes in order.
    pub fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }
}

impl<'a> Message<'a> for LinkRef<'a> {
    const NAME: &'static str = "link";

    fn read(message: Reader<'a>) -> Result<Self, DecodeError> {
        const TRACE_ID: u32 = delimited(1);
        const SPAN_ID: u32 = delimited(2);
        const TRACE_STATE: u32 = delimited(3);
        const ATTRIBUTES: u32 = delimited(4);
        const DROPPED_ATTRIBUTES_COUNT: u32 = varint(5);
        const FLAGS: u32 = fixed32(6);
        const KNOWN: u64 = known(&[1, 2, 3, 4, 5, 6]);

        let mut reader = message;
        let (mut trace_id, mut span_id, mut trace_state) = (&[][..], &[][..], "");
        let (mut dropped_attributes_count, mut flags) = (0, 0);
        let mut attributes = Occurrences::default();
        while let Some(field) = reader.next_field()? {
            match field.key {
                TRACE_ID => trace_id = reader.bytes("trace_id")?,
                SPAN_ID => span_id = reader.bytes("span_id")?,
                TRACE_STATE => trace_state = reader.text("trace_state")?,
                ATTRIBUTES => attributes.pass(field, &mut reader, "attributes")?,
                DROPPED_ATTRIBUTES_COUNT => {
                    dropped_attributes_count = reader.uint32("dropped_attributes_count")?;
                }
                FLAGS => flags = reader.fixed32("flags")?,
                _ => reader.skip(field, KNOWN)?,
            }
        }
        let attributes = Messages::new(message, 4, attributes);
        Ok(Self { trace_id, span_id, trace_state, dropped_attributes_count, flags, attributes })
    }
}
